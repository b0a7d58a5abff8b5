//! A party with one domain and keys made from seeds.

use core::str::FromStr;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, Head, NodeKey, OwnerKey, Owners, RoleSpec, Template, TemplateInput};
use ics_core::identity::Kind;
use ics_core::log::cosignature::cosign;
use ics_core::log::receipt::Receipt;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signature::RawSignature;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::Claims;
use ics_core::statement::body::{self, Body};
use ics_core::statement::make::{certify, sign_descriptor};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, DomainName};
use ics_node::api::{Problem, SubmissionResult};
use ics_node::app::{App, AppError, NodeKeys, Reader, Setup};
use ics_node::config::PeerConfig;
use ics_node::http::{Settings, serve};
use ics_node::store::StoreError;
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

/// The token of the operators of a party's node.
pub(crate) const OPERATOR_TOKEN: &str = "for operators alone";
pub(crate) const SALT: [u8; 32] = [7; 32];
/// The time limit for a copy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// 2026-01-01.
const CREATED: u64 = 1_767_225_600;

pub(crate) fn word<T: FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    text.parse().expect(text)
}

pub(crate) struct Party {
    pub(crate) domain: DomainName,
    pub(crate) signer: Ed25519Signer,
    dir: TempDir,
    node: SigningKey,
    descriptor: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
}

pub(crate) fn signer(name: &str, number: u8) -> Ed25519Signer {
    let mut seed = [number; 32];
    for (byte, letter) in seed.iter_mut().zip(name.bytes()) {
        *byte ^= letter;
    }
    Ed25519Signer::from_seed(&seed, 4, Timestamp::from_seconds(CREATED)).expect("key")
}

/// The key of the owner of a party's domain.
pub(crate) fn owner(domain: &DomainName) -> Ed25519Signer {
    signer(domain.as_str(), 1)
}

pub(crate) fn device(number: u8) -> PublicKey {
    signer("device", number).public_key().clone()
}

/// The keys of this many devices, none of which [`device`] returns.
pub(crate) fn devices(count: u16) -> Vec<PublicKey> {
    let key = |number: u16| {
        let mut seed = [0; 32];
        seed[30..].copy_from_slice(&number.to_be_bytes());
        Ed25519Signer::from_seed(&seed, 4, Timestamp::from_seconds(CREATED)).expect("key").public_key().clone()
    };
    (0..count).map(key).collect()
}

/// Opens a node; interrupted work of the one before may still hold its store for a moment.
fn open_when_free(setup: &Setup) -> App {
    let began = Instant::now();
    loop {
        match App::open(setup) {
            Err(AppError::Store(StoreError::InUse { .. })) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.expect("opens"),
        }
    }
}

/// The template's access rules, if nobody may read or copy unless this Cedar condition holds.
pub(crate) fn narrowed(access: &str, condition: &str) -> String {
    let rule = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
    let (before, after) = access.split_once(rule).expect("the template's rule");
    let narrowed = rule.replace("resource);", &format!("resource) when {{ {condition} }};"));
    [before, &narrowed, after].concat()
}

impl Party {
    pub(crate) fn found(domain: &str) -> Self {
        Self::found_with(domain, |_| ())
    }

    /// A manufacturer, and its node.
    pub(crate) fn opened() -> (Self, App) {
        let maker = Self::found("devices.acme.example");
        let app = maker.open();
        (maker, app)
    }

    /// The same with a device, and the manufacturer's certificate, in the log.
    pub(crate) async fn with_a_device() -> (Self, App) {
        let (maker, app) = Self::opened();
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        (maker, app)
    }

    /// A party whose domain nobody may read or copy unless this Cedar condition holds.
    pub(crate) fn found_private(domain: &str, condition: &str) -> Self {
        Self::found_with(domain, |descriptor| descriptor.access = narrowed(&descriptor.access, condition))
    }

