//! What ACME clients send: flattened JWS, keys, payloads.

use ics_node::acme::account::{AccountUpdate, NewAccount, check_contacts};
use ics_node::acme::identifier::Identifier;
use ics_node::acme::jwk::Jwk;
use ics_node::acme::jws::{By, Signed};
use ics_node::acme::order::{NewOrder, read_identifiers};
use ics_node::acme::renewal::CertificateId;
use ics_node::acme::urls::Resource;

/// A request is read without panic; a key is read as it is written, and signs nothing by chance; identifiers have one
/// spelling.
pub(super) fn request(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes) {
        if let Ok(id) = CertificateId::parse(text) {
            assert!(CertificateId::parse(&id.to_string()) == Ok(id), "a certificate's id is not read as it is written");
        }
        if let Ok(resource) = Resource::parse(text) {
            assert!(resource.path() == text, "a resource has two paths");
        }
    }
    let Ok(signed) = Signed::parse(bytes) else { return };
    if let By::Key(key) = &signed.header.by {
        let again = serde_json::to_value(key).ok().and_then(|json| Jwk::parse(&json).ok());
        assert!(again.as_ref() == Some(key), "a key is not read as it is written");
        assert!(!key.to_spki().is_empty() && key.thumbprint().len() == 43);
        drop(signed.verify(key));
    }
    drop(signed.json::<NewAccount>().map(|account| check_contacts(account.contact)));
    drop(signed.json::<AccountUpdate>());
    if let Ok(order) = signed.json::<NewOrder>()
        && let Ok(identifiers) = read_identifiers(&order.identifiers)
    {
        for identifier in identifiers {
            let again = match &identifier {
                Identifier::Dns(value) => Identifier::dns(value),
                Identifier::Permanent(value) => Identifier::permanent(value),
            };
            assert!(again == Ok(identifier), "an identifier has two spellings");
        }
    }
}
