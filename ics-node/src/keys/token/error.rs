//! What can go wrong with tokens, in the words of the people who hold them.

use std::path::PathBuf;

use super::uri::UriError;

/// Why a token, or a key in it, cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// Not formed as a `pkcs11:` URI.
    #[error("`{uri}` does not name a key in a token: {reason}")]
    Uri {
        /// The text; never one that holds a PIN.
        uri: String,
        /// What is wrong with it.
        reason: UriError,
    },
    /// Nobody said which library talks to the token.
    #[error("no PKCS#11 module is named, the library that talks to the token")]
    NoModule,
    /// The library cannot be loaded.
    #[error("the PKCS#11 module `{path}` does not load: {reason}", path = path.display())]
    Module {
        /// The library.
        path: PathBuf,
        /// What the system or the library said.
        reason: String,
    },
    /// No token of that name is there.
    #[error("no token fits `{wanted}`; {}", there(present))]
    NoToken {
        /// The URI.
        wanted: String,
        /// The labels of tokens that are there.
        present: Vec<String>,
    },
    /// Several tokens have the name.
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
    /// The token has several such keys.
    #[error("`{wanted}` fits {count} keys: {keys}", count = keys.len(), keys = keys.join(", "))]
    ManyKeys {
        /// The URI.
        wanted: String,
        /// Their URIs.
        keys: Vec<String>,
    },
    /// The token cannot do it.
    #[error("the token `{token}` cannot {purpose}: it lacks the mechanism {mechanism}")]
    Mechanism {
        /// The token's label.
        token: String,
        /// What it was to do.
        purpose: String,
        /// The mechanism in the words of PKCS#11.
        mechanism: &'static str,
    },
    /// The key is of a kind that does not sign here.
    #[error("the key `{key}` is {found}; only Ed25519, P-256, and RSA of 2048 to 4096 bits can be used")]
    Kind {
        /// The key's URI.
        key: String,
        /// What it is.
        found: String,
    },
    /// The key asks for the PIN before each signature.
    #[error("the key `{0}` asks for its PIN before each signature (CKA_ALWAYS_AUTHENTICATE)")]
    AlwaysAuthenticate(String),
    /// The token has the private half only.
    #[error("the token does not give out the public half of the key `{0}`")]
    NoPublic(String),
    /// The token has another key under that name than the certificate.
    #[error("the key `{0}` in the token is not the one whose certificate is kept under that name")]
    OtherKey(String),
    /// The PIN does not fit.
    #[error("the token `{token}` refuses the PIN{}", last(*last_try))]
    WrongPin {
        /// The token's label.
        token: String,
        /// Whether one more wrong PIN locks it.
        last_try: bool,
    },
    /// The PIN is locked after too many wrong ones.
    #[error("the token `{0}` is locked after too many wrong PINs")]
    PinLocked(String),
    /// The token has no PIN yet.
    #[error("the token `{0}` has no user PIN yet")]
    PinNotSet(String),
    /// There is no PIN and nobody to ask.
    #[error("the token `{0}` asks for its PIN, and there is none and no terminal to ask for it")]
    NoPin(String),
    /// The file with the PIN cannot be used.
    #[error("cannot read the PIN from `{path}`: {reason}", path = path.display())]
    PinFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Anything else that the token or its module says.
    #[error("the token `{token}` failed to {purpose}: {reason}")]
    Failed {
        /// The token's label.
        token: String,
        /// What it was to do.
        purpose: &'static str,
        /// What it said.
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
    /// What to do about it.
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
                "give it with --pin-file FILE, in the environment as ICS_PIN, or as the systemd credential `ics-pin`"
            }
            Self::Kind { .. } | Self::PinFile { .. } | Self::Failed { .. } => return None,
        })
    }
}
