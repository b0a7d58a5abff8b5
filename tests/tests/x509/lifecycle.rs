//! Certificates that expire: who is told, how often, and what is left out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_node::api::CertificateQuery;
use ics_node::app::{Clock, ExpiryAlert, Reader, Requester, Revoker};
use ics_node::config::AlertsConfig;
use ics_node::x509::Reason;
use serde_json::Value;
use tokio::sync::watch;

use crate::tools::Bench;
use crate::world::{Shape, World, authority, claimed, controller, domain, id, introduction, maker, status};

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;

fn ago(millis: u64) -> Timestamp {
    Timestamp::from_millis(Clock::default().now().as_millis() - millis)
}

fn ahead(millis: u64) -> Timestamp {
    Clock::default().now().plus_millis(millis)
}

/// Certificates of each sort. Alerts are about 1 (expires soon), 2 (short-lived, expires soon) and 3 (has expired).
fn endings(world: &World) {
    world.submit((8..=10).map(|seed| introduction(seed, &[&format!("serial:SN-{seed}")])).collect());
    let long = |until| (ago(300 * DAY), until);
    world.claim_period(7, 1, long(ahead(20 * DAY)), "ldevid");
    world.claim_period(8, 2, (ago(20 * HOUR), ahead(4 * HOUR)), "short");
    world.claim_period(9, 3, long(ago(2 * HOUR)), "ldevid");
    // In time for renewal; renewed; expired and renewed; held; expired while its holder was out of use.
    world.claim_period(7, 4, (ago(12 * HOUR), ahead(12 * HOUR)), "short");
    world.claim_period(8, 5, long(ahead(DAY)), "ldevid");
    world.claim_period(8, 6, (ago(DAY), ahead(90 * DAY)), "ldevid");
    world.claim_period(9, 7, long(ago(HOUR)), "server");
    world.claim_period(9, 8, (ago(DAY), ahead(90 * DAY)), "server");
    world.claim_period(10, 9, long(ahead(DAY)), "ldevid");
    world.claim_period(10, 10, long(ago(HOUR)), "server");
    world.submit(vec![status(10, &controller(), "security-controller", "suspended", &[])]);
}

fn numbers(alert: &ExpiryAlert) -> Vec<u8> {
    let number = |hex: &str| u8::from_str_radix(&hex[38..], 16).expect("hex");
    alert.certificates.iter().map(|info| number(&info.serial)).collect()
}

#[test]
fn what_was_not_renewed_is_told_once() {
    let world = World::new();
    endings(&world);
    let (at, alerts) = world.app.look_at_expiries(None, 30).expect("looks");
    let [alert] = alerts.as_slice() else { panic!("one domain: {alerts:?}") };
    assert_eq!((alert.ending, alert.lapsed), (2, 1), "{alert:?}");
    assert_eq!(numbers(alert), [3, 2, 1], "in the order in which they end");
    let (_, again) = world.app.look_at_expiries(None, 30).expect("looks");
    assert_eq!(again[0].id, alert.id, "a receiver knows what it has, also after the node was started again");
    let found = world.app.expiries();
    let [found] = found.as_slice() else { panic!("one domain: {found:?}") };
    // Number 4 expires within a day too, but its renewal window is not over yet.
    assert_eq!((found.issued, found.ending, found.lapsed), (10, [2, 2, 3], 1));

    let (_, alerts) = world.app.look_at_expiries(Some(at), 30).expect("looks");
    assert_eq!(alerts, [], "it was told");
    let (_, alerts) = world.app.look_at_expiries(Some(ago(5 * DAY)), 30).expect("looks");
    assert_eq!(numbers(&alerts[0]), [3, 2], "number 1 was told of ten days ago");
    assert_ne!(alerts[0].id, alert.id, "that is other news");
    let (_, alerts) = world.app.look_at_expiries(None, 10).expect("looks");
    assert_eq!(numbers(&alerts[0]), [3, 2], "it is too early for number 1");
    assert_eq!(world.app.expiries()[0].ending, [2, 2, 3], "what is counted hangs on no configuration");
}

/// A whole factory's certificates may end at once.
#[test]
fn an_alert_names_so_many_and_says_how_many_there_are() {
    let world = World::new();
    let seeds = 100..=200;
    assert_eq!(seeds.clone().count(), limits::ALERT_CERTIFICATES + 1);
    world.submit(seeds.clone().map(|seed| introduction(seed, &[&format!("serial:SN-{seed}")])).collect());
    let period = (ago(300 * DAY), ahead(5 * DAY));
    let issued = (1..).zip(seeds).map(|(number, seed)| world.issued(seed, number, period, "ldevid"));
    world.submit(core::iter::once(world.key.certificate.to_vec()).chain(issued).collect());
    let (_, alerts) = world.app.look_at_expiries(None, 30).expect("looks");
    let [alert] = alerts.as_slice() else { panic!("one domain: {alerts:?}") };
    assert_eq!((alert.ending, alert.certificates.len()), (101, limits::ALERT_CERTIFICATES));
}

