//! The commands, one file each.

mod acme;
mod adopt;
mod agent;
mod approve;
mod backup;
mod ca;
mod certs;
mod completions;
mod demo;
pub(super) mod domain;
mod enroll;
mod erase;
mod explain;
mod export;
mod fsck;
mod gate;
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
mod outbox;
mod peer;
mod publish;
mod qr;
mod replace;
mod restore;
mod serve;
mod sign;
mod status;
mod submit;
mod trust;
mod verify;
mod withdraw;

use clap::Subcommand;
use ics_core::limits;
use ics_core::statement::Claims;
use ics_core::time::{TimeError, Timestamp};
use ics_core::vocabulary::Attribute;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::memory;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a home directory: keys, the first descriptor of a domain, and a configuration.
    ///
    /// Makes a home directory with three keys (owner, signer, node), version 1 of the descriptor of a domain, signed by the
    /// owner, and a configuration with which `ics serve` starts.
    Init(init::Init),
    /// Run the node of this home directory.
    ///
    /// Runs the node of this home directory until it is told to stop (SIGTERM or Ctrl-C).
    ///
    /// It founds the domains that `ics.toml` makes it the home of, keeps its mirrors up to date, and answers over HTTP.
    /// Once it answers, it prints its addresses, one on a line.
    Serve(serve::Serve),
    /// Play a story with five nodes on this machine.
    Demo(demo::Demo),
    /// Make, import and show secret keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make, change, sign and show descriptors: the rules of a domain.
    ///
    /// These commands take the domain itself as their argument, since it is what they act on. With `--domain`, other
    /// commands are told in which domain to speak or to look.
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// Make and sign what issues X.509 certificates: a root, issuing authorities, their lists.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// List the X.509 certificates that a domain has issued: who holds them, when they end, why they are revoked.
    ///
    /// Lists them in the order in which they were issued, or with `--ends-within` by the hour in which they end, a page
    /// at a time. A certificate is listed if it fits all the filters that are given.
    Certs(certs::Certs),
    /// Write a report of a domain's certificates: for print, for a spreadsheet, as JSON.
    ///
    /// Writes who holds what, signed by whom, ending when, revoked since when, why and by whom. With a million certificates
    /// it takes as much memory as with one.
    Report(certs::Report),
    /// Introduce identities: a device, a million of them, a group, a piece of software.
    Publish(Box<publish::Publish>),
    /// Introduce devices that make their key at set-up time.
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// X.509 certificates over ACME: credentials for the clients' accounts.
    #[command(subcommand)]
    Acme(acme::AcmeCommand),
    /// Approve things for use.
    ///
    /// Signs an approval of each of the things, after a look at what is being signed.
    Approve(approve::Approve),
    /// Give things a status: in use, stolen, destroyed.
    ///
    /// The new status replaces the one that the same signer gave before. If several signers have given a thing
    /// different statuses, the most restrictive one counts.
    Status(status::Status),
    /// Add a trust label.
    ///
    /// Adds a trust label to things, such as the mark of a certification.
    Label(label::Label),
    /// Entitle a signer to a role over things.
    ///
    /// Entitles a signer to a role over things, or over all members of a group. A transfer of ownership (`--transfer`)
    /// is a grant of the owner role that ends the former owner's grant, and what the former owner gave in that role.
    Grant(grant::Grant),
    /// Say which software is installed on devices.
    Installed(installed::Installed),
    /// Let another key take the place of one that is lost.
    ///
    /// Introduces the successor of a thing whose key is lost, with all that the signer has said of the old one: names,
    /// attributes, groups, grants. The old one gets the status `destroyed`, which revokes its certificates, and its
    /// introduction is taken back, so that its names lead to the successor. The successor gets certificates once its
    /// owner says that it is in use.
    Replace(replace::Replace),
    /// Take back statements that the signer has made.
    ///
    /// Takes back statements that the signer has made. What others have said stands, and a status that blocks for ever
    /// cannot be taken back.
    Withdraw(withdraw::Withdraw),
    /// Erase what a statement says, as the owners of its domain; what it blocks stays blocked.
    ///
    /// Has the home and the mirrors of a domain delete the body of a statement, with the names, reasons and whatever
    /// else it holds. Its leaf stays in the log, so that everything else is still proven; what it blocks stays blocked,
    /// and it is never admitted again. As many owners must sign as for a new version of the descriptor. Backups and
    /// exports are not reached, nor is what other domains have adopted: their owners must erase it there.
    Erase(erase::Erase),
    /// Sign what another machine has prepared; needs no network.
    ///
    /// Shows what a batch says that `--unsigned` has written on another machine, checks it without relying on that
    /// machine, asks for confirmation, and writes the signed batch to a second file, which `ics submit` takes. It also
    /// takes descriptors, whether or not other owners have signed them already.
    Sign(sign::Sign),
    /// Submit what was signed on another machine.
    ///
    /// Verifies what `ics sign` has signed, and submits it to the home of its domain. It takes batches and descriptors.
    /// Statements that are already in the log keep their first receipt, so the same file can be submitted again after a
    /// failure.
    Submit(submit::Submit),
    /// Show what a thing is, who vouches for it, and what its status is now.
    ///
    /// Shows what the node's domains say of a thing: what it is, who vouches for it, its status and who gave it, and how
    /// fresh all that is. With `--use` the node decides by its trust policy, and the exit code is 0 only for `allow`.
    Lookup(lookup::Lookup),
    /// Explain an answer: who said what, by what right, and what does not count.
    ///
    /// Explains in words what the node's domains say of a thing: who said it, which descriptor or grant entitles them,
    /// in which entry of which log it stands, what contradicts it, what no longer counts and why, and how fresh all
    /// that is. With `--use` it explains the node's verdict in the same way. The exit code is 0 whatever the answer is,
    /// unlike that of `ics lookup --use`.
    Explain(explain::Explain),
    /// List a domain's things, by kind, model, lot, status, label or signer.
    ///
    /// Lists them in the order in which they were introduced, a page at a time. An identity is listed if it fits all
    /// the filters that are given.
    #[command(visible_alias = "search")]
    List(list::List),
    /// Show everything that was ever said of a thing, and what became of it.
    ///
    /// Lists everything that a domain's log says of a thing and of the groups that hold it, in the order of the log, and
    /// what became of each statement.
    History(history::History),
    /// Export what a domain says of a thing to a file, as evidence or as OpenPGP.
    ///
    /// Writes what a domain says of a thing to a file: evidence that `ics verify --document` checks without a network,
    /// or OpenPGP for gpg and sq, with the certificates of those who signed. What the node sends is verified first.
    Export(export::Export),
    /// Check whether a file may be used, or check evidence without a network.
    ///
    /// Checks whether a file may be used, whatever it holds: whether a domain vouches for software with its hash and
    /// permits its use. It is judged by evidence at hand (--evidence), without a network, or by evidence that the node
    /// gives, which is checked in the same way; in the latter case no other domain that the node knows may block the
    /// file either. With --document, FILE is what `ics export` or `ics explain --save` has written, and it is checked
    /// without a network: signatures, rules, and the place of every statement in the domain's log.
    ///
    /// For a file, the exit code is 0 only if its use is permitted. Evidence at hand permits it only if --pin or the
    /// configuration says which domain is meant, and if the home of that domain has signed that nothing is left out.
    /// This is the word of one domain; `ics lookup THING --use install` and `ics gate apt` ask whether the node's trust
    /// policy allows it. For a document, the exit code says whether it is genuine, whatever it says of the thing.
    Verify(verify::Verify),
    /// Draw the QR code that leads to a thing's page.
    ///
    /// Draws the QR code that leads to the public page of a thing, for a sticker on it: anybody who scans it sees what
    /// it is, who vouches for it and what its status is now.
    Qr(qr::QrCode),
    /// Take over into your own domain what another domain says of things.
    ///
    /// Takes over what another domain says of the chosen things into a domain of your own node, with the signatures
    /// unchanged and with proof of where it comes from. The node must hold the other domain, and the descriptor of your
    /// domain must name that domain as a source.
    Adopt(adopt::Adopt),
    /// Show what waits to be sent to the homes of other domains.
    Outbox(outbox::Outbox),
    /// Manage other nodes: copy domains from them, let them read, see how they are doing.
    #[command(subcommand)]
    Peer(peer::PeerCommand),
    /// Let an update through only if the node allows it: for apt and SWUpdate.
    #[command(subcommand)]
    Gate(gate::GateCommand),
    /// Keep another program on a gateway in step with its node's decisions.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Make, check and show the trust policy by which this node decides.
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Submit the statements and certificates of an OpenPGP keyring.
    ///
    /// Submits what a keyring holds: statements about things, as gpg and sq export them with their notations, and the
    /// certificates of signers. The domain's home decides what it admits. Importing the same keyring again changes
    /// nothing. If a signer has revoked their key, the output says what the owners have to do, since what that signer
    /// said before goes on counting.
    ///
    /// The exit code is 1 if anything was refused or is not legal, even though the rest is in the log; in people's
    /// keyrings, that is mostly certifications by others whom the domain does not know. It stays 0 for what is only
    /// left out because it has no place in a domain, and for what waits for the home of the domain. --json counts all
    /// of it by reason. With --bundle the exit code is 1 if a domain of the bundle or a statement in it was refused.
    Import(import::Import),
    /// Copy a node while it runs.
    ///
    /// Copies the node of this home directory while it runs: its store, ics.toml and descriptors. The copy is read
    /// through and compared before it is called good. Only the user who makes it can read it: the address of alerts in
    /// ics.toml may be a secret.
    ///
    /// A node that is started from a copy does not sign for its own domains until it has asked its mirrors what it has
    /// signed since. A copy keeps what is erased later: after an erasure, delete the copies that are older.
    Backup(backup::Backup),
    /// Check a node's store, and repair its index.
    ///
    /// Reads everything that the node of this home directory holds, and compares: entries with their leaves, leaves with
    /// tiles, roots and checkpoints, checkpoints with the keys that signed them, and the index with the entries. It also
    /// works beside a running node.
    Fsck(fsck::Fsck),
    /// Restore a node from a copy, and let it go on where it stopped.
    ///
    /// Puts a copy that `ics backup` made into this home directory, whose node must not run. What was signed after the copy
    /// was made is fetched from the peers in ics.toml, or from copies of them; a node that cannot get it back stays silent,
    /// because it would sign a second history.
    Restore(restore::Restore),
    /// Print the completion script of a shell.
    Completions(completions::Completions),
    /// Write the manual pages.
    ///
    /// Writes one page for each command.
    Man(man::Man),
}

