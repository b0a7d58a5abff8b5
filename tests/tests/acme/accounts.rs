//! How much one holder may have and ask for, and what becomes of accounts that are taken away.

use std::cell::RefCell;
use std::sync::Barrier;

use ics_core::limits;
use ics_core::openpgp::signer::Signer;
use ics_node::api::{AcmeAccount, PageQuery};
use ics_node::app::App;
use ics_node::config::AcmeConfig;
use serde_json::json;

use crate::client::{Client, jwk};
use crate::support::Server;
use crate::world::{domain, introduction, maker, owner, signer, status};

const URN: (&str, &str) = ("permanent-identifier", "urn:dev:os:32473-SN-7");

#[test]
fn an_account_asks_for_so_much_in_an_hour() {
    let server = Server::with(AcmeConfig { orders_per_hour: 2, ..AcmeConfig::default() });
    let (device, maker) = (Client::thing(&server, 7), Client::bound(&server, 41, &server.credential(&maker())));
    device.order(&[URN]).is(201);
    device.order(&[URN]).is(201);
    let refused = device.order(&[URN]);
    refused.fails(429, "rateLimited");
    assert!(!refused.header("retry-after").is_empty());
    let authorize = || maker.post("new-authz", &json!({"identifier": {"type": URN.0, "value": URN.1}}));
    authorize().is(201);
    authorize().is(201);
    authorize().fails(429, "rateLimited");
    maker.order(&[URN]).is(201);
}

/// Whoever has a key could have a credential made each second.
#[test]
fn so_many_credentials_of_one_holder_wait_for_their_accounts() {
    let server = Server::start();
    let mut last = server.credential(&maker());
    for _ in 1..limits::ACME_CREDENTIALS_WAITING {
        last = server.credential(&maker());
    }
    let refused = server.ask_credential(&maker()).expect_err("one too many");
    assert_eq!(refused.code().as_str(), "too-many-requests", "{refused}");
    server.credential(&owner());
    Client::bound(&server, 41, &last);
    server.credential(&maker());
}

/// Otherwise whoever asks would wait for a place that never comes, and the operator would not learn of it.
#[test]
fn that_no_credential_can_be_kept_is_the_nodes_fault() {
    let server = Server::start();
    let file = rusqlite::Connection::open(server.world.database().with_file_name("acme.db")).expect("opens");
    file.execute_batch("DROP TABLE credential").expect("is dropped");
    let refused = server.ask_credential(&maker()).expect_err("there is no place for it");
    assert_eq!(refused.code().as_str(), "internal", "{refused}");
}

/// A client that got no answer asks again, perhaps while its first request is still worked on.
#[test]
fn an_account_is_made_once_by_two_who_ask_at_the_same_time() {
    let (server, seeds) = (Server::start(), 110..126_u8);
    let things = seeds.clone().flat_map(|seed| {
        let name = format!("urn:dev:os:32473-SN-{seed}");
        [introduction(seed, &[name.as_str()]), status(seed, &maker(), "manufacturer", "in-use", &[])]
    });
    server.world.submit(things.collect());
    let by_credential = |seed: u8| {
        let (client, credential) = (Client::new(&server, seed), server.credential(&maker()));
        let binding = client.binding(&credential.kid, &credential.hmac_key, &client.url("new-account"));
        (seed, json!({"externalAccountBinding": binding}))
    };
    let own = seeds.map(|seed| (seed, json!({})));
    for (seed, payload) in own.chain((140..156).map(by_credential)) {
        let both = Barrier::new(2);
        let ask = || {
            let client = Client::new(&server, seed);
            let url = client.url("new-account");
            let header = json!({"alg": "EdDSA", "nonce": client.nonce(), "url": url, "jwk": jwk(&client.key)});
            let request = client.sign(&header, &payload.to_string());
            both.wait();
            client.send_jws(&url, &request)
        };
        let answers = std::thread::scope(|scope| {
            let asking = [ask, ask].map(|ask| scope.spawn(ask));
            asking.map(|it| it.join().expect("is answered"))
        });
        let mut told = answers.each_ref().map(|answer| answer.status);
        told.sort_unstable();
        assert_eq!(told, [200, 201], "{answers:?}");
        assert_eq!(answers[0].location(), answers[1].location());
    }
}

/// Gives the account of a client another key.
fn change_key(client: &Client<'_>, seed: u8) {
    let new = Client::new(client.server, seed);
    let url = client.url("key-change");
    let header = json!({"alg": "EdDSA", "url": url, "jwk": jwk(&new.key)});
    let change = json!({"account": *client.kid.borrow(), "oldKey": jwk(&client.key)});
    client.post("key-change", &new.sign(&header, &change.to_string())).is(200);
}

