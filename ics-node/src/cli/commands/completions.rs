//! `ics completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::definition;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;

/// What `ics completions` takes.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics completions bash > /etc/bash_completion.d/ics
  $ ics completions fish > ~/.config/fish/completions/ics.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        // Written to memory first, since clap_complete panics if the reader stops early.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "ics", &mut script);
        output::print(&script)?;
        Ok(Exit::Ok)
    }
}
