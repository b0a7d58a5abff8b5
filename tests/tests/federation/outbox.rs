//! A party that speaks in another party's domain while its home cannot be reached.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PUMP;
use crate::node::{Node, eventually};
use crate::tools;
use crate::town::{DEVICES, PLANT};

fn waiting(node: &Node) -> Vec<Value> {
    let items = node.json(&["outbox"]);
    let all = items.as_array().expect("items").clone();
    all.into_iter().filter(|item| item["pending"].is_object()).collect()
}

/// A maker, and an integrator that copies its domain and owns the pump.
fn maker_and_owner() -> (TempDir, Node, Node) {
    let homes = tempfile::tempdir().expect("a directory");
    let mut maker = Node::init(homes.path(), "manufacturer", DEVICES);
    let mut integrator = Node::init(homes.path(), "maintenance", PLANT);
    maker.serve();
    integrator.mirror(DEVICES, &maker);
    integrator.serve();
    maker.json(&["publish", "--spki", &crate::spki(1), "--serial", "SN-0001"]);
    maker.json(&["grant", "owner", PUMP, "--to", &integrator.signer(), "--yes"]);
    integrator.catches_up(&maker, DEVICES);
    (homes, maker, integrator)
}

#[test]
fn what_is_said_without_a_link_arrives_in_order_also_after_sigkill() {
    let (_homes, mut maker, mut integrator) = maker_and_owner();
    let says = |status: &str| {
        integrator.json(&["status", status, PUMP, "--domain", DEVICES, "--role", "owner", "--yes"])[0].clone()
    };
    assert!(says("in-use")["index"].is_u64(), "the home answers at once");
    integrator.catches_up(&maker, DEVICES);
    let before = maker.holds(DEVICES).expect("held")["size"].as_u64().expect("a size");

    maker.kill();
    for (number, status) in ["lost", "suspended", "retired"].into_iter().enumerate() {
        if status == "suspended" {
            let words = ["status", status, PUMP, "--domain", DEVICES, "--role", "owner", "--yes"];
            let told = integrator.ics(&words).ends_with(0);
            assert!(told.stderr.contains("blocks nothing yet"), "{}", told.stderr);
        } else {
            let said = says(status);
            assert!(said["index"].is_null() && said["pending"]["since"].is_string(), "{status}: {said}");
        }
        assert_eq!(waiting(&integrator).len(), number + 1, "{status}");
    }
    // Only the home can find that no role of the signer permits it.
    let arguments = ["label", "approved-2027", PUMP, "--domain", DEVICES, "--role", "owner", "--yes"];
    assert!(integrator.json(&arguments)[0]["pending"].is_object());
    let strangers = integrator.write("stranger.pgp", b"nobody has signed this");
    let url = format!("{}/v1/domains/{DEVICES}/statements", integrator.url);
    let (status, _) = tools::post(&url, "application/pgp-keys", &strangers);
    assert!(status >= 400, "a stranger's submission is not kept");

    integrator.kill();
    integrator.serve();
    let after = waiting(&integrator);
    assert_eq!(after.len(), 4, "{after:?}");
    let metrics = integrator.metrics();
    assert!(metrics.contains(&format!("ics_outbox_statements{{domain=\"{DEVICES}\"}} 4\n")), "{metrics}");
    let why = eventually("it was tried", || waiting(&integrator)[0]["pending"]["why"].as_str().map(str::to_owned));
    assert!(why.contains("cannot be reached"), "{why}");

    maker.serve();
    eventually("nothing waits", || waiting(&integrator).is_empty().then_some(()));
    let items = integrator.json(&["outbox"]);
    let mut done: Vec<&Value> = items.as_array().expect("items").iter().collect();
    done.sort_by_key(|item| item["id"].as_u64());
    let indices: Vec<Option<u64>> = done.iter().map(|item| item["receipt"]["index"].as_u64()).collect();
    let expected = [Some(before), Some(before + 1), Some(before + 2), None];
    assert_eq!(indices[indices.len() - 4..], expected, "in order, each once: {items}");
    let refused = &done.last().expect("four")["problem"];
    assert_eq!(refused["status"], json!(403), "the reason of the refusal is kept: {refused}");
    assert_eq!(maker.holds(DEVICES).expect("held")["size"], json!(before + 3));
    let statuses = maker.json(&["history", PUMP]);
    assert!(statuses["items"].as_array().is_some_and(|items| items.len() >= 6), "{statuses}");
}

/// What the home may still refuse is not published; whoever asks again is told the result.
#[test]
fn rows_of_a_file_that_wait_are_not_published() {
    let (_homes, mut maker, integrator) = maker_and_owner();
    maker.kill();
    let rows: String = (100..102).map(|number| format!("{},SN-{number}\n", crate::spki(number))).collect();
    let rows = integrator.write("devices.csv", format!("spki,serial\n{rows}"));
    let words = ["--json", "publish", "--from", &rows, "--domain", DEVICES, "--role", "owner"];
    for _ in 0..2 {
        let told = integrator.ics(&words).json();
        assert_eq!(
            (&told["published"], &told["waiting"], &told["already"]),
            (&json!(0), &json!(2), &json!(0)),
            "{told}"
        );
    }
    maker.serve();
    eventually("nothing waits", || waiting(&integrator).is_empty().then_some(()));
    let told: Value = serde_json::from_str(&integrator.ics(&words).ends_with(1).stdout).expect("JSON");
    assert_eq!((&told["waiting"], &told["refused"]), (&json!(0), &json!(2)), "{told}");
}
