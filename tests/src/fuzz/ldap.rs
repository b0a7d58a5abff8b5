//! What clients of the directory send, and what a peer's directory answers.

use ics_node::ldap::decode::{self, Message};
use ics_sync::ber;

/// A message is read or refused; what is read is no longer than the input.
pub(super) fn message(bytes: &[u8]) {
    if let Message::Request(length) = decode::message(bytes) {
        let alone = bytes.get(..length).map(decode::message);
        assert_eq!(
            alone,
            Some(Message::Request(length)),
            "a message is longer than what has arrived, or has two meanings"
        );
    }
}

/// A filter in an otherwise valid search.
pub(super) fn filter(bytes: &[u8]) {
    message(&search(bytes));
}

/// A search below the suffix with that filter.
pub(super) fn search(filter: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, 7);
        ber::element(out, 0x63, |out| {
            ber::primitive(out, ber::OCTETS, b"o=ics");
            ber::integer(out, ber::ENUMERATED, 2);
            ber::integer(out, ber::ENUMERATED, 0);
            ber::integer(out, ber::INTEGER, 0);
            ber::integer(out, ber::INTEGER, 0);
            ber::primitive(out, 0x01, &[0]);
            out.extend_from_slice(filter);
            ber::primitive(out, ber::SEQUENCE, b"");
        });
    });
    out
}

/// A name survives writing and reading.
pub(super) fn name(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Some(written) = decode::name(text) else { return };
    assert_eq!(decode::name(&written), Some(written.clone()), "`{written}` is not read back");
}

/// A cookie survives writing and reading.
pub(super) fn cookie(bytes: &[u8]) {
    let Some(written) = decode::cookie(bytes) else { return };
    assert_eq!(decode::cookie(&written), Some(written), "a cookie is not read back");
}

/// What is passed on to the library, which trusts its server, has consistent lengths.
pub(super) fn answer(bytes: &[u8]) {
    if ics_sync::ldap::passes(bytes) {
        assert_eq!(ber::check(bytes), Ok(()), "a message passes whose lengths do not fit");
    }
}
