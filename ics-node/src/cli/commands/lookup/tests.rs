use std::collections::BTreeSet;

use ics_core::log::checkpoint::Origin;
use ics_core::trust::Verdict;
use serde_json::json;

use super::*;

fn verdict(outcome: &str) -> Verdict {
    serde_json::from_value(json!({
        "outcome": outcome, "reason": "permitted", "use": "connect", "at": "2026-11-20T08:10:00Z", "fresh_until": "2026-11-20T08:11:00Z",
        "reasons": ["the trust policy permits `connect`: devices"], "rules": ["devices"],
        "derivation": [
            {"of": "thing", "domain": "a.example", "index": 5, "statement": "07".repeat(32), "signer": "ab".repeat(20),
             "name": "Acme", "role": "manufacturer", "act": "identity", "rule": "entitled", "admitted_at": "2026-11-20T08:00:00Z"},
            {"of": "peer", "domain": "a.example", "index": 6, "statement": "08".repeat(32), "signer": "ab".repeat(20),
             "role": "owner", "act": "approval", "rule": "entitled", "admitted_at": "2026-11-20T08:00:00Z"},
            {"of": "peer", "domain": "a.example", "index": 7, "statement": "09".repeat(32), "signer": "ab".repeat(20),
             "role": "owner", "act": "approval", "rule": "role-lost", "admitted_at": "2026-11-20T08:00:00Z"},
        ],
        "as_of": [{"domain": "a.example", "size": 7, "root": "0a".repeat(32), "descriptor": 1, "as_of": "2026-11-20T08:10:00Z",
                   "fresh_until": "2026-11-20T08:11:00Z"}],
    }))
    .expect("a verdict")
}

fn shown(text: &str) -> String {
    console::strip_ansi_codes(text).into_owned()
}

#[test]
fn a_verdict_says_what_it_rests_on() {
    assert_eq!(
        shown(&verdict::text("serial:1", Some("host:gw"), &verdict("allow"))),
        format!(
            "\
✓ ALLOW serial:1 with host:gw: connect
  why          the trust policy permits `connect`: devices
  rests on     Acme as manufacturer vouches for its identity
                 a.example entry 5
  the peer's   {} as owner approves of it
                 a.example entry 6
  news         a.example as of 2026-11-20 08:10:00 UTC, good until 2026-11-20 08:11:00 UTC
  holds until  2026-11-20 08:11:00 UTC
",
            "ab".repeat(20)
        )
    );
    assert!(shown(&verdict::text("serial:1", None, &verdict("deny"))).starts_with("✗ DENY serial:1: connect\n"));
    assert!(shown(&verdict::text("serial:1", None, &verdict("unknown"))).starts_with("? UNKNOWN serial:1: connect\n"));
}

/// It must not be mistaken for a domain that counts and was not heard.
#[test]
fn a_domain_that_the_policy_does_not_name_is_left_out() {
    let gateway: Origin = format!("gw.example/{}", "07".repeat(32)).parse().expect("an origin");
    let ignored = BTreeSet::from([gateway]);
    let shown = shown(&verdict::text("serial:1", None, &Verdict { ignored, ..verdict("unknown") }));
    assert!(shown.contains("\n  left out     gw.example: the trust policy does not name it\n"), "{shown}");
    assert!(!shown.contains("not heard"), "{shown}");
}

#[test]
fn an_ambiguous_name_is_a_list() {
    let candidate = |id: &str, title: Option<&str>| Candidate {
        id: id.to_owned(),
        kind: title.map(|_| "device".to_owned()),
        title: title.map(str::to_owned),
        domains: title.iter().flat_map(|_| ["a.example".parse(), "b.example".parse()]).flatten().collect(),
    };
    assert_eq!(
        shown(&candidates_text(&[candidate("ab12", Some("Pump 7")), candidate("cd34", None)])),
        "id    kind    title   domains\nab12  device  Pump 7  a.example, b.example\ncd34"
    );
}
