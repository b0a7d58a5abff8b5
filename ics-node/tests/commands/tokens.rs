//! Keys in PKCS#11 tokens (SoftHSM), with gpg on the other side.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::enrolling::request;
use crate::stage::{DOMAIN, Ended, Stage, spki};

const PIN: &str = "4711-pin";
/// The paths of the module in Debian, whose directory has two names.
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

pub(crate) fn module() -> &'static str {
    MODULES.iter().copied().find(|path| Path::new(path).exists()).expect("softhsm2 is installed")
}

/// A home directory, and tokens of its own.
struct Bench {
    stage: Stage,
    pin_file: String,
}

impl Bench {
    fn new(mut stage: Stage) -> Self {
        let configuration = soft_tokens(&stage.path("."));
        stage.set("SOFTHSM2_CONF", configuration.to_str().expect("UTF-8"));
        stage.set("ICS_PKCS11_MODULE", module());
        init_token(&configuration, "acme");
        let pin_file = private(&stage, "pin", PIN);
        Self { stage, pin_file }
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.stage.run(&[&["--pin-file", &self.pin_file], words].concat())
    }

    fn ok(&self, words: &[&str]) -> Value {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.json()
    }

    fn refused(&self, words: &[&str]) -> (i32, String, String) {
        let ended = self.run(words);
        let (message, hint) = ended.failure();
        (ended.code, message, hint)
    }
}

