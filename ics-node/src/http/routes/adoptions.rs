//! `/v1/domains/{domain}/adoptions`: adopting what another domain says.

use actix_web::HttpResponse;
use actix_web::web::Data;

use crate::api::AdoptionRequest;
use crate::http::answer;
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Operator};

pub(super) async fn adopt(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    request: Json<AdoptionRequest>,
) -> Result<HttpResponse, Failure> {
    let result = face.app.adopt(&domain.0, request.0).await?;
    Ok(answer::json(&result))
}
