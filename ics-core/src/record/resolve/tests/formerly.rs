//! Blocks that once held for ever and no longer do, though nobody has lifted them.

use super::*;

const NOTHING: [(u64, u64); 0] = [];

/// The record of the device, which nothing blocks for ever any more.
fn unblocked(domain: &Domain, about: &[Logged], groups: &[Logged]) -> Record {
    let record = resolve(domain, &device(), about, groups, now()).expect("something was said");
    assert_ne!(record.effect(), Effect::BlocksForEver, "it does so no longer");
    record
}

/// What formerly blocked a thing for ever, each with the entry that ended the block.
fn over(record: &Record) -> Vec<(u64, u64)> {
    let over = |it: &Listed| (it.by.index, it.void_since.expect("it is over").index);
    assert!(record.formerly_blocked.iter().all(|it| it.effect == Some(Effect::BlocksForEver)));
    record.formerly_blocked.iter().map(over).collect()
}

/// The same for the device.
fn formerly(domain: &Domain, drafts: &[Draft]) -> Vec<(u64, u64)> {
    let (about, groups) = split(drafts);
    over(&unblocked(domain, &about, &groups))
}

/// The domain after a descriptor that declares a signer compromised, and a second one that also lifts a statement.
fn compromised_then_lifted(signer: Fingerprint, lifted: u64) -> Domain {
    let mut rules = descriptor();
    rules.compromised.push(Compromise { signer, domain: home(), from_index: 1 });
    let mut domain = changed(5, |descriptor| descriptor.compromised.clone_from(&rules.compromised));
    rules.lifted.extend([id(lifted)]);
    domain.take_descriptor(7, rules, time(7)).expect("valid");
    domain
}

/// An X.509 certificate of the device: without one, nothing depends on a former block.
fn certificate(n: u64) -> Draft {
    say(n, MAKER, "manufacturer", Act::Issued)
}

/// When the statement blocked, its signer had the role, whatever came to light later about the role's giver.
#[test]
fn what_blocked_a_lot_for_ever_is_remembered_when_the_grant_behind_it_is_void() {
    let order = group("order 12", &[]);
    let drafts = [
        introduce(0).joins(&order),
        grant(1, CONTROLLER, "security-controller", BUYER, "maintainer").on(&order),
        certificate(2),
        status(3, BUYER, "maintainer", "destroyed").on(&order),
    ];
    let compromised = changed(5, |descriptor| {
        let domain = word("devices.acme.example");
        descriptor.compromised.push(Compromise { signer: CONTROLLER, domain, from_index: 1 });
    });
    assert_eq!(formerly(&compromised, &drafts), [(3, 5)]);
    let lifted = compromised_then_lifted(CONTROLLER, 3);
    assert_eq!(formerly(&lifted, &drafts), [(3, 5)], "it was over before the owners lifted it");
    let without = [drafts[0].clone(), drafts[1].clone(), drafts[3].clone()];
    assert_eq!(formerly(&compromised, &without), NOTHING, "it has no certificate");
    let foreign = [introduce(0), drafts[1].clone(), certificate(2), drafts[3].clone()];
    assert_eq!(formerly(&domain(), &foreign), NOTHING, "it was of no lot");
}

/// For a statement about the thing itself, the record says that it blocks, or since when the owners have ended it. For
/// one about a group it says that as well, but not since when the block was over for this thing.
#[test]
fn what_the_record_tells_of_a_block_already_it_does_not_tell_again() {
    let order = group("order 12", &[]);
    let member = introduce(0).joins(&order);
    let block = status(2, KEEPER, "maintainer", "destroyed");
    let direct = [member.clone(), certificate(1), block.clone()];
    let of_order = [member.clone(), certificate(1), block.clone().on(&order)];
    for drafts in [&direct, &of_order] {
        assert_eq!(over(&record(drafts)), NOTHING, "it blocks still");
    }
    let lifted = changed(4, |descriptor| descriptor.lifted.extend([id(2)]));
    let compromised = changed(4, |descriptor| {
        descriptor.compromised.push(Compromise { signer: KEEPER, domain: home(), from_index: 2 });
    });
    for domain in [&lifted, &compromised] {
        assert_eq!((formerly(domain, &direct), formerly(domain, &of_order)), (NOTHING.to_vec(), vec![(2, 4)]));
    }
    // Nor if it names another sought statement, so that both are read again.
    let left = introduce(4).ends(0);
    let other = status(3, MAKER, "manufacturer", "destroyed").on(&order);
    let both = [member, certificate(1), block.ends(3), other, left];
    assert_eq!(formerly(&changed(6, |descriptor| descriptor.lifted.extend([id(2)])), &both), [(3, 4)]);
}

