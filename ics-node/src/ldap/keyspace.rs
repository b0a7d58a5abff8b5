//! The key space in which GnuPG looks for keys, and to which it sends them.
//!
//! Entries are made from what the node knows of a key. Of what a client sends, only the OpenPGP packets count, whose
//! signatures authorize them; the attributes that a client derives from them are derived here again. A key is added to,
//! never replaced.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::mail_of;
use ics_core::time::Timestamp;
use ldap3_proto::proto::{LdapFilter, LdapModifyType, LdapPartialAttribute, LdapResultCode};

use super::entry::{Entry, generalized_time};
use super::message::Failure;
use super::search::{Place, failed};
use super::tree::{Node, Tree};
use super::work::{Working, blocking};
use super::write::Write;
use super::{filter, schema};
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::keys::{Change, FoundKey, KeySearch, Merged};
use crate::app::{AppError, Reader};

/// The OpenPGP version of keys in the key space: GnuPG reads no newer one.
pub(super) const VERSION: Option<u8> = Some(4);

/// How to find the keys that a filter may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyPlan {
    /// Nothing can match.
    Nothing,
    /// What any of these look-ups finds.
    Any(Vec<KeySearch>),
    /// Everything would have to be looked at.
    Scan,
}

/// Plans how a filter finds keys.
pub(super) fn plan(filter: &LdapFilter) -> KeyPlan {
    match filter {
        LdapFilter::And(parts) => parts.iter().map(plan).reduce(narrower).unwrap_or(KeyPlan::Scan),
        LdapFilter::Or(parts) => parts.iter().map(plan).reduce(wider).unwrap_or(KeyPlan::Nothing),
        LdapFilter::Not(part) if is_of_keys(part) => KeyPlan::Nothing,
        // No key needs to be looked at for what only things or domains have.
        _ if !filter::may_match(filter, &schema::PGP_KEY_INFO) => KeyPlan::Nothing,
        LdapFilter::Equality(name, value) | LdapFilter::Approx(name, value) => {
            let one = |search: Option<KeySearch>| search.map_or(KeyPlan::Nothing, |search| KeyPlan::Any(vec![search]));
            match schema::attribute(name).map(schema::Attribute::name) {
                Some("gpgFingerprint" | "gpgSubFingerprint" | "pgpCertID" | "pgpSubKeyID" | "pgpKeyID") => {
                    one(KeySearch::hex(value))
                }
                Some("gpgMailbox") => one(Some(KeySearch::Mail(value.clone()))),
                Some("pgpUserID") => one(Some(KeySearch::UserId(value.clone()))),
                _ => KeyPlan::Scan,
            }
        }
        LdapFilter::Substring(name, parts) => {
            let texts = parts.initial.iter().chain(&parts.any).chain(&parts.final_);
            match (schema::attribute(name).map(schema::Attribute::name), texts.max_by_key(|text| text.len())) {
                (Some("pgpUserID" | "gpgMailbox"), Some(text)) => KeyPlan::Any(vec![KeySearch::Text(text.clone())]),
                _ => KeyPlan::Scan,
            }
        }
        _ => KeyPlan::Scan,
    }
}

/// Whether a filter asks for all keys.
fn is_of_keys(filter: &LdapFilter) -> bool {
    matches!(filter, LdapFilter::Equality(name, value)
        if schema::attribute(name) == Some(&schema::OBJECT_CLASS) && value.eq_ignore_ascii_case("pgpKeyInfo"))
}

fn narrower(one: KeyPlan, other: KeyPlan) -> KeyPlan {
    match (one, other) {
        (KeyPlan::Nothing, _) | (_, KeyPlan::Nothing) => KeyPlan::Nothing,
        (KeyPlan::Any(searches), _) | (_, KeyPlan::Any(searches)) => KeyPlan::Any(searches),
        _ => KeyPlan::Scan,
    }
}

fn wider(one: KeyPlan, other: KeyPlan) -> KeyPlan {
    match (one, other) {
        (KeyPlan::Nothing, plan) | (plan, KeyPlan::Nothing) => plan,
        (KeyPlan::Any(mut a), KeyPlan::Any(b)) => {
            // GnuPG asks for a fingerprint both as a primary key's and as a subkey's: one look-up finds both.
            a.extend(b);
            a.dedup();
            KeyPlan::Any(a)
        }
        _ => KeyPlan::Scan,
    }
}

