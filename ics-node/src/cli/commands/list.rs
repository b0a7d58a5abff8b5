//! `ics list`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use console::style;
use ics_core::identity::{Fingerprint, Kind};
use ics_core::limits;
use ics_core::record::{Digest, GivenLabel};
use ics_core::vocabulary::{DomainName, Effect, StatusName};

use super::page_limit;
use crate::api::{IdentityPage, IdentitySummary, ListQuery};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Whole, table};
use crate::cli::session::InDomain;
use crate::cli::words::{Freshness, MAY_MISS, clean, in_colour, short, when};
use crate::client::node::Node;

/// Columns for a text of unbounded length.
const TEXT_COLUMNS: usize = 48;

/// What `ics list` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics list
  $ ics list --kind device --lot 2026-07 --status in-use
  $ ics list --model P7 --limit 20 --after 1234
  $ ics list --runs deprecated
  $ ics list --kind software --title hello

  The register of a certification body: what it labels; and what has one label now, and until when:
  $ ics list --domain labels.cert.example --all
  $ ics list --domain labels.cert.example --label iec-62443-4-2 --all

  Ids for another command:
  $ ics --json list --status stolen --all | jq -r '.items[].id'")]
pub(crate) struct List {
    #[command(flatten)]
    domain: InDomain,
    /// Only identities of this kind.
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
    kind: Option<String>,
    /// Only identities of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only identities of this lot.
    #[arg(long)]
    lot: Option<String>,
    /// Only identities that have this status now.
    #[arg(long)]
    status: Option<StatusName>,
    /// Only identities that have this label now, with its end and its giver. A thing that is blocked keeps its labels.
    /// The status is what this domain says; what others say is told by `ics lookup`, and on the page /domain/DOMAIN.
    #[arg(long)]
    label: Option<String>,
    /// Only identities about which this signer has said something; with --label, those to which this signer gives it.
    #[arg(long, value_name = "FINGERPRINT")]
    signer: Option<Fingerprint>,
    /// Only devices on which this software (sha256:…) is installed, or any software with this status.
    #[arg(long, value_name = "SHA256|STATUS")]
    runs: Option<String>,
    /// Only members of this group (sha256:…).
    #[arg(long, value_name = "SHA256")]
    group: Option<Digest>,
    /// Only identities whose title contains this text, in upper or lower case; the title of software is its name and
    /// version.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How many items a page has, 500 at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = page_limit)]
    limit: usize,
    /// Continue after this place, which the previous page names.
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
    /// All pages, one after the other; with --json, as one value.
    #[arg(long)]
    all: bool,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let domain = self.domain.clone().or_default(&config)?;
        let node = context.node(&config)?;
        let all = self.all;
        context.wait(async { print_pages(context, &node, &domain, self.query(), all).await })
    }

    fn query(self) -> ListQuery {
        ListQuery {
            kind: self.kind,
            model: self.model,
            lot: self.lot,
            status: self.status.map(|status| status.to_string()),
            label: self.label,
            signer: self.signer.map(|signer| signer.to_string()),
            runs: self.runs,
            group: self.group.map(|group| group.to_string()),
            title: self.title,
            after: self.after,
            limit: Some(self.limit),
        }
    }
}

/// Prints each page as it comes: a domain may have more identities than fit into memory.
async fn print_pages(
    context: &Context,
    node: &Node,
    domain: &DomainName,
    mut query: ListQuery,
    all: bool,
) -> Result<Exit, Failure> {
    if all && context.output.json {
        return print_whole(node, domain, query).await;
    }
    let (mut found, mut misses) = (false, false);
    loop {
        let page = node.list(domain, &query).await?;
        if query.label.is_some() && !found && !page.items.is_empty() {
            context.output.note(&format!(
                "the status is what {domain} says: see also `ics lookup`, or /domain/{domain} of the node in a browser"
            ));
        }
        let freshness = Freshness::from(&page.as_of);
        if !found && !page.items.is_empty() && !freshness.is_fresh() {
            context.output.note(&format!("UNKNOWN: only what blocks is certain, as of {}", freshness.text()));
        }
        found |= !page.items.is_empty();
        if page.cut_short && !core::mem::replace(&mut misses, true) {
            context.output.note(MAY_MISS);
        }
        // A page may be empty without being the last.
        if !found && !misses && page.next.is_none() {
            context.output.note(&format!("nothing in {domain} fits, as of {}", freshness.text()));
        }
        let on = goes_on(&page, all);
        // Programs get the requested page even if it is empty, but no empty pages that are merely passed over.
        let is_shown = !page.items.is_empty() || (context.output.json && on.is_none());
        if is_shown && !context.output.page(&page, || text(&page, query.label.is_some()))? {
            return Ok(Exit::Ok);
        }
        match page.next {
            Some(_) if on.is_some() => query.after = on,
            Some(after) => {
                context.output.note(&style(format!("there may be more: --after {after}, or --all")).dim().to_string());
                return Ok(Exit::Ok);
            }
            None => return Ok(Exit::Ok),
        }
    }
}

