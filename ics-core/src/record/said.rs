//! The input of resolution: what was said, and where it stands in the log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::report::Identity;
use crate::identity::{Fingerprint, IdentityId, Kind};
use crate::log::entry::{Header, HeaderError};
use crate::log::source::Source;
use crate::name::Name;
use crate::openpgp::key::PublicKey;
use crate::statement::verify::{Content, Statement, Unverified};
use crate::statement::{Claims, Erasure, Grant, SaidBy, SignedErasure, Software, StatementId, Subject};
use crate::time::Timestamp;
use crate::vocabulary::{Act, Attribute, DomainName, Effect, Role};

/// One domain through which an adopted entry came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef {
    /// The domain's name.
    pub domain: DomainName,
    /// Leaf data of its entry 0: with the name, the domain's identity.
    #[serde(with = "hex32")]
    pub entry0: [u8; 32],
    /// The entry's index in that domain's log.
    pub index: u64,
}

impl SourceRef {
    /// The path of an adopted entry, nearest domain first; empty if it was submitted to this domain itself.
    ///
    /// # Errors
    /// When the header of a source is malformed.
    pub fn way(header: &Header) -> Result<Vec<Self>, HeaderError> {
        let mut way = Vec::new();
        let mut next = header.source.clone();
        while let Some(Source { origin, index, header, .. }) = next {
            way.push(Self { domain: origin.domain, entry0: origin.entry0, index });
            next = Header::decode(&header)?.source;
        }
        Ok(way)
    }
}

mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::identity::digest(&text).map_err(serde::de::Error::custom)
    }
}

/// A verified statement at its place in a domain's log. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    index: u64,
    admitted_at: Timestamp,
    source: Arc<[SourceRef]>,
    refused: bool,
    erased: bool,
    /// Of an erased one, what its erasure says that its status does.
    restated: Option<Effect>,
    /// Of an erased one, who had said it, if its erasure says that.
    former: Option<Arc<SaidBy>>,
    /// Primary fingerprint of the certificate whose key signed.
    signer: Fingerprint,
    /// Its content. Either verification has just shown that it is said, or a store has kept it since.
    said: Arc<Content>,
}

/// From when on a statement is in force: not before it was admitted. For a remnant, whose erasure came later, the
/// erasure states it.
pub(super) fn begins_at(from: Option<Timestamp>, admitted_at: Timestamp, erased: bool) -> Timestamp {
    let from = from.unwrap_or(admitted_at);
    if erased { from } else { from.max(admitted_at) }
}

/// What people see in place of a name that was erased.
const ERASED: &str = "(erased)";

/// The subject of an erased statement, without the names that it had. Groups are not erased.
fn remaining(id: IdentityId, kind: Kind) -> Option<Subject> {
    match id {
        IdentityId::Key(fingerprint) => Some(Subject::Key { fingerprint, kind, user_id: ERASED.to_owned() }),
        IdentityId::Software(digest) => {
            let digests = [("sha256".to_owned(), data_encoding::HEXLOWER.encode(&digest))].into();
            let (name, version) = (ERASED.to_owned(), ERASED.to_owned());
            Some(Subject::Software(Software { kind, name, version, digests }))
        }
        IdentityId::Group(_) => None,
    }
}

/// What an erasure restates, as a statement of the owners in place of the one that they erased.
fn left(erasure: &Erasure, issuer: Fingerprint, signed_at: Timestamp) -> Option<Content> {
    let (Identity { id, kind }, act) = (erasure.identity?, erasure.act?);
    let act = if erasure.status.is_some() { Act::Status } else { act };
    let claims = Claims {
        status: erasure.status.clone(),
        from: erasure.from,
        until: erasure.until,
        supersedes: erasure.ends.clone(),
        groups: erasure.groups.iter().map(|group| group.0).collect(),
        attributes: erasure.attributes.clone(),
        ..Claims::new(act, Role::owner(), erasure.domain.clone())
    };
    let (revokes, names, key) = (false, Vec::new(), None);
    let subject = remaining(id, kind)?;
    Some(Content { id: erasure.statement, identity: id, subject, claims, issuer, signed_at, revokes, names, key })
}

