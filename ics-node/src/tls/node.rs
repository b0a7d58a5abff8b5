//! The certificate by which a node shows its key: made anew whenever the node starts, never stored.

use core::fmt;
use std::sync::Arc;

use ics_core::log::note::NoteKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, PublicKeyData, SerialNumber};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The common name in every node's certificate, subject and issuer alike. Servers ask for certificates of this issuer,
/// so that browsers, which have others, do not bother their users.
pub(super) const COMMON_NAME: &str = "CM4IT ICS node";

/// A certificate that carries the node's key, signed by itself.
#[derive(Debug, Clone)]
pub struct NodeCertificate(Arc<CertifiedKey>);

/// Why a node has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum NodeCertificateError {
    /// It cannot be written.
    #[error("the node's certificate cannot be made: {0}")]
    Write(#[from] rcgen::Error),
}

impl NodeCertificate {
    /// Makes one of the node's name and key.
    ///
    /// # Errors
    /// When the name is not formed as a DNS name, or the key does not serve.
    pub fn make(name: &str, key: Arc<dyn NoteKey + Send + Sync>) -> Result<Self, NodeCertificateError> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = distinguished_name();
        // Nobody looks at it; it must be there (RFC 5280, section 4.1.2.2).
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

/// The node's key as certificates and handshakes want it. It may be in a token: nothing but its signatures is asked for.
#[derive(Clone)]
struct NodeSigner {
    key: Arc<dyn NoteKey + Send + Sync>,
    public: [u8; 32],
}

impl NodeSigner {
    /// A token takes its time. Handshakes run on the runtime, which is told that this thread is busy.
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
        // The reason is lost here: rcgen has no place for it. A key that does not sign is told of when it signs the log.
        self.signature(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
