//! Nodes that cosign each other's checkpoints: two witnesses of a home, both demanded by its descriptor, a copy that
//! enforces this, and a home that signs two histories.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::log::note::{Algorithm, VerifierKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Node, eventually, ics};
use crate::town::{CODE, DEVICES, LABELS, PLANT};
use crate::{devices_csv, tools};

/// How long a home waits for the answer of a witness.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// A home, two witnesses that hold nothing of it, and a mirror.
struct Court {
    home: Node,
    first: Node,
    second: Node,
    mirror: Node,
    directory: TempDir,
}

impl Court {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let init = |role, domain| Node::init(directory.path(), role, domain);
        let mut court = Self {
            home: init("manufacturer", DEVICES),
            first: init("certification", LABELS),
            second: init("developer", CODE),
            mirror: init("maintenance", PLANT),
            directory,
        };
        court.home.serve();
        let origin = court.origin();
        for (witness, key) in [(&mut court.first, court.home.key()), (&mut court.second, court.home.key())] {
            witness.ics(&["peer", "add", "home", "--key", &key, "--cosign", &origin]).ok();
            witness.serve();
        }
        for witness in [&court.first, &court.second] {
            let add = ["peer", "add", &witness.name(), "--url", &witness.url, "--key", &witness.key(), "--witness"];
            court.home.ics(&add).ok();
        }
        court.mirror.mirror(DEVICES, &court.home);
        court.mirror.serve();
        court
    }

    fn origin(&self) -> String {
        self.home.get(&format!("/v1/domains/{DEVICES}"))["origin"].as_str().expect("an origin").to_owned()
    }

    /// Demands this quorum of the two witnesses and any others given.
    fn demand(&self, quorum: &str, others: &[&str]) -> Value {
        let witness = |node: &Node| format!("--add-witness={}={}", node.name(), node.key());
        let (first, second) = (witness(&self.first), witness(&self.second));
        let update = ["domain", "update", &first, &second, "--quorum", quorum];
        self.home.json(&[&update, others].concat());
        self.home.json(&["domain", "submit"])
    }

    fn publish(&self, first: u32, count: u32) -> Value {
        let list = self.home.write(&format!("devices-{first}.csv"), devices_csv(first, count));
        self.home.json(&["publish", "--from", &list])
    }

    fn size(&self) -> u64 {
        self.home.holds(DEVICES).expect("held")["size"].as_u64().expect("a size")
    }
}

impl Node {
    /// The key of its cosignatures in the form of C2SP signed-note.
    fn cosigner(&self) -> String {
        let key: [u8; 32] = STANDARD.decode(self.key()).expect("base64").try_into().expect("32 bytes");
        VerifierKey::new(&self.name(), Algorithm::Cosignature, &key).expect("a key").to_string()
    }

    fn note(&self) -> String {
        String::from_utf8(self.get_bytes(&format!("/v1/domains/{DEVICES}/checkpoint"), &[])).expect("text")
    }
}

/// The size that a note states.
fn size_of(note: &str) -> u64 {
    note.lines().nth(1).and_then(|line| line.parse().ok()).expect("a size")
}

fn is_cosigned_by(note: &str, witness: &Node) -> bool {
    note.contains(&format!("\u{2014} {} ", witness.name()))
}

