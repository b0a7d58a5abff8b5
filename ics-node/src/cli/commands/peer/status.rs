//! `ics peer status`.

use clap::Args;
use console::style;
use ics_core::time::Timestamp;

use super::untrusted;
use crate::api::{Asks, ClockInfo, Cosigns, PeerInfo, Pulled, Served, is_quiet};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::card;
use crate::cli::words::{clean, counted_entries, span, when};
use crate::client::node::UNTRUSTED;
use crate::config::PeerConfig;

/// Asks the node how its peers are doing: how far the copies reach and how old they are, what went wrong, and what each
/// peer has read.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  $ ics peer status
  $ ics --json peer status | jq '.[].pulls[] | select(.lag_entries > 0)'
  $ ics peer status --node https://ics.integrator.example")]
pub(crate) struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let node = context.node(&context.config()?)?;
        let (peers, info) = context.wait(async { Ok((node.peers().await?, node.info().await.ok())) })?;
        let lead = info.and_then(|info| info.clock);
        context.output.result(&peers, || {
            let lead = lead.as_ref().map(in_words);
            lead.into_iter().chain([text(&peers, context.now())]).collect::<Vec<_>>().join("\n")
        })?;
        Ok(Exit::Ok)
    }
}

fn text(peers: &[PeerInfo], now: Timestamp) -> String {
    if peers.is_empty() {
        return "the node has no peer: `ics peer add` adds one".to_owned();
    }
    peers.iter().map(|info| of_peer(info, now)).collect::<Vec<_>>().join("\n")
}

/// Says that the node's own clock cannot be used to tell how old news is, which is no fault of a peer.
fn in_words(lead: &ClockInfo) -> String {
    let why = match &lead.led_by {
        Some(domain) => format!("{domain} has confirmed something so late"),
        None => "the clock was set back while the node ran".to_owned(),
    };
    format!(
        "{} the clock of this node's own machine is behind: it shows {}, and the node goes by {}, because {why}. How old \
         news is below is counted by that",
        style("!").yellow().bold(),
        when(lead.shows),
        when(lead.time)
    )
}

fn of_peer(info: &PeerInfo, now: Timestamp) -> String {
    let mut rows = Vec::new();
    rows.extend(info.peer.url.as_ref().map(|url| ("at", url.to_string())));
    for pulled in &info.pulls {
        rows.push(("copied", format!("{}: {}", pulled.domain, state(pulled, info.peer.interval_ms))));
        rows.push(("", format!("{}, {}{}", counted_entries(pulled.size), age(pulled), received(pulled))));
        let rests_on = |names: &String| {
            let names = clean(names);
            ("", format!("that nothing was left out is the word of {names}, not of the home"))
        };
        rows.extend(pulled.rests_on.as_ref().map(rests_on));
        rows.extend(pulled.partial.then(|| ("", a_part(&info.peer))));
        rows.extend(known_as_home(&info.peer, pulled).map(|hint| ("", hint)));
        rows.extend(pulled.last_error.as_ref().map(|error| ("", style(clean(error)).red().to_string())));
        let is_untrusted = pulled.last_error.as_ref().is_some_and(|error| error.contains(UNTRUSTED));
        rows.extend(is_untrusted.then(|| ("", untrusted(&info.peer))));
    }
    rows.extend(info.serves.iter().map(|served| ("reads", taken(served, now))));
    for cosigned in &info.cosigns {
        rows.push(("cosigned", witnessed(cosigned, now)));
        rows.extend(cosigned.last_error.as_ref().map(|error| ("", style(clean(error)).red().to_string())));
    }
    rows.extend(info.asks.iter().flat_map(|asks| asked(asks, now)));
    if info.pulls.is_empty() && info.serves.is_empty() && info.cosigns.is_empty() && info.asks.is_empty() {
        rows.push(("", "nothing is copied from it, and it has read nothing since the node started".to_owned()));
    }
    card(info.peer.name.as_str(), &rows)
}

/// Explains why a copy is partial, and what its operator may do about it: a peer recognises this node by the key that
/// it proves in TLS, and otherwise silently serves it as a stranger.
fn a_part(peer: &PeerConfig) -> String {
    let name = &peer.name;
    match peer.url.as_ref().filter(|url| !url.is_over_tls()) {
        Some(url) => {
            let scheme = if url.is_ldap() { "ldaps" } else { "https" };
            let over = if url.is_ldap() { "LDAP" } else { "HTTP" };
            style(format!(
                "a part of it: over plain {over} this node proves no key, so it gets only what strangers may read; \
                 over TLS it is recognised, if the peer's operator has its key: `ics peer add {name} --url \
                 {scheme}://…`"
            ))
            .yellow()
            .to_string()
        }
        None => {
            "a part of it: the rules hide the rest from this node; the domain's owners, or the peer's operator, decide \
                 who reads more (`/v1/node` here shows the key by which this node is known there)"
                .to_owned()
        }
    }
}

