//! Erasing what statements say: it disappears from home and mirrors, what it blocked stays blocked, and copies made
//! before and after agree.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Node, eventually, ics};
use crate::town::{CODE, DEVICES, LABELS, PLANT, Town, said};
use crate::{copies, devices_csv, spki, tools};

const LOT: &str = "Lot 2026-11";
const SECRET: &str = "taken home by Erika Mustermann";

/// A home, and a mirror from the beginning.
struct Office {
    home: Node,
    early: Node,
    directory: TempDir,
}

impl Office {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut home = Node::init(directory.path(), "manufacturer", DEVICES);
        let mut early = Node::init(directory.path(), "certification", LABELS);
        home.serve();
        early.mirror(DEVICES, &home);
        early.serve();
        let list = home.write("devices.csv", devices_csv(1, 3));
        home.json(&["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-11"]);
        home.json(&["publish", "--group", LOT, "--select", "model=P7", "--select", "lot=2026-11"]);
        Self { home, early, directory }
    }

    /// Another mirror, which never sees what is already erased.
    fn late(&self) -> Node {
        let mut late = Node::init(self.directory.path(), "developer", CODE);
        late.mirror(DEVICES, &self.early);
        late.serve();
        late.catches_up(&self.home, DEVICES);
        late
    }

    fn status(&self, status: &str, thing: &str, reason: &str) -> u64 {
        said(&self.home.json(&["status", status, thing, "--reason", reason, "--yes"]))
    }

    fn erase(&self, index: u64) -> Value {
        self.home.json(&["erase", "--entry", &index.to_string(), "--yes"])
    }

    fn id_of(&self, serial: &str) -> String {
        let record = self.home.get(&format!("/v1/domains/{DEVICES}/identities/serial:{serial}"));
        record["record"]["id"].as_str().expect("an id").to_owned()
    }
}

/// What a node says about a thing, without the times.
fn record(node: &Node, thing: &str) -> Value {
    let mut answer = node.get(&format!("/v1/domains/{DEVICES}/identities/{thing}"));
    answer["record"].as_object_mut().expect("a record").remove("at");
    answer["record"].take()
}

fn effect(node: &Node, thing: &str) -> Value {
    record(node, thing)["status"]["effect"].clone()
}

