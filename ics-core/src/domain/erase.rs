//! Erasing: what may be erased, and what an erasure must restate so that nothing is unblocked by it, neither now nor by
//! what is said later: what is left of a statement is lifted, taken back and declared void as the statement would have
//! been.
//!
//! The home and every mirror that still has the body make the erasure again out of what they know, and compare it with
//! the one that the owners signed. A mirror that came too late has only the remnant, and believes the owners.

use std::collections::BTreeSet;

use super::check::Context;
use super::{Domain, Refusal};
use crate::limits;
use crate::log::entry::EntryKind;
use crate::record::{Digest, Identity, Judged, Listed, Logged, Scene, Standing, formerly_blocked};
use crate::statement::{Erasure, Remnant, SaidBy, SignedErasure, StatementId};
use crate::time::Timestamp;
use crate::vocabulary::{Attribute, Effect};

/// The entry that an erasure names, as a node holds it.
#[derive(Debug, Clone, Copy)]
pub enum Erasable<'a> {
    /// A statement.
    Statement(&'a Logged),
    /// The remnant of an entry whose body never came here.
    Remnant(u64, Remnant),
    /// Something that is not a statement.
    Other(EntryKind),
    /// Nothing with this id.
    Nothing,
}

/// Whose word an erasure makes what goes on to have effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Still its signer's, whom it names (`said_by`): it falls with that signer, who may end it.
    Attributed,
    /// The owners' own, which hangs on nobody else. All erasures were so once; logs hold them, and they are judged as
    /// they were then.
    Unattributed,
}

impl Form {
    /// The form of a signed erasure. One in which nothing goes on to have effect names nobody in either form, and is
    /// the same in both.
    const fn of(erasure: &Erasure) -> Self {
        if erasure.said_by.is_some() { Self::Attributed } else { Self::Unattributed }
    }
}

impl Domain {
    /// The erasure of a statement at a time, with all that it must restate.
    ///
    /// # Errors
    /// When it cannot be erased.
    pub fn erasure_of(&self, target: &Logged, context: &Context<'_>, at: Timestamp) -> Result<Erasure, Refusal> {
        self.restating(target, context, at, Form::Attributed)
    }

    fn restating(&self, target: &Logged, context: &Context<'_>, at: Timestamp, form: Form) -> Result<Erasure, Refusal> {
        if target.is_erased() {
            return Err(Refusal::Erased(target.index()));
        }
        let act = target.act();
        // Who the members of a group are depends on its statements.
        if act.stays() || target.subject().as_group().is_some() {
            return Err(Refusal::NotErasable(act.as_str()));
        }
        let scene = Scene::judge(self, target.subject_id(), None, context.about, context.groups, at);
        let is_target = |logged: &Logged| logged.id() == target.id() && logged.index() == target.index();
        let judged = scene.judged.iter().find(|it| is_target(it.logged));
        let effect = match (form, judged) {
            (_, None) => None,
            (Form::Attributed, Some(it)) => may_block(it),
            (Form::Unattributed, Some(it)) => self.blocks_by_owners(&scene, it)?,
        };
        let former = formerly_blocked(&scene, context.about, context.groups, at);
        if former.iter().any(|it| it.by.index == target.index()) {
            return Err(Refusal::ErasesFormer(target.index()));
        }
        let ended = |id: &StatementId| {
            judged.is_some_and(|x| scene.judged.iter().any(|it| it.logged.id() == *id && scene.ends(x, it.logged)))
        };
        let ends: Vec<_> = target.claims().supersedes.iter().copied().filter(ended).collect();
        let erasure = self.left_of(target, effect, ends, form);
        match self.lost_with(&erasure, target, context, &former, at) {
            Some(block) => Err(Refusal::ErasesJoining { index: target.index(), block }),
            None => Ok(erasure),
        }
    }

