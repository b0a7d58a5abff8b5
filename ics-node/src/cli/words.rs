//! How results speak: who said something, when, what a status does, how fresh an answer is.

use console::style;
use ics_core::evidence::Verified;
use ics_core::record::By;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Attribute, Effect};

use crate::api::AsOf;

/// Text that others wrote, fit for a terminal and for one line: without control characters, which could move the
/// cursor or colour a lie, and without marks that turn the direction of writing.
#[must_use]
pub(crate) fn clean(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// A signer by his name, or by his fingerprint where he has none.
#[must_use]
pub(crate) fn signer(by: &By) -> String {
    by.name.as_deref().map_or_else(|| by.signer.to_string(), clean)
}

/// A signer and the capacity in which he spoke.
#[must_use]
pub(crate) fn signer_as(by: &By) -> String {
    format!("{} as {}", signer(by), by.role)
}

/// Who said something, where in the log, and of which group.
#[must_use]
pub(crate) fn said_by(by: &By) -> String {
    format!("{}{}", signer_as(by), place(by))
}

/// Where in the log, to be put behind something; and below it of which group it was said, if not of the thing itself.
#[must_use]
pub(crate) fn place(by: &By) -> String {
    let group = by.group.as_ref().map(|group| format!("\n  of its group {}", short(&group.to_string())));
    style(format!("  entry {}{}", by.index, group.unwrap_or_default())).dim().to_string()
}

/// The beginning of an id: enough for a person to compare.
#[must_use]
pub(crate) fn short(id: &str) -> String {
    let digest = id.strip_prefix("sha256:").map(|hex| ("sha256:", hex));
    let (scheme, hex) = digest.unwrap_or(("", id));
    let head: String = hex.chars().take(16).collect();
    if head.len() == hex.len() { id.to_owned() } else { format!("{scheme}{head}…") }
}

/// A point in time as people read it: to the second, in UTC.
#[must_use]
pub(crate) fn when(time: Timestamp) -> String {
    let text = Timestamp::from_seconds(time.as_seconds()).to_string();
    text.replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// So many seconds, in the largest unit of which there is more than one.
#[must_use]
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= length * 2 || seconds == *length && *length < 86_400);
    match unit {
        Some((length, name)) => format!("{} {name}", seconds / length),
        None => format!("{seconds} s"),
    }
}

/// A number and a noun, which takes an s as its plural.
#[must_use]
pub(crate) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A word in the colour of an effect.
#[must_use]
pub(crate) fn in_colour(word: &str, effect: Effect) -> String {
    let word = style(clean(word)).bold();
    match effect {
        Effect::None => word.yellow(),
        Effect::Permits => word.green(),
        Effect::Blocks => word.red(),
        Effect::BlocksForEver => word.white().on_red(),
    }
    .to_string()
}

/// What a status does, in words.
#[must_use]
pub(crate) const fn does(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "neither permits nor blocks its use",
        Effect::Permits => "permits its use",
        Effect::Blocks => "blocks its use",
        Effect::BlocksForEver => "blocks its use for ever",
    }
}

/// What people call an attribute.
#[must_use]
pub(crate) const fn attribute(attribute: Attribute) -> &'static str {
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

/// How complete and how fresh an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Entries of the log that it rests on.
    pub(crate) size: u64,
    /// When the home said that there were no more.
    pub(crate) as_of: Option<Timestamp>,
    /// Seconds since then.
    pub(crate) age: Option<u64>,
    /// Seconds after which it is stale.
    pub(crate) bound: u64,
}

impl From<&AsOf> for Freshness {
    fn from(as_of: &AsOf) -> Self {
        Self { size: as_of.size, as_of: as_of.time, age: as_of.age_seconds, bound: as_of.fresh_for_seconds }
    }
}

impl Freshness {
    /// Of evidence that holds, at a time.
    #[must_use]
    pub(crate) fn of_evidence(verified: &Verified, now: Timestamp) -> Self {
        let age = verified.as_of.map(|time| now.millis_since(time).div_ceil(1000));
        Self { size: verified.size, as_of: verified.as_of, age, bound: verified.freshness.default }
    }

    /// Whether the answer is young enough to be relied on.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        self.as_of.is_some() && self.age.is_some_and(|age| age <= self.bound)
    }

    /// That in words.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let bound = span(self.bound);
        let entries = style(format!(", {} in the log", counted_entries(self.size))).dim();
        match (self.as_of, self.age) {
            (Some(time), Some(age)) if self.is_fresh() => {
                format!("{} ({} ago, good for {bound}){entries}", when(time), span(age))
            }
            (Some(time), Some(age)) => {
                let old = style(format!("{} ago, too old: the bound is {bound}", span(age))).yellow();
                format!("{} ({old}){entries}", when(time))
            }
            _ => format!("{}{entries}", style("never: the home has not said that this is its newest state").yellow()),
        }
    }
}

fn counted_entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        assert_eq!(clean("Pump 7"), "Pump 7");
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
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
    }

    #[test]
    fn ids_are_cut_where_they_are_long() {
        assert_eq!(short("0123456789abcdef0123"), "0123456789abcdef…");
        assert_eq!(short("sha256:0123456789abcdef0123"), "sha256:0123456789abcdef…");
        assert_eq!(short("0123456789abcdef"), "0123456789abcdef");
    }

    #[test]
    fn past_its_bound_an_answer_is_stale() {
        let time = Timestamp::from_seconds(1_795_162_200);
        let text = |as_of, age| {
            let freshness = Freshness { size: 12, as_of, age, bound: 60 };
            (freshness.is_fresh(), console::strip_ansi_codes(&freshness.text()).into_owned())
        };
        let at = "2026-11-20 08:10:00 UTC";
        let log = "12 entries in the log";
        assert_eq!(text(Some(time), Some(60)), (true, format!("{at} (1 min ago, good for 1 min), {log}")));
        assert_eq!(
            text(Some(time), Some(150)),
            (false, format!("{at} (2 min ago, too old: the bound is 1 min), {log}"))
        );
        let never = "never: the home has not said that this is its newest state";
        assert_eq!(text(None, None), (false, format!("{never}, {log}")));
    }
}
