//! The loop that mirrors one domain: which peer is asked for what the home has logged, and what happens when that
//! fails.

use core::future::pending;
use core::mem::discriminant;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ics_core::vocabulary::DomainName;
use ics_sync::Progress;
use ics_sync::mirror::{Doubt, Status, Stop};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::mirror::Taking;
use super::peers::Peer;
use crate::api::MirrorInfo;
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

fn is_stopped(hosted: &Hosted) -> bool {
    hosted.mirror().is_some_and(|mirror| mirror.is_stopped())
}

/// Shows the progress of a mirror. One that had stopped is shown as stopped until it has got further than when it
/// started again.
async fn show(hosted: Arc<Hosted>, names: Vec<String>, began: Status, mut seen: watch::Receiver<Progress>) {
    while seen.changed().await.is_ok() {
        let progress = seen.borrow_and_update().clone();
        // That it has stopped is shown only once the proof has been stored.
        if progress.status.stopped.is_some() {
            continue;
        }
        tell(&hosted, &names, &began, &progress);
        if is_stopped(&hosted) {
            if !has_got_further(&began, &progress.status) {
                continue;
            }
            tracing::info!(domain = %hosted.name, "the mirror that had stopped goes on again");
        }
        hosted.set_mirror(Some(info(&names, &progress)));
    }
}

/// Logs that nothing can be copied, or that copying works again, but not every attempt.
fn tell(hosted: &Hosted, names: &[String], began: &Status, progress: &Progress) {
    let (domain, status) = (&hosted.name, &progress.status);
    let is_told = hosted.copy_fails.load(Ordering::Relaxed);
    let does_fail = fails(is_told, names.len(), began, status);
    hosted.copy_fails.store(does_fail, Ordering::Relaxed);
    match &status.trouble {
        Some(trouble) if does_fail && !is_told => {
            let peers = names.join(", ");
            tracing::warn!(%domain, peers, error = %trouble, "nothing can be copied; the node keeps trying");
        }
        None if is_told && !does_fail => tracing::info!(%domain, "the copy goes on"),
        _ => {}
    }
}

/// Whether nothing can be copied: every peer has failed in turn, and none has brought anything since. A mirror that has
/// only just begun to ask again says nothing yet, nor does one that waits for a peer with which it looks at something
/// again: then the others have not been asked.
fn fails(has_failed: bool, peers: usize, began: &Status, now: &Status) -> bool {
    let are_all_asked = usize::try_from(now.failures).is_ok_and(|failures| failures >= peers);
    match now.trouble {
        Some(_) => has_failed || (are_all_asked && (peers == 1 || !now.is_looking)),
        None => has_failed && !has_got_further(began, now),
    }
}

fn has_got_further(began: &Status, now: &Status) -> bool {
    let reached = |status: &Status| (status.size, status.as_of, status.ahead);
    reached(now) != reached(began)
}

fn info(names: &[String], progress: &Progress) -> MirrorInfo {
    let status = &progress.status;
    let lag_entries = status.known.saturating_sub(status.size);
    let state = match (&status.stopped, &status.trouble, lag_entries) {
        (Some(_), ..) => MirrorInfo::STOPPED,
        (None, Some(_), _) => "waiting",
        (None, None, 0) if status.size > 0 && status.doubt.is_some() => "unconfirmed",
        (None, None, 0) if status.size > 0 && status.ahead.is_some() => "waiting",
        (None, None, 0) if status.size > 0 => "current",
        (None, None, _) => "catching-up",
    };
    let rests_on = status.doubt.as_ref().map(Doubt::names);
    let stopped = status.stopped.as_ref().map(with_way_on);
    let trouble = status.trouble.as_ref().map(ToString::to_string);
    let last_error = stopped.or(trouble).or_else(|| status.ahead.as_ref().map(ToString::to_string));
    let peer = names.get(progress.peer).cloned().unwrap_or_default();
    MirrorInfo { peer, state: state.to_owned(), lag_entries, last_error, rests_on, partial: status.is_partial }
}

