//! What other nodes have answered, and that they have not, kept within bounds for as long as it is useful.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ics_core::evidence::{Attested, Evidence};
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::checkpoint::Origin;
use ics_core::log::record_head::HeadReader;
use ics_core::name::Name;
use ics_core::time::Timestamp;
use ics_core::trust::{Testimony, fresh_until};
use ics_sync::budget::Budget;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex as Place, MutexGuard};

use super::Need;
use super::watched::Watchers;
use crate::app::{App, AppError, Reader};
use crate::config::PeerName;
use crate::locked::Locked as _;
use crate::shares::{Shares, network};
use crate::tls::KeyPin;

/// The average size of an answer in bytes, by which the cache sizes its tables.
const EXPECTED_BYTES: u64 = 16 * 1024;
/// How much more memory an answer takes than bytes on the wire: a body is kept in the evidence, and its meaning in the
/// record.
const MEMORY_FACTOR: u64 = 3;
/// How long the same peer raises no second alarm of one sort.
const ALARM_PAUSE: Duration = Duration::from_secs(600);

/// On whose behalf other nodes are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// The node's operator, or a program of its own: limited only by what all together may ask.
    Own,
    /// The holder of a key that this node knows and that the connection has proved.
    Key(KeyPin),
    /// A stranger, by network address; all those without an address count as one.
    Address(Option<u64>),
}

impl Asker {
    /// How long the asker has to wait for a pace that all share. Strangers leave half of it to parties that this node
    /// knows.
    pub(super) fn wait(self, pace: &Budget, now: Instant) -> Duration {
        match self {
            Self::Own | Self::Key(_) => pace.wait(now),
            Self::Address(_) => pace.wait_for_half(now),
        }
    }

    /// Whether this node does not know the asker.
    pub(crate) const fn is_stranger(self) -> bool {
        matches!(self, Self::Address(_))
    }

    /// Takes a request from the asker's budget; the node's own requests are not limited.
    pub(in crate::app) fn take_share(self, shares: &Shares) -> Result<(), AppError> {
        if self == Self::Own {
            return Ok(());
        }
        shares.take(self).map_err(|seconds| {
            let whence = if self.is_stranger() { "from this address" } else { "under this key" };
            let detail = format!("too many requests {whence}; there is room again in {seconds} s");
            AppError::too_often(detail, seconds)
        })
    }
}

impl App {
    /// On whose behalf other nodes are asked for a reader at an address. A key that this node does not know means
    /// nothing: anybody can have any number of them.
    #[must_use]
    pub fn asker(&self, reader: Reader, address: Option<IpAddr>) -> Asker {
        match reader {
            Reader::Operator => Asker::Own,
            Reader::Key(key) if self.party(key).is_some() => Asker::Key(key),
            Reader::Key(_) | Reader::Anonymous => Asker::Address(address.map(network)),
        }
    }
}

/// A question to a domain, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sought {
    pub(crate) origin: Origin,
    pub(crate) asked: String,
}

impl Sought {
    /// The question for an identity of the same domain.
    pub(super) fn of(&self, id: &IdentityId) -> Self {
        Self { origin: self.origin.clone(), asked: id.to_string() }
    }
}

/// What a home attests, as it arrived here.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) attested: Attested,
    pub(crate) evidence: Evidence,
    /// The key under which this node asked.
    pub(crate) reader: HeadReader,
    /// The peer that was asked.
    pub(crate) from: PeerName,
}

/// The outcome of a question to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The home attests it.
    Answered,
    /// The peer has no answer.
    Unanswered,
    /// The peer cannot be reached.
    Unreachable,
    /// The question would have exceeded a limit, and was not asked.
    Limited,
    /// The answer is of an older log than was seen.
    Old,
    /// The answer does not prove all that it says.
    Refused,
    /// The answer is not of the log that was seen.
    Forked,
}

impl Outcome {
    const ALL: [Self; 7] =
        [Self::Answered, Self::Unanswered, Self::Unreachable, Self::Limited, Self::Old, Self::Refused, Self::Forked];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unanswered => "unanswered",
            Self::Unreachable => "unreachable",
            Self::Limited => "limited",
            Self::Old => "old",
            Self::Refused => "refused",
            Self::Forked => "forked",
        }
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Sought, Arc<Answer>> for Bytes {
    fn weight(&self, sought: &Sought, answer: &Arc<Answer>) -> u64 {
        let of_entries: usize = answer.evidence.entries.iter().map(|entry| entry.body.len() + 2_048).sum();
        MEMORY_FACTOR * (of_entries + sought.asked.len() + 1_024) as u64
    }
}

/// Records that nobody had an answer.
#[derive(Debug, Clone)]
struct Failure {
    why: Arc<str>,
    until: Instant,
}

