//! The X.509 certificates of a domain: who issues them, to what, under which names, and for how long. What is not
//! stated here is not issued.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::fields::{Check, distinct, fail, fail_if, range, text};
use super::{Descriptor, Problem, pattern};
use crate::identity::{Kind, excerpt};
use crate::limits;
use crate::name::Name;
use crate::vocabulary::{CertificateUse, KeyType, ProfileName, Requirement, Role};

/// The role in which a signer states which certificates they have issued.
pub const ISSUER_ROLE: &str = "issuer";

/// The X.509 certificates that a domain issues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// Where revocation is answered, such as `http://pki.acme.example/x509/devices.acme.example`; each certificate
    /// contains it. Without TLS, because a client cannot know yet whether to believe a certificate; the answers are
    /// signed.
    pub url: String,
    /// The certificates of the issuers. The first one issues; the others only answer for what they have issued.
    pub issuers: Vec<Issuer>,
    /// Number of revocation lists among which an issuer's certificates are divided: a power of two, 256 at most.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: u16,
    /// Seconds for which an answer about revocation is valid.
    #[serde(default = "day", skip_serializing_if = "is_day")]
    pub answers_hold: u64,
    /// What is issued, by the name under which it is requested.
    pub profiles: BTreeMap<ProfileName, CertificateProfile>,
}

/// An issuer of certificates: the holder of the key in this certificate, who must have the role `issuer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The certificate of the issuing authority, DER in base64.
    pub certificate: String,
    /// The certificates above it, each issued by the next, up to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

/// One kind of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateProfile {
    /// The kinds of things that get them.
    pub kinds: BTreeSet<Kind>,
    /// What they are used for (RFC 5280, 4.2.1.12). Empty: no particular purpose, as for an IDevID.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uses: BTreeSet<CertificateUse>,
    /// The types of keys that are accepted.
    pub keys: BTreeSet<KeyType>,
    /// Patterns of the names that they may contain, among those that the record gives the thing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// Seconds for which they are valid. Absent: without end (IEEE 802.1AR, 8.7), for IDevIDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The type of hardware, an object identifier; if given, they contain a HardwareModuleName (IEEE 802.1AR, 8.10.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_type: Option<String>,
    /// What the record must say.
    #[serde(default = "permitted", skip_serializing_if = "is_permitted")]
    pub requires: Requirement,
    /// Roles over a thing whose holders may ask on its behalf. The thing itself always may.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requesters: BTreeSet<Role>,
}

const fn one() -> u16 {
    1
}

const fn day() -> u64 {
    86_400
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_one(shards: &u16) -> bool {
    *shards == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_day(seconds: &u64) -> bool {
    *seconds == day()
}

const fn permitted() -> Requirement {
    Requirement::Permitted
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_permitted(requires: &Requirement) -> bool {
    matches!(requires, Requirement::Permitted)
}

impl CertificateProfile {
    /// Whether such a certificate may contain a name.
    #[must_use]
    pub fn takes(&self, name: &Name) -> bool {
        self.names.iter().any(|pattern| name.fits(pattern))
    }
}

impl Issuer {
    /// The issuer's certificate and those above it, in DER, its own first.
    ///
    /// # Errors
    /// When one is not base64.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, Problem> {
        let decode = |text: &String| BASE64.decode(text.as_bytes()).map_err(|_| Problem::Base64);
        core::iter::once(&self.certificate).chain(&self.chain).map(decode).collect()
    }
}

impl Descriptor {
    pub(super) fn check_certificates(&self) -> Check {
        let Some(certificates) = &self.certificates else { return Ok(()) };
        let issuer = self.roles.keys().any(|role| role.as_str() == ISSUER_ROLE);
        fail_if(!issuer, "certificates", || Problem::Role(ISSUER_ROLE.to_owned()))?;
        certificates.check_url()?;
        certificates.check_issuers()?;
        let shards = certificates.shards;
        let divides = shards.is_power_of_two() && shards <= 256;
        fail_if(!divides, "certificates.shards", || Problem::Shards(shards))?;
        range("certificates.answers_hold", certificates.answers_hold, 60, limits::REVOCATION_SECONDS)?;
        range("certificates.profiles", certificates.profiles.len(), 1, limits::CERTIFICATE_PROFILES)?;
        certificates.profiles.iter().try_for_each(|(name, profile)| self.check_profile(name, profile))
    }

    fn check_profile(&self, name: &ProfileName, profile: &CertificateProfile) -> Check {
        let field = |member: &str| format!("certificates.profiles.{name}.{member}");
        fail_if(profile.kinds.is_empty(), field("kinds"), || Problem::Empty)?;
        if let Some(kind) = profile.kinds.iter().find(|kind| !kind.has_key()) {
            return fail(field("kinds"), Problem::NoKey(*kind));
        }
        fail_if(profile.keys.is_empty(), field("keys"), || Problem::Empty)?;
        if let Some(problem) = profile.names.iter().find_map(|text| pattern::refused(text)) {
            return fail(field("names"), problem);
        }
        if let Some(seconds) = profile.seconds {
            range(&field("seconds"), seconds, 60, limits::JSON_INTEGER)?;
        }
        if let Some(oid) = profile.hardware_type.as_ref().filter(|oid| !is_oid(oid)) {
            return fail(field("hardware_type"), Problem::ObjectIdentifier(excerpt(oid)));
        }
        match profile.requesters.iter().find(|role| !self.roles.contains_key(role)) {
            Some(role) => fail(field("requesters"), Problem::Role(role.to_string())),
            None => Ok(()),
        }
    }
}

impl Certificates {
    fn check_url(&self) -> Check {
        text("certificates.url", &self.url)?;
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let is_url = rest.is_some_and(|rest| {
            !rest.is_empty() && !rest.ends_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic())
        });
        fail_if(!is_url, "certificates.url", || Problem::Url(excerpt(&self.url)))
    }

    fn check_issuers(&self) -> Check {
        range("certificates.issuers", self.issuers.len(), 1, limits::CERTIFICATE_ISSUERS)?;
        for (index, issuer) in self.issuers.iter().enumerate() {
            let field = format!("certificates.issuers[{index}]");
            let all = issuer.certificates().or_else(|problem| fail(field.as_str(), problem))?;
            range(&field, all.len(), 1, limits::X509_CHAIN)?;
            let longest = all.iter().map(Vec::len).max().unwrap_or_default();
            range(&field, longest, 1, limits::X509_CERTIFICATE_BYTES)?;
        }
        distinct("certificates.issuers", self.issuers.iter().map(|issuer| issuer.certificate.clone()))
    }
}

/// Whether a text is an object identifier: at least two numbers, the first 0 to 2, none with leading zeros.
fn is_oid(text: &str) -> bool {
    let is_arc = |arc: &str| {
        !arc.is_empty() && (arc == "0" || !arc.starts_with('0')) && arc.parse::<u32>().is_ok() && !arc.starts_with('+')
    };
    let arcs: Vec<&str> = text.split('.').collect();
    (2..=20).contains(&arcs.len())
        && ["0", "1", "2"].contains(&arcs.first().copied().unwrap_or_default())
        && arcs.iter().all(|arc| is_arc(arc))
}
