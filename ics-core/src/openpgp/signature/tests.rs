//! Signature packets: what is refused, and that those made here are canonical.

use proptest::prelude::*;

use super::*;
use crate::openpgp::reader::write_mpi;
use crate::openpgp::signer::{Ed25519Signer, Signer};
use crate::statement::fixtures::{SALT, at, maker, signer};

/// A signature over `data` with the given hashed area.
fn raw(signer: &dyn Signer, hashed: Vec<u8>, data: &[u8]) -> Vec<u8> {
    Draft::raw(BINARY, hashed).sign(signer, Over::Document(data), &SALT).expect("signed")
}

/// A hashed area of subpackets.
fn area(subpackets: &[(bool, u8, &[u8])]) -> Vec<u8> {
    let mut area = Vec::new();
    subpackets.iter().for_each(|(critical, tag, data)| sub::write(&mut area, *critical, *tag, data));
    area
}

fn issuer_of(signer: &dyn Signer) -> Vec<u8> {
    let fingerprint = signer.public_key().fingerprint();
    [&[fingerprint.version()], fingerprint.as_bytes()].concat()
}

fn good(version: u8) -> Vec<u8> {
    Draft::new(BINARY, &signer(1, version), at())
        .sign(&signer(1, version), Over::Document(b"data"), &SALT)
        .expect("signed")
}

#[test]
fn what_is_made_is_read() {
    for version in [4, 6] {
        let body = good(version);
        let signature = Signature::parse(&body).expect("canonical");
        assert_eq!((signature.version(), signature.kind, signature.created), (version, BINARY, at()));
        assert_eq!(signature.issuer, signer(1, version).public_key().fingerprint());
        let signed = signature.over(Over::Document(b"data")).expect("this was signed");
        assert_eq!(signed.verify(signer(1, version).public_key()), Ok(()));
        assert_eq!(signature.over(Over::Document(b"other data")), Err(SignatureError::Prefix));
        assert_eq!(canonicalise(&body), Ok(body.clone()));
    }
}

#[test]
fn versions_hashes_and_algorithms_by_name() {
    let with = |at: usize, byte: u8| {
        let mut body = good(4);
        body[at] = byte;
        Signature::parse(&body).map(drop)
    };
    assert_eq!(with(0, 3), Err(SignatureError::Version(3)));
    assert_eq!(with(0, 5), Err(SignatureError::Version(5)));
    for (id, name) in [(1, "MD5"), (2, "SHA-1"), (3, "RIPEMD-160"), (11, "SHA-224"), (99, "hash algorithm 99")] {
        assert_eq!(with(3, id), Err(SignatureError::Hash(name.into())));
    }
    for id in [0, 3, 16, 17, 18, 25, 99] {
        assert_eq!(with(2, id), Err(SignatureError::Algorithm(id)));
    }
}

#[test]
fn salts_fit_the_hash() {
    let body = good(6);
    let salt_at = body.len() - 64 - SALT.len() - 1;
    assert_eq!(body[salt_at], 32);
    let mut shorter = body.clone();
    shorter[salt_at] = 16;
    assert_eq!(Signature::parse(&shorter), Err(SignatureError::Salt { expected: 32, found: 16 }));
    let mut other_hash = body;
    other_hash[3] = 8;
    assert_eq!(Signature::parse(&other_hash), Err(SignatureError::Salt { expected: 16, found: 32 }));
}

#[test]
fn truncated_and_trailing() {
    for version in [4, 6] {
        let body = good(version);
        for end in 0..body.len() {
            assert!(Signature::parse(&body[..end]).is_err(), "{end} of {}", body.len());
        }
        let longer = [&body[..], &[0]].concat();
        assert_eq!(Signature::parse(&longer), Err(WireError::Trailing(1).into()));
    }
}

