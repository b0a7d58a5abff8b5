//! What is said of watched things, for nodes that keep no copy: pushed by the home, or waited for.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use ics_sync::news::HEARTBEAT_SECONDS;
use ics_sync::wire::Watch;

use super::log::{EVENT_STREAM, LONGEST_WAIT_SECONDS, events, last_event, stream};
use crate::app::Event;
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
    let mut watcher = face.blocking(move |app| app.watch(reader.0, &domain.0, what)).await?;
    let watched = face.watched(&request, watcher.things())?;
    if !streams {
        let heads = watcher.next(wait).await?;
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
