//! A domain that adopts what another says of single things, without a copy of it.

mod single;
mod told;
mod too_long;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ics_core::descriptor::{Compromise, Descriptor, Source, Template};
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::log::record_head::{Finding, RecordHead};
use ics_core::openpgp::signer::Signer as _;
use ics_core::trust::{Outcome, Reason};
use ics_core::vocabulary::{Attribute, DomainName};
use ics_node::api::{AdoptionRequest, AdoptionResult, SubmissionResult};
use ics_node::app::{AppError, Query, Reader};
use ics_node::config::PeerConfig;
use ics_sync::news::HEARTBEAT_SECONDS;
use ics_sync::wire::Heads;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::liar::{Liar, Reply};
use super::{Gateway, changed, home, home_of, id, origin, upstream};
use crate::following::{
    READ_ALONE, buyer, change, heir, introduced, name_heir, name_owner, refused_from_heir, request, sold,
    stolen_from_buyer, withdrawn,
};
use crate::hidden::{ALL, amend, device, erase, issued, issuer, lots, name_issuer, say};
use crate::support::Node;
use crate::watching::recall;
use crate::world::{
    CARE, DOMAIN, World, certificate, changed_descriptor, domain, home as home_key, maker, revoked_certificate, serial,
    stolen,
};

/// Far longer than any test takes: what arrives was pushed, not fetched.
const NEVER: u64 = 3_600_000;
/// How long a test waits for what must come: what failed because the machine was busy may be tried again only after a
/// minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is pushed comes long before the next heartbeat, on a busy machine as well.
const AT_ONCE: Duration = Duration::from_secs(HEARTBEAT_SECONDS - 1);

fn care() -> DomainName {
    CARE.parse().expect("a domain")
}

fn status(gateway: &Gateway, seed: u8) -> Option<String> {
    let record = gateway.app.record(Reader::Operator, &care(), &serial(seed)).ok()?.record;
    Some(record.status.map(|status| status.decides.name.to_string()).unwrap_or_default())
}

/// The alarms about what is not taken over.
fn not_taken(node: &Gateway) -> Vec<String> {
    let alarms = node.app.domain(&care()).expect("here").alarms.into_iter();
    alarms.filter(|alarm| alarm.kind == "not-taken-over").map(|alarm| alarm.text).collect()
}

/// A node without a copy, with a domain of its own that adopts from the home's; it looks every `interval_ms`
/// milliseconds.
fn caring(made: &Origin, url: &str, interval_ms: u64) -> Gateway {
    caring_with(made, url, interval_ms, |_| {})
}

/// The same with a changed descriptor.
fn caring_with(made: &Origin, url: &str, interval_ms: u64, change: fn(&mut Descriptor)) -> Gateway {
    let peer = PeerConfig { interval_ms, ..upstream(made, url) };
    let node = Gateway::open(vec![made.clone()], 60, peer, 9);
    let source = Source { domain: domain(), entry0: Hash(made.entry0), home: home_key() };
    let descriptor = changed_descriptor(Template::Maintenance, CARE, vec![source], change);
    tokio::task::block_in_place(|| node.app.found(&descriptor)).expect("founds");
    node
}

/// Adopts; again as long as nobody answers in time, for which a busy machine may be the reason.
async fn adopts(node: &Gateway, request: AdoptionRequest) -> AdoptionResult {
    tries_to_adopt(node, request).await.expect("adopts")
}

/// The same, and what comes of it.
async fn tries_to_adopt(node: &Gateway, request: AdoptionRequest) -> Result<AdoptionResult, AppError> {
    let begun = Instant::now();
    loop {
        match node.app.adopt(&care(), request.clone()).await {
            Err(error) if error.code().as_str() == "behind" && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(limits::ROAMING_PAUSE_MILLIS)).await;
            }
            adopted => return adopted,
        }
    }
}

/// A node that adopts from its sources until it is told to stop.
struct Following {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Following {
    fn begin(node: &Gateway) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(node.app.clone().follow_sources(stopped)) }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.expect("ends");
    }
}

/// A home, and a node that adopts what the home pushes.
async fn pushed_to() -> (Node, Gateway, Following) {
    let home = home().await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    let following = Following::begin(&node);
    (home, node, following)
}

