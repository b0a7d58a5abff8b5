//! Questions that anyone may ask, and their answers: `genm` and `genp` (RFC 9810, 5.3.19; RFC 9483, 4.3).

use std::collections::BTreeSet;

use der::asn1::{Any, ObjectIdentifier};
use der::{Decode as _, Encode as _, Sequence, Tag, TagNumber, Tagged as _};
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::KeyType;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::name::Name as DistinguishedName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use super::body::only;
use super::message::Info;
use super::template::Control;
use super::{Failure, FailureInfo};
use crate::x509::oid;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The authorities' certificates: `caCerts`.
    Authorities,
    /// Whether a root has a newer certificate: `rootCaCert`.
    Root,
    /// What a request should look like: `certReqTemplate`.
    Template,
    /// Revocation lists: `crlStatusList`.
    Lists(ListsAsked),
}

/// The revocation lists that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListsAsked {
    /// Which lists.
    pub source: ListSource,
    /// When the sender's list was made: only a newer one is returned.
    pub known: Option<Timestamp>,
}

/// How revocation lists are identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    /// By URLs, as in certificates. A sender may name thousands of them, and each list is searched for in the set.
    Places(BTreeSet<String>),
    /// By their issuer.
    Issuer(DistinguishedName),
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Told {
    /// Certificates of authorities, in DER.
    Authorities(Vec<Vec<u8>>),
    /// There is no newer certificate of the root.
    NoNewerRoot,
    /// The kinds of keys that a profile accepts.
    Template(Vec<KeyType>),
    /// Revocation lists, in DER.
    Lists(Vec<Vec<u8>>),
}

/// CRLStatus.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct CrlStatus {
    source: Any,
    this_update: Option<Time>,
}

/// Reads a question.
pub(super) fn read(content: &[u8]) -> Result<Question, Failure> {
    // An empty question leaves it to the authority what to tell (RFC 9810, 5.3.19).
    if Vec::<Info>::from_der(content).map_err(Failure::form)?.is_empty() {
        return Ok(Question::Authorities);
    }
    let asked: Info = only(content, "question")?;
    match (asked.kind, asked.value) {
        (oid::CMP_CA_CERTS, _) => Ok(Question::Authorities),
        // The sender need not say which root is meant (RFC 9810, 5.3.19.15).
        (oid::CMP_ROOT_CA_CERT, _) => Ok(Question::Root),
        (oid::CMP_CERT_REQ_TEMPLATE, None) => Ok(Question::Template),
        (oid::CMP_CRL_STATUS_LIST, Some(value)) => lists(&value).map(Question::Lists),
        (kind, _) => {
            let text = format!(
                "questions about {kind} are not answered here, or not in this form; caCerts (id-it 17), rootCaCert (20), \
                 certReqTemplate (19) without a value and crlStatusList (22) with one are"
            );
            Err(Failure::new(FailureInfo::BadRequest, text))
        }
    }
}

fn lists(value: &Any) -> Result<ListsAsked, Failure> {
    let status: CrlStatus = only(&value.to_der().map_err(Failure::form)?, "source of revocation lists")?;
    let known = status.this_update.map(|time| Timestamp::from_seconds(time.to_unix_duration().as_secs()));
    Ok(ListsAsked { source: source(&status.source)?, known })
}

/// Reads a CRLSource, which is a choice with explicit tags.
fn source(source: &Any) -> Result<ListSource, Failure> {
    let names = match source.tag() {
        Tag::ContextSpecific { constructed: true, number: TagNumber::N0 } => {
            match DistributionPointName::from_der(source.value()).map_err(Failure::form)? {
                DistributionPointName::FullName(names) => names,
                // No certificate issued here names its list like this, so there is none.
                DistributionPointName::NameRelativeToCRLIssuer(_) => Vec::new(),
            }
        }
        Tag::ContextSpecific { constructed: true, number: TagNumber::N1 } => {
            Vec::<GeneralName>::from_der(source.value()).map_err(Failure::form)?
        }
        _ => return Err(Failure::form("a source of revocation lists is a distribution point or an issuer")),
    };
    let issuer = names.iter().find_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name.clone()),
        _ => None,
    });
    let places = names.into_iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.as_str().to_owned()),
        _ => None,
    });
    Ok(issuer.map_or_else(|| ListSource::Places(places.collect()), ListSource::Issuer))
}

impl Told {
    pub(super) fn info(&self) -> der::Result<Info> {
        let (kind, value) = match self {
            Self::Authorities(all) => (oid::CMP_CA_CERTS, sequence(all)?),
            Self::NoNewerRoot => (oid::CMP_ROOT_CA_KEY_UPDATE, None),
            Self::Template(keys) => (oid::CMP_CERT_REQ_TEMPLATE, template(keys)?),
            Self::Lists(all) => (oid::CMP_CRLS, sequence(all)?),
        };
        Ok(Info { kind, value })
    }
}

/// An empty list is expressed by leaving out the value (RFC 9810, 5.3.19.14).
fn sequence(all: &[Vec<u8>]) -> der::Result<Option<Any>> {
    (!all.is_empty()).then(|| Any::new(Tag::Sequence, all.concat())).transpose()
}

