//! `/x509/…`: revocation lists, OCSP (RFC 6960, and GET as in RFC 5019), issuers' certificates; and
//! `/.well-known/est/…` (RFC 7030) and `/.well-known/cmp` (RFC 9811). Except for their index, they have specifications
//! of their own and are not part of the API.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::limits;
use ics_core::vocabulary::DomainName;
use serde::Deserialize;

use super::Access::Everybody;
use super::{Endpoint, get, post};
use crate::api::DEFAULT_PROFILE;
use crate::api::problem::Code;
use crate::app::{AppError, CmpRequest, EstRequest, Listing};
use crate::http::answer;
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::ocsp::{Given, OCSP_RESPONSE, posted};
use crate::http::request::{Domain, ProvenKey, client, proven};
use crate::x509::OcspError;

/// The routes.
pub(super) const TABLE: &[Endpoint] = &[
    get("/x509/{domain}/crl/{issuer}/{shard}.crl", Everybody, |r| r.to(revocation_list)),
    get("/x509/{domain}/issuers/{issuer}.cer", Everybody, |r| r.to(issuer)),
    get(OCSP, Everybody, |r| r.to(ocsp_get)),
    post("/x509/{domain}/ocsp", Everybody, |r| r.to(ocsp_post)),
    get("/.well-known/est/cacerts", Everybody, |r| r.to(ca_certificates)),
    get("/.well-known/est/csrattrs", Everybody, |r| r.to(attributes)),
    post("/.well-known/est/simpleenroll", Everybody, |r| r.to(enroll)),
    post("/.well-known/est/simplereenroll", Everybody, |r| r.to(enroll_again)),
    get("/.well-known/est/{label}/cacerts", Everybody, |r| r.to(ca_certificates)),
    get("/.well-known/est/{label}/csrattrs", Everybody, |r| r.to(attributes)),
    post("/.well-known/est/{label}/simpleenroll", Everybody, |r| r.to(enroll)),
    post("/.well-known/est/{label}/simplereenroll", Everybody, |r| r.to(enroll_again)),
    post("/.well-known/cmp", Everybody, |r| r.to(cmp)),
    post("/.well-known/cmp/{operation}", Everybody, |r| r.to(cmp)),
    post("/.well-known/cmp/p/{label}", Everybody, |r| r.to(cmp)),
    post("/.well-known/cmp/p/{label}/{operation}", Everybody, |r| r.to(cmp)),
    // strongSwan puts its configured path in front.
    get("/x509/{label}/.well-known/est/cacerts", Everybody, |r| r.to(ca_certificates)),
    get("/x509/{label}/.well-known/est/csrattrs", Everybody, |r| r.to(attributes)),
    post("/x509/{label}/.well-known/est/simpleenroll", Everybody, |r| r.to(enroll)),
    post("/x509/{label}/.well-known/est/simplereenroll", Everybody, |r| r.to(enroll_again)),
];

/// The route of OCSP requests by GET.
pub(in crate::http) const OCSP: &str = "/x509/{domain}/ocsp/{request:.*}";

const CRL: &str = "application/pkix-crl";
const CERTIFICATE: &str = "application/pkix-cert";
const OCSP_REQUEST: &str = "application/ocsp-request";
const PKCS10: &str = "application/pkcs10";
const PKCS7: &str = "application/pkcs7-mime";
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
const CMP: &str = "application/pkixcmp";
const CSR_ATTRIBUTES: &str = "application/csrattrs";

/// What nodes add when they ask each other for a list: how many further nodes may be asked.
#[derive(Deserialize)]
struct Asked {
    hops: Option<u8>,
}

/// The index: where everything below is found, for clients of the API.
pub(super) async fn index(face: Data<Face>, domain: Domain) -> Result<HttpResponse, Failure> {
    let node = face.url.clone();
    face.json(move |app| app.x509_index(&domain.0, &node)).await
}

async fn revocation_list(
    face: Data<Face>,
    domain: Domain,
    path: Path<(String, String, u8)>,
    asked: Query<Asked>,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let (_, issuer, shard) = path.into_inner();
    let list = match face.blocking(move |app| app.list_here(&domain.0, &issuer, shard)).await? {
        Listing::Signed(list) => list,
        Listing::Elsewhere(elsewhere) => {
            // A copy that proves its key gets a place by it; lists are public, so they are not charged to its budget.
            let _place = face.listen(&request, proven(&request))?;
            face.app.list_from_home(elsewhere, asked.hops).await?
        }
    };
    let tag = answer::tag(&list.number);
    Ok(answer::tagged(&request, tag, || answer::bytes(CRL, list.der.to_vec())))
}

async fn issuer(face: Data<Face>, domain: Domain, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (_, issuer) = path.into_inner();
    let der = face.blocking(move |app| app.issuer_certificate(&domain.0, &issuer)).await?;
    Ok(answer::bytes(CERTIFICATE, der))
}

