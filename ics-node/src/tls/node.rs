//! The certificate by which a node shows its key: made anew whenever the node starts, never stored.

use std::sync::Arc;

use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, PKCS_ED25519, PublicKeyData, SerialNumber};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::app::NodeKeys;

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
    /// The key has no PKCS #8 form.
    #[error("the node's key cannot be handed to TLS: {0}")]
    Key(#[from] ed25519_dalek::pkcs8::Error),
    /// TLS does not take the key.
    #[error("the node's key does not serve TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl NodeCertificate {
    /// Makes one.
    ///
    /// # Errors
    /// When the node's name is not formed as a DNS name, or the key does not serve.
    pub fn make(keys: &NodeKeys) -> Result<Self, NodeCertificateError> {
        let mut params = CertificateParams::new(vec![keys.name.clone()])?;
        params.distinguished_name = distinguished_name();
        // Nobody looks at it; it must be there (RFC 5280, section 4.1.2.2).
        params.serial_number = Some(SerialNumber::from(1));
        let signer = NodeSigner { key: &keys.key, public: keys.key.verifying_key().to_bytes() };
        let certificate = params.self_signed(&signer)?;
        let pkcs8 = keys.key.to_pkcs8_der()?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_bytes()));
        let key = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key.secret_der()))?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))))
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

/// The subject and issuer of every node's certificate.
pub(super) fn distinguished_name() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, COMMON_NAME);
    name
}

struct NodeSigner<'a> {
    key: &'a SigningKey,
    public: [u8; 32],
}

impl PublicKeyData for NodeSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for NodeSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}
