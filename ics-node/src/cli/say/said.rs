//! The results of statements, for people and programs.

use console::style;
use ics_core::identity::Kind;
use serde::Serialize;
use serde_json::json;

use crate::api::{Pending, Problem, SubmissionResult};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted};
use crate::client::thing::{Thing, called};

/// The result for a statement, as JSON.
#[derive(Serialize)]
pub(super) struct Said {
    id: String,
    kind: Kind,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

impl Said {
    pub(super) fn new(thing: &Thing, result: SubmissionResult) -> Self {
        let mut pending = None;
        let (index, statement, problem) = match result {
            SubmissionResult::Receipt(receipt) => (Some(receipt.index), Some(receipt.id.to_string()), None),
            SubmissionResult::Problem(problem) => (None, None, Some(problem)),
            SubmissionResult::Pending(waits) => {
                pending = Some(waits);
                (None, None, None)
            }
        };
        Self {
            id: thing.id().map(|id| id.to_string()).unwrap_or_default(),
            kind: thing.kind(),
            title: thing.title(),
            index,
            statement,
            problem,
            pending,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_refused(&self) -> bool {
        self.problem.is_some()
    }
}

/// Reports the results of all statements, including those from before something went wrong: whoever continues must know
/// what is in the log.
pub(super) fn tell(
    context: &Context,
    count: usize,
    said: &[Said],
    ended: Result<(), Failure>,
) -> Result<Exit, Failure> {
    if !said.is_empty() || ended.is_ok() {
        context.output.result(&said, || said_text(said))?;
    }
    match (ended, count.saturating_sub(said.len())) {
        (Ok(()), _) if said.iter().any(Said::is_refused) => Ok(Exit::Refused),
        (Ok(()), _) => Ok(Exit::Ok),
        (Err(failure), left) if left == 0 || said.is_empty() => Err(failure),
        (Err(failure), left) => Err(failure.hint(format!(
            "{} of {} are answered, as listed; of the other {left} the node may have taken some: look with `ics history` \
             before you say them again",
            said.len(),
            counted(count, "statement"),
        ))),
    }
}

/// Nobody knows yet of a block that waits for the home at another node, not even the node in which it waits.
pub(super) fn note_what_waits(context: &Context, is_block: bool, said: &[Said]) {
    if is_block && said.iter().any(|said| said.pending.is_some()) {
        context.output.note(
            "what waits blocks nothing yet, not even at this node, which goes on allowing until the home has it. Said \
             in a domain of which this node is the home (`--domain`), it blocks here at once",
        );
    }
}

/// Reports that a statement waits for the home of its domain, in the care of the node.
pub(crate) fn waits(context: &Context, what: &str, pending: &Pending) -> Result<Exit, Failure> {
    context.output.result(&json!({ "pending": pending }), || pending_text(what, pending))?;
    Ok(Exit::Ok)
}

fn pending_text(what: &str, pending: &Pending) -> String {
    let why = pending.why.as_ref().map(|why| format!("\n  {}", clean(why))).unwrap_or_default();
    format!("{} {}  waits in this node for the home of the domain: `ics outbox`{why}", style("…").yellow(), clean(what))
}

fn said_text(said: &[Said]) -> String {
    let line = |said: &Said| match (&said.problem, said.index) {
        (Some(problem), _) => {
            let hint = problem.hint.as_ref().map(|hint| format!("\n  {}", clean(hint))).unwrap_or_default();
            format!("{} {}: {}{hint}", style("✗").red(), clean(&called(said.kind, &said.title)), clean(&problem.detail))
        }
        (None, Some(index)) => {
            format!("{} {}  entry {index}", style("✓").green(), clean(&called(said.kind, &said.title)))
        }
        (None, None) => said
            .pending
            .as_ref()
            .map(|pending| pending_text(&called(said.kind, &said.title), pending))
            .unwrap_or_default(),
    };
    said.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        let said = Said {
            id: "00".repeat(20),
            kind: Kind::Device,
            title: "SN-1\u{1b}[2J".to_owned(),
            index: None,
            statement: None,
            problem: Some(Problem {
                kind: "urn:ics:problem:refused".to_owned(),
                title: "refused".to_owned(),
                status: 422,
                detail: "no\u{202e}\rway".to_owned(),
                hint: Some("\u{7}ask".to_owned()),
            }),
            pending: None,
        };
        let text = said_text(&[said]);
        let text = console::strip_ansi_codes(&text);
        assert_eq!(text, "✗ device SN-1\u{fffd}[2J: no\u{fffd}\u{fffd}way\n  \u{fffd}ask");
    }
}
