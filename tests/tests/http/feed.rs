//! News: pushed to those who listen, within what they may read, and no faster than they take it.

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ics_core::log::checkpoint::Origin;
use ics_node::app::{App, NodeKeys, Reader, Setup};
use ics_node::config::PeerConfig;
use ics_node::http::Settings;
use ics_sync::http::{EventStream, HttpPeer, client_builder};
use ics_sync::news::{HEARTBEAT_SECONDS, News};
use ics_sync::wire::{Entry, Page};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::support::{Node, settings};
use crate::world::{self, TOKEN, World, domain, home, introduction, maker, stolen};

/// Far longer than any test takes: what arrives was pushed, not fetched.
const NEVER: u64 = 3_600_000;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

fn peer(node: &Node) -> HttpPeer {
    let url = format!("http://{}", node.addresses[0]);
    HttpPeer::new(&url, client_builder(&url).build().expect("a client")).expect("an address")
}

async fn next(stream: &mut EventStream<News>) -> News {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("in time").expect("news")
}

/// The next page. On a busy machine heartbeats may come before it.
async fn page(stream: &mut EventStream<News>) -> Page {
    let page = async {
        loop {
            if let News::Page(page) = next(stream).await {
                return page;
            }
        }
    };
    tokio::time::timeout(PATIENCE, page).await.expect("something new")
}

async fn publish(app: &App, seeds: core::ops::Range<u8>) {
    let certificate = world::certificate(&maker(), "Acme");
    let bodies = seeds.map(|seed| introduction(&maker(), seed));
    app.submit(&domain(), core::iter::once(certificate).chain(bodies).collect()).await.expect("is published");
}

