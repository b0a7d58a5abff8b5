//! The files of commands: what is left where they cannot write, how they are named, and what must not get into one.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use toml_edit::{DocumentMut, value};

use crate::between::stands_in;
use crate::reading::with_a_device;
use crate::stage::{DOMAIN, Stage, spki};

#[test]
fn a_full_disk_is_told_by_the_name_of_the_file_and_leaves_no_part_of_it() {
    let stage = Stage::started();
    stage.ok(&["key", "make", "root", "--algorithm", "p256"]);
    let path = |name: &str| stage.path(name).display().to_string();
    let (root, report) = (path("root.pem"), path("certificates.csv"));
    let made = |name: &str| format!("{}/{name}", path("home"));
    for (words, file) in [
        (&["ca", "root", "--name", "Acme Root", "--out", &root][..], root.clone()),
        (&["report", "--format", "csv", "--out", &report], report.clone()),
        (&["key", "make", "second"], made("keys/second.asc")),
        (&["ca", "request", "--key", "root", "--name", "Acme", "--out", "issuer.csr"], "issuer.csr".to_owned()),
    ] {
        let refused = stage.run_in_little_room(0, words);
        let expected = format!("`{file}`: File too large (os error 27)");
        assert_eq!((refused.code, refused.failure().0), (5, expected), "{words:?}");
    }
    let other = path("other");
    let init = ["--home", &other, "init", "--role", "infield", "--domain", "site4.example", "--generate-passphrase"];
    let (message, _) = stage.run_in_little_room(0, &init).failure();
    assert_eq!(message, format!("`{other}/passphrase`: File too large (os error 27)"));

    let names = |directory: &str| {
        let entries = std::fs::read_dir(stage.path(directory)).expect("listed").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("."), ["home"], "nothing is left");
    assert_eq!(names("home/keys"), ["node.asc", "owner.asc", "root.asc", "signer.asc"]);
    let made = stage.ok(&["ca", "root", "--name", "Acme Root", "--out", &root]);
    assert_eq!(made["file"], root.as_str());
}

#[test]
fn a_reader_who_has_read_enough_of_a_report_is_no_failure() {
    let stage = Stage::started();
    for format in ["html", "csv", "json"] {
        assert_eq!(stage.run_unheard(false, &["report", "--format", format]), Some(0), "{format}");
    }
}

/// Whether it is written page by page, or as one JSON value.
#[test]
fn a_listing_ends_where_its_reader_has_read_enough() {
    let stage = Stage::new();
    let as_of = json!({ "size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1,
        "fresh_for_seconds": 60 });
    let item = json!({ "id": "ab12", "kind": "device", "title": "Pump", "effect": "none" });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let node = stands_in(move |head| {
        let goes_on = count.fetch_add(1, Ordering::SeqCst) < 50;
        let page = if head.contains("/certificates") {
            json!({ "as_of": as_of, "items": [], "next": goes_on.then_some("7") })
        } else {
            json!({ "as_of": as_of, "items": [item], "next": goes_on.then_some(7) })
        };
        page.to_string()
    });
    for (is_json, command, expected) in [(false, "list", 1), (true, "list", 2), (true, "certs", 3)] {
        assert_eq!(stage.run_unheard(is_json, &["--node", &node, command, "--all"]), Some(0));
        assert_eq!(asked.load(Ordering::SeqCst), expected, "{command}");
    }
}

/// Every status of a copy whose home is silent is unknown, and nobody would know why.
#[test]
fn a_listing_of_old_news_says_so() {
    let stage = Stage::new();
    let node = stands_in(|head| {
        let age = if head.contains("kind=device") { 61 } else { 60 };
        let as_of = json!({ "size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": age,
            "fresh_for_seconds": 60 });
        let item = json!({ "id": "ab12", "kind": "device", "title": "Pump", "effect": "none" });
        json!({ "as_of": as_of, "items": [item] }).to_string()
    });
    let told = |more: &[&str]| {
        let words = [&["--node", node.as_str(), "list", "--domain", DOMAIN][..], more].concat();
        stage.for_people("home", &words).stderr
    };
    let old = told(&["--kind", "device"]);
    assert!(old.contains("only what blocks is certain") && old.contains("too old: the bound is 1 min"), "{old}");
    assert!(!told(&[]).contains("certain"), "it is fresh");
}

