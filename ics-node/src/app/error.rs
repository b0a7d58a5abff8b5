//! Why a use case gave no answer.

use ics_core::identity::excerpt;
use ics_core::vocabulary::DomainName;

use crate::api::Problem;
use crate::api::problem::Code;
use crate::store::{Full, StoreError, WriteError};

/// Why a use case gave no answer. The code says whose fault it is.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppError {
    /// The caller asked for something that does not exist or is not allowed; the text is for the caller.
    #[error("{detail}")]
    Problem {
        /// The public code.
        code: Code,
        /// What was wrong: which field, limit or rule.
        detail: String,
        /// After how many seconds the caller may ask again, if that is known.
        retry_after: Option<u64>,
    },
    /// The store failed or refused; the text is for the operator.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something happened that must not happen; the text is for the operator.
    #[error("{0}")]
    Internal(String),
}

/// What everybody is told about a store that takes no more writes: the real reason would name files of the node.
pub(super) const HALTED: &str = "the store takes no more writes until the node is started again; its log says why";

impl AppError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::Problem { code, detail: detail.into(), retry_after: None }
    }

    /// The caller has asked too often, and may ask again after so many seconds.
    pub(crate) fn too_often(detail: impl Into<String>, seconds: u64) -> Self {
        Self::Problem { code: Code::TooManyRequests, detail: detail.into(), retry_after: Some(seconds) }
    }

    pub(crate) fn unknown_domain(domain: &DomainName) -> Self {
        Self::new(Code::UnknownDomain, format!("this node does not hold the domain `{domain}`"))
    }

    pub(crate) fn unknown_identity(query: &str) -> Self {
        Self::new(Code::UnknownIdentity, format!("nothing is known of `{}`", excerpt(query)))
    }

    /// The public code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Problem { code, .. } => *code,
            // An operator has to act first, so coming back in a second is of no use.
            Self::Store(StoreError::Full(Full::Enrolments(_))) => Code::TooManyRequests,
            Self::Store(StoreError::Full(Full::Writes(_) | Full::Turn | Full::Outbox { .. } | Full::Files)) => {
                Code::Busy
            }
            Self::Store(StoreError::NoRoom) => Code::NoRoom,
            Self::Store(
                StoreError::Behind { .. }
                | StoreError::Damaged { .. }
                | StoreError::Halted { .. }
                | StoreError::Forked { .. },
            ) => Code::Behind,
            Self::Store(_) | Self::Internal(_) => Code::Internal,
        }
    }

    /// After how many seconds the caller may ask again, if that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            Self::Store(_) | Self::Internal(_) => None,
        }
    }

    /// Whether the text is for the operator only.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self.code(), Code::Internal)
    }

    /// The RFC 9457 document; an internal error's text stays in the node's own log.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let detail = match self {
            _ if self.is_internal() => "the node failed; its log says why".to_owned(),
            Self::Store(StoreError::Halted { .. }) => HALTED.to_owned(),
            _ => self.to_string(),
        };
        Problem::of(self.code(), detail)
    }
}

impl<E: Into<AppError>> From<WriteError<E>> for AppError {
    fn from(error: WriteError<E>) -> Self {
        match error {
            WriteError::Job(error) => error.into(),
            WriteError::Store(error) => error.into(),
        }
    }
}
