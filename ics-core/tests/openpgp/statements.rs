//! Statements made, read and verified.

use std::collections::BTreeMap;

use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::limits;
use ics_core::name::Name;
use ics_core::openpgp::certificate::{KeyRefusal, Purpose};
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Ed25519Signer, Signer, SignerError, verified};
use ics_core::openpgp::verify::SignatureFault;
use ics_core::statement::{
    Claims, Draft, DraftSubject, Grant, Group, Software, StatementId, Subject, VerifyError, make, openpgp_view, verify,
    verify_batch,
};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::common::{
    SALT, at, certificate, claims, created, device, ed25519, sample_claims, signers, subject, unverified,
};

const USER_ID: &str = "urn:dev:os:32473-1";

/// The body of claims about a device, or about a piece of software or a group.
fn body(signer: &dyn Signer, kind: Kind, claims: &Claims, at: Timestamp) -> Vec<u8> {
    let revokes = claims.revokes(kind).unwrap_or(false);
    let made = if kind.has_key() {
        make::certify(signer, device(1).public_key(), USER_ID, None, kind, claims, revokes, at, &SALT)
    } else {
        make::sign_document(signer, &subject(kind), claims, at, &SALT)
    };
    made.unwrap_or_else(|error| panic!("{claims:?}: {error}"))
}

#[test]
fn statements_of_every_act_by_every_sort_of_signer() {
    for signer in signers() {
        let certificate = certificate(signer);
        for (kind, claims) in sample_claims() {
            let statement = unverified(&body(signer, kind, &claims, at()));
            assert_eq!(statement.claims(), &claims);
            assert_eq!(statement.revokes(), claims.revokes(kind).unwrap_or(false));
            assert_eq!(statement.subject().kind(), kind);
            assert_eq!((statement.issuer(), statement.signed_at()), (signer.public_key().fingerprint(), at()));
            let id = statement.id();
            let single = verify(statement.clone(), &certificate, at()).expect("good");
            let batch = verify_batch(vec![(Box::new(statement), &certificate, at())], [1; 32]);
            assert_eq!(batch, [Ok(Box::new(single.clone()))]);
            assert_eq!((single.id(), single.signer()), (id, signer.public_key().fingerprint()));
        }
    }
}

#[test]
fn making_twice_makes_the_same() {
    for version in [4, 6] {
        let signer = ed25519(1, version);
        for (kind, claims) in sample_claims() {
            assert_eq!(body(&signer, kind, &claims, at()), body(&signer, kind, &claims, at()));
        }
    }
}

#[test]
fn the_id_is_that_of_what_is_signed() {
    let (signer, kind) = (ed25519(1, 6), Kind::Software);
    let make = |salt: &[u8; 32]| {
        let body = make::sign_document(&signer, &subject(kind), &claims(Act::Approval), at(), salt).expect("made");
        unverified(&body).id()
    };
    assert_eq!(make(&[1; 32]), make(&[1; 32]));
    assert_ne!(make(&[1; 32]), make(&[2; 32]), "the salt is part of what is signed");
    // ECDSA draws nonces: two signatures, one statement.
    let signer = crate::common::ecdsa(sequoia_openpgp::types::Curve::NistP256, 4);
    let bodies = [0, 1].map(|_| body(&signer, kind, &claims(Act::Approval), at()));
    assert_ne!(bodies[0], bodies[1]);
    assert_eq!(unverified(&bodies[0]).id(), unverified(&bodies[1]).id());
}

