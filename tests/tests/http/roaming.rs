//! A gateway that keeps no copy of the manufacturer's domain and asks about single things; and peers that lie to it.

mod following;
mod liar;
mod lies;
mod names;
mod proofs;
mod together;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ics_core::descriptor::Freshness;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::cosignature;
use ics_core::log::record_head::{Finding, RecordHead};
use ics_core::openpgp::signer::Signer as _;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Reason, TrustDocument, TrustPolicy};
use ics_node::api::Check;
use ics_node::app::{App, Asker, Depth, NodeKeys, Query, Reader, Setup};
use ics_node::config::PeerConfig;
use ics_node::tls::KeyPin;
use ics_sync::wire::Attestation;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::liar::{Liar, Reply};
use crate::hidden::{ALL, Copy, device, lots, say};
use crate::support::{Node, settings};
use crate::world::{DOMAIN, NODE, TOKEN, World, certificate, domain, maker, serial, signer, stolen};

const LOTS: [&str; 2] = ["L1", "L2"];
const LIES: &str = "roaming-refused";
/// Far longer than a test takes.
const LONG: u64 = 3_600;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home where strangers may read the devices of two lots: 20 and 21, but not 22.
async fn home() -> Node {
    home_of(tokio::task::spawn_blocking(world).await.expect("a world")).await
}

/// That home, a peer that passes on what it says, and a node that asks the peer.
async fn asking() -> (Node, Liar, Gateway) {
    let home = home().await;
    let upstream = Liar::honest(&home).await;
    let gateway = Gateway::asking(&origin(&home), &upstream.url(), 60);
    (home, upstream, gateway)
}

fn world() -> World {
    let follow = "@id(\"followed\") permit (principal, action == Action::\"follow\", resource);";
    let rules = format!("{}\n{follow}", lots(&LOTS));
    World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rules))
}

async fn home_of(world: World) -> Node {
    let home = Node::with(world, &settings());
    let devices = vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L2"), device(22, "L3")];
    say(&home, devices).await;
    home
}

fn origin(home: &Node) -> Origin {
    home.app().domain(&domain()).expect("founded").info.origin
}

/// A gateway without a copy of the domain, which asks the peer at an address.
pub(super) struct Gateway {
    pub(super) app: App,
    _data: TempDir,
}

/// A peer at an address, to be asked about a domain.
pub(super) fn upstream(origin: &Origin, url: &str) -> PeerConfig {
    PeerConfig {
        url: Some(url.parse().expect("a URL")),
        roam: vec![origin.clone()],
        ..PeerConfig::new("upstream".parse().expect("a name"))
    }
}

impl Gateway {
    fn asking(origin: &Origin, url: &str, seconds: u64) -> Self {
        Self::open(vec![origin.clone()], seconds, upstream(origin, url), 7)
    }

    /// A gateway that hears these domains; its key has this seed.
    pub(super) fn open(domains: Vec<Origin>, seconds: u64, peer: PeerConfig, seed: u8) -> Self {
        Self::open_in(TempDir::new().expect("a directory"), (domains, seconds), peer, seed)
    }

    /// The same node, restarted, hearing these domains.
    pub(super) fn trusting(self, domains: Vec<Origin>, peer: PeerConfig) -> Self {
        let Self { app, _data: data } = self;
        drop(app);
        Self::open_in(data, (domains, 60), peer, 9)
    }

    fn open_in(data: TempDir, (domains, seconds): (Vec<Origin>, u64), peer: PeerConfig, seed: u8) -> Self {
        let document = TrustDocument {
            domains,
            roles: Default::default(),
            labelling_roles: TrustDocument::certification_bodies(),
            freshness: Freshness { default: seconds, uses: [].into() },
            rules: "@id(\"made\") permit (principal, action, resource) \
                    when { principal.vouching_roles.contains(\"manufacturer\") };"
                .to_owned(),
        };
        let setup = Setup {
            data: data.path().to_owned(),
            keys: NodeKeys {
                name: NODE.to_owned(),
                key: Arc::new(SigningKey::from_bytes(&[seed; 32])),
                issuers: Vec::new(),
            },
            peers: vec![peer],
            config_file: None,
            trust: Some(Arc::new(TrustPolicy::compile(document).expect("rules"))),
            operator_token: None,
            memory_bytes: 1 << 24,
            acme: None,
        };
        Self { app: App::open(&setup).expect("opens"), _data: data }
    }

