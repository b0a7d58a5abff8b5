//! This node as a witness: `/add-checkpoint` (C2SP tlog-witness), and the checkpoints that it has seen of logs.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ics_core::log::checkpoint::Origin;
use ics_sync::witness::{REQUEST_BYTES, Refusal};

use crate::api::problem::Code;
use crate::app::NotCosigned;
use crate::http::answer::{self, TLOG_SIZE};
use crate::http::body;
use crate::http::face::Face;
use crate::http::failure::Failure;

/// The media type of signature lines.
const TEXT: &str = "text/plain; charset=utf-8";

/// Requests come from logs of any implementation, so the body's media type is not checked.
pub(super) async fn add_checkpoint(
    face: Data<Face>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let bytes = {
        // Once all has arrived it must not make room for others: the witness may have noted what it cosigns.
        let _place = face.upload(&request)?;
        body::read(&request, &mut payload.into_inner(), REQUEST_BYTES).await?
    };
    let text = core::str::from_utf8(&bytes).map_err(|error| Failure::new(Code::MalformedRequest, error))?.to_owned();
    match face.blocking(move |app| Ok(app.add_checkpoint(&text))).await? {
        Ok(lines) => Ok(answer::bytes(TEXT, lines)),
        Err(NotCosigned::Failed(error)) => Err(error.into()),
        Err(doubtful @ NotCosigned::Doubtful) => Err(Failure::new(Code::DoubtfulWitness, doubtful)),
        Err(NotCosigned::Refused(refusal)) => match refusal.seen() {
            Some(size) => Ok(HttpResponse::Conflict().content_type(TLOG_SIZE).body(format!("{size}\n"))),
            None => Err(Failure::new(code(&refusal), refusal)),
        },
    }
}

/// The origin of a log contains a slash, and so takes two segments.
pub(super) async fn witnessed(face: Data<Face>, path: Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (domain, entry0) = path.into_inner();
    let origin = format!("{domain}/{entry0}").parse::<Origin>();
    let origin = origin.map_err(|error| Failure::new(Code::MalformedRequest, error))?;
    let note = face.blocking(move |app| app.witnessed_checkpoint(&origin)).await?;
    Ok(answer::bytes(TEXT, note))
}

/// The code with the status that C2SP tlog-witness assigns to the refusal.
const fn code(refusal: &Refusal) -> Code {
    match refusal.status() {
        403 => Code::LogUnsigned,
        404 => Code::UnknownLog,
        422 => Code::Inconsistent,
        _ => Code::MalformedRequest,
    }
}
