//! `/acme/{domain}/…`: ACME (RFC 8555). The protocol has its own errors, headers and signatures; they become HTTP here.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ics_core::limits;
use ics_core::vocabulary::DomainName;

use super::Access::Acme;
use super::{Endpoint, get, post};
use crate::acme::problem::{Kind, Problem};
use crate::acme::urls::Resource;
use crate::api::problem::Code;
use crate::app::{AcmeAnswer, AcmeBody};
use crate::http::answer::{JSON, json_bytes};
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::{Failure, PROBLEM_JSON};

/// The routes of ACME. They have a specification of their own and are not part of the API.
pub(super) const TABLE: &[Endpoint] = &[get(ROUTE, Acme, |r| r.to(read)), post(ROUTE, Acme, |r| r.to(request))];

const ROUTE: &str = "/acme/{domain}/{rest:.*}";
/// The media type of requests (RFC 8555, 6.2).
const JOSE_JSON: &str = "application/jose+json";
/// The media type of certificates (RFC 8555, 9.1).
const CHAIN: &str = "application/pem-certificate-chain";
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// GET and HEAD: the directory, nonces, and renewal information (RFC 8555, 6.3; RFC 9773, 4).
async fn read(face: Data<Face>, request: HttpRequest) -> HttpResponse {
    let (domain, resource) = match target(&request) {
        Ok(target) => target,
        Err(problem) => return refusal(&face, None, problem),
    };
    let answered = match resource {
        // These are answered from memory and need no other thread.
        Resource::Directory => face.app.acme_directory(&domain).map(Read::Json),
        Resource::NewNonce => face.app.acme_directory_url(&domain).map(|_| Read::Nonce),
        Resource::RenewalInfo(id) => {
            let (of, app) = (domain.clone(), face.app.clone());
            // Anybody may ask this of records of any length, which are read each time.
            let answer = face.in_turns(async move { app.acme_renewal_info(&of, &id).map(Read::Renewal) });
            answer.await.map_err(told).flatten()
        }
        _ => Err(Problem::new(Kind::MethodNotAllowed, "this URL takes POST, signed by an account")),
    };
    let mut response = match answered {
        Ok(Read::Json(json)) => HttpResponse::Ok().content_type(JSON).body(json_bytes(&json)),
        Ok(Read::Renewal(json)) => HttpResponse::Ok()
            .content_type(JSON)
            .insert_header((header::RETRY_AFTER, crate::acme::renewal::ASK_AGAIN_SECONDS))
            .body(json_bytes(&json)),
        // RFC 8555, 7.2: 200 for HEAD, 204 for GET.
        Ok(Read::Nonce) if request.method() == actix_web::http::Method::HEAD => {
            with_nonce(&face, HttpResponse::Ok().finish())
        }
        Ok(Read::Nonce) => with_nonce(&face, HttpResponse::NoContent().finish()),
        Err(problem) => return with_allowed(refusal(&face, Some(&domain), problem), "POST, OPTIONS"),
    };
    finish(&face, Some(&domain), &mut response);
    response
}

enum Read {
    Json(serde_json::Value),
    Renewal(serde_json::Value),
    Nonce,
}

/// POST: everything else is a signed request, answered with a nonce for the next one.
async fn request(face: Data<Face>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let (domain, resource) = match target(&request) {
        Ok(target) => target,
        Err(problem) => return refusal(&face, None, problem),
    };
    let answered = match take(&face, &request, payload).await {
        Ok(bytes) => {
            let (of, app, is_brief) = (domain.clone(), face.app.clone(), is_brief(&resource));
            let answer = async move { app.acme_post(&of, &resource, &bytes).await };
            let answer = if is_brief { face.at_once(answer).await } else { face.in_turns(answer).await };
            answer.map_err(told).flatten()
        }
        Err(problem) => Err(problem),
    };
    match answered {
        Ok(answer) => {
            let mut response = with_nonce(&face, answer_of(&face, answer));
            finish(&face, Some(&domain), &mut response);
            response
        }
        Err(problem) => with_nonce(&face, with_allowed(refusal(&face, Some(&domain), problem), "GET, HEAD, OPTIONS")),
    }
}

