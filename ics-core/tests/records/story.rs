//! A manufacturer publishes two pumps, sells one and recalls its lot; a plant adopts, approves, uses and loses them.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, RoleSpec, Source, Template, TemplateInput};
use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::entry::{Entry, EntryKind, Header};
use ics_core::log::merkle::{Tree, leaf_hash};
use ics_core::log::source::Source as Evidence;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::make::{certify, sign_descriptor, sign_document};
use ics_core::statement::{Body, Claims, Grant, Group, StatementId, Subject, parse};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Attribute, Effect};

const SALT: [u8; 32] = [9; 32];
pub(crate) const OWNER: u8 = 1;
pub(crate) const MAKER: u8 = 2;
pub(crate) const INTEGRATOR: u8 = 3;
pub(crate) const BUYER: u8 = 4;
pub(crate) const MAINTAINER: u8 = 5;
pub(crate) const CONTROLLER: u8 = 6;
/// The pumps have keys of their own.
pub(crate) const PUMPS: [u8; 2] = [101, 102];

/// The Ed25519 key whose seed is this byte, 32 times, made on 2026-01-01.
pub(crate) fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, time(0)).expect("a key")
}

pub(crate) fn fingerprint(seed: u8) -> Fingerprint {
    signer(seed).public_key().fingerprint()
}

pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + seconds)
}

pub(crate) fn pump(number: usize) -> IdentityId {
    IdentityId::Key(fingerprint(PUMPS[number]))
}

fn word<T: core::str::FromStr<Err: core::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("formed")
}

pub(crate) fn lot() -> Group {
    let attributes = BTreeMap::from([(Attribute::Model, "P1".to_owned()), (Attribute::Lot, "7".to_owned())]);
    Group { kind: Kind::Group, name: "lot 7".to_owned(), attributes }
}

/// A domain's log while it is being written.
pub(crate) struct Log {
    domain: &'static str,
    home: SigningKey,
    pub(crate) entries: Vec<Entry>,
    tree: Tree,
}

impl Log {
    fn new(domain: &'static str, home: u8) -> Self {
        Self { domain, home: SigningKey::from_bytes(&[home; 32]), entries: Vec::new(), tree: Tree::new() }
    }

    fn origin(&self) -> Origin {
        Origin { domain: word(self.domain), entry0: self.entries[0].leaf_data() }
    }

    fn node(&self) -> NodeKey {
        let key = BASE64.encode(self.home.verifying_key().as_bytes());
        NodeKey { name: format!("ics.{}", self.domain), key }
    }

    /// One hour after the entry before it.
    fn now(&self) -> Timestamp {
        time(3_600 * self.entries.len() as u64)
    }

    fn append(&mut self, body: Vec<u8>, source: Option<Evidence>) -> &mut Self {
        let kind = match parse(&body).expect("canonical") {
            Body::Statement(statement) if statement.subject().kind().has_key() => EntryKind::Statement,
            Body::Statement(_) => EntryKind::Document,
            Body::Certificate(_) => EntryKind::Certificate,
            Body::Certification(_) => EntryKind::Certification,
            Body::Descriptor(_) => EntryKind::Descriptor,
            Body::Erasure(_) => EntryKind::Erasure,
        };
        let header = Header { kind, admitted_at: self.now(), source }.encode().expect("a header");
        let entry = Entry { header, salt: [self.entries.len() as u8; 16], body };
        self.tree.push(leaf_hash(&entry.leaf_data()));
        self.entries.push(entry);
        self
    }

    fn descriptor(&mut self, descriptor: &Descriptor) -> &mut Self {
        let body = sign_descriptor(&[&signer(OWNER)], &descriptor.to_json(), self.now(), &SALT).expect("signed");
        self.append(body, None)
    }

    fn certificate(&mut self, seed: u8, user_id: &str) -> &mut Self {
        let body = Certificate::make(&signer(seed), user_id, self.now(), &SALT).expect("a certificate");
        self.append(body, None)
    }

    fn claims(&self, act: Act, role: &str) -> Claims {
        Claims::new(act, word(role), word(self.domain))
    }

    /// What a signer says of a pump.
    fn say(&mut self, seed: u8, number: usize, claims: &Claims) -> &mut Self {
        let status = claims.status.as_ref().and_then(|status| status.builtin_effect(Kind::Device));
        let revokes = status.is_some_and(Effect::blocks);
        let key = signer(PUMPS[number]);
        let user_id = format!("Pump {}", number + 1);
        let body =
            certify(&signer(seed), key.public_key(), &user_id, None, Kind::Device, claims, revokes, self.now(), &SALT);
        self.append(body.expect("a statement"), None)
    }

    fn status(&mut self, seed: u8, role: &str, number: usize, status: &str, ends: &[StatementId]) -> &mut Self {
        let mut claims = self.claims(Act::Status, role);
        claims.status = Some(word(status));
        claims.supersedes = ends.to_vec();
        self.say(seed, number, &claims)
    }

    /// The id of an entry's statement.
    fn id(&self, index: usize) -> StatementId {
        let Body::Statement(statement) = parse(&self.entries[index].body).expect("canonical") else { panic!("none") };
        statement.id()
    }

