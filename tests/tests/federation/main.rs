//! A federation of five real processes, used through its command line and HTTP, with its records checked by gpg and sq.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod carried;
mod clocks;
mod copies;
mod crash;
mod erasure;
mod following;
mod hands;
mod links;
mod node;
mod outbox;
mod restores;
mod roaming;
mod tools;
mod town;
mod witnesses;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::openpgp::key::PublicKey;
use serde_json::{Value, json};

use crate::node::{Node, eventually, ics};
use crate::town::{CODE, DEVICES, LABELS, PLANT, Town, said};

const PUMP: &str = "serial:SN-0001";
const LOT: &str = "Lot 2026-11";

/// The SubjectPublicKeyInfo of an Ed25519 key in DER, base64.
pub(crate) fn spki(seed: u32) -> String {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&seed.to_be_bytes());
    let key = ed25519_dalek::SigningKey::from_bytes(&secret).verifying_key();
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    STANDARD.encode([prefix.as_slice(), key.as_bytes()].concat())
}

/// A factory's list of devices, numbered from `first`.
pub(crate) fn devices_csv(first: u32, count: u32) -> String {
    let rows = (first..first + count).map(|number| format!("{},SN-{number:04}\n", spki(number)));
    core::iter::once("spki,serial\n".to_owned()).chain(rows).collect()
}

#[test]
fn the_story_of_a_federation() {
    let town = Town::found();
    let pump = the_maker_publishes(&town);
    let firmware = the_developer_publishes(&town);
    a_mirror_forwards_what_the_certifier_and_the_owner_say(&town);
    the_integrator_selects_and_the_gateway_allows(&town, &firmware);
    duplicates_get_their_first_receipt(&town);
    stock_tools_agree(&town, &pump);
    evidence_is_verified_without_a_network(&town);
    a_stolen_device_is_denied(&town);
    a_recall_of_a_lot_denies_all_of_it(&town);
    copies_equal_their_homes(&town);
}

/// Publishes one device by its bare key, fifty from a list, and their lot.
fn the_maker_publishes(town: &Town) -> String {
    let key = town.bench.bare_key("pump");
    let about = ["--serial", "SN-0001", "--manu", "Acme", "--model", "P7", "--lot", "2026-11"];
    let pump = town.maker.json(&[&["publish", "--key", &key, "--kind", "device"], about.as_slice()].concat());
    let pem = std::fs::read_to_string(&key).expect("a key");
    let expected = PublicKey::from_spki_pem(&pem).expect("a P-256 key").fingerprint().to_string();
    assert_eq!(pump["id"], expected, "every importer of a bare key gets the same id");

    let list = town.maker.write("devices.csv", devices_csv(1_000, 50));
    let from_list = ["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-11"];
    let first = town.maker.json(&from_list);
    assert_eq!((&first["published"], &first["already"], &first["refused"]), (&json!(50), &json!(0), &json!(0)));
    let again = town.maker.json(&from_list);
    assert_eq!((&again["published"], &again["already"]), (&json!(0), &json!(50)), "done again it changes nothing");

    town.maker.json(&["publish", "--group", LOT, "--select", "model=P7", "--select", "lot=2026-11"]);
    let listed = town.maker.get(&format!("/v1/domains/{DEVICES}/identities?lot=2026-11&kind=device&limit=100"));
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(51));
    expected
}

fn the_developer_publishes(town: &Town) -> String {
    let file = town.bench.file("firmware.bin", b"pump firmware 2.4.1");
    let file = file.to_str().expect("text");
    let published = town.developer.json(&["publish", "--file", file, "--name", "p7-firmware", "--version", "2.4.1"]);
    let id = published["id"].as_str().expect("an id").to_owned();
    said(&town.developer.json(&["status", "released", &id, "--yes"]));
    id
}

/// The certifier speaks in its own domain about a device that it knows from its copy of the maker's. The buyer, whom
/// the maker has made the owner, speaks in the maker's domain through the buyer's own node.
fn a_mirror_forwards_what_the_certifier_and_the_owner_say(town: &Town) {
    town.certifier.catches_up(&town.maker, DEVICES);
    said(&town.certifier.json(&["label", "medical-device-2027", PUMP, "--yes"]));

    town.integrator.catches_up(&town.maker, DEVICES);
    let as_owner = ["status", "in-use", PUMP, "--domain", DEVICES, "--role", "owner", "--yes"];
    let before = town.maker.holds(DEVICES).expect("held")["size"].clone();
    let refused = town.integrator.ics(&as_owner).ends_with(1);
    assert!(refused.stderr.contains("role"), "nobody is an owner before being made one: {}", refused.stderr);
    assert_eq!(town.maker.holds(DEVICES).expect("held")["size"], before, "nothing of it was stored");

    said(&town.maker.json(&["grant", "owner", PUMP, "--to", &town.integrator.signer(), "--yes"]));
    town.integrator.catches_up(&town.maker, DEVICES);
    let index = said(&town.integrator.json(&as_owner));
    let history = town.maker.json(&["history", PUMP]);
    let items = history["items"].as_array().expect("items");
    assert!(items.iter().any(|item| item["index"] == index && item["act"] == "status"), "{history}");
}

