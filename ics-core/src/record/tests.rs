//! The status rules, one by one.

mod groups;

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, Standing, VoidSince, candidate_groups, resolve};
use crate::descriptor::Compromise;
use crate::domain::Domain;
use crate::identity::Kind;
use crate::record::Digest;
use crate::samples::*;
use crate::vocabulary::{Act, Attribute, Effect};

/// The record of the device.
fn record_in(domain: &Domain, drafts: &[Draft]) -> Record {
    let (about, groups) = split(drafts);
    resolve(domain, &device(), &about, &groups, now()).expect("something was said")
}

fn record(drafts: &[Draft]) -> Record {
    record_in(&domain(), drafts)
}

/// What became of entry `n`.
fn standing(record: &Record, n: u64) -> Option<Standing> {
    record.statements.iter().find(|listed| listed.by.index == n).map(|listed| listed.standing)
}

fn name(record: &Record) -> Option<&str> {
    record.status.as_ref().map(|status| status.decides.name.as_str())
}

fn lot() -> crate::statement::Group {
    group("lot 7", &[(Attribute::Model, "P1"), (Attribute::Lot, "7")])
}

/// The device of model P1 from lot 7.
fn pump(n: u64) -> Draft {
    introduce(n).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, "7")
}

#[test]
fn what_becomes_of_a_block_under_another_statement() {
    let suspended = || status(1, CONTROLLER, "security-controller", "suspended");
    let stolen = || status(1, KEEPER, "maintainer", "stolen");
    let granted = || grant(2, MAKER, "manufacturer", BUYER, "owner");
    let cases = [
        ("nothing ends it", suspended(), vec![], Some("suspended")),
        ("a later permit does not", suspended(), vec![status(3, KEEPER, "maintainer", "in-use")], Some("suspended")),
        (
            "its signer replaces it",
            suspended(),
            vec![status(3, CONTROLLER, "security-controller", "planned").ends(1)],
            None,
        ),
        (
            "its signer takes it back",
            suspended(),
            vec![say(3, CONTROLLER, "security-controller", Act::Withdrawal).ends(1)],
            None,
        ),
        (
            "the owner lifts it",
            suspended(),
            vec![granted(), status(3, BUYER, "owner", "in-use").ends(1)],
            Some("in-use"),
        ),
        (
            "a role that lifts nothing does not",
            suspended(),
            vec![status(3, KEEPER, "maintainer", "in-use").ends(1)],
            Some("suspended"),
        ),
        (
            "the owner does not lift a theft",
            stolen(),
            vec![granted(), status(3, BUYER, "owner", "in-use").ends(1)],
            Some("stolen"),
        ),
        (
            "an owner's withdrawal of another's word does not",
            suspended(),
            vec![granted(), say(3, BUYER, "owner", Act::Withdrawal).ends(1)],
            Some("suspended"),
        ),
        (
            "an approval does not replace a status",
            stolen(),
            vec![say(3, KEEPER, "maintainer", Act::Approval).ends(1)],
            Some("stolen"),
        ),
        (
            "a lift before its time does not",
            suspended(),
            vec![granted(), status(3, BUYER, "owner", "in-use").ends(1).from(2_000_000)],
            Some("suspended"),
        ),
        (
            "a lift after its time does no longer",
            suspended(),
            vec![granted(), status(3, BUYER, "owner", "in-use").ends(1).until(500_000)],
            Some("suspended"),
        ),
        (
            "a lift that was itself replaced still does",
            suspended(),
            vec![granted(), status(3, BUYER, "owner", "planned").ends(1), status(4, BUYER, "owner", "in-use").ends(3)],
            Some("in-use"),
        ),
        (
            "a lift that was taken back no longer does",
            suspended(),
            vec![
                granted(),
                status(3, BUYER, "owner", "in-use").ends(1),
                say(4, BUYER, "owner", Act::Withdrawal).ends(3),
            ],
            Some("suspended"),
        ),
        (
            "a lift by one who sold it since still does",
            suspended(),
            vec![
                granted(),
                status(3, BUYER, "owner", "planned").ends(1),
                grant(4, BUYER, "owner", HEIR, "owner").ends(2),
            ],
            None,
        ),
        (
            "a refused lift does not",
            suspended(),
            vec![status(3, CONTROLLER, "security-controller", "planned").ends(1).refused()],
            Some("suspended"),
        ),
    ];
    for (case, block, others, expected) in cases {
        let record = record(&[vec![introduce(0), block], others].concat());
        let blocking = record.status.as_ref().filter(|s| s.decides.effect != Effect::None);
        assert_eq!(blocking.map(|s| s.decides.name.as_str()), expected, "{case}");
    }
}

