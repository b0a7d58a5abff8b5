//! `pkcs11:` URIs (RFC 7512): how a person names a token and a key in it.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

use data_encoding::HEXUPPER;

use super::TokenError;

/// The maximum length of a URI, in bytes.
const BYTES: usize = 2048;

/// A token, and a key in it, described by attributes that must match. Attributes that are absent may have any value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenUri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The token's manufacturer.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The number of its slot, which may change with every restart.
    pub slot_id: Option<u64>,
    /// The key's label (`CKA_LABEL`).
    pub object: Option<String>,
    /// The key's id (`CKA_ID`).
    pub id: Option<Vec<u8>>,
    /// The library that talks to the token.
    pub module: Option<PathBuf>,
    /// The file that holds the PIN.
    pub pin_source: Option<PathBuf>,
}

/// Why a text is not an acceptable `pkcs11:` URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It has another scheme.
    #[error("it does not begin with `pkcs11:`")]
    Scheme,
    /// It is too long.
    #[error("it has {0} bytes; at most {BYTES} are allowed")]
    TooLong(usize),
    /// It has an attribute that does not help to name a key that can sign here.
    #[error("`{0}` is not an attribute that is known here")]
    Attribute(String),
    /// An attribute occurs twice.
    #[error("`{0}` is given twice")]
    Repeated(String),
    /// A value is malformed.
    #[error("the value of `{0}` is malformed")]
    Value(String),
    /// It contains the PIN itself, which would end up in shell histories and process lists.
    #[error("it holds the PIN (`pin-value`), where others can read it")]
    Pin,
}

impl TokenUri {
    /// Whether a text is meant to be such a URI.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"))
    }

    /// Parses a URI given by a user.
    ///
    /// # Errors
    /// Quotes the user's text, but never a PIN in it.
    pub fn read(text: &str) -> Result<Self, TokenError> {
        text.parse().map_err(|reason| {
            let words = text.to_ascii_lowercase();
            let end = ["?", "pin-value"].into_iter().filter_map(|word| words.find(word)).min();
            let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);
            TokenError::Uri { uri: shown.chars().take(200).collect(), reason }
        })
    }

    /// Whether the other URI agrees in everything that this one names, apart from the slot, the module and the source
    /// of the PIN.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, found: &Option<T>) -> bool {
            wanted.is_none() || wanted == found
        }
        same(&self.token, &other.token)
            && same(&self.serial, &other.serial)
            && same(&self.manufacturer, &other.manufacturer)
            && same(&self.model, &other.model)
            && same(&self.object, &other.object)
            && same(&self.id, &other.id)
    }

    fn set(&mut self, name: &str, value: &str, is_query: bool) -> Result<(), UriError> {
        let malformed = || UriError::Value(name.to_owned());
        let bytes = decoded(value).ok_or_else(malformed)?;
        let text = || String::from_utf8(bytes.clone()).map_err(|_| malformed());
        match (name, is_query) {
            ("token", false) => once(&mut self.token, name, text()?),
            ("serial", false) => once(&mut self.serial, name, text()?),
            ("manufacturer", false) => once(&mut self.manufacturer, name, text()?),
            ("model", false) => once(&mut self.model, name, text()?),
            ("slot-id", false) => once(&mut self.slot_id, name, text()?.parse().map_err(|_| malformed())?),
            ("object", false) => once(&mut self.object, name, text()?),
            ("id", false) => once(&mut self.id, name, bytes),
            // Either half names the key.
            ("type", false) if matches!(text()?.as_str(), "private" | "public") => Ok(()),
            ("type", false) => Err(malformed()),
            ("module-path", true) => once(&mut self.module, name, PathBuf::from(text()?)),
            ("pin-source", true) => {
                let text = text()?;
                // RFC 7512, 2.4: a file URI, or a path; a command after `|` is refused, since a configuration must not
                // run programs.
                let path = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(&text);
                if path.is_empty() || path.starts_with('|') {
                    return Err(malformed());
                }
                once(&mut self.pin_source, name, PathBuf::from(path))
            }
            ("pin-value", _) => Err(UriError::Pin),
            _ => Err(UriError::Attribute(name.chars().take(40).collect())),
        }
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError::Repeated(name.to_owned())),
    }
}

/// Decodes percent-encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        rest = tail;
        bytes.extend(HEXUPPER.decode(&digits.to_ascii_uppercase()).ok()?);
    }
    Some(bytes)
}

