//! The directory of secret keys.

use core::fmt;
use core::str::FromStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ics_core::identity::{Fingerprint, excerpt};
use ics_core::log::note::NoteKey;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use sequoia_openpgp::packet::Packet;

use super::secret::{self, SecretKey};
use super::token::{TokenUri, Tokens};
use super::unlocked::UnlockedKey;
use super::{Algorithm, KeyError, KeyVersion, Passphrase, file, transferable};

/// The directory of secret keys in the home directory.
pub const DIRECTORY: &str = "keys";
/// The size limit of a key file, in bytes: the largest certificate that any domain accepts, in armor, and its secrets.
/// What is imported becomes such a file.
pub(super) const FILE_BYTES: usize = 2 * 1024 * 1024;

/// The local name of a key: the name of its file without `.asc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_formed = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if is_formed { Ok(Self(text.to_owned())) } else { Err(KeyError::Name(excerpt(text))) }
    }
}

/// The secret keys of one home directory.
#[derive(Debug, Clone)]
pub struct KeyStore {
    directory: PathBuf,
}

/// A key in the store; its secrets are encrypted, or in a token.
#[derive(Clone)]
pub struct StoredKey {
    name: KeyName,
    secret: Secret,
    certificate: Certificate,
    bytes: Vec<u8>,
}

/// The certificate of a key in a token.
#[derive(Debug, Clone, Copy)]
pub enum TokenCertificate<'a> {
    /// An existing certificate, as gpg, sq or `ics key show --armor` write it.
    Given(&'a [u8]),
    /// A new certificate with this User ID.
    New {
        /// The holder, for people.
        user_id: &'a str,
        /// The version of the OpenPGP key.
        version: KeyVersion,
    },
}

/// Where the secrets of a key are.
#[derive(Clone)]
enum Secret {
    /// In the file, encrypted: the packets of the transferable secret key.
    Packets(Vec<Packet>),
    /// In a token.
    Token(TokenUri),
}

