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
    /// Seconds between two looks for news while the domain is current, 5 unless told, 1 to 86,400. More than the
    /// domain's freshness bound makes every answer of this node `unknown`.
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub interval: u64,
}

const fn default_interval() -> u64 {
    5
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (1..=86_400).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(serde::de::Error::custom(format!("an interval takes 1 to 86400 seconds, not {seconds}")))
    }
}
