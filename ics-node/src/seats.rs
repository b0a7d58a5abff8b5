//! Places for connections, which strangers cannot keep from others.
//!
//! A client is a stranger until it has identified itself or said what it wants, so there must be a place for it even
//! when all are taken. The network with the most connections that need not be kept gives one up: the oldest of these is
//! cut off. So a client that holds many places holds them only until they are needed. The servers say which connections
//! are kept: the directory keeps those of clients that it knows, the public HTTP server those that wait for an answer.

mod sending;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, AbortRegistration};

use self::sending::Ended;
pub(crate) use self::sending::Sending;
use crate::crowds::{Crowds, Key, Network};
use crate::locked::Locked as _;
use crate::shares::elsewhere;

/// The least time between two lines in the log that say that all places are taken.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// All places of a server.
#[derive(Debug)]
pub(crate) struct Seats {
    /// What the log and the metrics call the server.
    server: &'static str,
    most: usize,
    taken: Mutex<Taken>,
}

/// How many places there are, how many are taken, and what has become of connections since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) places: usize,
    pub(crate) taken: usize,
    /// Connections that were cut to make room for newcomers.
    pub(crate) displaced: u64,
    /// Newcomers for whom there was no room.
    pub(crate) refused: u64,
    /// Connections that were cut because their clients did not finish what they had begun.
    pub(crate) overdue: u64,
    /// Connections that were cut because others needed the room of what their clients had not taken, or not yet sent.
    pub(crate) slow: u64,
}

#[derive(Debug, Default)]
struct Taken {
    last: u64,
    seats: HashMap<Key, Seat>,
    /// The connections that need not be kept.
    crowds: Crowds,
    displaced: u64,
    refused: u64,
    overdue: u64,
    slow: u64,
    /// When the log was last told that all places are taken.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Seat {
    /// How many values of [`Kept`] there are.
    keepers: usize,
    sending: Arc<Sending>,
    /// Aborts the future that serves the connection.
    cut: AbortHandle,
}

impl Seat {
    /// Looks whether it has ended, which one that is kept has not.
    fn ended(&self) -> Option<Ended> {
        if self.keepers == 0 { self.sending.look() } else { None }
    }
}

/// The place of a connection; given back when dropped.
pub(crate) struct Seated {
    key: Key,
    sending: Arc<Sending>,
    seats: Arc<Seats>,
}

/// Cuts a connection, whoever keeps its place.
pub(crate) struct Cut {
    key: Key,
    seats: Arc<Seats>,
}

/// Keeps a place from others until dropped, wherever that happens.
pub(crate) struct Kept {
    key: Key,
    seats: Arc<Seats>,
}

impl Seats {
    /// A number of places at this server; at least one.
    pub(crate) fn new(server: &'static str, most: usize) -> Self {
        Self { server, most: most.max(1), taken: Mutex::default() }
    }

