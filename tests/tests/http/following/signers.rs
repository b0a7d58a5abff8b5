//! How what a signer says of their own key, and whom that leaves to speak, reaches those who follow.

use ics_core::vocabulary::DomainName;

use super::*;

/// The signer who makes devices after the first manufacturer.
pub(crate) fn heir() -> Ed25519Signer {
    signer(61)
}

/// Named by its key: a name is gone once nobody introduces the thing that had it.
pub(super) fn thing(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}

/// What the manufacturer says in the manufacturer's domain.
pub(super) fn made(act: Act, supersedes: Vec<StatementId>) -> Claims {
    Claims { supersedes, ..Claims::new(act, "manufacturer".parse().expect("a role"), domain()) }
}

/// The statement that introduced a device in the manufacturer's domain.
pub(crate) fn introduced(node: &Node, seed: u8) -> By {
    let record = node.app().record(Reader::Operator, &domain(), &thing(seed)).expect("is there").record;
    record.statements.first().expect("a statement").by.clone()
}

/// The manufacturer takes back a statement about a device.
pub(crate) fn withdrawn(seed: u8, said: StatementId) -> Vec<u8> {
    of_device(&maker(), seed, &made(Act::Withdrawal, vec![said]), true)
}

/// The manufacturer says that the device is of the second lot, in place of an earlier statement.
pub(super) fn moved(seed: u8, said: StatementId) -> Vec<u8> {
    let claims = Claims { attributes: [(Attribute::Lot, "L2".to_owned())].into(), ..made(Act::Identity, vec![said]) };
    of_device(&maker(), seed, &claims, false)
}

pub(super) fn destroyed(seed: u8) -> Vec<u8> {
    let claims = Claims { status: Some("destroyed".parse().expect("a status")), ..made(Act::Status, Vec::new()) };
    of_device(&maker(), seed, &claims, true)
}

/// Leaves only this signer to speak as manufacturer.
pub(super) async fn rotate_to(node: &Node, signer: &Ed25519Signer) {
    change(node.app(), DOMAIN, |next| {
        let spec = next.roles.entry("manufacturer".parse().expect("a role")).or_default();
        spec.signers = [signer.public_key().fingerprint()].into();
    })
    .await;
}

/// Lets a second signer speak as manufacturer.
pub(crate) fn name_heir(descriptor: &mut Descriptor) {
    let spec = descriptor.roles.entry("manufacturer".parse().expect("a role")).or_default();
    spec.signers.insert(heir().public_key().fingerprint());
}

/// The manufacturer's domain with a second signer, and [`CARE`] with the same two.
pub(super) fn inherited() -> World {
    World::with(name_heir).with_care(name_heir)
}

/// Why [`CARE`] refuses what the second signer says there.
pub(crate) async fn refused_from_heir(app: &App) -> String {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), CARE.parse().expect("a domain"));
    claims.status = Some("stolen".parse().expect("a status"));
    let said = of_device(&heir(), 27, &claims, true);
    let results = app.submit(&claims.domain, vec![said]).await.expect("a batch").results;
    match results.as_slice() {
        [SubmissionResult::Problem(problem)] => problem.detail.clone(),
        other => panic!("{other:?}"),
    }
}

