//! The gate between a peer's socket and the LDAP library, which trusts servers: it accepts messages of any length and
//! panics on some malformed ones. Here each message is bounded and inspected before the library sees it.

use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::collections::VecDeque;

use ics_core::limits;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::super::http::{Meter, PeerError};
use crate::ber::{self, Head};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Intermediate messages (RFC 4511, 4.13) that may follow each other. A node sends one after its entries.
const INTERMEDIATES: usize = 16;
/// Bytes of entries that nobody has taken from the library, at which no more are passed on.
const UNTAKEN_BYTES: usize = 1024 * 1024;

/// RFC 4511, 4.2.2, 4.5.2, 4.13, 4.12.
const BIND_RESPONSE: u8 = 0x61;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const EXTENDED_RESPONSE: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;
/// The result code for a referral to other directories (RFC 4511, 4.1.10).
const REFERRAL: u8 = 10;
/// How a TLS peer begins to say that it does not understand (RFC 8446, 5.1): an alert, of any version in use.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];

/// What a client with one request at a time may receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The answer to a bind, which comes first.
    Bind,
    /// Answers to searches.
    Searches,
}

/// The id of the pending question, 0 for none: a client with one request at a time has at most one, and no question has
/// that id (RFC 4511, 4.1.1.1).
pub(super) type Asked = AtomicU32;

/// How many entries and intermediate messages have been taken from the library, as far as the gate has not yet counted
/// them.
pub(super) type Taken = Semaphore;

/// What was passed on and not taken. The library queues without a bound, so a peer that sends while its answers are not
/// read, as during the application of a page, would fill the memory.
struct Untaken<'a> {
    taken: &'a Taken,
    lengths: VecDeque<usize>,
    bytes: usize,
}

impl Untaken<'_> {
    /// Counts a message that was passed on, and waits until less is untaken if that is too much.
    async fn count(&mut self, length: usize) {
        self.lengths.push_back(length);
        self.bytes += length;
        while self.bytes > UNTAKEN_BYTES {
            let Ok(taken) = self.taken.acquire().await else { return };
            taken.forget();
            self.bytes -= self.lengths.pop_front().unwrap_or_default();
        }
    }
}

/// Passes on the client's requests, message by message, until it ends, and notes the question.
///
/// # Errors
/// When the connection breaks.
pub(super) async fn ask(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    asked: &Asked,
) -> Result<(), PeerError> {
    let lost = |error: std::io::Error| PeerError::Transport(error.to_string());
    let mut held = Vec::new();
    loop {
        while let Some(length) = whole(&held)? {
            let message: Vec<u8> = held.drain(..length).collect();
            // Noted before it is sent, because the answer may come at once.
            asked.store(parts(&message)?.0, Ordering::SeqCst);
            let mut sending = pin!(async {
                to.write_all(&message).await?;
                to.flush().await
            });
            // A peer that takes nothing must not keep what the client has given up.
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => break sent.map_err(lost)?,
                    read = from.read_buf(&mut held) => if read.map_err(lost)? == 0 {
                        return Ok(());
                    },
                }
            }
        }
        if from.read_buf(&mut held).await.map_err(lost)? == 0 {
            return Ok(());
        }
    }
}

