//! A node in the field that keeps no copy of the manufacturer's domain, and asks about each thing when it turns up.

use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::trust::Outcome;
use ics_node::api::problem::Code;
use ics_node::gateway::Gateway;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Node, eventually};
use crate::town::{DEVICES, SITE, said};
use crate::{devices_csv, tools};

/// For how many seconds an answer is recent enough.
const FRESH: u64 = 4;

struct Pair {
    maker: Node,
    infield: Node,
    _homes: TempDir,
}

impl Pair {
    fn found() -> Self {
        let homes = tempfile::tempdir().expect("a directory");
        let mut maker = Node::init(homes.path(), "manufacturer", DEVICES);
        let mut infield = Node::init(homes.path(), "infield", SITE);
        maker.serve();
        let list = maker.write("devices.csv", devices_csv(3_000, 4));
        maker.json(&["publish", "--from", &list, "--manu", "Acme", "--model", "P7", "--lot", "2026-11"]);
        let origin = maker.origin();
        infield.ics(&["peer", "add", "maker", "--url", &maker.url, "--roam", &origin]).ok();
        let policy = json!({
            "domains": [origin],
            "freshness": { "default": FRESH },
            "rules": "@id(\"made\") permit (principal, action, resource) \
                      when { principal.vouching_roles.contains(\"manufacturer\") };",
        });
        infield.write("trust.json", policy.to_string());
        let text = std::fs::read_to_string(infield.home.join("ics.toml")).expect("a configuration");
        infield.write("ics.toml", format!("{text}\n[trust]\npolicy = \"trust.json\"\n"));
        infield.serve();
        Self { maker, infield, _homes: homes }
    }

    /// The answer to a proxy: 204, 403 or 503.
    fn check(&self, serial: &str) -> u16 {
        let url = format!("{}/v1/check?serial={serial}&use=connect", self.infield.url);
        in_time(|| tools::fetch(&url, &[]).0, |status| *status == 503)
    }

    fn verdict(&self, serial: &str) -> Value {
        let path = format!("/v1/verdict?id=serial:{serial}&use=connect");
        in_time(|| self.infield.get(&path), |verdict| verdict["outcome"] == "unknown")
    }
}

/// Asks, and asks again if that is unknown because the home has not answered in time: a machine may be busy.
fn in_time<T>(ask: impl Fn() -> T, is_unknown: impl Fn(&T) -> bool) -> T {
    eventually("an answer in time", || {
        let asked = Instant::now();
        let answer = ask();
        if asked.elapsed() < Duration::from_secs(limits::ROAMING_SECONDS) || !is_unknown(&answer) {
            return Some(answer);
        }
        // For so long nobody is asked again.
        std::thread::sleep(Duration::from_millis(limits::ROAMING_PAUSE_MILLIS));
        None
    })
}

