//! The record as people and programs read it: what stands, who said so, where in the log, and what became of the rest.

use core::fmt;
use core::str::FromStr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SourceRef;
use super::said::begins_at;
use crate::descriptor::Descriptor;
use crate::identity::{self, Fingerprint, IdentityError, IdentityId, Kind, excerpt, serde_as_text, write_hex};
use crate::name::Name;
use crate::statement::{Claims, SaidBy, SignatureForm, StatementId};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, Role, StatusName};

/// An identity together with its kind: the text of an id alone does not tell software from a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "IdentityText")]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// What kind of thing it is.
    pub kind: Kind,
}

#[derive(Deserialize)]
struct IdentityText {
    id: String,
    kind: Kind,
}

impl TryFrom<IdentityText> for Identity {
    type Error = IdentityError;

    fn try_from(text: IdentityText) -> Result<Self, IdentityError> {
        let fits = |id: &IdentityId| match id {
            IdentityId::Key(_) => text.kind.has_key(),
            IdentityId::Software(_) => text.kind == Kind::Software,
            IdentityId::Group(_) => text.kind == Kind::Group,
        };
        let id = IdentityId::candidates(&text.id)?.into_iter().find(fits);
        id.map(|id| Self { id, kind: text.kind }).ok_or_else(|| IdentityError::Kind(excerpt(&text.id)))
    }
}

/// A SHA-256, written as `sha256:` and hex; the context says whether it is a group or a piece of software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        write_hex(f, &self.0)
    }
}

impl FromStr for Digest {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let hex = text.strip_prefix("sha256:").ok_or_else(|| IdentityError::Digest(excerpt(text)))?;
        identity::digest(hex).map(Self)
    }
}

serde_as_text!(Digest);

/// Who says something, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Primary fingerprint of the signer's certificate.
    pub signer: Fingerprint,
    /// The first User ID of the signer's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The capacity in which the signer speaks.
    pub role: Role,
    /// The statement.
    pub statement: StatementId,
    /// Its index in the domain's log.
    pub index: u64,
    /// The group that the statement is about, if it is not about the thing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Digest>,
}

/// A value that a standing statement gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Who gave it, and where.
    pub by: By,
}

/// A developer's own signature over a piece of software, which whoever introduced it has found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeveloperKey {
    /// The form of the signature.
    pub form: SignatureForm,
    /// Whose signature it is: see [`crate::statement::DeveloperSignature`].
    pub key: String,
}

/// A trust label that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenLabel {
    /// The label.
    pub value: String,
    /// Until when, exclusively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who gave it, and where.
    pub by: By,
}

/// A role that a live grant gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenGrant {
    /// Primary fingerprint of the signer who is entitled.
    pub grantee: Fingerprint,
    /// The first User ID of the grantee's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role that the grantee has.
    pub role: Role,
    /// Until when, exclusively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who granted it.
    pub by: By,
}

/// What a grant gives, and to whom, whether it is live or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Primary fingerprint of the signer who is to be entitled.
    pub grantee: Fingerprint,
    /// The first User ID of the grantee's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role.
    pub role: Role,
}

/// An X.509 certificate, as named by the statement with which it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// `serial:` and its serial number in hex.
    pub serial: Name,
    /// `spki:` and the SHA-256 of its SubjectPublicKeyInfo.
    pub spki: Name,
    /// `cert:` and its SHA-256.
    pub certificate: Name,
    /// From when on it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when it is valid, exclusively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl IssuedCertificate {
    /// What a statement of act `issued` says; `None` for any other act.
    #[must_use]
    pub fn of(claims: &Claims) -> Option<Self> {
        let name = |scheme: &str| claims.names.iter().find(|name| name.scheme() == scheme).cloned();
        let issued = claims.act == Act::Issued;
        Some(Self {
            serial: name("serial").filter(|_| issued)?,
            spki: name("spki")?,
            certificate: name("cert")?,
            from: claims.from,
            until: claims.until,
        })
    }

    /// The one of 256 buckets, by which revocation lists are divided, that holds this certificate: the second octet of
    /// its serial number. The first octet is not used because it makes the number positive and of full length. `None`
    /// if the number has no second octet, or is not in hex.
    #[must_use]
    pub fn bucket(&self) -> Option<u8> {
        let Name::Serial(text) = &self.serial else { return None };
        text.get(2..4).and_then(|hex| u8::from_str_radix(hex, 16).ok())
    }

    /// Its names.
    #[must_use]
    pub const fn names(&self) -> [&Name; 3] {
        [&self.serial, &self.spki, &self.certificate]
    }
}

/// A status that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenStatus {
    /// What it does.
    pub effect: Effect,
    /// Its name.
    pub name: StatusName,
    /// From when on.
    pub since: Timestamp,
    /// Why, in the signer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who gave it, and where.
    pub by: By,
}

