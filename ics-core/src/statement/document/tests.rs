//! Subjects of documents.

use std::collections::BTreeMap;

use super::*;
use crate::identity::IdentityId;
use crate::limits;

fn software(digests: &[(&str, &str)]) -> Software {
    let digests = digests.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect();
    Software { kind: Kind::Software, name: "a".into(), version: "1".into(), digests }
}

fn group() -> Group {
    Group { kind: Kind::Group, name: "lot 7".into(), attributes: BTreeMap::from([(Attribute::Lot, "7".into())]) }
}

#[test]
fn software_is_named_by_its_digest() {
    let digest = "ab".repeat(32);
    assert_eq!(software(&[("sha256", &digest)]).id(), Ok(IdentityId::Software([0xab; 32])));
    assert!(software(&[("sha256", &digest), ("sha512", &"cd".repeat(64))]).id().is_ok());
    for digests in [
        &[][..],
        &[("sha512", "cd")],
        &[("sha256", &digest[2..])],
        &[("sha256", &digest.to_uppercase())],
        &[("sha256", &digest), ("sha512", "xy")],
        &[("sha256", &digest), ("SHA512", "abababab")],
        &[("sha256", &digest), ("sha512", "ababababa")],
        &[("sha256", &digest), ("", "abababab")],
    ] {
        assert_eq!(software(digests).id(), Err(ClaimsError::Digest), "{digests:?}");
    }
    let names: Vec<String> = (0..DIGESTS).map(|n| format!("h{n}")).collect();
    let many: Vec<_> =
        names.iter().map(|name| (name.as_str(), "abababab")).chain([("sha256", digest.as_str())]).collect();
    assert_eq!(software(&many).id(), Err(ClaimsError::Digest));
    assert!(software(&many[1..]).id().is_ok());
}

#[test]
fn texts_of_subjects() {
    let digest = "ab".repeat(32);
    for (name, version) in [("", "1"), ("a", ""), ("a\n", "1"), ("a", &"1".repeat(limits::TEXT_BYTES + 1))] {
        let subject = Software { name: name.into(), version: version.into(), ..software(&[("sha256", &digest)]) };
        assert!(matches!(subject.id(), Err(ClaimsError::Value { .. })), "{name} {version}");
    }
    let wrong = Software { kind: Kind::Group, ..software(&[("sha256", &digest)]) };
    assert_eq!(wrong.id(), Err(ClaimsError::Form(Kind::Group)));
}

#[test]
fn groups_are_named_by_their_canonical_bytes() {
    let canonical = br#"{"attributes":{"lot":"7"},"kind":"group","name":"lot 7"}"#;
    let digest = crate::openpgp::algorithm::sha256(&[canonical]);
    assert_eq!(group().id(), Ok(IdentityId::Group(digest)));
    let wrong = Group { kind: Kind::Software, ..group() };
    assert_eq!(wrong.id(), Err(ClaimsError::Form(Kind::Software)));
    let by_quantity = Group { attributes: BTreeMap::from([(Attribute::Quantity, "1".into())]), ..group() };
    assert_eq!(by_quantity.id(), Err(ClaimsError::Selecting(Attribute::Quantity)));
    for name in ["", "a\u{7}"] {
        assert!(matches!(Group { name: name.into(), ..group() }.id(), Err(ClaimsError::Value { member: "name", .. })));
    }
    let empty = Group { attributes: BTreeMap::from([(Attribute::Lot, String::new())]), ..group() };
    assert!(matches!(empty.id(), Err(ClaimsError::Value { member: "lot", .. })));
}

#[test]
fn unknown_members_of_subjects_are_refused() {
    for subject in [
        json!({"kind": "group", "name": "a", "colour": "red"}),
        json!({"kind": "group", "name": "a", "attributes": {"colour": "red"}}),
        json!({"kind": "group", "name": "a", "attributes": {}}),
        json!({"kind": "software", "name": "a", "version": 1, "digests": {}}),
        json!({"kind": "toaster"}),
    ] {
        assert!(matches!(read_subject(subject.clone()), Err(ClaimsError::Json(JsonError::Shape(_)))), "{subject}");
    }
}
