//! What was acknowledged is kept: the real node killed, its writes failing, and the power cut, again and again.
//!
//! Clients keep ledgers of their own, fsynced, of every receipt that they were given; afterwards the store is held
//! against them. `tests/ledger` runs the same with larger numbers, and says how.
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

/// How often something is done: so often in continuous integration, and as often as the variable says otherwise.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} takes a number")))
}

/// A directory in memory, where there is such: what is killed and cut here needs no real disk, and does not wait for one.
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
