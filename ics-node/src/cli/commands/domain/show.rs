//! `ics domain show`.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use console::style;
use ics_core::descriptor::{Compromise, Descriptor, Issuer, NodeKey, OwnerKey, Owners, RoleSpec};
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::note::VerifierKey;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};
use serde::Serialize;

use super::changes::changes;
use super::ended::{self, Ended, ended};
use super::falls::Falls;
use super::{as_file, domain_or_default, entitled};
use crate::api::{Alarm, DomainInfo, FollowInfo, Position};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::card;
use crate::cli::words::{Freshness, clean, counted, counted_entries, span, when};
use crate::client::batch::UnsignedBatch;
use crate::client::descriptor::{self, DescriptorFile};
use crate::client::node::Node;
use crate::words::shell_path;
use crate::x509::Authority;

type Row = (&'static str, String);

/// The members of the printed JSON that are not part of the descriptor.
pub(super) const BESIDE: [&str; 8] = [
    "origin",
    "log_key",
    "held",
    "witness_keys",
    "in_force",
    "ended_signers",
    "blocks_that_fall",
    "statements_that_fall",
];

/// A descriptor as JSON, with its witnesses' keys in the form that other tools take, and with what falls by it.
#[derive(Serialize)]
struct Shown<'d> {
    #[serde(flatten)]
    descriptor: &'d Descriptor,
    /// What those who copy it or adopt from it must be given, if a node was asked: the origin of its log, and the key
    /// of the log's home.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'d Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_key: Option<&'d VerifierKey>,
    /// What the node holds of it and how it is doing there, as `/v1/domains/{domain}` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<&'d DomainInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witness_keys: Vec<VerifierKey>,
    /// The version in force, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<u64>,
    /// Its signers whose keys the node knows to be revoked or expired.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ended_signers: Ended,
    #[serde(flatten)]
    falls: Option<&'d Falls>,
}

impl<'d> From<&'d Descriptor> for Shown<'d> {
    fn from(descriptor: &'d Descriptor) -> Self {
        let witness_keys = descriptor.witness_keys();
        let (origin, log_key, held, in_force, falls) = (None, None, None, None, None);
        Self { descriptor, origin, log_key, held, witness_keys, in_force, ended_signers: Ended::new(), falls }
    }
}

/// What `ics domain show` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics domain show
  $ ics domain show devices.acme.example
  $ ics domain show devices.acme.example --node https://ics.acme.example
  $ ics --json domain show --node http://127.0.0.1:8470 | jq .held.alarms
  $ ics --json domain show ./devices.acme.example.v2.pgp")]
pub(crate) struct Show {
    /// The domain, or a file [default: the domain of ics.toml].
    #[arg(value_name = "DOMAIN|FILE")]
    what: Option<String>,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if let Some(path) = self.what.as_deref().and_then(as_file) {
            return show_file(context, &path);
        }
        let parse = |text: &String| text.parse::<DomainName>().map_err(|e| Failure::new(Exit::Usage, e));
        let domain = domain_or_default(context, self.what.as_ref().map(parse).transpose()?)?;
        if context.node.is_some() {
            return show_at_node(context, &domain);
        }
        let file = DescriptorFile::newest(&context.home, &domain)?;
        let path = descriptor::path(&context.home, &domain, file.descriptor.version);
        let node = context.config().and_then(|config| context.node(&config)).ok();
        let in_force = node.as_ref().and_then(|node| in_force(context, node, &domain));
        let answers = node.filter(|_| in_force.is_some());
        let ended_signers = answers.map(|node| ended(context, &node, &file.descriptor)).unwrap_or_default();
        let in_force = in_force.filter(|version| *version != file.descriptor.version);
        let mut rows = vec![("file", path.display().to_string())];
        rows.extend(in_force.map(|version| ("in force", not_in_force(file.descriptor.version, version))));
        rows.extend(ended::row(&ended_signers));
        let shown = Shown { in_force, ended_signers, ..Shown::from(&file.descriptor) };
        context.output.result(&shown, || text(context, &file, rows))?;
        Ok(Exit::Ok)
    }
}

/// The version in force at the node; `None` if the node cannot be asked.
fn in_force(context: &Context, node: &Node, domain: &DomainName) -> Option<u64> {
    let shown = context.wait(async { Ok(node.domain(domain).await?) }).ok()?;
    Some(shown.info.descriptor)
}

