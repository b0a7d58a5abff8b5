//! `ics domain forks`.

use clap::Args;
use ics_core::vocabulary::DomainName;

use super::domain_or_default;
use crate::api::ForkNotes;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, when};

/// What `ics domain forks` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain forks devices.acme.example

  The note that contradicts what was held here, as it came, for somebody who is to verify it:
  $ ics --json domain forks devices.acme.example | jq -j '.[0].theirs' > theirs.note")]
pub(crate) struct Forks {
    /// The domain [default: that of ics.toml].
    domain: Option<DomainName>,
}

impl Forks {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let domain = domain_or_default(context, self.domain)?;
        let node = context.node(&context.config()?)?;
        let forks = context.wait(async { Ok(node.domain(&domain).await?) })?.forks;
        context.output.result(&forks, || match forks.as_slice() {
            [] => format!("no fork of {domain} was seen, as far as this node tells you: it tells its operator alone"),
            forks => forks.iter().map(text).collect::<Vec<_>>().join("\n\n"),
        })?;
        Ok(Exit::Ok)
    }
}

fn text(fork: &ForkNotes) -> String {
    let note = |note: &str| note.lines().map(clean).collect::<Vec<_>>().join("\n");
    let ours = if fork.ours.is_empty() { "no signed head had been reached".to_owned() } else { note(&fork.ours) };
    format!("seen {}\n\nwhat was held here\n\n{ours}\n\nwhat contradicts it\n\n{}", when(fork.at), note(&fork.theirs))
}
