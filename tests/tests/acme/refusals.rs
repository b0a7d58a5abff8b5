//! What no client should send: it gets the protocol's own error; nothing is issued or stored.

use std::cell::RefCell;

use ics_core::descriptor::{Compromise, Issuer};
use ics_core::openpgp::certificate::Certificate;
use ics_core::openpgp::possession;
use ics_core::openpgp::signer::Signer;
use ics_core::vocabulary::ProfileName;
use ics_node::acme::order::ORDER_MILLIS;
use ics_node::api::ChallengeAnswer;
use ics_node::app::Asker;
use ics_node::config::AcmeConfig;
use ics_sync::wire::Base64;
use serde_json::{Value, json};

use crate::accounts::again;
use crate::client::{Answer, Client, first_der, jwk, wanted};
use crate::support::Server;
use crate::world::{
    CREATED, Shape, World, controller, domain, id, introduction, maker, owner, revoked, signer, status,
};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");
const HOST: (&str, &str) = ("dns", "pump-7.acme.example");

#[test]
fn a_nonce_serves_once() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let url = device.url("new-order");
    let payload = json!({"identifiers": wanted(&[URN])}).to_string();
    let request = device.sign(&device.header(&url), &payload);
    device.send_jws(&url, &request).is(201);
    let again = device.send_jws(&url, &request);
    again.fails(400, "badNonce");
    let mut header = device.header(&url);
    header["nonce"] = again.header("replay-nonce").into();
    device.send_jws(&url, &device.sign(&header, &payload)).is(201);
    for nonce in [json!("AAAA"), json!(""), Value::Null] {
        header["nonce"] = nonce;
        device.send_jws(&url, &device.sign(&header, &payload)).fails(400, "badNonce");
    }
    assert_eq!(device.orders(), 2, "what was refused has made none");
}

