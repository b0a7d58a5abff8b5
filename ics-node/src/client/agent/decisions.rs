//! What a node decides about the things in an agent's care, and for how long that holds.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Reason};
use rustix::time::{ClockId, clock_gettime};

use crate::api::{Check, CheckAnswer, CheckAnswers, CheckQuestion, CheckQuestions};
use crate::client::node::{Node, NodeError};

/// The last answers of a node, by the id or name that was asked for. Only a fresh answer allows.
#[derive(Debug)]
pub struct Decisions {
    node: Node,
    usage: String,
    known: BTreeMap<String, Known>,
}

/// A moment by both clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall-clock time, which may be far behind: a gateway's clock often has no battery.
    pub time: Timestamp,
    /// The time since the machine was started. Nothing sets it back, and it goes on while the machine sleeps.
    pub uptime: Duration,
}

impl Moment {
    /// Now, given the machine's wall-clock time.
    #[must_use]
    pub fn now(time: Timestamp) -> Self {
        Self { time, uptime: uptime() }
    }
}

/// On Linux the monotonic clock stands still while the machine sleeps; elsewhere there is no other.
#[cfg(target_os = "linux")]
const SINCE_START: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_START: ClockId = ClockId::Monotonic;

fn uptime() -> Duration {
    // The system never gives a negative value.
    Duration::try_from(clock_gettime(SINCE_START)).unwrap_or_default()
}

/// An answer, and the uptime at which it ceases to be fresh.
#[derive(Debug, Clone)]
struct Known {
    check: Check,
    ends: Duration,
}

impl Known {
    /// Takes the answer to a question that was sent at the uptime `asked`. It is good from `time`, which the node's
    /// clock showed when it answered, to `fresh_until`. This machine counts the same span from when it asked, which was
    /// earlier, so it never keeps the answer for too long, whatever its own clock shows.
    fn new(answer: CheckAnswer, time: Timestamp, asked: Duration) -> Self {
        let check = taken(answer);
        let good_for = check.fresh_until.map_or(0, |until| until.millis_since(time));
        Self { check, ends: asked.saturating_add(Duration::from_millis(good_for)) }
    }

    fn is_fresh(&self, now: Moment) -> bool {
        self.check.fresh_until.is_some_and(|until| now.time < until) && now.uptime < self.ends
    }
}

/// A decision and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruled {
    /// Only `allow` is a yes.
    pub verdict: Outcome,
    /// Why, in one word.
    pub reason: Reason,
}

/// What a node has answered.
#[derive(Debug)]
pub struct Asked {
    things: Vec<String>,
    answers: BTreeMap<String, Known>,
    trouble: Option<NodeError>,
}

impl Decisions {
    /// Decisions about one use.
    #[must_use]
    pub const fn new(node: Node, usage: String) -> Self {
        Self { node, usage, known: BTreeMap::new() }
    }

    /// Asks the node about all of these things. Its earlier answers hold meanwhile, as long as they are fresh.
    pub fn ask(&self, things: Vec<String>) -> impl Future<Output = Asked> + Send + use<> {
        let (node, usage) = (self.node.clone(), self.usage.clone());
        async move {
            let mut asked = Asked { answers: BTreeMap::new(), trouble: None, things };
            for batch in asked.things.chunks(limits::CHECKS) {
                let question = |id: &String| CheckQuestion { id: id.clone(), usage: usage.clone(), peer: None };
                let questions = CheckQuestions { questions: batch.iter().map(question).collect() };
                let sent = uptime();
                match node.checks(&questions).await {
                    Ok(CheckAnswers { answers, time }) => {
                        let known = answers.into_iter().map(|answer| Known::new(answer, time, sent));
                        asked.answers.extend(batch.iter().cloned().zip(known));
                    }
                    Err(error) => {
                        asked.trouble = Some(error);
                        break;
                    }
                }
            }
            asked
        }
    }

    /// Stores the node's answers, and forgets things about which it was not asked; returns why some answers are
    /// missing.
    pub fn take(&mut self, Asked { things, answers, trouble }: Asked) -> Option<NodeError> {
        let things: BTreeSet<String> = things.into_iter().collect();
        self.known.retain(|thing, _| things.contains(thing));
        self.known.extend(answers);
        trouble
    }