/// Translates a filter of GnuPG's client into what it means: the client percent-encodes `(`, `)`, `*`, `/` and `\` of a
/// User ID where filters take a backslash, and asks for the long id of a subkey as if it were that of a key.
pub(super) fn meant(filter: LdapFilter) -> LdapFilter {
    let all = |parts: Vec<LdapFilter>| parts.into_iter().map(meant).collect();
    let text = |text: String| match unpercent(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(plain) => plain,
    };
    match filter {
        LdapFilter::And(parts) => LdapFilter::And(all(parts)),
        LdapFilter::Or(parts) => LdapFilter::Or(all(parts)),
        LdapFilter::Not(part) => LdapFilter::Not(Box::new(meant(*part))),
        LdapFilter::Equality(name, value) if schema::attribute(&name) == Some(&schema::PGP_CERT_ID) => {
            let of_subkey = LdapFilter::Equality(schema::PGP_SUB_KEY_ID.name().to_owned(), value.clone());
            LdapFilter::Or(vec![LdapFilter::Equality(name, value), of_subkey])
        }
        LdapFilter::Equality(name, value) => LdapFilter::Equality(name, text(value)),
        LdapFilter::Substring(name, mut parts) => {
            parts.initial = parts.initial.map(text);
            parts.any = parts.any.into_iter().map(text).collect();
            parts.final_ = parts.final_.map(text);
            LdapFilter::Substring(name, parts)
        }
        other => other,
    }
}

fn unpercent(text: &str) -> Cow<'_, str> {
    let escapes = [("%28", "("), ("%29", ")"), ("%2a", "*"), ("%2f", "/"), ("%5c", "\\")];
    escapes.into_iter().fold(Cow::Borrowed(text), |text, (escape, plain)| {
        match text.contains(escape) || text.contains(&escape.to_uppercase()) {
            true => Cow::Owned(text.replace(escape, plain).replace(&escape.to_uppercase(), plain)),
            false => text,
        }
    })
}

/// The entry of the key with a long id. Two keys can be made to share an id; then neither has the entry.
pub(super) fn by_id(place: &Place, reader: Reader, id: &str) -> Result<Option<Entry>, Failure> {
    let Some(search @ KeySearch::KeyId(id)) = KeySearch::hex(id) else { return Ok(None) };
    let found = place.app.keys(reader, &search, VERSION, limits::KEYS_FOUND).map_err(|error| failed(&error))?;
    own(&found, id).map(|key| entry(&place.tree, key)).transpose()
}

/// Whether a key with this id is held here, even if other nodes that may know it have not answered.
fn is_here(place: &Place, reader: Reader, id: &str) -> Result<bool, Failure> {
    let Some(search @ KeySearch::KeyId(id)) = KeySearch::hex(id) else { return Ok(false) };
    let (found, _) =
        place.app.keys_here(reader, &search, VERSION, limits::KEYS_FOUND).map_err(|error| failed(&error))?;
    Ok(own(&found, id).is_some())
}

/// The one key whose own id this is, not a subkey's; `None` if there are two.
fn own(found: &[FoundKey], id: [u8; 8]) -> Option<&FoundKey> {
    let mut own = found.iter().filter(|key| key.fingerprint.key_id() == id);
    own.next().filter(|_| own.next().is_none())
}

/// The entry of a key.
pub(super) fn entry(tree: &Tree, key: &FoundKey) -> Result<Entry, Failure> {
    let about = &key.about;
    let id = long_id(&key.fingerprint);
    let mut entry = Entry::new(dn(tree, &key.fingerprint), &schema::PGP_KEY_INFO);
    let armored = crate::openpgp::armored(&key.openpgp, crate::openpgp::Armor::PublicKey);
    let armored = armored.map_err(|error| Failure::new(LdapResultCode::Other, error.to_string()))?;
    entry.put(&schema::PGP_CERT_ID, [&id]);
    entry.put(&schema::PGP_KEY_ID, id.get(8..));
    entry.put(&schema::PGP_KEY, [armored]);
    let user_ids: BTreeSet<&str> = about.user_ids.iter().map(|it| it.text.as_str()).collect();
    // GnuPG shows the first one. Values are a set, but clients get them in this order.
    let first = about.user_ids.first().map(|it| it.text.as_str());
    entry.put(&schema::PGP_USER_ID, first.into_iter().chain(user_ids.iter().copied().filter(|it| Some(*it) != first)));
    entry.put(&schema::GPG_MAILBOX, user_ids.iter().filter_map(|it| mail_of(it)).collect::<BTreeSet<_>>());
    let seconds = |at: Timestamp| generalized_time(Timestamp::from_seconds(at.as_seconds()));
    entry.put(&schema::PGP_CREATED, [seconds(about.key.created)]);
    entry.put(&schema::PGP_EXPIRES, about.key.expires.map(seconds));
    let flag = |is: bool| [if is { "1" } else { "0" }];
    entry.put(&schema::PGP_REVOKED, flag(about.key.is_revoked));
    // Set if the thing's status blocks it: its key must not look usable.
    entry.put(&schema::PGP_DISABLED, flag(key.is_blocked));
    entry.put(&schema::PGP_KEY_TYPE, key_type(about.key.algorithm));
    entry.put(&schema::PGP_KEY_SIZE, Some(about.key.bits).filter(|bits| *bits > 0).map(|bits| format!("{bits:05}")));
    entry.put(&schema::GPG_FINGERPRINT, [key.fingerprint.to_string().to_uppercase()]);
    entry
        .put(&schema::PGP_SUB_KEY_ID, about.subkeys.iter().map(|it| long_id(&it.fingerprint)).collect::<BTreeSet<_>>());
    let subkeys: BTreeSet<String> = about.subkeys.iter().map(|it| it.fingerprint.to_string().to_uppercase()).collect();
    entry.put(&schema::GPG_SUB_FINGERPRINT, subkeys);
    entry.finish(tree, Some((about.key.created, key.modified)), false);
    Ok(entry)
}

