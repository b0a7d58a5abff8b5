//! Erasures in files, which owners sign and pass on.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ics_core::descriptor::OwnerKey;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Erasure, SignedErasure, make};
use ics_core::time::Timestamp;

use super::descriptor::{DescriptorFileError, refuse_strangers, salt, sign_error};
use crate::keys::file;

/// An erasure with the signatures that it has so far.
#[derive(Debug, Clone)]
pub struct ErasureFile {
    /// The erasure, and who claims to have signed it.
    pub signed: SignedErasure,
    body: Vec<u8>,
}

impl ErasureFile {
    /// Signs a new erasure.
    ///
    /// # Errors
    /// When a key is not an owner's, or cannot sign.
    pub fn sign_new(
        erasure: &Erasure,
        owners: &[OwnerKey],
        signers: &[&dyn Signer],
        at: Timestamp,
    ) -> Result<Self, DescriptorFileError> {
        refuse_strangers(owners, signers)?;
        let json = erasure.to_json().map_err(sign_error)?;
        let body = make::sign_descriptor(signers, &json, at, &salt()?).map_err(sign_error)?;
        Self::from_body(body).map_err(DescriptorFileError::Sign)
    }

    /// Adds the signature of one more owner; whoever has signed already need not again.
    ///
    /// # Errors
    /// When the key is not an owner's, or cannot sign.
    pub fn add_signature(
        &self,
        owners: &[OwnerKey],
        signer: &dyn Signer,
        at: Timestamp,
    ) -> Result<Self, DescriptorFileError> {
        refuse_strangers(owners, &[signer])?;
        if !self.signed.verified_by(core::slice::from_ref(signer.public_key())).is_empty() {
            return Ok(self.clone());
        }
        let body = make::add_signature(&self.body, signer, at, &salt()?).map_err(sign_error)?;
        Self::from_body(body).map_err(DescriptorFileError::Sign)
    }

    /// Reads an erasure from a file, or from standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, DescriptorFileError> {
        let failed = |source| DescriptorFileError::File { path: path.to_owned(), source };
        let content = |reason: String| DescriptorFileError::Content { path: PathBuf::from(path), reason };
        let most = limits::BATCH_FILE_LINE_BYTES;
        let mut body = Vec::new();
        let taken = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        file::open(path).and_then(|file| file.take(taken).read_to_end(&mut body)).map_err(failed)?;
        if body.len() > most {
            return Err(content(format!("an erasure takes {most} bytes at most")));
        }
        Self::from_body(body).map_err(content)
    }

    fn from_body(body: Vec<u8>) -> Result<Self, String> {
        match body::parse(&body).map_err(|error| error.to_string())? {
            Body::Erasure(signed) => Ok(Self { signed, body }),
            _ => Err("it holds no erasure".to_owned()),
        }
    }

    /// The OpenPGP message.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}
