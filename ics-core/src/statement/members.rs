//! The members of a statement: one list of tagged texts, from which both the notations of a certification and the
//! member `statement` of a document are made, and one table of which member belongs to which act (`rules: 1`, closed).

use std::collections::BTreeMap;

use super::{Claims, Grant, StatementId};
use crate::canonical_json::JsonError;
use crate::identity::{self, IdentityError, IdentityId, Kind, excerpt};
use crate::limits;
use crate::name::{Name, NameError};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName};

/// Why claims are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// A member that the act must have.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member that the act cannot have.
    #[error("`{member}` has no place in a statement of act `{act}`")]
    Misplaced {
        /// The member.
        member: &'static str,
        /// The act.
        act: Act,
    },
    /// A member that may occur only once, or the same value twice.
    #[error("`{0}` appears twice")]
    Repeated(&'static str),
    /// No such member.
    #[error("a statement has no member `{0}`")]
    Unknown(String),
    /// A value that does not have the form of its member.
    #[error("in `{member}`, {why}")]
    Value {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More members than [`limits::NOTATIONS`].
    #[error("a statement takes {max} members at most, this one has {0}", max = limits::NOTATIONS)]
    TooMany(usize),
    /// More than [`limits::SUPERSEDES`].
    #[error("a statement supersedes {max} others at most, this one names {0}", max = limits::SUPERSEDES)]
    TooManySuperseded(usize),
    /// `signature` in a statement that is not about software: only software has a developer who signs it.
    #[error("only statements about software have a `signature`")]
    NotSoftware,
    /// More developers' signatures than [`limits::DEVELOPER_SIGNATURES`].
    #[error("a statement takes {max} developers' signatures at most, this one has {0}", max = limits::DEVELOPER_SIGNATURES)]
    TooManySignatures(usize),
    /// `until` is not after `from`.
    #[error("`until` is not after `from`")]
    Span,
    /// A statement in the wrong form: software and groups have no key to certify, and things with a key have no
    /// document.
    #[error("a statement with this form and act cannot be about a {0}")]
    Form(Kind),
    /// Digests of software that are malformed or lack `sha256`.
    #[error(
        "the digests of the software lack `sha256`, or one is malformed: names are in lower case, values in lower-case \
         hex"
    )]
    Digest,
    /// An attribute other than manu, model, prodid and lot in a group's selector.
    #[error("a group cannot select by `{0}`")]
    Selecting(Attribute),
    /// A certification of type 0x30 although the signer vouches, or 0x10 although they no longer do.
    #[error(
        "this statement must be a certification of type {expected:#04x}, so that clients that ignore notations err on \
         the safe side"
    )]
    Revokes {
        /// 0x10 or 0x30.
        expected: u8,
    },
    /// Not canonical JSON, or of the wrong shape.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// The name of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    Act,
    Kind,
    Role,
    Domain,
    Status,
    Reason,
    Label,
    Supersedes,
    Urn,
    Serial,
    Host,
    Spki,
    Certificate,
    Group,
    Replaces,
    From,
    Until,
    Grantee,
    Grants,
    Hash,
    Signature,
    Attribute(Attribute),
}

/// The names of all members but the attributes.
const WORDS: [(Tag, &str); 21] = [
    (Tag::Act, "act"),
    (Tag::Kind, "kind"),
    (Tag::Role, "role"),
    (Tag::Domain, "domain"),
    (Tag::Status, "status"),
    (Tag::Reason, "reason"),
    (Tag::Label, "label"),
    (Tag::Supersedes, "supersedes"),
    (Tag::Urn, "urn"),
    (Tag::Serial, "serial"),
    (Tag::Host, "host"),
    (Tag::Spki, "spki"),
    (Tag::Certificate, "cert"),
    (Tag::Group, "group"),
    (Tag::Replaces, "replaces"),
    (Tag::From, "from"),
    (Tag::Until, "until"),
    (Tag::Grantee, "grantee"),
    (Tag::Grants, "grants"),
    (Tag::Hash, "hash"),
    (Tag::Signature, "signature"),
];

/// Whether a member belongs to an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Required,
    Optional,
    Forbidden,
}

