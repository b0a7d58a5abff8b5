//! No single change anywhere in evidence leads to another record.

use std::sync::LazyLock;

use data_encoding::BASE64;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::story::{evidence, world};
use crate::evidence::{Evidence, Verified, verify};
use crate::samples::time;

/// The paths of all leaves: texts, numbers and other single values.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, it)| leaves(it, &format!("{path}/{name}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, it)| leaves(it, &format!("{path}/{n}"), found)),
        _ => found.push(path.to_owned()),
    }
}

/// Changes one bit of a number, of the bytes that a text holds, or of the text itself.
fn flip(value: &mut Value, in_bytes: bool, place: Index, bit: u8) {
    match value {
        Value::Number(number) => *value = Value::from(number.as_u64().unwrap() ^ (1 << bit)),
        Value::String(text) => match BASE64.decode(text.as_bytes()) {
            Ok(mut bytes) if in_bytes && !bytes.is_empty() => {
                let at = place.index(bytes.len());
                bytes[at] ^= 1 << bit;
                *text = BASE64.encode(&bytes);
            }
            _ => {
                // Notes contain dashes, which are more than one byte.
                let ascii: Vec<usize> = (0..text.len()).filter(|at| text.as_bytes()[*at].is_ascii()).collect();
                let at = *place.get(&ascii);
                let changed = char::from(text.as_bytes()[at] ^ (1 << (bit % 7)));
                text.replace_range(at..=at, &changed.to_string());
            }
        },
        _ => {}
    }
}

/// The evidence as JSON, and what it proves.
static STORY: LazyLock<(Value, Verified)> = LazyLock::new(|| {
    let whole = evidence(&world());
    (serde_json::to_value(&whole).unwrap(), verify(&whole, None, time(1500)).unwrap())
});

proptest! {
    #[test]
    fn a_flipped_bit_makes_no_other_record(leaf: Index, place: Index, bit in 0..8_u8, in_bytes: bool, everywhere: bool) {
        let (whole, expected) = &*STORY;
        let mut json = whole.clone();
        let mut paths = Vec::new();
        leaves(&json, "", &mut paths);
        let path = &paths[leaf.index(paths.len())];
        flip(json.pointer_mut(path).unwrap(), in_bytes, place, bit);
        if everywhere && path.ends_with("/checkpoint") {
            let changed = json.pointer(path).unwrap().clone();
            paths.iter().filter(|path| path.ends_with("/checkpoint")).for_each(|path| {
                *json.pointer_mut(path).unwrap() = changed.clone();
            });
        }
        prop_assert_ne!(&json, whole);
        let changed = Evidence::parse(&serde_json::to_vec(&json).unwrap());
        if let Ok(verified) = changed.and_then(|evidence| verify(&evidence, None, time(1500))) {
            prop_assert_eq!(&verified.record, &expected.record, "{}", path);
            prop_assert_eq!((&verified.origin, verified.size, verified.root), (&expected.origin, expected.size, expected.root));
            prop_assert_eq!(&verified.statements, &expected.statements);
        }
    }
}
