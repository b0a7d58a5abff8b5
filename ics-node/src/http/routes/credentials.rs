//! `/v1/domains/{domain}/acme/…`: credentials for ACME accounts, and the accounts, for the operator to list and revoke.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};

use crate::api::{ChallengeAnswer, ChallengeRequest, PageQuery};
use crate::app::App;
use crate::http::answer;
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Asking, Domain, Identified, Operator};

pub(super) async fn challenge(
    face: Data<Face>,
    domain: Domain,
    asking: Asking,
    request: Json<ChallengeRequest>,
) -> Result<HttpResponse, Failure> {
    let make = move |app: &App| app.acme_credential_challenge(asking.0, &domain.0, &request.0.id);
    let challenge = face.blocking(make).await?;
    Ok(uncached(answer::json(&challenge)))
}

pub(super) async fn give(
    face: Data<Face>,
    domain: Domain,
    answer: Json<ChallengeAnswer>,
) -> Result<HttpResponse, Failure> {
    let credential = face.blocking(move |app| app.acme_credential(&domain.0, &answer.0)).await?;
    Ok(uncached(answer::json(&credential)))
}

pub(super) async fn accounts(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.acme_accounts(&domain.0, query.0)).await
}

pub(super) async fn revoke(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.acme_revoke_accounts(&domain.0, &path.id)).await
}

/// Keeps caches from storing answers that are for one client only; one of them holds a secret.
fn uncached(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
