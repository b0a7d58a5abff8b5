//! Keys that go from here to gpg, and from gpg to here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Output};

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

/// A node that takes what it is sent, and says of nothing what became of it.
fn node_without_results() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer_nothing));
    url
}

fn answer_nothing(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a length");
        }
        line.clear();
    }
    stream.read_exact(&mut vec![0; length]).expect("a body");
    let body = "{\"results\":[]}";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let _ = stream.get_mut().write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes());
}

#[test]
fn what_a_node_says_nothing_of_is_not_taken_for_done() {
    let stage = Stage::new();
    let keyring = stage.write("keyring.asc", stage.run(&["key", "show", "signer", "--armor"]).stdout);
    let failed = stage.run(&["--node", &node_without_results(), "import", &keyring]);
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.failure().0.contains("0 results to 1 statements"), "{failed:?}");
}
