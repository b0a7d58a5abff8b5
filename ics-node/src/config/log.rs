//! `[log]`: the node's own log.

use core::fmt::Display;

use serde::{Deserialize, Deserializer};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` for people (the default), or `json`, one object on each line.
    pub format: LogFormat,
    /// A level, `info` by default, or filters such as `warn,ics_node::http=debug`; if the filters include no level of
    /// their own, everything else is logged from `info` up. At `debug` and below, identities that are looked up appear
    /// in the log.
    #[serde(deserialize_with = "level")]
    pub level: Targets,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: Targets::new().with_default(LevelFilter::INFO) }
    }
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Targets, D::Error> {
    let text = String::deserialize(deserializer)?;
    let refused = |reason: &dyn Display| -> D::Error {
        serde::de::Error::custom(format_args!("`{text}` is not a log level or filter: {reason}"))
    };
    // `Targets` would take another word for the name of a target, and turn everything else off.
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    if text.split(',').any(|part| !part.contains('=') && !is_level(part)) {
        return Err(refused(&"a level is one of error, warn, info, debug, trace and off, a filter TARGET=LEVEL"));
    }
    let filters = text.parse::<Targets>().map_err(|error| refused(&error))?;
    // Filters without a level for the rest, or with a misspelt target, must not silence anything else.
    Ok(if filters.default_level().is_some() { filters } else { filters.with_default(LevelFilter::INFO) })
}
