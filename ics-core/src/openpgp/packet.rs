//! Packet framing (RFC 9580, section 4.2): canonical when reading bodies, any legal form when splitting.

use super::reader::{Reader, WireError};
use crate::limits;

/// Signature packet.
pub(crate) const SIGNATURE: u8 = 2;
/// One-Pass Signature packet.
pub(crate) const ONE_PASS: u8 = 4;
/// Public-Key packet.
pub(crate) const PUBLIC_KEY: u8 = 6;
/// Marker packet.
pub(crate) const MARKER: u8 = 10;
/// Literal Data packet.
pub(crate) const LITERAL: u8 = 11;
/// Trust packet.
pub(crate) const TRUST: u8 = 12;
/// User ID packet.
pub(crate) const USER_ID: u8 = 13;
/// Public-Subkey packet.
pub(crate) const PUBLIC_SUBKEY: u8 = 14;
/// User Attribute packet.
pub(crate) const USER_ATTRIBUTE: u8 = 17;
/// Padding packet.
pub(crate) const PADDING: u8 = 21;

/// One packet: its type and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
}

/// The next packet, in canonical framing.
pub(crate) fn next<'a>(reader: &mut Reader<'a>) -> Result<Packet<'a>, WireError> {
    let header = reader.u8()?;
    match header & 0xc0 {
        0xc0 => {}
        0x80 => return Err(WireError::OldFormat),
        _ => return Err(WireError::NotAPacket(header)),
    }
    let length = minimal_length(reader)?;
    Ok(Packet { tag: header & 0x3f, body: reader.take(length)? })
}

/// A length of one, two or five octets, in the shortest of the forms that can hold it.
fn minimal_length(reader: &mut Reader<'_>) -> Result<usize, WireError> {
    let (length, shortest) = match reader.u8()? {
        first @ 0..192 => (usize::from(first), 0),
        first @ 192..224 => (two_octets(first, reader.u8()?), 192),
        224..255 => return Err(WireError::PartialLength),
        255 => (reader.length()?, 8384),
    };
    if length < shortest { Err(WireError::LengthNotMinimal) } else { Ok(length) }
}

fn two_octets(first: u8, second: u8) -> usize {
    ((usize::from(first) - 192) << 8) + usize::from(second) + 192
}

/// All packets of `bytes`, in canonical framing.
pub(crate) fn all(bytes: &[u8]) -> Result<Vec<Packet<'_>>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut packets = Vec::with_capacity(4);
    while !reader.is_empty() {
        packets.push(next(&mut reader)?);
    }
    Ok(packets)
}

/// Appends a packet in canonical framing.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(0xc0 | tag);
    write_length(out, body.len());
    out.extend_from_slice(body);
}

/// Appends a length in the form that packets and subpackets share (RFC 9580, 4.2.1 and 5.2.3.7).
pub(crate) fn write_length(out: &mut Vec<u8>, length: usize) {
    match u16::try_from(length) {
        Ok(short @ 0..192) => out.push(short as u8),
        Ok(middle @ 192..8384) => out.extend_from_slice(&(middle - 192 + (192 << 8)).to_be_bytes()),
        _ => {
            out.push(255);
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// One packet in any legal framing; content that came in parts is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyPacket {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// All packets of an upload, at most [`limits::BATCH_PACKETS`], in any legal framing.
pub(crate) fn all_in_any_framing(bytes: &[u8]) -> Result<Vec<AnyPacket>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut packets = Vec::new();
    while !reader.is_empty() {
        if packets.len() == limits::BATCH_PACKETS {
            return Err(WireError::TooMany);
        }
        let header = reader.u8()?;
        packets.push(match header & 0xc0 {
            0xc0 => AnyPacket { tag: header & 0x3f, body: new_format(&mut reader)? },
            0x80 => AnyPacket { tag: (header >> 2) & 0x0f, body: old_format(header & 3, &mut reader)?.to_vec() },
            _ => return Err(WireError::NotAPacket(header)),
        });
    }
    Ok(packets)
}

fn old_format<'a>(length_type: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let length = match length_type {
        0 => usize::from(reader.u8()?),
        1 => reader.u16()?,
        2 => reader.length()?,
        _ => return Err(WireError::IndefiniteLength),
    };
    reader.take(length)
}

fn new_format(reader: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    loop {
        let (length, partial) = match reader.u8()? {
            first @ 0..192 => (usize::from(first), false),
            first @ 192..224 => (two_octets(first, reader.u8()?), false),
            first @ 224..255 => (1_usize << (first & 0x1f), true),
            255 => (reader.length()?, false),
        };
        body.extend_from_slice(reader.take(length)?);
        if !partial {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_packets_are_canonical() {
        for length in [0, 1, 191, 192, 8383, 8384, 70_000] {
            let body = vec![7; length];
            let mut bytes = Vec::new();
            write(&mut bytes, USER_ID, &body);
            assert_eq!(all(&bytes), Ok(vec![Packet { tag: USER_ID, body: &body }]), "{length}");
            assert_eq!(all_in_any_framing(&bytes), Ok(vec![AnyPacket { tag: USER_ID, body }]));
        }
    }

    #[test]
    fn other_framings_are_refused_by_name() {
        for (bytes, error) in [
            (&[0xb4, 1, b'x'][..], WireError::OldFormat),
            (&[0xcd, 192 + 32, 1, 1], WireError::PartialLength),
            (&[0xcd, 255, 0, 0, 0, 1, b'x'], WireError::LengthNotMinimal),
            (&[0xcd, 255, 0, 0, 0x20, 0xbf], WireError::LengthNotMinimal),
            (&[0xcd, 255, 0, 0, 0x20, 0xc0], WireError::Truncated),
            (&[0xcd, 2, b'x'], WireError::Truncated),
            (&[0x2d, 2], WireError::NotAPacket(0x2d)),
            (&[0xcd], WireError::Truncated),
        ] {
            assert_eq!(all(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn any_legal_framing_says_the_same() {
        let expected = Ok(vec![AnyPacket { tag: LITERAL, body: b"abc".to_vec() }]);
        for bytes in [
            &[0xcb, 3, b'a', b'b', b'c'][..],
            &[0xcb, 224, b'a', 225, b'b', b'c', 0],
            &[0xcb, 255, 0, 0, 0, 3, b'a', b'b', b'c'],
            &[0x80 | 11 << 2, 3, b'a', b'b', b'c'],
            &[0x80 | 11 << 2 | 1, 0, 3, b'a', b'b', b'c'],
            &[0x80 | 11 << 2 | 2, 0, 0, 0, 3, b'a', b'b', b'c'],
        ] {
            assert_eq!(all_in_any_framing(bytes), expected, "{bytes:?}");
        }
        assert_eq!(all_in_any_framing(&[0x80 | 11 << 2 | 3, b'a']), Err(WireError::IndefiniteLength));
    }
}
