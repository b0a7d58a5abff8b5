//! The socket of a session: reads, writes, waits, and cuts off clients that are too slow.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortRegistration, Abortable, FutureExt as _};
use ics_core::limits;
use ldap3_proto::proto::LdapResultCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::hot::Hot;
use super::places::Places;
use super::search::Place;
use super::session::{Next, Session};
use super::work::Working;
use crate::app::Forwards;
use crate::room::{Held, Room};
use crate::seats::{Kept, Seated};
use crate::tls::{KeyPin, proven_key};
use crate::untaken::{Taken, Taker, Untaken};

/// What all connections share.
pub(super) struct Shared {
    pub(super) place: Arc<Place>,
    pub(super) hot: Arc<Hot>,
    pub(super) tls: Option<TlsAcceptor>,
    /// How long the rest of a message, or of a handshake, may take once it has begun, and how long a client may take
    /// none of an answer.
    pub(super) patience: Duration,
    /// How long a client may ask for nothing before it is disconnected.
    pub(super) idle: Duration,
    /// Limits how many operations run at once.
    pub(super) places: Places,
    /// Limits how much is held for clients.
    pub(super) untaken: Arc<Untaken>,
    /// Limits how many submissions wait for other nodes at once.
    pub(super) forwards: Arc<Forwards>,
    /// Limits how many long messages arrive at once.
    pub(super) long: Room,
}

/// A connection without TLS, or with it.
enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// The socket is elsewhere: a TLS handshake is under way.
    Closed,
}

/// Longer than any connection lasts.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// From how many bytes on it is counted what is held for a client.
const MUCH: usize = 64 * 1024;
/// How many bytes are read at once.
const READ_BYTES: usize = 16 * 1024;
/// As [`READ_BYTES`], for TLS, where the buffer is held while the connection waits.
const TLS_READ_BYTES: usize = 4 * 1024;

impl Link {
    fn proven(&self) -> Option<KeyPin> {
        match self {
            Self::Tls(stream) => proven_key(stream.get_ref().1),
            Self::Plain(_) | Self::Closed => None,
        }
    }

    /// Reads what has arrived, waiting until something has; `false` at the end of the stream.
    async fn read(&mut self, session: &mut Session) -> io::Result<bool> {
        match self {
            Self::Plain(stream) => loop {
                stream.readable().await?;
                // On the stack, and gone before the next wait: an idle connection holds no buffer.
                let mut bytes = [0; READ_BYTES];
                match stream.try_read(&mut bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                    Ok(count) => {
                        session.receive(bytes.get(..count).unwrap_or_default());
                        return Ok(count > 0);
                    }
                }
            },
            Self::Tls(stream) => {
                let mut bytes = [0; TLS_READ_BYTES];
                let count = stream.read(&mut bytes).await?;
                session.receive(bytes.get(..count).unwrap_or_default());
                Ok(count > 0)
            }
            Self::Closed => Ok(false),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes).await,
            Self::Tls(stream) => stream.write(bytes).await,
            Self::Closed => Ok(0),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) | Self::Closed => Ok(()),
            Self::Tls(stream) => stream.flush().await,
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Closed => Ok(()),
        }
    }
}

/// One connection, until it ends.
pub(super) struct Connection {
    link: Link,
    session: Session,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    /// Changes with every commit.
    news: watch::Receiver<u64>,
    /// When searches that persist were last made to look again.
    woken_at: Instant,
    /// When the message that has not yet arrived in full began.
    began: Option<Instant>,
    long: Option<Held>,
    seated: Seated,
    /// Keeps the place once the client is known.
    kept: Option<Kept>,
    /// Room for what is held for the client, if that is much.
    counted: Option<Taken>,
    /// Whether a part of a message may have been sent, and not the rest.
    is_sending: bool,
}

impl Connection {
    /// Serves a client until either side ends the connection, or it is cut off; `secure` means TLS from the first byte.
    pub(super) async fn serve(
        shared: Arc<Shared>,
        stream: TcpStream,
        secure: bool,
        stopped: watch::Receiver<bool>,
        (seated, cut): (Seated, AbortRegistration),
    ) {
        let mut connection = None;
        let serving = Self::serve_in(&mut connection, shared, stream, secure, stopped, seated);
        let is_cut = Abortable::new(serving, cut).await.is_err();
        if let Some(mut connection) = connection.filter(|_| is_cut) {
            connection.take_leave();
        }
    }

