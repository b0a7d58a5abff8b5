//! Erasures count in the log for which the owners made them, and nowhere else.

use super::story::{DEVICE, MAKER, introduce, maker_world};
use super::world::{World, certificate, fingerprint};
use crate::domain::Refusal;
use crate::evidence::{EntryFault, verify};
use crate::identity::{IdentityId, Kind};
use crate::record::Identity;
use crate::samples::{time, word};
use crate::statement::{Erasure, StatementId};
use crate::time::Timestamp;
use crate::vocabulary::{Act, DomainName};

/// The index of the erasure.
pub(super) const INDEX: u64 = 4;

/// A device that is said to be stolen, by an entry that was admitted at that time.
fn stolen(admitted_at: Timestamp) -> World {
    let mut world = maker_world();
    world.append(certificate(MAKER));
    introduce(&mut world, DEVICE);
    let block = world.statement(MAKER, "manufacturer", Act::Status, DEVICE, time(3), |claims| {
        claims.status = Some(word("stolen"));
    });
    world.append_at(admitted_at, None, block);
    world
}

/// The erasure of its introduction, claiming that this had ended the block.
fn erasure(world: &World, domain: DomainName) -> Erasure {
    Erasure {
        index: Some(2),
        identity: Some(Identity { id: IdentityId::Key(fingerprint(DEVICE)), kind: Kind::Device }),
        act: Some(Act::Identity),
        ends: vec![world.receipt(3).id],
        ..Erasure::new(domain, world.receipt(2).id)
    }
}

/// Logs into which the home has put an erasure that the owners have signed but that no mirror accepts, each with the
/// reason.
pub(super) fn misplaced() -> Vec<(World, EntryFault)> {
    let own = stolen(time(3)).origin().domain;
    let signed = |mut world: World, domain: &DomainName, at, source| {
        let body = world.erasure(&erasure(&world, domain.clone()), at);
        world.append_at(time(INDEX), source, body);
        world
    };
    let sibling: DomainName = word("sibling.acme.example");
    let elsewhere = Refusal::ForeignDomain { claimed: sibling.clone(), domain: own.clone() };
    let future = Refusal::FutureTime { signed_at: time(INDEX + 301), admitted_at: time(INDEX) };
    let back = EntryFault::TimeGoesBack { admitted_at: time(INDEX), last: time(50) };
    let source = stolen(time(3)).receipt(1).source();
    vec![
        (signed(stolen(time(3)), &sibling, time(INDEX), None), EntryFault::Erasure(elsewhere)),
        (signed(stolen(time(3)), &own, time(INDEX + 301), None), EntryFault::Erasure(future)),
        (signed(stolen(time(50)), &own, time(INDEX), None), back),
        (signed(stolen(time(3)), &own, time(INDEX), Some(source)), EntryFault::ErasureAdopted),
    ]
}

#[test]
fn an_erasure_that_is_not_of_this_log_ends_nothing() {
    for (world, fault) in misplaced() {
        assert_eq!(verify(&world.evidence(DEVICE, &[2]), None, time(1500)), Err(fault.at(INDEX)));
    }
}

#[test]
fn the_owners_erasure_is_taken() {
    let mut world = stolen(time(3));
    let own = world.origin().domain;
    let body = world.erasure(&erasure(&world, own), time(INDEX));
    world.append(body);
    let verified = verify(&world.evidence(DEVICE, &[2]), None, time(1500)).unwrap();
    let ids: Vec<StatementId> = verified.statements.iter().map(|line| line.id).collect();
    assert_eq!(ids, [world.receipt(3).id]);
    assert!(!verified.record.effect().blocks(), "what it had ended stays ended");
}
