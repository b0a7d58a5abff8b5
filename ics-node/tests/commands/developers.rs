//! Developers' own signatures, made by the programs that developers use.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::stage::Stage;

/// A developer's node, with a piece of software.
struct Bench {
    stage: Stage,
    firmware: String,
}

impl Bench {
    fn new() -> Self {
        let mut stage = Stage::of("developer", "code.soft.example");
        stage.start();
        let firmware = stage.write("firmware.bin", "the firmware of the pump");
        Self { stage, firmware }
    }

    /// Runs a program in the directory of the stage.
    fn run(&self, program: &str, words: &[&str]) -> Vec<u8> {
        let directory = self.stage.path("");
        let mut command = Command::new(program);
        let output = command.args(words).current_dir(&directory).env("GNUPGHOME", directory.join("gnupg")).output();
        let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
        assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn gnupg(&self) {
        std::fs::create_dir(self.stage.path("gnupg")).expect("a directory");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(self.stage.path("gnupg"), permissions).expect("permissions");
        let make = ["--batch", "--passphrase", "", "--quick-gen-key", "Soft <code@soft.example>", "ed25519", "sign"];
        self.run("gpg", &make);
        self.run("gpg", &["--batch", "--detach-sign", "--armor", "--output", "firmware.asc", "firmware.bin"]);
        self.run("gpg", &["--batch", "--export", "--output", "soft.pgp"]);
    }

    fn minisign(&self) {
        self.run("minisign", &["-G", "-W", "-p", "soft.pub", "-s", "soft.key"]);
        self.run("minisign", &["-S", "-s", "soft.key", "-m", "firmware.bin", "-x", "firmware.minisig"]);
    }

    fn signify(&self) {
        self.run("signify-openbsd", &["-G", "-n", "-p", "signify.pub", "-s", "signify.sec"]);
        self.run("signify-openbsd", &["-S", "-s", "signify.sec", "-m", "firmware.bin", "-x", "firmware.sig"]);
    }

    /// Makes a certificate issued by a private authority, and a signature with it.
    fn cms(&self) {
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=Soft authority", "-keyout", "ca.key", "-out", "ca.crt"];
        self.run("openssl", &[&authority[..], &new_key].concat());
        let request = ["req", "-subj", "/CN=Soft release", "-keyout", "cms.key", "-out", "cms.csr"];
        self.run("openssl", &[&request[..], &new_key].concat());
        let extensions = self.stage.write("extensions", "extendedKeyUsage=codeSigning\nkeyUsage=digitalSignature\n");
        let issue =
            ["x509", "-req", "-in", "cms.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        self.run("openssl", &[&issue[..], &["-extfile", &extensions, "-out", "cms.crt"]].concat());
        let sign = ["cms", "-sign", "-binary", "-in", "firmware.bin", "-signer", "cms.crt", "-inkey", "cms.key"];
        self.run("openssl", &[&sign[..], &["-outform", "PEM", "-md", "sha256", "-out", "firmware.cms"]].concat());
    }

    /// Makes a self-signed certificate, and a signature with it.
    fn self_signed(&self, name: &str, days: &str, usage: &str) -> [String; 2] {
        let file = |ending: &str| format!("{name}.{ending}");
        let (key, request, certificate, signature) = (file("key"), file("csr"), file("crt"), file("cms"));
        let ask =
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Soft release"];
        self.run("openssl", &[&ask[..], &["-keyout", &key, "-out", &request]].concat());
        let extensions = self.stage.write(&file("extensions"), format!("keyUsage={usage}\n"));
        let issue = ["x509", "-req", "-in", &request, "-signkey", &key, "-days", days, "-extfile", &extensions];
        self.run("openssl", &[&issue[..], &["-out", &certificate]].concat());
        let sign = ["cms", "-sign", "-binary", "-in", "firmware.bin", "-signer", &certificate, "-inkey", &key];
        self.run("openssl", &[&sign[..], &["-outform", "PEM", "-md", "sha256", "-out", &signature]].concat());
        [signature, certificate]
    }

    fn publish<'a>(&'a self, version: &'a str, pairs: &[(&'a str, &'a str)]) -> Vec<&'a str> {
        let mut words = vec!["publish", "--file", &self.firmware, "--name", "p7-firmware", "--version", version];
        for (signature, key) in pairs {
            words.extend(["--signature", *signature, "--signed-by", *key]);
        }
        words
    }
}

#[test]
fn signatures_of_every_form_are_checked_and_kept() {
    let bench = Bench::new();
    bench.gnupg();
    bench.minisign();
    bench.signify();
    bench.cms();
    let pairs = [
        ("firmware.asc", "soft.pgp"),
        ("firmware.minisig", "soft.pub"),
        ("firmware.sig", "signify.pub"),
        ("firmware.cms", "ca.crt"),
    ];
    let published = bench.stage.ok(&bench.publish("2.4.1", &pairs));
    let id = published["id"].as_str().expect("an id");
    let record = bench.stage.record(id);
    let signatures = record["signatures"].as_array().expect("signatures");
    let forms: Vec<&Value> = signatures.iter().map(|it| &it["value"]["form"]).collect();
    assert_eq!(forms, [&json!("openpgp"), &json!("minisign"), &json!("signify"), &json!("cms")]);
    let listed = String::from_utf8(bench.run("gpg", &["--batch", "--with-colons", "--list-keys"])).expect("text");
    let fingerprint =
        listed.lines().find_map(|line| line.strip_prefix("fpr:")).expect("a fingerprint").trim_matches(':');
    assert_eq!(signatures[0]["value"]["key"], fingerprint.to_lowercase());
    let der = bench.run("openssl", &["x509", "-in", "cms.crt", "-outform", "DER"]);
    assert_eq!(signatures[3]["value"]["key"], data_encoding::HEXLOWER.encode(&Sha256::digest(der)));
    let card = bench.stage.words_alone("home", &["lookup", id]);
    assert!(card.contains("the developer: minisign key "), "{card}");
}

#[test]
fn what_is_no_evidence_is_not_published() {
    let bench = Bench::new();
    bench.minisign();
    bench.signify();
    bench.cms();
    let other = bench.stage.write("other.minisig", "untrusted comment: x\nnot base64\ntrusted comment: y\nnor this\n");
    let self_made =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Other", "-keyout", "o.key", "-out", "o.crt"];
    bench.run("openssl", &self_made);
    let text = bench.stage.write("text", "a signature");
    for (signature, key, expected) in [
        ("firmware.minisig", "signify.pub", "none of the keys that were given has made it"),
        ("firmware.sig", "soft.pub", "none of the keys that were given has made it"),
        ("firmware.cms", "o.crt", "none of the keys that were given has made it"),
        (other.as_str(), "soft.pub", "none of the keys that were given has made it"),
        (text.as_str(), "soft.pub", "it is not a detached signature"),
    ] {
        let ended = bench.stage.run(&bench.publish("1", &[(signature, key)]));
        assert_eq!(ended.code, 1, "{signature} by {key}: {ended:?}");
        let (message, _) = ended.failure();
        assert!(message.contains(expected), "{signature} by {key}: {message}");
    }
    // The same signatures over other contents.
    std::fs::write(&bench.firmware, "the firmware of the pump, changed").expect("written");
    for (signature, key) in
        [("firmware.minisig", "soft.pub"), ("firmware.sig", "signify.pub"), ("firmware.cms", "cms.crt")]
    {
        let ended = bench.stage.run(&bench.publish("1", &[(signature, key)]));
        assert_eq!(ended.code, 1, "{signature}: {ended:?}");
    }
}

/// Just as below an authority: devices would refuse the update.
#[test]
fn a_certificate_that_was_given_itself_must_be_in_force_and_for_signing() {
    let bench = Bench::new();
    for (name, days, usage, refused) in [
        ("ended", "-1", "digitalSignature", Some("its certificate held until ")),
        ("other", "2", "keyEncipherment", Some("its certificate is not for signing")),
        ("good", "2", "digitalSignature", None),
    ] {
        let [signature, certificate] = bench.self_signed(name, days, usage);
        let ended = bench.stage.run(&bench.publish("1", &[(signature.as_str(), certificate.as_str())]));
        assert_eq!(ended.code, i32::from(refused.is_some()), "{name}: {ended:?}");
        assert!(refused.is_none_or(|expected| ended.failure().0.contains(expected)), "{name}: {ended:?}");
    }
}
