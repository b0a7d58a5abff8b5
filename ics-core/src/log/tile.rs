//! Tiles of the tree and bundles of entries, named and cut as in C2SP tlog-tiles: tiles of height 8.

use core::fmt;
use core::str::FromStr;

use crate::identity::excerpt;
use crate::log::entry::LeafData;
use crate::log::hash::Hash;

/// Hashes in a full tile, and entries in a full bundle: a tile spans 8 heights of the tree.
pub const TILE_WIDTH: u16 = 256;

/// The highest level that a path may name (C2SP tlog-tiles, "Merkle Tree"); trees of 2^64 leaves use levels 0 to 7.
const HIGHEST_LEVEL: u8 = 63;

/// One tile: `width` consecutive hashes of complete subtrees of 256^`level` leaves, the first being number
/// `index` × 256 on its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaf hashes; a hash of level n + 1 is the root of a full tile of level n.
    pub level: u8,
    /// The number of the tile on its level.
    pub index: u64,
    /// How many hashes it holds: 256 for a full tile, 1 to 255 for a partial one.
    pub width: u16,
}

/// One bundle of entries: the leaf data of `width` consecutive entries from `index` × 256 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    /// The number of the bundle.
    pub index: u64,
    /// How many entries it holds: 256 for a full bundle, 1 to 255 for a partial one.
    pub width: u16,
}

/// What a path below a log's prefix names: `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// A tile of the tree.
    Tile(TileId),
    /// A bundle of entries.
    Entries(BundleId),
}

/// Why a path or the bytes of a tile were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a path of C2SP tlog-tiles.
    #[error("`{0}` is not the path of a tile, such as tile/0/x001/234 or tile/entries/000.p/17")]
    Path(String),
    /// A tile whose length does not fit its width.
    #[error("{found} bytes, where a tile of this width has {expected}")]
    Length {
        /// Bytes that the width demands.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
}

impl TileId {
    /// A full tile.
    #[must_use]
    pub const fn full(level: u8, index: u64) -> Self {
        Self { level, index, width: TILE_WIDTH }
    }

    /// Whether it is full, and so never changes.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The hashes in the bytes of this tile.
    ///
    /// # Errors
    /// When the bytes are not 32 times the width.
    pub fn hashes(&self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let expected = usize::from(self.width) * 32;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() != usize::from(self.width) || !rest.is_empty() {
            return Err(TileError::Length { expected, found: bytes.len() });
        }
        Ok(hashes.iter().copied().map(Hash).collect())
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_number(f, self.index, self.width)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_number(f, self.index, self.width)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

/// Writes three digits to a path element, with an `x` before all but the last.
fn write_number(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut groups = vec![index % 1000];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    for (place, group) in groups.iter().enumerate().rev() {
        if place > 0 {
            write!(f, "x{group:03}/")?;
        } else {
            write!(f, "{group:03}")?;
        }
    }
    if width == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
}

impl FromStr for TilePath {
    type Err = TileError;

    /// Reads a path without a leading slash; only the one spelling that [`fmt::Display`] gives is accepted.
    fn from_str(text: &str) -> Result<Self, TileError> {
        let path = parse_path(text).filter(|path| path.to_string() == text);
        path.ok_or_else(|| TileError::Path(excerpt(text)))
    }
}

fn parse_path(text: &str) -> Option<TilePath> {
    let (level, number) = text.strip_prefix("tile/")?.split_once('/')?;
    let (number, width) = match number.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (number, TILE_WIDTH),
    };
    let index = number.split('/').try_fold(0_u64, |sum, element| {
        let group: u64 = element.trim_start_matches('x').parse().ok()?;
        sum.checked_mul(1000)?.checked_add(group)
    })?;
    if level == "entries" {
        return Some(TilePath::Entries(BundleId { index, width }));
    }
    let level = level.parse().ok().filter(|level| *level <= HIGHEST_LEVEL)?;
    Some(TilePath::Tile(TileId { level, index, width }))
}

/// The bytes of an entry bundle: for every entry its length as u16 big-endian, which is always 32, and its leaf data.
pub fn encode_bundle<'a>(entries: impl IntoIterator<Item = &'a LeafData>) -> Vec<u8> {
    entries.into_iter().flat_map(|data| [0, 32].into_iter().chain(*data)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_and_read_back() {
        let tile = |level, index, width| TilePath::Tile(TileId { level, index, width });
        let entries = |index, width| TilePath::Entries(BundleId { index, width });
        for (path, text) in [
            (tile(0, 0, 256), "tile/0/000"),
            (tile(0, 0, 1), "tile/0/000.p/1"),
            (tile(1, 273, 17), "tile/1/273.p/17"),
            (tile(4, 1_234_067, 256), "tile/4/x001/x234/067"),
            (tile(63, 1_000, 255), "tile/63/x001/000.p/255"),
            (tile(7, u64::MAX, 256), "tile/7/x018/x446/x744/x073/x709/x551/615"),
            (entries(0, 256), "tile/entries/000"),
            (entries(70_000 / 256, 112), "tile/entries/273.p/112"),
            (entries(1_000_000, 256), "tile/entries/x001/x000/000"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn refuses_other_spellings() {
        for text in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/data/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/xx01/000",
            "tile/0/+01",
            "tile/0/000/",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/1/2",
            "tile/7/x018/x446/x744/x073/x709/x551/616",
            "tile/entries/000.p/256",
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(TileError::Path(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_bundle_says_how_long_each_entry_is() {
        let bytes = encode_bundle(&[[1; 32], [2; 32]]);
        assert_eq!(bytes, [&[0_u8, 32][..], &[1; 32], &[0, 32], &[2; 32]].concat());
    }

    #[test]
    fn a_tile_has_as_many_hashes_as_it_is_wide() {
        let tile = TileId { level: 0, index: 0, width: 2 };
        assert_eq!(tile.hashes(&[7; 64]), Ok(vec![Hash([7; 32]); 2]));
        for found in [0, 32, 63, 65, 96] {
            assert_eq!(tile.hashes(&vec![7; found]), Err(TileError::Length { expected: 64, found }));
        }
    }
}