/// Passes on a peer's messages, one by one, until it ends or sends one that may not pass.
///
/// # Errors
/// What is wrong; the library is then told that the connection has ended.
pub(super) async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    (mut expected, asked, taken): (Expected, &Asked, &Taken),
    meter: Meter,
) -> Result<(), PeerError> {
    let lost = |error: std::io::Error| PeerError::Transport(error.to_string());
    let (mut held, mut pause, mut intermediates) = (Vec::new(), Duration::ZERO, 0);
    let mut untaken = Untaken { taken, lengths: VecDeque::new(), bytes: 0 };
    loop {
        while let Some(length) = whole(&held)? {
            let message: Vec<u8> = held.drain(..length).collect();
            let (id, operation) = check(&message, expected)?;
            // The library logs a line for each message that it does not wait for.
            if id == 0 || id != asked.load(Ordering::SeqCst) {
                return Err(unasked());
            }
            intermediates = if operation == INTERMEDIATE { intermediates + 1 } else { 0 };
            if intermediates > INTERMEDIATES {
                return Err(malformed("it sends a lot, but no entries"));
            }
            if matches!(operation, BIND_RESPONSE | DONE) {
                asked.store(0, Ordering::SeqCst);
            }
            expected = Expected::Searches;
            to.write_all(&message).await.map_err(lost)?;
            if matches!(operation, ENTRY | INTERMEDIATE) {
                untaken.count(message.len()).await;
            }
        }
        // After what has been received, so that unusable data is detected at once.
        tokio::time::sleep(pause).await;
        let mut bytes = [0; READ_BYTES];
        let count = from.read(&mut bytes).await.map_err(lost)?;
        if count == 0 {
            return Ok(());
        }
        held.extend_from_slice(bytes.get(..count).unwrap_or_default());
        pause = meter.note(count);
    }
}

fn malformed(what: &'static str) -> PeerError {
    PeerError::Malformed(what)
}

fn unasked() -> PeerError {
    malformed("it answers a request that was not made")
}

/// The length of the first message, if it has arrived completely.
fn whole(held: &[u8]) -> Result<Option<usize>, PeerError> {
    if held.starts_with(&TLS_ALERT) {
        return Err(malformed("it speaks TLS at this address, which must then begin with ldaps://"));
    }
    let head = match ber::head(held) {
        Err(ber::Flaw::Short) => return Ok(None),
        Err(_) => return Err(malformed("what it sends is not LDAP")),
        Ok(head) if head.tag != ber::SEQUENCE => return Err(malformed("what it sends is not LDAP")),
        Ok(head) => head,
    };
    let length = head.bytes + head.length;
    if length > limits::LDAP_MESSAGE_BYTES {
        return Err(malformed("a message is too long"));
    }
    Ok((held.len() >= length).then_some(length))
}

fn form() -> PeerError {
    malformed("a message does not have the form of its operation")
}

/// A message's id, and what follows it.
fn parts(message: &[u8]) -> Result<(u32, &[u8]), PeerError> {
    let (_, inside, rest) = ber::split(message).map_err(|_| form())?;
    let (id, number, operation) = ber::split(inside).map_err(|_| form())?;
    if !rest.is_empty() || id.tag != ber::INTEGER || !(1..=4).contains(&number.len()) {
        return Err(form());
    }
    Ok((number.iter().fold(0, |id, octet| id << 8 | u32::from(*octet)), operation))
}

/// The id and the operation of a message, if it is an expected one in the form that the library accepts.
fn check(message: &[u8], expected: Expected) -> Result<(u32, u8), PeerError> {
    ber::check(message).map_err(|_| malformed("the lengths in a message do not fit each other"))?;
    let (id, operation) = parts(message)?;
    let (head, content, controls) = ber::split(operation).map_err(|_| form())?;
    let formed = match head.tag {
        BIND_RESPONSE if expected == Expected::Bind => is_result(content),
        DONE if expected == Expected::Searches => is_result(content),
        ENTRY if expected == Expected::Searches => is_entry(content),
        INTERMEDIATE if expected == Expected::Searches => all(content, |part, _| matches!(part.tag, 0x80 | 0x81)),
        EXTENDED_RESPONSE => return Err(malformed("it has ended the session")),
        _ => return Err(unasked()),
    };
    if formed && are_controls(controls) { Ok((id, head.tag)) } else { Err(form()) }
}

/// Whether all consecutive elements satisfy a condition.
fn all(mut content: &[u8], is: impl Fn(Head, &[u8]) -> bool) -> bool {
    while !content.is_empty() {
        let Ok((head, inside, rest)) = ber::split(content) else { return false };
        if !is(head, inside) {
            return false;
        }
        content = rest;
    }
    true
}

