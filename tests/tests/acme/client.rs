//! A client that does as it is told, right or wrong.

use std::cell::RefCell;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer as _, SigningKey};
use ics_node::api::AcmeCredential;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::Server;
use crate::world::DOMAIN;

/// An account's key, and the server that the client talks to.
pub(crate) struct Client<'s> {
    pub(crate) server: &'s Server,
    pub(crate) key: SigningKey,
    pub(crate) kid: RefCell<Option<String>>,
    pub(crate) http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text")).to_owned()
    }

    pub(crate) fn location(&self) -> String {
        self.header("location")
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts that this is an error of the protocol; returns its detail.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, kind: &str) -> String {
        let json = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        assert_eq!(
            (self.status, &json["type"]),
            (status, &format!("urn:ietf:params:acme:error:{kind}").into()),
            "{json}"
        );
        assert_eq!(json["status"], status, "{json}");
        json["detail"].as_str().expect("a detail").to_owned()
    }
}

pub(crate) fn jwk(key: &SigningKey) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(key.verifying_key().as_bytes())})
}

/// HMAC with SHA-256 (RFC 2104), for keys of up to 64 bytes.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| (0..64).map(|at| key.get(at).unwrap_or(&0) ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

impl<'s> Client<'s> {
    /// A client with the key of this seed, as the world's devices have.
    pub(crate) fn new(server: &'s Server, seed: u8) -> Self {
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
        Self { server, key: SigningKey::from_bytes(&[seed; 32]), kid: RefCell::default(), http }
    }

    /// A client with the account of a thing that holds this key itself.
    pub(crate) fn thing(server: &'s Server, seed: u8) -> Self {
        let client = Self::new(server, seed);
        client.register(&json!({})).is(201);
        client
    }

    /// A client whose account speaks for the holder of the credential.
    pub(crate) fn bound(server: &'s Server, seed: u8, credential: &AcmeCredential) -> Self {
        let client = Self::new(server, seed);
        let binding = client.binding(&credential.kid, &credential.hmac_key, &client.url("new-account"));
        client.register(&json!({"externalAccountBinding": binding})).is(201);
        client
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/acme/{DOMAIN}/{path}", self.server.url)
    }

    pub(crate) fn binding(&self, kid: &str, secret: &str, url: &str) -> Value {
        let protected = json!({"alg": "HS256", "kid": kid, "url": url}).to_string();
        let protected = BASE64URL_NOPAD.encode(protected.as_bytes());
        let payload = BASE64URL_NOPAD.encode(jwk(&self.key).to_string().as_bytes());
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).expect("base64url");
        let tag = hmac(&secret, format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": BASE64URL_NOPAD.encode(&tag)})
    }

    /// Creates the account, or finds it.
    pub(crate) fn register(&self, payload: &Value) -> Answer {
        let answer = self.post_as_key("new-account", payload);
        if answer.status < 300 {
            *self.kid.borrow_mut() = Some(answer.location());
        }
        answer
    }

    pub(crate) fn get(&self, method: &str, url: &str) -> Answer {
        self.send(self.http.request(method.parse::<Method>().expect("a method"), url))
    }

    pub(crate) fn nonce(&self) -> String {
        self.get("HEAD", &self.url("new-nonce")).is(200).header("replay-nonce")
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.server.runtime.block_on(async {
            let response = request.send().await.expect("answers");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, body: response.bytes().await.expect("a body").to_vec() }
        })
    }

    /// A flattened JWS with this header.
    pub(crate) fn sign(&self, header: &Value, payload: &str) -> Value {
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signature = self.key.sign(format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": BASE64URL_NOPAD.encode(&signature.to_bytes())})
    }

    pub(crate) fn header(&self, url: &str) -> Value {
        json!({"alg": "EdDSA", "nonce": self.nonce(), "url": url, "kid": *self.kid.borrow()})
    }

    pub(crate) fn send_as(&self, media_type: &str, url: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.http.post(url).header("content-type", media_type).body(body))
    }

    pub(crate) fn send_jws(&self, url: &str, jws: &Value) -> Answer {
        self.send_as("application/jose+json", url, jws.to_string())
    }

    /// Posts to a URL as the account.
    pub(crate) fn post_to(&self, url: &str, payload: &Value) -> Answer {
        self.send_jws(url, &self.sign(&self.header(url), &payload.to_string()))
    }

    /// Posts to a path as the account.
    pub(crate) fn post(&self, path: &str, payload: &Value) -> Answer {
        self.post_to(&self.url(path), payload)
    }

    /// Reads a URL with POST-as-GET.
    pub(crate) fn read(&self, url: &str) -> Answer {
        self.send_jws(url, &self.sign(&self.header(url), ""))
    }

    /// Posts to a path as the key itself.
    pub(crate) fn post_as_key(&self, path: &str, payload: &Value) -> Answer {
        let url = self.url(path);
        let header = json!({"alg": "EdDSA", "nonce": self.nonce(), "url": url, "jwk": jwk(&self.key)});
        self.send_jws(&url, &self.sign(&header, &payload.to_string()))
    }

    pub(crate) fn order(&self, identifiers: &[(&str, &str)]) -> Answer {
        self.post("new-order", &json!({"identifiers": wanted(identifiers)}))
    }

    /// How many orders the account has made.
    pub(crate) fn orders(&self) -> usize {
        let account = self.kid.borrow().clone().expect("an account");
        let listed = self.read(&format!("{account}/orders")).is(200).json();
        listed["orders"].as_array().expect("a list").len()
    }

    pub(crate) fn finalize(&self, order: &Answer, csr: &[u8]) -> Answer {
        let url = order.json()["finalize"].as_str().expect("a URL").to_owned();
        self.post_to(&url, &json!({"csr": BASE64URL_NOPAD.encode(csr)}))
    }

    /// Gets a certificate for these identifiers; returns its chain in PEM, and its URL.
    pub(crate) fn certificate(&self, identifiers: &[(&str, &str)], csr: &[u8]) -> (String, String) {
        let order = self.order(identifiers).is(201);
        let done = self.finalize(&order, csr).is(200).json();
        assert_eq!(done["status"], "valid", "{done}");
        let url = done["certificate"].as_str().expect("a URL").to_owned();
        (self.read(&url).is(200).text(), url)
    }

    pub(crate) fn revoke(&self, certificate: &[u8], reason: Option<u64>) -> Answer {
        let mut payload = json!({"certificate": BASE64URL_NOPAD.encode(certificate)});
        if let Some(reason) = reason {
            payload["reason"] = reason.into();
        }
        self.post("revoke-cert", &payload)
    }
}

pub(crate) fn wanted(identifiers: &[(&str, &str)]) -> Value {
    identifiers.iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect()
}

/// The first certificate of a chain, in DER.
pub(crate) fn first_der(chain: &str) -> Vec<u8> {
    ics_node::x509::read_certificate(chain.as_bytes()).expect("a certificate").1
}