impl Tag {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Attribute(attribute) => attribute.as_str(),
            word => WORDS.iter().find(|(tag, _)| *tag == word).map_or("", |(_, text)| *text),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        WORDS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(tag, _)| *tag)
            .or_else(|| text.parse().ok().map(Self::Attribute))
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        WORDS.iter().map(|(tag, _)| *tag).chain(Attribute::ALL.iter().copied().map(Self::Attribute))
    }

    /// Whether it may occur more than once; in documents it is then an array.
    pub(crate) const fn repeats(self) -> bool {
        matches!(
            self,
            Self::Supersedes
                | Self::Urn
                | Self::Serial
                | Self::Host
                | Self::Spki
                | Self::Certificate
                | Self::Group
                | Self::Signature
        )
    }

    /// The table of which member belongs to which act.
    fn place(self, act: Act) -> Place {
        let only_in = |there: &[Act], place| if there.contains(&act) { place } else { Place::Forbidden };
        match self {
            Self::Act | Self::Role | Self::Domain => Place::Required,
            Self::Kind | Self::Reason => Place::Optional,
            Self::Status => only_in(&[Act::Status], Place::Required),
            Self::Label => only_in(&[Act::Label], Place::Required),
            Self::Grantee | Self::Grants => only_in(&[Act::Grant], Place::Required),
            Self::Hash => only_in(&[Act::Installed], Place::Required),
            Self::Serial | Self::Spki | Self::Certificate if act == Act::Issued => Place::Required,
            Self::Supersedes if act == Act::Withdrawal => Place::Required,
            Self::Supersedes => Place::Optional,
            Self::Urn | Self::Serial | Self::Host | Self::Spki | Self::Certificate => {
                only_in(&[Act::Identity], Place::Optional)
            }
            Self::Attribute(_) | Self::Replaces | Self::Signature => only_in(&[Act::Identity], Place::Optional),
            Self::Group => only_in(&[Act::Identity, Act::Approval], Place::Optional),
            Self::From | Self::Until if act == Act::Withdrawal => Place::Forbidden,
            Self::From | Self::Until => Place::Optional,
        }
    }
}

/// The members of claims, in the order of the table; `kind` is given if the form has it among them.
pub(crate) fn write(claims: &Claims, kind: Option<Kind>) -> Vec<(Tag, String)> {
    let mut members = vec![(Tag::Act, claims.act.to_string())];
    let mut push = |tag, value: Option<String>| members.extend(value.map(|value| (tag, value)));
    push(Tag::Kind, kind.map(|kind| kind.to_string()));
    push(Tag::Role, Some(claims.role.to_string()));
    push(Tag::Domain, Some(claims.domain.to_string()));
    push(Tag::Status, claims.status.as_ref().map(ToString::to_string));
    push(Tag::Reason, claims.reason.clone());
    push(Tag::Label, claims.label.clone());
    claims.supersedes.iter().for_each(|id| push(Tag::Supersedes, Some(id.to_string())));
    let mut names: Vec<_> = claims.names.iter().map(name_member).collect();
    names.sort_unstable();
    names.into_iter().for_each(|(tag, value)| push(tag, Some(value)));
    claims.groups.iter().for_each(|group| push(Tag::Group, Some(IdentityId::Group(*group).to_string())));
    push(Tag::Replaces, claims.replaces.map(|id| id.to_string()));
    push(Tag::From, claims.from.map(|time| time.to_string()));
    push(Tag::Until, claims.until.map(|time| time.to_string()));
    push(Tag::Grantee, claims.grant.as_ref().map(|grant| grant.grantee.to_string()));
    push(Tag::Grants, claims.grant.as_ref().map(|grant| grant.role.to_string()));
    claims.signatures.iter().for_each(|signature| push(Tag::Signature, Some(signature.to_string())));
    push(Tag::Hash, claims.installed.map(|digest| IdentityId::Software(digest).to_string()));
    claims.attributes.iter().for_each(|(attribute, text)| push(Tag::Attribute(*attribute), Some(text.clone())));
    members
}

/// A name as a member. A URN is written whole; other names lack their scheme, which is the tag.
fn name_member(name: &Name) -> (Tag, String) {
    let text = name.to_string();
    let bare = || text.split_once(':').map_or_else(String::new, |(_, value)| value.to_owned());
    match name {
        Name::Urn(_) => (Tag::Urn, text),
        Name::Serial(_) => (Tag::Serial, bare()),
        Name::Host(_) => (Tag::Host, bare()),
        Name::Spki(_) => (Tag::Spki, bare()),
        Name::Certificate(_) => (Tag::Certificate, bare()),
    }
}

/// The members, in the order of their tags; those with the same tag in their original order.
struct Members<S>(Vec<(Tag, S)>);

impl<S: AsRef<str>> Members<S> {
    fn collect(mut members: Vec<(Tag, S)>) -> Result<Self, ClaimsError> {
        if members.len() > limits::NOTATIONS {
            return Err(ClaimsError::TooMany(members.len()));
        }
        members.sort_by_key(|(tag, _)| *tag);
        for of_tag in members.chunk_by(|(a, _), (b, _)| a == b) {
            let mut rest = of_tag;
            while let [(tag, value), others @ ..] = rest {
                let again = |(_, other): &(Tag, S)| !tag.repeats() || other.as_ref() == value.as_ref();
                if others.iter().any(again) {
                    return Err(ClaimsError::Repeated(tag.as_str()));
                }
                rest = others;
            }
        }
        Ok(Self(members))
    }

