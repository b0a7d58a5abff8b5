//! Descriptors and the signatures of their owners.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{Descriptor, DomainLimits, Freshness, NodeKey, OwnerKey, Owners, RULES};
use ics_core::openpgp::signer::{Ed25519Signer, Signer};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Erasure, make};
use ics_core::time::Timestamp;

use crate::speech;

/// The seed of the one owner's key.
const OWNER: u8 = 200;

/// The smallest valid rules: reading is free, and whoever holds a role may speak in it.
const ACCESS: &str = r#"
@id("anyone-reads") permit (principal, action == Action::"read", resource);
@id("role-held") permit (principal, action in Action::"append", resource) when { principal in context.role };
@id("certificates") permit (principal, action == Action::"certificate", resource);
"#;

/// The creation time of all owners' keys.
const CREATED: Timestamp = Timestamp::from_seconds(1_514_764_800);

fn owner(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32], 4, CREATED).expect("a key")
}

fn owner_key(seed: u8) -> OwnerKey {
    let owner = owner(seed);
    let key = owner.public_key();
    OwnerKey { name: format!("Owner {seed}"), fingerprint: key.fingerprint(), key: STANDARD.encode(key.to_packet()) }
}

/// Version 1 of a domain's descriptor.
pub(crate) fn first(domain: &str, home: NodeKey) -> Descriptor {
    Descriptor {
        domain: domain.parse().expect("a domain"),
        version: 1,
        previous: None,
        rules: RULES,
        description: String::new(),
        owners: Owners { threshold: 1, keys: vec![owner_key(OWNER)] },
        home,
        roles: speech::roles(),
        lifts: speech::lifts(),
        freshness: Freshness { default: 3600, uses: BTreeMap::new() },
        limits: DomainLimits::default(),
        certificates: None,
        witnesses: None,
        sources: Vec::new(),
        statuses: BTreeMap::new(),
        access: ACCESS.to_owned(),
        compromised: Vec::new(),
        lifted: BTreeSet::new(),
        last_head: None,
    }
}

/// The next version, otherwise unchanged.
pub(crate) fn following(previous: &Descriptor) -> Descriptor {
    Descriptor { version: previous.version + 1, previous: Some(previous.hash()), last_head: None, ..previous.clone() }
}

/// States in a descriptor which identities are hidden from readers who may not copy everything.
pub(crate) fn hide(next: &mut Descriptor, hidden: &BTreeSet<usize>, now: Timestamp) {
    let words: Vec<String> = hidden.iter().map(ToString::to_string).collect();
    next.description = format!("hides {} as of {now}", words.join(","));
}

/// Which identities a descriptor hides.
pub(crate) fn hidden(descriptor: &Descriptor) -> BTreeSet<usize> {
    let words = descriptor.description.strip_prefix("hides ").and_then(|rest| rest.split(' ').next());
    words.into_iter().flat_map(|words| words.split(',')).filter_map(|word| word.parse().ok()).collect()
}

/// The body of a descriptor's entry, signed by its owner.
pub(crate) fn sign(descriptor: &Descriptor) -> Vec<u8> {
    sign_by(OWNER, descriptor)
}

/// The same, signed by anybody.
pub(crate) fn sign_by(seed: u8, descriptor: &Descriptor) -> Vec<u8> {
    make::sign_descriptor(&[&owner(seed)], &descriptor.to_json(), CREATED, &[0; 32]).expect("a body")
}

/// The body of an erasure's entry, signed by the owner.
pub(crate) fn erase(erasure: &Erasure) -> Vec<u8> {
    erase_by(OWNER, erasure)
}

/// The same, signed by anybody.
pub(crate) fn erase_by(seed: u8, erasure: &Erasure) -> Vec<u8> {
    let json = erasure.to_json().expect("JSON");
    make::sign_descriptor(&[&owner(seed)], &json, CREATED, &[0; 32]).expect("a body")
}

/// The descriptor that an entry puts in force, if any, without the checks that the mirror makes.
pub(crate) fn read(body: &[u8], previous: Option<&Descriptor>) -> Option<Descriptor> {
    let Ok(Body::Descriptor(signed)) = body::parse(body) else { return None };
    let read: Descriptor = serde_json::from_slice(&signed.json).ok()?;
    (read.version == previous.map_or(1, |previous| previous.version + 1)).then_some(read)
}
