//! Reads a whole store and checks it against itself: what `ics fsck` does.

use std::path::Path;
use std::sync::Arc;

use ics_core::descriptor::{Descriptor, NodeKey};
use ics_core::limits;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::log::cosignature;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::copy::replay::Judge;
use super::open::{refuse_other_log, stored_keys};
use super::{AppError, random};
use crate::api::ForkNotes;
use crate::store::{
    self, DomainInfo, Inspector, Options, Part, Replay, Report, Seal, Store, StoreError, StoredEntry, inspect,
};

/// Reads the store in a directory, which a node may be using, and cross-checks everything: entries with leaves, tiles,
/// roots and checkpoints; checkpoints with the home keys that descriptors name and with the times that these have
/// signed; the index with the entries; and which entries have effect with what the log itself implies. `progress` is
/// given the number of entries read and the total, for each domain.
///
/// # Errors
/// When there is no store, or it cannot be read at all.
pub fn fsck(data: &Path, progress: impl FnMut(u64, u64)) -> Result<Report, AppError> {
    let mut reader = Reading { homes: Vec::new(), judge: Judge::default(), seed: random()?, progress };
    let report = inspect(data, &(Arc::new(stored_keys) as crate::store::KeysOf), &mut reader);
    Ok(report.map_err(|error| error.of_disk(data))?)
}

/// Rebuilds the index of a store; no node may be using it.
///
/// # Errors
/// When a node is using the store, or the log cannot be read.
pub fn rebuild_index(data: &Path) -> Result<(), AppError> {
    let nobody = |_: &DomainInfo, _: u64, _: &ics_core::log::Hash| Err("nothing is signed while repairing".to_owned());
    Ok(Store::rebuild_index(data, Options::new(Arc::new(stored_keys), Arc::new(nobody)))?)
}

/// Empties the copy of a domain in a store, so that it is copied again from its peers when the node starts; returns how
/// many entries it had. The node must not be running.
///
/// # Errors
/// When the node is running, is the domain's home or has no such copy, or the store cannot be written.
pub fn empty_copy(data: &Path, domain: &DomainName) -> Result<u64, AppError> {
    Ok(store::empty_copy(data, domain)?)
}

/// Forgets the head of a domain's log that a node has seen in the answers of others, or was shown as a witness; returns
/// its size, if there was one. The node must not be running.
///
/// # Errors
/// When the node is running, or the store cannot be written.
pub fn forget_seen(data: &Path, domain: &DomainName) -> Result<Option<u64>, AppError> {
    Ok(store::forget_seen(data, domain)?)
}

/// Whether a node, running or not, holds a domain.
///
/// # Errors
/// When its store cannot be read.
pub fn is_held(data: &Path, domain: &DomainName) -> Result<bool, AppError> {
    Ok(store::held(data, domain)?.is_some())
}

/// The forks of a domain that a node, running or not, has recorded.
///
/// # Errors
/// When its store cannot be read.
pub fn kept_forks(data: &Path, domain: &DomainName) -> Result<Vec<ForkNotes>, AppError> {
    Ok(store::forks_in(data, domain)?.into_iter().map(ForkNotes::from).collect())
}

/// Checks that a node that is not running will copy this log, given what is in its store.
///
/// # Errors
/// When the store holds another log of that name, or cannot be read.
pub fn may_copy(data: &Path, origin: &Origin) -> Result<(), AppError> {
    match store::held(data, &origin.domain)? {
        Some((info, size)) => refuse_other_log(&info, size, origin),
        None => Ok(()),
    }
}

/// What the entries of a domain have said so far.
struct Reading<P> {
    /// The homes that its descriptors have named.
    homes: Vec<NodeKey>,
    /// Judges its entries again.
    judge: Judge,
    /// The seed for verifying many signatures at once.
    seed: [u8; 32],
    progress: P,
}

impl<P: FnMut(u64, u64)> Inspector for Reading<P> {
    fn entry(&mut self, _: &DomainInfo, entry: &StoredEntry) -> Option<String> {
        if entry.index == 0 {
            self.homes.clear();
        }
        // Of an entry that a mirror may not see there is only the leaf.
        let content = entry.content.as_ref()?;
        let header = match Header::decode(&entry.header) {
            Ok(header) => header,
            Err(error) => return Some(format!("its header is malformed: {error}")),
        };
        match body::parse(&content.body) {
            // A mirror keeps, without effect, what its home should not have admitted.
            Err(_) if !entry.effective => None,
            Err(error) => Some(format!("its body is malformed: {error}")),
            Ok(body) if body.kind() != header.kind && entry.effective => {
                Some(format!("its header calls it {}, it is {}", header.kind.as_str(), body.kind().as_str()))
            }
            Ok(Body::Descriptor(signed)) if header.kind == EntryKind::Descriptor && entry.effective => {
                match Descriptor::parse(&signed.json) {
                    Ok(descriptor) => self.homes.push(descriptor.home),
                    Err(error) => return Some(format!("its descriptor is refused: {error}")),
                }
                None
            }
            Ok(_) => None,
        }
    }

    fn checkpoint(&mut self, domain: &DomainInfo, seal: &Seal) -> Option<String> {
        let Some(entry0) = domain.entry0 else { return Some("the domain has no entry 0".to_owned()) };
        let origin = Origin { domain: domain.name.clone(), entry0 };
        let open = |home| Some((home, opened(&seal.note, &origin, home)?));
        let Some((home, signed)) = self.homes.iter().rev().find_map(open) else {
            return Some("it bears no signature of a home that the domain's descriptors name".to_owned());
        };
        if (signed.size, signed.root) != (seal.size, seal.root) {
            return Some(format!("what was signed is of {} entries with root {}", signed.size, signed.root));
        }
        // A checkpoint that was taken from the head's file was stored without a time.
        let stored = seal.cosigned_at?;
        match cosigned_at(&seal.note, home) {
            Some(time) if is_time_of(domain.part, stored, time) => None,
            Some(time) => Some(format!("it is stored as cosigned at {stored}, its home has signed {time}")),
            None => Some(format!("it is stored as cosigned at {stored}, but bears no cosignature of its home")),
        }
    }

    fn decide(&mut self, before: &mut Replay<'_>, page: &[StoredEntry]) -> Result<Vec<String>, StoreError> {
        if before.size() == 0 {
            self.judge = Judge::default();
        }
        self.judge.page(before, page, self.seed)
    }

    fn progress(&mut self, done: u64, of: u64) {
        (self.progress)(done, of);
    }
}

/// The signed checkpoint, if this home has signed it.
fn opened(note: &str, origin: &Origin, home: &NodeKey) -> Option<Checkpoint> {
    Checkpoint::open(note, &home.home_of(origin).ok()?).ok()
}

/// The time at which this home has cosigned it, if it has.
fn cosigned_at(note: &str, home: &NodeKey) -> Option<Timestamp> {
    cosignature::times(note, [&home.cosigner().ok()?]).ok()?.first().map(|(_, time)| *time)
}

/// Whether the stored time can be that of the home's cosignature. At the home they are equal to the second; early
/// versions stored fractions. A mirror counts a time slightly ahead of its own clock as now, so there the stored one
/// may be a little earlier.
fn is_time_of(part: Part, stored: Timestamp, signed: Timestamp) -> bool {
    match part {
        Part::Home => stored.whole_seconds() == signed,
        Part::Mirror => stored <= signed && signed.millis_since(stored) <= limits::CLOCK_SKEW_MILLIS,
    }
}
