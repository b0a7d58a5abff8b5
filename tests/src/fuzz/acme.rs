//! What ACME clients send: flattened JWS, keys, payloads; and the certificate with which a host answers a challenge.

use ics_node::acme::account::{AccountUpdate, NewAccount, bound_to, check_contacts, new_key};
use ics_node::acme::authorization::answers_tls;
use ics_node::acme::identifier::Identifier;
use ics_node::acme::jwk::Jwk;
use ics_node::acme::jws::{By, Signed};
use ics_node::acme::order::{NewOrder, read_identifiers};
use ics_node::acme::renewal::CertificateId;
use ics_node::acme::urls::Resource;

/// The secret that binds the account of a seed, and the address of the account whose key a seed changes.
const SECRET: &[u8] = b"a secret for the seeds, no other";
const ACCOUNT: &str = "https://ca.example/acme/devices.acme.example/account/1";
/// The key of that account.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"62_A7PNR7NytUNBWogGE6OL1ZByHUuL2rgnheRKTruc","y":"N2QFbO4BQaWYQYBSSsYv6xHekVa3XOysi_HCo5U4lco"}"#;

/// The credential to which a request validly binds a new account, or the thumbprint of the new key in a request that
/// changes an account's key.
pub(super) fn bound_or_changed(signed: &Signed) -> Option<String> {
    if let By::Key(key) = &signed.header.by {
        let binding = Signed::from_value(&signed.json::<NewAccount>().ok()?.external_account_binding?).ok()?;
        let credential = bound_to(&binding, &signed.header.url, key).ok()?.to_owned();
        return binding.verify_mac(SECRET).ok().map(|()| credential);
    }
    let old = Jwk::parse(&serde_json::from_str(KEY).ok()?).ok()?;
    let new = new_key(signed, ACCOUNT, &old).ok()?;
    assert!(new.thumbprint().len() == 43, "a key without a thumbprint");
    Some(new.thumbprint())
}

/// Reading a request never panics; a key is read as it is written, and signs nothing by chance; identifiers have one
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
    drop(bound_or_changed(&signed));
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

/// The host and the key authorization for which the certificate of a seed was made.
const HOST: &str = "pump-7.acme.example";
const KEY_AUTHORIZATION: &str =
    "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// A certificate presented by a host answers one challenge at most.
pub(super) fn shown(der: &[u8]) {
    if answers_tls(der, HOST, KEY_AUTHORIZATION) {
        assert!(!answers_tls(der, "pump-8.acme.example", KEY_AUTHORIZATION), "it answers for another host as well");
        assert!(!answers_tls(der, HOST, "another.one"), "it answers another challenge as well");
    }
}

/// Whether the decoder accepts a seed.
#[cfg(test)]
pub(super) fn is_good_answer(der: &[u8]) -> bool {
    answers_tls(der, HOST, KEY_AUTHORIZATION)
}
