//! Domains at earlier moments, for directories that keep a copy in step (RFC 4533): what a record was when the log was
//! shorter, and what may have changed since.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use ics_core::domain::Domain;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::openpgp::certificate::Certificate;
use ics_core::record::{Logged, Posting, Record, resolve};
use ics_core::statement::{StatementId, openpgp_key_of};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;

use super::read::as_shown;
use super::resolved::cut_short;
use super::then::Then;
use crate::api::problem::Code;
use crate::api::{DomainInfo, ShownLog};
use crate::app::entries::{Entries, Snapshot, find_besides, find_logged, is_more_about, keys, kind_key, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::locked::Locked as _;
use crate::store::{DomainNumber, Key, Seal, Standing, StoreError, StoredEntry};

/// A domain as it was at a size of its log and a time, under the policy and certificates of a moment. The newest rules
/// decide what may be read; the rules that the log shows decide what stands.
#[derive(Clone)]
pub struct Moment {
    hosted: Arc<Hosted>,
    domain: Arc<Domain>,
    /// The domain under the rules that the log shows.
    shown: Arc<Domain>,
    seal: Seal,
    /// How much of the log was shown when it was looked at: an earlier moment is made from a later one.
    newest: u64,
    /// Up to which entry the rules are known: at a home that waits for its witnesses, further than the log is shown.
    ruled_upto: u64,
    /// How often entries that had been hidden from this node were filled in: each time what the log said before
    /// changes.
    pub filled: i64,
    /// When the last entry was admitted; never decreases as the log grows.
    pub admitted_at: Timestamp,
    /// The age of the last entry at that moment, in steps: see [`steps`].
    age: u32,
    /// The time as of which statements are judged: that many steps after the last entry.
    at: Timestamp,
    /// Look-ups that find nothing at that moment.
    nothing: Arc<Mutex<HashSet<Key>>>,
}

/// The domains of a node as they are now, except those of which nothing was shown yet.
#[derive(Default)]
pub struct Moments {
    /// Those that answer.
    pub answering: BTreeMap<DomainName, Moment>,
    /// The numbers of those that cannot answer now (see [`Moment::number`]): nobody can tell what they say.
    pub silent: BTreeSet<u32>,
}

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// These identities, by their ids.
    These(BTreeSet<String>),
    /// Any identity: policy, certificates or what is said about groups has changed, or too much else has.
    Any,
}

/// What a reader could once see about an identity, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The identity.
    pub id: IdentityId,
    /// The statements about it.
    pub statements: Vec<StatementId>,
}

/// How many combinations of size and time are tried to find out whether an identity could ever be seen.
const LOOKS: usize = 256;
/// The first steps are seconds; there is room for 97 days of them.
const SECONDS: u64 = 1 << 23;
/// Further steps are minutes; there is room for 16 years of them without a new entry.
const STEPS: u64 = (1 << 24) - 1;

/// Converts milliseconds since the last entry to whole steps, and those steps back to milliseconds.
///
/// Within a step, time changes nothing. So the state of a copy is a number that only grows: the entries of the log,
/// then steps.
fn steps(millis: u64) -> (u32, u64) {
    let seconds = millis / 1000;
    let minutes = (seconds.saturating_sub(SECONDS) / 60).min(STEPS - SECONDS);
    let age = if seconds < SECONDS { seconds } else { SECONDS + minutes };
    let age = u32::try_from(age).unwrap_or(u32::MAX);
    (age, millis_of(age))
}

/// The milliseconds of this many steps: see [`Moment::age`].
#[must_use]
pub const fn millis_of(age: u32) -> u64 {
    let age = age as u64;
    let minutes = age.saturating_sub(SECONDS);
    (if minutes == 0 { age } else { SECONDS + 60 * minutes }) * 1000
}

/// How many steps of time after an entry's admission a later moment is: see [`Moment::age`].
#[must_use]
pub fn age_at(admitted_at: Timestamp, now: Timestamp) -> u32 {
    steps(now.millis_since(admitted_at)).0
}

/// How many hours back are searched for statements that begin or end.
const HOURS: u64 = 24 * 366;

