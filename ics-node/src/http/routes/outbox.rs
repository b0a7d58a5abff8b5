//! `/v1/outbox`: statements that wait for the homes of other domains, for operators.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::Operator;

pub(super) async fn list(face: Data<Face>, _operator: Operator) -> Result<HttpResponse, Failure> {
    face.json(|app| app.outbox()).await
}
