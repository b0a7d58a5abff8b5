//! The log of a domain: checkpoint, tiles, entries and proofs.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, header};
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::Stream;
use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ics_sync::packed;
use ics_sync::wire::{Again, Page};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc, watch};

use crate::api::problem::Code;
use crate::app::{App, AppError, Event, Reader};
use crate::http::answer::{self, OCTET_STREAM};
use crate::http::body::Json;
use crate::http::face::{Face, Heavy, Listening};
use crate::http::failure::Failure;
use crate::http::long;
use crate::http::request::{Domain, Reading};
use crate::untaken::{Taken, UNIT};

/// The media type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// How long a client may take for one event before it is let go. It is still sent the rest of that one.
const SLOW: Duration = Duration::from_secs(limits::HTTP_ANSWER_SECONDS);
/// The longest that a request may wait for news, in seconds.
pub(super) const LONGEST_WAIT_SECONDS: u64 = 60;

pub(super) async fn checkpoint(face: Data<Face>, domain: Domain) -> Result<HttpResponse, Failure> {
    let note = face.blocking(move |app| app.checkpoint(&domain.0)).await?;
    Ok(answer::bytes("text/plain; charset=utf-8", note))
}

#[derive(Debug, Deserialize)]
pub(super) struct TilePath {
    path: String,
}

/// A tile. A full one never changes again.
pub(super) async fn tile(face: Data<Face>, domain: Domain, path: Path<TilePath>) -> Result<HttpResponse, Failure> {
    let tile = face.blocking(move |app| app.tile(&domain.0, &format!("tile/{}", path.path))).await?;
    let caching = if tile.full { "public, max-age=31536000, immutable" } else { "no-cache" };
    let answer =
        HttpResponse::Ok().content_type(OCTET_STREAM).insert_header((header::CACHE_CONTROL, caching)).body(tile.bytes);
    Ok(answer)
}

/// A page of the feed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
    until: Option<u64>,
    /// Seconds to wait for an entry if there is none yet.
    wait: Option<u64>,
}

pub(super) async fn entries(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    query: Query<Range>,
) -> Result<HttpResponse, Failure> {
    let Range { from, limit, until, wait } = query.into_inner();
    let limit = limit.unwrap_or(limits::FEED_ENTRIES).min(limits::FEED_ENTRIES);
    let form = Form::of(&request);
    let asked = domain.0.clone();
    let read = move |app: &App| app.entries(reader.0, &asked, from, limit, until).map(|page| form.send(&page));
    let sent = if let (Some(wait), None) = (wait, until)
        && !face.app.has_more(&domain.0, from)?
    {
        let place = face.listen(&request, reader.0)?;
        let time = Duration::from_secs(wait.min(LONGEST_WAIT_SECONDS));
        // A node that stops has no more news.
        face.unless_closing(face.app.await_more(&domain.0, from, time)).await.transpose()?;
        // Many may have waited for the same news, and none of them is to be sent away now.
        face.heavy(Heavy::Page, place, read).await?
    } else {
        face.heavy(Heavy::Page, face.in_line()?, read).await?
    };
    paged(&face, &request, reader.0, &domain.0, sent)
}

/// How a page is sent: packed to mirrors, compressed too if they accept it; as JSON to everyone else.
#[derive(Debug, Clone, Copy)]
struct Form {
    packs: bool,
    compresses: bool,
}

/// A page as it travels.
struct Sent {
    media_type: &'static str,
    is_compressed: bool,
    bytes: Vec<u8>,
    /// The index after its last entry.
    upto: u64,
}

impl Form {
    fn of(request: &HttpRequest) -> Self {
        let packs = names(request, header::ACCEPT, packed::MEDIA_TYPE);
        Self { packs, compresses: packs && names(request, header::ACCEPT_ENCODING, packed::CODING) }
    }

    /// Encodes a page, which takes milliseconds if it is full.
    fn send(self, page: &Page) -> Sent {
        let bytes = if self.packs { packed::pack(page) } else { answer::json_bytes(page) };
        let compressed = if self.compresses { packed::compress(&bytes) } else { None };
        Sent {
            media_type: if self.packs { packed::MEDIA_TYPE } else { answer::JSON },
            is_compressed: compressed.is_some(),
            bytes: compressed.unwrap_or(bytes),
            upto: page.from + page.entries.len() as u64,
        }
    }
}

/// A page, if there is room for it until the client has taken it; notes how far the reader has come with it.
fn paged(
    face: &Face,
    request: &HttpRequest,
    reader: Reader,
    domain: &DomainName,
    sent: Sent,
) -> Result<HttpResponse, Failure> {
    let (upto, bytes) = (sent.upto, sent.bytes.len());
    let mut response = long::held(face, request, answer::bytes(sent.media_type, sent.bytes))?;
    face.app.served(reader, domain, upto, bytes);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if sent.is_compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packed::CODING));
    }
    Ok(response)
}