#[test]
fn times_and_keys() {
    let signer = ed25519(1, 4);
    let certificate = certificate(&signer);
    let made_at = |at| unverified(&body(&signer, Kind::Device, &claims(Act::Approval), at));
    let skew = limits::CLOCK_SKEW_MILLIS;
    assert!(verify(made_at(at().plus_millis(skew)), &certificate, at()).is_ok());
    let late = at().plus_millis(skew + 1000);
    assert_eq!(verify(made_at(late), &certificate, at()), Err(VerifyError::Future { signed_at: late, at: at() }));
    let early = Timestamp::from_seconds(created().as_seconds() - 1);
    assert_eq!(verify(made_at(early), &certificate, at()), Err(SignatureFault::BeforeKey.into()));
    let fingerprint = signer.public_key().fingerprint();
    let before = Timestamp::from_millis(created().as_millis() - skew - 1);
    let not_yet = Err(VerifyError::Key(KeyRefusal::NotYet(fingerprint)));
    assert_eq!(verify(made_at(early), &certificate, before), not_yet);
    let other = crate::common::certificate(&ed25519(2, 4));
    assert_eq!(verify(made_at(at()), &other, at()), Err(VerifyError::Key(KeyRefusal::Unknown(fingerprint))));
    assert_eq!(made_at(at()).purpose(), Purpose::Certify);
    let document = unverified(&body(&signer, Kind::Group, &claims(Act::Approval), at()));
    assert_eq!(document.purpose(), Purpose::Sign);
}

/// An approval of a device, with a self-signature of its own if there is one, or of a group.
fn draft(kind: Kind, self_signature: Option<Vec<u8>>) -> Draft {
    let subject = if kind.has_key() {
        let key = Box::new(device(1).public_key().clone());
        DraftSubject::Key { key, kind, user_id: USER_ID.to_owned(), self_signature, revokes: false }
    } else {
        DraftSubject::Document(subject(kind))
    };
    Draft { subject, claims: claims(Act::Approval) }
}

#[test]
fn what_is_signed_here_is_judged_as_if_it_had_come_from_elsewhere() {
    let (first, second) = (ed25519(1, 4), ed25519(1, 6));
    let third = crate::common::ecdsa(sequoia_openpgp::types::Curve::NistP256, 4);
    let other = certificate(&ed25519(2, 4));
    let early = Timestamp::from_seconds(created().as_seconds() - 1);
    let late = at().plus_millis(limits::CLOCK_SKEW_MILLIS + 1000);
    for signer in [&first as &dyn Signer, &second, &third] {
        let own = certificate(signer);
        let mut good = 0;
        for (under, made_at) in [(&own, at()), (&own, early), (&own, late), (&other, at())] {
            for kind in [Kind::Device, Kind::Group] {
                let (body, signed) = draft(kind, None).sign_here(signer, made_at, &SALT).expect("signed");
                assert_eq!(signed.says(), &unverified(&body));
                let judged = signed.under(under, at()).map(|statement| *statement);
                good += usize::from(judged.is_ok());
                assert_eq!(judged, verify(unverified(&body), under, at()));
            }
        }
        assert_eq!(good, 2, "under its own certificate, in time");
    }
    let mut bad = make::self_sign(&device(1), USER_ID, at(), &SALT).expect("made");
    let judged = |own: &[u8]| {
        let (_, signed) = draft(Kind::Device, Some(own.to_vec())).sign_here(&first, at(), &SALT).expect("signed");
        signed.under(&certificate(&first), at()).map(drop)
    };
    assert_eq!(judged(&bad), Ok(()));
    *bad.last_mut().expect("bytes") ^= 1;
    assert_eq!(judged(&bad), Err(VerifyError::SelfSignature(SignatureFault::Bad)), "the subject's came from elsewhere");
}

#[test]
fn what_a_device_gives_back_must_be_a_signature_of_its_key() {
    for signer in signers() {
        let key = signer.public_key();
        let mut digest = vec![7; key.algorithm().preferred_hash().digest_bytes()];
        let made = signer.sign(&digest).expect("signed");
        assert_eq!(verified(made.clone(), key, &digest), Ok(made.clone()), "{}", key.algorithm());
        let others = verified(made.clone(), device(1).public_key(), &digest);
        assert_eq!(others, Err(SignerError::Bad), "{}", key.algorithm());
        let nothing = verified(RawSignature::Composite(Vec::new()), key, &digest);
        assert_eq!(nothing, Err(SignerError::Bad), "{}", key.algorithm());
        digest[0] ^= 1;
        assert_eq!(verified(made, key, &digest), Err(SignerError::Bad), "{}", key.algorithm());
    }
}