/// Prints all pages as one JSON value.
async fn print_whole(node: &Node, domain: &DomainName, mut query: ListQuery) -> Result<Exit, Failure> {
    let mut whole = Whole::default();
    loop {
        let page = node.list(domain, &query).await?;
        if !whole.page(&page.as_of, &page.items, page.cut_short)? {
            return Ok(Exit::Ok);
        }
        match page.next {
            None => return whole.end().map(|()| Exit::Ok),
            after => query.after = after,
        }
    }
}

/// Returns where the listing continues automatically: through all pages, or to the first with an item. A node examines
/// a limited number of entries for a page, and in a large log none of them may match.
fn goes_on(page: &IdentityPage, all: bool) -> Option<u64> {
    page.next.filter(|_| all || page.items.is_empty())
}

/// A page as a table, with the labels if there are any; one of the things that have a certain label says instead who
/// gives it, and until when.
fn text(page: &IdentityPage, by_label: bool) -> String {
    let is_fresh = Freshness::from(&page.as_of).is_fresh();
    let has = |attribute: &&str| page.items.iter().any(|item| item.attributes.contains_key(*attribute));
    let attributes: Vec<&str> = ["model", "lot"].into_iter().filter(has).collect();
    let labels: &[&str] = match by_label {
        true => &["until", "by"],
        false if page.items.iter().any(|item| !item.labels.is_empty()) => &["labels"],
        false => &[],
    };
    let heads = [&["kind", "title", "status"], labels, attributes.as_slice(), &["id"]].concat();
    let rows: Vec<Vec<String>> = page.items.iter().map(|item| row(item, &attributes, labels, is_fresh)).collect();
    table(&heads, &rows)
}

fn row(item: &IdentitySummary, attributes: &[&str], labels: &[&str], is_fresh: bool) -> Vec<String> {
    let mut cells = vec![item.kind.to_string(), brief(&item.title), status(item, is_fresh)];
    let each = |say: fn(&GivenLabel) -> String| item.labels.iter().map(say).collect::<Vec<_>>().join("; ");
    cells.extend(labels.iter().map(|head| match *head {
        "until" => each(until),
        "by" => brief(&each(signer)),
        _ => brief(&named(&item.labels)),
    }));
    let given = |name: &&str| item.attributes.get(*name).map(|value| brief(value)).unwrap_or_default();
    cells.extend(attributes.iter().map(given));
    cells.push(style(&item.id).dim().to_string());
    cells
}

/// The names of labels, each once, however many signers give it. A summary has no more than so many, and does not say
/// whether there are.
fn named(labels: &[GivenLabel]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for label in labels {
        if !names.contains(&label.value.as_str()) {
            names.push(&label.value);
        }
    }
    if labels.len() >= limits::LABELS_LISTED {
        names.push("…");
    }
    names.join("; ")
}

fn until(label: &GivenLabel) -> String {
    label.until.map_or_else(|| "no end".to_owned(), when)
}

fn signer(label: &GivenLabel) -> String {
    label.by.name.clone().unwrap_or_else(|| short(&label.by.signer.to_string()))
}

/// Shortens a text to leave room for the other columns: one long title would widen every line.
fn brief(text: &str) -> String {
    console::truncate_str(&clean(text), TEXT_COLUMNS, "…").into_owned()
}

