//! What changes a revocation list and what does not: other lists stay as they are, and requests in the meantime take
//! nothing off a list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ics_core::openpgp::signer::Signer as _;
use ics_node::app::{Requester, Revoker};
use ics_node::x509::{Reason, RevocationList, Revoked, issuer_id, read_revoked};
use rusqlite::Connection;

use crate::world::{
    CREATED, Shape, World, authority, claimed, controller, domain, introduction, member, of_lot, owner, recall,
    recall_of, recalled, status,
};

/// The number of the issuer's lists.
const SHARDS: u8 = 4;

/// The present list.
fn list(world: &World, shard: u8) -> Arc<[u8]> {
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    world.list(&issuer, shard).expect("a list").der
}

fn lists(world: &World) -> Vec<Arc<[u8]>> {
    (0..SHARDS).map(|shard| list(world, shard)).collect()
}

/// The numbers of the lists that contain the certificate of a device.
fn listed(world: &World, seed: u8) -> String {
    let serial = claimed(seed, 1);
    let stands = |list: &[u8]| list.windows(20).any(|octets| octets == serial.as_bytes());
    (0..SHARDS).filter(|shard| stands(&list(world, *shard))).map(|shard| shard.to_string()).collect()
}

/// Issues a certificate for each of these devices, on the list of its seed.
fn issue(world: &World, seeds: &[u8]) {
    let now = world.app.clock().now();
    let period = (now, now.plus_millis(86_400_000));
    seeds.iter().for_each(|seed| world.claim_period(*seed, 1, period, "ldevid"));
}

#[test]
fn a_recall_changes_the_lists_of_its_members_and_no_other() {
    let world = World::new();
    let group = recalled(None);
    world.submit(vec![
        of_lot(8, "L1", &[]),
        of_lot(9, "L2", &[]),
        member(10, &group),
        // It was once said to be of that lot too.
        of_lot(11, "L3", &[]),
        of_lot(11, "L1", &[]),
    ]);
    issue(&world, &[8, 9, 10, 11]);
    let before = lists(&world);
    world.submit(vec![recall("L1")]);
    assert_eq!([8, 9, 10, 11].map(|seed| listed(&world, seed)), ["0", "", "", "3"]);
    let after = lists(&world);
    assert_eq!((&before[1], &before[2]), (&after[1], &after[2]), "nobody on these is of that lot");
    world.submit(vec![recall_of(group)]);
    assert_eq!([9, 10].map(|seed| listed(&world, seed)), ["", "2"]);
    let last = lists(&world);
    assert_eq!((&after[0], &after[1], &after[3]), (&last[0], &last[1], &last[3]), "nobody on these is in that group");
}

#[test]
fn a_recall_of_more_than_are_looked_at_one_by_one_reaches_all_of_them() {
    let world = World::new();
    for round in 0..6 {
        let names: Vec<_> = (20..=220).map(|seed| (seed, format!("serial:SN-{seed}-{round}"))).collect();
        world.submit(names.iter().map(|(seed, name)| of_lot(*seed, "L1", &[name])).collect());
    }
    issue(&world, &[20, 220]);
    assert_eq!([20, 220].map(|seed| listed(&world, seed)), ["", ""]);
    world.submit(vec![recall("L1")]);
    assert_eq!([20, 220].map(|seed| listed(&world, seed)), ["0", "0"]);
}

