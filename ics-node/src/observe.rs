//! The node's own log: structured events on standard error, as lines for people or the journal, or as JSON.

use std::io::{self, IsTerminal as _};

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};
use crate::words::named_in;

/// Sends the events of this process to standard error. Commands in them take the flags by which the user has named the
/// home directory, so that a copy of them acts on it. To be called once in a process.
///
/// # Errors
/// When this process already has a logger.
pub fn init(config: &LogConfig, flags: &str) -> Result<(), TryInitError> {
    let is_terminal = io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text if is_journal() => {
            Box::new(layer.with_ansi(false).event_format(Named::new(JournalLines::new(), flags)))
        }
        LogFormat::Text => {
            let format = fmt::format().with_target(false).with_ansi(is_terminal);
            Box::new(layer.with_ansi(is_terminal).event_format(Named::new(format, flags)))
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            Box::new(layer.map_event_format(|format| Named::new(format, &in_json(flags))))
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(config.level.clone())).try_init()
}

/// A text as it stands between the quotes of JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Events whose commands take these flags.
struct Named<F> {
    format: F,
    flags: String,
}

impl<F> Named<F> {
    fn new(format: F, flags: &str) -> Self {
        Self { format, flags: flags.to_owned() }
    }
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> core::fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        write!(writer, "{}", named_in(&text, &self.flags))
    }
}

/// What a line on standard error begins with to count as an error in the journal; nothing if it does not go there.
pub(crate) fn error_mark() -> &'static str {
    if is_journal() { "<3>" } else { "" }
}

/// Whether systemd has connected standard error to its journal (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Lines that begin with their priority, as the journal takes them (sd-daemon(3)); it adds the time itself.
struct JournalLines(Format<Full, ()>);

impl JournalLines {
    fn new() -> Self {
        Self(fmt::format().without_time().with_target(false).with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> core::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut text = String::new();
        self.0.format_event(context, Writer::new(&mut text), event)?;
        // The journal ends a line at a NUL, too. In what others have sent, the rest would else choose its own priority.
        let mut lines = text.trim_end_matches('\n').split(['\n', '\0']);
        lines.try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_sent_chooses_no_priority_in_the_journal() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(JournalLines::new()).finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(reason = %"busy\n<0>on fire\0<0>flooded", "the peer refuses");
        });
        assert_eq!(lines.text(), "<4> WARN the peer refuses reason=busy\n<4><0>on fire\n<4><0>flooded\n");
    }

    /// An operator copies them into a shell that knows nothing of the unit's `--home`.
    #[test]
    fn commands_in_the_log_name_the_home_that_they_are_about() {
        let flags = "--home '/srv/\"a\"'";
        let journal = Lines::default();
        let writer = journal.clone();
        let format = Named::new(JournalLines::new(), flags);
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(format).finish();
        tracing::subscriber::with_default(log, || tracing::warn!("run `ics fsck`"));
        assert_eq!(journal.text(), "<4> WARN run `ics --home '/srv/\"a\"' fsck`\n");

        let json = Lines::default();
        let writer = json.clone();
        let format = Named::new(fmt::format().json().flatten_event(true), &in_json(flags));
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).event_format(format).finish();
        tracing::subscriber::with_default(log, || tracing::warn!(why = %"`ics fsck`", "damaged"));
        let line: serde_json::Value = serde_json::from_str(&json.text()).expect("JSON");
        assert_eq!(line["why"], format!("`ics {flags} fsck`"));
    }
}
