//! Finds what once blocked a thing for ever and no longer does, though nobody has lifted it: the thing has left the
//! group, the signer's role covers it no longer, or a descriptor has given the status another effect.
//!
//! For the record this is over. But a certificate was permanently revoked by it, and everybody was told so; therefore
//! the log is read again as it grew, from its end back to where the block last held.
//!
//! Reading again costs one judgement for each time at which something may have changed. Only few statements can have
//! changed anything ([`deciding`]), and only these are read: the cost for a thing with many statements is that of its
//! groups and grants.

use std::collections::{BTreeMap, BTreeSet};

use super::Logged;
use super::report::{Listed, Standing, VoidSince};
use super::resolve::listed;
use super::standing::{Judged, Scene};
use crate::identity::IdentityId;
use crate::statement::StatementId;
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, Effect};

/// The statements that once blocked the thing of a scene for ever and no longer do, by index, each with the entry that
/// ended the block. Only certificates depend on them, so for a thing without any none are looked for.
pub(crate) fn formerly_blocked(scene: &Scene<'_>, about: &[Logged], groups: &[Logged], at: Timestamp) -> Vec<Listed> {
    let is_issued = |it: &Judged<'_>| it.logged.act() == Act::Issued && it.standing != Standing::Refused;
    if !scene.judged.iter().any(is_issued) {
        return Vec::new();
    }
    let said: Vec<&Logged> = about.iter().chain(groups).filter(|it| !it.is_refused()).collect();
    let sought = sought(scene, &said);
    if sought.is_empty() {
        return Vec::new();
    }
    let history = History::new(scene, said, &sought);
    history.last_seen(sought, &history.moments(at)).into_values().collect()
}

/// The indices of the statuses that have blocked for ever under some descriptor since they were admitted, and of which
/// the record does not already say that they still do or were lifted. If a status of a group was lifted, the record
/// does not say whether it had blocked this thing until then.
fn sought(scene: &Scene<'_>, said: &[&Logged]) -> BTreeSet<u64> {
    let is_told = |it: &&Judged<'_>| {
        let is_over = matches!(it.standing, Standing::Lifted | Standing::Compromised);
        let is_known = it.stands() || (is_over && it.is_direct(&scene.subject));
        it.effect == Some(Effect::BlocksForEver) && is_known
    };
    let told: BTreeSet<u64> = scene.judged.iter().filter(is_told).map(|it| it.logged.index()).collect();
    let may_have = |it: &&&Logged| !told.contains(&it.index()) && scene.domain.has_blocked_for_ever(it);
    said.iter().filter(may_have).map(|it| it.index()).collect()
}

/// What may have decided whether the sought statuses blocked: these themselves; what may have put the thing into one of
/// the groups at hand; grants, which may have given signers their roles; and whatever names one of all these in
/// `supersedes`, including remnants. Nothing else in a record does.
fn deciding(subject: &IdentityId, said: &[&Logged], sought: &BTreeSet<u64>) -> BTreeSet<StatementId> {
    let decides = |it: &&&Logged| sought.contains(&it.index()) || it.act() == Act::Grant;
    let joined = Joined::of(said.iter().filter(decides).copied());
    let joins = |it: &&&Logged| it.subject_id() == *subject && joined.has(it);
    let begin = said.iter().filter(|it| decides(it) || joins(it));
    let mut naming: BTreeMap<StatementId, Vec<StatementId>> = BTreeMap::new();
    for it in said {
        it.claims().supersedes.iter().for_each(|named| naming.entry(*named).or_default().push(it.id()));
    }
    let mut waiting: Vec<StatementId> = begin.map(|it| it.id()).collect();
    let mut deciding = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if deciding.insert(id) {
            waiting.extend(naming.get(&id).into_iter().flatten());
        }
    }
    deciding
}

/// What may put a thing into groups.
#[derive(Default)]
struct Joined<'a> {
    ids: BTreeSet<[u8; 32]>,
    selecting: BTreeSet<(Attribute, &'a str)>,
}

impl<'a> Joined<'a> {
    /// The groups that these statements are about.
    fn of(statements: impl Iterator<Item = &'a Logged>) -> Self {
        let mut joined = Self::default();
        for it in statements {
            if let (IdentityId::Group(id), Some(group)) = (it.subject_id(), it.subject().as_group()) {
                joined.ids.insert(id);
                joined.selecting.extend(group.attributes.iter().map(|(attribute, value)| (*attribute, value.as_str())));
            }
        }
        joined
    }

