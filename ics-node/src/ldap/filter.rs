//! Filters: whether an entry matches (RFC 4511, 4.5.1.7), and how the index finds the things that may.
//!
//! What a filter asserts may be as long as a message, and is compared with the values of thousands of entries: no
//! comparison may take longer than what an entry holds is long.

mod planning;

use std::borrow::Cow;

use ics_core::limits;
use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSubstringFilter};

pub(super) use self::planning::{Plan, plan};
use super::dn::{Dn, folded, letters, lower, same};
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

/// A filter with the same meaning, whose values are folded once if case and spaces do not count in them. Otherwise the
/// spaces in a long value would be passed over anew for each value that it is compared with.
pub(super) fn prepared(filter: LdapFilter) -> LdapFilter {
    let all = |parts: Vec<LdapFilter>| parts.into_iter().map(prepared).collect();
    let ignores_case = |name: &str| schema::attribute(name).is_some_and(|attribute| attribute.syntax.ignores_case());
    let fold = |is_folded: bool, value: String| if is_folded { folded(&value).into_owned() } else { value };
    let term = |made: fn(String, String) -> LdapFilter, name: String, value: String| {
        let value = fold(ignores_case(&name), value);
        made(name, value)
    };
    match filter {
        LdapFilter::And(parts) => LdapFilter::And(all(parts)),
        LdapFilter::Or(parts) => LdapFilter::Or(all(parts)),
        LdapFilter::Not(part) => LdapFilter::Not(Box::new(prepared(*part))),
        LdapFilter::Equality(name, value) => term(LdapFilter::Equality, name, value),
        LdapFilter::Approx(name, value) => term(LdapFilter::Approx, name, value),
        LdapFilter::GreaterOrEqual(name, value) => term(LdapFilter::GreaterOrEqual, name, value),
        LdapFilter::LessOrEqual(name, value) => term(LdapFilter::LessOrEqual, name, value),
        LdapFilter::Extensible(assertion) => {
            let is_folded = match assertion.matching_rule.as_deref() {
                Some(rule) => CASE_IGNORE.contains(&rule),
                None => assertion.type_.as_deref().is_some_and(ignores_case),
            };
            let match_value = fold(is_folded, assertion.match_value);
            LdapFilter::Extensible(LdapMatchingRuleAssertion { match_value, ..assertion })
        }
        LdapFilter::Substring(name, parts) if ignores_case(&name) => {
            let part = |begins: bool, ends: bool| move |part: String| spaced(&part, begins, ends);
            let initial = parts.initial.map(part(true, false));
            let any = parts.any.into_iter().map(part(false, false)).collect();
            let final_ = parts.final_.map(part(false, true));
            LdapFilter::Substring(name, LdapSubstringFilter { initial, any, final_ })
        }
        other @ (LdapFilter::Present(_) | LdapFilter::Substring(..)) => other,
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
        Syntax::Bytes => Some(value.chars().map(u32::from).eq(held.iter().copied().map(u32::from))),
        Syntax::Exact => Some(held == value.as_bytes()),
        Syntax::Number | Syntax::Time | Syntax::Uuid => compare(syntax, held, value).map(core::cmp::Ordering::is_eq),
        Syntax::Name => {
            let value = Dn::parse(value).ok()?;
            Some(text(held).is_some_and(|held| Dn::parse(held).is_ok_and(|held| held == value)))
        }
        Syntax::Oid => {
            let class = schema::class(value).map_or(value, |class| class.name);
            Some(text(held).is_some_and(|held| held.eq_ignore_ascii_case(class)))
        }
        Syntax::Boolean => matches!(value, "TRUE" | "FALSE").then(|| held == value.as_bytes()),
        Syntax::Text | Syntax::Pgp | Syntax::PgpOrdered => Some(text(held).is_some_and(|held| same(held, value))),
    }
}

