//! Filters: whether an entry matches (RFC 4511, 4.5.1.7), and how the index finds the things that may.

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::name::Name;
use ics_core::record::Posting;
use ics_core::vocabulary::{Act, Attribute as Told};
use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSubstringFilter};

use super::dn::{Dn, folded};
use super::entry::Entry;
use super::schema::{self, Attribute, Class, Syntax};

/// Whether an entry matches; `None` if that is Undefined, which is not a match either.
pub(super) fn matches(filter: &LdapFilter, entry: &Entry) -> Option<bool> {
    match filter {
        LdapFilter::And(parts) => all(parts.iter().map(|part| matches(part, entry)), false),
        LdapFilter::Or(parts) => all(parts.iter().map(|part| matches(part, entry)), true),
        LdapFilter::Not(part) => matches(part, entry).map(|matched| !matched),
        LdapFilter::Present(name) => {
            let attribute = schema::attribute(name)?;
            Some(!entry.values(attribute).is_empty())
        }
        LdapFilter::Equality(name, value) | LdapFilter::Approx(name, value) => {
            any(entry, name, |syntax, held| equal(syntax, held, value))
        }
        LdapFilter::Substring(name, parts) => any(entry, name, |syntax, held| contains(syntax, held, parts)),
        LdapFilter::GreaterOrEqual(name, value) => {
            any(entry, name, |syntax, held| compare(syntax, held, value).map(core::cmp::Ordering::is_ge))
        }
        LdapFilter::LessOrEqual(name, value) => {
            any(entry, name, |syntax, held| compare(syntax, held, value).map(core::cmp::Ordering::is_le))
        }
        LdapFilter::Extensible(assertion) => extensible(assertion, entry),
    }
}

/// Whether a filter asks, or may ask, for one of these attributes.
pub(super) fn mentions(filter: &LdapFilter, attributes: &[&Attribute]) -> bool {
    match filter {
        LdapFilter::And(parts) | LdapFilter::Or(parts) => parts.iter().any(|part| mentions(part, attributes)),
        LdapFilter::Not(part) => mentions(part, attributes),
        LdapFilter::Equality(name, _)
        | LdapFilter::Present(name)
        | LdapFilter::Approx(name, _)
        | LdapFilter::Substring(name, _)
        | LdapFilter::GreaterOrEqual(name, _)
        | LdapFilter::LessOrEqual(name, _) => {
            schema::attribute(name).is_some_and(|attribute| attributes.contains(&attribute))
        }
        LdapFilter::Extensible(_) => true,
    }
}

/// Whether only entries with one of some given ids can match.
pub(super) fn is_by_id(filter: &LdapFilter) -> bool {
    match filter {
        LdapFilter::And(parts) => parts.iter().any(is_by_id),
        LdapFilter::Or(parts) => !parts.is_empty() && parts.iter().all(is_by_id),
        LdapFilter::Equality(name, _) => schema::attribute(name) == Some(&schema::IDENTITY),
        _ => false,
    }
}

/// Whether an entry of this class may match: no term is true of an attribute that such entries cannot have.
pub(super) fn may_match(filter: &LdapFilter, class: &Class) -> bool {
    match filter {
        LdapFilter::And(parts) => parts.iter().all(|part| may_match(part, class)),
        LdapFilter::Or(parts) => parts.iter().any(|part| may_match(part, class)),
        LdapFilter::Not(_) | LdapFilter::Extensible(_) => true,
        LdapFilter::Equality(name, value) | LdapFilter::Approx(name, value)
            if schema::attribute(name) == Some(&schema::OBJECT_CLASS) =>
        {
            schema::class(value).is_some_and(|asked| asked.name == class.name || asked.name == schema::TOP.name)
        }
        LdapFilter::Present(name)
        | LdapFilter::Equality(name, _)
        | LdapFilter::Approx(name, _)
        | LdapFilter::Substring(name, _)
        | LdapFilter::GreaterOrEqual(name, _)
        | LdapFilter::LessOrEqual(name, _) => schema::attribute(name).is_some_and(|attribute| class.has(attribute)),
    }
}