    fn has(&self, statement: &Logged) -> bool {
        let claims = statement.claims();
        let mut given = claims.attributes.iter().map(|(attribute, value)| (*attribute, value.as_str()));
        claims.groups.iter().any(|id| self.ids.contains(id)) || given.any(|pair| self.selecting.contains(&pair))
    }
}

/// A time, and how many entries the log had then.
type Moment = (Timestamp, u64);

/// What is said about a thing and its groups, without what was refused.
struct History<'a> {
    scene: &'a Scene<'a>,
    said: Vec<&'a Logged>,
    /// The part of it that may have decided about the sought statuses, in the order of the log.
    decisive: Vec<Logged>,
}

impl<'a> History<'a> {
    fn new(scene: &'a Scene<'a>, said: Vec<&'a Logged>, sought: &BTreeSet<u64>) -> Self {
        let ids = deciding(&scene.subject, &said, sought);
        let mut decisive: Vec<Logged> = said.iter().copied().filter(|it| ids.contains(&it.id())).cloned().collect();
        decisive.sort_by_key(Logged::index);
        Self { scene, said, decisive }
    }

    /// The moments at which the effect of the sought statuses may have changed: at most three for each statement that
    /// may have decided about it, and one for each descriptor.
    fn moments(&self, at: Timestamp) -> BTreeSet<Moment> {
        let said = self.decisive.iter().map(|it| (it.admitted_at(), it.index() + 1));
        let ruled = self.scene.domain.ruled_since().map(|since| (since.at, since.index + 1));
        let mut moments: BTreeSet<Moment> = said.chain(ruled).filter(|(time, _)| *time <= at).collect();
        let mut size = 0;
        let mut size_at = BTreeMap::new();
        for (time, more) in &moments {
            size = size.max(*more);
            size_at.insert(*time, size);
        }
        let claims = self.decisive.iter().map(Logged::claims);
        let bounds = claims.flat_map(|claims| [claims.from, claims.until]).flatten();
        let begun = bounds.filter(|bound| *bound <= at);
        moments.extend(begun.filter_map(|bound| size_at.range(..=bound).next_back().map(|(_, size)| (bound, *size))));
        moments
    }

    /// The sought statements that blocked at one of the moments, each as of the last such moment.
    fn last_seen(&self, mut sought: BTreeSet<u64>, moments: &BTreeSet<Moment>) -> BTreeMap<u64, Listed> {
        let (mut found, mut later) = (BTreeMap::new(), None);
        for moment in moments.iter().rev() {
            let Some(first) = sought.first() else { break };
            if moment.1 <= *first {
                // None of them had been said yet.
                continue;
            }
            for it in self.blocking_at(moment, &sought) {
                sought.remove(&it.by.index);
                let over = self.over_since(moment, later);
                let void_since = it.void_since.into_iter().chain([over]).min_by_key(|void| void.index);
                found.insert(it.by.index, Listed { void_since, effect: Some(Effect::BlocksForEver), ..it });
            }
            later = Some(moment);
        }
        found
    }

    /// Those that blocked for ever at a moment, each with what has become of it.
    ///
    /// What the owners lifted, or whose signer they declared compromised, blocked until they did. If they erased it
    /// after that, what is left of it stands behind the descriptor that ended it, and is never seen to stand: it counts
    /// as one that blocked if it had begun by then.
    fn blocking_at(&self, (at, size): &Moment, sought: &BTreeSet<u64>) -> Vec<Listed> {
        let then = self.scene.domain.as_of(*size);
        // Judging tells apart what is about the thing itself and what is about groups.
        let said = until(&self.decisive, *size);
        let past = Scene::judge(&then, self.scene.subject, None, said, said, *at);
        let had_begun =
            |it: &Judged<'_>| then.void_since(it.logged).is_some_and(|void| it.logged.begins_at() <= void.at);
        let was_voided = |it: &Judged<'_>| {
            let is_void = matches!(it.standing, Standing::Lifted | Standing::Compromised);
            is_void && it.logged.is_erased() && had_begun(it)
        };
        let blocks = |it: &&Judged<'_>| {
            let held = it.stands() || was_voided(it);
            sought.contains(&it.logged.index()) && held && it.effect == Some(Effect::BlocksForEver)
        };
        let blocking: Vec<&Judged<'_>> = past.judged.iter().filter(blocks).collect();
        if blocking.is_empty() {
            return Vec::new();
        }
        let (grants_then, grants_now) = (past.grants(), self.scene.grants());
        let became = |it: &&Judged<'_>| match self.now(it.logged.index()) {
            Some(it) => listed(self.scene, it, &grants_now),
            None => {
                let because = "the thing no longer belongs to the group of which it was said".to_owned();
                Listed { standing: Standing::NotCovering, because, ..listed(&past, it, &grants_then) }
            }
        };
        blocking.iter().map(became).collect()
    }

    /// What has become of the statement at an index, if it still concerns the thing.
    fn now(&self, index: u64) -> Option<&Judged<'a>> {
        let judged = &self.scene.judged;
        judged.get(judged.partition_point(|it| it.logged.index() < index)).filter(|it| it.logged.index() == index)
    }

    /// The entry that ended a block, after a moment; if only time has passed, the next entry.
    fn over_since(&self, (_, size): &Moment, later: Option<&Moment>) -> VoidSince {
        let end = self.scene.domain.size();
        match later {
            Some((at, more)) if more > size => VoidSince { index: more - 1, at: *at },
            Some((at, _)) => {
                let next = self.said.iter().filter(|it| it.admitted_at() >= *at);
                VoidSince { index: next.map(|it| it.index()).min().unwrap_or(end), at: *at }
            }
            None => VoidSince { index: end, at: self.scene.domain.last_admitted_at() },
        }
    }
}