fn the_integrator_selects_and_the_gateway_allows(town: &Town, firmware: &str) {
    town.adopt(&town.maker, PUMP);
    town.adopt(&town.certifier, PUMP);
    town.adopt(&town.developer, firmware);
    town.infield_says("deny", PUMP, "connect");
    town.put_into_use(PUMP);
    let verdict = town.infield_says("allow", PUMP, "connect");
    assert!(verdict["derivation"].as_array().is_some_and(|steps| !steps.is_empty()), "{verdict}");
    town.infield_says("deny", firmware, "install");
    said(&town.integrator.json(&["approve", firmware, "--yes"]));
    town.infield_says("allow", firmware, "install");

    let record = town.integrator.get(&format!("/v1/domains/{PLANT}/identities/{PUMP}"));
    assert_eq!(record["record"]["labels"][0]["value"], "medical-device-2027", "adopted: {record}");
    town.infield_says("unknown", "serial:SN-9999", "connect");
}

/// The same bytes are submitted again, at the home and at a mirror.
fn duplicates_get_their_first_receipt(town: &Town) {
    let entry = town.maker.get(&format!("/v1/domains/{DEVICES}/entries/2"));
    let body = STANDARD.decode(entry["body"].as_str().expect("a body")).expect("base64");
    let file = town.bench.file("again.pgp", &body);
    for node in [&town.maker, &town.integrator] {
        let url = format!("{}/v1/domains/{DEVICES}/statements", node.url);
        let (status, answer) = tools::post(&url, "application/octet-stream", file.to_str().expect("text"));
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(status, 200, "{answer}");
        let receipt = &answer["results"][0]["receipt"];
        assert_eq!((&receipt["index"], &receipt["leaf"]), (&json!(2), &entry["receipt"]["leaf"]), "{answer}");
    }
    let url = format!("{}/v1/domains/{CODE}/statements", town.developer.url);
    let (_, answer) = tools::post(&url, "application/octet-stream", file.to_str().expect("text"));
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["results"][0]["problem"]["status"], 403, "a statement for another domain: {answer}");
    let empty = town.bench.file("empty.pgp", b"");
    let (status, answer) = tools::post(&url, "application/octet-stream", empty.to_str().expect("text"));
    assert_eq!(status, 422);
    assert!(String::from_utf8_lossy(&answer).contains("the request has no body"));
}

/// gpg and sq check what nodes serve.
fn stock_tools_agree(town: &Town, pump: &str) {
    let bench = &town.bench;
    let device = bench.path().join("pump.asc");
    let out = device.to_str().expect("text");
    town.maker.ics(&["export", PUMP, "--openpgp", "--armor", "-o", out]).ok();
    for party in [&town.maker, &town.integrator, &town.developer] {
        bench.gpg(&["--import", &party.signer()]);
    }
    bench.gpg(&["--allow-non-selfsigned-uid", "--import", "pump.asc"]);
    let checked = bench.gpg(&["--list-options", "show-notations", "--check-sigs", pump]);
    for expected in ["act@cm4it.example=identity", "serial@cm4it.example=SN-0001", "act@cm4it.example=grant", "sig!"] {
        assert!(checked.contains(expected), "{expected}: {checked}");
    }
    assert!(!checked.contains("sig-") && !checked.contains("sig%"), "{checked}");
    let inspected = bench.ok("sq", &["inspect", "--certifications", "pump.asc"]);
    assert!(inspected.replace(' ', "").to_lowercase().contains(pump), "{inspected}");

    let file = bench.file("tool.bin", b"a service tool");
    let tool =
        town.developer.json(&["publish", "--file", file.to_str().expect("text"), "--name", "tool", "--version", "1"]);
    let id = tool["id"].as_str().expect("an id");
    let message = bench.path().join("tool.pgp");
    town.developer.ics(&["export", id, "--openpgp", "-o", message.to_str().expect("text")]).ok();
    assert!(bench.gpg(&["--verify", "tool.pgp"]).contains("Good signature"));
    let document = bench.ok("sq", &["verify", "--signer-cert", &town.developer.signer(), "tool.pgp"]);
    assert!(document.contains(&id["sha256:".len()..]), "the document names the digest: {document}");
    let mut damaged = std::fs::read(&message).expect("a message");
    let place = damaged.windows(4).position(|bytes| bytes == b"tool").expect("the name stands in it");
    damaged[place] ^= 1;
    bench.file("damaged.pgp", &damaged);
    assert!(bench.fails("gpg", &["--batch", "--verify", "damaged.pgp"]).contains("BAD signature"));
}

