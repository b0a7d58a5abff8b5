//! How the index finds the things that a filter may match.

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::name::Name;
use ics_core::record::Posting;
use ics_core::vocabulary::{Act, Attribute as Told};
use ldap3_proto::proto::LdapFilter;

use super::super::dn::folded;
use super::super::schema::{self, Attribute};
use super::may_match;

/// How to find the things that a filter may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ldap) enum Plan {
    /// Nothing can match.
    Nothing,
    /// Only things with one of these postings.
    Any(Vec<Posting>),
    /// Everything matches.
    All,
    /// Everything has to be looked at.
    Scan,
}

/// Plans how to find things; statements are found through the thing that they are about.
pub(in crate::ldap) fn plan(filter: &LdapFilter) -> Plan {
    match filter {
        LdapFilter::And(parts) => parts.iter().map(plan).reduce(narrower).unwrap_or(Plan::All),
        LdapFilter::Or(parts) => parts.iter().map(plan).reduce(wider).unwrap_or(Plan::Nothing),
        LdapFilter::Not(part) if is_undefined(part) => Plan::Nothing,
        LdapFilter::Not(_) | LdapFilter::Extensible(_) => Plan::Scan,
        // No thing needs to be looked at for what only domains or keys have.
        _ if ![&schema::ICS_IDENTITY, &schema::ICS_STATEMENT].into_iter().any(|class| may_match(filter, class)) => {
            Plan::Nothing
        }
        LdapFilter::Equality(name, value) | LdapFilter::Approx(name, value) => {
            schema::attribute(name).map_or(Plan::Nothing, |attribute| equality(attribute, value))
        }
        LdapFilter::Present(name) => match schema::attribute(name) {
            Some(attribute) if [&schema::OBJECT_CLASS, &schema::DOMAIN, &schema::IDENTITY].contains(&attribute) => {
                Plan::All
            }
            _ => Plan::Scan,
        },
        LdapFilter::Substring(..) | LdapFilter::GreaterOrEqual(..) | LdapFilter::LessOrEqual(..) => Plan::Scan,
    }
}

/// Whether a term asks for an unknown attribute: neither it nor its negation matches anything.
fn is_undefined(filter: &LdapFilter) -> bool {
    match filter {
        LdapFilter::Equality(name, _)
        | LdapFilter::Substring(name, _)
        | LdapFilter::GreaterOrEqual(name, _)
        | LdapFilter::LessOrEqual(name, _)
        | LdapFilter::Present(name)
        | LdapFilter::Approx(name, _) => schema::attribute(name).is_none(),
        LdapFilter::Not(part) => is_undefined(part),
        LdapFilter::And(_) | LdapFilter::Or(_) | LdapFilter::Extensible(_) => false,
    }
}

fn equality(attribute: &'static Attribute, value: &str) -> Plan {
    let lower = folded(value).into_owned();
    let one = |posting: Option<Posting>| posting.map_or(Plan::Nothing, |posting| Plan::Any(vec![posting]));
    let attributes = [
        (&schema::MODEL, Told::Model),
        (&schema::LOT, Told::Lot),
        (&schema::PRODUCT_ID, Told::ProductId),
        (&schema::MANUFACTURER, Told::Manufacturer),
    ];
    match attribute.name() {
        "objectClass" | "icsDomain" => Plan::All,
        "icsIdentity" => {
            let ids = IdentityId::candidates(&lower).unwrap_or_default();
            Plan::Any(ids.into_iter().map(Posting::Subject).collect())
        }
        "icsName" => one(value.parse::<Name>().ok().map(Posting::Name)),
        "icsKind" => one(lower.parse().ok().map(Posting::Kind)),
        "icsStatus" => one(lower.parse().ok().map(Posting::Status)),
        "icsLabel" => one(Some(Posting::Label(value.to_owned()))),
        "icsAct" => one(lower.parse::<Act>().ok().map(Posting::Act)),
        "icsRole" => one(lower.parse().ok().map(Posting::Role)),
        "icsSigner" => one(lower.parse::<Fingerprint>().ok().map(Posting::Signer)),
        "icsStatement" => one(lower.parse().ok().map(Posting::Statement)),
        _ => match attributes.into_iter().find(|(known, _)| *known == attribute) {
            Some((_, told)) => one(Some(Posting::Attribute(told, value.to_owned()))),
            None => Plan::Scan,
        },
    }
}

