//! Listens, and serves each connection in a task of its own.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use ics_core::limits;
use ldap3_proto::proto::LdapResultCode;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, Shared};
use super::hot::Hot;
use super::message;
use super::places::Places;
use super::search::Place;
use super::tree::{Suffix, Tree};
use crate::accepted;
use crate::app::{App, Forwards};
use crate::config::TlsConfig;
use crate::room::Room;
use crate::seats::Seats;
use crate::tls::{self, ShownCertificate, TlsError};
use crate::untaken::Untaken;

/// What part of what is held for strangers may be that of one network: a dozen pages of logs, as a mirror asks ahead.
const PARTS: usize = 4;

/// Where and how a node serves LDAP.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses without TLS from the start; StartTLS is offered where there is a certificate.
    pub listen: Vec<SocketAddr>,
    /// Addresses with TLS from the first byte on.
    pub listen_tls: Vec<SocketAddr>,
    /// Certificate and key.
    pub tls: Option<TlsConfig>,
    /// The name at the root of the tree.
    pub suffix: Suffix,
    /// How many connections are open at once. To make room for another, a stranger's is closed.
    pub max_connections: usize,
    /// How many operations run at once, of which strangers leave an eighth to others; the others wait. Of those that
    /// take longer no more run than there are processors. As many submissions may wait for other nodes besides.
    pub max_work: usize,
    /// How many bytes are held for strangers whose requests and answers take more than 64 KiB. For further ones the
    /// network that holds most, or whoever is too slow, is cut off. For those whom the node knows there is an eighth
    /// more.
    pub held_bytes: usize,
    /// How many bytes of answers are remembered.
    pub cache_bytes: usize,
    /// How long a client may take to finish sending a message, or take none of an answer.
    pub patience: Duration,
    /// How long a client may ask for nothing before it is disconnected.
    pub idle: Duration,
}

impl Settings {
    /// The defaults, without addresses to listen on.
    #[must_use]
    pub fn new(suffix: Suffix) -> Self {
        Self {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            tls: None,
            suffix,
            max_connections: 4096,
            max_work: 64,
            held_bytes: 256 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            patience: Duration::from_secs(limits::HTTP_REQUEST_SECONDS),
            idle: Duration::from_secs(limits::LDAP_IDLE_SECONDS),
        }
    }
}

/// Why a node cannot serve LDAP.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}` for LDAP: {source}")]
    Listen {
        /// The setting in `ics.toml` that names it.
        member: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// There is an address for TLS, and no certificate.
    #[error("LDAP over TLS needs a certificate: `tls` in the section [ldap] or [node] names one")]
    NoCertificate,
    /// TLS cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that already listens; it answers once it runs.
#[must_use = "a server answers only while it is awaited"]
pub struct LdapServer {
    listeners: Vec<(TcpListener, bool)>,
    addresses: Vec<SocketAddr>,
    seats: Arc<Seats>,
    certificate: Option<Arc<ShownCertificate>>,
    shared: Arc<Shared>,
}

/// Listens. Must be called in a tokio runtime.
///
/// # Errors
/// When an address or TLS cannot be had.
pub fn serve(app: App, settings: &Settings) -> Result<LdapServer, LdapError> {
    let certificate = settings.tls.as_ref().map(ShownCertificate::read).transpose()?;
    let tls = certificate.as_ref().map(tls::server_for_programs).transpose()?;
    if tls.is_none() && !settings.listen_tls.is_empty() {
        return Err(LdapError::NoCertificate);
    }
    let plain = settings.listen.iter().map(|address| (*address, false));
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for (address, secure) in plain.chain(settings.listen_tls.iter().map(|address| (*address, true))) {
        let member = if secure { "[ldap] listen_tls" } else { "[ldap] listen" };
        let listener = listen(address).map_err(|source| LdapError::Listen { member, address, source })?;
        addresses.push(listener.local_addr().unwrap_or(address));
        listeners.push((listener, secure));
    }
    let tree = Tree::new(settings.suffix.clone());
    let in_step = Room::new(limits::LDAP_IN_STEP, limits::LDAP_IN_STEP_OF_NETWORK);
    let place = Place { app, tree, has_tls: tls.is_some(), in_step };
    let shared = Shared {
        place: Arc::new(place),
        hot: Arc::new(Hot::new(settings.cache_bytes)),
        tls: tls.map(|config| TlsAcceptor::from(Arc::new(config))),
        patience: settings.patience,
        idle: settings.idle,
        places: Places::new(settings.max_work),
        untaken: Arc::new(Untaken::new(settings.held_bytes, PARTS)),
        forwards: Arc::new(Forwards::new(settings.max_work.max(1))),
        long: Room::new(limits::LDAP_LONG_MESSAGES, limits::LDAP_LONG_MESSAGES_OF_NETWORK),
    };
    let seats = Arc::new(Seats::new("ldap", settings.max_connections));
    Ok(LdapServer { listeners, addresses, seats, certificate, shared: Arc::new(shared) })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

impl LdapServer {
    /// The addresses that it listens on, with the ports that the system chose; those with TLS last.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificate that it shows.
    #[must_use]
    pub const fn certificate(&self) -> Option<&Arc<ShownCertificate>> {
        self.certificate.as_ref()
    }

    /// The places for connections.
    pub(crate) const fn seats(&self) -> &Arc<Seats> {
        &self.seats
    }

    /// Answers until `stopped` says so; then tells every client, and returns when they are gone or patience runs out.
    pub async fn run(self, stopped: watch::Receiver<bool>) {
        let mut listening = JoinSet::new();
        for (listener, secure) in self.listeners {
            let (seats, shared) = (Arc::clone(&self.seats), Arc::clone(&self.shared));
            listening.spawn(accept_all(listener, secure, seats, shared, stopped.clone()));
        }
        while listening.join_next().await.is_some() {}
    }
}

async fn accept_all(
    listener: TcpListener,
    secure: bool,
    seats: Arc<Seats>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut serving = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            accepted = accept(&listener, shared.patience) => accepted,
            _ = serving.join_next(), if !serving.is_empty() => continue,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let Some(seat) = seats.take(address.ip()) else {
            // A handshake for it would cost what is lacking.
            if !secure {
                refuse(&stream);
            }
            continue;
        };
        let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
        serving.spawn(Connection::serve(shared, stream, secure, stopped, seat));
    }
    let grace = shared.patience;
    let _ = tokio::time::timeout(grace, async { while serving.join_next().await.is_some() {} }).await;
}

/// Tells a client that there is no place for it (RFC 4511, 4.4.1), if that can be sent at once, as over any new
/// connection.
fn refuse(stream: &TcpStream) {
    let notice = message::notice(LdapResultCode::Busy, "all places for connections are taken");
    // tokio does not know yet whether it can be written to.
    if let Err(error) = SockRef::from(stream).send(&notice) {
        tracing::debug!(%error, "an LDAP client is not told that there is no place for it");
    }
}

/// Accepts the next connection; retries after a while if the system has none to give, as when it is out of files.
async fn accept(listener: &TcpListener, patience: Duration) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let _ = stream.set_nodelay(true);
                // A client that persists may be silent for days; only this shows that it is gone.
                accepted::guard(&stream, patience);
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "an LDAP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
