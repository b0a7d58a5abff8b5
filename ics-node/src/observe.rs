//! The node's own log: structured events on standard error, as lines for people or the journal, or as JSON.

use std::io::{self, IsTerminal as _};

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};
use crate::words::{clean, named_in};

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
            let layer = layer.with_ansi(false).fmt_fields(OneLine);
            Box::new(layer.event_format(Named::new(JournalLines::new(), flags)))
        }
        LogFormat::Text => {
            let format = fmt::format().with_target(false).with_ansi(is_terminal);
            let layer = layer.with_ansi(is_terminal).fmt_fields(OneLine);
            Box::new(layer.event_format(Named::new(format, flags)))
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_span_list(false);
            Box::new(layer.map_event_format(|format| Named::new(format, &in_json(flags))))
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(config.level.clone())).try_init()
}

/// What an event tells, on one line. Much of it is what others have sent, and tracing-subscriber writes out the escapes
/// in a message only: those in a field would move the cursor of a terminal, and a line break would begin an event of
/// their own. JSON has escapes for both.
struct OneLine;

impl<'writer> FormatFields<'writer> for OneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> core::fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&clean(&text.replace('\n', " ")))
    }
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

/// Lines that begin with their priority, as the journal takes them (sd-daemon(3)); it adds the time itself. It ends a
/// line also at a NUL, so fields must be those of [`OneLine`].
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
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
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

    /// A peer says why it refuses, and names are chosen by others.
    #[test]
    fn what_others_have_sent_forges_no_event_and_no_priority_and_moves_no_cursor() {
        let sent = "busy\n<0> WARN on fire\0<0>flooded\r\u{1b}[2J\u{9b}1mall\u{202e}well";
        let told = "busy <0> WARN on fire\u{fffd}<0>flooded\u{fffd}\u{fffd}[2J\u{fffd}1mall\u{fffd}well";
        let (journal, text) = (Lines::default(), Lines::default());
        let writer = journal.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).fmt_fields(OneLine);
        let log = log.event_format(JournalLines::new()).finish();
        let tell = || tracing::info_span!("asked", of = %sent).in_scope(|| tracing::warn!(reason = %sent, "refused"));
        tracing::subscriber::with_default(log, tell);
        assert_eq!(journal.text(), format!("<4> WARN asked{{of={told}}}: refused reason={told}\n"));

        let writer = text.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(true).fmt_fields(OneLine);
        let log = log.event_format(fmt::format().without_time().with_target(false).with_ansi(true)).finish();
        tracing::subscriber::with_default(log, tell);
        let text = text.text();
        assert!(text.ends_with(&format!("refused reason={told}\n")) && text.lines().count() == 1, "{text:?}");
        assert!(text.contains("\u{1b}[33m"), "the level has its colour: {text:?}");
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
