//! Mirrors of other domains, and adoption from them.

use std::time::{Duration, Instant};

use ics_node::client::node::Node;
use serde_json::Value;

use crate::reading::publish;
use crate::stage::{DOMAIN, Stage};

const PLANT: &str = "plant.example";

/// A manufacturer with two devices, and a plant whose rules allow adopting from it.
fn neighbours() -> (Stage, Stage) {
    let acme = Stage::started();
    publish(&acme, 1, "SN-1");
    publish(&acme, 2, "SN-2");
    let signer = acme.ok(&["key", "show", "signer"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let plant = Stage::of("maintenance", PLANT);
    let source = plant.write("acme.json", acme_info(&acme).to_string());
    let (role, names) = (format!("manufacturer={signer}"), "manufacturer=*");
    plant.ok(&["domain", "update", "--add-source", &source, "--add-signer", &role, "--add-names", names]);
    (acme, plant)
}

/// What the node says about its domain.
fn acme_info(acme: &Stage) -> Value {
    let node = Node::new(acme.url()).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let info = runtime.block_on(node.domain(&DOMAIN.parse().expect("a domain"))).expect("answers");
    serde_json::to_value(info).expect("JSON")
}

/// The state of the plant's only mirror, once it is current.
fn current(plant: &Stage) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = plant.ok(&["peer", "status"]);
        let pulled = &status[0]["pulls"][0];
        if pulled["state"] == "current" && pulled["size"].as_u64() > Some(1) {
            return pulled.clone();
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_domain_is_mirrored_and_adopted_from() {
    let (acme, mut plant) = neighbours();
    let origin = acme_info(&acme)["origin"].as_str().expect("an origin").to_owned();
    let add = |domain: &str, more: &[&str]| {
        plant.run(&[&["peer", "add", "acme", domain, "--url", acme.url()], more].concat())
    };
    let unasked = add(DOMAIN, &[]);
    assert_eq!((unasked.code, unasked.failure().0.as_str()), (2, "there is nobody to compare the origin"));
    let other = format!("{DOMAIN}/{}", "07".repeat(32));
    let refused = add(&other, &["--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let unknown = add("none.example", &["--yes"]);
    let (why, advice) = unknown.failure();
    assert_eq!((unknown.code, why.as_str()), (3, "the peer does not hold the domain `none.example`"));
    assert!(advice.starts_with(&format!("{}/v1/domains", acme.url())), "{advice}");
    assert_eq!(plant.ok(&["peer", "list"]), Value::Array(Vec::new()));

    assert_eq!(add(&origin, &[]).code, 0);
    assert_eq!(add(&origin, &[]).code, 0, "done again it changes nothing");
    assert_eq!(plant.ok(&["peer", "list"])[0]["mirror"][0], origin.as_str());
    plant.start();
    plant.ok(&["domain", "submit"]);
    assert_eq!(current(&plant)["domain"], DOMAIN);

    // A domain that has only spoken about a thing knows no name of it; the node's other domains do.
    plant.ok(&["approve", "serial:SN-2", "--yes"]);
    let history = plant.ok(&["history", "serial:SN-2"]);
    assert_eq!(history["items"][0]["act"], "approval", "{history}");
    let alone = plant.ok(&["lookup", "serial:SN-2", "--domain", PLANT]);
    assert_eq!(alone["records"][0]["record"]["domain"], PLANT, "{alone}");
    assert_eq!(plant.run(&["history", "serial:SN-1"]).code, 3, "nothing was said about it there");

    let adopted = plant.ok(&["adopt", "--from", DOMAIN, "serial:SN-1"]);
    assert_eq!((&adopted["adopted"], adopted["identities"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    let again = plant.ok(&["adopt", "--from", DOMAIN, "--model", "P7"]);
    assert_eq!((&again["adopted"], &again["present"]), (&1.into(), &2.into()));
    let view = plant.ok(&["lookup", "serial:SN-1"]);
    assert_eq!(view["records"].as_array().map(Vec::len), Some(2), "two domains know it");
    let history = plant.ok(&["history", "serial:SN-1"]);
    assert_eq!(history["items"][0]["source"][0]["domain"], DOMAIN);
    let nothing = plant.run(&["adopt", "--from", DOMAIN, "--lot", "none"]);
    assert_eq!(nothing.code, 3, "{nothing:?}");

    plant.ok(&["adopt", "--from", DOMAIN, "--model", "P7", "--follow"]);
    let removed = plant.for_people("home", &["peer", "remove", "acme"]);
    let is_told = removed.stderr.contains(&format!("follows {DOMAIN}, and no peer brings what is said there any more"));
    assert!(removed.code == 0 && is_told, "{removed:?}");
    assert_eq!(plant.ok(&["peer", "list"]), Value::Array(Vec::new()));
}

#[test]
fn an_origin_that_was_mistyped_is_taken_back() {
    const AWAY: &str = "http://127.0.0.1:1";
    let (acme, mut plant) = neighbours();
    let told = |name: &str| acme_info(&acme)[name].as_str().expect("is told").to_owned();
    let origin = told("origin");
    let shown = acme.words_alone("home", &["domain", "show", DOMAIN, "--node", acme.url()]);
    assert!(shown.contains(&origin) && shown.contains(&told("verifier_key")), "{shown}");
    let wrong = format!("{DOMAIN}/{}", "07".repeat(32));
    let add = |plant: &Stage, origin: &str, url: &str| plant.run(&["peer", "add", "acme", origin, "--url", url]);
    plant.start();
    assert_eq!(add(&plant, &wrong, AWAY).code, 0, "nobody is there to compare it with");
    assert_eq!(add(&plant, &origin, acme.url()).code, 0, "nothing has come of the other");
    assert_eq!(plant.ok(&["peer", "list"])[0]["mirror"], serde_json::json!([origin]));
    assert_eq!(current(&plant)["domain"], DOMAIN);
    let two = plant.run(&["peer", "add", "other", &wrong, "--url", AWAY]);
    assert!(two.code == 1 && two.failure().0.contains("two logs of the same name"), "{two:?}");
    let another = add(&plant, &wrong, AWAY);
    assert!(another.code == 1 && another.failure().0.contains("ics domain recopy"), "{another:?}");

    // The same while the node does not run: otherwise it would not start again.
    plant.kill();
    let another = add(&plant, &wrong, AWAY);
    assert!(another.code == 1 && another.failure().0.contains("ics domain recopy"), "{another:?}");
    assert_eq!(plant.ok(&["peer", "list"])[0]["mirror"], serde_json::json!([origin]));
    plant.ok(&["domain", "recopy", DOMAIN]);
    for (origin, url) in [(&wrong, AWAY), (&origin, acme.url())] {
        assert_eq!(add(&plant, origin, url).code, 0, "the copy is empty");
        plant.start();
        plant.kill();
    }
    plant.start();
    assert_eq!(current(&plant)["domain"], DOMAIN);

    // Nor is a peer asked any longer about single things in a log whose origin was mistyped.
    for origin in [&wrong, &origin] {
        plant.ok(&["peer", "add", "asked", "--roam", origin, "--url", acme.url()]);
    }
    let peers = plant.ok(&["peer", "list"]);
    let asked = peers.as_array().and_then(|peers| peers.iter().find(|peer| peer["name"] == "asked"));
    assert_eq!(asked.expect("is listed")["roam"], serde_json::json!([origin]), "{peers}");

    for peer in peers.as_array().into_iter().flatten() {
        plant.ok(&["peer", "remove", peer["name"].as_str().expect("a name")]);
    }
    plant.kill();
    let told = plant.words_alone("home", &["domain", "recopy", DOMAIN]);
    assert!(told.contains("`ics peer add PEER DOMAIN --url URL`"), "{told}");
}

#[test]
fn what_the_rules_do_not_let_in_is_told_and_left_out() {
    let (acme, mut plant) = neighbours();
    plant.ok(&["peer", "add", "acme", DOMAIN, "--yes", "--url", acme.url()]);
    plant.start();
    current(&plant);
    // Version 2 of the rules, which names the manufacturer, was not submitted.
    let refused = plant.run(&["adopt", "--from", DOMAIN, "serial:SN-1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let result = refused.json();
    assert_eq!((&result["adopted"], result["refused"].as_array().map(Vec::len)), (&0.into(), Some(2)));
}
