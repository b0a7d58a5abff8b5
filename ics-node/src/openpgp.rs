//! Evidence as OpenPGP, for gpg and sq: what a domain says about a thing, and the certificates of the signers.

use std::io::Write as _;

use ics_core::evidence::{Evidence, ProvenEntry, Verified};
use ics_core::identity::IdentityId;
use ics_core::log::entry::EntryKind;
use ics_core::record::Record;
use ics_core::statement::openpgp_view;
pub use sequoia_openpgp::armor::Kind as Armor;
use sequoia_openpgp::armor::Writer;

/// The OpenPGP version in which to export a thing: that of its key, if a statement about it has the same version; for
/// things without a key, that of the newest statement. gpg reads version 4 only.
#[must_use]
pub fn version(record: &Record) -> Option<u8> {
    let mut newest = record.statements.iter().rev().filter(|listed| !listed.erased);
    match record.identity.id {
        IdentityId::Key(key) => Some(key.version())
            .filter(|version| newest.any(|listed| listed.by.group.is_none() && listed.by.signer.version() == *version)),
        IdentityId::Software(_) | IdentityId::Group(_) => newest.next().map(|listed| listed.by.signer.version()),
    }
}

/// Everything about a thing with a key, for a single import: the certificates of its signers, and then the statements
/// that had effect. All objects have one version: gpg stops at the first of version 6.
#[must_use]
pub fn keyring(evidence: &Evidence, verified: &Verified, version: u8) -> Vec<u8> {
    let statements = about_it(evidence, verified).map(|entry| entry.body.as_slice());
    openpgp_view(&certificates(evidence).chain(statements).collect::<Vec<_>>(), version)
}

/// The certificates of all signers.
#[must_use]
pub fn signers(evidence: &Evidence, version: u8) -> Vec<u8> {
    openpgp_view(&certificates(evidence).collect::<Vec<_>>(), version)
}

/// The statements about software or a group that had effect, each as a message of its own, since gpg checks one at a
/// time.
#[must_use]
pub fn messages(evidence: &Evidence, verified: &Verified, version: u8) -> Vec<Vec<u8>> {
    let messages = about_it(evidence, verified).map(|entry| openpgp_view(&[&entry.body], version));
    messages.filter(|message| !message.is_empty()).collect()
}

/// Armors OpenPGP data.
///
/// # Errors
/// When the writer fails, which memory does not.
pub fn armored(binary: &[u8], kind: Armor) -> std::io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), kind)?;
    writer.write_all(binary)?;
    writer.finalize()
}

fn certificates(evidence: &Evidence) -> impl Iterator<Item = &[u8]> {
    let is_certificate = |entry: &&ProvenEntry| entry.kind == EntryKind::Certificate.as_str();
    evidence.entries.iter().filter(is_certificate).map(|entry| entry.body.as_slice())
}

/// The entries about the identity itself that the policy admitted.
fn about_it<'e>(evidence: &'e Evidence, verified: &'e Verified) -> impl Iterator<Item = &'e ProvenEntry> {
    let identity = verified.record.identity;
    let lines = verified.statements.iter().filter(move |line| line.about == identity && line.refused.is_none());
    lines.filter_map(|line| evidence.entries.iter().find(|entry| entry.receipt.index == line.index))
}
