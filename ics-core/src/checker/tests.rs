//! Every verdict, whatever statements it rests on, is found twice, and none that was changed passes.

mod elsewhere;
mod erased;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::admitted::is_admitted;
use super::mutants::mutants;
use super::standing::Scene;
use super::{Premises, Sought, check};
use crate::descriptor::Freshness;
use crate::domain::{Admitted, Context, Domain, Refusal};
use crate::identity::Fingerprint;
use crate::limits;
use crate::log::Hash;
use crate::log::checkpoint::Origin;
use crate::record::properties::{domains, drafts, logs};
use crate::record::specification::Specification;
use crate::record::{Logged, Record, resolve};
use crate::samples::*;
use crate::time::Timestamp;
use crate::trust::{Looked, Outcome, Question, Reason, Testimony, TrustDocument, TrustPolicy, Verdict, verdict};
use crate::vocabulary::{Act, Attribute, Effect};

const RULES: &str = r#"
@id("operate") permit (principal, action == Action::"operate", resource)
when { principal.vouching_roles.contains("manufacturer") && principal.effect == Effect::"permits" };
@id("approved") permit (principal, action == Action::"install", resource)
when { principal.approving_roles.contains("maintainer") };
@id("rollback") permit (principal, action == Action::"other", resource)
when { context.use == "rollback" && principal.formerly_approving_roles.contains("maintainer") };
@id("labelled") permit (principal, action == Action::"other", resource)
when { context.use == "sell" && principal.labels.contains("checked") };
@id("agreed") forbid (principal, action == Action::"operate", resource) when { principal.conflict };
"#;
const ID: &str = "dddddddddddddddddddddddddddddddddddddddd";
const USES: [&str; 4] = ["operate", "install", "rollback", "sell"];
/// The roles in which labels count if a policy names none.
const LABELLING: [&str; 1] = ["certification-body"];

/// What one domain says, and how old the news of it is.
#[derive(Debug, Clone)]
struct Says {
    domain: Domain,
    drafts: Vec<Draft>,
    age: u64,
}

fn says() -> impl Strategy<Value = Says> {
    let age = prop_oneof![4 => Just(10), 1 => Just(5_000), 1 => Just(0)];
    (domains(), logs(), age).prop_map(|(domain, drafts, age)| Says { domain, drafts, age })
}

fn origin(number: usize) -> Origin {
    Origin { domain: word(&format!("d{number}.example")), entry0: [0; 32] }
}

/// Policies under which the first domain counts, and the first two.
static POLICIES: LazyLock<[TrustPolicy; 2]> =
    LazyLock::new(|| [1, 2].map(|counting| policy(counting, &[], &LABELLING)));
/// A policy under which the first two domains count, but each role only in the first one.
static BOUND: LazyLock<TrustPolicy> = LazyLock::new(|| {
    let roles = ["manufacturer", "maintainer", "certification-body", "security-controller", "owner"];
    policy(2, &roles, &LABELLING)
});
/// A policy under which the first two domains count, and labels in other roles than that of the certification body.
static LABELLED: LazyLock<TrustPolicy> = LazyLock::new(|| policy(2, &[], &["maintainer", "owner"]));

fn policy(counting: usize, bound: &[&str], labelling: &[&str]) -> TrustPolicy {
    let first = || BTreeSet::from([origin(0).domain]);
    TrustPolicy::compile(TrustDocument {
        domains: (0..counting).map(origin).collect(),
        roles: bound.iter().map(|role| (word(role), first())).collect(),
        labelling_roles: labelling.iter().map(|role| word(role)).collect(),
        freshness: Freshness { default: 3_600, uses: [].into() },
        rules: RULES.to_owned(),
    })
    .expect("a trust policy")
}

impl Says {
    fn as_of(&self) -> Timestamp {
        time(1_000_000 - self.age)
    }

    fn testimony(&self, number: usize) -> Testimony {
        let (about, groups) = split(&self.drafts);
        let record = resolve(&self.domain, &device(), &about, &groups, now());
        Testimony {
            origin: origin(number),
            size: 100,
            root: Hash([7; 32]),
            descriptor: self.domain.descriptor().version,
            as_of: self.as_of(),
            freshness: self.domain.descriptor().freshness.clone(),
            record: record.map(|record| Record { domain: origin(number).domain, ..record }),
            withheld: false,
        }
    }
}