/// Whether an answer waits for no sync. What is changed about accounts is synced before it is acknowledged, and a
/// revocation blocks its account.
const fn is_brief(resource: &Resource) -> bool {
    !matches!(resource, Resource::NewAccount | Resource::Account(_) | Resource::KeyChange | Resource::RevokeCert)
}

/// The domain that a path names, and the resource in it.
fn target(request: &HttpRequest) -> Result<(DomainName, Resource), Problem> {
    let nothing = || Problem::new(Kind::NotFound, "there is nothing at this URL");
    let domain = request.match_info().query("domain").parse().map_err(|_| nothing())?;
    Ok((domain, Resource::parse(request.match_info().query("rest"))?))
}

async fn take(face: &Face, request: &HttpRequest, payload: Payload) -> Result<actix_web::web::Bytes, Problem> {
    body::media_type(request, &[JOSE_JSON]).map_err(told)?;
    let _place = face.upload(request).map_err(told)?;
    body::read(request, &mut payload.into_inner(), limits::ACME_REQUEST_BYTES).await.map_err(told)
}

/// A problem found by the HTTP face, as one of ACME's.
fn told(failure: Failure) -> Problem {
    let kind = match Code::named(failure.problem().code()) {
        Some(Code::BodyTooLarge) => Kind::TooLarge,
        Some(Code::UnsupportedMediaType) => Kind::MediaType,
        Some(Code::Busy) => Kind::Busy,
        Some(Code::Internal) | None => Kind::ServerInternal,
        Some(_) => Kind::Malformed,
    };
    let retry_after = (kind == Kind::Busy).then_some(2);
    Problem { retry_after, ..Problem::new(kind, failure.problem().detail.clone()) }
}

fn answer_of(face: &Data<Face>, answer: AcmeAnswer) -> HttpResponse {
    if let Some(look) = answer.look {
        actix_web::rt::spawn(face.app.clone().acme_look(look));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(location) = answer.location {
        response.insert_header((header::LOCATION, location));
    }
    if let Some(seconds) = answer.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    for (relation, url) in answer.links {
        response.append_header((header::LINK, format!("<{url}>;rel=\"{relation}\"")));
    }
    match answer.body {
        AcmeBody::Nothing => response.finish(),
        AcmeBody::Json(json) => response.content_type(JSON).body(json_bytes(&json)),
        AcmeBody::Pem(pem) => response.content_type(CHAIN).body(pem),
    }
}

fn refusal(face: &Data<Face>, domain: Option<&DomainName>, problem: Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(PROBLEM_JSON);
    if let Some(seconds) = problem.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    if let Some(location) = &problem.location {
        response.insert_header((header::LOCATION, location.as_str()));
    }
    let mut response = response.body(json_bytes(&problem.to_json()));
    finish(face, domain, &mut response);
    response
}

/// Adds to an answer that the URL takes no such method which ones it takes (RFC 9110, 15.5.6).
fn with_allowed(mut response: HttpResponse, methods: &'static str) -> HttpResponse {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    response
}

/// Adds the headers of every answer (RFC 8555, 7.1).
fn finish(face: &Face, domain: Option<&DomainName>, response: &mut HttpResponse) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let directory = domain.and_then(|domain| face.app.acme_directory_url(domain).ok());
    if let Some(link) = directory.and_then(|url| HeaderValue::try_from(format!("<{url}>;rel=\"index\"")).ok()) {
        headers.append(header::LINK, link);
    }
}

fn with_nonce(face: &Face, mut response: HttpResponse) -> HttpResponse {
    match face.app.acme_nonce().map(HeaderValue::try_from) {
        Ok(Ok(nonce)) => response.headers_mut().insert(REPLAY_NONCE, nonce),
        _ => return response,
    };
    response
}
