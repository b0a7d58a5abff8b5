//! Revocation lists, made of the log. What is revoked is kept by list and brought up to date with what was appended since:
//! one revocation costs one look at one record and one list, however many certificates there are. Only the first who asks
//! for a list has every record read to whom a certificate on it was issued; whoever asks for another one that is there
//! does not wait for him.

mod layout;
mod tracker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ics_core::descriptor::Certificates;
use ics_core::identity::IdentityId;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::record::{Logged, Posting};
use ics_core::statement::Subject;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};

use self::layout::{Layout, Layouts};
use self::tracker::{Found, List, Place, Tracker};
use super::ocsp::is_by;
use crate::api::problem::Code;
use crate::app::answer::read::Sight;
use crate::app::entries::{Entries as _, find_logged, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::parallel;
use crate::store::{DomainNumber, Part, StoreError, StoredEntry};
use crate::x509::{Authority, SerialNumber, issuer_id};

/// Entries behind which everything is made anew instead of brought up to date.
const CATCH_UP: u64 = 20_000;
/// Statements that are read at once.
const PAGE: usize = 1_000;
/// Records below which a thread more is not worth its start.
const RECORDS: usize = 16;
/// Statements by which things may belong to a group, and such things, beyond which lists are read anew instead of looking
/// at each thing.
const MEMBERS: usize = 1_000;
/// How often a list is read for one question. It must be read again when the domain's rules change meanwhile.
const READINGS: usize = 4;

/// A signed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedList {
    /// The list, DER.
    pub der: Arc<[u8]>,
    /// Its number: the same for the same list only.
    pub number: u64,
    /// As of when it was made.
    pub this_update: Timestamp,
    /// Until when it holds.
    pub next_update: Timestamp,
}

/// A list that is asked for.
#[derive(Debug, Clone)]
pub enum Listing {
    /// It is signed here.
    Signed(SignedList),
    /// It is signed elsewhere; see [`App::list_from_home`].
    Elsewhere(Elsewhere),
}

/// A list that its issuer signs at another node.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    pub(in crate::app) domain: DomainName,
    pub(in crate::app) issuer: String,
    pub(super) shard: u8,
    /// Entries of the domain that are here.
    pub(in crate::app) size: u64,
    pub(super) authority: Arc<Authority>,
    pub(in crate::app) url: String,
}

impl Elsewhere {
    fn new(sight: &Sight<'_>, authority: Arc<Authority>, layout: &Layout, shard: u8) -> Self {
        let issuer = issuer_id(&authority);
        let url = layout.urls(&issuer, shard).into_iter().next().unwrap_or_default();
        Self { domain: sight.hosted.name.clone(), issuer, shard, size: sight.seal.size, authority, url }
    }
}

/// That a list is not to be had here.
pub(in crate::app) fn elsewhere() -> AppError {
    AppError::new(Code::UnknownCertificate, "the issuer's key is at another node, of which there is no list that holds")
}

/// That a list would say nothing that still counts.
fn too_old(domain: &DomainName) -> AppError {
    let detail =
        format!("what is in the log of `{domain}` has waited too long for its witnesses: no list would be fresh");
    AppError::new(Code::Behind, detail)
}

/// What is known of the lists of each domain.
#[derive(Default)]
pub(crate) struct Lists(Mutex<BTreeMap<DomainNumber, Arc<OfDomain>>>);

/// What is known of the lists of one domain.
struct OfDomain {
    tracker: Mutex<Tracker>,
    /// Held by whoever reads a list, one at a time: each takes all processors.
    reading: Mutex<()>,
    /// How certificates are divided among lists, by the version of the descriptor.
    layouts: Mutex<Option<(u64, Arc<Layouts>)>>,
}

/// Who makes a list, and how.
struct Lister {
    rules: Certificates,
    authority: Arc<Authority>,
    layout: Arc<Layout>,
    /// Those of all issuers of the domain.
    layouts: Arc<Layouts>,
}

impl App {
    /// The revocation list of an issuer with that number (see [`issuer_id`]), or where one belongs that is signed at another
    /// node.
    ///
    /// # Errors
    /// When there is no such list, or the domain has waited for its witnesses for too long.
    pub fn list_here(&self, domain: &DomainName, issuer: &str, shard: u8) -> Result<Listing, AppError> {
        let hosted = self.hosted(domain)?;
        let place = (issuer.to_owned(), shard);
        if let Some(elsewhere) = self.signed_elsewhere(&hosted, &place)? {
            return Ok(Listing::Elsewhere(elsewhere));
        }
        self.with_list(&hosted, &place, |list, sight, lister| {
            let key = self.issuer_key(&lister.authority).ok_or_else(elsewhere)?;
            let now = self.clock().now();
            let Some(news) = self.as_of_news(sight, now, lister.rules.answers_hold)? else {
                // Whoever has fetched the last list may rely on it: so may who asks now.
                return list.holding(now).map(Listing::Signed).ok_or_else(|| too_old(domain));
            };
            let number = |now| self.store().number_list(now);
            Ok(Listing::Signed(list.signed((now, number), news, lister, &key, shard)?))
        })
    }

