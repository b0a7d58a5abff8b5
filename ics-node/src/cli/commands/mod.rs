//! The commands, one file each.

mod adopt;
mod approve;
mod backup;
mod check;
mod completions;
mod demo;
mod domain;
mod enroll;
mod export;
mod grant;
mod history;
mod import;
mod init;
mod installed;
mod key;
mod label;
mod list;
mod lookup;
mod man;
mod mirror;
mod publish;
mod serve;
mod status;
mod verify;
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
    /// Play a story with five nodes on this machine.
    Demo(demo::Demo),
    /// Make, import and show secret keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make, change, sign and show descriptors: the rules of a domain.
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// Introduce identities: a device, a million of them, a group, a piece of software.
    Publish(Box<publish::Publish>),
    /// Introduce devices that make their key at set-up time.
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
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
    /// Show what a thing is, who vouches for it, and what its status is now.
    Lookup(lookup::Lookup),
    /// Ask whether a thing may be used.
    Check(check::Check),
    /// List a domain's identities, by kind, model, lot, status or signer.
    #[command(visible_alias = "search")]
    List(list::List),
    /// Show all that was ever said of a thing, and what became of it.
    History(history::History),
    /// Write evidence or OpenPGP of a thing to a file.
    Export(export::Export),
    /// Check evidence without a network, or whether a file may be used.
    Verify(verify::Verify),
    /// Take what another domain says of things into one's own.
    Adopt(adopt::Adopt),
    /// Mirror domains of other nodes.
    #[command(subcommand)]
    Mirror(mirror::MirrorCommand),
    /// Submit the statements and certificates of an OpenPGP keyring.
    Import(import::Import),
    /// Copy a node while it runs.
    Backup(backup::Backup),
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
            Self::Demo(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Domain(command) => command.run(context),
            Self::Publish(command) => command.run(context),
            Self::Enroll(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Label(command) => command.run(context),
            Self::Grant(command) => command.run(context),
            Self::Installed(command) => command.run(context),
            Self::Withdraw(command) => command.run(context),
            Self::Lookup(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Mirror(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::Backup(command) => command.run(context),
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
