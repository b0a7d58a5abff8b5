//! The one admission rule: home and mirrors alike apply it to every statement, at the same place of the log.

use std::collections::{BTreeMap, BTreeSet};

use super::{Domain, Refusal};
use crate::limits;
use crate::policy::{Action, Append, Principal, Request, Resource};
use crate::record::{Logged, Scene, may_lift, replaces, takes_back};
use crate::statement::{Group, StatementId};
use crate::vocabulary::{Act, Attribute, Effect, Role};

/// What the log already holds that bears on a statement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// All statements about the same subject.
    pub about: &'a [Logged],
    /// All statements about the groups that [`crate::record::candidate_groups`] names for `about`, and for the
    /// statement itself if it is about a group.
    pub groups: &'a [Logged],
    /// Whether something was said about the same subject of which this node has only the remnant, because an erasure
    /// later in the log erased it before the node got the body. What rests on it cannot be judged here and is left to
    /// the home; a mirror that came in time has judged it.
    pub unseen: bool,
}

/// A statement that the domain admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Set if, with this statement, its signer nears the end of their quota for a thing that they block again and
    /// again: once it is used up, they can neither block that thing nor lift their blocks. Set for only one statement
    /// on the way there.
    pub nears: Option<Nearing>,
    /// Whether the thing's record is filling up with this statement ([`limits::RECORD_STATEMENTS_NEAR`]). Set for only
    /// one statement on the way there.
    pub fills: bool,
}

/// How many statements a signer has made about an identity, and how many they may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearing {
    /// The statements that the signer's quota counts, including the one that is admitted.
    pub made: usize,
    /// The signer's quota.
    pub quota: usize,
}

impl Domain {
    /// Whether the domain, at its present length, admits a statement as its next entry.
    ///
    /// `entry` has the index and the time of admission that it would get. For an adopted entry, the caller has verified
    /// the evidence against the key of the source that the descriptor pins ([`crate::log::source::Source::verify`]).
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, entry: &Logged, context: &Context<'_>) -> Result<Admitted, Refusal> {
        if let Some(first) = context.about.iter().find(|other| other.id() == entry.id() && !other.is_refused()) {
            let index = first.index();
            return Err(if first.is_erased() { Refusal::Erased(index) } else { Refusal::Duplicate(index) });
        }
        self.check_origin(entry)?;
        self.check_times(entry)?;
        let effect = self.check_form(entry)?;
        let checked = Checked {
            domain: self,
            entry,
            context,
            effect,
            scene: Scene::judge(
                self,
                entry.subject_id(),
                entry.subject().as_group(),
                context.about,
                context.groups,
                entry.admitted_at(),
            ),
        };
        checked.check_names()?;
        if context.unseen {
            return Ok(Admitted { nears: None, fills: false });
        }
        checked.check_role()?;
        checked.check_kind()?;
        checked.check_issued()?;
        checked.check_supersedes()?;
        let beside = checked.beside();
        let nears = checked.check_quota(&beside)?;
        checked.check_groups()?;
        checked.check_access()?;
        Ok(Admitted { nears, fills: beside.len() + 1 == limits::RECORD_STATEMENTS_NEAR })
    }

    /// It must be made for this domain, or adopted from a pinned one, by a signer who is not compromised.
    fn check_origin(&self, entry: &Logged) -> Result<(), Refusal> {
        let claimed = &entry.claims().domain;
        let own = claimed == self.name();
        match (entry.source().first(), entry.source().last()) {
            (Some(_), _) if own => return Err(Refusal::AdoptedOwn),
            (Some(nearest), Some(first)) => {
                self.check_source(nearest)?;
                if first.domain != *claimed {
                    let source_domain = first.domain.clone();
                    return Err(Refusal::SourceMismatch { claimed: claimed.clone(), source_domain });
                }
            }
            _ if own => {}
            _ => return Err(Refusal::ForeignDomain { claimed: claimed.clone(), domain: self.name().clone() }),
        }
        if self.is_compromised(entry) {
            return Err(Refusal::SignerCompromised(entry.signer()));
        }
        Ok(())
    }

    fn check_times(&self, entry: &Logged) -> Result<(), Refusal> {
        let (signed_at, admitted_at) = (entry.signed_at(), entry.admitted_at());
        if admitted_at < self.last_admitted_at {
            return Err(Refusal::TimeGoesBack { admitted_at, last: self.last_admitted_at });
        }
        if signed_at.millis_since(admitted_at) > limits::CLOCK_SKEW_MILLIS {
            return Err(Refusal::FutureTime { signed_at, admitted_at });
        }
        Ok(())
    }

    /// What the descriptor demands of the statement, whoever signs it. What it must be in itself has been checked
    /// before.
    fn check_form(&self, entry: &Logged) -> Result<Option<Effect>, Refusal> {
        let claims = entry.claims();
        let kind = entry.subject().kind();
        let effect = self.effect_of(entry);
        if let Some(status) = &claims.status {
            match effect {
                None => return Err(Refusal::UnknownStatus { status: status.clone(), kind }),
                Some(Effect::BlocksForEver) if claims.until.is_some() => {
                    return Err(Refusal::ForEverUntil(status.clone()));
                }
                Some(_) => {}
            }
        }
        let expected = kind.has_key() && blocks(effect);
        if claims.act != Act::Withdrawal && entry.revokes() != expected {
            return Err(Refusal::RevocationMismatch { expected });
        }
        match entry.grant() {
            Some(grant) if !self.descriptor().roles.contains_key(&grant.role) => {
                Err(Refusal::UnknownRole(grant.role.clone()))
            }
            _ => Ok(effect),
        }
    }
}

