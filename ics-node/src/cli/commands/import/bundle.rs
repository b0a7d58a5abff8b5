//! `ics import --bundle`.

use std::path::Path;

use console::style;
use ics_sync::bundle::Head;
use serde_json::json;

use super::advance;
use crate::cli::commands::export::open;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::progress;
use crate::cli::words::{clean, counted, when};
use crate::client::bundle::{Brought, State, bring};

pub(super) fn run(context: &Context, path: &Path) -> Result<Exit, Failure> {
    let config = context.config()?;
    let node = context.node(&config)?;
    let mut bundle = open(path)?;
    let own = context.wait(async { Ok(node.info().await?) })?;
    let head = bundle.head().clone();
    if head.to.key != own.key {
        let message = match clean(&head.to.name) {
            name if name == own.name => format!("the bundle was made for another key of `{name}` than it has now"),
            name => format!("the bundle was made for `{name}`, another node than `{}`", own.name),
        };
        return Err(Failure::new(Exit::Refused, message)
            .hint("a bundle holds what its reader may read: ask for one that is made for this node and its key"));
    }
    let bar = progress::counter(context, "taking");
    let brought = context.wait(async { Ok(bring(&node, &mut bundle, |done| advance(&bar, None, done)).await?) });
    bar.finish_and_clear();
    let brought = brought?;
    let shown = json!({ "from": head.from.name, "made_at": head.made_at, "domains": brought });
    context.output.result(&shown, || text(&head, &brought))?;
    let is_refused = |one: &Brought| one.state == State::Refused || !one.refused.is_empty();
    Ok(if brought.iter().any(is_refused) { Exit::Refused } else { Exit::Ok })
}

fn text(head: &Head, brought: &[Brought]) -> String {
    let title = format!("from {}, made {}", clean(&head.from.name), when(head.made_at));
    let cards: Vec<String> = brought.iter().map(one).collect();
    format!("{title}\n{}", cards.join("\n"))
}

fn one(brought: &Brought) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let size = brought.size.unwrap_or_default();
    let mut mark = style("✓").green();
    match brought.state {
        State::Current | State::Unconfirmed => {
            rows.push(("entries", format!("{size}, {} new", brought.new)));
            let as_of = brought.as_of.map_or_else(|| "the bundle proves no time".to_owned(), when);
            rows.push(("as of", as_of));
            if brought.state == State::Unconfirmed {
                mark = style("!").yellow();
                let why = "a part of the log, and nobody has signed that nothing was left out of it: the one who made \
                           the bundle, or carried it, could have kept a block back";
                rows.push(("unconfirmed", why.to_owned()));
            }
        }
        State::Nothing => {}
        State::Home => rows.push(("copy", "this node is its home".to_owned())),
        State::NotCopied => {
            mark = style("·").dim();
            rows.push(("copy", "not copied here: begin with `ics peer add` and its whole origin".to_owned()));
        }
        State::Refused => {
            mark = style("✗").red();
            rows.push(("refused", clean(brought.why.as_deref().unwrap_or_default())));
            rows.push(("entries", format!("{size}, as before and verified, {} new", brought.new)));
        }
    }
    if brought.settled > 0 {
        rows.push(("outbox", format!("{} in the log by now", counted(brought.settled, "own statement"))));
    }
    if brought.ended > 0 {
        let why = "`ics outbox` shows why";
        rows.push((
            "outbox",
            format!("{} refused, as the bundle says: {why}", counted(brought.ended, "own statement")),
        ));
    }
    if brought.accepted > 0 {
        rows.push(("submitted", format!("{}, in the log", counted(brought.accepted, "statement"))));
    }
    if brought.waiting > 0 {
        rows.push(("waiting", format!("{} for the home of the domain", counted(brought.waiting, "statement"))));
    }
    for problem in &brought.refused {
        mark = style("!").yellow();
        rows.push(("refused", clean(&problem.detail)));
    }
    card(&format!("{mark} {}", brought.domain), &rows)
}
