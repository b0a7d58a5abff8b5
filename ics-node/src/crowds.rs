//! Which network has most of something, and what of it is oldest: that makes room for others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where something comes from. This machine has no network: anybody may be behind a proxy here.
pub(crate) type Network = Option<u64>;

/// The network of something, and its number: the older of two has the lower one.
pub(crate) type Key = (Network, u64);

/// All that can make room, so that what is to go is found at once, however much there is.
#[derive(Debug, Default)]
pub(crate) struct Crowds {
    /// What each network has; networks without anything are left out.
    crowds: HashMap<Network, Crowd>,
    /// Each of these networks, after how much it has and what of it is oldest. The last one makes room.
    ranks: BTreeSet<Rank>,
}

type Rank = (usize, Reverse<u64>, Network);

/// What one network has.
#[derive(Debug, Default)]
struct Crowd {
    /// How much all of it counts.
    weight: usize,
    /// How much each counts.
    members: BTreeMap<u64, usize>,
}

impl Crowd {
    fn rank(&self, network: Network) -> Option<Rank> {
        let (oldest, _) = self.members.first_key_value()?;
        Some((self.weight, Reverse(*oldest), network))
    }
}

impl Crowds {
    /// Adds what counts so much, once.
    pub(crate) fn add(&mut self, (network, number): Key, weight: usize) {
        self.change(network, |crowd| {
            let before = crowd.members.insert(number, weight).unwrap_or_default();
            crowd.weight = (crowd.weight + weight).saturating_sub(before);
        });
    }

    /// Removes it, if it is there.
    pub(crate) fn remove(&mut self, (network, number): Key) {
        self.change(network, |crowd| {
            let weight = crowd.members.remove(&number).unwrap_or_default();
            crowd.weight = crowd.weight.saturating_sub(weight);
        });
    }

    /// The oldest of the network with the most; among equal networks, of the one whose oldest is oldest.
    pub(crate) fn first(&self) -> Option<Key> {
        self.ranks.last().map(|&(_, Reverse(oldest), network)| (network, oldest))
    }

    /// How much a network has.
    pub(crate) fn weight(&self, network: Network) -> usize {
        self.crowds.get(&network).map_or(0, |crowd| crowd.weight)
    }

    /// The oldest of a network.
    pub(crate) fn oldest(&self, network: Network) -> Option<Key> {
        let (oldest, _) = self.crowds.get(&network)?.members.first_key_value()?;
        Some((network, *oldest))
    }

    /// Whether there is nothing.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.crowds.is_empty() && self.ranks.is_empty()
    }

    fn change(&mut self, network: Network, change: impl FnOnce(&mut Crowd)) {
        let mut crowd = self.crowds.remove(&network).unwrap_or_default();
        if let Some(rank) = crowd.rank(network) {
            self.ranks.remove(&rank);
        }
        change(&mut crowd);
        if let Some(rank) = crowd.rank(network) {
            self.ranks.insert(rank);
            self.crowds.insert(network, crowd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_makes_room_and_not_the_most_numerous() {
        let mut crowds = Crowds::default();
        let (many, heavy) = (Some(1), None);
        for number in 1..=3 {
            crowds.add((many, number), 2);
        }
        crowds.add((heavy, 4), 7);
        assert_eq!((crowds.first(), crowds.weight(many), crowds.weight(heavy)), (Some((heavy, 4)), 6, 7));
        assert_eq!(crowds.oldest(many), Some((many, 1)));
        crowds.remove((heavy, 4));
        crowds.remove((heavy, 4));
        assert_eq!((crowds.first(), crowds.weight(heavy), crowds.oldest(heavy)), (Some((many, 1)), 0, None));
        for number in 1..=3 {
            crowds.remove((many, number));
        }
        assert!(crowds.is_empty());
    }
}
