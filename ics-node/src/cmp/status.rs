//! The outcome of a request: PKIStatusInfo (RFC 9810, 5.2.3).

use der::Sequence;
use der::asn1::BitString;

/// What went wrong, by the number of its bit in PKIFailureInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureInfo {
    /// An algorithm that is not accepted here.
    BadAlg = 0,
    /// The protection does not fit the message.
    BadMessageCheck = 1,
    /// Not permitted, or not supported.
    BadRequest = 2,
    /// The message's time is too far from the node's.
    BadTime = 3,
    /// No certificate matches.
    BadCertId = 4,
    /// Malformed.
    BadDataFormat = 5,
    /// The message names no time.
    MissingTimeStamp = 8,
    /// The message does not prove that the sender holds the key.
    BadPop = 9,
    /// The certificate is revoked already.
    CertRevoked = 10,
    /// The nonce is not the one that this node sent.
    BadRecipientNonce = 13,
    /// The nonce is missing or too short.
    BadSenderNonce = 18,
    /// The template asks for something that nobody gets here.
    BadCertTemplate = 19,
    /// The signer is not known here.
    SignerNotTrusted = 20,
    /// The transaction id has been used before.
    TransactionIdInUse = 21,
    /// The version of the message is not supported.
    UnsupportedVersion = 22,
    /// The sender may not do this.
    NotAuthorized = 23,
    /// Not possible now; perhaps later.
    SystemUnavail = 24,
    /// The node failed.
    SystemFailure = 25,
}

impl FailureInfo {
    /// Whether it is about the message itself, not the request: its form, header, protection or signer.
    pub(super) const fn is_of_message(self) -> bool {
        matches!(
            self,
            Self::BadAlg
                | Self::BadMessageCheck
                | Self::BadTime
                | Self::BadDataFormat
                | Self::MissingTimeStamp
                | Self::BadRecipientNonce
                | Self::BadSenderNonce
                | Self::SignerNotTrusted
                | Self::TransactionIdInUse
                | Self::UnsupportedVersion
        )
    }

    /// The failure as a named bit list, without trailing zero bits (X.690, 11.2.2).
    fn bits(self) -> der::Result<BitString> {
        let number = self as u8;
        let mut bytes = vec![0; usize::from(number / 8)];
        bytes.push(0x80 >> (number % 8));
        BitString::new(7 - number % 8, bytes)
    }
}

/// Why a request is refused: CMP's failure, and an explanation for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// CMP's failure.
    pub info: FailureInfo,
    /// What was wrong, and what to do.
    pub text: String,
}

impl Failure {
    /// With an explanation for people.
    pub fn new(info: FailureInfo, text: impl ToString) -> Self {
        Self { info, text: text.to_string() }
    }

    /// The failure for a malformed message.
    pub(super) fn form(error: impl core::fmt::Display) -> Self {
        Self::new(FailureInfo::BadDataFormat, format!("this is not a CMP message: {error}"))
    }
}

/// PKIStatusInfo.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Status {
    /// One of the constants below.
    pub(super) status: u8,
    pub(super) text: Option<Vec<String>>,
    pub(super) failure: Option<BitString>,
}

impl Status {
    /// `accepted`.
    pub(super) const ACCEPTED: u8 = 0;
    /// `grantedWithMods`: not everything is as it was asked for.
    pub(super) const GRANTED_WITH_MODS: u8 = 1;
    /// `rejection`.
    pub(super) const REJECTION: u8 = 2;

    pub(super) const fn granted(is_as_asked: bool) -> Self {
        let status = if is_as_asked { Self::ACCEPTED } else { Self::GRANTED_WITH_MODS };
        Self { status, text: None, failure: None }
    }

    pub(super) fn refused(failure: &Failure) -> der::Result<Self> {
        let text = Some(vec![failure.text.clone()]);
        Ok(Self { status: Self::REJECTION, text, failure: Some(failure.info.bits()?) })
    }
}

#[cfg(test)]
mod tests {
    use der::Encode as _;

    use super::*;

    #[test]
    fn failures_are_named_bits() {
        for (info, expected) in [
            (FailureInfo::BadAlg, &[0x03, 0x02, 0x07, 0x80][..]),
            (FailureInfo::BadDataFormat, &[0x03, 0x02, 0x02, 0x04]),
            (FailureInfo::BadPop, &[0x03, 0x03, 0x06, 0x00, 0x40]),
            (FailureInfo::NotAuthorized, &[0x03, 0x04, 0x00, 0x00, 0x00, 0x01]),
            (FailureInfo::SystemFailure, &[0x03, 0x05, 0x06, 0x00, 0x00, 0x00, 0x40]),
        ] {
            assert_eq!(info.bits().and_then(|bits| bits.to_der()).expect("encodes"), expected, "{info:?}");
        }
    }
}