#[test]
fn it_is_told_what_has_become_of_what_blocked_formerly() {
    let order = group("order 12", &[]);
    let member = introduce(0).joins(&order);
    let granted = grant(2, CONTROLLER, "security-controller", BUYER, "maintainer").on(&order);
    let block = status(3, BUYER, "maintainer", "destroyed").on(&order);
    let said = vec![member, certificate(1), granted, block];
    let left = [said.clone(), vec![introduce(4).ends(0)]].concat();
    let void = changed(5, |descriptor| {
        descriptor.compromised.push(Compromise { signer: CONTROLLER, domain: home(), from_index: 1 });
    });
    let scrapped = vec![introduce(2), certificate(3), status(4, KEEPER, "maintainer", "scrapped")];
    let weakened = ruled(&[(1, Effect::BlocksForEver), (6, Effect::Blocks)]);
    for (domain, drafts, standing, because) in [
        (domain(), left, Standing::NotCovering, "the thing no longer belongs to the group of which it was said"),
        (void, said.clone(), Standing::NotCovering, Standing::NotCovering.reason()),
        (compromised_then_lifted(CONTROLLER, 3), said, Standing::Lifted, Standing::Lifted.reason()),
        (weakened, scrapped, Standing::Stands, Standing::Stands.reason()),
    ] {
        let (about, groups) = split(&drafts);
        let record = unblocked(&domain, &about, &groups);
        let told: Vec<_> = record.formerly_blocked.iter().map(|it| (it.standing, it.because.as_str())).collect();
        assert_eq!(told, [(standing, because)]);
    }
}

#[test]
fn what_was_refused_neither_blocked_nor_hangs_on_what_did() {
    let order = group("order 12", &[]);
    let member = || introduce(0).joins(&order);
    let block = || status(2, MAKER, "manufacturer", "destroyed").on(&order);
    let left = || introduce(3).ends(0);
    let told = |drafts: &[Draft]| formerly(&domain(), drafts);
    assert_eq!(told(&[member(), certificate(1), block(), left()]), [(2, 3)]);
    assert_eq!(told(&[member(), certificate(1), block().refused(), left()]), NOTHING, "the block");
    assert_eq!(told(&[member(), certificate(1).refused(), block(), left()]), NOTHING, "the certificate");
    assert_eq!(told(&[member().refused(), certificate(1), block(), left()]), NOTHING, "that it was of the lot");
}

#[test]
fn what_blocked_a_lot_is_remembered_of_what_was_of_it_by_its_attributes() {
    let introduced = |n: u64, lot: &str| introduce(n).attribute(Attribute::Model, "P1").attribute(Attribute::Lot, lot);
    let block = |of: &Group| status(2, MAKER, "manufacturer", "destroyed").on(of);
    let told = |drafts: &[Draft]| formerly(&domain(), drafts);
    let lot = group("lot 7", &[(Attribute::Model, "P1"), (Attribute::Lot, "7")]);
    assert_eq!(told(&[introduced(0, "7"), certificate(1), block(&lot), introduced(3, "8").ends(0)]), [(2, 3)]);
    assert_eq!(told(&[introduced(0, "6"), certificate(1), block(&lot), introduced(3, "8").ends(0)]), NOTHING);
    // One signer has stated the model and another the lot: both are needed.
    let of_lot = say(1, KEEPER, "maintainer", Act::Identity).attribute(Attribute::Lot, "7");
    let model = introduce(0).attribute(Attribute::Model, "P1");
    let other_model = introduce(4).attribute(Attribute::Model, "P2").ends(0);
    assert_eq!(told(&[model, of_lot, block(&lot), certificate(3), other_model]), [(2, 4)]);
}

