//! Signature subpackets (RFC 9580, 5.2.3.7).

use super::packet::write_length;
use super::reader::{Reader, WireError};

pub(crate) const CREATED: u8 = 2;
pub(crate) const SIGNATURE_EXPIRATION: u8 = 3;
pub(crate) const EXPORTABLE: u8 = 4;
pub(crate) const TRUST: u8 = 5;
pub(crate) const REGULAR_EXPRESSION: u8 = 6;
pub(crate) const REVOCABLE: u8 = 7;
pub(crate) const KEY_EXPIRATION: u8 = 9;
pub(crate) const PREFERRED_SYMMETRIC: u8 = 11;
pub(crate) const ISSUER: u8 = 16;
pub(crate) const NOTATION: u8 = 20;
pub(crate) const PREFERRED_HASH: u8 = 21;
pub(crate) const PREFERRED_COMPRESSION: u8 = 22;
pub(crate) const KEY_SERVER_PREFERENCES: u8 = 23;
pub(crate) const KEY_SERVER: u8 = 24;
pub(crate) const PRIMARY_USER_ID: u8 = 25;
pub(crate) const POLICY_URI: u8 = 26;
pub(crate) const KEY_FLAGS: u8 = 27;
pub(crate) const SIGNERS_USER_ID: u8 = 28;
pub(crate) const REASON: u8 = 29;
pub(crate) const FEATURES: u8 = 30;
pub(crate) const EMBEDDED_SIGNATURE: u8 = 32;
pub(crate) const ISSUER_FINGERPRINT: u8 = 33;
pub(crate) const PREFERRED_AEAD: u8 = 39;

/// The first octet of a notation's flags when its value is text.
const HUMAN_READABLE: u32 = 0x8000_0000;

/// One subpacket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subpacket<'a> {
    pub(crate) critical: bool,
    pub(crate) tag: u8,
    pub(crate) data: &'a [u8],
}

/// A notation (RFC 9580, 5.2.3.24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notation<'a> {
    pub(crate) flags: u32,
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl Notation<'_> {
    /// Whether the flags mark a text, or bytes; other flags are not defined.
    pub(crate) const fn is(&self, human_readable: bool) -> bool {
        self.flags == if human_readable { HUMAN_READABLE } else { 0 }
    }
}

/// All subpackets of an area.
pub(crate) fn all(area: &[u8]) -> Result<Vec<Subpacket<'_>>, WireError> {
    let mut reader = Reader::new(area);
    let mut subpackets = Vec::with_capacity(16);
    while !reader.is_empty() {
        let length = match reader.u8()? {
            first @ 0..192 => usize::from(first),
            255 => reader.length()?,
            first => ((usize::from(first) - 192) << 8) + usize::from(reader.u8()?) + 192,
        };
        let mut content = Reader::new(reader.take(length)?);
        let tag = content.u8()?;
        subpackets.push(Subpacket { critical: tag & 0x80 != 0, tag: tag & 0x7f, data: content.rest() });
    }
    Ok(subpackets)
}

/// Reads the data of a notation subpacket.
pub(crate) fn notation(data: &[u8]) -> Result<Notation<'_>, WireError> {
    let mut reader = Reader::new(data);
    let flags = reader.u32()?;
    let (name, value) = (reader.u16()?, reader.u16()?);
    let notation = Notation { flags, name: reader.take(name)?, value: reader.take(value)? };
    reader.end()?;
    Ok(notation)
}

/// Appends a subpacket.
pub(crate) fn write(out: &mut Vec<u8>, critical: bool, tag: u8, data: &[u8]) {
    write_length(out, data.len() + 1);
    out.push(if critical { tag | 0x80 } else { tag });
    out.extend_from_slice(data);
}

/// Appends a notation; never critical, because GnuPG rejects a signature with a critical one that it does not know.
pub(crate) fn write_notation(out: &mut Vec<u8>, name: &str, value: &[u8], human_readable: bool) {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let flags = if human_readable { HUMAN_READABLE } else { 0 };
    let data = [&flags.to_be_bytes()[..], &length(name.as_bytes()), &length(value), name.as_bytes(), value].concat();
    write(out, false, NOTATION, &data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_subpackets_are_read_back() {
        for length in [0, 190, 191, 8382, 8383, 20_000] {
            let data = vec![1; length];
            let mut area = Vec::new();
            write(&mut area, true, KEY_FLAGS, &data);
            assert_eq!(all(&area), Ok(vec![Subpacket { critical: true, tag: KEY_FLAGS, data: &data }]), "{length}");
        }
        let mut area = Vec::new();
        write_notation(&mut area, "a@b", b"value", true);
        let read = all(&area).expect("one subpacket");
        let notation = notation(read[0].data).expect("a notation");
        assert!(!read[0].critical && notation.is(true) && !notation.is(false));
        assert_eq!((notation.name, notation.value), (&b"a@b"[..], &b"value"[..]));
    }

    #[test]
    fn broken_areas_are_refused() {
        for area in [&[0][..], &[2, 2], &[255, 0, 0, 0], &[192]] {
            assert_eq!(all(area), Err(WireError::Truncated), "{area:?}");
        }
        assert_eq!(notation(&[0x80, 0, 0, 0, 0, 1, 0, 1, b'a']), Err(WireError::Truncated));
        assert_eq!(notation(&[0x80, 0, 0, 0, 0, 0, 0, 0, b'a']), Err(WireError::Trailing(1)));
    }
}
