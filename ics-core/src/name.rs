//! Names: whatever a thing is looked up by other than its id.
//!
//! A name is a claim. It counts only from a signer whom the descriptor entitles to give it, and a name that fits
//! several identities fits none.

use core::fmt;
use core::str::FromStr;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{IdentityId, excerpt, serde_as_text};
use crate::{identity, limits};

/// A name of an identity, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A URN: `urn:dev:mac:0024befffe804ff1` (RFC 9039). Scheme and namespace in lower case (RFC 8141, 3.1).
    Urn(Box<str>),
    /// A serial number, `serial:…`, as its manufacturer writes it.
    Serial(Box<str>),
    /// A host name, `host:…`, in lower case without a final dot.
    Host(Box<str>),
    /// SHA-256 of an X.509 SubjectPublicKeyInfo, `spki:…`.
    Spki([u8; 32]),
    /// SHA-256 of an X.509 certificate, `cert:…`.
    Certificate([u8; 32]),
}

/// What is looked up: an id, or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The ids that the text may mean.
    Ids(Vec<IdentityId>),
    /// A name.
    Name(Name),
}

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too long.
    #[error("a name takes {max} bytes at most, this one has {0}", max = limits::NAME_BYTES)]
    TooLong(usize),
    /// Not of any known form.
    #[error(
        "`{0}` is not a name: use a fingerprint, sha256:…, openpgp4fpr:…, ni:///sha-256;…, urn:…, serial:…, host:…, \
         spki:… or cert:…"
    )]
    Form(String),
    /// Of a known kind, but breaking one of its rules.
    #[error("`{text}` is not a name: {rule}")]
    Broken {
        /// The text.
        text: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A control character or white space.
    #[error("the name `{0}` contains a control character or white space")]
    Character(String),
}

impl Name {
    /// The scheme before the first colon.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Urn(_) => "urn",
            Self::Serial(_) => "serial",
            Self::Host(_) => "host",
            Self::Spki(_) => "spki",
            Self::Certificate(_) => "cert",
        }
    }

    /// Makes a name from a scheme and what follows its colon, in any of the accepted spellings.
    ///
    /// # Errors
    /// When the value does not have the form that the scheme demands.
    pub fn new(scheme: &str, value: &str) -> Result<Self, NameError> {
        let text = || excerpt(&format!("{scheme}:{value}"));
        if value.len() > limits::NAME_BYTES {
            return Err(NameError::TooLong(value.len()));
        }
        let rule = rule_of(scheme).ok_or_else(|| NameError::Form(text()))?;
        if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NameError::Character(text()));
        }
        let broken = || NameError::Broken { text: text(), rule };
        let digest = || identity::digest(value).map_err(|_| broken());
        match scheme {
            "urn" => canonical_urn(value).map(Self::Urn).ok_or_else(broken),
            "serial" if !value.is_empty() => Ok(Self::Serial(value.into())),
            "host" => canonical_host(value).map(Self::Host).ok_or_else(broken),
            "spki" => digest().map(Self::Spki),
            "cert" => digest().map(Self::Certificate),
            _ => Err(broken()),
        }
    }

    /// Reads a host name as certificate requests and ACME orders have it: without a final dot (RFC 5280, 4.2.1.6; RFC
    /// 8555, 7.1.4).
    ///
    /// # Errors
    /// When it is not a host name, or has a final dot.
    pub fn dns(text: &str) -> Result<Self, NameError> {
        if text.ends_with('.') {
            let rule = "in certificates and orders, a host name has no dot at its end";
            return Err(NameError::Broken { text: excerpt(text), rule });
        }
        Self::new("host", text)
    }

    /// Whether the name fits a pattern: the same text, in which one `*` stands for any run of characters. Networks are
    /// not considered: an IPv6 address is written without its zeros, so addresses of one network need not begin alike.
    #[must_use]
    pub fn fits(&self, pattern: &str) -> bool {
        let of_scheme = pattern.strip_prefix(self.scheme()).and_then(|rest| rest.strip_prefix(':'));
        match (self, of_scheme) {
            (Self::Urn(text) | Self::Serial(text) | Self::Host(text), Some(pattern)) => is_pattern_of(pattern, text),
            _ => is_pattern_of(pattern, &self.text()),
        }
    }

    /// The URN that a text is, for instance a User ID; `None` if it is none.
    #[must_use]
    pub fn urn_of(text: &str) -> Option<Self> {
        if has_scheme(text, "urn") { text.parse().ok() } else { None }
    }

    /// Its text. Every statement is filed under its names, so this avoids the machinery behind `to_string`.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Urn(text) | Self::Serial(text) | Self::Host(text) => [self.scheme(), ":", text].concat(),
            Self::Spki(digest) | Self::Certificate(digest) => [self.scheme(), ":", &HEXLOWER.encode(digest)].concat(),
        }
    }
}