#[test]
fn nothing_but_the_descriptor_ends_a_block_for_ever() {
    let drafts = [
        introduce(0),
        status(1, KEEPER, "maintainer", "destroyed").until(10),
        status(2, KEEPER, "maintainer", "in-use").ends(1),
        say(3, KEEPER, "maintainer", Act::Withdrawal).ends(1),
    ];
    assert_eq!(record(&drafts).effect(), Effect::BlocksForEver);
    let lifted = changed(9, |descriptor| descriptor.lifted.extend([id(1)]));
    let record = record_in(&lifted, &drafts);
    assert_eq!((name(&record), standing(&record, 1)), (Some("in-use"), Some(Standing::Lifted)));
    let void_since = |n| record.statement_at(n).and_then(|listed| listed.void_since);
    assert_eq!((void_since(1), void_since(2)), (Some(VoidSince { index: 9, at: time(9) }), None));
}

#[test]
fn the_most_restrictive_wins_and_the_conflict_is_shown() {
    let record = record(&[
        introduce(0),
        status(1, KEEPER, "maintainer", "in-use"),
        status(2, MAKER, "manufacturer", "retired"),
        status(3, CONTROLLER, "security-controller", "suspended"),
    ]);
    let status = record.status.expect("a status");
    assert_eq!((status.decides.name.as_str(), status.decides.by.index), ("retired", 2));
    let conflict: Vec<_> = status.conflict.iter().map(|other| other.name.as_str()).collect();
    assert_eq!(conflict, ["suspended", "in-use"]);
}

#[test]
fn time_decides_what_is_in_force() {
    let record = record(&[
        introduce(0),
        status(1, KEEPER, "maintainer", "in-use").from(2_000_000),
        status(2, KEEPER, "maintainer", "suspended").until(1_000_000),
        status(3, KEEPER, "maintainer", "planned").from(1_000_000).until(1_000_001),
    ]);
    assert_eq!(name(&record), Some("planned"));
    assert_eq!(standing(&record, 1), Some(Standing::NotYet));
    assert_eq!(standing(&record, 2), Some(Standing::Lapsed));
    let lapsed = record.statements.iter().find(|listed| listed.by.index == 2).expect("listed");
    assert_eq!(lapsed.because, "it held until 2026-01-12T13:46:40Z");
    assert_eq!(record.status.expect("a status").decides.since, time(1_000_000));
}

#[test]
fn a_signer_who_lost_the_role_no_longer_vouches_but_still_blocks() {
    let dismissed = changed(9, |descriptor| {
        descriptor.roles.insert(word("maintainer"), crate::descriptor::RoleSpec::default());
    });
    let drafts = [introduce(0), status(1, KEEPER, "maintainer", "in-use"), say(2, KEEPER, "maintainer", Act::Approval)];
    let before = record(&drafts);
    assert_eq!((name(&before), before.approvals.len()), (Some("in-use"), 1));
    let after = record_in(&dismissed, &drafts);
    assert_eq!((after.status.is_none(), after.approvals.len()), (true, 0));
    assert_eq!(standing(&after, 2), Some(Standing::RoleLost));
    let blocked = record_in(&dismissed, &[introduce(0), status(1, KEEPER, "maintainer", "stolen")]);
    assert_eq!(name(&blocked), Some("stolen"));
    assert!(blocked.statements[1].because.contains("no longer has the role"));
}

