//! The server at the public addresses, which always has a place for one more client.
//!
//! It is assembled from actix's parts. Actix's own `HttpServer` accepts a fixed number of connections and then no more
//! until one ends, and exposes none of them before its TLS handshake: a client that opens that many and asks for
//! nothing keeps everyone else out, even for ever if it begins a second request and never finishes it, since actix sets
//! no time limit for that. Here each connection has a seat from its first moment ([`crate::seats`]), and keeps it while
//! its client waits for an answer or listens for news. Of the others those are cut to which nothing was sent for longer
//! than an idle connection is kept, or a request may take. One look at all of them now and then finds these, so
//! that requests start no timers and read no clock; actix would start one with each answer.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_tls::accept::{TlsError, max_concurrent_tls_connect};
use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::TcpStream;
use futures_util::future::{Abortable, Either, FutureExt as _, ready};
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use super::server::{ServeError, Settings, listen_failed};
use crate::seats::{Cut, Kept, Seated, Seats, Sending};

/// How many connections the system queues until they are accepted.
const BACKLOG: i32 = 1024;
/// How long closing a connection may take.
const ENDING: Duration = Duration::from_secs(1);
/// How much is read before actix looks at it. It makes requests of all that it has then, 128 KiB if it is left to
/// itself, and a request takes some fifty times the room of the few bytes that can ask for something.
const BURST: usize = 8 * 1024;
/// How much a client may send while it has nothing to say: enough to notice soon that it is gone. actix would hold 16
/// requests of 128 KiB each and, with as much besides, look at them again and again without a pause.
const AHEAD: usize = 16 * 1024;

tokio::task_local! {
    /// The seat of the connection being served.
    static SEAT: Seated;
}

/// Keeps the place of the connection whose request is being served until the returned value is dropped, even by another
/// task. `None` outside requests to this server.
pub(super) fn kept() -> Option<Kept> {
    SEAT.try_with(Seated::kept).ok()
}

/// What cuts the connection whose request is being served. `None` outside requests to this server.
pub(super) fn cut() -> Option<Cut> {
    SEAT.try_with(Seated::cut).ok()
}

/// Notes that the client whose request is being served has said all that is needed for its answer: nearly nothing is
/// read of what it sends until the returned value is dropped. `None` outside requests to this server.
pub(super) fn paused() -> Option<Paused> {
    let sending = SEAT.try_with(Seated::sending).ok()?;
    sending.pause();
    Some(Paused(sending))
}

/// See [`paused`]. It must be dropped before the answer ends: once the last of the answer is sent, reading goes on.
pub(super) struct Paused(Arc<Sending>);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.resume();
    }
}

/// Runs something as requests of a connection in this seat are.
#[cfg(test)]
pub(super) async fn in_seat<F: Future>(seat: Seated, work: F) -> F::Output {
    SEAT.scope(seat, work).await
}

/// Listens at these addresses, with TLS if configured; returns the server and the addresses with the ports that it got.
///
/// # Errors
/// When an address cannot be listened on.
pub(super) fn serve<F, S>(
    (settings, seats): (&Settings, &Arc<Seats>),
    (addresses, tls): (&[SocketAddr], Option<&ServerConfig>),
    app: F,
    begin: impl Fn(&dyn Any, &mut Extensions) + Clone + Send + 'static,
) -> Result<(Server, Vec<SocketAddr>), ServeError>
where
    F: Fn() -> S + Clone + Send + 'static,
    S: ServiceFactory<Request, Config = AppConfig, Response = Response<BoxBody>, Error = Error> + 'static,
    S::InitError: Debug,
    S::Future: 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
{
    // Seats bound handshakes. Actix's own bound could be used up by handshakes that stall, and others would queue
    // behind it.
    max_concurrent_tls_connect(usize::MAX);
    let mut server = Server::build()
        .workers(settings.threads())
        .max_concurrent_connections(settings.max_connections)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals();
    let stops = server.graceful_shutdown_signal();
    let parts = Parts {
        app: move || map_config::<S, S, Request, _, ()>(app(), |()| AppConfig::default()),
        begin,
        stopped: move || {
            let stops = stops.clone();
            async move { stops.notified().await }
        },
        patience: settings.request_timeout,
    };
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| listen_failed("[node] listen", *address, source);
        let listener = bind(*address).map_err(failed)?;
        bound.push(listener.local_addr().map_err(failed)?);
        let (parts, seats) = (parts.clone(), Arc::clone(seats));
        let listens = match tls.cloned() {
            Some(tls) => server.listen("everybody", listener, move || {
                seated(over_tls(parts.http::<TlsStream<TcpStream>>(), tls.clone(), parts.patience), &seats)
            }),
            None => server.listen("everybody", listener, move || seated(plain(parts.http::<TcpStream>()), &seats)),
        };
        server = listens.map_err(failed)?;
    }
    Ok((server.run(), bound))
}

