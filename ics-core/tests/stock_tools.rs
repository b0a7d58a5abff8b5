//! What stock tools say of our bodies: GnuPG 2.2 and sq 0.27; and what OpenSSL signs. They must be installed; a missing
//! tool is a failure.
#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{SALT, at, claims, created, device, ecdsa, ed25519, subject};
use ics_core::identity::Kind;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::possession;
use ics_core::openpgp::signer::Signer;
use ics_core::statement::{Claims, StatementId, Subject, detached, make, split};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use sequoia_openpgp::types::Curve;

const USER_ID: &str = "urn:dev:os:32473-123456";

/// A GnuPG home of its own, and a directory for files; its agents end with it.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .tempdir()
                .expect("a directory"),
        )
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a file");
        path
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("GNUPGHOME", self.path())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.path())
            .output()
            .unwrap_or_else(|error| panic!("`{program}` must be installed: {error}"))
    }

    fn gpg(&self, arguments: &[&str]) -> Output {
        let common = ["--batch", "--no-tty", "--yes", "--faked-system-time", "20261121T000000!", "--status-fd", "2"];
        self.run("gpg", &[&common, arguments].concat())
    }

    fn import(&self, bytes: &[u8]) -> String {
        self.file("import.pgp", bytes);
        let output = self.gpg(&["--allow-non-selfsigned-uid", "--import", "import.pgp"]);
        assert!(output.status.success(), "{}", all(&output));
        all(&output)
    }

    /// Trusts a key in full, as a user does who has checked it.
    fn trust(&self, fingerprint: &str) {
        self.file("trust.txt", format!("{}:6:\n", fingerprint.to_uppercase()).as_bytes());
        assert!(self.gpg(&["--import-ownertrust", "trust.txt"]).status.success());
    }

    /// The validity of a key's User ID, as `--with-colons` gives it.
    fn validity(&self, fingerprint: &str) -> String {
        let output = all(&self.gpg(&["--with-colons", "--list-keys", fingerprint]));
        let line = output.lines().find(|line| line.starts_with("uid:")).unwrap_or_else(|| panic!("{output}"));
        line.split(':').nth(1).expect("a field").to_owned()
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = self.run("gpgconf", &["--kill", "all"]);
    }
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn later(seconds: u64) -> Timestamp {
    at().plus_millis(seconds * 1000)
}

fn certificate(signer: &dyn Signer, name: &str) -> Vec<u8> {
    Certificate::make(signer, name, created(), &SALT).expect("made")
}

fn certify(signer: &dyn Signer, key: &PublicKey, claims: &Claims, revokes: bool, at: Timestamp) -> Vec<u8> {
    make::certify(signer, key, USER_ID, None, Kind::Device, claims, revokes, at, &SALT).expect("made")
}

fn identity() -> Claims {
    common::sample_claims().into_iter().next().map(|(_, claims)| claims).expect("the first sample")
}

/// A P-256 key as it comes out of a secure element: nothing but a SubjectPublicKeyInfo.
fn bare_p256() -> PublicKey {
    let point = ecdsa(Curve::NistP256, 4);
    PublicKey::from_spki_der(&point.public_key().to_spki_der().expect("a P-256 key")).expect("accepted")
}

#[test]
fn gpg_imports_certificates_and_device_statements_with_their_notations() {
    let signers: [Box<dyn Signer>; 2] = [Box::new(ed25519(1, 4)), Box::new(ecdsa(Curve::NistP256, 4))];
    for signer in signers {
        let fingerprint = signer.public_key().fingerprint().to_string();
        for key in [bare_p256(), device(1).public_key().clone()] {
            let gpg = Workplace::new();
            gpg.import(&certificate(&*signer, "Acme <signer@acme.example>"));
            gpg.import(&certify(&*signer, &key, &identity(), false, at()));
            let device = key.fingerprint().to_string();
            let output = all(&gpg.gpg(&["--list-options", "show-notations", "--check-sigs", &device]));
            assert!(output.contains("sig!"), "{output}");
            assert!(output.contains("1 good signature"), "{output}");
            for notation in
                ["act@cm4it.example=identity", "urn@cm4it.example=urn:dev:os:32473-1", "lot", "manu@cm4it.example=Acme"]
            {
                assert!(notation == "lot" || output.contains(notation), "{notation}: {output}");
            }
            gpg.trust(&fingerprint);
            assert_eq!(gpg.validity(&device), "f");
        }
    }
}

