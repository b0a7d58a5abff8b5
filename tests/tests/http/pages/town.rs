//! A node with things in every state, for people to look at: the domain of a manufacturer, and that of an integrator
//! who adopts from it.

use std::collections::BTreeSet;

use ics_core::descriptor::{Descriptor, RoleSpec, Source, Template};
use ics_core::identity::Kind;
use ics_core::log::Hash;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{Claims, Group, Software, StatementId, Subject, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::api::{AdoptionRequest, SubmissionResult};
use ics_node::app::App;
use sha2::{Digest as _, Sha256};

use crate::world::{CARE, DOMAIN, World, certificate, changed_descriptor, domain, home, maker, signer};

/// When the statements are signed.
const SIGNED: Timestamp = Timestamp::from_seconds(1_767_312_000);
/// A GTIN of GS1's own examples.
const GTIN: &str = "09506000134352";
/// The name that a hostile device gives itself.
pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> &lt;b&gt; \u{202e}desrever\u{200b} \u{2066}x";

fn integrator() -> impl Signer {
    signer(102)
}

fn controller() -> impl Signer {
    signer(103)
}

fn certifier() -> impl Signer {
    signer(104)
}

fn developer() -> impl Signer {
    signer(105)
}

pub(crate) fn care() -> DomainName {
    CARE.parse().expect("a domain")
}

pub(crate) fn labels() -> DomainName {
    named(LABELS)
}

/// The domains of the developer of the pump's firmware, and of the body that labels it.
const CODE: &str = "code.pumpsoft.example";
const LABELS: &str = "labels.certifix.example";
/// The label that the body gives to one pump.
pub(crate) const LABEL: &str = "Medical device, class IIa";

fn named(domain: &str) -> DomainName {
    domain.parse().expect("a domain")
}

fn claims(act: Act, role: &str, domain: DomainName) -> Claims {
    Claims::new(act, role.parse().expect("a role"), domain)
}

/// A statement about the device with this seed, with these claims.
fn about(by: &dyn Signer, seed: u8, user_id: &str, claims: &Claims, revokes: bool) -> Vec<u8> {
    let device = signer(seed);
    make::certify(by, device.public_key(), user_id, None, Kind::Device, claims, revokes, SIGNED, &[3; 32])
        .expect("a statement")
}

fn pump(seed: u8) -> String {
    format!("Acme P7 pump {seed}")
}

fn introduced(seed: u8, user_id: &str, serial: &str) -> Vec<u8> {
    let mut claims = claims(Act::Identity, "manufacturer", domain());
    claims.names = vec![format!("serial:{serial}").parse().expect("a name")];
    let attributes = [
        (Attribute::Manufacturer, "Acme Pumps"),
        (Attribute::Model, "P7"),
        (Attribute::Lot, "2026-11"),
        (Attribute::ProductId, GTIN),
    ];
    claims.attributes = attributes.map(|(attribute, value)| (attribute, value.to_owned())).into();
    about(&maker(), seed, user_id, &claims, false)
}

fn status(by: &dyn Signer, role: &str, seed: u8, status: &str, reason: Option<&str>) -> Vec<u8> {
    let mut claims = claims(Act::Status, role, care());
    claims.status = Some(status.parse().expect("a status"));
    claims.reason = reason.map(str::to_owned);
    about(by, seed, &pump(seed), &claims, !matches!(status, "in-use" | "planned"))
}

fn software(name: &str, version: &str) -> (Subject, [u8; 32]) {
    let digest: [u8; 32] = Sha256::digest(format!("{name} {version}")).into();
    let digests = [("sha256".to_owned(), data_encoding::HEXLOWER.encode(&digest))].into();
    let (name, version) = (name.to_owned(), version.to_owned());
    (Subject::Software(Software { kind: Kind::Software, name, version, digests }), digest)
}

/// Names the signer for a role.
fn name(descriptor: &mut Descriptor, role: &str, signer: &dyn Signer) {
    let spec = RoleSpec { signers: BTreeSet::from([signer.public_key().fingerprint()]), names: BTreeSet::new() };
    descriptor.roles.insert(role.parse().expect("a role"), spec);
}

/// Claims that software is for the pump.
fn of_the_pump() -> Claims {
    let attributes = [(Attribute::Model, "P7".to_owned())].into();
    Claims { attributes, ..claims(Act::Identity, "developer", named(CODE)) }
}

/// A release of the pump's firmware.
fn released(name: &str, version: &str, word: &str) -> [Vec<u8>; 2] {
    let (subject, _) = software(name, version);
    let mut release = claims(Act::Status, "developer", named(CODE));
    release.status = Some(word.parse().expect("a status"));
    [of_the_pump(), release]
        .map(|claims| make::sign_document(&developer(), &subject, &claims, SIGNED, &[4; 32]).expect("signs"))
}

/// Publishes versions of the pump's firmware, from 3.0.0 on, with a status.
pub(crate) async fn publish(app: &App, numbers: core::ops::Range<u8>, word: &str) {
    let bodies = numbers.flat_map(|number| released("p7-firmware", &format!("3.{number}.0"), word)).collect();
    let results = app.submit(&named(CODE), bodies).await.expect("submits").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// Introduces a known version again, this many times.
pub(crate) async fn introduce_again(app: &App, version: &str, times: u64) {
    let (subject, _) = software("p7-firmware", version);
    let identity = of_the_pump();
    let signed = |number: u64| {
        let at = SIGNED.plus_millis(1_000 * number);
        make::sign_document(&developer(), &subject, &identity, at, &[4; 32]).expect("signs")
    };
    let results = app.submit(&named(CODE), (1..=times).map(signed).collect()).await.expect("submits").results;
    assert!(results.iter().all(|result| matches!(result, SubmissionResult::Receipt(_))), "{results:?}");
}

/// Has the manufacturer publish the pumps' lot; returns its id.
pub(crate) async fn lot(app: &App) -> String {
    let attributes = [(Attribute::Model, "P7"), (Attribute::Lot, "2026-11")].map(|(a, v)| (a, v.to_owned())).into();
    let subject = Subject::Group(Group { kind: Kind::Group, name: "P7 pumps, lot 2026-11".to_owned(), attributes });
    let identity = claims(Act::Identity, "manufacturer", domain());
    let body = make::sign_document(&maker(), &subject, &identity, SIGNED, &[4; 32]).expect("signs");
    let results = app.submit(&domain(), vec![body]).await.expect("submits").results;
    assert!(matches!(results[..], [SubmissionResult::Receipt(_)]), "{results:?}");
    subject.id().expect("an id").to_string()
}

impl World {
    /// A node with things in every state.
    pub(crate) fn town() -> Self {
        let world = Self::founded();
        let made = world.app.domain(&domain()).expect("is here").info.origin;
        let source = Source { domain: domain(), entry0: Hash(made.entry0), home: home() };
        let plant = changed_descriptor(Template::Maintenance, CARE, vec![source], |descriptor| {
            "What the integrator looks after".clone_into(&mut descriptor.description);
            name(descriptor, "integrator", &integrator());
            name(descriptor, "security-controller", &controller());
        });
        let code = changed_descriptor(Template::Developer, CODE, Vec::new(), |it| name(it, "developer", &developer()));
        let labels = changed_descriptor(Template::Certification, LABELS, Vec::new(), |it| {
            name(it, "certification-body", &certifier());
        });
        for descriptor in [plant, code, labels] {
            world.app.found(&descriptor).expect("founds");
        }
        world
    }

    /// Makes all the statements.
    pub(crate) async fn tell(&self) {
        self.say(&domain(), vec![certificate(&maker(), "Acme Pumps")]).await;
        let mut bodies: Vec<Vec<u8>> =
            (10..16).map(|seed| introduced(seed, &pump(seed), &format!("SN-00{seed}"))).collect();
        // Two with the same serial number, and one that is hostile in every text it can choose.
        bodies.push(introduced(16, &pump(16), "SN-TWICE"));
        bodies.push(introduced(17, &pump(17), "SN-TWICE"));
        let long = format!("{HOSTILE} {}", "long ".repeat(180));
        bodies.push(introduced(18, &long, "SN-\u{202e}<b>18"));
        self.say(&domain(), bodies).await;

        let monitor = certificate(&controller(), "Plant monitor");
        self.say(&care(), vec![certificate(&integrator(), "Integrator GmbH"), monitor]).await;
        let ids = (10..14).map(id_of).collect();
        let request = AdoptionRequest { source: DOMAIN.to_owned(), ids, ..AdoptionRequest::default() };
        let adopted = self.app.adopt(&care(), request).await.expect("adopts");
        assert!(adopted.refused.is_empty());

        let (_, firmware) = software("p7-firmware", "2.4.1");
        let mut label = claims(Act::Label, "certification-body", named(LABELS));
        label.label = Some(LABEL.to_owned());
        // 2040-01-01.
        label.until = Some(Timestamp::from_seconds(2_208_988_800));
        let mut installed = claims(Act::Installed, "integrator", care());
        installed.installed = Some(firmware);
        let releases = [("2.4.1", "released"), ("2.5.0", "released"), ("2.3.0", "withdrawn")];
        let releases = releases.into_iter().flat_map(|(version, word)| released("p7-firmware", version, word));
        let developed = core::iter::once(certificate(&developer(), "Pumpsoft")).chain(releases);
        self.say(&named(CODE), developed.collect()).await;
        let labelled = about(&certifier(), 10, &pump(10), &label, false);
        self.say(&named(LABELS), vec![certificate(&certifier(), "Certifix"), labelled]).await;
        let mut bodies = Vec::new();
        for seed in 10..14 {
            bodies.push(about(&integrator(), seed, &pump(seed), &claims(Act::Approval, "integrator", care()), false));
            bodies.push(about(&integrator(), seed, &pump(seed), &installed, false));
        }
        bodies.push(status(&integrator(), "integrator", 10, "in-use", None));
        bodies.push(status(&integrator(), "integrator", 11, "stolen", Some("taken from site 4 at night")));
        bodies.push(status(&integrator(), "integrator", 12, "in-use", None));
        bodies.push(status(
            &controller(),
            "security-controller",
            12,
            "suspended",
            Some("speaks to hosts that it never spoke to"),
        ));
        bodies.push(status(&integrator(), "integrator", 13, "planned", None));
        self.say(&care(), bodies).await;
    }

    /// Submits statements, which must all be admitted.
    pub(crate) async fn say(&self, domain: &DomainName, bodies: Vec<Vec<u8>>) -> Vec<StatementId> {
        let results = self.app.submit(domain, bodies).await.expect("submits").results;
        let receipt = |result| match result {
            SubmissionResult::Receipt(receipt) => receipt.id,
            SubmissionResult::Problem(problem) => panic!("{}", problem.detail),
            SubmissionResult::Pending(pending) => panic!("{pending:?}"),
        };
        results.into_iter().map(receipt).collect()
    }
}

/// The id of the device with this seed.
pub(crate) fn id_of(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}
