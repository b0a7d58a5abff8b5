//! Signing on a machine without a network.

use serde_json::{Value, json};

use crate::between::answers_submissions;
use crate::stage::{DOMAIN, Ended, Stage, spki};

/// A node whose machine has no signing key: the key is in the home directory `vault`, which never talks to the node.
struct Split {
    stage: Stage,
}

impl Split {
    fn new() -> Self {
        let stage = Stage::started();
        let moved = |name: &str| {
            std::fs::create_dir_all(stage.path("vault/keys")).expect("made");
            std::fs::rename(
                stage.path(&format!("home/keys/{name}.asc")),
                stage.path(&format!("vault/keys/{name}.asc")),
            )
            .expect("moved");
        };
        for key in ["signer", "owner"] {
            let armored = stage.run(&["key", "show", key, "--armor"]).stdout;
            stage.write(&format!("{key}.asc"), armored);
            moved(key);
        }
        std::fs::copy(stage.path("home/passphrase"), stage.path("vault/passphrase")).expect("copied");
        let config = stage.path("home/ics.toml");
        let text = std::fs::read_to_string(&config).expect("read");
        std::fs::write(config, text.replace("signer = \"signer\"", "signer = \"./signer.asc\"")).expect("written");
        Self { stage }
    }

    /// The machine with the network.
    fn online(&self, words: &[&str]) -> Value {
        self.stage.ok(words)
    }

    fn refused_online(&self, words: &[&str]) -> (i32, String) {
        let ended = self.stage.run(words);
        (ended.code, ended.failure().0)
    }

    /// The machine with the key.
    fn offline(&self, words: &[&str]) -> Ended {
        self.stage.run_alone("vault", words)
    }

