//! Trust policies: what a relying party makes of an evaluated view.

use ics_core::descriptor::{FieldError, Freshness, Problem};
use ics_core::identity::Kind;
use ics_core::policy::{Decision, PolicyError};
use ics_core::trust::{Facts, TrustDocument, TrustError, TrustPolicy, TrustRequest, templates};
use ics_core::vocabulary::{Attribute, Effect};
use proptest::prelude::*;
use serde_json::json;

pub(crate) fn document(rules: &str) -> TrustDocument {
    let origin = |domain: &str, digit: &str| format!("{domain}/{}", digit.repeat(64)).parse().expect("origin");
    TrustDocument {
        domains: vec![origin("devices.acme.example", "a"), origin("plant.example", "b")],
        roles: Default::default(),
        labelling_roles: TrustDocument::certification_bodies(),
        freshness: Freshness { default: 86_400, uses: [("install".to_owned(), 600)].into() },
        rules: rules.to_owned(),
    }
}

fn policy(rules: &str) -> TrustPolicy {
    TrustPolicy::compile(document(rules)).expect("trust policy")
}

/// Nothing is known of it but what it is.
pub(crate) fn unknown(kind: Kind) -> Facts {
    Facts {
        kind,
        attributes: Default::default(),
        effect: Effect::None,
        status: None,
        vouching_roles: Default::default(),
        approving_roles: Default::default(),
        formerly_approving_roles: words(&[]),
        labels: Default::default(),
        conflict: false,
    }
}

fn words(words: &[&str]) -> std::collections::BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// In use, vouched for and approved of.
pub(crate) fn in_use(kind: Kind, vouching: &str) -> Facts {
    Facts {
        effect: Effect::Permits,
        status: Some("in-use".to_owned()),
        vouching_roles: words(&[vouching]),
        approving_roles: words(&["integrator"]),
        ..unknown(kind)
    }
}

fn asked(usage: &str, thing: Facts, peer: Option<Facts>) -> TrustRequest {
    TrustRequest { usage: usage.to_owned(), thing, peer }
}

pub(crate) fn stolen() -> Facts {
    Facts { effect: Effect::Blocks, status: Some("stolen".to_owned()), ..in_use(Kind::Device, "manufacturer") }
}

/// Requests and the rules that decide them, by shipped rules; an allowed one is decided by a permit.
pub(crate) fn table() -> Vec<(&'static str, String, TrustRequest, bool, Vec<&'static str>)> {
    let device = || in_use(Kind::Device, "manufacturer");
    let gateway = || Some(in_use(Kind::Gateway, "manufacturer"));
    let labelled = || Facts { labels: words(&["medical"]), ..device() };
    let software = || Facts { status: Some("released".to_owned()), ..in_use(Kind::Software, "developer") };
    let without = |change: fn(&mut Facts)| {
        let mut facts = device();
        change(&mut facts);
        facts
    };
    let vouched = || ("vouched", templates::VOUCHED.to_owned());
    let medical = || ("labelled", templates::labelled("medical").expect("label"));
    let code = || ("software", templates::SOFTWARE.to_owned());
    let permitted = ["vouched-and-in-use"];
    [
        (vouched(), asked("connect", device(), gateway()), true, &permitted[..]),
        (vouched(), asked("operate", device(), None), true, &permitted),
        (vouched(), asked("recharge", device(), None), true, &permitted),
        (vouched(), asked("connect", unknown(Kind::Device), gateway()), false, &[]),
        (vouched(), asked("connect", without(|f| f.vouching_roles.clear()), gateway()), false, &[]),
        (vouched(), asked("connect", without(|f| f.approving_roles.clear()), gateway()), false, &[]),
        (vouched(), asked("connect", without(|f| f.effect = Effect::None), gateway()), false, &[]),
        (vouched(), asked("connect", stolen(), gateway()), false, &["blocked"]),
        (vouched(), asked("connect", without(|f| f.effect = Effect::BlocksForEver), None), false, &["blocked"]),
        (vouched(), asked("connect", device(), Some(stolen())), false, &["peer-blocked", "peer-not-vouched"]),
        (vouched(), asked("operate", device(), Some(stolen())), false, &["peer-blocked"]),
        (vouched(), asked("connect", device(), Some(unknown(Kind::Gateway))), false, &["peer-not-vouched"]),
        (
            vouched(),
            asked("connect", stolen(), Some(stolen())),
            false,
            &["blocked", "peer-blocked", "peer-not-vouched"],
        ),
        (medical(), asked("connect", labelled(), None), true, &["labelled-and-in-use"]),
        (medical(), asked("connect", labelled(), Some(labelled())), true, &["labelled-and-in-use"]),
        (medical(), asked("connect", labelled(), gateway()), false, &["peer-not-labelled"]),
        (medical(), asked("connect", device(), None), false, &[]),
        (code(), asked("install", software(), Some(device())), true, &["released-and-approved"]),
        (code(), asked("install", device(), None), false, &[]),
        (code(), asked("operate", software(), None), false, &[]),
        (code(), asked("install", software(), Some(stolen())), false, &["peer-blocked"]),
    ]
    .map(|((name, rules), request, allow, reasons)| (name, rules, request, allow, reasons.to_vec()))
    .into()
}