#[test]
fn time_and_issuer_must_be_hashed_once() {
    let maker = maker();
    let (issuer, time) = (issuer_of(&maker), [1, 2, 3, 4]);
    let (time_tag, issuer_tag) = (sub::CREATED, sub::ISSUER_FINGERPRINT);
    let parse = |subpackets: &[(bool, u8, &[u8])]| Signature::parse(&raw(&maker, area(subpackets), b"")).map(drop);
    let id = maker.public_key().fingerprint().key_id();
    let id = (false, sub::ISSUER, id.as_slice());
    assert_eq!(parse(&[(true, time_tag, &time), (false, issuer_tag, &issuer), id]), Ok(()));
    assert_eq!(parse(&[(false, issuer_tag, &issuer), id]), Err(SignatureError::Missing("creation time")));
    assert_eq!(parse(&[(true, time_tag, &time), id]), Err(SignatureError::Missing("issuer's fingerprint")));
    let twice: [(bool, u8, &[u8]); 4] =
        [(true, time_tag, &time), (true, time_tag, &time), (false, issuer_tag, &issuer), id];
    assert_eq!(parse(&twice), Err(SignatureError::Repeated(time_tag)));
    let twice: [(bool, u8, &[u8]); 4] =
        [(true, time_tag, &time), (false, issuer_tag, &issuer), (false, issuer_tag, &issuer), id];
    assert_eq!(parse(&twice), Err(SignatureError::Repeated(issuer_tag)));
    assert_eq!(
        parse(&[(true, time_tag, &[1, 2, 3]), (false, issuer_tag, &issuer), id]),
        Err(SignatureError::Malformed(time_tag))
    );
    for wrong in [&issuer[..20], &[&[6], &issuer[1..]].concat(), &[]] {
        assert_eq!(
            parse(&[(true, time_tag, &time), (false, issuer_tag, wrong), id]),
            Err(SignatureError::Malformed(issuer_tag))
        );
    }
}

#[test]
fn the_issuer_is_given_in_one_way() {
    let (maker, v6) = (maker(), signer(1, 6));
    let time: (bool, u8, &[u8]) = (true, sub::CREATED, &[1, 2, 3, 4]);
    let (issuer, issuer_v6) = (issuer_of(&maker), issuer_of(&v6));
    let parse = |signer: &dyn Signer, subpackets: &[(bool, u8, &[u8])]| {
        Signature::parse(&raw(signer, area(subpackets), b"")).map(drop)
    };
    let wrong_id = (false, sub::ISSUER, &[7; 8][..]);
    assert_eq!(
        parse(&maker, &[time, (false, sub::ISSUER_FINGERPRINT, &issuer), wrong_id]),
        Err(SignatureError::Issuer)
    );
    let id = v6.public_key().fingerprint().as_bytes()[..8].to_vec();
    assert_eq!(
        parse(&v6, &[time, (false, sub::ISSUER_FINGERPRINT, &issuer_v6), (false, sub::ISSUER, &id)]),
        Err(SignatureError::Issuer)
    );
    assert_eq!(parse(&v6, &[time, (false, sub::ISSUER_FINGERPRINT, &issuer)]), Err(SignatureError::Issuer));
    // Without the key id in the hashed area it must be in the unhashed one.
    assert_eq!(parse(&maker, &[time, (false, sub::ISSUER_FINGERPRINT, &issuer)]), Err(SignatureError::Unhashed));
}

/// A version 4 signature with another unhashed area.
fn with_unhashed(body: &[u8], unhashed: &[u8]) -> Vec<u8> {
    let hashed = usize::from(body[4]) << 8 | usize::from(body[5]);
    let (head, rest) = body.split_at(6 + hashed);
    let old = usize::from(rest[0]) << 8 | usize::from(rest[1]);
    [head, &(unhashed.len() as u16).to_be_bytes(), unhashed, &rest[2 + old..]].concat()
}

#[test]
fn the_unhashed_area_holds_nothing_that_anybody_could_choose() {
    let maker = maker();
    let id = maker.public_key().fingerprint().key_id();
    let id_area = area(&[(false, sub::ISSUER, &id)]);
    let with_hashed_id = good(4);
    let without = raw(
        &maker,
        area(&[(true, sub::CREATED, &[1, 2, 3, 4]), (false, sub::ISSUER_FINGERPRINT, &issuer_of(&maker))]),
        b"",
    );
    let parse = |body: &[u8], unhashed: &[u8]| Signature::parse(&with_unhashed(body, unhashed)).map(drop);
    assert_eq!(parse(&with_hashed_id, &[]), Ok(()));
    assert_eq!(parse(&without, &id_area), Ok(()));
    for stuffed in [&area(&[(false, 100, b"x")])[..], &area(&[(false, sub::ISSUER, &[1; 8])]), &[0]] {
        assert_eq!(parse(&with_hashed_id, stuffed), Err(SignatureError::Unhashed));
        assert_eq!(parse(&without, stuffed), Err(SignatureError::Unhashed));
        assert_eq!(parse(&without, &[&id_area, stuffed].concat()), Err(SignatureError::Unhashed));
        assert_eq!(canonicalise(&with_unhashed(&with_hashed_id, stuffed)), Ok(with_hashed_id.clone()));
        assert_eq!(canonicalise(&with_unhashed(&without, stuffed)), Ok(with_unhashed(&without, &id_area)));
    }
    assert_eq!(parse(&with_hashed_id, &id_area), Err(SignatureError::Unhashed));
}

