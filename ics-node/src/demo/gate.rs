//! A service with mutual TLS, as any relying party could run it: it trusts the manufacturer's root, and fetches the
//! issuer's revocation list for each connection. It knows nothing about statements.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use p256::SecretKey;
use p256::pkcs8::EncodePrivateKey as _;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::authority::Authorities;
use super::error::{Result, unexpected};
use super::props::random;
use crate::tls::{ClientTls, NodeCertificate, PeerKey, stranger_client};

/// The service's name. Clients authenticate it by its key.
const NAME: &str = "dose-server.ward7.hospital.example";
/// What it sends to those whom it lets in.
const WELCOME: &[u8] = b"welcome";

/// The service.
pub(super) struct Gate {
    listener: TcpListener,
    own: NodeCertificate,
    key: PeerKey,
    root: Vec<u8>,
    list: String,
    http: reqwest::Client,
}

/// The device's side of the connection.
pub(super) struct Caller(Arc<ClientConfig>);

impl Gate {
    /// Opens a service that trusts these authorities.
    pub(super) async fn open(authorities: &Authorities) -> Result<Self> {
        let key = SigningKey::from_bytes(&random()?);
        let public = PeerKey::of_node(&key.verifying_key());
        Ok(Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unexpected)?,
            own: NodeCertificate::make(NAME, Arc::new(key)).map_err(unexpected)?,
            key: public,
            root: authorities.root.clone(),
            list: authorities.list.clone(),
            http: stranger_client(&authorities.list, None).map_err(unexpected)?.build().map_err(unexpected)?,
        })
    }

    /// A device with its certificate chain in PEM, and its key.
    pub(super) fn caller(&self, chain: &str, key: &SecretKey) -> Result<Caller> {
        let chain: core::result::Result<Vec<CertificateDer<'_>>, _> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let pkcs8 = key.to_pkcs8_der().map_err(unexpected)?;
        let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.as_bytes().to_vec());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(pkcs8.into()).map_err(unexpected)?;
        let certified = rustls::sign::CertifiedKey::new(chain.map_err(unexpected)?, key);
        let mut config = ClientTls::new(self.own.clone()).for_peer(Some(self.key.pin())).map_err(unexpected)?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(Caller(Arc::new(config)))
    }

    /// Makes one connection and returns whether the device was let in. A refusal for any reason other than revocation
    /// is an error.
    pub(super) async fn lets_in(&self, caller: &Caller) -> Result<bool> {
        let acceptor = TlsAcceptor::from(Arc::new(self.config().await?));
        let address = self.listener.local_addr().map_err(unexpected)?;
        let stream = TcpStream::connect(address).await.map_err(unexpected)?;
        let caller_at = stream.local_addr().map_err(unexpected)?;
        let serve = async {
            let stream = accept_from(&self.listener, caller_at).await.map_err(unexpected)?;
            match acceptor.accept(stream).await {
                Ok(mut stream) => {
                    stream.write_all(WELCOME).await.map_err(unexpected)?;
                    stream.shutdown().await.map_err(unexpected)?;
                    Ok(true)
                }
                Err(error) if is_revoked(&error) => Ok(false),
                Err(error) => Err(unexpected(error)),
            }
        };
        let ask = async {
            let name = ServerName::try_from(NAME).map_err(unexpected)?;
            // In TLS 1.3 a client only learns from the first answer that it was refused.
            let mut heard = Vec::new();
            if let Ok(mut stream) = TlsConnector::from(Arc::clone(&caller.0)).connect(name, stream).await {
                let _ = (&mut stream).take(WELCOME.len() as u64).read_to_end(&mut heard).await;
            }
            Ok(heard == WELCOME)
        };
        let (let_in, heard) = tokio::try_join!(serve, ask)?;
        if let_in == heard { Ok(let_in) } else { Err(unexpected("the two sides do not agree")) }
    }

    /// The TLS configuration with the present revocation list.
    async fn config(&self) -> Result<ServerConfig> {
        let list = self.http.get(&self.list).send().await.map_err(unexpected)?;
        let list = list.error_for_status().map_err(unexpected)?.bytes().await.map_err(unexpected)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).map_err(unexpected)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls([CertificateRevocationListDer::from(list.to_vec())])
            .only_check_end_entity_revocation()
            .build()
            .map_err(unexpected)?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let own = SingleCertAndKey::from(self.own.certified().as_ref().clone());
        Ok(builder.map_err(unexpected)?.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(own)))
    }
}

/// Accepts the caller's connection and drops others: clients of a node that had this port before may still connect
/// here.
async fn accept_from(listener: &TcpListener, caller: SocketAddr) -> std::io::Result<TcpStream> {
    loop {
        let (stream, from) = listener.accept().await?;
        if from == caller {
            return Ok(stream);
        }
    }
}

fn is_revoked(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(CertificateError::Revoked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_is_hung_up_on() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut stranger = TcpStream::connect(address).await.expect("a connection");
        let caller = TcpStream::connect(address).await.expect("a connection").local_addr().expect("an address");

        let stream = accept_from(&listener, caller).await.expect("the caller's connection");
        assert_eq!(stream.peer_addr().expect("an address"), caller);
        assert_eq!(stranger.read(&mut [0]).await.expect("an end"), 0);
    }
}
