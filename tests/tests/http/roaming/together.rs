//! What is held here and what is asked for, in one answer; a node between; and limits on how much is asked.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ics_core::descriptor::Template;
use ics_core::limits;
use ics_core::statement::Claims;
use ics_core::trust::{Outcome, Reason};
use ics_core::vocabulary::Act;
use ics_node::api::SubmissionResult;
use ics_node::app::{App, Asker, NodeKeys, Query, Reader, Setup};
use ics_node::config::PeerConfig;
use ics_node::http::Settings;
use ics_node::tls::{KeyPin, PeerKey};
use serde_json::json;
use tempfile::TempDir;

use super::liar::Liar;
use super::{Gateway, PATIENCE, asking, home, id, origin, upstream};
use crate::support::{Node, settings};
use crate::tls;
use crate::world::{
    CARE, GATEWAY, MIRROR, World, certificate, changed_descriptor, domain, introduction, maker, of_device, serial,
};

/// The manufacturer's statement in the caretaker's domain: a name that only this domain knows, or a status.
fn in_care(seed: u8, status: Option<&str>) -> Vec<u8> {
    let act = if status.is_some() { Act::Status } else { Act::Identity };
    let mut claims = Claims::new(act, "manufacturer".parse().expect("a role"), CARE.parse().expect("a domain"));
    claims.status = status.map(|status| status.parse().expect("a status"));
    if status.is_none() {
        claims.names = vec![urn(seed).parse().expect("a name")];
    }
    of_device(&maker(), seed, &claims, status.is_some())
}

fn urn(seed: u8) -> String {
    format!("urn:dev:os:32473-{seed}")
}

async fn say_in_care(app: &App, bodies: Vec<Vec<u8>>) {
    let results = app.submit(&CARE.parse().expect("a domain"), bodies).await.expect("is taken").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// One domain has its home here, of the other nothing is held: each is asked about a thing by what it knows of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_and_what_is_asked_for_make_one_answer() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let made = origin(&home);
    // The node that founds a domain is the one that the domain's descriptor names.
    let founding = Gateway::open(vec![made.clone()], 60, upstream(&made, &asked.url()), 9);
    let descriptor = changed_descriptor(Template::Manufacturer, CARE, Vec::new(), |_| {});
    tokio::task::block_in_place(|| founding.app.found(&descriptor)).expect("founds");
    let care = founding.app.domain(&CARE.parse().expect("a domain")).expect("founded").info.origin;
    let gateway = founding.trusting(vec![made.clone(), care], upstream(&made, &asked.url()));
    let bodies = vec![certificate(&maker(), "Acme"), in_care(20, None), in_care(23, None), in_care(21, Some("stolen"))];
    say_in_care(&gateway.app, bodies).await;

    let allowed = gateway.check(&urn(20)).await;
    assert_eq!((allowed.verdict, allowed.reason), (Outcome::Allow, Reason::Permitted), "{allowed:?}");
    assert_eq!(allowed.view, format!("{CARE}=5 {}=5", domain()), "both were heard");
    assert_eq!(gateway.check(&serial(20)).await.verdict, Outcome::Allow, "a name that only the other one knows");
    let only_here = gateway.check(&urn(23)).await;
    assert_eq!(only_here.verdict, Outcome::Allow, "the other one shows nothing of it: {only_here:?}");
    for thing in [serial(21), id(21)] {
        let denied = gateway.check(&thing).await;
        assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::Blocked), "here it is stolen: {denied:?}");
    }
    let reasons = gateway.reasons(&urn(20)).await;
    assert!(reasons.contains("the trust policy permits"), "{reasons}");

    asked.set(|_, _| super::Reply::Hangup);
    let other = gateway.check(&id(24)).await;
    assert_eq!((other.verdict, other.reason), (Outcome::Unknown, Reason::NotHeard), "{other:?}");
    say_in_care(&gateway.app, vec![in_care(24, None)]).await;
    let unheard = gateway.check(&urn(24)).await;
    assert_eq!((unheard.verdict, unheard.reason), (Outcome::Unknown, Reason::NotHeard), "{unheard:?}");
}

/// A node known by its key, with a certificate for its server.
struct Party {
    key: SigningKey,
    seed: u8,
}

impl Party {
    const fn new(key: SigningKey, seed: u8) -> Self {
        Self { key, seed }
    }

    fn as_peer(&self, name: &str) -> PeerConfig {
        let key = Some(PeerKey::of_node(&self.key.verifying_key()));
        PeerConfig { key, ..PeerConfig::new(name.parse().expect("a name")) }
    }
}

fn party(seed: u8) -> Party {
    Party::new(SigningKey::from_bytes(&[seed; 32]), seed)
}

