//! Places for jobs. Short questions do not wait until long ones are done, nor does anybody whom the node knows wait for
//! all strangers, or a stranger for all that another network asks.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::crowds::Network;
use crate::turns::{Turn, Turns};

/// How many jobs run at once. Whoever finds no place waits for one.
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// For short jobs of strangers.
    short: Turns,
    /// For long jobs: of those whom the node knows, and of strangers.
    long: [Turns; 2],
}

/// A place that is taken, until it is dropped: one of all, and one of the part that the job belongs to.
pub(super) type Taken = (OwnedSemaphorePermit, Option<Turn>);

impl Places {
    /// So many places, of which strangers leave an eighth to others. A long job may have megabytes while it runs, and
    /// more of them at once than there are processors are not done earlier.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let long = processors.min(most / 4).max(1);
        let short = Turns::new((most - most / 8).saturating_sub(long));
        Self { all: Arc::new(Semaphore::new(most)), short, long: [(); 2].map(|()| Turns::new(long)) }
    }

    /// Takes a place, once there is one.
    ///
    /// # Errors
    /// None: nobody closes the places.
    pub(super) async fn take(
        &self,
        is_long: bool,
        (is_stranger, network): (bool, Network),
    ) -> Result<Taken, AcquireError> {
        let [of_known, of_strangers] = &self.long;
        let part = match (is_long, is_stranger) {
            (true, true) => Some(of_strangers),
            (true, false) => Some(of_known),
            (false, true) => Some(&self.short),
            (false, false) => None,
        };
        // What waits for its turn keeps no place that others could have.
        let turn = if let Some(part) = part { Some(part.take(network).await?) } else { None };
        Ok((Arc::clone(&self.all).acquire_owned().await?, turn))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn neither_long_jobs_nor_strangers_take_all_places() {
        let places = Places::new(16);
        let take = |is_long, is_stranger| {
            let taken = places.take(is_long, (is_stranger, None)).now_or_never();
            taken.map(|place| place.expect("nobody closes them"))
        };
        let long: Vec<_> = core::iter::from_fn(|| take(true, true)).collect();
        assert!((1..=4).contains(&long.len()), "{} long ones", long.len());
        assert!(take(true, false).is_some(), "who is known does not wait for strangers");
        let short: Vec<_> = core::iter::from_fn(|| take(false, true)).collect();
        assert_eq!(long.len() + short.len(), 14, "strangers leave some");
        let known: Vec<_> = core::iter::from_fn(|| take(false, false)).collect();
        assert_eq!(known.len(), 2, "and no more are there");
        drop((long, short, known));
        let single = Places::new(0);
        assert!(single.take(true, (true, None)).now_or_never().is_some(), "there is one at least");
    }

    #[test]
    fn what_waits_among_the_long_ones_keeps_no_other_place() {
        let places = Places::new(16);
        let take = |is_long, network| places.take(is_long, (true, network)).now_or_never();
        let long: Vec<_> = core::iter::from_fn(|| take(true, Some(1))).collect();
        let mut waits: Vec<_> = (0..32).map(|_| Box::pin(places.take(true, (true, Some(1))))).collect();
        assert!(waits.iter_mut().all(|it| it.as_mut().now_or_never().is_none()));
        assert_eq!(places.all.available_permits(), 16 - long.len());
        assert!(take(false, Some(1)).is_some());
    }
}
