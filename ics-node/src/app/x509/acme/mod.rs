//! The ACME server of the domains that issue certificates here: carries out what `crate::acme` decides about a request.
//!
//! Who may have a certificate for what is not decided here: an account speaks for a thing or for a signer, and
//! `app::x509::certify` consults the record.

mod accounts;
mod credentials;
mod entitle;
mod look;
mod orders;
mod renewal;
mod revocation;

use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde_json::{Value, json};

use super::certify::{CertifyError, CertifyFault, Requester};
use crate::acme::account::{Account, Holder};
use crate::acme::jwk::Jwk;
use crate::acme::jws::{By, Signed};
use crate::acme::nonce::Nonces;
use crate::acme::problem::{Kind, Problem};
use crate::acme::urls::{Resource, Urls};
use crate::app::challenge::Challenges;
use crate::app::{App, AppError, random};
use crate::config::AcmeConfig;
use crate::store::{AcmeStore, Durability, Part, StoreError};
use crate::x509::sha256;

use self::accounts::Rounds;
use self::look::Looks;
use self::orders::UnderWay;
pub use look::Look;

/// How a node's ACME server is set up.
#[derive(Debug, Clone)]
pub struct AcmeSetup {
    /// The operator's configuration.
    pub config: AcmeConfig,
    /// How clients reach the node: the beginning of the server's URLs.
    pub url: String,
}

/// The ACME server of a node.
pub(crate) struct Acme {
    config: AcmeConfig,
    url: String,
    nonces: Nonces,
    store: AcmeStore,
    under_way: UnderWay,
    looks: Arc<Looks>,
    challenges: Challenges,
    rounds: Rounds,
}

/// The answer to a client.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: AnswerBody,
    /// The URL of what was created.
    pub location: Option<String>,
    /// The URLs of related resources, by their relation (RFC 8288).
    pub links: Vec<(&'static str, String)>,
    /// How many seconds to wait before asking again.
    pub retry_after: Option<u64>,
    /// A challenge that is now to be checked.
    pub look: Option<Look>,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    /// None.
    Nothing,
    /// JSON.
    Json(Value),
    /// A chain of certificates.
    Pem(String),
}

impl Answer {
    fn json(json: Value) -> Self {
        Self { body: AnswerBody::Json(json), ..Self::nothing() }
    }

    const fn nothing() -> Self {
        Self {
            status: 200,
            body: AnswerBody::Nothing,
            location: None,
            links: Vec::new(),
            retry_after: None,
            look: None,
        }
    }

    fn created(json: Value, location: String) -> Self {
        Self { status: 201, location: Some(location), ..Self::json(json) }
    }
}

/// The sender of a request with a good signature.
struct Client {
    id: u64,
    account: Arc<Account>,
}

impl Acme {
    pub(crate) fn open(setup: &AcmeSetup, data: &std::path::Path) -> Result<Self, AppError> {
        Ok(Self {
            config: setup.config.clone(),
            url: setup.url.clone(),
            nonces: Nonces::new(&random()?),
            store: AcmeStore::open(data)?,
            under_way: UnderWay::default(),
            looks: Arc::default(),
            challenges: Challenges::default(),
            rounds: Rounds::default(),
        })
    }
}

impl App {
    /// The URL of the directory, which is all that clients are told about the server.
    ///
    /// # Errors
    /// When the node has no ACME server, or the domain issues no certificates here.
    pub fn acme_directory_url(&self, domain: &DomainName) -> Result<String, Problem> {
        Ok(self.acme(domain)?.1.of(&Resource::Directory))
    }

    /// The directory (RFC 8555, 7.1.1).
    ///
    /// # Errors
    /// As [`App::acme_directory_url`].
    pub fn acme_directory(&self, domain: &DomainName) -> Result<Value, Problem> {
        let (_, urls) = self.acme(domain)?;
        let profiles: serde_json::Map<String, Value> =
            self.acme_profiles(domain)?.into_iter().map(|(name, text)| (name, text.into())).collect();
        Ok(json!({
            "newNonce": urls.of(&Resource::NewNonce),
            "newAccount": urls.of(&Resource::NewAccount),
            "newOrder": urls.of(&Resource::NewOrder),
            "newAuthz": urls.of(&Resource::NewAuthz),
            "revokeCert": urls.of(&Resource::RevokeCert),
            "keyChange": urls.of(&Resource::KeyChange),
            "renewalInfo": urls.of(&Resource::RenewalInfo(String::new())).trim_end_matches('/'),
            // A thing whose record names the account's key is known already; everybody else needs a binding.
            "meta": {"externalAccountRequired": true, "profiles": profiles},
        }))
    }