#[test]
fn gpg_drops_what_a_blocking_status_takes_away_and_restores_it() {
    let signer = ed25519(1, 4);
    let key = bare_p256();
    let device = key.fingerprint().to_string();
    let gpg = Workplace::new();
    gpg.import(&certificate(&signer, "Acme <signer@acme.example>"));
    gpg.trust(&signer.public_key().fingerprint().to_string());
    gpg.import(&certify(&signer, &key, &identity(), false, at()));
    assert_eq!(gpg.validity(&device), "f");
    let stolen = Claims { status: "stolen".parse().ok(), ..claims(Act::Status) };
    gpg.import(&certify(&signer, &key, &stolen, true, later(10)));
    assert_eq!(gpg.validity(&device), "-");
    let in_use = Claims { status: "in-use".parse().ok(), ..claims(Act::Status) };
    gpg.import(&certify(&signer, &key, &in_use, false, later(20)));
    assert_eq!(gpg.validity(&device), "f");
    let withdrawal = Claims { supersedes: vec![StatementId([1; 32])], ..claims(Act::Withdrawal) };
    gpg.import(&certify(&signer, &key, &withdrawal, true, later(30)));
    assert_eq!(gpg.validity(&device), "-");
}

#[test]
fn gpg_merges_bodies_that_stand_one_behind_the_other() {
    let (first, second) = (ed25519(1, 4), ed25519(2, 4));
    let key = bare_p256();
    let gpg = Workplace::new();
    let bodies = [
        certificate(&first, "Acme <signer@acme.example>"),
        certificate(&second, "Owner <owner@example.org>"),
        certify(&first, &key, &identity(), false, at()),
        certify(&second, &key, &claims(Act::Approval), false, at()),
        certify(&ed25519(3, 6), &key, &claims(Act::Approval), false, at()),
    ];
    let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    gpg.import(&ics_core::statement::openpgp_view(&bodies, 4));
    let output = all(&gpg.gpg(&["--check-sigs", &key.fingerprint().to_string()]));
    assert!(output.contains("2 good signatures"), "{output}");
}

#[test]
fn a_device_that_signs_for_itself_needs_no_option() {
    let (signer, device) = (ed25519(1, 4), device(2));
    let own = make::self_sign(&device, USER_ID, at(), &SALT).expect("made");
    let body =
        make::certify(&signer, device.public_key(), USER_ID, Some(&own), Kind::Device, &identity(), false, at(), &SALT)
            .expect("made");
    let gpg = Workplace::new();
    gpg.import(&certificate(&signer, "Acme <signer@acme.example>"));
    gpg.file("device.pgp", &body);
    assert!(gpg.gpg(&["--import", "device.pgp"]).status.success());
    let output = all(&gpg.gpg(&["--check-sigs", &device.public_key().fingerprint().to_string()]));
    assert!(output.contains("2 good signatures"), "{output}");
}

#[test]
fn documents_verify_with_gpg_and_sq() {
    let signers: [Box<dyn Signer>; 3] =
        [Box::new(ed25519(1, 4)), Box::new(ecdsa(Curve::NistP256, 4)), Box::new(common::rsa(4))];
    for signer in signers {
        let place = Workplace::new();
        let certificate = certificate(&*signer, "Acme <signer@acme.example>");
        place.import(&certificate);
        place.file("certificate.pgp", &certificate);
        for kind in [Kind::Software, Kind::Group] {
            let subject: Subject = subject(kind);
            let body = make::sign_document(&*signer, &subject, &claims(Act::Identity), at(), &SALT).expect("made");
            place.file("body.pgp", &body);
            let output = place.gpg(&["--verify", "body.pgp"]);
            assert!(output.status.success() && all(&output).contains("GOODSIG"), "{}", all(&output));
            let output = place.run("sq", &["verify", "--signer-cert", "certificate.pgp", "body.pgp"]);
            assert!(output.status.success(), "{}", all(&output));
            let (document, signature) = detached(&body).expect("a message");
            assert_eq!(output.stdout, document);
            place.file("document.json", document);
            place.file("document.sig", &signature);
            let output = place.gpg(&["--verify", "document.sig", "document.json"]);
            assert!(output.status.success() && all(&output).contains("GOODSIG"), "{}", all(&output));
        }
    }
}

