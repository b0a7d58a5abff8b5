//! An ACME client as lean as those in the load tests of other servers: orders with P-256, nothing to prove.

#![expect(clippy::indexing_slicing, reason = "members that JSON lacks are null, and a point has 65 octets")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use ics_node::api::AcmeCredential;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// What is ordered, and the certificate request for it.
pub(super) struct Wanted {
    pub(super) identifier: Value,
    pub(super) csr: Vec<u8>,
}

/// An ACME client with its account.
pub(super) struct Client {
    server: Server,
    /// One HTTP/1.1 connection without any layer above it, since the cost of the client is on both sides of the
    /// comparison.
    connection: SendRequest<Full<Bytes>>,
    key: EcdsaKeyPair,
    random: SystemRandom,
    directory: Value,
    nonce: Option<String>,
    kid: String,
}

/// The address of a server, and how it is authenticated.
#[derive(Clone)]
pub(super) struct Server {
    /// `host:port`.
    authority: String,
    tls: TlsConnector,
}

impl Server {
    /// The server at a port of this machine, with this certificate.
    pub(super) fn new(port: u16, certificate: &std::path::Path) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { authority: format!("127.0.0.1:{port}"), tls: Arc::new(config).into() })
    }

    /// The URL of a path at the server.
    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.authority)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Errors reach the sender of a request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

struct Answer {
    location: String,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Result<Value, Error> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Client {
    pub(super) async fn new(
        server: &Server,
        directory: &str,
        credential: Option<&AcmeCredential>,
    ) -> Result<Self, Error> {
        let connection = server.connect().await?;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let (server, random, kid) = (server.clone(), SystemRandom::new(), String::new());
        let mut client = Self { server, connection, key, random, directory: Value::Null, nonce: None, kid };
        let response = client.send(Method::GET, directory, String::new()).await?;
        client.directory = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        let url = client.url("newAccount");
        let mut payload = json!({"termsOfServiceAgreed": true});
        if let Some(credential) = credential {
            payload["externalAccountBinding"] = client.binding(credential, &url)?;
        }
        client.kid = client.post(&url, &payload.to_string()).await?.location;
        Ok(client)
    }

    fn url(&self, member: &str) -> String {
        self.directory[member].as_str().unwrap_or_default().to_owned()
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let encode = |range: std::ops::Range<usize>| BASE64URL_NOPAD.encode(&point[range]);
        json!({"kty": "EC", "crv": "P-256", "x": encode(1..33), "y": encode(33..65)})
    }

    fn binding(&self, credential: &AcmeCredential, url: &str) -> Result<Value, Error> {
        let protected = json!({"alg": "HS256", "kid": credential.kid, "url": url}).to_string();
        let (protected, payload) =
            (BASE64URL_NOPAD.encode(protected.as_bytes()), BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes()));
        let secret = BASE64URL_NOPAD.decode(credential.hmac_key.as_bytes())?;
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(tag.as_ref());
        Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
    }