/// Evidence is carried to a place without a network.
fn evidence_is_verified_without_a_network(town: &Town) {
    let pack = town.bench.path().join("pump.evidence.json");
    let file = pack.to_str().expect("text");
    town.maker.json(&["export", PUMP, "-o", file]);
    let elsewhere = town.bench.path().join("nobody");
    let origin = town.maker.holds(DEVICES).expect("held")["origin"].as_str().expect("an origin").to_owned();
    let report = ics(&elsewhere, &["--json", "verify", "--document", file, "--pin", &origin]).json();
    assert_eq!(report["pinned"], true, "{report}");
    ics(&elsewhere, &["verify", "--document", file, "--pin", &format!("{DEVICES}/{}", "00".repeat(32))]).ends_with(1);

    let evidence: Value = serde_json::from_slice(&std::fs::read(&pack).expect("a pack")).expect("JSON");
    let entries = evidence["entries"].as_array().expect("entries").len();
    for entry in 0..entries {
        refuses_a_changed_body(&elsewhere, town, &evidence, entry);
    }
}

fn refuses_a_changed_body(elsewhere: &Path, town: &Town, evidence: &Value, entry: usize) {
    let mut tampered = evidence.clone();
    let body = &mut tampered["entries"][entry]["body"];
    let mut bytes = STANDARD.decode(body.as_str().expect("a body")).expect("base64");
    *bytes.last_mut().expect("bytes") ^= 1;
    *body = STANDARD.encode(bytes).into();
    let path = town.bench.file("tampered.json", tampered.to_string().as_bytes());
    ics(elsewhere, &["verify", "--document", path.to_str().expect("text")]).ends_with(1);
}

fn a_stolen_device_is_denied(town: &Town) {
    said(&town.integrator.json(&["status", "stolen", PUMP, "--reason", "taken from site 4", "--yes"]));
    let verdict = town.infield_says("deny", PUMP, "connect");
    assert!(verdict.to_string().contains("stolen"), "{verdict}");
}

fn a_recall_of_a_lot_denies_all_of_it(town: &Town) {
    let others = ["serial:SN-1001", "serial:SN-1049"];
    for device in others {
        town.adopt(&town.maker, device);
        town.put_into_use(device);
        town.infield_says("allow", device, "connect");
    }
    said(&town.maker.json(&["status", "suspended", "--group", LOT, "--reason", "the battery may overheat", "--yes"]));
    for device in others {
        let verdict = town.infield_says("deny", device, "connect");
        assert!(verdict.to_string().contains("suspended"), "{verdict}");
    }
    for number in [1_000, 1_025] {
        let device = format!("serial:SN-{number}");
        let verdict = town.infield_says("deny", &device, "operate");
        assert!(verdict.to_string().contains("suspended"), "not for want of approval alone: {verdict}");
    }
}

/// Every copy has the root of its home at every size, and the home's root matches its tiles.
fn copies_equal_their_homes(town: &Town) {
    let copies: [(&Node, &[&Node]); 3] = [
        (&town.maker, &[&town.certifier, &town.integrator, &town.infield]),
        (&town.developer, &[&town.integrator]),
        (&town.integrator, &[&town.infield]),
    ];
    for (home, mirrors) in copies {
        let domain = home.domain;
        let (size, root) = copies::checkpoint(home, domain);
        let leaves = copies::leaves(home, domain, size);
        assert_eq!(copies::root(&leaves), root, "{domain}");
        for mirror in mirrors {
            let same = || (copies::checkpoint(mirror, domain) == (size, root)).then_some(());
            eventually(&format!("{} has the root of {domain}", mirror.url), same);
            assert_eq!(copies::leaves(mirror, domain, size), leaves, "{domain} at {}", mirror.url);
            assert_eq!(mirror.holds(domain).expect("held")["alarms"], json!([]), "{domain} at {}", mirror.url);
            for earlier in (1..=size).step_by(7) {
                let expected = copies::root(&leaves[..usize::try_from(earlier).expect("small")]);
                assert_eq!(copies::root_at(mirror, domain, earlier), expected, "{domain} at size {earlier}");
            }
        }
    }
    assert!(
        town.maker.holds(PLANT).is_none() && town.maker.holds(LABELS).is_none() && town.infield.holds(CODE).is_none()
    );
}
