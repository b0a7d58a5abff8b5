//! Names that are proven over the network, for accounts that the record entitles to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::limits;
use ics_core::vocabulary::CertificateUse;
use ics_node::acme::authorization::Method;
use ics_node::app::{CertifyFault, EstRequest};
use ics_node::config::AcmeConfig;
use ics_node::tls::KeyPin;
use ics_tests::port::Port;
use serde_json::{Value, json};

use crate::client::{Client, first_der, jwk};
use crate::support::{Server, eventually};
use crate::world::{controller, domain, introduction, maker, owner, signer, status};

const HOST: (&str, &str) = ("dns", "pump-7.acme.example");

/// A configuration that looks for answers at a loopback port.
fn looking_at(port: u16) -> AcmeConfig {
    AcmeConfig {
        challenges: BTreeSet::from([Method::Http01, Method::TlsAlpn01]),
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        hosts: BTreeMap::from([(HOST.1.to_owned(), IpAddr::from(Ipv4Addr::LOCALHOST))]),
        http_port: port,
        tls_port: port,
        ..AcmeConfig::default()
    }
}

/// A server that looks for answers at a port of loopback, which nobody else gets meanwhile.
pub(crate) fn looking() -> (Port, Server) {
    let held = Port::take().expect("a port");
    let server = Server::with(looking_at(held.number()));
    (held, server)
}

/// Answers one HTTP request with these bytes; the receiver gets the request's head.
fn web_server(port: u16, answer: Vec<u8>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("listens");
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        // Whoever has the answer may let another server listen here.
        drop(listener);
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap_or_default();
        // A client that hangs up early has read enough.
        let _ = stream.write_all(&answer);
        let _ = sender.send(String::from_utf8_lossy(&head[..read]).into_owned());
    });
    receiver
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An order of a client without a right, its authorization, and its challenge of a method.
fn pending(client: &Client<'_>, method: &str) -> (crate::client::Answer, String, Value) {
    let order = client.order(&[HOST]).is(201);
    assert_eq!(order.json()["status"], "pending");
    let authorization = order.json()["authorizations"][0].as_str().expect("a URL").to_owned();
    let json = client.read(&authorization).is(200).json();
    let challenges = json["challenges"].as_array().expect("some").clone();
    let challenge = challenges.into_iter().find(|it| it["type"] == method).expect("is offered");
    (order, authorization, challenge)
}

fn key_authorization(client: &Client<'_>, challenge: &Value) -> String {
    use sha2::{Digest as _, Sha256};
    let jwk = jwk(&client.key);
    let canonical = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":{}}}", jwk["x"]);
    let thumbprint = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(canonical));
    format!("{}.{thumbprint}", challenge["token"].as_str().expect("a token"))
}

/// Says that the challenge is ready, and waits for the outcome.
fn looked_at(client: &Client<'_>, authorization: &str, challenge: &Value) -> Value {
    client.post_to(challenge["url"].as_str().expect("a URL"), &json!({})).is(200);
    eventually("the challenge is looked at", || client.read(authorization).json()["status"] != "pending");
    client.read(authorization).is(200).json()
}

#[test]
fn a_host_is_proven_by_its_web_server() {
    let (held, server) = looking();
    let port = held.number();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let (order, authorization, challenge) = pending(&client, "http-01");
    let request = server.bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    client.finalize(&order, &request).fails(403, "orderNotReady");
    let asked = web_server(port, ok(&key_authorization(&client, &challenge)));
    let proven = looked_at(&client, &authorization, &challenge);
    assert_eq!((&proven["status"], &proven["challenges"][0]["status"]), (&"valid".into(), &"valid".into()), "{proven}");
    let head = asked.recv().expect("was asked");
    let token = challenge["token"].as_str().expect("a token");
    assert!(head.starts_with(&format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\n")), "{head}");
    assert!(head.to_lowercase().contains(&format!("host: pump-7.acme.example:{port}")), "{head}");
    assert_eq!(client.read(&order.location()).json()["status"], "ready");
    client.finalize(&order, &request).is(200);
    // Whoever has proven all names of a certificate may have it revoked, whoever got it.
    let device = Client::thing(&server, 7);
    let (chain, _) = device.certificate(&[HOST], &request);
    client.revoke(&crate::client::first_der(&chain), Some(5)).is(200);
}

/// Whoever has the place of a host has not shown which device they are.
#[test]
fn the_place_of_a_host_gives_no_right_to_the_number_of_its_device() {
    let (held, mut server) = looking();
    server.world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        let servers = profiles.values_mut().filter(|profile| profile.uses.contains(&CertificateUse::Server));
        servers.for_each(|profile| profile.names.extend(["serial:*".to_owned()]));
    });
    let subject = |chain: &str| {
        server.bench.file("made.pem", chain.as_bytes());
        server.bench.openssl("x509 -in made.pem -noout -subject")
    };
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let (order, authorization, challenge) = pending(&client, "http-01");
    let request = server.bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let _asked = web_server(held.number(), ok(&key_authorization(&client, &challenge)));
    looked_at(&client, &authorization, &challenge);
    let done = client.finalize(&order, &request).is(200).json();
    let theirs = subject(&client.read(done["certificate"].as_str().expect("a URL")).is(200).text());
    assert!(theirs.contains("pump-7.acme.example") && !theirs.contains("SN-7"), "{theirs}");
    let own = subject(&Client::thing(&server, 7).certificate(&[HOST], &request).0);
    assert!(own.contains("SN-7"), "{own}");
}

