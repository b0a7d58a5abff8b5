//! Orders and their outcome, in the protocol's terms.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use ics_core::identity::Kind;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{KeyType, ProfileName};
use ics_node::api::AcmeCredential;
use ics_node::app::Asker;
use ics_node::keys::{Algorithm, KeyStore, KeyVersion, PASSPHRASE_FILE, Passphrase};
use serde_json::json;

use crate::client::{Client, first_der};
use crate::support::{Server, eventually};
use crate::world::{CREATED, DOMAIN, TOKEN, controller, maker, owner, status};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");
const HOST: (&str, &str) = ("dns", "pump-7.acme.example");

#[test]
fn a_directory_says_where_everything_is() {
    let server = Server::start();
    let client = Client::new(&server, 7);
    let answer = client.get("GET", &server.directory()).is(200);
    let directory = answer.json();
    for (member, path) in [
        ("newNonce", "new-nonce"),
        ("newAccount", "new-account"),
        ("newOrder", "new-order"),
        ("newAuthz", "new-authz"),
        ("revokeCert", "revoke-cert"),
        ("keyChange", "key-change"),
        ("renewalInfo", "renewal-info"),
    ] {
        assert_eq!(directory[member], client.url(path), "{directory}");
    }
    assert_eq!(directory["meta"]["externalAccountRequired"], true);
    let profile = directory["meta"]["profiles"]["server"].as_str().expect("a profile");
    assert!(profile.contains("server") && profile.contains("30 days"), "{profile}");
    let nonce = client.get("GET", &client.url("new-nonce")).is(204);
    assert!(!nonce.header("replay-nonce").is_empty() && nonce.header("cache-control") == "no-store");
    assert_eq!(nonce.header("link"), format!("<{}>;rel=\"index\"", server.directory()));
}

#[test]
fn a_thing_asks_with_its_own_key_and_the_record_is_all_that_is_asked() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let order = device.order(&[HOST]).is(201);
    let json = order.json();
    assert_eq!((&json["status"], &json["profile"]), (&"ready".into(), &serde_json::Value::Null), "{json}");
    let authorization = device.read(json["authorizations"][0].as_str().expect("a URL")).is(200).json();
    assert_eq!((&authorization["status"], &authorization["challenges"]), (&"valid".into(), &json!([])));
    let csr = server.bench.request("server", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let done = device.finalize(&order, &csr).is(200);
    assert_eq!((&done.json()["status"], done.location()), (&"valid".into(), order.location()));
    let url = done.json()["certificate"].as_str().expect("a URL").to_owned();
    let chain = device.read(&url).is(200);
    assert_eq!(chain.header("content-type"), "application/pem-certificate-chain");
    server.bench.file("server.pem", &chain.body);
    server.bench.file("root.pem", ics_node::x509::certificate_pem(&server.world.root).as_bytes());
    server.bench.openssl(
        "verify -purpose sslserver -verify_hostname pump-7.acme.example -CAfile root.pem -untrusted server.pem server.pem",
    );
    // The other chain includes the root.
    let links: Vec<_> = chain.headers.get_all("link").iter().map(|it| it.to_str().expect("text")).collect();
    assert!(links.contains(&format!("<{url}/1>;rel=\"alternate\"").as_str()), "{links:?}");
    let other = device.read(&format!("{url}/1")).is(200);
    assert_eq!(
        (chain.text().matches("BEGIN CERT").count(), other.text().matches("BEGIN CERT").count()),
        (2, 3),
        "the root is in the other one only"
    );
    let account = device.kid.borrow().clone().expect("an account");
    let orders = device.read(&format!("{account}/orders")).is(200).json();
    assert_eq!(orders["orders"], json!([order.location()]));
}

