//! Descriptors in files, which owners make, change, sign and pass on.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{
    Compromise, Descriptor, DescriptorError, Issuer, NodeKey, OwnerKey, Source, Witnesses, admit,
};
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::body::{self, Body};
use ics_core::statement::{SignedDescriptor, StatementId, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Role};

use crate::keys::{StoredKey, file};
use crate::x509::Authority;

/// The directory for descriptors in the home directory.
pub const DIRECTORY: &str = "domains";
/// A descriptor with the maximum of signatures, in bytes; anything larger is something else.
const FILE_BYTES: usize = limits::DESCRIPTOR_BYTES + limits::DESCRIPTOR_SIGNATURES * limits::STATEMENT_BYTES;

/// Why a descriptor cannot be made, read or signed.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorFileError {
    /// A file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file holds something else, or a malformed descriptor.
    #[error("`{path}`: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no descriptor of that domain here.
    #[error("there is no descriptor of `{domain}` in `{directory}`", directory = directory.display())]
    Missing {
        /// The domain.
        domain: String,
        /// The directory that was searched.
        directory: PathBuf,
    },
    /// The changed descriptor breaks a rule.
    #[error(transparent)]
    Rule(#[from] DescriptorError),
    /// A change does not fit the existing descriptor.
    #[error("{0}")]
    Edit(String),
    /// The key is not one that may sign.
    #[error("the key {0} is not one of the owners who may sign this version")]
    NotAnOwner(Fingerprint),
    /// The key could not sign.
    #[error("cannot sign the descriptor: {0}")]
    Sign(String),
}

/// A descriptor with the signatures that it has so far.
#[derive(Debug, Clone)]
pub struct DescriptorFile {
    /// The descriptor.
    pub descriptor: Descriptor,
    body: Vec<u8>,
    signed: SignedDescriptor,
}

/// Changes that make the next version of a descriptor.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The new description.
    pub description: Option<String>,
    /// Owners to add.
    pub add_owners: Vec<OwnerKey>,
    /// Owners to remove.
    pub remove_owners: Vec<Fingerprint>,
    /// The new threshold.
    pub threshold: Option<u32>,
    /// Signers to be given a role; this defines the role if it is new.
    pub add_signers: Vec<(Role, Fingerprint)>,
    /// Signers to take a role from.
    pub remove_signers: Vec<(Role, Fingerprint)>,
    /// Patterns of names that a role may give from now on.
    pub add_names: Vec<(Role, String)>,
    /// Patterns of names that a role may no longer give.
    pub remove_names: Vec<(Role, String)>,
    /// The new size limit of certificates, in bytes.
    pub certificate_bytes: Option<usize>,
    /// Domains from which entries may be adopted; if a domain is already a source, its home gets this key.
    pub add_sources: Vec<Source>,
    /// Signers whose statements no longer count, from an index of a domain on.
    pub compromised: Vec<Compromise>,
    /// Statements that the owners lift, whoever made them, even those that block for ever.
    pub lift: Vec<StatementId>,
    /// Nodes to add to the witnesses.
    pub add_witnesses: Vec<NodeKey>,
    /// Witnesses to remove, by name.
    pub remove_witnesses: Vec<String>,
    /// How many witnesses must cosign; by default all, if witnesses are named for the first time.
    pub quorum: Option<u32>,
}

