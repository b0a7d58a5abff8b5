//! Simple mutations of known input, deterministic for each seed: shallow, but available on any toolchain and in every
//! run.

/// Mutates input.
pub struct Mutator(u64);

/// Numbers at the borders of length encodings.
const BORDERS: [u8; 10] = [0, 1, 0x7f, 0x80, 0xbf, 0xc0, 0xdf, 0xe0, 0xfe, 0xff];

impl Mutator {
    /// A mutator with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// A copy with one to four changes: bits flipped, bytes set to a border, cut, doubled, or joined with another
    /// input.
    #[must_use]
    pub fn change(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.change_once(&mut bytes, other);
        }
        bytes
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let place = self.below(bytes.len());
        let end = (place + 1 + self.below(32)).min(bytes.len());
        match self.below(6) {
            0 => {
                let bit = self.below(8);
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            1 => {
                let border = BORDERS.iter().copied().nth(self.below(BORDERS.len())).unwrap_or_default();
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte = border);
            }
            2 => bytes.truncate(place),
            3 => drop(bytes.drain(place.min(end)..end)),
            4 => {
                let copy: Vec<u8> = bytes.iter().copied().take(end).skip(place).collect();
                drop(bytes.splice(place..place, copy));
            }
            _ => {
                let from = self.below(other.len());
                let length = self.below(64);
                drop(bytes.splice(place..place, other.iter().copied().skip(from).take(length)));
            }
        }
    }
}
