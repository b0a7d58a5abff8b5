//! `[alerts]`: who is told of certificates that end and were not renewed.

use serde::{Deserialize, Deserializer};

use super::Webhook;

/// `[alerts]`. The same is counted for Prometheus, whatever stands here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsConfig {
    /// Where alerts are sent, as JSON in a POST. Absent: nowhere.
    pub webhook: Option<Webhook>,
    /// Days before its end from which on a certificate without a successor is told of, 30 unless told; but never before the
    /// last quarter of its time, since until then it may still be renewed in time.
    pub before_days: u16,
    /// Seconds between two looks, 3600 unless told, at least 1.
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
