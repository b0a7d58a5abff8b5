//! What is kept about one identity in one domain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ics_core::identity::IdentityId;
use ics_core::record::Record;
use ics_core::time::Timestamp;
use lz4_flex::block::compress_with_dict;
use sha2::{Digest as _, Sha256};

use super::around::SAMPLE_BYTES;
use super::short;
use super::{Around, Era, Place};
use crate::api::RecordSummary;
use crate::app::AppError;
use crate::app::answer::succession::is_over;
use crate::store::Key;

/// What a domain says about an identity, even if that is nothing.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: IdentityId,
    /// The place where it is kept.
    pub(crate) place: Place,
    pub(crate) generation: u64,
    /// Whether there is more, which this node is no longer shown or does not show yet.
    pub(crate) withheld: bool,
    /// Whether it does not show it yet: see [`Record::cut_short`].
    pub(crate) cut_short: bool,
    pub(super) era: Arc<Era>,
    around: Arc<Around>,
    /// False until it is certain that no news came in while it was made.
    confirmed: AtomicBool,
    /// Whether it has left the table.
    ended: AtomicBool,
    changes_at: Option<Timestamp>,
    known: Option<Known>,
}

/// What a domain says about an identity that it knows.
#[derive(Debug)]
pub(crate) struct Known {
    /// Whether anybody may read it.
    pub(crate) open: bool,
    /// Whether something else may have taken its place.
    pub(crate) over: bool,
    /// What its tag is made of: constant as long as the record says the same.
    pub(crate) tag: u64,
    /// How many of `bytes` are the keys of its names, and the summary.
    names: u32,
    summary: u32,
    /// The lengths in bytes of the summary and the record as shortened JSON.
    summary_json: u32,
    record_json: u32,
    /// The name keys, the summary (as its difference from a sample) and the record (as its difference from both). All
    /// are in one piece, so that a look-up by name finds the summary in the next cache line.
    bytes: Box<[u8]>,
}

impl Known {
    fn names(&self) -> &[u8] {
        self.bytes.get(..self.names as usize).unwrap_or_default()
    }

    fn summary(&self) -> &[u8] {
        let (start, length) = (self.names as usize, self.summary as usize);
        self.bytes.get(start..start + length).unwrap_or_default()
    }

    fn record(&self) -> &[u8] {
        self.bytes.get(self.names as usize + self.summary as usize..).unwrap_or_default()
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

impl Kept {
    /// What a domain says about an identity now.
    pub(crate) fn new(
        id: IdentityId,
        generation: u64,
        (era, around): (Arc<Era>, Arc<Around>),
        record: Option<(Record, bool)>,
        (withheld, cut_short): (bool, bool),
    ) -> Result<Self, AppError> {
        let changes_at = record.as_ref().and_then(|(record, _)| record.changes_at);
        let known = record.map(|(record, open)| Known::new(record, open, &around)).transpose()?;
        let (place, [confirmed, ended]) = (super::place_of(&id), [false; 2].map(AtomicBool::new));
        Ok(Self { id, place, generation, withheld, cut_short, era, around, confirmed, ended, changes_at, known })
    }

    /// Whether it is kept at this place, and the domain still says the same.
    pub(super) fn holds(&self, place: Place, now: Timestamp) -> bool {
        self.place == place
            && self.confirmed.load(Ordering::Acquire)
            && !self.ended.load(Ordering::Acquire)
            && self.changes_at.is_none_or(|at| now < at)
            && self.around.holds()
            && !self.era.is_over()
    }

    pub(super) fn confirm(&self) {
        self.confirmed.store(true, Ordering::Release);
    }

    /// Ends it for good: a later confirmation comes too late.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// When the first of its statements begins or ends.
    pub(crate) const fn changes_at(&self) -> Option<Timestamp> {
        self.changes_at
    }

    /// What is known; `None` if nothing is said about it.
    pub(crate) const fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Whether there is anything about it, even if this node may no longer read any of it, or does not show any of it
    /// yet: that must not look like nothing.
    pub(crate) const fn is_something(&self) -> bool {
        self.known.is_some() || self.withheld
    }

    /// The keys of its present names.
    pub(super) fn names(&self) -> impl Iterator<Item = Key> {
        let names = self.known.as_ref().map(Known::names).unwrap_or_default();
        names.as_chunks::<8>().0.iter().map(|name| Key(i64::from_be_bytes(*name)))
    }

    /// Whether it has the name with this key now.
    pub(crate) fn is_called(&self, name: Key) -> bool {
        self.names().any(|its| its == name)
    }

    /// Appends the summary, or the whole record, as JSON.
    ///
    /// # Errors
    /// When memory is damaged.
    pub(crate) fn write(&self, whole: bool, into: &mut Vec<u8>) -> Result<(), AppError> {
        let Some(known) = &self.known else { return Ok(()) };
        let sample = self.around.sample.get().map(AsRef::as_ref).unwrap_or_default();
        let damaged = || AppError::Internal("a record in memory cannot be unpacked".to_owned());
        let mut json = short::unpack(known.summary(), known.summary_json, sample).ok_or_else(damaged)?;
        if whole {
            json = short::unpack(known.record(), known.record_json, &[sample, &json].concat()).ok_or_else(damaged)?;
        }
        short::lengthen(&json, into).ok_or_else(damaged)
    }

    /// The record.
    ///
    /// # Errors
    /// When memory is damaged.
    pub(crate) fn record(&self) -> Result<Option<Record>, AppError> {
        let Some(known) = &self.known else { return Ok(None) };
        // Hexadecimal digits take twice as much as their bytes, so the JSON is at most this long.
        let mut json = Vec::with_capacity(2 * known.record_json as usize);
        self.write(true, &mut json)?;
        let damaged = |error| AppError::Internal(format!("a record in memory: {error}"));
        serde_json::from_slice(&json).map(Some).map_err(damaged)
    }

    /// The bytes that it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        let known = self.known.as_ref().map_or(0, |known| known.bytes.len());
        (size_of::<Self>() + 2 * size_of::<usize>() + known) as u64
    }
}

/// The beginning of both, which others of its kind have in common with it.
fn sample(whole: &[u8], summary: &[u8]) -> Box<[u8]> {
    whole.iter().chain(summary).copied().take(SAMPLE_BYTES).collect()
}

impl Known {
    fn new(mut record: Record, open: bool, around: &Around) -> Result<Self, AppError> {
        let unwritable = |error| AppError::Internal(format!("a record has no JSON form: {error}"));
        let whole = serde_json::to_vec(&record).map_err(unwritable)?;
        let summary = serde_json::to_vec(&RecordSummary::from(&record)).map_err(unwritable)?;
        // When the record was resolved makes no difference to what it says.
        record.at = Timestamp::default();
        let digest: [u8; 32] = Sha256::digest(serde_json::to_vec(&record).map_err(unwritable)?).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        let [whole, summary] = [whole, summary].map(|json| short::shorten(&json));
        let sample = around.sample.get_or_init(|| sample(&whole, &summary));
        let names: Vec<u8> = record.all_names().flat_map(|name| super::name_key(name).0.bits().to_be_bytes()).collect();
        let brief = compress_with_dict(&summary, sample);
        let full = compress_with_dict(&whole, &[sample, summary.as_slice()].concat());
        Ok(Self {
            open,
            over: is_over(&record),
            tag: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            names: length_of(&names),
            summary: length_of(&brief),
            summary_json: length_of(&summary),
            record_json: length_of(&whole),
            bytes: [names, brief, full].concat().into(),
        })
    }
}
