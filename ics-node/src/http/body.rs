//! Request bodies, bounded in size and time, in the media types that a route takes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::answer::JSON;
use super::everybody;
use super::failure::Failure;
use super::request::face;
use crate::api::problem::Code;

/// The default bound of a JSON body in bytes: room for thousands of ids.
const JSON_BYTES: usize = 512 * 1024;

/// How much of a body that is too large is read and discarded, and for how long. Closing a connection with unread data
/// may discard the answer too, and the client would never learn why it was refused.
const READ_AWAY_BYTES: usize = 256 * 1024;
const READ_AWAY_TIME: Duration = Duration::from_secs(2);

/// A JSON body of [`JSON_BYTES`] at most.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            media_type(&request, &[JSON])?;
            let _place = face(&request)?.upload(&request)?;
            let bytes = read(&request, &mut payload, JSON_BYTES).await?;
            parse(&bytes).map(Self)
        })
    }
}

/// Parses JSON.
///
/// # Errors
/// When it is not JSON, or not of this shape. Arrays are refused, since all bodies are objects: serde would take an
/// array's items for the members of an object, in their order, and report an error in a member instead.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Failure::new(Code::MalformedJson, "this is an array, but the route takes an object"));
    }
    serde_json::from_slice(bytes).map_err(|e| Failure::new(Code::MalformedJson, e))
}

/// The media type of the body, which must be one that the route takes. Parameters such as `charset` are ignored.
///
/// # Errors
/// When it is missing or another, or when the body is compressed.
pub(super) fn media_type(request: &HttpRequest, taken: &[&'static str]) -> Result<&'static str, Failure> {
    let refused = |what: String| {
        let taken = taken.join(" or ");
        Failure::new(Code::UnsupportedMediaType, format_args!("{what}; this route takes {taken}, not compressed"))
    };
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| encoding != b"identity") {
        return Err(refused("the body has a content encoding".to_owned()));
    }
    let given = request.content_type().to_ascii_lowercase();
    let unknown = || refused(format!("the body is `{}`", ics_core::identity::excerpt(&given)));
    taken.iter().copied().find(|taken| *taken == given).ok_or_else(unknown)
}

/// Reads a body.
///
/// # Errors
/// When it has more than `limit` bytes, does not arrive within the time limit, or breaks off.
pub(super) async fn read(request: &HttpRequest, payload: &mut Payload, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(Code::BodyTooLarge, format_args!("a body takes {limit} bytes at most here"));
    let time = face(request)?.request_timeout;
    if announced(request).is_some_and(|length| length > limit as u64) {
        let _ = tokio::time::timeout(time.min(READ_AWAY_TIME), collect(payload, 0)).await;
        return Err(too_large());
    }
    let collected = tokio::time::timeout(time, collect(payload, limit)).await;
    let late = |_| Failure::new(Code::RequestTimeout, format_args!("a request takes {} s at most", time.as_secs_f32()));
    let body = collected.map_err(late)??.ok_or_else(too_large)?;
    // The client has said all. What the request keeps is dropped with it, before its answer is sent.
    if let Some(paused) = everybody::paused() {
        request.extensions_mut().insert(paused);
    }
    Ok(body)
}

fn announced(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// All chunks of a payload, or `None` if they exceed `limit` bytes; then some of the rest is read and discarded.
async fn collect(payload: &mut Payload, limit: usize) -> Result<Option<Bytes>, Failure> {
    let (mut body, mut length) = (BytesMut::new(), 0_usize);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|e| Failure::new(Code::MalformedRequest, format_args!("the body broke off: {e}")))?;
        length = length.saturating_add(chunk.len());
        if length > limit.saturating_add(READ_AWAY_BYTES) {
            return Ok(None);
        }
        if length <= limit {
            body.extend_from_slice(&chunk);
        }
    }
    Ok((length <= limit).then(|| body.freeze()))
}
