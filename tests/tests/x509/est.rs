//! EST as strongSwan and curl speak it.

mod refused;

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::descriptor::{Compromise, Descriptor};
use ics_core::openpgp::signer::Signer as _;
use ics_core::time::Timestamp;
use ics_node::api::CertificateQuery;
use ics_node::app::{CertifyFault, EstRequest, Issued, Reader, Requester, Revoker};
use ics_node::tls::KeyPin;
use ics_node::x509::{Constraints, Reason, certificate_pem, issuer_id};

use crate::node::Node;
use crate::rotation::issuer_key;
use crate::tools::{Bench, said};
use crate::world::{
    DOMAIN, Shape, TOKEN, World, authority, controller, domain, id, introduction, maker, owner, sale, signer, status,
    wait, withdrawal,
};

fn url(node: &Node) -> String {
    format!("https://localhost:{}/.well-known/est/{DOMAIN}", node.port())
}

/// A device that left the factory with an IDevID in `idevid.pem` and `idevid.key`.
pub(crate) fn from_the_factory(world: &World, bench: &Bench) -> Issued {
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(7, "idevid", &bench.request("idevid", &[])).expect("is issued");
    bench.file("idevid.pem", certificate_pem(&issued.certificate).as_bytes());
    issued
}

/// The key of a request that was made on the bench.
pub(crate) fn key_of(bench: &Bench, name: &str) -> KeyPin {
    let key = format!("{name}.key");
    KeyPin::of(&bench.run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"]).stdout)
}

/// Enrols with curl; returns the status and the answer's text. A certificate is left in `answer.pem`.
pub(crate) fn enroll(bench: &Bench, node: &Node, path: &str, csr: &str, more: &[&str]) -> (String, String) {
    bench.openssl(&format!("base64 -A -in {csr} -out {csr}.b64"));
    let (url, body) = (format!("{}{path}", url(node)), format!("@{csr}.b64"));
    let mut arguments = vec!["--silent", "--cacert", "tls.pem", "--output", "answer", "--write-out", "%{http_code}"];
    arguments.extend(["--header", "Content-Type: application/pkcs10", "--data-binary", &body]);
    arguments.extend(more);
    arguments.push(&url);
    bench.file("answer", b"");
    let code = said(&bench.run("curl", &arguments));
    let answer = String::from_utf8_lossy(&bench.read("answer")).into_owned();
    if code == "200" {
        assert!(!answer.contains('\n'), "one line: {answer}");
        bench.openssl("base64 -d -A -in answer -out answer.p7");
        bench.openssl("pkcs7 -inform DER -in answer.p7 -print_certs -out answer.pem");
    }
    (code, answer)
}

const IDEVID: &[&str] = &["--cert", "idevid.pem", "--key", "idevid.key"];

#[test]
fn an_idevid_obtains_an_ldevid() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    bench.request("device", &[]);
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", IDEVID);
    assert_eq!(code, "200", "{answer}");
    bench.openssl("verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted issuer.pem answer.pem");
    let (code, answer) = enroll(&bench, &node, ":ocsp/simpleenroll", "device.csr", IDEVID);
    assert_eq!(code, "403", "it does not answer for the issuer: {answer}");

    std::fs::copy(bench.path().join("answer.pem"), bench.path().join("ldevid.pem")).expect("copies");
    bench.request("renewed", &[]);
    let own = &["--cert", "ldevid.pem", "--key", "device.key"];
    let (code, answer) = enroll(&bench, &node, "/simplereenroll", "renewed.csr", own);
    assert_eq!(code, "200", "{answer}");

    world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    let size = world.size();
    bench.request("late", &[]);
    for (path, shown) in [("/simpleenroll", IDEVID), ("/simplereenroll", own), (":server/simpleenroll", IDEVID)] {
        let (code, answer) = enroll(&bench, &node, path, "late.csr", shown);
        assert_eq!(code, "403", "no door is open to what is suspended: {answer}");
        assert!(answer.contains("suspended"), "{answer}");
    }
    assert_eq!(world.size(), size, "nothing is stored");
}

