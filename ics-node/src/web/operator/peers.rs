//! Other nodes on the operator's page: what is copied from whom and who copies from here, who cosigns, and who is asked
//! about single things; with how far each is behind and since when.

use maud::{Markup, html};

use super::super::parts::theirs_brief;
use super::{behind, copying};
use crate::api::{Asks, Cosigns, PeerInfo, Pulled, Served, is_quiet};
use crate::app::Operations;
use crate::words::span;

/// Seconds after which a reader that has not asked is gone: none asks more rarely than once a day (`interval_ms`).
const GONE_SECONDS: u64 = 2 * 86_400;

/// The section about them.
pub(super) fn section(operations: &Operations) -> Markup {
    let quiet = |peer: &&PeerInfo| {
        peer.pulls.is_empty() && peer.serves.is_empty() && peer.cosigns.is_empty() && peer.asks.is_empty()
    };
    html! {
        section .block aria-labelledby="peers" {
            h2 #peers { "Peers" }
            @if operations.peers.is_empty() { p .none { "None. " code { "ics peer add" } " makes one." } }
            @else {
                div .scroll tabindex="0" role="region" aria-label="Peers" {
                    table {
                        thead { tr {
                            th scope="col" { "Peer" } th scope="col" { "Domain" } th scope="col" { "State" }
                            th .number scope="col" { "Entries" } th .number scope="col" { "Behind" } th scope="col" { "News" }
                        } }
                        tbody { @for peer in &operations.peers {
                            @for pulled in &peer.pulls { (pull(peer, pulled)) }
                            @for served in &peer.serves { (serve(peer, served, operations)) }
                            @for cosigned in &peer.cosigns { (witnessed(peer, cosigned, operations)) }
                            @for asks in &peer.asks { (about_single_things(peer, asks, operations)) }
                            @if quiet(&peer) { tr {
                                th scope="row" { (peer.peer.name) }
                                td colspan="5" { span .none { "nothing was copied yet, either way" } }
                            } }
                        } }
                    }
                }
            }
        }
    }
}

fn pull(peer: &PeerInfo, pulled: &Pulled) -> Markup {
    let is_silent = is_quiet(pulled.lag_seconds, peer.peer.interval_ms);
    html! {
        tr {
            th scope="row" { (peer.peer.name) }
            td data-of="Domain" { (pulled.domain) ", from there" }
            td data-of="State" { (copying(&pulled.state, pulled.last_error.as_deref(), is_silent)) }
            td .number data-of="Entries" { (pulled.size) }
            td .number data-of="Behind" { (behind(pulled.lag_entries, pulled.last_error.is_some())) }
            td data-of="News" { @match pulled.lag_seconds { Some(lag) => { "confirmed " (span(lag)) " ago" } None => { "never confirmed" } } }
        }
    }
}

fn serve(peer: &PeerInfo, served: &Served, operations: &Operations) -> Markup {
    let ago = operations.at.millis_since(served.seen_at) / 1000;
    let (class, word) = match served.lag_entries {
        _ if ago > GONE_SECONDS => ("unsure", "silent"),
        0 => ("good", "reading"),
        _ => ("unsure", "reading"),
    };
    html! {
        tr {
            th scope="row" { (peer.peer.name) }
            td data-of="Domain" { (served.domain) ", from here" }
            td data-of="State" { span .state .(class) { (word) } }
            td .number data-of="Entries" { (served.size) }
            td .number data-of="Behind" { (served.lag_entries) }
            td data-of="News" { "asked " (span(ago)) " ago" }
        }
    }
}

/// What a witness has cosigned: while it lacks something, and the quorum needs it, nothing new is acknowledged.
fn witnessed(peer: &PeerInfo, cosigned: &Cosigns, operations: &Operations) -> Markup {
    let ago = cosigned.cosigned_at.map(|at| span(operations.at.millis_since(at) / 1000));
    html! {
        tr {
            th scope="row" { (peer.peer.name) }
            td data-of="Domain" { (cosigned.domain) ", as its witness" }
            td data-of="State" { (working("cosigning", ago.is_some(), cosigned.last_error.as_deref())) }
            td .number data-of="Entries" { (cosigned.size) }
            td .number data-of="Behind" { (cosigned.lag_entries) }
            td data-of="News" { @match &ago { Some(ago) => { "cosigned " (ago) " ago" } None => { "never cosigned" } } }
        }
    }
}

/// How it goes with questions about single things of a domain that is not copied here, and who follows some of them.
fn about_single_things(peer: &PeerInfo, asks: &Asks, operations: &Operations) -> Markup {
    let ago = asks.answered_at.map(|at| span(operations.at.millis_since(at) / 1000));
    html! {
        tr {
            th scope="row" { (peer.peer.name) }
            td data-of="Domain" {
                (asks.domain) ", asked about single things"
                @for follower in &asks.followed_by {
                    br; small {
                        "followed by " (follower.domain)
                        @if let Some(error) = &follower.last_error { ": " (theirs_brief(error)) }
                    }
                }
            }
            td data-of="State" { (working("answering", ago.is_some(), asks.last_error.as_deref())) }
            td .number data-of="Entries" { (asks.seen) }
            td .number {}
            td data-of="News" { @match &ago { Some(ago) => { "answered " (ago) " ago" } None => { "nothing yet" } } }
        }
    }
}

