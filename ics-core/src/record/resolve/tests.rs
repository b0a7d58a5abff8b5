//! Which of several signers a record follows.

mod erased;
mod formerly;

use super::resolve;
use crate::descriptor::{AddedStatus, Compromise, Descriptor};
use crate::domain::{Context, Domain};
use crate::identity::{Fingerprint, IdentityId, Kind, unnamed};
use crate::record::{Digest, Listed, Logged, Record, Standing, VoidSince};
use crate::samples::*;
use crate::statement::{Group, Subject};
use crate::vocabulary::{Act, Attribute, Effect};

/// The record of the device.
fn record(drafts: &[Draft]) -> Record {
    let (about, groups) = split(drafts);
    resolve(&domain(), &device(), &about, &groups, now()).expect("something was said")
}

fn standing(record: &Record, n: u64) -> Option<Standing> {
    record.statements.iter().find(|listed| listed.by.index == n).map(|listed| listed.standing)
}

/// The same, with another User ID.
fn called(draft: Draft, user_id: &str) -> Draft {
    draft.with(|said| {
        let (fingerprint, kind) = (DEVICE, Kind::Device);
        said.subject = Subject::Key { fingerprint, kind, user_id: user_id.to_owned() };
    })
}

#[test]
fn a_thing_is_called_what_its_first_introduction_that_stands_calls_it() {
    let stranger = called(say(0, BUYER, "owner", Act::Identity), "Toaster");
    let in_use = called(status(1, KEEPER, "maintainer", "in-use"), "Pump in hall 3");
    let maker = called(introduce(2), "Pump 7");
    let title = |drafts: &[Draft]| record(drafts).title;
    assert_eq!(title(&[stranger.clone(), in_use.clone(), maker]), "Pump 7");
    assert_eq!(title(&[stranger.clone(), in_use]), "Pump in hall 3", "nobody entitled introduced it");
    assert_eq!(title(&[stranger]), "Toaster", "nothing stands");
}

#[test]
fn what_is_never_erased_gives_a_thing_no_name() {
    let issued = called(say(1, MAKER, "manufacturer", Act::Issued), "Ms Huber's pump");
    let title = |drafts: &[Draft]| record(drafts).title;
    assert_eq!(title(core::slice::from_ref(&issued)), unnamed(Kind::Device, &DEVICE));
    assert_eq!(title(&[issued.clone(), status(2, KEEPER, "maintainer", "in-use")]), "Pump 7");
    let withdrawal = called(say(3, MAKER, "manufacturer", Act::Withdrawal).ends(0), "Ms Huber's pump");
    assert_eq!(title(&[introduce(0), issued.clone(), withdrawal]), "Pump 7", "what introduced it is there");

    let about = [introduce(0).log(), issued.log()];
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = domain().erasure_of(&about[0], &context, now()).expect("it may be erased");
    let left = Logged::of_erasure(2, now(), &erasure, HEIR).expect("it is about the device");
    let record = resolve(&domain(), &device(), &[about[1].clone(), left], &[], now()).expect("something is left");
    assert_eq!(record.title, "(erased)");
}

#[test]
fn what_a_later_introduction_calls_it_stands_beside_until_it_replaces_the_first() {
    let called = |draft: Draft, version: &str| {
        draft.on_software().with(|said| {
            let Subject::Software(software) = &mut said.subject else { panic!("no software") };
            software.version = version.to_owned();
        })
    };
    let of = |drafts: &[Draft]| {
        let about: Vec<Logged> = drafts.iter().map(|draft| draft.clone().log()).collect();
        let subject = IdentityId::Software([7; 32]);
        let record = resolve(&domain(), &subject, &about, &[], now()).expect("something was said");
        let also: Vec<_> = record.also_called.iter().map(|it| (it.value.clone(), it.by.index)).collect();
        assert_eq!(record.titles().count(), also.len() + 1);
        (record.title, also)
    };
    let first = called(introduce(0), "1.6");
    let later = [called(introduce(1), "1.7"), called(introduce(2), "1.6"), called(introduce(3), "1.7")];
    let beside = of(&[&[first.clone()][..], &later[..]].concat());
    assert_eq!(beside, ("firmware 1.6".to_owned(), vec![("firmware 1.7".to_owned(), 1)]));
    let replaced = of(&[first, called(introduce(1), "1.7").ends(0)]);
    assert_eq!(replaced, ("firmware 1.7".to_owned(), Vec::new()));
}

