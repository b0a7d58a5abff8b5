//! Which descriptors rule, and why others do not.

use data_encoding::BASE64;
use ics_core::canonical_json;
use ics_core::descriptor::{
    AddedStatus, Compromise, Descriptor, DescriptorError, DomainLimits, FieldError, Head, NodeKey, Problem, Template,
    Witnesses, admit_first, admit_next,
};
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::policy::PolicyError;
use ics_core::statement::StatementId;
use ics_core::vocabulary::Effect;
use serde_json::{Value, json};

use crate::fixtures::{filled, fingerprints, input, node, owner, owner_v6, role, signer};

pub(crate) fn base() -> Descriptor {
    filled(Template::Maintenance)
}

fn status(name: &str) -> ics_core::vocabulary::StatusName {
    name.parse().expect("status")
}

fn domain(name: &str) -> ics_core::vocabulary::DomainName {
    name.parse().expect("domain")
}

/// A descriptor with every member that may be absent.
pub(crate) fn full() -> Descriptor {
    let mut full = base();
    full.statuses.insert(
        status("in-repair"),
        AddedStatus { effect: Effect::Blocks, kinds: [Kind::Device, Kind::Gateway].into() },
    );
    full.lifts.entry(role("maintainer")).or_default().insert(status("in-repair"));
    full.freshness.uses.insert("install".to_owned(), 600);
    full.limits = DomainLimits { certificate_bytes: Some(1024 * 1024), statements_per_signer_and_identity: Some(16) };
    full.witnesses = Some(Witnesses { quorum: 1, keys: vec![node("w1.example", 5), node("w2.example", 6)] });
    let domain = full.domain.clone();
    full.compromised = vec![Compromise { signer: signer(4), domain, from_index: 12 }];
    full.lifted = [StatementId([3; 32])].into();
    full
}

#[test]
fn a_descriptor_survives_its_json() {
    for descriptor in [base(), full()] {
        assert_eq!(Descriptor::parse(&descriptor.to_json()), Ok(descriptor));
    }
}

