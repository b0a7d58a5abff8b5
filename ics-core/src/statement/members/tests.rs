//! The table of members and acts, and the forms of values.

use std::collections::BTreeSet;

use super::*;
use crate::vocabulary::WordError;

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// The members that an act needs at least.
fn least(act: Act) -> Vec<(&'static str, &'static str)> {
    let mut members = vec![("act", act.as_str()), ("role", "owner"), ("domain", "a.example")];
    members.extend_from_slice(match act {
        Act::Status => &[("status", "in-use")],
        Act::Label => &[("label", "CE")],
        Act::Grant => &[("grantee", "0123456789abcdef0123456789abcdef01234567"), ("grants", "owner")],
        Act::Installed => &[("hash", SHA256)],
        Act::Issued => &[("serial", "4a01"), ("spki", ID), ("cert", ID)],
        Act::Withdrawal => &[("supersedes", ID)],
        Act::Identity | Act::Approval => &[],
    });
    members
}

const ID: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const SHA256: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

fn tagged(members: Pairs<'_>) -> Vec<(Tag, String)> {
    members.iter().map(|(tag, value)| (Tag::parse(tag).expect("a tag"), (*value).to_owned())).collect()
}

/// Claims as notations about a device: with a kind.
fn about_device(act: Act, more: Pairs<'_>) -> Result<Claims, ClaimsError> {
    let members = [&least(act)[..], &[("kind", "device")], more].concat();
    read(tagged(&members), None).map(|(claims, _)| claims)
}

/// Claims as a document about a group.
fn about_group(act: Act, more: Pairs<'_>) -> Result<Claims, ClaimsError> {
    read(tagged(&[&least(act)[..], more].concat()), Some(Kind::Group)).map(|(claims, _)| claims)
}

/// Every member with a value, and the acts that may have it beyond those that they need.
const OPTIONAL: [(&str, &str, &[Act]); 22] = {
    const NAMING: &[Act] = &[Act::Identity];
    const SPAN: &[Act] =
        &[Act::Identity, Act::Approval, Act::Status, Act::Label, Act::Grant, Act::Installed, Act::Issued];
    const NONE: &[Act] = &[];
    [
        (
            "reason",
            "because",
            &[
                Act::Identity,
                Act::Approval,
                Act::Status,
                Act::Label,
                Act::Grant,
                Act::Installed,
                Act::Issued,
                Act::Withdrawal,
            ],
        ),
        ("status", "in-use", NONE),
        ("label", "CE", NONE),
        ("grantee", "0123456789abcdef0123456789abcdef01234567", NONE),
        ("grants", "owner", NONE),
        ("hash", SHA256, NONE),
        ("supersedes", ID, SPAN),
        ("urn", "urn:dev:os:32473-1", NAMING),
        ("serial", "SN-1", NAMING),
        ("host", "a.example", NAMING),
        ("spki", ID, NAMING),
        ("cert", ID, NAMING),
        ("group", SHA256, &[Act::Identity, Act::Approval]),
        ("replaces", "0123456789abcdef0123456789abcdef01234567", NAMING),
        ("from", "2026-11-20T08:10:00Z", SPAN),
        ("until", "2026-11-20T08:10:00Z", SPAN),
        ("manu", "Acme", NAMING),
        ("model", "T", NAMING),
        ("qty", "10", NAMING),
        ("lot", "7", NAMING),
        ("pvers", "1", NAMING),
        ("dest", "1,2", NAMING),
    ]
};

#[test]
fn which_member_belongs_to_which_act() {
    for act in Act::ALL {
        assert!(about_device(*act, &[]).is_ok(), "{act}");
        for (member, value, acts) in OPTIONAL {
            let needed = least(*act).iter().any(|(name, _)| *name == member);
            if needed {
                continue;
            }
            let result = about_device(*act, &[(member, value)]).map(drop);
            let expected = if acts.contains(act) { Ok(()) } else { Err(ClaimsError::Misplaced { member, act: *act }) };
            assert_eq!(result, expected, "{member} in {act}");
        }
    }
}