impl DescriptorFile {
    /// Signs a new descriptor.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn sign_new(
        descriptor: Descriptor,
        signers: &[&dyn Signer],
        at: Timestamp,
    ) -> Result<Self, DescriptorFileError> {
        let body = make::sign_descriptor(signers, &descriptor.to_json(), at, &salt()?).map_err(sign_error)?;
        Self::from_body(body).map_err(DescriptorFileError::Sign)
    }

    /// Reads a descriptor from a file that holds the body, as nodes and this program write it, or from standard input
    /// for `-`.
    ///
    /// # Errors
    /// When it cannot be read, or holds no well-formed descriptor.
    pub fn read(path: &Path) -> Result<Self, DescriptorFileError> {
        let failed = |source| DescriptorFileError::File { path: path.to_owned(), source };
        let most = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut body = Vec::new();
        file::open(path).and_then(|file| file.take(most).read_to_end(&mut body)).map_err(failed)?;
        Self::parse(path, &body)
    }

    /// Reads a descriptor from the contents of a file.
    ///
    /// # Errors
    /// When they are no well-formed descriptor.
    pub fn parse(path: &Path, body: &[u8]) -> Result<Self, DescriptorFileError> {
        let content = |reason: String| DescriptorFileError::Content { path: path.to_owned(), reason };
        if body.len() > FILE_BYTES {
            return Err(content(format!("a signed descriptor takes {FILE_BYTES} bytes at most")));
        }
        Self::from_body(body.to_vec()).map_err(content)
    }

    /// Parses a signed message.
    ///
    /// # Errors
    /// When it is not a descriptor, or a malformed one.
    pub fn from_body(body: Vec<u8>) -> Result<Self, String> {
        let Body::Descriptor(signed) = body::parse(&body).map_err(|e| e.to_string())? else {
            return Err("it holds no descriptor".to_owned());
        };
        let descriptor = Descriptor::parse(&signed.json).map_err(|e| e.to_string())?;
        Ok(Self { descriptor, body, signed })
    }

    /// The newest version of a domain's descriptor in a home directory.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn newest(home: &Path, domain: &DomainName) -> Result<Self, DescriptorFileError> {
        let directory = home.join(DIRECTORY);
        let newest = versions(&directory, domain).into_iter().max();
        let Some(version) = newest else {
            return Err(DescriptorFileError::Missing { domain: domain.to_string(), directory });
        };
        Self::read(&path(home, domain, version))
    }

    /// Adds the signature of one more owner.
    ///
    /// # Errors
    /// When the key is not an owner's, or cannot sign.
    pub fn add_signature(
        &self,
        entitled: &[OwnerKey],
        signer: &dyn Signer,
        at: Timestamp,
    ) -> Result<Self, DescriptorFileError> {
        refuse_strangers(entitled, &[signer])?;
        let body = make::add_signature(&self.body, signer, at, &salt()?).map_err(sign_error)?;
        Self::from_body(body).map_err(DescriptorFileError::Sign)
    }

    /// Those of the given owners who have a valid signature on it.
    #[must_use]
    pub fn signed_by(&self, owners: &[OwnerKey]) -> BTreeSet<Fingerprint> {
        let keys: Vec<PublicKey> = owners.iter().filter_map(owner_public_key).collect();
        self.signed.verified_by(&keys)
    }

    /// Checks that it may come into force after another version: it must be the next one, and enough owners of that
    /// version must have signed.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_follows(&self, previous: &Descriptor) -> Result<(), DescriptorError> {
        admit(Some(previous), &self.signed).map(drop)
    }

    /// The OpenPGP message.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes the descriptor to a new file.
    ///
    /// # Errors
    /// When the file already exists, or the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), DescriptorFileError> {
        let failed = |source| DescriptorFileError::File { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        file::create_private(path, &self.body).map_err(failed)
    }

    /// Replaces a file with the descriptor.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn replace(&self, path: &Path) -> Result<(), DescriptorFileError> {
        let failed = |source| DescriptorFileError::File { path: path.to_owned(), source };
        file::write_private(path, &self.body).map_err(failed)
    }
}

/// Refuses signers who are not among these owners.
///
/// # Errors
/// Names the first who is not.
pub fn refuse_strangers(entitled: &[OwnerKey], signers: &[&dyn Signer]) -> Result<(), DescriptorFileError> {
    let mut fingerprints = signers.iter().map(|signer| signer.public_key().fingerprint());
    match fingerprints.find(|fingerprint| !entitled.iter().any(|owner| owner.fingerprint == *fingerprint)) {
        Some(stranger) => Err(DescriptorFileError::NotAnOwner(stranger)),
        None => Ok(()),
    }
}

/// The path of a version of a domain's descriptor in a home directory.
#[must_use]
pub fn path(home: &Path, domain: &DomainName, version: u64) -> PathBuf {
    home.join(DIRECTORY).join(format!("{domain}.v{version}.pgp"))
}

