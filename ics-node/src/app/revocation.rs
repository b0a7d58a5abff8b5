//! Revocation lists, made of the log. What is revoked is kept by list and brought up to date with what was appended since:
//! one revocation costs one look at one record and one list, however many certificates there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ics_core::descriptor::Certificates;
use ics_core::identity::IdentityId;
use ics_core::record::{Logged, Posting, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};

use super::certify::{CertifyError, IssuerKey};
use super::entries::{Entries as _, find_logged, restore};
use super::memory::Era;
use super::ocsp::is_by;
use super::problem::Code;
use super::read::Sight;
use super::{App, AppError};
use crate::parallel;
use crate::store::DomainNumber;
use crate::x509::{Authority, RevocationList, Revoked, SerialNumber, State, crl_url, issuer_id};

/// Entries behind which everything is made anew instead of brought up to date.
const CATCH_UP: u64 = 20_000;
/// Statements that are read at once.
const PAGE: usize = 1_000;
/// Records below which a thread more is not worth its start.
const RECORDS: usize = 16;

/// A signed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedList {
    /// The list, DER.
    pub der: Arc<[u8]>,
    /// Its number: the same for the same list only.
    pub number: u64,
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
    pub(super) domain: DomainName,
    pub(super) issuer: String,
    pub(super) shard: u8,
    /// Entries of the domain that are here.
    pub(super) size: u64,
    pub(super) authority: Arc<Authority>,
    pub(super) url: String,
}

/// That a list is not to be had here.
pub(super) fn elsewhere() -> AppError {
    AppError::new(Code::UnknownCertificate, "the issuer's key is at another node, of which there is no list that holds")
}

/// What is known of the lists of each domain.
#[derive(Default)]
pub(crate) struct Lists(Mutex<BTreeMap<DomainNumber, Arc<Mutex<Tracker>>>>);

/// The lists of one domain as far as anybody has asked for them.
struct Tracker {
    /// Entries that are taken into account.
    upto: u64,
    era: Arc<Era>,
    lists: BTreeMap<(String, u8), List>,
    /// When records that may be on a list change by time alone.
    schedule: BTreeMap<Timestamp, BTreeSet<IdentityId>>,
}

/// One list: of an issuer, and of the buckets of serial numbers that belong together.
#[derive(Default)]
struct List {
    revoked: BTreeMap<SerialNumber, (Revoked, Option<Timestamp>)>,
    signed: Option<(SignedList, Timestamp)>,
}

/// A certificate as its statement names it.
struct Certificate {
    serial: SerialNumber,
    index: u64,
    until: Option<Timestamp>,
}

impl App {
    /// The revocation list of an issuer with that number; see [`issuer_id`].
    ///
    /// # Errors
    /// When there is no such list, or the issuer's key is not at this node.
    pub fn revocation_list(&self, domain: &DomainName, issuer: &str, shard: u8) -> Result<SignedList, AppError> {
        match self.list_here(domain, issuer, shard)? {
            Listing::Signed(list) => Ok(list),
            Listing::Elsewhere(_) => Err(elsewhere()),
        }
    }