/// Cuts again and again, without ever ending, the connections over which nothing was sent for this long: their clients
/// ask for nothing, or do not finish a head, or a body that is read only to find the next head.
pub(super) async fn cut_ended(seats: &Seats, silence: Duration) {
    loop {
        tokio::time::sleep(silence).await;
        seats.cut_ended();
    }
}

/// What each thread makes its service from.
#[derive(Clone)]
struct Parts<A, B, C> {
    /// Makes the service that answers requests.
    app: A,
    /// Is called as a connection begins.
    begin: B,
    /// Makes a future that is ready once the server is to stop.
    stopped: C,
    patience: Duration,
}

impl<A, B, C, S, Stopped> Parts<A, B, C>
where
    A: Fn() -> S,
    B: Fn(&dyn Any, &mut Extensions) + Clone + 'static,
    C: Fn() -> Stopped + Clone + 'static,
    S: ServiceFactory<Request, Config = (), Response = Response<BoxBody>, Error = Error> + 'static,
    S::InitError: Debug,
    <S::Service as Service<Request>>::Future: 'static,
    Stopped: Future<Output = ()> + 'static,
{
    /// HTTP/1.1 over connections of this type.
    fn http<T: AsyncRead + 'static>(&self) -> HttpService<Noted<T>, S, BoxBody> {
        let begin = self.begin.clone();
        HttpService::<Noted<T>, S, BoxBody>::build()
            .graceful_shutdown_signal(self.stopped.clone())
            // Idle connections end with the look at all of them.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(self.patience)
            .client_disconnect_timeout(ENDING)
            .on_connect_ext(move |noted: &Noted<T>, extensions: &mut Extensions| {
                begin(noted.io.get_ref() as &dyn Any, extensions);
            })
            .finish::<S, BoxBody>((self.app)())
    }
}

/// What actix's HTTP service takes: a connection, and where it comes from.
type Begun<T> = (Noted<T>, Protocol, Option<SocketAddr>);
/// Why a connection ends over which HTTP is spoken.
type Ended = DispatchError;
/// Why a connection over TLS ends.
type TlsEnded = TlsError<io::Error, Ended>;

/// HTTP without TLS.
fn plain<H>(http: H) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = Ended, InitError = ()>
where
    H: ServiceFactory<Begun<TcpStream>, Config = (), Response = (), Error = Ended, InitError = ()>,
{
    let begun = |io: TcpStream| async move {
        let from = io.peer_addr().ok();
        Ok::<_, Ended>((Noted::new(io), Protocol::Http1, from))
    };
    fn_service(begun).and_then::<H, H>(http)
}

/// HTTP over TLS, whose handshakes must be complete in time.
fn over_tls<H>(
    http: H,
    mut tls: ServerConfig,
    patience: Duration,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = TlsEnded, InitError = ()>
where
    H: ServiceFactory<Begun<TlsStream<TcpStream>>, Config = (), Response = (), Error = Ended, InitError = ()>,
{
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(patience);
    acceptor
        .map_err(TlsError::into_service_error)
        .and_then(|io: TlsStream<TcpStream>| async move {
            let from = io.get_ref().0.peer_addr().ok();
            Ok((Noted::new(io), Protocol::Http1, from))
        })
        .and_then(http.map_err(TlsError::Service))
}

/// A connection that notes in its seat whether anything comes or is sent over it. Nothing more is read from a client
/// that does not take its answers, and nearly nothing from one that only waits for an answer or listens: actix would
/// queue 16 more requests, whose heads may have 128 KiB each.
struct Noted<T> {
    /// What may be read before actix flushes, as it does each time that it has looked at everything.
    io: Take<T>,
    sending: Arc<Sending>,
    /// Whether actix wanted to read, and is to be woken once it may.
    is_unread: bool,
    /// How much was read since the client has nothing to say.
    ahead: usize,
}

impl<T: AsyncRead> Noted<T> {
    /// Must be called in the connection's seat.
    fn new(io: T) -> Self {
        let sending = SEAT.try_with(Seated::sending).unwrap_or_default();
        Self { io: io.take(BURST as u64), sending, is_unread: false, ahead: 0 }
    }

    /// Whether nothing is to be read until more was sent.
    fn waits(&self) -> bool {
        self.sending.is_held_up() || (self.sending.is_paused() && self.ahead >= AHEAD)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.waits() {
            this.is_unread = true;
            return Poll::Pending;
        }
        // `Take` would call this the end.
        if this.io.limit() == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, into);
        let count = into.filled().len() - before;
        if count > 0 && !this.sending.hear() {
            // It would be cut while it is answered. So its client learns that nothing of this was read.
            into.set_filled(before);
            return Poll::Ready(Ok(()));
        }
        this.ahead = if this.sending.is_paused() { this.ahead + count } else { 0 };
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(this.io.get_mut()).poll_write(context, bytes);
        this.sending.note(written.is_pending());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.io.set_limit(BURST as u64);
        let flushed = Pin::new(this.io.get_mut()).poll_flush(context);
        // actix flushes whenever something has arrived, too: only what TLS holds back is sent by that.
        if flushed.is_pending() || this.sending.is_held_up() {
            this.sending.note(flushed.is_pending());
        }
        // actix flushes once it has written all that there is.
        if this.is_unread && flushed.is_ready() && !this.waits() {
            this.is_unread = false;
            context.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.get_mut()).poll_shutdown(context)
    }
}

