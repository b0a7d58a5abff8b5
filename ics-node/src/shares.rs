//! How often each of many clients may ask: budgets in a table of bounded size, however many clients there are.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Slots that are allocated once one of them is used: a node that few clients ask needs little memory.
type Page = OnceLock<Box<[AtomicU64]>>;

/// Slots in a page: as many as fit in a memory page of the system.
const PAGE_SLOTS: usize = 512;

/// The generic cell rate algorithm (ITU-T I.371, annex A) over a table of times: each slot holds the millisecond at
/// which its budget will be full again. Clients beyond the number of slots share them, so that memory is bounded at
/// eight bytes per slot; nobody can choose whom to share with, since the hash is keyed.
pub(crate) struct Shares {
    started: Instant,
    pages: Box<[Page]>,
    hasher: RandomState,
    /// Milliseconds in which one request is earned.
    earned_in: u64,
    /// The most milliseconds that may be owed.
    depth: u64,
}

impl Shares {
    /// At least `slots` slots. Each allows `burst` requests at once, and one more every `earned_in` milliseconds.
    pub(crate) fn new(slots: usize, burst: u32, earned_in: u64) -> Self {
        let (started, earned_in) = (Instant::now(), earned_in.max(1));
        let pages = (0..slots.div_ceil(PAGE_SLOTS)).map(|_| Page::new()).collect();
        Self { started, pages, hasher: RandomState::new(), earned_in, depth: earned_in * u64::from(burst.max(1)) }
    }

    /// Budgets for 4,096 askers, in 32 KiB: each allows so many requests a minute, and so many at once.
    pub(crate) fn of_askers(per_minute: u64, at_once: u32) -> Self {
        Self::new(4_096, at_once, 60_000 / per_minute.max(1))
    }

    /// Takes one request.
    ///
    /// # Errors
    /// With the seconds, at least one, until there is a request again.
    pub(crate) fn take(&self, who: impl Hash) -> Result<(), u64> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.take_at(who, now)
    }

    /// Gives back one request that was taken.
    pub(crate) fn give_back(&self, who: impl Hash) {
        let less = |whole_at: u64| Some(whole_at.saturating_sub(self.earned_in));
        if let Some(slot) = self.slot(who) {
            // It is never refused.
            let _ = slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        }
    }

    fn take_at(&self, who: impl Hash, now: u64) -> Result<(), u64> {
        let Some(slot) = self.slot(who) else { return Ok(()) };
        let spent = |whole_at: u64| {
            let whole_at = whole_at.max(now).saturating_add(self.earned_in);
            (whole_at - now <= self.depth).then_some(whole_at)
        };
        match slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, spent) {
            Ok(_) => Ok(()),
            Err(whole_at) => {
                let room_at = whole_at.saturating_add(self.earned_in).saturating_sub(self.depth);
                Err(room_at.saturating_sub(now).div_ceil(1000).max(1))
            }
        }
    }

    fn slot(&self, who: impl Hash) -> Option<&AtomicU64> {
        let slots = (self.pages.len() * PAGE_SLOTS).max(1) as u64;
        let place = usize::try_from(self.hasher.hash_one(who) % slots).unwrap_or_default();
        let page = self.pages.get(place / PAGE_SLOTS)?;
        let page = page.get_or_init(|| (0..PAGE_SLOTS).map(|_| AtomicU64::new(0)).collect());
        page.get(place % PAGE_SLOTS)
    }
}

/// Identifies a client: by an IPv4 address, or by the IPv6 /48 that one site may have to itself (RFC 6177). Whoever has
/// a /48 has 65,536 networks of the size that one link takes, and would otherwise have as many budgets and places.
pub(crate) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => u64::try_from(u128::from(address) >> 80).unwrap_or_default(),
    }
}

/// The network of a client elsewhere. This machine has none: anybody may be behind a proxy here.
pub(crate) fn elsewhere(address: IpAddr) -> Option<u64> {
    let address = address.to_canonical();
    (!address.is_loopback()).then(|| network(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_as_fast_as_it_is_earned() {
        let budget = Shares::new(65_536, 3, 2_000);
        let client = network(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..3 {
            assert_eq!(budget.take_at(client, 10), Ok(()));
        }
        assert_eq!(budget.take_at(client, 10), Err(2));
        assert_eq!(budget.take_at(client, 1_009), Err(2));
        assert_eq!(budget.take_at(client, 1_010), Err(1), "a refusal costs nothing");
        assert_eq!(budget.take_at(client, 2_010), Ok(()));
        assert_eq!(budget.take_at(client, 2_010), Err(2));
        assert_eq!(
            (0..5).filter(|_| budget.take_at(client, 60_000).is_ok()).count(),
            3,
            "it never grows past its burst"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Shares::new(65_536, 2, 60_000);
        let client = network(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..10 {
            assert_eq!(budget.take_at(client, 0), Ok(()));
            budget.give_back(client);
        }
        assert_eq!((budget.take_at(client, 0), budget.take_at(client, 0)), (Ok(()), Ok(())));
        assert!(budget.take_at(client, 0).is_err(), "no more than was taken");
    }

    #[test]
    fn others_have_their_own_and_a_site_of_ipv6_has_one() {
        let budget = Shares::new(65_536, 1, 60_000);
        let v6 = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(budget.take_at(v6("2001:db8::1"), 0), Ok(()));
        for same in ["2001:db8::ffff:2", "2001:db8:0:ffff::1"] {
            assert_eq!(budget.take_at(v6(same), 0), Err(60), "{same}");
        }
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:1::1"), "another site");
        assert_eq!(network(IpAddr::from([192, 0, 2, 1])), network("::ffff:192.0.2.1".parse().expect("mapped")));
        let others =
            (0..100).filter(|last| budget.take_at(network(IpAddr::from([10, 0, 0, *last])), 0).is_ok()).count();
        assert!(others >= 98, "{others} of 100 do not share a slot");
    }

    #[test]
    fn this_machine_has_no_network() {
        let is_elsewhere = |address: &str| elsewhere(address.parse().expect("an address")).is_some();
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(!is_elsewhere(here), "{here}");
        }
        assert!(is_elsewhere("192.0.2.1") && is_elsewhere("2001:db8::1"));
    }
}
