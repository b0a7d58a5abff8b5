//! What follows from valid evidence.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::adopted::adopting;
use super::story::{BUYER, CONTROLLER, DEVICE, MAKER, evidence, introduce, maker_world, sell, software, status, world};
use super::world::{World, certificate, fingerprint, lot, node, signer};
use crate::descriptor::{DescriptorError, Template, Witnesses};
use crate::domain::Refusal;
use crate::evidence::{Cosigned, EntryFault, EvidenceRefusal, Verified, verify};
use crate::identity::{IdentityId, Kind};
use crate::log::cosignature::cosign;
use crate::openpgp::verify::SignatureFault;
use crate::record::Standing;
use crate::samples::{time, word};
use crate::statement::{Claims, Erasure, Group, StatementId, Subject, VerifyError, make};
use crate::vocabulary::{Act, Effect};

/// The index, signer and refusal of each statement.
fn lines(verified: &Verified) -> Vec<(u64, &'static str)> {
    verified.statements.iter().map(|line| (line.index, line.refused.as_ref().map_or("", |it| it.code))).collect()
}

#[test]
fn the_record_follows_from_the_evidence_alone() {
    let world = world();
    let verified = verify(&evidence(&world), Some(&world.origin()), time(1500)).unwrap();
    assert_eq!(verified.identity(), IdentityId::Key(fingerprint(DEVICE)));
    assert_eq!((verified.origin, verified.size, verified.descriptor), (world.origin(), 15, 3));
    assert_eq!((verified.as_of, verified.fresh, verified.freshness.default), (Some(time(1000)), true, 3600));
    let status = verified.record.status.as_ref().unwrap();
    assert_eq!((status.decides.name.as_str(), status.decides.effect), ("retired", Effect::Blocks));
    assert_eq!(status.decides.by.group.map(|group| IdentityId::Group(group.0)), lot().id().ok());
    assert_eq!(status.conflict[0].by.signer, fingerprint(BUYER));
    let standings: Vec<_> =
        verified.record.statements.iter().map(|listed| (listed.by.index, listed.standing)).collect();
    let (stands, replaced) = (Standing::Stands, Standing::Replaced);
    assert_eq!(standings, [(2, stands), (5, stands), (7, replaced), (10, replaced), (11, stands), (12, stands)]);
}

#[test]
fn each_statement_has_its_line() {
    let verified = verify(&evidence(&world()), None, time(1500)).unwrap();
    assert_eq!(lines(&verified), [(2, ""), (4, ""), (5, ""), (7, ""), (10, ""), (11, ""), (12, "")]);
    let line = &verified.statements[4];
    assert_eq!(
        (line.signer, line.act, line.role.as_str()),
        (fingerprint(CONTROLLER), Act::Status, "security-controller")
    );
    assert_eq!(line.name.as_deref(), Some("Signer 13 <13@acme.example>"));
    assert_eq!(verified.statements[1].about.id, lot().id().unwrap());
}

#[test]
fn as_of_and_freshness_come_from_the_homes_cosignature() {
    let world = world();
    for (cosigned, now, as_of, fresh) in [
        (None, 1000, None, false),
        (Some(1000), 1000, Some(1000), true),
        (Some(1000), 4600, Some(1000), true),
        (Some(1000), 4601, Some(1000), false),
        // A clock that runs slightly ahead of this one, and one too far ahead to be believed.
        (Some(1300), 1000, Some(1000), true),
        (Some(1301), 1000, None, false),
    ] {
        let note = world.cosigned(&world.signed_head(&world.home), cosigned.map(time));
        let verified = verify(&evidence(&world).under(&note), None, time(now)).unwrap();
        assert_eq!((verified.as_of, verified.fresh), (as_of.map(time), fresh), "{cosigned:?} at {now}");
        let later = cosigned.filter(|_| as_of.is_none()).map(time);
        assert_eq!(verified.made_later, later, "{cosigned:?} at {now}");
    }
}

#[test]
fn another_cosignature_makes_nothing_fresh() {
    let world = world();
    let stranger = SigningKey::from_bytes(&[77; 32]);
    for name in ["home.acme.example", "witness.example"] {
        let note = cosign(&world.signed_head(&world.home), name, &stranger, time(1000)).unwrap();
        let verified = verify(&evidence(&world).under(&note), None, time(1000)).unwrap();
        assert_eq!((verified.as_of, verified.fresh, verified.witnesses), (None, false, vec![]), "{name}");
    }
}

