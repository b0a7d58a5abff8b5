//! The operator's page and session.

use std::time::Instant;

use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Pages, html, see_other, session};
use crate::api::CertificateQuery;
use crate::api::problem::Code;
use crate::app::Reader;
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::Domain;
use crate::web as draw;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";
/// The longest form in bytes: a token, of which each byte may take three when encoded.
const FORM_BYTES: usize = 16 * 1024;
const PAGE: &str = "/operator";

/// The operator's page, or the form to sign in.
pub(super) async fn show(face: Data<Face>, pages: Data<Pages>, request: HttpRequest) -> HttpResponse {
    let Some(form) = open(&pages, &request) else {
        return html(StatusCode::OK, draw::login(&pages.site, face.app.has_operator(), None));
    };
    match face.blocking(|app| app.operations()).await {
        Ok(operations) => html(StatusCode::OK, draw::operations(&pages.site, &operations, &form)),
        Err(failure) => pages.failure(&failure),
    }
}

/// Where a page of certificates begins.
#[derive(Deserialize)]
pub(super) struct From {
    after: Option<String>,
}

/// The certificates of a domain, a page at a time.
pub(super) async fn certificates(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    domain: Domain,
    from: Query<From>,
) -> HttpResponse {
    if open(&pages, &request).is_none() {
        return see_other(PAGE);
    }
    let query = CertificateQuery { after: from.into_inner().after, ..CertificateQuery::default() };
    let name = domain.0.clone();
    match face.blocking(move |app| app.certificates(Reader::Operator, &domain.0, &query)).await {
        Ok(page) => html(StatusCode::OK, draw::inventory(&pages.site, &name, &page)),
        Err(failure) => pages.failure(&failure),
    }
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// Opens a session for a client that has the token.
pub(super) async fn sign_in(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.sign_ins, &request) {
        return refused;
    }
    let form = match read::<SignIn>(&face, &pages, &request, payload).await {
        Ok(form) => form,
        Err(failure) => return pages.failure(&failure),
    };
    let token = Zeroizing::new(form.token);
    if !face.app.is_operator(Some(token.trim())) {
        tracing::warn!("a wrong token was given at the operator's page");
        let page = draw::login(&pages.site, face.app.has_operator(), Some("That is not the operator's token."));
        return html(StatusCode::UNAUTHORIZED, page);
    }
    match pages.sessions.open(Instant::now()) {
        Ok(secret) => {
            let mut response = see_other(PAGE);
            let lasts = i64::try_from(session::LASTS.as_secs()).unwrap_or_default();
            // A session's secret is URL-safe base64, so this cannot fail as a header value.
            if let Err(error) = response.add_cookie(&cookie(&pages, secret.as_str(), lasts)) {
                return pages.failure(&Failure::internal(error));
            }
            response
        }
        Err(error) => pages.failure(&error.into()),
    }
}

#[derive(Deserialize)]
struct SignOut {
    form: String,
}

/// Ends the session.
pub(super) async fn sign_out(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let sent = match read::<SignOut>(&face, &pages, &request, payload).await {
        Ok(sent) => sent,
        Err(failure) => return pages.failure(&failure),
    };
    let own = open(&pages, &request).is_some_and(|form| form.as_bytes().ct_eq(sent.form.as_bytes()).into());
    if !own {
        return pages.failure(&Failure::new(Code::OperatorOnly, "the form is not of this session"));
    }
    if let Some(cookie) = request.cookie(name(&pages)) {
        pages.sessions.close(cookie.value());
    }
    let mut response = see_other(PAGE);
    match response.add_cookie(&cookie(&pages, "", 0)) {
        Ok(()) => response,
        Err(error) => pages.failure(&Failure::internal(error)),
    }
}

/// The form token of the request's session, if it has an open one.
fn open(pages: &Pages, request: &HttpRequest) -> Option<String> {
    pages.sessions.form(request.cookie(name(pages))?.value(), Instant::now())
}

/// With TLS, `__Host-` makes browsers ensure that this very host has set the cookie (RFC 6265bis, 4.1.3.2).
const fn name(pages: &Pages) -> &'static str {
    if pages.secure { "__Host-ics-operator" } else { "ics-operator" }
}

fn cookie<'c>(pages: &Pages, value: &'c str, seconds: i64) -> Cookie<'c> {
    Cookie::build(name(pages), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(pages.secure)
        .max_age(CookieDuration::seconds(seconds))
        .finish()
}

/// Reads a form sent by a page of this node.
async fn read<T: serde::de::DeserializeOwned>(
    face: &Face,
    pages: &Pages,
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, Failure> {
    same_origin(request, &pages.site.url)?;
    body::media_type(request, &[FORM])?;
    let _place = face.upload(request)?;
    let bytes = body::read(request, &mut payload.into_inner(), FORM_BYTES).await?;
    let text = core::str::from_utf8(&bytes).map_err(|error| Failure::new(Code::MalformedRequest, error))?;
    // The detail of the error is withheld: it may contain the token.
    let form =
        Query::<T>::from_query(text).map_err(|_| Failure::new(Code::MalformedRequest, "the form is malformed"))?;
    Ok(form.into_inner())
}

/// Refuses forms sent by pages of another origin. Browsers say where a form comes from; other clients have no cookies
/// to abuse. A proxy in front of the node may send another host than the browser asked for; the browser's origin must
/// then be that of the node's public address.
fn same_origin(request: &HttpRequest, public_url: &str) -> Result<(), Failure> {
    let refused = || Failure::new(Code::OperatorOnly, "the form was sent by a page of another origin");
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
    if text("sec-fetch-site").is_some_and(|site| !matches!(site.as_str(), "same-origin" | "none")) {
        return Err(refused());
    }
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let Some(origin) = text("origin") else { return Ok(()) };
    let is_host = origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    let is_public = public_url.strip_prefix(&origin).is_some_and(|path| path.is_empty() || path.starts_with('/'));
    if is_host || is_public { Ok(()) } else { Err(refused()) }
}
