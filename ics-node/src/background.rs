//! Runs work that must not delay answers from memory.
//!
//! Answering a gateway's question takes microseconds, checking a batch takes milliseconds. If both want the same
//! processor, the question must not wait until the batch has had its share, so work that blocks or computes for long
//! runs at a lower priority.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// By how much the priority is lowered, in steps of setpriority(2): this leaves such work a third of the processor when
/// answers want all of it.
const STEPS: i32 = 5;

/// How long such work holds a processor before it yields to waiting threads. The scheduler itself checks only every few
/// milliseconds.
const BREATH: Duration = Duration::from_micros(100);

/// As [`BREATH`], for bulk work on at least [`BULK`] items. Linux takes the rest of its time slice from a thread that
/// yields: with 6.18, one of two threads on a processor got 7 % of it when it yielded every 100 µs, and half when it
/// yielded every 2 ms. This matters for the only writer, for which all others end up waiting.
const LONG_BREATH: Duration = Duration::from_millis(2);
const BULK: usize = 250;

/// Items of such work between two looks at the clock; each item takes some microseconds.
const ITEMS_A_LOOK: u8 = 16;

/// Runs blocking work on a thread meant for it.
pub(crate) fn spawn<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    tokio::task::spawn_blocking(move || {
        lower();
        work()
    })
}

/// One thread for each processor. `None` if the system gives no threads; then the caller's runtime does the work.
static TURNS: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let mut threads = Builder::new_multi_thread();
    threads.thread_name("ics-turns").on_thread_start(lower);
    // Waiting for witnesses needs a timeout.
    threads.enable_time();
    threads.worker_threads(std::thread::available_parallelism().map_or(1, Into::into)).build().ok()
});

/// Runs work that computes briefly between waits during which it holds no thread. Many tasks may thus wait for one
/// commit, and what the few threads have in their caches is still there for the next task.
pub(crate) fn in_turns<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> JoinHandle<R> {
    match &*TURNS {
        Some(threads) => threads.spawn(work),
        None => tokio::spawn(work),
    }
}

/// How long a thread is spared brief work after it has answered from memory, and after such work was not brief.
const SPARED: Duration = Duration::from_secs(1);
const SPARED_AFTER_WORK: Duration = Duration::from_millis(100);

/// How long brief work may use the processor between two waits, and how long it may take in all if others want the
/// processor too, or the disk is slow.
const BRIEF: Duration = Duration::from_millis(2);
const BRIEF_AMONG_OTHERS: Duration = Duration::from_millis(25);

thread_local!(static SPARED_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) });

/// Notes that this thread has answered from memory.
pub(crate) fn note_answer(at: Instant) {
    SPARED_UNTIL.set(Some(at + SPARED));
}

/// Whether this thread answers from memory, as far as it was asked lately, or lately spent too long on brief work: then
/// nothing else should keep it.
pub(crate) fn is_spared() -> bool {
    SPARED_UNTIL.get().is_some_and(|until| Instant::now() < until)
}

/// Does brief work on this thread; `None` if it panics. If whoever waits for it is gone before it ends, it goes on as
/// [`in_turns`]. Nobody knows before how much a record holds, or whether the disk is busy. So work that turns out not to
/// be brief spares the thread what comes next: see [`is_spared`].
pub(crate) fn at_once<R: Send + 'static>(work: impl Future<Output = R> + Send + 'static) -> AtOnce<R> {
    AtOnce(Some(Box::pin(work)))
}

/// The future of [`at_once`]. It is not a task of its own, which would have to be scheduled, and its waiter woken: most
/// brief work is done when it is first polled.
pub(crate) struct AtOnce<R: Send + 'static>(Option<Pin<Box<dyn Future<Output = R> + Send>>>);

impl<R: Send + 'static> Future for AtOnce<R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut work) = self.0.take() else { return Poll::Ready(None) };
        // A panic ends the work and nothing else; what it leaves behind is what it leaves when it ends a task.
        let polled = catch_unwind(AssertUnwindSafe(|| timed(|| work.as_mut().poll(context))));
        match polled {
            Ok(Poll::Pending) => {
                self.0 = Some(work);
                Poll::Pending
            }
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Err(_) => Poll::Ready(None),
        }
    }
}

impl<R: Send + 'static> Drop for AtOnce<R> {
    fn drop(&mut self) {
        if let (Some(work), Some(threads)) = (self.0.take(), &*TURNS) {
            threads.spawn(work);
        }
    }
}

/// Does what should be brief, and spares the thread what comes next if it is not.
fn timed<R>(brief: impl FnOnce() -> R) -> R {
    let (began, used) = (Instant::now(), processor_time());
    let done = brief();
    let took = began.elapsed();
    // The system is asked again how long the processor was used only if it matters: that takes a microsecond.
    let is_brief = || processor_time().saturating_sub(used) < BRIEF && took < BRIEF_AMONG_OTHERS;
    if took >= BRIEF && !is_brief() {
        let until = Instant::now() + SPARED_AFTER_WORK;
        SPARED_UNTIL.set(SPARED_UNTIL.get().max(Some(until)));
    }
    done
}

/// How long this thread has used a processor.
fn processor_time() -> Duration {
    // The system never gives a negative value.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Lowers the priority of this thread for good; it must not answer from memory afterwards.
pub(crate) fn lower() {
    thread_local!(static IS_LOWERED: Cell<bool> = const { Cell::new(false) });
    // Only on Linux do threads have priorities of their own; elsewhere this would lower that of the whole process.
    if cfg!(target_os = "linux") && !IS_LOWERED.replace(true) {
        // A thread whose priority cannot be lowered does its work all the same.
        if let Err(error) = rustix::process::nice(STEPS) {
            tracing::debug!(%error, "a thread keeps its priority");
        }
    }
}

/// Yields the processor to waiting threads; long computations must call this often.
pub(crate) fn breathe() {
    breathe_after(BREATH);
}

/// As [`breathe`], in work on this many items.
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
    if LAST.get().is_some_and(|last| last.elapsed() < breath) {
        return;
    }
    std::thread::yield_now();
    LAST.set(Some(Instant::now()));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    /// Uses the processor for this long, and says on which thread.
    async fn computes(long: super::Duration) -> thread::ThreadId {
        let began = super::processor_time();
        while super::processor_time().saturating_sub(began) < long {
            std::hint::spin_loop();
        }
        thread::current().id()
    }

    #[tokio::test]
    async fn what_is_not_brief_spares_its_thread_the_next() {
        let own = thread::current().id();
        for (long, spares) in [(super::Duration::ZERO, false), (super::BRIEF, true)] {
            super::SPARED_UNTIL.set(None);
            assert_eq!(super::at_once(computes(long)).await.expect("is done"), own);
            // Others may have kept the processor from it for long, which spares the thread, too.
            assert!(super::is_spared() || !spares);
        }
    }

    #[tokio::test]
    async fn work_that_panics_ends_itself_only() {
        let panics = async { assert!(super::BRIEF.is_zero(), "is not brief") };
        assert_eq!(super::at_once(panics).await, None);
        assert_eq!(super::at_once(async { 1 }).await, Some(1));
    }

    #[tokio::test]
    async fn only_its_own_threads_wait_for_others() {
        let here = || getpriority_process(None).expect("has one");
        let (before, there) = (here(), super::spawn(here).await.expect("ends"));
        assert_eq!((here(), there), (before, (before + super::STEPS).min(19)));
        let again = super::spawn(here).await.expect("ends");
        assert_eq!(again, there, "once");
    }
}