/// What is kept of other nodes' answers, bounded in bytes and numbers whoever asks for what.
pub(crate) struct Roaming {
    answers: Cache<Sought, Arc<Answer>, Bytes>,
    failures: Cache<Sought, Failure>,
    /// Questions are hashed to places; the holder of a place asks, and others with the same question wait.
    places: Vec<Place<()>>,
    hasher: RandomState,
    pub(super) pace: Budget,
    /// How much each asker may have asked.
    shares: Shares,
    counts: [AtomicU64; Outcome::ALL.len()],
    /// When each peer last raised an alarm of each sort.
    alarmed: Mutex<BTreeMap<(PeerName, &'static str), Instant>>,
    /// Counts changes of what is followed.
    pub(super) follows: AtomicU64,
    /// The watchers of things in domains at home at this node.
    pub(super) watchers: Watchers,
}

impl Default for Roaming {
    fn default() -> Self {
        let items = usize::try_from(limits::ROAMING_KEPT_BYTES / EXPECTED_BYTES).unwrap_or(usize::MAX);
        Self {
            answers: Cache::with_weighter(items, limits::ROAMING_KEPT_BYTES, Bytes),
            failures: Cache::new(limits::ROAMING_FAILURES),
            places: core::iter::repeat_with(Place::default).take(limits::ROAMING_AT_ONCE).collect(),
            hasher: RandomState::new(),
            pace: Budget::new(limits::ROAMING_PER_MINUTE, Duration::from_secs(60)),
            shares: Shares::of_askers(limits::ROAMING_PER_ASKER, limits::ROAMING_PER_ASKER_AT_ONCE),
            counts: Default::default(),
            alarmed: Mutex::default(),
            follows: AtomicU64::new(0),
            watchers: Watchers::default(),
        }
    }
}

impl Answer {
    /// The identity that was found.
    pub(crate) fn identity(&self) -> Option<IdentityId> {
        self.attested.testimony.record.as_ref().map(|record| record.identity.id)
    }

    /// How far it knows the log, and as of when: of two answers to one question the one that knows more counts.
    pub(super) fn reached(&self) -> (u64, Timestamp) {
        (self.attested.testimony.size, self.attested.testimony.as_of)
    }

    /// Whether what was found is blocked.
    fn blocks(&self) -> bool {
        self.attested.testimony.record.as_ref().is_some_and(|record| record.effect().blocks())
    }

    /// Whether it answers a question: the question is the identity's id, or a name that it has by the same answer.
    pub(super) fn means(&self, asked: &str) -> bool {
        let Some(record) = &self.attested.testimony.record else { return false };
        let is_called = |name: Name| record.all_names().any(|its| *its == name);
        record.identity.id.to_string() == asked || asked.parse::<Name>().is_ok_and(is_called)
    }

    /// This answer to another question that was answered at `as_of`, from which time on it is not known whether the
    /// name still means the same. `None` if the name does not mean this identity any more.
    fn for_question(self: &Arc<Self>, asked: &str, as_of: Timestamp) -> Option<Arc<Self>> {
        if !self.means(asked) {
            return None;
        }
        if self.attested.testimony.as_of <= as_of {
            return Some(Arc::clone(self));
        }
        let mut attested = self.attested.clone();
        attested.testimony.as_of = as_of;
        let (evidence, reader, from) = (self.evidence.clone(), self.reader, self.from.clone());
        Some(Arc::new(Self { attested, evidence, reader, from }))
    }

    /// The time as of which this node counts it, if its home has signed a later one.
    pub(super) fn believed(&self) -> Option<Timestamp> {
        Some(self.attested.testimony.as_of).filter(|as_of| *as_of < self.attested.signed_at)
    }

    /// When the first of its statements begins or ends.
    pub(crate) fn changes_at(&self) -> Option<Timestamp> {
        self.attested.testimony.record.as_ref().and_then(|record| record.changes_at)
    }

    /// Whether a reader here may read it, by the rules of its domain.
    pub(crate) fn is_readable(&self, app: &App, reader: Reader) -> bool {
        let record = self.attested.testimony.record.as_ref();
        record.is_none_or(|record| app.may_read(reader, &self.attested.domain, record))
    }

    /// Whether its domain certainly shows everything to a reader here, and to this node, which asked.
    pub(crate) fn is_shown_all(&self, app: &App, reader: Reader) -> bool {
        let asker = self.reader.map(|_| app.as_asker()).unwrap_or_default();
        app.is_shown_all(reader, &self.attested.domain) && self.attested.domain.policy().shows_all(&asker)
    }

    /// Whether a reader here may know what it says: about a thing, if the reader may read that; that there is none, if
    /// the reader is certainly shown everything.
    pub(super) fn is_told(&self, app: &App, reader: Reader) -> bool {
        if self.identity().is_some() { self.is_readable(app, reader) } else { self.is_shown_all(app, reader) }
    }

