//! `ics serve`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use console::style;
use rustix::io::Errno;
use rustix::process::{self, getpid, kill_process};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

use crate::app::{AppError, IssuerKey, NodeKeys, ResponderCertificate};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::print;
use crate::cli::{files, memory};
use crate::client::restore;
use crate::config::{Config, EXAMPLE_AT, FILE_NAME, NodeConfig, ResponderConfig};
use crate::http::{ServeError, change_signals, stop_signal};
use crate::keys::{KeyError, StoredKey, file};
use crate::ldap::LdapError;
use crate::observe;
use crate::open_files;
use crate::service::{Service, ServiceError};
use crate::store::StoreError;
use crate::tls::ShownCertificate;
use crate::words::shell_path;

/// For how long further signals to stop count as the first one: timeout(1) sends it to a program and to its group, and
/// a script that is interrupted ends what the terminal has interrupted as well.
const ONE_SIGNAL: Duration = Duration::from_secs(1);
/// How long threads may go on blocking once the node has ended.
const THREADS_END: Duration = Duration::from_secs(5);
/// What to raise when the system gives no more files.
const FILES: &str = "raise `LimitNOFILE=` of its unit, or `ulimit -n`";
/// What to raise when the system gives no more threads.
const TASKS: &str =
    "raise `TasksMax=` of its unit, `ulimit -u`, or the memory that it may take (`MemoryMax=`, `ulimit -v`)";

/// What `ics serve` takes.
#[derive(Debug, Args)]
#[command(after_long_help = help())]
pub(crate) struct Serve {
    /// Trust this machine's clock although this node has signed later times: the clock was ahead then, and is right now
    ///
    /// Give it for a single start, after checking the clock: from then on the node signs the right time again. If the
    /// clock were behind, old news would look fresh. The times that the homes of other domains have signed still count.
    #[arg(long)]
    clock_is_right: bool,
}

fn help() -> String {
    format!(
        "\
The node is configured by ics.toml in the home directory, which `ics init` makes. All settings are described in
{EXAMPLE_AT}.

SIGTERM and SIGINT stop the node once the requests under way are answered; sent again a moment later, they end it at
once. SIGHUP makes it read renewed TLS certificates, and those of `[node] responders`; no connection is cut, and if a
certificate cannot be used, the former one stays in use. SIGHUP does not stop the node, not even when the node's
terminal goes away.

Examples:
  The node of the home directory ~/.ics:
  $ ics serve

  Another one, with its log as JSON for a collector ([log] format = \"json\" in its ics.toml):
  $ ics --home /var/lib/ics --passphrase-file /run/credentials/ics-passphrase serve"
    )
}

impl Serve {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.refuse_foreign_home()?;
        let config = Config::load(&context.home)?;
        let node = config.node.as_ref().ok_or_else(|| failed(&ServiceError::NoNode))?;
        memory::node(node.memory_mib);
        let internal = |error| Failure::new(Exit::Internal, error);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(internal)?;
        // Before anything that takes time: SIGHUP ends a process that does not listen for it.
        let changes = {
            let _runtime = runtime.enter();
            change_signals().map_err(internal)?
        };
        let keys = node_keys(context, node)?;
        context.passphrases().forget();
        observe::init(&config.log, &context.named_flags()).map_err(|error| Failure::new(Exit::Local, error))?;
        let file = context.home.join(FILE_NAME);
        warn_of_readers(&file, &config);
        remove_left(&context.home);
        open_files::raise();
        let mut closing = None;
        let ended = runtime.block_on(async {
            // Not earlier: until then the signal ends the program as usual, even at the prompt for a passphrase.
            let (telling, told) = oneshot::channel();
            tokio::spawn(heed(stop_signal().map_err(internal)?, telling));
            let mut service = Service::start(&config, Some(&file), keys).map_err(|error| failed(&error))?;
            if self.clock_is_right {
                service.app().believe_clock();
            }
            closing = Some(service.app().closing());
            service.begin().map_err(|error| failed(&error))?;
            announce(context, &config, &service);
            tell_systemd(NotifyState::Ready);
            let responders = service.app().responder_certificates();
            tokio::spawn(follow_certificates(changes, service.certificates(), responders));
            // Who tells it lives as long as the runtime.
            let stop = async {
                let _ = told.await;
            };
            service.run(stop).await.map_err(|error| failed(&error))
        });
        // With a timeout, unlike on drop: a blocked thread may never end.
        runtime.shutdown_timeout(THREADS_END);
        // The threads that served connections end a moment later, and the last of them closes the files.
        if closing.is_some_and(|closing| !closing.wait(THREADS_END)) {
            tracing::warn!("work under way does not end: the store is left as after a power cut, and nothing is lost");
        }
        ended.map(|()| Exit::Ok)
    }
}