#[test]
fn what_an_act_needs() {
    for act in Act::ALL {
        for (missing, _) in least(*act) {
            let rest: Vec<_> = least(*act).into_iter().filter(|(name, _)| *name != missing).collect();
            let members = [&rest[..], &[("kind", "device")]].concat();
            assert_eq!(read(tagged(&members), None), Err(ClaimsError::Missing(missing)), "{act}");
        }
    }
    assert_eq!(read(tagged(&least(Act::Approval)), None), Err(ClaimsError::Missing("kind")));
}

#[test]
fn twice_is_refused_unless_it_repeats() {
    let once = ["reason", "replaces", "from", "until", "manu", "model", "qty"];
    for (member, value, acts) in OPTIONAL.iter().filter(|(_, _, acts)| !acts.is_empty()) {
        let twice = about_device(acts[0], &[(member, value), (member, value)]);
        assert_eq!(twice, Err(ClaimsError::Repeated(member)), "the same {member} twice");
        if once.contains(member) {
            assert!(about_device(acts[0], &[(member, value), (member, "other")]).is_err());
        }
    }
    let two = about_device(Act::Identity, &[("serial", "1"), ("serial", "2")]).expect("two serial numbers");
    assert_eq!(two.names.len(), 2);
    let two = about_device(Act::Issued, &[("serial", "4a02")]);
    assert_eq!(two, Err(ClaimsError::Repeated("serial")), "a certificate has one serial number");
}

#[test]
fn forms_of_values() {
    let value = |member, why: &str| Err(ClaimsError::Value { member, why: why.into() });
    let identity = |member: &str, text: &str| about_device(Act::Identity, &[(member, text)]).map(drop);
    let spelling = "must be written";
    assert_eq!(
        identity("urn", "URN:dev:os:32473-1"),
        value("urn", &format!("`URN:dev:os:32473-1` {spelling} `urn:dev:os:32473-1`"))
    );
    assert_eq!(identity("urn", "serial:1"), value("urn", "`serial:1` is not a URN"));
    assert_eq!(identity("host", "A.example"), value("host", &format!("`host:A.example` {spelling} `host:a.example`")));
    assert!(identity("spki", &ID.replace('1', "A")).is_err());
    assert!(identity("serial", "a b").is_err());
    assert_eq!(identity("qty", "1,000"), value("qty", "`1,000` is not a decimal number"));
    assert_eq!(identity("manu", ""), value("manu", "a text takes 1 to 1024 bytes, this one has 0"));
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    assert_eq!(identity("manu", &long), value("manu", "a text takes 1 to 1024 bytes, this one has 1025"));
    assert!(identity("manu", &long[1..]).is_ok());
    assert_eq!(identity("reason", "a\u{1b}[2J"), value("reason", "`a\\u{1b}[2J` contains a control character"));
    assert!(identity("from", "2026-11-20T09:10:00+01:00").is_err());
    assert!(identity("from", "2026-11-20T08:10:00.000Z").is_err());
    assert_eq!(
        identity("from", "2026-11-20T08:10:00.500Z"),
        Err(ClaimsError::Value {
            member: "from",
            why: "`2026-11-20T08:10:00.500Z` must be written `2026-11-20T08:10:00.5Z`".into(),
        })
    );
    assert!(identity("group", ID).is_err(), "a digest without `sha256:`");
    assert!(identity("replaces", SHA256).is_err(), "things with a key succeed things with a key");
    assert!(identity("replaces", "0123456789ABCDEF0123456789ABCDEF01234567").is_err());
    let word = about_device(Act::Approval, &[]).map(|_| ()).and(read(
        tagged(&[("act", "approval"), ("role", "Owner"), ("domain", "a.example"), ("kind", "device")]),
        None,
    ));
    assert_eq!(word.map(drop), value("role", &WordError::Role("Owner".into()).to_string()));
}