#[test]
fn a_request_is_by_its_account_for_its_url() {
    let server = Server::start();
    let (device, other) = (Client::thing(&server, 7), Client::bound(&server, 41, &server.credential(&maker())));
    let size = server.world.size();
    let url = device.url("new-order");
    let payload = json!({"identifiers": wanted(&[URN])}).to_string();
    let send = |change: &dyn Fn(&mut Value)| {
        let mut header = device.header(&url);
        change(&mut header);
        device.send_jws(&url, &device.sign(&header, &payload))
    };
    send(&|it| it["url"] = device.url("new-authz").into()).fails(403, "unauthorized");
    send(&|it| it["url"] = url.replace("https", "http").into()).fails(403, "unauthorized");
    send(&|it| it["kid"] = device.url("account/999").into()).fails(400, "accountDoesNotExist");
    send(&|it| it["kid"] = "https://other.example/account/1".into()).fails(400, "accountDoesNotExist");
    send(&|it| it["kid"] = json!(*other.kid.borrow())).fails(403, "unauthorized");
    send(&|it| it["jwk"] = jwk(&device.key)).fails(400, "malformed");
    send(&|it| it["crit"] = json!(["x"])).fails(400, "malformed");
    send(&|it| {
        it["jwk"] = jwk(&device.key);
        it.as_object_mut().expect("an object").remove("kid");
    })
    .fails(400, "malformed");
    for alg in ["none", "HS256", "ES256", "RS256", ""] {
        let answer = send(&|it| it["alg"] = alg.into());
        answer.fails(400, "badSignatureAlgorithm");
        assert_eq!(answer.json()["algorithms"], json!(["ES256", "ES384", "ES512", "EdDSA", "RS256"]));
    }
    let registering = device.url("new-account");
    device.send_jws(&registering, &device.sign(&device.header(&registering), "{}")).fails(400, "malformed");
    let weak = json!({"alg": "RS256", "nonce": device.nonce(), "url": registering, "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}});
    device.send_jws(&registering, &device.sign(&weak, "{}")).fails(400, "badPublicKey");
    assert_eq!((server.world.size(), device.orders(), other.orders()), (size, 0, 0), "nothing is stored");
}

#[test]
fn what_is_anothers_looks_like_nothing() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let order = device.order(&[URN]).is(201);
    let csr = server.bench.request("device", &[]);
    let done = device.finalize(&order, &csr).is(200).json();
    let other = Client::bound(&server, 41, &server.credential(&maker()));
    let account = device.kid.borrow().clone().expect("an account");
    let of = |member: &str| done[member].as_str().expect("a URL").to_owned();
    let authorization = done["authorizations"][0].as_str().expect("a URL").to_owned();
    let theirs = [order.location(), of("certificate"), authorization, account.clone(), format!("{account}/orders")];
    for url in theirs {
        let what = other.read(&url).fails(403, "unauthorized");
        let number = url.split('/').find(|part| part.parse::<u64>().is_ok()).expect("a number");
        let none = url.replacen(&format!("/{number}"), "/4711", 1);
        assert_eq!(other.read(&none).fails(403, "unauthorized"), what, "{none}");
    }
    other.finalize(&order, &csr).fails(403, "unauthorized");
    other.post_to(&account, &json!({"status": "deactivated"})).fails(403, "unauthorized");

    // Nor does anybody else end what is still open.
    let open = device.order(&[HOST]).is(201);
    let csr = server.bench.request("host", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let size = server.world.size();
    other.finalize(&open, &csr).fails(403, "unauthorized");
    let authorization = open.json()["authorizations"][0].as_str().expect("a URL").to_owned();
    other.post_to(&authorization, &json!({"status": "deactivated"})).fails(403, "unauthorized");
    assert_eq!(server.world.size(), size, "nothing is stored");
    device.finalize(&open, &csr).is(200);
}

#[test]
fn an_order_ends_in_one_certificate_with_its_names() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let order = device.order(&[HOST]).is(201);
    let request =
        |name: &str, names: &str| server.bench.request(name, &["-addext", &format!("subjectAltName={names}")]);
    let size = server.world.size();
    for (name, names) in [
        ("other", "DNS:pump-8.acme.example"),
        ("more", "DNS:pump-7.acme.example,DNS:pump-8.acme.example"),
        ("urn", "URI:urn:dev:os:32473-SN-7"),
        ("mail", "DNS:pump-7.acme.example,email:a@acme.example"),
    ] {
        let answer = device.finalize(&order, &request(name, names));
        assert!([400].contains(&answer.status), "{name}: {}", answer.text());
    }
    device.order(&[("dns", "pump-7.acme.example.")]).fails(400, "rejectedIdentifier");
    let dotted = server.bench.request("dotted", &["-subj", "/CN=pump-7.acme.example."]);
    for csr in [request("dots", "DNS:pump-7.acme.example."), dotted] {
        let refused = device.finalize(&order, &csr).fails(400, "rejectedIdentifier");
        assert!(refused.contains("has no dot at its end"), "as in an order: {refused}");
    }
    let named = "subjectAltName=DNS:pump-7.acme.example";
    let unknown = server.bench.request("unknown", &["-addext", named, "-addext", "1.3.6.1.4.1.32473.7=DER:0500"]);
    let refused = device.finalize(&order, &unknown).fails(400, "badCSR");
    assert!(refused.contains("1.3.6.1.4.1.32473.7"), "{refused}");
    server.bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key");
    let weak = server.bench.request_again("weak", &["-addext", named]);
    device.finalize(&order, &weak).fails(400, "badPublicKey");
    device.finalize(&order, &server.bench.request("none", &[])).fails(400, "badCSR");
    device.finalize(&order, b"no request").fails(400, "badCSR");
    let good = request("good", "DNS:pump-7.acme.example");
    let mut bad = good.clone();
    *bad.last_mut().expect("bytes") ^= 1;
    device.finalize(&order, &bad).fails(400, "badCSR");
    assert_eq!(server.world.size(), size, "nothing is stored");
    assert_eq!(device.read(&order.location()).is(200).json()["status"], "ready", "it may be tried again");
    device.finalize(&order, &good).is(200);
    device.finalize(&order, &good).fails(403, "orderNotReady");
    assert_eq!(
        server.world.size(),
        size + 2,
        "the issuer's certificate, and the statement about the one that it issued"
    );
}

/// RFC 8555, 7.1.6: an order that is not finalized in its time ends in nothing.
#[test]
fn a_stale_order_ends_in_nothing() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let (order, csr) = (device.order(&[URN]).is(201), server.bench.request("device", &[]));
    let (size, clock) = (server.world.size(), server.world.app.clock());
    assert!(clock.learn_stored(&domain(), clock.now().plus_millis(ORDER_MILLIS)), "it is as late as that");
    device.finalize(&order, &csr).fails(403, "orderNotReady");
    assert_eq!(device.read(&order.location()).is(200).json()["status"], "invalid");
    let authorization = device.read(order.json()["authorizations"][0].as_str().expect("a URL")).is(200).json();
    assert_eq!(authorization["status"], "expired", "{authorization}");
    assert_eq!(server.world.size(), size, "nothing is stored");
    device.certificate(&[URN], &csr);
}