#[test]
fn what_blocks_and_was_erased_says_who_has_the_last_word() {
    let drafts = [introduce(0), status(1, KEEPER, "maintainer", "suspended")];
    let (about, groups) = split(&drafts);
    let context = Context { about: &about, groups: &groups, unseen: false };
    let erasure = domain().erasure_of(&about[1], &context, now()).expect("it may be erased");
    let left = Logged::of_erasure(2, now(), &erasure, HEIR).expect("it is about the device");
    let record = resolve(&domain(), &device(), &[about[0].clone(), left], &groups, now()).expect("something is left");
    let listed = record.statements.iter().find(|listed| listed.by.index == 2).expect("it is listed");
    assert_eq!(listed.standing, Standing::Stands);
    assert!(listed.because.contains("the domain's owners erased it"), "{}", listed.because);
    assert_eq!(listed.begins_at(), time(1), "certificates are on hold since then");
    assert_eq!(record.status.as_ref().map(|it| it.decides.since), Some(time(1)));
}

#[test]
fn a_block_that_was_erased_begins_when_it_began() {
    for (draft, begins) in [
        (status(7, KEEPER, "maintainer", "destroyed"), 7),
        (status(7, KEEPER, "maintainer", "destroyed").from(3), 7),
        (status(7, KEEPER, "maintainer", "destroyed").from(50), 50),
        (status(7, KEEPER, "maintainer", "suspended").from(2_000_000), 2_000_000),
    ] {
        let about = [introduce(0).log(), draft.log()];
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = domain().erasure_of(&about[1], &context, now()).expect("it may be erased");
        assert_eq!((erasure.from, about[1].begins_at()), (Some(time(begins)), time(begins)));
    }
}

/// What is no longer known may be what hid the thing.
#[test]
fn what_was_erased_is_forgotten_unless_something_had_taken_its_place() {
    let placed = |n: u64| introduce(n).attribute(Attribute::Location, "48.1,11.5").attribute(Attribute::Lot, "7");
    let withdrawal = |n: u64, of: u64| say(n, MAKER, "manufacturer", Act::Withdrawal).ends(of);
    let after = || introduce(1).ends(0);
    for (what, drafts, erased, expected) in [
        ("the only word", vec![placed(0)], 0, true),
        ("beside another's", vec![placed(0), say(1, KEEPER, "maintainer", Act::Identity)], 0, true),
        ("taken back", vec![placed(0), withdrawal(1, 0)], 0, true),
        ("replaced on purpose", vec![placed(0), after()], 0, false),
        ("replaced by what was taken back", vec![placed(0), after(), withdrawal(2, 1)], 0, true),
        ("replaced by what was taken over", vec![placed(0), after().adopted()], 0, true),
        ("replaced by what came after the erasure", vec![placed(0), introduce(95).ends(0)], 0, true),
        ("what had replaced it", vec![placed(0), after()], 1, true),
        ("a status", vec![placed(0), status(1, KEEPER, "maintainer", "in-use")], 1, false),
    ] {
        assert!(!record(&drafts).forgotten, "{what}");
        let (mut about, _) = split(&drafts);
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = domain().erasure_of(&about[erased], &context, now()).expect("it may be erased");
        about[erased] = Logged::of_erasure(90, now(), &erasure, HEIR).expect("it is about the device");
        let record = resolve(&domain(), &device(), &about, &[], now()).expect("something is left");
        assert_eq!(record.forgotten, expected, "{what}");
        let is_read_as_of_lot_7 = record.also_said.contains_key(&Attribute::Lot);
        assert_eq!(is_read_as_of_lot_7, erased == 0 && expected, "{what}");
    }
}

/// Somebody had no right to take back another's statement, and does not gain it for the past by erasing the statement.
#[test]
fn owners_who_erase_without_naming_a_signer_can_take_back_what_is_left_from_then_on() {
    let suspended = status(1, KEEPER, "maintainer", "suspended");
    let (about, _) = split(&[introduce(0), suspended]);
    let context = Context { about: &about, groups: &[], unseen: false };
    let mut erasure = domain().erasure_of(&about[1], &context, now()).expect("it may be erased");
    erasure.said_by = None;
    let left = Logged::of_erasure(3, now(), &erasure, HEIR).expect("it is about the device");
    let becomes = |n: u64| {
        let withdrawal = say(n, HEIR, "owner", Act::Withdrawal).ends(1).log();
        let about = [about[0].clone(), left.clone(), withdrawal];
        standing(&resolve(&domain(), &device(), &about, &[], now()).expect("something is left"), 3)
    };
    assert_eq!(becomes(2), Some(Standing::Stands));
    assert_eq!(becomes(4), Some(Standing::Withdrawn));
}

