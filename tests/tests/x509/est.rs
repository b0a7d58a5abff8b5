//! EST as strongSwan and curl speak it.

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

/// A device with its IDevID in `idevid.pem` and `idevid.key`, as it left the factory.
pub(crate) fn from_the_factory(world: &World, bench: &Bench) -> Issued {
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(7, "idevid", &bench.request("idevid", &[])).expect("is issued");
    bench.file("idevid.pem", certificate_pem(&issued.certificate).as_bytes());
    issued
}

/// The key of a request that was made there.
fn key_of(bench: &Bench, name: &str) -> KeyPin {
    let key = format!("{name}.key");
    KeyPin::of(&bench.run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER"]).stdout)
}

/// Enrols with curl; the status, and the certificate in `answer.pem` if there is one.
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

/// A certificate that was revoked for good opens no door when the owners lift what revoked it.
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

#[test]
fn who_is_not_let_in() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    bench.request("device", &[]);
    bench.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout stranger.key -out stranger.pem");
    let registrar = format!("SN-7:{TOKEN}");
    let size = world.size();
    for (path, csr, shown, expected) in [
        ("/simpleenroll", "device.csr", &[][..], "401"),
        ("/simpleenroll", "device.csr", &["--cert", "stranger.pem", "--key", "stranger.key"], "401"),
        (
            "/simplereenroll",
            "device.csr",
            &["--cert", "stranger.pem", "--key", "stranger.key", "--user", &registrar],
            "401",
        ),
        (
            "/simpleenroll",
            "device.csr",
            &["--cert", "stranger.pem", "--key", "stranger.key", "--user", "SN-7:wrong"],
            "401",
        ),
        ("/simpleenroll", "device.csr", &["--user", "SN-7:wrong"], "401"),
        ("/simplereenroll", "device.csr", &["--user", &registrar], "401"),
        (":none/simpleenroll", "device.csr", IDEVID, "403"),
        (":server/simpleenroll", "stranger.pem", IDEVID, "400"),
        ("/simpleenroll", "idevid.key", IDEVID, "400"),
    ] {
        let (code, answer) = enroll(&bench, &node, path, csr, shown);
        assert_eq!(code, expected, "{path} {csr} {shown:?}: {answer}");
    }
    bench.file("large.csr", &[0x30; 25_000]);
    assert_eq!(enroll(&bench, &node, "/simpleenroll", "large.csr", IDEVID).0, "413");
    assert_eq!(world.size(), size, "nothing is stored");
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", &["--user", &registrar]);
    assert_eq!(code, "200", "the registrar knows the device: {answer}");
    bench.request("other", &[]);
    let both = ["--cert", "stranger.pem", "--key", "stranger.key", "--user", &registrar];
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "other.csr", &both);
    assert_eq!(code, "200", "a certificate that says nothing takes nothing from the password: {answer}");
    // CMS, whole or broken, is what comes back, and no request.
    let size = world.size();
    let mut broken = bench.read("answer.p7");
    std::fs::copy(bench.path().join("answer.p7"), bench.path().join("whole.p7")).expect("copies");
    broken.truncate(broken.len() / 2);
    bench.file("broken.p7", &broken);
    for cms in ["whole.p7", "broken.p7"] {
        let (code, answer) = enroll(&bench, &node, "/simpleenroll", cms, IDEVID);
        assert_eq!(code, "400", "{cms}: {answer}");
    }
    assert_eq!(world.size(), size, "nothing is stored");
}

/// Who answers OCSP for a former issuer needs a certificate of that one, and nobody else gets one of it.
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

/// Whoever asks which authorities there are believes all that he is told of.
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

