//! Groups: who belongs to one, and statements about all members at once.

use super::*;

#[test]
fn a_lot_is_recalled_with_one_signature() {
    let recall = status(5, MAKER, "manufacturer", "withdrawn").on(&lot());
    let used = status(1, KEEPER, "maintainer", "in-use");
    let record = |introduction: Draft| record(&[introduction, used.clone(), recall.clone()]);
    let recalled = record(pump(0));
    let status = recalled.status.expect("a status");
    assert_eq!(status.decides.by.group, Some(Digest(group_id(&lot()))));
    assert_eq!((status.decides.name.as_str(), status.conflict.len()), ("withdrawn", 1));
    let other_lot = introduce(0).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "8");
    assert_eq!(name(&record(other_lot)), Some("in-use"));
    assert_eq!(name(&record(introduce(0).attribute(Attribute::Lot, "7"))), Some("in-use"));
}

#[test]
fn another_lot_by_another_signer_does_not_escape_a_recall_nor_gain_a_permit() {
    let claim = say(2, KEEPER, "maintainer", Act::Identity).attribute(Attribute::Lot, "8");
    let recall = status(5, MAKER, "manufacturer", "withdrawn").on(&lot());
    assert_eq!(name(&record(&[pump(0), claim.clone(), recall])), Some("withdrawn"));
    let release = say(5, MAKER, "manufacturer", Act::Approval).on(&lot());
    assert_eq!(record(&[pump(0), release.clone()]).approvals.len(), 1);
    assert_eq!(record(&[pump(0), claim, release]).approvals.len(), 0);
}

#[test]
fn a_lost_role_of_the_introducer_keeps_the_recall() {
    let sold = changed(9, |descriptor| {
        descriptor.roles.insert(word("manufacturer"), crate::descriptor::RoleSpec::default());
    });
    let recall = status(5, MAKER, "manufacturer", "withdrawn").on(&lot());
    assert_eq!(name(&record_in(&sold, &[pump(0), recall])), Some("withdrawn"));
}

#[test]
fn a_group_by_name_has_those_whom_entitled_signers_put_into_it() {
    let order = group("order 12", &[]);
    let label = say(5, LABELLER, "certification-body", Act::Label).on(&order).with(|said| {
        said.claims.label = Some("medical".to_owned());
    });
    let labels = |drafts: &[Draft]| record(drafts).labels.len();
    assert_eq!(labels(&[introduce(0).joins(&order), label.clone()]), 1);
    assert_eq!(labels(&[introduce(0), label.clone()]), 0);
    assert_eq!(labels(&[introduce(0), say(1, BUYER, "owner", Act::Approval).joins(&order), label]), 0);
}

#[test]
fn a_statement_about_a_group_counts_where_its_signers_role_covers_the_member() {
    let order = group("order 12", &[]);
    let foreign = introduce(0).joins(&order);
    let over_order = grant(1, MAKER, "manufacturer", BUYER, "maintainer").on(&order);
    let block = |on: &crate::statement::Group| status(2, BUYER, "maintainer", "suspended").on(on);
    let approve = |on: &crate::statement::Group| say(3, BUYER, "maintainer", Act::Approval).on(on);
    // Over the order itself: both count.
    let record_ = record(&[foreign.clone(), over_order.clone(), block(&order), approve(&order)]);
    assert_eq!((name(&record_), record_.approvals.len()), (Some("suspended"), 1));
    // Over another group, whose members these are not: neither does.
    let over_lot = grant(1, MAKER, "manufacturer", BUYER, "maintainer").on(&lot());
    let record_ = record(&[foreign.clone(), over_lot.clone(), block(&order), approve(&order)]);
    assert_eq!((name(&record_), record_.approvals.len()), (None, 0));
    assert_eq!(standing(&record_, 2), Some(Standing::NotCovering));
    // The device is in that lot as well: both do.
    let record_ = record(&[pump(0).joins(&order), over_lot, block(&order), approve(&order)]);
    assert_eq!((name(&record_), record_.approvals.len()), (Some("suspended"), 1));
    // The grant has expired since: the approval no longer counts, the block stands.
    let record_ = record(&[foreign, over_order.until(500), block(&order), approve(&order)]);
    assert_eq!((name(&record_), record_.approvals.len()), (Some("suspended"), 0));
}

#[test]
fn what_was_refused_lends_its_cover_to_no_copy_of_itself() {
    let dismissed = changed(3, |descriptor| {
        descriptor.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
        descriptor.lifts.insert(word("maintainer"), BTreeSet::from([word("suspended")]));
    });
    let block = status(1, MAKER, "manufacturer", "suspended").on(&lot());
    let lift = |n| status(n, KEEPER, "maintainer", "in-use").on(&lot()).ends(1).with(|said| said.id = id(2));
    let blocked = record_in(&dismissed, &[pump(0), block, lift(2).refused(), lift(4)]);
    assert_eq!(name(&blocked), Some("suspended"));
    assert_eq!([1, 4].map(|n| standing(&blocked, n)), [Standing::Stands, Standing::NotCovering].map(Some));
}

