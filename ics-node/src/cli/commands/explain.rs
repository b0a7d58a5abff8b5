//! `ics explain`.

use std::path::{Path, PathBuf};

use clap::Args;
use console::style;
use ics_core::checker::Case;

use super::lookup::known;
use crate::api::{Explanation, Point, Section};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::cli::output::wrapped_lines;
use crate::cli::words::clean;
use crate::explain;
use crate::words::path_text;

/// What `ics explain` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics explain serial:SN-0001

  Why may this device talk to that gateway, or why not?
  $ ics explain serial:SN-0001 --use connect --peer host:gw4.site.example

  Keep the answer with everything that proves it, for `ics verify --document`:
  $ ics explain serial:SN-0001 --use operate --save pump.case.json")]
pub(crate) struct Explain {
    /// An id or a name, as `ics lookup` takes it.
    query: String,
    /// Explain the node's verdict on this use: connect, install, operate, or another use that its trust policy names.
    /// Only with this option are other nodes asked about a thing of a domain of which no copy is here (`ics peer add
    /// --roam`).
    #[arg(long = "use", value_name = "USE")]
    usage: Option<String>,
    /// The other thing that it is to deal with, by id or name.
    #[arg(long, value_name = "QUERY", requires = "usage")]
    peer: Option<String>,
    /// Write the verdict with its evidence to this file; `ics verify --document` checks it without a network.
    #[arg(long, value_name = "FILE", requires = "usage")]
    save: Option<PathBuf>,
}

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        if let (Some(path), Some(usage)) = (&self.save, &self.usage) {
            let case = context.wait(async { Ok(node.case(&self.query, usage, self.peer.as_deref()).await?) })?;
            return save(context, path, &case);
        }
        let asked = node.explain(&self.query, self.usage.as_deref(), self.peer.as_deref());
        let explanation = context.wait(async { known(&node, asked.await, true).await })?;
        context.output.result(&explanation, || text(&explanation))?;
        Ok(Exit::Ok)
    }
}

fn save(context: &Context, path: &Path, case: &Case) -> Result<Exit, Failure> {
    case.check()
        .map_err(|rejection| Failure::new(Exit::Refused, format!("the node's verdict is rejected: {rejection}")))?;
    let json = serde_json::to_vec(case).map_err(|error| files::failed(path, error))?;
    files::write(path, &json)?;
    let (file, verdict) = (path_text(path), &case.verdict);
    let saved = serde_json::json!({ "file": file, "outcome": verdict.outcome, "reason": verdict.reason });
    context.output.written(path, &saved, || {
        let outcome = explain::outcome(case.verdict.outcome);
        format!("✓ {outcome} ({}), checked and written to {}", case.verdict.reason.as_str(), path.display())
    })?;
    Ok(Exit::Ok)
}

fn text(explanation: &Explanation) -> String {
    let answer = style(clean(&explanation.answer)).bold().to_string();
    core::iter::once(answer).chain(explanation.sections.iter().map(section)).collect::<Vec<_>>().join("\n\n")
}

fn section(section: &Section) -> String {
    let points = section.points.iter().map(point);
    core::iter::once(style(clean(&section.title)).dim().to_string()).chain(points).collect::<Vec<_>>().join("\n")
}

/// Formats a sentence, with its place in the log dimmed.
fn point(point: &Point) -> String {
    let place = point.domain.as_ref().zip(point.index).map(|(domain, index)| format!("{domain} entry {index}"));
    let place = place.map(|place| format!("\n    {}", style(place).dim())).unwrap_or_default();
    format!("{}{place}", wrapped_lines(&format!("  {}", clean(&point.text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_under_their_headings() {
        let explanation: Explanation = serde_json::from_value(serde_json::json!({
            "answer": "Pump 7 is genuine and in-use",
            "sections": [{"title": "Who says so", "points": [
                {"text": "Acme\u{1b} vouches for its identity", "domain": "a.example", "index": 5},
                {"text": "nobody else"},
            ]}],
        }))
        .expect("an explanation");
        assert_eq!(
            console::strip_ansi_codes(&text(&explanation)),
            "Pump 7 is genuine and in-use\n\nWho says so\n  Acme\u{fffd} vouches for its identity\n    a.example entry 5\n  \
             nobody else"
        );
    }
}
