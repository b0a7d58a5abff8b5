//! Bodies: each refusal by its type, and that no byte of a body can be chosen freely.

use proptest::prelude::*;

use super::*;
use crate::openpgp::signature::{BINARY, DIRECT_KEY, Draft, Over};
use crate::openpgp::signer::{Ed25519Signer, Signer as _};
use crate::statement::fixtures::{
    SALT, USER_ID, about_device, at, certificate_of, certification, claims, device, join, maker, signer, statement,
    unverified,
};
use crate::statement::{Claims, Group, make, notations, verify};
use crate::time::Timestamp;

fn refusal(bytes: &[u8]) -> BodyError {
    match parse(bytes) {
        Err(error) => error,
        Ok(body) => panic!("taken: {body:?}"),
    }
}

/// A certification of a type, with the claims of an introduction.
fn introduction(kind: u8) -> Draft {
    let members = super::super::members::write(&claims(Act::Identity), Some(crate::identity::Kind::Device));
    notations::write(Draft::new(kind, &maker(), at()), &members)
}

fn with_signature(draft: Draft) -> Vec<u8> {
    about_device(&[(packet::SIGNATURE, &certification(draft, &maker()))])
}

fn document() -> Vec<u8> {
    let subject =
        Subject::Group(Group { kind: crate::identity::Kind::Group, name: "lot 7".into(), attributes: [].into() });
    make::sign_document(&maker(), &subject, &claims(Act::Approval), at(), &SALT).expect("made")
}

fn message(json: &str) -> Vec<u8> {
    let signed =
        Draft::new(BINARY, &maker(), at()).sign(&maker(), Over::Document(json.as_bytes()), &SALT).expect("signed");
    message::write(json.as_bytes(), &[&signed]).expect("a message")
}

#[test]
fn the_smallest_statement_is_taken() {
    assert_eq!(unverified(&with_signature(introduction(CERTIFICATION))), unverified(&statement()));
}

#[test]
fn sequences() {
    let body = statement();
    let packets = packet::all(&body).expect("canonical");
    let [key, user_id, signature] = packets.as_slice() else { panic!("three packets") };
    assert_eq!(refusal(&[]), WireError::Truncated.into());
    assert_eq!(refusal(&body[..body.len() - 1]), WireError::Truncated.into());
    assert!(matches!(refusal(&[&body[..], &[0xc2, 0]].concat()), BodyError::Signature(_) | BodyError::Certificate(_)));
    for (tag, name) in [
        (8, "compressed data"),
        (1, "session key"),
        (3, "session key"),
        (5, "secret key"),
        (7, "secret key"),
        (9, "encrypted data"),
        (18, "encrypted data"),
        (20, "encrypted data"),
        (10, "marker"),
        (12, "trust"),
        (17, "user attribute"),
        (21, "padding"),
    ] {
        assert_eq!(refusal(&join(&[Packet { tag, body: b"x" }])), BodyError::Packet(name));
        let after = join(&[*key, *user_id, *signature, Packet { tag, body: b"x" }]);
        assert!(parse(&after).is_err(), "{name} behind a statement");
        let before = join(&[Packet { tag, body: b"x" }, *key, *user_id, *signature]);
        assert_eq!(refusal(&before), BodyError::Packet(name));
    }
    assert_eq!(refusal(&join(&[*signature])), BodyError::Sequence);
    assert_eq!(refusal(&join(&[*user_id, *signature])), BodyError::Sequence);
    for bytes in [
        join(&[*key]),
        join(&[*key, *user_id]),
        join(&[*key, *signature]),
        join(&[*key, *user_id, *signature, *signature, *signature]),
        join(&[*key, *user_id, *signature, *key, *user_id, *signature]),
    ] {
        assert!(matches!(refusal(&bytes), BodyError::Certificate(_)), "{bytes:02x?}");
    }
    assert_eq!(refusal(&join(&[*key, *user_id, *signature, *signature])), BodyError::SelfSignature);
    assert_eq!(refusal(&join(&[*key, *user_id, *user_id, *signature])), BodyError::Sequence);
    let unsigned = CertificateError::Unsigned("User ID");
    assert_eq!(refusal(&join(&[*key, *user_id, *user_id])), BodyError::Certificate(unsigned));
}

