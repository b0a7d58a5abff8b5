//! The manufacturer's authorities: a root that is never on a disk, and an issuer whose key is in the manufacturer's
//! node.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{CertificateProfile, Certificates, Descriptor, ISSUER_ROLE, Issuer, RoleSpec};
use ics_core::identity::Kind;
use ics_core::openpgp::signer::{KeyPairSigner, Signer};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{CertificateUse, KeyType, Requirement};
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{Key4, UnspecifiedRole};
use sequoia_openpgp::types::Curve;

use super::cast::Actor;
use super::error::{DemoError, Result, unexpected};
use super::props::random;
use crate::client::descriptor::{self, DescriptorFile};
use crate::config::FILE_NAME;
use crate::keys::{Algorithm, KeyStore, KeyVersion};
use crate::x509::{Authority, Constraints, NewAuthority, SerialNumber, ca_request, crl_url, issue_authority};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// The key in the manufacturer's home directory.
const KEY: &str = "issuer";
/// The profile for the pumps' certificates.
pub(super) const PROFILE: &str = "ldevid";

/// What a relying party knows about the authorities.
pub(super) struct Authorities {
    /// The root certificate, DER.
    pub(super) root: Vec<u8>,
    /// The address of the issuer's revocation list.
    pub(super) list: String,
}

/// Sets up the manufacturer's domain as an issuer before its node first runs: its descriptor is made anew.
pub(super) fn found(actor: &mut Actor, at: Timestamp) -> Result<Authorities> {
    let keys = KeyStore::new(&actor.home);
    let p256 = (Algorithm::P256, KeyVersion::V4);
    let key = keys.make(&KEY.parse()?, "Acme Pumps Issuing", p256, &actor.passphrase, at)?;
    let issuer = key.unlock(&actor.passphrase)?;
    let root = root_key()?;
    let (root_der, issuer_der) = certificates(&root, issuer.primary()?, at)?;
    let named = Issuer { certificate: STANDARD.encode(&issuer_der), chain: vec![STANDARD.encode(&root_der)] };
    let authority = Authority::read(&named).map_err(unexpected)?;

    let mut descriptor = actor.signer.descriptor.clone();
    let url = format!("http://{}/x509/{}", actor.address, descriptor.domain);
    let rules = rules(url, named)?;
    let list = crl_url(&rules, &authority, 0);
    let spec = RoleSpec {
        signers: [issuer.primary()?.public_key().fingerprint()].into(),
        names: ["serial:*", "spki:*", "cert:*"].map(str::to_owned).into(),
    };
    descriptor.roles.insert(ISSUER_ROLE.parse().map_err(unexpected)?, spec);
    descriptor.certificates = Some(rules);
    sign_again(actor, &keys, descriptor, at)?;
    configure(actor)?;
    Ok(Authorities { root: root_der, list })
}

/// A P-256 key that is never stored.
fn root_key() -> Result<KeyPairSigner> {
    let key = Key4::<_, UnspecifiedRole>::generate_ecc(true, Curve::NistP256).map_err(unexpected)?;
    let pair = Key::from(key).into_keypair().map_err(unexpected)?;
    KeyPairSigner::new(pair).map_err(unexpected)
}

fn certificates(root: &dyn Signer, issuer: &dyn Signer, at: Timestamp) -> Result<(Vec<u8>, Vec<u8>)> {
    let new = |name: &str, days: u64| NewAuthority {
        common_name: name.to_owned(),
        organization: Some("Acme Pumps".to_owned()),
        path_length: 0,
        constraints: Constraints::default(),
        validity: (Timestamp::from_millis(at.as_millis().saturating_sub(DAY)), at.plus_millis(days * DAY)),
        crl_url: None,
    };
    let serial = || random().map(SerialNumber::new);
    let root_der = issue_authority(root, None, None, &new("Acme Root", 7300), &serial()?).map_err(unexpected)?;
    let above = Issuer { certificate: STANDARD.encode(&root_der), chain: Vec::new() };
    let above = Authority::read(&above).map_err(unexpected)?;
    let request = ca_request(issuer, "Acme Issuing", Some("Acme Pumps")).map_err(unexpected)?;
    let issued = issue_authority(root, Some(&above), Some(&request), &new("", 1825), &serial()?);
    Ok((root_der, issued.map_err(unexpected)?))
}

/// One profile: certificates of 90 days for things in use.
fn rules(url: String, issuer: Issuer) -> Result<Certificates> {
    let profile = CertificateProfile {
        kinds: [Kind::Device].into(),
        uses: [CertificateUse::Client].into(),
        keys: [KeyType::Ed25519, KeyType::P256].into(),
        names: ["serial:*", "urn:dev:*"].map(str::to_owned).into(),
        seconds: Some(90 * DAY / 1000),
        hardware_type: None,
        requires: Requirement::Permitted,
        requesters: [].into(),
    };
    let profiles = [(PROFILE.parse().map_err(unexpected)?, profile)].into();
    Ok(Certificates { url, issuers: vec![issuer], shards: 1, answers_hold: 3600, profiles })
}

/// Signs entry 0 again: only the owner signs it, so only the owner can say that the domain issues.
fn sign_again(actor: &mut Actor, keys: &KeyStore, descriptor: Descriptor, at: Timestamp) -> Result<()> {
    let owner = keys.find("owner")?.unlock(&actor.passphrase)?;
    let file = DescriptorFile::sign_new(descriptor.clone(), &[owner.primary()?], at)?;
    file.replace(&descriptor::path(&actor.home, &descriptor.domain, descriptor.version))?;
    actor.signer.descriptor = descriptor;
    Ok(())
}

fn configure(actor: &Actor) -> Result<()> {
    let path = actor.home.join(FILE_NAME);
    let failed = |source| DemoError::File { path: path.clone(), source };
    let text = fs::read_to_string(&path).map_err(failed)?;
    let text = text.replacen("[node]", &format!("[node]\nissuers = [\"{KEY}\"]"), 1);
    fs::write(&path, text).map_err(failed)
}
