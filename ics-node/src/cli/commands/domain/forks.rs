//! `ics domain forks`.

use clap::Args;
use ics_core::vocabulary::DomainName;

use super::domain_or_default;
use crate::api::ForkNotes;
use crate::api::problem::Code;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, when};
use crate::client::node::{Node, NodeError};

/// What `ics domain forks` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain forks devices.acme.example

  The note that contradicts what was held here, exactly as received, for somebody else to verify:
  $ ics --json domain forks devices.acme.example | jq -j '.[0].theirs' > theirs.note")]
pub(crate) struct Forks {
    /// The domain [default: that of ics.toml].
    domain: Option<DomainName>,
}

impl Forks {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = domain_or_default(context, self.domain)?;
        let node = context.node(&context.config()?)?;
        let forks = context.wait(seen(&node, &domain))?;
        context.output.result(&forks, || match forks.as_slice() {
            [] => format!("no fork of {domain} was seen"),
            forks => forks.iter().map(text).collect::<Vec<_>>().join("\n\n"),
        })?;
        Ok(Exit::Ok)
    }
}

/// Returns the forks of a domain, which a node shows to its operator only. A node may have seen forks even of a domain
/// that it does not hold, if it asks about single things or cosigns; the first line of a note says which log it is
/// about.
async fn seen(node: &Node, domain: &DomainName) -> Result<Vec<ForkNotes>, Failure> {
    let error = match node.domain(domain).await {
        // Only an operator is told that there are none; whether the caller is one shows in the request for the forks of
        // all domains.
        Ok(info) if info.forks.is_empty() => return Ok(node.forks().await.map(|_| Vec::new())?),
        Ok(info) => return Ok(info.forks),
        Err(error) => error,
    };
    let is_not_held = matches!(&error, NodeError::Problem(it) if it.code() == Code::UnknownDomain.as_str());
    let all = if is_not_held { node.forks().await.ok() } else { None };
    let Some(all) = all else { return Err(error.into()) };
    let is_of = |fork: &ForkNotes| {
        let origin = fork.theirs.lines().next().and_then(|line| line.split_once('/'));
        origin.is_some_and(|(name, _)| name == domain.as_str())
    };
    let others: Vec<ForkNotes> = all.into_iter().filter(is_of).collect();
    if others.is_empty() {
        return Err(Failure::from(error).hint(
            "nor has it seen a fork of it where it cosigns or asks about single things; another node may hold it: --node \
             names one",
        ));
    }
    Ok(others)
}

fn text(fork: &ForkNotes) -> String {
    let note = |note: &str| note.lines().map(clean).collect::<Vec<_>>().join("\n");
    let ours = if fork.ours.is_empty() { "no signed head had been reached".to_owned() } else { note(&fork.ours) };
    format!("seen {}\n\nwhat was held here\n\n{ours}\n\nwhat contradicts it\n\n{}", when(fork.at), note(&fork.theirs))
}
