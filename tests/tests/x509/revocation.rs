//! A status becomes a revocation at once, for openssl, gnutls and nginx alike, and ends with it.

mod for_good;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::StatementId;
use ics_node::api::{CertificateQuery, CertificateState};
use ics_node::app::{CertifyFault, Issued, IssuerKey, Reader, Requester, Revoker};
use ics_node::x509::{Reason, certificate_pem, issuer_id};

use crate::node::Node;
use crate::tools::{Bench, said};
use crate::world::{World, authority, claimed, controller, domain, id, introduction, maker, owner, p256, status};

/// Writes the files that every relying party has, and issues a certificate to the device.
pub(crate) fn issued(world: &World, bench: &Bench) -> Issued {
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    bench.file("device.pem", certificate_pem(&issued.certificate).as_bytes());
    issued
}

pub(crate) fn suspend(world: &World) -> Vec<StatementId> {
    world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])])
}

pub(crate) fn lift(world: &World, ends: &[StatementId]) {
    world.submit(vec![status(7, &owner(), "owner", "in-use", ends)]);
}

/// The number of the list that would contain a certificate.
fn shard(issued: &Issued) -> u8 {
    issued.serial.bucket() % 4
}

/// Writes the list of a certificate, as the node serves it, to `device.crl`.
pub(crate) fn list(world: &World, bench: &Bench, shard: u8) -> String {
    let issuer = issuer_id(&authority(&[&world.issuer, &world.root]));
    let list = world.list(&issuer, shard).expect("a list");
    bench.file("device.crl.der", &list.der);
    bench.openssl("crl -inform DER -in device.crl.der -out device.crl");
    bench.openssl("crl -in device.crl -noout -text -CAfile issuer.pem")
}

const VERIFY: &str =
    "verify -x509_strict -crl_check -CAfile root.pem -untrusted issuer.pem -CRLfile device.crl device.pem";

fn verifies(bench: &Bench) -> Result<(), String> {
    let output = bench.run("openssl", &VERIFY.split(' ').collect::<Vec<_>>());
    if output.status.success() { Ok(()) } else { Err(said(&output)) }
}

#[test]
fn a_list_follows_the_status() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = issued(&world, &bench);
    let text = list(&world, &bench, shard(&issued));
    assert!(text.contains("verify OK") && text.contains("No Revoked Certificates"), "{text}");
    assert!(text.contains("X509v3 Issuing Distribution Point: critical"), "{text}");
    assert_eq!(verifies(&bench), Ok(()));

    let suspended = suspend(&world);
    let text = list(&world, &bench, shard(&issued));
    assert!(text.contains(&issued.serial.to_string().to_uppercase()) && text.contains("Certificate Hold"), "{text}");
    assert!(verifies(&bench).expect_err("it is revoked").contains("revoked"));
    let other = list(&world, &bench, (shard(&issued) + 1) % 4);
    assert!(other.contains("No Revoked Certificates"), "the other lists are as they were: {other}");
    assert!(verifies(&bench).expect_err("another list").contains("CRL"), "a list for others proves nothing");

    lift(&world, &suspended);
    list(&world, &bench, shard(&issued));
    assert_eq!(verifies(&bench), Ok(()), "a hold ends with the suspension");
}

/// What `openssl ocsp` prints about the device's certificate.
pub(crate) fn asked(bench: &Bench, node: &Node, more: &str) -> String {
    let (url, more) = (node.x509("ocsp"), if more.is_empty() { String::new() } else { format!(" {more}") });
    let trusted = "-CAfile root.pem -verify_other issuer.pem";
    let arguments = format!("ocsp{more} -issuer issuer.pem -cert device.pem {trusted} -url {url}");
    said(&bench.run("openssl", &arguments.split(' ').collect::<Vec<_>>()))
}

