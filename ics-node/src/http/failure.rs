//! Errors that leave over HTTP, as problem documents of RFC 9457.

use std::fmt;

use actix_web::error::BlockingError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};

use super::answer::json_bytes;
use crate::api::Problem;
use crate::api::problem::Code;
use crate::app::AppError;

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds after which a client that was turned away should try again, unless it is known when there is room.
const RETRY_AFTER_SECONDS: u64 = 2;

/// A problem on its way to the client. What a stranger must not see of it is already in the log and left out here.
#[derive(Debug)]
pub(super) struct Failure {
    problem: Problem,
    /// After how many seconds the client may try again, if that is known.
    retry_after: Option<u64>,
}

impl Failure {
    /// A problem found by the HTTP face itself.
    #[must_use]
    pub(super) fn new(code: Code, detail: impl fmt::Display) -> Self {
        Problem::of(code, detail.to_string()).into()
    }

    /// The problem document.
    pub(super) const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// After how many seconds the client may try again, if that is known.
    pub(super) const fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The node failed: the cause goes to the log, an id for it to the client.
    #[must_use]
    pub(super) fn internal(cause: impl fmt::Display) -> Self {
        let id = error_id();
        tracing::error!(error_id = %id, cause = %cause, "the node failed");
        Self::new(Code::Internal, format_args!("the node's log has the cause under the id `{id}`"))
    }
}

/// A random id of 16 hex digits for a log entry; it is not secret.
pub(super) fn error_id() -> String {
    getrandom::u64().map_or_else(|_| "unknown".to_owned(), |id| format!("{id:016x}"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem.title, self.problem.detail)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        response.content_type(PROBLEM_JSON).insert_header((header::CACHE_CONTROL, "no-store"));
        advise(&mut response, status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        response.body(json_bytes(&self.problem))
    }
}

/// Adds the headers that RFC 9110 requires with some statuses (10.2.3, 11.6.1), to documents and pages alike.
pub(super) fn advise(response: &mut HttpResponseBuilder, status: StatusCode) {
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        StatusCode::UNAUTHORIZED => {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        _ => {}
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        let (problem, retry_after) = (error.problem(), error.retry_after());
        if problem.status == Code::Internal.status() { Self::internal(error) } else { Self { problem, retry_after } }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, retry_after: None }
    }
}

impl From<BlockingError> for Failure {
    /// A use case panicked, or the server is shutting down.
    fn from(error: BlockingError) -> Self {
        Self::internal(error)
    }
}

/// The problem code for a status that actix-web chose by itself.
pub(super) fn code_for(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::UnknownRoute,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::NOT_ACCEPTABLE => Code::NotAcceptable,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::HeadersTooLarge,
        status if status.is_server_error() => Code::Internal,
        _ => Code::MalformedRequest,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::web;

    use super::*;

    async fn text(failure: &Failure) -> String {
        let body = to_bytes(failure.error_response().into_body()).await.expect("a body");
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_cause_stays_in_the_log() {
        let failure = Failure::internal("database /secret/path is broken");
        let text = text(&failure).await;
        assert_eq!(failure.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(text.contains("urn:ics:problem:internal") && !text.contains("secret"), "{text}");
        let again = Failure::internal("again");
        assert!(!again.problem.detail.contains(&failure.problem.detail), "every failure has its own id");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_node() {
        let panicked = web::block(|| -> () { panic!("secret") }).await.expect_err("panicked");
        let failure = Failure::from(panicked);
        assert_eq!(failure.status_code(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!text(&failure).await.contains("secret"));
    }

    #[test]
    fn when_there_is_room_again_is_told_if_it_is_known() {
        let told = |error: AppError| Failure::from(error).error_response().headers().get(header::RETRY_AFTER).cloned();
        let known = AppError::too_often("x", 77);
        let unknown = AppError::new(Code::TooManyRequests, "x");
        let expected = [77, RETRY_AFTER_SECONDS].map(|seconds| Some(header::HeaderValue::from(seconds)));
        assert_eq!([known, unknown].map(told), expected);
    }

    #[test]
    fn headers_that_go_with_a_status() {
        let response = |code| Failure::new(code, "x").error_response();
        assert!(response(Code::Busy).headers().contains_key(header::RETRY_AFTER));
        assert!(response(Code::OperatorOnly).headers().contains_key(header::WWW_AUTHENTICATE));
        for code in Code::ALL {
            let response = response(*code);
            assert_eq!(response.status().as_u16(), code.status());
            assert_eq!(response.headers().get(header::CONTENT_TYPE).expect("a type"), PROBLEM_JSON);
        }
    }
}