    /// Asks, and once more whenever nobody has answered in time: a machine may be busy.
    pub(super) async fn check(&self, thing: &str) -> Check {
        let begun = Instant::now();
        loop {
            let (unreachable, asked) = (self.count("unreachable"), Instant::now());
            let check = self.check_once(thing).await;
            let is_late = asked.elapsed() >= Duration::from_secs(limits::ROAMING_SECONDS);
            if !is_late || self.count("unreachable") == unreachable || begun.elapsed() > PATIENCE {
                return check;
            }
            // For so long nobody is asked again.
            tokio::time::sleep(Duration::from_millis(limits::ROAMING_PAUSE_MILLIS)).await;
        }
    }

    /// Asks, and takes what there is after that.
    async fn check_once(&self, thing: &str) -> Check {
        let query = Query::parse(thing).expect("a query");
        self.app.roam(Asker::Own, "connect", &[&query]).await;
        let app = self.app.clone();
        let check = move || app.check(Reader::Operator, "connect", &query, None, Depth::Store);
        tokio::task::spawn_blocking(check).await.expect("ends").expect("answers")
    }

    /// Asks until this is the answer; returns how long that took.
    async fn says(&self, thing: &str, outcome: Outcome, reason: Reason) -> Duration {
        let begun = Instant::now();
        loop {
            let check = self.check(thing).await;
            if (check.verdict, check.reason) == (outcome, reason) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "{thing}: {check:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The reasons of the verdict, which is checked by the core's checker like all verdicts in tests.
    pub(super) async fn reasons(&self, thing: &str) -> String {
        self.reasons_for(Reader::Operator, thing).await
    }

    async fn reasons_for(&self, reader: Reader, thing: &str) -> String {
        let (app, thing) = (self.app.clone(), thing.to_owned());
        let verdict = move || app.verdict(reader, &thing, "connect", None).expect("a verdict");
        tokio::task::spawn_blocking(verdict).await.expect("ends").reasons.join("\n")
    }

    /// The reasons of the verdict about a thing for which nobody has an answer that counts. Why is known for a moment
    /// only, so on a busy machine the peer may have to be asked more than once.
    async fn unanswered(&self, thing: &str) -> String {
        let begun = Instant::now();
        loop {
            let check = self.check(thing).await;
            assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::NotHeard), "{thing}: {check:?}");
            let reasons = self.reasons(thing).await;
            if reasons.contains("nobody answers for it now") {
                return reasons;
            }
            assert!(begun.elapsed() < PATIENCE, "{thing}: {reasons}");
        }
    }

    pub(super) fn count(&self, outcome: &str) -> u64 {
        self.app.roaming_counts().into_iter().find(|(name, _)| *name == outcome).expect(outcome).1
    }

    fn alarms(&self, kind: &str) -> usize {
        let operations = self.app.operations().expect("operations");
        operations.alarms.iter().filter(|alarm| alarm.kind == kind).count()
    }
}

fn id(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_copied_is_asked_for_and_kept_as_long_as_it_is_fresh() {
    let home = home().await;
    let upstream = Liar::honest(&home).await;
    // What is fresh stays so for one longer than this test takes, and for the other one for some seconds.
    let [gateway, brief] = [LONG, 4].map(|seconds| Gateway::asking(&origin(&home), &upstream.url(), seconds));
    let allowed = gateway.check(&serial(20)).await;
    assert_eq!((allowed.verdict, allowed.reason), (Outcome::Allow, Reason::Permitted), "{allowed:?}");
    assert!(allowed.as_of.is_some() && allowed.view == format!("{DOMAIN}=5"), "{allowed:?}");
    let reasons = gateway.reasons(&serial(20)).await;
    assert!(reasons.contains("is not copied here: upstream was asked, and its home signed at"), "{reasons}");
    let asked = upstream.asked();
    for _ in 0..20 {
        assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow);
    }
    assert_eq!(upstream.asked(), asked, "what is fresh is asked for once");
    assert_eq!(gateway.check(&id(21)).await.verdict, Outcome::Allow, "by its id as well");

    // It is blocked at the home: the answer follows when the kept one is no longer fresh, and not before.
    brief.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow);
    brief.says(&serial(20), Outcome::Deny, Reason::Blocked).await;

    // Without a link, what was allowed becomes unknown once it is too old, while a block still blocks.
    brief.says(&serial(21), Outcome::Allow, Reason::Permitted).await;
    upstream.set(|_, _| Reply::Hangup);
    assert_eq!(gateway.check(&id(21)).await.verdict, Outcome::Allow, "until then it is fresh");
    brief.says(&serial(21), Outcome::Unknown, Reason::Stale).await;
    brief.says(&serial(20), Outcome::Deny, Reason::Blocked).await;
    let blocked = brief.check(&serial(20)).await;
    assert!(blocked.fresh_until.is_none() && blocked.as_of.is_some(), "a time that is over is not told: {blocked:?}");
    for asking in [&gateway, &brief] {
        assert_eq!((asking.alarms(LIES), asking.alarms("fork")), (0, 0), "a link that is cut is no lie");
    }
    upstream.set_honest(&home);
    brief.says(&serial(21), Outcome::Allow, Reason::Permitted).await;
}

