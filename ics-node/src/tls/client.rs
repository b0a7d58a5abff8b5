//! TLS as a client: presents the node's certificate, and trusts a server by its pinned key or by the web's authorities.

use std::sync::{Arc, OnceLock};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use super::node::NodeCertificate;
use super::pin::KeyPin;

/// The prefix that rustls adds to a verifier's own messages.
const WORDED: &str = "unexpected error: ";
/// The start of the suffix that is only meant for programmers.
const RUSTLS_MANUAL: &str = ": https://docs.rs/rustls/";

/// TLS with which a node asks its peers.
#[derive(Debug, Clone)]
pub struct ClientTls {
    provider: Arc<CryptoProvider>,
    own: NodeCertificate,
    web: WebAuthorities,
}

/// The root certificates of the web that this machine has, read when a server is first to be trusted by nothing else:
/// they are hundreds of certificates. Without any, only pinned servers are trusted.
type WebAuthorities = Arc<OnceLock<Result<Verifier, Error>>>;

impl ClientTls {
    /// Presents the node's certificate to servers that ask who reads.
    #[must_use]
    pub fn new(own: NodeCertificate) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self { provider, own, web: WebAuthorities::default() }
    }

    /// The configuration for one peer: its server is trusted if it proves the pinned key, or if the web's authorities
    /// vouch for its name. The key of a web server is rarely the node's own, and what the peer says counts by
    /// signatures other than those of TLS.
    ///
    /// # Errors
    /// When no version of TLS can be offered.
    pub fn for_peer(&self, pin: Option<KeyPin>) -> Result<ClientConfig, Error> {
        let verifier = KnownServer { provider: Arc::clone(&self.provider), pin, web: Arc::clone(&self.web) };
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions()?;
        let own = OwnCertificate(self.own.certified());
        Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(own)))
    }

    /// The configuration for a client without a key, which asks as a stranger; a server is trusted as by
    /// [`Self::for_peer`].
    ///
    /// # Errors
    /// When no version of TLS can be offered.
    pub fn as_stranger(pin: Option<KeyPin>) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = KnownServer { provider: Arc::clone(&provider), pin, web: WebAuthorities::default() };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }
}

/// An HTTP client that asks an address as a stranger. The web's authorities are read only when a server presents a
/// certificate: over plain HTTP none are needed, and a small machine may have none.
pub(crate) fn stranger_client(url: &str, pin: Option<KeyPin>) -> Result<reqwest::ClientBuilder, Error> {
    Ok(ics_sync::http::client_builder(url).tls_backend_preconfigured(ClientTls::as_stranger(pin)?))
}

/// The last error of a chain: the earlier ones only say that a request failed, which is already known.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn core::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let text = text.strip_prefix(WORDED).unwrap_or(&text);
    text.split_once(RUSTLS_MANUAL).map_or(text, |(what, _)| what).to_owned()
}

#[derive(Debug)]
struct OwnCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        schemes.contains(&SignatureScheme::ED25519).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct KnownServer {
    provider: Arc<CryptoProvider>,
    pin: Option<KeyPin>,
    web: WebAuthorities,
}

impl ServerCertVerifier for KnownServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = KeyPin::of(&ParsedCertificate::try_from(end_entity)?.subject_public_key_info());
        if self.pin == Some(key) {
            return Ok(ServerCertVerified::assertion());
        }
        let web = self.web.get_or_init(|| Verifier::new(Arc::clone(&self.provider)));
        let believed = web
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|web| web.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now));
        // A user who has given the key cares least about whether an authority vouches for it.
        believed.map_err(|error| match self.pin {
            Some(given) => Error::General(format!("{error}; its key is {key}, and the one that was given is {given}")),
            None => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
