//! The listening server: addresses, TLS, limits on connections, and graceful shutdown.

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpServer;
use actix_web::dev::Extensions;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use futures_util::future::{FutureExt as _, try_join_all};
use ics_core::limits;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::everybody;
use super::face::Face;
use super::front::Front;
use super::pages::{self, Pages};
use super::request::ProvenKey;
use super::routes::Endpoint;
use super::{request, routes, socket, watch};
use crate::accepted;
use crate::app::App;
use crate::config::{NodeConfig, PagesConfig, SocketConfig, TlsConfig};
use crate::seats::Seats;
use crate::tls::{self, ShownCertificate, TlsError, proven_key};

/// How a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The public addresses; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// An address for the operator's tools, in plain HTTP, with `/metrics`, `/livez` and `/readyz` only: whoever
    /// reaches it may read them. Without it, `/metrics` is served at the public addresses, to operators.
    pub metrics: Option<SocketAddr>,
    /// Certificate and key; without them, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// A Unix socket for gateways on this machine: whoever may open it may ask for decisions about everything that the
    /// node holds, and for nothing else.
    pub socket: Option<SocketConfig>,
    /// The URL at which others reach the node, as its pages print it.
    pub public_url: String,
    /// How often one client may ask for a page.
    pub pages: PagesConfig,
    /// The number of serving threads; by default one per core.
    pub workers: Option<usize>,
    /// How long an idle connection is kept; at the public addresses it may be kept for twice as long.
    pub keep_alive: Duration,
    /// How long a client may take to send the head of its first request, and the body of each. The heads of later
    /// requests may take longer, but not for ever.
    pub request_timeout: Duration,
    /// How long a client may take none of an answer before the connection is cut off.
    pub answer_timeout: Duration,
    /// How long requests under way may take to end when the node stops.
    pub shutdown_timeout: Duration,
    /// Open connections for each worker. When nearly all are in use, a new one displaces the oldest idle connection of
    /// the network that holds most.
    pub max_connections: usize,
    /// Use cases of strangers that run or wait at once, but at most one for four connections; further requests get 503,
    /// as do those of a network that has half of them. What may wait long for its turn has half of these places, and
    /// one network a quarter of that. Those whom the node knows may have an eighth more. A quarter as many requests of
    /// gateways and monitors may be worked on besides, but at most one for sixteen connections.
    pub max_work: usize,
    /// Requests of strangers with a body that arrive or are worked on at once, but at most one for eight connections.
    /// For a further one the network that sends most is cut off from its oldest, while that still arrives; if none
    /// sends more, it gets 503, as does a network that has sent a quarter of them. Those whom the node knows may send
    /// an eighth more, and clients on this machine a quarter as many besides. Each holds up to [`limits::BATCH_BYTES`].
    /// As many submissions may wait for other nodes.
    pub max_uploads: usize,
    /// Clients that listen or wait for news; further ones get 503. Strangers get half of the places, but at most one
    /// for four connections, and one network a quarter of that. Each holds an event, and keeps its connection.
    pub max_listeners: usize,
    /// Bytes of long answers to strangers that are held until their clients have taken them. For further ones the
    /// network that holds most, or whoever is too slow, is cut off; if there is none they get 503, as does a network
    /// that has a sixteenth of them. For those whom the node knows there is an eighth more.
    pub answers_held: usize,
}

/// The most threads that actix accepts.
const MOST_THREADS: usize = 512;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            metrics: None,
            tls: None,
            socket: None,
            public_url: "http://localhost".to_owned(),
            pages: PagesConfig::default(),
            workers: None,
            keep_alive: Duration::from_secs(30),
            request_timeout: Duration::from_secs(limits::HTTP_REQUEST_SECONDS),
            answer_timeout: Duration::from_secs(limits::HTTP_ANSWER_SECONDS),
            shutdown_timeout: Duration::from_secs(10),
            max_connections: 4096,
            max_work: 256,
            max_uploads: 64,
            max_listeners: 4096,
            answers_held: 2 * limits::CASE_BYTES,
        }
    }
}

impl Settings {
    /// The number of threads of the public server.
    pub(crate) fn threads(&self) -> usize {
        let threads = self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, Into::into));
        threads.clamp(1, MOST_THREADS)
    }

    /// The number of public connections that have a seat. It is a little below what the threads accept, so that one
    /// more can be accepted while another is ended for it.
    pub(super) fn places(&self) -> usize {
        let spare = self.max_connections / 16 + 1;
        self.threads() * self.max_connections.saturating_sub(spare).max(1)
    }

    /// How long a client that waits for nothing is sent nothing before it is cut, at the latest after twice that time.
    /// One that begins to ask meanwhile has as much time again.
    fn silence(&self) -> Duration {
        self.keep_alive.max(self.request_timeout)
    }
}

