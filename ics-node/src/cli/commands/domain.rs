//! `ics domain`.

mod acknowledge;
mod changes;
mod create;
mod ended;
mod falling;
mod falls;
mod forks;
mod keyring;
pub(super) mod leaving;
mod losing;
mod missing;
mod newest;
mod recopy;
pub(super) mod show;
mod sign;
mod spoken;
pub(super) mod submit;
mod update;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ics_core::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, Source};
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::vocabulary::{DomainName, Role};
use serde::Deserialize;

pub(super) use self::newest::newest;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;
use crate::client::certificate::PublicCertificate;
use crate::client::descriptor::{self, DescriptorFile, DescriptorFileError};
use crate::keys::UnlockedKey;

/// Commands about the rules of a domain.
#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Make the first descriptor of a domain from a template.
    ///
    /// Fills in a template and signs it with those owners' keys that are in this home directory. Further owners add
    /// their signatures with `ics domain sign`.
    Create(create::Create),
    /// Make the next version of a descriptor.
    ///
    /// Changes the newest version in this home directory, and signs the result as an owner. If a newer version is in
    /// force at the node, as after a restore, it is fetched first. The result comes into force when the home node has
    /// admitted it with the signatures of enough owners of the previous version.
    Update(update::Update),
    /// Add an owner's signature to a descriptor.
    ///
    /// Adds a signature to the file of a descriptor that another owner has made. Read what you sign with `ics domain
    /// show FILE` first.
    Sign(sign::Sign),
    /// Put a new version of a descriptor into force.
    ///
    /// Puts the next version of a descriptor into the domain's log; it is in force from then on. The home admits it
    /// only with the signatures of as many owners as the previous version demands.
    Submit(submit::Submit),
    /// Show a descriptor and who has signed it.
    ///
    /// Shows a descriptor: the newest one of a domain in this home directory, and whether another one is in force; the
    /// one in a file; or with `--node` the one in force at a node, and how the domain is doing there. Signers whose
    /// keys the node knows to be revoked or expired are marked. With `--json` it prints the descriptor itself; from a
    /// node, with the log's origin and key.
    Show(show::Show),
    /// Empty this node's copy of a domain, so that it is copied again.
    ///
    /// Deletes what this node has copied of a domain; when the node starts again, it copies all of it from its peers.
    /// This is for a copy that has stopped because somebody had withheld something from it. The node must be stopped
    /// first, and until it has caught up again it answers `unknown` about things of that domain. If no peer gives the
    /// domain any more, nothing is copied again, and the copy is gone. After a fork the command asks first, because
    /// what only the former copy says is then lost. So that this is noticed, it lists the blocks that the copy knows;
    /// it also does so if no peer gives the domain.
    Recopy(recopy::Recopy),
    /// Show the signed heads of a domain that contradict each other.
    ///
    /// Shows the node's operator the evidence of forks that the node has kept: for each fork, two checkpoints as C2SP
    /// signed notes, exactly as they were received. With the log's key (`ics domain show --node`) anybody can verify
    /// that both were signed.
    Forks(forks::Forks),
    /// Acknowledge the alarms of a domain.
    ///
    /// Shows the alarms that the node has raised about a domain, or about no domain, and deletes them at the node, so
    /// that they are no longer counted. If the cause persists and is checked again, the alarm is raised again. Only the
    /// node's operator may do this.
    Acknowledge(acknowledge::Acknowledge),
}

impl DomainCommand {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Create(command) => command.run(context),
            Self::Update(command) => command.run(context),
            Self::Sign(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::Recopy(command) => command.run(context),
            Self::Forks(command) => command.run(context),
            Self::Acknowledge(command) => command.run(context),
        }
    }
}

impl From<DescriptorFileError> for Failure {
    fn from(error: DescriptorFileError) -> Self {
        match &error {
            DescriptorFileError::Missing { .. } => Self::new(Exit::NotFound, error).hint(
                "name the domain or a file; `ics domain show DOMAIN --node URL` shows what is in force at a node, \
                     and `ics domain create` makes a first descriptor",
            ),
            DescriptorFileError::Rule(_) | DescriptorFileError::Edit(_) => Self::new(Exit::Usage, error),
            DescriptorFileError::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::new(Exit::Local, error)
                    .hint("that version was made already: submit it with `ics domain submit`, or move it away")
            }
            DescriptorFileError::NotAnOwner(_) => {
                Self::new(Exit::Refused, error).hint("`ics domain show` lists the owners")
            }
            _ => Self::new(Exit::Local, error),
        }
    }
}

/// Splits `LEFT=RIGHT`.
fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=').ok_or_else(|| format!("`{text}` lacks its `=`"))
}

/// Parses `ROLE=KEY`; the key is resolved later.
fn role_and_key(text: &str) -> Result<(Role, String), String> {
    let (role, key) = pair(text)?;
    Ok((role.parse().map_err(|e: ics_core::vocabulary::WordError| e.to_string())?, key.to_owned()))
}

