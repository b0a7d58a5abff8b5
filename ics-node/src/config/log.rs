//! `[log]`: what the node writes about its own doings.

use serde::{Deserialize, Deserializer};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` for people (the default) or `json`, one object in a line.
    pub format: LogFormat,
    /// `info` unless told; a level, or filters such as `info,ics_node::http=debug`. With `debug` and below, identities
    /// that are looked up appear in the log.
    #[serde(deserialize_with = "level")]
    pub level: Targets,
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
        Self { format: LogFormat::Text, level: Targets::new().with_default(LevelFilter::INFO) }
    }
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Targets, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<Targets>();
    parsed.map_err(|e| serde::de::Error::custom(format_args!("`{text}` is not a log level or filter: {e}")))
}