#[test]
fn descriptors_verify_with_one_to_three_signers() {
    let owners = [ed25519(1, 4), ed25519(2, 4), ed25519(3, 4)];
    let json = br#"{"domain":"devices.acme.example","version":1}"#;
    for count in 1..=3 {
        let place = Workplace::new();
        let mut arguments = vec!["verify".to_owned(), "-n".into(), count.to_string()];
        for (index, owner) in owners.iter().take(count).enumerate() {
            let bytes = certificate(owner, "Owner <owner@example.org>");
            place.import(&bytes);
            let name = format!("owner{index}.pgp");
            place.file(&name, &bytes);
            arguments.extend(["--signer-cert".into(), name]);
        }
        let signers: Vec<&dyn Signer> = owners.iter().take(count).map(|owner| owner as &dyn Signer).collect();
        let body = make::sign_descriptor(&signers, json, at(), &SALT).expect("made");
        let grown = owners
            .iter()
            .take(count)
            .skip(1)
            .fold(make::sign_descriptor(&signers[..1], json, at(), &SALT).expect("made"), |body, owner| {
                make::add_signature(&body, owner, at(), &SALT).expect("added")
            });
        assert_eq!(grown, body, "signing one after the other gives the same as signing together");
        place.file("body.pgp", &body);
        let output = place.gpg(&["--verify", "body.pgp"]);
        let text = all(&output);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.matches("GOODSIG").count(), count, "{text}");
        arguments.push("body.pgp".into());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = place.run("sq", &arguments);
        assert!(output.status.success(), "{}", all(&output));
        assert_eq!(output.stdout, json);
    }
}

#[test]
fn certificates_please_gpg_and_sq() {
    let signers: [Box<dyn Signer>; 3] =
        [Box::new(ed25519(1, 4)), Box::new(ecdsa(Curve::NistP384, 4)), Box::new(common::rsa(4))];
    for signer in signers {
        let place = Workplace::new();
        let bytes = certificate(&*signer, "Acme <signer@acme.example>");
        place.import(&bytes);
        let fingerprint = signer.public_key().fingerprint().to_string();
        let listing = all(&place.gpg(&["--list-keys", &fingerprint]));
        assert!(listing.contains("[SC]") && listing.contains("Acme <signer@acme.example>"), "{listing}");
        let exported = place.gpg(&["--export", &fingerprint]).stdout;
        assert_eq!(split(&exported).expect("a certificate").bodies, std::slice::from_ref(&bytes));
        place.file("certificate.pgp", &bytes);
        let output = place.run("sq", &["inspect", "certificate.pgp"]);
        assert!(output.status.success(), "{}", all(&output));
        assert!(all(&output).to_lowercase().contains(&fingerprint), "{}", all(&output));
        assert!(!all(&output).contains("Invalid"), "{}", all(&output));
    }
}

