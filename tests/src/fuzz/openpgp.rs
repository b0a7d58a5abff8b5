//! OpenPGP from outside: bodies, certificates, uploads, signed documents, bare keys.

use ics_core::descriptor::Descriptor;
use ics_core::domain::Domain;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Ed25519Signer;
use ics_core::statement::make::sign_descriptor;
use ics_core::statement::{Body, LeftOut, openpgp_view, parse, split};
use ics_core::time::Timestamp;
use ics_node::client::thing::GivenKey;

/// 2026-01-01, in seconds.
const CREATED: u64 = 1_767_225_600;

/// A body has one form: splitting it yields the same body with the same id. Splitting verifies, parsing does not yet;
/// in a body that no node admits, splitting leaves the self-signature out.
pub(super) fn body(bytes: &[u8]) {
    let Ok(body) = parse(bytes) else { return };
    let split = split(bytes);
    assert!(split.is_ok(), "a canonical body cannot be split");
    let Ok(split) = split else { return };
    if !split.left_out.contains_key(&LeftOut::OwnSignature) {
        assert_eq!(split.bodies, [bytes.to_vec()], "a canonical body is split into something else");
    }
    assert_eq!(parse(bytes).map(|again| again.id()), Ok(body.id()), "an id changes from reading to reading");
}

/// What is split from an upload is canonical, and can be reassembled for stock tools.
pub(super) fn upload(bytes: &[u8]) {
    let Ok(split) = split(bytes) else { return };
    for one in &split.bodies {
        body(one);
        assert!(parse(one).is_ok(), "an upload is split into what is no body");
    }
    let bodies: Vec<&[u8]> = split.bodies.iter().map(Vec::as_slice).collect();
    for version in [4, 6] {
        let view = openpgp_view(&bodies, version);
        assert!(view.len() <= split.bodies.concat().len(), "a view has more than there is");
    }
}

/// A certificate that can be read is a body of its own, and the union of a state with itself is that state.
pub(super) fn certificate(bytes: &[u8]) {
    if let Ok(united) = Certificate::union(bytes, bytes) {
        assert_eq!(Certificate::union(&united, &united).as_ref(), Ok(&united), "uniting never ends");
    }
    let Ok(certificate) = Certificate::parse(bytes) else { return };
    assert_eq!(Certificate::union(bytes, bytes).as_deref(), Ok(bytes), "a certificate is not its own union");
    assert!(certificate.keys().any(|key| key == certificate.primary()), "a certificate lacks its primary key");
    if let Ok(Body::Certificate(body)) = parse(bytes) {
        assert_eq!(body.id(), certificate.id());
    }
}

/// JSON of any shape under a good signature: statements about software and groups, descriptors, erasures.
pub(super) fn document(json: &[u8]) {
    let created = Timestamp::from_seconds(CREATED);
    let Ok(signer) = Ed25519Signer::from_seed(&[7; 32], 4, created) else { return };
    let Ok(message) = sign_descriptor(&[&signer], json, created, &[0; 32]) else { return };
    body(&message);
}

/// A descriptor has one form, and when it founds a domain its rules are compiled.
pub(super) fn descriptor(json: &[u8]) {
    let Ok(descriptor) = Descriptor::parse(json) else { return };
    assert_eq!(descriptor.to_json(), json, "a descriptor has two forms");
    let founded = Domain::found([0; 32], descriptor, Timestamp::from_seconds(CREATED));
    assert!(founded.is_ok(), "a descriptor that was read founds no domain");
}

/// A key read from DER is written as the same DER, and its fingerprint is that of its packet. A file with a device's key
/// may have any form.
pub(super) fn spki(bytes: &[u8]) {
    drop(GivenKey::parse(bytes));
    if let Ok(text) = core::str::from_utf8(bytes) {
        drop(PublicKey::from_spki_pem(text));
    }
    let Ok(key) = PublicKey::from_spki_der(bytes) else { return };
    let again = PublicKey::from_body(key.body()).map(|key| key.fingerprint());
    assert_eq!(again, Ok(key.fingerprint()), "the packet of a bare key is read as another key");
}