/// Certificates stay on the list that they name (RFC 5280, 4.2.1.13).
#[test]
fn another_division_leaves_nothing_off_the_list_that_a_certificate_names() {
    for (before, after) in [(1, 4), (4, 1)] {
        let mut world = World::of(&Shape { shards: before, ..Shape::new() });
        world.submit((8..12).map(|seed| introduction(seed, &[])).collect());
        issue(&world, &[8, 9]);
        let url = "http://new.acme.example/x509";
        world.change(|descriptor| {
            let rules = descriptor.certificates.as_mut().expect("it issues");
            (rules.shards, rules.url) = (after, url.to_owned());
        });
        issue(&world, &[10, 11]);
        assert_eq!([8, 9, 10, 11].map(|seed| listed(&world, seed)), ["", "", "", ""]);
        let suspend = |seed| status(seed, &controller(), "security-controller", "suspended", &[]);
        world.submit((8..12).map(suspend).collect());
        assert_eq!([8, 9, 10, 11].map(|seed| listed(&world, seed)), ["0", "01", "02", "03"], "{before} to {after}");
        // Read anew instead of followed.
        world.change(|descriptor| descriptor.description = "What Acme makes, still".to_owned());
        assert_eq!([8, 9, 10, 11].map(|seed| listed(&world, seed)), ["0", "01", "02", "03"], "{before} to {after}");
        let first = list(&world, 0);
        let names = |url: &str| first.windows(url.len()).any(|octets| octets == url.as_bytes());
        assert!(names(url) && names(&Shape::new().url), "the list is at both places");
        let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
        assert!(world.list(&issuer, SHARDS).is_err(), "there never was a fifth");
    }
}

fn suspend(seed: u8) -> Vec<u8> {
    status(seed, &controller(), "security-controller", "suspended", &[])
}

/// Waits for the expiry of a device's certificate that a list has shown as revoked.
fn end_listed(world: &World, seed: u8) {
    let now = world.app.clock().now();
    world.claim_period(seed, 1, (now, now.plus_millis(3_000)), "ldevid");
    world.submit(vec![suspend(seed)]);
    assert_eq!(listed(world, seed), "0");
    std::thread::sleep(std::time::Duration::from_millis(3_100));
}

/// RFC 5280, 3.3.
#[test]
fn what_has_ended_is_once_more_on_a_list() {
    let world = World::new();
    world.submit([8, 12, 16].map(|seed| introduction(seed, &[])).into());
    issue(&world, &[12, 16]);
    end_listed(&world, 8);
    world.submit(vec![suspend(12)]);
    assert_eq!([8, 12].map(|seed| listed(&world, seed)), ["0", "0"], "once after its end");
    world.submit(vec![suspend(16)]);
    assert_eq!([8, 12, 16].map(|seed| listed(&world, seed)), ["", "0", "0"], "and then no more");
}

/// The issuer had looked at the record a moment before.
#[test]
fn what_was_under_way_when_a_certificate_was_taken_back_is_on_hold_until_that_is_lifted() {
    let world = World::new();
    let claim = |number| {
        let now = world.app.clock().now();
        world.claim_period(7, number, (now, now.plus_millis(3_600_000)), "ldevid");
    };
    claim(2);
    let revoker = Revoker::Requester(Requester::Signer(controller().public_key().fingerprint()));
    world.revoke(&claimed(7, 2), revoker, Reason::PrivilegeWithdrawn).expect("a controller may");
    claim(1);
    assert_eq!(listed(&world, 7), "3", "nobody has lifted it");
    world.submit(vec![status(7, &owner(), "owner", "in-use", &[])]);
    assert_eq!(listed(&world, 7), "", "its owner has");
}

/// Also for a node that does not know when the last list was made, since it was stopped meanwhile or got other rules.
#[test]
fn what_has_ended_while_a_node_was_away_is_once_more_on_a_list() {
    let mut world = World::new();
    world.submit([8, 12].map(|seed| introduction(seed, &[])).into());
    issue(&world, &[12]);
    end_listed(&world, 8);
    world.change(|descriptor| descriptor.description.push('!'));
    assert_eq!(listed(&world, 8), "0", "once after its end");
    world.submit(vec![suspend(12)]);
    assert_eq!([8, 12].map(|seed| listed(&world, seed)), ["", "0"], "and then no more");
}

