//! Long answers. Each is held in memory until its client has taken it, and anybody may ask for many of them. So what is
//! held at once is bounded ([`crate::untaken`]).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};

use super::face::Face;
use super::failure::Failure;
use super::routes;
use crate::untaken::{Taken, UNIT};

/// How many bytes are handed to the connection at once. actix copies them, so they count twice. With 32 KiB, mirrors
/// caught up slower by a quarter.
const PORTION: usize = 512 * 1024;

/// What part of the strangers' room one network has, unless it takes a single answer: enough for a few pages of a log.
pub(super) const PARTS: usize = 16;

/// An answer in portions.
struct Portions {
    rest: Bytes,
    _held: Taken,
}

impl MessageBody for Portions {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let rest = &mut self.get_mut().rest;
        let portion = rest.split_to(rest.len().min(PORTION));
        Poll::Ready((!portion.is_empty()).then_some(Ok(portion)))
    }
}

/// How many bytes are held for an answer; `None` if it is not long.
fn held_bytes(body: &BoxBody) -> Option<usize> {
    match body.size() {
        BodySize::Sized(bytes) if bytes >= UNIT as u64 => {
            let held = bytes.saturating_add(bytes.min(PORTION as u64));
            Some(usize::try_from(held).unwrap_or(usize::MAX))
        }
        _ => None,
    }
}

/// Whether an answer is long.
pub(super) fn is_long(body: &BoxBody) -> bool {
    held_bytes(body).is_some()
}

/// The answer if it is not long, is held already, or there is room for it until the client has taken it.
///
/// # Errors
/// When too much is held for others.
pub(super) fn held(face: &Face, request: &HttpRequest, answer: HttpResponse) -> Result<HttpResponse, Failure> {
    let Some(bytes) = held_bytes(answer.body()) else { return Ok(answer) };
    let (head, body) = answer.into_parts();
    Ok(head.set_body(match body.try_into_bytes() {
        Ok(rest) => BoxBody::new(Portions { rest, _held: face.hold(request, bytes)? }),
        // It is in portions.
        Err(body) => body,
    }))
}

/// As [`held`], with a refusal instead of the error, which whoever could have read the answer can read.
pub(super) fn bounded(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if !is_long(response.response().body()) {
        return response;
    }
    let (request, answer) = response.into_parts();
    let Some(face) = request.app_data::<Data<Face>>() else { return ServiceResponse::new(request, answer) };
    let is_open = routes::is_open(answer.headers());
    let answer = held(face, &request, answer).unwrap_or_else(|failure| {
        let mut refusal = HttpResponse::from_error(failure);
        if is_open {
            routes::open(refusal.headers_mut());
        }
        refusal
    });
    ServiceResponse::new(request, answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::body::to_bytes;
    use actix_web::http::{StatusCode, header};
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, web};

    use super::*;
    use crate::fixture::Party;
    use crate::http::watch::watch;
    use crate::http::{Settings, everybody};
    use crate::seats::Seats;

    /// With room for this many units of strangers' answers.
    fn face(units: usize) -> Data<Face> {
        let settings = Settings { answers_held: units * UNIT, ..Settings::default() };
        Data::new(Face::new(Party::found("devices.acme.example").open(), &settings))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_held_of_long_answers_is_bounded() {
        let face = face(32);
        let hold = |last: u8, units: usize| {
            let request = TestRequest::default().peer_addr(([192, 0, 2, last], 9).into()).to_http_request();
            face.hold(&request, units * UNIT).ok()
        };
        let held: Vec<_> = (1..=16).map(|last| hold(last, 2).expect("its network's part")).collect();
        assert!(hold(17, 1).is_none(), "one more than there is");
        drop(held);
        let one = hold(17, 1).expect("room");
        assert!(hold(17, 2).is_none(), "one more than the part of a network");
        drop(one);
        assert!(hold(17, 33).is_none(), "one more than there is");
        let longest = hold(17, 32).expect("a single answer may have all of it");
        assert!(hold(18, 1).is_none(), "there is no more");
        drop(longest);
        assert!(hold(18, 1).is_some());
    }

    /// Otherwise whoever takes no answers could ask for more than fits into memory.
    #[test]
    fn a_long_answer_counts_until_it_is_taken() {
        let face = face(16);
        actix_web::rt::System::new().block_on(is_counted_until_taken(&face));
    }

    async fn is_counted_until_taken(face: &Data<Face>) {
        let _others = face.hold(&TestRequest::default().to_http_request(), 14 * UNIT).expect("room");
        let route = web::get().to(|| async {
            HttpResponse::Ok().insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")).body(vec![7; UNIT])
        });
        let service = App::new().app_data(Data::clone(face)).route("/", route).wrap(from_fn(watch));
        let service = init_service(service).await;
        let ask = async || call_service(&service, TestRequest::get().uri("/").to_request()).await;
        let (first, second) = (ask().await, ask().await);
        assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
        let exposed = second.headers().get(header::ACCESS_CONTROL_EXPOSE_HEADERS).expect("is open as the answer was");
        assert!(exposed.as_bytes().ends_with(b"Retry-After") && routes::is_open(second.headers()));
        let taken = to_bytes(first.into_body()).await.expect("a body");
        assert_eq!(taken, vec![7; UNIT]);
        assert_eq!(ask().await.status(), StatusCode::OK, "there is room again");
    }
    /// What was sent is in the log, and only the answer says so.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_answer_to_a_submission_finds_room() {
        let face = face(16);
        let hold = |is_submission: bool, last: u8| {
            let request = TestRequest::default().peer_addr(([192, 0, 2, last], 9).into()).to_http_request();
            let place = face.upload(&request).expect("a place");
            let _sender = is_submission.then(|| face.sender(&request, place));
            face.hold(&request, 16 * UNIT)
        };
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let _slow = everybody::in_seat(seat, async { hold(false, 1).expect("room") }).await;
        assert!(hold(false, 2).is_err(), "nobody holds more");
        assert!(hold(true, 2).is_ok());
    }
}