fn blocks(effect: Option<Effect>) -> bool {
    effect.is_some_and(Effect::blocks)
}

fn owned<'a>(
    attributes: impl Iterator<Item = (&'a Attribute, &'a String)>,
) -> impl Iterator<Item = (Attribute, String)> {
    attributes.map(|(attribute, value)| (*attribute, value.clone()))
}

/// A statement together with the record as it stands before it.
struct Checked<'a> {
    domain: &'a Domain,
    entry: &'a Logged,
    context: &'a Context<'a>,
    effect: Option<Effect>,
    scene: Scene<'a>,
}

impl Checked<'_> {
    fn roles(&self) -> BTreeSet<Role> {
        self.scene.roles_of(&self.entry.signer())
    }

    fn check_role(&self) -> Result<(), Refusal> {
        if self.scene.has_role(self.entry) {
            return Ok(());
        }
        let (signer, role) = (self.entry.signer(), self.entry.role().clone());
        Err(Refusal::RoleNotHeld { signer, role, held: self.roles().into_iter().collect() })
    }

    /// Standing introductions of this very subject that the statement does not replace.
    fn introductions(&self) -> impl Iterator<Item = &Logged> {
        let replaced = &self.entry.claims().supersedes;
        self.scene
            .judged
            .iter()
            .filter(|it| it.stands() && it.logged.act() == Act::Identity && it.is_direct(&self.scene.subject))
            .map(|it| it.logged)
            .filter(|it| !replaced.contains(&it.id()))
    }

    fn check_kind(&self) -> Result<(), Refusal> {
        let claimed = self.entry.subject().kind();
        match self.introductions().map(|it| it.subject().kind()).find(|known| *known != claimed) {
            Some(known) => Err(Refusal::KindDiffers { claimed, known }),
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let (role, descriptor) = (self.entry.role(), self.domain.descriptor());
        match self.entry.chosen_names().find(|name| !descriptor.may_name(role, name)) {
            Some(name) => Err(Refusal::NameNotPermitted { role: role.clone(), name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Whatever blocks a thing at this place of the log keeps it from getting a certificate, whoever issues it and
    /// whatever they knew when they began.
    fn check_issued(&self) -> Result<(), Refusal> {
        let is_blocked = || self.scene.judged.iter().any(|it| it.stands() && blocks(it.effect));
        if self.entry.act() == Act::Issued && is_blocked() { Err(Refusal::IssuedToBlocked) } else { Ok(()) }
    }

    fn check_supersedes(&self) -> Result<(), Refusal> {
        self.entry.claims().supersedes.iter().try_for_each(|id| self.check_superseded(id))
    }

    fn check_superseded(&self, id: &StatementId) -> Result<(), Refusal> {
        // A role over a group is one over each member, so a statement about one member may end the grant for that
        // member.
        let mut here =
            self.scene.judged.iter().filter(|it| it.is_direct(&self.scene.subject) || it.logged.act() == Act::Grant);
        let is_adopted = !self.entry.source().is_empty();
        let Some(target) = here.find(|it| it.logged.id() == *id) else {
            // What an adopted statement replaces may not have been adopted with it.
            return if is_adopted { Ok(()) } else { Err(Refusal::SupersedesUnknown(*id)) };
        };
        if target.effect == Some(Effect::BlocksForEver) {
            return Err(Refusal::BlockedForEver(*id));
        }
        let (entry, target) = (self.entry, target.logged);
        // A remnant can still be ended by a role that may lift its status, and by its former signer if the erasure
        // names them.
        let was_his = target.said_by().is_some_and(|by| by.signer == entry.signer());
        if target.is_erased() && !was_his && !may_lift(self.domain, entry, target) {
            // Where no status is left, naming it ends nothing. Whoever speaks at a source, or blocks from afar, may not
            // have heard of the erasure: what they say is not lost for that.
            let is_harmless = target.claims().status.is_none() && (is_adopted || blocks(self.effect));
            return if is_harmless { Ok(()) } else { Err(Refusal::Erased(target.index())) };
        }
        if target.act() == Act::Withdrawal {
            return Err(Refusal::SupersedesWithdrawal(*id));
        }
        if entry.act() != Act::Withdrawal && entry.act() != target.act() {
            return Err(Refusal::SupersedesOtherAct { id: *id, found: target.act() });
        }
        if takes_back(entry, target) || replaces(entry, target) || may_lift(self.domain, entry, target) {
            return Ok(());
        }
        Err(Refusal::SupersedesOthers { id: *id, role: entry.role().clone() })
    }

    /// Whether a statement shares the bounds of this one: it is about the same subject, or about a group that selects
    /// the same, because groups are found and read by what they select.
    fn is_beside(&self, other: &Logged) -> bool {
        let selector = |logged: &Logged| logged.subject().as_group().and_then(Group::selector_key);
        other.subject_id() == self.entry.subject_id()
            || selector(self.entry).is_some_and(|key| selector(other) == Some(key))
    }

    /// Whether it takes back a standing statement of its own signer. Each statement can be taken back so only once.
    /// Blocks are left out: setting and taking back one again and again would fill the record.
    fn takes_back_own(&self) -> bool {
        let ends = &self.entry.claims().supersedes;
        self.scene.judged.iter().any(|it| {
            let may_stay = it.stands() && !blocks(it.effect);
            may_stay && ends.contains(&it.logged.id()) && takes_back(self.entry, it.logged) && self.is_beside(it.logged)
        })
    }

    /// How many of these the quota of their signer counts: neither certificates that had expired when this statement
    /// was admitted, nor withdrawals of these. Otherwise an issuer of short-lived certificates could soon say nothing
    /// more.
    fn counted(&self, own: &[&Logged]) -> usize {
        let is_over = |it: &&&Logged| {
            it.act() == Act::Issued && it.claims().until.is_some_and(|until| until <= self.entry.admitted_at())
        };
        let over: BTreeSet<StatementId> = own.iter().filter(is_over).map(|it| it.id()).collect();
        let ends_over = |it: &Logged| {
            let ends = &it.claims().supersedes;
            it.act() == Act::Withdrawal && !ends.is_empty() && ends.iter().all(|id| over.contains(id))
        };
        own.iter().filter(|it| !over.contains(&it.id()) && !ends_over(it)).count()
    }

    /// All statements that share the bounds of this one, by their indices.
    fn beside(&self) -> BTreeMap<u64, &Logged> {
        let all = self.context.about.iter().chain(self.context.groups).filter(|other| self.is_beside(other));
        all.map(|other| (other.index(), other)).collect()
    }

    /// Neither a signer's quota nor the room left for others keeps them from blocking what they do not block yet; the
    /// quota never keeps them from taking back what they said, since certificates are revoked that way.
    fn check_quota(&self, beside: &BTreeMap<u64, &Logged>) -> Result<Option<Nearing>, Refusal> {
        let signer = self.entry.signer();
        let own: Vec<&Logged> = beside.values().copied().filter(|other| other.signer() == signer).collect();
        let former = own.iter().filter(|it| blocks(self.domain.effect_of(it))).count();
        let quota = self.domain.descriptor().limits.statements_per_signer_and_identity();
        let made = self.counted(&own);
        let kept = self.room_kept(former);
        if kept.is_none() && made >= quota {
            return Err(Refusal::Quota(quota));
        }
        if beside.len() >= kept.unwrap_or(limits::RECORD_STATEMENTS_OPEN) {
            return Err(Refusal::RecordFull);
        }
        let nears = |made: usize, blocked: usize| {
            made >= quota - quota / limits::QUOTA_WARNED_PARTS && blocked >= limits::FIRST_BLOCKS
        };
        let is_new = nears(made + 1, former + usize::from(blocks(self.effect))) && !nears(made, former);
        Ok(is_new.then_some(Nearing { made: made + 1, quota }))
    }

    /// The number of statements in all up to which room is kept for one like this, whatever its signer has said; `None`
    /// if no room is kept. Grants do not open the last of it, because the owner of a thing may give any number of them.
    fn room_kept(&self, former: usize) -> Option<usize> {
        if self.is_first_block(former) {
            let is_named = !self.domain.descriptor().roles_of(&self.entry.signer()).is_empty();
            return Some(if is_named { limits::RECORD_STATEMENTS } else { limits::RECORD_STATEMENTS_GRANTED });
        }
        self.takes_back_own().then_some(limits::RECORD_STATEMENTS_ENDS)
    }

    /// Whether it blocks now, and its signer neither blocks it yet nor has blocked it again and again: `former` times.
    fn is_first_block(&self, former: usize) -> bool {
        let is_in_time = self.entry.claims().is_in_time(self.entry.admitted_at());
        let signer = self.entry.signer();
        let has_blocked =
            self.scene.judged.iter().any(|it| {
                it.stands() && blocks(it.effect) && it.logged.signer() == signer && self.is_beside(it.logged)
            });
        blocks(self.effect) && is_in_time && !has_blocked && former < limits::FIRST_BLOCKS
    }

    /// Bounds the groups and values: groups are looked up one by one, and by every combination of values.
    fn check_groups(&self) -> Result<(), Refusal> {
        let about = self.scene.judged.iter().filter(|it| it.is_direct(&self.scene.subject) && !it.logged.is_refused());
        let named: BTreeSet<_> =
            about.map(|it| it.logged).chain([self.entry]).flat_map(|it| &it.claims().groups).collect();
        if named.len() > limits::GROUPS_NAMED && !self.entry.claims().groups.is_empty() {
            return Err(Refusal::Groups);
        }
        self.check_attributes()
    }

    /// What a group itself selects by counts as a value of it as well, since it is found by that.
    fn check_attributes(&self) -> Result<(), Refusal> {
        let claimed = &self.entry.claims().attributes;
        let selects = self.entry.subject().as_group().map(|group| &group.attributes);
        for (attribute, value) in claimed.iter().filter(|(it, _)| Attribute::SELECTING.contains(it)) {
            let others: BTreeSet<&String> = self
                .scene
                .judged
                .iter()
                .filter(|it| it.is_direct(&self.scene.subject) && !it.logged.is_refused())
                .filter_map(|it| it.logged.claims().attributes.get(attribute))
                .chain(selects.and_then(|selects| selects.get(attribute)))
                .filter(|other| *other != value)
                .collect();
            if others.len() >= limits::SELECTING_VALUES {
                return Err(Refusal::AttributeValues(*attribute));
            }
        }
        Ok(())
    }

    /// Whether it ends a status that somebody else gave. What was adopted from the same domain is left out, also where it
    /// was erased here since: that domain has decided who may. So is an erased status that no longer does anything.
    fn lifts(&self) -> bool {
        let nearest = |logged: &Logged| {
            let (.., way) = logged.hangs_on()?;
            way.first().map(|source| source.domain.clone())
        };
        let (ends, own) = (&self.entry.claims().supersedes, nearest(self.entry));
        let is_others = |other: &Logged| !replaces(self.entry, other) && (own.is_none() || nearest(other) != own);
        let mut here = self.scene.judged.iter().filter(|it| it.is_direct(&self.scene.subject)).map(|it| it.logged);
        self.entry.act() == Act::Status
            && here.any(|other| other.claims().status.is_some() && ends.contains(&other.id()) && is_others(other))
    }

    fn append(&self) -> Append {
        let source = self.entry.source().first().map(|source| source.domain.clone());
        Append {
            granted_elsewhere: self.scene.has_role_from_elsewhere(self.entry),
            lifts: self.lifts(),
            ..Append::new(self.entry.claims(), self.effect, source)
        }
    }

    fn check_access(&self) -> Result<(), Refusal> {
        let decision = self.domain.policy().decide_again(Request {
            principal: Principal { fingerprint: Some(self.entry.signer()), roles: self.roles(), node: None },
            action: Action::Append(self.append()),
            resource: Resource::identity(self.entry.subject_id(), self.entry.subject().kind(), self.known_attributes()),
        });
        if decision.allow {
            Ok(())
        } else {
            let (claims, kind) = (self.entry.claims(), self.entry.subject().kind());
            let said = Some((claims.act, claims.status.clone(), self.entry.role().clone(), kind));
            Err(Refusal::NotPermitted { said, rules: decision.reasons, errors: decision.errors })
        }
    }

    /// The attributes on which standing introductions agree, as far as rules look at them. For a group these are what
    /// it selects, and for an introduction what it says itself.
    fn known_attributes(&self) -> BTreeMap<Attribute, String> {
        let sees = |(attribute, _): &(&Attribute, &String)| self.domain.policy().sees(**attribute);
        let mut values: BTreeMap<Attribute, BTreeSet<&String>> = BTreeMap::new();
        for (attribute, value) in self.introductions().flat_map(|it| &it.claims().attributes).filter(sees) {
            values.entry(*attribute).or_default().insert(value);
        }
        let agreed = |(attribute, values): (Attribute, BTreeSet<&String>)| match values.first() {
            Some(value) if values.len() == 1 => Some((attribute, (*value).clone())),
            _ => None,
        };
        let mut known: BTreeMap<Attribute, String> = values.into_iter().filter_map(agreed).collect();
        if let Some(group) = self.entry.subject().as_group() {
            known.extend(owned(group.attributes.iter().filter(sees)));
        }
        known.extend(owned(self.entry.claims().attributes.iter().filter(sees)));
        known
    }
}
