//! What a domain admits, and with which code it refuses everything else.

mod bounds;
mod erasing;

use super::{Admitted, Context, Domain, Nearing, Refusal};
use crate::descriptor::{Compromise, Descriptor, DomainLimits};
use crate::identity::{Fingerprint, Kind};
use crate::limits;
use crate::record::{Logged, resolve};
use crate::samples::*;
use crate::statement::Subject;
use crate::vocabulary::{Act, Attribute, Effect};

/// Checks the last draft as the next entry after the others.
fn check_in(domain: Domain, drafts: &[Draft]) -> Result<Admitted, Refusal> {
    let (last, before) = drafts.split_last().expect("a statement to check");
    let entry = last.clone().log();
    let (about, groups): (Vec<Logged>, Vec<Logged>) =
        before.iter().map(|draft| draft.clone().log()).partition(|other| other.subject_id() == entry.subject_id());
    let domain = grown(domain, entry.index());
    domain.check(&entry, &Context { about: &about, groups: &groups, unseen: false })
}

fn check(drafts: &[Draft]) -> Result<Admitted, Refusal> {
    check_in(domain(), drafts)
}

fn pump(n: u64) -> Draft {
    introduce(n).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "7")
}

fn lot() -> crate::statement::Group {
    group("lot 7", &[(Attribute::Model, "P1"), (Attribute::Lot, "7")])
}

fn sold() -> Draft {
    grant(2, MAKER, "manufacturer", BUYER, "owner")
}

fn withdrawal(n: u64, signer: Fingerprint, role: &str) -> Draft {
    say(n, signer, role, Act::Withdrawal)
}

#[test]
fn what_is_admitted() {
    let suspended = || status(3, CONTROLLER, "security-controller", "suspended");
    let cases = [
        ("an introduction", vec![pump(1).name("serial:SN-1")]),
        ("a status", vec![pump(1), status(2, KEEPER, "maintainer", "in-use")]),
        ("a block before anybody introduced it", vec![status(1, KEEPER, "maintainer", "stolen")]),
        ("a grant", vec![pump(1), sold()]),
        ("by a grantee", vec![pump(1), sold(), status(3, BUYER, "owner", "in-use")]),
        ("a sale that ends the former one", vec![pump(1), sold(), grant(3, BUYER, "owner", HEIR, "owner").ends(2)]),
        ("a grant given back", vec![pump(1), sold(), withdrawal(3, BUYER, "owner").ends(2)]),
        ("lifting by the owner", vec![pump(1), sold(), suspended(), status(4, BUYER, "owner", "in-use").ends(3)]),
        (
            "taking back, as a certification",
            vec![suspended(), withdrawal(4, CONTROLLER, "security-controller").ends(3)],
        ),
        (
            "taking back, as a revocation",
            vec![
                suspended(),
                withdrawal(4, CONTROLLER, "security-controller").ends(3).with(|said| said.revokes = true),
            ],
        ),
        ("on a group", vec![status(1, MAKER, "manufacturer", "withdrawn").on(&lot())]),
        (
            "by a grant over a group that the thing is in",
            vec![
                pump(1),
                grant(2, MAKER, "manufacturer", BUYER, "owner").on(&lot()),
                status(3, BUYER, "owner", "in-use"),
            ],
        ),
        (
            "by a grant over a wider group",
            vec![
                grant(1, MAKER, "manufacturer", BUYER, "owner").on(&group("all P1", &[(Attribute::Model, "P1")])),
                say(2, BUYER, "owner", Act::Approval).on(&lot()),
            ],
        ),
        ("adopted", vec![pump(1).adopted()]),
        ("adopted, superseding what was not", vec![status(3, MAKER, "manufacturer", "in-use").ends(2).adopted()]),
        (
            "adopted by way of another domain",
            vec![
                pump(1)
                    .adopted()
                    .source(|way| {
                        way[0].domain = word("maker.example");
                        let first =
                            crate::record::SourceRef { domain: word("factory.example"), entry0: [1; 32], index: 3 };
                        way.push(first);
                    })
                    .with(|said| said.claims.domain = word("factory.example")),
            ],
        ),
        (
            "installed software",
            vec![say(1, KEEPER, "maintainer", Act::Installed).with(|said| {
                said.claims.installed = Some([7; 32]);
            })],
        ),
        ("signed five minutes from now", vec![pump(1).with(|said| said.signed_at = time(1 + 300))]),
    ];
    for (case, drafts) in cases {
        assert_eq!(check(&drafts).err(), None, "{case}");
    }
}

