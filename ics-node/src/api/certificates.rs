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

/// The profile of whoever names none by EST and CMP.
pub const DEFAULT_PROFILE: &str = "ldevid";

/// What has become of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// It is in force.
    Good,
    /// It is revoked for as long as something blocks its holder.
    Held,
    /// It is revoked.
    Revoked,
    /// Its time is over, or it never counted.
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

/// `GET /x509/{domain}`: who issues a domain's certificates, and where these are obtained and looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct X509Index {
    /// The domain.
    pub domain: DomainName,
    /// Where it is answered whether a certificate is revoked (RFC 6960).
    pub ocsp: String,
    /// The directory of ACME (RFC 8555); absent where this node issues nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acme: Option<String>,
    /// Where EST (RFC 7030) is spoken; absent where this node issues nothing by it, or is not reached by TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub est: Option<String>,
    /// Where CMP (RFC 9810) is spoken; absent where this node issues nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmp: Option<String>,
    /// Who issues first, then those who only answer for what they have issued.
    pub issuers: Vec<X509Issuer>,
}

/// An authority whose certificates are in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct X509Issuer {
    /// By what its addresses name it: the beginning of the SHA-256 of its key, hex.
    pub id: String,
    /// What stands in certificates as their issuer (RFC 4514).
    pub name: String,
    /// When the first certificate of its chain ends.
    pub until: Timestamp,
    /// Whether it issues; the others answer for what they have issued.
    pub issues: bool,
    /// Where its certificate is.
    pub certificate: String,
    /// Its certificate and those above it up to the root, DER, its own first.
    pub chain: Vec<Base64>,
    /// Where each of its revocation lists is.
    pub lists: Vec<String>,
}

/// Which certificates, all filters of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateQuery {
    /// Those of one thing, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// By state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<CertificateState>,
    /// Those that have not ended and end before this time; they then come in the order of the hour in which they end,
    /// to whoever may see all that the domain says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_before: Option<Timestamp>,
    /// The `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items in a page, 100 unless told, 500 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// `GET /v1/domains/{domain}/certificates`: a page of the certificates that a domain has issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePage {
    /// How complete and fresh it is.
    pub as_of: AsOf,
    /// In the order in which they were issued, or in which they end.
    pub items: Vec<CertificateInfo>,
    /// `after` for the next page; absent on the last. A page may be short, or empty, and still have a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A certificate: who holds it, who signed it, until when it holds, and why it does not.
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
    /// What its OpenPGP certificate calls the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_name: Option<String>,
    /// The index of its statement in the domain's log.
    pub index: u64,
    /// From when on it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when, exclusively; absent if without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What has become of it.
    pub state: CertificateState,
    /// Since when it is revoked, why, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<CertificateRevocation>,
    /// When it should be renewed; absent for what has no end, and for what is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<RenewalWindow>,
    /// Whether its holder has a later one of the same profile, for its names and uses as far as these are known here; never
    /// of what is revoked for good.
    pub renewed: bool,
}

/// That a certificate is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRevocation {
    /// Since when.
    pub at: Timestamp,
    /// The reason by its name in RFC 5280.
    pub reason: String,
    /// Who said what it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// The status that he gave, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why, in his words; or that nobody vouches for its holder any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// When a certificate should be renewed: what ACME clients are told by RFC 9773, for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalWindow {
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Certificates by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateTotals([u64; CertificateState::ALL.len()]);

impl Default for CertificateTotals {
    fn default() -> Self {
        Self::new()
    }
}

impl CertificateTotals {
    /// None of any.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; CertificateState::ALL.len()])
    }

    /// One more in that state.
    pub fn add(&mut self, state: CertificateState) {
        if let Some(count) = self.0.get_mut(state as usize) {
            *count += 1;
        }
    }

    /// Each state with its number.
    pub fn each(&self) -> impl Iterator<Item = (CertificateState, u64)> + '_ {
        CertificateState::ALL.into_iter().zip(self.0)
    }
}