/// Of two answers about one thing, the one that knows more of the log counts, by whatever name it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_answer_about_the_same_thing_is_not_used() {
    let (home, upstream, gateway) = asking().await;
    for thing in [id(20), id(21)] {
        assert_eq!(gateway.check(&thing).await.verdict, Outcome::Allow, "{thing}");
    }
    say(&home, vec![stolen(&maker(), 20)]).await;
    assert_eq!(gateway.check(&id(21)).await.verdict, Outcome::Allow);
    assert_eq!(gateway.check(&id(20)).await.verdict, Outcome::Allow, "fresh, and nothing newer is known");
    for thing in [serial(20), id(20)] {
        let denied = gateway.check(&thing).await;
        assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::Blocked), "{thing}: {denied:?}");
    }
    // Without a link, too.
    upstream.set(|_, _| Reply::Hangup);
    assert_eq!(gateway.check(&id(20)).await.verdict, Outcome::Deny);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_and_what_is_not_there_look_alike() {
    let (home, _upstream, gateway) = asking().await;
    for (hidden, absent) in [(serial(22), serial(99)), (id(22), id(99))] {
        for thing in [&hidden, &absent] {
            let check = gateway.check(thing).await;
            assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::NotHeard), "{thing}");
        }
        let answer = |thing: &str| {
            let path = format!("/v1/domains/{DOMAIN}/identities/{thing}/attestation");
            let home = &home;
            async move { home.get(&path).await.json() }
        };
        let (one, other) = (answer(&hidden).await, answer(&absent).await);
        let entries = |answer: &Value| answer["evidence"]["entries"].clone();
        assert_eq!(entries(&one), entries(&other), "descriptors, and nothing else");
        let head = |answer: &Value, thing: &str| {
            let note = answer["evidence"]["head"].as_str().expect("a head").replace(thing, "…");
            let lines: Vec<String> =
                note.lines().filter(|line| !line.starts_with("time ")).map(str::to_owned).collect();
            lines[..lines.len() - 1].to_vec()
        };
        assert_eq!(head(&one, &hidden), head(&other, &absent));
    }
    assert_eq!(gateway.count("answered"), 4);
}

/// Strangers here do not learn what a home shows to this node only: neither that it exists, nor how much is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_from_strangers_and_what_is_not_there_look_alike_to_them() {
    let home = home().await;
    let upstream = Liar::honest(&home).await;
    upstream.set(|home, asked| {
        let is_shown = [serial(22), id(22)].iter().any(|hidden| hidden == asked);
        let reader = if is_shown { Reader::Operator } else { Reader::Anonymous };
        let query = Query::parse(asked).expect("a query");
        let said = home.attest(reader, &domain(), &query, 0).expect("attests").expect("at home");
        Reply::Json(serde_json::to_vec(&said).expect("JSON"))
    });
    let gateway = Gateway::asking(&origin(&home), &upstream.url(), 60);
    let told = async |thing: &str| gateway.reasons_for(Reader::Anonymous, thing).await.replace(thing, "…");
    for (hidden, absent) in [(serial(22), serial(99)), (id(22), id(99))] {
        assert_eq!(gateway.check(&hidden).await.verdict, Outcome::Allow, "this node may read it");
        assert_eq!(gateway.check(&absent).await.reason, Reason::NotHeard);
        assert!(gateway.reasons(&hidden).await.contains("entries upon which its record rests"), "to the operator");
        assert!(gateway.reasons(&absent).await.contains("shows nothing of it to this node"), "to the operator");
        let of_hidden = told(&hidden).await;
        assert!(of_hidden.contains("may be kept back from this reader"), "{of_hidden}");
        assert_eq!(of_hidden, told(&absent).await);
    }
    assert!(told(&serial(20)).await == told(&serial(99)).await, "nobody has asked for it yet");
    gateway.check(&serial(20)).await;
    assert!(told(&serial(20)).await.contains("entries upon which its record rests"), "what all may read is told");
    upstream.set(|_, _| Reply::Hangup);
    gateway.unanswered(&id(98)).await;
    assert_eq!(told(&id(98)).await, told(&id(22)).await, "nor by whether anybody answers");
}

