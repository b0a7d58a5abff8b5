//! What a node decides about the things that an agent looks after, and for how long that holds.

use std::collections::{BTreeMap, BTreeSet};

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

/// What a node has answered.
#[derive(Debug)]
pub struct Asked {
    things: Vec<String>,
    answers: BTreeMap<String, Check>,
    trouble: Option<NodeError>,
}

impl Decisions {
    /// Decisions about a use.
    #[must_use]
    pub const fn new(node: Node, usage: String) -> Self {
        Self { node, usage, known: BTreeMap::new() }
    }

    /// Asks the node about all of these things. What it has said before goes on to hold meanwhile, and until it is no longer
    /// fresh.
    pub fn ask(&self, things: Vec<String>) -> impl Future<Output = Asked> + Send + use<> {
        let (node, usage) = (self.node.clone(), self.usage.clone());
        async move {
            let mut asked = Asked { answers: BTreeMap::new(), trouble: None, things };
            for batch in asked.things.chunks(limits::CHECKS) {
                let question = |id: &String| CheckQuestion { id: id.clone(), usage: usage.clone(), peer: None };
                let questions = CheckQuestions { questions: batch.iter().map(question).collect() };
                match node.checks(&questions).await {
                    Ok(answered) => {
                        asked.answers.extend(batch.iter().cloned().zip(answered.answers.into_iter().map(taken)));
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

    /// Takes what the node has answered, and forgets what it was not asked about; why some answers lack.
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