#[test]
fn what_is_refused_and_with_which_code() {
    let stolen = || status(2, KEEPER, "maintainer", "stolen");
    let destroyed = || status(2, KEEPER, "maintainer", "destroyed");
    let cases = [
        ("duplicate", vec![pump(1), pump(2).with(|said| said.id = id(1))]),
        ("foreign-domain", vec![pump(1).with(|said| said.claims.domain = word("other.example"))]),
        ("adopted-own", vec![pump(1).adopted().with(|said| said.claims.domain = home())]),
        ("unknown-source", vec![pump(1).adopted().source(|way| way[0].domain = word("else.example"))]),
        ("unknown-source", vec![pump(1).adopted().source(|way| way[0].entry0 = [0; 32])]),
        ("source-mismatch", vec![pump(1).adopted().with(|said| said.claims.domain = word("else.example"))]),
        ("future-time", vec![pump(1).with(|said| said.signed_at = time(1 + 301))]),
        (
            "kind-differs",
            vec![
                pump(1),
                status(2, KEEPER, "maintainer", "in-use").with(|said| {
                    let Subject::Key { kind, .. } = &mut said.subject else { panic!("a key") };
                    *kind = Kind::Service;
                }),
            ],
        ),
        ("unknown-status", vec![status(1, KEEPER, "maintainer", "on-fire")]),
        ("unknown-status", vec![status(1, KEEPER, "maintainer", "released").with(|said| said.revokes = false)]),
        ("for-ever-until", vec![status(1, KEEPER, "maintainer", "destroyed").until(10)]),
        ("revocation-mismatch", vec![stolen().with(|said| said.revokes = false)]),
        ("revocation-mismatch", vec![pump(1).with(|said| said.revokes = true)]),
        (
            "revocation-mismatch",
            vec![status(1, MAKER, "manufacturer", "withdrawn").on(&lot()).with(|said| {
                said.revokes = true;
            })],
        ),
        ("unknown-role", vec![grant(1, MAKER, "manufacturer", BUYER, "king")]),
        ("role-not-held", vec![status(1, BUYER, "owner", "in-use")]),
        ("role-not-held", vec![status(1, KEEPER, "manufacturer", "in-use")]),
        ("role-not-held", vec![sold(), status(3, BUYER, "maintainer", "in-use")]),
        ("role-not-held", vec![sold().until(3), status(3, BUYER, "owner", "in-use")]),
        ("role-not-held", vec![sold().from(4), status(3, BUYER, "owner", "in-use")]),
        ("role-not-held", vec![sold().refused(), status(3, BUYER, "owner", "in-use")]),
        (
            "role-not-held",
            vec![sold(), withdrawal(3, MAKER, "manufacturer").ends(2), status(4, BUYER, "owner", "in-use")],
        ),
        (
            "role-not-held",
            vec![sold(), grant(3, BUYER, "owner", HEIR, "owner").ends(2), status(4, BUYER, "owner", "in-use")],
        ),
        // Over another thing, over a group that it is not in, over a narrower group.
        ("role-not-held", vec![sold(), status(3, BUYER, "owner", "released").on_software()]),
        (
            "role-not-held",
            vec![
                introduce(1),
                grant(2, MAKER, "manufacturer", BUYER, "owner").on(&lot()),
                status(3, BUYER, "owner", "in-use"),
            ],
        ),
        (
            "role-not-held",
            vec![
                grant(1, MAKER, "manufacturer", BUYER, "owner").on(&lot()),
                say(2, BUYER, "owner", Act::Approval).on(&group("all P1", &[(Attribute::Model, "P1")])),
            ],
        ),
        // Nobody can put themselves into a group.
        (
            "role-not-held",
            vec![
                grant(1, MAKER, "manufacturer", BUYER, "owner").on(&lot()),
                say(2, BUYER, "owner", Act::Identity).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "7"),
            ],
        ),
        ("name-not-permitted", vec![introduce(1).name("host:pump.example")]),
        ("name-not-permitted", vec![introduce(1).with(|said| said.names.push(word("urn:dev:os:99-1")))]),
        ("supersedes-unknown", vec![pump(1), pump(2).ends(9)]),
        (
            "supersedes-unknown",
            vec![
                status(1, MAKER, "manufacturer", "withdrawn").on(&lot()),
                status(2, MAKER, "manufacturer", "planned").ends(1),
            ],
        ),
        ("supersedes-other-act", vec![stolen(), say(3, KEEPER, "maintainer", Act::Approval).ends(2)]),
        (
            "supersedes-withdrawal",
            vec![stolen(), withdrawal(3, KEEPER, "maintainer").ends(2), withdrawal(4, KEEPER, "maintainer").ends(3)],
        ),
        ("supersedes-others", vec![stolen(), status(3, MAKER, "manufacturer", "planned").ends(2)]),
        (
            "supersedes-others",
            vec![
                grant(1, MAKER, "manufacturer", BUYER, "owner"),
                stolen(),
                status(3, BUYER, "owner", "planned").ends(2),
            ],
        ),
        ("supersedes-others", vec![stolen(), withdrawal(3, MAKER, "manufacturer").ends(2)]),
        ("supersedes-others", vec![pump(1), stolen(), status(3, MAKER, "manufacturer", "in-use").ends(2).adopted()]),
        ("blocked-for-ever", vec![destroyed(), status(3, KEEPER, "maintainer", "planned").ends(2)]),
        ("blocked-for-ever", vec![destroyed(), withdrawal(3, KEEPER, "maintainer").ends(2)]),
        ("not-permitted", vec![sold(), grant(3, BUYER, "owner", HEIR, "maintainer")]),
    ];
    for (code, drafts) in cases {
        let refusal = check(&drafts).expect_err(code);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(!refusal.to_string().is_empty() && !refusal.to_string().ends_with('.'), "{refusal}");
    }
}

