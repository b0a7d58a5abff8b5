//! Drafts: what is to be signed, in one canonical JSON form, so that a machine without a network can sign what another
//! one has prepared, and can first show what it is.
//!
//! A draft about software or a group is the document itself: its bytes are what will be signed. A draft about a thing
//! with a key is `{"key":…,"revokes":…,"self_signature":…,"statement":{…},"user_id":…}`, from which the certification
//! is built; `statement` has the same members as its notations.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::body::{Body, BodyError, parse};
use super::document::{self, read_members};
use super::make::{self, MakeError};
use super::members::{self, ClaimsError, Tag};
use super::{Claims, SignedHere, Subject};
use crate::canonical_json::{self, JsonError};
use crate::identity::{IdentityId, Kind, excerpt};
use crate::log::text::from_base64;
use crate::openpgp::certificate::{Purpose, user_id};
use crate::openpgp::key::PublicKey;
use crate::openpgp::signer::Signer;
use crate::time::Timestamp;

/// A statement that has not been signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is about.
    pub subject: DraftSubject,
    /// Its claims.
    pub claims: Claims,
}

/// What a draft is about, with everything that a signature over it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftSubject {
    /// A thing with a key.
    Key {
        /// Its key.
        key: Box<PublicKey>,
        /// What kind of thing it is.
        kind: Kind,
        /// Its name for people: the User ID that is certified.
        user_id: String,
        /// Its own signature over key and User ID, a whole packet, if it has made one.
        self_signature: Option<Vec<u8>>,
        /// Whether it is signed as a certification revocation (see [`Claims::revokes`]).
        revokes: bool,
    },
    /// Software, or a group.
    Document(Subject),
}

impl Draft {
    /// The id of the thing.
    ///
    /// # Errors
    /// When the subject is malformed.
    pub fn identity(&self) -> Result<IdentityId, ClaimsError> {
        match &self.subject {
            DraftSubject::Key { key, .. } => Ok(IdentityId::Key(key.fingerprint())),
            DraftSubject::Document(subject) => subject.id(),
        }
    }

