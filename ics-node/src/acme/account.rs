//! Accounts (RFC 8555, 7.3): a key, and whom it speaks for.

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::jwk::Jwk;
use super::jws::{By, Signed};
use super::problem::{Kind, Problem};

/// The longest contact in bytes: the longest mail address (RFC 5321, 4.5.3.1.3) and its scheme.
const CONTACT_BYTES: usize = 261;

/// Whom an account speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// A signer, by primary fingerprint: the signer's roles over a thing decide whether it may have a certificate.
    Signer(Fingerprint),
    /// A thing, by the fingerprint that is its id: it asks for itself.
    Thing(Fingerprint),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signer(signer) => write!(f, "the signer {signer}"),
            Self::Thing(thing) => write!(f, "the thing {thing}"),
        }
    }
}

/// Whether an account may still ask for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// It may.
    Valid,
    /// Its client has given it up.
    Deactivated,
    /// The node has revoked it.
    Revoked,
}

impl AccountStatus {
    /// Its name in the protocol (RFC 8555, 7.1.2).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Deactivated => "deactivated",
            Self::Revoked => "revoked",
        }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its key.
    pub key: Jwk,
    /// Whom it speaks for.
    pub holder: Holder,
    /// Whether it may still ask for anything.
    pub status: AccountStatus,
    /// Its contact URLs.
    #[serde(default)]
    pub contact: Vec<String>,
    /// When it was created.
    pub created: Timestamp,
}

/// What a client sends for a new account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NewAccount {
    /// The contact URLs.
    pub contact: Vec<String>,
    /// Whether only an existing account is asked for.
    pub only_return_existing: bool,
    /// The binding to a holder whom the node knows.
    pub external_account_binding: Option<Value>,
}

/// What a client sends to change its account. Members that are absent stay as they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AccountUpdate {
    /// The new contact URLs.
    pub contact: Option<Vec<String>>,
    /// Either `deactivated`, or `valid`, which changes nothing.
    pub status: Option<String>,
}

impl Account {
    /// A new account.
    #[must_use]
    pub const fn new(key: Jwk, holder: Holder, contact: Vec<String>, now: Timestamp) -> Self {
        Self { key, holder, status: AccountStatus::Valid, contact, created: now }
    }

    /// Checks that the account may still make requests.
    ///
    /// # Errors
    /// `unauthorized` when it was deactivated or revoked (RFC 8555, 7.3.6).
    pub fn check_valid(&self) -> Result<(), Problem> {
        match self.status {
            AccountStatus::Valid => Ok(()),
            AccountStatus::Deactivated => Err(Problem::new(Kind::Unauthorized, "the account was deactivated")),
            AccountStatus::Revoked => Err(Problem::new(Kind::Unauthorized, "the account was taken away")),
        }
    }

    /// Applies a change.
    ///
    /// # Errors
    /// When a contact is not acceptable, or a status is asked for that a client cannot set.
    pub fn update(&mut self, update: AccountUpdate) -> Result<(), Problem> {
        let contact = update.contact.map(check_contacts).transpose()?;
        match update.status.as_deref() {
            None | Some("valid") => {}
            Some("deactivated") => {
                self.end(AccountStatus::Deactivated);
                return Ok(());
            }
            Some(_) => return Err(Problem::malformed("status: an account can only be `deactivated`")),
        }
        self.contact = contact.unwrap_or_else(|| core::mem::take(&mut self.contact));
        Ok(())
    }

    /// Ends it for good, and forgets its contacts, which are of no further use.
    pub fn end(&mut self, status: AccountStatus) {
        self.status = status;
        self.contact.clear();
    }

    /// The JSON that its client sees.
    #[must_use]
    pub fn to_json(&self, orders: &str) -> Value {
        json!({"status": self.status, "contact": self.contact, "orders": orders})
    }
}

