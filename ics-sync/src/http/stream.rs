//! Events that a peer pushes, for as long as the connection lasts.

use std::collections::VecDeque;

use reqwest::Response;

use super::{Meter, PeerError, transport};
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
}

impl<E: Event> EventStream<E> {
    /// The events of an answer, if it is a stream of events.
    pub(super) fn of(response: Response, meter: Meter) -> Result<Self, PeerError> {
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if !media_type.is_some_and(|given| given.starts_with(EVENT_STREAM)) {
            return Err(PeerError::Held);
        }
        Ok(Self { response, events: Events::default(), waiting: VecDeque::new(), meter })
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
