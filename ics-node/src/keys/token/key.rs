//! Finding, reading and making keys in tokens.

use cryptoki::error::Error;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ics_core::openpgp::key::PublicKey;
use ics_core::time::Timestamp;
use sequoia_openpgp::crypto::mpi::{MPI, PublicKey as Numbers};
use sequoia_openpgp::packet::key::{Key4, Key6, PrimaryRole, PublicParts};
use sequoia_openpgp::packet::{Key, Packet};
use sequoia_openpgp::serialize::MarshalInto as _;
use sequoia_openpgp::types::{Curve, PublicKeyAlgorithm};

use super::module::Token;
use super::{TokenError, TokenUri};
use crate::keys::secret::system_time;
use crate::keys::{Algorithm, KeyVersion};

/// Object identifiers of curves in DER (RFC 5480, 2.1.1.1; RFC 8410, 3).
const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The name of the curve in place of the identifier, which PKCS#11 allows (version 3.0, 2.3.10): a PrintableString.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";
/// The usual public exponent of RSA keys.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];
/// Random bytes of a new key's id.
const ID_BYTES: usize = 16;
/// How many keys of one token are listed.
const LISTED: usize = 256;

/// The numbers of a public key, for the kinds that can sign here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Public {
    Ed25519([u8; 32]),
    /// Uncompressed: 4, x, y.
    P256(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

/// The public half of a key in a token, and its place.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The URI that names it.
    pub uri: TokenUri,
    /// The algorithm, in a word.
    pub algorithm: String,
}

impl Public {
    /// Converts it to an OpenPGP key. A token stores no creation time, which is part of the fingerprint and therefore
    /// an argument.
    pub(super) fn to_key(&self, version: KeyVersion, created: Timestamp) -> Result<PublicKey, String> {
        let (algorithm, numbers) = match self {
            Self::Ed25519(point) if version == KeyVersion::V6 => {
                (PublicKeyAlgorithm::Ed25519, Numbers::Ed25519 { a: *point })
            }
            Self::Ed25519(point) => {
                let q = MPI::new(&[&[0x40], point.as_slice()].concat());
                (PublicKeyAlgorithm::EdDSA, Numbers::EdDSA { curve: Curve::Ed25519, q })
            }
            Self::P256(point) => {
                (PublicKeyAlgorithm::ECDSA, Numbers::ECDSA { curve: Curve::NistP256, q: MPI::new(point) })
            }
            Self::Rsa { n, e } => (PublicKeyAlgorithm::RSAEncryptSign, Numbers::RSA { n: MPI::new(n), e: MPI::new(e) }),
        };
        let time = system_time(created);
        let key: Key<PublicParts, PrimaryRole> = match version {
            KeyVersion::V4 => Key4::new(time, algorithm, numbers).map(Key::from),
            KeyVersion::V6 => Key6::new(time, algorithm, numbers).map(Key::from),
        }
        .map_err(|e| e.to_string())?;
        let packet = Packet::PublicKey(key).to_vec().map_err(|e| e.to_string())?;
        PublicKey::from_packet(&packet).map_err(|e| e.to_string())
    }

    /// The mechanism that signs with such a key.
    pub(super) const fn mechanism(&self) -> (MechanismType, &'static str) {
        match self {
            Self::Ed25519(_) => (MechanismType::EDDSA, "CKM_EDDSA"),
            Self::P256(_) => (MechanismType::ECDSA, "CKM_ECDSA"),
            Self::Rsa { .. } => (MechanismType::RSA_PKCS, "CKM_RSA_PKCS"),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Ed25519(_) => "Ed25519".to_owned(),
            Self::P256(_) => "ECDSA P-256".to_owned(),
            Self::Rsa { n, .. } => format!("RSA {}", n.len() * 8),
        }
    }
}