    fn sign(&self, file: &str) -> Value {
        let ended = self.offline(&["sign", file, "--yes"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }

    /// Prepares, signs and submits a batch.
    fn whole(&self, file: &str, words: &[&str]) -> Value {
        self.online(&[words, &["--unsigned", file]].concat());
        let signed = self.sign(file);
        self.online(&["submit", signed["signed"].as_str().expect("a file")])
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.stage.path(file)).expect("read");
        assert!(text.contains(from), "{text}");
        std::fs::write(self.stage.path(file), text.replacen(from, to, 1)).expect("written");
    }

    /// Changes a file and recomputes its digest, as a deliberate forger would.
    fn forge(&self, file: &str, from: &str, to: &str) {
        use sha2::{Digest as _, Sha256};
        self.change(file, from, to);
        let text = std::fs::read_to_string(self.stage.path(file)).expect("read");
        let (content, _) = text.trim_end().rsplit_once('\n').expect("lines");
        let content = format!("{content}\n");
        let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(self.stage.path(file), format!("{content}{{\"sha256\":\"{digest}\"}}\n")).expect("written");
    }
}

#[test]
fn every_command_that_signs_statements_can_be_signed_elsewhere() {
    let split = Split::new();
    let one =
        split.whole("one.ics", &["publish", "--spki", &spki(1), "--serial", "SN-1", "--model", "P7", "--lot", "11"]);
    assert_eq!(one["statements"].as_array().map(Vec::len), Some(1), "{one}");
    let rows = format!("spki,serial\n{},SN-2\n{},SN-3\n", spki(2), spki(3));
    let csv = split.stage.write("devices.csv", rows);
    let many = split.whole("many.ics", &["publish", "--from", &csv, "--model", "P7", "--lot", "11"]);
    assert_eq!(many["statements"].as_array().map(Vec::len), Some(2), "{many}");
    split.whole("group.ics", &["publish", "--group", "Lot 11", "--select", "lot=11"]);
    let firmware = split.stage.write("firmware.bin", "firmware");
    split.whole("approve.ics", &["approve", "serial:SN-1", "serial:SN-2"]);
    split.whole("use.ics", &["status", "in-use", "serial:SN-1"]);
    split.whole("stolen.ics", &["status", "stolen", "serial:SN-1"]);
    assert_eq!(split.stage.status("serial:SN-1"), "stolen");
    split.whole("recall.ics", &["status", "suspended", "--group", "Lot 11", "--reason", "battery"]);
    assert_eq!(split.stage.status("serial:SN-3"), "suspended");
    split.whole("grant.ics", &["grant", "owner", "--to", "./owner.asc", "serial:SN-2"]);
    split.whole("back.ics", &["withdraw", "serial:SN-2", "--act", "approval"]);
    let record = split.stage.record("serial:SN-2");
    assert_eq!(record["approvals"].as_array().map(Vec::len), Some(0), "{record}");
    let (code, _) = split.refused_online(&["publish", "--file", &firmware, "--name", "p7", "--version", "1"]);
    assert_eq!(code, 2, "without --unsigned the key is missed, and named by a file it is no key of this home");
}

#[test]
fn what_will_be_signed_is_shown_from_the_batch_alone() {
    let split = Split::new();
    split.whole("one.ics", &["publish", "--spki", &spki(1), "--serial", "SN-1", "--model", "P7"]);
    split.whole("use.ics", &["status", "in-use", "serial:SN-1"]);
    split.online(&["status", "stolen", "serial:SN-1", "--reason", "site 4", "--unsigned", "stolen.ics"]);
    let shown = split.offline(&["sign", "stolen.ics", "--show"]).json();
    let statement = &shown["statements"][0];
    assert_eq!((&statement["title"], &statement["revokes"]), (&json!("device SN-1"), &json!(true)));
    assert_eq!(statement["statement"]["status"], "stolen");
    assert_eq!(statement["replaced"][0]["shown"]["statement"]["status"], "in-use", "{shown}");
    assert_eq!(split.offline(&["sign", "stolen.ics", "--dry-run"]).json(), shown);
    assert!(!split.stage.path("stolen.signed.ics").exists(), "nothing was signed");

    let words = split.stage.words_alone("vault", &["sign", "stolen.ics", "--show"]);
    for expected in [
        "1. device SN-1",
        "status stolen, replaces 1 statement",
        "a revocation",
        "why",
        "site 4",
        "status in-use, said as manufacturer",
    ] {
        assert!(words.contains(expected), "`{expected}` is not in\n{words}");
    }
    let asked = split.offline(&["sign", "stolen.ics"]);
    assert_eq!((asked.code, asked.failure().0.as_str()), (2, "there is nobody to ask"));

    // A statement shown in place of the named one does not count as that.
    let id = statement["replaced"][0]["statement_id"].as_str().expect("an id").to_owned();
    split.forge("stolen.ics", &id, &"0".repeat(64));
    let words = split.stage.words_alone("vault", &["sign", "stolen.ics", "--show"]);
    assert!(words.contains("a statement that the batch does not show"), "{words}");
}

/// For gpg, a revocation that is older than what its signer has said about the thing revokes nothing.
#[test]
fn what_is_signed_elsewhere_is_newer_than_what_the_batch_knows_of_its_signer() {
    let split = Split::new();
    split.whole("one.ics", &["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    split.online(&["status", "stolen", "serial:SN-1", "--unsigned", "stolen.ics"]);
    let text = std::fs::read_to_string(split.stage.path("stolen.ics")).expect("read");
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":\"")).expect("a member");
        rest.split_once('"').expect("a value").0.to_owned()
    };
    let (after, made_at) = (value("after"), value("made_at"));

    // The signing machine's clock is years behind the others.
    split.forge("stolen.ics", &after, "2099-01-01T00:00:00Z");
    let refused = split.offline(&["sign", "stolen.ics", "--yes"]);
    let (message, _) = refused.failure();
    assert!(refused.code == 1 && message.contains("later than the clock of this machine shows"), "{message}");
    assert!(!split.stage.path("stolen.signed.ics").exists(), "no home would take it");
    split.forge("stolen.ics", &made_at, "2099-01-01T00:00:01Z");
    split.sign("stolen.ics");
    let signed = std::fs::read_to_string(split.stage.path("stolen.signed.ics")).expect("read");
    let line: Value = serde_json::from_str(signed.lines().nth(1).expect("a statement")).expect("JSON");
    let body = data_encoding::BASE64.decode(line["body"].as_str().expect("a body").as_bytes()).expect("base64");
    let created = 4_070_908_801_u32.to_be_bytes();
    assert!(body.windows(4).any(|octets| octets == created), "a second after the newest: 2099-01-01T00:00:01Z");
}