    /// What the log and the metrics call the server.
    pub(crate) const fn server(&self) -> &'static str {
        self.server
    }

    /// How many places there are, how many are taken, and what has become of connections.
    pub(crate) fn counts(&self) -> Counts {
        let taken = self.taken();
        Counts {
            places: self.most,
            taken: taken.seats.len(),
            displaced: taken.displaced,
            refused: taken.refused,
            overdue: taken.overdue,
            slow: taken.slow,
        }
    }

    /// Takes a place for a connection from this address; `None` if all are taken by connections that are kept. The
    /// future that serves the connection must end with the registration (`Abortable`).
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<(Seated, AbortRegistration)> {
        let network = elsewhere(address);
        let (cut, registration) = AbortHandle::new_pair();
        let mut taken = self.taken();
        let is_full = taken.seats.len() >= self.most;
        let leaves = if is_full { taken.displace() } else { None };
        let is_seated = !is_full || leaves.is_some();
        let sending = Arc::new(Sending::default());
        let key = is_seated.then(|| taken.seat(network, Arc::clone(&sending), cut));
        let tells = is_full && taken.is_to_be_told();
        drop(taken);
        if let Some(leaves) = leaves {
            leaves.abort();
        }
        if tells {
            self.tell();
        }
        Some((Seated { key: key?, sending, seats: Arc::clone(self) }, registration))
    }

    /// Cuts each connection that is not kept and over which nothing was or is to be sent since this was last called.
    pub(crate) fn cut_ended(&self) {
        let mut taken = self.taken();
        let ended: Vec<_> = taken.seats.iter().filter_map(|(key, seat)| Some((*key, seat.ended()?))).collect();
        taken.overdue += ended.iter().filter(|(_, why)| *why == Ended::Overdue).count() as u64;
        let cut: Vec<AbortHandle> = ended.into_iter().filter_map(|(key, _)| taken.leave(key)).collect();
        drop(taken);
        cut.iter().for_each(AbortHandle::abort);
    }

    fn tell(&self) {
        let Counts { places, displaced, refused, .. } = self.counts();
        let text = "all places for connections are taken: for each newcomer one is closed whose client waits for \
                    nothing, or the newcomer, if there is none";
        tracing::warn!(server = self.server, places, closed = displaced, refused, "{text}");
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.locked()
    }
}

impl Taken {
    fn seat(&mut self, network: Network, sending: Arc<Sending>, cut: AbortHandle) -> Key {
        self.last += 1;
        let key = (network, self.last);
        self.seats.insert(key, Seat { keepers: 0, sending, cut });
        self.crowds.add(key, 1);
        key
    }

    /// Gives the place back, if the connection still has it; returns what cuts it off.
    fn leave(&mut self, key: Key) -> Option<AbortHandle> {
        let seat = self.seats.remove(&key)?;
        self.crowds.remove(key);
        Some(seat.cut)
    }

    /// Gives back the place of the connection whose turn it is; `None` if all are kept.
    fn displace(&mut self) -> Option<AbortHandle> {
        let key = self.crowds.first();
        let leaves = key.and_then(|key| self.leave(key));
        let count = if leaves.is_some() { &mut self.displaced } else { &mut self.refused };
        *count += 1;
        leaves
    }

    /// Whether the log has not been told lately that all places are taken; now it is.
    fn is_to_be_told(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    fn keep(&mut self, key: Key) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        seat.keepers += 1;
        if seat.keepers == 1 {
            self.crowds.remove(key);
        }
    }

    fn release(&mut self, key: Key) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        seat.keepers = seat.keepers.saturating_sub(1);
        if seat.keepers == 0 {
            // What it was kept for may have taken long, and the answer is yet to be sent.
            seat.sending.begin();
            self.crowds.add(key, 1);
        }
    }
}

impl Seated {
    /// The network that the connection comes from; `None` if that is this machine.
    pub(crate) const fn network(&self) -> Option<u64> {
        self.key.0
    }

    /// Whether anything keeps the place.
    pub(crate) fn is_kept(&self) -> bool {
        self.seats.taken().seats.get(&self.key).is_some_and(|seat| seat.keepers > 0)
    }

    /// Where the connection notes what becomes of its answers.
    pub(crate) fn sending(&self) -> Arc<Sending> {
        Arc::clone(&self.sending)
    }

    /// What cuts the connection if others need what it holds.
    pub(crate) fn cut(&self) -> Cut {
        Cut { key: self.key, seats: Arc::clone(&self.seats) }
    }

    /// Keeps the place until the returned value, and all others of this connection, are dropped.
    pub(crate) fn kept(&self) -> Kept {
        self.seats.taken().keep(self.key);
        Kept { key: self.key, seats: Arc::clone(&self.seats) }
    }
}