#[tokio::test(flavor = "multi_thread")]
async fn news_are_pushed_from_where_the_listener_is() {
    let node = Node::founded().await;
    let peer = peer(&node);
    let mut listener = peer.stream(&domain(), 0).await.expect("a stream");
    let first = page(&mut listener).await;
    assert_eq!((first.from, first.size, first.entries.len()), (0, 1, 1), "entry 0 at once");
    publish(node.app(), 10..12).await;
    let second = page(&mut listener).await;
    assert_eq!((second.from, second.size, second.entries.len()), (1, 4, 3), "a commit is one event");
    assert!(second.checkpoint.is_some() && second.proof.is_empty(), "they lead to its checkpoint");

    let mut again = peer.stream(&domain(), 4).await.expect("a stream");
    let nothing = page(&mut again).await;
    assert_eq!((nothing.from, nothing.size, nothing.entries.len(), nothing.sight), (4, 4, 0, None));
    assert_eq!(nothing.checkpoint, second.checkpoint, "the first event comes at once, whatever it says");
    let heartbeat = News::Checkpoint(second.checkpoint.clone().expect("a note")).to_event(second.size);
    assert!(heartbeat.len() < 1_000, "a copy that is up to date costs {} bytes for each heartbeat", heartbeat.len());
    publish(node.app(), 20..21).await;
    assert_eq!((page(&mut again).await.from, page(&mut listener).await.from), (4, 4), "one event for both");

    let ahead = peer.stream(&domain(), 6).await.expect_err("who has more is told nothing");
    assert!(ahead.to_string().contains("400"), "{ahead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_no_length() {
    let node = Node::founded().await;
    let head = format!("HEAD /v1/domains/{}/feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", domain());
    let answer = node.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("text/event-stream"), "{answer}");
    assert!(!answer.to_lowercase().contains("content-length"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_entries_are_announced_and_fetched() {
    let node = Node::founded().await;
    let peer = peer(&node);
    let mut listener = peer.stream(&domain(), 1).await.expect("a stream");
    next(&mut listener).await;
    publish(node.app(), 10..80).await;
    let news = page(&mut listener).await;
    assert_eq!((news.from, news.size, news.entries.len()), (1, 72, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_news() {
    let node = Node::founded().await;
    let path = format!("/v1/domains/{}/entries?from=1&wait=", domain());
    let none = node.get(&format!("{path}0")).await.json();
    assert_eq!((none["size"].as_u64(), none["entries"].as_array().map(Vec::len)), (Some(1), Some(0)));
    let (peer, asked) = (peer(&node), domain());
    let waiting = tokio::spawn(async move { peer.next_page(&asked, 1).await });
    publish(node.app(), 10..11).await;
    let page = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("ends");
    assert_eq!(page.expect("a page").entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_may_not_read_is_a_leaf() {
    let world = tokio::task::spawn_blocking(|| World::private(Vec::new())).await.expect("a world");
    let node = Node::with(world, &settings());
    let mut listener = peer(&node).stream(&domain(), 1).await.expect("a stream");
    next(&mut listener).await;
    publish(node.app(), 10..11).await;
    let entries = page(&mut listener).await.entries;
    assert!(matches!(entries[..], [Entry::Whole(_), Entry::Hidden(_)]), "a certificate, and a device: {entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_bounded_and_let_go_when_the_node_stops() {
    let full = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let patient = Settings { max_listeners: 1, shutdown_timeout: PATIENCE, ..settings() };
    let full = Node::with(full, &patient);
    let mut one = peer(&full).stream(&domain(), 0).await.expect("a stream");
    next(&mut one).await;
    let path = format!("/v1/domains/{}/feed", domain());
    full.get(&path).await.is_problem("no place", (503, "busy"));
    full.get_with(&path, &[("last-event-id", "x")]).await.is_problem("no size", (400, "malformed-request"));
    let started = Instant::now();
    full.stop.send(()).expect("stops");
    while one.next().await.is_ok() {}
    tokio::time::timeout(PATIENCE, full.running).await.expect("in time").expect("ends").expect("well");
    assert!(started.elapsed() < PATIENCE / 2, "nobody waits for listeners");
}

/// A mirror that waits so would keep its home from stopping, and be cut off in the end.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_news_is_answered_when_the_node_stops() {
    let node = Node::of_with(World::founded, &Settings { shutdown_timeout: PATIENCE, ..settings() }).await;
    let mut waits = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let head = format!("GET /v1/domains/{}/entries?from=1&wait=60 HTTP/1.1\r\nhost: x\r\n\r\n", domain());
    waits.write_all(head.as_bytes()).await.expect("sends");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    node.stop.send(()).expect("stops");
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, waits.read_to_string(&mut answer)).await.expect("in time");
    read.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    tokio::time::timeout(PATIENCE, node.running).await.expect("in time").expect("ends").expect("well");
    assert!(started.elapsed() < PATIENCE / 2, "nobody waits for news");
}

/// Who is behind takes a page and waits for nothing: neither does such a request take a listener's place.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_need_not_wait_takes_no_place_among_listeners() {
    let node = Node::of_with(World::founded, &Settings { max_listeners: 0, ..settings() }).await;
    let page = |from: u64| format!("/v1/domains/{}/entries?from={from}&wait=1", domain());
    node.get(&page(1)).await.is_problem("there is no place to wait", (503, "busy"));
    assert_eq!(node.get(&page(0)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_take_half_of_the_places_of_listeners() {
    let node = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let node = Node::with(node, &Settings { max_listeners: 2, ..settings() });
    let mut stranger = peer(&node).stream(&domain(), 0).await.expect("a stream");
    next(&mut stranger).await;
    let waiting = format!("/v1/domains/{}/entries?from=1&wait=1", domain());
    node.get(&waiting).await.is_problem("their half is taken", (503, "busy"));
    let known = node.call("GET", &waiting, |request| request.bearer_auth(TOKEN)).await;
    assert_eq!(known.status, 200, "the other half is there for who is known");
}

/// A listener asks for nothing, and yet it is being answered.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_keeps_his_place() {
    let node = Node::of_with(World::founded, &Settings { max_connections: 4, ..settings() }).await;
    let mut listener = peer(&node).stream(&domain(), 0).await.expect("a stream");
    next(&mut listener).await;
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(TcpStream::connect(node.addresses[0]).await.expect("connects"));
    }
    // Silent connections are cut off after half a minute in any case.
    let answer = tokio::time::timeout(Duration::from_secs(20), node.get("/livez")).await.expect("there is a place");
    assert_eq!(answer.status, 200);
    publish(node.app(), 10..12).await;
    assert_eq!(page(&mut listener).await.from, 1);
}

/// A node that copies the domain from another.
fn copy(data: &TempDir, origin: Origin, from: &Node) -> App {
    copy_of(data, source(origin, from))
}

fn source(origin: Origin, from: &Node) -> PeerConfig {
    PeerConfig {
        url: Some(format!("http://{}", from.addresses[0]).parse().expect("a URL")),
        mirror: vec![origin],
        interval_ms: NEVER,
        ..PeerConfig::new("home".parse().expect("a name"))
    }
}

fn copy_of(data: &TempDir, from: PeerConfig) -> App {
    let setup = Setup {
        data: data.path().to_owned(),
        keys: NodeKeys {
            name: "copy.example".to_owned(),
            key: std::sync::Arc::new(SigningKey::from_bytes(&[7; 32])),
            issuers: Vec::new(),
        },
        peers: vec![from],
        config_file: None,
        trust: None,
        operator_token: None,
        memory_bytes: 1 << 24,
        acme: None,
    };
    App::open(&setup).expect("opens")
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_copy_knows_within_a_second_what_its_home_acknowledged() {
    let node = Node::founded().await;
    publish(node.app(), 10..11).await;
    let origin = node.app().domain(&domain()).expect("founded").info.origin;
    let directories = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (stop, stopped) = watch::channel(false);
    let first = copy(&directories.0, origin.clone(), &node);
    let running = tokio::spawn(first.clone().replicate(stopped.clone()));
    let between = Node::with_app(first, &settings());
    let second = copy(&directories.1, origin, &between);
    let beyond = tokio::spawn(second.clone().replicate(stopped));
    let status = || {
        let record = second.record(Reader::Anonymous, &domain(), &world::serial(10)).ok()?.record;
        Some(record.status.map(|status| status.decides.name.to_string()))
    };
    eventually("the copies are up to date", || status() == Some(None)).await;
    let mut took = Vec::new();
    for seed in 30..40 {
        publish(node.app(), seed..seed + 1).await;
        let acknowledged = Instant::now();
        let size = node.app().domain(&domain()).expect("founded").info.size;
        eventually("it was pushed", || second.domain(&domain()).is_ok_and(|info| info.info.size == size)).await;
        took.push(acknowledged.elapsed());
    }
    node.app().submit(&domain(), vec![stolen(&maker(), 10)]).await.expect("is said");
    eventually("the block is there", || status() == Some(Some("stolen".to_owned()))).await;
    // On a busy machine some may take longer, but none waits for a heartbeat.
    assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
    assert!(took.iter().all(|took| took.as_secs() < HEARTBEAT_SECONDS - 1), "{took:?}");
    // The block is readable a moment before the driver notes that nothing is left to fetch.
    let mirror = || second.domain(&domain()).expect("a copy").mirror.expect("a mirror");
    eventually("nothing is left to fetch", || {
        let mirror = mirror();
        (mirror.state.as_str(), mirror.lag_entries) == ("current", 0)
    })
    .await;
    stop.send_replace(true);
    running.await.expect("ends");
    beyond.await.expect("ends");
}

/// A home has one history cosigned, and serves another to the mirror on the same node.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_takes_nothing_that_contradicts_what_its_node_has_cosigned() {
    let (one, twin) = tokio::task::spawn_blocking(|| World::founded().twinned()).await.expect("worlds");
    let (first, second) = (Node::with(one, &settings()), Node::with(twin, &settings()));
    publish(first.app(), 10..12).await;
    publish(second.app(), 30..34).await;
    let origin = first.app().domain(&domain()).expect("founded").info.origin;
    let data = TempDir::new().expect("a directory");
    std::fs::create_dir(data.path().join("seen")).expect("as of a node with a new key");
    let key = Some(home().key.parse().expect("a key"));
    let copy = copy_of(&data, PeerConfig { key, cosign: vec![origin.clone()], ..source(origin, &second) });
    let note = first.app().checkpoint(&domain()).expect("signed");
    copy.add_checkpoint(&format!("old 0\n\n{note}")).expect("cosigned");

    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(copy.clone().replicate(stopped));
    let forks = || copy.operations().expect("operations").forks;
    eventually("the fork is kept", || !forks().is_empty()).await;
    assert_eq!((forks().len(), forks()[0].1.ours.as_str()), (1, note.as_str()));
    assert_eq!(copy.domain(&domain()).map_or(0, |info| info.info.size), 0, "nothing is taken");
    let other = second.app().checkpoint(&domain()).expect("signed");
    copy.add_checkpoint(&format!("old 4\n\n{other}")).expect_err("another history");
    stop.send_replace(true);
    running.await.expect("ends");
}