/// Waits until the node is told to stop, and passes that on. A node that is still starting, which may take long, stops
/// once it has started; whoever does not want to wait tells it again.
async fn heed(stop: impl Future<Output = ()> + Send, telling: oneshot::Sender<()>) {
    stop.await;
    tracing::info!("the node was told to stop, and answers what it was asked before; told again, it ends at once");
    tell_systemd(NotifyState::Stopping);
    // The node may have ended by itself.
    let _ = telling.send(());
    tokio::time::sleep(ONE_SIGNAL).await;
    if let Ok(again) = stop_signal() {
        again.await;
        tracing::warn!("the node was told again to stop: it ends as in a power cut, and nothing is lost");
        let _ = kill_process(getpid(), process::Signal::KILL);
    }
}

/// Warns if others may read the operator's token, or a secret in ics.toml. Unlike with a key, this does not prevent the
/// start: the node may have run with such a file before.
fn warn_of_readers(path: &Path, config: &Config) {
    let token = config.node.as_ref().and_then(|node| node.operator_token_file.as_deref());
    if let Some(token) = token
        && let Ok(Some(mode)) = file::open_to_all(token)
    {
        let text = "everybody on this machine can read the operator's token: use chmod 600, or chmod 640 and a group \
                    of its own, and then put a new token into it";
        tracing::warn!(path = %token.display(), mode = format!("{mode:o}"), "{text}");
    }
    if config.may_hold_secret() && file::is_open_to_others(path).unwrap_or_default() {
        let text = "others may read this file, and the address of `[alerts] webhook` in it may be a secret: make it \
                    readable by its owner only (chmod 600), and have the receiver issue another address";
        tracing::warn!(path = %path.display(), "{text}");
    }
}

/// Removes what a restore left that was killed before it replaced anything: a copy of a store. The node can start with
/// it.
fn remove_left(home: &Path) {
    for (path, error) in restore::remove_left(home) {
        tracing::warn!(path = %path.display(), %error, "a killed restore has left this, and it cannot be removed");
    }
}

/// Reads the certificates for TLS and for answering OCSP again whenever the process gets the signal.
async fn follow_certificates(
    mut changes: Signal,
    of_tls: Vec<Arc<ShownCertificate>>,
    responders: Vec<Arc<ResponderCertificate>>,
) {
    let tell = |path: &Path, read: Result<(), String>| {
        let path = path.display();
        match read {
            Ok(()) => tracing::info!(%path, "the certificate was read again, and is shown from now on"),
            Err(error) => tracing::error!(%path, %error, "the certificate cannot be shown, the former still is"),
        }
    };
    while changes.recv().await.is_some() {
        tracing::info!("certificates are read again; what else was changed in ics.toml needs a restart");
        tokio::task::block_in_place(|| {
            for certificate in &of_tls {
                tell(certificate.path(), certificate.read_again().map_err(|error| error.to_string()));
            }
            for certificate in &responders {
                tell(certificate.path(), certificate.read_again());
            }
        });
    }
}

/// Notifies the service manager that started this process, if it asked for it (sd_notify(3)): the unit is of
/// `Type=notify`.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// The node's name and key, unlocked.
pub(super) fn node_keys(context: &Context, node: &NodeConfig) -> Result<NodeKeys, Failure> {
    let key = named_key(context, "[node] key", &node.key)?;
    let mut issuers = Vec::new();
    for name in &node.issuers {
        issuers.push(issuer_key(context, &named_key(context, "[node] issuers", name)?)?);
    }
    for ResponderConfig { key, certificate } in &node.responders {
        let key = issuer_key(context, &named_key(context, "[node] responders", key)?)?;
        let read = ResponderCertificate::read(certificate, &*key.signer);
        let answers_by = Some(read.map_err(|error| files::failed(certificate, error))?);
        issuers.push(IssuerKey { answers_by, ..key });
    }
    Ok(NodeKeys { name: node.name.clone(), key: context.unlock(&key)?.node_key()?, issuers })
}

/// The key that is named in a member of ics.toml.
fn named_key(context: &Context, member: &str, name: &str) -> Result<StoredKey, Failure> {
    context.keys().find(name).map_err(|error| match error {
        KeyError::Missing { .. } => Failure::new(Exit::Local, format!("`{member}` in ics.toml: {error}"))
            .hint("`ics key list` shows the keys of this home directory"),
        other => other.into(),
    })
}

/// Unlocks a key with which the node issues X.509 certificates, or answers OCSP for those of others.
fn issuer_key(context: &Context, key: &StoredKey) -> Result<IssuerKey, Failure> {
    let key = context.unlock(key)?;
    let signer = Arc::clone(key.shared_primary()?);
    Ok(IssuerKey { signer, certificate: key.certificate_bytes().into(), answers_by: None })
}

