//! ACME orders: what has to be proved for them, and the certificates in which they end.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ics_core::identity::IdentityId;
use ics_core::name::Name;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde::Deserialize;

use super::entitle::Entitled;
use super::{Acme, Answer, AnswerBody, Client, Look, not_yours};
use crate::acme::account::Holder;
use crate::acme::authorization::{Authorization, Method, token};
use crate::acme::identifier::{Asked, Identifier};
use crate::acme::jws::Signed;
use crate::acme::order::{NewOrder, ORDER_MILLIS, Order, OrderStatus, OrderUrls, Progress, read_identifiers};
use crate::acme::problem::{Kind, Problem};
use crate::acme::renewal::check_replaces;
use crate::acme::urls::{Resource, Urls};
use crate::app::x509::certify::{Application, CertifyError, CertifyFault, Issued, Requester, Unlogged};
use crate::app::{App, AppError, random};
use crate::locked::Locked as _;
use crate::store::{self, AcmeMade, AcmeTx};
use crate::x509::{Csr, certificate_pem, sha256};

/// How many seconds a client waits before asking again about something under way.
const ASK_AGAIN_SECONDS: u64 = 1;

/// The body of a request for an authorization without an order.
#[derive(Debug, Deserialize)]
pub(super) struct NewAuthorization {
    identifier: Asked,
}

/// The body of a request to finalize an order.
#[derive(Debug, Deserialize)]
pub(super) struct Finalize {
    csr: String,
}

#[derive(Deserialize)]
struct Update {
    status: String,
}

impl App {
    /// Accepts an order (RFC 8555, 7.4).
    pub(super) fn acme_new_order(
        &self,
        domain: &DomainName,
        asked: &NewOrder,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        asked.check_times()?;
        let identifiers = read_identifiers(&asked.identifiers)?;
        let replaced = asked.replaces.as_deref().map(|id| self.acme_replaced(domain, id)).transpose()?;
        let entitled = self.acme_entitle(domain, client, (&identifiers, AcmeMade::Order), asked.profile.as_deref())?;
        let now = self.acme_now();
        let expires = now.plus_millis(ORDER_MILLIS);
        let authorize = |identifier: &Identifier| acme.authorize(client, identifier, &entitled, expires);
        let authorizations: Vec<Authorization> = identifiers.iter().map(authorize).collect::<Result<_, _>>()?;
        let (id, order) = acme.note(|tx| {
            // Before the rate is counted: a job must decide before it writes.
            if let Some(digest) = &replaced {
                let known = tx.certificate_by_digest(domain, digest)?.filter(|(it, _)| it.account == client.id);
                let by = known.as_ref().and_then(|(_, order)| *order);
                let is_replaced = by.map(|order| acme.may_succeed(tx, order, client, now)).transpose()?;
                let got_for = known.as_ref().map(|(issued, _)| issued.identifiers.as_slice());
                check_replaces(got_for, &identifiers, is_replaced.unwrap_or_default())?;
            }
            acme.check_rate(tx, (domain, client), AcmeMade::Order, now)?;
            let numbers = authorizations.iter().map(|it| tx.add_authorization(it)).collect::<Result<_, _>>()?;
            let order = Order {
                account: client.id,
                identifiers: identifiers.clone(),
                authorizations: numbers,
                profile: entitled.profile.clone(),
                profile_named: asked.profile.is_some(),
                thing: entitled.thing,
                replaces: asked.replaces.clone(),
                expires,
                progress: Progress::Open,
            };
            let id = tx.add_order(&order, now)?;
            if let Some(digest) = &replaced {
                tx.set_replaced(domain, digest, id)?;
            }
            Ok((id, order))
        })?;
        let json = order.to_json(&authorizations, now, &urls_of(&urls, id, &order));
        Ok(Answer::created(json, urls.of(&Resource::Order(id))))
    }

