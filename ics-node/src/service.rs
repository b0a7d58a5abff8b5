//! A node as it runs: its use cases, the server in front of them, its mirrors and its heartbeat.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ics_core::limits;
use ics_core::trust::{TrustError, TrustPolicy};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::app::{AcmeSetup, App, AppError, NodeKeys, PEERS_SETTLE, Peers, Setup};
use crate::config::{AlertsConfig, Config, HomeConfig, LdapConfig, NodeConfig};
use crate::http::{ServeError, Server, Settings, serve};
use crate::keys::file::read_secret;
use crate::ldap::{self, LdapError, LdapServer};
use crate::tls::{ClientTls, NodeCertificate, NodeCertificateError, ShownCertificate};

/// Bytes of the operator's token.
const TOKEN_BYTES: usize = 4096;

/// Why a node does not start, or ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The configuration has no `[node]`.
    #[error("the configuration has no section [node]")]
    NoNode,
    /// A file that the configuration names.
    #[error("`{path}`: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store, or a domain in it.
    #[error(transparent)]
    App(#[from] AppError),
    /// The certificate of the node's own key.
    #[error(transparent)]
    Certificate(#[from] NodeCertificateError),
    /// The server.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The directory.
    #[error(transparent)]
    Ldap(#[from] LdapError),
    /// The system.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A node that listens already, and answers once it runs.
pub struct Service {
    app: App,
    server: Server,
    ldap: Option<LdapServer>,
    alerts: AlertsConfig,
}

impl Service {
    /// Opens the store, founds or checks the domains of which this node is the home, and listens. Changes of the peers
    /// are written to `file`, from which the configuration was read. Must be called in a tokio runtime of several threads.
    ///
    /// # Errors
    /// When anything that the configuration names is missing or wrong: a node starts whole or not at all.
    pub fn start(config: &Config, file: Option<&Path>, keys: NodeKeys) -> Result<Self, ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let setup = setup(config, node, keys, file)?;
        // The store's calls block; nothing else runs in the runtime yet.
        let app = tokio::task::block_in_place(|| open(config, &setup))?;
        let server = serve(app.clone(), &Settings::from(node))?;
        let ldap = config.ldap.as_ref().map(|ldap| ldap::serve(app.clone(), &ldap_settings(ldap, node))).transpose()?;
        Ok(Self { app, server, ldap, alerts: config.alerts.clone() })
    }

    /// Opens the use cases of a node that does not run, without listening.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn open(config: &Config, keys: NodeKeys) -> Result<App, ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let setup = setup(config, node, keys, None)?;
        tokio::task::block_in_place(|| open(config, &setup))
    }

    /// Reads all that [`Service::open`] reads but the store.
    ///
    /// # Errors
    /// When something is missing or wrong: with this configuration no store is opened.
    pub fn look_through(config: &Config, keys: NodeKeys) -> Result<(), ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let tls = ClientTls::new(NodeCertificate::make(&keys)?);
        Peers::new(&setup(config, node, keys, None)?.peers, None, tls)?;
        config.homes.iter().try_for_each(|home| first_descriptor(home).map(drop))
    }

    /// The use cases of a node that does not run, under a key that its domains need not know yet: for the beginning of a
    /// new epoch.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn open_under_any_key(config: &Config, keys: NodeKeys) -> Result<App, ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        Ok(App::open(&setup(config, node, keys, None)?)?)
    }

    /// The node's use cases.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// The addresses that it listens on, with the ports that it got.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// The addresses on which it serves LDAP; those with TLS last.
    #[must_use]
    pub fn ldap_addresses(&self) -> &[SocketAddr] {
        self.ldap.as_ref().map_or(&[], LdapServer::addresses)
    }

    /// The certificates that it shows to clients of TLS.
    #[must_use]
    pub fn certificates(&self) -> Vec<Arc<ShownCertificate>> {
        let of_ldap = self.ldap.as_ref().and_then(LdapServer::certificate);
        self.server.certificate().into_iter().chain(of_ldap).cloned().collect()
    }

    /// Answers, mirrors and cosigns until `stop` is ready; then ends what is under way.
    ///
    /// # Errors
    /// When the system takes the sockets away.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.app.clone().beat(stopped.clone()));
        if let Some(ldap) = self.ldap {
            tasks.spawn(ldap.run(stopped.clone()));
        }
        self.app.tell_of_doubt()?;
        for domain in self.app.silent() {
            let (app, stopped) = (self.app.clone(), stopped.clone());
            tasks.spawn(async move {
                if let Err(error) = app.recover(domain.clone(), PEERS_SETTLE, stopped).await {
                    tracing::error!(%domain, %error, "the domain stays silent");
                }
            });
        }
        tasks.spawn(self.app.clone().stay_ready(stopped.clone()));
        tasks.spawn(self.app.clone().be_witnessed(stopped.clone()));
        tasks.spawn(self.app.clone().follow_sources(stopped.clone()));
        tasks.spawn(self.app.clone().send_outboxes(stopped.clone()));
        tasks.spawn(self.app.clone().watch_certificates(self.alerts, stopped.clone()));
        tasks.spawn(self.app.clone().replicate(stopped));
        let ended = self.server.run(stop).await;
        stopping.send_replace(true);
        while tasks.join_next().await.is_some() {}
        Ok(ended?)
    }
}

