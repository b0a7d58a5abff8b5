//! What a domain adopts from another automatically, within what the other's rules let it follow.

mod roles;
mod signers;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Compromise, Descriptor, NodeKey, Source, Template, Witnesses};
use ics_core::identity::Kind;
use ics_core::log::Hash;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::record::{By, Record};
use ics_core::statement::{Claims, Grant, Group, StatementId, Subject, make};
use ics_core::vocabulary::{Act, Attribute, Role};
use ics_node::api::{AdoptionRequest, SubmissionResult};
use ics_node::app::{App, Reader};
use serde_json::json;
use tempfile::TempDir;

pub(crate) use self::roles::{buyer, name_owner, sold, stolen_from_buyer};
use self::signers::{destroyed, inherited, moved, rotate_to, thing};
pub(crate) use self::signers::{heir, introduced, name_heir, refused_from_heir, withdrawn};
use crate::hidden::{ALL, Copy, amend, device, erase, issued, issuer, name_issuer, say};
use crate::support::{Node, settings};
use crate::watching::recall_by;
use crate::world::{
    CARE, CREATED, DOMAIN, NODE, TOKEN, World, certificate, changed_descriptor, domain, home, maker, of_device,
    revoked_certificate, serial, signer, stolen,
};

/// Takes over these devices.
pub(crate) fn request(seeds: &[u8], follow: Option<bool>) -> AdoptionRequest {
    let ids = seeds.iter().map(|seed| serial(*seed)).collect();
    AdoptionRequest { source: DOMAIN.to_owned(), ids, follow, ..AdoptionRequest::default() }
}

/// Follows the devices of a lot, or ends that.
fn of_lot(lot: &str, follow: bool) -> AdoptionRequest {
    AdoptionRequest { lot: Some(lot.to_owned()), ..request(&[], Some(follow)) }
}

async fn follow_once(app: &App) {
    let app = app.clone();
    tokio::task::spawn_blocking(move || app.follow_once()).await.expect("ends");
}

fn status(app: &App, seed: u8) -> Option<String> {
    let record = app.record(Reader::Operator, &CARE.parse().expect("a domain"), &serial(seed)).ok()?.record;
    record.status.map(|status| status.decides.name.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_source_lets_be_followed_is_taken_over() {
    let narrow = "permit (principal, action in [Action::\"read\", Action::\"mirror\"], resource);\n@id(\"first-lot-is-followed\")\n\
                  permit (principal, action == Action::\"follow\", resource) \
                  when { resource has lot && resource.lot == \"L1\" };";
    let world =
        move || World::caring(|descriptor| descriptor.access = descriptor.access.replace(crate::hidden::ALL, narrow));
    let world = tokio::task::spawn_blocking(world).await.expect("a world");
    let node = Node::with(world, &settings());
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L2")]).await;
    let app = Arc::new(node.app().clone());
    let care = CARE.parse().expect("a domain");
    let adopted = app.adopt(&care, request(&[20, 21], Some(true))).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len(), adopted.barred), (2, 0, 1), "{adopted:?}");
    say(&node, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    follow_once(&app).await;
    assert_eq!((status(&app, 20).as_deref(), status(&app, 21)), (Some("stolen"), None));
    let follows = app.domain(&care).expect("here").follows;
    assert_eq!((follows[0].source.clone(), follows[0].identities, follows[0].lag_entries), (domain(), 2, 0));
    assert_eq!(follows[0].state, "failing", "what is said of the other one does not arrive");
    let error = follows[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("do not let care.acme.example take over what is said of 1 thing"), "{error}");
}

/// The template's rule without the right to follow.
pub(crate) const READ_ALONE: &str = "permit (principal, action in [Action::\"read\", Action::\"mirror\"], resource);";

/// A domain that may no longer follow is told so, across a restart too, and only for as long as that lasts.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_does_not_let_be_followed_any_more_is_told() {
    let world = tokio::task::spawn_blocking(|| World::caring(|_| ())).await.expect("a world");
    let node = Node::with(world, &settings());
    let care = CARE.parse().expect("a domain");
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L1"), device(22, "L2")]).await;
    let app = Arc::new(node.app().clone());
    assert_eq!(app.adopt(&care, of_lot("L1", true)).await.expect("adopts").barred, 0);
    let told = || {
        let info = app.domain(&care).expect("here");
        let is_it = |text: &str| text.starts_with("the rules of devices.acme.example do not let care.acme.example");
        let alarms = info.alarms.iter().filter(|alarm| alarm.kind == "not-taken-over" && is_it(&alarm.text)).count();
        (alarms, info.follows.first().map(|it| it.state.clone()).unwrap_or_default())
    };
    let (fine, failing) = ((0, "current".to_owned()), (1, "failing".to_owned()));
    follow_once(&app).await;
    assert_eq!(told(), fine);

    amend(&node, ALL, READ_ALONE).await;
    say(&node, vec![stolen(&maker(), 20)]).await;
    follow_once(&app).await;
    assert_eq!((status(&app, 20), told()), (None, failing.clone()));
    let error = app.domain(&care).expect("here").follows[0].last_error.clone().unwrap_or_default();
    assert!(error.ends_with("what is said of 2 things that it follows"), "{error}");
    assert_eq!(app.adopt(&care, of_lot("L2", true)).await.expect("adopts").barred, 1, "nothing is promised");
    app.adopt(&care, of_lot("L2", false)).await.expect("ends");
    follow_once(&app).await;
    assert_eq!(told(), failing, "and of the other lot it is still told");

    amend(&node, READ_ALONE, ALL).await;
    follow_once(&app).await;
    assert_eq!((status(&app, 20).as_deref(), told()), (Some("stolen"), fine));
    amend(&node, ALL, READ_ALONE).await;
    follow_once(&app).await;
    app.adopt(&care, of_lot("L1", false)).await.expect("ends");
    assert_eq!(told(), (0, String::new()), "what is not followed is not missed");
}