/// Nor to its id, by which brokers know it: that is the subject of a certificate if none of its hosts is short enough.
#[test]
fn the_place_of_a_host_makes_nobody_the_subject_of_the_thing() {
    let (_held, server) = looking();
    let long = format!("{}.acme.example", "a".repeat(60));
    let names = introduction(8, &[&format!("host:{long}"), "host:pump-8.acme.example"]);
    server.world.submit(vec![names, status(8, &maker(), "manufacturer", "in-use", &[])]);
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let detail = client.order(&[("dns", &long)]).fails(400, "rejectedIdentifier");
    assert!(detail.contains("can have 64 characters"), "{detail}");
    client.order(&[("dns", &long), ("dns", "pump-8.acme.example")]).is(201);
    Client::thing(&server, 8).order(&[("dns", &long)]).is(201);
}

/// No proof would change that, so nothing has to be proven before it is told.
#[test]
fn nobody_proves_a_host_that_the_issuer_may_not_certify() {
    let (_held, server) = looking();
    let names = introduction(9, &["host:pump-9.evil.example"]);
    server.world.submit(vec![names, status(9, &maker(), "manufacturer", "in-use", &[])]);
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let detail = client.order(&[("dns", "pump-9.evil.example")]).fails(400, "rejectedIdentifier");
    assert!(detail.contains("does not let it certify `pump-9.evil.example`"), "{detail}");
}

/// The address may be someone else's tomorrow; certificates of the thing's own key, and others in its name, are for the
/// thing to ask for.
#[test]
fn who_held_the_place_of_a_host_is_not_the_thing() {
    let (held, server) = looking();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let (order, authorization, challenge) = pending(&client, "http-01");
    let request = server.bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let _asked = web_server(held.number(), ok(&key_authorization(&client, &challenge)));
    looked_at(&client, &authorization, &challenge);
    client.finalize(&order, &request).is(200);
    let key = server.bench.run("openssl", &["pkey", "-in", "server.key", "-pubout", "-outform", "DER"]).stdout;
    let profile = "ldevid".to_owned();
    let asked = EstRequest { domain: domain(), profile, issuer: None, proven: Some(KeyPin::of(&key)), basic: None };
    let text = STANDARD.encode(server.bench.request("device", &[]));
    let enroll = || server.runtime.block_on(server.world.app.est_enroll(&asked, &text));
    let refused = enroll().expect_err("it is good for the host alone");
    assert_eq!(refused.fault(), CertifyFault::Unproven, "{refused}");
    assert!(refused.to_string().contains("does not show that the thing comes"), "{refused}");
    // The thing may have a certificate of its own for the same key, and then the key is its own.
    Client::thing(&server, 7).certificate(&[HOST], &request);
    enroll().expect("the thing itself has asked for that one");
}

#[test]
fn answers_that_prove_nothing() {
    let (held, server) = looking();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let answers = [
        (ok("something else"), "incorrectResponse"),
        (redirect, "incorrectResponse"),
        (b"no HTTP at all\r\n\r\n".to_vec(), "connection"),
    ];
    for (answer, kind) in answers {
        let (order, authorization, challenge) = pending(&client, "http-01");
        let _asked = web_server(held.number(), answer);
        let failed = looked_at(&client, &authorization, &challenge);
        let error = &failed["challenges"]
            .as_array()
            .expect("some")
            .iter()
            .find(|it| it["status"] == "invalid")
            .expect("one")["error"];
        assert_eq!(error["type"], format!("urn:ietf:params:acme:error:{kind}"), "{failed}");
        assert_eq!(client.read(&order.location()).json()["status"], "invalid");
        client.post_to(challenge["url"].as_str().expect("a URL"), &json!({})).is(200);
    }
    let (_, authorization, challenge) = pending(&client, "tls-alpn-01");
    let failed = looked_at(&client, &authorization, &challenge);
    assert_eq!(failed["status"], "invalid", "nobody listens: {failed}");
}

