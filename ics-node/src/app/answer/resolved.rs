//! What a domain says about one identity: read, resolved with what is said about its groups, and kept in memory.

use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::log::entry::EntryKind;
use ics_core::record::{Logged, Posting, Record, candidate_groups, resolve};
use ics_core::time::Timestamp;

use super::memory::{Around, Era, Kept, Known, place_of};
use super::read::Sight;
use crate::api::problem::Code;
use crate::app::entries::{Brought, Said, find_besides, is_more_about, keys, kind_key, postings_of_groups};
use crate::app::{App, AppError, Reader};

/// What was read about an identity.
struct Read {
    about: Vec<Logged>,
    /// Whether more was said, of which only remnants are left, and that is not shown yet.
    cut_short: bool,
}

/// A record and what it was made of.
struct Judged {
    record: Option<Record>,
    about: Vec<Logged>,
    around: Arc<Around>,
}

impl App {
    /// What a domain says about an identity now, from memory if it is there; otherwise it is kept there from now on.
    pub(crate) fn kept(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Arc<Kept>, AppError> {
        self.kept_besides(sight, id, &[])
    }

    /// As `kept`, without reading again the statements at hand.
    pub(super) fn kept_besides(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        at_hand: &[Logged],
    ) -> Result<Arc<Kept>, AppError> {
        let (memory, number, now) = (self.memory(), sight.hosted.number, self.clock().now());
        if let Some(kept) = memory.recall(number, id, now) {
            return Ok(kept);
        }
        let kept = Arc::new(self.made(sight, id, at_hand, now)?);
        // A commit that fails ends without any news.
        if !kept.cut_short {
            memory.keep(number, &kept, sight.seal.size);
        }
        Ok(kept)
    }

    /// As `kept`, for one of many in a listing. It must not displace from memory what is asked for, so it is not added
    /// there; what is said about its groups is, since others of the listing are in the same ones.
    pub(super) fn kept_in_passing(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Arc<Kept>, AppError> {
        let now = self.clock().now();
        match self.memory().recall(sight.hosted.number, id, now) {
            Some(kept) => Ok(kept),
            None => self.made(sight, id, &[], now).map(Arc::new),
        }
    }

    /// What a domain says about an identity now, in the form in which it is kept.
    fn made(&self, sight: &Sight<'_>, id: &IdentityId, at_hand: &[Logged], now: Timestamp) -> Result<Kept, AppError> {
        let era = self.memory().era(sight.hosted.number);
        let read = self.read_about(sight, id, at_hand)?;
        let cut_short = read.cut_short;
        let Judged { record, about, around } = self.judge(sight, &era, id, read, now)?;
        let withheld = cut_short || self.is_any_lost(sight, id, &about)?;
        let record = record.map(|it| {
            let open = self.may_read(Reader::Anonymous, &sight.domain, &it);
            (it, open)
        });
        Kept::new(*id, self.memory().next_generation(), (era, around), record, (withheld, cut_short))
    }

    /// What a domain says about an identity now, and the statements on which that rests.
    pub(crate) fn resolve(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Option<(Record, Said)>, AppError> {
        self.resolve_at(sight, id, &[], self.clock().now())
    }

    /// As `resolve`, at another time and without reading again the statements at hand.
    ///
    /// While something said about it is neither here any more nor shown yet, the record says so:
    /// [`Record::cut_short`].
    pub(in crate::app) fn resolve_at(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        at_hand: &[Logged],
        at: Timestamp,
    ) -> Result<Option<(Record, Said)>, AppError> {
        let era = self.memory().era(sight.hosted.number);
        let read = self.read_about(sight, id, at_hand)?;
        let unseen = read.cut_short;
        let Judged { record, about, around } = self.judge(sight, &era, id, read, at)?;
        Ok(record.map(|record| (record, Said { about, groups: around.statements.clone(), unseen })))
    }

    /// As `resolve`, for an identity that will be asked about again in a moment; statements at hand are not read again.
    /// Its record may have been resolved a while ago, at [`Record::at`]; otherwise it would be the same now.
    pub(in crate::app) fn resolve_again(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        at_hand: &[Logged],
    ) -> Result<Option<Known>, AppError> {
        let (number, place, now) = (sight.hosted.number, place_of(id), self.clock().now());
        let (era, lately) = (self.memory().era(number), self.memory().lately());
        if let Some(known) = lately.recall(number, place, now) {
            return Ok(known);
        }
        let read = self.read_about(sight, id, at_hand)?;
        let cut_short = read.cut_short;
        let Judged { record, about, around } = self.judge(sight, &era, id, read, now)?;
        let known = record.map(|record| Arc::new((record, about)));
        if !cut_short {
            lately.keep(number, place, known.as_ref(), (&era, &around, sight.seal.size));
        }
        Ok(known)
    }

    /// What the writer needs to judge a statement about an identity, given all that is said about the identity: that,
    /// and what is said about its groups, which memory mostly has.
    pub(in crate::app) fn brought(&self, sight: &Sight<'_>, about: &[Logged]) -> Result<Brought, AppError> {
        let around = self.around(sight, &self.memory().era(sight.hosted.number), about)?;
        let mut statements = [about, around.statements.as_slice()].concat();
        // Of several groups that it may belong to, one may be a part of another.
        statements.sort_unstable_by_key(Logged::index);
        statements.dedup_by_key(|statement| statement.index());
        Ok(Brought { statements, size: sight.seal.size })
    }

    fn judge(
        &self,
        sight: &Sight<'_>,
        era: &Era,
        id: &IdentityId,
        Read { about, cut_short }: Read,
        now: Timestamp,
    ) -> Result<Judged, AppError> {
        let around = self.around(sight, era, &about)?;
        let record = resolve(&sight.shown, id, &about, &around.statements, now);
        Ok(Judged { record: record.map(|record| Record { cut_short, ..record }), about, around })
    }

    /// Whether this node held something about an identity or its groups that it may no longer read.
    fn is_any_lost(&self, sight: &Sight<'_>, id: &IdentityId, about: &[Logged]) -> Result<bool, AppError> {
        if !self.store().sight(sight.hosted.number)?.is_partial() {
            return Ok(false);
        }
        let candidates = candidate_groups(about);
        let postings = core::iter::once(Posting::Subject(*id)).chain(postings_of_groups(&candidates));
        for key in keys(&postings.collect::<Vec<_>>()) {
            if self.store().is_lost(sight.hosted.number, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether remnants without their erasure mean that this is not shown yet: an erasure deletes at once, while what
    /// it restates, perhaps a block, is shown when the commit is durable, and may even then wait for witnesses. To be
    /// asked after reading. Where not everything may be read, peers tell what is left of entries, and that stays even
    /// if it is false, so there this can only be if an erasure was shown since, some entries are not shown, or erasures
    /// were given up that are still to come again.
    pub(in crate::app) fn is_unshown(&self, sight: &Sight<'_>) -> Result<bool, AppError> {
        let number = sight.hosted.number;
        let is_partial = self.store().sight(number)?.is_partial();
        let is_erased_since = self.store().erasures(number).may_hide_since(sight.erasures);
        let size = sight.domain.size().max(self.store().given_up(number)?);
        Ok(!is_partial || is_erased_since || size > sight.seal.size)
    }

    /// Whether part of what was said about an identity is neither here any more nor shown yet: then nothing may be
    /// signed as if the rest were everything. To be asked after that was read, since what is left of an erased
    /// statement stays.
    pub(in crate::app) fn is_cut_short(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<bool, AppError> {
        Ok(self.read_about(sight, id, &[])?.cut_short)
    }

    /// Refuses to sign anything about an identity while that is so.
    pub(in crate::app) fn check_all_is_shown(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<(), AppError> {
        if self.is_cut_short(sight, id)? { Err(cut_short(id)) } else { Ok(()) }
    }

    /// Refuses while what is left of anything that was erased is not shown yet, whatever it was about.
    pub(in crate::app) fn check_no_erasure_waits(&self, sight: &Sight<'_>) -> Result<(), AppError> {
        let why = "something was erased, and what is left of it is not shown yet";
        if self.does_erasure_wait(sight)? { Err(AppError::new(Code::Behind, why)) } else { Ok(()) }
    }

    /// Whether what is left of anything that was erased is not shown yet, whatever it was about. To be asked after
    /// reading.
    fn does_erasure_wait(&self, sight: &Sight<'_>) -> Result<bool, AppError> {
        let (number, from) = (sight.hosted.number, sight.seal.size);
        if self.store().erasures(number).may_hide_since(sight.erasures) || self.store().given_up(number)? > from {
            return Ok(true);
        }
        let (size, erasures) = (self.store().head(number)?.size, [kind_key(EntryKind::Erasure)]);
        Ok(from < size && !self.store().all_positions(number, &erasures, from..size, 1)?.is_empty())
    }

    /// Whether a listing may lack things because an erasure waits: nothing in the index leads any more to what is gone,
    /// and nothing yet to what is left of it. To be asked after reading. Of which thing that is true nobody is told.
    pub(super) fn may_miss(&self, reader: Reader, sight: &Sight<'_>) -> Result<bool, AppError> {
        Ok(self.does_erasure_wait(sight)? && self.may_read_any(reader, &sight.domain))
    }

    /// Whether all that a domain says of an identity is cut short, as far as the reader may know that: whoever is not
    /// certain to be shown everything must not learn that there is anything.
    pub(super) fn is_silenced(&self, reader: Reader, domain: &Domain, kept: &Kept) -> bool {
        kept.cut_short && kept.known().is_none() && self.is_shown_all(reader, domain)
    }

    /// Refuses to say that a domain says nothing of an identity while that is so.
    pub(super) fn check_silence(&self, reader: Reader, domain: &Domain, kept: &Kept) -> Result<(), AppError> {
        if self.is_silenced(reader, domain, kept) { Err(cut_short(&kept.id)) } else { Ok(()) }
    }

    /// All statements about an identity; those at hand are not read again.
    fn read_about(&self, sight: &Sight<'_>, id: &IdentityId, at_hand: &[Logged]) -> Result<Read, AppError> {
        let (subject, limit) = (Posting::Subject(*id), limits::RECORD_ENTRIES);
        let (about, remnants) = find_besides(&sight.entries, &sight.domain, &subject, limit, at_hand)?;
        let cut_short = is_more_about(id, &about, &remnants) && self.is_unshown(sight)?;
        Ok(Read { about, cut_short })
    }

    /// What is said about the groups that an identity may belong to.
    fn around(&self, sight: &Sight<'_>, era: &Era, about: &[Logged]) -> Result<Arc<Around>, AppError> {
        let (arounds, number) = (self.memory().arounds(), sight.hosted.number);
        let candidates = candidate_groups(about);
        let keys = keys(&postings_of_groups(&candidates).collect::<Vec<_>>());
        if let Some(around) = arounds.recall(number, &keys) {
            return Ok(around);
        }
        let statements = Said::groups(&sight.entries, &sight.domain, &candidates)?;
        Ok(arounds.keep(number, keys, statements, (era, sight.seal.size)))
    }
}

/// Refuses what needs all of a record while the record is cut short.
pub(in crate::app) fn check_whole(record: &Record) -> Result<(), AppError> {
    if record.cut_short { Err(cut_short(&record.identity.id)) } else { Ok(()) }
}

/// Why nothing is signed about an identity, or permitted to it, at present.
pub(in crate::app) fn cut_short(id: &IdentityId) -> AppError {
    let detail = format!("something said about {id} was erased, and what is left of it is not shown yet");
    AppError::new(Code::Behind, detail)
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Kind;
    use ics_core::statement::Claims;
    use ics_core::statement::make::certify;
    use ics_core::vocabulary::Act;

    use super::*;
    use crate::fixture::{Party, SALT, claims, device, word};

    const HOUR: u64 = 3_600_000;

    /// Certificates are issued by it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_is_used_again_ends_when_its_statements_begin_and_end() {
        let (maker, app) = Party::opened();
        maker.publish(&app, &device(1), "Pump", "L1").await;
        let now = Timestamp::from_seconds(app.clock().now().as_seconds());
        let (from, until) = (Some(now.plus_millis(HOUR)), Some(now.plus_millis(3 * HOUR)));
        let said = Claims { status: Some(word("suspended")), from, until, ..claims(&maker, Act::Status) };
        let body = certify(&maker.signer, &device(1), "Pump", None, Kind::Device, &said, true, now, &SALT);
        maker.submit_one(&app, body.expect("made")).await.expect("admitted");
        let (hosted, id) = (app.hosted(&maker.domain).expect("here"), IdentityId::Key(device(1).fingerprint()));
        let blocks = || {
            let known = app.resolve_again(&app.sight(&hosted).expect("readable"), &id, &[]).expect("read");
            known.is_some_and(|known| known.0.effect().blocks())
        };
        for is_blocked in [false, true, false] {
            assert_eq!([blocks(), blocks()], [is_blocked; 2]);
            assert!(app.memory().lately().recall(hosted.number, place_of(&id), app.clock().now()).is_some());
            app.clock().pass(2 * HOUR);
        }
    }
}
