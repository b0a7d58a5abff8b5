//! A node with one domain of a manufacturer, and those who sign in it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{NodeKey, OwnerKey, Owners, RoleSpec, Template, TemplateInput};
use ics_core::identity::Kind;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::{Claims, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::app::{App, NodeKeys, Setup};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// The domain.
pub(crate) const DOMAIN: &str = "devices.acme.example";
/// What operators of the node show.
pub(crate) const TOKEN: &str = "only for operators";
/// When the keys were made.
const CREATED: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// The use cases of a node, and where its data is.
pub(crate) struct World {
    pub(crate) app: App,
    _data: TempDir,
}

pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, CREATED).expect("a key")
}

/// Who owns the domain and speaks for the manufacturer.
pub(crate) fn maker() -> Ed25519Signer {
    signer(1)
}

pub(crate) fn domain() -> DomainName {
    DOMAIN.parse().expect("a domain")
}

impl World {
    /// A node that holds nothing.
    pub(crate) fn empty() -> Self {
        let data = TempDir::new().expect("a directory");
        let setup = Setup {
            data: data.path().to_owned(),
            keys: NodeKeys { name: "ics.acme.example".to_owned(), key: SigningKey::from_bytes(&[9; 32]) },
            mirrors: Vec::new(),
            trust: None,
            operator_token: Some(Zeroizing::new(TOKEN.to_owned())),
        };
        Self { app: App::open(&setup).expect("opens"), _data: data }
    }

    /// A node that is the home of [`DOMAIN`], with its entry 0.
    pub(crate) fn founded() -> Self {
        let world = Self::empty();
        world.app.found(&descriptor()).expect("founds");
        world
    }
}

fn descriptor() -> Vec<u8> {
    let maker = maker();
    let key = maker.public_key();
    let owner =
        OwnerKey { name: "Acme".to_owned(), fingerprint: key.fingerprint(), key: STANDARD.encode(key.to_packet()) };
    let node = SigningKey::from_bytes(&[9; 32]).verifying_key();
    let speaks = RoleSpec {
        signers: BTreeSet::from([key.fingerprint()]),
        names: BTreeSet::from(["serial:*".to_owned(), "urn:dev:os:32473-*".to_owned()]),
    };
    let input = TemplateInput {
        domain: domain(),
        description: "What Acme makes".to_owned(),
        owners: Owners { threshold: 1, keys: vec![owner] },
        home: NodeKey { name: "ics.acme.example".to_owned(), key: STANDARD.encode(node.as_bytes()) },
        roles: BTreeMap::from([("manufacturer".parse().expect("a role"), speaks)]),
        sources: Vec::new(),
    };
    let json = Template::Manufacturer.fill(input).expect("fills").to_json();
    make::sign_descriptor(&[&maker], &json, CREATED, &[1; 32]).expect("signs")
}

/// A signer's own certificate.
pub(crate) fn certificate(signer: &dyn Signer, user_id: &str) -> Vec<u8> {
    Certificate::make(signer, user_id, CREATED, &[2; 32]).expect("a certificate")
}

/// A statement by which the manufacturer introduces the device with that seed, with a serial number and a lot.
pub(crate) fn introduction(by: &dyn Signer, seed: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.names = vec![serial(seed).parse().expect("a name")];
    claims.attributes = [(Attribute::Model, "T-1000"), (Attribute::Lot, "L1")].map(|(a, v)| (a, v.to_owned())).into();
    certify(by, seed, &claims, false)
}

/// A statement that the device was stolen.
pub(crate) fn stolen(by: &dyn Signer, seed: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    claims.status = Some("stolen".parse().expect("a status"));
    claims.reason = Some("taken off a lorry".to_owned());
    certify(by, seed, &claims, true)
}

fn certify(by: &dyn Signer, seed: u8, claims: &Claims, revokes: bool) -> Vec<u8> {
    let (device, user_id) = (signer(seed), format!("Thermometer {seed}"));
    make::certify(by, device.public_key(), &user_id, None, Kind::Device, claims, revokes, CREATED, &[3; 32])
        .expect("a statement")
}

/// The serial number that [`introduction`] gives.
pub(crate) fn serial(seed: u8) -> String {
    format!("serial:SN-{seed}")
}