#[test]
fn what_blocked_a_lot_for_ever_is_remembered_of_what_has_left_it() {
    let order = group("order 12", &[]);
    let block = |n: u64| status(n, MAKER, "manufacturer", "destroyed").on(&order);
    let left = [introduce(0).joins(&order), certificate(1), block(2), introduce(3).ends(0)];
    assert_eq!(formerly(&domain(), &left), [(2, 3)]);
    let before = [introduce(0).joins(&order), certificate(1), introduce(2).ends(0), block(3)];
    assert_eq!(formerly(&domain(), &before), NOTHING, "it had left before");
    // By time alone: the next entry is one that comes after that time.
    let (for_now, named) = (introduce(0).joins(&order).until(50), introduce(3));
    let lapsed = [for_now.clone(), certificate(1), block(2), named.clone(), certificate(60)];
    assert_eq!(formerly(&domain(), &lapsed), [(2, 60)]);
    let between = [for_now.clone(), certificate(1), block(2), named.clone(), certificate(20), certificate(60)];
    assert_eq!(formerly(&domain(), &between), [(2, 60)], "what was said before is not what came next");
    let last = [for_now.clone(), certificate(1), block(2), named.clone()];
    assert_eq!(formerly(&grown(domain(), 4), &last), [(2, 4)], "nothing has come since");
    let late = block(2).from(40);
    assert_eq!(formerly(&domain(), &[for_now.clone(), certificate(1), late, named.clone()]).len(), 1, "it had begun");
    let later = block(2).from(2_000_000);
    assert_eq!(formerly(&domain(), &[introduce(0).joins(&order), certificate(1), later]), NOTHING, "it has not begun");
    let never = block(2).from(70);
    assert_eq!(formerly(&domain(), &[for_now, certificate(1), never, named]), NOTHING, "it was to begin later");
}

/// The record may be asked for at a time before the end of the log.
#[test]
fn what_blocked_a_lot_for_ever_is_remembered_from_when_it_began() {
    let order = group("order 12", &[]);
    let (about, groups) = split(&[
        introduce(0).joins(&order),
        certificate(1),
        status(2, MAKER, "manufacturer", "destroyed").on(&order).from(10),
        introduce(15).joins(&order),
        introduce(20).ends(0).ends(15),
    ]);
    let told = |seconds| resolve(&domain(), &device(), &about, &groups, time(seconds)).expect("something was said");
    assert_eq!(over(&told(30)), [(2, 20)]);
    assert_eq!(over(&told(5)), NOTHING, "that it was to begin is nothing yet");
}

/// The statement that took the device out of the lot may have been erased since: the owners state that it did.
#[test]
fn what_blocked_a_lot_is_remembered_of_what_has_left_it_by_what_was_erased() {
    let order = group("order 12", &[]);
    let (about, groups) = split(&[
        introduce(0).joins(&order),
        certificate(1),
        status(2, MAKER, "manufacturer", "destroyed").on(&order),
        introduce(3).ends(0),
    ]);
    let context = Context { about: &about, groups: &groups, unseen: false };
    let erasure = domain().erasure_of(&about[2], &context, now()).expect("it may be erased");
    let left = Logged::of_erasure(6, time(6), &erasure, HEIR).expect("it is about the device");
    let about = [about[0].clone(), about[1].clone(), left];
    assert_eq!(over(&unblocked(&domain(), &about, &groups)), [(2, 6)]);
}

/// Descriptors with an added status that has this effect.
fn rules(effect: Effect) -> Descriptor {
    let mut rules = descriptor();
    let kinds = [Kind::Device, Kind::Group].into();
    rules.statuses.insert(word("scrapped"), AddedStatus { effect, kinds });
    rules
}

/// The domain after the entries with these indices have changed the effect of that status.
fn ruled(effects: &[(u64, Effect)]) -> Domain {
    let mut domain = domain();
    for (index, effect) in effects {
        domain.take_descriptor(*index, rules(*effect), time(*index)).expect("valid");
    }
    domain
}

