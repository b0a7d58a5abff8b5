//! Certificates of things: IDevIDs and LDevIDs (IEEE 802.1AR), servers, OCSP responders; all governed by the profile.

use core::fmt;
use std::collections::BTreeSet;

use der::Decode as _;
use der::asn1::{Ia5String, Null, ObjectIdentifier, OctetString};
use ics_core::descriptor::{CertificateProfile, Certificates};
use ics_core::identity::IdentityId;
use ics_core::name::Name;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{CertificateUse, KeyType};
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};

use super::authority::{self, Authority, sha1};
use super::constraints::usage_oid;
use super::extension::extension;
use super::{Csr, SignError, Wanted, general_name, oid, signature, subject, time};

/// How many milliseconds before it is made a certificate is valid, if its issuer is by then: the clocks of devices may
/// be behind.
const BACKDATED_MILLIS: u64 = 60_000;

/// How long a common name can be (X.520).
pub const COMMON_NAME_CHARS: usize = 64;

/// Why no certificate is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// A kind of key that the profile does not take.
    #[error("the profile does not allow keys of the kind {0}")]
    Key(KeyType),
    /// A use that the profile does not have.
    #[error("the profile does not allow certificates for the use `{0}`")]
    Use(CertificateUse),
    /// A name that the record does not give, or the profile does not take.
    #[error(
        "the record and the profile give no right to the name `{0}`; a host name or URN that two things have is \
         certified for neither of them until it is taken back from one"
    )]
    Name(Name),
    /// A hardware type other than the profile's.
    #[error("the profile is not for hardware of the type {0}")]
    HardwareType(String),
    /// An IDevID without a serial number, or with several.
    #[error("the profile needs exactly one serial number in the record, which has {0}")]
    SerialNumbers(usize),
    /// A serial number of two things, in a name that is to mean one.
    #[error(
        "another thing has the serial number `{0}` as well, so a hardware module or permanent identifier with it would \
         not say which of the two it is: whoever gave it takes it back from one of them, or the request is for another \
         profile"
    )]
    SharedSerial(Name),
    /// A name outside what the issuer's own certificate, or one above it, permits.
    #[error("the issuer's own certificate, or one above it, does not let it certify {0}")]
    Constrained(String),
    /// The issuer's own certificate, or one above it, has expired.
    #[error("the issuer's own certificate, or one above it, expired at {0}")]
    IssuerExpired(Timestamp),
    /// The issuer's own certificate, or one above it, has not begun.
    #[error("the issuer's own certificate, or one above it, begins at {0}, which by this node's clock is yet to come")]
    IssuerNotYet(Timestamp),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<der::Error> for LeafError {
    fn from(error: der::Error) -> Self {
        Self::Sign(error.into())
    }
}

/// A serial number: 20 octets, positive, with 158 random bits (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber([u8; 20]);

impl SerialNumber {
    /// Makes one from random octets.
    #[must_use]
    pub const fn new(mut random: [u8; 20]) -> Self {
        random[0] = 0x40 | (random[0] & 0x3f);
        Self(random)
    }

    /// Reads one from a certificate, a list or an OCSP request; `None` if it cannot have been issued here.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self).filter(|serial: &Self| serial.0[0] & 0xc0 == 0x40)
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// One of 256 buckets by which certificates are divided among revocation lists; see
    /// [`ics_core::record::IssuedCertificate::bucket`].
    #[must_use]
    pub const fn bucket(&self) -> u8 {
        self.0[1]
    }

    /// The name by which records refer to it.
    ///
    /// # Panics
    /// Never: hex is a name.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::Serial(self.to_string().into())
    }

    pub(super) fn to_x509(self) -> der::Result<x509_cert::serial_number::SerialNumber> {
        x509_cert::serial_number::SerialNumber::new(&self.0)
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A certificate that is to be signed; all of it has been checked against profile, record and issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    tbs: TbsCertificate,
    /// Its serial number.
    pub serial: SerialNumber,
    /// The names in it.
    pub names: BTreeSet<Name>,
    /// Its uses.
    pub uses: BTreeSet<CertificateUse>,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The last second of its validity; `None` if it does not expire.
    pub not_after: Option<Timestamp>,
}

