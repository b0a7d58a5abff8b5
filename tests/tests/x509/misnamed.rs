//! Names that have become another thing's.

use ics_node::api::{CertificateQuery, CertificateState};
use ics_node::app::Reader;

use crate::rotation::issuer_key;
use crate::tools::Bench;
use crate::world::{World, domain, introduction, maker, status, wait, withdrawal};

const HOUR: u64 = 3_600_000;
const HOST: &str = "host:pump-9.acme.example";

/// The profiles of all revoked certificates, with the reasons.
fn revoked(world: &World) -> Vec<(String, String)> {
    let query = CertificateQuery { state: Some(CertificateState::Revoked), ..CertificateQuery::default() };
    let page = world.app.certificates(Reader::Operator, &domain(), &query).expect("a page");
    page.items.into_iter().filter_map(|it| Some((it.profile?, it.revoked?.reason))).collect()
}

/// Has the node look at the names in certificates, in so many hours; returns what is revoked then.
fn look_in(world: &World, hours: u64) -> Vec<(String, String)> {
    wait(world.app.revoke_misnamed(world.app.clock().now().plus_millis(hours * HOUR)));
    revoked(world)
}

/// A world in which a device has certificates, one of them for a host name that was then taken from it.
fn renamed() -> World {
    let (world, bench) = (World::new(), Bench::new());
    let in_use = status(9, &maker(), "manufacturer", "in-use", &[]);
    world.submit(vec![introduction(9, &["serial:SN-9", "urn:dev:os:32473-SN-9"]), in_use]);
    let named = world.submit(vec![introduction(9, &[HOST])]);
    for profile in ["server", "ldevid"] {
        world.certify(9, profile, &bench.request(profile, &[])).expect(profile);
    }
    world.submit(vec![withdrawal(9, &named)]);
    world
}

#[test]
fn a_certificate_for_a_name_of_another_thing_is_revoked_a_day_later() {
    let world = renamed();
    assert!(look_in(&world, 25).is_empty(), "nobody else has it");
    world.submit(vec![introduction(8, &[HOST])]);
    assert!(look_in(&world, 23).is_empty(), "the other is being installed");
    let server = ("server".to_owned(), "affiliationChanged".to_owned());
    assert_eq!(look_in(&world, 25), [server]);
    let size = world.size();
    look_in(&world, 26);
    assert_eq!(world.size(), size, "nothing is said twice");
}

/// They could be certified to neither, so neither's certificates are touched: anybody who may name things could have
/// those of others revoked.
#[test]
fn a_name_that_two_things_have_ends_no_certificate() {
    let (world, bench) = (World::new(), Bench::new());
    world.certify(7, "server", &bench.request("server", &[])).expect("its own host");
    world.submit(vec![introduction(8, &["host:pump-7.acme.example"])]);
    assert!(look_in(&world, 48).is_empty());
}

#[test]
fn it_is_revoked_once_the_key_that_issued_it_is_back() {
    let world = renamed();
    world.submit(vec![introduction(8, &[HOST])]);
    let former = world.key.clone();
    let world = world.with_key(issuer_key());
    assert!(look_in(&world, 25).is_empty(), "nobody else can revoke it");
    let world = world.with_key(former);
    assert_eq!(look_in(&world, 25).len(), 1);
}
