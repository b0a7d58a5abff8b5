//! `ics peer list`.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table;
use crate::config::{Direction, PeerConfig};

/// Lists the peers in ics.toml; `ics peer status` asks the node how they are doing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics peer list
  $ ics --json peer list")]
pub(crate) struct List {}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let peers: Vec<&PeerConfig> = config.peers().collect();
        context.output.result(&peers, || text(&peers))?;
        Ok(Exit::Ok)
    }
}

fn text(peers: &[&PeerConfig]) -> String {
    if peers.is_empty() {
        return "there is no peer: `ics peer add` adds one".to_owned();
    }
    let row = |peer: &&PeerConfig| {
        let asked = peer.roam.iter().map(|origin| format!("single things of {}", origin.domain));
        let domains: Vec<String> = peer.mirror.iter().map(|origin| origin.domain.to_string()).chain(asked).collect();
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        vec![
            peer.name.to_string(),
            or_none(peer.url.as_ref().map(ToString::to_string).unwrap_or_default()),
            or_none(domains.join(", ")),
            reads(peer),
        ]
    };
    table(&["peer", "at", "copied from it", "reads here"], &peers.iter().map(row).collect::<Vec<_>>())
}

fn reads(peer: &PeerConfig) -> String {
    match (&peer.key, peer.direction) {
        (Some(_), Direction::Both | Direction::Serve) => "by its key".to_owned(),
        _ => "as anybody".to_owned(),
    }
}
