//! Prints what a factory line would hand to `ics publish --from devices.csv`: devices with Ed25519 keys, each with a
//! serial number and a URN of its MAC address (RFC 9039, 4.1), under OUIs that the IEEE has assigned (Debian's package
//! ieee-data).
//!
//! The same arguments give the same devices: their keys are derived from their numbers, so they are fit only for trials.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

/// Prints devices as CSV for `ics publish --from`.
#[derive(Debug, Parser)]
struct Options {
    /// How many devices.
    #[arg(long, default_value_t = 1_000_000)]
    devices: u64,
    /// The list of OUIs that IEEE has assigned.
    #[arg(long, default_value = "/usr/share/ieee-data/oui.txt")]
    ouis: PathBuf,
    /// The manufacturer whose OUIs are taken, by the beginning of its name; all manufacturers unless told.
    #[arg(long, default_value = "")]
    organisation: String,
}

/// The DER of a SubjectPublicKeyInfo of Ed25519 before the key itself (RFC 8410, 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Addresses under one OUI.
const PER_OUI: u64 = 1 << 24;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, having seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let list = std::fs::read(&options.ouis)?;
    let ouis = assigned(&String::from_utf8_lossy(&list), &options.organisation);
    let count = u64::try_from(ouis.len()).unwrap_or(u64::MAX);
    if count.saturating_mul(PER_OUI) < options.devices || count == 0 {
        return Err(io::Error::other(format!("`{}` has too few OUIs: {count}", options.ouis.display())));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "spki,serial,urn")?;
    for number in 0..options.devices {
        let oui = ouis.get(usize::try_from(number % count).unwrap_or_default()).copied().unwrap_or_default();
        let key = SigningKey::from_bytes(&Sha256::digest(number.to_be_bytes()).into()).verifying_key();
        let spki = BASE64.encode(&[&SPKI_HEAD[..], key.as_bytes()].concat());
        writeln!(out, "{spki},SN-{number:07},urn:dev:mac:{}", eui64(oui, number / count))?;
    }
    out.flush()
}

/// The OUIs of a list of IEEE's, in the order in which they stand: lines such as `002272     (base 16)\t\tAcme`. A few
/// stand there twice, once for each of their former owners; taken twice, they would give two devices one address.
fn assigned(list: &str, organisation: &str) -> Vec<[u8; 3]> {
    let mut seen = HashSet::new();
    let oui = |line: &str| {
        let (digits, name) = line.split_once("(base 16)")?;
        let number = u32::from_str_radix(digits.trim(), 16).ok()?;
        let [_, a, b, c] = number.to_be_bytes();
        name.trim().starts_with(organisation).then_some([a, b, c])
    };
    list.lines().filter_map(oui).filter(|oui| seen.insert(*oui)).collect()
}

/// A MAC address of 48 bits as the EUI-64 that names of RFC 9039 are made of: FFFE between OUI and number.
fn eui64([a, b, c]: [u8; 3], number: u64) -> String {
    let [.., d, e, f] = number.to_be_bytes();
    data_encoding::HEXLOWER.encode(&[a, b, c, 0xff, 0xfe, d, e, f])
}
