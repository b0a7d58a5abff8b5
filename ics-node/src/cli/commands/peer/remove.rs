//! `ics peer remove`.

use std::collections::BTreeSet;

use clap::Args;
use console::style;
use ics_core::vocabulary::DomainName;

use super::{Since, change};
use crate::api::DomainInfo;
use crate::cli::commands::trust;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::edit::{EditError, put_peer, remove_peer};
use crate::config::{Config, PeerConfig, PeerName};

/// What `ics peer remove` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics peer remove ics.acme.example
  $ ics peer remove ics.acme.example devices.acme.example")]
pub(crate) struct Remove {
    /// The name of the peer.
    name: PeerName,
    /// Keep the peer, but no longer copy these domains from it.
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
        if since == Since::Now {
            let others = config.peers().filter(|other| other.name != self.name);
            let left = others.chain((!self.domains.is_empty()).then_some(&peer));
            let unheard = unheard(&before, left);
            warn(context, &config, &unheard);
            warn_of_trust(context, &config, &unheard);
        }
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

/// The domains for which the removed peer was the last one to bring anything.
fn unheard<'a>(before: &'a PeerConfig, left: impl Iterator<Item = &'a PeerConfig>) -> BTreeSet<DomainName> {
    let still: BTreeSet<&DomainName> = left.flat_map(brought).collect();
    brought(before).filter(|domain| !still.contains(domain)).cloned().collect()
}

fn brought(peer: &PeerConfig) -> impl Iterator<Item = &DomainName> {
    peer.mirror.iter().chain(&peer.roam).map(|origin| &origin.domain)
}

/// Says which domains of the node follow one of these. The peer is removed even if that cannot be found out.
fn warn(context: &Context, config: &Config, unheard: &BTreeSet<DomainName>) {
    let asked = || -> Result<Vec<DomainInfo>, Failure> {
        let node = context.node(config)?;
        context.wait(async { Ok(node.domains().await?) })
    };
    let infos = if unheard.is_empty() { Vec::new() } else { asked().unwrap_or_default() };
    for info in infos {
        for follow in info.follows.iter().filter(|follow| unheard.contains(&follow.source)) {
            let (domain, source) = (&info.info.domain, &follow.source);
            let text = format!(
                "{} {domain} follows {source}, and no peer brings what is said there any more: blocks do not arrive\n hint: \
                 `ics peer add` has another peer bring it; `ics adopt --from {source} --into {domain} --no-follow` ends it",
                style("!").yellow().bold()
            );
            context.output.note(&text);
        }
    }
}

/// Says which of these domains the trust policy names: without one of them no verdict permits anything.
fn warn_of_trust(context: &Context, config: &Config, unheard: &BTreeSet<DomainName>) {
    let Some(policy) = config.trust.policy.as_deref().and_then(|path| trust::read(path).ok()) else { return };
    for origin in policy.domains().iter().filter(|origin| unheard.contains(&origin.domain)) {
        context.output.note(&format!(
            "{} the trust policy names {}, which no peer brings any more: its answers become `unknown`\n hint: `ics \
             peer add` has another peer bring it; `ics trust check` shows all that it names",
            style("!").yellow().bold(),
            origin.domain
        ));
    }
}

#[cfg(test)]
mod tests {
    use ics_core::log::checkpoint::Origin;

    use super::*;

    #[test]
    fn what_another_peer_brings_is_still_heard() {
        let origin = |domain: &str| Origin { domain: domain.parse().expect("a domain"), entry0: [7; 32] };
        let peer = |name: &str, mirror: &[&str], roam: &[&str]| PeerConfig {
            mirror: mirror.iter().copied().map(origin).collect(),
            roam: roam.iter().copied().map(origin).collect(),
            ..PeerConfig::new(name.parse().expect("a name"))
        };
        let before = peer("acme", &["a.example", "b.example"], &["c.example"]);
        let other = peer("other", &["b.example"], &[]);
        let heard = |left: &[&PeerConfig]| unheard(&before, left.iter().copied()).len();
        assert_eq!((heard(&[]), heard(&[&other]), heard(&[&other, &before])), (3, 2, 0));
    }
}
