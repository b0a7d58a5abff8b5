//! Decodes requests and encodes results (RFC 4511).
//!
//! Bytes that are not BER as LDAP restricts it, or not a request, end the session with a notice of disconnection (5.3).
//! A request that can be read but not carried out gets its result code, and the session goes on.

use ics_core::limits;
use ldap3_lber::Parser;
use ldap3_lber::common::TagClass;
use ldap3_lber::structure::{PL, StructureTag};
use ldap3_proto::proto::{LdapMsg, LdapOp, LdapResultCode};

use super::ber::{self, Flaw};
use super::control::Controls;
use super::filter;

/// RFC 4511, 4.4.1.
const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// Why a request is not carried out, as told to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: LdapResultCode,
    pub(super) text: String,
    /// The nearest existing entry above one that does not exist (RFC 4511, 4.1.9).
    pub(super) matched: String,
}

impl Failure {
    pub(super) fn new(code: LdapResultCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), matched: String::new() }
    }

    /// The entry is absent or hidden from this reader: both look alike.
    pub(super) fn no_such_object(matched: String) -> Self {
        Self { code: LdapResultCode::NoSuchObject, text: String::new(), matched }
    }
}

/// What the input begins with.
#[derive(Debug)]
pub(super) enum Framed {
    /// An incomplete message.
    Part,
    /// A message of this many bytes.
    Whole(usize),
    /// Bytes after which the session cannot go on.
    Broken(&'static str),
}

/// Finds where the first message ends, before all of it has arrived.
pub(super) fn frame(bytes: &[u8]) -> Framed {
    let head = match ber::head(bytes) {
        Err(Flaw::Short) => return Framed::Part,
        Err(_) => return Framed::Broken("the message is not BER as LDAP restricts it"),
        Ok(head) if head.tag != ber::SEQUENCE => return Framed::Broken("the message is not a sequence"),
        Ok(head) => head,
    };
    let whole = head.bytes + head.length;
    let Some(inside) = bytes.get(head.bytes..) else { return Framed::Part };
    let inside = inside.get(..head.length.min(inside.len())).unwrap_or_default();
    match operation_tag(inside) {
        Ok((_, tag)) if whole > longest(tag) => Framed::Broken("the message is longer than this server takes"),
        Ok(_) if bytes.len() >= whole => Framed::Whole(whole),
        Ok(_) | Err(Flaw::Short) if bytes.len() < whole => {
            if whole > limits::LDAP_MESSAGE_BYTES {
                Framed::Broken("the message is longer than this server takes")
            } else {
                Framed::Part
            }
        }
        _ => Framed::Broken("the message has no id or no operation"),
    }
}

/// The longest message with this operation: only operations that may carry a key may be long.
const fn longest(tag: u8) -> usize {
    if matches!(tag, MODIFY | ADD) { limits::LDAP_MESSAGE_BYTES } else { limits::LDAP_REQUEST_BYTES }
}

pub(super) const BIND: u8 = 0x60;
const UNBIND: u8 = 0x42;
pub(super) const SEARCH: u8 = 0x63;
pub(super) const SEARCH_DONE: u8 = 0x65;
pub(super) const MODIFY: u8 = 0x66;
pub(super) const ADD: u8 = 0x68;
pub(super) const DELETE: u8 = 0x4a;
const MODIFY_DN: u8 = 0x6c;
const COMPARE: u8 = 0x6e;
pub(super) const ABANDON: u8 = 0x50;
pub(super) const EXTENDED: u8 = 0x77;

/// Reads the message id and the operation's tag from the content of a message.
fn operation_tag(content: &[u8]) -> Result<(i32, u8), Flaw> {
    let head = ber::head(content)?;
    if head.tag != ber::INTEGER || !(1..=4).contains(&head.length) {
        return Err(Flaw::Form);
    }
    let (_, id, rest) = ber::split(content).map_err(|_| Flaw::Short)?;
    let id = id.iter().fold(0_u32, |id, octet| id << 8 | u32::from(*octet));
    let id = i32::try_from(id).map_err(|_| Flaw::Form)?;
    rest.first().map(|tag| (id, *tag)).ok_or(Flaw::Short)
}

/// A decoded message.
#[derive(Debug)]
pub(super) enum Request {
    /// A request that can be carried out.
    Asked { id: i32, op: Box<LdapOp>, controls: Controls },
    /// A request that is answered with a failure, and the tag of that answer.
    Refused { id: i32, answer: u8, failure: Failure },
    /// Bytes after which the session cannot go on.
    Broken(&'static str),
}

/// The tag of the response to a request; `None` if it gets none.
const fn answer_to(tag: u8) -> Option<u8> {
    match tag {
        BIND => Some(BIND + 1),
        SEARCH => Some(SEARCH_DONE),
        MODIFY => Some(MODIFY + 1),
        ADD => Some(ADD + 1),
        DELETE => Some(0x6b),
        MODIFY_DN => Some(MODIFY_DN + 1),
        COMPARE => Some(COMPARE + 1),
        EXTENDED => Some(EXTENDED + 1),
        _ => None,
    }
}

/// Decodes one whole message.
pub(super) fn read(bytes: &[u8]) -> Request {
    let shape = Request::Broken("the message is not formed as its operation");
    let Ok((_, content, [])) = ber::split(bytes) else { return shape };
    let Ok((id, tag)) = operation_tag(content) else { return shape };
    let answer = answer_to(tag);
    if answer.is_none() && !matches!(tag, UNBIND | ABANDON) {
        return Request::Broken("the operation is not one that clients ask for");
    }
    if id == 0 {
        return Request::Broken("the message id of a request must be 1 or more");
    }
    match (ber::check(bytes), answer) {
        (Ok(()), _) => {}
        (Err(Flaw::Size), Some(answer)) => {
            let text = format!("a message may have {} elements, {} deep", limits::LDAP_ELEMENTS, limits::LDAP_NESTING);
            return Request::Refused { id, answer, failure: Failure::new(LdapResultCode::AdminLimitExceeded, text) };
        }
        _ => return Request::Broken("a length in the message does not fit"),
    }
    let Ok((_, tree)) = Parser::default().parse(bytes) else { return shape };
    match (read_tree(id, tree), answer) {
        (Ok(request), _) => request,
        (Err(Some(failure)), Some(answer)) => Request::Refused { id, answer, failure },
        _ => shape,
    }
}

/// Decodes the elements of a message. The error is `None` when the message is malformed.
fn read_tree(id: i32, tree: StructureTag) -> Result<Request, Option<Failure>> {
    let mut parts = tree.expect_constructed().ok_or(None)?;
    let controls = match parts.len() {
        2 => Controls::default(),
        3 => {
            let tag = parts.pop().filter(|tag| tag.class == TagClass::Context && tag.id == 0).ok_or(None)?;
            Controls::read(tag.expect_constructed().ok_or(None)?)?
        }
        _ => return Err(None),
    };
    if let Some(operation) = parts.get_mut(1) {
        check_texts(operation)?;
    }
    let message = StructureTag { class: TagClass::Universal, id: 16, payload: PL::C(parts) };
    let LdapMsg { op, .. } = LdapMsg::try_from(message).map_err(|_| None)?;
    Ok(Request::Asked { id, op: Box::new(op), controls })
}

/// Handles text that is not UTF-8, which `ldap3_proto` reports as a malformed message. The message is well-formed: it
/// has a name that cannot exist, or asserts a value that no entry has.
fn check_texts(operation: &mut StructureTag) -> Result<(), Option<Failure>> {
    let no_name = || Some(Failure::new(LdapResultCode::InvalidDNSyntax, "the name is not UTF-8"));
    // A request to delete is nothing but a name (RFC 4511, 4.8).
    if let (10, PL::P(name)) = (operation.id, &operation.payload)
        && core::str::from_utf8(name).is_err()
    {
        return Err(no_name());
    }
    let (tag, PL::C(parts)) = (operation.id, &mut operation.payload) else {
        return Ok(());
    };
    let is_text = |part: &StructureTag| !matches!(&part.payload, PL::P(bytes) if core::str::from_utf8(bytes).is_err());
    let name = match tag {
        0 => 1,
        3 | 6 | 8 | 12 | 14 => 0,
        _ => return Ok(()),
    };
    if !parts.get(name).is_none_or(is_text) {
        return Err(no_name());
    }
    if tag == 0 && !parts.get(2).is_none_or(is_text) {
        return Err(Some(Failure::new(LdapResultCode::InvalidCredentials, "")));
    }
    match parts.get_mut(6).filter(|_| tag == 3) {
        Some(filter) => check_filter(filter, limits::LDAP_FILTER_DEPTH, &mut 0),
        None => Ok(()),
    }
}

/// Bounds the terms of a filter. Octets that a term asserts are spelt as text; a term that asserts any other value that
/// is not UTF-8 is replaced by one for an attribute that does not exist, so that it is Undefined (RFC 4511, 4.5.1.7).
fn check_filter(filter: &mut StructureTag, depth: usize, terms: &mut usize) -> Result<(), Option<Failure>> {
    *terms += 1;
    if depth == 0 || *terms > limits::LDAP_FILTER_TERMS {
        let text = format!("a filter may have {} terms, {} deep", limits::LDAP_FILTER_TERMS, limits::LDAP_FILTER_DEPTH);
        return Err(Some(Failure::new(LdapResultCode::AdminLimitExceeded, text)));
    }
    // The decoder would call it an error of the node in the log, as often as a stranger sends it.
    if filter.class != TagClass::Context {
        return Err(None);
    }
    let PL::C(parts) = &mut filter.payload else { return Ok(()) };
    match filter.id {
        0..=2 => parts.iter_mut().try_for_each(|part| check_filter(part, depth - 1, terms)),
        of => {
            spell(of, parts);
            // Except for dnAttributes, which is a boolean (RFC 4511, 4.5.1.7.7).
            if parts.iter().filter(|part| (of, part.id) != (9, 4)).any(has_bytes) {
                *filter = StructureTag { class: TagClass::Context, id: 7, payload: PL::P(b"?".to_vec()) };
            }
            Ok(())
        }
    }
}

/// Spells the octets that a term asserts for equality (equalityMatch, approxMatch, extensibleMatch).
fn spell(term: u64, parts: &mut [StructureTag]) {
    let named = |id: u64| parts.iter().find(|part| part.id == id).and_then(text_of);
    let (attribute, rule, value) = match term {
        3 | 8 => (parts.first().and_then(text_of), None, 1),
        9 => (named(2), named(1), parts.iter().position(|part| part.id == 3).unwrap_or(parts.len())),
        _ => return,
    };
    if filter::is_of_octets(attribute, rule)
        && let Some(StructureTag { payload: PL::P(octets), .. }) = parts.get_mut(value)
    {
        *octets = filter::spelt(octets).into_bytes();
    }
}

fn text_of(part: &StructureTag) -> Option<&str> {
    match &part.payload {
        PL::P(bytes) => core::str::from_utf8(bytes).ok(),
        PL::C(_) => None,
    }
}

fn has_bytes(tag: &StructureTag) -> bool {
    match &tag.payload {
        PL::P(bytes) => core::str::from_utf8(bytes).is_err(),
        PL::C(parts) => parts.iter().any(has_bytes),
    }
}

/// Writes a message from an encoded operation and encoded controls.
pub(super) fn write(out: &mut Vec<u8>, id: i32, operation: &[u8], controls: &[u8]) {
    ber::element(out, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, i64::from(id));
        out.extend_from_slice(operation);
        if !controls.is_empty() {
            ber::primitive(out, 0xa0, controls);
        }
    });
}

