//! `ics history`.

use clap::Args;
use console::style;
use ics_core::record::{Granted, Listed, Standing};
use ics_core::statement::StatementId;
use ics_core::vocabulary::{Act, Effect};

use crate::api::History as Answer;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::InDomain;
use crate::cli::words::{self, Freshness, clean, in_colour, when};
use crate::client::lookup::in_domain;
use crate::explain;

/// What `ics history` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics history serial:SN-0001
  $ ics history serial:SN-0001 --domain plant.integrator.example
  $ ics --json history sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
pub(crate) struct History {
    /// An id or a name, as `ics lookup` takes it.
    query: String,
    #[command(flatten)]
    domain: InDomain,
}

impl History {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let domain = self.domain.or_default(&config)?;
        let node = context.node(&config)?;
        let ask = async |query: &str| node.history(&domain, query).await;
        let history = context.wait(async { Ok(in_domain(&node, &self.query, ask).await?) })?;
        context.output.result(&history, || text(domain.as_str(), &history))?;
        Ok(Exit::Ok)
    }
}

fn text(domain: &str, history: &Answer) -> String {
    let title = format!("{} in {domain}", style(&history.id).bold());
    let last = history.items.last().map_or(0, |item| item.by.index);
    let width = last.to_string().len();
    let points: Vec<String> = history.items.iter().map(|item| point(item, width, &history.items)).collect();
    format!("{title}\n\n{}\n\n{} {}", points.join("\n"), style("as of").dim(), Freshness::from(&history.as_of).text())
}

/// Formats one statement on the timeline, its index to the left; below it who said it, whether it still has effect, and
/// the id that `ics withdraw` and `ics erase` take.
fn point(item: &Listed, width: usize, all: &[Listed]) -> String {
    let mark = if item.standing == Standing::Stands { style("●").green() } else { style("○").dim() };
    let index = style(format!("{:>width$}", item.by.index)).dim();
    let mut lines = vec![format!("  {index} {mark} {}  {}", when(item.admitted_at), what(item))];
    let id = style(item.by.statement.to_string()).dim().to_string();
    let by = words::signer_of(&item.by, explain::is_of_owners(item));
    let below = core::iter::once(format!("by {by}")).chain(became(item, all));
    let below = below.chain(remarks(item)).chain([id]);
    lines.extend(below.map(|text| format!("  {:width$} {} {text}", "", style("│").dim())));
    lines.join("\n")
}

/// The act and what it gives; statements that no longer stand are not coloured.
fn what(item: &Listed) -> String {
    let effect = item.effect.unwrap_or(Effect::None);
    let detail = match (item.act, &item.status, &item.label) {
        (Act::Status, Some(status), _) if item.standing == Standing::Stands => in_colour(status.as_str(), effect),
        (Act::Status, Some(status), _) => status.to_string(),
        (Act::Label, _, Some(label)) => clean(label),
        (Act::Grant, ..) => item.grant.as_ref().map(|it| format!("{} to {}", it.role, grantee(it))).unwrap_or_default(),
        _ => String::new(),
    };
    let group = match (item.by.group, item.erased) {
        (_, true) => ", erased",
        (Some(_), false) => ", of its group",
        (None, false) => "",
    };
    let space = if detail.is_empty() { "" } else { " " };
    format!("{}{space}{detail}{group}", item.act)
}

/// Whom a grant entitles.
fn grantee(grant: &Granted) -> String {
    grant.name.as_deref().map_or_else(|| grant.grantee.to_string(), clean)
}

/// Why it no longer has effect.
fn became(item: &Listed, all: &[Listed]) -> Option<String> {
    if item.standing == Standing::Stands {
        return item.erased.then(|| style(clean(&item.because)).yellow().to_string());
    }
    let cause = item.ended_by.map(|id| place(&id, all)).unwrap_or_default();
    Some(style(format!("without effect: {}{cause}", words::because(item))).yellow().to_string())
}

/// The place of the statement that ended another.
fn place(id: &StatementId, all: &[Listed]) -> String {
    let found = all.iter().find(|item| item.by.statement == *id);
    found.map_or_else(|| format!(", {}", words::short(&id.to_string())), |item| format!(", entry {}", item.by.index))
}

