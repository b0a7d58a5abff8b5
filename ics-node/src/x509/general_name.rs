//! Conversion between names of things and names in X.509.

use core::net::IpAddr;

use der::asn1::{Any, Ia5String, ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::{Decode as _, Encode as _, Sequence};
use ics_core::identity::excerpt;
use ics_core::name::Name;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};

use super::oid;

/// HardwareModuleName (RFC 4108, 5).
#[derive(Sequence)]
struct HardwareModuleName<'a> {
    hardware_type: ObjectIdentifier,
    serial: OctetStringRef<'a>,
}

/// PermanentIdentifier (RFC 4043, 2).
#[derive(Sequence)]
struct PermanentIdentifier<'a> {
    #[asn1(optional = "true")]
    value: Option<Utf8StringRef<'a>>,
    #[asn1(optional = "true")]
    assigner: Option<ObjectIdentifier>,
}

/// A name that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A name that a record can give.
    Name(Name),
    /// A permanent identifier (RFC 4043): a serial number, or a URN.
    Permanent(Name),
    /// A hardware module: its type and its serial number.
    Hardware(String, Name),
}

impl Wanted {
    /// The name that the record must give.
    #[must_use]
    pub const fn name(&self) -> &Name {
        match self {
            Self::Name(name) | Self::Permanent(name) | Self::Hardware(_, name) => name,
        }
    }
}

/// The name that a general name asks for.
///
/// # Errors
/// With what it is, in words, when no record could give it.
pub(super) fn wanted(name: &GeneralName) -> Result<Wanted, String> {
    let of = |scheme: &str, value: &str| Name::new(scheme, value).map_err(|error| error.to_string());
    match name {
        GeneralName::DnsName(host) => Name::dns(host.as_str()).map_err(|error| error.to_string()).map(Wanted::Name),
        GeneralName::IpAddress(octets) => of("host", &address(octets.as_bytes())?.to_string()).map(Wanted::Name),
        GeneralName::UniformResourceIdentifier(uri) => match uri.as_str().split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("urn") => of("urn", rest).map(Wanted::Name),
            _ => Err(format!("the URI `{}`, which is not a URN", excerpt(uri.as_str()))),
        },
        GeneralName::OtherName(other) => other_name(other),
        GeneralName::Rfc822Name(_) => Err("a mail address".to_owned()),
        GeneralName::DirectoryName(_) => Err("a directory name".to_owned()),
        GeneralName::EdiPartyName(_) => Err("an EDI party".to_owned()),
        GeneralName::RegisteredId(_) => Err("a registered id".to_owned()),
    }
}

fn other_name(other: &OtherName) -> Result<Wanted, String> {
    let malformed = |error: der::Error| format!("a malformed name of type {}: {error}", other.type_id);
    let encoded = other.value.to_der().map_err(malformed)?;
    let serial = |text: &str| Name::new("serial", text).map_err(|error| error.to_string());
    match other.type_id {
        oid::HARDWARE_MODULE_NAME => {
            let module = HardwareModuleName::from_der(&encoded).map_err(malformed)?;
            let text = core::str::from_utf8(module.serial.as_bytes());
            let text = text.map_err(|_| "a hardware module whose serial number is no text".to_owned())?;
            Ok(Wanted::Hardware(module.hardware_type.to_string(), serial(text)?))
        }
        oid::PERMANENT_IDENTIFIER => {
            let identifier = PermanentIdentifier::from_der(&encoded).map_err(malformed)?;
            let text = identifier.value.ok_or("a permanent identifier without a value")?;
            let urn = Name::urn_of(text.as_str());
            urn.map_or_else(|| serial(text.as_str()), Ok).map(Wanted::Permanent)
        }
        other => Err(format!("a name of the unknown type {other}")),
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, String> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .map_err(|_| format!("an address of {} octets", octets.len()))
}

/// A name as a general name; `None` if X.509 has no place for it outside the subject.
pub(super) fn general_name(name: &Name) -> der::Result<Option<GeneralName>> {
    Ok(Some(match name {
        Name::Urn(_) => GeneralName::UniformResourceIdentifier(Ia5String::new(&name.to_string())?),
        Name::Host(host) => match host.parse::<IpAddr>() {
            Ok(address) => GeneralName::from(address),
            Err(_) => GeneralName::DnsName(Ia5String::new(host.as_bytes())?),
        },
        Name::Serial(_) | Name::Spki(_) | Name::Certificate(_) => return Ok(None),
    }))
}

/// The HardwareModuleName of IEEE 802.1AR.
pub(super) fn hardware_module(hardware_type: ObjectIdentifier, serial: &str) -> der::Result<GeneralName> {
    let module = HardwareModuleName { hardware_type, serial: OctetStringRef::new(serial.as_bytes())? };
    other(oid::HARDWARE_MODULE_NAME, &module.to_der()?)
}

/// A permanent identifier without an assigner, which means this issuer.
pub(super) fn permanent_identifier(value: &str) -> der::Result<GeneralName> {
    let identifier = PermanentIdentifier { value: Some(Utf8StringRef::new(value)?), assigner: None };
    other(oid::PERMANENT_IDENTIFIER, &identifier.to_der()?)
}

fn other(type_id: ObjectIdentifier, value: &[u8]) -> der::Result<GeneralName> {
    Ok(GeneralName::OtherName(OtherName { type_id, value: Any::from_der(value)? }))
}
