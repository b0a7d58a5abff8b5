//! What the shipped templates let whom do.

use ics_core::descriptor::{Descriptor, Template};
use ics_core::identity::Kind;
use ics_core::policy::{AccessPolicy, Action, Append, Principal, Request, Resource};
use ics_core::vocabulary::{Act, DomainName, Effect};

use crate::fixtures::{append, filled, grant, label, party, says, status, thing};

fn source() -> Option<DomainName> {
    Some("code.soft.example".parse().expect("domain"))
}

fn suspended(role: &str) -> Append {
    status(role, "suspended", Effect::Blocks)
}

#[test]
fn every_template_is_a_valid_descriptor_with_its_roles() {
    for template in Template::ALL {
        let descriptor = filled(template);
        assert_eq!(Descriptor::parse(&descriptor.to_json()).as_ref(), Ok(&descriptor), "{template}");
        for role in template.roles().iter().chain(&["owner", "security-controller"]) {
            assert!(descriptor.roles.contains_key(&role.parse().expect("role")), "{template}: {role}");
        }
        assert_eq!(template.as_str().parse(), Ok(template));
    }
}

/// Who may append what, claiming the role that they hold; the reason is the rule that decides.
pub(crate) fn table() -> Vec<(Template, Append, Kind, Option<&'static str>)> {
    use Kind::{Device, Gateway, Group, Node, Organisation, Service, Software};
    use Template::{Certification, Developer, Infield, Maintenance, Manufacturer};
    let released = || status("developer", "released", Effect::Permits);
    vec![
        (Manufacturer, says(Act::Identity, "manufacturer"), Device, Some("manufacturer-speaks")),
        (Manufacturer, says(Act::Identity, "manufacturer"), Gateway, Some("manufacturer-speaks")),
        (Manufacturer, says(Act::Approval, "manufacturer"), Group, Some("manufacturer-speaks")),
        (Manufacturer, says(Act::Identity, "manufacturer"), Software, None),
        (Manufacturer, says(Act::Identity, "manufacturer"), Organisation, None),
        (Manufacturer, label("manufacturer", "safe"), Device, None),
        (Manufacturer, grant("manufacturer", "owner"), Device, Some("manufacturer-grants")),
        (Manufacturer, grant("manufacturer", "manufacturer"), Device, None),
        (Manufacturer, grant("owner", "owner"), Device, Some("owner-grants")),
        (Manufacturer, grant("owner", "manufacturer"), Device, None),
        (Manufacturer, status("owner", "stolen", Effect::Blocks), Device, Some("owner-speaks")),
        (Manufacturer, says(Act::Identity, "owner"), Device, None),
        (Manufacturer, suspended("security-controller"), Device, Some("security-controller-suspends")),
        (Manufacturer, status("security-controller", "stolen", Effect::Blocks), Device, None),
        (Manufacturer, says(Act::Withdrawal, "security-controller"), Device, Some("security-controller-withdraws")),
        (Manufacturer, status("integrator", "in-use", Effect::Permits), Device, None),
        (Developer, says(Act::Identity, "developer"), Software, Some("developer-speaks")),
        (Developer, released(), Software, Some("developer-speaks")),
        (Developer, says(Act::Withdrawal, "developer"), Group, Some("developer-speaks")),
        (Developer, says(Act::Identity, "developer"), Device, None),
        (Developer, says(Act::Approval, "developer"), Software, None),
        (Certification, label("certification-body", "medical"), Device, Some("certification-body-speaks")),
        (Certification, label("certification-body", "medical"), Software, Some("certification-body-speaks")),
        (Certification, says(Act::Identity, "certification-body"), Node, Some("certification-body-speaks")),
        (Certification, status("certification-body", "released", Effect::Permits), Software, None),
        (Maintenance, says(Act::Approval, "integrator"), Software, Some("party-records")),
        (Maintenance, says(Act::Installed, "maintainer"), Device, Some("party-records")),
        (Maintenance, says(Act::Identity, "integrator"), Service, Some("party-enrols")),
        (Maintenance, says(Act::Identity, "integrator"), Software, None),
        (Maintenance, says(Act::Identity, "manufacturer"), Device, None),
        (Maintenance, grant("integrator", "integrator"), Device, Some("party-grants")),
        (Maintenance, grant("maintainer", "security-controller"), Device, Some("party-grants")),
        (Maintenance, grant("maintainer", "owner"), Device, None),
        (Maintenance, grant("owner", "maintainer"), Device, Some("owner-appoints")),
        (Maintenance, grant("owner", "owner"), Device, Some("owner-grants")),
        (Maintenance, suspended("security-controller"), Service, Some("security-controller-suspends")),
        (Infield, status("maintainer", "in-use", Effect::Permits), Device, Some("party-records")),
        (Infield, says(Act::Identity, "owner"), Device, Some("party-enrols")),
        (Infield, label("certification-body", "medical"), Device, None),
    ]
}