#[test]
fn user_ids() {
    let body = |user_id: &[u8]| {
        let signed = certification(introduction(CERTIFICATION), &maker());
        let mut bytes = device().public_key().to_packet();
        packet::write(&mut bytes, packet::USER_ID, user_id);
        packet::write(&mut bytes, packet::SIGNATURE, &signed);
        bytes
    };
    assert!(parse(&body(USER_ID.as_bytes())).is_ok());
    assert_eq!(refusal(&body(b"")), UserIdError::Length(0).into());
    assert_eq!(
        refusal(&body(&vec![b'x'; limits::USER_ID_BYTES + 1])),
        UserIdError::Length(limits::USER_ID_BYTES + 1).into()
    );
    assert_eq!(refusal(&body(b"\xff")), UserIdError::Utf8.into());
    assert_eq!(refusal(&body(b"a\nb")), UserIdError::Control("a\\nb".into()).into());
    assert_eq!(refusal(&body(b"another name")), SignatureError::Prefix.into());
}

#[test]
fn sizes() {
    let body = about_device(&[(
        packet::SIGNATURE,
        &certification(introduction(CERTIFICATION).with(100, &vec![0; 8000]), &maker()),
    )]);
    let found = body.len();
    assert_eq!(refusal(&body), BodyError::TooLong { what: "statement", max: limits::STATEMENT_BYTES, found });
    let found = limits::PERSON_CERTIFICATE_BYTES + 1;
    assert_eq!(
        refusal(&vec![0xc6; found]),
        BodyError::TooLong { what: "body", max: limits::PERSON_CERTIFICATE_BYTES, found }
    );
    let long = |length: usize| format!("{{\"statement\":\"{}\"}}", "x".repeat(length - 16));
    assert_eq!(refusal(&message(&long(limits::DOCUMENT_BYTES + 1))), {
        BodyError::TooLong { what: "document", max: limits::DOCUMENT_BYTES, found: limits::DOCUMENT_BYTES + 1 }
    });
    let long = |length: usize| format!("{{\"domain\":\"{}\"}}", "x".repeat(length - 13));
    assert!(matches!(parse(&message(&long(limits::DESCRIPTOR_BYTES))), Ok(Body::Descriptor(_))));
    assert_eq!(refusal(&message(&long(limits::DESCRIPTOR_BYTES + 1))), {
        BodyError::TooLong { what: "descriptor", max: limits::DESCRIPTOR_BYTES, found: limits::DESCRIPTOR_BYTES + 1 }
    });
}

#[test]
fn certifications() {
    for kind in [BINARY, 0x11, 0x12, 0x13, DIRECT_KEY, 0x40, 0x50] {
        assert_eq!(refusal(&with_signature(introduction(kind))), SignatureError::Kind(kind).into());
    }
    let revoking = || introduction(CERTIFICATION_REVOCATION);
    for (draft, error) in [
        (revoking(), SignatureError::Missing("reason for revocation")),
        (revoking().with(sub::REASON, &[32]), SignatureError::Malformed(sub::REASON)),
        (introduction(CERTIFICATION).with(sub::REASON, &[REASON_CODE]), SignatureError::NotAllowed(sub::REASON)),
        (introduction(CERTIFICATION).with(sub::REVOCABLE, &[0]), SignatureError::NotAllowed(sub::REVOCABLE)),
        (introduction(CERTIFICATION).with(sub::EXPORTABLE, &[0]), SignatureError::NotAllowed(sub::EXPORTABLE)),
        (introduction(CERTIFICATION).with(sub::SIGNATURE_EXPIRATION, &[0, 0, 1, 0]), SignatureError::NotAllowed(3)),
        (introduction(CERTIFICATION).with(sub::TRUST, &[1, 60]), SignatureError::NotAllowed(5)),
        (introduction(CERTIFICATION).with(sub::REGULAR_EXPRESSION, b"x\0"), SignatureError::NotAllowed(6)),
        (introduction(CERTIFICATION).with(sub::EMBEDDED_SIGNATURE, b""), SignatureError::NotAllowed(32)),
    ] {
        assert_eq!(refusal(&with_signature(draft)), error.into());
    }
    assert_eq!(
        refusal(&with_signature(revoking().with(sub::REASON, &[REASON_CODE]))),
        ClaimsError::Revokes { expected: CERTIFICATION }.into()
    );
    for harmless in [sub::POLICY_URI, sub::SIGNERS_USER_ID, 100] {
        assert!(parse(&with_signature(introduction(CERTIFICATION).with(harmless, b"x"))).is_ok());
    }
}