/// An issuer's statements about certificates stay in the source: a domain that names no issuer does not miss them.
#[tokio::test(flavor = "multi_thread")]
async fn what_issuers_say_of_their_certificates_stays_in_the_source() {
    let node = Node::of(|| World::caring(name_issuer)).await;
    let certificates = vec![certificate(&maker(), "Acme"), certificate(&issuer(), "Acme's authority")];
    say(&node, [certificates, vec![device(20, "L1"), issued(20, 1)]].concat()).await;
    let (app, care) = (node.app().clone(), CARE.parse().expect("a domain"));
    let adopted = app.adopt(&care, request(&[20], Some(true))).await.expect("adopts");
    assert_eq!((adopted.left_out, adopted.refused), (2, Vec::new()), "a statement, and the certificate behind it");
    say(&node, vec![issued(20, 2), stolen(&maker(), 20)]).await;
    follow_once(&app).await;
    assert_eq!(status(&app, 20).as_deref(), Some("stolen"));
    let alarms = app.domain(&care).expect("here").alarms;
    assert!(alarms.is_empty(), "{alarms:?}");
}

/// What is already here is not reported missing when it is looked at again and could no longer be taken over.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_is_not_missed_when_nothing_can_be_taken_any_more() {
    let node = Node::of(inherited).await;
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1"), stolen(&maker(), 20)]).await;
    let (app, care) = (Arc::new(node.app().clone()), CARE.parse().expect("a domain"));
    assert_eq!(app.adopt(&care, request(&[20], Some(true))).await.expect("adopts").refused, Vec::new());
    let alarms = || {
        let alarms = app.domain(&care).expect("here").alarms.into_iter();
        alarms.filter(|alarm| alarm.kind == "not-taken-over").map(|alarm| alarm.text).collect::<Vec<_>>()
    };
    // Another key is named for the source's home, and the source's next descriptor has everything looked at again.
    let other = SigningKey::from_bytes(&[77; 32]).verifying_key();
    change(&app, CARE, |it| it.sources[0].home.key = STANDARD.encode(other.as_bytes())).await;
    follow_once(&app).await;
    change(&app, DOMAIN, |_| {}).await;
    follow_once(&app).await;
    assert_eq!(alarms(), Vec::<String>::new());
    say(&node, vec![destroyed(20)]).await;
    follow_once(&app).await;
    assert!(matches!(alarms().as_slice(), [text] if text.contains("source-key")), "{:?}", alarms());
}