/// Why a mirror has stopped, and how it can continue.
fn with_way_on(stop: &Stop) -> String {
    let way = match stop {
        Stop::Unproven { .. } => {
            ", and the copy goes on when one of them shows the log that is held here. If this peer is not the home, \
             its page is false: add the home, or another peer (`ics peer add`). If the home is proven to have signed \
             two logs, `ics domain forks` shows both heads"
        }
        Stop::Fork { .. } => {
            ", and the copy goes on when they show the log that is held here: the home must be repaired. `ics domain \
             forks` shows both heads. Only if the other log is the right one, begin this copy again with `ics domain \
             recopy`"
        }
        _ => "",
    };
    format!("{stop}. The peers are asked again every few minutes{way}")
}

#[cfg(test)]
mod tests {
    use ics_core::time::Timestamp;
    use ics_sync::mirror::{Ahead, Trouble};

    use super::*;
    use crate::config::PeerConfig;
    use crate::fixture::{Party, word};

    fn status() -> Status {
        let (as_of, trouble, stopped, doubt) = (None, None, None, None);
        let (ahead, failures, is_partial, is_looking) = (None, 0, false, false);
        Status { size: 7, known: 7, as_of, ahead, failures, trouble, stopped, doubt, is_partial, is_looking }
    }

    /// Entries arrive, and only this reason tells why the copy does not get fresher.
    #[test]
    fn a_copy_whose_home_is_ahead_of_this_clock_says_why_it_waits() {
        let told = |ahead| {
            let status = Status { ahead, ..status() };
            let MirrorInfo { state, last_error, .. } = info(&[], &Progress { status, peer: 0 });
            (state, last_error.unwrap_or_default())
        };
        assert_eq!(told(None), ("current".to_owned(), String::new()));
        let ahead = Ahead { at: Timestamp::from_seconds(90_000), now: Timestamp::from_seconds(0) };
        let (state, why) = told(Some(ahead));
        assert!(state == "waiting" && why.contains("25 h ahead of this node's clock"), "{state}: {why}");
    }

    #[test]
    fn a_copy_of_a_part_is_told_as_one() {
        let told = |is_partial| info(&[], &Progress { status: Status { is_partial, ..status() }, peer: 0 }).partial;
        assert_eq!([true, false].map(told), [true, false]);
    }

    #[test]
    fn a_copy_that_has_stopped_says_how_it_goes_on() {
        let stop = |stop| info(&[], &Progress { status: Status { stopped: Some(stop), ..status() }, peer: 0 });
        let forked = stop(Stop::Fork { size: 7, ours: None, theirs: "a note".to_owned() });
        let (is_stopped, why) = (forked.is_stopped(), forked.last_error.unwrap_or_default());
        let ways = ["asked again", "home must be repaired", "ics domain forks", "ics domain recopy"];
        assert!(is_stopped && ways.iter().all(|way| why.contains(way)), "{why}");
        let unproven = || Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note".to_owned() };
        let why = stop(unproven()).last_error.unwrap_or_default();
        assert!(["asked again", "ics peer add", "ics domain forks"].iter().all(|way| why.contains(way)), "{why}");
        let by: PeerName = "relay".parse().expect("a name");
        let alarm = |is_fork| alarm_of(&unproven(), Some(&by), is_fork);
        assert!(alarm(false).starts_with("`relay` gave a bad proof: "), "{}", alarm(false));
        assert!(alarm(true).starts_with("fork: "), "{}", alarm(true));
        let unsigned = stop(Stop::Unsigned).last_error.unwrap_or_default();
        assert!(unsigned.ends_with("asked again every few minutes"), "{unsigned}");
    }

