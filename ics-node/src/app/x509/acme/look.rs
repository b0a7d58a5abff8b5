//! Checks ACME challenges at the identifier itself, and only at addresses that the operator allows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ics_core::limits;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::acme::account::Holder;
use crate::acme::authorization::{Method, answers_http, answers_tls};
use crate::acme::problem::{Kind, Problem};
use crate::app::App;
use crate::config::AcmeConfig;
use crate::locked::Locked as _;

/// How long one check may take.
const LOOK_TIME: Duration = Duration::from_secs(limits::ACME_LOOK_SECONDS);
/// How many addresses of a name are tried.
const ADDRESSES: usize = 2;
/// The ALPN protocol of tls-alpn-01 (RFC 8737, 6).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The checks that wait or are under way. The number waiting is limited for each holder and in total: somebody whose
/// hosts do not answer cannot keep others' challenges waiting until their clients give up. They are kept only in
/// memory; those lost by a restart are repeated when the client asks again.
#[derive(Debug)]
pub(super) struct Looks {
    places: Semaphore,
    waiting: Mutex<BTreeMap<(u64, Method), Holder>>,
}

/// A check that waits or is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Waits {
    looks: Arc<Looks>,
    challenge: (u64, Method),
}

impl Default for Looks {
    fn default() -> Self {
        Self { places: Semaphore::new(limits::ACME_LOOKS), waiting: Mutex::default() }
    }
}

impl Looks {
    /// Whether a check of a challenge of this authorization waits or is under way.
    pub(super) fn has(&self, authorization: u64, method: Method) -> bool {
        self.waiting().contains_key(&(authorization, method))
    }

    /// Queues a check on behalf of a holder.
    pub(super) fn queue(
        self: &Arc<Self>,
        authorization: u64,
        method: Method,
        holder: Holder,
    ) -> Result<Waits, Problem> {
        let mut waiting = self.waiting();
        let (own, all) = (waiting.values().filter(|other| **other == holder).count(), waiting.len());
        let full = |number: usize, whose: &str| {
            let detail = format!("{number} challenges{whose} wait to be checked; say again that this one is ready");
            let retry_after = Some(limits::ACME_LOOK_SECONDS);
            Err(Problem { retry_after, ..Problem::new(Kind::RateLimited, detail) })
        };
        if own >= limits::ACME_LOOKS_OF_HOLDER {
            return full(own, &format!(" of {holder}"));
        }
        if all >= limits::ACME_LOOKS_WAITING {
            return full(all, "");
        }
        let challenge = (authorization, method);
        waiting.insert(challenge, holder);
        Ok(Waits { looks: Arc::clone(self), challenge })
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(u64, Method), Holder>> {
        self.waiting.locked()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.looks.waiting().remove(&self.challenge);
    }
}

/// A challenge to be checked.
#[derive(Debug)]
pub struct Look {
    pub(super) _waits: Waits,
    pub(super) authorization: u64,
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) token: String,
    pub(super) key_authorization: String,
}

impl App {
    /// Checks a challenge, and stores the result. Only a limited number of checks run at a time; others wait.
    pub async fn acme_look(self, look: Look) {
        let Ok(acme) = self.acme_server() else { return };
        let Ok(_place) = acme.looks.places.acquire().await else { return };
        let found = tokio::time::timeout(LOOK_TIME, look.find(&acme.config)).await;
        let late = || Problem::new(Kind::Connection, format!("no answer within {} s", LOOK_TIME.as_secs()));
        let found = found.unwrap_or_else(|_| Err(late()));
        // A host may be named after a person, and the node's own log is never erased.
        let (host, method, found_it) = (&look.host, look.method.as_str(), found.is_ok());
        tracing::debug!(%host, method, found = found_it, "a challenge was checked");
        let app = self.clone();
        let kept = crate::background::spawn(move || app.acme_found(&look, found)).await;
        if !matches!(kept, Ok(Ok(()))) {
            tracing::error!(?kept, "the result of a challenge could not be stored");
        }
    }

