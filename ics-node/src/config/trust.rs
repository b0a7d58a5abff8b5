//! `[trust]`: how this node decides.

use std::path::PathBuf;

use serde::Deserialize;

/// `[trust]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// The trust policy, JSON, by which verdicts are given. Absent: the node gives no verdicts.
    pub policy: Option<PathBuf>,
}