/// Percent-encodes everything that may not stand for itself in both parts of the URI.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if !Self::is_meant(text) {
            return Err(UriError::Scheme);
        }
        if text.len() > BYTES {
            return Err(UriError::TooLong(text.len()));
        }
        let rest = text.split_once(':').map_or("", |(_, rest)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let pairs = path.split(';').map(|pair| (pair, false)).chain(query.split('&').map(|pair| (pair, true)));
        for (pair, is_query) in pairs.filter(|(pair, _)| !pair.is_empty()) {
            // A mistyped attribute may contain the PIN.
            let shown = if is_query || pair.to_ascii_lowercase().starts_with("pin") { "?" } else { pair };
            let (name, value) =
                pair.split_once('=').ok_or_else(|| UriError::Value(shown.chars().take(40).collect()))?;
            uri.set(name, value, is_query)?;
        }
        Ok(uri)
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &String| encoded(text.as_bytes());
        let path = [
            ("token", self.token.as_ref().map(text)),
            ("serial", self.serial.as_ref().map(text)),
            ("manufacturer", self.manufacturer.as_ref().map(text)),
            ("model", self.model.as_ref().map(text)),
            ("slot-id", self.slot_id.map(|number| number.to_string())),
            ("object", self.object.as_ref().map(text)),
            ("id", self.id.as_ref().map(|id| id.iter().map(|byte| format!("%{byte:02X}")).collect())),
        ];
        let file = |path: &PathBuf| encoded(path.to_string_lossy().as_bytes());
        let query =
            [("module-path", self.module.as_ref().map(file)), ("pin-source", self.pin_source.as_ref().map(file))];
        let join = |pairs: &[(&str, Option<String>)], between| {
            let pair = |(name, value): &(&str, Option<String>)| value.as_ref().map(|value| format!("{name}={value}"));
            pairs.iter().filter_map(pair).collect::<Vec<_>>().join(between)
        };
        write!(f, "pkcs11:{}", join(&path, ";"))?;
        let query = join(&query, "&");
        if query.is_empty() { Ok(()) } else { write!(f, "?{query}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        let text = "pkcs11:token=Acme%20factory;serial=5f;object=line%3B1;id=%01%FF?module-path=/usr/lib/p.so\
                    &pin-source=/run/pin";
        let uri: TokenUri = text.parse().expect("a URI");
        assert_eq!(uri.token.as_deref(), Some("Acme factory"));
        assert_eq!(uri.object.as_deref(), Some("line;1"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 255][..]));
        assert_eq!(uri.module, Some("/usr/lib/p.so".into()));
        assert_eq!(uri.to_string(), text);
        let file: TokenUri = "PKCS11:type=private;id=%61?pin-source=file:/etc/pin".parse().expect("a URI");
        assert_eq!((file.id, file.pin_source), (Some(b"a".to_vec()), Some("/etc/pin".into())));
    }

    #[test]
    fn refuses_what_is_doubtful() {
        for (text, expected) in [
            ("pkcs12:token=a", UriError::Scheme),
            ("é", UriError::Scheme),
            ("pkcs11:token=a;token=b", UriError::Repeated("token".into())),
            ("pkcs11:tokn=a", UriError::Attribute("tokn".into())),
            ("pkcs11:module-path=/a", UriError::Attribute("module-path".into())),
            ("pkcs11:token", UriError::Value("token".into())),
            ("pkcs11:id=%0", UriError::Value("id".into())),
            ("pkcs11:id=%zz", UriError::Value("id".into())),
            ("pkcs11:token=%FF", UriError::Value("token".into())),
            ("pkcs11:type=cert", UriError::Value("type".into())),
            ("pkcs11:token=a?pin-value=1234", UriError::Pin),
            ("pkcs11:token=a;pin-value=1234", UriError::Pin),
            ("pkcs11:token=a?1234", UriError::Value("?".into())),
            ("pkcs11:token=a?pin-source=|cat", UriError::Value("pin-source".into())),
        ] {
            assert_eq!(text.parse::<TokenUri>(), Err(expected), "{text}");
        }
        let long = format!("pkcs11:token={}", "a".repeat(BYTES));
        assert!(matches!(long.parse::<TokenUri>(), Err(UriError::TooLong(_))));
    }

    #[test]
    fn what_is_refused_shows_no_pin() {
        for rest in ["?pin-value=1234", ";pin-value=1234", ";PIN-VALUE=1234", "?1234", ";pin-value1234"] {
            let refusal = TokenUri::read(&format!("pkcs11:token=a{rest}")).expect_err(rest).to_string();
            assert!(refusal.contains("`pkcs11:token=a") && !refusal.contains("1234"), "{refusal}");
        }
    }

    #[test]
    fn what_is_not_named_may_be_anything() {
        let uri = |text: &str| text.parse::<TokenUri>().expect("a URI");
        let stored = uri("pkcs11:token=acme;serial=1;object=factory;id=%01?module-path=/m.so");
        for wanted in ["pkcs11:", "pkcs11:token=acme", "pkcs11:object=factory;id=%01", "pkcs11:serial=1?module-path=/x"]
        {
            assert!(uri(wanted).fits(&stored), "{wanted}");
        }
        for wanted in ["pkcs11:token=other", "pkcs11:object=factory;id=%02", "pkcs11:model=x"] {
            assert!(!uri(wanted).fits(&stored), "{wanted}");
        }
    }
}
