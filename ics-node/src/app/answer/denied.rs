//! What this node has recently not allowed, for its operator. It is kept only in memory, because it shows what people
//! asked about.

use std::collections::VecDeque;
use std::sync::Mutex;

use ics_core::identity::excerpt;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Verdict};

use crate::api::Check;
use crate::locked::Locked as _;

/// How many verdicts are kept.
const KEPT: usize = 100;
/// How many reasons are kept of each.
const REASONS: usize = 4;
/// How many characters of a reason are kept.
const REASON_CHARACTERS: usize = 400;

/// A verdict other than `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// When it was last given.
    pub at: Timestamp,
    /// How often it was given in a row, with no other one in between.
    pub times: u64,
    /// What was asked about, as it was asked.
    pub thing: String,
    /// The peer that it was to be used with.
    pub peer: Option<String>,
    /// The intended use.
    pub usage: String,
    /// `deny` or `unknown`.
    pub outcome: Outcome,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// The latest ones, newest first.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<VecDeque<Denied>>);

impl Denials {
    /// Keeps a verdict unless it is `allow`. A client that asks the same again and again does not push out those of
    /// others.
    pub(crate) fn note(&self, thing: &str, peer: Option<&str>, verdict: &Verdict) {
        let brief = |reason: &String| reason.chars().take(REASON_CHARACTERS).collect();
        let reasons = || verdict.reasons.iter().take(REASONS).map(brief).collect();
        self.keep((thing, peer, &verdict.usage), verdict.outcome, verdict.at, reasons);
    }

    /// Keeps a check in the same way; its reason is a single word.
    pub(crate) fn note_check(&self, asked: (&str, Option<&str>, &str), check: &Check, at: Timestamp) {
        self.keep(asked, check.verdict, at, || vec![check.reason.as_str().replace('-', " ")]);
    }

    fn keep(
        &self,
        (thing, peer, usage): (&str, Option<&str>, &str),
        outcome: Outcome,
        at: Timestamp,
        reasons: impl FnOnce() -> Vec<String>,
    ) {
        if outcome == Outcome::Allow {
            return;
        }
        let (thing, peer, usage) = (excerpt(thing), peer.map(excerpt), excerpt(usage));
        let denied = Denied { at, times: 1, thing, peer, usage, outcome, reasons: reasons() };
        let mut kept = self.0.locked();
        let same = |other: &Denied| Denied { at: denied.at, times: 1, ..other.clone() } == denied;
        match kept.front_mut().filter(|first| same(first)) {
            Some(first) => {
                first.at = denied.at;
                first.times = first.times.saturating_add(1);
            }
            None => kept.push_front(denied),
        }
        kept.truncate(KEPT);
    }

    /// The latest `limit` of them.
    pub(crate) fn last(&self, limit: usize) -> Vec<Denied> {
        self.0.locked().iter().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: &str, at: u64) -> Verdict {
        let at = Timestamp::from_seconds(at);
        serde_json::from_value(serde_json::json!({
            "outcome": outcome, "use": "connect", "at": at, "reason": "blocked", "reasons": ["x".repeat(1000)],
            "rules": [], "derivation": [], "as_of": [],
        }))
        .expect("a verdict")
    }

    #[test]
    fn checks_are_kept_with_their_word() {
        let denials = Denials::default();
        let check = Check {
            verdict: Outcome::Unknown,
            reason: ics_core::trust::Reason::UnknownIdentity,
            as_of: None,
            fresh_until: None,
            view: String::new(),
        };
        for second in 1..=2 {
            denials.note_check(("serial:1", None, "connect"), &check, Timestamp::from_seconds(second));
        }
        let [once] = denials.last(10).try_into().expect("one");
        assert_eq!((once.times, once.reasons), (2, vec!["unknown identity".to_owned()]));
    }

    #[test]
    fn only_answers_other_than_allow_are_kept_and_only_so_many() {
        let denials = Denials::default();
        denials.note("serial:1", None, &verdict("allow", 1));
        assert_eq!(denials.last(10), []);
        for time in 1..=3 {
            denials.note("serial:1", None, &verdict("deny", time));
        }
        let [once] = denials.last(10).try_into().expect("one");
        assert_eq!((once.times, once.at), (3, Timestamp::from_seconds(3)));
        assert_eq!(once.reasons[0].len(), REASON_CHARACTERS);
        for thing in 0..KEPT {
            denials.note(&format!("serial:{thing}-{}", "9".repeat(100)), None, &verdict("unknown", 9));
        }
        assert_eq!(denials.last(usize::MAX).len(), KEPT, "the oldest has gone");
        assert!(denials.last(usize::MAX).iter().all(|it| it.thing.len() <= 80));
    }
}
