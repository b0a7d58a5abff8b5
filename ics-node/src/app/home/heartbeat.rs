//! What a home does regularly while nothing happens: it signs again, with the time, that nothing has.

use std::time::Duration;

use ics_core::log::cosignature::cosign;
use tokio::sync::watch;

use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Seal, StoreError, WriteTx};

/// The seconds between two cosignatures of an idle home. A plain checkpoint does not prove freshness.
const PERIOD_SECONDS: u64 = 60;
/// How many entries are checked with each heartbeat: a million in nine hours, for a fraction of a second per minute.
const LOOKED_OVER: u64 = 2000;
/// After this many heartbeats, a node whose time is ahead of its machine's clock says so again: every hour.
const BEATS_TO_WARN: u64 = 60;

impl App {
    /// Cosigns the newest checkpoints of this node's domains again and again, until `stop` becomes true.
    pub async fn beat(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(PERIOD_SECONDS));
        let mut beats: u64 = 0;
        self.begin_anywhere(|hosted| &hosted.certified_from);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            if beats.is_multiple_of(BEATS_TO_WARN) {
                self.warn_of_lead();
            }
            beats = beats.wrapping_add(1);
            let app = self.clone();
            // A beat that is cut off is no loss: the next one covers it.
            let beat = move || {
                app.beat_once();
                app.store().look_over(LOOKED_OVER);
                app.all_hosted().iter().for_each(|hosted| hosted.forget_line_if_idle());
                app.acme_clean();
                if let Err(error) = app.acme_clear() {
                    tracing::error!(%error, "orders of ACME clients that ended long ago could not be deleted");
                }
                if let Err(error) = app.forget_certified(app.clock().now()) {
                    tracing::error!(%error, "names and uses of certificates that have ended could not be deleted");
                }
            };
            let _ = crate::background::spawn(beat).await;
        }
    }

    /// Cosigns the newest checkpoint of every domain at home here, after raising alarms about damage that was found:
    /// readers find it too, but they write nothing.
    pub fn beat_once(&self) {
        self.alarm_of_damage();
        for hosted in self.homes() {
            if hosted.domain().is_some()
                && self.is_silent(&hosted).is_ok_and(|silent| !silent)
                && let Err(error) = self.cosign_again(&hosted)
            {
                tracing::error!(domain = %hosted.name, %error, "the checkpoint could not be cosigned");
            }
        }
    }

    /// Cosigns the newest checkpoint of a domain, with the time.
    pub(super) fn cosign_again(&self, hosted: &Hosted) -> Result<(), AppError> {
        if self.is_closed(hosted) {
            return Ok(());
        }
        let (keys, clock) = (self.0.keys.clone(), self.clock().clone());
        let job = move |tx: &mut WriteTx<'_>| {
            // What a commit in progress adds is signed and cosigned anyway.
            let Some(seal) = tx.head().seal.clone().filter(|seal| seal.size == tx.size()) else { return Ok(()) };
            let now = clock.now();
            let note = cosign(&seal.note, &keys.name, &*keys.key, now).map_err(|error| StoreError::Unsealed {
                domain: tx.domain().name.clone(),
                reason: error.to_string(),
            })?;
            tx.seal(Seal { note, cosigned_at: Some(now.whole_seconds()), ..seal })
        };
        self.store().write(hosted.number, job)?.wait()?;
        Ok(())
    }
}

/// Returns once the node is told to stop.
pub(in crate::app) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // If the sender is gone, the node is already ending.
    let _ = stop.wait_for(|stop| *stop).await;
}
