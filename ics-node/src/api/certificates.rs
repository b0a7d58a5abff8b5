//! The certificates that a domain has issued.

use std::fmt;
use std::str::FromStr;

use ics_core::identity::{Kind, excerpt};
use ics_core::record::By;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::wire::Base64;
use serde::{Deserialize, Serialize};

use super::AsOf;

/// The profile of EST and CMP requests that name none.
pub const DEFAULT_PROFILE: &str = "ldevid";

/// The state of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// It is in force.
    Good,
    /// It is revoked for as long as something blocks its holder.
    Held,
    /// It is revoked.
    Revoked,
    /// It has expired, or never counted.
    Ended,
}

impl CertificateState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Good, Self::Held, Self::Revoked, Self::Ended];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Held => "held",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for CertificateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CertificateState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("`{}` is no state of a certificate: {}", excerpt(text), names()))
    }
}

/// `GET /x509/{domain}`: who issues a domain's certificates, and where these are obtained and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct X509Index {
    /// The domain.
    pub domain: DomainName,
    /// The OCSP responder (RFC 6960).
    pub ocsp: String,
    /// The directory of ACME (RFC 8555); absent if this node does not issue over ACME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<String>,
    /// The base URL of EST (RFC 7030); absent if this node does not issue over EST or is not reached over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub est: Option<String>,
    /// The URL of CMP (RFC 9810); absent if this node does not issue over CMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmp: Option<String>,
    /// First the one that issues, then those that only answer for what they have issued.
    pub issuers: Vec<X509Issuer>,
}

/// An authority whose certificates are in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct X509Issuer {
    /// Its id in URLs: the beginning of the SHA-256 of its key, in hex.
    pub id: String,
    /// The issuer's name in certificates (RFC 4514).
    pub name: String,
    /// When the first certificate of its chain expires.
    pub until: Timestamp,
    /// Whether it issues; the others answer for what they have issued.
    pub issues: bool,
    /// Whether its key is declared compromised: then anybody may sign with it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub compromised: bool,
    /// The URL of its certificate.
    pub certificate: String,
    /// Its certificate and those above it up to the root, DER, its own first.
    pub chain: Vec<Base64>,
    /// The URL of each of its revocation lists.
    pub lists: Vec<String>,
}

/// The filters of the inventory, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateQuery {
    /// By the id of the thing that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// By state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<CertificateState>,
    /// Certificates that have not expired and will expire before this time; for readers that may see everything the
    /// domain says, they come in the order of the hour in which they expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_before: Option<Timestamp>,
    /// `next` of the previous page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items per page: 100 by default, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `GET /v1/domains/{domain}/certificates`: a page of the certificates that a domain has issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePage {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// In the order of issue, or in that of expiry.
    pub items: Vec<CertificateInfo>,
    /// `after` for the next page; absent on the last. A page may be short or empty and still have a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A certificate: who holds it, who signed it, until when it is valid, and why it is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// Its serial number, hex.
    pub serial: String,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// The SHA-256 of its SubjectPublicKeyInfo, hex.
    pub spki: String,
    /// The profile by which it was issued, if its statement says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The id of the thing that holds it.
    pub id: String,
    /// The kind of thing.
    pub kind: Kind,
    /// What people call it.
    pub title: String,
    /// The fingerprint of the key that signed it.
    pub issuer: String,
    /// The issuer's name in its OpenPGP certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_name: Option<String>,
    /// The index of its statement in the domain's log.
    pub index: u64,
    /// The beginning of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The end of its validity, exclusive; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Its state.
    pub state: CertificateState,
    /// Since when it is revoked, why, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<CertificateRevocation>,
    /// When it should be renewed; absent if it does not expire or is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<RenewalWindow>,
    /// Whether its holder has a later one of the same profile, for the same names and uses as far as these are known
    /// here; never true of one that is revoked for good.
    pub renewed: bool,
}

/// The revocation of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRevocation {
    /// Since when.
    pub at: Timestamp,
    /// The reason, by its name in RFC 5280.
    pub reason: String,
    /// Who made the statement that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The status that this signer gave, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The reason in the signer's words; or that nobody vouches for the holder any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// When a certificate should be renewed: what RFC 9773 tells ACME clients, for everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalWindow {
    /// The beginning of the window.
    pub from: Timestamp,
    /// The end of the window.
    pub until: Timestamp,
}

/// The number of certificates in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateTotals([u64; CertificateState::ALL.len()]);

impl Default for CertificateTotals {
    fn default() -> Self {
        Self::new()
    }
}

impl CertificateTotals {
    /// Zero in every state.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; CertificateState::ALL.len()])
    }

    /// Counts one more in that state.
    pub fn add(&mut self, state: CertificateState) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += 1;
        }
    }

    /// Each state with its count.
    pub fn each(&self) -> impl Iterator<Item = (CertificateState, u64)> + '_ {
        CertificateState::ALL.into_iter().zip(self.0)
    }
}
