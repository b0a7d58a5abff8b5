//! `ics trust check`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::counted;
use crate::client::home::own_log;
use crate::config::Config;

/// What `ics trust check` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics trust check
  $ ics trust check trust.json")]
pub(crate) struct Check {
    /// The trust policy [default: the one in ics.toml].
    file: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = super::file(context, self.file)?;
        let policy = super::read(&path)?;
        let config = context.config()?;
        let own = own_logs(context, &config)?;
        let is_here = |origin: &&Origin| {
            let mirrored = config.peers().any(|peer| peer.mirror.contains(origin));
            // Before the first start it is not known yet under which hash it will be.
            let is_own = |log: &Option<Origin>| log.as_ref().is_none_or(|log| log == *origin);
            mirrored || own.get(&origin.domain).is_some_and(is_own)
        };
        let is_asked = |origin: &&Origin| config.peers().any(|peer| peer.roam.contains(origin));
        let elsewhere = policy.domains().iter().filter(|origin| !is_here(origin));
        let (asked, absent): (Vec<&Origin>, Vec<&Origin>) = elsewhere.partition(is_asked);
        let counts = |origin: &&Origin| policy.domains().iter().any(|it| it.domain == origin.domain);
        let all_asked: BTreeSet<&Origin> = config.peers().flat_map(|peer| &peer.roam).collect();
        let not_counted: Vec<&Origin> = all_asked.into_iter().filter(|origin| !counts(origin)).collect();
        let permits = policy.permits_anything();
        let shown = json!({
            "file": path, "domains": policy.domains(), "absent": absent, "asked": asked, "not_counted": not_counted,
            "permits": permits,
        });
        context.output.result(&shown, || {
            let domains = counted(policy.domains().len(), "domain");
            let first = format!("✓ {} is well formed, for {domains}", path.display());
            let remarks = remarks(&absent, &asked, &not_counted, permits);
            core::iter::once(first).chain(remarks).collect::<Vec<_>>().join("\n")
        })?;
        Ok(if absent.is_empty() && permits { Exit::Ok } else { Exit::Refused })
    }
}

/// What is to be known of the domains, by where the node has what they say, and of the rules.
fn remarks(absent: &[&Origin], asked: &[&Origin], not_counted: &[&Origin], permits: bool) -> Vec<String> {
    let absent = absent.iter().map(|origin| {
        format!(
            "! {} counts, but this node neither mirrors it nor is its home: every answer will be `unknown`",
            origin.domain
        )
    });
    let asked = asked.iter().map(|origin| {
        format!(
            "· {} counts, and is not copied here: its home is asked about single things, and while it does not answer \
             the answer is `unknown`",
            origin.domain
        )
    });
    let not_counted = not_counted.iter().map(|origin| {
        format!("· {} does not count: it is asked about single things, and the policy does not name it", origin.domain)
    });
    let denies = (!permits).then(|| "! no rule permits anything: every answer will be `deny`".to_owned());
    absent.chain(asked).chain(not_counted).chain(denies).collect()
}
