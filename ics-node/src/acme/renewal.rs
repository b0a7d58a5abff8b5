//! When a certificate should be renewed (ARI, RFC 9773).

use data_encoding::BASE64URL_NOPAD;
use ics_core::time::Timestamp;
use serde_json::{Value, json};

use super::identifier::Identifier;
use super::problem::{Kind, Problem};

/// Seconds after which a client should ask again.
pub const ASK_AGAIN_SECONDS: u64 = 6 * 60 * 60;

/// A certificate as clients identify it: its issuer's key identifier, and its serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    /// The keyIdentifier in its authority key identifier.
    pub issuer: Vec<u8>,
    /// Its serial number: the content of the INTEGER.
    pub serial: Vec<u8>,
}

impl CertificateId {
    /// Parses the last segment of a URL (RFC 9773, 4.1).
    ///
    /// # Errors
    /// When it is not two parts in base64url with a dot between them.
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

/// The window in which a certificate should be renewed: around two thirds of its lifetime, or now if it is revoked.
///
/// Certificates that were made together get windows shifted by their serial numbers, so that their clients do not come
/// all at once; each client also picks a time of its own in the window.
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
    // The window starts at 60 to 66 hundredths of the lifetime and lasts five hundredths.
    let start = from.plus_millis(life / 100 * 60 + life / 100 * 6 * spread / 255);
    (start, start.plus_millis((life / 100 * 5).max(1)))
}

/// The same window, but not before its client has asked again: until then the certificate cannot be renewed.
#[must_use]
pub fn postponed((start, end): (Timestamp, Timestamp), now: Timestamp) -> (Timestamp, Timestamp) {
    let later = start.max(now.plus_millis(ASK_AGAIN_SECONDS * 1000));
    (later, later.plus_millis(end.millis_since(start)))
}

/// The answer of the server.
#[must_use]
pub fn to_json((start, end): (Timestamp, Timestamp)) -> Value {
    json!({"suggestedWindow": {"start": start, "end": end}})
}

/// Checks the certificate that an order says it replaces: its account must have got it, for an identifier that is
/// ordered again, and it must not have been replaced yet. `got_for` is what it was ordered for, if the account got it.
///
/// # Errors
/// As RFC 9773, 5 requires.
pub fn check_replaces(
    got_for: Option<&[Identifier]>,
    ordered: &[Identifier],
    is_replaced: bool,
) -> Result<(), Problem> {
    let got_for = got_for.ok_or_else(|| Problem::malformed("replaces: this account got no such certificate"))?;
    if !got_for.iter().any(|identifier| ordered.contains(identifier)) {
        let text = "replaces: the order has no identifier in common with this certificate; leave `replaces` out of it";
        return Err(Problem::malformed(text));
    }
    if is_replaced {
        let text = "replaces: another order succeeds this certificate already";
        return Err(Problem::new(Kind::AlreadyReplaced, text));
    }
    Ok(())
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
    fn a_successor_is_of_the_same_account_and_for_one_of_the_same_identifiers() {
        let [own, other, third] = ["a.example", "b.example", "c.example"].map(|host| Identifier::Dns(host.to_owned()));
        let (got_for, ordered) = ([own.clone(), other], [third.clone(), own]);
        let check = |got_for, ordered: &[Identifier], is_replaced| {
            check_replaces(got_for, ordered, is_replaced).map_err(|error| error.kind)
        };
        assert_eq!(check(Some(&got_for[..]), &ordered, false), Ok(()), "one of them is enough");
        assert_eq!(check(Some(&got_for[..]), &ordered, true), Err(Kind::AlreadyReplaced));
        assert_eq!(check(Some(&got_for[..]), &[third], false), Err(Kind::Malformed));
        assert_eq!(check(None, &ordered, false), Err(Kind::Malformed), "another account got it");
    }

    #[test]
    fn a_revoked_certificate_is_renewed_at_once() {
        let (from, until, now) = (Timestamp::from_seconds(0), Timestamp::from_seconds(1_000_000), 50_000);
        let (start, end) = window(from, until, &[1], true, Timestamp::from_seconds(now));
        assert!(start < end && end < Timestamp::from_seconds(now));
    }

    #[test]
    fn a_window_is_postponed_until_its_client_has_asked_again() {
        let seconds = |from, until| (Timestamp::from_seconds(from), Timestamp::from_seconds(until));
        let at = |now| postponed(seconds(1_000, 1_100), Timestamp::from_seconds(now));
        assert_eq!(at(900), seconds(900 + ASK_AGAIN_SECONDS, 1_000 + ASK_AGAIN_SECONDS));
        let long_before = seconds(1_000 + ASK_AGAIN_SECONDS, 1_100 + ASK_AGAIN_SECONDS);
        assert_eq!(postponed(long_before, Timestamp::from_seconds(900)), long_before, "it is late enough");
    }

    proptest! {
        /// The window lies within the certificate's lifetime, and leaves at least a quarter of it.
        #[test]
        fn the_window_leaves_time(from in 0..1_u64 << 40, life in 60_000..1_u64 << 40, last: u8) {
            let (from, until) = (Timestamp::from_millis(from), Timestamp::from_millis(from + life));
            let (start, end) = window(from, until, &[last], false, from);
            prop_assert!(from < start && start < end);
            prop_assert!(until.millis_since(end) >= life / 4);
        }
    }
}