/// Over the API, the home answers anybody; a node between answers only those that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_between_asks_for_those_it_knows_and_one_behind_the_other() {
    let home = home().await;
    let path = |hops: u8| format!("/v1/domains/{DOMAIN}/identities/{}/attestation?hops={hops}&seen=3", serial(20));
    let direct = home.get(&path(0)).await.json();
    assert_eq!(direct["evidence"]["id"], id(20));
    assert!(!direct["consistency"].as_array().expect("a proof").is_empty(), "that it follows from what was seen");

    let between = tokio::task::spawn_blocking(World::empty).await.expect("a world");
    std::fs::write(between.data().join("ics.toml"), "").expect("a configuration");
    let between = Node::with(between, &settings());
    let peer = json!({ "name": "maker", "url": format!("http://{}", home.addresses[0]), "roam": [origin(&home)] });
    let bearer = format!("Bearer {TOKEN}");
    let put = between.call("POST", "/v1/peers", |request| request.header("authorization", &bearer).json(&peer)).await;
    assert_eq!(put.status, 200, "{}", put.text());
    between.get(&path(1)).await.is_problem("a stranger has nobody asked", (404, "unknown-domain"));
    let known = [("authorization", bearer.as_str())];
    between.get_with(&path(0), &known).await.is_problem("no further", (404, "unknown-domain"));
    let relayed = between.get_with(&path(1), &known).await.json();
    assert_eq!(relayed["evidence"]["entries"], direct["evidence"]["entries"]);
    assert_eq!(relayed["consistency"], direct["consistency"]);
    let absent = format!("/v1/domains/{DOMAIN}/identities/{}/attestation?hops=1", serial(99));
    between.get_with(&absent, &known).await.is_problem("said to this node alone", (404, "unknown-identity"));
}

/// A mirror shows what it has but attests nothing: whoever asks is told so, and who does attest.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_says_that_only_the_home_attests() {
    let home = Node::founded().await;
    say(&home, vec![certificate(&maker(), "Acme"), device(20, "L1")]).await;
    let data = TempDir::new().expect("a directory");
    let copy = Copy::trusting(&data, &home, None);
    copy.shows(&home, "all", &[(20, "")]).await;
    let mirror = Node::with_app(copy.app.clone(), &settings());
    let path = format!("/v1/domains/{DOMAIN}/identities/{}/attestation?hops=1", serial(20));
    let told = mirror.get(&path).await.is_problem("a mirror", (409, "not-home"));
    assert!(told.contains(&format!("only its home (`{NODE}`) attests: ask there")), "{told}");
    copy.stop().await;
}

fn changed(home: &App, asked: &str, change: impl FnOnce(&mut Attestation)) -> Reply {
    let query = Query::parse(asked).expect("a query");
    let mut answer = home.attest(Reader::Anonymous, &domain(), &query, 0).expect("attests").expect("at home");
    change(&mut answer);
    Reply::Json(serde_json::to_vec(&answer).expect("JSON"))
}

/// A log is believed only if it follows from the one that was seen before.
#[tokio::test(flavor = "multi_thread")]
async fn another_log_of_the_same_home_is_a_fork_and_an_older_one_is_old() {
    let (one, twin) = tokio::task::spawn_blocking(|| world().twinned()).await.expect("worlds");
    let (home, fork) = (home_of(one).await, Node::with(twin, &settings()));
    let upstream = Liar::honest(&home).await;
    let gateway = Gateway::asking(&origin(&home), &upstream.url(), 60);
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow);
    let captured = upstream.last();

    // As many entries, signed by the same key, but different ones.
    say(&fork, vec![certificate(&maker(), "Acme"), device(30, "L1"), device(31, "L1"), device(32, "L1")]).await;
    assert_eq!(origin(&home), origin(&fork));
    upstream.set_honest(&fork);
    assert!(gateway.unanswered(&serial(30)).await.contains("another log of 5 entries"), "said in words");
    let forked = gateway.count("forked");
    assert!(forked >= 1 && gateway.alarms("fork") == 1, "{forked}");
    let kept = gateway.app.forks_about_none().expect("forks");
    let size = |note: &str| note.lines().nth(1).map(str::to_owned);
    assert_eq!(kept.iter().map(|it| (size(&it.ours), size(&it.theirs))).collect::<Vec<_>>(), {
        let five = Some("5".to_owned());
        [(five.clone(), five)]
    });
    assert!(kept[0].ours != kept[0].theirs && kept[0].theirs.starts_with(DOMAIN), "{kept:?}");
    let shown = gateway.app.operations().expect("operations").forks;
    assert_eq!(shown.iter().map(|(domain, _)| domain.as_str()).collect::<Vec<_>>(), [DOMAIN]);
    // More entries, with whatever proof it has.
    say(&fork, vec![device(33, "L1")]).await;
    assert!(gateway.unanswered(&serial(31)).await.contains("does not follow from the 5"), "said in words");
    assert!(gateway.count("forked") > forked && gateway.alarms("fork") == 1, "one alarm for a while");
    let told = gateway.app.peers()[0].asks[0].clone();
    assert!(told.seen == 5 && told.answered_at.is_some(), "{told:?}");
    assert!(told.last_error.as_ref().is_some_and(|why| why.contains("does not follow from the 5")), "{told:?}");

    // The home's own log goes on; its earlier state is then outdated, whoever shows it.
    say(&home, vec![stolen(&maker(), 20)]).await;
    upstream.set_honest(&home);
    assert_eq!(gateway.check(&serial(21)).await.verdict, Outcome::Allow, "it follows from what was seen");
    let query = Query::parse(&serial(20)).expect("a query");
    assert!(gateway.app.check(Reader::Operator, "connect", &query, None, Depth::Memory).is_some(), "kept, and fresh");
    let late = Gateway::asking(&origin(&home), &upstream.url(), 60);
    assert_eq!(late.check(&serial(21)).await.verdict, Outcome::Allow);
    upstream.set(move |_, _| Reply::Json(captured.clone()));
    let replayed = late.unanswered(&serial(20)).await;
    assert!(replayed.contains("of 5 entries, of which this node has seen 6"), "in words: {replayed}");
    assert!(late.count("old") >= 1 && late.alarms(LIES) == 1);
}