/// A node that runs as that user would not start any more. Only root can give a directory away, and so try this.
#[test]
fn root_makes_nothing_in_the_home_of_another_user() {
    let stage = Stage::new();
    let home = stage.path("home");
    // Whoever goes on ends soon.
    stage.write("home/ics.toml", "[nod]\n");
    let own = rustix::process::geteuid().as_raw();
    let is_foreign = std::os::unix::fs::chown(&home, Some(own + 1), None).is_ok();
    let init = ["init", "--role", "infield", "--domain", "site4.example", "--generate-passphrase"];
    let (key, recopy) = (["key", "make", "second"], ["domain", "recopy", DOMAIN]);
    for words in [&["serve"][..], &["restore"], &["fsck", "--repair"], &recopy, &init, &key] {
        let ended = stage.run(words);
        assert_eq!(ended.stderr.contains("belongs to the user"), is_foreign, "{words:?}: {ended:?}");
    }
    assert_eq!(stage.path("home/keys/second.asc").exists(), !is_foreign);
}

/// Once they have ended, nobody can ask for them again.
#[test]
fn alarms_that_nobody_has_read_do_not_end() {
    let stage = Stage::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ended);
    let node = stands_in(move |head| {
        if head.starts_with("POST ") {
            count.fetch_add(1, Ordering::SeqCst);
            return json!({ "alarms": 1 }).to_string();
        }
        // A node shows the latest first, and no more than so many.
        let (day, text) = if count.load(Ordering::SeqCst) == 0 { (20, "two heads") } else { (19, "a lie") };
        json!([{ "at": format!("2026-11-{day}T08:10:00Z"), "kind": "fork", "text": text }]).to_string()
    });
    let words = ["--node", node.as_str(), "domain", "acknowledge", "--no-domain"];
    assert_eq!(stage.run_unheard(false, &words), Some(0));
    assert_eq!(ended.load(Ordering::SeqCst), 0, "whoever was to read them has gone");
    let told = stage.for_people("home", &words);
    assert!(told.stdout.contains("fork: two heads\n") && told.stdout.contains("1 alarm of no domain"), "{told:?}");
    assert!(told.stderr.contains("1 alarm from before these"), "{told:?}");
    let told = stage.ok(&words);
    assert_eq!(told["alarms"], 1, "{told}");
    assert_eq!(told["ended"][0]["text"], "a lie", "{told}");
}

/// What reads JSON takes one value, and fails at a second one.
#[test]
fn all_pages_are_one_value_for_programs() {
    let stage = Stage::new();
    let as_of = json!({ "size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1,
        "fresh_for_seconds": 60 });
    let thing = json!({ "id": "ab12", "kind": "device", "title": "Pump", "effect": "none" });
    let certificate = json!({ "serial": "41".repeat(20), "sha256": "ab".repeat(32), "spki": "cd".repeat(32),
        "id": "ab".repeat(20), "kind": "device", "title": "Pump", "issuer": "ef".repeat(20), "index": 7,
        "until": "2026-12-24T00:00:00Z", "state": "good", "renewed": false });
    let node = stands_in(move |head| {
        let is_last = head.contains("after=7");
        let page = if head.contains("/certificates") {
            json!({ "as_of": as_of, "items": [certificate], "next": (!is_last).then_some("7") })
        } else {
            json!({ "as_of": as_of, "items": [thing], "next": (!is_last).then_some(7) })
        };
        page.to_string()
    });
    for command in ["list", "certs"] {
        let all = stage.ok(&["--node", &node, command, "--all"]);
        assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{command}: {all}");
        assert_eq!(all["as_of"]["size"], 3, "{command}: {all}");
    }
}

#[test]
fn the_next_command_names_a_file_as_a_shell_reads_it() {
    let stage = Stage::started();
    let (key, file) = (spki(1), "Acme's lot.ics");
    let prepared = stage.for_people("home", &["publish", "--spki", &key, "--serial", "SN-1", "--unsigned", file]);
    assert!(prepared.stdout.contains(r"ics sign 'Acme'\''s lot.ics'"), "{prepared:?}");
    let signed = stage.for_people("home", &["sign", file, "--yes"]);
    assert!(signed.stdout.contains(r"ics submit 'Acme'\''s lot.signed.ics'"), "{signed:?}");
}

