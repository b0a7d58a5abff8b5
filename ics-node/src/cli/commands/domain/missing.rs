//! What those who are new in a version of a descriptor still lack before they can act; the owners sign the version as
//! it is.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::descriptor::{Descriptor, ISSUER_ROLE, RoleSpec};
use ics_core::identity::Fingerprint;
use ics_core::vocabulary::Role;

use crate::cli::context::Context;

/// Warns of new or changed roles that no access rule names: nobody may do anything in them.
pub(super) fn tell_idle_roles(context: &Context, previous: &Descriptor, next: &Descriptor) {
    let is_changed = |(role, spec): &(&Role, &RoleSpec)| previous.roles.get(*role) != Some(*spec);
    let is_idle = |(role, _): &(&Role, &RoleSpec)| !is_named(&next.access, role);
    for (role, _) in next.roles.iter().filter(is_changed).filter(is_idle) {
        context.output.note(&format!(
            "no access rule names the role `{role}`: its signers cannot make statements, and their certificates are \
             not accepted. To add a rule for the role, edit `access` in the file that `ics --json domain show > \
             next.json` writes, and run `ics domain update --from-file next.json`"
        ));
    }
}

/// Reminds whoever adds signers that their certificates must be submitted as well.
pub(super) fn tell_new_signers(context: &Context, previous: &Descriptor, next: &Descriptor) {
    let new = newcomers(&previous.roles, &next.roles, next.certificates.is_some());
    let who = match new.as_slice() {
        [] => return,
        [one] => format!("{one} is new among the signers"),
        more => format!("{} signers are new", more.len()),
    };
    context.output.note(&format!(
        "{who}: once this version is in force, the node accepts a signer's statements as soon as it has the signer's \
         certificate. `ics` submits the certificate with the first statement that it signs. For a signer who uses \
         another program, or ACME before the first statement, submit it with `ics key show KEY --armor > FILE` and \
         `ics import FILE`, unless the node has it already"
    ));
}

/// The new signers whose certificates somebody must submit. If the domain issues X.509 certificates, that of the key
/// with which a node issues them is submitted by this node, before the first of them.
fn newcomers(previous: &BTreeMap<Role, RoleSpec>, next: &BTreeMap<Role, RoleSpec>, issues: bool) -> Vec<Fingerprint> {
    let known: BTreeSet<&Fingerprint> = previous.values().flat_map(|spec| &spec.signers).collect();
    let is_submitted = |role: &Role| issues && role.as_str() == ISSUER_ROLE;
    let named = next.iter().filter(|(role, _)| !is_submitted(role)).flat_map(|(_, spec)| &spec.signers);
    let new: BTreeSet<Fingerprint> = named.filter(|signer| !known.contains(signer)).copied().collect();
    new.into_iter().collect()
}

/// Whether rules name a role; comments, such as examples, are not rules.
fn is_named(access: &str, role: &Role) -> bool {
    let named = format!("Role::\"{role}\"");
    access.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| line.contains(&named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_comment_names_no_role() {
        let access = "// permit (principal in Role::\"owner\", action, resource);\npermit (principal, action, resource)\n\
                      when { context.role == Role::\"watcher\" };";
        for (role, expected) in [("watcher", true), ("owner", false), ("watch", false)] {
            assert_eq!(is_named(access, &role.parse().expect("a role")), expected, "{role}");
        }
    }

    /// A domain that issues no more has no new signers for that.
    #[test]
    fn who_issues_is_new_if_somebody_must_submit_the_certificate() {
        let roles = |all: &[(&str, u8)]| -> BTreeMap<Role, RoleSpec> {
            let signers = |number: u8| BTreeSet::from([Fingerprint::V4([number; 20])]);
            let spec = |number: u8| RoleSpec { signers: signers(number), ..RoleSpec::default() };
            all.iter().map(|(role, number)| (role.parse().expect("a role"), spec(*number))).collect()
        };
        let (without, with) = (roles(&[("owner", 1)]), roles(&[("issuer", 2), ("owner", 1)]));
        assert_eq!(newcomers(&without, &with, true), [], "the node submits it");
        assert_eq!(newcomers(&without, &with, false), [Fingerprint::V4([2; 20])]);
        assert_eq!(newcomers(&with, &with, false), [], "known before");
    }
}