#[test]
fn profiles_are_asked_for_by_name_and_the_shortest_is_taken_otherwise() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let order = |profile: &str| {
        device.post("new-order", &json!({"identifiers": [{"type": URN.0, "value": URN.1}], "profile": profile}))
    };
    let idevid = order("idevid").is(201);
    assert_eq!(idevid.json()["profile"], "idevid");
    let done = device.finalize(&idevid, &server.bench.request("idevid", &[])).is(200).json();
    let chain = device.read(done["certificate"].as_str().expect("a URL")).is(200).text();
    server.bench.file("idevid.pem", chain.as_bytes());
    assert!(server.bench.openssl("x509 -in idevid.pem -noout -enddate").contains("9999"));
    order("no-such").fails(400, "invalidProfile");
    order("server").fails(400, "rejectedIdentifier");
    let (chain, _) = device.certificate(&[URN], &server.bench.request("ldevid", &[]));
    server.bench.file("ldevid.pem", chain.as_bytes());
    let text = server.bench.openssl("x509 -in ldevid.pem -noout -text");
    assert!(text.contains("TLS Web Client") && text.contains("URI:urn:dev:os:32473-SN-7"), "{text}");
    let own = crate::world::id(7).to_string();
    let by_id = json!({"identifiers": [{"type": URN.0, "value": own}], "profile": "ldevid"});
    let order = device.post("new-order", &by_id).is(201);
    device.finalize(&order, &server.bench.request("by-id", &[])).is(200);
    let times = json!({"identifiers": [{"type": URN.0, "value": URN.1}], "notAfter": "2027-01-01T00:00:00Z"});
    device.post("new-order", &times).fails(400, "malformed");
}

/// Adds a profile with a shorter lifetime, for things of this kind, that accepts other keys than the others.
fn with_short(server: &mut Server, of: &str, kind: Kind) {
    let name = |text: &str| text.parse::<ProfileName>().expect("a name");
    server.world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        let mut short = profiles.get(&name(of)).expect("it is there").clone();
        short.seconds = Some(240);
        short.kinds = BTreeSet::from([kind]);
        short.keys = BTreeSet::from([KeyType::P256]);
        profiles.insert(name("a-short"), short);
    });
}

/// A client that names no profile gets the shortest, which is chosen before the client's key is known.
#[test]
fn a_key_that_a_profile_does_not_take_is_told_which_one_does() {
    let mut server = Server::start();
    with_short(&mut server, "server", Kind::Device);
    let device = Client::thing(&server, 7);
    server.bench.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    let csr = server.bench.request_again("rsa", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let detail = device.finalize(&device.order(&[HOST]).is(201), &csr).fails(400, "badPublicKey");
    for expected in ["`a-short`", "rsa", "`server` would", "`profile`"] {
        assert!(detail.contains(expected), "`{expected}` is missing: {detail}");
    }
    assert!(!detail.contains("`ocsp`") && !detail.contains("`ldevid`"), "nor what it could not get: {detail}");
    let named = json!({"identifiers": [{"type": HOST.0, "value": HOST.1}], "profile": "server"});
    device.finalize(&device.post("new-order", &named).is(201), &csr).is(200);
    let directory = device.get("GET", &server.directory()).is(200).json();
    let told = directory["meta"]["profiles"]["a-short"].as_str().expect("a profile");
    assert!(told.contains("keys: p256") && told.contains("shortest that fits"), "{told}");
}

/// The reason must not be that of the profile tried first.
#[test]
fn the_reason_is_told_that_is_about_the_thing() {
    let mut server = Server::start();
    with_short(&mut server, "ldevid", Kind::Gateway);
    let device = Client::thing(&server, 7);
    device.order(&[URN]).is(201);
    server.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    let detail = device.order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("its status is `suspended`"), "{detail}");
}

/// A request without names asks for what was ordered, not for everything that the record gives (RFC 8555, 7.4).
#[test]
fn a_certificate_has_no_host_that_was_not_ordered() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let csr = server.bench.request("host", &["-addext", "subjectAltName=DNS:pump-7.acme.example"]);
    let (chain, _) = device.certificate(&[HOST], &csr);
    let maker = Client::bound(&server, 41, &server.credential(&maker()));
    maker.revoke(&first_der(&chain), None).is(200);
    device.order(&[HOST]).fails(403, "unauthorized");
    let own = crate::world::id(7).to_string();
    // That of servers has the shortest time, and takes no URN.
    let (chain, _) = device.certificate(&[(URN.0, &own)], &server.bench.request("default", &[]));
    server.bench.file("by-id.pem", chain.as_bytes());
    let text = server.bench.openssl("x509 -in by-id.pem -noout -text");
    assert!(text.contains("URI:urn:dev:os:32473-SN-7"), "{text}");
    for (profile, urn) in [("server", false), ("ldevid", true)] {
        let by_id = json!({"identifiers": [{"type": URN.0, "value": own}], "profile": profile});
        let order = device.post("new-order", &by_id).is(201);
        let done = device.finalize(&order, &server.bench.request(profile, &[])).is(200).json();
        let chain = device.read(done["certificate"].as_str().expect("a URL")).is(200).text();
        server.bench.file("by-id.pem", chain.as_bytes());
        let text = server.bench.openssl("x509 -in by-id.pem -noout -text");
        assert!(!text.contains("pump-7.acme.example"), "{profile}: {text}");
        assert_eq!(text.contains("URI:urn:dev:os:32473-SN-7"), urn, "{profile}: {text}");
    }
}