#[test]
fn blocking_statuses_revoke_and_only_they() {
    use crate::identity::Kind;
    let device = device();
    for (status, expected) in [("stolen", true), ("compromised", true), ("in-use", false), ("planned", false)] {
        let claims = Claims { status: status.parse().ok(), ..claims(Act::Status) };
        let make = |revokes| {
            make::certify(&maker(), device.public_key(), USER_ID, None, Kind::Device, &claims, revokes, at(), &SALT)
        };
        assert_eq!(unverified(&make(expected).expect("made")).revokes(), expected);
        let kind = if expected { CERTIFICATION_REVOCATION } else { CERTIFICATION };
        assert_eq!(make(!expected), Err(make::MakeError::Claims(ClaimsError::Revokes { expected: kind })));
    }
}

#[test]
fn notations() {
    let with = |name: &str, value: &[u8], human_readable: bool| {
        parse(&with_signature(introduction(CERTIFICATION).with_notation(name, value, human_readable)))
    };
    let value = |member, why: &str| Err(ClaimsError::Value { member, why: why.into() }.into());
    assert_eq!(with("act@cm4it.example", b"identity", true), Err(ClaimsError::Repeated("act").into()));
    assert_eq!(with("colour@cm4it.example", b"red", true), Err(ClaimsError::Unknown("colour".into()).into()));
    assert_eq!(with("@cm4it.example", b"red", true), Err(ClaimsError::Unknown(String::new()).into()));
    assert!(with("colour@elsewhere.example", b"red", true).is_ok());
    assert!(with("colour", b"red", true).is_ok());
    assert!(with("acted", b"identity", true).is_ok());
    let flags = "the flags of the notation are not those of its type";
    assert_eq!(with("model@cm4it.example", b"T", false), value("model", flags));
    assert_eq!(with("supersedes@cm4it.example", &[0; 32], true), value("supersedes", flags));
    assert_eq!(with("supersedes@cm4it.example", &[0; 31], false), value("supersedes", "a statement id takes 32 bytes"));
    assert_eq!(with("model@cm4it.example", b"\xff", true), value("model", "the text is not UTF-8"));
    for name in ["model", "model@cm4it.example"] {
        let Ok(Body::Statement(statement)) = with(name, b"T-1000", true) else { panic!("{name}") };
        assert_eq!(statement.claims().attributes.values().collect::<Vec<_>>(), ["T-1000"]);
    }
    let both =
        introduction(CERTIFICATION).with_notation("model", b"T", true).with_notation("model@cm4it.example", b"T", true);
    assert_eq!(refusal(&with_signature(both)), ClaimsError::Repeated("model").into());
    let many = (0..=limits::NOTATIONS).fold(introduction(CERTIFICATION), |draft, n| {
        draft.with_notation(&format!("n{n}@elsewhere.example"), b"", true)
    });
    assert_eq!(refusal(&with_signature(many)), ClaimsError::TooMany(limits::NOTATIONS + 5).into());
}

