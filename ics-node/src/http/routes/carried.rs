//! `/v1/domains/{domain}/carried` and what belongs to it: domains that are brought by hand, for operators.

use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use ics_sync::wire::PAGE_JSON_BYTES;
use serde::Deserialize;

use crate::http::answer::JSON;
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Operator};

/// Bytes of an answer around its page.
const AROUND_BYTES: usize = 64;

/// How far the copy is.
pub(super) async fn cursor(face: Data<Face>, _operator: Operator, domain: Domain) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.cursor(&domain.0)).await
}

/// Takes an answer that was brought; the next question.
pub(super) async fn take(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let place = face.upload()?;
    body::media_type(&request, &[JSON])?;
    let bytes = body::read(&request, &mut payload.into_inner(), PAGE_JSON_BYTES + AROUND_BYTES).await?;
    let carried = body::parse(&bytes)?;
    drop((bytes, place));
    face.json(move |app| app.carried(&domain.0, carried)).await
}

/// Behind which item of the outbox.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behind {
    #[serde(default)]
    after: u64,
}

/// What waits for the home of the domain.
pub(super) async fn outbox(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    query: Query<Behind>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.outbox_batch(&domain.0, query.after)).await
}