#[test]
fn a_group_stands_in_the_groups_that_select_more() {
    let model = group("all P1", &[(Attribute::Model, "P1")]);
    let drafts = [
        say(0, MAKER, "manufacturer", Act::Identity).on(&lot()),
        grant(1, MAKER, "manufacturer", BUYER, "owner").on(&model),
        say(2, BUYER, "owner", Act::Approval).on(&lot()),
        status(3, MAKER, "manufacturer", "withdrawn").on(&model),
    ];
    let all: Vec<_> = drafts.iter().map(|draft| draft.clone().log()).collect();
    let (about, groups) = (&[all[0].clone(), all[2].clone()], &[all[1].clone(), all[3].clone()]);
    let record = resolve(&domain(), &about[0].subject_id(), about, groups, now()).expect("something was said");
    assert_eq!((name(&record), record.approvals.len(), record.grants.len()), (Some("withdrawn"), 1, 1));
    assert_eq!((record.title.as_str(), record.identity.kind), ("lot 7", Kind::Group));
}

#[test]
fn a_signer_whose_role_comes_from_a_group_adds_nothing_to_groups() {
    let order = group("order 12", &[]);
    let other = group("order 13", &[]);
    let drafts = [
        introduce(0).joins(&order),
        grant(1, MAKER, "manufacturer", BUYER, "owner").on(&order),
        say(2, BUYER, "owner", Act::Approval).joins(&other),
        say(3, MAKER, "manufacturer", Act::Approval).on(&other),
    ];
    let record = record(&drafts);
    assert_eq!(record.approvals.iter().map(|by| by.index).collect::<Vec<_>>(), [2]);
    assert_eq!(record.groups.iter().map(|given| given.value).collect::<Vec<_>>(), [Digest(group_id(&order))]);
}

#[test]
fn a_seller_does_not_come_back_by_the_lot() {
    let log = [
        pump(0),
        grant(1, MAKER, "manufacturer", BUYER, "owner"),
        grant(2, MAKER, "manufacturer", BUYER, "owner").on(&lot()),
        status(3, BUYER, "owner", "suspended").on(&lot()),
        grant(4, BUYER, "owner", HEIR, "owner").ends(1).ends(2),
        status(5, BUYER, "owner", "suspended").on(&lot()),
        grant(6, BUYER, "owner", BUYER, "owner").on(&lot()),
    ];
    let sold = record(&log);
    let expected = [Standing::Stands, Standing::NotCovering, Standing::NotCovering];
    assert_eq!([3, 5, 6].map(|n| standing(&sold, n)), expected.map(Some));
}

/// That a certificate was taken back, for example, must stay in the list of what is said of the thing.
#[test]
fn what_is_said_of_its_groups_leaves_room_for_what_is_said_of_the_thing() {
    let most = crate::limits::RECORD_STATEMENTS;
    let taken_back = say(1, MAKER, "manufacturer", Act::Approval);
    let mut drafts = vec![pump(0), taken_back, say(2, MAKER, "manufacturer", Act::Withdrawal).ends(1)];
    drafts.extend((3..most as u64 + 3).map(|n| status(n, BUYER, "owner", "in-use").on(&lot())));
    let record = record(&drafts);
    assert_eq!((record.statements.len(), record.omitted), (most, 3));
    let expected = [Some(Standing::Withdrawn), Some(Standing::Stands), None, Some(Standing::NotCovering)];
    assert_eq!([1, 2, 5, 6].map(|n| standing(&record, n)), expected);
}

#[test]
fn candidate_groups_are_all_that_can_concern_a_thing() {
    let order = group("order 12", &[]);
    let about =
        [pump(0).joins(&order).log(), say(1, KEEPER, "maintainer", Act::Identity).attribute(Attribute::Lot, "8").log()];
    let candidates = candidate_groups(&about);
    assert_eq!(candidates.named, [group_id(&order)].into());
    let keys = |selects: &[(Attribute, &str)]| group("", selects).selector_key().expect("a selector");
    for selector in [
        vec![(Attribute::Model, "P1")],
        vec![(Attribute::Lot, "8")],
        vec![(Attribute::Lot, "7"), (Attribute::Model, "P1")],
        vec![(Attribute::Model, "P1"), (Attribute::Lot, "8")],
    ] {
        assert!(candidates.selectors.contains(&keys(&selector)), "{selector:?}");
    }
    assert_eq!(candidates.selectors.len(), 5);
    assert!(!candidates.selectors.contains(&keys(&[(Attribute::Model, "P2")])));
    assert_eq!(group("all", &[]).selector_key(), None);
    let selectors_of = |attributes: &[Attribute]| {
        let introduction = say(0, MAKER, "manufacturer", Act::Identity);
        let said = attributes.iter().fold(introduction, |said, attribute| said.attribute(*attribute, "1,2"));
        candidate_groups([&said.log()]).selectors.len()
    };
    assert_eq!((selectors_of(&Attribute::SELECTING), selectors_of(&[Attribute::Location])), (15, 0));
}

#[test]
fn candidates_of_a_group_are_those_that_select_less() {
    let candidates = candidate_groups([&say(0, MAKER, "manufacturer", Act::Identity).on(&lot()).log()]);
    let model = group("all P1", &[(Attribute::Model, "P1")]).selector_key().expect("a selector");
    assert!(candidates.selectors.contains(&model));
    assert_eq!(candidates.selectors.len(), 3);
}
