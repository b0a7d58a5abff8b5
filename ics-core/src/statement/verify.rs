//! Verification: turns a parsed statement into one that its signer has made. Verified is a type, and this is where it
//! is made.

use std::sync::Arc;

use crate::identity::{Fingerprint, IdentityId};
use crate::limits;
use crate::name::Name;
pub use crate::openpgp::certificate::Purpose;
use crate::openpgp::certificate::{Certificate, KeyRefusal};
use crate::openpgp::key::PublicKey;
use crate::openpgp::verify::{self, SignatureFault, SignedDigest};
use crate::statement::{Claims, StatementId, Subject};
use crate::time::Timestamp;
use crate::vocabulary::Act;

/// Why a statement is not one that its signer has made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signer's certificate does not let this key sign such things at that time.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// The signature is not good.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    /// The subject's own signature is not good.
    #[error("the subject's own signature: {0}")]
    SelfSignature(SignatureFault),
    /// It claims to be made later than now.
    #[error("the signature claims to be made at {signed_at}, more than 5 minutes after {at}")]
    Future {
        /// The time that it claims.
        signed_at: Timestamp,
        /// The time at which it is judged.
        at: Timestamp,
    },
}

/// The content of a statement, verified or not, shared by all who hold the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) id: StatementId,
    pub(crate) identity: IdentityId,
    pub(crate) subject: Subject,
    pub(crate) claims: Claims,
    pub(crate) issuer: Fingerprint,
    pub(crate) signed_at: Timestamp,
    pub(crate) revokes: bool,
    /// All names that it gives: see [`Statement::names`].
    pub(crate) names: Vec<Name>,
    /// The key of the thing that it is about, if there is one.
    pub(crate) key: Option<PublicKey>,
}

/// A statement in canonical form, none of whose signatures are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    pub(crate) content: Arc<Content>,
    pub(crate) purpose: Purpose,
    pub(crate) signed: SignedDigest,
    /// The subject's key and own signature, if the body has one.
    pub(crate) own: Option<(PublicKey, SignedDigest)>,
}

/// A statement with a good signature, by a key that was valid and entitled by its certificate when the statement was
/// admitted. Only [`verify`], [`verify_batch`] and [`SignedHere::under`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(crate) content: Arc<Content>,
    signer: Fingerprint,
}

/// The getters that both types have.
macro_rules! getters {
    ($($name:ident),+) => {$(
        impl $name {
            /// Its id.
            #[must_use]
            pub fn id(&self) -> StatementId {
                self.content.id
            }

            /// The key that signed: a signer's primary key, or one of their signing subkeys.
            #[must_use]
            pub fn issuer(&self) -> Fingerprint {
                self.content.issuer
            }

            /// The identity that it is about.
            #[must_use]
            pub fn identity(&self) -> IdentityId {
                self.content.identity
            }

            /// What it is about.
            #[must_use]
            pub fn subject(&self) -> &Subject {
                &self.content.subject
            }

            /// What it says.
            #[must_use]
            pub fn claims(&self) -> &Claims {
                &self.content.claims
            }

            /// When its signer claims to have made it, in whole seconds.
            #[must_use]
            pub fn signed_at(&self) -> Timestamp {
                self.content.signed_at
            }

            /// Whether it is a certification revocation (0x30); never for documents.
            #[must_use]
            pub fn revokes(&self) -> bool {
                self.content.revokes
            }

            /// All names that it gives: those among its claims, its User ID if that is a URN, and the digest of its key
            /// as X.509 writes it. Only acts `identity` give names to the thing; acts `issued` give those of a
            /// certificate.
            #[must_use]
            pub fn names(&self) -> &[Name] {
                &self.content.names
            }
        }
    )+};
}

getters!(Unverified, Statement);

/// All names that a statement gives. Only an introduction gives those of the User ID and the key, `spki`.
pub(crate) fn names_of(subject: &Subject, claims: &Claims, spki: Option<[u8; 32]>) -> Vec<Name> {
    let mut names = Vec::with_capacity(claims.names.len() + 2);
    names.extend_from_slice(&claims.names);
    if claims.act != Act::Identity {
        return names;
    }
    if let Subject::Key { user_id, .. } = subject {
        names.extend(Name::urn_of(user_id));
    }
    names.extend(spki.map(Name::Spki));
    names.sort_unstable();
    names.dedup();
    names
}

