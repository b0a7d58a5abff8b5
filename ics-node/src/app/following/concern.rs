//! Which of the things that somebody follows or watches a statement concerns.

use std::collections::BTreeSet;

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::record::{Logged, Posting, Record, candidate_groups, ever_given};
use ics_core::statement::{Group, Subject};
use ics_core::vocabulary::Attribute;
use ics_sync::wire::Choice;

use crate::app::answer::read::Sight;
use crate::app::entries::{Entries as _, about, restore};
use crate::app::{App, AppError};

/// What is followed or watched in a domain.
pub(in crate::app) struct Wanted<'a> {
    /// Everything of these models and lots.
    pub(in crate::app) choices: &'a [Choice],
    /// Whether a thing is named.
    pub(in crate::app) is_named: &'a dyn Fn(&IdentityId) -> Result<bool, AppError>,
    /// All that are named.
    pub(in crate::app) named: &'a dyn Fn() -> Result<Vec<IdentityId>, AppError>,
    /// Whether what is said of a thing may be had.
    pub(in crate::app) may: &'a dyn Fn(&Record) -> bool,
    /// Whether a member of a group is one that serves; the others are had where there is none.
    pub(in crate::app) serves: &'a dyn Fn(&Record) -> bool,
}

impl App {
    /// The things that a statement concerns: its subject, or a member of it if that is a group. One member is enough: with
    /// it all is had that is said of the group.
    pub(in crate::app) fn concerned(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        statement: &Logged,
    ) -> Result<BTreeSet<IdentityId>, AppError> {
        let id = statement.subject_id();
        let mut things = BTreeSet::new();
        if self.wanted(sight, wanted, &id)?.is_some() {
            things.insert(id);
        }
        if let (Subject::Group(group), IdentityId::Group(named)) = (statement.subject(), &id) {
            things.extend(self.wanted_member(sight, wanted, group, named)?);
        }
        Ok(things)
    }

    /// The record of a thing, if it is named or ever had what is chosen; and may be had.
    pub(in crate::app) fn wanted(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        id: &IdentityId,
    ) -> Result<Option<Record>, AppError> {
        let named = (wanted.is_named)(id)?;
        if !named && wanted.choices.is_empty() {
            return Ok(None);
        }
        let Some((record, said)) = self.resolve(sight, id)? else { return Ok(None) };
        let is_chosen = || {
            let given = ever_given(&said.about);
            wanted.choices.iter().any(|choice| choice.fits(&given))
        };
        Ok(Some(record).filter(|record| (named || is_chosen()) && (wanted.may)(record)))
    }