#[test]
fn names_that_are_given() {
    let signer = ed25519(1, 4);
    let key = device(1);
    let spki = Name::Spki(key.public_key().spki_sha256().expect("X.509 has it"));
    let urn: Name = USER_ID.parse().expect("a URN");
    let named = |claims: &Claims, user_id: &str| {
        let body = make::certify(&signer, key.public_key(), user_id, None, Kind::Device, claims, false, at(), &SALT);
        unverified(&body.expect("made")).names().to_vec()
    };
    let introduction = claims(Act::Identity);
    assert_eq!(named(&introduction, USER_ID), [urn.clone(), spki.clone()]);
    assert_eq!(named(&introduction, "Pump 7"), std::slice::from_ref(&spki));
    let with_urn = Claims { names: vec![urn.clone()], ..introduction };
    assert_eq!(named(&with_urn, USER_ID), [urn, spki], "each once");
    assert_eq!(named(&claims(Act::Approval), USER_ID), [], "only an introduction gives names");
}

#[test]
fn nothing_is_made_that_would_not_be_read() {
    use ics_core::statement::ClaimsError;
    use ics_core::statement::make::MakeError;
    let signer = ed25519(1, 4);
    let certify = |key: &dyn Signer, user_id: &str, kind, claims: &Claims| {
        make::certify(&signer, key.public_key(), user_id, None, kind, claims, false, at(), &SALT)
    };
    let device = device(1);
    let fine = claims(Act::Approval);
    assert_eq!(certify(&signer, USER_ID, Kind::Device, &fine), {
        Err(MakeError::OwnKey(signer.public_key().fingerprint()))
    });
    assert!(matches!(certify(&device, "", Kind::Device, &fine), Err(MakeError::UserId(_))));
    assert_eq!(certify(&device, USER_ID, Kind::Group, &fine), Err(ClaimsError::Form(Kind::Group).into()));
    assert_eq!(
        certify(&device, USER_ID, Kind::Device, &claims(Act::Status)),
        Err(ClaimsError::Missing("status").into())
    );
    let attributes = Attribute::ALL.iter().filter(|attribute| **attribute != Attribute::Quantity);
    let long = Claims {
        attributes: attributes.map(|attribute| (*attribute, "x".repeat(limits::TEXT_BYTES))).collect(),
        ..claims(Act::Identity)
    };
    assert!(matches!(certify(&device, USER_ID, Kind::Device, &long), Err(MakeError::TooLong { .. })));
    let in_document = make::sign_document(&signer, &subject(Kind::Group), &claims(Act::Installed), at(), &SALT);
    assert!(matches!(in_document, Err(MakeError::Claims(_))));
    let with_key =
        Subject::Key { fingerprint: device.public_key().fingerprint(), kind: Kind::Device, user_id: USER_ID.into() };
    assert_eq!(
        make::sign_document(&signer, &with_key, &fine, at(), &SALT),
        Err(ClaimsError::Form(Kind::Device).into())
    );
    assert_eq!(make::sign_descriptor(&[], b"{}", at(), &SALT), Err(MakeError::NoSigner));
    assert!(matches!(make::sign_descriptor(&[&signer], b"{ }", at(), &SALT), Err(MakeError::Json(_))));
    assert_eq!(
        make::add_signature(&make::self_sign(&device, USER_ID, at(), &SALT).expect("made"), &signer, at(), &SALT),
        { Err(MakeError::NotAMessage) }
    );
}

#[test]
fn one_bad_statement_in_a_batch_is_the_only_bad_one() {
    let signers: Vec<Ed25519Signer> = (1..5).map(|seed| ed25519(seed, 4 + 2 * (seed % 2))).collect();
    let certificates: Vec<_> = signers.iter().map(|signer| certificate(signer)).collect();
    let items: Vec<_> = (0..40)
        .map(|number: usize| {
            let (signer, certificate) = (&signers[number % 4], &certificates[number % 4]);
            let mut bytes = body(signer, Kind::Device, &claims(Act::Approval), at().plus_millis(number as u64 * 1000));
            if number % 13 == 5 {
                *bytes.last_mut().expect("bytes") ^= 1;
            }
            (Box::new(unverified(&bytes)), certificate, at())
        })
        .collect();
    let single: Vec<_> =
        items.iter().map(|(item, certificate, at)| verify((**item).clone(), certificate, *at).map(Box::new)).collect();
    assert_eq!(single.iter().filter(|result| result.is_err()).count(), 3);
    assert_eq!(verify_batch(items, [7; 32]), single);
    assert_eq!(verify_batch(Vec::new(), [7; 32]), []);
}