/// What is missing for this peer to be known as the home, on whose word alone a partial copy rests. Without TLS anybody
/// may answer, so a key alone proves nothing.
fn known_as_home(peer: &PeerConfig, pulled: &Pulled) -> Option<String> {
    let name = &peer.name;
    let is_meant = pulled.rests_on.as_ref()?.split(", ").any(|it| it == name.as_str());
    let url = peer.url.as_ref()?;
    let scheme = if url.is_ldap() { "ldaps" } else { "https" };
    let missing = match (url.is_over_tls(), &peer.key) {
        _ if !is_meant => return None,
        (true, Some(_)) => return None,
        (true, None) => "--key KEY".to_owned(),
        (false, Some(_)) => format!("--url {scheme}://…"),
        (false, None) => format!("--url {scheme}://… --key KEY"),
    };
    Some(format!("if it is the home, identify it by its key, over TLS: `ics peer add {name} {missing}`"))
}

fn state(pulled: &Pulled, interval_ms: u64) -> String {
    let word = match pulled.state.as_str() {
        "current" if is_quiet(pulled.lag_seconds, interval_ms) => return style(quiet(pulled)).yellow().to_string(),
        "current" => style("✓ current").green(),
        "stopped" => style("✗ stopped").red().bold(),
        other => style(other).yellow(),
    };
    format!("{word}{}", behind(pulled.lag_entries))
}

fn quiet(pulled: &Pulled) -> String {
    match pulled.as_of {
        Some(since) => format!("all that the peer has, but its home has not vouched for it since {}", when(since)),
        None => "all that the peer has, but its home has not vouched for it".to_owned(),
    }
}

fn behind(lag: u64) -> String {
    if lag == 0 { String::new() } else { format!(", {} behind", counted_entries(lag)) }
}

/// How much came over the network, as a suffix: nothing of what is carried in bundles.
fn received(pulled: &Pulled) -> String {
    if pulled.bytes == 0 { String::new() } else { format!(", {} received", bytes(pulled.bytes)) }
}

fn age(pulled: &Pulled) -> String {
    pulled.lag_seconds.map_or_else(|| "never vouched for".to_owned(), |age| format!("as of {} ago", span(age)))
}

fn taken(served: &Served, now: Timestamp) -> String {
    let ago = span(now.millis_since(served.seen_at) / 1000);
    let at = format!("{} ({ago} ago)", when(served.seen_at));
    let (size, lag) = (counted_entries(served.size), behind(served.lag_entries));
    format!("{}: {size}{lag}, {}, {at}", served.domain, bytes(served.bytes))
}

/// What a peer is asked about thing by thing, and which domains follow something there.
fn asked(asks: &Asks, now: Timestamp) -> Vec<(&'static str, String)> {
    let error = |why: &String| ("", style(clean(why)).red().to_string());
    let answered = asks.answered_at.map_or_else(
        || "it has answered nothing since the node started".to_owned(),
        |at| format!("it last answered {} ago", span(now.millis_since(at) / 1000)),
    );
    let mut rows = vec![
        ("asked", format!("about single things of {}: {answered}", asks.domain)),
        ("", format!("entries of its log that were seen: {}", asks.seen)),
    ];
    rows.extend(asks.last_error.as_ref().map(error));
    for follower in &asks.followed_by {
        let state = if follower.last_error.is_some() { style("✗ fails").red().bold() } else { style("✓").green() };
        rows.push(("followed", format!("by {}: {state}", follower.domain)));
        rows.extend(follower.last_error.as_ref().map(error));
    }
    rows
}

fn witnessed(cosigned: &Cosigns, now: Timestamp) -> String {
    let ago = cosigned.cosigned_at.map(|at| format!(", {} ago", span(now.millis_since(at) / 1000)));
    let ago = ago.unwrap_or_default();
    format!("{}: {}{}{ago}", cosigned.domain, counted_entries(cosigned.size), behind(cosigned.lag_entries))
}

