//! Who may have a certificate revoked, why, and what that bars from being issued; and a status, which no door gets
//! past.

use std::cell::RefCell;
use std::collections::BTreeSet;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use ics_core::descriptor::Descriptor;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::StatementId;
use ics_core::vocabulary::{Act, KeyType};
use ics_node::app::{Asker, CertifyFault, Reader, Requester, Revoker};
use ics_node::x509::{Reason, SerialNumber, Shown};
use serde_json::json;

use crate::client::{Client, first_der};
use crate::support::Server;
use crate::world::{CREATED, controller, domain, id, maker, owner, signer, status};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");

/// The reason for the last revoked certificate of the device, as the log gives it.
fn revoked(server: &Server) -> Option<String> {
    let history = server.world.app.history(Reader::Operator, &domain(), &id(7).to_string()).expect("known");
    history.items.iter().rfind(|it| it.act == Act::Withdrawal).and_then(|it| it.reason.clone())
}

struct Story {
    server: Server,
    certificate: Vec<u8>,
    csr: Vec<u8>,
}

impl Story {
    /// A story in which the device has a certificate.
    fn begin() -> Self {
        let server = Server::start();
        let csr = server.bench.request("device", &[]);
        let certificate = first_der(&Client::thing(&server, 7).certificate(&[URN], &csr).0);
        Self { server, certificate, csr }
    }

    fn device(&self) -> Client<'_> {
        let client = Client::new(&self.server, 7);
        client.register(&serde_json::json!({})).is(200);
        client
    }

    fn signer(&self, seed: u8, signer: &dyn ics_core::openpgp::signer::Signer) -> Client<'_> {
        Client::bound(&self.server, seed, &self.server.credential(signer))
    }
}

#[test]
fn the_account_that_got_it() {
    let story = Story::begin();
    let device = story.device();
    for reason in [1, 2, 6, 8, 9, 10, 99] {
        let detail = device.revoke(&story.certificate, Some(reason)).fails(400, "badRevocationReason");
        assert!(detail.contains("4 (superseded)"), "{detail}");
    }
    assert_eq!(revoked(&story.server), None);
    device.revoke(&story.certificate, Some(4)).is(200);
    assert_eq!(revoked(&story.server).as_deref(), Some("superseded"));
    device.revoke(&story.certificate, Some(4)).fails(400, "alreadyRevoked");
    device.certificate(&[URN], &story.csr);
}

/// A crash may lose which account got the last ones. A thing then has its own revoked as before; a signer is named, as
/// over other protocols, since the role may have ended in which the signer had asked.
#[test]
fn the_thing_for_whose_certificate_no_account_is_stored() {
    let story = Story::begin();
    let asks = maker().public_key().fingerprint();
    let (device, maker) = (story.device(), story.signer(41, &maker()));
    let (chain, _) = maker.certificate(&[URN], &story.server.bench.request("another", &[]));
    let theirs = first_der(&chain);
    let memory = rusqlite::Connection::open(story.server.world.database().with_file_name("acme.db")).expect("opens");
    memory.execute_batch("DELETE FROM certificate").expect("writes");
    for (client, certificate) in [(&device, &theirs), (&maker, &theirs), (&maker, &story.certificate)] {
        client.revoke(certificate, Some(4)).fails(400, "badRevocationReason");
    }
    device.revoke(&story.certificate, Some(4)).is(200);
    assert_eq!(revoked(&story.server).as_deref(), Some("superseded"), "nobody else has asked");
    device.certificate(&[URN], &story.csr);
    maker.revoke(&theirs, None).is(200);
    let told = format!("cessationOfOperation; asked by {asks}, who may ask for its certificates");
    assert_eq!(revoked(&story.server), Some(told));
}

#[test]
fn the_certificates_key_which_gets_no_other_one() {
    let story = Story::begin();
    let (server, device) = (&story.server, story.device());
    // The key of the device's identity is not that of its certificate.
    let own = Client::new(server, 7);
    own.post_as_key("revoke-cert", &payload(&story.certificate)).fails(403, "unauthorized");
    let (csr, key) = server.own_request();
    let certificate = first_der(&device.certificate(&[URN], &csr).0);
    let holder = Client { key, ..Client::new(server, 0) };
    holder.post_as_key("revoke-cert", &payload(&certificate)).is(200);
    assert_eq!(revoked(server).as_deref(), Some("keyCompromise"));
    let order = device.order(&[URN]).is(201);
    device.finalize(&order, &csr).fails(400, "badPublicKey");
    device.finalize(&order, &story.csr).is(200);
}