#[test]
fn a_file_that_nobody_signs_is_told_from_a_damaged_one() {
    let stage = Stage::new();
    stage.write("device.pem", "-----BEGIN PUBLIC KEY-----\n");
    stage.write("empty", "");
    let other = "it is neither a batch nor a descriptor";
    for (words, expected) in [
        (["sign", "device.pem"], format!("`device.pem`: {other}")),
        (["submit", "device.pem"], format!("`device.pem`: {other}")),
        (["sign", "empty"], "`empty` is not a batch: it is empty".to_owned()),
    ] {
        let refused = stage.run(&words);
        assert_eq!((refused.code, refused.failure().0), (5, expected), "{words:?}");
    }
}

#[test]
fn a_wrong_passphrase_is_told_with_the_file_that_it_is_from() {
    let mut stage = Stage::new();
    let own = stage.path("home/passphrase");
    let other = stage.write("other", "not the one\n");
    std::fs::write(&own, "not the one\n").expect("written");
    let unlock = ["ca", "root", "--key", "owner", "--name", "Acme Root"];
    for path in [own.display().to_string(), other.clone()] {
        let refused = stage.run(&unlock);
        let (message, hint) = refused.failure();
        assert_eq!((refused.code, message.as_str()), (5, "the passphrase does not unlock the key `owner`"));
        assert!(hint.starts_with(&format!("it is from `{path}`")), "{hint}");
        stage.set("ICS_PASSPHRASE_FILE", &other);
    }
}

/// What cannot be taken back comes last.
#[test]
fn no_new_epoch_begins_where_the_configuration_cannot_name_its_key() {
    let mut stage = Stage::started();
    stage.kill();
    let config = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    let mut document: DocumentMut = config.parse().expect("TOML");
    let node = document.remove("node").and_then(|node| node.into_table().ok()).expect("a section");
    document.insert("node", value(node.into_inline_table()));
    stage.write("home/ics.toml", document.to_string());
    let begin = ["restore", "--hold", "--begin-anew", DOMAIN];
    let refused = stage.run(&begin);
    assert!(refused.code == 5 && refused.failure().0.starts_with("`node` is not written"), "{refused:?}");
    stage.write("home/ics.toml", config);
    let begun = stage.ok(&begin);
    assert_eq!((&begun["version"], &begun["key"]), (&json!(2), &json!("node-2")), "{begun}");
}

/// With the options that the first attempt had, without which nothing would be begun.
#[test]
fn a_new_epoch_that_other_owners_must_sign_is_begun_by_the_command_that_is_told() {
    let mut stage = Stage::started();
    stage.ok(&["key", "make", "owner-b"]);
    stage.ok(&["domain", "update", "--add-owner", "owner-b", "--threshold", "2"]);
    stage.ok(&["domain", "submit"]);
    stage.kill();
    let begin = ["restore", "--hold", "--begin-anew", DOMAIN];
    let refused = stage.run(&begin);
    let (_, hint) = refused.failure();
    let told = format!("restore --hold --begin-anew {DOMAIN} --descriptor ");
    assert!(refused.code == 1 && hint.contains(&told), "{refused:?}");
    let file = stage.path(&format!("home/domains/{DOMAIN}.v3.pgp"));
    let file = file.to_str().expect("UTF-8");
    stage.ok(&["domain", "sign", file, "--owner", "owner-b"]);
    let begun = stage.ok(&[&begin[..], &["--descriptor", file]].concat());
    assert_eq!((&begun["version"], &begun["key"]), (&json!(3), &json!("node-3")), "{begun}");
}

/// A node with an issuer has two keys to unlock.
#[test]
fn a_passphrase_that_comes_through_a_pipe_unlocks_all_keys() {
    let mut stage = Stage::new();
    stage.ok(&["key", "make", "issuer", "--algorithm", "p256"]);
    let config = std::fs::read_to_string(stage.path("home/ics.toml")).expect("read");
    stage.write("home/ics.toml", config.replacen("[node]", "[node]\nissuers = [\"issuer\"]", 1));
    let passphrase = std::fs::read(stage.path("home/passphrase")).expect("read");
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&passphrase).expect("written");
    drop(writer);
    stage.set("ICS_PASSPHRASE_FILE", &format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd()));
    stage.start();
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_none() {
    let mut stage = Stage::new();
    std::os::unix::fs::symlink(stage.path("home"), stage.path(".ics")).expect("a link");
    let user = stage.path(".").display().to_string();
    stage.set("HOME", &user);
    for name in ["ICS_HOME", "ICS_PASSPHRASE_FILE", "ICS_PIN_FILE", "ICS_PKCS11_MODULE"] {
        stage.set(name, "");
    }
    stage.ok(&["key", "show", "owner"]);
}