#[test]
fn critical_subpackets_must_be_understood() {
    let maker = maker();
    let parse = |critical: bool, tag: u8, data: &[u8], understood: &[u8]| {
        let issuer = issuer_of(&maker);
        let id = maker.public_key().fingerprint().key_id();
        let hashed = area(&[
            (true, sub::CREATED, &[1, 2, 3, 4]),
            (false, sub::ISSUER_FINGERPRINT, &issuer),
            (false, sub::ISSUER, &id),
            (critical, tag, data),
        ]);
        let body = raw(&maker, hashed, b"");
        let signature = Signature::parse(&body).expect("canonical");
        signature.understands_only(&[&[sub::CREATED], understood].concat())
    };
    assert_eq!(parse(true, 99, b"", &[]), Err(SignatureError::Critical(99)));
    assert_eq!(parse(false, 99, b"", &[]), Ok(()));
    assert_eq!(parse(true, 99, b"", &[99]), Ok(()));
    let mut notation = Vec::new();
    sub::write_notation(&mut notation, "a@b", b"", true);
    assert_eq!(
        parse(true, sub::NOTATION, &notation[2..], &[sub::NOTATION]),
        Err(SignatureError::Critical(sub::NOTATION))
    );
}

#[test]
fn what_has_no_place_is_refused_critical_or_not() {
    let maker = maker();
    let (issuer, id) = (issuer_of(&maker), maker.public_key().fingerprint().key_id());
    for critical in [true, false] {
        let hashed = area(&[
            (true, sub::CREATED, &[1, 2, 3, 4]),
            (false, sub::ISSUER_FINGERPRINT, &issuer),
            (false, sub::ISSUER, &id),
            (critical, sub::TRUST, &[1, 60]),
        ]);
        let body = raw(&maker, hashed, b"");
        let signature = Signature::parse(&body).expect("canonical");
        let refused = Err(SignatureError::NotAllowed(sub::TRUST));
        assert_eq!(signature.refuses(&[sub::REGULAR_EXPRESSION, sub::TRUST]), refused);
        assert_eq!(signature.refuses(&[sub::REGULAR_EXPRESSION]), Ok(()));
    }
}

#[test]
fn ecdsa_has_the_smaller_s() {
    // For a P-256 signature only the numbers matter here.
    let head = good(4);
    let head = &head[..head.len() - 68];
    let with = |r: &[u8], s: &[u8]| {
        let mut body = head.to_vec();
        body[2] = 19;
        write_mpi(&mut body, r);
        write_mpi(&mut body, s);
        body
    };
    let low = with(&[1; 32], &[1; 32]);
    assert!(Signature::parse(&low).is_ok());
    let mut high = [0xff; 32];
    high[31] = 0;
    high[4..8].fill(0);
    high[16..].fill(0);
    let high = with(&[1; 32], &high);
    assert_eq!(Signature::parse(&high), Err(SignatureError::HighS));
    let canonical = canonicalise(&high).expect("a signature");
    assert!(Signature::parse(&canonical).is_ok());
    assert_eq!(canonicalise(&with(&[1; 32], &[0xff; 32])), Err(SignatureError::HighS));
}

