//! Erasing: what may be erased, and what an erasure must restate so that nothing is unblocked by it.
//!
//! The home and every mirror that still has the body make the erasure again out of what they know, and compare. A mirror
//! that came too late has only the remnant, and believes the owners.

use std::collections::BTreeSet;

use super::check::Context;
use super::{Domain, Refusal};
use crate::limits;
use crate::log::entry::EntryKind;
use crate::record::{Digest, Identity, Judged, Listed, Logged, Scene, Standing, formerly_blocked};
use crate::statement::{Erasure, Remnant, SignedErasure, StatementId};
use crate::time::Timestamp;
use crate::vocabulary::{Attribute, Effect};

/// The entry that an erasure is to erase, as a node holds it.
#[derive(Debug, Clone, Copy)]
pub enum Erasable<'a> {
    /// A statement.
    Statement(&'a Logged),
    /// What is left of one whose body never came here.
    Remnant(u64, Remnant),
    /// Something that is no statement.
    Other(EntryKind),
    /// Nothing with this id.
    Nothing,
}

impl Domain {
    /// The erasure of a statement at a time, with all that it must restate.
    ///
    /// # Errors
    /// When it cannot be erased.
    pub fn erasure_of(&self, target: &Logged, context: &Context<'_>, at: Timestamp) -> Result<Erasure, Refusal> {
        if target.is_erased() {
            return Err(Refusal::Erased(target.index()));
        }
        let act = target.act();
        // Of whom all members are hangs on groups.
        if act.stays() || target.subject().as_group().is_some() {
            return Err(Refusal::NotErasable(act.as_str()));
        }
        let scene = Scene::judge(self, target.subject_id(), None, context.about, context.groups, at);
        let is_target = |logged: &Logged| logged.id() == target.id() && logged.index() == target.index();
        let judged = scene.judged.iter().find(|it| is_target(it.logged));
        // What a block for ever did to certificates does not end when the owners lift it.
        let stays = |it: &&Judged<'_>| match it.standing {
            Standing::Stands | Standing::NotYet => true,
            Standing::Lifted | Standing::Compromised => it.effect == Some(Effect::BlocksForEver),
            _ => false,
        };
        // What is left is the owners' word and no longer that of a signer who is compromised: it would block again.
        let would_block = |it: &Judged<'_>| it.standing == Standing::Compromised && !self.is_lifted(target);
        if judged.filter(stays).is_some_and(would_block) {
            return Err(Refusal::ErasesCompromised(target.index()));
        }
        let holds = judged.filter(stays);
        let effect = holds.and_then(|it| it.effect).filter(|effect| effect.blocks());
        if let Some(until) = judged.and_then(|it| lifted_until(&scene, it)) {
            return Err(Refusal::ErasesLifted { index: target.index(), until });
        }
        let former = formerly_blocked(&scene, context.about, context.groups, at);
        if former.iter().any(|it| it.by.index == target.index()) {
            return Err(Refusal::ErasesFormer(target.index()));
        }
        let claims = target.claims();
        let ended = |id: &StatementId| {
            judged.is_some_and(|x| scene.judged.iter().any(|it| it.logged.id() == *id && scene.ends(x, it.logged)))
        };
        let ends: Vec<_> = claims.supersedes.iter().copied().filter(ended).collect();
        let until = claims.until.filter(|_| effect != Some(Effect::BlocksForEver));
        let selecting = |(attribute, _): &(&Attribute, &String)| Attribute::SELECTING.contains(attribute);
        let attributes = claims.attributes.iter().filter(selecting).map(|(at, value)| (*at, value.clone()));
        let refused = target.is_refused();
        let erasure = Erasure {
            index: Some(target.index()),
            identity: Some(Identity { id: target.subject_id(), kind: target.subject().kind() }),
            act: Some(act),
            effect,
            status: effect.and_then(|_| claims.status.clone()),
            // What hangs on since when it blocks does not begin anew with the erasure.
            from: effect.map(|_| target.begins_at()),
            until: until.filter(|_| effect.is_some() || !ends.is_empty()),
            ends,
            groups: if refused { Vec::new() } else { claims.groups.iter().copied().map(Digest).collect() },
            attributes: if refused { [].into() } else { attributes.collect() },
            ..Erasure::new(self.name().clone(), target.id())
        };
        match self.lost_with(&erasure, target, context, &former, at) {
            Some(block) => Err(Refusal::ErasesJoining { index: target.index(), block }),
            None => Ok(erasure),
        }
    }

    /// The first of the former blocks of which nobody could tell any more that they were the thing's: what is erased has put
    /// it into the group, and what the erasure restates stands behind all that was said then. By what it restates the thing
    /// may belong to the group still, so one of which the status blocks for ever as before is not lost.
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

    /// What an erasure must be whatever it erases: made for this domain, and signed and admitted in time. Who has not seen
    /// what is gone can check that and the owners' signatures, and no more.
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

    /// What an erasure must be whatever it erases, and that the owners have signed it. Whoever judges one asks this before
    /// he reads what it is about: anybody can send one in.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_erasure_signed(&self, signed: &SignedErasure, admitted_at: Timestamp) -> Result<(), Refusal> {
        self.check_erasure_alone(signed, admitted_at)?;
        self.descriptor().require_owners(signed).map_err(|error| Refusal::NotTheOwners(error.to_string()))
    }

    /// Whether the domain, at its present length, admits an erasure as its next entry, to be admitted at this time. Gives
    /// the index of the entry that it erases.
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
                let expected = self.erasure_of(target, context, admitted_at)?;
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
                    && effect == erasure.effect
                    && effect.is_none_or(Effect::blocks)
                    && erasure.status.is_some() == erasure.effect.is_some();
                if fits && is_complete { Ok(index) } else { Err(differs()) }
            }
        }
    }
}

/// Until when a block is lifted, if it will block again after that by itself. Of an erased one nobody would know it.
fn lifted_until(scene: &Scene<'_>, judged: &Judged<'_>) -> Option<Timestamp> {
    let is_lifted = judged.standing == Standing::Replaced && judged.effect.is_some_and(Effect::blocks);
    let by = judged.by.filter(|_| is_lifted)?;
    scene.judged.iter().find(|it| it.logged.id() == by)?.logged.claims().until
}
