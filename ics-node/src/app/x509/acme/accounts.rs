//! ACME accounts: created for holders that the node knows, changed and given up by them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::vocabulary::DomainName;
use serde_json::json;

use super::{Answer, Client, as_get, not_yours};
use crate::acme::account::{Account, AccountStatus, Holder, NewAccount, bound_to, check_contacts, new_key};
use crate::acme::jwk::Jwk;
use crate::acme::jws::{By, Signed};
use crate::acme::problem::{Kind, Problem};
use crate::acme::urls::Resource;
use crate::app::App;
use crate::locked::Locked as _;
use crate::store::AcmeTx;
use crate::x509::sha256;

/// How many orders are listed on one page.
const ORDERS_LISTED: u32 = 100;

/// Rounds through acme.db that remove what was deleted. Each reads the whole file, so they run one after the other, and
/// one round that has yet to begin is enough for all accounts that end before it does.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Whether a round is waiting to begin.
    waits: AtomicBool,
    /// Held by the round that is under way.
    round: Mutex<()>,
}

impl App {
    /// Creates an account, or finds the one with this key (RFC 8555, 7.3).
    pub(super) fn acme_new_account(&self, domain: &DomainName, request: &Signed) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let By::Key(key) = &request.header.by else {
            return Err(Problem::malformed("a new account's request is signed with its key: give `jwk`, not `kid`"));
        };
        request.verify(key)?;
        self.acme_check_key(domain, key, None)?;
        let asked: NewAccount = request.json()?;
        let answer = |id: u64, account: &Account, status| Answer {
            status,
            ..Answer::created(account.to_json(&urls.of(&Resource::Orders(id))), urls.of(&Resource::Account(id)))
        };
        if let Some((id, account)) = acme.look(|tx| with_key(tx, domain, key))? {
            return Ok(answer(id, &account, 200));
        }
        if asked.only_return_existing {
            return Err(Problem::new(Kind::AccountDoesNotExist, "no account here has this key"));
        }
        let contact = check_contacts(asked.contact)?;
        let Some(binding) = asked.external_account_binding else {
            let holder = self.acme_own(domain, key)?;
            self.acme_check_thing(domain, &holder)?;
            let account = Account::new(key.clone(), holder, contact, self.acme_now());
            let (id, account, status) = acme.keep(|tx| {
                // A client that got no answer asks again, perhaps while its first request is still worked on.
                if let Some((id, account)) = with_key(tx, domain, key)? {
                    return Ok((id, account, 200));
                }
                check_number(tx, domain, &account.holder)?;
                Ok((tx.add_account(domain, &account)?, account, 201))
            })?;
            return Ok(answer(id, &account, status));
        };
        let binding = Signed::from_value(&binding)?;
        let kid = bound_to(&binding, &request.header.url, key)?;
        let now = self.acme_now();
        let (id, account, status) = acme.keep(|tx| {
            if let Some((id, account)) = with_key(tx, domain, key)? {
                return Ok((id, account, 200));
            }
            let unknown = || {
                let detail = "externalAccountBinding: there is no such credential, or it was used or has ended; `ics \
                              acme eab` gives another";
                Problem::new(Kind::Unauthorized, detail)
            };
            let credential = tx.credential(kid, now)?.filter(|it| it.domain == *domain).ok_or_else(unknown)?;
            binding.verify_mac(&credential.secret)?;
            self.acme_check_holder(domain, &credential.holder)?;
            self.acme_check_thing(domain, &credential.holder)?;
            check_number(tx, domain, &credential.holder)?;
            let account = Account::new(key.clone(), credential.holder, contact, now);
            // A credential makes one account, so that whoever finds it later cannot use it.
            tx.use_credential(kid)?;
            Ok((tx.add_account(domain, &account)?, account, 201))
        })?;
        if status == 201 {
            tracing::info!(%domain, id, holder = %account.holder, "an ACME account was made");
        }
        Ok(answer(id, &account, status))
    }

    /// The thing whose own key an account has: it needs no other binding. The key of one of its certificates is not
    /// enough: an account would outlive the certificate, and still speak for the thing after the key was given up.
    fn acme_own(&self, domain: &DomainName, key: &Jwk) -> Result<Holder, Problem> {
        let spki = key.to_spki();
        if let Ok(id @ IdentityId::Key(thing)) = self.holder_of(domain, sha256(&spki)) {
            let own = self.key_in(&*self.hosted(domain)?, &id)?.and_then(|own| own.to_spki_der());
            if own == Some(spki) {
                return Ok(Holder::Thing(thing));
            }
        }
        Err(Problem::new(
            Kind::ExternalAccountRequired,
            "no thing here has this key: use a credential, which `ics acme eab` gives to signers and things",
        ))
    }

    /// Returns an account to its holder, or applies the holder's changes (RFC 8555, 7.3.2, 7.3.6).
    pub(super) fn acme_account(
        &self,
        domain: &DomainName,
        id: u64,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        if id != client.id {
            return Err(not_yours("account"));
        }
        let mut account = Account::clone(&client.account);
        if !request.payload().is_empty() {
            let update = request.json()?;
            account = acme.keep(|tx| {
                // In its present state: another request may have changed it since its signature was checked.
                let mut account = tx.account(domain, id)?.ok_or_else(|| not_yours("account"))?;
                account.check_valid()?;
                account.update(update)?;
                tx.put_account(id, &account)?;
                Ok(account)
            })?;
            if account.status == AccountStatus::Deactivated {
                self.acme_clean();
            }
        }
        Ok(Answer::json(account.to_json(&urls.of(&Resource::Orders(id)))))
    }

    /// Removes copies of the contacts of ended accounts, and of names in what ended long ago, if some may be left in
    /// acme.db: in the background, since the client need not wait for that. It is also called again and again while the
    /// node runs: what ended long ago is deleted without a client, the account may have ended just before a crash, or
    /// somebody may have been reading the write-ahead log.
    pub(in crate::app) fn acme_clean(&self) {
        let Some(acme) = &self.0.acme else { return };
        if acme.rounds.waits.swap(true, Ordering::SeqCst) {
            return;
        }
        let app = self.clone();
        drop(crate::background::spawn(move || {
            let Some(acme) = &app.0.acme else { return };
            let _round = acme.rounds.round.locked();
            // Accounts that end from now on need another round.
            acme.rounds.waits.store(false, Ordering::SeqCst);
            let must_clean = acme.store.must_clean();
            if let Err(error) = must_clean.and_then(|must| if must { acme.store.clean() } else { Ok(()) }) {
                tracing::warn!(%error, "contacts and names that were deleted may be left in acme.db or its log");
            }
        }));
    }

    /// The newest orders of an account (RFC 8555, 7.1.2.1).
    pub(super) fn acme_orders(
        &self,
        domain: &DomainName,
        id: u64,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        as_get(request)?;
        let (acme, urls) = self.acme(domain)?;
        if id != client.id {
            return Err(not_yours("account"));
        }
        let orders = acme.look(|tx| Ok(tx.newest_orders(id, ORDERS_LISTED)?))?;
        let orders: Vec<String> = orders.into_iter().map(|order| urls.of(&Resource::Order(order))).collect();
        Ok(Answer::json(json!({"orders": orders})))
    }

    /// Gives an account another key (RFC 8555, 7.3.5).
    pub(super) fn acme_key_change(
        &self,
        domain: &DomainName,
        request: &Signed,
        client: &Client,
    ) -> Result<Answer, Problem> {
        let (acme, urls) = self.acme(domain)?;
        let url = urls.of(&Resource::Account(client.id));
        let key = new_key(request, &url, &client.account.key)?;
        self.acme_check_key(domain, &key, None)?;
        self.acme_check_thing(domain, &client.account.holder)?;
        let account = acme.keep(|tx| {
            if let Some((other, _)) = tx.account_by_key(domain, &key.thumbprint())? {
                let problem = Problem::new(Kind::KeyInUse, "an account has this key already");
                return Err(Problem { location: Some(urls.of(&Resource::Account(other))), ..problem });
            }
            let account = tx.account(domain, client.id)?.filter(|it| it.key == client.account.key);
            let mut account = account.ok_or_else(|| Problem::malformed("the account's key was changed meanwhile"))?;
            account.key = key.clone();
            tx.put_account(client.id, &account)?;
            Ok(account)
        })?;
        let json = account.to_json(&urls.of(&Resource::Orders(client.id)));
        Ok(Answer { location: Some(url), ..Answer::json(json) })
    }
}

