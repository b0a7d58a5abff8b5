//! Signers who ask for certificates of things with their own keys, as the machines of a production line do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use ics_core::descriptor::Compromise;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;
use ics_core::vocabulary::Role;
use ics_node::api::problem::Code;
use ics_node::app::{AppError, CertifyError, Clock, EstRequest};
use ics_node::tls::KeyPin;
use sequoia_openpgp::crypto::mpi;
use sequoia_openpgp::packet::key::{Key4, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use sequoia_openpgp::types::Curve;

use crate::cmp::{Site, tlv};
use crate::est::{enroll, key_of};
use crate::node::Node;
use crate::tools::Bench;
use crate::world::{World, domain, introduction, introduction_by, signer, wait};

/// Adds a signer of the manufacturer with a key that openssl can use, and a self-signed certificate.
fn line(world: &mut World, bench: &Bench) -> Fingerprint {
    let key = Key4::<SecretParts, UnspecifiedRole>::generate_ecc(true, Curve::NistP256).expect("a key");
    let SecretKeyMaterial::Unencrypted(secret) = key.secret() else { panic!("it is encrypted") };
    let secret = secret.map(|secret| match secret {
        mpi::SecretKeyMaterial::ECDSA { scalar } => scalar.value_padded(32).to_vec(),
        _ => panic!("it is of another kind"),
    });
    // RFC 5915, 3: with the curve, without the public key.
    let curve = tlv(0xa0, &tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
    bench.file("line.der", &tlv(0x30, &[tlv(2, &[1]), tlv(4, &secret), curve].concat()));
    bench.openssl("ec -inform DER -in line.der -out line.key");
    bench.openssl("req -new -x509 -key line.key -subj /CN=line -out line.pem");
    let signer = ics_node::keys::in_memory(key.into()).expect("a signer");
    let fingerprint = signer.public_key().fingerprint();
    world.change(|descriptor| {
        let role: Role = "manufacturer".parse().expect("a role");
        descriptor.roles.get_mut(&role).expect("the role").signers.insert(fingerprint);
    });
    let certificate = Certificate::make(&*signer, "Line 1", Clock::default().now(), &[4; 32]).expect("a certificate");
    world.submit(vec![certificate]);
    fingerprint
}

const LINE: &[&str] =
    &["-cert", "line.pem", "-key", "line.key", "-extracerts", "line.pem", "-san_nodefault", "-newkey", "device.key"];

#[test]
fn a_signer_asks_for_the_thing_that_the_request_names() {
    let mut site = Site::new();
    let signer = line(&mut site.world, &site.bench);
    let named = ["-cmd", "ir", "-subject", "/serialNumber=SN-7"];
    site.gets("", LINE, &named);
    site.keep("ldevid.pem");
    site.gets("", LINE, &["-cmd", "kur", "-oldcert", "ldevid.pem"]);
    site.keep("next.pem");
    // From then on, it authenticates the device.
    site.gets("", &["-cert", "next.pem", "-key", "device.key"], &["-cmd", "kur", "-newkey", "device.key"]);

    site.is_refused("", LINE, &["-cmd", "ir", "-subject", "/serialNumber=SN-8"], "badCertId");
    site.is_refused("", LINE, &["-cmd", "ir", "-subject", "/"], "badCertTemplate");
    site.is_refused("", &LINE[..7], &named, "badCertTemplate");
    site.is_refused("", LINE, &["-cmd", "rr", "-oldcert", "ldevid.pem", "-revreason", "1"], "badRequest");

    site.bench.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=stranger -keyout stranger.key -out stranger.pem");
    let (is_given, text) = site.run("", &[LINE, &named, &["-out_trusted", "stranger.pem"]].concat());
    assert!(!is_given && text.contains("received PKICONF"), "{text}");
    assert_eq!(site.revoked(), ["unspecified"], "the signer rejects it");
    site.gets("", LINE, &named);
    site.gets("", LINE, &["-cmd", "rr", "-oldcert", "ldevid.pem", "-revreason", "4"]);
    assert_eq!(site.revoked().iter().filter(|it| *it == "superseded").count(), 1);
    // The signer may not set the status: the thing gets other certificates, but this key gets none.
    site.is_refused("", LINE, &named, "badCertTemplate");
    site.bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key");
    site.gets("", &LINE[..7], &[&named[..], &["-newkey", "other.key"]].concat());

    let from_index = site.world.size();
    site.world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    site.is_refused("", LINE, &named, "signerNotTrusted");
}

/// Anyone with a role over a single thing is in the log too: a few of them could keep all others out.
#[test]
fn a_signer_whom_the_descriptor_does_not_name_begins_no_more_than_a_thing() {
    let mut site = Site::new();
    let signer = line(&mut site.world, &site.bench);
    site.world.change(|descriptor| {
        for spec in descriptor.roles.values_mut() {
            spec.signers.remove(&signer);
        }
    });
    let named = ["-cmd", "ir", "-subject", "/serialNumber=SN-7"];
    // Nor does it look for as many things as it likes.
    let unknown = ["-cmd", "ir", "-subject", "/serialNumber=SN-8"];
    for _ in 0..limits::CMP_TRANSACTIONS_OF_ONE / 2 {
        site.is_refused("", LINE, &named, "notAuthorized");
        site.is_refused("", LINE, &unknown, "badCertId");
    }
    site.is_refused("", LINE, &named, "systemUnavail");
}

#[test]
fn by_est_as_well() {
    let (mut world, bench) = (World::new(), Bench::new());
    line(&mut world, &bench);
    let node = Node::start_tls(&world.app, &bench);
    let shown = &["--cert", "line.pem", "--key", "line.key"];
    for (subject, expected) in [("/serialNumber=SN-7", "200"), ("/serialNumber=SN-8", "404"), ("/", "400")] {
        let size = world.size();
        bench.request("device", &["-subj", subject]);
        let (code, answer) = enroll(&bench, &node, "/simpleenroll", "device.csr", shown);
        assert_eq!(code, expected, "{subject}: {answer}");
        // Before the first certificate, the log gets the issuer's own OpenPGP certificate.
        assert_eq!(world.size() > size, expected == "200", "{subject}");
    }
}

/// A record may have come to name the key for a thing: then nobody can tell whose it is.
#[test]
fn a_key_that_records_name_is_taken_for_no_signers() {
    let (mut world, bench) = (World::new(), Bench::new());
    line(&mut world, &bench);
    let (key, now) = (key_of(&bench, "line"), world.app.clock().now());
    let period = (now, now.plus_millis(3_600_000));
    let issued = |seed: u8, number: u16| world.issued_for(key.as_bytes(), seed, number, period, "ldevid");
    let text = STANDARD.encode(bench.request("device", &["-subj", "/serialNumber=SN-7"]));
    let enroll = || {
        let profile = "ldevid".to_owned();
        let asked = EstRequest { domain: domain(), profile, issuer: None, proven: Some(key), basic: None };
        wait(world.app.est_enroll(&asked, &text))
    };
    enroll().expect("the signer asks for the thing");
    world.submit(vec![introduction(8, &["serial:SN-8"]), issued(7, 1), issued(8, 2)]);
    let refused = enroll().expect_err("two things have it");
    assert!(refused.to_string().contains("more than one record here names the key"), "{refused}");
}

/// Asks over EST with a key.
fn with_key(world: &World, shown: KeyPin, csr: &[u8]) -> Result<Vec<u8>, CertifyError> {
    let (domain, profile) = (domain(), "ldevid".to_owned());
    let asked = EstRequest { domain, profile, issuer: None, proven: Some(shown), basic: None };
    wait(world.app.est_enroll(&asked, &STANDARD.encode(csr)))
}

/// Over EST. A production line asks on behalf of many things; anyone with a role over a single one does not.
#[test]
fn a_signer_whom_the_descriptor_names_asks_more_often_than_others() {
    let (mut world, bench) = (World::new(), Bench::new());
    let signer = line(&mut world, &bench);
    let (key, csr) = (key_of(&bench, "line"), bench.request("device", &["-subj", "/serialNumber=SN-8"]));
    let is_late = |world: &World| {
        let refused = with_key(world, key, &csr).expect_err("nothing is known of that thing");
        AppError::from(refused).code() == Code::TooManyRequests
    };
    let often = 0..2 * limits::EST_REQUESTS_OF_ONE;
    assert!(!often.clone().any(|_| is_late(&world)), "it is named");
    world.change(|descriptor| {
        for spec in descriptor.roles.values_mut() {
            spec.signers.remove(&signer);
        }
    });
    assert!(often.clone().any(|_| is_late(&world)), "it is no longer");
}

/// Asks with one key of the bench for a certificate of a new one.
fn renewed(world: &World, bench: &Bench, former: &str, next: &str) -> Result<Vec<u8>, CertifyError> {
    with_key(world, key_of(bench, former), &bench.request(next, &[]))
}

/// Whoever had the signer's key may have named one of their own as the thing's, as that of an IDevID is named.
#[test]
fn a_key_that_a_compromised_signer_had_named_shows_nobody() {
    let (mut world, bench, installer) = (World::new(), Bench::new(), signer(5));
    world.join(&installer);
    world.change(|descriptor| {
        let role: Role = "manufacturer".parse().expect("a role");
        descriptor.roles.get_mut(&role).expect("the role").names.insert("spki:*".to_owned());
    });
    let names = |world: &World, name: &str| {
        bench.request(name, &[]);
        let spki = format!("spki:{}", HEXLOWER.encode(key_of(&bench, name).as_bytes()));
        world.submit(vec![introduction_by(&installer, 7, &[spki.as_str()])]);
    };
    names(&world, "device");
    let from_index = world.size();
    names(&world, "stolen");
    for name in ["device", "stolen"] {
        renewed(&world, &bench, name, &format!("{name}-2")).expect("nobody knows of it yet");
    }
    let signer = installer.public_key().fingerprint();
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    let refused = renewed(&world, &bench, "stolen-2", "stolen-3").expect_err("it may be the thief's");
    assert!(refused.to_string().contains("who is declared compromised"), "{refused}");
    for (former, next) in [("device", "device-3"), ("device-2", "device-4"), ("device-4", "device-5")] {
        renewed(&world, &bench, former, next).expect("its key was named before");
    }
}

/// Whoever had the signer's key may have had a key of their own certified for a thing, and renewed that certificate.
#[test]
fn a_key_that_a_compromised_signer_had_certified_shows_nobody() {
    let (mut world, bench) = (World::new(), Bench::new());
    let signer = line(&mut world, &bench);
    let asks = |world: &World, name: &str| {
        let request = bench.request(name, &["-subj", "/serialNumber=SN-7"]);
        with_key(world, key_of(&bench, "line"), &request).expect(name);
    };
    let renews = |world: &World, former: &str, next: &str| renewed(world, &bench, former, next);
    asks(&world, "device");
    let from_index = world.size();
    asks(&world, "stolen");
    renews(&world, "stolen", "stolen-2").expect("nobody knows of it yet");
    world.change(|descriptor| descriptor.compromised = vec![Compromise { signer, domain: domain(), from_index }]);
    for stolen in ["stolen", "stolen-2"] {
        let refused = renews(&world, stolen, "stolen-3").expect_err("it may be the thief's");
        assert!(refused.to_string().contains("who is declared compromised"), "{refused}");
    }
    for (former, next) in [("device", "device-2"), ("device-2", "device-3")] {
        renews(&world, former, next).expect("the signer asked for the first of them before");
    }
}