/// The answer about the device, and what it is checked against; the first `counting` domains count.
fn asked(usage: &str, all: &[Says], counting: usize) -> (Verdict, Premises) {
    asked_by(&POLICIES[counting - 1], usage, all)
}

fn asked_by(policy: &TrustPolicy, usage: &str, all: &[Says]) -> (Verdict, Premises) {
    let testimonies = all.iter().enumerate().map(|(number, it)| it.testimony(number)).collect();
    let thing = Looked { asked: ID.to_owned(), candidates: 1, testimonies };
    let given = verdict(&Question { usage: usage.to_owned(), thing, peer: None }, policy, now());
    let heard = |(number, it): (usize, &Says)| heard(&it.domain, &it.drafts, origin(number), it.as_of());
    let heard = all.iter().enumerate().map(heard).collect();
    let premises = Premises {
        usage: usage.to_owned(),
        at: now(),
        policy: policy.document().clone(),
        thing: Sought { asked: ID.to_owned(), candidates: 1, heard },
        peer: None,
    };
    (given, premises)
}

/// The answer by docs/calculus.md, sections 2 and 3, computed as literally as they are written; labels count in these
/// roles.
fn specified(usage: &str, all: &[Says], labelling: &[&str]) -> (Outcome, Reason) {
    let logged: Vec<Vec<Logged>> = all.iter().map(|it| it.drafts.iter().cloned().map(Draft::log).collect()).collect();
    let domains: Vec<Specification<'_>> =
        all.iter().zip(&logged).map(|(it, all)| Specification { domain: &it.domain, all, at: now() }).collect();
    let effect = domains.iter().map(Specification::effect).max().unwrap_or(Effect::None);
    let stands = |act: Act, role: &str| {
        domains.iter().any(|domain| {
            domain.all.iter().any(|s| s.claims().act == act && s.claims().role == word(role) && domain.stands(s))
        })
    };
    let formerly = || domains.iter().any(|domain| domain.all.iter().any(|s| domain.formerly_approves(s)));
    let effects: BTreeSet<Effect> = domains.iter().flat_map(Specification::effects).collect();
    if effect.blocks() {
        return (Outcome::Deny, Reason::Blocked);
    }
    if !logged.iter().flatten().any(|s| s.subject_id() == device()) {
        return (Outcome::Unknown, Reason::UnknownIdentity);
    }
    if all.iter().any(|it| it.age >= 3_600) {
        return (Outcome::Unknown, Reason::Stale);
    }
    let permits = match usage {
        "operate" => stands(Act::Identity, "manufacturer") && effect == Effect::Permits,
        "install" => stands(Act::Approval, "maintainer"),
        "sell" => labelling.iter().any(|role| stands(Act::Label, role)),
        _ => formerly(),
    };
    match (usage, effects.len() > 1) {
        ("operate", true) => (Outcome::Deny, Reason::Forbidden),
        _ if permits => (Outcome::Allow, Reason::Permitted),
        _ => (Outcome::Deny, Reason::NotPermitted),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Soundness: nothing is allowed, denied or unknown except by the rules, and the checker agrees.
    #[test]
    fn a_verdict_is_what_the_rules_say(all in vec(says(), 1..3), usage in 0..USES.len()) {
        let (given, premises) = asked(USES[usage], &all, all.len());
        prop_assert_eq!(check(&given, &premises), Ok(()));
        prop_assert_eq!((given.outcome, given.reason), specified(USES[usage], &all, &LABELLING));
    }

    /// Labels in roles that the policy does not name have no effect.
    #[test]
    fn labels_count_in_the_roles_that_the_policy_names(all in vec(says(), 2)) {
        let (given, premises) = asked_by(&LABELLED, "sell", &all);
        prop_assert_eq!(check(&given, &premises), Ok(()));
        prop_assert_eq!((given.outcome, given.reason), specified("sell", &all, &["maintainer", "owner"]));
    }

    /// Neither the order in which anything was heard, nor hearing it twice, makes a difference.
    #[test]
    fn order_says_nothing(
        (one, other) in says().prop_flat_map(|it| {
            let shuffled = Just(it.drafts.clone()).prop_shuffle();
            (Just(it.clone()), shuffled.prop_map(move |drafts| Says { drafts, ..it.clone() }))
        }),
        second in says(),
    ) {
        let (given, _) = asked("operate", &[one, second.clone()], 2);
        let (again, premises) = asked("operate", &[other, second], 2);
        prop_assert_eq!(check(&given, &premises), Ok(()));
        prop_assert_eq!(given, again);
    }

    /// Statements in domains that do not count change nothing, except that these domains are mentioned.
    #[test]
    fn what_is_said_outside_of_the_policy_changes_nothing(counting in says(), other in says()) {
        let (without, _) = asked("operate", core::slice::from_ref(&counting), 1);
        let (with, premises) = asked("operate", &[counting, other], 1);
        prop_assert_eq!(check(&with, &premises), Ok(()));
        prop_assert_eq!(with.ignored.len(), 1);
        prop_assert_eq!(Verdict { ignored: BTreeSet::new(), ..with }, without);
    }

    /// In a role that counts only in one domain, another domain permits nothing, but can block anything.
    #[test]
    fn nobody_permits_in_a_role_that_counts_of_another_domain(all in vec(says(), 2), usage in 0..USES.len()) {
        let (bound, premises) = asked_by(&BOUND, USES[usage], &all);
        prop_assert_eq!(check(&bound, &premises), Ok(()));
        let [alone, free] = [1, 2].map(|counting| asked(USES[usage], &all[..counting], counting).0);
        prop_assert!(bound.outcome != Outcome::Allow || alone.outcome == Outcome::Allow, "{:?}", bound);
        prop_assert_eq!(bound.reason == Reason::Blocked, free.reason == Reason::Blocked);
    }

    /// Statements of strangers, who have no role at all, change nothing that counts.
    #[test]
    fn strangers_change_nothing(it in says(), more in vec(drafts(0), 1..6)) {
        let mut with = it.clone();
        for (n, draft) in (100..).zip(more) {
            let stranger = crate::identity::Fingerprint::V4([0x77; 20]);
            // A log admits nothing from them; if it did, it would have no effect.
            let mut draft = draft.with(|said| said.id = id(n)).by(stranger).refused();
            draft.index = n;
            with.drafts.push(draft);
        }
        let (before, _) = asked("operate", &[it], 1);
        let (after, premises) = asked("operate", &[with], 1);
        prop_assert_eq!(check(&after, &premises), Ok(()));
        prop_assert_eq!((after.outcome, after.reason, after.thing), (before.outcome, before.reason, before.thing));
    }

    /// A block stands whatever else is said, unless somebody entitled ends it.
    #[test]
    fn a_blocked_thing_stays_denied(it in says(), second in says(), more in vec(drafts(0), 1..6)) {
        let (before, _) = asked("operate", &[it.clone(), second.clone()], 2);
        prop_assume!(before.reason == Reason::Blocked);
        let blocks: BTreeSet<_> = it.drafts.iter().map(|draft| draft.said.id).collect();
        let mut with = it;
        for (n, draft) in (100..).zip(more) {
            // Nothing that names a standing block, since only that could end it.
            let mut draft = draft.with(|said| {
                said.id = id(n);
                said.claims.supersedes.retain(|named| !blocks.contains(named));
            });
            draft.index = n;
            with.drafts.push(draft);
        }
        let (after, premises) = asked("operate", &[with, second], 2);
        prop_assert_eq!(check(&after, &premises), Ok(()));
        prop_assert_eq!((after.outcome, after.reason), (Outcome::Deny, Reason::Blocked));
    }
}

/// Verdicts about random logs, by seed.
fn seeded(count: usize) -> impl Iterator<Item = (Verdict, Premises)> {
    let mut runner = TestRunner::deterministic();
    let strategy = (vec(says(), 1..3), 0..USES.len(), 1_usize..3);
    (0..count).map(move |_| {
        let (all, usage, counting) = strategy.new_tree(&mut runner).expect("a case").current();
        asked(USES[usage], &all, counting.min(all.len()))
    })
}

#[test]
fn no_changed_verdict_passes() {
    let mut rejected = 0;
    for (seed, (given, premises)) in seeded(24).enumerate() {
        assert_eq!(check(&given, &premises), Ok(()), "{seed}");
        for mutant in mutants(&given) {
            assert!(check(&mutant, &premises).is_err(), "{seed}: {mutant:#?}\ninstead of {given:#?}");
            rejected += 1;
        }
    }
    assert!(rejected > 6_000, "{rejected} mutants are few");
}

/// The checks can fail: an evaluator that breaks a rule is detected, whichever rule it is.
#[test]
fn a_broken_rule_is_found() {
    type Break = fn(&mut Says);
    let without_until: Break = |it| it.drafts.iter_mut().for_each(|draft| draft.said.claims.until = None);
    let without_from: Break = |it| it.drafts.iter_mut().for_each(|draft| draft.said.claims.from = None);
    let without_ends: Break = |it| it.drafts.iter_mut().for_each(|draft| draft.said.claims.supersedes.clear());
    let all_admitted: Break = |it| it.drafts.iter_mut().for_each(|draft| draft.refused = false);
    let no_groups: Break = |it| it.drafts.retain(|draft| draft.said.identity == device());
    let no_withdrawals: Break = |it| it.drafts.retain(|draft| draft.said.claims.act != Act::Withdrawal);
    let no_grants: Break = |it| it.drafts.retain(|draft| draft.said.claims.act != Act::Grant);
    let no_blocks: Break = |it| it.drafts.retain(|draft| !draft.said.revokes);
    let never_stale: Break = |it| it.age = 10;
    let first_policy: Break = |it| it.domain = domain();
    let breaks = [
        ("time ends nothing", without_until),
        ("nothing waits for its time", without_from),
        ("nothing is replaced or taken back", without_ends),
        ("everything is admitted", all_admitted),
        ("groups are left out", no_groups),
        ("nothing is taken back", no_withdrawals),
        ("grants give nothing", no_grants),
        ("blocks are left out", no_blocks),
        ("nothing grows old", never_stale),
        ("the descriptor never changes", first_policy),
    ];
    for (what, broken) in breaks {
        let mut runner = TestRunner::deterministic();
        let found = (0..400).any(|_| {
            let it = says().new_tree(&mut runner).expect("a case").current();
            let (_, premises) = asked("operate", core::slice::from_ref(&it), 1);
            let mut other = it;
            broken(&mut other);
            let (given, _) = asked("operate", &[other], 1);
            check(&given, &premises).is_err()
        });
        assert!(found, "an evaluator for which {what} passes");
    }
}

#[test]
fn what_was_refused_may_stand_in_the_log_again() {
    let again = |draft: Draft, n: u64| draft.with(|said| said.id = id(n));
    let granted = |n| again(grant(n, MAKER, "manufacturer", BUYER, "maintainer"), 1);
    let ended = |n| again(status(n, BUYER, "maintainer", "planned").ends(3), 4);
    let used = status(3, BUYER, "maintainer", "in-use");
    let drafts = vec![introduce(0), granted(1).refused(), granted(2), used, ended(4).refused(), ended(5)];
    let (given, premises) = asked("operate", &[Says { domain: domain(), drafts, age: 10 }], 1);
    assert_eq!(check(&given, &premises), Ok(()));
}

/// What becomes of the last draft as the next entry after the others, according to both programs.
fn decided(domain: Domain, drafts: &[Draft]) -> Result<Admitted, Refusal> {
    let (last, before) = drafts.split_last().expect("a statement to check");
    let before: Vec<Logged> = before.iter().cloned().map(Draft::log).collect();
    decided_behind(domain, &before, &last.clone().log())
}

/// The same of an entry behind what a log holds.
fn decided_behind(domain: Domain, before: &[Logged], s: &Logged) -> Result<Admitted, Refusal> {
    let domain = grown(domain, s.index());
    let context = Context { about: before, groups: before, unseen: false };
    let decided = domain.check(s, &context);
    let chain = domain.chain();
    let (thing, at) = (s.subject_id(), s.admitted_at());
    let scene = Scene { chain: &chain, statements: before, thing, before: s.index(), at };
    let found = is_admitted(scene, s, domain.last_admitted_at(), false);
    assert_eq!(decided.is_ok(), found, "{decided:?}: {s:#?} behind {before:#?}");
    decided
}

/// Whether it is admitted if each signer may make three statements.
fn admits(drafts: &[Draft]) -> bool {
    let limited = changed(0, |descriptor| descriptor.limits.statements_per_signer_and_identity = Some(3));
    let decided = decided(limited, drafts);
    assert!(matches!(decided, Ok(_) | Err(Refusal::Quota(3))), "{decided:?}");
    decided.is_ok()
}

/// What a group selects puts it into wider groups before any statement about it exists.
#[test]
fn an_owner_of_a_model_speaks_first_of_a_lot_of_it() {
    let sold = grant(1, MAKER, "manufacturer", BUYER, "owner").on(&group("all P1", &[(Attribute::Model, "P1")]));
    for (model, admitted) in [("P1", true), ("P2", false)] {
        let lot = group("lot 7", &[(Attribute::Model, model), (Attribute::Lot, "7")]);
        let suspended = status(2, BUYER, "owner", "suspended").on(&lot);
        assert_eq!(decided(domain(), &[sold.clone(), suspended]).is_ok(), admitted, "{model}");
    }
}

#[test]
fn what_a_group_selects_by_is_one_of_its_few_values() {
    let lot = group("lot Z", &[(Attribute::Lot, "Z")]);
    let lots = |count: usize| (1..=count).map(|n| introduce(n as u64).attribute(Attribute::Lot, &n.to_string()));
    for (count, admitted) in [(limits::SELECTING_VALUES, true), (limits::SELECTING_VALUES + 1, false)] {
        let of_thing: Vec<Draft> = lots(count).collect();
        assert_eq!(decided(domain(), &of_thing).is_ok(), admitted, "{count} of a thing");
        let of_group: Vec<Draft> = lots(count - 1).map(|draft| draft.on(&lot)).collect();
        assert_eq!(decided(domain(), &of_group).is_ok(), admitted, "{count} with that of the group");
    }
}

#[test]
fn a_quota_keeps_no_signer_from_taking_back_their_statements() {
    let issued = |n| say(n, KEEPER, "maintainer", Act::Issued).until(10);
    let ends = |n, ended| say(n, KEEPER, "maintainer", Act::Withdrawal).ends(ended);
    let three = || (1..=3).map(issued).collect::<Vec<_>>();
    let approvals = || (1..=3).map(|n| say(n, KEEPER, "maintainer", Act::Approval).until(10));
    let stolen = status(4, KEEPER, "maintainer", "stolen");
    for (what, drafts, admitted) in [
        ("a fourth certificate", [three(), vec![issued(4)]].concat(), false),
        ("one is revoked", [three(), vec![ends(4, 1)]].concat(), true),
        ("and all", [three(), vec![ends(4, 1), ends(5, 2), ends(6, 3)]].concat(), true),
        ("none twice", [three(), vec![ends(4, 1), ends(5, 1)]].concat(), false),
        ("that makes no room", [three(), vec![ends(4, 1), issued(5)]].concat(), false),
        ("their time is over in a moment", [three(), vec![issued(9)]].concat(), false),
        ("it is over", [three(), vec![issued(10)]].concat(), true),
        (
            "nor is it counted that they were revoked",
            [three(), vec![ends(4, 1), ends(5, 2)], (10..13).map(|n| issued(n).until(20)).collect()].concat(),
            true,
        ),
        ("other statements count after their time", approvals().chain([issued(11)]).collect(), false),
        ("they are taken back as well", approvals().chain([ends(4, 1)]).collect(), true),
        ("a block is not", approvals().chain([stolen, ends(5, 4)]).collect(), false),
    ] {
        assert_eq!(admits(&drafts), admitted, "{what}");
    }
}

#[test]
fn the_last_places_of_a_record_are_for_those_whom_the_descriptor_names() {
    let others = |count: usize| {
        let said = |n: u64| say(n, Fingerprint::V6([n as u8; 32]), "maintainer", Act::Approval);
        let grant = grant(1, MAKER, "manufacturer", BUYER, "owner");
        core::iter::once(grant).chain((2..).map(said)).take(count).collect::<Vec<_>>()
    };
    let granted = || status(9_000, BUYER, "owner", "suspended");
    let named = || status(9_000, CONTROLLER, "security-controller", "suspended");
    let (last, most) = (limits::RECORD_STATEMENTS_GRANTED, limits::RECORD_STATEMENTS);
    for (count, block, admitted) in [
        (last - 1, granted(), true),
        (last, granted(), false),
        (last, named(), true),
        (most - 1, named(), true),
        (most, named(), false),
    ] {
        let decided = decided(domain(), &[others(count), vec![block]].concat());
        assert_eq!(decided.is_ok(), admitted, "behind {count}: {decided:?}");
    }
}
