//! The questions of gateways: may this thing be used like this, and does it hold its key?

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use ics_core::identity::excerpt;
use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::trust::Outcome;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::api::problem::Code;
use crate::api::{
    ChallengeAnswer, ChallengeRequest, Check, CheckAnswer, CheckAnswers, CheckQuestion, CheckQuestions, Problem,
};
use crate::app::{self, App, Asker, Depth, Reader};
use crate::background;
use crate::http::answer::{self, VERDICT};
use crate::http::body::Json;
use crate::http::face::{Face, Heavy};
use crate::http::failure::Failure;
use crate::http::request::{Asking, Reading};

const REASON: HeaderName = HeaderName::from_static("ics-reason");
const AS_OF: HeaderName = HeaderName::from_static("ics-as-of");
const FRESH_UNTIL: HeaderName = HeaderName::from_static("ics-fresh-until");
const TIME: HeaderName = HeaderName::from_static("ics-time");
const VIEW: HeaderName = HeaderName::from_static("ics-view");

/// The question in a query string.
#[derive(Debug)]
struct Question {
    thing: app::Query,
    usage: String,
    peer: Option<app::Query>,
}

impl Question {
    /// Parses `id|spki|cert|serial|urn|host|sha256=…&use=…[&peer=…]`.
    fn read(query: &str) -> Result<Self, Failure> {
        let malformed = |what: String| Failure::new(Code::MalformedQuery, what);
        let (mut thing, mut usage, mut peer) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let set = |place: &mut Option<String>, value: String| match place.replace(value) {
                None => Ok(()),
                Some(_) => Err(malformed(format!("`{}` and another parameter say the same", excerpt(&key)))),
            };
            match &*key {
                "id" => set(&mut thing, value.into_owned())?,
                "cert" if value.starts_with("-----BEGIN") => set(&mut thing, key_of_certificate(&value)?)?,
                "urn" if value.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:")) => {
                    set(&mut thing, value.into_owned())?;
                }
                "spki" | "cert" | "serial" | "urn" | "host" | "sha256" => {
                    set(&mut thing, [&*key, ":", &*value].concat())?;
                }
                "use" => set(&mut usage, value.into_owned())?,
                "peer" => set(&mut peer, value.into_owned())?,
                other => return Err(malformed(format!("there is no parameter `{}` here", excerpt(other)))),
            }
        }
        let thing = thing.ok_or_else(|| {
            malformed("one of id, spki, cert, serial, urn, host and sha256 says which thing".to_owned())
        })?;
        // A missing use is answered like an empty one.
        let usage = usage.unwrap_or_default();
        app::check_use(&usage)?;
        Ok(Self { thing: app::Query::parse(&thing)?, usage, peer: peer.as_deref().map(app::Query::parse).transpose()? })
    }

    fn answer(&self, app: &App, reader: Reader, depth: Depth) -> Option<Check> {
        app.check(reader, &self.usage, &self.thing, self.peer.as_ref(), depth)
    }
}

/// The name by which the key in a certificate is looked up. Proxies pass on the client's certificate itself; the only
/// digest of it that nginx has is SHA-1.
fn key_of_certificate(pem: &str) -> Result<String, Failure> {
    let malformed = |error: &dyn core::fmt::Display| {
        Failure::new(Code::MalformedId, format_args!("`cert` is not an X.509 certificate in PEM: {error}"))
    };
    // nginx writes the line feeds in `$ssl_client_cert` as tabs; `$ssl_client_escaped_cert` keeps them.
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| malformed(&error))?;
    let certificate = webpki::EndEntityCert::try_from(&der).map_err(|error| malformed(&error))?;
    let key = certificate.subject_public_key_info();
    Ok(format!("spki:{}", HEXLOWER.encode(&Sha256::digest(&key))))
}

pub(super) async fn check(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let question = Question::read(request.query_string())?;
    if let Some(check) = question.answer(&face.app, reader.0, Depth::Memory) {
        background::note_answer(Instant::now());
        return Ok(respond(&face.app, check));
    }
    let things: Vec<&app::Query> = core::iter::once(&question.thing).chain(&question.peer).collect();
    face.roam(asking.0, face.app.roam(asking.0, &question.usage, &things)).await;
    let check = face.decide(move |app| Ok(question.answer(app, reader.0, Depth::Store))).await?;
    check.map(|check| respond(&face.app, check)).ok_or_else(|| Failure::internal("the store was not asked"))
}

/// The answer to a query string, if memory has it.
pub(in crate::http) fn hot(face: &Face, query: &str) -> Option<HttpResponse> {
    let question = Question::read(query).ok()?;
    question.answer(&face.app, Reader::Anonymous, Depth::Memory).map(|check| respond(&face.app, check))
}

/// A time as a header. The one that was written last is kept, since most answers say the same times as the one before,
/// and a check has three.
#[derive(Default)]
struct Written(RefCell<Option<(Timestamp, HeaderValue)>>);

impl Written {
    fn header(&self, time: Timestamp) -> Option<HeaderValue> {
        let mut last = self.0.borrow_mut();
        if last.as_ref().is_none_or(|(written, _)| *written != time) {
            *last = HeaderValue::try_from(time.to_string()).ok().map(|header| (time, header));
        }
        last.as_ref().map(|(_, header)| header.clone())
    }
}

thread_local! {
    /// The times that this thread has last written, each in its own header.
    static WRITTEN: [Written; 3] = Default::default();
}