/// A certificate that was revoked for good does not authenticate again when the owners lift what revoked it.
#[test]
fn what_was_revoked_for_good_lets_nobody_in() {
    let (mut world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    bench.request("device", &[]);
    let destroyed = world.submit(vec![status(7, &owner(), "owner", "destroyed", &[])]);
    world.change(|descriptor| descriptor.lifted.extend(destroyed));
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", IDEVID);
    assert_eq!(code, "401", "{answer}");
    assert!(answer.contains("revoked for good"), "{answer}");
    let registrar = format!("SN-7:{TOKEN}");
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", &["--user", &registrar]);
    assert_eq!(code, "200", "who is asked for by others gets a new one: {answer}");
    std::fs::copy(bench.path().join("answer.pem"), bench.path().join("ldevid.pem")).expect("copies");
    bench.request("renewed", &[]);
    let own = &["--cert", "ldevid.pem", "--key", "device.key"];
    let (code, answer) = enroll(&bench, &node, "/simplereenroll", "renewed.csr", own);
    assert_eq!(code, "200", "{answer}");
}

/// A responder for a former issuer needs a certificate by that issuer; nobody else gets one from it.
#[test]
fn the_registrar_names_the_issuer_for_which_somebody_is_to_answer() {
    let (world, bench) = (World::new(), Bench::new());
    bench.file("former.pem", certificate_pem(&world.issuer).as_bytes());
    let former = issuer_id(&authority(&[&world.issuer, &world.root]));
    let world = world.rotated(issuer_key());
    bench.file("next.pem", certificate_pem(&world.issuer).as_bytes());
    let node = Node::start_tls(&world.app, &bench);
    bench.request("answers", &[]);
    let registrar = format!("SN-7:{TOKEN}");
    let ask =
        |label: &str| enroll(&bench, &node, &format!("{label}/simpleenroll"), "answers.csr", &["--user", &registrar]);
    for (label, expected) in [(format!(":ldevid:{former}"), "403"), (":ocsp:0123456789abcdef".to_owned(), "404")] {
        let (code, answer) = ask(&label);
        assert_eq!(code, expected, "{label}: {answer}");
    }
    for (label, issuer) in [(format!(":ocsp:{former}"), "former.pem"), (":ocsp".to_owned(), "next.pem")] {
        let (code, answer) = ask(&label);
        assert_eq!(code, "200", "{label}: {answer}");
        bench.openssl(&format!("verify -partial_chain -CAfile {issuer} answer.pem"));
    }
    let renewed = || {
        let page = world.app.certificates(Reader::Operator, &domain(), &CertificateQuery::default()).expect("a page");
        page.items.into_iter().filter(|it| it.renewed).count()
    };
    assert_eq!(renewed(), 0, "each is for the authority that gave it");
    ask(":ocsp");
    assert_eq!(renewed(), 1);
}

/// A client that asks for the authorities trusts all that it is told of.
#[test]
fn an_authority_whose_key_is_declared_compromised_is_named_to_nobody() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let issuer = world.app.record(Reader::Operator, &domain(), &id(7).to_string()).expect("a record");
    let signer = issuer.record.statements.iter().find(|it| it.by.index == issued.index).expect("is said").by.signer;
    let mut world = world.rotated(issuer_key());
    let node = Node::start_tls(&world.app, &bench);
    let told = || {
        let (url, out) = (format!("{}/cacerts", url(&node)), "got");
        bench.ok("curl", &["--silent", "--fail", "--cacert", "tls.pem", "--output", out, &url]);
        bench.openssl("base64 -d -A -in got -out got.der");
        bench.openssl("pkcs7 -inform DER -in got.der -print_certs").matches("subject=").count()
    };
    assert_eq!(told(), 3, "two and their root");
    let from_index = world.size();
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    assert_eq!(told(), 2);
}

