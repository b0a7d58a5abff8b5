//! What a node decides about the things that an agent looks after, and for how long that holds.

use std::collections::BTreeMap;

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Reason};

use crate::api::{Check, CheckAnswer, CheckQuestion, CheckQuestions};
use crate::client::node::{Node, NodeError};

/// The last answers of a node, each by the query that it was given for. Only what is fresh allows.
#[derive(Debug)]
pub struct Decisions {
    node: Node,
    usage: String,
    known: BTreeMap<String, Check>,
}

/// An answer in a word, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruled {
    /// Only `allow` is a yes.
    pub verdict: Outcome,
    /// Why, in one word.
    pub reason: Reason,
}

impl Decisions {
    /// Decisions about a use.
    #[must_use]
    pub const fn new(node: Node, usage: String) -> Self {
        Self { node, usage, known: BTreeMap::new() }
    }

    /// Asks the node about all of these things, and forgets all others.
    ///
    /// # Errors
    /// When the node gives no answer; what it has said before goes on to hold until it is no longer fresh.
    pub async fn ask(&mut self, things: &[String]) -> Result<(), NodeError> {
        self.known.retain(|thing, _| things.contains(thing));
        for batch in things.chunks(limits::CHECKS) {
            let question = |id: &String| CheckQuestion { id: id.clone(), usage: self.usage.clone(), peer: None };
            let asked = CheckQuestions { questions: batch.iter().map(question).collect() };
            let answers = self.node.checks(&asked).await?.answers;
            self.known.extend(batch.iter().cloned().zip(answers.into_iter().map(taken)));
        }
        Ok(())
    }

    /// What holds of a thing at a time.
    #[must_use]
    pub fn at(&self, thing: &str, now: Timestamp) -> Ruled {
        let known = self.known.get(thing);
        let Some(check) = known else { return Ruled { verdict: Outcome::Unknown, reason: Reason::NotHeard } };
        match (check.verdict, check.fresh_until) {
            (Outcome::Allow, Some(until)) if now < until => Ruled { verdict: check.verdict, reason: check.reason },
            (Outcome::Allow, _) => Ruled { verdict: Outcome::Unknown, reason: Reason::Stale },
            (verdict, _) => Ruled { verdict, reason: check.reason },
        }
    }
}

/// What a node cannot answer, it does not allow.
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

    #[test]
    fn a_yes_ends_with_its_freshness() {
        let node = Node::new("http://127.0.0.1:1").expect("a node");
        let mut decisions = Decisions::new(node, "connect".to_owned());
        let at = Timestamp::from_millis;
        let check =
            |verdict, reason, fresh_until| Check { verdict, reason, as_of: None, fresh_until, view: String::new() };
        let known = [
            ("in-use", check(Outcome::Allow, Reason::Permitted, Some(at(10)))),
            ("timeless", check(Outcome::Allow, Reason::Permitted, None)),
            ("stolen", check(Outcome::Deny, Reason::Blocked, Some(at(10)))),
        ];
        decisions.known = known.into_iter().map(|(thing, check)| (thing.to_owned(), check)).collect();
        for (thing, now, verdict, reason) in [
            ("in-use", 9, Outcome::Allow, Reason::Permitted),
            ("in-use", 10, Outcome::Unknown, Reason::Stale),
            ("timeless", 9, Outcome::Unknown, Reason::Stale),
            ("stolen", 9, Outcome::Deny, Reason::Blocked),
            ("stolen", 99, Outcome::Deny, Reason::Blocked),
            ("never heard of", 9, Outcome::Unknown, Reason::NotHeard),
        ] {
            assert_eq!(decisions.at(thing, at(now)), Ruled { verdict, reason }, "{thing} at {now}");
        }
    }
}