    fn values(&self, tag: Tag) -> impl Iterator<Item = &str> {
        let of_tag = self.0.iter().skip_while(move |(other, _)| *other < tag);
        of_tag.take_while(move |(other, _)| *other == tag).map(|(_, value)| value.as_ref())
    }

    fn check_places(&self, act: Act) -> Result<(), ClaimsError> {
        if let Some((tag, _)) = self.0.iter().find(|(tag, _)| tag.place(act) == Place::Forbidden) {
            return Err(ClaimsError::Misplaced { member: tag.as_str(), act });
        }
        let mut required = Tag::all().filter(|tag| tag.place(act) == Place::Required);
        let missing = required.find(|tag| self.values(*tag).next().is_none());
        missing.map_or(Ok(()), |tag| Err(ClaimsError::Missing(tag.as_str())))
    }

    /// Checks that a statement of act `issued` is about one certificate.
    fn check_one_certificate(&self) -> Result<(), ClaimsError> {
        let several = |tag: &Tag| self.values(*tag).nth(1).is_some();
        match [Tag::Serial, Tag::Spki, Tag::Certificate].iter().find(|tag| several(tag)) {
            Some(tag) => Err(ClaimsError::Repeated(tag.as_str())),
            None => Ok(()),
        }
    }

    /// All values of a member, read.
    fn all<T, E: ToString>(&self, tag: Tag, read: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, ClaimsError> {
        let error = |why: E| ClaimsError::Value { member: tag.as_str(), why: why.to_string() };
        self.values(tag).map(|value| read(value).map_err(error)).collect()
    }

    fn one<T, E: ToString>(&self, tag: Tag, read: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, ClaimsError> {
        let error = |why: E| ClaimsError::Value { member: tag.as_str(), why: why.to_string() };
        self.values(tag).next().map(|value| read(value).map_err(error)).transpose()
    }

    fn required<T, E: ToString>(&self, tag: Tag, read: impl Fn(&str) -> Result<T, E>) -> Result<T, ClaimsError> {
        self.one(tag, read)?.ok_or(ClaimsError::Missing(tag.as_str()))
    }

    fn names(&self) -> Result<Vec<Name>, ClaimsError> {
        let tags = [Tag::Urn, Tag::Serial, Tag::Host, Tag::Spki, Tag::Certificate];
        let read =
            |tag: Tag, text| name(tag.as_str(), text).map_err(|why| ClaimsError::Value { member: tag.as_str(), why });
        tags.into_iter().flat_map(|tag| self.values(tag).map(move |text| read(tag, text))).collect()
    }

    fn attributes(&self) -> Result<BTreeMap<Attribute, String>, ClaimsError> {
        let one = |attribute: &Attribute| {
            let read = |value: &str| text_of(*attribute, value);
            Ok(self.one(Tag::Attribute(*attribute), read)?.map(|value| (*attribute, value)))
        };
        Attribute::ALL.iter().filter_map(|attribute| one(attribute).transpose()).collect()
    }

    fn grant(&self) -> Result<Option<Grant>, ClaimsError> {
        let grantee =
            self.one(Tag::Grantee, |text| canonical(text, text.parse().map_err(|e: IdentityError| e.to_string())?))?;
        let role = self.one(Tag::Grants, str::parse)?;
        Ok(grantee.zip(role).map(|(grantee, role)| Grant { grantee, role }))
    }
}

/// Reads claims from members. `subject` is the kind of a document's subject; if absent, `kind` is among the members.
pub(crate) fn read(members: Vec<(Tag, impl AsRef<str>)>, subject: Option<Kind>) -> Result<(Claims, Kind), ClaimsError> {
    let members = Members::collect(members)?;
    let act: Act = members.required(Tag::Act, str::parse)?;
    members.check_places(act)?;
    let kind = kind(&members, subject)?;
    if kind.has_key() == subject.is_some() || (matches!(act, Act::Installed | Act::Issued) && !kind.has_key()) {
        return Err(ClaimsError::Form(kind));
    }
    if act == Act::Issued {
        members.check_one_certificate()?;
    }
    let supersedes: Vec<StatementId> = members.all(Tag::Supersedes, |text| digest(text).map(StatementId))?;
    if supersedes.len() > limits::SUPERSEDES {
        return Err(ClaimsError::TooManySuperseded(supersedes.len()));
    }
    let claims = Claims {
        role: members.required(Tag::Role, str::parse)?,
        domain: members.required(Tag::Domain, str::parse::<DomainName>)?,
        status: members.one(Tag::Status, str::parse)?,
        reason: members.one(Tag::Reason, text)?,
        label: members.one(Tag::Label, text)?,
        supersedes,
        names: members.names()?,
        attributes: members.attributes()?,
        groups: members.all(Tag::Group, tagged_digest)?,
        replaces: members.one(Tag::Replaces, |text| identity_of(kind, text))?,
        grant: members.grant()?,
        signatures: members.all(Tag::Signature, str::parse)?,
        installed: members.one(Tag::Hash, tagged_digest)?,
        from: members.one(Tag::From, time)?,
        until: members.one(Tag::Until, time)?,
        act,
    };
    if kind != Kind::Software && !claims.signatures.is_empty() {
        return Err(ClaimsError::NotSoftware);
    }
    if claims.signatures.len() > limits::DEVELOPER_SIGNATURES {
        return Err(ClaimsError::TooManySignatures(claims.signatures.len()));
    }
    let empty = |(from, until)| until <= from;
    if claims.from.zip(claims.until).is_some_and(empty) { Err(ClaimsError::Span) } else { Ok((claims, kind)) }
}

fn kind(members: &Members<impl AsRef<str>>, subject: Option<Kind>) -> Result<Kind, ClaimsError> {
    match (members.one(Tag::Kind, str::parse)?, subject) {
        (Some(kind), None) | (None, Some(kind)) => Ok(kind),
        (None, None) => Err(ClaimsError::Missing("kind")),
        (Some(_), Some(_)) => Err(ClaimsError::Repeated("kind")),
    }
}

/// Refuses a value that is not in the system's own spelling: every value has only one.
fn canonical<T: ToString>(text: &str, value: T) -> Result<T, String> {
    let expected = value.to_string();
    if expected == text { Ok(value) } else { Err(misspelt(text, &expected)) }
}

fn misspelt(text: &str, expected: &str) -> String {
    format!("`{}` must be written `{}`", excerpt(text), excerpt(expected))
}

/// A name in its canonical spelling; a URN is given whole, other names without their scheme.
fn name(scheme: &'static str, text: &str) -> Result<Name, String> {
    let whole = if scheme == "urn" { text.to_owned() } else { format!("{scheme}:{text}") };
    let name: Name = whole.parse().map_err(|error: NameError| error.to_string())?;
    match name.text() {
        _ if name.scheme() != scheme => Err(format!("`{}` is not a URN", excerpt(text))),
        written if written == whole => Ok(name),
        written => Err(misspelt(&whole, &written)),
    }
}

/// 64 lower-case hex digits.
fn digest(text: &str) -> Result<[u8; 32], String> {
    let digest = identity::digest(text).map_err(|error| error.to_string())?;
    canonical(text, StatementId(digest)).map(|id| id.0)
}

/// `sha256:` and 64 lower-case hex digits.
fn tagged_digest(text: &str) -> Result<[u8; 32], String> {
    let hex =
        text.strip_prefix("sha256:").ok_or_else(|| format!("`{}` does not begin with `sha256:`", excerpt(text)))?;
    digest(hex)
}

fn time(text: &str) -> Result<Timestamp, String> {
    canonical(text, Timestamp::parse(text).map_err(|error| error.to_string())?)
}

/// The id of an identity, of the form that this kind has.
fn identity_of(kind: Kind, text: &str) -> Result<IdentityId, String> {
    match kind {
        Kind::Software => tagged_digest(text).map(IdentityId::Software),
        Kind::Group => tagged_digest(text).map(IdentityId::Group),
        _ => canonical(text, IdentityId::Key(text.parse().map_err(|error: IdentityError| error.to_string())?)),
    }
}

/// Checks a text for people: not empty, not too long, no control characters.
pub(crate) fn text(value: &str) -> Result<String, String> {
    if value.is_empty() || value.len() > limits::TEXT_BYTES {
        return Err(format!("a text takes 1 to {} bytes, this one has {}", limits::TEXT_BYTES, value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("`{}` contains a control character", excerpt(&value.escape_debug().to_string())));
    }
    Ok(value.to_owned())
}

/// Checks an attribute: a quantity is a decimal number without punctuation, the others are texts.
pub(crate) fn text_of(attribute: Attribute, value: &str) -> Result<String, String> {
    if attribute == Attribute::Quantity && !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{}` is not a decimal number", excerpt(value)));
    }
    text(value)
}

#[cfg(test)]
mod tests;
