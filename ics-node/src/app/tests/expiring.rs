//! Keys that expire: what was said in time counts for good and everywhere, and what comes too late counts nowhere.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{OwnerKey, Owners, RoleSpec, Source, Template, TemplateInput};
use ics_core::evidence;
use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::entry::Header;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::make::{certify, certify_user_id, sign_descriptor};
use ics_core::statement::{Claims, Grant};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName, Effect};
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;
use tokio::sync::watch;

use super::amended;
use crate::api::{AdoptionRequest, SubmissionResult};
use crate::app::admit::check::check_bodies;
use crate::app::admit::submit::{Incoming, Outcome};
use crate::app::{App, Reader};
use crate::fixture::{Party, SALT, catches_up, claims, copy, device, owner, served, word};
use crate::store::StoredEntry;

/// In milliseconds.
const HOUR: u64 = 3_600_000;
const USER_ID: &str = "urn:dev:os:32473-1";
/// The template's rule, under which everybody may read and copy everything.
const ALL: &str = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
/// A rule under which strangers read nothing.
const NODES: &str = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource) \
                     when { principal has node };";

fn octets(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("small").to_be_bytes()
}

/// A two-octet count of what follows.
fn counted(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("short").to_be_bytes()
}

/// A certificate of a signer whose key expires at a time: User ID and key with one certification (RFC 9580, 5.2.3 and
/// 5.2.4).
pub(in crate::app) fn expiring(signer: &Ed25519Signer, user_id: &str, ends: Timestamp) -> Vec<u8> {
    let key = signer.public_key();
    let (created, fingerprint) = (key.created(), key.fingerprint());
    let seconds = |seconds: u64| u32::try_from(seconds).expect("before 2106").to_be_bytes();
    let short = |length: usize| u8::try_from(length).expect("short");
    let subpacket = |tag: u8, data: &[u8]| [&[short(data.len() + 1), tag][..], data].concat();
    let hashed = [
        subpacket(2, &seconds(created.as_seconds())),
        subpacket(33, &[&[4][..], fingerprint.as_bytes()].concat()),
        subpacket(16, &fingerprint.key_id()),
        // It may certify and sign, and it expires this long after its creation.
        subpacket(27, &[0x03]),
        subpacket(9, &seconds(ends.as_seconds() - created.as_seconds())),
    ]
    .concat();
    let sha512 = 10;
    let head = [&[4, 0x13, key.algorithm().id(), sha512][..], &counted(&hashed), &hashed].concat();
    let digest = Sha512::new()
        .chain_update([0x99])
        .chain_update(counted(key.body()))
        .chain_update(key.body())
        .chain_update([0xb4])
        .chain_update(octets(user_id.len()))
        .chain_update(user_id)
        .chain_update(&head)
        .chain_update([4, 0xff])
        .chain_update(octets(head.len()))
        .finalize();
    let Ok(RawSignature::Ed25519(value)) = signer.sign(&digest) else { panic!("no signature") };
    let number = |bytes: &[u8]| {
        let number = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        let bits = number.len() * 8 - number[0].leading_zeros() as usize;
        [&u16::try_from(bits).expect("short").to_be_bytes()[..], number].concat()
    };
    let (r, s) = value.split_at(32);
    let signature = [&head[..], &[0, 0], &digest[..2], &number(r), &number(s)].concat();
    let packet = |tag: u8, body: &[u8]| [&[0xc0 | tag, short(body.len())][..], body].concat();
    [key.to_packet(), packet(13, user_id.as_bytes()), packet(2, &signature)].concat()
}

/// A manufacturer who has said that a device is stolen and whose key has expired since, and a domain at the same node
/// that has adopted the statement after that.
struct Adopted {
    app: App,
    plant: DomainName,
    _maker: Party,
}

impl Adopted {
    async fn by(rule: &str) -> Self {
        let mut maker = Party::found("devices.acme.example");
        let app = maker.open();
        maker.certificate = expiring(&maker.signer, "Acme", app.clock().now().plus_millis(HOUR));
        maker.publish(&app, &device(1), USER_ID, "L1").await;
        let stolen = Claims { status: Some(word("stolen")), ..claims(&maker, Act::Status) };
        let now = app.clock().now();
        let body = certify(&maker.signer, &device(1), USER_ID, None, Kind::Device, &stolen, true, now, &SALT);
        maker.submit_one(&app, body.expect("made")).await.expect("admitted");
        let plant = found_plant(&app, &maker, rule);
        app.clock().pass(2 * HOUR);
        let adopted = AdoptionRequest {
            source: maker.domain.to_string(),
            ids: vec![device(1).fingerprint().to_string()],
            ..AdoptionRequest::default()
        };
        let adopted = app.adopt(&plant, adopted).await.expect("adopted");
        assert_eq!((adopted.adopted, adopted.refused), (3, Vec::new()), "what is said, and the certificate behind it");
        Self { app, plant, _maker: maker }
    }

