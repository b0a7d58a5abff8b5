//! `ics ca`: an offline root, an issuing authority in a token, and what a domain's descriptor makes of them.

use std::path::Path;
use std::process::{Command, Output};

use crate::tools::{Bench, said};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Runs `ics` with this home directory.
fn ics(bench: &Bench, home: &str, words: &str) -> Output {
    run(bench, Command::new(env!("CARGO_BIN_EXE_ics-under-test")), home, words)
}

/// The same on a machine whose clock is ahead by this much, in faketime's notation.
fn ics_ahead(bench: &Bench, by: &str, home: &str, words: &str) -> Output {
    let mut command = Command::new("faketime");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    command.args(["-m", "-f", by, env!("CARGO_BIN_EXE_ics-under-test")]);
    run(bench, command, home, words)
}

fn run(bench: &Bench, mut command: Command, home: &str, words: &str) -> Output {
    command.current_dir(bench.path()).env("SOFTHSM2_CONF", bench.path().join("softhsm2.conf"));
    command.env_remove("ICS_HOME").args(["--home", home, "--passphrase-file", "passphrase", "--pin-file", "pin"]);
    command.args(["--pkcs11-module", MODULE]).args(words.split(' ').filter(|word| !word.is_empty()));
    command.output().expect("ics starts")
}

fn done(bench: &Bench, home: &str, words: &str) -> String {
    let output = ics(bench, home, words);
    assert!(output.status.success(), "ics {words}: {}", said(&output));
    said(&output)
}

/// Makes a token with the name `acme`; returns what programs must be told to use it.
pub(crate) fn token(bench: &Bench) -> Vec<(&'static str, String)> {
    let directory = bench.path().join("tokens");
    std::fs::create_dir(&directory).expect("a directory");
    let configuration = format!("directories.tokendir = {}\nobjectstore.backend = file\n", directory.display());
    let path = bench.file("softhsm2.conf", configuration.as_bytes());
    let mut command = Command::new("softhsm2-util");
    command.env("SOFTHSM2_CONF", &path);
    command.args("--init-token --free --label acme --pin 1234 --so-pin 4321".split(' '));
    let output = command.output().expect("softhsm2-util starts");
    assert!(output.status.success(), "{}", said(&output));
    let path = path.to_str().expect("UTF-8").to_owned();
    vec![("SOFTHSM2_CONF", path), ("ICS_PKCS11_MODULE", MODULE.to_owned()), ("ICS_PIN", "1234".to_owned())]
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
}

