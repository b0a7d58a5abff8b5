//! What a domain says about one identity: read, resolved with what is said about its groups, and kept in memory.

use std::sync::Arc;

use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::{CandidateGroups, Logged, Posting, Record, candidate_groups, resolve};
use ics_core::time::Timestamp;

use super::memory::{Around, Era, Kept, place_of};
use super::read::Sight;
use crate::api::problem::Code;
use crate::app::entries::{Said, find_besides, is_more_about, keys};
use crate::app::{App, AppError, Reader};
use crate::store::StoreError;

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
        let era = memory.era(number);
        let (about, is_more) = about_besides(sight, id, at_hand)?;
        let Judged { record, about, around } = self.judge(sight, &era, id, about, now)?;
        let withheld = self.is_withheld(sight, id, (about.as_slice(), is_more))?;
        let record = record.map(|it| {
            let open = self.may_read(Reader::Anonymous, &sight.domain, &it);
            (it, open)
        });
        let kept = Arc::new(Kept::new(*id, memory.next_generation(), (era, around), record, withheld)?);
        memory.keep(number, &kept, sight.seal.size);
        Ok(kept)
    }

    /// What a domain says about an identity now, and the statements on which that rests.
    pub(crate) fn resolve(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Option<(Record, Said)>, AppError> {
        self.resolve_at(sight, id, &[], self.clock().now())
    }

    /// As `resolve`, at another time and without reading again the statements at hand.
    pub(in crate::app) fn resolve_at(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        at_hand: &[Logged],
        at: Timestamp,
    ) -> Result<Option<(Record, Said)>, AppError> {
        let era = self.memory().era(sight.hosted.number);
        let (about, is_more) = about_besides(sight, id, at_hand)?;
        let unseen = is_more && self.is_unshown(sight)?;
        let Judged { record, about, around } = self.judge(sight, &era, id, about, at)?;
        Ok(record.map(|record| (record, Said { about, groups: around.statements.clone(), unseen })))
    }

    /// As `resolve`, for an identity that will be asked about again in a moment; statements at hand are not read again.
    pub(in crate::app) fn resolve_again(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        at_hand: &[Logged],
    ) -> Result<Option<(Record, Vec<Logged>)>, AppError> {
        let (number, place) = (sight.hosted.number, place_of(id));
        let (era, lately) = (self.memory().era(number), self.memory().lately());
        let about = match lately.recall(number, place) {
            Some(about) => about,
            None => {
                let (about, _) = about_besides(sight, id, at_hand)?;
                lately.keep(number, place, &about, (&era, sight.seal.size));
                about
            }
        };
        let Judged { record, about, .. } = self.judge(sight, &era, id, about, self.clock().now())?;
        Ok(record.map(|record| (record, about)))
    }

    fn judge(
        &self,
        sight: &Sight<'_>,
        era: &Era,
        id: &IdentityId,
        about: Vec<Logged>,
        now: Timestamp,
    ) -> Result<Judged, AppError> {
        let around = self.around(sight, era, &about)?;
        let record = resolve(&sight.shown, id, &about, &around.statements, now);
        Ok(Judged { record, about, around })
    }

    /// Whether this node holds something about an identity or its groups but is no longer shown the rest, or does not
    /// show it yet ([`Self::is_unshown`]). `is_more` tells whether there are remnants without it.
    fn is_withheld(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        (about, is_more): (&[Logged], bool),
    ) -> Result<bool, AppError> {
        if is_more && self.is_unshown(sight)? {
            return Ok(true);
        }
        if !self.store().sight(sight.hosted.number)?.is_partial() {
            return Ok(false);
        }
        let candidates = candidate_groups(about);
        let postings = core::iter::once(Posting::Subject(*id)).chain(of_groups(&candidates));
        for key in keys(&postings.collect::<Vec<_>>()) {
            if self.store().is_lost(sight.hosted.number, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether remnants without their erasure mean that this is not shown yet: an erasure deletes at once, while what
    /// it restates, perhaps a block, is shown when the commit is durable, and may even then wait for witnesses. Where
    /// not everything may be read, peers tell what is left of entries, and that stays even if it is false.
    fn is_unshown(&self, sight: &Sight<'_>) -> Result<bool, AppError> {
        let is_partial = self.store().sight(sight.hosted.number)?.is_partial();
        Ok(!is_partial || sight.domain.size() > sight.seal.size)
    }

    /// Whether part of what was said about an identity is neither here any more nor shown yet: then nothing may be
    /// signed as if the rest were everything. To be asked after that was read, since what is left of an erased
    /// statement stays.
    pub(in crate::app) fn is_cut_short(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<bool, AppError> {
        let (_, is_more) = about_besides(sight, id, &[])?;
        Ok(is_more && self.is_unshown(sight)?)
    }

    /// Refuses to sign anything about an identity while that is so.
    pub(in crate::app) fn check_all_is_shown(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<(), AppError> {
        if self.is_cut_short(sight, id)? { Err(cut_short(id)) } else { Ok(()) }
    }

    /// What is said about the groups that an identity may belong to.
    fn around(&self, sight: &Sight<'_>, era: &Era, about: &[Logged]) -> Result<Arc<Around>, AppError> {
        let (arounds, number) = (self.memory().arounds(), sight.hosted.number);
        let candidates = candidate_groups(about);
        let keys = keys(&of_groups(&candidates).collect::<Vec<_>>());
        if let Some(around) = arounds.recall(number, &keys) {
            return Ok(around);
        }
        let statements = Said::groups(&sight.entries, &sight.domain, &candidates)?;
        Ok(arounds.keep(number, keys, statements, (era, sight.seal.size)))
    }
}

/// Why nothing is signed about an identity at present.
pub(in crate::app) fn cut_short(id: &IdentityId) -> AppError {
    let detail = format!("something said about {id} was erased, and what is left of it is not shown yet");
    AppError::new(Code::Behind, detail)
}

/// All statements about an identity, and whether there is more, of which only remnants are left; those at hand are not
/// read again.
fn about_besides(sight: &Sight<'_>, id: &IdentityId, at_hand: &[Logged]) -> Result<(Vec<Logged>, bool), StoreError> {
    let limit = limits::RECORD_STATEMENTS + 1;
    let (about, remnants) = find_besides(&sight.entries, &sight.domain, &Posting::Subject(*id), limit, at_hand)?;
    let is_more = is_more_about(id, &about, &remnants);
    Ok((about, is_more))
}

/// The postings of statements about groups to which something may belong.
fn of_groups(candidates: &CandidateGroups) -> impl Iterator<Item = Posting> {
    let named = candidates.named.iter().map(|group| Posting::Subject(IdentityId::Group(*group)));
    named.chain(candidates.selectors.iter().map(|selector| Posting::Selector(*selector)))
}