/// The versions of a domain's descriptor in a directory.
pub(crate) fn versions(directory: &Path, domain: &DomainName) -> Vec<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let version = |name: String| {
        let rest = name.strip_prefix(domain.as_str())?.strip_prefix(".v")?;
        rest.strip_suffix(".pgp")?.parse().ok()
    };
    entries.filter_map(|entry| entry.file_name().into_string().ok().and_then(version)).collect()
}

/// An owner in the form that descriptors use.
#[must_use]
pub fn owner(name: &str, key: &PublicKey) -> OwnerKey {
    OwnerKey { name: name.to_owned(), fingerprint: key.fingerprint(), key: STANDARD.encode(key.to_packet()) }
}

fn owner_public_key(owner: &OwnerKey) -> Option<PublicKey> {
    STANDARD.decode(&owner.key).ok().and_then(|packet| PublicKey::from_packet(&packet).ok())
}

/// A node in the form that descriptors use; `None` if its key is not Ed25519.
#[must_use]
pub fn node(name: &str, key: &StoredKey) -> Option<NodeKey> {
    key.ed25519().map(|key| NodeKey { name: name.to_owned(), key: STANDARD.encode(key) })
}

/// The next version of a descriptor, with these changes.
///
/// # Errors
/// When a change does not fit the previous version, or the result breaks a rule.
pub fn next_version(previous: &Descriptor, changes: Changes) -> Result<Descriptor, DescriptorFileError> {
    let mut next = previous.clone();
    next.description = changes.description.unwrap_or(next.description);
    next.owners.threshold = changes.threshold.unwrap_or(next.owners.threshold);
    next.owners.keys.extend(changes.add_owners);
    for fingerprint in changes.remove_owners {
        remove(&mut next.owners.keys, |owner| owner.fingerprint == fingerprint, "an owner", fingerprint)?;
    }
    for (role, signer) in changes.add_signers {
        next.roles.entry(role).or_default().signers.insert(signer);
    }
    for (role, signer) in changes.remove_signers {
        let is_removed = next.roles.get_mut(&role).is_some_and(|spec| spec.signers.remove(&signer));
        refuse_unless(is_removed, || format!("{signer} is not a signer in the role `{role}`"))?;
    }
    for (role, pattern) in changes.add_names {
        next.roles.entry(role).or_default().names.insert(pattern);
    }
    for (role, pattern) in changes.remove_names {
        let is_removed = next.roles.get_mut(&role).is_some_and(|spec| spec.names.remove(&pattern));
        refuse_unless(is_removed, || format!("`{pattern}` is not a pattern of names of the role `{role}`"))?;
    }
    next.limits.certificate_bytes = changes.certificate_bytes.or(next.limits.certificate_bytes);
    for source in changes.add_sources {
        add_source(&mut next.sources, source)?;
    }
    next.compromised.extend(changes.compromised);
    for statement in changes.lift {
        refuse_unless(next.lifted.insert(statement), || format!("{statement} is lifted already"))?;
    }
    next.witnesses = witnesses(next.witnesses, changes.add_witnesses, changes.remove_witnesses, changes.quorum)?;
    follow(previous, next)
}

/// A known source is updated: its home gets another key after a new epoch, or when it has moved; its log is the same,
/// by its entry 0.
fn add_source(sources: &mut Vec<Source>, source: Source) -> Result<(), DescriptorFileError> {
    let Some(known) = sources.iter_mut().find(|known| known.domain == source.domain) else {
        sources.push(source);
        return Ok(());
    };
    refuse_unless(known.entry0 == source.entry0, || {
        let Source { domain, entry0, .. } = &*known;
        format!(
            "`sources` has another log under the name `{domain}`, with the entry 0 {entry0}: ask its owners which is \
             theirs. To replace one log by another, edit the JSON itself (`--from-file`)"
        )
    })?;
    refuse_unless(known.home != source.home, || {
        format!("`{}` is in `sources` already, with this home and its key", known.domain)
    })?;
    *known = source;
    Ok(())
}

