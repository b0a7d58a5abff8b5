//! `/v1/domains/{domain}/statements`: submitting statements.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ics_core::limits;
use ics_sync::wire::Submission;

use crate::http::answer::{self, JSON, OCTET_STREAM, PGP_KEYS};
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::Domain;

/// The longest submission in JSON, in bytes: a full batch in base64, with quotes and commas.
const SUBMISSION_JSON_BYTES: usize = limits::BATCH_BYTES / 3 * 4 + limits::BATCH_STATEMENTS * 8;

pub(super) async fn submit(
    face: Data<Face>,
    domain: Domain,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let place = face.upload(&request)?;
    let media_type = body::media_type(&request, &[JSON, OCTET_STREAM, PGP_KEYS])?;
    let mut payload = payload.into_inner();
    let results = if media_type == JSON {
        let bytes = body::read(&request, &mut payload, SUBMISSION_JSON_BYTES).await?;
        let submission: Submission = body::parse(&bytes)?;
        let bodies = submission.statements.into_iter().map(|statement| statement.0).collect();
        face.app.submit_from(&mut face.sender(&request, place), &domain.0, bodies).await?
    } else {
        let bytes = body::read(&request, &mut payload, limits::BATCH_BYTES).await?;
        face.app.submit_openpgp(&mut face.sender(&request, place), &domain.0, bytes.to_vec()).await?
    };
    answer::json_apart(results).await
}
