//! What is shown and logged of a mirror's progress.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ics_sync::Progress;
use ics_sync::mirror::{Doubt, Status, Stop};
use tokio::sync::watch;

use crate::api::MirrorInfo;
use crate::app::hosted::Hosted;

pub(super) fn is_stopped(hosted: &Hosted) -> bool {
    hosted.mirror().is_some_and(|mirror| mirror.is_stopped())
}

/// Shows the progress of a mirror. One that had stopped is shown as stopped until it has got further than when it
/// started again.
pub(super) async fn show(hosted: Arc<Hosted>, names: Vec<String>, began: Status, mut seen: watch::Receiver<Progress>) {
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
pub(super) fn fails(has_failed: bool, peers: usize, began: &Status, now: &Status) -> bool {
    let are_all_asked = usize::try_from(now.failures).is_ok_and(|failures| failures >= peers);
    match now.trouble {
        Some(_) => has_failed || (are_all_asked && (peers == 1 || !now.is_looking)),
        None => has_failed && !has_got_further(began, now),
    }
}

pub(super) fn has_got_further(began: &Status, now: &Status) -> bool {
    let reached = |status: &Status| (status.size, status.as_of, status.ahead);
    reached(now) != reached(began)
}

pub(super) fn info(names: &[String], progress: &Progress) -> MirrorInfo {
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
