//! What domains say about identities: records, views, listings, history, evidence and verdicts.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::api::{ListQuery, RecordAnswer};
use crate::app::problem::Code;
use crate::http::accept;
use crate::http::answer::{self, JSON, OCTET_STREAM, PGP_KEYS};
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Identified, Reading};

/// The OpenPGP version of what a client of OpenPGP gets: 4 unless told, since older ones stop at the first of version 6.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PgpVersion {
    version: Option<u8>,
}

impl PgpVersion {
    fn checked(&self) -> Result<u8, Failure> {
        match self.version {
            None | Some(4) => Ok(4),
            Some(6) => Ok(6),
            Some(other) => Err(Failure::new(Code::OutOfRange, format_args!("`version` is 4 or 6, not {other}"))),
        }
    }
}

pub(super) async fn list(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    query: Query<ListQuery>,
) -> Result<HttpResponse, Failure> {
    let page = face.blocking(move |app| app.list(reader.0, &domain.0, &query)).await?;
    let tag = answer::tag(&(&page.items, &page.next, &page.as_of.root, page.as_of.time));
    Ok(answer::tagged(&request, tag, || answer::json(&page)))
}

pub(super) async fn record(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
    query: Query<PgpVersion>,
) -> Result<HttpResponse, Failure> {
    let media_type = accept::choose(&request, &[JSON, PGP_KEYS, OCTET_STREAM])?;
    if media_type != JSON {
        let version = query.checked()?;
        let bodies = face.blocking(move |app| app.record_openpgp(reader.0, &domain.0, &path.id, version)).await?;
        return openpgp(&request, media_type, bodies);
    }
    let mut answer = face.blocking(move |app| app.record(reader.0, &domain.0, &path.id)).await?;
    let tag = answer::tag(&says(&mut answer));
    Ok(answer::tagged(&request, tag, || answer::json(&answer)))
}

pub(super) async fn view(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    path: Path<Identified>,
    query: Query<PgpVersion>,
) -> Result<HttpResponse, Failure> {
    let media_type = accept::choose(&request, &[JSON, PGP_KEYS, OCTET_STREAM])?;
    if media_type != JSON {
        let version = query.checked()?;
        let bodies = face.blocking(move |app| app.view_openpgp(reader.0, &path.id, version)).await?;
        return openpgp(&request, media_type, bodies);
    }
    let mut view = face.blocking(move |app| app.view(reader.0, &path.id)).await?;
    let tag = answer::tag(&(&view.identities, view.records.iter_mut().map(says).collect::<Vec<_>>()));
    Ok(answer::tagged(&request, tag, || answer::json(&view)))
}

/// The tag of what a record says, without when it was judged: judged later, it is the same as long as it says the same.
fn says(answer: &mut RecordAnswer) -> String {
    let at = std::mem::take(&mut answer.record.at);
    let tag = answer::tag(&(&answer.record, &answer.as_of.root, answer.as_of.time));
    answer.record.at = at;
    tag.tag().to_owned()
}

fn openpgp(request: &HttpRequest, media_type: &'static str, bodies: Vec<u8>) -> Result<HttpResponse, Failure> {
    let tag = answer::tag(&(media_type, answer::tag_of(&bodies).tag()));
    let answer = answer::openpgp(media_type, bodies)?;
    Ok(answer::tagged(request, tag, || answer))
}

pub(super) async fn history(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    let history = face.blocking(move |app| app.history(reader.0, &domain.0, &path.id)).await?;
    Ok(answer::json(&history))
}

pub(super) async fn evidence(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Identified>,
) -> Result<HttpResponse, Failure> {
    let evidence = face.blocking(move |app| app.evidence(reader.0, &domain.0, &path.id)).await?;
    Ok(answer::json(&evidence))
}

/// For whom and for what a verdict is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    id: String,
    #[serde(rename = "use")]
    use_: String,
    peer: Option<String>,
}

pub(super) async fn verdict(
    face: Data<Face>,
    reader: Reading,
    query: Query<Question>,
) -> Result<HttpResponse, Failure> {
    let verdict =
        face.blocking(move |app| app.verdict(reader.0, &query.id, &query.use_, query.peer.as_deref())).await?;
    Ok(answer::json(&verdict))
}
