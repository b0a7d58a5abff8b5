//! Answers about something other than what was asked for.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::between::{stands_before, stands_in};
use crate::stage::{DOMAIN, Stage, spki};

/// Publishes a device; returns its id, and the index of the statement.
fn publish(stage: &Stage, number: u64, serial: &str) -> (String, u64) {
    let published = stage.ok(&["publish", "--spki", &spki(number), "--serial", serial]);
    (published["id"].as_str().expect("an id").to_owned(), published["index"].as_u64().expect("an index"))
}

/// A man in the middle who asks the node about something else.
fn liar(stage: &Stage, asked: String, other: String) -> String {
    stands_before(stage.url(), move |head| Ok(head.replacen(&asked, &other, 1)))
}

#[test]
fn nothing_is_signed_of_another_thing_than_the_one_that_was_named() {
    let stage = Stage::started();
    let ((asked, _), (other, _)) = (publish(&stage, 1, "SN-1"), publish(&stage, 2, "SN-2"));
    let size = stage.size("serial:SN-1");
    let liar = liar(&stage, format!("/identities/{asked} "), format!("/identities/{other} "));
    let ended = stage.run(&["status", "stolen", &asked, "--yes", "--node", &liar]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.failure().0.contains(&format!("does not fit together: it is about {other}")), "{ended:?}");
    assert_eq!(stage.size("serial:SN-1"), size, "nothing was submitted");
    // The impostor does not touch look-ups by name, and requests get through.
    let named = stage.run(&["status", "in-use", "serial:SN-1", "--yes", "--node", &liar]);
    assert_eq!(named.code, 0, "{named:?}");
    assert_eq!(stage.status("serial:SN-1"), "in-use");
}

#[test]
fn no_other_entry_is_erased_than_the_one_that_was_named() {
    let stage = Stage::started();
    let ((_, asked), (_, other)) = (publish(&stage, 1, "SN-1"), publish(&stage, 2, "SN-2"));
    let size = stage.size("serial:SN-1");
    let liar = liar(&stage, format!("/entries/{asked}/erasure "), format!("/entries/{other}/erasure "));
    let ended = stage.run(&["erase", "--entry", &asked.to_string(), "--yes", "--node", &liar]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let expected = format!("proposes to erase entry {other} in the place of entry {asked}");
    assert!(ended.failure().0.contains(&expected), "{ended:?}");
    assert_eq!(stage.size("serial:SN-1"), size, "nothing was submitted");
}

/// An impostor that gives this message to everybody who asks for a credential; also returns the first lines of its
/// requests.
fn challenger(id: &str, message: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let challenge = json!({ "id": id, "nonce": "n", "message": message, "expires": "2099-01-01T00:00:00Z" });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let url = stands_in(move |head| {
        hears.lock().expect("a lock").extend(head.lines().next().map(str::to_owned));
        challenge.to_string()
    });
    (url, heard)
}

#[test]
fn no_statement_is_signed_in_the_place_of_a_challenge() {
    let stage = Stage::new();
    let id = stage.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let descriptor = json!({ "domain": DOMAIN, "version": 2 }).to_string();
    let good = format!("ICS ACME credential\nics.example\n{DOMAIN}\n{id}\nn\n");
    for (message, requests, why) in
        [(descriptor, 1, "wants more signed than a credential needs"), (good, 2, "is not understood")]
    {
        let (url, heard) = challenger(&id, &message);
        let ended = stage.run(&["acme", "eab", "--node", &url]);
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(ended.failure().0.contains(why), "{ended:?}");
        let heard = heard.lock().expect("a lock");
        assert_eq!(heard.len(), requests, "{heard:?}");
        assert!(heard[0].starts_with(&format!("POST /v1/domains/{DOMAIN}/acme/challenge ")), "{heard:?}");
    }
}

#[test]
fn evidence_of_another_domain_is_not_taken_for_that_of_the_one_that_was_named() {
    let stage = Stage::started();
    publish(&stage, 1, "SN-1");
    let path = |name: &str| stage.path(name).to_str().expect("UTF-8").to_owned();
    let (pack, taken) = (path("pump.json"), path("taken.json"));
    stage.ok(&["export", "serial:SN-1", "-o", &pack]);
    let evidence = std::fs::read_to_string(&pack).expect("read");
    let liar = stands_in(move |_| evidence.clone());
    let file = stage.write("firmware.bin", "firmware");
    let (verify, export) = (["verify", file.as_str()], ["export", "serial:SN-1", "-o", taken.as_str()]);
    for words in [&verify[..], &export[..]] {
        let ended = stage.run(&[words, &["--domain", "other.example", "--node", liar.as_str()]].concat());
        assert_eq!(ended.code, 4, "{ended:?}");
        let expected = format!("evidence of `{DOMAIN}`, but `other.example` was asked for");
        assert!(ended.failure().0.contains(&expected), "{ended:?}");
    }
    assert!(!stage.path("taken.json").exists(), "nothing was written");
}