/// A holder that renews with one key has had many certificates for it. One look tells whether it was given up.
#[test]
fn what_a_key_has_had_before_does_not_make_its_next_certificate_dear() {
    let (world, bench) = (World::new(), Bench::new());
    let shown = bench.request("shown", &[]);
    let (key, now) = (key_of(&bench, "shown"), world.app.clock().now());
    let ago = |hours: u64| Timestamp::from_millis(now.as_millis() - hours * 3_600_000);
    let over = (2..=120).map(|number| world.issued_for(key.as_bytes(), 7, number, (ago(2), ago(1)), "ldevid"));
    let bodies: Vec<_> = over.collect();
    for bodies in bodies.chunks(60) {
        world.submit([&[world.key.certificate.to_vec()], bodies].concat());
    }
    world.certify(7, "ldevid", &shown).expect("is issued");
    let csr = bench.request("device", &[]);
    let asked =
        EstRequest { domain: domain(), profile: "ldevid".to_owned(), issuer: None, proven: Some(key), basic: None };
    let text = STANDARD.encode(&csr);
    let took = |work: &dyn Fn()| {
        let took = |()| {
            let began = Instant::now();
            work();
            began.elapsed()
        };
        [(); 5].map(took).into_iter().min().expect("five")
    };
    let known = took(&|| drop(world.certify(7, "ldevid", &csr).expect("is issued")));
    let proven = took(&|| drop(wait(world.app.est_enroll(&asked, &text)).expect("is issued")));
    assert!(proven < known * 20, "{proven:?} with a look at the key, {known:?} without");
}

#[test]
fn strongswan_enrols_and_renews() {
    // strongSwan cannot read name constraints on addresses.
    let (world, bench) = (World::of(&Shape { constraints: Constraints::default(), ..Shape::new() }), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    let (url, registrar) = (format!("https://localhost:{}/x509/{DOMAIN}", node.port()), format!("SN-7:{TOKEN}"));
    bench.ok(
        "pki",
        &["--estca", "--url", &url, "--cacert", "tls.pem", "--caout", "swan.ca", "--outform", "pem", "--force"],
    );
    let found: Vec<String> = std::fs::read_dir(bench.path())
        .expect("a directory")
        .filter_map(|it| it.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("swan"))
        .collect();
    assert!(!found.is_empty(), "the authorities' certificates");
    bench.request("swan", &[]);
    let trusted = "--cacert tls.pem --cacert root.pem --cacert issuer.pem";
    let est = |csr: &str, shown: &[&str]| {
        let words = format!("--est --url {url} --in {csr} {trusted} --outform pem");
        bench.run("pki", &[&words.split(' ').collect::<Vec<_>>()[..], shown].concat())
    };
    let enrolled = est("swan.csr", &["--userpass", &registrar]);
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    bench.file("swan.pem", &enrolled.stdout);
    bench.openssl("verify -CAfile root.pem -untrusted issuer.pem swan.pem");
    bench.request("again", &[]);
    let renewed = est("again.csr", &["--cert", "swan.pem", "--key", "swan.key"]);
    assert!(renewed.status.success(), "{}", said(&renewed));
    bench.file("again.pem", &renewed.stdout);
    bench.openssl("verify -CAfile root.pem -untrusted issuer.pem again.pem");
}

#[test]
fn what_clients_are_told_before() {
    let (world, bench) = (World::new(), Bench::new());
    let node = Node::start_tls(&world.app, &bench);
    let get = |path: &str| {
        bench.ok(
            "curl",
            &["--silent", "--fail", "--cacert", "tls.pem", "--output", "got", &format!("{}{path}", url(&node))],
        );
        bench.openssl("base64 -d -A -in got -out got.der");
    };
    get("/cacerts");
    let text = bench.openssl("pkcs7 -inform DER -in got.der -print_certs");
    assert!(text.contains("Acme Root") && text.contains("Acme Issuing 1"), "{text}");
    get("/csrattrs");
    let text = bench.openssl("asn1parse -inform DER -in got.der");
    assert!(text.contains("id-ecPublicKey") && text.contains("prime256v1"), "{text}");
    let is_bare = |line: &str, name: &str| line.contains("d=1") && line.contains("OBJECT") && line.contains(name);
    for name in ["ED25519", "rsaEncryption"] {
        assert!(text.lines().any(|line| is_bare(line, name)), "{name}: {text}");
    }
    assert!(
        !text.lines().any(|line| line.contains("l=   0")),
        "a set has one value at least (RFC 7030, 4.5.2): {text}"
    );
}

#[test]
fn the_only_domain_that_issues_here_has_its_key_here() {
    let world = World::new();
    assert_eq!(world.app.only_issuing().expect("there is one"), domain());
    let former = world.key.clone();
    let world = world.rotated(issuer_key()).with_key(former);
    assert_eq!(world.app.only_issuing().expect("its next key has not come yet"), domain());
    let world = world.with_key(issuer_key());
    assert!(world.app.only_issuing().is_err(), "nobody can issue for it");
}
