//! A running node: its use cases, the servers in front of them, its mirrors and its heartbeat.

use core::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ics_core::statement::body::{self, Body};
use ics_core::trust::{TrustError, TrustPolicy};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::app::{AcmeSetup, App, AppError, NodeKeys, Peers, Setup};
use crate::client::descriptor::versions;
use crate::client::home::read_operator_token;
use crate::config::{AlertsConfig, Config, HomeConfig, LdapConfig, NodeConfig};
use crate::http::{ServeError, Server, Settings, serve};
use crate::ldap::{self, LdapError, LdapServer};
use crate::open_files;
use crate::store;
use crate::tls::{ClientTls, NodeCertificate, NodeCertificateError, ShownCertificate};

/// The member of ics.toml that names a descriptor.
const DESCRIPTOR: &str = "[[home]] descriptor";
/// The least time that a node runs before it ends because its store takes no more writes: on a broken disk it is
/// restarted again and again, and in between it answers what it can.
const HALTED_AFTER: Duration = Duration::from_secs(60);
/// How long the tasks beside the server may take to end. After that they are cut off; the store is consistent at any
/// time.
const TASKS_END: Duration = Duration::from_secs(10);

/// Why a node does not start, or ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The configuration has no `[node]`.
    #[error("the configuration has no section [node]")]
    NoNode,
    /// A file that the configuration names cannot be used.
    #[error("`{path}`: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store, or a domain in it, fails.
    #[error(transparent)]
    App(#[from] AppError),
    /// The certificate for the node's own key cannot be made.
    #[error(transparent)]
    Certificate(#[from] NodeCertificateError),
    /// The HTTP server fails.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The LDAP server fails.
    #[error(transparent)]
    Ldap(#[from] LdapError),
    /// The system fails.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A node that already listens, and answers once it runs.
pub struct Service {
    app: App,
    server: Server,
    ldap: Option<LdapServer>,
    alerts: AlertsConfig,
}

impl Service {
    /// Opens the store, founds or checks the domains of which this node is the home, and listens. Changes of the peers
    /// are written to `file`, from which the configuration was read. Must be called in a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// When anything that the configuration names is missing or wrong: a node starts completely or not at all.
    pub fn start(config: &Config, file: Option<&Path>, keys: NodeKeys) -> Result<Self, ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let setup = setup(config, node, keys, file)?;
        // The store's calls block; nothing else runs in the runtime yet.
        let app = tokio::task::block_in_place(|| open(config, &setup))?;
        let mut http = Settings::from(node);
        let mut ldap = config.ldap.as_ref().map(|ldap| ldap_settings(ldap, node, http.answers_held));
        bound_connections(&mut http, ldap.as_mut());
        let server = serve(app.clone(), &http)?;
        let ldap = ldap.map(|settings| ldap::serve(app.clone(), &settings)).transpose()?;
        if let Some(ldap) = &ldap {
            server.show(ldap.seats());
        }
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

    /// Reads everything that [`Service::open`] reads except the store.
    ///
    /// # Errors
    /// When something is missing or wrong, so that no store could be opened with this configuration.
    pub fn look_through(config: &Config, keys: NodeKeys) -> Result<(), ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let tls = ClientTls::new(NodeCertificate::make(&keys.name, Arc::clone(&keys.key))?);
        Peers::new(&setup(config, node, keys, None)?.peers, None, tls)?;
        config.homes.iter().try_for_each(|home| first_descriptor(home).map(drop))
    }

    /// Opens the use cases of a node that does not run, with a key that its domains need not know yet, for the
    /// beginning of a new epoch.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub fn open_under_any_key(config: &Config, keys: NodeKeys) -> Result<App, ServiceError> {
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let setup = setup(config, node, keys, None)?;
        refuse_lost_store(config, &setup.data)?;
        Ok(App::open(&setup)?)
    }

    /// The node's use cases.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// The addresses on which it listens, with the actual ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// The addresses on which it serves LDAP; those with TLS come last.
    #[must_use]
    pub fn ldap_addresses(&self) -> &[SocketAddr] {
        self.ldap.as_ref().map_or(&[], LdapServer::addresses)
    }

    /// The certificates that it presents to TLS clients.
    #[must_use]
    pub fn certificates(&self) -> Vec<Arc<ShownCertificate>> {
        let of_ldap = self.ldap.as_ref().and_then(LdapServer::certificate);
        self.server.certificate().into_iter().chain(of_ldap).cloned().collect()
    }

    /// Begins to answer; [`Service::run`] continues from there. Must be called before announcing that the node runs.
    ///
    /// # Errors
    /// When the system gives no threads for it.
    pub fn begin(&mut self) -> Result<(), ServiceError> {
        Ok(self.server.start()?)
    }

    /// Answers, mirrors and cosigns until `stop` is ready; then ends what is under way.
    ///
    /// # Errors
    /// When the system takes the sockets away, or the store takes no more writes until it is reopened: the node must
    /// then be restarted. It does not end for that reason in its first minute.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        self.run_at_least(HALTED_AFTER, stop).await
    }

    async fn run_at_least(self, shortest: Duration, stop: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.app.clone().beat(stopped.clone()));
        if let Some(ldap) = self.ldap {
            tasks.spawn(ldap.run(stopped.clone()));
        }
        self.app.tell_of_doubt()?;
        for domain in self.app.silent() {
            tasks.spawn(self.app.clone().stay_silent(domain, stopped.clone()));
        }
        tasks.spawn(self.app.clone().stay_ready(stopped.clone()));
        tasks.spawn(self.app.clone().be_witnessed(stopped.clone()));
        tasks.spawn(self.app.clone().follow_sources(stopped.clone()));
        tasks.spawn(self.app.clone().watch_copies_of_erased(stopped.clone()));
        tasks.spawn(self.app.clone().fetch_lists(stopped.clone()));
        tasks.spawn(self.app.clone().send_outboxes(stopped.clone()));
        tasks.spawn(self.app.clone().watch_certificates(self.alerts, stopped.clone()));
        tasks.spawn(self.app.clone().watch_confirmations(stopped.clone()));
        tasks.spawn(self.app.clone().watch_names(stopped.clone()));
        tasks.spawn(self.app.clone().replicate(stopped));
        let (app, mut halted) = (self.app, None);
        let stop = async {
            let halting = async { tokio::join!(app.store().until_halted(), tokio::time::sleep(shortest)).0 };
            tokio::select! {
                () = stop => {}
                error = halting => halted = Some(error),
            }
        };
        let ended = self.server.run(stop).await;
        if let Err(error) = &ended {
            tracing::error!(%error, "the server has ended");
        }
        stopping.send_replace(true);
        let ending = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(TASKS_END, ending).await.is_err() {
            tracing::warn!("what runs beside the server does not end, and is cut off");
        }
        ended?;
        halted.map_or(Ok(()), |error| Err(AppError::from(error).into()))
    }
}

