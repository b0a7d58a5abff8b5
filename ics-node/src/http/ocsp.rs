//! Remembers OCSP answers by the bytes of their requests: headers and body are made once, and a repeated GET (RFC 5019)
//! is answered in front of the router. Each time, it is checked whether the answer still holds.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::header::{self, EntityTag, HeaderName, HeaderValue, HttpDate, TryIntoHeaderValue as _};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::answer;
use crate::app::{App, OcspAnswer};

/// The media type of answers.
pub(super) const OCSP_RESPONSE: &str = "application/ocsp-response";
/// The longest request, in bytes, that is remembered: one about a single certificate takes about 150.
const QUESTION_BYTES: usize = 1024;
/// The expected size in bytes of an answer with its headers and its request.
const EXPECTED_BYTES: u64 = 1024;
/// What is kept besides an answer's bytes, in bytes.
const OVERHEAD: usize = size_of::<Given>() + 512;

/// An answer with its headers.
pub(super) struct Given {
    answer: Arc<OcspAnswer>,
    body: Bytes,
    tag: EntityTag,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Given {
    pub(super) fn new(answer: Arc<OcspAnswer>) -> Self {
        let body = Bytes::copy_from_slice(&answer.der);
        let tag = answer::tag_of(&body);
        let mut headers = vec![
            // Caches must revalidate each time: a cached answer must not hide a revocation.
            (header::CACHE_CONTROL, HeaderValue::from_static("max-age=0, public, no-transform, must-revalidate")),
            (header::VARY, HeaderValue::from_static("Accept, Authorization")),
        ];
        // RFC 5019, 6.2: the times in the headers are those of the answer itself.
        let named = [(header::LAST_MODIFIED, answer.this_update), (header::EXPIRES, answer.next_update)];
        headers.extend(named.into_iter().filter_map(|(name, at)| Some((name, date(at)?))));
        headers.extend(HeaderValue::try_from(tag.to_string()).ok().map(|tag| (header::ETAG, tag)));
        Self { answer, body, tag, headers }
    }

    /// The answer, for a client that has none yet.
    pub(super) fn whole(&self) -> HttpResponse {
        self.with_headers(HttpResponse::Ok().content_type(OCSP_RESPONSE).body(Bytes::clone(&self.body)))
    }

    /// The answer, or 304 if the client has it already.
    pub(super) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        if answer::has(request, &self.tag) {
            self.with_headers(HttpResponse::NotModified().finish())
        } else {
            self.whole()
        }
    }

    fn with_headers(&self, mut response: HttpResponse) -> HttpResponse {
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

fn date(at: Timestamp) -> Option<HeaderValue> {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(at.as_seconds()))?;
    HttpDate::from(time).try_into_value().ok()
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<[u8]>, Arc<Given>> for Weigh {
    fn weight(&self, question: &Box<[u8]>, given: &Arc<Given>) -> u64 {
        (question.len() + 2 * given.body.len() + OVERHEAD) as u64
    }
}

/// The remembered answers, bounded by bytes.
pub(super) struct Hot(Cache<Box<[u8]>, Arc<Given>, Weigh>);

impl Default for Hot {
    fn default() -> Self {
        let items = usize::try_from(limits::OCSP_GIVEN_BYTES / EXPECTED_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items, limits::OCSP_GIVEN_BYTES, Weigh))
    }
}

impl Hot {
    /// The answer to the same bytes, if it still holds.
    pub(super) fn get(&self, app: &App, question: &[u8]) -> Option<Arc<Given>> {
        self.0.get(question).filter(|given| app.ocsp_holds(&given.answer))
    }

    /// Remembers an answer if it would also serve others.
    pub(super) fn put(&self, app: &App, question: &[u8], given: &Arc<Given>) {
        if question.len() <= QUESTION_BYTES && app.ocsp_holds(&given.answer) {
            self.0.insert(question.into(), Arc::clone(given));
        }
    }
}

/// The memory key of a POST request. Those of GET requests are paths and begin with a slash; no domain's name does.
pub(super) fn posted(domain: &DomainName, der: &[u8]) -> Vec<u8> {
    [domain.as_str().as_bytes(), b"\n", der].concat()
}
