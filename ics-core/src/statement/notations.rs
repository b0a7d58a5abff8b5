//! Claims as notations in the hashed area of a certification (RFC 9580, 5.2.3.24): `tag@cm4it.example`.

use std::borrow::Cow;

use super::members::{self, ClaimsError, Tag};
use super::{Claims, NOTATION_DOMAIN};
use crate::identity::{self, IdentityId, Kind, excerpt};
use crate::limits;
use crate::openpgp::signature::{Draft, Signature, SignatureError};
use crate::openpgp::subpacket::{self as sub, Notation, Subpacket};
use crate::statement::StatementId;
use crate::statement::body::BodyError;

/// The OpenPGP id of SHA-256 in the value of `hash`.
const SHA256_ID: u8 = 8;

/// Adds claims to a certification that is being made.
pub(crate) fn write(draft: Draft, members: &[(Tag, String)]) -> Draft {
    members.iter().fold(draft, |draft, (tag, value)| {
        let name = format!("{}@{NOTATION_DOMAIN}", tag.as_str());
        match binary(*tag, value) {
            Some(bytes) => draft.with_notation(&name, &bytes, false),
            None => draft.with_notation(&name, value.as_bytes(), true),
        }
    })
}

/// The bytes of a member that is not text: the 32 bytes of an id, or a hash in the form of
/// draft-atkins-openpgp-device-certificates: length of a name, the name (none), algorithm, digest.
fn binary(tag: Tag, value: &str) -> Option<Vec<u8>> {
    match tag {
        Tag::Supersedes => identity::digest(value).ok().map(Vec::from),
        Tag::Hash => {
            let digest = identity::digest(value.strip_prefix("sha256:")?).ok()?;
            Some([&[0, SHA256_ID][..], &digest].concat())
        }
        _ => None,
    }
}

/// The claims of a certification, and the kind of thing that it is about.
pub(crate) fn read(signature: &Signature<'_>) -> Result<(Claims, Kind), BodyError> {
    let notations = || signature.subpackets.iter().filter(|s| s.tag == sub::NOTATION);
    let count = notations().count();
    if count > limits::NOTATIONS {
        return Err(ClaimsError::TooMany(count).into());
    }
    let mut members = Vec::with_capacity(count);
    for subpacket in notations() {
        let notation = sub::notation(subpacket.data).map_err(SignatureError::Wire)?;
        members.extend(read_one(&notation)?);
    }
    Ok(members::read(members, None)?)
}

/// Whether a hashed area has any notation of this system.
pub(crate) fn has_ours(hashed: &[Subpacket<'_>]) -> bool {
    let is_ours = |notation: Notation<'_>| our_tag(notation.name).is_some();
    hashed.iter().filter(|s| s.tag == sub::NOTATION).any(|s| sub::notation(s.data).is_ok_and(is_ours))
}

/// The part of a notation's name before this system's domain.
fn our_tag(name: &[u8]) -> Option<&str> {
    core::str::from_utf8(name).ok()?.strip_suffix(NOTATION_DOMAIN)?.strip_suffix('@')
}

/// Reads a member; `None` if the notation is not one of this system.
fn read_one<'a>(notation: &Notation<'a>) -> Result<Option<(Tag, Cow<'a, str>)>, ClaimsError> {
    let tag = match our_tag(notation.name) {
        Some(tag) => Some(Tag::parse(tag).ok_or_else(|| ClaimsError::Unknown(excerpt(tag)))?),
        None => bare_tag(notation.name),
    };
    tag.map(|tag| Ok((tag, value(tag, notation)?))).transpose()
}

/// The tags of draft-atkins-openpgp-device-certificates are accepted without a domain as well.
fn bare_tag(name: &[u8]) -> Option<Tag> {
    let tag = Tag::parse(core::str::from_utf8(name).ok()?)?;
    matches!(tag, Tag::Attribute(_) | Tag::Hash).then_some(tag)
}

fn value<'a>(tag: Tag, notation: &Notation<'a>) -> Result<Cow<'a, str>, ClaimsError> {
    let error = |why: &str| ClaimsError::Value { member: tag.as_str(), why: why.to_owned() };
    let is_binary = matches!(tag, Tag::Supersedes | Tag::Hash);
    if !notation.is(!is_binary) {
        return Err(error("the flags of the notation are not those of its type"));
    }
    match tag {
        Tag::Supersedes => {
            let id = notation.value.try_into().map_err(|_| error("a statement id takes 32 bytes"))?;
            Ok(StatementId(id).to_string().into())
        }
        Tag::Hash => {
            let hash = hash_value(notation.value).map(Cow::Owned);
            hash.ok_or_else(|| error("it takes a name and the SHA-256 of an artifact"))
        }
        _ => {
            let text = core::str::from_utf8(notation.value).map_err(|_| error("the text is not UTF-8"))?;
            Ok(text.into())
        }
    }
}

fn hash_value(value: &[u8]) -> Option<String> {
    let (length, rest) = value.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    core::str::from_utf8(name).ok()?;
    let digest = rest.strip_prefix(&[SHA256_ID])?;
    Some(IdentityId::Software(digest.try_into().ok()?).to_string())
}
