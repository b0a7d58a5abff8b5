//! Whatever legal OpenPGP arrives becomes the same canonical bodies.

use ics_core::identity::Kind;
use ics_core::openpgp::reader::WireError;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::{BodyError, Claims, LeftOut, detached, make, split};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use proptest::prelude::*;

use crate::common::{SALT, at, bare_certificate, claims, device, ecdsa, ed25519, subject, unverified};

const USER_ID: &str = "urn:dev:os:32473-1";

fn later(seconds: u64) -> Timestamp {
    at().plus_millis(seconds * 1000)
}

/// What signer `seed` says of the device at a second.
fn statement(seed: u8, own: Option<&[u8]>, claims: &Claims, seconds: u64) -> Vec<u8> {
    let device = device(1);
    let (signer, at) = (ed25519(seed, 4), later(seconds));
    make::certify(&signer, device.public_key(), USER_ID, own, Kind::Device, claims, false, at, &SALT).expect("made")
}

/// The packets of canonical bytes: type and content.
fn packets(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut packets = Vec::new();
    while let [tag, rest @ ..] = bytes {
        let (length, rest) = match rest {
            [first @ 0..192, rest @ ..] => (usize::from(*first), rest),
            [255, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, rest),
            [first, second, rest @ ..] => (((usize::from(*first) - 192) << 8) + usize::from(*second) + 192, rest),
            _ => panic!("not canonical"),
        };
        packets.push((tag & 0x3f, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    packets
}

/// One packet in another framing.
fn framed(way: u8, tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    let mut bytes = match way % 4 {
        0 => [&[0xc0 | tag, 255][..], &length.to_be_bytes()].concat(),
        1 if tag < 16 => [&[0x80 | tag << 2 | 2][..], &length.to_be_bytes()].concat(),
        2 if tag < 16 => [&[0x80 | tag << 2 | 1][..], &(length as u16).to_be_bytes()].concat(),
        // Partial lengths: all single bytes, and none at the end.
        3 => {
            let mut bytes = vec![0xc0 | tag];
            body.iter().for_each(|byte| bytes.extend([224, *byte]));
            bytes.push(0);
            return bytes;
        }
        _ => [&[0xc0 | tag, 255][..], &length.to_be_bytes()].concat(),
    };
    bytes.extend_from_slice(body);
    bytes
}

/// A version 4 signature with something in its unhashed area.
fn stuffed(body: &[u8], with: &[u8]) -> Vec<u8> {
    let hashed = usize::from(body[4]) << 8 | usize::from(body[5]);
    let (head, rest) = body.split_at(6 + hashed);
    let mut area = vec![with.len() as u8 + 1, 100];
    area.extend_from_slice(with);
    [head, &(area.len() as u16).to_be_bytes(), &area, &rest[2..]].concat()
}

#[test]
fn canonical_bodies_stay_as_they_are() {
    let signer = ed25519(1, 4);
    let own = make::self_sign(&device(1), USER_ID, at(), &SALT).expect("made");
    let bodies = [
        statement(1, None, &claims(Act::Identity), 0),
        statement(1, Some(&own), &claims(Act::Identity), 0),
        bare_certificate(&signer, "Acme <a@acme.example>"),
        bare_certificate(&ed25519(1, 6), "Acme <a@acme.example>"),
        make::sign_document(&signer, &subject(Kind::Group), &claims(Act::Approval), at(), &SALT).expect("made"),
        make::sign_descriptor(&[&signer, &ed25519(2, 4)], b"{\"domain\":\"a\"}", at(), &SALT).expect("made"),
    ];
    for body in &bodies {
        assert_eq!(split(body).expect("canonical").bodies, std::slice::from_ref(body));
    }
    let all = split(&bodies.concat()).expect("one behind the other");
    assert_eq!(all.bodies, bodies);
    assert_eq!((all.left_out.len(), all.refused.len()), (0, 0));
}

/// Bodies take key, User ID or document with them: what makes them too large together is refused before it is made.
#[test]
fn a_small_upload_does_not_become_a_large_one() {
    let signature = |body: &[u8]| framed(0, 2, &packets(body).pop().expect("a signature").1);
    let document = format!("{{\"statement\":\"{}\"}}", "a".repeat(1 << 20));
    let literal = framed(0, 11, &[b"b\0\0\0\0\0", document.as_bytes()].concat());
    let said = make::sign_document(&ed25519(1, 4), &subject(Kind::Group), &claims(Act::Approval), at(), &SALT);
    let signed = signature(&said.expect("made"));
    let message = |count| [framed(0, 4, &[3]).repeat(count), literal.clone(), signed.repeat(count)].concat();
    let refused = split(&message(40)).expect_err("too large");
    assert!(matches!(refused, BodyError::TooLong { max, .. } if max == ics_core::limits::SPLIT_BYTES), "{refused}");
    let short = [framed(0, 4, &[3]).repeat(33), framed(0, 11, b"b\0\0\0\0\0{}"), signed.repeat(33)].concat();
    assert_eq!(split(&short), Err(BodyError::Signatures(33)));
    let device = device(1);
    let user_id = framed(0, 13, &vec![b'x'; 1 << 20]);
    let key = framed(0, 6, &device.public_key().to_packet()[2..]);
    // The same signature counts once.
    let different: Vec<u8> =
        (0..60_u8).flat_map(|second| signature(&statement(1, None, &claims(Act::Identity), second.into()))).collect();
    let refused = split(&[key.clone(), user_id, different].concat()).expect_err("too large");
    assert!(matches!(refused, BodyError::TooLong { max, .. } if max == ics_core::limits::SPLIT_BYTES), "{refused}");
    let own = signature(&bare_certificate(&device, USER_ID));
    let short = framed(0, 13, USER_ID.as_bytes());
    let many = [key, short, own.repeat(ics_core::limits::CERTIFICATE_SIGNATURES + 1)].concat();
    assert!(split(&many).expect_err("nobody verifies so many").to_string().contains("self-signatures at most"));
}

/// An empty packet takes two bytes, and dozens of times as many once it is read.
#[test]
fn an_upload_has_no_more_packets_than_it_may_have() {
    let body = statement(1, None, &claims(Act::Identity), 0);
    let most = ics_core::limits::BATCH_PACKETS - packets(&body).len();
    let with_markers = |count: usize| [body.clone(), [0xca, 0].repeat(count)].concat();
    assert_eq!(split(&with_markers(most)).expect("as many as it may have").bodies, std::slice::from_ref(&body));
    assert_eq!(split(&with_markers(most + 1)), Err(WireError::TooMany.into()));
}

#[test]
fn armor_in_one_and_in_several_blocks() {
    use std::io::Write as _;
    let bodies = [statement(1, None, &claims(Act::Identity), 0), statement(2, None, &claims(Act::Approval), 1)];
    let armored = |bytes: &[u8]| {
        let mut writer =
            sequoia_openpgp::armor::Writer::new(Vec::new(), sequoia_openpgp::armor::Kind::PublicKey).expect("a writer");
        writer.write_all(bytes).expect("written");
        writer.finalize().expect("finished")
    };
    assert_eq!(split(&armored(&bodies.concat())).expect("armored").bodies, bodies);
    let two = [armored(&bodies[0]), b"\n".to_vec(), armored(&bodies[1])].concat();
    assert_eq!(split(&two).expect("two blocks").bodies, bodies);
    for text in [
        "",
        "hello",
        "-----BEGIN PGP SIGNED MESSAGE-----\n\nx",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nx",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ] {
        assert!(split(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(split(b"hello"), Err(BodyError::Armor));
}

#[test]
fn a_whole_certificate_becomes_a_body_for_its_holder_and_one_for_each_statement() {
    let device = device(1);
    let own = bare_certificate(&device, USER_ID);
    let own_signature = packets(&own).pop().expect("a signature").1;
    let mut whole = own.clone();
    let says = [statement(1, None, &claims(Act::Identity), 0), statement(2, None, &claims(Act::Approval), 1)];
    for body in &says {
        let (_, signature) = packets(body).pop().expect("a signature");
        whole.extend(framed(0, 2, &stuffed(&signature, b"keyserver")));
    }
    // A certification that is nobody's statement.
    let mut builder = sequoia_openpgp::packet::signature::SignatureBuilder::new(
        sequoia_openpgp::types::SignatureType::GenericCertification,
    );
    builder = builder.set_hash_algo(sequoia_openpgp::types::HashAlgorithm::SHA512);
    let key: sequoia_openpgp::packet::Key<_, sequoia_openpgp::packet::key::UnspecifiedRole> =
        sequoia_openpgp::packet::key::Key4::generate_ecc(true, sequoia_openpgp::types::Curve::Ed25519)
            .expect("a key")
            .into();
    let mut pair = key.into_keypair().expect("not encrypted");
    use sequoia_openpgp::parse::Parse as _;
    use sequoia_openpgp::serialize::SerializeInto as _;
    let cert = sequoia_openpgp::Cert::from_bytes(&own).expect("a certificate");
    let foreign =
        builder.sign_userid_binding(&mut pair, Some(cert.primary_key().key()), &USER_ID.into()).expect("signed");
    whole.extend(sequoia_openpgp::Packet::from(foreign).to_vec().expect("serialized"));

    let result = split(&whole).expect("a certificate");
    assert_eq!((result.bodies.len(), result.left_out.len(), result.refused.len()), (4, 0, 0));
    assert_eq!(result.bodies[0], own);
    for (body, said) in result.bodies[1..3].iter().zip(&says) {
        assert_eq!(unverified(body).id(), unverified(said).id());
        assert_eq!(packets(body)[2].1, own_signature, "the device's own signature comes along");
    }
}

/// Keyrings of twenty years hold such.
#[test]
fn a_self_signature_that_is_not_good_is_left_out_and_the_rest_stays() {
    let certificate = bare_certificate(&ed25519(1, 4), "Acme <a@acme.example>");
    let (tag, mut signature) = packets(&certificate).pop().expect("a signature");
    *signature.last_mut().expect("not empty") ^= 1;
    let result = split(&[&certificate[..], &framed(0, tag, &signature)].concat()).expect("a certificate");
    assert_eq!(result.bodies, [certificate]);
    assert_eq!(
        (result.left_out.into_iter().collect::<Vec<_>>(), result.refused),
        (vec![(LeftOut::OwnSignature, 1)], vec![])
    );
}

#[test]
fn a_document_of_two_signers_becomes_two() {
    let (one, two) = (ed25519(1, 4), ed25519(2, 4));
    let first = make::sign_document(&one, &subject(Kind::Software), &claims(Act::Approval), at(), &SALT).expect("made");
    let (json, _) = detached(&first).expect("a message");
    let both = make::sign_descriptor(&[&one, &two], json, at(), &SALT).expect("made");
    let result = split(&both).expect("a message");
    assert_eq!(result.bodies.len(), 2);
    assert_eq!(result.bodies[0], first);
    assert_eq!(unverified(&result.bodies[1]).issuer(), two.public_key().fingerprint());
}

#[test]
fn what_has_no_place_is_refused_by_name() {
    let body = statement(1, None, &claims(Act::Identity), 0);
    for (tag, name) in
        [(5, "secret key"), (7, "secret key"), (8, "compressed data"), (18, "encrypted data"), (1, "session key")]
    {
        assert_eq!(split(&[&body[..], &framed(0, tag, b"x")].concat()), Err(BodyError::Packet(name)));
    }
    assert_eq!(split(&[]), Err(WireError::Truncated.into()));
    assert_eq!(split(&[0xcd, 1, b'x']), Err(BodyError::Sequence));
    let (_, signature) = packets(&body).pop().expect("a signature");
    assert_eq!(split(&framed(0, 2, &signature)), Err(BodyError::Sequence), "a signature without what it signs");
    let marked = [framed(0, 10, b"PGP"), body.clone(), framed(0, 12, b"\x01\x02"), framed(0, 21, &[0; 9])].concat();
    assert_eq!(split(&marked).expect("marker, trust and padding are nothing").bodies, [body]);
}

#[test]
fn what_is_wrong_with_the_only_statement_is_said() {
    let body = statement(1, None, &claims(Act::Identity), 0);
    let (_, mut signature) = packets(&body).pop().expect("a signature");
    signature[3] = 2;
    let start: Vec<u8> = packets(&body)[..2].iter().flat_map(|(tag, body)| framed(0, *tag, body)).collect();
    let error = split(&[start, framed(0, 2, &signature)].concat()).expect_err("SHA-1");
    assert!(error.to_string().contains("SHA-1"), "{error}");
}

#[test]
fn the_other_s_of_ecdsa_is_the_same_statement() {
    let signer = ecdsa(sequoia_openpgp::types::Curve::NistP256, 4);
    let device = device(1);
    let body = make::certify(
        &signer,
        device.public_key(),
        USER_ID,
        None,
        Kind::Device,
        &claims(Act::Identity),
        false,
        at(),
        &SALT,
    )
    .expect("made");
    let mut parts = packets(&body);
    let (_, signature) = parts.pop().expect("a signature");
    let s_at = signature.len() - 34;
    if signature[s_at..s_at + 2] != [0, 0xff] && signature[s_at..s_at + 2] != [1, 0] {
        // A short s, once in hundreds: this test is about the usual ones.
        return;
    }
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut borrow = 0_i16;
    let mut high: Vec<u8> = order
        .iter()
        .zip(&signature[s_at + 2..])
        .rev()
        .map(|(n, s)| {
            let digit = i16::from(*n) - i16::from(*s) - borrow;
            borrow = i16::from(digit < 0);
            digit.rem_euclid(256) as u8
        })
        .collect();
    high.reverse();
    let bits = (256 - high[0].leading_zeros() as usize).max(1) as u16;
    let other = [&signature[..s_at], &bits.to_be_bytes(), &high[..]].concat();
    let start: Vec<u8> = parts.iter().flat_map(|(tag, body)| framed(0, *tag, body)).collect();
    assert_eq!(split(&[start, framed(0, 2, &other)].concat()).expect("a statement").bodies, [body]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_wrapping_makes_a_new_statement(
        ways in prop::collection::vec(0..4_u8, 8),
        unhashed in prop::collection::vec(any::<u8>(), 0..40),
        literal_name in "[a-z]{0,8}",
        date: u32,
        as_document: bool,
    ) {
        let signer = ed25519(1, 4);
        let body = if as_document {
            make::sign_document(&signer, &subject(Kind::Software), &claims(Act::Approval), at(), &SALT).expect("made")
        } else {
            statement(1, None, &claims(Act::Identity), 0)
        };
        let mut wrapped = Vec::new();
        for ((tag, content), way) in packets(&body).into_iter().zip(ways) {
            let content = match tag {
                2 => stuffed(&content, &unhashed),
                11 => {
                    let name = [&[b'b', literal_name.len() as u8], literal_name.as_bytes(), &date.to_be_bytes()].concat();
                    [&name, &content[6..]].concat()
                }
                _ => content,
            };
            wrapped.extend(framed(way, tag, &content));
        }
        prop_assert!(wrapped == body || ics_core::statement::parse(&wrapped).is_err(), "only one form is canonical");
        prop_assert_eq!(split(&wrapped).expect("legal").bodies, [body]);
    }
}