/// A device may have certificates for its own key. Once given up, the key no longer shows who asks.
#[test]
fn a_key_that_was_given_up_speaks_for_nobody() {
    let server = Server::start();
    let csr = server.bench.request_of(7);
    let device = Client::thing(&server, 7);
    let certificate = first_der(&device.certificate(&[URN], &csr).0);
    let other = Client::bound(&server, 41, &server.credential(&signer(7)));
    let order = device.order(&[URN]).is(201);
    device.post_as_key("revoke-cert", &payload(&certificate)).is(200);
    assert_eq!(revoked(&server).as_deref(), Some("keyCompromise"));
    let size = server.world.size();
    let fresh = server.bench.request("fresh", &[]);
    device.order(&[URN]).fails(403, "unauthorized");
    device.finalize(&order, &fresh).fails(403, "unauthorized");
    Client::new(&server, 7).register(&serde_json::json!({})).fails(403, "unauthorized");
    device.post_as_key("revoke-cert", &payload(&certificate)).fails(400, "alreadyRevoked");
    let asked = server.world.app.acme_credential_challenge(Asker::Own, &domain(), &id(7).to_string());
    assert!(asked.expect_err("no binding").to_string().contains("given up as compromised"));
    // Whoever had the key may have bound this account, whose own key is another.
    let detail = other.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("was given up as compromised"), "{detail}");
    assert_eq!(server.world.size(), size, "nothing is stored");
    Client::bound(&server, 42, &server.credential(&maker())).certificate(&[URN], &fresh);
}

/// Whatever kind of key a certificate is for, its holder can say that others have the key.
#[test]
fn a_key_of_p521_gives_itself_up() {
    let mut server = Server::start();
    server.world.change(|descriptor| {
        for profile in descriptor.certificates.as_mut().expect("it issues").profiles.values_mut() {
            profile.keys.insert(KeyType::P521);
        }
    });
    server.bench.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out large.key");
    let csr = server.bench.request_again("large", &["-sha512"]);
    let device = Client::thing(&server, 7);
    let certificate = first_der(&device.certificate(&[URN], &csr).0);
    let arguments = ["pkcs8", "-topk8", "-nocrypt", "-in", "large.key", "-outform", "DER"];
    let pkcs8 = server.bench.run("openssl", &arguments).stdout;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &pkcs8).expect("a key");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(66);
    let (url, encode) = (device.url("revoke-cert"), |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes));
    let jwk = json!({"kty": "EC", "crv": "P-521", "x": encode(x), "y": encode(y)});
    let header = json!({"alg": "ES512", "nonce": device.nonce(), "url": url, "jwk": jwk});
    let protected = encode(header.to_string().as_bytes());
    let payload = encode(payload(&certificate).to_string().as_bytes());
    let signature = pair.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).expect("signs");
    let jws = json!({"protected": protected, "payload": payload, "signature": encode(signature.as_ref())});
    device.send_jws(&url, &jws).is(200);
    assert_eq!(revoked(&server).as_deref(), Some("keyCompromise"));
}

fn payload(certificate: &[u8]) -> serde_json::Value {
    json!({"certificate": BASE64URL_NOPAD.encode(certificate)})
}

