//! `ics outbox`.

use std::collections::BTreeMap;

use clap::Args;
use console::style;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::api::{OUTBOX_SHOWN, OutboxItem, SubmissionResult};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted, span, when};

/// How many completed statements are shown to people; `--json` has more.
const DONE_SHOWN: usize = 20;

/// Shows what was submitted to this node for domains whose home is another node: what is waiting, in the order in which
/// it is sent, and what became of the rest. The node keeps trying to send what is waiting, even after a restart.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics outbox
  $ ics --json outbox | jq '.[] | select(.pending)'
  $ ics --json outbox | jq '.[] | select(.receipt) | .receipt.index'")]
pub(crate) struct Outbox {}

impl Outbox {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        let items = context.wait(async { Ok(node.outbox().await?) })?;
        context.output.result(&items, || text(&items, context.now()))?;
        Ok(Exit::Ok)
    }
}

fn text(items: &[OutboxItem], now: Timestamp) -> String {
    let (done, waiting): (Vec<&OutboxItem>, Vec<&OutboxItem>) = items.iter().partition(|item| item.done_at.is_some());
    let mut of_domain = BTreeMap::<&DomainName, usize>::new();
    waiting.iter().for_each(|item| *of_domain.entry(&item.domain).or_default() += 1);
    let least = if of_domain.values().any(|count| *count >= OUTBOX_SHOWN) { "at least " } else { "" };
    let mut lines = match waiting.len() {
        0 => vec!["nothing waits to be sent".to_owned()],
        count => vec![format!("{least}{} to be sent", counted(count, "statement"))],
    };
    lines.extend(waiting.iter().map(|item| line(item, now)));
    lines.extend(done.iter().take(DONE_SHOWN).map(|item| line(item, now)));
    lines.join("\n")
}

fn line(item: &OutboxItem, now: Timestamp) -> String {
    let OutboxItem { id, domain, at, attempts, .. } = item;
    let ago = span(now.millis_since(*at) / 1000);
    match &item.result {
        SubmissionResult::Pending(pending) => {
            let why = pending.why.as_ref().map(|why| format!("\n    {}", style(clean(why)).yellow()));
            let tried =
                if *attempts > 0 { format!(", sent {} in vain", counted(*attempts, "time")) } else { String::new() };
            format!("{} {id}  {domain}, for {ago}{tried}{}", style("…").yellow(), why.unwrap_or_default())
        }
        SubmissionResult::Receipt(receipt) => {
            let at = item.done_at.map(when).unwrap_or_default();
            format!("{} {id}  {domain}, entry {}, {at}", style("✓").green(), receipt.index)
        }
        SubmissionResult::Problem(problem) => {
            format!("{} {id}  {domain}: {}", style("✗").red(), clean(&problem.detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_comes_first() {
        let now = Timestamp::parse("2026-11-20T08:10:30Z").expect("a time");
        assert_eq!(text(&[], now), "nothing waits to be sent");
        let pending = json!({"id": 7, "since": "2026-11-20T08:10:00Z", "attempts": 2, "why": "no\rway"});
        let waits = json!({
            "id": 7, "domain": "a.example", "at": "2026-11-20T08:10:00Z", "attempts": 2, "pending": pending,
        });
        let problem = json!({"type": "urn:ics:problem:refused", "title": "x", "status": 403, "detail": "no role"});
        let refused = json!({
            "id": 3, "domain": "a.example", "at": "2026-11-20T08:00:00Z", "attempts": 0,
            "done_at": "2026-11-20T08:00:01Z", "problem": problem,
        });
        let mut items: Vec<OutboxItem> = serde_json::from_value(json!([waits, refused])).expect("items");
        assert_eq!(
            console::strip_ansi_codes(&text(&items, now)),
            "1 statement to be sent\n… 7  a.example, for 30 s, sent 2 times in vain\n    no\u{fffd}way\n✗ 3  a.example: no role"
        );
        items[0].attempts = 1;
        assert!(text(&items, now).contains(", sent 1 time in vain\n"), "{}", text(&items, now));
        // The node shows no more of a domain, and so does not say how many there are.
        let many = vec![items[0].clone(); OUTBOX_SHOWN];
        assert!(text(&many, now).starts_with("at least 500 statements to be sent\n"));
    }
}