/// Who introduces a thing of his own with another's host gets no certificate for that host, nor does anybody else.
#[test]
fn a_host_that_two_things_have_is_certified_to_neither() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    let csr = bench.request("device", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    world.certify(7, "server", &csr).expect("its own host");
    world.submit(vec![
        introduction(8, &["host:pump-7.acme.example", "host:pump-8.acme.example"]),
        status(8, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let same = bench.request("same", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    for (seed, csr) in [(7, &csr), (8, &same)] {
        let refused = world.certify(seed, "server", csr).expect_err("whose it is, is not known");
        assert_eq!(refused.fault(), CertifyFault::Name, "{refused}");
    }
    let (code, answer) = enroll(&bench, &node, ":server/simpleenroll", "device.csr", IDEVID);
    assert_eq!(code, "400", "{answer}");
    assert!(answer.contains("two things"), "{answer}");
    let issued = world.certify(8, "server", &bench.request("other", &[])).expect("what is its alone");
    let names: Vec<String> = issued.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["host:pump-8.acme.example"]);
}

/// Others may have it, and come with it.
#[test]
fn a_key_that_was_given_up_obtains_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    let first = from_the_factory(&world, &bench);
    world.certify(7, "idevid", &bench.request_again("idevid", &[])).expect("another one of the same key");
    let node = Node::start_tls(&world.app, &bench);
    for (device, code) in [("device", "200"), ("again", "401")] {
        bench.request(device, &[]);
        let (got, answer) = enroll(&bench, &node, "/simpleenroll", &format!("{device}.csr"), IDEVID);
        assert_eq!(got, code, "{answer}");
        let _once_only = world.revoke(&first.serial, Revoker::Key, Reason::KeyCompromise);
    }
}

/// Whoever has it may have got certificates for other keys with it, and comes with one of those.
#[test]
fn a_thing_whose_own_key_was_given_up_obtains_nothing_with_another_one() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let own = world.certify(7, "ldevid", &bench.request_of(7)).expect("a certificate of its own key");
    let node = Node::start_tls(&world.app, &bench);
    bench.request("device", &[]);
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", IDEVID);
    assert_eq!(code, "200", "{answer}");

    world.revoke(&own.serial, Revoker::Key, Reason::KeyCompromise).expect("its holder may");
    let size = world.size();
    bench.request("again", &[]);
    for path in ["/simpleenroll", "/simplereenroll"] {
        let (code, answer) = enroll(&bench, &node, path, "again.csr", IDEVID);
        assert_eq!(code, "401", "{path}: {answer}");
        assert!(answer.contains("the own key of") && answer.contains("was given up as compromised"), "{answer}");
    }
    assert_eq!(world.size(), size, "nothing is stored");
    let registrar = format!("SN-7:{TOKEN}");
    let (code, answer) = enroll(&bench, &node, "/simpleenroll", "again.csr", &["--user", &registrar]);
    assert_eq!(code, "200", "whoever knows it by other means may ask for it: {answer}");
}

/// Whoever renews with one key has had many certificates of it. Whether it was given up, one look at the record says.
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
        [(), ()].map(took).into_iter().min().expect("two")
    };
    let known = took(&|| drop(world.certify(7, "ldevid", &csr).expect("is issued")));
    let proven = took(&|| drop(wait(world.app.est_enroll(&asked, &text)).expect("is issued")));
    assert!(proven < known * 20, "{proven:?} with a look at the key, {known:?} without");
}

/// Whoever asks for a certificate of another thing would take the one of his own thing for it.
#[test]
fn a_subject_that_is_another_thing_is_refused() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    world.submit(vec![introduction(8, &["serial:SN-8", "urn:dev:os:32473-SN-8", "host:pump-8"])]);
    let size = world.size();
    let ask = |name: &str, common: &str, shown: &[&str]| {
        bench.request(name, &["-subj", &format!("/CN={common}")]);
        enroll(&bench, &node, "/simpleenroll", &format!("{name}.csr"), shown)
    };
    let other = id(8).to_string();
    for (number, common) in
        ["SN-8", "serial:SN-8", "urn:dev:os:32473-SN-8", "pump-8", other.as_str()].iter().enumerate()
    {
        let (code, answer) = ask(&format!("other-{number}"), common, IDEVID);
        assert_eq!(code, "400", "{common}: {answer}");
        assert!(answer.contains("the name of another thing") && answer.contains(common), "{answer}");
    }
    let (code, answer) = ask("meant", "SN-8", &["--user", "SN-7:wrong"]);
    assert_eq!(code, "401", "who shows nothing learns nothing: {answer}");
    assert_eq!(world.size(), size, "nothing is stored");
    let own = id(7).to_string();
    let its = ["SN-7", "serial:SN-7", "urn:dev:os:32473-SN-7", own.as_str(), "Pump 7", "SN-9"];
    for (number, common) in its.iter().enumerate() {
        let (code, answer) = ask(&format!("own-{number}"), common, IDEVID);
        assert_eq!(code, "200", "{common}: {answer}");
    }
}

