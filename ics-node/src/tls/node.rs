//! The certificate with which a node presents its key: made at each start, never stored.

use core::fmt;
use std::sync::Arc;

use ics_core::log::note::NoteKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, PublicKeyData, SerialNumber};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The common name of subject and issuer in every node's certificate. Servers request certificates of this issuer, so
/// that browsers, which have others, do not bother their users.
pub(super) const COMMON_NAME: &str = "CM4IT ICS node";

/// A self-signed certificate with the node's key.
#[derive(Debug, Clone)]
pub struct NodeCertificate(Arc<CertifiedKey>);

/// Why a node's certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeCertificateError {
    /// It cannot be written.
    #[error("the node's certificate cannot be made: {0}")]
    Write(#[from] rcgen::Error),
}

impl NodeCertificate {
    /// Makes a certificate for the node's name and key.
    ///
    /// # Errors
    /// When the name does not have the form of a DNS name, or the key cannot be used.
    pub fn make(name: &str, key: Arc<dyn NoteKey + Send + Sync>) -> Result<Self, NodeCertificateError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = distinguished_name();
        // Nobody looks at it, but it is mandatory (RFC 5280, section 4.1.2.2).
        params.serial_number = Some(SerialNumber::from(1));
        let public = key.public();
        let signer = NodeSigner { key, public };
        let certificate = params.self_signed(&signer)?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], Arc::new(signer)))))
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// The subject and issuer of every node's certificate.
fn distinguished_name() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, COMMON_NAME);
    name
}

/// The node's key in the form that certificates and handshakes need. It may be in a token, so it is only asked for
/// signatures.
#[derive(Clone)]
struct NodeSigner {
    key: Arc<dyn NoteKey + Send + Sync>,
    public: [u8; 32],
}

impl NodeSigner {
    /// A token is slow. Handshakes run on the runtime, which is told that this thread blocks.
    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let sign = || self.key.sign(message).map(|signature| signature.to_vec());
        let has_others = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        if Handle::try_current().is_ok_and(has_others) { tokio::task::block_in_place(sign) } else { sign() }
    }
}

impl fmt::Debug for NodeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSigner(…)")
    }
}

impl SigningKey for NodeSigner {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for NodeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signature(message).map_err(rustls::Error::General)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl PublicKeyData for NodeSigner {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for NodeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        // rcgen cannot carry the reason. A key that cannot sign is reported when it signs the log.
        self.signature(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