#[test]
fn a_quorum_of_witnesses_is_needed_where_the_descriptor_asks_for_it() {
    let keys = vec![node("one.example", 51), node("two.example", 52), node("three.example", 53)];
    let mut world = maker_world();
    world.append(certificate(MAKER));
    introduce(&mut world, DEVICE);
    world.amend(|next| next.witnesses = Some(Witnesses { quorum: 2, keys }));
    let by = |note: &str, name: &str, seed: u8| {
        cosign(note, name, &SigningKey::from_bytes(&[seed; 32]), time(u64::from(seed))).unwrap()
    };
    let one = by(&world.checkpoint(), "one.example", 51);
    let refused = verify(&world.evidence(DEVICE, &[]).under(&one), None, time(60));
    assert_eq!(refused, Err(EvidenceRefusal::Witnesses { cosigned: 1, quorum: 2 }));
    let two = by(&one, "three.example", 53);
    let verified = verify(&world.evidence(DEVICE, &[]).under(&two), None, time(60)).unwrap();
    let cosigned = |name: &str, at| Cosigned { name: name.to_owned(), at: time(at) };
    assert_eq!(verified.witnesses, [cosigned("one.example", 51), cosigned("three.example", 53)]);
}

#[test]
fn what_the_home_should_not_have_admitted_has_no_effect() {
    let mut world = maker_world();
    world.append(certificate(MAKER));
    introduce(&mut world, DEVICE);
    world.append(certificate(BUYER));
    let unsold = status(&mut world, BUYER, "owner", "in-use", &[]);
    sell(&mut world);
    let sold = status(&mut world, BUYER, "owner", "in-use", &[]);
    let verified = verify(&world.evidence(DEVICE, &[]), None, time(60)).unwrap();
    assert_eq!(lines(&verified), [(2, ""), (unsold, "role-not-held"), (5, ""), (sold, "")]);
    let listed = &verified.record.statements[1];
    assert_eq!((listed.by.index, listed.standing), (unsold, Standing::Refused));
    assert_eq!(verified.record.status.unwrap().decides.by.index, sold);
}

#[test]
fn what_rests_on_a_statement_that_was_left_out_is_refused_and_says_so() {
    let world = world();
    let without = |index| verify(&world.evidence(DEVICE, &[3, 14, index]), None, time(1500)).unwrap();
    assert_eq!(lines(&without(5)), [(2, ""), (4, ""), (7, "role-not-held"), (10, ""), (11, "role-not-held"), (12, "")]);
    assert_eq!(lines(&without(10)), [(2, ""), (4, ""), (5, ""), (7, ""), (11, "supersedes-unknown"), (12, "")]);
}

#[test]
fn nothing_shows_that_a_block_was_left_out() {
    let world = world();
    let verified = verify(&world.evidence(DEVICE, &[3, 14, 12]), Some(&world.origin()), time(1500)).unwrap();
    assert_eq!(verified.record.status.unwrap().decides.name.as_str(), "in-use");
}

#[test]
fn the_groups_of_a_group_concern_the_identity() {
    let line = Group { name: "Model line".to_owned(), attributes: BTreeMap::new(), kind: Kind::Group };
    let digest = |group: &Group| match group.id() {
        Ok(IdentityId::Group(digest)) => digest,
        other => panic!("{other:?}"),
    };
    let mut world = maker_world();
    world.append(certificate(MAKER));
    world.say_of(&line, MAKER, "manufacturer", Act::Identity, |_| {});
    world.say_of_lot(MAKER, "manufacturer", Act::Identity, |claims| claims.groups.push(digest(&line)));
    let bare = world.say(MAKER, "manufacturer", Act::Identity, DEVICE, |_| {});
    let stranger = |index, group: &Group| Err(EntryFault::Stranger(group.id().unwrap().to_string()).at(index));
    assert_eq!(verify(&world.evidence(DEVICE, &[]), None, time(60)), stranger(2, &line));
    assert_eq!(verify(&world.evidence(DEVICE, &[2]), None, time(60)), stranger(3, &lot()));
    let member = world.say(MAKER, "manufacturer", Act::Identity, DEVICE, |claims| claims.groups.push(digest(&lot())));
    let verified = verify(&world.evidence(DEVICE, &[]), None, time(60)).unwrap();
    assert_eq!(lines(&verified), [(2, ""), (3, ""), (bare, ""), (member, "")]);
}

