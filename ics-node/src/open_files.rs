//! How many files the system lets this process have open at once. Each connection is one of them, and whoever likes holds
//! a connection: the store must find one for itself all the same.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a node asks for, as its systemd unit does.
const ENOUGH: u64 = 65_536;
/// What is kept from connections: for the store, its readers, and connections to other nodes.
const KEPT: u64 = 256;
/// What a thread that serves takes for itself.
const OF_A_SERVER: u64 = 4;

/// How long a commit that is made waits for a file that it must have to come to its end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Has the system give this process as many as it may take: a shell and containers give 1,024, and let it have more.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        // It runs all the same, with fewer connections.
        tracing::warn!(%error, "the system lets the node have no more files open than before");
    }
}

/// How many there may be; `None` where nothing bounds them.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many connections each of so many servers may have open: as many as there are files left for them, and `most` at
/// most.
pub(crate) fn connections(limit: Option<u64>, servers: usize, most: usize) -> usize {
    let Some(limit) = limit else { return most };
    let left = limit - KEPT.min(limit / 2);
    let each = left / u64::try_from(servers.max(1)).unwrap_or(u64::MAX);
    usize::try_from(each.saturating_sub(OF_A_SERVER).max(1)).map_or(most, |each| each.min(most))
}

/// Whether an error says that as many files are open as may be.
pub(crate) fn are_short(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Opens a file without which a commit that is made cannot be completed. Where the process has no file left to open, it
/// waits until somebody closes one: that says nothing bad about the disk, as any other error does.
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
