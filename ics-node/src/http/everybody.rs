//! The server at the public addresses, which always has a place for one more client.
//!
//! It is assembled from actix's parts. Actix's own `HttpServer` accepts a fixed number of connections and then no more
//! until one ends, and exposes none of them before its TLS handshake: a client that opens that many and asks for
//! nothing keeps everyone else out, even for ever if it begins a second request and never finishes it, since actix sets
//! no time limit for that. Here each connection has a seat from its first moment ([`crate::seats`]), and keeps it while
//! its client waits for an answer or listens for news. Of the others those are cut to which nothing was sent for longer
//! than an idle connection is kept, or a request may take. One look at all of them now and then finds these, so
//! that requests start no timers and read no clock; actix would start one with each answer.

mod noted;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
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
use ics_core::limits;
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};

use self::noted::Noted;
use super::server::{ServeError, Settings, listen_failed};
use crate::room::Room;
use crate::seats::{Cut, Kept, Seated, Seats, Sending};

/// How many connections the system queues until they are accepted.
const BACKLOG: i32 = 1024;
/// How long closing a connection may take.
const ENDING: Duration = Duration::from_secs(1);

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
        long_heads: Room::parted(limits::HTTP_LONG_HEADS, limits::HTTP_LONG_HEADS, 4),
    };
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| listen_failed("[node] listen", *address, source);
        let listener = bind(*address).map_err(failed)?;
        bound.push(listener.local_addr().map_err(failed)?);
        let (parts, seats) = (parts.clone(), Arc::clone(seats));
        let listens = match tls.cloned() {
            Some(tls) => server.listen("everybody", listener, move || {
                let http = parts.http::<TlsStream<TcpStream>>();
                seated(over_tls(http, tls.clone(), parts.patience, parts.long_heads.clone()), &seats)
            }),
            None => server.listen("everybody", listener, move || {
                seated(plain(parts.http::<TcpStream>(), parts.long_heads.clone()), &seats)
            }),
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
    /// Places for connections over which long heads come.
    long_heads: Room,
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
    fn http<T: AsyncRead + AsyncWrite + Unpin + 'static>(&self) -> HttpService<Noted<T>, S, BoxBody> {
        let begin = self.begin.clone();
        HttpService::<Noted<T>, S, BoxBody>::build()
            .graceful_shutdown_signal(self.stopped.clone())
            // Idle connections end with the look at all of them.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(self.patience)
            .client_disconnect_timeout(ENDING)
            .on_connect_ext(move |noted: &Noted<T>, extensions: &mut Extensions| {
                begin(noted.get_ref() as &dyn Any, extensions);
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
fn plain<H>(
    http: H,
    long_heads: Room,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = Ended, InitError = ()>
where
    H: ServiceFactory<Begun<TcpStream>, Config = (), Response = (), Error = Ended, InitError = ()>,
{
    let begun = move |io: TcpStream| {
        let long_heads = long_heads.clone();
        async move {
            let from = io.peer_addr().ok();
            Ok::<_, Ended>((Noted::new(io, long_heads), Protocol::Http1, from))
        }
    };
    fn_service(begun).and_then::<H, H>(http)
}

/// HTTP over TLS, whose handshakes must be complete in time.
fn over_tls<H>(
    http: H,
    mut tls: ServerConfig,
    patience: Duration,
    long_heads: Room,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = TlsEnded, InitError = ()>
where
    H: ServiceFactory<Begun<TlsStream<TcpStream>>, Config = (), Response = (), Error = Ended, InitError = ()>,
{
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(patience);
    acceptor
        .map_err(TlsError::into_service_error)
        .and_then(move |io: TlsStream<TcpStream>| {
            let long_heads = long_heads.clone();
            async move {
                let from = io.get_ref().0.peer_addr().ok();
                Ok((Noted::new(io, long_heads), Protocol::Http1, from))
            }
        })
        .and_then(http.map_err(TlsError::Service))
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
