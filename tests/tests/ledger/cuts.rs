//! The power is cut at any write: the disk is rebuilt as it would then be, and opened.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ics_core::log::checkpoint::Checkpoint;

use crate::author::{Author, DOMAIN};
use crate::client::Client;
use crate::disk::{Call, Disk, read_trace};
use crate::process::Process;
use crate::promises::Promises;
use crate::{Dice, count, scratch, shim};

/// Lives of the traced node; each but the last ends in order.
const LIVES: usize = 3;
/// Receipts that each of two clients gets in a life.
const RECEIPTS: usize = 30;

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_write() {
    let directory = scratch();
    let author = Author::new(&directory.path().join("home"));
    let trace = directory.path().join("trace");
    let mut clients: Vec<_> = (1..=2).map(|number| Client::new(&author, directory.path(), number)).collect();
    let environment = shim::environment(&author.home, Some(&trace), None);
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for life in 1..=LIVES {
        let node = Process::start(&author.home, &environment).expect("starts");
        work(&node, &mut clients, &trace);
        if life == LIVES { node.kill() } else { node.stop() }
    }
    let store = author.open(&author.home.join("data")).expect("opens");
    let domain = store.domain(&author.domain).expect("the domain").number;
    let promises = Promises::new(clients.iter().map(Client::ledger), &author.home_key(&store, domain));
    promises.hold(&store, domain, u64::MAX);
    drop(store);

    let calls = read_trace(&trace);
    let cuts = count("ICS_LEDGER_CUTS", 1_000);
    let tried = cut_everywhere(&author, &calls, &promises, cuts);
    println!("{tried} power cuts in {} calls: all of {} statements kept their promises", calls.len(), promises.len());
}

/// A node killed between a commit and its sync leaves data that need not be on disk. Its next start brings the head's
/// file up to date with that data: a power cut after this must not leave the file ahead of the database. After a failed
/// sync, only what is written again reaches the disk.
#[test]
fn what_a_killed_node_has_left_is_synced_before_the_heads_file_is_made_good() {
    let directory = scratch();
    let author = Author::new(&directory.path().join("home"));
    let mut client = Client::new(&author, directory.path(), 1);
    for _ in 0..9 {
        let node = Process::start(&author.home, &[]).expect("starts");
        client.submit(&node.url, || 0, |receipts| receipts >= RECEIPTS);
        node.kill();
        // If the kill came late, the node was idle for a moment and has emptied the log.
        if fs::metadata(author.home.join("data/ics.db-wal")).is_ok_and(|log| log.len() > 0) {
            break;
        }
    }
    fs::remove_file(author.home.join("data/heads").join(DOMAIN)).expect("the kill came before the file");
    let trace = directory.path().join("trace");
    let environment = shim::environment(&author.home, Some(&trace), None);
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Process::start(&author.home, &environment).expect("starts").kill();
    let calls = read_trace(&trace);
    let synced = calls.iter().position(|call| call.syncs("data/ics.db-wal")).expect("it is synced");
    let written = calls.iter().position(|call| call.begins("data/ics.db-wal")).expect("it is written again");
    let made_good = calls.iter().position(|call| call.renames("data/heads/.new")).expect("the file is made good");
    assert!(written < synced, "call {written} writes the log again, call {synced} syncs it");
    assert!(synced < made_good, "call {synced} syncs the log, call {made_good} makes the head's file good");
}

/// Clients submit; each promise is marked with the length of the trace at that time.
fn work(node: &Process, clients: &mut [Client<'_>], trace: &Path) {
    let clock = || fs::metadata(trace).expect("a trace").len();
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || {
                client.submit_last_again();
                client.submit(&node.url, clock, |receipts| receipts >= RECEIPTS)
            });
        }
    });
    // The index is merged when nothing has come in for two seconds.
    thread::sleep(Duration::from_millis(2_100));
}

/// Cuts the power at this many places of the trace, or more if it is longer, and opens what is left.
fn cut_everywhere(author: &Author, calls: &[Call], promises: &Promises, cuts: usize) -> usize {
    let mut dice = Dice(count("ICS_LEDGER_SEED", 1) as u64);
    let mut disk = Disk::initial();
    let each = cuts.div_ceil(calls.len()).max(1);
    let step = (calls.len() / cuts).max(1);
    let mut tried = 0;
    for (place, call) in calls.iter().enumerate() {
        disk.take(call);
        if place % step == 0 {
            for _ in 0..each {
                let seed = dice.roll();
                tried += 1;
                opens(author, &disk, call, promises, seed);
            }
        }
    }
    assert!(tried >= cuts, "only {tried} cuts");
    tried
}

/// Cuts the power after a call, and opens what is left.
pub(crate) fn opens(author: &Author, disk: &Disk, call: &Call, promises: &Promises, seed: u64) {
    let image = scratch();
    disk.cut(&mut Dice(seed), image.path());
    let data = image.path().join("data");
    let signed = promises.signed_at(call.mark);
    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // The head's file first, since opening the store updates it.
        let on_file = head_on_file(&data.join("heads").join(DOMAIN));
        assert!(on_file >= signed, "{signed} entries were signed for, the head's file has {on_file}");
        let store = author.open(&data).expect("the store opens");
        match store.domain(&author.domain) {
            Ok(info) => promises.hold(&store, info.number, call.mark),
            Err(_) => assert_eq!(signed, 0, "the domain is gone"),
        }
    }));
    if tried.is_err() {
        let kept = image.keep();
        panic!("a power cut behind byte {} of the trace, seed {seed}; the disk is in {}", call.mark, kept.display());
    }
}

/// The number of entries under the checkpoint in a head's file, 0 if there is none.
fn head_on_file(path: &Path) -> u64 {
    match fs::read_to_string(path) {
        Err(_) => 0,
        Ok(note) => Checkpoint::claimed(&note).expect("a checkpoint, never a part of one").size,
    }
}