    /// A node that copies the domain as a stranger. Its clock shows another time, by which nothing may be judged.
    fn copied(&self, data: &TempDir) -> App {
        copy(data.path(), &self.app, &self.plant, &[("home", &served(&self.app))])
    }

    /// The status of the device in that domain at a node; `None` if the node does not know it.
    fn status(&self, at: &App) -> Option<String> {
        let id = device(1).fingerprint().to_string();
        let record = at.record(Reader::Operator, &self.plant, &id).ok()?.record;
        record.status.map(|status| status.decides.name.to_string())
    }
}

/// Founds a domain that adopts what the manufacturer says, with this rule for reading.
fn found_plant(app: &App, maker: &Party, rule: &str) -> DomainName {
    let from = app.domain(&maker.domain).expect("here").info;
    let (domain, signer) = (word::<DomainName>("plant.example"), maker.signer.public_key().fingerprint());
    let owner = owner(&domain);
    let key = OwnerKey {
        name: "owner".to_owned(),
        fingerprint: owner.public_key().fingerprint(),
        key: STANDARD.encode(owner.public_key().to_packet()),
    };
    let names = ["serial:*", "urn:dev:os:32473-*"].map(str::to_owned).into();
    let input = TemplateInput {
        domain: domain.clone(),
        description: String::new(),
        owners: Owners { threshold: 1, keys: vec![key] },
        home: from.home.clone(),
        roles: [(word("manufacturer"), RoleSpec { signers: [signer].into(), names })].into(),
        sources: vec![Source { domain: from.domain, entry0: Hash(from.origin.entry0), home: from.home }],
    };
    let mut descriptor = Template::Maintenance.fill(input).expect("descriptor");
    assert!(descriptor.access.contains(ALL), "{}", descriptor.access);
    descriptor.access = descriptor.access.replace(ALL, rule);
    let signed = sign_descriptor(&[&owner], &descriptor.to_json(), app.clock().now(), &SALT).expect("signed");
    tokio::task::block_in_place(|| assert_eq!(app.found(&signed).expect("founded"), domain));
    domain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_adopted_after_its_key_has_expired_counts_at_home_copies_and_in_evidence() {
    let adopted = Adopted::by(ALL).await;
    assert_eq!(adopted.status(&adopted.app).as_deref(), Some("stolen"));

    let data = tempfile::tempdir().expect("directory");
    let copied = adopted.copied(&data);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &adopted.app, &adopted.plant).await;
    assert_eq!(adopted.status(&copied).as_deref(), Some("stolen"));
    assert_eq!(copied.domain(&adopted.plant).expect("copied").alarms, []);
    stop.send_replace(true);
    replicating.await.expect("ends");

    let id = device(1).fingerprint().to_string();
    for node in [&adopted.app, &copied] {
        let pack = node.evidence(Reader::Anonymous, &adopted.plant, &id).expect("evidence");
        let verified = evidence::verify(&pack, None, node.clock().now()).expect("it is good");
        assert_eq!(verified.record.effect(), Effect::Blocks);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_where_it_was_hidden_until_now() {
    let adopted = Adopted::by(NODES).await;
    let data = tempfile::tempdir().expect("directory");
    let copied = adopted.copied(&data);
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(copied.clone().replicate(stopped));
    catches_up(&copied, &adopted.app, &adopted.plant).await;
    assert_eq!(adopted.status(&copied), None);

    let rules = amended(&adopted.app, &adopted.plant, |next| next.access = next.access.replace(NODES, ALL));
    adopted.app.submit(&adopted.plant, vec![rules]).await.expect("admitted");
    let began = Instant::now();
    while adopted.status(&copied).as_deref() != Some("stolen") {
        let info = copied.domain(&adopted.plant);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}: {info:?}", adopted.status(&copied));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    replicating.await.expect("ends");
}

/// A statement may wait for the writer, or the log's time may be ahead of the clock: everybody else verifies it as of
/// its admission.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_before_its_statement_is_admitted_says_nothing_new() {
    let mut maker = Party::found("devices.acme.example");
    let app = maker.open();
    maker.certificate = expiring(&maker.signer, "Acme", app.clock().now().plus_millis(HOUR));
    let known = maker.introduce(&app, &device(1), USER_ID, "L1");
    let index = maker.submit_one(&app, known.clone()).await.expect("admitted").index;

    let late = maker.introduce(&app, &device(2), "urn:dev:os:32473-2", "L2");
    let (hosted, now) = (app.hosted(&maker.domain).expect("here"), app.clock().now());
    let checked = check_bodies(hosted.domain().as_deref(), vec![(known, now), (late, now)], [7; 32]);
    assert!(checked.iter().all(Result::is_ok), "both are good now");
    let incoming = checked.into_iter().map(|checked| Incoming { checked, source: None, salt: [7; 16] }).collect();
    app.clock().pass(2 * HOUR);
    let outcomes = tokio::task::block_in_place(|| app.append(&hosted, incoming)).expect("written");
    let [Outcome::Present(stood), Outcome::Refused(problem)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!((*stood, problem.code()), (index, "signer-key"), "what stands there has its receipt still");
    assert!(problem.detail.contains("has expired"), "{problem:?}");
    assert_eq!(app.domain(&maker.domain).expect("domain").info.size, index + 1);
}

/// A domain that adopts single entries knows only by their times what was admitted before a key was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_state_of_a_certificate_is_admitted_later_than_all_before_it() {
    let (maker, app) = Party::opened();
    let introduced = |number: u8| {
        let user_id = format!("urn:dev:os:32473-{number}");
        maker.introduce(&app, &device(number), &user_id, &format!("L{number}"))
    };
    let mut bodies = vec![maker.certificate.clone()];
    bodies.extend((1..40).map(introduced));
    bodies.push(maker.renewed(maker.signer.public_key().created()));
    let results = app.submit(&maker.domain, bodies).await.expect("a batch").results;
    assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
    let number = app.hosted(&maker.domain).expect("here").number;
    let entries = app.store().entries(number, 0, limits::FEED_ENTRIES, limits::FEED_BYTES).expect("read");
    let time = |entry: &StoredEntry| Header::decode(&entry.header).expect("a header").admitted_at;
    let times: Vec<Timestamp> = entries.iter().map(time).collect();
    let [.., before, state] = times.as_slice() else { panic!("{times:?}") };
    assert_eq!(times.len(), 42, "the descriptor, and what was sent");
    assert!(before < state, "{times:?}");
}

/// Between verification and the writer's turn, the log may get another state of the signer's certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_goes_on_takes_from_what_is_under_way_only_what_it_forbids() {
    let (maker, buyer) = (Party::found("devices.acme.example"), Party::found("buyer.example"));
    let app = maker.open();
    maker.publish(&app, &device(1), USER_ID, "L1").await;
    let (now, created) = (app.clock().now(), maker.signer.public_key().created());
    let grant = Grant { grantee: buyer.signer.public_key().fingerprint(), role: word("owner") };
    let grant = Claims { grant: Some(grant), ..claims(&maker, Act::Grant) };
    let grant = certify(&maker.signer, &device(1), USER_ID, None, Kind::Device, &grant, false, now, &SALT);
    let certified = certify_user_id(&maker.signer, buyer.signer.public_key(), "buyer.example", now, &SALT);
    let introduced = |number: u8| {
        let user_id = format!("urn:dev:os:32473-{number}");
        maker.introduce(&app, &device(number), &user_id, &format!("L{number}"))
    };
    let hosted = app.hosted(&maker.domain).expect("here");
    let under_way = |bodies: Vec<Vec<u8>>| {
        let timed = bodies.into_iter().map(|body| (body, app.clock().now())).collect();
        let checked = check_bodies(hosted.domain().as_deref(), timed, [7; 32]);
        assert!(checked.iter().all(Result::is_ok), "all are good now: {checked:?}");
        checked.into_iter().map(|checked| Incoming { checked, source: None, salt: [7; 16] }).collect::<Vec<_>>()
    };
    let log = async |bodies: Vec<Vec<u8>>| {
        let results = app.submit(&maker.domain, bodies).await.expect("submits").results;
        assert!(results.iter().all(|it| matches!(it, SubmissionResult::Receipt(_))), "{results:?}");
    };
    let append = |incoming| tokio::task::block_in_place(|| app.append(&hosted, incoming)).expect("written");
    log(vec![grant.expect("made"), buyer.certificate.clone()]).await;

    let incoming = under_way(vec![introduced(2), certified.expect("made")]);
    let renewed = maker.renewed(created);
    log(vec![renewed.clone()]).await;
    let outcomes = append(incoming);
    assert!(matches!(outcomes.as_slice(), [Outcome::Appended(_), Outcome::Appended(_)]), "{outcomes:?}");

    // Of two bindings with the same time, the last one decides: the key ended long ago.
    let ended = expiring(&maker.signer, "Acme Ltd", created.plus_millis(HOUR));
    let key = maker.signer.public_key().to_packet();
    let ended = [&renewed[..], ended.strip_prefix(key.as_slice()).expect("the same key")].concat();
    let incoming = under_way(vec![introduced(3)]);
    log(vec![ended]).await;
    let outcomes = append(incoming);
    let [Outcome::Refused(problem)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(problem.code(), "signer-key", "{problem:?}");
    assert!(problem.detail.contains("has expired"), "{problem:?}");
}