/// Ranks postings by how many things they usually find, fewest first.
const fn rank(posting: &Posting) -> u8 {
    match posting {
        Posting::Subject(_) | Posting::Statement(_) | Posting::Name(_) => 0,
        Posting::Attribute(Told::Lot, _) => 1,
        Posting::Attribute(..) | Posting::Label(_) | Posting::Status(_) => 2,
        Posting::Signer(_) => 3,
        _ => 4,
    }
}

fn narrower(one: Plan, other: Plan) -> Plan {
    match (one, other) {
        (Plan::Nothing, _) | (_, Plan::Nothing) => Plan::Nothing,
        (Plan::Any(a), Plan::Any(b)) => {
            let worst = |postings: &[Posting]| postings.iter().map(rank).max().unwrap_or(0);
            Plan::Any(if worst(&b) < worst(&a) { b } else { a })
        }
        (Plan::Any(postings), _) | (_, Plan::Any(postings)) => Plan::Any(postings),
        (Plan::All, Plan::All) => Plan::All,
        _ => Plan::Scan,
    }
}

fn wider(one: Plan, other: Plan) -> Plan {
    match (one, other) {
        (Plan::Nothing, plan) | (plan, Plan::Nothing) => plan,
        (Plan::All, _) | (_, Plan::All) => Plan::All,
        (Plan::Any(a), Plan::Any(b)) => Plan::Any(a.into_iter().chain(b).collect()),
        _ => Plan::Scan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3_proto::parse_ldap_filter_str;

    #[test]
    fn what_the_index_finds() {
        let fingerprint = "ab".repeat(20);
        let any = |text: &str| match plan(&parse_ldap_filter_str(text).expect(text)) {
            Plan::Any(postings) => postings.len(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(any(&format!("(icsIdentity={fingerprint})")), 1);
        assert_eq!(any("(icsIdentity=nothing)"), 0);
        assert_eq!(any("(&(objectClass=*)(!(icsStatus=stolen))(icsLot=7))"), 1);
        assert_eq!(any("(|(icsLot=7)(icsLot=8))"), 2);
        for (text, expected) in [
            ("(objectClass=*)", Plan::All),
            ("(objectClass=icsStatementEntry)", Plan::All),
            ("(objectClass=person)", Plan::Nothing),
            ("(uid=x)", Plan::Nothing),
            ("(!(uid=x))", Plan::Nothing),
            ("(pgpUserID=x)", Plan::Nothing),
            ("(pgpUserID=*x*)", Plan::Nothing),
            ("(gpgMailbox=*)", Plan::Nothing),
            ("(pgpKeySize>=1)", Plan::Nothing),
            ("(icsOrigin=*)", Plan::Nothing),
            ("(&(pgpUserID=x)(cn=*x*))", Plan::Nothing),
            ("(!(pgpUserID=x))", Plan::Scan),
            ("(entryDN=*)", Plan::Scan),
            ("(|(uid=x)(objectClass=*))", Plan::All),
            ("(cn=pump*)", Plan::Scan),
            ("(!(icsLot=7))", Plan::Scan),
            ("(|(icsLot=7)(cn=*x*))", Plan::Scan),
            ("(&(objectClass=*)(cn=*x*))", Plan::Scan),
        ] {
            assert_eq!(plan(&parse_ldap_filter_str(text).expect(text)), expected, "{text}");
        }
    }
}
