//! How results look on a terminal. The words are those of [`crate::words`], which all faces share.

use console::style;
use ics_core::evidence::Verified;
use ics_core::limits;
use ics_core::record::By;
use ics_core::time::Timestamp;
use ics_core::vocabulary::Effect;

use crate::api::AsOf;
pub(crate) use crate::words::{MAY_MISS, attribute, because, clean, counted, counted_entries, short, span, when};

/// A warning about a time given by somebody else's clock.
const LATER: &str = "later than the time by which it is judged";

/// Whether a time given by somebody else's clock is well ahead of the time by which it is judged.
#[must_use]
pub(crate) fn is_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.millis_since(now) > limits::CLOCK_SKEW_MILLIS
}

/// Such a time in words, with a warning if it is ahead.
#[must_use]
pub(crate) fn when_by(at: Timestamp, now: Timestamp) -> String {
    if is_ahead(at, now) { format!("{} ({})", when(at), style(LATER).yellow()) } else { when(at) }
}

/// The name of a signer, or the fingerprint if there is none.
#[must_use]
pub(crate) fn signer(by: &By) -> String {
    by.name.as_deref().map_or_else(|| by.signer.to_string(), clean)
}

/// A signer and the role in which they spoke.
#[must_use]
pub(crate) fn signer_as(by: &By) -> String {
    format!("{} as {}", signer(by), by.role)
}

/// As [`signer_as`], for the remnant of an erased statement, whose signer may be an owner of the domain, who needs no
/// role for that.
#[must_use]
pub(crate) fn signer_of(by: &By, is_by_owners: bool) -> String {
    if is_by_owners { format!("{}, an owner of the domain", signer(by)) } else { signer_as(by) }
}

/// Who said something, where in the log, and about which group.
#[must_use]
pub(crate) fn said_by(by: &By) -> String {
    format!("{}{}", signer_as(by), place(by))
}

/// The place in the log, as a suffix; below it the group about which it was said, if not about the thing itself.
#[must_use]
pub(crate) fn place(by: &By) -> String {
    let group = by.group.as_ref().map(|group| format!("\n  of its group {}", short(&group.to_string())));
    style(format!("  entry {}{}", by.index, group.unwrap_or_default())).dim().to_string()
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

/// How complete and how fresh an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// The number of log entries on which it rests.
    pub(crate) size: u64,
    /// When the home stated that there were no more.
    pub(crate) as_of: Option<Timestamp>,
    /// Its age in seconds; also absent if it is dated later than the time by which it is judged.
    pub(crate) age: Option<u64>,
    /// The age in seconds from which it is stale.
    pub(crate) bound: u64,
}

impl From<&AsOf> for Freshness {
    fn from(as_of: &AsOf) -> Self {
        Self { size: as_of.size, as_of: as_of.time, age: as_of.age_seconds, bound: as_of.fresh_for_seconds }
    }
}

impl Freshness {
    /// The freshness of evidence that holds, at a time.
    #[must_use]
    pub(crate) fn of_evidence(verified: &Verified, now: Timestamp) -> Self {
        let age = verified.as_of.map(|time| now.millis_since(time).div_ceil(1000));
        Self { size: verified.size, as_of: verified.as_of, age, bound: verified.freshness.default }
    }

    /// Whether the answer is recent enough to be relied on.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        self.as_of.is_some() && self.age.is_some_and(|age| age <= self.bound)
    }

    /// The freshness in words.
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
            (Some(time), None) => {
                format!("{} ({}){entries}", when(time), style(LATER).yellow())
            }
            _ => format!("{}{entries}", style("never: the home has not said that this is its newest state").yellow()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_to_come_is_told_as_such() {
        let time = Timestamp::from_seconds(1_795_162_200);
        let text = |ahead: u64| {
            let now = Timestamp::from_millis(time.as_millis() - ahead);
            console::strip_ansi_codes(&when_by(time, now)).into_owned()
        };
        let at = "2026-11-20 08:10:00 UTC";
        assert_eq!(text(limits::CLOCK_SKEW_MILLIS), at, "no two clocks are the same");
        let later = format!("{at} (later than the time by which it is judged)");
        assert_eq!(text(limits::CLOCK_SKEW_MILLIS + 1), later);
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
        assert_eq!(text(Some(time), None), (false, format!("{at} (later than the time by which it is judged), {log}")));
        let never = "never: the home has not said that this is its newest state";
        assert_eq!(text(None, None), (false, format!("{never}, {log}")));
    }
}