/// A serial number cannot be ordered, but the firmware of secure elements writes it into every request.
#[test]
fn a_request_may_have_the_devices_own_serial_number() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let order = device.order(&[URN]).is(201);
    let request =
        |serial: &str| server.bench.request(serial, &["-subj", &format!("/CN=Pump 7.5/serialNumber={serial}")]);
    device.finalize(&order, &request("SN-8")).fails(400, "rejectedIdentifier");
    device.finalize(&order, &request("SN-7")).is(200);
    let module = "[req]\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n[ext]\n\
                  subjectAltName = otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:module\n\
                  [module]\ntype = OID:1.3.6.1.4.1.32473.1\nserial = OCT:SN-7\n";
    server.bench.file("module.cnf", module.as_bytes());
    let idevid = json!({"identifiers": [{"type": URN.0, "value": URN.1}], "profile": "idevid"});
    let order = device.post("new-order", &idevid).is(201);
    device.finalize(&order, &server.bench.request("module", &["-config", "module.cnf"])).is(200);
}

#[test]
fn renewal_is_suggested_in_time_and_a_successor_is_named_once() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let csr = server.bench.request("device", &[]);
    let (chain, _) = device.certificate(&[URN], &csr);
    let id = certificate_id(&server, &chain);
    let info = device.get("GET", &device.url(&format!("renewal-info/{id}"))).is(200);
    assert!(!info.header("retry-after").is_empty());
    let window = info.json()["suggestedWindow"].clone();
    let time = |member: &str| Timestamp::parse(window[member].as_str().expect("a time")).expect("is one");
    let days = |member: &str| time(member).millis_since(server.world.app.clock().now()) / 86_400_000;
    assert!((50..65).contains(&days("start")) && (50..70).contains(&days("end")), "{window}");
    let successor = json!({"identifiers": [{"type": URN.0, "value": URN.1}], "replaces": id});
    let other = json!({"identifiers": [{"type": HOST.0, "value": HOST.1}], "replaces": id});
    let detail = device.post("new-order", &other).fails(400, "malformed");
    assert!(detail.contains("no identifier in common"), "{detail}");
    let unknown = json!({"identifiers": [{"type": URN.0, "value": URN.1}], "replaces": "AAAA.AAAA"});
    device.post("new-order", &unknown).fails(400, "malformed");
    let order = device.post("new-order", &successor).is(201);
    assert_eq!(order.json()["replaces"], id);
    device.post("new-order", &successor).fails(409, "alreadyReplaced");
    let other = Client::bound(&server, 41, &server.credential(&maker()));
    other.post("new-order", &successor).fails(400, "malformed");
    device.revoke(&first_der(&chain), Some(4)).is(200);
    let info = device.get("GET", &device.url(&format!("renewal-info/{id}"))).is(200).json();
    let end = Timestamp::parse(info["suggestedWindow"]["end"].as_str().expect("a time")).expect("is one");
    assert!(end <= server.world.app.clock().now(), "it is to be renewed at once");
    device.get("GET", &device.url("renewal-info/AAAA.AAAA")).fails(404, "malformed");
    device.get("GET", &device.url("renewal-info/x")).fails(400, "malformed");
}

/// Nothing would be issued.
#[test]
fn nobody_is_told_to_renew_at_once_what_is_on_hold() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let (chain, _) = device.certificate(&[URN], &server.bench.request("device", &[]));
    let url = device.url(&format!("renewal-info/{}", certificate_id(&server, &chain)));
    let window = || device.get("GET", &url).is(200).json()["suggestedWindow"].clone();
    let usual = window();
    let suspended = server.world.submit(vec![status(7, &controller(), "security-controller", "suspended", &[])]);
    assert_eq!(window(), usual);
    server.world.submit(vec![status(7, &owner(), "owner", "in-use", &suspended)]);
    assert_eq!(window(), usual);
}

