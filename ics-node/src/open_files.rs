//! How many files the system lets this process have open at once. Each connection takes one, and anybody may hold
//! connections; the store must still be able to open its files.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that a node asks for, as its systemd unit does.
const ENOUGH: u64 = 65_536;
/// How many are kept from connections: for the store, its readers, and connections to other nodes.
const KEPT: u64 = 256;
/// How many a serving thread takes for itself.
const OF_A_SERVER: u64 = 4;

/// How long completing a commit waits for a file that it needs.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Raises this process's limit as far as it may: shells and containers set 1,024, but allow more.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        // Not fatal: the node runs with fewer connections.
        tracing::warn!(%error, "the system lets the node have no more files open than before");
    }
}

/// The limit; `None` if there is none.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many connections each of this many servers may have open: as many as there are files left for them, but at most
/// `most`.
pub(crate) fn connections(limit: Option<u64>, servers: usize, most: usize) -> usize {
    let Some(limit) = limit else { return most };
    let left = limit - KEPT.min(limit / 2);
    let each = left / u64::try_from(servers.max(1)).unwrap_or(u64::MAX);
    usize::try_from(each.saturating_sub(OF_A_SERVER).max(1)).map_or(most, |each| each.min(most))
}

/// Whether an error says that too many files are open.
pub(crate) fn are_short(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Opens a file that is needed to complete a commit. If the process can open no more files, this waits until one is
/// closed: unlike any other error, that is no sign of a bad disk.
pub(crate) fn open_patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if are_short(&error) && begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_store_its_files() {
        for (limit, servers, each) in [
            (None, 3, 4_096),
            (Some(65_536), 3, 4_096),
            (Some(65_536), 65, 1_000),
            (Some(1_024), 3, 252),
            (Some(1_024), 65, 7),
            (Some(64), 3, 6),
            (Some(8), 3, 1),
            (Some(0), 0, 1),
        ] {
            let found = connections(limit, servers, 4_096);
            assert_eq!(found, each, "{limit:?} for {servers}");
            let taken = servers as u64 * (found as u64 + OF_A_SERVER);
            let is_kept = limit.is_none_or(|limit| limit < 64 || limit - taken >= KEPT.min(limit / 2));
            assert!(is_kept, "{limit:?} for {servers}: {taken}");
        }
    }

    #[test]
    fn an_open_that_finds_no_file_left_is_tried_again() {
        let taken = [Errno::MFILE, Errno::NFILE].map(|errno| Err(io::Error::from(errno)));
        let mut answers = taken.into_iter().chain([Ok(7)]);
        assert_eq!(open_patiently(|| answers.next().expect("one more")).expect("opened"), 7);
        let mut broken = [Err(io::Error::from(Errno::IO)), Ok(7)].into_iter();
        let error = open_patiently(|| broken.next().expect("one more")).expect_err("a disk that fails");
        assert!(!are_short(&error), "{error}");
    }
}