    /// Accepts a request to prove control of an identifier before there is an order (RFC 8555, 7.4.1).
    pub(super) fn acme_new_authz(
        &self,
        domain: &DomainName,
        asked: &NewAuthorization,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let identifier = Identifier::read(&asked.identifier)?;
        let asked = (std::slice::from_ref(&identifier), AcmeMade::Authorization);
        let entitled = self.acme_entitle(domain, client, asked, None)?;
        let now = self.acme_now();
        let authorization = acme.authorize(client, &identifier, &entitled, now.plus_millis(ORDER_MILLIS))?;
        let id = acme.note(|tx| {
            acme.check_rate(tx, (domain, client), AcmeMade::Authorization, now)?;
            Ok(tx.add_lone_authorization(&authorization, now)?)
        })?;
        let json = authorization.to_json(now, |method| urls.of(&Resource::Challenge(id, method)));
        Ok(Answer::created(json, urls.of(&Resource::Authorization(id))))
    }

    /// Returns an order to its client.
    pub(super) fn acme_order(&self, domain: &DomainName, id: u64, client: &Client) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let (order, authorizations) =
            acme.on_order(id, client, |order, authorizations, _| Ok((order, authorizations)))?;
        Ok(self.acme_shown(&urls, id, &order, &authorizations))
    }

    fn acme_shown(&self, urls: &Urls, id: u64, order: &Order, authorizations: &[Authorization]) -> Answer {
        let now = self.acme_now();
        let waits = order.status(authorizations, now) == OrderStatus::Processing;
        let json = order.to_json(authorizations, now, &urls_of(urls, id, order));
        Answer {
            location: Some(urls.of(&Resource::Order(id))),
            retry_after: waits.then_some(ASK_AGAIN_SECONDS),
            ..Answer::json(json)
        }
    }

    /// Returns an authorization to its client, or deactivates it (RFC 8555, 7.5, 7.5.2).
    pub(super) fn acme_authorization(
        &self,
        domain: &DomainName,
        id: u64,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let update: Option<Update> = (!request.payload().is_empty()).then(|| request.json()).transpose()?;
        let now = self.acme_now();
        let authorization = match update {
            None => acme.look(|tx| own_authorization(tx, id, client)),
            Some(update) => acme.note(|tx| {
                let mut authorization = own_authorization(tx, id, client)?;
                authorization.update(&update.status, now)?;
                tx.put_authorization(id, &authorization)?;
                Ok(authorization)
            }),
        }?;
        let waits = authorization.status(now) == "pending";
        let json = authorization.to_json(now, |method| urls.of(&Resource::Challenge(id, method)));
        Ok(Answer { retry_after: waits.then_some(ASK_AGAIN_SECONDS), ..Answer::json(json) })
    }

    /// Returns a challenge to its client, or begins checking it (RFC 8555, 7.5.1).
    pub(super) fn acme_challenge(
        &self,
        domain: &DomainName,
        id: u64,
        method: Method,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let now = self.acme_now();
        let begins = !request.payload().is_empty();
        if begins {
            self.acme_check_thing(domain, &client.account.holder)?;
            request.json::<serde_json::Map<String, serde_json::Value>>()?;
        }
        let (authorization, waits) = acme.note(|tx| {
            let mut authorization = own_authorization(tx, id, client)?;
            let mut waits = None;
            if begins && authorization.begin(method, acme.looks.has(id, method), now)? {
                waits = Some(acme.looks.queue(id, method, client.account.holder)?);
                tx.put_authorization(id, &authorization)?;
            }
            Ok((authorization, waits))
        })?;
        let challenge = authorization.challenge(method)?;
        let look = waits.map(|waits| Look {
            _waits: waits,
            authorization: id,
            method,
            host: authorization.identifier.value().to_owned(),
            token: challenge.token.clone(),
            key_authorization: challenge.key_authorization(&client.account.key),
        });
        let url = urls.of(&Resource::Challenge(id, method));
        let links = vec![("up", urls.of(&Resource::Authorization(id)))];
        Ok(Answer {
            links,
            retry_after: Some(ASK_AGAIN_SECONDS),
            look,
            location: Some(url.clone()),
            ..Answer::json(challenge.to_json(&url))
        })
    }

    /// Makes the certificate of an order (RFC 8555, 7.4).
    pub(super) async fn acme_finalize(
        &self,
        domain: &DomainName,
        id: u64,
        asked: &Finalize,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let bad = |detail: String| Problem::new(Kind::BadCsr, detail);
        let der = URL_SAFE_NO_PAD.decode(&asked.csr).map_err(|error| bad(format!("csr: {error}")))?;
        let csr = Csr::parse(&der).map_err(|error| Problem::from(CertifyError::from(error)))?;
        check_key(client, &csr)?;
        let requested: BTreeSet<Name> = csr.wanted.iter().map(|wanted| wanted.name().clone()).collect();
        let now = self.acme_now();
        let (mut order, authorizations, _under_way) = acme.begin(id, client, &requested, now)?;
        let made = match self.acme_sign(domain, client, &order, &authorizations, &csr) {
            Ok(unlogged) => self.log_certificate(domain, unlogged).await.map_err(for_good),
            Err(failed) => Err(failed),
        };
        // While it is under way, nobody else changes it.
        acme.note(|tx| {
            match &made {
                Ok(issued) => order.finish(Ok(keep(tx, domain, client.id, &order, issued)?)),
                Err((problem, true)) => order.finish(Err(problem.clone())),
                Err((_, false)) => order.reopen(),
            }
            Ok(tx.put_order(id, &order)?)
        })?;
        made.map_err(|(problem, _)| problem)?;
        Ok(self.acme_shown(&urls, id, &order, &authorizations))
    }

    /// Signs the certificate of an order; otherwise returns why not, and whether that is final.
    fn acme_sign(
        &self,
        domain: &DomainName,
        client: &Client,
        order: &Order,
        authorizations: &[Authorization],
        csr: &Csr,
    ) -> Result<Unlogged, (Problem, bool)> {
        // A right that the record gave may be gone by now.
        let identity = IdentityId::Key(order.thing);
        let by_record = authorizations.iter().all(|it| it.challenges.is_empty());
        let requester = if by_record { client.account.holder.requester() } else { Requester::Identity(identity) };
        let hosted = self.hosted(domain).map_err(|error| for_good(error.into()))?;
        let sight = self.issues_here(&hosted).map_err(for_good)?;
        let issuing = self.issuing(&sight).map_err(for_good)?;
        let known = self.known_of(&issuing, &identity).map_err(for_good)?;
        // Whoever controls a host has not shown which device they are, so its serial number is not theirs.
        let takes = |name: &Name| order.takes(name) && (by_record || matches!(name, Name::Host(_)));
        let names = known.0.names.iter().map(|given| &given.value).filter(|name| takes(name));
        let names = names.filter_map(Identifier::of);
        let identifiers: BTreeSet<Identifier> = names.chain(order.identifiers.iter().cloned()).collect();
        self.acme_blocks(domain, client, &identifiers, &known.0).map_err(|problem| (problem, true))?;
        if client.account.holder != Holder::Thing(order.thing) {
            self.acme_check_thing(domain, &client.account.holder).map_err(|problem| {
                let is_for_good = matches!(problem.kind, Kind::Unauthorized);
                (problem, is_for_good)
            })?;
        }
        let application = Application { domain, requester, identity, profile: &order.profile, issuer: None };
        let unlogged = self.sign_known(&issuing, &application, &known, takes, csr).map_err(for_good)?;
        Ok(if by_record { unlogged } else { unlogged.of_place() })
    }

    /// A certificate, with one of its chains (RFC 8555, 7.4.2).
    pub(super) fn acme_certificate(
        &self,
        domain: &DomainName,
        id: u64,
        chain: usize,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let issued = acme.store.certificate(domain, id)?.filter(|it| it.account == client.id);
        let issued = issued.ok_or_else(|| not_yours("certificate"))?;
        let mut chains = issued.chains();
        let others = (0..chains.len()).filter(|other| *other != chain);
        let links = others.map(|other| ("alternate", urls.of(&Resource::Certificate(id, other)))).collect();
        let pem = chains.get_mut(chain).map(core::mem::take).ok_or_else(|| not_yours("certificate"))?;
        Ok(Answer { body: AnswerBody::Pem(pem), links, ..Answer::nothing() })
    }
}

