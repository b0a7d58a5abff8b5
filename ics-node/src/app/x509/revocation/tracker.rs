//! What is kept about a domain's revocation lists between two requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::name::Name;
use ics_core::record::{Logged, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;

use super::{Lister, SignedList};
use crate::app::answer::memory::Era;
use crate::app::x509::certify::{CertifyError, IssuerKey};
use crate::x509::{RevocationList, Revoked, SerialNumber, State, issuer_id};

/// A list, by its issuer (see [`issuer_id`]) and number.
pub(super) type Place = (String, u8);

/// The lists of one domain, as far as anybody has asked for them.
pub(super) struct Tracker {
    /// How many entries have been taken into account.
    pub(super) upto: u64,
    pub(super) era: Arc<Era>,
    pub(super) lists: BTreeMap<Place, List>,
    /// When records that may be on a list change with time alone.
    schedule: BTreeMap<Timestamp, BTreeSet<IdentityId>>,
}

/// One list of an issuer, for the buckets of serial numbers that belong to it.
#[derive(Default)]
pub(super) struct List {
    revoked: BTreeMap<SerialNumber, (Revoked, Option<Timestamp>)>,
    signed: Option<(SignedList, Timestamp)>,
    /// When the last list was made, even one that is outdated.
    made: Option<Timestamp>,
}

/// A certificate as its statement names it.
pub(super) struct Certificate {
    pub(super) serial: SerialNumber,
    index: u64,
    until: Option<Timestamp>,
}

/// What a record says about a certificate.
pub(super) struct Found {
    pub(super) certificate: Certificate,
    id: IdentityId,
    pub(super) revoked: Option<Revoked>,
    /// Whether its time is over: then the record no longer says whether it was revoked.
    is_over: bool,
    /// When the record next changes with time, other than by the end of a certificate: ended certificates leave their
    /// list anyway.
    pub(super) turns: Option<Timestamp>,
}

impl Tracker {
    pub(super) fn new(era: Arc<Era>) -> Self {
        Self { upto: 0, era, lists: BTreeMap::new(), schedule: BTreeMap::new() }
    }

    /// Adds a list as of a size of the log. Whatever has come in since is looked at before anybody gets it. A list that
    /// was read in an era that is over is dropped.
    pub(super) fn add(&mut self, place: &Place, found: Vec<Found>, era: Arc<Era>, size: u64) {
        if era.is_over() {
            return;
        }
        if self.era.is_over() {
            *self = Self::new(era);
        }
        self.upto = if self.lists.is_empty() { size } else { self.upto.min(size) };
        self.lists.insert(place.clone(), List::default());
        found.iter().for_each(|found| self.take(place, found));
    }

    /// Puts a certificate onto its list, if the list is here, or takes it off; records when the record changes.
    pub(super) fn take(&mut self, place: &Place, found: &Found) {
        if let Some(turns) = found.turns {
            self.schedule.entry(turns).or_default().insert(found.id);
        }
        if let Some(list) = self.lists.get_mut(place) {
            list.put(found);
        }
    }

    /// Begins with no lists: nothing has to be looked at up to this size.
    pub(super) fn begin(&mut self, size: u64) {
        self.upto = size;
        self.schedule.clear();
    }

    /// The identities whose records have changed with time. They stay due until they have been looked at.
    pub(super) fn due(&self, now: Timestamp) -> BTreeSet<IdentityId> {
        self.schedule.range(..=now).flat_map(|(_, ids)| ids).copied().collect()
    }

    /// Records that everything up to this size, and everything that was due, is on the lists. If the work fails before
    /// that, this is not called, and everything is looked at again next time.
    pub(super) fn is_up_to(&mut self, size: u64, now: Timestamp) {
        self.upto = size;
        self.schedule = self.schedule.split_off(&now.plus_millis(1));
    }
}

impl Found {
    /// `None` if the statement does not issue anything that could be listed.
    pub(super) fn of(issued: &Logged, record: &Record, now: Timestamp) -> Option<Self> {
        let certificate = Certificate::of(issued)?;
        let revoked = match State::of(record, certificate.index) {
            State::Revoked { at, reason } => Some(Revoked { at, reason }),
            State::Good | State::Ended => None,
        };
        let others = record.statements.iter().filter(|listed| listed.act != Act::Issued);
        let turns = others.flat_map(|listed| [listed.from, listed.until]).flatten().filter(|bound| *bound > now).min();
        let is_over = certificate.until.is_some_and(|until| until <= now);
        Some(Self { certificate, id: issued.subject_id(), revoked, is_over, turns })
    }
}

impl Certificate {
    fn of(issued: &Logged) -> Option<Self> {
        let names = &issued.claims().names;
        let serial = names.iter().find_map(|name| match name {
            Name::Serial(text) => SerialNumber::read(&data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?),
            _ => None,
        })?;
        Some(Self { serial, index: issued.index(), until: issued.claims().until })
    }
}

impl List {
    fn put(&mut self, Found { certificate, revoked: after, is_over, .. }: &Found) {
        let before = self.revoked.get(&certificate.serial).map(|(revoked, _)| *revoked);
        if *is_over || before == *after {
            return;
        }
        self.signed = None;
        match after {
            Some(revoked) => self.revoked.insert(certificate.serial, (*revoked, certificate.until)),
            None => self.revoked.remove(&certificate.serial),
        };
    }

    /// The certificates on it that have not ended.
    pub(super) fn revoked_at(&self, now: Timestamp) -> BTreeSet<SerialNumber> {
        let lasting = self.revoked.iter().filter(|(_, (_, until))| until.is_none_or(|until| until > now));
        lasting.map(|(serial, _)| *serial).collect()
    }

    /// The list that was last signed, if it reflects what is known and is still valid.
    pub(super) fn holding(&self, now: Timestamp) -> Option<SignedList> {
        self.signed.as_ref().map(|(list, _)| list).filter(|list| list.next_update > now).cloned()
    }

    /// The signed list, as of a time and valid for this many milliseconds from then on; a new one gets a number.
    pub(super) fn signed(
        &mut self,
        (now, number): (Timestamp, impl FnOnce(Timestamp) -> u64),
        (this_update, hold): (Timestamp, u64),
        Lister { authority, layout, .. }: &Lister,
        key: &IssuerKey,
        shard: u8,
    ) -> Result<SignedList, CertifyError> {
        if let Some((list, renews_at)) = &self.signed
            && now < *renews_at
        {
            return Ok(list.clone());
        }
        // What has ended leaves the list after it was on one made later than that (RFC 5280, 3.3).
        let made = self.made.replace(now);
        self.revoked.retain(|_, (_, until)| until.is_none_or(|until| made.is_none_or(|made| until > made)));
        let revoked = self.revoked.iter().map(|(serial, (revoked, _))| (*serial, *revoked)).collect();
        let urls = layout.urls(&issuer_id(authority), shard);
        let next_update = this_update.plus_millis(hold);
        let number = number(now);
        let list = RevocationList { authority, urls: &urls, revoked: &revoked, number, this_update, next_update };
        let der = list.sign(&*key.signer)?;
        let signed = SignedList { der: der.into(), number, this_update, next_update };
        self.signed = Some((signed.clone(), now.plus_millis(next_update.millis_since(now) / 2)));
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Fingerprint;

    use super::*;

    /// A look at a record that fails does not count.
    #[test]
    fn what_is_due_stays_so_until_it_was_looked_at() {
        let at = Timestamp::from_seconds;
        let id = |byte| IdentityId::Key(Fingerprint::V4([byte; 20]));
        let mut tracker = Tracker::new(Arc::default());
        for (seconds, byte) in [(10, 1), (20, 2), (30, 3)] {
            tracker.schedule.entry(at(seconds)).or_default().insert(id(byte));
        }
        for _ in 0..2 {
            assert_eq!(tracker.due(at(20)), BTreeSet::from([id(1), id(2)]));
        }
        tracker.is_up_to(7, at(20));
        assert_eq!((tracker.upto, tracker.due(at(29))), (7, BTreeSet::new()));
        assert_eq!(tracker.due(at(30)), BTreeSet::from([id(3)]));
    }
}