/// The size of the numbers shows the curve.
#[test]
fn the_smaller_s_is_that_of_the_curve() {
    let head = good(4);
    let head = &head[..head.len() - 68];
    let with = |s: &[u8]| {
        let mut body = head.to_vec();
        body[2] = 19;
        write_mpi(&mut body, &vec![1; s.len()]);
        write_mpi(&mut body, s);
        body
    };
    // More than half of the order of P-384, and of P-521.
    for high in [[[0xff; 24], [0; 24]].concat(), [&[1][..], &[0xff; 32], &[0; 33]].concat()] {
        assert_eq!(Signature::parse(&with(&high)), Err(SignatureError::HighS));
        let canonical = canonicalise(&with(&high)).expect("a signature");
        assert!(Signature::parse(&canonical).is_ok());
        assert_eq!(canonicalise(&canonical), Ok(canonical.clone()));
    }
}

/// Signatures of version 6 do not name their key by its id (RFC 9580, 5.2.3.12).
#[test]
fn a_key_id_fits_keys_of_version_4_only() {
    for version in [4, 6] {
        let [own, other] = [1, 2].map(|seed| signer(seed, version).public_key().fingerprint());
        let by_id = Issuer::KeyId(own.key_id());
        assert_eq!((by_id.fits(&own), by_id.fits(&other)), (version == 4, false));
        let by_fingerprint = Issuer::Fingerprint(own);
        assert_eq!((by_fingerprint.fits(&own), by_fingerprint.fits(&other)), (true, false));
        assert_eq!((by_id.key_id(), by_fingerprint.key_id()), (own.key_id(), own.key_id()));
    }
}

/// GnuPG before 2016 named only the key id: in version 4 that is enough if the signer is known from the context.
#[test]
fn an_expected_signer_need_not_be_named_by_fingerprint_in_version_4() {
    let time: (bool, u8, &[u8]) = (true, sub::CREATED, &[1, 2, 3, 4]);
    let (four, six) = (maker(), signer(1, 6));
    let fingerprints = [four.public_key().fingerprint(), six.public_key().fingerprint()];
    let id = fingerprints[0].key_id();
    let old = raw(&four, area(&[time, (false, sub::ISSUER, &id)]), b"");
    let missing = || Err(SignatureError::Missing("issuer's fingerprint"));
    assert_eq!(Signature::parse(&old).map(drop), missing());
    let read = Signature::parse_by(&old, Some(&fingerprints[0])).expect("it is known whose it is");
    assert_eq!(read.issuer, fingerprints[0]);
    assert_eq!(Signature::parse_by(&old, Some(&signer(2, 4).public_key().fingerprint())), Err(SignatureError::Issuer));
    assert_eq!(Signature::parse_by(&old, Some(&fingerprints[1])).map(drop), missing());
    let of_six = raw(&six, area(&[time]), b"");
    assert_eq!(Signature::parse_by(&of_six, Some(&fingerprints[1])).map(drop), missing());
    let beside =
        with_unhashed(&raw(&four, area(&[time]), b""), &area(&[(false, 100, b"x"), (false, sub::ISSUER, &id)]));
    assert_eq!(glance(&beside).expect("it says when and by whom").issuer, Issuer::KeyId(id));
}

/// Only a subkey binding may have the subkey's own signature beside the hashed area.
#[test]
fn what_is_embedded_stays_only_where_it_belongs() {
    let maker = maker();
    let mut embedded = Vec::new();
    sub::write(&mut embedded, false, sub::EMBEDDED_SIGNATURE, &good(4));
    for (kind, expected) in [(BINARY, &[][..]), (CERTIFICATION, &[]), (SUBKEY_BINDING, &embedded)] {
        let made = Draft::new(kind, &maker, at()).sign(&maker, Over::Document(b""), &SALT).expect("signed");
        let canonical = canonicalise(&with_unhashed(&made, &embedded));
        assert_eq!(canonical, Ok(with_unhashed(&made, expected)), "{kind:#04x}");
    }
    let draft = Draft::new(SUBKEY_BINDING, &maker, at()).with(sub::EMBEDDED_SIGNATURE, &good(4));
    let made = draft.sign(&maker, Over::Document(b""), &SALT).expect("signed");
    assert_eq!(canonicalise(&with_unhashed(&made, &embedded)), Ok(made), "it stands in the hashed area already");
}

#[test]
fn of_one_seed_each_signature_has_a_salt_of_its_own() {
    let salts: Vec<_> = (0..5).map(|index| derived_salt(&SALT, index)).collect();
    assert_eq!(salts[0], SALT);
    for (index, salt) in salts.iter().enumerate() {
        assert!(!salts[..index].contains(salt), "{index}");
        assert!(index == 0 || derived_salt(&[0xa9; 32], index) != *salt, "{index} hangs on the seed");
    }
}

