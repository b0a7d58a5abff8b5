//! `ics mirror`.

mod add;
mod list;
mod remove;
mod status;

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::config::edit::EditError;
use crate::config::{Config, FILE_NAME};
use crate::keys::file;

/// Commands about copies of other domains.
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Mirror a domain from another node.
    ///
    /// Asks a peer for a domain, shows by what it is known, and writes it to ics.toml. From then on the node believes only
    /// the log with that entry 0. Whoever has the origin from the domain's owners gives it whole; with the name alone it is
    /// for you to compare.
    Add(add::Add),
    /// List the mirrors that are configured.
    List(list::List),
    /// Ask the node how its mirrors are doing.
    Status(status::Status),
    /// No longer mirror a domain.
    ///
    /// Takes a mirror out of ics.toml, and its peer where nothing else is pulled from there. What the node has copied stays
    /// on its disk, and nobody keeps it up to date.
    Remove(remove::Remove),
}

impl MirrorCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Add(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Remove(command) => command.run(context),
        }
    }
}

/// The configuration as text, to be edited.
struct ConfigFile {
    path: PathBuf,
    text: String,
    config: Config,
}

impl ConfigFile {
    fn read(context: &Context) -> Result<Self, Failure> {
        let config = Config::load(&context.home)?;
        if config.node.is_none() {
            return Err(Failure::new(Exit::Local, "this home directory is not that of a node")
                .hint("`ics init` makes one; it is the node that mirrors"));
        }
        let path = context.home.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|e| files::failed(&path, e))?;
        Ok(Self { path, text, config })
    }

    fn replace(&self, text: &str) -> Result<(), Failure> {
        file::replace_private(&self.path, text.as_bytes()).map_err(|e| files::failed(&self.path, e))
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Config(error) => error.into(),
            EditError::NoUrl(_) => Self::new(Exit::Usage, error).hint("give its address with --url URL"),
            EditError::OtherUrl { .. } => {
                Self::new(Exit::Usage, error).hint("leave out --url, or choose another name for the peer")
            }
            EditError::NotMirrored(_) => Self::new(Exit::NotFound, error).hint("`ics mirror list` shows what is"),
            EditError::Known(_) => Self::new(Exit::Usage, error).hint("`ics mirror list` shows the mirrors"),
            EditError::Form(_) => Self::new(Exit::Local, error),
        }
    }
}
