//! Devices that make their keys when they are set up.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::stage::{DOMAIN, Stage};

/// A device asks to be introduced; returns its id.
pub(crate) fn request(stage: &Stage, home: &str, serial: &str) -> String {
    let words = ["enroll", "request", "--domain", DOMAIN, "--serial", serial, "--set", "model=P7"];
    let asked = stage.run_in(home, &words);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(asked.json()["state"], "waiting");
    asked.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_device_asks_and_an_operator_introduces_it() {
    let stage = Stage::started();
    let id = request(&stage, "device", "SN-42");
    let key = stage.path("device/keys/device.asc");
    assert_eq!(std::fs::metadata(key).expect("a key").permissions().mode() & 0o777, 0o600);
    assert_eq!(request(&stage, "device", "SN-42"), id, "asking again is the same request");

    let waiting = stage.ok(&["enroll", "list"]);
    assert_eq!(waiting["items"].as_array().map(Vec::len), Some(1));
    let unasked = stage.run(&["enroll", "approve", &id]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    stage.ok(&["enroll", "approve", &id, "--yes"]);

    let state = stage.run_in("device", &["enroll", "state", "--domain", DOMAIN]);
    assert_eq!((state.code, state.json()["state"].as_str()), (0, Some("approved")));
    let record = stage.record("serial:SN-42");
    assert_eq!((record["id"].as_str(), record["title"].as_str()), (Some(id.as_str()), Some("device SN-42")));
    assert_eq!(stage.ok(&["enroll", "list"])["items"].as_array().map(Vec::len), Some(0));
}

#[test]
fn what_devices_ask_for_is_shown_and_nobody_gets_the_name_of_another() {
    let stage = Stage::started();
    let (first, second) = (request(&stage, "device", "SN-42"), request(&stage, "other", "SN-42"));
    let both = stage.run(&["enroll", "approve", "--all", "--dry-run"]);
    assert_eq!(both.code, 1, "{both:?}");
    assert!(both.failure().0.starts_with("`serial:SN-42` is asked for by two things: "), "{both:?}");

    let planned = stage.ok(&["enroll", "approve", &first, "--dry-run"]);
    assert_eq!(planned[0]["statement"]["serial"][0], "SN-42", "{planned}");
    let shown = stage.for_people("home", &["enroll", "approve", &first, "--dry-run"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for expected in ["named  serial:SN-42", "about  model P7"] {
        assert!(shown.stderr.contains(expected), "`{expected}` is not in\n{}", shown.stderr);
    }
    stage.ok(&["enroll", "approve", &first, "--yes"]);
    let size = stage.size("serial:SN-42");
    let refused = stage.run(&["enroll", "approve", &second, "--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.failure().0.starts_with("`serial:SN-42` is the name of another thing: device SN-42"),
        "{refused:?}"
    );
    assert_eq!(stage.size("serial:SN-42"), size, "nothing was submitted");
    stage.ok(&["enroll", "approve", &second, "--again", "--yes"]);
    assert_eq!(stage.run_in("other", &["enroll", "state", "--domain", DOMAIN]).code, 0);
}

/// The key of a pending request as its manufacturer's list has it, which yields another fingerprint.
fn bare_key(stage: &Stage) -> String {
    let waiting = stage.ok(&["enroll", "list"]);
    let certificate = waiting["items"][0]["request"]["certificate"].as_str().expect("a certificate");
    let certificate = STANDARD.decode(certificate).expect("base64");
    let key = ics_node::keys::primary_key(&certificate).expect("a key");
    STANDARD.encode(key.to_spki_der().expect("X.509 has it"))
}

#[test]
fn a_key_that_a_blocked_thing_has_does_not_come_back_under_another_fingerprint() {
    let stage = Stage::started();
    let id = request(&stage, "device", "SN-42");
    let key = bare_key(&stage);
    stage.ok(&["publish", "--spki", &key, "--serial", "SN-1"]);
    let known = stage.record("serial:SN-1")["id"].as_str().expect("an id").to_owned();
    assert_ne!(known, id);
    stage.ok(&["status", "suspended", "serial:SN-1", "--yes"]);

    let waiting = stage.ok(&["enroll", "list"]);
    assert_eq!(waiting["items"][0]["same_key"], serde_json::json!([known]));
    let refused = stage.run(&["enroll", "approve", &id, "--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(refused.failure().0, format!("the key of {id} is that of another thing, {known}"));
    let state = stage.run_in("device", &["enroll", "state", "--domain", DOMAIN]).json();
    assert!(state["state"] == "waiting" && state.get("same_key").is_none(), "a stranger is not told: {state}");
    stage.ok(&["enroll", "approve", &id, "--again", "--yes"]);
}

#[test]
fn a_key_that_another_thing_has_is_not_published() {
    let stage = Stage::started();
    let id = request(&stage, "device", "SN-42");
    let key = bare_key(&stage);
    stage.ok(&["enroll", "approve", &id, "--yes"]);
    let refused = stage.run(&["publish", "--spki", &key, "--serial", "SN-1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let told = refused.failure().0;
    assert!(told.starts_with("`spki:") && told.contains(&format!("is the name of another thing: device SN-42, {id}")));
    stage.ok(&["publish", "--spki", &key, "--serial", "SN-1", "--again"]);
}

#[test]
fn a_request_is_refused() {
    let stage = Stage::started();
    let id = request(&stage, "device", "SN-43");
    let refused = stage.ok(&["enroll", "refuse", &id, "--reason", "not ours"]);
    assert_eq!(refused["state"], "refused");
    let state = stage.run_in("device", &["enroll", "state", "--domain", DOMAIN]);
    assert_eq!((state.code, state.json()["state"].as_str()), (1, Some("refused")));
    assert_eq!(state.json()["reason"], "not ours");
    let shown = stage.for_people("device", &["--node", stage.url(), "enroll", "state", "--domain", DOMAIN]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.stdout.contains("not ours"), "{shown:?}");
    let approved = stage.run(&["enroll", "approve", &id, "--yes"]);
    assert_eq!(approved.code, 3, "{approved:?}");

    assert_eq!(request(&stage, "device", "SN-44"), id, "the same key asks for another name");
    let waiting = stage.ok(&["enroll", "list"]);
    assert_eq!(waiting["items"][0]["request"]["names"], serde_json::json!(["serial:SN-44"]));
    assert_eq!(waiting["items"][0]["reason"], serde_json::Value::Null);
}

/// No erasure of a statement reaches the request, which may name people.
#[test]
fn a_request_is_forgotten_whatever_became_of_it() {
    let stage = Stage::started();
    let id = request(&stage, "device", "SN-42");
    stage.ok(&["enroll", "approve", &id, "--yes"]);
    let forgotten = stage.ok(&["enroll", "forget", &id]);
    assert_eq!((forgotten["id"].as_str(), forgotten["state"].as_str()), (Some(id.as_str()), Some("approved")));
    let gone = stage.run_in("device", &["enroll", "state", "--domain", DOMAIN]);
    assert_eq!(gone.code, 3, "{gone:?}");
    assert_eq!(stage.run(&["enroll", "forget", &id]).code, 3);
    assert_eq!(stage.record("serial:SN-42")["id"], id.as_str(), "it stays introduced");
    let waiting = request(&stage, "other", "SN-43");
    stage.ok(&["enroll", "forget", &waiting]);
    assert_eq!(stage.ok(&["enroll", "list"])["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(request(&stage, "other", "SN-43"), waiting, "it may ask again");
}

#[test]
fn only_the_operator_sees_requests() {
    let stage = Stage::started();
    request(&stage, "device", "SN-42");
    let state = stage.run_in("device", &["enroll", "state", "--domain", DOMAIN]).json();
    assert!(state["state"] == "waiting" && state.get("request").is_none(), "{state}");
    let stranger = stage.run_in("stranger", &["enroll", "list", "--domain", DOMAIN]);
    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert!(stranger.failure().1.contains("operator_token_file"), "{stranger:?}");
}
