//! What is said of watched things, for nodes that keep no copy: pushed by the home, or waited for.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use ics_sync::news::HEARTBEAT_SECONDS;
use ics_sync::wire::Watch;

use super::log::{EVENT_STREAM, LONGEST_WAIT_SECONDS, events, last_event, stream};
use crate::app::{Event, Watcher};
use crate::http::accept;
use crate::http::answer::{self, JSON};
use crate::http::body::Json;
use crate::http::face::Face;
use crate::http::failure::Failure;
use crate::http::request::{Domain, Reading};

/// A stream of record heads, or the next of them in one answer.
pub(super) async fn watch(
    face: Data<Face>,
    request: HttpRequest,
    reader: Reading,
    domain: Domain,
    what: Json<Watch>,
) -> Result<HttpResponse, Failure> {
    let what = what.0;
    let what = Watch { from: last_event(&request)?.unwrap_or(what.from), ..what };
    let streams = accept::choose(&request, &[JSON, EVENT_STREAM])? == EVENT_STREAM;
    let place = face.listen(&request, reader.0)?;
    let wait = Duration::from_secs(what.wait.unwrap_or_default().min(LONGEST_WAIT_SECONDS));
    // Before the use case counts them, which it does for all strangers together.
    let watched = face.watched(&request, Watcher::things(&what))?;
    let mut watcher = face.blocking(move |app| app.watch(reader.0, &domain.0, what)).await?;
    if !streams {
        let heads = match face.unless_closing(watcher.next(wait)).await {
            Some(heads) => heads?,
            // The node stops, and has no more news.
            None => watcher.next(Duration::ZERO).await?,
        };
        let answer = answer::json_bytes(&heads);
        watcher.served(answer.len());
        return Ok(answer::bytes(JSON, answer));
    }
    // The first event is sent at once, whatever it says, so that the client knows that events get through.
    let mut patience = Duration::ZERO;
    let next = async move || {
        // Held as long as the stream.
        let _watched = &watched;
        let heads = watcher.next(patience).await?;
        patience = Duration::from_secs(HEARTBEAT_SECONDS);
        let event: Event = heads.to_event().into();
        watcher.served(event.len());
        Ok(event)
    };
    Ok(stream().streaming(events(next, place, face.holder(&request), face.closing())))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use ics_core::limits;

    use super::*;
    use crate::app::Reader;
    use crate::fixture::Party;
    use crate::http::Settings;

    /// Many such requests at once would take the place of all strangers until each is refused.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_network_that_watches_enough_is_refused_before_it_counts_among_all() {
        let party = Party::found("devices.acme.example");
        let face = Data::new(Face::new(party.open(), &Settings::default()));
        let from = |last: u8| TestRequest::default().peer_addr(([192, 0, 2, last], 9).into()).to_http_request();
        let watched = |_| face.watched(&from(1), limits::WATCHED_PER_READER / 16).expect("room");
        let _watched: Vec<_> = (0..4).map(watched).collect();
        for (last, status) in [(1, 503), (2, 400)] {
            // The use case would refuse this, which is no id.
            let what = Watch { ids: vec!["no id".to_owned()], ..Watch::default() };
            let (reader, domain) = (Reading(Reader::Anonymous), Domain(party.domain.clone()));
            let asked = watch(Data::clone(&face), from(last), reader, domain, Json(what)).await;
            assert_eq!(asked.expect_err("is refused").problem().status, status);
        }
    }
}