    /// The erasure of a statement that continues to have this effect, and to end these statements.
    fn left_of(&self, target: &Logged, effect: Option<Effect>, ends: Vec<StatementId>, form: Form) -> Erasure {
        let claims = target.claims();
        let hangs = effect.is_some() || !ends.is_empty();
        let until = claims.until.filter(|_| effect != Some(Effect::BlocksForEver));
        let selecting = |(attribute, _): &(&Attribute, &String)| Attribute::SELECTING.contains(attribute);
        let attributes = claims.attributes.iter().filter(selecting).map(|(at, value)| (*at, value.clone()));
        let (signer, index, source) = (target.signer(), target.index(), target.source().to_vec());
        let refused = target.is_refused();
        Erasure {
            index: Some(index),
            identity: Some(Identity { id: target.subject_id(), kind: target.subject().kind() }),
            act: Some(target.act()),
            said_by: (hangs && form == Form::Attributed).then_some(SaidBy { signer, index, source }),
            effect,
            status: effect.and_then(|_| claims.status.clone()),
            // What depends on when the block began must not begin anew with the erasure.
            from: effect.map(|_| target.begins_at()),
            until: until.filter(|_| hangs),
            ends,
            groups: if refused { Vec::new() } else { claims.groups.iter().copied().map(Digest).collect() },
            attributes: if refused { [].into() } else { attributes.collect() },
            ..Erasure::new(self.name().clone(), target.id())
        }
    }

    /// What goes on to block where the erasure is the owners' own word: what stands or is to come, and what blocked for
    /// ever until they lifted it, because what it did to certificates does not end with that. Two things such an
    /// erasure cannot say, and it is refused: a block for ever whose signer is compromised, which would begin to count
    /// again, and a block that is lifted for a while, which would not come back.
    fn blocks_by_owners(&self, scene: &Scene<'_>, it: &Judged<'_>) -> Result<Option<Effect>, Refusal> {
        let differs = || Err(Refusal::ErasureDiffers(it.logged.index()));
        let for_ever = it.effect == Some(Effect::BlocksForEver);
        let holds = match it.standing {
            Standing::Stands | Standing::NotYet => true,
            Standing::Compromised if for_ever && !self.is_lifted(it.logged) => return differs(),
            Standing::Lifted | Standing::Compromised => for_ever,
            Standing::Replaced if is_lifted_for_a_while(scene, it) => return differs(),
            _ => false,
        };
        Ok(it.effect.filter(|effect| holds && effect.blocks()))
    }

    /// The index of the first former block that would be lost with the target.
    ///
    /// A group was blocked for ever, which ended, and the target had put the thing into that group. Once it is erased,
    /// what is left stands at the place of the erasure, behind the time when the block held: whoever reads the log
    /// again would find that the thing was in no such group then. So all is judged once more as it would be after the
    /// erasure. A block that holds then is not lost: by what the erasure restates the thing may belong to the group
    /// still.
    fn lost_with(
        &self,
        erasure: &Erasure,
        target: &Logged,
        context: &Context<'_>,
        former: &[Listed],
        at: Timestamp,
    ) -> Option<u64> {
        if former.is_empty() {
            return None;
        }
        let said = context.about.iter().chain(context.groups).map(Logged::index);
        let next = said.chain(self.descriptor_indices()).map(|index| index + 1).fold(self.size(), u64::max);
        let left = Logged::of_erasure(next, at, erasure, target.signer());
        let others = context.about.iter().filter(|it| it.index() != target.index());
        let about: Vec<Logged> = others.cloned().chain(left).collect();
        let scene = Scene::judge(self, target.subject_id(), None, &about, context.groups, at);
        let blocks = |it: &&Judged<'_>| it.stands() && it.effect == Some(Effect::BlocksForEver);
        let mut kept: BTreeSet<u64> = scene.judged.iter().filter(blocks).map(|it| it.logged.index()).collect();
        kept.extend(formerly_blocked(&scene, &about, context.groups, at).iter().map(|it| it.by.index));
        former.iter().map(|it| it.by.index).find(|index| !kept.contains(index))
    }

