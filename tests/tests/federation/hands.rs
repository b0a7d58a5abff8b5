//! Responsibilities change hands: another integrator takes over a domain, a device moves from one site to another, and
//! a buyer resells one thing from an order.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Node, eventually};
use crate::town::{DEVICES, PLANT, said};
use crate::{devices_csv, spki};

const PUMP: &str = "serial:SN-0001";
const VALVE: &str = "serial:SN-0002";
const MOTOR: &str = "serial:SN-0003";
const TAKEN_BACK: &str = "serial:SN-0004";
const LIMITED: &str = "serial:SN-0005";
const RECALLED: &str = "serial:SN-0006";
const END: &str = "2040-01-01T00:00:00Z";
const ORDER: &str = "Order 4711";
/// Another site.
const OTHER: &str = "plant2.owner.example";

fn maker(directory: &TempDir) -> Node {
    let mut maker = Node::init(directory.path(), "manufacturer", DEVICES);
    maker.serve();
    maker
}

/// Has the domain adopt from the other one, whose signers have these roles here.
fn takes_from(node: &Node, source: &Node, signers: &[(&str, &Node)]) {
    let answer = source.get_bytes(&format!("/v1/domains/{}", source.domain), &[]);
    let file = node.write(&format!("{}.json", source.domain), answer);
    let mut arguments = vec!["domain".to_owned(), "update".to_owned(), "--add-source".to_owned(), file];
    for (role, signer) in signers {
        arguments.extend(["--add-signer".to_owned(), format!("{role}={}", signer.signer())]);
    }
    arguments.extend(["--add-names".to_owned(), "manufacturer=serial:*".to_owned()]);
    update(node, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

fn update(node: &Node, arguments: &[&str]) {
    node.json(arguments);
    node.json(&["domain", "submit"]);
}

fn adopt(node: &Node, source: &Node, thing: &str) -> Value {
    node.catches_up(source, source.domain);
    node.json(&["adopt", "--from", source.domain, thing])
}

fn record(node: &Node, domain: &str, thing: &str) -> Value {
    node.get(&format!("/v1/domains/{domain}/identities/{thing}"))["record"].clone()
}

/// The standing of each statement of an act, in log order.
fn standings(record: &Value, act: &str) -> Vec<String> {
    let all = record["statements"].as_array().expect("statements").iter().filter(|it| it["act"] == act);
    all.map(|it| it["standing"].as_str().expect("a word").to_owned()).collect()
}

/// Waits until the node decides like that: a node that has just started may not have heard from others yet.
#[track_caller]
fn answers(node: &Node, outcome: &str, thing: &str) {
    let mut last = Value::Null;
    eventually(&format!("{outcome} for {thing}"), || {
        let ran = node.ics(&["--json", "lookup", thing, "--use", "connect"]);
        let verdict: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stderr));
        if verdict["reasons"] != last {
            last = verdict["reasons"].clone();
            println!("{}: {last}", verdict["outcome"]);
        }
        (verdict["outcome"] == outcome).then_some(())
    });
}

