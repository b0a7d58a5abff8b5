//! Room for what clients have not taken yet, or have begun to send. Each holds it as long as they like, so what is held
//! at once is bounded, and whoever needs room may have what others hold for too long, or more of than they.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ics_core::limits;

use crate::crowds::{Crowds, Key, Network};
use crate::locked::Locked as _;
use crate::room::{Full, Held, Room};
use crate::seats::Cut;

/// What is held for a client counts in pieces of so many bytes.
pub(crate) const UNIT: usize = 32 * 1024;

/// How long a stranger keeps the room of what it does not take, if others want it that hold less.
const PATIENCE: Duration = Duration::from_secs(limits::HTTP_ANSWER_SECONDS);

/// The room, and who holds it.
pub(crate) struct Untaken {
    room: Room,
    strangers: Mutex<Strangers>,
    patience: Duration,
}

/// What strangers hold that can be cut.
#[derive(Default)]
struct Strangers {
    last: u64,
    crowds: Crowds,
    holdings: HashMap<Key, Holding>,
}

struct Holding {
    since: Instant,
    count: u32,
    /// `None` once it has made room.
    _held: Option<Held>,
    cut: Cut,
}

/// For whom something is held.
pub(crate) struct Taker {
    pub(crate) is_stranger: bool,
    pub(crate) network: Network,
    /// What cuts its connection; without it, what it holds makes no room for others.
    pub(crate) cut: Option<Cut>,
    /// Whether it cannot be refused, because it was already done what it asked for.
    pub(crate) insists: bool,
}

/// Room that is taken until this is dropped, or others need it more.
pub(crate) struct Taken(Holder);

enum Holder {
    /// It can only be given back.
    Here { _held: Held },
    /// It is among what makes room for others.
    There(Key, Arc<Untaken>),
}

impl Untaken {
    /// Room for so many bytes of what strangers have not taken, of which one network gets one in so many parts, or a
    /// single thing. For those whom the node knows there is an eighth more.
    pub(crate) fn new(bytes: usize, parts: usize) -> Self {
        let units = bytes / UNIT;
        Self::of(Room::parted(units + units / 8, units, parts))
    }

    /// This room, of which a single byte takes one place.
    pub(crate) fn of(room: Room) -> Self {
        Self { room, strangers: Mutex::default(), patience: PATIENCE }
    }

    /// Takes room for so many bytes. If there is none, strangers make some: the network that holds most loses what it
    /// has held longest, as long as it holds more than the newcomer's would then, or has held it too long. Whoever is
    /// known, or insists, counts as holding nothing. If it is the newcomer's own network that may have no more, that
    /// one makes room.
    ///
    /// # Errors
    /// When that makes too little room; then nobody loses anything.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize, taker: Taker) -> Result<Taken, Full> {
        let units = bytes.div_ceil(UNIT);
        let count = u32::try_from(units).map_err(|_| Full::All)?;
        let (mut strangers, mut displaced) = (self.strangers(), Vec::new());
        let held = loop {
            let full = match self.room.take_many(count, taker.is_stranger, taker.network) {
                Ok(held) => break Ok(held),
                Err(full) => full,
            };
            match strangers.makes_room(full, &taker, units, self.patience) {
                Some(key) => {
                    let holding = strangers.remove(key);
                    displaced.extend(holding.map(|holding| (key, Holding { _held: None, ..holding })));
                }
                None => break Err(full),
            }
        };
        if held.is_err() {
            for (key, holding) in displaced.drain(..) {
                // It is still there: room is taken under the lock only.
                let again = self.room.take_many(holding.count, true, key.0).ok();
                strangers.put(key, Holding { _held: again, ..holding });
            }
        }
        let Taker { is_stranger, network, cut, .. } = taker;
        let taken = held.map(|held| match cut.filter(|_| is_stranger) {
            None => held.into(),
            Some(cut) => {
                let holding = Holding { since: Instant::now(), count, _held: Some(held), cut };
                Taken(Holder::There(strangers.add(network, holding), Arc::clone(self)))
            }
        });
        drop(strangers);
        for (_, holding) in displaced {
            holding.cut.cut();
        }
        taken
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.locked()
    }
}

impl Strangers {
    fn add(&mut self, network: Network, holding: Holding) -> Key {
        self.last += 1;
        let key = (network, self.last);
        self.put(key, holding);
        key
    }

    fn put(&mut self, key: Key, holding: Holding) {
        self.crowds.add(key, holding.count as usize);
        self.holdings.insert(key, holding);
    }

    fn remove(&mut self, key: Key) -> Option<Holding> {
        self.crowds.remove(key);
        self.holdings.remove(&key)
    }

    /// What is to go for a newcomer; `None` if nothing is.
    fn makes_room(&self, full: Full, taker: &Taker, units: usize, patience: Duration) -> Option<Key> {
        let key = match full {
            Full::Network(_) => self.crowds.oldest(taker.network),
            Full::All => self.crowds.first(),
        }?;
        let is_light = taker.insists || !taker.is_stranger;
        let with_it = if is_light { 0 } else { self.crowds.weight(taker.network) + units };
        let is_overdue = || self.holdings.get(&key).is_some_and(|it| it.since.elapsed() >= patience);
        (self.crowds.weight(key.0) > with_it || is_overdue()).then_some(key)
    }
}

impl From<Held> for Taken {
    /// Room of another kind, which makes none for others.
    fn from(held: Held) -> Self {
        Self(Holder::Here { _held: held })
    }
}

