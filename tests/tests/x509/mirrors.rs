//! Real processes: a copy of a domain that serves the issuer's own lists, even when their home is gone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ics_node::app::Clock;

use crate::tools::said;
use crate::town::{DOMAIN, Mirror, Town};

/// Fetches a list from a node and verifies it with the issuer; returns its text, or `None` if there is no list.
pub(crate) fn list(town: &Town, node: &str, path: &str) -> Option<String> {
    let url = format!("{node}{path}");
    let got = town.bench.run("curl", &["--silent", "--fail", "--output", "copy.crl", &url]);
    if !got.status.success() {
        return None;
    }
    let text = town.bench.openssl("crl -inform DER -in copy.crl -noout -text -CAfile issuer.pem");
    assert!(text.contains("verify OK"), "{text}");
    Some(text)
}

/// The path of the list that a certificate names.
pub(crate) fn path_of(town: &Town, name: &str) -> String {
    let text = town.bench.openssl(&format!("x509 -in {name}.pem -noout -ext crlDistributionPoints"));
    let url = text.split("URI:").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a place");
    url.strip_prefix(&town.url).expect("it is the home's").to_owned()
}

/// A home with a device that has a certificate, and the path of the list that the certificate names.
fn with_a_certificate() -> (Town, String) {
    let town = Town::new("");
    town.device("7");
    assert_eq!(town.est("SN-7", "7").0, "200");
    let path = path_of(&town, "7");
    (town, path)
}

#[test]
fn a_mirror_gives_the_issuers_list_and_keeps_it_when_the_home_is_gone() {
    let (mut town, path) = with_a_certificate();
    let (_mirror, mirror) = town.mirror("mirror");
    let (_second, second) = town.mirror_of("second", &mirror);
    for node in [&mirror, &second] {
        town.eventually("a list travels", || list(&town, node, &path).is_some());
        assert!(list(&town, node, &path).is_some_and(|text| text.contains("No Revoked Certificates")), "nothing yet");
    }
    let suspend = ["suspended", "--signer", "monitor", "--role", "security-controller"];
    let lift = ["in-use", "--lift", "--signer", "keeper", "--role", "owner"];
    let say = |words: &[&str]| town.ok(&[&["status", "--yes"][..], words, &["serial:SN-7"]].concat());
    let holds = |node: &str| list(&town, node, &path).is_some_and(|text| text.contains("Certificate Hold"));
    // Within a second, though the list that was fetched before would hold for half an hour more. On a busy machine one
    // of several times is enough.
    let mut took = Duration::MAX;
    for _ in 0..5 {
        say(&suspend);
        let began = Instant::now();
        for node in [&mirror, &second] {
            town.eventually("it is on the list there", || holds(node));
        }
        took = took.min(began.elapsed());
        if took < Duration::from_secs(1) {
            break;
        }
        say(&lift);
    }
    assert!(took < Duration::from_secs(1), "within a second: {took:?}");

    let (lists, _) = path.rsplit_once('/').expect("a path");
    assert_eq!(list(&town, &mirror, &format!("{lists}/99.crl")), None, "no other list is made up");
    town.kill();
    for node in [&mirror, &second] {
        let text = list(&town, node, &path).expect("the last list holds");
        assert!(text.contains("Certificate Hold"), "{text}");
    }
}

/// It issues nothing, so clients that name no domain do not mean what it copies, and it takes no orders for that.
#[test]
fn a_mirror_is_not_where_a_domain_issues() {
    let town = Town::new("");
    let (_mirror, mirror) = town.mirror_with_acme("mirror");
    let got = |node: &str, path: &str| {
        let url = format!("{node}{path}");
        said(&town.bench.run("curl", &["--silent", "--output", "got", "--write-out", "%{http_code}", &url]))
    };
    for (path, here) in [
        ("/.well-known/est/cacerts".to_owned(), "404"),
        (format!("/acme/{DOMAIN}/directory"), "404"),
        (format!("/.well-known/est/{DOMAIN}/cacerts"), "200"),
    ] {
        assert_eq!([got(&town.url, &path), got(&mirror, &path)], ["200", here], "{path}");
    }
}

/// A list fetched earlier would let through what the copy itself has since heard of, or what has since been blocked by
/// time: no list is better.
#[test]
fn a_mirror_gives_no_list_without_what_it_knows_to_be_revoked() {
    let mut town = Town::new("");
    for (name, serial) in [("7", "SN-7"), ("8", "SN-8")] {
        town.device(name);
        assert_eq!(town.est(serial, name).0, "200");
    }
    let path = path_of(&town, "7");
    let (_mirror, mirror) = town.mirror("mirror");
    town.eventually("a list travels", || list(&town, &mirror, &path).is_some());
    let says = |serial: &str, status: &str| {
        town.words(&["--node", &mirror, "lookup", &format!("serial:{serial}")]).contains(status)
    };
    let later = path_of(&town, "8");
    // Long enough for the copy to hear of it before, on a busy machine as well.
    let soon = Clock::default().now().plus_millis(25_000).to_string();
    town.ok(&["status", "suspended", "serial:SN-8", "--yes"]);
    town.ok(&["status", "in-use", "serial:SN-8", "--until", &soon, "--yes"]);
    town.eventually("it may be used again for now", || says("SN-8", "in-use"));
    let is_clean = || list(&town, &mirror, &later).is_some_and(|text| !text.contains("Certificate Hold"));
    town.eventually("it is on no list", is_clean);
    town.ok(&["status", "suspended", "serial:SN-7", "--yes"]);
    town.eventually("the copy hears of it", || says("SN-7", "suspended"));
    town.kill();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(list(&town, &mirror, &path), None, "it was suspended since");
    town.eventually("time blocks it again", || list(&town, &mirror, &later).is_none());
}