impl Command {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if !matches!(self, Self::Serve(_)) {
            memory::command();
        }
        match self {
            Self::Init(command) => command.run(context),
            Self::Serve(command) => command.run(context),
            Self::Demo(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Domain(command) => command.run(context),
            Self::Ca(command) => command.run(context),
            Self::Certs(command) => command.run(context),
            Self::Report(command) => command.run(context),
            Self::Publish(command) => command.run(context),
            Self::Enroll(command) => command.run(context),
            Self::Acme(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Label(command) => command.run(context),
            Self::Grant(command) => command.run(context),
            Self::Installed(command) => command.run(context),
            Self::Replace(command) => command.run(context),
            Self::Withdraw(command) => command.run(context),
            Self::Erase(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::Lookup(command) => command.run(context),
            Self::Explain(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Qr(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Outbox(command) => command.run(context),
            Self::Peer(command) => command.run(context),
            Self::Gate(command) => command.run(context),
            Self::Agent(command) => command.run(context),
            Self::Trust(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::Backup(command) => command.run(context),
            Self::Fsck(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(context),
        }
    }
}

/// A point in time, as clap reads it.
fn until(text: &str) -> Result<Timestamp, TimeError> {
    Timestamp::parse(text)
}

/// How many items a page has.
fn page_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=limits::PAGE_ITEMS).contains(limit));
    limit.ok_or_else(|| format!("a page has 1 to {} items", limits::PAGE_ITEMS))
}

/// `ATTRIBUTE=VALUE`.
fn key_value(text: &str) -> Result<(Attribute, String), String> {
    let (attribute, value) = text.split_once('=').ok_or_else(|| format!("`{text}` lacks its `=`"))?;
    Ok((attribute.parse().map_err(|e: ics_core::vocabulary::WordError| e.to_string())?, value.to_owned()))
}

fn with_period(claims: Claims, from: Option<Timestamp>, until: Option<Timestamp>) -> Claims {
    Claims { from, until, ..claims }
}