pub(crate) fn refusal(descriptor: &Descriptor) -> FieldError {
    match Descriptor::parse(&descriptor.to_json()) {
        Err(DescriptorError::Field(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) type Change = fn(&mut Descriptor);

/// Every rule that a field can break, and the field that the refusal names.
pub(crate) fn refusals() -> Vec<(Change, &'static str, Problem)> {
    let pattern = |text: &str| Problem::Pattern(text.to_owned());
    let range = |value, min, max| Problem::Range { value, min, max };
    let most = limits::JSON_INTEGER;
    vec![
        (|d| d.rules = 2, "rules", Problem::Rules(2)),
        (|d| d.version = 0, "version", range(0, 1, most)),
        (|d| d.version = 2, "previous", Problem::Previous),
        (|d| d.previous = Some(Hash([0; 32])), "previous", Problem::Previous),
        (|d| d.description = "x".repeat(1025), "description", Problem::TooLong(1025)),
        (|d| d.owners.keys.clear(), "owners.keys", Problem::Empty),
        (|d| d.owners.keys = (1..=33).map(owner).collect(), "owners.keys", range(33, 1, 32)),
        (|d| d.owners.keys[2] = owner(1), "owners.keys", Problem::Duplicate(owner(1).fingerprint.to_string())),
        (|d| d.owners.threshold = 0, "owners.threshold", range(0, 1, 32)),
        (|d| d.owners.threshold = 4, "owners.threshold", Problem::Unreachable { threshold: 4, owners: 3 }),
        (
            |d| d.owners.keys = vec![owner(1), owner_v6(2)],
            "owners.threshold",
            Problem::Unreachable { threshold: 2, owners: 1 },
        ),
        (|d| d.owners.keys[1].name.clear(), "owners.keys[1].name", Problem::Empty),
        (|d| d.owners.keys[1].name = "x".repeat(1025), "owners.keys[1].name", Problem::TooLong(1025)),
        (
            |d| d.owners.keys[1].fingerprint = signer(1),
            "owners.keys[1].fingerprint",
            Problem::Fingerprint(owner(2).fingerprint),
        ),
        (|d| d.home.name = "Home.example".to_owned(), "home.name", Problem::NodeName("Home.example".to_owned())),
        (|d| d.home.key = "AAAA".to_owned(), "home.key", Problem::NodeKey),
        (|d| d.home.key = "no base64".to_owned(), "home.key", Problem::NodeKey),
        (|d| d.home.key = BASE64.encode(&small_order()), "home.key", Problem::NodeKey),
        (|d| d.home.key = BASE64.encode(&not_canonical()), "home.key", Problem::NodeKey),
        (|d| d.roles.clear(), "roles", Problem::Empty),
        (|d| names(d, "acme-*"), "roles.integrator.names", pattern("acme-*")),
        (|d| names(d, "serial:*-*"), "roles.integrator.names", pattern("serial:*-*")),
        (|d| names(d, "host:*.ACME.example"), "roles.integrator.names", pattern("host:*.ACME.example")),
        (|d| lifts(d, "owner", "destroyed"), "lifts.owner", Problem::ForEver("destroyed".to_owned())),
        (|d| lifts(d, "owner", "compromised"), "lifts.owner", Problem::ForEver("compromised".to_owned())),
        (|d| lifts_added(d), "lifts.owner", Problem::ForEver("burnt".to_owned())),
        (|d| lifts(d, "owner", "on-fire"), "lifts.owner", Problem::Status("on-fire".to_owned())),
        (|d| lifts(d, "janitor", "lost"), "lifts.janitor", Problem::Role("janitor".to_owned())),
        (|d| adds(d, "stolen", &[Kind::Device]), "statuses.stolen", Problem::Builtin("stolen".to_owned())),
        (|d| adds(d, "in-repair", &[]), "statuses.in-repair.kinds", Problem::Empty),
        (|d| d.freshness.default = 0, "freshness.default", range(0, 1, most)),
        (|d| uses(d, "install", 0), "freshness.uses.install", range(0, 1, most)),
        (|d| uses(d, "", 60), "freshness.uses.", Problem::Empty),
        (|d| d.limits.certificate_bytes = Some(0), "limits.certificate_bytes", range(0, 1, 1_048_576)),
        (|d| d.limits.certificate_bytes = Some(1_048_577), "limits.certificate_bytes", range(1_048_577, 1, 1_048_576)),
        (
            |d| d.limits.statements_per_signer_and_identity = Some(4097),
            "limits.statements_per_signer_and_identity",
            range(4097, 1, 4096),
        ),
        (|d| witnesses(d, 1, &[]), "witnesses.keys", range(0, 1, 30)),
        (|d| many_witnesses(d), "witnesses.keys", range(31, 1, 30)),
        (|d| the_home_as_witness(d), "witnesses.keys[0]", Problem::OwnWitness),
        (|d| a_witness_key_in_two_pieces(d), "witnesses.keys[0].key", Problem::NodeKey),
        (|d| witnesses(d, 0, &[5]), "witnesses.quorum", range(0, 1, 1)),
        (|d| witnesses(d, 2, &[5]), "witnesses.quorum", range(2, 1, 1)),
        (|d| witnesses(d, 2, &[5, 5]), "witnesses.keys", Problem::Duplicate("w5.example".to_owned())),
        (|d| same_witness_key(d), "witnesses.keys", Problem::Duplicate(node("", 5).key)),
        (|d| witness_named(d, ""), "witnesses.keys[0].name", Problem::NodeName(String::new())),
        (|d| d.sources.push(d.sources[0].clone()), "sources", Problem::Duplicate("code.soft.example".to_owned())),
        (|d| d.sources[0].domain = d.domain.clone(), "sources[0].domain", Problem::OwnDomain),
        (|d| d.sources[0].home.key.clear(), "sources[0].home.key", Problem::NodeKey),
        (|d| d.last_head = Some(Head { size: 1, root: Hash([0; 32]) }), "last_head", Problem::HeadFirst),
        (|d| later(d).last_head = Some(Head { size: 0, root: Hash([0; 32]) }), "last_head.size", range(0, 1, most)),
    ]
}

#[test]
fn the_refusal_names_the_field() {
    for (change, field, problem) in refusals() {
        let mut descriptor = base();
        change(&mut descriptor);
        assert_eq!(refusal(&descriptor), FieldError { field: field.to_owned(), problem });
    }
}

fn small_order() -> [u8; 32] {
    let mut identity = [0; 32];
    identity[0] = 1;
    identity
}

/// y = p + 3, which stands for y = 3: on the curve, but not how it is written.
fn not_canonical() -> [u8; 32] {
    let mut point = [0xff; 32];
    (point[0], point[31]) = (0xf0, 0x7f);
    point
}

fn names(descriptor: &mut Descriptor, pattern: &str) {
    descriptor.roles.entry(role("integrator")).or_default().names.insert(pattern.to_owned());
}

fn lifts(descriptor: &mut Descriptor, by: &str, name: &str) {
    descriptor.lifts.entry(role(by)).or_default().insert(status(name));
}

fn lifts_added(descriptor: &mut Descriptor) {
    adds(descriptor, "burnt", &[Kind::Device]);
    descriptor.statuses.get_mut(&status("burnt")).expect("added").effect = Effect::BlocksForEver;
    lifts(descriptor, "owner", "burnt");
}

fn adds(descriptor: &mut Descriptor, name: &str, kinds: &[Kind]) {
    let added = AddedStatus { effect: Effect::Blocks, kinds: kinds.iter().copied().collect() };
    descriptor.statuses.insert(status(name), added);
}

fn uses(descriptor: &mut Descriptor, usage: &str, seconds: u64) {
    descriptor.freshness.uses.insert(usage.to_owned(), seconds);
}

fn witnesses(descriptor: &mut Descriptor, quorum: u32, seeds: &[u8]) {
    let keys = seeds.iter().map(|seed| node(&format!("w{seed}.example"), *seed)).collect();
    descriptor.witnesses = Some(Witnesses { quorum, keys });
}

fn same_witness_key(descriptor: &mut Descriptor) {
    descriptor.witnesses = Some(Witnesses { quorum: 1, keys: vec![node("a.example", 5), node("b.example", 5)] });
}

fn many_witnesses(descriptor: &mut Descriptor) {
    witnesses(descriptor, 1, &(100..131).collect::<Vec<u8>>());
}

fn the_home_as_witness(descriptor: &mut Descriptor) {
    let keys = vec![NodeKey { name: "w1.example".to_owned(), ..descriptor.home.clone() }];
    descriptor.witnesses = Some(Witnesses { quorum: 1, keys });
}

/// The same bytes in other base64, which some decoders take.
fn a_witness_key_in_two_pieces(descriptor: &mut Descriptor) {
    let mut witness = node("w1.example", 5);
    let bytes = BASE64.decode(witness.key.as_bytes()).expect("base64");
    witness.key = [&bytes[..2], &bytes[2..]].map(|part| BASE64.encode(part)).concat();
    descriptor.witnesses = Some(Witnesses { quorum: 1, keys: vec![witness] });
}

fn witness_named(descriptor: &mut Descriptor, name: &str) {
    descriptor.witnesses = Some(Witnesses { quorum: 1, keys: vec![node(name, 5)] });
}

fn later(descriptor: &mut Descriptor) -> &mut Descriptor {
    descriptor.version = 2;
    descriptor.previous = Some(Hash([7; 32]));
    descriptor
}

#[test]
fn a_key_that_is_none_is_refused() {
    for (key, message) in [
        ("no base64", "base64"),
        ("AAAA", "is not the key of an owner: "),
        (&BASE64.encode(&[0xc6, 1, 5]), "keys of version 5 are not accepted"),
    ] {
        let mut descriptor = base();
        descriptor.owners.keys[0].key = key.to_owned();
        let error = refusal(&descriptor);
        assert_eq!(error.field, "owners.keys[0].key");
        assert!(error.problem.to_string().contains(message), "{key}: {error}");
    }
}

#[test]
fn access_rules_are_validated_with_the_descriptor() {
    for (access, problem) in [
        ("permit", "are not Cedar"),
        ("@id(\"r\") permit (principal in Role::\"ownr\", action, resource);", "the rule `r` names `Role::\"ownr\"`"),
        (
            "@id(\"r\") forbid (principal, action == Action::\"status\", resource) when { context.sttaus == 1 };",
            "the rule `r` does not fit the schema",
        ),
    ] {
        let error = refusal(&Descriptor { access: access.to_owned(), ..base() });
        assert_eq!(error.field, "access");
        assert!(error.problem.to_string().contains(problem), "{error}");
    }
    let unnamed = Descriptor { access: "permit (principal, action, resource);".to_owned(), ..base() };
    assert_eq!(refusal(&unnamed).problem, Problem::Access(PolicyError::Unnamed));
}

/// The JSON of the full descriptor with one member changed.
fn json_with(change: impl FnOnce(&mut Value)) -> Result<Descriptor, DescriptorError> {
    let mut value = serde_json::to_value(full()).expect("JSON");
    change(&mut value);
    Descriptor::parse(&canonical_json::to_bytes(&value).expect("canonical"))
}

#[test]
fn json_of_another_form_is_refused_at_the_member() {
    let long = "x".repeat(1000);
    for (pointer, value, message) in [
        ("/version", json!("1"), "version: invalid type"),
        ("/version", json!(-1), "version: invalid value"),
        ("/domain", json!("Devices.example"), "domain: `Devices.example` is not a domain name"),
        ("/previous", json!("ab"), "previous: `ab` is not a hash"),
        ("/sources/0/entry0", json!("AB".repeat(32)), "sources[0].entry0: `ABAB"),
        ("/owners/keys/0/fingerprint", json!("12"), "owners.keys[0].fingerprint: `12` is not an OpenPGP fingerprint"),
        ("/roles", json!({"Owner": {}}), "roles.Owner: `Owner` is not a role"),
        ("/lifts/owner/0", json!("a b"), "lifts.owner[0]: `a b` is not a status"),
        ("/statuses/in-repair/effect", json!("block"), "statuses.in-repair.effect: `block` is not an effect"),
        ("/statuses/in-repair/kinds/0", json!("car"), "statuses.in-repair.kinds[0]: unknown variant `car`"),
        ("/lifted/0", json!("00"), "lifted[0]: `00` is not the id of a statement: it takes 64 hex digits"),
        ("/home", json!({"name": "a.example", "key": "", "url": ""}), "home.url: unknown field `url`"),
        ("/access", json!(["permit"]), "access: invalid type"),
        ("/domain", json!(long), "domain: `xxx"),
    ] {
        let result = json_with(|json| match json.pointer_mut(pointer) {
            Some(member) => *member = value.clone(),
            None => json[pointer.trim_start_matches('/')] = value.clone(),
        });
        let Err(DescriptorError::Json(error)) = result else { panic!("{pointer} {value}: {result:?}") };
        assert!(error.starts_with(message), "{pointer} {value}: {error}");
        assert!(error.len() < 400, "{error}");
    }
    for required in ["domain", "version", "rules", "owners", "home", "roles", "freshness", "access"] {
        let result = json_with(|json| drop(json.as_object_mut().expect("object").remove(required)));
        let Err(DescriptorError::Json(error)) = result else { panic!("{required}: {result:?}") };
        assert!(error.contains(required), "{required}: {error}");
    }
    for text in ["[]", "{}", "null", "1"] {
        assert!(matches!(Descriptor::parse(text.as_bytes()), Err(DescriptorError::Json(_))), "{text}");
    }
    for text in ["", "{", "\u{feff}{}", "{\"version\":1.5}", "{\"version\":9007199254740992}"] {
        assert!(matches!(Descriptor::parse(text.as_bytes()), Err(DescriptorError::Encoding(_))), "{text}");
    }
}

/// Whatever else such a descriptor has: a mirror must be able to say why it stops.
#[test]
fn rules_that_are_not_known_are_what_is_refused_first() {
    let result = json_with(|json| {
        json["rules"] = json!(2);
        json["invented_later"] = json!(true);
    });
    let error = FieldError { field: "rules".to_owned(), problem: Problem::Rules(2) };
    assert_eq!(result, Err(DescriptorError::Field(error)));
}

/// A version is known by the hash of its bytes: one content has one encoding.
#[test]
fn other_bytes_of_the_same_content_are_refused() {
    let json = String::from_utf8(full().to_json()).expect("UTF-8");
    let upper = owner(1).fingerprint.to_string();
    let described = "\"description\":\"The devices of Acme\",";
    for changed in [
        format!("{json}\n"),
        format!(" {json}"),
        json.replacen(':', ": ", 1),
        json.replacen("\"version\":1", "\"version\":1,\"version\":1", 1),
        json.replacen("\"version\":1", "\"version\":1.0", 1),
        json.replacen("/", "\\/", 1),
        json.replacen("Acme", "\\u0041cme", 1),
        json.replacen(&upper, &upper.to_uppercase(), 1),
        json.replacen(described, "", 1).replacen('{', &format!("{{{described}"), 1),
        json.replacen("\"owner\":{}", "\"owner\":{\"signers\":[]}", 1),
    ] {
        assert_ne!(changed, json);
        assert!(Descriptor::parse(changed.as_bytes()).is_err(), "{changed}");
    }
}

#[test]
fn an_oversized_descriptor_is_not_even_read() {
    let size = limits::DESCRIPTOR_BYTES + 1;
    assert_eq!(Descriptor::parse(&vec![b' '; size]), Err(DescriptorError::TooLong(size)));
}

#[test]
fn what_a_descriptor_says() {
    let full = full();
    assert_eq!(full.effect(&status("stolen"), Kind::Device), Some(Effect::Blocks));
    assert_eq!(full.effect(&status("in-repair"), Kind::Gateway), Some(Effect::Blocks));
    assert_eq!(full.effect(&status("in-repair"), Kind::Software), None);
    assert_eq!(full.effect(&status("on-fire"), Kind::Device), None);
    assert_eq!(full.roles_of(&signer(1)), [role("integrator")].into());
    assert!(full.roles_of(&signer(99)).is_empty());
    assert!(full.may_lift(&role("owner"), &status("lost")) && full.may_lift(&role("maintainer"), &status("in-repair")));
    for (by, name) in [("owner", "stolen"), ("owner", "destroyed"), ("integrator", "lost"), ("janitor", "lost")] {
        assert!(!full.may_lift(&role(by), &status(name)), "{by} {name}");
    }
    let name = |text: &str| text.parse().expect("name");
    assert!(full.may_name(&role("integrator"), &name("urn:dev:os:32473-1")));
    assert!(!full.may_name(&role("integrator"), &name("urn:dev:os:99-1")));
    assert!(!full.may_name(&role("owner"), &name("serial:1")) && !full.may_name(&role("janitor"), &name("serial:1")));
    assert!(full.has_lifted(&StatementId([3; 32])) && !full.has_lifted(&StatementId([4; 32])));
    assert_eq!((full.freshness.seconds("install"), full.freshness.seconds("connect")), (600, 86_400));
    assert_eq!((full.limits.certificate_bytes(), base().limits.certificate_bytes()), (1008 * 1024, 64 * 1024));
    assert_eq!(full.limits.statements_per_signer_and_identity(), 16);
    assert_eq!(base().limits.statements_per_signer_and_identity(), 256);
}

#[test]
fn the_earliest_compromise_counts_and_only_in_its_domain() {
    let mut descriptor = base();
    let (own, other) = (descriptor.domain.clone(), domain("code.soft.example"));
    for (domain, from_index) in [(&own, 30), (&own, 12), (&own, 40), (&other, 0)] {
        descriptor.compromised.push(Compromise { signer: signer(4), domain: domain.clone(), from_index });
    }
    assert_eq!(Descriptor::parse(&descriptor.to_json()), Ok(descriptor.clone()));
    assert_eq!(descriptor.compromised_from(&signer(4), &own), Some(12));
    assert_eq!(descriptor.compromised_from(&signer(4), &other), Some(0));
    assert_eq!(descriptor.compromised_from(&signer(5), &own), None);
    assert_eq!(descriptor.compromised_from(&signer(4), &domain("third.example")), None);
}

/// What follows version 1, with a change of its own.
fn next(change: impl FnOnce(&mut Descriptor)) -> Vec<u8> {
    let mut next = Descriptor { version: 2, previous: Some(base().hash()), ..base() };
    change(&mut next);
    next.to_json()
}

#[test]
fn the_first_version_takes_its_own_owners_threshold() {
    let json = base().to_json();
    assert_eq!(admit_first(&json, &fingerprints(&[1, 3])), Ok(base()));
    assert_eq!(admit_first(&json, &fingerprints(&[1, 2, 3])), Ok(base()));
    for (signed_by, signed) in [(&[][..], 0), (&[1], 1), (&[1, 4], 1), (&[4, 5, 6], 0)] {
        let error = DescriptorError::BelowThreshold { signed, threshold: 2, version: 1 };
        assert_eq!(admit_first(&json, &fingerprints(signed_by)), Err(error), "{signed_by:?}");
    }
    let problem = Problem::Version { version: 2, previous: 0 };
    let error = DescriptorError::Field(FieldError { field: "version".to_owned(), problem });
    assert_eq!(admit_first(&next(|_| ()), &fingerprints(&[1, 2])), Err(error));
}

#[test]
fn the_next_version_takes_the_threshold_of_the_one_before() {
    let replaced = |d: &mut Descriptor| d.owners.keys = vec![owner(7), owner(8)];
    let json = next(replaced);
    assert!(admit_next(&base(), &json, &fingerprints(&[2, 3])).is_ok());
    for signed_by in [&[7, 8][..], &[1, 7, 8], &[]] {
        let result = admit_next(&base(), &json, &fingerprints(signed_by));
        assert!(matches!(result, Err(DescriptorError::BelowThreshold { version: 1, threshold: 2, .. })), "{result:?}");
    }
}

/// A peer that made them up would stop a mirror that needs newer software for them.
#[test]
fn rules_that_are_not_known_are_those_of_the_domain_if_its_owners_say_so() {
    let json = next(|d| d.rules = 2);
    let unknown = FieldError { field: "rules".to_owned(), problem: Problem::Rules(2) };
    assert_eq!(admit_next(&base(), &json, &fingerprints(&[1, 2])), Err(DescriptorError::Field(unknown)));
    let below = DescriptorError::BelowThreshold { signed: 1, threshold: 2, version: 1 };
    assert_eq!(admit_next(&base(), &json, &fingerprints(&[1])), Err(below));
}

#[test]
fn the_next_version_follows_the_one_before() {
    let head = Some(Head { size: 5, root: Hash([1; 32]) });
    let owners = fingerprints(&[1, 2]);
    let table: Vec<(Change, &str, Problem)> = vec![
        (|d| d.version = 3, "version", Problem::Version { version: 3, previous: 1 }),
        (|d| d.previous = Some(Hash([9; 32])), "previous", Problem::PreviousHash(base().hash())),
        (|d| d.domain = domain("other.example"), "domain", Problem::OtherDomain("other.example".to_owned())),
        (|d| d.home = node("ics.acme.example", 10), "last_head", Problem::HeadMissing),
    ];
    for (change, field, problem) in table {
        let error = DescriptorError::Field(FieldError { field: field.to_owned(), problem });
        assert_eq!(admit_next(&base(), &next(change), &owners), Err(error), "{field}");
    }
    let again = DescriptorError::Field(FieldError {
        field: "version".to_owned(),
        problem: Problem::Version { version: 1, previous: 1 },
    });
    assert_eq!(admit_next(&base(), &base().to_json(), &owners), Err(again));
    for change in [
        Box::new(|_: &mut Descriptor| ()) as Box<dyn Fn(&mut Descriptor)>,
        Box::new(|d| d.home.name = "moved.acme.example".to_owned()),
        Box::new(|d| (d.home, d.last_head) = (node("ics.acme.example", 10), head.clone())),
        Box::new(|d| d.last_head = head.clone()),
    ] {
        assert!(admit_next(&base(), &next(change), &owners).is_ok());
    }
}

#[test]
fn a_template_refuses_what_a_descriptor_may_not_say() {
    let mut wrong = input(Template::Manufacturer);
    wrong.owners.threshold = 9;
    assert!(
        matches!(Template::Manufacturer.fill(wrong), Err(DescriptorError::Field(e)) if e.field == "owners.threshold")
    );
}
