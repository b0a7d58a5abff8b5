//! Work beside the answers from memory.
//!
//! A gateway's question takes microseconds, the check of a batch milliseconds. Where both want one processor, the
//! question must not wait until the batch has had its share: what blocks or computes for long runs at a lower priority.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How much lower, in steps of setpriority(2): a third of the processor is left to it when answers want all.
const STEPS: i32 = 5;

/// How long such work holds a processor before it looks whether somebody waits. The scheduler looks by itself every few
/// milliseconds only.
const BREATH: Duration = Duration::from_micros(100);

/// The same of work in bulk, of so many items or more. Linux takes the rest of his slice from whoever yields: with 6.18 one
/// of two threads on a processor that yielded every 100 us had 7 % of it, and every 2 ms half. For the writer, which there
/// is only once, all others wait in the end.
const LONG_BREATH: Duration = Duration::from_millis(2);
const BULK: usize = 250;

/// Items of such work from one look at the clock to the next: each takes some microseconds.
const ITEMS_A_LOOK: u8 = 16;

/// Does work that blocks, on a thread for such.
pub(crate) fn spawn<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    tokio::task::spawn_blocking(move || {
        lower();
        work()
    })
}

/// A thread for each processor. `None` where the system gives none; then whoever asks does the work himself.
static TURNS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut threads = Builder::new_multi_thread();
    threads.thread_name("ics-turns").on_thread_start(lower);
    // Whoever waits for witnesses gives up after a while.
    threads.enable_time();
    threads.worker_threads(std::thread::available_parallelism().map_or(1, Into::into)).build().ok()
});

/// Does work that computes for a moment, between waits in which it holds no thread. Many may wait for one commit so, and
/// what few threads have in their caches is still there for the next of them.
pub(crate) fn in_turns<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
    match &*TURNS {
        Some(threads) => threads.spawn(work),
        None => tokio::spawn(work),
    }
}

/// Lowers the priority of this thread, once and for good: it is not to answer from memory any more.
pub(crate) fn lower() {
    thread_local!(static IS_LOWERED: Cell<bool> = const { Cell::new(false) });
    // A thread has a priority of its own on Linux only; elsewhere it would be lowered for all.
    if cfg!(target_os = "linux") && !IS_LOWERED.replace(true) {
        // What cannot be lowered does its work all the same.
        if let Err(error) = rustix::process::nice(STEPS) {
            tracing::debug!(%error, "a thread keeps its priority");
        }
    }
}

/// Lets in whoever waits for this processor; to be called often in work that computes for long.
pub(crate) fn breathe() {
    breathe_after(BREATH);
}

/// The same in work on so many items.
pub(crate) fn breathe_among(items: usize) {
    thread_local!(static SINCE: Cell<u8> = const { Cell::new(0) });
    if items < BULK {
        breathe();
    } else if SINCE.replace((SINCE.get() + 1) % ITEMS_A_LOOK) == 0 {
        breathe_after(LONG_BREATH);
    }
}

fn breathe_after(breath: Duration) {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now.duration_since(last) >= breath) {
        std::thread::yield_now();
        LAST.set(Some(Instant::now()));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    #[tokio::test]
    async fn only_its_own_threads_wait_for_others() {
        let here = || getpriority_process(None).expect("has one");
        let (before, there) = (here(), super::spawn(here).await.expect("ends"));
        assert_eq!((here(), there), (before, (before + super::STEPS).min(19)));
        let again = super::spawn(here).await.expect("ends");
        assert_eq!(again, there, "once");
    }
}
