//! Certifications of somebody's User ID by others that are not statements of this system: what people have signed on
//! each other's keys, as gpg and sq make them.
//!
//! They entitle to nothing and change no record. A domain keeps them beside the certificate that they are on, so that
//! OpenPGP clients get it back whole. The body is that of a statement without self-signature: Public-Key packet, User
//! ID packet, one Signature packet, all in canonical form; the signature has none of this system's notations. As for
//! every body that is not a statement, its id is the SHA-256 of its bytes.

use super::StatementId;
use super::body::{BodyError, too_long};
use crate::identity::Fingerprint;
use crate::limits;
use crate::openpgp::algorithm::sha256;
use crate::openpgp::certificate::{Certificate, KeyRefusal, user_id};
use crate::openpgp::key::PublicKey;
use crate::openpgp::packet::{self, Packet};
use crate::openpgp::signature::{
    self, CERTIFICATION, CERTIFICATION_REVOCATION, Glance, Issuer, Over, POSITIVE_CERTIFICATION, Signature,
    SignatureError,
};
use crate::openpgp::verify::SignatureFault;
use crate::time::Timestamp;

/// A certification in canonical form that has not been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedCertification {
    id: StatementId,
    key: PublicKey,
    user_id: String,
    signature: Vec<u8>,
    issuer: Issuer,
    signed_at: Timestamp,
    revokes: bool,
}

/// A certification that its signer has made. Only [`UnverifiedCertification::verify`] makes one, or a store from bytes
/// that were verified before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certification {
    pub(crate) id: StatementId,
    pub(crate) target: Fingerprint,
    pub(crate) user_id: String,
    pub(crate) signer: Fingerprint,
    pub(crate) signed_at: Timestamp,
    pub(crate) revokes: bool,
    pub(crate) bytes: usize,
}

/// Why a certification is not one that its signer has made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificationError {
    /// The signer's certificate does not let this key certify.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// The signature is malformed.
    #[error(transparent)]
    Form(#[from] SignatureError),
    /// The signature is not good.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    /// It claims to be made later than now.
    #[error("the signature claims to be made at {signed_at}, more than 5 minutes after {at}")]
    Future {
        /// The time that it claims.
        signed_at: Timestamp,
        /// The time at which it is judged.
        at: Timestamp,
    },
}

/// Whether a signature is of a type that certifies User IDs, or revokes that.
pub(crate) fn is_kind(kind: u8) -> bool {
    (CERTIFICATION..=POSITIVE_CERTIFICATION).contains(&kind) || kind == CERTIFICATION_REVOCATION
}

impl UnverifiedCertification {
    /// Reads it from the packets of a body whose signature `glance` has been taken of.
    pub(super) fn read(
        bytes: &[u8],
        key: PublicKey,
        user_id_bytes: &[u8],
        packet: &Packet<'_>,
        glance: &Glance<'_>,
    ) -> Result<Self, BodyError> {
        let post_quantum = matches!(packet.body.get(2), Some(30 | 31)) || key.algorithm().is_post_quantum();
        let max = if post_quantum { limits::STATEMENT_PQC_BYTES } else { limits::STATEMENT_BYTES };
        too_long("certification", max, bytes.len())?;
        let user_id = user_id(user_id_bytes)?;
        if !is_kind(glance.kind) {
            return Err(SignatureError::Kind(glance.kind).into());
        }
        if signature::canonicalise(packet.body)? != packet.body {
            return Err(SignatureError::Unhashed.into());
        }
        glance.is_exportable()?;
        Ok(Self {
            id: StatementId(sha256(&[bytes])),
            key,
            user_id,
            signature: packet.body.to_vec(),
            issuer: glance.issuer,
            signed_at: glance.created,
            revokes: glance.kind == CERTIFICATION_REVOCATION,
        })
    }

    /// SHA-256 of its canonical bytes.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// The fingerprint of the key that it is about.
    #[must_use]
    pub const fn target(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    /// Who made it, according to itself.
    #[must_use]
    pub const fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// Whether it names this certificate's key as its maker.
    #[must_use]
    pub fn is_by(&self, certificate: &Certificate) -> bool {
        self.issuer.fits(&certificate.primary())
    }

    /// Verifies it under its signer's certificate, as of `at`, the time of its admission.
    ///
    /// It is left to readers whether the signer's key was valid at the time that the certification claims: it entitles
    /// to nothing here, and self-signatures from that time are seldom kept. A key that was revoked as compromised
    /// certifies nothing.
    ///
    /// # Errors
    /// When the signature is not good, claims a later time, or was made by a key that does not certify.
    pub fn verify(&self, certificate: &Certificate, at: Timestamp) -> Result<Certification, CertificationError> {
        if self.signed_at > at.plus_millis(limits::CLOCK_SKEW_MILLIS) {
            return Err(CertificationError::Future { signed_at: self.signed_at, at });
        }
        let signer = certificate.primary();
        let key = certificate.certifying_key()?;
        let signature = Signature::parse_by(&self.signature, Some(&signer))?;
        let over = Over::UserId { key: self.key.body(), user_id: self.user_id.as_bytes() };
        signature.over(over)?.verify(key)?;
        Ok(self.kept(signer))
    }

    /// The certification, verified before, with the signer that verification found. Only for trusted rows.
    #[must_use]
    pub fn kept(&self, signer: Fingerprint) -> Certification {
        let mut packet = Vec::new();
        packet::write(&mut packet, packet::SIGNATURE, &self.signature);
        Certification {
            id: self.id,
            target: self.target(),
            user_id: self.user_id.clone(),
            signer,
            signed_at: self.signed_at,
            revokes: self.revokes,
            bytes: packet.len(),
        }
    }
}

impl Certification {
    /// SHA-256 of its canonical bytes.
    #[must_use]
    pub const fn id(&self) -> StatementId {
        self.id
    }

    /// The fingerprint of the key that it is about.
    #[must_use]
    pub const fn target(&self) -> Fingerprint {
        self.target
    }

    /// The primary fingerprint of its signer.
    #[must_use]
    pub const fn signer(&self) -> Fingerprint {
        self.signer
    }
}

#[cfg(test)]
mod tests;