impl Cut {
    /// Cuts the connection, if it has not ended.
    pub(crate) fn cut(self) {
        let mut taken = self.seats.taken();
        let leaves = taken.leave(self.key);
        taken.slow += u64::from(leaves.is_some());
        drop(taken);
        if let Some(leaves) = leaves {
            leaves.abort();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.seats.taken().release(self.key);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.taken().leave(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use futures_util::future::{Abortable, Aborted};
    use tokio::task::JoinHandle;

    use super::*;

    type Connection = JoinHandle<Result<(), Aborted>>;

    /// A connection that stays until it is cut off.
    fn connect(seats: &Arc<Seats>, address: &str, is_kept: bool) -> Option<Connection> {
        let (seated, cut) = seats.take(address.parse().expect("an address"))?;
        let kept = is_kept.then(|| seated.kept());
        let stays = async move {
            std::future::pending::<()>().await;
            drop((kept, seated));
        };
        Some(tokio::spawn(Abortable::new(stays, cut)))
    }

    async fn is_cut(connection: Connection) -> bool {
        connection.await.expect("ends") == Err(Aborted)
    }

    #[tokio::test]
    async fn the_crowd_makes_room() {
        let seats = Arc::new(Seats::new("test", 5));
        let crowd = ["2001:db8::1", "2001:db8::2", "2001:db8:0:ffff::3"];
        let known = connect(&seats, "2001:db8::9", true).expect("room");
        let alone = connect(&seats, "192.0.2.1", false).expect("room");
        let mut crowd = crowd.map(|address| connect(&seats, address, false).expect("room")).into_iter();
        let mut others = Vec::new();
        // Whether the newcomers share a network or not: the network that holds most loses its oldest connection.
        for address in ["198.51.100.1", "203.0.113.7"] {
            others.push(connect(&seats, address, false).expect("there is always room"));
            assert!(is_cut(crowd.next().expect("one more")).await);
        }
        assert!(!alone.is_finished() && others.iter().all(|other| !other.is_finished()));
        // Now each network has one connection: the oldest that is not kept goes.
        others.push(connect(&seats, "127.0.0.1", false).expect("there is always room"));
        assert!(is_cut(alone).await);
        assert!(!known.is_finished(), "who is kept stays");
        assert_eq!(seats.counts(), Counts { places: 5, taken: 5, displaced: 3, refused: 0, overdue: 0, slow: 0 });
        known.abort();
        assert!(known.await.expect_err("has gone").is_cancelled());
        assert_eq!(seats.counts().taken, 4, "who goes gives his place back");
    }

    #[tokio::test]
    async fn who_is_kept_makes_no_room() {
        let seats = Arc::new(Seats::new("test", 2));
        let (busy, ends) = seats.take([192, 0, 2, 1].into()).expect("room");
        let is_cut = || ends.handle().is_aborted();
        let [first, second] = [(); 2].map(|()| busy.kept());
        let known = connect(&seats, "192.0.2.1", true).expect("room");
        assert!(connect(&seats, "192.0.2.1", false).is_none());
        // As long as anything keeps it, it stays.
        drop(first);
        assert!(connect(&seats, "192.0.2.1", false).is_none());
        assert!(!is_cut() && !known.is_finished());
        assert_eq!(seats.counts(), Counts { places: 2, taken: 2, displaced: 0, refused: 2, overdue: 0, slow: 0 });
        // A connection that is no longer kept makes room again.
        drop(second);
        assert!(connect(&seats, "192.0.2.1", false).is_some());
        assert!(is_cut() && !known.is_finished());
    }

    /// Kept up to date with every change, it is what a look at all connections would find.
    #[test]
    fn who_is_to_be_cut_is_known_at_any_time() {
        let seats = Arc::new(Seats::new("test", 64));
        let mut chosen = 1_u32;
        // A linear congruential generator (Numerical Recipes, 7.1): the same connections in each run.
        let mut choose = |most: u32| {
            chosen = chosen.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chosen >> 16) % most
        };
        let mut connections = Vec::new();
        for _ in 0..2_000 {
            let expected = {
                let taken = seats.taken();
                let mut idle: HashMap<Network, Vec<u64>> = HashMap::new();
                for ((network, number), _) in taken.seats.iter().filter(|(_, seat)| seat.keepers == 0) {
                    idle.entry(*network).or_default().push(*number);
                }
                let crowds = idle.into_iter().filter_map(|(from, all)| Some((all.len(), *all.iter().min()?, from)));
                let largest = crowds.max_by_key(|&(count, oldest, _)| (count, Reverse(oldest)));
                largest.map(|(_, oldest, from)| (from, oldest))
            };
            assert_eq!(seats.taken().crowds.first(), expected);
            match choose(8) {
                0 if !connections.is_empty() => {
                    let gone = choose(connections.len() as u32) as usize;
                    drop(connections.swap_remove(gone));
                }
                1 if !connections.is_empty() => {
                    let other = choose(connections.len() as u32) as usize;
                    let (seated, kept): &mut (Seated, Option<Kept>) = &mut connections[other];
                    *kept = if kept.is_some() { None } else { Some(seated.kept()) };
                }
                _ => {
                    let address = IpAddr::from([192, 0, 2, choose(12) as u8]);
                    connections.extend(seats.take(address).map(|(seated, _)| (seated, None)));
                }
            }
            assert!(seats.taken().seats.len() <= 64);
        }
        drop(connections);
        let taken = seats.taken();
        assert!(taken.seats.is_empty() && taken.crowds.is_empty());
    }

    #[test]
    fn who_is_sent_nothing_is_cut() {
        let seats = Arc::new(Seats::new("test", 9));
        let [silent, busy, slow, waiting] = [1_u8, 2, 3, 4].map(|last| {
            let (seated, cut) = seats.take([192, 0, 2, last].into()).expect("room");
            (seated, cut.handle())
        });
        slow.0.sending().note(true);
        seats.cut_ended();
        assert!(!silent.1.is_aborted(), "all have only come");
        let kept = waiting.0.kept();
        busy.0.sending().note(false);
        seats.cut_ended();
        assert!(silent.1.is_aborted());
        let others = [&busy, &slow, &waiting];
        assert!(others.iter().all(|other| !other.1.is_aborted()));
        // From now on it has as much time as if it had only come.
        drop(kept);
        slow.0.sending().note(false);
        seats.cut_ended();
        assert!(busy.1.is_aborted() && !slow.1.is_aborted() && !waiting.1.is_aborted());
        seats.cut_ended();
        assert!(others.iter().all(|other| other.1.is_aborted()));
        assert_eq!(seats.counts(), Counts { places: 9, taken: 0, displaced: 0, refused: 0, overdue: 0, slow: 0 });
    }

    #[test]
    fn who_does_not_finish_what_they_begin_is_overdue() {
        let seats = Arc::new(Seats::new("test", 1));
        let (seated, cut) = seats.take([192, 0, 2, 1].into()).expect("room");
        let (sending, cut) = (seated.sending(), cut.handle());
        seats.cut_ended();
        assert!(sending.hear());
        seats.cut_ended();
        assert!(!cut.is_aborted(), "it has begun since the last look");
        // Going on for ever is no end.
        assert!(sending.hear());
        seats.cut_ended();
        assert!(cut.is_aborted() && !sending.hear(), "whatever comes now is too late");
        assert_eq!(seats.counts().overdue, 1);
    }

    /// Behind a proxy on this machine, all clients have one address.
    #[tokio::test]
    async fn one_network_makes_room_for_itself() {
        let seats = Arc::new(Seats::new("test", 2));
        let [first, second] = [1, 2].map(|_| connect(&seats, "127.0.0.1", false).expect("room"));
        let third = connect(&seats, "::1", false).expect("room");
        assert!(is_cut(first).await);
        assert!(!second.is_finished() && !third.is_finished());
    }
}
