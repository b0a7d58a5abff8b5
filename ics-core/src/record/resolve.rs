//! Builds a record from judged statements.

use std::collections::{BTreeMap, BTreeSet};

use super::Logged;
use super::formerly::formerly_blocked;
use super::readings::agreed;
use super::report::{
    By, DeveloperKey, Digest, Given, GivenGrant, GivenLabel, GivenStatus, Granted, Identity, IssuedCertificate, Listed,
    Record, Standing, Status, VoidSince,
};
use super::standing::{Grants, Judged, Scene};
use crate::domain::Domain;
use crate::identity::{IdentityId, unnamed};
use crate::limits;
use crate::name::Name;
use crate::statement::{DeveloperSignature, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, Effect};

/// What a domain says about a thing at a point in time: a pure function of policy, statements and time.
///
/// `about` takes all statements about the subject, `groups` all those about the groups that
/// [`candidate_groups`](super::candidate_groups) names; others are ignored, as are duplicates, and the order makes no
/// difference. To learn what the record said when the log was shorter, pass the shorter log. `None` if nothing was ever
/// said about the subject in this domain.
#[must_use]
pub fn resolve(
    domain: &Domain,
    subject: &IdentityId,
    about: &[Logged],
    groups: &[Logged],
    at: Timestamp,
) -> Option<Record> {
    let group = about.iter().find(|it| it.subject_id() == *subject).and_then(|it| it.subject().as_group());
    let scene = Scene::judge(domain, *subject, group, about, groups, at);
    let introduction = introduction(&scene)?;
    let (statements, omitted) = list(&scene);
    let attributes = attributes(&scene);
    Some(Record {
        domain: domain.name().clone(),
        identity: Identity { id: *subject, kind: introduction.subject().kind() },
        title: title(&scene, introduction),
        also_called: also_called(&scene, introduction),
        at,
        changes_at: changes_at(&scene, at),
        status: status(&scene),
        vouched: standing(&scene, Act::Identity).map(|it| by(&scene, it.logged)).collect(),
        names: names(&scene),
        also_said: also_said(&scene, introduction.subject(), &attributes),
        attributes,
        forgotten: scene.judged.iter().any(|it| is_forgotten(&scene, it)),
        cut_short: false,
        approvals: standing(&scene, Act::Approval).map(|it| by(&scene, it.logged)).collect(),
        formerly_approved: scene.formerly_approved().map(|it| by(&scene, it.logged)).collect(),
        labels: labels(&scene),
        groups: groups_named(&scene),
        grants: grants(&scene),
        installed: installed(&scene),
        certificates: certificates(&scene),
        signatures: signatures(&scene),
        replaces: replaces(&scene),
        formerly_blocked: formerly_blocked(&scene, about, groups, at),
        statements,
        omitted,
    })
}

fn changes_at(scene: &Scene<'_>, at: Timestamp) -> Option<Timestamp> {
    // What an erased statement had ended may come back when its time is over. If the owners lift what is left, that
    // comes back at once if the erasure names a signer, and otherwise only then.
    let is_over_for_good = |it: &&Judged<'_>| match it.standing {
        Standing::Refused | Standing::Compromised => true,
        Standing::Lifted => it.logged.hangs_on().is_some(),
        _ => false,
    };
    let may_change = scene.judged.iter().filter(|it| !is_over_for_good(it));
    let claims = may_change.map(|it| it.logged.claims());
    claims.flat_map(|claims| [claims.from, claims.until]).flatten().filter(|bound| *bound > at).min()
}

/// Other titles, from introductions that stand beside the first.
fn also_called(scene: &Scene<'_>, introduction: &Logged) -> Vec<Given<String>> {
    let mut seen = BTreeSet::from([title(scene, introduction)]);
    let others = standing(scene, Act::Identity).filter(|it| it.is_direct(&scene.subject));
    let called = others.map(|it| given(scene, it.logged, it.logged.subject().title()));
    called.filter(|given| seen.insert(given.value.clone())).collect()
}

