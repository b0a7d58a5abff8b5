//! What an operator sees if there is something of everything: more than any node of a test ever has.

use ics_core::identity::Kind;
use ics_core::trust::Outcome;
use ics_node::api::{Alarm, Enrolment, ForkNotes, IdentitySummary, NodeInfo, PeerInfo};
use ics_node::app::{Denied, Operations, ToApprove, Waiting};
use ics_node::web::{Site, operations};
use serde_json::json;

use super::town::HOSTILE;
use super::{town, words};
use crate::support::Node;
use crate::world::{CARE, domain};

/// The name of a node, wider than a phone's screen.
const LONG: &str = "identities.of-the-university-hospital.north-campus.health.example";

fn peer(name: &str, pulls: &serde_json::Value, serves: &serde_json::Value) -> PeerInfo {
    let peer = json!({"name": name, "url": format!("https://{name}")});
    serde_json::from_value(json!({"peer": peer, "pulls": pulls, "serves": serves})).expect("a peer")
}

/// The page of a node that has something of everything.
pub(crate) fn page(node: &Node) -> String {
    let mut told = node.app().operations().expect("a state");
    let (at, care) = (told.at, CARE.parse::<ics_core::vocabulary::DomainName>().expect("a domain"));
    let pulled = |state: &str, lag: u64, error: Option<&str>| {
        json!({"domain": "code.soft.example", "state": state, "size": 1_204_017, "lag_entries": lag, "as_of": at,
            "lag_seconds": 95, "last_error": error, "bytes": 1})
    };
    let served = json!({"domain": domain(), "size": 11, "lag_entries": 2, "seen_at": at, "bytes": 1});
    let request = json!({"certificate": "AAAA", "kind": "device", "names": ["serial:SN-0099", HOSTILE]});
    let enrolment = json!({"number": 1, "id": "ab".repeat(20), "state": "waiting", "received_at": at,
        "request": request});
    let enrolment: Enrolment = serde_json::from_value(enrolment).expect("a request");
    let thing = IdentitySummary {
        id: "cd".repeat(20),
        kind: Kind::Device,
        title: "Acme P7 pump 15".to_owned(),
        status: None,
        effect: "none".to_owned(),
        cut_short: false,
        labels: Vec::new(),
        attributes: [].into(),
    };
    let denied = |outcome, reason: &str, times| Denied {
        at,
        times,
        thing: "serial:SN-0011".to_owned(),
        peer: Some("host:historian.plant.example".to_owned()),
        usage: "connect".to_owned(),
        outcome,
        reasons: vec![reason.to_owned()],
    };
    let alarm = |kind: &str, text: &str| Alarm { at, kind: kind.to_owned(), text: text.to_owned() };
    let follow = json!({"source": "code.soft.example", "identities": 2, "choices": ["lot 2026-07", HOSTILE],
        "state": "failing", "lag_entries": 0, "last_error": "its rules do not let it be followed"});
    told.domains[0].follows = vec![serde_json::from_value(follow).expect("what is followed")];
    let busy = Operations {
        peers: vec![
            peer("ics.soft.example", &json!([pulled("current", 0, None)]), &json!([])),
            peer(
                "mirror.example",
                &json!([pulled("stopped", 17, Some("the root differs at 1204000"))]),
                &json!([served]),
            ),
            peer("new.example", &json!([]), &json!([])),
            peer(LONG, &json!([]), &json!([])),
        ],
        enrolments: vec![(domain(), enrolment)],
        to_approve: vec![ToApprove { domain: care.clone(), thing }],
        waiting: vec![Waiting { domain: care.clone(), statements: 3, since: Some(at) }],
        alarms: vec![alarm("roaming-refused", "mirror.example left out entry 12 of devices.acme.example")],
        responders: vec![(domain(), at)],
        forks: vec![(care, ForkNotes { at, ours: "one".to_owned(), theirs: "other".to_owned() })],
        denied: vec![
            denied(Outcome::Deny, "serial:SN-0011 is `stolen`, which blocks its use", 12),
            denied(Outcome::Unknown, "the last news of code.soft.example is too old", 1),
        ],
        node: NodeInfo { name: LONG.to_owned(), ..told.node.clone() },
        ..told
    };
    let site = Site { name: LONG.to_owned(), url: "http://localhost".to_owned() };
    operations(&site, &busy, "form").into_string()
}

/// Each command printed for the operator is a command of this program.
#[tokio::test]
async fn an_operator_can_run_the_commands_that_are_printed() {
    let node = town().await;
    let drawn = page(&node);
    let blocks = drawn.split("<pre ").skip(1).filter_map(|rest| rest.split("<code>").nth(1)?.split('<').next());
    let printed: Vec<&str> = blocks.flat_map(str::lines).collect();
    let commands = [
        "ics domain forks care.acme.example",
        "ics domain acknowledge --no-domain",
        "ics enroll approve",
        "ics enroll refuse",
        "ics approve",
    ];
    assert!(commands.iter().all(|it| printed.iter().any(|line| line.starts_with(it))), "{printed:?}");
    for line in printed {
        // Only the reason is quoted, and it is a single word.
        let words = line.split(' ').map(|word| word.trim_matches('\''));
        if let Err(error) = ics_node::cli::definition().try_get_matches_from(words) {
            panic!("`{line}`: {error}");
        }
    }
}

/// Domains, peers with lag and freshness, what waits, what was denied and why, what is to be sent, forks and alarms.
#[tokio::test]
async fn an_operator_sees_everything_that_concerns_operators() {
    let node = town().await;
    let drawn = page(&node);
    let text = words(&drawn);
    for expected in [
        "2waiting for you",
        "1alarm",
        "1fork",
        "Fork of care.acme.example",
        "roaming-refused",
        "left out entry 12",
        "follows code.soft.example, things by their names: 2, lot 2026-07",
        "failing",
        "its rules do not let it be followed",
        "devices.acme.example",
        "sequencing",
        "ics.soft.example",
        "code.soft.example, from there",
        "confirmed 95 s ago",
        "stopped",
        "the root differs at 1204000",
        "devices.acme.example, from here",
        "new.example",
        "nothing was copied yet",
        "3 statements for the home of care.acme.example",
        "serial:SN-0099",
        "Acme P7 pump 15",
        "answers OCSP for the issuer of devices.acme.example ends",
        "denied",
        "serial:SN-0011 with host:historian.plant.example",
        "12 times",
        "stolen",
        "too old",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing: {text}");
    }
    // Each figure leads to what it counts, a domain to its register, and what was denied to its page.
    for link in [
        "#domains\"><strong>4",
        "#enrolments\"><strong>2",
        "#alarms\"><strong>1",
        "/domain/devices.acme.example\">",
        "/id/serial:SN-0011\">",
    ] {
        assert!(drawn.contains(&format!("<a href=\"{link}")), "`{link}` is missing: {drawn}");
    }
    for section in ["domains", "enrolments", "approve", "alarms"] {
        assert!(drawn.contains(&format!("id=\"{section}\"")), "nothing is at #{section}: {drawn}");
    }
    assert!(!drawn.contains("#domains\"><strong>0"), "nothing is out of date: {drawn}");
    assert!(!drawn.contains("<script") && !drawn.contains("<img"), "{drawn}");
    let turning = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}');
    assert!(!drawn.chars().any(turning), "{drawn}");
}