/// Answers 204 for allow, 403 for deny, 503 for unknown: nginx's `auth_request` and the like look at nothing else.
///
/// The node's time is sent along, read after the answer was made, as in a batch. The header `Date` would not do: it is
/// the machine's clock, which may be behind the time by which the node decides.
fn respond(app: &App, check: Check) -> HttpResponse {
    let mut response = HttpResponse::new(match check.verdict {
        Outcome::Allow => StatusCode::NO_CONTENT,
        Outcome::Deny => StatusCode::FORBIDDEN,
        Outcome::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    });
    let headers = response.headers_mut();
    headers.insert(VERDICT, HeaderValue::from_static(check.verdict.as_str()));
    headers.insert(REASON, HeaderValue::from_static(check.reason.as_str()));
    let times = [(AS_OF, check.as_of), (FRESH_UNTIL, check.fresh_until), (TIME, Some(app.clock().now()))];
    WRITTEN.with(|written| {
        for ((name, time), written) in times.into_iter().zip(written) {
            if let Some(value) = time.and_then(|time| written.header(time)) {
                headers.insert(name, value);
            }
        }
    });
    if let Ok(view) = HeaderValue::try_from(check.view) {
        headers.insert(VIEW, view);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) async fn checks(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    asked: Json<CheckQuestions>,
) -> Result<HttpResponse, Failure> {
    let questions = asked.0.questions;
    if questions.len() > limits::CHECKS {
        let detail = format!("{} questions, {} at most", questions.len(), limits::CHECKS);
        return Err(Failure::new(Code::BatchTooLarge, detail));
    }
    roam_for_all(&face, asking.0, &questions).await;
    let made = move |app: &App| {
        let answers = questions.iter().map(|question| one(app, reader.0, question)).collect();
        // The time is read after the answers are made. News may advance the node's clock in between; with an earlier
        // time, a later answer would seem to be good for longer than it is.
        Ok(answer::json_bytes(&CheckAnswers { answers, time: app.clock().now() }))
    };
    Ok(answer::bytes(answer::JSON, face.decide(made).await?))
}

/// Has other nodes asked about all things of a batch, grouped by use.
async fn roam_for_all(face: &Face, asker: Asker, questions: &[CheckQuestion]) {
    let mut by_use: BTreeMap<&str, Vec<app::Query>> = BTreeMap::new();
    for question in questions {
        let things = core::iter::once(&question.id).chain(&question.peer);
        by_use.entry(&question.usage).or_default().extend(things.filter_map(|text| app::Query::parse(text).ok()));
    }
    let asking = by_use.iter().map(async |(usage, things)| {
        face.app.roam(asker, usage, &things.iter().collect::<Vec<_>>()).await;
    });
    face.roam(asker, join_all(asking)).await;
}

/// Has other nodes asked about a thing and its peer. Malformed ids are skipped here; the answer reports them.
pub(super) async fn roam(face: &Face, asking: Asking, usage: &str, thing: &str, peer: Option<&str>) {
    let things: Vec<app::Query> =
        core::iter::once(thing).chain(peer).filter_map(|text| app::Query::parse(text).ok()).collect();
    let things: Vec<&app::Query> = things.iter().collect();
    face.roam(asking.0, face.app.roam(asking.0, usage, &things)).await;
}

fn one(app: &App, reader: Reader, question: &CheckQuestion) -> CheckAnswer {
    let read = || {
        app::check_use(&question.usage)?;
        let peer = question.peer.as_deref().map(app::Query::parse).transpose()?;
        Ok((app::Query::parse(&question.id)?, peer))
    };
    match read() {
        Ok((thing, peer)) => app
            .check(reader, &question.usage, &thing, peer.as_ref(), Depth::Store)
            .map_or_else(|| CheckAnswer::Problem(Problem::of(Code::Internal, String::new())), CheckAnswer::Check),
        Err(error) => {
            let error: app::AppError = error;
            CheckAnswer::Problem(error.problem())
        }
    }
}

/// The thing and the use that a verdict is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerdictQuestion {
    id: String,
    #[serde(rename = "use")]
    use_: String,
    peer: Option<String>,
}

pub(super) async fn verdict(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    query: Query<VerdictQuestion>,
) -> Result<HttpResponse, Failure> {
    roam(&face, asking, &query.use_, &query.id, query.peer.as_deref()).await;
    face.record(move |app| app.verdict(reader.0, &query.id, &query.use_, query.peer.as_deref())).await
}

pub(super) async fn case(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    query: Query<VerdictQuestion>,
) -> Result<HttpResponse, Failure> {
    roam(&face, asking, &query.use_, &query.id, query.peer.as_deref()).await;
    let made = move |app: &App| {
        let case = app.case(reader.0, &query.id, &query.use_, query.peer.as_deref());
        case.map(|case| answer::long_json_bytes(&case))
    };
    Ok(answer::bytes(answer::JSON, face.heavy(Heavy::Proof, face.in_line()?, made).await?))
}

pub(super) async fn challenge(
    face: Data<Face>,
    reader: Reading,
    asking: Asking,
    asked: Json<ChallengeRequest>,
) -> Result<HttpResponse, Failure> {
    let query = app::Query::parse(&asked.0.id)?;
    face.json(move |app| app.challenge(reader.0, asking.0, &query)).await
}

pub(super) async fn prove(face: Data<Face>, answer: Json<ChallengeAnswer>) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.prove_possession(&answer.0)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_anew_only_if_it_is_another_one() {
        let written = Written::default();
        for millis in [1_000, 1_000, 1_001, 1_000] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(written.header(time).expect("ASCII"), time.to_string());
        }
    }
}
