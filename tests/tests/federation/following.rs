//! A maintenance domain that automatically adopts what a manufacturer says later.

use std::time::{Duration, Instant};

use ics_sync::news::HEARTBEAT_SECONDS;
use serde_json::{Value, json};

use crate::node::{Node, eventually};
use crate::town::{DEVICES, LABELS, PLANT, Town, adopts_from, said};
use crate::{devices_csv, spki, tools};

/// The status of a device in the integrator's own domain; `None` if that does not know it.
fn status(town: &Town, device: &str) -> Option<String> {
    let view = town.integrator.ics(&["--json", "lookup", device]);
    let view: Value = serde_json::from_str(&view.stdout).ok()?;
    let records = view["records"].as_array()?.clone();
    let own = records.into_iter().find(|record| record["record"]["domain"] == PLANT)?;
    Some(own["record"]["status"]["name"].as_str().unwrap_or("").to_owned())
}

/// Whoever has adopted something that a new epoch of its source lacks is told so.
#[test]
fn what_a_source_loses_is_told_where_it_was_taken_over() {
    let mut town = Town::found();
    town.maker.json(&["publish", "--spki", &spki(2_100), "--serial", "SN-2100", "--model", "P8"]);
    town.adopt(&town.maker, "serial:SN-2100");
    town.integrator.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--follow"]);
    let copy = town.maker.home.with_extension("copy").to_str().expect("text").to_owned();
    town.maker.json(&["backup", &copy]);
    let lost = said(&town.maker.json(&["status", "lost", "serial:SN-2100", "--yes"]));
    eventually("what will be lost", || (status(&town, "serial:SN-2100")? == "lost").then_some(()));
    town.maker.kill();
    town.maker.ics(&["restore", &copy]).ends_with(1);
    town.maker.json(&["restore", "--begin-anew", DEVICES]);
    town.maker.serve();
    town.integrator.kill();
    town.integrator.json(&["domain", "recopy", DEVICES, "--yes"]);
    town.integrator.serve();
    let told = eventually("it is told", || {
        let alarms = town.integrator.holds(PLANT)?["alarms"].as_array()?.clone();
        let mut alarms = alarms.into_iter().filter(|alarm| alarm["kind"] == "lost-at-source");
        Some((alarms.next()?["text"].as_str()?.to_owned(), alarms.count()))
    });
    let begin =
        format!("{DEVICES}: a new epoch of its log lacks what was said there from entry {lost} on. 1 statement of");
    assert!(told.0.starts_with(&begin) && !told.0.contains("SN-2100"), "{told:?}");
    assert_eq!(told.1, 0, "once");
    assert_eq!(status(&town, "serial:SN-2100").as_deref(), Some("lost"), "what was taken over stays");
}

/// Membership of a lot is judged in the labelling domain: by what it has adopted and will adopt.
#[test]
fn a_certification_body_labels_the_lot_of_another_domain() {
    let town = Town::found();
    let list = town.maker.write("devices.csv", devices_csv(2_000, 2));
    town.maker.json(&["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-12"]);
    town.maker.json(&["publish", "--group", "Lot 2026-12", "--select", "lot=2026-12"]);
    adopts_from(&town.certifier, &[(&town.maker, "manufacturer")]);
    town.certifier.catches_up(&town.maker, DEVICES);
    town.certifier.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--follow"]);
    said(&town.certifier.json(&["label", "medical-device-2027", "--group", "Lot 2026-12", "--yes"]));
    let late = ["publish", "--spki", &spki(2_003), "--serial", "SN-2003", "--model", "P7", "--lot", "2026-12"];
    town.maker.json(&late);
    for device in ["serial:SN-2000", "serial:SN-2003"] {
        eventually(&format!("{device} has the label"), || {
            let view = town.certifier.ics(&["--json", "lookup", device]);
            let view: Value = serde_json::from_str(&view.stdout).ok()?;
            let records = view["records"].as_array()?.clone();
            let own = records.into_iter().find(|record| record["record"]["domain"] == LABELS)?;
            (own["record"]["labels"][0]["value"] == "medical-device-2027").then_some(())
        });
    }
}