impl Acme {
    /// Does something with a client's order, its authorizations, and the numbers of all orders that are under way, while
    /// none begins or ends to be. The database is asked, and waited for, only if memory does not have the order.
    fn on_order<T>(
        &self,
        id: u64,
        client: &Client,
        then: impl FnOnce(Order, Vec<Authorization>, &mut BTreeSet<u64>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut under_way = self.under_way.all();
        if let Some((order, authorizations)) = self.store.order_in_memory(id) {
            return then(own(order, id, client, &under_way)?, authorizations, &mut under_way);
        }
        // Jobs take these locks in the other order.
        drop(under_way);
        self.look(|tx| {
            let (order, authorizations) = stored_order(tx, id)?;
            let mut under_way = self.under_way.all();
            then(own(order, id, client, &under_way)?, authorizations, &mut under_way)
        })
    }

    /// Begins making the certificate of an order, which nobody else can do then until the mark is dropped.
    fn begin(
        &self,
        id: u64,
        client: &Client,
        requested: &BTreeSet<Name>,
        now: Timestamp,
    ) -> Result<(Order, Vec<Authorization>, Finalizing<'_>), Problem> {
        let (order, authorizations) = self.on_order(id, client, |mut order, authorizations, under_way| {
            order.check_names(requested)?;
            order.begin(&authorizations, now)?;
            under_way.insert(id);
            Ok((order, authorizations))
        })?;
        Ok((order, authorizations, Finalizing(&self.under_way, id)))
    }

    /// Whether an order has a certificate or may still get one; otherwise the certificate that it was to replace has no
    /// successor (RFC 9773, 5), whatever made the order fail.
    fn may_succeed(&self, tx: &AcmeTx<'_>, id: u64, client: &Client, now: Timestamp) -> Result<bool, Problem> {
        if tx.order(id)?.is_none_or(|order| order.account != client.id) {
            return Ok(false);
        }
        let (order, authorizations) = stored_order(tx, id)?;
        let order = own(order, id, client, &self.under_way.all())?;
        Ok(order.status(&authorizations, now) != OrderStatus::Invalid)
    }

    /// Checks the rate of one holder over all their accounts. Authorizations without an order are counted separately.
    pub(super) fn check_rate(
        &self,
        tx: &AcmeTx<'_>,
        (domain, client): (&DomainName, &Client),
        made: AcmeMade,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let (holder, limit) = (&client.account.holder, self.config.orders_per_hour);
        let Some(millis) = tx.count_one((domain, holder), made, limit, now)? else { return Ok(()) };
        let what = match made {
            AcmeMade::Order => "orders",
            AcmeMade::Authorization => "authorizations",
        };
        let detail = format!("{holder} may make at most {limit} {what} in an hour, over all of its accounts");
        Err(Problem { retry_after: Some(millis.div_ceil(1000)), ..Problem::new(Kind::RateLimited, detail) })
    }

    fn authorize(
        &self,
        client: &Client,
        identifier: &Identifier,
        entitled: &Entitled,
        expires: Timestamp,
    ) -> Result<Authorization, Problem> {
        if entitled.by_record {
            return Ok(Authorization::by_record(client.id, identifier.clone(), expires));
        }
        let methods = self.config.challenges.iter();
        let ways = methods.map(|method| Ok((*method, token(&random()?)))).collect::<Result<Vec<_>, AppError>>()?;
        Ok(Authorization::to_prove(client.id, identifier.clone(), expires, ways))
    }
}

/// The orders whose certificates are being made. This is kept only in memory: after a crash they can be finalized
/// again.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeSet<u64>>);

/// Ends the mark of an order that is under way. Whoever looks at an order while marks do not change sees either this one
/// or its result, provided that it is dropped after the result was stored.
struct Finalizing<'a>(&'a UnderWay, u64);

