//! The driver and its peer over real sockets: requests, answers, and refusals.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ics_core::limits;
use ics_core::log::Hash;
use ics_core::vocabulary::DomainName;
use ics_sync::http::{HttpPeer, PeerError, client_builder};
use ics_sync::mirror::{Fill, Mirror, Seen, Settings, Stop, Survey, VerifiedPage};
use ics_sync::news::News;
use ics_sync::wire::{self, Outcome, WireError};
use ics_sync::{Applier, Peer, Progress};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::home::{Home, at};
use crate::memory::Memory;
use crate::request::{Request, read};

const NOW: u64 = 1_700_000_000_000;
const SETTINGS: Settings = Settings { interval_millis: 10, listens: false, seed: 1 };

fn domain() -> DomainName {
    "devices.acme.example".parse().expect("a domain")
}

/// Answers every connection with what `answer` makes of its one request, byte for byte; returns the address.
async fn serve(answer: impl Fn(Request) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(request) = read(&mut stream).await {
                let _ = stream.write_all(&answer(request)).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    format!("http://{address}")
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    response("200 OK", body)
}

/// The part of a node's HTTP interface that mirrors use.
fn feed(home: &Home, request: &Request) -> Vec<u8> {
    let target = request.line.strip_prefix("GET /v1/domains/devices.acme.example/").expect("a request of a mirror");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<&str, u64> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    match path {
        "checkpoint" => ok(home.note.as_bytes()),
        "descriptors" => ok(&serde_json::to_vec(&home.descriptors(query["from"])).expect("JSON")),
        "entries" => match home.page(query["from"], query["limit"] as usize, query["until"]) {
            Some(page) => ok(&serde_json::to_vec(&page).expect("JSON")),
            None => response("404 Not Found", b""),
        },
        _ => response("404 Not Found", b""),
    }
}

async fn peer(answer: impl Fn(Request) -> Vec<u8> + Send + Sync + 'static) -> HttpPeer {
    let url = serve(answer).await;
    let client = client_builder(&url).read_timeout(Duration::from_secs(10)).build().expect("a client");
    HttpPeer::new(&url, client).expect("an address")
}

/// A peer that gives the same answer to everything.
async fn always(answer: Vec<u8>) -> HttpPeer {
    peer(move |_| answer.clone()).await
}

fn home(entries: usize) -> Home {
    let mut home = Home::new("devices.acme.example", 1, at(NOW));
    home.append_many(entries - 1, "true", at(NOW));
    home.sign(at(NOW));
    home
}

#[tokio::test]
async fn a_domain_is_mirrored_over_http_until_shutdown() {
    let home = home(1_200);
    let (served, origin, leaves) = (home.clone(), home.origin.clone(), home.leaves.clone());
    let peer = peer(move |request| feed(&served, &request)).await;
    let mut mirror = Mirror::pinned(origin, SETTINGS);
    let (status, mut watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let mut memory = Memory::default();
    memory.failures = 1;
    // The clock runs faster than the test, so that the pause after a full disk is short.
    let started = std::time::Instant::now();
    let clock = || at(NOW + 1_000 * started.elapsed().as_millis() as u64);
    let shutdown = async {
        watched.wait_for(|progress| progress.status.size == 1_200).await.expect("a status");
    };
    let end = ics_sync::run(&mut mirror, &[Peer::from(peer)], &mut memory, clock, &status, shutdown).await;
    assert_eq!((end, memory.leaves == leaves), (None, true));
}

/// Stores a page only once the following ones have been examined.
struct Eager {
    memory: Memory,
    /// The first indices of the pages that were examined.
    looked: watch::Sender<Vec<u64>>,
}

impl Applier for Eager {
    async fn apply(&mut self, page: &Arc<VerifiedPage>) -> Result<(), String> {
        if page.from == 0 {
            let mut looked = self.looked.subscribe();
            let both = looked.wait_for(|looked| looked.len() == 2);
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("two pages ahead").expect("a sender");
            // Time for a third one, which must not come.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(*self.looked.borrow(), [100, 200]);
        }
        self.memory.store(page)
    }

    fn ahead(&self) -> impl Fn(u64, &wire::Page) + Send + use<> {
        let looked = self.looked.clone();
        move |from, page| {
            assert_eq!(page.entries.len(), 100);
            looked.send_modify(|looked| looked.push(from));
        }
    }

    async fn root_at(&mut self, size: u64) -> Result<Hash, String> {
        self.memory.root_at(size).await
    }

    async fn survey(&mut self, survey: &Survey) -> Result<Vec<Seen>, String> {
        self.memory.survey(survey).await
    }

    async fn fill(&mut self, fill: &Fill) -> Result<(), String> {
        self.memory.fill(fill).await
    }
}

#[tokio::test]
async fn while_a_page_is_applied_the_next_two_come_and_are_looked_through() {
    let home = home(400);
    let (served, origin, leaves) = (home.clone(), home.origin.clone(), home.leaves.clone());
    let peer = peer(move |Request { line, body }| {
        let line = line.replace(&format!("limit={}", limits::FEED_ENTRIES), "limit=100");
        feed(&served, &Request { line, body })
    })
    .await;
    let mut mirror = Mirror::pinned(origin, SETTINGS);
    let (status, mut watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let mut eager = Eager { memory: Memory::default(), looked: watch::Sender::default() };
    let shutdown = async {
        watched.wait_for(|progress| progress.status.size == 400).await.expect("a status");
    };
    let end = ics_sync::run(&mut mirror, &[Peer::from(peer)], &mut eager, || at(NOW), &status, shutdown).await;
    assert_eq!((end, eager.memory.leaves == leaves), (None, true));
}

#[tokio::test]
async fn the_driver_ends_when_the_mirror_stops() {
    let (served, expected) = (home(3), Home::new("devices.acme.example", 2, at(NOW)).origin);
    let found = served.origin.to_string();
    let peer = peer(move |request| feed(&served, &request)).await;
    let mut mirror = Mirror::pinned(expected.clone(), SETTINGS);
    let (status, watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let never = std::future::pending();
    let end = ics_sync::run(&mut mirror, &[Peer::from(peer)], &mut Memory::default(), || at(NOW), &status, never).await;
    assert_eq!(end, Some(Stop::Origin { expected, found }));
    assert_eq!(watched.borrow().status.stopped, end);
}

#[tokio::test]
async fn answers_that_are_no_answers() {
    let status = |status, detail: &str| Err(PeerError::Status { status, detail: detail.to_owned(), problem: None });
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    let problem = br#"{"type":"about:blank","title":"Not Found","detail":"there is no such domain here"}"#;
    let long = "x".repeat(limits::NOTE_BYTES + 1);
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let too_long = Err(PeerError::Wire(WireError::TooLong(limits::NOTE_BYTES)));
    for (answer, expected) in [
        (ok(b"a note"), Ok("a note".to_owned())),
        (redirect, status(302, "")),
        (response("404 Not Found", problem), status(404, "there is no such domain here")),
        (response("503 Busy", "y".repeat(300).as_bytes()), status(503, &format!("{}…", "y".repeat(240)))),
        (ok(long.as_bytes()), too_long.clone()),
        (chunked.into_bytes(), too_long),
        (ok(b"\xff"), Err(PeerError::Text)),
    ] {
        assert_eq!(always(answer).await.checkpoint(&domain()).await, expected);
    }
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n".to_vec();
    for answer in [cut, silent, Vec::new(), b"SSH-2.0-OpenSSH\r\n".to_vec()] {
        let answer = always(answer).await.checkpoint(&domain()).await;
        assert!(matches!(answer, Err(PeerError::Transport(_))), "{answer:?}");
    }
}

/// Waiting for the budget does not count as time in which the peer fails to answer.
#[tokio::test]
async fn a_small_budget_does_not_make_answers_late() {
    let url = serve(|_| ok(&[b'x'; 12_000])).await;
    let client = client_builder(&url).timeout(Duration::from_secs(2)).build().expect("a client");
    let peer = HttpPeer::new(&url, client).expect("a peer").with_budget(3_000);
    let began = std::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(peer.checkpoint(&domain()).await.map(|note| note.len()), Ok(12_000));
    }
    assert!(began.elapsed() > Duration::from_millis(2_900), "the budget is kept: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_peer_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let client = client_builder(&url).read_timeout(Duration::from_millis(100)).build().expect("a client");
    let peer = HttpPeer::new(&url, client).expect("peer");
    let answer = peer.checkpoint(&domain()).await;
    assert!(matches!(answer, Err(PeerError::Transport(_))), "{answer:?}");
}

#[tokio::test]
async fn json_answers_are_held_to_their_form() {
    let peer = always(ok(b"<html>Please log in</html>")).await;
    let is_wire = |error: PeerError| matches!(error, PeerError::Wire(WireError::Json(_)));
    assert!(peer.page(&domain(), 0, 10, 10).await.is_err_and(is_wire));
    assert!(peer.descriptors(&domain(), 1).await.is_err_and(is_wire));
    assert!(peer.info(&domain()).await.is_err_and(is_wire));
    let long = always(ok(&vec![b' '; wire::ANSWER_BYTES + 1])).await.info(&domain()).await;
    assert_eq!(long, Err(PeerError::Wire(WireError::TooLong(wire::ANSWER_BYTES))));
}

#[tokio::test]
async fn statements_are_submitted_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let peer = peer(move |request| {
        log.lock().expect("a lock").push((request.line, String::from_utf8_lossy(&request.body).into_owned()));
        ok(br#"{"results":[{"receipt":{"index":5}},{"problem":{"status":422}}]}"#)
    })
    .await;
    let results = peer.submit(&domain(), vec![vec![1], vec![2]]).await.expect("results");
    assert!(matches!(&results[..], [Outcome::Receipt(_), Outcome::Problem(_)]));
    let expected = ("POST /v1/domains/devices.acme.example/statements", r#"{"statements":["AQ==","Ag=="]}"#);
    assert_eq!(*seen.lock().expect("a lock"), [(expected.0.to_owned(), expected.1.to_owned())]);
    let miscounted = peer.submit(&domain(), vec![vec![1]]).await;
    assert_eq!(miscounted, Err(PeerError::Wire(WireError::Results { results: 2, statements: 1 })));
}

#[tokio::test]
async fn addresses_of_peers() {
    let address = serve(|request| ok(request.line.as_bytes())).await;
    let client = client_builder(&address).build().expect("a client");
    for bad in ["", "acme.example", "ftp://acme.example/", "https://acme.example/?a=b"] {
        assert_eq!(HttpPeer::new(bad, client.clone()).map(|_| ()), Err(PeerError::Address(bad.to_owned())));
    }
    for (below, expected) in [("", "/v1/domains/"), ("/ics", "/ics/v1/domains/"), ("/ics/", "/ics/v1/domains/")] {
        let peer = HttpPeer::new(&format!("{address}{below}"), client.clone()).expect("an address");
        let echo = peer.checkpoint(&domain()).await.expect("an answer");
        assert_eq!(echo, format!("GET {expected}devices.acme.example/checkpoint"));
    }
}

/// The requests of a listening mirror, until it held the entries that were logged meanwhile.
async fn asked_by_a_listener(streams: bool, waits: bool) -> Vec<String> {
    let (mut later, earlier) = (home(20), home(10));
    later.origin = earlier.origin.clone();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, origin) = (Arc::clone(&asked), earlier.origin.clone());
    let peer = peer(move |request| {
        let path = request.line.rsplit('/').next().unwrap_or_default().to_owned();
        log.lock().expect("a lock").push(path.clone());
        let news = || {
            let page = later.page(10, 64, 20).expect("a page");
            wire::Page { checkpoint: Some(later.note.clone()), ..page }
        };
        match path.as_str() {
            "feed" if streams => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                [&head[..], &News::Page(news()).to_event(20)].concat()
            }
            "feed" => response("404 Not Found", b""),
            waiting if waiting.contains("wait=") && waits => ok(&serde_json::to_vec(&news()).expect("JSON")),
            waiting if waiting.contains("wait=") => response("400 Bad Request", b""),
            _ if log.lock().expect("a lock").iter().filter(|path| *path == "checkpoint").count() > 1 => {
                feed(&later, &request)
            }
            _ => feed(&earlier, &request),
        }
    })
    .await;
    let mut mirror = Mirror::pinned(origin, Settings { listens: true, ..SETTINGS });
    let (progress, mut watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let clock = || at(NOW);
    let shutdown = async {
        watched.wait_for(|progress| progress.status.size == 20).await.expect("a status");
    };
    let mut memory = Memory::default();
    assert_eq!(ics_sync::run(&mut mirror, &[Peer::from(peer)], &mut memory, clock, &progress, shutdown).await, None);
    std::mem::take(&mut *asked.lock().expect("a lock"))
}

#[tokio::test]
async fn a_stream_first_then_a_request_that_waits() {
    let ways =
        |asked: Vec<String>| asked.into_iter().filter(|it| it == "feed" || it.contains("wait=")).collect::<Vec<_>>();
    assert_eq!(ways(asked_by_a_listener(true, true).await), ["feed"]);
    assert_eq!(ways(asked_by_a_listener(false, true).await), ["feed", "entries?from=10&wait=20"]);
}

#[tokio::test]
async fn the_next_peer_is_asked_when_one_fails() {
    let home = home(30);
    let origin = home.origin.clone();
    let (dead, alive) = (always(response("503 Busy", b"")).await, peer(move |request| feed(&home, &request)).await);
    let mut mirror = Mirror::pinned(origin, SETTINGS);
    let (progress, mut watched) = watch::channel(Progress { status: mirror.status(), peer: 0 });
    let started = std::time::Instant::now();
    let clock = || at(NOW + 1_000 * started.elapsed().as_millis() as u64);
    let shutdown = async {
        watched.wait_for(|progress| progress.status.size == 30 && progress.peer == 1).await.expect("a status");
    };
    let peers = [dead, alive].map(Peer::from);
    assert_eq!(ics_sync::run(&mut mirror, &peers, &mut Memory::default(), clock, &progress, shutdown).await, None);
    assert!(peers.iter().all(|peer| peer.received() == 0 || peer.received() > 1_000));
    assert!(peers[1].received() > 1_000, "what is received is counted");
}