/// Encodes an operation that is an `LDAPResult` (RFC 4511, 4.1.9); `more` writes what follows it.
pub(super) fn result(tag: u8, result: &Result<LdapResultCode, Failure>, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (code, matched, text) = match result {
        Ok(code) => (code.clone(), "", ""),
        Err(failure) => (failure.code.clone(), failure.matched.as_str(), failure.text.as_str()),
    };
    let mut out = Vec::new();
    ber::element(&mut out, tag, |out| {
        ber::integer(out, ber::ENUMERATED, code as i64);
        ber::primitive(out, ber::OCTETS, matched.as_bytes());
        ber::primitive(out, ber::OCTETS, text.as_bytes());
        more(out);
    });
    out
}

/// The notice of disconnection, after which the session ends.
pub(super) fn notice(code: LdapResultCode, text: &str) -> Vec<u8> {
    let failure = Err(Failure::new(code, text));
    let operation = result(EXTENDED + 1, &failure, |out| ber::primitive(out, 0x8a, NOTICE_OF_DISCONNECTION.as_bytes()));
    let mut out = Vec::new();
    write(&mut out, 0, &operation, &[]);
    out
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entry;
    use super::super::schema;
    use super::*;
    use crate::observe::Lines;

    /// A search with this filter.
    fn search(filter: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        ber::element(&mut out, ber::SEQUENCE, |out| {
            ber::integer(out, ber::INTEGER, 7);
            ber::element(out, SEARCH, |out| {
                ber::primitive(out, ber::OCTETS, b"o=ics");
                // Scope, aliases, and no limits.
                for tag in [ber::ENUMERATED, ber::ENUMERATED, ber::INTEGER, ber::INTEGER] {
                    ber::integer(out, tag, 0);
                }
                ber::primitive(out, 0x01, &[0]);
                out.extend_from_slice(filter);
                ber::primitive(out, ber::SEQUENCE, b"");
            });
        });
        out
    }

    /// Only what may carry a key may be long.
    #[test]
    fn a_message_has_so_many_bytes() {
        // Its head takes six of them.
        let announced = |tag: u8, whole: usize| {
            let length = u32::try_from(whole - 6).expect("short").to_be_bytes();
            frame(&[&[ber::SEQUENCE, 0x84][..], &length, &[ber::INTEGER, 1, 1, tag]].concat())
        };
        let (short, long) = (limits::LDAP_REQUEST_BYTES, limits::LDAP_MESSAGE_BYTES);
        for (tag, most) in [(SEARCH, short), (BIND, short), (ADD, long), (MODIFY, long)] {
            assert!(matches!(announced(tag, most), Framed::Part), "{tag:#x}");
            assert!(matches!(announced(tag, most + 1), Framed::Broken(_)), "{tag:#x}");
        }
    }

    /// RFC 4517, 4.2.27: whatever the octets are, also those that are no text, or another one in UTF-8.
    #[test]
    fn octets_are_matched_as_octets() {
        let mut entry = Entry::new("icsIndex=1,icsDomain=d.example,cn=Log".to_owned(), &schema::ICS_STATEMENT);
        entry.put(&schema::SALT, [[0xff, 0xc3, 0xa9, b'x']]);
        let term = |tag: u8, parts: &[(u8, &[u8])]| {
            let mut out = Vec::new();
            ber::element(&mut out, tag, |out| parts.iter().for_each(|(tag, part)| ber::primitive(out, *tag, part)));
            out
        };
        let equal = |name: &[u8], value: &[u8]| term(0xa3, &[(ber::OCTETS, name), (ber::OCTETS, value)]);
        let rule = |rule: &[u8], value: &[u8]| term(0xa9, &[(0x81, rule), (0x83, value)]);
        let (held, other) = (&b"\xff\xc3\xa9x"[..], &b"\xff\xc3\xa9y"[..]);
        for (what, asked, expected) in [
            ("equal", equal(b"icsSalt", held), Some(true)),
            ("another", equal(b"ICSSALT", other), Some(false)),
            ("as Latin-1", equal(b"icsSalt", "ÿÃ©x".as_bytes()), Some(false)),
            ("by the rule", rule(b"octetStringMatch", held), Some(true)),
            ("another, by the rule", rule(b"2.5.13.17", other), Some(false)),
            ("of an attribute", term(0xa9, &[(0x82, &b"icsSalt"[..]), (0x83, held)]), Some(true)),
            ("of text", equal(b"icsReason", held), None),
            ("by a rule for text", rule(b"caseIgnoreMatch", held), None),
        ] {
            let Request::Asked { op, .. } = read(&search(&asked)) else { panic!("{what}") };
            let LdapOp::SearchRequest(request) = *op else { panic!("{what}") };
            assert_eq!(filter::matches(&filter::prepared(request.filter), &entry), expected, "{what}");
        }
    }

    #[test]
    fn what_is_no_filter_is_no_error_of_the_node() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            for filter in [&[0x04, 1, b'x'][..], &[0xa2, 3, 0x04, 1, b'x'], &[0xa0, 2, 0x30, 0]] {
                assert!(matches!(read(&search(filter)), Request::Broken(_)), "{filter:x?}");
            }
            assert!(matches!(read(&search(b"\x87\x02cn")), Request::Asked { .. }));
        });
        assert_eq!(lines.text(), "", "nothing is logged");
    }
}