/// In this test, nothing is looked at except what the home pushes.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_home_pushes_is_taken_over_of_things_and_of_lots() {
    let (home, node, following) = pushed_to().await;
    adopts(&node, request(&[21], Some(true))).await;
    say(&home, vec![stolen(&maker(), 21)]).await;
    let said = Instant::now();
    until("a thing by its name", || status(&node, 21).as_deref() == Some("stolen")).await;
    assert!(said.elapsed() < AT_ONCE, "{:?}", said.elapsed());

    // What exists of a lot comes with it, and so does what is later added to it.
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], Some(true)) };
    let adopted = node.app.adopt(&care(), lot.clone()).await.expect("is followed");
    assert_eq!((adopted.identities.len(), adopted.adopted), (0, 0), "nobody was asked yet");
    until("what there is of it", || status(&node, 20).as_deref() == Some("")).await;
    say(&home, vec![device(23, "L1"), device(24, "L2")]).await;
    until("what there is of it later", || status(&node, 23).as_deref() == Some("")).await;
    say(&home, vec![recall(Attribute::Lot, "L1")]).await;
    let said = Instant::now();
    until("a recall", || [20, 23].map(|seed| status(&node, seed).as_deref() == Some("suspended")) == [true; 2]).await;
    assert!(said.elapsed() < AT_ONCE, "{:?}", said.elapsed());
    assert_eq!(status(&node, 24), None, "another lot is not followed");
    let follows = || node.app.domain(&care()).expect("here").follows.remove(0);
    assert_eq!((follows().identities, follows().choices), (1, vec!["lot L1".to_owned()]));
    until("nothing is wrong", || follows().last_error.is_none() && not_taken(&node).is_empty()).await;

    node.app.adopt(&care(), AdoptionRequest { follow: Some(false), ..lot }).await.expect("ends");
    say(&home, vec![stolen(&maker(), 20), device(25, "L1")]).await;
    say(&home, vec![recall(Attribute::Lot, "L2")]).await;
    until("the other goes on", || status(&node, 21).is_some_and(|_| statements(&node, 21) == 3)).await;
    assert_eq!((status(&node, 20).as_deref(), status(&node, 25)), (Some("suspended"), None), "no longer followed");
    following.end().await;
}

/// What ends its introduction at the home ends nothing here: the home tells of it, and it is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_by_its_lot_is_heard_of_when_nothing_introduces_it_any_more() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    say(&home, vec![device(23, "L1")]).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    let following = Following::begin(&node);
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], Some(true)) };
    node.app.adopt(&care(), lot).await.expect("is followed");
    let status = |seed: u8| {
        let record = node.app.record(Reader::Operator, &care(), &id(seed)).ok()?.record;
        Some(record.status.map(|status| status.decides.name.to_string()).unwrap_or_default())
    };
    until("what there is of it", || [20, 23].map(status) == [Some(String::new()), Some(String::new())]).await;
    let [taken_back, erased] = [20, 23].map(|seed| introduced(&home, seed));
    say(&home, vec![withdrawn(20, taken_back.statement)]).await;
    let vouched = || node.app.record(Reader::Operator, &care(), &id(20)).expect("is here").record.vouched;
    until("that it was taken back", || vouched().is_empty()).await;
    erase(&home, erased.index).await;
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 23)]).await;
    until("the blocks", || [20, 23].map(|seed| status(seed).as_deref() == Some("stolen")) == [true; 2]).await;
    following.end().await;
}

/// What is said while the rules bar the follower is skipped, and looked at again once they no longer do.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_the_home_barred_it_arrives_when_it_does_not_any_more() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(|_| ())).await.expect("a world")).await;
    say(&home, vec![device(26, "L9")]).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER);
    let following = Following::begin(&node);
    adopts(&node, request(&[20, 26], Some(true))).await;
    let lot = AdoptionRequest { lot: Some("L9".to_owned()), ..request(&[], Some(true)) };
    node.app.adopt(&care(), lot).await.expect("is followed");
    let both = "action in [Action::\"read\", Action::\"follow\"]";
    let barred = lots(&["L9"]).replace("action == Action::\"read\"", both);
    amend(&home, ALL, &barred).await;
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 26)]).await;
    until("what it may read", || status(&node, 26).as_deref() == Some("stolen")).await;
    say(&home, vec![device(27, "L9")]).await;
    until("what was before is passed", || status(&node, 27).as_deref() == Some("")).await;
    let state = || node.app.domain(&care()).expect("here").follows[0].state.clone();
    until("what is shown no more is told of", || not_taken(&node).len() == 1 && state() == "failing").await;
    let told = || node.app.peers()[0].asks[0].followed_by[0].last_error.clone();
    until("whoever looks at the peer is told too", || told().is_some_and(|why| why.contains("do not let"))).await;
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], Some(true)) };
    let barring = node.app.adopt(&care(), lot).await.expect("is followed");
    assert_eq!(barring.barred, 1, "nothing is promised");
    assert_eq!(status(&node, 20).as_deref(), Some(""));
    amend(&home, &barred, ALL).await;
    let lifted = Instant::now();
    until("what it might not read", || status(&node, 20).as_deref() == Some("stolen")).await;
    assert!(lifted.elapsed() < AT_ONCE, "the home says at once that its rules are others");
    until("the alarm ends", || not_taken(&node).is_empty() && state() == "current").await;
    following.end().await;
}