/// Whether the entry of a key says that it must not be used.
pub(super) fn is_unusable(entry: &Entry) -> bool {
    let is_set = |attribute| entry.values(attribute).iter().any(|value| value == b"1");
    is_set(&schema::PGP_DISABLED) || is_set(&schema::PGP_REVOKED)
}

/// The name of a key's entry.
pub(super) fn dn(tree: &Tree, fingerprint: &Fingerprint) -> String {
    format!("{}={},{}", schema::PGP_CERT_ID.name(), long_id(fingerprint), tree.key_space_dn())
}

fn long_id(fingerprint: &Fingerprint) -> String {
    data_encoding::HEXUPPER.encode(&fingerprint.key_id())
}

/// The two types that GnuPG's schema has a word for; `None` for other algorithms.
const fn key_type(algorithm: u8) -> Option<&'static str> {
    match algorithm {
        1..=3 => Some("RSA"),
        16 | 17 => Some("DSS/DH"),
        _ => None,
    }
}

/// Takes in a key, with those of its signatures that the domains here admit.
pub(super) async fn write(
    place: &Arc<Place>,
    reader: Reader,
    write: Write,
    work: Working,
) -> Result<LdapResultCode, Failure> {
    let (dn, key, is_new) = match write {
        Write::Add(request) => (request.dn, sent_key(request.attributes), true),
        Write::Modify(request) => {
            let kept = |change: &ldap3_proto::proto::LdapModify| {
                !matches!(change.operation, LdapModifyType::Delete | LdapModifyType::Increment)
            };
            let changes = request.changes.into_iter().filter(kept).map(|change| change.modification);
            (request.dn, sent_key(changes.collect()), false)
        }
        Write::Delete(dn) => (dn, Err(Failure::new(LdapResultCode::InsufficentAccessRights, "")), false),
    };
    let Node::Key(id) = place.tree.node(&dn)? else {
        return Err(Failure::new(LdapResultCode::InsufficentAccessRights, "only keys are sent here, to the key space"));
    };
    // As an upload over HKP. A statement costs nothing, as over HTTP: a block gets through whatever else was asked.
    place.app.admit(reader).map_err(|error| failed(&error))?;
    let asked = id.clone();
    let known = blocking(place, move |place| {
        if is_new { is_here(place, reader, &asked) } else { by_id(place, reader, &asked).map(|it| it.is_some()) }
    });
    let known = known.await?;
    match (known, is_new) {
        (false, false) => return Err(Failure::no_such_object(place.tree.key_space_dn())),
        (true, true) => return Err(Failure::new(LdapResultCode::EntryAlreadyExists, "")),
        _ => {}
    }
    let sent = place.app.read_keys(reader, key?).await.map_err(|error| not_taken(&error))?;
    if !sent.keys().any(|key| long_id(key).eq_ignore_ascii_case(&id)) {
        return Err(Failure::new(LdapResultCode::NamingViolation, "the name is not the id of the key in it"));
    }
    let mut sender = work.sender(&place.app, reader);
    let merged = place.app.merge_keys(&mut sender, sent).await.map_err(|error| not_taken(&error))?;
    taken(&merged)
}

