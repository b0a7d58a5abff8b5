//! `/v1/node`: the node that answers.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::http::face::Face;
use crate::http::failure::Failure;

pub(super) async fn show(face: Data<Face>) -> Result<HttpResponse, Failure> {
    face.json(|app| Ok(app.node())).await
}