    fn acme_found(&self, look: &Look, found: Result<(), Problem>) -> Result<(), Problem> {
        let now = self.acme_now();
        self.acme_server()?.note(|tx| {
            // If the transaction that made it was taken back meanwhile, its number may be another one's.
            if let Some(mut authorization) = tx.authorization(look.authorization)?
                && authorization.challenge(look.method).is_ok_and(|challenge| challenge.token == look.token)
            {
                authorization.finish(look.method, found, now);
                tx.put_authorization(look.authorization, &authorization)?;
            }
            Ok(())
        })
    }
}

impl Look {
    async fn find(&self, config: &AcmeConfig) -> Result<(), Problem> {
        let port = match self.method {
            Method::Http01 => config.http_port,
            Method::TlsAlpn01 => config.tls_port,
        };
        let mut last = Err(Problem::new(Kind::Dns, format!("`{}` has no address that this node may ask", self.host)));
        for address in addresses(&self.host, port, config).await?.into_iter().take(ADDRESSES) {
            last = match self.method {
                Method::Http01 => self.find_http(address).await,
                Method::TlsAlpn01 => self.find_tls(address).await,
            };
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Redirects are not followed: they would lead away from the identifier.
    async fn find_http(&self, address: SocketAddr) -> Result<(), Problem> {
        let failed = |error: reqwest::Error| {
            Problem::new(Kind::Connection, format!("`{}` did not answer over HTTP: {error}", self.host))
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(&self.host, address)
            .tls_backend_preconfigured(tls()?)
            .build()
            .map_err(failed)?;
        let url = format!("http://{}:{}/.well-known/acme-challenge/{}", self.host, address.port(), self.token);
        let mut response = client.get(url).send().await.map_err(failed)?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            return Err(incorrect(format!("`{}` answered {status}", self.host)));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::ACME_ANSWER_BYTES {
                return Err(incorrect(format!(
                    "`{}` answered more than {} bytes",
                    self.host,
                    limits::ACME_ANSWER_BYTES
                )));
            }
        }
        if answers_http(&body, &self.key_authorization) {
            Ok(())
        } else {
            Err(incorrect(format!("`{}` did not answer with the key authorization", self.host)))
        }
    }

    async fn find_tls(&self, address: SocketAddr) -> Result<(), Problem> {
        let failed = |error: std::io::Error| {
            Problem::new(Kind::Connection, format!("`{}` cannot be reached: {error}", self.host))
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Problem::new(Kind::Dns, format!("`{}` cannot be asked for over TLS", self.host)))?;
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls()?));
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| Problem::new(Kind::Tls, format!("`{}`: {error}", self.host)))?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(ACME_TLS) {
            return Err(Problem::new(Kind::Tls, format!("`{}` does not speak acme-tls/1", self.host)));
        }
        let shown = connection.peer_certificates().and_then(<[_]>::first).map(AsRef::as_ref).unwrap_or_default();
        if answers_tls(shown, &self.host, &self.key_authorization) {
            Ok(())
        } else {
            Err(incorrect(format!("`{}` did not show a certificate with the key authorization", self.host)))
        }
    }
}

/// The addresses of a name that may be contacted.
async fn addresses(host: &str, port: u16, config: &AcmeConfig) -> Result<Vec<SocketAddr>, Problem> {
    let known: Vec<IpAddr> = match config.hosts.get(host) {
        Some(address) => vec![*address],
        None => {
            let found = tokio::net::lookup_host((absolute(host), port)).await;
            let found = found.map_err(|error| Problem::new(Kind::Dns, format!("`{host}`: {error}")))?;
            found.map(|address| address.ip()).collect()
        }
    };
    let allowed = known.into_iter().filter(|address| config.may_ask(*address));
    Ok(allowed.map(|address| SocketAddr::new(address, port)).collect())
}

/// The fully qualified name. Without the final dot the search list of the node's machine would be tried as well, and a
/// stranger's server below one of its domains would prove the name.
fn absolute(host: &str) -> String {
    format!("{host}.")
}

