//! Pages of the feed in few bytes, for catching up: the content of the JSON form as raw bytes with lengths.
//!
//! ```text
//! page   "ICSP" 1 from size note proof sight entries
//! note   length bytes                         0 where there is none
//! proof  count (32 bytes)*
//! sight  0 | 1 (16 bytes) earlier ended       two lists of indices
//! list   count (distance from the one before)*
//! entry  0 (32 bytes)                         hidden: its leaf data
//!        1 length header salt length body
//!        2 (32 bytes) length remnant         erased: its leaf data, what it was and about what
//! ```
//!
//! Numbers are LEB128, unsigned, in their shortest form. A page may travel compressed (zstd, RFC 8878); the reader
//! unpacks no more than a page may have.

use std::io::Read as _;

use ics_core::limits;
use ics_core::log::entry;
use ics_core::statement::Remnant;

use crate::wire::{Base64, Entry, Page, Sight, WireError};

/// The media type of a packed page.
pub const MEDIA_TYPE: &str = "application/vnd.ics.page";
/// The content coding in which it may travel.
pub const CODING: &str = "zstd";
/// Bytes of an entry besides its header and body: most with the remnant of an erased entry.
const ENTRY_BYTES: usize = 40 + REMNANT_BYTES;
/// Bytes of a remnant, at most: two hashes and a few octets.
const REMNANT_BYTES: usize = 80;
/// Bytes of the largest packed page.
pub const PAGE_BYTES: usize = limits::FEED_BYTES
    + ENTRY_BYTES * limits::FEED_ENTRIES
    + 32 * limits::PROOF_HASHES
    + limits::NOTE_BYTES
    + 10 * limits::SIGHT_INDICES
    + 128;

const MAGIC: [u8; 5] = *b"ICSP\x01";
/// The fastest level: bodies are mostly keys and signatures, which no level makes smaller.
const LEVEL: i32 = 1;
/// The base-2 logarithm of the longest window that is unpacked: 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Pages below this size are not worth compressing.
const WORTH_BYTES: usize = 512;

/// Packs a page.
#[must_use]
pub fn pack(page: &Page) -> Vec<u8> {
    let bytes: usize = page.entries.iter().map(|entry| entry.bytes() + 40).sum();
    let mut out = Vec::with_capacity(bytes + 1024);
    out.extend_from_slice(&MAGIC);
    number(&mut out, page.from);
    number(&mut out, page.size);
    sized(&mut out, page.checkpoint.as_deref().unwrap_or_default().as_bytes());
    number(&mut out, page.proof.len() as u64);
    page.proof.iter().for_each(|hash| out.extend_from_slice(&hash.0));
    match &page.sight {
        None => out.push(0),
        Some(sight) => {
            out.push(1);
            out.extend_from_slice(&sight.rights.0);
            list(&mut out, &sight.earlier);
            list(&mut out, &sight.ended);
        }
    }
    number(&mut out, page.entries.len() as u64);
    for entry in &page.entries {
        match entry {
            Entry::Hidden(leaf) => {
                out.push(0);
                out.extend_from_slice(leaf);
            }
            Entry::Erased { leaf, remnant } => {
                out.push(2);
                out.extend_from_slice(leaf);
                sized(&mut out, &remnant.to_bytes());
            }
            Entry::Whole(entry) => {
                out.push(1);
                sized(&mut out, &entry.header);
                out.extend_from_slice(&entry.salt);
                sized(&mut out, &entry.body);
            }
        }
    }
    out
}

/// Compresses a packed page; `None` if that is not worthwhile.
#[must_use]
pub fn compress(packed: &[u8]) -> Option<Vec<u8>> {
    if packed.len() < WORTH_BYTES {
        return None;
    }
    zstd::bulk::compress(packed, LEVEL).ok().filter(|compressed| compressed.len() < packed.len())
}

