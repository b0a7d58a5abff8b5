//! What a signer has said before, when they now give it an end.

use ics_core::limits;
use ics_core::record::{Listed, Record, Standing};
use ics_core::statement::{Claims, StatementId};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect};

use super::{Saying, called};
use crate::cli::context::Context;
use crate::cli::session::SignAs;
use crate::client::lookup::{self, Found};
use crate::client::signing::Signing;
use crate::client::taken_back;

/// Returns what is said about a thing, and the withdrawals of what it ends for good. A permit with an end takes the
/// place of what the signer has said in the same role: a statement whose time is over no longer replaces anything, so
/// what it had replaced would stand again, and the end would limit nothing. Therefore that is withdrawn. A permit with
/// a start of its own stands beside the former one, say for a night's maintenance, and the signer is told that the
/// other stays. After a temporary block everything is as it was before.
pub(crate) fn with_ends(
    context: &Context,
    sign: &SignAs,
    signing: &Signing,
    found: Found,
    claims: Claims,
) -> Vec<Saying> {
    let mut saying = Saying { found, claims, ends_vouching: false };
    let record = saying.found.own.as_ref().map(|answer| &answer.record);
    if let Some(record) = record.filter(|_| saying.claims.from.is_some()) {
        tell_what_stays(context, sign, signing, record, &saying.claims);
    }
    let permits_until = saying.claims.until.filter(|_| saying.claims.from.is_none() && !saying.blocks(signing));
    let (Some(record), Some(until)) = (record, permits_until) else { return vec![saying] };
    let ends = Ends::of(signing, record, &saying.claims);
    ends.tell(context, until);
    saying.claims.supersedes = ends.replaced(&saying.claims);
    let taken_back: Vec<Saying> = ends.taken_back(signing, &saying.found).collect();
    core::iter::once(saying).chain(taken_back).collect()
}

fn tell_what_stays(context: &Context, sign: &SignAs, signing: &Signing, record: &Record, claims: &Claims) {
    let id = &record.identity.id;
    let is_ended = |it: &Listed| claims.supersedes.contains(&it.by.statement);
    // Nobody can withdraw what blocks for ever.
    let may_end = |it: &Listed| it.effect != Some(Effect::BlocksForEver);
    let stays = |it: &&Listed| is_former(signing, claims, it) && may_end(it) && !is_ended(it);
    for it in lookup::standing(record, claims.act).filter(stays) {
        context.output.note(&format!(
            "what you have already said of it stands beside this, for as long as that holds: `ics withdraw {id} \
             --statement {}{}` takes it back",
            it.by.statement,
            sign.flags()
        ));
    }
}

/// Whether the signer has said such a thing before. A signer gives a thing one status, in whatever role.
fn is_former(signing: &Signing, claims: &Claims, it: &Listed) -> bool {
    let is_alike = it.by.role == signing.role && it.label == claims.label;
    it.act == claims.act && it.by.signer == signing.fingerprint() && (it.act == Act::Status || is_alike)
}

fn blocks(it: &Listed) -> bool {
    it.effect.is_some_and(Effect::blocks)
}

/// What ends when something permits until a time.
struct Ends {
    /// For good: what permitted, and what that had replaced without an end.
    for_good: Vec<Former>,
    /// For that time only: what blocked until then.
    for_now: Vec<Former>,
}

/// An earlier statement, and a description of it.
struct Former {
    id: StatementId,
    called: String,
    until: Option<Timestamp>,
}

impl Former {
    fn new(it: &Listed) -> Self {
        Self { id: it.by.statement, called: called(it), until: it.until }
    }

    /// That it ends for good beside a statement with this end, and why.
    fn ends_for_good(&self, until: Timestamp) -> String {
        let why = match self.until.is_some_and(|end| end <= until) {
            true => "the new one takes its place".to_owned(),
            false => format!("otherwise it would stand again after {until}"),
        };
        format!("{} ends for good: {why}", self.called)
    }
}

impl Ends {
    fn of(signing: &Signing, record: &Record, claims: &Claims) -> Self {
        let is_named = |it: &Listed| claims.supersedes.contains(&it.by.statement);
        // A statement with a start of its own stands beside this one.
        let has_begun = |it: &Listed| it.standing != Standing::NotYet;
        let is_meant = |it: &Listed| ((has_begun(it) && is_former(signing, claims, it)) || is_named(it)) && !blocks(it);
        let former = taken_back::with_replaced(record, &signing.fingerprint(), is_meant);
        // What was lifted only for a time blocks again after it.
        let is_lifted_for_now = |it: &Listed| {
            let mut by = former.iter().filter(|x| x.supersedes.contains(&it.by.statement));
            blocks(it) && by.all(|x| x.until.is_some())
        };
        let (for_now, for_good): (Vec<&Listed>, Vec<&Listed>) =
            former.iter().copied().partition(|it| is_lifted_for_now(it));
        // So does what others have said, which only they can withdraw.
        let of_others = taken_back::returning(record, &former);
        let may_lift =
            |it: &&Listed| it.status.as_ref().is_some_and(|status| signing.descriptor.may_lift(&signing.role, status));
        let standing = lookup::standing(record, claims.act).filter(|it| claims.supersedes.contains(&it.by.statement));
        let standing = standing.filter(|it| blocks(it));
        let for_now = for_now.into_iter().chain(of_others.into_iter().filter(may_lift)).chain(standing);
        Self { for_good: for_good.into_iter().map(Former::new).collect(), for_now: for_now.map(Former::new).collect() }
    }

    /// What the new statement replaces: not what is withdrawn beside it, so there is always room.
    fn replaced(&self, claims: &Claims) -> Vec<StatementId> {
        let is_taken_back = |id: &StatementId| self.for_good.iter().any(|it| it.id == *id);
        let named = claims.supersedes.iter().copied().filter(|id| !is_taken_back(id));
        let mut all: Vec<StatementId> = named.chain(self.for_now.iter().map(|it| it.id)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Withdrawals that follow the new statement, so that nothing lapses in between. The signer still vouches, so they
    /// revoke nothing: programs that only read revocations would drop the new statement as well.
    fn taken_back(&self, signing: &Signing, found: &Found) -> impl Iterator<Item = Saying> {
        self.for_good.chunks(limits::SUPERSEDES).map(move |some| {
            let mut claims = signing.claims(Act::Withdrawal);
            claims.supersedes = some.iter().map(|it| it.id).collect();
            Saying { found: found.clone(), claims, ends_vouching: false }
        })
    }

    fn tell(&self, context: &Context, until: Timestamp) {
        for it in &self.for_good {
            context.output.note(&it.ends_for_good(until));
        }
        for it in &self.for_now {
            context.output.note(&format!("{} blocks again after {until}", it.called));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label that is given once more until the same end would not come back after it.
    #[test]
    fn only_what_lasts_longer_would_stand_again() {
        let until = Timestamp::from_seconds(1_893_456_000);
        let told = |seconds: Option<u64>| {
            let ends = seconds.map(Timestamp::from_seconds);
            Former { id: StatementId([0; 32]), called: "entry 2".to_owned(), until: ends }.ends_for_good(until)
        };
        let again = format!("entry 2 ends for good: otherwise it would stand again after {until}");
        assert_eq!([told(None), told(Some(1_893_456_001))], [again.clone(), again]);
        assert_eq!(told(Some(1_893_456_000)), "entry 2 ends for good: the new one takes its place");
    }
}
