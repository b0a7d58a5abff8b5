//! A home directory whose signer makes statements, one after the other, all different.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::identity::Kind;
use ics_core::log::note::VerifierKey;
use ics_core::openpgp::certificate::Purpose;
use ics_core::openpgp::key::PublicKey;
use ics_core::statement::{Claims, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};
use ics_node::app::{Clock, NodeKeys, store_options};
use ics_node::keys::{KeyStore, Passphrase, UnlockedKey};
use ics_node::store::{DomainNumber, Store, StoreError};

use crate::process::ICS;

pub(crate) const DOMAIN: &str = "devices.acme.example";

/// A manufacturer's home directory with its keys unlocked.
pub(crate) struct Author {
    pub(crate) home: PathBuf,
    pub(crate) domain: DomainName,
    signer: UnlockedKey,
    node: NodeKeys,
}

impl Author {
    /// Makes the home directory as a user would.
    pub(crate) fn new(home: &Path) -> Self {
        let arguments = ["--role", "manufacturer", "--domain", DOMAIN, "--listen", "127.0.0.1:0"];
        let made = Command::new(ICS)
            .arg("--home")
            .arg(home)
            .arg("init")
            .args(arguments)
            .arg("--generate-passphrase")
            .output()
            .expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::of(home)
    }

    /// Unlocks the keys of an existing home directory.
    pub(crate) fn of(home: &Path) -> Self {
        let passphrase = Passphrase::from_file(&home.join("passphrase")).expect("a passphrase");
        let unlock = |name: &str| KeyStore::new(home).find(name).expect("a key").unlock(&passphrase).expect("unlocked");
        let node = NodeKeys {
            name: format!("ics.{DOMAIN}"),
            key: unlock("node").node_key().expect("Ed25519"),
            issuers: Vec::new(),
        };
        Self { home: home.to_owned(), domain: DOMAIN.parse().expect("a name"), signer: unlock("signer"), node }
    }

    /// The signer's certificate, which the log must hold before their statements.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.signer.certificate_bytes().to_vec()
    }

    /// Introduces a distinct device for each number.
    pub(crate) fn introduces(&self, number: u64) -> Vec<u8> {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let point = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let key = PublicKey::ed25519(4, Timestamp::from_seconds(1_767_225_600), &point).expect("a key");
        let at = Clock::default().now();
        let signer = self.signer.signer(Purpose::Certify, at).expect("certifies");
        let claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), self.domain.clone());
        let user_id = format!("device {number}");
        make::certify(signer, &key, &user_id, None, Kind::Device, &claims, false, at, &seed).expect("made")
    }

    /// Opens a store as the node does, with its index and its key.
    pub(crate) fn open(&self, data: &Path) -> Result<Store, StoreError> {
        Store::open(data, store_options(&self.node, &Clock::default()))
    }

    /// The key of the home's checkpoints.
    pub(crate) fn home_key(&self, store: &Store, domain: DomainNumber) -> VerifierKey {
        let info = store.domains().into_iter().find(|info| info.number == domain).expect("the domain");
        let origin = ics_core::log::checkpoint::Origin { domain: info.name, entry0: info.entry0.expect("founded") };
        origin.key(&self.node.key.public()).expect("a key")
    }
}

/// Bytes as a ledger writes them.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_text(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}
