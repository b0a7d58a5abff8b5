//! The watch feed of a home: signed record heads of watched things, sent at the commit that mentions them, for nodes
//! without a copy.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ics_core::identity::Kind;
use ics_core::log::note::VerifierKey;
use ics_core::log::record_head::{Finding, RecordHead};
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::{Claims, Group, Subject, make};
use ics_core::vocabulary::{Act, Attribute};
use ics_node::app::Reader;
use ics_node::config::PeerConfig;
use ics_node::http::Settings;
use ics_node::tls::{KeyPin, PeerKey};
use ics_sync::http::{EventStream, HttpPeer, client_builder};
use ics_sync::news::HEARTBEAT_SECONDS;
use ics_sync::wire::{Choice, Heads, Watch};
use serde_json::{Value, json};

use crate::hidden::{ALL, amend, device, lots, say};
use crate::support::{Answer, Node, settings};
use crate::world::{CREATED, DOMAIN, MIRROR, World, certificate, domain, maker, serial, signer, stolen};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home where strangers may read the devices of two lots: 20 and 21, but not 22.
async fn home() -> Node {
    home_with(&lots(&["L1", "L2"]), &settings()).await
}

async fn home_with(rules: &str, settings: &Settings) -> Node {
    let rules = rules.to_owned();
    let world = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rules));
    let home = Node::with(tokio::task::spawn_blocking(world).await.expect("a world"), settings);
    let devices = vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L2"), device(22, "L3")];
    say(&home, devices).await;
    home
}

fn id(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}

fn things(seeds: &[u8], from: u64) -> Watch {
    Watch { ids: seeds.iter().map(|seed| id(*seed)).collect(), from, ..Watch::default() }
}

fn chosen(model: Option<&str>, lot: Option<&str>, from: u64) -> Watch {
    let choice = Choice { model: model.map(str::to_owned), lot: lot.map(str::to_owned) };
    Watch { choices: vec![choice], from, ..Watch::default() }
}

fn size(home: &Node) -> u64 {
    home.app().domain(&domain()).expect("founded").info.size
}

fn peer(home: &Node) -> HttpPeer {
    let url = format!("http://{}", home.addresses[0]);
    HttpPeer::new(&url, client_builder(&url).build().expect("a client")).expect("an address")
}

/// A watcher that has the home's key.
struct Watching {
    stream: EventStream<Heads>,
    key: VerifierKey,
    /// When it last heard anything.
    heard: Option<Instant>,
}

/// What an event tells: the log's size, and the things concerned, each with the entries that its head names.
type Told = (u64, BTreeMap<String, Vec<u64>>);

impl Watching {
    async fn open(home: &Node, watch: &Watch) -> Self {
        let stream = peer(home).watch(&domain(), watch).await.expect("a stream");
        Self { stream, key: key(home), heard: None }
    }

