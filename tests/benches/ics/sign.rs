//! Signatures per second: keys in files compared with keys of the same kinds in a PKCS#11 token (SoftHSM, configured by
//! tests/bench).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ics_core::openpgp::certificate::Purpose;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_node::keys::token::{PinSource, TokenUri, Tokens};
use ics_node::keys::{Algorithm, KeyName, KeyStore, KeyVersion, Passphrase, TokenCertificate};

use crate::report::{Report, median};
use crate::{Error, Options, Outcome};

const AT: Timestamp = Timestamp::from_seconds(1_795_162_200);
/// How long each key signs in a round; the keys in files and in the token take turns.
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 5;
const PIN: &str = "4711-pin";
/// The paths of the module in Debian, whose directory has two names.
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

pub(crate) fn run(report: &mut Report, _: &Options) -> Outcome {
    let directory = tempfile::tempdir()?;
    let tokens = soft_token(directory.path())?;
    let token = TokenUri { token: Some("bench".to_owned()), ..TokenUri::default() };
    let store = KeyStore::new(directory.path());
    let passphrase = Passphrase::generate()?;
    for (label, algorithm) in
        [("ed25519", Algorithm::Ed25519), ("p256", Algorithm::P256), ("rsa3072", Algorithm::Rsa3072)]
    {
        let name = |place: &str| format!("{place}-{label}").parse::<KeyName>();
        let in_file = store.make(&name("file")?, "file", (algorithm, KeyVersion::V4), &passphrase, AT)?;
        let made = tokens.make(&token, label, algorithm)?;
        let certificate = TokenCertificate::New { user_id: "token", version: KeyVersion::V4 };
        let in_token = store.adopt(&name("token")?, (&tokens, &made), certificate, AT)?;
        let (in_file, in_token) = (in_file.unlock(&passphrase)?, in_token.open(&tokens)?);
        let signers = [in_file.signer(Purpose::Sign, AT)?, in_token.signer(Purpose::Sign, AT)?];
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (rates, signer) in rates.iter_mut().zip(signers) {
                rates.push(rate(signer)?);
            }
        }
        let [file, token] = rates.map(median);
        report.figure(&format!("{algorithm}, key in a file"), &format!("{file:.0} /s"));
        report.figure(
            &format!("{algorithm}, key in SoftHSM"),
            &format!("{token:.0} /s, {:.2} of the file's", token / file),
        );
    }
    Ok(())
}

/// A separate token, in the directory that the configuration of SoftHSM names.
fn soft_token(directory: &Path) -> Result<Tokens, Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let words = ["--init-token", "--free", "--label", "bench", "--so-pin", "so-pin-1", "--pin", PIN];
    let made = Command::new("softhsm2-util").args(words).output().map_err(|e| format!("softhsm2-util: {e}"))?;
    if !made.status.success() {
        return Err(format!("softhsm2-util: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let pin = directory.join("pin");
    std::fs::write(&pin, PIN)?;
    std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600))?;
    let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or("softhsm2 is not installed")?;
    Ok(Tokens { module: Some(module), pins: PinSource::new(Some(pin)) })
}

fn rate(signer: &dyn Signer) -> Result<f64, Error> {
    let mut digest = vec![0; signer.public_key().algorithm().preferred_hash().digest_bytes()];
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        digest.iter_mut().zip(count.to_be_bytes()).for_each(|(to, from)| *to = from);
        std::hint::black_box(signer.sign(&digest)?);
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
