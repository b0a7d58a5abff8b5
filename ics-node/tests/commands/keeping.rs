//! Backups: what they hold, what they bring back, and whether the store is sound.

use std::os::unix::fs::PermissionsExt as _;

use ics_core::time::Timestamp;
use ics_node::acme::account::{Account, Holder};
use ics_node::acme::jwk::Jwk;
use ics_node::store::{AcmeStore, Durability};
use serde_json::Value;

use crate::reading::{publish, with_a_device};
use crate::stage::{DOMAIN, Stage, spki};

#[test]
fn a_running_node_is_copied() {
    let stage = with_a_device();
    let path = |name: &str| stage.path(name).to_str().expect("UTF-8").to_owned();
    // It may hold secrets, and its operator may have let others read it.
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(stage.path("home/ics.toml"), open).expect("set");
    let copied = stage.ok(&["backup", &path("copy")]);
    let mode = std::fs::metadata(stage.path("copy/ics.toml")).expect("copied").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the copy is its owner's alone");
    assert_eq!(copied["entries"], stage.size("serial:SN-1"));
    assert_eq!(copied["findings"], Value::Array(Vec::new()));
    assert!(stage.path("copy/data/ics.db").exists() && stage.path("copy/ics.toml").exists());
    assert!(!stage.path("copy/keys").exists() && !stage.path("copy/operator-token").exists());
    let sound = stage.run_alone("copy", &["fsck"]);
    assert_eq!((sound.code, &sound.json()["without_index"]), (0, &true.into()), "{sound:?}");
    assert!(stage.words_alone("copy", &["fsck"]).contains("none yet: the next start builds it"));
    let again = stage.run(&["backup", &path("copy")]);
    assert_eq!(again.code, 5, "{again:?}");

    let with_keys = stage.ok(&["backup", &path("whole"), "--with-keys"]);
    assert!(with_keys["files"].as_array().expect("files").contains(&"keys/signer.asc".into()), "{with_keys}");
    assert!(!stage.path("whole/passphrase").exists(), "the passphrase is never copied");

    let (token, kept) = (stage.path("home/operator-token"), stage.path("home/kept"));
    std::fs::rename(&token, &kept).and_then(|()| std::fs::create_dir(&token)).expect("nothing to be read");
    let torn = stage.run(&["backup", &path("torn"), "--with-keys"]);
    assert_eq!(torn.code, 5, "{torn:?}");
    assert!(stage.path("torn/ics.toml").exists() && !stage.path("torn/data/ics.db").exists(), "it is no backup");
    std::fs::remove_dir(&token).and_then(|()| std::fs::rename(&kept, &token)).expect("as it was");
    publish(&stage, 2, "SN-2");
}

/// Whoever makes room by deleting earlier copies would delete the last good one.
#[test]
fn a_copy_of_a_damaged_store_comes_with_what_to_do() {
    let mut stage = Stage::started();
    publish(&stage, 1, "SN-1");
    stage.kill();
    let log = rusqlite::Connection::open(stage.path("home/data/ics.db")).expect("open");
    let forge = "UPDATE entry SET body = zeroblob(length(body)) WHERE position = (SELECT max(position) FROM entry)";
    assert_eq!(log.execute(forge, []).expect("changed"), 1);
    drop(log);
    let copied = stage.for_people("home", &["backup", &text_of(&stage, "copy")]);
    assert!(copied.code == 5 && copied.stdout.contains("does not have the leaf"), "{copied:?}");
    assert!(copied.stdout.contains("keep the earlier copies") && copied.stdout.contains("`ics fsck`"), "{copied:?}");
}