#[test]
fn an_answer_for_old_clients_has_one_version() {
    let (v4, v6) = (ed25519(1, 4), ed25519(2, 6));
    let bodies = [
        body(&v4, Kind::Device, &claims(Act::Identity), at()),
        body(&v6, Kind::Device, &claims(Act::Approval), at()),
        body(&v4, Kind::Device, &claims(Act::Approval), at()),
        body(&v4, Kind::Group, &claims(Act::Approval), at()),
        crate::common::bare_certificate(&v4, "Acme <a@acme.example>"),
        crate::common::bare_certificate(&v6, "Acme <a@acme.example>"),
    ];
    let refs: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    assert_eq!(openpgp_view(&refs, 4), [&bodies[0][..], &bodies[2], &bodies[4]].concat());
    assert_eq!(openpgp_view(&refs, 6), bodies[5], "a version 4 key with a version 6 signature is for neither");
    assert_eq!(openpgp_view(&refs[3..4], 4), bodies[3], "documents go where there are no keys");
    assert_eq!(openpgp_view(&refs[3..4], 6), Vec::<u8>::new());
    assert_eq!(openpgp_view(&[], 4), Vec::<u8>::new());
}

fn texts() -> impl Strategy<Value = String> {
    "[ -~\u{a1}-\u{2fff}]{1,40}"
}

fn times() -> impl Strategy<Value = Timestamp> {
    (0_u64..2_000_000_000_000).prop_map(Timestamp::from_millis)
}

/// Members that every act but a withdrawal may have.
fn spans() -> impl Strategy<Value = (Option<Timestamp>, Option<Timestamp>)> {
    option::of((times(), 1_u64..1_000_000_000))
        .prop_map(|span| span.map_or((None, None), |(from, length)| (Some(from), Some(from.plus_millis(length)))))
}

fn names() -> impl Strategy<Value = Vec<Name>> {
    let name = prop_oneof![
        "urn:dev:os:[0-9]{1,5}-[a-zA-Z0-9]{1,10}".prop_map(|text| text.parse().expect("a URN")),
        "serial:[!-~]{1,20}".prop_map(|text| text.parse().expect("a serial number")),
        "host:[a-z][a-z0-9]{0,9}(\\.[a-z]{1,5}){0,3}".prop_map(|text| text.parse().expect("a host name")),
        any::<[u8; 32]>().prop_map(Name::Spki),
        any::<[u8; 32]>().prop_map(Name::Certificate),
    ];
    btree_set(name, 0..5).prop_map(|names| names.into_iter().collect())
}

fn attributes() -> impl Strategy<Value = BTreeMap<Attribute, String>> {
    let others: Vec<_> = Attribute::ALL.iter().copied().filter(|attribute| *attribute != Attribute::Quantity).collect();
    (btree_map(prop::sample::select(others), texts(), 0..4), option::of("[0-9]{1,9}")).prop_map(
        |(mut map, quantity)| {
            map.extend(quantity.map(|quantity| (Attribute::Quantity, quantity)));
            map
        },
    )
}

