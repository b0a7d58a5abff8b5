//! Keys, claims and subjects for tests; everything is derived from constants.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ics_core::identity::{IdentityId, Kind};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, KeyPairSigner, Signer};
use ics_core::statement::{Body, Claims, Grant, Group, Software, StatementId, Subject, Unverified, parse};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, Key6, SecretParts, UnspecifiedRole};
use sequoia_openpgp::types::Curve;

pub(crate) const SALT: [u8; 32] = [9; 32];

/// When the keys of the tests were made: 2026-01-01.
pub(crate) fn created() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600)
}

/// When the tests sign: 2026-11-20.
pub(crate) fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_162_200)
}

/// The signer of a one-byte name.
pub(crate) fn ed25519(seed: u8, version: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], version, created()).expect("a key")
}

/// A device with a key that could sign.
pub(crate) fn device(number: u8) -> Ed25519Signer {
    ed25519(100 + number, 4)
}

/// A signer out of a secret key of sequoia's.
pub(crate) fn key_pair(key: Key<SecretParts, UnspecifiedRole>) -> KeyPairSigner {
    KeyPairSigner::new(key.into_keypair().expect("not encrypted")).expect("accepted")
}

fn set_time(key: &mut Key<SecretParts, UnspecifiedRole>) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(created().as_seconds());
    key.set_creation_time(time).expect("in range");
}

/// A fresh key of a curve.
pub(crate) fn ecdsa(curve: Curve, version: u8) -> KeyPairSigner {
    let mut key: Key<_, _> = if version == 6 {
        Key6::generate_ecc(true, curve).expect("a key").into()
    } else {
        Key4::generate_ecc(true, curve).expect("a key").into()
    };
    set_time(&mut key);
    key_pair(key)
}

/// A fresh Ed448 key.
pub(crate) fn ed448(version: u8) -> KeyPairSigner {
    let mut key: Key<_, _> = if version == 6 {
        Key6::generate_ed448().expect("a key").into()
    } else {
        Key4::generate_ed448().expect("a key").into()
    };
    set_time(&mut key);
    key_pair(key)
}

/// Fresh post-quantum keys: ML-DSA-65 with Ed25519, ML-DSA-87 with Ed448.
pub(crate) fn ml_dsa() -> [KeyPairSigner; 2] {
    let keys = [Key6::generate_mldsa65_ed25519(), Key6::generate_mldsa87_ed448()];
    keys.map(|key| {
        let mut key: Key<_, _> = key.expect("a key").into();
        set_time(&mut key);
        key_pair(key)
    })
}

/// A fresh RSA key.
pub(crate) fn rsa(version: u8) -> KeyPairSigner {
    let mut key: Key<_, _> = if version == 6 {
        Key6::generate_rsa(2048).expect("a key").into()
    } else {
        Key4::generate_rsa(2048).expect("a key").into()
    };
    set_time(&mut key);
    key_pair(key)
}

/// One signer of each sort.
static SIGNERS: LazyLock<Vec<Box<dyn Signer + Send + Sync>>> = LazyLock::new(|| {
    let mut signers: Vec<Box<dyn Signer + Send + Sync>> = Vec::new();
    for version in [4, 6] {
        signers.push(Box::new(ed25519(1, version)));
        for curve in [Curve::NistP256, Curve::NistP384, Curve::NistP521] {
            signers.push(Box::new(ecdsa(curve, version)));
        }
        signers.push(Box::new(rsa(version)));
        signers.push(Box::new(ed448(version)));
    }
    ml_dsa().into_iter().for_each(|signer| signers.push(Box::new(signer)));
    signers
});

/// One signer of each sort, made once: RSA keys take their time.
pub(crate) fn signers() -> impl Iterator<Item = &'static dyn Signer> {
    SIGNERS.iter().map(|signer| -> &dyn Signer { &**signer })
}

/// The certificate of a signer.
pub(crate) fn certificate(signer: &dyn Signer) -> Certificate {
    let bytes = Certificate::make(signer, "Acme <signer@acme.example>", created(), &SALT).expect("made");
    match parse(&bytes) {
        Ok(Body::Certificate(certificate)) => certificate,
        other => panic!("not a certificate: {other:?}"),
    }
}

