//! What an authority may certify: names and uses, as its certificate restricts them (RFC 5280, 4.2.1.10 and 4.2.1.12).

use core::net::IpAddr;
use std::collections::BTreeSet;

use der::asn1::{Ia5String, OctetString};
use ics_core::vocabulary::CertificateUse;
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, NameConstraints};

use super::extension::extension;
use super::{oid, subject};

/// Constraints on what an authority may issue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Names that it may certify, by kind; a kind that is not listed is unrestricted.
    pub permitted: Vec<GeneralName>,
    /// Names that it may not certify.
    pub excluded: Vec<GeneralName>,
    /// Uses that it may certify; `None` if they are unrestricted.
    pub uses: Option<Vec<CertificateUse>>,
}

impl Constraints {
    /// Constraints on host names (`acme.example`), networks (`10.0.0.0/8`) and uses. If any host names or networks are
    /// permitted, nothing else of the two kinds is: a certificate could have all names of a kind that no constraint
    /// mentions (RFC 5280, 4.2.1.10).
    ///
    /// # Errors
    /// With the text that is neither, in words.
    pub fn parse(permit: &[String], exclude: &[String], uses: Option<Vec<CertificateUse>>) -> Result<Self, String> {
        let all = |texts: &[String]| texts.iter().map(|text| base(text)).collect::<Result<Vec<_>, _>>();
        let (permitted, mut excluded) = (all(permit)?, all(exclude)?);
        let networks = permitted.iter().filter(|base| matches!(base, GeneralName::IpAddress(_))).count();
        if !permitted.is_empty() && networks == 0 {
            excluded.extend([base("0.0.0.0/0")?, base("::/0")?]);
        }
        if !permitted.is_empty() && networks == permitted.len() {
            // All names lie below the empty one.
            let every = Ia5String::new("").map_err(|error| error.to_string())?;
            excluded.push(GeneralName::DnsName(every));
        }
        Ok(Self { permitted, excluded, uses })
    }

    pub(super) fn of(tbs: &TbsCertificate) -> der::Result<Self> {
        let names = tbs.get::<NameConstraints>()?.map(|(_, names)| names);
        let bases = |trees: Option<Vec<GeneralSubtree>>| trees.into_iter().flatten().map(|tree| tree.base).collect();
        let (permitted, excluded) =
            names.map_or_else(Default::default, |it| (it.permitted_subtrees, it.excluded_subtrees));
        let uses = tbs.get::<ExtendedKeyUsage>()?.map(|(_, uses)| uses.0);
        let uses = uses.filter(|uses| !uses.contains(&oid::ANY_EXT_KEY_USAGE));
        let uses = uses.map(|uses| uses.iter().filter_map(usage_of).collect());
        Ok(Self { permitted: bases(permitted), excluded: bases(excluded), uses })
    }

    /// Whether a name may be in a certificate (RFC 5280, 4.2.1.10).
    pub(super) fn admit(&self, name: &GeneralName) -> bool {
        let of_kind = |base: &&GeneralName| core::mem::discriminant(*base) == core::mem::discriminant(name);
        let mut permitted = self.permitted.iter().filter(of_kind).peekable();
        let is_permitted = permitted.peek().is_none() || permitted.any(|base| is_within(name, base) == Some(true));
        // A name that cannot be compared is refused if a constraint covers its kind.
        let is_excluded = self.excluded.iter().filter(of_kind).any(|base| is_within(name, base) != Some(false));
        is_permitted && !is_excluded
    }

    pub(super) fn admit_uses(&self, uses: &BTreeSet<CertificateUse>) -> bool {
        self.uses.as_ref().is_none_or(|permitted| uses.iter().all(|usage| permitted.contains(usage)))
    }