fn private(stage: &Stage, name: &str, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = stage.write(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    path
}

/// A SoftHSM configuration whose tokens only exist during the test.
fn soft_tokens(directory: &Path) -> PathBuf {
    let tokens = directory.join("tokens");
    std::fs::create_dir(&tokens).expect("made");
    let configuration = directory.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    std::fs::write(&configuration, text).expect("written");
    configuration
}

fn init_token(configuration: &Path, label: &str) {
    let words = ["--init-token", "--free", "--label", label, "--so-pin", "so-pin-1", "--pin", PIN];
    let output = Command::new("softhsm2-util").env("SOFTHSM2_CONF", configuration).args(words).output();
    let output = output.expect("softhsm2-util is there");
    assert!(output.status.success(), "{output:?}");
}

/// Makes a key with a third-party tool.
fn pkcs11_tool(bench: &Bench, words: &[&str]) {
    let output = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", bench.stage.path("softhsm2.conf"))
        .args(["--module", module(), "--login", "--pin", PIN, "--token-label", "acme"])
        .args(words)
        .output()
        .expect("pkcs11-tool is there");
    assert!(output.status.success(), "{output:?}");
}

fn gpg(home: &Path, words: &[&str]) -> String {
    let output = Command::new("gpg").env("GNUPGHOME", home).arg("--batch").args(words).output().expect("gpg is there");
    assert!(output.status.success(), "gpg {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn keys_of_every_algorithm_sign_in_the_token_and_gpg_verifies() {
    let bench = Bench::new(Stage::started());
    let home = bench.stage.path("gnupg");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&home).expect("made");
    for (number, algorithm) in [(1, "ed25519"), (2, "p256"), (3, "rsa3072")] {
        let made = bench.ok(&["key", "make", algorithm, "--token", "pkcs11:token=acme", "--algorithm", algorithm]);
        assert!(made["token"].as_str().is_some_and(|uri| uri.starts_with("pkcs11:token=acme;serial=")), "{made}");
        bench.stage.ok(&["domain", "update", "--add-signer", &format!("manufacturer={algorithm}")]);
        bench.stage.ok(&["domain", "submit"]);
        // Certifications and documents are signed differently; the key can be given by URI or by its name here.
        let uri = format!("pkcs11:token=acme;object={algorithm}");
        bench.ok(&["publish", "--spki", &spki(number), "--serial", algorithm, "--signer", &uri]);
        bench.ok(&["publish", "--group", algorithm, "--select", &format!("lot={algorithm}"), "--signer", algorithm]);

        let thing = format!("serial:{algorithm}");
        let file = bench.stage.path(&format!("{algorithm}.pgp"));
        let file = file.to_str().expect("UTF-8");
        assert_eq!(bench.stage.run(&["export", &thing, "--openpgp", "--output", file]).code, 0);
        let certificate = bench.stage.path(&format!("home/keys/{algorithm}.asc"));
        gpg(&home, &["--import", certificate.to_str().expect("UTF-8")]);
        gpg(&home, &["--allow-non-selfsigned-uid", "--import", file]);
        let id = bench.stage.record(&thing)["id"].as_str().expect("an id").to_owned();
        let checked = gpg(&home, &["--with-colons", "--check-sigs", &id]);
        assert!(checked.contains("\nsig:!:"), "{algorithm}: {checked}");
        assert!(!checked.contains("\nsig:-:") && !checked.contains("\nsig:%:"), "{algorithm}: {checked}");
    }
    let listed = bench.ok(&["key", "tokens"]);
    assert_eq!(listed[0]["label"], "acme");
    assert_eq!(listed[0]["algorithms"], serde_json::json!(["Ed25519", "P-256", "RSA"]));
    assert_eq!(listed[0]["keys"].as_array().map(Vec::len), Some(3), "{listed}");
}

#[test]
fn a_node_signs_its_log_with_a_key_in_a_token() {
    let mut bench = Bench::new(Stage::new());
    let node = bench.ok(&["key", "make", "node-2", "--token", "pkcs11:token=acme"]);
    let verifier = node["verifier_key"].as_str().expect("Ed25519");
    let path = bench.stage.path("home/ics.toml");
    let text = std::fs::read_to_string(&path).expect("read");
    let text = text.replace("[[home]]", "key = \"pkcs11:token=acme;object=node-2\"\n\n[[home]]");
    let text = text.replace(&format!("domains/{DOMAIN}.v1.pgp"), "domains/plant.acme.example.v1.pgp");
    std::fs::write(&path, text.replace(&format!("\"{DOMAIN}\""), "\"plant.acme.example\"")).expect("written");
    let home_node = format!("ics.{DOMAIN}={verifier}");
    let create = ["domain", "create", "plant.acme.example", "--template", "manufacturer", "--owner", "owner"];
    let named = ["--signer", "manufacturer=signer", "--names", "manufacturer=serial:*", "--home-node", &home_node];
    bench.ok(&[&create[..], &named].concat());

    // Without its PIN the node does not start, and says what it needs.
    let locked = bench.stage.run(&["serve"]);
    assert_eq!(locked.code, 5, "{locked:?}");
    assert!(locked.failure().0.contains("asks for its PIN"), "{locked:?}");
    bench.stage.set("ICS_PIN", "0000");
    let wrong = bench.stage.run(&["serve"]);
    assert_eq!(wrong.code, 6, "{wrong:?}");

    bench.stage.set("ICS_PIN", PIN);
    bench.stage.start();
    bench.stage.ok(&["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    // The client verifies the checkpoint's signature with the key in the descriptor.
    let file = bench.stage.path("SN-1.json");
    let file = file.to_str().expect("UTF-8");
    bench.stage.ok(&["export", "serial:SN-1", "--output", file]);
    bench.stage.ok(&["verify", "--document", file]);
    assert_eq!(bench.stage.size("serial:SN-1"), 3);
}

#[test]
fn an_owner_in_a_token_signs_descriptors() {
    let bench = Bench::new(Stage::started());
    bench.ok(&["key", "make", "hsm-owner", "--token", "pkcs11:token=acme", "--algorithm", "p256"]);
    bench.stage.ok(&["domain", "update", "--add-owner", "hsm-owner", "--remove-owner", &fingerprint(&bench, "owner")]);
    bench.stage.ok(&["domain", "submit"]);
    bench.ok(&["domain", "update", "--description", "by the token", "--owner", "pkcs11:object=hsm-owner"]);
    let submitted = bench.ok(&["domain", "submit"]);
    assert_eq!(submitted["version"], 3);
}

/// One key in a token speaks as signer, as owner and as authority. Of other secrets only the node's is left.
#[test]
fn every_command_that_signs_takes_a_key_in_a_token() {
    let mut stage = Stage::of("maintenance", DOMAIN);
    stage.start();
    let bench = Bench::new(stage);
    for name in ["hsm", "issuer"] {
        bench.ok(&["key", "make", name, "--token", "pkcs11:token=acme", "--algorithm", "p256"]);
    }
    bench.stage.ok(&["domain", "update", "--add-owner", "hsm", "--add-signer", "integrator=hsm"]);
    bench.stage.ok(&["domain", "submit"]);
    for name in ["owner", "signer"] {
        std::fs::remove_file(bench.stage.path(&format!("home/keys/{name}.asc"))).expect("removed");
    }
    signs_statements(&bench);
    signs_as_owner(&bench);
    signs_as_authority(&bench);
}

/// Runs a command that must succeed, whatever it prints.
fn done(bench: &Bench, words: &[&str]) {
    let ended = bench.run(words);
    assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
}

/// Runs a command that signs with the key in the token.
fn said(bench: &Bench, words: &[&str]) {
    done(bench, &[words, &["--signer", "hsm"]].concat());
}

fn signs_statements(bench: &Bench) {
    said(bench, &["publish", "--spki", &spki(1), "--serial", "SN-1", "--model", "P7", "--lot", "11"]);
    let rows = bench.stage.write("devices.csv", format!("spki,serial\n{},SN-2\n{},SN-3\n", spki(2), spki(3)));
    said(bench, &["publish", "--from", &rows, "--model", "P7"]);
    said(bench, &["publish", "--group", "Lot 11", "--select", "lot=11"]);
    said(bench, &["approve", "serial:SN-1", "--yes"]);
    said(bench, &["status", "in-use", "serial:SN-1", "--yes"]);
    said(bench, &["status", "suspended", "--group", "Lot 11", "--yes"]);
    said(bench, &["grant", "security-controller", "--to", "hsm", "serial:SN-1", "--yes"]);
    let software = format!("sha256:{}", "ab".repeat(32));
    said(bench, &["installed", &software, "serial:SN-2", "--yes"]);
    said(bench, &["withdraw", "serial:SN-1", "--act", "approval", "--yes"]);
    let new = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", spki(9));
    said(bench, &["replace", "serial:SN-3", "--with", &bench.stage.write("new.pem", new), "--yes"]);
    assert_eq!(bench.stage.status("serial:SN-1"), "suspended");

    // The same where there is no network.
    said(bench, &["status", "lost", "serial:SN-2", "--unsigned", "lost.ics"]);
    let signed = bench.ok(&["sign", "lost.ics", "--yes"]);
    bench.stage.ok(&["submit", signed["signed"].as_str().expect("a file")]);
    assert_eq!(bench.stage.status("serial:SN-2"), "lost");
}

fn signs_as_owner(bench: &Bench) {
    said(bench, &["publish", "--spki", &spki(4), "--serial", "SN-4"]);
    let approvals = || bench.stage.record("serial:SN-4")["approvals"].as_array().map(Vec::len);
    let index = bench.stage.size("serial:SN-4").to_string();
    said(bench, &["approve", "serial:SN-4", "--yes"]);
    assert_eq!(approvals(), Some(1));
    done(bench, &["erase", "--entry", &index, "--owner", "hsm", "--yes"]);
    assert_eq!(approvals(), Some(0));
    done(bench, &["domain", "update", "--description", "by the token", "--owner", "hsm"]);
    bench.stage.ok(&["domain", "submit"]);
    done(bench, &["domain", "update", "--description", "elsewhere", "--owner", "hsm", "--unsigned", "next.ics"]);
    done(bench, &["sign", "next.ics", "--yes"]);
    let create = ["domain", "create", "code.acme.example", "--template", "developer", "--owner", "hsm"];
    done(bench, &[&create[..], &["--signer", "developer=hsm", "--home-node", "ics.code.acme.example=node"]].concat());
}

fn signs_as_authority(bench: &Bench) {
    done(bench, &["ca", "root", "--key", "hsm", "--name", "Root", "--out", "root.pem"]);
    done(bench, &["ca", "request", "--key", "issuer", "--name", "Issuing", "--out", "issuer.csr"]);
    done(bench, &["ca", "sign", "issuer.csr", "--key", "hsm", "--certificate", "root.pem", "--out", "issuer.pem"]);
    let list = ["ca", "crl", "--key", "hsm", "--certificate", "root.pem", "--out", "root.crl"];
    done(bench, &[&list[..], &["--revoke", "issuer.pem=superseded"]].concat());
    let url = format!("http://127.0.0.1:1/x509/{DOMAIN}");
    done(bench, &["ca", "import", "issuer.pem", "--chain", "root.pem", "--owner", "hsm", "--url", &url]);
    let openssl = |words: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(bench.stage.path(".")).args(words.split(' '));
        let output = command.output().expect("openssl is there");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{words}: {said}");
        said
    };
    openssl("verify -x509_strict -CAfile root.pem issuer.pem");
    let list = openssl("crl -in root.crl -noout -text -CAfile root.pem");
    assert!(list.contains("verify OK") && list.contains("Superseded"), "{list}");
}

#[test]
fn a_certification_body_in_a_token_labels() {
    let mut stage = Stage::of("certification", DOMAIN);
    stage.start();
    let bench = Bench::new(stage);
    bench.ok(&["key", "make", "hsm", "--token", "pkcs11:token=acme"]);
    bench.stage.ok(&["domain", "update", "--add-signer", "certification-body=hsm"]);
    bench.stage.ok(&["domain", "submit"]);
    said(&bench, &["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    said(&bench, &["label", "checked", "serial:SN-1", "--yes"]);
    assert_eq!(bench.stage.record("serial:SN-1")["labels"][0]["value"], "checked");
}

#[test]
fn a_key_in_a_token_introduces_what_has_asked_and_signs_beside_another_owner() {
    let mut stage = Stage::new();
    stage.start();
    let bench = Bench::new(stage);
    bench.ok(&["key", "make", "hsm", "--token", "pkcs11:token=acme"]);
    bench.stage.ok(&["domain", "update", "--add-owner", "hsm", "--add-signer", "manufacturer=hsm"]);
    bench.stage.ok(&["domain", "submit"]);

    let id = request(&bench.stage, "device", "SN-42");
    said(&bench, &["enroll", "approve", &id, "--yes"]);
    assert_eq!(bench.stage.record("serial:SN-42")["id"], id.as_str());

    bench.stage.ok(&["domain", "update", "--description", "of both"]);
    let next = bench.stage.path(&format!("home/domains/{DOMAIN}.v3.pgp"));
    done(&bench, &["domain", "sign", next.to_str().expect("UTF-8"), "--owner", "hsm"]);
    bench.stage.ok(&["domain", "submit"]);
}

fn fingerprint(bench: &Bench, key: &str) -> String {
    bench.stage.ok(&["key", "show", key])["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

#[test]
fn a_key_of_another_tool_is_adopted_with_one_fingerprint_everywhere() {
    let bench = Bench::new(Stage::new());
    pkcs11_tool(&bench, &["--keypairgen", "--key-type", "EC:prime256v1", "--label", "factory", "--id", "01"]);
    pkcs11_tool(&bench, &["--keypairgen", "--key-type", "rsa:2048", "--label", "old", "--id", "02"]);
    pkcs11_tool(&bench, &["--keypairgen", "--key-type", "EC:secp384r1", "--label", "large", "--id", "03"]);
    let uri = "pkcs11:token=acme;object=factory";
    let first = bench.ok(&["key", "adopt", "factory", uri, "--user-id", "Factory <f@acme.example>"]);
    let second = bench.ok(&["key", "adopt", "again", uri, "--user-id", "Another name"]);
    assert_eq!(first["fingerprint"], second["fingerprint"]);
    assert_eq!(
        (&first["created"], &first["user_ids"][0]),
        (&"2018-01-01T00:00:00Z".into(), &"Factory <f@acme.example>".into())
    );
    bench.ok(&["key", "adopt", "old", "pkcs11:token=acme;id=%02"]);
    // An existing certificate is left unchanged.
    let armored = bench.stage.write("factory.asc", bench.run(&["key", "show", "factory", "--armor"]).stdout);
    bench.ok(&["key", "adopt", "third", uri, "--certificate", &armored]);
    let armors = ["factory", "third"].map(|key| bench.run(&["key", "show", key, "--armor"]).stdout);
    assert_eq!(armors[0], armors[1]);

    let (code, message, _) = bench.refused(&["key", "adopt", "l", "pkcs11:token=acme;object=large"]);
    assert_eq!((code, message.contains("on another curve; only Ed25519, P-256, and RSA")), (5, true), "{message}");
    let (_, message, _) = bench.refused(&["key", "adopt", "o", "pkcs11:object=old", "--certificate", &armored]);
    assert!(message.contains("is not the one whose certificate is kept"), "{message}");
    let shown = bench.ok(&["key", "list"]);
    let places: Vec<bool> = shown.as_array().expect("a list").iter().map(|key| key["token"].is_string()).collect();
    assert_eq!(places, [true, true, false, true, false, false, true], "{shown}");
}

#[test]
fn what_goes_wrong_is_said_in_words() {
    let mut bench = Bench::new(Stage::new());
    bench.ok(&["key", "make", "factory", "--token", "pkcs11:token=acme"]);
    let make = |uri: &'static str| vec!["key", "make", "other", "--token", uri];
    let table = [
        (make("pkcs11:token=none"), 5, "no token fits `pkcs11:token=none`; there are: acme", "plugged in"),
        (make("pkcs11:token=acme?pin-value=4711-pin"), 2, "holds the PIN", "--pin-file"),
        (make("token=acme"), 2, "does not begin with `pkcs11:`", "pkcs11:token=acme"),
        (make("pkcs11:token=acme;object=x"), 2, "names a key", "same name"),
        (vec!["key", "adopt", "other", "pkcs11:token=acme;object=x"], 5, "has no key that fits", "ics key make"),
        (vec!["key", "show", "pkcs11:object=x"], 5, "no key of this home directory", "ics key adopt"),
        (make("pkcs11:token=acme?module-path=/etc/hostname"), 5, "does not load", "vendor"),
    ];
    for (words, code, message, hint) in table {
        let found = bench.refused(&words);
        assert!(found.0 == code && found.1.contains(message) && found.2.contains(hint), "{words:?}: {found:?}");
        assert!(!found.1.contains(PIN), "the PIN is in `{}`", found.1);
    }

    let wrong = private(&bench.stage, "wrong-pin", "0000");
    let open = private(&bench.stage, "open-pin", PIN);
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("mode");
    for (pin, message, code) in [(&wrong, "refuses the PIN", 6), (&open, "everybody may read it", 5)] {
        let ended = bench.stage.run(&["--pin-file", pin, "key", "make", "other", "--token", "pkcs11:token=acme"]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.failure().0.contains(message), "{ended:?}");
    }
    let unit = include_str!("../../packaging/ics.service");
    assert!(unit.contains("\nRestartPreventExitStatus=2 6 78\n"), "a service manager does not use up the tries");
    let nobody = bench.stage.run(&["key", "make", "other", "--token", "pkcs11:token=acme"]);
    assert!(nobody.failure().0.contains("asks for its PIN") && nobody.failure().1.contains("ICS_PIN"), "{nobody:?}");

    bench.stage.set("ICS_PKCS11_MODULE", "");
    let none = bench.run(&["key", "tokens"]);
    assert_eq!(none.code, 2, "{none:?}");
    // Two tokens of one name are distinguished by serial number.
    bench.stage.set("ICS_PKCS11_MODULE", module());
    init_token(&bench.stage.path("softhsm2.conf"), "acme");
    let (_, message, hint) = bench.refused(&make("pkcs11:token=acme"));
    assert!(message.contains("fits 2 tokens: pkcs11:token=acme;serial=") && hint.contains("serial="), "{message}");
}

#[test]
fn a_pin_is_typed_once_and_an_empty_one_is_not_tried() {
    let mut bench = Bench::new(Stage::new());
    let make = ["key", "make", "factory", "--token", "pkcs11:token=acme"];
    bench.stage.set("ICS_PIN", "");
    let nobody = bench.stage.run(&make);
    assert!(nobody.code == 5 && nobody.failure().0.contains("asks for its PIN"), "{nobody:?}");
    let empty = bench.stage.at_a_terminal(&make, "\n");
    assert!(empty.code == 5 && empty.stdout.contains("asks for its PIN"), "{empty:?}");
    let typed = bench.stage.at_a_terminal(&make, &format!("{PIN}\n"));
    assert_eq!((typed.code, typed.stdout.matches("PIN of the token").count()), (0, 1), "{typed:?}");
}

#[test]
fn a_pin_comes_through_a_pipe_or_is_asked_for_in_its_place() {
    let bench = Bench::new(Stage::new());
    let make = |name: &'static str| ["--pin-file", "-", "key", "make", name, "--token", "pkcs11:token=acme"];
    bench.stage.piped("home", &make("factory"), PIN.as_bytes());
    let typed = bench.stage.at_a_terminal(&make("line-2"), &format!("{PIN}\n"));
    assert_eq!((typed.code, typed.stdout.matches("PIN of the token").count()), (0, 1), "{typed:?}");
}

#[test]
fn no_key_is_made_whose_certificate_cannot_be() {
    let bench = Bench::new(Stage::new());
    let make = ["key", "make", "factory", "--token", "pkcs11:token=acme", "--user-id", "Acme\nfactory"];
    let (code, message, hint) = bench.refused(&make);
    assert!(code == 5 && message.contains("control character") && hint.is_empty(), "{message} {hint}");
    assert_eq!(bench.ok(&["key", "tokens"])[0]["keys"], Value::Array(Vec::new()));
}
