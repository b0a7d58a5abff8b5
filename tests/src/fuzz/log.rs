//! The parts of a log: headers, notes, checkpoints, proofs.

use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::log::cosignature;
use ics_core::log::entry::Header;
use ics_core::log::merkle::{verify_consistency, verify_inclusion};
use ics_core::log::note::{Note, VerifierKey};
use ics_core::log::record_head::RecordHead;
use ics_core::log::source::Source;
use ics_sync::witness::{AddCheckpoint, Seen, follows};

/// The first home's cosigner key in the vectors for the log.
const COSIGNER: &str = "home.acme.example+26fa74cb+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

/// The home's key for notes in these vectors.
const HOME: &str = "devices.acme.example/5636206c0cdced54205f03567c66fe5be4102362d47feba78155c266df7fd5a2+855f52e2+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

/// A header has one encoding.
pub(super) fn entry(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode().as_deref(), Ok(bytes), "a header has two forms");
    }
}

/// Notes and checkpoints are written as they were read; no key accepts what it did not sign. So are requests to a
/// witness, which of a log that is new to it takes no proof.
pub(super) fn note(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(request) = text.parse::<AddCheckpoint>() {
        assert_eq!(request.to_string(), text, "a request to a witness has two forms");
        assert!(request.proof.len() < limits::PROOF_HASHES);
        let note = Note::parse(&request.checkpoint).ok();
        if let Some(checkpoint) = note.and_then(|note| Checkpoint::parse(note.text()).ok()) {
            let seen = follows(&request, &checkpoint, Seen::nothing());
            assert!(seen.is_err() || request.proof.is_empty(), "a proof from nothing has hashes");
        }
    }
    let Ok(note) = Note::parse(text) else { return };
    assert_eq!(note.to_string(), text, "a note has two forms");
    assert!(note.signatures().len() <= limits::NOTE_SIGNATURES);
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert_eq!(checkpoint.text(), note.text(), "a checkpoint has two forms");
    }
    if let Ok(key) = COSIGNER.parse::<VerifierKey>() {
        drop(cosignature::times(text, [&key]));
        drop(Checkpoint::open(text, &key));
    }
}

/// A record head is written as it was read, and names no entry beyond the log.
pub(super) fn record_head(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let signed = text.rsplit_once("\n\n").map(|(text, _)| format!("{text}\n"));
    for text in [Some(text.to_owned()), signed].into_iter().flatten() {
        let Ok(head) = RecordHead::parse(&text) else { continue };
        assert_eq!(head.text(), text, "a record head has two forms");
        assert!(head.indices.len() <= limits::EVIDENCE_ENTRIES, "a record head names too much");
        assert!(head.indices.iter().all(|index| *index < head.size), "a record head names what is not in the log");
    }
    if let Ok(key) = HOME.parse::<VerifierKey>() {
        drop(RecordHead::open(text, &key));
    }
}

/// A proof has one text form, whatever its numbers and hashes are.
pub(super) fn proof(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(source) = Source::from_tlog_proof(text)
    {
        assert_eq!(source.to_tlog_proof(), text, "a proof has two forms");
        assert!(source.proof.len() <= limits::PROOF_HASHES);
    }
    let Some(([index, size], [first, second], path)) = parts(bytes) else { return };
    if verify_inclusion(&first, index, size, &path, &second).is_ok() {
        assert!(index < size, "a leaf beyond the end of its tree is proven");
    }
    if verify_consistency(index, &first, size, &second, &path).is_ok() {
        assert!(index <= size, "a tree is proven to have shrunk");
    }
}

/// Whether a seed proves that an entry is in a log.
#[cfg(test)]
pub(super) fn is_included(bytes: &[u8]) -> bool {
    parts(bytes).is_some_and(|([index, size], [leaf, root], path)| {
        !path.is_empty() && verify_inclusion(&leaf, index, size, &path, &root).is_ok()
    })
}

/// Whether a seed proves that a log has grown from another.
#[cfg(test)]
pub(super) fn is_consistent(bytes: &[u8]) -> bool {
    parts(bytes).is_some_and(|([old, new], [before, after], path)| {
        !path.is_empty() && verify_consistency(old, &before, new, &after, &path).is_ok()
    })
}

/// The input as two numbers, two hashes, and the hashes of a path.
fn parts(bytes: &[u8]) -> Option<([u64; 2], [Hash; 2], Vec<Hash>)> {
    let (numbers, rest) = numbers(bytes)?;
    let (hashes, _) = rest.as_chunks::<32>();
    let mut hashes = hashes.iter().copied().map(Hash);
    Some((numbers, [hashes.next()?, hashes.next()?], hashes.collect()))
}

fn numbers(bytes: &[u8]) -> Option<([u64; 2], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    Some(([u64::from_be_bytes(*first), u64::from_be_bytes(*second)], rest))
}
