//! `/v1/domains/{domain}/carried` and the outbox: domains that are carried by hand, for operators.

use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use ics_sync::wire::PAGE_JSON_BYTES;
use serde::Deserialize;

use crate::http::answer::JSON;
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Operator};

/// The size in bytes of an answer without its page.
const AROUND_BYTES: usize = 64;

/// How far the copy has come.
pub(super) async fn cursor(face: Data<Face>, _operator: Operator, domain: Domain) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.cursor(&domain.0)).await
}

/// Takes an answer that was brought; returns the next question.
pub(super) async fn take(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let place = face.upload(&request)?;
    body::media_type(&request, &[JSON])?;
    let bytes = body::read(&request, &mut payload.into_inner(), PAGE_JSON_BYTES + AROUND_BYTES).await?;
    let carried = body::parse(&bytes)?;
    drop((bytes, place));
    face.json(move |app| app.carried(&domain.0, carried)).await
}

/// The item of the outbox after which to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behind {
    #[serde(default)]
    after: u64,
}

/// The statements that wait for the domain's home.
pub(super) async fn outbox(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    query: Query<Behind>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.outbox_batch(&domain.0, query.after)).await
}
