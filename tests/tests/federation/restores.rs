//! A home that was restored from a copy, or lost its store: with mirrors, without a network, and with nobody who has
//! what was lost.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, eventually, ics};
use crate::town::{CODE, DEVICES, LABELS};
use crate::{copies, devices_csv, tools};

/// A home and a mirror of it.
struct Pair {
    home: Node,
    mirror: Node,
    directory: TempDir,
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut home = Node::init(directory.path(), "manufacturer", DEVICES);
        let mut mirror = Node::init(directory.path(), "certification", LABELS);
        home.serve();
        mirror.mirror(DEVICES, &home);
        mirror.serve();
        let pair = Self { home, mirror, directory };
        pair.publish(1, 4);
        pair
    }

    fn publish(&self, first: u32, count: u32) -> u64 {
        publish(&self.home, first, count);
        self.mirror.catches_up(&self.home, DEVICES);
        size(&self.home)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("text").to_owned()
    }

    /// Names the mirror as a peer of the home, which asks it when it is silent.
    fn introduce(&self) {
        let path = self.home.home.join("ics.toml");
        let text = fs::read_to_string(&path).expect("a configuration");
        fs::write(&path, format!("{text}\n[[peer]]\nname = \"mirror\"\nurl = \"{}\"\n", self.mirror.url))
            .expect("written");
    }

    /// The home publishes more, the mirror follows, and both have one log.
    fn go_on_together(&self, first: u32) {
        self.publish(first, 3);
        let (size, root) = copies::checkpoint(&self.home, DEVICES);
        eventually("the mirror has the home's root", || {
            (copies::checkpoint(&self.mirror, DEVICES) == (size, root)).then_some(())
        });
        let held = self.mirror.holds(DEVICES).expect("held");
        assert_eq!(held["alarms"], serde_json::json!([]), "{held}");
    }
}

#[test]
fn a_copy_is_emptied_and_copied_again() {
    let mut pair = Pair::new();
    let before = copies::checkpoint(&pair.mirror, DEVICES);
    let refused = pair.mirror.ics(&["domain", "recopy", DEVICES]).ends_with(5);
    assert!(refused.stderr.contains("stop the node first"), "{}", refused.stderr);
    pair.mirror.kill();
    pair.mirror.ics(&["domain", "recopy", "nobody.example"]).ends_with(3);
    let told = pair.mirror.json(&["domain", "recopy", DEVICES]);
    assert_eq!((&told["entries"], &told["copied_again"]), (&before.0.into(), &true.into()), "{told}");
    assert_eq!(pair.mirror.json(&["domain", "recopy", DEVICES])["entries"], 0, "it is empty");
    let sound = pair.mirror.json(&["fsck"]);
    assert_eq!((&sound["findings"], &sound["index"]), (&serde_json::json!([]), &serde_json::json!([])), "{sound}");
    pair.mirror.serve();
    pair.mirror.catches_up(&pair.home, DEVICES);
    eventually("all is there again", || (copies::checkpoint(&pair.mirror, DEVICES) == before).then_some(()));
    let said = fs::read_to_string(pair.mirror.home.join("err.log")).expect("its log");
    assert!(said.contains("a copy was emptied") && !said.contains("damaged"), "{said}");
    pair.go_on_together(5);
    pair.home.kill();
    let refused = pair.home.ics(&["domain", "recopy", DEVICES]).ends_with(1);
    assert!(refused.stderr.contains("this node is the home"), "{}", refused.stderr);
}

fn publish(home: &Node, first: u32, count: u32) {
    let list = home.write(&format!("devices-{first}.csv"), devices_csv(first, count));
    assert_eq!(home.json(&["publish", "--from", &list])["published"], count);
}

fn size(node: &Node) -> u64 {
    node.holds(DEVICES).expect("held")["size"].as_u64().expect("a size")
}

fn state(told: &Value) -> &str {
    told["domains"][0]["state"].as_str().expect("a state")
}

