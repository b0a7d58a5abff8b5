//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// As [`Locked`], for a lock that many may hold at once who only read.
pub(crate) trait Shared {
    /// What the lock protects.
    type Held: ?Sized;

    /// Waits until nobody changes it, and holds the lock for reading until the guard is dropped.
    fn read_locked(&self) -> RwLockReadGuard<'_, Self::Held>;

    /// Waits until nobody else holds the lock, and holds it for a change until the guard is dropped.
    fn write_locked(&self) -> RwLockWriteGuard<'_, Self::Held>;
}

impl<T: ?Sized> Shared for RwLock<T> {
    type Held = T;

    fn read_locked(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_locked(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn nor_out_of_what_many_read() {
        let lock = RwLock::new(1);
        let panicked = std::thread::scope(|threads| {
            let work = || {
                *lock.write_locked() += 1;
                let _held = lock.write_locked();
                panic!("on purpose");
            };
            threads.spawn(work).join().is_err()
        });
        assert_eq!((panicked, lock.is_poisoned(), *lock.read_locked()), (true, true, 2));
        *lock.write_locked() += 1;
        assert_eq!(*lock.read_locked(), 3);
    }
}
