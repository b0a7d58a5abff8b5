//! Heeding grants: where a domain of this node has granted a role over a thing, it looks again at what those say of it that
//! it follows. What the grantee had said there was refused for want of the role, and may block.
//!
//! For a grant over a thing that is one look at this thing. What is in a group only what is followed knows: for those over
//! groups all of it is looked at again, once for many, and not before the news have been.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::domain::Domain;
use ics_core::identity::IdentityId;

use super::concern::Wanted;
use super::follow::choices;
use crate::app::answer::read::Sight;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Following, Unheeded};

impl App {
    /// Looks again at what a copy that is here says, for the grants of a domain that follows it; whether there may be more to
    /// look at.
    pub(super) fn heed_grants(&self, target: &Arc<Hosted>, following: &Following) -> Result<bool, AppError> {
        let (number, from) = (target.number, &following.source);
        let unheeded = self.store().unheeded(number, from, self.clock().now())?;
        if unheeded.is_empty() {
            return Ok(false);
        }
        let source = self.hosted(from)?;
        let sight = self.sight(&source)?;
        let Some(domain) = target.domain().filter(|_| sight.is_whole()) else { return Ok(false) };
        let Unheeded { things, groups } = unheeded;
        let is_more = !things.is_empty();
        self.heed_of_things((target, &*domain), following, &sight, things)?;
        let has_no_news = following.upto >= sight.seal.size;
        let is_sent_back = !groups.is_empty() && has_no_news && self.store().heed_anew(number, from, groups)?;
        Ok(is_more || is_sent_back)
    }

    fn heed_of_things(
        &self,
        (target, domain): (&Arc<Hosted>, &Domain),
        following: &Following,
        sight: &Sight<'_>,
        granted: Vec<(u64, String)>,
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
        for id in granted.iter().flat_map(|(_, id)| IdentityId::candidates(id).unwrap_or_default()) {
            if self.wanted(sight, &wanted, &id)?.is_some() {
                things.insert(id);
            }
        }
        self.take_over(target, sight, (&things, BTreeSet::new()), following.upto.max(following.told))?;
        Ok(self.store().have_heeded(number, from, granted.into_iter().map(|(entry, _)| entry).collect())?)
    }
}