/// Octets as filters hold them, in which everything is text: one character for each.
pub(super) fn spelt(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

/// Whether values that a term asserts are octets: of an attribute, or under a rule if one is named.
pub(super) fn is_of_octets(attribute: Option<&str>, rule: Option<&str>) -> bool {
    let is_octets = |name: &str| schema::attribute(name).is_some_and(|attribute| attribute.syntax == Syntax::Bytes);
    rule.map_or_else(|| attribute.is_some_and(is_octets), |rule| OCTET_STRING.contains(&rule))
}

fn text(held: &[u8]) -> Option<&str> {
    core::str::from_utf8(held).ok()
}

/// The most bytes of an asserted number, time or UUID. None that an entry has is nearly as long, and all of a longer
/// one, such as its zeros, would be read anew for each entry.
const PLAIN_BYTES: usize = 64;

/// Orders a held value against an asserted one.
fn compare(syntax: Syntax, held: &[u8], value: &str) -> Option<core::cmp::Ordering> {
    if !syntax.is_ordered() || !syntax.ignores_case() && value.len() > PLAIN_BYTES {
        return None;
    }
    let held = text(held)?;
    match syntax {
        Syntax::Number => {
            let value = value.trim().parse::<i128>().ok()?;
            Some(held.parse::<i128>().map_or(core::cmp::Ordering::Less, |held| held.cmp(&value)))
        }
        Syntax::Time => Some(time_digits(held).unwrap_or_default().cmp(&time_digits(value)?)),
        _ => Some(letters(held).cmp(letters(value))),
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
    let held = text(held)?;
    let held = if exact { Cow::Borrowed(held) } else { Cow::Owned(spaced(held, true, true)) };
    let fold = |part: &str, begins, ends| if exact { part.to_owned() } else { spaced(part, begins, ends) };
    let mut rest = &*held;
    let ends = [(parts.initial.as_deref(), true), (parts.final_.as_deref(), false)];
    for (part, is_first) in ends.into_iter().filter_map(|(part, is_first)| Some((part?, is_first))) {
        if is_too_long(part, rest)? {
            return Some(false);
        }
        let part = fold(part, is_first, !is_first);
        let left = if is_first { rest.strip_prefix(&part) } else { rest.strip_suffix(&part) };
        let Some(left) = left else { return Some(false) };
        rest = left;
    }
    for part in &parts.any {
        if is_too_long(part, rest)? {
            return Some(false);
        }
        let part = fold(part, false, false);
        let Some(at) = rest.find(&part) else { return Some(false) };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    Some(true)
}

/// A text as it is searched for parts, or such a part, in lower case: the spaces between two words count as two, so
/// that the part before and the part after may both have one; those at an end count as one, which a value always begins
/// and ends with (RFC 4518, 2.6.1).
fn spaced(text: &str, begins: bool, ends: bool) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return if text.is_empty() { String::new() } else { " ".to_owned() };
    }
    let before = if begins || text.starts_with(char::is_whitespace) { " " } else { "" };
    let behind = if ends || text.ends_with(char::is_whitespace) { " " } else { "" };
    format!("{before}{}{behind}", words.join("  ")).chars().flat_map(lower).collect()
}

/// Whether a text has no room for a part, however that is folded: no letter becomes shorter than a third of itself.
/// `None` if the part is empty, which no part of a value may be (RFC 4517, 3.3.30).
fn is_too_long(part: &str, text: &str) -> Option<bool> {
    (!part.is_empty()).then_some(part.len() > 3 * text.len())
}

/// The name and the OID of the rule by which case and spaces do not count.
const CASE_IGNORE: [&str; 2] = ["caseIgnoreMatch", "2.5.13.2"];
/// Those of the rule that compares octets (RFC 4517, 4.2.27).
const OCTET_STRING: [&str; 2] = ["octetStringMatch", "2.5.13.17"];

/// An extensible match: a rule applied to one attribute, or to every attribute whose syntax has that rule.
fn extensible(assertion: &LdapMatchingRuleAssertion, entry: &Entry) -> Option<bool> {
    let value = &assertion.match_value;
    let fits = |syntax: Syntax| match assertion.matching_rule.as_deref() {
        None => true,
        Some(rule) if CASE_IGNORE.contains(&rule) => syntax.ignores_case(),
        Some("caseExactMatch" | "2.5.13.5") => syntax == Syntax::Exact,
        Some(rule) if OCTET_STRING.contains(&rule) => syntax == Syntax::Bytes,
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
        // What is longer than a name is in none, and has not been folded if the rule is another.
        assertion.dn_attributes
            && value.len() <= limits::LDAP_NAME_BYTES
            && Dn::parse(&entry.dn).is_ok_and(|dn| {
                dn.0.iter().any(|rdn| {
                    let named = assertion.type_.as_deref().is_none_or(|name| {
                        schema::attribute(name).map_or(name, |known| known.name()).eq_ignore_ascii_case(&rdn.attribute)
                    });
                    named && same(&rdn.value, value)
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
        let is_called = |name: &str| LdapFilter::Equality("entryDN".to_owned(), name.to_owned());
        for (name, expected) in [("o=ics", Some(true)), ("no name", None)] {
            let no = LdapFilter::Not(Box::new(is_called(name)));
            assert_eq!(matches(&no, &entry()), expected, "not {name}");
        }
        for (digits, expected) in [(PLAIN_BYTES, Some(true)), (PLAIN_BYTES + 1, None)] {
            let number = LdapFilter::Equality("icsIndex".to_owned(), format!("{:0>digits$}", 42));
            assert_eq!(matches(&number, &entry()), expected, "{digits} digits");
        }
        for (spaces, expected) in [(2, Some(true)), (limits::LDAP_NAME_BYTES, Some(false))] {
            let named = LdapFilter::Extensible(LdapMatchingRuleAssertion {
                matching_rule: Some("caseExactMatch".to_owned()),
                match_value: format!("{}d.example", " ".repeat(spaces)),
                dn_attributes: true,
                ..LdapMatchingRuleAssertion::default()
            });
            assert_eq!(matches(&prepared(named), &entry()), expected, "{spaces} spaces");
        }
        assert_eq!(matches(&LdapFilter::And(Vec::new()), &entry()), Some(true));
        assert_eq!(matches(&LdapFilter::Or(Vec::new()), &entry()), Some(false));
    }

    #[test]
    fn case_and_spaces_do_not_count() {
        let (name, text) = ("cn".to_owned(), |text: &str| text.to_owned());
        let part = |any: &str| LdapSubstringFilter { any: vec![any.to_owned()], ..LdapSubstringFilter::default() };
        let none = LdapSubstringFilter::default;
        let first = |part: &str| LdapSubstringFilter { initial: Some(part.to_owned()), ..none() };
        let last = |part: &str| LdapSubstringFilter { final_: Some(part.to_owned()), ..none() };
        let both = || LdapSubstringFilter { initial: first("οδος ").initial, ..last(" 12") };
        let rule = |value: &str| LdapMatchingRuleAssertion {
            matching_rule: Some("caseIgnoreMatch".to_owned()),
            match_value: value.to_owned(),
            ..LdapMatchingRuleAssertion::default()
        };
        let mut entry = Entry::new("icsIdentity=ab,o=ics".to_owned(), &schema::ICS_IDENTITY);
        entry.put(&schema::COMMON_NAME, ["ΟΔΟΣ  12"]);
        entry.put(&schema::LABEL, ["medical"]);
        for (filter, expected) in [
            (LdapFilter::Equality(name.clone(), text(" οδος   12 ")), Some(true)),
            (LdapFilter::Equality(name.clone(), text("οδος12")), Some(false)),
            (LdapFilter::Substring(name.clone(), part("δος")), Some(true)),
            (LdapFilter::Substring(name.clone(), part("ς    1")), Some(true)),
            (LdapFilter::Substring(name.clone(), part("ς1")), Some(false)),
            (LdapFilter::Substring(name.clone(), part("   ")), Some(true)),
            (LdapFilter::Substring(name.clone(), part(" οδ")), Some(true)),
            (LdapFilter::Substring(name.clone(), first("  ΟΔΟΣ   1")), Some(true)),
            (LdapFilter::Substring(name.clone(), first("ΔΟΣ")), Some(false)),
            (LdapFilter::Substring(name.clone(), last(" 12  ")), Some(true)),
            (LdapFilter::Substring(name.clone(), both()), Some(true)),
            (LdapFilter::Substring(name, part("")), None),
            (LdapFilter::Equality("icsLabel".to_owned(), text("Medical")), Some(false)),
            (LdapFilter::Extensible(rule("Οδος 12")), Some(true)),
            (LdapFilter::Extensible(rule("MEDICAL")), Some(false)),
        ] {
            assert_eq!(matches(&filter, &entry), expected, "{filter:?}");
            assert_eq!(matches(&prepared(filter.clone()), &entry), expected, "{filter:?}, prepared");
        }
    }

    /// A search looks at thousands of entries, and its filter may have as many bytes as a message.
    #[test]
    fn long_values_take_no_longer_than_short_ones() {
        let mut entry = entry();
        entry.put(&schema::VOUCHED_BY, (0..30).map(|number| format!("{number:064}")));
        let name = || "icsVouchedBy".to_owned();
        let letters = "X".repeat(limits::LDAP_REQUEST_BYTES);
        let spaced = format!("0{}X", " ".repeat(limits::LDAP_REQUEST_BYTES));
        let parts = LdapSubstringFilter { any: vec![letters.clone()], ..LdapSubstringFilter::default() };
        let filters = [
            LdapFilter::Equality(name(), letters),
            LdapFilter::Equality(name(), spaced),
            LdapFilter::Substring(name(), parts),
        ];
        let (filters, began) = (filters.map(prepared), Instant::now());
        for _ in 0..2_000 {
            assert!(filters.iter().all(|filter| matches(filter, &entry) == Some(false)));
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
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
}
