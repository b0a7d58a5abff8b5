//! Answers: JSON, OpenPGP, entity tags and caching.

use std::io::{self, Write};

use actix_web::http::header::Header as _;
use actix_web::http::header::{self, EntityTag, HeaderName, HeaderValue, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use crate::app::{AppError, Encoded};
use crate::background;
use crate::openpgp::{Armor, armored};

/// The media type of OpenPGP in ASCII armor (RFC 3156, section 7).
pub(super) const PGP_KEYS: &str = "application/pgp-keys";
/// The media type of OpenPGP in binary.
pub(super) const OCTET_STREAM: &str = "application/octet-stream";
/// The media type of most answers.
pub(super) const JSON: &str = "application/json";
/// The media type of the size that a witness has seen, in its answer to a conflict (C2SP tlog-witness).
pub(super) const TLOG_SIZE: &str = "text/x.tlog.size";
/// Marks the answer to a check: its status repeats the verdict, so no status makes it a problem document.
pub(super) const VERDICT: HeaderName = HeaderName::from_static("ics-verdict");
/// Bytes of a tag's digest: enough that the tags of two answers never collide.
const TAG_BYTES: usize = 16;

/// Encodes a value as JSON. Values of the API always have a JSON form; if one had not, the answer would be empty and
/// the log would say so.
pub(super) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    or_none(serde_json::to_vec(value))
}

fn or_none(spelt: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    spelt.unwrap_or_else(|e| {
        tracing::error!(error = %e, "an answer has no JSON form");
        Vec::new()
    })
}

/// Answers with a value as JSON that caches must revalidate each time.
pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    bytes(JSON, json_bytes(value))
}

/// As [`json`], for values that may be long: encoded in the background, where others get their turn.
///
/// # Errors
/// When the work is given up.
pub(super) async fn json_apart(value: impl Serialize + Send + 'static) -> Result<HttpResponse, Failure> {
    let json = background::spawn(move || long_json_bytes(&value)).await;
    Ok(bytes(JSON, json.map_err(Failure::internal)?))
}

/// As [`json_bytes`], on a thread in the background, where others get their turn meanwhile.
pub(super) fn long_json_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut json = Breathing::default();
    or_none(serde_json::to_writer(&mut json, value).map(|()| json.0))
}

/// Collects JSON while it is written, and lets others have their turn every few KiB.
#[derive(Default)]
struct Breathing(Vec<u8>);

impl Breathing {
    /// Bytes between two turns: looking at the clock for each word would cost as much as writing it.
    const BETWEEN: usize = 4_096;
}

impl Write for Breathing {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let before = self.0.len();
        self.0.extend_from_slice(part);
        if before / Self::BETWEEN != self.0.len() / Self::BETWEEN {
            background::breathe();
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers with bytes of a media type that caches must revalidate each time.
pub(super) fn bytes(media_type: &'static str, bytes: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(media_type).insert_header((header::CACHE_CONTROL, "no-cache")).body(bytes.into())
}

/// The tag of an answer. It covers what the answer says and its as-of, but not its age: an answer that is merely older
/// is the same; one with a newer as-of is not.
///
/// The log's size and the identity's id alone would not do: a grant or a status may end between two entries, and a
/// client that is told "not modified" must not keep an as-of time that has been superseded.
pub(super) fn tag(says: &impl Serialize) -> EntityTag {
    tag_of(&json_bytes(says))
}

/// The tag of an answer that consists of these bytes.
pub(super) fn tag_of(bytes: &[u8]) -> EntityTag {
    let digest = Sha256::digest(bytes);
    EntityTag::new_weak(BASE64URL_NOPAD.encode(digest.get(..TAG_BYTES).unwrap_or_default()))
}

/// The answer with its tag, or 304 if the client has it already (RFC 9110, 13.1.2).
pub(super) fn tagged(request: &HttpRequest, tag: EntityTag, answer: impl FnOnce() -> HttpResponse) -> HttpResponse {
    with_tag(if has(request, &tag) { HttpResponse::NotModified().finish() } else { answer() }, tag.to_string())
}

/// `tag` is one as headers write it.
fn with_tag(mut response: HttpResponse, tag: String) -> HttpResponse {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(tag)) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
    response
}

/// An answer that is already encoded, for a client that has none yet.
pub(super) fn fresh(answer: Encoded) -> HttpResponse {
    // As an `EntityTag` writes it, with one copy less.
    let tag = ["W/\"", &answer.tag, "\""].concat();
    with_tag(HttpResponse::Ok().content_type(HeaderValue::from_static(JSON)).body(answer.json), tag)
}

/// An answer that is already encoded, or 304 if the client has it.
pub(super) fn encoded(request: &HttpRequest, answer: Encoded) -> HttpResponse {
    let tag = EntityTag::new_weak(answer.tag);
    tagged(request, tag, || HttpResponse::Ok().content_type(JSON).body(answer.json))
}

/// Whether the client has sent this tag.
pub(super) fn has(request: &HttpRequest, tag: &EntityTag) -> bool {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return false;
    }
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|other| other.weak_eq(tag)),
        Err(_) => false,
    }
}

/// OpenPGP bodies as they are answered: armored for [`PGP_KEYS`], as they are otherwise. They may be long: this is not
/// for threads that serve.
///
/// # Errors
/// When the armor cannot be written.
pub(super) fn openpgp(media_type: &str, bodies: Vec<u8>) -> Result<Vec<u8>, AppError> {
    if media_type != PGP_KEYS {
        return Ok(bodies);
    }
    armored(&bodies, kind_of(&bodies)).map_err(|error| AppError::Internal(error.to_string()))
}

/// Bodies that begin with a Public-Key packet (tag 6, in a new-format header: 0xC6) are key material; statements about
/// software and groups are messages.
fn kind_of(bodies: &[u8]) -> Armor {
    if bodies.first() == Some(&0xC6) { Armor::PublicKey } else { Armor::Message }
}