/// What must follow the colon of a scheme, if names have that scheme.
fn rule_of(scheme: &str) -> Option<&'static str> {
    Some(match scheme {
        "urn" => {
            "it takes a namespace, a colon and what is named there, in letters, digits, -._~!$&'()*+,;=:@/ and %XX \
             (RFC 8141), as in urn:dev:mac:0024befffe804ff1"
        }
        "serial" => "it takes a serial number, as in serial:SN-0001",
        "host" => "it takes a DNS name or an IP address without brackets, as in host:broker.example",
        "spki" => "it takes the SHA-256 of a SubjectPublicKeyInfo, 64 hex digits",
        "cert" => "it takes the SHA-256 of an X.509 certificate, 64 hex digits",
        _ => return None,
    })
}

fn is_pattern_of(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail),
    }
}

/// Makes the part after `urn:` canonical, such as `dev:mac:…`: the namespace is case-insensitive (RFC 8141, 3.1), and
/// so is everything in `dev` (RFC 9039, 3.3 and 3.4: hex in lower case); what follows another namespace is left as it
/// is.
fn canonical_urn(rest: &str) -> Option<Box<str>> {
    let (namespace, specific) = rest.split_once(':')?;
    if !is_namespace(namespace) || !is_specific(specific) {
        return None;
    }
    let is_hex = has_scheme(rest, "dev") && (specific.starts_with("mac:") || specific.starts_with("ow:"));
    let mut canonical = rest.to_owned();
    canonical.get_mut(..if is_hex { rest.len() } else { namespace.len() })?.make_ascii_lowercase();
    Some(canonical.into())
}

/// RFC 8141, section 2: `NID`.
fn is_namespace(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    (2..=32).contains(&bytes.len()) && is_edge(bytes.first()) && is_edge(bytes.last()) && bytes.iter().all(is_inner)
}

/// RFC 8141, section 2: `NSS`, since names appear as URIs in certificates and on pages. Components after it, `?…` and
/// `#…`, name nothing else and are no part of a name.
fn is_specific(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let is_behind_percent = |part: &str| {
        part.split_at_checked(2)
            .is_some_and(|(hex, rest)| hex.bytes().all(|it| it.is_ascii_hexdigit()) && rest.bytes().all(is_allowed))
    };
    let (first, encoded) = text.split_once('%').map_or((text, None), |(first, encoded)| (first, Some(encoded)));
    let is_begun = !text.is_empty() && !text.starts_with('/');
    is_begun && first.bytes().all(is_allowed) && encoded.is_none_or(|it| it.split('%').all(is_behind_percent))
}

/// Whether the text before the first colon is this scheme, in either case.
fn has_scheme(text: &str, scheme: &str) -> bool {
    text.split_once(':').is_some_and(|(it, _)| it.eq_ignore_ascii_case(scheme))
}