/// A glance, which judges nothing, reports the same as reading does.
#[test]
fn a_glance_sees_what_a_signature_says_of_itself() {
    for version in [4, 6] {
        let body = good(version);
        let (glance, signature) = (glance(&body).expect("a signature"), Signature::parse(&body).expect("canonical"));
        assert_eq!(
            (glance.kind, glance.hash, glance.created),
            (signature.kind, signature.hash.id(), signature.created)
        );
        assert_eq!(glance.issuer, Issuer::Fingerprint(signature.issuer));
        assert!(glance.is_by(&signature.issuer) && !glance.is_by(&signer(2, version).public_key().fingerprint()));
        for other in [0, 3, 5, 7] {
            let refused = Err(SignatureError::Version(other));
            assert_eq!(super::glance(&[&[other], &body[1..]].concat()), refused);
        }
    }
}

#[test]
fn what_is_not_for_others_is_not_exportable() {
    let maker = maker();
    let cases: [(Option<&[u8]>, bool); 4] = [(None, false), (Some(&[1]), false), (Some(&[0]), true), (Some(&[]), true)];
    for (value, is_local) in cases {
        let draft = Draft::new(CERTIFICATION, &maker, at());
        let draft = value.into_iter().fold(draft, |draft, value| draft.with(sub::EXPORTABLE, value));
        let body = draft.sign(&maker, Over::Document(b"data"), &SALT).expect("signed");
        let expected = if is_local { Err(SignatureError::NotAllowed(sub::EXPORTABLE)) } else { Ok(()) };
        assert_eq!(Signature::parse(&body).expect("canonical").is_exportable(), expected, "{value:?}");
        assert_eq!(super::glance(&body).expect("a signature").is_exportable(), expected, "{value:?}");
    }
}

#[test]
fn short_numbers_are_padded() {
    // One in 128 Ed25519 signatures of version 4 has an R or S that is shorter as an MPI than 32 bytes.
    let maker = maker();
    let mut short = 0;
    for number in 0_u32..3000 {
        let body = Draft::new(BINARY, &maker, at())
            .sign(&maker, Over::Document(&number.to_be_bytes()), &SALT)
            .expect("signed");
        let signature = Signature::parse(&body).expect("canonical");
        let signed = signature.over(Over::Document(&number.to_be_bytes())).expect("this was signed");
        let RawSignature::Ed25519(value) = signed.value else { panic!("Ed25519") };
        if value[0] == 0 || value[32] == 0 {
            short += 1;
            assert_eq!(signed.verify(maker.public_key()), Ok(()));
        }
    }
    assert!((5..60).contains(&short), "{short} of 3000");
}

#[test]
fn faults_of_signature_and_key() {
    use crate::openpgp::verify::SignatureFault;
    let body = good(4);
    let signed = Signature::parse(&body).expect("canonical").over(Over::Document(b"data")).expect("signed");
    assert_eq!(signed.verify(signer(2, 4).public_key()), Err(SignatureFault::OtherKey));
    let mut other = signed.clone();
    other.algorithm = 19;
    assert_eq!(other.verify(maker().public_key()), Err(SignatureFault::Algorithm));
    let late = Ed25519Signer::from_seed(&[1; 32], 4, at().plus_millis(1000)).expect("a key");
    let mut early = signed.clone();
    early.issuer = late.public_key().fingerprint();
    assert_eq!(early.verify(late.public_key()), Err(SignatureFault::BeforeKey));
    let mut bad = signed;
    bad.digest[0] ^= 1;
    assert_eq!(bad.verify(maker().public_key()), Err(SignatureFault::Bad));
}

proptest! {
    #[test]
    fn no_bytes_make_trouble(bytes: Vec<u8>, version in prop::sample::select(vec![4_u8, 6])) {
        let _ = Signature::parse(&bytes);
        let body = [&[version, 0, 22, 8][..], &bytes].concat();
        let _ = Signature::parse(&body);
        if let Ok(canonical) = canonicalise(&body) {
            prop_assert_eq!(canonicalise(&canonical), Ok(canonical.clone()));
        }
    }
}