#[test]
fn a_damaged_store_is_told_with_what_is_to_be_done() {
    let mut stage = Stage::started();
    stage.kill();
    for name in ["ics.db-wal", "ics.db-shm"] {
        // It is not there if the node had just written everything to the database itself.
        let _ = std::fs::remove_file(stage.path("home/data").join(name));
    }
    stage.write("home/data/ics.db", "not a database any more".repeat(300));
    for (command, told) in [("serve", "`ics fsck` says"), ("fsck", "`ics restore COPY`")] {
        let ended = stage.run(&[command]);
        let (message, hint) = ended.failure();
        assert!(ended.code == 5 && message.starts_with("the store is damaged"), "{ended:?}");
        assert!(hint.contains(told), "{hint}");
    }
}

#[test]
fn nothing_writes_a_core_dump_with_secret_keys_in_it() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).expect("raised for all that is started here");
    let stage = Stage::started();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stage.process())).expect("read");
    let of_core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("it is limited");
    let expected = if maximum == Some(0) { "0" } else { "1" };
    assert_eq!(of_core.split_whitespace().nth(4), Some(expected), "{of_core}");
}

/// A machine has nobody who could be asked, so it says `--yes`; its standard input is empty here.
#[test]
fn things_are_named_through_standard_input_as_well() {
    let stage = Stage::started();
    let nothing = stage.run(&["approve", "--from-file", "-", "--yes"]);
    assert_eq!((nothing.code, nothing.failure().0.as_str()), (2, "no thing is named to say it of"), "{nothing:?}");
}

#[test]
fn a_file_whose_name_is_no_text_is_told_all_the_same() {
    let stage = with_a_device();
    for (words, file) in [
        (&["export", "serial:SN-1", "-o"][..], &b"\xff.json"[..]),
        (&["export", "--entry", "2", "-o"], b"\xff.tlog-proof"),
        (&["qr", "serial:SN-1", "--at", "https://id.acme.example", "-o"], b"\xff.svg"),
        (&["backup"], b"\xff"),
    ] {
        let ended = stage.run_on(words, OsStr::from_bytes(file));
        assert!(ended.code == 0 && ended.stdout.contains('\u{fffd}'), "{words:?}: {ended:?}");
        assert!(stage.path(".").join(OsStr::from_bytes(file)).exists(), "{words:?}");
    }
}

/// By the node while it runs, and by the command while it does not.
#[test]
fn a_configuration_keeps_the_permissions_that_its_operator_gave_it() {
    let mut stage = Stage::started();
    let file = stage.path("home/ics.toml");
    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    for words in [&["peer", "add", "gateway", "--key", key][..], &["peer", "remove", "gateway"]] {
        let before = std::fs::read(&file).expect("read");
        stage.ok(words);
        assert_ne!(std::fs::read(&file).expect("read"), before, "{words:?}");
        assert_eq!(std::fs::metadata(&file).expect("metadata").permissions().mode() & 0o777, 0o640, "{words:?}");
        stage.kill();
    }
}

/// Two nodes may both be homes of a domain of the same name.
#[test]
fn a_copy_of_another_log_of_the_same_name_replaces_nothing() {
    let (first, mut second) = (Stage::started(), Stage::started());
    let copy = first.path("copy").to_str().expect("UTF-8").to_owned();
    first.ok(&["backup", &copy]);
    second.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    second.kill();
    let refused = second.run(&["restore", &copy]);
    let (message, _) = refused.failure();
    assert!(refused.code == 5 && message.starts_with("the copy is of the log `"), "{refused:?}");
    let names = std::fs::read_dir(second.path("home/data")).expect("listed");
    let names: Vec<_> = names.map(|file| file.expect("a name").file_name().into_string().expect("UTF-8")).collect();
    assert!(!names.iter().any(|name| name == "restoring" || name.starts_with("replaced-")), "{names:?}");
    second.start();
    assert_eq!(second.record("serial:SN-1")["domain"], DOMAIN);
}