impl Taken {
    /// Makes no room for others from now on.
    pub(crate) fn keep(&self) {
        if let Holder::There(key, untaken) = &self.0 {
            untaken.strangers().crowds.remove(*key);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Holder::There(key, untaken) = &self.0 {
            untaken.strangers().remove(*key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::AbortHandle;

    use super::*;
    use crate::seats::{Seated, Seats};

    /// A connection from a network of its own, and what tells whether it was cut.
    fn connect(seats: &Arc<Seats>, network: u8) -> (Seated, AbortHandle) {
        let (seated, cut) = seats.take([192, 0, 2, network].into()).expect("room");
        (seated, cut.handle())
    }

    fn take(untaken: &Arc<Untaken>, seated: &Seated, units: usize, insists: bool) -> Result<Taken, Full> {
        let (network, cut) = (seated.network(), Some(seated.cut()));
        untaken.take(units * UNIT, Taker { is_stranger: true, network, cut, insists })
    }

    /// Otherwise clients in a few networks that take nothing keep everybody else from long answers.
    #[test]
    fn who_holds_most_makes_room_for_who_holds_less() {
        let (seats, untaken) = (Arc::new(Seats::new("test", 99)), Arc::new(Untaken::new(16 * UNIT, 4)));
        let crowd: Vec<_> = (0..8).map(|number| connect(&seats, 1 + number / 2)).collect();
        let mut held: Vec<_> = crowd.iter().map(|(it, _)| take(&untaken, it, 2, false).expect("its part")).collect();
        let are_cut = || crowd.iter().map(|(_, cut)| cut.is_aborted()).collect::<Vec<_>>();
        let newcomer = connect(&seats, 5).0;
        held.push(take(&untaken, &newcomer, 1, false).expect("the oldest of the first network goes"));
        assert_eq!(are_cut(), [true, false, false, false, false, false, false, false]);
        let another = connect(&seats, 6).0;
        held.push(take(&untaken, &another, 3, false).expect("and of the second"));
        assert_eq!(are_cut(), [true, false, true, false, false, false, false, false]);
        assert_eq!(seats.counts().slow, 2);
        // Nobody holds more than this one would, and nobody is known to be slow yet.
        let third = connect(&seats, 7).0;
        assert_eq!(take(&untaken, &third, 4, false).err(), Some(Full::All));
        let known = Taker { is_stranger: false, network: None, cut: None, insists: false };
        held.push(untaken.take(3 * UNIT, known).expect("who is known finds room, beside strangers or in their place"));
        drop(held);
        let whole = take(&untaken, &third, 16, false).expect("all was given back, once");
        assert_eq!(take(&untaken, &newcomer, 16, false).err(), Some(Full::All));
        drop(whole);
        let strangers = untaken.strangers();
        assert!(strangers.crowds.is_empty() && strangers.holdings.is_empty());
    }

    #[test]
    fn nobody_is_cut_for_a_newcomer_who_finds_no_room_all_the_same() {
        let (seats, untaken) = (Arc::new(Seats::new("test", 99)), Arc::new(Untaken::new(16 * UNIT, 4)));
        let networks = [1, 1, 2, 3, 4, 5, 6, 7];
        let crowd = networks.map(|network| connect(&seats, network));
        let mut held: Vec<_> = crowd.iter().map(|(it, _)| take(&untaken, it, 2, false).expect("its part")).collect();
        let newcomer = connect(&seats, 8).0;
        assert_eq!(take(&untaken, &newcomer, 3, false).err(), Some(Full::All), "one who holds more is not enough");
        let known = Taker { is_stranger: false, network: None, cut: None, insists: false };
        assert_eq!(untaken.take(19 * UNIT, known).err(), Some(Full::All), "more than there is, also for who is known");
        assert!(crowd.iter().all(|(_, cut)| !cut.is_aborted()));
        held.push(take(&untaken, &newcomer, 2, false).expect("for less it is"));
        assert!(crowd[0].1.is_aborted() && !crowd[1].1.is_aborted(), "it is still the oldest");
        drop(held);
        assert!(take(&untaken, &newcomer, 16, false).is_ok(), "all was given back, once");
    }

    #[test]
    fn who_is_too_slow_makes_room_for_anybody() {
        let seats = Arc::new(Seats::new("test", 99));
        for (patience, is_displaced) in [(PATIENCE, false), (Duration::ZERO, true)] {
            let untaken = Arc::new(Untaken { patience, ..Untaken::new(4 * UNIT, 2) });
            let [slow, same, other] = [1, 1, 2].map(|network| connect(&seats, network));
            let _slow = take(&untaken, &slow.0, 2, false).expect("room");
            assert_eq!(take(&untaken, &same.0, 1, false).is_ok(), is_displaced, "its own network");
            assert_eq!(slow.1.is_aborted(), is_displaced);
            assert_eq!(take(&untaken, &other.0, 4, false).is_ok(), is_displaced, "as much as there is");
        }
    }

    /// What was done cannot be refused any more.
    #[test]
    fn who_insists_finds_room() {
        let (seats, untaken) = (Arc::new(Seats::new("test", 99)), Arc::new(Untaken::new(8 * UNIT, 2)));
        let [first, second, own] = [1, 2, 1].map(|network| connect(&seats, network));
        let _held = [&first, &second].map(|(it, _)| take(&untaken, it, 4, false).expect("its part"));
        assert_eq!(take(&untaken, &own.0, 1, false).err(), Some(Full::Network(4)));
        let _insists = take(&untaken, &own.0, 1, true).expect("its own network makes room");
        assert!(first.1.is_aborted() && !second.1.is_aborted());
        let larger = connect(&seats, 3).0;
        let _larger = take(&untaken, &larger, 5, true).expect("and so do others");
        assert!(second.1.is_aborted());
    }
}
