//! How requests are decided: errors deny, reasons have one order, and remembering changes nothing.

use std::collections::BTreeMap;

use ics_core::descriptor::{AddedStatus, Descriptor, Template};
use ics_core::identity::{IdentityId, Kind};
use ics_core::limits;
use ics_core::policy::{AccessPolicy, Action, Append, Decision, PolicyError, Principal, Request, Resource};
use ics_core::vocabulary::{Act, Attribute, Effect};
use proptest::prelude::*;

use crate::fixtures::{append, filled, grant, label, party, role, says, signer, status, thing};

/// The developer's template with other access rules; its roles are developer, owner and security-controller.
fn ruled_by(access: &str) -> Descriptor {
    Descriptor { access: access.to_owned(), ..filled(Template::Developer) }
}

fn compile(access: &str) -> Result<AccessPolicy, PolicyError> {
    AccessPolicy::compile(&ruled_by(access))
}

fn read(policy: &AccessPolicy, principal: Principal, resource: Resource) -> Decision {
    policy.decide(&Request { principal, action: Action::Read, resource })
}

const ANYONE_READS: &str = "@id(\"anyone-reads\") permit (principal, action == Action::\"read\", resource);";

/// What a text means must not change under a log that names it: another language version is another rules version.
#[test]
fn the_rules_are_those_of_one_language_version() {
    assert_eq!(ics_core::descriptor::RULES, 1);
    let version = cedar_policy::get_lang_version();
    assert_eq!((version.major, version.minor), (4, 6));
}

#[test]
fn what_no_rule_permits_is_denied_without_a_reason() {
    let policy = compile("").expect("no rules are rules");
    let decision = read(&policy, party(&["owner"]), thing(Kind::Device));
    assert_eq!(decision, Decision { allow: false, reasons: vec![], errors: vec![] });
}

/// Cedar skips a rule that fails, a `forbid` as well.
#[test]
fn a_rule_that_errs_denies() {
    for effect in ["forbid", "permit"] {
        let policy = compile(&format!(
            "{ANYONE_READS} @id(\"errs\") {effect} (principal, action, resource) \
             when {{ 9223372036854775807 + 1 > 0 }};"
        ))
        .expect("an overflow is no matter of types");
        let decision = read(&policy, party(&[]), thing(Kind::Device));
        assert!(!decision.allow, "{effect}: {decision:?}");
        assert_eq!(decision.reasons, ["anyone-reads"], "{effect}");
        assert!(decision.errors.len() == 1 && decision.errors[0].contains("overflow"), "{effect}: {decision:?}");
    }
}

#[test]
fn a_request_that_does_not_fit_the_schema_is_denied_with_the_error() {
    let descriptor = filled(Template::Developer);
    let policy = AccessPolicy::compile(&descriptor).expect("policy");
    let incomplete = says(Act::Status, "owner");
    let superfluous = Append { act: Act::Approval, ..status("owner", "in-use", Effect::Permits) };
    let domain = Resource::Domain(descriptor.domain);
    for request in [
        append(incomplete, Kind::Device),
        append(superfluous, Kind::Device),
        Request { principal: party(&[]), action: Action::Read, resource: domain },
        Request { principal: party(&[]), action: Action::Mirror, resource: thing(Kind::Device) },
    ] {
        let decision = policy.decide(&request);
        assert!(!decision.allow && decision.errors.len() == 1, "{request:?}: {decision:?}");
    }
}