/// What was replaced names its key no more, and it is not that nobody knows it.
#[test]
fn a_key_of_what_is_blocked_is_told_that() {
    let (world, bench) = (World::new(), Bench::new());
    let introduced = world.submit(vec![introduction(8, &["serial:SN-8"])]);
    world.submit(vec![status(8, &controller(), "security-controller", "suspended", &[]), withdrawal(8, &introduced)]);
    let own = signer(8).public_key().to_spki_der().expect("an SPKI");
    let (domain, profile, proven) = (domain(), "ldevid".to_owned(), Some(KeyPin::of(&own)));
    let asked = EstRequest { domain, profile, issuer: None, proven, basic: None };
    let text = STANDARD.encode(bench.request("device", &[]));
    let refused = wait(world.app.est_enroll(&asked, &text)).expect_err("it is suspended");
    assert!(refused.to_string().contains("its status is `suspended`"), "{refused}");
}

/// Each of the names is known.
#[test]
fn names_of_several_things_are_told_as_that() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![introduction(8, &["serial:SN-8", "urn:dev:os:32473-SN-8"])]);
    let refused = |name: &str, also: &str| {
        let names = format!("subjectAltName=URI:urn:dev:os:32473-SN-7,URI:urn:dev:os:32473-{also}");
        let text = STANDARD.encode(bench.request(name, &["-addext", &names]));
        let (domain, profile) = (domain(), "ldevid".to_owned());
        let basic = Some(("SN-7".to_owned(), TOKEN.to_owned()));
        let asked = EstRequest { domain, profile, issuer: None, proven: None, basic };
        wait(world.app.est_enroll(&asked, &text)).expect_err("a certificate is for one thing").to_string()
    };
    let several = refused("both", "SN-8");
    assert!(several.contains("no one thing has all of them"), "{several}");
    let unknown = refused("none", "SN-9");
    assert!(unknown.contains("SN-9") && !unknown.contains("SN-7"), "{unknown}");
}

/// A role that was granted ends, and what its holder had certified in it stays: by its key he would speak on.
#[test]
fn who_had_a_role_over_a_thing_is_not_the_thing() {
    let (mut world, bench) = (World::new(), Bench::new());
    let profiles = |descriptor: &mut Descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        profiles.values_mut().for_each(|it| it.requesters.extend(["owner".parse().expect("a role")]));
    };
    world.change(profiles);
    world.submit(vec![sale(7, &controller())]);
    let buyer = Requester::Signer(controller().public_key().fingerprint());
    let factory = Requester::Signer(maker().public_key().fingerprint());
    let text = STANDARD.encode(bench.request("device", &[]));
    for (requester, name, is_the_thing) in [(buyer, "bought", false), (factory, "made", true)] {
        let csr = bench.request(name, &[]);
        world.certify_as(requester, id(7), "ldevid", &csr).expect("the profile names the role");
        let (profile, proven) = ("ldevid".to_owned(), Some(key_of(&bench, name)));
        let asked = EstRequest { domain: domain(), profile, issuer: None, proven, basic: None };
        let enrolled = wait(world.app.est_enroll(&asked, &text));
        assert_eq!(enrolled.is_ok(), is_the_thing, "{name}: {enrolled:?}");
    }
}