/// The gateway knows only the node between, which knows the home; both are known by their keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_between_gives_no_more_than_the_domain_lets_the_asker_read() {
    let directory = TempDir::new().expect("a directory");
    let (between, gateway, shop) = (party(5), party(7), party(8));
    let known = vec![between.as_peer(MIRROR)];
    let world = tokio::task::spawn_blocking(move || World::private(known)).await.expect("a world");
    let bodies = vec![certificate(&maker(), "Acme"), introduction(&maker(), 7)];
    world.app.submit(&domain(), bodies).await.expect("is published");
    let files = tls::certificate(directory.path(), "home").await;
    let home = Node::with(world, &Settings { tls: Some(files.clone()), ..settings() });
    let made = origin(&home);
    let at = |node: &Node| format!("https://localhost:{}", node.addresses[0].port());

    let to_home = PeerConfig { key: Some(tls::key_of(&files).await), ..upstream(&made, &at(&home)) };
    let setup = Setup {
        data: directory.path().join("between"),
        keys: NodeKeys { name: MIRROR.to_owned(), key: Arc::new(between.key.clone()), issuers: Vec::new() },
        peers: vec![to_home, gateway.as_peer(GATEWAY), shop.as_peer("shop.example")],
        config_file: None,
        trust: None,
        operator_token: None,
        memory_bytes: 1 << 24,
        acme: None,
    };
    let app = App::open(&setup).expect("opens");
    let files = tls::certificate(directory.path(), "between").await;
    let node = Node::with_app(app, &Settings { tls: Some(files.clone()), ..settings() });
    let key = tls::key_of(&files).await;
    let asking = |party: &Party| {
        let peer = PeerConfig { key: Some(key.clone()), ..upstream(&made, &at(&node)) };
        Gateway::open(vec![made.clone()], 60, peer, party.seed)
    };
    let allowed = asking(&gateway);
    allowed.says(&serial(7), Outcome::Allow, Reason::Permitted).await;
    for (seed, what) in [(shop.seed, "may not read there"), (66, "nobody knows it")] {
        let asking = asking(&party(seed));
        // Who gets no answer in time, because the machine is busy, asks again.
        let begun = Instant::now();
        while asking.count("unanswered") == 0 {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", asking.reasons(&serial(7)).await);
            let check = asking.check(&serial(7)).await;
            assert_eq!((check.verdict, check.reason), (Outcome::Unknown, Reason::NotHeard), "{what}: {check:?}");
        }
    }
}

/// However many things are asked about, questions to a peer are limited.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_asked_so_often_and_no_more() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let gateway = Gateway::open(vec![origin(&home)], 60, upstream(&origin(&home), &asked.url()), 7);
    let things: Vec<Query> =
        (0..200).map(|number| Query::parse(&format!("serial:none-{number}")).expect("a name")).collect();
    gateway.app.roam(Asker::Own, "connect", &things.iter().collect::<Vec<_>>()).await;
    assert!(gateway.count("limited") > 0 && asked.asked() < 200, "{:?}", gateway.app.roaming_counts());
    assert!(gateway.count("answered") > 0, "{:?}", gateway.app.roaming_counts());
}

/// Strangers, however many they are or seem to be, leave room for the node's own questions.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_half_to_whoever_is_known() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let gateway = Gateway::open(vec![origin(&home)], 60, upstream(&origin(&home), &asked.url()), 7);
    let app = &gateway.app;
    let address = Some(IpAddr::from([192, 0, 2, 1]));
    let asker = |key: &[u8]| app.asker(Reader::Key(KeyPin::of(key)), address);
    assert_eq!(asker(b"one"), asker(b"another"), "keys that nobody knows are one stranger");
    assert_eq!(asker(b"one"), app.asker(Reader::Anonymous, address));
    assert_ne!(asker(b"one"), app.asker(Reader::Anonymous, None));
    assert_eq!(app.asker(Reader::Operator, address), Asker::Own);

    for number in 0..40 {
        // Each comes from an address of its own, and all at once.
        let before = gateway.count("limited");
        let things: Vec<Query> =
            (0..20).map(|it| Query::parse(&format!("serial:none-{number}-{it}")).expect("a name")).collect();
        app.roam(Asker::Address(Some(number)), "connect", &things.iter().collect::<Vec<_>>()).await;
        if gateway.count("limited") > before {
            let own = Query::parse(&format!("serial:own-{number}")).expect("a name");
            // On a busy machine the peer may be too late.
            let asked = || gateway.count("answered") + gateway.count("unreachable");
            let before = asked();
            app.roam(Asker::Own, "connect", &[&own]).await;
            assert!(asked() > before, "{:?}", app.roaming_counts());
            return;
        }
    }
    panic!("strangers are never at their limit: {:?}", app.roaming_counts());
}