/// A role over a group is one over all members, so somebody with a role over a thing must not be able to make it a
/// member.
#[test]
fn a_role_over_one_thing_does_not_become_those_of_a_group() {
    let order = group("order 12", &[]);
    let lifted = |member: Draft| {
        check(&[
            pump(1),
            status(2, CONTROLLER, "security-controller", "suspended"),
            grant(3, MAKER, "manufacturer", BUYER, "maintainer"),
            grant(4, MAKER, "manufacturer", BUYER, "owner").on(&order),
            member.joins(&order),
            status(6, BUYER, "owner", "in-use").ends(2),
        ])
    };
    assert!(lifted(say(5, MAKER, "manufacturer", Act::Approval)).is_ok(), "the maker may say what belongs to an order");
    let refused = lifted(say(5, BUYER, "maintainer", Act::Approval)).expect_err("the buyer may not");
    assert!(matches!(refused, Refusal::RoleNotHeld { .. }), "{refused}");
}

#[test]
fn access_rules_see_what_is_known_of_the_thing() {
    let domain = changed(0, |descriptor| {
        descriptor.access.push_str(
            "@id(\"p1-only\") forbid (principal, action in Action::\"append\", resource) \
             unless { resource has model && resource.model == \"P1\" };",
        );
    });
    let approval = || say(9, KEEPER, "maintainer", Act::Approval);
    let claims_p2 = || say(8, MAKER, "manufacturer", Act::Identity).attribute(Attribute::Model, "P2");
    let wide = group("all P1", &[(Attribute::Model, "P1")]);
    let cases = [
        ("introduced as a P1", vec![pump(1), approval()], true),
        ("not introduced", vec![approval()], false),
        ("its signers contradict each other", vec![pump(1), claims_p2(), approval()], false),
        ("the signer has replaced that statement", vec![pump(1), claims_p2().ends(1), approval()], false),
        ("introduces itself as a P1", vec![pump(1)], true),
        ("introduces itself as another", vec![pump(1), claims_p2()], false),
        ("a group of P1", vec![approval().on(&wide)], true),
        ("a group of others", vec![approval().on(&group("lot", &[(Attribute::Lot, "7")]))], false),
    ];
    for (case, drafts, admitted) in cases {
        let code = check_in(domain.clone(), &drafts).err().map(|refusal| refusal.code());
        assert_eq!(code, (!admitted).then_some("not-permitted"), "{case}");
    }
}

#[test]
fn a_compromised_signer_adds_nothing() {
    let compromised = |domain: &str, from_index| {
        changed(1, |descriptor| {
            descriptor.compromised.push(Compromise { signer: MAKER, domain: word(domain), from_index });
        })
    };
    let refused = Err(Refusal::SignerCompromised(MAKER));
    assert_eq!(check_in(compromised("devices.acme.example", 2), &[pump(2)]), refused);
    assert!(check_in(compromised("devices.acme.example", 2), &[status(2, KEEPER, "maintainer", "in-use")]).is_ok());
    // The sample is at index 7 of its source.
    assert_eq!(check_in(compromised("maker.example", 7), &[pump(2).adopted()]), refused);
    assert!(check_in(compromised("maker.example", 8), &[pump(2).adopted()]).is_ok());
}

#[test]
fn time_does_not_go_back() {
    let mut domain = domain();
    domain.grow_to(2, time(3));
    let refusal = domain.check(&pump(2).log(), &Context::default());
    assert_eq!(refusal, Err(Refusal::TimeGoesBack { admitted_at: time(2), last: time(3) }));
}

