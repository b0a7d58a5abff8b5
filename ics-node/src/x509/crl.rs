//! Certificate revocation lists (RFC 5280, 5).

use std::collections::BTreeMap;

use der::asn1::{Ia5String, ObjectIdentifier, OctetString, Uint};
use der::{Decode as _, Encode as _};
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlReason};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::extension::extension;
use super::{Authority, Reason, SerialNumber, SignError, oid, signature, time};

/// When and why a certificate was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// A revocation list that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct RevocationList<'a> {
    /// Its issuer.
    pub authority: &'a Authority,
    /// The URLs at which it is, and was, published: certificates on the issuer's other lists name other URLs. Empty if
    /// it is the issuer's only list.
    pub urls: &'a [String],
    /// Its entries.
    pub revoked: &'a BTreeMap<SerialNumber, Revoked>,
    /// A number that grows with each list.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one is due at the latest.
    pub next_update: Timestamp,
}

impl RevocationList<'_> {
    /// Signs it; the list in DER.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        let revoked: der::Result<Vec<RevokedCert>> =
            self.revoked.iter().map(|(serial, it)| entry(serial, it, self.this_update)).collect();
        let key_id = OctetString::new(self.authority.key_id.clone())?;
        let issuer = AuthorityKeyIdentifier { key_identifier: Some(key_id), ..Default::default() };
        let mut extensions = vec![
            extension(oid::AUTHORITY_KEY_ID, false, &issuer)?,
            extension(oid::CRL_NUMBER, false, &Uint::new(&self.number.to_be_bytes())?)?,
        ];
        if !self.urls.is_empty() {
            // By hand, since the type's own OID is that of another extension.
            extensions.push(extension(oid::ISSUING_DISTRIBUTION_POINT, true, &point(self.urls)?)?);
        }
        let tbs = TbsCertList {
            version: Version::V2,
            signature: signature::algorithm(signer)?,
            issuer: self.authority.name.clone(),
            this_update: time::time(self.this_update)?,
            next_update: Some(time::time(self.next_update)?),
            // The sequence must not be present if it is empty (RFC 5280, 5.1.2.6).
            revoked_certificates: Some(revoked?).filter(|list| !list.is_empty()),
            crl_extensions: Some(extensions),
        };
        let signed = signature::sign(signer, &tbs.to_der()?)?;
        let list =
            CertificateList { signature_algorithm: tbs.signature.clone(), tbs_cert_list: tbs, signature: signed };
        Ok(list.to_der()?)
    }
}

/// The distribution point of a list: one of its URLs must be the one in the certificate (RFC 5280, 6.3.3).
fn point(urls: &[String]) -> der::Result<IssuingDistributionPoint> {
    let place = |url: &String| Ia5String::new(url).map(GeneralName::UniformResourceIdentifier);
    Ok(IssuingDistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(urls.iter().map(place).collect::<Result<_, _>>()?)),
        only_contains_user_certs: true,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    })
}

/// What is read from the head of a list that an issuer has signed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadList {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one is due at the latest.
    pub next_update: Timestamp,
}

/// What is read from a list of an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadRevoked {
    /// Its number; `None` if it has none, or one larger than lists made here can have.
    pub number: Option<u64>,
    /// When it was made.
    pub this_update: Timestamp,
    /// Its entries.
    pub revoked: BTreeMap<SerialNumber, Revoked>,
}

/// Reads a list in DER, which must be signed by this authority and be the one for this URL.
///
/// # Errors
/// With the reason, in words.
pub fn read_list(der: &[u8], authority: &Authority, url: &str) -> Result<ReadList, String> {
    let list = signed_by(der, authority)?;
    let own = content(&list, oid::ISSUING_DISTRIBUTION_POINT).and_then(places);
    if !own.is_some_and(|places| places.iter().any(|place| place == url)) {
        return Err("it is another list of the issuer".to_owned());
    }
    let number = number(&list).ok_or("it has no number")?;
    let next_update = list.next_update.ok_or("it holds for ever")?;
    let this_update = time::timestamp(list.this_update);
    Ok(ReadList { number, this_update, next_update: time::timestamp(next_update) })
}

