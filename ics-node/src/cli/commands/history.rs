//! `ics history`.

use clap::Args;
use console::style;
use ics_core::record::{Listed, Standing};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table;
use crate::cli::session::InDomain;

/// Shows everything that a domain ever heard of a thing, in the order of its log, and what became of it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics history serial:SN-0001
  $ ics --json history serial:SN-0001 --domain devices.acme.example")]
pub(crate) struct HistoryOf {
    /// An id or a name.
    #[arg(value_name = "ID|NAME")]
    thing: String,
    #[command(flatten)]
    domain: InDomain,
}

impl HistoryOf {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let node = context.node(&config)?;
        let domain = self.domain.or_default(&config)?;
        let history = context.wait(async { Ok(node.history(&domain, &self.thing).await?) })?;
        context.output.result(&history, || {
            let rows: Vec<Vec<String>> = history.items.iter().map(row).collect();
            table(&["entry", "admitted", "act", "by", "standing", "statement"], &rows)
        })?;
        Ok(Exit::Ok)
    }
}

fn row(listed: &Listed) -> Vec<String> {
    let what = [listed.status.as_ref().map(ToString::to_string), listed.label.clone()].into_iter().flatten().next();
    let act = what.map_or_else(|| listed.act.to_string(), |what| format!("{} {what}", listed.act));
    let standing = match listed.standing {
        Standing::Stands => style("stands".to_owned()).green().to_string(),
        _ => style(listed.because.clone()).dim().to_string(),
    };
    let who = listed.by.name.clone().unwrap_or_else(|| listed.by.signer.to_string());
    let by = format!("{who} as {}", listed.by.role);
    let statement = listed.by.statement.to_string();
    vec![listed.by.index.to_string(), listed.admitted_at.to_string(), act, by, standing, statement]
}
