//! The subjects of statements: a key with a name, a piece of software, a group.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::identity::{IdentityId, Kind, unnamed};
use ics_core::openpgp::key::PublicKey;
use ics_core::statement::{self, Body, ClaimsError, Subject};
use sequoia_openpgp::PacketPile;
use sequoia_openpgp::packet::Packet;
use sequoia_openpgp::parse::Parse as _;
use sequoia_openpgp::serialize::MarshalInto as _;
use sha2::{Digest as _, Sha256};

use crate::keys;

/// The size limit of a file with a public key, in bytes: the largest certificate that any domain accepts, in armor.
const KEY_FILE_BYTES: usize = 2 * 1024 * 1024;
/// How many bytes are hashed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The subject of a statement, with everything that a signature over it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A thing with a key.
    Key(Box<KeyThing>),
    /// Software, or a group.
    Document(Subject),
}

/// A thing with a key, and the User ID that is certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyThing {
    /// Its key.
    pub key: PublicKey,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its title.
    pub user_id: String,
    /// The thing's own signature over key and User ID, as a whole packet, if it has made one.
    pub self_signature: Option<Vec<u8>>,
}

/// The public key of a thing as given: bare, or with a User ID that the thing itself has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenKey {
    /// The key.
    pub key: PublicKey,
    /// The User ID, and the signature over it.
    pub certified: Option<(String, Vec<u8>)>,
}

/// Why a text or a file does not yield a thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThingError {
    /// It is an X.509 certificate; only its key is needed.
    #[error("this is an X.509 certificate: give its public key, from `openssl x509 -pubkey -noout -in FILE`")]
    X509,
    /// It is a secret, not a public key.
    #[error("this is a secret key: give the public one")]
    Secret,
    /// It has none of the accepted formats.
    #[error("this is not a public key (PEM or DER SubjectPublicKeyInfo, or an OpenPGP certificate): {0}")]
    Form(String),
    /// The body of an entry is about something other than what was asked for.
    #[error("the entry is not about {0}")]
    Other(String),
    /// The subject is malformed.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

impl GivenKey {
    /// Reads a file with a public key.
    ///
    /// # Errors
    /// Says what is wrong with the file or the key.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = keys::file::read_secret(path, KEY_FILE_BYTES).map_err(|e| e.to_string())?;
        Self::parse(&bytes).map_err(|e| e.to_string())
    }

    /// Parses a public key: PEM or DER of a SubjectPublicKeyInfo (the DER also in base64), or an OpenPGP certificate,
    /// armored or binary.
    ///
    /// # Errors
    /// When it is none of these, or a key that is not accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ThingError> {
        let form = |reason: String| ThingError::Form(reason);
        let text = core::str::from_utf8(bytes).map(str::trim).ok();
        let bare = |key: PublicKey| Self { key, certified: None };
        match text {
            Some(pem) if pem.contains("-----BEGIN PUBLIC KEY-----") => {
                PublicKey::from_spki_pem(pem).map(bare).map_err(|e| form(e.to_string()))
            }
            Some(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Err(ThingError::X509),
            Some(pem) if pem.contains("PRIVATE KEY") => Err(ThingError::Secret),
            Some(armor) if armor.contains("-----BEGIN PGP ") => Self::from_certificate(bytes),
            Some(base64) if STANDARD.decode(base64).is_ok() => {
                let der = STANDARD.decode(base64).map_err(|e| form(e.to_string()))?;
                PublicKey::from_spki_der(&der).map(bare).map_err(|e| form(e.to_string()))
            }
            // A SEQUENCE begins every SubjectPublicKeyInfo and no OpenPGP packet.
            _ if bytes.first() == Some(&0x30) => {
                PublicKey::from_spki_der(bytes).map(bare).map_err(|e| form(e.to_string()))
            }
            _ => Self::from_certificate(bytes),
        }
    }

    fn from_certificate(bytes: &[u8]) -> Result<Self, ThingError> {
        let form = |reason: String| ThingError::Form(reason);
        let canonical = keys::canonical(bytes).map_err(|e| form(e.to_string()))?;
        let key = keys::primary_key(&canonical).map_err(|e| form(e.to_string()))?;
        Ok(Self { key, certified: self_certification(&canonical).map_err(form)? })
    }
}

/// The first User ID of a canonical certificate or statement and the first signature after it, as whole packets.
fn self_certification(body: &[u8]) -> Result<Option<(String, Vec<u8>)>, String> {
    let pile = PacketPile::from_bytes(body).map_err(|e| e.to_string())?;
    let mut packets = pile.into_children().skip_while(|packet| !matches!(packet, Packet::UserID(_)));
    let (Some(Packet::UserID(user_id)), Some(signature @ Packet::Signature(_))) = (packets.next(), packets.next())
    else {
        return Ok(None);
    };
    let user_id = String::from_utf8(user_id.value().to_vec()).map_err(|e| e.to_string())?;
    Ok(Some((user_id, signature.to_vec().map_err(|e| e.to_string())?)))
}

