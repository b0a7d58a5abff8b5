//! The pages over HTTP: which path shows what, how often a client may ask, and the operator's session.
//!
//! They are not part of the API and not in its table. Nothing but browsers depends on their paths, except for `/id/…`
//! and `/01/…`, which are printed on things and never change.

mod operator;
mod public;
mod session;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, ResponseError as _, Route};
use maud::Markup;

use self::session::Sessions;
use super::answer;
use super::face::Face;
use super::failure::{Failure, advise};
use super::request::client;
use super::routes::{allowed, method, other_method};
use super::server::Settings;
use crate::app::AppError;
use crate::shares::{Shares, network};
use crate::web as draw;
use crate::web::Site;

/// Sign-in requests that one client may make at once, and seconds until each further one: enough to keep tokens from
/// being guessed and the log from being filled.
const SIGN_IN_BURST: u32 = 5;
const SIGN_IN_SECONDS: u64 = 10;

/// Budgets of clients: 8 bytes each, 512 KiB in all.
const SLOTS: usize = 65_536;

/// If a page says `no-referrer`, browsers send its forms with the origin `null` (Fetch, "append a request `Origin`
/// header"), and such forms are refused. With `same-origin`, this node learns where a request comes from, and nobody
/// else does.
const REFERRER: &str = "same-origin";

/// What the handlers of all pages share.
pub(super) struct Pages {
    site: Site,
    budget: Shares,
    sign_ins: Shares,
    sessions: Sessions,
    /// Whether the node is reached over TLS, its own or a proxy's; if so, cookies are sent over TLS only.
    secure: bool,
}

impl Pages {
    /// The pages of a node.
    pub(super) fn new(face: &Face, settings: &Settings) -> Self {
        let per_minute = u64::from(settings.pages.per_minute);
        Self {
            site: Site { name: face.app.node().name, url: face.url.clone() },
            budget: Shares::new(SLOTS, settings.pages.per_minute.min(40), 60_000 / per_minute),
            sign_ins: Shares::new(SLOTS, SIGN_IN_BURST, SIGN_IN_SECONDS * 1000),
            sessions: Sessions::default(),
            secure: settings.tls.is_some() || settings.public_url.starts_with("https://"),
        }
    }

    /// Takes a request from a client's budget; if there is none left, returns 429 with the seconds until there is one.
    fn refusal(&self, budget: &Shares, request: &HttpRequest) -> Option<HttpResponse> {
        let seconds = budget.take(client(request).map(network)).err()?;
        let detail = format!("too many requests from this address; there is room again in {seconds} s");
        Some(self.failure(&AppError::too_often(detail, seconds).into()))
    }

    /// A failure as a page, with the same status as in the API, which may be asked for again when the API says so.
    pub(in crate::http) fn failure(&self, failure: &Failure) -> HttpResponse {
        let mut response = html(failure.status_code(), draw::refused(&self.site, failure.problem()));
        if let Some(seconds) = failure.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A page. Caches never keep it, and the sites that its links lead to do not learn what was looked at.
fn html(status: StatusCode, page: Markup) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, draw::CONTENT_SECURITY_POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, REFERRER))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("permissions-policy", "camera=(), geolocation=(), microphone=()"));
    advise(&mut response, status);
    response.body(page.into_string())
}

/// Redirects the browser to another page of this node.
fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, path))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, REFERRER))
        .finish()
}

/// Registers the pages. As everywhere, GET includes HEAD, which link previews and monitors send.
pub(super) fn register(config: &mut ServiceConfig, pages: &Data<Pages>) {
    config
        .app_data(Data::clone(pages))
        .service(page("/", "GET", |route| route.to(public::home)))
        .service(page("/id/{query:.*}", "GET", |route| route.to(public::thing)))
        .service(page("/01/{gtin}", "GET", |route| route.to(public::digital_link)))
        .service(page("/01/{gtin}/{rest:.*}", "GET", |route| route.to(public::digital_link)))
        .service(page("/domain/{domain}", "GET", |route| route.to(public::register)))
        .service(page("/keyring/{domain}/{id}", "GET", |route| route.to(public::keyring)))
        .service(page("/statement/{domain}/{index}", "GET", |route| route.to(public::statement)))
        .service(page("/style/{name}", "GET", |route| route.to(style)))
        .service(page("/icon.svg", "GET", |route| route.to(icon)))
        .service(page("/robots.txt", "GET", |route| route.to(robots)))
        .service(page("/operator", "GET", |route| route.to(operator::show)))
        .service(page("/operator/certificates/{domain}", "GET", |route| route.to(operator::certificates)))
        .service(page("/operator/login", "POST", |route| route.to(operator::sign_in)))
        .service(page("/operator/logout", "POST", |route| route.to(operator::sign_out)));
}

/// A path that takes one method, and answers others with 405.
fn page(path: &'static str, name: &'static str, handle: fn(Route) -> Route) -> Resource {
    let allow = allowed(core::iter::once(name));
    let other = move |request: HttpRequest| {
        let answer = other_method(&request, &allow, false);
        async move { answer }
    };
    web::resource(path).route(handle(method(name))).default_service(web::to(other))
}

/// The style sheet, whatever digest is in the path: a page drawn by an older version still gets one.
async fn style() -> HttpResponse {
    let mut response = answer::bytes("text/css; charset=utf-8", draw::STYLE);
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, for_ever);
    response
}

async fn icon() -> HttpResponse {
    let mut response = answer::bytes("image/svg+xml", draw::ICON);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    response
}

/// Search engines are asked to stay away: what they keep of a page soon no longer holds.
async fn robots() -> HttpResponse {
    answer::bytes("text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n")
}
