//! What ceases to count with a descriptor version that takes a role from a signer: everything said in that role, except
//! blocks and grants.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::record::{Entitlement, Listed, Standing};
use ics_core::vocabulary::{Act, Effect, Role};
use serde::Serialize;

use super::spoken::look_through;
use crate::api::IdentitySummary;
use crate::cli::context::Context;
use crate::cli::words::counted;
use crate::client::node::Node;

/// The statements that count until then and that nobody has repeated, as far as they were looked up.
#[derive(Debug, Serialize)]
pub(super) struct Losing {
    /// The number of statements for each act.
    statements: BTreeMap<Act, usize>,
    /// Whether these are all.
    complete: bool,
}

/// Finds what ceases to count with the next version and reports it to people. Does nothing if it takes no role from
/// anybody.
pub(super) fn tell_losing(
    context: &Context,
    node: Option<&Node>,
    previous: &Descriptor,
    next: &Descriptor,
) -> Option<Losing> {
    let removed = removed(previous, next);
    if removed.is_empty() {
        return None;
    }
    let mut statements = BTreeMap::new();
    let take = |signer: Fingerprint, _: &IdentitySummary, said: &[Listed]| {
        let has_lost = |it: &&Listed| removed.get(&signer).is_some_and(|roles| roles.contains(&it.by.role));
        let of_signer = said.iter().filter(|it| it.by.signer == signer).filter(has_lost);
        for it in of_signer.filter(|it| hangs_on_role(it) && !is_said_again(next, said, it)) {
            *statements.entry(it.act).or_insert(0) += 1;
        }
    };
    let signers = removed.keys().copied();
    let complete = look_through(context, node, &next.domain, signers, |_| true, take);
    let losing = Losing { statements, complete };
    for text in losing.texts() {
        context.output.note(&text);
    }
    Some(losing)
}

/// Returns the roles that each signer loses.
fn removed<'p>(previous: &'p Descriptor, next: &Descriptor) -> BTreeMap<Fingerprint, BTreeSet<&'p Role>> {
    let mut removed: BTreeMap<Fingerprint, BTreeSet<&Role>> = BTreeMap::new();
    for (role, spec) in &previous.roles {
        for signer in spec.signers.iter().filter(|signer| !has_role(next, signer, role)) {
            removed.entry(*signer).or_default().insert(role);
        }
    }
    removed
}

fn has_role(rules: &Descriptor, signer: &Fingerprint, role: &Role) -> bool {
    rules.roles.get(role).is_some_and(|spec| spec.signers.contains(signer))
}

impl Losing {
    /// For people.
    fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        if !self.statements.is_empty() {
            let mut nouns: BTreeMap<&str, usize> = BTreeMap::new();
            for (act, count) in &self.statements {
                *nouns.entry(noun(*act)).or_insert(0) += count;
            }
            let all: Vec<String> = nouns.iter().map(|(noun, count)| counted(*count, noun)).collect();
            texts.push(format!(
                "{} will no longer count, because this version takes a role from the signer who said so, and nobody \
                 else has said the same. For it to go on counting, a new signer must say it again first: `ics domain \
                 update --add-signer` and `ics domain submit` without this removal, then `ics approve --all`, `ics \
                 label LABEL --all` and `ics publish` by the new signer, and the removal last",
                all.join(", ")
            ));
        }
        if !self.complete {
            let text = "not everything that will no longer count for want of a role is known here: the node could not \
                        be asked, or there is too much. At the home, ics list --signer FINGERPRINT shows what a \
                        signer has spoken about";
            texts.push(text.to_owned());
        }
        texts
    }
}

const fn noun(act: Act) -> &'static str {
    match act {
        Act::Identity => "introduction",
        Act::Approval => "approval",
        Act::Label => "label",
        _ => "other statement",
    }
}

/// Whether a statement counts because the descriptor gives its signer a role. Statements about a group are listed with
/// the group.
fn hangs_on_role(said: &Listed) -> bool {
    let stays = matches!(said.act, Act::Grant | Act::Withdrawal) || said.effect.is_some_and(Effect::blocks);
    let by_descriptor = matches!(said.entitled_by, Some(Entitlement::Descriptor(_)));
    said.standing == Standing::Stands && said.by.group.is_none() && by_descriptor && !stays && !said.erased
}

/// Whether somebody who keeps the role has said the same about the thing.
fn is_said_again(next: &Descriptor, said: &[Listed], it: &Listed) -> bool {
    let what = |of: &Listed| (of.act, of.by.role.clone(), of.label.clone(), of.status.clone());
    said.iter().any(|other| {
        let keeps = other.by.signer != it.by.signer && has_role(next, &other.by.signer, &other.by.role);
        keeps && other.standing == Standing::Stands && what(other) == what(it)
    })
}