#[test]
fn whom_the_record_names_and_what_he_may_say() {
    let story = Story::begin();
    let watcher = story.signer(41, &controller());
    for reason in [1, 3, 4, 6] {
        watcher.revoke(&story.certificate, Some(reason)).fails(400, "badRevocationReason");
    }
    watcher.revoke(&story.certificate, Some(9)).is(200);
    let watches = controller().public_key().fingerprint();
    let told = format!("privilegeWithdrawn; asked by {watches}");
    assert_eq!(revoked(&story.server), Some(told), "the log names who has asked");
    // The account gets no other at once, until someone says again that the device may be used.
    let device = story.device();
    let detail = device.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("was revoked on behalf of the thing"), "{detail}");
    // Nor does the device over any other protocol, with whatever key.
    let world = &story.server.world;
    for requester in
        [Requester::Identity(id(7)), Requester::Operator, Requester::Signer(maker().public_key().fingerprint())]
    {
        let refused = world.certify_as(requester, id(7), "ldevid", &story.server.bench.request("fresh", &[]));
        let refused = refused.expect_err("its certificate was revoked on its behalf");
        assert!(refused.to_string().contains("a newer status that permits lifts it"), "{refused}");
        assert_eq!(refused.fault(), CertifyFault::Denied);
    }
    let in_use = story.server.world.submit(vec![status(7, &owner(), "owner", "in-use", &[])]);
    assert_eq!(in_use.len(), 1);
    device.certificate(&[URN], &story.csr);
}

#[test]
fn whoever_may_have_certificates_for_all_its_names() {
    let story = Story::begin();
    let asks = maker().public_key().fingerprint();
    let maker = story.signer(41, &maker());
    maker.revoke(&story.certificate, Some(1)).fails(400, "badRevocationReason");
    maker.revoke(&story.certificate, None).is(200);
    let told = format!("cessationOfOperation; asked by {asks}, who may ask for its certificates");
    assert_eq!(revoked(&story.server), Some(told), "the log names who has asked");
    // Its key gets none over another protocol; another key does, since nobody has said anything about the device.
    let world = &story.server.world;
    let refused = world.certify(7, "ldevid", &story.csr).expect_err("the key");
    assert!(
        refused.fault() == CertifyFault::Key && refused.to_string().contains("on behalf of the thing"),
        "{refused}"
    );
    world.certify(7, "ldevid", &story.server.bench.request("fresh", &[])).expect("another key");
    story.device().order(&[URN]).fails(403, "unauthorized");
    let order = maker.order(&[URN]).is(201);
    let detail = maker.finalize(&order, &story.csr).fails(400, "badPublicKey");
    assert!(detail.contains("a newer status that permits lifts it"), "{detail}");
    maker.finalize(&order, &story.server.bench.request("another", &[])).is(200);
}

/// With its id all names of that kind were ordered.
#[test]
fn whoever_got_one_by_the_devices_id_gets_none_for_its_names_either() {
    let server = Server::start();
    let (own, csr) = (id(7).to_string(), server.bench.request("device", &[]));
    let device = Client::thing(&server, 7);
    let by_id = json!({"identifiers": [{"type": URN.0, "value": own}], "profile": "ldevid"});
    let done = device.finalize(&device.post("new-order", &by_id).is(201), &csr).is(200).json();
    let url = done["certificate"].as_str().expect("a URL");
    let certificate = first_der(&device.read(url).is(200).text());
    device.order(&[URN]).is(201);
    Client::bound(&server, 41, &server.credential(&maker())).revoke(&certificate, None).is(200);
    for ordered in [own.as_str(), URN.1] {
        device.order(&[(URN.0, ordered)]).fails(403, "unauthorized");
    }
}

fn manufacturers(descriptor: &mut Descriptor) -> &mut BTreeSet<Fingerprint> {
    &mut descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("the role").signers
}

/// Names that the record once gave a right to are not proven: a signer who has lost the role has nothing to show.
#[test]
fn who_has_lost_his_role_controls_no_names() {
    let mut server = Server::start();
    let host = ("dns", "pump-7.acme.example");
    let csr = server.bench.request("device", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let certificate = first_der(&Client::thing(&server, 7).certificate(&[host], &csr).0);
    let helper = signer(40);
    let fingerprint = helper.public_key().fingerprint();
    server.world.change(|descriptor| {
        manufacturers(descriptor).insert(fingerprint);
    });
    server.world.submit(vec![Certificate::make(&helper, "Helper", CREATED, &[2; 32]).expect("a certificate")]);
    let kid = {
        let client = Client::bound(&server, 41, &server.credential(&helper));
        client.order(&[host]).is(201);
        client.kid.take()
    };
    server.world.change(|descriptor| {
        manufacturers(descriptor).remove(&fingerprint);
    });
    let client = Client { kid: RefCell::new(kid), ..Client::new(&server, 41) };
    let detail = client.revoke(&certificate, None).fails(403, "unauthorized");
    assert!(detail.contains("0 of its 1 names"), "{detail}");
    assert_eq!(revoked(&server), None);
    let device = Client::new(&server, 7);
    device.register(&serde_json::json!({})).is(200);
    device.order(&[host]).is(201);
}

/// Other protocols know nothing of accounts: what the log says of a certificate blocks the account that got it.
#[test]
fn an_account_is_blocked_by_what_the_log_says_of_its_certificate() {
    let story = Story::begin();
    let world = &story.server.world;
    let shown = Shown::read(&story.certificate).expect("a certificate");
    let serial = SerialNumber::read(&shown.serial).expect("a serial number");
    let names = world.revoke(&serial, Revoker::Names, Reason::CessationOfOperation);
    names.expect("whoever may have its names");
    let device = story.device();
    let detail = device.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("this account's certificate was revoked (cessationOfOperation)"), "{detail}");
    story.signer(41, &maker()).order(&[URN]).is(201);
    world.submit(vec![status(7, &owner(), "owner", "in-use", &[])]);
    device.certificate(&[URN], &story.csr);
}

