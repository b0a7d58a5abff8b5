//! Names that have become another thing's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::Compromise;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Role;
use ics_node::api::{CertificateQuery, CertificateState};
use ics_node::app::{CertifyError, CertifyFault, EstRequest, Reader, Requester, Revoker};
use ics_node::x509::Reason;

use crate::est::key_of;
use crate::rotation::issuer_key;
use crate::tools::Bench;
use crate::world::{World, domain, id, introduction, introduction_by, maker, signer, status, wait, withdrawal};

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
    look_at(world, world.app.clock().now().plus_millis(hours * HOUR))
}

/// The same at a time.
fn look_at(world: &World, at: Timestamp) -> Vec<(String, String)> {
    wait(world.app.revoke_misnamed(at));
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
    let alarms = || {
        let alarms = world.app.domain(&domain()).expect("is here").alarms;
        alarms.iter().filter(|alarm| alarm.kind == "certificate-misnamed").count()
    };
    assert!(look_in(&world, 25).is_empty(), "nobody else has it");
    assert_eq!(alarms(), 0);
    world.submit(vec![introduction(8, &[HOST])]);
    for hours in [22, 23] {
        assert!(look_in(&world, hours).is_empty(), "the other is being installed");
        assert_eq!(alarms(), 1, "it is told once");
    }
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

/// Another signer of the manufacturer, who gives devices their host names.
fn installer() -> Ed25519Signer {
    signer(5)
}

fn installers() -> Fingerprint {
    installer().public_key().fingerprint()
}

/// A world in which a device has a certificate for a host name that another was given as well, and the index of the
/// installer's statement that gave it first.
fn shared() -> (World, u64) {
    let (mut world, bench) = (World::new(), Bench::new());
    world.join(&installer());
    let in_use = status(9, &maker(), "manufacturer", "in-use", &[]);
    world.submit(vec![introduction(9, &["serial:SN-9"]), in_use]);
    let named = world.size();
    world.submit(vec![introduction_by(&installer(), 9, &[HOST])]);
    world.certify(9, "server", &bench.request("server", &[])).expect("its own host");
    world.submit(vec![introduction(8, &[HOST])]);
    (world, named)
}

/// Somebody who may name things may have given the name to another long before, to no effect. What then takes it from
/// its thing may be a mistake, which somebody has to notice.
#[test]
fn the_day_begins_when_the_name_is_lost_however_that_happens() {
    let loses: [fn(&mut World, u64); 3] = [
        |world, _| {
            world.change(|descriptor| {
                let role: Role = "manufacturer".parse().expect("a role");
                descriptor.roles.get_mut(&role).expect("the role").signers.remove(&installers());
            });
        },
        |world, from_index| {
            let compromise = Compromise { signer: installers(), domain: domain(), from_index };
            world.change(|descriptor| descriptor.compromised = vec![compromise]);
        },
        |world, named| world.erase(named),
    ];
    for (number, lose) in loses.into_iter().enumerate() {
        let (mut world, named) = shared();
        let before = world.app.clock().now();
        while world.app.clock().now() <= before {
            std::thread::yield_now();
        }
        lose(&mut world, named);
        let early = look_at(&world, before.plus_millis(24 * HOUR));
        assert!(early.is_empty(), "{number}: {early:?}");
        assert_eq!(look_in(&world, 25).len(), 1, "{number}");
    }
}

/// One entry that cannot be read must not keep all others from being looked at for ever.
#[test]
fn a_damaged_entry_hides_no_other_certificate() {
    let (world, bench) = (World::new(), Bench::new());
    world.certify(7, "ldevid", &bench.request("device", &[])).expect("it may have one");
    let issued = world.size() - 1;
    let in_use = status(9, &maker(), "manufacturer", "in-use", &[]);
    world.submit(vec![introduction(9, &["serial:SN-9"]), in_use]);
    let named = world.submit(vec![introduction(9, &[HOST])]);
    world.certify(9, "server", &bench.request("server", &[])).expect("its own host");
    world.submit(vec![withdrawal(9, &named), introduction(8, &[HOST])]);
    let after = || i64::try_from(world.size() - issued - 1).expect("a few");
    let header = world.rewrite(after(), b"unreadable");
    wait(world.app.revoke_misnamed(world.app.clock().now().plus_millis(25 * HOUR)));
    world.rewrite(after(), &header);
    assert_eq!(revoked(&world).len(), 1);
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

/// Asks over EST, with one key of the bench, for a certificate of a new one.
fn renews(world: &World, bench: &Bench, former: &str, next: &str) -> Result<Vec<u8>, CertifyError> {
    let (profile, proven) = ("server".to_owned(), Some(key_of(bench, former)));
    let asked = EstRequest { domain: domain(), profile, issuer: None, proven, basic: None };
    wait(world.app.est_enroll(&asked, &STANDARD.encode(bench.request(next, &[]))))
}

/// Nothing is wrong with the key of its certificate, and nothing else may show who comes.
#[test]
fn a_renamed_device_is_known_by_the_key_of_the_certificate_for_its_former_name() {
    let (world, bench) = (World::new(), Bench::new());
    let in_use = status(9, &maker(), "manufacturer", "in-use", &[]);
    world.submit(vec![introduction(9, &["serial:SN-9"]), in_use]);
    let named = world.submit(vec![introduction(9, &[HOST])]);
    let issued = world.certify(9, "server", &bench.request("former", &[])).expect("its own host");
    world.submit(vec![withdrawal(9, &named)]);
    world.submit(vec![introduction(9, &["host:pump-10.acme.example"]), introduction(8, &[HOST])]);
    assert_eq!(look_in(&world, 25).len(), 1);

    let answer = renews(&world, &bench, "former", "next").expect("it is the same device");
    let has = |host: &[u8]| answer.windows(host.len()).any(|part| part == host);
    assert!(has(b"pump-10.acme.example") && !has(b"pump-9.acme.example"), "under its present name");

    let holder = Revoker::Requester(Requester::Identity(id(9)));
    world.revoke(&issued.serial, holder, Reason::Superseded).expect("its key is still of use");
    let again = world.revoke(&issued.serial, holder, Reason::Superseded).expect_err("once");
    assert_eq!(again.fault(), CertifyFault::Already, "{again}");
    let refused = renews(&world, &bench, "former", "late").expect_err("it was taken back");
    assert_eq!(refused.fault(), CertifyFault::Unproven, "{refused}");
    renews(&world, &bench, "next", "third").expect("the other one is in force");
}

/// A thing that has changed hands has another holder than its key.
#[test]
fn the_key_of_a_certificate_that_somebody_had_revoked_shows_nobody() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "server", &bench.request("former", &[])).expect("its own host");
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    world.revoke(&issued.serial, holder, Reason::AffiliationChanged).expect("it is its own");
    let refused = renews(&world, &bench, "former", "next").expect_err("it was sold");
    assert_eq!(refused.fault(), CertifyFault::Unproven, "{refused}");
}
