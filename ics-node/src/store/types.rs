//! What the store holds: domains, entries, heads, and how they are addressed.

use ics_core::log::Hash;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use sha2::{Digest, Sha256};

/// How many bits of a position hold the entry's index; the bits above them hold the domain's number.
const INDEX_BITS: u32 = 40;

/// The greatest number of entries in one domain: 2^40.
pub const DOMAIN_ENTRIES: u64 = 1 << INDEX_BITS;

/// A domain's number within this store, from 1 to 2^23 - 2; it has no meaning elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainNumber(u32);

impl DomainNumber {
    /// A number, if it is in range.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        // SQLite's integers are signed: number and index, and the end of the range, must fit in 63 bits.
        if number >= 1 && number < (1 << 23) - 1 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The position of an entry: domain number << 40 | index. Within a domain, positions are in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) i64);

impl Position {
    /// For an index below [`DOMAIN_ENTRIES`]; a larger one is clamped to that bound, the end of the domain's range.
    pub(crate) fn new(domain: DomainNumber, index: u64) -> Self {
        Self((i64::from(domain.0) << INDEX_BITS) + index.min(DOMAIN_ENTRIES).cast_signed())
    }

    /// The number of its domain.
    pub(crate) const fn domain(self) -> i64 {
        self.0 >> INDEX_BITS
    }

    pub(crate) const fn index(self) -> u64 {
        self.0.cast_unsigned() & (DOMAIN_ENTRIES - 1)
    }
}

/// A key under which an entry is found: 64 bits of a hash. Hashes collide, so every hit must be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) i64);

impl Key {
    /// From bytes that begin with a tag for the sort of key (id, name, model, signer…).
    #[must_use]
    pub fn of(tagged: &[u8]) -> Self {
        Self::with_rest(tagged).0
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0.cast_unsigned()
    }

    /// The key, and 64 more bits of the hash: no two inputs share both.
    #[must_use]
    pub fn with_rest(tagged: &[u8]) -> (Self, u64) {
        let digest: [u8; 32] = Sha256::digest(tagged).into();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest;
        (Self(i64::from_be_bytes([a, b, c, d, e, f, g, h])), u64::from_be_bytes([i, j, k, l, m, n, o, p]))
    }
}

/// Whether this node sequences the domain or copies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// This node is the domain's home: it appends and signs.
    Home,
    /// This node holds a verified copy: checkpoints come from the home.
    Mirror,
}

impl Part {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Mirror => "mirror",
        }
    }
}

/// A domain of this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number within this store.
    pub number: DomainNumber,
    /// Its name.
    pub name: DomainName,
    /// Home or mirror.
    pub part: Part,
    /// Leaf data of entry 0: with the name, the domain's identity. Absent before entry 0 unless it was pinned.
    pub entry0: Option<[u8; 32]>,
}

/// What the leaf hides: the salt and the body. The salt always travels with the body; without the salt, the body could
/// be guessed from the leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The 16 random bytes of this entry.
    pub salt: [u8; 16],
    /// The body as admitted.
    pub body: Vec<u8>,
}

/// An entry of the log as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The domain to which it belongs.
    pub domain: DomainNumber,
    /// Its index in the domain, from 0.
    pub index: u64,
    /// Whether the policy, as this node applies it, admits the entry; if false, it stands in the log without effect.
    pub effective: bool,
    /// Leaf data, SHA-256(salt ‖ header ‖ body).
    pub leaf: [u8; 32],
    /// The header as admitted.
    pub header: Vec<u8>,
    /// Salt and body; absent if erased, or withheld by the node from which it was copied.
    pub content: Option<Content>,
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The header, encoded.
    pub header: Vec<u8>,
    /// Salt and body, or only the leaf data of an entry whose content this node may not have.
    pub content: NewContent,
    /// The keys under which the entry is to be found; the same as the store's `keys_of` gives.
    pub keys: Vec<Key>,
    /// Whether it has effect; a mirror appends without effect what its policy would not admit.
    pub effective: bool,
}

/// The content of an entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewContent {
    /// Salt and body.
    Whole(Content),
    /// Leaf data only.
    Leaf([u8; 32]),
}

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// How many entries it covers.
    pub size: u64,
    /// The root at that size.
    pub root: Hash,
    /// The C2SP signed note, cosignatures included.
    pub note: String,
    /// When the node last added its own timestamped cosignature, which proves freshness.
    pub cosigned_at: Option<Timestamp>,
}

/// The head of a domain's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// The last checkpoint that may be shown. At a mirror that is catching up, and at a home that waits for its
    /// witnesses, it may be for another size.
    pub seal: Option<Seal>,
}

/// How far answers reach: what they take from a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The number of entries under the last checkpoint.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// When it was last cosigned.
    pub cosigned_at: Option<Timestamp>,
}

/// What a commit adds to a domain, announced before anybody can see it, and once more after that if it shows what was
/// filled in.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The domain.
    pub domain: DomainNumber,
    /// The number of entries after the commit.
    pub size: u64,
    /// The entries added, each with its keys.
    pub entries: &'a [(StoredEntry, Vec<Key>)],
    /// Whether earlier entries have changed: some were erased, filled in, or are no longer shown.
    pub amends: bool,
}

/// Whether a domain may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Current,
    /// The database is behind what this node has signed, or is a restored backup (then `signed` may be unknown).
    Behind {
        /// The highest checkpoint known to have been signed.
        signed: Option<Seal>,
    },
    /// The database holds another history than the one that this node has signed.
    Forked {
        /// The signed checkpoint to which it does not lead.
        signed: Seal,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_hold_domain_and_index() {
        for (number, index) in [(1, 0), (1, DOMAIN_ENTRIES - 1), (7, 12), ((1 << 23) - 2, DOMAIN_ENTRIES - 1)] {
            let domain = DomainNumber::new(number).expect("in range");
            let position = Position::new(domain, index);
            assert!(position.0 > 0);
            assert_eq!(position.index(), index);
            assert_eq!(position.0 >> INDEX_BITS, i64::from(number));
        }
        let last = DomainNumber::new((1 << 23) - 2).expect("in range");
        assert!(Position::new(last, u64::MAX).0 > 0);
        let end = Position::new(DomainNumber::new(3).expect("3"), u64::MAX);
        assert_eq!(end, Position::new(DomainNumber::new(4).expect("4"), 0));
    }

    #[test]
    fn numbers_out_of_range() {
        for number in [0, (1 << 23) - 1, 1 << 23, u32::MAX] {
            assert_eq!(DomainNumber::new(number), None);
        }
    }
}
