//! `/v1/domains/{domain}/certificates`: the inventory of what a domain has issued.

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};

use crate::api::{CertificatePage, CertificateQuery};
use crate::http::answer;
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
    let tag = |page: &CertificatePage| answer::tag(&(&page.items, &page.next, &page.as_of.root, page.as_of.time));
    face.tagged(&request, move |app| app.certificates(reader.0, &domain.0, &query), tag).await
}