    #[test]
    fn of_another_log_one_proof_is_enough_whichever_is_the_longer() {
        let head = |size| Stop::Fork { size, ours: None, theirs: format!("a note of {size}") };
        let entries = Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note of 9".to_owned() };
        let seal = Some("ours".to_owned());
        let told = Told { reason: head(6), seal: seal.clone(), is_kept: true };
        for (reason, reached, expected) in [
            (&head(8), &seal, true),
            (&entries, &seal, true),
            (&entries, &None, false),
            (&Stop::Unsigned, &seal, false),
        ] {
            assert_eq!(told.covers(reason, reached.as_ref()), expected, "{reason:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_peer_that_is_left_out_again_is_alarmed_once() {
        let (maker, site) = (Party::found("devices.acme.example"), Party::found("plant.example"));
        let home = maker.open();
        let mirror = vec![home.domain(&maker.domain).expect("here").info.origin];
        let peer = |name| PeerConfig {
            url: Some(word("http://127.0.0.1:1")),
            mirror: mirror.clone(),
            ..PeerConfig::new(word(name))
        };
        let app = site.open_for(vec![peer("one"), peer("other")]);
        let hosted = app.hosted(&maker.domain).expect("copied");
        let leave_out = |name, reason: &Stop| {
            let peer = app.peers_table().named(&word(name)).expect("a peer");
            app.leave_out(&hosted, &peer, reason).expect("left out");
            app.alarms_of(&hosted, LEFT_OUT).expect("alarms").len()
        };
        let told = || app.peers().into_iter().map(|peer| peer.pulls[0].last_error.clone()).collect::<Vec<_>>();
        let unproven = Stop::Unproven { from: 7, size: 9, ours: None, theirs: "a note".to_owned() };
        assert_eq!(leave_out("one", &Stop::Unsigned), 1);
        assert_eq!(leave_out("one", &unproven), 1);
        assert_eq!(leave_out("other", &unproven), 2);
        let is_told = |why: Option<String>| why.is_some_and(|why| why.starts_with("left out") && why.contains("lead"));
        assert!(told().into_iter().all(is_told), "whoever looks at the peers is told, too: {:?}", told());
        hosted.leave_out_nobody();
        assert_eq!(told(), [None, None]);
    }

    #[test]
    fn what_had_stopped_goes_on_once_it_has_got_further() {
        assert!(!has_got_further(&status(), &status()));
        let known = Status { known: 9, failures: 3, ..status() };
        assert!(!has_got_further(&status(), &known), "nothing of it is held yet");
        assert!(has_got_further(&status(), &Status { as_of: Some(Timestamp::from_seconds(1)), ..status() }));
        assert!(has_got_further(&status(), &Status { size: 8, ..status() }));
    }

    /// While another peer stands in, nobody has to be woken at night; and not every attempt is news.
    #[test]
    fn a_copy_fails_when_all_its_peers_have_and_until_something_came() {
        let failed = |failures| Status { failures, trouble: Some(Trouble::Quorum { size: 9 }), ..status() };
        let (began, further) = (status(), Status { size: 8, ..status() });
        for (has_failed, peers, now, expected) in [
            (false, 1, failed(1), true),
            (false, 2, failed(1), false),
            (false, 2, failed(2), true),
            (false, 2, Status { is_looking: true, ..failed(2) }, false),
            (false, 1, Status { is_looking: true, ..failed(1) }, true),
            (true, 2, failed(1), true),
            (true, 1, status(), true),
            (true, 1, further.clone(), false),
            (false, 1, further, false),
        ] {
            assert_eq!(fails(has_failed, peers, &began, &now), expected, "{has_failed} {peers} {now:?}");
        }
    }

    #[tokio::test]
    async fn no_second_look_is_broken_off_to_ask_a_peer_that_was_left_out() {
        let told = |is_looking| Progress { status: Status { is_looking, ..status() }, peer: 0 };
        let (progress, seen) = watch::channel(told(true));
        let retry = Retry { due: Some(Instant::now()), ..Retry::default() };
        let waits = timeout(Duration::from_millis(50), retry.may_break_off(seen.clone(), LONGEST_LOOK)).await;
        waits.expect_err("it is under way");
        // But it does not take for ever.
        retry.may_break_off(seen.clone(), Duration::from_millis(1)).await;
        progress.send_replace(told(false));
        retry.may_break_off(seen, LONGEST_LOOK).await;
    }

    #[test]
    fn it_is_tried_again_later_each_time_and_soon_after_a_long_peace() {
        let (mut retry, mut now) = (Retry::default(), Instant::now());
        for seconds in [5, 10, 20, 40, 80, 160, 320, 320] {
            retry.plan(now);
            let pause = Duration::from_secs(seconds);
            assert!(!retry.take_due(now + pause / 2) && retry.take_due(now + pause), "{seconds}");
            assert!(!retry.take_due(now + pause), "once");
            now += pause;
        }
        now += LONGEST_PAUSE * 3;
        retry.plan(now);
        retry.plan(now + FIRST_PAUSE / 5);
        assert!(retry.take_due(now + FIRST_PAUSE), "another failure puts nothing off");
    }
}