impl KeyStore {
    /// The store of a home directory; it need not exist yet.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { directory: home.join(DIRECTORY) }
    }

    /// Lists the keys by name.
    ///
    /// # Errors
    /// When the directory or one of its keys cannot be read.
    pub fn list(&self) -> Result<Vec<StoredKey>, KeyError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|e| self.failed(e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| self.failed(e))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<KeyName>().ok());
            if path.extension().is_some_and(|extension| extension == "asc") {
                names.extend(stem);
            }
        }
        names.sort();
        names.iter().map(|name| self.read(name)).collect()
    }

    /// Finds the key of that name, fingerprint or `pkcs11:` URI.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read, is open to others or malformed.
    pub fn find(&self, wanted: &str) -> Result<StoredKey, KeyError> {
        let missing = || KeyError::Missing { wanted: wanted.to_owned(), directory: self.directory.clone() };
        if TokenUri::is_meant(wanted) {
            return self.in_token(&TokenUri::read(wanted)?);
        }
        if let Ok(fingerprint) = wanted.parse::<Fingerprint>() {
            let fitting = self.list()?.into_iter().filter(|key| key.fingerprint() == fingerprint);
            return fitting.reduce(StoredKey::in_force).ok_or_else(missing);
        }
        let name: KeyName = wanted.parse()?;
        if self.path(&name).exists() { self.read(&name) } else { Err(missing()) }
    }

    /// Finds the key whose secret is in a token at that URI. For the places of the module and the PIN, the given URI
    /// takes precedence.
    fn in_token(&self, wanted: &TokenUri) -> Result<StoredKey, KeyError> {
        let mut fitting = Vec::new();
        for mut key in self.list()? {
            if let Secret::Token(uri) = &mut key.secret
                && wanted.fits(uri)
            {
                uri.module = wanted.module.clone().or(uri.module.take());
                uri.pin_source = wanted.pin_source.clone().or(uri.pin_source.take());
                fitting.push(key);
            }
        }
        match (fitting.pop(), fitting.is_empty()) {
            (Some(one), true) => Ok(one),
            (None, _) => Err(KeyError::NotAdopted(wanted.to_string())),
            (Some(last), false) => {
                let names = fitting.iter().chain([&last]).map(|key| key.name.to_string()).collect::<Vec<_>>();
                Err(KeyError::Ambiguous { wanted: wanted.to_string(), names: names.join(", ") })
            }
        }
    }

    /// Adopts a key that is in a token: makes its certificate, or takes an existing one, and stores it with the key's
    /// URI.
    ///
    /// # Errors
    /// When there is already a key of that name, the User ID is refused, the certificate has no such key, or the disk
    /// fails.
    pub fn adopt(
        &self,
        name: &KeyName,
        (tokens, uri): (&Tokens, &TokenUri),
        certificate: TokenCertificate<'_>,
        at: Timestamp,
    ) -> Result<StoredKey, KeyError> {
        self.refuse_existing(name)?;
        let (signer, bytes) = match certificate {
            TokenCertificate::Given(bytes) => {
                let bytes = transferable::canonical(bytes)?;
                let parsed = Certificate::parse(&bytes).map_err(KeyError::make)?;
                (tokens.open(uri, &parsed)?, bytes)
            }
            TokenCertificate::New { user_id, version } => {
                let signer = tokens.open_bare(uri, version)?;
                let mut salt = [0; 32];
                getrandom::fill(&mut salt).map_err(KeyError::make)?;
                let bytes = Certificate::make(&signer, user_id, at, &salt).map_err(KeyError::make)?;
                (signer, bytes)
            }
        };
        self.write(name, &transferable::armor_in_token(&bytes, signer.uri())?)
    }

    /// Makes a key with one User ID and a certificate, and stores it.
    ///
    /// # Errors
    /// When there is already a key of that name, the User ID is refused, or the disk fails.
    pub fn make(
        &self,
        name: &KeyName,
        user_id: &str,
        (algorithm, version): (Algorithm, KeyVersion),
        passphrase: &Passphrase,
        at: Timestamp,
    ) -> Result<StoredKey, KeyError> {
        self.refuse_existing(name)?;
        self.certify_and_add(name, secret::generate(algorithm, version, at)?, user_id, passphrase, at)
    }

    /// Makes the certificate of a key with one User ID, and stores both.
    pub(super) fn certify_and_add(
        &self,
        name: &KeyName,
        key: SecretKey,
        user_id: &str,
        passphrase: &Passphrase,
        at: Timestamp,
    ) -> Result<StoredKey, KeyError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(KeyError::make)?;
        let (signer, _) = secret::signer(key.clone().role_into_unspecified())?;
        let certificate = Certificate::make(&*signer, user_id, at, &salt).map_err(KeyError::make)?;
        let secret = Packet::SecretKey(secret::encrypt(key, passphrase)?);
        let packets = transferable::with_secrets(&certificate, vec![secret])?;
        self.add(name, &packets)
    }

    /// Stores packets whose secrets are encrypted.
    pub(super) fn add(&self, name: &KeyName, packets: &[Packet]) -> Result<StoredKey, KeyError> {
        self.refuse_existing(name)?;
        self.write(name, &transferable::armor_secrets(packets)?)
    }

    /// Replaces the contents of a key's file with a later state of its certificate, and secrets that belong to it.
    pub(super) fn rewrite(
        &self,
        held: &StoredKey,
        certificate: &[u8],
        more: Vec<Packet>,
    ) -> Result<StoredKey, KeyError> {
        let armored = match &held.secret {
            Secret::Token(uri) => transferable::armor_in_token(certificate, uri)?,
            Secret::Packets(packets) => {
                let secrets = more.into_iter().chain(packets.iter().cloned()).collect();
                transferable::armor_secrets(&transferable::with_secrets(certificate, secrets)?)?
            }
        };
        self.put(&held.name, &armored, file::replace_private)
    }

    fn write(&self, name: &KeyName, armored: &str) -> Result<StoredKey, KeyError> {
        self.put(name, armored, file::create_private)
    }

    fn put(
        &self,
        name: &KeyName,
        armored: &str,
        put: fn(&Path, &[u8]) -> io::Result<()>,
    ) -> Result<StoredKey, KeyError> {
        let path = self.path(name);
        // Nothing is written that could not be read back.
        let stored = StoredKey::parse(name, &path, armored.as_bytes())?;
        file::make_private_directory(&self.directory).map_err(|e| self.failed(e))?;
        put(&path, armored.as_bytes()).map_err(|source| KeyError::File { path, source })?;
        Ok(stored)
    }

    /// Refuses the name of an existing key.
    ///
    /// # Errors
    /// When there is one.
    pub fn refuse_existing(&self, name: &KeyName) -> Result<(), KeyError> {
        if self.path(name).exists() { Err(KeyError::Exists(name.to_string())) } else { Ok(()) }
    }

    fn path(&self, name: &KeyName) -> PathBuf {
        self.directory.join(format!("{name}.asc"))
    }

    fn failed(&self, source: io::Error) -> KeyError {
        KeyError::File { path: self.directory.clone(), source }
    }

    fn read(&self, name: &KeyName) -> Result<StoredKey, KeyError> {
        let path = self.path(name);
        let failed = |source| KeyError::File { path: path.clone(), source };
        if file::is_open_to_others(&path).map_err(failed)? {
            return Err(KeyError::OpenToOthers(path));
        }
        let bytes = file::read_secret(&path, FILE_BYTES).map_err(failed)?;
        StoredKey::parse(name, &path, &bytes)
    }
}

