//! What the pages say, and what they never let through.

use std::collections::BTreeMap;

use ics_core::evidence::{Evidence, verify};
use ics_core::identity::Kind;
use ics_core::openpgp::signer::{Ed25519Signer, Signer as _};
use ics_core::statement::{Claims, make, split};
use ics_core::vocabulary::Act;
use ics_node::api::SubmissionResult;
use ics_node::app::Reader;
use sha2::{Digest as _, Sha256};

use super::town::{HOSTILE, care, introduce_again, lot, publish};
use super::{town, words};
use crate::support::{Answer, Node, settings};
use crate::world::{CREATED, DOMAIN, World, certificate, domain, introduction, introduction_as, maker};

#[tokio::test]
async fn a_thing_has_a_page_that_says_what_matters() {
    let node = town().await;
    for (path, status, says) in [
        (
            "/id/serial:SN-0010",
            200,
            &[
                "Genuine, in use",
                "says Integrator GmbH, integrator",
                "Acme Pumps, manufacturer, vouches",
                "p7-firmware 2.5.0",
                "Medical device, class IIa, a label by Certifix, until",
            ][..],
        ),
        ("/id/serial:SN-0011", 200, &["Do not use: stolen", "taken from site 4 at night", "Ask Integrator GmbH what"]),
        (
            "/id/serial:SN-0012",
            200,
            &["Do not use: suspended", "Conflicts", "suspended counts before that, since it blocks its use"],
        ),
        ("/id/serial:SN-0013", 200, &["Genuine, planned"]),
        ("/id/serial:SN-0014", 200, &["Genuine, no status"]),
        ("/id/serial:SN-TWICE", 300, &["2 things have this name", "Genuine, no status"]),
        ("/id/serial:SN-9999", 404, &["Nothing that you may see is known of it here"]),
        ("/id/what", 400, &["is not a name"]),
        (
            "/01/9506000134352/21/SN-0010",
            200,
            &["Genuine, in use", "https://ics.acme.example/01/09506000134352/21/SN-0010"],
        ),
        ("/01/9506000134352/10/2026-11/21/SN-0010", 200, &["Genuine, in use"]),
        ("/01/9506000134352/10/other/21/SN-0010", 404, &["Nothing that you may see is known of it here"]),
        ("/01/96385074/21/SN-0010", 404, &["Nothing that you may see is known of it here"]),
        ("/01/9506000134352", 404, &["Nothing that you may see is known of it here"]),
        ("/01/9506000134353/21/SN-0010", 400, &["check digit"]),
        ("/01/9506000134352/17/261120/21/SN-0010", 400, &["does not belong there"]),
        (
            "/",
            200,
            &[
                "What is this thing, and may it be used?",
                "devices.acme.example",
                "What the integrator looks after",
                "Software is found by its hash",
            ],
        ),
    ] {
        let answer = node.visit(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let words = words(&answer.text());
        for expected in says {
            assert!(words.contains(expected), "{path}: `{expected}` is missing: {words}");
        }
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'; style-src 'self';"),
            "{path}"
        );
        assert_eq!((answer.header("referrer-policy"), answer.header("cache-control")), ("same-origin", "no-store"));
    }
    // Withdrawn software is not listed as allowed.
    assert!(!words(&node.visit("/id/serial:SN-0010").await.text()).contains("p7-firmware 2.3.0"));
}

/// A file at hand is compared with what the page describes by name, version and digest.
#[tokio::test]
async fn software_shows_its_version_and_its_digest_first() {
    let node = town().await;
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest("p7-firmware 2.5.0"));
    let page = node.visit(&format!("/id/sha256:{digest}")).await.text();
    let first = page.split("\"why\"").next().map(words).unwrap_or_default();
    assert!(first.contains("Name and version") && first.contains("p7-firmware 2.5.0"), "{first}");
    assert!(first.contains(&digest), "{first}");
}