    /// Whether it is recent enough, and nothing in its record has begun or ended since.
    pub(super) fn serves(&self, Need { policy, usage, now }: Need<'_>) -> bool {
        let testimony = &self.attested.testimony;
        let until = fresh_until(testimony.as_of, policy.fresh_for(&testimony.freshness, usage), now);
        now < until && !self.is_outdated(now)
    }

    /// Whether something in it has begun or ended since it was resolved.
    pub(super) fn is_outdated(&self, now: Timestamp) -> bool {
        self.changes_at().is_some_and(|at| at <= now)
    }
}

impl Roaming {
    /// What is kept for a question. For an identity the answer that knows the most of the log counts, whatever the
    /// question was: an older one could allow what this node knows to be blocked. So what was found by a name never
    /// counts without what is kept for the identity.
    pub(super) fn recall(&self, sought: &Sought) -> Option<Arc<Answer>> {
        let answer = self.answers.get(sought)?;
        let Some(by_id) = answer.identity().map(|id| sought.of(&id)).filter(|by_id| by_id != sought) else {
            return Some(answer);
        };
        let newest = self.answers.get(&by_id)?;
        let (known, Testimony { size, as_of, .. }) = (&newest.attested.testimony, &answer.attested.testimony);
        if known.size <= *size {
            return Some(answer);
        }
        let renewed = newest.for_question(&sought.asked, *as_of);
        match &renewed {
            Some(renewed) => self.answers.insert(sought.clone(), Arc::clone(renewed)),
            None => drop(self.answers.remove(sought)),
        }
        renewed
    }

    /// Keeps an answer for the question and for the identity that was found, unless there is a newer one. Showing an
    /// old answer does not remove what is known.
    pub(super) fn keep(&self, sought: &Sought, answer: &Arc<Answer>) {
        let by_id = answer.identity().map(|id| sought.of(&id)).filter(|by_id| by_id != sought);
        for question in by_id.iter().chain([sought]) {
            if self.answers.get(question).is_none_or(|known| known.reached() <= answer.reached()) {
                self.answers.insert(question.clone(), Arc::clone(answer));
            }
            self.failures.remove(question);
        }
        self.forget_other_meanings(&sought.origin, answer);
    }

    /// Forgets what an older answer says a name means, if it is something else or nothing: only the home knows what the
    /// name means now. A block stays, since nothing said about another thing can end it.
    fn forget_other_meanings(&self, origin: &Origin, answer: &Answer) {
        let Testimony { size, record, .. } = &answer.attested.testimony;
        let Some(record) = record else { return };
        for name in record.all_names() {
            let question = Sought { origin: origin.clone(), asked: name.to_string() };
            let is_overtaken = |known: Arc<Answer>| {
                known.identity() != Some(record.identity.id) && known.attested.testimony.size < *size && !known.blocks()
            };
            if self.answers.get(&question).is_some_and(is_overtaken) {
                self.answers.remove(&question);
            }
        }
    }

    /// Records for a short while that nobody has an answer.
    pub(super) fn fail(&self, sought: &Sought, why: String) {
        let until = Instant::now() + Duration::from_millis(limits::ROAMING_PAUSE_MILLIS);
        self.failures.insert(sought.clone(), Failure { why: why.into(), until });
    }

    /// Why nobody had an answer a moment ago.
    pub(super) fn failure(&self, sought: &Sought, now: Instant) -> Option<Arc<str>> {
        self.failures.get(sought).filter(|failure| now < failure.until).map(|failure| failure.why)
    }

    /// Whether an asker may have another question asked.
    pub(super) fn may_ask(&self, asker: Asker) -> bool {
        asker == Asker::Own || self.shares.take(asker).is_ok()
    }

    /// Waits for the place from which a question is asked.
    pub(super) async fn place(&self, sought: &Sought) -> MutexGuard<'_, ()> {
        let number = self.hasher.hash_one(sought) as usize % self.places.len().max(1);
        match self.places.get(number) {
            Some(place) => place.lock().await,
            // There is always one.
            None => std::future::pending().await,
        }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.counts.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often other nodes were asked, by outcome.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::ALL.iter().zip(&self.counts).map(|(outcome, count)| (outcome.as_str(), count.load(Ordering::Relaxed)))
    }

    /// Whether an alarm about a peer may be raised, or one was raised a moment ago. The table has at most one entry for
    /// each peer and sort.
    pub(super) fn may_alarm(&self, peer: &PeerName, sort: &'static str) -> bool {
        let now = Instant::now();
        let mut alarmed = self.alarmed.locked();
        let is_due = alarmed.get(&(peer.clone(), sort)).is_none_or(|last| now.duration_since(*last) >= ALARM_PAUSE);
        if is_due {
            alarmed.insert((peer.clone(), sort), now);
        }
        is_due
    }
}