    /// A party whose domain anybody may read as far as it is about things of this lot, and nobody may follow or copy.
    pub(crate) fn found_showing(domain: &str, lot: &str) -> Self {
        let all = "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
        let shown = format!(
            "permit (principal, action == Action::\"read\", resource) \
             when {{ resource has lot && resource.lot == \"{lot}\" }};"
        );
        Self::found_with(domain, |descriptor| {
            assert!(descriptor.access.contains(all), "the template's rule");
            descriptor.access = descriptor.access.replace(all, &shown);
        })
    }

    /// A party whose first descriptor is the template's, with a change.
    pub(crate) fn found_with(domain: &str, change: impl FnOnce(&mut Descriptor)) -> Self {
        let at = Timestamp::from_seconds(CREATED);
        let (owner, signer) = (signer(domain, 1), signer(domain, 2));
        let node = SigningKey::from_bytes(&[domain.len() as u8; 32]);
        let names = ["serial:*", "urn:dev:os:32473-*"].map(str::to_owned).into();
        let spec = RoleSpec { signers: [signer.public_key().fingerprint()].into(), names };
        let input = TemplateInput {
            domain: word(domain),
            description: String::new(),
            owners: Owners {
                threshold: 1,
                keys: vec![OwnerKey {
                    name: "owner".to_owned(),
                    fingerprint: owner.public_key().fingerprint(),
                    key: STANDARD.encode(owner.public_key().to_packet()),
                }],
            },
            home: NodeKey { name: format!("ics.{domain}"), key: STANDARD.encode(node.verifying_key().as_bytes()) },
            roles: [(word("manufacturer"), spec)].into(),
            sources: Vec::new(),
        };
        let mut descriptor = Template::Manufacturer.fill(input).expect("descriptor");
        change(&mut descriptor);
        let json = descriptor.to_json();
        Self {
            domain: word(domain),
            descriptor: sign_descriptor(&[&owner], &json, at, &SALT).expect("signed"),
            certificate: Certificate::make(&signer, domain, at, &SALT).expect("certificate"),
            signer,
            dir: tempfile::tempdir().expect("directory"),
            node,
        }
    }

    /// The directory of its node's store.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Opens the party's node, with its domain founded.
    pub(crate) fn open(&self) -> App {
        self.open_for(Vec::new())
    }

    /// As [`Self::open`], with these peers.
    pub(crate) fn open_for(&self, peers: Vec<PeerConfig>) -> App {
        self.open_with(|setup| setup.peers = peers)
    }

    /// As [`Self::open`], with other settings.
    pub(crate) fn open_with(&self, change: impl FnOnce(&mut Setup)) -> App {
        let mut setup = self.setup();
        change(&mut setup);
        tokio::task::block_in_place(|| {
            let app = open_when_free(&setup);
            assert_eq!(app.found(&self.descriptor).expect("founded"), self.domain);
            app
        })
    }

    fn setup(&self) -> Setup {
        Setup {
            data: self.data(),
            keys: NodeKeys {
                name: format!("ics.{}", self.domain),
                key: Arc::new(self.node.clone()),
                issuers: Vec::new(),
            },
            peers: Vec::new(),
            config_file: None,
            trust: None,
            operator_token: Some(OPERATOR_TOKEN.to_owned().into()),
            memory_bytes: 1 << 24,
            acme: None,
        }
    }

    /// The first version of the descriptor.
    fn rules(&self) -> Descriptor {
        let Ok(Body::Descriptor(signed)) = body::parse(&self.descriptor) else { panic!("it is a descriptor") };
        Descriptor::parse(&signed.json).expect("well-formed")
    }

    /// Version 2 of the descriptor, which gives the node another key after its present log.
    pub(crate) fn with_new_key(&self, app: &App, key: &SigningKey) -> Vec<u8> {
        let (size, root) = app.left(&self.domain).expect("here");
        self.changed(app, |next| {
            next.last_head = Some(Head { size, root });
            next.home.key = STANDARD.encode(key.verifying_key().as_bytes());
        })
    }

