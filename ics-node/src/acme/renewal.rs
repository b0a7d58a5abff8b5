//! When a certificate should be renewed (RFC 9773).

use data_encoding::BASE64URL_NOPAD;
use ics_core::time::Timestamp;
use serde_json::{Value, json};

use super::problem::{Kind, Problem};

/// Seconds after which a client asks again.
pub const ASK_AGAIN_SECONDS: u64 = 6 * 60 * 60;

/// A certificate as clients name it: the key identifier of its issuer, and its serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    /// The keyIdentifier of its authority key identifier.
    pub issuer: Vec<u8>,
    /// Its serial number, the bytes of the INTEGER.
    pub serial: Vec<u8>,
}

impl CertificateId {
    /// Reads the last part of a URL (RFC 9773, 4.1).
    ///
    /// # Errors
    /// When it is not two parts in base64url with a dot between.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let form = || Problem::malformed("a certificate is named by the base64url of key identifier and serial number");
        let (issuer, serial) = text.split_once('.').ok_or_else(form)?;
        let decode =
            |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok().filter(|bytes| (1..=64).contains(&bytes.len()));
        Ok(Self { issuer: decode(issuer).ok_or_else(form)?, serial: decode(serial).ok_or_else(form)? })
    }
}

impl std::fmt::Display for CertificateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", BASE64URL_NOPAD.encode(&self.issuer), BASE64URL_NOPAD.encode(&self.serial))
    }
}

/// The window in which a certificate should be renewed: around two thirds of its time, and at once when it is revoked.
///
/// Of certificates that were made together each gets another part of the window's breadth, by its serial number, so that
/// their clients do not come all at once; each client takes a time of its own in it as well.
#[must_use]
pub fn window(
    from: Timestamp,
    until: Timestamp,
    serial: &[u8],
    revoked: bool,
    now: Timestamp,
) -> (Timestamp, Timestamp) {
    if revoked {
        let (start, end) = (now.as_millis().saturating_sub(3_600_000), now.as_millis().saturating_sub(1_000));
        return (Timestamp::from_millis(start), Timestamp::from_millis(end));
    }
    let life = until.millis_since(from);
    let spread = u64::from(serial.last().copied().unwrap_or_default());
    // From 60 to 66 hundredths of its time, five hundredths long.
    let start = from.plus_millis(life / 100 * 60 + life / 100 * 6 * spread / 255);
    (start, start.plus_millis((life / 100 * 5).max(1)))
}

/// The answer.
#[must_use]
pub fn to_json((start, end): (Timestamp, Timestamp)) -> Value {
    json!({"suggestedWindow": {"start": start, "end": end}})
}

/// An order may name the certificate that it succeeds: one that its account got, and that has no successor yet.
///
/// # Errors
/// As RFC 9773, 5 says.
pub fn check_replaces(got_by: Option<u64>, account: u64, replaced: bool) -> Result<(), Problem> {
    match got_by {
        Some(owner) if owner == account && replaced => {
            Err(Problem::new(Kind::AlreadyReplaced, "replaces: another order succeeds this certificate already"))
        }
        Some(owner) if owner == account => Ok(()),
        _ => Err(Problem::new(Kind::Malformed, "replaces: this account got no such certificate")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_identifier_of_the_specification() {
        // RFC 9773, 4.1.
        let text = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
        let id = CertificateId::parse(text).expect("an id");
        assert_eq!(id.serial, [0x00, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(id.to_string(), text);
        for wrong in ["", ".", "AA", "AA.", ".AA", "A=.AA", "AA.AA.AA"] {
            assert!(CertificateId::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_revoked_certificate_is_renewed_at_once() {
        let (from, until, now) = (Timestamp::from_seconds(0), Timestamp::from_seconds(1_000_000), 50_000);
        let (start, end) = window(from, until, &[1], true, Timestamp::from_seconds(now));
        assert!(start < end && end < Timestamp::from_seconds(now));
    }

    proptest! {
        /// The window lies within the certificate's time, and before its end by a quarter of it.
        #[test]
        fn the_window_leaves_time(from in 0..1_u64 << 40, life in 60_000..1_u64 << 40, last: u8) {
            let (from, until) = (Timestamp::from_millis(from), Timestamp::from_millis(from + life));
            let (start, end) = window(from, until, &[last], false, from);
            prop_assert!(from < start && start < end);
            prop_assert!(until.millis_since(end) >= life / 4);
        }
    }
}
