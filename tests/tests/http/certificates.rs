//! The inventory of certificates: over the API, and on the operator's page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::time::Timestamp;
use ics_node::app::{AcmeSetup, Clock};
use ics_node::config::AcmeConfig;
use ics_node::http::Settings;
use reqwest::Client;
use reqwest::redirect::Policy;
use serde_json::json;

use crate::issuing::{self, DOMAIN, Shape, TOKEN, World, controller, of_lot, status};
use crate::support::{Answer, Node, settings};

const DAY: u64 = 86_400_000;

/// Three certificates of two devices: one that expires in two days, its successor, and one of a suspended device.
fn issued() -> World {
    let (world, now) = (World::new(), Clock::default().now());
    let from = Timestamp::from_millis(now.as_millis() - DAY);
    world.submit(vec![of_lot(8, "public", &["serial:SN-8"])]);
    world.claim_period(7, 1, (from, now.plus_millis(2 * DAY)), "ldevid");
    world.claim_period(7, 2, (from, now.plus_millis(90 * DAY)), "ldevid");
    world.claim_period(8, 3, (from, now.plus_millis(5 * DAY)), "server");
    world.submit(vec![status(8, &controller(), "security-controller", "suspended", &[])]);
    world
}

async fn started() -> (World, Node) {
    let world = tokio::task::spawn_blocking(issued).await.expect("a world");
    let mut node = Node::with_app(world.app.clone(), &settings());
    node.client = Client::builder().redirect(Policy::none()).build().expect("a client");
    (world, node)
}

fn serials(answer: &Answer) -> Vec<u64> {
    let of =
        |item: &serde_json::Value| item["serial"].as_str().and_then(|hex| hex[38..].parse().ok()).expect("a number");
    answer.json()["items"].as_array().expect("items").iter().map(of).collect()
}

#[tokio::test]
async fn certificates_are_listed_with_holder_end_and_reason_of_revocation() {
    let (_world, node) = started().await;
    let path = format!("/v1/domains/{DOMAIN}/certificates");
    let all = node.get(&path).await;
    assert_eq!((all.status, serials(&all)), (200, vec![1, 2, 3]), "{}", all.text());
    let items = all.json()["items"].clone();
    assert_eq!((&items[0]["renewed"], &items[1]["renewed"]), (&true.into(), &false.into()), "{items}");
    assert_eq!((&items[0]["state"], &items[2]["state"]), (&"good".into(), &"held".into()), "{items}");
    let revoked = &items[2]["revoked"];
    assert_eq!((&revoked["reason"], &revoked["status"]), (&"certificateHold".into(), &"suspended".into()), "{items}");
    assert_eq!((&revoked["by"]["role"], &revoked["by"]["name"]), (&"security-controller".into(), &"Controller".into()));
    assert_eq!((&items[2]["title"], &items[2]["issuer_name"]), (&"Pump 8".into(), &"Acme Issuing".into()));
    let window = &items[1]["renew"];
    assert!(
        window["from"].as_str() < window["until"].as_str() && window["until"].as_str() < items[1]["until"].as_str()
    );

    let held = node.get(&format!("{path}?state=held")).await;
    assert_eq!(serials(&held), [3]);
    let one = node.get(&format!("{path}?id={}", issuing::id(7))).await;
    assert_eq!(serials(&one), [1, 2]);
    let soon = Clock::default().now().plus_millis(30 * DAY);
    assert_eq!(
        serials(&node.get(&format!("{path}?ends_before={soon}")).await),
        [1, 3],
        "by the hour in which they end"
    );
    let sooner = Clock::default().now().plus_millis(3 * DAY);
    assert_eq!(serials(&node.get(&format!("{path}?ends_before={sooner}&state=good")).await), [1]);
    let tag = all.header("etag");
    assert_eq!(node.get_with(&path, &[("if-none-match", tag)]).await.status, 304);
}

