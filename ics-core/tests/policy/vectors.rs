//! `schemas/vectors/policy.json`: descriptors, versions and decisions for implementations in any language.
//!
//! The vectors are computed anew and compared with the file; `ICS_UPDATE_VECTORS=1` writes it.

use std::path::PathBuf;

use ics_core::canonical_json;
use ics_core::descriptor::{Descriptor, Head, Template, admit_first, admit_next};
use ics_core::identity::{Fingerprint, Kind};
use ics_core::log::Hash;
use ics_core::policy::{AccessPolicy, Action, Append, Principal, Request, Resource};
use ics_core::trust::{TrustDocument, TrustPolicy};
use ics_core::vocabulary::{Act, Effect};
use serde_json::{Map, Value, json};

use crate::descriptors::{base, full, refusals};
use crate::fixtures::{append, filled, fingerprints, grant, label, node, party, says, status, thing};
use crate::{templates, trust};

fn text(json: &[u8]) -> String {
    String::from_utf8(json.to_vec()).expect("UTF-8")
}

/// Without access rules, which have vectors of their own.
fn bare(descriptor: Descriptor) -> Descriptor {
    Descriptor { access: String::new(), ..descriptor }
}

fn accepted() -> Vec<Value> {
    let named = Template::ALL.map(|template| (template.to_string(), filled(template)));
    let every = ("every-member".to_owned(), bare(full()));
    named
        .into_iter()
        .chain([every])
        .map(|(name, descriptor)| {
            let json = descriptor.to_json();
            assert_eq!(Descriptor::parse(&json).as_ref(), Ok(&descriptor), "{name}");
            json!({ "name": name, "json": text(&json), "hash": descriptor.hash() })
        })
        .collect()
}

fn refused() -> Vec<Value> {
    let of = |json: &str, field: Option<&str>| {
        let error = Descriptor::parse(json.as_bytes()).expect_err("refused").to_string();
        assert!(field.is_none_or(|field| error.contains(&format!("`{field}`"))), "{field:?}: {error}");
        json!({ "json": json, "field": field, "error": error })
    };
    let changed = |change: fn(&mut Descriptor)| {
        let mut descriptor = bare(base());
        change(&mut descriptor);
        text(&descriptor.to_json())
    };
    let fields = refusals().into_iter().map(|(change, field, _)| of(&changed(change), Some(field)));
    let plain = text(&bare(base()).to_json());
    let access = |rules: &str| of(&text(&Descriptor { access: rules.to_owned(), ..base() }.to_json()), Some("access"));
    fields
        .chain([
            access("permit (principal, action, resource);"),
            access("@id(\"r\") permit (principal in Role::\"ownr\", action, resource);"),
            of(&format!("{plain}\n"), None),
            of(&plain.replacen("\"version\":1", "\"version\":1.0", 1), None),
            of(&plain.replacen("\"version\":1", "\"version\":1,\"version\":1", 1), None),
            of(&plain.replacen("\"access\":\"\",", "", 1), None),
        ])
        .collect()
}

/// Version 2 of the bare descriptor, with a change of its own.
fn second(change: impl FnOnce(&mut Descriptor)) -> Descriptor {
    let mut second = Descriptor { version: 2, previous: Some(bare(base()).hash()), ..bare(base()) };
    change(&mut second);
    second
}

fn versions() -> Vec<Value> {
    let head = Head { size: 5, root: Hash([1; 32]) };
    let first = bare(base());
    let table = [
        (None, first.clone(), &[1, 2][..]),
        (None, first.clone(), &[3]),
        (None, first.clone(), &[1, 4]),
        (Some(&first), second(|_| ()), &[1, 3]),
        (Some(&first), second(|_| ()), &[1]),
        (Some(&first), second(|d| d.version = 3), &[1, 2, 3]),
        (Some(&first), second(|d| d.previous = Some(Hash([9; 32]))), &[1, 2, 3]),
        (Some(&first), second(|d| d.domain = "other.example".parse().expect("domain")), &[1, 2, 3]),
        (Some(&first), second(|d| d.home = node("ics.acme.example", 10)), &[1, 2, 3]),
        (Some(&first), second(|d| (d.home, d.last_head) = (node("ics.acme.example", 10), Some(head))), &[1, 2, 3]),
    ];
    table
        .into_iter()
        .map(|(previous, next, owners)| {
            let (json, signed_by) = (next.to_json(), fingerprints(owners));
            let result = match previous {
                None => admit_first(&json, &signed_by),
                Some(previous) => admit_next(previous, &json, &signed_by),
            };
            json!({
                "previous": previous.map(|previous| text(&previous.to_json())),
                "json": text(&json),
                "signed_by": signed_by.iter().map(Fingerprint::to_string).collect::<Vec<_>>(),
                "error": result.err().map(|error| error.to_string()),
            })
        })
        .collect()
}