/// Someone in front of a recalled pump looks for what the recall covers.
#[tokio::test]
async fn a_group_shows_what_it_selects_first() {
    let node = town().await;
    let page = node.visit(&format!("/id/{}", lot(node.app()).await)).await.text();
    let first = page.split("\"why\"").next().map(words).unwrap_or_default();
    for expected in ["P7 pumps, lot 2026-11", "modelP7", "lot2026-11", "everything of which all of these are said"] {
        assert!(first.contains(expected), "`{expected}` is missing: {first}");
    }
}

/// Otherwise, a narrow screen would break it within a word.
#[tokio::test]
async fn the_name_of_the_node_may_be_broken_behind_its_dots() {
    let node = town().await;
    let page = node.visit("/").await.text();
    assert!(page.contains("<span>ics.<wbr>acme.<wbr>example<wbr></span>"), "{page}");
}

/// A reader of what is left of an erased block must not take the owner's key for an intruder's.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_owners_left_of_a_block_is_their_word() {
    let node = town().await;
    let app = node.app();
    let record = app.record(Reader::Operator, &care(), "serial:SN-0011").expect("known").record;
    let index = record.status.expect("a status").decides.by.index;
    let erasure = app.erasure(Reader::Operator, &care(), index).expect("can be erased");
    let json = erasure.to_json().expect("canonical");
    let signed = make::sign_descriptor(&[&maker()], &json, CREATED, &[9; 32]).expect("signs");
    let results = app.submit(&care(), vec![signed]).await.expect("submits").results;
    assert!(matches!(results[..], [SubmissionResult::Receipt(_)]), "{results:?}");
    let words = words(&node.visit("/id/serial:SN-0011").await.text());
    for expected in ["Do not use: stolen", ", an owner of the domain.", "as an owner of care.acme.example"] {
        assert!(words.contains(expected), "`{expected}` is missing: {words}");
    }
}

/// A browser at a wrong address gets a page with links to go on; a program gets a problem document.
#[tokio::test]
async fn a_browser_gets_what_is_wrong_as_a_page() {
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let node = town().await;
    let ask = async |method: &str, path: &str, accept: &str| {
        let url = format!("http://{}{path}", node.addresses[0]);
        let method = method.parse().expect("a method");
        Answer::read(node.client.request(method, url).header("accept", accept)).await
    };
    for (method, path, status, allow) in [
        ("GET", "/nothing/here", 404, ""),
        ("GET", "/v1/nothing", 404, ""),
        ("GET", "/?q=%FF", 400, ""),
        ("GET", "/keyring/Not_A_Domain/x", 400, ""),
        ("POST", "/id/serial:SN-0010", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/operator/login", 405, "POST, OPTIONS"),
    ] {
        let (page, told) = (ask(method, path, BROWSER).await, ask(method, path, "*/*").await);
        assert_eq!((page.status, told.status), (status, status), "{path}: {}", page.text());
        assert_eq!((page.header("allow"), told.header("allow")), (allow, allow), "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(page.text().contains("<form class=\"search\"") && page.text().contains("/style/"), "{}", page.text());
        assert!(page.text().contains(&format!("<h1>Error {status}</h1>")), "{path}: {}", page.text());
        assert!(page.header("content-security-policy").contains("style-src 'self'"), "{path}");
        assert_eq!(told.header("content-type"), "application/problem+json", "{path}");
    }
    // A route of the API answers as for programs, whoever asks.
    let told = ask("GET", "/v1/domains/nowhere.example", BROWSER).await;
    assert_eq!((told.status, told.header("content-type")), (404, "application/problem+json"));
}