/// Limits connections to the number for which the system gives files; otherwise strangers' connections would leave the
/// store none.
fn bound_connections(http: &mut Settings, ldap: Option<&mut ldap::Settings>) {
    let others = [http.metrics.is_some(), http.socket.is_some(), ldap.is_some()].map(usize::from);
    let servers = http.threads() + others.into_iter().sum::<usize>();
    let (files, most) = (open_files::limit(), http.max_connections);
    http.max_connections = open_files::connections(files, servers, most);
    if http.max_connections < most {
        let text = "as many clients may be connected at once as the system lets the node have files (`LimitNOFILE=` of \
                    its unit, `ulimit -n`)";
        tracing::info!(files, connections_each = http.max_connections, servers, "{text}");
    }
    if let Some(ldap) = ldap {
        ldap.max_connections = open_files::connections(files, servers, ldap.max_connections);
    }
}

fn ldap_settings(ldap: &LdapConfig, node: &NodeConfig, held_bytes: usize) -> ldap::Settings {
    ldap::Settings {
        listen: ldap.listen.into_iter().collect(),
        listen_tls: ldap.listen_tls.iter().map(|address| *address.get_ref()).collect(),
        tls: ldap.tls.clone().or_else(|| node.tls.clone()),
        cache_bytes: usize::try_from(ldap.cache_mib).unwrap_or(64) * 1024 * 1024,
        held_bytes,
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
    refuse_lost_store(config, &setup.data)?;
    let app = App::open(setup)?;
    for home in &config.homes {
        let founded = app.found(&first_descriptor(home)?)?;
        let domain = home.domain.get_ref();
        if founded != *domain {
            let reason =
                format!("it is the descriptor of `{founded}`, and `[[home]] domain` in ics.toml says `{domain}`");
            return Err(in_file(&home.descriptor, reason));
        }
    }
    let homes = config.homes.iter().map(|home| home.domain.get_ref().clone()).collect();
    for domain in app.close_others(&homes) {
        let text = "ics.toml has no `[[home]]` for a domain of which this node is the home: nothing is taken for it, and \
                    its log is not signed any more; a `[[home]]` goes on with it";
        tracing::warn!(%domain, "{text}");
    }
    app.beat_once();
    Ok(app)
}

/// Refuses to found a domain again if this home directory already has later rules for it and there is no sign of a
/// store, not even what `ics init` makes: that is how a disk that is not mounted looks.
fn refuse_lost_store(config: &Config, data: &Path) -> Result<(), ServiceError> {
    if store::is_anything_in(data) {
        return Ok(());
    }
    let is_later = |home: &&HomeConfig| {
        let directory = home.descriptor.parent().unwrap_or(Path::new("."));
        versions(directory, home.domain.get_ref()).into_iter().any(|version| version > 1)
    };
    let Some(home) = config.homes.iter().find(is_later) else { return Ok(()) };
    let domain = home.domain.get_ref();
    Err(in_file(
        data,
        format!(
            "there is no store, but later versions of the descriptor of `{domain}` say that there was one: mount it, \
             or `ics restore COPY`; if there was none, move these versions away until the node has started once"
        ),
    ))
}

fn first_descriptor(home: &HomeConfig) -> Result<Vec<u8>, ServiceError> {
    let path = &home.descriptor;
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, DESCRIPTOR, error))?;
    match body::parse(&bytes) {
        Ok(Body::Descriptor(_)) => Ok(bytes),
        Ok(_) => Err(unreadable(path, DESCRIPTOR, "this is not a signed descriptor")),
        Err(error) => Err(unreadable(path, DESCRIPTOR, error)),
    }
}

