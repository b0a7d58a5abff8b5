//! The node's decision on whether a thing may be used in this way.

use console::style;
use ics_core::log::checkpoint::Origin;
use ics_core::trust::{Conflict, Outcome, Party, Step, Verdict};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::session::refuse_exposed;
use crate::cli::words::{clean, when};
use crate::client::node::Node;
use crate::explain;

/// Prints a verdict and all that it rests on. Only `allow` is a yes, and only if it is certain which node says so.
pub(super) fn print(
    context: &Context,
    node: &Node,
    (thing, peer): (&str, Option<&str>),
    verdict: &Verdict,
) -> Result<Exit, Failure> {
    context.output.result(verdict, || text(thing, peer, verdict))?;
    if verdict.outcome != Outcome::Allow {
        return Ok(Exit::Refused);
    }
    refuse_exposed(node)?;
    Ok(Exit::Ok)
}

pub(super) fn text(thing: &str, peer: Option<&str>, verdict: &Verdict) -> String {
    let mut rows = vec![("why", cleaned(&verdict.reasons))];
    let lists = [
        ("rests on", steps(verdict, Party::Thing)),
        ("the peer's", steps(verdict, Party::Peer)),
        ("conflicts", cleaned(&verdict.conflicts.iter().map(Conflict::in_words).collect::<Vec<_>>())),
        ("news", news(verdict)),
        ("left out", left_out(verdict)),
    ];
    rows.extend(lists.into_iter().filter(|(_, text)| !text.is_empty()));
    rows.extend(verdict.fresh_until.map(|until| ("holds until", when(until))));
    let peer = peer.map(|peer| format!(" with {peer}")).unwrap_or_default();
    format!("{} {}{peer}: {}", outcome(verdict.outcome), clean(thing), card(&clean(&verdict.usage), &rows))
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Allow => style("✓ ALLOW").green().bold(),
        Outcome::Deny => style("✗ DENY").red().bold(),
        Outcome::Unknown => style("? UNKNOWN").yellow().bold(),
    }
    .to_string()
}

fn cleaned(texts: &[String]) -> String {
    texts.iter().map(|text| clean(text)).collect::<Vec<_>>().join("\n")
}

/// The statements about one of the two parties, each with its place below it.
fn steps(verdict: &Verdict, of: Party) -> String {
    let step = |step: &Step| {
        let signer = step.name.as_deref().map_or_else(|| step.signer.to_string(), clean);
        let place = style(format!("{} entry {}", step.domain, step.index)).dim();
        format!("{signer}{} {}\n  {place}", explain::capacity(step), explain::step_says(step))
    };
    verdict.derivation.iter().filter(|step| step.of == of && step.counts()).map(step).collect::<Vec<_>>().join("\n")
}

fn news(verdict: &Verdict) -> String {
    let line = |it: &ics_core::trust::AsOf| {
        let until = if it.fresh_until > verdict.at { "good until" } else { "too old since" };
        format!("{} as of {}, {until} {}", it.domain, when(it.as_of), when(it.fresh_until))
    };
    verdict.as_of.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The domains that are held here and do not count. A domain that counts and was not heard is a reason instead.
fn left_out(verdict: &Verdict) -> String {
    let line = |it: &Origin| format!("{}: the trust policy does not name it", it.domain);
    verdict.ignored.iter().map(line).collect::<Vec<_>>().join("\n")
}