/// The failure for an upload of which nothing was taken.
fn not_taken(error: &AppError) -> Failure {
    let failure = failed(error);
    let code = match failure.code {
        LdapResultCode::UnwillingToPerform => LdapResultCode::InvalidAttributeSyntax,
        other => other,
    };
    Failure { code, ..failure }
}

/// The last value that a client gives for `pgpKey`.
fn sent_key(attributes: Vec<LdapPartialAttribute>) -> Result<Vec<u8>, Failure> {
    let is_key = |attribute: &LdapPartialAttribute| schema::attribute(&attribute.atype) == Some(&schema::PGP_KEY);
    let keys: Vec<LdapPartialAttribute> = attributes.into_iter().filter(is_key).collect();
    let sent = keys.into_iter().rev().flat_map(|attribute| attribute.vals).next();
    sent.ok_or_else(|| {
        Failure::new(LdapResultCode::ObjectClassViolation, "there is no pgpKey: attributes follow from it")
    })
}

/// The outcome of an upload, for a client that can be told only one.
fn taken(merged: &Merged) -> Result<LdapResultCode, Failure> {
    let is_there = merged.keys.values().any(|change| *change != Change::Refused);
    // A device that can sign has certified itself; if no domain keeps its certificate, the upload is not at fault.
    let counts = |problem: &&Problem| !is_there || problem.code() != Code::CertificateNotNamed.as_str();
    match merged.problems.iter().find(counts) {
        Some(problem) if merged.appended == 0 || !is_there => {
            Err(Failure::new(LdapResultCode::InsufficentAccessRights, problem.detail.clone()))
        }
        _ => Ok(LdapResultCode::Success),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3_proto::parse_ldap_filter_str;

    #[test]
    fn what_gnupg_asks_for() {
        let fingerprint = "ab".repeat(20);
        let plan_of = |text: &str| plan(&parse_ldap_filter_str(text).expect(text));
        let any = |searches: &[Option<KeySearch>]| KeyPlan::Any(searches.iter().flatten().cloned().collect());
        for (text, expected) in [
            (
                format!("(|(gpgFingerprint={fingerprint})(gpgSubFingerprint={fingerprint}))"),
                any(&[KeySearch::hex(&fingerprint)]),
            ),
            ("(pgpCertID=0123456789ABCDEF)".to_owned(), any(&[KeySearch::hex("0123456789abcdef")])),
            ("(pgpKeyID=89ABCDEF)".to_owned(), any(&[KeySearch::hex("89abcdef")])),
            ("(pgpUserID=Alice)".to_owned(), any(&[Some(KeySearch::UserId("Alice".to_owned()))])),
            ("(pgpUserID=*alice*)".to_owned(), any(&[Some(KeySearch::Text("alice".to_owned()))])),
            (
                "(&(gpgMailbox=a@b.example)(!(|(pgpRevoked=1)(pgpDisabled=1))))".to_owned(),
                any(&[Some(KeySearch::Mail("a@b.example".to_owned()))]),
            ),
            ("(gpgFingerprint=12)".to_owned(), KeyPlan::Nothing),
            ("(!(pgpRevoked=1))".to_owned(), KeyPlan::Scan),
            ("(!(objectClass=PGPKEYINFO))".to_owned(), KeyPlan::Nothing),
            ("(icsLot=7)".to_owned(), KeyPlan::Nothing),
            ("(cn=*x*)".to_owned(), KeyPlan::Nothing),
            ("(objectClass=icsIdentityEntry)".to_owned(), KeyPlan::Nothing),
            ("(objectClass=TOP)".to_owned(), KeyPlan::Scan),
            ("(entryDN=*)".to_owned(), KeyPlan::Scan),
            ("(!(icsLot=7))".to_owned(), KeyPlan::Scan),
            (
                "(|(icsName=serial:7)(gpgMailbox=a@b.example))".to_owned(),
                any(&[Some(KeySearch::Mail("a@b.example".to_owned()))]),
            ),
            ("(|(gpgMailbox=a@b.example)(pgpRevoked=1))".to_owned(), KeyPlan::Scan),
            ("(uid=7)".to_owned(), KeyPlan::Nothing),
        ] {
            assert_eq!(plan_of(&text), expected, "{text}");
        }
    }

    #[test]
    fn escapes_of_urls_are_undone() {
        assert_eq!(unpercent("%28serial%29 %2A%2f%5C 100%"), "(serial) */\\ 100%");
        assert!(matches!(unpercent("plain 5%"), Cow::Borrowed(_)));
    }
}
