//! `[alerts]`: who is told about certificates that are about to end and were not renewed.

use serde::{Deserialize, Deserializer};

use super::Webhook;

/// `[alerts]`. Prometheus metrics count the same, whatever is configured here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Where alerts are sent, as JSON in a POST. If absent, nowhere.
    pub webhook: Option<Webhook>,
    /// How many days before its end an alert is sent for a certificate without a successor, 30 by default; but never
    /// before the last quarter of its lifetime, since until then it may still be renewed in time.
    pub before_days: u16,
    /// Seconds between two checks, 3600 by default, at least 1.
    #[serde(deserialize_with = "seconds")]
    pub every_seconds: u32,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { webhook: None, before_days: 30, every_seconds: 3600 }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("every_seconds must be at least 1, not 0")),
        seconds => Ok(seconds),
    }
}