    /// What kind of thing it is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match &self.subject {
            DraftSubject::Key { kind, .. } => *kind,
            DraftSubject::Document(subject) => subject.kind(),
        }
    }

    /// What the signing key must be allowed to do.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match &self.subject {
            DraftSubject::Key { .. } => Purpose::Certify,
            DraftSubject::Document(_) => Purpose::Sign,
        }
    }

    /// Its canonical form (RFC 8785).
    ///
    /// # Errors
    /// When it breaks a rule of statements.
    pub fn to_json(&self) -> Result<Vec<u8>, ClaimsError> {
        let (key, kind, user_id, self_signature, revokes) = match &self.subject {
            DraftSubject::Document(subject) => return document::write(subject, &self.claims),
            DraftSubject::Key { key, kind, user_id, self_signature, revokes } => {
                (key, kind, user_id, self_signature, revokes)
            }
        };
        let mut statement = serde_json::to_value(&self.claims).map_err(shape)?;
        if let Value::Object(members) = &mut statement {
            members.insert(Tag::Kind.as_str().to_owned(), kind.to_string().into());
        }
        let mut draft = json!({
            "key": BASE64.encode(&key.to_packet()), "revokes": revokes, "statement": statement, "user_id": user_id,
        });
        if let (Some(own), Value::Object(members)) = (self_signature, &mut draft) {
            members.insert("self_signature".to_owned(), BASE64.encode(own).into());
        }
        let bytes = canonical_json::to_bytes(&draft)?;
        Self::parse(&bytes).map(|_| bytes)
    }

    /// Reads the canonical form, and checks everything that can be checked without the rules of the domain.
    ///
    /// # Errors
    /// When it is not canonical, or breaks a rule of statements.
    pub fn parse(json: &[u8]) -> Result<Self, ClaimsError> {
        let value = canonical_json::parse_value(json)?;
        if value.get("subject").is_some() {
            let (subject, claims) = document::read(value)?;
            subject.id()?;
            return Ok(Self { subject: DraftSubject::Document(subject), claims });
        }
        let Value::Object(members) = value else { return Err(shape("a draft is an object")) };
        Self::about_key(members)
    }

    fn about_key(mut draft: Map<String, Value>) -> Result<Self, ClaimsError> {
        let statement = draft.remove("statement").ok_or(ClaimsError::Missing("statement"))?;
        let (claims, kind) = members::read(read_members(statement)?, None)?;
        let Some(Value::Bool(revokes)) = draft.remove("revokes") else { return Err(ClaimsError::Missing("revokes")) };
        let mut text = |member: &'static str| match draft.remove(member) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(shape(format!("`{member}` is a text"))),
            None => Ok(None),
        };
        let value = |member, why: String| ClaimsError::Value { member, why };
        let packet = base64(text("key")?.ok_or(ClaimsError::Missing("key"))?).map_err(|why| value("key", why))?;
        let key = PublicKey::from_packet(&packet).map_err(|e| value("key", e.to_string()))?;
        let name = text("user_id")?.ok_or(ClaimsError::Missing("user_id"))?;
        user_id(name.as_bytes()).map_err(|e| value("user_id", e.to_string()))?;
        let own = text("self_signature")?.map(base64).transpose().map_err(|why| value("self_signature", why))?;
        if let Some((name, _)) = draft.into_iter().next() {
            return Err(ClaimsError::Unknown(excerpt(&name)));
        }
        claims.check_revokes(kind, revokes)?;
        let key = Box::new(key);
        Ok(Self { subject: DraftSubject::Key { key, kind, user_id: name, self_signature: own, revokes }, claims })
    }

    /// Signs it, giving a body that a home accepts. See [`make::certify`] and [`make::sign_document`].
    ///
    /// # Errors
    /// When it breaks a rule, or the key does not sign.
    pub fn sign(&self, signer: &dyn Signer, at: Timestamp, salt: &[u8; 32]) -> Result<Vec<u8>, MakeError> {
        match &self.subject {
            DraftSubject::Document(subject) => make::sign_document(signer, subject, &self.claims, at, salt),
            DraftSubject::Key { key, kind, user_id, self_signature, revokes } => {
                let own = self_signature.as_deref();
                make::certify(signer, key, user_id, own, *kind, &self.claims, *revokes, at, salt)
            }
        }
    }

    /// The same, returning the statement with the body, for a caller that appends it to a log itself.
    ///
    /// # Errors
    /// As [`Draft::sign`].
    pub fn sign_here(
        &self,
        signer: &dyn Signer,
        at: Timestamp,
        salt: &[u8; 32],
    ) -> Result<(Vec<u8>, SignedHere), MakeError> {
        let body = self.sign(signer, at, salt)?;
        match parse(&body)? {
            Body::Statement(made) => Ok((body, SignedHere(made))),
            _ => Err(BodyError::Sequence.into()),
        }
    }
}

fn base64(text: String) -> Result<Vec<u8>, String> {
    from_base64(&text).map_err(|e| e.to_string())
}