/// A thing's own key could create accounts without end: it gives one to another key and creates the next.
#[test]
fn a_thing_has_so_many_accounts_and_asks_for_so_much_by_all_of_them() {
    let server = Server::with(AcmeConfig { orders_per_hour: 2, ..AcmeConfig::default() });
    let mut device = Client::thing(&server, 7);
    device.order(&[URN]).is(201);
    for seed in (100..).take(limits::ACME_ACCOUNTS_OF_THING - 1) {
        change_key(&device, seed);
        device = Client::thing(&server, 7);
    }
    device.order(&[URN]).is(201);
    let refused = device.order(&[URN]);
    assert!(refused.fails(429, "rateLimited").contains("over all of its accounts"));
    assert!(!refused.header("retry-after").is_empty());

    change_key(&device, 99);
    let credential = server.credential(&signer(7));
    let (own, bound) = (Client::new(&server, 7), Client::new(&server, 98));
    let detail = own.register(&json!({})).fails(429, "rateLimited");
    assert!(detail.contains("has 16 accounts, the limit"), "{detail}");
    let binding = bound.binding(&credential.kid, &credential.hmac_key, &bound.url("new-account"));
    let payload = json!({"externalAccountBinding": binding});
    bound.register(&payload).fails(429, "rateLimited");
    let maker = Client::bound(&server, 41, &server.credential(&maker()));
    maker.order(&[URN]).is(201);

    // The operator revokes all of them, and the pending credentials that could create others.
    let account = again(&server, &[(99, device.kid.take()), (41, maker.kid.take())]);
    let app = &server.world.app;
    let id = signer(7).public_key().fingerprint().to_string();
    let valid = || pages_of_accounts(app).into_iter().filter(|it| it.holder == id && it.state == "valid").count();
    assert_eq!(valid(), 16);
    assert_eq!(app.acme_revoke_accounts(&domain(), &id).expect("takes away").accounts, 16);
    assert_eq!(app.acme_revoke_accounts(&domain(), &id).expect("takes away").accounts, 0, "once");
    assert_eq!(valid(), 0);
    let revoked = |it: &&AcmeAccount| (&*it.kind, &it.holder, &*it.state) == ("thing", &id, "revoked");
    assert_eq!(pages_of_accounts(app).iter().filter(revoked).count(), 16, "they are listed all the same");
    assert!(app.acme_accounts(&domain(), PageQuery { after: 0, limit: Some(501) }).is_err());
    let detail = account[0].order(&[URN]).fails(403, "unauthorized");
    assert!(detail.contains("taken away"), "{detail}");
    bound.register(&payload).fails(403, "unauthorized");
    own.register(&json!({})).is(201);
    own.order(&[URN]).fails(429, "rateLimited");
    account[1].order(&[URN]).is(201);
}

/// Clients with existing accounts, each given by the seed of its key and its URL.
pub(crate) fn again<'s>(server: &'s Server, bound: &[(u8, Option<String>); 2]) -> [Client<'s>; 2] {
    bound.clone().map(|(seed, kid)| Client { kid: RefCell::new(kid), ..Client::new(server, seed) })
}

/// Their contacts are deleted only with them, and they could issue again.
#[test]
fn accounts_of_a_domain_that_issues_no_more_can_be_taken_away() {
    let mut server = Server::start();
    let contact = "mailto:jo@acme.example";
    Client::new(&server, 7).register(&json!({"contact": [contact]})).is(201);
    server.world.change(|descriptor| descriptor.certificates = None);
    let app = &server.world.app;
    assert!(app.acme_directory_url(&domain()).is_err(), "nobody gets another account");
    let contacts = || pages_of_accounts(app).into_iter().flat_map(|it| it.contact).collect::<Vec<_>>();
    assert_eq!(contacts(), [contact]);
    let id = signer(7).public_key().fingerprint().to_string();
    assert_eq!(app.acme_revoke_accounts(&domain(), &id).expect("takes away").accounts, 1);
    assert_eq!(contacts(), Vec::<String>::new());
}

/// All accounts, page by page.
fn pages_of_accounts(app: &App) -> Vec<AcmeAccount> {
    let (mut all, mut next) = (Vec::new(), Some(0));
    while let Some(after) = next {
        let page = app.acme_accounts(&domain(), PageQuery { after, limit: Some(5) }).expect("a page");
        assert!(page.items.len() <= 5 && page.items.iter().all(|it| it.account > after));
        all.extend(page.items);
        next = page.next;
    }
    all
}