#[test]
fn ocsp_follows_the_status() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let node = Node::start(&world.app);
    for more in ["", "-no_nonce", "-sha256", "-sha256 -no_nonce"] {
        let text = asked(&bench, &node, more);
        assert!(text.contains("Response verify OK") && text.contains("device.pem: good"), "{more}: {text}");
        assert!(!text.contains("WARNING"), "a nonce comes back: {text}");
    }
    // Within a second: on a busy machine one of several times is enough.
    let (mut took, mut before, mut suspended) = (Duration::MAX, Vec::new(), Vec::new());
    for _ in 0..5 {
        let begun = Instant::now();
        suspended = world.submit(vec![status(7, &controller(), "security-controller", "suspended", &before)]);
        let text = asked(&bench, &node, "-no_nonce");
        took = took.min(begun.elapsed());
        assert!(text.contains("device.pem: revoked") && text.contains("certificateHold"), "{text}");
        if took < Duration::from_secs(1) {
            break;
        }
        // Said again in place of that, it is another statement.
        before.clone_from(&suspended);
        lift(&world, &suspended);
    }
    assert!(took < Duration::from_secs(1), "within a second: {took:?}");
    let ask = format!("--ask={}", node.x509("ocsp"));
    let gnutls = ["--load-issuer", "issuer.pem", "--load-cert", "device.pem", "--load-trust", "issuer.pem"];
    let gnutls = || said(&bench.run("ocsptool", &[&[ask.as_str()], &gnutls[..]].concat()));
    let text = gnutls();
    assert!(text.contains("Certificate Status: revoked"), "{text}");
    lift(&world, &suspended);
    let text = gnutls();
    assert!(text.contains("Certificate Status: good") && text.contains("Success"), "{text}");

    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let base64 = STANDARD.encode(bench.read("request.der")).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let headers = bench.ok(
        "curl",
        &["--silent", "--fail", "--dump-header", "-", "--output", "answer.der", &node.x509(&format!("ocsp/{base64}"))],
    );
    assert!(headers.contains("application/ocsp-response") && headers.contains("etag"), "{headers}");
    let trusted = "-CAfile root.pem -verify_other issuer.pem";
    let text = bench.openssl(&format!("ocsp -respin answer.der -issuer issuer.pem -cert device.pem {trusted}"));
    assert!(text.contains("device.pem: good"), "{text}");
}

/// The headers and body of an answer, without the date of the answer itself.
fn fetched(bench: &Bench, url: &str, more: &[&str]) -> (Vec<String>, Vec<u8>) {
    let common = ["--silent", "--dump-header", "-", "--output", "answer.der", url];
    let headers = bench.ok("curl", &[&common[..], more].concat());
    let mut headers: Vec<String> =
        headers.lines().map(str::trim).filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
    headers.sort();
    (headers, bench.read("answer.der"))
}

/// Day, month, year and time, which HTTP and openssl write in different orders.
fn parts(date: &str) -> std::collections::BTreeSet<&str> {
    let words = date.split(' ').filter(|word| !word.is_empty() && !word.ends_with(','));
    words.map(|word| word.trim_start_matches('0')).collect()
}

