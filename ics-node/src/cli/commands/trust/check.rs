//! `ics trust check`.

use std::collections::BTreeMap;
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
        let absent: Vec<&Origin> = policy.domains().iter().filter(|origin| !is_here(origin)).collect();
        let shown = json!({
            "file": path, "domains": policy.domains(), "absent": absent, "permits": policy.permits_anything(),
        });
        context.output.result(&shown, || {
            let mut text =
                format!("✓ {} is well formed, for {}", path.display(), counted(policy.domains().len(), "domain"));
            for origin in &absent {
                text.push_str(&why_absent(origin, own.get(&origin.domain)));
            }
            if !policy.permits_anything() {
                text.push_str("\n! no rule permits anything: every answer will be `deny`");
            }
            text
        })?;
        Ok(if absent.is_empty() && policy.permits_anything() { Exit::Ok } else { Exit::Refused })
    }
}

/// The logs of the domains whose home this is, as far as they have begun.
fn own_logs(context: &Context, config: &Config) -> Result<BTreeMap<DomainName, Option<Origin>>, Failure> {
    let mut logs = BTreeMap::new();
    for home in &config.homes {
        let domain = home.domain.get_ref();
        let log = own_log(&context.home, domain).map_err(|error| Failure::new(Exit::Local, error))?;
        logs.insert(domain.clone(), log);
    }
    Ok(logs)
}

fn why_absent(origin: &Origin, own: Option<&Option<Origin>>) -> String {
    let Some(Some(log)) = own else {
        let domain = &origin.domain;
        return format!(
            "\n! {domain} counts, but this node neither mirrors it nor is its home: every answer will be `unknown`"
        );
    };
    format!("\n! {origin} counts, but the log of that name here is {log}: every answer will be `unknown`")
}
