//! What blocked a thing for ever once and does so no longer, though nobody has lifted it: the thing has left the group of
//! which it was said, the role of who said so covers the thing no more, or a descriptor has the status do something else.
//!
//! For the record that is over. But a certificate was revoked for good by it, and all were told: so the log is read again as
//! it grew, from its end back to where the block held last.

use std::collections::{BTreeMap, BTreeSet};

use super::Logged;
use super::report::{Listed, Standing, VoidSince};
use super::resolve::listed;
use super::standing::{Judged, Scene};
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Effect};

/// The statements that blocked the thing of a scene for ever and do so no longer, by index, with what came when that was
/// over. Nothing but certificates hangs on them: of what has none none are looked for.
pub(super) fn formerly_blocked(scene: &Scene<'_>, about: &[Logged], groups: &[Logged], at: Timestamp) -> Vec<Listed> {
    let is_issued = |it: &Judged<'_>| it.logged.act() == Act::Issued && it.standing != Standing::Refused;
    if !scene.judged.iter().any(is_issued) {
        return Vec::new();
    }
    let sought = sought(scene, about.iter().chain(groups));
    let Some(first) = sought.first().copied() else { return Vec::new() };
    let history = History { scene, about: by_index(about), groups: by_index(groups) };
    let moments = history.moments(&sought, at);
    history.last_seen(sought, moments.iter().filter(|(_, size)| *size > first)).into_values().collect()
}

/// The indices of the statuses that blocked for ever by a descriptor since they were admitted, and of which the record does
/// not tell already that they do, or were lifted.
fn sought<'s>(scene: &Scene<'_>, statements: impl Iterator<Item = &'s Logged>) -> BTreeSet<u64> {
    let is_told = |it: &&Judged<'_>| {
        let is_over = matches!(it.standing, Standing::Lifted | Standing::Compromised);
        let is_known = it.stands() || (is_over && it.is_direct(&scene.subject));
        it.effect == Some(Effect::BlocksForEver) && is_known
    };
    let told: BTreeSet<u64> = scene.judged.iter().filter(is_told).map(|it| it.logged.index()).collect();
    let may_have = |it: &&Logged| {
        let is_sound = it.act() == Act::Status && !it.is_refused() && !it.is_erased();
        is_sound && !told.contains(&Logged::index(it)) && scene.domain.has_blocked_for_ever(it)
    };
    statements.filter(may_have).map(Logged::index).collect()
}

fn by_index(statements: &[Logged]) -> Vec<Logged> {
    let mut all = statements.to_vec();
    all.sort_by_key(Logged::index);
    all
}

/// A time, and how many entries the log had then.
type Moment = (Timestamp, u64);

/// What is said of a thing and its groups, in the order in which it was.
struct History<'a> {
    scene: &'a Scene<'a>,
    about: Vec<Logged>,
    groups: Vec<Logged>,
}

impl History<'_> {
    fn all(&self) -> impl Iterator<Item = &Logged> {
        self.about.iter().chain(&self.groups).filter(|it| !it.is_refused())
    }

    /// When it may have changed what these do.
    fn moments(&self, sought: &BTreeSet<u64>, at: Timestamp) -> BTreeSet<Moment> {
        let issued: BTreeSet<StatementId> =
            self.about.iter().filter(|it| it.act() == Act::Issued).map(Logged::id).collect();
        let matters = |it: &&Logged| {
            let claims = it.claims();
            let ends = claims.supersedes.iter().any(|id| !issued.contains(id));
            let tells = !claims.groups.is_empty() || matches!(claims.act, Act::Identity | Act::Grant);
            ends || tells || it.is_erased() || sought.contains(&Logged::index(it))
        };
        let said = self.all().filter(matters).map(|it| (it.admitted_at(), it.index() + 1));
        let ruled = self.scene.domain.ruled_since().map(|since| (since.at, since.index + 1));
        let mut moments: BTreeSet<Moment> = said.chain(ruled).filter(|(time, _)| *time <= at).collect();
        let others = self.all().filter(|it| it.act() != Act::Issued).map(Logged::claims);
        let bounds = others.flat_map(|claims| [claims.from, claims.until]).flatten();
        let bounds: BTreeSet<Timestamp> = bounds.filter(|bound| *bound <= at).collect();
        let size_at = |bound: Timestamp| moments.range(..=(bound, u64::MAX)).map(|(_, size)| *size).max();
        let by_time: Vec<Moment> =
            bounds.into_iter().filter_map(|bound| size_at(bound).map(|size| (bound, size))).collect();
        moments.extend(by_time);
        moments
    }

    /// Those of the statements sought that blocked at one of the moments, as of the last one at which they did.
    fn last_seen<'m>(
        &self,
        mut sought: BTreeSet<u64>,
        moments: impl DoubleEndedIterator<Item = &'m Moment>,
    ) -> BTreeMap<u64, Listed> {
        let (mut found, mut later) = (BTreeMap::new(), None);
        for moment in moments.rev() {
            if sought.is_empty() {
                break;
            }
            for it in self.blocking_at(moment, &sought) {
                sought.remove(&it.by.index);
                let void_since = Some(self.over_since(moment, later));
                found.insert(it.by.index, Listed { void_since, effect: Some(Effect::BlocksForEver), ..it });
            }
            later = Some(moment);
        }
        found
    }

    /// Those that blocked for ever at a moment, each with what has become of it.
    fn blocking_at(&self, (at, size): &Moment, sought: &BTreeSet<u64>) -> Vec<Listed> {
        let then = self.scene.domain.as_of(*size);
        let (about, groups) = (until(&self.about, *size), until(&self.groups, *size));
        let past = Scene::judge(&then, self.scene.subject, None, about, groups, *at);
        let blocks = |it: &&Judged<'_>| {
            sought.contains(&it.logged.index()) && it.stands() && it.effect == Some(Effect::BlocksForEver)
        };
        past.judged.iter().filter(blocks).map(|it| self.become_of(&past, it)).collect()
    }

    fn become_of(&self, past: &Scene<'_>, it: &Judged<'_>) -> Listed {
        let now = self.scene.judged.iter().find(|now| now.logged.index() == it.logged.index());
        if let Some(now) = now {
            return listed(self.scene, now, &self.scene.grants());
        }
        let because = "the thing no longer belongs to the group of which it was said".to_owned();
        Listed { standing: Standing::NotCovering, because, ..listed(past, it, &past.grants()) }
    }

    /// What came when it was over, after a moment; where only time has passed, the next entry.
    fn over_since(&self, (_, size): &Moment, later: Option<&Moment>) -> VoidSince {
        let end = self.scene.domain.size();
        match later {
            Some((at, more)) if more > size => VoidSince { index: more - 1, at: *at },
            Some((at, _)) => {
                let next = self.all().filter(|it| it.admitted_at() >= *at && it.index() >= *size);
                VoidSince { index: next.map(Logged::index).min().unwrap_or(end), at: *at }
            }
            None => VoidSince { index: end, at: self.scene.domain.last_admitted_at() },
        }
    }
}

fn until(statements: &[Logged], size: u64) -> &[Logged] {
    statements.get(..statements.partition_point(|it| it.index() < size)).unwrap_or_default()
}