/// A question by name gets what has since been verified of the thing, however long the earlier answer stays fresh.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_of_a_thing_ends_what_was_answered_by_its_names() {
    let (home, node, following) = pushed_to().await;
    adopts(&node, request(&[20, 21], Some(true))).await;
    for thing in [serial(21), id(21), serial(20)] {
        let allowed = node.check(&thing).await;
        assert_eq!(allowed.verdict, Outcome::Allow, "{thing}: {allowed:?}");
    }
    say(&home, vec![stolen(&maker(), 21)]).await;
    until("it is taken over", || status(&node, 21).as_deref() == Some("stolen")).await;
    for thing in [serial(21), id(21)] {
        let denied = node.check(&thing).await;
        assert_eq!((denied.verdict, denied.reason), (Outcome::Deny, Reason::Blocked), "{thing}: {denied:?}");
        assert_eq!(denied.view, format!("{DOMAIN}=6"), "{thing}");
    }
    assert_eq!(node.check(&serial(20)).await.view, format!("{DOMAIN}=5"), "of another thing nobody was asked again");
    following.end().await;
}

/// The home tells of a thing that the signer has spoken of, and with that comes what the signer says of their own key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_holder_revokes_at_the_home_is_revoked_here() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(name_heir)).await.expect("a world")).await;
    say(&home, vec![certificate(&heir(), "Acme's second"), stolen(&heir(), 20)]).await;
    let node = caring_with(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER, name_heir);
    let following = Following::begin(&node);
    adopts(&node, request(&[20, 21], Some(true))).await;
    let size = || node.app.domain(&care()).expect("here").info.size;
    let before = size();
    say(&home, vec![revoked_certificate(&heir(), "Acme's second")]).await;
    let asking = async { while !refused_from_heir(&node.app).await.contains("is revoked") {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("what he says of his key");
    assert_eq!(size(), before + 1);
    assert_eq!(status(&node, 20).as_deref(), Some("stolen"), "what he had said stays");
    assert_eq!(not_taken(&node), Vec::<String>::new());
    following.end().await;
}

/// The first thing asked for brings the revocation: what the home admitted before that still counts.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_by_a_key_that_is_revoked_later_is_taken_over_behind_its_revocation() {
    let home = home_of(tokio::task::spawn_blocking(|| World::with(name_heir)).await.expect("a world")).await;
    say(&home, vec![certificate(&heir(), "Acme's second"), stolen(&heir(), 20), stolen(&heir(), 21)]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    say(&home, vec![revoked_certificate(&heir(), "Acme's second")]).await;
    let node = caring_with(&origin(&home), &format!("http://{}", home.addresses[0]), NEVER, name_heir);
    for seed in [20, 21] {
        let adopted = adopts(&node, request(&[seed], Some(true))).await;
        assert_eq!((adopted.refused, status(&node, seed).as_deref()), (Vec::new(), Some("stolen")), "{seed}");
    }
    let why = refused_from_heir(&node.app).await;
    assert!(why.contains("is revoked"), "{why}");
}

/// An issuer's statements about certificates stay in the source: a domain that names no issuer does not miss them.
#[tokio::test(flavor = "multi_thread")]
async fn what_issuers_say_of_their_certificates_stays_at_the_home() {
    let world = tokio::task::spawn_blocking(|| World::with(name_issuer)).await.expect("a world");
    let home = home_of(world).await;
    say(&home, vec![certificate(&issuer(), "Acme's authority"), issued(20, 1)]).await;
    let node = caring(&origin(&home), &format!("http://{}", home.addresses[0]), 50);
    let adopted = adopts(&node, request(&[20], Some(true))).await;
    assert_eq!((adopted.left_out, adopted.refused), (2, Vec::new()), "a statement, and the certificate behind it");
    let following = Following::begin(&node);
    say(&home, vec![issued(20, 2), stolen(&maker(), 20)]).await;
    until("what the manufacturer says", || status(&node, 20).as_deref() == Some("stolen")).await;
    following.end().await;
    assert_eq!(not_taken(&node), Vec::<String>::new());
}

/// With its next descriptor it begins anew, and may take what it refused before.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_with_the_next_descriptor() {
    let (home, node, following) = pushed_to().await;
    adopts(&node, request(&[20, 21], Some(true))).await;
    say(&home, vec![stolen(&maker(), 21)]).await;
    until("before", || status(&node, 21).as_deref() == Some("stolen")).await;
    change(&node.app, CARE, |_| {}).await;
    say(&home, vec![stolen(&maker(), 20)]).await;
    until("behind it", || status(&node, 20).as_deref() == Some("stolen")).await;
    let error = || node.app.domain(&care()).expect("here").follows[0].last_error.clone();
    until("nothing is wrong", || error().is_none()).await;
    following.end().await;
}

