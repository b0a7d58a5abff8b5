//! Revocation lists, derived from the log. What is revoked is kept by list and updated with what was appended since: a
//! revocation costs one look at one record and one list, however many certificates there are. Only the first request
//! for a list reads the record of every thing to which a certificate on it was issued; requests for lists that are
//! already there do not wait for that.

mod layout;
mod tracker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

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
use crate::app::answer::resolved::cut_short;
use crate::app::entries::{Entries as _, find_logged, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::locked::Locked as _;
use crate::parallel;
use crate::store::{DomainNumber, Part, StoreError, StoredEntry};
use crate::x509::{Authority, SerialNumber, issuer_id};

/// If more entries than this have to be caught up on, everything is read again instead.
const CATCH_UP: u64 = 20_000;
/// How many statements are read at once.
const PAGE: usize = 1_000;
/// With fewer records than this another thread is not worth starting.
const RECORDS: usize = 16;
/// With more statements than this by which things may belong to a group, or more such things, lists are read again
/// instead of looking at each thing.
const MEMBERS: usize = 1_000;
/// How often a list is read for one request. It must be read again if the domain's rules change meanwhile.
const READINGS: usize = 4;

/// A signed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedList {
    /// The list, as DER.
    pub der: Arc<[u8]>,
    /// Its number: only identical lists share a number.
    pub number: u64,
    /// The time as of which it was made.
    pub this_update: Timestamp,
    /// Until when it is valid.
    pub next_update: Timestamp,
}

/// A list that is requested.
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
    /// How many entries of the domain are held here.
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

/// The error for a list that is not available here.
pub(in crate::app) fn elsewhere() -> AppError {
    AppError::new(Code::UnknownCertificate, "the issuer's key is at another node, and no valid list from there is here")
}

/// The error for a list that would no longer be fresh.
fn too_old(domain: &DomainName) -> AppError {
    let detail = format!(
        "what this node may show of `{domain}` is too old for a list: its log waits for witnesses, or the node holds \
         another one than it has signed"
    );
    AppError::new(Code::Behind, detail)
}

/// What is known about the lists of each domain.
#[derive(Default)]
pub(crate) struct Lists(Mutex<BTreeMap<DomainNumber, Arc<OfDomain>>>);

/// What is known about the lists of one domain.
struct OfDomain {
    tracker: Mutex<Tracker>,
    /// Held while a list is read, so that this happens one at a time: each reading uses all processors.
    reading: Mutex<()>,
    /// How certificates are divided among lists, with the version of the descriptor for which that holds.
    layouts: Mutex<Option<(u64, Arc<Layouts>)>>,
}

/// The issuer of a list, and the layout of its lists.
struct Lister {
    rules: Certificates,
    authority: Arc<Authority>,
    layout: Arc<Layout>,
    /// The layouts of all issuers of the domain.
    layouts: Arc<Layouts>,
}

