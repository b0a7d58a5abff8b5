//! What peers and clients send as JSON, and the lists that factories submit.

use std::io::Cursor;

use ics_core::evidence::{Evidence, verify};
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::trust::TrustPolicy;
use ics_node::api::{
    Acknowledgement, AdoptionRequest, ChallengeAnswer, ChallengeRequest, CheckQuestions, EnrolmentRequest,
};
use ics_node::client::publish::{Fields, Form, Rows};
use ics_node::config::PeerConfig;
use ics_sync::bundle::{Bundle, Section};
use ics_sync::carried::{Carried, Wanted};
use ics_sync::news::{Event, Events, News};
use ics_sync::packed;
use ics_sync::wire::{
    Again, Attestation, Descriptors, Heads, Info, Page, Refusals, Shown, Submission, Submitted, Watch,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// 2026-01-02, in seconds.
const NOW: u64 = 1_767_312_000;

/// Evidence is bounded, is written as it was read, and proves something about an identity that it names.
pub(super) fn evidence(json: &[u8]) {
    let Ok(evidence) = Evidence::parse(json) else { return };
    let again = serde_json::to_vec(&evidence).ok().and_then(|json| Evidence::parse(&json).ok());
    assert!(again.as_ref() == Some(&evidence), "evidence is not read back as it was written");
    if let Ok(verified) = verify(&evidence, None, Timestamp::from_seconds(NOW)) {
        assert!(verified.statements.len() <= limits::EVIDENCE_ENTRIES);
    }
}

/// A trust policy that can be read has its rules compiled: see [`TrustPolicy::parse`].
pub(super) fn trust(json: &[u8]) {
    if let Ok(policy) = TrustPolicy::parse(json) {
        assert!(!policy.domains().is_empty(), "a trust policy counts no domain");
    }
}

/// A packed page has one form, and compressed input unpacks to no more than a page.
pub(super) fn packed(bytes: &[u8]) {
    if let Ok(packed) = packed::decompress(bytes) {
        assert!(packed.len() <= packed::PAGE_BYTES, "a compressed page is longer than a page");
    }
    let Ok(page) = packed::unpack(bytes) else { return };
    assert_eq!(packed::pack(&page), bytes, "a packed page has two forms");
}

/// A bundle that can be opened answers anything that it is asked, and its answers keep to the bounds of a peer.
pub(super) fn bundle(bytes: &[u8]) {
    // The digest is no protection against attackers, who would recompute it. The input is a bundle without its last
    // part.
    let digest = Sha256::digest(bytes);
    let sealed = [bytes, &[0, 32], digest.as_slice()].concat();
    for bytes in [bytes, sealed.as_slice()] {
        let Ok(mut bundle) = Bundle::open(Cursor::new(bytes)) else { continue };
        assert!(bundle.sections().len() <= limits::BUNDLE_DOMAINS, "a bundle has too many domains");
        for section in 0..bundle.sections().len() {
            let until = bundle.sections().get(section).and_then(Section::size).unwrap_or_default();
            let from = bundle.sections().get(section).and_then(Section::begins).unwrap_or_default();
            let again = Again { question: 1, hidden: vec![0, from], held: vec![1], until: None };
            for wanted in [
                Wanted::Descriptors { from: 1 },
                Wanted::Checkpoint,
                Wanted::Page { from, limit: limits::FEED_ENTRIES, until },
                Wanted::Page { from: from.saturating_add(1), limit: limits::FEED_ENTRIES, until },
                Wanted::Again(again),
            ] {
                if let Ok(carried) = bundle.answer(section, &wanted) {
                    drop(carried.checked());
                }
            }
            drop(bundle.submission(section, 0));
        }
    }
}

/// The answers of a peer, within their bounds.
pub(super) fn feed(json: &[u8]) {
    if let Ok(page) = Page::decode(json) {
        assert!(page.entries.len() <= limits::FEED_ENTRIES && page.proof.len() <= limits::PROOF_HASHES);
        let again = serde_json::to_vec(&page).ok().and_then(|json| Page::decode(&json).ok());
        assert!(again.as_ref() == Some(&page), "a page is not read back as it was written");
    }
    if let Ok(descriptors) = Descriptors::decode(json) {
        assert!(descriptors.entries.len() <= limits::FEED_ENTRIES);
    }
    if let Ok(shown) = Shown::decode(json) {
        assert!(shown.entries.len() <= limits::FEED_ENTRIES);
    }
    if let Ok(heads) = Heads::decode(json) {
        let again = serde_json::to_vec(&heads).ok().and_then(|json| Heads::decode(&json).ok());
        assert!(again.as_ref() == Some(&heads), "record heads are not read back as they were written");
    }
    if let Ok(attestation) = Attestation::decode(json) {
        assert!(attestation.consistency.len() <= limits::PROOF_HASHES);
    }
    if let Ok(refusals) = Refusals::decode(json) {
        assert!(refusals.refused.len() <= limits::BATCH_STATEMENTS);
    }
    drop(Submitted::decode(json, 1));
    drop(Info::decode(json));
    pushed::<News>(json);
    pushed::<Heads>(json);
}

/// What a peer pushes is the same news, whatever the pieces in which it arrives.
fn pushed<E: Event + PartialEq>(stream: &[u8]) {
    let Ok(news) = Events::<E>::default().take(stream) else { return };
    let mut events = Events::<E>::default();
    let pieces: Result<Vec<Vec<E>>, _> = stream.chunks(1).map(|piece| events.take(piece)).collect();
    assert!(pieces.is_ok_and(|pieces| pieces.into_iter().flatten().eq(news)), "the pieces change what is read");
}

/// The request bodies of the API: what can be read is read back as it was written.
pub(super) fn http(json: &[u8]) {
    back::<Submission>(json);
    back::<EnrolmentRequest>(json);
    back::<AdoptionRequest>(json);
    back::<Acknowledgement>(json);
    back::<CheckQuestions>(json);
    back::<ChallengeRequest>(json);
    back::<ChallengeAnswer>(json);
    back::<Watch>(json);
    back::<Again>(json);
    drop(serde_json::from_slice::<PeerConfig>(json));
    drop(serde_json::from_slice::<Carried>(json).map(Carried::checked));
}

fn back<T: DeserializeOwned + Serialize + PartialEq>(json: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(json) else { return };
    let again = serde_json::to_vec(&read).ok().and_then(|json| serde_json::from_slice::<T>(&json).ok());
    assert!(again.as_ref() == Some(&read), "a request is not read back as it was written");
}

/// A list of devices as CSV.
pub(super) fn csv(bytes: &[u8]) {
    rows(Form::Csv, bytes);
}

/// A list of devices as NDJSON.
pub(super) fn ndjson(bytes: &[u8]) {
    rows(Form::Ndjson, bytes);
}

/// Rows are numbered in order, are not more than there are lines, and have known columns only.
fn rows(form: Form, bytes: &[u8]) {
    let Ok(rows) = Rows::read(form, bytes.to_vec()) else { return };
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    let (mut last, mut count) = (0, 0);
    for row in rows {
        count += 1;
        assert!(count <= lines, "there are more rows than lines");
        let Ok(row) = row else { continue };
        assert!(row.number > last, "rows are not numbered one after the other");
        last = row.number;
        assert!(
            row.values.iter().all(|(column, _)| Fields::check_column(column).is_ok()),
            "an unknown column is let in"
        );
        drop(row.fields(&Fields::default()).map(|fields| fields.said()));
    }
}