impl UnderWay {
    fn all(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.locked()
    }
}

impl Drop for Finalizing<'_> {
    fn drop(&mut self) {
        self.0.all().remove(&self.1);
    }
}

/// Why a certificate was not issued, and whether that is final. What is the node's own fault is not, nor that nobody
/// issues: the owners may have named the next issuer before its key has come here, or name it once the last has ended.
fn for_good(error: CertifyError) -> (Problem, bool) {
    let is_refused = matches!(error.fault(), CertifyFault::Denied | CertifyFault::Unknown);
    let is_for_good = is_refused && !matches!(error, CertifyError::NoIssuer { .. });
    (Problem::from(error), is_for_good)
}

/// Refuses a signer's account key in a certificate request (RFC 8555, 11.1); a thing may have only one key.
fn check_key(client: &Client, csr: &Csr) -> Result<(), Problem> {
    let is_same = matches!(client.account.holder, Holder::Signer(_)) && client.account.key.to_spki() == csr.spki;
    if is_same { Err(Problem::new(Kind::BadPublicKey, "the key in the request is the account's own")) } else { Ok(()) }
}

fn stored_order(tx: &AcmeTx<'_>, id: u64) -> Result<(Order, Vec<Authorization>), Problem> {
    let order = tx.order(id)?.ok_or_else(|| not_yours("order"))?;
    let mut authorizations = Vec::with_capacity(order.authorizations.len());
    for number in &order.authorizations {
        authorizations.extend(tx.authorization(*number)?);
    }
    Ok((order, authorizations))
}