    /// As [`Connection::serve`]; leaves the connection in `place`, also if it is cut off.
    async fn serve_in(
        place: &mut Option<Self>,
        shared: Arc<Shared>,
        stream: TcpStream,
        secure: bool,
        stopped: watch::Receiver<bool>,
        seated: Seated,
    ) {
        let link = match (secure, &shared.tls) {
            (false, _) => Link::Plain(stream),
            (true, Some(tls)) => match timeout(shared.patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => Link::Tls(Box::new(stream)),
                Ok(Err(_)) | Err(_) => return,
            },
            (true, None) => return,
        };
        let mut session = Session::new(Arc::clone(&shared.place), Arc::clone(&shared.hot), secure, link.proven());
        session.comes_from(seated.network());
        let news = shared.place.app.commits();
        let (woken_at, began, long, kept, counted) = (Instant::now(), None, None, None, None);
        let is_sending = false;
        let connection =
            Self { link, session, shared, stopped, news, woken_at, began, long, seated, kept, counted, is_sending };
        if let Err(error) = place.insert(connection).run().await {
            tracing::debug!(%error, "an LDAP connection ended");
        }
    }

    /// Tells a client that is cut off because others need its place, if that can be sent at once.
    fn take_leave(&mut self) {
        if self.is_sending {
            return;
        }
        self.session.end(LdapResultCode::Busy, "others need the place of this connection");
        let leaving = async {
            self.send().await?;
            self.link.close().await
        };
        if leaving.now_or_never().is_none() {
            tracing::debug!("an LDAP client was not told that it is cut off");
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let next = self.session.next();
            // Checked each time round: a client that pipelines never waits, but must be noticed when it becomes known.
            let is_known = self.session.is_known();
            if is_known != self.kept.is_some() {
                self.kept = is_known.then(|| self.seated.kept());
            }
            let for_job = if let Next::Job(job) = &next { job.held() } else { 0 };
            if !self.count(for_job, is_known) {
                // Answers that were not sent have no room either.
                *self.session.output() = Vec::new();
                self.session.end(LdapResultCode::Busy, "too much is held for others");
                continue;
            }
            match next {
                Next::Wait => {
                    self.send().await?;
                    if !self.wait().await? {
                        return Ok(());
                    }
                }
                Next::Flush => self.send().await?,
                Next::Job(job) => {
                    let (network, forwards) = (self.seated.network(), Arc::clone(&self.shared.forwards));
                    let work = self.shared.places.take(job.is_long(), (!is_known, network));
                    let work = work.await.map_err(io::Error::other)?;
                    let work = Working { place: work, network, forwards };
                    let place = Arc::clone(&self.shared.place);
                    // What the previous part produced is sent while the next is made; a client that is slow to take it
                    // holds up nobody else's work.
                    let run = async move {
                        let done = job.run(place, work).await;
                        // A pause is slept here, outside the work, so that it keeps nobody else from working.
                        if let Some(pause) = done.pause() {
                            tokio::time::sleep(pause).await;
                        }
                        done
                    };
                    let (done, sent) = tokio::join!(run, self.send_if_much());
                    sent?;
                    self.session.done(done);
                    self.look().await?;
                }
                Next::StartTls => {
                    self.send().await?;
                    if !self.start_tls().await {
                        return Ok(());
                    }
                }
                Next::End => {
                    self.send().await?;
                    return timeout(self.shared.patience, self.link.close()).await.unwrap_or(Ok(()));
                }
            }
        }
    }

    /// Counts what is held for the client, if it is much, until this is called again. It may wait for its turn, or for
    /// the client to take it. `false` if there is no room.
    fn count(&mut self, for_job: usize, is_known: bool) -> bool {
        self.counted = None;
        let bytes = self.session.held() + for_job;
        if bytes < MUCH {
            return true;
        }
        let (network, cut) = (self.seated.network(), Some(self.seated.cut()));
        let taker = Taker { is_stranger: !is_known, network, cut, insists: false };
        self.counted = self.shared.untaken.take(bytes, taker).ok();
        self.counted.is_some()
    }

