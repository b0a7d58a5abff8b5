//! `ics demo`.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::demo::{self, DemoError, Options};
use crate::http::stop_signal;

/// Play a story with five nodes on this machine: pumps are made, approved, used, stolen and recalled.
///
/// A manufacturer, a developer, a certification body, an integrator and a gateway get a home directory and a node each,
/// on free ports of loopback. Everything in the story is real, and each step is checked. Afterwards the nodes keep
/// running until Ctrl-C. The exit code is 0 if the story went as told.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The story; then the nodes stay up for you to try:
  $ ics demo

  For scripts, one JSON object for each step:
  $ ics demo --exit --json

  Keep the five home directories, to run the nodes with `ics serve` later:
  $ ics demo --dir my-federation")]
pub(crate) struct Demo {
    /// Where the home directories go, and are kept [default: a temporary directory].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Keep the temporary directory.
    #[arg(long)]
    keep: bool,
    /// Exit after the story, instead of leaving the nodes running.
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let options = Options { directory: self.dir, keep: self.keep, exit: self.exit, json: context.output.json };
        let internal = |error: std::io::Error| Failure::new(Exit::Internal, error);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(internal)?;
        runtime.block_on(async {
            let told = stop_signal().map_err(internal)?;
            let mut hangup = signal(SignalKind::hangup()).map_err(internal)?;
            let stop = async {
                tokio::select! {
                    () = told => {}
                    _ = hangup.recv() => {}
                }
            };
            demo::run(&options, stop).await.map_err(|error| failed(&error))
        })?;
        Ok(Exit::Ok)
    }
}

fn failed(error: &DemoError) -> Failure {
    let exit = match error {
        DemoError::Home(_) | DemoError::Key(_) | DemoError::File { .. } | DemoError::System(_) => Exit::Local,
        DemoError::Node(_) | DemoError::Process { .. } => Exit::Network,
        _ => Exit::Refused,
    };
    let failure = Failure::new(exit, error);
    match error {
        DemoError::Home(_) => failure.hint("choose another directory with --dir"),
        DemoError::Process { .. } => failure.hint("`--keep` keeps the nodes' home directories and logs"),
        _ => failure,
    }
}
