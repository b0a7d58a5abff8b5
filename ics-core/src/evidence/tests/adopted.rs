//! An adopted statement is judged by its signer's key as of its admission at the source.

use super::story::{BUYER, DEVICE, MAKER, introduce, maker_world, status};
use super::world::{World, expiring, fingerprint};
use crate::descriptor::Template;
use crate::evidence::{EntryFault, verify};
use crate::log::entry::{EntryKind, Header};
use crate::log::merkle::ProofError;
use crate::log::receipt::EvidenceError;
use crate::openpgp::certificate::KeyRefusal;
use crate::samples::time;
use crate::statement::VerifyError;
use crate::vocabulary::Effect;

/// A maintenance domain that adopts what the manufacturer says.
pub(super) fn adopting(maker: &World) -> World {
    let source = maker.as_source();
    let roles = [("integrator", BUYER), ("manufacturer", MAKER)];
    World::found("plant.example", 31, Template::Maintenance, &roles, |first| first.sources.push(source))
}

/// A manufacturer whose key expires this many seconds after the domain began, and who states in entry 3 that the device
/// is stolen.
fn maker(seconds: u32) -> World {
    let mut maker = maker_world();
    maker.append(expiring(MAKER, seconds));
    introduce(&mut maker, DEVICE);
    status(&mut maker, MAKER, "manufacturer", "stolen", &[]);
    maker
}

/// A domain that adopted all of it much later, optionally with this header of the source for the last entry.
fn adopted(maker: &World, header: Option<Header>) -> World {
    let mut plant = adopting(maker);
    for index in [1, 2, 3] {
        let mut source = maker.receipt(index).source();
        if let Some(header) = header.as_ref().filter(|_| index == 3) {
            source.header = header.encode().unwrap();
        }
        plant.append_at(time(100), Some(source), maker.entries[index as usize].body.clone());
    }
    plant
}

/// A domain that has adopted a block by a key that had not expired at the time.
pub(super) fn plant() -> World {
    adopted(&maker(4), None)
}

#[test]
fn a_block_counts_though_its_key_expired_before_it_was_adopted() {
    let plant = plant();
    let verified = verify(&plant.evidence(DEVICE, &[]), Some(&plant.origin()), time(1500)).unwrap();
    let refused: Vec<_> = verified.statements.iter().map(|line| (line.index, line.refused.is_some())).collect();
    assert_eq!(refused, [(2, false), (3, false)]);
    assert_eq!(verified.record.effect(), Effect::Blocks);
}

#[test]
fn what_its_source_took_too_late_counts_nowhere() {
    let late = adopted(&maker(3), None);
    let expired = VerifyError::Key(KeyRefusal::Expired(fingerprint(MAKER)));
    assert_eq!(verify(&late.evidence(DEVICE, &[]), None, time(1500)), Err(EntryFault::Signature(expired).at(3)));
    // An earlier time that the source never gave does not help either.
    let earlier = Header { kind: EntryKind::Statement, admitted_at: time(2), source: None };
    let forged = adopted(&maker(3), Some(earlier));
    let unproven = EntryFault::Source(EvidenceError::Proof(ProofError::Root));
    assert_eq!(verify(&forged.evidence(DEVICE, &[]), None, time(1500)), Err(unproven.at(3)));
}
