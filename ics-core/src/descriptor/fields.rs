//! Checks of single fields of descriptors and trust policies.

use std::collections::BTreeSet;

use ed25519_dalek::VerifyingKey;
use serde::de::DeserializeOwned;

use super::{FieldError, Freshness, NodeKey, Problem};
use crate::identity::excerpt;
use crate::limits;
use crate::log::text::from_base64;
use crate::vocabulary::DomainName;

pub(crate) type Check = Result<(), FieldError>;

/// Characters kept of a JSON reader's message, which quotes its input.
const MESSAGE_CHARS: usize = 200;

/// Reads JSON; the error names the member at fault.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let cut = |message: String| message.chars().take(MESSAGE_CHARS).collect::<String>();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| cut(error.to_string()))?;
    deserializer.end().map_err(|error| cut(error.to_string()))?;
    Ok(value)
}

/// Checks bounds of age, the member `freshness` of a document.
pub(crate) fn check_freshness(freshness: &Freshness) -> Check {
    range("freshness.default", freshness.default, 1, limits::JSON_INTEGER)?;
    for (usage, seconds) in &freshness.uses {
        let field = format!("freshness.uses.{}", excerpt(usage));
        fail_if(usage.is_empty(), field.as_str(), || Problem::Empty)?;
        text(&field, usage)?;
        range(&field, *seconds, 1, limits::JSON_INTEGER)?;
    }
    Ok(())
}

impl NodeKey {
    /// The key for checking signatures; `None` unless it is 32 canonical bytes and not of small order.
    #[must_use]
    pub fn verifying_key(&self) -> Option<VerifyingKey> {
        let bytes: [u8; 32] = from_base64(&self.key).ok()?.try_into().ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (!key.is_weak() && key.to_edwards().compress().to_bytes() == bytes).then_some(key)
    }
}

pub(crate) fn fail<T>(field: impl Into<String>, problem: Problem) -> Result<T, FieldError> {
    Err(FieldError { field: field.into(), problem })
}

pub(crate) fn fail_if(fails: bool, field: impl Into<String>, problem: impl FnOnce() -> Problem) -> Check {
    if fails { fail(field, problem()) } else { Ok(()) }
}

pub(crate) fn range<N: TryInto<u64>, M: TryInto<u64>>(field: &str, value: N, min: u64, max: M) -> Check {
    let value = value.try_into().unwrap_or(u64::MAX);
    let max = max.try_into().unwrap_or(u64::MAX);
    fail_if(!(min..=max).contains(&value), field, || Problem::Range { value, min, max })
}

pub(crate) fn text(field: &str, text: &str) -> Check {
    fail_if(text.len() > limits::TEXT_BYTES, field, || Problem::TooLong(text.len()))
}

pub(crate) fn node(field: &str, node: &NodeKey) -> Check {
    let named = node.name.parse::<DomainName>().is_ok();
    fail_if(!named, format!("{field}.name"), || Problem::NodeName(excerpt(&node.name)))?;
    fail_if(node.verifying_key().is_none(), format!("{field}.key"), || Problem::NodeKey)
}

pub(crate) fn distinct(field: &str, items: impl Iterator<Item = String>) -> Check {
    let mut seen = BTreeSet::new();
    let twice = items.into_iter().find(|item| !seen.insert(item.clone()));
    twice.map_or(Ok(()), |item| fail(field, Problem::Duplicate(excerpt(&item))))
}