/// Reads the entries of a list in DER that this authority has signed, for whatever URL.
///
/// # Errors
/// With the reason, in words; also when it has an entry that lists made here cannot repeat.
pub fn read_revoked(der: &[u8], authority: &Authority) -> Result<ReadRevoked, String> {
    let list = signed_by(der, authority)?;
    let (number, this_update) = (number(&list), time::timestamp(list.this_update));
    let entries = list.revoked_certificates.unwrap_or_default();
    Ok(ReadRevoked { number, this_update, revoked: entries.into_iter().map(read_entry).collect::<Result<_, _>>()? })
}

fn number(list: &TbsCertList) -> Option<u64> {
    let number = Uint::from_der(content(list, oid::CRL_NUMBER)?).ok()?;
    let octets = Some(number.as_bytes()).filter(|octets| octets.len() <= 8)?;
    Some(octets.iter().fold(0_u64, |number, octet| number << 8 | u64::from(*octet)))
}

/// The content of an extension; `None` if the list lacks it.
fn content(list: &TbsCertList, oid: ObjectIdentifier) -> Option<&[u8]> {
    let mut extensions = list.crl_extensions.iter().flatten();
    extensions.find(|it| it.extn_id == oid).map(|it| it.extn_value.as_bytes())
}

fn read_entry(entry: RevokedCert) -> Result<(SerialNumber, Revoked), String> {
    let serial = SerialNumber::read(entry.serial_number.as_bytes());
    let serial = serial.ok_or("it has a certificate that was not issued by `ics ca sign`")?;
    let mut reason = Reason::Unspecified;
    for extension in entry.crl_entry_extensions.unwrap_or_default() {
        let read = CrlReason::from_der(extension.extn_value.as_bytes()).ok();
        let known = read.filter(|_| extension.extn_id == oid::CRL_REASON);
        let known = known.and_then(|read| Reason::ALL.into_iter().find(|reason| reason.to_x509() == read));
        reason = known.ok_or_else(|| format!("what it says of the certificate {serial} is not known here"))?;
    }
    Ok((serial, Revoked { at: time::timestamp(entry.revocation_date), reason }))
}

/// The signed part of a list, if this authority has signed it.
fn signed_by(der: &[u8], authority: &Authority) -> Result<TbsCertList, String> {
    let form = |error: der::Error| error.to_string();
    let list = CertificateList::from_der(der).map_err(form)?;
    let message = list.tbs_cert_list.to_der().map_err(form)?;
    let key = SubjectPublicKeyInfoRef::from_der(&authority.spki).map_err(form)?;
    if signature::verify(key, &list.signature_algorithm, &message, &list.signature) {
        Ok(list.tbs_cert_list)
    } else {
        Err("it is not signed by the issuer".to_owned())
    }
}

/// The URLs of a list's distribution point, if it has the form that issuers here sign.
fn places(der: &[u8]) -> Option<Vec<String>> {
    let Some(DistributionPointName::FullName(names)) = IssuingDistributionPoint::from_der(der).ok()?.distribution_point
    else {
        return None;
    };
    let url = |name: &GeneralName| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
        _ => None,
    };
    let urls: Vec<String> = names.iter().map(url).collect::<Option<_>>()?;
    (point(&urls).and_then(|it| it.to_der()).ok()? == der).then_some(urls)
}

/// A revocation is dated no later than its list: after a clock that was ahead is put right, the log's time stands still
/// ahead of it, and some verifiers ignore a revocation dated in the future.
fn entry(serial: &SerialNumber, revoked: &Revoked, this_update: Timestamp) -> der::Result<RevokedCert> {
    // The reason "unspecified" is expressed by its absence (RFC 5280, 5.3.1).
    let reason = Some(revoked.reason).filter(|reason| *reason != Reason::Unspecified);
    let reason = reason.map(|reason| extension(oid::CRL_REASON, false, &reason.to_x509())).transpose()?;
    Ok(RevokedCert {
        serial_number: serial.to_x509()?,
        revocation_date: time::time(revoked.at.min(this_update))?,
        crl_entry_extensions: reason.map(|extension| vec![extension]),
    })
}
