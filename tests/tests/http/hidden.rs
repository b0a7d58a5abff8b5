//! What a policy hides from a copy, and what happens when the policy changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, ISSUER_ROLE};
use ics_core::identity::Kind;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, Group, StatementId, Subject, make};
use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::{Act, Attribute};
use ics_node::api::SubmissionResult;
use ics_node::app::{App, NodeKeys, Reader, Setup, fsck};
use ics_node::config::PeerConfig;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::following::change;
use crate::support::{Node, settings};
use crate::world::{CREATED, DOMAIN, World, certificate, domain, maker, of_device, serial, signer, stolen};

/// The statuses of devices at the copy; a device that the copy does not know is absent.
type Shown = BTreeMap<u8, Option<String>>;

/// A node that copies the domain as a stranger.
pub(crate) struct Copy {
    pub(crate) app: App,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Copy {
    fn start(data: &TempDir, home: &Node) -> Self {
        Self::trusting(data, home, None)
    }

    /// A copy that answers by a trust policy.
    pub(crate) fn trusting(data: &TempDir, home: &Node, trust: Option<Arc<TrustPolicy>>) -> Self {
        let origin = home.app().domain(&domain()).expect("founded").info.origin;
        let peer = PeerConfig {
            url: Some(format!("http://{}", home.addresses[0]).parse().expect("a URL")),
            mirror: vec![origin],
            interval_ms: 3_600_000,
            ..PeerConfig::new("home".parse().expect("a name"))
        };
        let setup = Setup {
            data: data.path().to_owned(),
            keys: NodeKeys {
                name: "copy.example".to_owned(),
                key: Arc::new(SigningKey::from_bytes(&[7; 32])),
                issuers: Vec::new(),
            },
            peers: vec![peer],
            config_file: None,
            trust,
            operator_token: None,
            memory_bytes: 1 << 24,
            acme: None,
        };
        let app = App::open(&setup).expect("opens");
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(app.clone().replicate(stopped));
        Self { app, stop, running }
    }

    fn shown(&self, devices: &[u8]) -> Shown {
        let record = |seed: u8| self.app.record(Reader::Operator, &domain(), &serial(seed)).ok();
        let status = |seed| Some((seed, record(seed)?.record.status.map(|status| status.decides.name.to_string())));
        devices
            .iter()
            .copied()
            .filter_map(status)
            .map(|(seed, status)| (seed, Some(status.unwrap_or_default())))
            .collect()
    }

    /// Waits until the copy holds all of the home's log and shows exactly this.
    pub(crate) async fn shows(&self, home: &Node, what: &str, devices: &[(u8, &str)]) {
        let all: Vec<u8> = (20..24).collect();
        let expected: Shown = devices.iter().map(|(seed, status)| (*seed, Some((*status).to_owned()))).collect();
        let size = home.app().domain(&domain()).expect("founded").info.size;
        let waited = async {
            loop {
                let held = self.app.domain(&domain()).map_or(0, |info| info.info.size);
                if held == size && self.shown(&all) == expected {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(60), waited).await.is_err() {
            panic!("{what}: {:?} is shown, not {expected:?}; {:?}", self.shown(&all), self.app.domain(&domain()));
        }
        assert_eq!(self.app.domain(&domain()).expect("held").alarms, [], "{what}");
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.running.await.expect("ends");
    }
}

/// The template's rule, by which everything may be read, followed and copied.
pub(crate) const ALL: &str =
    "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";

/// A rule by which strangers may read devices of some lots, and nothing else.
pub(crate) fn lots(lots: &[&str]) -> String {
    format!(
        "permit (principal, action == Action::\"read\", resource) when {{ \
         resource has lot && resource.kind == Kind::\"device\" && {lots:?}.contains(resource.lot) }};"
    )
}

/// A device of a lot.
pub(crate) fn device(seed: u8, lot: &str) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.names = vec![serial(seed).parse().expect("a name")];
    claims.attributes = [(Attribute::Model, "T-1000"), (Attribute::Lot, lot)].map(|(a, v)| (a, v.to_owned())).into();
    of_device(&maker(), seed, &claims, false)
}

/// The issuer of the devices' X.509 certificates.
pub(crate) fn issuer() -> Ed25519Signer {
    signer(77)
}

/// Names the issuer in the domain's rules.
pub(crate) fn name_issuer(descriptor: &mut Descriptor) {
    let spec = descriptor.roles.entry(ISSUER_ROLE.parse().expect("a role")).or_default();
    spec.signers.insert(issuer().public_key().fingerprint());
    spec.names.extend(["serial:*", "spki:*", "cert:*"].map(str::to_owned));
}

/// The issuer's statement about the certificate with this number.
pub(crate) fn issued(seed: u8, number: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Issued, ISSUER_ROLE.parse().expect("a role"), domain());
    let [serial, digest] = [20, 32].map(|length| format!("{number:02x}").repeat(length));
    let names = [format!("serial:{serial}"), format!("spki:{digest}"), format!("cert:{digest}")];
    claims.names = names.iter().map(|name| name.parse().expect("a name")).collect();
    of_device(&issuer(), seed, &claims, false)
}

/// The manufacturer's statement about a lot: its introduction, or a status.
fn lot(name: &str, status: Option<&str>) -> Vec<u8> {
    let attributes = BTreeMap::from([(Attribute::Lot, name.to_owned())]);
    let subject = Subject::Group(Group { kind: Kind::Group, name: format!("Lot {name}"), attributes });
    let act = if status.is_some() { Act::Status } else { Act::Identity };
    let mut claims = Claims::new(act, "manufacturer".parse().expect("a role"), domain());
    claims.status = status.map(|status| status.parse().expect("a status"));
    make::sign_document(&maker(), &subject, &claims, CREATED, &[3; 32]).expect("a statement")
}

pub(crate) async fn say(home: &Node, bodies: Vec<Vec<u8>>) {
    let results = home.app().submit(&domain(), bodies).await.expect("is taken").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// Submits the next version of the descriptor, with `from` replaced by `to` in its access rules.
pub(crate) async fn amend(home: &Node, from: &str, to: &str) {
    change(home.app(), DOMAIN, |next| {
        assert!(next.access.contains(from), "{}", next.access);
        next.access = next.access.replace(from, to);
    })
    .await;
}

/// Has the owners erase the entry at an index.
pub(crate) async fn erase(home: &Node, index: u64) {
    let erasure = home.app().erasure(Reader::Operator, &domain(), index).expect("can be erased");
    let json = erasure.to_json().expect("canonical");
    let signed = make::sign_descriptor(&[&maker()], &json, CREATED, &[9; 32]).expect("signs");
    say(home, vec![signed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_widens_delivers_what_it_hid_and_one_that_narrows_takes_it_back() {
    let (first, second, third) = (lots(&["L1"]), lots(&["L1", "L2"]), lots(&["L1", "L3"]));
    let rule = first.clone();
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rule));
    let world = tokio::task::spawn_blocking(founded).await.expect("a world");
    let home = Node::with(world, &settings());
    let devices = [device(20, "L1"), device(21, "L2"), stolen(&maker(), 21), device(22, "L3"), lot("L3", None)];
    let recalled = lot("L3", Some("suspended"));
    say(&home, [vec![certificate(&maker(), "Acme")], devices.into(), vec![recalled]].concat()).await;

    let data = TempDir::new().expect("a directory");
    let copy = Copy::start(&data, &home);
    copy.shows(&home, "one lot may be read", &[(20, "")]).await;

    amend(&home, &first, &second).await;
    copy.shows(&home, "what was hidden comes with its block", &[(20, ""), (21, "stolen")]).await;

    say(&home, vec![lot("L1", None), lot("L1", Some("suspended"))]).await;
    let both = [(20, "suspended"), (21, "stolen")];
    copy.shows(&home, "what is said of a lot is shown to whoever may read a device of it", &both).await;
    copy.stop().await;

    amend(&home, &second, &lots(&["L9"])).await;
    amend(&home, &lots(&["L9"]), &third).await;
    let copy = Copy::start(&data, &home);
    copy.shows(&home, "after a stop: one lot more, one less", &[(20, "suspended"), (22, "suspended")]).await;

    amend(&home, &third, ALL).await;
    copy.shows(&home, "all may be copied", &[(20, "suspended"), (21, "stolen"), (22, "suspended")]).await;
    amend(&home, ALL, &lots(&["L9"])).await;
    say(&home, vec![device(23, "L1")]).await;
    copy.shows(&home, "nothing may be read", &[]).await;
    copy.stop().await;

    let report = tokio::task::spawn_blocking(move || fsck(data.path(), |_, _| {}).expect("a report")).await;
    let report = report.expect("ends");
    assert_eq!((report.findings, report.index), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_looks_the_same_when_it_was_erased() {
    let rule = lots(&["L1"]);
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, &rule));
    let home = Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings());
    let devices = vec![device(20, "L1"), stolen(&maker(), 20), device(21, "L2"), device(22, "L2")];
    say(&home, [vec![certificate(&maker(), "Acme")], devices].concat()).await;
    let end = home.app().domain(&domain()).expect("founded").info.size;
    let [open, hidden, both] = [end - 3, end - 2, end - 1];
    erase(&home, open).await;
    erase(&home, both).await;
    for more in ["", "/tlog-proof", "/erasure"] {
        for (index, expected) in [(open, 410), (hidden, 404), (both, 404)] {
            let answer = home.get(&format!("/v1/domains/{DOMAIN}/entries/{index}{more}")).await;
            assert_eq!(answer.status, expected, "{index}{more}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_hides_stays_hidden_when_what_it_goes_by_counts_no_longer() {
    let rule = "permit (principal, action == Action::\"read\", resource) unless { \
                resource has lot && resource.lot == \"L2\" };";
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, rule));
    let home = Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings());
    let hidden = [device(21, "L2"), device(22, "L2"), lot("L2", Some("suspended"))];
    say(&home, [vec![certificate(&maker(), "Acme"), device(20, "L1")], hidden.into()].concat()).await;
    let record = home.app().record(Reader::Operator, &domain(), &serial(21)).expect("is there").record;
    let mut claims = Claims::new(Act::Withdrawal, "manufacturer".parse().expect("a role"), domain());
    claims.supersedes = vec![record.statements[0].by.statement];
    let withdrawal = of_device(&maker(), 21, &claims, false);
    let end = home.app().domain(&domain()).expect("founded").info.size;
    say(&home, vec![withdrawal, device(22, "L1")]).await;
    for seed in [21, 22] {
        let answer = home.get(&format!("/v1/domains/{DOMAIN}/identities/{}", serial(seed))).await;
        assert_eq!(answer.status, 404, "{seed}: {}", answer.text());
    }
    for index in end - 3..end + 2 {
        let answer = home.get(&format!("/v1/domains/{DOMAIN}/entries/{index}")).await;
        assert_eq!(answer.status, 404, "{index}: {}", answer.text());
    }
    let shown = home.get(&format!("/v1/domains/{DOMAIN}/identities/{}", serial(20))).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
}

/// A device's location, if one is given, in place of earlier statements.
fn placed(seed: u8, place: Option<&str>, instead_of: Vec<StatementId>) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.attributes = place.map(|place| (Attribute::Location, place.to_owned())).into_iter().collect();
    claims.supersedes = instead_of;
    of_device(&maker(), seed, &claims, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_may_have_hidden_stays_hidden_when_nobody_knows_what_it_went_by() {
    let rule = "permit (principal, action == Action::\"read\", resource) unless { \
                resource has loc && resource.loc == \"lab\" };";
    let founded = move || World::with(|descriptor| descriptor.access = descriptor.access.replace(ALL, rule));
    let home = Node::with(tokio::task::spawn_blocking(founded).await.expect("a world"), &settings());
    let devices = [20, 21, 22].map(|seed| placed(seed, Some(if seed == 20 { "lab" } else { "hall" }), Vec::new()));
    let blocks = [20, 21, 22].map(|seed| stolen(&maker(), seed));
    say(&home, [vec![certificate(&maker(), "Acme")], devices.into(), blocks.into()].concat()).await;
    let path = |seed: u8| format!("/v1/domains/{DOMAIN}/identities/{}", signer(seed).public_key().fingerprint());
    for (seed, status) in [(20, 404), (21, 200), (22, 200)] {
        let answer = home.get(&path(seed)).await;
        assert_eq!(answer.status, status, "{seed}: {}", answer.text());
    }

    let introduced = |seed: u8| {
        let query = signer(seed).public_key().fingerprint().to_string();
        let record = home.app().record(Reader::Operator, &domain(), &query).expect("is there").record;
        record.vouched[0].clone()
    };
    let first = [20, 21, 22].map(introduced);
    say(&home, vec![placed(22, None, vec![first[2].statement])]).await;
    for by in &first {
        erase(&home, by.index).await;
    }
    for (seed, status) in [(20, 404), (21, 404), (22, 200)] {
        let answer = home.get(&path(seed)).await;
        assert_eq!(answer.status, status, "{seed}: {}", answer.text());
        let query = signer(seed).public_key().fingerprint().to_string();
        let record = home.app().record(Reader::Operator, &domain(), &query).expect("the operator reads all").record;
        assert!(record.effect().blocks(), "{seed}");
        assert_eq!(record.forgotten, status == 404, "{seed}");
    }
    for by in &first {
        let answer = home.get(&format!("/v1/domains/{DOMAIN}/entries/{}", by.index)).await;
        assert_eq!(answer.status, if by.index == first[2].index { 410 } else { 404 }, "{}", answer.text());
    }
}