#[test]
fn identifiers_that_no_record_gives() {
    let server = Server::start();
    server
        .world
        .submit(vec![introduction(8, &["urn:dev:os:32473-SN-8"]), status(8, &maker(), "manufacturer", "in-use", &[])]);
    let maker = Client::bound(&server, 41, &server.credential(&maker()));
    let refused = |identifiers: &[(&str, &str)], kind: &str| {
        let answer = maker.order(identifiers);
        assert_eq!(answer.json()["type"], format!("urn:ietf:params:acme:error:{kind}"), "{}", answer.text());
        answer
    };
    refused(&[("dns", "pump-9.acme.example")], "rejectedIdentifier");
    refused(&[("dns", "*.acme.example")], "rejectedIdentifier");
    refused(&[("dns", "127.0.0.1")], "rejectedIdentifier");
    refused(&[("ip", "127.0.0.1")], "unsupportedIdentifier");
    refused(&[], "malformed");
    let several = refused(&[("dns", "a.acme.example"), ("dns", "b.acme.example"), HOST], "rejectedIdentifier");
    let named: Vec<_> = several.json()["subproblems"]
        .as_array()
        .expect("some")
        .iter()
        .map(|it| it["identifier"]["value"].clone())
        .collect();
    assert_eq!(named, ["a.acme.example", "b.acme.example"]);
    let two = refused(&[URN, ("permanent-identifier", "urn:dev:os:32473-SN-8")], "rejectedIdentifier");
    assert!(two.text().contains("one thing"), "{}", two.text());
    // The device asks for itself only; a signer without a role that the profile names may ask for nothing.
    Client::thing(&server, 8).order(&[URN]).fails(403, "unauthorized");
    Client::bound(&server, 42, &server.credential(&owner())).order(&[HOST]).fails(403, "unauthorized");
}

/// After an error of the server, clients would try again; and after the challenges it would be too late to say so.
#[test]
fn an_authority_that_has_ended_takes_no_orders() {
    let server = Server::shaped(AcmeConfig::default(), &Shape { days: 0, ..Shape::new() });
    let detail = Client::thing(&server, 7).order(&[URN]).fails(400, "rejectedIdentifier");
    assert!(detail.contains("`ics ca import` lets another issue"), "{detail}");
}