/// Checks contacts. They have the one form that every server must support: `mailto:` with a single address and nothing
/// else (RFC 8555, 7.3).
///
/// # Errors
/// `unsupportedContact` for other schemes, `invalidContact` for what is not an address.
pub fn check_contacts(contacts: Vec<String>) -> Result<Vec<String>, Problem> {
    if contacts.len() > limits::ACME_CONTACTS {
        return Err(Problem::new(
            Kind::InvalidContact,
            format!("an account has {} contacts at most", limits::ACME_CONTACTS),
        ));
    }
    for contact in &contacts {
        let Some(address) = contact.strip_prefix("mailto:") else {
            return Err(Problem::new(Kind::UnsupportedContact, "a contact is `mailto:` and an address"));
        };
        let has_parts = address.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !b"?,<>\"%".contains(&byte));
        if contact.len() > CONTACT_BYTES || !has_parts || !is_plain {
            return Err(Problem::new(Kind::InvalidContact, "a contact takes one plain mail address"));
        }
    }
    Ok(contacts)
}

/// The id of the external account that a binding names (RFC 8555, 7.3.4). [`Signed::verify_mac`] proves it.
///
/// # Errors
/// `malformed` when it was made for another URL or another account key.
pub fn bound_to<'a>(binding: &'a Signed, url: &str, key: &Jwk) -> Result<&'a str, Problem> {
    let wrong = |what: &str| Problem::malformed(format!("externalAccountBinding: {what}"));
    let By::Kid(kid) = &binding.header.by else { return Err(wrong("it must have a `kid`")) };
    if binding.header.nonce.is_some() {
        return Err(wrong("it must have no nonce"));
    }
    if binding.header.url != url {
        return Err(wrong("`url` is not that of the request"));
    }
    let bound: Value = binding.json()?;
    if Jwk::parse(&bound)? != *key {
        return Err(wrong("its payload is not the account's key"));
    }
    Ok(kid)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyChange {
    account: String,
    old_key: Value,
}

/// The new key of an account: checks the inner request of a key change, which the new key signs (RFC 8555, 7.3.5).
///
/// # Errors
/// When the inner request is not signed by the key that it contains, or is for another account, key or URL.
pub fn new_key(outer: &Signed, account_url: &str, old_key: &Jwk) -> Result<Jwk, Problem> {
    let inner = Signed::parse(outer.payload())?;
    let By::Key(key) = &inner.header.by else { return Err(Problem::malformed("the inner request must have a `jwk`")) };
    inner.verify(key)?;
    if inner.header.nonce.is_some() || inner.header.url != outer.header.url {
        return Err(Problem::malformed("the inner request must have the outer one's `url` and no `nonce`"));
    }
    let change: KeyChange = inner.json()?;
    if change.account != account_url || Jwk::parse(&change.old_key)? != *old_key {
        return Err(Problem::malformed("`account` and `oldKey` are not those of the account"));
    }
    Ok(key.clone())
}

#[cfg(test)]
mod tests {
    use super::super::jws::tests::{jwk, secret, sign};
    use super::*;

    const URL: &str = "https://ca.example/acme/d/key-change";
    const ACCOUNT: &str = "https://ca.example/acme/d/account/1";

    fn parsed(json: &Value) -> Signed {
        Signed::parse(json.to_string().as_bytes()).expect("a JWS")
    }

    #[test]
    fn contacts_are_plain_mail_addresses() {
        let check = |contact: &str| check_contacts(vec![contact.to_owned()]).map_err(|error| error.kind).err();
        assert_eq!(check("mailto:ops@acme.example"), None);
        assert_eq!(check("tel:+4912345"), Some(Kind::UnsupportedContact));
        for wrong in ["mailto:ops", "mailto:a@b,c@d", "mailto:a@b?subject=x", "mailto:@b", "mailto:a@", "mailto:a b@c"]
        {
            assert_eq!(check(wrong), Some(Kind::InvalidContact), "{wrong}");
        }
        assert!(check_contacts(vec!["mailto:a@b".to_owned(); limits::ACME_CONTACTS + 1]).is_err());
        assert_eq!(check(&format!("mailto:{}@b", "a".repeat(300))), Some(Kind::InvalidContact));
    }

