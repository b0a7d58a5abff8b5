//! Erasures in files, which owners sign and pass on.

use std::path::{Path, PathBuf};

use ics_core::descriptor::OwnerKey;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Erasure, SignedErasure, make};
use ics_core::time::Timestamp;

use super::descriptor::{DescriptorFileError, refuse_strangers, salt, sign_error};

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

    /// Reads an erasure from a file.
    ///
    /// # Errors
    /// When it cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, DescriptorFileError> {
        let file = |source| DescriptorFileError::File { path: path.to_owned(), source };
        let content = |reason: String| DescriptorFileError::Content { path: PathBuf::from(path), reason };
        let size = std::fs::metadata(path).map_err(file)?.len();
        if usize::try_from(size).is_ok_and(|size| size > limits::BATCH_FILE_LINE_BYTES) {
            return Err(content(format!("an erasure is shorter than its {size} bytes")));
        }
        Self::from_body(std::fs::read(path).map_err(file)?).map_err(content)
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
