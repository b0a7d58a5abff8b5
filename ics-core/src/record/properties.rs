//! Properties that hold for every set of statements.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::specification::Specification;
use super::{Logged, Record, Standing, resolve};
use crate::descriptor::Compromise;
use crate::domain::{Context, Domain};
use crate::identity::Fingerprint;
use crate::samples::*;
use crate::statement::{Erasure, Group};
use crate::vocabulary::{Act, Attribute, Effect};

const PARTIES: [(Fingerprint, &str); 7] = [
    (MAKER, "manufacturer"),
    (KEEPER, "maintainer"),
    (LABELLER, "certification-body"),
    (CONTROLLER, "security-controller"),
    (BUYER, "owner"),
    (BUYER, "maintainer"),
    (HEIR, "owner"),
];
const STATUSES: [&str; 7] = ["planned", "in-use", "suspended", "lost", "stolen", "retired", "destroyed"];

fn groups() -> [Group; 3] {
    [
        group("order 12", &[]),
        group("all P1", &[(Attribute::Model, "P1")]),
        group("lot 7", &[(Attribute::Model, "P1"), (Attribute::Lot, "7")]),
    ]
}

/// Domains, some of which change their policy along the way.
pub(crate) fn domains() -> impl Strategy<Value = Domain> {
    prop_oneof![
        3 => Just(domain()),
        1 => (1_u64..20).prop_map(|index| changed(index, |next| {
            next.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
        })),
        1 => (1_u64..20, select(vec![MAKER, KEEPER, BUYER])).prop_map(|(from_index, signer)| changed(30, |next| {
            next.compromised.push(Compromise { signer, domain: home(), from_index });
        })),
        1 => (0_u64..20).prop_map(|n| changed(30, |next| next.lifted.extend([id(n)]))),
    ]
}

/// A statement by somebody in entry `n`, about the device or a group, sensible or not.
pub(crate) fn drafts(n: u64) -> impl Strategy<Value = Draft> {
    let acts = vec![
        Act::Status,
        Act::Status,
        Act::Status,
        Act::Identity,
        Act::Identity,
        Act::Grant,
        Act::Grant,
        Act::Withdrawal,
        Act::Approval,
        Act::Label,
    ];
    let contents = (
        select(acts),
        select(STATUSES.to_vec()),
        select(PARTIES.to_vec()),
        select(vec!["P1", "P2"]),
        select(vec!["7", "8"]),
        weighted(0.2, select(groups().to_vec())),
    );
    let place = (
        select(PARTIES.to_vec()),
        weighted(0.4, select(groups().to_vec())),
        subsequence((0..20).collect::<Vec<u64>>(), 0..3),
        weighted(0.1, select(vec![10_u64, 2_000_000])),
        weighted(0.1, select(vec![500_u64, 3_000_000])),
        weighted(0.05, Just(())),
    );
    (contents, place).prop_map(move |(contents, place)| {
        let (act, status_name, (grantee, granted), model, lot, joins) = contents;
        let ((signer, role), on, ends, from, until, refused) = place;
        let mut draft = match act {
            Act::Status => status(n, signer, role, status_name),
            Act::Grant => grant(n, signer, role, grantee, granted),
            Act::Identity => {
                say(n, signer, role, act).attribute(Attribute::Model, model).attribute(Attribute::Lot, lot)
            }
            Act::Label => say(n, signer, role, act).with(|said| said.claims.label = Some("checked".to_owned())),
            _ => say(n, signer, role, act),
        };
        draft = ends.into_iter().fold(draft, Draft::ends);
        draft = joins.iter().fold(draft, Draft::joins);
        draft = from.into_iter().fold(draft, Draft::from);
        draft = until.into_iter().fold(draft, Draft::until);
        draft = on.iter().fold(draft, Draft::on);
        if refused.is_some() { draft.refused() } else { draft }
    })
}

/// The manufacturer's introduction, and what others say after it.
pub(crate) fn logs() -> impl Strategy<Value = Vec<Draft>> {
    (4_usize..20).prop_flat_map(|length| {
        let mut all = vec![Just(introduce(0).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "7")).boxed()];
        all.extend((1..length as u64).map(|n| drafts(n).boxed()));
        all
    })
}

