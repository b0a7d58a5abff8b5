//! Extensions (RFC 5280, 4.2).

use der::Encode;
use der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::Extension;

/// An extension with this content.
pub(super) fn extension(id: ObjectIdentifier, critical: bool, content: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(content.to_der()?)? })
}