/// White space at the end of an answer is ignored (RFC 8555, 8.3), but not read without end.
#[test]
fn an_answer_has_so_many_bytes() {
    let (held, server) = looking();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    for (bytes, status) in [(limits::ACME_ANSWER_BYTES + 1, "invalid"), (limits::ACME_ANSWER_BYTES, "valid")] {
        let (_, authorization, challenge) = pending(&client, "http-01");
        let answer = format!("{:bytes$}", key_authorization(&client, &challenge));
        let _asked = web_server(held.number(), ok(&answer));
        let shown = looked_at(&client, &authorization, &challenge);
        assert_eq!(shown["status"], status, "{bytes}: {shown}");
    }
}

#[test]
fn a_device_has_nothing_to_prove_and_nobody_proves_what_no_record_gives() {
    let (_held, server) = looking();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    client.order(&[("dns", "other.acme.example")]).fails(400, "rejectedIdentifier");
    client.order(&[("permanent-identifier", "urn:dev:os:32473-SN-7")]).fails(403, "unauthorized");
    assert_eq!(Client::thing(&server, 7).order(&[HOST]).is(201).json()["status"], "ready");
    let (_, authorization, challenge) = pending(&client, "http-01");
    client.post_to(&authorization, &json!({"status": "deactivated"})).is(200);
    client.post_to(challenge["url"].as_str().expect("a URL"), &json!({})).fails(400, "malformed");
    let authz = client.post("new-authz", &json!({"identifier": {"type": "dns", "value": HOST.1}})).is(201);
    assert_eq!(authz.json()["status"], "pending");
    let challenges = authz.json()["challenges"].as_array().expect("some").clone();
    let tokens: BTreeSet<String> = challenges.iter().map(|it| it["token"].to_string()).collect();
    assert_eq!((challenges.len(), tokens.len()), (2, 2), "each has its own (RFC 8555, 8)");
    // The name of a blocked device cannot be proven either.
    let theirs = crate::world::status(7, &crate::world::controller(), "security-controller", "suspended", &[]);
    server.world.submit(vec![theirs]);
    client.order(&[HOST]).fails(403, "unauthorized");
    drop(signer(1));
}