#[test]
fn times_that_end_before_they_begin() {
    let span = |from, until| about_device(Act::Approval, &[("from", from), ("until", until)]).map(drop);
    assert_eq!(span("2026-11-20T08:10:00Z", "2026-11-20T08:10:00.001Z"), Ok(()));
    assert_eq!(span("2026-11-20T08:10:00Z", "2026-11-20T08:10:00Z"), Err(ClaimsError::Span));
    assert_eq!(span("2026-11-20T08:10:01Z", "2026-11-20T08:10:00Z"), Err(ClaimsError::Span));
}

#[test]
fn forms_for_things_with_and_without_keys() {
    assert!(about_group(Act::Approval, &[]).is_ok());
    assert_eq!(about_group(Act::Approval, &[("kind", "group")]), Err(ClaimsError::Repeated("kind")));
    assert_eq!(about_group(Act::Installed, &[]), Err(ClaimsError::Form(Kind::Group)));
    assert!(about_group(Act::Identity, &[("replaces", SHA256)]).is_ok());
    for kind in ["software", "group"] {
        let members = [&least(Act::Approval)[..], &[("kind", kind)]].concat();
        assert!(matches!(read(tagged(&members), None), Err(ClaimsError::Form(_))));
    }
    assert_eq!(read(tagged(&least(Act::Approval)), Some(Kind::Device)), Err(ClaimsError::Form(Kind::Device)));
}

#[test]
fn bounds() {
    let ids: Vec<String> = (0..=limits::SUPERSEDES).map(|n| format!("{n:064x}")).collect();
    let superseding = |count: usize| {
        let more: Vec<_> = ids.iter().take(count).map(|id| ("supersedes", id.as_str())).collect();
        about_device(Act::Approval, &more).map(|claims| claims.supersedes.len())
    };
    assert_eq!(superseding(limits::SUPERSEDES), Ok(limits::SUPERSEDES));
    assert_eq!(superseding(limits::SUPERSEDES + 1), Err(ClaimsError::TooManySuperseded(limits::SUPERSEDES + 1)));
    let serials: Vec<String> = (0..limits::NOTATIONS).map(|n| n.to_string()).collect();
    let named = |count: usize| {
        let more: Vec<_> = serials.iter().take(count).map(|serial| ("serial", serial.as_str())).collect();
        about_device(Act::Identity, &more).map(|claims| claims.names.len())
    };
    assert_eq!(named(limits::NOTATIONS - 4), Ok(limits::NOTATIONS - 4));
    assert_eq!(named(limits::NOTATIONS - 3), Err(ClaimsError::TooMany(limits::NOTATIONS + 1)));
    let signatures = (0..=limits::DEVELOPER_SIGNATURES).map(|n| format!("minisign:{n:064x}:AAAA"));
    let signatures: Vec<String> = signatures.collect();
    let signed = |count: usize| {
        let more: Vec<_> = signatures.iter().take(count).map(|text| ("signature", text.as_str())).collect();
        let members = [&least(Act::Identity)[..], &more[..]].concat();
        read(tagged(&members), Some(Kind::Software)).map(|(claims, _)| claims.signatures.len())
    };
    let most = limits::DEVELOPER_SIGNATURES;
    assert_eq!(signed(most), Ok(most));
    assert_eq!(signed(most + 1), Err(ClaimsError::TooManySignatures(most + 1)));
}

#[test]
fn tags_are_distinct_and_read_back() {
    let texts: BTreeSet<_> = Tag::all().map(Tag::as_str).collect();
    assert_eq!(texts.len(), Tag::all().count());
    assert!(Tag::all().all(|tag| Tag::parse(tag.as_str()) == Some(tag)));
    assert_eq!(Tag::parse("colour"), None);
}