impl Moment {
    /// The number of entries in the log.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.seal.size
    }

    /// The root of the log.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.seal.root
    }

    /// How many steps of time after the last entry the moment is; fits 24 bits.
    #[must_use]
    pub const fn age(&self) -> u32 {
        self.age
    }

    /// The domain's number at this node, which has no meaning elsewhere.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.hosted.number.get()
    }

    pub(super) fn number_here(&self) -> DomainNumber {
        self.hosted.number
    }

    /// The domain's identity: its name and the leaf of its entry 0.
    #[must_use]
    pub fn origin(&self) -> String {
        self.domain.origin().to_string()
    }

    /// The rules in force, which decide what may be read.
    pub(in crate::app) fn rules(&self) -> &Domain {
        &self.domain
    }

    /// The rules by which statements are judged.
    pub(in crate::app) fn shown_rules(&self) -> &Domain {
        &self.shown
    }

    /// The time as of which statements are judged.
    pub(in crate::app) const fn at(&self) -> Timestamp {
        self.at
    }

    /// The primary keys of all certificates.
    #[must_use]
    pub fn certificates(&self) -> Vec<Fingerprint> {
        self.domain.certificates().map(Certificate::primary).collect()
    }

    /// When the home last vouched for this size.
    #[must_use]
    pub const fn cosigned_at(&self) -> Option<Timestamp> {
        self.seal.cosigned_at
    }
}

/// How many look-ups that find nothing a moment remembers: a page of memory.
const NOTHING: usize = 4_096;

/// The log of a domain at a moment. Most candidate groups of a thing do not exist, and the next thing may have the same
/// candidates, so each is looked up only once.
pub(super) struct LogThen<'m> {
    pub(in crate::app) snapshot: Snapshot<'m>,
    nothing: &'m Mutex<HashSet<Key>>,
}

impl Entries for LogThen<'_> {
    fn indices(&self, postings: &[Posting], limit: usize) -> Result<Vec<u64>, StoreError> {
        let nothing = || self.nothing.locked();
        let key = if let [one] = postings { keys(core::slice::from_ref(one)).pop() } else { None };
        if key.is_some_and(|key| nothing().contains(&key)) {
            return Ok(Vec::new());
        }
        let found = self.snapshot.indices(postings, limit)?;
        if found.is_empty() && limit > 0 {
            let mut nothing = nothing();
            if nothing.len() >= NOTHING {
                nothing.clear();
            }
            nothing.extend(key);
        }
        Ok(found)
    }

    fn entries_at(&self, indices: &[u64]) -> Result<Vec<StoredEntry>, StoreError> {
        self.snapshot.entries_at(indices)
    }

    fn misled_to(&self, index: u64) -> StoreError {
        self.snapshot.misled_to(index)
    }
}

impl App {
    /// A domain as it is now; `None` before anything of it was shown.
    ///
    /// # Errors
    /// When the domain is not held here, or cannot answer now.
    pub fn moment(&self, domain: &DomainName) -> Result<Option<Moment>, AppError> {
        self.moment_of(self.hosted(domain)?)
    }

