//! The store of the first release, made by `tests/assets/first-release.sh`, under the present program.

use std::fs;
use std::path::Path;
use std::process::Command;

use ics_core::log::checkpoint::Checkpoint;
use serde_json::Value;

use crate::author::{Author, DOMAIN};
use crate::client::Client;
use crate::process::{ICS, Process};
use crate::promises::Promises;
use crate::scratch;

/// Runs a command in a home directory against a node; it must succeed. Returns its JSON.
fn ics(home: &Path, node: &str, arguments: &[&str]) -> Value {
    let output = Command::new(ICS).arg("--home").arg(home).args(["--json", "--node", node]).args(arguments).output();
    let output = output.expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_first_release_is_taken_over_in_place() {
    let directory = scratch();
    let asset = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/first-release.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(&asset).arg("-C").arg(directory.path()).status();
    assert!(unpacked.expect("tar must be installed").success());
    let home = directory.path().join("home");
    let note = fs::read_to_string(home.join("data/heads").join(DOMAIN)).expect("a head");
    let before = Checkpoint::claimed(&note).expect("a checkpoint");

    let node = Process::start(&home, &[]).expect("starts");
    for (device, status) in [("serial:SN-2", "stolen"), ("serial:SN-300", "suspended")] {
        let view = ics(&home, &node.url, &["lookup", device]);
        assert_eq!(view["records"][0]["record"]["status"]["name"], status, "{view}");
    }
    let author = Author::of(&home);
    let mut clients = [Client::new(&author, directory.path(), 1)];
    let receipts = clients[0].submit(&node.url, || 1, |receipts| receipts >= 20);
    assert!(receipts >= 20, "it takes statements");
    ics(&home, &node.url, &["fsck"]);
    node.stop();

    let store = author.open(&home.join("data")).expect("opens");
    let domain = store.domain(&author.domain).expect("the domain").number;
    assert_eq!(store.root_at(domain, before.size).expect("reached"), before.root, "the log goes on from where it was");
    let promises = Promises::new(clients.iter().map(Client::ledger), &author.home_key(&store, domain));
    promises.hold(&store, domain, u64::MAX);
}
