use super::*;
use crate::openpgp::signature::Draft;
use crate::openpgp::signer::{Ed25519Signer, Signer};
use crate::openpgp::subpacket as sub;
use crate::statement::{Body, LeftOut, make, parse, split};

const AT: Timestamp = Timestamp::from_seconds(1_800_000_000);
const USER_ID: &str = "Ann <ann@acme.example>";

fn signer(seed: u8, version: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], version, Timestamp::from_seconds(1)).expect("a key")
}

fn certificate(seed: u8, version: u8) -> Certificate {
    let bytes = Certificate::make(&signer(seed, version), "Bob", Timestamp::from_seconds(2), &[0; 32]).expect("made");
    Certificate::parse(&bytes).expect("a certificate")
}

/// A certification of Ann's User ID, with a draft's signature.
fn with(draft: Draft, by: &Ed25519Signer) -> Vec<u8> {
    let ann = signer(1, 4);
    let over = Over::UserId { key: ann.public_key().body(), user_id: USER_ID.as_bytes() };
    let signature = draft.sign(by, over, &[0; 32]).expect("signed");
    let mut body = ann.public_key().to_packet();
    packet::write(&mut body, packet::USER_ID, USER_ID.as_bytes());
    packet::write(&mut body, packet::SIGNATURE, &signature);
    body
}

fn read(body: &[u8]) -> UnverifiedCertification {
    match parse(body) {
        Ok(Body::Certification(certification)) => certification,
        other => panic!("no certification: {other:?}"),
    }
}

#[test]
fn what_was_made_is_read_and_verified() {
    for version in [4, 6] {
        let (bob, ann) = (signer(2, version), signer(1, 4));
        let body = make::certify_user_id(&bob, ann.public_key(), USER_ID, AT, &[0; 32]).expect("made");
        assert_eq!(split(&body).expect("legal").bodies, std::slice::from_ref(&body));
        let unverified = read(&body);
        assert_eq!(
            (unverified.id(), unverified.target()),
            (StatementId(sha256(&[&body])), ann.public_key().fingerprint())
        );
        let verified = unverified.verify(&certificate(2, version), AT).expect("good");
        assert_eq!((verified.signer(), verified.id()), (bob.public_key().fingerprint(), unverified.id()));
        assert_eq!(verified, unverified.kept(bob.public_key().fingerprint()));
    }
}

#[test]
fn before_2016_the_key_id_was_all_that_named_the_signer() {
    let bob = signer(2, 4);
    let mut hashed = Vec::new();
    sub::write(&mut hashed, false, sub::CREATED, &1_300_000_000_u32.to_be_bytes());
    sub::write(&mut hashed, false, sub::ISSUER, &bob.public_key().fingerprint().key_id());
    let unverified = read(&with(Draft::raw(0x13, hashed), &bob));
    assert_eq!(unverified.issuer(), Issuer::KeyId(bob.public_key().fingerprint().key_id()));
    assert_eq!(unverified.verify(&certificate(2, 4), AT).expect("good").signer(), bob.public_key().fingerprint());
    assert!(unverified.verify(&certificate(3, 4), AT).is_err());
}

#[test]
fn what_is_not_good_is_not_verified() {
    let bob = signer(2, 4);
    let good = make::certify_user_id(&bob, signer(1, 4).public_key(), USER_ID, AT, &[0; 32]).expect("made");
    let unverified = read(&good);
    assert!(matches!(
        unverified.verify(&certificate(3, 4), AT),
        Err(CertificationError::Signature(SignatureFault::OtherKey))
    ));
    let early = Timestamp::from_seconds(AT.as_seconds() - 301);
    assert_eq!(
        unverified.verify(&certificate(2, 4), early),
        Err(CertificationError::Future { signed_at: AT, at: early })
    );
    let mut bad = good;
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let fault = read(&bad).verify(&certificate(2, 4), AT);
    assert_eq!(fault, Err(CertificationError::Signature(SignatureFault::Bad)));
}

#[test]
fn what_has_no_place_on_a_user_id_is_refused() {
    let bob = signer(2, 4);
    for (what, draft) in [
        ("a direct key signature", Draft::new(0x1f, &bob, AT)),
        ("a local one", Draft::new(0x10, &bob, AT).with(sub::EXPORTABLE, &[0])),
    ] {
        let body = with(draft, &bob);
        assert!(parse(&body).is_err(), "{what}");
        assert_eq!(split(&body).map(|split| split.bodies), Ok(Vec::new()), "{what}");
    }
    let ours = with(Draft::new(0x10, &bob, AT).with_notation("role@cm4it.example", b"owner", true), &bob);
    assert!(parse(&ours).is_err(), "half of a statement is no certification");
}

#[test]
fn one_past_its_length() {
    let bob = signer(2, 4);
    let base = with(Draft::new(0x10, &bob, AT), &bob).len();
    let filled = |bytes: usize| with(Draft::new(0x10, &bob, AT).with(100, &vec![0; bytes]), &bob);
    // The subpacket's length takes two more octets, the packet's one.
    let most = limits::STATEMENT_BYTES - base - 4;
    assert_eq!(filled(most).len(), limits::STATEMENT_BYTES);
    assert!(parse(&filled(most)).is_ok());
    assert!(matches!(parse(&filled(most + 1)), Err(BodyError::TooLong { .. })));
}