/// An answer is repeated, in front of the router and to POST, but never once something has changed.
#[test]
fn the_same_bytes_get_the_same_answer_until_the_status_changes() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let node = Node::start(&world.app);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let base64 = STANDARD.encode(bench.read("request.der")).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let url = node.x509(&format!("ocsp/{base64}"));
    let get = |more: &[&str]| fetched(&bench, &url, more);
    let body = ["--header", "Content-Type: application/ocsp-request", "--data-binary", "@request.der"];
    let post = || fetched(&bench, &node.x509("ocsp"), &body).1;
    let first = get(&[]);
    let routed = ["--header", "If-None-Match: W/\"another\""];
    for other in [get(&[]), get(&routed), get(&["--header", "Accept: application/ocsp-response"])] {
        assert_eq!(other, first);
    }
    assert_eq!((post(), post()), (first.1.clone(), first.1.clone()));

    // RFC 5019, 6.2.
    let header = |name: &str| first.0.iter().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
    let text = bench.openssl("ocsp -respin answer.der -noverify -resp_text");
    let said = |what: &str| text.lines().find_map(|line| line.trim().strip_prefix(what)).expect(what).to_owned();
    assert_eq!(parts(&header("last-modified:")), parts(&said("This Update:")), "{text}");
    assert_eq!(parts(&header("expires:")), parts(&said("Next Update:")), "{text}");
    assert!(header("cache-control:").contains("max-age=0"), "a cache asks again each time");
    let same = get(&["--header", &format!("If-None-Match: {}", header("etag:"))]);
    assert!(same.0.iter().any(|line| line.starts_with("HTTP/1.1 304")), "{same:?}");

    let suspended = suspend(&world);
    for answer in [get(&[]).1, post()] {
        assert_ne!(answer, first.1);
        bench.file("answer.der", &answer);
        assert!(bench.openssl("ocsp -respin answer.der -noverify -resp_text").contains("Cert Status: revoked"));
    }
    lift(&world, &suspended);
    get(&[]);
    assert!(bench.openssl("ocsp -respin answer.der -noverify -resp_text").contains("Cert Status: good"));
}

#[test]
fn what_ocsp_does_not_answer() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let node = Node::start(&world.app);
    let ask = |arguments: &str| {
        let arguments = format!("ocsp -issuer issuer.pem {arguments} -CAfile root.pem -url {}", node.x509("ocsp"));
        said(&bench.run("openssl", &arguments.split_whitespace().collect::<Vec<_>>()))
    };
    assert!(ask("-serial 0x4102030405060708090a0b0c0d0e0f1011121314").contains("unauthorized"), "never given out");
    assert!(ask("-serial 1").contains("unauthorized"), "no number of ours");
    bench.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Other -keyout other.key -out other.pem",
    );
    let other = format!("ocsp -issuer other.pem -cert device.pem -url {}", node.x509("ocsp"));
    assert!(
        said(&bench.run("openssl", &other.split(' ').collect::<Vec<_>>())).contains("unauthorized"),
        "another issuer"
    );
    for (name, body) in [("none", Vec::new()), ("noise", vec![0xff; 64]), ("large", vec![0x30; 8192])] {
        bench.file("bad.der", &body);
        let asks = ["--data-binary", "@bad.der", "--header", "Content-Type: application/ocsp-request"];
        bench.ok("curl", &[&asks[..], &["--silent", "--output", "bad.out", &node.x509("ocsp")]].concat());
        // OCSPResponse { malformedRequest } (RFC 6960, 4.2.1).
        assert_eq!(bench.read("bad.out"), [0x30, 0x03, 0x0a, 0x01, 0x01], "{name}");
    }
}

#[test]
fn who_may_revoke_and_why() {
    let (world, bench) = (World::new(), Bench::new());
    let by = |signer: &ics_core::openpgp::signer::Ed25519Signer| {
        Revoker::Requester(Requester::Signer(signer.public_key().fingerprint()))
    };
    let holder = Revoker::Requester(Requester::Identity(id(7)));
    let first = issued(&world, &bench);
    let revoke = |revoker, reason| world.revoke(&first.serial, revoker, reason);
    for (revoker, reason, fault) in [
        (by(&controller()), Reason::KeyCompromise, CertifyFault::Reason),
        (by(&owner()), Reason::Superseded, CertifyFault::Reason),
        (by(&controller()), Reason::CertificateHold, CertifyFault::Reason),
        (holder, Reason::KeyCompromise, CertifyFault::Reason),
        (Revoker::Requester(Requester::Identity(id(8))), Reason::Superseded, CertifyFault::Denied),
        (by(&crate::world::signer(44)), Reason::PrivilegeWithdrawn, CertifyFault::Denied),
    ] {
        let size = world.size();
        let error = revoke(revoker, reason).expect_err("no right");
        assert_eq!((error.fault(), world.size()), (fault, size), "{revoker:?} {reason}: {error}");
    }
    revoke(Revoker::Key, Reason::KeyCompromise).expect("whoever has the key may say that another has it too");
    assert_eq!(revoke(holder, Reason::Superseded).expect_err("once").fault(), CertifyFault::Already);
    let text = list(&world, &bench, shard(&first));
    assert!(text.contains("Key Compromise"), "{text}");
    let again = world.certify(7, "ldevid", &bench.request_again("device", &[])).expect_err("the key is blocked");
    assert_eq!(again.fault(), CertifyFault::Key, "{again}");
    let second = world.certify(7, "ldevid", &bench.request("second", &[])).expect("a new key is none");
    let revoke = |revoker, reason| world.revoke(&second.serial, revoker, reason);
    revoke(by(&owner()), Reason::CessationOfOperation).expect("an owner may");
    for request in [bench.request_again("second", &[]), bench.request("third", &[])] {
        let refused = world.certify(7, "ldevid", &request).expect_err("its owner has said that it shall have none");
        assert!(refused.to_string().contains("a newer status that permits lifts it"), "{refused}");
    }
    world.submit(vec![status(7, &owner(), "owner", "in-use", &[])]);
    let third = world.certify(7, "ldevid", &bench.request_again("second", &[])).expect("that says nothing of the key");
    assert_ne!(third.serial, second.serial);
}