fn announce(context: &Context, config: &Config, service: &Service) {
    let node = config.node.as_ref();
    let for_operators = usize::from(node.is_some_and(|node| node.metrics.is_some()));
    let for_everybody = service.addresses().len() - for_operators;
    let http = service.addresses().iter().enumerate().map(|(place, address)| {
        let is_tls = place < for_everybody && node.is_some_and(|node| node.tls.is_some());
        format!("{}://{address}", if is_tls { "https" } else { "http" })
    });
    let plain = usize::from(config.ldap.as_ref().is_some_and(|ldap| ldap.listen.is_some()));
    let ldap = service.ldap_addresses().iter().enumerate().map(|(place, address)| {
        let scheme = if place < plain { "ldap" } else { "ldaps" };
        format!("{scheme}://{address}")
    });
    for url in http.chain(ldap) {
        let line = if context.output.json {
            json!({ "listening": url }).to_string()
        } else {
            format!("{} {url}", style("listening on").green())
        };
        // The node runs whether or not anybody reads that.
        let _ = print(format!("{line}\n").as_bytes());
    }
    if let Some(node) = node.filter(|node| node.is_open_without_tls()) {
        let text = "other machines reach this address without TLS: set `tls` in [node], or let only a proxy reach it";
        tracing::warn!(listen = %node.listen, "{text}");
    }
    for (domain, authority) in service.app().issuers_away() {
        let text = "the key of an authority is not here: nothing is issued or revoked with it, and no revocation list \
                    is signed; name it in `[node] issuers` of ics.toml for as long as its certificates are in force";
        tracing::warn!(%domain, %authority, "{text}");
    }
    tracing::info!(node = service.app().node().name, domains = service.app().node().domains.len(), "the node answers");
}

pub(super) fn failed(error: &ServiceError) -> Failure {
    let exit = if matches!(error, ServiceError::NoNode) { Exit::Config } else { Exit::Local };
    let failure = Failure::new(exit, error);
    match error {
        ServiceError::NoNode => failure.hint("`ics init` makes a home directory with a node in it"),
        ServiceError::App(AppError::Store(StoreError::InUse { .. })) => {
            failure.hint("another `ics serve` runs with this home directory; stop it, or name another with --home")
        }
        ServiceError::App(AppError::Store(StoreError::Halted { .. })) => {
            failure.hint("if the disk is full make room, and start the node again; if this comes back, run `ics fsck`")
        }
        ServiceError::App(AppError::Store(StoreError::Io { source, .. })) => {
            failure.hint(to_raise(source).unwrap_or("`[node] data` in ics.toml says where the node's store is"))
        }
        ServiceError::App(AppError::Store(StoreError::Disk { .. })) => failure.hint(
            "make room on it, or look in the system's log for what is wrong with it, and start the node again; what \
             was acknowledged is there",
        ),
        ServiceError::App(AppError::Store(StoreError::Corrupt { .. })) => {
            failure.hint("keep the data directory as it is; `ics fsck` says what is to be done")
        }
        ServiceError::Serve(ServeError::Tls(_)) => {
            failure.hint("`[node] tls` in ics.toml names the files of its certificate and key")
        }
        ServiceError::Serve(ServeError::Threads(source)) => failure.hint(to_raise(source).unwrap_or(TASKS)),
        ServiceError::Serve(ServeError::NoAddress) => listens_by(failure, "[node] listen"),
        ServiceError::Serve(ServeError::SocketOfAnother { path, .. }) => {
            failure.hint(format!("unless a program of that user listens there, remove it: rm {}", shell_path(path)))
        }
        ServiceError::Serve(ServeError::Socket { .. }) => listens_by(failure, "[node] socket"),
        ServiceError::Serve(ServeError::Listen { member, .. })
        | ServiceError::Ldap(LdapError::Listen { member, .. }) => listens_by(failure, member),
        ServiceError::Ldap(LdapError::Tls(_)) => failure
            .hint("`tls` of `[ldap]` in ics.toml, or else of `[node]`, names the files of its certificate and key"),
        _ => failure,
    }
}

fn listens_by(failure: Failure, member: &str) -> Failure {
    failure.hint(format!("`{member}` in ics.toml says where the node listens"))
}

/// Returns which limit to raise if the error is a shortage of files or threads.
fn to_raise(error: &io::Error) -> Option<&'static str> {
    if open_files::are_short(error) {
        return Some(FILES);
    }
    matches!(Errno::from_io_error(error)?, Errno::AGAIN | Errno::NOMEM).then_some(TASKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opening threads takes files, and opening a store takes threads.
    #[test]
    fn what_the_system_gives_no_more_of_is_told_whoever_asks_for_it() {
        let hints = |errno: Errno| {
            let store = StoreError::Io { path: "/var/lib/ics/data".into(), source: Arc::new(errno.into()) };
            let store = ServiceError::App(AppError::Store(store));
            [ServiceError::Serve(ServeError::Threads(errno.into())), store].map(|error| format!("{:?}", failed(&error)))
        };
        for (errno, expected) in [(Errno::MFILE, "ulimit -n"), (Errno::NFILE, "ulimit -n"), (Errno::AGAIN, "ulimit -u")]
        {
            for hint in hints(errno) {
                assert!(hint.contains(expected), "{errno}: {hint}");
            }
        }
        assert!(hints(Errno::ACCESS)[1].contains("[node] data"));
    }
}