/// Decompresses what may be a packed page, up to the size of one.
///
/// # Errors
/// When it is not zstd, needs more memory, or unpacks to more than a page may have.
pub fn decompress(compressed: &[u8]) -> Result<Vec<u8>, WireError> {
    let broken = |error: std::io::Error| WireError::Packed(format!("it cannot be uncompressed: {error}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(broken)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(broken)?;
    let mut packed = Vec::new();
    decoder.take(PAGE_BYTES as u64 + 1).read_to_end(&mut packed).map_err(broken)?;
    if packed.len() > PAGE_BYTES { Err(WireError::TooLong(PAGE_BYTES)) } else { Ok(packed) }
}

/// Reads a packed page and checks the bounds of a page.
///
/// # Errors
/// When it is not a page, or exceeds a bound.
pub fn unpack(packed: &[u8]) -> Result<Page, WireError> {
    if packed.len() > PAGE_BYTES {
        return Err(WireError::TooLong(PAGE_BYTES));
    }
    let mut rest = Rest(packed);
    if rest.array()? != MAGIC {
        return Err(malformed("it does not begin like one"));
    }
    let (from, size) = (rest.number()?, rest.number()?);
    let note = rest.sized(limits::NOTE_BYTES).map_err(|_| malformed("its checkpoint is cut off or too long"))?;
    let note = core::str::from_utf8(note).map_err(|_| malformed("its checkpoint is not text"))?;
    let checkpoint = (!note.is_empty()).then(|| note.to_owned());
    let proof = (0..rest.count(limits::PROOF_HASHES)?).map(|_| rest.array().map(Base64)).collect::<Result<_, _>>()?;
    let sight = match rest.array()? {
        [0] => None,
        [1] => Some(Sight { rights: Base64(rest.array()?), earlier: rest.list()?, ended: rest.list()? }),
        _ => return Err(malformed("it has an unknown form")),
    };
    let count = rest.count(limits::FEED_ENTRIES)?;
    let entries = (0..count).map(|_| rest.entry()).collect::<Result<_, _>>()?;
    if !rest.0.is_empty() {
        return Err(malformed("something follows it"));
    }
    Page { from, entries, size, checkpoint, proof, sight }.checked()
}

fn malformed(what: &str) -> WireError {
    WireError::Packed(what.to_owned())
}

pub(crate) fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number that these bytes are exactly.
pub(crate) fn read_number(bytes: &[u8]) -> Option<u64> {
    let mut rest = Rest(bytes);
    rest.number().ok().filter(|_| rest.0.is_empty())
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes indices in ascending order; one out of order is written as a distance modulo 2^64 and read back the same.
fn list(out: &mut Vec<u8>, indices: &[u64]) {
    number(out, indices.len() as u64);
    let mut before = 0_u64;
    for index in indices {
        number(out, index.wrapping_sub(before));
        before = *index;
    }
}

/// The bytes left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| malformed("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| malformed("it is cut off"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return is_shortest.then_some(value).ok_or_else(|| malformed("a number is longer than it need be"));
            }
        }
        Err(malformed("a number is too large"))
    }

    fn count(&mut self, most: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > most { Err(malformed("it has more of something than a page may have")) } else { Ok(count) }
    }

    fn sized(&mut self, most: usize) -> Result<&'a [u8], WireError> {
        let length = self.count(most)?;
        self.take(length)
    }

    fn list(&mut self) -> Result<Vec<u64>, WireError> {
        let mut before = 0_u64;
        let count = self.count(limits::SIGHT_INDICES)?;
        let mut indices = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            before = before.wrapping_add(self.number()?);
            indices.push(before);
        }
        Ok(indices)
    }

    fn entry(&mut self) -> Result<Entry, WireError> {
        match self.array()? {
            [0] => Ok(Entry::Hidden(self.array()?)),
            [1] => {
                let header = self.sized(limits::HEADER_BYTES)?.to_vec();
                let salt = self.array()?;
                let body = self.sized(limits::PERSON_CERTIFICATE_BYTES)?.to_vec();
                Ok(Entry::Whole(entry::Entry { header, salt, body }))
            }
            [2] => {
                let leaf = self.array()?;
                let remnant = Remnant::from_bytes(self.sized(REMNANT_BYTES)?);
                let remnant = remnant.ok_or_else(|| malformed("what an erasure has left is not understood"))?;
                Ok(Entry::Erased { leaf, remnant })
            }
            _ => Err(malformed("an entry has an unknown form")),
        }
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::{Fingerprint, IdentityId};
    use ics_core::statement::StatementId;
    use proptest::prelude::*;

    use super::*;

    fn whole(header: usize, body: usize) -> Entry {
        Entry::Whole(entry::Entry { header: vec![1; header], salt: [2; 16], body: vec![3; body] })
    }

    fn page(entries: Vec<Entry>) -> Page {
        Page {
            from: 7,
            entries,
            size: 300,
            checkpoint: Some("a note".to_owned()),
            proof: vec![Base64([1; 32])],
            sight: None,
        }
    }

    #[test]
    fn the_form_of_a_page_never_changes() {
        let sight = Sight { rights: Base64([9; 16]), earlier: vec![3, 5, 400], ended: vec![] };
        let page = Page { sight: Some(sight), ..page(vec![Entry::Hidden([8; 32]), whole(2, 3)]) };
        let mut expected = b"ICSP\x01\x07\xac\x02\x06a note\x01".to_vec();
        expected.extend([1; 32]);
        expected.push(1);
        expected.extend([9; 16]);
        expected.extend([3, 3, 2, 0x8b, 3, 0, 2, 0]);
        expected.extend([8; 32]);
        expected.extend([1, 2, 1, 1]);
        expected.extend([2; 16]);
        expected.extend([3, 3, 3, 3]);
        assert_eq!(pack(&page), expected);
        assert_eq!(unpack(&expected), Ok(page));
    }

    #[test]
    fn a_page_costs_little_more_than_its_bodies() {
        for (entry, bodies) in [(whole(12, 500), 500), (Entry::Hidden([1; 32]), 32)] {
            let packed = pack(&page(vec![entry; limits::FEED_ENTRIES])).len() as f64;
            let ratio = packed / (bodies * limits::FEED_ENTRIES) as f64;
            assert!(ratio < 1.15, "{ratio}");
        }
    }

    #[test]
    fn what_is_cut_off_spoilt_or_too_much_is_refused() {
        let packed = pack(&page(vec![whole(2, 300), Entry::Hidden([8; 32])]));
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut]).is_err(), "{cut} bytes of it");
        }
        assert!(unpack(&[packed.as_slice(), &[0]].concat()).is_err(), "with more behind it");
        for (spoilt, why) in [
            (b"ICSP\x02".to_vec(), "another version"),
            (b"ICSP\x01\x80\x00".to_vec(), "a number that is longer than it need be"),
            (b"ICSP\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), "a number that is too large"),
            (b"ICSP\x01\x00\x00\x00\x41".to_vec(), "a proof longer than any tree needs"),
            (b"ICSP\x01\x00\x00\x00\x00\x02".to_vec(), "an unknown form"),
            (b"ICSP\x01\x00\x00\x00\x00\x00\xe9\x07".to_vec(), "more entries than a page takes"),
        ] {
            assert!(unpack(&spoilt).is_err(), "{why}");
        }
        assert_eq!(unpack(&vec![0; PAGE_BYTES + 1]), Err(WireError::TooLong(PAGE_BYTES)));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = zstd::bulk::compress(&vec![0; 64 * PAGE_BYTES], 1).expect("compresses");
        assert!(bomb.len() < 200_000, "{} bytes for {}", bomb.len(), 64 * PAGE_BYTES);
        assert_eq!(decompress(&bomb), Err(WireError::TooLong(PAGE_BYTES)));
        assert!(decompress(b"no zstd").is_err());
        let packed = pack(&page(vec![whole(12, 400); 50]));
        let compressed = compress(&packed).expect("worth it");
        assert_eq!(decompress(&compressed), Ok(packed));
        assert!(decompress(&compressed[..compressed.len() - 3]).is_err(), "cut off");
        assert_eq!(compress(b"short"), None);
    }

    #[test]
    fn the_greatest_page_fits_its_bound() {
        let entries = limits::FEED_ENTRIES;
        let sight = Sight {
            rights: Base64([0; 16]),
            earlier: (0..limits::SIGHT_INDICES as u64).map(|n| n << 50).collect(),
            ended: vec![],
        };
        let remnant = Remnant { statement: StatementId([1; 32]), identity: IdentityId::Key(Fingerprint::V6([2; 32])) };
        let erased = pack(&page(vec![Entry::Erased { leaf: [8; 32], remnant }; entries]));
        assert!(erased.len() <= PAGE_BYTES && unpack(&erased).is_ok(), "{}", erased.len());
        let greatest = Page {
            from: u64::MAX,
            size: u64::MAX,
            entries: vec![whole(1, limits::FEED_BYTES / entries - 1); entries],
            checkpoint: Some("x".repeat(limits::NOTE_BYTES)),
            proof: vec![Base64([0; 32]); limits::PROOF_HASHES],
            sight: Some(sight),
        };
        let packed = pack(&greatest);
        assert!(packed.len() <= PAGE_BYTES, "{}", packed.len());
        assert_eq!(unpack(&packed), Ok(greatest));
    }

    proptest! {
        #[test]
        fn a_page_is_read_as_written(from: u64, size: u64, header in prop::collection::vec(any::<u8>(), 0..40),
                                     salt: [u8; 16], leaf: [u8; 32], earlier in prop::collection::vec(any::<u64>(), 0..9),
                                     body in prop::collection::vec(any::<u8>(), 0..200), note in "[a-z\n]{0,20}") {
            let remnant = Remnant { statement: StatementId(leaf), identity: IdentityId::Software(leaf) };
            let erased = Entry::Erased { leaf, remnant };
            let entries = vec![Entry::Whole(entry::Entry { header, salt, body }), erased, Entry::Hidden(leaf)];
            let sight = Some(Sight { rights: Base64(salt), earlier, ended: vec![from] });
            let page = Page { from, entries, size, checkpoint: (!note.is_empty()).then_some(note), proof: vec![], sight };
            prop_assert_eq!(unpack(&pack(&page)), Ok(page));
        }

        #[test]
        fn nothing_makes_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(&bytes);
            let _ = unpack(&[MAGIC.as_slice(), &bytes].concat());
            let _ = decompress(&bytes);
        }
    }
}