/// Serves connections, each in a seat. While all seats are kept, further connections are closed: nothing would ever end
/// one without a seat, and as many of them as actix accepts would keep newcomers out for as long as they liked.
fn seated<C>(
    connections: C,
    seats: &Arc<Seats>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = C::Error, InitError = C::InitError> + use<C>
where
    C: ServiceFactory<TcpStream, Config = (), Response = ()>,
{
    let seats = Arc::clone(seats);
    let serve = move |connection: TcpStream, service: &C::Service| {
        let Some((seat, cut)) = connection.peer_addr().ok().and_then(|from| seats.take(from.ip())) else {
            return Either::Right(ready(Ok::<(), C::Error>(())));
        };
        // Not an `async` block, which would hold the connection's state twice.
        let serving = Abortable::new(SEAT.scope(seat, service.call(connection)), cut);
        Either::Left(serving.map(|ended| ended.unwrap_or(Ok(()))))
    };
    apply_fn_factory::<C, C, _, _, TcpStream, TcpStream, (), C::Error>(connections, serve)
}

/// Listens even if earlier connections at the address have not fully ended.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// How often something was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn actix_looks_at_what_was_read_before_there_is_more() {
        let (mut client, server) = tokio::io::duplex(4 * BURST);
        let mut noted = Noted::new(server);
        client.write_all(&vec![0; 3 * BURST]).await.expect("there is room");
        let mut read = vec![0; 4 * BURST];
        for _ in 0..3 {
            let count = noted.read(&mut read).now_or_never().expect("something has come").expect("reads");
            assert_eq!(count, BURST);
            assert!(noted.read(&mut read).now_or_never().is_none(), "this comes first");
            noted.flush().await.expect("has looked");
        }
    }

    #[tokio::test]
    async fn nearly_nothing_is_read_of_who_only_waits() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, _cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let waits = async {
            let (mut client, server) = tokio::io::duplex(4 * AHEAD);
            let mut noted = Noted::new(server);
            client.write_all(&vec![0; 3 * AHEAD]).await.expect("there is room");
            // The request waits for its answer, and for news.
            let [first, second] = [(); 2].map(|()| paused().expect("a seat"));
            drop(first);
            let (mut read, mut came) = (vec![0; BURST], 0);
            while let Some(count) = noted.read(&mut read).now_or_never() {
                came += count.expect("reads");
                noted.flush().await.expect("has looked");
            }
            assert_eq!(came, AHEAD);
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut flush = || Pin::new(&mut noted).poll_flush(&mut Context::from_waker(&waker)).is_ready();
            assert!(flush());
            assert_eq!(woken.0.load(Ordering::Relaxed), 0, "actix sleeps");
            drop(second);
            assert!(flush());
            assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it is told that it may read");
            assert_eq!(noted.read(&mut read).await.expect("reads"), BURST, "the rest comes after the answer");
        };
        in_seat(seat, waits).await;
    }

    /// Otherwise its client may have what it asks for done, and not learn of it.
    #[tokio::test]
    async fn what_comes_over_a_connection_that_has_ended_is_not_read() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seat, cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let cut = cut.handle();
        let late = async {
            let (mut client, server) = tokio::io::duplex(BURST);
            let mut noted = Noted::new(server);
            let mut read = [0; 4];
            client.write_all(b"once").await.expect("there is room");
            assert_eq!(noted.read(&mut read).await.expect("reads"), 4);
            noted.write_all(b"answered").await.expect("there is room");
            (0..2).for_each(|_| seats.cut_ended());
            assert!(cut.is_aborted());
            client.write_all(b"more").await.expect("there is room");
            assert_eq!(noted.read(&mut read).await.expect("reads"), 0, "it seems closed");
        };
        in_seat(seat, late).await;
    }

    #[tokio::test]
    async fn who_takes_no_answers_is_read_no_further() {
        let (mut client, server) = tokio::io::duplex(8);
        let mut noted = Noted::new(server);
        client.write_all(b"more").await.expect("there is room");
        noted.write_all(b"answered").await.expect("there is room");
        assert!(noted.write_all(b"!").now_or_never().is_none(), "the client has to take the answer first");
        let mut read = [0; 8];
        assert!(noted.read(&mut read).now_or_never().is_none(), "its answers come first");
        client.read_exact(&mut read).await.expect("an answer");
        noted.write_all(b"!").await.expect("there is room again");
        noted.flush().await.expect("is sent");
        assert_eq!(noted.read(&mut read).await.expect("reads"), 4, "what has come is read now");
    }
}