    /// All domains as they are now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn moments(&self) -> Result<Moments, AppError> {
        let mut moments = Moments::default();
        for hosted in self.all_hosted() {
            let (name, number) = (hosted.name.clone(), hosted.number.get());
            match self.moment_of(hosted) {
                Ok(moment) => moments.answering.extend(moment.map(|moment| (name, moment))),
                Err(error) if error.code() == Code::Behind => {
                    moments.silent.insert(number);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moments)
    }

    fn moment_of(&self, hosted: Arc<Hosted>) -> Result<Option<Moment>, AppError> {
        // First: a damaged domain, or one restored from a copy that was made early, may not be known at all or have no
        // checkpoint, and has been shown all the same.
        self.store().check_sound(hosted.number)?;
        let is_restored = matches!(self.store().standing(hosted.number)?, Standing::Behind { .. });
        let is_shown = hosted.domain().is_some() && self.store().head(hosted.number)?.seal.is_some();
        if !is_shown && !is_restored {
            return Ok(None);
        }
        let seal = self.seal(&hosted)?;
        // Only now, so that it reaches at least as far as the checkpoint.
        let Some(domain) = hosted.domain() else { return Ok(None) };
        let ruled_upto = domain.size();
        let last = domain.last_admitted_at();
        let admitted_at =
            if ruled_upto == seal.size { last } else { self.last_admitted(&hosted, seal.size, Timestamp::default())? };
        let (age, millis) = steps(self.clock().now().millis_since(admitted_at));
        let filled = self.store().sight(hosted.number)?.settled;
        Ok(Some(Moment {
            hosted,
            shown: as_shown(&domain, seal.size),
            domain,
            newest: seal.size,
            seal,
            ruled_upto,
            filled,
            admitted_at,
            age,
            at: admitted_at.plus_millis(millis),
            nothing: Arc::default(),
        }))
    }

    /// The same domain when its log was shorter, `age` steps after the last entry of that time, under the policy of
    /// `now`.
    ///
    /// # Errors
    /// When it never had that size, or the store fails.
    pub fn earlier(&self, now: &Moment, size: u64, admitted_at: Timestamp, age: u32) -> Result<Moment, AppError> {
        let root = self.store().root_at(now.hosted.number, size)?;
        let seal = Seal { size, root, note: String::new(), cosigned_at: None };
        let at = admitted_at.plus_millis(millis_of(age));
        Ok(Moment { seal, ruled_upto: size, admitted_at, age, at, nothing: Arc::default(), ..now.clone() })
    }

    pub(super) fn log_then<'m>(&'m self, moment: &'m Moment) -> LogThen<'m> {
        let snapshot = Snapshot { store: self.store(), number: moment.hosted.number, size: moment.seal.size };
        LogThen { snapshot, nothing: &moment.nothing }
    }

    /// What erasures that the moment does not show restate about an identity: the erased bodies are already gone, and
    /// no moment may show a thing without the block that was on it. For what had been erased by then, see
    /// [`Self::erased`].
    ///
    /// Between the commit of an erasure and its being shown nobody can read what it restates, so that is waited for.
    ///
    /// # Errors
    /// When that takes long, because the disk fails, or the erasure was given up and has not come again; and when the
    /// store fails.
    pub(super) fn left_unshown(&self, moment: &Moment, id: &IdentityId) -> Result<Vec<Logged>, AppError> {
        let number = moment.number_here();
        let are_shown = self.store().await_erasures(number);
        let whole = Snapshot { store: self.store(), number, size: self.store().head(number)?.size };
        let (subject, limit) = (Posting::Subject(*id), limits::RECORD_ENTRIES);
        let (mut left, remnants) = find_besides(&whole, &moment.domain, &subject, limit, &[])?;
        let are_here = self.store().given_up(number)? <= self.store().head(number)?.size;
        if !(are_shown && are_here) && is_more_about(id, &left, &remnants) {
            return Err(cut_short(id));
        }
        left.retain(|it| it.is_erased() && it.index() >= moment.newest);
        Ok(left)
    }

    /// Notifies whenever any domain here has grown.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// What the node says about a domain, as of a moment, and its checkpoint.
    ///
    /// # Errors
    /// When the domain is not held here, or the store fails.
    pub fn domain_then(&self, moment: &Moment) -> Result<(DomainInfo, String), AppError> {
        let mut info = self.domain(&moment.hosted.name)?;
        info.root = moment.seal.root.to_string();
        info.shown = Some(ShownLog { size: moment.seal.size, root: info.root.clone() });
        (info.info.size, info.info.as_of) = (moment.seal.size, moment.seal.cosigned_at);
        Ok((info, moment.seal.note.clone()))
    }

    /// What may have changed between two moments: what the entries between them are about, and what has begun or ceased
    /// to hold.
    ///
    /// # Errors
    /// When the store fails.
    pub fn touched(&self, from: &Moment, to: &Moment) -> Result<Touched, AppError> {
        let mut ids = BTreeSet::new();
        let entries = to.ruled_upto.saturating_sub(from.seal.size);
        if to.seal.size < from.seal.size || entries > limits::LDAP_SYNC_TOUCHED {
            return Ok(Touched::Any);
        }
        let mut next = from.seal.size;
        while next < to.ruled_upto {
            let room = usize::try_from(to.ruled_upto - next).unwrap_or(usize::MAX).min(limits::FEED_ENTRIES);
            for entry in self.store().entries(to.hosted.number, next, room, limits::FEED_BYTES)? {
                next = entry.index + 1;
                // Statements count as far as the log shows them. New rules count for readers as soon as they are known,
                // and for what stands once the log shows them.
                let harmless = match restore(&to.domain, &entry)? {
                    Some(statement) => entry.index >= to.seal.size || touch(&statement, &mut ids),
                    None => {
                        // A certification changes only the key to which it belongs.
                        let body = entry.content.as_ref().map(|content| content.body.as_slice());
                        ids.extend(body.and_then(openpgp_key_of).map(|key| key.to_string()));
                        let is_known = entry.index < from.ruled_upto;
                        let is_as_before = is_known && (entry.index >= to.seal.size || !is_descriptor(&entry.header));
                        is_as_before || !(entry.effective && changes_rules(&entry.header))
                    }
                };
                if !harmless {
                    return Ok(Touched::Any);
                }
            }
        }
        self.turned(from.at, to, ids)
    }

    /// The identities whose statements were erased between two moments: nobody can read any more what was said about
    /// them before.
    ///
    /// # Errors
    /// When the store fails.
    pub fn erased(&self, from: &Moment, to: &Moment) -> Result<BTreeSet<String>, AppError> {
        let (domain, range) = (to.hosted.number, from.seal.size..to.seal.size);
        let mut ids = BTreeSet::new();
        if range.is_empty() {
            return Ok(ids);
        }
        let limit = usize::try_from(limits::LDAP_SYNC_TOUCHED).unwrap_or(usize::MAX);
        let erasures = self.store().all_positions(domain, &[kind_key(EntryKind::Erasure)], range, limit)?;
        for entry in self.store().entries_at(domain, &erasures)? {
            ids.extend(restore(&to.domain, &entry)?.map(|left| left.subject_id().to_string()));
        }
        Ok(ids)
    }

    /// Adds what has begun or ceased to hold since a time.
    fn turned(&self, since: Timestamp, to: &Moment, mut ids: BTreeSet<String>) -> Result<Touched, AppError> {
        let log = self.log_then(to);
        let (Posting::Turns(first), Posting::Turns(last)) = (Posting::turns(since), Posting::turns(to.at)) else {
            return Ok(Touched::Any);
        };
        if last.saturating_sub(first) > HOURS {
            return Ok(Touched::Any);
        }
        let limit = usize::try_from(limits::LDAP_SYNC_TOUCHED).unwrap_or(usize::MAX);
        for hour in first..=last {
            let turning = find_logged(&log, &to.domain, &Posting::Turns(hour), limit)?;
            let between = |it: &&Logged| bounds(it).any(|bound| since < bound && bound <= to.at);
            if turning.len() >= limit || !turning.iter().filter(between).all(|it| touch(it, &mut ids)) {
                return Ok(Touched::Any);
            }
        }
        Ok(Touched::These(ids))
    }

    /// What a copy may still have about an identity that the reader cannot read at `to`; nothing if the reader could
    /// not read it at any time since `from`. If it was hidden all the time, not even its name is told.
    ///
    /// Both moments must have the same rules: see [`Touched::These`]. The outer `None` means that there are too many
    /// moments between the two to look at.
    ///
    /// # Errors
    /// When the store fails.
    pub fn gone(&self, reader: Reader, from: &Moment, to: &Moment, id: &str) -> Result<Option<Option<Gone>>, AppError> {
        let Some(Then { id, said, .. }) = self.thing_then(reader, to, id)? else {
            return Ok(Some(None));
        };
        let since = said.about.iter().filter(|it| it.index() >= from.seal.size);
        let sizes: BTreeSet<u64> = since.map(|it| it.index() + 1).chain([from.seal.size]).collect();
        let turns = said.about.iter().chain(&said.groups).flat_map(bounds);
        let turns = turns.filter(|bound| from.at < *bound && *bound <= to.at);
        let times: BTreeSet<Timestamp> = turns.chain([from.at, to.at]).collect();
        if sizes.len() * times.len() > LOOKS {
            return Ok(None);
        }
        let seen = sizes.iter().any(|size| {
            let about: Vec<Logged> = said.about.iter().filter(|it| it.index() < *size).cloned().collect();
            // As far as anybody knows, what an erasure hides from now on could be seen until then.
            let record = |at: &Timestamp| {
                let record = resolve(&to.shown, &id, &about, &said.groups, *at)?;
                Some(Record { forgotten: false, ..record })
            };
            times.iter().filter_map(record).any(|record| self.may_read(reader, &to.domain, &record))
        });
        let statements = said.about.iter().map(Logged::id).collect();
        Ok(Some(seen.then_some(Gone { id, statements })))
    }
}

fn bounds(statement: &Logged) -> impl Iterator<Item = Timestamp> {
    [statement.claims().from, statement.claims().until].into_iter().flatten()
}

/// Adds the subject of a statement; false if that is a group, which concerns all its members.
fn touch(statement: &Logged, ids: &mut BTreeSet<String>) -> bool {
    let id = statement.subject_id();
    ids.insert(id.to_string());
    !matches!(id, IdentityId::Group(_))
}

/// Whether an entry that is not a statement changes how others are judged.
fn changes_rules(header: &[u8]) -> bool {
    Header::decode(header).is_ok_and(|header| header.kind != EntryKind::Certification)
}

fn is_descriptor(header: &[u8]) -> bool {
    Header::decode(header).is_ok_and(|header| header.kind == EntryKind::Descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_time_grow_and_fit() {
        let last = u64::from(u32::MAX) * 1000;
        let at = [0, 999, 1000, SECONDS * 1000 - 1, SECONDS * 1000, SECONDS * 1000 + 60_000, u64::MAX / 2];
        let steps: Vec<(u32, u64)> = at.into_iter().map(steps).collect();
        assert!(steps.is_sorted() && steps.iter().all(|(age, _)| u64::from(*age) <= STEPS), "{steps:?}");
        assert_eq!((steps[0], steps[1], steps[2]), ((0, 0), (0, 0), (1, 1000)));
        assert!(at.iter().zip(&steps).all(|(at, (_, millis))| millis <= at));
        assert!(super::steps(last).1 <= last);
    }
}