#[test]
fn a_recall_is_taken_over_without_anyones_hand() {
    let mut town = Town::found();
    let list = town.maker.write("devices.csv", devices_csv(2_000, 3));
    town.maker.json(&["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-12"]);
    town.maker.json(&["publish", "--group", "Lot 2026-12", "--select", "lot=2026-12"]);
    let alone = ["publish", "--spki", &spki(2_100), "--serial", "SN-2100", "--model", "P8", "--lot", "2026-99"];
    town.maker.json(&alone);
    town.integrator.catches_up(&town.maker, DEVICES);

    let adopted = town.integrator.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--follow"]);
    assert_eq!(adopted["identities"].as_array().map(Vec::len), Some(3), "{adopted}");
    town.integrator.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--follow"]);
    assert_eq!(status(&town, "serial:SN-2000").as_deref(), Some(""), "adopted, without a status");

    town.maker.json(&["status", "suspended", "--group", "Lot 2026-12", "--reason", "battery", "--yes"]);
    let all = ["serial:SN-2000", "serial:SN-2001", "serial:SN-2002"];
    for device in all {
        eventually(&format!("{device} is recalled"), || (status(&town, device)? == "suspended").then_some(()));
    }
    assert_eq!(status(&town, "serial:SN-2100").as_deref(), Some(""), "another lot is not");

    let late = ["publish", "--spki", &spki(2_003), "--serial", "SN-2003", "--model", "P7", "--lot", "2026-12"];
    town.maker.json(&late);
    eventually("what comes later is recalled too", || (status(&town, "serial:SN-2003")? == "suspended").then_some(()));
    town.maker.json(&["status", "stolen", "serial:SN-2100", "--yes"]);
    eventually("followed by its name", || (status(&town, "serial:SN-2100")? == "stolen").then_some(()));

    // Including what was said while the node was down; and nothing more once it is told to stop.
    town.integrator.kill();
    town.maker.json(&["status", "compromised", "serial:SN-2001", "--yes"]);
    town.integrator.serve();
    eventually("after a stop", || (status(&town, "serial:SN-2001")? == "compromised").then_some(()));
    let shown = town.integrator.follows(PLANT);
    let follows = &shown[0];
    assert_eq!((&follows["source"], &follows["identities"]), (&json!(DEVICES), &json!(1)), "{shown}");
    assert_eq!(follows["choices"], json!(["lot 2026-12"]), "{shown}");
    let is_done = || town.integrator.follows(PLANT)[0]["lag_entries"] == json!(0);
    eventually("it is up to date", || is_done().then_some(()));
    town.integrator.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--no-follow"]);
    town.integrator.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--no-follow"]);
    let ended = town.integrator.follows(PLANT);
    assert!(ended.is_null(), "{ended}");
}

/// A manufacturer, and a maintenance company that keeps no copy of the manufacturer's domain.
struct Pair {
    maker: Node,
    plant: Node,
    _homes: tempfile::TempDir,
}

impl Pair {
    /// The manufacturer has three devices of one lot and one of another; the company follows the lot and the single
    /// device.
    fn found() -> Self {
        let homes = tempfile::tempdir().expect("a directory");
        let mut maker = Node::init(homes.path(), "manufacturer", DEVICES);
        let mut plant = Node::init(homes.path(), "maintenance", PLANT);
        maker.serve();
        let list = maker.write("devices.csv", devices_csv(2_000, 3));
        maker.json(&["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-12"]);
        maker.json(&["publish", "--group", "Lot 2026-12", "--select", "lot=2026-12"]);
        maker.json(&["publish", "--spki", &spki(2_100), "--serial", "SN-2100", "--model", "P8", "--lot", "2026-99"]);
        plant.ics(&["peer", "add", "maker", "--url", &maker.url, "--roam", &maker.origin()]).ok();
        plant.serve();
        adopts_from(&plant, &[(&maker, "manufacturer")]);
        let pair = Self { maker, plant, _homes: homes };
        pair.plant.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--follow"]);
        pair.plant.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--follow"]);
        pair
    }

    /// The status of a device in the company's own domain; `None` if that does not know it.
    fn status(&self, serial: &str) -> Option<String> {
        let path = format!("{}/v1/domains/{PLANT}/identities/serial:{serial}", self.plant.url);
        let (code, body) = tools::fetch(&path, &[]);
        let record: Value = serde_json::from_slice(&body).ok().filter(|_| code == 200)?;
        Some(record["record"]["status"]["name"].as_str().unwrap_or("").to_owned())
    }

    /// The time until the company knows that these devices have a status.
    fn until(&self, what: &str, expected: &str, serials: &[&str]) -> Duration {
        let begun = Instant::now();
        let all_are = || serials.iter().all(|serial| self.status(serial).as_deref() == Some(expected));
        eventually(&format!("{what}: {serials:?} are `{expected}`"), || all_are().then_some(()));
        println!("{what}: {} ms", begun.elapsed().as_millis());
        begun.elapsed()
    }
}

