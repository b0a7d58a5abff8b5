//! `ics mirror remove`.

use clap::Args;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::ConfigFile;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::edit;

/// What `ics mirror remove` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics mirror remove devices.acme.example")]
pub(crate) struct Remove {
    /// The domain.
    domain: DomainName,
}

impl Remove {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let file = ConfigFile::read(context)?;
        let (text, peer) = edit::remove_mirror(&file.text, &file.path, &self.domain)?;
        file.replace(&text)?;
        context.output.result(&json!({ "domain": self.domain, "peer": peer }), || {
            let peer =
                peer.as_ref().map(|peer| format!(", nor is the peer {peer} needed any more")).unwrap_or_default();
            format!("{} is no longer mirrored{peer}; the node knows when it is started again", self.domain)
        })?;
        Ok(Exit::Ok)
    }
}
