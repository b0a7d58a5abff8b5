//! The questions asked at run time: may this be used, and does it hold its key?

use ics_core::identity::IdentityId;
use ics_core::time::Timestamp;
use ics_core::trust::{Outcome, Reason};
use ics_core::vocabulary::DomainName;
use ics_sync::wire;
use serde::{Deserialize, Serialize};

use super::Problem;

/// Whether a thing may be used: what `GET /v1/check` says in its status and headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The answer; only `allow` is a yes.
    pub verdict: Outcome,
    /// Why, in one word.
    pub reason: Reason,
    /// The oldest of the times at which the domains heard last confirmed what they say; absent if one of them never
    /// has, or none was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// Until when, by the node's time, the answer holds if no news comes. Absent with `unknown`, and with a block whose
    /// time has passed: a block stands all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<Timestamp>,
    /// The domains that were heard, each with the size of its log: `devices.acme.example=17`.
    pub view: String,
}

/// The outcome of one question of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CheckAnswer {
    /// It was answered.
    Check(Check),
    /// It could not be read.
    Problem(Problem),
}

/// One question of `POST /v1/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckQuestion {
    /// The thing, by id or name.
    pub id: String,
    /// What it is to be used for.
    #[serde(rename = "use")]
    pub usage: String,
    /// The thing that it is to communicate with, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// `POST /v1/check`: several questions at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckQuestions {
    /// The questions.
    pub questions: Vec<CheckQuestion>,
}

/// The answers, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswers {
    /// One for each question.
    pub answers: Vec<CheckAnswer>,
    /// The node's time when all questions had been answered. A client that keeps an answer subtracts this from
    /// `fresh_until` to learn for how long it holds: its own clock may be off.
    pub time: Timestamp,
}

/// `POST /v1/challenge`: whom to challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The identity, by id or name.
    pub id: String,
}

/// A message for the holder of an identity's key to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The identity.
    pub id: String,
    /// Identifies the challenge.
    pub nonce: String,
    /// What to sign: these characters in UTF-8, including the last line feed.
    pub message: String,
    /// Until when an answer counts.
    pub expires: Timestamp,
}

/// `POST /v1/challenge/answer`: the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeAnswer {
    /// The challenge.
    pub nonce: String,
    /// The signature over its message, base64: raw Ed25519; ECDSA P-256 with SHA-256, r and s or DER; RSA PKCS #1 v1.5
    /// with SHA-256; or a binary OpenPGP signature of type 0x00.
    pub signature: wire::Base64,
}

/// A credential that creates one ACME account, for a proven signer of the domain or a thing in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeCredential {
    /// The URL of the domain's ACME directory.
    pub directory: String,
    /// The key id for the external account binding.
    pub kid: String,
    /// The HMAC key, in base64url, as clients take it.
    pub hmac_key: String,
    /// Whom the account will speak for.
    pub holder: String,
    /// Until when it can be used.
    pub expires: Timestamp,
}

/// The outcome of revoking the ACME accounts of a signer or thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeRevoked {
    /// The fingerprint of the signer or the thing.
    pub holder: String,
    /// How many accounts were revoked now; those revoked before are not counted.
    pub accounts: u64,
}

/// An ACME account, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccount {
    /// Its number at this node, as in its URL.
    pub account: u64,
    /// `signer` or `thing`.
    pub kind: String,
    /// The fingerprint of the signer or thing that it speaks for.
    pub holder: String,
    /// `valid`, `deactivated` by its client, or `revoked` by the operator.
    pub state: String,
    /// The client's contact URLs.
    pub contact: Vec<String>,
    /// When it was created.
    pub created: Timestamp,
}

/// `GET /v1/domains/{domain}/acme/accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmeAccountPage {
    /// In the order in which they were made.
    pub items: Vec<AcmeAccount>,
    /// `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// The message to sign for a credential for an ACME account. It names the purpose and the place, so that no signature
/// made for something else, or for another node, can be used.
#[must_use]
pub fn credential_message(node: &str, domain: &DomainName, id: &IdentityId, nonce: &str) -> String {
    format!("ICS ACME credential\n{node}\n{domain}\n{id}\n{nonce}\n")
}

impl Challenge {
    /// Whether its message asks for a credential of this domain for this identity, at a node of any name, and for
    /// nothing else. Clients must check this: signing whatever a node sends could be signing a statement, for instance.
    #[must_use]
    pub fn asks_for_credential(&self, domain: &DomainName, id: &IdentityId) -> bool {
        let node = self.message.lines().nth(1).unwrap_or_default();
        let are_lines = ![node, self.nonce.as_str()].into_iter().any(|line| line.contains(char::is_control));
        are_lines && self.message == credential_message(node, domain, id, &self.nonce)
    }
}

impl core::fmt::Debug for AcmeCredential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AcmeCredential").field("kid", &self.kid).field("holder", &self.holder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Fingerprint;

    use super::*;

    #[test]
    fn a_challenge_for_a_credential_asks_for_nothing_else() {
        let domain: DomainName = "d.example".parse().expect("a domain");
        let (id, other) = (IdentityId::Key(Fingerprint::V4([1; 20])), IdentityId::Key(Fingerprint::V4([2; 20])));
        let asks = |message: &str, nonce: &str| {
            let (message, nonce) = (message.to_owned(), nonce.to_owned());
            let challenge = Challenge { id: id.to_string(), nonce, message, expires: Timestamp::default() };
            challenge.asks_for_credential(&domain, &id)
        };
        let good = credential_message("ics.example", &domain, &id, "n-1");
        assert_eq!(good, format!("ICS ACME credential\nics.example\nd.example\n{id}\nn-1\n"));
        assert!(asks(&good, "n-1"));
        for (message, nonce) in [
            (good.clone(), "n-2"),
            (credential_message("ics.example", &"e.example".parse().expect("a domain"), &id, "n-1"), "n-1"),
            (credential_message("ics.example", &domain, &other, "n-1"), "n-1"),
            (credential_message("ics.example\r", &domain, &id, "n-1"), "n-1"),
            (credential_message("ics.example", &domain, &id, "n\n1"), "n\n1"),
            (good.replace("credential", "challenge"), "n-1"),
            (format!("{good}{{}}"), "n-1"),
            ("{}".to_owned(), "n-1"),
            (String::new(), ""),
        ] {
            assert!(!asks(&message, nonce), "{message}");
        }
    }
}
