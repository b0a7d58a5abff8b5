//! The demo's output: for people, a numbered sentence for each step with its evidence below; for programs, one JSON
//! object on a line. Colours and the progress line appear on a terminal only.

use std::io::Write as _;
use std::time::{Duration, Instant};

use console::{Term, measure_text_width, style};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::Result;

/// The width of a line, in columns.
const WIDTH: usize = 96;
/// The indentation of the evidence, and the width of the label before each piece of it.
const INDENT: usize = 5;
const LABEL: usize = 12;

/// The evidence of a step.
#[derive(Debug, Default)]
pub(super) struct Told {
    facts: Vec<Fact>,
    table: Vec<Vec<String>>,
    data: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct Fact {
    what: &'static str,
    value: String,
    checked: bool,
}

impl Told {
    /// Adds something that was checked here and holds.
    pub(super) fn checked(mut self, what: &'static str, value: impl Into<String>) -> Self {
        self.facts.push(Fact { what, value: value.into(), checked: true });
        self
    }

    /// Adds something that is shown as it is.
    pub(super) fn shown(mut self, what: &'static str, value: impl Into<String>) -> Self {
        self.facts.push(Fact { what, value: value.into(), checked: false });
        self
    }

    /// Sets the table before the other evidence; its first row names the columns.
    pub(super) fn table(mut self, rows: Vec<Vec<String>>) -> Self {
        self.table = rows;
        self
    }

    /// Adds something for programs only.
    pub(super) fn data(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}

/// The demo's output.
#[derive(Debug)]
pub(super) struct Show {
    json: bool,
    /// Whether a line may be drawn and cleared again.
    live: bool,
    step: usize,
}

impl Show {
    /// An output for people, or as JSON for programs.
    pub(super) fn new(json: bool) -> Self {
        Self { json, live: !json && console::user_attended(), step: 0 }
    }

    /// The first lines.
    pub(super) fn title(&self, title: &str, text: &str) {
        if !self.json {
            say(&format!("\n  {}\n  {}\n", style(title).bold(), style(text).dim()));
        }
    }

    /// Plays a step and shows its result.
    pub(super) async fn step(
        &mut self,
        name: &str,
        headline: &str,
        play: impl Future<Output = Result<Told>>,
    ) -> Result<()> {
        self.step += 1;
        let pending = format!("{:>3}  {headline}", self.step);
        let terminal = Term::stdout();
        if self.live {
            // A terminal that cannot be written to will be noticed soon enough.
            let _ = terminal.write_str(&style(&pending).dim().to_string());
        }
        let begun = Instant::now();
        let ended = play.await;
        if self.live {
            let _ = terminal.clear_line();
        }
        match &ended {
            Ok(told) if self.json => self.line(name, headline, begun.elapsed(), told),
            Ok(told) => say(&told.lines(&self.headline(headline, begun.elapsed())).join("\n")),
            Err(error) if self.json => {
                say(&json!({ "step": self.step, "name": name, "ok": false, "error": error.to_string() }).to_string());
            }
            Err(_) => say(&format!("{} {}", style(format!("{:>3} ", self.step)).red().bold(), style(headline).bold())),
        }
        ended.map(drop)
    }

    fn headline(&self, headline: &str, took: Duration) -> String {
        let took = duration(took);
        let padding = WIDTH.saturating_sub(INDENT + measure_text_width(headline) + measure_text_width(&took)).max(2);
        format!(
            "{}  {}{}{}",
            style(format!("{:>3}", self.step)).cyan().bold(),
            style(headline).bold(),
            " ".repeat(padding),
            style(took).dim()
        )
    }

    fn line(&self, name: &str, headline: &str, took: Duration, told: &Told) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let line = json!({
            "step": self.step, "name": name, "told": headline, "ok": true, "millis": millis,
            "evidence": told.facts, "data": told.data,
        });
        say(&line.to_string());
    }

    /// The last lines: addresses, and what to try.
    pub(super) fn ending(&self, rows: &[(String, String)], value: &Value) {
        if self.json {
            say(&value.to_string());
            return;
        }
        say(&format!("  {}", style("The story went as told.").green().bold()));
        for (what, text) in rows {
            say(&format!("     {}  {text}", style(format!("{what:<14}")).dim()));
        }
        say("");
    }

    /// A remark for people.
    pub(super) fn note(&self, text: &str) {
        if !self.json {
            say(&format!("  {}", style(text).dim()));
        }
    }
}

impl Told {
    fn lines(&self, headline: &str) -> Vec<String> {
        let indent = " ".repeat(INDENT);
        let mut lines = vec![headline.to_owned()];
        if !self.table.is_empty() {
            lines.extend(table(&self.table).into_iter().map(|line| format!("{indent}{line}")));
        }
        for fact in &self.facts {
            let mark = if fact.checked { style("✓").green() } else { style("·").dim() };
            let label = format!("{:LABEL$}", fact.what);
            let room = WIDTH.saturating_sub(INDENT + 2 + LABEL + 1);
            let mut wrapped = wrap(&fact.value, room).into_iter();
            let first = wrapped.next().unwrap_or_default();
            lines.push(format!("{indent}{mark} {} {first}", style(label).dim()));
            lines.extend(wrapped.map(|line| format!("{}{line}", " ".repeat(INDENT + 2 + LABEL + 1))));
        }
        lines.push(String::new());
        lines
    }
}

/// Prints a line. If standard output is closed, there is nobody left to tell, and the nodes must still end in order.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Formats columns under dimmed heads.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| measure_text_width(cell));
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded =
            cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(measure_text_width(cell)))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter()
        .enumerate()
        .map(|(number, row)| if number == 0 { style(line(row)).dim().to_string() } else { line(row) })
        .collect()
}

/// Breaks a text at spaces into lines of at most this many columns; a longer word stays whole, so that it can be
/// copied.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split('\n') {
        let mut line = String::new();
        for word in part.split(' ') {
            if !line.is_empty() && measure_text_width(&line) + 1 + measure_text_width(word) > room {
                lines.push(core::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// `840 ms`, `1.24 s`.
pub(super) fn duration(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.2} s", took.as_secs_f64()),
    }
}

/// The beginning of a hash or fingerprint, enough to compare by eye.
pub(super) fn short(text: &str) -> String {
    let head: String = text.chars().take(12).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one\ntwo three", 20), ["one", "two three"]);
        assert_eq!(wrap("incomprehensibly long", 5), ["incomprehensibly", "long"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn evidence_stands_in_columns() {
        let told = Told::default().checked("log", "entry 1").shown("root", "ab");
        let plain: Vec<String> =
            told.lines("h").iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect();
        assert_eq!(plain, ["h", "     ✓ log          entry 1", "     · root         ab", ""]);
    }

    #[test]
    fn durations_in_words() {
        assert_eq!(duration(Duration::from_millis(31)), "31 ms");
        assert_eq!(duration(Duration::from_millis(1240)), "1.24 s");
    }
}