impl Token {
    /// The algorithms that the token can sign with.
    ///
    /// # Errors
    /// When the token fails.
    pub fn algorithms(&self) -> Result<Vec<&'static str>, TokenError> {
        let all =
            [("Ed25519", MechanismType::EDDSA), ("P-256", MechanismType::ECDSA), ("RSA", MechanismType::RSA_PKCS)];
        let has = |(name, mechanism)| Ok(self.has(mechanism)?.then_some(name));
        all.into_iter().filter_map(|one| has(one).transpose()).collect()
    }

    /// The keys whose public half can be seen without a PIN.
    ///
    /// # Errors
    /// When the token fails.
    pub fn keys(&self) -> Result<Vec<Listed>, TokenError> {
        let session = self.look(false)?;
        let handles = self.find(&session, &[Attribute::Class(ObjectClass::PUBLIC_KEY)])?;
        let list = |handle| {
            let uri = self.uri_of(&session, handle)?;
            let algorithm = match self.public(&session, handle, &uri) {
                Ok(public) => public.words(),
                Err(TokenError::Kind { found, .. }) => format!("{found} (not used here)"),
                Err(other) => return Err(other),
            };
            Ok(Listed { uri, algorithm })
        };
        handles.into_iter().take(LISTED).map(list).collect()
    }

    /// Finds the one private key that a URI names; returns it, its own URI, and its public half.
    pub(super) fn key(
        &self,
        session: &Session,
        wanted: &TokenUri,
    ) -> Result<(ObjectHandle, TokenUri, Public), TokenError> {
        let handles = self.find(session, &template(ObjectClass::PRIVATE_KEY, wanted))?;
        let handle = match handles.as_slice() {
            [one] => *one,
            [] => return Err(TokenError::NoKey { token: self.label(), wanted: wanted.to_string() }),
            several => {
                let uris = several.iter().map(|handle| self.uri_of(session, *handle).map(|uri| uri.to_string()));
                return Err(TokenError::ManyKeys { wanted: wanted.to_string(), keys: uris.collect::<Result<_, _>>()? });
            }
        };
        let uri = self.uri_of(session, handle)?;
        let asks = self.attributes(session, handle, &[AttributeType::AlwaysAuthenticate])?;
        if asks.contains(&Attribute::AlwaysAuthenticate(true)) {
            return Err(TokenError::AlwaysAuthenticate(uri.to_string()));
        }
        let public = self.public_half(session, handle, &uri)?;
        let (mechanism, name) = public.mechanism();
        self.require(mechanism, name, || format!("sign with {}", public.words()))?;
        Ok((handle, uri, public))
    }

    /// Makes a key pair whose secret never leaves the token.
    pub(super) fn make(&self, session: &Session, label: &str, algorithm: Algorithm) -> Result<TokenUri, TokenError> {
        let mut id = vec![0; ID_BYTES];
        getrandom::fill(&mut id).map_err(|e| TokenError::Failed {
            token: self.label(),
            purpose: "name the key",
            reason: e.to_string(),
        })?;
        let (mechanism, name, kinds) = match algorithm {
            Algorithm::Ed25519 => (
                Mechanism::EccEdwardsKeyPairGen,
                "CKM_EC_EDWARDS_KEY_PAIR_GEN",
                vec![vec![Attribute::EcParams(ED25519_OID.to_vec())], vec![Attribute::EcParams(ED25519_NAME.to_vec())]],
            ),
            Algorithm::P256 => {
                (Mechanism::EccKeyPairGen, "CKM_EC_KEY_PAIR_GEN", vec![vec![Attribute::EcParams(P256_OID.to_vec())]])
            }
            Algorithm::Rsa3072 => (
                Mechanism::RsaPkcsKeyPairGen,
                "CKM_RSA_PKCS_KEY_PAIR_GEN",
                vec![vec![Attribute::ModulusBits(3072.into()), Attribute::PublicExponent(RSA_EXPONENT.to_vec())]],
            ),
        };
        self.require(mechanism.mechanism_type(), name, || format!("make a key ({algorithm})"))?;
        let named = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(id.clone())];
        let private = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let private = [&named[..], &private[..]].concat();
        // Tokens differ in the form of the curve's name that they accept.
        let mut refused = None;
        for kind in kinds {
            let public = [&named[..], &kind[..], &[Attribute::Verify(true), Attribute::Private(false)]].concat();
            match session.generate_key_pair(&mechanism, &public, &private) {
                Ok(_) => {
                    return Ok(TokenUri { object: Some(label.to_owned()), id: Some(id), ..self.uri() });
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(self.failed("make a key", &refused.unwrap_or(Error::NotSupported)))
    }

    fn require(
        &self,
        mechanism: MechanismType,
        name: &'static str,
        purpose: impl Fn() -> String,
    ) -> Result<(), TokenError> {
        if self.has(mechanism)? {
            return Ok(());
        }
        Err(TokenError::Mechanism { token: self.label(), purpose: purpose(), mechanism: name })
    }

    /// The public half of a private key: RSA keys have their numbers in both objects, curves only in the public one.
    fn public_half(&self, session: &Session, private: ObjectHandle, uri: &TokenUri) -> Result<Public, TokenError> {
        let beside = TokenUri { id: uri.id.clone(), ..TokenUri::default() };
        let by_id = uri
            .id
            .as_ref()
            .map_or(Ok(Vec::new()), |_| self.find(session, &template(ObjectClass::PUBLIC_KEY, &beside)))?;
        match by_id.first() {
            Some(public) => self.public(session, *public, uri),
            None => self.public(session, private, uri),
        }
    }

    fn public(&self, session: &Session, handle: ObjectHandle, uri: &TokenUri) -> Result<Public, TokenError> {
        use AttributeType as A;
        let wanted = [A::KeyType, A::EcParams, A::EcPoint, A::Modulus, A::PublicExponent];
        let found = self.attributes(session, handle, &wanted)?;
        let (mut kind, mut curve, mut point, mut n, mut e) = (None, Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for attribute in found {
            match attribute {
                Attribute::KeyType(value) => kind = Some(value),
                Attribute::EcParams(value) => curve = value,
                Attribute::EcPoint(value) => point = value,
                Attribute::Modulus(value) => n = value,
                Attribute::PublicExponent(value) => e = value,
                _ => {}
            }
        }
        let no_public = || TokenError::NoPublic(uri.to_string());
        match kind {
            Some(KeyType::RSA) if n.is_empty() || e.is_empty() => Err(no_public()),
            Some(KeyType::RSA) => Ok(Public::Rsa { n, e }),
            Some(KeyType::EC | KeyType::EC_EDWARDS) if point.is_empty() => Err(no_public()),
            Some(KeyType::EC) if curve == P256_OID => unwrapped(&point, 65).map(Public::P256).ok_or_else(no_public),
            Some(KeyType::EC_EDWARDS) if curve == ED25519_OID || curve == ED25519_NAME => {
                let point = unwrapped(&point, 32).and_then(|point| point.try_into().ok());
                point.map(Public::Ed25519).ok_or_else(no_public)
            }
            other => {
                let found = other.map_or_else(|| "of no kind".to_owned(), |kind| format!("of the kind {kind}"));
                let found = if curve.is_empty() { found } else { "on another curve".to_owned() };
                Err(TokenError::Kind { key: uri.to_string(), found })
            }
        }
    }

    fn uri_of(&self, session: &Session, handle: ObjectHandle) -> Result<TokenUri, TokenError> {
        let mut uri = self.uri();
        for attribute in self.attributes(session, handle, &[AttributeType::Label, AttributeType::Id])? {
            match attribute {
                Attribute::Label(label) if !label.is_empty() => uri.object = String::from_utf8(label).ok(),
                Attribute::Id(id) if !id.is_empty() => uri.id = Some(id),
                _ => {}
            }
        }
        Ok(uri)
    }

    fn find(&self, session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, TokenError> {
        session.find_objects(template).map_err(|e| self.failed("look for keys", &e))
    }

    fn attributes(
        &self,
        session: &Session,
        handle: ObjectHandle,
        wanted: &[AttributeType],
    ) -> Result<Vec<Attribute>, TokenError> {
        session.get_attributes(handle, wanted).map_err(|e| self.failed("describe a key", &e))
    }
}

fn template(class: ObjectClass, uri: &TokenUri) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    template
}

/// Unwraps a point: some modules wrap it into a DER OCTET STRING or BIT STRING, others do not.
fn unwrapped(point: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let rest = match point {
        whole if whole.len() == bytes => whole,
        [0x04, length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        [0x03, length, 0, rest @ ..] if usize::from(*length) == rest.len() + 1 => rest,
        _ => return None,
    };
    (rest.len() == bytes).then(|| rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_with_and_without_der() {
        let point = [7; 32];
        for form in [point.to_vec(), [&[0x04, 32][..], &point].concat(), [&[0x03, 33, 0][..], &point].concat()] {
            assert_eq!(unwrapped(&form, 32), Some(point.to_vec()));
        }
        for form in [vec![], vec![4], vec![4, 31, 0], [&[0x04, 33][..], &point].concat(), vec![7; 31]] {
            assert_eq!(unwrapped(&form, 32), None);
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_the_bare_key() {
        use ics_core::openpgp::spki::BARE_KEY_CREATED;
        let point = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        let key = Public::Ed25519(point).to_key(KeyVersion::V4, BARE_KEY_CREATED).expect("accepted");
        let bare = PublicKey::ed25519(4, BARE_KEY_CREATED, &point).expect("accepted");
        assert_eq!(key.fingerprint(), bare.fingerprint());
        let modern = Public::Ed25519(point).to_key(KeyVersion::V6, BARE_KEY_CREATED).expect("accepted");
        assert_eq!(modern, PublicKey::ed25519(6, BARE_KEY_CREATED, &point).expect("accepted"));
    }
}