fn shape(why: impl ToString) -> ClaimsError {
    JsonError::Shape(excerpt(&why.to_string())).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::openpgp::signer::Ed25519Signer;
    use crate::openpgp::spki::BARE_KEY_CREATED;
    use crate::statement::{Group, Software};
    use crate::vocabulary::{Act, Attribute};

    const AT: Timestamp = Timestamp::from_seconds(1_795_162_200);

    fn claims(act: Act) -> Claims {
        Claims::new(act, "manufacturer".parse().unwrap(), "devices.acme.example".parse().unwrap())
    }

    fn key_draft(claims: Claims, revokes: bool) -> Draft {
        let point = *ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes();
        let key = Box::new(PublicKey::ed25519(4, BARE_KEY_CREATED, &point).unwrap());
        let user_id = "device SN-1".to_owned();
        Draft { subject: DraftSubject::Key { key, kind: Kind::Device, user_id, self_signature: None, revokes }, claims }
    }

    fn document_draft(subject: Subject, act: Act) -> Draft {
        Draft { subject: DraftSubject::Document(subject), claims: claims(act) }
    }

    #[test]
    fn read_back_and_signed_as_it_says() {
        let mut identity = claims(Act::Identity);
        identity.attributes = BTreeMap::from([(Attribute::Model, "P7".to_owned())]);
        identity.names = vec!["serial:SN-1".parse().unwrap()];
        let stolen = Claims { status: Some("stolen".parse().unwrap()), ..claims(Act::Status) };
        let software = Software {
            kind: Kind::Software,
            name: "p7".to_owned(),
            version: "1".to_owned(),
            digests: BTreeMap::from([("sha256".to_owned(), "00".repeat(32))]),
        };
        let group = Group { kind: Kind::Group, name: "Lot".to_owned(), attributes: BTreeMap::new() };
        let signer = Ed25519Signer::from_seed(&[9; 32], 4, BARE_KEY_CREATED).unwrap();
        for draft in [
            key_draft(identity, false),
            key_draft(stolen, true),
            document_draft(Subject::Software(software), Act::Identity),
            document_draft(Subject::Group(group), Act::Approval),
        ] {
            let json = draft.to_json().unwrap();
            assert_eq!(Draft::parse(&json), Ok(draft.clone()));
            let body = draft.sign(&signer, AT, &[0; 32]).unwrap();
            let Ok(Body::Statement(statement)) = parse(&body) else { panic!("no statement") };
            assert_eq!((statement.claims(), statement.identity()), (&draft.claims, draft.identity().unwrap()));
        }
    }

    #[test]
    fn a_document_is_what_will_be_signed() {
        let group = Group { kind: Kind::Group, name: "Lot".to_owned(), attributes: BTreeMap::new() };
        let draft = document_draft(Subject::Group(group), Act::Identity);
        let signer = Ed25519Signer::from_seed(&[9; 32], 4, BARE_KEY_CREATED).unwrap();
        let (json, body) = (draft.to_json().unwrap(), draft.sign(&signer, AT, &[0; 32]).unwrap());
        assert!(body.windows(json.len()).any(|window| window == json));
    }

    #[test]
    fn refuses_what_no_statement_could_say() {
        let stolen = Claims { status: Some("stolen".parse().unwrap()), ..claims(Act::Status) };
        assert_eq!(key_draft(stolen, false).to_json(), Err(ClaimsError::Revokes { expected: 0x30 }));
        let good = String::from_utf8(key_draft(claims(Act::Approval), false).to_json().unwrap()).unwrap();
        let refused = |from: &str, to: &str| Draft::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(refused("\"approval\"", "\"status\""), ClaimsError::Missing("status"));
        assert!(matches!(refused("\"revokes\":false,", ""), ClaimsError::Missing("revokes")));
        assert!(matches!(refused("{\"key\":\"", "{\"key\":\"!"), ClaimsError::Value { member: "key", .. }));
        assert!(matches!(refused("\"user_id\":\"", "\"user_id\":\"\\n"), ClaimsError::Value { member: "user_id", .. }));
        let own = |text: &str| refused("\"statement\"", &format!("\"self_signature\":\"{text}\",\"statement\""));
        assert!(matches!(own("QQ==QQ=="), ClaimsError::Value { member: "self_signature", .. }), "two texts");
        assert!(matches!(refused("{\"key\"", "{\"extra\":1,\"key\""), ClaimsError::Unknown(_)));
        assert!(matches!(refused("\"key\"", " \"key\""), ClaimsError::Json(_)), "one form only");
    }
}
