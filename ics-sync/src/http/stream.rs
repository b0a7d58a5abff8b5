//! Events that a peer pushes, for as long as the connection lasts.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use reqwest::Response;

use super::{Meter, PeerError, STREAM_SECONDS, transport};
use crate::news::{Event, Events};

/// The media type of server-sent events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// A stream of events from a peer.
#[derive(Debug)]
pub struct EventStream<E> {
    response: Response,
    events: Events<E>,
    waiting: VecDeque<E>,
    meter: Meter,
    /// When it is to be opened anew.
    pub(super) until: Instant,
}

impl<E: Event> EventStream<E> {
    /// The events of an answer, if it is a stream of events.
    pub(super) fn of(response: Response, meter: Meter) -> Result<Self, PeerError> {
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !media_type.is_some_and(|given| given.starts_with(EVENT_STREAM)) {
            return Err(PeerError::Held);
        }
        let until = Instant::now() + Duration::from_secs(STREAM_SECONDS);
        Ok(Self { response, events: Events::default(), waiting: VecDeque::new(), meter, until })
    }

    /// Whether it has lasted long enough: what follows is to be heard from a new one, before this one ends as if
    /// something had failed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.until <= Instant::now()
    }

    /// The next piece of news. If dropped half-way, nothing is lost.
    ///
    /// # Errors
    /// When the stream ends, breaks, is silent for several heartbeats, or is not understood.
    pub async fn next(&mut self) -> Result<E, PeerError> {
        loop {
            if let Some(news) = self.waiting.pop_front() {
                return Ok(news);
            }
            let piece = self.response.chunk().await.map_err(transport)?.ok_or(PeerError::Ended)?;
            self.waiting.extend(self.events.take(&piece)?);
            self.meter.count(piece.len()).await;
        }
    }
}
