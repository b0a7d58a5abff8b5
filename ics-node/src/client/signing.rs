//! Making statements as a signer, with a key that is at hand or for a machine that has the key.

use std::path::PathBuf;
use std::sync::Arc;

use ics_core::descriptor::Descriptor;
use ics_core::identity::{Fingerprint, Kind};
use ics_core::statement::make::MakeError;
use ics_core::statement::{Claims, ClaimsError, Draft, DraftSubject};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName, Effect, Role, StatusName};

use super::thing::{KeyThing, Thing};
use crate::keys::{KeyError, UnlockedKey};

/// A signer at work: their key, the role in which they speak, and the domain in which they do so.
pub struct Signing {
    hand: Hand,
    /// The role.
    pub role: Role,
    /// The domain's descriptor, as the node gave it: it defines which statuses block and what may be lifted.
    pub descriptor: Descriptor,
}

/// How statements are signed.
enum Hand {
    /// With a key that is at hand.
    Key(Arc<UnlockedKey>),
    /// With the key of this fingerprint on another machine, to which a file is carried.
    Elsewhere(Fingerprint, PathBuf),
}

/// Why a statement was not made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The key cannot be used for it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The statement breaks a rule.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// The subject is malformed.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The domain has no such status for such a thing.
    #[error("`{status}` is not a status of a {kind} in `{domain}`")]
    Status {
        /// The status.
        status: String,
        /// The kind of thing.
        kind: String,
        /// The domain.
        domain: String,
        /// The statuses that the domain has for such things.
        known: Vec<String>,
    },
    /// The key is on another machine.
    #[error("the key {0} is not here")]
    Elsewhere(Fingerprint),
    /// The system has no randomness.
    #[error("the system gave no random bytes: {0}")]
    Randomness(String),
}

impl SigningError {
    /// Whether no statement can be signed, whatever it says.
    #[must_use]
    pub const fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Elsewhere(_) | Self::Randomness(_) | Self::Make(MakeError::Signer(_)))
    }
}

impl Signing {
    /// A signer in a role, for a domain.
    #[must_use]
    pub fn new(key: UnlockedKey, role: Role, descriptor: Descriptor) -> Self {
        Self { hand: Hand::Key(Arc::new(key)), role, descriptor }
    }

    /// A signer whose key is on another machine: what is to be signed goes into a file.
    #[must_use]
    pub const fn elsewhere(signer: Fingerprint, file: PathBuf, role: Role, descriptor: Descriptor) -> Self {
        Self { hand: Hand::Elsewhere(signer, file), role, descriptor }
    }

    /// The file for what is to be signed on another machine; `None` if the key is at hand.
    #[must_use]
    pub fn unsigned(&self) -> Option<&PathBuf> {
        match &self.hand {
            Hand::Elsewhere(_, file) => Some(file),
            Hand::Key(_) => None,
        }
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.descriptor.domain
    }

    /// The fingerprint by which statements and descriptors name the signer.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match &self.hand {
            Hand::Key(key) => key.certificate().primary(),
            Hand::Elsewhere(signer, _) => *signer,
        }
    }

    /// The signer's certificate, which the log must hold before their statements; empty if the key is on another
    /// machine, which sends the certificate along with what it has signed.
    #[must_use]
    pub fn certificate_bytes(&self) -> &[u8] {
        match &self.hand {
            Hand::Key(key) => key.certificate_bytes(),
            Hand::Elsewhere(..) => &[],
        }
    }

    /// The key.
    ///
    /// # Errors
    /// When it is on another machine.
    pub fn key(&self) -> Result<&Arc<UnlockedKey>, SigningError> {
        match &self.hand {
            Hand::Key(key) => Ok(key),
            Hand::Elsewhere(signer, _) => Err(SigningError::Elsewhere(*signer)),
        }
    }

    /// Claims for an act by this signer in this domain.
    #[must_use]
    pub fn claims(&self, act: Act) -> Claims {
        Claims::new(act, self.role.clone(), self.domain().clone())
    }

    /// Signs claims about a thing with a random salt; `ends_vouching` says whether a withdrawal withdraws an identity
    /// or an approval.
    ///
    /// # Errors
    /// When the claims break a rule or the key cannot sign them.
    pub fn sign(
        &self,
        thing: &Thing,
        claims: &Claims,
        ends_vouching: bool,
        at: Timestamp,
    ) -> Result<Vec<u8>, SigningError> {
        self.sign_salted(thing, claims, ends_vouching, at, &random_salt()?)
    }

    /// As [`Self::sign`], with a given salt, so that the same statement can be made again.
    ///
    /// # Errors
    /// When the claims break a rule or the key cannot sign them.
    pub fn sign_salted(
        &self,
        thing: &Thing,
        claims: &Claims,
        ends_vouching: bool,
        at: Timestamp,
        salt: &[u8; 32],
    ) -> Result<Vec<u8>, SigningError> {
        let draft = self.draft(thing.clone(), claims.clone(), ends_vouching)?;
        Ok(draft.sign(self.key()?.signer(draft.purpose(), at)?, at, salt)?)
    }

    /// What is to be signed.
    ///
    /// # Errors
    /// When the domain has no such status.
    pub fn draft(&self, thing: Thing, claims: Claims, ends_vouching: bool) -> Result<Draft, SigningError> {
        let revokes = self.revokes(&thing, &claims, ends_vouching)?;
        let subject = match thing {
            Thing::Document(subject) => DraftSubject::Document(subject),
            Thing::Key(thing) => {
                // OpenPGP revokes by the User ID (RFC 9580, 5.2.1.13): if the revocation had another one, gpg would
                // still believe what is withdrawn.
                let is_named = revokes || !claims.act.stays();
                let KeyThing { key, kind, user_id, self_signature } = if is_named { *thing } else { thing.unnamed() };
                DraftSubject::Key { key: Box::new(key), kind, user_id, self_signature, revokes }
            }
        };
        Ok(Draft { subject, claims })
    }

    /// Whether the statement is signed as a certification revocation, so that clients that read no notations err on the
    /// safe side.
    fn revokes(&self, thing: &Thing, claims: &Claims, ends_vouching: bool) -> Result<bool, SigningError> {
        let kind = thing.kind();
        let Some(status) = claims.status.as_ref().filter(|_| claims.act == Act::Status) else {
            return Ok(claims.revokes(kind).unwrap_or(ends_vouching));
        };
        let effect = self.descriptor.effect(status, kind).ok_or_else(|| SigningError::Status {
            status: status.to_string(),
            kind: kind.to_string(),
            domain: self.domain().to_string(),
            known: self.statuses_of(kind),
        })?;
        Ok(claims.revokes(kind).unwrap_or_else(|| Effect::blocks(effect)))
    }

    /// The statuses that the domain has for things of a kind: the built-in ones first, then its own.
    fn statuses_of(&self, kind: Kind) -> Vec<String> {
        let builtin = StatusName::builtin_names().filter_map(|name| name.parse::<StatusName>().ok());
        let all = builtin.chain(self.descriptor.statuses.keys().cloned());
        all.filter(|name| self.descriptor.effect(name, kind).is_some()).map(|name| name.to_string()).collect()
    }
}

/// A salt for one signature.
///
/// # Errors
/// When the system has no randomness.
pub fn random_salt() -> Result<[u8; 32], SigningError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|e| SigningError::Randomness(e.to_string()))?;
    Ok(salt)
}
