//! `ics lookup`.

mod verdict;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use console::style;
use ics_core::record::{Assessment, Outlook};
use ics_core::vocabulary::DomainName;
use serde::Serialize;

use crate::api::problem::Code;
use crate::api::{RecordAnswer, ViewAnswer, assessment};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table;
use crate::cli::record::{heading, overall, record_card};
use crate::cli::words::{Freshness, clean};
use crate::client::lookup::in_domain;
use crate::client::node::{Node, NodeError};

/// How many identities that match an ambiguous name are looked up for their titles.
const CANDIDATES: usize = 20;
/// What to do if no domain knows a thing.
const NOT_HELD: &str = "every domain that this node holds was asked: `ics list --title TEXT` finds things by what they \
                        are called, and `ics peer add` copies other domains";

/// What `ics lookup` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics lookup serial:SN-0001
  $ ics lookup urn:dev:mac:0024befffe804ff1 --domain devices.acme.example
  $ ics --json lookup 0123456789abcdef0123456789abcdef01234567

  May this device talk to that gateway?
  $ ics lookup serial:SN-0001 --use connect --peer host:gw4.site.example

  A query is an id or a name:
    fingerprint, openpgp4fpr:…          a device, gateway, service, node or organisation by its OpenPGP key
    sha256:…, ni:///sha-256;…           software by its hash, or a group
    serial:…, urn:…, host:…             names that its manufacturer or owner gave it
    spki:…, cert:…                      SHA-256 of its public key or X.509 certificate, hex

  To find software or a group of which you only know what it is called, use `ics list --title`.")]
pub(crate) struct Lookup {
    /// An id or a name; the examples below list the forms.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    query: String,
    /// Ask only this domain [default: all that the node holds].
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,
    /// Ask whether it may be used in this way: connect, install, operate, or another use that the node's trust policy
    /// names. Only with this option are other nodes asked about a thing of a domain of which no copy is here (`ics peer
    /// add --roam`), if the policy names that domain. The exit code is 0 only if the use is allowed, and if the node
    /// was asked over https or is on this machine: over plain HTTP anybody on the way could answer.
    #[arg(long = "use", value_name = "USE", conflicts_with = "domain")]
    usage: Option<String>,
    /// The other thing that it is to deal with, by id or name.
    #[arg(long, value_name = "QUERY", requires = "usage")]
    peer: Option<String>,
}

/// What is known about a thing, and the conclusion, as JSON.
#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    view: &'a ViewAnswer,
    outlook: Outlook,
}

/// One of the identities that match an ambiguous name, as JSON.
#[derive(Serialize)]
struct Candidate {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    domains: Vec<DomainName>,
}

impl Lookup {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        if let Some(usage) = &self.usage {
            let verdict = context.wait(async { Ok(node.verdict(&self.query, usage, self.peer.as_deref()).await?) })?;
            return verdict::print(context, &node, (&self.query, self.peer.as_deref()), &verdict);
        }
        context.wait(async {
            let view = self.ask(&node).await?;
            match view.identities.len() {
                0 | 1 => print(context, &view),
                _ => list_candidates(context, &node, &view).await,
            }
        })
    }

    async fn ask(self, node: &Node) -> Result<ViewAnswer, Failure> {
        let Some(domain) = self.domain else { return known(node, node.view(&self.query).await, true).await };
        let ask = async |query: &str| node.record(&domain, query).await;
        let answer = known(node, in_domain(node, &self.query, ask).await, false).await?;
        let identities = vec![answer.record.identity.id.to_string()];
        Ok(ViewAnswer { query: self.query, identities, records: vec![answer], unheard: Vec::new() })
    }
}

/// Returns the node's answer about a thing, by one of its domains or by all. If the node knows nothing, its operator is
/// told that its peers may, which are asked for decisions only.
pub(super) async fn known<T>(node: &Node, answer: Result<T, NodeError>, by_all: bool) -> Result<T, Failure> {
    let error = match answer {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let unknown = Code::UnknownIdentity.as_str();
    let is_unknown = matches!(&error, NodeError::Problem(problem) if problem.code() == unknown);
    let failure = Failure::from(error);
    if !is_unknown {
        return Err(failure);
    }
    // Only the operator is told about the peers.
    let peers = node.peers().await.unwrap_or_default();
    let roamed = peers.iter().flat_map(|info| &info.peer.roam).next();
    Err(match roamed {
        Some(origin) => failure.hint(format!(
            "this is only what is held here. Peers are asked about things of `{}` only for decisions: use --use, with \
             a trust policy that names the domain (`ics trust init --domain {origin} …`)",
            origin.domain
        )),
        None if by_all => failure.hint(NOT_HELD),
        None => failure,
    })
}

fn print(context: &Context, view: &ViewAnswer) -> Result<Exit, Failure> {
    let assessment = assessment(&view.records, &view.unheard);
    context.output.result(&Known { view, outlook: assessment.outlook }, || text(view, &assessment))?;
    Ok(Exit::Ok)
}

fn text(view: &ViewAnswer, assessment: &Assessment) -> String {
    let Some(first) = view.records.first() else { return "nothing is known of it".to_owned() };
    let records: Vec<_> = view.records.iter().map(|it| &it.record).collect();
    let head = [heading(&first.record), overall(&records, assessment).unwrap_or_default()].concat();
    let is_vouched_for = records.iter().any(|record| !record.vouched.is_empty());
    let card = |it: &RecordAnswer| {
        let card = record_card(&it.record, &Freshness::from(&it.as_of), &it.succeeded_by, is_vouched_for);
        let is_other = it.record.title != first.record.title;
        let called = is_other.then(|| format!("{} calls it {}\n", it.record.domain, clean(&it.record.title)));
        called.unwrap_or_default() + &card
    };
    let cards = view.records.iter().map(card);
    let unheard = view.unheard.iter().map(|domain| {
        format!("! {domain} was not heard: this node can say nothing of it now, and what it says may block\n")
    });
    core::iter::once(head).chain(cards).chain(unheard).collect::<Vec<_>>().join("\n")
}

/// Lists the things that match an ambiguous name; the name then says nothing about any of them, and this is no answer.
async fn list_candidates(context: &Context, node: &Node, view: &ViewAnswer) -> Result<Exit, Failure> {
    let mut candidates = Vec::with_capacity(view.identities.len());
    for (number, id) in view.identities.iter().enumerate() {
        let records = if number < CANDIDATES { node.view(id).await?.records } else { Vec::new() };
        candidates.push(Candidate::new(id, &records));
    }
    context.output.result(&candidates, || candidates_text(&candidates))?;
    Err(Failure::new(Exit::Refused, format!("`{}` fits {} identities", view.query, candidates.len()))
        .hint("ask for one of them by its id"))
}

impl Candidate {
    fn new(id: &str, records: &[RecordAnswer]) -> Self {
        let first = records.first().map(|it| &it.record);
        Self {
            id: id.to_owned(),
            kind: first.map(|record| record.identity.kind.to_string()),
            title: first.map(|record| record.title.clone()),
            domains: records.iter().map(|it| it.record.domain.clone()).collect(),
        }
    }
}

fn candidates_text(candidates: &[Candidate]) -> String {
    let row = |it: &Candidate| {
        let domains = it.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let kind = it.kind.clone().unwrap_or_default();
        vec![style(&it.id).bold().to_string(), kind, clean(it.title.as_deref().unwrap_or_default()), domains]
    };
    table(&["id", "kind", "title", "domains"], &candidates.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