/// Further remarks on a statement.
fn remarks(item: &Listed) -> Vec<String> {
    let period = match (item.from, item.until) {
        (None, None) => None,
        (Some(from), None) => Some(format!("from {}", when(from))),
        (None, Some(until)) => Some(format!("until {}", when(until))),
        (Some(from), Some(until)) => Some(format!("from {} until {}", when(from), when(until))),
    };
    let reason = match item.reason.as_deref() {
        Some(reason) => Some(format!("“{}”", clean(reason))),
        None => explain::is_of_owners(item).then(|| explain::WORDS_ERASED.to_owned()),
    };
    let source = item.source.first().map(|it| format!("adopted from {} entry {}", it.domain, it.index));
    [period, reason, source].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The statements of pump 1 in the plant's domain of the shared vectors.
    fn statements() -> Value {
        let vectors: Value =
            serde_json::from_str(include_str!("../../../../schemas/vectors/records.json")).expect("vectors");
        let records = vectors["plant.example"]["records"].as_array().expect("records");
        let last = records.iter().rfind(|it| it["record"]["title"] == "Pump 1").expect("pump 1");
        last["record"]["statements"].clone()
    }

    #[test]
    fn a_time_line() {
        let history: Answer = serde_json::from_value(json!({
            "as_of": {"size": 20, "root": "", "time": "2026-01-02T00:00:00Z", "age_seconds": 5, "fresh_for_seconds": 60},
            "id": "ab12",
            "items": statements(),
        }))
        .expect("a history");
        let shown = console::strip_ansi_codes(&text("plant.example", &history)).into_owned();
        let ids = history.items.iter().map(|it| format!("     │ {}", it.by.statement));
        let (shown_ids, others): (Vec<&str>, Vec<&str>) =
            shown.lines().partition(|line| line.strip_prefix("     │ ").is_some_and(|it| it.len() == 64));
        assert_eq!(shown_ids, ids.collect::<Vec<_>>(), "each has its id below it");
        assert_eq!(
            others.join("\n"),
            "\
ab12 in plant.example

   5 ● 2026-01-01 05:00:00 UTC  identity
     │ by Acme Pumps as manufacturer
     │ adopted from devices.acme.example entry 2
   7 ● 2026-01-01 07:00:00 UTC  approval
     │ by Integrator as integrator
   9 ○ 2026-01-01 09:00:00 UTC  status in-use
     │ by Maintainer as maintainer
     │ without effect: its signer no longer has the role in which he spoke
  11 ● 2026-01-01 11:00:00 UTC  grant owner to Buyer Ltd
     │ by Acme Pumps as manufacturer
     │ adopted from devices.acme.example entry 4
  13 ○ 2026-01-01 13:00:00 UTC  status suspended
     │ by Monitor as security-controller
     │ without effect: a later statement replaces it, entry 14
  14 ● 2026-01-01 14:00:00 UTC  status in-use
     │ by Buyer Ltd as owner
  17 ○ 2026-01-01 17:00:00 UTC  installed
     │ by Maintainer as maintainer
     │ without effect: its signer no longer has the role in which he spoke
  18 ● 2026-01-01 18:00:00 UTC  status withdrawn, of its group
     │ by Acme Pumps as manufacturer
     │ “the seal leaks”
     │ adopted from devices.acme.example entry 6

as of 2026-01-02 00:00:00 UTC (5 s ago, good for 1 min), 20 entries in the log"
        );
    }

    #[test]
    fn an_erased_statement_is_shown_as_erased() {
        let mut items: Vec<Listed> = serde_json::from_value(statements()).expect("statements");
        let last = items.last_mut().expect("the block");
        (last.erased, last.reason) = (true, None);
        let width = last.by.index.to_string().len();
        let last = items.last().expect("the block");
        let shown = console::strip_ansi_codes(&point(last, width, &items)).into_owned();
        assert!(shown.contains("status withdrawn, erased\n     │ by Acme Pumps, an owner of the domain\n"), "{shown}");
        assert!(shown.contains("     │ its words are erased\n") && !shown.contains('“'), "{shown}");
    }
}
