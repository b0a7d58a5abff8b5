//! Signatures a second, by keys in files and by the same kinds of keys in a PKCS#11 token, side by side.
//!
//! ```text
//! SOFTHSM2_CONF=… ICS_PIN=… cargo run --release --example sign_rate -- MODULE TOKEN
//! ```
//!
//! Makes a key of each kind in the token, which stay there.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::error::Error;
use std::time::{Duration, Instant};

use ics_core::openpgp::certificate::Purpose;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_node::keys::token::{PinSource, TokenUri, Tokens};
use ics_node::keys::{Algorithm, KeyName, KeyStore, KeyVersion, Passphrase, TokenCertificate};

const AT: Timestamp = Timestamp::from_seconds(1_795_162_200);
/// How long each key signs in one round.
const ROUND: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(module), Some(token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sign_rate MODULE TOKEN".into());
    };
    let tokens = Tokens { module: Some(module.into()), pins: PinSource::new(None) };
    let uri = TokenUri { token: Some(token), ..TokenUri::default() };
    let home = tempfile::tempdir()?;
    let store = KeyStore::new(home.path());
    println!("{:<10} {:>12} {:>12} {:>8}", "algorithm", "file /s", "token /s", "ratio");
    for algorithm in [Algorithm::Ed25519, Algorithm::P256, Algorithm::Rsa3072] {
        let label = algorithm.to_string().to_lowercase().replace(' ', "-").replace('-', "");
        let passphrase = Passphrase::generate()?;
        let name = |place: &str| format!("{place}-{label}").parse::<KeyName>();
        let in_file = store.make(&name("file")?, "file", (algorithm, KeyVersion::V4), &passphrase, AT)?;
        let made = tokens.make(&uri, &label, algorithm)?;
        let certificate = TokenCertificate::New { user_id: "token", version: KeyVersion::V4 };
        let in_token = store.adopt(&name("token")?, (&tokens, &made), certificate, AT)?;
        let (in_file, in_token) = (in_file.unlock(&passphrase)?, in_token.open(&tokens)?);
        let (file, token) = (in_file.signer(Purpose::Sign, AT)?, in_token.signer(Purpose::Sign, AT)?);
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (rates, signer) in rates.iter_mut().zip([file, token]) {
                rates.push(rate(signer)?);
            }
        }
        let [file, token] = rates.map(median);
        println!("{:<10} {file:>12.0} {token:>12.0} {:>8.3}", algorithm.to_string(), token / file);
    }
    Ok(())
}

fn rate(signer: &dyn Signer) -> Result<f64, Box<dyn Error>> {
    let digest_bytes = signer.public_key().algorithm().preferred_hash().digest_bytes();
    let mut digest = vec![0; digest_bytes];
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        digest.iter_mut().zip(count.to_be_bytes()).for_each(|(to, from)| *to = from);
        std::hint::black_box(signer.sign(&digest)?);
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
