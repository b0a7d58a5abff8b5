//! Things that are followed without a copy and of which nothing is shown: their home does not report them, just like
//! things that nobody mentions. So they are asked about when everything is looked at again. Of a model or a lot only
//! the home knows what exists, so some of the things that were taken over are asked about.

use std::collections::BTreeSet;

use ics_core::identity::IdentityId;
use ics_core::record::{Logged, ever_given};
use ics_core::vocabulary::DomainName;

use super::follow::Work;
use crate::app::entries::{Entries as _, restore};
use crate::app::following::follow::choices;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};

/// How many things of each model or lot are asked about: rules that hide it hide all of them.
const SAMPLE: usize = 2;
/// How many statements are searched for these.
const SOUGHT: usize = 100;

impl App {
    /// Some things of each followed model and lot, among those that were taken over.
    pub(super) fn samples_of_choices(&self, work: &Work) -> Result<BTreeSet<String>, AppError> {
        let Work { target, following, .. } = work;
        let sight = self.sight(target)?;
        let mut samples = BTreeSet::new();
        for choice in choices(following) {
            let mut of_choice = BTreeSet::new();
            for entry in sight.entries.find(&choice.postings(), SOUGHT)? {
                let said = restore(&sight.domain, &entry)?;
                let said = said.filter(|it| came_from(it, &following.source) && choice.fits(&ever_given([it])));
                of_choice.extend(said.map(|it| it.subject_id()).filter(|id| !matches!(id, IdentityId::Group(_))));
            }
            samples.extend(of_choice.iter().take(SAMPLE).map(ToString::to_string));
        }
        Ok(samples)
    }

    /// Whether a thing of which nothing is shown is missed: it is followed individually, or was taken over through a
    /// model or lot that is followed.
    pub(super) fn is_missed(&self, target: &Hosted, source: &DomainName, asked: &str) -> Result<bool, AppError> {
        if self.store().is_followed(target.number, source, asked)? {
            return Ok(true);
        }
        let followed = self.store().followed(target.number)?.into_iter().find(|it| it.source == *source);
        let chosen = followed.map(|following| choices(&following)).unwrap_or_default();
        if chosen.is_empty() {
            return Ok(false);
        }
        let sight = self.sight(target)?;
        for id in IdentityId::candidates(asked).unwrap_or_default() {
            let Some((_, said)) = self.resolve(&sight, &id)? else { continue };
            let given = ever_given(said.about.iter().filter(|it| came_from(it, source)));
            if chosen.iter().any(|choice| choice.fits(&given)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a statement was taken over from a domain, or came through it.
fn came_from(statement: &Logged, source: &DomainName) -> bool {
    statement.source().iter().any(|way| way.domain == *source)
}