/// A registrar passes on what a device has written.
#[test]
fn a_registrar_who_means_another_thing_than_the_request_gets_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![introduction(8, &["serial:SN-8"])]);
    let request = bench.request("device", &["-addext", "subjectAltName=URI:urn:dev:os:32473-SN-7"]);
    let text = STANDARD.encode(request);
    let enroll = |named: &str| {
        let basic = Some((named.to_owned(), TOKEN.to_owned()));
        let asked = EstRequest { domain: domain(), profile: "ldevid".to_owned(), issuer: None, proven: None, basic };
        wait(world.app.est_enroll(&asked, &text))
    };
    let size = world.size();
    let refused = enroll("SN-8").expect_err("the request is of SN-7");
    assert!(refused.to_string().contains("the registrar names `SN-8`, which is another thing"), "{refused}");
    enroll("SN-9").expect_err("nobody is called so");
    assert_eq!(world.size(), size, "nothing is stored");
    for named in ["SN-7", ""] {
        enroll(named).expect("it is of the thing that is meant, or of no other");
    }
}

/// "No record" would send whoever has such a key to ask for a record, and that is the one thing there is too much of.
#[test]
fn what_two_records_name_shows_no_thing_and_is_told_as_that() {
    let (world, bench) = (World::new(), Bench::new());
    let (key, now) = (KeyPin::of(b"the key of two devices"), world.app.clock().now());
    let period = (now, now.plus_millis(3_600_000));
    let issued = |seed: u8, number: u16| world.issued_for(key.as_bytes(), seed, number, period, "ldevid");
    let certificate = world.key.certificate.to_vec();
    world.submit(vec![certificate, introduction(8, &["serial:SN-7"]), issued(7, 1), issued(8, 2)]);
    let text = STANDARD.encode(bench.request("device", &[]));
    let enroll = |proven: Option<KeyPin>, basic: Option<(&str, &str)>| {
        let basic = basic.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let asked = EstRequest { domain: domain(), profile: "ldevid".to_owned(), issuer: None, proven, basic };
        wait(world.app.est_enroll(&asked, &text))
    };
    let refused = enroll(Some(key), None).expect_err("nobody knows which of them comes");
    assert_eq!(refused.fault(), CertifyFault::Unproven, "{refused}");
    assert!(refused.to_string().contains("more than one record here names the key"), "{refused}");
    let none = enroll(Some(KeyPin::of(b"another key")), None).expect_err("no record names it");
    assert!(none.to_string().contains("no record here names the key"), "{none}");
    for proven in [None, Some(key)] {
        let refused = enroll(proven, Some(("SN-7", TOKEN))).expect_err("two have that serial number");
        assert!(refused.to_string().contains("more than one record here names `SN-7`"), "{refused}");
        enroll(proven, Some(("urn:dev:os:32473-SN-7", TOKEN))).expect("the registrar means one of them");
    }
}

#[test]
fn strongswan_enrols_and_renews() {
    // It reads no name constraints on addresses.
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
    let enrolled = bench.run(
        "pki",
        &[
            "--est",
            "--url",
            &url,
            "--in",
            "swan.csr",
            "--cacert",
            "tls.pem",
            "--cacert",
            "root.pem",
            "--cacert",
            "issuer.pem",
            "--userpass",
            &registrar,
            "--outform",
            "pem",
        ],
    );
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    bench.file("swan.pem", &enrolled.stdout);
    bench.openssl("verify -CAfile root.pem -untrusted issuer.pem swan.pem");
    bench.request("again", &[]);
    let renewed = bench.run(
        "pki",
        &[
            "--est",
            "--url",
            &url,
            "--in",
            "again.csr",
            "--cacert",
            "tls.pem",
            "--cacert",
            "root.pem",
            "--cacert",
            "issuer.pem",
            "--cert",
            "swan.pem",
            "--key",
            "swan.key",
            "--outform",
            "pem",
        ],
    );
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
