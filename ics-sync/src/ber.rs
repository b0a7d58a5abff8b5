//! BER as restricted by LDAP (RFC 4511, 5.1): writing it, and reading enough of it to tell whether it is well formed.
//!
//! Libraries read messages once this has found that they can be read. A node's answers are written here: an entry that
//! is encoded once is copied into every answer, and only the message around it differs.

use ics_core::limits;

/// Tag of an integer.
pub const INTEGER: u8 = 0x02;
/// Tag of an octet string.
pub const OCTETS: u8 = 0x04;
/// Tag of an enumerated value.
pub const ENUMERATED: u8 = 0x0a;
/// Tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// Tag of a set.
pub const SET: u8 = 0x31;
/// The bit of a tag that says that the content consists of elements.
const CONSTRUCTED: u8 = 0x20;
/// The bits of a tag that hold its number; all of them set announce a longer one, which LDAP does not use.
const NUMBER: u8 = 0x1f;

/// Writes an element whose content is written by `write`.
pub fn element(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    out.push(0);
    let start = out.len();
    write(out);
    let end = out.len();
    let (bytes, count) = length_bytes(end - start);
    // One octet is reserved for the length; the content is moved if the length takes more.
    out.resize(end + count - 1, 0);
    if count > 1 {
        out.copy_within(start..end, start + count - 1);
    }
    out.iter_mut().skip(start - 1).zip(bytes).take(count).for_each(|(place, byte)| *place = byte);
}

/// Writes an element with the given content.
pub fn primitive(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let (bytes, count) = length_bytes(content.len());
    out.extend(bytes.into_iter().take(count));
    out.extend_from_slice(content);
}

/// Writes an integer, or a type encoded like one, in its shortest form.
pub fn integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    let bytes = value.to_be_bytes();
    let redundant =
        |pair: &&[u8]| matches!(pair, [0, next] if *next < 0x80) || matches!(pair, [0xff, next] if *next >= 0x80);
    let skip = bytes.windows(2).take_while(redundant).count();
    primitive(out, tag, bytes.get(skip..).unwrap_or_default());
}

/// The length octets (X.690, 8.1.3), and how many of them are used.
fn length_bytes(length: usize) -> ([u8; 5], usize) {
    let [.., a, b, c, d] = length.to_be_bytes();
    match length {
        0..=0x7f => ([d, 0, 0, 0, 0], 1),
        0x80..=0xff => ([0x81, d, 0, 0, 0], 2),
        0x100..=0xffff => ([0x82, c, d, 0, 0], 3),
        0x1_0000..=0xff_ffff => ([0x83, b, c, d, 0], 4),
        _ => ([0x84, a, b, c, d], 5),
    }
}

/// The head of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its tag.
    pub tag: u8,
    /// Bytes of tag and length.
    pub bytes: usize,
    /// Bytes of its content.
    pub length: usize,
}

/// What is wrong with bytes that are not BER as restricted by LDAP (RFC 4511, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// They end too early; if that is the end of what has arrived, more may come.
    Short,
    /// Tags of several octets, indefinite lengths, lengths of more than four octets.
    Form,
    /// A length that does not fit into the element around it.
    Length,
    /// More elements, or deeper nesting, than [`limits::LDAP_ELEMENTS`] and [`limits::LDAP_NESTING`].
    Size,
}

/// The head of the first element.
///
/// # Errors
/// [`Flaw::Short`] or [`Flaw::Form`].
pub fn head(bytes: &[u8]) -> Result<Head, Flaw> {
    let [tag, first, rest @ ..] = bytes else { return Err(Flaw::Short) };
    if tag & NUMBER == NUMBER {
        return Err(Flaw::Form);
    }
    let count = match first {
        0..=0x7f => return Ok(Head { tag: *tag, bytes: 2, length: usize::from(*first) }),
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return Err(Flaw::Form),
    };
    let octets = rest.get(..count).ok_or(Flaw::Short)?;
    let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
    Ok(Head { tag: *tag, bytes: 2 + count, length })
}

/// The first element's head and content, and what follows it.
///
/// # Errors
/// When there is no whole element.
pub fn split(bytes: &[u8]) -> Result<(Head, &[u8], &[u8]), Flaw> {
    let head = head(bytes)?;
    let rest = bytes.get(head.bytes..).ok_or(Flaw::Short)?;
    let (content, rest) = rest.split_at_checked(head.length).ok_or(Flaw::Length)?;
    Ok((head, content, rest))
}

/// Checks that all lengths of nested elements fit, before anything is read that takes memory.
///
/// # Errors
/// The first flaw.
pub fn check(bytes: &[u8]) -> Result<(), Flaw> {
    let mut elements = 0;
    check_all(bytes, limits::LDAP_NESTING, &mut elements)
}

fn check_all(mut bytes: &[u8], depth: usize, elements: &mut usize) -> Result<(), Flaw> {
    while !bytes.is_empty() {
        let (head, content, rest) =
            split(bytes).map_err(|flaw| if flaw == Flaw::Short { Flaw::Length } else { flaw })?;
        *elements += 1;
        if depth == 0 || *elements > limits::LDAP_ELEMENTS {
            return Err(Flaw::Size);
        }
        if head.tag & CONSTRUCTED != 0 {
            check_all(content, depth - 1, elements)?;
        }
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        for (length, expected) in [
            (0, &[0x04, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
        ] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            primitive(&mut one, OCTETS, &vec![7; length]);
            element(&mut other, OCTETS, |out| out.extend(vec![7; length]));
            assert_eq!(one, other);
            assert!(one.starts_with(expected), "{length}");
            assert_eq!(head(&one), Ok(Head { tag: OCTETS, bytes: expected.len(), length }));
        }
        let (bytes, count) = length_bytes(0x12_3456);
        assert_eq!(&bytes[..count], [0x83, 0x12, 0x34, 0x56]);
        let (bytes, count) = length_bytes(0x0102_0304);
        assert_eq!(&bytes[..count], [0x84, 1, 2, 3, 4]);
    }

    #[test]
    fn integers_are_written_in_their_shortest_form() {
        for (value, expected) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (-1, &[2, 1, 255]),
            (-129, &[2, 2, 255, 127]),
            (i64::from(i32::MAX), &[2, 4, 127, 255, 255, 255]),
        ] {
            let mut out = Vec::new();
            integer(&mut out, INTEGER, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn flaws() {
        let nested = |depth: usize| {
            (0..depth).fold(Vec::new(), |inner, _| {
                let mut out = Vec::new();
                primitive(&mut out, SEQUENCE, &inner);
                out
            })
        };
        for (bytes, flaw) in [
            (vec![0x30], Flaw::Length),
            (vec![0x30, 0x80, 0, 0], Flaw::Form),
            (vec![0x30, 0x85, 0, 0, 0, 0, 0], Flaw::Form),
            (vec![0x3f, 0x81, 0x01, 0x00], Flaw::Form),
            (vec![0x30, 0x03, 0x04, 0x02, 0x61], Flaw::Length),
            (nested(limits::LDAP_NESTING + 1), Flaw::Size),
            ([vec![0x30, 0x82, 0x20, 0x02], [4, 0].repeat(limits::LDAP_ELEMENTS + 1)].concat(), Flaw::Size),
        ] {
            assert_eq!(check(&bytes), Err(flaw), "{:x?}", &bytes[..bytes.len().min(8)]);
        }
        assert_eq!(check(&nested(limits::LDAP_NESTING)), Ok(()));
        assert_eq!(check(&[4, 0].repeat(limits::LDAP_ELEMENTS)), Ok(()));
    }
}
