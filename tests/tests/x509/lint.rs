//! Runs pkilint over everything that is signed here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ics_core::openpgp::signer::Signer as _;
use ics_core::time::Timestamp;
use ics_node::app::{Asker, Clock, Depth, Issued, Requester, Revoker};
use ics_node::x509::{
    Constraints, NewAuthority, OcspError, Reason, RevocationList, Revoked, SerialNumber, ca_request, certificate_pem,
    issue_authority, issuer_id,
};
use sequoia_openpgp::types::Curve;

use crate::answerers::answerer;
use crate::rotation::issuing_with;
use crate::tools::{Bench, said};
use crate::world::{
    Shape, World, authority, claimed, controller, domain, ecdsa, id, introduction, maker, owner, p256, status,
};

const DAY: u64 = 86_400_000;
/// The linter of certificates, and what it is told.
const CERTIFICATE: (&str, &[&str]) = ("lint_pkix_cert", &["-s", "NOTICE"]);
/// The same for revocation lists.
const LIST: (&str, &[&str]) = ("lint_crl", &["-t", "CRL", "-p", "PKIX", "-s", "NOTICE"]);
/// The same for OCSP answers.
const ANSWER: (&str, &[&str]) = ("lint_ocsp_response", &["-s", "NOTICE"]);

/// Findings that are not faults. RFC 5280, 4.2.1.6 allows any URI with a scheme; pkilint's parser does not know URNs.
const ALLOWED: [&str; 1] = ["pkix.invalid_uri_syntax"];

/// The path at which `tests/run` installs it.
fn program(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pkilint/bin").join(name)
}

/// Lints a file; returns the findings that are not allowed.
fn findings(bench: &Bench, (linter, arguments): (&str, &[&str]), file: &str) -> Vec<String> {
    let program = program(linter);
    let mut command = Command::new(&program);
    command.current_dir(bench.path()).arg("lint").args(arguments).args(["-f", "CSV", file]);
    let output =
        command.output().unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", program.display()));
    let text = said(&output);
    assert!(text.starts_with("node_path"), "{linter} {file}: {text}");
    let is_fault = |line: &&str| !line.is_empty() && !ALLOWED.iter().any(|code| line.contains(code));
    text.lines().skip(1).filter(is_fault).map(|line| format!("{file}: {line}")).collect()
}

/// Requests as openssl makes them: with either digest, with a nonce, which makes the answer unique, and about several.
const QUESTIONS: [(&str, &str); 4] = [
    ("sha1", "-cert ldevid.pem -no_nonce"),
    ("sha256", "-sha256 -cert ldevid.pem -no_nonce"),
    ("nonce", "-sha256 -cert ldevid.pem"),
    ("several", "-cert ldevid.pem -sha256 -cert server.pem -no_nonce"),
];

