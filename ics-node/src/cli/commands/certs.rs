//! `ics certs` and `ics report`.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use console::style;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::page_limit;
use crate::api::{CertificateInfo, CertificatePage, CertificateQuery, CertificateState};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::{Parts, Whole, table};
use crate::cli::session::InDomain;
use crate::cli::words::{Freshness, clean, short, when};
use crate::client::lookup::LookupError;
use crate::client::node::Node;
use crate::client::report::{Format, Report as Writer};
use crate::words::path_text;

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// Which certificates.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    domain: InDomain,
    /// Only certificates in this state: good, held, revoked, ended.
    #[arg(long)]
    state: Option<CertificateState>,
    /// Only certificates that have not ended and end within this many days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    ends_within: Option<u64>,
}

impl Which {
    fn query(&self, now: Timestamp) -> CertificateQuery {
        CertificateQuery {
            state: self.state,
            ends_before: self.ends_within.map(|days| now.plus_millis(days * DAY)),
            ..CertificateQuery::default()
        }
    }
}

/// What `ics certs` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics certs
  $ ics certs --state revoked --all
  $ ics certs --ends-within 30 --state good
  $ ics --json certs --of serial:SN-0001 | jq -r '.items[].serial'")]
pub(crate) struct Certs {
    #[command(flatten)]
    which: Which,
    /// Only certificates of this thing, by its id or a name, as `ics lookup` takes it.
    #[arg(long, value_name = "ID|NAME", conflicts_with = "ends_within")]
    of: Option<String>,
    /// How many items a page has, 500 at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = page_limit)]
    limit: usize,
    /// Continue after this place, which the previous page names.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// All pages, one after the other; with --json, as one value.
    #[arg(long)]
    all: bool,
}

impl Certs {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let domain = self.which.domain.clone().or_default(&config)?;
        let node = context.node(&config)?;
        context.wait(async {
            let id = match &self.of {
                Some(of) => Some(id_of(&node, of).await?),
                None => None,
            };
            let (limit, after) = (Some(self.limit), self.after.clone());
            let query = CertificateQuery { id, limit, after, ..self.which.query(context.now()) };
            print_pages(context, &node, &domain, query, self.all).await
        })
    }
}

/// Returns the id of the one thing that is meant. If it is given by its id, the node is not asked.
async fn id_of(node: &Node, of: &str) -> Result<String, Failure> {
    if let Ok(id) = of.parse::<Fingerprint>() {
        return Ok(id.to_string());
    }
    match node.view(of).await?.identities.as_slice() {
        [] => Err(LookupError::Unknown(of.to_owned()).into()),
        [one] => Ok(one.clone()),
        ids => Err(LookupError::Ambiguous { query: of.to_owned(), ids: ids.to_vec() }.into()),
    }
}

/// Prints all pages as one JSON value.
async fn print_whole(node: &Node, domain: &DomainName, mut query: CertificateQuery) -> Result<Exit, Failure> {
    let mut whole = Whole::default();
    loop {
        let page = node.certificates(domain, &query).await?;
        if !whole.page(&page.as_of, &page.items, false)? {
            return Ok(Exit::Ok);
        }
        match page.next {
            None => return whole.end().map(|()| Exit::Ok),
            after => query.after = after,
        }
    }
}

/// Prints each page as it comes. People are not shown a page that is short only because its node has searched far
/// enough; they get the next one with it.
async fn print_pages(
    context: &Context,
    node: &Node,
    domain: &DomainName,
    mut query: CertificateQuery,
    all: bool,
) -> Result<Exit, Failure> {
    if all && context.output.json {
        return print_whole(node, domain, query).await;
    }
    let mut found = false;
    loop {
        let page = node.certificates(domain, &query).await?;
        found |= !page.items.is_empty();
        let is_shown = context.output.json || !page.items.is_empty();
        if is_shown && !context.output.page(&page, || text(&page))? {
            return Ok(Exit::Ok);
        }
        match page.next {
            Some(after) if all || (page.items.is_empty() && !context.output.json) => query.after = Some(after),
            Some(after) => {
                context.output.note(&style(format!("there may be more: --after {after}, or --all")).dim().to_string());
                return Ok(Exit::Ok);
            }
            None if found => return Ok(Exit::Ok),
            None => {
                let as_of = Freshness::from(&page.as_of).text();
                context.output.note(&format!("no certificate of {domain} matches, as of {as_of}"));
                return Ok(Exit::Ok);
            }
        }
    }
}

