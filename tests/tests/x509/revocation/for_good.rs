//! What is revoked for good, and what is not.

use super::*;
use crate::lists::wait_for;

/// The lifetime that the revoked certificate would have had changes nothing about what it bars, or about what was
/// issued at the same time.
#[test]
fn what_is_barred_stays_so_when_the_revoked_certificate_has_ended() {
    let (world, bench) = (World::new(), Bench::new());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let now = world.app.clock().now();
    // Long enough to be revoked meanwhile, on a busy machine as well.
    let end = now.plus_millis(10_000);
    world.claim_period(7, 2, (now, end), "ldevid");
    let watcher = Revoker::Requester(Requester::Signer(controller().public_key().fingerprint()));
    world.revoke(&claimed(7, 2), watcher, Reason::PrivilegeWithdrawn).expect("a controller may");
    // The issuer had looked at the record a moment before.
    world.claim_period(7, 1, (now, now.plus_millis(3_600_000)), "ldevid");
    let serial = claimed(7, 1).to_string();
    let is_held = || {
        let query = CertificateQuery { state: Some(CertificateState::Held), ..CertificateQuery::default() };
        let held = world.app.certificates(Reader::Operator, &domain(), &query).expect("a page").items;
        let is_listed = list(&world, &bench, claimed(7, 1).bucket() % 4).contains(&serial.to_uppercase());
        [held.iter().any(|it| it.serial == serial), is_listed]
    };
    assert_eq!(is_held(), [true, true]);
    wait_for(&world, end);
    assert_eq!(is_held(), [true, true], "also when the one that it overtook has ended");
    let request = bench.request("fresh", &[]);
    let refused = world.certify(7, "ldevid", &request).expect_err("nobody has lifted it");
    assert!(refused.to_string().contains("a newer status that permits lifts it"), "{refused}");
    lift(&world, &[]);
    assert_eq!(is_held(), [false, false]);
    world.certify(7, "ldevid", &request).expect("its owner has");
}

/// Whoever had a certificate revoked because it was no longer of use did not know what would become of its key.
#[test]
fn a_key_is_given_up_also_after_its_certificate_was_taken_back() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = issued(&world, &bench);
    let revoke = |revoker, reason| world.revoke(&issued.serial, revoker, reason);
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    revoke(holder, Reason::Superseded).expect("its holder may");
    let second = world.certify(7, "ldevid", &bench.request_again("device", &[]));
    let second = second.expect("nobody has said anything of the key");
    for (revoker, reason) in [(holder, Reason::Superseded), (Revoker::Key, Reason::Superseded)] {
        assert_eq!(revoke(revoker, reason).expect_err("once").fault(), CertifyFault::Already);
    }
    revoke(Revoker::Key, Reason::KeyCompromise).expect("that is news");
    assert_eq!(revoke(Revoker::Key, Reason::KeyCompromise).expect_err("once").fault(), CertifyFault::Already);
    let text = list(&world, &bench, shard(&issued));
    assert!(text.contains("Key Compromise") && !text.contains("Superseded"), "{text}");
    let text = list(&world, &bench, shard(&second));
    assert!(text.contains(&second.serial.to_string().to_uppercase()), "it is of the same key: {text}");
    assert_eq!(
        world.revoke(&second.serial, Revoker::Key, Reason::KeyCompromise).expect_err("is so already").fault(),
        CertifyFault::Already
    );
    let again = world.certify(7, "ldevid", &bench.request_again("device", &[])).expect_err("the key is blocked");
    assert_eq!(again.fault(), CertifyFault::Key, "{again}");
    assert!(again.to_string().contains("`ics replace`"), "what to do: {again}");
}

fn where_everybody_says_compromised() -> World {
    let mut world = World::new();
    world.change(|descriptor| {
        descriptor.access += "\n@id(\"everybody-says-compromised\") permit (principal, action == Action::\"status\", resource) \
             when { context.status == Status::\"compromised\" };\n";
    });
    world
}

#[test]
fn two_roles_make_a_compromise_one_does_not() {
    let (world, bench) = (where_everybody_says_compromised(), Bench::new());
    let issued = issued(&world, &bench);
    world.submit(vec![status(7, &controller(), "security-controller", "compromised", &[])]);
    let one = list(&world, &bench, shard(&issued));
    assert!(one.contains("Privilege Withdrawn"), "one alone knows nothing of the key: {one}");
    world.submit(vec![status(7, &maker(), "manufacturer", "compromised", &[])]);
    let two = list(&world, &bench, shard(&issued));
    assert!(two.contains("Key Compromise"), "{two}");
}

/// The key of a destroyed thing turns up.
#[test]
fn what_was_destroyed_is_called_compromised_by_those_who_have_destroyed_it() {
    let (world, bench) = (where_everybody_says_compromised(), Bench::new());
    let issued = issued(&world, &bench);
    world.submit(vec![status(7, &owner(), "owner", "destroyed", &[])]);
    let scrapped = list(&world, &bench, shard(&issued));
    assert!(scrapped.contains("Cessation Of Operation"), "{scrapped}");
    world.submit(vec![status(7, &owner(), "owner", "compromised", &[])]);
    world.submit(vec![status(7, &maker(), "manufacturer", "compromised", &[])]);
    let leaked = list(&world, &bench, shard(&issued));
    assert!(leaked.contains("Key Compromise"), "{leaked}");
}

/// Of all revocations, only a hold can end (RFC 5280, 5.3.1).
#[test]
fn what_the_owners_lift_gets_new_certificates_and_brings_no_revoked_one_back() {
    let (mut world, bench) = (World::new(), Bench::new());
    let issued = issued(&world, &bench);
    let node = Node::start(&world.app);
    let destroyed = world.submit(vec![status(7, &owner(), "owner", "destroyed", &[])]);
    let serial = issued.serial.to_string().to_uppercase();
    let is_listed = |world: &World| {
        let text = list(world, &bench, shard(&issued));
        text.contains(&serial) && text.contains("Cessation Of Operation")
    };
    let is_revoked = || {
        let text = asked(&bench, &node, "-no_nonce");
        text.contains("device.pem: revoked") && text.contains("cessationOfOperation")
    };
    assert!(is_listed(&world) && is_revoked(), "it is destroyed");
    world.change(|descriptor| descriptor.lifted.extend(destroyed));
    assert!(is_listed(&world) && is_revoked(), "and then lifted");
    let query = CertificateQuery { state: Some(CertificateState::Revoked), ..CertificateQuery::default() };
    let revoked = world.app.certificates(Reader::Operator, &domain(), &query).expect("a page").items;
    assert_eq!(revoked.iter().map(|it| it.serial.to_uppercase()).collect::<Vec<_>>(), core::slice::from_ref(&serial));
    let new = world.certify(7, "ldevid", &bench.request("new", &[])).expect("nothing blocks it");
    bench.file("device.pem", certificate_pem(&new.certificate).as_bytes());
    assert!(asked(&bench, &node, "-no_nonce").contains("device.pem: good"));
}