#[test]
fn a_node_without_a_copy_asks_the_home_and_follows_what_it_says() {
    let mut pair = Pair::found();
    assert!(pair.infield.holds(DEVICES).is_none(), "nothing of the domain is here");
    assert_eq!(pair.check("SN-3000"), 204);
    assert_eq!(pair.check("SN-9999"), 503, "the home shows nothing of it");
    let verdict = pair.verdict("SN-3000");
    assert_eq!(verdict["outcome"], "allow", "{verdict}");
    assert!(verdict.to_string().contains("is not copied here: maker was asked"), "{verdict}");
    let explained = pair.infield.ics(&["explain", "serial:SN-3000", "--use", "connect"]).ok();
    let one_line = explained.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(one_line.contains("is not copied here: maker was asked, and its home signed at"), "{explained}");

    let batch = json!({ "questions": [
        { "id": "serial:SN-3001", "use": "connect" },
        { "id": "serial:SN-3002", "use": "connect", "peer": "serial:SN-3003" },
        { "id": "serial:SN-9998", "use": "connect" },
    ]});
    let file = pair.infield.write("batch.json", batch.to_string());
    let ask = || {
        let (status, answers) = tools::post(&format!("{}/v1/check", pair.infield.url), "application/json", &file);
        let answers: Value = serde_json::from_slice(&answers).expect("JSON");
        let answers = answers["answers"].as_array().expect("answers").iter();
        (status, answers.map(|it| it["verdict"].clone()).collect::<Vec<_>>())
    };
    let answered = in_time(ask, |(_, verdicts)| verdicts[..2].contains(&json!("unknown")));
    assert_eq!(answered, (200, vec![json!("allow"), json!("allow"), json!("unknown")]));

    // A verdict with its evidence goes to somebody who checks it without a network.
    let case = pair.infield.get("/v1/verdict/case?id=serial:SN-3000&use=connect");
    let file = pair.infield.write("case.json", case.to_string());
    pair.infield
        .ics(&["verify", "--document", &file, "--trust", pair.infield.home.join("trust.json").to_str().expect("text")])
        .ok();

    // So does the evidence, with the home's word that it is complete; the configuration pins its origin.
    let pack = pair.infield.home.join("evidence.json");
    let pack = pack.to_str().expect("text");
    pair.infield.json(&["export", "serial:SN-3000", "--domain", DEVICES, "-o", pack]);
    let verified = pair.infield.json(&["verify", "--document", pack]);
    assert_eq!((&verified["complete"], &verified["pinned"]), (&json!(true), &json!(true)), "{verified}");
    let doubts = verified["not_proven"].as_array().expect("doubts");
    let is_of_others = |it: &Value| it.as_str().is_some_and(|it| it.starts_with("that no other domain has blocked"));
    assert!(doubts.len() == 1 && doubts.iter().all(is_of_others), "{verified}");
    let mut cut: Value = serde_json::from_slice(&std::fs::read(pack).expect("read")).expect("JSON");
    cut["entries"].as_array_mut().expect("entries").pop();
    let cut = pair.infield.write("cut.json", cut.to_string());
    let refused = pair.infield.ics(&["verify", "--document", &cut]);
    assert!(refused.stderr.contains("which is left out"), "{}", refused.stderr);
    // For a stranger no other node is asked at this route.
    let stranger = format!("{}/v1/domains/{DEVICES}/identities/serial:SN-3001/evidence", pair.infield.url);
    assert_eq!(tools::fetch(&stranger, &[]).0, 404);

    said(&pair.maker.json(&["status", "stolen", "serial:SN-3000", "--yes"]));
    let blocked = Instant::now();
    eventually("what is blocked at the home is denied", || (pair.check("SN-3000") == 403).then_some(()));
    assert!(blocked.elapsed() < Duration::from_secs(FRESH + 20), "it took {:?}", blocked.elapsed());
    assert!(pair.verdict("SN-3000").to_string().contains("stolen"));

    // The link is cut: fresh answers are used, stale ones are unknown, and blocks still block.
    eventually("fresh", || (pair.check("SN-3001") == 204).then_some(()));
    pair.maker.kill();
    eventually("no longer fresh", || (pair.check("SN-3001") == 503).then_some(()));
    let verdict = pair.verdict("SN-3001");
    assert_eq!((&verdict["outcome"], &verdict["reason"]), (&json!("unknown"), &json!("stale")), "{verdict}");
    assert_eq!(pair.check("SN-3000"), 403);
    pair.maker.serve();
    eventually("the link is back", || (pair.check("SN-3001") == 204).then_some(()));
    let metrics = pair.infield.metrics();
    let line = |outcome: &str| format!("\nics_roaming_questions_total{{outcome=\"{outcome}\"}} 0\n");
    let are_none = ["answered", "refused"].map(|outcome| metrics.contains(&line(outcome)));
    assert_eq!(are_none, [false, true], "{metrics}");

    // The same decisions in another program, without a server.
    pair.infield.kill();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let gateway = runtime.block_on(async { Gateway::open(&pair.infield.home) }).expect("opens");
    let decide = |serial: &str| {
        let ask = || gateway.check(&format!("serial:{serial}"), "connect", None).expect("decides").verdict;
        in_time(ask, |outcome| *outcome == Outcome::Unknown)
    };
    assert_eq!(
        (decide("SN-3002"), decide("SN-3000"), decide("SN-9997")),
        (Outcome::Allow, Outcome::Deny, Outcome::Unknown)
    );
    // A use that the HTTP API refuses is refused here as well.
    for usage in ["CONNECT", "Install", "", &"x".repeat(513)] {
        let refused = gateway.check("serial:SN-3002", usage, None).expect_err("a use that none is");
        assert_eq!(refused.code(), Code::MalformedQuery, "{usage}: {refused}");
        assert!(gateway.check_hot("serial:SN-3002", usage, None).is_err(), "{usage}");
    }
    runtime.block_on(gateway.close());
}