impl KeyThing {
    /// The thing without its title, for statements that are never erased: otherwise the name could never be erased.
    #[must_use]
    pub fn unnamed(self) -> Self {
        Self { user_id: unnamed(self.kind, &self.key.fingerprint()), self_signature: None, ..self }
    }
}

impl Thing {
    /// The subject of an entry's body; without a name if the statement is never erased.
    ///
    /// # Errors
    /// When it is not a statement.
    pub fn of_statement(body: &[u8]) -> Result<Self, ThingError> {
        let parsed = statement::parse(body).map_err(|e| ThingError::Form(e.to_string()))?;
        let Body::Statement(statement) = parsed else {
            return Err(ThingError::Other("an identity".to_owned()));
        };
        let Subject::Key { kind, user_id, .. } = statement.subject() else {
            return Ok(Self::Document(statement.subject().clone()));
        };
        let form = |e: String| ThingError::Form(e);
        let key = keys::primary_key(body).map_err(|e| form(e.to_string()))?;
        // If there are two signatures, the first is the thing's own.
        let signatures = PacketPile::from_bytes(body).map_err(|e| form(e.to_string()))?;
        let count = signatures.children().filter(|packet| matches!(packet, Packet::Signature(_))).count();
        let own = if count > 1 { self_certification(body).map_err(form)? } else { None };
        let self_signature = own.map(|(_, signature)| signature);
        let thing = KeyThing { key, kind: *kind, user_id: user_id.clone(), self_signature };
        Ok(Self::Key(Box::new(if statement.claims().act.stays() { thing.unnamed() } else { thing })))
    }

    /// Its id.
    ///
    /// # Errors
    /// When the subject is malformed.
    pub fn id(&self) -> Result<IdentityId, ClaimsError> {
        match self {
            Self::Key(thing) => Ok(IdentityId::Key(thing.key.fingerprint())),
            Self::Document(subject) => subject.id(),
        }
    }

    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Key(thing) => thing.kind,
            Self::Document(subject) => subject.kind(),
        }
    }

    /// Its title, preceded by its kind unless the title begins with it.
    #[must_use]
    pub fn called(&self) -> String {
        called(self.kind(), &self.title())
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Key(thing) => thing.user_id.clone(),
            Self::Document(Subject::Software(software)) => format!("{} {}", software.name, software.version),
            Self::Document(Subject::Group(group)) => group.name.clone(),
            Self::Document(Subject::Key { user_id, .. }) => user_id.clone(),
        }
    }
}

/// A title preceded by the kind, unless it begins with it.
#[must_use]
pub fn called(kind: Kind, title: &str) -> String {
    let says_so = title.to_lowercase().starts_with(kind.as_str());
    if says_so { title.to_owned() } else { format!("{kind} {title}") }
}

/// The SHA-256 of everything that a reader returns.
///
/// # Errors
/// The reader's error.
pub fn sha256(mut reader: impl Read) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(chunk.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPKI: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAnu+Sz94Qo2S/GmfarT6xaDBoPU0Fm3g4+R/rMouBu4E=
-----END PUBLIC KEY-----
";

    #[test]
    fn every_form_of_a_bare_key_is_one_key() {
        let base64 = "MCowBQYDK2VwAyEAnu+Sz94Qo2S/GmfarT6xaDBoPU0Fm3g4+R/rMouBu4E=";
        let der = STANDARD.decode(base64).expect("base64");
        let pem = GivenKey::parse(SPKI.as_bytes()).expect("PEM");
        assert_eq!(pem.certified, None);
        assert_eq!(GivenKey::parse(&der).expect("DER"), pem);
        assert_eq!(GivenKey::parse(format!("{base64}\n").as_bytes()).expect("base64 of DER"), pem);
    }

    #[test]
    fn refuses_what_is_no_public_key() {
        for (text, expected) in [
            ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", ThingError::X509),
            ("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", ThingError::Secret),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n", ThingError::Secret),
        ] {
            assert_eq!(GivenKey::parse(text.as_bytes()), Err(expected));
        }
        for bytes in [&b""[..], b"\x30\x00", b"nothing", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"] {
            assert!(matches!(GivenKey::parse(bytes), Err(ThingError::Form(_))), "{bytes:?}");
        }
    }

    #[test]
    fn digests_of_what_is_read() {
        let long = vec![b'a'; CHUNK_BYTES + 1];
        assert_eq!(sha256(long.as_slice()).expect("read"), <[u8; 32]>::from(Sha256::digest(&long)));
    }
}
