//! TLS as a client: shows the node's certificate, and knows a server by its pinned key or by the web's authorities.

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

/// How rustls begins what a verifier has worded.
const WORDED: &str = "unexpected error: ";
/// How it ends what is for who programs with it.
const RUSTLS_MANUAL: &str = ": https://docs.rs/rustls/";

/// How a node asks its peers over TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    provider: Arc<CryptoProvider>,
    own: NodeCertificate,
    web: WebAuthorities,
}

/// The web's authorities that this machine knows, read once a server is believed by nothing else: they are hundreds of
/// certificates. Without any, only pinned servers are known.
type WebAuthorities = Arc<OnceLock<Result<Verifier, Error>>>;

impl ClientTls {
    /// With the node's certificate, for servers that ask who reads.
    #[must_use]
    pub fn new(own: NodeCertificate) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Self { provider, own, web: WebAuthorities::default() }
    }

    /// For one peer: its server is believed when it proves the pinned key, or when the web's authorities vouch for its
    /// name. Its web server's key is seldom the node's own, and what it says counts by other signatures than TLS's.
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

    /// For whoever has no key at hand and asks as a stranger; a server is believed as by [`Self::for_peer`].
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

/// A client over HTTP for whoever asks an address as a stranger. The web's authorities are read once a server shows a
/// certificate: over plain HTTP none are needed, and a small machine has none.
pub(crate) fn stranger_client(url: &str, pin: Option<KeyPin>) -> Result<reqwest::ClientBuilder, Error> {
    Ok(ics_sync::http::client_builder(url).tls_backend_preconfigured(ClientTls::as_stranger(pin)?))
}

/// The last error of a chain: the first ones only say that a request failed, which one knows by then.
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
        // That no authority vouches for it is what matters least to whoever has given the key.
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
