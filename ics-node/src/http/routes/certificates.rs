//! `/v1/domains/{domain}/certificates`: the inventory of what a domain has issued.

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};

use crate::api::CertificateQuery;
use crate::http::answer::{self, JSON};
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Reading};

pub(super) async fn list(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    query: Query<CertificateQuery>,
) -> Result<HttpResponse, Failure> {
    let made = face.blocking(move |app| {
        let page = app.certificates(reader.0, &domain.0, &query)?;
        let tag = answer::tag(&(&page.items, &page.next, &page.as_of.root, page.as_of.time));
        Ok((tag, answer::json_bytes(&page)))
    });
    let (tag, json) = made.await?;
    Ok(answer::tagged(&request, tag, || answer::bytes(JSON, json)))
}
