//! The real node on a disk that is full or breaks, and what is left of it when the power is then cut.

use std::fs;
use std::path::Path;

use crate::author::Author;
use crate::client::Client;
use crate::cuts::opens;
use crate::disk::{Disk, read_trace};
use crate::process::Process;
use crate::promises::Promises;
use crate::{Dice, count, scratch, shim};

/// Power cuts at the end of each node's life.
const CUTS: usize = 8;

#[test]
fn a_node_whose_writes_fail_keeps_its_promises() {
    let directory = scratch();
    let author = Author::new(&directory.path().join("home"));
    let mut dice = Dice(count("ICS_LEDGER_SEED", 1) as u64);
    let (mut acknowledged, mut refused) = (0, 0);
    for node in 0..count("ICS_LEDGER_BROKEN", 16) {
        let fault = match node % 4 {
            0 => format!("s {} {} {}", [5, 28][node / 4 % 2], 8 + dice.below(40), 1 + dice.below(2)),
            1 => format!("w 28 {} {}", 30 + dice.below(200), 1 + dice.below(50)),
            2 => format!("w 5 {} 1", 30 + dice.below(200)),
            _ => format!("n 28 {} 2", 6 + dice.below(20)),
        };
        let (kept, failed) = a_life(&author, &directory.path().join(format!("{node}")), &fault, &mut dice);
        acknowledged += kept;
        refused += usize::from(failed);
    }
    println!("{acknowledged} statements acknowledged by nodes of which {refused} failed; none lost");
    assert!(refused > 0, "no fault was met");
}

/// Runs one node with a fault; returns how many statements it acknowledged, and whether it refused any.
fn a_life(author: &Author, directory: &Path, fault: &str, dice: &mut Dice) -> (usize, bool) {
    let home = directory.join("home");
    copy(&author.home, &home);
    let trace = directory.join("trace");
    let environment = shim::environment(&home, Some(&trace), Some(fault.to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut clients = [Client::new(author, directory, 1)];
    let mut failed = true;
    if let Some(node) = Process::start(&home, &environment) {
        let clock = || fs::metadata(&trace).expect("a trace").len();
        // A full disk has space again after a while; a broken one keeps the node silent.
        failed = (0..4).any(|_| clients[0].submit(&node.url, clock, |receipts| receipts >= 60) < 60);
        node.kill();
    }
    let data = home.join("data");
    let store = author.open(&data).expect("opens");
    let Ok(info) = store.domain(&author.domain) else { return (0, failed) };
    if info.entry0.is_none() {
        return (0, failed);
    }
    let promises = Promises::new(clients.iter().map(Client::ledger), &author.home_key(&store, info.number));
    promises.hold(&store, info.number, u64::MAX);
    drop(store);
    let calls = read_trace(&trace);
    let mut disk = Disk::initial();
    for (place, call) in calls.iter().enumerate() {
        disk.take(call);
        if place + CUTS >= calls.len() {
            opens(author, &disk, call, &promises, dice.roll());
        }
    }
    (promises.len(), failed)
}

/// Copies a home directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("named"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