#[test]
fn what_is_acknowledged_has_its_witnesses() {
    let mut court = Court::new();
    eventually("both have cosigned without being demanded", || {
        let note = court.home.note();
        [&court.first, &court.second].into_iter().all(|witness| is_cosigned_by(&note, witness)).then_some(())
    });
    assert_eq!(court.demand("2", &[])["version"], 2);
    let keys = court.home.get(&format!("/v1/domains/{DEVICES}"))["witness_keys"].clone();
    assert_eq!(keys, json!([court.first.cosigner(), court.second.cosigner()]));
    assert_eq!(court.publish(1, 5)["published"], 5);
    let (size, note) = (court.size(), court.home.note());
    assert_eq!(size_of(&note), size, "what was acknowledged is shown");
    assert!([&court.first, &court.second].into_iter().all(|witness| is_cosigned_by(&note, witness)), "{note}");
    court.mirror.catches_up(&court.home, DEVICES);
    eventually("the mirror shows the cosignatures", || {
        is_cosigned_by(&court.mirror.note(), &court.first).then_some(())
    });
    a_receipt_is_a_proof(&court);

    // Without one of the two nothing is acknowledged, nothing is shown, and nothing is lost.
    court.second.kill();
    let suspend = ["status", "suspended", "serial:SN-0001", "--yes"];
    let refused = court.home.ics(&suspend);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("cosigned"), "{}", refused.stderr);
    assert!(court.size() > size, "it is in the log");
    assert_eq!(size_of(&court.home.note()), size, "and is not shown");
    assert_eq!(court.mirror.holds(DEVICES).expect("held")["size"], size);
    let status = court.home.json(&["peer", "status"]).to_string();
    assert!(status.contains("last_error"), "operators see who is missing: {status}");
    // The home is killed meanwhile: what waits is not forgotten.
    court.home.kill();
    court.home.serve();
    assert_eq!(size_of(&court.home.note()), size);
    court.second.serve();
    eventually("the witness is back", || (size_of(&court.home.note()) == court.size()).then_some(()));
    court.mirror.catches_up(&court.home, DEVICES);
    let history = court.home.json(&["history", "serial:SN-0001"]).to_string();
    assert!(history.contains("suspended"), "what waited has effect: {history}");
    assert_eq!(court.home.holds(DEVICES).expect("held")["alarms"], json!([]));

    // Owners whose witness is gone for good demand another quorum, and the mirror follows them.
    let name = court.second.name();
    court.second.kill();
    court.home.json(&["domain", "update", "--remove-witness", &name, "--quorum", "1"]);
    assert_eq!(court.home.json(&["domain", "submit"])["version"], 3);
    assert_eq!(court.publish(200, 2)["published"], 2);
    court.mirror.catches_up(&court.home, DEVICES);
    assert_eq!(court.mirror.holds(DEVICES).expect("held")["descriptor"], 3);
}

/// It is exported as a C2SP tlog-proof and verified without a network, by the keys alone.
fn a_receipt_is_a_proof(court: &Court) {
    let path = court.directory.path().join("entry.tlog-proof");
    let file = path.to_str().expect("text");
    court.home.json(&["export", "--entry", "3", "-o", file]);
    let text = fs::read_to_string(&path).expect("a proof");
    let by_api = court.home.get_bytes(&format!("/v1/domains/{DEVICES}/entries/3/tlog-proof"), &[]);
    assert_eq!(text.lines().nth(2), Some("index 3"));
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    assert_eq!(String::from_utf8(by_api).expect("text").lines().nth(1), text.lines().nth(1));

    let log = court.home.get(&format!("/v1/domains/{DEVICES}"))["verifier_key"].as_str().expect("a key").to_owned();
    let witness = |node: &Node| node.cosigner();
    let (first, second) = (witness(&court.first), witness(&court.second));
    let elsewhere = court.directory.path().join("nobody");
    let verify =
        |more: &[&str]| ics(&elsewhere, &[&["--json", "verify", "--document", file, "--log-key", &log], more].concat());
    let report = verify(&["--witness", &first, "--witness", &second]).json();
    assert_eq!((&report["index"], &report["kind"]), (&json!(3), &json!("statement")), "{report}");
    assert_eq!(report["witnesses"].as_array().map(Vec::len), Some(2), "{report}");
    let stranger = witness(&court.mirror);
    verify(&["--witness", &first, "--witness", &stranger]).ends_with(1);
    verify(&["--witness", &first, "--witness", &stranger, "--quorum", "1"]).json();
    verify(&["--witness", &first, "--witness", &first, "--quorum", "2"]).ends_with(1);
    ics(&elsewhere, &["verify", "--document", file]).ends_with(2);
    fs::write(&path, text.replace("index 3", "index 2")).expect("written");
    verify(&[]).ends_with(1);
    fs::write(&path, &text).expect("written");
    let body = path.with_extension("pgp");
    let mut bytes = fs::read(&body).expect("a body");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&body, bytes).expect("written");
    verify(&[]).ends_with(1);
}