impl App {
    /// The revocation list of an issuer (see [`issuer_id`]) with this number, or, if it is signed at another node,
    /// which list that is.
    ///
    /// # Errors
    /// When there is no such list, or what may be shown of the domain is too old.
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
                // Clients that have fetched the last list may rely on it, so a client that asks now may as well.
                return list.holding(now).map(Listing::Signed).ok_or_else(|| too_old(domain));
            };
            let number = |now| self.store().number_list(now);
            Ok(Listing::Signed(list.signed((now, number), news, lister, &key, shard)?))
        })
    }

    /// The list, if it is not signed here. A copy may be behind, while a list speaks about everything as of when it was
    /// made, so only the home signs lists.
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

    /// The lists of a domain selected by their issuer and URLs, each with its issuer and number.
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

    /// Every list of a domain: its issuer, the layout of that issuer's lists, and its number.
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

    /// The certificates that would be on a list according to what is known here, whoever signs it.
    pub(super) fn revoked_here(&self, of: &Elsewhere) -> Result<BTreeSet<SerialNumber>, AppError> {
        let hosted = self.hosted(&of.domain)?;
        let now = self.clock().now();
        self.with_list(&hosted, &(of.issuer.clone(), of.shard), |list, _, _| Ok(list.revoked_at(now)))
    }

    /// Runs work on a list that is up to date.
    fn with_list<T>(
        &self,
        hosted: &Hosted,
        place: &Place,
        work: impl Fn(&mut List, &Sight<'_>, &Lister) -> Result<T, AppError>,
    ) -> Result<T, AppError> {
        let lists = self.lists_of(hosted);
        for _ in 0..READINGS {
            let mut tracker = lists.tracker();
            // Not before the lock is held: nobody may get an older state than somebody else already got.
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

    /// The issuer and layout of a list.
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

    /// How certificates are divided among lists. This changes only with a descriptor.
    fn layouts(&self, lists: &OfDomain, sight: &Sight<'_>) -> Arc<Layouts> {
        let version = sight.domain.descriptor().version;
        let mut kept = lists.layouts.locked();
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

    /// The present URL of each list of an issuer.
    pub(super) fn list_urls(&self, sight: &Sight<'_>, issuer: &str) -> Vec<String> {
        let layouts = self.layouts(&self.lists_of(sight.hosted), sight);
        let newest = |shard: u8| layouts.get(issuer)?.urls(issuer, shard).into_iter().next();
        (0..=u8::MAX).filter_map(newest).collect()
    }

    /// Takes into account what was appended, and what has changed with time.
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
        // Only after all of them have been looked at: if one fails, it must not be skipped for good.
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
        check_may_list(sight, id, said.unseen)?;
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

    /// Reads a list, unless somebody else has just done so. Lists that are already there can be served meanwhile.
    fn read_unless_there(&self, hosted: &Hosted, lists: &OfDomain, place: &Place) -> Result<(), AppError> {
        let _reading = lists.reading.locked();
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

    /// The states of all certificates that belong on a list if revoked: of those that are revoked, or may become so
    /// with time alone.
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
                // A certificate that has ended since the last list was made, even if the node was stopped meanwhile, is
                // still on the next list (RFC 5280, 3.3). When the last one was made is unknown, but none was valid for
                // longer than this.
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

    /// What the record says about a certificate now or, if it has ended, said at the end.
    fn find(&self, sight: &Sight<'_>, issued: &Logged, now: Timestamp) -> Result<Option<Found>, AppError> {
        let (id, ended) = (issued.subject_id(), issued.claims().until.filter(|until| *until <= now));
        let (known, at) = match ended {
            None => (self.record_in_passing(sight, issued, now)?, now),
            Some(ended) => {
                let last = Timestamp::from_millis(ended.as_millis().saturating_sub(1));
                let resolved = self.resolve_at(sight, &id, core::slice::from_ref(issued), last)?;
                (resolved.map(|(record, said)| (record, said.unseen)), last)
            }
        };
        let Some((record, is_more)) = known else { return Ok(None) };
        check_may_list(sight, &id, is_more)?;
        Ok(Found::of(issued, &record, at))
    }
}

/// Refuses to make a list at the home while something said about a thing was erased and is not shown yet: if it revokes
/// a certificate, the list would bring that back. Copies sign no lists.
fn check_may_list(sight: &Sight<'_>, id: &IdentityId, is_more: bool) -> Result<(), AppError> {
    if is_more && sight.hosted.part == Part::Home { Err(cut_short(id)) } else { Ok(()) }
}

/// The identities whose certificates an entry may concern; `None` if that is unknown, or if there are so many that
/// reading the lists again costs less.
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

/// The things that may belong to a group; their records say whether they do. `None` if there are too many.
fn members(sight: &Sight<'_>, group: [u8; 32], about: &Logged) -> Result<Option<BTreeSet<IdentityId>>, StoreError> {
    let mut postings = vec![Posting::Member(group)];
    if let Subject::Group(group) = about.subject() {
        // Members have all the values; the last one is the most selective.
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
        let mut all = self.0.locked();
        let new =
            || Arc::new(OfDomain { tracker: Mutex::new(new()), reading: Mutex::default(), layouts: Mutex::default() });
        Arc::clone(all.entry(domain).or_insert_with(new))
    }
}

impl OfDomain {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.locked()
    }
}