    /// A thing that is wanted and of which the holder of a certificate has spoken, where there is one: with what is said of
    /// it all states of his certificate are had, the one that revokes it included. Of who has spoken of groups alone that
    /// is not found out.
    pub(in crate::app) fn wanted_of_signer(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        holder: &Fingerprint,
    ) -> Result<Option<IdentityId>, AppError> {
        // With what is left of an erased statement comes the certificate of who erased it, not of whose it was.
        let speaks = |record: &Record| {
            let mut his = record.statements.iter().filter(|it| it.is_of(holder)).peekable();
            his.peek().is_none() || his.any(|it| !it.erased)
        };
        let serves = |id: &IdentityId| -> Result<bool, AppError> {
            Ok(self.wanted(sight, wanted, id)?.is_some_and(|record| speaks(&record) && (wanted.serves)(&record)))
        };
        for key in sight.domain.signer(holder).map_or_else(|_| vec![*holder], |it| it.keys().collect()) {
            for choice in wanted.choices {
                for id in self.spoken_of(sight, &[vec![Posting::Signer(key)], choice.postings()].concat())? {
                    if serves(&id)? {
                        return Ok(Some(id));
                    }
                }
            }
            for id in (wanted.named)()? {
                let has_spoken = !sight.entries.find(&[Posting::Subject(id), Posting::Signer(key)], 1)?.is_empty();
                if has_spoken && serves(&id)? {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    /// The things that have what is chosen, or had it once, by what one statement gives them.
    pub(super) fn chosen_by(&self, sight: &Sight<'_>, choice: &Choice) -> Result<BTreeSet<IdentityId>, AppError> {
        let (number, size, alternatives) = (sight.hosted.number, sight.seal.size, [choice.postings()]);
        let (mut ids, mut start) = (BTreeSet::new(), 0);
        while start < size {
            let (indices, end) = self.spoken(number, &alternatives, start..size, limits::PAGE_ITEMS)?;
            for entry in self.store().entries_at(number, &indices)? {
                // What collides with them is not chosen, nor is a group that selects by them.
                let said = restore(&sight.domain, &entry)?.filter(|it| choice.fits(&ever_given([it])));
                ids.extend(said.map(|it| it.subject_id()));
            }
            start = end;
        }
        Ok(ids)
    }

    /// One member of a group that is wanted.
    ///
    /// A group may have any number of others. So those are looked through first that have what is chosen; then some of all;
    /// and where these are not all, what is named.
    fn wanted_member(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        group: &Group,
        named: &[u8; 32],
    ) -> Result<Option<IdentityId>, AppError> {
        let mut search = Search { app: self, sight, wanted, group, named, other: None };
        let mut is_all = true;
        for member in members_of(group, named) {
            for choice in wanted.choices {
                let postings = [vec![member.clone()], choice.postings()].concat();
                if let Some(found) = search.first(self.spoken_of(sight, &postings)?)? {
                    return Ok(Some(found));
                }
            }
            let some = self.spoken_of(sight, &[member])?;
            is_all &= some.len() < limits::GROUP_MEMBERS_SOUGHT;
            if let Some(found) = search.first(some)? {
                return Ok(Some(found));
            }
        }
        let found = if is_all { None } else { search.first((wanted.named)()?)? };
        Ok(found.or(search.other))
    }

    /// Whether a thing is a member of a group: named in it, or selected by it.
    pub(in crate::app) fn is_member(
        &self,
        sight: &Sight<'_>,
        id: &IdentityId,
        group: &Group,
        named: &[u8; 32],
    ) -> Result<bool, AppError> {
        if *id == IdentityId::Group(*named) {
            return Ok(false);
        }
        let groups = candidate_groups(&about(&sight.entries, &sight.domain, id)?);
        let selects = group.selector_key().is_some_and(|selector| groups.selectors.contains(&selector));
        Ok(groups.named.contains(named) || selects)
    }

    /// What the first entries are about that have all of these postings.
    fn spoken_of(&self, sight: &Sight<'_>, postings: &[Posting]) -> Result<Vec<IdentityId>, AppError> {
        let found = sight.entries.find(postings, limits::GROUP_MEMBERS_SOUGHT)?;
        // What collides with them is no member.
        let about = |entry| Ok(restore(&sight.domain, entry)?.map(|it| it.subject_id()));
        found.iter().map(about).filter_map(Result::transpose).collect()
    }
}

/// A search for a member of a group that is wanted.
struct Search<'a> {
    app: &'a App,
    sight: &'a Sight<'a>,
    wanted: &'a Wanted<'a>,
    group: &'a Group,
    named: &'a [u8; 32],
    /// The first that does not serve.
    other: Option<IdentityId>,
}

impl Search<'_> {
    /// The first of these that serves.
    fn first(&mut self, ids: Vec<IdentityId>) -> Result<Option<IdentityId>, AppError> {
        for id in ids {
            let is_member = self.app.is_member(self.sight, &id, self.group, self.named)?;
            match if is_member { self.app.wanted(self.sight, self.wanted, &id)? } else { None } {
                Some(record) if (self.wanted.serves)(&record) => return Ok(Some(id)),
                Some(_) => self.other = self.other.or(Some(id)),
                None => {}
            }
        }
        Ok(None)
    }
}

/// What statements have, each for itself, that make things members of a group. What fewest things share comes last in the
/// order of the vocabulary: the lot behind the model and the maker.
pub(in crate::app) fn members_of(group: &Group, named: &[u8; 32]) -> Vec<Posting> {
    let mut selecting = group.attributes.iter().filter(|(attribute, _)| Attribute::SELECTING.contains(attribute));
    let by_value = selecting.next_back().map(|(attribute, value)| Posting::Attribute(*attribute, value.clone()));
    core::iter::once(Posting::Member(*named)).chain(by_value).collect()
}