/// What it has revoked stays revoked, whoever says that it blocked: its signer, or the owners who have erased it.
#[test]
fn what_blocked_for_ever_and_was_erased_is_remembered_when_its_status_does_something_else() {
    let said = [introduce(2), certificate(3), status(4, KEEPER, "maintainer", "scrapped")].map(Draft::log);
    let told = |mut domain: Domain| {
        let context = Context { about: &said, groups: &[], unseen: false };
        let erasure = domain.erasure_of(&said[2], &context, now()).expect("it may be erased");
        let left = Logged::of_erasure(6, time(6), &erasure, HEIR).expect("it is about the device");
        let about = [said[0].clone(), said[1].clone(), left];
        domain.take_descriptor(8, rules(Effect::Blocks), time(8)).expect("valid");
        over(&unblocked(&domain, &about, &[]))
    };
    let mut domain = ruled(&[(1, Effect::BlocksForEver)]);
    assert_eq!(told(domain.clone()), [(6, 8)]);
    domain.take_descriptor(5, descriptor(), time(5)).expect("valid");
    assert_eq!(told(domain), [(6, 8)], "the owners have dropped the status before");
    assert_eq!(told(ruled(&[(1, Effect::Blocks)])), NOTHING, "it never did");
}

/// Once the status is weakened, a reader of the log without the statement could not tell that it blocked for ever.
#[test]
fn what_has_revoked_certificates_is_not_erased_once_its_status_does_something_else() {
    let said = [introduce(2), certificate(3), status(4, KEEPER, "maintainer", "scrapped")].map(Draft::log);
    let erased = |domain: &Domain, about: &[Logged]| {
        let status = about.last().expect("the status");
        let context = Context { about, groups: &[], unseen: false };
        domain.erasure_of(status, &context, now()).map(|erasure| erasure.effect)
    };
    for weaker in [Effect::Blocks, Effect::None, Effect::Permits] {
        let mut domain = ruled(&[(1, Effect::BlocksForEver), (6, weaker)]);
        let refused = erased(&domain, &said).expect_err("certificates would come back");
        assert_eq!(refused.code(), "erases-former", "{weaker:?}");
        let without = [said[0].clone(), said[2].clone()];
        assert!(erased(&domain, &without).is_ok(), "{weaker:?}: it has no certificate");
        domain.take_descriptor(8, rules(Effect::BlocksForEver), time(8)).expect("valid");
        assert_eq!(erased(&domain, &said).expect("it says so again"), Some(Effect::BlocksForEver), "{weaker:?}");
    }
    assert!(erased(&ruled(&[(1, Effect::Blocks)]), &said).is_ok(), "it never did");
}

/// That the block held for the device rests on the statement that put it into the lot, whose remnant comes later in the
/// log.
#[test]
fn what_put_a_thing_into_a_lot_is_not_erased_once_the_status_of_the_lot_does_something_else() {
    let order = group("order 12", &[]);
    let (member, scrapped) = (introduce(2).joins(&order), status(4, KEEPER, "maintainer", "scrapped").on(&order));
    let erased = |domain: &Domain, drafts: &[Draft]| {
        let (about, groups) = split(drafts);
        let context = Context { about: &about, groups: &groups, unseen: false };
        domain.erasure_of(&about[0], &context, now()).map(drop).map_err(|refusal| refusal.code())
    };
    let said = [member.clone(), certificate(3), scrapped.clone()];
    for weaker in [Effect::Blocks, Effect::None, Effect::Permits] {
        let mut domain = ruled(&[(1, Effect::BlocksForEver), (6, weaker)]);
        assert_eq!(erased(&domain, &said), Err("erases-former"), "{weaker:?}: certificates would come back");
        assert_eq!(erased(&domain, &[member.clone(), scrapped.clone()]), Ok(()), "{weaker:?}: it has no certificate");
        let outside = [introduce(2), certificate(3), scrapped.clone()];
        assert_eq!(erased(&domain, &outside), Ok(()), "{weaker:?}: it never was of the lot");
        let twice = [member.clone(), certificate(3), scrapped.clone(), introduce(5).joins(&order)];
        assert_eq!(erased(&domain, &twice), Ok(()), "{weaker:?}: it was said again in time");
        domain.take_descriptor(8, rules(Effect::BlocksForEver), time(8)).expect("valid");
        assert_eq!(erased(&domain, &said), Ok(()), "{weaker:?}: the status blocks for ever again");
    }
    assert_eq!(erased(&ruled(&[(1, Effect::Blocks)]), &said), Ok(()), "it never did");
    let (mut lifted, mut lifting) = (ruled(&[(1, Effect::BlocksForEver)]), rules(Effect::BlocksForEver));
    lifting.lifted.extend([id(4)]);
    lifted.take_descriptor(6, lifting, time(6)).expect("valid");
    assert_eq!(erased(&lifted, &said), Err("erases-former"), "it blocked until it was lifted");
    let left = [member, certificate(3), scrapped, introduce(5).ends(2)];
    assert_eq!(erased(&ruled(&[(1, Effect::BlocksForEver)]), &left), Ok(()), "it blocks by what the erasure restates");
}