#[test]
fn self_signatures() {
    use crate::identity::Kind;
    use crate::openpgp::verify::SignatureFault;
    use crate::statement::VerifyError;
    let (maker, device) = (maker(), device());
    let certificate = certificate_of(&maker);
    let own = make::self_sign(&device, USER_ID, at(), &SALT).expect("made");
    let with = |own: &[u8]| {
        let claims = claims(Act::Identity);
        make::certify(&maker, device.public_key(), USER_ID, Some(own), Kind::Device, &claims, false, at(), &SALT)
            .expect("made")
    };
    let refused = |own: &[u8]| {
        let claims = claims(Act::Identity);
        make::certify(&maker, device.public_key(), USER_ID, Some(own), Kind::Device, &claims, false, at(), &SALT)
            .expect_err("refused")
    };
    let good = unverified(&with(&own));
    assert_eq!(good.id(), unverified(&statement()).id(), "the id is that of the signer's statement");
    assert!(verify(good, &certificate, at()).is_ok());
    let mut bad = own.clone();
    *bad.last_mut().expect("bytes") ^= 1;
    let verified = verify(unverified(&with(&bad)), &certificate, at());
    assert_eq!(verified, Err(VerifyError::SelfSignature(SignatureFault::Bad)));
    let later = at().plus_millis(limits::CLOCK_SKEW_MILLIS + 1000);
    let future = make::self_sign(&device, USER_ID, later, &SALT).expect("made");
    let verified = verify(unverified(&with(&future)), &certificate, at());
    assert_eq!(verified, Err(VerifyError::Future { signed_at: later, at: at() }));
    let other = make::self_sign(&signer(55, 4), USER_ID, at(), &SALT).expect("made");
    assert_eq!(refused(&other), make::MakeError::Body(BodyError::SelfSignature));
    let mut attribute = Vec::new();
    packet::write(&mut attribute, packet::USER_ATTRIBUTE, b"x");
    assert_eq!(refused(&attribute), make::MakeError::Body(BodyError::Sequence));
}

#[test]
fn messages() {
    let body = document();
    let packets = packet::all(&body).expect("canonical");
    let [one_pass, literal, signature] = packets.as_slice() else { panic!("three packets") };
    assert!(matches!(parse(&body), Ok(Body::Statement(_))));
    for bytes in [
        join(&[*one_pass, *signature]),
        join(&[*one_pass, *literal]),
        join(&[*one_pass, *signature, *literal]),
        join(&[*one_pass, *literal, *signature, *signature]),
        join(&[*one_pass, *one_pass, *literal, *signature]),
        join(&[*one_pass, Packet { tag: 8, body: literal.body }, *signature]),
        join(&[*one_pass]),
    ] {
        assert_eq!(refusal(&bytes), BodyError::Sequence);
    }
    for (at, byte) in [(0, b't'), (0, b'u'), (5, 1)] {
        let mut other = literal.body.to_vec();
        other[at] = byte;
        let bytes = join(&[*one_pass, Packet { tag: packet::LITERAL, body: &other }, *signature]);
        assert_eq!(refusal(&bytes), BodyError::Literal);
    }
    let named = [&[b'b', 1, b'x', 0, 0, 0, 0], &literal.body[6..]].concat();
    assert_eq!(
        refusal(&join(&[*one_pass, Packet { tag: packet::LITERAL, body: &named }, *signature])),
        BodyError::Literal
    );
    for at in 0..one_pass.body.len() {
        let mut other = one_pass.body.to_vec();
        other[at] ^= 1;
        let bytes = join(&[Packet { tag: packet::ONE_PASS, body: &other }, *literal, *signature]);
        assert_eq!(refusal(&bytes), BodyError::OnePass, "octet {at}");
    }
}

