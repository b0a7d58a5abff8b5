//! Who answers OCSP: a key that the issuer has certified for that, while its certificate lasts; and how many answers of
//! their own clients get.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_core::time::Timestamp;
use ics_core::vocabulary::ProfileName;
use ics_node::app::{
    Application, Asker, CertifyFault, Depth, IssuerKey, OcspAnswer, Reader, Requester, ResponderCertificate,
};
use ics_node::x509::{Csr, Given, OcspError, SerialNumber, ca_request, certificate_pem, issuer_id};

use crate::node::Node;
use crate::revocation::{asked, issued, suspend};
use crate::rotation::issuer_key;
use crate::tools::Bench;
use crate::world::{World, authority, controller, domain, id, introduction, maker, owner, p256, status, wait};

const HOUR: u64 = 3_600_000;

/// A key that answers with the certificate in a file.
pub(crate) fn answerer(key: Arc<dyn Signer + Send + Sync>, file: &Path) -> IssuerKey {
    let answers_by = ResponderCertificate::read(file, &*key).expect("a certificate of that key");
    IssuerKey { signer: key, certificate: Vec::new().into(), answers_by: Some(answers_by) }
}

/// A responder's certificate in DER, as the issuer made it at this time; the domain's last seven days.
fn certified_at(world: &World, key: &dyn Signer, at: Timestamp) -> Vec<u8> {
    let rules = world.descriptor.certificates.as_ref().expect("it issues");
    let profile = rules.profiles.get(&"ocsp".parse::<ProfileName>().expect("a name")).expect("it is there");
    let csr = Csr::parse(&ca_request(key, "answers", None).expect("a request")).expect("a request");
    let (authority, id, names) = (authority(&[&world.issuer, &world.root]), id(7), BTreeSet::new());
    let given = Given { authority: &authority, rules, profile, id: &id, names: &names };
    let leaf = given.leaf(&csr, SerialNumber::new([5; 20]), at).expect("a certificate");
    leaf.sign(&*world.key.signer).expect("signs")
}

