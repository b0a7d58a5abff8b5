//! Nonces (RFC 8555, 6.5): given out without being stored, accepted once.
//!
//! A nonce is a number and a tag that proves that the node gave it out. One bit is kept for each of the latest numbers,
//! so that memory stays the same however many are asked for. A nonce that this many others have overtaken counts as
//! used; its client takes the new one that comes with the error.

use std::sync::Mutex;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use ics_core::limits;

use crate::locked::Locked as _;

/// How many numbers are remembered as used or not: one bit each, 8 KiB in all.
const WINDOW: u64 = limits::ACME_NONCES;
/// Bytes of the tag: enough that nobody can guess one.
const TAG_BYTES: usize = 16;

/// The nonces of a node.
pub struct Nonces {
    key: hmac::Key,
    window: Mutex<Window>,
}

struct Window {
    next: u64,
    /// One bit for each number modulo [`WINDOW`]: whether it may still be used.
    open: Box<[u64]>,
}

impl Nonces {
    /// Makes nonces with a secret key. Nonces made with another key are not accepted, so a restart ends all of them.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let words = usize::try_from(WINDOW / 64).unwrap_or_default();
        let window = Window { next: 0, open: vec![0; words].into_boxed_slice() };
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), window: Mutex::new(window) }
    }

    /// Gives out a new one, in base64url.
    #[must_use]
    pub fn give(&self) -> String {
        let number = {
            let mut window = self.window.locked();
            let number = window.next;
            window.next += 1;
            window.set(number, true);
            number
        };
        let number = number.to_be_bytes();
        BASE64URL_NOPAD.encode(&[&number[..], &self.tag(&number)].concat())
    }

    /// Uses up a nonce; returns whether it was given out here, recently, and not used before.
    #[must_use]
    pub fn take(&self, nonce: &str) -> bool {
        let Ok(bytes) = BASE64URL_NOPAD.decode(nonce.as_bytes()) else { return false };
        let Some((number, tag)) = bytes.split_first_chunk::<8>() else { return false };
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&self.tag(number)[..], tag)) {
            return false;
        }
        let number = u64::from_be_bytes(*number);
        let mut window = self.window.locked();
        let is_open = number < window.next && window.next - number <= WINDOW && window.is_open(number);
        if is_open {
            window.set(number, false);
        }
        is_open
    }

    fn tag(&self, number: &[u8; 8]) -> [u8; TAG_BYTES] {
        let tag = hmac::sign(&self.key, number);
        let mut short = [0; TAG_BYTES];
        short.iter_mut().zip(tag.as_ref()).for_each(|(short, byte)| *short = *byte);
        short
    }
}

impl Window {
    fn word(number: u64) -> (usize, u64) {
        let place = number % WINDOW;
        (usize::try_from(place / 64).unwrap_or_default(), 1 << (place % 64))
    }

    fn is_open(&self, number: u64) -> bool {
        let (word, bit) = Self::word(number);
        self.open.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, number: u64, open: bool) {
        let (word, bit) = Self::word(number);
        if let Some(word) = self.open.get_mut(word) {
            *word = if open { *word | bit } else { *word & !bit };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_was_given_out_here() {
        let (nonces, others) = (Nonces::new(&[1; 32]), Nonces::new(&[2; 32]));
        let nonce = nonces.give();
        assert!(!others.take(&nonce), "another node's");
        let (first, rest) = nonce.split_at(1);
        let changed = format!("{}{rest}", if first == "A" { "B" } else { "A" });
        for wrong in [changed.as_str(), "", "AAAA", &nonce[..nonce.len() - 2], &format!("{nonce}AA"), "=%"] {
            assert!(!nonces.take(wrong), "{wrong}");
        }
        assert!(nonces.take(&nonce), "wrong guesses do not use it up");
    }

    #[test]
    fn what_was_overtaken_by_a_window_is_gone() {
        let nonces = Nonces::new(&[1; 32]);
        let (old, last) = (nonces.give(), nonces.give());
        for _ in 0..WINDOW - 1 {
            let _ = nonces.give();
        }
        assert!(!nonces.take(&old));
        assert!(nonces.take(&last));
    }

    proptest! {
        /// In whatever order they are given out and used, each is accepted once.
        #[test]
        fn each_serves_once(steps in prop::collection::vec(prop::option::of(0_usize..32), 1..200)) {
            let nonces = Nonces::new(&[1; 32]);
            let (mut given, mut taken) = (Vec::new(), BTreeSet::new());
            for step in steps {
                match step.filter(|_| !given.is_empty()) {
                    None => given.push(nonces.give()),
                    Some(which) => {
                        let which = which % given.len();
                        prop_assert_eq!(nonces.take(&given[which]), taken.insert(which));
                    }
                }
            }
        }
    }
}