/// After the challenges it would be too late to say so.
#[test]
fn a_host_that_the_issuer_may_not_certify_is_not_ordered() {
    let mut server = Server::start();
    // A profile that takes no hosts is tried first: its certificates end sooner.
    server.world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        let other = profiles.get_mut(&"ldevid".parse::<ProfileName>().expect("a name")).expect("it is there");
        other.seconds = Some(86_400);
    });
    server.world.submit(vec![
        introduction(9, &["urn:dev:os:32473-SN-9", "host:pump-9.acme.example", "host:pump-9.evil.example"]),
        status(9, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let (device, size) = (Client::thing(&server, 9), server.world.size());
    let [own, other] = ["pump-9.acme.example", "pump-9.evil.example"].map(|host| ("dns", host));
    for names in [&[other][..], &[own, other]] {
        let detail = device.order(names).fails(400, "rejectedIdentifier");
        assert!(detail.contains("does not let it certify `pump-9.evil.example`"), "{detail}");
    }
    assert_eq!((server.world.size(), device.orders()), (size, 0), "nothing is stored");
    let csr = server.bench.request("device", &["-addext", "subjectAltName=DNS:pump-9.acme.example"]);
    device.certificate(&[own], &csr);
}

/// The id of one thing beside a name that another has too does not settle whose the name is.
#[test]
fn a_host_that_two_things_have_is_ordered_for_neither() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let [first, second] = [7, 8].map(|seed| id(seed).to_string());
    device.order(&[("permanent-identifier", first.as_str()), HOST]).is(201);
    server.world.submit(vec![
        introduction(8, &["urn:dev:os:32473-SN-8", "host:pump-7.acme.example"]),
        status(8, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let other = Client::thing(&server, 8);
    for (client, id) in [(&device, &first), (&other, &second)] {
        let it = ("permanent-identifier", id.as_str());
        client.order(&[it, HOST]).fails(400, "rejectedIdentifier");
        client.order(&[it]).is(201);
    }
}

/// A holder of one device's key cannot find out with it which other devices exist.
#[test]
fn what_is_hidden_looks_as_if_it_were_not_there() {
    let mut server = Server::start();
    let hidden = "pump-8.acme.example";
    server.world.submit(vec![
        introduction(8, &["urn:dev:os:32473-SN-8", &format!("host:{hidden}")]),
        status(8, &maker(), "manufacturer", "in-use", &[]),
    ]);
    let told = |client: &Client<'_>, name: &str| {
        let orders = [vec![("dns", name)], vec![HOST, ("dns", name)]];
        orders.map(|names| client.order(&names).text().replace(name, "NAME"))
    };
    let device = Client::thing(&server, 7);
    assert_ne!(told(&device, hidden), told(&device, "pump-9.acme.example"), "anybody may read all");
    let kid = device.kid.take();
    server.world.hide();
    // Nor is it looked at, which would take longer than finding nothing: its introduction comes before its status and
    // the descriptor.
    let header = server.world.rewrite(2, b"unreadable");
    let device = Client { kid: RefCell::new(kid), ..Client::new(&server, 7) };
    assert_eq!(told(&device, hidden), told(&device, "pump-9.acme.example"));
    server.world.rewrite(2, &header);
    device.order(&[HOST]).is(201);
    let maker = Client::bound(&server, 41, &server.credential(&maker()));
    maker.order(&[("dns", hidden)]).is(201);

    // Nor can someone who has only seen a key.
    let app = &server.world.app;
    let answered = |id: &str| {
        let challenge = app.acme_credential_challenge(Asker::Own, &domain(), id).expect("a challenge");
        let signature = possession::sign(&signer(99), challenge.message.as_bytes(), CREATED, &[5; 32]).expect("signs");
        let answer = ChallengeAnswer { nonce: challenge.nonce, signature: Base64(signature) };
        app.acme_credential(&domain(), &answer).expect_err("it is not his").to_string().replace(id, "ID")
    };
    assert_eq!(answered(&id(8).to_string()), answered(&id(98).to_string()));
    server.credential(&signer(8));
}

#[test]
fn what_is_refused_counts_as_well() {
    let server = Server::with(AcmeConfig { orders_per_hour: 2, ..AcmeConfig::default() });
    let device = Client::thing(&server, 7);
    for name in ["pump-8.acme.example", "pump-9.acme.example"] {
        device.order(&[("dns", name)]).fails(400, "rejectedIdentifier");
    }
    device.order(&[HOST]).fails(429, "rateLimited");
}

#[test]
fn bodies_and_places_that_are_none() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let url = device.url("new-order");
    device.send_as("application/jose+json", &url, vec![b' '; 65 * 1024]).fails(413, "malformed");
    device.send_as("application/json", &url, "{}").fails(415, "malformed");
    for body in ["", "{", "[]", "{}", "null", "{\"protected\":\"\",\"payload\":\"\",\"signature\":\"\"}"] {
        device.send_as("application/jose+json", &url, body).fails(400, "malformed");
    }
    let refused = device.get("GET", &url);
    refused.fails(405, "malformed");
    assert_eq!(refused.header("allow"), "POST, OPTIONS");
    for path in ["", "x", "order/x", "order/1/x", "certificate/1/0"] {
        device.get("GET", &device.url(path)).fails(404, "malformed");
    }
    let elsewhere = device.url("directory").replace("devices.acme.example", "other.acme.example");
    device.get("GET", &elsewhere).fails(404, "malformed");
    let renewal = device.url("renewal-info/AA.AA");
    let refused = device.read(&renewal);
    refused.fails(405, "malformed");
    assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
    let answer: Answer = device.get("DELETE", &url);
    assert_eq!(answer.status, 405);
}

/// A thief of a signer's key gets nothing any more: neither as the signer, nor with accounts bound before.
#[test]
fn a_signer_whose_key_is_declared_compromised_asks_for_nothing() {
    let mut server = Server::start();
    let csr = server.bench.request("device", &[]);
    let certificate = first_der(&Client::thing(&server, 7).certificate(&[URN], &csr).0);
    let helper = signer(40);
    server.world.change(|descriptor| {
        let manufacturers = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("the role");
        manufacturers.signers.insert(helper.public_key().fingerprint());
    });
    server.world.submit(vec![Certificate::make(&helper, "Helper", CREATED, &[2; 32]).expect("a certificate")]);
    let waiting = server.credential(&helper);
    let bound = [(41, &helper as &dyn Signer), (42, &controller() as &dyn Signer)].map(|(seed, signer)| {
        let client = Client::bound(&server, seed, &server.credential(signer));
        (seed, client.kid.take())
    });
    let compromised = |server: &mut Server, from_index| {
        server.world.change(|descriptor| {
            let signers = [helper.public_key().fingerprint(), controller().public_key().fingerprint()];
            let declared = signers.map(|signer| Compromise { signer, domain: domain(), from_index });
            descriptor.compromised = declared.into();
        });
    };
    compromised(&mut server, 1_000);
    let [helps, _] = again(&server, &bound);
    helps.order(&[URN]).is(201);
    let size = server.world.size();
    compromised(&mut server, size);
    let [helps, watches] = again(&server, &bound);
    let detail = helps.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("is declared compromised"), "{detail}");
    for client in [&helps, &watches] {
        client.revoke(&certificate, None).fails(403, "unauthorized");
    }
    let stranger = Client::new(&server, 43);
    let binding = stranger.binding(&waiting.kid, &waiting.hmac_key, &stranger.url("new-account"));
    stranger.register(&json!({"externalAccountBinding": binding})).fails(403, "unauthorized");
    let id = helper.public_key().fingerprint().to_string();
    let refused = server.world.app.acme_credential_challenge(Asker::Own, &domain(), &id).expect_err("no binding");
    assert!(refused.to_string().contains("is declared compromised"), "{refused}");
    assert_eq!(server.world.size(), size + 1, "nothing but the descriptor is stored");
}

/// Someone who finds the laptop of a signer who has published a revocation has the signer's ACME account too.
#[test]
fn a_signer_whose_certificate_is_revoked_asks_for_nothing() {
    let mut server = Server::start();
    let helper = signer(40);
    let fingerprint = helper.public_key().fingerprint();
    server.world.change(|descriptor| {
        let manufacturers = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("the role");
        manufacturers.signers.insert(fingerprint);
    });
    server.world.submit(vec![Certificate::make(&helper, "Helper", CREATED, &[2; 32]).expect("a certificate")]);
    let waiting = server.credential(&helper);
    let client = Client::bound(&server, 41, &server.credential(&helper));
    let csr = server.bench.request("device", &[]);
    let certificate = first_der(&client.certificate(&[URN], &csr).0);
    let ready = client.order(&[URN]).is(201);
    server.world.submit(vec![revoked(40, "Helper")]);
    let size = server.world.size();
    let detail = client.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("is revoked or has expired"), "{detail}");
    client.finalize(&ready, &server.bench.request("fresh", &[])).fails(403, "unauthorized");
    client.revoke(&certificate, None).fails(403, "unauthorized");
    let stranger = Client::new(&server, 43);
    let binding = stranger.binding(&waiting.kid, &waiting.hmac_key, &stranger.url("new-account"));
    stranger.register(&json!({"externalAccountBinding": binding})).fails(403, "unauthorized");
    assert_eq!(server.world.size(), size, "nothing is stored");
    Client::bound(&server, 44, &server.credential(&maker())).order(&[URN]).is(201);
}