#[test]
fn what_the_shipped_rules_decide() {
    for (name, rules, request, allow, reasons) in table() {
        let decision = policy(&rules).decide(&request);
        let shown = if allow { reasons } else { decided_by_forbid(&decision, reasons) };
        let expected = Decision { allow, reasons: shown.iter().map(ToString::to_string).collect(), errors: vec![] };
        assert_eq!(decision, expected, "{name}: {request:?}");
    }
}

/// A denial gives the forbids as its reasons, never a permit beside them.
fn decided_by_forbid<'a>(decision: &Decision, reasons: Vec<&'a str>) -> Vec<&'a str> {
    assert!(!decision.allow && !decision.reasons.iter().any(|reason| reason.contains("-and-")), "{decision:?}");
    reasons
}

#[test]
fn shipped_rules_can_be_joined() {
    let joined = [templates::VOUCHED, &templates::labelled("medical").expect("label"), templates::SOFTWARE].join("\n");
    assert_eq!(policy(&joined).domains().len(), 2);
    for label in ["", "a\"b", "a\\b", "a\nb"] {
        assert_eq!(templates::labelled(label), None, "{label:?}");
    }
}

#[test]
fn what_requirements_demand() {
    use ics_core::trust::requirement::{Requirement, rules};
    let role = |role: &str| role.parse().expect("a role");
    let requirements = [
        Requirement::Vouched(role("manufacturer")),
        Requirement::Approved(role("integrator")),
        Requirement::Labelled("medical".parse().expect("a label")),
        Requirement::Quorum("2:manufacturer,integrator,owner".parse().expect("a quorum")),
        Requirement::Status(["in-use".parse().expect("a status")].into()),
        Requirement::Agreed,
        Requirement::Pairs(vec![
            "device:gateway".parse().expect("a pair"),
            "model=T1:service".parse().expect("a pair"),
        ]),
    ];
    let policy = policy(&[templates::ANYTHING_VOUCHED.to_owned(), rules(&requirements)].join("\n"));
    assert!(policy.permits_anything() && !self::policy(&rules(&requirements[..1])).permits_anything());
    let good = |kind| Facts {
        vouching_roles: words(&["manufacturer", "owner"]),
        labels: words(&["medical", "other"]),
        ..in_use(kind, "manufacturer")
    };
    let decide = |change: fn(&mut Facts), peer: Option<Facts>| {
        let mut thing = good(Kind::Device);
        change(&mut thing);
        policy.decide(&asked("connect", thing, peer)).reasons
    };
    let gateway = || Some(good(Kind::Gateway));
    assert_eq!(decide(|_| (), gateway()), ["anything-vouched"]);
    assert_eq!(decide(|f| f.approving_roles.clear(), gateway()), ["approved-integrator"]);
    assert_eq!(decide(|f| f.labels = words(&["other"]), gateway()), ["labelled-medical"]);
    assert_eq!(decide(|f| f.vouching_roles = words(&["manufacturer"]), gateway()), ["quorum"]);
    assert_eq!(decide(|f| f.status = Some("planned".to_owned()), gateway()), ["status"]);
    assert_eq!(decide(|f| f.status = None, gateway()), ["status"]);
    assert_eq!(decide(|f| f.conflict = true, gateway()), ["agreed"]);
    assert_eq!(decide(|_| (), None), ["pairs"]);
    assert_eq!(decide(|_| (), Some(good(Kind::Service))), ["pairs"]);
    let model = |f: &mut Facts| drop(f.attributes.insert(Attribute::Model, "T1".to_owned()));
    assert_eq!(decide(model, Some(good(Kind::Service))), ["anything-vouched"]);
    let unlabelled = Facts { labels: words(&[]), ..good(Kind::Gateway) };
    assert_eq!(decide(|_| (), Some(unlabelled)), ["peer-labelled-medical"]);
    for text in ["0:a,b", "3:a,b", "2:", "2", "x:a", "1:a,b,c,d,e,f"] {
        assert!(text.parse::<ics_core::trust::requirement::Quorum>().is_err(), "{text}");
    }
    for text in ["device", "device:toaster", "model=:device", "model=a\u{7}b:device"] {
        assert!(text.parse::<ics_core::trust::requirement::Pair>().is_err(), "{text}");
    }
}