/// The account with a key, which must not have ended.
fn with_key(tx: &AcmeTx<'_>, domain: &DomainName, key: &Jwk) -> Result<Option<(u64, Account)>, Problem> {
    let found = tx.account_by_key(domain, &key.thumbprint())?;
    if let Some((_, account)) = &found {
        account.check_valid()?;
    }
    Ok(found)
}

/// Checks the number of a holder's accounts. Deactivated ones count too, since each is kept; otherwise a holder could
/// create one after another.
fn check_number(tx: &AcmeTx<'_>, domain: &DomainName, holder: &Holder) -> Result<(), Problem> {
    let limit = match holder {
        Holder::Signer(_) => limits::ACME_ACCOUNTS_OF_SIGNER,
        Holder::Thing(_) => limits::ACME_ACCOUNTS_OF_THING,
    };
    let counts = |(_, account): &(u64, Account)| account.status != AccountStatus::Revoked;
    if tx.accounts_of(domain, holder)?.iter().filter(|it| counts(it)).count() < limit {
        return Ok(());
    }
    let instead = match holder {
        Holder::Signer(_) => {
            ", or have the operator remove them with `ics acme revoke`; after that, new accounts need other account \
             keys"
        }
        // The thing's own key, with which it needs no credential, would still not create another account.
        Holder::Thing(_) => "",
    };
    let detail = format!("{holder} has {limit} accounts, the limit: use one of them{instead}");
    Err(Problem::new(Kind::RateLimited, detail))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ics_core::identity::Fingerprint;
    use ics_core::time::Timestamp;
    use tokio::sync::watch;

    use super::*;
    use crate::app::AcmeSetup;
    use crate::config::AcmeConfig;
    use crate::fixture::{PATIENCE, Party};
    use crate::store::{AcmeStore, Durability};

    /// A node may be killed between the two, and nobody would come back to it.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_an_account_leaves_that_ended_before_a_crash_is_removed_later() {
        let maker = Party::found("devices.acme.example");
        let acme = AcmeSetup { config: AcmeConfig::default(), url: "https://ics.acme.example".to_owned() };
        let app = maker.open_with(|setup| setup.acme = Some(acme));
        let store = &app.0.acme.as_ref().expect("a server").store;
        let holder = Holder::Thing("ab".repeat(20).parse().expect("a fingerprint"));
        let contact = vec!["mailto:jo@acme.example".to_owned()];
        let mut account = Account::new(Jwk::Ed25519([7; 32]), holder, contact, Timestamp::default());
        let ended = store.with(Durability::Now, |tx| {
            let id = tx.add_account(&maker.domain, &account)?;
            account.end(AccountStatus::Deactivated);
            tx.put_account(id, &account)
        });
        ended.expect("is kept");
        let must_clean = || store.must_clean().expect("reads");
        assert!(must_clean(), "copies may be left");
        let (stop, stopped) = watch::channel(false);
        let beating = tokio::spawn(app.clone().beat(stopped));
        let began = Instant::now();
        while must_clean() {
            assert!(began.elapsed() < PATIENCE, "nobody removes them");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        beating.await.expect("ends");
    }

    #[test]
    fn a_holder_has_so_many_accounts() {
        let dir = tempfile::tempdir().expect("dir");
        let store = AcmeStore::open(dir.path()).expect("opens");
        let domain: DomainName = "devices.acme.example".parse().expect("a domain");
        let id: Fingerprint = "ab".repeat(20).parse().expect("a fingerprint");
        for (first, holder, limit) in [
            (1, Holder::Thing(id), limits::ACME_ACCOUNTS_OF_THING),
            (2, Holder::Signer(id), limits::ACME_ACCOUNTS_OF_SIGNER),
        ] {
            let account = |number: usize| {
                let mut key = [first; 32];
                key[1..9].copy_from_slice(&(number as u64).to_be_bytes());
                Account::new(Jwk::Ed25519(key), holder, Vec::new(), Timestamp::default())
            };
            let check = || store.look(|tx| check_number(tx, &domain, &holder)).map_err(|problem| problem.kind);
            let add = |number| store.with(Durability::Soon, |tx| tx.add_account(&domain, &account(number)));
            let added: Vec<u64> = (1..limit).map(|number| add(number).expect("is kept")).collect();
            assert_eq!(check(), Ok(()));
            add(limit).expect("is kept");
            assert_eq!(check(), Err(Kind::RateLimited), "{holder}");
            let revoked = Account { status: AccountStatus::Revoked, ..account(1) };
            let taken_away = store.with(Durability::Soon, |tx| tx.put_account(added[0], &revoked));
            assert_eq!((taken_away.is_ok(), check()), (true, Ok(())), "those that were taken away are none");
        }
    }
}
