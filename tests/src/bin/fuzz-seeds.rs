//! Writes the seeds of every fuzz target into a directory, as libFuzzer's initial corpus.

use std::path::PathBuf;
use std::{env, fs, io};

use data_encoding::HEXLOWER;
use ics_tests::fuzz::{TARGETS, seeds};
use sha2::{Digest as _, Sha256};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| "seeds".into()));
    for target in TARGETS {
        let directory = root.join(target.name);
        fs::create_dir_all(&directory)?;
        for seed in seeds(target.name) {
            fs::write(directory.join(HEXLOWER.encode(&Sha256::digest(&seed))), seed)?;
        }
    }
    Ok(())
}