/// Software is permitted by rules of its own, and held to what is demanded as anything else.
#[test]
fn what_requirements_demand_of_software() {
    use ics_core::trust::requirement::{Requirement, rules};
    let role = |role: &str| role.parse().expect("a role");
    let status = |names: &[&str]| Requirement::Status(names.iter().map(|name| name.parse().expect("one")).collect());
    let good = || Facts {
        status: Some("released".to_owned()),
        labels: words(&["checked"]),
        ..in_use(Kind::Software, "developer")
    };
    let once = || {
        let formerly_approving_roles = words(&["integrator"]);
        Facts { approving_roles: words(&[]), formerly_approving_roles, ..good() }
    };
    let labelled = || Requirement::Labelled("checked".parse().expect("a label"));
    let two = || Requirement::Quorum("2:developer,manufacturer".parse().expect("a quorum"));
    for (demand, usage, code, forbidding) in [
        (labelled(), "install", good(), None),
        (labelled(), "install", Facts { labels: words(&[]), ..good() }, Some("labelled-checked")),
        (Requirement::Vouched(role("developer")), "install", good(), None),
        (Requirement::Vouched(role("manufacturer")), "install", good(), Some("vouched-manufacturer")),
        (two(), "install", good(), Some("quorum")),
        (Requirement::Agreed, "install", good(), None),
        (Requirement::Agreed, "install", Facts { conflict: true, ..good() }, Some("agreed")),
        (Requirement::Approved(role("integrator")), "install", good(), None),
        (Requirement::Approved(role("integrator")), "install", once(), Some("approved-integrator")),
        (Requirement::Approved(role("integrator")), "rollback", once(), Some("approved-integrator")),
        (Requirement::ApprovedOnce(role("integrator")), "install", once(), Some("approved-integrator")),
        (Requirement::ApprovedOnce(role("integrator")), "rollback", once(), None),
        (Requirement::ApprovedOnce(role("owner")), "rollback", once(), Some("approved-owner")),
        // No software is ever in use: it is permitted by its own status.
        (status(&["in-use"]), "install", good(), None),
        (status(&["in-use", "released"]), "install", good(), None),
        (status(&["in-use", "announced"]), "install", good(), Some("status")),
        (status(&["of-ours"]), "install", good(), Some("status")),
    ] {
        let policy =
            policy(&[templates::ANYTHING_VOUCHED.to_owned(), rules(core::slice::from_ref(&demand))].join("\n"));
        let decision = policy.decide(&asked(usage, code, None));
        assert_eq!(decision.reasons, [forbidding.unwrap_or("anything-vouched")], "{demand:?} {usage}");
        assert_eq!((decision.allow, decision.errors), (forbidding.is_none(), Vec::new()), "{demand:?} {usage}");
    }
    let held =
        policy(&["@id(\"any\") permit (principal, action, resource);", &rules(&[status(&["in-use"])])].join("\n"));
    let planned = Facts { effect: Effect::None, status: Some("announced".to_owned()), ..good() };
    assert_eq!(held.decide(&asked("install", planned, None)).reasons, ["status"], "nor is what nothing permits");
}

