//! For gateways that are programs themselves: decisions in this process, out of mirrors of its own, without a server.
//!
//! A home directory as `ics init` makes it says which domains are mirrored from whom, and by which trust policy is decided.
//! What a running node answers at `/v1/check`, [`Gateway::check`] answers here, in microseconds and without a socket. It
//! goes on while there is no link, until the news is too old.

use std::path::Path;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Check;
use crate::app::{App, AppError, Asker, Depth, Follower, NodeKeys, Query, Reader, check_use};
use crate::config::{Config, ConfigError};
use crate::keys::{KeyError, KeyStore, PassphraseError, PassphraseSource};
use crate::service::{Service, ServiceError};

/// Why a gateway does not open.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The passphrase of its key.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No passphrase is at hand where nobody can be asked.
    #[error(
        "no file holds the passphrase of the node's key: put it into `passphrase` in the home directory, or a systemd \
         credential"
    )]
    NoPassphrase,
    /// Its store, its domains or its peers.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Mirrors that keep themselves up to date, and the decisions that follow from them.
pub struct Gateway {
    app: App,
    runtime: Handle,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Opens a home directory whose node does not run, and begins to mirror. Must be called in a tokio runtime of several
    /// threads.
    ///
    /// # Errors
    /// When anything that the configuration names is missing or wrong.
    pub fn open(home: &Path) -> Result<Self, GatewayError> {
        let config = Config::load(home)?;
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let passphrase = PassphraseSource::new(home, None).from_files()?.ok_or(GatewayError::NoPassphrase)?;
        let key = KeyStore::new(home).find(&node.key)?.unlock(&passphrase)?.node_key()?;
        // It issues no certificates: nobody can ask it to.
        let keys = NodeKeys { name: node.name.clone(), key, issuers: Vec::new() };
        let app = Service::open(&config, keys)?;
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(app.clone().beat(stopped.clone()));
        tasks.spawn(app.clone().stay_ready(stopped.clone()));
        tasks.spawn(app.clone().replicate(stopped));
        Ok(Self { app, runtime: Handle::current(), stopping, tasks })
    }

    /// Whether a thing may be used so, now; only `allow` is a yes. Thing and peer are asked for by id or name.
    ///
    /// It may read the store, and ask other nodes about a thing of a domain of which no copy is here: call
    /// it where blocking is no harm, or use [`Gateway::check_hot`] first.
    ///
    /// # Errors
    /// When a text is neither id nor name, or the use is none that the HTTP door takes: empty, too long, or a known word
    /// in other letters.
    pub fn check(&self, thing: &str, usage: &str, peer: Option<&str>) -> Result<Check, AppError> {
        check_use(usage)?;
        if self.app.is_roaming() && self.check_hot(thing, usage, peer)?.is_none() {
            let asked = [Some(thing), peer].into_iter().flatten().map(Query::parse).collect::<Result<Vec<_>, _>>()?;
            let things: Vec<&Query> = asked.iter().collect();
            tokio::task::block_in_place(|| self.runtime.block_on(self.app.roam(Asker::Own, usage, &things)));
        }
        let answered = self.ask(thing, usage, peer, Depth::Store)?;
        answered.ok_or_else(|| AppError::Internal("the store was not asked".to_owned()))
    }

    /// The same out of memory: at once, or not at all.
    ///
    /// # Errors
    /// As [`Gateway::check`].
    pub fn check_hot(&self, thing: &str, usage: &str, peer: Option<&str>) -> Result<Option<Check>, AppError> {
        self.ask(thing, usage, peer, Depth::Memory)
    }

    fn ask(&self, thing: &str, usage: &str, peer: Option<&str>, depth: Depth) -> Result<Option<Check>, AppError> {
        check_use(usage)?;
        let (thing, peer) = (Query::parse(thing)?, peer.map(Query::parse).transpose()?);
        Ok(self.app.check(Reader::Operator, usage, &thing, peer.as_ref(), depth))
    }

    /// Somebody who is told when the mirrors have news: what was allowed may no longer be.
    #[must_use]
    pub fn follow(&self) -> Follower {
        self.app.follow()
    }

    /// Ends the mirrors, once what is under way is done.
    pub async fn close(mut self) {
        self.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