#[tokio::test]
async fn pages_lead_to_the_end_in_either_order() {
    let (_world, node) = started().await;
    let soon = Clock::default().now().plus_millis(30 * DAY);
    for (query, expected) in
        [("limit=1".to_owned(), vec![1, 2, 3]), (format!("limit=1&ends_before={soon}"), vec![1, 3])]
    {
        let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = node.get(&format!("/v1/domains/{DOMAIN}/certificates?{query}{after}")).await;
            assert!(serials(&page).len() <= 1, "{}", page.text());
            found.extend(serials(&page));
            pages += 1;
            assert!(pages < 100, "it ends");
            match page.json()["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{query}");
    }
    let full = node.get(&format!("/v1/domains/{DOMAIN}/certificates?state=good&limit=2")).await;
    assert_eq!((serials(&full), full.json()["next"].as_str()), (vec![1, 2], None), "there is no other good one");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let (_world, node) = started().await;
    let path = format!("/v1/domains/{DOMAIN}/certificates");
    let id = issuing::id(7);
    for wrong in [
        "state=fine".to_owned(),
        "after=x".to_owned(),
        "after=1-2-3".to_owned(),
        "id=serial:SN-7".to_owned(),
        format!("id={id}&ends_before=2030-01-01T00:00:00Z"),
        "ends_before=tomorrow".to_owned(),
        "other=1".to_owned(),
    ] {
        node.get(&format!("{path}?{wrong}")).await.is_problem(&wrong, (400, "malformed-query"));
    }
    node.get(&format!("{path}?limit=501")).await.is_problem("limit", (400, "out-of-range"));
    node.get("/v1/domains/none.example/certificates").await.is_problem("domain", (404, "unknown-domain"));
}

#[tokio::test]
async fn the_holders_that_nobody_may_read_have_none() {
    let mut world = tokio::task::spawn_blocking(issued).await.expect("a world");
    let app = world.app.clone();
    world = tokio::task::spawn_blocking(move || {
        world.change(|descriptor| {
            let rule =
                "permit (principal, action in [Action::\"read\", Action::\"follow\", Action::\"mirror\"], resource);";
            assert!(descriptor.access.contains(rule));
            let one = "permit (principal, action == Action::\"read\", resource) \
                       when { resource has lot && resource.lot == \"public\" };";
            descriptor.access = descriptor.access.replace(rule, one);
        });
        world
    })
    .await
    .expect("changes");
    let node = Node::with_app(app, &settings());
    let path = format!("/v1/domains/{DOMAIN}/certificates");
    assert_eq!(serials(&node.get(&path).await), [3]);
    let token = format!("Bearer {TOKEN}");
    assert_eq!(serials(&node.get_with(&path, &[("authorization", &token)]).await), [1, 2, 3]);

    // More hours than one page looks at: where it stopped would tell how many hidden certificates expire in them.
    let later = Clock::default().now().plus_millis(400 * DAY);
    let ending = format!("{path}?ends_before={later}");
    let page = node.get(&ending).await;
    assert_eq!((serials(&page), page.json().get("next").is_none()), (vec![3], true), "{}", page.text());
    let page = node.get_with(&ending, &[("authorization", &token)]).await;
    assert_eq!((serials(&page), page.json()["next"].is_string()), (vec![1, 3], true), "{}", page.text());
    let hidden = node.get(&format!("{path}?id={}&limit=1", issuing::id(7))).await;
    assert_eq!((serials(&hidden), hidden.json().get("next").is_none()), (Vec::new(), true), "{}", hidden.text());
    drop(world);
}