impl Unverified {
    /// The purpose to which the issuer's key must be entitled.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Checks everything that needs no arithmetic: times, and the key.
    fn key<'a>(&self, certificate: &'a Certificate, at: Timestamp) -> Result<&'a PublicKey, VerifyError> {
        let latest = at.plus_millis(limits::CLOCK_SKEW_MILLIS);
        let own = self.own.iter().map(|(_, own)| own.created);
        if let Some(signed_at) = own.chain([self.signed.created]).find(|created| *created > latest) {
            return Err(VerifyError::Future { signed_at, at });
        }
        Ok(certificate.key_for(&self.signed.issuer, self.purpose, at)?)
    }

    /// Verifies the subject's own signature, if there is one.
    fn check_own(&self) -> Result<(), VerifyError> {
        let Some((subject, own)) = &self.own else { return Ok(()) };
        own.verify(subject).map_err(VerifyError::SelfSignature)
    }

    fn into_statement(self, certificate: &Certificate) -> Statement {
        Statement { content: self.content, signer: certificate.primary() }
    }
}

impl Statement {
    /// The primary fingerprint of the signer.
    #[must_use]
    pub const fn signer(&self) -> Fingerprint {
        self.signer
    }
}

/// A statement that a [`Signer`](crate::openpgp::signer::Signer) of this process has just made. Nobody else has had it
/// in hand, so the arithmetic of its signature is not repeated. Only [`Draft::sign_here`](super::Draft::sign_here)
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHere(pub(super) Box<Unverified>);

impl SignedHere {
    /// The statement, not verified yet.
    #[must_use]
    pub fn says(&self) -> &Unverified {
        &self.0
    }

    /// The statement under its signer's certificate, as of `at`: judged as by [`verify`], except for that arithmetic.
    /// The subject's own signature came from elsewhere and is verified.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn under(self, certificate: &Certificate, at: Timestamp) -> Result<Box<Statement>, VerifyError> {
        let key = self.0.key(certificate, at)?;
        self.0.check_own()?;
        self.0.signed.fits(key)?;
        Ok(Box::new(self.0.into_statement(certificate)))
    }
}

/// Verifies a statement under its signer's certificate, as of `at`, the time of its admission.
///
/// # Errors
/// When its signature or the subject's own is not good, one of them claims a later time, or it was made by a key that
/// the certificate does not entitle at that time.
pub fn verify(unverified: Unverified, certificate: &Certificate, at: Timestamp) -> Result<Statement, VerifyError> {
    let key = unverified.key(certificate, at)?;
    unverified.check_own()?;
    unverified.signed.verify(key)?;
    Ok(unverified.into_statement(certificate))
}

/// Verifies many statements at once, each as of its own time, with the same results as [`verify`].
///
/// `seed` must be 32 unpredictable bytes; the coefficients of the batch are drawn from it.
#[must_use]
pub fn verify_batch(
    items: Vec<(Box<Unverified>, &Certificate, Timestamp)>,
    seed: [u8; 32],
) -> Vec<Result<Box<Statement>, VerifyError>> {
    let keys: Vec<_> = items.iter().map(|(item, certificate, at)| item.key(certificate, *at)).collect();
    let mut queue: Vec<(&SignedDigest, &PublicKey)> = Vec::with_capacity(items.len());
    for ((item, ..), key) in items.iter().zip(&keys) {
        if let Ok(key) = key {
            queue.extend(item.own.iter().map(|(subject, own)| (own, subject)));
            queue.push((&item.signed, key));
        }
    }
    let answers = verify::verify_all(&queue, seed);
    drop(queue);
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Err(SignatureFault::Bad));
    items
        .into_iter()
        .zip(keys.into_iter().map(|key| key.map(drop)).collect::<Vec<_>>())
        .map(|((item, certificate, _), key)| {
            key?;
            let own = if item.own.is_some() { next() } else { Ok(()) };
            let signed = next();
            own.map_err(VerifyError::SelfSignature)?;
            signed?;
            Ok(Box::new(item.into_statement(certificate)))
        })
        .collect()
}
