//! Files that people carry from machine to machine: batches to be signed and signed ones, and what an update says of
//! itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use ics_core::canonical_json;
use ics_core::identity::Kind;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, Draft, DraftSubject, Group, Subject};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use ics_node::client::batch::{SignedBatch, UnsignedBatch};
use ics_node::client::gate::swupdate::pieces;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// 2026-01-01 and a day later.
const MADE: Timestamp = Timestamp::from_seconds(1_767_225_600);
const AT: Timestamp = Timestamp::from_seconds(1_767_312_000);
const DOMAIN: &str = "devices.acme.example";
const ROLE: &str = "manufacturer";

/// A batch is either to be signed or signed; everything in it is said in its domain and role, and once.
pub(super) fn batch(bytes: &[u8]) {
    let (path, sealed) = (Path::new("batch.ics"), sealed(bytes));
    for content in [bytes, sealed.as_slice()] {
        let unsigned = UnsignedBatch::parse(path, content);
        let signed = SignedBatch::parse(path, content);
        assert!(unsigned.is_err() || signed.is_err(), "a batch is signed already and to be signed");
        if let Ok(batch) = unsigned {
            let (domain, role) = (&batch.head.domain, batch.head.role.as_ref());
            let fits = |claims: &Claims| claims.domain == *domain && Some(&claims.role) == role;
            assert!(batch.items.iter().all(|item| fits(&item.draft.claims)), "an item is said elsewhere");
            assert!(batch.descriptor.is_some() == batch.items.is_empty(), "it has nothing to sign, or two kinds of it");
            drop(batch.times(AT));
        }
        if let Ok(batch) = signed
            && let Ok(statements) = batch.verify(AT)
        {
            let ids: BTreeSet<_> = statements.iter().map(|statement| statement.id()).collect();
            assert_eq!(statements.len(), batch.bodies.len(), "a statement is lost");
            assert_eq!(statements.len(), ids.len(), "a statement stands there twice");
        }
    }
}

/// With its last line, the digest that anybody who changes a batch can write anew. The input is a batch without it.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let digest = HEXLOWER.encode(&Sha256::digest(bytes));
    [bytes, format!("{{\"sha256\":\"{digest}\"}}\n").as_bytes()].concat()
}

/// A description that is understood names itself first, and each of its files once.
pub(super) fn description(bytes: &[u8]) {
    let Ok(pieces) = pieces(Path::new("sw-description"), bytes) else { return };
    let itself: [u8; 32] = Sha256::digest(bytes).into();
    assert!(pieces.first().is_some_and(|piece| piece.digest == itself), "it does not name itself");
    let files: BTreeSet<_> = pieces.iter().skip(1).map(|piece| piece.digest).collect();
    assert_eq!(files.len() + 1, pieces.len(), "a file is named twice");
}

/// A batch to be signed, the same one signed, and one for each of these descriptors; without their last lines.
pub(super) fn batches(descriptors: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    let signer = Ed25519Signer::from_seed(&[7; 32], 4, MADE).ok()?;
    let certificate = Certificate::make(&signer, "Line 3", MADE, &[0; 32]).ok()?;
    let fingerprint = signer.public_key().fingerprint().to_string();
    let claims = Claims::new(Act::Approval, ROLE.parse().ok()?, DOMAIN.parse().ok()?);
    let device = Ed25519Signer::from_seed(&[8; 32], 4, MADE).ok()?;
    let key = Box::new(device.public_key().clone());
    let user_id = "device SN-1".to_owned();
    let group = Group { kind: Kind::Group, name: "Lot".to_owned(), attributes: BTreeMap::new() };
    let drafts = [
        DraftSubject::Key { key, kind: Kind::Device, user_id, self_signature: None, revokes: false },
        DraftSubject::Document(Subject::Group(group)),
    ]
    .map(|subject| Draft { subject, claims: claims.clone() });

    let mut unsigned = vec![head("ics-batch-1", DOMAIN, &fingerprint, json!({ "made_at": MADE, "role": ROLE }))];
    let certificate = BASE64.encode(&certificate);
    let batch = "0".repeat(64);
    let of_signed = json!({ "batch": batch, "certificate": certificate, "role": ROLE, "signed_at": AT });
    let mut signed = vec![head("ics-signed-batch-1", DOMAIN, &fingerprint, of_signed)];
    for draft in &drafts {
        let body = draft.sign(&signer, MADE, &[0; 32]).ok()?;
        let draft: Value = serde_json::from_slice(&draft.to_json().ok()?).ok()?;
        unsigned.push(json!({ "after": MADE, "draft": draft, "replaced": [BASE64.encode(&body)] }));
        signed.push(json!({ "body": BASE64.encode(&body) }));
    }
    let of_descriptor = |descriptor: &Vec<u8>| {
        let descriptor: Value = serde_json::from_slice(descriptor).ok()?;
        let domain = descriptor.get("domain")?.as_str()?.to_owned();
        let head = head("ics-batch-1", &domain, &fingerprint, json!({ "made_at": MADE }));
        lines(&[head, json!({ "descriptor": descriptor })])
    };
    let of_descriptors = descriptors.iter().filter_map(of_descriptor);
    Some([lines(&unsigned)?, lines(&signed)?].into_iter().chain(of_descriptors).collect())
}

/// The first line of a batch.
fn head(format: &str, domain: &str, signer: &str, rest: Value) -> Value {
    let mut head = json!({ "domain": domain, "format": format, "signer": signer });
    if let (Value::Object(head), Value::Object(rest)) = (&mut head, rest) {
        head.extend(rest);
    }
    head
}

fn lines(values: &[Value]) -> Option<Vec<u8>> {
    let line = |value: &Value| Some([canonical_json::to_bytes(value).ok()?, b"\n".to_vec()].concat());
    Some(values.iter().map(line).collect::<Option<Vec<_>>>()?.concat())
}

/// Which of three kinds of batch a seed is: statements to be signed, a descriptor to be signed, or signed statements.
#[cfg(test)]
pub(super) fn kind_of_batch(bytes: &[u8]) -> Option<&'static str> {
    let (path, content) = (Path::new("batch.ics"), sealed(bytes));
    if let Ok(batch) = UnsignedBatch::parse(path, &content) {
        return Some(if batch.descriptor.is_some() { "descriptor" } else { "statements" });
    }
    let signed = SignedBatch::parse(path, &content).ok()?;
    signed.verify(AT).ok().map(|_| "signed")
}
