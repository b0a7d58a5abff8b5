//! Making signatures.

use super::{Over, assemble, digest, with_low_s, write_area};
use crate::openpgp::algorithm::sha256;
use crate::openpgp::signer::{Signer, SignerError};
use crate::openpgp::subpacket as sub;
use crate::time::Timestamp;

/// A signature to be made.
pub(crate) struct Draft {
    kind: u8,
    hashed: Vec<u8>,
}

impl Draft {
    /// A signature of a type, by a signer, at a time in whole seconds.
    pub(crate) fn new(kind: u8, signer: &dyn Signer, at: Timestamp) -> Self {
        let mut hashed = Vec::with_capacity(512);
        let seconds = u32::try_from(at.as_seconds()).unwrap_or(u32::MAX);
        sub::write(&mut hashed, true, sub::CREATED, &seconds.to_be_bytes());
        let issuer = signer.public_key().fingerprint();
        sub::write(&mut hashed, false, sub::ISSUER_FINGERPRINT, &[&[issuer.version()], issuer.as_bytes()].concat());
        if issuer.version() == 4 {
            sub::write(&mut hashed, false, sub::ISSUER, &issuer.key_id());
        }
        Self { kind, hashed }
    }

    /// A signature of a type with exactly the given hashed area.
    #[cfg(test)]
    pub(crate) const fn raw(kind: u8, hashed: Vec<u8>) -> Self {
        Self { kind, hashed }
    }

    /// Adds a subpacket.
    pub(crate) fn with(mut self, tag: u8, data: &[u8]) -> Self {
        sub::write(&mut self.hashed, false, tag, data);
        self
    }

    /// Adds a notation.
    pub(crate) fn with_notation(mut self, name: &str, value: &[u8], human_readable: bool) -> Self {
        sub::write_notation(&mut self.hashed, name, value, human_readable);
        self
    }

    /// Signs, and returns the content of the Signature packet. Version 6 uses as much of `salt` as it needs.
    pub(crate) fn sign(self, signer: &dyn Signer, signed: Over<'_>, salt: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        let key = signer.public_key();
        let (algorithm, hash) = (key.algorithm(), key.algorithm().preferred_hash());
        let mut head = vec![key.version(), self.kind, algorithm.id(), hash.id()];
        write_area(&mut head, key.version(), &self.hashed);
        let salt = if key.version() == 6 { salt.get(..hash.salt_bytes()).unwrap_or(salt) } else { &[] };
        let digest = digest(hash, salt, signed, &head);
        let value = with_low_s(signer.sign(&digest)?).ok_or(SignerError::Number)?;
        let prefix = digest.first_chunk().copied().unwrap_or_default();
        Ok(assemble(&head, &[], prefix, salt, algorithm.id(), &value))
    }
}

/// The salt of one of several signatures that are made with one seed.
pub(crate) fn derived_salt(seed: &[u8; 32], index: usize) -> [u8; 32] {
    if index == 0 { *seed } else { sha256(&[seed, &u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes()]) }
}