#[test]
fn compromise_takes_everything_from_its_index_on() {
    let compromised = |signer, domain: &str, from_index| {
        changed(9, |descriptor| {
            descriptor.compromised.push(Compromise { signer, domain: word(domain), from_index });
        })
    };
    let drafts = [
        introduce(0),
        status(3, KEEPER, "maintainer", "in-use"),
        status(4, KEEPER, "maintainer", "stolen"),
        status(5, CONTROLLER, "security-controller", "planned"),
    ];
    let record = record_in(&compromised(KEEPER, "devices.acme.example", 4), &drafts);
    assert_eq!((name(&record), standing(&record, 4)), (Some("in-use"), Some(Standing::Compromised)));
    // What a compromised signer lifted is no longer lifted.
    let lifted =
        [introduce(0), status(1, KEEPER, "maintainer", "lost"), status(4, KEEPER, "maintainer", "in-use").ends(1)];
    let record = record_in(&compromised(KEEPER, "devices.acme.example", 4), &lifted);
    assert_eq!(name(&record), Some("lost"));
    // For an adopted statement, the index in its source counts as well.
    let adopted = [introduce(0), status(5, KEEPER, "maintainer", "in-use").adopted()];
    for (from_index, expected) in [(8, Some("in-use")), (7, None)] {
        let record = record_in(&compromised(KEEPER, "maker.example", from_index), &adopted);
        assert_eq!(name(&record), expected, "{from_index}");
    }
}

#[test]
fn a_grant_entitles_from_until_and_as_long_as_it_stands() {
    let in_use = || status(3, BUYER, "owner", "in-use");
    let granted = || grant(1, MAKER, "manufacturer", BUYER, "owner");
    let cases = [
        ("granted", vec![granted()], true),
        ("not granted", vec![], false),
        ("another role", vec![grant(1, MAKER, "manufacturer", BUYER, "maintainer")], false),
        ("another grantee", vec![grant(1, MAKER, "manufacturer", HEIR, "owner")], false),
        ("over", vec![granted().until(10)], false),
        ("later", vec![granted().from(2_000_000)], false),
        ("taken back", vec![granted(), say(4, MAKER, "manufacturer", Act::Withdrawal).ends(1)], false),
        ("given back", vec![granted(), say(4, BUYER, "owner", Act::Withdrawal).ends(1)], false),
        ("passed on", vec![granted(), grant(4, BUYER, "owner", HEIR, "owner").ends(1)], false),
        ("a stranger's replacement", vec![granted(), grant(4, HEIR, "owner", HEIR, "owner").ends(1)], true),
        ("refused", vec![granted().refused()], false),
    ];
    for (case, grants, counts) in cases {
        let record = record(&[vec![introduce(0), in_use()], grants].concat());
        assert_eq!(name(&record) == Some("in-use"), counts, "{case}");
    }
}

#[test]
fn a_sale_outlives_the_role_of_the_seller() {
    let drafts = [
        introduce(0),
        grant(1, MAKER, "manufacturer", BUYER, "owner"),
        grant(2, BUYER, "owner", HEIR, "owner").ends(1),
        status(3, HEIR, "owner", "in-use"),
    ];
    let record = record(&drafts);
    assert_eq!(name(&record), Some("in-use"));
    assert_eq!(record.grants.iter().map(|grant| grant.grantee).collect::<Vec<_>>(), [HEIR]);
    assert!(record.statements[2].because.contains("its giver no longer has the role"), "and it says so");
}

/// Nor in any other role than that of the sale.
#[test]
fn a_seller_does_not_undo_the_sale() {
    let sold = |undone: Draft| {
        record(&[
            introduce(0),
            grant(1, MAKER, "manufacturer", BUYER, "owner"),
            grant(2, BUYER, "owner", BUYER, "security-controller"),
            grant(3, BUYER, "owner", HEIR, "owner").ends(1),
            undone,
        ])
    };
    let withdrawal = |role: &str| say(4, BUYER, role, Act::Withdrawal).ends(3);
    assert_eq!(standing(&sold(withdrawal("security-controller")), 3), Some(Standing::Stands));
    assert_eq!(standing(&sold(withdrawal("owner")), 3), Some(Standing::Withdrawn), "admission asks for the role");
}

#[test]
fn names_and_attributes_come_from_entitled_introductions() {
    let record = record(&[
        pump(0).name("serial:SN-1"),
        say(1, KEEPER, "maintainer", Act::Identity).name("host:pump.example").attribute(Attribute::Model, "P2"),
        say(2, BUYER, "owner", Act::Identity).name("host:evil.example").attribute(Attribute::Lot, "9"),
    ]);
    let names: Vec<_> = record.names.iter().map(|given| (given.value.to_string(), given.by.signer)).collect();
    assert_eq!(names, [("serial:SN-1".to_owned(), MAKER), ("host:pump.example".to_owned(), KEEPER)]);
    assert_eq!(record.attributes[&Attribute::Model].len(), 2);
    assert_eq!(record.agreed_attributes(), BTreeMap::from([(Attribute::Lot, "7".to_owned())]));
    let narrowed = changed(9, |descriptor| {
        descriptor.roles.entry(word("manufacturer")).or_default().names.clear();
    });
    assert!(record_in(&narrowed, &[pump(0).name("serial:SN-1")]).names.is_empty());
}