/// The owners may name the next issuer before its key has come to the node, or only after the last one has ended.
/// Whoever is renewing then need not begin anew.
#[test]
fn an_order_waits_for_the_next_issuer() {
    let mut server = Server::start();
    let csr = server.bench.request("device", &[]);
    let device = Client::thing(&server, 7);
    let (order, kid) = (device.order(&[URN]).is(201), device.kid.take());
    let issued_by = |server: &mut Server, issuers: Vec<Issuer>| {
        server.world.change(|descriptor| descriptor.certificates.as_mut().expect("it issues").issuers = issuers);
    };
    let issuers_of = |world: &World| world.descriptor.certificates.as_ref().expect("it issues").issuers.clone();
    let own = issuers_of(&server.world);
    let away = issuers_of(&World::new());
    let ended = issuers_of(&World::of(&Shape { days: 0, ..Shape::new() }));
    for (first, status, kind, why) in [
        (away, 503, "serverInternal", "the key of its issuer is not at this node"),
        (ended, 400, "rejectedIdentifier", "`ics ca import` lets another issue"),
    ] {
        issued_by(&mut server, [first, own.clone()].concat());
        let device = Client { kid: RefCell::new(kid.clone()), ..Client::new(&server, 7) };
        let detail = device.finalize(&order, &csr).fails(status, kind);
        assert!(detail.contains(why), "{detail}");
        assert_eq!(device.read(&order.location()).is(200).json()["status"], "ready", "{why}");
    }
    issued_by(&mut server, own);
    let device = Client { kid: RefCell::new(kid), ..Client::new(&server, 7) };
    device.finalize(&order, &csr).is(200);
}