    /// What every erasure must be, whatever it erases: made for this domain, and signed and admitted in time. A node
    /// that has not seen the erased body can check only that and the owners' signatures.
    pub(crate) fn check_erasure_alone(&self, signed: &SignedErasure, admitted_at: Timestamp) -> Result<(), Refusal> {
        let claimed = &signed.erasure.domain;
        if claimed != self.name() {
            return Err(Refusal::ForeignDomain { claimed: claimed.clone(), domain: self.name().clone() });
        }
        if admitted_at < self.last_admitted_at() {
            return Err(Refusal::TimeGoesBack { admitted_at, last: self.last_admitted_at() });
        }
        let signed_at = signed.signed_at();
        if signed_at.millis_since(admitted_at) > limits::CLOCK_SKEW_MILLIS {
            return Err(Refusal::FutureTime { signed_at, admitted_at });
        }
        Ok(())
    }

    /// Checks what every erasure must be, whatever it erases, and that the owners have signed it. Callers check this
    /// before they read what it is about, since anybody can send one in.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_erasure_signed(&self, signed: &SignedErasure, admitted_at: Timestamp) -> Result<(), Refusal> {
        self.check_erasure_alone(signed, admitted_at)?;
        self.descriptor().require_owners(signed).map_err(|error| Refusal::NotTheOwners(error.to_string()))
    }

    /// Whether the domain, at its present length, admits an erasure as its next entry, at this time. Returns the index
    /// of the entry that it erases.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_erasure(
        &self,
        signed: &SignedErasure,
        target: Erasable<'_>,
        context: &Context<'_>,
        admitted_at: Timestamp,
    ) -> Result<u64, Refusal> {
        let erasure = &signed.erasure;
        self.check_erasure_signed(signed, admitted_at)?;
        match target {
            Erasable::Nothing => Err(Refusal::ErasesUnknown(erasure.statement)),
            Erasable::Other(kind) => Err(Refusal::NotErasable(kind.as_str())),
            Erasable::Statement(target) => {
                let expected = self.restating(target, context, admitted_at, Form::of(erasure))?;
                if *erasure == expected { Ok(target.index()) } else { Err(Refusal::ErasureDiffers(target.index())) }
            }
            Erasable::Remnant(index, remnant) => {
                let differs = || Refusal::ErasureDiffers(index);
                let Identity { id, kind } = erasure.identity.ok_or_else(differs)?;
                let means = |status| {
                    let now = self.descriptor().effect(status, kind);
                    now.or_else(|| self.descriptor_at(index).effect(status, kind))
                };
                let effect = erasure.status.as_ref().and_then(means);
                let is_complete = erasure.act.is_some_and(|act| !act.stays());
                let fits = Remnant { statement: erasure.statement, identity: id } == remnant
                    && erasure.index == Some(index)
                    && erasure.said_by.as_ref().is_none_or(|by| by.index == index)
                    && effect == erasure.effect
                    && effect.is_none_or(Effect::blocks)
                    && erasure.status.is_some() == erasure.effect.is_some();
                if fits && is_complete { Ok(index) } else { Err(differs()) }
            }
        }
    }
}

/// The effect of a status that blocks now or later, or would block if what has ended it fell in turn: what replaced
/// it may be taken back, and whoever said so be declared compromised. Only what was refused, or is over, never blocks
/// again.
fn may_block(it: &Judged<'_>) -> Option<Effect> {
    let is_over = matches!(it.standing, Standing::Refused | Standing::Lapsed);
    it.effect.filter(|effect| !is_over && effect.blocks())
}

/// Whether what has lifted a block has an end, so that it blocks again then.
fn is_lifted_for_a_while(scene: &Scene<'_>, it: &Judged<'_>) -> bool {
    let by = it.by.filter(|_| it.effect.is_some_and(Effect::blocks));
    by.and_then(|by| scene.judged.iter().find(|x| x.logged.id() == by))
        .is_some_and(|x| x.logged.claims().until.is_some())
}
