//! `/v1/domains/{domain}/enrolments`: devices that ask to be introduced, and the operator's decisions.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;

use crate::api::{EnrolmentAnswer, EnrolmentRequest, PageQuery};
use crate::app::Reader;
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Asking, Domain, Identified, Operator, Reading};

pub(super) async fn enrol(
    face: Data<Face>,
    asking: Asking,
    domain: Domain,
    request: Json<EnrolmentRequest>,
) -> Result<HttpResponse, Failure> {
    let location = format!("/v1/domains/{}/enrolments/", domain.0);
    let enrolment = face.blocking(move |app| app.enrol(asking.0, &domain.0, &request.0)).await?;
    let location = format!("{location}{}", enrolment.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(enrolment))
}

pub(super) async fn list(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    query: Query<PageQuery>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.enrolments(&domain.0, query.0)).await
}

/// The operator sees the whole request; anyone else who knows the fingerprint sees its state only.
pub(super) async fn show(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    if reader.0 == Reader::Operator {
        return face.json(move |app| app.enrolment(&domain.0, &path.id)).await;
    }
    face.json(move |app| app.enrolment(&domain.0, &path.id).map(EnrolmentAnswer::from)).await
}

pub(super) async fn forget(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.forget_enrolment(&domain.0, &path.id)).await
}

/// Why a request is refused, to be told to the device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: String,
}

pub(super) async fn refuse(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    path: Path<Identified>,
    why: Json<Reason>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.refuse_enrolment(&domain.0, &path.id, &why.0.reason)).await
}
