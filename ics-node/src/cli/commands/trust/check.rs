//! `ics trust check`.

use std::path::PathBuf;

use clap::Args;
use ics_core::log::checkpoint::Origin;
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::counted;
use crate::config::Config;
use crate::store::{self, StoreError};

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

/// A domain that counts, and is here as another log of the same name.
#[derive(Serialize)]
struct Mistaken<'p> {
    counts: &'p Origin,
    here: Origin,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = super::file(context, self.file)?;
        let policy = super::read(&path)?;
        let config = context.config()?;
        let (mut absent, mut mistaken) = (Vec::new(), Vec::new());
        for counts in policy.domains() {
            match here(&config, counts)? {
                None => absent.push(counts),
                Some(here) if here != *counts => mistaken.push(Mistaken { counts, here }),
                Some(_) => {}
            }
        }
        let shown = json!({
            "file": path, "domains": policy.domains(), "absent": absent, "mistaken": mistaken,
            "permits": policy.permits_anything(),
        });
        context.output.result(&shown, || {
            let mut text =
                format!("✓ {} is well formed, for {}", path.display(), counted(policy.domains().len(), "domain"));
            for origin in &absent {
                text.push_str(&format!(
                    "\n! {} counts, but this node neither mirrors it nor is its home: every answer will be `unknown`",
                    origin.domain
                ));
            }
            for Mistaken { counts, here } in &mistaken {
                text.push_str(&format!(
                    "\n! {counts} counts, but what this node has of that name is another log, {here}: every answer \
                     will be `unknown`"
                ));
            }
            if !policy.permits_anything() {
                text.push_str("\n! no rule permits anything: every answer will be `deny`");
            }
            text
        })?;
        let is_good = absent.is_empty() && mistaken.is_empty() && policy.permits_anything();
        Ok(if is_good { Exit::Ok } else { Exit::Refused })
    }
}

/// As what log this node has the domain of an origin, or will have it; a home that is not founded yet may become that.
fn here(config: &Config, origin: &Origin) -> Result<Option<Origin>, Failure> {
    let copied = || config.peers().flat_map(|peer| &peer.mirror).filter(|copied| copied.domain == origin.domain);
    if let Some(first) = copied().next() {
        return Ok(Some(copied().find(|copied| *copied == origin).unwrap_or(first).clone()));
    }
    if config.homes.iter().all(|home| *home.domain.get_ref() != origin.domain) {
        return Ok(None);
    }
    let failed = |error: StoreError| Failure::new(Exit::Local, error);
    let held = config.node.as_ref().map(|node| store::held(&node.data, &origin.domain)).transpose().map_err(failed)?;
    let entry0 = held.flatten().and_then(|(info, _)| info.entry0).unwrap_or(origin.entry0);
    Ok(Some(Origin { domain: origin.domain.clone(), entry0 }))
}