/// What holders say of their own keys needs nobody's word: it arrives though nothing else is said of followed things.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_its_holder_revokes_at_the_source_is_revoked_here() {
    let node = Node::of(inherited).await;
    let signers = vec![certificate(&maker(), "Acme"), certificate(&heir(), "Acme's second")];
    say(&node, [signers, vec![device(20, "L1"), stolen(&heir(), 20)]].concat()).await;
    let (app, care) = (Arc::new(node.app().clone()), CARE.parse().expect("a domain"));
    assert_eq!(app.adopt(&care, request(&[20], Some(true))).await.expect("adopts").refused, Vec::new());
    let size = || app.domain(&care).expect("here").info.size;
    let before = size();
    say(&node, vec![revoked_certificate(&heir(), "Acme's second")]).await;
    follow_once(&app).await;
    assert_eq!(size(), before + 1);
    let why = refused_from_heir(&app).await;
    assert!(why.contains("is revoked"), "{why}");
    assert_eq!(status(&app, 20).as_deref(), Some("stolen"), "what the signer had said stays");
    let alarms = app.domain(&care).expect("here").alarms;
    let kinds: Vec<&str> = alarms.iter().map(|alarm| alarm.kind.as_str()).collect();
    assert_eq!(kinds, ["signer-revoked"], "the owners are told of their signer: {alarms:?}");
}

/// What the source admitted before it heard of the revocation counts there, and so it does here, whichever comes first:
/// the first thing brings all that there is about the key, or the key was known here before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_by_a_key_that_is_revoked_later_is_taken_over_behind_its_revocation() {
    for is_known_here in [false, true] {
        let node = Node::of(inherited).await;
        let signers = vec![certificate(&maker(), "Acme"), certificate(&heir(), "Acme's second")];
        let devices = vec![device(20, "L1"), device(21, "L1")];
        say(&node, [signers, devices, vec![stolen(&heir(), 20), stolen(&heir(), 21)]].concat()).await;
        let (app, care) = (Arc::new(node.app().clone()), CARE.parse().expect("a domain"));
        let revoked = revoked_certificate(&heir(), "Acme's second");
        tokio::time::sleep(Duration::from_millis(5)).await;
        if is_known_here {
            app.submit(&care, vec![revoked.clone()]).await.expect("is taken");
        }
        say(&node, vec![revoked]).await;
        for seed in [20, 21] {
            let adopted = app.adopt(&care, request(&[seed], Some(true))).await.expect("adopts");
            assert_eq!(adopted.refused, Vec::new(), "{seed}");
            assert_eq!(status(&app, seed).as_deref(), Some("stolen"), "{seed}");
        }
        let why = refused_from_heir(&app).await;
        assert!(why.contains("is revoked"), "{why}");
    }
}

/// A source's declaration about its signers ends nothing here: it is reported as soon as the source's descriptor
/// arrives, and takes effect once the owners here declare the same. Meanwhile, other statements keep arriving.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_declared_compromised_by_a_followed_source_is_reported_and_counts_until_declared_here() {
    let node = Node::of(inherited).await;
    let signers = vec![certificate(&maker(), "Acme"), certificate(&heir(), "Acme's second")];
    say(&node, [signers, vec![device(20, "L1"), device(21, "L1")]].concat()).await;
    let (app, care) = (Arc::new(node.app().clone()), CARE.parse().expect("a domain"));
    assert_eq!(app.adopt(&care, request(&[20, 21], Some(true))).await.expect("adopts").refused, Vec::new());
    let follow = async || {
        follow_once(&app).await;
        let alarms = app.domain(&care).expect("here").alarms.into_iter();
        let told: Vec<_> = alarms.map(|alarm| (alarm.kind, alarm.text)).collect();
        ([20, 21].map(|seed| status(&app, seed)), told)
    };
    let stolen_by_name = || Some("stolen".to_owned());

    let from_index = app.domain(&domain()).expect("here").info.size;
    say(&node, vec![stolen(&heir(), 20)]).await;
    assert_eq!(follow().await, ([stolen_by_name(), None], Vec::new()));
    let signer = heir().public_key().fingerprint();
    let compromise = Compromise { signer, domain: domain(), from_index };
    let declare = |descriptor: &mut Descriptor| descriptor.compromised.push(compromise.clone());
    change(&app, DOMAIN, declare).await;
    let (statuses, told) = follow().await;
    assert_eq!(statuses, [stolen_by_name(), None], "the signer has a role by the descriptor of this domain");
    let does = format!("`ics domain update {CARE} --compromised {DOMAIN}/{signer}@{from_index}`");
    let is_told = |(kind, text): &(String, String)| kind == "compromised-at-source" && text.contains(&does);
    assert!(matches!(told.as_slice(), [alarm] if is_told(alarm)), "{told:?}");

    say(&node, vec![stolen(&maker(), 21)]).await;
    assert_eq!(follow().await, ([stolen_by_name(), stolen_by_name()], told));
    change(&app, CARE, declare).await;
    assert_eq!(follow().await, ([None, stolen_by_name()], Vec::new()), "now it holds here too");
}

