//! How the pages look, and whether everyone can read them, in a real browser. The pictures are kept under
//! `target/pages` for people to look at.

use std::path::PathBuf;

use ics_core::time::Timestamp;
use ics_node::api::{CertificatePage, CertificateQuery};
use ics_node::client::report::Report;
use serde_json::json;

use super::browser::{Browser, LOOKS, Look, PAPER};
use super::town::{LABEL, id_of, labels};
use super::town_at;
use crate::world::DOMAIN;

const ACCESSIBLE: &str = include_str!("accessible.js");
/// What is cut off on paper, where nobody can scroll, and tables that are laid out as for a phone.
const ON_PAPER: &str = "[...document.querySelectorAll('pre, .scroll')]\
    .filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => `cut off: ${it.textContent.slice(0, 40)}`)\
    .concat([...document.querySelectorAll('.scroll td')]\
    .filter((it) => getComputedStyle(it).display !== 'table-cell').map((it) => `no cell: ${it.textContent}`))";

fn pictures() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/pages");
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_read_every_page_in_every_light() {
    let node = town_at("http://localhost").await;
    let cookie = node.signed_in().await;
    let base = format!("http://{}", node.addresses[0]);
    let pages = [
        ("in-use", "/id/serial:SN-0010".to_owned()),
        ("stolen", "/id/serial:SN-0011".to_owned()),
        ("suspended", "/id/serial:SN-0012".to_owned()),
        ("planned", "/01/09506000134352/21/SN-0013".to_owned()),
        ("no-status", "/id/serial:SN-0014".to_owned()),
        ("hostile", format!("/id/{}", id_of(18))),
        ("several", "/id/serial:SN-TWICE".to_owned()),
        ("nothing", "/id/serial:SN-9999".to_owned()),
        ("refused", "/01/9506000134353/21/SN-0010".to_owned()),
        ("home", "/".to_owned()),
        ("register", format!("/domain/{}?label={}", labels(), LABEL.replace(' ', "%20"))),
        ("everything", format!("/domain/{DOMAIN}")),
        ("certificates", format!("/operator/certificates/{DOMAIN}")),
        ("operator", "/operator".to_owned()),
        ("operator-busy", "/operator".to_owned()),
    ];
    // With the longest label of any table of the pages: this node has issued no certificates.
    let busy = super::busy::page(&node).replace("data-of=\"Behind\"", "data-of=\"End within 30 days\"");
    assert!(busy.contains("End within 30 days"), "{busy}");
    let shown = tokio::task::spawn_blocking(move || {
        let (mut browser, directory, mut faults) = (Browser::start(), pictures(), Vec::new());
        let look_at = |browser: &mut Browser, faults: &mut Vec<String>, name: &str, path: &str| {
            for look in LOOKS.into_iter().chain([PAPER]) {
                browser.open(&format!("{base}{path}"), look);
                if name == "operator-busy" {
                    browser.draw(&busy);
                }
                browser.picture(&directory.join(format!("{name}-{}.png", look.name)));
                let found = browser.evaluate(if look.print { ON_PAPER } else { ACCESSIBLE });
                let found = found.as_array().expect("a list").iter();
                faults.extend(found.map(|fault| format!("{name} {}: {fault}", look.name)));
            }
        };
        look_at(&mut browser, &mut faults, "sign-in", "/operator");
        let (name, value) = cookie.split_once('=').expect("a cookie");
        browser.call("Network.setCookie", &json!({"name": name, "value": value, "url": base}));
        for (name, path) in &pages {
            look_at(&mut browser, &mut faults, name, path);
        }
        // Whoever scans a code sees everything that matters on the first screen of a phone.
        browser.open(&format!("{base}/id/serial:SN-0010"), LOOKS[0]);
        let end = browser.evaluate("document.querySelector('.screen').getBoundingClientRect().bottom");
        let answer = browser.evaluate("document.querySelector('.answer').getBoundingClientRect().bottom");
        (faults, answer.as_f64().expect("a number"), end.as_f64().expect("a number"))
    });
    let (faults, answer, end) = shown.await.expect("shows");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(answer < 400.0, "the answer ends at {answer}");
    assert!(end <= 844.0, "the first screen ends at {end}");
}

/// The report stands alone, on paper that lies: A4 within its margins. Whoever gives a reason may write long words.
#[test]
fn a_report_of_certificates_fits_on_paper() {
    let item = |number: u64| {
        json!({
            "serial": "41".repeat(20), "sha256": "ab".repeat(32), "spki": "cd".repeat(32), "profile": "ldevid",
            "id": "ab".repeat(20), "kind": "device", "title": format!("Pump {number}"), "issuer": "ef".repeat(20),
            "index": number, "until": "2026-12-24T00:00:00Z", "state": "held", "renewed": false,
            "revoked": {"at": "2026-11-26T04:00:00Z", "reason": "certificateHold", "why": "x".repeat(200)},
        })
    };
    let as_of = json!({"size": 9, "root": "", "fresh_for_seconds": 60});
    let items: Vec<_> = (0..3).map(item).collect();
    let page: CertificatePage = serde_json::from_value(json!({"as_of": as_of, "items": items})).expect("a page");
    let (format, domain) = ("html".parse().expect("a format"), DOMAIN.parse().expect("a domain"));
    let at = Timestamp::parse("2026-11-26T04:00:30Z").expect("a time");
    let mut html = Vec::new();
    let mut report = Report::new(format, &mut html, domain, at, CertificateQuery::default());
    report.add(&page).expect("writes");
    report.end().expect("writes");
    let file = pictures().join("report.html");
    std::fs::write(&file, html).expect("written");

    let mut browser = Browser::start();
    let url = format!("file://{}", file.canonicalize().expect("it is there").display());
    browser.open(&url, Look { name: "report", width: 1032, height: 703, ..PAPER });
    let wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert!(wide.as_f64().is_some_and(|pixels| pixels <= 1.0), "cut off at the right: {wide}");
}
