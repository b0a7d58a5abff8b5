//! The node's own log: structured events on standard error, as lines for people or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// Sends the events of this process to standard error. To be called once in a process.
///
/// # Errors
/// When this process already has a logger.
pub fn init(config: &LogConfig) -> Result<(), TryInitError> {
    let is_terminal = io::stderr().is_terminal();
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => Box::new(fmt::layer().with_ansi(is_terminal).with_writer(io::stderr).with_target(false)),
        LogFormat::Json => {
            Box::new(fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(io::stderr))
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(config.level.clone())).try_init()
}

/// The lines of a log that a test looks at.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

#[cfg(test)]
impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