/// Whether a header that lists what is accepted names this very word with a quality other than 0.
fn names(request: &HttpRequest, header: HeaderName, word: &str) -> bool {
    let lines = request.headers().get_all(header).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(word));
        is_named && !parts.any(|part| part.starts_with("q=0") && !part.contains(|digit| ('1'..='9').contains(&digit)))
    })
}

/// How many entries a reader will have with what is shown again. Older nodes ignore it, and so does this one what newer
/// nodes may put beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Until {
    until: Option<u64>,
}

/// Entries that were hidden from a reader whose rights may have changed since.
pub(super) async fn again(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    query: Query<Until>,
    again: Json<Again>,
) -> Result<HttpResponse, Failure> {
    let again = Again { until: query.until, ..again.0 };
    let shown = move |app: &App| app.entries_again(reader.0, &domain.0, &again).map(|it| answer::json_bytes(&it));
    Ok(answer::bytes(answer::JSON, face.heavy(Heavy::Page, face.in_line()?, shown).await?))
}

/// Where news is to begin, for clients that cannot send `Last-Event-ID` with their first request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    from: Option<u64>,
}

/// News as server-sent events.
pub(super) async fn feed(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    query: Query<Since>,
) -> Result<HttpResponse, Failure> {
    let from = last_event(&request)?.or(query.from).unwrap_or(0);
    let mut listener = face.blocking(move |app| app.listen(reader.0, &domain.0, from)).await?;
    if request.method() == Method::HEAD {
        // Not of length 0, which would be that of the stream, too (RFC 9110, 8.6).
        return Ok(stream().streaming(futures_util::stream::empty::<Result<Bytes, Infallible>>()));
    }
    let place = face.listen(&request, reader.0)?;
    let next = async move || listener.next().await;
    Ok(stream().streaming(events(next, place, face.holder(&request), face.closing())))
}

/// The head of a stream of events.
pub(super) fn stream() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type(EVENT_STREAM).insert_header((header::CACHE_CONTROL, "no-store"));
    // Otherwise nginx holds events back until they fill a buffer.
    answer.insert_header(("x-accel-buffering", "no"));
    answer
}

/// The log size that the client has seen: the id of the last event.
pub(super) fn last_event(request: &HttpRequest) -> Result<Option<u64>, Failure> {
    let Some(value) = request.headers().get("last-event-id") else { return Ok(None) };
    let size = value.to_str().ok().and_then(|text| text.parse().ok());
    let malformed = || Failure::new(Code::MalformedRequest, "Last-Event-ID is not the size of a log");
    size.map(Some).ok_or_else(malformed)
}