fn ldap_settings(ldap: &LdapConfig, node: &NodeConfig) -> ldap::Settings {
    ldap::Settings {
        listen: ldap.listen.into_iter().collect(),
        listen_tls: ldap.listen_tls.into_iter().collect(),
        tls: ldap.tls.clone().or_else(|| node.tls.clone()),
        cache_bytes: usize::try_from(ldap.cache_mib).unwrap_or(64) * 1024 * 1024,
        ..ldap::Settings::new(ldap.suffix.clone())
    }
}

fn setup(config: &Config, node: &NodeConfig, keys: NodeKeys, file: Option<&Path>) -> Result<Setup, ServiceError> {
    Ok(Setup {
        data: node.data.clone(),
        keys,
        peers: config.peers().cloned().collect(),
        config_file: file.map(Path::to_owned),
        trust: config.trust.policy.as_deref().map(trust).transpose()?,
        operator_token: node.operator_token_file.as_deref().map(token).transpose()?,
        memory_bytes: u64::from(node.memory_mib) << 20,
        acme: config.acme.clone().map(|acme| AcmeSetup { config: acme, url: node.url() }),
    })
}

fn open(config: &Config, setup: &Setup) -> Result<App, ServiceError> {
    let app = App::open(setup)?;
    for home in &config.homes {
        let founded = app.found(&first_descriptor(home)?)?;
        if founded != *home.domain.get_ref() {
            return Err(in_file(&home.descriptor, format!("it is the descriptor of `{founded}`")));
        }
    }
    app.beat_once();
    Ok(app)
}

fn first_descriptor(home: &HomeConfig) -> Result<Vec<u8>, ServiceError> {
    std::fs::read(&home.descriptor).map_err(|error| unreadable(&home.descriptor, "[[home]] descriptor", error))
}

fn trust(path: &Path) -> Result<Arc<TrustPolicy>, ServiceError> {
    let json = std::fs::read(path).map_err(|error| unreadable(path, "[trust] policy", error))?;
    let policy = TrustPolicy::parse(&json).map_err(|error: TrustError| in_file(path, error))?;
    Ok(Arc::new(policy))
}

fn token(path: &Path) -> Result<Zeroizing<String>, ServiceError> {
    let unreadable = |error| unreadable(path, "[node] operator_token_file", error);
    let bytes = read_secret(path, TOKEN_BYTES.min(limits::NOTE_BYTES)).map_err(unreadable)?;
    let text = core::str::from_utf8(&bytes).map_err(|error| in_file(path, error))?.trim();
    if text.len() < 16 {
        return Err(in_file(path, "a token takes 16 characters at least"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// A file that a member of ics.toml names.
fn unreadable(path: &Path, member: &str, error: io::Error) -> ServiceError {
    in_file(path, format_args!("{error}; `{member}` in ics.toml names it"))
}

fn in_file(path: &Path, reason: impl ToString) -> ServiceError {
    ServiceError::File { path: path.to_owned(), reason: reason.to_string() }
}