impl StoredKey {
    fn parse(name: &KeyName, path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let content = |reason: String| KeyError::Content { path: path.to_owned(), reason };
        if let Some((uri, bytes)) = transferable::in_token(bytes).map_err(content)? {
            let certificate = Certificate::parse(&bytes).map_err(|e| content(e.to_string()))?;
            return Ok(Self { name: name.clone(), secret: Secret::Token(uri), certificate, bytes });
        }
        let packets = transferable::packets(bytes).map_err(content)?;
        if packets.iter().any(transferable::has_clear_secret) {
            return Err(content("its secret is not encrypted".to_owned()));
        }
        let bytes = transferable::certificate(&packets)?;
        let certificate = Certificate::parse(&bytes).map_err(|e| content(e.to_string()))?;
        Ok(Self { name: name.clone(), secret: Secret::Packets(packets), certificate, bytes })
    }

    /// Chooses between two files of one key: the one whose certificate contains all of the other's; else the first,
    /// with everything from both that is acceptable together.
    fn in_force(self, other: Self) -> Self {
        if self.certificate.covers(&other.certificate) {
            return self;
        }
        if other.certificate.covers(&self.certificate) {
            return other;
        }
        let union = Certificate::union(&self.bytes, &other.bytes);
        match union.and_then(|bytes| Certificate::parse(&bytes).map(|certificate| (bytes, certificate))) {
            Ok((bytes, certificate)) => Self { bytes, certificate, ..self },
            Err(_) => self,
        }
    }

    /// Whether a packet carries the secret of a signing key that is neither in this key's file nor in a token.
    pub(super) fn lacks_secret(&self, packet: &Packet) -> bool {
        let Secret::Packets(packets) = &self.secret else { return false };
        let wanted = transferable::fingerprint(packet);
        let is_it = |held: &Packet| transferable::has_signing_secret(held) && transferable::fingerprint(held) == wanted;
        transferable::has_signing_secret(packet) && !packets.iter().any(is_it)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The fingerprint of its primary key, by which descriptors and statements name it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.primary()
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate as canonical OpenPGP packets.
    #[must_use]
    pub fn certificate_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its certificate in armor.
    ///
    /// # Errors
    /// When the library fails.
    pub fn armored(&self) -> Result<String, KeyError> {
        transferable::armor_certificate(&self.bytes)
    }

    /// Its primary public key.
    ///
    /// # Errors
    /// When the key is of a kind that is not accepted.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        transferable::primary_key(&self.bytes)
    }

    /// The raw Ed25519 public key with which a node's checkpoints are verified; `None` for other algorithms.
    #[must_use]
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        self.public_key().ok()?.ed25519_point().copied()
    }

    /// The place of its secret in a token; `None` if it is in its file.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenUri> {
        match &self.secret {
            Secret::Token(uri) => Some(uri),
            Secret::Packets(_) => None,
        }
    }

    /// Decrypts the secrets.
    ///
    /// # Errors
    /// When the passphrase is wrong, a key is of a kind that cannot sign here, or the secret is in a token.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<UnlockedKey, KeyError> {
        let password = passphrase.to_password();
        let wrong = |_| KeyError::WrongPassphrase(self.name.to_string());
        let Secret::Packets(packets) = &self.secret else {
            return Err(KeyError::InToken(self.name.to_string()));
        };
        let mut signers = Vec::new();
        let mut note_key: Option<Arc<dyn NoteKey + Send + Sync>> = None;
        for packet in packets {
            let key = match packet {
                Packet::SecretKey(key) => key.clone().decrypt_secret(&password).map_err(wrong)?.role_into_unspecified(),
                Packet::SecretSubkey(key) => {
                    key.clone().decrypt_secret(&password).map_err(wrong)?.role_into_unspecified()
                }
                _ => continue,
            };
            let (signer, seed) = secret::signer(key)?;
            signers.push(signer);
            let seed = seed.filter(|_| note_key.is_none());
            note_key = note_key.or(seed.map(|seed| Arc::new(ed25519_dalek::SigningKey::from_bytes(&seed)) as Arc<_>));
        }
        Ok(self.unlocked(signers, note_key))
    }

    /// Opens the key in its token.
    ///
    /// # Errors
    /// When the secret is in its file, or the token, the key in it or its PIN is missing.
    pub fn open(&self, tokens: &Tokens) -> Result<UnlockedKey, KeyError> {
        let Secret::Token(uri) = &self.secret else {
            return Err(KeyError::make(format!(
                "the secret of the key `{}` is in its file, not in a token",
                self.name
            )));
        };
        let signer = Arc::new(tokens.open(uri, &self.certificate)?);
        let is_note_key = signer.public_key().ed25519_point().is_some();
        let note_key = is_note_key.then(|| Arc::clone(&signer) as Arc<dyn NoteKey + Send + Sync>);
        Ok(self.unlocked(vec![signer as Arc<dyn Signer + Send + Sync>], note_key))
    }

    fn unlocked(
        &self,
        signers: Vec<Arc<dyn Signer + Send + Sync>>,
        note_key: Option<Arc<dyn NoteKey + Send + Sync>>,
    ) -> UnlockedKey {
        let (name, certificate, bytes) = (self.name.clone(), self.certificate.clone(), self.bytes.clone());
        UnlockedKey { name, certificate, bytes, signers, note_key }
    }
}
