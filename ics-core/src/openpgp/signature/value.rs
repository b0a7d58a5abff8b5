//! The numbers of signatures (RFC 9580, 5.2.3).

use super::SignatureError;
use crate::openpgp::algorithm::KeyAlgorithm;
use crate::openpgp::ecdsa;
use crate::openpgp::reader::{Reader, WireError, pad, write_mpi};

/// The numbers of a signature, in the form of its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawSignature {
    /// RSA: big-endian.
    Rsa(Vec<u8>),
    /// ECDSA: big-endian.
    Ecdsa {
        /// r.
        r: Vec<u8>,
        /// s; either of the two.
        s: Vec<u8>,
    },
    /// Ed25519: R, S.
    Ed25519([u8; 64]),
    /// Ed448: R, S.
    Ed448(Box<[u8; 114]>),
    /// The two signatures of a composite algorithm, concatenated.
    Composite(Vec<u8>),
}

pub(super) fn read_value<'a>(
    reader: &mut Reader<'a>,
    algorithm: u8,
    mpi: impl Fn(&mut Reader<'a>) -> Result<&'a [u8], WireError>,
) -> Result<RawSignature, SignatureError> {
    Ok(match algorithm {
        1 => RawSignature::Rsa(mpi(reader)?.to_vec()),
        19 => RawSignature::Ecdsa { r: mpi(reader)?.to_vec(), s: mpi(reader)?.to_vec() },
        22 => {
            let (r, s) = (mpi(reader)?, mpi(reader)?);
            let (r, s): ([u8; 32], [u8; 32]) = (pad(r).ok_or(WireError::Integer)?, pad(s).ok_or(WireError::Integer)?);
            let mut value = [0; 64];
            value.iter_mut().zip(r.iter().chain(&s)).for_each(|(to, from)| *to = *from);
            RawSignature::Ed25519(value)
        }
        27 => RawSignature::Ed25519(reader.array()?),
        28 => RawSignature::Ed448(Box::new(reader.array()?)),
        30 => RawSignature::Composite(reader.take(64 + 3309)?.to_vec()),
        31 => RawSignature::Composite(reader.take(114 + 4627)?.to_vec()),
        other => return Err(SignatureError::Algorithm(other)),
    })
}

pub(super) fn write_value(out: &mut Vec<u8>, algorithm: u8, value: &RawSignature) {
    match value {
        RawSignature::Rsa(s) => write_mpi(out, s),
        RawSignature::Ecdsa { r, s } => {
            write_mpi(out, r);
            write_mpi(out, s);
        }
        RawSignature::Ed25519(value) if algorithm == 22 => {
            let (r, s) = value.split_at(32);
            write_mpi(out, r);
            write_mpi(out, s);
        }
        RawSignature::Ed25519(value) => out.extend_from_slice(value),
        RawSignature::Ed448(value) => out.extend_from_slice(value.as_slice()),
        RawSignature::Composite(value) => out.extend_from_slice(value),
    }
}

/// Replaces s by the smaller one. The size of the numbers shows the curve: if r and s of a signature on a larger curve
/// both happen to be that short, the other s is not short, so still only one of the two is accepted.
pub(super) fn with_low_s(value: RawSignature) -> Option<RawSignature> {
    let RawSignature::Ecdsa { r, s } = value else { return Some(value) };
    let curve = match r.len().max(s.len()) {
        0..=32 => KeyAlgorithm::P256,
        33..=48 => KeyAlgorithm::P384,
        _ => KeyAlgorithm::P521,
    };
    ecdsa::low_s(curve, &s).map(|s| RawSignature::Ecdsa { r, s })
}