/// A peer that answers whoever asks for a list with this one, and nothing else; returns its URL.
fn behind(list: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let reader = BufReader::new(stream.try_clone().expect("the same"));
            let head: Vec<String> = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let is_asked = head.first().is_some_and(|line| line.contains(".crl?"));
            let (status, body) = if is_asked { ("200 OK", &list[..]) } else { ("503 Service Unavailable", &[][..]) };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // Whoever has gone away has enough.
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    url
}

/// A copy that has two peers hears of a revocation from one, and gets lists from the other, which is behind; before it,
/// its home and the path of the list.
fn with_a_peer_that_is_behind() -> (Town, String, Mirror, String) {
    let (town, path) = with_a_certificate();
    assert!(list(&town, &town.url, &path).is_some_and(|text| text.contains("No Revoked Certificates")));
    let peer = behind(town.bench.read("copy.crl"));
    let (mut node, mirror) = town.mirror("mirror");
    town.start_again(&mut node, "mirror", |home| {
        let text = std::fs::read_to_string(home.join("ics.toml")).expect("is there");
        let (before, maker) = text.rsplit_once("[[peer]]").expect("a peer");
        let behind = maker.replace("\"maker\"", "\"behind\"").replace(&town.url, &peer);
        let text = format!("{before}[[peer]]{behind}\n[[peer]]{maker}");
        std::fs::write(home.join("ics.toml"), text).expect("writes");
    });
    town.eventually("the list of the peer is given", || list(&town, &mirror, &path).is_some());
    town.ok(&["status", "suspended", "serial:SN-7", "--signer", "monitor", "--role", "security-controller", "--yes"]);
    let hears = || town.words(&["--node", &mirror, "lookup", "serial:SN-7"]).contains("suspended");
    town.eventually("the copy hears of it", hears);
    (town, path, node, mirror)
}

#[test]
fn a_mirror_gives_no_list_that_came_now_without_what_it_knows_to_be_revoked() {
    let (town, path, _mirror, mirror) = with_a_peer_that_is_behind();
    let holds = || list(&town, &mirror, &path).is_some_and(|text| text.contains("Certificate Hold"));
    assert!(holds(), "what the first peer gives lacks it, so the next one is asked");
}

/// Once the link is gone nothing better comes.
#[test]
fn a_mirror_fetches_no_list_ahead_without_what_it_knows_to_be_revoked_if_another_peer_has_a_better_one() {
    let (town, path, mut node, _) = with_a_peer_that_is_behind();
    // Lists of before a start are fetched anew, although nobody asks.
    town.start_again(&mut node, "mirror", |_| ());
    let file = town.bench.path().join("mirror").join(file_of(&path));
    let holds = || {
        let kept = std::fs::read(&file).unwrap_or_default();
        let der = kept.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
        std::fs::write(town.bench.path().join("kept.crl"), der).expect("writes");
        let read = ["crl", "-inform", "DER", "-in", "kept.crl", "-noout", "-text"];
        said(&town.bench.run("openssl", &read)).contains("Certificate Hold")
    };
    town.eventually("the list of the next peer is kept", holds);
}

/// A peer that answers nobody; returns its URL, and the first line of each request.
fn mute() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().filter_map(Result::ok) {
            let mut line = String::new();
            // Whoever has gone away, and a test that is over, have enough.
            let _ = BufReader::new(&stream).read_line(&mut line);
            let _ = tell.send(line);
            held.push(stream);
        }
    });
    (url, told)
}

/// Nodes that ask each other for a list do not wait for each other, and anybody can ask as a node does.
#[test]
fn a_mirror_that_is_asked_back_gives_no_list_without_what_it_knows_to_be_revoked() {
    let (town, path) = with_a_certificate();
    let (mut node, mirror) = town.mirror("mirror");
    town.eventually("a list travels", || list(&town, &mirror, &path).is_some());
    town.ok(&["status", "suspended", "serial:SN-7", "--signer", "monitor", "--role", "security-controller", "--yes"]);
    let hears = || town.words(&["--node", &mirror, "lookup", "serial:SN-7"]).contains("suspended");
    town.eventually("the copy hears of it", hears);

    let (peer, asked) = mute();
    town.start_again(&mut node, "mirror", |home| {
        let text = std::fs::read_to_string(home.join("ics.toml")).expect("is there");
        std::fs::write(home.join("ics.toml"), text.replace(&town.url, &peer)).expect("writes");
    });
    let domain = format!("{mirror}/v1/domains/{DOMAIN}");
    let runs = || town.bench.run("curl", &["--silent", "--fail", &domain]).status.success();
    town.eventually("it runs", runs);
    let mut waits = Command::new("curl");
    let waits = waits.current_dir(town.bench.path()).args(["--silent", "--output", "other.crl"]);
    let mut waits = waits.arg(format!("{mirror}{path}")).spawn().expect("starts");
    while !asked.recv_timeout(Duration::from_secs(60)).expect("it asks its peer").contains(&path) {}
    let given = list(&town, &mirror, &format!("{path}?hops=1"));
    assert!(given.is_none_or(|text| text.contains("Certificate Hold")), "it was suspended since that list was made");
    waits.kill().expect("is killed");
    waits.wait().expect("is gone");
}