#[test]
fn pkilint_finds_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    let mut found = Vec::new();
    bench.file("root.der", &world.root);
    bench.file("issuer.der", &world.issuer);
    for profile in ["idevid", "ldevid", "server"] {
        let issued = world.certify(7, profile, &bench.request(profile, &[])).expect(profile);
        bench.file(&format!("{profile}.der"), &issued.certificate);
    }
    let delegate = p256();
    let request = ca_request(&*delegate, "answers", None).expect("a request");
    world.submit(vec![introduction(8, &[]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    let answers_by = world.certify_as(Requester::Operator, id(8), "ocsp", &request).expect("ocsp").certificate;
    bench.file("ocsp.der", &answers_by);
    for name in ["root", "issuer", "idevid", "ldevid", "server", "ocsp"] {
        bench.openssl(&format!("x509 -inform DER -in {name}.der -out {name}.pem"));
        found.extend(findings(&bench, CERTIFICATE, &format!("{name}.pem")));
    }
    lists(&world, &bench, "good", &mut found);
    answers(&world, &bench, "good", &mut found);
    let suspended = world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    lists(&world, &bench, "held", &mut found);
    answers(&world, &bench, "held", &mut found);
    let world = world.with_key(answerer(delegate, &bench.path().join("ocsp.der")));
    let by = answers(&world, &bench, "held-by-delegate", &mut found);
    assert!(by.contains("OCSP Signing"), "the delegate's certificate comes along: {by}");
    world.submit(vec![status(7, &owner(), "owner", "in-use", &suspended)]);
    answers(&world, &bench, "good-by-delegate", &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn lists(world: &World, bench: &Bench, name: &str, found: &mut Vec<String>) {
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    for shard in 0..4 {
        let list = world.list(&issuer, shard).expect("a list");
        found.extend(of_list(bench, &list.der, &format!("{name}{shard}.crl")));
    }
}

fn of_list(bench: &Bench, list: &[u8], file: &str) -> Vec<String> {
    bench.file("list.der", list);
    bench.openssl(&format!("crl -inform DER -in list.der -out {file}"));
    findings(bench, LIST, file)
}

/// Lints the answers to all requests; returns the last one as openssl prints it.
fn answers(world: &World, bench: &Bench, name: &str, found: &mut Vec<String>) -> String {
    let mut last = String::new();
    for (question, arguments) in QUESTIONS {
        last = answer(world, bench, (&format!("{name}-{question}"), arguments), found);
    }
    last
}

/// Lints the answer to one request; returns it as openssl prints it.
fn answer(world: &World, bench: &Bench, (name, arguments): (&str, &str), found: &mut Vec<String>) -> String {
    bench.openssl(&format!("ocsp -issuer issuer.pem {arguments} -reqout request.der"));
    let answer = world.app.ocsp(Asker::Own, &domain(), &bench.read("request.der"), Depth::Store).expect("answers");
    let file = format!("{name}.ors");
    bench.file(&file, &answer.expect("an answer").der);
    found.extend(findings(bench, ANSWER, &file));
    bench.openssl(&format!("ocsp -respin {file} -noverify -resp_text"))
}

/// With a larger key, about other keys and names, for reasons that no lifting ends, and answers that say little.
#[test]
fn pkilint_finds_nothing_in_what_is_signed_less_often() {
    let shape = Shape { issuers: vec![issuing_with(ecdsa(Curve::NistP384))], ..Shape::new() };
    let (world, bench) = (World::of(&shape), Bench::new());
    let mut found = Vec::new();
    let now = world.app.clock().now().as_millis();
    let [from, until] = [2 * DAY, DAY].map(|before| Timestamp::from_millis(now - before));
    world.claim_period(7, 1, (from, until), "ldevid");
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    found.extend(findings(&bench, CERTIFICATE, "issuer.pem"));
    let issued = rare_certificates(&world, &bench, &mut found);
    bench.openssl("verify -x509_strict -CAfile root.pem -untrusted issuer.pem ldevid.pem");

    let text = answer(&world, &bench, ("ended", &format!("-serial 0x{} -no_nonce", claimed(7, 1))), &mut found);
    assert!(text.contains("Cert Status: unknown"), "{text}");
    for error in [OcspError::Malformed, OcspError::TryLater, OcspError::Unauthorized, OcspError::Internal] {
        let file = format!("{error:?}.ors");
        bench.file(&file, &error.to_der());
        found.extend(findings(&bench, ANSWER, &file));
    }

    let holder = Revoker::Requester(Requester::Identity(id(7)));
    let keeper = Revoker::Requester(Requester::Signer(owner().public_key().fingerprint()));
    let ways = [
        (Revoker::Key, Reason::KeyCompromise),
        (holder, Reason::Superseded),
        (holder, Reason::Unspecified),
        (keeper, Reason::CessationOfOperation),
    ];
    for (issued, (revoker, reason)) in issued.iter().zip(ways) {
        world.revoke(&issued.serial, revoker, reason).expect("is revoked");
    }
    lists(&world, &bench, "for-good", &mut found);
    answers(&world, &bench, "for-good", &mut found);
    authorities(&mut found, &bench);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Lints certificates about each kind of key, and with names that few have; returns those of the device.
fn rare_certificates(world: &World, bench: &Bench, found: &mut Vec<String>) -> Vec<Issued> {
    let permanent = "[req]\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n[ext]\n\
                     subjectAltName = otherName:1.3.6.1.5.5.7.8.3;SEQUENCE:permanent\n[permanent]\nvalue = UTF8:SN-7\n";
    bench.file("permanent.cnf", permanent.as_bytes());
    world.submit(vec![
        introduction(9, &["serial:SN-9", "host:127.0.0.9"]),
        status(9, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let keys: [(&str, &str, &[&str]); 3] = [
        ("ldevid", "ED25519", &[]),
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048", &[]),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384", &["-sha384"]),
    ];
    let mut requests = Vec::new();
    for (name, kind, digest) in keys {
        bench.openssl(&format!("genpkey -algorithm {kind} -out {name}.key"));
        requests.push((name, bench.request_again(name, digest)));
    }
    requests.push(("permanent", bench.request("permanent", &["-config", "permanent.cnf"])));
    let mut lint = |name: &str, certificate: &[u8]| {
        let file = format!("{name}.pem");
        bench.file(&file, certificate_pem(certificate).as_bytes());
        found.extend(findings(bench, CERTIFICATE, &file));
    };
    let mut all = Vec::new();
    for (name, csr) in requests {
        let issued = world.certify(7, "ldevid", &csr).expect(name);
        lint(name, &issued.certificate);
        all.push(issued);
    }
    let csr = bench.request("server", &["-addext", "subjectAltName=IP:127.0.0.9"]);
    lint("server", &world.certify(9, "server", &csr).expect("its own address").certificate);
    all
}

/// Lints a root with a larger key, an authority below it that says where the root's list is, and that list.
fn authorities(found: &mut Vec<String>, bench: &Bench) {
    let (key, now) = (ecdsa(Curve::NistP384), Clock::default().now());
    let new = |constraints: Constraints, crl_url: Option<&str>| NewAuthority {
        common_name: "Large Root".to_owned(),
        organization: None,
        path_length: 0,
        constraints,
        validity: (now, now.plus_millis(DAY)),
        crl_url: crl_url.map(str::to_owned),
    };
    let [first, second, third] = [5, 6, 7].map(|octet| SerialNumber::new([octet; 20]));
    let root = issue_authority(&*key, None, None, &new(Constraints::default(), None), &first).expect("a root");
    let above = authority(&[&root]);
    let request = ca_request(&*p256(), "Below", None).expect("a request");
    let networks = Constraints::parse(&["10.0.0.0/8".to_owned()], &[], None).expect("constraints");
    let below = new(networks, Some("http://pki.acme.example/root.crl"));
    let below = issue_authority(&*key, Some(&above), Some(&request), &below, &second).expect("an authority");
    for (name, certificate) in [("large", root), ("below", below)] {
        let file = format!("{name}.pem");
        bench.file(&file, certificate_pem(&certificate).as_bytes());
        found.extend(findings(bench, CERTIFICATE, &file));
    }
    let revoked = BTreeMap::from([
        (second, Revoked { at: now, reason: Reason::CaCompromise }),
        (third, Revoked { at: now, reason: Reason::Unspecified }),
    ]);
    let list = RevocationList {
        authority: &above,
        urls: &[],
        revoked: &revoked,
        number: 2,
        this_update: now,
        next_update: now.plus_millis(DAY),
    };
    found.extend(of_list(bench, &list.sign(&*key).expect("a list"), "root.crl"));
}
