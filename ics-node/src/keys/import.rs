//! Imports secret keys that were made elsewhere: by gpg or sq, or as PKCS#8 by a TLS toolkit.

use std::path::Path;

use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::spki::BARE_KEY_CREATED;
use ics_core::statement::BodyError;
use ics_core::time::Timestamp;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use sequoia_openpgp::packet::key::{KeyRole, SecretParts};
use sequoia_openpgp::packet::{Key, Packet};
use zeroize::Zeroizing;

use super::secret::{self, SecretKey};
use super::store::{FILE_BYTES, KeyName};
use super::transferable::Canonical;
use super::{KeyError, KeyStore, KeyVersion, Passphrase, StoredKey, file, transferable};

/// A key from elsewhere, read and recognised.
pub struct ImportSource {
    content: Content,
}

enum Content {
    /// A transferable secret key, its secrets encrypted or not.
    OpenPgp(Vec<Packet>),
    /// A certificate without secrets, in the canonical form of the log: news about a key that is here.
    Certificate(Canonical),
    /// A single key in PKCS#8.
    Pkcs8(Box<SecretKey>),
}

impl ImportSource {
    /// Reads a file: an OpenPGP secret key as `gpg --export-secret-keys` or `sq key export` write it, armored or
    /// binary, or PEM of PKCS#8 with an Ed25519, P-256 or RSA key; for a key that is already here, also its certificate
    /// alone.
    ///
    /// # Errors
    /// When it cannot be read, or has another form; the error names the form and how to convert it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes =
            file::read_secret(path, FILE_BYTES).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        match core::str::from_utf8(bytes).ok().and_then(pem_label) {
            None => openpgp(bytes),
            Some(label) if label.starts_with("PGP ") => openpgp(bytes),
            Some("PRIVATE KEY") => {
                let text = core::str::from_utf8(bytes).map_err(|e| refused("a PKCS#8 key", e))?;
                pkcs8(text).map(|key| Self { content: Content::Pkcs8(Box::new(key)) })
            }
            Some(label) => Err(unsupported(label)),
        }
    }

    /// Whether a passphrase is needed to read its secrets.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match &self.content {
            Content::OpenPgp(packets) => packets.iter().any(|packet| match packet {
                Packet::SecretKey(key) => !key.has_unencrypted_secret(),
                _ => false,
            }),
            Content::Certificate(_) | Content::Pkcs8(_) => false,
        }
    }

    /// Its certificate in the canonical form of the log; `None` if it has none.
    fn certificate(&self) -> Result<Option<Canonical>, KeyError> {
        match &self.content {
            Content::OpenPgp(packets) => canonical_certificate(packets).map(Some),
            Content::Certificate(certificate) => Ok(Some(certificate.clone())),
            Content::Pkcs8(_) => Ok(None),
        }
    }

    /// The fingerprint that the key gets here: all who import a bare key get the same.
    fn fingerprint(&self) -> Result<Fingerprint, KeyError> {
        let of = |bytes: &[u8]| Certificate::parse(bytes).map(|it| it.primary()).map_err(KeyError::make);
        match &self.content {
            Content::OpenPgp(packets) => of(&canonical_certificate(packets)?.body),
            Content::Certificate(certificate) => of(&certificate.body),
            Content::Pkcs8(key) => {
                let (signer, _) = secret::signer(SecretKey::clone(key).role_into_unspecified())?;
                Ok(signer.public_key().fingerprint())
            }
        }
    }

    /// Returns a revocation of a key that is here, or of something on it, that is in the import but does not count.
    ///
    /// # Errors
    /// When its certificate is not accepted.
    pub fn not_revoked(&self, held: &StoredKey) -> Result<Option<BodyError>, KeyError> {
        let sent = self.certificate()?.unwrap_or_default();
        Ok(sent.not_revoked.into_iter().find(|it| it.leaves_standing(held.certificate())))
    }

    /// Whether it has a secret that is missing from a key that is here.
    #[must_use]
    pub fn has_more_secrets(&self, held: &StoredKey) -> bool {
        match &self.content {
            Content::OpenPgp(packets) => packets.iter().any(|packet| held.lacks_secret(packet)),
            Content::Certificate(_) | Content::Pkcs8(_) => false,
        }
    }
}

