//! `ics peer`.

mod add;
mod list;
mod remove;
mod status;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::node::{Node, NodeError};
use crate::config::edit::EditError;
use crate::config::{Config, FILE_NAME, PeerConfig};
use crate::keys::file;

/// Commands about other nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// Add or change a peer: what is copied from it, and who it is when it reads here.
    ///
    /// Writes a peer to ics.toml and tells the node, which acts on it at once; a node that is not running does so when
    /// it is started. Options that are not given stay as they are.
    ///
    /// Name a domain that is to be copied by its origin, as its owners give it: the node believes only the log with
    /// that entry 0. If you give the name alone, the peer is asked for the origin, and you must compare it with what
    /// the owners say.
    Add(Box<add::Add>),
    /// List the peers that are configured.
    List(list::List),
    /// Ask the node how its peers are doing.
    Status(status::Status),
    /// Remove a peer, or some of the domains that are copied from it.
    ///
    /// What the node has copied stays on its disk, but is no longer kept up to date; once the node is stopped, `ics
    /// domain recopy DOMAIN` deletes it. The node treats the removed peer's key as a stranger's at once.
    Remove(remove::Remove),
}

impl PeerCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Add(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Remove(command) => command.run(context),
        }
    }
}

/// What to do about a peer whose certificate is not trusted.
fn untrusted(peer: &PeerConfig) -> String {
    let authority = "by an authority in the system's store, or in the file that the variable SSL_CERT_FILE names";
    let name = &peer.name;
    if peer.key.is_some() {
        return format!(
            "its certificate has another key than the one that is configured: ask its operator which is right, and \
             give that one with `ics peer add {name} --key KEY`; where a web server with a key of its own stands in \
             front of the node, it is authenticated {authority}"
        );
    }
    format!("it is believed by the key of its certificate: `ics peer add {name} --key KEY`; or {authority}")
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// The node runs and has applied it.
    Now,
    /// The node does not run and will apply it at its next start.
    NextStart,
}

/// Has the node make a change, or makes it in ics.toml if the node of this home directory does not run.
fn change<T>(
    context: &Context,
    config: &Config,
    ask: impl AsyncFnOnce(&Node) -> Result<T, NodeError>,
    edit: impl FnOnce(&str, &std::path::Path) -> Result<String, Failure>,
) -> Result<Since, Failure> {
    let node = context.node(config)?;
    match context.wait(async { Ok(ask(&node).await) })? {
        Ok(_) => Ok(Since::Now),
        // A node whose certificate is not trusted here does run, and would not read the file before its next start.
        Err(error @ NodeError::Unreachable { .. })
            if !error.is_untrusted() && context.node.is_none() && config.node.is_some() =>
        {
            let path = context.home.join(FILE_NAME);
            let text = std::fs::read_to_string(&path).map_err(|e| files::failed(&path, e))?;
            let text = edit(&text, &path)?;
            file::replace_alike(&path, text.as_bytes()).map_err(|e| files::failed(&path, e))?;
            Ok(Since::NextStart)
        }
        Err(error) => Err(error.into()),
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Unknown(_) => {
                Self::new(Exit::NotFound, error).hint("`ics peer list` shows the configured peers")
            }
            // The file was read before: what is refused is what it would become.
            EditError::Config(_) | EditError::Form(_) => Self::new(Exit::Local, error),
        }
    }
}