/// Formats a number of bytes for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// To know a home as such, the operator must configure a key and an address with TLS.
    #[test]
    fn what_is_missing_to_know_the_home_is_said() {
        let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let told = |url: &str, key: Option<&str>, rests_on: Option<&str>| {
            let pulled = json!({
                "domain": "a.example", "state": "unconfirmed", "size": 12, "lag_entries": 0, "bytes": 4321,
                "rests_on": rests_on,
            });
            let peer = json!({"name": "acme", "url": url, "key": key});
            let info = json!([{"peer": peer, "pulls": [pulled], "serves": []}]);
            let peers: Vec<PeerInfo> = serde_json::from_value(info).expect("peers");
            let text = text(&peers, Timestamp::default());
            let (_, rest) = text.split_once("`ics peer add acme ")?;
            rest.split_once('`').map(|(missing, _)| missing.to_owned())
        };
        let (plain, over_tls) = ("http://acme.example", "https://acme.example");
        let named = Some("acme, other");
        assert_eq!(told(over_tls, None, named).as_deref(), Some("--key KEY"));
        assert_eq!(told(plain, None, named).as_deref(), Some("--url https://… --key KEY"));
        assert_eq!(told(plain, Some(key), named).as_deref(), Some("--url https://…"));
        let directory = "ldap://acme.example";
        assert_eq!(told(directory, None, named).as_deref(), Some("--url ldaps://… --key KEY"), "as it is asked now");
        assert_eq!(told("ldaps://acme.example", None, named).as_deref(), Some("--key KEY"));
        assert_eq!(told(over_tls, Some(key), named), None, "that is all, and it is not the home");
        assert_eq!(told(over_tls, None, Some("other")), None, "it has not said so");
        assert_eq!(told(over_tls, None, None), None, "the home has");
    }

    /// Nothing fails if a home takes a node for a stranger: the copy is current, and what is hidden is missing.
    #[test]
    fn a_copy_of_a_part_says_why_it_is_one() {
        let told = |url: &str, partial: bool| {
            let pulled = json!({
                "domain": "a.example", "state": "current", "size": 12, "lag_entries": 0, "bytes": 4321,
                "partial": partial,
            });
            let peer = json!({"name": "acme", "url": url});
            let info = json!([{"peer": peer, "pulls": [pulled], "serves": []}]);
            let peers: Vec<PeerInfo> = serde_json::from_value(info).expect("peers");
            let told = console::strip_ansi_codes(&text(&peers, Timestamp::default())).into_owned();
            told.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let plain = told("http://acme.example", true);
        assert!(plain.contains("over plain HTTP this node proves no key"), "{plain}");
        assert!(plain.contains("`ics peer add acme --url https://…`"), "{plain}");
        assert!(told("ldap://acme.example", true).contains("over plain LDAP this node proves no key"));
        let known = told("https://acme.example", true);
        assert!(known.contains("a part of it") && !known.contains("plain"), "{known}");
        assert!(!told("http://acme.example", false).contains("a part of it"), "all may be read by strangers");
    }

    #[test]
    fn what_is_carried_by_hand_is_not_told_to_have_come_over_the_network() {
        // Of a part of a domain the home has not said that it is all.
        for state in ["by-hand", "unconfirmed"] {
            let pulled = json!({
                "domain": "a.example", "state": state, "size": 1, "lag_entries": 0, "lag_seconds": 30, "bytes": 0,
            });
            let info = json!([{"peer": {"name": "acme"}, "pulls": [pulled], "serves": []}]);
            let peers: Vec<PeerInfo> = serde_json::from_value(info).expect("peers");
            let told = console::strip_ansi_codes(&text(&peers, Timestamp::default())).into_owned();
            assert_eq!(told, format!("acme\n  copied  a.example: {state}\n          1 entry, as of 30 s ago\n"));
        }
    }

    #[test]
    fn a_certificate_that_is_not_believed_comes_with_what_to_give() {
        let told = |why: &str, key: Option<&str>| {
            let pulled = json!({
                "domain": "a.example", "state": "behind", "size": 0, "lag_entries": 1, "bytes": 0,
                "last_error": format!("the peer cannot be reached: {why}"),
            });
            let mut peer = json!({"name": "acme", "url": "ldaps://acme.example"});
            if let Some(key) = key {
                peer["key"] = json!(key);
            }
            let peers: Vec<PeerInfo> =
                serde_json::from_value(json!([{"peer": peer, "pulls": [pulled], "serves": []}])).expect("peers");
            let told = text(&peers, Timestamp::default());
            let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
            ["`ics peer add acme --key KEY`; or by an authority", "another key than the one that is configured"]
                .map(|expected| told.contains(expected))
        };
        let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(told("invalid peer certificate: UnknownIssuer", None), [true, false]);
        assert_eq!(told("invalid peer certificate: UnknownIssuer", Some(key)), [false, true], "one was given");
        assert_eq!(told("Connection refused (os error 111)", Some(key)), [false, false]);
    }

    /// A peer that is itself a copy shows all that it has, even while the home is away.
    #[test]
    fn what_no_home_has_vouched_for_lately_is_not_called_current() {
        let told = |lag_seconds: Option<u64>| {
            let as_of = lag_seconds.map(|_| "2026-11-20T08:10:00Z");
            let pulled = json!({
                "domain": "a.example", "state": "current", "size": 12, "lag_entries": 0, "bytes": 0, "as_of": as_of,
                "lag_seconds": lag_seconds,
            });
            let peer = json!({"name": "plant", "url": "https://plant.example", "interval_ms": 60_000});
            let peers: Vec<PeerInfo> =
                serde_json::from_value(json!([{"peer": peer, "pulls": [pulled], "serves": []}])).expect("peers");
            text(&peers, Timestamp::default())
        };
        assert!(told(Some(180)).contains("✓ current"), "as often as it is asked for, and two heartbeats");
        let old = told(Some(181));
        assert!(old.contains("its home has not vouched for it since 2026-11-20 08:10:00 UTC"), "{old}");
        assert!(!old.contains("✓"), "{old}");
        assert!(told(None).contains("its home has not vouched for it"), "{}", told(None));
    }

    #[test]
    fn a_clock_of_ones_own_that_is_behind_is_no_fault_of_a_peer() {
        let lead = json!({
            "shows": "2026-11-19T08:10:00Z", "time": "2026-11-20T08:10:00Z", "led_by": "a.example",
            "since": "2026-11-20T08:00:00Z",
        });
        let lead: ClockInfo = serde_json::from_value(lead).expect("a clock");
        let told = console::strip_ansi_codes(&in_words(&lead)).into_owned();
        let expected =
            "it shows 2026-11-19 08:10:00 UTC, and the node goes by 2026-11-20 08:10:00 UTC, because a.example";
        assert!(told.contains(expected), "{told}");
        let set_back = in_words(&ClockInfo { led_by: None, ..lead });
        assert!(set_back.contains("because the clock was set back"), "{set_back}");
    }

    /// A follower without a copy learns nothing new from a home that has forked or is silent.
    #[test]
    fn what_is_asked_about_and_followed_without_a_copy() {
        let asks = json!({
            "domain": "a.example", "seen": 27, "answered_at": "2026-11-20T08:10:00Z", "last_error": "it forked",
            "followed_by": [{"domain": "b.example"}, {"domain": "c.example", "last_error": "it is not heard"}],
        });
        let peer = json!({"name": "p.example", "url": "https://p.example"});
        let info = json!([{"peer": peer, "pulls": [], "serves": [], "asks": [asks]}]);
        let peers: Vec<PeerInfo> = serde_json::from_value(info).expect("peers");
        let told = text(&peers, Timestamp::parse("2026-11-20T08:10:30Z").expect("a time"));
        let told = console::strip_ansi_codes(&told).into_owned();
        for expected in [
            "about single things of a.example: it last answered 30 s ago",
            "that were seen: 27",
            "it forked",
            "by b.example: ✓",
            "by c.example: ✗ fails",
            "it is not heard",
        ] {
            assert!(told.contains(expected), "`{expected}` is missing: {told}");
        }
        assert!(!told.contains("nothing is copied from it"), "{told}");
    }

    #[test]
    fn copies_errors_and_readers() {
        let none = "the node has no peer: `ics peer add` adds one";
        assert_eq!(text(&[], Timestamp::default()), none);
        let current = json!({
            "domain": "a.example", "state": "current", "size": 12, "lag_entries": 0,
            "as_of": "2026-11-20T08:10:00Z", "lag_seconds": 30, "bytes": 4321,
        });
        let stopped = json!({
            "domain": "b.example", "state": "stopped", "size": 7, "lag_entries": 3, "last_error": "it forked",
            "bytes": 12_345_678,
        });
        let read = json!({
            "domain": "c.example", "size": 1, "lag_entries": 1, "seen_at": "2026-11-20T08:09:30Z", "bytes": 20_000,
        });
        let peer = json!({"name": "p.example", "url": "https://p.example"});
        let info = json!([
            {"peer": peer, "pulls": [current, stopped], "serves": [read]},
            {"peer": {"name": "q.example"}, "pulls": [], "serves": []},
        ]);
        let peers: Vec<PeerInfo> = serde_json::from_value(info).expect("peers");
        let now = Timestamp::parse("2026-11-20T08:10:30Z").expect("a time");
        assert_eq!(
            console::strip_ansi_codes(&text(&peers, now)),
            "p.example\n  at      https://p.example\n  copied  a.example: ✓ current\n          \
             12 entries, as of 30 s ago, 4321 B received\n  copied  b.example: ✗ stopped, 3 entries behind\n          \
             7 entries, never vouched for, 12 MB received\n          it forked\n  reads   c.example: 1 entry, 1 entry \
             behind, 20 kB, 2026-11-20 08:09:30 UTC (1 min ago)\n\nq.example\n    nothing is copied from it, and it has \
             read nothing since the node started\n"
        );
    }
}
