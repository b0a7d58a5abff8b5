//! The certificate that a server shows: read from files, and read again when the operator has put a newer one there.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::server::TlsError;
use crate::config::TlsConfig;
use crate::keys::file;

/// A certificate and its key, and the files that they are read from.
#[derive(Debug)]
pub struct ShownCertificate {
    files: TlsConfig,
    pub(super) provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

impl ShownCertificate {
    /// Reads them.
    ///
    /// # Errors
    /// When a file cannot be read, everybody may read the key's, or key and certificate do not go together.
    pub fn read(files: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = RwLock::new(Arc::new(certified(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, key }))
    }

    /// Reads them again: handshakes that begin from now on show what is there now. Where that is no good, the former goes
    /// on being shown.
    ///
    /// # Errors
    /// As [`ShownCertificate::read`].
    pub fn read_again(&self) -> Result<(), TlsError> {
        let key = Arc::new(certified(&self.files, &self.provider)?);
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
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
        Some(Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(files: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let unreadable = |source| TlsError::Unreadable { path: files.key.clone(), source };
    if let Some(mode) = file::open_to_all(&files.key).map_err(|error| unreadable(pem::Error::Io(error)))? {
        return Err(TlsError::OpenToAll { path: files.key.clone(), mode });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable)?;
    // It says so where the key is another one's than the certificate's.
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let chain = chain.map_err(unreadable)?;
    if chain.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}
