//! What a descriptor may say about X.509 certificates, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use ics_core::descriptor::{
    CertificateProfile, Certificates, Descriptor, FieldError, ISSUER_ROLE, Issuer, Problem, RoleSpec,
};
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::vocabulary::{CertificateUse, KeyType, ProfileName, Requirement};

use crate::descriptors::{Change, base, refusal};
use crate::fixtures::{role, signer};
use crate::schemas::{assert_valid, schema, value};

const URL: &str = "http://pki.acme.example";

/// A descriptor under which certificates are issued, with every member that may be absent.
fn issuing() -> Descriptor {
    let mut issuing = base();
    let names = ["serial:*", "spki:*", "cert:*"].map(str::to_owned).into();
    issuing.roles.insert(role(ISSUER_ROLE), RoleSpec { signers: [signer(0x55)].into(), names });
    let profile = CertificateProfile {
        kinds: [Kind::Device, Kind::Gateway].into(),
        uses: [CertificateUse::Client, CertificateUse::Server].into(),
        keys: [KeyType::P256, KeyType::Ed25519].into(),
        names: ["serial:*", "urn:dev:*"].map(str::to_owned).into(),
        seconds: Some(60),
        hardware_type: Some("1.3.6.1.4.1.32473.1".to_owned()),
        requires: Requirement::Vouched,
        requesters: [role("owner")].into(),
    };
    issuing.certificates = Some(Certificates {
        url: URL.to_owned(),
        issuers: vec![issuer(1)],
        shards: 4,
        answers_hold: 60,
        profiles: BTreeMap::from([("ldevid".parse().expect("a name"), profile)]),
    });
    issuing
}

/// An issuer with one certificate above its own. Whether they are certificates is for whoever issues to say.
fn issuer(seed: u8) -> Issuer {
    Issuer { certificate: BASE64.encode(&[seed; 3]), chain: vec![BASE64.encode(&[0xff; 3])] }
}

fn certificates(descriptor: &mut Descriptor) -> &mut Certificates {
    descriptor.certificates.as_mut().expect("it issues")
}

fn profile(descriptor: &mut Descriptor) -> &mut CertificateProfile {
    certificates(descriptor).profiles.values_mut().next().expect("there is one")
}

fn issuers(descriptor: &mut Descriptor, count: u8) {
    certificates(descriptor).issuers = (1..=count).map(issuer).collect();
}

/// Gives the issuer as many certificates above its own.
fn above(descriptor: &mut Descriptor, count: usize) {
    certificates(descriptor).issuers[0].chain = vec![BASE64.encode(&[0xff; 3]); count];
}

/// Gives the issuer a certificate of this many bytes.
fn long(descriptor: &mut Descriptor, bytes: usize) {
    certificates(descriptor).issuers[0].certificate = BASE64.encode(&vec![1; bytes]);
}

fn profiles(descriptor: &mut Descriptor, count: usize) {
    let one = profile(descriptor).clone();
    let named = |number| (format!("p{number}").parse::<ProfileName>().expect("a name"), one.clone());
    certificates(descriptor).profiles = (0..count).map(named).collect();
}

fn url(descriptor: &mut Descriptor, text: &str) {
    text.clone_into(&mut certificates(descriptor).url);
}

fn hardware(descriptor: &mut Descriptor, text: &str) {
    profile(descriptor).hardware_type = Some(text.to_owned());
}

