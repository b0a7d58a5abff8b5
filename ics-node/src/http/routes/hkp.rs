//! `/pks/…`: the key server protocol of OpenPGP (HKP), versions 1 (draft-shaw-openpgp-hkp-00, as GnuPG speaks it) and 2
//! (draft-ietf-openpgp-hkp).
//!
//! Version 1 never returns OpenPGP version 6: GnuPG stops reading there and would miss what follows. Pages of any
//! origin may use all routes.

use std::fmt::Write as _;

use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use ics_core::identity::{Fingerprint, excerpt};
use ics_core::limits;
use ics_core::openpgp::transferable::{KeyDescription, UserIdDescription};
use ics_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Access::KeyServer;
use super::{Endpoint, get, post};
use crate::api::problem::Code;
use crate::app::keys::{Change, FoundKey, KeySearch, Merged};
use crate::app::{App, AppError, Reader, Sender};
use crate::http::answer::{self, JSON, OCTET_STREAM, PGP_KEYS};
use crate::http::body;
use crate::http::face::{Face, Heavy};
use crate::http::failure::Failure;
use crate::http::request::Reading;

/// The routes of key servers. They have specifications of their own and are not part of the API.
pub(super) const TABLE: &[Endpoint] = &[
    get("/pks/lookup", KeyServer, |r| r.to(lookup)),
    post("/pks/add", KeyServer, |r| r.to(add)),
    get("/pks/v2/certs/by-vfingerprint/{id}", KeyServer, |r| r.to(by_vfingerprint)),
    get("/pks/v2/certs/by-keyid/{id}", KeyServer, |r| r.to(by_key_id)),
    get("/pks/v2/certs/by-identity/{id:.+}", KeyServer, |r| r.to(by_identity)),
    get("/pks/v2/index/{id:.+}", KeyServer, |r| r.to(index)),
    post("/pks/v2/certs", KeyServer, |r| r.to(submit)),
    get("/pks/{rest:.*}", KeyServer, |r| r.to(unsupported)),
];

/// The media type of binary keys in version 2.
const PGP_KEYS_BINARY: &str = "application/pgp-keys;armor=no";
/// The media type that browsers' forms and GnuPG send.
const FORM: &str = "application/x-www-form-urlencoded";
/// The longest form in bytes, for a full batch: armor adds a third, and a form takes three bytes for some characters.
const FORM_BYTES: usize = limits::BATCH_BYTES * 2;
/// The categories of version 2 that must be followed by an identifier.
const CATEGORIES: [&str; 5] =
    ["v2/certs", "v2/certs/by-vfingerprint", "v2/certs/by-keyid", "v2/certs/by-identity", "v2/index"];

/// A look-up in version 1. Other parameters (`fingerprint`, `hash`) change nothing: fingerprints are always shown.
#[derive(Debug, Deserialize)]
pub(super) struct Lookup {
    op: Option<String>,
    search: Option<String>,
    exact: Option<String>,
}

async fn lookup(face: Data<Face>, reader: Reading, query: Query<Lookup>) -> Result<HttpResponse, Failure> {
    let missing = |what| Failure::new(Code::MalformedQuery, format_args!("`{what}` is missing"));
    let Lookup { op, search, exact } = query.into_inner();
    let op = op.ok_or_else(|| missing("op"))?;
    if !matches!(op.as_str(), "get" | "index" | "vindex") {
        return Err(Failure::new(
            Code::NotImplemented,
            format_args!("`{}` is no operation of this server", excerpt(&op)),
        ));
    }
    let search = search.ok_or_else(|| missing("search"))?;
    let is_exact = op == "get" || exact.is_some_and(|exact| exact == "on");
    let search = searched(&search, is_exact)?;
    if op == "get" {
        return keys(&face, reader.0, search, Some(4), PGP_KEYS).await;
    }
    let now = now(&face);
    let listed = found(&face, reader.0, (search, Some(4)), move |keys| Ok(listing(&keys, now))).await?;
    Ok(answer::bytes("text/plain; charset=utf-8", listed))
}