/// Such an answer would be fresh until that time has come, and beyond.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_time_to_come_is_refused() {
    let (home, upstream, gateway) = asking().await;
    upstream.set(|home, asked| {
        let query = Query::parse(asked).expect("a query");
        let said = home.attest(Reader::Anonymous, &domain(), &query, 0).expect("attests").expect("at home");
        let tomorrow = Timestamp::from_millis(home.clock().now().as_millis() + 24 * 60 * 60 * 1000);
        let cosigned = format!("\u{2014} {NODE} ");
        let note = &said.evidence.checkpoint;
        let others: String = note.split_inclusive('\n').filter(|line| !line.starts_with(&cosigned)).collect();
        let key = SigningKey::from_bytes(&[9; 32]);
        let ahead = cosignature::cosign(&others, NODE, &key, tomorrow).expect("cosigned");
        // Its receipts have the same checkpoint.
        let [before, after] = [note, &ahead].map(|note| serde_json::to_string(note).expect("JSON"));
        Reply::Json(serde_json::to_string(&said).expect("JSON").replace(&before, &after).into_bytes())
    });
    let reasons = gateway.unanswered(&serial(20)).await;
    assert!(reasons.contains("one of the two clocks is wrong"), "{reasons}");
    assert!(gateway.count("refused") >= 1 && gateway.alarms(LIES) == 1);
    upstream.set_honest(&home);
    gateway.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
}

/// Replayed to a node that has seen nothing yet, an old answer still has its old time.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_is_no_fresh_one() {
    let home = home().await;
    let upstream = Liar::honest(&home).await;
    let first = Gateway::asking(&origin(&home), &upstream.url(), 2);
    first.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
    let captured = upstream.last();
    say(&home, vec![stolen(&maker(), 20)]).await;
    upstream.set(move |_, _| Reply::Json(captured.clone()));
    first.says(&serial(20), Outcome::Unknown, Reason::Stale).await;
    let late = Gateway::asking(&origin(&home), &upstream.url(), 2);
    let check = late.check(&serial(20)).await;
    assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::Stale), "{check:?}");
    // Why nobody's answer counts is known for a moment only.
    let told = async {
        while !late.reasons(&serial(20)).await.contains("too old for `connect`") {
            late.check(&serial(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("said in words");
}

/// A peer in between that has lost its link answers with what it has kept, and one that lies with what it likes.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_keeps_nobody_from_asking_the_next_peer() {
    let home = home().await;
    let [first, next] = [Liar::honest(&home).await, Liar::honest(&home).await];
    let gateway = Gateway::asking(&origin(&home), &first.url(), 2);
    gateway.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
    let captured = first.last();
    first.set(move |_, _| Reply::Json(captured.clone()));
    gateway.says(&serial(20), Outcome::Unknown, Reason::Stale).await;
    let next = PeerConfig { name: "next".parse().expect("a name"), ..upstream(&origin(&home), &next.url()) };
    tokio::task::block_in_place(|| gateway.app.put_peer(next)).expect("one more");
    gateway.says(&serial(20), Outcome::Allow, Reason::Permitted).await;
}
