//! The gate that an update must pass: identifies by hash what is about to be installed, and asks the node about each
//! piece.

pub mod apt;
pub mod swupdate;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::trust::{Outcome, Reason};
use serde::Serialize;

use crate::api::{CheckAnswer, CheckQuestion, CheckQuestions};
use crate::client::node::{Node, NodeError};

/// The use of the trust policy that stands for installing.
pub const INSTALL: &str = "install";
/// The use of the trust policy that stands for going back to an older version.
pub const ROLLBACK: &str = "rollback";

/// For how many refusals the node is asked to give reasons in words.
const EXPLAINED: usize = 20;

/// What is required of a piece of software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// The node must allow it.
    Allowed,
    /// It is part of something that the node must allow, and nothing may block it.
    NotBlocked,
}

/// A piece of software that is about to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its name where it comes from.
    pub name: String,
    /// Its SHA-256.
    pub digest: [u8; 32],
    /// The use that is asked about.
    pub usage: &'static str,
    /// What is required.
    pub demand: Demand,
}

/// The result for a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The use that was asked about.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Whether it may pass.
    pub passes: bool,
    /// The node's answer.
    pub verdict: Outcome,
    /// The node's reason, in one word.
    pub reason: Reason,
    /// Why it may not pass, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Piece {
    fn id(&self) -> String {
        IdentityId::Software(self.digest).to_string()
    }
}

/// Asks the node about all pieces, in order.
///
/// # Errors
/// When it gives no answer: then nothing may pass.
pub async fn judge(node: &Node, pieces: &[Piece]) -> Result<Vec<Passed>, NodeError> {
    let mut passed = Vec::with_capacity(pieces.len());
    for batch in pieces.chunks(limits::CHECKS) {
        let question = |it: &Piece| CheckQuestion { id: it.id(), usage: it.usage.to_owned(), peer: None };
        let asked = CheckQuestions { questions: batch.iter().map(question).collect() };
        let answers = node.checks(&asked).await?.answers;
        passed.extend(batch.iter().zip(answers).map(|(piece, answer)| judged(piece, &answer)));
    }
    for refused in passed.iter_mut().filter(|it| !it.passes).take(EXPLAINED) {
        refused.reasons = node.verdict(&refused.id, refused.usage, None).await?.reasons;
    }
    Ok(passed)
}

fn judged(piece: &Piece, answer: &CheckAnswer) -> Passed {
    let (verdict, reason) = match answer {
        CheckAnswer::Check(check) => (check.verdict, check.reason),
        CheckAnswer::Problem(_) => (Outcome::Unknown, Reason::Unreadable),
    };
    let passes = match piece.demand {
        Demand::Allowed => verdict == Outcome::Allow,
        // A piece that nobody knows, or that no rule permits by itself, depends on the whole of which it is part.
        Demand::NotBlocked => {
            let is_silent = matches!(reason, Reason::UnknownIdentity | Reason::NotPermitted);
            verdict == Outcome::Allow || is_silent
        }
    };
    let (name, id, usage) = (piece.name.clone(), piece.id(), piece.usage);
    Passed { name, id, usage, passes, verdict, reason, reasons: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Check;

    #[test]
    fn a_part_may_be_unknown_but_not_blocked() {
        let check = |verdict, reason| {
            CheckAnswer::Check(Check { verdict, reason, as_of: None, fresh_until: None, view: String::new() })
        };
        for (verdict, reason, alone, as_part) in [
            (Outcome::Allow, Reason::Permitted, true, true),
            (Outcome::Unknown, Reason::UnknownIdentity, false, true),
            (Outcome::Deny, Reason::NotPermitted, false, true),
            (Outcome::Deny, Reason::Blocked, false, false),
            (Outcome::Deny, Reason::Forbidden, false, false),
            (Outcome::Unknown, Reason::NotHeard, false, false),
            (Outcome::Unknown, Reason::Stale, false, false),
            (Outcome::Unknown, Reason::NoPolicy, false, false),
        ] {
            for (demand, expected) in [(Demand::Allowed, alone), (Demand::NotBlocked, as_part)] {
                let piece = Piece { name: "x".to_owned(), digest: [7; 32], usage: INSTALL, demand };
                let passes = judged(&piece, &check(verdict, reason)).passes;
                assert_eq!(passes, expected, "{demand:?}: {} {}", verdict.as_str(), reason.as_str());
            }
        }
    }
}
