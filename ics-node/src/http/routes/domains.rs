//! `/v1/domains`: the domains that the node holds, and their descriptors.

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::api::Acknowledgement;
use crate::http::accept;
use crate::http::answer::{self, JSON, OCTET_STREAM};
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Operator, Reading};

pub(super) async fn list(face: Data<Face>, reader: Reading) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.domains_for(reader.0)).await
}

pub(super) async fn show(face: Data<Face>, reader: Reading, domain: Domain) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.domain_for(reader.0, &domain.0)).await
}

pub(super) async fn acknowledge(
    face: Data<Face>,
    _operator: Operator,
    domain: Domain,
    seen: Json<Acknowledgement>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.acknowledge(Some(&domain.0), seen.0.until)).await
}

/// The version of a descriptor; by default the newest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    version: Option<u64>,
}

pub(super) async fn descriptor(
    face: Data<Face>,
    request: HttpRequest,
    domain: Domain,
    query: Query<Version>,
) -> Result<HttpResponse, Failure> {
    let media_type = accept::choose(&request, &[JSON, OCTET_STREAM])?;
    let descriptor = face.blocking(move |app| app.descriptor(&domain.0, query.version)).await?;
    let bytes = if media_type == JSON { descriptor.json } else { descriptor.signed };
    let tag = answer::tag_of(&bytes);
    Ok(answer::tagged(&request, tag, || answer::bytes(media_type, bytes)))
}

/// The first version wanted; by default all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromVersion {
    from: Option<u64>,
}

pub(super) async fn descriptors(
    face: Data<Face>,
    domain: Domain,
    query: Query<FromVersion>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.descriptors(&domain.0, query.from.unwrap_or(1))).await
}
