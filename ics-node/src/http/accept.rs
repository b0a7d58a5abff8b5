//! Which media type a client prefers (RFC 9110, 12.5.1).

use actix_web::HttpRequest;
use actix_web::http::header::{Accept, Header as _, Quality, QualityItem};
use actix_web::mime::Mime;

use super::answer::JSON;
use super::failure::{Failure, PROBLEM_JSON};
use crate::api::problem::Code;

/// The offer that the client prefers; of equals, the first.
///
/// An Accept header that cannot be parsed counts as absent; then the first offer is chosen.
///
/// # Errors
/// When the client accepts none of the offers.
pub(super) fn choose(request: &HttpRequest, offers: &[&'static str]) -> Result<&'static str, Failure> {
    let accepted = Accept::parse(request).map(|accept| accept.0).unwrap_or_default();
    let mut best: Option<(Quality, &'static str)> = None;
    for offer in offers {
        let quality = quality(&accepted, offer);
        if quality > best.map_or(Quality::ZERO, |(quality, _)| quality) {
            best = Some((quality, offer));
        }
    }
    best.map(|(_, offer)| offer)
        .ok_or_else(|| Failure::new(Code::NotAcceptable, format_args!("this exists as {}", offers.join(", "))))
}

/// The media type of pages.
const HTML: &str = "text/html";

/// Whether the client prefers a page to what programs read: browsers do, clients that accept anything do not.
pub(super) fn is_of_people(request: &HttpRequest) -> bool {
    choose(request, &[PROBLEM_JSON, JSON, HTML]).is_ok_and(|chosen| chosen == HTML)
}

/// The quality that the most specific matching range gives to a media type.
fn quality(accepted: &[QualityItem<Mime>], offer: &str) -> Quality {
    if accepted.is_empty() {
        return Quality::MAX;
    }
    let fitting = accepted.iter().filter_map(|range| Some((specificity(&range.item, offer)?, range.quality)));
    fitting.max_by_key(|(specificity, _)| *specificity).map_or(Quality::ZERO, |(_, quality)| quality)
}

/// How specifically a range matches a media type; `None` if it does not match.
fn specificity(range: &Mime, offer: &str) -> Option<u8> {
    let (kind, _) = offer.split_once('/')?;
    match range.essence_str() {
        "*/*" => Some(0),
        text if text == offer => Some(2),
        text => (range.subtype() == "*" && text.split_once('/')?.0 == kind).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn preference() {
        let offers = ["application/json", "application/pgp-keys", "text/plain"];
        for (accept, wanted) in [
            ("", Some("application/json")),
            ("*/*", Some("application/json")),
            ("application/*", Some("application/json")),
            ("application/pgp-keys", Some("application/pgp-keys")),
            ("application/pgp-keys, */*;q=0.1", Some("application/pgp-keys")),
            ("application/json;q=0.5, application/pgp-keys;q=0.6", Some("application/pgp-keys")),
            ("application/*;q=0.2, text/*", Some("text/plain")),
            ("application/json;q=0, application/*", Some("application/pgp-keys")),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some("application/json")),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert_eq!(choose(&request, &offers).ok(), wanted, "{accept}");
        }
    }

    #[test]
    fn pages_are_for_clients_that_ask_for_them() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", true),
            ("text/html", true),
            ("", false),
            ("*/*", false),
            ("application/json, text/plain, */*", false),
            ("application/json, text/html", false),
            ("application/json;q=0.9, text/html", true),
            ("application/octet-stream", false),
        ] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert_eq!(is_of_people(&request), expected, "{accept}");
        }
        assert!(!is_of_people(&TestRequest::default().to_http_request()));
    }
}