/// The node's own disk may have room.
#[test]
fn a_disk_without_room_for_a_copy_is_named() {
    let stage = with_a_device();
    let copy = stage.path("copy").to_str().expect("UTF-8").to_owned();
    let full = stage.run_in_little_room(96, &["backup", &copy]);
    let (message, _) = full.failure();
    assert_eq!(full.code, 5, "{full:?}");
    assert!(message.starts_with(&format!("the disk of `{copy}/data")) && message.contains("full"), "{message}");
    assert!(!stage.path("copy/data/ics.db").exists(), "it is no backup");
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

    let rows = rusqlite::Connection::open(&index).expect("open");
    assert!(rows.execute("UPDATE posting SET checksum = checksum + 1", []).expect("changed") > 0);
    drop(rows);
    let damaged = stage.run(&["fsck"]);
    assert_eq!(damaged.code, 5, "{damaged:?}");
    assert!(damaged.json()["index"].to_string().contains("damaged block of postings"), "{damaged:?}");
    let repaired = stage.ok(&["fsck", "--repair"]);
    assert_eq!((&repaired["repaired"], &repaired["index"]), (&true.into(), &Value::Array(Vec::new())));

    let log = rusqlite::Connection::open(stage.path("home/data/ics.db")).expect("open");
    let forge = "UPDATE entry SET body = zeroblob(length(body)) WHERE position = (SELECT max(position) FROM entry)";
    assert_eq!(log.execute(forge, []).expect("changed"), 1);
    // A single letter may happen not to occur.
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

/// Neither leaves nor checkpoints tell which entries have effect; since the node was killed, some are missing from the
/// index as well.
#[test]
fn a_block_that_was_made_to_have_no_effect_is_found() {
    let mut stage = Stage::started();
    publish(&stage, 1, "SN-1");
    stage.ok(&["status", "stolen", "serial:SN-1", "--yes"]);
    stage.kill();
    stage.ok(&["fsck"]);
    let log = rusqlite::Connection::open(stage.path("home/data/ics.db")).expect("open");
    let last = "WHERE position = (SELECT max(position) FROM entry)";
    assert_eq!(log.execute(&format!("UPDATE entry SET effective = 0 {last}"), []).expect("changed"), 1);
    let damaged = stage.run(&["fsck"]);
    let findings = damaged.json()["findings"].to_string();
    assert!(damaged.code == 5 && findings.contains("but the log gives it effect"), "{damaged:?}");
    assert!(damaged.json()["advice"].to_string().contains("ics restore"), "{damaged:?}");
    assert_eq!(log.execute(&format!("UPDATE entry SET effective = 1 {last}"), []).expect("changed"), 1);
    drop(log);
    stage.ok(&["fsck"]);
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

/// Gives a node a trust policy at this path, and a separate operator's token.
fn with_policy(policy: &str) -> Stage {
    let stage = with_a_device();
    stage.ok(&["trust", "init", "--permit", "devices"]);
    std::fs::rename(stage.path("home/trust.json"), stage.path("home").join(policy)).expect("moved");
    std::fs::create_dir(stage.path("home/secrets")).expect("made");
    std::fs::rename(stage.path("home/operator-token"), stage.path("home/secrets/token")).expect("moved");
    let config = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let config = config.replace("\"operator-token\"", "\"secrets/token\"");
    stage.write("home/ics.toml", format!("{config}\n[trust]\npolicy = \"{policy}\"\n"));
    stage
}

fn text_of(stage: &Stage, name: &str) -> String {
    stage.path(name).to_str().expect("UTF-8").to_owned()
}

/// What was left out, relative to the home directory.
fn left_out(copied: &Value) -> Vec<&str> {
    let paths = copied["left_out"].as_array().expect("a list").iter().map(|it| it["path"].as_str().expect("a path"));
    paths.map(|path| path.rsplit_once("/home/").expect("of the home directory").1).collect()
}

#[test]
fn what_the_configuration_names_is_copied_and_put_back() {
    let stage = with_policy("trust.json");
    let copy = text_of(&stage, "copy");
    let copied = stage.ok(&["backup", &copy, "--with-keys"]);
    assert_eq!(left_out(&copied), ["passphrase"]);
    let public = stage.ok(&["backup", &text_of(&stage, "public")]);
    assert_eq!(left_out(&public), ["passphrase", "keys", "secrets/token"]);
    assert!(stage.path("public/trust.json").exists() && !stage.path("public/secrets").exists());

    // Another machine, which has nothing but the passphrase.
    std::fs::create_dir(stage.path("fresh")).expect("made");
    std::fs::copy(stage.path("home/passphrase"), stage.path("fresh/passphrase")).expect("copied");
    let restored = stage.run_alone("fresh", &["restore", &copy, "--alone", DOMAIN]);
    assert_eq!(restored.code, 0, "{restored:?}");
    for name in ["trust.json", "secrets/token", "ics.toml"] {
        let read = |home: &str| std::fs::read(stage.path(home).join(name)).expect("there");
        assert_eq!(read("fresh"), read("home"), "{name}");
    }
}

/// No log shows which accounts were revoked since the copy was made.
#[test]
fn accounts_of_acme_clients_that_come_back_with_a_copy_are_told_of() {
    let stage = with_policy("trust.json");
    let holder = "ab".repeat(20);
    let store = AcmeStore::open(&stage.path("home/data")).expect("opens");
    let account = Account::new(
        Jwk::Ed25519([7; 32]),
        Holder::Signer(holder.parse().expect("a fingerprint")),
        Vec::new(),
        Timestamp::from_seconds(1),
    );
    let domain = DOMAIN.parse().expect("a domain");
    store.with(Durability::Now, |tx| tx.add_account(&domain, &account)).expect("is kept");
    drop(store);
    let copy = text_of(&stage, "copy");
    stage.ok(&["backup", &copy, "--with-keys"]);
    std::fs::create_dir(stage.path("fresh")).expect("made");
    std::fs::copy(stage.path("home/passphrase"), stage.path("fresh/passphrase")).expect("copied");
    let restored = stage.run_alone("fresh", &["restore", &copy, "--alone", DOMAIN]).json();
    let told = serde_json::json!([{ "domain": DOMAIN, "holder": holder, "accounts": 1 }]);
    assert_eq!(restored["accounts"]["holders"], told, "{restored}");
    let again = stage.run_alone("fresh", &["restore"]).json();
    assert_eq!(again["accounts"], Value::Null, "nothing came from anywhere: {again}");
    let held = stage.run_alone("fresh", &["restore", "--hold", "--alone", DOMAIN]).json();
    assert_eq!(held["accounts"]["holders"], told, "nobody knows how old they are: {held}");
}

/// A copy of a killed node has a write-ahead log, which SQLite cannot read where it may not write.
#[test]
fn a_plain_copy_on_a_read_only_medium_is_put_back() {
    let mut stage = Stage::started();
    publish(&stage, 1, "SN-1");
    stage.kill();
    let (home, stick) = (text_of(&stage, "home"), text_of(&stage, "stick"));
    let copied = std::process::Command::new("cp").args(["-r", &home, &stick]).status().expect("cp is there");
    assert!(copied.success());
    let modes = |data: u32, file: u32| {
        for name in ["ics.db", "ics.db-wal"] {
            let file = std::fs::Permissions::from_mode(file);
            std::fs::set_permissions(stage.path("stick/data").join(name), file).expect("set");
        }
        std::fs::set_permissions(stage.path("stick/data"), std::fs::Permissions::from_mode(data)).expect("set");
    };
    modes(0o500, 0o400);
    std::fs::create_dir(stage.path("fresh")).expect("made");
    std::fs::copy(stage.path("home/passphrase"), stage.path("fresh/passphrase")).expect("copied");
    let restored = stage.run_alone_by_permissions("fresh", &["restore", &stick, "--alone", DOMAIN]);
    modes(0o700, 0o600);
    assert_eq!(restored.code, 0, "{restored:?}");
    let restored = restored.json();
    assert!(restored["put_back"]["entries"].as_u64().is_some_and(|entries| entries > 1), "{restored}");
    let files = restored["put_back"]["files"].as_array().expect("files").iter().filter_map(Value::as_str);
    assert!(files.filter(|file| file.starts_with("keys/")).is_sorted(), "{restored}");
    let names = std::fs::read_dir(stage.path("fresh")).expect("listed").flatten();
    assert_eq!(names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")).count(), 0);
}

#[test]
fn a_home_that_is_half_restored_is_opened_by_nobody() {
    let stage = with_policy("trust.json");
    let (copy, twin) = (text_of(&stage, "copy"), text_of(&stage, "twin"));
    let entries = stage.ok(&["backup", &copy, "--with-keys"])["entries"].clone();
    std::fs::create_dir(stage.path("fresh")).expect("made");
    let stopped = stage.run_alone("fresh", &["restore", &copy]);
    let (message, hint) = stopped.failure();
    assert!(stopped.code == 5 && message.contains("there is no passphrase"), "{stopped:?}");
    assert!(hint.ends_with("then give the same command again"), "{hint}");

    // Everything is here now except the store.
    std::fs::copy(stage.path("home/passphrase"), stage.path("fresh/passphrase")).expect("copied");
    let commands = [&["restore"][..], &["restore", "--begin-anew", DOMAIN], &["backup", &twin], &["fsck"], &["serve"]];
    for words in commands {
        let refused = stage.run_alone("fresh", words);
        assert!(refused.code == 5, "{words:?}: {refused:?}");
        assert!(refused.failure().0.contains("a restore was begun here and did not finish"), "{words:?}: {refused:?}");
    }
    let restored = stage.run_alone("fresh", &["restore", &copy, "--alone", DOMAIN]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(restored.json()["put_back"]["entries"], entries);
    assert!(!stage.path("fresh/data/restoring").exists(), "it has ended");
}

#[test]
fn a_home_whose_store_is_not_there_is_not_founded_anew() {
    let mut stage = Stage::started();
    stage.ok(&["domain", "update", "--add-names", "manufacturer=cert:*"]);
    stage.kill();
    let (data, elsewhere) = (stage.path("home/data"), stage.path("disk"));
    std::fs::rename(&data, &elsewhere).expect("unmounted");
    std::fs::create_dir(&data).expect("made");
    for words in [&["restore"][..], &["restore", "--begin-anew", DOMAIN]] {
        let refused = stage.run(words);
        assert!(refused.code == 5 && refused.failure().0.contains("say that there was one"), "{words:?}: {refused:?}");
    }
    std::fs::remove_dir(&data).expect("nothing was made in it");
    std::fs::rename(&elsewhere, &data).expect("mounted");
    stage.start();
}

#[test]
fn what_lies_elsewhere_is_not_copied_and_told() {
    let stage = with_policy("../trust.json");
    let copied = stage.ok(&["backup", &text_of(&stage, "copy"), "--with-keys"]);
    let left_out = copied["left_out"].as_array().expect("a list");
    assert_eq!(left_out.len(), 2, "the passphrase and this: {copied}");
    assert!(left_out[1]["path"].as_str().expect("a path").ends_with("trust.json"), "{copied}");
    assert_eq!(left_out[1]["why"], "it is not in the home directory");
    assert!(!copied["files"].to_string().contains("trust.json"), "{copied}");
}

#[test]
fn no_store_is_replaced_by_one_that_cannot_be_opened() {
    let mut stage = with_policy("trust.json");
    let copy = text_of(&stage, "copy");
    stage.ok(&["backup", &copy, "--with-keys"]);
    stage.kill();
    let policy = std::fs::read(stage.path("home/trust.json")).expect("read");
    for place in ["home/trust.json", "copy/trust.json"] {
        std::fs::remove_file(stage.path(place)).expect("removed");
    }
    let replaced = || {
        let names = std::fs::read_dir(stage.path("home/data")).expect("listed").flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with("replaced-")).count()
    };
    let refused = stage.run(&["restore", &copy]);
    let (message, hint) = refused.failure();
    assert!(refused.code == 5 && message.contains("trust.json"), "{refused:?}");
    assert!(hint.starts_with("the store was not replaced"), "{hint}");
    assert_eq!(replaced(), 0, "the store is as it was");

    // What only the store can tell is reported together with what was done before.
    stage.write("home/trust.json", policy);
    let config = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    stage.write("home/ics.toml", config.replacen(&format!("domain = \"{DOMAIN}\""), "domain = \"other.example\"", 1));
    let failed = stage.run(&["restore", &copy]);
    let (message, _) = failed.failure();
    assert!(failed.code == 5 && message.contains(&format!("it is the descriptor of `{DOMAIN}`")), "{failed:?}");
    assert!(message.contains("the store was put back, and the former one is in "), "{message}");
    assert_eq!(replaced(), 1);
}

#[test]
fn the_exit_code_is_right_although_nobody_reads_the_messages() {
    let stage = Stage::new();
    for is_json in [false, true] {
        assert_eq!(stage.run_unheard(is_json, &["key", "list"]), Some(0));
        assert_eq!(stage.run_unheard(is_json, &["key", "show", "nobody"]), Some(5), "there is no such key");
        assert_eq!(stage.run_unheard(is_json, &["key", "unknown"]), Some(2), "nor such a command");
    }
}