#[test]
fn what_was_lost_comes_back_from_a_mirror() {
    let mut pair = Pair::new();
    let copy = pair.path("copy");
    pair.home.json(&["backup", &copy]);
    let size_before = pair.publish(10, 5);
    pair.home.kill();
    let told: Value =
        serde_json::from_str(&pair.home.ics(&["--json", "restore", &copy]).ends_with(1).stdout).expect("JSON");
    assert_eq!(state(&told), "silent", "nobody was asked: {told}");
    assert!(told["put_back"]["replaced"].is_string(), "the former store is kept: {told}");

    silent_nodes_say_so(&mut pair.home);
    pair.introduce();
    pair.home.serve();
    assert_eq!(size(&pair.home), size_before, "it is ready only when it has everything again");
    pair.go_on_together(20);
}

/// Nothing is admitted and no checkpoint is served; the node stays up.
fn silent_nodes_say_so(home: &mut Node) {
    home.serve_until("/livez");
    let list = home.write("more.csv", devices_csv(100, 1));
    let refused = home.ics(&["publish", "--from", &list]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let (status, answer) = tools::fetch(&format!("{}/v1/domains/{DEVICES}/checkpoint", home.url), &[]);
    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(tools::fetch(&format!("{}/readyz", home.url), &[]).0, 503);
    assert!(home.metrics().contains("ics_ready 0\n"), "whoever watches it sees that");
    home.kill();
}

#[test]
fn a_store_that_is_gone_comes_back_from_a_mirror() {
    let mut pair = Pair::new();
    let size_before = size(&pair.home);
    pair.introduce();
    pair.home.kill();
    for file in ["ics.db", "ics.db-wal", "ics.db-shm", "index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(pair.home.home.join("data").join(file));
    }
    pair.home.serve();
    assert_eq!(size(&pair.home), size_before);
    pair.go_on_together(20);
}

#[test]
fn what_was_lost_comes_back_without_a_network() {
    let mut pair = Pair::new();
    let (copy, carried) = (pair.path("copy"), pair.path("carried"));
    pair.home.json(&["backup", &copy, "--with-keys"]);
    let size_before = pair.publish(10, 5);
    pair.mirror.json(&["backup", &carried]);
    pair.home.kill();
    // The machine is lost with all its files, including the heads' files; the passphrase was kept elsewhere.
    let passphrase = fs::read(pair.home.home.join("passphrase")).expect("a passphrase");
    fs::remove_dir_all(&pair.home.home).expect("gone");
    fs::DirBuilder::new().mode(0o700).create(&pair.home.home).expect("made");
    let mut private = fs::File::options();
    let mut private =
        private.create_new(true).write(true).mode(0o600).open(pair.home.home.join("passphrase")).expect("made");
    private.write_all(&passphrase).expect("written");
    let told = pair.home.json(&["restore", &copy, "--from-copy", &carried]);
    assert_eq!((state(&told), &told["domains"][0]["size"]), ("current", &size_before.into()), "{told}");
    assert!(told["put_back"]["files"].as_array().expect("files").contains(&"ics.toml".into()), "{told}");
    pair.home.serve();
    pair.go_on_together(20);
}

#[test]
fn a_snapshot_is_silent_when_the_operator_says_so() {
    let mut pair = Pair::new();
    pair.home.kill();
    let told = pair.home.ics(&["--json", "restore", "--hold"]).ends_with(1);
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(state(&told), "silent", "{told}");
    let alone = pair.home.json(&["restore", "--alone", DEVICES]);
    assert_eq!(state(&alone), "current", "{alone}");
    assert_eq!(pair.home.json(&["restore"])["domains"], serde_json::json!([]), "nothing is left to do");
    pair.home.serve();
    pair.go_on_together(20);
}

#[test]
fn what_nobody_has_any_more_ends_an_epoch() {
    let mut pair = Pair::new();
    let copy = pair.path("copy");
    pair.home.json(&["backup", &copy]);
    let left = size(&pair.home);
    pair.mirror.kill();
    publish(&pair.home, 10, 5);
    let signed = size(&pair.home);
    pair.home.kill();
    let silent = pair.home.ics(&["restore", &copy]).ends_with(1).stdout;
    assert!(silent.contains(&format!("{left} of {signed} that it has signed")), "{silent}");
    let alone = pair.home.ics(&["restore", "--alone", DEVICES]).ends_with(5);
    assert!(alone.stderr.contains("silent"), "it knows that more was signed: {}", alone.stderr);
    // The owner's key is in a safe: an attempt that failed without it is repeated with it.
    let (owner, safe) = (pair.home.home.join("keys/owner.asc"), pair.directory.path().join("owner.asc"));
    fs::rename(&owner, &safe).expect("moved");
    let refused = pair.home.ics(&["restore", "--begin-anew", DEVICES]).ends_with(5);
    assert!(refused.stderr.contains("no key `owner`"), "{}", refused.stderr);
    assert!(!pair.home.home.join("keys/node-2.asc").exists(), "nothing is made without the owner");
    fs::rename(&safe, &owner).expect("moved back");
    let other = another_new_epoch(&pair);
    // Nobody knows what it has signed.
    pair.home.json(&["key", "make", "node-2"]);
    // If the rules named a key other than the node's, it would not start.
    let begin = ["restore", "--begin-anew", DEVICES];
    let refused = pair.home.ics(&[&begin[..], &["--descriptor", &other]].concat()).ends_with(1);
    assert!(refused.stderr.contains("names another key of the home than `node-3`"), "{}", refused.stderr);
    let place = pair.home.home.join(format!("domains/{DEVICES}.v2.pgp"));
    fs::copy(&other, &place).expect("copied");
    let begun = pair.home.ics(&[&["--json"], &begin[..]].concat()).json();
    assert_eq!(begun["key"], "node-3", "{begun}");
    let aside = place.with_extension("pgp.lost-1");
    assert_eq!(fs::read(aside).expect("kept aside"), fs::read(&other).expect("read"));
    assert_eq!((&begun["last_head"]["size"], &begun["index"]), (&left.into(), &left.into()), "{begun}");
    pair.home.serve();
    assert_eq!(pair.home.holds(DEVICES).expect("held")["descriptor"], 2);
    // The mirror had nothing of what was lost: for it, the log continues under a new key.
    pair.mirror.serve();
    pair.go_on_together(20);
    pair.home.kill();
    pair.home.serve();
    pair.home.ics(&["fsck"]).ok();
}

/// Nothing is lost, but the node's key has leaked or is old.
#[test]
fn a_healthy_home_gets_another_key_and_its_mirror_goes_on() {
    let mut pair = Pair::new();
    pair.home.kill();
    let refused = pair.home.ics(&["restore", "--begin-anew", DEVICES]).ends_with(1);
    assert!(refused.stderr.contains("--hold as well"), "{}", refused.stderr);
    let begun = pair.home.json(&["restore", "--hold", "--begin-anew", DEVICES]);
    assert_eq!(begun["key"], "node-2", "{begun}");
    pair.home.serve();
    pair.go_on_together(20);
    assert_eq!(pair.mirror.holds(DEVICES).expect("held")["descriptor"], 2);
    pair.home.kill();
    pair.home.ics(&["fsck"]).ok();
}

/// Its token is broken, say. Only a key that the command itself makes is sure to have signed nothing.
#[test]
fn a_home_whose_key_is_lost_goes_on_under_a_new_one() {
    let mut pair = Pair::new();
    pair.home.json(&["key", "make", "other"]);
    pair.home.kill();
    fs::remove_file(pair.home.home.join("keys/node.asc")).expect("removed");
    let text = fs::read_to_string(pair.home.home.join("ics.toml")).expect("a configuration");
    let name = |key: &str| {
        let named = text.replacen("[node]\n", &format!("[node]\nkey = \"{key}\"\n"), 1);
        pair.home.write("ics.toml", named);
    };
    name("other");
    let refused = pair.home.ics(&["restore", "--hold", "--begin-anew", DEVICES]).ends_with(1);
    assert!(refused.stderr.contains("has another key than `other`"), "{}", refused.stderr);
    name("spare");
    let refused = pair.home.ics(&["restore", "--begin-anew", DEVICES]).ends_with(5);
    assert!(refused.stderr.contains("no key `spare`"), "{}", refused.stderr);
    let begun = pair.home.json(&["restore", "--hold", "--begin-anew", DEVICES]);
    assert_eq!(begun["key"], "spare", "{begun}");
    assert!(!pair.home.home.join("unused-key").exists(), "it has signed");
    pair.home.serve();
    pair.go_on_together(20);
    assert_eq!(pair.mirror.holds(DEVICES).expect("held")["descriptor"], 2);
    pair.home.kill();
    pair.home.ics(&["fsck"]).ok();
}

/// One key must not sign two histories, and the copy knows nothing of the epoch that the first new key has signed.
#[test]
fn a_second_new_epoch_from_the_same_copy_takes_another_key() {
    let mut pair = Pair::new();
    let copy = pair.path("copy");
    pair.mirror.kill();
    pair.home.kill();
    pair.home.json(&["backup", &copy]);
    let begin = ["restore", "--hold", "--begin-anew", DEVICES];
    assert_eq!(pair.home.json(&begin)["key"], "node-2");
    pair.home.serve();
    publish(&pair.home, 10, 5);
    pair.home.kill();
    pair.home.ics(&["restore", &copy]).ends_with(1);
    let text = fs::read_to_string(pair.home.home.join("ics.toml")).expect("a configuration");
    assert!(text.contains("key = \"node-2\""), "{text}");
    pair.home.write("ics.toml", text.replace("key = \"node-2\"", "key = \"node\""));
    // The descriptor is the one with which the first epoch began, except for the key.
    let told = pair.home.ics(&["restore", "--begin-anew", DEVICES]).ends_with(0);
    assert!(told.stderr.contains("an earlier epoch was begun with that version"), "{}", told.stderr);
    let text = fs::read_to_string(pair.home.home.join("ics.toml")).expect("a configuration");
    assert!(text.contains("key = \"node-3\""), "{text}");
    assert!(!pair.home.home.join("unused-key").exists(), "it has signed");
    pair.home.serve();
    assert_eq!(pair.home.holds(DEVICES).expect("held")["descriptor"], 2);
    pair.home.kill();
    pair.home.ics(&["fsck"]).ok();
}

/// The descriptor for the same new epoch with another key, begun in a copy of the home directory.
fn another_new_epoch(pair: &Pair) -> String {
    let elsewhere = pair.directory.path().join("elsewhere");
    let copied = Command::new("cp").arg("-a").arg(&pair.home.home).arg(&elsewhere).status().expect("cp");
    assert!(copied.success());
    ics(&elsewhere, &["restore", "--begin-anew", DEVICES]).ok();
    elsewhere.join(format!("domains/{DEVICES}.v2.pgp")).to_str().expect("text").to_owned()
}

/// Its checkpoint waits for the witnesses, and must end the silence all the same.
#[test]
fn a_new_epoch_begins_where_witnesses_are_demanded() {
    let mut pair = Pair::new();
    let mut witness = Node::init(pair.directory.path(), "developer", CODE);
    let (key, origin) = (pair.home.key(), pair.home.origin());
    witness.ics(&["peer", "add", "home", "--key", &key, "--cosign", &origin]).ok();
    witness.serve();
    let (name, key) = (witness.name(), witness.key());
    pair.home.ics(&["peer", "add", &name, "--url", &witness.url, "--key", &key, "--witness"]).ok();
    pair.home.json(&["domain", "update", &format!("--add-witness={name}={key}"), "--quorum", "1"]);
    pair.home.json(&["domain", "submit"]);
    let copy = pair.path("copy");
    pair.home.json(&["backup", &copy]);
    publish(&pair.home, 10, 5);
    pair.home.kill();
    pair.home.ics(&["restore", &copy]).ends_with(1);
    witness.kill();
    pair.home.json(&["restore", "--begin-anew", DEVICES]);
    assert_eq!(pair.home.json(&["restore"])["domains"], serde_json::json!([]), "nothing is silent");
    pair.home.serve();
    assert_eq!(pair.home.holds(DEVICES).expect("held")["descriptor"], 3);
}

/// A node has one key for all its domains, so a domain that has lost nothing changes to it as well.
#[test]
fn a_node_with_two_domains_gives_both_the_new_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut home = Node::init(directory.path(), "manufacturer", DEVICES);
    home.serve();
    let node = format!("{}=node", home.name());
    home.kill();
    let create = ["domain", "create", CODE, "--template", "developer", "--owner", "owner", "--home-node", &node];
    home.ics(&[&create[..], &["--signer", "developer=signer", "--names", "developer=urn:dev:*"]].concat()).ok();
    let text = fs::read_to_string(home.home.join("ics.toml")).expect("a configuration");
    let other = format!("\n[[home]]\ndomain = \"{CODE}\"\ndescriptor = \"domains/{CODE}.v1.pgp\"\n");
    home.write("ics.toml", text + &other);
    home.serve();
    let copy = directory.path().join("copy").to_str().expect("text").to_owned();
    home.json(&["backup", &copy]);
    publish(&home, 10, 5);
    home.kill();
    home.ics(&["restore", &copy]).ends_with(1);
    home.ics(&["restore", "--alone", CODE]).ends_with(1);
    let refused = home.ics(&["restore", "--begin-anew", CODE]).ends_with(1);
    assert!(refused.stderr.contains("is not silent"), "{}", refused.stderr);

    let first = home.json(&["restore", "--begin-anew", DEVICES]);
    assert_eq!(first["under_the_former_key"], serde_json::json!([CODE]), "{first}");
    let refused = home.ics(&["restore", "--begin-anew", DEVICES]).ends_with(1);
    assert!(refused.stderr.contains("is not silent"), "once is enough: {}", refused.stderr);
    let second = home.json(&["restore", "--begin-anew", CODE]);
    assert_eq!((&second["key"], &second["under_the_former_key"]), (&first["key"], &serde_json::json!([])), "{second}");
    home.serve();
    publish(&home, 20, 3);
    for domain in [DEVICES, CODE] {
        assert_eq!(home.holds(domain).expect("held")["descriptor"], 2, "{domain}");
    }
    home.kill();
    home.ics(&["fsck"]).ok();
}