/// The same, for an erasure as it is signed: a function of its body alone.
pub(super) fn restated(signed: &SignedErasure) -> Option<Content> {
    left(&signed.erasure, signed.issuers().next()?, signed.signed_at())
}

impl Logged {
    /// A statement that was verified just now, as the entry at `index` with this header.
    ///
    /// # Errors
    /// When the header of a source is malformed.
    pub fn new(index: u64, header: &Header, statement: &Statement) -> Result<Self, HeaderError> {
        let way = SourceRef::way(header)?;
        Ok(Self::from_said(index, header.admitted_at, &way, statement.signer(), Arc::clone(&statement.content)))
    }

    /// A statement that a store has kept since it was verified, with the signer that verification found. Nothing is
    /// verified again: only for trusted rows.
    ///
    /// # Errors
    /// When the header of a source is malformed.
    pub fn from_store(
        index: u64,
        header: &Header,
        kept: &Unverified,
        signer: Fingerprint,
    ) -> Result<Self, HeaderError> {
        let way = SourceRef::way(header)?;
        Ok(Self::from_said(index, header.admitted_at, &way, signer, Arc::clone(&kept.content)))
    }

    pub(crate) fn from_said(
        index: u64,
        admitted_at: Timestamp,
        source: &[SourceRef],
        signer: Fingerprint,
        said: Arc<Content>,
    ) -> Self {
        let (refused, erased, restated, former) = (false, false, None, None);
        Self { index, admitted_at, source: source.into(), refused, erased, restated, former, signer, said }
    }

    /// What an erasure, at its own place in the log, restates of the statement that it erased; `None` if it does not
    /// say what that was about.
    ///
    /// # Errors
    /// When the header of a source is malformed.
    pub fn from_erasure(index: u64, header: &Header, signed: &SignedErasure) -> Result<Option<Self>, HeaderError> {
        let way = SourceRef::way(header)?;
        let Some(said) = restated(signed) else { return Ok(None) };
        let (at, signer) = (header.admitted_at, said.issuer);
        Ok(Some(Self::from_said(index, at, &way, signer, Arc::new(said)).left_by(&signed.erasure)))
    }

    /// The same, for an erasure that nobody has signed.
    pub(crate) fn of_erasure(
        index: u64,
        admitted_at: Timestamp,
        erasure: &Erasure,
        signer: Fingerprint,
    ) -> Option<Self> {
        let said = Arc::new(left(erasure, signer, admitted_at)?);
        Some(Self::from_said(index, admitted_at, &[], signer, said).left_by(erasure))
    }

    fn left_by(self, erasure: &Erasure) -> Self {
        let (restated, former) = (erasure.effect, erasure.said_by.clone().map(Arc::new));
        Self { erased: true, restated, former, ..self }
    }