/// A DNS name in lower case, or an address in its one spelling (RFC 5952, section 4), so that two things with the same
/// address have the same name.
fn canonical_host(value: &str) -> Option<Box<str>> {
    let host = value.strip_suffix('.').unwrap_or(value).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if let Ok(address) = host.parse::<core::net::IpAddr>() {
        return Some(address.to_canonical().to_string().into());
    }
    // Other programs take what ends in a number for an address, however it is spelt (RFC 1123, 2.1).
    let is_number = |label: &str| match label.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    };
    let is_name = host.len() <= 253 && host.split('.').all(is_label) && !host.rsplit('.').next().is_some_and(is_number);
    is_name.then(|| host.into())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (scheme, value) = text.split_once(':').ok_or_else(|| NameError::Form(excerpt(text)))?;
        Self::new(&scheme.to_ascii_lowercase(), value)
    }
}

impl FromStr for Lookup {
    type Err = NameError;

    /// Reads any form of id or name: fingerprints bare or as `openpgp4fpr:`, digests as `sha256:` or RFC 6920
    /// `ni:///sha-256;…`, names by their scheme.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let broken = |rule| NameError::Broken { text: excerpt(text), rule };
        let ids = |text: &str| IdentityId::candidates(text).map(Self::Ids);
        let Some((scheme, value)) = text.split_once(':') else {
            return ids(text).map_err(|_| NameError::Form(excerpt(text)));
        };
        match &*scheme.to_ascii_lowercase() {
            "sha256" => ids(text).map_err(|_| broken("it takes `sha256:` and 64 hex digits")),
            "openpgp4fpr" => ids(text.get(12..).unwrap_or_default())
                .map_err(|_| broken("it takes a fingerprint, 40 or 64 hex digits")),
            "ni" => named_information(text)
                .map(Self::Ids)
                .ok_or_else(|| broken("it takes ni:///sha-256; and a SHA-256 in base64url")),
            scheme => Name::new(scheme, value).map(Self::Name),
        }
    }
}

/// RFC 6920, section 3: `ni://authority/sha-256;value`; the authority only says where to ask, and is ignored.
fn named_information(text: &str) -> Option<Vec<IdentityId>> {
    let (_, path) = text.strip_prefix("ni://")?.split_once('/')?;
    let value = path.strip_prefix("sha-256;")?.split('?').next()?;
    let digest = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?.try_into().ok()?;
    Some(vec![IdentityId::Software(digest), IdentityId::Group(digest)])
}

