//! A maintenance domain that takes over by itself what a manufacturer says later.

use serde_json::{Value, json};

use crate::node::eventually;
use crate::town::{DEVICES, PLANT, Town};
use crate::{devices_csv, spki};

/// The status of a device in the integrator's own domain, in a word; nothing where it does not know it.
fn status(town: &Town, device: &str) -> Option<String> {
    let view = town.integrator.ics(&["--json", "lookup", device]);
    let view: Value = serde_json::from_str(&view.stdout).ok()?;
    let records = view["records"].as_array()?.clone();
    let own = records.into_iter().find(|record| record["record"]["domain"] == PLANT)?;
    Some(own["record"]["status"]["name"].as_str().unwrap_or("").to_owned())
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

    // Also what was said while the node was down; and no more once it is told so.
    town.integrator.kill();
    town.maker.json(&["status", "compromised", "serial:SN-2001", "--yes"]);
    town.integrator.serve();
    eventually("after a stop", || (status(&town, "serial:SN-2001")? == "compromised").then_some(()));
    let shown = town.integrator.get(&format!("/v1/domains/{PLANT}"));
    let follows = &shown["follows"][0];
    assert_eq!((&follows["source"], &follows["identities"]), (&json!(DEVICES), &json!(1)), "{shown}");
    assert_eq!(follows["choices"], json!(["lot 2026-12"]), "{shown}");
    eventually("it is up to date", || {
        let shown = town.integrator.get(&format!("/v1/domains/{PLANT}"));
        (shown["follows"][0]["lag_entries"] == json!(0)).then_some(())
    });
    town.integrator.json(&["adopt", "--from", DEVICES, "--lot", "2026-12", "--no-follow"]);
    town.integrator.json(&["adopt", "--from", DEVICES, "serial:SN-2100", "--no-follow"]);
    let ended = town.integrator.get(&format!("/v1/domains/{PLANT}"));
    assert!(ended["follows"].is_null(), "{ended}");
}
