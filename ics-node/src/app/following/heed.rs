//! Looks again after a grant: when a domain of this node has granted a role over a thing, what followed domains say
//! about that thing is read again. What the grantee said there was refused before because the role was missing, and may
//! block.
//!
//! For a grant over a thing this is one look at the thing; for one over a group, a look at what both logs say is in it,
//! after the news have been looked at. If that is much, everything followed there is looked at again, once for many
//! grants.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::record::Posting;
use ics_core::statement::Subject;

use super::concern::{Wanted, members_of};
use super::follow::choices;
use crate::app::answer::read::Sight;
use crate::app::entries::{Entries as _, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Following, Unheeded};

impl App {
    /// Looks again, for the grants of a domain, at what a source that is copied here says; returns whether there may be
    /// more to look at.
    pub(super) fn heed_grants(&self, target: &Arc<Hosted>, following: &Following) -> Result<bool, AppError> {
        let (number, from) = (target.number, &following.source);
        let unheeded = self.store().unheeded(number, from, self.clock().now())?;
        if unheeded.is_empty() {
            return Ok(false);
        }
        let source = self.hosted(from)?;
        let sight = self.sight(&source)?;
        let Some(domain) = target.domain() else { return Ok(false) };
        let Unheeded { things, groups } = unheeded;
        let mut is_more = !things.is_empty();
        let ids = things.iter().flat_map(|(_, id)| IdentityId::candidates(id).unwrap_or_default()).collect();
        let entries = things.into_iter().map(|(entry, _)| entry).collect();
        self.heed_of_things((target, &*domain), following, &sight, (ids, entries))?;
        if !groups.is_empty() && following.upto >= sight.seal.size {
            is_more |= match self.few_members(target, &sight, &groups)? {
                Some(ids) => {
                    self.heed_of_things((target, &*domain), following, &sight, (ids, groups))?;
                    true
                }
                None => self.store().heed_anew(number, from, groups)?,
            };
        }
        Ok(is_more)
    }

    /// The members of the groups over which these entries grant something, according to the domain itself or to what it
    /// follows; `None` if there are many.
    fn few_members(
        &self,
        target: &Hosted,
        there: &Sight<'_>,
        grants: &[u64],
    ) -> Result<Option<BTreeSet<IdentityId>>, AppError> {
        let here = self.sight(target)?;
        if grants.iter().any(|entry| *entry >= here.seal.size) {
            return Ok(None);
        }
        let mut members = BTreeSet::new();
        for entry in self.store().entries_at(target.number, grants)? {
            let Some(grant) = restore(&here.domain, &entry)? else { continue };
            let (subject, id) = (grant.subject(), grant.subject_id());
            let (Subject::Group(group), IdentityId::Group(named)) = (subject, id) else { continue };
            for posting in members_of(group, &named) {
                for sight in [&here, there] {
                    match few_spoken_of(sight, &posting)? {
                        Some(some) => members.extend(some),
                        None => return Ok(None),
                    }
                }
            }
            if members.len() > limits::GROUP_MEMBERS_SOUGHT {
                return Ok(None);
            }
        }
        Ok(Some(members))
    }

    fn heed_of_things(
        &self,
        (target, domain): (&Arc<Hosted>, &Domain),
        following: &Following,
        sight: &Sight<'_>,
        (granted, entries): (BTreeSet<IdentityId>, Vec<u64>),
    ) -> Result<(), AppError> {
        let (number, from, choices) = (target.number, &following.source, choices(following));
        let wanted = Wanted {
            choices: &choices,
            is_named: &|id| Ok(self.store().is_followed(number, from, &id.to_string())?),
            named: &|| self.followed_by_name(number, from),
            may: &|record| self.may_follow(domain, &sight.domain, record),
            serves: &|_| true,
        };
        let mut things = BTreeSet::new();
        for id in granted {
            if self.wanted(sight, &wanted, &id)?.is_some() {
                things.insert(id);
            }
        }
        self.take_over(target, sight, (&things, BTreeSet::new()), following.upto.max(following.told))?;
        Ok(self.store().have_heeded(number, from, entries)?)
    }
}

/// The subjects of the entries with a posting; `None` if there are many.
fn few_spoken_of(sight: &Sight<'_>, posting: &Posting) -> Result<Option<Vec<IdentityId>>, AppError> {
    let found = sight.entries.find(core::slice::from_ref(posting), limits::GROUP_MEMBERS_SOUGHT)?;
    if found.len() >= limits::GROUP_MEMBERS_SOUGHT {
        return Ok(None);
    }
    // Entries that merely collide are looked at in vain.
    let about = |entry| Ok(restore(&sight.domain, entry)?.map(|it| it.subject_id()));
    found.iter().map(about).filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use ics_core::identity::Kind;
    use ics_core::openpgp::signer::Signer as _;
    use ics_core::statement::make::sign_document;
    use ics_core::statement::{Claims, Grant, Group, Subject};
    use ics_core::vocabulary::{Act, Attribute};

    use crate::fixture::{Party, SALT, claims, device, word};

    /// Otherwise somebody who sells lots all day would have a long log looked at without end.
    #[tokio::test(flavor = "multi_thread")]
    async fn for_a_grant_over_a_small_group_nothing_else_is_looked_at_again() {
        let [target, source] = ["t.acme.example", "a.acme.example"].map(Party::found);
        let app = target.open();
        source.found_at(&app);
        source.publish(&app, &device(1), "Pump", "L1").await;
        let hosted = app.hosted(&target.domain).expect("here");
        let size = app.domain(&source.domain).expect("here").info.size;
        let thing = device(1).fingerprint().to_string();
        app.store().follow(hosted.number, &source.domain, vec![thing], size).expect("follows");

        let grant = Grant { grantee: source.signer.public_key().fingerprint(), role: word("owner") };
        let said = Claims { grant: Some(grant), ..claims(&target, Act::Grant) };
        let attributes = [(Attribute::Lot, "L1".to_owned())].into();
        let lot = Subject::Group(Group { kind: Kind::Group, name: "Lot L1".to_owned(), attributes });
        let body = sign_document(&target.signer, &lot, &said, app.clock().now(), &SALT).expect("made");
        target.submit_one(&app, body).await.expect("admitted");
        let unheeded = || app.store().unheeded(hosted.number, &source.domain, app.clock().now()).expect("read");
        assert_eq!(unheeded().groups.len(), 1);

        let following = || app.store().followed(hosted.number).expect("read").remove(0);
        assert!(tokio::task::block_in_place(|| app.heed_grants(&hosted, &following())).expect("heeds"));
        assert_eq!((following().upto, following().told), (size, size), "it goes on where it was");
        assert!(unheeded().is_empty(), "{:?}", unheeded());
    }
}
