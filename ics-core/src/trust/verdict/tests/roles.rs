//! In which domains a role counts, and in which roles labels count.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The owners of a domain can give themselves every role there.
#[test]
fn a_role_counts_of_the_domains_that_the_policy_names_for_it() {
    let bound = |roles: &[(&str, &str)]| {
        let document = TrustDocument {
            roles: roles.iter().map(|(role, domain)| (word(role), [word(domain)].into())).collect(),
            ..policy(&["a.example", "b.example"]).document().clone()
        };
        TrustPolicy::compile(document)
    };
    for (roles, expected) in [
        (&[][..], Outcome::Allow),
        (&[("maintainer", "a.example")], Outcome::Allow),
        (&[("maintainer", "b.example")], Outcome::Deny),
        (&[("manufacturer", "b.example")], Outcome::Deny),
    ] {
        let told = vec![testimony("a.example", &good()), testimony("b.example", &[])];
        let verdict = answer("operate", looked(told), None, &bound(roles).expect("a trust policy"), now());
        assert_eq!(verdict.outcome, expected, "{roles:?}: {verdict:?}");
    }
    // What blocks counts whoever says it.
    let policy = bound(&[("maintainer", "a.example")]).expect("a trust policy");
    let blocked = vec![introduce(0).name("serial:SN-1"), status(1, KEEPER, "maintainer", "stolen")];
    let told = vec![testimony("a.example", &good()), testimony("b.example", &blocked)];
    assert_eq!(answer("operate", looked(told), None, &policy, now()).reason, Reason::Blocked);
    let refused = bound(&[("maintainer", "c.example")]).expect_err("it does not count").to_string();
    assert!(
        refused.contains("roles.maintainer") && refused.contains("`c.example` is not among `domains`"),
        "{refused}"
    );
}

/// A maker has their own role, and could label their own things. This also applies to a label that the rules forbid.
#[test]
fn a_label_counts_in_the_roles_that_the_policy_names() {
    for (labelling, bound, (signer, role), counts) in [
        ("certification-body", "a.example", (MAKER, "manufacturer"), false),
        ("certification-body", "a.example", (LABELLER, "certification-body"), true),
        ("certification-body", "b.example", (LABELLER, "certification-body"), false),
        ("manufacturer", "b.example", (MAKER, "manufacturer"), true),
    ] {
        let roles = BTreeMap::from([(word("certification-body"), BTreeSet::from([word(bound)]))]);
        let counted = policy(&["a.example", "b.example"]).document().clone();
        let document = TrustDocument { roles, labelling_roles: BTreeSet::from([word(labelling)]), ..counted };
        let policy = TrustPolicy::compile(document).expect("a trust policy");
        let label = say(3, signer, role, Act::Label).with(|said| said.claims.label = Some("prototype".to_owned()));
        let told = testimony("a.example", &[good(), vec![label]].concat());
        let outcome = answer("operate", looked(vec![told, testimony("b.example", &[])]), None, &policy, now()).outcome;
        assert_eq!(outcome == Outcome::Deny, counts, "{role} of a.example: {labelling}, {bound}");
    }
}

/// A role that does not count in a domain can still block and contradict there, but cannot put a thing into use or say
/// what it is.
#[test]
fn what_permits_counts_of_the_domains_that_the_policy_names_for_the_role() {
    let bound = |role: &str| {
        let roles = BTreeMap::from([(word(role), BTreeSet::from([word("a.example")]))]);
        TrustPolicy::compile(TrustDocument { roles, ..policy(&["a.example", "b.example"]).document().clone() })
            .expect("a trust policy")
    };
    let ask = |policy: &TrustPolicy, of_a: &[Draft], of_b: &[Draft]| {
        let told = vec![testimony("a.example", of_a), testimony("b.example", of_b)];
        answer("operate", looked(told), None, policy, now())
    };
    let introduced = || introduce(0).name("serial:SN-1");
    let policy = bound("maintainer");
    let approved = [introduced(), say(2, KEEPER, "maintainer", Act::Approval)];
    let in_use = vec![introduced(), status(1, KEEPER, "maintainer", "in-use")];
    let verdict = ask(&policy, &approved, &in_use);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Deny, Reason::NotPermitted), "{verdict:?}");
    assert!(verdict.reasons.join("; ").contains("a role that counts only from other domains"), "{:?}", verdict.reasons);
    let more = [in_use, vec![status(3, MAKER, "manufacturer", "in-use")]].concat();
    assert_eq!(ask(&policy, &approved, &more).outcome, Outcome::Allow, "the same behind it, in a role that counts");
    let planned = [introduced(), status(1, KEEPER, "maintainer", "planned")];
    let verdict = ask(&policy, &good(), &planned);
    assert_eq!(verdict.outcome, Outcome::Allow, "{verdict:?}");
    assert!(verdict.thing.expect("is known").conflict, "rules that want all to agree see it");

    let policy = bound("manufacturer");
    let with_model = |model: Option<&str>| match model {
        Some(model) => introduced().attribute(Attribute::Model, model),
        None => introduced(),
    };
    for (of_a, of_b, expected) in [
        (Some("P1"), None, Some("P1")),
        (None, Some("P1"), None),
        (Some("P1"), Some("P1"), Some("P1")),
        (Some("P1"), Some("P2"), None),
    ] {
        let facts = ask(&policy, &[with_model(of_a)], &[with_model(of_b)]).thing.expect("is known");
        let model = facts.attributes.get(&Attribute::Model).map(String::as_str);
        assert_eq!(model, expected, "{of_a:?} {of_b:?}");
    }
    let service = |draft: Draft| {
        draft.with(|said| {
            let Subject::Key { kind, .. } = &mut said.subject else { panic!("a key") };
            *kind = Kind::Service;
        })
    };
    let approved = service(say(2, KEEPER, "maintainer", Act::Approval));
    let verdict = ask(&policy, core::slice::from_ref(&approved), &[introduced()]);
    assert_eq!(verdict.reason, Reason::KindsDiffer, "this contradicts those who say that it is a service");
    let verdict =
        ask(&policy, &[service(introduced())], &[approved.with(|said| said.subject = introduced().said.subject)]);
    assert_eq!(verdict.thing.map(|facts| facts.kind), Some(Kind::Service), "nobody vouches in the other domain");
}