/// The first statement that introduces the thing and stands; else the first with an effect; else the first. A later one
/// takes its place only by replacing it: introducing a thing again under another name cannot rename what others have
/// approved.
fn introduction<'a>(scene: &Scene<'a>) -> Option<&'a Logged> {
    let direct = || scene.judged.iter().filter(|it| it.is_direct(&scene.subject));
    direct()
        .find(|it| it.stands() && it.logged.act() == Act::Identity)
        .or_else(|| direct().find(|it| it.stands()))
        .or_else(|| direct().next())
        .map(|it| it.logged)
}

/// The title: from the introduction; if none stands, from another statement that stands, or else from one that did.
/// Statements that can never be erased give no title, whatever they contain, or a name would outlive its erasure.
fn title(scene: &Scene<'_>, introduction: &Logged) -> String {
    let rank = |it: &&Judged<'_>| {
        let never_counted = matches!(it.standing, Standing::Refused | Standing::Compromised);
        (!it.stands(), never_counted, it.logged.act() != Act::Identity)
    };
    let direct = scene.judged.iter().filter(|it| it.is_direct(&scene.subject));
    match (direct.filter(|it| !it.logged.act().stays()).min_by_key(rank), introduction.subject()) {
        (Some(named), _) => named.logged.subject().title(),
        (None, Subject::Key { fingerprint, kind, .. }) => unnamed(*kind, fingerprint),
        (None, subject) => subject.title(),
    }
}

fn by(scene: &Scene<'_>, logged: &Logged) -> By {
    let group = match logged.subject_id() {
        IdentityId::Group(id) if logged.subject_id() != scene.subject => Some(Digest(id)),
        _ => None,
    };
    By {
        signer: logged.signer(),
        name: scene.domain.name_of(&logged.signer()),
        role: logged.role().clone(),
        statement: logged.id(),
        index: logged.index(),
        group,
    }
}

/// The standing statements of an act, by index.
fn standing<'s, 'a>(scene: &'s Scene<'a>, act: Act) -> impl Iterator<Item = &'s Judged<'a>> {
    scene.judged.iter().filter(move |it| it.stands() && it.logged.act() == act)
}

fn given<T>(scene: &Scene<'_>, logged: &Logged, value: T) -> Given<T> {
    Given { value, by: by(scene, logged) }
}

/// The statuses, most restrictive first, then by index.
fn status(scene: &Scene<'_>) -> Option<Status> {
    let mut statuses: Vec<GivenStatus> =
        standing(scene, Act::Status).filter_map(|it| given_status(scene, it)).collect();
    statuses.sort_by_key(|status| (core::cmp::Reverse(status.effect), status.by.index));
    let mut rest = statuses.into_iter();
    let decides = rest.next()?;
    let conflict = rest.filter(|other| other.name != decides.name).collect();
    Some(Status { decides, conflict })
}

fn given_status(scene: &Scene<'_>, it: &Judged<'_>) -> Option<GivenStatus> {
    let claims = it.logged.claims();
    Some(GivenStatus {
        effect: it.effect.unwrap_or(Effect::None),
        name: claims.status.clone()?,
        since: it.logged.begins_at(),
        reason: claims.reason.clone(),
        by: by(scene, it.logged),
    })
}

/// The names that the signer's role may still give now: a descriptor may have removed a pattern.
fn names(scene: &Scene<'_>) -> Vec<Given<Name>> {
    let descriptor = scene.domain.descriptor();
    let mut names = Vec::new();
    for it in standing(scene, Act::Identity) {
        let denied: Vec<&Name> =
            it.logged.chosen_names().filter(|name| !descriptor.may_name(it.logged.role(), name)).collect();
        let counting = it.logged.names().iter().filter(|name| !denied.contains(name));
        names.extend(counting.map(|name| given(scene, it.logged, name.clone())));
    }
    names
}

fn attributes(scene: &Scene<'_>) -> BTreeMap<Attribute, Vec<Given<String>>> {
    let mut attributes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for it in standing(scene, Act::Identity) {
        for (attribute, value) in &it.logged.claims().attributes {
            attributes.entry(*attribute).or_default().push(given(scene, it.logged, value.clone()));
        }
    }
    attributes
}

