//! In front of the router: what memory answers at once needs no routing, no extractors and no middleware.
//!
//! It answers a plain anonymous GET for a check, a record or a certificate's state exactly as the router would (tests
//! compare them). Everything else, and whatever memory does not have, goes on to the router.

use std::time::Instant;

use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::header::HeaderName;
use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};
use futures_util::future::{Either, LocalBoxFuture, MapOk, Ready, TryFutureExt as _, ready};
use ics_core::limits;

use super::face::Face;
use super::metrics::AtHand;
use super::request::{ProvenKey, is_text};
use super::routes::{self, checks, x509};
use super::{answer, long, watch};
use crate::api;
use crate::app::{self, Depth, Extent, Reader};
use crate::background;

/// Says on whose behalf an operator reads.
const READER: HeaderName = HeaderName::from_static(api::READER);

/// The router with this shortcut in front of it.
pub(super) struct Front<F> {
    router: F,
    face: Data<Face>,
    enabled: bool,
}

/// [`Front`] as it runs in one worker.
pub(super) struct Fronted<S> {
    router: S,
    face: Data<Face>,
    enabled: bool,
    counters: AtHand,
}

impl<F> Front<F>
where
    F: ServiceFactory<Request>,
{
    /// `enabled` says whether anything is answered in front of the router.
    pub(super) fn new<I: IntoServiceFactory<F, Request>>(router: I, face: Data<Face>, enabled: bool) -> Self {
        Self { router: router.into_factory(), face, enabled }
    }
}

impl<F> ServiceFactory<Request> for Front<F>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<BoxBody>, Error = Error>,
    F::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = AppConfig;
    type Service = Fronted<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let (router, face, enabled) = (self.router.new_service(config), Data::clone(&self.face), self.enabled);
        Box::pin(async move { Ok(Fronted { router: router.await?, face, enabled, counters: AtHand::default() }) })
    }
}

type Routed<F> = MapOk<F, fn(ServiceResponse<BoxBody>) -> Response<BoxBody>>;

impl<S> Service<Request> for Fronted<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Either<Ready<Result<Self::Response, Error>>, Routed<S::Future>>;

    actix_service::forward_ready!(router);

    fn call(&self, request: Request) -> Self::Future {
        match self.enabled.then(|| hot(&self.face, &self.counters, &request)).flatten() {
            Some(response) => Either::Left(ready(Ok(response.into()))),
            None => Either::Right(self.router.call(request).map_ok(Response::from)),
        }
    }
}

/// The answer, if memory has it.
fn hot(face: &Face, counters: &AtHand, request: &Request) -> Option<HttpResponse> {
    if request.method() != Method::GET || !is_plain(request) {
        return None;
    }
    let started = Instant::now();
    let (path, query) = (request.path(), request.uri().query().unwrap_or_default());
    let (route, mut response) = match path {
        // OCSP answers do not depend on who asks or which media types they accept.
        _ if path.starts_with("/x509/") => (x509::OCSP, x509::hot(face, path)?),
        _ if !is_anybodys(request) => return None,
        routes::CHECK if is_text(query) => (routes::CHECK, checks::hot(face, query)?),
        _ => record(face, path, query)?,
    };
    if long::is_long(response.body()) {
        return None;
    }
    background::note_answer(started);
    routes::open(response.headers_mut());
    watch::guard(response.headers_mut());
    watch::report_hot((&face.metrics, counters), route, &response, started);
    Some(response)
}

/// Whether the request has no condition that the router must evaluate, and a head within the bound.
fn is_plain(request: &Request) -> bool {
    let headers = request.head().headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    bytes + request.uri().path_and_query().map_or(0, |target| target.as_str().len()) < limits::HTTP_HEADER_BYTES - 64
        && !headers.contains_key(header::IF_NONE_MATCH)
}

/// Whether the request has neither credentials nor preferences.
fn is_anybodys(request: &Request) -> bool {
    let headers = request.head().headers();
    let wants_anything = headers.get_all(header::ACCEPT).all(|accept| accept == "*/*");
    let names_reader = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(READER);
    wants_anything && !names_reader && request.conn_data::<ProvenKey>().is_none()
}

/// A record or a view, by its path.
fn record(face: &Face, path: &str, query: &str) -> Option<(&'static str, HttpResponse)> {
    let extent = match query {
        "" | "view=full" => Extent::Whole,
        "view=summary" => Extent::Summary,
        _ => return None,
    };
    let rest = path.strip_prefix("/v1/")?;
    let asked = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%+?#".contains(&byte));
        plain.then(|| app::Query::parse(text).ok()).flatten()
    };
    let (route, found) = if let Some(id) = rest.strip_prefix("identities/") {
        let found = face.app.answer_view(Reader::Anonymous, &asked(id)?, extent, Depth::Memory);
        (routes::VIEW, found)
    } else {
        let (domain, id) = rest.strip_prefix("domains/")?.split_once("/identities/")?;
        let (domain, query) = (domain.parse().ok()?, asked(id)?);
        let found = face.app.answer(Reader::Anonymous, &domain, &query, extent, Depth::Memory);
        (routes::RECORD, found)
    };
    // Failures are left to the route.
    Some((route, answer::fresh(found.ok()??)))
}