/// A rule of reading that hides lot 7 must continue to hide what was once said to be in it.
#[test]
fn what_counts_no_longer_is_read_by_the_rules_that_hid_it() {
    let seven = || record(&[pump(0)]).agreed_attributes();
    let of_lot = |name: &str| BTreeMap::from([(Attribute::Lot, name.to_owned())]);
    let of_model = || BTreeMap::from([(Attribute::Model, "P1".to_owned())]);
    let eight = || [of_lot("8"), of_model()].into_iter().flatten().collect::<BTreeMap<_, _>>();
    let all = || BTreeSet::from([BTreeMap::new(), of_lot("7"), of_model(), seven()]);
    let second = || say(1, KEEPER, "maintainer", Act::Identity).attribute(Attribute::Lot, "8");
    let withdrawal = || say(2, MAKER, "manufacturer", Act::Withdrawal).ends(0);
    let readings = |record: Record| record.readings().expect("few").into_iter().collect::<BTreeSet<_>>();
    for (what, drafts, expected) in [
        ("what all agree on", vec![pump(0)], [seven()].into()),
        ("withdrawn", vec![pump(0), withdrawal()], all()),
        ("contradicted", vec![pump(0), second()], [of_model(), eight(), seven()].into()),
        ("replaced on purpose", vec![pump(0), pump(1).attribute(Attribute::Lot, "8").ends(0)], [eight()].into()),
    ] {
        assert_eq!(readings(record(&drafts)), expected, "{what}");
    }
    let rotated = changed(9, |descriptor| {
        let role = descriptor.roles.entry(word("manufacturer")).or_default();
        role.signers.remove(&MAKER);
    });
    assert_eq!(readings(record_in(&rotated, &[pump(0)])), all());

    let selecting = [say(0, MAKER, "manufacturer", Act::Identity).on(&self::lot())];
    let said = selecting.map(Draft::log);
    let group = resolve(&domain(), &said[0].subject_id(), &said, &[], now()).expect("something was said");
    assert_eq!(readings(group), all());

    let many: Vec<Draft> = (0..300)
        .map(|n| say(n, KEEPER, "maintainer", Act::Identity).attribute(Attribute::Lot, &n.to_string()))
        .collect();
    assert_eq!(record(&many).readings(), None, "nobody is asked so often");
}

#[test]
fn a_record_says_the_rest_with_its_evidence() {
    let record = record(&[
        pump(0).with(|said| said.claims.replaces = Some(crate::identity::IdentityId::Key(HEIR))),
        say(1, KEEPER, "maintainer", Act::Installed).with(|said| said.claims.installed = Some([7; 32])),
        say(2, LABELLER, "certification-body", Act::Label)
            .with(|said| said.claims.label = Some("ce".to_owned()))
            .until(2_000_000),
    ]);
    assert_eq!(record.installed[0].value.to_string(), format!("sha256:{}", "07".repeat(32)));
    assert_eq!(record.replaces[0].value, HEIR.to_string());
    let label = &record.labels[0];
    assert_eq!((label.value.as_str(), label.until, label.by.index), ("ce", Some(time(2_000_000)), 2));
    assert_eq!((record.title.as_str(), record.vouched[0].statement), ("Pump 7", id(0)));
    let text = serde_json::to_string(&record).expect("JSON");
    assert_eq!(serde_json::from_str::<Record>(&text).expect("the same"), record);
}