    #[test]
    fn an_account_is_given_up_once_and_for_all() {
        let holder = Holder::Thing("ab".repeat(20).parse().expect("a fingerprint"));
        let contact = vec!["mailto:jo@acme.example".to_owned()];
        let mut account = Account::new(jwk(&secret(1)), holder, contact.clone(), Timestamp::default());
        let status = |status: &str| AccountUpdate { status: Some(status.to_owned()), contact: None };
        assert!(account.update(status("revoked")).is_err());
        assert_eq!((account.check_valid(), &account.contact), (Ok(()), &contact));
        account.update(AccountUpdate { contact: Some(contact), ..status("deactivated") }).expect("given up");
        assert_eq!(account.contact, Vec::<String>::new(), "there is nobody to write to any more");
        account.update(status("valid")).expect("changes nothing");
        assert_eq!(account.check_valid().map_err(|error| error.kind), Err(Kind::Unauthorized));
    }

    #[test]
    fn the_new_key_signs_that_it_takes_the_place_of_the_old_one() {
        let (old, new, other) = (secret(1), secret(2), secret(3));
        let inner = |by: &p256::ecdsa::SigningKey, header: Value, account: &str, old_key: &Jwk| {
            sign(by, &header, json!({"account": account, "oldKey": old_key}).to_string().as_bytes())
        };
        let header = json!({"alg": "ES256", "url": URL, "jwk": jwk(&new)});
        let change = |inner: Value| {
            let outer = json!({"alg": "ES256", "url": URL, "nonce": "AA", "kid": ACCOUNT});
            new_key(&parsed(&sign(&old, &outer, inner.to_string().as_bytes())), ACCOUNT, &jwk(&old))
                .map_err(|error| error.kind)
        };
        let good = inner(&new, header.clone(), ACCOUNT, &jwk(&old));
        assert_eq!(change(good), Ok(jwk(&new)));
        assert_eq!(change(inner(&other, header.clone(), ACCOUNT, &jwk(&old))), Err(Kind::Unauthorized));
        assert_eq!(change(inner(&new, header.clone(), "https://x", &jwk(&old))), Err(Kind::Malformed));
        assert_eq!(change(inner(&new, header.clone(), ACCOUNT, &jwk(&other))), Err(Kind::Malformed));
        for (member, value) in [("url", json!("https://x")), ("nonce", json!("AA"))] {
            let mut changed = header.clone();
            changed[member] = value;
            assert_eq!(change(inner(&new, changed, ACCOUNT, &jwk(&old))), Err(Kind::Malformed), "{member}");
        }
        let kid = json!({"alg": "ES256", "url": URL, "kid": ACCOUNT});
        assert_eq!(change(inner(&new, kid, ACCOUNT, &jwk(&old))), Err(Kind::Malformed));
    }

    #[test]
    fn a_binding_is_for_one_key_and_one_server() {
        let key = jwk(&secret(1));
        let bind = |header: Value, bound: &Jwk| {
            let payload = serde_json::to_vec(bound).expect("JSON");
            let binding = parsed(&sign(&secret(9), &header, &payload));
            bound_to(&binding, URL, &key).map(str::to_owned).map_err(|error| error.kind)
        };
        let header = json!({"alg": "HS256", "url": URL, "kid": "k1"});
        assert_eq!(bind(header.clone(), &key), Ok("k1".to_owned()));
        assert_eq!(bind(header, &jwk(&secret(2))), Err(Kind::Malformed));
        assert_eq!(bind(json!({"alg": "HS256", "url": "https://x", "kid": "k1"}), &key), Err(Kind::Malformed));
        assert_eq!(bind(json!({"alg": "HS256", "url": URL, "kid": "k1", "nonce": "AA"}), &key), Err(Kind::Malformed));
        assert_eq!(bind(json!({"alg": "HS256", "url": URL, "jwk": key}), &key), Err(Kind::Malformed));
    }
}
