//! The story of one device, from the factory to a recall, used by the tests and the vectors.

use std::collections::BTreeMap;

use super::world::{World, certificate, fingerprint};
use crate::descriptor::Template;
use crate::evidence::Evidence;
use crate::identity::Kind;
use crate::samples::word;
use crate::statement::{Grant, Software, body};
use crate::vocabulary::{Act, Attribute};

pub(super) const MAKER: u8 = 11;
pub(super) const BUYER: u8 = 12;
pub(super) const CONTROLLER: u8 = 13;
pub(super) const DEVICE: u8 = 101;
pub(super) const OTHER: u8 = 102;

/// The index of the statement about the other device.
pub(super) const OTHER_INDEX: u64 = 3;

pub(super) fn maker_world() -> World {
    World::found("devices.acme.example", 1, Template::Manufacturer, &[("manufacturer", MAKER)], |_| {})
}

pub(super) fn introduce(world: &mut World, device: u8) -> u64 {
    world.say(MAKER, "manufacturer", Act::Identity, device, |claims| {
        claims.names.push(word(&format!("serial:SN-{device}")));
        claims.attributes.insert(Attribute::Lot, "L7".to_owned());
        claims.attributes.insert(Attribute::Model, "T1000".to_owned());
    })
}

pub(super) fn sell(world: &mut World) -> u64 {
    world.say(MAKER, "manufacturer", Act::Grant, DEVICE, |claims| {
        claims.grant = Some(Grant { grantee: fingerprint(BUYER), role: word("owner") });
    })
}

pub(super) fn status(world: &mut World, by: u8, role: &str, status: &str, supersedes: &[u64]) -> u64 {
    let ids: Vec<_> = supersedes.iter().map(|index| world.receipt(*index).id).collect();
    world.say(by, role, Act::Status, DEVICE, |claims| {
        claims.status = Some(word(status));
        claims.supersedes = ids;
    })
}

/// | entry | |
/// |---|---|
/// | 0 | descriptor |
/// | 1 | the maker's certificate |
/// | 2 | the maker introduces the device |
/// | 3 | and another |
/// | 4 | and their lot |
/// | 5 | the maker sells the device: its buyer becomes its owner |
/// | 6 | the buyer's certificate |
/// | 7 | the buyer puts it into use |
/// | 8 | descriptor 2: a security controller |
/// | 9 | the controller's certificate |
/// | 10 | the controller suspends the device |
/// | 11 | the owner lifts that |
/// | 12 | the maker retires the lot |
/// | 13 | descriptor 3: another bound of freshness |
/// | 14 | the maker says something of the other device |
pub(super) fn world() -> World {
    let mut world = maker_world();
    world.append(certificate(MAKER));
    introduce(&mut world, DEVICE);
    introduce(&mut world, OTHER);
    world.say_of_lot(MAKER, "manufacturer", Act::Identity, |_| {});
    sell(&mut world);
    world.append(certificate(BUYER));
    let in_use = status(&mut world, BUYER, "owner", "in-use", &[]);
    world.amend(|next| {
        next.roles.get_mut(&word("security-controller")).unwrap().signers.insert(fingerprint(CONTROLLER));
    });
    world.append(certificate(CONTROLLER));
    let suspended = status(&mut world, CONTROLLER, "security-controller", "suspended", &[]);
    status(&mut world, BUYER, "owner", "in-use", &[in_use, suspended]);
    world.say_of_lot(MAKER, "manufacturer", Act::Status, |claims| claims.status = Some(word("retired")));
    world.amend(|next| next.freshness.default = 3600);
    world.say(MAKER, "manufacturer", Act::Status, OTHER, |claims| claims.status = Some(word("planned")));
    world
}

pub(super) fn evidence(world: &World) -> Evidence {
    world.evidence(DEVICE, &[OTHER_INDEX, 14])
}

pub(super) fn software() -> Software {
    let digests = BTreeMap::from([("sha256".to_owned(), "ab".repeat(32))]);
    Software { kind: Kind::Software, name: "firmware".to_owned(), version: "1.2".to_owned(), digests }
}

#[test]
fn the_world_holds_what_its_table_says() {
    let kinds: Vec<_> = world().entries.iter().map(|entry| body::parse(&entry.body).unwrap().kind().code()).collect();
    assert_eq!(kinds, [4, 3, 1, 1, 2, 1, 3, 1, 4, 3, 1, 1, 2, 4, 1]);
}