fn until(statements: &[Logged], size: u64) -> &[Logged] {
    statements.get(..statements.partition_point(|it| it.index() < size)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::samples::*;
    use crate::statement::Group;

    /// How many judgements it takes to find the last moment at which a block held, if it never did, and how many
    /// statements each judges.
    fn cost(drafts: &[Draft]) -> (usize, usize) {
        let (domain, (about, groups)) = (domain(), split(drafts));
        let scene = Scene::judge(&domain, device(), None, &about, &groups, now());
        let said: Vec<&Logged> = about.iter().chain(&groups).collect();
        let sought = sought(&scene, &said);
        let first = *sought.first().expect("something is sought");
        let history = History::new(&scene, said, &sought);
        let judgements = history.moments(now()).iter().filter(|(_, size)| *size > first).count();
        (judgements, history.decisive.len())
    }

    /// A thing that has left an order, which was then destroyed.
    fn left(order: &Group) -> Vec<Draft> {
        let destroyed = status(3, MAKER, "manufacturer", "destroyed").on(order);
        let certificate = say(1, MAKER, "manufacturer", Act::Issued);
        vec![introduce(0).joins(order), certificate, introduce(2).ends(0), destroyed]
    }

    fn up_to_the_limit(mut drafts: Vec<Draft>, next: impl Fn(u64) -> Draft) -> Vec<Draft> {
        drafts.extend((drafts.len() as u64..limits::RECORD_STATEMENTS as u64).map(next));
        drafts
    }

    #[test]
    fn of_a_record_of_the_largest_size_only_what_may_have_decided_is_judged_again() {
        let order = group("order 12", &[(Attribute::Lot, "7")]);
        let in_use = |n: u64| status(n, KEEPER, "maintainer", "in-use").from(n).until(n + 9);
        let step = |n: u64| if n > 4 { in_use(n).ends(n - 1) } else { in_use(n) };
        assert_eq!(cost(&up_to_the_limit(left(&order), step)), (1, 3), "a chain of statuses");
        let named = |n: u64| introduce(n).ends(n - 1).attribute(Attribute::Lot, "8").until(n + 9);
        let introduced = |n: u64| if n > 4 { named(n) } else { introduce(n) };
        assert_eq!(cost(&up_to_the_limit(left(&order), introduced)), (1, 3), "a chain of introductions to another lot");
    }

    #[test]
    fn where_each_statement_may_have_decided_the_judgements_are_three_times_as_many_at_most() {
        let order = group("order 12", &[]);
        let joins = |n: u64| introduce(n).joins(&order).from(n + 1).until(n + 5_000);
        let (judgements, statements) = cost(&up_to_the_limit(left(&order), joins));
        assert_eq!(statements, limits::RECORD_STATEMENTS - 1, "all but the certificate");
        assert!(judgements <= 3 * statements + 1, "{judgements}");
    }

    /// What ended a statement may itself have been ended, by a statement that names no group.
    #[test]
    fn whatever_ends_what_decides_decides_as_well() {
        let order = group("order 12", &[]);
        let mut drafts = left(&order);
        drafts.push(say(4, MAKER, "manufacturer", Act::Withdrawal).ends(2));
        drafts.push(status(5, KEEPER, "maintainer", "in-use"));
        let (about, groups) = split(&drafts);
        let said: Vec<&Logged> = about.iter().chain(&groups).collect();
        let ids = deciding(&device(), &said, &BTreeSet::from([3]));
        assert_eq!(ids, [0, 2, 3, 4].map(id).into());
    }
}
