//! A small domain with its home, in memory; every signature in it is real.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;

use crate::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, RoleSpec, Source, Template, TemplateInput};
use crate::evidence::{Evidence, ProvenEntry, VERSION};
use crate::identity::{Fingerprint, Kind};
use crate::log::checkpoint::{Checkpoint, Origin};
use crate::log::cosignature::cosign;
use crate::log::entry::{Entry, Header, leaf_data};
use crate::log::merkle::Tree;
use crate::log::receipt::Receipt;
use crate::log::{self, Hash};
use crate::openpgp::certificate::Certificate;
use crate::openpgp::signature::{Draft, Over, POSITIVE_CERTIFICATION};
use crate::openpgp::signer::{Ed25519Signer, Signer};
use crate::openpgp::{packet, subpacket};
use crate::samples::{time, word};
use crate::statement::body::{self, Body};
use crate::statement::make::{certify, sign_descriptor, sign_document};
use crate::statement::{Claims, Erasure, Group, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute};

const SALT: [u8; 32] = [9; 32];

/// The signer with a one-byte seed.
pub(super) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, time(0)).unwrap()
}

pub(super) fn fingerprint(seed: u8) -> Fingerprint {
    signer(seed).public_key().fingerprint()
}

/// A node with a one-byte seed: its key for checkpoints and cosignatures.
pub(super) fn node(name: &str, seed: u8) -> NodeKey {
    let key = SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
    NodeKey { name: name.to_owned(), key: BASE64.encode(&key) }
}

fn owner(seed: u8) -> OwnerKey {
    let public = signer(seed).public_key().clone();
    let key = BASE64.encode(&public.to_packet());
    OwnerKey { name: format!("Owner {seed}"), fingerprint: public.fingerprint(), key }
}

/// A signer's certificate.
pub(super) fn certificate(seed: u8) -> Vec<u8> {
    Certificate::make(&signer(seed), &format!("Signer {seed} <{seed}@acme.example>"), time(0), &SALT).unwrap()
}

/// A certificate whose key expires this many seconds after the domain began.
pub(super) fn expiring(seed: u8, seconds: u32) -> Vec<u8> {
    let signer = signer(seed);
    let (key, user_id) = (signer.public_key(), format!("Signer {seed} <{seed}@acme.example>"));
    let draft = Draft::new(POSITIVE_CERTIFICATION, &signer, time(0)).with(subpacket::KEY_FLAGS, &[3]);
    let draft = draft.with(subpacket::KEY_EXPIRATION, &seconds.to_be_bytes());
    let signed = draft.sign(&signer, Over::UserId { key: key.body(), user_id: user_id.as_bytes() }, &SALT).unwrap();
    let mut bytes = key.to_packet();
    packet::write(&mut bytes, packet::USER_ID, user_id.as_bytes());
    packet::write(&mut bytes, packet::SIGNATURE, &signed);
    bytes
}

/// The lot of all devices whose statements give it.
pub(super) fn lot() -> Group {
    let attributes = BTreeMap::from([(Attribute::Lot, "L7".to_owned())]);
    Group { kind: Kind::Group, name: "Lot 7".to_owned(), attributes }
}

fn signed_by(owners: &[u8], json: &[u8], at: Timestamp) -> Vec<u8> {
    let signers: Vec<Ed25519Signer> = owners.iter().map(|seed| signer(*seed)).collect();
    let signers: Vec<&dyn Signer> = signers.iter().map(|signer| signer as &dyn Signer).collect();
    sign_descriptor(&signers, json, at, &SALT).unwrap()
}

/// A domain's log with the key of its home.
#[derive(Clone)]
pub(super) struct World {
    pub(super) home: SigningKey,
    pub(super) node: NodeKey,
    owners: Vec<u8>,
    pub(super) descriptor: Descriptor,
    pub(super) entries: Vec<Entry>,
    pub(super) tree: Tree,
}