/// The identifier of a certificate by RFC 9773.
pub(crate) fn certificate_id(server: &Server, chain: &str) -> String {
    server.bench.file("renew.pem", chain.as_bytes());
    let text = server.bench.openssl("x509 -in renew.pem -noout -serial -ext authorityKeyIdentifier");
    let hex =
        |text: &str| data_encoding::HEXUPPER_PERMISSIVE.decode(text.replace(':', "").trim().as_bytes()).expect("hex");
    let serial = text.lines().find_map(|line| line.strip_prefix("serial=")).expect("a serial number");
    let issuer = text.lines().map(str::trim).find(|line| line.len() == 59).expect("a key identifier");
    let encode = |bytes: Vec<u8>| data_encoding::BASE64URL_NOPAD.encode(&bytes);
    format!("{}.{}", encode(hex(issuer)), encode(hex(serial)))
}

#[test]
fn accounts_are_found_again_changed_and_given_up() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let account = device.kid.borrow().clone().expect("an account");
    let again = device.register(&json!({"onlyReturnExisting": true})).is(200);
    assert_eq!(again.location(), account);
    let changed = device.post_to(&account, &json!({"contact": ["mailto:ops@acme.example"]})).is(200);
    assert_eq!(changed.json()["contact"], json!(["mailto:ops@acme.example"]));
    assert_eq!(device.read(&account).is(200).json()["contact"], changed.json()["contact"]);
    device.post_to(&account, &json!({"contact": ["tel:+49"]})).fails(400, "unsupportedContact");
    device.post_to(&account, &json!({"status": "deactivated"})).is(200);
    device.order(&[URN]).fails(403, "unauthorized");
    device.register(&json!({})).fails(403, "unauthorized");
    Client::new(&server, 99).register(&json!({"onlyReturnExisting": true})).fails(400, "accountDoesNotExist");
}

/// Nobody should have to ask the operator to have it deleted.
#[test]
fn whom_to_write_to_is_nowhere_once_an_account_is_given_up() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let account = device.kid.borrow().clone().expect("an account");
    let contact = "mailto:whom-to-write-to@acme.example";
    device.post_to(&account, &json!({"contact": [contact]})).is(200);
    let is_there = || {
        let read = |name: &str| std::fs::read(server.world.database().with_file_name(name)).unwrap_or_default();
        let files = ["acme.db", "acme.db-wal"].map(read).concat();
        files.windows(contact.len()).any(|part| part == contact.as_bytes())
    };
    assert!(is_there());
    let given_up = device.post_to(&account, &json!({"status": "deactivated"})).is(200);
    assert_eq!(given_up.json()["contact"], json!([]));
    eventually("it is deleted", || !is_there());
}

#[test]
fn a_key_takes_the_place_of_another() {
    let server = Server::start();
    let device = Client::thing(&server, 7);
    let new = Client::new(&server, 77);
    let account = device.kid.borrow().clone().expect("an account");
    let url = device.url("key-change");
    let change = |by: &Client<'_>| {
        let header = json!({"alg": "EdDSA", "url": url, "jwk": crate::client::jwk(&by.key)});
        by.sign(&header, &json!({"account": account, "oldKey": crate::client::jwk(&device.key)}).to_string())
    };
    let other = Client::bound(&server, 78, &server.credential(&maker()));
    let taken = device.post("key-change", &change(&other));
    taken.fails(409, "malformed");
    assert_eq!(Some(taken.location()), *other.kid.borrow());
    device.post("key-change", &change(&new)).is(200);
    device.read(&account).fails(403, "unauthorized");
    *new.kid.borrow_mut() = Some(account);
    new.order(&[URN]).is(201);
}