/// The request is base64, escaped for a URL. actix-web has undone the escapes except those of slashes, which the
/// pattern matches too.
async fn ocsp_get(
    face: Data<Face>,
    domain: Domain,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> HttpResponse {
    let (_, text) = path.into_inner();
    let most = limits::OCSP_REQUEST_BYTES * 2;
    let decoded = Some(text).filter(|text| text.len() <= most).and_then(|text| STANDARD.decode(text).ok());
    match decoded {
        Some(der) => answered(&face, domain.0, der, request.uri().path().as_bytes(), &request).await,
        None => ocsp(OcspError::Malformed.to_der()),
    }
}

async fn ocsp_post(face: Data<Face>, domain: Domain, request: HttpRequest, payload: Payload) -> HttpResponse {
    let read = async {
        body::media_type(&request, &[OCSP_REQUEST])?;
        let _place = face.upload(&request)?;
        body::read(&request, &mut payload.into_inner(), limits::OCSP_REQUEST_BYTES).await
    };
    match read.await {
        Ok(der) => {
            let question = posted(&domain.0, &der);
            match face.ocsp.get(&face.app, &question) {
                Some(given) => given.respond(&request),
                None => answered(&face, domain.0, der.to_vec(), &question, &request).await,
            }
        }
        Err(failure) => unread(&failure).map_or_else(|| failure.error_response(), |error| ocsp(error.to_der())),
    }
}

/// The OCSP error for a request that was not read, if the protocol has one.
fn unread(failure: &Failure) -> Option<OcspError> {
    match failure.status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => Some(OcspError::Malformed),
        // All places are taken.
        StatusCode::SERVICE_UNAVAILABLE => Some(OcspError::TryLater),
        _ => None,
    }
}

/// Answers, and remembers the answer by the bytes of the request.
async fn answered(
    face: &Face,
    domain: DomainName,
    der: Vec<u8>,
    question: &[u8],
    request: &HttpRequest,
) -> HttpResponse {
    let asker = face.app.asker(proven(request), client(request));
    let asked = face.hot(None, move |app, depth| {
        Ok(match app.ocsp(asker, &domain, &der, depth) {
            Ok(answer) => answer.map(Ok),
            Err(error) => Some(Err(error)),
        })
    });
    match asked.await {
        Ok(Ok(answer)) => {
            let given = Arc::new(Given::new(answer));
            face.ocsp.put(&face.app, question, &given);
            given.respond(request)
        }
        Ok(Err(error)) => ocsp(error.to_der()),
        // All places are taken, or the node failed: the protocol has an error for each.
        Err(failure) if failure.problem().code() == Code::Busy.as_str() => ocsp(OcspError::TryLater.to_der()),
        Err(_) => ocsp(OcspError::Internal.to_der()),
    }
}

/// The remembered answer to a path, if it still holds.
pub(in crate::http) fn hot(face: &Face, path: &str) -> Option<HttpResponse> {
    face.ocsp.get(&face.app, path.as_bytes()).map(|given| given.whole())
}

fn ocsp(der: Vec<u8>) -> HttpResponse {
    answer::bytes(OCSP_RESPONSE, der)
}

/// What a path names: the domain; a profile, if given; an issuer, if another than the present one is meant.
type Label = (DomainName, Option<String>, Option<String>);

/// Tells clients that ask for an unknown path below those of EST and CMP where these are found: the API's description
/// does not list them.
pub(super) fn instead(path: &str) -> &'static str {
    let is_below = |scope: &str| path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_below("/.well-known/cmp") {
        return "; CMP is answered at `/.well-known/cmp/p/DOMAIN` and `/.well-known/cmp/p/DOMAIN:PROFILE`, to POST";
    }
    if !is_below("/x509") && !is_below("/.well-known/est") {
        return "";
    }
    "; EST is at `/.well-known/est/DOMAIN/OPERATION` or `/.well-known/est/DOMAIN:PROFILE/OPERATION`, where OPERATION is \
     cacerts, csrattrs, simpleenroll or simplereenroll; clients that add `/.well-known/est` themselves get \
     `/x509/DOMAIN`, which also lists all else about a domain's certificates"
}

/// Parses `DOMAIN`, `DOMAIN:PROFILE` or `DOMAIN:PROFILE:ISSUER`; by default the only domain that issues here.
fn label(face: &Face, request: &HttpRequest) -> Result<Label, Failure> {
    let Some(text) = request.match_info().get("label") else {
        return Ok((face.app.only_issuing()?, None, None));
    };
    let mut parts = text.splitn(3, ':');
    let domain = parts.next().unwrap_or_default();
    let domain = domain.parse().map_err(|error| Failure::new(Code::MalformedDomain, error))?;
    let mut next = || parts.next().map(str::to_owned);
    Ok((domain, next(), next()))
}

