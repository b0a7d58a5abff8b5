//! Errors of secret keys.

use core::fmt::Display;
use std::io;
use std::path::PathBuf;

use ics_core::statement::BodyError;

use super::PassphraseError;
use super::token::TokenError;

/// Why a key cannot be made, stored, found or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not a valid name for a key.
    #[error(
        "`{0}` cannot be the name of a key: a name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter \
         or digit"
    )]
    Name(String),
    /// There is already a key of that name.
    #[error("there is a key `{0}` already")]
    Exists(String),
    /// The imported key is already here under another name.
    #[error("the key is here already, as `{0}`")]
    HeldAs(String),
    /// There is no such key.
    #[error("there is no key `{wanted}` in `{directory}`", directory = directory.display())]
    Missing {
        /// What was looked for: a name or a fingerprint.
        wanted: String,
        /// The directory that was searched.
        directory: PathBuf,
    },
    /// A file could not be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{path}`: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others may read a secret key.
    #[error("others may read the secret key in `{path}`", path = .0.display())]
    OpenToOthers(PathBuf),
    /// The passphrase is wrong.
    #[error("the passphrase does not unlock the key `{0}`")]
    WrongPassphrase(String),
    /// The secret is in a token, which takes a PIN and no passphrase.
    #[error("the secret of the key `{0}` is in a token")]
    InToken(String),
    /// The key is in a token and has no certificate here.
    #[error("no key of this home directory is `{0}`")]
    NotAdopted(String),
    /// The URI matches several keys.
    #[error("`{wanted}` fits several keys of this home directory: {names}")]
    Ambiguous {
        /// The URI.
        wanted: String,
        /// Their names.
        names: String,
    },
    /// The token failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The passphrase could not be obtained.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The imported file has an unsupported form.
    #[error("cannot import {what}: {reason}")]
    Import {
        /// What was found.
        what: String,
        /// Why that is refused.
        reason: String,
    },
    /// A revocation of the key, or of something on it, does not count.
    #[error("{0}")]
    NotRevoked(Box<BodyError>),
    /// The library refused to make a key or a signature.
    #[error("{0}")]
    Make(String),
    /// The key may not sign that.
    #[error("the key `{name}` cannot {purpose}: {reason}")]
    Purpose {
        /// The key.
        name: String,
        /// The purpose.
        purpose: &'static str,
        /// Why it cannot.
        reason: String,
    },
}

impl KeyError {
    pub(super) fn make(error: impl Display) -> Self {
        Self::Make(error.to_string())
    }
}
