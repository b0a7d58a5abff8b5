//! The public pages. A client whose TLS certificate entitles it to read more is shown more, as by the API.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use ics_core::gs1::DigitalLink;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{Pages, html, see_other};
use crate::api::ListQuery;
use crate::api::problem::Code;
use crate::app::{App, AppError, Found};
use crate::http::answer::{self, PGP_KEYS};
use crate::http::face::{Face, Heavy};
use crate::http::failure::Failure;
use crate::http::request::{Domain, proven};
use crate::web as draw;

/// How many things one page of a register shows: each is looked up in all domains.
const REGISTERED: usize = 50;

/// What was typed into the form.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
}

/// What of a register is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Sought {
    label: Option<String>,
    lot: Option<String>,
    after: Option<u64>,
}

/// The form or, if something was typed into it, what that leads to.
pub(super) async fn home(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    query: Query<Asked>,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.budget, &request) {
        return refused;
    }
    let Some(asked) = query.into_inner().q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
        return html(StatusCode::OK, draw::home(&pages.site, &face.app.purposes()));
    };
    if let Some(path) = printed_path(&asked) {
        return see_other(&path);
    }
    let (text, reader) = (asked.clone(), proven(&request));
    match face.blocking(move |app| app.spelled(reader, &text)).await {
        Ok(spelling) => see_other(&draw::path_of(&spelling)),
        Err(failure) => nothing(&pages, &asked, &failure),
    }
}

/// The path of an address read off a code, if every node resolves such paths, no matter which node the address names.
fn printed_path(asked: &str) -> Option<String> {
    let (_, rest) = asked.strip_prefix("https://").or_else(|| asked.strip_prefix("http://"))?.split_once('/')?;
    let path = rest.split(['?', '#']).next()?;
    let is_safe = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_safe && (path.starts_with("id/") || path.starts_with("01/"))).then(|| format!("/{path}"))
}

/// A thing, by any of its ids and names.
pub(super) async fn thing(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    query: Path<String>,
) -> HttpResponse {
    let query = query.into_inner();
    let path = draw::path_of(&query);
    let (asked, reader) = (query.clone(), proven(&request));
    found(&face, &pages, &request, (&asked, path), move |app| app.public_thing(reader, &query)).await
}

/// An item of a product, by the GS1 Digital Link printed on it.
pub(super) async fn digital_link(face: Data<Face>, pages: Data<Pages>, request: HttpRequest) -> HttpResponse {
    let part = |name| request.match_info().get(name).unwrap_or_default().to_owned();
    // Split before decoding: a serial number may contain a slash.
    let (gtin, rest) = (part("gtin"), part("rest"));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let rest: Vec<String> = rest.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let link = match DigitalLink::new(&gtin, rest.iter().map(String::as_str)) {
        Ok(link) => link,
        Err(error) => return pages.failure(&Failure::new(Code::MalformedPath, error)),
    };
    let serial = link.serial.as_ref().map(|serial| format!("/21/{}", draw::segment(serial))).unwrap_or_default();
    let path = format!("/01/{}{serial}", link.gtin);
    let asked = link.serial.clone().unwrap_or_else(|| link.gtin.to_string());
    let reader = proven(&request);
    found(&face, &pages, &request, (&asked, path), move |app| app.thing_of_link(reader, &link)).await
}

/// A thing that was asked for so, or by this path. All that is said of it is looked at. The page is drawn there, too:
/// it takes milliseconds, in which the thread that serves the connection would answer no gateway.
async fn found(
    face: &Face,
    pages: &Data<Pages>,
    request: &HttpRequest,
    (asked, path): (&str, String),
    look: impl FnOnce(&App) -> Result<Found, AppError> + Send + 'static,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.budget, request) {
        return refused;
    }
    let (own, name) = (Data::clone(pages), asked.to_owned());
    let drawn = move |app: &App| {
        look(app).map(|found| match found {
            Found::Thing(thing) => (StatusCode::OK, draw::thing(&own.site, &thing, &path)),
            Found::Several(things) => (StatusCode::MULTIPLE_CHOICES, draw::several(&own.site, &name, &things)),
        })
    };
    let made = async { face.heavy(Heavy::Record, face.under_way()?, drawn).await };
    match made.await {
        Ok((status, page)) => html(status, page),
        Err(failure) => nothing(pages, asked, &failure),
    }
}

/// Unknown and hidden things look alike; text that cannot be a name is refused as such.
fn nothing(pages: &Pages, asked: &str, failure: &Failure) -> HttpResponse {
    if failure.problem().code() == Code::UnknownIdentity.as_str() {
        html(StatusCode::NOT_FOUND, draw::nothing(&pages.site, asked))
    } else {
        pages.failure(failure)
    }
}

