//! Descriptors, keys and requests that the tests start from.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use ics_core::descriptor::{Descriptor, NodeKey, OwnerKey, Owners, RoleSpec, Source, Template, TemplateInput};
use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::log::Hash;
use ics_core::policy::{Action, Append, Principal, Request, Resource};
use ics_core::vocabulary::{Act, Attribute, Effect, Role};
use sequoia_openpgp::packet::key::{Key4, Key6, PublicParts, UnspecifiedRole};
use sequoia_openpgp::packet::{Key, Packet};
use sequoia_openpgp::serialize::MarshalInto;

pub(crate) fn role(text: &str) -> Role {
    text.parse().expect("role")
}

pub(crate) fn signer(byte: u8) -> Fingerprint {
    Fingerprint::V4([byte; 20])
}

fn public(seed: u8) -> [u8; 32] {
    SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()
}

pub(crate) fn node(name: &str, seed: u8) -> NodeKey {
    NodeKey { name: name.to_owned(), key: BASE64.encode(&public(seed)) }
}

fn owner_key(seed: u8, key: Key<PublicParts, UnspecifiedRole>) -> OwnerKey {
    let fingerprint = Fingerprint::from_bytes(key.fingerprint().as_bytes()).expect("version 4 or 6");
    let packet = Packet::from(key.parts_into_public().role_into_primary()).to_vec().expect("packet");
    OwnerKey { name: format!("Owner {seed}"), fingerprint, key: BASE64.encode(&packet) }
}

pub(crate) fn owner(seed: u8) -> OwnerKey {
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_514_764_800);
    let key: Key4<PublicParts, UnspecifiedRole> = Key4::import_public_ed25519(&public(seed), created).expect("key");
    owner_key(seed, key.into())
}

pub(crate) fn owner_v6(seed: u8) -> OwnerKey {
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_514_764_800);
    let key: Key6<PublicParts, UnspecifiedRole> = Key6::import_public_ed25519(&public(seed), created).expect("key");
    owner_key(seed, key.into())
}

pub(crate) fn fingerprints(seeds: &[u8]) -> BTreeSet<Fingerprint> {
    seeds.iter().map(|seed| owner(*seed).fingerprint).collect()
}

/// Two of three owners; in each role of the template one signer, whose fingerprint is the role's place in it from 1 on.
pub(crate) fn input(template: Template) -> TemplateInput {
    let spec = |(place, name): (u8, &&str)| {
        let names = BTreeSet::from(["urn:dev:os:32473-*".to_owned(), "serial:*".to_owned()]);
        (role(name), RoleSpec { signers: BTreeSet::from([signer(place)]), names })
    };
    TemplateInput {
        domain: "devices.acme.example".parse().expect("domain"),
        description: "The devices of Acme".to_owned(),
        owners: Owners { threshold: 2, keys: vec![owner(1), owner(2), owner(3)] },
        home: node("ics.acme.example", 9),
        roles: (1..).zip(template.roles()).map(spec).collect(),
        sources: vec![Source {
            domain: "code.soft.example".parse().expect("domain"),
            entry0: Hash([0xab; 32]),
            home: node("ics.soft.example", 8),
        }],
    }
}

pub(crate) fn filled(template: Template) -> Descriptor {
    template.fill(input(template)).expect("a filled template is valid")
}

pub(crate) fn thing(kind: Kind) -> Resource {
    let id = match kind {
        Kind::Software => IdentityId::Software([7; 32]),
        Kind::Group => IdentityId::Group([7; 32]),
        _ => IdentityId::Key(signer(0x77)),
    };
    Resource::identity(id, kind, BTreeMap::from([(Attribute::Model, "T1000".to_owned())]))
}

/// Somebody who holds these roles.
pub(crate) fn party(roles: &[&str]) -> Principal {
    Principal { fingerprint: Some(signer(1)), roles: roles.iter().map(|text| role(text)).collect(), node: None }
}

pub(crate) fn says(act: Act, claimed: &str) -> Append {
    Append {
        act,
        role: role(claimed),
        status: None,
        effect: None,
        label: None,
        grants: None,
        source: None,
        granted_elsewhere: false,
        lifts: false,
    }
}

pub(crate) fn status(claimed: &str, status: &str, effect: Effect) -> Append {
    let status = Some(status.parse().expect("status"));
    Append { status, effect: Some(effect), ..says(Act::Status, claimed) }
}

pub(crate) fn grant(claimed: &str, grants: &str) -> Append {
    Append { grants: Some(role(grants)), ..says(Act::Grant, claimed) }
}

pub(crate) fn label(claimed: &str, label: &str) -> Append {
    Append { label: Some(label.to_owned()), ..says(Act::Label, claimed) }
}

/// Somebody who holds just the role that they claim.
pub(crate) fn append(append: Append, kind: Kind) -> Request {
    let principal = party(&[append.role.as_str()]);
    Request { principal, action: Action::Append(append), resource: thing(kind) }
}
