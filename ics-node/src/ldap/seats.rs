//! Places for connections, which strangers cannot keep from others.
//!
//! Whoever comes is a stranger until he has said who he is, so there has to be a place for him even when all are taken.
//! It is that of the network from which most strangers are connected: its oldest one is cut. So whoever holds many places
//! holds them only until somebody needs one, and who is known keeps his.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::task::AbortHandle;

use crate::shares::network;

/// All places.
pub(super) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    last: u64,
    /// The oldest first.
    seats: BTreeMap<u64, Arc<Seat>>,
}

/// What others see of a connection.
struct Seat {
    /// None for this machine: behind a proxy here may be anybody.
    network: Option<u64>,
    is_known: AtomicBool,
    /// What serves it, once it does.
    task: OnceLock<AbortHandle>,
}

/// The place of a connection, for as long as that lasts.
pub(super) struct Seated {
    number: u64,
    seat: Arc<Seat>,
    seats: Arc<Seats>,
}

impl Seats {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Mutex::default() }
    }

    /// A place for a connection from this address; `None` where all are taken by those who are known.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seated> {
        let address = address.to_canonical();
        let network = (!address.is_loopback()).then(|| network(address));
        let seat = Arc::new(Seat { network, is_known: false.into(), task: OnceLock::new() });
        let mut taken = self.taken();
        let cut = if taken.seats.len() < self.most { None } else { Some(taken.to_be_cut()?) };
        let cut = cut.and_then(|cut| taken.seats.remove(&cut));
        taken.last += 1;
        let number = taken.last;
        taken.seats.insert(number, Arc::clone(&seat));
        drop(taken);
        if let Some(task) = cut.as_ref().and_then(|seat| seat.task.get()) {
            task.abort();
        }
        Some(Seated { number, seat, seats: Arc::clone(self) })
    }

    /// What serves the connection with this number.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(seat) = self.taken().seats.get(&number) {
            // It is served once.
            let _ = seat.task.set(task);
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The oldest stranger from where there are most.
    fn to_be_cut(&self) -> Option<u64> {
        let mut crowds: HashMap<Option<u64>, (usize, u64)> = HashMap::new();
        for (number, seat) in &self.seats {
            if !seat.is_known.load(Ordering::Relaxed) && seat.task.get().is_some() {
                crowds.entry(seat.network).or_insert((0, *number)).0 += 1;
            }
        }
        let most = crowds.into_values().max_by_key(|(count, oldest)| (*count, Reverse(*oldest)));
        most.map(|(_, oldest)| oldest)
    }
}

impl Seated {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Where the connection comes from, unless from this machine.
    pub(super) fn network(&self) -> Option<u64> {
        self.seat.network
    }

    /// Says whether its client is known now.
    pub(super) fn set_known(&self, is_known: bool) {
        self.seat.is_known.store(is_known, Ordering::Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    /// Somebody who stays until he is cut.
    fn connect(seats: &Arc<Seats>, address: &str, is_known: bool) -> Option<JoinHandle<()>> {
        let seated = seats.take(address.parse().expect("an address"))?;
        seated.set_known(is_known);
        let number = seated.number();
        let task = tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(seated);
        });
        seats.served_by(number, task.abort_handle());
        Some(task)
    }

    #[tokio::test]
    async fn the_crowd_makes_room() {
        let seats = Arc::new(Seats::new(5));
        let crowd = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"];
        let known = connect(&seats, "2001:db8::9", true).expect("room");
        let alone = connect(&seats, "192.0.2.1", false).expect("room");
        let mut crowd = crowd.map(|address| connect(&seats, address, false).expect("room")).into_iter();
        let mut others = Vec::new();
        // From one network as from several: who holds most loses the oldest of them.
        for address in ["198.51.100.1", "203.0.113.7"] {
            others.push(connect(&seats, address, false).expect("there is always room"));
            let cut = crowd.next().expect("one more").await.expect_err("is cut");
            assert!(cut.is_cancelled());
        }
        assert!(!alone.is_finished() && others.iter().all(|other| !other.is_finished()));
        // Now all are alone: the oldest stranger goes.
        others.push(connect(&seats, "127.0.0.1", false).expect("there is always room"));
        assert!(alone.await.expect_err("is cut").is_cancelled());
        assert!(!known.is_finished(), "who is known stays");
        assert_eq!(seats.taken().seats.len(), 5);
        known.abort();
        assert!(known.await.expect_err("has gone").is_cancelled());
        assert_eq!(seats.taken().seats.len(), 4, "who goes gives his place back");
    }

    #[tokio::test]
    async fn who_is_known_makes_no_room() {
        let seats = Arc::new(Seats::new(2));
        let known = [1, 2].map(|_| connect(&seats, "192.0.2.1", true).expect("room"));
        assert!(connect(&seats, "192.0.2.1", false).is_none());
        assert!(known.iter().all(|known| !known.is_finished()));
    }

    /// Behind a proxy on this machine everybody has one address.
    #[tokio::test]
    async fn one_network_makes_room_for_itself() {
        let seats = Arc::new(Seats::new(2));
        let [first, second] = [1, 2].map(|_| connect(&seats, "127.0.0.1", false).expect("room"));
        let third = connect(&seats, "::1", false).expect("room");
        assert!(first.await.expect_err("is cut").is_cancelled());
        assert!(!second.is_finished() && !third.is_finished());
    }
}
