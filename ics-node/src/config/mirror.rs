//! `[[mirror]]`: a domain of which this node holds a verified copy.

use ics_core::log::checkpoint::Origin;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// `[[mirror]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    /// The domain and the leaf data of its entry 0, `devices.acme.example/5f2c…`, as `ics mirror add` writes it. A peer
    /// that serves another log under the same name is refused.
    pub origin: Spanned<Origin>,
    /// The name of the `[[peer]]` to pull from.
    pub peer: Spanned<String>,
    /// Milliseconds between two looks for news while the domain is current, 2,000 unless told, 50 to 86,400,000. More
    /// than the domain's freshness bound makes every answer of this node `unknown`.
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub interval_ms: u64,
}

const fn default_interval() -> u64 {
    2_000
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let millis = u64::deserialize(deserializer)?;
    if (50..=86_400_000).contains(&millis) {
        Ok(millis)
    } else {
        Err(serde::de::Error::custom(format!("interval_ms takes 50 to 86400000 milliseconds, not {millis}")))
    }
}
