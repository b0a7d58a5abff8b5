//! Who gets nothing over EST, and what they are told.

use ics_core::limits;
use ics_node::api::problem::Code;
use ics_node::app::AppError;

use super::*;

#[test]
fn clients_that_are_not_let_in() {
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
    // CMS, whole or broken, is what comes back, not a request.
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

/// Whoever may ask gets nothing for them either.
#[test]
fn requests_that_are_refused_whoever_makes_them() {
    let (world, bench) = (World::new(), Bench::new());
    from_the_factory(&world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    let size = world.size();
    let mut forged = bench.request("forged", &[]);
    *forged.last_mut().expect("bytes") ^= 1;
    bench.file("forged.csr", &forged);
    bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key");
    bench.request_again("weak", &[]);
    bench.request("another", &["-addext", "subjectAltName=URI:urn:dev:os:32473-SN-8"]);
    bench.request("unknown", &["-addext", "1.3.6.1.4.1.32473.7=DER:0500"]);
    for (csr, words) in [
        ("forged", "is not signed with its own key"),
        ("weak", "the key in the request is not accepted"),
        ("another", "SN-8"),
        ("unknown", "1.3.6.1.4.1.32473.7"),
    ] {
        for path in ["/simpleenroll", "/simplereenroll"] {
            let (code, answer) = enroll(&bench, &node, path, &format!("{csr}.csr"), IDEVID);
            assert!(code == "400" && answer.contains(words), "{path} {csr}: {code} {answer}");
        }
    }
    assert_eq!(world.size(), size, "nothing is stored");
    // A host that is its own, but that the issuer may not certify.
    let other = status(9, &maker(), "manufacturer", "in-use", &[]);
    world.submit(vec![introduction(9, &["serial:SN-9", "host:pump-9.evil.example"]), other]);
    let size = world.size();
    bench.request("outside", &["-addext", "subjectAltName=DNS:pump-9.evil.example"]);
    let registrar = format!("SN-9:{TOKEN}");
    let (code, answer) = enroll(&bench, &node, ":server/simpleenroll", "outside.csr", &["--user", &registrar]);
    assert!(code == "400" && answer.contains("does not let it certify"), "{code} {answer}");
    assert_eq!(world.size(), size, "nothing is stored");
}

/// If a thing is introduced with another thing's host, nobody gets a certificate for that host.
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

/// Others may have the key, and use it to authenticate.
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

/// A thief of the key may have got certificates for other keys with it, and authenticate with one of those.
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

/// A client asking for a certificate of another thing would take one of its own thing for it.
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
        assert!(answer.contains("names another thing") && answer.contains(common), "{answer}");
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

/// A replaced thing no longer names its key, but the answer must not be that the key is unknown.
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
    assert!(several.contains("no single thing has all of them"), "{several}");
    let unknown = refused("none", "SN-9");
    assert!(unknown.contains("SN-9") && !unknown.contains("SN-7"), "{unknown}");
}

/// A granted role ends, but what its holder had certified in it stays: with that key, the former holder could speak on.
#[test]
fn a_former_holder_of_a_role_over_a_thing_is_not_the_thing() {
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
    let (profile, basic) = ("ldevid".to_owned(), Some((String::new(), TOKEN.to_owned())));
    let asked = EstRequest { domain: domain(), profile, issuer: None, proven: None, basic };
    let refused = wait(world.app.est_enroll(&asked, &STANDARD.encode(bench.request("nameless", &[]))));
    let refused = refused.expect_err("nobody says which thing is meant");
    assert_eq!(refused.fault(), CertifyFault::Name, "{refused}");
    assert!(refused.to_string().contains("A registrar says which thing"), "{refused}");
}

/// A gateway that enrols devices may show a certificate of its own along with the token.
#[test]
fn a_registrar_who_is_a_thing_gets_no_certificate_for_the_key_of_another() {
    let (world, bench) = (World::new(), Bench::new());
    world.submit(vec![introduction(8, &["serial:SN-8"]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    world.certify(8, "ldevid", &bench.request("gateway", &[])).expect("is issued");
    let (text, proven) = (STANDARD.encode(bench.request("device", &[])), Some(key_of(&bench, "gateway")));
    let enroll = |password: &str| {
        let basic = Some(("SN-7".to_owned(), password.to_owned()));
        let asked = EstRequest { domain: domain(), profile: "ldevid".to_owned(), issuer: None, proven, basic };
        wait(world.app.est_enroll(&asked, &text))
    };
    let size = world.size();
    let refused = enroll("the token of last year").expect_err("it is not the registrar's");
    assert_eq!((refused.fault(), world.size()), (CertifyFault::Unproven, size), "{refused}");
    enroll(TOKEN).expect("is issued");
    let page = world.app.certificates(Reader::Operator, &domain(), &CertificateQuery::default()).expect("a page");
    assert_eq!(page.items.last().map(|it| it.id.clone()), Some(id(7).to_string()));
}

/// "No record" would make the holder of such a key ask for a record, of which there is already one too many.
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

/// What is hidden from a client must not count as another thing. Looking at it would take longer than finding nothing.
#[test]
fn of_what_is_hidden_nothing_is_looked_at_for_a_subject() {
    let (mut world, bench) = (World::new(), Bench::new());
    world.certify(7, "ldevid", &bench.request("shown", &[])).expect("is issued");
    world.submit(vec![introduction(8, &["serial:SN-8"])]);
    world.hide();
    world.rewrite(1, b"unreadable");
    let text = STANDARD.encode(bench.request("device", &["-subj", "/CN=SN-8"]));
    let (profile, proven) = ("ldevid".to_owned(), Some(key_of(&bench, "shown")));
    let asked = EstRequest { domain: domain(), profile, issuer: None, proven, basic: None };
    wait(world.app.est_enroll(&asked, &text)).expect("is issued");
}

/// Whoever has stolen its key would otherwise fill its record, or try out what it may have.
#[test]
fn a_thing_asks_no_more_often_than_it_may() {
    let (world, bench) = (World::new(), Bench::new());
    let other = STANDARD.encode(bench.request("other", &["-addext", "subjectAltName=DNS:other.acme.example"]));
    let text = STANDARD.encode(bench.request("device", &[]));
    let ask = |text: &str, proven: Option<KeyPin>, basic: Option<(String, String)>| {
        let asked = EstRequest { domain: domain(), profile: "ldevid".to_owned(), issuer: None, proven, basic };
        wait(world.app.est_enroll(&asked, text))
    };
    let own = KeyPin::of(&signer(7).public_key().to_spki_der().expect("an SPKI"));
    for number in 0..limits::EST_REQUESTS_OF_ONE {
        let refused = ask(&other, Some(own), None).expect_err("it is not its name");
        assert_eq!(refused.fault(), CertifyFault::Name, "{number}: {refused}");
    }
    // While it asks, it earns another request now and then.
    let refused = |_| AppError::from(ask(&other, Some(own), None).expect_err("never"));
    let late = (0..limits::EST_REQUESTS_OF_ONE).map(refused).find(|refused| refused.code() == Code::TooManyRequests);
    assert!(late.is_some_and(|late| late.retry_after() > Some(0)), "it has asked too often, and is told when to come");
    let registrar = Some(("SN-7".to_owned(), TOKEN.to_owned()));
    ask(&text, None, registrar).expect("the registrar asks for it");
}