    /// Deletes some of what ended long ago. Orders have that done as well, but they may be rare.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::app) fn acme_clear(&self) -> Result<(), AppError> {
        let Some(acme) = &self.0.acme else { return Ok(()) };
        let now = self.acme_now();
        Ok(acme.store.with(Durability::Soon, |tx| tx.clear(now))?)
    }

    /// A nonce.
    ///
    /// # Errors
    /// When the node has no ACME server.
    pub fn acme_nonce(&self) -> Result<String, Problem> {
        Ok(self.acme_server()?.nonces.give())
    }

    /// Answers a POST (RFC 8555, 6.2), which is always signed.
    ///
    /// # Errors
    /// With the protocol's own error; nothing is issued or stored then. Or when the witnesses are unavailable: then
    /// what was to be said about the certificate may be in the log, and is shown later.
    pub async fn acme_post(&self, domain: &DomainName, resource: &Resource, body: &[u8]) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let request = Signed::parse(body)?;
        let url = urls.of(resource);
        if request.header.url != url {
            return Err(Problem::new(Kind::Unauthorized, format!("the request was signed for another URL than {url}")));
        }
        if !request.header.nonce.as_ref().is_some_and(|nonce| acme.nonces.take(nonce)) {
            return Err(Problem::new(Kind::BadNonce, "the nonce was not given out here, or was used; take a new one"));
        }
        match resource {
            Resource::NewAccount => self.acme_new_account(domain, &request),
            Resource::RevokeCert => self.acme_revoke(domain, &request).await,
            _ => {
                let client = self.acme_client(domain, &request)?;
                self.acme_answer(domain, resource, &request, &client).await
            }
        }
    }

    async fn acme_answer(
        &self,
        domain: &DomainName,
        resource: &Resource,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        match resource {
            Resource::Account(id) => self.acme_account(domain, *id, request, client),
            Resource::Orders(id) => self.acme_orders(domain, *id, request, client),
            Resource::KeyChange => self.acme_key_change(domain, request, client),
            Resource::NewOrder => self.acme_new_order(domain, &request.json()?, client),
            Resource::NewAuthz => self.acme_new_authz(domain, &request.json()?, client),
            Resource::Order(id) => as_get(request).and_then(|()| self.acme_order(domain, *id, client)),
            Resource::Finalize(id) => self.acme_finalize(domain, *id, &request.json()?, client).await,
            Resource::Authorization(id) => self.acme_authorization(domain, *id, request, client),
            Resource::Challenge(id, method) => self.acme_challenge(domain, *id, *method, request, client),
            Resource::Certificate(id, chain) => {
                as_get(request).and_then(|()| self.acme_certificate(domain, *id, *chain, client))
            }
            Resource::Directory => as_get(request).and_then(|()| self.acme_directory(domain).map(Answer::json)),
            Resource::NewNonce => as_get(request).map(|()| Answer { status: 204, ..Answer::nothing() }),
            Resource::RenewalInfo(_) | Resource::NewAccount | Resource::RevokeCert => {
                Err(Problem::new(Kind::MethodNotAllowed, "this URL takes GET"))
            }
        }
    }

    /// The account that has signed a request.
    fn acme_client(&self, domain: &DomainName, request: &Signed) -> Result<Client, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let By::Kid(kid) = &request.header.by else {
            return Err(Problem::malformed("this request is signed as an account: it takes `kid`, not `jwk`"));
        };
        let id = urls.account(kid)?;
        let account = acme.store.account(domain, id)?;
        let account = account
            .ok_or_else(|| Problem::new(Kind::AccountDoesNotExist, "there is no such account in this domain"))?;
        request.verify(&account.key)?;
        account.check_valid()?;
        self.acme_check_holder(domain, &account.holder)?;
        if !request.payload().is_empty() {
            self.acme_check_key(domain, &account.key, Some(account.holder))?;
        }
        Ok(Client { id, account })
    }

    /// Checks that an account's signer could still prove who they are. After a signer's key is declared compromised, a
    /// thief may have been the one who bound the account; after the signer's certificate is revoked or has expired, the
    /// log accepts nothing from the signer either.
    fn acme_check_holder(&self, domain: &DomainName, holder: &Holder) -> Result<(), Problem> {
        let Holder::Signer(signer) = holder else { return Ok(()) };
        let hosted = self.hosted(domain)?;
        let Some(domain) = hosted.domain() else { return Ok(()) };
        let now = self.acme_now();
        let refused = |why: &str| {
            let detail = format!("the signer {signer}, for whom this account speaks, {why}");
            Err(Problem::new(Kind::Unauthorized, detail))
        };
        if domain.is_key_compromised(signer) {
            return refused("is declared compromised");
        }
        let can_sign = domain.certificate(signer).is_some_and(|(_, it)| it.signing_keys(now).next().is_some());
        if can_sign {
            return Ok(());
        }
        refused(
            "has no key that may sign: their OpenPGP certificate is revoked or has expired; submit it renewed, or bind \
             an account to another signer",
        )
    }

    /// Checks that a thing's account may ask for something, for the thing itself or on behalf of another: not while the
    /// thing could get no certificate. Such an account may still read, revoke its own certificates, and be deactivated.
    fn acme_check_thing(&self, domain: &DomainName, holder: &Holder) -> Result<(), Problem> {
        let Holder::Thing(thing) = holder else { return Ok(()) };
        let hosted = self.hosted(domain)?;
        let spoken = self.check_speaks(&self.sight(&hosted)?, &IdentityId::Key(*thing));
        spoken.map_err(|error| match error.fault() {
            CertifyFault::Node => Problem::from(error),
            _ => {
                let detail = format!("the account speaks for {holder}, which gets nothing now: {error}");
                Problem::new(Kind::Unauthorized, detail)
            }
        })
    }

    /// Refuses a key that was given up as compromised: it no longer shows who signs. Read-only requests are not
    /// checked, since they change nothing.
    fn acme_check_key(&self, domain: &DomainName, key: &Jwk, holder: Option<Holder>) -> Result<(), Problem> {
        // A thing's account may have the thing's own key, which each of its certificates names; what is said about the
        // thing is read for what it asks anyway.
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let known = match holder {
            Some(Holder::Thing(thing)) => self.resolve_again(&sight, &IdentityId::Key(thing), &[])?,
            Some(Holder::Signer(_)) | None => None,
        };
        let about = known.as_ref().map(|known| known.1.as_slice()).unwrap_or_default();
        if self.is_given_up_besides(&sight, sha256(&key.to_spki()), about)? {
            return Err(Problem::new(Kind::Unauthorized, "the account's key was given up as compromised"));
        }
        Ok(())
    }

    fn acme_server(&self) -> Result<&Acme, Problem> {
        let none = || Problem::new(Kind::NotFound, "this node has no ACME server; `[acme]` in ics.toml makes one");
        self.0.acme.as_ref().ok_or_else(none)
    }

    /// The server of a domain that issues here.
    fn acme(&self, domain: &DomainName) -> Result<(&Acme, Urls), Problem> {
        let acme = self.acme_server()?;
        // The domain of a copy issues elsewhere: no order placed here would end in a certificate.
        let home = self.hosted(domain).ok().filter(|hosted| hosted.part == Part::Home);
        let known = home.and_then(|home| home.domain());
        if known.is_some_and(|known| known.descriptor().certificates.is_some()) {
            Ok((acme, Urls::new(&acme.url, domain)))
        } else {
            Err(Problem::new(Kind::NotFound, format!("no certificates of `{domain}` are issued here")))
        }
    }

    fn acme_now(&self) -> Timestamp {
        self.clock().now()
    }
}

