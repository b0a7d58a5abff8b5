//! Canonical JSON: RFC 8785, restricted to what every language writes the same way.
//!
//! Numbers are integers between -(2^53 - 1) and 2^53 - 1; member names are ASCII. Each value has one encoding, so a
//! digest over the bytes is a digest over the value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::identity::excerpt;
use crate::limits;

/// Why bytes are not canonical JSON of a certain shape, or a value cannot be written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("this is not JSON: {0}")]
    Syntax(String),
    /// JSON, but not the one encoding of its value.
    #[error("the JSON is not canonical (RFC 8785: sorted members, no white space, no member twice) from byte {0} on")]
    NotCanonical(usize),
    /// A number that is not an integer, or too large.
    #[error("`{0}` is not an integer between -(2^53 - 1) and 2^53 - 1")]
    Number(String),
    /// A member whose name is not ASCII.
    #[error("the member name `{0}` is not ASCII")]
    Name(String),
    /// JSON of the wrong shape.
    #[error("the JSON does not have the expected shape: {0}")]
    Shape(String),
}

/// The one encoding of a value.
///
/// # Errors
/// When it holds a number or a member name that canonical JSON does not allow.
pub fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>, JsonError> {
    let value = serde_json::to_value(value).map_err(|error| JsonError::Shape(error.to_string()))?;
    let mut out = Vec::new();
    write(&mut out, &value)?;
    Ok(out)
}

/// Reads a value from its one encoding.
///
/// # Errors
/// When the bytes are anything else, or do not have the shape of `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    serde_json::from_value(parse_value(bytes)?).map_err(|error| JsonError::Shape(excerpt(&error.to_string())))
}

/// Reads any value from its one encoding.
///
/// # Errors
/// When the bytes are anything else.
pub fn parse_value(bytes: &[u8]) -> Result<Value, JsonError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| JsonError::Syntax(excerpt(&error.to_string())))?;
    let mut canonical = Vec::with_capacity(bytes.len());
    write(&mut canonical, &value)?;
    if canonical == bytes {
        return Ok(value);
    }
    let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    Err(JsonError::NotCanonical(same))
}

fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), JsonError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => write_string(out, text),
        Value::Array(items) => write_array(out, items)?,
        Value::Object(members) => write_object(out, members)?,
    }
    Ok(())
}

fn write_number(out: &mut Vec<u8>, number: &serde_json::Number) -> Result<(), JsonError> {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    if size.is_none_or(|size| size > limits::JSON_INTEGER) {
        return Err(JsonError::Number(excerpt(&number.to_string())));
    }
    out.extend_from_slice(number.to_string().as_bytes());
    Ok(())
}

/// RFC 8785, 3.2.2.2: the two-character escapes where they exist, `\u00xx` for other control characters, everything
/// else unchanged.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            control @ '\0'..' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn write_array(out: &mut Vec<u8>, items: &[Value]) -> Result<(), JsonError> {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}

/// Sorts the members here, because the order in which serde_json keeps them depends on the features that other crates
/// enable. Names are ASCII, so the order of bytes is the order of UTF-16 units that RFC 8785 (3.2.3) demands.
fn write_object(out: &mut Vec<u8>, members: &Map<String, Value>) -> Result<(), JsonError> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(name, _)| name.as_bytes());
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if !name.is_ascii() {
            return Err(JsonError::Name(excerpt(name)));
        }
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write(out, value)?;
    }
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn one_encoding() {
        let value = json!({"b": [1, -2, true, null], "a": "\u{20ac}$\u{f}\nA'B\"\\\"/", "aa": {}, "A": 9_007_199_254_740_991_u64});
        let text =
            "{\"A\":9007199254740991,\"a\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\"/\",\"aa\":{},\"b\":[1,-2,true,null]}";
        assert_eq!(to_bytes(&value), Ok(text.as_bytes().to_vec()));
        assert_eq!(parse::<Value>(text.as_bytes()), Ok(value));
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, error) in [
            ("{\"b\":1,\"a\":1}", JsonError::NotCanonical(2)),
            ("{\"a\":1,\"a\":1}", JsonError::NotCanonical(6)),
            ("{\"a\":1,\"a\":2}", JsonError::NotCanonical(5)),
            ("{\"a\": 1}", JsonError::NotCanonical(5)),
            ("[1] ", JsonError::NotCanonical(3)),
            ("\"\\u0041\"", JsonError::NotCanonical(1)),
            ("\"\\/\"", JsonError::NotCanonical(1)),
            ("1.5", JsonError::Number("1.5".into())),
            ("1.0", JsonError::Number("1.0".into())),
            ("-0", JsonError::Number("-0.0".into())),
            ("9007199254740992", JsonError::Number("9007199254740992".into())),
            ("-9007199254740992", JsonError::Number("-9007199254740992".into())),
            ("{\"\u{e4}\":1}", JsonError::Name("\u{e4}".into())),
        ] {
            assert_eq!(parse::<Value>(text.as_bytes()), Err(error), "{text}");
        }
        for text in ["", "{", "nul", "\"\\ud800\"", "[1,]"] {
            assert!(matches!(parse::<Value>(text.as_bytes()), Err(JsonError::Syntax(_))), "{text}");
        }
        assert!(matches!(parse::<Value>(b"\"\xff\""), Err(JsonError::Syntax(_))));
        assert!(matches!(parse::<Vec<u8>>(b"{}"), Err(JsonError::Shape(_))));
        assert!(parse::<Value>("[".repeat(10_000).as_bytes()).is_err());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,5}", inner, 0..6).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_read_back(value in values()) {
            let bytes = to_bytes(&value).unwrap();
            prop_assert_eq!(parse::<Value>(&bytes), Ok(value));
        }
    }
}