#[test]
fn a_new_integrator_signs_all_that_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let maker = maker(&directory);
    let list = maker.write("devices.csv", devices_csv(1, 25));
    maker.json(&["publish", "--from", &list, "--model", "P7"]);
    let mut site = Node::init(directory.path(), "maintenance", PLANT);
    site.mirror(DEVICES, &maker);
    site.serve();
    site.catches_up(&maker, DEVICES);
    takes_from(&site, &maker, &[("manufacturer", &maker)]);
    site.json(&["adopt", "--from", DEVICES, "--model", "P7"]);
    assert_eq!(site.json(&["approve", "--all", "--yes"]), json!([]), "nobody approves of anything yet");
    let plan = site.json(&["approve", "--model", "P7", "--dry-run"]);
    assert_eq!(plan.as_array().map(Vec::len), Some(25), "{plan}");
    assert_eq!(standings(&record(&site, PLANT, PUMP), "approval"), Vec::<String>::new(), "nothing was signed");
    assert_eq!(site.json(&["approve", "--model", "P7", "--yes"]).as_array().map(Vec::len), Some(25));
    said(&site.json(&["status", "in-use", PUMP, "--yes"]));
    said(&site.json(&["status", "stolen", VALVE, "--yes"]));
    site.json(&["withdraw", TAKEN_BACK, "--act", "approval", "--yes"]);
    site.json(&["approve", LIMITED, "--until", END, "--yes"]);
    said(&maker.json(&["status", "suspended", RECALLED, "--yes"]));
    site.catches_up(&maker, DEVICES);

    // The descriptor gives the role to the new signer. What they have already signed by hand is not signed again; what
    // is blocked, here or by its maker, and what nobody approves any more is left out.
    site.ics(&["key", "make", "new-integrator", "--user-id", "New Integrator"]).ok();
    update(&site, &["domain", "update", "--add-signer", "integrator=new-integrator"]);
    let by_new = |more: &[&str]| site.json(&[&["approve", "--signer", "new-integrator", "--yes"], more].concat());
    assert_eq!(by_new(&[PUMP, MOTOR]).as_array().map(Vec::len), Some(2));
    assert_eq!(
        by_new(&["--all"]).as_array().map(Vec::len),
        Some(20),
        "25 without two approved already, one that is stolen, one recalled and one whose approval was taken back"
    );
    let limited = record(&site, PLANT, LIMITED);
    let all = limited["statements"].as_array().expect("statements").iter();
    let by_new_one = all.filter(|it| it["act"] == "approval" && it["name"] == "New Integrator");
    assert_eq!(by_new_one.map(|it| &it["until"]).collect::<Vec<_>>(), [END], "{limited}");
    for thing in [TAKEN_BACK, RECALLED] {
        let approvals = record(&site, PLANT, thing)["approvals"].to_string();
        assert!(!approvals.contains("New Integrator"), "{thing}: {approvals}");
    }
    assert_eq!(by_new(&["--all"]), json!([]), "done again there is nothing left");
    let both = record(&site, PLANT, PUMP);
    assert_eq!(both["approvals"].as_array().map(Vec::len), Some(2), "{both}");

    // The former signer has no say any more, and remains as history.
    update(&site, &["domain", "update", "--remove-signer", "integrator=signer"]);
    let after = record(&site, PLANT, MOTOR);
    assert_eq!(standings(&after, "approval"), ["role-lost", "stands"], "{after}");
    assert_eq!(after["approvals"][0]["name"], "New Integrator", "{after}");
    let refused = site.ics(&["approve", MOTOR, "--yes"]).ends_with(1);
    assert!(refused.stdout.contains("role"), "{}", refused.stdout);
    let history = site.json(&["history", MOTOR]);
    let acts = history["items"].as_array().expect("items").iter().filter(|it| it["act"] == "approval").count();
    assert_eq!(acts, 2, "{history}");
}

#[test]
fn a_device_moves_to_another_site_with_its_history() {
    let directory = tempfile::tempdir().expect("a directory");
    let maker = maker(&directory);
    maker.json(&["publish", "--spki", &spki(1), "--serial", "SN-0001", "--model", "P7"]);
    let mut old = Node::init(directory.path(), "maintenance", PLANT);
    old.mirror(DEVICES, &maker);
    old.serve();
    let second = tempfile::tempdir().expect("a directory");
    let mut new = Node::init(second.path(), "maintenance", OTHER);
    new.mirror(DEVICES, &maker);
    new.mirror(PLANT, &old);
    new.serve();
    takes_from(&old, &maker, &[("manufacturer", &maker)]);
    adopt(&old, &maker, PUMP);
    said(&old.json(&["approve", PUMP, "--yes"]));
    said(&old.json(&["status", "in-use", PUMP, "--yes"]));
    decides(&mut old, &maker);
    answers(&old, "allow", PUMP);

    // The device leaves: this is said once in its old domain, for all who trust that.
    let left = said(&old.json(&["status", "retired", PUMP, "--reason", "moved to plant2.owner.example", "--yes"]));
    answers(&old, "deny", PUMP);

    // The device arrives: all that was said about it comes along, with signatures unchanged. Its former signer has the
    // role here until the device is taken over, and is then history.
    takes_from(&new, &maker, &[("manufacturer", &maker)]);
    takes_from(&new, &old, &[("integrator", &old)]);
    let adopted = adopt(&new, &old, PUMP);
    assert_eq!(
        (&adopted["refused"], &adopted["adopted"].as_u64().map(|count| count >= 4)),
        (&json!([]), &Some(true)),
        "{adopted}"
    );
    decides(&mut new, &maker);
    // It is retired, and nobody here has taken it over.
    answers(&new, "deny", PUMP);
    update(
        &new,
        &[
            "domain",
            "update",
            "--remove-signer",
            &format!("integrator={}", old.signer()),
            "--add-signer",
            "owner=owner",
        ],
    );
    said(&new.json(&["approve", PUMP, "--yes"]));
    let lifts = ["status", "in-use", PUMP, "--lift", "--signer", "owner", "--role", "owner", "--yes"];
    said(&new.json(&lifts));
    answers(&new, "allow", PUMP);
    answers(&old, "deny", PUMP);

    let here = record(&new, OTHER, PUMP);
    assert_eq!(standings(&here, "status"), ["replaced", "replaced", "stands"], "{here}");
    assert_eq!(standings(&here, "approval"), ["role-lost", "stands"], "{here}");
    let retired = here["statements"].as_array().expect("statements").iter().find(|it| it["status"] == "retired");
    let source = &retired.expect("it came along")["source"][0];
    assert_eq!((&source["domain"], &source["index"]), (&json!(PLANT), &json!(left)), "{here}");
    let there = old.json(&["history", PUMP]);
    assert!(there.to_string().contains("moved to plant2.owner.example"), "{there}");
}