/// Only an operator can give up what was seen of its log, as with a copy. What was adopted stays.
#[test]
fn a_new_epoch_that_lost_what_was_seen_is_followed_again_by_the_operators_word() {
    let mut pair = Pair::found();
    pair.until("what is followed by its name", "", &["SN-2100"]);
    pair.until("what there is of the lot", "", &["SN-2000"]);
    let copy = pair.maker.home.with_extension("copy").to_str().expect("text").to_owned();
    pair.maker.json(&["backup", &copy]);
    pair.maker.json(&["status", "lost", "serial:SN-2100", "--yes"]);
    pair.until("what will be lost", "lost", &["SN-2100"]);
    pair.maker.kill();
    pair.maker.ics(&["restore", &copy]).ends_with(1);
    pair.maker.json(&["restore", "--begin-anew", DEVICES]);
    pair.maker.serve();
    let answer = pair.maker.get_bytes(&format!("/v1/domains/{DEVICES}"), &[]);
    let source = pair.maker.write("source.json", answer);
    pair.plant.json(&["domain", "update", "--add-source", &source]);
    pair.plant.json(&["domain", "submit"]);
    pair.maker.json(&["status", "stolen", "serial:SN-2000", "--yes"]);
    eventually("it says so", || {
        let alarms = pair.plant.holds(PLANT)?["alarms"].to_string();
        let is_failing = pair.plant.follows(PLANT)[0]["state"] == "failing";
        (is_failing && alarms.contains("is of another log")).then_some(())
    });
    assert_eq!(pair.status("SN-2000").as_deref(), Some(""), "nothing of it is taken");
    let refused = pair.plant.ics(&["domain", "recopy", DEVICES, "--yes"]).ends_with(5);
    assert!(refused.stderr.contains("stop the node first"), "{}", refused.stderr);
    pair.plant.kill();
    let refused = pair.plant.ics(&["domain", "recopy", DEVICES]).ends_with(2);
    assert!(refused.stderr.contains("Ask the owners"), "{}", refused.stderr);
    let told = pair.plant.json(&["domain", "recopy", DEVICES, "--yes"]);
    assert!(told["seen"].as_u64().is_some_and(|seen| seen > 0) && told["forks"] != 0, "{told}");
    pair.plant.serve();
    pair.until("what it says now", "stolen", &["SN-2000"]);
    assert_eq!(pair.status("SN-2100").as_deref(), Some("lost"), "it was taken over");
    eventually("the alarm ends", || {
        let alarms = pair.plant.holds(PLANT)?["alarms"].to_string();
        (!alarms.contains("is of another log")).then_some(())
    });
}

#[test]
fn a_recall_is_taken_over_without_a_copy() {
    let mut pair = Pair::found();
    let lot = ["SN-2000", "SN-2001", "SN-2002"];
    pair.until("what there is of the lot", "", &lot);
    pair.until("what is followed by its name", "", &["SN-2100"]);
    assert!(pair.plant.holds(DEVICES).is_none(), "nothing of the domain is here");

    pair.maker.json(&["status", "stolen", "serial:SN-2100", "--yes"]);
    let took = pair.until("a device", "stolen", &["SN-2100"]);
    pair.maker.json(&["status", "suspended", "--group", "Lot 2026-12", "--reason", "battery", "--yes"]);
    let took = took.max(pair.until("a lot", "suspended", &lot));
    // What is pushed comes long before the next heartbeat, on a busy machine as well.
    assert!(took < Duration::from_secs(HEARTBEAT_SECONDS - 1), "it took {took:?}");
    let late = ["publish", "--spki", &spki(2_003), "--serial", "SN-2003", "--model", "P7", "--lot", "2026-12"];
    pair.maker.json(&late);
    pair.until("what comes later", "suspended", &["SN-2003"]);

    // The home was away; then this node was, and missed what was said meanwhile.
    pair.maker.kill();
    let follows = |pair: &Pair| pair.plant.follows(PLANT)[0].clone();
    eventually("it says that the home is not heard", || follows(&pair)["last_error"].is_string().then_some(()));
    let failing = |pair: &Pair, is_failing: u8| {
        let line = format!("ics_follow_failing{{domain=\"{PLANT}\",source=\"{DEVICES}\"}} {is_failing}\n");
        pair.plant.metrics().contains(&line)
    };
    eventually("an alarm may be raised of it", || failing(&pair, 1).then_some(()));
    pair.maker.serve();
    eventually("it is heard again", || follows(&pair)["last_error"].is_null().then_some(()));
    eventually("so it is no longer", || failing(&pair, 0).then_some(()));
    pair.maker.json(&["status", "destroyed", "serial:SN-2000", "--yes"]);
    pair.until("after the home was away", "destroyed", &["SN-2000"]);
    pair.plant.kill();
    pair.maker.json(&["status", "destroyed", "serial:SN-2100", "--yes"]);
    pair.maker.json(&["status", "compromised", "--group", "Lot 2026-12", "--yes"]);
    pair.plant.serve();
    pair.until("after a stop", "destroyed", &["SN-2100"]);
    pair.until("of the lot too", "compromised", &["SN-2001", "SN-2002", "SN-2003"]);
    eventually("all is well", || follows(&pair)["last_error"].is_null().then_some(()));
    assert_eq!(follows(&pair)["choices"], json!(["lot 2026-12"]));

    pair.plant.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--no-follow"]);
    pair.plant.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--no-follow"]);
    assert!(pair.plant.follows(PLANT).is_null());
}