/// Nobody pushes again what it has refused: it asks for that apart from the news, by what the home told of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_descriptor_refused_is_taken_over_once_the_next_one_takes_it() {
    let home = home().await;
    let url = format!("http://{}", home.addresses[0]);
    let node = caring_with(&origin(&home), &url, NEVER, |descriptor| {
        for role in descriptor.roles.values_mut().filter(|role| !role.names.is_empty()) {
            role.names = ["serial:SN-20".to_owned()].into();
        }
    });
    let following = Following::begin(&node);
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], Some(true)) };
    node.app.adopt(&care(), lot).await.expect("is followed");
    say(&home, vec![device(23, "L1"), stolen(&maker(), 23), stolen(&maker(), 20)]).await;
    until("what is taken", || status(&node, 20).as_deref() == Some("stolen")).await;
    until("what is refused is told of", || !not_taken(&node).is_empty()).await;
    assert_eq!(status(&node, 23), None);
    let takes_all = |descriptor: &mut Descriptor| {
        for role in descriptor.roles.values_mut().filter(|role| !role.names.is_empty()) {
            role.names = ["serial:*".to_owned()].into();
        }
    };
    change(&node.app, CARE, takes_all).await;
    until("what was refused", || status(&node, 23).as_deref() == Some("stolen")).await;
    until("the alarms end", || not_taken(&node).is_empty()).await;
    following.end().await;
}

/// What was refused for lack of a role is not pushed when the role is granted here.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_for_want_of_a_role_is_asked_for_once_the_role_is_granted() {
    let world = || World::with(|descriptor| name_owner(descriptor, &buyer()));
    let home = home_of(tokio::task::spawn_blocking(world).await.expect("a world")).await;
    let url = format!("http://{}", home.addresses[0]);
    let node = caring_with(&origin(&home), &url, NEVER, |descriptor| name_owner(descriptor, &maker()));
    let following = Following::begin(&node);
    adopts(&node, request(&[20, 21], Some(true))).await;
    say(&home, vec![certificate(&buyer(), "Buyer"), stolen_from_buyer(20), stolen_from_buyer(21)]).await;
    until("he has no role here", || not_taken(&node).len() >= 2).await;
    assert_eq!([20, 21].map(|seed| status(&node, seed)), [Some(String::new()), Some(String::new())]);
    let taken = node.app.submit(&care(), vec![sold(20)]).await.expect("a batch").results;
    assert!(matches!(taken.as_slice(), [SubmissionResult::Receipt(_)]), "{taken:?}");
    until("he has one over this", || status(&node, 20).as_deref() == Some("stolen")).await;
    assert_eq!(status(&node, 21).as_deref(), Some(""), "and none over the other one");
    following.end().await;
}

/// A peer that pushes falsehoods costs questions, but in the end nothing is missed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_believed_when_it_is_attested() {
    let home = home().await;
    let (made, asked) = (origin(&home), Liar::honest(&home).await);
    let node = caring(&made, &asked.url(), 50);
    adopts(&node, request(&[20], Some(true))).await;
    let head = |seed: u8, size: u64| hint(&made, seed, size);
    let pushed = |upto, size, heads| Some(Heads { upto, size, heads, checkpoint: None, rights: None });
    // More than the home attests: nothing is taken until it does.
    asked.push(pushed(6, 6, vec![head(20, 6)]));
    let following = Following::begin(&node);
    let error = || node.app.domain(&care()).expect("here").follows[0].last_error.clone().unwrap_or_default();
    until("the head is not attested", || error().contains("upstream shows 5 entries, the home has pushed a head of 6"))
        .await;
    // What is not followed is not taken, whoever pushes it; and what does not exist is not reported for ever.
    asked.push(pushed(1_000, 1_000, vec![head(21, 5)]));
    until("all that is taken over", || error().is_empty()).await;
    assert_eq!(status(&node, 21), None);
    say(&home, vec![stolen(&maker(), 20)]).await;
    let size = home.app().domain(&domain()).expect("founded").info.size;
    asked.push(pushed(size, size, Vec::new()));
    until("there is less", || error().contains("the home reports 6 entries, but reported 1000 before")).await;
    asked.push(pushed(size, size, vec![head(20, size)]));
    until("the recall", || status(&node, 20).as_deref() == Some("stolen")).await;
    following.end().await;
}

