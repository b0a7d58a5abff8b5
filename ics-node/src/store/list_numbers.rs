//! The numbers of this node's revocation lists: a later list must have a larger number (RFC 5280, 5.2.3); otherwise
//! clients that compare lists keep what was revoked before.
//!
//! A number is the time plus the total by which the clock has gone back since the first list, so numbers continue to
//! grow after a clock that was ahead is put right. The file is beside the heads' files, for the same reason: what is
//! restored from a copy has forgotten what was issued since. If the file is gone, the copy's version is used; with the
//! time passed since, its numbers are larger than those issued in between.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ics_core::time::Timestamp;

use super::error::StoreError;
use super::{make_private, replace_file};
use crate::locked::Locked as _;

/// The names of the other permanent files there do not begin with a dot.
const FILE: &str = ".lists";
/// If a crash leaves it behind, it is removed together with the heads' temporary files.
const NEW: &str = ".new-lists";

/// The numbers issued so far, and their file.
#[derive(Debug)]
pub(crate) struct ListNumbers {
    dir: PathBuf,
    given: Mutex<Given>,
}

/// The state of the numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Given {
    /// The highest number issued.
    highest: u64,
    /// How far numbers are ahead of the time, in milliseconds.
    lead: u64,
}

impl ListNumbers {
    /// Reads what was issued. A damaged file counts as missing: a node that issued no lists because of it would do more
    /// harm.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { dir: dir.to_owned(), given: Mutex::new(read(dir)?) })
    }

    /// The number of a list that is signed now. It is used even if the file cannot be written: not issuing the list
    /// would be worse than a number that a later start may have forgotten.
    pub(crate) fn next(&self, now: Timestamp) -> u64 {
        let mut given = self.given.locked();
        *given = given.next(now);
        if let Err(error) = write(&self.dir, *given) {
            tracing::error!(%error, "the number of a revocation list could not be stored");
        }
        given.highest
    }
}

impl Given {
    fn next(self, now: Timestamp) -> Self {
        let (least, by_time) = (self.highest.saturating_add(1), now.as_millis().saturating_add(self.lead));
        let highest = least.max(by_time);
        Self { highest, lead: self.lead.saturating_add(highest - by_time) }
    }

    const fn is_nothing(self) -> bool {
        self.highest == 0 && self.lead == 0
    }
}

/// Raises the file of one directory to at least what that of another one says.
pub(crate) fn raise(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (there, here) = (read(from)?, read(to)?);
    let both = Given { highest: there.highest.max(here.highest), lead: there.lead.max(here.lead) };
    if both.is_nothing() || both == here {
        return Ok(());
    }
    make_private(to)?;
    write(to, both)
}

fn read(dir: &Path) -> Result<Given, StoreError> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Given::default()),
        Err(error) if error.kind() != ErrorKind::InvalidData => return Err(StoreError::io(&path)(error)),
        text => text.unwrap_or_default(),
    };
    let pair = text.trim().split_once(' ');
    let numbers: Option<(u64, u64)> = pair.and_then(|(highest, lead)| highest.parse().ok().zip(lead.parse().ok()));
    let Some((highest, lead)) = numbers else {
        tracing::error!(path = %path.display(), "the numbers of revocation lists are damaged, and go on by the clock");
        return Ok(Given::default());
    };
    Ok(Given { highest, lead })
}

fn write(dir: &Path, Given { highest, lead }: Given) -> Result<(), StoreError> {
    replace_file(dir, NEW, FILE, &format!("{highest} {lead}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_later_list_has_a_larger_number_whatever_the_clock_says() {
        let dir = tempfile::tempdir().expect("dir");
        let open = || ListNumbers::open(dir.path()).expect("opens");
        let numbers = open();
        let mut given = vec![numbers.next(at(1_000)), numbers.next(at(1_000)), numbers.next(at(9_000))];
        assert_eq!((given[0], given[1]), (1_000_000, 1_000_001), "the time, and none twice");
        // The clock was ahead, and the node is restarted with one that is right.
        drop(numbers);
        let numbers = open();
        given.extend([numbers.next(at(1_001)), numbers.next(at(1_002))]);
        drop(numbers);
        given.push(open().next(at(1_002)));
        assert!(given.is_sorted_by(|before, after| before < after), "{given:?}");
    }

    #[test]
    fn numbers_of_a_copy_that_is_put_back_are_larger_than_those_that_were_given_since() {
        let [home, copy, elsewhere] = [(); 3].map(|()| tempfile::tempdir().expect("dir"));
        let numbers = ListNumbers::open(home.path()).expect("opens");
        numbers.next(at(9_000));
        // The clock was put right.
        numbers.next(at(1_000));
        raise(home.path(), copy.path()).expect("copies");
        let last = numbers.next(at(1_500));
        raise(copy.path(), elsewhere.path()).expect("puts back");
        let next = ListNumbers::open(elsewhere.path()).expect("opens").next(at(1_600));
        assert!(last < next, "{last} {next}");
        // In the original place, what was issued since is known.
        raise(copy.path(), home.path()).expect("puts back");
        assert!(last < ListNumbers::open(home.path()).expect("opens").next(at(1_100)));
    }

    #[test]
    fn a_damaged_file_stops_nobody() {
        let dir = tempfile::tempdir().expect("dir");
        for text in [&b""[..], b"7", b"7 seven\n", b"\xff 1"] {
            fs::write(dir.path().join(FILE), text).expect("writes");
            assert_eq!(ListNumbers::open(dir.path()).expect("opens").next(at(5)), 5_000);
        }
    }
}