/// Claims of any act about a thing of any kind, in the order in which they are read.
fn any_claims() -> impl Strategy<Value = (Kind, Claims)> {
    let ids = || btree_set(any::<[u8; 32]>(), 0..4);
    let act_and_kind = (prop::sample::select(Act::ALL), prop::sample::select(&Kind::ALL[..]))
        .prop_filter("no document about what is installed or issued", |(act, kind)| {
            !matches!(act, Act::Installed | Act::Issued) || kind.has_key()
        });
    let least = (act_and_kind, option::of(texts()), ids(), spans());
    let given = (names(), attributes(), ids(), option::of(any::<[u8; 32]>()));
    let word = "[a-z][a-z0-9-]{0,20}";
    let special = (word, texts(), any::<[u8; 20]>(), any::<[u8; 32]>(), "[a-z]{1,9}(\\.[a-z]{1,9}){0,2}");
    (least, given, special).prop_map(
        |(((act, kind), reason, superseded, (from, until)), (names, attributes, groups, replaces), special)| {
            let (word, label, grantee, digest, domain) = special;
            let mut claims = Claims::new(act, word.parse().expect("a role"), domain.parse().expect("a domain"));
            claims.reason = reason;
            claims.supersedes = superseded.into_iter().map(StatementId).collect();
            (claims.from, claims.until) = (from, until);
            match act {
                Act::Identity => {
                    (claims.names, claims.attributes) = (sorted(names), attributes);
                    claims.groups = groups.into_iter().collect();
                    claims.replaces = replaces.map(|id| match kind {
                        Kind::Software => IdentityId::Software(id),
                        Kind::Group => IdentityId::Group(id),
                        _ => IdentityId::Key(Fingerprint::V6(id)),
                    });
                }
                Act::Approval => claims.groups = groups.into_iter().collect(),
                Act::Status => claims.status = word.parse().ok(),
                Act::Label => claims.label = Some(label),
                Act::Grant => {
                    let (grantee, role) = (Fingerprint::V4(grantee), word.parse().expect("a role"));
                    claims.grant = Some(Grant { grantee, role });
                }
                Act::Installed => claims.installed = Some(digest),
                Act::Issued => {
                    let serial = Name::Serial(format!("4a{}", grantee.len()).into());
                    claims.names = vec![serial, Name::Spki(digest), Name::Certificate([grantee[0]; 32])];
                }
                Act::Withdrawal => {
                    (claims.from, claims.until) = (None, None);
                    claims.supersedes.push(StatementId(digest));
                }
            }
            (kind, claims)
        },
    )
}

/// In the order in which names are read: by their tag, then by their text.
fn sorted(mut names: Vec<Name>) -> Vec<Name> {
    let order = |name: &Name| ["urn", "serial", "host", "spki", "cert"].iter().position(|tag| *tag == name.scheme());
    names.sort_by_key(|name| (order(name), name.to_string()));
    names
}

fn any_subject(kind: Kind) -> impl Strategy<Value = Subject> {
    let selecting = btree_map(prop::sample::select(&Attribute::SELECTING[..]), texts(), 0..4);
    let digests = btree_map("[a-z][a-z0-9-]{0,8}", vec(any::<u8>(), 4..64), 0..4);
    (texts(), texts(), selecting, digests, any::<[u8; 32]>()).prop_map(
        move |(name, version, attributes, digests, id)| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let mut digests: BTreeMap<_, _> = digests.into_iter().map(|(name, digest)| (name, hex(&digest))).collect();
            digests.insert("sha256".into(), hex(&id));
            match kind {
                Kind::Software => Subject::Software(Software { kind, name, version, digests }),
                _ => Subject::Group(Group { kind: Kind::Group, name, attributes }),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_claims_are_read_back(
        (kind, claims) in any_claims(),
        software in any_subject(Kind::Software),
        group in any_subject(Kind::Group),
        user_id in texts(),
        version in prop::sample::select(vec![4_u8, 6]),
        withdraws_vouching: bool,
    ) {
        let signer = ed25519(1, version);
        let revokes = claims.revokes(kind).unwrap_or(withdraws_vouching);
        let subject = match kind {
            Kind::Software => software,
            Kind::Group => group,
            _ => Subject::Key { fingerprint: device(1).public_key().fingerprint(), kind, user_id: user_id.clone() },
        };
        let body = if kind.has_key() {
            make::certify(&signer, device(1).public_key(), &user_id, None, kind, &claims, revokes, at(), &SALT)
        } else {
            make::sign_document(&signer, &subject, &claims, at(), &SALT)
        };
        let statement = unverified(&body.expect("made"));
        prop_assert_eq!(statement.claims(), &claims);
        prop_assert_eq!(statement.subject(), &subject);
        prop_assert_eq!(Ok(statement.identity()), subject.id());
        prop_assert!(verify(statement, &certificate(&signer), at()).is_ok());
    }
}
