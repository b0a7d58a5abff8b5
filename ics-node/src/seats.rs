//! Places for connections, which strangers cannot keep from others.
//!
//! A client is a stranger until it has identified itself or said what it wants, so there must be a place for it even
//! when all are taken. The network with the most connections that need not be kept gives one up: the oldest of these is
//! cut off. So a client that holds many places holds them only until they are needed. The servers say which connections
//! are kept: the directory keeps those of clients that it knows, the public HTTP server those that wait for an answer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{AbortHandle, AbortRegistration};

use crate::shares::network;

/// All places.
pub(crate) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

/// Where a connection comes from, and its number. This machine has no network: anybody may be behind a proxy here.
type Key = (Option<u64>, u64);

#[derive(Default)]
struct Taken {
    last: u64,
    /// Connections of one network are adjacent, the oldest first.
    seats: BTreeMap<Key, Arc<Seat>>,
}

/// The state of a connection that others see and set.
struct Seat {
    is_kept: AtomicBool,
    /// Aborts the future that serves it.
    cut: AbortHandle,
}

/// The place of a connection; given back when dropped.
pub(crate) struct Seated {
    key: Key,
    seat: Arc<Seat>,
    seats: Arc<Seats>,
}

/// Keeps a place from others until dropped, wherever that happens.
pub(crate) struct Kept(Arc<Seat>);

impl Seats {
    /// A number of places; at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Mutex::default() }
    }

    /// Takes a place for a connection from this address; `None` if all are taken by connections that are kept. The
    /// future that serves the connection must end with the registration (`Abortable`).
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<(Seated, AbortRegistration)> {
        let address = address.to_canonical();
        let network = (!address.is_loopback()).then(|| network(address));
        let (cut, registration) = AbortHandle::new_pair();
        let seat = Arc::new(Seat { is_kept: false.into(), cut });
        let mut taken = self.taken();
        let leaves = if taken.seats.len() < self.most { None } else { Some(taken.to_be_cut()?) };
        let leaves = leaves.and_then(|key| taken.seats.remove(&key));
        taken.last += 1;
        let key = (network, taken.last);
        taken.seats.insert(key, Arc::clone(&seat));
        drop(taken);
        if let Some(leaves) = leaves {
            leaves.cut.abort();
        }
        Some((Seated { key, seat, seats: Arc::clone(self) }, registration))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The oldest connection that need not be kept, of the network with the most of these; among equal networks, the
    /// one whose oldest connection is oldest.
    fn to_be_cut(&self) -> Option<Key> {
        let mut crowd: Option<(usize, Key)> = None;
        let mut largest: Option<(usize, Key)> = None;
        for (&key, seat) in &self.seats {
            if seat.is_kept.load(Ordering::Relaxed) {
                continue;
            }
            let (count, oldest) = match crowd {
                Some((count, oldest)) if oldest.0 == key.0 => (count + 1, oldest),
                _ => (1, key),
            };
            crowd = Some((count, oldest));
            if largest.is_none_or(|(most, first)| (count, Reverse(oldest.1)) > (most, Reverse(first.1))) {
                largest = crowd;
            }
        }
        largest.map(|(_, oldest)| oldest)
    }
}

impl Seated {
    /// The network that the connection comes from; `None` if that is this machine.
    pub(crate) const fn network(&self) -> Option<u64> {
        self.key.0
    }

    /// Sets whether the place is kept from others from now on.
    pub(crate) fn keep(&self, is_kept: bool) {
        self.seat.is_kept.store(is_kept, Ordering::Relaxed);
    }

    /// Keeps the place until the returned value is dropped.
    pub(crate) fn kept(&self) -> Kept {
        self.keep(true);
        Kept(Arc::clone(&self.seat))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.is_kept.store(false, Ordering::Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{Abortable, Aborted};
    use tokio::task::JoinHandle;

    use super::*;

    type Connection = JoinHandle<Result<(), Aborted>>;

    /// A connection that stays until it is cut off.
    fn connect(seats: &Arc<Seats>, address: &str, is_kept: bool) -> Option<Connection> {
        let (seated, cut) = seats.take(address.parse().expect("an address"))?;
        seated.keep(is_kept);
        let stays = async move {
            std::future::pending::<()>().await;
            drop(seated);
        };
        Some(tokio::spawn(Abortable::new(stays, cut)))
    }

    async fn is_cut(connection: Connection) -> bool {
        connection.await.expect("ends") == Err(Aborted)
    }

    #[tokio::test]
    async fn the_crowd_makes_room() {
        let seats = Arc::new(Seats::new(5));
        let crowd = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"];
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
        assert_eq!(seats.taken().seats.len(), 5);
        known.abort();
        assert!(known.await.expect_err("has gone").is_cancelled());
        assert_eq!(seats.taken().seats.len(), 4, "who goes gives his place back");
    }

    #[tokio::test]
    async fn who_is_kept_makes_no_room() {
        let seats = Arc::new(Seats::new(2));
        let (busy, _ends) = seats.take([192, 0, 2, 1].into()).expect("room");
        busy.keep(true);
        let known = connect(&seats, "192.0.2.1", true).expect("room");
        assert!(connect(&seats, "192.0.2.1", false).is_none());
        assert!(!known.is_finished());
        // A connection that is no longer kept makes room again.
        busy.keep(false);
        assert!(connect(&seats, "192.0.2.1", false).is_some());
        assert!(busy.seat.cut.is_aborted() && !known.is_finished());
    }

    /// Behind a proxy on this machine, all clients have one address.
    #[tokio::test]
    async fn one_network_makes_room_for_itself() {
        let seats = Arc::new(Seats::new(2));
        let [first, second] = [1, 2].map(|_| connect(&seats, "127.0.0.1", false).expect("room"));
        let third = connect(&seats, "::1", false).expect("room");
        assert!(is_cut(first).await);
        assert!(!second.is_finished() && !third.is_finished());
    }
}
