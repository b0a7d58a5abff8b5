//! Answers: JSON, OpenPGP, tags and caching.

use std::io::{self, Write};

use actix_web::http::header::Header as _;
use actix_web::http::header::{self, EntityTag, HeaderName, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::BASE64URL_NOPAD;
use sequoia_openpgp::armor;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use crate::app::Encoded;
use crate::background;

/// The media type of OpenPGP in ASCII armor (RFC 3156, section 7).
pub(super) const PGP_KEYS: &str = "application/pgp-keys";
/// The media type of OpenPGP in binary.
pub(super) const OCTET_STREAM: &str = "application/octet-stream";
/// The media type of most answers.
pub(super) const JSON: &str = "application/json";
/// The media type of the size that a witness has seen (C2SP tlog-witness): an error that is worded so.
pub(super) const TLOG_SIZE: &str = "text/x.tlog.size";
/// The answer to a check, whose status says the same: no problem, whatever it is.
pub(super) const VERDICT: HeaderName = HeaderName::from_static("ics-verdict");
/// Bytes of a tag's digest: enough that two answers never meet.
const TAG_BYTES: usize = 16;

/// A value as JSON. Values of the API always have a JSON form; should one not, the answer is empty and the log says so.
pub(super) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    or_none(serde_json::to_vec(value))
}

fn or_none(spelt: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    spelt.unwrap_or_else(|e| {
        tracing::error!(error = %e, "an answer has no JSON form");
        Vec::new()
    })
}

/// A value as JSON that caches must ask about each time.
pub(super) fn json(value: &impl Serialize) -> HttpResponse {
    bytes(JSON, json_bytes(value))
}

/// The same of what may be long, spelt where others are let in.
///
/// # Errors
/// When the work is given up.
pub(super) async fn json_apart(value: impl Serialize + Send + 'static) -> Result<HttpResponse, Failure> {
    let spell = move || {
        let mut json = Breathing::default();
        or_none(serde_json::to_writer(&mut json, &value).map(|()| json.0))
    };
    Ok(bytes(JSON, background::spawn(spell).await.map_err(Failure::internal)?))
}

/// Takes what is spelt, and lets others in with every few KiB of it.
#[derive(Default)]
struct Breathing(Vec<u8>);

impl Breathing {
    /// Bytes: looking at the clock with each word would cost as much as spelling it.
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

/// Bytes of a media type that caches must ask about each time.
pub(super) fn bytes(media_type: &'static str, bytes: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type(media_type).insert_header((header::CACHE_CONTROL, "no-cache")).body(bytes.into())
}

/// The tag of an answer. It is over what the answer says and its as-of, not over its age: an answer that is only older
/// is the same, one with a newer as-of is not.
///
/// The log's size and the identity's id alone would not do: a grant or a status may end between two entries, and a
/// client that is told "not modified" must not keep an as-of time that has been overtaken.
pub(super) fn tag(says: &impl Serialize) -> EntityTag {
    tag_of(&json_bytes(says))
}

/// The tag of an answer that is these bytes.
pub(super) fn tag_of(bytes: &[u8]) -> EntityTag {
    let digest = Sha256::digest(bytes);
    EntityTag::new_weak(BASE64URL_NOPAD.encode(digest.get(..TAG_BYTES).unwrap_or_default()))
}

/// The answer with its tag, or 304 where the client has it already (RFC 9110, 13.1.2).
pub(super) fn tagged(request: &HttpRequest, tag: EntityTag, answer: impl FnOnce() -> HttpResponse) -> HttpResponse {
    with_tag(if has(request, &tag) { HttpResponse::NotModified().finish() } else { answer() }, &tag)
}

fn with_tag(mut response: HttpResponse, tag: &EntityTag) -> HttpResponse {
    let headers = response.headers_mut();
    if let Ok(value) = header::HeaderValue::try_from(tag.to_string()) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, header::HeaderValue::from_static("Accept, Authorization"));
    response
}

/// An answer that is JSON already, for somebody who has none yet.
pub(super) fn fresh(answer: Encoded) -> HttpResponse {
    let tag = EntityTag::new_weak(answer.tag);
    with_tag(HttpResponse::Ok().content_type(JSON).body(answer.json), &tag)
}

/// An answer that is JSON already.
pub(super) fn encoded(request: &HttpRequest, answer: Encoded) -> HttpResponse {
    let tag = EntityTag::new_weak(answer.tag);
    tagged(request, tag, || HttpResponse::Ok().content_type(JSON).body(answer.json))
}

/// Whether the client has shown this tag.
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

/// OpenPGP bodies, armored for [`PGP_KEYS`], as they are for [`OCTET_STREAM`].
///
/// # Errors
/// When the armor cannot be written.
pub(super) fn openpgp(media_type: &'static str, bodies: Vec<u8>) -> Result<HttpResponse, Failure> {
    let bodies = if media_type == PGP_KEYS { armored(&bodies).map_err(Failure::internal)? } else { bodies };
    Ok(bytes(media_type, bodies))
}

fn armored(bodies: &[u8]) -> std::io::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut writer = armor::Writer::new(Vec::new(), kind_of(bodies))?;
    writer.write_all(bodies)?;
    writer.finalize()
}

/// Bodies that begin with a Public-Key packet (tag 6, in a new-format header: 0xC6) are key material; the statements
/// about software and groups are messages.
fn kind_of(bodies: &[u8]) -> armor::Kind {
    if bodies.first() == Some(&0xC6) { armor::Kind::PublicKey } else { armor::Kind::Message }
}
