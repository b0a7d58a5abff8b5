//! Distinguished names as text (RFC 4514).

use core::fmt::{self, Write as _};
use std::borrow::Cow;

use ics_core::limits;
use ldap3_proto::proto::LdapResultCode;

use super::message::Failure;
use super::schema;

/// A name as its relative names, the entry's own first. Each has one attribute: no entry here has more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dn(pub(super) Vec<Rdn>);

/// One relative name: the attribute, spelled as in the schema if the schema knows it, and the value as written.
#[derive(Debug, Clone)]
pub(super) struct Rdn {
    pub(super) attribute: String,
    pub(super) value: String,
}

impl PartialEq for Rdn {
    fn eq(&self, other: &Self) -> bool {
        self.attribute.eq_ignore_ascii_case(&other.attribute) && same(&self.value, &other.value)
    }
}

impl Eq for Rdn {}

/// Normalizes as `caseIgnoreMatch` does: lower case, outer spaces removed, inner runs counted as one (RFC 4518, 2.6.1).
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    if plain(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(letters(text).collect())
}

/// The same letter by letter, so that whoever compares can stop at the first difference: nothing looks further ahead
/// than to the end of a run of spaces.
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    let mut rest = text.trim().chars().peekable();
    let spaced = core::iter::from_fn(move || {
        let letter = rest.next()?;
        if !letter.is_whitespace() {
            return Some(letter);
        }
        while rest.next_if(|next| next.is_whitespace()).is_some() {}
        Some(' ')
    });
    spaced.flat_map(lower)
}

/// A letter in lower case, whatever follows it: a sigma at the end of a word is like any other (RFC 3454, B.2).
pub(super) fn lower(letter: char) -> core::char::ToLowercase {
    (if letter == 'ς' { 'σ' } else { letter }).to_lowercase()
}

/// Whether two texts are the same to `caseIgnoreMatch`.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other || letters(one).eq(letters(other))
}

impl Dn {
    /// Parses a name.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > limits::LDAP_NAME_BYTES {
            return Err(invalid(&format!("a name takes {} bytes", limits::LDAP_NAME_BYTES)));
        }
        let mut rdns = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (rdn, behind) = rdn(rest)?;
            rdns.push(rdn);
            rest = match behind.strip_prefix([',', ';']) {
                Some(next) if next.trim().is_empty() => return Err(invalid("it ends in a comma")),
                Some(next) => next.trim_start(),
                None if behind.is_empty() => "",
                None => return Err(invalid("relative names of several attributes name nothing here")),
            };
        }
        let name = Self(rdns);
        // Entries are answered under the name as written here, so this form must be short enough to be asked for, too.
        if name.to_string().len() > limits::LDAP_NAME_BYTES {
            return Err(invalid(&format!("a name may have {} bytes, escapes included", limits::LDAP_NAME_BYTES)));
        }
        Ok(name)
    }

    /// The relative names before `suffix`, the entry's own first; `None` if the name does not end in it.
    pub(super) fn below(&self, suffix: &Self) -> Option<&[Rdn]> {
        let count = self.0.len().checked_sub(suffix.0.len())?;
        let (below, end) = self.0.split_at_checked(count)?;
        (end == suffix.0).then_some(below)
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rdn) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", rdn.attribute, escape(&rdn.value))?;
        }
        Ok(())
    }
}

fn invalid(why: &str) -> Failure {
    Failure::new(LdapResultCode::InvalidDNSyntax, format!("the name is not one of RFC 4514: {why}"))
}

/// Splits off the first relative name; the rest begins with its separator.
fn rdn(text: &str) -> Result<(Rdn, &str), Failure> {
    let (attribute, rest) = text.split_once('=').ok_or_else(|| invalid("a relative name has no `=`"))?;
    let attribute = attribute.trim();
    let formed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if attribute.is_empty() || !attribute.chars().all(formed) {
        return Err(invalid("an attribute is not formed as one"));
    }
    let (value, rest) = value(rest.trim_start_matches(' '))?;
    if value.is_empty() {
        return Err(invalid("a value is empty"));
    }
    let attribute = schema::attribute(attribute).map_or(attribute, |known| known.name()).to_owned();
    Ok((Rdn { attribute, value }, rest))
}

