//! Statuses that block for ever, and what is said beside them.

use serde_json::Value;

use crate::reading::publish;
use crate::stage::{Stage, spki};

/// The key of a scrapped thing turns up, or a compromised thing is scrapped.
#[test]
fn what_blocks_for_ever_stays_beside_what_its_signer_says_later() {
    let stage = Stage::started();
    for (number, statuses) in [(1, ["destroyed", "compromised"]), (2, ["compromised", "destroyed"])] {
        let thing = format!("serial:SN-{number}");
        publish(&stage, number, &format!("SN-{number}"));
        stage.ok(&["status", "suspended", &thing, "--yes"]);
        for status in statuses {
            stage.ok(&["status", status, &thing, "--yes"]);
        }
        let record = stage.record(&thing);
        let listed = record["statements"].as_array().expect("statements").iter();
        let said = |it: &Value| format!("{} {}", it["status"], it["standing"]).replace('"', "");
        let said: Vec<String> = listed.filter(|it| it["act"] == "status").map(said).collect();
        let [first, second] = statuses.map(|status| format!("{status} stands"));
        assert_eq!(said, ["suspended replaced".to_owned(), first, second], "{record}");
        // Only the owners can bring it back.
        let again = stage.run(&["status", "in-use", &thing, "--yes"]);
        assert_eq!(again.code, 1, "{again:?}");
    }
    publish(&stage, 3, "SN-3");
    stage.ok(&["publish", "--group", "All pumps", "--select", "model=P7"]);
    for status in ["destroyed", "compromised"] {
        stage.ok(&["status", status, "--group", "All pumps", "--yes"]);
    }
}

#[test]
fn what_is_compromised_is_replaced_and_stays_compromised() {
    let stage = Stage::started();
    let old = publish(&stage, 1, "SN-1");
    stage.ok(&["status", "compromised", "serial:SN-1", "--yes"]);
    let key = stage.write("new.spki", spki(2));
    let replace = ["replace", "serial:SN-1", "--with", &key, "--in-use", "--yes"];
    assert_eq!(stage.run(&replace).code, 0);
    let former = stage.record(&old);
    assert_eq!(former["status"]["name"], "compromised", "{former}");
    assert_eq!(former["vouched"].as_array().map(Vec::len), Some(0), "nobody vouches for it any more: {former}");
    assert_eq!(stage.status("serial:SN-1"), "in-use");
    let size = stage.size("serial:SN-1");
    let again = stage.run(&replace);
    assert!(again.code == 2 && again.failure().0.contains("nothing is missing"), "{again:?}");
    assert_eq!(stage.size("serial:SN-1"), size);
}

#[test]
fn a_replacement_that_stopped_half_way_is_completed_by_the_same_command() {
    let stage = Stage::started();
    for (number, status) in [(1, None), (2, Some("compromised"))] {
        let (name, serial) = (format!("serial:SN-{number}"), format!("SN-{number}"));
        let old = publish(&stage, number, &serial);
        if let Some(status) = status {
            stage.ok(&["status", status, &name, "--yes"]);
        }
        // This is how far an earlier attempt got.
        let successor = spki(number + 10);
        stage.ok(&["publish", "--spki", &successor, "--serial", &serial, "--again", "--replaces", &old]);
        let key = stage.write("new.spki", &successor);
        let size = stage.size(&old);
        let replaced = stage.run(&["replace", &name, "--with", &key, "--in-use", "--yes"]);
        assert_eq!(replaced.code, 0, "{replaced:?}");
        let ends = if status.is_some() { 1 } else { 2 };
        assert_eq!(stage.size(&old), size + 1 + ends, "in use, and what ends the old one: it is not introduced again");
        assert_eq!(stage.record(&old)["vouched"].as_array().map(Vec::len), Some(0));
        assert_eq!(stage.status(&name), "in-use");
    }
}