fn trust(path: &Path) -> Result<Arc<TrustPolicy>, ServiceError> {
    let json = std::fs::read(path).map_err(|error| unreadable(path, "[trust] policy", error))?;
    let policy = TrustPolicy::parse(&json).map_err(|error: TrustError| in_file(path, error))?;
    Ok(Arc::new(policy))
}

fn token(path: &Path) -> Result<Zeroizing<String>, ServiceError> {
    let unreadable = |error| unreadable(path, "[node] operator_token_file", error);
    let token = read_operator_token(path).map_err(unreadable)?;
    if token.len() < 16 {
        return Err(in_file(path, "a token takes 16 characters at least"));
    }
    Ok(token)
}

/// An error about a file that a member of ics.toml names.
fn unreadable(path: &Path, member: &str, error: impl Display) -> ServiceError {
    in_file(path, format_args!("{error}; `{member}` in ics.toml names it"))
}

fn in_file(path: &Path, reason: impl ToString) -> ServiceError {
    ServiceError::File { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::fixture::{Party, device};
    use crate::store::StoreError;

    /// Otherwise a node that cannot start any thread would announce that it runs.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_answers_before_it_says_so() {
        let maker = Party::found("devices.acme.example");
        let settings = Settings { listen: vec![([127, 0, 0, 1], 0).into()], workers: Some(1), ..Settings::default() };
        let app = maker.open();
        let server = serve(app.clone(), &settings).expect("listens");
        let mut service = Service { app, server, ldap: None, alerts: AlertsConfig::default() };
        service.begin().expect("threads");
        let mut connection = TcpStream::connect(service.addresses()[0]).expect("it listens");
        connection.write_all(b"GET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        service.run(std::future::ready(())).await.expect("it was told to end");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_whose_store_takes_no_more_writes_says_so_and_ends() {
        let (maker, app) = Party::opened();
        let settings = Settings { listen: vec![([127, 0, 0, 1], 0).into()], workers: Some(1), ..Settings::default() };
        let service = || {
            let server = serve(app.clone(), &settings).expect("listens");
            Service { app: app.clone(), server, ldap: None, alerts: AlertsConfig::default() }
        };
        let (long, told) = (Duration::from_secs(3_600), || std::future::ready(()));
        assert_eq!(app.ready(), Ok(()));
        service().run_at_least(long, told()).await.expect("it was told to end");

        std::fs::remove_dir_all(maker.data().join("heads")).expect("removed");
        let bodies = vec![maker.certificate.clone(), maker.introduce(&app, &device(1), "Pump", "L1")];
        let halted = app.submit(&maker.domain, bodies).await.expect_err("its head goes to no file");
        assert!(matches!(halted, AppError::Store(StoreError::Halted { .. })), "{halted:?}");
        assert_eq!(app.ready(), Err(halted.problem().detail));
        assert!(!halted.problem().detail.contains("heads"), "files of the node are nobody's business");
        let counts = app.submission_counts();
        assert!(counts.contains(&(halted.code().as_str(), 2)), "all of a refused batch is counted: {counts:?}");

        service().run_at_least(long, told()).await.expect("so soon after its start it ends only when it is told to");
        let ended = service().run_at_least(Duration::ZERO, std::future::pending());
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends by itself");
        assert_eq!(ended.expect_err("not well").to_string(), halted.to_string());
    }
}