fn not_in_force(version: u64, in_force: u64) -> String {
    let next = if version > in_force {
        "`ics domain submit` puts this one into force"
    } else {
        "`ics domain show --node URL` shows it, `ics domain update` gets it"
    };
    style(format!("no: version {in_force} is; {next}")).yellow().to_string()
}

fn show_file(context: &Context, path: &Path) -> Result<Exit, Failure> {
    let content = files::read(path, limits::BATCH_FILE_BYTES)?;
    match DescriptorFile::parse(path, &content) {
        Ok(file) => print_to_sign(context, &file, path),
        Err(_) if UnsignedBatch::parse(path, &content).is_ok() => {
            Err(Failure::new(Exit::Local, format!("`{}` is a batch that nobody has signed yet", path.display()))
                .hint(format!("`ics sign {} --show` shows what would be signed", shell_path(path))))
        }
        Err(error) => Err(error.into()),
    }
}

/// Shows what a node holds of a domain, and by what rules.
fn show_at_node(context: &Context, domain: &DomainName) -> Result<Exit, Failure> {
    let node = context.node(&context.config()?)?;
    let (info, body) = context.wait(async { Ok((node.domain(domain).await?, node.descriptor(domain).await?)) })?;
    let malformed = |e| Failure::new(Exit::Network, format!("the node gave a malformed descriptor: {e}"));
    let file = DescriptorFile::from_body(body).map_err(malformed)?;
    let mut rows = node_rows(node.url(), &info, context.now());
    let ended_signers = ended(context, &node, &file.descriptor);
    rows.extend(ended::row(&ended_signers));
    let (origin, log_key, held) = (Some(&info.info.origin), Some(&info.info.verifier_key), Some(&info));
    let shown = Shown { origin, log_key, held, ended_signers, ..Shown::from(&file.descriptor) };
    context.output.result(&shown, || text(context, &file, rows))?;
    Ok(Exit::Ok)
}

fn node_rows(url: &str, info: &DomainInfo, now: Timestamp) -> Vec<Row> {
    let age = info.info.as_of.map(|time| now.millis_since(time) / 1000);
    let (held, size) = (info.info.size, info.shown.as_ref().map_or(0, |shown| shown.size));
    let freshness = Freshness { size, as_of: info.info.as_of, age, bound: info.fresh_for_seconds };
    let part = match info.position {
        Position::Home => "the home of the domain",
        Position::Mirror => "a mirror; `ics peer status` says how it is doing",
    };
    let mut rows = vec![
        ("node", format!("{url}\n{part}")),
        ("as of", freshness.text()),
        ("origin", info.info.origin.to_string()),
        ("log key", info.info.verifier_key.to_string()),
    ];
    if held > size {
        let why = "not shown yet, for want of witnesses or of the rest of a copy";
        rows.push(("held", style(format!("{} more, {why}", counted_entries(held - size))).yellow().to_string()));
    }
    if !info.follows.is_empty() {
        rows.push(("follows", info.follows.iter().map(followed).collect::<Vec<_>>().join("\n")));
    }
    let alarm = |alarm: &Alarm| format!("{} {}: {}", when(alarm.at), clean(&alarm.kind), clean(&alarm.text));
    if !info.alarms.is_empty() {
        rows.push(("alarms", style(info.alarms.iter().map(alarm).collect::<Vec<_>>().join("\n")).red().to_string()));
    }
    if !info.forks.is_empty() {
        let text = format!("{}: `ics domain forks {}` shows the signed heads", info.forks.len(), info.info.domain);
        rows.push(("forks", style(text).red().to_string()));
    }
    rows
}

/// Describes what it adopts from another domain automatically.
fn followed(it: &FollowInfo) -> String {
    let named = (it.identities > 0).then(|| counted(usize::try_from(it.identities).unwrap_or(usize::MAX), "thing"));
    let what: Vec<String> = named.into_iter().chain(it.choices.iter().map(|choice| clean(choice))).collect();
    let failing = |error: &String| format!("{} ", style(format!("failing: {};", clean(error))).red());
    let failing = it.last_error.as_ref().map(failing);
    let behind = (it.lag_entries > 0).then(|| format!(", {} to look at", counted_entries(it.lag_entries)));
    let (failing, behind) = (failing.unwrap_or_default(), behind.unwrap_or_default());
    format!("{}: {failing}{}{behind}", it.source, what.join("; "))
}