/// What becomes of statements once the last of them is erased, at a time.
fn erased_last(drafts: &[Draft], seconds: u64) -> Vec<Option<Standing>> {
    let (mut about, _) = split(drafts);
    let context = Context { about: &about, groups: &[], unseen: false };
    let last = about.last().expect("there is one");
    let erasure = domain().erasure_of(last, &context, now()).expect("it may be erased");
    let left = Logged::of_erasure(90, now(), &erasure, HEIR).expect("it is about the device");
    about.pop();
    about.push(left);
    let record = resolve(&domain(), &device(), &about, &[], time(seconds)).expect("something is left");
    (0..about.len() as u64 - 1).map(|n| standing(&record, n)).collect()
}

#[test]
fn what_was_replaced_before_stays_so_when_the_last_of_a_chain_is_erased() {
    let step = |n: u64, what: &str| status(n, KEEPER, "maintainer", what);
    let chain = [introduce(0), step(1, "in-use"), step(2, "planned").ends(1), step(3, "in-use").ends(2)];
    let (stands, replaced) = (Some(Standing::Stands), Some(Standing::Replaced));
    assert_eq!(erased_last(&chain, 1_000_001), [stands, replaced, replaced]);
}

#[test]
fn what_was_lifted_for_a_while_blocks_again_though_it_is_erased_or_the_lifting_is() {
    let suspended = status(1, KEEPER, "maintainer", "suspended");
    let lifting = status(2, KEEPER, "maintainer", "in-use").ends(1).until(2_000_000);
    let at = |seconds| erased_last(&[introduce(0), suspended.clone(), lifting.clone()], seconds)[1];
    assert_eq!((at(1_999_999), at(2_000_000)), (Some(Standing::Replaced), Some(Standing::Stands)));
    let (mut about, _) = split(&[introduce(0), suspended, lifting]);
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = domain().erasure_of(&about[1], &context, now()).expect("it may be erased");
    about[1] = Logged::of_erasure(90, now(), &erasure, HEIR).expect("it is about the device");
    let at =
        |seconds| standing(&resolve(&domain(), &device(), &about, &[], time(seconds)).expect("something is left"), 90);
    assert_eq!((at(1_999_999), at(2_000_000)), (Some(Standing::Replaced), Some(Standing::Stands)));
}

/// What it has revoked stays revoked, so it must remain known.
#[test]
fn what_blocked_for_ever_and_was_lifted_is_restated() {
    let (about, _) = split(&[introduce(0), status(1, KEEPER, "maintainer", "destroyed")]);
    let lifted = changed(4, |descriptor| descriptor.lifted.extend([id(1)]));
    let context = Context { about: &about, groups: &[], unseen: false };
    let erasure = lifted.erasure_of(&about[1], &context, now()).expect("it may be erased");
    let left = Logged::of_erasure(7, now(), &erasure, HEIR).expect("it is about the device");
    let record = resolve(&lifted, &device(), &[about[0].clone(), left], &[], now()).expect("something is left");
    let listed = record.statement_at(7).expect("it is listed");
    assert_eq!((listed.standing, listed.void_since.map(|it| it.index)), (Standing::Lifted, Some(4)));
    assert_eq!((listed.effect, record.effect()), (Some(Effect::BlocksForEver), Effect::None));
}

/// What it revoked until then depends on that; a later lift changes nothing about it.
#[test]
fn what_a_compromised_signer_said_tells_since_when_it_counts_no_longer() {
    let drafts = [introduce(0), status(1, KEEPER, "maintainer", "destroyed")];
    let mut rules = descriptor();
    rules.compromised.push(Compromise { signer: KEEPER, domain: word("devices.acme.example"), from_index: 1 });
    let mut domain = changed(4, |descriptor| descriptor.compromised.clone_from(&rules.compromised));
    let void_since = |domain: &Domain| {
        let (about, groups) = split(&drafts);
        let record = resolve(domain, &device(), &about, &groups, now()).expect("something was said");
        let listed = record.statement_at(1).expect("listed");
        assert_eq!(listed.standing, Standing::Compromised);
        listed.void_since
    };
    let since = Some(VoidSince { index: 4, at: time(4) });
    assert_eq!(void_since(&domain), since);
    rules.lifted.extend([id(1)]);
    domain.take_descriptor(6, rules, time(6)).expect("valid");
    assert_eq!(void_since(&domain), since);
}