/// A home that was restored from a copy and stopped, while its mirror has five more entries.
fn put_back() -> Pair {
    put_back_after(|_| ())
}

/// As [`put_back`], with more said in between.
fn put_back_after(say: impl FnOnce(&Pair)) -> Pair {
    let mut pair = Pair::new();
    let copy = pair.path("copy");
    pair.home.json(&["backup", &copy]);
    pair.publish(10, 5);
    say(&pair);
    pair.home.kill();
    pair.home.ics(&["restore", &copy]).ends_with(1);
    pair
}

#[test]
fn a_mirror_that_saw_what_was_lost_stops_at_a_new_epoch() {
    let mut pair = put_back();
    // The owners did not ask the mirror.
    pair.home.json(&["restore", "--begin-anew", DEVICES]);
    pair.home.serve();
    publish(&pair.home, 20, 10);
    eventually("the mirror stops, and says so", || {
        let held = pair.mirror.holds(DEVICES)?;
        let is_said = held["alarms"].to_string().contains("mirror-stopped");
        (held["mirror"]["state"] == "stopped" && is_said).then_some(())
    });
}

/// Whoever started a home from the wrong copy corrects that, without asking the operators of all its mirrors for a
/// restart.
#[test]
fn a_mirror_that_stopped_at_a_fork_goes_on_when_the_home_is_put_right() {
    let mut pair = Pair::new();
    let (right, wrong) = (pair.path("right"), pair.path("wrong"));
    let home = pair.home.home.clone();
    pair.home.kill();
    let copied = Command::new("cp").arg("-a").args([home.as_path(), wrong.as_ref()]).status().expect("runs");
    assert!(copied.success());
    pair.home.serve();
    pair.publish(10, 5);
    pair.home.kill();
    fs::rename(&home, &right).expect("aside");
    fs::rename(&wrong, &home).expect("the wrong copy");
    pair.home.serve();
    publish(&pair.home, 20, 10);
    let mirrored = |pair: &Pair| Some(pair.mirror.holds(DEVICES)?["mirror"]["state"].as_str()?.to_owned());
    eventually("the mirror stops", || (mirrored(&pair)? == "stopped").then_some(()));

    pair.home.kill();
    fs::remove_dir_all(&home).expect("gone");
    fs::rename(&right, &home).expect("the right one");
    pair.home.serve();
    pair.publish(40, 1);
    eventually("the mirror says so", || (mirrored(&pair)? == "current").then_some(()));
    assert_eq!(copies::checkpoint(&pair.mirror, DEVICES), copies::checkpoint(&pair.home, DEVICES));
    let held = pair.mirror.holds(DEVICES).expect("held");
    assert!(held["alarms"].to_string().contains("mirror-stopped"), "an operator has to know: {held}");
    assert!(pair.mirror.json(&["domain", "forks", DEVICES])[0]["theirs"].is_string(), "the proof stays");
}