/// Has the node decide by what the maker and its own domain say.
fn decides(node: &mut Node, maker: &Node) {
    let (own, makers) = (node.origin(), maker.origin());
    node.trusts(&["--permit", "devices", "--domain", &own, "--domain", &makers]);
    node.restarts_at(None);
    let maker_holds = maker.holds(DEVICES).expect("held")["size"].clone();
    eventually("the copy is there", || (node.holds(DEVICES)?["size"] == maker_holds).then_some(()));
}

#[test]
fn a_buyer_speaks_only_about_the_devices_bought_and_sells_one_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let maker = maker(&directory);
    for number in 1..=2 {
        let serial = format!("SN-000{number}");
        maker.json(&["publish", "--spki", &spki(number), "--serial", &serial, "--lot", "4711"]);
    }
    maker.json(&["publish", "--spki", &spki(3), "--serial", "SN-0003", "--lot", "4712"]);
    maker.json(&["publish", "--group", ORDER, "--select", "lot=4711"]);
    let buyer = Node::init(directory.path(), "maintenance", PLANT);
    let second = tempfile::tempdir().expect("a directory");
    let next = Node::init(second.path(), "maintenance", OTHER);
    said(&maker.json(&["grant", "owner", "--group", ORDER, "--to", &buyer.signer(), "--yes"]));
    let says = |node: &Node, more: &[&str]| {
        let fixed = ["--json", "--node", &maker.url, "status"];
        let as_owner = ["--domain", DEVICES, "--role", "owner", "--yes"];
        node.ics(&[&fixed, more, &as_owner].concat())
    };
    for thing in [PUMP, VALVE] {
        says(&buyer, &["in-use", thing]).ok();
    }
    assert!(says(&buyer, &["in-use", MOTOR]).ends_with(1).stdout.contains("role"), "the buyer does not own it");
    says(&next, &["in-use", PUMP]).ends_with(1);

    // One grant, and the thing is the next owner's; the rest of the order stays the buyer's.
    let sells = ["--json", "--node", &maker.url, "grant", "owner", PUMP, "--to", &next.signer(), "--transfer"];
    let sold = buyer.ics(&[&sells[..], &["--domain", DEVICES, "--role", "owner", "--yes"]].concat()).json();
    let sold = said(&sold);
    says(&next, &["in-use", PUMP]).ok();
    says(&next, &["in-use", VALVE]).ends_with(1);
    assert!(says(&buyer, &["lost", PUMP]).ends_with(1).stdout.contains("role"), "the buyer no longer owns it");
    says(&buyer, &["in-use", VALVE]).ok();
    let pump = record(&maker, DEVICES, PUMP);
    let grants = pump["grants"].as_array().expect("grants");
    assert!(grants.len() == 1 && grants[0]["by"]["index"] == sold, "{pump}");
    assert_eq!(standings(&pump, "grant"), ["replaced", "stands"], "{pump}");

    // What the buyer says about the order applies to the buyer's things; what the maker says about it applies to all.
    says(&buyer, &["suspended", "--group", ORDER]).ok();
    let effect = |thing: &str| record(&maker, DEVICES, thing)["status"]["name"].clone();
    assert_eq!((effect(PUMP), effect(VALVE)), (json!("in-use"), json!("suspended")));
    said(&maker.json(&["status", "suspended", "--group", ORDER, "--reason", "a recall", "--yes"]));
    assert_eq!((effect(PUMP), effect(VALVE)), (json!("suspended"), json!("suspended")));

    // It is sold once more; its previous owner cannot get it back.
    let sells = ["--json", "--node", &maker.url, "grant", "owner", PUMP, "--to", &buyer.signer(), "--transfer"];
    buyer.ics(&[&sells[..], &["--domain", DEVICES, "--role", "owner", "--yes"]].concat()).ends_with(1);
}