#[test]
fn credentials_are_for_signers_and_things_and_serve_once() {
    let server = Server::start();
    let credential = server.credential(&maker());
    assert_eq!(credential.directory, server.directory());
    let first = Client::bound(&server, 41, &credential);
    first.order(&[HOST]).is(201);
    let second = Client::new(&server, 42);
    let url = second.url("new-account");
    let register = |kid: &str, secret: &str, url: &str| {
        second.register(&json!({"externalAccountBinding": second.binding(kid, secret, url)}))
    };
    register(&credential.kid, &credential.hmac_key, &url).fails(403, "unauthorized");
    let fresh = server.credential(&maker());
    register(&fresh.kid, &credential.hmac_key, &url).fails(403, "unauthorized");
    register(&fresh.kid, &fresh.hmac_key, "https://other.example").fails(400, "malformed");
    register("no-such", &fresh.hmac_key, &url).fails(403, "unauthorized");
    register(&fresh.kid, &fresh.hmac_key, &url).is(201);
    second.register(&json!({})).is(200);
    Client::new(&server, 43).register(&json!({})).fails(403, "externalAccountRequired");
    // The key of a certificate is not the thing's own: holding it gives no account for the thing.
    let (csr, key) = server.own_request();
    first.certificate(&[URN], &csr);
    let holder = Client { key, ..Client::new(&server, 0) };
    holder.register(&json!({})).fails(403, "externalAccountRequired");
    let thing = Client::bound(&server, 44, &server.credential(&crate::world::signer(7)));
    thing.order(&[URN]).is(201);
    let stranger = crate::world::signer(99);
    let id = ics_core::openpgp::signer::Signer::public_key(&stranger).fingerprint().to_string();
    assert!(server.world.app.acme_credential_challenge(Asker::Own, &DOMAIN.parse().expect("a domain"), &id).is_err());
}

#[test]
fn the_command_line_gets_a_credential_for_whoever_has_the_key() {
    let mut server = Server::plain();
    let home = server.bench.path().join("home");
    let passphrase = Passphrase::generate().expect("a passphrase");
    let algorithm = (Algorithm::Ed25519, KeyVersion::V4);
    let stored =
        KeyStore::new(&home).make(&"signer".parse().expect("a name"), "Line 1", algorithm, &passphrase, CREATED);
    let stored = stored.expect("a key");
    passphrase.write_to(&home.join(PASSPHRASE_FILE)).expect("is written");
    let credential = |server: &Server, form: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ics-under-test"));
        command.arg("--home").arg(&home).args(["--node", &server.url]).args(form).args(["acme", "eab"]);
        command.args(["--domain", DOMAIN, "--key", "signer"]).output().expect("starts")
    };
    let stranger = credential(&server, &["--json"]);
    assert_eq!(stranger.status.code(), Some(3), "{}", crate::tools::said(&stranger));
    let signer = stored.fingerprint();
    server.world.change(|descriptor| {
        let role = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("is there");
        role.signers.insert(signer);
    });
    let unsubmitted = credential(&server, &["--json"]);
    assert_eq!(unsubmitted.status.code(), Some(3), "{}", crate::tools::said(&unsubmitted));
    assert!(crate::tools::said(&unsubmitted).contains("may lack its certificate"), "{unsubmitted:?}");
    server.world.submit(vec![stored.certificate_bytes().to_vec()]);
    let given = credential(&server, &["--json"]);
    assert!(given.status.success(), "{}", crate::tools::said(&given));
    let given: AcmeCredential = serde_json::from_slice(&given.stdout).expect("JSON");
    assert_eq!(given.holder, format!("the signer {signer}"));
    let client = Client::bound(&server, 41, &given);
    client.order(&[URN]).is(201);
    let revoke = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ics-under-test"));
        command.arg("--home").arg(&home).args(["acme", "revoke", &signer.to_string(), "--domain", DOMAIN]);
        command.output().expect("starts")
    };
    let configuration = format!("[client]\nnode = \"{}\"\noperator_token_file = \"token\"\n", server.url);
    std::fs::write(home.join("ics.toml"), configuration).expect("is written");
    let stranger = revoke();
    assert!(!stranger.status.success(), "{}", crate::tools::said(&stranger));
    client.order(&[URN]).is(201);
    std::fs::write(home.join("token"), TOKEN).expect("is written");
    std::fs::set_permissions(home.join("token"), std::fs::Permissions::from_mode(0o600)).expect("is private");
    let operator = revoke();
    assert!(operator.status.success(), "{}", crate::tools::said(&operator));
    assert_eq!(String::from_utf8_lossy(&operator.stdout), format!("1 account of {signer} taken away\n"));
    client.order(&[URN]).fails(403, "unauthorized");

    // With the profiles that `ics ca import` makes, the credential is of no use, and the user is told so.
    server.world.change(|descriptor| {
        let profiles = &mut descriptor.certificates.as_mut().expect("it issues").profiles;
        profiles.values_mut().for_each(|profile| profile.requesters.clear());
    });
    let told = credential(&server, &[]);
    assert!(told.status.success(), "{}", crate::tools::said(&told));
    assert!(String::from_utf8_lossy(&told.stderr).contains("lists a role in `requesters`"), "{told:?}");
}
