//! The loop that mirrors one domain: which peer is asked for what the home has logged, and what happens when that
//! fails.

mod progress;
#[cfg(test)]
mod tests;

use core::future::pending;
use core::mem::discriminant;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ics_core::vocabulary::DomainName;
use ics_sync::Progress;
use ics_sync::mirror::Stop;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use self::progress::{info, is_stopped, show};
use super::mirror::Taking;
use super::peers::Peer;
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::config::PeerName;

/// The kind of alarm about a mirror that has stopped, and that about a peer that is left out.
const MIRROR_STOPPED: &str = "mirror-stopped";
const LEFT_OUT: &str = "peer-left-out";

/// How many alarms are searched for those of a kind.
const ALARMS_LOOKED: usize = 1_000;

/// How long after it stopped a mirror starts again, and after it was left out a peer is asked again: twice as long each
/// time, up to the longest. A home that was started from a wrong copy is put right one day, and then its mirrors
/// continue.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(320);

/// How much later that may be because a second look is under way: a peer that answers as slowly as it may would never
/// let it end, and nobody else would be asked again.
const LONGEST_LOOK: Duration = Duration::from_secs(86_400);

/// When a mirror tries again after something went wrong.
#[derive(Debug, Default)]
struct Retry {
    pause: Duration,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Retry {
    fn plan(&mut self, now: Instant) {
        let is_news = self.last.is_none_or(|last| now.duration_since(last) > LONGEST_PAUSE.saturating_mul(2));
        let pause = if is_news { FIRST_PAUSE } else { self.pause.saturating_mul(2).min(LONGEST_PAUSE) };
        *self = Self { pause, last: Some(now), due: Some(self.due.unwrap_or(now + pause)) };
    }

    async fn is_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    /// Waits until it is time and no second look at what is held is under way: it would begin anew, and a peer that is
    /// left out again and again would keep a long one from its end. One that takes longer than `most` is broken off.
    async fn may_break_off(&self, mut progress: watch::Receiver<Progress>, most: Duration) {
        self.is_due().await;
        // If there is no more progress, nothing is under way.
        let _ = timeout(most, progress.wait_for(|progress| !progress.status.is_looking)).await;
    }

    /// Whether it is time to try again; if so, nothing is planned any more.
    fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

/// The last report that a mirror has stopped.
struct Told {
    reason: Stop,
    /// The checkpoint that it had reached.
    seal: Option<String>,
    /// Whether it was a fork whose proof is stored.
    is_kept: bool,
}

impl Told {
    /// Whether this report also covers the present reason for stopping, so that it need not be repeated. A mirror that
    /// is shown another log may stop at a checkpoint of that log while it is the shorter one ([`Stop::Fork`]), and the
    /// next time at its entries, because it has become the longer one ([`Stop::Unproven`]): that is the same news.
    fn covers(&self, reason: &Stop, seal: Option<&String>) -> bool {
        let is_other_log = |stop: &Stop| matches!(stop, Stop::Fork { .. } | Stop::Unproven { .. });
        let is_alike =
            discriminant(&self.reason) == discriminant(reason) || (is_other_log(&self.reason) && is_other_log(reason));
        is_alike && self.seal.as_ref() == seal
    }
}

impl App {
    /// Mirrors one domain from these peers, until `stop` becomes true. A peer that may have caused a stop is left out
    /// while there are others: a peer that lies must not keep this node from what all others have. A mirror that has
    /// stopped raises an alarm, and starts again after a while from what is held, as it would when the node starts:
    /// only a log that follows from that is accepted, so nobody is believed who was not before.
    ///
    /// # Errors
    /// When what is stored of the domain cannot be read.
    pub(crate) async fn mirror(
        &self,
        domain: &DomainName,
        peers: &[Arc<Peer>],
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let hosted = self.hosted(domain)?;
        hosted.leave_out_nobody();
        let (mut asked, mut retry, mut told) = (peers.to_vec(), Retry::default(), None);
        let mut again = Retry::default();
        while !*stop.borrow() {
            let ended = self.mirror_until(&hosted, &asked, &mut stop, &retry).await?;
            let gives_up = match &ended {
                Some((reason, _)) => self.gives_up(&hosted, reason).await?,
                None => false,
            };
            match ended {
                Some((_, progress)) if gives_up => {
                    // Whoever has shown what others had kept back is asked first from now on. The first one may have
                    // kept it back itself, and would do so again and again, so the next one takes its place.
                    let first = progress.peer.max(1) % asked.len().max(1);
                    asked.rotate_left(first);
                    again.plan(Instant::now());
                    tokio::select! {
                        () = stopped(&mut stop) => {}
                        () = again.is_due() => {}
                    }
                    again.take_due(Instant::now());
                }
                Some((reason, progress)) if reason.is_of_peer() && asked.len() > 1 && progress.peer < asked.len() => {
                    self.leave_out(&hosted, &asked.remove(progress.peer), &reason)?;
                    // The others continue at once.
                    hosted.set_mirror(None);
                    retry.plan(Instant::now());
                }
                Some((reason, progress)) => {
                    self.stop_mirror(&hosted, &asked, (&reason, &progress), &mut told).await?;
                    retry.plan(Instant::now());
                    tokio::select! {
                        () = stopped(&mut stop) => {}
                        () = retry.is_due() => {}
                    }
                }
                None => {}
            }
            if retry.take_due(Instant::now()) {
                asked = peers.to_vec();
                hosted.leave_out_nobody();
            }
        }
        hosted.set_mirror(None);
        hosted.leave_out_nobody();
        // After a change of peers this is news again.
        hosted.copy_fails.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Reports why a mirror has stopped, and stores the proof if the home has signed two logs. If it stopped for the
    /// same reason before and nothing came in between, another alarm is raised only if an operator has acknowledged the
    /// first, and one proof is enough.
    async fn stop_mirror(
        &self,
        hosted: &Arc<Hosted>,
        asked: &[Arc<Peer>],
        (reason, progress): (&Stop, &Progress),
        told: &mut Option<Told>,
    ) -> Result<(), AppError> {
        tracing::error!(domain = %hosted.name, %reason, "the mirror has stopped");
        let seal = self.store().head(hosted.number)?.seal.map(|seal| seal.note);
        let former = told.take().filter(|former| former.covers(reason, seal.as_ref()));
        let (is_told, was_kept) = (former.is_some(), former.is_some_and(|former| former.is_kept));
        let by = asked.get(progress.peer);
        let is_kept = was_kept || self.is_fork(hosted, by.map(AsRef::as_ref), reason).await;
        let is_proven_now = is_kept && !was_kept;
        if is_proven_now {
            self.keep_fork(hosted, reason)?;
        }
        if !is_told || is_proven_now || self.alarms_of(hosted, MIRROR_STOPPED)?.is_empty() {
            let text = alarm_of(reason, by.map(|peer| &peer.config.name), is_kept);
            // A peer that fails in a different way each time raises at most as many alarms as there are ways.
            self.store().alarm_once(hosted.number, self.clock().now(), MIRROR_STOPPED, &text)?;
        }
        *told = Some(Told { reason: reason.clone(), seal, is_kept });
        hosted.set_mirror(Some(info(&names(asked), progress)));
        Ok(())
    }

    /// Reports that a peer is not asked for a while. What it showed is not stored as proof: the peer may have made it
    /// up.
    fn leave_out(&self, hosted: &Hosted, peer: &Peer, reason: &Stop) -> Result<(), AppError> {
        let name = &peer.config.name;
        tracing::error!(domain = %hosted.name, peer = %name, %reason, "the peer is left out");
        hosted.leave_out(name, format!("left out, and asked again every few minutes: {reason}"));
        let left = format!("`{name}` is left out, and asked again every few minutes");
        if self.alarms_of(hosted, LEFT_OUT)?.iter().any(|text| text.starts_with(&left)) {
            return Ok(());
        }
        let text = format!("{left}: {reason}");
        Ok(self.store().alarm(Some(hosted.number), self.clock().now(), LEFT_OUT, &text)?)
    }

    /// The texts of a domain's stored alarms of a kind.
    fn alarms_of(&self, hosted: &Hosted, kind: &str) -> Result<Vec<String>, AppError> {
        let kept = self.store().alarms(Some(hosted.number), ALARMS_LOOKED)?.into_iter();
        Ok(kept.filter(|alarm| alarm.kind == kind).map(|alarm| alarm.text).collect())
    }

    /// Mirrors until it is to end, the copy was changed by somebody else, or it is time to try again; or until it stops
    /// for the returned reason, with its progress and the peer asked last.
    async fn mirror_until(
        &self,
        hosted: &Arc<Hosted>,
        peers: &[Arc<Peer>],
        stop: &mut watch::Receiver<bool>,
        retry: &Retry,
    ) -> Result<Option<(Stop, Progress)>, AppError> {
        let mut moved = hosted.moved.subscribe();
        let domain = &hosted.name;
        let known = peers.iter().filter(|peer| peer.pulls(domain).is_some()).map(|peer| peer.source()).collect();
        let (of, by) = (Arc::clone(hosted), peers.to_vec());
        // What no checkpoint covers yet is read through, which takes long in a first copy of a large log.
        let resume = move |app: &Self| {
            let changes = of.known();
            Ok((changes, app.resume(&of, &of.name, &by)?))
        };
        let (changes, mirror) = self.blocking(resume).await?;
        let mut mirror = mirror.among(known);
        let sources: Vec<ics_sync::Peer> = peers.iter().filter_map(|peer| peer.pulls(domain).cloned()).collect();
        let names = names(peers);
        let (progress, seen) = watch::channel(Progress { status: mirror.status(), peer: 0 });
        if !is_stopped(hosted) {
            hosted.set_mirror(Some(info(&names, &progress.borrow())));
        }
        let retrying = retry.may_break_off(seen.clone(), LONGEST_LOOK);
        let watching = tokio::spawn(show(Arc::clone(hosted), names, mirror.status(), seen));
        let shutdown = async {
            tokio::select! {
                () = stopped(stop) => {}
                _ = moved.changed() => {}
                () = retrying => {}
            }
        };
        let mut applier = Taking::new(self, hosted, changes);
        let clock = self.clock().clone();
        let ended = ics_sync::run(&mut mirror, &sources, &mut applier, || clock.now(), &progress, shutdown).await;
        let reached = progress.borrow().clone();
        // Once there is no more progress to report, the watcher ends.
        drop(progress);
        let _ = watching.await;
        Ok(ended.map(|stop| (stop, reached)))
    }
}

fn names(peers: &[Arc<Peer>]) -> Vec<String> {
    peers.iter().map(|peer| peer.config.name.to_string()).collect()
}

/// What the operator is told: whose fault it is, as far as known.
fn alarm_of(stop: &Stop, by: Option<&PeerName>, is_fork: bool) -> String {
    match (stop, by) {
        (Stop::Unproven { .. }, _) if is_fork => format!("fork: the home has signed two logs; {stop}"),
        (Stop::Unproven { .. }, Some(by)) => format!("`{by}` gave a bad proof: {stop}"),
        _ => stop.to_string(),
    }
}
