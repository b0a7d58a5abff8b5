//! What comes back when something is withdrawn: what it had replaced stands again, and planned statements still come
//! into force.

use ics_core::identity::Fingerprint;
use ics_core::record::{Listed, Record, Standing};
use ics_core::vocabulary::Act;

/// Those of a signer's statements about the thing itself that are meant and stand now, again or later, and the signer's
/// earlier statements that would stand again without them. Replaced statements come first: if one withdrawal cannot
/// name all, nothing stands again in between.
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

/// Whether a statement stands, or will stand again by itself because all that replaces it ends.
#[must_use]
pub fn would_stand(record: &Record, it: &Listed) -> bool {
    let mut by = record.statements.iter().filter(|x| acts(x) && replaces(x, it));
    it.standing == Standing::Stands || (it.standing == Standing::Replaced && by.all(|x| x.until.is_some()))
}

/// Whether a statement comes into force by itself later, and nobody has lifted it for good.
#[must_use]
pub fn will_stand(record: &Record, it: &Listed) -> bool {
    let is_lifted = record.statements.iter().any(|x| acts(x) && replaces(x, it) && x.until.is_none());
    it.is_to_come() && !is_lifted
}

/// The statements, by anybody, that stand again once these are withdrawn, apart from these themselves.
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

/// Whether a statement still replaces what it names, whatever has become of itself.
fn acts(it: &Listed) -> bool {
    matches!(it.standing, Standing::Stands | Standing::Replaced | Standing::RoleLost)
}

fn replaces(one: &Listed, former: &Listed) -> bool {
    one.act == former.act && one.supersedes.contains(&former.by.statement)
}

/// Whether a statement would stand again without the one that replaced it by the same signer, and the signer can
/// withdraw it: a grant ends in the role in which it was given.
fn may_return(one: &Listed, former: &Listed) -> bool {
    let is_ended = former.standing == Standing::Replaced && replaces(one, former);
    is_ended && (former.act != Act::Grant || former.by.role == one.by.role)
}