    /// The key of the thing that it is about, if there is one. A remnant holds no key.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        self.said.key.as_ref()
    }

    /// Whether it is the remnant of an erased statement.
    #[must_use]
    pub const fn is_erased(&self) -> bool {
        self.erased
    }

    /// For a remnant, who had said the erased statement and where, if its erasure says so.
    #[must_use]
    pub fn said_by(&self) -> Option<&SaidBy> {
        self.former.as_deref()
    }

    /// On whose word it rests: its signer, its place in this log, and the places that it came through. `None` for a
    /// remnant that is the owners' own word.
    #[must_use]
    pub fn hangs_on(&self) -> Option<(Fingerprint, u64, &[SourceRef])> {
        if self.erased {
            return self.said_by().map(|by| (by.signer, by.index, &*by.source));
        }
        Some((self.signer, self.index, &*self.source))
    }

    /// Whether its time is still to come. An erasure gives as `from` no less than when the erased one was admitted.
    /// That is the time of the log, which may be ahead of the clock; what had begun by the log's time when it was
    /// erased has begun.
    pub(crate) fn is_to_come(&self, at: Timestamp) -> bool {
        let known = if self.erased { at.max(self.admitted_at) } else { at };
        self.claims().from.is_some_and(|from| known < from)
    }

    /// From when on it is in force, if nothing ends it.
    pub(crate) fn begins_at(&self) -> Timestamp {
        begins_at(self.claims().from, self.admitted_at, self.erased)
    }

    /// The effect of its status as restated by the owners who erased it: the descriptor may have dropped the status
    /// before. `None` if it was not erased, or they restated no block.
    #[must_use]
    pub const fn restated_effect(&self) -> Option<Effect> {
        self.restated
    }

    /// Approximate bytes of memory that it takes, with everything that it holds. Clones share most of them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let Content { claims, subject, names, key, .. } = &*self.said;
        let attributes = match subject {
            Subject::Group(group) => &group.attributes,
            _ => &claims.attributes,
        };
        let texts = [&claims.reason, &claims.label].into_iter().flatten().map(String::len).sum::<usize>()
            + attributes.values().map(|value| size_of::<(Attribute, String)>() + value.len()).sum::<usize>()
            + names.iter().chain(&claims.names).map(|name| size_of::<Name>() + name.to_string().len()).sum::<usize>();
        let fixed = claims.supersedes.len() * size_of::<StatementId>()
            + size_of_val(&*claims.groups)
            + size_of_val(&*claims.signatures)
            + size_of_val(&*self.source)
            // Its packet, and the numbers in it.
            + key.as_ref().map_or(0, |key| 2 * key.body().len())
            + self.former.as_ref().map_or(0, |by| size_of::<SaidBy>() + size_of_val(&*by.source));
        size_of::<Self>() + size_of::<Content>() + texts + fixed
    }

    /// The same entry, marked as one that a mirror's own reading of the policy would not have admitted: it stays in the
    /// log and has no effect.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Whether it has no effect because the policy did not allow it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Index in the domain's log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// When the domain's home admitted it.
    #[must_use]
    pub const fn admitted_at(&self) -> Timestamp {
        self.admitted_at
    }

    /// The domains through which it was adopted, nearest first; empty if it was said in this domain.
    #[must_use]
    pub fn source(&self) -> &[SourceRef] {
        &self.source
    }

    /// The statement's id.
    #[must_use]
    pub fn id(&self) -> StatementId {
        self.said.id
    }

    /// Primary fingerprint of the signer's certificate.
    #[must_use]
    pub const fn signer(&self) -> Fingerprint {
        self.signer
    }

    /// When it was signed, according to the signer.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.said.signed_at
    }

    /// Whether it is a certification revocation (0x30).
    #[must_use]
    pub fn revokes(&self) -> bool {
        self.said.revokes
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.said.subject
    }

    /// The id of what it is about.
    #[must_use]
    pub fn subject_id(&self) -> IdentityId {
        self.said.identity
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.said.claims
    }

    /// All names that it gives, including those that follow from its User ID and its key.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.said.names
    }

    /// The names that its signer chose, which the signer's role must allow; the digest of the key follows from the key.
    pub(crate) fn chosen_names(&self) -> impl Iterator<Item = &Name> {
        let claimed = &self.said.claims.names;
        self.said.names.iter().filter(|name| !matches!(name, Name::Spki(_)) || claimed.contains(name))
    }

    pub(crate) fn act(&self) -> Act {
        self.said.claims.act
    }

    pub(crate) fn role(&self) -> &Role {
        &self.said.claims.role
    }

    /// The grant that it makes, if it is one.
    pub fn grant(&self) -> Option<&Grant> {
        self.said.claims.grant.as_ref().filter(|_| self.act() == Act::Grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Context;
    use crate::log::entry::EntryKind;
    use crate::openpgp::signer::Signer as _;
    use crate::samples::{Draft, KEEPER, domain, group, id, introduce, now, status, time};
    use crate::statement::body::{self, Body};
    use crate::statement::{DeveloperSignature, fixtures, make};

    /// The remnant of a statement in the log, after the maker has erased it as an owner.
    fn left_of(erasure: &Erasure) -> Option<Logged> {
        let owner = fixtures::maker();
        let json = erasure.to_json().expect("canonical");
        let body = make::sign_descriptor(&[&owner], &json, fixtures::at(), &fixtures::SALT).expect("made");
        let Ok(Body::Erasure(signed)) = body::parse(&body) else { panic!("an erasure") };
        let header = Header { kind: EntryKind::Erasure, admitted_at: now(), source: None };
        let left = Logged::from_erasure(7, &header, &signed).expect("a header")?;
        assert_eq!((left.index(), left.signer()), (7, owner.public_key().fingerprint()));
        Some(left)
    }

    #[test]
    fn a_statement_has_the_key_of_the_thing_that_it_is_about() {
        let (said, device) = (fixtures::unverified(&fixtures::statement()), fixtures::device());
        let header = Header { kind: EntryKind::Statement, admitted_at: now(), source: None };
        let logged = Logged::from_store(3, &header, &said, said.issuer()).expect("a header");
        assert_eq!(logged.key(), Some(device.public_key()));
    }

    #[test]
    fn an_erasure_restates_what_blocks_in_the_place_of_the_statement() {
        let key = fixtures::device().public_key().clone();
        let suspended = status(1, KEEPER, "maintainer", "suspended").from(100).until(9_000_000);
        let suspended = suspended.with(|said| said.key = Some(key)).log();
        let about = [introduce(0).log(), suspended.clone()];
        let context = Context { about: &about, groups: &[], unseen: false };
        let erasure = domain().erasure_of(&suspended, &context, now()).expect("it may be erased");
        let left = left_of(&erasure).expect("it says what it was about");
        assert!(left.is_erased() && !suspended.is_erased());
        assert!(left.key().is_none() && suspended.key().is_some(), "what is erased holds no key");
        assert_eq!(left.restated_effect(), Some(Effect::Blocks), "whatever becomes of the status");
        assert_eq!((left.id(), left.subject_id()), (suspended.id(), suspended.subject_id()));
        let told = |logged: &Logged| {
            let claims = logged.claims();
            (claims.act, claims.status.clone(), claims.from, claims.until)
        };
        assert_eq!(told(&left), told(&suspended));
        assert_eq!((left.begins_at(), suspended.begins_at()), (time(100), time(100)));
        let (domain, nothing_more) = (suspended.claims().domain.clone(), id(1));
        assert_eq!(left_of(&Erasure::new(domain, nothing_more)), None, "it does not say what that was about");
    }

    #[test]
    fn the_source_of_an_entry_is_read_as_it_is_written() {
        let source = SourceRef { domain: "maker.example".parse().unwrap(), entry0: [0x5e; 32], index: 7 };
        let text = serde_json::to_string(&source).unwrap();
        assert!(text.contains(&"5e".repeat(32)), "{text}");
        assert_eq!(serde_json::from_str::<SourceRef>(&text).unwrap(), source);
    }

    /// A node keeps as much as fits into its memory: the more a statement says, the more it takes, all of it counted.
    #[test]
    fn what_is_said_at_length_is_counted() {
        let bytes = |draft: Draft| draft.log().memory_bytes();
        let plain = bytes(introduce(0));
        assert_eq!(plain, size_of::<Logged>() + size_of::<Content>());
        let (long, serial) = ("x".repeat(100), format!("serial:{}", "x".repeat(93)));
        let attribute = 100 + size_of::<(Attribute, String)>();
        let (order, lot) = (group("order 12", &[]), group("lot 7", &[(Attribute::Lot, &long)]));
        let key = fixtures::device().public_key().clone();
        for (draft, more) in [
            (introduce(0).with(|said| said.claims.reason = Some(long.clone())), 100),
            (introduce(0).with(|said| said.claims.label = Some(long.clone())), 100),
            (introduce(0).attribute(Attribute::Lot, &long), attribute),
            (introduce(0).on(&lot), attribute),
            // Once as a claim, and once among all names.
            (introduce(0).name(&serial), 2 * (100 + size_of::<Name>())),
            (introduce(0).ends(1).ends(2), 2 * size_of::<StatementId>()),
            (introduce(0).joins(&order).joins(&lot), 2 * 32),
            (introduce(0).signed_by_developer(), size_of::<DeveloperSignature>()),
            (introduce(0).adopted(), size_of::<SourceRef>()),
            (introduce(0).with(|said| said.key = Some(key.clone())), 2 * key.body().len()),
        ] {
            assert_eq!(bytes(draft.clone()) - plain, more, "{draft:?}");
        }
    }
}
