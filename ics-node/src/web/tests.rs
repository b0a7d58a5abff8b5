use std::collections::BTreeMap;

use ics_core::limits;
use serde_json::{Value, json};

use super::*;
use crate::api::problem::Code;
use crate::api::{self, Problem, RecordAnswer};
use crate::app::{Assessed, PublicThing, Register};
use crate::explain;
use crate::words::MAY_MISS;

/// The colours of the style sheet, in its light and its dark scheme.
fn colours() -> [BTreeMap<String, [f64; 3]>; 2] {
    let (screen, _) = STYLE.split_once("@media print").expect("a style for paper");
    let (light, dark) = screen.split_once("@media (prefers-color-scheme: dark)").expect("a dark style");
    let read = |text: &str| {
        let block = text.split_once(":root {").and_then(|(_, rest)| rest.split_once('}')).expect("colours").0;
        let named = block.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
        let part = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"));
        named.map(|(name, hex)| (name.to_owned(), [0, 2, 4].map(|at| part(hex, at)))).collect::<BTreeMap<_, _>>()
    };
    [read(light), read(dark)]
}

/// WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let part = |value: f64| {
        let value = value / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let light = |[r, g, b]: [f64; 3]| 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn the_formula_is_that_of_the_guidelines() {
    assert!((contrast([0.0; 3], [255.0; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([119.0; 3], [255.0; 3]) - 4.48).abs() < 0.01, "#777 on white fails AA by a hair");
}

/// Text needs a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3), shapes and borders 3 to 1 (1.4.11), in both schemes.
#[test]
fn every_pair_of_colours_has_its_contrast() {
    let text = [
        ("ink", "page"),
        ("ink", "card"),
        ("ink", "code"),
        ("soft", "page"),
        ("soft", "card"),
        ("link", "page"),
        ("link", "card"),
        ("mark-good", "card"),
        ("mark-bad", "card"),
        ("mark-bad", "page"),
        ("mark-unsure", "card"),
        ("on-colour", "good"),
        ("on-colour", "bad"),
        ("on-colour", "unsure"),
        ("on-colour", "quiet"),
        ("warn-ink", "warn"),
        ("warn-ink", "code"),
    ];
    let shapes = [("soft", "card"), ("good", "page"), ("bad", "page"), ("unsure", "page"), ("quiet", "page")];
    for (scheme, colours) in ["light", "dark"].iter().zip(colours()) {
        let of = |(a, b): (&str, &str)| contrast(colours[a], colours[b]);
        for pair in text {
            assert!(of(pair) >= 4.5, "{scheme}: {pair:?} has {:.2}", of(pair));
        }
        for pair in shapes.into_iter().filter(|_| *scheme == "light") {
            assert!(of(pair) >= 3.0, "{scheme}: {pair:?} has {:.2}", of(pair));
        }
    }
}

#[test]
fn the_style_sheet_asks_nobody_else() {
    for outside in ["url(", "@import", "http:", "https:", "@font-face"] {
        assert!(!STYLE.contains(outside), "{outside}");
    }
    assert!(STYLE_PATH.starts_with("/style/") && STYLE_PATH.len() > 15);
}

#[test]
fn paths_hold_any_name() {
    assert_eq!(path_of("serial:SN-0001"), "/id/serial:SN-0001");
    assert_eq!(path_of("serial:a/b?c#d%\"<é"), "/id/serial:a%2Fb%3Fc%23d%25%22%3C%C3%A9");
    assert_eq!(path_of("ni:///sha-256;abc"), "/id/ni:%2F%2F%2Fsha-256%3Babc");
    let domain: DomainName = "labels.cert.example".parse().expect("a domain");
    for (label, lot, after, path) in [
        (None, None, None, "/domain/labels.cert.example"),
        (Some("IIa, 5+1&x=y#é"), None, None, "/domain/labels.cert.example?label=IIa,%205%2B1%26x=y%23%C3%A9"),
        (None, None, Some(7), "/domain/labels.cert.example?after=7"),
        (None, Some("L/1"), None, "/domain/labels.cert.example?lot=L%2F1"),
        (Some("ce"), Some("L1"), Some(7), "/domain/labels.cert.example?label=ce&lot=L1&after=7"),
    ] {
        assert_eq!(register_of(&domain, label, lot, after), path);
    }
}

/// A register with one thing, of which these things are not known.
fn register_of_one(label: Option<&str>, cut_short: bool, unknown: &Value) -> Register {
    let mut assessment = json!({"outlook": "unknown", "stale": [], "unheard": [], "conflict": false});
    let given = unknown.as_object().expect("an object").clone();
    assessment.as_object_mut().expect("an object").extend(given);
    let by = json!({"signer": "ab".repeat(20), "name": "Certifix", "role": "certification-body", "index": 3,
                    "statement": "07".repeat(32), "group": format!("sha256:{}", "cd".repeat(32))});
    let summary = json!({"id": "ab".repeat(20), "kind": "device", "title": "device SN-1", "effect": "none",
                         "labels": [{"value": "<ce>", "by": by}], "attributes": {"lot": "L1", "manu": "Acme & Co"}});
    let as_of = json!({"size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1,
                       "fresh_for_seconds": 60});
    let summary = serde_json::from_value(summary).expect("a summary");
    let assessment = serde_json::from_value(assessment).expect("an assessment");
    Register {
        domain: "labels.cert.example".parse().expect("a domain"),
        purpose: "What <Certifix> labels".to_owned(),
        label: label.map(str::to_owned),
        lot: None,
        as_of: serde_json::from_value(as_of).expect("how far it reaches"),
        things: vec![Assessed { summary, assessment }],
        after: None,
        next: None,
        cut_short,
    }
}

fn site() -> Site {
    Site { name: "ics.cert.example".to_owned(), url: "https://ics.cert.example".to_owned() }
}

fn drawn(page: &Register) -> String {
    register(&site(), page).into_string()
}

/// A link to a domain of which nothing has arrived yet would lead to an error.
#[test]
fn the_first_page_says_what_a_domain_is_for_and_leads_where_there_is_something() {
    let named = |name: &str| name.parse::<DomainName>().expect("a domain");
    let purpose = Some("What <Certifix> labels".to_owned());
    let domains = [(named("labels.cert.example"), purpose), (named("new.example"), None)];
    let page = home(&site(), &domains).into_string();
    for expected in [
        "<a href=\"/domain/labels.cert.example\">labels.cert.example</a>",
        "What &lt;Certifix&gt; labels",
        "new.example<br><small>It cannot be shown at present.",
    ] {
        assert!(page.contains(expected), "`{expected}` is missing: {page}");
    }
    assert!(!page.contains("href=\"/domain/new.example\""), "{page}");
    assert!(page.contains("which labels they have, and until when."), "where labels are listed: {page}");
    assert!(home(&site(), &[]).into_string().contains("None yet."));
}

/// What was wrong is written for programs: without a capital, a full stop, and with code between backticks.
#[test]
fn a_refusal_is_told_in_sentences() {
    for (detail, told) in [
        ("the check digit is `3`, not 2", "<bdi>The check digit is <code>3</code>, not 2.</bdi>"),
        ("`what` is not a name: use urn:…", "<bdi><code>what</code> is not a name: use urn:…</bdi>"),
    ] {
        let page = refused(&site(), &Problem::of(Code::MalformedId, detail.to_owned())).into_string();
        assert!(page.contains("<title>This is neither an id nor a name of an identity · "), "{page}");
        assert!(page.contains("<h1>Error 400</h1>") && page.contains(told), "{told}: {page}");
        assert!(page.contains("<code>ics lookup --help</code> lists."), "the hint, too: {page}");
    }
}

/// Whoever has scanned a code or followed a link is not told about routes, headers and methods.
#[test]
fn people_are_told_what_to_do_about_a_refusal_and_not_what_programs_do() {
    for (code, told, hint) in [
        (Code::MalformedPath, "This address is not right", "Scan the code again"),
        (Code::MalformedQuery, "This address is not right", ""),
        (Code::UnknownRoute, "There is no such page", "can be looked up here."),
        (Code::MalformedRequest, "What was sent cannot be read", "Go back to the page that led here"),
        (Code::MethodNotAllowed, "This address cannot be opened like that", "Go back to the page that led here"),
        (Code::OperatorOnly, "This needs the operator's token", "<a href=\"/operator\">"),
        (Code::UnknownDomain, "This node does not hold the domain", "<a href=\"/\">The first page</a> lists"),
        (Code::TooManyRequests, "Please wait a moment", ""),
        (Code::Busy, "The node has as much work as it takes", "Try again in a moment."),
        (Code::UnknownEntry, "The log has no such entry", ""),
    ] {
        let page = refused(&site(), &Problem::of(code, "why".to_owned())).into_string();
        assert!(page.contains(&format!("<p class=\"word\" id=\"answer\">{told}</p>")), "{code}: {page}");
        assert_eq!(page.contains("class=\"note hint\""), !hint.is_empty(), "{code}: {page}");
        assert!(page.contains(hint), "{code}: {page}");
        for foreign in ["GET /", "Authorization", "Retry-After", "Allow header", "route"] {
            assert!(!page.contains(foreign), "{code}: `{foreign}`: {page}");
        }
    }
}

/// Somebody in front of a thing that may not be used is told whom to ask, or what else to do.
#[test]
fn whoever_may_not_use_a_thing_is_told_what_to_do_next() {
    let by = json!({"signer": "ab".repeat(20), "name": "Integrator <GmbH>", "role": "integrator", "index": 3,
                    "statement": "07".repeat(32)});
    let status = json!({"name": "stolen", "effect": "blocks", "since": "2026-11-20T08:10:00Z", "by": by});
    let ask = "Ask <bdi>Integrator &lt;GmbH&gt;</bdi> what is to be done with it.";
    let later = "Look again later. Until then, treat it as something that may be blocked.";
    for (unlike, told) in [
        (json!({"outlook": "blocked", "status": ["a.example", status]}), ask),
        (json!({"outlook": "unknown", "stale": ["a.example"]}), later),
        (json!({"outlook": "unknown", "unheard": ["a.example"]}), later),
        (json!({"outlook": "unknown"}), "or ask whoever made it or sold it."),
        (json!({"outlook": "not-vouched"}), "or ask whoever made it or sold it."),
        (json!({"outlook": "permitted"}), ""),
        (json!({"outlook": "not-in-use"}), ""),
    ] {
        let outlook = unlike["outlook"].to_string();
        let assessed = register_of_one(None, false, &unlike).things.remove(0).assessment;
        let drawn = advice::of_thing(&assessed).into_string();
        assert_eq!(drawn.is_empty(), told.is_empty(), "{outlook}: {drawn}");
        assert!(drawn.contains(told), "{outlook}: {drawn}");
    }
}

/// A page names a few of the labels of a thing, and does not look as if these were all.
#[test]
fn labels_that_are_not_named_are_not_passed_over_in_silence() {
    let by = json!({"signer": "ab".repeat(20), "role": "certification-body", "index": 3, "statement": "07".repeat(32)});
    let label = |number: usize| json!({"value": format!("label {number}"), "by": by});
    let as_of = json!({"size": 3, "root": "", "time": "2026-11-20T08:10:00Z", "age_seconds": 1,
                       "fresh_for_seconds": 60});
    for (count, told) in [(8, None), (10, Some("And 2 more: <a href=\"#why\">see who says so</a>."))] {
        let labels: Vec<Value> = (0..count).map(label).collect();
        let record = json!({"domain": "labels.cert.example", "id": "ab".repeat(20), "kind": "device", "title": "Pump",
                            "at": "2026-11-20T08:10:00Z", "vouched": [], "names": [], "attributes": {},
                            "approvals": [], "labels": labels, "groups": [], "grants": [], "installed": [],
                            "replaces": [], "statements": []});
        let answer = json!({"as_of": as_of, "record": record});
        let answers: Vec<RecordAnswer> = vec![serde_json::from_value(answer).expect("an answer")];
        let assessment = api::assessment(&answers, &[]);
        let public = PublicThing {
            identity: answers[0].record.identity,
            title: "Pump".to_owned(),
            explanation: explain::records(&answers, &assessment),
            assessment,
            answers,
            attributes: BTreeMap::new(),
            installed: Vec::new(),
            allowed: Vec::new(),
            allows_more: false,
        };
        let page = thing(&site(), &public, "/id/SN-1").into_string();
        assert_eq!(page.contains("see who says so"), told.is_some(), "{count}: {page}");
        assert!(told.is_none_or(|told| page.contains(told)), "{count}: {page}");
    }
    let mut register = register_of_one(None, false, &json!({}));
    let label = register.things[0].summary.labels[0].clone();
    for (count, told) in [(limits::LABELS_LISTED - 1, false), (limits::LABELS_LISTED, true)] {
        register.things[0].summary.labels = vec![label.clone(); count];
        assert_eq!(drawn(&register).contains("There may be more: see its page."), told, "{count}");
    }
}

/// A page that was printed, or that stays open, says when it was true.
#[test]
fn a_register_says_when_it_was_confirmed() {
    let page = drawn(&register_of_one(None, false, &json!({})));
    let at = "title=\"2026-11-20 08:10:00 UTC\">20 Nov 2026, 08:10 UTC</time>), good for 1 min";
    assert!(page.contains("<strong>Confirmed 1 s ago</strong> (<time ") && page.contains(at), "{page}");
    assert!(page.contains("What &lt;Certifix&gt; labels"), "and what the domain is for: {page}");
}

#[test]
fn every_page_of_a_register_says_where_it_ends() {
    let back = "<a href=\"/domain/labels.cert.example?label=ce&amp;lot=L1\">Back to the first page</a>";
    for (after, next, said) in [
        (None, None, "Nothing that you may see."),
        (None, Some(7), "Nothing in this part of the log. The search goes on with the next page."),
        (Some(7), Some(9), "Nothing in this part of the log. The search goes on with the next page."),
        (Some(7), None, "Nothing more that you may see."),
    ] {
        let one = register_of_one(Some("ce"), false, &json!({}));
        let page = drawn(&Register { things: Vec::new(), lot: Some("L1".to_owned()), after, next, ..one });
        assert!(page.contains(said), "{after:?}, {next:?}: {page}");
        assert_eq!(page.contains(back), after.is_some(), "{page}");
        assert_eq!(page.contains("rel=\"next\""), next.is_some(), "{page}");
        let place = after.map_or_else(String::new, |after| format!("&amp;after={after}"));
        let listing = format!("/v1/domains/labels.cert.example/identities?label=ce&amp;lot=L1{place}\"");
        assert!(page.contains(&listing), "{listing}: {page}");
    }
}

/// Somebody who may see little of a long log gets many short pages, and wants to know how many are still to come.
#[test]
fn a_register_says_how_much_of_the_log_is_looked_through() {
    for (next, said) in [
        (None, None),
        (Some(1), Some("<small>Looked through: 2 of 3 entries of the log.</small>")),
        // Behind what the domain introduces; no log is that long.
        (Some(1 << 52), None),
    ] {
        let page = drawn(&Register { next, ..register_of_one(None, false, &json!({})) });
        assert_eq!(page.contains("Looked through"), said.is_some(), "{next:?}: {page}");
        assert!(said.is_none_or(|said| page.contains(said)), "{next:?}: {page}");
    }
}

#[test]
fn a_register_says_what_is_not_known() {
    let nothing = drawn(&register_of_one(None, false, &json!({})));
    assert!(!nothing.contains("What is not known here"), "{nothing}");
    for (cut_short, unknown, said) in [
        (true, json!({}), MAY_MISS),
        (false, json!({"unheard": ["a.example"]}), "a.example was not heard"),
        (false, json!({"cut_short": ["a.example"]}), "a.example does not show yet what is left"),
        (false, json!({"stale": ["a.example"]}), "The last news of a.example is too old"),
        (false, json!({"outlook": "not-vouched"}), "nothing that you may see here says that it is genuine"),
    ] {
        let page = drawn(&register_of_one(None, cut_short, &unknown));
        assert!(page.contains("What is not known here") && page.contains(said), "{said}: {page}");
    }
}

#[test]
fn a_line_of_a_register_says_what_it_is_and_who_labels_it() {
    let all = drawn(&register_of_one(None, false, &json!({})));
    let one = drawn(&register_of_one(Some("<ce>"), false, &json!({})));
    let called = "<bdi>device SN-1</bdi></a>, <bdi>Acme &amp; Co</bdi>, lot <bdi>L1</bdi>";
    let link = "<a href=\"/domain/labels.cert.example?label=%3Cce%3E\"><bdi>&lt;ce&gt;</bdi></a>";
    let group = format!("<a href=\"/id/sha256:{}\">whole group</a>", "cd".repeat(32));
    let by = format!("<bdi>Certifix</bdi>, for its {group}, without an end");
    assert!(all.contains(called) && one.contains(called), "{all}");
    assert!(all.contains(&format!("{link}</strong>, a label by {by}")), "{all}");
    assert!(one.contains(&format!("Labelled by {by}")) && !one.contains(link), "{one}");
    assert!(one.contains("<title>&lt;ce&gt; · Register of labels.cert.example · "), "{one}");
}

/// What is not fresh may have been revoked since; what has ended by itself is no fault.
#[test]
fn certificates_are_good_as_long_as_the_news_of_them_is() {
    let states = |age_seconds: u64| {
        let item = |state: &str| {
            json!({
                "serial": "41".repeat(20), "sha256": "ab".repeat(32), "spki": "cd".repeat(32), "id": "ab".repeat(20),
                "kind": "device", "title": "Pump 7", "issuer": "ef".repeat(20), "index": 7, "state": state,
                "renewed": false,
            })
        };
        let as_of = json!({"size": 9, "root": "", "time": "2026-11-26T05:00:00Z", "age_seconds": age_seconds,
            "fresh_for_seconds": 60});
        let items = ["good", "revoked", "ended"].map(item);
        let page = json!({"as_of": as_of, "items": items});
        let page: api::CertificatePage = serde_json::from_value(page).expect("a page");
        let drawn = inventory(&site(), &"d.example".parse().expect("a domain"), &page).into_string();
        let rest = drawn.split("<span class=\"state ").skip(1);
        let states: Vec<String> = rest.filter_map(|it| Some(it.split_once("</span>")?.0.replace("\">", " "))).collect();
        (states, drawn.contains("too old to rely on"))
    };
    let expected = |good: &str| [good, "bad revoked", "quiet ended"].map(str::to_owned).to_vec();
    assert_eq!(states(60), (expected("good good"), false));
    assert_eq!(states(61), (expected("unsure unknown"), true));
}