/// A register shows these labels and no others, whatever index led to the thing.
#[test]
fn a_label_is_in_force_as_long_as_its_statement_stands() {
    let given = |n, label: &str| {
        say(n, LABELLER, "certification-body", Act::Label).with(|said| said.claims.label = Some(label.to_owned()))
    };
    let ce = || given(2, "ce");
    let withdrawn = |signer, role| say(3, signer, role, Act::Withdrawal).ends(2);
    let lost = || {
        changed(9, |descriptor| {
            descriptor.roles.insert(word("certification-body"), crate::descriptor::RoleSpec::default());
        })
    };
    let compromised = |from_index| {
        let compromise = Compromise { signer: LABELLER, domain: home(), from_index };
        changed(9, |descriptor| descriptor.compromised.push(compromise))
    };
    let lifted = || changed(9, |descriptor| descriptor.lifted.extend([id(2)]));
    for (what, domain, said, expected) in [
        ("nothing ends it", domain(), vec![ce()], &["ce"][..]),
        ("it ends later", domain(), vec![ce().until(1_000_001)], &["ce"]),
        ("its time is over", domain(), vec![ce().until(1_000_000)], &[]),
        ("it begins later", domain(), vec![ce().from(1_000_001)], &[]),
        ("its signer takes it back", domain(), vec![ce(), withdrawn(LABELLER, "certification-body")], &[]),
        ("somebody else does", domain(), vec![ce(), withdrawn(KEEPER, "maintainer")], &["ce"]),
        ("another one takes its place", domain(), vec![ce(), given(3, "iec").ends(2)], &["iec"]),
        ("it is given again", domain(), vec![ce(), given(3, "ce").until(2_000_000)], &["ce", "ce"]),
        ("its signer never had the role", domain(), vec![ce().by(BUYER)], &[]),
        ("its signer has lost the role", lost(), vec![ce()], &[]),
        ("its signer was compromised before", compromised(2), vec![ce()], &[]),
        ("its signer was compromised after", compromised(3), vec![ce()], &["ce"]),
        ("the owners lifted it", lifted(), vec![ce()], &[]),
        ("it was not to be admitted", domain(), vec![ce().refused()], &[]),
        ("its thing is blocked", domain(), vec![ce(), status(3, KEEPER, "maintainer", "stolen")], &["ce"]),
    ] {
        let record = record_in(&domain, &[vec![pump(0)], said].concat());
        let labels: Vec<&str> = record.labels.iter().map(|label| label.value.as_str()).collect();
        assert_eq!(labels, expected, "{what}");
    }
}

#[test]
fn of_what_nobody_speaks_there_is_no_record() {
    let recall = status(5, MAKER, "manufacturer", "withdrawn").on(&lot()).log();
    assert_eq!(resolve(&domain(), &device(), &[], &[recall], now()), None);
    assert_eq!(resolve(&domain(), &device(), &[introduce(0).on_software().log()], &[], now()), None);
}

#[test]
fn a_dropped_status_still_blocks_and_a_redefined_one_does_what_it_now_says() {
    let added = |effect| {
        move |descriptor: &mut crate::descriptor::Descriptor| {
            let kinds = [Kind::Device].into();
            descriptor.statuses.insert(word("quarantined"), crate::descriptor::AddedStatus { effect, kinds });
        }
    };
    let mut domain = changed(1, added(Effect::Blocks));
    let drafts = [introduce(0), status(2, KEEPER, "maintainer", "quarantined")];
    assert_eq!(record_in(&domain, &drafts).effect(), Effect::Blocks);
    domain.take_descriptor(5, descriptor(), time(5)).expect("valid");
    assert_eq!(record_in(&domain, &drafts).effect(), Effect::Blocks);
    let mut permitting = descriptor();
    added(Effect::Permits)(&mut permitting);
    domain.take_descriptor(6, permitting, time(6)).expect("valid");
    assert_eq!(record_in(&domain, &drafts).effect(), Effect::Permits);
}

#[test]
fn what_does_not_stand_is_left_out_of_a_long_list() {
    let mut drafts = vec![introduce(0)];
    let many = crate::limits::RECORD_STATEMENTS as u64 + 5;
    drafts.extend((1..many).map(|n| status(n, BUYER, "owner", "in-use")));
    drafts.push(status(many, KEEPER, "maintainer", "stolen"));
    let record = record(&drafts);
    assert_eq!((record.statements.len(), record.omitted), (crate::limits::RECORD_STATEMENTS, 6));
    assert_eq!((standing(&record, 0), standing(&record, many)), (Some(Standing::Stands), Some(Standing::Stands)));
    // Nobody can bury under these what they have granted from a later time on.
    drafts[1] = grant(1, MAKER, "manufacturer", HEIR, "owner").from(2_000_000);
    let record = self::record(&drafts);
    assert_eq!((standing(&record, 1), standing(&record, 2), record.omitted), (Some(Standing::NotYet), None, 6));
}