/// However many uses it is about, and though so few files may be open that there is one place for strangers.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_stranger_waits_for_other_nodes_in_one_place() {
    let (_home, _upstream, gateway) = asking().await;
    let node = Node::with_app(gateway.app.clone(), &Settings { max_connections: 4, ..settings() });
    let questions = [("connect", 20), ("install", 21)].map(|(usage, seed)| json!({"id": id(seed), "use": usage}));
    let answer = node.post("/v1/check", "application/json", json!({"questions": questions}).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // On a busy machine the peer may be too late.
    let asked = gateway.count("answered") + gateway.count("unreachable");
    assert_eq!(asked, 2, "about both: {:?}", gateway.app.roaming_counts());
}

/// Nobody can use up what all share.
#[tokio::test(flavor = "multi_thread")]
async fn each_asker_has_a_share_of_his_own() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let gateway = Gateway::open(vec![origin(&home)], 3_600, upstream(&origin(&home), &asked.url()), 7);
    let ask = async |asker: Asker, names: &[String]| {
        let before = gateway.count("answered");
        let things: Vec<Query> = names.iter().map(|name| Query::parse(name).expect("a name")).collect();
        gateway.app.roam(asker, "connect", &things.iter().collect::<Vec<_>>()).await;
        gateway.count("answered") - before
    };
    let (one, other) = (Asker::Address(Some(1)), Asker::Address(Some(2)));
    // All at once, and more than is earned even in the longest time that one question may take.
    let names: Vec<String> = (0..200).map(|number| format!("serial:none-{number}")).collect();
    let begun = Instant::now();
    assert!(ask(one, &names).await > 0, "{:?}", gateway.app.roaming_counts());
    let earned = begun.elapsed().as_millis() * u128::from(limits::ROAMING_PER_ASKER) / 60_000;
    // Questions beyond a share leave no note in the verdict; questions beyond what all together may ask do.
    let (mut noted, mut kept) = (0, None);
    for name in &names {
        let reasons = gateway.reasons(name).await;
        noted += usize::from(reasons.contains("is not copied here"));
        kept = kept.or_else(|| reasons.contains("upstream was asked").then(|| name.clone()));
    }
    // However slow the machine is: what one asker has at once, and what was earned meanwhile, rounded up.
    let most = limits::ROAMING_PER_ASKER_AT_ONCE as usize + earned as usize + 1;
    assert!((1..=most).contains(&noted), "{noted} of 200, {most} at most: {:?}", gateway.app.roaming_counts());
    assert_eq!(ask(one, &[kept.expect("an answer")]).await, 0, "what is kept costs nothing");
    // All together may have used up the budget of a second.
    let begun = Instant::now();
    for number in 200.. {
        if ask(other, &[format!("serial:none-{number}")]).await > 0 {
            break;
        }
        let counts = gateway.app.roaming_counts();
        assert!(begun.elapsed() < PATIENCE, "another one's are asked: {counts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client for whom a node between asks has the same share as one that the node decides for.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_node_between_asks_for_has_a_share_of_his_own() {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let known = PeerConfig { key: party(8).as_peer("gateway").key, ..upstream(&origin(&home), &asked.url()) };
    let reader = Reader::Key(known.pin().expect("a key"));
    let between = Gateway::open(vec![origin(&home)], 60, known, 7);
    let asker = between.app.asker(reader, None);
    assert!(matches!(asker, Asker::Key(_)), "{asker:?}");
    let begun = Instant::now();
    for number in 0..200 {
        let thing = Query::parse(&format!("serial:none-{number}")).expect("a name");
        between.app.relay(reader, &domain(), &thing, (1, 0)).await.expect_err("there is none");
    }
    let relayed = between.count("answered") as usize;
    let names: Vec<String> = (0..100).map(|number| format!("serial:more-{number}")).collect();
    let things: Vec<Query> = names.iter().map(|name| Query::parse(name).expect("a name")).collect();
    between.app.roam(asker, "connect", &things.iter().collect::<Vec<_>>()).await;
    let earned = begun.elapsed().as_millis() * u128::from(limits::ROAMING_PER_ASKER) / 60_000;
    // Of these, questions beyond the share leave no note.
    let mut noted = 0;
    for name in &names {
        noted += usize::from(between.reasons(name).await.contains("is not copied here"));
    }
    // However slow the machine is: what one asker has at once, and what was earned meanwhile, rounded up. With a share
    // for either way of asking it would be as much once more.
    let most = limits::ROAMING_PER_ASKER_AT_ONCE as usize + earned as usize + 1;
    let counts = between.app.roaming_counts();
    assert!(relayed > 0 && relayed + noted <= most, "{relayed} and {noted}, {most} at most: {counts:?}");
    // All together may have used up the budget of a second.
    let begun = Instant::now();
    let answered = between.count("answered");
    for number in 0.. {
        let own = Query::parse(&format!("serial:own-{number}")).expect("a name");
        between.app.roam(Asker::Own, "connect", &[&own]).await;
        if between.count("answered") > answered {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", between.app.roaming_counts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