/// Values of single statements. What was refused was never said here, and what was replaced was replaced deliberately:
/// its signer has said what holds instead.
fn also_said(
    scene: &Scene<'_>,
    subject: &Subject,
    attributes: &BTreeMap<Attribute, Vec<Given<String>>>,
) -> BTreeMap<Attribute, BTreeSet<String>> {
    let agreed: BTreeMap<Attribute, &String> = agreed(attributes).collect();
    let agrees = |attribute: &Attribute, value: &String| agreed.get(attribute).is_some_and(|agreed| *agreed == value);
    let counts = |it: &&Judged<'_>| {
        let has_place = !matches!(it.standing, Standing::Refused | Standing::Replaced);
        it.is_direct(&scene.subject) && has_place && !scene.was_replaced(it.logged)
    };
    let said = scene.judged.iter().filter(counts).flat_map(|it| &it.logged.claims().attributes);
    let selected = subject.as_group().into_iter().flat_map(|group| &group.attributes);
    let mut also: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (attribute, value) in said.chain(selected).filter(|(attribute, value)| !agrees(attribute, value)) {
        also.entry(*attribute).or_default().insert(value.clone());
    }
    also
}

/// Whether it is the remnant of a statement that may have said more about the thing than its erasure restates.
fn is_forgotten(scene: &Scene<'_>, it: &Judged<'_>) -> bool {
    let introduced = it.is_direct(&scene.subject) && it.logged.is_erased() && it.logged.act() == Act::Identity;
    introduced && it.standing != Standing::Refused && !scene.was_replaced(it.logged)
}

fn labels(scene: &Scene<'_>) -> Vec<GivenLabel> {
    let given_label = |it: &Judged<'_>| {
        let claims = it.logged.claims();
        Some(GivenLabel { value: claims.label.clone()?, until: claims.until, by: by(scene, it.logged) })
    };
    standing(scene, Act::Label).filter_map(given_label).collect()
}

fn groups_named(scene: &Scene<'_>) -> Vec<Given<Digest>> {
    scene
        .judged
        .iter()
        .filter(|it| it.stands() && it.is_direct(&scene.subject))
        .flat_map(|it| it.logged.claims().groups.iter().map(|id| given(scene, it.logged, Digest(*id))))
        .filter(|given| scene.membership.sure.named.contains(&given.value.0))
        .collect()
}

fn grants(scene: &Scene<'_>) -> Vec<GivenGrant> {
    let given_grant = |it: &Judged<'_>| {
        let grant = it.logged.grant()?;
        Some(GivenGrant {
            grantee: grant.grantee,
            name: scene.domain.name_of(&grant.grantee),
            role: grant.role.clone(),
            until: it.logged.claims().until,
            by: by(scene, it.logged),
        })
    };
    standing(scene, Act::Grant).filter_map(given_grant).collect()
}

fn granted(scene: &Scene<'_>, logged: &Logged) -> Option<Granted> {
    let grant = logged.grant()?;
    let name = scene.domain.name_of(&grant.grantee);
    Some(Granted { grantee: grant.grantee, name, role: grant.role.clone() })
}

fn installed(scene: &Scene<'_>) -> Vec<Given<Digest>> {
    standing(scene, Act::Installed)
        .filter_map(|it| Some(given(scene, it.logged, Digest(it.logged.claims().installed?))))
        .collect()
}

/// The certificates whose names the issuer's role may still give now.
fn certificates(scene: &Scene<'_>) -> Vec<Given<IssuedCertificate>> {
    let descriptor = scene.domain.descriptor();
    let counts = |it: &&Judged<'_>| it.logged.chosen_names().all(|name| descriptor.may_name(it.logged.role(), name));
    standing(scene, Act::Issued)
        .filter(counts)
        .filter_map(|it| Some(given(scene, it.logged, IssuedCertificate::of(it.logged.claims())?)))
        .collect()
}

fn signatures(scene: &Scene<'_>) -> Vec<Given<DeveloperKey>> {
    let of = |it: &Judged<'_>| {
        let key = |signature: &DeveloperSignature| DeveloperKey { form: signature.form, key: signature.key.clone() };
        let keys: Vec<_> = it.logged.claims().signatures.iter().map(key).collect();
        keys.into_iter().map(|key| given(scene, it.logged, key)).collect::<Vec<_>>()
    };
    standing(scene, Act::Identity).flat_map(of).collect()
}

