//! What all handlers share: the use cases, the counters, and the limits on work under way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::EntityTag;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use ics_core::limits;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use super::answer;
use super::everybody::{self, Paused};
use super::failure::Failure;
use super::long;
use super::metrics::Metrics;
use super::ocsp;
use super::request::{network, served, whence};
use super::server::Settings;
use crate::api::problem::Code;
use crate::app::{App, AppError, Asker, Depth, Forwards, Reader, Sender};
use crate::background;
use crate::room::{Full, Held, Room};
use crate::seats::{Kept, Seats};
use crate::turns::Turns;
use crate::untaken::{Taken, Taker, Untaken};

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
    work: Room,
    /// The part of these places that work may have that waits for its turn.
    in_line: Room,
    /// Places for the questions of gateways that memory cannot answer, and of monitors: of those on this machine, and
    /// of all others.
    decisions: [Room; 2],
    /// Turns for work that takes much memory: of those whom the node knows, and of strangers.
    pages: [Turns; 2],
    records: [Turns; 2],
    proofs: [Turns; 2],
    attestations: [Turns; 2],
    uploads: Arc<Untaken>,
    /// Places for bodies from this machine, which come before these.
    uploads_here: Room,
    /// Places for submissions that wait for another node.
    forwards: Forwards,
    /// Places for strangers' questions that wait for another node.
    asking: Arc<Semaphore>,
    listeners: Room,
    watched: Room,
    answers: Arc<Untaken>,
    closing: watch::Sender<bool>,
}

/// Work that takes several times its megabytes while it is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heavy {
    /// A page of a log, or what may be as long.
    Page,
    /// A whole record, or what is made of one. Most are short, and wait for no page.
    Record,
    /// Evidence, a keyring or a case. Checking one may take long, for which no page waits.
    Proof,
    /// What is attested to a node without a copy, which waits for it a few seconds at most.
    Attestation,
}

/// Marks a request by which something was submitted.
struct Submitted;

/// A place among the clients that listen or wait; given back when dropped.
pub(super) struct Listening {
    _place: Held,
    /// The connection is kept as long and no longer. A client that is let go may take the last events as slowly as it
    /// likes, and then begin a request that it never finishes.
    _kept: Option<Kept>,
    _paused: Option<Paused>,
}

impl Listening {
    fn at(place: Held) -> Self {
        let (kept, paused) = (everybody::kept(), everybody::paused());
        Self { _place: place, _kept: kept, _paused: paused }
    }
}

