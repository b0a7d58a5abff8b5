//! A small log for tests.

use ed25519_dalek::SigningKey;

use crate::log::checkpoint::{Checkpoint, Origin};
use crate::log::entry::{Entry, EntryKind, Header};
use crate::log::merkle::Tree;
use crate::log::note::{Algorithm, VerifierKey};
use crate::log::receipt::Receipt;
use crate::statement::StatementId;
use crate::time::Timestamp;

/// A log of entries whose bodies are `body 0`, `body 1`…
pub(super) struct ExampleLog {
    pub(super) origin: Origin,
    pub(super) home: SigningKey,
    pub(super) entries: Vec<Entry>,
    pub(super) tree: Tree,
}

/// An entry with the body `body <index>`, admitted `index` seconds after 2026-01-01.
pub(super) fn entry(index: u64) -> Entry {
    let kind = if index == 0 { EntryKind::Descriptor } else { EntryKind::Statement };
    let admitted_at = Timestamp::from_millis(1_767_225_600_000 + 1000 * index);
    let header = Header { kind, admitted_at, source: None }.encode().unwrap();
    let salt = core::array::from_fn(|place| place as u8 ^ index as u8);
    Entry { header, salt, body: format!("body {index}").into_bytes() }
}

/// The key whose secret is this byte, repeated 32 times.
pub(super) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The key that verifies cosignatures of [`signing_key`] under a name.
pub(super) fn cosigner(name: &str, seed: u8) -> VerifierKey {
    let key = signing_key(seed).verifying_key().to_bytes();
    VerifierKey::new(name, Algorithm::Cosignature, &key).unwrap()
}

impl ExampleLog {
    pub(super) fn new(size: u64) -> Self {
        let entries: Vec<Entry> = (0..size).map(entry).collect();
        let mut tree = Tree::new();
        entries.iter().for_each(|entry| tree.push(entry.leaf_hash()));
        let origin = Origin { domain: "devices.acme.example".parse().unwrap(), entry0: entry(0).leaf_data() };
        Self { origin, home: signing_key(1), entries, tree }
    }

    pub(super) fn key(&self) -> VerifierKey {
        self.origin.key(&self.home.verifying_key().to_bytes()).unwrap()
    }

    pub(super) fn head(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() }
    }

    pub(super) fn checkpoint(&self) -> String {
        self.head().sign(&self.home).unwrap()
    }

    pub(super) fn receipt(&self, index: u64) -> Receipt {
        let entry = &self.entries[index as usize];
        Receipt {
            origin: self.origin.clone(),
            index,
            id: StatementId([index as u8; 32]),
            header: entry.header.clone(),
            salt: entry.salt,
            leaf: entry.leaf_data(),
            proof: self.tree.inclusion_proof(index, self.tree.size(), |_| None).unwrap(),
            checkpoint: self.checkpoint(),
        }
    }
}
