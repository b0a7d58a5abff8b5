//! `ics peer remove`.

use clap::Args;
use ics_core::vocabulary::DomainName;

use super::{Since, change};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::edit::{EditError, put_peer, remove_peer};
use crate::config::{Config, PeerName};

/// What `ics peer remove` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics peer remove ics.acme.example
  $ ics peer remove ics.acme.example devices.acme.example")]
pub(crate) struct Remove {
    /// The peer.
    name: PeerName,
    /// Only no longer copy these domains from it.
    #[arg(value_name = "DOMAIN")]
    domains: Vec<DomainName>,
}

impl Remove {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        let mut peer = config.peer(&self.name).cloned().ok_or_else(|| EditError::Unknown(self.name.clone()))?;
        let before = peer.clone();
        for domain in &self.domains {
            let position = peer.mirror.iter().position(|origin| origin.domain == *domain);
            let position = position.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("`{domain}` is not copied from `{}`", self.name))
                    .hint("`ics peer list` shows what is")
            })?;
            peer.mirror.remove(position);
        }
        let (name, left) = (&self.name, &peer);
        let since = if self.domains.is_empty() {
            let edit = |text: &str, path: &std::path::Path| remove_peer(text, path, name).map_err(Failure::from);
            change(context, &config, async |node| node.remove_peer(name).await, edit)?
        } else {
            let edit = |text: &str, path: &std::path::Path| put_peer(text, path, left).map_err(Failure::from);
            change(context, &config, async |node| node.put_peer(left).await, edit)?
        };
        let shown = if self.domains.is_empty() { &before } else { &peer };
        context.output.result(shown, || self.done(since))?;
        Ok(Exit::Ok)
    }

    fn done(&self, since: Since) -> String {
        let what = match self.domains.as_slice() {
            [] => format!("the peer {} is removed", self.name),
            domains => {
                let domains: Vec<&str> = domains.iter().map(DomainName::as_str).collect();
                format!("{} no longer copied from {}", domains.join(", "), self.name)
            }
        };
        match since {
            Since::Now => what,
            Since::NextStart => format!("{what}; the node knows when it is started"),
        }
    }
}