/// A home that was restored from a copy and does not know what it has signed; its witnesses have seen it, and show it.
/// Only while they are away does it sign another history.
#[test]
fn a_witness_cosigns_no_second_history() {
    let mut court = Court::new();
    let copy = court.directory.path().join("copy").to_str().expect("text").to_owned();
    court.home.json(&["backup", &copy]);
    court.publish(1, 5);
    let seen = court.size();
    eventually("the witness has seen it", || is_cosigned_by(&court.home.note(), &court.first).then_some(()));
    let former = court.home.note();
    court.home.kill();
    court.mirror.kill();
    // Without the heads' files the home does not know what it has signed.
    court.home.ics(&["restore", &copy]).ends_with(1);
    fs::remove_dir_all(court.home.home.join("data/heads")).expect("gone");
    court.home.json(&["restore", "--alone", DEVICES]);
    court.home.serve_until("/livez");
    let told = eventually("the witness proves to the home that it has signed more", || {
        let alarms = court.home.holds(DEVICES)?["alarms"].to_string();
        alarms.contains("shows a checkpoint with this home's signature").then_some(alarms)
    });
    assert!(told.contains("has seen") && told.contains("ics restore"), "{told}");
    assert_eq!(tools::fetch(&format!("{}/readyz", court.home.url), &[]).0, 503);
    let refused = court.home.ics(&["publish", "--from", &court.home.write("more.csv", devices_csv(90, 1))]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    court.home.kill();
    let alone = court.home.ics(&["restore", "--alone", DEVICES]).ends_with(5);
    assert!(alone.stderr.contains("silent"), "it knows that more was signed, over restarts: {}", alone.stderr);

    // It is made to forget that once more.
    fs::remove_dir_all(court.home.home.join("data/heads")).expect("gone");
    court.first.kill();
    court.second.kill();
    court.home.serve();
    court.publish(50, 8);
    assert!(court.size() > seen);
    court.first.serve();
    eventually("the witness finds the fork", || {
        let held = court.home.holds(DEVICES)?;
        held["alarms"].to_string().contains("of another log").then_some(())
    });
    let refused = court.home.ics(&["publish", "--from", &court.home.write("more.csv", devices_csv(90, 1))]);
    assert_ne!(refused.code, 0, "it adds nothing to it: {}", refused.stdout);
    assert!(!is_cosigned_by(&court.home.note(), &court.first));
    a_stranger_gets_the_size_that_was_seen(&court, seen, &former);
    // After a restart as well.
    court.first.kill();
    court.first.serve();
    a_stranger_gets_the_size_that_was_seen(&court, seen, &former);
    court.home.kill();
    let told = court.home.ics(&["fsck"]).ends_with(5).stdout;
    assert!(told.contains("another root at size"), "{told}");
}

/// On another disk it does not know what it has cosigned since its copy was made.
#[test]
fn a_witness_that_is_put_back_elsewhere_is_silent_until_its_operator_answers_for_it() {
    let mut court = Court::new();
    let copy = court.directory.path().join("copy").to_str().expect("text").to_owned();
    court.first.json(&["backup", &copy]);
    court.publish(1, 5);
    eventually("it is cosigned", || is_cosigned_by(&court.home.note(), &court.first).then_some(()));
    court.first.kill();
    fs::remove_dir_all(court.first.home.join("data")).expect("gone");
    let told = court.first.ics(&["--json", "restore", &copy, "--alone", LABELS]).ends_with(1);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["witness"], "silent", "{told}");

    court.first.serve();
    court.publish(10, 2);
    hears_and_refuses(&court);

    assert!(!is_cosigned_by(&court.home.note(), &court.first), "and cosigns nothing");

    court.first.kill();
    assert_eq!(court.first.json(&["restore", "--cosign-again"])["witness"], "current");
    court.first.serve();
    court.publish(20, 2);
    eventually("it cosigns again", || is_cosigned_by(&court.home.note(), &court.first).then_some(()));
}