/// What a domain speaks of, or what has a label there or is of a lot, a page at a time.
pub(super) async fn register(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    domain: Result<Domain, Failure>,
    sought: Query<Sought>,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.budget, &request) {
        return refused;
    }
    // People type its name.
    let domain = match domain {
        Ok(Domain(domain)) => domain,
        Err(failure) => return pages.failure(&failure),
    };
    let Sought { label, lot, after } = sought.into_inner();
    // An empty field of the form is sent as well.
    let [label, lot] = [label, lot].map(|text| text.filter(|text| !text.is_empty()));
    let query = ListQuery { label, lot, after, limit: Some(REGISTERED), ..ListQuery::default() };
    let reader = proven(&request);
    let own = Data::clone(&pages);
    let drawn = move |app: &App| app.register(reader, &domain, &query).map(|it| draw::register(&own.site, &it));
    match face.blocking(drawn).await {
        Ok(page) => html(StatusCode::OK, page),
        Err(failure) => pages.failure(&failure),
    }
}

/// The keyring that gpg needs to check a thing offline.
pub(super) async fn keyring(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    domain: Domain,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.budget, &request) {
        return refused;
    }
    let id = percent_decode_str(request.match_info().query("id")).decode_utf8_lossy().into_owned();
    let reader = proven(&request);
    let keyring = move |app: &App| app.keyring(reader, &domain.0, &id).and_then(armored);
    // All evidence is put together for it, and checked.
    let made = async { face.heavy(Heavy::Proof, face.in_line()?, keyring).await };
    download(&pages, made.await)
}

/// One statement, certificate or descriptor as OpenPGP.
pub(super) async fn statement(
    face: Data<Face>,
    pages: Data<Pages>,
    request: HttpRequest,
    path: Path<(String, u64)>,
    domain: Domain,
) -> HttpResponse {
    if let Some(refused) = pages.refusal(&pages.budget, &request) {
        return refused;
    }
    let (index, reader) = (path.1, proven(&request));
    let body = move |app: &App| app.entry(reader, &domain.0, index).and_then(|entry| armored(entry.body));
    let made = async { face.heavy(Heavy::Record, face.under_way()?, body).await };
    download(&pages, made.await)
}

/// A file to keep, in ASCII armor. The page and the commands beside the link give its name; one in a header would
/// override that (HTML, "downloading resources").
fn download(pages: &Pages, armored: Result<Vec<u8>, Failure>) -> HttpResponse {
    match armored {
        Ok(bytes) => {
            let mut response = answer::bytes(PGP_KEYS, bytes);
            let kept = header::HeaderValue::from_static("attachment");
            response.headers_mut().insert(header::CONTENT_DISPOSITION, kept);
            response
        }
        Err(failure) => pages.failure(&failure),
    }
}

fn armored(bodies: Vec<u8>) -> Result<Vec<u8>, AppError> {
    answer::openpgp(PGP_KEYS, bodies)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::fixture::Party;
    use crate::http::Settings;

    /// It takes as much memory as the evidence, and anybody may ask for it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_keyring_waits_for_its_turn() {
        let (party, settings) = (Party::found("devices.acme.example"), Settings::default());
        let face = Data::new(Face::new(party.open(), &settings));
        let pages = Data::new(Pages::new(&face, &settings));
        let turns = face.all_turns(Heavy::Proof);
        let (request, domain) = (TestRequest::default().to_http_request(), Domain(party.domain.clone()));
        let mut asked = Box::pin(keyring(Data::clone(&face), pages, request, domain));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "there is no other");
        drop(turns);
        assert!(asked.await.status().is_client_error(), "nothing was asked for");
    }

    /// All that is said of a thing may have megabytes, and anybody may look at its page.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_page_of_a_thing_waits_for_its_turn() {
        let settings = Settings::default();
        let face = Data::new(Face::new(Party::found("devices.acme.example").open(), &settings));
        let pages = Data::new(Pages::new(&face, &settings));
        let turns = face.all_turns(Heavy::Record);
        let request = TestRequest::default().to_http_request();
        let mut asked = Box::pin(thing(Data::clone(&face), pages, request, Path::from("serial:1".to_owned())));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "there is no other");
        drop(turns);
        assert_eq!(asked.await.status(), StatusCode::NOT_FOUND, "there is none");
    }

    /// Whoever came back after two seconds would be refused again.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_may_be_asked_for_again_when_the_api_says_so() {
        let settings = Settings::default();
        let face = Face::new(Party::found("devices.acme.example").open(), &settings);
        let pages = Pages::new(&face, &settings);
        let refused = pages.failure(&AppError::too_often("x", 77).into());
        let told = refused.headers().get_all(header::RETRY_AFTER).collect::<Vec<_>>();
        assert_eq!(told, ["77"]);
    }

    #[test]
    fn only_printed_addresses_lead_anywhere() {
        for (asked, path) in [
            ("https://ics.acme.example/id/serial:SN-1", Some("/id/serial:SN-1")),
            ("http://ics.acme.example/01/09506000134352/21/7?x#y", Some("/01/09506000134352/21/7")),
            ("https://ics.acme.example//evil.example/id/", None),
            ("https://ics.acme.example/\\evil/id/", None),
            ("https://ics.acme.example/operator", None),
            ("https://ics.acme.example", None),
            ("serial:SN-1", None),
        ] {
            assert_eq!(printed_path(asked).as_deref(), path, "{asked}");
        }
    }
}