/// A copy could sign away what it has not heard of yet: it serves what the home has signed, although it has the key.
#[test]
fn a_copy_with_the_issuers_key_signs_no_lists() {
    let (mut town, path) = with_a_certificate();
    let (mut node, spare) = town.spare("spare");
    town.eventually("a list travels", || list(&town, &spare, &path).is_some());
    let before = town.bench.read("copy.crl");
    town.kill();
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(list(&town, &spare, &path).is_some(), "the last list holds");
    assert_eq!(town.bench.read("copy.crl"), before);
    town.start_again(&mut node, "spare", |home| {
        std::fs::remove_dir_all(home.join("data/lists")).expect("removes");
    });
    let domain = format!("{spare}/v1/domains/{DOMAIN}");
    let runs = || town.bench.run("curl", &["--silent", "--fail", &domain]).status.success();
    town.eventually("it runs", runs);
    assert_eq!(list(&town, &spare, &path), None, "it has none, and signs none");
}

/// The file in which a node keeps the list at a path, relative to its home directory.
fn file_of(path: &str) -> String {
    let (rest, shard) = path.trim_end_matches(".crl").rsplit_once('/').expect("a path");
    let (_, issuer) = rest.rsplit_once('/').expect("a path");
    format!("data/lists/{DOMAIN}/{issuer}-{shard}")
}

/// The path of another list by the same issuer.
fn other_list(path: &str) -> String {
    let (issuer, shard) = path.trim_end_matches(".crl").rsplit_once('/').expect("a path");
    format!("{issuer}/{}.crl", (shard.parse::<u8>().expect("a number") + 1) % 16)
}

/// A site may lose its link and its power in any order, and its nginx may ask for the first time after both.
#[test]
fn a_mirror_that_starts_without_a_link_gives_the_list_that_nobody_has_asked_it_for() {
    let (mut town, path) = with_a_certificate();
    let other = other_list(&path);
    let (mut mirror, url) = town.mirror("mirror");
    for path in [&path, &other] {
        let file = town.bench.path().join("mirror").join(file_of(path));
        town.eventually("it is fetched", || file.exists());
    }
    town.kill();
    town.start_again(&mut mirror, "mirror", |_| ());
    town.eventually("the last list holds", || list(&town, &url, &path).is_some());

    // The content of a file is believed because of the issuer's signature, and only for the URL that it names.
    town.start_again(&mut mirror, "mirror", |home| {
        std::fs::copy(home.join(file_of(&other)), home.join(file_of(&path))).expect("copies");
    });
    town.eventually("it runs", || list(&town, &url, &other).is_some());
    assert_eq!(list(&town, &url, &path), None, "it is another list of the issuer");
}

#[test]
fn a_mirror_answers_by_its_next_certificate_without_a_restart() {
    let (town, _) = with_a_certificate();
    assert!(town.ocsp("7").contains("good"), "its home answers");
    let (mirror, url) = town.answerer("mirror");
    let first = town.bench.read("ocsp.der");
    let responder = format!("{url}/x509/{DOMAIN}/ocsp");
    // With a nonce, so that each answer is signed anew.
    let question = ["ocsp", "-issuer", "issuer.pem", "-cert", "7.pem", "-CAfile", "chain.pem", "-url", &responder];
    let answers_by = |certificate: &[u8]| {
        let text = said(&town.bench.run("openssl", &[&question[..], &["-respout", "answer.der"]].concat()));
        let answer = std::fs::read(town.bench.path().join("answer.der")).unwrap_or_default();
        let is_shown = answer.windows(certificate.len()).any(|part| part == certificate);
        is_shown && text.contains("Response verify OK") && text.contains("7.pem: good")
    };
    town.eventually("it answers", || answers_by(&first));
    let ends = format!("ics_certificates_responder_ends_timestamp_seconds{{domain=\"{DOMAIN}\"}} ");
    let metrics = town.metrics_of("mirror", &url);
    assert!(metrics.contains(&ends), "`{ends}` is missing: {metrics}");

    let next = town.certify_answerer("mirror");
    assert!(answers_by(&first), "nobody has told it yet");
    mirror.reload(&town.bench);
    town.eventually("it answers by the next one", || answers_by(&next));
}
