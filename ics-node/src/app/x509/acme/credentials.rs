//! Credentials for external account bindings: given to those who prove to be a signer of the domain, or a thing in it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::possession;
use ics_core::vocabulary::DomainName;
use zeroize::Zeroizing;

use super::Acme;
use crate::acme::account::{Account, AccountStatus, Holder};
use crate::acme::problem::Problem;
use crate::acme::urls::{Resource, Urls};
use crate::api::problem::Code;
use crate::api::{
    AcmeAccount, AcmeAccountPage, AcmeCredential, AcmeRevoked, Challenge, ChallengeAnswer, PageQuery,
    credential_message,
};
use crate::app::answer::list::page_items;
use crate::app::{App, AppError, Asker, Reader, random};
use crate::store::{Credential, Durability};
use crate::x509::sha256;

/// How many milliseconds a credential can be used to create its account.
const CREDENTIAL_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;

impl App {
    /// A challenge for a signer or a thing that wants a credential.
    ///
    /// # Errors
    /// When nobody here has this key and anybody may know that, no certificates are issued here, the asker has used up
    /// their budget, or too many challenges are waiting.
    pub fn acme_credential_challenge(
        &self,
        asker: Asker,
        domain: &DomainName,
        id: &str,
    ) -> Result<Challenge, AppError> {
        self.acme_of(domain)?;
        let id: Fingerprint = id.parse().map_err(|error| AppError::new(Code::MalformedId, format!("{error}")))?;
        let hosted = self.hosted(domain)?.domain();
        // If things may be hidden, somebody who has merely seen a key is not told whether it is known: their answer
        // will not be proven.
        let open = hosted.is_none_or(|it| it.certificate(&id).is_some() || self.is_shown_all(Reader::Anonymous, &it));
        if open {
            let (holder, keys) = self.acme_holder(domain, &id)?;
            self.acme_check_binding(domain, &holder, &keys)?;
        }
        let acme = self.acme_server().map_err(told)?;
        let message = |id: &IdentityId, nonce: &str| credential_message(&self.0.keys.name, domain, id, nonce);
        acme.challenges.make(asker, IdentityId::Key(id), self.clock().now(), message)
    }

    /// A credential for whoever has signed that challenge.
    ///
    /// # Errors
    /// When there is no such challenge or it has expired, the signature is not good, or too many credentials are
    /// waiting.
    pub fn acme_credential(&self, domain: &DomainName, answer: &ChallengeAnswer) -> Result<AcmeCredential, AppError> {
        let (acme, urls) = self.acme_of(domain)?;
        let now = self.clock().now();
        let id = acme.challenges.answered(&answer.nonce, now)?;
        let IdentityId::Key(fingerprint) = id else { return Err(AppError::unknown_identity(&id.to_string())) };
        let unproven = || {
            let detail = format!("the signature is not by a key of {fingerprint}, or nobody here has that key");
            AppError::new(Code::NotProven, detail)
        };
        let (holder, keys) = match self.acme_holder(domain, &fingerprint) {
            Err(error) if error.code() == Code::UnknownIdentity => return Err(unproven()),
            holder => holder?,
        };
        let message = credential_message(&self.0.keys.name, domain, &id, &answer.nonce);
        let signed = |key: &PublicKey| possession::verify(key, message.as_bytes(), &answer.signature.0).is_ok();
        if !keys.iter().any(signed) {
            return Err(unproven());
        }
        self.acme_check_binding(domain, &holder, &keys)?;
        let credential = Credential {
            kid: URL_SAFE_NO_PAD.encode(speakable(random::<16>()?)),
            domain: domain.clone(),
            holder,
            secret: Zeroizing::new(speakable(random::<32>()?).to_vec()),
            expires: now.plus_millis(CREDENTIAL_MILLIS),
        };
        acme.store.with(Durability::Now, |tx| {
            if tx.count_credentials(domain, &holder, now)? >= limits::ACME_CREDENTIALS_WAITING {
                let detail = format!("{} credentials wait for their accounts", limits::ACME_CREDENTIALS_WAITING);
                return Err(AppError::new(Code::TooManyRequests, detail));
            }
            Ok(tx.add_credential(&credential, now)?)
        })?;
        tracing::info!(%domain, %holder, "an ACME credential was given out");
        Ok(AcmeCredential {
            directory: urls.of(&Resource::Directory),
            kid: credential.kid,
            hmac_key: URL_SAFE_NO_PAD.encode(&*credential.secret),
            holder: holder.to_string(),
            expires: credential.expires,
        })
    }

