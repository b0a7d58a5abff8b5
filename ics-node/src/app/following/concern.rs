//! Which of the things that are followed or watched a statement concerns.

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
    /// Whether a thing is named individually.
    pub(in crate::app) is_named: &'a dyn Fn(&IdentityId) -> Result<bool, AppError>,
    /// All things that are named individually.
    pub(in crate::app) named: &'a dyn Fn() -> Result<Vec<IdentityId>, AppError>,
    /// Whether the follower may have what is said about a thing.
    pub(in crate::app) may: &'a dyn Fn(&Record) -> bool,
    /// Whether a member of a group is suitable; others are used only if none is.
    pub(in crate::app) serves: &'a dyn Fn(&Record) -> bool,
}

impl App {
    /// The things that a statement concerns: its subject or, if that is a group, one member of it. One member is
    /// enough: everything said about the group comes with it.
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

    /// The record of a thing, if it is named or ever had the chosen attributes, and the follower may have it.
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

    /// A wanted thing about which the holder of a certificate has spoken, if there is one: together with what is said
    /// about it come all states of that certificate, including one that revokes it. This does not find signers who have
    /// spoken only about groups.
    pub(in crate::app) fn wanted_of_signer(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        holder: &Fingerprint,
    ) -> Result<Option<IdentityId>, AppError> {
        // The remnant of an erased statement brings the certificate of whoever erased it, not that of its signer.
        let speaks = |record: &Record| {
            let mut own = record.statements.iter().filter(|it| it.is_of(holder)).peekable();
            own.peek().is_none() || own.any(|it| !it.erased)
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

    /// The things that have, or once had, all the chosen attributes from a single statement.
    pub(super) fn chosen_by(&self, sight: &Sight<'_>, choice: &Choice) -> Result<BTreeSet<IdentityId>, AppError> {
        let (number, size, alternatives) = (sight.hosted.number, sight.seal.size, [choice.postings()]);
        let (mut ids, mut start) = (BTreeSet::new(), 0);
        while start < size {
            let (indices, end) = self.spoken(number, &alternatives, start..size, limits::PAGE_ITEMS)?;
            for entry in self.store().entries_at(number, &indices)? {
                // Entries that merely collide are not chosen, nor are groups that select by these attributes.
                let said = restore(&sight.domain, &entry)?.filter(|it| choice.fits(&ever_given([it])));
                ids.extend(said.map(|it| it.subject_id()));
            }
            start = end;
        }
        Ok(ids)
    }

    /// One wanted member of a group.
    ///
    /// A group may have any number of other members. So members with the chosen attributes are tried first, then some
    /// of all members, and, if those are not all, the things that are named.
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

    /// Whether a thing is a member of a group, because its statements name the group or because the group selects it.
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

    /// The subjects of the first entries that have all of these postings.
    fn spoken_of(&self, sight: &Sight<'_>, postings: &[Posting]) -> Result<Vec<IdentityId>, AppError> {
        let found = sight.entries.find(postings, limits::GROUP_MEMBERS_SOUGHT)?;
        // Entries that merely collide do not count.
        let about = |entry| Ok(restore(&sight.domain, entry)?.map(|it| it.subject_id()));
        found.iter().map(about).filter_map(Result::transpose).collect()
    }
}

/// A search for a wanted member of a group.
struct Search<'a> {
    app: &'a App,
    sight: &'a Sight<'a>,
    wanted: &'a Wanted<'a>,
    group: &'a Group,
    named: &'a [u8; 32],
    /// The first wanted member that is not suitable.
    other: Option<IdentityId>,
}

impl Search<'_> {
    /// The first of these that is suitable.
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

/// Postings each of which finds the members of a group: those that name it, and those that it selects. For the latter
/// the attribute that the fewest things share is used, which comes last in the vocabulary's order: the lot, after model
/// and maker.
pub(in crate::app) fn members_of(group: &Group, named: &[u8; 32]) -> Vec<Posting> {
    let mut selecting = group.attributes.iter().filter(|(attribute, _)| Attribute::SELECTING.contains(attribute));
    let by_value = selecting.next_back().map(|(attribute, value)| Posting::Attribute(*attribute, value.clone()));
    core::iter::once(Posting::Member(*named)).chain(by_value).collect()
}