#[test]
fn a_recall_of_a_lot_reaches_its_certificates() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![
        crate::world::of_lot(9, "L1", &["serial:SN-9"]),
        status(9, &maker(), "manufacturer", "in-use", &[]),
    ]);
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(9, "ldevid", &bench.request("device", &[])).expect("is issued");
    bench.file("device.pem", certificate_pem(&issued.certificate).as_bytes());
    let before = list(&world, &bench, shard(&issued));
    assert!(before.contains("No Revoked Certificates"), "{before}");
    world.submit(vec![crate::world::recall("L1")]);
    let after = list(&world, &bench, shard(&issued));
    assert!(after.contains(&issued.serial.to_string().to_uppercase()), "{after}");
    let node = Node::start(&world.app);
    assert!(asked(&bench, &node, "-no_nonce").contains("revoked"));
}

/// For example, it was put into that lot by mistake: it may be used again, but the published revocation stays.
#[test]
fn what_was_revoked_with_a_lot_stays_so_when_the_thing_leaves_it() {
    let (world, bench) = (World::new(), Bench::new());
    let lot = |lot: &str| crate::world::of_lot(9, lot, &["serial:SN-9"]);
    let first = world.submit(vec![lot("L1"), status(9, &maker(), "manufacturer", "in-use", &[])]);
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(9, "ldevid", &bench.request("device", &[])).expect("is issued");
    let is_listed = || {
        let text = list(&world, &bench, shard(&issued));
        text.contains(&issued.serial.to_string().to_uppercase()) && text.contains("Cessation Of Operation")
    };
    world.submit(vec![crate::world::status_of(crate::world::recalled(Some("L1")), "destroyed")]);
    assert!(is_listed(), "its lot is destroyed");
    world.submit(vec![crate::world::withdrawal(9, &first[..1]), lot("L2")]);
    assert!(is_listed(), "and it is of another one");
    world.certify(9, "ldevid", &bench.request("new", &[])).expect("nothing blocks it");
    assert!(is_listed(), "a new one takes no other's place");
}