/// What an authority near its end issues expires with it, all at once, and before what another issued earlier.
#[test]
fn what_has_a_later_one_in_its_place_is_not_told_whenever_that_ends() {
    let world = World::new();
    world.submit((8..=9).map(|seed| introduction(seed, &[&format!("serial:SN-{seed}")])).collect());
    let (cut, later) = (ahead(5 * DAY), ahead(20 * DAY));
    world.claim_period(7, 1, (ago(300 * DAY), cut), "ldevid");
    world.claim_period(7, 2, (ago(DAY), cut), "ldevid");
    world.claim_period(8, 3, (ago(300 * DAY), later), "ldevid");
    world.claim_period(8, 4, (ago(DAY), cut), "ldevid");
    let (_, alerts) = world.app.look_at_expiries(None, 30).expect("looks");
    assert_eq!(alerts, []);

    world.claim_period(9, 5, (ago(300 * DAY), later), "ldevid");
    world.claim_period(9, 6, (ago(DAY), ahead(90 * DAY)), "ldevid");
    let is_renewed = || {
        let page = world.app.certificates(Reader::Operator, &domain(), &CertificateQuery::default()).expect("a page");
        let serial = claimed(9, 5).to_string();
        page.items.iter().find(|it| it.serial == serial).expect("is there").renewed
    };
    assert!(is_renewed());
    let holder = Revoker::Requester(Requester::Identity(id(9)));
    world.revoke(&claimed(9, 5), holder, Reason::Superseded).expect("its holder may");
    assert!(!is_renewed(), "what is revoked has no successor");
}

/// A thing may have several host names, each with a certificate of its own.
#[test]
fn a_certificate_for_another_host_or_use_renews_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![
        introduction(8, &["host:a.acme.example", "host:b.acme.example"]),
        status(8, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let certify = |name: &str, extensions: &[&str]| {
        let added: Vec<&str> = extensions.iter().flat_map(|extension| ["-addext", *extension]).collect();
        world.certify(8, "server", &bench.request(name, &added)).expect("its own host").serial.to_string()
    };
    let renewed = || -> Vec<String> {
        let page = world.app.certificates(Reader::Operator, &domain(), &CertificateQuery::default()).expect("a page");
        page.items.into_iter().filter(|it| it.renewed).map(|it| it.serial).collect()
    };
    let first = certify("first", &["subjectAltName=DNS:a.acme.example"]);
    let other = certify("other", &["subjectAltName=DNS:b.acme.example"]);
    let client = certify("client", &["subjectAltName=DNS:a.acme.example", "extendedKeyUsage=clientAuth"]);
    assert_eq!(renewed(), Vec::<String>::new());
    let again = certify("again", &["subjectAltName=DNS:a.acme.example"]);
    assert_eq!(renewed(), [first.clone(), client.clone()]);
    certify("both", &["subjectAltName=DNS:a.acme.example,DNS:b.acme.example"]);
    assert_eq!(renewed(), [first, other, client, again]);
}

#[test]
fn the_end_of_an_authority_is_reported_once_and_in_time() {
    // The longest profile with an end lasts 90 days.
    for (days, is_told) in [(80, true), (100, false)] {
        let world = World::of(&Shape { days, ..Shape::new() });
        let ends = authority(&[&world.issuer, &world.root]).not_after;
        let (at, alerts) = world.app.look_at_expiries(None, 30).expect("looks");
        let told: Vec<_> = alerts.iter().map(|alert| (alert.ending, alert.lapsed, alert.issuer_ends)).collect();
        let expected = is_told.then_some((0, 0, Some(ends)));
        assert_eq!(told, Vec::from_iter(expected), "{days}");
        assert_eq!(world.app.expiries()[0].issuer_ends, Some(ends));
        let (_, again) = world.app.look_at_expiries(Some(at), 30).expect("looks");
        assert_eq!(again, [], "it was told");
        let (_, earlier) = world.app.look_at_expiries(None, 110).expect("looks");
        assert_eq!(earlier.len(), 1, "who wants to hear of it earlier does");
    }
}

/// Accepts requests and answers with these statuses, then with 204; the receiver gets each request with its body.
fn receiver(statuses: &'static [u16]) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listens");
    let address = listener.local_addr().expect("an address");
    let (tell, told): (Sender<String>, _) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        while let Ok((mut stream, _)) = listener.accept() {
            let status = statuses.next().unwrap_or(&204);
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !is_whole(&request) {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                }
            }
            let answer = format!(
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
            if tell.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                return;
            }
        }
    });
    (address, told)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| body.len() >= length)
}