#[test]
fn a_group_has_evidence_of_its_own() {
    let world = world();
    let mut evidence = world.evidence(DEVICE, &[2, 3, 5, 7, 10, 11, 14]);
    evidence.id = lot().id().unwrap().to_string();
    let verified = verify(&evidence, None, time(1500)).unwrap();
    assert_eq!(verified.identity(), lot().id().unwrap());
    assert_eq!(verified.record.effect(), Effect::Blocks);
}

#[test]
fn software_is_told_by_its_digest() {
    let mut world = World::found("code.acme.example", 1, Template::Developer, &[("developer", MAKER)], |_| {});
    world.append(certificate(MAKER));
    let software = software();
    let mut claims = Claims::new(Act::Status, word("developer"), word("code.acme.example"));
    claims.status = Some(word("released"));
    let subject = Subject::Software(software.clone());
    let released = make::sign_document(&signer(MAKER), &subject, &claims, time(2), &[0; 32]).unwrap();
    world.append(released);
    let mut evidence = world.evidence(DEVICE, &[]);
    evidence.id = software.id().unwrap().to_string();
    let verified = verify(&evidence, None, time(60)).unwrap();
    assert_eq!(verified.identity(), IdentityId::Software([0xab; 32]));
    assert_eq!(verified.record.effect(), Effect::Permits);
}

#[test]
fn adopted_statements_are_proved_in_their_source() {
    let mut maker = maker_world();
    maker.append(certificate(MAKER));
    introduce(&mut maker, DEVICE);
    let mut plant = adopting(&maker);
    for index in [1, 2] {
        plant.append_from(Some(maker.receipt(index).source()), maker.entries[index as usize].body.clone());
    }
    let verified = verify(&plant.evidence(DEVICE, &[]), Some(&plant.origin()), time(60)).unwrap();
    assert_eq!(lines(&verified), [(2, "")]);
    assert_eq!(verified.record.statements[0].source[0].domain, maker.origin().domain);
}

#[test]
fn adopted_statements_without_proof_are_refused() {
    let mut maker = maker_world();
    maker.append(certificate(MAKER));
    introduce(&mut maker, DEVICE);
    let body = maker.entries[2].body.clone();
    let mut forged = maker.receipt(2).source();
    forged.checkpoint = maker.signed_head(&SigningKey::from_bytes(&[77; 32]));
    let mut plant = adopting(&maker);
    plant.append(certificate(MAKER));
    plant.append_from(Some(forged), body.clone());
    let refused = verify(&plant.evidence(DEVICE, &[]), None, time(60));
    assert!(
        matches!(&refused, Err(EvidenceRefusal::Entry { index: 2, fault }) if matches!(**fault, EntryFault::Source(_))),
        "{refused:?}"
    );
    // From a domain that is not pinned: not proven, and refused by the rules.
    let mut elsewhere = World::found("plant.example", 31, Template::Maintenance, &[("manufacturer", MAKER)], |_| {});
    elsewhere.append(certificate(MAKER));
    elsewhere.append_from(Some(maker.receipt(2).source()), body);
    let verified = verify(&elsewhere.evidence(DEVICE, &[]), None, time(60)).unwrap();
    assert_eq!(lines(&verified), [(2, "unknown-source")]);
}

#[test]
fn a_home_cannot_pass_off_what_nobody_signed() {
    let base = || {
        let mut world = maker_world();
        world.append(certificate(MAKER));
        world
    };
    let mut late = base();
    late.append(late.statement(MAKER, "manufacturer", Act::Identity, DEVICE, time(303), |_| {}));
    let future = VerifyError::Future { signed_at: time(303), at: time(2) };

    let mut again = base();
    again.append(certificate(MAKER));

    let mut forged = base();
    let mut body = forged.statement(MAKER, "manufacturer", Act::Identity, DEVICE, time(2), |_| {});
    *body.last_mut().unwrap() ^= 1;
    forged.append(body);

    let mut erased = base();
    // By one of the owners alone.
    let erasure = Erasure::new(erased.origin().domain, StatementId([1; 32]));
    erased.append(make::sign_descriptor(&[&signer(1)], &erasure.to_json().unwrap(), time(2), &[0; 32]).unwrap());
    let too_few = DescriptorError::BelowThreshold { signed: 1, threshold: 2, version: 1 };

    for (world, fault) in [
        (late, EntryFault::Signature(future)),
        (again, EntryFault::Certificate(Refusal::Duplicate(1))),
        (forged, EntryFault::Signature(VerifyError::Signature(SignatureFault::Bad))),
        (erased, EntryFault::Descriptor(too_few)),
    ] {
        assert_eq!(verify(&world.evidence(DEVICE, &[]), None, time(60)), Err(fault.at(2)));
    }
}
