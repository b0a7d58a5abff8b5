//! `[trust]`: the policy by which this node decides.

use std::path::PathBuf;

use serde::Deserialize;

/// `[trust]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustConfig {
    /// The trust policy, in JSON, by which verdicts are given. If absent, the node gives no verdicts.
    pub policy: Option<PathBuf>,
}
