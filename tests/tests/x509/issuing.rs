//! Certificates as openssl reads them, and the record that names them.

use ics_core::identity::{IdentityId, Kind, unnamed};
use ics_core::statement::{self, Body};
use ics_node::api::SubmissionResult;
use ics_node::app::{Reader, Requester, Revoker};
use ics_node::x509::{Reason, certificate_pem, sha256};

use crate::tools::Bench;
use crate::world::{World, controller, domain, id, maker, owner, status};
use ics_core::openpgp::signer::Signer as _;

fn trusted(bench: &Bench, world: &World) {
    bench.file("root.pem", certificate_pem(&world.root).as_bytes());
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
}

#[test]
fn openssl_believes_what_was_issued() {
    let (world, bench) = (World::new(), Bench::new());
    trusted(&bench, &world);
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    bench.file("device.pem", certificate_pem(&issued.certificate).as_bytes());
    bench.openssl("verify -x509_strict -purpose sslclient -CAfile root.pem -untrusted issuer.pem device.pem");
    let text = bench.openssl("x509 -in device.pem -noout -text");
    for expected in [
        "URI:urn:dev:os:32473-SN-7",
        "serialNumber = SN-7",
        "TLS Web Client Authentication",
        "Digital Signature",
        "CA:FALSE",
        "URI:http://pki.acme.example/x509/devices.acme.example/crl/",
        "OCSP - URI:http://pki.acme.example/x509/devices.acme.example/ocsp",
        &id(7).to_string(),
    ] {
        assert!(text.contains(expected), "`{expected}` is not in {text}");
    }
    assert!(!text.contains("pump-7.acme.example"), "the profile has no host names");
    let other = bench.run(
        "openssl",
        &["verify", "-purpose", "sslserver", "-CAfile", "root.pem", "-untrusted", "issuer.pem", "device.pem"],
    );
    assert!(!other.status.success(), "it serves clients only");
}

#[test]
fn an_idevid_is_what_ieee_802_1ar_says() {
    let (world, bench) = (World::new(), Bench::new());
    trusted(&bench, &world);
    let issued = world.certify(7, "idevid", &bench.request("device", &[])).expect("is issued");
    bench.file("device.pem", certificate_pem(&issued.certificate).as_bytes());
    bench.openssl("verify -x509_strict -CAfile root.pem -untrusted issuer.pem device.pem");
    let text = bench.openssl("x509 -in device.pem -noout -text");
    assert!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
    assert!(text.contains("othername: 1.3.6.1.5.5.7.8.4") || text.contains("othername:"), "{text}");
    let parsed = bench.openssl("asn1parse -in device.pem -strparse 4");
    assert!(!parsed.is_empty());
    assert_eq!(issued.not_after, None);
}

#[test]
fn a_server_gets_the_host_names_that_it_asks_for() {
    let (world, bench) = (World::new(), Bench::new());
    trusted(&bench, &world);
    let request = bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let issued = world.certify(7, "server", &request).expect("is issued");
    let pem = [&certificate_pem(&issued.certificate), &*issued.authority.pem].concat();
    bench.file("server.pem", pem.as_bytes());
    bench.openssl("verify -x509_strict -purpose sslserver -verify_hostname pump-7.acme.example -CAfile root.pem -untrusted issuer.pem server.pem");
    assert_eq!(issued.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["host:pump-7.acme.example"]);
}

/// Nobody could take a name back: the statement names the thing by its key alone. The record has the name from whoever
/// introduced the thing.
#[test]
fn what_an_issuer_says_for_ever_does_not_say_what_the_thing_is_called() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let revoked = world.revoke(&issued.serial, Revoker::Key, Reason::KeyCompromise).expect("is revoked");
    let IdentityId::Key(key) = id(7) else { panic!("it has a key") };
    for index in [issued.index, revoked] {
        let body = world.app.entry(Reader::Operator, &domain(), index).expect("it is there").body;
        let Ok(Body::Statement(said)) = statement::parse(&body) else { panic!("no statement") };
        assert_eq!(said.subject().title(), unnamed(Kind::Device, &key), "{}", said.claims().act);
    }
    let known = world.app.record(Reader::Operator, &domain(), &id(7).to_string()).expect("a record");
    assert_eq!(known.record.title, "Pump 7");
}

