//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that is taken even if a thread has panicked while it held it. A panic ends the one request in which it
/// happens; if it also ended whatever else needs the lock, it would end the node.
pub(crate) trait Locked {
    /// What the lock protects.
    type Held: ?Sized;

    /// Waits for the lock, and holds it until the guard is dropped.
    fn locked(&self) -> MutexGuard<'_, Self::Held>;
}

impl<T: ?Sized> Locked for Mutex<T> {
    type Held = T;

    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_whoever_held_it_keeps_nobody_out() {
        let lock = Mutex::new(1);
        let panicked = std::thread::scope(|threads| {
            let work = || {
                *lock.locked() += 1;
                let _held = lock.locked();
                panic!("on purpose");
            };
            threads.spawn(work).join().is_err()
        });
        assert_eq!((panicked, lock.is_poisoned(), *lock.locked()), (true, true, 2));
    }
}
