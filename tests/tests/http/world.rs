//! A node with the domain of a manufacturer, and the signers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, RoleSpec, Source, Template, TemplateInput};
use ics_core::identity::Kind;
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::{Claims, make};
use ics_core::time::Timestamp;
use ics_core::trust::TrustPolicy;
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::app::{App, AppError, NodeKeys, Setup};
use ics_node::config::PeerConfig;
use ics_node::store::StoreError;
use serde_json::json;
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// The domain.
pub(crate) const DOMAIN: &str = "devices.acme.example";
/// The domain of the caretaker of the devices.
pub(crate) const CARE: &str = "care.acme.example";
/// The node.
pub(crate) const NODE: &str = "ics.acme.example";
/// A node that may read in a private domain.
pub(crate) const MIRROR: &str = "mirror.example";
/// A gateway that may do so too.
pub(crate) const GATEWAY: &str = "gateway.example";
/// The token that the node's operators present.
pub(crate) const TOKEN: &str = "only for operators";
/// When the keys were made.
pub(crate) const CREATED: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// The use cases of a node, and the directory of its data.
pub(crate) struct World {
    pub(crate) app: App,
    directory: TempDir,
}

pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, CREATED).expect("a key")
}

/// The signer who owns the domain and speaks for the manufacturer.
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
        Self { app: open(data.path(), None, Vec::new()), directory: data }
    }

    /// The directory of its store.
    pub(crate) fn data(&self) -> &Path {
        self.directory.path()
    }

    /// The same node, restarted from what it has stored.
    pub(crate) fn reopened(self, trust: Option<Arc<TrustPolicy>>) -> Self {
        self.reopened_after(trust, |_| ())
    }

    /// The same, after a change to what it has stored.
    pub(crate) fn reopened_after(self, trust: Option<Arc<TrustPolicy>>, change: impl FnOnce(&Path)) -> Self {
        let Self { app, directory } = self;
        drop(app);
        change(directory.path());
        Self { app: open(directory.path(), trust, Vec::new()), directory }
    }

    /// A node that is the home of [`DOMAIN`], with its entry 0.
    pub(crate) fn founded() -> Self {
        Self::with(|_| {})
    }

    /// A node that is the home of [`DOMAIN`], where only [`MIRROR`] and [`GATEWAY`] may read; with these peers.
    pub(crate) fn private(peers: Vec<PeerConfig>) -> Self {
        let data = TempDir::new().expect("a directory");
        let app = open(data.path(), None, peers);
        let rule =
            "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
        let only = format!(
            "resource) when {{ principal has node && [\"{MIRROR}\", \"{GATEWAY}\"].contains(principal.node) }};"
        );
        let narrow = |descriptor: &mut Descriptor| {
            assert!(descriptor.access.contains(rule), "the template's rule");
            descriptor.access = descriptor.access.replace(rule, &rule.replace("resource);", &only));
        };
        app.found(&changed_descriptor(Template::Manufacturer, DOMAIN, Vec::new(), narrow)).expect("founds");
        Self { app, directory: data }
    }

    /// A node that is the home of [`DOMAIN`], with a changed descriptor.
    pub(crate) fn with(change: impl FnOnce(&mut Descriptor)) -> Self {
        let world = Self::empty();
        world.app.found(&changed_descriptor(Template::Manufacturer, DOMAIN, Vec::new(), change)).expect("founds");
        world
    }

    /// The same node twice: what either says from now on, the other does not.
    pub(crate) fn twinned(self) -> (Self, Self) {
        let Self { app, directory } = self;
        drop(app);
        let other = TempDir::new().expect("a directory");
        copy(directory.path(), other.path());
        let reopened = |directory: TempDir| Self { app: open(directory.path(), None, Vec::new()), directory };
        (reopened(directory), reopened(other))
    }

    /// A node that is the home of [`DOMAIN`], with a changed descriptor, and of [`CARE`], which adopts from it.
    pub(crate) fn caring(change: impl FnOnce(&mut Descriptor)) -> Self {
        Self::with(change).with_care(|_| {})
    }

    /// The same node as the home of [`CARE`] too, which adopts from [`DOMAIN`], with a changed descriptor.
    pub(crate) fn with_care(self, change: impl FnOnce(&mut Descriptor)) -> Self {
        let made = self.app.domain(&domain()).expect("is here").info.origin;
        let source = Source { domain: domain(), entry0: Hash(made.entry0), home: home() };
        self.app.found(&changed_descriptor(Template::Maintenance, CARE, vec![source], change)).expect("founds");
        self
    }

    /// A founded node with [`CARE`], which adopts from it, and a trust policy by which both domains count.
    pub(crate) fn deciding() -> Self {
        Self::with_rules(include_str!("../../../ics-core/src/trust/templates/vouched.cedar"))
    }

    /// The same, permitting whatever its manufacturer vouches for.
    pub(crate) fn permitting() -> Self {
        Self::with_rules(
            "@id(\"made\") permit (principal, action, resource) \
             when { principal.vouching_roles.contains(\"manufacturer\") };",
        )
    }

    fn with_rules(rules: &str) -> Self {
        let world = Self::founded().with_care(|_| {});
        let origin = |domain: &str| world.app.domain(&domain.parse().expect("a domain")).expect("is here").info.origin;
        let trust = json!({
            "domains": [origin(DOMAIN), origin(CARE)],
            "freshness": {"default": 3600},
            "rules": rules,
        });
        let trust = TrustPolicy::parse(trust.to_string().as_bytes()).expect("a trust policy");
        world.reopened(Some(Arc::new(trust)))
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

fn open(data: &Path, trust: Option<Arc<TrustPolicy>>, peers: Vec<PeerConfig>) -> App {
    let setup = Setup {
        data: data.to_owned(),
        keys: NodeKeys { name: NODE.to_owned(), key: Arc::new(SigningKey::from_bytes(&[9; 32])), issuers: Vec::new() },
        peers,
        config_file: Some(data.join("ics.toml")),
        trust,
        operator_token: Some(Zeroizing::new(TOKEN.to_owned())),
        memory_bytes: 1 << 24,
        acme: None,
    };
    // A request that was cut off may still be running.
    let began = Instant::now();
    loop {
        match App::open(&setup) {
            Err(AppError::Store(StoreError::InUse { .. })) if began.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.expect("opens"),
        }
    }
}

pub(crate) fn home() -> NodeKey {
    let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
    NodeKey { name: NODE.to_owned(), key: STANDARD.encode(key.as_bytes()) }
}

pub(crate) fn changed_descriptor(
    template: Template,
    domain: &str,
    sources: Vec<Source>,
    change: impl FnOnce(&mut Descriptor),
) -> Vec<u8> {
    let maker = maker();
    let key = maker.public_key();
    let owner =
        OwnerKey { name: "Acme".to_owned(), fingerprint: key.fingerprint(), key: STANDARD.encode(key.to_packet()) };
    let speaks = RoleSpec {
        signers: BTreeSet::from([key.fingerprint()]),
        names: BTreeSet::from(["serial:*".to_owned(), "urn:dev:os:32473-*".to_owned()]),
    };
    let input = TemplateInput {
        domain: domain.parse().expect("a domain"),
        description: "What Acme makes".to_owned(),
        owners: Owners { threshold: 1, keys: vec![owner] },
        home: home(),
        roles: BTreeMap::from([("manufacturer".parse().expect("a role"), speaks)]),
        sources,
    };
    let mut descriptor = template.fill(input).expect("fills");
    change(&mut descriptor);
    make::sign_descriptor(&[&maker], &descriptor.to_json(), CREATED, &[1; 32]).expect("signs")
}

/// A signer's own certificate.
pub(crate) fn certificate(signer: &dyn Signer, user_id: &str) -> Vec<u8> {
    Certificate::make(signer, user_id, CREATED, &[2; 32]).expect("a certificate")
}

/// A certificate whose holder has revoked the key because someone else may have it.
pub(crate) fn revoked_certificate(signer: &Ed25519Signer, user_id: &str) -> Vec<u8> {
    let (key, issuer) = (signer.public_key(), signer.public_key().fingerprint());
    let seconds = u32::try_from(CREATED.as_seconds()).expect("this century").to_be_bytes();
    // Creation time, issuer, and reason (RFC 9580, 5.2.3.31): compromised.
    let by = [&[22, 33, 4][..], issuer.as_bytes(), &[9, 16], &issuer.as_bytes()[12..]].concat();
    let hashed = [&[5, 0x82][..], &seconds, &by, &[3, 29, 2, b'.']].concat();
    // Version 4, key revocation, EdDSA, SHA-512.
    let head = [&[4, 0x20, 22, 10, 0, hashed.len() as u8][..], &hashed].concat();
    let over =
        [&[0x99, 0, key.body().len() as u8][..], key.body(), &head, &[4, 0xff, 0, 0, 0, head.len() as u8]].concat();
    let digest = Sha512::digest(over);
    let RawSignature::Ed25519(value) = signer.sign(&digest).expect("signs") else { panic!("another algorithm") };
    let number = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).expect("not zero")..];
        let bits = 8 * bytes.len() as u16 - bytes[0].leading_zeros() as u16;
        [&bits.to_be_bytes()[..], bytes].concat()
    };
    let body = [&head[..], &[0, 0], &digest[..2], &number(&value[..32]), &number(&value[32..])].concat();
    let (own, packet) = (certificate(signer, user_id), key.to_packet());
    let rest = own.strip_prefix(packet.as_slice()).expect("begins with its key");
    [&packet[..], &[0xc2, body.len() as u8], &body, rest].concat()
}

