//! Which keys the index may hold, so that most look-ups of what nobody has mentioned end in memory.

use crate::store::types::Key;

/// The number of keys of the first part; each further part has room for four times as many.
const FIRST: usize = 8192;

/// The greatest number of parts: 45 million keys in 85 MiB. With more keys the filter becomes less selective, and
/// look-ups go to the file.
const PARTS: usize = 7;

/// How many bits a key sets in its word.
const BITS: u32 = 4;

/// A Bloom filter that grows: keys that were inserted are always found, and about one in a hundred of the others.
///
/// Keys are hashes, so their own bits determine where they belong.
#[derive(Debug, Default)]
pub(crate) struct Filter(Vec<Part>);

/// Each key has its bits in a single word; there is one word for four keys.
#[derive(Debug)]
struct Part {
    words: Vec<u64>,
    keys: usize,
}

impl Part {
    fn new(keys: usize) -> Self {
        Self { words: vec![0; keys / 4], keys: 0 }
    }

    const fn is_full(&self) -> bool {
        self.keys >= self.words.len() * 4
    }

    /// The upper half of the key's bits chooses the word, in the order of keys: sorted keys are inserted without
    /// jumping about.
    fn place(&self, key: Key) -> (usize, u64) {
        let word = (u128::from(key.bits()) * self.words.len() as u128) >> 64;
        let bits = (0..BITS).fold(0, |bits, nth| bits | 1 << ((key.bits() >> (6 * nth)) & 63));
        (usize::try_from(word).unwrap_or_default(), bits)
    }

    fn may_have(&self, key: Key) -> bool {
        let (word, bits) = self.place(key);
        self.words.get(word).is_none_or(|word| word & bits == bits)
    }

    fn insert(&mut self, key: Key) {
        let (word, bits) = self.place(key);
        if let Some(word) = self.words.get_mut(word).filter(|word| **word & bits != bits) {
            *word |= bits;
            self.keys += 1;
        }
    }
}

impl Filter {
    /// Whether a key may have been inserted; sometimes true for one that was not.
    pub(crate) fn may_have(&self, key: Key) -> bool {
        self.0.iter().any(|part| part.may_have(key))
    }

    /// Inserts into the last part without looking at the others: each look misses the processor's caches, and few keys
    /// are inserted repeatedly.
    pub(crate) fn insert(&mut self, key: Key) {
        if self.0.len() < PARTS && self.0.last().is_none_or(Part::is_full) {
            self.0.push(Part::new(FIRST << (2 * self.0.len())));
        }
        if let Some(last) = self.0.last_mut() {
            last.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_found_and_of_the_rest_little() {
        let key = |number: u32| Key::of(&number.to_be_bytes());
        let mut filter = Filter::default();
        assert!(!filter.may_have(key(0)));
        for number in 0..60_000 {
            filter.insert(key(number));
            assert!(filter.may_have(key(number)));
        }
        assert!((0..60_000).all(|number| filter.may_have(key(number))));
        assert_eq!(filter.0.len(), 3, "it has grown");
        let wrong = (60_000..160_000).filter(|number| filter.may_have(key(*number))).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
    }
}
