//! `[log]`: what the node writes about its own doings.

use serde::{Deserialize, Deserializer};

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` for people (the default) or `json`, one object in a line.
    pub format: LogFormat,
    /// `info` unless told; a level, or filters such as `info,ics_node::http=debug`. With `debug` and below, identities
    /// that are looked up appear in the log.
    #[serde(deserialize_with = "level")]
    pub level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object in a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) => Ok(text),
        Err(e) => Err(serde::de::Error::custom(format!("`{text}` is not a log level or filter: {e}"))),
    }
}
