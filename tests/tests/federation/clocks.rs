//! Clocks that differ: a home whose clock is ahead of that of the node that copies it, and one that was once ahead.

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, eventually};
use crate::tools;
use crate::town::{DEVICES, SITE};

const PUMP: &str = "serial:SN-0001";
const VALVE: &str = "serial:SN-0002";

/// A maker, and a gateway that copies the maker's domain. The pump is suspended, the valve may be used.
struct Pair {
    maker: Node,
    gateway: Node,
    _homes: TempDir,
}

impl Pair {
    fn found() -> Self {
        let homes = tempfile::tempdir().expect("a directory");
        let mut maker = Node::init(homes.path(), "manufacturer", DEVICES);
        let mut gateway = Node::init(homes.path(), "infield", SITE);
        maker.serve();
        gateway.mirror(DEVICES, &maker);
        gateway.trusts(&["--permit", "anything-vouched", "--domain", &maker.origin(), "--fresh", "86400"]);
        for serial in [1, 2] {
            maker.json(&["publish", "--spki", &crate::spki(serial), "--serial", &format!("SN-000{serial}")]);
        }
        maker.json(&["status", "in-use", PUMP, VALVE, "--yes"]);
        maker.json(&["status", "suspended", PUMP, "--yes"]);
        gateway.serve();
        gateway.catches_up(&maker, DEVICES);
        Self { maker, gateway, _homes: homes }
    }

    /// The verdict, which the checker has accepted, as in every debug build.
    #[track_caller]
    fn verdict(&self, thing: &str) -> Value {
        self.gateway.get(&format!("/v1/verdict?id={thing}&use=connect"))
    }

    #[track_caller]
    fn says(&self, thing: &str, outcome: &str, reason: &str) {
        let verdict = self.verdict(thing);
        assert_eq!((&verdict["outcome"], &verdict["reason"]), (&outcome.into(), &reason.into()), "{verdict:#}");
        let expected = match outcome {
            "allow" => 204,
            "deny" => 403,
            _ => 503,
        };
        let (status, _) = tools::fetch(&format!("{}/v1/check?id={thing}&use=connect", self.gateway.url), &[]);
        assert_eq!(status, expected, "a proxy is told the same: {verdict:#}");
    }
}

#[test]
fn a_home_that_is_ahead_blocks_what_it_blocks_and_makes_nothing_fresh() {
    let mut pair = Pair::found();
    pair.says(PUMP, "deny", "blocked");
    pair.says(VALVE, "allow", "permitted");

    // By two seconds, as any two clocks may differ.
    pair.maker.restarts_at(Some("+2"));
    for serial in 3..6 {
        pair.maker.json(&["publish", "--spki", &crate::spki(serial), "--serial", &format!("SN-000{serial}")]);
        pair.gateway.catches_up(&pair.maker, DEVICES);
        pair.says(PUMP, "deny", "blocked");
        pair.says(VALVE, "allow", "permitted");
    }

    pair.maker.restarts_at(Some("+2d"));
    let peers = eventually("the gateway sees it, and says which clock to look at", || {
        let peers = pair.gateway.json(&["peer", "status"]);
        peers.to_string().contains("ahead of this node's clock").then_some(peers)
    });
    assert_eq!(peers[0]["pulls"][0]["state"], "waiting", "{peers:#}");
    // What was proven before still counts, and ages.
    pair.says(VALVE, "allow", "permitted");
    pair.maker.json(&["publish", "--spki", &crate::spki(6), "--serial", "SN-0006"]);
    let stale = eventually("the gateway doubts", || {
        let verdict = pair.verdict(VALVE);
        (verdict["outcome"] != "allow").then_some(verdict)
    });
    pair.says(VALVE, "unknown", "stale");
    assert!(stale["reasons"].to_string().contains("ahead of this node's clock"), "the cause is told: {stale:#}");
    pair.says(PUMP, "deny", "blocked");

    pair.maker.json(&["status", "suspended", VALVE, "--yes"]);
    pair.gateway.catches_up(&pair.maker, DEVICES);
    pair.says(VALVE, "deny", "blocked");
}

/// A clock that was ahead for seconds, until it got the time from the network.
#[test]
fn a_node_that_was_ahead_once_says_so_and_is_led_back() {
    let mut pair = Pair::found();
    let signed = |pair: &Pair| pair.gateway.holds(SITE).expect("its own")["as_of"].clone();
    let before = signed(&pair);
    pair.gateway.restarts_at(Some("+2d"));
    let ahead = eventually("the gateway signs its own domain", || Some(signed(&pair)).filter(|now| *now != before));

    pair.gateway.restarts_at(None);
    let clock = pair.gateway.info()["clock"].clone();
    assert_eq!(clock["led_by"], SITE, "{clock}");
    assert!(clock["since"].as_str() >= ahead.as_str(), "{clock}: not before {ahead}");
    let alarm = pair.gateway.holds(SITE).expect("its own")["alarms"][0].clone();
    assert_eq!(alarm["kind"], "clock-ahead", "{alarm}");
    assert!(alarm["text"].as_str().is_some_and(|text| text.contains("`ics serve --clock-is-right`")), "{alarm}");
    pair.says(VALVE, "unknown", "stale");
    pair.says(PUMP, "deny", "blocked");

    pair.gateway.restarts_with_the_right_clock();
    eventually("the gateway signs the right time", || (signed(&pair).as_str() < ahead.as_str()).then_some(()));
    for _ in 0..2 {
        assert!(pair.gateway.info()["clock"].is_null(), "{}", pair.gateway.info());
        assert_eq!(pair.gateway.holds(SITE).expect("its own")["alarms"][0], Value::Null);
        pair.says(VALVE, "allow", "permitted");
        // Its time is signed, and the next start takes it as it is.
        pair.gateway.restarts_at(None);
    }
}

/// For gpg, a revocation that is older than what its signer has certified revokes nothing.
#[test]
fn what_is_signed_later_bears_a_later_time_also_where_the_clock_is_behind() {
    let mut pair = Pair::found();
    pair.maker.commands_see(Some("-8m"));
    let told = pair.maker.ics(&["status", "stolen", VALVE, "--yes"]).ends_with(0);
    assert!(told.stderr.contains("the clock of this machine is behind"), "{}", told.stderr);
    let record = pair.maker.get(&format!("/v1/domains/{DEVICES}/identities/{VALVE}"));
    let signed: Vec<&str> = record["record"]["statements"]
        .as_array()
        .expect("statements")
        .iter()
        .map(|it| it["signed_at"].as_str().expect("a time"))
        .collect();
    assert_eq!(signed.len(), 3, "{record:#}");
    assert!(signed[..2].iter().all(|before| *before < signed[2]), "{signed:?}");
}