/// The log decides what is newer: a clock that was ahead lifts no block, and a corrected one keeps none for ever.
#[test]
fn a_block_holds_until_a_later_entry_permits_whatever_the_clock_said() {
    let story = Story::begin();
    let world = &story.server.world;
    let in_use = |ends: &[StatementId]| world.submit(vec![status(7, &owner(), "owner", "in-use", ends)]);
    let set = |change: &str| {
        let memory = rusqlite::Connection::open(world.database().with_file_name("acme.db")).expect("opens");
        memory.execute_batch(change).expect("writes");
    };
    let before = in_use(&[]);
    story.signer(41, &maker()).revoke(&story.certificate, None).is(200);
    let device = story.device();
    // Only the time of the block is known, from a clock before it was put right: earlier statements have later times.
    set("DELETE FROM certificate; UPDATE block SET since = 1");
    let detail = device.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("by an account that may have certificates for all its names"), "{detail}");
    // From a clock that was ahead: later statements have earlier times.
    set("UPDATE block SET since = 9000000000000");
    in_use(&before);
    device.certificate(&[URN], &story.server.bench.request("fresh", &[]));
}

#[test]
fn nobody_else_and_nothing_that_was_not_issued_here() {
    let story = Story::begin();
    let size = story.server.world.size();
    story.server.world.submit(vec![crate::world::introduction(8, &["urn:dev:os:32473-SN-8"])]);
    let other = Client::thing(&story.server, 8);
    let detail = other.revoke(&story.certificate, None).fails(403, "unauthorized");
    assert!(detail.contains("0 of its"), "{detail}");
    let device = story.device();
    let mut changed = story.certificate.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    device.revoke(&changed, None).fails(404, "malformed");
    device.revoke(&story.server.world.issuer, None).fails(404, "malformed");
    device.revoke(b"nothing", None).fails(400, "malformed");
    device.revoke(&vec![0; 20_000], None).fails(400, "malformed");
    assert_eq!(story.server.world.size(), size + 1, "nothing but the introduction is stored");
}

#[test]
fn a_suspended_device_gets_none_by_any_door_until_its_owner_lifts_it() {
    let story = Story::begin();
    let (device, maker) = (story.device(), story.signer(41, &maker()));
    let ready = device.order(&[URN]).is(201);
    let suspended = story.server.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    let detail = device.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("suspended"), "{detail}");
    let detail = device.finalize(&ready, &story.csr).fails(403, "unauthorized");
    assert!(detail.contains("suspended"), "{detail}");
    assert_eq!(device.read(&ready.location()).is(200).json()["status"], "invalid");
    maker.order(&[URN]).fails(403, "unauthorized");
    let (other, credential) = (Client::new(&story.server, 42), story.server.credential(&signer(7)));
    let binding = other.binding(&credential.kid, &credential.hmac_key, &other.url("new-account"));
    let refused = other.register(&json!({"externalAccountBinding": binding})).fails(403, "unauthorized");
    assert!(refused.contains("its status is `suspended`"), "{refused}");
    story.server.world.submit(vec![status(7, &owner(), "owner", "in-use", &suspended)]);
    device.certificate(&[URN], &story.csr);
}
