//! Signatures that developers made over their software themselves, before it was introduced here.
//!
//! They are evidence that whoever introduces the software has examined, and their statement holds them unchanged:
//! anybody who has the software and the key can check them again with stock tools. The statement's meaning depends on
//! its own signature alone.

use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{Fingerprint, excerpt, serde_as_text};
use crate::limits;

/// The form of a developer's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureForm {
    /// A detached OpenPGP signature (RFC 9580).
    OpenPgp,
    /// A detached CMS signature by an X.509 certificate (RFC 5652).
    Cms,
    /// minisign: Ed25519, with a comment that is signed too.
    Minisign,
    /// OpenBSD's signify: Ed25519.
    Signify,
}

/// A developer's own signature over a piece of software. As a text it is `<form>:<key>:<base64>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeveloperSignature {
    /// Its form.
    pub form: SignatureForm,
    /// Whose it is, in lower-case hex: for OpenPGP the primary fingerprint, for CMS the SHA-256 of the signer's
    /// certificate, else the Ed25519 key itself.
    pub key: String,
    /// The signature file as the developer publishes it; for OpenPGP and CMS without armor.
    pub bytes: Vec<u8>,
}

/// Why a text is not a developer's signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeveloperSignatureError {
    /// Not of the form `<form>:<key>:<base64>`.
    #[error(
        "`{0}` is not a developer's signature: write FORM:KEY:BASE64, with openpgp, cms, minisign or signify as FORM"
    )]
    Form(String),
    /// Too long, or empty.
    #[error("a developer's signature takes 1 to {max} bytes, this one has {0}", max = limits::DEVELOPER_SIGNATURE_BYTES)]
    Length(usize),
}

impl SignatureForm {
    /// All forms.
    pub const ALL: [Self; 4] = [Self::OpenPgp, Self::Cms, Self::Minisign, Self::Signify];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenPgp => "openpgp",
            Self::Cms => "cms",
            Self::Minisign => "minisign",
            Self::Signify => "signify",
        }
    }

    /// Whether a key has the one spelling that this form allows.
    fn takes(self, key: &str) -> bool {
        let is_hex = key.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match self {
            Self::OpenPgp => is_hex && key.parse::<Fingerprint>().is_ok(),
            Self::Cms | Self::Minisign | Self::Signify => is_hex && key.len() == 64,
        }
    }
}

impl DeveloperSignature {
    /// A signature by a key that is identified by its SHA-256, or by itself.
    #[must_use]
    pub fn new(form: SignatureForm, key: [u8; 32], bytes: Vec<u8>) -> Self {
        Self { form, key: HEXLOWER.encode(&key), bytes }
    }
}

impl fmt::Display for DeveloperSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.form.as_str(), self.key, BASE64.encode(&self.bytes))
    }
}

impl fmt::Display for SignatureForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignatureForm {
    type Err = DeveloperSignatureError;

    fn from_str(text: &str) -> Result<Self, DeveloperSignatureError> {
        let found = Self::ALL.into_iter().find(|form| form.as_str() == text);
        found.ok_or_else(|| DeveloperSignatureError::Form(excerpt(text)))
    }
}

impl FromStr for DeveloperSignature {
    type Err = DeveloperSignatureError;

    fn from_str(text: &str) -> Result<Self, DeveloperSignatureError> {
        let malformed = || DeveloperSignatureError::Form(excerpt(text));
        let mut parts = text.splitn(3, ':');
        let (Some(form), Some(key), Some(base64)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let form: SignatureForm = form.parse().map_err(|_| malformed())?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| malformed())?;
        if !form.takes(key) {
            return Err(malformed());
        }
        if !(1..=limits::DEVELOPER_SIGNATURE_BYTES).contains(&bytes.len()) {
            return Err(DeveloperSignatureError::Length(bytes.len()));
        }
        Ok(Self { form, key: key.to_owned(), bytes })
    }
}

serde_as_text!(SignatureForm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        let key = "ab".repeat(32);
        let signature = DeveloperSignature::new(SignatureForm::Minisign, [0xab; 32], b"signed".to_vec());
        let text = format!("minisign:{key}:c2lnbmVk");
        assert_eq!(signature.to_string(), text);
        assert_eq!(text.parse(), Ok(signature));
        let fingerprint = "0123456789abcdef0123456789abcdef01234567";
        assert!(format!("openpgp:{fingerprint}:c2lnbmVk").parse::<DeveloperSignature>().is_ok());
        let long = BASE64.encode(&vec![7; limits::DEVELOPER_SIGNATURE_BYTES + 1]);
        for wrong in [
            String::new(),
            "minisign".to_owned(),
            format!("minisign:{key}"),
            format!("minisign:{key}:"),
            format!("minisign:{key}:c2lnbmVl="),
            format!("minisign:{key}:c2lnbmVk\n"),
            format!("minisign:{}:c2lnbmVk", "AB".repeat(32)),
            format!("minisign:{}:c2lnbmVk", "ab".repeat(31)),
            format!("openpgp:{key}x:c2lnbmVk"),
            format!("pgp:{fingerprint}:c2lnbmVk"),
            format!("signify:{key}:{long}"),
        ] {
            assert!(wrong.parse::<DeveloperSignature>().is_err(), "{wrong}");
        }
    }
}
