//! The things in the story: pumps with keys of their own, their lots, a piece of firmware, sensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ics_core::identity::Kind;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::make::self_sign;
use ics_core::statement::{Claims, Group, Software, Subject};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Attribute;
use p256::pkcs8::EncodePublicKey as _;

use super::error::{DemoError, Result, unexpected};
use crate::client::thing::{KeyThing, Thing, sha256};

/// The model of all pumps.
pub(super) const MODEL: &str = "P7";
/// The lots, and how many pumps are in each.
pub(super) const LOTS: [(&str, usize); 2] = [("2026-07", 4), ("2026-08", 2)];

/// An infusion pump as it leaves the factory.
pub(super) struct Pump {
    pub(super) thing: Thing,
    /// Its secret key, unless that is in a secure element.
    pub(super) key: Option<SigningKey>,
    /// `P7-0001`.
    pub(super) serial: String,
    pub(super) lot: &'static str,
}

/// The pumps of all lots. The last one only has a P-256 key in a secure element, which makes no OpenPGP signatures; the
/// others sign their own names.
pub(super) fn pumps(at: Timestamp) -> Result<Vec<Pump>> {
    let lots = LOTS.iter().flat_map(|&(lot, count)| core::iter::repeat_n(lot, count));
    let count: usize = LOTS.iter().map(|(_, count)| count).sum();
    lots.enumerate()
        .map(|(index, lot)| {
            let serial = format!("{MODEL}-{:04}", index + 1);
            let user_id = format!("Acme infusion pump {serial}");
            let (thing, key) = if index + 1 == count {
                (secure_element(user_id)?, None)
            } else {
                let (thing, key) = with_own_key(user_id, at)?;
                (thing, Some(key))
            };
            Ok(Pump { thing, key, serial, lot })
        })
        .collect()
}

impl Pump {
    /// The id of its identity.
    pub(super) fn id(&self) -> Result<String> {
        id(&self.thing)
    }

    /// The name by which people look it up.
    pub(super) fn name(&self) -> String {
        format!("serial:{}", self.serial)
    }

    /// Its names and attributes, as its manufacturer gives them.
    pub(super) fn describe(&self, claims: Claims) -> Result<Claims> {
        let names = [format!("urn:dev:os:32473-{}", self.serial), self.name()];
        Ok(Claims {
            names: names.iter().map(|name| name.parse()).collect::<core::result::Result<_, _>>().map_err(unexpected)?,
            attributes: BTreeMap::from([
                (Attribute::Manufacturer, "Acme Pumps".to_owned()),
                (Attribute::Model, MODEL.to_owned()),
                (Attribute::Lot, self.lot.to_owned()),
            ]),
            ..claims
        })
    }
}

/// A device with an Ed25519 key that certifies its own name; also returns the key.
fn with_own_key(user_id: String, at: Timestamp) -> Result<(Thing, SigningKey)> {
    let secret = SigningKey::from_bytes(&random()?);
    let signer = Ed25519Signer::from_seed(&secret.to_bytes(), 4, at).map_err(unexpected)?;
    let self_signature = Some(self_sign(&signer, &user_id, at, &random()?).map_err(unexpected)?);
    let key = signer.public_key().clone();
    Ok((Thing::Key(Box::new(KeyThing { key, kind: Kind::Device, user_id, self_signature })), secret))
}

/// A device of which only a SubjectPublicKeyInfo is known.
fn secure_element(user_id: String) -> Result<Thing> {
    let secret = p256::SecretKey::from_slice(&random::<32>()?).map_err(unexpected)?;
    let spki = secret.public_key().to_public_key_der().map_err(unexpected)?;
    let key = PublicKey::from_spki_der(spki.as_bytes()).map_err(unexpected)?;
    Ok(Thing::Key(Box::new(KeyThing { key, kind: Kind::Device, user_id, self_signature: None })))
}

/// A sensor without names, as an integrator introduces things that no manufacturer has introduced.
pub(super) fn sensor(number: usize, at: Timestamp) -> Result<Thing> {
    with_own_key(format!("MediServe room sensor {number:03}"), at).map(|(thing, _)| thing)
}

/// A group of all pumps of a lot, including any made later.
pub(super) fn lot(lot: &str) -> Thing {
    let attributes = BTreeMap::from([(Attribute::Model, MODEL.to_owned()), (Attribute::Lot, lot.to_owned())]);
    Thing::Document(Subject::Group(Group { kind: Kind::Group, name: format!("{MODEL} pumps, lot {lot}"), attributes }))
}

/// Writes a firmware file into a directory; its identity is the SHA-256 of its bytes.
pub(super) fn firmware(directory: &Path) -> Result<(PathBuf, Thing)> {
    let path = directory.join("p7-firmware-4.2.0.bin");
    let mut bytes = b"P7 infusion pump firmware 4.2.0\n".to_vec();
    for _ in 0..1024 {
        bytes.extend_from_slice(&random::<32>()?);
    }
    fs::write(&path, &bytes).map_err(|source| DemoError::File { path: path.clone(), source })?;
    let digest = sha256(bytes.as_slice()).map_err(unexpected)?;
    let software = Software {
        kind: Kind::Software,
        name: "p7-firmware".to_owned(),
        version: "4.2.0".to_owned(),
        digests: BTreeMap::from([("sha256".to_owned(), data_encoding::HEXLOWER.encode(&digest))]),
    };
    Ok((path, Thing::Document(Subject::Software(software))))
}

/// The id of a thing's identity.
pub(super) fn id(thing: &Thing) -> Result<String> {
    Ok(thing.id().map_err(unexpected)?.to_string())
}

pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| DemoError::System(error.to_string()))?;
    Ok(bytes)
}
