//! Signers whose tokens fail. SoftHSM reads its configuration from the environment, so each test runs itself again in a
//! process that has one.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::error::{Error, RvError};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use ics_core::log::note::NoteKey;
use ics_core::openpgp::signer::Signer as _;
use zeroize::Zeroizing;

use super::*;

const PIN: &str = "4711-pin";
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

/// Whether the test has a token; if not, it is run in a process that has one.
fn has_token(test: &str) -> bool {
    if std::env::var_os("SOFTHSM2_CONF").is_some() {
        return true;
    }
    let directory = tempfile::tempdir().expect("directory");
    let configuration = directory.path().join("softhsm2.conf");
    let tokens = directory.path().join("tokens");
    std::fs::create_dir(&tokens).expect("made");
    std::fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display())).expect("written");
    let run = |command: &mut Command| {
        let output = command.env("SOFTHSM2_CONF", &configuration).output().expect("run");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let init = ["--init-token", "--free", "--label", "acme", "--so-pin", "so-pin-1", "--pin", PIN];
    run(Command::new("softhsm2-util").args(init));
    let own = std::env::current_exe().expect("its own file");
    let ran = run(Command::new(own).args(["--exact", &format!("keys::token::tests::{test}")]));
    assert!(ran.contains("1 passed"), "{ran}");
    false
}

fn tokens(directory: &Path) -> Tokens {
    let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists()).expect("softhsm2 is installed");
    let pin = directory.join("pin");
    Pin::new(Zeroizing::new(PIN.to_owned())).write_to(&pin);
    Tokens { module: Some(module), pins: PinSource::new(Some(pin)) }
}

impl Pin {
    fn write_to(&self, path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(path, self.expose()).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    }
}

fn signer(directory: &Path, label: &str) -> TokenSigner {
    let tokens = tokens(directory);
    let acme = TokenUri::read("pkcs11:token=acme").expect("a URI");
    let made = tokens.make(&acme, label, Algorithm::Ed25519).expect("made");
    tokens.open_bare(&made, KeyVersion::V4).expect("opened")
}

#[test]
fn a_session_that_broke_is_opened_again() {
    if !has_token("a_session_that_broke_is_opened_again") {
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let signer = signer(directory.path(), "node");
    let first = NoteKey::sign(&signer, b"a head").expect("signed");
    for _ in 0..3 {
        signer.meddle(|session| session.logout().expect("logged out"));
        assert_eq!(NoteKey::sign(&signer, b"a head").expect("signed again"), first, "Ed25519 signs the same way");
    }
    assert_eq!(signer.public_key().created(), BARE_KEY_CREATED);
}

/// SoftHSM only sees a token that came back after a restart of the module, as modules of many boxes do. One key's new
/// session then has the number of the other key's old session, which does not know yet that it is gone.
#[test]
fn a_token_that_came_back_signs_without_a_restart_with_all_of_its_keys() {
    if !has_token("a_token_that_came_back_signs_without_a_restart_with_all_of_its_keys") {
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let keys = ["node", "issuer"].map(|label| signer(directory.path(), label));
    let first = keys.each_ref().map(|key| NoteKey::sign(key, b"a head").expect("signed"));
    let configuration = std::env::var_os("SOFTHSM2_CONF").map(PathBuf::from).expect("is set");
    let (there, away) = (configuration.with_file_name("tokens"), configuration.with_file_name("away"));
    std::fs::rename(&there, &away).expect("is pulled out");
    NoteKey::sign(&keys[1], b"a head").expect_err("it is away");
    std::fs::rename(&away, &there).expect("is back");
    let began = std::time::Instant::now();
    for (key, first) in keys.iter().zip(first).rev() {
        let again = loop {
            match NoteKey::sign(key, b"a head") {
                Ok(again) => break again,
                Err(error) => assert!(began.elapsed().as_secs() < 30, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        assert_eq!(again, first, "Ed25519 signs the same way");
    }
    for key in keys {
        NoteKey::sign(&key, b"a head").expect("signs");
    }
}

/// Not even by another key of the token: each would use up one of the few attempts.
#[test]
fn a_pin_that_is_refused_is_not_tried_again() {
    if !has_token("a_pin_that_is_refused_is_not_tried_again") {
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let [node, issuer] = ["node", "issuer"].map(|label| signer(directory.path(), label));
    // As with the vendor's tool: this process tries no PIN after one was refused.
    let change = |from: &str, to: &str| {
        let session = signer_token(directory.path()).look(true).expect("a session");
        match session.login(UserType::User, Some(&AuthPin::from(from.to_owned()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => (),
            Err(error) => panic!("{error}"),
        }
        session.set_pin(&AuthPin::from(from.to_owned()), &AuthPin::from(to.to_owned())).expect("changed");
        session.logout().expect("logged out");
    };
    change(PIN, "another pin");
    let refused = |signer: &TokenSigner| NoteKey::sign(signer, b"a head").expect_err("the PIN was changed");
    assert!(refused(&node).contains("refuses the PIN"), "{}", refused(&node));
    // Not even the right PIN is tried, by either key: a person must look first.
    change("another pin", PIN);
    for signer in [&node, &issuer] {
        assert!(refused(signer).contains("refuses the PIN"), "{}", refused(signer));
    }
}

fn signer_token(directory: &Path) -> Token {
    let uri = TokenUri::read("pkcs11:token=acme").expect("a URI");
    tokens(directory).module(&uri).expect("loaded").token(&uri).expect("there")
}
