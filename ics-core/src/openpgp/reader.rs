//! Bounds-checked reading of bytes.

use crate::limits;

/// Why bytes are not OpenPGP in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end in the middle of something.
    #[error("the bytes end in the middle of a packet or field")]
    Truncated,
    /// Bytes follow where something should have ended.
    #[error("{0} bytes follow where the packet or field should end")]
    Trailing(usize),
    /// The first bit of a packet is not set.
    #[error("byte {0:#04x} does not begin an OpenPGP packet")]
    NotAPacket(u8),
    /// A packet header of the format before RFC 4880.
    #[error("the packet header has the old format; the canonical form takes the new one")]
    OldFormat,
    /// A length that is not in its shortest form.
    #[error("the packet length is not written in its shortest form")]
    LengthNotMinimal,
    /// A partial length (RFC 9580, 4.2.1.4).
    #[error("the packet has a partial length; the canonical form takes whole ones")]
    PartialLength,
    /// A packet of an old format whose length is "the rest of the file".
    #[error("the packet has no definite length")]
    IndefiniteLength,
    /// More packets than an upload may have.
    #[error("an upload takes {max} packets at most: send it in parts", max = limits::BATCH_PACKETS)]
    TooMany,
    /// An MPI that is zero or has leading zeros, or whose bit count is wrong (RFC 9580, 3.2).
    #[error("a multiprecision integer is not in its shortest form")]
    Integer,
}

/// The bytes left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<usize, WireError> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length of four octets, as `usize`.
    pub(crate) fn length(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.u32()?).map_err(|_| WireError::Truncated)
    }

    /// An MPI in its shortest form, without its bit count.
    pub(crate) fn mpi(&mut self) -> Result<&'a [u8], WireError> {
        let bits = self.u16()?;
        let value = self.take(bits.div_ceil(8))?;
        if bits == 0 || bit_length(value) != bits { Err(WireError::Integer) } else { Ok(value) }
    }

    /// An MPI as other programs write it: leading zeros are dropped, however many bits were declared.
    pub(crate) fn lenient_mpi(&mut self) -> Result<&'a [u8], WireError> {
        let bits = self.u16()?;
        Ok(strip_zeros(self.take(bits.div_ceil(8))?))
    }

    /// Refuses any bytes that are left.
    pub(crate) const fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }
}

/// The bits of a big-endian number, without the leading zero bits of its first byte.
pub(crate) fn bit_length(value: &[u8]) -> usize {
    value.first().map_or(0, |first| (value.len() * 8).saturating_sub(first.leading_zeros() as usize))
}

/// The value without leading zero bytes.
pub(crate) fn strip_zeros(value: &[u8]) -> &[u8] {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    value.get(zeros..).unwrap_or_default()
}

/// Adds leading zeros up to `N` bytes; `None` if the value is longer.
pub(crate) fn pad<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    padded.get_mut(N.checked_sub(value.len())?..)?.copy_from_slice(value);
    Some(padded)
}

/// A number in this many octets; `None` if it does not fit.
pub(crate) fn padded(width: usize, number: &[u8]) -> Option<Vec<u8>> {
    let number = strip_zeros(number);
    Some([&vec![0; width.checked_sub(number.len())?], number].concat())
}

/// Appends a number as an MPI in its shortest form.
pub(crate) fn write_mpi(out: &mut Vec<u8>, value: &[u8]) {
    let value = strip_zeros(value);
    let bits = u16::try_from(bit_length(value)).unwrap_or(u16::MAX);
    out.extend_from_slice(&bits.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_shortest_form_only() {
        for (bytes, result) in [
            (&[0, 1, 1][..], Ok(&[1][..])),
            (&[0, 9, 1, 0xff], Ok(&[1, 0xff])),
            (&[0, 8, 0x80], Ok(&[0x80])),
            (&[0, 0], Err(WireError::Integer)),
            (&[0, 8, 0x7f], Err(WireError::Integer)),
            (&[0, 7, 0x80], Err(WireError::Integer)),
            (&[0, 16, 0, 0xff], Err(WireError::Integer)),
            (&[0, 9, 1], Err(WireError::Truncated)),
            (&[0], Err(WireError::Truncated)),
        ] {
            assert_eq!(Reader::new(bytes).mpi(), result, "{bytes:?}");
        }
    }

    #[test]
    fn integers_written_are_read_back() {
        for value in [&[1_u8][..], &[0, 0, 1, 2], &[0x80], &[0; 3]] {
            let mut out = Vec::new();
            write_mpi(&mut out, value);
            assert_eq!(Reader::new(&out).lenient_mpi(), Ok(strip_zeros(value)));
        }
        assert_eq!(pad::<4>(&[1, 2]), Some([0, 0, 1, 2]));
        assert_eq!(pad::<1>(&[1, 2]), None);
    }
}
