//! `ics mirror list`.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table;
use crate::cli::words::{short, span};
use crate::config::{Config, MirrorConfig};

/// Lists the mirrors in ics.toml; `ics mirror status` asks the node how they are doing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics mirror list
  $ ics --json mirror list")]
pub(crate) struct List {}

/// A mirror, as JSON.
#[derive(Serialize)]
struct Line {
    origin: String,
    peer: String,
    url: String,
    interval_ms: u64,
}

impl List {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.config()?;
        let lines: Vec<Line> = config.mirrors.iter().map(|mirror| line(&config, mirror)).collect();
        context.output.result(&lines, || text(&lines))?;
        Ok(Exit::Ok)
    }
}

fn line(config: &Config, mirror: &MirrorConfig) -> Line {
    let peer = mirror.peer.get_ref();
    Line {
        origin: mirror.origin.get_ref().to_string(),
        peer: peer.clone(),
        url: config.peer(peer).map(|peer| peer.url.to_string()).unwrap_or_default(),
        interval_ms: mirror.interval_ms,
    }
}

fn text(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no domain is mirrored: `ics mirror add` adds one".to_owned();
    }
    let row = |line: &Line| {
        let (domain, entry0) = line.origin.split_once('/').unwrap_or((&line.origin, ""));
        vec![domain.to_owned(), short(entry0), line.peer.clone(), line.url.clone(), every(line.interval_ms)]
    };
    table(&["domain", "entry 0", "peer", "at", "every"], &lines.iter().map(row).collect::<Vec<_>>())
}

fn every(millis: u64) -> String {
    if millis.is_multiple_of(1000) { span(millis / 1000) } else { format!("{millis} ms") }
}
