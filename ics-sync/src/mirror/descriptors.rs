//! Decides which bodies of entries are descriptors that the owners have put in force.

use ics_core::descriptor::{self, Descriptor, DescriptorError, FieldError, Problem};
use ics_core::statement::body::{self, Body};

use super::stop::Stop;

/// Why a body is not the next descriptor.
pub(super) enum Refusal {
    /// It names rules that this program does not know.
    Rules(String),
    /// Any other reason: it has no effect.
    Other(String),
}

impl Refusal {
    /// The reason to stop at a version of the descriptor, which stands in the log or is shown beside it.
    pub(super) fn into_stop(self, version: u64, is_logged: bool, other: impl FnOnce(String) -> Stop) -> Stop {
        match self {
            Self::Rules(problem) => Stop::Rules { version, problem, is_logged },
            Self::Other(problem) => other(problem),
        }
    }
}

impl From<DescriptorError> for Refusal {
    fn from(error: DescriptorError) -> Self {
        match &error {
            DescriptorError::Field(FieldError { problem: Problem::Rules(_), .. }) => Self::Rules(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Reads the descriptor that follows `previous`, or the first, and checks that enough owners signed it.
pub(super) fn admit(previous: Option<&Descriptor>, body: &[u8]) -> Result<Descriptor, Refusal> {
    match body::parse(body).map_err(|error| Refusal::Other(error.to_string()))? {
        Body::Descriptor(signed) => Ok(descriptor::admit(previous, &signed)?),
        _ => Err(Refusal::Other("it is not a descriptor".to_owned())),
    }
}
