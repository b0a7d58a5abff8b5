//! The tasks that copy domains, one per domain, from the configured peers. When the peers change, tasks are started and
//! stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::peers::Peer;
use crate::app::App;
use crate::app::home::heartbeat::stopped;

/// How long after a local failure a task starts again.
const BEGIN_AGAIN: Duration = Duration::from_secs(30);

/// A domain that is being copied.
struct Copying {
    peers: Vec<Arc<Peer>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Copying {
    fn begin(app: App, domain: DomainName, peers: Vec<Arc<Peer>>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let sources = peers.clone();
        let task = tokio::spawn(async move { app.mirror_on(domain, sources, stopped).await });
        Self { peers, stop, task }
    }

    fn is_by(&self, peers: &[Arc<Peer>]) -> bool {
        self.peers.len() == peers.len() && self.peers.iter().zip(peers).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    async fn end(self) {
        self.stop.send_replace(true);
        // A task that panicked has logged that already.
        let _ = self.task.await;
    }
}

impl App {
    /// Copies every domain for which a peer is configured, until `stop` becomes true; follows changes of the peers.
    pub async fn replicate(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.peers_table().changes();
        let mut running: BTreeMap<DomainName, Copying> = BTreeMap::new();
        loop {
            changes.mark_unchanged();
            self.follow_peers(&mut running).await;
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = changes.changed() => {}
            }
        }
        for copying in running.into_values() {
            copying.end().await;
        }
    }

    /// Mirrors one domain, and starts again after a while if that has failed: nobody else would.
    async fn mirror_on(self, domain: DomainName, peers: Vec<Arc<Peer>>, mut stop: watch::Receiver<bool>) {
        loop {
            let (app, of, sources, until) = (self.clone(), domain.clone(), peers.clone(), stop.clone());
            // In a task of its own, since it may panic.
            let ended = tokio::spawn(async move { app.mirror(&of, &sources, until).await }).await;
            let failed = match ended {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            self.tell_failed(&domain, &failed);
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(BEGIN_AGAIN) => {}
            }
        }
    }

    fn tell_failed(&self, domain: &DomainName, why: &str) {
        tracing::error!(%domain, error = why, "the mirror does not run; it begins again in a while");
        let Ok(hosted) = self.hosted(domain) else { return };
        hosted.set_mirror(None);
        // If the store itself has failed, only the log says so.
        let _ = self.store().alarm_once(hosted.number, self.clock().now(), "mirror-failed", why);
    }

    /// Ends the tasks whose peers have changed, and starts the new ones.
    async fn follow_peers(&self, running: &mut BTreeMap<DomainName, Copying>) {
        let mut wanted = self.peers_table().sources();
        let domains: Vec<DomainName> = running.keys().cloned().collect();
        for domain in domains {
            let same =
                running.get(&domain).zip(wanted.get(&domain)).is_some_and(|(copying, peers)| copying.is_by(peers));
            if same {
                wanted.remove(&domain);
            } else if let Some(copying) = running.remove(&domain) {
                copying.end().await;
            }
        }
        for (domain, peers) in wanted {
            running.insert(domain.clone(), Copying::begin(self.clone(), domain, peers));
        }
    }
}