/// Whatever ends the introduction of a thing at the source, later blocks still arrive, although the thing is no longer
/// found there by its lot.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_followed_by_its_lot_stays_followed_when_nothing_introduces_it_any_more() {
    let node = Node::of(inherited).await;
    let signers = vec![certificate(&maker(), "Acme"), certificate(&heir(), "Acme's second")];
    let devices: Vec<_> = (20..26).map(|seed| device(seed, "L1")).collect();
    say(&node, [signers, devices].concat()).await;
    let (app, care) = (node.app().clone(), CARE.parse().expect("a domain"));
    let adopted = app.adopt(&care, of_lot("L1", true)).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (6, 0), "{adopted:?}");
    let record = |seed: u8| -> Record { app.record(Reader::Operator, &care, &thing(seed)).expect("adopted").record };

    let [taken_back, replaced, erased, gone] = [20, 21, 22, 23].map(|seed| introduced(&node, seed));
    say(&node, vec![withdrawn(20, taken_back.statement), moved(21, replaced.statement)]).await;
    erase(&node, erased.index).await;
    // A block, and the end of the introduction, at once.
    say(&node, vec![destroyed(23), withdrawn(23, gone.statement)]).await;
    follow_once(&app).await;
    assert!([20, 23].iter().all(|seed| record(*seed).vouched.is_empty()), "that it was taken back is taken over");
    assert_eq!(record(21).agreed_attributes().get(&Attribute::Lot).map(String::as_str), Some("L2"));

    say(&node, [20, 21, 22].map(|seed| stolen(&maker(), seed)).to_vec()).await;
    rotate_to(&node, &heir()).await;
    say(&node, vec![stolen(&heir(), 24), recall_by(&heir(), Attribute::Lot, "L1")]).await;
    follow_once(&app).await;
    for (seed, status, way) in [
        (20, "stolen", "taken back"),
        (21, "stolen", "replaced"),
        (22, "stolen", "erased"),
        (23, "destroyed", "taken back with the block"),
        (24, "stolen", "by a signer who has lost the role"),
        (25, "suspended", "by that signer, and blocked by its lot"),
    ] {
        let found = record(seed).status.map(|status| status.decides.name.to_string());
        assert_eq!(found.as_deref(), Some(status), "{way}");
    }
    let alarms = app.domain(&care).expect("here").alarms;
    assert!(alarms.iter().all(|alarm| alarm.kind != "not-taken-over"), "{alarms:?}");
    let by_hand = AdoptionRequest { follow: None, ..of_lot("L1", true) };
    let again = app.adopt(&care, by_hand).await.expect("adopts");
    assert_eq!((again.identities.len(), again.adopted), (6, 0), "by hand it means the same: {again:?}");
}

/// [`CARE`] beside a domain that only this node may read, of which it adopts only what is called `serial:SN-20`.
fn choosy() -> World {
    let own = format!(
        "permit (principal, action in [Action::\"read\", Action::\"follow\"], resource) when {{ \
         principal has node && principal.node == \"{NODE}\" }};"
    );
    let world = World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &own));
    world.with_care(|descriptor| {
        for role in descriptor.roles.values_mut().filter(|role| !role.names.is_empty()) {
            role.names = ["serial:SN-20".to_owned()].into();
        }
    })
}

/// For example, a signer lost a role for a while, and said something blocking meanwhile. The alarm about it ends then.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_descriptor_refused_is_taken_over_once_the_next_one_takes_it() {
    let node = Node::of(choosy).await;
    let care = CARE.parse().expect("a domain");
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "spring"), device(22, "spring")]).await;
    let adopted = node.app().adopt(&care, of_lot("spring", true)).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (2, 1), "{adopted:?}");
    say(&node, vec![stolen(&maker(), 20), stolen(&maker(), 22), device(23, "spring")]).await;
    let alarms = || {
        let alarms = node.app().domain(&care).expect("here").alarms.into_iter();
        alarms.filter(|alarm| alarm.kind == "not-taken-over").map(|alarm| alarm.text).collect::<Vec<_>>()
    };
    let follow = async || {
        follow_once(node.app()).await;
        [20, 22].map(|seed| status(node.app(), seed))
    };
    assert_eq!(follow().await, [Some("stolen".to_owned()), None]);
    assert!(alarms().iter().any(|text| text.contains("name-not-permitted")), "{:?}", alarms());

    change(node.app(), CARE, |next| {
        for role in next.roles.values_mut().filter(|role| !role.names.is_empty()) {
            role.names = ["serial:*".to_owned()].into();
        }
    })
    .await;
    assert_eq!(follow().await, [Some("stolen".to_owned()), Some("stolen".to_owned())]);
    assert_eq!(alarms(), Vec::<String>::new());
}

/// Submits the owners' next descriptor of a domain, with a change.
pub(crate) async fn change(app: &App, domain: &str, change: impl FnOnce(&mut Descriptor)) {
    let domain = domain.parse().expect("a domain");
    let json = app.descriptor(&domain, None).expect("in force").json;
    let previous = Descriptor::parse(&json).expect("a descriptor");
    let mut next = Descriptor { version: previous.version + 1, previous: Some(previous.hash()), ..previous };
    change(&mut next);
    let signed = make::sign_descriptor(&[&maker()], &next.to_json(), CREATED, &[1; 32]).expect("signs");
    let taken = app.submit(&domain, vec![signed]).await.expect("a batch").results;
    assert!(matches!(taken.as_slice(), [SubmissionResult::Receipt(_)]), "{taken:?}");
}

