//! Batches: files that carry what is to be signed to a machine without a network, and carry back what it has signed.
//!
//! Both kinds are lines of canonical JSON (RFC 8785): a head, a line for each item, and at the end the SHA-256 of
//! everything before. This digest detects damage, and people can compare it; it protects against no attacker. What is
//! signed is exactly what the file contains, so the signing machine shows and checks that and trusts nothing else; what
//! was signed is protected by its signatures.

mod ledger;
mod lines;
mod signed;
mod unsigned;

use std::path::PathBuf;

use ics_core::identity::Fingerprint;

pub use self::ledger::{Done, Ledger, Noted};
pub use self::signed::{SignedBatch, SignedHead};
pub use self::unsigned::{Head, Item, UnsignedBatch};

/// Why a batch cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// A file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no batch of this form.
    #[error("`{path}` is not a batch: {reason}", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is the other kind of batch.
    #[error("`{path}` {found}", path = path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind that it is.
        found: &'static str,
    },
    /// The file does not match its digest.
    #[error("`{path}` was changed or cut off after it was written", path = .0.display())]
    Damaged(PathBuf),
    /// An item that cannot be signed, or was signed by somebody else.
    #[error("`{path}`, statement {number}: {reason}", path = path.display())]
    Item {
        /// The file.
        path: PathBuf,
        /// Its position, from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// It exceeds a bound of batches.
    #[error("a batch takes {max} {what} at most", max = .0, what = .1)]
    TooMuch(usize, &'static str),
    /// It is for another signer.
    #[error("the batch is to be signed by {wanted}; this key is {found}")]
    Signer {
        /// The signer for whom it was made.
        wanted: Fingerprint,
        /// The signer of the key at hand.
        found: Fingerprint,
    },
    /// The batch is empty.
    #[error("there is nothing to sign")]
    Empty,
}
