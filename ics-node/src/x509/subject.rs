//! Distinguished names of subjects, and certificates in PEM.

use der::asn1::{Any, ObjectIdentifier, PrintableString, SetOfVec, Utf8StringRef};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use super::oid;

/// A name with these attributes, one in each relative name.
pub(super) fn name(attributes: &[(ObjectIdentifier, &str)]) -> der::Result<Name> {
    let rdns = attributes.iter().map(|(oid, value)| {
        // X.520 allows only PrintableString for a serialNumber.
        let value = if *oid == oid::SERIAL_NUMBER {
            Any::from(&PrintableString::new(value)?)
        } else {
            Any::from(Utf8StringRef::new(value)?)
        };
        let one = SetOfVec::try_from([AttributeTypeAndValue { oid: *oid, value }])?;
        Ok(RelativeDistinguishedName(one))
    });
    Ok(RdnSequence(rdns.collect::<der::Result<_>>()?))
}

/// The parts of a distinguished name in the form in which they are compared (RFC 5280, 7.1): by characters, whatever
/// their encoding, ignoring case and differences in spaces.
pub(super) fn folded(name: &Name) -> Vec<String> {
    let fold = |text: String| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    name.0.iter().map(|part| fold(part.to_string())).collect()
}

/// Whether two distinguished names are the same (RFC 5280, 7.1).
#[must_use]
pub fn is_same_name(one: &Name, other: &Name) -> bool {
    folded(one) == folded(other)
}

/// A certificate in PEM (RFC 7468, 5).
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    pem_block("CERTIFICATE", der)
}

/// One PEM block (RFC 7468).
#[must_use]
pub fn pem_block(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + "-----END " + label + "-----\n"
}