#[test]
fn who_may_append_what() {
    for (template, said, kind, reason) in table() {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        let decision = policy.decide(&append(said.clone(), kind));
        assert_eq!(decision.allow, reason.is_some(), "{template}: {said:?} about a {kind}: {decision:?}");
        assert_eq!(decision.reasons, reason.as_slice(), "{template}: {said:?} about a {kind}");
        assert!(decision.errors.is_empty(), "{template}: {said:?}: {decision:?}");
    }
}

/// Whoever may grant all other roles still makes no issuer of certificates: the owners of the domain name them.
#[test]
fn no_grant_makes_an_issuer() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        for granter in template.roles().iter().chain(&["owner", "security-controller", "issuer"]) {
            for (source, more) in [(None, &[][..]), (source(), &["elsewhere-makes-owners-alone"])] {
                let said = Append { source, ..grant(granter, "issuer") };
                for kind in [Kind::Device, Kind::Group] {
                    let decision = policy.decide(&append(said.clone(), kind));
                    assert!(!decision.allow, "{template}: {said:?} about a {kind}: {decision:?}");
                    let reasons = [more, &["issuer-not-granted"]].concat();
                    assert_eq!(decision.reasons, reasons, "{template}: {said:?} about a {kind}");
                }
            }
        }
    }
}

/// A source would else give itself the roles of those who approve, maintain and certify what it makes; and so would
/// whoever is an owner by its word.
#[test]
fn from_elsewhere_come_owners_and_nobody_else() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        for granted in template.roles().iter().chain(&["owner", "security-controller"]) {
            for (source, granted_elsewhere) in [(source(), false), (source(), true), (None, true)] {
                let said = Append { source, granted_elsewhere, ..grant("owner", granted) };
                let decision = policy.decide(&append(said.clone(), Kind::Device));
                assert_eq!(decision.allow, *granted == "owner", "{template}: {said:?}: {decision:?}");
                let is_why = decision.reasons == ["elsewhere-makes-owners-alone"];
                assert_eq!(is_why, *granted != "owner", "{template}: {said:?}: {decision:?}");
            }
        }
    }
}

/// Domains that want no owners by the word of other domains say so in a rule of their own.
#[test]
fn a_domain_may_refuse_owners_from_elsewhere() {
    let rule = "\n@id(\"no-owners-from-elsewhere\") forbid (principal, action == Action::\"grant\", resource)\n\
         when { context.adopted };\n";
    let mut descriptor = filled(Template::Maintenance);
    descriptor.access.push_str(rule);
    let policy = AccessPolicy::compile(&descriptor).expect("policy");
    for (source, reason) in [(source(), "no-owners-from-elsewhere"), (None, "owner-grants")] {
        let decision = policy.decide(&append(Append { source, ..grant("owner", "owner") }, Kind::Device));
        assert_eq!(decision.allow, reason == "owner-grants", "{decision:?}");
        assert_eq!(decision.reasons, [reason]);
    }
}

