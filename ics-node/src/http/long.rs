//! Long answers. Each is held in memory until its client has taken it, as slowly as it likes, and anybody may ask for
//! many of them. So what is held at once is bounded.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::web::{Bytes, Data};
use ics_core::limits;

use super::face::Face;
use crate::room::Held;

/// From how many bytes on an answer is long, and by how many it counts.
const UNIT: usize = 64 * 1024;
/// How many such units may be held.
pub(super) const UNITS: usize = limits::ANSWERS_HELD_BYTES / UNIT;
/// How much is handed to the connection at once: actix copies it, and would hold the copy of a whole answer beside what
/// is counted.
const PORTION: usize = 32 * 1024;

/// An answer in portions.
struct Portions {
    rest: Bytes,
    _held: Held,
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

/// How many units an answer counts for; `None` if it is not long.
fn units(body: &BoxBody) -> Option<u32> {
    match body.size() {
        BodySize::Sized(bytes) if bytes >= UNIT as u64 => u32::try_from(bytes.div_ceil(UNIT as u64)).ok(),
        _ => None,
    }
}

/// Whether an answer is long.
pub(super) fn is_long(body: &BoxBody) -> bool {
    units(body).is_some()
}

/// The answer if it is not long, or there is room for it until the client has taken it; otherwise a refusal.
pub(super) fn bounded(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let Some(units) = units(response.response().body()) else { return response };
    let request = response.request();
    let Some(face) = request.app_data::<Data<Face>>() else { return response };
    match face.hold(request, units) {
        Ok(held) => response.map_body(|_, body| match body.try_into_bytes() {
            Ok(rest) => BoxBody::new(Portions { rest, _held: held }),
            Err(body) => body,
        }),
        Err(failure) => response.error_response(failure),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;
    use crate::http::watch::watch;

    fn face() -> Data<Face> {
        Data::new(Face::new(Party::found("devices.acme.example").open(), &Settings::default()))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_held_of_long_answers_is_bounded() {
        let face = face();
        let hold = |last: u8, units: usize| {
            let request = TestRequest::default().peer_addr(([192, 0, 2, last], 9).into()).to_http_request();
            face.hold(&request, u32::try_from(units).expect("fits")).ok()
        };
        let held: Vec<_> = (1..=4).map(|last| hold(last, UNITS / 4).expect("its network's part")).collect();
        assert!(hold(5, 1).is_none(), "one more than there is");
        drop(held);
        assert!(hold(5, UNITS / 4 + 1).is_none(), "one more than the part of a network");
        assert!(hold(5, UNITS / 4).is_some());
    }

    /// Otherwise whoever takes no answers could ask for more than fits into memory.
    #[test]
    fn a_long_answer_counts_until_it_is_taken() {
        let face = face();
        actix_web::rt::System::new().block_on(is_counted_until_taken(&face));
    }

    async fn is_counted_until_taken(face: &Data<Face>) {
        let others = u32::try_from(UNITS - 2).expect("fits");
        let _others = face.hold(&TestRequest::default().to_http_request(), others).expect("room");
        let route = web::get().to(|| async { HttpResponse::Ok().body(vec![7; UNIT + 1]) });
        let service = App::new().app_data(Data::clone(face)).route("/", route).wrap(from_fn(watch));
        let service = init_service(service).await;
        let ask = async || call_service(&service, TestRequest::get().uri("/").to_request()).await;
        let first = ask().await;
        assert_eq!((first.status(), ask().await.status()), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
        let taken = to_bytes(first.into_body()).await.expect("a body");
        assert_eq!(taken, vec![7; UNIT + 1]);
        assert_eq!(ask().await.status(), StatusCode::OK, "there is room again");
    }
}