    /// Whether the node has ever answered about a thing.
    #[must_use]
    pub fn knows(&self, thing: &str) -> bool {
        self.known.contains_key(thing)
    }

    /// The decision about a thing at a moment. A yes ends by whichever of the two clocks comes first.
    #[must_use]
    pub fn at(&self, thing: &str, now: Moment) -> Ruled {
        match self.known.get(thing) {
            None => Ruled { verdict: Outcome::Unknown, reason: Reason::NotHeard },
            Some(known) if known.check.verdict == Outcome::Allow && !known.is_fresh(now) => {
                Ruled { verdict: Outcome::Unknown, reason: Reason::Stale }
            }
            Some(Known { check, .. }) => Ruled { verdict: check.verdict, reason: check.reason },
        }
    }
}

/// A problem in place of an answer never allows.
fn taken(answer: CheckAnswer) -> Check {
    match answer {
        CheckAnswer::Check(check) => check,
        CheckAnswer::Problem(_) => Check {
            verdict: Outcome::Unknown,
            reason: Reason::UnknownIdentity,
            as_of: None,
            fresh_until: None,
            view: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Decisions asked for 5 s after the machine's start, and answered at second 1 of the node's time.
    fn told<const N: usize>(answers: [(&str, Outcome, Reason, Option<Timestamp>); N]) -> Decisions {
        let node = Node::new("http://127.0.0.1:1").expect("a node");
        let mut decisions = Decisions::new(node, "connect".to_owned());
        let known = answers.map(|(thing, verdict, reason, fresh_until)| {
            let check = Check { verdict, reason, as_of: None, fresh_until, view: String::new() };
            (thing.to_owned(), Known::new(CheckAnswer::Check(check), at(1_000), Duration::from_secs(5)))
        });
        decisions.known = known.into();
        decisions
    }

    #[test]
    fn a_yes_ends_with_its_freshness() {
        let decisions = told([
            ("in-use", Outcome::Allow, Reason::Permitted, Some(at(1_010))),
            ("over", Outcome::Allow, Reason::Permitted, Some(at(999))),
            ("timeless", Outcome::Allow, Reason::Permitted, None),
            ("stolen", Outcome::Deny, Reason::Blocked, Some(at(1_010))),
        ]);
        for (thing, after, verdict, reason) in [
            ("in-use", 9, Outcome::Allow, Reason::Permitted),
            ("in-use", 10, Outcome::Unknown, Reason::Stale),
            ("over", 0, Outcome::Unknown, Reason::Stale),
            ("timeless", 9, Outcome::Unknown, Reason::Stale),
            ("stolen", 9, Outcome::Deny, Reason::Blocked),
            ("stolen", 99, Outcome::Deny, Reason::Blocked),
            ("never heard of", 9, Outcome::Unknown, Reason::NotHeard),
        ] {
            let now = Moment { time: at(1_000 + after), uptime: Duration::from_millis(5_000 + after) };
            assert_eq!(decisions.at(thing, now), Ruled { verdict, reason }, "{thing} after {after} ms");
        }
    }

    /// A gateway whose clock has no battery starts with a time long past.
    #[test]
    fn a_yes_ends_also_where_the_clock_of_the_machine_is_early() {
        let decisions = told([("in-use", Outcome::Allow, Reason::Permitted, Some(at(1_010)))]);
        let verdict = |shows: u64, after: u64| {
            let now = Moment { time: at(shows), uptime: Duration::from_millis(5_000 + after) };
            decisions.at("in-use", now).verdict
        };
        assert_eq!(verdict(0, 9), Outcome::Allow);
        assert_eq!(verdict(0, 10), Outcome::Unknown, "it was good for 10 ms when it was given");
        assert_eq!(verdict(1_009, 9), Outcome::Allow);
        assert_eq!(verdict(1_010, 9), Outcome::Unknown, "a machine that was held up does not count that");
    }

    #[test]
    fn the_time_since_the_start_goes_on() {
        let before = uptime();
        std::thread::sleep(Duration::from_millis(3));
        let passed = uptime().saturating_sub(before);
        assert!((Duration::from_millis(3)..Duration::from_secs(60)).contains(&passed), "{passed:?}");
    }
}
