//! `ics completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::definition;
use crate::cli::exit::{Exit, Failure};

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
        clap_complete::generate(self.shell, &mut definition(), "ics", &mut std::io::stdout());
        Ok(Exit::Ok)
    }
}