/// Neither when the first end is over, nor when the statement would have come into force.
#[test]
fn what_an_erased_statement_ends_by_itself_does_not_come_back() {
    let step = |n: u64| status(n, KEEPER, "maintainer", "in-use");
    let twice = [introduce(0), step(1), step(2).ends(1).until(2_000_000), step(3).ends(1)];
    assert_eq!(erased_last(&twice, 1_999_999)[1], Some(Standing::Replaced));
    assert_eq!(erased_last(&twice, 2_000_000)[1..], [Some(Standing::Replaced), Some(Standing::Lapsed)]);
    let before_it_began = [introduce(0), step(1).from(2_000_000), step(2).ends(1)];
    assert_eq!(erased_last(&before_it_began, 1_999_999)[1], Some(Standing::NotYet));
    assert_eq!(erased_last(&before_it_began, 2_000_000)[1], Some(Standing::Replaced));
}

#[test]
fn an_erased_block_needs_no_signer_and_no_status_that_is_known() {
    let (about, _) = split(&[introduce(0), status(1, KEEPER, "maintainer", "suspended")]);
    let context = Context { about: &about, groups: &[], unseen: false };
    let mut erasure = domain().erasure_of(&about[1], &context, now()).expect("it may be erased");
    erasure.status = Some(word("quarantined"));
    let left = Logged::of_erasure(5, now(), &erasure, HEIR).expect("it is about the device");
    let compromised = Compromise { signer: HEIR, domain: home(), from_index: 3 };
    let domain = changed(4, |descriptor| descriptor.compromised.push(compromised));
    let record = resolve(&domain, &device(), &[about[0].clone(), left], &[], now()).expect("something is left");
    assert_eq!((standing(&record, 5), record.effect()), (Some(Standing::Stands), Effect::Blocks));
}

/// The caller may pass statements about too many groups.
#[test]
fn what_is_said_of_other_things_is_no_part_of_a_record() {
    let foreign = status(1, KEEPER, "maintainer", "recalled").on_software().log();
    let record = resolve(&domain(), &device(), &[introduce(0).log()], &[foreign], now()).expect("it is introduced");
    assert_eq!(record.statements.len(), 1);
}

#[test]
fn a_group_is_named_by_whoever_is_entitled_to_name_it() {
    let order = group("order 12", &[]);
    let drafts = [introduce(0).joins(&order), say(1, BUYER, "owner", Act::Approval).joins(&order)];
    let given: Vec<_> = record(&drafts).groups.iter().map(|given| (given.value, given.by.index)).collect();
    assert_eq!(given, [(Digest(group_id(&order)), 0)]);
}

#[test]
fn developers_signatures_are_listed_with_who_vouches_for_them() {
    let signed = |signer, role, n| say(n, signer, role, Act::Identity).signed_by_developer();
    let record = record(&[signed(MAKER, "manufacturer", 0), signed(BUYER, "owner", 1)]);
    let given: Vec<_> = record.signatures.iter().map(|given| (given.value.key.clone(), given.by.signer)).collect();
    assert_eq!(given, [("07".repeat(32), MAKER)]);
}

#[test]
fn a_withdrawal_stands_without_a_role() {
    let record = record(&[
        introduce(0),
        grant(1, MAKER, "manufacturer", BUYER, "owner").until(500),
        say(2, BUYER, "owner", Act::Approval),
        say(3, BUYER, "owner", Act::Withdrawal).ends(2),
    ]);
    assert_eq!(standing(&record, 2), Some(Standing::Withdrawn));
    assert_eq!(standing(&record, 3), Some(Standing::Stands));
}

/// A withdrawal that the mirror's own reading refused ends nothing, not even what is over anyway.
#[test]
fn an_approval_that_is_over_was_given_unless_it_was_taken_back() {
    let approval = say(1, KEEPER, "maintainer", Act::Approval).until(500);
    let withdrawal = say(2, KEEPER, "maintainer", Act::Withdrawal).ends(1);
    let given = |drafts: &[Draft]| record(drafts).formerly_approved.iter().map(|by| by.index).collect::<Vec<_>>();
    assert_eq!(given(&[introduce(0), approval.clone()]), [1]);
    assert_eq!(given(&[introduce(0), approval.clone(), withdrawal.clone()]), [0; 0]);
    assert_eq!(given(&[introduce(0), approval, withdrawal.refused()]), [1]);
}