/// What decides the content of a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The issuer.
    pub authority: &'a Authority,
    /// The domain's rules.
    pub rules: &'a Certificates,
    /// The profile.
    pub profile: &'a CertificateProfile,
    /// The thing.
    pub id: &'a IdentityId,
    /// All names that the record gives it.
    pub names: &'a BTreeSet<Name>,
}

impl Given<'_> {
    /// The names that go into a certificate, given those asked for, all of which must be permitted; if none are asked
    /// for, all that are permitted.
    ///
    /// # Errors
    /// With the first name that is not permitted.
    pub fn permitted(&self, wanted: &BTreeSet<Wanted>) -> Result<BTreeSet<Name>, LeafError> {
        let may = |name: &&Name| self.names.contains(*name) && self.profile.takes(name);
        for wanted in wanted {
            let name = wanted.name();
            if !may(&name) {
                return Err(LeafError::Name(name.clone()));
            }
            if let Wanted::Hardware(hardware_type, _) = wanted
                && self.profile.hardware_type.as_ref() != Some(hardware_type)
            {
                return Err(LeafError::HardwareType(hardware_type.clone()));
            }
        }
        let names = if wanted.is_empty() {
            self.names.iter().filter(may).cloned().collect()
        } else {
            let asked = wanted.iter().map(Wanted::name);
            // A device's serial number is in its certificate whether it asks for it or not.
            let serials = self.names.iter().filter(|name| matches!(name, Name::Serial(_))).filter(may);
            asked.chain(serials).cloned().collect()
        };
        Ok(names)
    }

    /// Decides what goes into the certificate for a request.
    ///
    /// # Errors
    /// When profile, record or issuer do not allow what is asked for.
    pub fn leaf(&self, csr: &Csr, serial: SerialNumber, now: Timestamp) -> Result<Leaf, LeafError> {
        if !self.profile.keys.contains(&csr.key_type) {
            return Err(LeafError::Key(csr.key_type));
        }
        if let Some(usage) = csr.uses.iter().find(|usage| !self.profile.uses.contains(usage)) {
            return Err(LeafError::Use(*usage));
        }
        let uses = if csr.uses.is_empty() { &self.profile.uses } else { &csr.uses };
        let names = self.permitted(&csr.wanted)?;
        let permanent: BTreeSet<String> = csr.wanted.iter().filter_map(permanent).collect();
        let alternatives = self.alternative_names(&names, &permanent)?;
        let subject = self.subject(&names)?;
        self.check_constraints(uses, &alternatives, &subject)?;
        let (not_before, not_after) = self.validity(now)?;
        let key = SubjectPublicKeyInfoOwned::from_der(&csr.spki)?;
        let extensions = self.extensions(&key, uses, alternatives, serial)?;
        let tbs = TbsCertificate {
            version: Version::V3,
            serial_number: serial.to_x509()?,
            signature: self.algorithm(),
            issuer: self.authority.name.clone(),
            validity: Validity {
                not_before: time::time(not_before)?,
                not_after: not_after.map_or(Ok(Time::INFINITY), time::time)?,
            },
            subject,
            subject_public_key_info: key,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(extensions),
        };
        Ok(Leaf { tbs, serial, names, uses: uses.clone(), not_before, not_after })
    }

    /// The algorithm of the issuer's key. [`Leaf::sign`] refuses a signer with another one, whose signature would not
    /// match the algorithm that the certificate names.
    fn algorithm(&self) -> x509_cert::spki::AlgorithmIdentifierOwned {
        let is_p384 = self.authority.key_bits.len() > 65;
        let oid = if is_p384 { oid::ECDSA_SHA384 } else { oid::ECDSA_SHA256 };
        x509_cert::spki::AlgorithmIdentifierOwned { oid, parameters: None }
    }

    fn serial_of(names: &BTreeSet<Name>) -> Result<&str, usize> {
        let serials: Vec<&str> = names
            .iter()
            .filter_map(|name| match name {
                Name::Serial(serial) => Some(&**serial),
                _ => None,
            })
            .collect();
        if let [one] = serials.as_slice() { Ok(one) } else { Err(serials.len()) }
    }

    /// The subject. Its common name is the host name if there is one, because certbot and others take it for one of the
    /// alternative names, and else the id, which mosquitto uses as the user's name. The serial number is added (IEEE
    /// 802.1AR, 8.6).
    fn subject(&self, names: &BTreeSet<Name>) -> der::Result<x509_cert::name::Name> {
        let host = names.iter().find_map(|name| match name {
            Name::Host(host) if host.len() <= COMMON_NAME_CHARS && host.parse::<core::net::IpAddr>().is_err() => {
                Some(host.to_string())
            }
            _ => None,
        });
        let common = host.unwrap_or_else(|| self.id.to_string());
        let serial = Self::serial_of(names).ok().filter(|serial| serial.len() <= 64);
        let serial = serial.map(|serial| (oid::SERIAL_NUMBER, serial));
        let all: Vec<_> = serial.into_iter().chain([(oid::COMMON_NAME, common.as_str())]).collect();
        subject::name(&all).or_else(|_| subject::name(&[(oid::COMMON_NAME, common.as_str())]))
    }

    fn alternative_names(
        &self,
        names: &BTreeSet<Name>,
        permanent: &BTreeSet<String>,
    ) -> Result<Vec<GeneralName>, LeafError> {
        let mut all = Vec::new();
        for name in names {
            all.extend(general_name::general_name(name)?);
        }
        for value in permanent {
            all.push(general_name::permanent_identifier(value)?);
        }
        if let Some(hardware_type) = &self.profile.hardware_type {
            let serial = Self::serial_of(names).map_err(LeafError::SerialNumbers)?;
            all.push(general_name::hardware_module(ObjectIdentifier::new(hardware_type).map_err(oid_error)?, serial)?);
        }
        Ok(all)
    }

    fn check_constraints(
        &self,
        uses: &BTreeSet<CertificateUse>,
        names: &[GeneralName],
        subject: &x509_cert::name::Name,
    ) -> Result<(), LeafError> {
        let authority = self.authority;
        let no = |what: String| Err(LeafError::Constrained(what));
        if !authority.may_certify_for(uses) {
            let uses: Vec<String> = uses.iter().map(ToString::to_string).collect();
            return no(format!("the uses {}", uses.join(", ")));
        }
        // Name constraints apply to the subject too (RFC 5280, 4.2.1.10).
        if !authority.may_certify(&GeneralName::DirectoryName(subject.clone())) {
            return no(format!("the subject `{subject}`"));
        }
        names.iter().try_for_each(|name| self.check_name(name))
    }

    /// Checks that the issuer may certify names that are asked for: those above it constrain that.
    ///
    /// # Errors
    /// With the first name that it may not certify.
    pub fn check_names(&self, names: &BTreeSet<Name>) -> Result<(), LeafError> {
        for name in names {
            if let Some(name) = general_name::general_name(name)? {
                self.check_name(&name)?;
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &GeneralName) -> Result<(), LeafError> {
        if self.authority.may_certify(name) {
            return Ok(());
        }
        Err(LeafError::Constrained(match name {
            GeneralName::DnsName(host) => format!("`{}`", host.as_str()),
            GeneralName::UniformResourceIdentifier(uri) => format!("`{}`", uri.as_str()),
            _ => "one of the names".to_owned(),
        }))
    }

    fn validity(&self, now: Timestamp) -> Result<(Timestamp, Option<Timestamp>), LeafError> {
        let (begins, ends) = (self.authority.not_before, self.authority.not_after);
        if ends <= now {
            return Err(LeafError::IssuerExpired(ends));
        }
        if begins > now {
            return Err(LeafError::IssuerNotYet(begins));
        }
        // Nothing begins before its issuer: some validators take that for a mistake, and others for a forgery.
        let backdated = Timestamp::from_seconds(now.as_millis().saturating_sub(BACKDATED_MILLIS) / 1000);
        let not_before = backdated.max(begins);
        // Nothing outlives its issuer, except certificates that never expire.
        let seconds = self.profile.seconds.map(|seconds| seconds.saturating_mul(1000));
        Ok((not_before, seconds.map(|millis| now.plus_millis(millis).min(ends))))
    }

    fn extensions(
        &self,
        key: &SubjectPublicKeyInfoOwned,
        uses: &BTreeSet<CertificateUse>,
        names: Vec<GeneralName>,
        serial: SerialNumber,
    ) -> der::Result<Vec<Extension>> {
        let own_id = sha1(key.subject_public_key.raw_bytes());
        let key_id = OctetString::new(self.authority.key_id.clone())?;
        let issuer = AuthorityKeyIdentifier { key_identifier: Some(key_id), ..Default::default() };
        let mut all = vec![
            extension(oid::AUTHORITY_KEY_ID, false, &issuer)?,
            extension(oid::SUBJECT_KEY_ID, false, &SubjectKeyIdentifier(OctetString::new(own_id)?))?,
            extension(oid::KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
            extension(oid::BASIC_CONSTRAINTS, true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        ];
        if !uses.is_empty() {
            let uses: Vec<_> = uses.iter().map(|usage| usage_oid(*usage)).collect();
            all.push(extension(oid::EXT_KEY_USAGE, false, &ExtendedKeyUsage(uses))?);
        }
        if !names.is_empty() {
            all.push(extension(oid::SUBJECT_ALT_NAME, false, &SubjectAltName(names))?);
        }
        let access = |method, url: String| {
            let location = GeneralName::UniformResourceIdentifier(Ia5String::new(&url)?);
            Ok::<_, der::Error>(AccessDescription { access_method: method, access_location: location })
        };
        let (url, id) = (&self.rules.url, issuer_id(self.authority));
        let issuers = access(oid::ACCESS_CA_ISSUERS, issuer_url(url, &id))?;
        if uses.contains(&CertificateUse::Ocsp) {
            // Otherwise, asking about the responder's certificate would lead to the responder itself (RFC 6960,
            // 4.2.2.2.1).
            all.push(extension(oid::OCSP_NO_CHECK, false, &Null)?);
            all.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(vec![issuers]))?);
            return Ok(all);
        }
        let ocsp = access(oid::ACCESS_OCSP, ocsp_url(url))?;
        all.push(extension(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(vec![ocsp, issuers]))?);
        all.push(distribution_point(&list_url(url, &id, shard_of(self.rules.shards, serial.bucket())))?);
        Ok(all)
    }
}

/// The issuer's id in the URLs of its lists: the first octets of its key's digest, in hex.
#[must_use]
pub fn issuer_id(authority: &Authority) -> String {
    let digest = super::sha256(&authority.spki);
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

/// The URL of an issuer's certificate.
#[must_use]
pub fn issuer_url(url: &str, issuer: &str) -> String {
    format!("{url}/issuers/{issuer}.cer")
}

/// The URL of the OCSP responder (RFC 6960).
#[must_use]
pub fn ocsp_url(url: &str) -> String {
    format!("{url}/ocsp")
}

/// The URL of the revocation list that covers serial numbers in this bucket.
#[must_use]
pub fn crl_url(rules: &Certificates, authority: &Authority, bucket: u8) -> String {
    list_url(&rules.url, &issuer_id(authority), shard_of(rules.shards, bucket))
}

/// The URL of an issuer's list with this number.
#[must_use]
pub fn list_url(url: &str, issuer: &str, shard: u8) -> String {
    format!("{url}/crl/{issuer}/{shard}.crl")
}

/// The number of the list, of `shards`, that covers serial numbers in this bucket.
#[must_use]
pub fn shard_of(shards: u16, bucket: u8) -> u8 {
    u8::try_from(u16::from(bucket) % shards.max(1)).unwrap_or_default()
}

/// The extension with the URL of a revocation list.
pub(super) fn distribution_point(url: &str) -> der::Result<Extension> {
    let name = DistributionPointName::FullName(vec![GeneralName::UniformResourceIdentifier(Ia5String::new(url)?)]);
    let point = DistributionPoint { distribution_point: Some(name), reasons: None, crl_issuer: None };
    extension(oid::CRL_DISTRIBUTION_POINTS, false, &CrlDistributionPoints(vec![point]))
}

fn permanent(wanted: &Wanted) -> Option<String> {
    match wanted {
        Wanted::Permanent(Name::Serial(serial)) => Some(serial.to_string()),
        Wanted::Permanent(name) => Some(name.to_string()),
        _ => None,
    }
}

fn oid_error(_: x509_cert::der::oid::Error) -> LeafError {
    LeafError::HardwareType("unreadable".to_owned())
}

impl Leaf {
    /// Signs it; the certificate in DER. The signer must be the authority's key.
    ///
    /// # Errors
    /// When the key is another, or does not sign.
    pub fn sign(self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        if signature::algorithm(signer)? != self.tbs.signature {
            return Err(SignError::Kind(signer.public_key().algorithm()));
        }
        authority::signed(signer, self.tbs)
    }
}
