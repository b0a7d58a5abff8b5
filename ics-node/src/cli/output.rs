//! What commands print: cards and tables for people, or one JSON value for programs. Results go to standard output,
//! everything else to standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::path::Path;
use std::sync::OnceLock;

use console::{Term, measure_text_width, style};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::files::is_standard;
use crate::words::named_in;

/// The flags by which the user has named a home directory or a node.
static NAMED: OnceLock<String> = OnceLock::new();

/// Has every command in backticks that is printed from now on take these flags, so that a copy of it acts on what the
/// user has named. What is to be done on another machine is therefore printed without backticks.
pub(crate) fn name_in_commands(flags: String) {
    // A program has one command line, and calls this once.
    let _ = NAMED.set(flags);
}

/// The text with the flags of [`name_in_commands`].
pub(crate) fn with_named(text: &str) -> String {
    named_in(text, NAMED.get().map_or("", String::as_str))
}

/// Text for people, in which nothing speaks to the terminal: of control characters only line breaks, tabs and colours
/// are left. What others may write as they like is cleaned where a text is put together; this is for what a node says
/// in members that have a form, such as ids, and need not keep to it.
fn for_terminal(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        let (before, control) = rest.split_at(at);
        let colour = colour(control);
        let length = colour.map_or_else(|| control.chars().next().map_or(1, char::len_utf8), str::len);
        shown.push_str(before);
        shown.push_str(colour.unwrap_or("\u{fffd}"));
        rest = control.get(length..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

/// The escape sequence for a colour, or another way of writing, with which a text begins (SGR, ECMA-48, 8.3.117).
fn colour(text: &str) -> Option<&str> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !matches!(c, '0'..='9' | ';'))?;
    let is_one = codes.get(end..)?.starts_with('m');
    if is_one { text.get(..end + 3) } else { None }
}

/// Where and how to print.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Output {
    /// Results as JSON.
    pub(crate) json: bool,
    /// Whether to print nothing but results, errors, and what a question is about.
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints a result: `human` for people, `value` as JSON.
    ///
    /// # Errors
    /// When standard output cannot be written to, or the value cannot be serialized, which is a defect.
    pub(crate) fn result(&self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<(), Failure> {
        self.page(value, human).map(drop)
    }

    /// As [`Self::result`], for one of several; returns whether the reader takes more.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn page(&self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<bool, Failure> {
        let text = if self.json {
            serde_json::to_string_pretty(value).map_err(|e| Failure::new(Exit::Internal, e))?
        } else {
            with_named(&for_terminal(human().trim_end()))
        };
        print_part(format!("{text}\n").as_bytes())
    }

    /// As [`Self::result`], about what was written to a file: if that is standard output, it holds nothing else.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub(crate) fn written(
        &self,
        path: &Path,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if is_standard(path) { Ok(()) } else { self.result(value, human) }
    }

    /// Reports progress, to people only.
    pub(crate) fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            say(&format!("{}\n", with_named(&for_terminal(text))));
        }
    }

    /// Shows what is about to be signed or believed. If a question about it follows, it is shown whatever the output
    /// settings, so that nobody agrees to what they have not seen.
    pub(crate) fn review(&self, text: &str, is_asked: bool) {
        if is_asked && std::io::stdin().is_terminal() {
            say(&format!("{}\n", with_named(&for_terminal(text))));
        } else {
            self.note(text);
        }
    }

    /// Whether progress may be drawn.
    pub(crate) fn shows_progress(self) -> bool {
        !self.json && !self.quiet && console::user_attended_stderr()
    }
}

/// Writes to standard output. A reader that closes it early, as `head` does, has read enough.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    print_part(bytes).map(drop)
}

/// As [`print()`]; returns whether the reader takes more.
pub(crate) fn print_part(bytes: &[u8]) -> Result<bool, Failure> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Local, format!("standard output: {error}"))),
    }
}

/// Pages as one JSON value, printed in parts as they come; output cut short is not valid JSON, so nobody takes it for
/// all.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    is_begun: bool,
    is_listed: bool,
    misses: bool,
}

impl Whole {
    /// Prints a page; returns whether the reader takes more. Every page is as of the first one or later; of one that is
    /// cut short, things may be missing.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn page(
        &mut self,
        as_of: &impl Serialize,
        items: &[impl Serialize],
        cut_short: bool,
    ) -> Result<bool, Failure> {
        self.misses |= cut_short;
        let mut text = String::new();
        if !core::mem::replace(&mut self.is_begun, true) {
            text = format!("{{\"as_of\": {}, \"items\": [", as_json(as_of)?);
        }
        for item in items {
            text.push_str(if core::mem::replace(&mut self.is_listed, true) { ",\n" } else { "\n" });
            text.push_str(&as_json(item)?);
        }
        print_part(text.as_bytes())
    }

    /// Ends the value after the last page.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(crate) fn end(&self) -> Result<(), Failure> {
        let text = if self.misses { "\n], \"cut_short\": true}\n" } else { "\n]}\n" };
        print(text.as_bytes())
    }
}

fn as_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::new(Exit::Internal, e))
}

/// Standard output for what is written in parts. It knows whether its reader has closed it, who then has read enough.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Whether the reader wants no more.
    pub(crate) is_closed: bool,
}