    async fn post(&mut self, url: &str, payload: &str) -> Result<Answer, Error> {
        let nonce = match self.nonce.take() {
            Some(nonce) => nonce,
            None => {
                let response = self.send(Method::HEAD, &self.url("newNonce"), String::new()).await?;
                header(&response, "replay-nonce").ok_or("no nonce")?
            }
        };
        let mut protected = json!({"alg": "ES256", "nonce": nonce, "url": url});
        if self.kid.is_empty() {
            protected["jwk"] = self.jwk();
        } else {
            protected["kid"] = self.kid.as_str().into();
        }
        let protected = BASE64URL_NOPAD.encode(protected.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signature = self.key.sign(&self.random, format!("{protected}.{payload}").as_bytes())?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let body = json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
        let response = self.send(Method::POST, url, body).await?;
        self.nonce = header(&response, "replay-nonce");
        let (status, location) = (response.status(), header(&response, "location").unwrap_or_default());
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(Answer { location, body })
        } else {
            Err(format!("{url}: {status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }

    async fn send(&mut self, method: Method, url: &str, body: String) -> Result<Response<Incoming>, Error> {
        let origin = self.server.url("");
        let path = url.strip_prefix(&origin).ok_or_else(|| format!("{url} is not of {origin}"))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.server.authority)
            .header(header::USER_AGENT, "ics-bench")
            .header(header::CONTENT_TYPE, "application/jose+json")
            .body(Full::from(body))?;
        // A server closes connections that were idle while the other one was measured.
        if self.connection.ready().await.is_err() {
            self.connection = self.server.connect().await?;
        }
        Ok(self.connection.send_request(request).await?)
    }

    /// Order, request, certificate, download.
    pub(super) async fn whole_order(&mut self, wanted: &Wanted) -> Result<(), Error> {
        let payload = json!({"identifiers": [wanted.identifier]}).to_string();
        let order = self.post(&self.url("newOrder"), &payload).await?;
        let csr = json!({"csr": BASE64URL_NOPAD.encode(&wanted.csr)}).to_string();
        let (location, finalize) =
            (order.location.clone(), order.json()?["finalize"].as_str().unwrap_or_default().to_owned());
        let mut done = self.post(&finalize, &csr).await?.json()?;
        while done["status"] != "valid" {
            if done["status"] == "invalid" {
                return Err(done.to_string().into());
            }
            done = self.post(&location, "").await?.json()?;
        }
        let url = done["certificate"].as_str().unwrap_or_default().to_owned();
        let chain = self.post(&url, "").await?.body;
        if chain.starts_with(b"-----BEGIN CERTIFICATE-----") { Ok(()) } else { Err("no certificate".into()) }
    }

    /// Proves a name to a server that accepts everything, so that it need not be proven again.
    pub(super) async fn prove(&mut self, host: &str) -> Result<(), Error> {
        let payload = json!({"identifiers": [{"type": "dns", "value": host}]}).to_string();
        let order = self.post(&self.url("newOrder"), &payload).await?.json()?;
        let authorization = order["authorizations"][0].as_str().unwrap_or_default().to_owned();
        let shown = self.post(&authorization, "").await?.json()?;
        let challenge = shown["challenges"][0]["url"].as_str().unwrap_or_default().to_owned();
        self.post(&challenge, "{}").await?;
        let began = Instant::now();
        while self.post(&authorization, "").await?.json()?["status"] != "valid" {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("the name is not proven".into());
            }
        }
        Ok(())
    }
}

fn header(response: &Response<Incoming>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A request for a certificate with a new P-256 key (RFC 2986), without names or for a host.
pub(super) fn request(host: Option<&str>) -> Result<Vec<u8>, Error> {
    const SPKI: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    const EXTENSION_REQUEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
    const ECDSA_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let attributes = host.map_or_else(Vec::new, |host| {
        let names = element(0x30, &[&element(0x82, &[host.as_bytes()])]);
        let extension = element(0x30, &[SUBJECT_ALT_NAME, &element(0x04, &[&names])]);
        element(0x30, &[EXTENSION_REQUEST, &element(0x31, &[&element(0x30, &[&extension])])])
    });
    let spki = [SPKI, key.public_key().as_ref()].concat();
    let info = element(0x30, &[&[2, 1, 0], &element(0x30, &[]), &spki, &element(0xa0, &[&attributes])]);
    let signature = key.sign(&SystemRandom::new(), &info)?;
    Ok(element(0x30, &[&info, &element(0x30, &[ECDSA_SHA256]), &element(0x03, &[&[0], signature.as_ref()])]))
}

/// A DER element of less than 64 KiB.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = (content.len() as u16).to_be_bytes();
    let head: &[u8] = if content.len() < 0x80 { &[tag, low] } else { &[tag, 0x82, high, low] };
    let head = if (0x80..0x100).contains(&content.len()) { &[tag, 0x81, low][..] } else { head };
    [head, &content].concat()
}
