//! Certificates of other people, in files.

use std::path::{Path, PathBuf};

use ics_core::limits;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;

use crate::keys::{self, KeyError, StoredKey, file};

/// The primary key of a certificate and whom it belongs to.
#[derive(Debug, Clone)]
pub struct PublicCertificate {
    /// The first User ID.
    pub user_id: String,
    /// The primary key.
    pub key: PublicKey,
    /// The certificate as canonical OpenPGP packets.
    pub bytes: Vec<u8>,
}

/// Why a file yields no certificate.
#[derive(Debug, thiserror::Error)]
#[error("`{path}`: {reason}", path = path.display())]
pub struct CertificateFileError {
    path: PathBuf,
    reason: String,
}

impl PublicCertificate {
    /// The certificate of a key in a home directory.
    ///
    /// # Errors
    /// When the key is of a kind that is not accepted.
    pub fn of(key: &StoredKey) -> Result<Self, KeyError> {
        Ok(Self {
            user_id: first_user_id(key.certificate()),
            key: key.public_key()?,
            bytes: key.certificate_bytes().to_vec(),
        })
    }

    /// Reads a certificate from a file, armored or binary.
    ///
    /// # Errors
    /// When it cannot be read, or holds no accepted certificate.
    pub fn read(path: &Path) -> Result<Self, CertificateFileError> {
        let failed = |reason: String| CertificateFileError { path: path.to_owned(), reason };
        // Armor takes a third more.
        let bytes = file::read_secret(path, 2 * limits::PERSON_CERTIFICATE_BYTES).map_err(|e| failed(e.to_string()))?;
        let body = keys::canonical(&bytes).map_err(|e| failed(e.to_string()))?;
        let certificate = Certificate::parse(&body).map_err(|e| failed(e.to_string()))?;
        let key = keys::primary_key(&body).map_err(|e| failed(e.to_string()))?;
        Ok(Self { user_id: first_user_id(&certificate), key, bytes: body })
    }
}

fn first_user_id(certificate: &Certificate) -> String {
    certificate.user_ids().first().cloned().unwrap_or_default()
}
