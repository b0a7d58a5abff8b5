//! Refusals of carried submissions, which go back by hand.

use ics_core::limits;
use serde::{Deserialize, Serialize};

use super::{Base64, PAGE_JSON_BYTES, WireError, parse};

/// Submissions that came by hand and were refused, on their way back. Nothing of it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusals {
    /// Who carries them, by the name that the bundle gives; whoever makes a bundle leaves it empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// [`limits::BATCH_STATEMENTS`] of them at most.
    pub refused: Vec<Refusal>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// SHA-256 of the body that was submitted.
    pub body: Base64<[u8; 32]>,
    /// Why: a problem document (RFC 9457).
    pub problem: serde_json::Value,
}

impl Refusals {
    /// Reads refusals and holds them to the bounds of a batch.
    ///
    /// # Errors
    /// When they are none, or go past one of them.
    pub fn decode(json: &[u8]) -> Result<Self, WireError> {
        parse::<Self>(json, PAGE_JSON_BYTES)?.checked()
    }

    /// Holds them to their bounds, however they came.
    pub(crate) fn checked(self) -> Result<Self, WireError> {
        let statements = self.refused.len();
        if statements > limits::BATCH_STATEMENTS { Err(WireError::Batch { statements, bytes: 0 }) } else { Ok(self) }
    }
}