    /// The same, or where a list belongs whose issuer's key is at another node.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn list_here(&self, domain: &DomainName, issuer: &str, shard: u8) -> Result<Listing, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let unknown = |why: &str| AppError::new(Code::UnknownCertificate, why.to_owned());
        let rules = sight.domain.descriptor().certificates.clone();
        let rules = rules.ok_or_else(|| unknown("the domain issues no certificates"))?;
        if u16::from(shard) >= rules.shards {
            return Err(unknown("the issuer has fewer lists"));
        }
        let authority = self.authorities_of(&rules.issuers).find(|it| issuer_id(it) == issuer);
        let authority = authority.ok_or_else(|| unknown("the domain has no such issuer"))?;
        let Some(key) = self.issuer_key(&authority) else {
            let url = crl_url(&rules, &authority, shard);
            let (domain, issuer) = (domain.clone(), issuer.to_owned());
            let elsewhere = Elsewhere { domain, issuer, shard, size: sight.seal.size, authority, url };
            return Ok(Listing::Elsewhere(elsewhere));
        };
        let tracker = self.0.lists.of(hosted.number, || Tracker::new(self.memory().era(hosted.number)));
        let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut tracker, &sight, &rules)?;
        let place = (issuer.to_owned(), shard);
        if !tracker.lists.contains_key(&place) {
            let list = self.read_list(&mut tracker, &sight, &rules, &authority, shard)?;
            tracker.lists.insert(place.clone(), list);
        }
        let list = tracker.lists.entry(place).or_default();
        Ok(Listing::Signed(list.signed(self.clock().now(), &rules, &authority, &key, shard)?))
    }

    /// Takes into account what was appended, and what time has changed.
    fn catch_up(&self, tracker: &mut Tracker, sight: &Sight<'_>, rules: &Certificates) -> Result<(), AppError> {
        let size = sight.seal.size;
        let now = self.clock().now();
        if tracker.era.is_over() || size.saturating_sub(tracker.upto) > CATCH_UP {
            *tracker = Tracker::new(self.memory().era(sight.hosted.number));
        }
        if tracker.lists.is_empty() {
            tracker.upto = size;
            tracker.schedule.clear();
            return Ok(());
        }
        let mut touched = tracker.due(now);
        let indices: Vec<u64> = (tracker.upto..size).collect();
        for page in indices.chunks(PAGE) {
            for entry in self.store().entries_at(sight.hosted.number, page)? {
                match restore(&sight.domain, &entry)?.map(|statement| statement.subject_id()) {
                    Some(id @ IdentityId::Key(_)) => {
                        touched.insert(id);
                    }
                    // Whom a group concerns, each record says for itself.
                    Some(IdentityId::Group(_)) => {
                        *tracker = Tracker::new(self.memory().era(sight.hosted.number));
                        tracker.upto = size;
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
        tracker.upto = size;
        let authorities: Vec<_> = self.authorities_of(&rules.issuers).collect();
        for id in touched {
            let issued = [Posting::Subject(id), Posting::Act(Act::Issued)];
            if !sight.entries.find(&issued, 1)?.is_empty() {
                self.judge_again(tracker, sight, rules, &authorities, &id)?;
            }
        }
        Ok(())
    }

    /// Puts the certificates of one identity onto their lists, or takes them off.
    fn judge_again(
        &self,
        tracker: &mut Tracker,
        sight: &Sight<'_>,
        rules: &Certificates,
        authorities: &[Arc<Authority>],
        id: &IdentityId,
    ) -> Result<(), AppError> {
        let Some((record, said)) = self.resolve(sight, id)? else { return Ok(()) };
        for issued in said.about.iter().filter(|it| it.claims().act == Act::Issued) {
            let Some(certificate) = Certificate::of(issued) else { continue };
            let Some(authority) = authorities.iter().find(|authority| is_by(sight, issued, authority)) else {
                continue;
            };
            let shard = shard(rules, certificate.serial);
            if let Some(list) = tracker.lists.get_mut(&(issuer_id(authority), shard)) {
                list.put(&certificate, &record);
            }
        }
        tracker.remember(*id, &record, self.clock().now());
        Ok(())
    }

    /// Reads a whole list out of the log.
    fn read_list(
        &self,
        tracker: &mut Tracker,
        sight: &Sight<'_>,
        rules: &Certificates,
        authority: &Authority,
        shard: u8,
    ) -> Result<List, AppError> {
        let mut list = List::default();
        let now = self.clock().now();
        let keys_of_issuer = sight.domain.certificates().flat_map(|it| it.public_keys());
        let signers = keys_of_issuer.filter(|key| key.to_spki_der().as_ref() == Some(&authority.spki));
        let signers: BTreeSet<_> = signers.map(|key| key.fingerprint()).collect();
        let step = usize::from(rules.shards.max(1));
        for signer in signers {
            for bucket in (usize::from(shard)..256).step_by(step).filter_map(|bucket| u8::try_from(bucket).ok()) {
                let posting = Posting::Issued(signer, bucket);
                let issued = find_logged(&sight.entries, &sight.domain, &posting, usize::MAX)?;
                let in_force = issued.iter().filter_map(|issued| Some((Certificate::of(issued)?, issued.subject_id())));
                let in_force = in_force.filter(|(certificate, _)| certificate.until.is_none_or(|until| until > now));
                let records = parallel::map(in_force.collect(), RECORDS, |(certificate, id)| {
                    self.record_in_passing(sight, &id, now).map(|record| Some((certificate, id, record?)))
                });
                for found in records {
                    let Some((certificate, id, record)) = found? else { continue };
                    list.put(&certificate, &record);
                    tracker.remember(id, &record, now);
                }
            }
        }
        Ok(list)
    }
}

/// The list of an issuer in which a certificate would stand.
fn shard(rules: &Certificates, serial: SerialNumber) -> u8 {
    u8::try_from(u16::from(serial.bucket()) % rules.shards.max(1)).unwrap_or_default()
}

impl Lists {
    fn of(&self, domain: DomainNumber, new: impl FnOnce() -> Tracker) -> Arc<Mutex<Tracker>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(domain).or_insert_with(|| Arc::new(Mutex::new(new()))))
    }
}

impl Tracker {
    fn new(era: Arc<Era>) -> Self {
        Self { upto: 0, era, lists: BTreeMap::new(), schedule: BTreeMap::new() }
    }

    /// Those whose record has changed with time.
    fn due(&mut self, now: Timestamp) -> BTreeSet<IdentityId> {
        let later = self.schedule.split_off(&now.plus_millis(1));
        core::mem::replace(&mut self.schedule, later).into_values().flatten().collect()
    }

    /// Remembers when a record changes by time alone, for other reasons than that a certificate ends: those leave their
    /// list by themselves.
    fn remember(&mut self, id: IdentityId, record: &Record, now: Timestamp) {
        let others = record.statements.iter().filter(|listed| listed.act != Act::Issued);
        let next = others.flat_map(|listed| [listed.from, listed.until]).flatten().filter(|bound| *bound > now).min();
        if let Some(next) = next {
            self.schedule.entry(next).or_default().insert(id);
        }
    }
}

impl Certificate {
    fn of(issued: &Logged) -> Option<Self> {
        let names = &issued.claims().names;
        let serial = names.iter().find_map(|name| match name {
            ics_core::name::Name::Serial(text) => {
                SerialNumber::read(&data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?)
            }
            _ => None,
        })?;
        Some(Self { serial, index: issued.index(), until: issued.claims().until })
    }
}

impl List {
    fn put(&mut self, certificate: &Certificate, record: &Record) {
        let before = self.revoked.get(&certificate.serial).map(|(revoked, _)| *revoked);
        let after = match State::of(record, certificate.index) {
            State::Revoked { at, reason } => Some(Revoked { at, reason }),
            State::Good | State::Ended => None,
        };
        if before == after {
            return;
        }
        self.signed = None;
        match after {
            Some(revoked) => self.revoked.insert(certificate.serial, (revoked, certificate.until)),
            None => self.revoked.remove(&certificate.serial),
        };
    }

    fn signed(
        &mut self,
        now: Timestamp,
        rules: &Certificates,
        authority: &Authority,
        key: &IssuerKey,
        shard: u8,
    ) -> Result<SignedList, CertifyError> {
        if let Some((list, renews_at)) = &self.signed
            && now < *renews_at
        {
            return Ok(list.clone());
        }
        // What has ended is on no list any more, but for holds and others alike once after that (RFC 5280, 3.3).
        self.revoked.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let revoked = self.revoked.iter().map(|(serial, (revoked, _))| (*serial, *revoked)).collect();
        let hold = rules.answers_hold * 1000;
        let url = crl_url(rules, authority, shard);
        let next_update = now.plus_millis(hold);
        let number = self.signed.as_ref().map_or(0, |(list, _)| list.number + 1).max(now.as_millis());
        let list =
            RevocationList { authority, url: Some(&url), revoked: &revoked, number, this_update: now, next_update };
        let der = list.sign(&*key.signer)?;
        let signed = SignedList { der: der.into(), number, next_update };
        self.signed = Some((signed.clone(), now.plus_millis(hold / 2)));
        Ok(signed)
    }
}