impl World {
    /// A domain whose two owners (signers `base` and `base + 1`) sign its descriptor, made from a template; its home
    /// has the key `base + 2`.
    pub(super) fn found(
        domain: &str,
        base: u8,
        template: Template,
        roles: &[(&str, u8)],
        change: impl FnOnce(&mut Descriptor),
    ) -> Self {
        let names = BTreeSet::from(["serial:*".to_owned(), "spki:*".to_owned()]);
        let spec = |seed| RoleSpec { signers: BTreeSet::from([fingerprint(seed)]), names: names.clone() };
        let owners = vec![base, base + 1];
        let node = node("home.acme.example", base + 2);
        let mut descriptor = template
            .fill(TemplateInput {
                domain: word(domain),
                description: String::new(),
                owners: Owners { threshold: 2, keys: owners.iter().map(|seed| owner(*seed)).collect() },
                home: node.clone(),
                roles: roles.iter().map(|(role, seed)| (word(role), spec(*seed))).collect(),
                sources: Vec::new(),
            })
            .unwrap();
        change(&mut descriptor);
        let home = SigningKey::from_bytes(&[base + 2; 32]);
        let mut world = Self { home, node, owners, descriptor, entries: Vec::new(), tree: Tree::new() };
        world.append(world.signed(&world.owners));
        world
    }

    /// The descriptor in force, signed by these owners.
    pub(super) fn signed(&self, owners: &[u8]) -> Vec<u8> {
        signed_by(owners, &self.descriptor.to_json(), time(0))
    }

    /// An erasure, signed by all owners.
    pub(super) fn erasure(&self, erasure: &Erasure, at: Timestamp) -> Vec<u8> {
        signed_by(&self.owners, &erasure.to_json().unwrap(), at)
    }

    /// Appends any body; entry `n` is admitted `n` seconds after the domain began.
    pub(super) fn append(&mut self, body: Vec<u8>) -> u64 {
        self.append_from(None, body)
    }

    /// Appends a body that was adopted.
    pub(super) fn append_from(&mut self, source: Option<log::source::Source>, body: Vec<u8>) -> u64 {
        self.append_at(time(self.tree.size()), source, body)
    }

    /// Appends a body that is admitted at the given time.
    pub(super) fn append_at(&mut self, at: Timestamp, source: Option<log::source::Source>, body: Vec<u8>) -> u64 {
        let index = self.tree.size();
        let header = Header { kind: body::parse(&body).unwrap().kind(), admitted_at: at, source };
        let entry = Entry { header: header.encode().unwrap(), salt: [index as u8; 16], body };
        self.tree.push(entry.leaf_hash());
        self.entries.push(entry);
        index
    }

