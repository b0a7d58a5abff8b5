//! The commands, one file each.

mod completions;
mod domain;
mod init;
mod key;
mod man;
mod serve;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a home directory: keys, the first descriptor of a domain, and a configuration.
    Init(init::Init),
    /// Run the node of this home directory.
    Serve(serve::Serve),
    /// Make, import and show secret keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make, change, sign and show descriptors: the rules of a domain.
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// Print the completion script of a shell.
    Completions(completions::Completions),
    /// Write the manual pages.
    Man(man::Man),
}

impl Command {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Serve(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Domain(command) => command.run(context),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(context),
        }
    }
}