impl From<&NodeConfig> for Settings {
    fn from(config: &NodeConfig) -> Self {
        Self {
            listen: vec![config.listen],
            metrics: config.metrics,
            tls: config.tls.clone(),
            socket: config.socket.clone(),
            public_url: config.url(),
            pages: config.pages.clone(),
            answers_held: answers_held(config.memory_mib),
            ..Self::default()
        }
    }
}

/// As much as answers may take that are remembered: whoever sets that knows the machine. The longest answer must fit.
fn answers_held(memory_mib: u32) -> usize {
    let remembered = usize::try_from(u64::from(memory_mib) << 20).unwrap_or(usize::MAX);
    remembered.max(limits::CASE_BYTES)
}

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No address to listen on.
    #[error("there is no address to listen on")]
    NoAddress,
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The setting in `ics.toml` that names it.
        member: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on `{path}`: {source}", path = path.display())]
    Socket {
        /// The socket's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another user has left a socket there.
    #[error("cannot listen on `{path}`: a socket of another user is there, whose id is {user}", path = path.display())]
    SocketOfAnother {
        /// The socket's path.
        path: PathBuf,
        /// The user's id.
        user: u32,
    },
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system has no threads for it.
    #[error("the threads that answer cannot be started: {0}")]
    Threads(#[source] io::Error),
}

/// A server that already listens; it answers once it runs.
#[must_use = "a server answers only while it is awaited"]
pub struct Server {
    addresses: Vec<SocketAddr>,
    everybody: actix_web::dev::Server,
    /// The servers for monitoring and for gateways on this machine.
    others: Vec<actix_web::dev::Server>,
    certificate: Option<Arc<ShownCertificate>>,
    face: Data<Face>,
    silence: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// The addresses that it listens on, with the ports that it got; the operator's last.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificate that it shows.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Arc<ShownCertificate>> {
        self.certificate.as_ref()
    }

    /// Shows the places of another of the node's servers in the metrics too.
    pub(crate) fn show(&self, seats: &Arc<Seats>) {
        self.face.metrics.show(Arc::clone(seats));
    }

    /// Starts the threads that answer, so that they are known to run before the node is announced as running.
    /// [`Server::run`] continues from there, and starts them itself if that has not been done.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn start(&mut self) -> Result<(), ServeError> {
        let mut servers = core::iter::once(&mut self.everybody).chain(&mut self.others);
        servers.try_for_each(|server| started(|| server.now_or_never()))
    }

    /// Answers until `stop` is ready; then accepts no more connections, gives requests under way the configured time to
    /// end, and returns.
    ///
    /// # Errors
    /// When the system takes the sockets away.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let servers: Vec<_> = core::iter::once(self.everybody).chain(self.others).collect();
        let handles: Vec<_> = servers.iter().map(actix_web::dev::Server::handle).collect();
        let stopping = async {
            stop.await;
            self.face.close();
            for handle in handles {
                handle.stop(true).await;
            }
        };
        let serving = async { try_join_all(servers).await.map(|_| ()) };
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => ended,
            () = stopping => serving.await,
            () = everybody::cut_ended(&self.face.seats, self.silence) => serving.await,
        }
    }
}

/// Polls a server once, which starts its threads. actix panics if the system has no thread to give: an error here.
fn started(first: impl FnOnce() -> Option<io::Result<()>>) -> Result<(), ServeError> {
    let first = catch_unwind(AssertUnwindSafe(first));
    let first = first.unwrap_or_else(|_| Some(Err(io::Error::other("the system gives no more of them"))));
    first.unwrap_or(Ok(())).map_err(ServeError::Threads)
}

/// Ready once the process is asked to end: SIGTERM or SIGINT.
///
/// # Errors
/// When the system does not pass signals on.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The signal by which the process is told to reload: SIGHUP, possibly several times.
///
/// # Errors
/// When the system does not pass signals on.
pub fn change_signals() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Listens, so that the caller may announce the node as ready. Must be called in a tokio runtime.
///
/// # Errors
/// When an address cannot be listened on, or TLS cannot be set up.
pub fn serve(app: App, settings: &Settings) -> Result<Server, ServeError> {
    if settings.listen.is_empty() {
        return Err(ServeError::NoAddress);
    }
    let face = Data::new(Face::new(app, settings));
    let certificate = settings.tls.as_ref().map(ShownCertificate::read).transpose()?;
    let tls = certificate.as_ref().map(tls::server).transpose()?;
    let with_metrics = settings.metrics.is_none();
    let wanted = move |endpoint: &Endpoint| with_metrics || !endpoint.is_metrics();
    let at = At::Everybody(&settings.listen, tls.as_ref());
    let pages = Data::new(Pages::new(&face, settings));
    let (everybody, mut addresses) = listen(&face, Some(pages), settings, at, wanted)?;
    let mut others = Vec::new();
    let single = Settings { workers: Some(1), ..settings.clone() };
    if let Some(address) = settings.metrics {
        let at = At::Apart(Apart::Operations(address));
        let (server, bound) = listen(&face, None, &single, at, Endpoint::is_operational)?;
        addresses.extend(bound);
        others.push(server);
    }
    if let Some(socket) = &settings.socket {
        let at = At::Apart(Apart::Socket(socket));
        others.push(listen(&face, None, &single, at, Endpoint::decides)?.0);
    }
    Ok(Server { addresses, everybody, others, certificate, face, silence: settings.silence() })
}