    /// Waits for more input; `false` when none will come.
    async fn wait(&mut self) -> io::Result<bool> {
        let unread = self.session.unread();
        if unread == 0 {
            (self.began, self.long) = (None, None);
        } else if self.session.has_read() {
            // This is a new message, not the one that had begun before.
            (self.began, self.long) = (Some(Instant::now()), None);
        }
        let persists = self.session.persists();
        let patience = match self.began {
            // A client that waits for news asks for nothing; if it is gone, that shows when it takes no news.
            None if persists => FOR_EVER,
            None => self.shared.idle,
            Some(began) => self.shared.patience.saturating_sub(began.elapsed()),
        };
        // Counted from the last look: whatever the client asks for meanwhile does not put off the next one.
        let look_at = self.woken_at + Duration::from_secs(limits::LDAP_PERSIST_SECONDS);
        let (link, session, news) = (&mut self.link, &mut self.session, &mut self.news);
        let read = tokio::select! {
            read = timeout(patience, link.read(session)) => read.ok().transpose()?,
            _ = timeout_at(look_at, news.changed()), if persists => {
                self.woken_at = Instant::now();
                self.session.wake();
                return Ok(true);
            }
            _ = self.stopped.wait_for(|stopped| *stopped) => {
                self.session.end(LdapResultCode::Unavailable, "the server stops");
                return Ok(true);
            }
        };
        match (read, self.began) {
            (Some(more), _) => return Ok(self.has_read(more, unread)),
            (None, Some(_)) => {
                self.session.end(LdapResultCode::ProtocolError, "the message did not arrive in time");
            }
            (None, None) => self.session.end(LdapResultCode::Unavailable, "nothing was asked for in a long time"),
        }
        Ok(true)
    }

    /// Records that something was read; returns whether more may come.
    fn has_read(&mut self, more: bool, unread: usize) -> bool {
        if !more {
            return false;
        }
        if unread == 0 {
            self.began = Some(Instant::now());
        }
        if self.session.unread() > limits::LDAP_REQUEST_BYTES && self.long.is_none() {
            self.long = self.shared.long.take(!self.session.is_known(), self.seated.network()).ok();
            if self.long.is_none() {
                self.session.end(LdapResultCode::Busy, "too many long messages arrive at once");
            }
        }
        true
    }

    /// Reads what has arrived while an operation was being worked on: it may be a request to stop.
    async fn look(&mut self) -> io::Result<()> {
        if !self.session.takes_more() {
            return Ok(());
        }
        let unread = self.session.unread();
        let (link, session) = (&mut self.link, &mut self.session);
        let read = tokio::select! {
            biased;
            read = link.read(session) => read?,
            () = std::future::ready(()) => return Ok(()),
        };
        self.has_read(read, unread);
        // The other side has closed: nobody is waiting for the rest.
        if read { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn send_if_much(&mut self) -> io::Result<()> {
        if self.session.output().len() >= 64 * 1024 { self.send().await } else { Ok(()) }
    }

    /// Sends all output; a client that takes none of it for too long is cut off.
    async fn send(&mut self) -> io::Result<()> {
        let patience = self.shared.patience;
        let mut output = std::mem::take(self.session.output());
        let mut rest = output.as_slice();
        while !rest.is_empty() {
            self.is_sending = true;
            let sent = timeout(patience, self.link.write(rest)).await.map_err(io::Error::from)??;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(sent..).unwrap_or_default();
        }
        self.is_sending = false;
        timeout(patience, self.link.flush()).await.map_err(io::Error::from)??;
        output.clear();
        if output.capacity() <= READ_BYTES {
            *self.session.output() = output;
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> bool {
        let Some(tls) = self.shared.tls.clone() else { return false };
        // The socket is moved out of the connection for the duration of the handshake.
        let (stream, patience) = match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Plain(stream) => (stream, self.shared.patience),
            Link::Tls(_) | Link::Closed => return false,
        };
        match timeout(patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.link = Link::Tls(Box::new(stream));
                self.session.secured(self.link.proven());
                true
            }
            _ => false,
        }
    }
}
