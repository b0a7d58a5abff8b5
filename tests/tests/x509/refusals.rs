//! What nobody gets: the protocol's own error comes back; nothing is issued or stored.

use std::collections::BTreeSet;

use ics_core::descriptor::Compromise;
use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::ProfileName;
use ics_node::api::CertificateQuery;
use ics_node::api::problem::Code;
use ics_node::app::{AppError, CertifyFault, Reader, Requester, Revoker};
use ics_node::x509::{Csr, Given, LeafError, Reason, SerialNumber};

use crate::tools::Bench;
use crate::world::{
    DOMAIN, Shape, World, authority, controller, domain, id, introduction, maker, owner, revoked, status, withdrawal,
};

/// Asks for a certificate that must be refused, with this fault and these words. The log must not change.
fn refused(world: &World, profile: &str, csr: &[u8], fault: CertifyFault, words: &str) {
    let size = world.size();
    let error = world.certify(7, profile, csr).expect_err(words);
    assert_eq!(error.fault(), fault, "{error}");
    assert!(error.to_string().contains(words), "`{words}` is not in `{error}`");
    assert_eq!(world.size(), size, "nothing is stored");
}

#[test]
fn requests_that_prove_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    let good = bench.request("device", &[]);
    let mut bad = good.clone();
    if let Some(last) = bad.last_mut() {
        *last ^= 1;
    }
    refused(&world, "ldevid", &bad, CertifyFault::Request, "");
    refused(&world, "ldevid", &good[..good.len() - 4], CertifyFault::Request, "not a certificate request");
    refused(&world, "ldevid", b"", CertifyFault::Request, "not a certificate request");
    refused(&world, "ldevid", &[good.as_slice(), b"\0"].concat(), CertifyFault::Request, "not a certificate request");
    refused(&world, "ldevid", &vec![0x30; limits::CSR_BYTES + 1], CertifyFault::Request, "the limit is");
    world.certify(7, "ldevid", &good).expect("the good one is good");
}

#[test]
fn requests_for_what_nobody_gets() {
    let (world, bench) = (World::new(), Bench::new());
    for (name, more, fault, words) in [
        (
            "authority",
            &["-addext", "basicConstraints=CA:TRUE"][..],
            CertifyFault::Request,
            "asks for the certificate of",
        ),
        ("signer", &["-addext", "keyUsage=keyCertSign"], CertifyFault::Request, "key usage of an authority"),
        ("code", &["-addext", "extendedKeyUsage=codeSigning"], CertifyFault::Request, "extended key usage"),
        ("server", &["-addext", "extendedKeyUsage=serverAuth"], CertifyFault::Request, "for the use `server`"),
        ("staple", &["-addext", "tlsfeature=status_request"], CertifyFault::Request, "1.3.6.1.5.5.7.1.24"),
        ("unknown", &["-addext", "1.3.6.1.4.1.32473.7=DER:0500"], CertifyFault::Request, "1.3.6.1.4.1.32473.7"),
        ("mail", &["-addext", "subjectAltName=email:a@acme.example"], CertifyFault::Name, "mail address"),
        ("web", &["-addext", "subjectAltName=URI:https://acme.example"], CertifyFault::Name, "not a URN"),
        ("other", &["-addext", "subjectAltName=URI:urn:dev:os:32473-SN-8"], CertifyFault::Name, "no right to the name"),
        ("serial", &["-subj", "/serialNumber=SN-8"], CertifyFault::Name, "no right to the name `serial:SN-8`"),
    ] {
        refused(&world, "ldevid", &bench.request(name, more), fault, words);
    }
    let unnamed = bench.request("unnamed", &[]);
    refused(&world, "no-such", &unnamed, CertifyFault::Denied, "no certificates of the profile");
}

