//! Wraps every request: its limits, its log line, its metrics, and the headers of its answer.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use ics_core::limits;
use tracing::Instrument as _;

use super::answer::TLOG_SIZE;
use super::answer::VERDICT;
use super::everybody;
use super::face::Face;
use super::failure::{Failure, PROBLEM_JSON, code_for, error_id};
use super::metrics::{AtHand, Metrics};
use super::pages::Pages;
use super::request::{WHENCE, not_text, whence};
use super::{accept, long, routes};
use crate::api::problem::Code;

/// The route of requests that match none.
const NO_ROUTE: &str = "none";

/// Middleware around everything else.
///
/// # Errors
/// None: every error has become a problem document, or a page if the client prefers pages.
pub(super) async fn watch(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    // Making an id takes randomness from the system: none is made if nobody would see it.
    let enabled = tracing::enabled!(tracing::Level::INFO);
    let span = if enabled { tracing::info_span!("request", id = %error_id()) } else { tracing::Span::none() };
    let is_whole = matches!(request.parts().1, Payload::None);
    let face = request.app_data::<Data<Face>>();
    let whence = face.map_or((true, None), |face| whence(face, request.request()));
    let answered = WHENCE.scope(whence, async {
        let mut response = answer(request, next).await?;
        guard(response.headers_mut());
        report(&response, started.elapsed());
        Ok(response)
    });
    let mut answered = pin!(answered.instrument(span));
    // Most answers are there at once. Only a client that waits needs its place kept, which takes a lock that all
    // connections share. Whoever then listens is kept by the place among the listeners. Whoever sends no body has said
    // all, and is hardly read further meanwhile; of whoever sends one, `body::read` says so.
    if let Poll::Ready(answered) = poll_fn(|context| Poll::Ready(answered.as_mut().poll(context))).await {
        return answered;
    }
    let _kept = everybody::kept();
    let _paused = is_whole.then(everybody::paused);
    answered.await
}

async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let bytes = head_bytes(&request);
    if bytes > limits::HTTP_HEADER_BYTES {
        let limit = limits::HTTP_HEADER_BYTES;
        let failure = Failure::new(Code::HeadersTooLarge, format_args!("{bytes} bytes, where {limit} are the most"));
        return Ok(refused(request, failure));
    }
    if let Some(failure) = not_text(request.uri()) {
        return Ok(refused(request, failure));
    }
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(for_people(as_problem(long::bounded(response))))
}

/// A refusal before the route is known. Pages of any origin may read it: it is about the request alone.
fn refused(request: ServiceRequest, failure: Failure) -> ServiceResponse<BoxBody> {
    let mut response = request.error_response(failure);
    routes::open(response.headers_mut());
    for_people(response)
}

/// Bytes of the request line and the headers, as HTTP/1.1 writes them.
fn head_bytes(request: &ServiceRequest) -> usize {
    let line = request.method().as_str().len()
        + request.uri().path_and_query().map_or(0, |target| target.as_str().len())
        + " HTTP/1.1\r\n ".len();
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

/// Turns an error that actix-web worded itself into a problem document; a page about a problem is left alone.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_worded = |headers: &HeaderMap| {
        let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let worded = [PROBLEM_JSON, TLOG_SIZE].map(str::as_bytes);
        worded.contains(&media_type) || media_type.starts_with(b"text/html") || headers.contains_key(VERDICT)
    };
    if !(status.is_client_error() || status.is_server_error()) || is_worded(response.headers()) {
        return response;
    }
    let cause = response.response().error().map_or_else(|| status.to_string(), ToString::to_string);
    let code = code_for(status);
    let failure = if code == Code::Internal { Failure::internal(cause) } else { Failure::new(code, cause) };
    response.error_response(failure)
}

/// Shows a problem as a page to clients that prefer pages: a browser shows raw JSON, without a link to go on from.
fn for_people(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let Some(mut page) = page_of(&response) else { return response };
    for (name, value) in response.headers() {
        if !page.headers().contains_key(name) {
            page.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response.into_response(page)
}

/// The page, if there are pages and this is not a route of the API: those always answer as for programs.
fn page_of(response: &ServiceResponse<BoxBody>) -> Option<HttpResponse> {
    let failure = response.response().error()?.as_error::<Failure>()?;
    let request = response.request();
    let pages = request.app_data::<Data<Pages>>()?;
    let is_api = request.match_pattern().is_some_and(|pattern| routes::has(&pattern));
    (!is_api && accept::is_of_people(request)).then(|| pages.failure(failure))
}

/// Headers that make a browser treat every answer as data.
pub(super) fn guard(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    }
}

/// Logs and counts each request. The path itself is not logged: it tells whom a client asked about.
fn report(response: &ServiceResponse<BoxBody>, took: Duration) {
    let request = response.request();
    let route = request.match_pattern().map_or(Cow::Borrowed(NO_ROUTE), Cow::Owned);
    let (method, status) = (request.method().as_str(), response.status().as_u16());
    let bytes = match response.response().body().size() {
        BodySize::Sized(bytes) => bytes,
        BodySize::None | BodySize::Stream => 0,
    };
    log(method, &route, status, bytes, took);
    if let Some(face) = request.app_data::<Data<Face>>() {
        face.metrics.answered(method, route, status, took);
    }
}

fn log(method: &str, route: &str, status: u16, bytes: u64, took: Duration) {
    tracing::info!(method, route, status, bytes, duration_us = took.as_micros() as u64, "answered");
}

/// As [`report`], for a GET that was answered in front of the router.
pub(super) fn report_hot(
    (metrics, at_hand): (&Metrics, &AtHand),
    route: &'static str,
    response: &HttpResponse,
    started: Instant,
) {
    let (status, took) = (response.status().as_u16(), started.elapsed());
    if tracing::enabled!(tracing::Level::INFO) {
        let bytes = match response.body().size() {
            BodySize::Sized(bytes) => bytes,
            BodySize::None | BodySize::Stream => 0,
        };
        let span = tracing::info_span!("request", id = %error_id());
        span.in_scope(|| log("GET", route, status, bytes, took));
    }
    at_hand.answered(metrics, route, status, took);
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;
    use crate::observe::Lines;

    #[tokio::test]
    async fn one_line_for_each_request_without_whom_it_asked_about() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let _here = tracing::subscriber::set_default(log);
        let route = web::get().to(|| async { HttpResponse::Ok().body("12345") });
        let service = App::new().route("/v1/identities/{id}", route).wrap(from_fn(watch));
        let service = init_service(service).await;
        call_service(&service, TestRequest::get().uri("/v1/identities/serial:SECRET").to_request()).await;
        call_service(&service, TestRequest::get().uri("/secret").to_request()).await;
        let text = lines.text();
        let read = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        let [first, second] = text.lines().map(read).collect::<Vec<_>>().try_into().expect("two lines");
        let fields = &first["fields"];
        assert_eq!((&fields["method"], &fields["route"]), (&"GET".into(), &"/v1/identities/{id}".into()), "{text}");
        assert_eq!((&fields["status"], &fields["bytes"]), (&200.into(), &5.into()), "{text}");
        assert!(fields["duration_us"].is_u64(), "{text}");
        assert_eq!(
            (&second["fields"]["route"], &second["fields"]["status"]),
            (&NO_ROUTE.into(), &404.into()),
            "{text}"
        );
        assert_ne!(first["span"]["id"], second["span"]["id"], "{text}");
        assert!(!text.to_lowercase().contains("secret"), "{text}");
    }
}
