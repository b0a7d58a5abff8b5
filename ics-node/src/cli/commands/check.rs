//! `ics check`.

use clap::Args;
use console::style;
use ics_core::trust::{Outcome, Verdict};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;

/// Asks whether a thing may be used so, by the trust policy of the node. Only `allow` ends with exit code 0; `deny` and
/// `unknown` end with 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics check serial:SN-0001 --use connect
  $ ics check serial:SN-0001 --use connect --peer host:broker.acme.example
  $ ics --json check sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff --use install")]
pub(crate) struct Check {
    /// An id or a name.
    #[arg(value_name = "ID|NAME")]
    thing: String,
    /// What for: connect, install, operate, or another word of the policy.
    #[arg(long = "use", value_name = "USE")]
    usage: String,
    /// The thing that it deals with.
    #[arg(long, value_name = "ID|NAME")]
    peer: Option<String>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        let verdict = node.verdict(&self.thing, &self.usage, self.peer.as_deref());
        let verdict = context.wait(async { Ok(verdict.await?) })?;
        context.output.result(&verdict, || text(&self.thing, &verdict))?;
        Ok(if verdict.outcome == Outcome::Allow { Exit::Ok } else { Exit::Refused })
    }
}

fn text(thing: &str, verdict: &Verdict) -> String {
    let outcome = match verdict.outcome {
        Outcome::Allow => style("allow").green().bold(),
        Outcome::Deny => style("deny").red().bold(),
        Outcome::Unknown => style("unknown").yellow().bold(),
    };
    let step = |step: &ics_core::trust::Step| {
        let who = step.name.clone().unwrap_or_else(|| step.signer.to_string());
        format!("{}: {} by {who} as {} ({}, entry {})", step.rule, step.act, step.role, step.domain, step.index)
    };
    let as_of = verdict.as_of.iter().map(|it| format!("{}: {} entries at {}", it.domain, it.size, it.as_of));
    let mut rows = vec![("because", verdict.reasons.join("\n"))];
    let more = [
        ("rests on", verdict.derivation.iter().map(step).collect::<Vec<_>>()),
        ("conflicts", verdict.conflicts.clone()),
        ("as of", as_of.collect()),
        ("fresh until", verdict.fresh_until.iter().map(ToString::to_string).collect()),
    ];
    rows.extend(more.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(name, lines)| (name, lines.join("\n"))));
    card(&format!("{outcome}  {} {thing}", verdict.usage), &rows)
}
