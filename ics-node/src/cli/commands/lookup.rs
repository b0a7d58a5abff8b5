//! `ics lookup`.

use std::io::Write as _;

use clap::Args;
use console::style;
use ics_core::record::{By, Given, GivenStatus, Record};
use ics_core::vocabulary::Effect;

use crate::api::{AsOf, RecordAnswer, ViewAnswer};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::client::lookup::LookupError;

/// Asks what a thing is, who vouches for it, and what its status is now: in every domain that the node holds, side by
/// side.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Ids and names: an OpenPGP fingerprint, bare or as openpgp4fpr:…; sha256:… or ni:///sha-256;… for software and groups;
urn:…, serial:…, host:…; spki:… and cert:…, the SHA-256 of a public key or certificate of X.509.

Examples:
  $ ics lookup serial:SN-0001
  $ ics --node https://ics.acme.example lookup urn:dev:os:32473-1 --domain devices.acme.example
  $ ics lookup serial:SN-0001 --openpgp | gpg --allow-non-selfsigned-uid --import")]
pub(crate) struct Lookup {
    /// An id or a name.
    #[arg(value_name = "ID|NAME")]
    thing: String,
    /// Only what this domain says.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<ics_core::vocabulary::DomainName>,
    /// Print the statements themselves, in armor, for gpg and sq.
    #[arg(long, conflicts_with = "domain")]
    openpgp: bool,
}

impl Lookup {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        context.wait(async {
            if self.openpgp {
                let armored = node.view_openpgp(&self.thing).await?;
                std::io::stdout().write_all(&armored).map_err(|e| Failure::new(Exit::Local, e))?;
                return Ok(Exit::Ok);
            }
            let mut view = node.view(&self.thing).await?;
            if let Some(domain) = &self.domain {
                view.records.retain(|answer| answer.record.domain == *domain);
            }
            if view.records.is_empty() && view.identities.len() < 2 {
                return Err(LookupError::Unknown(self.thing).into());
            }
            context.output.result(&view, || text(&view))?;
            Ok(Exit::Ok)
        })
    }
}

fn text(view: &ViewAnswer) -> String {
    if view.identities.len() > 1 {
        let ids = view.identities.join("\n  ");
        return format!("`{}` fits {} identities:\n  {ids}", view.query, view.identities.len());
    }
    let cards = view.records.iter().map(record_card);
    cards.collect::<Vec<_>>().join("\n")
}

/// What one domain says, as a card.
pub(super) fn record_card(answer: &RecordAnswer) -> String {
    let record = &answer.record;
    let title = format!("{} {}  {}", record.identity.kind, record.title, effect(record));
    let mut rows = vec![("id", record.identity.id.to_string()), ("domain", as_of(record, &answer.as_of))];
    let mut row = |name: &'static str, lines: Vec<String>| {
        if !lines.is_empty() {
            rows.push((name, lines.join("\n")));
        }
    };
    row("status", statuses(record));
    row("vouched by", record.vouched.iter().map(by).collect());
    row("names", record.names.iter().map(|given| said(&given.value.to_string(), given)).collect());
    row("about", attributes(record));
    row("approved by", record.approvals.iter().map(by).collect());
    row("labels", record.labels.iter().map(|given| said(&given.value, given)).collect());
    row("groups", record.groups.iter().map(|given| said(&given.value.to_string(), given)).collect());
    row("entitled", record.grants.iter().map(|grant| format!("{} {}", grant.role, grant.grantee)).collect());
    row("installed", record.installed.iter().map(|given| said(&given.value.to_string(), given)).collect());
    row("replaces", record.replaces.iter().map(|given| said(&given.value, given)).collect());
    card(&title, &rows)
}

/// What may be done with it, in the colour of the effect.
pub(super) fn effect(record: &Record) -> String {
    match (record.effect(), &record.status) {
        (Effect::Blocks | Effect::BlocksForEver, Some(status)) => {
            style(status.decides.name.to_string()).red().bold().to_string()
        }
        (Effect::Permits, Some(status)) => style(status.decides.name.to_string()).green().bold().to_string(),
        (_, Some(status)) => style(status.decides.name.to_string()).yellow().to_string(),
        (_, None) => style("no status").dim().to_string(),
    }
}

fn as_of(record: &Record, as_of: &AsOf) -> String {
    let when = match (as_of.time, as_of.age_seconds) {
        (Some(time), Some(age)) if age > as_of.fresh_for_seconds => {
            style(format!("as of {time}: too old to rely on")).red().to_string()
        }
        (Some(time), _) => format!("as of {time}"),
        (None, _) => style("of unknown age").red().to_string(),
    };
    format!("{}, {} entries, {when}", record.domain, as_of.size)
}

fn statuses(record: &Record) -> Vec<String> {
    let line = |status: &GivenStatus| {
        let reason = status.reason.as_ref().map(|reason| format!(" “{reason}”")).unwrap_or_default();
        format!("{} since {}{reason}, {}", status.name, status.since, by(&status.by))
    };
    let all = record.status.iter().flat_map(|status| core::iter::once(&status.decides).chain(&status.conflict));
    all.map(line).collect()
}

fn attributes(record: &Record) -> Vec<String> {
    let line = |(attribute, given): (&ics_core::vocabulary::Attribute, &Vec<Given<String>>)| {
        let values: Vec<&str> = given.iter().map(|given| given.value.as_str()).collect();
        format!("{attribute} {}", values.join(" / "))
    };
    record.attributes.iter().map(line).collect()
}

fn said<T>(value: &str, given: &Given<T>) -> String {
    format!("{value}  {}", style(by(&given.by)).dim())
}

/// Who says it, in which role, and where.
pub(super) fn by(by: &By) -> String {
    let who = by.name.clone().unwrap_or_else(|| by.signer.to_string());
    let group = if by.group.is_some() { ", of its group" } else { "" };
    format!("{who} as {} (entry {}{group})", by.role, by.index)
}