/// Every rule that the member `certificates` can break, and the field that the refusal names.
fn refusals() -> Vec<(Change, &'static str, Problem)> {
    let range = |value, min, max| Problem::Range { value, min, max };
    let no_url = |text: &str| Problem::Url(text.to_owned());
    let no_oid = |text: &str| Problem::ObjectIdentifier(text.to_owned());
    let twice = Problem::Duplicate(issuer(1).certificate);
    vec![
        (|d| drop(d.roles.remove(&role(ISSUER_ROLE))), "certificates", Problem::Role(ISSUER_ROLE.to_owned())),
        (|d| url(d, "pki.acme.example"), "certificates.url", no_url("pki.acme.example")),
        (|d| url(d, "ldap://pki.acme.example"), "certificates.url", no_url("ldap://pki.acme.example")),
        (|d| url(d, "http://"), "certificates.url", no_url("http://")),
        (|d| url(d, "http://pki.acme.example/"), "certificates.url", no_url("http://pki.acme.example/")),
        (|d| url(d, "http://pki acme"), "certificates.url", no_url("http://pki acme")),
        (|d| url(d, &format!("{URL}/{}", "x".repeat(1_001))), "certificates.url", Problem::TooLong(1_025)),
        (|d| issuers(d, 0), "certificates.issuers", range(0, 1, 8)),
        (|d| issuers(d, 9), "certificates.issuers", range(9, 1, 8)),
        (|d| certificates(d).issuers.push(issuer(1)), "certificates.issuers", twice),
        (|d| above(d, 5), "certificates.issuers[0]", range(6, 1, 5)),
        (
            |d| {
                above(d, 0);
                long(d, 0);
            },
            "certificates.issuers[0]",
            range(0, 1, 16_384),
        ),
        (|d| long(d, 16_385), "certificates.issuers[0]", range(16_385, 1, 16_384)),
        (|d| certificates(d).issuers[0].chain[0].push('~'), "certificates.issuers[0]", Problem::Base64),
        (|d| certificates(d).shards = 0, "certificates.shards", Problem::Shards(0)),
        (|d| certificates(d).shards = 3, "certificates.shards", Problem::Shards(3)),
        (|d| certificates(d).shards = 512, "certificates.shards", Problem::Shards(512)),
        (|d| certificates(d).answers_hold = 59, "certificates.answers_hold", range(59, 60, 2_592_000)),
        (|d| certificates(d).answers_hold = 2_592_001, "certificates.answers_hold", range(2_592_001, 60, 2_592_000)),
        (|d| profiles(d, 0), "certificates.profiles", range(0, 1, 64)),
        (|d| profiles(d, 65), "certificates.profiles", range(65, 1, 64)),
        (|d| profile(d).kinds.clear(), "certificates.profiles.ldevid.kinds", Problem::Empty),
        (
            |d| profile(d).kinds = [Kind::Device, Kind::Software].into(),
            "certificates.profiles.ldevid.kinds",
            Problem::NoKey(Kind::Software),
        ),
        (|d| profile(d).keys.clear(), "certificates.profiles.ldevid.keys", Problem::Empty),
        (
            |d| profile(d).names = BTreeSet::from(["acme-*".to_owned()]),
            "certificates.profiles.ldevid.names",
            Problem::Pattern("acme-*".to_owned()),
        ),
        (
            |d| profile(d).seconds = Some(59),
            "certificates.profiles.ldevid.seconds",
            range(59, 60, limits::JSON_INTEGER),
        ),
        (|d| hardware(d, "1"), "certificates.profiles.ldevid.hardware_type", no_oid("1")),
        (|d| hardware(d, "3.1"), "certificates.profiles.ldevid.hardware_type", no_oid("3.1")),
        (|d| hardware(d, "1.02"), "certificates.profiles.ldevid.hardware_type", no_oid("1.02")),
        (
            |d| profile(d).requesters = [role("janitor")].into(),
            "certificates.profiles.ldevid.requesters",
            Problem::Role("janitor".to_owned()),
        ),
    ]
}

/// What a schema cannot say, see its description.
const BEYOND_THE_SCHEMA: [&str; 4] =
    ["stands here twice", "is not a pattern of names", "is not defined in `roles`", "16385 is outside 1 to 16384"];

#[test]
fn the_refusal_names_the_field_and_the_schema_agrees() {
    let schema = schema("descriptor.schema.json");
    for (change, field, problem) in refusals() {
        let mut descriptor = issuing();
        change(&mut descriptor);
        let fits = schema.is_valid(&value(&descriptor.to_json()));
        let beyond = BEYOND_THE_SCHEMA.iter().any(|text| problem.to_string().contains(text));
        assert!(!fits || beyond, "{field}: {problem}");
        assert_eq!(refusal(&descriptor), FieldError { field: field.to_owned(), problem });
    }
}

#[test]
fn what_is_just_within_the_bounds_is_taken() {
    let schema = schema("descriptor.schema.json");
    let within: [Change; 10] = [
        |_| {},
        |d| url(d, &format!("{URL}/{}", "x".repeat(1_000))),
        |d| url(d, "https://pki.acme.example/x509/devices.acme.example"),
        |d| issuers(d, 8),
        |d| above(d, 4),
        |d| long(d, 16_384),
        |d| certificates(d).shards = 256,
        |d| certificates(d).answers_hold = 2_592_000,
        |d| profiles(d, 64),
        |d| {
            let free = profile(d);
            (free.seconds, free.hardware_type, free.requires) = (None, None, Requirement::Permitted);
            free.uses.clear();
            free.names.clear();
            free.requesters.clear();
        },
    ];
    for change in within {
        let mut descriptor = issuing();
        change(&mut descriptor);
        assert_eq!(Descriptor::parse(&descriptor.to_json()).as_ref(), Ok(&descriptor));
        assert_valid(&schema, &value(&descriptor.to_json()));
    }
}
