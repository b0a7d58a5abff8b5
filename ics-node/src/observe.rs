//! The node's own log: structured events on standard error, as lines for people or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no level and no filter.
    #[error("`{0}` is not a log level or filter")]
    Level(String),
    /// Something else in this process logs already.
    #[error(transparent)]
    Taken(#[from] TryInitError),
}

/// Sends the events of this process to standard error. Once per process.
///
/// # Errors
/// When the level is not one, or the process logs already.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let filter: Targets = config.level.parse().map_err(|_| LogError::Level(config.level.clone()))?;
    let is_terminal = io::stderr().is_terminal();
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => Box::new(fmt::layer().with_ansi(is_terminal).with_writer(io::stderr).with_target(false)),
        LogFormat::Json => {
            Box::new(fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(io::stderr))
        }
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?)
}