#[tokio::test]
async fn the_operator_reads_them_page_by_page() {
    let (world, node) = started().await;
    let (app, path) = (world.app.clone(), format!("/operator/certificates/{DOMAIN}"));
    tokio::task::spawn_blocking(move || app.look_at_expiries(None, 30)).await.expect("ends").expect("looks");
    let stranger = Answer::read(node.page(&path)).await;
    assert!(stranger.status == 303 || stranger.text().contains("type=\"password\""), "{}", stranger.text());
    let cookie = node.signed_in().await;
    let page = Answer::read(node.page("/operator").header("cookie", &cookie)).await.text();
    assert!(page.contains(&format!("href=\"{path}\"")) && page.contains("End within 7 days"), "{page}");
    let page = Answer::read(node.page(&path).header("cookie", &cookie)).await.text();
    for expected in ["Pump 7", "Pump 8", "certificateHold", "suspended", "Controller as security-controller", "renewed"]
    {
        assert!(page.contains(expected), "`{expected}` is missing: {page}");
    }
    assert!(!page.contains("<script"), "{page}");

    let metrics = node.metrics().await;
    for expected in [
        format!("ics_certificates_issued{{domain=\"{DOMAIN}\"}} 3"),
        // The one that expires in two days has a successor; the other is held.
        format!("ics_certificates_ending{{domain=\"{DOMAIN}\",days=\"7\"}} 0"),
        format!("ics_certificates_lapsed{{domain=\"{DOMAIN}\"}} 0"),
        format!("ics_certificates_issuer_ends_timestamp_seconds{{domain=\"{DOMAIN}\"}} "),
    ] {
        assert!(metrics.contains(&expected), "`{expected}` is missing: {metrics}");
    }
}

/// One answer lists what certificates name and where they are obtained; what is not available is left out.
#[tokio::test]
async fn an_index_leads_to_all_that_certificates_need() {
    let (public_url, path) = ("https://ics.acme.example", format!("/x509/{DOMAIN}"));
    let acme = AcmeSetup { config: AcmeConfig::default(), url: public_url.to_owned() };
    let shape = Shape { acme: Some(acme), shards: 4, ..Shape::new() };
    let made = move || {
        let mut world = World::of(&shape);
        // Earlier certificates still name the other lists.
        world.change(|descriptor| descriptor.certificates.as_mut().expect("it issues").shards = 2);
        world
    };
    let world = tokio::task::spawn_blocking(made).await.expect("a world");
    let settings_by_tls = Settings { public_url: format!("{public_url}/"), ..settings() };
    let node = Node::with_app(world.app.clone(), &settings_by_tls);
    let answer = node.get(&path).await;
    let index = answer.json();
    let url = format!("http://pki.acme.example{path}");
    let id = index["issuers"][0]["id"].as_str().expect("an id").to_owned();
    let lists: Vec<String> = (0..4).map(|shard| format!("{url}/crl/{id}/{shard}.crl")).collect();
    let issuer = json!({
        "id": id,
        "name": index["issuers"][0]["name"],
        "until": index["issuers"][0]["until"],
        "issues": true,
        "certificate": format!("{url}/issuers/{id}.cer"),
        "chain": [STANDARD.encode(&world.issuer), STANDARD.encode(&world.root)],
        "lists": lists,
    });
    let expected = json!({
        "domain": DOMAIN,
        "ocsp": format!("{url}/ocsp"),
        "acme": format!("{public_url}/acme/{DOMAIN}/directory"),
        "est": format!("{public_url}/.well-known/est/{DOMAIN}"),
        "cmp": format!("{public_url}/.well-known/cmp/p/{DOMAIN}"),
        "issuers": [issuer],
    });
    assert_eq!((answer.status, &index), (200, &expected));
    assert!(index["issuers"][0]["name"].as_str().is_some_and(|name| name.contains("Acme Issuing 1")), "{index}");
    let here = |url: &str| url.strip_prefix("http://pki.acme.example").expect("of the domain").to_owned();
    assert_eq!(node.get(&here(&format!("{url}/issuers/{id}.cer"))).await.body, world.issuer);
    for list in &lists {
        assert_eq!(node.get(&here(list)).await.status, 200, "{list}");
    }
    let directory = node.get(&format!("/acme/{DOMAIN}/directory")).await.json();
    assert!(directory["newOrder"].is_string(), "{directory}");

    let (_world, plain) = started().await;
    let index = plain.get(&path).await.json();
    assert!(index["ocsp"].is_string() && index.get("acme").is_none() && index.get("est").is_none(), "{index}");
    plain.get("/x509/none.example").await.is_problem("not here", (404, "unknown-domain"));
    let none = Node::founded().await;
    none.get(&path).await.is_problem("it issues none", (404, "unknown-certificate"));
}