/// Monitors and link previews ask for the head only.
#[tokio::test]
async fn every_page_takes_head() {
    let node = town().await;
    for path in [
        "/",
        "/?q=SN-0010",
        "/id/serial:SN-0010",
        "/id/serial:SN-9999",
        "/01/9506000134352/21/SN-0010",
        "/domain/devices.acme.example",
        "/statement/devices.acme.example/2",
        "/style/x.css",
        "/icon.svg",
        "/robots.txt",
        "/operator",
    ] {
        let url = format!("http://{}{path}", node.addresses[0]);
        let (get, head) = (node.visit(path).await, Answer::read(node.client.head(url)).await);
        assert_eq!((get.status, get.header("content-type")), (head.status, head.header("content-type")), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
}

/// Someone who compares a label with the page finds its number there, whichever statement gives the title.
#[tokio::test]
async fn every_serial_number_of_a_thing_is_shown() {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let again = introduction_as(&maker(), 7, 8);
    world.say(&domain(), vec![certificate(&maker(), "Acme"), introduction(&maker(), 7), again]).await;
    let node = Node::with(world, &settings());
    let shown = words(&node.visit("/id/serial:SN-7").await.text());
    assert!(shown.contains("SerialSN-7") && shown.contains("SerialSN-8"), "{shown}");
}

/// However many versions may no longer be used, the newest of those that may are listed.
#[tokio::test]
async fn a_new_version_is_named_behind_many_old_ones() {
    let node = town().await;
    let page = async || words(&node.visit("/id/serial:SN-0010").await.text());
    publish(node.app(), 0..24, "deprecated").await;
    publish(node.app(), 24..25, "released").await;
    let shown = page().await;
    assert!(shown.contains("p7-firmware 3.24.0") && shown.contains("p7-firmware 2.5.0"), "{shown}");
    assert!(!shown.contains("p7-firmware 3.23.0") && !shown.contains("There may be more for its model"), "{shown}");
    publish(node.app(), 25..49, "released").await;
    let shown = page().await;
    assert!((25..49).all(|number| shown.contains(&format!("p7-firmware 3.{number}.0"))), "{shown}");
    assert!(!shown.contains("p7-firmware 3.24.0") && shown.contains("There may be more for its model"), "{shown}");
}

/// A version that is introduced again more often than versions are looked at hides no other.
#[tokio::test]
async fn a_version_that_is_introduced_again_and_again_hides_no_other() {
    let node = town().await;
    publish(node.app(), 0..1, "released").await;
    introduce_again(node.app(), "2.3.0", 100).await;
    let shown = words(&node.visit("/id/serial:SN-0010").await.text());
    assert!(shown.contains("p7-firmware 3.0.0") && shown.contains("p7-firmware 2.5.0"), "{shown}");
    assert!(!shown.contains("p7-firmware 2.3.0") && !shown.contains("There may be more for its model"), "{shown}");
}

/// Nothing is shown if everything is hidden; the page must not then say that no software is named.
#[tokio::test]
async fn where_no_software_is_shown_the_page_does_not_say_that_there_is_none() {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    world.say(&domain(), vec![certificate(&maker(), "Acme"), introduction(&maker(), 7)]).await;
    let node = Node::with(world, &settings());
    let answer = node.visit("/id/serial:SN-7").await;
    let shown = words(&answer.text());
    assert_eq!(answer.status, 200, "{shown}");
    assert!(shown.contains("No software is shown for it here.") && !shown.contains("Nobody has named"), "{shown}");
}

#[tokio::test]
async fn whatever_people_type_leads_to_the_page() {
    let node = town().await;
    for (typed, path) in [
        ("SN-0010", "/id/serial:SN-0010"),
        ("serial:SN-0010", "/id/serial:SN-0010"),
        ("sn-0010", "/id/serial:SN-0010"),
        ("serial:sn-0010", "/id/serial:SN-0010"),
        ("%20SN-0010%20", "/id/serial:SN-0010"),
        ("https://other.example/01/9506000134352/21/SN-0010", "/01/9506000134352/21/SN-0010"),
    ] {
        let answer = node.visit(&format!("/?q={typed}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, path), "{typed}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{typed}");
    }
    assert_eq!(node.visit("/?q=SN-9999").await.status, 404);
    assert_eq!(node.visit("/?q=two%20words").await.status, 404);
    assert_eq!(node.visit("/?q=").await.status, 200);
}

/// Texts written by others come out as text: they cannot run, hide, or change the direction of their surroundings.
#[tokio::test]
async fn hostile_names_are_inert() {
    let node = town().await;
    let id = super::town::id_of(18);
    let answer = node.visit(&format!("/id/{id}")).await;
    let (page, words) = (answer.text(), words(&answer.text()));
    assert_eq!(answer.status, 200, "{page}");
    assert!(HOSTILE.contains("<script>") && HOSTILE.contains('\u{202e}'));
    assert!(words.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{words}");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"), "{page}");
    assert!(
        !page.chars().any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}')),
        "{page}"
    );
    assert!(words.contains('\u{fffd}'));
    assert!(page.len() < 40_000, "a long name does not make a long page: {} bytes", page.len());
    let asked = node.visit("/id/serial:%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(asked.status, 404);
    assert!(!asked.text().contains("<script"), "{}", asked.text());
    let searched = node.visit("/?q=%22%3E%3Cscript%3Ealert(1)").await;
    assert!(!searched.text().contains("<script"), "{}", searched.text());
}

/// A thing that may not be read looks as if it did not exist.
#[tokio::test]
async fn hidden_and_unknown_look_alike() {
    let world = tokio::task::spawn_blocking(|| World::private(Default::default())).await.expect("a world");
    let told = vec![certificate(&maker(), "Acme"), introduction(&maker(), 7)];
    world.say(&domain(), told).await;
    let node = Node::with(world, &settings());
    for (hidden, unknown, search) in [
        ("/id/serial:SN-7", "/id/serial:SN-8", false),
        ("/01/9506000134352/21/SN-7", "/01/9506000134352/21/SN-8", false),
        ("/?q=SN-7", "/?q=SN-8", true),
    ] {
        let (hidden, unknown) = (node.visit(hidden).await, node.visit(unknown).await);
        assert_eq!((hidden.status, unknown.status), (404, 404));
        assert_eq!(hidden.text().replace("SN-7", "SN-8"), unknown.text(), "{search}");
    }
}

#[tokio::test]
async fn a_client_that_asks_too_often_has_to_wait() {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let mut settings = settings();
    settings.pages.per_minute = 3;
    let node = Node::with(world, &settings);
    for _ in 0..3 {
        assert_eq!(node.visit("/id/serial:SN-1").await.status, 404);
    }
    let refused = node.visit("/id/serial:SN-1").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!((1..=20).contains(&refused.header("retry-after").parse::<u64>().expect("seconds")));
    assert!(refused.header("content-type").starts_with("text/html"));
    assert_eq!(node.visit("/style/x.css").await.status, 200, "only what tells something counts");
    // Nobody gets another budget by claiming to be someone else.
    let forged = Answer::read(node.page("/").header("x-forwarded-for", "192.0.2.9")).await;
    assert_eq!(forged.status, 429);
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asks() {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let mut settings = settings();
    settings.pages.per_minute = 1;
    settings.pages.trusted_proxies = vec![[127, 0, 0, 1].into()];
    let node = Node::with(world, &settings);
    let from = |address: &'static str| Answer::read(node.page("/").header("x-forwarded-for", address));
    assert_eq!(from("192.0.2.1").await.status, 200);
    assert_eq!(from("198.51.100.9, 192.0.2.1").await.status, 429, "what the client itself claims does not count");
    assert_eq!(from("192.0.2.1, 192.0.2.2").await.status, 200);
}

#[tokio::test]
async fn downloads_hold_without_the_node() {
    let node = town().await;
    let id = super::town::id_of(10);
    let keyring = node.visit(&format!("/keyring/devices.acme.example/{id}")).await;
    assert_eq!(keyring.status, 200, "{}", keyring.text());
    assert_eq!(keyring.header("content-disposition"), "attachment", "the page names the file");
    assert!(keyring.text().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{}", keyring.text());
    // The evidence pack comes from the home and says that it is complete.
    let path = format!("/v1/domains/devices.acme.example/identities/{id}/evidence");
    assert!(node.visit(&format!("/id/{id}")).await.text().contains(&path));
    let pack = Evidence::parse(&node.visit(&path).await.body).expect("evidence");
    let verified = verify(&pack, None, node.app().clock().now()).expect("holds");
    assert!(verified.complete && verified.fresh, "{verified:?}");
    let statement = node.visit("/statement/devices.acme.example/2").await;
    assert!(statement.text().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"), "{}", statement.text());
    assert_eq!(node.visit("/statement/devices.acme.example/99999").await.status, 404);
}

/// A browser would rename the second one, and the commands of the page would check another file than the one meant.
#[tokio::test]
async fn no_two_downloads_of_a_page_share_a_name() {
    let node = town().await;
    let page = node.visit("/id/serial:SN-0010").await.text();
    let mut files = BTreeMap::new();
    for link in page.split("<a href=\"").skip(1) {
        let Some((address, rest)) = link.split_once('"') else { continue };
        let Some((name, _)) = rest.strip_prefix(" download=\"").and_then(|rest| rest.split_once('"')) else { continue };
        let other = files.insert(name, address);
        assert!(other.is_none_or(|other| other == address), "`{name}` is {other:?} and {address}");
    }
    let packs = files.keys().filter(|name| name.ends_with(".evidence.json")).count();
    assert!(packs > 1, "of several domains: {files:?}");
}

/// A page never suggests gpg for what gpg cannot read, nor offers a keyring without the thing.
#[tokio::test]
async fn a_thing_of_version_6_is_checked_with_sq() {
    let key = |seed: u8, version: u8| Ed25519Signer::from_seed(&[seed; 32], version, CREATED).expect("a key");
    let (speaker, device, mixed) = (key(61, 6), key(62, 6), key(63, 4));
    let named = speaker.public_key().fingerprint();
    let world = move || {
        World::with(|descriptor| {
            let role = descriptor.roles.get_mut(&"manufacturer".parse().expect("a role")).expect("is there");
            role.signers.insert(named);
        })
    };
    let world = tokio::task::spawn_blocking(world).await.expect("a world");
    let claims = Claims::new(Act::Identity, "manufacturer".parse().expect("a role"), domain());
    let introduced = |by: &Ed25519Signer, device: &Ed25519Signer| {
        make::certify(by, device.public_key(), "Pump", None, Kind::Device, &claims, false, CREATED, &[3; 32])
            .expect("a statement")
    };
    let statement = introduced(&speaker, &device);
    let certificates = [certificate(&maker(), "Acme"), certificate(&speaker, "Acme, version 6")];
    let said = [statement.clone(), introduced(&speaker, &mixed), introduction(&maker(), 7)];
    world.say(&domain(), certificates.into_iter().chain(said).collect()).await;
    let node = Node::with(world, &settings());
    let id = |signer: &Ed25519Signer| signer.public_key().fingerprint().to_string();
    let page = async |name: &str| node.visit(&format!("/id/{name}")).await.text();
    let keyring = async |signer: &Ed25519Signer| node.visit(&format!("/keyring/{DOMAIN}/{}", id(signer))).await;

    let (shown, given) = (page(&id(&device)).await, keyring(&device).await);
    assert!(shown.contains("sq inspect --certifications ") && !shown.contains("gpg"), "{shown}");
    assert_eq!(given.status, 200, "{}", given.text());
    assert!(split(&given.body).expect("is OpenPGP").bodies.contains(&statement), "{}", given.text());
    // A version 4 key that a version 6 signer speaks of suits neither client as it is.
    let (shown, given) = (page(&id(&mixed)).await, keyring(&mixed).await);
    assert!(
        shown.contains("ics verify --document ") && !shown.contains("gpg") && !shown.contains("/keyring/"),
        "{shown}"
    );
    assert_eq!(given.status, 404, "{}", given.text());
    let shown = page("serial:SN-7").await;
    assert!(shown.contains("gpg --allow-non-selfsigned-uid --import ") && shown.contains("/keyring/"), "{shown}");
}