fn replaces(scene: &Scene<'_>) -> Vec<Given<String>> {
    standing(scene, Act::Identity)
        .filter_map(|it| Some(given(scene, it.logged, it.logged.claims().replaces?.to_string())))
        .collect()
}

/// All statements by index; beyond the bound, those that do not stand are left out, oldest first. What comes into force
/// later is kept, so that nobody can bury it under what is over; and so is what is said about the subject itself, as
/// far as that alone is within the bound: what is said about its groups must not bury that a certificate of it is
/// revoked.
fn list(scene: &Scene<'_>) -> (Vec<Listed>, u64) {
    let own = scene.judged.iter().filter(|it| it.is_direct(&scene.subject)).count();
    let beyond = |number: usize| number.saturating_sub(limits::RECORD_STATEMENTS);
    let (mut surplus, mut own_surplus) = (beyond(scene.judged.len()), beyond(own));
    let mut statements = Vec::with_capacity(scene.judged.len() - surplus);
    let mut omitted = 0;
    let (grants, forestalled) = (scene.grants(), scene.forestalled());
    for it in &scene.judged {
        let is_own = it.is_direct(&scene.subject);
        let is_surplus = surplus > 0 && (own_surplus > 0 || !is_own);
        if is_surplus && !(it.stands() || it.standing == Standing::NotYet) {
            surplus -= 1;
            own_surplus -= usize::from(is_own);
            omitted += 1;
        } else {
            let line = listed(scene, it, &grants);
            let is_forestalled = forestalled.contains(&it.logged.index());
            statements.push(if is_forestalled { line.forestalled() } else { line });
        }
    }
    (statements, omitted)
}

pub(super) fn listed<'a>(scene: &Scene<'a>, it: &Judged<'a>, grants: &Grants<'_, 'a>) -> Listed {
    let claims = it.logged.claims();
    Listed {
        by: by(scene, it.logged),
        act: claims.act,
        entitled_by: scene.entitled_by(it.logged, grants),
        admitted_at: it.logged.admitted_at(),
        signed_at: it.logged.signed_at(),
        source: it.logged.source().to_vec(),
        standing: it.standing,
        forestalled: false,
        because: because(scene, it),
        ended_by: it.by,
        void_since: void_since(scene, it),
        status: claims.status.clone(),
        effect: it.effect,
        label: claims.label.clone(),
        grant: granted(scene, it.logged),
        reason: claims.reason.clone(),
        erased: it.logged.is_erased(),
        said_by: it.logged.said_by().cloned(),
        supersedes: claims.supersedes.clone(),
        certificate: IssuedCertificate::of(claims),
        from: claims.from,
        until: claims.until,
    }
}

fn void_since(scene: &Scene<'_>, it: &Judged<'_>) -> Option<VoidSince> {
    let is_void = matches!(it.standing, Standing::Lifted | Standing::Compromised);
    is_void.then(|| scene.domain.void_since(it.logged)).flatten()
}

fn because(scene: &Scene<'_>, it: &Judged<'_>) -> String {
    let claims = it.logged.claims();
    match it.standing {
        Standing::NotYet => claims.from.map(|from| format!("it holds only from {from} on")),
        Standing::Lapsed => claims.until.map(|until| format!("it held until {until}")),
        Standing::Compromised if it.logged.is_erased() => {
            Some("the domain's owners erased it; who had said it was compromised by then".to_owned())
        }
        Standing::Stands if it.logged.is_erased() => {
            Some("the domain's owners erased it; that it blocks stays until it is lifted".to_owned())
        }
        Standing::Stands if it.effect.is_some_and(Effect::blocks) && !scene.has_role(it.logged) => {
            Some("it stands until lifted, though its signer no longer has the role".to_owned())
        }
        // A sale outlives the seller's role, and so does what was granted by somebody who held their own role for a
        // time.
        Standing::Stands if claims.act == Act::Grant && !scene.has_role(it.logged) => {
            Some("it stands until taken back, though its giver no longer has the role in which they gave it".to_owned())
        }
        _ => None,
    }
    .unwrap_or_else(|| it.standing.reason().to_owned())
}

#[cfg(test)]
mod tests;