/// What a search text of version 1 means: hex after `0x`, or the text of a User ID.
fn searched(text: &str, is_exact: bool) -> Result<KeySearch, Failure> {
    let text = text.trim();
    let malformed = |detail: std::fmt::Arguments<'_>| Failure::new(Code::MalformedQuery, detail);
    if text.to_ascii_lowercase().starts_with("0x") {
        let wrong = || malformed(format_args!("`{}` takes 8, 16, 40 or 64 hex digits", excerpt(text)));
        return KeySearch::hex(text).ok_or_else(wrong);
    }
    if text.is_empty() {
        return Err(malformed(format_args!("`search` is empty")));
    }
    if let (40 | 64, Some(search)) = (text.len(), KeySearch::hex(text)) {
        return Ok(search);
    }
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text).to_owned();
    Ok(if is_exact { KeySearch::UserId(text) } else { KeySearch::Text(text) })
}

/// Makes an answer of the keys that fit and that the reader may see. A hundred keys of people may have as many
/// megabytes: of the searches that may find so many, few are under way at once. One key comes with all that is said of
/// it, as a record does.
///
/// # Errors
/// When there is none: hidden and absent keys look alike.
async fn found<T: Send + 'static>(
    face: &Face,
    reader: Reader,
    (search, only): (KeySearch, Option<u8>),
    made: impl FnOnce(Vec<FoundKey>) -> Result<T, AppError> + Send + 'static,
) -> Result<T, Failure> {
    let is_for_one = matches!(search, KeySearch::Fingerprint(_) | KeySearch::KeyId(_));
    let work = move |app: &App| {
        let found = app.keys(reader, &search, only, limits::KEYS_FOUND)?;
        if found.is_empty() { Err(AppError::new(Code::UnknownIdentity, "no key matches")) } else { made(found) }
    };
    if is_for_one {
        face.heavy(Heavy::Record, face.under_way()?, work).await
    } else {
        face.heavy(Heavy::Page, face.in_line()?, work).await
    }
}

/// As [`found`], with the keys themselves. Armor takes its time.
async fn keys(
    face: &Face,
    reader: Reader,
    search: KeySearch,
    only: Option<u8>,
    media_type: &'static str,
) -> Result<HttpResponse, Failure> {
    let spelt = move |keys: Vec<FoundKey>| {
        answer::openpgp(media_type, keys.iter().flat_map(|key| &key.openpgp).copied().collect())
    };
    Ok(answer::bytes(media_type, found(face, reader, (search, only), spelt).await?))
}

fn now(face: &Face) -> Timestamp {
    face.app.clock().now()
}

/// The machine-readable index of GnuPG's doc/KEYSERVER; people read it too.
fn listing(found: &[FoundKey], now: Timestamp) -> String {
    let mut text = format!("info:1:{}\n", found.len());
    for FoundKey { about, is_blocked, .. } in found {
        let KeyDescription { fingerprint, algorithm, bits, created, expires, is_revoked } = &about.key;
        let fingerprint = fingerprint.to_string().to_uppercase();
        let flags = flags(*is_revoked, *is_blocked, *expires, now);
        let _ = writeln!(
            text,
            "pub:{fingerprint}:{algorithm}:{bits}:{}:{}:{flags}",
            created.as_seconds(),
            seconds(*expires)
        );
        for UserIdDescription { text: user_id, created, expires, is_revoked } in &about.user_ids {
            let flags = self::flags(*is_revoked, false, *expires, now);
            let _ = writeln!(text, "uid:{}:{}:{}:{flags}", escaped(user_id), seconds(*created), seconds(*expires));
        }
    }
    text
}