    /// Revokes all accounts that speak for a signer or a thing, and the credentials that would create others, because
    /// somebody else may have their keys. What the holder may have is unaffected, and the holder can bind another
    /// account. The accounts' contacts are deleted, from the unallocated parts of the file as well.
    ///
    /// # Errors
    /// When the domain is not here, the node has no ACME server, or the store fails.
    pub fn acme_revoke_accounts(&self, domain: &DomainName, id: &str) -> Result<AcmeRevoked, AppError> {
        let acme = self.acme_kept(domain)?;
        let id: Fingerprint = id.parse().map_err(|error| AppError::new(Code::MalformedId, format!("{error}")))?;
        let accounts = acme.store.with(Durability::Now, |tx| {
            let mut revoked = 0;
            for holder in [Holder::Signer(id), Holder::Thing(id)] {
                tx.forget_credentials(domain, &holder)?;
                for (number, mut account) in tx.accounts_of(domain, &holder)? {
                    if account.status != AccountStatus::Revoked {
                        account.end(AccountStatus::Revoked);
                        tx.put_account(number, &account)?;
                        revoked += 1;
                    }
                }
            }
            Ok::<_, AppError>(revoked)
        })?;
        if let Err(error) = acme.store.clean() {
            tracing::warn!(%error, "what was deleted may still be in acme.db or its write-ahead log: revoke again");
        }
        tracing::info!(%domain, holder = %id, accounts, "ACME accounts were removed");
        Ok(AcmeRevoked { holder: id.to_string(), accounts })
    }

    /// A page of a domain's accounts, including deactivated and revoked ones: no log lists them, and a restored copy
    /// may have brought back former ones.
    ///
    /// # Errors
    /// When the domain is not here, the node has no ACME server, the page asked for is too long, or the store fails.
    pub fn acme_accounts(&self, domain: &DomainName, query: PageQuery) -> Result<AcmeAccountPage, AppError> {
        let limit = page_items(query.limit)?;
        let acme = self.acme_kept(domain)?;
        let found = acme.store.look(|tx| tx.accounts(domain, query.after, limit))?;
        let next = found.last().filter(|_| found.len() == limit).map(|(number, _)| *number);
        Ok(AcmeAccountPage { items: found.into_iter().map(shown).collect(), next })
    }

    /// The server of a domain that issues here; the error says whether the domain or the server is missing.
    fn acme_of(&self, domain: &DomainName) -> Result<(&Acme, Urls), AppError> {
        self.hosted(domain)?;
        self.acme(domain).map_err(told)
    }

    /// The server, for whoever looks after what it keeps of a domain: accounts with their contacts stay when the domain
    /// issues no more, or has another home.
    fn acme_kept(&self, domain: &DomainName) -> Result<&Acme, AppError> {
        self.hosted(domain)?;
        self.acme_server().map_err(told)
    }

    /// The holder for whom an account of this key would speak, and the keys with which the holder proves possession.
    fn acme_holder(&self, domain: &DomainName, id: &Fingerprint) -> Result<(Holder, Vec<PublicKey>), AppError> {
        let hosted = self.hosted(domain)?;
        let domain = hosted.domain().ok_or_else(|| AppError::unknown_domain(domain))?;
        let now = self.clock().now();
        if let Some((_, certificate)) = domain.certificate(id) {
            if domain.is_key_compromised(id) {
                let detail = format!("the signer `{id}` is declared compromised, so nobody knows who asks");
                return Err(AppError::new(Code::SignerCompromised, detail));
            }
            return Ok((Holder::Signer(*id), certificate.signing_keys(now).cloned().collect()));
        }
        let key = self.key_in(&hosted, &IdentityId::Key(*id))?;
        let key = key.ok_or_else(|| AppError::unknown_identity(&id.to_string()))?;
        Ok((Holder::Thing(*id), vec![key]))
    }

    /// Refuses a thing's key that was given up as compromised: it cannot bind an account.
    fn acme_check_binding(&self, domain: &DomainName, holder: &Holder, keys: &[PublicKey]) -> Result<(), AppError> {
        let Holder::Thing(id) = holder else { return Ok(()) };
        for spki in keys.iter().filter_map(PublicKey::to_spki_der) {
            if self.is_given_up(domain, sha256(&spki))? {
                return Err(AppError::new(Code::NotProven, format!("the key of {id} was given up as compromised")));
            }
        }
        Ok(())
    }
}

/// An account as the operator sees it.
fn shown((number, account): (u64, Account)) -> AcmeAccount {
    let (kind, holder) = match account.holder {
        Holder::Signer(id) => ("signer", id),
        Holder::Thing(id) => ("thing", id),
    };
    AcmeAccount {
        account: number,
        kind: kind.to_owned(),
        holder: holder.to_string(),
        state: account.status.as_str().to_owned(),
        contact: account.contact,
        created: account.created,
    }
}

/// Translates a problem of the protocol into one of the API.
fn told(problem: Problem) -> AppError {
    AppError::new(Code::UnknownRoute, problem.detail)
}

/// Random bytes with the first bit cleared: otherwise their base64url may begin with `-`, which the command lines of
/// ACME clients take for an option.
const fn speakable<const N: usize>(mut random: [u8; N]) -> [u8; N] {
    if let Some(first) = random.first_mut() {
        *first &= 0x7f;
    }
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_looks_like_an_option() {
        for first in 0..=u8::MAX {
            let text = URL_SAFE_NO_PAD.encode(speakable([first, 0xff, 0xff]));
            assert!(!text.starts_with('-'), "{text}");
        }
        assert!(URL_SAFE_NO_PAD.encode([0xf8]).starts_with('-'), "without it some do");
    }
}
