//! A bounded pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::error::StoreError;
use super::schema;
use crate::locked::Locked as _;

/// Read-only connections to the two files.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) log: Connection,
    pub(crate) index: Connection,
}

impl Reader {
    pub(crate) fn open(log: &Path, index: &Path) -> Result<Self, StoreError> {
        Ok(Self { log: schema::open_reader(log)?, index: schema::open_reader(index)? })
    }
}

/// At most `limit` readers at a time; further ones wait until one is free.
#[derive(Debug)]
pub(crate) struct Pool {
    log: PathBuf,
    index: PathBuf,
    limit: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Reader>,
    lent: usize,
    /// How many threads wait for a place.
    waiting: usize,
}

impl Pool {
    pub(crate) fn new(log: &Path, index: &Path, limit: usize) -> Self {
        let (log, index) = (log.to_owned(), index.to_owned());
        Self { log, index, limit: limit.max(1), state: Mutex::default(), freed: Condvar::new() }
    }

    /// Reads with a connection of the pool.
    ///
    /// A reader whose use failed is closed rather than given back.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Reader) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.borrow();
        let place = Place { pool: self };
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.log, &self.index)?,
        };
        let result = read(&reader)?;
        self.state().idle.push(reader);
        drop(place);
        Ok(result)
    }

    /// Closes the idle readers.
    pub(crate) fn close(&self) {
        self.state().idle.clear();
    }

    /// Takes a place, and the idle reader in it if there is one.
    fn borrow(&self) -> Option<Reader> {
        let mut state = self.state();
        while state.lent >= self.limit {
            state.waiting += 1;
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.lent += 1;
        state.idle.pop()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }
}

/// A place in the pool; free again when dropped, however the reading ended.
struct Place<'p> {
    pool: &'p Pool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let is_awaited = {
            let mut state = self.pool.state();
            state.lent -= 1;
            state.waiting > 0
        };
        // Waking a thread is a system call even if nobody sleeps.
        if is_awaited {
            self.pool.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{File, open_writer};
    use super::*;

    #[test]
    fn never_more_readers_than_the_limit_and_none_is_lost() {
        let dir = tempfile::tempdir().expect("dir");
        let (log, index) = (dir.path().join("ics.db"), dir.path().join("index.db"));
        let _writers = (open_writer(File::Log, &log).expect("log"), open_writer(File::Index, &index).expect("index"));
        let pool = Pool::new(&log, &index, 2);
        let most = Mutex::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (pool, most) = (&pool, &most);
                scope.spawn(move || {
                    for round in 0..20 {
                        let result = pool.read(|_| {
                            let lent = pool.state().lent;
                            let mut most = most.lock().expect("lock");
                            *most = lent.max(*most);
                            if (thread + round) % 3 == 0 { Err(StoreError::not_found("luck")) } else { Ok(()) }
                        });
                        assert_eq!(result.is_err(), (thread + round) % 3 == 0);
                    }
                });
            }
        });
        assert!((1..=2).contains(&*most.lock().expect("lock")));
        let State { idle, lent, waiting } = &*pool.state();
        assert_eq!((*lent, *waiting), (0, 0));
        assert!(idle.len() <= 2);
    }
}
