//! Room for what a client may hold for long: a stream of news, a search that is kept in step, a body that is yet to
//! arrive, a submission that waits for another node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::locked::Locked as _;

/// A number of places. Strangers share a part of them, so that clients known to this node find the rest free. One
/// network gets only a part of that part, so that no host takes the places of all. But a single thing that needs more
/// places than that may have them, if the network has none yet: otherwise it could never be had.
#[derive(Clone)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    networks: Networks,
}

/// How many places strangers of each network hold, and how many they may hold at most.
#[derive(Debug, Clone)]
struct Networks {
    held: Arc<Mutex<HashMap<u64, usize>>>,
    most: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken, or the part that is the strangers'.
    All,
    /// Strangers of this client's network hold this many, and may hold no more.
    Network(usize),
}

impl Room {
    /// This many places, of which strangers get half, and those of one network at most `of_network`.
    pub(crate) fn new(places: usize, of_network: usize) -> Self {
        Self::shared(places, places / 2, of_network)
    }

    /// This many places, of which strangers get at most `of_strangers`, and those of one network one in so many parts
    /// of these.
    pub(crate) fn parted(places: usize, of_strangers: usize, parts: usize) -> Self {
        Self::shared(places, of_strangers, of_strangers.div_ceil(parts.max(1)))
    }

    fn shared(places: usize, of_strangers: usize, of_network: usize) -> Self {
        let [all, strangers] = [places, of_strangers].map(|places| Arc::new(Semaphore::new(places)));
        Self { all, strangers, networks: Networks { held: Arc::default(), most: of_network } }
    }

    /// Takes a place, until it is dropped; a stranger also takes one of the share of its network, if that is given.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn take(&self, is_stranger: bool, network: Option<u64>) -> Result<Held, Full> {
        self.take_many(1, is_stranger, network)
    }

    /// As [`Room::take`], for what takes this many places.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn take_many(&self, count: u32, is_stranger: bool, network: Option<u64>) -> Result<Held, Full> {
        let place = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_many_owned(count).map_err(|_| Full::All);
        let network = network.filter(|_| is_stranger);
        let of_network = network.map(|network| self.networks.take(network, count as usize)).transpose()?;
        let of_strangers = is_stranger.then(|| place(&self.strangers)).transpose()?;
        Ok(Held { _of_all: place(&self.all)?, _of_strangers: of_strangers, _of_network: of_network })
    }
}

impl Networks {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.held.locked()
    }

    fn take(&self, network: u64, count: usize) -> Result<OfNetwork, Full> {
        let mut held = self.held();
        let places = held.get(&network).copied().unwrap_or_default();
        if places > 0 && count > self.most.saturating_sub(places) {
            return Err(Full::Network(places));
        }
        held.insert(network, places + count);
        Ok(OfNetwork { network, count, networks: self.clone() })
    }
}

/// A place that is taken.
pub(crate) struct Held {
    _of_all: OwnedSemaphorePermit,
    _of_strangers: Option<OwnedSemaphorePermit>,
    _of_network: Option<OfNetwork>,
}

/// Some of the places that a network holds.
struct OfNetwork {
    network: u64,
    count: usize,
    networks: Networks,
}

impl Drop for OfNetwork {
    fn drop(&mut self) {
        let mut held = self.networks.held();
        let left = held.get(&self.network).map_or(0, |places| places.saturating_sub(self.count));
        if left == 0 {
            held.remove(&self.network);
        } else {
            held.insert(self.network, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use ics_core::limits;

    use super::*;

    #[test]
    fn strangers_leave_room_for_those_who_are_known() {
        let room = Room::new(4, 4);
        let strangers: Vec<_> = (0..2).map(|number| room.take(true, Some(number)).expect("room")).collect();
        assert_eq!(room.take(true, Some(7)).err(), Some(Full::All), "half of it is theirs");
        let known: Vec<_> = (0..2).map(|_| room.take(false, Some(7)).expect("room")).collect();
        assert_eq!(room.take(false, Some(7)).err(), Some(Full::All), "and no more is there");
        drop((strangers, known));
        assert!(room.take(true, Some(7)).is_ok(), "what is given back is there again");
    }

    #[test]
    fn four_networks_share_what_is_the_strangers() {
        for (places, of_strangers, of_network) in [(64, 64, 16), (64, 6, 2), (2, 1, 1), (0, 0, 0)] {
            let room = Room::parted(places, of_strangers, 4);
            let of_one: Vec<_> = (0..=of_network).map_while(|_| room.take(true, Some(1)).ok()).collect();
            assert_eq!(of_one.len(), of_network, "of {of_strangers}");
            let others: Vec<_> = (2..).map_while(|number| room.take(true, Some(number)).ok()).collect();
            assert_eq!(others.len(), of_strangers - of_network, "the others have the rest");
            let known: Vec<_> = (0..=places).map_while(|_| room.take(false, Some(1)).ok()).collect();
            assert_eq!(known.len(), places - of_strangers, "and who is known has what no stranger gets");
        }
    }

    #[test]
    fn a_single_thing_may_need_more_places_than_a_network_has() {
        let room = Room::parted(16, 16, 4);
        let large = room.take_many(16, true, Some(1)).expect("its network has nothing else");
        assert_eq!(room.take(true, Some(1)).err(), Some(Full::Network(16)), "nothing beside it");
        drop(large);
        let _one = room.take(true, Some(1)).expect("room");
        assert_eq!(room.take_many(4, true, Some(1)).err(), Some(Full::Network(1)), "one more than its part");
        assert!(room.take_many(3, true, Some(1)).is_ok());
    }

    #[test]
    fn no_network_has_the_places_of_all_strangers() {
        for (places, of_network) in [
            (limits::LDAP_IN_STEP, limits::LDAP_IN_STEP_OF_NETWORK),
            (limits::LDAP_LONG_MESSAGES, limits::LDAP_LONG_MESSAGES_OF_NETWORK),
        ] {
            let room = Room::new(places, of_network);
            let take = |network| room.take(true, network);
            let mut of_one: Vec<_> = (0..of_network).map(|_| take(Some(1)).expect("its share")).collect();
            assert_eq!(take(Some(1)).err(), Some(Full::Network(of_network)), "one more than its share");
            assert!(take(Some(2)).is_ok(), "others have theirs");
            assert!(room.take(false, Some(1)).is_ok(), "whoever is known comes from anywhere");
            of_one.pop();
            of_one.push(take(Some(1)).expect("what is given back is there again"));
            drop(of_one);
            assert!(room.networks.held().is_empty(), "and nothing is remembered of who has gone");
            let local: Vec<_> = (0..places / 2).map(|_| take(None).expect("room")).collect();
            assert!(local.len() > of_network, "on this machine anybody's proxy may stand");
        }
    }
}
