//! `ics trust check`.

use std::path::PathBuf;

use clap::Args;
use ics_core::log::checkpoint::Origin;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::counted;

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
        let is_here = |origin: &&Origin| {
            let mirrored = config.peers().any(|peer| peer.mirror.contains(origin));
            mirrored || config.homes.iter().any(|home| *home.domain.get_ref() == origin.domain)
        };
        let absent: Vec<&Origin> = policy.domains().iter().filter(|origin| !is_here(origin)).collect();
        let shown = json!({
            "file": path, "domains": policy.domains(), "absent": absent, "permits": policy.permits_anything(),
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
            if !policy.permits_anything() {
                text.push_str("\n! no rule permits anything: every answer will be `deny`");
            }
            text
        })?;
        Ok(if absent.is_empty() && policy.permits_anything() { Exit::Ok } else { Exit::Refused })
    }
}