impl KeyStore {
    /// Stores a key from elsewhere, its secrets encrypted with `passphrase`; `old` decrypts them if they are encrypted
    /// now. A key without a certificate gets one with `user_id`. Its creation time is that of bare keys (2018-01-01),
    /// so that every importer gets the same fingerprint.
    ///
    /// # Errors
    /// When there is already a key of that name, `old` is wrong, or the key or its certificate is not accepted.
    pub fn import(
        &self,
        name: &KeyName,
        source: ImportSource,
        user_id: &str,
        (old, passphrase): (Option<&Passphrase>, &Passphrase),
        at: Timestamp,
    ) -> Result<StoredKey, KeyError> {
        self.refuse_existing(name)?;
        match source.content {
            Content::Pkcs8(key) => self.certify_and_add(name, *key, user_id, passphrase, at),
            Content::Certificate(_) => Err(refused("the file", "it is a public key, without its secret")),
            Content::OpenPgp(packets) => {
                let canonical = canonical_certificate(&packets)?;
                let reencrypt = |packet| reencrypted(packet, name, old, passphrase).transpose();
                let secrets = packets.into_iter().filter_map(reencrypt).collect::<Result<_, _>>()?;
                self.add(name, &transferable::with_secrets(&canonical.body, secrets)?)
            }
        }
    }

    /// Returns the key of that name, if it is the imported one and the import can add something to it.
    ///
    /// # Errors
    /// When the imported key is here under other names only, its certificate is not accepted, or the directory cannot
    /// be read.
    pub fn held(&self, name: &KeyName, source: &ImportSource) -> Result<Option<StoredKey>, KeyError> {
        let fingerprint = source.fingerprint()?;
        let mut held: Vec<StoredKey> = self.list()?;
        held.retain(|key| key.fingerprint() == fingerprint);
        match (held.iter().find(|key| key.name() == name), held.first()) {
            // A bare key contains nothing that the key made from it lacks.
            (Some(_), _) if matches!(source.content, Content::Pkcs8(_)) => Ok(None),
            (Some(key), _) => Ok(Some(key.clone())),
            (None, Some(other)) => Err(KeyError::HeldAs(other.name().to_string())),
            (None, None) => Ok(None),
        }
    }

    /// Adds to a key that is here what an import has in addition: self-signatures, User IDs, subkeys, and missing
    /// secrets, for which it takes the passphrases of [`KeyStore::import`]. `None` if there is nothing new.
    ///
    /// # Errors
    /// When a passphrase is wrong, the result is not accepted, a revocation that does not count is the only news, or
    /// the disk fails.
    pub fn extend(
        &self,
        held: &StoredKey,
        source: ImportSource,
        passphrases: Option<(Option<&Passphrase>, &Passphrase)>,
    ) -> Result<Option<StoredKey>, KeyError> {
        let (sent, not_revoked) = (source.certificate()?.unwrap_or_default(), source.not_revoked(held)?);
        let union = Certificate::union(held.certificate_bytes(), &sent.body).map_err(KeyError::make)?;
        let certificate = Certificate::parse(&union).map_err(KeyError::make)?;
        let packets = match (source.content, passphrases) {
            (Content::OpenPgp(packets), Some(_)) => packets,
            _ => Vec::new(),
        };
        let mut secrets = Vec::new();
        for packet in packets.into_iter().filter(|packet| held.lacks_secret(packet)) {
            if let Some((old, new)) = passphrases {
                secrets.extend(reencrypted(packet, held.name(), old, new)?);
            }
        }
        if held.certificate().covers(&certificate) && secrets.is_empty() {
            // Whoever imports a revocation and is told that nothing changed would believe that the key is revoked.
            return not_revoked.map_or(Ok(None), |error| Err(KeyError::NotRevoked(Box::new(error))));
        }
        self.rewrite(held, &union, secrets).map(Some)
    }
}

