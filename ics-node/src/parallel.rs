//! Work on every processor.

use crate::background::breathe;

/// Maps items on all processors; the results are in the order of the items. For what computes and does not wait. Of fewer
/// than `least` items a thread more is not worth its start.
pub(crate) fn map<T: Send, R: Send>(mut items: Vec<T>, least: usize, with: impl Fn(T) -> R + Sync) -> Vec<R> {
    let share = share(items.len(), least);
    let with = &|item| {
        breathe();
        with(item)
    };
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        while items.len() > share {
            let rest = items.split_off(items.len() - share);
            running.push(scope.spawn(move || rest.into_iter().map(with).collect::<Vec<R>>()));
        }
        let mut results: Vec<R> = items.into_iter().map(with).collect();
        for thread in running.into_iter().rev() {
            // What panics there panics here.
            results.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    })
}

/// How many of so many items each processor gets: `least` at least.
pub(crate) fn share(items: usize, least: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    items.div_ceil(processors).max(least).max(1)
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 15, 16, 17, 33, 1_000] {
            let doubled = map((0..count).collect(), 16, |item: usize| 2 * item);
            assert_eq!(doubled, (0..count).map(|item| 2 * item).collect::<Vec<_>>());
        }
    }

    #[test]
    #[should_panic(expected = "odd")]
    fn what_panics_there_panics_here() {
        map((0..100).collect(), 16, |item: usize| assert!(item != 99, "odd"));
    }
}