/// Writes a descriptor into a file and prints it, or writes it to standard output alone.
pub(in crate::cli) fn put(context: &Context, file: &DescriptorFile, path: &Path) -> Result<Exit, Failure> {
    file.replace(path)?;
    if files::is_standard(path) { Ok(Exit::Ok) } else { print(context, file, path) }
}

/// Prints a descriptor, its signatures, and those that are still missing.
pub(in crate::cli) fn print(context: &Context, file: &DescriptorFile, path: &Path) -> Result<Exit, Failure> {
    print_with(context, file, path, &Falls::default())
}

/// As [`print()`], for a descriptor that was just made, with what falls by it.
pub(super) fn print_with(
    context: &Context,
    file: &DescriptorFile,
    path: &Path,
    falls: &Falls,
) -> Result<Exit, Failure> {
    let rows = vec![("file", path.display().to_string())];
    let shown = Shown { falls: Some(falls), ..Shown::from(&file.descriptor) };
    context.output.result(&shown, || text(context, file, rows))?;
    Ok(Exit::Ok)
}

/// The rows about where the descriptor is, followed by its contents.
fn text(context: &Context, file: &DescriptorFile, mut rows: Vec<Row>) -> String {
    rows.extend([
        ("owners", owners_text(&file.descriptor)),
        ("signed by", signed_text(&entitled(context, &file.descriptor), file)),
    ]);
    rules_card(&file.descriptor, rows)
}

/// The owners who may sign a descriptor: those of the version before it, if that is at hand.
pub(in crate::cli) fn entitled_to(context: &Context, descriptor: &Descriptor) -> Owners {
    entitled(context, descriptor)
}

/// What an owner must read before signing a descriptor: these rows, a card of it, and all that it changes.
pub(in crate::cli) fn card_to_sign(context: &Context, descriptor: &Descriptor, mut rows: Vec<Row>) -> String {
    rows.push(("owners", owners_text(descriptor)));
    format!("{}\n{}", rules_card(descriptor, rows), changes(context, descriptor))
}

/// Prints that for a descriptor in a file, and who has signed it.
pub(in crate::cli) fn print_to_sign(context: &Context, file: &DescriptorFile, path: &Path) -> Result<Exit, Failure> {
    let signed_by = signed_text(&entitled(context, &file.descriptor), file);
    let rows = vec![("file", path.display().to_string()), ("signed by", signed_by)];
    context.output.result(&Shown::from(&file.descriptor), || card_to_sign(context, &file.descriptor, rows))?;
    Ok(Exit::Ok)
}

fn rules_card(descriptor: &Descriptor, mut rows: Vec<Row>) -> String {
    rows.extend([
        ("home node", format!("{}\n{}", clean(&descriptor.home.name), clean(&descriptor.home.key))),
        ("roles", roles_text(descriptor)),
        ("fresh for", fresh_for(descriptor.freshness.default)),
        ("access", format!("{}; --json prints them", counted(descriptor.access.matches("@id").count(), "rule"))),
    ]);
    if !descriptor.description.is_empty() {
        rows.insert(0, ("about", clean(&descriptor.description)));
    }
    if let Some(witnesses) = &descriptor.witnesses {
        let keys = witnesses.keys.iter().map(witness_text).collect::<Vec<_>>().join("\n");
        rows.push(("witnesses", format!("{} of these must cosign\n{keys}", witnesses.quorum)));
    }
    if let Some(certificates) = &descriptor.certificates {
        let issuers = certificates.issuers.iter().map(issuer_text).collect::<Vec<_>>().join("\n");
        rows.push(("issues X.509", issuers));
    }
    let sources = descriptor.sources.iter().map(|source| source.domain.to_string()).collect::<Vec<_>>();
    if !sources.is_empty() {
        rows.push(("adopts from", sources.join("\n")));
    }
    for compromise in &descriptor.compromised {
        let Compromise { signer, domain, from_index } = compromise;
        rows.push(("compromised", format!("{signer}\nfrom entry {from_index} of {domain} on")));
    }
    card(&format!("{}, version {}", descriptor.domain, descriptor.version), &rows)
}

