//! `ics mirror add`.

use std::io::IsTerminal as _;

use clap::Args;
use console::style;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::ConfigFile;
use crate::api::DomainInfo;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::clean;
use crate::client::node::Node;
use crate::config::Url;
use crate::config::edit;

/// What `ics mirror add` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics mirror add devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455 \
--peer acme --url https://ics.acme.example

  See the origin first, and compare it with what the owners say:
  $ ics mirror add code.soft.example --peer soft --url https://ics.soft.example")]
pub(crate) struct Add {
    /// The domain, with the hash of its entry 0 behind a slash if you know it.
    #[arg(value_name = "ORIGIN|DOMAIN", value_parser = wanted)]
    domain: Wanted,
    /// What this node calls the peer.
    #[arg(long, value_name = "NAME")]
    peer: String,
    /// Where the peer answers; it need not be the domain's home [default: that of the peer in ics.toml].
    #[arg(long)]
    url: Option<Url>,
    /// Do not ask whether the origin is the right one.
    #[arg(short, long)]
    yes: bool,
}

/// A domain by its name, or by name and entry 0.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Origin(Origin),
    Domain(DomainName),
}

fn wanted(text: &str) -> Result<Wanted, String> {
    match text.contains('/') {
        true => text.parse().map(Wanted::Origin).map_err(|e: ics_core::log::checkpoint::CheckpointError| e.to_string()),
        false => text.parse().map(Wanted::Domain).map_err(|e: ics_core::vocabulary::WordError| e.to_string()),
    }
}

impl Add {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let file = ConfigFile::read(context)?;
        let url = edit::peer_url(&file.config, &self.peer, self.url.as_ref())?;
        let peer = Node::new(url.as_str())?;
        let name = match &self.domain {
            Wanted::Origin(origin) => &origin.domain,
            Wanted::Domain(domain) => domain,
        };
        let info = context.wait(async { Ok(peer.domain(name).await?) })?;
        let origin = &info.info.origin;
        self.compare(origin)?;
        // What would be refused is refused before anybody is asked.
        let text = edit::add_mirror(&file.text, &file.path, origin, &self.peer, &url)?;
        if matches!(self.domain, Wanted::Domain(_)) && !self.yes {
            context.output.note(&info_text(&info));
            confirm()?;
        }
        file.replace(&text)?;
        let shown = json!({ "origin": origin, "peer": self.peer, "url": url.as_str(), "size": info.info.size });
        context.output.result(&shown, || self.done(&info))?;
        Ok(Exit::Ok)
    }

    fn compare(&self, found: &Origin) -> Result<(), Failure> {
        let is_right = match &self.domain {
            Wanted::Origin(expected) => expected == found,
            Wanted::Domain(domain) => *domain == found.domain,
        };
        if is_right {
            return Ok(());
        }
        Err(Failure::new(Exit::Refused, format!("the peer serves another domain: `{found}`"))
            .hint("two domains may have one name: ask the owners which origin is theirs"))
    }

    fn done(&self, info: &DomainInfo) -> String {
        let rows = [
            ("origin", info.info.origin.to_string()),
            ("from", format!("the peer {}", self.peer)),
            ("next", "the node begins when it is started again; then `ics mirror status`".to_owned()),
        ];
        card(&format!("{} {} will be mirrored", style("✓").green(), info.info.domain), &rows)
    }
}

/// What the peer says of the domain, for a person to compare.
fn info_text(info: &DomainInfo) -> String {
    let mut rows = vec![
        ("origin", style(&info.info.origin).bold().to_string()),
        ("home node", clean(&info.info.home.name)),
        ("entries", info.info.size.to_string()),
        ("rules", format!("version {}", info.info.descriptor)),
    ];
    if !info.description.is_empty() {
        rows.insert(0, ("about", clean(&info.description)));
    }
    card(info.info.domain.as_str(), &rows)
}

fn confirm() -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "nobody is there to compare the origin")
            .hint("give the whole origin, or --yes to believe the peer"));
    }
    eprint!("Is this the origin that the domain's owners gave you? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(Exit::Local, e))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Refused, "nothing was changed")),
    }
}