/// Parses `NAME=KEY`; the key is resolved later.
fn name_and_key(text: &str) -> Result<(String, String), String> {
    pair(text).map(|(name, key)| (name.to_owned(), key.to_owned()))
}

/// Resolves a public key named by the user: a key of this home directory, or a file with a certificate.
pub(super) fn certificate(context: &Context, text: &str) -> Result<PublicCertificate, Failure> {
    let path = Path::new(text);
    if text.contains('/') || path.extension().is_some() && path.exists() {
        return PublicCertificate::read(path).map_err(|e| Failure::new(Exit::Local, e));
    }
    Ok(PublicCertificate::of(&context.keys().find(text)?)?)
}

/// Resolves a signer named by the user: a fingerprint, a key of this home directory, or a file with a certificate.
pub(in crate::cli) fn signer(context: &Context, text: &str) -> Result<Fingerprint, Failure> {
    match text.parse() {
        Ok(fingerprint) => Ok(fingerprint),
        Err(_) => Ok(certificate(context, text)?.key.fingerprint()),
    }
}

/// Resolves signers that are to get roles; reports those in files that cannot sign anything.
fn new_signers(context: &Context, texts: Vec<(Role, String)>) -> Result<Vec<(Role, Fingerprint)>, Failure> {
    for file in texts.iter().map(|(_, text)| Path::new(text)).filter(|file| file.is_file()) {
        keyring::tell_idle(context, file)?;
    }
    signers(context, texts)
}

fn signers(context: &Context, texts: Vec<(Role, String)>) -> Result<Vec<(Role, Fingerprint)>, Failure> {
    let mut signers = Vec::new();
    for (role, text) in texts {
        let file = Path::new(&text);
        if file.is_file() {
            signers.extend(keyring::holders(file)?.into_iter().map(|holder| (role.clone(), holder)));
        } else {
            signers.push((role, signer(context, &text)?));
        }
    }
    Ok(signers)
}

/// Resolves an owner named by the user; the owner's name is the User ID of their certificate.
fn owner(context: &Context, text: &str) -> Result<OwnerKey, Failure> {
    let certificate = certificate(context, text)?;
    Ok(descriptor::owner(&certificate.user_id, &certificate.key))
}

/// The two forms of a file that describes a source: the JSON of a source, or a node's answer about the domain.
#[derive(Deserialize)]
#[serde(untagged)]
enum SourceFile {
    Source(Source),
    Served { origin: Origin, home: NodeKey },
}

fn source(path: &Path) -> Result<Source, Failure> {
    let failed = |e: String| Failure::new(Exit::Local, format!("`{}`: {e}", path.display()));
    let text = files::read_text(path, 4 * limits::DESCRIPTOR_BYTES)?;
    let neither = |_| {
        failed("it is neither a source nor a node's answer about a domain".to_owned())
            .hint("`curl https://NODE/v1/domains/DOMAIN` gives it; compare its origin with what the owners say")
    };
    match serde_json::from_str(&text).map_err(neither)? {
        SourceFile::Source(source) => Ok(source),
        SourceFile::Served { origin, home } => Ok(Source { domain: origin.domain, entry0: Hash(origin.entry0), home }),
    }
}

/// Unlocks the secret keys of owners.
pub(super) fn unlock_all(context: &Context, names: &[String]) -> Result<Vec<UnlockedKey>, Failure> {
    let keys = names.iter().map(|name| context.keys().find(name)).collect::<Result<Vec<_>, _>>()?;
    keys.iter().map(|key| context.unlock(key)).collect()
}

/// Says how a version that was made comes into force.
pub(super) fn tell_of_submit(context: &Context, file: &DescriptorFile, previous: &Descriptor) {
    let once = if file.check_follows(previous).is_ok() { "" } else { " once enough owners have signed" };
    context.output.note(&format!("`ics domain submit` puts it into force{once}"));
}

/// The file that an argument names, unless it names a domain; `-` is standard input.
fn as_file(text: &str) -> Option<PathBuf> {
    let is_file = text.contains('/') || text == files::STANDARD || Path::new(text).exists();
    is_file.then(|| text.into())
}

/// The named domain, or the default from the configuration.
pub(super) fn domain_or_default(context: &Context, domain: Option<DomainName>) -> Result<DomainName, Failure> {
    match domain {
        Some(domain) => Ok(domain),
        None => context.config()?.client.domain.ok_or_else(|| {
            Failure::new(Exit::Usage, "no domain is named").hint("name one, or set [client] domain in ics.toml")
        }),
    }
}

/// The owners who may sign a descriptor: those of the version before it, if that is at hand.
fn entitled(context: &Context, descriptor: &Descriptor) -> Owners {
    before(context, descriptor).unwrap_or_else(|| descriptor.clone()).owners
}

/// The version before a descriptor, if it is in this home directory.
fn before(context: &Context, descriptor: &Descriptor) -> Option<Descriptor> {
    let path = descriptor::path(&context.home, &descriptor.domain, descriptor.version.checked_sub(1)?);
    DescriptorFile::read(&path).ok().map(|file| file.descriptor)
}
