//! What those who are new in a version of a descriptor still lack before they can act; the owners sign the version as
//! it is.

use std::collections::BTreeSet;

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
    let (known, named) = (signers(previous), signers(next));
    let new: Vec<&Fingerprint> = named.difference(&known).collect();
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

/// The signers whose certificates somebody must submit. That of a key with which a node issues X.509 certificates is
/// submitted by this node, before the first of them.
fn signers(descriptor: &Descriptor) -> BTreeSet<Fingerprint> {
    let is_submitted = |role: &Role| role.as_str() == ISSUER_ROLE && descriptor.certificates.is_some();
    let roles = descriptor.roles.iter().filter(|(role, _)| !is_submitted(role));
    roles.flat_map(|(_, spec)| &spec.signers).copied().collect()
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
}
