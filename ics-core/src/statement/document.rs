//! Claims as a canonical JSON document: `{"statement":{…},"subject":{…}}`.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::members::{self, ClaimsError, Tag};
use super::{Claims, Group, Software, Subject};
use crate::canonical_json::{self, JsonError};
use crate::identity::{Kind, excerpt};
use crate::vocabulary::Attribute;

/// Digests that one artifact may have.
const DIGESTS: usize = 8;

/// The canonical bytes of a document.
///
/// # Errors
/// When the subject has a key, or subject or claims are malformed.
pub(crate) fn write(subject: &Subject, claims: &Claims) -> Result<Vec<u8>, ClaimsError> {
    subject.id()?;
    members::read(members::write(claims, None), Some(subject.kind()))?;
    let subject = match subject {
        Subject::Software(software) => serde_json::to_value(software),
        Subject::Group(group) => serde_json::to_value(group),
        Subject::Key { kind, .. } => return Err(ClaimsError::Form(*kind)),
    };
    let subject = subject.map_err(|error| JsonError::Shape(error.to_string()))?;
    Ok(canonical_json::to_bytes(&json!({"statement": claims, "subject": subject}))?)
}

impl Serialize for Claims {
    /// The member `statement` of a document, whatever the claims are about.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut statement = Map::new();
        for (tag, value) in members::write(self, None) {
            if tag.repeats() {
                let items = statement.entry(tag.as_str()).or_insert_with(|| json!([]));
                items.as_array_mut().into_iter().for_each(|items| items.push(value.clone().into()));
            } else {
                statement.insert(tag.as_str().into(), value.into());
            }
        }
        statement.serialize(serializer)
    }
}

/// Reads a document that [`canonical_json::parse_value`] has read.
pub(crate) fn read(document: Value) -> Result<(Subject, Claims), ClaimsError> {
    let Value::Object(mut document) = document else { return Err(shape("a document is an object")) };
    let statement = document.remove("statement").ok_or(ClaimsError::Missing("statement"))?;
    let subject = document.remove("subject").ok_or(ClaimsError::Missing("subject"))?;
    if let Some((name, _)) = document.into_iter().next() {
        return Err(ClaimsError::Unknown(excerpt(&name)));
    }
    let subject = read_subject(subject)?;
    let (claims, _) = members::read(read_members(statement)?, Some(subject.kind()))?;
    Ok((subject, claims))
}

fn shape(why: &str) -> ClaimsError {
    JsonError::Shape(excerpt(why)).into()
}

fn read_subject(subject: Value) -> Result<Subject, ClaimsError> {
    let kind: Kind = subject
        .get("kind")
        .and_then(Value::as_str)
        .ok_or(ClaimsError::Missing("kind"))?
        .parse()
        .map_err(|error: crate::identity::IdentityError| shape(&error.to_string()))?;
    if subject.get("attributes").and_then(Value::as_object).is_some_and(Map::is_empty) {
        // Every subject has one text, because the id of a group is its digest.
        return Err(shape("`attributes` is left out where there are none"));
    }
    let subject = match kind {
        Kind::Software => serde_json::from_value(subject).map(Subject::Software),
        Kind::Group => serde_json::from_value(subject).map(Subject::Group),
        other => return Err(ClaimsError::Form(other)),
    };
    subject.map_err(|error| shape(&error.to_string()))
}

pub(super) fn read_members(statement: Value) -> Result<Vec<(Tag, String)>, ClaimsError> {
    let Value::Object(statement) = statement else { return Err(shape("`statement` is an object")) };
    let mut members = Vec::with_capacity(statement.len());
    for (name, value) in statement {
        let tag = Tag::parse(&name).ok_or_else(|| ClaimsError::Unknown(excerpt(&name)))?;
        match value {
            Value::String(text) if !tag.repeats() => members.push((tag, text)),
            Value::Array(items) if tag.repeats() && !items.is_empty() => {
                for item in items {
                    let Value::String(text) = item else { return Err(shape("members are texts")) };
                    members.push((tag, text));
                }
            }
            _ if tag.repeats() => return Err(shape(&format!("`{name}` is an array of at least one text"))),
            _ => return Err(shape(&format!("`{name}` is a text"))),
        }
    }
    Ok(members)
}

fn check_text(member: &'static str, value: &str) -> Result<(), ClaimsError> {
    members::text(value).map(drop).map_err(|why| ClaimsError::Value { member, why })
}

pub(super) fn check_software(software: &Software) -> Result<(), ClaimsError> {
    if software.kind != Kind::Software {
        return Err(ClaimsError::Form(software.kind));
    }
    check_text("name", &software.name)?;
    check_text("version", &software.version)?;
    let is_name = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_hex = |text: &str| {
        (8..=128).contains(&text.len())
            && text.len().is_multiple_of(2)
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let formed = software.digests.iter().all(|(name, digest)| is_name(name) && is_hex(digest));
    let sha256 = software.digests.get("sha256").is_some_and(|digest| digest.len() == 64);
    if formed && sha256 && software.digests.len() <= DIGESTS { Ok(()) } else { Err(ClaimsError::Digest) }
}

pub(super) fn check_group(group: &Group) -> Result<(), ClaimsError> {
    if group.kind != Kind::Group {
        return Err(ClaimsError::Form(group.kind));
    }
    check_text("name", &group.name)?;
    group.attributes.iter().try_for_each(|(attribute, value)| {
        if !Attribute::SELECTING.contains(attribute) {
            return Err(ClaimsError::Selecting(*attribute));
        }
        check_text(attribute.as_str(), value)
    })
}

#[cfg(test)]
mod tests;
