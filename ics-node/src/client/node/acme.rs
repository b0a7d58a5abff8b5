//! The calls about credentials for ACME accounts, and about the accounts.

use ics_core::identity::Fingerprint;
use ics_core::vocabulary::DomainName;

use super::{Answer, Node};
use crate::api::{
    AcmeAccountPage, AcmeCredential, AcmeRevoked, Challenge, ChallengeAnswer, ChallengeRequest, PageQuery,
};

impl Node {
    /// A challenge for a signer or thing to sign, in order to get a credential for an ACME account.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn acme_challenge(&self, domain: &DomainName, id: &str) -> Answer<Challenge> {
        self.post(&["domains", domain.as_str(), "acme", "challenge"], &ChallengeRequest { id: id.to_owned() }).await
    }

    /// The credential for whoever has signed the challenge.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn acme_credential(&self, domain: &DomainName, answer: &ChallengeAnswer) -> Answer<AcmeCredential> {
        self.post(&["domains", domain.as_str(), "acme", "credentials"], answer).await
    }

    /// A page of the ACME accounts of a domain; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn acme_accounts(&self, domain: &DomainName, query: PageQuery) -> Answer<AcmeAccountPage> {
        self.get(&["domains", domain.as_str(), "acme", "accounts"], &query).await
    }

    /// Revokes the ACME accounts that speak for a signer or a thing; for operators.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn revoke_acme_accounts(&self, domain: &DomainName, holder: &Fingerprint) -> Answer<AcmeRevoked> {
        let holder = holder.to_string();
        self.post(&["domains", domain.as_str(), "acme", "holders", &holder, "revoke"], &()).await
    }
}
