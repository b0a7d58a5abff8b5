//! A device's minimal ACME client (RFC 8555): the account has the device's own key, which its record knows, so there is
//! nothing to prove.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::{BitString, SetOfVec};
use der::{Decode as _, Encode as _};
use ed25519_dalek::{Signer as _, SigningKey};
use p256::SecretKey;
use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use x509_cert::name::RdnSequence;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::error::{Result, ensure, unexpected};
use super::props::random;
use crate::tls::stranger_client;
use crate::x509::oid;

/// A client with its account.
pub(super) struct AcmeClient {
    http: reqwest::Client,
    directory: Value,
    key: SigningKey,
    account: Option<String>,
}

/// A key for a certificate, and a request for it (PKCS #10, DER) that names nothing, since the record determines the
/// contents of the certificate.
pub(super) fn request() -> Result<(SecretKey, Vec<u8>)> {
    let key = SecretKey::from_slice(&random::<32>()?).map_err(unexpected)?;
    let spki = key.public_key().to_public_key_der().map_err(unexpected)?;
    let info = CertReqInfo {
        version: Version::V1,
        subject: RdnSequence::default(),
        public_key: SubjectPublicKeyInfoOwned::from_der(spki.as_bytes()).map_err(unexpected)?,
        attributes: SetOfVec::default(),
    };
    let signature: DerSignature = p256::ecdsa::SigningKey::from(&key).sign(&info.to_der().map_err(unexpected)?);
    let algorithm = AlgorithmIdentifierOwned { oid: oid::ECDSA_SHA256, parameters: None };
    let signature = BitString::from_bytes(signature.as_bytes()).map_err(unexpected)?;
    let der = CertReq { info, algorithm, signature }.to_der().map_err(unexpected)?;
    Ok((key, der))
}

/// The answer of a server.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).map_err(unexpected)
    }

    /// A text member of the answer; an error if it is missing or not a text.
    fn member(&self, name: &str) -> Result<String> {
        let value = self.json()?;
        ensure(self.status.is_success(), || format!("the ACME server says {}: {}", self.status, self.text))?;
        text(&value, name).ok_or_else(|| unexpected(format!("there is no `{name}` in {value}")))
    }
}

fn text(value: &Value, member: &str) -> Option<String> {
    value.get(member).and_then(Value::as_str).map(str::to_owned)
}

impl AcmeClient {
    /// Registers an account at the server with this directory.
    pub(super) async fn register(directory: &str, key: SigningKey) -> Result<Self> {
        let http = stranger_client(directory, None).map_err(unexpected)?.build().map_err(unexpected)?;
        let text = http.get(directory).send().await.map_err(unexpected)?.text().await.map_err(unexpected)?;
        let directory = serde_json::from_str(&text).map_err(unexpected)?;
        let mut client = Self { http, directory, key, account: None };
        let url = client.place("newAccount")?;
        let answer = client.post(&url, Some(&json!({"termsOfServiceAgreed": true}))).await?;
        ensure(answer.status.is_success(), || format!("there is no account: {}", answer.text))?;
        let location = answer.headers.get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        client.account = Some(location.ok_or_else(|| unexpected("the account has no address"))?);
        Ok(client)
    }

    /// Gets a certificate for a name and a request; returns the chain in PEM.
    pub(super) async fn enrol(&self, urn: &str, csr: &[u8]) -> Result<String> {
        let order = self.order(urn).await?;
        let finalize = order.member("finalize")?;
        let csr = json!({"csr": URL_SAFE_NO_PAD.encode(csr)});
        let certificate = self.post(&finalize, Some(&csr)).await?.member("certificate")?;
        let chain = self.post(&certificate, None).await?;
        ensure(chain.status.is_success(), || chain.text.clone())?;
        Ok(chain.text)
    }

    /// Places an order that must be refused; returns the status and detail of the problem.
    pub(super) async fn refused(&self, urn: &str) -> Result<(u16, String)> {
        let answer = self.order(urn).await?;
        ensure(answer.status.is_client_error(), || format!("the order was taken: {}", answer.text))?;
        let detail = text(&answer.json()?, "detail").unwrap_or_default();
        Ok((answer.status.as_u16(), detail))
    }

    async fn order(&self, urn: &str) -> Result<Answer> {
        let identifiers = json!({"identifiers": [{"type": "permanent-identifier", "value": urn}]});
        self.post(&self.place("newOrder")?, Some(&identifiers)).await
    }

    fn place(&self, name: &str) -> Result<String> {
        text(&self.directory, name).ok_or_else(|| unexpected(format!("the directory has no `{name}`")))
    }

    /// Sends a signed request, which is a POST-as-GET without a payload (RFC 8555, 6.2 and 6.3).
    async fn post(&self, url: &str, payload: Option<&Value>) -> Result<Answer> {
        let given = self.http.head(self.place("newNonce")?).send().await.map_err(unexpected)?;
        let nonce = given.headers().get("replay-nonce").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let head = match &self.account {
            Some(account) => json!({"alg": "EdDSA", "nonce": nonce, "url": url, "kid": account}),
            None => json!({"alg": "EdDSA", "nonce": nonce, "url": url, "jwk": self.jwk()}),
        };
        let head = URL_SAFE_NO_PAD.encode(head.to_string());
        let payload = payload.map_or_else(String::new, |value| URL_SAFE_NO_PAD.encode(value.to_string()));
        let signature = self.key.sign(format!("{head}.{payload}").as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.to_bytes());
        let body = json!({"protected": head, "payload": payload, "signature": signature}).to_string();
        let request = self.http.post(url).header("content-type", "application/jose+json").body(body);
        let response = request.send().await.map_err(unexpected)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await.map_err(unexpected)? })
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.key.verifying_key().to_bytes())})
    }
}