/// A witness that does not know what it has cosigned still records what it is shown, and says what to do.
fn hears_and_refuses(court: &Court) {
    let ask = || {
        let note = court.home.note();
        let request = court.home.write("request", format!("old {}\n\n{note}", size_of(&note)));
        tools::post(&format!("{}/add-checkpoint", court.first.url), "text/plain", &request)
    };
    let answer = eventually("it hears the home", || Some(ask()).filter(|(status, _)| *status != 409));
    assert_eq!(answer.0, 503);
    assert!(String::from_utf8_lossy(&answer.1).contains("ics restore --cosign-again"));
}

/// Only its keys and its configuration were kept.
#[test]
fn a_witness_that_begins_anew_with_its_old_key_is_silent() {
    let mut court = Court::new();
    court.publish(1, 5);
    eventually("it is cosigned", || is_cosigned_by(&court.home.note(), &court.first).then_some(()));
    court.first.kill();
    fs::remove_dir_all(court.first.home.join("data")).expect("gone");
    court.first.serve();
    court.publish(10, 2);
    hears_and_refuses(&court);
    assert!(!is_cosigned_by(&court.home.note(), &court.first));
    court.first.kill();
    assert_eq!(court.first.json(&["restore", "--cosign-again"])["witness"], "current");
    court.first.serve();
    court.publish(20, 2);
    eventually("it cosigns again", || is_cosigned_by(&court.home.note(), &court.first).then_some(()));
}

/// The third accepts connections and answers nobody.
#[test]
fn a_witness_that_hangs_delays_nothing_while_the_others_are_enough() {
    let court = Court::new();
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", hangs.local_addr().expect("an address"));
    let (name, key) = (court.mirror.name(), court.mirror.key());
    court.home.ics(&["peer", "add", &name, "--url", &url, "--key", &key, "--witness"]).ok();
    court.demand("2", &[&format!("--add-witness={name}={key}")]);
    for first in 0..10 {
        let began = Instant::now();
        assert_eq!(court.publish(1 + first * 10, 1)["published"], 1);
        assert!(began.elapsed() < GIVEN_UP, "entry {first} took {:?}", began.elapsed());
    }
    let note = court.home.note();
    assert!([&court.first, &court.second].into_iter().all(|witness| is_cosigned_by(&note, witness)), "{note}");
    let status = court.home.json(&["peer", "status"]).to_string();
    assert!(status.contains("last_error"), "operators see who is missing: {status}");
}

/// With curl, as any log would ask.
fn a_stranger_gets_the_size_that_was_seen(court: &Court, seen: u64, former: &str) {
    let ask = |text: String| {
        let file = court.home.write("request", text);
        let (status, answer) = tools::post(&format!("{}/add-checkpoint", court.first.url), "text/plain", &file);
        (status, String::from_utf8(answer).expect("text"))
    };
    assert_eq!(ask(format!("old 0\n\n{former}")), (409, format!("{seen}\n")));
    let (status, line) = ask(format!("old {seen}\n\n{former}"));
    assert_eq!(status, 200, "what it has cosigned it cosigns again: {line}");
    assert!(line.starts_with(&format!("\u{2014} {} ", court.first.name())) && line.ends_with('\n'), "{line}");
    let another = court.home.note();
    assert_eq!(ask(format!("old {seen}\n\n{another}")).0, 422, "another history, without a proof");
    assert_eq!(ask(format!("old {}\n\n{former}", seen + 1)).0, 400);
    assert_eq!(ask("nothing".to_owned()).0, 400);
    let unsigned = former.split("\n\n").next().expect("a text");
    assert_eq!(ask(format!("old {seen}\n\n{unsigned}\n\n\u{2014} x AAAAAAA=\n")).0, 403);
    let unknown = former.replace(DEVICES, CODE);
    assert_eq!(ask(format!("old 0\n\n{unknown}")).0, 404);
}