/// A domain that adopts from [`CARE`].
const PLANT: &str = "plant.acme.example";

/// The manufacturer's domain; [`CARE`], which adopts from it; and [`PLANT`].
fn in_a_row() -> World {
    let world = inherited();
    let care: DomainName = CARE.parse().expect("a domain");
    let entry0 = Hash(world.app.domain(&care).expect("is here").info.origin.entry0);
    let source = Source { domain: care, entry0, home: home() };
    world.app.found(&changed_descriptor(Template::Maintenance, PLANT, vec![source], name_heir)).expect("founds");
    world
}

/// What a log has before the revocation counts for a domain that adopts it from there. What that log has after it,
/// because its own source had heard of it in time, is refused, and the follower is told why and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn over_two_domains_what_stands_before_a_revocation_counts_and_the_rest_is_told() {
    let node = Node::of(in_a_row).await;
    let signers = vec![certificate(&maker(), "Acme"), certificate(&heir(), "Acme's second")];
    let devices = vec![device(20, "L1"), device(21, "L1")];
    say(&node, [signers, devices, vec![stolen(&heir(), 20), stolen(&heir(), 21)]].concat()).await;
    let app = Arc::new(node.app().clone());
    let [care, plant]: [DomainName; 2] = [CARE, PLANT].map(|domain| domain.parse().expect("a domain"));
    let of = |source: &str, seed| AdoptionRequest { source: source.to_owned(), ..request(&[seed], None) };
    assert_eq!(app.adopt(&care, of(DOMAIN, 20)).await.expect("adopts").refused, Vec::new());
    say(&node, vec![revoked_certificate(&heir(), "Acme's second")]).await;
    assert_eq!(app.adopt(&care, of(DOMAIN, 20)).await.expect("adopts").adopted, 1, "the key's revocation");

    let follows = AdoptionRequest { source: CARE.to_owned(), ..of_lot("L1", true) };
    assert_eq!(app.adopt(&plant, follows).await.expect("adopts").refused, Vec::new());
    assert_eq!(app.adopt(&care, of(DOMAIN, 21)).await.expect("adopts").refused, Vec::new());
    assert_eq!(status(&app, 21).as_deref(), Some("stolen"), "the manufacturer's log proves that it came in time");
    follow_once(&app).await;
    let at_plant = |seed: u8| {
        let record = app.record(Reader::Operator, &plant, &serial(seed)).expect("is here").record;
        record.status.map(|status| status.decides.name.to_string())
    };
    assert_eq!((at_plant(20).as_deref(), at_plant(21)), (Some("stolen"), None));
    let alarms = app.domain(&plant).expect("here").alarms;
    let told: Vec<_> = alarms.iter().filter(|it| it.kind == "not-taken-over").map(|it| it.text.as_str()).collect();
    let why = format!("{CARE} had taken it over from {DOMAIN} only after the entry that ended the signer's key");
    assert!(matches!(told.as_slice(), [text] if text.contains(&why)), "{told:?}");
    let refused = app.adopt(&plant, of(CARE, 21)).await.expect("adopts").refused;
    let details: Vec<_> = refused.iter().map(|problem| (problem.code(), problem.detail.as_str())).collect();
    assert!(matches!(details.as_slice(), [("signer-key", detail)] if detail.contains(&why)), "{details:?}");
}