/// Events for one client, one after the other, until it disconnects, is too slow, the node stops, or there is no room
/// for a long one. Each is made once nearly all of the one before is sent: what waited here would not be counted, and
/// many clients may each have long ones. A client that was too slow gets all that it missed at once when it reconnects.
pub(super) fn events(
    mut next: impl AsyncFnMut() -> Result<Event, AppError> + 'static,
    place: Listening,
    hold: impl Fn(usize) -> Option<Taken> + 'static,
    mut closing: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
    let (sender, mut receiver) = mpsc::channel(1);
    let wanted = Arc::new(Notify::new());
    let wants = Arc::clone(&wanted);
    actix_web::rt::spawn(async move {
        let _place = place;
        let made = async {
            while tokio::time::timeout(SLOW, wanted.notified()).await.is_ok() {
                let Ok(event) = next().await else { return };
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = sender.closed() => {}
            () = made => {}
        }
    });
    let (mut held, mut is_wanted) = (None, false);
    futures_util::stream::poll_fn(move |context| {
        // actix asks for more when nearly all is sent, and again whenever something happens.
        drop(held.take());
        if !core::mem::replace(&mut is_wanted, true) {
            wants.notify_one();
        }
        let event: Option<Event> = ready!(receiver.poll_recv(context));
        is_wanted = false;
        let Some(event) = event else { return Poll::Ready(None) };
        if event.len() >= UNIT {
            // It is copied for the connection.
            held = hold(2 * event.len());
            if held.is_none() {
                return Poll::Ready(None);
            }
        }
        Poll::Ready(Some(Ok(Bytes::from_owner(event))))
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Indexed {
    index: u64,
}

pub(super) async fn entry(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Indexed>,
) -> Result<HttpResponse, Failure> {
    face.record(move |app| app.entry(reader.0, &domain.0, path.index)).await
}

pub(super) async fn tlog_proof(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Indexed>,
) -> Result<HttpResponse, Failure> {
    let proof = face.blocking(move |app| app.tlog_proof(reader.0, &domain.0, path.index)).await?;
    Ok(answer::bytes("text/plain; charset=utf-8", proof))
}

pub(super) async fn erasure(
    face: Data<Face>,
    reader: Reading,
    domain: Domain,
    path: Path<Indexed>,
) -> Result<HttpResponse, Failure> {
    face.record(move |app| app.erasure(reader.0, &domain.0, path.index)).await
}

/// An entry, and the size of the tree that it is to be proven in; by default that of the newest checkpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inclusion {
    index: u64,
    size: Option<u64>,
}

pub(super) async fn inclusion(
    face: Data<Face>,
    domain: Domain,
    query: Query<Inclusion>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.inclusion(&domain.0, query.index, query.size)).await
}

/// Two sizes of the log; the second is by default that of the newest checkpoint.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistency {
    from: u64,
    to: Option<u64>,
}

pub(super) async fn consistency(
    face: Data<Face>,
    domain: Domain,
    query: Query<Consistency>,
) -> Result<HttpResponse, Failure> {
    face.json(move |app| app.consistency(&domain.0, query.from, query.to)).await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::rc::Rc;

    use actix_web::test::TestRequest;
    use futures_util::StreamExt as _;

    use super::*;
    use crate::config::PeerConfig;
    use crate::fixture::Party;
    use crate::http::Settings;
    use crate::tls::PeerKey;

    /// Its budget would be spent for nothing, and it would seem to have what it has not.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_for_which_there_is_no_room_is_not_charged_to_the_peer() {
        let key = PeerKey::of_node(&ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key());
        let peer = PeerConfig { key: Some(key), ..PeerConfig::new("shop.example".parse().expect("a name")) };
        let reader = Reader::Key(peer.pin().expect("a key"));
        let party = Party::found("devices.acme.example");
        let app = party.open_for(vec![peer]);
        for (answers_held, is_served) in [(0, false), (1 << 20, true)] {
            let face = Face::new(app.clone(), &Settings { answers_held, ..Settings::default() });
            let sent = Sent { media_type: OCTET_STREAM, is_compressed: false, bytes: vec![7; 1 << 16], upto: 1 };
            let request = TestRequest::default().to_http_request();
            let answered = paged(&face, &request, reader, &party.domain, sent);
            assert_eq!(answered.is_ok(), is_served);
            let served: usize = app.peers().iter().map(|it| it.serves.len()).sum();
            assert_eq!(served, usize::from(is_served));
        }
    }

    /// Each listener may begin where an entry is long, and take nothing.
    #[test]
    fn long_events_count_until_they_are_taken() {
        let app = Party::found("devices.acme.example").open();
        actix_web::rt::System::new().block_on(async {
            for (answers_held, length, is_sent) in [(0, UNIT - 1, true), (0, UNIT, false), (2 * UNIT, UNIT, true)] {
                let face = Face::new(app.clone(), &Settings { answers_held, ..Settings::default() });
                let request = TestRequest::default().to_http_request();
                let place = face.listen(&request, Reader::Anonymous).expect("a place");
                let event: Event = vec![7; length].into();
                let next = async move || Ok::<_, AppError>(Arc::clone(&event));
                let mut sent = pin!(events(next, place, face.holder(&request), face.closing()));
                assert_eq!(sent.next().await.is_some(), is_sent, "{length} bytes of {answers_held}");
                let has_room = face.hold(&request, 2 * UNIT).is_ok();
                assert!(!has_room, "what is sent counts, and more is not there");
                assert_eq!(sent.next().await.is_some(), is_sent, "{length} bytes of {answers_held}");
            }
        });
    }

    /// What waited for its client to take the one before would not be counted.
    #[test]
    fn an_event_is_made_when_the_one_before_is_taken() {
        let app = Party::found("devices.acme.example").open();
        actix_web::rt::System::new().block_on(async {
            let face = Face::new(app, &Settings::default());
            let request = TestRequest::default().to_http_request();
            let place = face.listen(&request, Reader::Anonymous).expect("a place");
            let made = Rc::new(Cell::new(0));
            let making = Rc::clone(&made);
            let next = async move || {
                making.set(making.get() + 1);
                Ok::<_, AppError>(Event::from(vec![7; UNIT]))
            };
            let mut sent = pin!(events(next, place, face.holder(&request), face.closing()));
            for number in 1..=3 {
                assert!(sent.next().await.is_some());
                // Whatever can go on meanwhile does.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(made.get(), number);
            }
        });
    }
}