/// Firmware writes what the device is called, and cannot be changed. None of it goes into the certificate.
#[test]
fn a_common_name_that_is_no_host_asks_for_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    for (name, common) in [("version", "Acme Pump 7.5"), ("mail", "dev@acme.example"), ("number", "Pump-7.5")] {
        let request = bench.request(name, &["-subj", &format!("/CN={common}/serialNumber=SN-7")]);
        let issued = world.certify(7, "ldevid", &request).expect(common);
        assert_eq!(issued.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["serial:SN-7"]);
        bench.file("named.pem", certificate_pem(&issued.certificate).as_bytes());
        let text = bench.openssl("x509 -in named.pem -noout -text");
        assert!(!text.contains(common) && text.contains(&format!("CN = {}", id(7))), "{text}");
    }
    for (host, is_its) in [("pump-7.acme.example", true), ("pump-8.acme.example", false)] {
        let issued = world.certify(7, "server", &bench.request(host, &["-subj", &format!("/CN={host}")]));
        assert_eq!(issued.is_ok(), is_its, "{host}");
    }
}

#[test]
fn one_query_spans_openpgp_and_x509() {
    let (world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let spki = bench.run("openssl", &["pkey", "-in", "device.key", "-pubout", "-outform", "DER"]).stdout;
    let hex = |bytes: [u8; 32]| data_encoding::HEXLOWER.encode(&bytes);
    for name in [
        format!("serial:{}", issued.serial),
        format!("spki:{}", hex(sha256(&spki))),
        format!("cert:{}", hex(sha256(&issued.certificate))),
    ] {
        let answer = world.app.record(Reader::Anonymous, &domain(), &name).expect(&name);
        assert_eq!(answer.record.identity.id, id(7), "{name}");
        let certificate = &answer.record.certificates.first().expect("is named").value;
        assert_eq!(certificate.serial.to_string(), format!("serial:{}", issued.serial));
        assert!(!answer.record.names.iter().any(|given| given.value == certificate.serial), "it is not the thing's");
    }
    assert_eq!(world.app.holder_of(&domain(), sha256(&spki)).expect("one"), id(7));
}

#[test]
fn who_may_ask() {
    let (world, bench) = (World::new(), Bench::new());
    let by = |signer: ics_core::openpgp::signer::Ed25519Signer| Requester::Signer(signer.public_key().fingerprint());
    let request = bench.request("device", &[]);
    world.certify_as(by(maker()), id(7), "ldevid", &request).expect("the profile names the manufacturer");
    for stranger in [by(owner()), by(controller()), Requester::Identity(id(8))] {
        let refused = world.certify_as(stranger, id(7), "ldevid", &request).expect_err("no right");
        assert_eq!(refused.fault(), ics_node::app::CertifyFault::Denied, "{refused}");
    }
}

#[test]
fn what_is_blocked_gets_none_until_it_is_lifted() {
    let (world, bench) = (World::new(), Bench::new());
    let request = bench.request("device", &[]);
    let suspended = world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    for profile in ["ldevid", "idevid", "server"] {
        let refused = world.certify(7, profile, &request).expect_err("it is suspended");
        assert!(refused.to_string().contains("suspended"), "{refused}");
    }
    let SubmissionResult::Problem(problem) = world.claim_issued(7) else { panic!("the log itself must refuse it") };
    assert_eq!(problem.code(), "issued-to-blocked", "{}", problem.detail);
    world.submit(vec![status(7, &owner(), "owner", "in-use", &suspended)]);
    world.certify(7, "ldevid", &request).expect("the owner has lifted it");
}