fn value(text: &str) -> Result<(String, &str), Failure> {
    let mut bytes: Vec<u8> = Vec::new();
    // Trailing spaces count only if they are escaped.
    let mut keep = 0;
    let mut rest = text;
    if rest.starts_with('#') {
        return Err(invalid("values in BER are not taken"));
    }
    while let Some(first) = rest.chars().next() {
        match first {
            ',' | ';' | '+' => break,
            '\\' => {
                let (byte, behind) = escaped(rest.get(1..).unwrap_or_default())?;
                bytes.extend(byte);
                keep = bytes.len();
                rest = behind;
                continue;
            }
            '"' | '<' | '>' | '\0' => return Err(invalid("a character must be escaped")),
            _ => bytes.extend(first.encode_utf8(&mut [0; 4]).bytes()),
        }
        if first != ' ' {
            keep = bytes.len();
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    bytes.truncate(keep);
    let value = String::from_utf8(bytes).map_err(|_| invalid("a value is not UTF-8"))?;
    Ok((value, rest))
}

/// Reads what follows a backslash: a special character, or two hex digits. Also returns the rest.
fn escaped(text: &str) -> Result<(Vec<u8>, &str), Failure> {
    let wrong = || invalid("a backslash escapes nothing");
    let first = text.chars().next().ok_or_else(wrong)?;
    if " \"#+,;<=>\\".contains(first) {
        return Ok((first.to_string().into_bytes(), text.get(1..).unwrap_or_default()));
    }
    let byte = text.get(..2).and_then(|hex| data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok());
    Ok((byte.ok_or_else(wrong)?, text.get(2..).unwrap_or_default()))
}

/// Escapes a value for use in a relative name (RFC 4514, 2.4).
pub(super) fn escape(value: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_' | b'/' | b'@');
    if value.bytes().all(plain) {
        return Cow::Borrowed(value);
    }
    let mut out = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let edge = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
        if edge || "\"+,;<=>\\".contains(c) {
            out.push('\\');
        }
        if c == '\0' {
            out.push_str("\\00")
        } else {
            let _ = out.write_char(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rdns(text: &str) -> Vec<(String, String)> {
        let dn = Dn::parse(text).expect(text);
        dn.0.into_iter().map(|rdn| (rdn.attribute, rdn.value)).collect()
    }

    #[test]
    fn names_as_clients_write_them() {
        let pair = |a: &str, v: &str| (a.to_owned(), v.to_owned());
        assert_eq!(rdns(""), []);
        assert_eq!(rdns("o=ics"), [pair("o", "ics")]);
        assert_eq!(rdns("ICSDOMAIN = a.example , O=Ics"), [pair("icsDomain", "a.example"), pair("o", "Ics")]);
        assert_eq!(rdns("ou=PGP Keys,o=ics"), [pair("ou", "PGP Keys"), pair("o", "ics")]);
        assert_eq!(rdns(r"cn=a\,b\2Cc\ ,o=x"), [pair("cn", "a,b,c "), pair("o", "x")]);
        assert_eq!(rdns(r"cn=\C3\A9t\C3\A9"), [pair("cn", "été")]);
        assert_eq!(Dn::parse("OU=pgp  KEYS,O=ICS"), Dn::parse("ou=PGP Keys,o=ics"));
    }

    #[test]
    fn what_is_no_name() {
        let long = format!("cn={}", "x".repeat(limits::LDAP_NAME_BYTES));
        for text in [
            "o", "=x", "o=", "o=ics,", ",o=ics", "o=a+ou=b", r"o=\", r"o=\zz", r"o=\FF", "o=#0401", "o=<a>", "o%=a",
            &long,
        ] {
            let failure = Dn::parse(text).expect_err(text);
            assert_eq!(failure.code, LdapResultCode::InvalidDNSyntax, "{text}");
        }
    }

    #[test]
    fn escaped_values_are_read_back() {
        for value in ["plain", "a,b", " x ", "#1", "a\\b", "a\"b<c>d;e+f=g", "été", "a\0b", " "] {
            let text = format!("cn={}", escape(value));
            assert_eq!(rdns(&text), [("cn".to_owned(), value.to_owned())], "{text}");
        }
    }

    #[test]
    fn a_name_that_would_be_written_longer_than_it_may_be_read_is_none() {
        let equals = limits::LDAP_NAME_BYTES / 2 - 1;
        assert_eq!(Dn::parse(&format!("l={}", "=".repeat(equals))).unwrap().to_string().len(), limits::LDAP_NAME_BYTES);
        Dn::parse(&format!("l={}", "=".repeat(equals + 1))).unwrap_err();
    }
}
