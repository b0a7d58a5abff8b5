//! Batches: files that carry what is to be signed to a machine without a network, and back what it has signed.
//!
//! Both kinds are lines of canonical JSON (RFC 8785): a head, an item each, and at the end the SHA-256 of all before. That
//! digest finds damage, and people can compare it; it protects against nobody. What is signed is what stands in the file,
//! so the machine that signs shows and checks that, and trusts nothing else; what was signed is protected by its
//! signatures.

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
    /// A file failed.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else.
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
        /// What it is.
        found: &'static str,
    },
    /// It is not what was written.
    #[error("`{path}` was changed or cut off after it was written", path = .0.display())]
    Damaged(PathBuf),
    /// An item that cannot be signed, or was signed by somebody else.
    #[error("`{path}`, statement {number}: {reason}", path = path.display())]
    Item {
        /// The file.
        path: PathBuf,
        /// Its place, from 1 on.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// More than a batch takes.
    #[error("a batch takes {max} {what} at most", max = .0, what = .1)]
    TooMuch(usize, &'static str),
    /// It is for another signer.
    #[error("the batch is to be signed by {wanted}; this key is {found}")]
    Signer {
        /// Whom it was made for.
        wanted: Fingerprint,
        /// Who was to sign it.
        found: Fingerprint,
    },
    /// There is nothing in it.
    #[error("there is nothing to sign")]
    Empty,
}