/// A responder's certificate in a file, for another thing than the device.
fn certify_answerer(world: &World, bench: &Bench, key: &dyn Signer) -> PathBuf {
    world.submit(vec![introduction(8, &[]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    let request = ca_request(key, "answers", None).expect("a request");
    let issued = world.certify_as(Requester::Operator, id(8), "ocsp", &request).expect("is issued");
    bench.file("ocsp.der", &issued.certificate)
}

/// Clients that read its answers do not ask whether its own certificate is revoked.
#[test]
fn nobody_answers_by_a_certificate_that_is_revoked() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let delegate = p256();
    let file = certify_answerer(&world, &bench, &*delegate);
    let world = world.with_key(answerer(delegate, &file));
    let node = Node::start(&world.app);
    let ask = || asked(&bench, &node, "-no_nonce");
    assert!(ask().contains("device.pem: good"));
    let alarms = || {
        let alarms = world.app.domain(&domain()).expect("is here").alarms;
        alarms.iter().filter(|alarm| alarm.kind == "responder-revoked").count()
    };
    assert_eq!(alarms(), 0);
    let suspended = world.submit(vec![status(8, &controller(), "security-controller", "suspended", &[])]);
    for _ in 0..2 {
        assert!(ask().contains("unauthorized"), "also what it has signed before is not given any more");
    }
    let until = Instant::now() + Duration::from_secs(60);
    while alarms() == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(alarms(), 1, "it is told once");
    world.submit(vec![status(8, &owner(), "owner", "in-use", &suspended)]);
    assert!(ask().contains("device.pem: good"), "a hold ends");
}

/// A node without the issuer's key, but with one that the issuer has certified for answering.
#[test]
fn a_delegate_answers_where_the_issuer_is_not() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let certified = |world: &World, key: &dyn Signer| certify_answerer(world, &bench, key);
    let delegate = p256();
    let file = certified(&world, &*delegate);
    let world = world.with_key(answerer(delegate, &file));
    let node = Node::start(&world.app);
    let text = asked(&bench, &node, "-no_nonce");
    assert!(text.contains("Response verify OK") && text.contains("device.pem: good"), "{text}");
    suspend(&world);
    assert!(asked(&bench, &node, "-no_nonce").contains("device.pem: revoked"));
    let refused = world.certify(7, "ldevid", &bench.request("other", &[])).expect_err("it issues nothing");
    assert_eq!(refused.fault(), CertifyFault::Node, "{refused}");

    drop(node);
    let stranger = p256();
    let file = certified(&World::new(), &*stranger);
    let world = world.with_key(answerer(stranger, &file));
    let node = Node::start(&world.app);
    assert!(asked(&bench, &node, "-no_nonce").contains("unauthorized"), "a key that another issuer has certified");
}

/// Only the authority of a certificate can entitle a responder for it (RFC 6960, 4.2.2.2), even when another authority
/// now issues.
#[test]
fn a_delegate_answers_for_a_former_issuer_by_what_that_one_has_given_it() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    let former = issuer_id(&authority(&[&world.issuer, &world.root]));
    let world = world.rotated(issuer_key());
    let next = world.certify(7, "ldevid", &bench.request("next", &[])).expect("is issued");
    let delegate = p256();
    let request = ca_request(&*delegate, "answers", None).expect("a request");
    let certify = |profile: &str, issuer: Option<&str>| {
        let (domain, profile) = (domain(), profile.parse::<ProfileName>().expect("a name"));
        let (requester, identity) = (Requester::Operator, id(7));
        let application = Application { domain: &domain, requester, identity, profile: &profile, issuer };
        wait(world.app.certify(&application, &request))
    };
    let refused = certify("ldevid", Some(&former)).expect_err("it certifies nothing else");
    assert_eq!(refused.fault(), CertifyFault::Denied, "{refused}");
    let of = |file: &str, issuer| bench.file(file, &certify("ocsp", issuer).expect("is issued").certificate);
    let files = [of("next.der", None), of("former.der", Some(former.as_str()))];

    let world = world.with_key(answerer(Arc::clone(&delegate), &files[0]));
    let node = Node::start(&world.app);
    let text = asked(&bench, &node, "-no_nonce");
    assert!(text.contains("unauthorized"), "the issuer of now entitles nobody to speak for another: {text}");
    drop(node);
    let world = world.with_keys(files.iter().map(|file| answerer(Arc::clone(&delegate), file)).collect());
    let node = Node::start(&world.app);
    let is_good = || {
        let text = asked(&bench, &node, "-no_nonce");
        assert!(text.contains("Response verify OK") && text.contains("device.pem: good"), "{text}");
    };
    is_good();
    bench.file("issuer.pem", certificate_pem(&world.issuer).as_bytes());
    bench.file("device.pem", certificate_pem(&next.certificate).as_bytes());
    is_good();
}

#[test]
fn a_node_that_no_longer_answers_for_a_former_issuer_reports_it_too() {
    let (world, bench) = (World::new(), Bench::new());
    let (key, now) = (p256(), world.app.clock().now());
    let began = Timestamp::from_seconds((now.as_millis() - 6 * 24 * HOUR) / 1000);
    let former = bench.file("former.der", &certified_at(&world, &*key, began));
    let world = world.rotated(issuer_key());
    let next = bench.file("next.der", &certified_at(&world, &*key, now));
    let world = world.with_keys([next, former].iter().map(|file| answerer(Arc::clone(&key), file)).collect());
    let ends = began.plus_millis(7 * 24 * HOUR);
    assert_eq!(world.app.responders_end(), [(domain(), ends)]);
    let (at, alerts) = world.app.look_at_expiries(None, 30).expect("looks");
    let told: Vec<_> = alerts.iter().map(|alert| alert.responder_ends).collect();
    assert_eq!(told, [Some(ends)]);
    assert_eq!(world.app.look_at_expiries(Some(at), 30).expect("looks").1, [], "it was told");
}