/// The packet with its secret encrypted with the new passphrase, if it is a signing key.
fn reencrypted(
    packet: Packet,
    name: &KeyName,
    old: Option<&Passphrase>,
    new: &Passphrase,
) -> Result<Option<Packet>, KeyError> {
    Ok(match packet {
        Packet::SecretKey(key) => Some(Packet::SecretKey(secret::encrypt(decrypted(key, name, old)?, new)?)),
        Packet::SecretSubkey(key) if key.pk_algo().for_signing() => {
            Some(Packet::SecretSubkey(secret::encrypt(decrypted(key, name, old)?, new)?))
        }
        _ => None,
    })
}

fn decrypted<R: KeyRole>(
    key: Key<SecretParts, R>,
    name: &KeyName,
    old: Option<&Passphrase>,
) -> Result<Key<SecretParts, R>, KeyError> {
    let wrong = || KeyError::WrongPassphrase(name.to_string());
    if key.has_unencrypted_secret() {
        return Ok(key);
    }
    key.decrypt_secret(&old.ok_or_else(wrong)?.to_password()).map_err(|_| wrong())
}

/// The certificate in the canonical form of the log, without certifications by others.
fn canonical_certificate(packets: &[Packet]) -> Result<Canonical, KeyError> {
    transferable::read(&transferable::certificate(packets)?)
}

fn openpgp(bytes: &[u8]) -> Result<ImportSource, KeyError> {
    let public = |reason: String| match transferable::read(bytes) {
        Ok(certificate) => Ok(Content::Certificate(certificate)),
        Err(error @ KeyError::NotRevoked(_)) => Err(error),
        Err(_) => Err(refused("the file", format!("it holds neither an OpenPGP key nor one in PKCS#8 ({reason})"))),
    };
    let content = transferable::packets(bytes).map(Content::OpenPgp).or_else(public)?;
    Ok(ImportSource { content })
}

fn pkcs8(pem: &str) -> Result<SecretKey, KeyError> {
    if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
        return secret::ed25519(&Zeroizing::new(key.to_bytes()), KeyVersion::V4, BARE_KEY_CREATED);
    }
    if let Ok(key) = <p256::SecretKey as p256::pkcs8::DecodePrivateKey>::from_pkcs8_pem(pem) {
        let point = p256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(&key.public_key(), false);
        let scalar = Zeroizing::new(key.to_bytes().to_vec());
        return secret::p256(&scalar, point.as_bytes(), BARE_KEY_CREATED);
    }
    let key = <rsa::RsaPrivateKey as rsa::pkcs8::DecodePrivateKey>::from_pkcs8_pem(pem)
        .map_err(|_| refused("a PKCS#8 key", "it is malformed, or not Ed25519, P-256 or RSA"))?;
    rsa_key(&key)
}

fn rsa_key(key: &rsa::RsaPrivateKey) -> Result<SecretKey, KeyError> {
    let bits = key.n().bits();
    if !ics_core::limits::RSA_BITS.contains(&bits) {
        return Err(refused("an RSA key", format!("it has {bits} bits; 2048 to 4096 are required")));
    }
    let [p, q] = key.primes() else {
        return Err(refused("an RSA key", "it does not have two primes"));
    };
    let bytes = |number: &rsa::BigUint| Zeroizing::new(number.to_bytes_be());
    secret::rsa(&bytes(key.d()), &bytes(p), &bytes(q), BARE_KEY_CREATED)
}

/// The label of the first PEM or armor header line.
fn pem_label(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
}

fn unsupported(label: &str) -> KeyError {
    let label: String = label.chars().take(40).collect();
    let reason = match label.as_str() {
        "ENCRYPTED PRIVATE KEY" => "decrypt it first: openssl pkcs8 -in KEY -out PLAIN",
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" => "convert it first: openssl pkcs8 -topk8 -nocrypt -in KEY -out PLAIN",
        "PUBLIC KEY" | "CERTIFICATE" => "it holds no secret key",
        _ => "give an OpenPGP secret key, or a PKCS#8 key in PEM",
    };
    refused(&format!("`{label}`"), reason)
}

fn refused(what: &str, reason: impl core::fmt::Display) -> KeyError {
    KeyError::Import { what: what.to_owned(), reason: reason.to_string() }
}
