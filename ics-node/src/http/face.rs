//! What all handlers share: the use cases, the counters, and the limits on work under way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::EntityTag;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answer;
use super::everybody::{self, Paused};
use super::failure::Failure;
use super::metrics::Metrics;
use super::ocsp;
use super::server::Settings;
use crate::api::problem::Code;
use crate::app::{App, AppError, Depth, Reader};
use crate::background;
use crate::seats::{Kept, Seats};

/// What all handlers share.
pub(super) struct Face {
    /// The use cases.
    pub(super) app: App,
    /// The counters.
    pub(super) metrics: Metrics,
    /// The places for public connections.
    pub(super) seats: Arc<Seats>,
    /// Remembered OCSP answers.
    pub(super) ocsp: ocsp::Hot,
    /// The URL at which others reach the node, without a trailing slash.
    pub(super) url: String,
    /// How long a request's body may take to arrive.
    pub(super) request_timeout: Duration,
    /// Proxies whose word about the client's address is trusted.
    pub(super) trusted_proxies: Vec<IpAddr>,
    work: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    /// Places for submissions that wait for another node.
    pub(super) forwards: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

/// A place among the requests under way; given back when dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// A place among the clients that listen or wait; given back when dropped.
pub(super) struct Listening {
    _place: Place,
    _among_strangers: Option<Place>,
    /// The connection is kept as long and no longer. A client that is let go may take the last events as slowly as it
    /// likes, and then begin a request that it never finishes.
    _kept: Option<Kept>,
    _paused: Option<Paused>,
}

impl Listening {
    fn at(place: Place, among_strangers: Option<Place>) -> Self {
        let (kept, paused) = (everybody::kept(), everybody::paused());
        Self { _place: place, _among_strangers: among_strangers, _kept: kept, _paused: paused }
    }
}

impl Face {
    /// A face over the use cases.
    pub(super) fn new(app: App, settings: &Settings) -> Self {
        // A listener keeps its connection: strangers may hold at most half of these, too.
        let strangers = settings.max_listeners.div_ceil(2).min((settings.places() / 2).max(1));
        let seats = Arc::new(Seats::new("http", settings.places()));
        let metrics = Metrics::new();
        metrics.show(Arc::clone(&seats));
        Self {
            app,
            metrics,
            seats,
            ocsp: ocsp::Hot::default(),
            url: settings.public_url.trim_end_matches('/').to_owned(),
            request_timeout: settings.request_timeout,
            trusted_proxies: settings.pages.trusted_proxies.iter().map(IpAddr::to_canonical).collect(),
            work: Arc::new(Semaphore::new(settings.max_work)),
            uploads: Arc::new(Semaphore::new(settings.max_uploads)),
            forwards: Arc::new(Semaphore::new(settings.max_uploads)),
            listeners: Arc::new(Semaphore::new(settings.max_listeners)),
            strangers: Arc::new(Semaphore::new(strangers)),
            closing: watch::Sender::new(false),
        }
    }

    /// Takes a place for a request with a body. These are apart from the places for use cases: a client that sends
    /// slowly must not keep others from reading.
    ///
    /// # Errors
    /// At once, when all are taken.
    pub(super) fn upload(&self) -> Result<Place, Failure> {
        place(&self.uploads, "all places for requests with a body are taken")
    }

    /// Takes a place for a client that listens or waits for news. Strangers get half of the places at most, so that
    /// parties in the configuration always find one.
    ///
    /// # Errors
    /// At once, when all are taken.
    pub(super) fn listen(&self, reader: Reader) -> Result<Listening, Failure> {
        let full = "all places for listeners are taken";
        let among_strangers = self.app.is_stranger(reader).then(|| place(&self.strangers, full)).transpose()?;
        Ok(Listening::at(place(&self.listeners, full)?, among_strangers))
    }

    /// Becomes true once the node stops, and listeners are to be let go.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Lets all listeners go.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Runs a use case on a thread that may block. It keeps its place until it ends, even if the client is gone.
    ///
    /// # Errors
    /// When no place is free, or when the use case fails.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = place(&self.work, "all places for requests under way are taken")?;
        let app = self.app.clone();
        let done = web::block(move || {
            background::lower();
            let _place = place;
            work(&app)
        });
        Ok(done.await??)
    }

    /// Runs a use case as [`Face::blocking`] does and encodes its JSON on that thread too: for a long list that takes
    /// milliseconds, in which nobody else would be answered.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn json<T: Serialize>(
        &self,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<HttpResponse, Failure> {
        let json = self.blocking(move |app| work(app).map(|value| answer::json_bytes(&value))).await?;
        Ok(answer::bytes(answer::JSON, json))
    }

