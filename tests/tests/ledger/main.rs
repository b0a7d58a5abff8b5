//! What was acknowledged is kept: the real node is killed, its writes fail, and the power is cut, again and again.
//!
//! Clients keep their own ledgers, synced to disk, of every receipt that they got; afterwards the store is compared
//! with these. `tests/ledger` runs the same with larger numbers, and explains how.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod author;
mod broken;
mod client;
mod cuts;
mod disk;
mod faults;
mod kills;
mod process;
mod promises;
mod shim;
mod upgrade;

/// A number of repetitions: `usual` in continuous integration, unless the variable says otherwise.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} takes a number")))
}

/// A directory in memory, if there is one: the kills and cuts here need no real disk, and should not wait for one.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let in_memory = tempfile::tempdir_in(memory);
    in_memory.or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Numbers that look arbitrary and are the same for the same seed: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}