fn is_text(head: Head, inside: &[u8]) -> bool {
    head.tag == ber::OCTETS && core::str::from_utf8(inside).is_ok()
}

/// LDAPResult (RFC 4511, 4.1.9), with referrals exactly if the result code is that of a referral (4.1.10).
fn is_result(content: &[u8]) -> bool {
    let Ok((code, number, rest)) = ber::split(content) else { return false };
    let Ok((matched, name, rest)) = ber::split(rest) else { return false };
    let Ok((diagnostic, text, rest)) = ber::split(rest) else { return false };
    let refers = number == [REFERRAL];
    let more = |head: Head, inside: &[u8]| match head.tag {
        0x87 => true,
        0xa3 => refers && all(inside, is_text),
        _ => false,
    };
    code.tag == ber::ENUMERATED
        && (1..=4).contains(&number.len())
        && is_text(matched, name)
        && is_text(diagnostic, text)
        && all(rest, more)
}

/// RFC 4511, 4.5.2.
fn is_entry(content: &[u8]) -> bool {
    let Ok((name, dn, rest)) = ber::split(content) else { return false };
    let Ok((list, attributes, rest)) = ber::split(rest) else { return false };
    let is_value = |head: Head, _: &[u8]| head.tag == ber::OCTETS;
    let is_attribute = |head: Head, inside: &[u8]| {
        let Ok((kind, name, rest)) = ber::split(inside) else { return false };
        let Ok((set, values, rest)) = ber::split(rest) else { return false };
        let named = head.tag == ber::SEQUENCE && is_text(kind, name);
        named && set.tag == ber::SET && rest.is_empty() && all(values, is_value)
    };
    is_text(name, dn) && list.tag == ber::SEQUENCE && rest.is_empty() && all(attributes, is_attribute)
}

/// Whether it is empty, or controls (RFC 4511, 4.1.11).
fn are_controls(content: &[u8]) -> bool {
    const BOOLEAN: u8 = 0x01;
    if content.is_empty() {
        return true;
    }
    let Ok((head, controls, rest)) = ber::split(content) else { return false };
    let is_control = |head: Head, inside: &[u8]| {
        let Ok((kind, oid, rest)) = ber::split(inside) else { return false };
        let part = |head: Head, inside: &[u8]| head.tag == ber::OCTETS || head.tag == BOOLEAN && inside.len() == 1;
        let parts = |rest: &[u8]| all(rest, part) && is_ordered(rest);
        head.tag == ber::SEQUENCE && is_text(kind, oid) && parts(rest)
    };
    head.tag == 0xa0 && rest.is_empty() && all(controls, is_control)
}

/// Whether the criticality occurs at most once, before the value, which occurs at most once.
fn is_ordered(content: &[u8]) -> bool {
    let mut tags = Vec::new();
    all(content, |head, _| head.tag != 0) && {
        let mut rest = content;
        while let Ok((head, _, behind)) = ber::split(rest) {
            tags.push(head.tag);
            rest = behind;
        }
        matches!(tags.as_slice(), [] | [_] | [0x01, ber::OCTETS])
    }
}