/// A statement that is in canonical form.
pub(crate) fn unverified(body: &[u8]) -> Unverified {
    match parse(body) {
        Ok(Body::Statement(statement)) => *statement,
        other => panic!("not a statement: {other:?}"),
    }
}

/// A device's own certificate: key, User ID and its own signature.
pub(crate) fn bare_certificate(device: &dyn Signer, user_id: &str) -> Vec<u8> {
    Certificate::make(device, user_id, created(), &SALT).expect("made")
}

/// Claims of an act and nothing more.
pub(crate) fn claims(act: Act) -> Claims {
    Claims::new(act, "manufacturer".parse().expect("a role"), "devices.acme.example".parse().expect("a domain"))
}

pub(crate) fn subject(kind: Kind) -> Subject {
    match kind {
        Kind::Software => Subject::Software(Software {
            kind,
            name: "thermostat-firmware".into(),
            version: "1.4.2".into(),
            digests: BTreeMap::from([("sha256".into(), "ab".repeat(32)), ("sha512".into(), "cd".repeat(64))]),
        }),
        _ => Subject::Group(Group {
            kind,
            name: "lot 7".into(),
            attributes: BTreeMap::from([(Attribute::Lot, "7".into()), (Attribute::Model, "T-1000".into())]),
        }),
    }
}

fn identity_claims() -> Claims {
    Claims {
        names: ["urn:dev:os:32473-1", "serial:SN-0001", "host:t1.acme.example"]
            .iter()
            .map(|name| name.parse().expect("a name"))
            .chain([ics_core::name::Name::Spki([1; 32]), ics_core::name::Name::Certificate([2; 32])])
            .collect(),
        attributes: BTreeMap::from([
            (Attribute::Manufacturer, "Acme".into()),
            (Attribute::Model, "T-1000 \u{e4}\u{20ac}".into()),
            (Attribute::Quantity, "1".into()),
        ]),
        groups: vec![[3; 32], [4; 32]],
        replaces: Some(IdentityId::Key(device(9).public_key().fingerprint())),
        from: Some(Timestamp::from_millis(1_795_162_200_123)),
        until: Some(Timestamp::from_seconds(1_995_162_200)),
        reason: Some("made today".into()),
        supersedes: vec![StatementId([6; 32]), StatementId([5; 32])],
        ..claims(Act::Identity)
    }
}

/// Claims of every act, about every sort of thing that it can be about.
pub(crate) fn sample_claims() -> Vec<(Kind, Claims)> {
    let status = |kind, name: &str| (kind, Claims { status: name.parse().ok(), ..claims(Act::Status) });
    let label = Claims { label: Some("CE 0123".into()), ..claims(Act::Label) };
    let grantee = ed25519(42, 4).public_key().fingerprint();
    let grant = Claims { grant: "owner".parse().ok().map(|role| Grant { grantee, role }), ..claims(Act::Grant) };
    let withdrawal = Claims { supersedes: vec![StatementId([7; 32])], ..claims(Act::Withdrawal) };
    let software = Claims {
        attributes: BTreeMap::from([(Attribute::ProductVersion, "1".into())]),
        replaces: Some(IdentityId::Software([8; 32])),
        ..claims(Act::Identity)
    };
    let group = Claims { replaces: Some(IdentityId::Group([8; 32])), ..claims(Act::Identity) };
    vec![
        (Kind::Device, identity_claims()),
        (Kind::Gateway, claims(Act::Approval)),
        (Kind::Service, label.clone()),
        (Kind::Node, grant.clone()),
        (Kind::Device, withdrawal.clone()),
        (Kind::Device, Claims { installed: Some([0xab; 32]), ..claims(Act::Installed) }),
        status(Kind::Organisation, "in-use"),
        status(Kind::Device, "stolen"),
        status(Kind::Device, "on-fire"),
        status(Kind::Software, "withdrawn"),
        status(Kind::Group, "compromised"),
        (Kind::Software, software),
        (Kind::Group, group),
        (Kind::Software, label),
        (Kind::Group, grant),
        (Kind::Software, withdrawal),
    ]
}
