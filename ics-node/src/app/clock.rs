//! The only source of time: everything below takes time as an argument.
//!
//! A machine without a battery for its clock starts in 1970, or at the time when it was switched off. The true time is
//! later than every time that was verified, so this clock never shows less than that floor. Only what homes have
//! cosigned counts as verified, and no single home can lead a clock that is behind by more than [`LEAP_MILLIS`] beyond
//! what all others say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use crate::locked::Locked as _;

/// 2024-01-01T00:00:00Z: nothing in this network is older, so a clock that shows less has no battery and is behind.
pub(super) const EARLIEST: Timestamp = Timestamp::from_seconds(1_704_067_200);
const EARLIEST_MILLIS: u64 = EARLIEST.as_millis();
/// How many milliseconds one home may lead this clock beyond what all others say: ten years. A device may lie in a
/// warehouse for some years; a time further ahead is a mistake or a lie.
const LEAP_MILLIS: u64 = 3_653 * 24 * 60 * 60 * 1000;

/// The node's clock. It never goes back while the node runs, and never below the newest verified time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// The latest time that this clock has shown.
    given: AtomicU64,
    /// The floor, converted to the moment when the clock was started: it rises as time passes.
    floor: AtomicU64,
    /// The newest verified time of each domain.
    vouched: Mutex<BTreeMap<DomainName, u64>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            given: AtomicU64::new(0),
            floor: AtomicU64::new(EARLIEST_MILLIS),
            vouched: Mutex::default(),
        }))
    }
}