/// An order as its client sees it, and nobody else.
fn own(mut order: Order, id: u64, client: &Client, under_way: &BTreeSet<u64>) -> Result<Order, Problem> {
    if order.account != client.id {
        return Err(not_yours("order"));
    }
    if order.progress == Progress::Open && under_way.contains(&id) {
        order.progress = Progress::Processing;
    }
    Ok(order)
}

fn own_authorization(tx: &AcmeTx<'_>, id: u64, client: &Client) -> Result<Authorization, Problem> {
    tx.authorization(id)?.filter(|it| it.account == client.id).ok_or_else(|| not_yours("authorization"))
}

fn urls_of(urls: &Urls, id: u64, order: &Order) -> OrderUrls {
    let certificate = match order.progress {
        Progress::Valid(certificate) => Some(urls.of(&Resource::Certificate(certificate, 0))),
        _ => None,
    };
    let authorization = |number: &u64| urls.of(&Resource::Authorization(*number));
    OrderUrls {
        authorizations: order.authorizations.iter().map(authorization).collect(),
        finalize: urls.of(&Resource::Finalize(id)),
        certificate,
    }
}

/// Stores a certificate for its client.
fn keep(tx: &AcmeTx<'_>, domain: &DomainName, account: u64, order: &Order, issued: &Issued) -> Result<u64, Problem> {
    let (pem, above) = (certificate_pem(&issued.certificate), Arc::clone(&issued.authority.pem));
    let kept = store::AcmeIssued { account, pem, above, identifiers: order.identifiers.clone() };
    let expires = issued.not_after.unwrap_or(Timestamp::from_millis(i64::MAX.unsigned_abs()));
    Ok(tx.add_certificate(domain, &sha256(&issued.certificate), expires, &kept)?)
}

#[cfg(test)]
mod tests;