#[test]
fn rules_are_refused_before_they_rule() {
    let rule = |text: &str| format!("@id(\"r\") {text}");
    let invalid = |text: &str| (rule(text), "does not fit the schema");
    let undefined = |text: &str| (rule(text), "which the descriptor does not define");
    let table = [
        ("permit (principal, action, resource)".to_owned(), "are not Cedar"),
        ("permit (principal, action, resource);".to_owned(), "has no `@id"),
        ("@id(\"A b\") permit (principal, action, resource);".to_owned(), "`A b` is not the id of a rule"),
        ("@id permit (principal, action, resource);".to_owned(), "`` is not the id of a rule"),
        (format!("{ANYONE_READS} {ANYONE_READS}"), "two rules have the id `anyone-reads`"),
        (rule("permit (principal == ?principal, action, resource);"), "has a slot"),
        invalid("permit (principal, action == Action::\"append-all\", resource);"),
        invalid(
            "permit (principal, action == Action::\"status\", resource) when { context.sttaus == Status::\"lost\" };",
        ),
        invalid("permit (principal, action == Action::\"read\", resource) when { context.role == Role::\"owner\" };"),
        invalid("permit (principal, action == Action::\"read\", resource) when { resource.lot == \"7\" };"),
        invalid("permit (principal, action == Action::\"read\", resource) when { resource.kind == Kind::\"devise\" };"),
        invalid("permit (principal, action == Action::\"read\", resource) when { resource.kind == \"device\" };"),
        invalid(
            "forbid (principal, action == Action::\"status\", resource) when { context.effect == Effect::\"block\" };",
        ),
        invalid("permit (principal in Roll::\"owner\", action, resource);"),
        undefined("permit (principal in Role::\"ownr\", action, resource);"),
        undefined("permit (principal, action, resource) when { principal in [Role::\"owner\", Role::\"Owner\"] };"),
        undefined(
            "forbid (principal, action == Action::\"status\", resource) when { context.status == Status::\"stolne\" };",
        ),
        undefined("permit (principal, action == Action::\"mirror\", resource == Domain::\"other.example\");"),
    ];
    for (text, problem) in table {
        let error = compile(&text).map(drop).expect_err(&text).to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let many: String = (0..65).map(|n| format!("@id(\"r{n}\") permit (principal, action, resource);")).collect();
    assert_eq!(compile(&many).map(drop), Err(PolicyError::TooMany(65)));
    let long = format!("//{}", " ".repeat(64 * 1024));
    assert_eq!(compile(&long).map(drop), Err(PolicyError::TooLong(64 * 1024 + 2)));
}

/// As much as the limits say is allowed, and a rule with a slot is a rule as well.
#[test]
fn rules_may_be_as_many_and_as_long_as_the_limits_say() {
    let many = |count: usize| -> String {
        (0..count).map(|n| format!("@id(\"r{n}\") permit (principal, action, resource);")).collect()
    };
    let allowed = many(limits::POLICY_RULES);
    assert_eq!(compile(&allowed).map(drop), Ok(()));
    let padded = format!("{allowed}//{}", " ".repeat(limits::POLICY_BYTES - allowed.len() - 2));
    assert_eq!(compile(&padded).map(drop), Ok(()));
    let slot = "@id(\"slot\") permit (principal == ?principal, action, resource);";
    assert_eq!(compile(&format!("{allowed}{slot}")).map(drop), Err(PolicyError::TooMany(limits::POLICY_RULES + 1)));
}

/// A name has the length that the refusal names.
#[test]
fn the_id_of_a_rule_has_1_to_64_characters() {
    let named = |name: &str| compile(&format!("@id(\"{name}\") permit (principal, action, resource);")).map(drop);
    let longest = "a".repeat(64);
    for name in ["a", "9", "-", longest.as_str()] {
        assert_eq!(named(name), Ok(()), "{name}");
    }
    for name in ["", "a_b", "A", "ä", &"a".repeat(65)] {
        assert!(matches!(named(name), Err(PolicyError::Name(_))), "{name}");
    }
}

#[test]
fn a_rule_may_name_what_the_descriptor_adds() {
    let mut descriptor = ruled_by(
        "@id(\"repair\") permit (principal, action == Action::\"status\", resource) \
         when { context.status == Status::\"in-repair\" && context.role == Role::\"workshop\" };
         @id(\"from-soft\") permit (principal, action in Action::\"append\", resource) \
         when { context has source && context.source == Domain::\"code.soft.example\" };",
    );
    let added = AddedStatus { effect: Effect::Blocks, kinds: [Kind::Device].into() };
    descriptor.statuses.insert("in-repair".parse().expect("status"), added);
    descriptor.roles.insert(role("workshop"), Default::default());
    let policy = AccessPolicy::compile(&descriptor).expect("policy");
    let repair = policy.decide(&append(status("workshop", "in-repair", Effect::Blocks), Kind::Device));
    assert_eq!((repair.allow, repair.reasons), (true, vec!["repair".to_owned()]));
    for (source, allow) in [(None, false), (Some("code.soft.example"), true), (Some("other.example"), false)] {
        let source = source.map(|text| text.parse().expect("domain"));
        let adopted = policy.decide(&append(Append { source, ..says(Act::Approval, "owner") }, Kind::Device));
        assert_eq!(adopted.allow, allow, "{adopted:?}");
    }
}

#[test]
fn rules_tell_readers_apart_by_role_key_and_node() {
    let fingerprint = signer(5);
    let policy = compile(&format!(
        "@id(\"a-role\") permit (principal in Role::\"owner\", action == Action::\"read\", resource);
         @id(\"b-key\") permit (principal == Party::\"{fingerprint}\", action == Action::\"read\", resource);
         @id(\"c-node\") permit (principal, action == Action::\"read\", resource)
           when {{ principal has node && principal.node == \"mirror.example\" }};"
    ))
    .expect("policy");
    let key = Principal { fingerprint: Some(fingerprint), ..Principal::default() };
    let node = |name: &str| Principal { node: Some(name.to_owned()), ..Principal::default() };
    let all = Principal { fingerprint: Some(fingerprint), node: node("mirror.example").node, ..party(&["owner"]) };
    for (principal, reasons) in [
        (Principal::default(), &[][..]),
        (party(&["owner"]), &["a-role"]),
        (party(&["developer"]), &[]),
        (key, &["b-key"]),
        (node("mirror.example"), &["c-node"]),
        (node("other.example"), &[]),
        (all, &["a-role", "b-key", "c-node"]),
    ] {
        let decision = read(&policy, principal.clone(), thing(Kind::Device));
        assert_eq!(decision.reasons, reasons, "{principal:?}");
        assert_eq!(decision.allow, !reasons.is_empty(), "{principal:?}");
    }
}

/// A name in a request is data: it cannot become part of a rule, nor be taken for another entity.
#[test]
fn what_a_request_says_is_only_data() {
    let policy =
        compile("@id(\"b\") permit (principal == Party::\"anonymous\", action == Action::\"read\", resource);")
            .expect("policy");
    let hostile = ["anonymous", "\"", "\\", "x\", role: \"owner", "node anonymous", "\u{0}", ""];
    for node in hostile {
        let principal = Principal { node: Some(node.to_owned()), ..Principal::default() };
        let attributes = BTreeMap::from([(Attribute::Lot, node.to_owned())]);
        let resource = Resource::Identity { id: None, kind: Kind::Device, attributes };
        let decision = read(&policy, principal, resource);
        assert_eq!(decision, Decision { allow: false, reasons: vec![], errors: vec![] }, "{node:?}");
    }
    assert!(read(&policy, Principal::default(), thing(Kind::Device)).allow);
}

#[test]
fn what_is_remembered_tells_identities_apart_where_a_rule_does() {
    let secret = IdentityId::Key(signer(0x55));
    let hidden = format!(
        "{ANYONE_READS} @id(\"hidden\") forbid (principal, action == Action::\"read\", resource == Identity::\"{secret}\");"
    );
    for (access, expected) in [(ANYONE_READS, true), (hidden.as_str(), false)] {
        let policy = compile(access).expect("policy");
        for id in [IdentityId::Key(signer(0x56)), secret, IdentityId::Key(signer(0x57))] {
            let resource = Resource::identity(id, Kind::Device, BTreeMap::new());
            let request = Request { principal: Principal::default(), action: Action::Read, resource };
            let decision = policy.decide_again(request.clone());
            assert_eq!(decision, policy.decide(&request), "{id}");
            assert_eq!(decision.allow, expected || id != secret, "{id}");
        }
    }
}

/// What is left out of a question before it is remembered no rule may look at, however the rule spells it.
#[test]
fn what_is_remembered_tells_apart_what_rules_look_at() {
    let of = |lot: &str, who: u8| {
        let attributes = BTreeMap::from([(Attribute::Lot, lot.to_owned())]);
        let resource = Resource::identity(IdentityId::Key(signer(1)), Kind::Device, attributes);
        let principal = Principal { fingerprint: Some(signer(who)), ..Principal::default() };
        Request { principal, action: Action::Read, resource }
    };
    let seven = signer(7);
    let conditions = [
        ("true".to_owned(), [true, true, true]),
        ("resource has lot && resource.lot == \"7\"".to_owned(), [true, false, true]),
        (r#"resource has "l\u{6f}t" && resource["l\u{6f}t"] == "7""#.to_owned(), [true, false, true]),
        (format!("principal == Party::\"{seven}\""), [true, true, false]),
        (format!("principal has fingerprint && principal.fingerprint == \"{seven}\""), [true, true, false]),
    ];
    for (condition, expected) in conditions {
        let rule = format!("@id(\"r\") permit (principal, action, resource) when {{ {condition} }};");
        let policy = compile(&rule).expect("policy");
        let requests = [of("7", 7), of("8", 7), of("7", 8)];
        let decided = requests.map(|request| {
            let decision = policy.decide_again(request.clone());
            assert_eq!(decision, policy.decide(&request), "{condition}");
            decision.allow
        });
        assert_eq!(decided, expected, "{condition}");
    }
}

/// From the silence of a domain something follows only for whoever is surely shown all that is in it.
#[test]
fn it_is_known_who_may_read_everything() {
    let read = r#"action == Action::"read", resource"#;
    let condition = |text: &str| format!("@id(\"r\") permit (principal, {read}) when {{ {text} }};");
    let public = r#"@id("all") permit (principal, action, resource); "#;
    let rules = [
        (public.to_owned(), [true, true, true]),
        (String::new(), [false, false, false]),
        (format!("@id(\"r\") permit (principal in Role::\"owner\", {read});"), [false, true, false]),
        (condition(r#"principal has node && principal.node == "mirror.example""#), [false, false, true]),
        (condition(r#"resource has lot && resource.lot == "7""#), [false, false, false]),
        (condition(r#"!(resource has lot)"#), [false, false, false]),
        (r#"@id("r") permit (principal, action, resource is Identity);"#.to_owned(), [false, false, false]),
        (format!("{public} @id(\"f\") forbid (principal, {read}) when {{ resource has lot }};"), [false, false, false]),
        (format!("{public} @id(\"f\") forbid (principal, action, resource is Identity);"), [false, false, false]),
        (
            format!("{public} @id(\"f\") forbid (principal, action in Action::\"append\", resource);"),
            [true, true, true],
        ),
        (
            format!("{public} @id(\"f\") forbid (principal, action == Action::\"mirror\", resource);"),
            [true, true, true],
        ),
    ];
    let mirror = Principal { node: Some("mirror.example".to_owned()), ..Principal::default() };
    for (rules, expected) in rules {
        let policy = compile(&rules).expect("policy");
        let shown = [Principal::default(), party(&["owner"]), mirror.clone()].map(|who| policy.shows_all(&who));
        assert_eq!(shown, expected, "{rules}");
    }
}

/// That somebody may read nothing is known without a look at any thing, or a look would tell by its time that there is one.
#[test]
fn it_is_known_who_may_read_nothing() {
    let read = r#"action == Action::"read", resource"#;
    let condition = |text: &str| format!("@id(\"r\") permit (principal, {read}) when {{ {text} }};");
    let of_owner = r#"principal in Role::"owner", action == Action::"read", resource"#;
    let public = r#"@id("all") permit (principal, action, resource); "#;
    let rules = [
        (String::new(), [false, false, false]),
        (public.to_owned(), [true, true, true]),
        (r#"@id("m") permit (principal, action == Action::"mirror", resource);"#.to_owned(), [false, false, false]),
        (format!("@id(\"r\") permit ({of_owner});"), [false, true, false]),
        (condition(r#"principal has node && principal.node == "mirror.example""#), [false, false, true]),
        (condition(r#"resource has lot && resource.lot == "7""#), [true, true, true]),
        (format!("@id(\"r\") permit ({of_owner}) when {{ resource has lot }};"), [false, true, false]),
        (format!("@id(\"r\") permit (principal is Party, {read} is Identity);"), [true, true, true]),
        (
            r#"@id("r") permit (principal is Party in Role::"owner", action, resource is Identity);"#.to_owned(),
            [false, true, false],
        ),
        (format!("{public} @id(\"f\") forbid (principal, {read}) when {{ resource has lot }};"), [true, true, true]),
        (
            format!("{public} @id(\"f\") forbid (principal, {read}) unless {{ principal has node }};"),
            [false, false, true],
        ),
        (
            format!("{public} @id(\"f\") forbid (principal, {read}) when {{ 9223372036854775807 + 1 > 0 }};"),
            [false, false, false],
        ),
    ];
    let mirror = Principal { node: Some("mirror.example".to_owned()), ..Principal::default() };
    let lot = BTreeMap::from([(Attribute::Lot, "7".to_owned())]);
    let things = [thing(Kind::Device), Resource::identity(IdentityId::Key(signer(1)), Kind::Device, lot)];
    for (rules, expected) in rules {
        let policy = compile(&rules).expect("policy");
        for (who, expected) in [Principal::default(), party(&["owner"]), mirror.clone()].into_iter().zip(expected) {
            assert_eq!([policy.shows_any(&who), policy.shows_any(&who)], [expected; 2], "{rules}: {who:?}");
            let is_read = things.iter().any(|thing| self::read(&policy, who.clone(), thing.clone()).allow);
            assert!(expected || !is_read, "{rules}: {who:?} reads one");
        }
    }
    // What a signer is granted stands in the record of the thing.
    let of_owner = compile(&format!("@id(\"r\") permit ({of_owner});")).expect("policy");
    assert_eq!([party(&[]), mirror].map(|who| of_owner.shows_any(&who)), [true, false]);
}

/// What an erasure leaves of a thing is shown to whom everything is shown, if a rule can look at what is gone.
#[test]
fn what_is_forgotten_is_read_by_rules_that_do_not_look_at_it() {
    let read = r#"action == Action::"read", resource"#;
    let lab = r#"{ resource has loc && resource.loc == "lab" }"#;
    let all = r#"@id("all") permit (principal, action, resource); "#;
    let secret = |clauses: &str| format!("{all}@id(\"f\") forbid (principal, {read}) {clauses};");
    let owner = r#"unless { principal in Role::"owner" }"#;
    let open = format!("@id(\"p\") permit (principal, {read}) unless {lab};");
    let of_owner = format!("@id(\"o\") permit (principal in Role::\"owner\", {read});");
    let (selecting, nothing): (&[Attribute], &[Attribute]) = (&Attribute::SELECTING, &[]);
    for (rules, left, forgotten) in [
        (all.to_owned(), selecting, [true, true]),
        (all.to_owned(), nothing, [true, true]),
        (secret(r#"when { resource has lot && resource.lot == "8" }"#), selecting, [true, true]),
        (secret(r#"when { resource has lot && resource.lot == "8" }"#), nothing, [false, false]),
        (secret(&format!("when {lab}")), selecting, [false, false]),
        (secret(&format!("when {lab} {owner}")), selecting, [false, false]),
        (secret(r#"when { resource has "l\u{6f}c" && resource["l\u{6f}c"] like "la*" }"#), selecting, [false, false]),
        (open.clone(), selecting, [false, false]),
        (open + &of_owner, selecting, [false, true]),
    ] {
        let policy = compile(&rules).expect("policy");
        let ask = |roles: &[&str]| {
            let lot = BTreeMap::from([(Attribute::Lot, "7".to_owned())]);
            let resource = Resource::identity(IdentityId::Key(signer(1)), Kind::Device, lot);
            Request { principal: party(roles), action: Action::Read, resource }
        };
        let who: [&[&str]; 2] = [&[], &["owner"]];
        assert_eq!(who.map(|roles| policy.decide_again(ask(roles)).allow), [true, true], "{rules}");
        let decide = || who.map(|roles| policy.decide_forgotten(ask(roles), left).allow);
        assert_eq!(decide(), forgotten, "{rules}");
        assert_eq!(decide(), forgotten, "remembered: {rules}");
    }
}

/// Rules of which any number may apply at once, so that reasons have an order to lose.
const MANY: &str = r#"
@id("f-device") forbid (principal, action in Action::"append", resource) when { resource.kind == Kind::"device" };
@id("p-any") permit (principal, action, resource);
@id("p-owner") permit (principal in Role::"owner", action, resource);
@id("p-claimed") permit (principal, action in Action::"append", resource) when { principal in context.role };
@id("p-lot") permit (principal, action == Action::"read", resource) when { resource has lot && resource.lot == "7" };
@id("f-adopted") forbid (principal, action in Action::"append", resource) when { context.adopted };
@id("f-controller") forbid (principal in Role::"security-controller", action, resource);
"#;

fn requests() -> impl Strategy<Value = Request> {
    let roles = proptest::sample::subsequence(vec!["developer", "owner", "security-controller"], 0..=3);
    let claimed = proptest::sample::select(vec!["developer", "owner", "security-controller", "stranger"]);
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    let lot = proptest::option::of("[67]");
    let act = (claimed, 0..6_u8, any::<bool>()).prop_map(|(claimed, act, adopted)| {
        let source = adopted.then(|| "code.soft.example".parse().expect("domain"));
        let said = match act {
            0 => return Action::Read,
            1 => return Action::Certificate { source },
            2 => status(claimed, "suspended", Effect::Blocks),
            3 => grant(claimed, "owner"),
            4 => label(claimed, "medical"),
            _ => says(Act::Approval, claimed),
        };
        Action::Append(Append { source, ..said })
    });
    (roles, act, kind, lot, any::<u8>()).prop_map(|(roles, action, kind, lot, id)| {
        let attributes = lot.map(|lot| (Attribute::Lot, lot)).into_iter().collect();
        let resource = Resource::identity(IdentityId::Key(signer(id)), kind, attributes);
        Request { principal: party(&roles), action, resource }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same whoever decides, how often, in which order, and whether it is remembered.
    #[test]
    fn decisions_are_a_function_of_policy_and_request(requests in proptest::collection::vec(requests(), 1..20)) {
        let first = compile(MANY).expect("policy");
        let reordered: Vec<&str> = MANY.lines().rev().collect();
        let second = compile(&reordered.join("\n")).expect("policy");
        let forwards: Vec<Decision> = requests.iter().map(|request| first.decide(request)).collect();
        let mut backwards: Vec<Decision> =
            requests.iter().rev().map(|request| second.decide_again(request.clone())).collect();
        backwards.reverse();
        prop_assert_eq!(&forwards, &backwards);
        for (decision, request) in forwards.iter().zip(&requests) {
            prop_assert!(decision.errors.is_empty(), "{:?}: {:?}", request, decision);
            prop_assert!(decision.reasons.is_sorted());
            prop_assert!(!decision.reasons.is_empty());
            prop_assert_eq!(decision.allow, decision.reasons.iter().all(|reason| reason.starts_with("p-")));
        }
    }
}
