//! `ics domain recopy`.

use std::path::Path;

use clap::Args;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use crate::api::ForkNotes;
use crate::app::{self, AppError, KeptBlock, KeptBlocks};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::words::{counted, when};
use crate::config::{Config, PeerConfig};
use crate::store::StoreError;

/// How many blocks are shown to people.
const SHOWN: usize = 20;

/// What `ics domain recopy` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A copy has stopped; `ics peer status` and the alarms show which peer lied to it:
  $ ics peer remove liar
  $ systemctl stop ics
  $ ics --home /var/lib/ics domain recopy devices.acme.example
  $ systemctl start ics

  A domain is no longer to be copied, and its copy is to be deleted:
  $ ics peer remove ics.acme.example
  $ systemctl stop ics
  $ ics --home /var/lib/ics domain recopy devices.acme.example
  $ systemctl start ics

  Peers are asked about single things of a domain, and its owners say that they have begun a new epoch without what this
  node has seen; this makes the node forget what it has seen:
  $ systemctl stop ics
  $ ics --home /var/lib/ics domain recopy devices.acme.example
  $ systemctl start ics")]
pub(crate) struct Recopy {
    /// The domain.
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,
    /// Do not ask for confirmation, even if a fork was seen: the new copy may be the other branch.
    #[arg(short, long)]
    yes: bool,
}

impl Recopy {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.refuse_foreign_home()?;
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| {
            Failure::new(Exit::Local, "this home directory is not that of a node").hint("--home names another one")
        })?;
        let forks = app::kept_forks(&node.data, &self.domain).map_err(failed)?;
        let is_cosigned = config.peers().any(|peer| peer.cosign.iter().any(|origin| origin.domain == self.domain));
        if !app::is_held(&node.data, &self.domain).map_err(failed)? {
            return self.forget(context, &node.data, (forks.as_slice(), is_cosigned));
        }
        let copies = |peer: &PeerConfig| peer.mirror.iter().any(|origin| origin.domain == self.domain);
        let is_copied = config.peers().any(copies);
        let is_asked = config.peers().any(|peer| copies(peer) && peer.url.is_some());
        // If a fork was seen, or nobody serves them again, these blocks may be gone for good; otherwise they come back.
        let blocks = (!forks.is_empty() || !is_copied).then(|| app::kept_blocks(&node.data, &self.domain));
        let blocks = blocks.transpose().map_err(failed)?;
        if let Some(blocks) = &blocks {
            context.output.review(&named(blocks), !self.yes && !forks.is_empty());
        }
        if let Some(fork) = forks.last().filter(|_| !self.yes) {
            confirm(&warning(&self.domain, fork), "Empty this copy?")?;
        }
        let entries = app::empty_copy(&node.data, &self.domain).map_err(failed)?;
        // The heads seen bind a copy as well; what was cosigned binds this node for good.
        if !is_cosigned {
            app::forget_seen(&node.data, &self.domain).map_err(failed)?;
        }
        let (domain, seen) = (&self.domain, forks.len());
        let shown = json!({ "domain": domain, "entries": entries, "copied_again": is_copied, "forks": seen,
            "blocks": blocks });
        context.output.result(&shown, || {
            let next = match (is_copied, is_asked) {
                (_, true) => "the node copies them again when it starts",
                (true, false) => "bring them by hand: `ics import --bundle` with a bundle that holds all of them",
                (false, false) => {
                    "no peer is configured to give them again: `ics peer add PEER DOMAIN --url URL` names one"
                }
            };
            format!("{domain} is emptied (entries: {entries}); {next}")
        })?;
        Ok(Exit::Ok)
    }

    /// Forgets what was seen of a domain of which nothing is held here.
    fn forget(
        &self,
        context: &Context,
        data: &Path,
        (forks, is_cosigned): (&[ForkNotes], bool),
    ) -> Result<Exit, Failure> {
        let domain = &self.domain;
        if is_cosigned {
            let problem = format!(
                "this node cosigns {domain} as a witness, and must never vouch for any log but the one it has seen"
            );
            let hint = "a node with another key may; without `cosign` in ics.toml this one may forget what it has seen";
            return Err(Failure::new(Exit::Refused, problem).hint(hint));
        }
        if let Some(fork) = forks.last().filter(|_| !self.yes) {
            confirm(&warning_of_other(domain, fork), "Give up what was seen?")?;
        }
        let Some(seen) = app::forget_seen(data, domain).map_err(failed)? else {
            return Err(failed(AppError::Store(StoreError::NotFound { what: format!("domain `{domain}`") })));
        };
        let forks = forks.len();
        let shown = json!({ "domain": domain, "entries": 0, "seen": seen, "copied_again": false, "forks": forks });
        context.output.result(&shown, || {
            format!(
                "what this node has seen of {domain} is given up (entries: {seen}): it accepts what the home shows \
                 next. What it has taken over into its own domains stays there"
            )
        })?;
        Ok(Exit::Ok)
    }
}

/// Lists the blocks of a copy for people; programs get more of them.
fn named(blocks: &KeptBlocks) -> String {
    let KeptBlocks { number, last } = blocks;
    if *number == 0 {
        return "this copy says nothing that blocks".to_owned();
    }
    let line = |block: &KeptBlock| {
        let KeptBlock { index, at, id, status } = block;
        format!("\n  entry {index}, {}: {status} for {id}", when(*at))
    };
    let lines: String = last.iter().rev().take(SHOWN).map(line).collect();
    let shown = last.len().min(SHOWN) as u64;
    let rest = if *number > shown { format!("\n  and {} before these", number - shown) } else { String::new() };
    let what = counted(*number, "statement");
    format!(
        "what this copy says that blocks, {what}, including those that were taken back or lifted since:{lines}{rest}"
    )
}

/// A block that is only in this branch of a log is in no copy made from the other branch.
fn warning(domain: &DomainName, fork: &ForkNotes) -> String {
    format!(
        "on {} a signed head of {domain} was seen that contradicts this copy: the home has signed two logs, or \
         somebody has shown a false one. The new copy may be of the other branch; what only this copy says, blocks \
         included, is then gone from this node. `ics backup` keeps it; the two signed heads stay, `ics domain forks` \
         shows them",
        when(fork.at)
    )
}

/// The heads seen are all that this node can hold against another log.
fn warning_of_other(domain: &DomainName, fork: &ForkNotes) -> String {
    format!(
        "on {} a signed head of {domain} was seen that contradicts what this node had seen before: its owners have \
         begun a new epoch, the home has signed two logs, or somebody has its key. Ask the owners; what was lost, \
         blocks included, is not asked for again. The two signed heads stay, `ics domain forks` shows them",
        when(fork.at)
    )
}

fn confirm(text: &str, question: &str) -> Result<(), Failure> {
    let nobody = Failure::new(Exit::Usage, text).hint("--yes does so without asking");
    output::confirm(&format!("{text}.\n{question}"), nobody, "nothing was emptied")
}

fn failed(error: AppError) -> Failure {
    let (exit, hint) = match &error {
        AppError::Store(StoreError::InUse { .. }) => (Exit::Local, Some("stop the node first")),
        AppError::Store(StoreError::NotFound { .. }) => {
            (Exit::NotFound, Some("`ics peer list` shows what this node copies"))
        }
        AppError::Store(StoreError::Refused { .. }) => {
            (Exit::Refused, Some("`ics restore` gets what a home has lost from its mirrors"))
        }
        _ => (Exit::Local, None),
    };
    let failure = Failure::new(exit, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