    pub(super) fn extensions(&self) -> der::Result<Vec<Extension>> {
        let mut extensions = Vec::new();
        if let Some(uses) = &self.uses {
            let uses: Vec<_> = uses.iter().map(|usage| usage_oid(*usage)).collect();
            extensions.push(extension(oid::EXT_KEY_USAGE, false, &ExtendedKeyUsage(uses))?);
        }
        let trees = |names: &[GeneralName]| {
            let tree = |base: &GeneralName| GeneralSubtree { base: base.clone(), minimum: 0, maximum: None };
            (!names.is_empty()).then(|| names.iter().map(tree).collect())
        };
        if !self.permitted.is_empty() || !self.excluded.is_empty() {
            let names = NameConstraints {
                permitted_subtrees: trees(&self.permitted),
                excluded_subtrees: trees(&self.excluded),
            };
            extensions.push(extension(oid::NAME_CONSTRAINTS, true, &names)?);
        }
        Ok(extensions)
    }
}

/// Whether a name lies within a base of the same kind; `None` if that cannot be told.
fn is_within(name: &GeneralName, base: &GeneralName) -> Option<bool> {
    match (name, base) {
        (GeneralName::DnsName(name), GeneralName::DnsName(base)) => {
            let (name, base) = (name.as_str().to_ascii_lowercase(), base.as_str().to_ascii_lowercase());
            let host = base.trim_start_matches('.');
            if name == host && host != base {
                // RFC 5280 allows no leading dot; verifiers that accept it exclude the host itself.
                return None;
            }
            let is_below = name.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'));
            Some(host.is_empty() || name == host || is_below)
        }
        (GeneralName::IpAddress(name), GeneralName::IpAddress(base)) => {
            let (address, mask) = base.as_bytes().split_at_checked(base.as_bytes().len() / 2)?;
            let name = name.as_bytes();
            let same = |((name, base), mask): ((&u8, &u8), &u8)| name & mask == base & mask;
            Some(name.len() == address.len() && name.iter().zip(address).zip(mask).all(same))
        }
        (GeneralName::DirectoryName(name), GeneralName::DirectoryName(base)) => {
            Some(subject::folded(name).starts_with(&subject::folded(base)))
        }
        // A URN has no host to compare with a constraint on URIs (RFC 5280, 4.2.1.10).
        _ => None,
    }
}

pub(super) const fn usage_oid(usage: CertificateUse) -> der::asn1::ObjectIdentifier {
    match usage {
        CertificateUse::Client => oid::CLIENT_AUTH,
        CertificateUse::Server => oid::SERVER_AUTH,
        CertificateUse::Ocsp => oid::OCSP_SIGNING,
    }
}

fn usage_of(id: &der::asn1::ObjectIdentifier) -> Option<CertificateUse> {
    CertificateUse::ALL.iter().copied().find(|usage| usage_oid(*usage) == *id)
}

fn base(text: &str) -> Result<GeneralName, String> {
    let failed = |error: der::Error| format!("`{text}`: {error}");
    if let Some((address, bits)) = text.split_once('/') {
        let neither = || format!("`{text}` is neither a host name (acme.example) nor a network (10.0.0.0/8)");
        let address: IpAddr = address.parse().map_err(|_| neither())?;
        let bits: u32 = bits.parse().map_err(|_| neither())?;
        let octets = match address {
            IpAddr::V4(it) if bits <= 32 => {
                [it.octets(), u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes()].concat()
            }
            IpAddr::V6(it) if bits <= 128 => {
                [it.octets(), u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes()].concat()
            }
            _ => return Err(format!("`{text}`: the prefix is longer than the address")),
        };
        return OctetString::new(octets).map(GeneralName::IpAddress).map_err(failed);
    }
    let name: ics_core::name::Name = format!("host:{}", text.trim_start_matches('.'))
        .parse()
        .map_err(|error: ics_core::name::NameError| error.to_string())?;
    let ics_core::name::Name::Host(host) = name else { return Err(format!("`{text}` is not a host name")) };
    Ia5String::new(host.as_bytes()).map(GeneralName::DnsName).map_err(failed)
}
