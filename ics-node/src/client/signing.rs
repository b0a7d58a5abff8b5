//! Signing statements with the keys of a home directory.

use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Purpose;
use ics_core::statement::make::{self, MakeError};
use ics_core::statement::{Claims, ClaimsError};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName, Effect, Role};

use super::thing::Thing;
use crate::keys::{KeyError, UnlockedKey};

/// A signer at work: his key, the role in which he speaks, and the domain that he speaks in.
pub struct Signing {
    key: UnlockedKey,
    /// The role.
    pub role: Role,
    /// The domain's descriptor, as the node gave it: it says which statuses block and what may be lifted.
    pub descriptor: Descriptor,
}

/// Why a statement was not made.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The key cannot do that.
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
    },
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(String),
}

impl Signing {
    /// A signer in a role, for a domain.
    #[must_use]
    pub const fn new(key: UnlockedKey, role: Role, descriptor: Descriptor) -> Self {
        Self { key, role, descriptor }
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> &DomainName {
        &self.descriptor.domain
    }

    /// The fingerprint by which statements and descriptors name the signer.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.certificate().primary()
    }

    /// The signer's certificate, which the log must hold before his statements.
    #[must_use]
    pub fn certificate_bytes(&self) -> &[u8] {
        self.key.certificate_bytes()
    }

    /// Claims of an act by this signer in this domain.
    #[must_use]
    pub fn claims(&self, act: Act) -> Claims {
        Claims::new(act, self.role.clone(), self.domain().clone())
    }

    /// Signs claims about a thing with a random salt; `ends_vouching` says of a withdrawal whether it takes back an
    /// identity or an approval.
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
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|e| SigningError::Randomness(e.to_string()))?;
        self.sign_salted(thing, claims, ends_vouching, at, &salt)
    }

    /// The same with a salt that is given, so that the same statement can be made again.
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
        let revokes = self.revokes(thing, claims, ends_vouching)?;
        Ok(match thing {
            Thing::Document(subject) => {
                let signer = self.key.signer(Purpose::Sign, at)?;
                make::sign_document(signer, subject, claims, at, salt)?
            }
            Thing::Key(thing) => {
                let signer = self.key.signer(Purpose::Certify, at)?;
                let own = thing.self_signature.as_deref();
                make::certify(signer, &thing.key, &thing.user_id, own, thing.kind, claims, revokes, at, salt)?
            }
        })
    }

    /// Whether the statement is signed as a certification revocation, so that clients which read no notations err on
    /// the safe side.
    fn revokes(&self, thing: &Thing, claims: &Claims, ends_vouching: bool) -> Result<bool, SigningError> {
        let kind = thing.kind();
        let Some(status) = claims.status.as_ref().filter(|_| claims.act == Act::Status) else {
            return Ok(claims.revokes(kind).unwrap_or(ends_vouching));
        };
        let effect = self.descriptor.effect(status, kind).ok_or_else(|| SigningError::Status {
            status: status.to_string(),
            kind: kind.to_string(),
            domain: self.domain().to_string(),
        })?;
        Ok(claims.revokes(kind).unwrap_or_else(|| Effect::blocks(effect)))
    }
}