fn incorrect(detail: String) -> Problem {
    Problem::new(Kind::IncorrectResponse, detail)
}

/// TLS that accepts any server: the certificate that it shows is itself the answer.
fn tls() -> Result<ClientConfig, Problem> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| Problem::new(Kind::ServerInternal, error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let verifier = Arc::new(Anybody(provider));
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}

/// Accepts any certificate. It is self-signed by somebody who knows the key authorization, so neither its signature nor
/// that of the handshake could prove more than its contents. Because of its critical extension, rustls would not even
/// look at it.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::account::Account;
    use crate::acme::authorization::Authorization;
    use crate::acme::identifier::Identifier;
    use crate::acme::jwk::Jwk;
    use crate::app::AcmeSetup;
    use crate::fixture::Party;

    fn holder(number: usize) -> Holder {
        Holder::Thing(format!("{number:040x}").parse().expect("a fingerprint"))
    }

    #[test]
    fn so_many_looks_wait_for_each_and_for_all() {
        let looks = Arc::new(Looks::default());
        let mut challenges = 0..;
        let mut queue = |number| {
            let authorization = challenges.next().expect("endless");
            let waits = looks.queue(authorization, Method::Http01, holder(number));
            waits.map_err(|problem| (problem.kind, problem.retry_after))
        };
        let full = Some((Kind::RateLimited, Some(limits::ACME_LOOK_SECONDS)));
        let mut waiting = Vec::new();
        for number in 0..limits::ACME_LOOKS_WAITING / limits::ACME_LOOKS_OF_HOLDER {
            waiting.extend((0..limits::ACME_LOOKS_OF_HOLDER).map(|_| queue(number).expect("waits")));
            assert_eq!(queue(number).err(), full, "he has as many as one may have");
        }
        assert_eq!(queue(1_000).err(), full, "there are as many as there may be");
        assert!(looks.has(0, Method::Http01) && !looks.has(0, Method::TlsAlpn01));
        waiting.pop();
        let other = queue(1_000).expect("one has been looked at");
        assert_eq!(queue(1_000).err(), full);
        drop((waiting, other));
        assert!(looks.waiting().is_empty(), "nothing is kept of whom nobody looks for");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_found_for_one_authorization_proves_no_other() {
        let maker = Party::found("devices.acme.example");
        let acme = AcmeSetup { config: AcmeConfig::default(), url: "https://ics.acme.example".to_owned() };
        let app = maker.open_with(|setup| setup.acme = Some(acme));
        let acme = app.acme_server().expect("a server");
        let (now, method) = (app.acme_now(), Method::Http01);
        let account = Account::new(Jwk::Ed25519([7; 32]), holder(1), Vec::new(), now);
        let made = acme.keep(|tx| {
            let (id, host) = (tx.add_account(&maker.domain, &account)?, Identifier::dns("gw.acme.example")?);
            let ways = [(method, "its own token".to_owned())];
            let mut authorization = Authorization::to_prove(id, host, now.plus_millis(60_000), ways);
            authorization.begin(method, false, now)?;
            Ok(tx.add_authorization(&authorization)?)
        });
        let authorization = made.expect("is kept");
        let is_valid_after = |token: &str| {
            let waits = acme.looks.queue(authorization, method, holder(1)).expect("waits");
            let (host, token, key_authorization) = ("gw.acme.example".to_owned(), token.to_owned(), String::new());
            let look = Look { _waits: waits, authorization, method, host, token, key_authorization };
            app.acme_found(&look, Ok(())).expect("is kept");
            let found = acme.look(|tx| Ok(tx.authorization(authorization)?)).expect("reads");
            found.is_some_and(|it| it.is_valid(now))
        };
        assert!(!is_valid_after("that of another, which had this number before"));
        assert!(is_valid_after("its own token"));
    }

    #[test]
    fn no_search_list_is_tried() {
        assert_eq!(absolute("gw.acme.example"), "gw.acme.example.");
    }
}