#[test]
fn each_entry_is_ruled_by_the_descriptor_before_it() {
    let domain = changed(5, |descriptor| {
        descriptor.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
    });
    assert_eq!((domain.descriptor_at(0).version, domain.descriptor_at(5).version), (1, 1));
    assert_eq!((domain.descriptor_at(6).version, domain.descriptor().version), (2, 2));
    assert_eq!(domain.descriptor_indices().collect::<Vec<_>>(), [0, 5]);
    assert!(domain.held_at(5, &KEEPER, &word("maintainer")) && !domain.held_at(6, &KEEPER, &word("maintainer")));
    let refusal = check_in(domain, &[status(6, KEEPER, "maintainer", "in-use")]);
    assert_eq!(refusal.expect_err("dismissed").code(), "role-not-held");
}

/// Whatever the previous rules have decided on the same question.
#[test]
fn the_rules_of_a_new_descriptor_count_at_once() {
    let asked = |domain: &Domain| {
        let decided = grown(domain.clone(), 2).check(&pump(2).log(), &Context::default());
        decided.map(drop).map_err(|refusal| refusal.code())
    };
    let mut domain = domain();
    assert_eq!((asked(&domain), asked(&domain)), (Ok(()), Ok(())));
    let closed = Descriptor { version: 2, access: String::new(), ..descriptor() };
    domain.take_descriptor(1, closed, now()).expect("no rules are rules");
    assert_eq!(asked(&domain), Err("not-permitted"));
}

#[test]
fn a_refusal_says_what_the_signer_lacks() {
    let refusal = check(&[sold(), status(3, BUYER, "maintainer", "in-use")]).expect_err("not held");
    assert_eq!(
        refusal.to_string(),
        "the signer `0505050505050505050505050505050505050505` does not have the role `maintainer` over this identity; \
         they have `owner`"
    );
    let forbidden = check(&[sold(), grant(3, BUYER, "owner", HEIR, "maintainer")]).expect_err("forbidden");
    assert_eq!(forbidden.to_string(), "the domain's access rules do not permit it: grants-owner");
}

/// A grant over a group is one over each member; for one member, a statement about that member ends it.
#[test]
fn one_thing_out_of_an_order_is_sold_on() {
    let order = || grant(2, MAKER, "manufacturer", BUYER, "owner").on(&lot());
    let sale = || grant(4, BUYER, "owner", HEIR, "owner").ends(2);
    // Admitted, but only from whoever holds the grant or has made it.
    for (case, last) in [
        ("the buyer sells it", sale()),
        ("the buyer gives it back", withdrawal(4, BUYER, "owner").ends(2)),
        ("the maker gives it to another", grant(4, MAKER, "manufacturer", HEIR, "owner").ends(2)),
    ] {
        assert_eq!(check(&[pump(1), order(), last]).map(|_| ()), Ok(()), "{case}");
    }
    let others = check(&[pump(1), order(), grant(4, KEEPER, "maintainer", HEIR, "maintainer").ends(2)]);
    assert_eq!(others.map(|_| ()).map_err(|refusal| refusal.code()), Err("supersedes-others"));
    let status_of_group = status(3, MAKER, "manufacturer", "suspended").on(&lot());
    let escape = check(&[pump(1), order(), status_of_group, status(4, MAKER, "manufacturer", "in-use").ends(3)]);
    assert_eq!(
        escape.map(|_| ()).map_err(|refusal| refusal.code()),
        Err("supersedes-unknown"),
        "a recall is the lot's"
    );

    // What the former holder says later about the order does not reach the device; what they said before stays, until
    // lifted.
    let says = |n: u64| status(n, BUYER, "owner", "suspended").on(&lot());
    let recall = status(6, MAKER, "manufacturer", "suspended").on(&lot());
    for (case, drafts, effect) in [
        ("before the sale", vec![pump(1), order(), says(3), sale()], Effect::Blocks),
        ("after it", vec![pump(1), order(), sale(), says(5)], Effect::None),
        ("without a sale", vec![pump(1), order(), says(5)], Effect::Blocks),
        (
            "a sale that a stranger claims",
            vec![pump(1), order(), grant(4, KEEPER, "owner", HEIR, "owner").ends(2), says(5)],
            Effect::Blocks,
        ),
        ("the maker", vec![pump(1), order(), sale(), recall], Effect::Blocks),
    ] {
        let (about, groups) = split(&drafts);
        let record = resolve(&domain(), &device(), &about, &groups, now()).expect("introduced");
        assert_eq!(record.effect(), effect, "{case}");
    }
    let (about, groups) = split(&[pump(1), order(), sale()]);
    let record = resolve(&domain(), &device(), &about, &groups, now()).expect("introduced");
    assert_eq!(record.grants.iter().map(|grant| grant.grantee).collect::<Vec<_>>(), [HEIR]);
    let order_itself = resolve(&domain(), &groups[0].subject_id(), &groups, &[], now()).expect("something was said");
    assert_eq!(order_itself.grants.iter().map(|grant| grant.grantee).collect::<Vec<_>>(), [BUYER], "not the sold one");
}