    /// Where a list belongs that is not signed here: a copy may be behind, and a list says of everything as of when it was
    /// made, so only the home signs one.
    fn signed_elsewhere(&self, hosted: &Hosted, place: &Place) -> Result<Option<Elsewhere>, AppError> {
        let sight = self.sight(hosted)?;
        let lister = self.lister(&self.lists_of(hosted), &sight, place)?;
        if hosted.part == Part::Home && self.issuer_key(&lister.authority).is_some() {
            return Ok(None);
        }
        Ok(Some(Elsewhere::new(&sight, lister.authority, &lister.layout, place.1)))
    }

    /// All lists that the descriptor of a copied domain names.
    pub(super) fn lists_of_copy(&self, hosted: &Hosted) -> Result<Vec<Elsewhere>, AppError> {
        let sight = self.sight(hosted)?;
        let all = self.all_lists(&sight).into_iter();
        Ok(all.map(|(authority, layout, shard)| Elsewhere::new(&sight, authority, &layout, shard)).collect())
    }

    /// The lists of a domain that are meant, by whose they are and where, each with its issuer and number.
    pub(super) fn lists_that(
        &self,
        domain: &DomainName,
        are_meant: impl Fn(&Authority, &[String]) -> bool,
    ) -> Result<Vec<(Arc<Authority>, u8)>, AppError> {
        let hosted = self.hosted(domain)?;
        let mut all = self.all_lists(&self.sight(&hosted)?);
        all.retain(|(authority, layout, shard)| are_meant(authority, &layout.urls(&issuer_id(authority), *shard)));
        Ok(all.into_iter().map(|(authority, _, shard)| (authority, shard)).collect())
    }

    /// Every list of a domain: its issuer, how that divides its own, and its number.
    fn all_lists(&self, sight: &Sight<'_>) -> Vec<(Arc<Authority>, Arc<Layout>, u8)> {
        let Some(rules) = &sight.domain.descriptor().certificates else { return Vec::new() };
        let layouts = self.layouts(&self.lists_of(sight.hosted), sight);
        let mut all = Vec::new();
        for authority in self.authorities_of(&rules.issuers) {
            let Some(layout) = layouts.get(&issuer_id(&authority)) else { continue };
            let shards = (0..=u8::MAX).filter(|shard| layout.has(*shard));
            all.extend(shards.map(|shard| (Arc::clone(&authority), Arc::clone(layout), shard)));
        }
        all
    }

    /// The certificates that would be on a list by what is known here, whoever signs it.
    pub(super) fn revoked_here(&self, of: &Elsewhere) -> Result<BTreeSet<SerialNumber>, AppError> {
        let hosted = self.hosted(&of.domain)?;
        let now = self.clock().now();
        self.with_list(&hosted, &(of.issuer.clone(), of.shard), |list, _, _| Ok(list.revoked_at(now)))
    }