    /// The next event that there is a reason for. A busy machine may take so long that heartbeats come before it: those
    /// tell nothing, and are due long after the event before them.
    async fn next(&mut self) -> Told {
        let next = async {
            loop {
                let told = told(&self.stream.next().await.expect("heads"), &self.key);
                let is_due = |heard: Instant| heard.elapsed().as_secs() >= HEARTBEAT_SECONDS / 2;
                let is_heartbeat = told.1.is_empty() && self.heard.is_some_and(is_due);
                self.heard = Some(Instant::now());
                if !is_heartbeat {
                    return told;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("in time")
    }
}

fn key(home: &Node) -> VerifierKey {
    home.app().domain(&domain()).expect("founded").info.verifier_key
}

/// What an event tells; each head must be signed by the home.
fn told(heads: &Heads, key: &VerifierKey) -> Told {
    assert_eq!(heads.checkpoint.is_some(), heads.heads.is_empty(), "a heartbeat has its time: {heads:?}");
    let read = |note: &String| {
        let head = RecordHead::open(note, key).expect("signed by the home");
        let Finding::Identity(id) = head.finding else { panic!("of nothing: {note}") };
        assert!(head.size >= heads.upto && head.asked == id, "{note}");
        (id, head.indices)
    };
    (heads.upto, heads.heads.iter().map(read).collect())
}

fn ids(told: &Told) -> Vec<&String> {
    told.1.keys().collect()
}

/// A status that the manufacturer gives to all things with this value, each time for another reason.
pub(crate) fn recall(attribute: Attribute, value: &str) -> Vec<u8> {
    recall_by(&maker(), attribute, value)
}

/// The same by another signer of the manufacturer.
pub(crate) fn recall_by(by: &dyn Signer, attribute: Attribute, value: &str) -> Vec<u8> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let attributes = BTreeMap::from([(attribute, value.to_owned())]);
    let subject = Subject::Group(Group { kind: Kind::Group, name: format!("All {value}"), attributes });
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    claims.status = Some("suspended".parse().expect("a status"));
    claims.reason = Some(format!("report {}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    make::sign_document(by, &subject, &claims, CREATED, &[3; 32]).expect("a statement")
}

async fn ask(home: &Node, watch: &Value) -> Answer {
    home.post(&format!("/v1/domains/{DOMAIN}/watch"), "application/json", watch.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_is_pushed_when_it_is_spoken_of() {
    let home = home().await;
    let mut watching = Watching::open(&home, &things(&[20], 0)).await;
    let first = watching.next().await;
    assert_eq!((first.0, ids(&first)), (5, vec![&id(20)]), "what was said before, at once");
    say(&home, vec![stolen(&maker(), 21)]).await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    let second = watching.next().await;
    assert_eq!((second.0, ids(&second)), (7, vec![&id(20)]), "and nothing of what is not watched");
    assert_eq!(second.1[&id(20)], vec![0, 1, 2, 6], "the descriptor, who says it, what it is, and what befell it");

    // A client that reconnects says how much it has been told.
    say(&home, vec![device(23, "L1")]).await;
    let mut again = Watching::open(&home, &things(&[20, 21], 6)).await;
    let missed = again.next().await;
    assert_eq!((missed.0, ids(&missed)), (8, vec![&id(20)]), "21 was spoken of before");
    let mut nothing_new = Watching::open(&home, &things(&[20], 8)).await;
    assert_eq!(nothing_new.next().await, (8, BTreeMap::new()), "the first event comes at once all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_lot_are_pushed_and_what_is_said_of_it() {
    let home = home().await;
    let mut watching = Watching::open(&home, &chosen(Some("T-1000"), Some("L1"), 0)).await;
    assert_eq!(ids(&watching.next().await), vec![&id(20)]);
    say(&home, vec![device(23, "L1"), device(24, "L2")]).await;
    assert_eq!(ids(&watching.next().await), vec![&id(23)], "a new one");
    say(&home, vec![recall(Attribute::Lot, "L2")]).await;
    say(&home, vec![recall(Attribute::Lot, "L1")]).await;
    let recalled = watching.next().await;
    assert_eq!((recalled.0, recalled.1.len()), (9, 1), "one member is enough: {recalled:?}");
    let (member, indices) = recalled.1.first_key_value().expect("one");
    assert!([id(20), id(23)].contains(member) && indices.last() == Some(&8), "{recalled:?}");
}

/// Of a group's members, one is reported whose statements the reader may follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_chosen_that_may_be_followed() {
    let follow = "@id(\"followed\") permit (principal, action == Action::\"follow\", resource) \
                  when { resource has lot && resource.lot == \"L2\" };";
    let home = home_with(&format!("{}\n{follow}", lots(&["L1", "L2"])), &settings()).await;
    for watch in [things(&[20, 21, 22], 5), chosen(Some("T-1000"), None, 5)] {
        let mut watching = Watching::open(&home, &watch).await;
        watching.next().await;
        say(&home, vec![recall(Attribute::Model, "T-1000")]).await;
        assert_eq!(ids(&watching.next().await), vec![&id(21)]);
    }
}

/// However many others belong to a group, the watched one is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_among_many_is_found() {
    let home = home().await;
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.attributes = [(Attribute::Lot, "L2")].map(|(a, v)| (a, v.to_owned())).into();
    let one = |number: u32| {
        let mut seed = [200; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let key = Ed25519Signer::from_seed(&seed, 4, CREATED).expect("a key");
        let device = key.public_key();
        make::certify(&maker(), device, &format!("D {number}"), None, Kind::Device, &claims, false, CREATED, &[3; 32])
            .expect("a statement")
    };
    for batch in 0..3 {
        say(&home, (batch * 400..batch * 400 + 400).map(one).collect()).await;
    }
    say(&home, vec![device(30, "L2")]).await;
    for watch in [things(&[30], size(&home)), chosen(Some("T-1000"), None, size(&home))] {
        let mut watching = Watching::open(&home, &watch).await;
        watching.next().await;
        say(&home, vec![recall(Attribute::Lot, "L2")]).await;
        let recalled = watching.next().await;
        assert_eq!(recalled.1.len(), 1, "{recalled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_and_what_is_not_there_look_alike() {
    let home = home().await;
    let answer = |seed: u8| {
        let (home, watch) = (&home, json!({ "ids": [id(seed)], "from": 1 }));
        async move { ask(home, &watch).await.json() }
    };
    let (hidden, absent) = (answer(22).await, answer(99).await);
    assert_eq!((&hidden["upto"], &hidden["heads"]), (&json!(5), &Value::Null), "{hidden}");
    assert_eq!(hidden, absent);
    let lot = |lot: &str| json!({ "choices": [{ "lot": lot }], "from": 1 });
    assert_eq!(ask(&home, &lot("L3")).await.json(), ask(&home, &lot("L9")).await.json());

    // Once it may be read, what is said from then on is reported.
    let mut watching = Watching::open(&home, &things(&[22], 5)).await;
    watching.next().await;
    amend(&home, "\"L2\"", "\"L2\", \"L3\"").await;
    assert_eq!(ids(&watching.next().await), Vec::<&String>::new(), "that his rights are others");
    say(&home, vec![stolen(&maker(), 22)]).await;
    assert_eq!(ids(&watching.next().await), vec![&id(22)]);
}

/// By the same rules, and as the same party, as everything else that the reader reads.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_is_told() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
    let known = PeerConfig { key: Some(PeerKey::of_node(&key)), ..PeerConfig::new(MIRROR.parse().expect("a name")) };
    let world = tokio::task::spawn_blocking(|| World::private(vec![known])).await.expect("a world");
    let home = Node::with(world, &settings());
    say(&home, vec![certificate(&maker(), "Acme"), device(20, "L1")]).await;
    let app = home.app();
    let stranger = Reader::Key(KeyPin::of_ed25519(&[6; 32]));
    let mirror = Reader::Key(KeyPin::of_ed25519(key.as_bytes()));
    for (reader, heads) in [(Reader::Anonymous, 0), (stranger, 0), (mirror, 1), (Reader::Operator, 1)] {
        for watch in [things(&[20], 0), chosen(None, Some("L1"), 0)] {
            let mut watcher = app.watch(reader, &domain(), watch).expect("watches");
            let told = watcher.next(Duration::ZERO).await.expect("heads");
            assert_eq!((told.upto, told.heads.len()), (3, heads), "{reader:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_what_is_said() {
    let home = home().await;
    let (asking, watch) = (peer(&home), things(&[20], 5));
    let waiting = tokio::spawn(async move { asking.next_heads(&domain(), watch).await });
    say(&home, vec![stolen(&maker(), 21)]).await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    let heads = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("ends");
    assert_eq!(ids(&told(&heads.expect("heads"), &key(&home))), vec![&id(20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_is_told_at_once_and_once() {
    let home = home().await;
    let mut slow = home.app().watch(Reader::Anonymous, &domain(), things(&[20, 21], 5)).expect("watches");
    for seed in [20, 21] {
        say(&home, vec![stolen(&maker(), seed)]).await;
        say(&home, vec![recall(Attribute::Lot, &format!("L{}", seed - 19))]).await;
    }
    let heads = slow.next(Duration::ZERO).await.expect("heads");
    assert_eq!((heads.upto, heads.heads.len()), (9, 2), "each thing once, as it is now");
    let nothing = slow.next(Duration::from_millis(10)).await.expect("a heartbeat");
    assert_eq!((nothing.upto, nothing.heads.len(), nothing.checkpoint.is_some()), (9, 0, true));
    let event = String::from_utf8(nothing.to_event()).expect("text");
    assert!(event.starts_with("event: heads\nid: 9\n") && event.len() < 1_000, "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_watched_here_is_refused() {
    let home = home().await;
    let many: Vec<String> = (0..4_097).map(|_| id(20)).collect();
    let choices: Vec<Value> = (0..65).map(|lot| json!({ "lot": lot.to_string() })).collect();
    for (watch, expected) in [
        (json!({}), (400, "out-of-range")),
        (json!({ "ids": many }), (400, "out-of-range")),
        (json!({ "choices": choices }), (400, "out-of-range")),
        (json!({ "choices": [{}] }), (400, "out-of-range")),
        (json!({ "choices": [{ "lot": "x".repeat(1_025) }] }), (400, "out-of-range")),
        (json!({ "ids": [serial(20)] }), (400, "malformed-id")),
        (json!({ "ids": [id(20)], "for": 1 }), (400, "malformed-json")),
    ] {
        ask(&home, &watch).await.is_problem(&watch.to_string().chars().take(60).collect::<String>(), expected);
    }
    let path = format!("/v1/domains/{DOMAIN}/watch");
    let watch = json!({ "ids": [id(20)] }).to_string();
    let with = async |name: &str, value: &str| {
        let request = |it: reqwest::RequestBuilder| {
            it.header(name, value).header("content-type", "application/json").body(watch.clone())
        };
        home.call("POST", &path, request).await
    };
    with("last-event-id", "x").await.is_problem("no size", (400, "malformed-request"));
    let beyond = with("last-event-id", "6").await.json();
    assert_eq!((&beyond["upto"], &beyond["size"]), (&json!(5), &json!(5)), "there is less than that: {beyond}");
    with("accept", "text/html").await.is_problem("no such form", (406, "not-acceptable"));
    let other = home.post("/v1/domains/other.example/watch", "application/json", watch.clone()).await;
    other.is_problem("not here", (404, "unknown-domain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_bounded() {
    let full = home_with(&lots(&["L1"]), &Settings { max_listeners: 1, ..settings() }).await;
    let mut one = Watching::open(&full, &things(&[20], 0)).await;
    one.next().await;
    ask(&full, &json!({ "ids": [id(20)] })).await.is_problem("no place", (503, "busy"));

    // One reader may watch a bounded number of things in all, and gets room again when it disconnects.
    let home = home().await;
    let watch = Watch { ids: (0..4_096).map(|_| id(20)).collect(), from: 5, ..Watch::default() };
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(home.app().watch(Reader::Anonymous, &domain(), watch.clone()).expect("watches"));
    }
    let refused = home.app().watch(Reader::Anonymous, &domain(), things(&[20], 5)).err().expect("no more");
    assert_eq!(refused.problem().code(), "busy", "{refused}");
    drop(open.pop());
    home.app().watch(Reader::Anonymous, &domain(), things(&[20], 5)).expect("room again");
}

/// A follower that waits so would keep its home from stopping, and be cut off in the end.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_when_the_home_stops() {
    let home = home_with(&lots(&["L1"]), &Settings { shutdown_timeout: PATIENCE, ..settings() }).await;
    let watch = Watch { wait: Some(60), ..things(&[20], size(&home)) };
    let body = serde_json::to_string(&watch).expect("JSON");
    let url = format!("http://{}/v1/domains/{DOMAIN}/watch", home.addresses[0]);
    let asked = home.client.post(url).header("content-type", "application/json").body(body);
    let waits = tokio::spawn(asked.send());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    home.stop.send(()).expect("stops");
    let answer = tokio::time::timeout(PATIENCE, waits).await.expect("in time").expect("ends");
    assert_eq!(answer.expect("answers").status(), 200);
    assert!(started.elapsed() < PATIENCE / 2, "nobody waits for news");
}

/// Only the home can say what exists.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_no_watch_feed() {
    let home = home_with(ALL, &settings()).await;
    let data = tempfile::TempDir::new().expect("a directory");
    let copy = crate::hidden::Copy::trusting(&data, &home, None);
    copy.shows(&home, "all", &[(20, ""), (21, ""), (22, "")]).await;
    let refused = copy.app.watch(Reader::Anonymous, &domain(), things(&[20], 0)).err().expect("it is not the home");
    assert_eq!(refused.problem().code(), "not-home", "{refused}");
    copy.stop().await;
}