/// An owner by the word of another domain may make any statement about a thing, but lifts nothing that was said here.
#[test]
fn an_owner_from_elsewhere_lifts_nothing() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        for source in [None, source()] {
            for (granted_elsewhere, lifts) in [(false, false), (false, true), (true, false), (true, true)] {
                let source = source.clone();
                let said = Append { source, granted_elsewhere, lifts, ..status("owner", "in-use", Effect::Permits) };
                let decision = policy.decide(&append(said.clone(), Kind::Device));
                let is_refused = granted_elsewhere && lifts;
                assert_eq!(decision.allow, !is_refused, "{template}: {said:?}: {decision:?}");
                let is_why = decision.reasons == ["elsewhere-lifts-nothing"];
                assert_eq!(is_why, is_refused, "{template}: {said:?}: {decision:?}");
            }
        }
    }
}

#[test]
fn nobody_speaks_in_a_role_without_holding_it() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        let said = suspended("security-controller");
        for roles in [&[][..], &["owner"], &["owner", "integrator"]] {
            let action = Action::Append(said.clone());
            let decision = policy.decide(&Request { principal: party(roles), action, resource: thing(Kind::Device) });
            assert!(!decision.allow, "{template}: {roles:?}");
            assert_eq!(decision.reasons, ["role-not-held"], "{template}: {roles:?}");
        }
    }
}

#[test]
fn adopted_entries_enter_where_there_are_sources_to_adopt_from() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        let adopts = matches!(template, Template::Maintenance | Template::Infield | Template::Certification);
        let source = Some("code.soft.example".parse().expect("domain"));
        let said = Append { source: source.clone(), ..label("certification-body", "medical") };
        let decision = policy.decide(&append(said.clone(), Kind::Device));
        assert_eq!(decision.allow, adopts, "{template}: {decision:?}");
        let introduced = Append { source: source.clone(), ..says(Act::Identity, "manufacturer") };
        let decision = policy.decide(&append(introduced, Kind::Device));
        assert_eq!(decision.allow, adopts || template == Template::Manufacturer, "{template}: {decision:?}");
        let principal = Principal::default();
        let action = Action::Append(said);
        let stranger = policy.decide(&Request { principal, action, resource: thing(Kind::Device) });
        assert!(!stranger.allow, "{template}: the adopting descriptor does not entitle the signer: {stranger:?}");
        let action = Action::Certificate { source };
        let resource = thing(Kind::Organisation);
        let certificate = policy.decide(&Request { principal: Principal::default(), action, resource });
        assert_eq!(certificate.allow, adopts, "{template}: {certificate:?}");
    }
}

#[test]
fn parties_have_their_certificates_in_the_log_and_strangers_have_not() {
    for template in Template::ALL {
        let policy = AccessPolicy::compile(&filled(template)).expect("policy");
        for (roles, allow) in [(&["owner"][..], true), (&[template.roles()[0]], true), (&[], false)] {
            let action = Action::Certificate { source: None };
            let resource = thing(Kind::Organisation);
            let decision = policy.decide(&Request { principal: party(roles), action, resource });
            assert_eq!(decision.allow, allow, "{template}: {roles:?}: {decision:?}");
        }
    }
}

#[test]
fn as_shipped_a_domain_is_public() {
    for template in Template::ALL {
        let descriptor = filled(template);
        let policy = AccessPolicy::compile(&descriptor).expect("policy");
        let domain = Resource::Domain(descriptor.domain);
        for (action, resource) in
            [(Action::Read, thing(Kind::Device)), (Action::Follow, thing(Kind::Software)), (Action::Mirror, domain)]
        {
            let decision = policy.decide(&Request { principal: Principal::default(), action, resource });
            assert!(decision.allow, "{template}");
            assert_eq!(decision.reasons, ["anyone-reads"], "{template}");
        }
    }
}
