//! Cosignatures (C2SP tlog-cosignature, Ed25519): each states that a checkpoint was the newest known to its signer at a
//! time.
//!
//! A plain checkpoint carries no time and proves no freshness. So the home cosigns its own, again and again even if
//! nothing happens; witnesses cosign to state that they saw the same log.

use crate::limits;
use crate::log::checkpoint::{Checkpoint, CheckpointError};
use crate::log::note::{Algorithm, Note, NoteError, NoteKey, NoteSignature, VerifierKey};
use crate::log::verifier_key::check_name;
use crate::time::Timestamp;

/// The signed message: a line that sets cosignatures apart, the time in seconds, and the whole text of the checkpoint.
fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// Adds a cosignature to a signed checkpoint, replacing an earlier one by the same key. The caller has verified that
/// the checkpoint is consistent with everything they know about this log.
///
/// # Errors
/// When the note is not a checkpoint, the name is malformed, the key does not sign, or the note has no room left.
pub fn cosign(note: &str, name: &str, key: &dyn NoteKey, at: Timestamp) -> Result<String, CheckpointError> {
    let mut note = Note::parse(note)?;
    note.add(cosignature(&note, name, key, at)?)?;
    Ok(note.to_string())
}

/// The line that [`cosign`] adds, alone and without its newline: a witness's answer.
///
/// # Errors
/// When the note is not a checkpoint, the name is malformed, or the key does not sign.
pub fn line(note: &str, name: &str, key: &dyn NoteKey, at: Timestamp) -> Result<String, CheckpointError> {
    Ok(cosignature(&Note::parse(note)?, name, key, at)?.to_string())
}

fn cosignature(note: &Note, name: &str, key: &dyn NoteKey, at: Timestamp) -> Result<NoteSignature, CheckpointError> {
    Checkpoint::parse(note.text())?;
    check_name(name).map_err(NoteError::from)?;
    let seconds = at.as_seconds();
    let signature = key.sign(message(seconds, note.text()).as_bytes()).map_err(NoteError::Refused)?;
    let timestamped = [seconds.to_be_bytes().as_slice(), &signature].concat();
    Ok(NoteSignature::cosignature(name, key, timestamped))
}

/// Adds to a checkpoint the cosignatures of a key from among signature lines, as a witness returns them. Lines of other
/// keys are left out (C2SP tlog-witness: they must be ignored).
///
/// # Errors
/// When a line is not a signature line, none is by the key, or one that claims to be is wrong.
pub fn take(note: &str, lines: &str, key: &VerifierKey) -> Result<String, CheckpointError> {
    let mut note = Note::parse(note)?;
    let mut found = false;
    for line in lines.lines().take(limits::NOTE_SIGNATURES) {
        let signature: NoteSignature = line.parse()?;
        if signature.is_of(key) {
            note.add(signature)?;
            found = true;
        }
    }
    match time(&note, key)? {
        Some(_) if found => Ok(note.to_string()),
        _ => Err(NoteError::Unsigned(key.name().to_owned()).into()),
    }
}

/// Adds to one note of a checkpoint the cosignatures of the keys from another note of it; of two by one key, the later
/// one is kept. A note of another checkpoint adds nothing.
///
/// # Errors
/// When a note is malformed, or one of the cosignatures is wrong.
pub fn merge(into: &str, from: &str, keys: &[VerifierKey]) -> Result<String, CheckpointError> {
    let (mut into, from) = (Note::parse(into)?, Note::parse(from)?);
    if into.text() != from.text() {
        return Ok(into.to_string());
    }
    for key in keys {
        if time(&from, key)? > time(&into, key)? {
            let of_key = from.signatures().iter().filter(|signature| signature.is_of(key));
            // Each begins with its time.
            let latest = of_key.zip(from.signatures_of(key)).max_by_key(|(_, bytes)| *bytes);
            if let Some((signature, _)) = latest {
                into.add(signature.clone())?;
            }
        }
    }
    Ok(into.to_string())
}

/// Which of the keys cosigned the checkpoint, and when, to the second; the latest time if one did several times.
///
/// Quorums count keys, so the caller passes distinct ones, and judges whether a time lies in the future.
///
/// # Errors
/// When the note is not a checkpoint, a key is not one for cosignatures, or a cosignature that claims to be by one of
/// the keys is wrong: then the whole note is refused, as C2SP signed-note says.
pub fn times<'k>(
    note: &str,
    keys: impl IntoIterator<Item = &'k VerifierKey>,
) -> Result<Vec<(&'k VerifierKey, Timestamp)>, CheckpointError> {
    let note = Note::parse(note)?;
    Checkpoint::parse(note.text())?;
    let mut times = Vec::new();
    for key in keys {
        times.extend(time(&note, key)?.map(|time| (key, time)));
    }
    Ok(times)
}

fn time(note: &Note, key: &VerifierKey) -> Result<Option<Timestamp>, NoteError> {
    if key.algorithm() != Algorithm::Cosignature {
        return Err(NoteError::Algorithm(key.name().to_owned()));
    }
    let mut latest = None;
    for bytes in note.signatures_of(key) {
        let time = verified_time(note, key, bytes).ok_or_else(|| NoteError::BadSignature(key.name().to_owned()))?;
        latest = latest.max(Some(time));
    }
    Ok(latest)
}

fn verified_time(note: &Note, key: &VerifierKey, bytes: &[u8]) -> Option<Timestamp> {
    let (seconds, signature) = bytes.split_first_chunk()?;
    let seconds = u64::from_be_bytes(*seconds);
    let message = message(seconds, note.text());
    // A time after the year 9999 cannot be represented exactly and is refused.
    let time = Some(Timestamp::from_seconds(seconds)).filter(|time| time.as_seconds() == seconds);
    time.filter(|_| signature.try_into().is_ok_and(|signature| key.is_signature(message.as_bytes(), signature)))
}

#[cfg(test)]
mod tests;