/// A block that only the former branch had would be gone at this node without anybody being told.
#[test]
fn a_copy_that_has_seen_a_fork_is_emptied_only_after_a_warning_and_the_evidence_is_given_out() {
    let mut pair = put_back_after(|pair| {
        pair.home.json(&["status", "stolen", "serial:SN-0010", "--yes"]);
        pair.mirror.catches_up(&pair.home, DEVICES);
    });
    // Whoever removes a home's memory of its signatures makes it sign a second log.
    fs::remove_dir_all(pair.home.home.join("data/heads")).expect("gone");
    pair.home.json(&["restore", "--alone", DEVICES]);
    pair.home.serve();
    publish(&pair.home, 20, 10);
    eventually("the mirror stops", || (pair.mirror.holds(DEVICES)?["mirror"]["state"] == "stopped").then_some(()));
    assert!(pair.mirror.holds(DEVICES).expect("held")["forks"].is_null(), "they are for the operator to give out");
    let kept = eventually("both heads are kept", || {
        let kept = pair.mirror.json(&["domain", "forks", DEVICES]);
        kept[0]["theirs"].is_string().then_some(kept)
    });
    let note = |of: &str| kept[0][of].as_str().expect("a note").to_owned();
    for of in ["ours", "theirs"] {
        assert!(note(of).starts_with(DEVICES) && note(of).contains("\n\n\u{2014} "), "{of}: {kept}");
    }
    assert_ne!(note("ours"), note("theirs"));
    let shown = pair.mirror.ics(&["domain", "forks", DEVICES]).ok();
    assert!(note("theirs").lines().all(|line| shown.contains(line)), "{shown}");

    let seen = pair.mirror.json(&["domain", "acknowledge", DEVICES]);
    assert!(seen["alarms"].as_u64().is_some_and(|alarms| alarms > 0), "{seen}");
    eventually("what still stands is alarmed again, once", || {
        let left = pair.mirror.holds(DEVICES)?;
        let stopped = left["alarms"].as_array()?.iter().filter(|alarm| alarm["kind"] == "mirror-stopped");
        (stopped.count() == 1).then_some(())
    });

    pair.mirror.kill();
    let asked = pair.mirror.ics(&["domain", "recopy", DEVICES]).ends_with(2);
    assert!(asked.stderr.contains("included, is then gone") && asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert!(asked.stderr.contains("1 statement") && asked.stderr.contains(": stolen for "), "{}", asked.stderr);
    let emptied = pair.mirror.json(&["domain", "recopy", DEVICES, "--yes"]);
    assert_eq!((&emptied["forks"], &emptied["blocks"]["number"]), (&1.into(), &1.into()), "{emptied}");
    assert_eq!(emptied["blocks"]["last"][0]["status"], "stolen", "{emptied}");
}
