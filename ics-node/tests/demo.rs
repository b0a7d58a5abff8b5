//! The demo: the real program, five real nodes, and what each step must show.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn demo(arguments: &[&str], temporary: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ics"))
        .args(["demo", "--exit"])
        .args(arguments)
        .env("TMPDIR", temporary)
        .output()
        .expect("the demo runs")
}

#[test]
fn every_step_goes_as_told_and_nothing_is_left() {
    let temporary = tempfile::tempdir().expect("a directory");
    let output = demo(&["--json"], temporary.path());
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");

    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (ready, steps) = lines.split_last().expect("lines");
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    assert_eq!(
        names,
        ["nodes", "publish", "release", "mirror", "adopt", "decide", "crash", "stolen", "recall", "refuse", "evidence"]
    );
    for step in steps {
        assert_eq!(step["ok"], true, "{step}");
        let has_proof = step["evidence"].as_array().expect("evidence").iter().any(|fact| fact["checked"] == true);
        assert!(has_proof || step["name"] == "nodes", "{step}");
    }
    let data: BTreeMap<_, _> = names.iter().zip(steps).map(|(name, step)| (*name, &step["data"])).collect();

    assert_eq!(data["publish"]["pumps"], 6);
    for outcome in ["allow", "deny", "unknown"] {
        assert_eq!(data["decide"][outcome]["outcome"], outcome);
        assert!(data["decide"][outcome]["reasons"][0].is_string());
    }
    let acknowledged = data["crash"]["acknowledged"].as_u64().expect("a number");
    assert!((1..160).contains(&acknowledged), "killed at work, not after it: {acknowledged}");
    for (step, status) in [("stolen", "stolen"), ("recall", "withdrawn")] {
        let reason = data[step]["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("\"{status}\"")), "{reason}");
    }
    assert_eq!(data["recall"]["denied"], 4);
    let codes = ["unknown-signer", "role-not-held", "bad-signature", "foreign-domain"];
    assert_eq!(data["refuse"]["codes"], json!(codes.map(|code| format!("urn:ics:problem:{code}"))));
    assert_eq!(data["evidence"]["status"], "in-use", "the integrator's domain knows of no recall");

    assert_eq!(ready["nodes"].as_object().expect("nodes").len(), 5);
    for url in ready["nodes"].as_object().expect("nodes").values() {
        let address = url.as_str().expect("an address").trim_start_matches("http://");
        assert!(std::net::TcpStream::connect(address).is_err(), "a node outlived the demo at {address}");
    }
    let left = std::fs::read_dir(temporary.path()).expect("the directory").count();
    assert_eq!(left, 0, "the demo left something behind");
}

#[test]
fn a_directory_in_use_is_refused() {
    let taken = tempfile::tempdir().expect("a directory");
    let home = taken.path().join("manufacturer");
    std::fs::create_dir(&home).expect("created");
    std::fs::write(home.join("precious"), "data").expect("written");
    let output = demo(&["--dir", taken.path().to_str().expect("text")], taken.path());
    assert_eq!(output.status.code(), Some(5));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("exists and is not empty") && errors.contains("--dir"), "{errors}");
    assert_eq!(std::fs::read(home.join("precious")).expect("still there"), b"data");
}
