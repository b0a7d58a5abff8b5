//! The one form in which the content of a Signature packet is kept.

use super::{
    RawSignature, SUBKEY_BINDING, Signature, SignatureError, claimed, key_id_area, one, read_head, read_value, version,
    with_low_s, write_value,
};
use crate::identity::Fingerprint;
use crate::openpgp::reader::Reader;
use crate::openpgp::subpacket::{self as sub, Subpacket};

/// Makes the content of a Signature packet canonical: drops what does not belong in the unhashed area, except for the
/// subkey's own signature in a subkey binding, and writes the numbers in the one accepted way.
///
/// # Errors
/// When it is not a signature of an accepted algorithm. Whether the result is acceptable is decided by
/// [`Signature::parse`].
pub(crate) fn canonicalise(body: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let mut reader = Reader::new(body);
    let head = read_head(body, &mut reader)?;
    let value = read_value(&mut reader, head.algorithm, Reader::lenient_mpi)?;
    reader.end()?;
    let value = with_low_s(value).ok_or(SignatureError::HighS)?;
    let subpackets = sub::all(head.hashed)?;
    let mut unhashed = key_id_area(&subpackets, &claimed(&subpackets, head.unhashed, version(head.bytes))?);
    if head.kind == SUBKEY_BINDING && one(&subpackets, sub::EMBEDDED_SIGNATURE)?.is_none() {
        unhashed.extend(embedded(head.unhashed)?);
    }
    Ok(assemble(head.bytes, &unhashed, head.prefix, head.salt, head.algorithm, &value))
}

/// The first embedded signature of an unhashed area, made canonical, as an area by itself.
fn embedded(unhashed: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let mut area = Vec::new();
    if let Some(found) = sub::all(unhashed)?.iter().find(|s| s.tag == sub::EMBEDDED_SIGNATURE) {
        sub::write(&mut area, false, sub::EMBEDDED_SIGNATURE, &canonicalise(found.data)?);
    }
    Ok(area)
}

/// Whether an unhashed area is exactly this one embedded signature, in canonical form.
pub(crate) fn is_canonical_area(embedded: &Subpacket<'_>, area: &[u8], by: &Fingerprint) -> bool {
    let mut canonical = Vec::new();
    sub::write(&mut canonical, false, sub::EMBEDDED_SIGNATURE, embedded.data);
    canonical == area && Signature::parse_by(embedded.data, Some(by)).is_ok()
}

/// Assembles the content of a Signature packet.
pub(super) fn assemble(
    head: &[u8],
    unhashed: &[u8],
    prefix: [u8; 2],
    salt: &[u8],
    algorithm: u8,
    value: &RawSignature,
) -> Vec<u8> {
    let mut body = head.to_vec();
    write_area(&mut body, version(head), unhashed);
    body.extend_from_slice(&prefix);
    if version(head) == 6 {
        body.push(u8::try_from(salt.len()).unwrap_or(u8::MAX));
        body.extend_from_slice(salt);
    }
    write_value(&mut body, algorithm, value);
    body
}

/// Appends an area of subpackets, preceded by its length: two octets in version 4, four in version 6.
pub(super) fn write_area(out: &mut Vec<u8>, version: u8, area: &[u8]) {
    if version == 6 {
        out.extend_from_slice(&u32::try_from(area.len()).unwrap_or(u32::MAX).to_be_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(area.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    out.extend_from_slice(area);
}