#[test]
fn a_batch_is_signed_once_by_its_signer_and_as_it_was_written() {
    let split = Split::new();
    split.online(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--unsigned", "one.ics"]);
    let refused = |words: &[&str]| {
        let ended = split.offline(words);
        (ended.code, ended.failure().0)
    };
    let (code, message) = refused(&["sign", "one.ics", "--signer", "owner", "--yes"]);
    assert!(code == 1 && message.contains("the batch is to be signed by"), "{message}");

    let original = std::fs::read(split.stage.path("one.ics")).expect("read");
    split.change("one.ics", "SN-1", "SN-9");
    let (code, message) = refused(&["sign", "one.ics", "--yes"]);
    assert!(code == 1 && message.contains("was changed or cut off"), "{message}");
    std::fs::write(split.stage.path("one.ics"), &original[..original.len() - 20]).expect("cut");
    assert!(refused(&["sign", "one.ics", "--yes"]).1.contains("was changed or cut off"));
    std::fs::write(split.stage.path("one.ics"), &original).expect("restored");
    split.forge("one.ics", "\"role\":\"manufacturer\",\"signer\"", "\"role\":\"developer\",\"signer\"");
    let (code, message) = refused(&["sign", "one.ics", "--yes"]);
    assert!(code == 1 && message.contains("statement 1: it is said as"), "{message}");
    std::fs::write(split.stage.path("one.ics"), &original).expect("restored");
    std::fs::write(split.stage.path("empty.ics"), "").expect("written");
    assert!(refused(&["sign", "empty.ics", "--yes"]).1.contains("it is empty"));

    let (code, message) = split.refused_online(&["submit", "one.ics"]);
    assert!(code == 2 && message.contains("is not signed yet"), "{message}");
    split.sign("one.ics");
    let (code, message) = refused(&["sign", "one.signed.ics", "--yes"]);
    assert!(code == 2 && message.contains("is signed already"), "{message}");
    let (code, message) = refused(&["sign", "one.ics", "--yes"]);
    assert!(code == 1 && message.contains("this batch was signed here at"), "{message}");

    // A second submission changes nothing, and a second signature is not submitted by mistake.
    let first = split.online(&["submit", "one.signed.ics"]);
    assert_eq!(split.online(&["submit", "one.signed.ics"])["statements"], first["statements"]);
    let size = split.stage.size("serial:SN-1");
    let again = split.offline(&["sign", "one.ics", "--yes", "--again", "--output", "twice.ics"]);
    assert_eq!(again.code, 0, "{again:?}");
    let (code, message) = split.refused_online(&["submit", "twice.ics"]);
    assert!(code == 1 && message.contains("was signed twice"), "{message}");
    assert_eq!(split.stage.size("serial:SN-1"), size);
}

#[test]
fn a_batch_that_may_be_in_the_log_in_part_is_not_submitted_in_another_form() {
    let split = Split::new();
    split.whole("one.ics", &["publish", "--spki", &spki(1), "--serial", "SN-1"]);
    split.online(&["approve", "serial:SN-1", "--unsigned", "approve.ics"]);
    split.sign("approve.ics");
    let again = split.offline(&["sign", "approve.ics", "--yes", "--again", "--output", "twice.ics"]);
    assert_eq!(again.code, 0, "{again:?}");
    let size = split.stage.size("serial:SN-1");
    // The signer's certificate is accepted, and then the node fails.
    let url = answers_submissions(split.stage.url(), &[200, 500]);
    let failed = split.stage.run(&["submit", "approve.signed.ics", "--node", &url]);
    assert_eq!((failed.code, failed.failure().0.as_str()), (4, "the node says 500"), "{failed:?}");
    let (code, message) = split.refused_online(&["submit", "twice.ics"]);
    assert!(code == 1 && message.contains("was signed twice"), "{message}");
    split.online(&["submit", "approve.signed.ics"]);
    assert_eq!(split.stage.size("serial:SN-1"), size + 1);
}

#[test]
fn what_was_signed_is_not_overwritten_by_another_batch() {
    let split = Split::new();
    let prepare = |number: u64, file: &str| {
        split.online(&["publish", "--spki", &spki(number), "--serial", &format!("SN-{number}"), "--unsigned", file]);
    };
    for (number, file) in [(1, "lot-2026.11"), (2, "lot-2026.12")] {
        prepare(number, file);
        assert_eq!(split.sign(file)["signed"], format!("{file}.signed.ics"));
    }
    prepare(3, "one.ics");
    split.stage.write("one.signed.ics", "what somebody else has signed");
    let refused = split.offline(&["sign", "one.ics", "--yes"]);
    assert!(refused.code == 5 && refused.failure().0.contains("is not overwritten"), "{refused:?}");
    let told = split.offline(&["sign", "one.ics", "--yes", "--output", "one.signed.ics"]);
    assert_eq!(told.code, 0, "{told:?}");
}

#[test]
fn what_was_signed_is_verified_before_it_is_submitted() {
    let split = Split::new();
    for (number, file) in [(1, "one.ics"), (2, "two.ics")] {
        split.online(&["publish", "--spki", &spki(number), "--serial", &format!("SN-{number}"), "--unsigned", file]);
        split.sign(file);
    }
    let line = |file: &str| {
        let text = std::fs::read_to_string(split.stage.path(file)).expect("read");
        text.lines().nth(1).expect("a statement").to_owned()
    };
    let (one, two) = (line("one.signed.ics"), line("two.signed.ics"));
    split.forge("one.signed.ics", &one, &format!("{one}\n{one}"));
    let (code, message) = split.refused_online(&["submit", "one.signed.ics"]);
    assert!(code == 1 && message.contains("statement 2: it stands there twice"), "{message}");
    // Cut in the middle of the signature.
    let broken = format!("{}AAAA\"}}", &two[..two.len() - 6]);
    split.forge("two.signed.ics", &two, &broken);
    let (code, message) = split.refused_online(&["submit", "two.signed.ics"]);
    assert!(code == 1 && message.contains("statement 1: "), "{message}");

    // A statement by another signer among those of this one.
    split.stage.ok(&["key", "make", "other"]);
    let other = split.stage.run(&["key", "show", "other", "--armor"]).stdout;
    split.stage.write("other.asc", other);
    let publish = ["publish", "--spki", &spki(3), "--serial", "SN-3", "--signer", "./other.asc"];
    split.online(&[&publish[..], &["--unsigned", "other.ics"]].concat());
    assert_eq!(split.stage.run(&["sign", "other.ics", "--yes"]).code, 0);
    split.forge("one.signed.ics", &format!("{one}\n{one}"), &line("other.signed.ics"));
    let (code, message) = split.refused_online(&["submit", "one.signed.ics"]);
    assert!(code == 1 && message.contains("it was signed by"), "{message}");
}

/// A pipe gives what it has only once, and what comes through one has no name beside which anything could be written.
#[test]
fn batches_and_descriptors_pass_through_pipes() {
    let split = Split::new();
    let piped = |home: &str, words: &[&str], input: &[u8]| split.stage.piped(home, words, input);
    let file = |name: &str| std::fs::read(split.stage.path(name)).expect("written");
    let json = |output: &[u8]| serde_json::from_slice::<Value>(output).expect("JSON");
    split.online(&["publish", "--spki", &spki(1), "--serial", "SN-1", "--unsigned", "one.ics"]);
    let shown = json(&piped("vault", &["sign", "-", "--show"], &file("one.ics")));
    assert_eq!(shown["statements"][0]["title"], "device SN-1");
    let signed = piped("vault", &["sign", "-", "--yes"], &file("one.ics"));
    let submitted = json(&piped("home", &["submit", "-"], &signed));
    assert!(submitted["statements"][0]["index"].is_u64(), "{submitted}");

    split.online(&["domain", "update", "--owner", "./owner.asc", "--unsigned", "v2.ics", "--description", "Pumps"]);
    let version = piped("vault", &["sign", "-", "--yes"], &file("v2.ics"));
    for shows in [&["domain", "show", "-"][..], &["sign", "-", "--show"]] {
        assert_eq!(json(&piped("vault", shows, &version))["description"], "Pumps");
    }
    assert_eq!(json(&piped("home", &["domain", "submit", "-"], &version))["version"], 2);
    let asked = piped("home", &["status", "in-use", "serial:SN-1", "--unsigned", "-"], b"");
    piped("home", &["submit", "-"], &piped("vault", &["sign", "-", "--yes", "--out", "-"], &asked));
    assert_eq!(split.stage.status("serial:SN-1"), "in-use");
    let evidence = json(&piped("home", &["export", "serial:SN-1", "--out", "-"], b""));
    assert!(evidence.is_object(), "and nothing beside it: {evidence}");
    let proof = split.stage.run(&["export", "--entry", "0", "-o", "-"]);
    assert_eq!(proof.code, 2, "two files do not fit there: {proof:?}");
    for name in ["-", "-.pgp", "-.signed.ics"] {
        assert!(!split.stage.path(name).exists(), "{name}");
    }
    assert_eq!(json(&piped("home", &["import", "-"], &file("signer.asc")))["certificates"], 1);
}

#[test]
fn owners_sign_descriptors_elsewhere_one_after_the_other() {
    let split = Split::new();
    // A second owner with a machine of their own.
    let second = split.stage.run_alone("second", &["key", "make", "b", "--user-id", "Owner B"]);
    assert_eq!(second.code, 5, "there is no passphrase yet: {second:?}");
    let passphrase = split.stage.write("second-passphrase", "correct horse battery");
    let in_second = |words: &[&str]| {
        let ended = split.stage.run_alone("second", &[&["--passphrase-file", passphrase.as_str()], words].concat());
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended
    };
    in_second(&["key", "make", "b", "--user-id", "Owner B"]);
    split.stage.write("b.asc", in_second(&["key", "show", "b", "--armor"]).stdout);
    let update = ["domain", "update", "--owner", "./owner.asc", "--unsigned"];
    split.online(&[&update[..], &["v2.ics", "--add-owner", "./b.asc", "--threshold", "2"]].concat());
    let shown = split.stage.words_alone("vault", &["sign", "v2.ics", "--show"]);
    assert!(shown.contains("2 of 2 change the rules"), "{shown}");
    let unsigned = split.stage.for_people("home", &["domain", "show", "v2.ics"]);
    assert_eq!(unsigned.code, 5, "{unsigned:?}");
    for told in ["`v2.ics` is a batch that nobody has signed yet", "`ics sign v2.ics --show`"] {
        assert!(unsigned.stderr.contains(told), "{unsigned:?}");
    }
    assert_eq!(split.offline(&["sign", "v2.ics", "--yes"]).code, 0);
    let file = format!("{DOMAIN}.v2.pgp");
    assert_eq!(split.online(&["submit", &file])["version"], 2);

    std::fs::copy(split.stage.path(&file), split.stage.path(&format!("home/domains/{file}"))).expect("copied");
    split.online(&[&update[..], &["v3.ics", "--description", "both"]].concat());
    assert_eq!(split.offline(&["sign", "v3.ics", "--yes"]).code, 0);
    let file = format!("{DOMAIN}.v3.pgp");
    let (code, message) = split.refused_online(&["submit", &file]);
    assert!(code == 1, "one of two is not enough: {message}");
    in_second(&["sign", &file, "--signer", "b", "--yes"]);
    let signed = std::fs::read(split.stage.path(&file)).expect("read");
    for (more, code) in [(vec![], 5), (vec!["--again"], 1), (vec!["--output", &file], 1)] {
        let refused = split.offline(&[vec!["sign", "v3.ics", "--yes"], more].concat());
        assert_eq!(refused.code, code, "{refused:?}");
    }
    assert_eq!(std::fs::read(split.stage.path(&file)).expect("read"), signed, "the other owner's signature stays");
    assert_eq!(split.online(&["submit", &file])["version"], 3);
}

/// Writes a next version of the descriptor in force to a file: with another name for its owner, which imitates other
/// output, and an authority that issues certificates.
fn with_an_issuer(split: &Split) -> String {
    use base64::Engine as _;
    split.online(&["key", "make", "root", "--algorithm", "p256"]);
    let made = split.stage.run(&["ca", "root", "--name", "Acme Root", "--out", "root.pem"]);
    assert_eq!(made.code, 0, "{made:?}");
    let pem = std::fs::read_to_string(split.stage.path("root.pem")).expect("read");
    let certificate: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(base64::engine::general_purpose::STANDARD.decode(&certificate).is_ok(), "{pem}");
    let mut next = split.online(&["domain", "show"]);
    next["owners"]["keys"][0]["name"] = json!("owner\u{1b}[2J\nroles  nobody\u{9b}");
    next["description"] = json!("Pumps\u{202e}\r of Acme");
    let device = json!({ "kinds": ["device"], "keys": ["p256"], "uses": ["client"], "seconds": 86_400 });
    next["certificates"] = json!({
        "url": "http://pki.acme.example/x509",
        "issuers": [{ "certificate": certificate }],
        "profiles": { "device": device },
    });
    split.stage.write("next.json", next.to_string())
}

#[test]
fn an_owner_reads_all_of_a_descriptor_before_signing_it() {
    let split = Split::new();
    let next = with_an_issuer(&split);
    split.online(&["domain", "update", "--owner", "./owner.asc", "--from-file", &next, "--unsigned", "v2.ics"]);
    let file = format!("./{DOMAIN}.v2.pgp");
    let show = |words: &[&str]| {
        let shown = split.stage.words_alone("vault", words);
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        let lies = shown.lines().filter(|line| line.trim_start().starts_with("roles  nobody")).count();
        assert_eq!(lies, 0, "{shown}");
        for expected in ["CN=Acme Root", "http://pki.acme.example/x509", "owner\u{fffd}[2J\u{fffd}roles  nobody"] {
            assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
        }
        shown
    };
    // Without the preceding version everything is shown, the access rules line by line.
    for words in [&["sign", "v2.ics", "--show"][..], &["sign", &file, "--show"], &["domain", "show", &file]] {
        let shown = show(words);
        for expected in ["the version before it is not in this home directory", "@id(\"anyone-reads\")\n", "freshness"]
        {
            assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
        }
        if words[1] == "v2.ics" {
            assert_eq!(split.offline(&["sign", "v2.ics", "--yes"]).code, 0);
        }
    }
    let first = format!("domains/{DOMAIN}.v1.pgp");
    std::fs::create_dir_all(split.stage.path("vault/domains")).expect("made");
    std::fs::copy(split.stage.path(&format!("home/{first}")), split.stage.path(&format!("vault/{first}")))
        .expect("copied");
    let shown = show(&["sign", &file, "--show"]);
    assert!(shown.contains("what changes against version 1"), "{shown}");
    assert!(!shown.contains("@id") && !shown.contains("freshness"), "{shown}");
}

/// The error names the stick, not the source of the data.
#[test]
fn a_stick_without_room_for_a_bundle_is_named() {
    let stage = Stage::started();
    stage.ok(&["peer", "add", "gateway", "--key", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]);
    let bundle = stage.path("b.bundle").to_str().expect("UTF-8").to_owned();
    let full = stage.run_in_little_room(0, &["export", "--bundle", "--for", "gateway", "-o", &bundle]);
    let (message, _) = full.failure();
    assert_eq!((full.code, message), (5, format!("`{bundle}`: File too large (os error 27)")));
    assert!(!stage.path("b.bundle").exists(), "a part is no bundle");
}