#[test]
fn signatures_over_documents() {
    let json = "{\"domain\":\"a\"}";
    let with = |draft: Draft| {
        let signed = draft.sign(&maker(), Over::Document(json.as_bytes()), &SALT).expect("signed");
        parse(&message::write(json.as_bytes(), &[&signed]).expect("a message")).map(drop)
    };
    let new = |kind| Draft::new(kind, &maker(), at());
    assert_eq!(with(new(BINARY)), Ok(()));
    assert_eq!(with(new(1)), Err(SignatureError::Kind(1).into()));
    assert_eq!(with(new(CERTIFICATION)), Err(SignatureError::Kind(CERTIFICATION).into()));
    for tag in [sub::SIGNATURE_EXPIRATION, sub::EMBEDDED_SIGNATURE] {
        assert_eq!(with(new(BINARY).with(tag, &[0, 0, 1, 0])), Err(SignatureError::NotAllowed(tag).into()));
    }
    let ours = new(BINARY).with_notation("status@cm4it.example", b"released", true);
    assert_eq!(with(ours), Err(SignatureError::NotAllowed(sub::NOTATION).into()));
    assert_eq!(with(new(BINARY).with_notation("x@elsewhere.example", b"", true)), Ok(()));
}

#[test]
fn who_signs_together() {
    let json = "{\"domain\":\"a\"}";
    let signed = |signer: &Ed25519Signer, seconds: u64| {
        let at = Timestamp::from_seconds(at().as_seconds() + seconds);
        Draft::new(BINARY, signer, at).sign(signer, Over::Document(json.as_bytes()), &SALT).expect("signed")
    };
    let (one, two, six) = (signer(1, 4), signer(2, 4), signer(3, 6));
    let together = |signatures: &[&[u8]]| parse(&message::write(json.as_bytes(), signatures).expect("a message"));
    let Ok(Body::Descriptor(descriptor)) = together(&[&signed(&one, 0), &signed(&two, 5)]) else { panic!("taken") };
    let keys = [one.public_key().clone(), two.public_key().clone(), six.public_key().clone()];
    assert_eq!(descriptor.verified_by(&keys), keys[..2].iter().map(PublicKey::fingerprint).collect());
    assert_eq!(descriptor.verified_by(&keys[1..]), [two.public_key().fingerprint()].into());
    assert_eq!(descriptor.verified_by(&[keys[1].clone(), keys[1].clone()]).len(), 1);
    assert_eq!(descriptor.signed_at(), at().plus_millis(5000));
    assert_eq!(
        together(&[&signed(&one, 0), &signed(&one, 1)]),
        Err(BodyError::SameIssuer(one.public_key().fingerprint()))
    );
    assert_eq!(together(&[&signed(&one, 0), &signed(&six, 0)]), Err(BodyError::MixedVersions));
    let many: Vec<_> = (0..=limits::DESCRIPTOR_SIGNATURES).map(|n| signed(&signer(n as u8, 4), 0)).collect();
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(together(&many), Err(BodyError::Signatures(limits::DESCRIPTOR_SIGNATURES + 1)));
    assert!(together(&many[1..]).is_ok());
}

#[test]
fn a_bad_signature_beside_a_good_one_is_not_counted() {
    let (one, two) = (signer(1, 4), signer(2, 4));
    let mut body = make::sign_descriptor(&[&one, &two], b"{\"domain\":\"a\"}", at(), &SALT).expect("made");
    *body.last_mut().expect("bytes") ^= 1;
    let Ok(Body::Descriptor(descriptor)) = parse(&body) else { panic!("taken") };
    let keys = [one.public_key().clone(), two.public_key().clone()];
    assert_eq!(descriptor.verified_by(&keys), [one.public_key().fingerprint()].into());
}