/// A CertReqTemplateContent. Its template is empty, since the record decides what is in a certificate.
fn template(keys: &[KeyType]) -> der::Result<Option<Any>> {
    let controls = keys.iter().map(|key| key_spec(*key)).collect::<der::Result<Vec<Control>>>()?;
    if controls.is_empty() {
        return Ok(None);
    }
    Any::new(Tag::Sequence, [vec![0x30, 0], controls.to_der()?].concat()).map(Some)
}

/// What a key may be: for RSA its least length, for others the algorithm (RFC 9810, 5.3.19.16).
fn key_spec(key: KeyType) -> der::Result<Control> {
    let algorithm = match key {
        KeyType::P256 => elliptic(oid::P256)?,
        KeyType::P384 => elliptic(oid::P384)?,
        KeyType::P521 => elliptic(oid::P521)?,
        KeyType::Ed25519 => AlgorithmIdentifierOwned { oid: oid::ED25519, parameters: None },
        KeyType::Rsa => {
            let least = u16::try_from(*limits::RSA_BITS.start()).unwrap_or(u16::MAX);
            return Ok(Control { kind: oid::CRMF_RSA_KEY_LEN, value: Any::encode_from(&least)? });
        }
    };
    Ok(Control { kind: oid::CRMF_ALG_ID, value: Any::encode_from(&algorithm)? })
}

fn elliptic(curve: ObjectIdentifier) -> der::Result<AlgorithmIdentifierOwned> {
    Ok(AlgorithmIdentifierOwned { oid: oid::EC_PUBLIC_KEY, parameters: Some(Any::encode_from(&curve)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: ObjectIdentifier, value: Option<&[u8]>) -> Result<Question, FailureInfo> {
        let value = value.map(|value| Any::from_der(value).expect("DER"));
        read(&vec![Info { kind, value }].to_der().expect("encodes")).map_err(|failure| failure.info)
    }

    #[test]
    fn what_is_asked_has_a_value_or_none() {
        let null = &[5, 0][..];
        for (kind, value, expected) in [
            (oid::CMP_CA_CERTS, None, Ok(Question::Authorities)),
            (oid::CMP_ROOT_CA_CERT, Some(null), Ok(Question::Root)),
            (oid::CMP_ROOT_CA_CERT, None, Ok(Question::Root)),
            (oid::CMP_CERT_REQ_TEMPLATE, None, Ok(Question::Template)),
            (oid::CMP_CERT_REQ_TEMPLATE, Some(null), Err(FailureInfo::BadRequest)),
            (oid::CMP_CRL_STATUS_LIST, None, Err(FailureInfo::BadRequest)),
            (oid::CMP_CRL_STATUS_LIST, Some(null), Err(FailureInfo::BadDataFormat)),
            (oid::CMP_CRL_STATUS_LIST, Some(&[0x30, 0][..]), Err(FailureInfo::BadRequest)),
            (oid::CMP_CRLS, None, Err(FailureInfo::BadRequest)),
        ] {
            assert_eq!(asked(kind, value), expected, "{kind} {value:?}");
        }
        assert_eq!(read(&[0x30, 0]), Ok(Question::Authorities));
    }

    #[test]
    fn lists_are_named_by_place_or_issuer() {
        // SEQUENCE OF CRLStatus: [0] { fullName { URI "u:1" } } and a UTCTime; [1] { { directoryName {} } }.
        let place = b"\x30\x1a\x30\x18\xa0\x07\xa0\x05\x86\x03u:1\x17\x0d260101000000Z";
        let issuer = b"\x30\x0a\x30\x08\xa1\x06\x30\x04\xa4\x02\x30\x00";
        let known = Some(Timestamp::from_seconds(1_767_225_600));
        for (value, expected) in [
            (&place[..], ListsAsked { source: ListSource::Places(BTreeSet::from(["u:1".to_owned()])), known }),
            (&issuer[..], ListsAsked { source: ListSource::Issuer(DistinguishedName::default()), known: None }),
        ] {
            assert_eq!(asked(oid::CMP_CRL_STATUS_LIST, Some(value)), Ok(Question::Lists(expected)));
        }
        let (of_no_kind, of_another) =
            (b"\x30\x06\x30\x04\x30\x02\x05\x00", b"\x30\x0a\x30\x08\xa2\x06\x30\x04\xa4\x02\x30\x00");
        for value in [&of_no_kind[..], &of_another[..]] {
            assert_eq!(asked(oid::CMP_CRL_STATUS_LIST, Some(value)), Err(FailureInfo::BadDataFormat), "{value:?}");
        }
    }

    #[test]
    fn a_template_says_which_keys_are_taken() {
        let told = |keys: &[KeyType]| Told::Template(keys.to_vec()).info().expect("encodes").value;
        let ed25519 =
            b"\x30\x18\x30\x00\x30\x14\x30\x12\x06\x09\x2b\x06\x01\x05\x05\x07\x05\x01\x0b\x30\x05\x06\x03\x2b\x65\x70";
        let rsa = b"\x30\x15\x30\x00\x30\x11\x30\x0f\x06\x09\x2b\x06\x01\x05\x05\x07\x05\x01\x0c\x02\x02\x08\x00";
        for (key, expected) in [(KeyType::Ed25519, &ed25519[..]), (KeyType::Rsa, &rsa[..])] {
            let value = told(&[key]).and_then(|value| value.to_der().ok());
            assert_eq!(value.as_deref(), Some(expected), "{key:?}");
        }
        assert_eq!(told(&[]), None);
    }
}