    /// Version 2 of the descriptor, with a change.
    pub(crate) fn changed(&self, app: &App, change: impl FnOnce(&mut Descriptor)) -> Vec<u8> {
        let former = self.rules();
        let mut next = Descriptor { version: 2, previous: Some(former.hash()), ..former };
        change(&mut next);
        sign_descriptor(&[&owner(&self.domain)], &next.to_json(), app.clock().now(), &SALT).expect("signed")
    }

    /// Gives the node, which does not run, another key, as `ics restore --begin-anew` does.
    pub(crate) fn begin_anew(&self, key: &SigningKey) {
        let mut setup = self.setup();
        setup.keys.key = Arc::new(key.clone());
        tokio::task::block_in_place(|| {
            let app = open_when_free(&setup);
            app.begin_anew(&self.domain, &self.with_new_key(&app, key)).expect("begun");
        });
    }

    /// Founds the party's domain at another party's node; the node keys are the same because both domain names have the
    /// same length.
    pub(crate) fn found_at(&self, app: &App) {
        let mut descriptor = self.rules();
        descriptor.home.name = app.node().name;
        let at = Timestamp::from_seconds(CREATED);
        let signed = sign_descriptor(&[&owner(&self.domain)], &descriptor.to_json(), at, &SALT).expect("signed");
        let founded = tokio::task::block_in_place(|| app.found(&signed));
        assert_eq!(founded.expect("founded"), self.domain);
    }

    /// A checkpoint as the party's home would have cosigned it at this time.
    pub(crate) fn vouched(&self, note: &str, at: Timestamp) -> String {
        cosign(note, &format!("ics.{}", self.domain), &self.node, at).expect("a note with room")
    }

    /// A later state of the signer's certificate, with an additional User ID.
    pub(crate) fn renewed(&self, at: Timestamp) -> Vec<u8> {
        let other = Certificate::make(&self.signer, "Acme", at, &SALT).expect("made");
        let key = self.signer.public_key().to_packet();
        [&self.certificate, other.strip_prefix(key.as_slice()).expect("the same key")].concat()
    }

    /// A state of the signer's certificate with an additional signature that revokes the signer's key for a reason (RFC
    /// 9580, 5.2.3.31): 2 means compromised, 3 retired.
    pub(crate) fn revoked(&self, state: &[u8], reason: u8) -> Vec<u8> {
        let key = self.signer.public_key().to_packet();
        let rest = state.strip_prefix(key.as_slice()).expect("begins with its key");
        [&key[..], &self.revocation(reason), rest].concat()
    }