impl Clock {
    /// The system's time, or the floor or the latest time shown, if the system's clock is behind them.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let millis = system_millis().max(self.floor_millis());
        // An answer asks two or three times. Only whoever is the first to show a millisecond writes, so that threads do
        // not take this memory from each other.
        let given = self.0.given.load(Ordering::Acquire);
        let given = if given < millis { self.0.given.fetch_max(millis, Ordering::AcqRel) } else { given };
        Timestamp::from_millis(given.max(millis))
    }

    /// Lets this many milliseconds pass.
    #[cfg(test)]
    pub(crate) fn pass(&self, millis: u64) {
        let later = self.now().as_millis() + millis;
        self.0.given.fetch_max(later, Ordering::AcqRel);
    }

    /// What the system's clock shows, if it is behind the newest verified time.
    #[must_use]
    pub fn behind(&self) -> Option<Timestamp> {
        let system = system_millis();
        let is_behind = system.saturating_add(limits::CLOCK_SKEW_MILLIS) < self.floor_millis();
        is_behind.then(|| Timestamp::from_millis(system))
    }

    /// What the system's clock shows, if this clock is ahead of it: because the system's clock is behind what was
    /// verified, or was set back while the node ran.
    #[must_use]
    pub fn outrun(&self) -> Option<Timestamp> {
        let (system, now) = (system_millis(), self.now().as_millis());
        (system.saturating_add(limits::CLOCK_SKEW_MILLIS) < now).then(|| Timestamp::from_millis(system))
    }

    /// The domain with the newest verified time, and that time: this clock continues from there if the system's is
    /// behind.
    #[must_use]
    pub fn led_by(&self) -> Option<(DomainName, Timestamp)> {
        let vouched = self.0.vouched.locked();
        let (domain, millis) = vouched.iter().max_by_key(|(_, millis)| **millis)?;
        Some((domain.clone(), Timestamp::from_millis(*millis)))
    }

    /// Starts again from the system's time and from what the homes of domains other than `own` have cosigned. Only a
    /// person who has looked at the machine's clock can tell that it was ahead and is right now; to the program that
    /// looks like a clock that is behind.
    pub(crate) fn forget(&self, own: &[DomainName]) {
        let mut vouched = self.0.vouched.locked();
        vouched.retain(|domain, _| !own.contains(domain));
        let floor = vouched.values().copied().fold(EARLIEST_MILLIS, u64::max);
        self.0.floor.store(floor, Ordering::Release);
        self.0.given.store(0, Ordering::Release);
    }

    /// Takes note of a time that the home of a domain has cosigned; returns false if it is not believed.
    ///
    /// A clock that is not known to be behind is believed more than any home. One that is behind follows the home.
    pub fn learn(&self, domain: &DomainName, time: Timestamp) -> bool {
        // Compared with the system's clock and not with the floor, which would otherwise rise a little each time.
        let is_near = time.as_millis() <= system_millis().saturating_add(limits::CLOCK_SKEW_MILLIS);
        if !is_near && self.behind().is_none() {
            return false;
        }
        self.learn_stored(domain, time)
    }

    /// As [`Clock::learn`], for a time that this node had verified before it was started: its clock may have been right
    /// then.
    pub fn learn_stored(&self, domain: &DomainName, time: Timestamp) -> bool {
        let millis = time.as_millis();
        let mut vouched = self.0.vouched.locked();
        let others = vouched.iter().filter(|(name, _)| *name != domain).map(|(_, time)| *time);
        let bound = others.chain([EARLIEST_MILLIS, system_millis()]).max().unwrap_or_default();
        if millis > bound.saturating_add(LEAP_MILLIS) {
            tracing::warn!(%domain, %time, "a time that is so far ahead of all others is not believed");
            return false;
        }
        let newest = vouched.entry(domain.clone()).or_default();
        *newest = millis.max(*newest);
        self.0.floor.fetch_max(millis.saturating_sub(self.elapsed_millis()), Ordering::AcqRel);
        true
    }

    fn floor_millis(&self) -> u64 {
        self.0.floor.load(Ordering::Acquire).saturating_add(self.elapsed_millis())
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn system_millis() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(system.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;

    fn domain(name: &str) -> DomainName {
        name.parse().expect("a name")
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn never_goes_back() {
        let clock = Clock::default();
        let first = clock.now();
        assert!(clock.now() >= first);
        let ahead = first.as_millis() + 60_000;
        clock.0.given.store(ahead, Ordering::Release);
        assert_eq!(clock.now().as_millis(), ahead);
        assert_eq!(clock.outrun(), None, "clocks differ by so much");
        clock.0.given.store(first.as_millis() + YEAR, Ordering::Release);
        assert_eq!(clock.behind(), None, "nothing was verified of that time");
        assert!(clock.outrun().is_some_and(|shows| shows.as_millis() < ahead), "it was set back while the node ran");
    }

    /// The tests run on a machine whose clock is right: verifying a time in the future makes it a clock that is behind.
    #[test]
    fn a_clock_that_is_behind_follows_what_is_verified() {
        let clock = Clock::default();
        let now = clock.now().as_millis();
        assert_eq!(clock.behind(), None);
        assert!(!clock.learn(&domain("a.example"), at(now + YEAR)), "a clock that is right is believed more");
        assert!(clock.now().as_millis() < now + 60_000);

        assert!(clock.learn_stored(&domain("a.example"), at(now + YEAR)), "it was right when that was stored");
        assert!(clock.behind().is_some_and(|shows| shows.as_millis() < now + 60_000));
        let first = clock.now().as_millis();
        assert!((now + YEAR..now + YEAR + 60_000).contains(&first), "{first}");
        assert!(clock.learn(&domain("b.example"), at(now + 2 * YEAR)));
        assert!(clock.now().as_millis() >= now + 2 * YEAR);
        assert!(clock.learn(&domain("b.example"), at(now)), "what is older changes nothing");
        assert!(clock.now().as_millis() >= now + 2 * YEAR);
    }

    #[test]
    fn no_home_alone_leads_it_astray() {
        let clock = Clock::default();
        let now = clock.now().as_millis();
        let (one, other, liar) = (domain("a.example"), domain("b.example"), domain("liar.example"));
        assert!(!clock.learn_stored(&liar, at(now + 11 * YEAR)));
        assert!(!clock.learn_stored(&liar, at(u64::MAX)));
        assert_eq!(clock.behind(), None);
        assert!(clock.learn_stored(&one, at(now + YEAR)));
        for years in [9, 10, 12, 20, 40] {
            // However often the liar tries, the clock gets no further than one leap beyond the others.
            clock.learn(&liar, at(now + years * YEAR));
        }
        assert!(clock.now().as_millis() <= now + YEAR + LEAP_MILLIS + 60_000);
        assert!(clock.learn(&other, at(now + 12 * YEAR)), "two that agree lead further than one");
    }

    #[test]
    fn what_its_own_homes_signed_ahead_is_forgotten_and_nothing_else() {
        let clock = Clock::default();
        let now = clock.now().as_millis();
        let (own, other) = (domain("own.example"), domain("other.example"));
        assert!(clock.learn_stored(&own, at(now + YEAR)) && clock.learn_stored(&other, at(now - YEAR)));
        assert_eq!(clock.led_by(), Some((own.clone(), at(now + YEAR))));
        assert!(clock.now().as_millis() >= now + YEAR);
        clock.forget(core::slice::from_ref(&own));
        assert_eq!((clock.behind(), clock.led_by()), (None, Some((other.clone(), at(now - YEAR)))));
        assert!((now..now + 60_000).contains(&clock.now().as_millis()), "it is back");

        assert!(clock.learn_stored(&own, at(now + 2 * YEAR)) && clock.learn_stored(&other, at(now + YEAR)));
        clock.forget(core::slice::from_ref(&own));
        assert!(clock.behind().is_some() && clock.now().as_millis() >= now + YEAR, "others have seen that time");
    }

    #[test]
    fn a_clock_that_is_right_is_not_led_on_little_by_little() {
        let clock = Clock::default();
        let first = clock.now().as_millis();
        for _ in 0..100 {
            clock.learn(&domain("liar.example"), at(clock.now().as_millis() + limits::CLOCK_SKEW_MILLIS));
        }
        assert!(clock.now().as_millis() <= first + limits::CLOCK_SKEW_MILLIS + 60_000);
    }

    #[test]
    fn the_floor_rises_with_time() {
        let clock = Clock::default();
        let floor = clock.floor_millis();
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(clock.floor_millis() > floor);
        assert!(floor >= EARLIEST_MILLIS);
    }
}