#[test]
fn weak_keys_and_keys_of_others() {
    let (mut world, bench) = (World::new(), Bench::new());
    for (name, arguments) in [
        ("small", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024"),
        ("three", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"),
        ("koblitz", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"),
        ("narrow", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-192"),
    ] {
        bench.openssl(&format!("{arguments} -out {name}.key"));
        refused(&world, "ldevid", &bench.request_again(name, &[]), CertifyFault::Key, "");
    }
    bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out sound.key");
    world.certify(7, "ldevid", &bench.request_again("sound", &[])).expect("a sound RSA key is taken");
    world.submit(vec![introduction(8, &["serial:SN-8"]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    let size = world.size();
    let error = world.certify(8, "ldevid", &bench.request_again("sound", &[])).expect_err("it is another's key");
    assert_eq!((error.fault(), world.size()), (CertifyFault::Key, size), "{error}");
    world.change(|descriptor| {
        let profiles = descriptor.certificates.as_mut().map(|it| &mut it.profiles);
        for profile in profiles.into_iter().flat_map(|it| it.values_mut()) {
            profile.keys.retain(|key| key.as_str() == "p384");
        }
    });
    refused(&world, "ldevid", &bench.request("p256", &[]), CertifyFault::Key, "not allow keys of the kind p256");
}

#[test]
fn names_outside_of_the_issuers_constraints() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![introduction(
        9,
        &["serial:SN-9", "host:pump-9.evil.example", "host:x.secret.acme.example", "host:127.0.0.9", "host:10.0.0.9"],
    )]);
    world.submit(vec![status(9, &maker(), "manufacturer", "in-use", &[])]);
    for (name, host, taken) in [
        ("evil", "DNS:pump-9.evil.example", false),
        ("secret", "DNS:x.secret.acme.example", false),
        ("far", "IP:10.0.0.9", false),
        ("near", "IP:127.0.0.9", true),
    ] {
        let request = bench.request(name, &["-addext", &format!("subjectAltName={host}")]);
        let size = world.size();
        match world.certify(9, "server", &request) {
            Ok(_) => assert!(taken, "{host}"),
            Err(error) => {
                assert_eq!((error.fault(), taken, world.size()), (CertifyFault::Name, false, size), "{host}: {error}");
                assert!(error.to_string().contains("the issuer's own certificate"), "{error}");
            }
        }
    }
}

/// Serial numbers are each maker's own, and in a subject the thing's id stands beside them; but a hardware module, or a
/// permanent identifier, is one thing.
#[test]
fn a_serial_number_that_two_things_have_identifies_neither() {
    let (world, bench) = (World::new(), Bench::new());
    let names = "[req]\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n[ext]\n\
                 subjectAltName = otherName:1.3.6.1.5.5.7.8.3;SEQUENCE:permanent\n[permanent]\nvalue = UTF8:SN-7\n";
    bench.file("permanent.cnf", names.as_bytes());
    let (plain, permanent) = (bench.request("device", &[]), bench.request("permanent", &["-config", "permanent.cnf"]));
    let other = world.submit(vec![introduction(8, &["serial:SN-7"])]);
    for (profile, csr) in [("idevid", &plain), ("ldevid", &permanent)] {
        refused(&world, profile, csr, CertifyFault::Name, "another thing has the serial number `serial:SN-7` as well");
    }
    world.certify(7, "ldevid", &plain).expect("its id is in it");
    world.submit(vec![withdrawal(8, &other)]);
    for (profile, csr) in [("idevid", &plain), ("ldevid", &permanent)] {
        world.certify(7, profile, csr).expect("no other has it now");
    }
}

/// It is not a failure of the node, after which clients would try again.
#[test]
fn an_authority_that_has_ended_issues_nothing() {
    let (world, bench) = (World::of(&Shape { days: 0, ..Shape::new() }), Bench::new());
    let csr = bench.request("device", &[]);
    refused(&world, "ldevid", &csr, CertifyFault::Unknown, "`ics ca import` lets another issue");
}

/// Whoever got such a certificate could not use it.
#[test]
fn an_authority_that_has_not_begun_issues_nothing() {
    let (world, bench) = (World::new(), Bench::new());
    let rules = world.descriptor.certificates.as_ref().expect("it issues");
    let profile = rules.profiles.get(&"ldevid".parse::<ProfileName>().expect("a name")).expect("it is there");
    let csr = Csr::parse(&bench.request("device", &[])).expect("a request");
    let (authority, id, names) = (authority(&[&world.issuer, &world.root]), id(7), BTreeSet::new());
    let given = Given { authority: &authority, rules, profile, id: &id, names: &names };
    let begins = |at| given.leaf(&csr, SerialNumber::new([5; 20]), at).map(|leaf| leaf.not_before);
    let first = authority.not_before;
    assert_eq!(begins(first), Ok(first));
    let before = Timestamp::from_millis(first.as_millis() - 1);
    assert_eq!(begins(before), Err(LeafError::IssuerNotYet(first)));
}

/// No other request would change that, and waiting does.
#[test]
fn an_authority_that_is_about_to_begin_is_waited_for() {
    const HOUR: u64 = 3_600_000;
    let (mut world, bench) = (World::new(), Bench::new());
    let csr = bench.request("device", &[]);
    world.begin_at(world.app.clock().now().plus_millis(HOUR));
    let size = world.size();
    let error = world.certify(7, "ldevid", &csr).expect_err("nobody could use it yet");
    assert!(error.to_string().contains("is yet to come"), "{error}");
    assert_eq!((AppError::from(error).code(), world.size()), (Code::Behind, size));
    let clock = world.app.clock();
    assert!(clock.learn_stored(&domain(), clock.now().plus_millis(HOUR)), "it is as late as that");
    world.certify(7, "ldevid", &csr).expect("it has begun");
}

/// A replaced thing has nobody who vouches for it either.
#[test]
fn what_a_status_blocks_is_refused_for_that() {
    let (world, bench) = (World::new(), Bench::new());
    let introduced = world.submit(vec![introduction(8, &["serial:SN-8"])]);
    world.submit(vec![status(8, &controller(), "security-controller", "suspended", &[]), withdrawal(8, &introduced)]);
    let error = world.certify(8, "ldevid", &bench.request("device", &[])).expect_err("it is blocked");
    assert!(error.to_string().contains("its status is `suspended`"), "{error}");
}

/// Whoever has such a certificate can say `good` about the things of others.
#[test]
fn nothing_answers_ocsp_because_it_is_in_use() {
    let (mut world, bench) = (World::new(), Bench::new());
    let csr = bench.request("answers", &[]);
    refused(&world, "ocsp", &csr, CertifyFault::Denied, "roles that the profile lists in `requesters`");
    let by = |signer: &dyn Signer| Requester::Signer(signer.public_key().fingerprint());
    for other in [by(&controller()), by(&owner())] {
        let error = world.certify_as(other, id(7), "ocsp", &csr).expect_err("the profile does not name the role");
        assert_eq!(error.fault(), CertifyFault::Denied, "{error}");
    }
    world.certify_as(by(&maker()), id(7), "ocsp", &csr).expect("the profile names the role");
    // As `ics ca import` makes it: no signer may ask.
    world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        profiles.values_mut().for_each(|profile| profile.requesters.clear());
    });
    let error = world.certify_as(by(&maker()), id(7), "ocsp", &csr).expect_err("nobody is named");
    assert_eq!(error.fault(), CertifyFault::Denied, "{error}");
    refused(&world, "ocsp", &csr, CertifyFault::Denied, "roles that the profile lists in `requesters`");
    world.certify_as(Requester::Operator, id(7), "ocsp", &csr).expect("the operator may");
}

/// The signer loses every right that depends on a role, over every protocol.
#[test]
fn a_signer_whose_key_is_declared_compromised_has_no_role_over_certificates() {
    let (mut world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let (watches, csr) = (controller().public_key().fingerprint(), bench.request("other", &[]));
    world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        profiles.values_mut().for_each(|it| it.requesters = ["security-controller".parse().expect("a role")].into());
    });
    let by = Requester::Signer(watches);
    let declared = |world: &mut World, name: &str, from_index| {
        world.change(|descriptor| {
            let compromise = Compromise { signer: watches, domain: name.parse().expect("a domain"), from_index };
            descriptor.compromised = vec![compromise];
        });
    };
    declared(&mut world, DOMAIN, 1_000);
    world.certify_as(by, id(7), "ldevid", &csr).expect("it is not compromised yet");
    for (name, from_index) in [(DOMAIN, world.size()), ("other.example", 1_000)] {
        declared(&mut world, name, from_index);
        let size = world.size();
        let error = world.certify_as(by, id(7), "ldevid", &csr).expect_err("whoever has the key");
        assert_eq!(error.fault(), CertifyFault::Denied, "{error}");
        let revoker = Revoker::Requester(by);
        let error = world.revoke(&issued.serial, revoker, Reason::PrivilegeWithdrawn).expect_err("whoever has the key");
        assert_eq!((error.fault(), world.size()), (CertifyFault::Denied, size), "{error}");
    }
}

/// The log accepts nothing from the signer either.
#[test]
fn a_signer_whose_certificate_is_revoked_has_no_role_over_certificates() {
    let (mut world, bench) = (World::new(), Bench::new());
    let issued = world.certify(7, "ldevid", &bench.request("device", &[])).expect("is issued");
    let by = Requester::Signer(controller().public_key().fingerprint());
    world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        profiles.values_mut().for_each(|it| it.requesters = ["security-controller".parse().expect("a role")].into());
    });
    let csr = bench.request("other", &[]);
    world.certify_as(by, id(7), "ldevid", &csr).expect("the profile names the role");
    world.submit(vec![revoked(2, "Controller")]);
    let size = world.size();
    let error = world.certify_as(by, id(7), "ldevid", &csr).expect_err("whoever has the key");
    assert_eq!(error.fault(), CertifyFault::Denied, "{error}");
    let revoked = world.revoke(&issued.serial, Revoker::Requester(by), Reason::PrivilegeWithdrawn);
    let error = revoked.expect_err("whoever has the key");
    assert_eq!((error.fault(), world.size()), (CertifyFault::Denied, size), "{error}");
}

/// Looking at what was issued takes longer than looking at nothing, so nothing is looked at for readers whom the rules
/// show nothing.
#[test]
fn no_certificate_is_looked_at_for_readers_to_whom_the_rules_show_nothing() {
    let mut world = World::new();
    let now = world.app.clock().now();
    world.claim_period(7, 1, (now, now.plus_millis(3_600_000)), "ldevid");
    let page = |world: &World, reader| world.app.certificates(reader, &domain(), &CertificateQuery::default());
    assert_eq!(page(&world, Reader::Anonymous).expect("a page").items.len(), 1, "anybody may read all");
    world.hide();
    // The statement about the issuing comes before the descriptor.
    world.rewrite(1, b"unreadable");
    let shown = page(&world, Reader::Anonymous).expect("a page");
    assert_eq!((shown.items.len(), shown.next), (0, None));
    page(&world, Reader::Operator).expect_err("it is looked at for the operator");
}
