//! Computing on all processors.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::background::{self, breathe_among};

/// One thread for each processor, for the life of the process, since memory that a thread has allocated is of no use to
/// others once it ends. `None` if the system gives no threads; then the calling thread does everything.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let named = ThreadPoolBuilder::new().thread_name(|number| format!("ics-check-{number}"));
    named.start_handler(|_| background::lower()).build().ok()
});

/// How many callers share the pool now.
static SHARERS: AtomicUsize = AtomicUsize::new(0);

/// A caller that shares the pool, counted until it is dropped.
struct Sharer;

impl Sharer {
    fn new() -> Self {
        SHARERS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Sharer {
    fn drop(&mut self) {
        SHARERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Maps items on all processors; the results are in the order of the items. For work that computes without waiting;
/// reading the store does not count as waiting. If there are fewer than `least` items, other threads are not worth it.
pub(crate) fn map<T: Send, R: Send>(items: Vec<T>, least: usize, with: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let with = |item| {
        breathe_among(count);
        with(item)
    };
    match POOL.as_ref().filter(|_| items.len() > least) {
        Some(pool) => {
            let share = items.len().div_ceil(pool.current_num_threads()).max(least);
            let _sharer = Sharer::new();
            pool.install(|| items.into_par_iter().with_min_len(share).map(with).collect())
        }
        None => items.into_iter().map(with).collect(),
    }
}

/// How many of these items make one piece, at least `least`, where larger pieces are cheaper: each processor gets one
/// piece. Callers that share the pool make fewer pieces, since other processors are busy anyway.
pub(crate) fn share(items: usize, least: usize) -> usize {
    let processors = POOL.as_ref().map_or(1, ThreadPool::current_num_threads);
    let left = processors.saturating_sub(SHARERS.load(Ordering::Relaxed)).max(1);
    items.div_ceil(left).max(least).max(1)
}

#[cfg(test)]
mod tests {
    use rayon::ThreadPool;

    use super::{POOL, map, share};

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 15, 16, 17, 33, 1_000] {
            let doubled = map((0..count).collect(), 16, |item: usize| 2 * item);
            assert_eq!(doubled, (0..count).map(|item| 2 * item).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shared_processors_make_larger_pieces() {
        let others = POOL.as_ref().map_or(1, ThreadPool::current_num_threads) - 1;
        let shares = map(vec![(); 4], 0, |()| share(1_000, 1));
        assert!(shares.iter().all(|share| *share >= 1_000_usize.div_ceil(others.max(1))), "{shares:?}");
    }

    #[test]
    #[should_panic(expected = "odd")]
    fn what_panics_there_panics_here() {
        map((0..100).collect(), 16, |item: usize| assert!(item != 99, "odd"));
    }
}
