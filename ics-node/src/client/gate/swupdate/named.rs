//! Finds every hash that a description names, in libconfig's format or in JSON. Nothing that SWUpdate would install may
//! be missed: a description that is not understood is refused, and so is a file without a hash.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;

use super::libconfig::{Token, tokens};

/// Hex digits of a SHA-256.
const DIGITS: usize = 64;

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// A line is not understood.
    #[error("line {line} of the description is not understood, neither as libconfig's form nor as JSON: `{text}`")]
    Form {
        /// The number of the line, from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// It looks like JSON, but is not valid.
    #[error("the description is not JSON, which allows no comments either: {0}")]
    Json(String),
    /// It includes another file.
    #[error("line {0} of the description takes in another file, which its signature does not cover")]
    Include(usize),
    /// A hash is malformed.
    #[error("a `sha256` in the description is not followed by a hash of 64 hex digits in quotes: `{0}`")]
    NoHash(String),
    /// A file has no hash.
    #[error("the description names the file `{0}` without its `sha256`: nobody can say whether it is blocked")]
    WithoutHash(String),
}

/// Returns all hashes: the values of `sha256`, and what looks like a hash in any other text. Extra hashes do no harm,
/// since they can only be blocked.
///
/// # Errors
/// When it is not certain that all are found.
pub(super) fn digests(description: &[u8]) -> Result<Vec<[u8; 32]>, DescriptionError> {
    let mut digests = if begins_json(description) { of_json(description)? } else { of_libconfig(description)? };
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

/// Whether SWUpdate's JSON reader would find an object. For that reader a comment does not end at a `/` that follows an
/// even number of stars, so what follows such a comment must not be read in the other format.
fn begins_json(description: &[u8]) -> bool {
    let mut rest = description;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(comment) = rest.strip_prefix(b"/*") {
            rest = behind_json_comment(comment);
        } else if rest.starts_with(b"//") {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or_default();
        } else {
            return rest.first() == Some(&b'{');
        }
    }
}

fn behind_json_comment(mut comment: &[u8]) -> &[u8] {
    while let Some(star) = comment.iter().position(|byte| *byte == b'*') {
        let end = comment.get(star + 1).copied();
        comment = comment.get(star + 2..).unwrap_or_default();
        if end == Some(b'/') {
            return comment;
        }
    }
    b""
}

fn of_libconfig(description: &[u8]) -> Result<Vec<[u8; 32]>, DescriptionError> {
    let tokens = tokens(description)?;
    if let Some(Token::Text(_) | Token::Number | Token::Sign(_)) = tokens.first() {
        let text = ics_core::identity::excerpt(&String::from_utf8_lossy(description));
        return Err(DescriptionError::Form { line: 1, text });
    }
    let mut digests = Vec::new();
    let (mut group, mut outer) = (Group::default(), Vec::new());
    let mut rest = tokens.as_slice();
    while let Some((token, behind)) = rest.split_first() {
        match (token, behind) {
            (Token::Name(name), [Token::Sign(b'=' | b':'), Token::Text(text), ..]) => group.says(name, Some(text))?,
            (Token::Name(name), _) => group.says(name, None)?,
            (Token::Text(text), _) => digests.extend(hashes(text)),
            (Token::Sign(b'{'), _) => outer.push(core::mem::take(&mut group)),
            (Token::Sign(b'}'), _) => core::mem::replace(&mut group, outer.pop().unwrap_or_default()).end()?,
            (Token::Sign(_) | Token::Number, _) => {}
        }
        rest = behind;
    }
    outer.into_iter().chain([group]).try_for_each(Group::end)?;
    Ok(digests)
}

fn of_json(description: &[u8]) -> Result<Vec<[u8; 32]>, DescriptionError> {
    let value = serde_json::from_slice(description).map_err(|error| DescriptionError::Json(error.to_string()))?;
    let mut digests = Vec::new();
    look_through(&value, &mut digests)?;
    Ok(digests)
}

