//! Why a node gives no usable answer.

use reqwest::StatusCode;

use crate::api::Problem;
use crate::api::problem::Code;

/// The beginning of rustls's messages about a server's certificate.
pub(crate) const UNTRUSTED: &str = "invalid peer certificate";

/// Why a node gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nobody answered.
    #[error("the node at `{url}` cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// The network error.
        reason: String,
    },
    /// The node refused, with the reason.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// What answered gave no reason: the node before it has read the request, a proxy in front of it, or another
    /// program.
    #[error("the node at `{url}` answers {status} without a reason")]
    Status {
        /// The node's address.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// The answer is not one that this version understands.
    #[error("the node at `{url}` gave an answer that is not understood: {reason}")]
    Answer {
        /// Its address.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl NodeError {
    /// Whether a node answered whose certificate this machine does not trust.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Unreachable { reason, .. } if reason.starts_with(UNTRUSTED))
    }

    /// The HTTP status of the refusal.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Problem(problem) => StatusCode::from_u16(problem.status).ok(),
            Self::Status { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Answer { .. } => None,
        }
    }

    /// Whether less at once may be taken: what was sent did not arrive in time, as over a slow line, or is too large
    /// for something on the way.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        matches!(self.status(), Some(StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE))
    }

    /// Whether what was submitted may be in the log all the same: nobody has said that it is not.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Answer { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            Self::Problem(problem) => {
                let code = Code::named(problem.code());
                matches!(code, Some(Code::Internal | Code::Upstream | Code::Unwitnessed))
            }
        }
    }

    /// Whether the node has too much to do at this moment, and did nothing of what it was asked.
    pub(super) fn is_of_a_busy_node(&self) -> bool {
        let Self::Problem(problem) = self else { return false };
        matches!(Code::named(problem.code()), Some(Code::Busy | Code::OverBudget))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits for witnesses is in the log, and is not to be said again.
    #[test]
    fn what_may_be_in_the_log_is_told_from_what_is_not() {
        for (code, may_be) in [
            (Code::Internal, true),
            (Code::Upstream, true),
            (Code::Unwitnessed, true),
            (Code::Busy, false),
            (Code::NotPermitted, false),
        ] {
            let error = NodeError::Problem(Box::new(Problem::of(code, String::new())));
            assert_eq!(error.leaves_open(), may_be, "{code}");
        }
        let status = |status: StatusCode| NodeError::Status { url: String::new(), status };
        assert!(status(StatusCode::GATEWAY_TIMEOUT).leaves_open() && !status(StatusCode::NOT_FOUND).leaves_open());
    }
}
