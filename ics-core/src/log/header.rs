//! The binary form of an entry's header.
//!
//! All numbers are big-endian. The form is self-delimiting, and every header has exactly one:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format version, 1 |
//! | 1 | kind of body: 1 statement, 2 document, 3 certificate, 4 descriptor, 5 erasure, 6 certification |
//! | 8 | admitted-at, milliseconds since 1970-01-01T00:00:00Z, at most that of the year 9999 |
//! | 1 | 0: the entry was submitted; 1: it was adopted, and a source follows |
//!
//! The source of an adopted entry:
//!
//! | bytes | what |
//! |---|---|
//! | 2 | length of the source domain's name |
//! | … | the name, ASCII |
//! | 32 | leaf data of the source domain's entry 0 |
//! | 8 | index of the entry in the source domain |
//! | 16 | salt of the entry there |
//! | 2 | length of the entry's header there |
//! | … | that header, in this same form; it may itself have a source, up to [`limits::ADOPTION_DEPTH`] in all |
//! | 2 | number of hashes in the inclusion proof |
//! | 32 each | the hashes, from the leaf's sibling upwards |
//! | 2 | length of the checkpoint |
//! | … | the checkpoint, a signed note, UTF-8 |

use core::str::FromStr;

use crate::limits;
use crate::log::checkpoint::Origin;
use crate::log::entry::{EntryKind, Header};
use crate::log::hash::Hash;
use crate::log::source::Source;
use crate::time::Timestamp;
use crate::vocabulary::DomainName;

const FORMAT_VERSION: u8 = 1;

/// Why bytes are not the header of an entry, or a header has no binary form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than allowed.
    #[error("the header has {0} bytes; at most {max} are allowed", max = limits::HEADER_BYTES)]
    TooLong(usize),
    /// It ends too early.
    #[error("the header is cut off")]
    Truncated,
    /// Something follows it.
    #[error("{0} bytes follow the header")]
    Trailing(usize),
    /// A format version that this program does not know.
    #[error("the header has format version {0}; this program knows version 1")]
    Version(u8),
    /// Not a kind of body.
    #[error("the header has the unknown kind {0}")]
    Kind(u8),
    /// A time after the year 9999.
    #[error("the header's time of {0} ms lies after the year 9999")]
    Time(u64),
    /// Neither 0 nor 1.
    #[error("the header says {0} where 0 (submitted) or 1 (adopted) is expected")]
    SourceFlag(u8),
    /// The source's domain name is malformed.
    #[error("the source's domain is not a domain name")]
    Domain,
    /// Adopted over too many domains.
    #[error("the entry was adopted more than {max} times over", max = limits::ADOPTION_DEPTH)]
    TooDeep,
    /// More hashes than any tree needs.
    #[error("the source's proof has {0} hashes; at most {max} are allowed", max = limits::PROOF_HASHES)]
    ProofHashes(usize),
    /// The checkpoint is not text.
    #[error("the source's checkpoint is not UTF-8")]
    CheckpointText,
}

impl Header {
    /// The binary form, which the leaf data covers.
    ///
    /// # Errors
    /// When [`Header::decode`] would refuse it: a source whose header or checkpoint is too long, that has too many
    /// hashes, or that was adopted too often.
    pub fn encode(&self) -> Result<Vec<u8>, HeaderError> {
        // The size of nearly every header.
        let mut bytes = Vec::with_capacity(11);
        bytes.extend([FORMAT_VERSION, self.kind.code()]);
        bytes.extend(self.admitted_at.as_millis().to_be_bytes());
        bytes.push(u8::from(self.source.is_some()));
        if let Some(source) = &self.source {
            encode_source(source, &mut bytes)?;
            Self::decode(&bytes)?;
        }
        Ok(bytes)
    }

    /// Reads a whole header, in its one form.
    ///
    /// # Errors
    /// For anything else: see [`HeaderError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        decode_nested(bytes, 0)
    }
}

fn encode_source(source: &Source, bytes: &mut Vec<u8>) -> Result<(), HeaderError> {
    let length = |length: usize, error: fn(usize) -> HeaderError| {
        u16::try_from(length).map(u16::to_be_bytes).map_err(|_| error(length))
    };
    let domain = source.origin.domain.as_str().as_bytes();
    bytes.extend(length(domain.len(), HeaderError::TooLong)?);
    bytes.extend(domain);
    bytes.extend(source.origin.entry0);
    bytes.extend(source.index.to_be_bytes());
    bytes.extend(source.salt);
    bytes.extend(length(source.header.len(), HeaderError::TooLong)?);
    bytes.extend(&source.header);
    bytes.extend(length(source.proof.len(), HeaderError::ProofHashes)?);
    bytes.extend(source.proof.iter().flat_map(|hash| hash.0));
    bytes.extend(length(source.checkpoint.len(), HeaderError::TooLong)?);
    bytes.extend(source.checkpoint.as_bytes());
    Ok(())
}

fn decode_nested(bytes: &[u8], depth: usize) -> Result<Header, HeaderError> {
    if bytes.len() > limits::HEADER_BYTES {
        return Err(HeaderError::TooLong(bytes.len()));
    }
    let mut reader = Reader(bytes);
    let [version] = reader.array()?;
    if version != FORMAT_VERSION {
        return Err(HeaderError::Version(version));
    }
    let [kind] = reader.array()?;
    let kind = EntryKind::from_code(kind).ok_or(HeaderError::Kind(kind))?;
    let millis = reader.u64()?;
    let admitted_at = Timestamp::from_millis(millis);
    if admitted_at.as_millis() != millis {
        return Err(HeaderError::Time(millis));
    }
    let source = match reader.array()? {
        [0] => None,
        [1] => Some(decode_source(&mut reader, depth + 1)?),
        [other] => return Err(HeaderError::SourceFlag(other)),
    };
    match reader.0.len() {
        0 => Ok(Header { kind, admitted_at, source }),
        more => Err(HeaderError::Trailing(more)),
    }
}

fn decode_source(reader: &mut Reader<'_>, depth: usize) -> Result<Source, HeaderError> {
    if depth > limits::ADOPTION_DEPTH {
        return Err(HeaderError::TooDeep);
    }
    let domain = reader.counted()?;
    let domain = str::from_utf8(domain).ok().and_then(|text| DomainName::from_str(text).ok());
    let origin = Origin { domain: domain.ok_or(HeaderError::Domain)?, entry0: reader.array()? };
    let index = reader.u64()?;
    let salt = reader.array()?;
    let header = reader.counted()?;
    decode_nested(header, depth)?;
    let hashes = reader.u16()?;
    if hashes > limits::PROOF_HASHES {
        return Err(HeaderError::ProofHashes(hashes));
    }
    let proof = (0..hashes).map(|_| reader.array().map(Hash)).collect::<Result<_, _>>()?;
    let checkpoint = reader.counted()?;
    let checkpoint = str::from_utf8(checkpoint).map_err(|_| HeaderError::CheckpointText)?;
    Ok(Source { origin, index, salt, header: header.to_vec(), proof, checkpoint: checkpoint.to_owned() })
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(HeaderError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn u16(&mut self) -> Result<usize, HeaderError> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn u64(&mut self) -> Result<u64, HeaderError> {
        self.array().map(u64::from_be_bytes)
    }

    /// The bytes whose number the preceding u16 gives.
    fn counted(&mut self) -> Result<&'a [u8], HeaderError> {
        let length = self.u16()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(HeaderError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