/// A rule by which strangers may read and follow devices of some lots, and nothing else.
fn followed(lots: &[&str]) -> String {
    format!(
        "permit (principal, action in [Action::\"read\", Action::\"follow\"], resource) when {{ \
         resource has lot && resource.kind == Kind::\"device\" && {lots:?}.contains(resource.lot) }};"
    )
}

/// Founds [`CARE`] at a copy of the manufacturer's domain.
fn care_at(copy: &App) {
    let made = copy.domain(&domain()).expect("copied").info.origin;
    let source = Source { domain: domain(), entry0: Hash(made.entry0), home: home() };
    let key = STANDARD.encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
    let own = NodeKey { name: "copy.example".to_owned(), key };
    let founding = changed_descriptor(Template::Maintenance, CARE, vec![source], |descriptor| descriptor.home = own);
    copy.found(&founding).expect("founds");
}

/// Has the domains of a node follow until they have seen everything.
fn follow_all(app: &App) {
    let care = CARE.parse().expect("a domain");
    for _ in 0..1_000 {
        app.follow_once();
        if app.domain(&care).expect("here").follows[0].lag_entries == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{:?}", app.domain(&care).expect("here").follows);
}

/// A node that copies a part skips what is hidden, and looks at it once it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_when_it_was_followed_is_taken_over_when_it_is_shown() {
    let (both, one) = (followed(&["L1", "L2"]), followed(&["L2"]));
    let rule = both.clone();
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rule));
    let home = Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings());
    say(&home, vec![certificate(&maker(), "Acme"), device(20, "L1"), device(21, "L2")]).await;
    let data = TempDir::new().expect("a directory");
    let copy = Copy::trusting(&data, &home, None);
    copy.shows(&home, "both may be read", &[(20, ""), (21, "")]).await;
    let app = Arc::new(copy.app.clone());
    let blocking = async |work: fn(&App)| {
        let app = Arc::clone(&app);
        tokio::task::spawn_blocking(move || work(&app)).await.expect("ends");
    };
    blocking(care_at).await;
    let care = CARE.parse().expect("a domain");
    let adopted = app.adopt(&care, request(&[20, 21], Some(true))).await.expect("adopts");
    assert_eq!((adopted.identities.len(), adopted.refused.len()), (2, 0), "{adopted:?}");

    amend(&home, &both, &one).await;
    say(&home, vec![stolen(&maker(), 20), stolen(&maker(), 21)]).await;
    copy.shows(&home, "one may be read", &[(21, "stolen")]).await;
    blocking(follow_all).await;
    assert_eq!((status(&app, 20), status(&app, 21).as_deref()), (None, Some("stolen")));

    amend(&home, &one, &both).await;
    copy.shows(&home, "both again", &[(20, "stolen"), (21, "stolen")]).await;
    blocking(follow_all).await;
    assert_eq!(status(&app, 20).as_deref(), Some("stolen"), "what was said while it was hidden");
    copy.stop().await;
}

/// What is adopted is acknowledged under the same checkpoint as what is submitted: one with its witnesses'
/// cosignatures.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_adopted_waits_for_its_witnesses() {
    let world = tokio::task::spawn_blocking(|| World::caring(|_| {})).await.expect("a world");
    let node = Node::with(world, &settings());
    say(&node, vec![certificate(&maker(), "Acme"), device(20, "L1")]).await;
    let (app, care) = (node.app(), CARE.parse().expect("a domain"));
    let json = app.descriptor(&care, None).expect("in force").json;
    let previous = Descriptor::parse(&json).expect("a descriptor");
    let witness = NodeKey {
        name: "nobody.example".to_owned(),
        key: STANDARD.encode(SigningKey::from_bytes(&[5; 32]).verifying_key().as_bytes()),
    };
    let witnesses = Some(Witnesses { quorum: 1, keys: vec![witness] });
    let next = Descriptor { version: 2, previous: Some(previous.hash()), witnesses, ..previous };
    let signed = make::sign_descriptor(&[&maker()], &next.to_json(), CREATED, &[1; 32]).expect("signs");
    // Both wait until the witnesses are given up, at the same time.
    let size = || app.domain(&care).expect("here").info.size;
    let before = size();
    let adopting = async {
        while size() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        app.adopt(&care, request(&[20], None)).await
    };
    let both = async { tokio::join!(app.submit(&care, vec![signed]), adopting) };
    let (submitted, adopted) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("both end");
    let refused = submitted.expect_err("nobody has cosigned it");
    assert_eq!(refused.problem().code(), "unwitnessed", "{refused}");
    let refused = adopted.expect_err("nor that");
    assert_eq!(refused.problem().code(), "unwitnessed", "{refused}");
    assert!(refused.to_string().contains("have not cosigned that yet"), "{refused}");
}
