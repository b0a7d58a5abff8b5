//! The commands, one file each.

mod adopt;
mod approve;
mod check;
mod completions;
mod domain;
mod grant;
mod history;
mod init;
mod installed;
mod key;
mod label;
mod lookup;
mod man;
mod publish;
mod serve;
mod status;
mod withdraw;

use clap::Subcommand;
use ics_core::statement::Claims;
use ics_core::time::{TimeError, Timestamp};
use ics_core::vocabulary::Attribute;

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
    /// Introduce identities: a device, a million of them, a group, a piece of software.
    Publish(Box<publish::Publish>),
    /// Approve things for use.
    Approve(approve::Approve),
    /// Give things a status: in use, stolen, destroyed.
    Status(status::Status),
    /// Add a trust label.
    Label(label::Label),
    /// Entitle a signer to a role over things.
    Grant(grant::Grant),
    /// Say which software is installed on devices.
    Installed(installed::Installed),
    /// Take back what one has said.
    Withdraw(withdraw::Withdraw),
    /// Take things of another domain into one's own.
    Adopt(adopt::Adopt),
    /// Ask what a thing is, who vouches for it, and what its status is.
    Lookup(lookup::Lookup),
    /// Show all that was ever said of a thing.
    History(history::HistoryOf),
    /// Ask whether a thing may be used.
    Check(check::Check),
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
            Self::Publish(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Label(command) => command.run(context),
            Self::Grant(command) => command.run(context),
            Self::Installed(command) => command.run(context),
            Self::Withdraw(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Lookup(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(context),
        }
    }
}

/// A point in time, as clap reads it.
fn until(text: &str) -> Result<Timestamp, TimeError> {
    Timestamp::parse(text)
}

/// `ATTRIBUTE=VALUE`.
fn key_value(text: &str) -> Result<(Attribute, String), String> {
    let (attribute, value) = text.split_once('=').ok_or_else(|| format!("`{text}` lacks its `=`"))?;
    Ok((attribute.parse().map_err(|e: ics_core::vocabulary::WordError| e.to_string())?, value.to_owned()))
}

fn with_period(claims: Claims, from: Option<Timestamp>, until: Option<Timestamp>) -> Claims {
    Claims { from, until, ..claims }
}