/// Whether a peer's message would be passed on to the LDAP library, as an answer to a search.
#[must_use]
pub fn passes(message: &[u8]) -> bool {
    whole(message) == Ok(Some(message.len())) && check(message, Expected::Searches).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        ber::primitive(&mut out, tag, content);
        out
    }

    fn message(operation: &[u8], controls: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&tlv(2, &[7])[..], operation, controls].concat())
    }

    fn entry() -> Vec<u8> {
        let attribute = tlv(0x30, &[tlv(4, b"cn"), tlv(0x31, &tlv(4, b"\xff"))].concat());
        tlv(ENTRY, &[tlv(4, b"cn=x"), tlv(0x30, &attribute)].concat())
    }

    fn result(tag: u8) -> Vec<u8> {
        tlv(tag, &[tlv(10, &[0]), tlv(4, b""), tlv(4, b"")].concat())
    }

    /// A result that names another directory.
    fn referral(code: u8) -> Vec<u8> {
        let others = tlv(0xa3, &tlv(4, b"ldap://x"));
        tlv(DONE, &[tlv(10, &[code]), tlv(4, b""), tlv(4, b""), others].concat())
    }

    /// Otherwise each connection that was given up would stay for as long as the peer likes.
    #[tokio::test]
    async fn a_peer_that_takes_nothing_does_not_keep_what_was_given_up() {
        let (mut library, ours) = tokio::io::duplex(1_024);
        let (to, _peer) = tokio::io::duplex(1);
        let question = Asked::default();
        let mut asking = pin!(ask(ours, to, &question));
        library.write_all(&message(&tlv(0x63, b"a search"), &[])).await.expect("taken");
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut asking).await;
        assert!(waits.is_err(), "the peer takes nothing");
        drop(library);
        let ended = tokio::time::timeout(Duration::from_secs(10), asking).await;
        assert_eq!(ended.expect("it ends"), Ok(()));
    }

    #[test]
    fn what_passes() {
        let control = tlv(0xa0, &tlv(0x30, &[tlv(4, b"1.2"), tlv(1, &[0xff]), tlv(4, b"\xff")].concat()));
        for good in [entry(), result(DONE), tlv(INTERMEDIATE, &[tlv(0x80, b"1.2"), tlv(0x81, b"x")].concat())] {
            for controls in [&control[..], &[]] {
                assert_eq!(check(&message(&good, controls), Expected::Searches), Ok((7, good[0])));
            }
        }
        assert_eq!(check(&message(&result(BIND_RESPONSE), &[]), Expected::Bind), Ok((7, BIND_RESPONSE)));
        assert_eq!(check(&message(&referral(REFERRAL), &[]), Expected::Searches), Ok((7, DONE)));
    }

    #[test]
    fn what_does_not_pass() {
        for (what, bad) in [
            ("an entry without attributes", message(&tlv(ENTRY, &tlv(4, b"cn=x")), &[])),
            ("a result without a code", message(&tlv(DONE, &tlv(4, b"")), &[])),
            ("a code of no bytes", message(&tlv(DONE, &[tlv(10, &[]), tlv(4, b""), tlv(4, b"")].concat()), &[])),
            ("other directories, and no referral", message(&referral(0), &[])),
            ("an answer to a bind, later", message(&result(BIND_RESPONSE), &[])),
            ("an operation that is none", message(&result(0x7e), &[])),
            ("a notice", message(&result(EXTENDED_RESPONSE), &[])),
            ("controls that are none", message(&entry(), &tlv(0xa0, &tlv(4, b"x")))),
            ("a control of two values", message(&entry(), &tlv(0xa0, &tlv(0x30, &tlv(4, b"1").repeat(3))))),
            ("something behind", message(&entry(), &[4, 0])),
            ("no id", tlv(0x30, &entry())),
            ("a lie", vec![0x30, 5, 2, 1, 7, 0x64, 9]),
        ] {
            assert!(matches!(check(&bad, Expected::Searches), Err(PeerError::Malformed(_))), "{what}");
        }
        assert!(check(&message(&entry(), &[]), Expected::Bind).is_err(), "an entry in the place of a bind's answer");
        assert!(whole(b"HTTP/1.1 400").is_err());
        assert!(whole(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]).is_err(), "two gigabytes");
        let announced = |length: usize| {
            let octets = u32::try_from(length - 6).expect("short").to_be_bytes();
            whole(&[&[0x30, 0x84][..], &octets].concat())
        };
        assert_eq!(announced(limits::LDAP_MESSAGE_BYTES), Ok(None));
        assert!(announced(limits::LDAP_MESSAGE_BYTES + 1).is_err());
        assert_eq!(whole(&[0x30, 0x02, 0]), Ok(None));
    }
}