impl Parts {
    fn noting<T>(&mut self, written: io::Result<T>) -> io::Result<T> {
        self.is_closed |= written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        written
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.noting(io::stdout().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.noting(io::stdout().lock().flush())
    }
}

/// Writes to standard error. If that is closed, there is nobody left to tell, and the command ends as usual.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Asks a person to confirm. Whoever does not is told what was not done; `nobody` is told where nobody can be asked.
pub(crate) fn confirm(question: &str, nobody: Failure, not_done: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(nobody);
    }
    say(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(Exit::Local, e))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Refused, not_done)),
    }
}

/// Formats a title and, below it, names and values, the values in one column.
#[must_use]
pub(crate) fn card(title: &str, rows: &[(&str, String)]) -> String {
    let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    card_within(columns.unwrap_or(usize::MAX), title, rows)
}

fn card_within(columns: usize, title: &str, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0);
    let room = columns.saturating_sub(width + 4);
    let mut text = format!("{}\n", style(title).bold());
    for (name, value) in rows {
        let padding = " ".repeat(width - measure_text_width(name));
        let value = with_named(value);
        let mut lines = value.lines().flat_map(|line| wrapped(line, room));
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("  {}{padding}  {first}\n", style(name).dim()));
        for line in lines {
            text.push_str(&format!("  {}  {line}\n", " ".repeat(width)));
        }
    }
    text
}

/// Wraps a line to fit the terminal.
#[must_use]
pub(crate) fn wrapped_lines(line: &str) -> String {
    let columns = Term::stdout().size_checked().map_or(usize::MAX, |(_, columns)| usize::from(columns));
    wrapped(&with_named(line), columns).join("\n")
}

/// Wraps a line to this width at spaces; continuation lines are indented further. Widths of only a few words are not
/// wrapped to.
fn wrapped(line: &str, room: usize) -> Vec<String> {
    const LEAST: usize = 30;
    if room < LEAST || measure_text_width(line) <= room {
        return vec![line.to_owned()];
    }
    let indent = " ".repeat(line.len() - line.trim_start_matches(' ').len() + 2);
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = String::new();
    for word in line.split_inclusive(' ') {
        if measure_text_width(&piece) + measure_text_width(word.trim_end()) > room && !piece.trim().is_empty() {
            pieces.push(core::mem::replace(&mut piece, indent.clone()).trim_end().to_owned());
        }
        piece.push_str(word);
    }
    pieces.push(piece);
    pieces
}

/// Formats columns under their heads, as wide as their widest cell.
#[must_use]
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell));
        let head = heads.get(column).map_or(0, |head| measure_text_width(head));
        cells.max().unwrap_or(0).max(head)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<String>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(measure_text_width(cell)))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(heads.iter().map(|head| style(head).dim().to_string()).collect());
    core::iter::once(head).chain(rows.iter().cloned().map(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_align_their_values() {
        let text = card("node", &[("name", "n1".to_owned()), ("fingerprint", "ab\ncd".to_owned())]);
        assert_eq!(console::strip_ansi_codes(&text), "node\n  name         n1\n  fingerprint  ab\n               cd\n");
    }

    #[test]
    fn long_values_are_broken_at_spaces() {
        let rows = [("why", format!("{} end\n  {}", "word ".repeat(8).trim_end(), "x".repeat(40)))];
        let text = card_within(40, "node", &rows);
        let x = "x".repeat(40);
        assert_eq!(
            console::strip_ansi_codes(&text),
            format!("node\n  why  word word word word word word\n         word word end\n         {x}\n")
        );
        assert_eq!(console::strip_ansi_codes(&card_within(20, "node", &rows)), card_within(usize::MAX, "node", &rows));
        let styled = style("word ".repeat(8).trim_end().to_owned()).red().force_styling(true).to_string();
        assert_eq!(wrapped(&styled, 33).iter().map(|piece| measure_text_width(piece)).collect::<Vec<_>>(), [29, 11]);
    }

    /// A node may be anybody's.
    #[test]
    fn what_a_node_says_speaks_to_no_terminal() {
        let colours = "\u{1b}[1m\u{1b}[38;5;9mred\u{1b}[0m\u{1b}[m\n\tplain";
        assert_eq!(for_terminal(colours), colours);
        let said = "a\u{1b}[2Jb\u{1b}]0;c\u{7}d\u{9b}1me\r\u{1b}[31;f\u{1b}";
        let r = '\u{fffd}';
        assert_eq!(for_terminal(said), format!("a{r}[2Jb{r}]0;c{r}d{r}1me{r}{r}[31;f{r}"));
    }

    #[test]
    fn commands_take_what_the_user_has_named_once() {
        let flags = "--home '/srv/a b' --node https://n.example";
        let text = "`ics outbox` shows them; `ics --json domain show > next.json`, there ics sign FILE, `--home DIR`";
        let named = named_in(text, flags);
        let expected = format!(
            "`ics {flags} outbox` shows them; `ics {flags} --json domain show > next.json`, there ics sign FILE, \
             `--home DIR`"
        );
        assert_eq!(named, expected);
        assert_eq!(named_in(&named, flags), named);
        let in_a_column = wrapped(&named, 40).join("\n");
        assert_eq!(named_in(&in_a_column, flags), in_a_column);
        assert_eq!(named_in(text, ""), text);
        let of_another = "`ics --home demo/plant serve`";
        assert_eq!(named_in(of_another, flags), of_another);
    }

    #[test]
    fn tables_are_as_wide_as_their_cells() {
        let text = table(&["name", "n"], &[vec!["é".to_owned(), "1".to_owned()], vec!["longer".to_owned()]]);
        assert_eq!(console::strip_ansi_codes(&text), "name    n\né       1\nlonger");
    }
}