/// The statement that introduces the device with this seed, with a serial number and a lot.
pub(crate) fn introduction(by: &dyn Signer, seed: u8) -> Vec<u8> {
    introduction_as(by, seed, seed)
}

/// The same with another device's serial number.
pub(crate) fn introduction_as(by: &dyn Signer, seed: u8, number: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    claims.names = vec![serial(number).parse().expect("a name")];
    claims.attributes = [(Attribute::Model, "T-1000"), (Attribute::Lot, "L1")].map(|(a, v)| (a, v.to_owned())).into();
    of_device(by, seed, &claims, false)
}

/// The same into [`CARE`], without names and attributes.
pub(crate) fn introduction_to_care(seed: u8) -> Vec<u8> {
    let (role, care) = ("manufacturer".parse().expect("a role"), CARE.parse().expect("a domain"));
    of_device(&maker(), seed, &Claims::new(Act::Identity, role, care), false)
}

/// A peer from which a node copies [`CARE`]: it accepts connections, but answers nothing while the socket is held.
pub(crate) fn hanging_home() -> (PeerConfig, TcpListener) {
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", hangs.local_addr().expect("an address"));
    let peer = PeerConfig {
        url: Some(url.parse().expect("a URL")),
        mirror: vec![Origin { domain: CARE.parse().expect("a domain"), entry0: [7; 32] }],
        ..PeerConfig::new("home".parse().expect("a name"))
    };
    (peer, hangs)
}

/// A statement that the device was stolen.
pub(crate) fn stolen(by: &dyn Signer, seed: u8) -> Vec<u8> {
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    claims.status = Some("stolen".parse().expect("a status"));
    claims.reason = Some("taken off a lorry".to_owned());
    of_device(by, seed, &claims, true)
}

/// A statement about the device with this seed.
pub(crate) fn of_device(by: &dyn Signer, seed: u8, claims: &Claims, revokes: bool) -> Vec<u8> {
    let (device, user_id) = (signer(seed), format!("Thermometer {seed}"));
    make::certify(by, device.public_key(), &user_id, None, Kind::Device, claims, revokes, CREATED, &[3; 32])
        .expect("a statement")
}

/// The serial number that [`introduction`] gives.
pub(crate) fn serial(seed: u8) -> String {
    format!("serial:SN-{seed}")
}
