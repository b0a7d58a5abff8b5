//! `ics fsck`.

use clap::Args;
use console::style;
use serde_json::json;

use crate::app;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::progress;
use crate::config::Config;
use crate::store::Report;
use crate::words::path_text;

/// What `ics fsck` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics fsck
  $ ics --home /var/lib/ics --json fsck

  After stopping the node:
  $ ics fsck --repair")]
pub(crate) struct Fsck {
    /// Rebuild the index if it does not match the log; the node must not be running. The log itself cannot be rebuilt
    /// from what is here: `ics restore` gets it back from a copy and the mirrors.
    #[arg(long)]
    repair: bool,
}

impl Fsck {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.repair {
            context.refuse_foreign_home()?;
        }
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| {
            Failure::new(Exit::Local, "this home directory is not that of a node").hint("--home names another one")
        })?;
        let bar = progress::counter(context, "reading");
        let read = |bar: &indicatif::ProgressBar| {
            app::fsck(&node.data, |done, of| {
                bar.set_length(of);
                bar.set_position(done);
            })
        };
        let mut report = read(&bar).map_err(failed)?;
        let is_wanting = report.without_index || !report.index.is_empty();
        let repaired = self.repair && is_wanting && report.findings.is_empty();
        if repaired {
            context.output.note("building the index again …");
            app::rebuild_index(&node.data).map_err(failed)?;
            report = read(&bar).map_err(failed)?;
        }
        bar.finish_and_clear();
        let shown = json!({ "store": path_text(&node.data), "entries": report.entries,
            "without_content": report.without_content, "findings": report.findings, "index": report.index,
            "without_index": report.without_index, "repaired": repaired, "advice": advice(&report) });
        context.output.result(&shown, || text(&report, repaired))?;
        Ok(if report.findings.is_empty() && report.index.is_empty() { Exit::Ok } else { Exit::Local })
    }
}

fn failed(error: app::AppError) -> Failure {
    use crate::store::StoreError;
    let failure = Failure::new(Exit::Local, &error);
    match error {
        app::AppError::Store(StoreError::InUse { .. }) => {
            failure.hint("stop the node first; without --repair it may run")
        }
        app::AppError::Store(StoreError::Io { .. }) => failure.hint(
            "where the disk is mounted read-only and the node was not stopped in order: copy the data directory to another \
             disk, and name the copy in `[node] data`",
        ),
        app::AppError::Store(StoreError::NotFound { .. }) => failure.hint("the node has not been started yet"),
        app::AppError::Store(StoreError::Corrupt { .. }) => failure.hint(DAMAGED),
        _ => failure,
    }
}

/// What to do about damage that only others can mend.
const DAMAGED: &str = "stop the node and keep its data directory; `ics restore COPY` puts a copy back and gets what was \
                       signed since from the mirrors; a copy of another node's domain is made anew after `ics domain \
                       recopy`";

/// What to do about what was found.
fn advice(report: &Report) -> Option<&'static str> {
    match (report.findings.is_empty(), report.index.is_empty()) {
        (false, _) => Some(DAMAGED),
        (true, false) => Some("stop the node, and `ics fsck --repair` builds the index again; no entry is lost"),
        (true, true) => None,
    }
}

fn text(report: &Report, repaired: bool) -> String {
    let lines = |findings: &[String], well: &str| match findings {
        [] => format!("{} {well}", style("✓").green()),
        findings => style(findings.join("\n")).red().to_string(),
    };
    let index = match (repaired, report.without_index) {
        (true, _) => "built again, and fits",
        (false, true) => "none yet: the next start builds it",
        (false, false) => "fits its entries",
    };
    let entries = match report.without_content {
        0 => report.entries.to_string(),
        bare => format!("{}, of {bare} only the leaf is here", report.entries),
    };
    let mut rows = vec![
        ("entries", entries),
        ("log", lines(&report.findings, "leaves, tiles, roots and checkpoints fit, and so does what has effect")),
        ("index", lines(&report.index, index)),
    ];
    rows.extend(advice(report).map(|advice| ("what to do", advice.to_owned())));
    let is_well = report.findings.is_empty() && report.index.is_empty();
    let title = if is_well { style("✓ the store is sound").green() } else { style("✗ the store is damaged").red() };
    card(&title.to_string(), &rows)
}