fn witnesses(
    previous: Option<Witnesses>,
    add: Vec<NodeKey>,
    removed: Vec<String>,
    quorum: Option<u32>,
) -> Result<Option<Witnesses>, DescriptorFileError> {
    let known = previous.as_ref().map(|witnesses| witnesses.quorum);
    let mut keys = previous.map_or_else(Vec::new, |witnesses| witnesses.keys);
    for name in removed {
        remove(&mut keys, |witness| witness.name == name, "a witness", &name)?;
    }
    keys.extend(add);
    refuse_unless(quorum.is_none() || !keys.is_empty(), || {
        "there is no witness of which a quorum could be demanded: --add-witness names one".to_owned()
    })?;
    let all = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let quorum = quorum.or(known).unwrap_or(all);
    Ok((!keys.is_empty()).then_some(Witnesses { quorum, keys }))
}

/// Makes an edited descriptor the next version of another.
///
/// # Errors
/// When the result breaks a rule, or abandons revocation lists that certificates name.
pub fn follow(previous: &Descriptor, mut next: Descriptor) -> Result<Descriptor, DescriptorFileError> {
    refuse_moved_lists(previous, &next)?;
    next.version = previous.version.saturating_add(1);
    next.previous = Some(previous.hash());
    Ok(Descriptor::parse(&next.to_json())?)
}

/// Refuses to move the revocation lists of an issuer that stays: existing certificates name the former addresses (RFC
/// 5280, 4.2.1.13), which would have to work for as long as the last of them is valid.
fn refuse_moved_lists(previous: &Descriptor, next: &Descriptor) -> Result<(), DescriptorFileError> {
    let (Some(before), Some(after)) = (&previous.certificates, &next.certificates) else { return Ok(()) };
    let key = |issuer: &Issuer| Authority::read(issuer).ok().map(|authority| authority.spki);
    let issues = after.issuers.first().and_then(key);
    let goes_on = issues.is_some() && before.issuers.iter().any(|issuer| key(issuer) == issues);
    let moved = before.shards != after.shards || before.url != after.url;
    refuse_unless(!(goes_on && moved), || {
        "`url` and `shards` are written into the certificates that the first issuer has issued: they change only \
         together with that issuer. Ask for the certificate of a new issuing authority (`ics key make`, `ics ca \
         request`) and import that"
            .to_owned()
    })
}

fn remove<T>(
    items: &mut Vec<T>,
    matches: impl Fn(&T) -> bool,
    what: &str,
    name: impl core::fmt::Display,
) -> Result<(), DescriptorFileError> {
    let before = items.len();
    items.retain(|item| !matches(item));
    refuse_unless(items.len() < before, || format!("{name} is not {what}"))
}

fn refuse_unless(condition: bool, message: impl FnOnce() -> String) -> Result<(), DescriptorFileError> {
    if condition { Ok(()) } else { Err(DescriptorFileError::Edit(message())) }
}

pub(super) fn salt() -> Result<[u8; 32], DescriptorFileError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(sign_error)?;
    Ok(salt)
}

pub(super) fn sign_error(error: impl core::fmt::Display) -> DescriptorFileError {
    DescriptorFileError::Sign(error.to_string())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ics_core::log::Hash;

    use super::*;
    use crate::fixture::{Party, word};

    fn source(entry0: u8, key: u8) -> Source {
        let key = STANDARD.encode(SigningKey::from_bytes(&[key; 32]).verifying_key().as_bytes());
        let home = NodeKey { name: "ics.cert.example".to_owned(), key };
        Source { domain: word("labels.cert.example"), entry0: Hash([entry0; 32]), home }
    }

    #[test]
    fn a_source_that_is_named_again_gets_the_new_key_of_its_home() {
        let mut first = None;
        let _party = Party::found_with("devices.acme.example", |descriptor| {
            descriptor.sources = vec![source(1, 1)];
            first = Some(descriptor.clone());
        });
        let first = first.expect("a descriptor");
        let with = |named| next_version(&first, Changes { add_sources: vec![named], ..Changes::default() });
        assert_eq!(with(source(1, 2)).expect("the same log").sources, [source(1, 2)]);
        for (named, why) in [(source(2, 2), "another log"), (source(1, 1), "already")] {
            let refused = with(named).expect_err(why).to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