/// The status of a thing in one domain: the most restrictive of the statuses that stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The status that decides: among the most restrictive, the first in the log.
    #[serde(flatten)]
    pub decides: GivenStatus,
    /// The other statuses that stand and differ from it, most restrictive first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflict: Vec<GivenStatus>,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It counts.
    Stands,
    /// A later statement that was entitled to replace it names it in `supersedes`.
    Replaced,
    /// Its signer took it back, or its grantee gave it back.
    Withdrawn,
    /// The domain's owners lifted it, in the descriptor.
    Lifted,
    /// Its `from` lies in the future.
    NotYet,
    /// Its `until` has passed.
    Lapsed,
    /// Its signer has lost the role in which they vouched.
    RoleLost,
    /// It is about a group, and its signer's role over the group does not cover this member of it.
    NotCovering,
    /// The descriptor declares its signer compromised from its index or an earlier one on.
    Compromised,
    /// It stands in the log although the policy did not admit it.
    Refused,
    /// The domain's owners erased it, and nothing of it has effect any more.
    Erased,
}

impl Standing {
    /// The reason in words; the statement that caused it, if any, is to follow.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stands => "it stands",
            Self::Replaced => "a later statement replaces it",
            Self::Withdrawn => "it was taken back",
            Self::Lifted => "the domain's owners lifted it",
            Self::NotYet => "it holds only from a later time on",
            Self::Lapsed => "its time is over",
            Self::RoleLost => "its signer no longer has the role in which he spoke",
            Self::NotCovering => "its signer's role does not cover this member of the group",
            Self::Compromised => "its signer was compromised when it was admitted",
            Self::Refused => "the policy did not admit it",
            Self::Erased => "the domain's owners erased it",
        }
    }
}

/// What gives a signer the role in which they speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entitlement {
    /// The descriptor of this version lists the signer under the role.
    Descriptor(u64),
    /// The statement with this id grants the signer the role over the thing, or over a group that holds it.
    Grant(StatementId),
}

/// The descriptor or other entry by which a statement ceased to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoidSince {
    /// The index of its entry.
    pub index: u64,
    /// When the domain's home admitted it.
    pub at: Timestamp,
}

/// One statement of the record, whether it stands or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Who said it, and where.
    #[serde(flatten)]
    pub by: By,
    /// Its act.
    pub act: Act,
    /// What gives its signer their role: now, or else when it was admitted; absent if nothing known here does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitled_by: Option<Entitlement>,
    /// When the domain's home admitted it.
    pub admitted_at: Timestamp,
    /// When it was signed, according to the signer.
    pub signed_at: Timestamp,
    /// The domains through which it was adopted, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceRef>,
    /// What became of it.
    pub standing: Standing,
    /// Of one whose time is still to come, whether by all that counts now it will not count then either: something has
    /// ended it for all its time, or the role of its signer does not cover the thing, as where the signer had sold the
    /// thing before speaking of the order that it is of.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub forestalled: bool,
    /// That in words.
    pub because: String,
    /// The statement that replaced it or took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<StatementId>,
    /// Since when it no longer counts, if the owners have lifted it or declared its signer compromised, or if it
    /// formerly blocked for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void_since: Option<VoidSince>,
    /// The status that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusName>,
    /// What that status does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// The label that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The role that it gives, and to whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Granted>,
    /// Why, in the signer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its body was erased: the index is then that of the erasure, and the signer one of the owners who erased
    /// it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub erased: bool,
    /// Who had said what was erased, if the erasure names them: it falls with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by: Option<SaidBy>,
    /// What it replaces or takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<StatementId>,
    /// The certificate that was issued with it, whether in force or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<IssuedCertificate>,
    /// From when on it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when it is in force, exclusively.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Listed {
    /// From when on it is in force, if nothing ends it; for an erased statement, since before it was erased.
    #[must_use]
    pub fn begins_at(&self) -> Timestamp {
        begins_at(self.from, self.admitted_at, self.erased)
    }

    /// The same as one that will not count when its time has come.
    pub(super) fn forestalled(self) -> Self {
        let because = "it is ended before its time, or its signer's role does not cover the thing".to_owned();
        Self { forestalled: true, because, ..self }
    }

    /// Whether it comes into force by itself at a later time, as far as can be told now. Whoever blocks may be lifted by
    /// others before, which is not looked at.
    #[must_use]
    pub fn is_to_come(&self) -> bool {
        self.standing == Standing::NotYet && !self.forestalled
    }
}

