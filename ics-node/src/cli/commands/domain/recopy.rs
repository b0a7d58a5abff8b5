//! `ics domain recopy`.

use clap::Args;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use crate::app::{self, AppError};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::Config;
use crate::store::StoreError;

/// What `ics domain recopy` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A copy has stopped; the peer that lied to it is told apart by `ics peer status` and its alarms:
  $ ics peer remove liar
  $ systemctl stop ics
  $ ics --home /var/lib/ics domain recopy devices.acme.example
  $ systemctl start ics")]
pub(crate) struct Recopy {
    /// The domain.
    #[arg(value_name = "DOMAIN")]
    domain: DomainName,
}

impl Recopy {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| {
            Failure::new(Exit::Local, "this home directory is not that of a node").hint("--home names another one")
        })?;
        let entries = app::empty_copy(&node.data, &self.domain).map_err(failed)?;
        let is_copied =
            config.peers.iter().any(|peer| peer.get_ref().mirror.iter().any(|origin| origin.domain == self.domain));
        let shown = json!({ "domain": self.domain, "entries": entries, "copied_again": is_copied });
        context.output.result(&shown, || {
            let next = if is_copied {
                "the node copies them again when it starts"
            } else {
                "no peer is configured to give them again: `ics peer add NAME DOMAIN` names one"
            };
            format!("{} is emptied (entries: {entries}); {next}", self.domain)
        })?;
        Ok(Exit::Ok)
    }
}

fn failed(error: AppError) -> Failure {
    let (exit, hint) = match &error {
        AppError::Store(StoreError::InUse { .. }) => (Exit::Local, Some("stop the node first")),
        AppError::Store(StoreError::NotFound { .. }) => {
            (Exit::NotFound, Some("`ics domain show` lists what a node holds"))
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
