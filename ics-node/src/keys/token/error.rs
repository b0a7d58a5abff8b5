//! Errors of tokens, worded for the people who hold them.

use std::path::PathBuf;

use super::uri::UriError;

/// Why a token, or a key in it, cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// It is not a valid `pkcs11:` URI.
    #[error("`{uri}` does not name a key in a token: {reason}")]
    Uri {
        /// The text; never one that holds a PIN.
        uri: String,
        /// What is wrong with it.
        reason: UriError,
    },
    /// No library for the token is configured.
    #[error("no PKCS#11 module is named, the library that talks to the token")]
    NoModule,
    /// The library cannot be loaded.
    #[error("the PKCS#11 module `{path}` does not load: {reason}", path = path.display())]
    Module {
        /// The library.
        path: PathBuf,
        /// The error of the system or the library.
        reason: String,
    },
    /// No such token is present.
    #[error("no token fits `{wanted}`; {}", there(present))]
    NoToken {
        /// The URI.
        wanted: String,
        /// The labels of the tokens that are present.
        present: Vec<String>,
    },
    /// Several tokens match.
    #[error("`{wanted}` fits {count} tokens: {tokens}", count = tokens.len(), tokens = tokens.join(", "))]
    ManyTokens {
        /// The URI.
        wanted: String,
        /// Their URIs.
        tokens: Vec<String>,
    },
    /// The token has no such key.
    #[error("the token `{token}` has no key that fits `{wanted}`")]
    NoKey {
        /// The token's label.
        token: String,
        /// The URI.
        wanted: String,
    },
    /// Several keys in the token match.
    #[error("`{wanted}` fits {count} keys: {keys}", count = keys.len(), keys = keys.join(", "))]
    ManyKeys {
        /// The URI.
        wanted: String,
        /// Their URIs.
        keys: Vec<String>,
    },
    /// The token does not support the operation.
    #[error("the token `{token}` cannot {purpose}: it lacks the mechanism {mechanism}")]
    Mechanism {
        /// The token's label.
        token: String,
        /// The operation.
        purpose: String,
        /// The mechanism in the words of PKCS#11.
        mechanism: &'static str,
    },
    /// Keys of this kind cannot sign here.
    #[error("the key `{key}` is {found}; only Ed25519, P-256, and RSA of 2048 to 4096 bits can be used")]
    Kind {
        /// The key's URI.
        key: String,
        /// The kind of the key.
        found: String,
    },
    /// The key requires the PIN before each signature.
    #[error("the key `{0}` asks for its PIN before each signature (CKA_ALWAYS_AUTHENTICATE)")]
    AlwaysAuthenticate(String),
    /// The token has only the private half.
    #[error("the token does not give out the public half of the key `{0}`")]
    NoPublic(String),
    /// The token's key under that name is not the one in the certificate.
    #[error("the key `{0}` in the token is not the one whose certificate is kept under that name")]
    OtherKey(String),
    /// The PIN is wrong.
    #[error("the token `{token}` refuses the PIN{}", last(*last_try))]
    WrongPin {
        /// The token's label.
        token: String,
        /// Whether one more wrong PIN locks it.
        last_try: bool,
    },
    /// The PIN is locked after too many wrong attempts.
    #[error("the token `{0}` is locked after too many wrong PINs")]
    PinLocked(String),
    /// The token has no PIN yet.
    #[error("the token `{0}` has no user PIN yet")]
    PinNotSet(String),
    /// There is no PIN, and nobody who could be asked has typed one.
    #[error("the token `{0}` asks for its PIN, and there is none")]
    NoPin(String),
    /// The file with the PIN cannot be used.
    #[error("cannot read the PIN from `{path}`: {reason}", path = path.display())]
    PinFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Any other error of the token or its module.
    #[error("the token `{token}` failed to {purpose}: {reason}")]
    Failed {
        /// The token's label.
        token: String,
        /// The operation.
        purpose: &'static str,
        /// The error.
        reason: String,
    },
}

fn there(present: &[String]) -> String {
    match present {
        [] => "there is none at all".to_owned(),
        some => format!("there are: {}", some.join(", ")),
    }
}

const fn last(last_try: bool) -> &'static str {
    if last_try { "; one more wrong PIN locks it" } else { "" }
}

impl TokenError {
    /// A hint on what to do.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Uri { reason: UriError::Pin, .. } => {
                "give the PIN with --pin-file FILE, in the environment as ICS_PIN, or when asked"
            }
            Self::Uri { .. } => "such as `pkcs11:token=acme;object=factory`; `ics key tokens` lists them",
            Self::NoModule => "name it with --pkcs11-module FILE, or `[pkcs11] module` in ics.toml",
            Self::Module { .. } => "the vendor of the token says where its PKCS#11 module (.so) is",
            Self::NoToken { .. } => "is it plugged in and reachable? `ics key tokens` lists those that are there",
            Self::ManyTokens { .. } => "add `serial=` to say which",
            Self::NoKey { .. } => "`ics key tokens` lists the keys; `ics key make --token` makes one",
            Self::ManyKeys { .. } => "add `id=` to say which",
            Self::Mechanism { .. } => "`ics key tokens` says which algorithms it has; --algorithm chooses one",
            Self::AlwaysAuthenticate(_) => {
                "use a key without that attribute: nobody can type a PIN for each of many statements"
            }
            Self::NoPublic(_) => "put its public key into the token beside it, with the same id",
            Self::OtherKey(_) => "was the token exchanged? adopt the new key under another name",
            Self::WrongPin { .. } => "nothing was tried again; tokens lock themselves after a few wrong PINs",
            Self::PinLocked(_) => "its security officer sets a new PIN with the vendor's tool",
            Self::PinNotSet(_) => "its security officer sets one with the vendor's tool",
            Self::NoPin(_) => {
                "give it with --pin-file FILE, in the environment as ICS_PIN, as the systemd credential `ics-pin`, or \
                 at a terminal"
            }
            Self::Kind { .. } | Self::PinFile { .. } | Self::Failed { .. } => return None,
        })
    }
}
