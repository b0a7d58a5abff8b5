//! A simulated network: answers take time, get lost, are duplicated or reordered, or are cut off.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// All randomness of a run comes from here, so that a seed replays it.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How bad a network is: percentages of answers, and the longest delay in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) cut: u64,
    pub(crate) delay: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { lost: 0, doubled: 0, cut: 0, delay: 20 };

    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self { lost: dice.below(30), doubled: dice.below(30), cut: dice.below(10), delay: 1 + dice.below(8_000) }
    }
}

/// An answer, as bytes.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Descriptors(Vec<u8>),
    Checkpoint(Vec<u8>),
    Page(Vec<u8>),
    /// The same, packed.
    Packed(Vec<u8>),
    Shown(Vec<u8>),
    /// A page that nobody asked for.
    News(Vec<u8>),
}

/// Answers in transit, by the time at which they arrive.
#[derive(Default)]
pub(crate) struct Network {
    /// With the number of the peer that gave it.
    under_way: BTreeMap<(u64, u64), (usize, Answer)>,
    sent: u64,
}

impl Network {
    pub(crate) fn send(&mut self, from: usize, mut answer: Answer, now: u64, weather: Weather, dice: &mut Dice) {
        if dice.chance(weather.lost) {
            return;
        }
        if dice.chance(weather.cut) {
            let (Answer::Descriptors(bytes)
            | Answer::Checkpoint(bytes)
            | Answer::Page(bytes)
            | Answer::Packed(bytes)
            | Answer::Shown(bytes)
            | Answer::News(bytes)) = &mut answer;
            bytes.truncate(dice.index(bytes.len()));
        }
        for _ in 0..1 + u64::from(dice.chance(weather.doubled)) {
            self.sent += 1;
            self.under_way.insert((now + 1 + dice.below(weather.delay), self.sent), (from, answer.clone()));
        }
    }

    /// The next answer that has arrived, and the peer that gave it.
    pub(crate) fn receive(&mut self, now: u64) -> Option<(usize, Answer)> {
        let first = self.under_way.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next answer arrives.
    pub(crate) fn next(&self) -> Option<u64> {
        self.under_way.keys().next().map(|(due, _)| *due)
    }
}
