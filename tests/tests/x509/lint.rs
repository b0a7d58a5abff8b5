//! Runs pkilint over everything that is signed here.

use std::path::Path;
use std::process::Command;

use ics_node::app::{Asker, Depth, Requester};
use ics_node::x509::{ca_request, issuer_id};

use crate::answerers::answerer;
use crate::tools::{Bench, said};
use crate::world::{World, authority, controller, domain, id, introduction, maker, owner, p256, status};

/// Findings that are not faults. RFC 5280, 4.2.1.6 allows any URI with a scheme; pkilint's parser does not know URNs.
const ALLOWED: [&str; 1] = ["pkix.invalid_uri_syntax"];

/// The path at which `tests/run` installs it.
fn program(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pkilint/bin").join(name)
}

/// Lints a file; returns the findings that are not allowed.
fn findings(bench: &Bench, linter: &str, arguments: &[&str], file: &str) -> Vec<String> {
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
    let certificate = ["-s", "NOTICE"];
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
        found.extend(findings(&bench, "lint_pkix_cert", &certificate, &format!("{name}.pem")));
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
        let file = format!("{name}{shard}.crl");
        bench.file("list.der", &list.der);
        bench.openssl(&format!("crl -inform DER -in list.der -out {file}"));
        found.extend(findings(bench, "lint_crl", &["-t", "CRL", "-p", "PKIX", "-s", "NOTICE"], &file));
    }
}

/// Lints the answers to all requests; returns the last one as openssl prints it.
fn answers(world: &World, bench: &Bench, name: &str, found: &mut Vec<String>) -> String {
    for (question, arguments) in QUESTIONS {
        bench.openssl(&format!("ocsp -issuer issuer.pem {arguments} -reqout request.der"));
        let answer = world.app.ocsp(Asker::Own, &domain(), &bench.read("request.der"), Depth::Store).expect("answers");
        let file = format!("{name}-{question}.ors");
        bench.file(&file, &answer.expect("an answer").der);
        bench.file("answer.der", &bench.read(&file));
        found.extend(findings(bench, "lint_ocsp_response", &["-s", "NOTICE"], &file));
    }
    bench.openssl("ocsp -respin answer.der -noverify -resp_text")
}
