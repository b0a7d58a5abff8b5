//! Keys that go from here to gpg, and from gpg to here.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::between::stands_in;
use crate::stage::{Stage, spki};

fn gpg(home: &Path, words: &[&str]) -> Output {
    let output = Command::new("gpg")
        .env("GNUPGHOME", home)
        .args(["--batch", "--pinentry-mode", "loopback"])
        .args(words)
        .output()
        .expect("gpg is there");
    assert!(output.status.success(), "gpg {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn gnupg_home(stage: &Stage) -> std::path::PathBuf {
    let home = stage.path("gnupg");
    std::fs::DirBuilder::new().mode(0o700).create(&home).expect("made");
    home
}

#[test]
fn gpg_reads_our_secret_keys_and_signs_with_them() {
    let stage = Stage::new();
    let home = gnupg_home(&stage);
    let passphrase = stage.path("home/passphrase");
    let passphrase = passphrase.to_str().expect("UTF-8");
    for (name, algorithm) in [("e", "ed25519"), ("p", "p256"), ("r", "rsa3072")] {
        stage.ok(&["key", "make", name, "--algorithm", algorithm, "--user-id", name]);
        let file = stage.path(&format!("home/keys/{name}.asc"));
        gpg(&home, &["--passphrase-file", passphrase, "--import", file.to_str().expect("UTF-8")]);
        let text = stage.write("text", "signed by gpg");
        gpg(&home, &["--passphrase-file", passphrase, "--yes", "--local-user", &format!("={name}"), "--sign", &text]);
        gpg(&home, &["--verify", &format!("{text}.gpg")]);
    }
}

#[test]
fn a_key_of_gpg_signs_statements() {
    let stage = Stage::started();
    let home = gnupg_home(&stage);
    let old = stage.write("old-passphrase", "old passphrase\n");
    let who = "Factory <factory@acme.example>";
    gpg(&home, &["--passphrase-file", &old, "--quick-gen-key", who, "ed25519", "sign", "never"]);
    let file = stage.path("factory.asc");
    let file = file.to_str().expect("UTF-8");
    gpg(&home, &["--passphrase-file", &old, "--armor", "--output", file, "--export-secret-keys", who]);

    let refused = stage.run(&["key", "import", "factory", file]);
    assert_eq!(refused.code, 5, "it is encrypted: {refused:?}");
    let imported = stage.ok(&["key", "import", "factory", file, "--old-passphrase-file", &old]);
    assert_eq!(imported["user_ids"][0], who);
    stage.ok(&["domain", "update", "--add-signer", "manufacturer=factory"]);
    stage.ok(&["domain", "submit"]);
    stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--signer", "factory"]);
    stage.ok(&["publish", "--group", "Lot", "--select", "lot=1", "--signer", "factory"]);
    assert_eq!(stage.record("serial:SN-1")["vouched"][0]["name"], who);
}

#[test]
fn a_key_that_gpg_has_extended_signs_on() {
    let stage = Stage::started();
    let home = gnupg_home(&stage);
    let old = stage.write("old-passphrase", "old passphrase\n");
    let who = "Factory <factory@acme.example>";
    gpg(&home, &["--passphrase-file", &old, "--quick-gen-key", who, "ed25519", "sign", "1y"]);
    let export = |file: &str, what: &str| {
        let file = stage.path(file).to_str().expect("UTF-8").to_owned();
        gpg(&home, &["--passphrase-file", &old, "--armor", "--output", &file, what, who]);
        file
    };
    let file = export("factory.asc", "--export-secret-keys");
    let imported = stage.ok(&["key", "import", "factory", &file, "--old-passphrase-file", &old]);
    let fingerprint = imported["fingerprint"].as_str().expect("a fingerprint");
    stage.ok(&["domain", "update", "--add-signer", "manufacturer=factory"]);
    stage.ok(&["domain", "submit"]);
    stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--signer", "factory"]);

    // gpg replaces the self-signature that there was.
    gpg(&home, &["--passphrase-file", &old, "--quick-set-expire", fingerprint, "2y"]);
    let file = export("extended.asc", "--export");
    let elsewhere = stage.run(&["key", "import", "factory-2", &file]);
    assert!(elsewhere.code == 5 && elsewhere.failure().0.contains("as `factory`"), "{elsewhere:?}");
    assert_eq!(stage.ok(&["key", "import", "factory", &file])["certificate"], "extended");
    assert_eq!(stage.ok(&["key", "import", "factory", &file])["certificate"], "unchanged");
    stage.ok(&["publish", "--spki", &spki(2), "--serial", "SN-2", "--signer", fingerprint]);
    gpg(&home, &["--passphrase-file", &old, "--quick-set-expire", fingerprint, "3y"]);
    let file = export("again.asc", "--export");
    stage.ok(&["import", &file]);
    assert_eq!(stage.record("serial:SN-2")["vouched"][0]["name"], who);
}

#[test]
fn what_a_node_says_nothing_of_is_not_taken_for_done() {
    let stage = Stage::new();
    let keyring = stage.write("keyring.asc", stage.run(&["key", "show", "signer", "--armor"]).stdout);
    // It takes what it is sent, and says of nothing what became of it.
    let silent = stands_in(|_| "{\"results\":[]}".to_owned());
    let failed = stage.run(&["--node", &silent, "import", &keyring]);
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.failure().0.contains("0 results to 1 statements"), "{failed:?}");
}
