//! Turns at what few may do at once, while all others wait. Each waits for those of their own network first: however
//! many of one network wait, whoever comes from another one is next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::crowds::Network;
use crate::locked::Locked as _;

/// A number of turns.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    most: usize,
    /// As many of each network from which somebody has a turn or waits.
    networks: Mutex<HashMap<Network, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
pub(crate) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_network: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once; at least one.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { all: Arc::new(Semaphore::new(most)), most, networks: Mutex::default() }
    }

    /// Takes a turn, once there is one. Of one network no more have a turn, or wait for it among all, than there are
    /// turns.
    ///
    /// # Errors
    /// None: nobody closes them.
    pub(crate) async fn take(&self, network: Network) -> Result<Turn, AcquireError> {
        let of_network = self.of_network(network).acquire_owned().await?;
        Ok(Turn { _of_all: Arc::clone(&self.all).acquire_owned().await?, _of_network: of_network })
    }

    fn of_network(&self, network: Network) -> Arc<Semaphore> {
        let mut networks = self.networks.locked();
        if let Some(turns) = networks.get(&network).and_then(Weak::upgrade) {
            return turns;
        }
        networks.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.most));
        networks.insert(network, Arc::downgrade(&turns));
        turns
    }

    /// All turns, so that nobody gets one.
    #[cfg(test)]
    pub(crate) fn take_all(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.all).try_acquire_many_owned(self.most as u32).expect("nobody has one")
    }

    /// How many nobody has.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.all.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn whoever_comes_from_another_network_is_next() {
        let turns = Turns::new(2);
        let take = |network| Box::pin(turns.take(Some(network)));
        let mut had: Vec<_> = (0..2).map(|_| take(1).now_or_never().expect("a turn").expect("is open")).collect();
        let mut crowd: Vec<_> = (0..9).map(|_| take(1)).collect();
        let mut other = take(2);
        assert!(crowd.iter_mut().all(|it| it.now_or_never().is_none()) && (&mut other).now_or_never().is_none());
        had.pop();
        let other = (&mut other).now_or_never().expect("is next").expect("is open");
        assert!(crowd.iter_mut().all(|it| it.now_or_never().is_none()));
        drop(other);
        assert!((&mut crowd[0]).now_or_never().is_some(), "then those who waited, in their order");
        drop((had, crowd));
        assert_eq!(turns.left(), 2, "all is given back");
        drop(take(3).now_or_never());
        assert_eq!(turns.networks.lock().expect("nobody panicked").len(), 1, "and nothing is known of who has gone");
    }
}