#[test]
fn a_root_offline_and_an_issuer_in_a_token() {
    let bench = Bench::new();
    private(&bench.file("passphrase", b"correct horse battery staple"));
    private(&bench.file("pin", b"1234"));
    token(&bench);
    done(&bench, "offline", "key make root --algorithm p256");
    done(&bench, "offline", "ca root --name Root --organization Acme --out root.pem");
    done(&bench, "node", "init --domain devices.acme.example --role manufacturer");
    done(&bench, "node", "key make issuer --algorithm p256 --token pkcs11:token=acme");
    done(&bench, "node", "ca request --name Issuing --out issuer.csr");
    done(
        &bench,
        "offline",
        "ca sign issuer.csr --certificate root.pem --permit acme.example --use client --use server --out issuer.pem",
    );
    bench.openssl("verify -x509_strict -CAfile root.pem issuer.pem");
    let text = bench.openssl("x509 -in issuer.pem -noout -text");
    for expected in [
        "Digital Signature, Certificate Sign, CRL Sign",
        "pathlen:0",
        "DNS:acme.example",
        "Excluded:",
        "IP:0.0.0.0/0.0.0.0",
        "TLS Web Client Authentication",
        "CN = Issuing",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in {text}");
    }
    done(&bench, "offline", "ca crl --certificate root.pem --out root.crl");
    let text = bench.openssl("crl -in root.crl -noout -text -CAfile root.pem");
    assert!(text.contains("verify OK") && text.contains("No Revoked Certificates"), "{text}");
    done(&bench, "offline", "ca crl --certificate root.pem --revoke issuer.pem=cACompromise --out root.crl");
    assert!(bench.openssl("crl -in root.crl -noout -text").contains("CA Compromise"));

    let url = "http://pki.acme.example/x509/devices.acme.example";
    done(&bench, "node", &format!("ca import issuer.pem --chain root.pem --domain devices.acme.example --url {url}"));
    let shown = done(&bench, "node", "--json domain show devices.acme.example");
    assert!(shown.contains("\"certificates\"") && shown.contains("\"issuer\"") && shown.contains(url), "{shown}");

    for (change, moved) in
        [("--shards 4", true), ("--url http://other.acme.example/x509", true), ("--shards 16", false)]
    {
        let again = format!("ca import issuer.pem --chain root.pem --domain devices.acme.example {change}");
        let output = ics(&bench, "node", &again);
        assert_eq!(output.status.success(), !moved, "{change}: {}", said(&output));
        assert!(!moved || said(&output).contains("a new issuing authority"), "{change}: {}", said(&output));
    }

    let keys: serde_json::Value = serde_json::from_str(&done(&bench, "node", "--json key list")).expect("JSON");
    let named = |key: &&serde_json::Value| key["name"] == "issuer";
    let key = keys.as_array().and_then(|keys| keys.iter().find(named)).expect("the issuer's key");
    let fingerprint = key["fingerprint"].as_str().expect("a fingerprint");
    done(&bench, "node", &format!("domain update devices.acme.example --compromised {fingerprint}@0"));
    let refused = ics(&bench, "node", "ca import issuer.pem --chain root.pem --domain devices.acme.example");
    assert!(!refused.status.success() && said(&refused).contains("compromised"), "{}", said(&refused));
    let shown: serde_json::Value =
        serde_json::from_str(&done(&bench, "node", "--json domain show devices.acme.example")).expect("JSON");
    assert_eq!(shown["version"], 4, "nothing was written: {shown}");

    let other = ics(&bench, "offline", "ca sign issuer.csr --certificate issuer.pem --out wrong.pem");
    assert!(said(&other).contains("not that of the certificate"), "{}", said(&other));
    bench.file("issuer.csr", b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n");
    let malformed = ics(&bench, "offline", "ca sign issuer.csr --certificate root.pem --out wrong.pem");
    assert!(!malformed.status.success() && said(&malformed).contains("the request is refused"), "{}", said(&malformed));
}

/// An offline root and an issuing authority, both in one home directory.
fn authorities(bench: &Bench) {
    private(&bench.file("passphrase", b"correct horse battery staple"));
    private(&bench.file("pin", b"1234"));
    token(bench);
    done(bench, "home", "init --domain devices.acme.example --role manufacturer");
    done(bench, "home", "key make root --algorithm p256");
    done(bench, "home", "key make issuer --algorithm p256");
    done(bench, "home", "ca root --name Root --organization Acme --out root.pem");
    done(bench, "home", "ca request --name Issuing --out issuer.csr");
    done(bench, "home", "ca sign issuer.csr --certificate root.pem --out issuer.pem");
}

/// What was signed before that day is believed, what was signed later is not: the day is not that of the list.
#[test]
fn a_list_of_a_root_says_since_when_an_authority_is_revoked() {
    let bench = Bench::new();
    authorities(&bench);
    let sign = |words: &str| ics(&bench, "home", &format!("ca crl --certificate root.pem {words}"));
    let text = |file: &str| bench.openssl(&format!("crl -in {file} -noout -text -CAfile root.pem"));
    let holds = |file: &str, day: &str, reason: &str| {
        let text = text(file);
        assert!(text.contains(day) && text.contains(reason) && text.contains("verify OK"), "{text}");
        assert_eq!(text.matches("Revocation Date").count(), 1, "{text}");
    };
    let first = sign("--revoke issuer.pem=cACompromise@2020-01-15T10:00:00Z --out first.crl");
    assert!(first.status.success(), "{}", said(&first));
    holds("first.crl", "Jan 15 10:00:00 2020 GMT", "CA Compromise");
    assert!(sign("--former first.crl --out second.crl").status.success());
    holds("second.crl", "Jan 15 10:00:00 2020 GMT", "CA Compromise");
    assert!(sign("--former second.crl --revoke issuer.pem=superseded --out third.crl").status.success());
    holds("third.crl", "Jan 15 10:00:00 2020 GMT", "Superseded");
    assert!(
        sign("--former third.crl --revoke issuer.pem=superseded@2020-01-10T00:00:00Z --out third.crl").status.success()
    );
    holds("third.crl", "Jan 10 00:00:00 2020 GMT", "Superseded");
    // Whoever makes a list anew lets nobody be trusted again, nor loses the certificate by a wrong name.
    for (file, why) in
        [("third.crl", "revokes 1 certificate that the new list would not"), ("root.pem", "it is not overwritten")]
    {
        let (before, refused) = (bench.read(file), sign(&format!("--out {file}")));
        assert!(!refused.status.success() && said(&refused).contains(why), "{file}: {}", said(&refused));
        assert_eq!(bench.read(file), before, "{file}");
    }
    assert!(sign("--revoke issuer.pem=cACompromise --out third.crl").status.success());
    holds("third.crl", "Jan 10 00:00:00 2020 GMT", "CA Compromise");
    for (words, why) in [
        ("--revoke issuer.pem=superseded@2999-01-01T00:00:00Z", "which is in the future"),
        ("--revoke issuer.pem=superseded@January", "is not a time of RFC 3339"),
        ("--former root.pem", "there is no PEM block `X509 CRL`"),
    ] {
        let refused = sign(words);
        assert!(!refused.status.success() && said(&refused).contains(why), "{words}: {}", said(&refused));
    }
    done(&bench, "other", "key make root --algorithm p256");
    done(&bench, "other", "ca root --name Other --out other.pem");
    done(&bench, "other", "ca crl --certificate other.pem --out other.crl");
    let refused = sign("--former other.crl");
    assert!(!refused.status.success() && said(&refused).contains("not signed by the issuer"), "{}", said(&refused));
    // Nobody looks in this root's list for certificates that another has issued.
    let refused = sign("--revoke other.pem=cACompromise --out wrong.crl");
    let words = ["was not issued by `root.pem`", "`ics --home home status`"];
    let told = words.iter().all(|words| said(&refused).contains(words));
    assert!(!refused.status.success() && told, "{}", said(&refused));
    assert!(!bench.path().join("wrong.crl").exists(), "nothing is signed");
}

/// The clocks of machines without a network go wrong.
#[test]
fn a_root_that_has_ended_signs_nothing_and_lists_are_numbered_upwards() {
    let bench = Bench::new();
    authorities(&bench);
    let sign = "ca sign issuer.csr --certificate root.pem --out late.pem";
    let late = ics_ahead(&bench, "+7400d", "home", sign);
    assert!(!late.status.success() && said(&late).contains("has expired"), "{}", said(&late));
    assert!(!bench.path().join("late.pem").exists(), "no certificate that ends before it begins");

    let ahead = ics_ahead(&bench, "+30d", "home", "ca crl --certificate root.pem --out first.crl");
    assert!(ahead.status.success(), "{}", said(&ahead));
    let next = done(&bench, "home", "ca crl --certificate root.pem --former first.crl --out second.crl");
    assert!(next.contains("in the future by this machine's clock"), "{next}");
    let number = |file: &str| {
        let text = bench.openssl(&format!("crl -in {file} -noout -crlnumber"));
        let (_, hex) = text.trim().split_once("crlNumber=").expect("a number");
        u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    assert_eq!(number("second.crl"), number("first.crl") + 1);
}

/// A statement about each certificate stays in the record, and a record has limited room.
#[test]
fn an_import_says_for_how_long_there_is_room_for_short_certificates() {
    let bench = Bench::new();
    authorities(&bench);
    let url = "http://pki.acme.example/x509/devices.acme.example";
    let import = format!("ca import issuer.pem --chain root.pem --domain devices.acme.example --url {url}");
    let usual = done(&bench, "home", &import);
    assert!(!usual.contains("has room for") && !usual.contains("do not follow"), "{usual}");
    let profile = |seconds: u64| {
        let (kinds, uses, keys) = (["device"], ["client"], ["p256"]);
        serde_json::json!({"kinds": kinds, "uses": uses, "keys": keys, "names": ["urn:*"], "seconds": seconds})
    };
    let profiles = serde_json::json!({"hour": profile(3_600), "day": profile(86_400), "quarter": profile(7_776_000)});
    bench.file("profiles.json", profiles.to_string().as_bytes());
    let short = done(&bench, "home", &format!("{import} --profiles profiles.json"));
    for words in ["`hour` in time has room for 53 days", "`day` in time has room for 1290 days"] {
        assert!(short.contains(words), "{words}: {short}");
    }
    assert!(!short.contains("`quarter`"), "{short}");
    for words in ["no profile is called `ldevid`", "`hour` before all others"] {
        assert!(short.contains(words) && !usual.contains(words), "{words}: {short}");
    }
}

/// Once an authority is no longer listed, nobody answers for what it has issued.
#[test]
fn the_ninth_authority_is_told_how_to_make_room() {
    let bench = Bench::new();
    authorities(&bench);
    let url = "http://pki.acme.example/x509/devices.acme.example";
    let import = |number: u8| {
        done(&bench, "home", &format!("ca sign issuer.csr --certificate root.pem --out issuer-{number}.pem"));
        let chain = format!("--chain root.pem --domain devices.acme.example --url {url}");
        ics(&bench, "home", &format!("ca import issuer-{number}.pem {chain}"))
    };
    for number in 1..=8 {
        let taken = import(number);
        assert!(taken.status.success(), "{}", said(&taken));
    }
    let ninth = import(9);
    let told = said(&ninth);
    let update = "`ics --home home domain update --from-file next.json`";
    for words in ["lists 8 authorities", update, "Issuing: not known here"] {
        assert!(!ninth.status.success() && told.contains(words), "`{words}` is missing: {told}");
    }
}

#[test]
fn what_is_wrong_with_an_authority_to_be_is_said_as_it_is() {
    let bench = Bench::new();
    authorities(&bench);
    bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key");
    bench.openssl("req -new -key weak.key -subj /CN=Weak -out weak.csr");
    bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out plain.key");
    bench.openssl("req -new -key plain.key -subj / -out plain.csr");
    done(&bench, "home", "ca request --name Root --organization Acme --out same.csr");
    for (words, why) in [
        ("ca sign weak.csr --certificate root.pem --out x.pem", "its key is not accepted"),
        ("ca sign plain.csr --certificate root.pem --out x.pem", "its subject is empty"),
        ("ca sign same.csr --certificate root.pem --out x.pem", "or the name of the authority above it"),
        ("ca sign issuer.csr --certificate root.pem --use bogus --out x.pem", "client, server, ocsp"),
        ("ca sign issuer.csr --certificate root.pem --permit http://x --out x.pem", "neither a host name"),
    ] {
        let refused = ics(&bench, "home", words);
        assert!(!refused.status.success() && said(&refused).contains(why), "{words}: {}", said(&refused));
    }
    let long = done(&bench, "home", "ca sign issuer.csr --certificate root.pem --days 20000 --out long.pem");
    assert!(long.contains("it ends with the root"), "{long}");
    let usual = done(&bench, "home", "ca sign issuer.csr --certificate root.pem --out usual.pem");
    assert!(!usual.contains("it ends with the root"), "{usual}");
}

/// The certificate of such a server may be one of those that are being checked (RFC 5280, 8).
#[test]
fn an_import_advises_against_revocation_over_https() {
    let bench = Bench::new();
    authorities(&bench);
    let url = "https://pki.acme.example/x509/devices.acme.example";
    let import = format!("ca import issuer.pem --chain root.pem --domain devices.acme.example --url {url}");
    let told = done(&bench, "home", &import);
    assert!(told.contains("which many clients do not follow"), "{told}");
}

/// The descriptor is served to everyone: a chain with a hole would be noticed by those who cannot mend it.
#[test]
fn an_import_takes_a_whole_chain_or_none() {
    let bench = Bench::new();
    authorities(&bench);
    let url = "http://pki.acme.example/x509/devices.acme.example";
    let import =
        |words: &str| ics(&bench, "home", &format!("ca import {words} --domain devices.acme.example --url {url}"));
    let refused = import("issuer.pem");
    assert!(!refused.status.success() && said(&refused).contains("ends below its root"), "{}", said(&refused));
    let chain = [bench.read("issuer.pem"), bench.read("root.pem")].concat();
    bench.file("chain.pem", &chain);
    let taken = import("chain.pem");
    assert!(taken.status.success(), "{}", said(&taken));
    let shown = done(&bench, "home", "--json domain show devices.acme.example");
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let issuers = shown["certificates"]["issuers"].as_array().expect("issuers");
    let above: Vec<_> = issuers.iter().map(|issuer| issuer["chain"].as_array().map(Vec::len)).collect();
    assert_eq!(above, [Some(1)], "the root stands above the authority: {shown}");
}

/// Without the former keys nobody answers for what they have issued; without the next key nobody issues.
#[test]
fn an_import_says_which_keys_the_node_is_to_have() {
    let bench = Bench::new();
    authorities(&bench);
    let import = |file: &str, more: &str| {
        done(&bench, "home", &format!("ca import {file} --chain root.pem --domain devices.acme.example {more}"))
    };
    let text = String::from_utf8(bench.read("home/ics.toml")).expect("text");
    let configure = |issuers: &str| {
        let with = text.replacen("[node]\n", &format!("[node]\nissuers = {issuers}\n"), 1);
        assert_ne!(with, text);
        bench.file("home/ics.toml", with.as_bytes());
    };
    let first = import("issuer.pem", "--url http://pki.acme.example/x509/devices.acme.example");
    assert!(first.contains("before `ics --home home domain submit`"), "{first}");
    assert!(first.contains("`[node] issuers = [\"issuer\"]`"), "{first}");
    configure("[\"issuer\"]");
    done(&bench, "home", "key make next --algorithm p256");
    done(&bench, "home", "ca request --key next --name Next --out next.csr");
    done(&bench, "home", "ca sign next.csr --certificate root.pem --out next.pem");
    let next = import("next.pem", "");
    assert!(next.contains("`[node] issuers = [\"next\", \"issuer\"]`"), "{next}");

    // By whatever name the configuration lists it.
    let keys: serde_json::Value = serde_json::from_str(&done(&bench, "home", "--json key list")).expect("JSON");
    let key = keys.as_array().and_then(|keys| keys.iter().find(|key| key["name"] == "next")).expect("the key");
    configure(&format!("[\"issuer\", {}]", key["fingerprint"]));
    let known = import("next.pem", "");
    assert!(!known.contains("[node] issuers"), "{known}");
}

/// Its lists would bear the newer name, and be none for what it has issued under the other.
#[test]
fn a_key_issues_under_one_name() {
    let bench = Bench::new();
    authorities(&bench);
    let more = "--chain root.pem --domain devices.acme.example --url http://pki.acme.example/x509/devices.acme.example";
    done(&bench, "home", &format!("ca import issuer.pem {more}"));
    done(&bench, "home", "ca request --name Other --out other.csr");
    done(&bench, "home", "ca sign other.csr --certificate root.pem --out other.pem");
    let refused = ics(&bench, "home", &format!("ca import other.pem {more}"));
    let told = said(&refused);
    assert!(!refused.status.success() && told.contains("issues as `CN=Issuing`"), "{told}");
}