    /// Does something with a list that is up to date.
    fn with_list<T>(
        &self,
        hosted: &Hosted,
        place: &Place,
        work: impl Fn(&mut List, &Sight<'_>, &Lister) -> Result<T, AppError>,
    ) -> Result<T, AppError> {
        let lists = self.lists_of(hosted);
        for _ in 0..READINGS {
            let mut tracker = lists.tracker();
            // Not before the lock: nobody shall get less than somebody else already got.
            let sight = self.sight(hosted)?;
            let lister = self.lister(&lists, &sight, place)?;
            self.catch_up(&mut tracker, &sight, &lister)?;
            if let Some(list) = tracker.lists.get_mut(place) {
                return work(list, &sight, &lister);
            }
            drop(tracker);
            self.read_unless_there(hosted, &lists, place)?;
        }
        Err(AppError::new(Code::Busy, "what the domain says of its issuers changes faster than its lists are read"))
    }

    fn lists_of(&self, hosted: &Hosted) -> Arc<OfDomain> {
        self.0.lists.of(hosted.number, || Tracker::new(self.memory().era(hosted.number)))
    }

    /// Who makes a list, and how.
    fn lister(&self, lists: &OfDomain, sight: &Sight<'_>, (issuer, shard): &Place) -> Result<Lister, AppError> {
        let unknown = |why: &str| AppError::new(Code::UnknownCertificate, why.to_owned());
        let rules = sight.domain.descriptor().certificates.clone();
        let rules = rules.ok_or_else(|| unknown("the domain issues no certificates"))?;
        let authority = self.authorities_of(&rules.issuers).find(|it| issuer_id(it) == *issuer);
        let authority = authority.ok_or_else(|| unknown("the domain has no such issuer"))?;
        let layouts = self.layouts(lists, sight);
        let layout = layouts.get(issuer).cloned().ok_or_else(|| unknown("the domain has no such issuer"))?;
        if !layout.has(*shard) {
            return Err(unknown("the issuer has fewer lists"));
        }
        Ok(Lister { rules, authority, layout, layouts })
    }

    /// How certificates are divided among lists. It changes with a descriptor only.
    fn layouts(&self, lists: &OfDomain, sight: &Sight<'_>) -> Arc<Layouts> {
        let version = sight.domain.descriptor().version;
        let mut kept = lists.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, layouts)) if *of == version => Arc::clone(layouts),
            _ => {
                let layouts = Arc::new(layout::read(&sight.domain, |issuer| {
                    self.authority(issuer).ok().map(|authority| issuer_id(&authority))
                }));
                *kept = Some((version, Arc::clone(&layouts)));
                layouts
            }
        }
    }

    /// Where each list of an issuer is.
    pub(super) fn list_urls(&self, sight: &Sight<'_>, issuer: &str) -> Vec<String> {
        let layouts = self.layouts(&self.lists_of(sight.hosted), sight);
        let newest = |shard: u8| layouts.get(issuer)?.urls(issuer, shard).into_iter().next();
        (0..=u8::MAX).filter_map(newest).collect()
    }

    /// Takes into account what was appended, and what time has changed.
    fn catch_up(&self, tracker: &mut Tracker, sight: &Sight<'_>, lister: &Lister) -> Result<(), AppError> {
        let size = sight.seal.size;
        let now = self.clock().now();
        let anew = |tracker: &mut Tracker| *tracker = Tracker::new(self.memory().era(sight.hosted.number));
        if tracker.era.is_over() || size.saturating_sub(tracker.upto) > CATCH_UP {
            anew(tracker);
        }
        if tracker.lists.is_empty() {
            tracker.begin(size);
            return Ok(());
        }
        let mut touched = tracker.due(now);
        let mut members = 0;
        let indices: Vec<u64> = (tracker.upto..size).collect();
        for page in indices.chunks(PAGE) {
            for entry in self.store().entries_at(sight.hosted.number, page)? {
                let few = |ids: &BTreeSet<IdentityId>| {
                    members += ids.len().saturating_sub(1);
                    members <= MEMBERS
                };
                let Some(ids) = concerned(sight, &entry)?.filter(few) else {
                    anew(tracker);
                    tracker.begin(size);
                    return Ok(());
                };
                touched.extend(ids);
            }
        }
        let authorities: Vec<_> = self.authorities_of(&lister.rules.issuers).collect();
        for id in touched {
            let issued = [Posting::Subject(id), Posting::Act(Act::Issued)];
            if !sight.entries.find(&issued, 1)?.is_empty() {
                self.judge_again(tracker, sight, lister, &authorities, &id)?;
            }
        }
        // Not before all of them were looked at: one that fails must not be left out for good.
        tracker.is_up_to(size, now);
        Ok(())
    }

    /// Puts the certificates of one identity onto their lists, or takes them off.
    fn judge_again(
        &self,
        tracker: &mut Tracker,
        sight: &Sight<'_>,
        lister: &Lister,
        authorities: &[Arc<Authority>],
        id: &IdentityId,
    ) -> Result<(), AppError> {
        let Some((record, said)) = self.resolve(sight, id)? else { return Ok(()) };
        let now = self.clock().now();
        for issued in said.about.iter().filter(|it| it.claims().act == Act::Issued) {
            let Some(found) = Found::of(issued, &record, now) else { continue };
            let Some(authority) = authorities.iter().find(|authority| is_by(sight, issued, authority)) else {
                continue;
            };
            let issuer = issuer_id(authority);
            let Some(layout) = lister.layouts.get(&issuer) else { continue };
            for shard in layout.shards(found.certificate.serial.bucket()) {
                tracker.take(&(issuer.clone(), shard), &found);
            }
        }
        Ok(())
    }

    /// Reads a list, unless somebody else just did. Those that are there are given meanwhile.
    fn read_unless_there(&self, hosted: &Hosted, lists: &OfDomain, place: &Place) -> Result<(), AppError> {
        let _reading = lists.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.tracker().lists.contains_key(place) {
            return Ok(());
        }
        let era = self.memory().era(hosted.number);
        let sight = self.sight(hosted)?;
        let lister = self.lister(lists, &sight, place)?;
        let found = self.find_revoked(&sight, &lister, place.1)?;
        lists.tracker().add(place, found, era, sight.seal.size);
        Ok(())
    }

    /// What the records say of all certificates that belong on a list if they are revoked: those of which that is so, or
    /// may become so by time alone.
    fn find_revoked(&self, sight: &Sight<'_>, lister: &Lister, shard: u8) -> Result<Vec<Found>, AppError> {
        let mut all = Vec::new();
        let now = self.clock().now();
        let keys_of_issuer = sight.domain.certificates().flat_map(|it| it.public_keys());
        let signers = keys_of_issuer.filter(|key| key.to_spki_der().as_ref() == Some(&lister.authority.spki));
        let signers: BTreeSet<_> = signers.map(|key| key.fingerprint()).collect();
        for signer in signers {
            for bucket in (0..=u8::MAX).filter(|bucket| lister.layout.shards(*bucket).contains(&shard)) {
                let posting = Posting::Issued(signer, bucket);
                let issued = find_logged(&sight.entries, &sight.domain, &posting, usize::MAX)?;
                // What has ended since the last list was made, be it by a node that was stopped meanwhile, is on the next
                // one (RFC 5280, 3.3). When that was nobody knows; no list of before held longer than this.
                let hold = lister.rules.answers_hold * 1000;
                let counts = |it: &Logged| it.claims().until.is_none_or(|until| until.plus_millis(hold) > now);
                let counting = issued.into_iter().filter(counts).collect();
                let found = parallel::map(counting, RECORDS, |issued: Logged| self.find(sight, &issued, now));
                for found in found {
                    all.extend(found?.filter(|found| found.revoked.is_some() || found.turns.is_some()));
                }
            }
        }
        Ok(all)
    }

    /// What the record says of a certificate now, or said last before its time was over.
    fn find(&self, sight: &Sight<'_>, issued: &Logged, now: Timestamp) -> Result<Option<Found>, AppError> {
        let ended = issued.claims().until.filter(|until| *until <= now);
        let Some(ended) = ended else {
            let record = self.record_in_passing(sight, issued, now)?;
            return Ok(record.and_then(|record| Found::of(issued, &record, now)));
        };
        let last = Timestamp::from_millis(ended.as_millis().saturating_sub(1));
        let resolved = self.resolve_at(sight, &issued.subject_id(), core::slice::from_ref(issued), last)?;
        Ok(resolved.and_then(|(record, _)| Found::of(issued, &record, last)))
    }
}

