//! Copies: mirrors of other domains, adoption from them, and backups.

use std::time::{Duration, Instant};

use ics_node::client::node::Node;
use serde_json::Value;

use crate::reading::publish;
use crate::stage::{DOMAIN, Stage, spki};

const PLANT: &str = "plant.example";

/// A manufacturer with two devices, and a plant whose rules let it adopt from him.
fn neighbours() -> (Stage, Stage) {
    let acme = Stage::started();
    publish(&acme, 1, "SN-1");
    publish(&acme, 2, "SN-2");
    let signer = acme.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let plant = Stage::of("maintenance", PLANT);
    let source = plant.write("acme.json", acme_info(&acme).to_string());
    let (role, names) = (format!("manufacturer={signer}"), "manufacturer=*");
    plant.ok(&["domain", "update", "--add-source", &source, "--add-signer", &role, "--add-names", names]);
    (acme, plant)
}

/// What the node says of its domain.
fn acme_info(acme: &Stage) -> Value {
    let node = Node::new(acme.url()).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let info = runtime.block_on(node.domain(&DOMAIN.parse().expect("a domain"))).expect("answers");
    serde_json::to_value(info).expect("JSON")
}

/// The state of the plant's only mirror, once it is current.
fn current(plant: &Stage) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = plant.ok(&["peer", "status"]);
        let pulled = &status[0]["pulls"][0];
        if pulled["state"] == "current" && pulled["size"].as_u64() > Some(1) {
            return pulled.clone();
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_domain_is_mirrored_and_adopted_from() {
    let (acme, mut plant) = neighbours();
    let origin = acme_info(&acme)["origin"].as_str().expect("an origin").to_owned();
    let add = |domain: &str, more: &[&str]| {
        plant.run(&[&["peer", "add", "acme", domain, "--url", acme.url()], more].concat())
    };
    let unasked = add(DOMAIN, &[]);
    assert_eq!((unasked.code, unasked.failure().0.as_str()), (2, "nobody is there to compare the origin"));
    let other = format!("{DOMAIN}/{}", "07".repeat(32));
    let refused = add(&other, &["--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(add("none.example", &["--yes"]).code, 3);
    assert_eq!(plant.ok(&["peer", "list"]), Value::Array(Vec::new()));

    assert_eq!(add(&origin, &[]).code, 0);
    assert_eq!(add(&origin, &[]).code, 0, "done again it changes nothing");
    assert_eq!(plant.ok(&["peer", "list"])[0]["mirror"][0], origin.as_str());
    plant.start();
    plant.ok(&["domain", "submit"]);
    assert_eq!(current(&plant)["domain"], DOMAIN);

    let adopted = plant.ok(&["adopt", "--from", DOMAIN, "serial:SN-1"]);
    assert_eq!((&adopted["adopted"], adopted["identities"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    let again = plant.ok(&["adopt", "--from", DOMAIN, "--model", "P7"]);
    assert_eq!((&again["adopted"], &again["present"]), (&1.into(), &2.into()));
    let view = plant.ok(&["lookup", "serial:SN-1"]);
    assert_eq!(view["records"].as_array().map(Vec::len), Some(2), "two domains know it");
    let history = plant.ok(&["history", "serial:SN-1"]);
    assert_eq!(history["items"][0]["source"][0]["domain"], DOMAIN);
    let nothing = plant.run(&["adopt", "--from", DOMAIN, "--lot", "none"]);
    assert_eq!(nothing.code, 3, "{nothing:?}");

    plant.ok(&["peer", "remove", "acme"]);
    assert_eq!(plant.ok(&["peer", "list"]), Value::Array(Vec::new()));
}

#[test]
fn what_the_rules_do_not_let_in_is_told_and_left_out() {
    let (acme, mut plant) = neighbours();
    plant.ok(&["peer", "add", "acme", DOMAIN, "--yes", "--url", acme.url()]);
    plant.start();
    current(&plant);
    // Version 2 of the rules, which names the manufacturer, was not submitted.
    let refused = plant.run(&["adopt", "--from", DOMAIN, "serial:SN-1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let result = refused.json();
    assert_eq!((&result["adopted"], result["refused"].as_array().map(Vec::len)), (&0.into(), Some(2)));
}

#[test]
fn a_running_node_is_copied() {
    let stage = Stage::started();
    publish(&stage, 1, "SN-1");
    let path = |name: &str| stage.path(name).to_str().expect("UTF-8").to_owned();
    let copied = stage.ok(&["backup", &path("copy")]);
    assert_eq!(copied["entries"], stage.size("serial:SN-1"));
    assert_eq!(copied["findings"], Value::Array(Vec::new()));
    assert!(stage.path("copy/data/ics.db").exists() && stage.path("copy/ics.toml").exists());
    assert!(!stage.path("copy/keys").exists() && !stage.path("copy/operator-token").exists());
    let again = stage.run(&["backup", &path("copy")]);
    assert_eq!(again.code, 5, "{again:?}");

    let with_keys = stage.ok(&["backup", &path("whole"), "--with-keys"]);
    assert!(with_keys["files"].as_array().expect("files").contains(&"keys/signer.asc".into()), "{with_keys}");
    assert!(!stage.path("whole/passphrase").exists(), "the passphrase is never copied");
    publish(&stage, 2, "SN-2");
}

#[test]
fn a_store_is_checked_and_its_index_repaired() {
    let mut stage = Stage::started();
    publish(&stage, 1, "SN-1");
    publish(&stage, 2, "SN-2");
    let sound = stage.ok(&["fsck"]);
    assert_eq!(sound["entries"], stage.size("serial:SN-1"), "beside the running node: {sound}");
    assert_eq!((&sound["findings"], &sound["advice"]), (&Value::Array(Vec::new()), &Value::Null));
    let in_use = stage.run(&["fsck", "--repair"]);
    assert_eq!(in_use.code, 0, "there is nothing to repair: {in_use:?}");
    stage.kill();

    let index = stage.path("home/data/index.db");
    std::fs::remove_file(stage.path("home/data/index.db-wal")).expect("a log that was not merged");
    std::fs::write(&index, b"something else").expect("written");
    let damaged = stage.run(&["fsck"]);
    assert_eq!((damaged.code, damaged.json()["findings"].as_array().map(Vec::len)), (5, Some(0)), "{damaged:?}");
    assert!(damaged.json()["advice"].to_string().contains("--repair"), "{damaged:?}");
    let repaired = stage.ok(&["fsck", "--repair"]);
    assert_eq!((&repaired["repaired"], &repaired["index"]), (&true.into(), &Value::Array(Vec::new())));

    let log = rusqlite::Connection::open(stage.path("home/data/ics.db")).expect("open");
    let forge = "UPDATE entry SET body = zeroblob(length(body)) WHERE position = (SELECT max(position) FROM entry)";
    assert_eq!(log.execute(forge, []).expect("changed"), 1);
    // One letter alone may not be there.
    for letter in ["A", "C", "E", "G", "I", "K"] {
        let forge = "UPDATE head SET note = replace(note, ?1, 'z')";
        assert_eq!(log.execute(forge, [letter]).expect("changed"), 1);
    }
    drop(log);
    let damaged = stage.run(&["fsck", "--repair"]);
    let findings = damaged.json()["findings"].to_string();
    assert_eq!(damaged.code, 5, "{damaged:?}");
    for expected in ["does not have the leaf", "its body is malformed", "it bears no signature of a home"] {
        assert!(findings.contains(expected), "{expected}: {findings}");
    }
    assert!(damaged.json()["advice"].to_string().contains("ics restore"), "{damaged:?}");
}

#[test]
fn a_node_under_load_is_copied() {
    let stage = Stage::started();
    publish(&stage, 0, "SN-0");
    let rows = |from: u64| (from..from + 60).map(|n| format!("{},SN-{n}\n", spki(n))).collect::<String>();
    let lists: Vec<_> =
        (1..5).map(|n| stage.write(&format!("{n}.csv"), format!("spki,serial\n{}", rows(n * 1000)))).collect();
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| lists.iter().for_each(|list| drop(stage.ok(&["publish", "--from", list]))));
        let mut copies = 0_u64;
        while !publishing.is_finished() || copies < 2 {
            let path = stage.path(&format!("copy{copies}"));
            let copied = stage.ok(&["backup", path.to_str().expect("UTF-8")]);
            assert_eq!(copied["findings"], Value::Array(Vec::new()), "{copied}");
            copies += 1;
        }
    });
    assert_eq!(stage.ok(&["fsck"])["index"], Value::Array(Vec::new()));
}