#[test]
fn a_receiver_is_told_again_until_it_has_taken_it() {
    let world = World::new();
    endings(&world);
    let (address, told) = receiver(&[503, 302]);
    let config = AlertsConfig {
        webhook: Some(format!("http://hook:pass@{address}/hooks/ics?token=s3cret").parse().expect("a URL")),
        every_seconds: 1,
        ..AlertsConfig::default()
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (stop, stopped) = watch::channel(false);
    let watching = runtime.spawn(world.app.clone().watch_certificates(config, stopped));
    let next = || told.recv_timeout(Duration::from_secs(30)).expect("is told");
    // It fails twice, by an error and by a redirection, which is not followed. The third attempt is accepted.
    let (first, second, third) = (next(), next(), next());
    for request in [&first, &second, &third] {
        assert!(request.starts_with("POST /hooks/ics?token=s3cret HTTP/1.1"), "{request}");
    }
    assert_eq!(first, third, "the same again");
    let body = third.split_once("\r\n\r\n").expect("a body").1;
    let value: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!((&value["ending"], &value["lapsed"]), (&2.into(), &1.into()), "{value}");
    assert_eq!(value["certificates"].as_array().map(Vec::len), Some(3), "{value}");
    assert!(!body.contains(crate::world::TOKEN), "no secret leaves");
    let silence = told.recv_timeout(Duration::from_millis(2500));
    assert!(silence.is_err(), "two looks later there is nothing new: {silence:?}");
    let begun = Instant::now();
    while world.app.alerts() != (1, 2) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", world.app.alerts());
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.send_replace(true);
    runtime.block_on(watching).expect("ends");
}

/// The alert counts what has lapsed since the last one, even if the node was away for longer than lapsed certificates
/// are counted.
#[test]
fn what_has_ended_since_somebody_was_told_is_told_however_long_that_is() {
    let world = World::new();
    world.claim_period(7, 1, (ago(100 * DAY), ago(10 * DAY)), "ldevid");
    let (_, alerts) = world.app.look_at_expiries(Some(ago(11 * DAY)), 30).expect("looks");
    let told: Vec<_> = alerts.iter().map(|alert| (alert.lapsed, numbers(alert))).collect();
    assert_eq!(told, [(1, vec![1])]);
    assert_eq!(world.app.expiries()[0].lapsed, 0, "it is counted no more");
    for since in [Some(ago(9 * DAY)), None] {
        let (_, alerts) = world.app.look_at_expiries(since, 30).expect("looks");
        assert_eq!(alerts, [], "{since:?}");
    }
}

#[test]
fn a_node_that_is_started_again_repeats_nothing_and_tells_a_new_receiver_all() {
    let world = World::new();
    endings(&world);
    let (address, told) = receiver(&[]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let start = |path: &str, before_days, until: &dyn Fn()| {
        let webhook = format!("http://{address}{path}").parse().expect("a URL");
        let config = AlertsConfig { webhook: Some(webhook), before_days, every_seconds: 1 };
        let (stop, stopped) = watch::channel(false);
        let watching = runtime.spawn(world.app.clone().watch_certificates(config, stopped));
        until();
        stop.send_replace(true);
        runtime.block_on(watching).expect("ends");
    };
    let is_told = |path: &str| {
        let request = told.recv_timeout(Duration::from_secs(30)).expect("is told");
        assert!(request.starts_with(&format!("POST {path} ")), "{request}");
    };
    let is_silent = || {
        let silence = told.recv_timeout(Duration::from_millis(2500));
        assert!(silence.is_err(), "{silence:?}");
    };
    let once = |path: &str| {
        is_told(path);
        is_silent();
    };
    start("/first", 30, &|| once("/first"));
    start("/first", 30, &is_silent);
    start("/second", 30, &|| once("/second"));
    start("/second", 31, &|| once("/second"));
}

/// A name in it may be a person's, and nobody erases the statement that it was issued.
#[test]
fn what_stands_in_a_certificate_is_forgotten_long_after_its_end() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    world.certify(7, "idevid", &bench.request("endless", &[])).expect("is issued");
    let end = issued.not_after.expect("it ends");
    let known_after = |day: u64| known_at(&world, end.plus_millis(day * DAY));
    assert!((1..=30).map(known_after).all(|known| known == 2), "the node has seen that for less than 30 days");
    assert_eq!(known_after(31), 1, "what has no end is never over");
}

/// How many certificates' contents are known after a look at this time.
fn known_at(world: &World, at: Timestamp) -> i64 {
    world.app.forget_certified(at).expect("looked at");
    let log = rusqlite::Connection::open(world.database()).expect("opens");
    log.query_row("SELECT count(*) FROM certified", [], |row| row.get(0)).expect("counted")
}

/// Nobody could bring back what is forgotten, and the device could no longer renew its certificate.
#[test]
fn a_clock_that_is_ahead_for_a_while_has_nothing_forgotten() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let end = issued.not_after.expect("it ends");
    let after = |day: u64| end.plus_millis(day * DAY);
    // Also not if the certificate has ended indeed.
    for day in (1..=20).chain(4_000..4_010).chain(21..=30) {
        assert_eq!(known_at(&world, after(day)), 1, "on day {day}");
    }
    assert_eq!(known_at(&world, after(31)), 0);
}