/// Whatever `ics label` takes can be demanded, and a refusal names the rule.
#[test]
fn any_label_can_be_demanded() {
    use ics_core::trust::requirement::{Label, Requirement, rules};
    let long = "\u{e9}A".repeat(300);
    let labels = [
        ("medical", "labelled-medical".to_owned()),
        ("ISO 13485", "labelled-iso-13485".to_owned()),
        ("iso_13485", "labelled-iso-13485-2".to_owned()),
        ("iso-13485", "labelled-iso-13485-3".to_owned()),
        ("iso-13485-2", "labelled-iso-13485-2-2".to_owned()),
        ("a \"b\" \\", "labelled-a--b---".to_owned()),
        (
            "\\\" } permit (principal, action, resource); //",
            "labelled------permit--principal--action--resource".to_owned(),
        ),
        ("\u{5b89}\u{5168} \u{1f512}\u{202e}*", "labelled-------".to_owned()),
        (long.as_str(), format!("labelled-{}", "-a".repeat(20))),
        (&long[..300], format!("labelled-{}-2", "-a".repeat(20))),
    ];
    let demands = labels.each_ref().map(|(label, _)| Requirement::Labelled(label.parse().expect("a label")));
    let policy = policy(&[templates::ANYTHING_VOUCHED.to_owned(), rules(&demands)].join("\n"));
    let decide = |lacking: &str| {
        let has = labels.iter().map(|(label, _)| (*label).to_owned()).filter(|label| label != lacking);
        let thing = Facts { labels: has.collect(), ..in_use(Kind::Device, "manufacturer") };
        policy.decide(&asked("operate", thing, None))
    };
    assert!(decide("").allow, "it has all of them");
    for (label, rule) in &labels {
        assert_eq!(decide(label), Decision { allow: false, reasons: vec![rule.clone()], errors: vec![] }, "{label}");
    }
    for label in ["", "a\nb", &"a".repeat(1_025)] {
        assert!(label.parse::<Label>().is_err(), "{label:?}");
    }
}

#[test]
fn rules_see_every_fact() {
    let rules = r#"@id("all") permit (principal, action == Action::"other", resource) when {
        context.use == "fly" && principal.kind == Kind::"device" && principal.effect == Effect::"permits" &&
        principal has status && principal.status == "in-use" && principal.conflict &&
        principal.labels.containsAll(["a", "b"]) && principal has lot && principal.lot == "7" &&
        resource is Thing && resource.kind == Kind::"gateway" && resource has model && resource.model == "T1"
    };"#;
    let thing = Facts {
        labels: words(&["a", "b"]),
        conflict: true,
        attributes: [(Attribute::Lot, "7".to_owned())].into(),
        ..in_use(Kind::Device, "manufacturer")
    };
    let peer = Facts { attributes: [(Attribute::Model, "T1".to_owned())].into(), ..unknown(Kind::Gateway) };
    let whole = asked("fly", thing, Some(peer));
    assert_eq!(policy(rules).decide(&whole).reasons, ["all"]);
    let changes: [fn(&mut TrustRequest); 8] = [
        |r| r.usage = "connect".to_owned(),
        |r| r.usage = "swim".to_owned(),
        |r| r.thing.kind = Kind::Service,
        |r| r.thing.status = None,
        |r| r.thing.conflict = false,
        |r| drop(r.thing.labels.pop_first()),
        |r| r.thing.attributes.clear(),
        |r| r.peer = None,
    ];
    for change in changes {
        let mut request = whole.clone();
        change(&mut request);
        let decision = policy(rules).decide(&request);
        assert_eq!(decision, Decision { allow: false, reasons: vec![], errors: vec![] }, "{request:?}");
    }
}