fn requests() -> Vec<(Template, Request)> {
    let appended = templates::table().into_iter().map(|(template, said, kind, _)| (template, append(said, kind)));
    let anonymous = |action, resource| Request { principal: Principal::default(), action, resource };
    let domain = Resource::Domain("devices.acme.example".parse().expect("domain"));
    let source = || Some("code.soft.example".parse().expect("domain"));
    let adopted = Append { source: source(), ..label("certification-body", "medical") };
    let in_use = || status("owner", "in-use", Effect::Permits);
    let certificate = |source| anonymous(Action::Certificate { source }, thing(Kind::Organisation));
    let claimed = Action::Append(says(Act::Approval, "integrator"));
    let others = [
        (Template::Manufacturer, anonymous(Action::Read, thing(Kind::Device))),
        (Template::Manufacturer, anonymous(Action::Follow, thing(Kind::Device))),
        (Template::Manufacturer, anonymous(Action::Mirror, domain)),
        (Template::Manufacturer, anonymous(Action::Mirror, thing(Kind::Device))),
        (Template::Manufacturer, append(says(Act::Status, "manufacturer"), Kind::Device)),
        (Template::Maintenance, append(adopted.clone(), Kind::Device)),
        (Template::Maintenance, anonymous(Action::Append(adopted), thing(Kind::Device))),
        (Template::Maintenance, append(Append { source: source(), ..grant("manufacturer", "owner") }, Kind::Device)),
        (
            Template::Maintenance,
            append(Append { source: source(), ..grant("manufacturer", "integrator") }, Kind::Device),
        ),
        (Template::Maintenance, append(Append { granted_elsewhere: true, ..in_use() }, Kind::Device)),
        (Template::Maintenance, append(Append { granted_elsewhere: true, lifts: true, ..in_use() }, Kind::Device)),
        (Template::Maintenance, certificate(source())),
        (Template::Maintenance, certificate(None)),
        (
            Template::Maintenance,
            Request { principal: party(&["maintainer"]), action: claimed, resource: thing(Kind::Device) },
        ),
    ];
    appended.chain(others).collect()
}

fn decisions() -> Vec<Value> {
    let decide = |(template, request): (Template, Request)| {
        let decision = AccessPolicy::compile(&filled(template)).expect("policy").decide(&request);
        json!({
            "descriptor": template.as_str(),
            "request": request,
            "allow": decision.allow,
            "reasons": decision.reasons,
            "errs": !decision.errors.is_empty(),
        })
    };
    requests().into_iter().map(decide).collect()
}

/// The policies by name, and what they decide.
fn trusted() -> (Value, Vec<Value>) {
    let mut policies = Map::new();
    let decide = |(name, rules, request, ..): (&str, String, _, bool, Vec<_>)| {
        let document: TrustDocument = trust::document(&rules);
        policies.insert(name.to_owned(), json!(document));
        let decision = TrustPolicy::compile(document).expect("trust policy").decide(&request);
        json!({
            "policy": name,
            "request": request,
            "allow": decision.allow,
            "reasons": decision.reasons,
            "errs": !decision.errors.is_empty(),
        })
    };
    let decisions = trust::table().into_iter().map(decide).collect();
    (policies.into(), decisions)
}

#[test]
fn vectors_are_as_published() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors/policy.json");
    let (trust_policies, trust_decisions) = trusted();
    let computed = json!({
        "about": "Descriptors by their canonical JSON, accepted with its SHA-256 or refused at a field; versions with the \
                  owners whose signature over them is good; access decisions by the accepted descriptor of that name; \
                  trust decisions. Wordings of errors are this implementation's own.",
        "accepted": accepted(),
        "refused": refused(),
        "versions": versions(),
        "decisions": decisions(),
        "trust_policies": trust_policies,
        "trust_decisions": trust_decisions,
    });
    if std::env::var_os("ICS_UPDATE_VECTORS").is_some() {
        let sorted = canonical_json::to_bytes(&computed).expect("canonical");
        let sorted: Value = serde_json::from_slice(&sorted).expect("JSON");
        std::fs::write(&file, format!("{sorted:#}\n")).expect("vectors are written");
    }
    let published = std::fs::read(&file).expect("vectors are published");
    assert_eq!(computed, serde_json::from_slice::<Value>(&published).expect("JSON"));
}