/// `r` revoked, `d` disabled, `e` expired. A key whose thing's status blocks it is disabled: no client should be led to
/// it. There is no flag for what cannot be told because news is old or a domain was not heard; and no flag permits
/// anything.
fn flags(is_revoked: bool, is_blocked: bool, expires: Option<Timestamp>, now: Timestamp) -> String {
    let is_expired = expires.is_some_and(|expires| expires <= now);
    [(is_revoked, 'r'), (is_blocked, 'd'), (is_expired, 'e')]
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, flag)| flag)
        .collect()
}

fn seconds(time: Option<Timestamp>) -> String {
    time.map(|time| time.as_seconds().to_string()).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b':' | b'%' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[derive(Debug, Deserialize)]
struct AddForm {
    keytext: String,
}

async fn add(
    face: Data<Face>,
    reader: Reading,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let place = face.upload(&request)?;
    body::media_type(&request, &[FORM])?;
    let bytes = body::read(&request, &mut payload.into_inner(), FORM_BYTES).await?;
    let malformed = |detail: String| Failure::new(Code::MalformedRequest, detail);
    let text = core::str::from_utf8(&bytes).map_err(|error| malformed(error.to_string()))?;
    let form = Query::<AddForm>::from_query(text).map_err(|error| malformed(error.to_string()))?;
    let mut sender = face.sender(&request, place);
    let merged = merge(&face, reader.0, form.into_inner().keytext.into_bytes(), &mut sender).await?;
    // GnuPG looks at the status only.
    if let Some(problem) = merged.refusal() {
        return Err(Failure::from(problem.clone()));
    }
    let mut text = String::new();
    for (fingerprint, change) in &merged.keys {
        let _ = writeln!(text, "{fingerprint} {}", word(*change));
    }
    merged.problems.iter().for_each(|problem| {
        let _ = writeln!(text, "not taken: {}", problem.detail);
    });
    Ok(answer::bytes("text/plain; charset=utf-8", text))
}

/// Takes in keys that have arrived.
///
/// # Errors
/// With the first reason, when nothing of an upload was taken or already known.
async fn merge(face: &Face, reader: Reader, bytes: Vec<u8>, sender: &mut Sender) -> Result<Merged, Failure> {
    let sent = face.app.read_keys(reader, bytes).await?;
    let merged = face.app.merge_keys(sender, sent).await?;
    let nothing = merged.appended == 0 && merged.keys.values().all(|change| *change == Change::Refused);
    match merged.problems.first() {
        Some(problem) if nothing => Err(Failure::from(problem.clone())),
        _ => Ok(merged),
    }
}

const fn word(change: Change) -> &'static str {
    match change {
        Change::Inserted => "inserted",
        Change::Updated => "updated",
        Change::Unchanged => "unchanged",
        Change::Refused => "refused",
    }
}

/// The identifier after the category.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    id: String,
}

/// By the version in two hex digits, followed by the fingerprint.
async fn by_vfingerprint(face: Data<Face>, reader: Reading, path: Path<Asked>) -> Result<HttpResponse, Failure> {
    let malformed = || {
        let text = excerpt(&path.id);
        Failure::new(Code::MalformedId, format_args!("`{text}` takes 04 or 06 and the fingerprint in hex"))
    };
    let (version, digits) = path.id.split_at_checked(2).ok_or_else(malformed)?;
    let fingerprint: Fingerprint = digits.parse().map_err(|_| malformed())?;
    if version != format!("{:02}", fingerprint.version()) {
        return Err(malformed());
    }
    keys(&face, reader.0, KeySearch::Fingerprint(fingerprint), None, PGP_KEYS_BINARY).await
}

/// By the key id of a version 4 key; key ids of later versions are never answered.
async fn by_key_id(face: Data<Face>, reader: Reading, path: Path<Asked>) -> Result<HttpResponse, Failure> {
    let malformed = || Failure::new(Code::MalformedId, format_args!("`{}` takes 16 hex digits", excerpt(&path.id)));
    match KeySearch::hex(&path.id).ok_or_else(malformed)? {
        search @ KeySearch::KeyId(_) => keys(&face, reader.0, search, Some(4), PGP_KEYS_BINARY).await,
        _ => Err(malformed()),
    }
}

