//! A home that is killed in the middle of submissions, and restarted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::node::{Node, eventually};
use crate::town::DEVICES;
use crate::{copies, devices_csv, spki};

/// Concurrent submitters.
const SUBMITTERS: u32 = 3;
/// How many receipts must be out before the node is killed.
const BEFORE_THE_END: usize = 12;
/// Rows of the list that is being published when the node is killed again: several batches, so that some are still
/// missing when the first is in the log.
const ROWS: u32 = 30_000;

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let homes = tempfile::tempdir().expect("a directory");
    let mut home = Node::init(homes.path(), "manufacturer", DEVICES);
    home.serve();
    let receipts = killed_while_devices_are_published(&mut home);
    home.serve();
    every_receipt_holds(&home, &receipts);
    a_list_is_published_exactly_once(&mut home);
    every_receipt_holds(&home, &receipts);
}

/// The receipts that submitters had received when the node was killed.
fn killed_while_devices_are_published(home: &mut Node) -> Vec<Value> {
    let receipts = Mutex::new(Vec::new());
    let dead = AtomicBool::new(false);
    let (home_directory, child) = (home.home.clone(), home);
    std::thread::scope(|scope| {
        for submitter in 0..SUBMITTERS {
            let (receipts, dead, home) = (&receipts, &dead, &home_directory);
            scope.spawn(move || {
                for number in 0.. {
                    let (key, serial) = (spki(submitter * 10_000 + number), format!("K{submitter}-{number}"));
                    let ran = crate::node::ics(home, &["--json", "publish", "--spki", &key, "--serial", &serial]);
                    if ran.code != 0 {
                        assert!(dead.load(Ordering::SeqCst), "refused while the node runs: {}", ran.stderr);
                        assert_eq!(ran.code, 4, "the node cannot be reached: {}", ran.stderr);
                        break;
                    }
                    receipts.lock().expect("a lock").push(ran.json()["receipt"].clone());
                }
            });
        }
        eventually("receipts", || (receipts.lock().ok()?.len() >= BEFORE_THE_END).then_some(()));
        dead.store(true, Ordering::SeqCst);
        child.kill();
    });
    receipts.into_inner().expect("a lock")
}

fn every_receipt_holds(home: &Node, receipts: &[Value]) {
    assert!(receipts.len() >= BEFORE_THE_END);
    let (size, root) = copies::checkpoint(home, DEVICES);
    let leaves = copies::leaves(home, DEVICES, size);
    assert_eq!(copies::root(&leaves), root);
    receipts.iter().for_each(|receipt| copies::holds(home, DEVICES, &leaves, receipt));
}

/// The node is killed during `ics publish --from`; the same command continues, and nothing is in the log twice.
fn a_list_is_published_exactly_once(home: &mut Node) {
    let list = home.write("list.csv", devices_csv(100_000, ROWS));
    let before = copies::checkpoint(home, DEVICES).0;
    let directory = home.home.clone();
    let arguments = ["--json", "publish", "--from", list.as_str(), "--model", "P7"];
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| crate::node::ics(&directory, &arguments));
        eventually("some of the list is in the log", || (copies::checkpoint(home, DEVICES).0 > before).then_some(()));
        home.kill();
        publishing.join().expect("ends").ends_with(4);
    });
    home.serve();
    let ended = home.json(&arguments[1..]);
    let number = |name: &str| ended[name].as_u64().expect("a number");
    assert_eq!(number("published") + number("already"), u64::from(ROWS), "{ended}");
    assert_eq!(ended["refused"], json!(0), "{ended}");
    assert_eq!(copies::checkpoint(home, DEVICES).0, before + u64::from(ROWS), "each row once");
}
