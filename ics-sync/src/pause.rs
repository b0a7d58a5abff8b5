//! When to try again: waiting times that grow with failures and differ between nodes.

use ics_core::time::Timestamp;

/// Milliseconds before the first retry after a failure.
const RETRY_MILLIS: u64 = 1_000;
/// Milliseconds that no retry exceeds: a link may be up for two minutes at a time, and a node that waits for a recall
/// must ask at least twice a minute.
const LONGEST_RETRY_MILLIS: u64 = 30_000;

/// A time during which nothing is asked.
///
/// It also has a beginning: a clock that is put back ends it, whereas waiting for its end could take years.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pause {
    since: Timestamp,
    until: Timestamp,
}

impl Pause {
    pub(crate) const fn of(now: Timestamp, millis: u64) -> Self {
        Self { since: now, until: now.plus_millis(millis) }
    }

    /// Until when to wait; `None` if not at all.
    pub(crate) fn until(self, now: Timestamp) -> Option<Timestamp> {
        (self.since <= now && now < self.until).then_some(self.until)
    }
}

/// Milliseconds to wait after this many consecutive failures: doubled each time, then reduced to between half and all
/// of it.
pub(crate) fn retry_millis(failures: u32, seed: u64) -> u64 {
    retry_millis_upto(LONGEST_RETRY_MILLIS, failures, seed)
}

/// The same, where the longest wait is another one.
pub(crate) fn retry_millis_upto(longest: u64, failures: u32, seed: u64) -> u64 {
    let doubled = RETRY_MILLIS.saturating_mul(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
    jittered(doubled.min(longest), seed.wrapping_add(failures.into()))
}

/// Between half and all of a time, so that nodes that failed together do not return together.
pub(crate) const fn jittered(millis: u64, seed: u64) -> u64 {
    let half = millis / 2;
    millis - mix(seed) % (half + 1)
}

/// SplitMix64's finaliser: neighbouring seeds give unrelated numbers.
const fn mix(seed: u64) -> u64 {
    let a = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_grow_and_stay_within_bounds() {
        for (failures, most) in [(1, 1_000), (2, 2_000), (5, 16_000), (6, 30_000), (200, 30_000)] {
            for seed in 0..50 {
                let millis = retry_millis(failures, seed);
                assert!((most / 2..=most).contains(&millis), "{failures} failures: {millis}");
            }
        }
    }

    #[test]
    fn nodes_do_not_return_together() {
        let times: std::collections::BTreeSet<u64> = (0..100).map(|seed| retry_millis(6, seed)).collect();
        assert!(times.len() > 95, "{} different times", times.len());
        assert_eq!(retry_millis(6, 7), retry_millis(6, 7));
    }

    #[test]
    fn a_clock_put_back_ends_a_pause() {
        let at = Timestamp::from_millis;
        let pause = Pause::of(at(1_000), 500);
        assert_eq!(pause.until(at(1_000)), Some(at(1_500)));
        assert_eq!(pause.until(at(1_499)), Some(at(1_500)));
        assert_eq!((pause.until(at(1_500)), pause.until(at(999))), (None, None));
        assert_eq!(Pause::default().until(at(0)), None);
    }
}