/// Where a server listens.
enum At<'a> {
    Everybody(&'a [SocketAddr], Option<&'a ServerConfig>),
    Apart(Apart<'a>),
}

/// Where only operators, or programs on this machine, can reach the server.
enum Apart<'a> {
    Operations(SocketAddr),
    Socket(&'a SocketConfig),
}

/// A server for the wanted routes, and the pages if there are any; also returns the addresses that it got.
fn listen(
    face: &Data<Face>,
    pages: Option<Data<Pages>>,
    settings: &Settings,
    at: At<'_>,
    wanted: impl Fn(&Endpoint) -> bool + Clone + Send + 'static,
) -> Result<(actix_web::dev::Server, Vec<SocketAddr>), ServeError> {
    let (shared, connections) = (Data::clone(face), face.metrics.connections.clone());
    let patience = settings.answer_timeout;
    let local = matches!(at, At::Apart(_)).then_some(request::Local);
    // The shortcut in front of the router knows no operators, and at these addresses every client is one.
    let fronted = local.is_none() && routes::TABLE.iter().any(|endpoint| endpoint.decides() && wanted(endpoint));
    let service = move || {
        let (path, query) = request::extractor_errors();
        let service = actix_web::App::new().app_data(Data::clone(&shared)).app_data(path).app_data(query);
        let service = service.app_data(local);
        let service = service.configure(|config| routes::register(config, &wanted));
        let service = service.configure(|config| pages.iter().for_each(|pages| pages::register(config, pages)));
        Front::new(service.wrap(from_fn(watch::watch)), Data::clone(&shared), fronted)
    };
    let begins = move |connection: &dyn Any, extensions: &mut Extensions| {
        extensions.insert(OpenConnection::count(&connections));
        begin(connection, extensions, patience);
    };
    let apart = match at {
        At::Everybody(addresses, tls) => {
            return everybody::serve((settings, &face.seats), (addresses, tls), service, begins);
        }
        At::Apart(apart) => apart,
    };
    let server = HttpServer::new(service)
        .on_connect(begins)
        .keep_alive(settings.keep_alive)
        .client_request_timeout(settings.request_timeout)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .max_connections(settings.max_connections)
        .disable_signals()
        .workers(settings.threads());
    let server = match apart {
        Apart::Operations(address) => {
            server.bind(address).map_err(|source| listen_failed("[node] metrics", address, source))?
        }
        Apart::Socket(config) => {
            let failed = |source| ServeError::Socket { path: config.path.clone(), source };
            server.listen_uds(socket::listen(config)?).map_err(failed)?
        }
    };
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}

pub(super) fn listen_failed(member: &'static str, address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Listen { member, address, source }
}

/// Guards a connection against a client that takes no data, and notes the key that the client has proven.
fn begin(connection: &dyn Any, extensions: &mut Extensions, patience: Duration) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    if let Some(socket) = tls.map(|tls| tls.get_ref().0).or_else(|| connection.downcast_ref()) {
        accepted::guard(socket, patience);
    }
    if let Some(key) = tls.and_then(|tls| proven_key(tls.get_ref().1)) {
        extensions.insert(ProvenKey(key));
    }
}

/// Counts a connection while it is open.
struct OpenConnection(Gauge);

impl OpenConnection {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::untaken::Untaken;

    #[test]
    fn threads_take_one_more_than_there_are_places() {
        for (max_connections, workers, places) in [(4096, 2, 7_678), (64, 1, 59), (4, 1, 3), (2, 3, 3), (1, 1, 1)] {
            let settings = Settings { max_connections, workers: Some(workers), ..Settings::default() };
            assert_eq!(settings.places(), places, "{max_connections} for each of {workers}");
        }
    }

    #[test]
    fn answers_are_held_as_far_as_the_machine_has_memory() {
        let config = |memory: &str| {
            let text = format!("name = \"ics.acme.example\"\n{memory}");
            toml::from_str::<NodeConfig>(&text).expect("a configuration")
        };
        for (memory, mib) in [("", 256), ("memory_mib = 32", 128), ("memory_mib = 1024", 1_024)] {
            assert_eq!(Settings::from(&config(memory)).answers_held, mib << 20, "{memory}");
        }
        // However much it is.
        drop(Untaken::new(answers_held(u32::MAX), 1));
    }

    #[test]
    fn a_server_that_gets_no_threads_is_refused() {
        assert!(started(|| None).is_ok(), "it runs");
        let refused: [fn() -> Option<io::Result<()>>; 2] =
            [|| Some(Err(io::ErrorKind::WouldBlock.into())), || panic!("Cannot spawn server worker thread")];
        for first in refused {
            assert!(matches!(started(first), Err(ServeError::Threads(_))));
        }
    }
}
