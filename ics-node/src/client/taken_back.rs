//! What comes back where something is taken back: what it had replaced stands again, and what is to come comes all the
//! same.

use ics_core::identity::Fingerprint;
use ics_core::record::{Listed, Record, Standing};
use ics_core::vocabulary::Act;

/// Those of a signer's statements about the thing itself that are meant and stand, now, again or from a later time on,
/// and what he had said before that would stand again without them. What was replaced is first: where one withdrawal
/// cannot name all, nothing stands again for a moment.
#[must_use]
pub fn with_replaced<'a>(
    record: &'a Record,
    signer: &Fingerprint,
    is_meant: impl Fn(&Listed) -> bool,
) -> Vec<&'a Listed> {
    let is_own = |it: &&Listed| it.is_of(signer) && it.by.group.is_none();
    let own: Vec<&Listed> = record.statements.iter().filter(is_own).collect();
    let comes = |it: &&Listed| would_stand(record, it) || it.is_to_come();
    let mut taken: Vec<&Listed> = own.iter().copied().filter(comes).filter(|it| is_meant(it)).collect();
    let mut place = 0;
    while let Some(one) = taken.get(place).copied() {
        let more = own.iter().copied().filter(|it| may_return(one, it) && !holds(&taken, it)).collect::<Vec<_>>();
        taken.extend(more);
        place += 1;
    }
    taken.sort_by_key(|it| it.standing == Standing::Stands);
    taken
}

/// Whether a statement stands, or will again by itself: all that replaces it ends with a time.
#[must_use]
pub fn would_stand(record: &Record, it: &Listed) -> bool {
    let mut by = record.statements.iter().filter(|x| acts(x) && replaces(x, it));
    it.standing == Standing::Stands || (it.standing == Standing::Replaced && by.all(|x| x.until.is_some()))
}

/// Whether a statement comes into force by itself at a later time, and nobody has lifted it before for good.
#[must_use]
pub fn will_stand(record: &Record, it: &Listed) -> bool {
    let is_lifted = record.statements.iter().any(|x| acts(x) && replaces(x, it) && x.until.is_none());
    it.is_to_come() && !is_lifted
}

/// What stands again once these are taken back, and is none of them: of others, or of the signer.
#[must_use]
pub fn returning<'a>(record: &'a Record, taken: &[&Listed]) -> Vec<&'a Listed> {
    let is_held = |it: &Listed| record.statements.iter().any(|x| acts(x) && !holds(taken, x) && replaces(x, it));
    let returns = |it: &&Listed| {
        let is_ended = it.standing == Standing::Replaced && it.by.group.is_none() && !holds(taken, it);
        is_ended && taken.iter().any(|x| replaces(x, it)) && !is_held(it)
    };
    record.statements.iter().filter(returns).collect()
}

fn holds(taken: &[&Listed], one: &Listed) -> bool {
    taken.iter().any(|it| it.by.statement == one.by.statement)
}

/// Whether what it names is replaced, whatever became of itself.
fn acts(it: &Listed) -> bool {
    matches!(it.standing, Standing::Stands | Standing::Replaced | Standing::RoleLost)
}

fn replaces(one: &Listed, former: &Listed) -> bool {
    one.act == former.act && one.supersedes.contains(&former.by.statement)
}

/// Whether a statement would stand again without the one of its signer that replaced it, and he can take it back: a grant
/// ends in the role in which it was given.
fn may_return(one: &Listed, former: &Listed) -> bool {
    let is_ended = former.standing == Standing::Replaced && replaces(one, former);
    is_ended && (former.act != Act::Grant || former.by.role == one.by.role)
}