/// While a record cannot be read, for lack of memory or files, there is no list; the next one has everything.
#[test]
fn what_could_not_be_looked_at_is_looked_at_the_next_time() {
    let world = World::new();
    issue(&world, &[7]);
    assert_eq!(listed(&world, 7), "");
    world.submit(vec![suspend(7)]);
    let log = Connection::open(world.database()).expect("opens");
    // The descriptor and three certificates come before the introduction of the device.
    let introduced = "SELECT position, header FROM entry ORDER BY position LIMIT 1 OFFSET 4";
    let introduced = log.query_row(introduced, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let (position, header) = introduced.expect("it is there");
    let write = |header: &[u8]| {
        let written = log.execute("UPDATE entry SET header = ?2 WHERE position = ?1", (position, header));
        assert_eq!(written.expect("is written"), 1);
    };
    write(b"unreadable");
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    let refused = world.list(&issuer, 3).expect_err("a record cannot be read");
    assert_eq!(refused.code().as_str(), "internal", "{refused}");
    write(&header);
    assert_eq!(listed(&world, 7), "3");
}

/// Stops the other threads when the test ends, however it ends.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_request_meanwhile_takes_nothing_off_a_list_and_puts_nothing_on() {
    let mut world = World::new();
    let others: Vec<u8> = (12..=40).collect();
    world.submit(others.iter().map(|seed| introduction(*seed, &[])).collect());
    issue(&world, &others);
    let done = AtomicBool::new(false);
    let (app, issuer) = (world.app.clone(), issuer_id(&authority(&[&world.issuer, &world.root])));
    let ask = || {
        while !done.load(Ordering::Relaxed) {
            for shard in 0..SHARDS {
                app.list_here(&domain(), &issuer, shard).expect("a list");
            }
        }
    };
    std::thread::scope(|scope| {
        let _end = End(&done);
        for _ in 0..3 {
            scope.spawn(ask);
        }
        for seed in 12..20 {
            let on = (seed % SHARDS).to_string();
            let suspended = world.submit(vec![status(seed, &controller(), "security-controller", "suspended", &[])]);
            assert_eq!(listed(&world, seed), on, "device {seed}");
            // With a new descriptor, all lists are read anew.
            world.change(|descriptor| descriptor.description = format!("What Acme makes, {seed}"));
            assert_eq!(listed(&world, seed), on, "device {seed}, read anew");
            world.submit(vec![status(seed, &owner(), "owner", "in-use", &suspended)]);
            assert_eq!(listed(&world, seed), "", "device {seed}, lifted");
        }
    });
}

/// RFC 5280, 5.2.3: even if a clock that was ahead was put right, or the node was restored from a backup.
#[test]
fn a_list_has_a_larger_number_than_all_before() {
    let world = World::new();
    issue(&world, &[7]);
    let by = authority(&[&world.issuer, &world.root]);
    let number = |world: &World| read_revoked(&list(world, 3), &by).expect("a list").number.expect("a number");
    let first = number(&world);
    world.submit(vec![suspend(7)]);
    let second = number(&world);
    assert!(first < second && number(&world) == second, "{first} {second}");
    // As after an hour in which the clock was ahead.
    let file = world.database().with_file_name("heads").join(".lists");
    let kept = std::fs::read_to_string(&file).expect("it is kept");
    assert!(kept.starts_with(&second.to_string()), "{kept}");
    let ahead = second + 3_600_000;
    let key = world.key.clone();
    std::fs::write(&file, format!("{ahead} 0\n")).expect("writes");
    let world = world.with_key(key);
    let third = number(&world);
    assert_eq!(third, ahead + 1);
    let key = world.key.clone();
    assert!(third < number(&world.with_key(key)), "over a restart");
}

/// After a clock was ahead, the log's time stands still for as long, ahead of the lists' time.
#[test]
fn what_is_revoked_is_so_by_the_time_of_the_list() {
    let world = World::new();
    let (now, by) = (world.app.clock().now().whole_seconds(), authority(&[&world.issuer, &world.root]));
    let (earlier, later) = (CREATED, now.plus_millis(7_200_000));
    let (first, second) = (claimed(7, 1), claimed(7, 2));
    let at = |at| Revoked { at, reason: Reason::PrivilegeWithdrawn };
    let list = RevocationList {
        authority: &by,
        urls: &[],
        revoked: &BTreeMap::from([(first, at(earlier)), (second, at(later))]),
        number: 1,
        this_update: now,
        next_update: now.plus_millis(86_400_000),
    };
    let read = read_revoked(&list.sign(&*world.key.signer).expect("signs"), &by).expect("a list");
    assert_eq!(read.revoked, BTreeMap::from([(first, at(earlier)), (second, at(now))]));
}