/// Whose certificates an entry may concern; `None` if that is not known, or so many that reading the lists anew is less.
fn concerned(sight: &Sight<'_>, entry: &StoredEntry) -> Result<Option<BTreeSet<IdentityId>>, StoreError> {
    let kind = Header::decode(&entry.header).map(|header| header.kind);
    if matches!(kind, Ok(EntryKind::Descriptor | EntryKind::Certificate)) {
        return Ok(None);
    }
    let Some(statement) = restore(&sight.domain, entry)? else { return Ok(Some(BTreeSet::new())) };
    match statement.subject_id() {
        id @ IdentityId::Key(_) => Ok(Some(BTreeSet::from([id]))),
        IdentityId::Group(group) => members(sight, group, &statement),
        IdentityId::Software(_) => Ok(Some(BTreeSet::new())),
    }
}

/// The things that may belong to a group, and others: whether one does, its record says. `None` if they are too many.
fn members(sight: &Sight<'_>, group: [u8; 32], about: &Logged) -> Result<Option<BTreeSet<IdentityId>>, StoreError> {
    let mut postings = vec![Posting::Member(group)];
    if let Subject::Group(group) = about.subject() {
        // Whoever belongs to it has all the values; the last says most.
        let last = group.attributes.last_key_value();
        postings.extend(last.map(|(attribute, value)| Posting::Attribute(*attribute, value.clone())));
    }
    let mut members = BTreeSet::new();
    for posting in postings {
        let entries = sight.entries.find(&[posting], MEMBERS + 1)?;
        if entries.len() > MEMBERS {
            return Ok(None);
        }
        for entry in entries {
            let id = restore(&sight.domain, &entry)?.map(|statement| statement.subject_id());
            members.extend(id.filter(|id| matches!(id, IdentityId::Key(_))));
        }
    }
    Ok(Some(members))
}

impl Lists {
    fn of(&self, domain: DomainNumber, new: impl FnOnce() -> Tracker) -> Arc<OfDomain> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new =
            || Arc::new(OfDomain { tracker: Mutex::new(new()), reading: Mutex::default(), layouts: Mutex::default() });
        Arc::clone(all.entry(domain).or_insert_with(new))
    }
}

impl OfDomain {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