#[test]
fn a_trust_policy_survives_its_json() {
    let document = document(templates::VOUCHED);
    let json = serde_json::to_vec(&document).expect("JSON");
    let policy = TrustPolicy::parse(&json).expect("policy");
    assert_eq!(policy.document(), &document);
    assert_eq!(policy.freshness().seconds("install"), 600);

    // By whom labels are given it says only where it is not the certification body.
    assert_eq!(serde_json::to_value(&document).expect("JSON").get("labelling_roles"), None);
    let other = TrustDocument { labelling_roles: ["integrator".parse().expect("a role")].into(), ..document };
    let json = serde_json::to_vec(&other).expect("JSON");
    assert_eq!(TrustPolicy::parse(&json).expect("policy").document(), &other);
}

#[test]
fn what_is_wrong_with_a_trust_policy() {
    let json = |change: fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(document(templates::VOUCHED)).expect("JSON");
        change(&mut value);
        TrustPolicy::parse(value.to_string().as_bytes()).map(drop).expect_err("refused")
    };
    let field = |field: &str, problem| TrustError::Field(FieldError { field: field.to_owned(), problem });
    assert_eq!(json(|v| v["domains"] = json!([])), field("domains", Problem::Empty));
    assert_eq!(json(|v| v["labelling_roles"] = json!([])), field("labelling_roles", Problem::Empty));
    let twice = field("domains", Problem::Duplicate("plant.example".to_owned()));
    assert_eq!(json(|v| v["domains"][0] = json!(format!("plant.example/{}", "c".repeat(64)))), twice);
    let range = Problem::Range { value: 0, min: 1, max: ics_core::limits::JSON_INTEGER };
    assert_eq!(json(|v| v["freshness"]["default"] = json!(0)), field("freshness.default", range));
    for (change, message) in [
        ((|v| v["domains"][0] = json!("plant.example")) as fn(&mut serde_json::Value), "domains[0]: `plant.example`"),
        (|v| v["ruels"] = json!(""), "unknown field `ruels`"),
        (|v| drop(v.as_object_mut().expect("object").remove("rules")), "missing field `rules`"),
        (|v| v["rules"] = json!("permit"), "`rules`: the rules are not Cedar"),
        (
            |v| v["rules"] = json!("@id(\"blocked\") permit (principal, action, resource);"),
            "two rules have the id `blocked`",
        ),
        (
            |v| v["rules"] = json!("@id(\"r\") forbid (principal, action, resource) when { resource.conflict };"),
            "the rule `r` does not fit the schema",
        ),
        (
            |v| v["rules"] = json!("@id(\"r\") permit (principal, action == Action::\"conect\", resource);"),
            "the rule `r` does not fit the schema",
        ),
    ] {
        let error = json(change).to_string();
        assert!(error.contains(message), "{error}");
    }
    let size = ics_core::limits::DESCRIPTOR_BYTES + 1;
    assert_eq!(TrustPolicy::parse(&vec![b' '; size]).map(drop), Err(TrustError::TooLong(size)));
    let unnamed = TrustPolicy::compile(document("permit (principal, action, resource);")).map(drop);
    assert_eq!(unnamed, Err(TrustError::Rules(PolicyError::Unnamed)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// No rule brings back what a status blocks.
    #[test]
    fn what_is_blocked_is_used_for_nothing(
        usage in "connect|install|operate|[a-z]{1,8}",
        effect in proptest::sample::select(Effect::ALL.to_vec()),
        peer in proptest::option::of(proptest::sample::select(Effect::ALL.to_vec())),
    ) {
        let anything = policy("@id(\"anything\") permit (principal, action, resource);");
        let thing = |effect| Facts { effect, ..in_use(Kind::Device, "manufacturer") };
        let decision = anything.decide(&asked(&usage, thing(effect), peer.map(thing)));
        prop_assert!(decision.errors.is_empty());
        prop_assert_eq!(decision.allow, !effect.blocks() && !peer.is_some_and(Effect::blocks));
    }
}