/// What a peer does for this node, whether it has done it before, and what is in the way.
fn working(doing: &str, has_done: bool, error: Option<&str>) -> Markup {
    let (class, word) = match error {
        Some(_) => ("bad", "failing"),
        None if has_done => ("good", doing),
        None => ("unsure", "waiting"),
    };
    html! {
        span .state .(class) { (word) }
        @if let Some(error) = error { br; small { (theirs_brief(error)) } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::idle;
    use super::*;

    #[test]
    fn peers_with_what_is_behind_and_since_when() {
        let peer = json!({
            "peer": {"name": "ics.soft.example", "url": "https://ics.soft.example"},
            "pulls": [{
                "domain": "code.soft.example", "state": "waiting", "size": 17, "lag_entries": 3, "lag_seconds": 120,
                "last_error": "<refused>", "bytes": 1,
            }],
            "serves": [{
                "domain": "plant.example", "size": 5, "lag_entries": 0, "seen_at": "2026-11-26T04:00:00Z", "bytes": 1,
            }],
        });
        let drawn = drawn(peer);
        for expected in
            ["code.soft.example, from there", "waiting", "&lt;refused&gt;", ">17<", ">3<", "plant.example, from here"]
        {
            assert!(drawn.contains(expected), "{expected}: {drawn}");
        }
        assert!(drawn.contains("asked 30 s ago"), "{drawn}");
        let told = [(0, false), (0, true), (3, true)].map(|(lag, is_in_trouble)| behind(lag, is_in_trouble));
        assert_eq!(told, ["0", "not known", "3"]);
    }

    /// What a peer showed is why it is left out, and what a home said long ago is not current.
    #[test]
    fn only_what_goes_well_is_green() {
        let state = |state: &str, lag_seconds: u64, error: Option<&str>| {
            let pulled = json!({
                "domain": "code.soft.example", "state": state, "size": 17, "lag_entries": 0, "bytes": 1,
                "lag_seconds": lag_seconds, "last_error": error,
            });
            let peer = json!({"name": "p.example", "url": "https://p.example", "interval_ms": 60_000});
            let drawn = drawn(json!({"peer": peer, "pulls": [pulled], "serves": []}));
            let (_, rest) = drawn.split_once("<span class=\"state ").expect("a state");
            rest.split_once("</span>").expect("an end").0.replace("\">", " ")
        };
        assert_eq!(state("current", 180, None), "good current", "as often as it is asked for, and two heartbeats");
        assert_eq!(state("current", 181, None), "unsure home silent");
        assert_eq!(state("standby", 0, None), "quiet standby");
        assert_eq!(state("standby", 0, Some("left out: it shows another log")), "bad left out");
    }

    #[test]
    fn a_peer_that_asks_no_more_is_not_reading() {
        let reads = |lag_entries: u64, seen_at: &str| {
            let served = json!({"domain": "plant.example", "size": 5, "lag_entries": lag_entries, "seen_at": seen_at,
                "bytes": 1});
            let drawn = drawn(json!({"peer": {"name": "p.example"}, "pulls": [], "serves": [served]}));
            let all = ["good\">reading", "unsure\">reading", "unsure\">silent"];
            all.map(|state| drawn.contains(state))
        };
        assert_eq!(reads(0, "2026-11-24T04:00:30Z"), [true, false, false], "two days ago");
        assert_eq!(reads(1, "2026-11-24T04:00:30Z"), [false, true, false]);
        assert_eq!(reads(0, "2026-11-24T04:00:29Z"), [false, false, true]);
    }

    /// Nothing is copied from a witness, nor from a peer that is asked about single things.
    #[test]
    fn witnesses_and_peers_that_are_asked_are_shown_at_work() {
        let cosigns = |more: serde_json::Value| {
            let mut cosigned = json!({"domain": "plant.example", "size": 41, "lag_entries": 2});
            if let (Some(all), serde_json::Value::Object(more)) = (cosigned.as_object_mut(), more) {
                all.extend(more);
            }
            drawn(json!({"peer": {"name": "w.example"}, "pulls": [], "serves": [], "cosigns": [cosigned]}))
        };
        let at_work = cosigns(json!({"cosigned_at": "2026-11-26T04:00:00Z"}));
        for expected in ["plant.example, as its witness", "cosigning", ">41<", ">2<", "cosigned 30 s ago"] {
            assert!(at_work.contains(expected), "{expected}: {at_work}");
        }
        assert!(!at_work.contains("nothing was copied"), "{at_work}");
        let failing = cosigns(json!({"last_error": "<refused>"}));
        for expected in ["failing", "&lt;refused&gt;", "never cosigned"] {
            assert!(failing.contains(expected), "{expected}: {failing}");
        }

        let asks = json!({
            "domain": "parts.example", "seen": 9, "answered_at": "2026-11-26T04:00:10Z",
            "followed_by": [{"domain": "plant.example", "last_error": "<silent>"}],
        });
        let asked = drawn(json!({"peer": {"name": "p.example"}, "pulls": [], "serves": [], "asks": [asks]}));
        for expected in
            ["parts.example, asked about single things", "answering", ">9<", "answered 20 s ago", "&lt;silent&gt;"]
        {
            assert!(asked.contains(expected), "{expected}: {asked}");
        }
        assert!(!asked.contains("nothing was copied"), "{asked}");
    }

    /// The section for a node with this one peer.
    fn drawn(peer: serde_json::Value) -> String {
        let peers = vec![serde_json::from_value(peer).expect("a peer")];
        section(&Operations { peers, ..idle() }).into_string()
    }
}
