//! Real processes: reports of what was issued, and a device whose key is lost.

use serde_json::Value;

use crate::tools::said;
use crate::town::{DOMAIN, Town};

/// How something is said as the monitor.
const AS_MONITOR: [&str; 5] = ["--signer", "monitor", "--role", "security-controller", "--yes"];

#[test]
fn reports_for_people_for_spreadsheets_and_for_programs() {
    let town = Town::new("\n[alerts]\nevery_seconds = 1\n");
    for name in ["1", "2"] {
        town.device(name);
        let (code, answer) = town.est(&format!("SN-{name}"), name);
        assert_eq!(code, "200", "{answer}");
    }
    town.ok(&[&["status", "suspended", "serial:SN-2", "--reason", "it =scans"][..], &AS_MONITOR].concat());

    let listed = town.words(&["certs"]);
    assert!(
        listed.contains("device SN-1") && listed.contains("good") && listed.contains("certificateHold (suspended)"),
        "{listed}"
    );
    let held = town.ok(&["certs", "--state", "held", "--all"]);
    assert_eq!(held["items"].as_array().map(Vec::len), Some(1), "{held}");
    let first = &town.ok(&["certs", "--limit", "1"])["items"][0];
    let of = first["id"].as_str().expect("an id");
    assert_eq!(town.ok(&["certs", "--of", of])["items"][0], *first);
    assert_eq!(town.ok(&["certs", "--ends-within", "31"])["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(town.ok(&["certs", "--ends-within", "29"])["items"].as_array().map(Vec::len), Some(0));

    town.words(&["report", "--out", "report.html"]);
    let html = String::from_utf8(town.bench.read("report.html")).expect("text");
    for expected in [
        "<!DOCTYPE html>",
        "device SN-1",
        "certificateHold",
        "Monitor as security-controller",
        "it =scans",
        "1 good, 1 held",
    ] {
        assert!(html.contains(expected), "`{expected}` is missing: {html}");
    }
    let csv = town.words(&["report", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("serial,state,holder,") && csv.contains(",it =scans,"), "{csv}");
    let report: Value = serde_json::from_str(&town.words(&["--json", "report"])).expect("JSON");
    assert_eq!((&report["domain"], &report["totals"]["held"]), (&DOMAIN.into(), &1.into()), "{report}");
    let told = town.words(&["--json", "report", "--out", "report.csv"]);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert_eq!((&told["file"], &told["totals"]["held"]), (&"report.csv".into(), &1.into()), "{told}");
    assert!(town.bench.read("report.csv").starts_with(b"serial,state,holder,"), "in the form that its name tells");

    town.eventually("the watch has looked", || {
        let metrics = town.metrics();
        metrics.contains(&format!("ics_certificates_issued{{domain=\"{DOMAIN}\"}} 2"))
            && metrics.contains(&format!("ics_certificates_ending{{domain=\"{DOMAIN}\",days=\"30\"}} 1"))
    });

    // By any of its names; and why it is held if no status says so.
    assert_eq!(town.ok(&["certs", "--of", "serial:SN-1"])["items"].as_array().map(Vec::len), Some(1));
    town.refused(&["certs", "--of", "serial:SN-9"]);
    town.ok(&["withdraw", "serial:SN-1", "--act", "identity", "--yes"]);
    let listed = town.words(&["certs", "--state", "held"]);
    assert!(listed.contains("certificateHold (nobody vouches for its holder any more)"), "{listed}");
}

#[test]
fn owners_who_lift_a_block_are_told_that_what_it_revoked_stays_so() {
    let town = Town::new("");
    town.device("7");
    assert_eq!(town.est("SN-7", "7").0, "200");
    assert!(town.ocsp("7").contains("good"));
    town.ok(&["status", "destroyed", "serial:SN-7", "--yes"]);
    let record = town.ok(&["lookup", "serial:SN-7"])["records"][0]["record"].take();
    let statement = record["status"]["by"]["statement"].as_str().expect("a statement");
    let lifted = town.run(&["domain", "update", "--lift", statement]);
    assert!(lifted.status.success() && said(&lifted).contains("they stay revoked"), "{}", said(&lifted));
    town.ok(&["domain", "submit"]);
    let text = town.ocsp("7");
    assert!(text.contains("revoked") && text.contains("cessationOfOperation"), "{text}");
    let revoked = town.ok(&["certs", "--state", "revoked", "--all"]);
    assert_eq!(revoked["items"][0]["revoked"]["status"], "destroyed", "{revoked}");
    let (code, answer) = town.est("SN-7", "7");
    assert_eq!(code, "200", "it gets a new one: {answer}");
    assert!(town.ocsp("7").contains("good"));
}

/// After that, nobody answers for them.
#[test]
fn taking_an_authority_out_tells_of_certificates_that_have_not_ended() {
    let town = Town::new("");
    town.device("7");
    assert_eq!(town.est("SN-7", "7").0, "200");
    town.ok(&["key", "make", "issuer-2", "--algorithm", "p256"]);
    town.ok(&["ca", "request", "--key", "issuer-2", "--name", "Acme Issuing 2", "--out", "issuer-2.csr"]);
    town.ok(&["ca", "sign", "issuer-2.csr", "--certificate", "root.pem", "--out", "issuer-2.pem"]);
    town.ok(&["ca", "import", "issuer-2.pem", "--chain", "root.pem"]);
    let update = |keep: usize| {
        let mut next = town.ok(&["domain", "show"]);
        let issuers = next["certificates"]["issuers"].as_array_mut().expect("issuers");
        assert_eq!(issuers.len(), 2, "as it was before");
        *issuers = vec![issuers[keep].clone()];
        town.bench.file("next.json", next.to_string().as_bytes());
        let file = format!("next-{keep}.ics");
        let output = town.run(&["domain", "update", "--from-file", "next.json", "--unsigned", &file]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let told = update(0);
    assert!(told.contains("CN=Acme Issuing is no longer listed") && told.contains("1 certificate until"), "{told}");
    let told = update(1);
    assert!(!told.contains("is no longer listed"), "that one has issued nothing: {told}");
}

#[test]
fn a_device_whose_key_is_lost_comes_back_as_another() {
    let town = Town::new("");
    town.device("7");
    town.ok(&["grant", "owner", "--to", "keeper.asc", "serial:SN-7", "--yes"]);
    assert_eq!(town.est("SN-7", "7").0, "200");
    assert!(town.ocsp("7").contains("good"));
    let old = town.ok(&["lookup", "serial:SN-7"])["identities"][0].as_str().expect("an id").to_owned();

    // A signer who may not introduce things cannot replace any.
    town.key("new");
    town.refused(&[&["replace", "serial:SN-7", "--with", "new.pub"][..], &AS_MONITOR].concat());
    assert!(town.ocsp("7").contains("good"), "nothing has changed");

    let planned = town.ok(&["replace", "serial:SN-7", "--with", "new.pub", "--dry-run"]);
    assert_eq!(planned.as_array().map(Vec::len), Some(4), "{planned}");
    town.ok(&["replace", "serial:SN-7", "--with", "new.pub", "--reason", "board burnt", "--yes"]);
    let text = town.ocsp("7");
    assert!(text.contains("revoked") && text.contains("cessationOfOperation"), "at once: {text}");
    let record = town.ok(&["lookup", "serial:SN-7"])["records"][0]["record"].take();
    assert_ne!(record["id"], old.as_str(), "the name is the successor's");
    assert_eq!(record["replaces"][0]["value"], old.as_str(), "{record}");
    assert_eq!(record["attributes"]["model"][0]["value"], "P7", "{record}");

    // A look-up by the old id leads on: in JSON, in words, and on the page.
    let new = record["id"].as_str().expect("an id");
    assert_eq!(town.ok(&["lookup", &old])["records"][0]["succeeded_by"][0]["value"], new);
    let words = town.words(&["lookup", &old]);
    assert!(words.contains("replaced by") && words.contains(new), "{words}");
    let page = town.bench.ok("curl", &["--silent", &format!("{}/id/{old}", town.url)]);
    assert!(page.contains(&format!("href=\"/id/{new}\"")), "{page}");

    // Its owner has not approved it yet.
    let (code, answer) = town.est("SN-7", "new");
    assert_eq!(code, "403", "{answer}");
    assert!(answer.contains("`ics status in-use`"), "{answer}");
    town.ok(&["status", "in-use", "serial:SN-7", "--signer", "keeper", "--role", "owner", "--yes"]);
    let (code, answer) = town.est("SN-7", "new");
    assert_eq!(code, "200", "{answer}");
    assert!(town.ocsp("new").contains("good"));
    assert_ne!(town.est("SN-7", "7").0, "200", "the lost key gets nothing");

    // Over ACME as well: the manufacturer's own client, for the host name.
    let eab = town.ok(&["acme", "eab"]);
    let text = |member: &str| eab[member].as_str().expect("text").to_owned();
    let (directory, binding) = (text("directory"), format!("{}:{}", text("kid"), text("hmac_key")));
    let common = ["-v", "-y", "-a", &directory, "-c", "uacme"];
    town.bench.ok("uacme", &[&common[..], &["-e", &binding, "new", "ops@acme.example"]].concat());
    let host = format!("pump-7.{DOMAIN}");
    town.bench.ok("uacme", &[&common[..], &["-t", "EC", "issue", &host]].concat());
    let holder = town.ok(&["certs", "--all"]);
    let last = holder["items"].as_array().and_then(|items| items.last()).expect("one");
    assert_eq!(last["id"], record["id"], "{holder}");
    let again = town.refused(&["replace", &old, "--with", "7.pub", "--yes"]);
    assert!(again.contains("already"), "{again}");
}