#[test]
fn what_was_lifted_and_then_erased_is_remembered_when_its_status_does_something_else() {
    let told = |status: Draft| {
        let said = [introduce(2), certificate(3), status].map(Draft::log);
        let mut next = rules(Effect::BlocksForEver);
        next.lifted.extend([id(4)]);
        let mut domain = ruled(&[(1, Effect::BlocksForEver)]);
        domain.take_descriptor(6, next.clone(), time(6)).expect("valid");
        let context = Context { about: &said, groups: &[], unseen: false };
        let erasure = domain.erasure_of(&said[2], &context, now()).expect("it may be erased");
        let left = Logged::of_erasure(7, time(7), &erasure, HEIR).expect("it is about the device");
        next.statuses = rules(Effect::Blocks).statuses;
        domain.take_descriptor(8, next, time(8)).expect("valid");
        over(&unblocked(&domain, &[said[0].clone(), said[1].clone(), left], &[]))
    };
    assert_eq!(told(status(4, KEEPER, "maintainer", "scrapped")), [(7, 6)]);
    assert_eq!(told(status(4, KEEPER, "maintainer", "scrapped").from(50)), NOTHING, "it was lifted before it began");
}

#[test]
fn what_blocked_for_ever_is_remembered_when_its_status_does_something_else() {
    let order = group("order 12", &[]);
    let scrapped = || status(4, KEEPER, "maintainer", "scrapped");
    for drafts in [
        [introduce(2), certificate(3), scrapped()],
        [introduce(2).joins(&order), certificate(3), scrapped().on(&order)],
    ] {
        for weaker in [Effect::Blocks, Effect::None, Effect::Permits] {
            let weakened = ruled(&[(1, Effect::BlocksForEver), (6, weaker)]);
            assert_eq!(formerly(&weakened, &drafts), [(4, 6)], "{weaker:?}");
            let before = ruled(&[(1, weaker), (6, Effect::BlocksForEver), (8, weaker)]);
            assert_eq!(formerly(&before, &drafts), [(4, 8)], "{weaker:?} at first");
        }
        assert_eq!(formerly(&ruled(&[(1, Effect::Blocks)]), &drafts), NOTHING, "it never did");
    }
}

/// What it has revoked stays revoked; nothing else depends on it.
#[test]
fn what_a_compromised_signer_blocked_for_ever_does_not_block_again_when_it_is_erased() {
    let (about, _) = split(&[introduce(0), status(1, KEEPER, "maintainer", "destroyed")]);
    for is_lifted in [false, true] {
        let domain = changed(4, |descriptor| {
            let compromise = Compromise { signer: KEEPER, domain: word("devices.acme.example"), from_index: 1 };
            descriptor.compromised.push(compromise);
            descriptor.lifted.extend(is_lifted.then(|| id(1)));
        });
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = domain.erasure_of(&about[1], &context, now()).expect("it may be erased");
        let left = Logged::of_erasure(7, now(), &erasure, HEIR).expect("it is about the device");
        let record = resolve(&domain, &device(), &[about[0].clone(), left], &[], now()).expect("something is left");
        let listed = record.statement_at(7).expect("it is listed");
        assert_eq!((listed.standing, listed.void_since.map(|it| it.index)), (Standing::Compromised, Some(4)));
        assert_eq!((listed.effect, record.effect()), (Some(Effect::BlocksForEver), Effect::None));
    }
}