fn text(page: &CertificatePage) -> String {
    let freshness = Freshness::from(&page.as_of);
    let rows: Vec<Vec<String>> = page.items.iter().map(|item| row(item, freshness.is_fresh())).collect();
    let rows = table(&["holder", "profile", "ends", "state", "why", "serial"], &rows);
    format!("{rows}\n\n{} {}", style("as of").dim(), freshness.text())
}

/// Past the freshness bound it is only certain that a certificate is revoked or has expired.
fn row(item: &CertificateInfo, is_fresh: bool) -> Vec<String> {
    let state = match item.state {
        CertificateState::Good if !is_fresh => style("UNKNOWN").yellow(),
        CertificateState::Good => style(item.state.as_str()).green(),
        CertificateState::Held | CertificateState::Revoked => style(item.state.as_str()).red(),
        CertificateState::Ended => style(item.state.as_str()).dim(),
    };
    let why = item.revoked.as_ref().map_or_else(String::new, |revoked| {
        let more = revoked.status.as_ref().or(revoked.why.as_ref()).map(|more| format!(" ({})", clean(more)));
        format!("{}{}", revoked.reason, more.unwrap_or_default())
    });
    vec![
        clean(&item.title),
        item.profile.as_deref().map(clean).unwrap_or_default(),
        item.until.map_or_else(|| "never".to_owned(), when) + if item.renewed { ", renewed" } else { "" },
        state.to_string(),
        why,
        style(short(&item.serial)).dim().to_string(),
    ]
}

/// What `ics report` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics report --out certificates.html
  $ ics report --out certificates.csv
  $ ics report --format csv --state revoked
  $ ics report --ends-within 30 --out ending.json")]