/// Three-valued `and` (`decisive` false) or `or` (`decisive` true): the decisive value wins, then Undefined.
fn all(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part {
            Some(part) if part == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn any(entry: &Entry, name: &str, matched: impl Fn(Syntax, &[u8]) -> Option<bool>) -> Option<bool> {
    let attribute = schema::attribute(name)?;
    let values = entry.values(attribute);
    if values.is_empty() {
        // Without a value the result is false if the assertion could match at all, else Undefined, which `not` keeps.
        return matched(attribute.syntax, b"").map(|_| false);
    }
    all(values.iter().map(|held| matched(attribute.syntax, held)), true)
}

/// Equality by the attribute's own rule, also used for `approx`; `None` if there is no rule or `value` does not fit it.
pub(super) fn equal(syntax: Syntax, held: &[u8], value: &str) -> Option<bool> {
    match syntax {
        Syntax::Binary => None,
        Syntax::Bytes | Syntax::Exact => Some(held == value.as_bytes()),
        Syntax::Number | Syntax::Time | Syntax::Uuid => compare(syntax, held, value).map(core::cmp::Ordering::is_eq),
        Syntax::Name => Some(text(held).is_some_and(|held| Dn::parse(held).ok() == Dn::parse(value).ok())),
        Syntax::Oid => {
            let class = schema::class(value).map_or(value, |class| class.name);
            Some(text(held).is_some_and(|held| held.eq_ignore_ascii_case(class)))
        }
        Syntax::Boolean => matches!(value, "TRUE" | "FALSE").then(|| held == value.as_bytes()),
        Syntax::Text | Syntax::Pgp | Syntax::PgpOrdered => {
            Some(text(held).is_some_and(|held| folded(held) == folded(value)))
        }
    }
}

fn text(held: &[u8]) -> Option<&str> {
    core::str::from_utf8(held).ok()
}

/// Orders a held value against an asserted one.
fn compare(syntax: Syntax, held: &[u8], value: &str) -> Option<core::cmp::Ordering> {
    if !syntax.is_ordered() {
        return None;
    }
    let held = text(held)?;
    match syntax {
        Syntax::Number => {
            let value = value.trim().parse::<i128>().ok()?;
            Some(held.parse::<i128>().map_or(core::cmp::Ordering::Less, |held| held.cmp(&value)))
        }
        Syntax::Time => Some(time_digits(held).unwrap_or_default().cmp(&time_digits(value)?)),
        _ => Some(folded(held).cmp(&folded(value))),
    }
}

/// A GeneralizedTime in UTC, cut to milliseconds, as digits that sort.
fn time_digits(text: &str) -> Option<String> {
    let text = text.trim().strip_suffix('Z').or_else(|| text.trim().strip_suffix("+0000"))?;
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let formed = matches!(whole.len(), 10 | 12 | 14) && digits(whole) && digits(fraction);
    formed.then(|| format!("{whole:0<14}{:0<3}", fraction.get(..3.min(fraction.len())).unwrap_or_default()))
}

fn contains(syntax: Syntax, held: &[u8], parts: &LdapSubstringFilter) -> Option<bool> {
    if !syntax.has_substrings() {
        return None;
    }
    let exact = syntax == Syntax::Exact;
    let held = if exact { text(held)?.to_owned() } else { folded(text(held)?).into_owned() };
    let fold = |part: &String| if exact { part.clone() } else { part.to_lowercase() };
    let mut rest = held.as_str();
    if let Some(initial) = &parts.initial {
        let Some(behind) = rest.strip_prefix(&fold(initial)) else { return Some(false) };
        rest = behind;
    }
    if let Some(end) = &parts.final_ {
        let Some(before) = rest.strip_suffix(&fold(end)) else { return Some(false) };
        rest = before;
    }
    for part in &parts.any {
        let part = fold(part);
        let Some(at) = rest.find(&part) else { return Some(false) };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    Some(true)
}

/// An extensible match: a rule applied to one attribute, or to every attribute whose syntax has that rule.
fn extensible(assertion: &LdapMatchingRuleAssertion, entry: &Entry) -> Option<bool> {
    let value = &assertion.match_value;
    let fits = |syntax: Syntax| match assertion.matching_rule.as_deref() {
        None => true,
        Some("caseIgnoreMatch" | "2.5.13.2") => syntax.has_substrings() && syntax != Syntax::Exact,
        Some("caseExactMatch" | "2.5.13.5") => syntax == Syntax::Exact,
        Some("octetStringMatch" | "2.5.13.17") => syntax == Syntax::Bytes,
        Some("integerMatch" | "2.5.13.14") => syntax == Syntax::Number,
        Some("generalizedTimeMatch" | "2.5.13.27") => syntax == Syntax::Time,
        Some("objectIdentifierMatch" | "2.5.13.0") => syntax == Syntax::Oid,
        Some("distinguishedNameMatch" | "2.5.13.1") => syntax == Syntax::Name,
        Some(_) => false,
    };
    let matched = |attribute: &Attribute| {
        fits(attribute.syntax)
            .then(|| entry.values(attribute))
            .into_iter()
            .flatten()
            .any(|held| equal(attribute.syntax, held, value) == Some(true))
    };
    let in_name = || {
        assertion.dn_attributes
            && Dn::parse(&entry.dn).is_ok_and(|dn| {
                dn.0.iter().any(|rdn| {
                    let named = assertion.type_.as_deref().is_none_or(|name| {
                        schema::attribute(name).map_or(name, |known| known.name()).eq_ignore_ascii_case(&rdn.attribute)
                    });
                    named && folded(&rdn.value) == folded(value)
                })
            })
    };
    match assertion.type_.as_deref() {
        Some(name) => {
            let attribute = schema::attribute(name)?;
            fits(attribute.syntax).then(|| matched(attribute) || in_name())
        }
        None => assertion
            .matching_rule
            .is_some()
            .then(|| entry.attributes.iter().any(|(attribute, _)| matched(attribute)) || in_name()),
    }
}

/// How to find the things that a filter may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
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
pub(super) fn plan(filter: &LdapFilter) -> Plan {
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

    fn entry() -> Entry {
        let mut entry = Entry::new("icsIdentity=ab,icsDomain=d.example,o=ics".to_owned(), &schema::ICS_IDENTITY);
        entry.put(&schema::COMMON_NAME, ["Pump  Seven"]);
        entry.put(&schema::KIND, ["device"]);
        entry.put(&schema::INDEX, ["42"]);
        entry.put(&schema::STATUS_SINCE, ["20261125230541Z"]);
        entry.put(&schema::LABEL, ["ce", "medical"]);
        entry
    }

    #[test]
    fn three_values() {
        for (filter, expected) in [
            ("(cn=PUMP*)", Some(true)),
            ("(cn=*ump*sev*n)", Some(true)),
            ("(cn=*seven*pump*)", Some(false)),
            ("(icsKind=*)", Some(true)),
            ("(icsStatus=*)", Some(false)),
            ("(icsStatus=stolen)", Some(false)),
            ("(!(icsStatus=stolen))", Some(true)),
            ("(nothing=1)", None),
            ("(!(nothing=1))", None),
            ("(|(nothing=1)(icsKind=device))", Some(true)),
            ("(&(nothing=1)(icsKind=device))", None),
            ("(&(nothing=1)(icsKind=group))", Some(false)),
            ("(icsIndex>=42)", Some(true)),
            ("(icsIndex<=41)", Some(false)),
            ("(icsIndex=042)", Some(true)),
            ("(icsIndex=many)", None),
            ("(!(icsIndex=many))", None),
            ("(icsStatusSince>=20261125230541.000Z)", Some(true)),
            ("(icsStatusSince<=20261125230540Z)", Some(false)),
            ("(icsKind>=a)", None),
            ("(icsLabel=medical)", Some(true)),
            ("(icsLabel=MEDICAL)", Some(false)),
            ("(icsLabel=*EDI*)", Some(false)),
            ("(icsLabel:caseExactMatch:=ce)", Some(true)),
            ("(:caseIgnoreMatch:=device)", Some(true)),
            ("(icsDomain:dn:=d.example)", Some(true)),
            ("(icsLabel:1.2.3:=ce)", None),
            ("(objectClass=ICSIDENTITYENTRY)", Some(true)),
        ] {
            let parsed = parse_ldap_filter_str(filter).expect(filter);
            assert_eq!(matches(&parsed, &entry()), expected, "{filter}");
        }
        let spaced = LdapFilter::Equality("cn".to_owned(), " pump   SEVEN ".to_owned());
        assert_eq!(matches(&spaced, &entry()), Some(true));
        assert_eq!(matches(&LdapFilter::And(Vec::new()), &entry()), Some(true));
        assert_eq!(matches(&LdapFilter::Or(Vec::new()), &entry()), Some(false));
    }

    /// Statements are not even looked at if the filter asks for what they cannot have.
    #[test]
    fn what_statements_may_be_asked_for() {
        for (text, expected) in [
            ("(objectClass=*)", true),
            ("(objectClass=top)", true),
            ("(objectClass=icsStatementEntry)", true),
            ("(objectClass=icsIdentityEntry)", false),
            ("(objectClass=person)", false),
            ("(icsReason=lost)", true),
            ("(icsLot=7)", false),
            ("(icsKind=*)", false),
            ("(cn=pump*)", false),
            ("(entryDN=*)", true),
            ("(nothing=1)", false),
            ("(!(icsLot=7))", true),
            ("(&(icsKind=device)(icsReason=lost))", false),
            ("(|(icsKind=device)(icsReason=lost))", true),
            ("(icsDomain:dn:=d.example)", true),
        ] {
            let parsed = parse_ldap_filter_str(text).expect(text);
            assert_eq!(may_match(&parsed, &schema::ICS_STATEMENT), expected, "{text}");
        }
    }

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