#[test]
fn documents() {
    for (json, error) in [
        ("{\"statement\": {}}", BodyError::Json(JsonError::NotCanonical(13))),
        ("{\"statement\":{},\"statement\":{}}", BodyError::Json(JsonError::NotCanonical(15))),
        ("{\"statement\":{}}", ClaimsError::Missing("subject").into()),
        ("{\"more\":1,\"statement\":{},\"subject\":{}}", ClaimsError::Unknown("more".into()).into()),
        ("{\"statement\":{},\"subject\":{}}", ClaimsError::Missing("kind").into()),
        (
            "{\"statement\":{},\"subject\":{\"kind\":\"device\"}}",
            ClaimsError::Form(crate::identity::Kind::Device).into(),
        ),
        ("{\"statement\":{},\"subject\":{\"kind\":\"group\",\"name\":\"a\"}}", ClaimsError::Missing("act").into()),
        ("{\"statement\":[],\"subject\":{\"kind\":\"group\",\"name\":\"a\"}}", {
            ClaimsError::Json(JsonError::Shape("`statement` is an object".into())).into()
        }),
        ("{\"statement\":{\"act\":[\"approval\"]},\"subject\":{\"kind\":\"group\",\"name\":\"a\"}}", {
            ClaimsError::Json(JsonError::Shape("`act` is a text".into())).into()
        }),
        ("{\"statement\":{\"supersedes\":[]},\"subject\":{\"kind\":\"group\",\"name\":\"a\"}}", {
            ClaimsError::Json(JsonError::Shape("`supersedes` is an array of at least one text".into())).into()
        }),
        ("{\"statement\":{\"colour\":\"red\"},\"subject\":{\"kind\":\"group\",\"name\":\"a\"}}", {
            ClaimsError::Unknown("colour".into()).into()
        }),
    ] {
        assert_eq!(refusal(&message(json)), error, "{json}");
    }
    assert!(matches!(refusal(&message("{\"erasure\":{}}")), BodyError::Json(JsonError::Shape(_))));
    assert!(matches!(parse(&message("{\"domain\":\"a\"}")), Ok(Body::Descriptor(_))));
}

#[test]
fn erasures() {
    use crate::statement::{Erasure, StatementId};
    let domain = "devices.acme.example".parse().expect("a domain");
    let effect = Some(crate::vocabulary::Effect::Blocks);
    let erasure = Erasure { effect, ..Erasure::new(domain, StatementId([5; 32])) };
    let json = erasure.to_json().expect("canonical");
    let body = make::sign_descriptor(&[&maker()], &json, at(), &SALT).expect("made");
    let Ok(Body::Erasure(signed)) = parse(&body) else { panic!("an erasure") };
    assert_eq!(signed.erasure, erasure);
    assert_eq!(signed.verified_by(&[maker().public_key().clone()]).len(), 1);
}

#[test]
fn a_document_has_one_signer() {
    let body = document();
    let (json, _) = message::detached(&body).expect("a message");
    let two = make::sign_descriptor(&[&signer(1, 4), &signer(2, 4)], json, at(), &SALT).expect("made");
    assert_eq!(refusal(&two), BodyError::Signatures(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_byte_of_a_body_is_free(which in 0..3_usize, place: prop::sample::Index, bit in 0..8) {
        let own = make::self_sign(&device(), USER_ID, at(), &SALT).expect("made");
        let with_own = make::certify(
            &maker(), device().public_key(), USER_ID, Some(&own), crate::identity::Kind::Device,
            &claims(Act::Identity), false, at(), &SALT,
        ).expect("made");
        let mut body = [statement(), document(), with_own][which].clone();
        let place = place.index(body.len());
        body[place] ^= 1_u8 << bit;
        if let Ok(Body::Statement(changed)) = parse(&body) {
            let certificate = certificate_of(&maker());
            prop_assert!(verify((*changed).clone(), &certificate, at()).is_err());
            let batch = crate::statement::verify_batch(vec![(changed, &certificate, at())], [1; 32]);
            prop_assert!(batch.iter().all(Result::is_err));
        }
    }

    #[test]
    fn no_bytes_make_trouble(bytes: Vec<u8>, tag in 0..64_u8) {
        let _ = parse(&bytes);
        let mut framed = Vec::new();
        packet::write(&mut framed, tag, &bytes);
        let _ = parse(&framed);
        let _ = crate::statement::split(&framed);
        let _ = crate::statement::split(&bytes);
    }
}