impl Face {
    /// A face over the use cases.
    pub(super) fn new(app: App, settings: &Settings) -> Self {
        // Whoever listens, sends a body, or waits for an answer keeps their connection. However few there may be, what
        // strangers keep leaves places to newcomers.
        let part = |most: usize, parts: usize| most.min((settings.places() / parts).max(1));
        let (listeners, work) = (part(settings.max_listeners.div_ceil(2), 4), part(settings.max_work, 4));
        let (in_line, decisions) = (work.div_ceil(2), part(settings.max_work.div_ceil(4), 16).div_ceil(2));
        let (of_known, uploads_here) = (settings.max_work / 8, part(settings.max_uploads / 4, 32));
        // Who is known finds a place beside all strangers.
        let uploads = settings.max_uploads + settings.max_uploads / 8;
        let uploads = Room::parted(uploads, part(settings.max_uploads, 8), 4);
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
            work: Room::parted(work + of_known, work, 2),
            in_line: Room::parted(in_line + of_known, in_line, 4),
            decisions: [(); 2].map(|()| Room::parted(decisions + of_known, decisions, 4)),
            pages: [(); 2].map(|()| Turns::new(2 * settings.threads())),
            records: [(); 2].map(|()| Turns::new(4 * settings.threads())),
            proofs: [(); 2].map(|()| Turns::new(settings.threads())),
            attestations: [(); 2].map(|()| Turns::new(2 * settings.threads())),
            uploads: Arc::new(Untaken::of(uploads)),
            uploads_here: Room::parted(uploads_here, uploads_here, 1),
            forwards: Forwards::new(part(settings.max_uploads, 8)),
            asking: Arc::new(Semaphore::new(part(usize::MAX, 8))),
            listeners: Room::parted(settings.max_listeners, listeners, 4),
            watched: Room::parted(limits::WATCHED_PER_READER, limits::WATCHED_PER_READER, 4),
            answers: Arc::new(Untaken::new(settings.answers_held, long::PARTS)),
            closing: watch::Sender::new(false),
        }
    }

    /// Takes a place for a request with a body. These are apart from the places for use cases: a client that sends
    /// slowly must not keep others from reading. Nor do strangers of one network take the places of all, or strangers
    /// elsewhere those of gateways on this machine. If all are taken, the network whose bodies arrive at most of them
    /// is cut off from its oldest one: a few that send slowly would else keep all others from sending anything.
    ///
    /// # Errors
    /// At once, when none is left or made.
    pub(super) fn upload(&self, request: &HttpRequest) -> Result<Taken, Failure> {
        let (is_stranger, network) = whence(self, request);
        if network.is_none()
            && let Ok(here) = self.uploads_here.take(is_stranger, None)
        {
            return Ok(here.into());
        }
        let taker = Taker { is_stranger, network, cut: everybody::cut(), insists: false };
        self.uploads.take(1, taker).map_err(|full| busy(full, "requests with a body"))
    }

    /// The client that has sent a submission, which takes this place while it is handled here. It may be in the log by
    /// then, so it is cut off no more.
    pub(super) fn sender(&self, request: &HttpRequest, uploaded: Taken) -> Sender {
        uploaded.keep();
        request.extensions_mut().insert(Submitted);
        Sender::client(whence(self, request), uploaded, &self.forwards)
    }

    /// Takes a place for a client that listens or waits for news. Strangers get half of the places at most, so that
    /// parties in the configuration always find one, and those of one network a quarter of that.
    ///
    /// # Errors
    /// At once, when all are taken.
    pub(super) fn listen(&self, request: &HttpRequest, reader: Reader) -> Result<Listening, Failure> {
        let taken = self.listeners.take(self.app.is_stranger(reader), network(request));
        taken.map(Listening::at).map_err(|full| busy(full, "listeners"))
    }

    /// Takes room for so many things that a client watches. All strangers are one reader to the use cases, and one
    /// network gets a quarter of what that one may watch; each client that the node knows has as much for itself.
    ///
    /// # Errors
    /// At once, when there is none.
    pub(super) fn watched(&self, request: &HttpRequest, things: usize) -> Result<Option<Held>, Failure> {
        let (is_stranger, network) = whence(self, request);
        let count = u32::try_from(things).unwrap_or(u32::MAX);
        let taken = is_stranger.then(|| self.watched.take_many(count, true, network)).transpose();
        taken.map_err(|full| busy(full, "what is watched"))
    }

    /// Takes room for so many bytes of a long answer, until its client has taken it, or others need it more. What was
    /// submitted may be in the log by now, and its sender must learn of that: it insists.
    ///
    /// # Errors
    /// At once, when too much is held for others.
    pub(super) fn hold(&self, request: &HttpRequest, bytes: usize) -> Result<Taken, Failure> {
        let (is_stranger, network) = whence(self, request);
        let insists = request.extensions().contains::<Submitted>();
        let taker = Taker { is_stranger, network, cut: everybody::cut(), insists };
        self.answers.take(bytes, taker).map_err(|full| busy(full, "long answers"))
    }

    /// What takes room, as [`Face::hold`] does, for each long event that this client listens for.
    pub(super) fn holder(&self, request: &HttpRequest) -> impl Fn(usize) -> Option<Taken> + use<> {
        let ((is_stranger, network), answers) = (whence(self, request), Arc::clone(&self.answers));
        move |bytes| {
            let taker = Taker { is_stranger, network, cut: everybody::cut(), insists: false };
            answers.take(bytes, taker).ok()
        }
    }

    /// Has other nodes asked what a client's decisions need. The client waits in one place, however many they are. If
    /// too many strangers wait so, nobody is asked for another: as beyond an asker's share, the decision rests on what
    /// is kept.
    pub(super) async fn roam(&self, asker: Asker, asking: impl Future) {
        if let Ok(_place) = self.place_to_ask(asker) {
            asking.await;
        }
    }

    /// A place from which a stranger waits for other nodes; whoever is known needs none.
    fn place_to_ask(&self, asker: Asker) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        asker.is_stranger().then(|| Arc::clone(&self.asking).try_acquire_owned()).transpose()
    }

    /// Takes a place for a use case at once or fails: a queue would only make everybody wait. Strangers of one network
    /// get half of the places at most, and leave some to those whom the node knows.
    ///
    /// # Errors
    /// When all are taken.
    pub(super) fn under_way(&self) -> Result<Held, Failure> {
        let (is_stranger, network) = served();
        self.work.take(is_stranger, network).map_err(|full| busy(full, "requests under way"))
    }

    /// As [`Face::under_way`], for work that may wait long for its turn. All of it has half of the strangers' places,
    /// and one network a quarter of that: however many wait, others are answered that need no turn.
    ///
    /// # Errors
    /// As [`Face::under_way`].
    pub(super) fn in_line(&self) -> Result<(Held, Held), Failure> {
        let (is_stranger, network) = served();
        let place = self.under_way()?;
        let in_line = self.in_line.take(is_stranger, network);
        Ok((place, in_line.map_err(|full| busy(full, "what waits for its turn"))?))
    }

    /// Becomes true once the node stops, and listeners are to be let go.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// What this comes to; `None` if the node stops before.
    pub(super) async fn unless_closing<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        let mut closing = self.closing();
        tokio::select! {
            come = awaited => Some(come),
            _ = closing.wait_for(|closing| *closing) => None,
        }
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
        self.block(self.under_way()?, work).await
    }

    /// As [`Face::blocking`], for the questions of a gateway or a monitor, which have places of their own besides:
    /// however much else is under way, they are answered.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (is_stranger, network) = served();
        let [here, elsewhere] = &self.decisions;
        let places = if network.is_none() { here } else { elsewhere };
        let place = places.take(is_stranger, network).or_else(|_| self.under_way())?;
        self.block(place, work).await
    }

    /// As [`Face::blocking`], for heavy work. Only a few are at it at once; the others wait for their turn, in a place
    /// that they have already, and networks take turns.
    ///
    /// # Errors
    /// When the use case fails.
    pub(super) async fn heavy<T: Send + 'static>(
        &self,
        what: Heavy,
        place: impl Send + 'static,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        let [of_known, of_strangers] = self.turns(what);
        let (is_stranger, network) = served();
        let turns = if is_stranger { of_strangers } else { of_known };
        let turn = turns.take(network).await.map_err(Failure::internal)?;
        self.block((place, turn), work).await
    }

    const fn turns(&self, what: Heavy) -> &[Turns; 2] {
        match what {
            Heavy::Page => &self.pages,
            Heavy::Record => &self.records,
            Heavy::Proof => &self.proofs,
            Heavy::Attestation => &self.attestations,
        }
    }

    /// All turns of strangers, so that no other work of this kind is begun.
    #[cfg(test)]
    pub(super) fn all_turns(&self, what: Heavy) -> OwnedSemaphorePermit {
        let [_, of_strangers] = self.turns(what);
        of_strangers.take_all()
    }

    /// Runs a use case on a thread that may block, and holds this until it ends.
    async fn block<T: Send + 'static>(
        &self,
        held: impl Send + 'static,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        let app = self.app.clone();
        let done = web::block(move || {
            background::lower();
            let _held = held;
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

    /// As [`Face::json`], in its turn among records: for what is made of all that is said of a thing, or has the length
    /// of a body.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn record<T: Serialize>(
        &self,
        work: impl FnOnce(&App) -> Result<T, AppError> + Send + 'static,
    ) -> Result<HttpResponse, Failure> {
        let made = move |app: &App| work(app).map(|value| answer::json_bytes(&value));
        let json = self.heavy(Heavy::Record, self.under_way()?, made).await?;
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
        let place = self.under_way()?;
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
        let place = self.under_way()?;
        let done = background::at_once(async move {
            let _place = place;
            work.await
        });
        done.await.ok_or_else(|| Failure::internal("what was asked for panicked"))
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

    /// Answers from memory at once, or else runs the use case on a thread that may block, in its turn if it is heavy.
    ///
    /// # Errors
    /// As [`Face::blocking`].
    pub(super) async fn hot<T: Send + 'static>(
        &self,
        heavy: Option<Heavy>,
        ask: impl Fn(&App, Depth) -> Result<Option<T>, AppError> + Send + 'static,
    ) -> Result<T, Failure> {
        if let Some(answer) = ask(&self.app, Depth::Memory)? {
            background::note_answer(Instant::now());
            return Ok(answer);
        }
        let (place, read) = (self.under_way()?, move |app: &App| ask(app, Depth::Store));
        let answer = match heavy {
            Some(what) => self.heavy(what, place, read).await?,
            None => self.block(place, read).await?,
        };
        answer.ok_or_else(|| Failure::internal("the store was not asked"))
    }
}

/// The failure when there is no place.
fn busy(full: Full, whom: &str) -> Failure {
    let detail = match full {
        Full::All => format!("all places for {whom} are taken"),
        Full::Network(_) => format!("all places for {whom} from this network are taken"),
    };
    Failure::new(Code::Busy, detail)
}

#[cfg(test)]
mod tests;