    /// Appends the next version of the descriptor.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut Descriptor)) -> u64 {
        let mut next = self.descriptor.clone();
        next.version += 1;
        next.previous = Some(self.descriptor.hash());
        change(&mut next);
        self.descriptor = next;
        self.append(self.signed(&self.owners))
    }

    /// Appends a signer's statement about the device with a one-byte seed, signed when it is admitted.
    pub(super) fn say(&mut self, by: u8, role: &str, act: Act, of: u8, change: impl FnOnce(&mut Claims)) -> u64 {
        let body = self.statement(by, role, act, of, time(self.tree.size()), change);
        self.append(body)
    }

    pub(super) fn statement(
        &self,
        by: u8,
        role: &str,
        act: Act,
        of: u8,
        at: Timestamp,
        change: impl FnOnce(&mut Claims),
    ) -> Vec<u8> {
        let mut claims = Claims::new(act, word(role), self.descriptor.domain.clone());
        change(&mut claims);
        let revokes = claims.revokes(Kind::Device).unwrap_or(false);
        let (key, name) = (signer(of).public_key().clone(), format!("Pump {of}"));
        certify(&signer(by), &key, &name, None, Kind::Device, &claims, revokes, at, &SALT).unwrap()
    }

    /// Appends a signer's statement about the lot.
    pub(super) fn say_of_lot(&mut self, by: u8, role: &str, act: Act, change: impl FnOnce(&mut Claims)) -> u64 {
        self.say_of(&lot(), by, role, act, change)
    }

    /// Appends a signer's statement about a group.
    pub(super) fn say_of(
        &mut self,
        group: &Group,
        by: u8,
        role: &str,
        act: Act,
        change: impl FnOnce(&mut Claims),
    ) -> u64 {
        let mut claims = Claims::new(act, word(role), self.descriptor.domain.clone());
        change(&mut claims);
        let at = time(self.tree.size());
        self.append(sign_document(&signer(by), &Subject::Group(group.clone()), &claims, at, &SALT).unwrap())
    }

    pub(super) fn origin(&self) -> Origin {
        Origin { domain: self.descriptor.domain.clone(), entry0: self.entries[0].leaf_data() }
    }

    /// This domain as a source in another domain's descriptor.
    pub(super) fn as_source(&self) -> Source {
        let Origin { domain, entry0 } = self.origin();
        Source { domain, entry0: Hash(entry0), home: self.node.clone() }
    }

    pub(super) fn home_key(&self) -> [u8; 32] {
        self.home.verifying_key().to_bytes()
    }

    pub(super) fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The head, signed by the home, which cosigns it 1,000 seconds after the domain began.
    pub(super) fn checkpoint(&self) -> String {
        self.cosigned(&self.signed_head(&self.home), Some(time(1000)))
    }

    pub(super) fn signed_head(&self, key: &SigningKey) -> String {
        Checkpoint { origin: self.origin(), size: self.tree.size(), root: self.tree.root() }.sign(key).unwrap()
    }

    pub(super) fn cosigned(&self, note: &str, at: Option<Timestamp>) -> String {
        at.map_or_else(|| note.to_owned(), |at| cosign(note, &self.node.name, &self.home, at).unwrap())
    }

    pub(super) fn receipt(&self, index: u64) -> Receipt {
        let entry = &self.entries[index as usize];
        Receipt {
            origin: self.origin(),
            index,
            id: body::parse(&entry.body).unwrap().id(),
            header: entry.header.clone(),
            salt: entry.salt,
            leaf: entry.leaf_data(),
            proof: self.tree.inclusion_proof(index, self.tree.size(), |_| None).unwrap(),
            checkpoint: self.checkpoint(),
        }
    }

    pub(super) fn proven(&self, index: u64) -> ProvenEntry {
        let entry = &self.entries[index as usize];
        let header = entry.header().unwrap();
        ProvenEntry {
            kind: header.kind.as_str().to_owned(),
            admitted_at: header.admitted_at,
            body: entry.body.clone(),
            receipt: self.receipt(index),
        }
    }

    /// Evidence for the device with a one-byte seed, from all entries except some.
    pub(super) fn evidence(&self, of: u8, without: &[u64]) -> Evidence {
        let indices = (0..self.tree.size()).filter(|index| !without.contains(index));
        Evidence {
            version: VERSION,
            id: fingerprint(of).to_string(),
            domain: self.descriptor.domain.clone(),
            checkpoint: self.checkpoint(),
            head: None,
            entries: indices.map(|index| self.proven(index)).collect(),
        }
    }
}

impl Evidence {
    /// Replaces the checkpoint everywhere.
    pub(super) fn under(mut self, checkpoint: &str) -> Self {
        checkpoint.clone_into(&mut self.checkpoint);
        for entry in &mut self.entries {
            checkpoint.clone_into(&mut entry.receipt.checkpoint);
        }
        self
    }

    pub(super) fn at(&mut self, index: u64) -> &mut ProvenEntry {
        self.entries.iter_mut().find(|entry| entry.receipt.index == index).unwrap()
    }
}

impl ProvenEntry {
    /// Makes id and leaf match the body and header again.
    pub(super) fn refit(&mut self) {
        let receipt = &mut self.receipt;
        receipt.id = body::parse(&self.body).as_ref().map(Body::id).unwrap();
        receipt.leaf = leaf_data(&receipt.salt, &receipt.header, &self.body);
    }
}