fn look_through(value: &Value, digests: &mut Vec<[u8; 32]>) -> Result<(), DescriptionError> {
    match value {
        Value::String(text) => digests.extend(hashes(text.as_bytes())),
        Value::Array(values) => values.iter().try_for_each(|value| look_through(value, digests))?,
        Value::Object(members) => {
            let mut group = Group::default();
            for (name, value) in members {
                // SWUpdate reads a name up to a NUL.
                let name = name.split('\0').next().unwrap_or_default();
                group.says(name, value.as_str().map(str::as_bytes))?;
                look_through(value, digests)?;
            }
            group.end()?;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// What a group of settings says about a file.
#[derive(Debug, Default)]
struct Group {
    file: Option<String>,
    has_hash: bool,
}

impl Group {
    fn says(&mut self, name: &str, text: Option<&[u8]>) -> Result<(), DescriptionError> {
        let text = text.unwrap_or_default();
        let shown = || ics_core::identity::excerpt(&String::from_utf8_lossy(text));
        match name {
            "filename" => self.file = Some(shown()),
            "sha256" if is_hash(text) => self.has_hash = true,
            "sha256" => return Err(DescriptionError::NoHash(shown())),
            _ => {}
        }
        Ok(())
    }

    fn end(self) -> Result<(), DescriptionError> {
        match self.file {
            Some(file) if !self.has_hash => Err(DescriptionError::WithoutHash(file)),
            _ => Ok(()),
        }
    }
}

/// SWUpdate treats an all-zero hash as absent.
fn is_hash(text: &[u8]) -> bool {
    text.len() == DIGITS && text.iter().all(u8::is_ascii_hexdigit) && text.iter().any(|byte| *byte != b'0')
}

/// The parts of a text that look like hashes.
fn hashes(text: &[u8]) -> impl Iterator<Item = [u8; 32]> {
    let runs = text.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == DIGITS);
    runs.filter_map(|run| HEXLOWER_PERMISSIVE.decode(run).ok()?.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "abababababababababababababababababababababababababababababababAB";

    fn file(settings: &str) -> String {
        format!("software = {{ files: ( {{ filename = \"x\"; {settings} }} ); }}")
    }

    #[test]
    fn no_spelling_hides_a_hash() {
        let (half, rest) = HASH.split_at(30);
        for text in [
            file(&format!("sha256 = \"{HASH}\";")),
            file(&format!("sha256:\"{HASH}\"")),
            file(&format!("size = 12 sha256 = \"{}\"", HASH.to_uppercase())),
            file(&format!("sha256 /* x */ : // y\n # z\n \"{HASH}\"; sha256sum = \"1\";")),
            file(&format!("sha256 = \"{half}\" \"{rest}\";")),
            file(&format!("sha256 = \"{half}\" /* \" */ \"{rest}\";")),
            file(&format!("sha256 = \"\\x61{}\";", HASH.get(1..).unwrap_or_default())),
            file(&format!("sha256 = \"{}\"; lua = \"x.sha256 = '{HASH}'\"", "1".repeat(64))),
            format!("/**/ # {{\nsoftware = {{ a = [\"{HASH}\"]; }}"),
            format!("{{ \"files\": [ {{ \"sha256\" : \"{HASH}\", \"filename\": \"x\" }} ] }}"),
            format!("\n{{ \"\\u0073ha256\": \"\\u0061{}\" }}", HASH.get(1..).unwrap_or_default()),
            format!("{{ \"sha256\\u0000x\": \"{HASH}\" }}"),
        ] {
            let found = digests(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(found.contains(&[0xab; 32]), "{text}");
        }
    }

    #[test]
    fn what_may_hide_one_is_refused() {
        let no_hash = |text: &str| DescriptionError::NoHash(text.to_owned());
        let without = DescriptionError::WithoutHash("x".to_owned());
        // SWUpdate reads ` a` as the byte 10, and does not take a text of another length for a hash.
        let spaced = format!(" a{}", HASH.get(2..).unwrap_or_default());
        let zeros = "0".repeat(64);
        for (text, expected) in [
            (file(&format!("sha256 = \"{spaced}\"")), no_hash(&spaced)),
            (file(&format!("sha256 = \"{zeros}\"")), no_hash(&zeros)),
            (file("sha256 = \"12\""), no_hash("12")),
            (file("sha256 = [ \"12\" ]"), no_hash("")),
            (file(&format!("sha256 = {HASH}")), no_hash("")),
            (file("SHA256 = \"12\""), without.clone()),
            (file(""), without.clone()),
            (format!("filename = \"x\"; a = {{ sha256 = \"{HASH}\"; }}"), without.clone()),
            (format!("a = {{ filename = \"x\"; b = {{ sha256 = \"{HASH}\"; }}"), without.clone()),
            ("{ \"filename\": \"x\" }".to_owned(), without),
            ("{ \"sha256\": [] }".to_owned(), no_hash("")),
            (file("\n @include \"more\""), DescriptionError::Include(2)),
        ] {
            assert_eq!(digests(text.as_bytes()), Err(expected), "{text}");
        }
    }

    #[test]
    fn json_is_read_as_such_or_refused() {
        for text in [
            "{ \"a\": 1, }",
            "{ 'sha256': 'x' }",
            "/* a */ { \"a\": 1 }",
            "// a\n{ \"a\": 1 }",
            "{ \"a\": 1 } trailing",
            // SWUpdate reads the first comment up to its second end, after which libconfig sees another comment.
            "/* **/ a = 1; # */ { \"a\": 1 }",
        ] {
            let found = digests(text.as_bytes());
            assert!(matches!(found, Err(DescriptionError::Json(_))), "{text}: {found:?}");
        }
        for text in ["# a\n{ \"a\": 1 }", "[ 1 ]", "\"a\": 1"] {
            let found = digests(text.as_bytes());
            assert!(matches!(found, Err(DescriptionError::Form { .. })), "{text}: {found:?}");
        }
    }
}