fn record(domain: &Domain, drafts: &[Draft]) -> Record {
    let (about, groups) = split(drafts);
    resolve(domain, &device(), &about, &groups, now()).expect("it was introduced")
}

fn standing(record: &Record) -> BTreeSet<u64> {
    let standing = record.statements.iter().filter(|listed| listed.standing == Standing::Stands);
    standing.map(|listed| listed.by.index).collect()
}

/// The record without the list of statements: what counts.
fn substance(mut record: Record) -> Record {
    record.statements.clear();
    record
}

/// Whether `x` may end `block`, a status of the device.
fn may_end(domain: &Domain, x: &Draft, block: &Draft) -> bool {
    let (x, block) = (x.clone().log(), block.clone().log());
    x.claims().supersedes.contains(&block.id()) && (x.signer() == block.signer() || super::may_lift(domain, &x, &block))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn resolution_is_what_the_specification_says(domain in domains(), drafts in logs()) {
        let all: Vec<Logged> = drafts.iter().map(|draft| draft.clone().log()).collect();
        let specification = Specification { domain: &domain, all: &all, at: now() };
        let record = record(&domain, &drafts);
        let expected: BTreeSet<u64> =
            all.iter().filter(|s| specification.stands(s)).map(Logged::index).collect();
        prop_assert_eq!(standing(&record), expected);
        prop_assert_eq!(record.effect(), specification.effect());
    }

    #[test]
    fn neither_order_nor_repetition_of_the_input_matters(
        (drafts, shuffled) in logs().prop_flat_map(|drafts| (Just(drafts.clone()), Just(drafts).prop_shuffle())),
        repeated in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let domain = domain();
        let repeated = repeated.iter().map(|index| index.get(&shuffled).clone());
        let more: Vec<Draft> = shuffled.iter().cloned().chain(repeated).collect();
        prop_assert_eq!(record(&domain, &drafts), record(&domain, &more));
    }

    #[test]
    fn a_block_stays_until_somebody_entitled_ends_it(drafts in logs(), more in vec(drafts(0), 1..6)) {
        let domain = domain();
        let before = standing(&record(&domain, &drafts));
        let is_block = |draft: &&Draft| {
            let logged = (*draft).clone().log();
            logged.subject_id() == device() && domain.effect_of(&logged).is_some_and(Effect::blocks)
        };
        for block in drafts.iter().filter(is_block).filter(|draft| before.contains(&draft.index)) {
            let mut log = drafts.clone();
            for (n, draft) in (100..).zip(&more).filter(|(_, draft)| !may_end(&domain, draft, block)) {
                let mut draft = draft.clone().with(|said| said.id = id(n));
                draft.index = n;
                log.push(draft);
            }
            let after = record(&domain, &log);
            prop_assert!(standing(&after).contains(&block.index), "{:?}", block);
            prop_assert!(after.effect().blocks());
        }
    }

    /// Whatever is erased, what is blocked stays blocked as restrictively as before, and what is not blocked does not
    /// become so, except through a group of which the thing now can only be suspected to be a member.
    #[test]
    fn what_is_erased_blocks_as_before(domain in domains(), drafts in logs(), which in any::<prop::sample::Index>()) {
        let (about, groups) = split(&drafts);
        let before = record(&domain, &drafts);
        let target = which.get(&about);
        let context = Context { about: &about, groups: &groups, unseen: false };
        if let Ok(erasure) = domain.erasure_of(target, &context, now()) {
            let left = Logged::of_erasure(1_000, now(), &erasure, HEIR).expect("it is about the device");
            let about: Vec<Logged> = about.iter().filter(|other| other.index() != target.index()).cloned().collect();
            let about = [about, vec![left]].concat();
            let after = resolve(&domain, &device(), &about, &groups, now()).expect("something is left");
            let blocks = |record: &Record| Some(record.effect()).filter(|effect| effect.blocks());
            prop_assert!(blocks(&after) >= blocks(&before), "{:?}: {:?} and {:?}", erasure, before, after);
            let is_of_group = after.status.as_ref().is_some_and(|status| status.decides.by.group.is_some());
            prop_assert!(blocks(&after) == blocks(&before) || is_of_group, "{:?}: {:?} and {:?}", erasure, before, after);
            // It says no more than that: nobody is vouched for by an erased statement.
            let is_as_before = after.vouched.iter().all(|by| before.vouched.contains(by));
            prop_assert!(is_as_before, "{:?}: {:?} and {:?}", erasure, before.vouched, after.vouched);
            // What is no longer known may be what the thing was hidden by.
            let introduced = before.statements.iter().any(|it| {
                let counts = !matches!(it.standing, Standing::Refused | Standing::Replaced);
                it.by.index == target.index() && it.act == Act::Identity && counts
            });
            let is_named = about.iter().any(|it| it.claims().supersedes.contains(&target.id()));
            prop_assert!(after.forgotten || is_named || !introduced, "{:?}: {:?} and {:?}", erasure, before, after);
            // It is never admitted again, from anybody.
            let context = Context { about: &about, groups: &groups, unseen: false };
            prop_assert!(domain.check(target, &context).is_err());
            prop_assert!(domain.erasure_of(&about[about.len() - 1], &context, now()).is_err());
        }
    }

    /// Whichever signer is later declared compromised, and whenever it is asked, what would block then blocks, whatever
    /// was erased before.
    #[test]
    fn what_is_erased_blocks_later_as_it_would_have(
        (domain, drafts) in (domains(), logs()),
        which in any::<prop::sample::Index>(),
        (signer, from_index) in (select(vec![MAKER, KEEPER, CONTROLLER, BUYER]), 0_u64..20),
        withdrawals in vec((select(PARTIES.to_vec()), 0_u64..20), 0..3),
    ) {
        let (about, groups) = split(&drafts);
        let target = which.get(&about);
        let context = Context { about: &about, groups: &groups, unseen: false };
        if let Ok(erasure) = domain.erasure_of(target, &context, now()) {
            let mut rules = domain.descriptor().clone();
            rules.compromised.push(Compromise { signer, domain: home(), from_index });
            let mut later = domain.clone();
            later.take_descriptor(2_000, rules, now()).expect("access rules are valid");
            let left = Logged::of_erasure(1_000, now(), &erasure, HEIR).expect("it is about the device");
            let withdrawal = |(n, ((signer, role), ended)): (u64, ((Fingerprint, &'static str), u64))| {
                say(n, signer, role, Act::Withdrawal).ends(ended).log()
            };
            let behind: Vec<Logged> = (1_001..).zip(withdrawals).map(withdrawal).collect();
            let others = about.iter().filter(|other| other.index() != target.index()).cloned();
            let after: Vec<Logged> = others.chain([left]).chain(behind.clone()).collect();
            let whole = [about, behind].concat();
            let blocks = |domain: &Domain, about: &[Logged], seconds| {
                let record = resolve(domain, &device(), about, &groups, time(seconds)).expect("something is left");
                Some(record.effect()).filter(|effect| effect.blocks())
            };
            for domain in [&domain, &later] {
                for seconds in [1_000_000, 2_000_000, 3_000_000] {
                    let (left, whole) = (blocks(domain, &after, seconds), blocks(domain, &whole, seconds));
                    prop_assert!(left >= whole, "{:?}, at {}", erasure, seconds);
                }
            }
        }
    }

    /// Where no status is left of what somebody else had said, it makes no difference who names it later: so admission
    /// lets those name it who may not have heard of the erasure.
    #[test]
    fn naming_what_is_gone_ends_nothing(
        (domain, drafts) in (domains(), logs()),
        which in any::<prop::sample::Index>(),
        next in drafts(1_001),
    ) {
        let (about, groups) = split(&drafts);
        let target = which.get(&about);
        let context = Context { about: &about, groups: &groups, unseen: false };
        let (signer, erasure) = (next.clone().log().signer(), domain.erasure_of(target, &context, now()));
        if let Ok(erasure) = erasure
            && erasure.status.is_none()
            && erasure.said_by.as_ref().is_none_or(|by| by.signer != signer)
        {
            let left = Logged::of_erasure(1_000, now(), &erasure, HEIR).expect("it is about the device");
            let others = about.iter().filter(|other| other.index() != target.index()).cloned();
            let before: Vec<Logged> = others.chain([left]).collect();
            let behind = |next: Draft| {
                let (more, of_groups) = split(&[next]);
                let (about, groups) = ([before.clone(), more].concat(), [groups.clone(), of_groups].concat());
                let record = resolve(&domain, &device(), &about, &groups, now()).expect("something is left");
                (standing(&record), record.effect())
            };
            let naming = next.clone().with(|said| said.claims.supersedes.push(target.id()));
            prop_assert_eq!(behind(next), behind(naming), "{:?}", erasure);
        }
    }

    /// Nothing begins or ends before the time that a record states, whatever was erased or lifted.
    #[test]
    fn a_record_holds_until_it_says(
        (domain, drafts) in (domains(), logs()),
        which in any::<prop::sample::Index>(),
        is_named in any::<bool>(),
    ) {
        let (about, groups) = split(&drafts);
        let target = which.get(&about);
        let context = Context { about: &about, groups: &groups, unseen: false };
        let left = domain.erasure_of(target, &context, now()).ok().and_then(|erasure| {
            let said_by = erasure.said_by.clone().filter(|_| is_named);
            Logged::of_erasure(1_000, now(), &Erasure { said_by, ..erasure }, HEIR)
        });
        let others = about.iter().filter(|other| left.is_none() || other.index() != target.index());
        let about: Vec<Logged> = others.chain(&left).cloned().collect();
        let record = |seconds| {
            let record = resolve(&domain, &device(), &about, &groups, time(seconds)).expect("something is left");
            Record { at: now(), ..record }
        };
        let said = record(1_000_000);
        for seconds in [1_000_001, 1_999_999, 2_000_000, 2_999_999, 3_000_000, 9_000_000] {
            if said.changes_at.is_none_or(|end| time(seconds) < end) {
                prop_assert_eq!(record(seconds), said.clone());
            }
        }
    }

    #[test]
    fn for_ever_stays_for_ever(drafts in logs(), later in 0_u64..10_000_000) {
        let domain = domain();
        let log = [drafts, vec![status(50, KEEPER, "maintainer", "destroyed")]].concat();
        let ends = [KEEPER, MAKER, BUYER].map(|signer| status(51, signer, "owner", "in-use").ends(50));
        let (about, groups) = split(&[log, ends.to_vec()].concat());
        let record = resolve(&domain, &device(), &about, &groups, time(later)).expect("introduced");
        prop_assert_eq!(record.effect(), Effect::BlocksForEver);
    }

    #[test]
    fn the_most_restrictive_of_what_stands_decides(domain in domains(), drafts in logs()) {
        let record = record(&domain, &drafts);
        let stands = record.statements.iter().filter(|listed| listed.standing == Standing::Stands);
        let greatest = stands.filter_map(|listed| listed.effect).max();
        prop_assert_eq!(record.status.as_ref().map(|status| status.decides.effect), greatest);
        if let Some(status) = record.status {
            prop_assert!(status.conflict.iter().all(|other| other.effect <= status.decides.effect));
        }
    }

    #[test]
    fn what_the_policy_refuses_changes_nothing(drafts in logs()) {
        let (mut everything, mut admitted) = (Vec::new(), Vec::new());
        let founded = domain();
        for draft in drafts {
            let domain = grown(founded.clone(), draft.index.max(1));
            let logged = draft.clone().log();
            let all: Vec<Logged> = everything.iter().cloned().map(Draft::log).collect();
            let (about, groups): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|other| other.subject_id() == logged.subject_id());
            let context = Context { about: &about, groups: &groups, unseen: false };
            if !draft.refused && domain.check(&logged, &context).is_ok() {
                everything.push(draft.clone());
                admitted.push(draft);
            } else {
                everything.push(draft.refused());
            }
        }
        let domain = founded;
        prop_assert!(!admitted.is_empty());
        prop_assert_eq!(substance(record(&domain, &everything)), substance(record(&domain, &admitted)));
    }
}
