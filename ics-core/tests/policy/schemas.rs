//! The JSON schemas accept what this implementation writes, and refuse what it refuses as far as a schema can say it.

use std::path::PathBuf;

use ics_core::descriptor::Template;
use ics_core::openpgp::signer::Ed25519Signer;
use ics_core::statement::make::{sign_descriptor, sign_document};
use ics_core::statement::{self, Body, Claims, Grant, Group, Software, StatementId, Subject};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute};
use ics_core::{canonical_json, identity::Kind};
use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use crate::descriptors::{base, full, refusals};
use crate::fixtures::{filled, role, signer};
use crate::trust;

pub(crate) fn schema(name: &str) -> Validator {
    let read = |name: &str| -> Value {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name);
        serde_json::from_slice(&std::fs::read(path).expect("schema")).expect("JSON")
    };
    let descriptor = read("descriptor.schema.json");
    let id = descriptor["$id"].as_str().expect("$id").to_owned();
    let registry = Registry::new().add(id, descriptor).expect("resource").prepare().expect("registry");
    let schema = read(name);
    jsonschema::meta::validate(&schema).expect("a schema of draft 2020-12");
    jsonschema::options().with_registry(&registry).build(&schema).expect("schema")
}

pub(crate) fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("JSON")
}

pub(crate) fn assert_valid(schema: &Validator, value: &Value) {
    let errors: Vec<String> = schema.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{value}: {errors:?}");
}

#[test]
fn descriptors_fit_their_schema() {
    let schema = schema("descriptor.schema.json");
    for descriptor in Template::ALL.map(filled).into_iter().chain([full()]) {
        assert_valid(&schema, &value(&descriptor.to_json()));
    }
}

/// What a schema cannot say, see its description.
const BEYOND_THE_DESCRIPTOR_SCHEMA: [&str; 11] = [
    "stands here twice",
    "of one OpenPGP version are needed",
    "is not the fingerprint",
    "is not the key of an owner",
    "is not an Ed25519 public key",
    "is not a pattern of names",
    "`burnt` blocks for ever",
    "is not a status of this domain",
    "is not defined in `roles`",
    "is this domain itself",
    "has the key of the home",
];

#[test]
fn descriptors_that_are_refused_do_not_fit_their_schema() {
    let schema = schema("descriptor.schema.json");
    let mut refused = 0;
    for (change, field, problem) in refusals() {
        let mut descriptor = base();
        change(&mut descriptor);
        let fits = schema.is_valid(&value(&descriptor.to_json()));
        let problem = problem.to_string();
        let beyond = BEYOND_THE_DESCRIPTOR_SCHEMA.iter().any(|text| problem.contains(text));
        assert!(!fits || beyond || problem.contains("outside 1 to 1"), "{field}: {problem}");
        refused += usize::from(!fits);
    }
    assert!(refused > 20, "{refused}");
    for change in [
        (|v| v["invented"] = json!(1)) as fn(&mut Value),
        |v| v["version"] = json!(1.5),
        |v| v["previous"] = json!("ab"),
        |v| v["compromised"] = json!([]),
        |v| v["roles"]["Owner"] = json!({}),
        |v| v["owners"]["keys"][0]["fingerprint"] = json!("AB".repeat(20)),
    ] {
        let mut json = value(&full().to_json());
        change(&mut json);
        assert!(!schema.is_valid(&json), "{json}");
    }
}

#[test]
fn trust_policies_fit_their_schema() {
    let schema = schema("trust-policy.schema.json");
    let mut document = serde_json::to_value(trust::document("")).expect("JSON");
    assert_valid(&schema, &document);
    document["labelling_roles"] = json!(["certification-body", "owner"]);
    assert_valid(&schema, &document);
    for change in [
        (|v| v["domains"] = json!([])) as fn(&mut Value),
        |v| v["domains"][0] = json!("plant.example"),
        |v| v["labelling_roles"] = json!([]),
        |v| v["freshness"]["default"] = json!(0),
        |v| drop(v.as_object_mut().expect("object").remove("rules")),
    ] {
        let mut json = document.clone();
        change(&mut json);
        assert!(!schema.is_valid(&json), "{json}");
    }
}

fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_162_200)
}

fn ed25519() -> Ed25519Signer {
    Ed25519Signer::from_seed(&[7; 32], 4, at()).expect("signer")
}

fn subjects() -> [Subject; 2] {
    let digests = [("sha256", 32), ("sha512", 64)].map(|(name, bytes)| (name.to_owned(), "ab".repeat(bytes)));
    let attributes = [(Attribute::Manufacturer, "Acme".to_owned()), (Attribute::Lot, "7".to_owned())];
    [
        Subject::Software(Software {
            kind: Kind::Software,
            name: "firmware".to_owned(),
            version: "2.1".to_owned(),
            digests: digests.into(),
        }),
        Subject::Group(Group { kind: Kind::Group, name: "lot 7".to_owned(), attributes: attributes.into() }),
    ]
}

/// Claims of every act that documents take, with every member that has a place there.
fn claims() -> Vec<Claims> {
    let new = |act| Claims {
        reason: Some("a reason".to_owned()),
        supersedes: vec![StatementId([1; 32]), StatementId([2; 32])],
        from: Some(at()),
        until: Some(Timestamp::from_millis(1_895_162_200_120)),
        ..Claims::new(act, role("developer"), "code.soft.example".parse().expect("domain"))
    };
    let name = |text: &str| text.parse().expect("name");
    let names = ["urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "serial:SN-1", "host:soft.example"];
    let mut identity = Claims {
        names: names.map(name).into(),
        attributes: Attribute::ALL.iter().map(|attribute| (*attribute, "12".to_owned())).collect(),
        groups: vec![[9; 32]],
        ..new(Act::Identity)
    };
    identity.names.extend(["spki", "cert"].map(|scheme| name(&format!("{scheme}:{}", "cd".repeat(32)))));
    let grant = Grant { grantee: signer(5), role: role("owner") };
    vec![
        identity,
        Claims { groups: vec![[9; 32]], ..new(Act::Approval) },
        Claims { status: Some("released".parse().expect("status")), ..new(Act::Status) },
        Claims { label: Some("medical".to_owned()), ..new(Act::Label) },
        Claims { grant: Some(grant), ..new(Act::Grant) },
        Claims { from: None, until: None, ..new(Act::Withdrawal) },
    ]
}

fn documents() -> Vec<Value> {
    let mut documents = Vec::new();
    for subject in subjects() {
        for claims in claims() {
            let body = sign_document(&ed25519(), &subject, &claims, at(), &[0; 32]).expect("signed");
            let (document, _) = statement::detached(&body).expect("message");
            documents.push(value(document));
        }
    }
    documents
}

#[test]
fn statement_documents_fit_their_schema() {
    let schema = schema("statement.schema.json");
    let documents = documents();
    for document in &documents {
        assert_valid(&schema, document);
    }
    assert_eq!(documents.len(), 12);
}

/// Whether a document is read, once it is signed.
fn is_read(document: &Value) -> bool {
    let json = canonical_json::to_bytes(document).expect("canonical");
    let body = sign_descriptor(&[&ed25519()], &json, at(), &[0; 32]).expect("signed");
    matches!(statement::parse(&body), Ok(Body::Statement(_)))
}

/// Members that every statement is tried with, where they belong and where they do not.
fn members() -> Vec<(&'static str, Value)> {
    vec![
        ("act", json!("installed")),
        ("act", json!("identity")),
        ("act", json!("status")),
        ("act", json!("withdrawal")),
        ("act", json!("shout")),
        ("role", json!("Owner")),
        ("domain", json!("a..b")),
        ("kind", json!("software")),
        ("status", json!("released")),
        ("status", json!(["released"])),
        ("label", json!("")),
        ("label", json!("a\u{7}b")),
        ("reason", json!("x".repeat(1025))),
        ("reason", json!(null)),
        ("supersedes", json!([])),
        ("supersedes", json!(["ab".repeat(32), "ab".repeat(32)])),
        ("supersedes", json!(["AB".repeat(32)])),
        ("supersedes", json!((0..33).map(|n| format!("{n:064x}")).collect::<Vec<_>>())),
        ("urn", json!(["uuid:1"])),
        ("urn", json!(["urn:dev:os:32473-<1>"])),
        ("urn", json!("urn:uuid:1")),
        ("serial", json!(["a b"])),
        ("spki", json!(["12"])),
        ("group", json!(["ab".repeat(32)])),
        ("group", json!([format!("sha256:{}", "ab".repeat(32))])),
        ("replaces", json!("ab".repeat(20))),
        ("replaces", json!(format!("sha256:{}", "ab".repeat(32)))),
        ("from", json!("2026-11-20T08:10:00.120Z")),
        ("from", json!("2026-11-20T08:10:00+00:00")),
        ("from", json!(1_795_162_200)),
        ("grantee", json!("ab".repeat(20))),
        ("grantee", json!("AB".repeat(20))),
        ("grants", json!("owner")),
        ("hash", json!(format!("sha256:{}", "ab".repeat(32)))),
        ("qty", json!("a dozen")),
        ("qty", json!("12")),
        ("make", json!("T")),
        ("invented", json!("x")),
    ]
}

#[test]
fn the_schema_and_the_parser_agree_on_statements() {
    let schema = schema("statement.schema.json");
    let (mut fit, mut misfit) = (0, 0);
    let mut compare = |document: &Value| {
        let read = is_read(document);
        assert_eq!(schema.is_valid(document), read, "{document}");
        *(if read { &mut fit } else { &mut misfit }) += 1;
    };
    for document in documents() {
        for (member, value) in members() {
            let mut changed = document.clone();
            changed["statement"][member] = value;
            compare(&changed);
        }
        let present: Vec<String> = document["statement"].as_object().expect("object").keys().cloned().collect();
        for member in present {
            let mut changed = document.clone();
            changed["statement"].as_object_mut().expect("object").remove(&member);
            compare(&changed);
        }
    }
    assert!(fit > 50 && misfit > 50, "{fit} {misfit}");
}

#[test]
fn the_schema_and_the_parser_agree_on_subjects() {
    let schema = schema("statement.schema.json");
    for (pointer, value) in [
        ("/subject/kind", json!("device")),
        ("/subject/kind", json!("group")),
        ("/subject/kind", json!("software")),
        ("/subject/name", json!("")),
        ("/subject/version", json!(2)),
        ("/subject/digests", json!({"sha512": "ab".repeat(64)})),
        ("/subject/digests", json!({"sha256": "ab"})),
        ("/subject/digests", json!({"sha256": "ab".repeat(32), "SHA1": "ab".repeat(20)})),
        ("/subject/digests", json!({"sha256": "ab".repeat(32), "sha1": "AB".repeat(20)})),
        ("/subject/attributes", json!({"qty": "7"})),
        ("/subject/attributes", json!({"lot": ""})),
        ("/subject/attributes", json!({"lot": "8"})),
        ("/subject/colour", json!("red")),
        ("/subject", json!("firmware")),
        ("/statement", json!([])),
        ("/colour", json!("red")),
    ] {
        for document in [&documents()[0], &documents()[6]] {
            let mut changed = document.clone();
            let (parent, member) = pointer.rsplit_once('/').expect("pointer");
            changed.pointer_mut(parent).expect("parent")[member] = value.clone();
            assert_eq!(schema.is_valid(&changed), is_read(&changed), "{pointer}: {changed}");
        }
    }
}