    fn revocation(&self, reason: u8) -> Vec<u8> {
        let (key, issuer) = (self.signer.public_key(), self.signer.public_key().fingerprint());
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("short");
        // 2026-01-01, by whom, and why.
        let by = [&[22, 33, 4][..], issuer.as_bytes(), &[9, 16], &issuer.as_bytes()[12..]].concat();
        let hashed = [&[5, 0x82][..], &1_767_225_600_u32.to_be_bytes(), &by, &[3, 29, reason, b'.']].concat();
        // Version 4, key revocation, EdDSA, SHA-512.
        let head = [&[4, 0x20, 22, 10, 0, length(&hashed)][..], &hashed].concat();
        let over = [&[0x99, 0, length(key.body())][..], key.body(), &head, &[4, 0xff, 0, 0, 0, length(&head)]].concat();
        let digest = Sha512::digest(over);
        let RawSignature::Ed25519(value) = self.signer.sign(&digest).expect("signs") else {
            panic!("another algorithm")
        };
        let number = |bytes: &[u8]| {
            let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).expect("not zero")..];
            let bits = u32::from(length(bytes)) * 8 - bytes[0].leading_zeros();
            [&u16::try_from(bits).expect("short").to_be_bytes()[..], bytes].concat()
        };
        let body = [&head[..], &[0, 0], &digest[..2], &number(&value[..32]), &number(&value[32..])].concat();
        [&[0xc2, length(&body)][..], &body].concat()
    }

    pub(crate) fn introduce(&self, app: &App, key: &PublicKey, user_id: &str, lot: &str) -> Vec<u8> {
        let said = Claims {
            names: vec![word(&format!("serial:SN-{lot}"))],
            attributes: BTreeMap::from([(Attribute::Lot, lot.to_owned())]),
            ..claims(self, Act::Identity)
        };
        certify(&self.signer, key, user_id, None, Kind::Device, &said, false, app.clock().now(), &SALT).expect("made")
    }

    pub(crate) async fn publish(&self, app: &App, key: &PublicKey, user_id: &str, lot: &str) -> Receipt {
        self.submit_one(app, self.introduce(app, key, user_id, lot)).await.expect("admitted")
    }

    /// Has the owner erase an entry.
    pub(crate) async fn erase(&self, app: &App, index: u64) {
        let erasure = app.erasure(Reader::Operator, &self.domain, index).expect("it can be erased");
        let json = erasure.to_json().expect("JSON");
        let body = sign_descriptor(&[&owner(&self.domain)], &json, app.clock().now(), &SALT).expect("signed");
        self.submit_one(app, body).await.expect("admitted");
    }

    /// Submits bodies that are all admitted.
    pub(crate) async fn submit(&self, app: &App, bodies: Vec<Vec<u8>>) {
        for result in app.submit(&self.domain, bodies).await.expect("a batch").results {
            assert!(matches!(result, SubmissionResult::Receipt(_)), "{result:?}");
        }
    }

    /// Submits the signer's certificate and one body.
    pub(crate) async fn submit_one(&self, app: &App, body: Vec<u8>) -> Result<Receipt, Problem> {
        let mut results = app.submit(&self.domain, vec![self.certificate.clone(), body]).await.expect("batch").results;
        match results.pop() {
            Some(SubmissionResult::Receipt(receipt)) => Ok(*receipt),
            Some(SubmissionResult::Problem(problem)) => Err(problem),
            Some(SubmissionResult::Pending(_)) | None => panic!("no result"),
        }
    }
}

/// Claims of a party's signer about things in the party's own domain.
pub(crate) fn claims(party: &Party, act: Act) -> Claims {
    Claims::new(act, word("manufacturer"), party.domain.clone())
}

pub(crate) fn status_of(app: &App, party: &Party, number: u8) -> Option<String> {
    let id = device(number).fingerprint().to_string();
    let record = app.record(Reader::Anonymous, &party.domain, &id).expect("record").record;
    record.status.map(|status| status.decides.name.to_string())
}

/// A node that copies a domain from these peers.
pub(crate) fn copy(dir: &Path, app: &App, of: &DomainName, peers: &[(&str, &str)]) -> App {
    let peer = |(name, url): &(&str, &str)| PeerConfig {
        url: Some(url.parse().expect("a URL")),
        mirror: vec![app.domain(of).expect("here").info.origin],
        ..PeerConfig::new(word(name))
    };
    let key = SigningKey::from_bytes(&[9; 32]);
    let setup = Setup {
        data: dir.join("data"),
        keys: NodeKeys { name: "copy.example".to_owned(), key: Arc::new(key), issuers: Vec::new() },
        peers: peers.iter().map(peer).collect(),
        config_file: None,
        trust: None,
        operator_token: None,
        memory_bytes: 1 << 24,
        acme: None,
    };
    tokio::task::block_in_place(|| App::open(&setup).expect("opens"))
}

/// Serves a node over HTTP until the test ends; returns its address.
pub(crate) fn served(app: &App) -> String {
    let server = serve(app.clone(), &Settings { listen: vec![([127, 0, 0, 1], 0).into()], ..Settings::default() });
    let server = server.expect("listens");
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.run(std::future::pending()));
    url
}

/// Waits until a copy has everything that the home has of a domain.
pub(crate) async fn catches_up(copy: &App, home: &App, of: &DomainName) {
    let (size, began) = (home.domain(of).expect("here").info.size, Instant::now());
    while copy.domain(of).map_or(0, |info| info.info.size) < size {
        assert!(began.elapsed() < PATIENCE, "it does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