#[test]
fn keys_made_and_statements_signed_by_gpg_are_taken() {
    let gpg = Workplace::new();
    let then = ["--passphrase", "", "--faked-system-time", "20261101T000000!"];
    let generate = ["--quick-generate-key", "Acme <signer@acme.example>", "ed25519", "sign", "0"];
    let made = gpg.gpg(&[&then[..], &generate].concat());
    assert!(made.status.success(), "{}", all(&made));
    let listing = all(&gpg.gpg(&["--with-colons", "--list-keys", "signer@acme.example"]));
    let fingerprint = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("a fingerprint");
    let fingerprint = fingerprint.trim_end_matches(':').to_owned();
    for [algorithm, usage] in [["ed25519", "sign"], ["cv25519", "encr"]] {
        let added = gpg.gpg(&[&then[..], &["--quick-add-key", &fingerprint, algorithm, usage]].concat());
        assert!(added.status.success(), "{}", all(&added));
    }
    let exported = gpg.gpg(&["--export", &fingerprint]).stdout;
    let bodies = split(&exported).expect("a certificate").bodies;
    let certificate = Certificate::parse(&bodies[0]).expect("accepted");
    assert_eq!(certificate.primary().to_string().to_uppercase(), fingerprint);
    assert_eq!(certificate.user_ids(), ["Acme <signer@acme.example>"]);
    assert_eq!(certificate.keys().count(), 2);

    // A device is introduced with nothing but gpg, then exported in gpg's own framing, with its armor.
    let device = device(3);
    gpg.import(&common::bare_certificate(&device, USER_ID));
    let id = device.public_key().fingerprint().to_string();
    let mut arguments = vec!["--passphrase", ""];
    for notation in [
        "act@cm4it.example=identity",
        "kind@cm4it.example=device",
        "role@cm4it.example=manufacturer",
        "domain@cm4it.example=devices.acme.example",
        "model@cm4it.example=T-1000",
    ] {
        arguments.extend(["--cert-notation", notation]);
    }
    arguments.extend(["--quick-sign-key", &id]);
    let signed = gpg.gpg(&arguments);
    assert!(signed.status.success(), "{}", all(&signed));
    let exported = gpg.gpg(&["--armor", "--export", &id]).stdout;
    let bodies = split(&exported).expect("a statement").bodies;
    assert_eq!(bodies.len(), 1);
    let statement = common::unverified(&bodies[0]);
    assert_eq!(statement.claims().act, Act::Identity);
    let statement = ics_core::statement::verify(statement, &certificate, later(86_400)).expect("good");
    assert_eq!(statement.signer(), certificate.primary());

    // And a document, signed by the signing subkey, in gpg's own framing.
    let body = make::sign_document(&ed25519(1, 4), &subject(Kind::Software), &claims(Act::Approval), at(), &SALT);
    let (document, _) = detached(&body.expect("made")).map(|(json, rest)| (json.to_vec(), rest)).expect("a message");
    gpg.file("document.json", &document);
    let signed =
        gpg.gpg(&["--passphrase", "", "--compress-level", "0", "--output", "document.gpg", "--sign", "document.json"]);
    assert!(signed.status.success(), "{}", all(&signed));
    let bytes = std::fs::read(gpg.path().join("document.gpg")).expect("a file");
    let bodies = split(&bytes).expect("a document").bodies;
    let statement = common::unverified(&bodies[0]);
    assert_ne!(statement.issuer(), certificate.primary(), "the subkey signed");
    let statement = ics_core::statement::verify(statement, &certificate, later(86_400)).expect("good");
    assert_eq!(statement.signer(), certificate.primary());
    assert_eq!(split(&bodies[0]).expect("canonical").bodies, bodies);
}

/// Every size and exponent that a key may have, by a library that makes such keys.
#[test]
fn rsa_signatures_by_openssl_are_taken() {
    let work = Workplace::new();
    work.file("message", b"message");
    for (bits, e) in [("2048", "3"), ("2049", "17"), ("3072", "65537"), ("4096", "4294967295")] {
        let (bits, e) = (format!("rsa_keygen_bits:{bits}"), format!("rsa_keygen_pubexp:{e}"));
        let openssl = |arguments: &[&str]| {
            let output = work.run("openssl", arguments);
            assert!(output.status.success(), "{e}: {}", all(&output));
            output.stdout
        };
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits, "-pkeyopt", &e, "-out", "key"]);
        let key = PublicKey::from_spki_der(&openssl(&["pkey", "-in", "key", "-pubout", "-outform", "DER"]));
        let key = key.expect("a key that is taken");
        let signature = openssl(&["dgst", "-sha256", "-sign", "key", "message"]);
        assert_eq!(possession::verify(&key, b"message", &signature), Ok(()), "{bits} {e}");
        assert!(possession::verify(&key, b"another", &signature).is_err(), "{bits} {e}");
    }
}