async fn by_identity(face: Data<Face>, reader: Reading, path: Path<Asked>) -> Result<HttpResponse, Failure> {
    keys(&face, reader.0, KeySearch::UserId(path.into_inner().id), None, PGP_KEYS_BINARY).await
}

async fn index(face: Data<Face>, reader: Reading, path: Path<Asked>) -> Result<HttpResponse, Failure> {
    let (search, now) = (KeySearch::UserId(path.into_inner().id), now(&face));
    let listed = move |keys: Vec<FoundKey>| {
        Ok(answer::json_bytes(&keys.iter().map(|key| Indexed::new(key, now)).collect::<Vec<_>>()))
    };
    Ok(answer::bytes(JSON, found(&face, reader.0, (search, None), listed).await?))
}

/// One key in the index of version 2.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Indexed {
    #[serde(flatten)]
    key: IndexedKey,
    #[serde(rename = "userIDs")]
    user_ids: Vec<IndexedUserId>,
    subkeys: Vec<IndexedKey>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexedKey {
    version: u8,
    fingerprint: Fingerprint,
    creation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    is_expired: bool,
    is_revoked: bool,
    algorithm: IndexedAlgorithm,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexedAlgorithm {
    code: u8,
    #[serde(skip_serializing_if = "is_zero")]
    bit_length: usize,
}

/// Takes a reference because serde passes one.
const fn is_zero(bits: &usize) -> bool {
    *bits == 0
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexedUserId {
    uid_string: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    is_revoked: bool,
}

impl Indexed {
    fn new(key: &FoundKey, now: Timestamp) -> Self {
        let user_ids = key.about.user_ids.iter().map(|user_id| IndexedUserId {
            uid_string: user_id.text.clone(),
            creation: user_id.created.map(|time| time.to_string()),
            expiration: user_id.expires.map(|time| time.to_string()),
            is_revoked: user_id.is_revoked,
        });
        Self {
            key: IndexedKey::new(&key.about.key, key.is_blocked, now),
            user_ids: user_ids.collect(),
            subkeys: key.about.subkeys.iter().map(|subkey| IndexedKey::new(subkey, false, now)).collect(),
        }
    }
}

impl IndexedKey {
    /// A key whose thing's status blocks it is shown as revoked: this index has no other word for that.
    fn new(key: &KeyDescription, is_blocked: bool, now: Timestamp) -> Self {
        Self {
            version: key.fingerprint.version(),
            fingerprint: key.fingerprint,
            creation: key.created.to_string(),
            expiration: key.expires.map(|time| time.to_string()),
            is_expired: key.expires.is_some_and(|expires| expires <= now),
            is_revoked: key.is_revoked || is_blocked,
            algorithm: IndexedAlgorithm { code: key.algorithm, bit_length: key.bits },
        }
    }
}

/// The outcome of a submission in version 2.
#[derive(Debug, Default, Serialize)]
struct Submitted {
    inserted: Vec<SubmittedKey>,
    updated: Vec<SubmittedKey>,
    deleted: Vec<SubmittedKey>,
    ignored: Vec<SubmittedKey>,
    invalid: Vec<SubmittedKey>,
}

#[derive(Debug, Serialize)]
struct SubmittedKey {
    version: u8,
    fingerprint: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

async fn submit(
    face: Data<Face>,
    reader: Reading,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let place = face.upload(&request)?;
    body::media_type(&request, &[PGP_KEYS, OCTET_STREAM])?;
    let bytes = body::read(&request, &mut payload.into_inner(), limits::BATCH_BYTES).await?;
    let merged = merge(&face, reader.0, bytes.to_vec(), &mut face.sender(&request, place)).await?;
    let mut submitted = Submitted::default();
    for (fingerprint, change) in &merged.keys {
        let refused = *change == Change::Refused;
        let comment = merged.problems.first().filter(|_| refused).map(|problem| problem.detail.clone());
        let key = SubmittedKey { version: fingerprint.version(), fingerprint: *fingerprint, comment };
        match change {
            Change::Inserted => submitted.inserted.push(key),
            Change::Updated => submitted.updated.push(key),
            Change::Unchanged => submitted.ignored.push(key),
            Change::Refused => submitted.invalid.push(key),
        }
    }
    Ok(answer::json(&submitted))
}

/// Whatever else key servers have: a category without an identifier, or an unknown one.
async fn unsupported(request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Failure> {
    let rest = path.trim_end_matches('/');
    if CATEGORIES.contains(&rest) {
        return Err(Failure::new(Code::IdentifierMissing, "the path lacks what is asked for: nothing is listed"));
    }
    let path = excerpt(request.path());
    Err(Failure::new(Code::NotImplemented, format_args!("`{path}` is no part of this key server")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;

    #[test]
    fn what_a_search_text_means() {
        let fingerprint = "0123456789abcdef0123456789abcdef01234567";
        let key = KeySearch::Fingerprint(fingerprint.parse().expect("hex"));
        let text = |text: &str| KeySearch::Text(text.to_owned());
        let whole = |text: &str| KeySearch::UserId(text.to_owned());
        for (given, is_exact, expected) in [
            (format!("0x{}", fingerprint.to_uppercase()).as_str(), true, key.clone()),
            (fingerprint, false, key),
            ("0x0123456789ABCDEF", true, KeySearch::KeyId([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef])),
            ("0X89abcdef", false, KeySearch::ShortKeyId([0x89, 0xab, 0xcd, 0xef])),
            (" Acme ", false, text("Acme")),
            ("<a@acme.example>", true, whole("a@acme.example")),
            ("urn:dev:os:32473-1", true, whole("urn:dev:os:32473-1")),
        ] {
            assert_eq!(searched(given, is_exact).ok(), Some(expected), "{given}");
        }
        for given in ["", " ", "0x", "0x123", "0xg123456789abcdef"] {
            assert!(searched(given, true).is_err(), "{given}");
        }
    }

    /// They may have megabytes, and anybody may ask for them.
    #[tokio::test(flavor = "multi_thread")]
    async fn searches_that_may_find_many_keys_wait_for_their_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let turns = face.all_turns(Heavy::Page);
        let asked = |id: &str| {
            let id = id.to_owned();
            (Data::clone(&face), Reading(Reader::Anonymous), Path::from(Asked { id }))
        };
        let (one, reader, path) = asked("040123456789abcdef0123456789abcdef01234567");
        let one = by_vfingerprint(one, reader, path).await;
        assert_eq!(one.expect_err("there is none").problem().status, 404, "whoever looks for one key waits for none");
        let (many, reader, path) = asked("nobody@acme.example");
        let mut found = Box::pin(by_identity(many, reader, path));
        let (many, reader, path) = asked("nobody@acme.example");
        let mut listed = Box::pin(index(many, reader, path));
        tokio::select! {
            _ = &mut found => panic!("there is no other turn"),
            _ = &mut listed => panic!("there is no other turn"),
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
        }
        drop(turns);
        for answer in [found.await, listed.await] {
            assert_eq!(answer.expect_err("there is none").problem().status, 404);
        }
        let turns = face.all_turns(Heavy::Record);
        let (one, reader, path) = asked("040123456789abcdef0123456789abcdef01234567");
        let mut one = Box::pin(by_vfingerprint(one, reader, path));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut one).await.is_err(), "one is as a record");
        drop(turns);
        assert_eq!(one.await.expect_err("there is none").problem().status, 404);
    }

    #[test]
    fn user_ids_are_escaped() {
        assert_eq!(escaped("Zoë: 100% <z@x>"), "Zo%C3%AB%3A 100%25 <z@x>");
    }
}