serde_as_text!(Name);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        text.parse::<Name>().map_or_else(|e| format!("error: {e}"), |n| n.to_string())
    }

    #[test]
    fn only_a_urn_is_a_urn() {
        let urn = |text| Name::urn_of(text).map(|name| name.to_string());
        assert_eq!(urn("URN:dev:mac:0024BEFFFE804FF1").as_deref(), Some("urn:dev:mac:0024befffe804ff1"));
        for text in ["", "urn", "urn:", "urn:dev", "urn:dev:os:a b", "serial:SN-1", "Pump 7", "my urn:dev:os:1"] {
            assert_eq!(urn(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_of_a_certificate_ends_without_a_dot() {
        assert_eq!(Name::dns("GW.Acme.example"), Name::new("host", "gw.acme.example"));
        let refusal = Name::dns("gw.acme.example.").expect_err("a dot").to_string();
        assert!(
            refusal.starts_with("`gw.acme.example.` is not a name: ") && refusal.contains("no dot at its end"),
            "{refusal}"
        );
        assert!(Name::dns("gw..example").is_err());
    }

    #[test]
    fn canonical_forms() {
        assert_eq!(name("URN:DEV:mac:0024BEFFFE804FF1"), "urn:dev:mac:0024befffe804ff1");
        assert_eq!(name("urn:dev:os:32473-AB"), "urn:dev:os:32473-AB");
        assert_eq!(name("urn:Dev:ow:10E2073A01080063"), "urn:dev:ow:10e2073a01080063");
        assert_eq!(name("urn:ISBN:097522980X"), "urn:isbn:097522980X");
        let whole = "urn:example:a-._~!$&'()*+,;=:@/%2Fb%C3%a9";
        assert_eq!(name(whole), whole);
        assert_eq!(name("host:Broker.Example."), "host:broker.example");
        assert_eq!(name("host:2001:0DB8:0:0:0:0:0:1"), "host:2001:db8::1");
        assert_eq!(name("host:::ffff:192.0.2.1"), "host:192.0.2.1");
        assert_eq!(
            name("host:[::1]"),
            "error: `host:[::1]` is not a name: it takes a DNS name or an IP address without brackets, as in \
            host:broker.example"
        );
        assert_eq!(name("serial:SN-0001"), "serial:SN-0001");
    }

    #[test]
    fn refused_forms() {
        for text in [
            "",
            "serial:",
            "serial:a b",
            "urn:dev",
            "urn::1",
            "urn:d:1",
            "urn:-dev:1",
            "urn:dev~os:1",
            "urn:dev:/1",
            "urn:dev:os:32473-é",
            "urn:dev:os:32473-'><script>",
            "urn:dev:os:32473-1?=x",
            "urn:dev:os:32473-1#x",
            "urn:dev:os:32473-%",
            "urn:dev:os:32473-%1",
            "urn:dev:os:32473-%%41",
            "urn:dev:os:32473-%4g",
            "spki:12",
            "host:..",
            "host:010.0.0.1",
            "host:7",
            "host:10.0.0.0x1",
            "ftp:x",
            "serial:a\u{0}",
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
        // The list of accepted forms helps whoever used none of them; others are told which rule they broke.
        for (text, expected) in [
            ("SN-1", "`SN-1` is not a name: use a fingerprint, sha256:…, "),
            ("ftp:a b", "`ftp:a b` is not a name: use a fingerprint, sha256:…, "),
            ("serial:", "`serial:` is not a name: it takes a serial number, "),
            ("urn:dev", "`urn:dev` is not a name: it takes a namespace, a colon "),
            ("host:bad host", "the name `host:bad host` contains a control character or white space"),
            ("spki:12", "`spki:12` is not a name: it takes the SHA-256 of a SubjectPublicKeyInfo, 64 "),
            ("sha256:12", "`sha256:12` is not a name: it takes `sha256:` and 64 hex digits"),
            ("openpgp4fpr:12", "`openpgp4fpr:12` is not a name: it takes a fingerprint, "),
            ("ni:///sha-1;abc", "`ni:///sha-1;abc` is not a name: it takes ni:///sha-256; and "),
        ] {
            let refusal = text.parse::<Lookup>().expect_err(text).to_string();
            assert!(refusal.starts_with(expected), "{refusal}");
        }
        let long = format!("serial:{}", "x".repeat(limits::NAME_BYTES + 1));
        assert_eq!(long.parse::<Name>(), Err(NameError::TooLong(limits::NAME_BYTES + 1)));
    }

    #[test]
    fn every_spelling_of_an_id() {
        let digest = [0xab_u8; 32];
        let software = Lookup::Ids(vec![IdentityId::Software(digest), IdentityId::Group(digest)]);
        assert_eq!(format!("sha256:{}", "ab".repeat(32)).parse(), Ok(software.clone()));
        assert_eq!(format!("ni:///sha-256;{}", BASE64URL_NOPAD.encode(&digest)).parse(), Ok(software));
        let key = "cd".repeat(20);
        assert_eq!(format!("openpgp4fpr:{}", key.to_uppercase()).parse::<Lookup>(), key.parse());
        assert!("ni:///sha-1;abc".parse::<Lookup>().is_err());
    }

    #[test]
    fn patterns() {
        let urn: Name = "urn:dev:os:32473-1".parse().expect("urn");
        assert!(urn.fits("urn:dev:os:32473-*") && urn.fits("*") && urn.fits("urn:dev:os:32473-1"));
        assert!(!urn.fits("urn:dev:os:99-*") && !urn.fits("urn:dev:os:32473-1*1"));
        assert!(urn.fits("urn:*") && urn.fits("ur*") && urn.fits("urn*-1") && urn.fits("*:dev:os:32473-1"));
        assert!(!urn.fits("urn:") && !urn.fits("urn") && !urn.fits("serial:*") && !urn.fits("dev:os:32473-1"));
    }
}