/// The profile of a path; `ldevid` by default.
fn or_default(profile: Option<String>) -> String {
    profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned())
}

/// An answer in base64 for EST, on a single line: strongSwan reads no other form.
fn base64(media_type: &'static str, der: &[u8]) -> HttpResponse {
    let mut response = answer::bytes(media_type, STANDARD.encode(der));
    let encoding = header::HeaderName::from_static("content-transfer-encoding");
    response.headers_mut().insert(encoding, header::HeaderValue::from_static("base64"));
    response
}

async fn ca_certificates(face: Data<Face>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (domain, ..) = label(&face, &request)?;
    let der = face.blocking(move |app| app.est_certificates(&domain)).await?;
    Ok(base64(CERTS_ONLY, &der))
}

async fn attributes(face: Data<Face>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (domain, profile, _) = label(&face, &request)?;
    let profile = or_default(profile);
    let der = face.blocking(move |app| app.est_attributes(&domain, &profile)).await?;
    Ok(base64(CSR_ATTRIBUTES, &der))
}

/// CMP over HTTP (RFC 9811). The message says what is asked for; an operation in the path adds nothing.
async fn cmp(face: Data<Face>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let (domain, profile, issuer) = label(&face, &request)?;
    body::media_type(&request, &[CMP])?;
    let der = {
        let _place = face.upload(&request)?;
        body::read(&request, &mut payload.into_inner(), limits::CMP_BYTES).await?
    };
    let asker = face.app.asker(proven(&request), client(&request));
    let (app, asked) = (face.app.clone(), CmpRequest { domain, profile, issuer, asker });
    let answer = face.in_turns(async move { app.cmp(&asked, &der).await }).await??;
    Ok(answer::bytes(CMP, answer))
}

async fn enroll(face: Data<Face>, request: HttpRequest, payload: Payload) -> HttpResponse {
    est(&face, &request, payload, false).await.unwrap_or_else(|failure| refusal(&failure))
}

async fn enroll_again(face: Data<Face>, request: HttpRequest, payload: Payload) -> HttpResponse {
    est(&face, &request, payload, true).await.unwrap_or_else(|failure| refusal(&failure))
}

/// A status with words for people (RFC 7030, 4.2.3); a client without credentials is asked for a password (3.2.3).
fn refusal(failure: &Failure) -> HttpResponse {
    let mut response = failure.error_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        let asks = header::HeaderValue::from_static("Basic realm=\"EST\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
    }
    response
}

async fn est(face: &Face, request: &HttpRequest, payload: Payload, again: bool) -> Result<HttpResponse, Failure> {
    let (domain, profile, issuer) = label(face, request)?;
    // Read before anything is refused: clients come without a password first, and send it when asked.
    body::media_type(request, &[PKCS10, PKCS7])?;
    let bytes = {
        let _place = face.upload(request)?;
        body::read(request, &mut payload.into_inner(), limits::CSR_BYTES * 2).await?
    };
    let proven = request.conn_data::<ProvenKey>().map(|key| key.0);
    // For renewal, only a certificate shown by TLS counts (RFC 7030, 4.2.2).
    let basic = basic(request)?.filter(|_| !again);
    if proven.is_none() && basic.is_none() {
        let text = if again {
            "present the certificate that is to be renewed, by TLS"
        } else {
            "present a certificate whose key a record names, by TLS, or the registrar's token as an HTTP password"
        };
        return Err(Failure::new(Code::UnprovenClient, text));
    }
    let csr = String::from_utf8(bytes.to_vec()).map_err(|_| Failure::new(Code::BadCsr, "the body is not base64"))?;
    let profile = or_default(profile);
    let (app, asked) = (face.app.clone(), EstRequest { domain, profile, issuer, proven, basic });
    let enrolled = face.at_once(async move { app.est_enroll(&asked, &csr).await }).await?;
    Ok(base64(CERTS_ONLY, &enrolled.map_err(AppError::from)?))
}

/// Name and password of HTTP's Basic scheme (RFC 7617).
fn basic(request: &HttpRequest) -> Result<Option<(String, String)>, Failure> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let decoded = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, base64)| STANDARD.decode(base64.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let both = decoded.as_deref().and_then(|text| text.split_once(':'));
    let both = both.map(|(name, password)| (name.to_owned(), password.to_owned()));
    both.map(Some).ok_or_else(|| Failure::new(Code::UnprovenClient, "EST takes a password of HTTP Basic (RFC 7617)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_about_a_certificate_is_refused_in_the_words_of_ocsp() {
        for (code, expected) in [
            (Code::Busy, Some(OcspError::TryLater)),
            (Code::BodyTooLarge, Some(OcspError::Malformed)),
            (Code::MalformedQuery, None),
        ] {
            assert_eq!(unread(&Failure::new(code, "for a test")), expected, "{}", code.as_str());
        }
    }
}