/// Past the freshness bound only a block is still certain, and so it is while not all is shown.
fn status(item: &IdentitySummary, is_fresh: bool) -> String {
    let effect: Effect = item.effect.parse().unwrap_or(Effect::None);
    match &item.status {
        _ if (!is_fresh || item.cut_short) && !effect.blocks() => style("UNKNOWN").yellow().to_string(),
        Some(status) => in_colour(status, effect),
        None => style("none").dim().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_single_page_that_is_asked_for_is_not_empty() {
        let page = |items: usize, next: Option<u64>| -> IdentityPage {
            let item = json!({"id": "ab12", "kind": "device", "title": "Pump", "status": null, "effect": "none",
                              "attributes": {}});
            let as_of = json!({"size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1,
                               "fresh_for_seconds": 60});
            serde_json::from_value(json!({"as_of": as_of, "items": vec![item; items], "next": next})).expect("a page")
        };
        for (items, next, all, expected) in [
            (0, Some(7), false, Some(7)),
            (1, Some(7), false, None),
            (0, None, false, None),
            (1, Some(7), true, Some(7)),
            (1, None, true, None),
        ] {
            assert_eq!(goes_on(&page(items, next), all), expected, "{items} {next:?} {all}");
        }
    }

    #[test]
    fn one_long_title_does_not_make_the_table_wide() {
        assert_eq!(brief("Pump 7"), "Pump 7");
        assert_eq!(brief(&"é".repeat(200)), "é".repeat(TEXT_COLUMNS - 1) + "…");
    }

    #[test]
    fn a_page_as_a_table() {
        let item = |kind: &str, title: &str, status: Option<&str>, effect: &str| {
            json!({"id": "ab12", "kind": kind, "title": title, "status": status, "effect": effect,
                   "attributes": {"model": "P7"}})
        };
        let mut page: IdentityPage = serde_json::from_value(json!({
            "as_of": {"size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1, "fresh_for_seconds": 60},
            "items": [item("device", "Pump 7", Some("in-use"), "permits"), item("gateway", "GW\u{1b}", None, "none"),
                      item("device", "Pump 8", Some("stolen"), "blocks")],
        }))
        .expect("a page");
        let shown = |page: &IdentityPage| console::strip_ansi_codes(&text(page, false)).into_owned();
        assert_eq!(
            shown(&page),
            "kind     title   status  model  id\n\
             device   Pump 7  in-use  P7     ab12\n\
             gateway  GW\u{fffd}     none    P7     ab12\n\
             device   Pump 8  stolen  P7     ab12"
        );
        page.as_of.age_seconds = Some(61);
        assert_eq!(
            shown(&page)
                .lines()
                .map(|line| line.split_whitespace().nth(if line.contains("GW") { 2 } else { 3 }))
                .collect::<Vec<_>>(),
            [Some("model"), Some("UNKNOWN"), Some("UNKNOWN"), Some("stolen")]
        );
    }

    #[test]
    fn a_page_names_the_labels_or_says_who_gives_the_one_that_was_asked_for_and_until_when() {
        let by = |name: Option<&str>| {
            json!({"signer": "ab".repeat(20), "name": name, "role": "certification-body", "statement": "07".repeat(32),
                   "index": 3})
        };
        let item = |labels: &serde_json::Value| json!({"id": "ab12", "kind": "device", "title": "Pump", "effect": "none", "labels": labels});
        let (one, two) = (
            json!([{"value": "ce", "until": "2030-01-01T00:00:00Z", "by": by(Some("Certifix"))}]),
            json!([{"value": "ce", "by": by(None)}, {"value": "ce", "by": by(Some("Other\u{1b}"))}]),
        );
        let page: IdentityPage = serde_json::from_value(json!({
            "as_of": {"size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1, "fresh_for_seconds": 60},
            "items": [item(&one), item(&two)],
        }))
        .expect("a page");
        assert_eq!(
            console::strip_ansi_codes(&text(&page, false)),
            "kind    title  status  labels  id\n\
             device  Pump   none    ce      ab12\n\
             device  Pump   none    ce      ab12"
        );
        let given = |number: usize| {
            let label = json!({"value": number.to_string(), "by": by(None)});
            serde_json::from_value::<GivenLabel>(label).expect("a label")
        };
        let given: Vec<GivenLabel> = (0..limits::LABELS_LISTED).map(given).collect();
        assert!(named(&given).starts_with("0; 1; ") && named(&given).ends_with("; …"), "there may be more");
        assert!(!named(&given[1..]).contains('…'), "these are all");
        assert_eq!(
            console::strip_ansi_codes(&text(&page, true)),
            "kind    title  status  until                    by                         id\n\
             device  Pump   none    2030-01-01 00:00:00 UTC  Certifix                   ab12\n\
             device  Pump   none    no end; no end           abababababababab…; Other\u{fffd}  ab12"
        );
    }
}