impl Acme {
    /// Whether nobody who uses the file of what it remembers waits for the disk.
    pub(crate) fn is_quick(&self) -> bool {
        self.store.is_quick()
    }

    /// Runs a job that only reads.
    fn look<T>(&self, job: impl FnOnce(&crate::store::AcmeTx<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        self.store.look(job)
    }

    /// Writes what a power cut may lose. The job must decide before it writes: see [`AcmeStore::with`].
    fn note<T>(&self, job: impl FnOnce(&crate::store::AcmeTx<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        self.store.with(Durability::Soon, job)
    }

    /// Writes what must not be lost once acknowledged.
    fn keep<T>(&self, job: impl FnOnce(&crate::store::AcmeTx<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        self.store.with(Durability::Now, job)
    }
}

impl Holder {
    /// The capacity in which it asks for certificates.
    const fn requester(self) -> Requester {
        match self {
            Self::Signer(signer) => Requester::Signer(signer),
            Self::Thing(thing) => Requester::Identity(IdentityId::Key(thing)),
        }
    }
}

/// POST-as-GET (RFC 8555, 6.3).
fn as_get(request: &Signed) -> Result<(), Problem> {
    if request.payload().is_empty() {
        Ok(())
    } else {
        Err(Problem::malformed("this URL is only for reading, so the payload must be empty"))
    }
}

/// For something that does not exist or belongs to another account: both look alike.
fn not_yours(what: &str) -> Problem {
    Problem::new(Kind::Unauthorized, format!("this account has no such {what}"))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        AppError::from(error).into()
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error.code().status() {
            500 => {
                tracing::error!(%error, "the ACME server failed");
                Self::new(Kind::ServerInternal, "the node failed; its log says why")
            }
            503 => Self { retry_after: Some(2), ..Self::new(Kind::Busy, error.to_string()) },
            _ => Self::malformed(error.to_string()),
        }
    }
}

impl From<CertifyError> for Problem {
    fn from(error: CertifyError) -> Self {
        let kind = match error.fault() {
            CertifyFault::Request => Kind::BadCsr,
            CertifyFault::Key => Kind::BadPublicKey,
            CertifyFault::Name => Kind::RejectedIdentifier,
            CertifyFault::Denied | CertifyFault::Unproven => Kind::Unauthorized,
            CertifyFault::Reason => Kind::BadRevocationReason,
            CertifyFault::Already => Kind::AlreadyRevoked,
            CertifyFault::Unknown => Kind::RejectedIdentifier,
            CertifyFault::Node => return AppError::from(error).into(),
        };
        Self::new(kind, error.to_string())
    }
}