/// What one domain says about one identity, at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The domain.
    pub domain: DomainName,
    /// The thing: `id` and `kind`.
    #[serde(flatten)]
    pub identity: Identity,
    /// What people call it: the User ID of its first standing introduction, else of another statement about it, or its
    /// name and version. Statements that are never erased contain no name
    /// ([`Act::stays`](crate::vocabulary::Act::stays)).
    pub title: String,
    /// Other titles, from those who also introduce it; each once, by the first who gives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_called: Vec<Given<String>>,
    /// The time at which the statements were judged.
    pub at: Timestamp,
    /// When, after that, the first statement comes into force or ceases to be: the record holds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<Timestamp>,
    /// Its status; absent if none stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Who vouches that it is what it claims to be.
    pub vouched: Vec<By>,
    /// Names that entitled signers give it.
    pub names: Vec<Given<Name>>,
    /// Attributes that entitled signers give it; two values of one attribute are a contradiction.
    pub attributes: BTreeMap<Attribute, Vec<Given<String>>>,
    /// Values that single statements give beside those in `attributes`: values that contradict others, or that no
    /// longer count though nothing has taken their place; for a group, those that it selects. Whoever may not read a
    /// thing with one of these may not read this one ([`Record::readings`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub also_said: BTreeMap<Attribute, BTreeSet<String>>,
    /// Whether a statement that introduced it was erased before anything had taken its place: except for the attributes
    /// by which groups select, what it said is lost. Rules of reading that look at others show nothing of the thing.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub forgotten: bool,
    /// Whether more was said about it than can be read at present: a statement was erased, and what is left of it,
    /// perhaps a block, is not shown yet. Resolution cannot know that; whoever reads the log says so. Until it is shown
    /// nobody can tell what stands.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub cut_short: bool,
    /// Who approves of it.
    pub approvals: Vec<By>,
    /// Who formerly approved of it: for a time that is over, or by an approval that they have replaced since. They have
    /// not withdrawn it, and still have the role in which they gave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formerly_approved: Vec<By>,
    /// Trust labels.
    pub labels: Vec<GivenLabel>,
    /// Groups into which standing statements put it by name.
    pub groups: Vec<Given<Digest>>,
    /// Roles over it that live grants give.
    pub grants: Vec<GivenGrant>,
    /// Software that is installed on it.
    pub installed: Vec<Given<Digest>>,
    /// X.509 certificates that were issued to it, have not expired and were not taken back. Whether they are in force
    /// depends on its status as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Given<IssuedCertificate>>,
    /// Developers' own signatures over the software.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Given<DeveloperKey>>,
    /// Identities that it succeeds, by the text of their ids.
    pub replaces: Vec<Given<String>>,
    /// What once blocked it for ever and no longer does, though nobody has lifted it: it has left the group that the
    /// statement is about, the signer's role covers it no longer, or a descriptor has given the status another effect.
    /// Each has the entry that ended the block. Certificates revoked by it stay revoked; nothing else depends on it,
    /// and it is not reported for a thing that never had a certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formerly_blocked: Vec<Listed>,
    /// All statements that concern it, by index.
    pub statements: Vec<Listed>,
    /// Number of statements left out of the bounded list, which neither stand nor are to come.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    /// The effect of its status; a thing without a status is neither permitted nor blocked.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.status.as_ref().map_or(Effect::None, |status| status.decides.effect)
    }

    /// The roles over the identity that a signer has: by the descriptor, and by live grants.
    #[must_use]
    pub fn roles_of(&self, descriptor: &Descriptor, signer: &Fingerprint) -> BTreeSet<Role> {
        let granted = self.grants.iter().filter(|grant| grant.grantee == *signer).map(|grant| grant.role.clone());
        descriptor.roles_of(signer).into_iter().chain(granted).collect()
    }

    /// Grants that give a role over it from a later time on, with what they give.
    pub fn grants_to_come(&self) -> impl Iterator<Item = (&Granted, &Listed)> {
        let grants = self.statements.iter().filter_map(|it| Some((it.grant.as_ref()?, it)));
        grants.filter(|(_, it)| it.is_to_come())
    }

    /// The statement at an index of the domain's log, if it is listed.
    #[must_use]
    pub fn statement_at(&self, index: u64) -> Option<&Listed> {
        let place = self.statements.binary_search_by_key(&index, |listed| listed.by.index).ok()?;
        self.statements.get(place)
    }

    /// The statement with an id, if it is listed; if it was refused and stands in the log again, the copy that counts.
    #[must_use]
    pub fn statement(&self, id: StatementId) -> Option<&Listed> {
        let copies = self.statements.iter().filter(|listed| listed.by.statement == id);
        copies.min_by_key(|listed| listed.standing == Standing::Refused)
    }
}

#[cfg(test)]
mod tests;