/// The names of the files in a directory and below that contain these bytes.
fn holding(directory: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if fs::read(&path).is_ok_and(|all| all.windows(bytes.len()).any(|part| part == bytes.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[track_caller]
fn is_gone(node: &Node, bytes: &str) {
    eventually(&format!("{bytes} is in no file of {}", node.url), || {
        let found = holding(&node.home.join("data"), bytes);
        if !found.is_empty() {
            println!("still in {found:?}");
        }
        found.is_empty().then_some(())
    });
}

#[test]
fn what_is_erased_is_gone_and_blocks_as_before() {
    let mut office = Office::new();
    let (first, second, third) = (office.id_of("SN-0001"), office.id_of("SN-0002"), office.id_of("SN-0003"));
    let standing = office.status("suspended", "serial:SN-0001", SECRET);
    let replaced = office.status("suspended", "serial:SN-0002", SECRET);
    office.status("retired", "serial:SN-0002", "worn out");
    said(&office.home.json(&["status", "suspended", "--group", LOT, "--reason", "the battery may overheat", "--yes"]));
    let history = office.home.json(&["history", "serial:SN-0003"]);
    let introduced = history["items"].as_array().expect("items").iter().find(|it| it["act"] == "identity");
    let introduced = introduced.expect("an introduction")["index"].as_u64().expect("an index");
    let things = [&first, &second, &third];
    let before = things.map(|thing| effect(&office.home, thing));
    assert_eq!(before, [json!("blocks"), json!("blocks"), json!("blocks")]);
    office.early.catches_up(&office.home, DEVICES);
    assert!(!holding(&office.home.home.join("data"), SECRET).is_empty(), "the test can see it");

    let body = office.home.get(&format!("/v1/domains/{DEVICES}/entries/{standing}"))["body"].clone();
    let erased = office.erase(standing);
    assert_eq!(erased["erasure"]["status"], "suspended", "the block is restated: {erased}");
    assert_eq!(office.erase(replaced)["erasure"]["status"], "suspended", "it would block if what replaced it fell");
    assert_eq!(office.erase(introduced)["erasure"]["attributes"]["lot"], "2026-11");
    office.early.catches_up(&office.home, DEVICES);
    for node in [&office.home, &office.early] {
        is_gone(node, SECRET);
        is_gone(node, "SN-0003");
        assert_eq!(things.map(|thing| effect(node, thing)), before, "{}", node.url);
    }
    what_is_left_is_shown(&office, standing, &first, &third);
    it_is_never_admitted_again(&office, &body);
    other_things_are_not_erased(&office, &first);

    // A mirror that joins now gets only leaves, and judges later entries as the others did.
    let late = office.late();
    for thing in things {
        assert_eq!(record(&late, thing), record(&office.home, thing), "late and home of {thing}");
        assert_eq!(record(&office.early, thing), record(&office.home, thing), "early and home of {thing}");
    }
    let (size, root) = copies::checkpoint(&office.home, DEVICES);
    for mirror in [&office.early, &late] {
        eventually("one root", || (copies::checkpoint(mirror, DEVICES) == (size, root)).then_some(()));
        assert_eq!(mirror.holds(DEVICES).expect("held")["alarms"], json!([]), "{}", mirror.url);
    }

    // After a kill nothing comes back, and nothing is left over.
    office.home.kill();
    office.home.ics(&["fsck"]).ok();
    office.home.serve();
    is_gone(&office.home, SECRET);
    assert_eq!(things.map(|thing| effect(&office.home, thing)), before);
    office.home.kill();
    office.home.ics(&["fsck"]).ok();
}

/// The alarms about copies of what was erased, in a domain of a node.
fn copies_alarmed(node: &Node, domain: &str) -> Vec<String> {
    let held = node.holds(domain).unwrap_or_default();
    let alarms = held["alarms"].as_array().cloned().unwrap_or_default();
    let alarms = alarms.iter().filter(|alarm| alarm["kind"] == "copy-of-erased");
    alarms.filter_map(|alarm| alarm["text"].as_str().map(str::to_owned)).collect()
}

/// The owners of a domain can erase what is in it, but nobody can erase what others have adopted from it.
#[test]
fn holders_of_a_copy_of_what_was_erased_are_told_and_so_is_its_home() {
    let town = Town::found();
    town.maker.json(&["publish", "--spki", &spki(2_100), "--serial", "SN-2100", "--model", "P8"]);
    let stolen = said(&town.maker.json(&["status", "stolen", "serial:SN-2100", "--reason", SECRET, "--yes"]));
    town.adopt(&town.maker, "serial:SN-2100");
    let theirs = ["peer", "add", "theirs", PLANT, "--url", &town.integrator.url, "--interval-ms", "100", "--yes"];
    town.maker.ics(&theirs).ok();
    town.maker.catches_up(&town.integrator, PLANT);
    assert_eq!(copies_alarmed(&town.maker, DEVICES), Vec::<String>::new());

    town.maker.json(&["erase", "--entry", &stolen.to_string(), "--yes"]);
    let history = town.integrator.json(&["history", "serial:SN-2100", "--domain", PLANT]);
    let taken = history["items"].as_array().expect("items").iter().find(|it| it["status"] == "stolen");
    let index = taken.expect("it was taken over")["index"].as_u64().expect("an index");
    let advice = format!("`ics erase --domain {PLANT} --entry {index}`");
    for (node, domain) in [(&town.maker, DEVICES), (&town.integrator, PLANT)] {
        let told = eventually(&format!("{domain} is told"), || copies_alarmed(node, domain).pop());
        assert!(told.starts_with(&format!("entry {stolen} of {DEVICES} was erased")), "{told}");
        assert!(told.contains(&advice) && !told.contains("SN-2100"), "{told}");
        assert_eq!(told.contains("copied from theirs"), domain == DEVICES, "{told}");
        assert_eq!(copies_alarmed(node, domain).len(), 1, "once");
    }
    town.integrator.json(&["erase", "--domain", PLANT, "--entry", &index.to_string(), "--yes"]);
    for (node, domain) in [(&town.maker, DEVICES), (&town.integrator, PLANT)] {
        eventually(&format!("{domain} is told no longer"), || copies_alarmed(node, domain).is_empty().then_some(()));
    }
}

fn what_is_left_is_shown(office: &Office, erased: u64, first: &str, third: &str) {
    let history = office.home.ics(&["history", first]).ok();
    assert!(history.contains("erased") && history.contains("suspended"), "{history}");
    assert!(!history.contains("Mustermann"), "{history}");
    let lookup = tools::fetch(&format!("{}/v1/domains/{DEVICES}/identities/serial:SN-0003", office.home.url), &[]);
    assert_eq!(lookup.0, 404, "its name is gone");
    let entry = tools::fetch(&format!("{}/v1/domains/{DEVICES}/entries/{erased}", office.home.url), &[]);
    assert_eq!(entry.0, 410, "{}", String::from_utf8_lossy(&entry.1));
    // Evidence of what is left is valid.
    for thing in [first, third] {
        let pack = office.directory.path().join("pack.json");
        let file = pack.to_str().expect("text");
        office.home.json(&["export", thing, "-o", file]);
        let report = ics(&office.directory.path().join("nobody"), &["--json", "verify", "--document", file]).json();
        assert_eq!(report["record"]["status"]["effect"], "blocks", "{report}");
        let refused = report["statements"].as_array().expect("lines").iter().find(|line| line.get("refused").is_some());
        assert!(refused.is_none(), "{report}");
    }
}

fn it_is_never_admitted_again(office: &Office, body: &Value) {
    let body = STANDARD.decode(body.as_str().expect("a body")).expect("base64");
    let file = office.home.write("again.pgp", body);
    for node in [&office.home, &office.early] {
        let url = format!("{}/v1/domains/{DEVICES}/statements", node.url);
        let (_, answer) = tools::post(&url, "application/octet-stream", &file);
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["results"][0]["problem"]["type"], "urn:ics:problem:statement-erased", "{answer}");
    }
}

fn other_things_are_not_erased(office: &Office, first: &str) {
    // Entry 0 is the descriptor, entry 1 the certificate of the signer.
    for index in ["0", "1"] {
        let refused = office.home.ics(&["erase", "--entry", index, "--yes"]);
        assert!(refused.code != 0 && refused.stderr.contains("no statement"), "{index}: {}", refused.stderr);
    }
    let grant = said(&office.home.json(&["grant", "owner", first, "--to", &office.early.signer(), "--yes"]));
    let group = office.home.json(&["list", "--kind", "group"])["items"][0]["id"].clone();
    let history = office.home.json(&["history", group.as_str().expect("an id")]);
    let of_group = history["items"][0]["index"].as_u64().expect("an index");
    for index in [grant, of_group] {
        let refused = office.home.ics(&["erase", "--entry", &index.to_string(), "--yes"]);
        assert!(refused.code != 0 && refused.stderr.contains("cannot be erased"), "{index}: {}", refused.stderr);
    }
    // Only the owners can erase.
    let stranger = office.home.ics(&["erase", "--entry", "2", "--owner", "signer", "--yes"]);
    assert!(stranger.code != 0 && stranger.stderr.contains("not one of the owners"), "{}", stranger.stderr);
}
