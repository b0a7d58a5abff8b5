//! For gateways that are programs themselves: decisions within this process, from its own mirrors, without a server.
//!
//! A home directory made by `ics init` says which domains are mirrored from whom, and which trust policy decides. What
//! a running node answers at `/v1/check`, [`Gateway::check`] answers here, in microseconds and without a socket. It
//! continues without a network connection until the news is too old.

use std::path::Path;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Check;
use crate::app::{App, AppError, Asker, Depth, Follower, NodeKeys, Query, Reader, check_use};
use crate::config::{Config, ConfigError};
use crate::keys::{KeyError, KeyStore, PassphraseError, PassphraseSource};
use crate::service::{Service, ServiceError};

/// Why a gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its configuration is missing or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The passphrase of its key cannot be obtained.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Its key is missing or cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No file holds the passphrase, and nobody can be asked.
    #[error(
        "no file holds the passphrase of the node's key: put it into `passphrase` in the home directory, or a systemd \
         credential"
    )]
    NoPassphrase,
    /// Its store, its domains or its peers fail.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Mirrors that stay up to date, and the decisions based on them.
pub struct Gateway {
    app: App,
    runtime: Handle,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Opens a home directory whose node does not run, and begins to mirror. Must be called in a multi-threaded tokio
    /// runtime.
    ///
    /// # Errors
    /// When anything that the configuration names is missing or wrong.
    pub fn open(home: &Path) -> Result<Self, GatewayError> {
        let config = Config::load(home)?;
        let node = config.node.as_ref().ok_or(ServiceError::NoNode)?;
        let passphrase = PassphraseSource::new(home, None).from_files()?.ok_or(GatewayError::NoPassphrase)?;
        let key = KeyStore::new(home).find(&node.key)?.unlock(&passphrase)?.node_key()?;
        // It issues no certificates: nobody can request one.
        let keys = NodeKeys { name: node.name.clone(), key, issuers: Vec::new() };
        let app = Service::open(&config, keys)?;
        let (stopping, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(app.clone().beat(stopped.clone()));
        tasks.spawn(app.clone().stay_ready(stopped.clone()));
        tasks.spawn(app.clone().replicate(stopped));
        Ok(Self { app, runtime: Handle::current(), stopping, tasks })
    }

    /// Whether a use of a thing is allowed now; only `allow` is a yes. Thing and peer are given by id or name.
    ///
    /// This may read the store, and ask other nodes about a thing in a domain that is not copied here. Call it where
    /// blocking is acceptable, or use [`Gateway::check_hot`] first.
    ///
    /// # Errors
    /// When a text is neither an id nor a name, or the use is one that the HTTP API refuses as well: empty, too long,
    /// or a known word in different case.
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

    /// As [`Gateway::check`], from memory only: immediately, or `None`.
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

    /// A receiver that is told when the mirrors have news: what was allowed may no longer be.
    #[must_use]
    pub fn follow(&self) -> Follower {
        self.app.follow()
    }

    /// Stops the mirrors once their work under way is done.
    pub async fn close(mut self) {
        self.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
