//! The certificate that a server presents, read from files, and read again when the operator has replaced them.

use std::path::Path;
use std::sync::{Arc, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::server::TlsError;
use crate::config::TlsConfig;
use crate::keys::file;
use crate::locked::Shared as _;

/// A certificate and its key, and the files from which they are read.
#[derive(Debug)]
pub struct ShownCertificate {
    files: TlsConfig,
    pub(super) provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

impl ShownCertificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read, everybody may read the key's file, or key and certificate do not belong together.
    pub fn read(files: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = RwLock::new(Arc::new(certified(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, key }))
    }

    /// Reads the files again, for all handshakes that begin from now on. If they are unusable, the former certificate
    /// stays in use.
    ///
    /// # Errors
    /// As [`ShownCertificate::read`].
    pub fn read_again(&self) -> Result<(), TlsError> {
        let key = Arc::new(certified(&self.files, &self.provider)?);
        *self.key.write_locked() = key;
        Ok(())
    }

    /// The file of the certificate.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.files.certificate
    }
}

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read_locked()))
    }
}

fn certified(files: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let unreadable = |source| TlsError::Unreadable { path: files.key.clone(), source };
    if let Some(mode) = file::open_to_all(&files.key).map_err(|error| unreadable(pem::Error::Io(error)))? {
        return Err(TlsError::OpenToAll { path: files.key.clone(), mode });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable)?;
    // This fails if the key does not belong to the certificate.
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let chain = chain.map_err(unreadable)?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}