/// Ann's certificate, with these signatures after her User ID.
fn with_signatures(signatures: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = Certificate::make(&signer(1, 4), USER_ID, Timestamp::from_seconds(2), &[0; 32]).expect("made");
    signatures.iter().for_each(|signature| packet::write(&mut whole, packet::SIGNATURE, signature));
    whole
}

/// A signature on Ann's User ID. With `sha1` it only names SHA-1 as its hash, which is all that is examined.
fn signature(by: u8, kind: u8, sha1: bool) -> Vec<u8> {
    let (by, ann) = (signer(by, 4), signer(1, 4));
    let over = Over::UserId { key: ann.public_key().body(), user_id: USER_ID.as_bytes() };
    let mut signature = Draft::new(kind, &by, AT).sign(&by, over, &[0; 32]).expect("signed");
    if sha1 {
        signature[3] = 2;
    }
    signature
}

#[test]
fn what_was_revoked_by_a_signature_that_does_not_count_does_not_stand_again() {
    let certified = signature(2, 0x10, false);
    let bodies = |signatures: &[Vec<u8>]| split(&with_signatures(signatures)).expect("legal");
    let split = bodies(std::slice::from_ref(&certified));
    assert_eq!((split.bodies.len(), split.left_out.len()), (2, 0));
    let split = bodies(&[certified.clone(), signature(2, 0x30, true)]);
    assert_eq!((split.bodies.len(), split.refused.len()), (1, 1));
    assert_eq!(split.left_out.get(&LeftOut::CertificationRevoked), Some(&1));
    let split = bodies(&[certified.clone(), signature(3, 0x30, true)]);
    assert_eq!(split.bodies.len(), 2, "somebody else's revocation stays apart");
    let split = split_or_left(&with_signatures(&[certified, signature(1, 0x30, true)]));
    assert_eq!(split.get(&LeftOut::Revoked), Some(&1), "its holder has revoked the only User ID: nothing is left");
}

/// Ann's certificate with signatures over her key before her User ID, by her own key or another's.
fn with_direct(signatures: &[Vec<u8>]) -> Vec<u8> {
    let whole = with_signatures(&[]);
    let (key, rest) = whole.split_at(signer(1, 4).public_key().to_packet().len());
    let mut bytes = key.to_vec();
    signatures.iter().for_each(|signature| packet::write(&mut bytes, packet::SIGNATURE, signature));
    [&bytes[..], rest].concat()
}

/// A revocation of Ann's key. With `sha1` it only names SHA-1 as its hash.
fn key_revocation(by: u8, sha1: bool) -> Vec<u8> {
    let (by, ann) = (signer(by, 4), signer(1, 4));
    let over = Over::Key(ann.public_key().body());
    let mut signature = Draft::new(0x20, &by, AT).sign(&by, over, &[0; 32]).expect("signed");
    if sha1 {
        signature[3] = 2;
    }
    signature
}

#[test]
fn a_revocation_that_does_not_count_is_refused_and_not_left_out() {
    let ann = signer(1, 4).public_key().fingerprint();
    let designated = split(&with_direct(&[key_revocation(2, false)])).expect("the certificate is taken");
    assert_eq!((designated.bodies.len(), designated.refused), (1, vec![BodyError::RevokedByAnother(ann)]));
    assert!(designated.left_out.is_empty());
    let refused = split(&with_direct(&[key_revocation(1, true)])).expect_err("nothing stands");
    assert_eq!(refused.not_revoked(), Some(ann));
    for part in ["NOT accepted", "SHA-1", "SHA-512", "--compromised"] {
        assert!(refused.to_string().contains(part), "{part}: {refused}");
    }
    let another = make::certify_user_id(&signer(5, 4), signer(6, 4).public_key(), "Cleo", AT, &[0; 32]).expect("made");
    let user_id = split(&[with_signatures(&[signature(1, 0x30, true)]), another].concat()).expect("legal");
    assert!(user_id.refused.iter().any(|error| error.not_revoked() == Some(ann)), "{user_id:?}");
    let by_another = split(&with_signatures(&[signature(2, 0x30, true)])).expect("legal");
    assert_eq!(by_another.refused.iter().find_map(BodyError::not_revoked), None, "that is no revocation of hers");
}

/// A holder who learns that SHA-1 does not count revokes the key again, and their program sends both.
#[test]
fn a_revocation_that_counts_stands_beside_one_that_does_not() {
    let good = key_revocation(1, false);
    let both = split(&with_direct(&[key_revocation(1, true), good.clone(), key_revocation(2, false)])).expect("legal");
    assert_eq!((both.bodies, both.refused), (vec![with_direct(&[good])], Vec::new()));
}

/// What was left out of a part of which nothing remains.
fn split_or_left(bytes: &[u8]) -> std::collections::BTreeMap<LeftOut, usize> {
    let another = make::certify_user_id(&signer(5, 4), signer(6, 4).public_key(), "Cleo", AT, &[0; 32]).expect("made");
    split(&[bytes, &another].concat()).expect("legal").left_out
}