pub(crate) struct Report {
    #[command(flatten)]
    which: Which,
    /// The format: html, csv or json [default: what the name of the file ends with, or else html]. HTML goes to a
    /// terminal only if it is named here.
    #[arg(long)]
    format: Option<Format>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, alias = "output", value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

impl Report {
    /// In which format it is written. A file gets what was asked for it, and programs are told of the file.
    fn format(&self, is_for_programs: bool, is_terminal: bool) -> Result<Format, Failure> {
        let is_standard = files::is_standard(&self.out);
        if is_for_programs && is_standard {
            return Ok(Format::Json);
        }
        match self.format.or_else(|| Format::of(&self.out)) {
            Some(format) => Ok(format),
            None if is_standard && is_terminal => {
                Err(Failure::new(Exit::Usage, "the report is an HTML page, which does not go to a terminal").hint(
                    "name a file with --out FILE, or a format with --format csv or --format json; `ics certs` shows a \
                     table",
                ))
            }
            None => Ok(Format::Html),
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let domain = self.which.domain.clone().or_default(&config)?;
        let node = context.node(&config)?;
        let format = self.format(context.output.json, std::io::stdout().is_terminal())?;
        let make = |into: &mut dyn Write| {
            let only = self.which.query(context.now());
            let mut report = Writer::new(format, into, domain.clone(), context.now(), only.clone());
            let mut query = CertificateQuery { limit: Some(limits::PAGE_ITEMS), ..only };
            context.wait(async {
                loop {
                    let page = node.certificates(&domain, &query).await?;
                    report.add(&page).map_err(|error| files::failed(&self.out, error))?;
                    match page.next {
                        Some(after) => query.after = Some(after),
                        None => return Ok(()),
                    }
                }
            })?;
            report.end().map_err(|error| files::failed(&self.out, error))
        };
        let mut parts = Parts::default();
        let made = match self.out.to_str() {
            Some(files::STANDARD) => make(&mut parts),
            _ => files::write_by(&self.out, make),
        };
        if parts.is_closed {
            return Ok(Exit::Ok);
        }
        let totals = made?;
        let told: Vec<String> = totals.each().map(|(state, count)| format!("{count} {state}")).collect();
        context.output.note(&format!("certificates of {domain}: {}", told.join(", ")));
        if context.output.json {
            let totals: serde_json::Map<_, _> =
                totals.each().map(|(state, count)| (state.to_string(), count.into())).collect();
            let shown = serde_json::json!({ "file": path_text(&self.out), "totals": totals });
            context.output.written(&self.out, &shown, String::new)?;
        }
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nobody_is_shown_html_in_a_terminal_who_has_not_asked_for_it() {
        let format = |format: Option<Format>, out: &str, is_for_programs, is_terminal| {
            let domain = InDomain { domain: None };
            let which = Which { domain, state: None, ends_within: None };
            Report { which, format, out: out.into() }.format(is_for_programs, is_terminal)
        };
        assert_eq!(format(None, "-", false, true).expect_err("it is a terminal").exit(), Exit::Usage);
        assert_eq!(format(None, "-", false, false), Ok(Format::Html), "a pipe");
        assert_eq!(format(None, "-", true, true), Ok(Format::Json));
        assert_eq!(format(Some(Format::Html), "-", false, true), Ok(Format::Html), "as asked for");
        assert_eq!(format(None, "report", false, true), Ok(Format::Html));
        assert_eq!(format(None, "report.csv", true, true), Ok(Format::Csv));
    }

    #[test]
    fn a_page_as_a_table() {
        let item = json!({
            "serial": "41".repeat(20), "sha256": "ab".repeat(32), "spki": "cd".repeat(32), "profile": "ldevid",
            "id": "ab".repeat(20), "kind": "device", "title": "Pump\u{1b} 7", "issuer": "ef".repeat(20),
            "index": 7, "until": "2026-12-24T00:00:00Z", "state": "held", "renewed": true,
            "revoked": {"at": "2026-11-26T04:00:00Z", "reason": "certificateHold", "status": "suspended"},
        });
        let as_of = json!({
            "size": 9, "root": "", "time": "2026-11-26T05:00:00Z", "age_seconds": 5, "fresh_for_seconds": 60,
        });
        let mut page: CertificatePage =
            serde_json::from_value(json!({"as_of": as_of, "items": [item]})).expect("a page");
        let shown = |page: &CertificatePage| console::strip_ansi_codes(&text(page)).into_owned();
        assert_eq!(
            shown(&page),
            "holder   profile  ends                              state  why                          serial\n\
             Pump\u{fffd} 7  ldevid   2026-12-24 00:00:00 UTC, renewed  held   certificateHold (suspended)  4141414141414141…\n\
             \n\
             as of 2026-11-26 05:00:00 UTC (5 s ago, good for 1 min), 9 entries in the log"
        );
        // It may have been revoked by something that the copy has not received.
        (page.items[0].state, page.items[0].revoked) = (CertificateState::Good, None);
        let row = |page: &CertificatePage| shown(page).lines().nth(1).unwrap_or_default().to_owned();
        let says = |page: &CertificatePage, word: &str| row(page).contains(word);
        assert!(says(&page, "good"), "{}", shown(&page));
        page.as_of.age_seconds = Some(61);
        assert!(says(&page, "UNKNOWN") && !says(&page, "good"), "{}", shown(&page));
        assert!(shown(&page).contains("too old: the bound is 1 min"), "{}", shown(&page));
        page.items[0].state = CertificateState::Ended;
        assert!(says(&page, "ended"), "{}", shown(&page));
    }
}
