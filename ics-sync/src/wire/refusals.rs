//! Refusals of carried submissions, which go back by hand.

use ics_core::limits;
use serde::{Deserialize, Serialize};

use super::{Base64, PAGE_JSON_BYTES, WireError, parse};

/// Refusals of submissions that came by hand, on their way back. None of it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusals {
    /// The name of the carrier, as the bundle gives it; the maker of a bundle leaves it empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// At most [`limits::BATCH_STATEMENTS`] refusals.
    pub refused: Vec<Refusal>,
}

/// One refused submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// SHA-256 of the body that was submitted.
    pub body: Base64<[u8; 32]>,
    /// The reason, as a problem document (RFC 9457).
    pub problem: serde_json::Value,
}

impl Refusals {
    /// Reads refusals and checks the bounds of a batch.
    ///
    /// # Errors
    /// When they are malformed, or exceed a bound.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse::<Self>(json, PAGE_JSON_BYTES)?.checked()
    }

    /// Checks their bounds, however they came.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        let statements = self.refused.len();
        if statements > limits::BATCH_STATEMENTS { Err(WireError::Batch { statements, bytes: 0 }) } else { Ok(self) }
    }
}
