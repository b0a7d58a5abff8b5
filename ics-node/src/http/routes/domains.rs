//! `/v1/domains`: the domains that the node holds, and their descriptors.

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::api::Acknowledgement;
use crate::app::App;
use crate::http::accept;
use crate::http::answer::{self, JSON, OCTET_STREAM};
use crate::http::body::Json;
use crate::http::face::{Face, Heavy};
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
    // As long as pages of the log are.
    let made = move |app: &App| app.descriptors(&domain.0, query.from.unwrap_or(1)).map(|it| answer::json_bytes(&it));
    Ok(answer::bytes(JSON, face.heavy(Heavy::Page, face.in_line()?, made).await?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;

    /// All versions of a descriptor together are as long as a page of the log, and anybody may ask for them.
    #[tokio::test(flavor = "multi_thread")]
    async fn descriptors_wait_for_their_turn() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let turns = face.all_turns(Heavy::Page);
        let all = Query(FromVersion { from: None });
        let mut asked = Box::pin(descriptors(Data::clone(&face), Domain(party.domain.clone()), all));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "there is no other");
        drop(turns);
        assert_eq!(asked.await.expect("an answer").status(), 200);
    }
}
