//! How often a domain looks at everything again because its source tells of other rights. Whoever tells of others with
//! each piece of news, or is asked now in one way and now in another, would else have all of it asked for without end.

use std::time::{Duration, Instant};

/// How many changes are followed at once: somebody may be editing the rules.
const AT_ONCE: u32 = 4;
/// How long the next one waits, twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How often everything was looked at again lately.
#[derive(Debug, Default)]
pub(crate) struct SentBack {
    times: u32,
    last: Option<Instant>,
}

impl SentBack {
    /// Whether it is time to look at everything again; if so, notes that this begins now.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let since = self.last.map(|last| now.duration_since(last));
        if since.is_some_and(|since| since > LONGEST_PAUSE.saturating_mul(2)) {
            self.times = 0;
        }
        if since.is_some_and(|since| since < self.pause()) {
            return false;
        }
        (self.times, self.last) = (self.times.saturating_add(1), Some(now));
        true
    }

    fn pause(&self) -> Duration {
        let Some(more) = self.times.checked_sub(AT_ONCE) else { return Duration::ZERO };
        let doubled = 1_u32.checked_shl(more).unwrap_or(u32::MAX);
        FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_changes_are_followed_at_once_and_the_next_ones_later_each_time() {
        let (mut sent_back, mut now) = (SentBack::default(), Instant::now());
        assert!((0..AT_ONCE).all(|_| sent_back.take_due(now)));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = Duration::from_secs(60 * minutes);
            assert!(!sent_back.take_due(now + pause / 2), "{minutes}");
            now += pause;
            assert!(sent_back.take_due(now), "{minutes}");
        }
        now += LONGEST_PAUSE * 3;
        assert!((0..AT_ONCE).all(|_| sent_back.take_due(now)), "after a long peace");
        assert!(!sent_back.take_due(now));
    }
}