    /// Runs a use case on threads that take turns. It keeps its place until it ends, even if the client is gone.
    ///
    /// # Errors
    /// When no place is free, or when the use case panics.
    pub(super) async fn in_turns<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        let place = place(&self.work, "all places for requests under way are taken")?;
        let done = background::in_turns(async move {
            let _place = place;
            work.await
        });
        done.await.map_err(Failure::internal)
    }

    /// As [`Face::in_turns`], for what usually takes well under a millisecond and does not wait for the disk, if
    /// certificates are signed as quickly: on the thread that serves the connection, unless gateways ask there, or such
    /// work took longer there lately. Another thread would have to be woken, and this one again for the answer, which
    /// costs more than a quarter of what an ACME order takes.
    ///
    /// # Errors
    /// As [`Face::in_turns`].
    pub(super) async fn at_once<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        if background::is_spared() || !self.app.certifies_at_once() {
            return self.in_turns(work).await;
        }
        let place = place(&self.work, "all places for requests under way are taken")?;
        // A task of its own: what is begun is also ended if the client is gone.
        let done = actix_web::rt::spawn(async move {
            let _place = place;
            background::at_once(work).await
        });
        done.await.flatten().map_err(Failure::internal)
    }

    /// As [`Face::json`], with the answer's tag, for clients that may have the answer already.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn tagged<T: Serialize>(
        &self,
        request: &HttpRequest,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
        tag: impl FnOnce(&T) -> EntityTag + Send + 'static,
    ) -> Result<HttpResponse, Failure> {
        let made = move |app: &App| work(app).map(|value| (tag(&value), answer::json_bytes(&value)));
        let (tag, json) = self.blocking(made).await?;
        Ok(answer::tagged(request, tag, || answer::bytes(answer::JSON, json)))
    }

    /// Answers from memory at once, or else runs the use case on a thread that may block.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn hot<T: Send + 'static>(
        &self,
        ask: impl Fn(&App, Depth) -> Result<Option<T>, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        if let Some(answer) = ask(&self.app, Depth::Memory)? {
            background::note_answer(Instant::now());
            return Ok(answer);
        }
        let answer = self.blocking(move |app| ask(app, Depth::Store)).await?;
        answer.ok_or_else(|| Failure::internal("the store was not asked"))
    }
}

/// Takes a place at once or fails: a queue would only make everybody wait.
fn place(places: &Arc<Semaphore>, full: &str) -> Result<Place, Failure> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Failure::new(Code::Busy, full))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::fixture::Party;

    /// A gateway's question is not kept waiting by what takes longer, nor is that ended with its client's patience.
    #[tokio::test(flavor = "multi_thread")]
    async fn brief_work_is_done_at_once_unless_gateways_ask_here() {
        let face = Face::new(Party::found("devices.acme.example").open(), &Settings::default());
        let here = || std::thread::current().id();
        let worked = async {
            let own = here();
            let is_done_here = async || face.at_once(async move { here() == own }).await.expect("is done");
            assert!(is_done_here().await);
            let (ended, told) = tokio::sync::oneshot::channel();
            let work = async move {
                tokio::task::yield_now().await;
                ended.send(()).expect("is awaited");
            };
            let mut given_up = Box::pin(face.at_once(work));
            assert!((&mut given_up).now_or_never().is_none(), "it has only begun");
            drop(given_up);
            told.await.expect("it ends all the same");
            // Gateways that identify themselves are answered by the routes.
            face.hot(|_, _| Ok(Some(()))).await.expect("an answer");
            assert!(background::is_spared() && !is_done_here().await);
        };
        tokio::task::LocalSet::new().run_until(worked).await;
    }

    /// Otherwise whoever was let go often enough would have all seats.
    #[tokio::test]
    async fn a_listener_that_is_let_go_keeps_no_seat() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let is_room = || seats.take([192, 0, 2, 2].into()).is_some();
        let listens = async {
            let free = Arc::new(Semaphore::new(1));
            let listening = Listening::at(place(&free, "full").expect("a place"), None);
            assert!(!is_room());
            // It ends in the task that makes the events, while its connection goes on.
            tokio::spawn(async move { drop(listening) }).await.expect("ends");
            assert!(is_room());
        };
        everybody::in_seat(seat, listens).await;
    }
}