#[test]
fn the_end_of_an_answerers_certificate_is_told_until_a_newer_one_is_read() {
    let (world, bench) = (World::new(), Bench::new());
    let (key, now) = (p256(), world.app.clock().now());
    let days_ago = |days: u64| Timestamp::from_seconds((now.as_millis() - days * 24 * HOUR) / 1000);
    // Seven days: the last quarter begins after five and a quarter.
    let [first, last, next] = [5, 6, 0].map(|days| certified_at(&world, &*key, days_ago(days)));
    let strangers = certified_at(&world, &*p256(), now);
    let ends = |days: u64| days_ago(days).plus_millis(7 * 24 * HOUR);
    let file = bench.file("ocsp.pem", certificate_pem(&first).as_bytes());
    let world = world.with_key(answerer(key, &file));
    let app = &world.app;
    let certificates = app.responder_certificates();
    let [certificate] = certificates.as_slice() else { panic!("one: {certificates:?}") };
    let told = |since| {
        let (at, alerts) = app.look_at_expiries(since, 30).expect("looks");
        (at, alerts.iter().map(|alert| alert.responder_ends.expect("nothing else ends")).collect::<Vec<_>>())
    };
    assert_eq!(told(None).1, [], "it may be renewed in time");

    bench.file("ocsp.pem", certificate_pem(&last).as_bytes());
    certificate.read_again().expect("a certificate of that key");
    let (at, news) = told(None);
    assert_eq!(news, [ends(6)]);
    assert_eq!(told(Some(at)).1, [], "it was told");

    // An unusable certificate leaves the former one in place.
    for (wrong, why) in [(&strangers[..], "another key"), (b"nothing", "not an X.509 certificate")] {
        bench.file("ocsp.pem", wrong);
        let refused = certificate.read_again().expect_err("it is no good");
        assert!(refused.contains(why), "{refused}");
        assert_eq!(app.responders_end(), [(domain(), ends(6))]);
    }
    bench.file("ocsp.pem", certificate_pem(&next).as_bytes());
    certificate.read_again().expect("a certificate of that key");
    assert_eq!(app.responders_end(), [(domain(), ends(0))]);
    assert_eq!(told(None).1, []);
}

/// Nobody would believe it after that.
#[test]
fn no_answer_outlives_the_certificate_by_which_it_is_given() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    bench.openssl("ocsp -issuer issuer.pem -cert device.pem -no_nonce -reqout request.der");
    let (key, now) = (p256(), world.app.clock().now());
    let ask = |world: &World| world.app.ocsp(Asker::Own, &domain(), &bench.read("request.der"), Depth::Store);
    // Half an hour is left of the seven days; answers hold for an hour.
    let began = Timestamp::from_millis(now.as_millis() + HOUR / 2 - 7 * 24 * HOUR);
    let file = bench.file("ocsp.der", &certified_at(&world, &*key, began));
    let world = world.with_key(answerer(key, &file));
    let ends = world.app.responders_end();
    let answer = ask(&world).expect("it answers").expect("the store was asked");
    assert_eq!(ends, [(domain(), answer.next_update)]);
}

/// An answer to a nonce, or about several certificates, takes a signature with the issuer's key and serves nobody else.
#[test]
fn an_asker_beyond_their_share_gets_what_everybody_gets() {
    let (world, bench) = (World::new(), Bench::new());
    issued(&world, &bench);
    for (file, more) in [("plain", " -no_nonce"), ("nonce", ""), ("several", " -cert device.pem -no_nonce")] {
        bench.openssl(&format!("ocsp -issuer issuer.pem -cert device.pem{more} -reqout {file}"));
    }
    let ask = |asker, file: &str| -> Result<Arc<OcspAnswer>, OcspError> {
        let answer = world.app.ocsp(asker, &domain(), &bench.read(file), Depth::Store)?;
        Ok(answer.expect("the store was asked"))
    };
    let here = world.app.asker(Reader::Anonymous, Some([127, 0, 0, 1].into()));
    let plain = ask(here, "plain").expect("an answer");
    assert!(world.app.ocsp_holds(&plain));
    // Some are earned meanwhile.
    let times = || 0..2 * limits::OCSP_SIGNED_PER_ASKER_AT_ONCE;
    let use_up = || times().map(|_| ask(here, "nonce").expect("an answer")).find(|answer| answer.der == plain.der);
    let last = use_up().expect("the share is limited");
    assert!(!world.app.ocsp_holds(&last), "it is not kept for those who ask with this nonce");
    assert!(times().any(|_| ask(here, "several") == Err(OcspError::TryLater)));
    let other = Asker::Address(Some(7));
    assert_ne!(ask(other, "nonce").expect("an answer").der, plain.der, "another asker has a share of their own");
    ask(other, "several").expect("an answer");

    let node = Node::start(&world.app);
    let is_without = |_| {
        use_up();
        let text = asked(&bench, &node, "");
        assert!(text.contains("Response verify OK") && text.contains("device.pem: good"), "{text}");
        text.contains("no nonce in response")
    };
    assert!((0..20).any(is_without), "over HTTP it is the address that has a share");
}