/// A domain that follows two things, both stolen by now; the answer about the first is too long.
async fn too_much_is_said() -> (Node, Liar, Gateway) {
    let home = home().await;
    let asked = Liar::honest(&home).await;
    let node = caring(&origin(&home), &asked.url(), 50);
    adopts(&node, request(&[20, 21], Some(true))).await;
    let seen = home.app().domain(&domain()).expect("founded").info.size;
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    too_long(&asked, 20, seen);
    (home, asked, node)
}

/// Has a peer answer about one thing with more than is read, and honestly about others to a node that has seen this
/// much; returns how often it is asked about the others, and about that one.
fn too_long(asked: &Liar, seed: u8, seen: u64) -> [Arc<AtomicUsize>; 2] {
    let counts = [Arc::<AtomicUsize>::default(), Arc::default()];
    let [others, long] = counts.clone();
    asked.set(move |home, asked| {
        if asked == id(seed) {
            long.fetch_add(1, Ordering::SeqCst);
            return Reply::Json(vec![b' '; 5 * 1024 * 1024]);
        }
        others.fetch_add(1, Ordering::SeqCst);
        let query = Query::parse(asked).expect("a query");
        let said = home.attest(Reader::Anonymous, &domain(), &query, seen).expect("attests").expect("at home");
        Reply::Json(serde_json::to_vec(&said).expect("JSON"))
    });
    counts
}

/// Ending to follow a domain needs neither its home nor a peer, and ends the alarms about it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_ends_without_a_copy_a_home_and_a_peer() {
    let (_home, asked, node) = too_much_is_said().await;
    let follows = || node.app.domain(&care()).expect("here").follows;
    let alarms = || not_taken(&node).len();
    let following = Following::begin(&node);
    until("it is told of", || (alarms(), follows()[0].state.as_str()) == (1, "failing")).await;
    following.end().await;

    asked.set(|_, _| Reply::Hangup);
    let ended = node.app.adopt(&care(), request(&[20], Some(false))).await.expect("ends");
    assert_eq!((ended.identities, ended.adopted), (vec![id(20)], 0));
    assert_eq!((follows()[0].identities, alarms()), (1, 0));

    node.app.remove_peer(&"upstream".parse().expect("a name")).expect("removes");
    tokio::task::block_in_place(|| node.app.follow_once());
    let failing = follows().remove(0);
    assert!(failing.last_error.is_some_and(|why| why.contains("does not hold the domain")), "nobody takes it over");
    let stranger = request(&[23], Some(false));
    let lot = AdoptionRequest { lot: Some("L1".to_owned()), ..request(&[], None) };
    assert_eq!(node.app.adopt(&care(), stranger).await.expect_err("unknown").problem().code(), "unknown-identity");
    assert_eq!(node.app.adopt(&care(), lot).await.expect_err("not here").problem().code(), "unknown-domain");
    node.app.adopt(&care(), request(&[21], Some(false))).await.expect("ends");
    assert!(follows().is_empty());
    let again = node.app.adopt(&care(), request(&[21], Some(false))).await.expect_err("nothing is followed");
    assert_eq!(again.problem().code(), "unknown-domain", "{again}");
}

/// A record head of a thing that claims this much and is signed by a key that has no right to.
fn hint(made: &Origin, seed: u8, size: u64) -> String {
    let asked = id(seed);
    let head = RecordHead {
        origin: made.clone(),
        asked: asked.clone(),
        finding: Finding::Identity(asked),
        at: ics_core::time::Timestamp::from_seconds(1_767_225_700),
        size,
        root: Hash([1; 32]),
        indices: vec![0],
    };
    head.sign(&ed25519_dalek::SigningKey::from_bytes(&[66; 32])).expect("signs")
}

/// The number of statements about a thing in the log of the following domain, its groups included.
fn statements(node: &Gateway, seed: u8) -> usize {
    node.app.record(Reader::Operator, &care(), &serial(seed)).map_or(0, |answer| answer.record.statements.len())
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !tokio::task::block_in_place(&mut is_so) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
