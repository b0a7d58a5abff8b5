//! Work on every processor.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::background::{self, breathe_among};

/// A thread for each processor, for as long as the process lives: what a thread has allocated is of no use to the next one
/// when it ends. `None` where the system gives no threads; then everything is done by whoever asks.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let named = ThreadPoolBuilder::new().thread_name(|number| format!("ics-check-{number}"));
    named.start_handler(|_| background::lower()).build().ok()
});

/// How many share the pool now.
static SHARERS: AtomicUsize = AtomicUsize::new(0);

/// One of them.
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

/// Maps items on all processors; the results are in the order of the items. For what computes and waits for nobody; a look
/// into the store is no wait. Of fewer than `least` items another thread is not worth the trouble.
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

/// How many of so many items are to make one piece, `least` at least, where large pieces cost less: each processor gets
/// one. Who shares them with others makes fewer, because that many processors are busy anyway.
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
    fn who_shares_the_processors_makes_larger_pieces() {
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