/// As other commands tell it, and in seconds, as the descriptor has it.
fn fresh_for(seconds: u64) -> String {
    let (told, exactly) = (span(seconds), format!("{seconds} s"));
    if told == exactly { exactly } else { format!("{told} ({exactly})") }
}

/// A witness in the form that other tools take: name, key id and key.
fn witness_text(witness: &NodeKey) -> String {
    witness.cosigner().map_or_else(|_| clean(&witness.name), |key| clean(&key.to_string()))
}

/// Describes an issuer; the descriptor contains the authority's certificate, which people cannot read.
fn issuer_text(issuer: &Issuer) -> String {
    match Authority::read(issuer) {
        Ok(authority) => clean(&authority.name.to_string()),
        Err(error) => clean(&format!("a certificate that is no authority's: {error}")),
    }
}

fn owners_text(descriptor: &Descriptor) -> String {
    let head = format!("{} of {} change the rules", descriptor.owners.threshold, descriptor.owners.keys.len());
    let owners = descriptor.owners.keys.iter().map(|owner| format!("{}  {}", owner.fingerprint, clean(&owner.name)));
    core::iter::once(head).chain(owners).collect::<Vec<_>>().join("\n")
}

fn signed_text(owners: &Owners, file: &DescriptorFile) -> String {
    let signed = file.signed_by(&owners.keys);
    let line = |owner: &OwnerKey| format!("{} {}  {}", style("✓").green(), owner.fingerprint, clean(&owner.name));
    let has_signed = |owner: &&OwnerKey| signed.contains(&owner.fingerprint);
    let mut lines: Vec<String> = owners.keys.iter().filter(has_signed).map(line).collect();
    let missing = usize::try_from(owners.threshold).unwrap_or(usize::MAX).saturating_sub(lines.len());
    if missing > 0 {
        lines.push(style(format!("{missing} more must sign before it counts")).yellow().to_string());
    }
    lines.join("\n")
}

fn roles_text(descriptor: &Descriptor) -> String {
    let role = |(role, spec): (&Role, &RoleSpec)| {
        let signers = spec.signers.iter().map(|signer| format!("  {signer}"));
        let names = spec.names.iter().map(|pattern| format!("  may name {}", clean(pattern)));
        core::iter::once(role.to_string()).chain(signers).chain(names).collect::<Vec<_>>().join("\n")
    };
    descriptor.roles.iter().map(role).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use console::strip_ansi_codes;

    use super::*;

    #[test]
    fn how_long_news_are_fresh_is_told_as_elsewhere_and_exactly() {
        assert_eq!([86_400, 45].map(fresh_for), ["24 h (86400 s)", "45 s"]);
    }

    #[test]
    fn a_domain_is_as_of_what_its_node_shows_and_what_it_holds_beyond_that_is_told() {
        let now = Timestamp::from_seconds(1_795_162_200);
        let row = |info: &DomainInfo, name: &str| {
            let rows = node_rows("http://ics.example", info, now);
            let row = rows.into_iter().find(|(it, _)| *it == name);
            row.map(|(_, text)| strip_ansi_codes(&text).into_owned())
        };
        let waiting = DomainInfo::held(9, Some(7));
        assert!(row(&waiting, "as of").is_some_and(|text| text.ends_with(", 7 entries in the log")));
        assert!(row(&waiting, "held").is_some_and(|text| text.starts_with("2 entries more, not shown yet")));
        assert_eq!(row(&DomainInfo::held(9, Some(9)), "held"), None);
    }

    /// While following fails, nobody knows how far it is behind, so the failure comes first.
    #[test]
    fn what_is_followed_says_first_that_it_fails() {
        let text = |lag_entries, last_error: Option<&str>| {
            let info = FollowInfo {
                source: "plant.example".parse().expect("a domain"),
                identities: 2,
                choices: vec!["lot L1".to_owned()],
                state: String::new(),
                lag_entries,
                last_error: last_error.map(str::to_owned),
            };
            strip_ansi_codes(&followed(&info)).into_owned()
        };
        assert_eq!(text(0, None), "plant.example: 2 things; lot L1");
        assert_eq!(text(3, None), "plant.example: 2 things; lot L1, 3 entries to look at");
        assert_eq!(text(0, Some("it is away")), "plant.example: failing: it is away; 2 things; lot L1");
    }
}
