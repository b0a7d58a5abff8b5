//! Wording that all faces share: times, spans, and text that others wrote.

use std::path::Path;

use ics_core::record::{Listed, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Attribute;
use serde::Serializer;

/// What a listing says while something that was erased may be what leads to a thing.
pub const MAY_MISS: &str = "something was erased, and what is left of it is not shown yet: things may be missing";

/// How a command that people may copy begins in a text.
const COMMAND: &str = "`ics ";

/// Makes text that others wrote fit for one line of a terminal or a page: replaces control characters, which could move
/// the cursor or forge colours, and characters that change the direction of writing, break the line or are invisible,
/// by which two names could look alike.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unseen(c) { '\u{fffd}' } else { c }).collect()
}

/// Default ignorable code points (Unicode 16, DerivedCoreProperties) that no script needs within a word, and the line
/// and paragraph separators.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The beginning of a text that may be long, where the full text is available elsewhere.
#[must_use]
pub fn brief(text: &str, characters: usize) -> String {
    let mut rest = text.chars();
    let head: String = rest.by_ref().take(characters).collect();
    if rest.next().is_none() { head } else { format!("{}…", head.trim_end()) }
}

/// Quotes one word of a command that people are to copy, so that a shell does not interpret it, nor the program take it
/// for a flag.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let text = if text.starts_with('-') { format!("./{text}") } else { text.to_owned() };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// As [`shell_word`], for the path of a file.
#[must_use]
pub fn shell_path(path: &Path) -> String {
    shell_word(&path_text(path))
}

/// Adds flags to the commands in backticks of a text, except where it names a home directory or node itself, or already
/// has them as part of another text.
#[must_use]
pub fn named_in(text: &str, flags: &str) -> String {
    let mut parts = text.split(COMMAND);
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        named.push_str(COMMAND);
        let is_named = ["--home", "--node"].iter().any(|flag| part.starts_with(flag));
        if !flags.is_empty() && !is_named {
            named.push_str(flags);
            named.push(' ');
        }
        named.push_str(part);
    }
    named
}

/// A path as text, as JSON needs it: bytes that are not UTF-8 are replaced. `Path` itself refuses to be serialized
/// then, and the macro `json!` panics.
#[must_use]
pub fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// As [`path_text`], for a member that is serialized.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_path<S: Serializer>(path: impl AsRef<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}

/// The beginning of an id, enough for comparing by eye.
#[must_use]
pub fn short(id: &str) -> String {
    let digest = id.strip_prefix("sha256:").map(|hex| ("sha256:", hex));
    let (scheme, hex) = digest.unwrap_or(("", id));
    let head: String = hex.chars().take(16).collect();
    if head.len() == hex.len() { id.to_owned() } else { format!("{scheme}{head}…") }
}

/// A time for people: to the second, in UTC.
#[must_use]
pub fn when(time: Timestamp) -> String {
    let text = Timestamp::from_seconds(time.as_seconds()).to_string();
    text.replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// Why a statement counts or no longer does; a record states the times in it for programs.
#[must_use]
pub fn because(listed: &Listed) -> String {
    match (listed.standing, listed.from, listed.until) {
        (Standing::NotYet, Some(from), _) => format!("it holds only from {} on", when(from)),
        (Standing::Lapsed, _, Some(until)) => format!("it held until {}", when(until)),
        _ => clean(&listed.because),
    }
}

/// A time for use in a sentence: to the minute, in UTC.
#[must_use]
pub fn day(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = when(time);
    let part = |range| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    match month {
        Some(month) => format!("{} {month} {}, {} UTC", part(8..10).trim_start_matches('0'), part(0..4), part(11..16)),
        None => text,
    }
}

/// A number of seconds, in the largest unit of which there is more than one.
#[must_use]
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= length * 2 || seconds == *length && *length < 86_400);
    match unit {
        Some((length, name)) => format!("{} {name}", seconds / length),
        None => format!("{seconds} s"),
    }
}

/// A number and a noun that takes an s as its plural.
#[must_use]
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A number of entries of a log.
#[must_use]
pub fn counted_entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

/// The word for an attribute.
#[must_use]
pub const fn attribute(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Manufacturer => "manufacturer",
        Attribute::Make => "make",
        Attribute::Model => "model",
        Attribute::ProductId => "product id",
        Attribute::ProductVersion => "product version",
        Attribute::Lot => "lot",
        Attribute::Quantity => "quantity",
        Attribute::Location => "location",
        Attribute::Destination => "destination",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        assert_eq!(clean("Pump 7"), "Pump 7");
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(clean("a\u{200b}b\u{2028}c\u{e0041}d\u{feff}"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(brief("pump", 4), "pump");
        assert_eq!(brief("a pump", 2), "a…");
    }

    #[test]
    fn the_end_of_a_statement_is_told_as_its_other_times_are() {
        let vectors = include_str!("../../schemas/vectors/records.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("vectors");
        let records = vectors["plant.example"]["records"].as_array().expect("records");
        let first = records.iter().find_map(|it| it["record"]["statements"].get(0)).expect("a statement");
        let mut listed: Listed = serde_json::from_value(first.clone()).expect("a statement");
        let time = Timestamp::from_seconds(1_767_225_600);
        (listed.standing, listed.from, listed.until) = (Standing::Lapsed, None, Some(time));
        assert_eq!(because(&listed), "it held until 2026-01-01 00:00:00 UTC");
        (listed.standing, listed.from) = (Standing::NotYet, Some(time));
        assert_eq!(because(&listed), "it holds only from 2026-01-01 00:00:00 UTC on");
        (listed.standing, listed.because) = (Standing::Withdrawn, "it was\ttaken back".to_owned());
        assert_eq!(because(&listed), "it was\u{fffd}taken back");
    }

    #[test]
    fn a_shell_reads_a_word_as_it_was_meant() {
        assert_eq!(shell_word("/media/stick/pump_1.evidence.json"), "/media/stick/pump_1.evidence.json");
        assert_eq!(shell_word("-rf"), "./-rf");
        for text in
            ["", "a b", "$(touch x)", "`id`", "it's", "a;b|c&d", "~", "*", "\\", "#a", "a\nb", "\"x\"", "ä", "!x"]
        {
            let word = shell_word(text);
            assert_eq!(shlex::split(&word), Some(vec![text.to_owned()]), "{word}");
            assert!(word.starts_with('\'') && word.ends_with('\''), "{word}");
        }
    }

    #[test]
    fn spans_of_time() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "61 s"),
            (120, "2 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (86_400, "24 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn times_are_read_by_people() {
        assert_eq!(when(Timestamp::from_millis(1_795_162_200_123)), "2026-11-20 08:10:00 UTC");
        assert_eq!(day(Timestamp::from_millis(1_795_162_200_123)), "20 Nov 2026, 08:10 UTC");
    }

    #[test]
    fn ids_are_cut_where_they_are_long() {
        assert_eq!(short("0123456789abcdef0123"), "0123456789abcdef…");
        assert_eq!(short("sha256:0123456789abcdef0123"), "sha256:0123456789abcdef…");
        assert_eq!(short("0123456789abcdef"), "0123456789abcdef");
    }
}