#[test]
fn another_key_issues_and_the_former_one_answers_for_what_it_has_issued() {
    let (world, bench) = (World::new(), Bench::new());
    let former = (issued(&world, &bench), world.issuer.clone());
    let key = p256();
    let certificate = Certificate::make(&*key, "Acme Issuing 2", world.app.clock().now(), &[4; 32]).expect("OpenPGP");
    let world = world.rotated(IssuerKey { signer: key, certificate: certificate.into(), answers_by: None });
    bench.file("issuer-2.pem", certificate_pem(&world.issuer).as_bytes());
    let next = (world.certify(7, "ldevid", &bench.request("next", &[])).expect("is issued"), world.issuer.clone());
    bench.file("next.pem", certificate_pem(&next.0.certificate).as_bytes());
    bench.openssl("verify -x509_strict -CAfile root.pem -untrusted issuer-2.pem next.pem");
    bench.openssl("verify -x509_strict -CAfile root.pem -untrusted issuer.pem device.pem");

    let node = Node::start(&world.app);
    let answer = |issuer: &str, device: &str| {
        let (url, trusted) = (node.x509("ocsp"), format!("-CAfile root.pem -verify_other {issuer}"));
        bench.openssl(&format!("ocsp -no_nonce -issuer {issuer} -cert {device} {trusted} -url {url}"))
    };
    let is_listed = |(issued, issuer): &(Issued, Vec<u8>)| {
        let issuer = issuer_id(&authority(&[issuer, &world.root]));
        let list = world.list(&issuer, shard(issued)).expect("a list");
        list.der.windows(20).any(|octets| octets == issued.serial.as_bytes())
    };
    let files = [("issuer.pem", "device.pem"), ("issuer-2.pem", "next.pem")];
    for (issuer, device) in files {
        assert!(answer(issuer, device).contains(&format!("{device}: good")), "{device}");
    }
    assert_eq!([&former, &next].map(is_listed), [false, false]);
    suspend(&world);
    for (issuer, device) in files {
        assert!(answer(issuer, device).contains(&format!("{device}: revoked")), "{device}");
    }
    assert_eq!([&former, &next].map(is_listed), [true, true]);
}

#[test]
fn an_introduction_that_is_taken_back_is_a_hold() {
    let (world, bench) = (World::new(), Bench::new());
    let ids =
        world.submit(vec![introduction(12, &["serial:SN-12"]), status(12, &maker(), "manufacturer", "in-use", &[])]);
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    let issued = world.certify(12, "ldevid", &bench.request("device", &[])).expect("is issued");
    let introduced = ids.first().copied().into_iter().collect::<Vec<_>>();
    world.submit(vec![crate::world::withdrawal(12, &introduced)]);
    let text = list(&world, &bench, shard(&issued));
    assert!(text.contains("Certificate Hold"), "{text}");
}

/// Look-ups read the newest entries in parts, and a part may contain nothing of what is sought.
#[test]
fn a_revocation_among_much_that_was_issued_just_now_is_listed() {
    let (world, bench) = (World::new(), Bench::new());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    // All on other lists, which nobody asks for.
    let others: Vec<u8> = (100..=200).filter(|seed| seed % 4 != 7 % 4).collect();
    world.submit(others.iter().map(|seed| introduction(*seed, &[&format!("serial:SN-{seed}")])).collect());
    let now = world.app.clock().now();
    let period = (now, now.plus_millis(86_400_000));
    let issued = (0..1100).zip(others.into_iter().cycle()).chain([(1100, 7)]);
    let bodies: Vec<_> = issued.map(|(number, seed)| world.issued(seed, number, period, "ldevid")).collect();
    for bodies in bodies.chunks(100) {
        world.submit([&[world.key.certificate.to_vec()], bodies].concat());
    }
    let serial = claimed(7, 1100);
    let shard = serial.bucket() % 4;
    let is_listed = || list(&world, &bench, shard).contains(&serial.to_string().to_uppercase());
    assert!(!is_listed());
    suspend(&world);
    assert!(is_listed());
}

/// Personal data in a name is erased, and the thing introduced again without it: its certificates work as before.
#[test]
fn a_thing_that_was_introduced_anew_after_an_erasure() {
    let (world, bench) = (World::new(), Bench::new());
    let introduced = world.size() - 2;
    let first = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    world.erase(introduced);
    world.submit(vec![introduction(7, &["urn:dev:os:32473-SN-7"])]);
    let second = world.certify(7, "ldevid", &bench.request("again", &[])).expect("is issued");
    for serial in [&first.serial, &second.serial] {
        world.revoke(serial, Revoker::Key, Reason::KeyCompromise).expect("is revoked");
    }
}