/// A thief of a device has its account too, and perhaps the place of another device in the network.
#[test]
fn a_blocked_device_asks_for_nothing_in_the_name_of_another() {
    let (held, server) = looking();
    let in_use = status(8, &maker(), "manufacturer", "in-use", &[]);
    server.world.submit(vec![introduction(8, &["urn:dev:os:32473-SN-8"]), in_use]);
    let thief = Client::thing(&server, 8);
    let named = |name: &str| server.bench.request(name, &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let theirs = first_der(&Client::thing(&server, 7).certificate(&[HOST], &named("server")).0);
    let own = ("permanent-identifier", "urn:dev:os:32473-SN-8");
    let own = first_der(&thief.certificate(&[own], &server.bench.request("own", &[])).0);
    let (ready, authorization, challenge) = pending(&thief, "http-01");
    let asked = web_server(held.number(), ok(&key_authorization(&thief, &challenge)));
    assert_eq!(looked_at(&thief, &authorization, &challenge)["status"], "valid");
    asked.recv().expect("was asked");
    let (_, _, challenge) = pending(&thief, "tls-alpn-01");
    let credential = server.credential(&signer(8));

    server.world.submit(vec![status(8, &controller(), "security-controller", "suspended", &[])]);
    let detail = thief.order(&[HOST]).fails(403, "unauthorized");
    assert!(detail.contains("the account speaks for the thing") && detail.contains("`suspended`"), "{detail}");
    let identifier = json!({"identifier": {"type": HOST.0, "value": HOST.1}});
    thief.post("new-authz", &identifier).fails(403, "unauthorized");
    thief.post_to(challenge["url"].as_str().expect("a URL"), &json!({})).fails(403, "unauthorized");
    thief.finalize(&ready, &named("fresh")).fails(403, "unauthorized");
    assert_eq!(thief.read(&ready.location()).is(200).json()["status"], "invalid");
    thief.revoke(&theirs, Some(5)).fails(403, "unauthorized");
    let other = Client::new(&server, 42);
    let change = json!({"account": *thief.kid.borrow(), "oldKey": jwk(&thief.key)});
    let header = json!({"alg": "EdDSA", "url": thief.url("key-change"), "jwk": jwk(&other.key)});
    thief.post("key-change", &other.sign(&header, &change.to_string())).fails(403, "unauthorized");
    let binding = other.binding(&credential.kid, &credential.hmac_key, &other.url("new-account"));
    other.register(&json!({"externalAccountBinding": binding})).fails(403, "unauthorized");

    // The thief may give up what belongs to the stolen device.
    thief.revoke(&own, Some(4)).is(200);
    let account = thief.kid.borrow().clone().expect("a URL");
    thief.post_to(&account, &json!({"status": "deactivated"})).is(200);
}

/// The key of a device creates no account while the device is blocked.
#[test]
fn a_blocked_device_makes_no_account() {
    let server = Server::start();
    server.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    Client::new(&server, 7).register(&json!({})).fails(403, "unauthorized");
}

/// The challenges of a new order of a client without a right.
fn both(client: &Client<'_>) -> Vec<String> {
    let order = client.order(&[HOST]).is(201).json();
    let authorization = client.read(order["authorizations"][0].as_str().expect("a URL")).is(200).json();
    let challenges = authorization["challenges"].as_array().expect("some");
    challenges.iter().map(|it| it["url"].as_str().expect("a URL").to_owned()).collect()
}

/// A holder whose hosts do not answer takes only a share of the queue, and leaves the rest to others.
#[test]
fn so_many_challenges_of_one_holder_wait_to_be_looked_at() {
    let (held, server) = looking();
    // It accepts connections and says nothing, until the look times out.
    let _silent = TcpListener::bind((Ipv4Addr::LOCALHOST, held.number())).expect("listens");
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    // Twice as many as he may have: on a busy machine, the first looks may time out before the last is asked for.
    let challenges: Vec<String> = (0..limits::ACME_LOOKS_OF_HOLDER).flat_map(|_| both(&client)).collect();
    let mut begun = challenges.iter().map(|url| (url, client.post_to(url, &json!({})))).enumerate();
    let refused = begun.find(|(_, (_, answer))| answer.status != 200);
    let (taken, (url, refused)) = refused.expect("not as many as he likes");
    assert!(taken >= limits::ACME_LOOKS_OF_HOLDER, "{taken}");
    let detail = refused.fails(429, "rateLimited");
    assert!(detail.contains("32 challenges of the signer") && !refused.header("retry-after").is_empty(), "{detail}");
    assert_eq!(client.read(url).is(200).json()["status"], "pending", "it can be begun later");
    let other = Client::bound(&server, 42, &server.credential(&controller()));
    other.post_to(&both(&other)[0], &json!({})).is(200);
}

/// RFC 9773, 5: a certificate is replaced by an order that may succeed, not by one that has failed.
#[test]
fn an_order_that_failed_is_no_successor() {
    let (held, server) = looking();
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let (order, authorization, challenge) = pending(&client, "http-01");
    let asked = web_server(held.number(), ok(&key_authorization(&client, &challenge)));
    looked_at(&client, &authorization, &challenge);
    asked.recv().expect("was asked");
    let request = server.bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let done = client.finalize(&order, &request).is(200).json();
    let chain = client.read(done["certificate"].as_str().expect("a URL")).is(200).text();
    let id = crate::certificates::certificate_id(&server, &chain);
    let successor = json!({"identifiers": [{"type": HOST.0, "value": HOST.1}], "replaces": id});
    let failing = client.post("new-order", &successor).is(201).json();
    client.post("new-order", &successor).fails(409, "alreadyReplaced");
    let authorization = failing["authorizations"][0].as_str().expect("a URL");
    let challenges = client.read(authorization).is(200).json()["challenges"].clone();
    let failed = looked_at(&client, authorization, &challenges[0]);
    assert_eq!(failed["status"], "invalid", "nobody listens: {failed}");
    client.post("new-order", &successor).is(201);
    client.post("new-order", &successor).fails(409, "alreadyReplaced");
}

#[test]
fn only_allowed_addresses_are_asked() {
    let held = Port::take().expect("a port");
    let port = held.number();
    let server = Server::with(AcmeConfig { networks: Vec::new(), ..looking_at(port) });
    let client = Client::bound(&server, 41, &server.credential(&owner()));
    let (_, authorization, challenge) = pending(&client, "http-01");
    let asked = web_server(port, ok(&key_authorization(&client, &challenge)));
    let failed = looked_at(&client, &authorization, &challenge);
    let text = failed.to_string();
    assert!(
        text.contains("urn:ietf:params:acme:error:dns") && text.contains("no address that this node may ask"),
        "{text}"
    );
    assert!(asked.try_recv().is_err(), "loopback is not asked");
}
