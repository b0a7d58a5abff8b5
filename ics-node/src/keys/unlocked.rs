//! A key with usable secrets, and what each of them may sign.

use std::sync::Arc;

use ics_core::log::note::NoteKey;
use ics_core::openpgp::certificate::{Certificate, Purpose};
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;

use super::KeyError;
use super::store::KeyName;

/// A key with usable secrets. They are wiped, or encrypted in memory, when it is dropped.
pub struct UnlockedKey {
    pub(super) name: KeyName,
    pub(super) certificate: Certificate,
    pub(super) bytes: Vec<u8>,
    pub(super) signers: Vec<Arc<dyn Signer + Send + Sync>>,
    /// The first Ed25519 key, which signs checkpoints.
    pub(super) note_key: Option<Arc<dyn NoteKey + Send + Sync>>,
}

impl UnlockedKey {
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

    /// The primary key, which signs owners' documents and is named in descriptors.
    ///
    /// # Errors
    /// When the secret of the primary key is not at hand, as when a token only holds that of a subkey.
    pub fn primary(&self) -> Result<&dyn Signer, KeyError> {
        self.shared_primary().map(|signer| &**signer as &dyn Signer)
    }

    /// As [`UnlockedKey::primary`], for callers that sign as long as the node runs.
    ///
    /// # Errors
    /// As [`UnlockedKey::primary`].
    pub fn shared_primary(&self) -> Result<&Arc<dyn Signer + Send + Sync>, KeyError> {
        let is_primary =
            |signer: &&Arc<dyn Signer + Send + Sync>| signer.public_key().fingerprint() == self.certificate.primary();
        self.signers.iter().find(is_primary).ok_or_else(|| KeyError::Purpose {
            name: self.name.to_string(),
            purpose: "sign as an owner",
            reason: "that needs the secret of its primary key, which is not here".to_owned(),
        })
    }

    /// The key that makes certifications, or signs documents, according to the certificate at that time.
    ///
    /// # Errors
    /// When the certificate allows this for none of the keys.
    pub fn signer(&self, purpose: Purpose, at: Timestamp) -> Result<&dyn Signer, KeyError> {
        let allowed =
            |signer: &&dyn Signer| self.certificate.key_for(&signer.public_key().fingerprint(), purpose, at).is_ok();
        self.signers.iter().map(|signer| &**signer as &dyn Signer).find(allowed).ok_or_else(|| KeyError::Purpose {
            name: self.name.to_string(),
            purpose: match purpose {
                Purpose::Certify => "certify",
                Purpose::Sign => "sign documents",
            },
            reason: "its certificate has no live key for that".to_owned(),
        })
    }

    /// The Ed25519 key with which a node signs checkpoints.
    ///
    /// # Errors
    /// When the primary key is of another algorithm.
    pub fn node_key(&self) -> Result<Arc<dyn NoteKey + Send + Sync>, KeyError> {
        self.note_key.clone().ok_or_else(|| KeyError::Purpose {
            name: self.name.to_string(),
            purpose: "sign checkpoints",
            reason: "checkpoints are signed with an Ed25519 key".to_owned(),
        })
    }
}