    fn evidence(&self, index: usize) -> Evidence {
        let (entry, size) = (&self.entries[index], self.entries.len() as u64);
        let checkpoint = Checkpoint { origin: self.origin(), size, root: self.tree.root() };
        Evidence {
            origin: self.origin(),
            index: index as u64,
            salt: entry.salt,
            header: entry.header.clone(),
            proof: self.tree.inclusion_proof(index as u64, size, |_| None).expect("a proof"),
            checkpoint: checkpoint.sign(&self.home).expect("a key in memory signs"),
        }
    }

    fn adopt(&mut self, other: &Self, index: usize) -> &mut Self {
        self.append(other.entries[index].body.clone(), Some(other.evidence(index)))
    }
}

fn owners() -> Owners {
    let key = signer(OWNER);
    let packet = BASE64.encode(&key.public_key().to_packet());
    let key = OwnerKey { name: "Owner".to_owned(), fingerprint: key.public_key().fingerprint(), key: packet };
    Owners { threshold: 1, keys: vec![key] }
}

fn descriptor(log: &Log, template: Template, roles: &[(&str, u8, &[&str])], sources: Vec<Source>) -> Descriptor {
    let roles = roles.iter().map(|(role, seed, names)| {
        let names = names.iter().map(|pattern| (*pattern).to_owned()).collect();
        (word(role), RoleSpec { signers: [fingerprint(*seed)].into(), names })
    });
    let input = TemplateInput {
        domain: word(log.domain),
        description: String::new(),
        owners: owners(),
        home: log.node(),
        roles: roles.collect(),
        sources,
    };
    template.fill(input).expect("a descriptor")
}

/// Access rules but for one.
fn without_rule(access: &str, id: &str) -> String {
    let (before, rest) = access.split_once(&format!("@id(\"{id}\")")).expect("the rule");
    let (_, after) = rest.split_once(";\n").expect("its end");
    format!("{before}{after}")
}

/// The manufacturer's domain.
pub(crate) fn manufacturer() -> Log {
    let mut log = Log::new("devices.acme.example", 31);
    let first = descriptor(&log, Template::Manufacturer, &[("manufacturer", MAKER, &["serial:*"])], Vec::new());
    log.descriptor(&first).certificate(MAKER, "Acme Pumps");
    for (number, lot) in [(0, "7"), (1, "8")] {
        let mut claims = log.claims(Act::Identity, "manufacturer");
        claims.attributes = BTreeMap::from([(Attribute::Model, "P1".to_owned()), (Attribute::Lot, lot.to_owned())]);
        claims.names = vec![word(&format!("serial:SN-{}", number + 1))];
        log.say(MAKER, number, &claims);
    }
    let mut sale = log.claims(Act::Grant, "manufacturer");
    sale.grant = Some(Grant { grantee: fingerprint(BUYER), role: word("owner") });
    log.say(MAKER, 0, &sale).certificate(BUYER, "Buyer Ltd");
    let mut recall = log.claims(Act::Status, "manufacturer");
    recall.status = Some(word("withdrawn"));
    recall.reason = Some("the seal leaks".to_owned());
    let body = sign_document(&signer(MAKER), &Subject::Group(lot()), &recall, log.now(), &SALT).expect("a document");
    log.append(body, None);
    log
}

/// The plant's domain, which adopts from the manufacturer's.
pub(crate) fn plant(maker: &Log) -> Log {
    let mut log = Log::new("plant.example", 32);
    let source = Source { domain: word(maker.domain), entry0: Hash(maker.origin().entry0), home: maker.node() };
    let roles: [(&str, u8, &[&str]); 4] = [
        ("manufacturer", MAKER, &["serial:*"]),
        ("integrator", INTEGRATOR, &[]),
        ("maintainer", MAINTAINER, &[]),
        ("security-controller", CONTROLLER, &[]),
    ];
    let mut first = descriptor(&log, Template::Maintenance, &roles, vec![source]);
    // Here the maker's word is enough for who lifts.
    first.access = without_rule(&first.access, "elsewhere-lifts-nothing");
    log.descriptor(&first);
    log.certificate(INTEGRATOR, "Integrator").certificate(MAINTAINER, "Maintainer").certificate(CONTROLLER, "Monitor");
    log.adopt(maker, 1).adopt(maker, 2).adopt(maker, 3);
    let approval = log.claims(Act::Approval, "integrator");
    log.say(INTEGRATOR, 0, &approval).say(INTEGRATOR, 1, &approval);
    log.status(MAINTAINER, "maintainer", 0, "in-use", &[]).status(MAINTAINER, "maintainer", 1, "in-use", &[]);
    log.adopt(maker, 4).adopt(maker, 5);
    log.status(CONTROLLER, "security-controller", 0, "suspended", &[]);
    log.status(BUYER, "owner", 0, "in-use", &[log.id(13)]);
    log.status(MAINTAINER, "maintainer", 1, "stolen", &[log.id(10)]);
    log.status(BUYER, "owner", 1, "in-use", &[log.id(15)]);
    let mut installed = log.claims(Act::Installed, "maintainer");
    installed.installed = Some([0x50; 32]);
    log.say(MAINTAINER, 0, &installed);
    log.adopt(maker, 6);
    let mut second = first.clone();
    second.version = 2;
    second.previous = Some(first.hash());
    second.roles.insert(word("maintainer"), RoleSpec::default());
    log.descriptor(&second);
    log
}
