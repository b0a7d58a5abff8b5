//! Keys that go from here to gpg, and from gpg to here.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::between::{answers_submissions, stands_in};
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

fn gnupg_home(stage: &Stage) -> PathBuf {
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

const WHO: &str = "Factory <factory@acme.example>";

/// A running node, and a GnuPG with a signing key.
struct Factory {
    stage: Stage,
    home: PathBuf,
    /// The file with the passphrase of gpg's key.
    old: String,
}

impl Factory {
    fn with_a_key_that_lasts(lasts: &str) -> Self {
        let stage = Stage::started();
        // Shorter than the minimum for new keys here.
        let (home, old) = (gnupg_home(&stage), stage.write("old-passphrase", "old\n"));
        let factory = Self { stage, home, old };
        factory.gpg(&["--quick-gen-key", WHO, "ed25519", "sign", lasts]);
        factory
    }

    fn gpg(&self, words: &[&str]) {
        gpg(&self.home, &[&["--passphrase-file", self.old.as_str()][..], words].concat());
    }

    /// Runs gpg with this input to its questions.
    fn asked(&self, words: &[&str], typed: &str) {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", &self.home).args(["--no-tty", "--yes", "--pinentry-mode", "loopback"]);
        gpg.args(["--command-fd", "0", "--passphrase-file", &self.old]).args(words);
        let mut asking = gpg.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gpg is there");
        asking.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("typed");
        let output = asking.wait_with_output().expect("run");
        assert!(output.status.success(), "gpg {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn export(&self, file: &str, what: &str) -> String {
        let file = self.stage.path(file).to_str().expect("UTF-8").to_owned();
        self.gpg(&["--armor", "--output", &file, what, WHO]);
        file
    }

    /// Imports the key and signs for the domain with it; returns the result of the import.
    fn import_and_publish(&self, file: &str) -> Value {
        let imported = self.stage.ok(&["key", "import", "factory", file, "--old-passphrase-file", &self.old]);
        self.stage.ok(&["domain", "update", "--add-signer", "manufacturer=factory"]);
        self.stage.ok(&["domain", "submit"]);
        self.stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--signer", "factory"]);
        imported
    }
}

#[test]
fn a_key_of_gpg_signs_statements() {
    let factory = Factory::with_a_key_that_lasts("never");
    let (stage, file) = (&factory.stage, factory.export("factory.asc", "--export-secret-keys"));
    let refused = stage.run(&["key", "import", "factory", &file]);
    assert_eq!(refused.code, 5, "it is encrypted: {refused:?}");
    assert_eq!(factory.import_and_publish(&file)["user_ids"][0], WHO);
    stage.ok(&["publish", "--group", "Lot", "--select", "lot=1", "--signer", "factory"]);
    assert_eq!(stage.record("serial:SN-1")["vouched"][0]["name"], WHO);
}

#[test]
fn a_key_that_gpg_has_extended_signs_on() {
    let factory = Factory::with_a_key_that_lasts("1y");
    let stage = &factory.stage;
    let imported = factory.import_and_publish(&factory.export("factory.asc", "--export-secret-keys"));
    let fingerprint = imported["fingerprint"].as_str().expect("a fingerprint");

    // gpg replaces the former self-signature.
    factory.gpg(&["--quick-set-expire", fingerprint, "2y"]);
    let file = factory.export("extended.asc", "--export");
    let elsewhere = stage.run(&["key", "import", "factory-2", &file]);
    assert!(elsewhere.code == 5 && elsewhere.failure().0.contains("as `factory`"), "{elsewhere:?}");
    assert_eq!(stage.ok(&["key", "import", "factory", &file])["certificate"], "extended");
    assert_eq!(stage.ok(&["key", "import", "factory", &file])["certificate"], "unchanged");
    stage.ok(&["publish", "--spki", &spki(2), "--serial", "SN-2", "--signer", fingerprint]);
    factory.gpg(&["--quick-set-expire", fingerprint, "3y"]);
    let file = factory.export("again.asc", "--export");
    stage.ok(&["import", &file]);
    assert_eq!(stage.record("serial:SN-2")["vouched"][0]["name"], WHO);
}

/// gpg supports designated revokers, and treats a key as revoked when they say so. Here that ends nothing, so it must
/// be refused, or whoever sends it would believe that it does.
#[test]
fn what_a_designated_revoker_of_gpg_says_is_refused() {
    let factory = Factory::with_a_key_that_lasts("never");
    let stage = &factory.stage;
    let imported = factory.import_and_publish(&factory.export("factory.asc", "--export-secret-keys"));
    let fingerprint = imported["fingerprint"].as_str().expect("a fingerprint");
    factory.gpg(&["--quick-gen-key", "Revoker <revoker@acme.example>", "ed25519", "sign", "never"]);
    factory.asked(&["--edit-key", fingerprint], "addrevoker\nrevoker@acme.example\ny\nsave\n");
    stage.ok(&["import", &factory.export("named.asc", "--export")]);

    let revocation = stage.path("designated.asc").to_str().expect("UTF-8").to_owned();
    factory.asked(&["--output", &revocation, "--desig-revoke", fingerprint], "y\n0\n\ny\n");
    factory.gpg(&["--import", &revocation]);
    std::fs::write(factory.home.join("dirmngr.conf"), "no-use-tor\n").expect("written");
    let server = stage.url().replacen("http", "hkp", 1);
    let sent = Command::new("gpg")
        .env("GNUPGHOME", &factory.home)
        .args(["--batch", "--keyserver", &server, "--send-keys", fingerprint])
        .output()
        .expect("gpg is there");
    assert!(!sent.status.success(), "{sent:?}");
    let refused = stage.run(&["import", &factory.export("revoked.asc", "--export")]);
    assert!(refused.code == 1 && refused.stdout.contains("designated revokers"), "{refused:?}");
    stage.ok(&["publish", "--spki", &spki(2), "--serial", "SN-2", "--signer", "factory"]);
}

/// What a revoked key has signed still counts: whoever imports the revocation is told what ends it.
#[test]
fn importing_the_revocation_of_a_signer_says_what_is_left_to_do() {
    let factory = Factory::with_a_key_that_lasts("never");
    let stage = &factory.stage;
    let imported = factory.import_and_publish(&factory.export("factory.asc", "--export-secret-keys"));
    let fingerprint = imported["fingerprint"].as_str().expect("a fingerprint");
    let show = ["domain", "show"];
    assert_eq!(stage.ok(&show).get("ended_signers"), None);

    let revocation = stage.path("revocation.asc").to_str().expect("UTF-8").to_owned();
    // Reason 1 in gpg's list: the key is no longer safe.
    factory.asked(&["--output", &revocation, "--gen-revoke", fingerprint], "y\n1\n\ny\n");
    factory.gpg(&["--import", &revocation]);
    let told = stage.for_people("home", &["import", &factory.export("revoked.asc", "--export")]);
    let way = format!("`ics domain update --compromised {fingerprint}@INDEX`");
    assert!(told.code == 0 && told.stderr.contains(&way), "{told:?}");
    assert_eq!(stage.ok(&show)["ended_signers"][fingerprint], "revoked");
    for words in [&show[..], &["domain", "show", "--node", stage.url()]] {
        let shown = stage.words_alone("home", words);
        assert!(shown.contains(&format!("! {fingerprint}: the key is revoked")), "{shown}");
    }
    assert_eq!(stage.record("serial:SN-1")["vouched"].as_array().map(Vec::len), Some(1), "it counts until then");
}

#[test]
fn what_of_a_keyring_can_sign_nothing_is_told() {
    let stage = Stage::started();
    let home = gnupg_home(&stage);
    let make = |words: &[&str]| gpg(&home, &[&["--passphrase", ""][..], words].concat());
    make(&["--quick-gen-key", "Good", "ed25519", "sign", "never"]);
    make(&["--quick-gen-key", "Weak", "rsa1024", "sign", "never"]);
    make(&["--faked-system-time", "20200101T000000", "--quick-gen-key", "Old", "ed25519", "sign", "1y"]);
    let export = |name: &str, whom: &[&str]| {
        let file = stage.path(name).to_str().expect("UTF-8").to_owned();
        gpg(&home, &[&["--output", &file, "--export"][..], whom].concat());
        format!("manufacturer={file}")
    };

    let unusable = stage.run(&["domain", "update", "--add-signer", &export("unusable.gpg", &["Weak", "Old"])]);
    assert_eq!(unusable.code, 5, "{unusable:?}");
    let (why, hint) = unusable.failure();
    assert!(why.contains("2 of 2 certificates can sign nothing here") && hint.contains("a fingerprint"), "{why}");

    let all = export("all.gpg", &["Good", "Weak", "Old"]);
    let told = stage.for_people("home", &["domain", "update", "--add-signer", &all]);
    assert_eq!(told.code, 0, "{told:?}");
    for text in ["2 of 3 certificates can sign nothing here", "has 1024", "` has expired at that time"] {
        assert!(told.stderr.contains(text), "{text}: {}", told.stderr);
    }
    let signers = |shown: Value| shown["roles"]["manufacturer"]["signers"].as_array().expect("signers").len();
    assert_eq!(signers(stage.ok(&["domain", "show"])), 4, "one was there, and what was signed before may count");

    // Removing signers by a file includes those who cannot sign.
    stage.ok(&["domain", "submit"]);
    stage.ok(&["domain", "update", "--remove-signer", &all]);
    assert_eq!(signers(stage.ok(&["domain", "show"])), 1);
}

#[test]
fn what_a_node_says_nothing_of_is_not_taken_for_done() {
    let stage = Stage::new();
    let keyring = stage.write("keyring.asc", stage.run(&["key", "show", "signer", "--armor"]).stdout);
    // A node that accepts the submission but returns no results.
    let silent = stands_in(|_| "{\"results\":[]}".to_owned());
    let failed = stage.run(&["--node", &silent, "import", &keyring]);
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.failure().0.contains("0 results to 1 statements"), "{failed:?}");
}

/// A keyring must not be half imported for that.
#[test]
fn a_keyring_is_imported_although_the_node_is_busy_for_a_moment() {
    let stage = Stage::started();
    let keyring = stage.write("keyring.asc", stage.run(&["key", "show", "signer", "--armor"]).stdout);
    let url = answers_submissions(stage.url(), &[503]);
    assert_eq!(stage.ok(&["--node", &url, "import", &keyring])["certificates"], 1);
}
