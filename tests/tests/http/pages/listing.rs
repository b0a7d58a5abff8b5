//! What devices run, and what has a label, as far as that is said in other domains.

use super::town::{HOSTILE, LABEL, care, id_of, labels};
use super::{town, words};
use crate::support::{Node, settings};
use crate::world::{DOMAIN, World, certificate, domain, introduction, maker};

/// Software has its status in its maker's domain, and is installed in that of its user.
#[tokio::test]
async fn devices_are_found_by_the_status_of_what_they_run() {
    let node = town().await;
    for (runs, found) in [("released", 4), ("withdrawn", 0), ("stolen", 0)] {
        let answer = node.get(&format!("/v1/domains/{}/identities?runs={runs}", care())).await;
        assert_eq!(answer.status, 200, "{runs}: {}", answer.text());
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(found), "{runs}");
    }
    let answer = node.get(&format!("/v1/domains/{}/identities?runs=No%20Status", care())).await;
    answer.is_problem("neither a digest nor a status", (400, "malformed-query"));
}

/// A label in the form in which the pages' links have it.
fn escaped(label: &str) -> String {
    label.replace(' ', "%20").replace(',', "%2C")
}

/// A register is a listing of the domain of the body that labels, and is cached as every listing is.
#[tokio::test]
async fn a_register_is_a_listing() {
    let node = town().await;
    let path = |label: &str| format!("/v1/domains/{}/identities?label={}", labels(), escaped(label));
    let answer = node.get(&path(LABEL)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    let items = page["items"].as_array().expect("items");
    assert_eq!((items.len(), items[0]["id"].as_str()), (1, Some(id_of(10).as_str())), "{page}");
    let given = &items[0]["labels"][0];
    assert_eq!((&given["value"], &given["by"]["name"]), (&LABEL.into(), &"Certifix".into()), "{page}");
    assert_eq!(given["until"], "2040-01-01T00:00:00Z", "{page}");
    let tag = answer.header("etag").to_owned();
    assert_eq!(node.get_with(&path(LABEL), &[("if-none-match", &tag)]).await.status, 304);
    assert_eq!(node.get(&path("Medical device")).await.json()["items"], serde_json::json!([]));
}

/// A person gets there from the domain or from a thing, sees what may be used, and goes on by label.
#[tokio::test]
async fn a_register_has_a_page() {
    let node = town().await;
    let register = format!("/domain/{}", labels());
    let labelled = format!("{register}?label={}", LABEL.replace(' ', "%20"));
    for (path, link) in [
        ("/", &register),
        ("/id/serial:SN-0010", &register),
        ("/id/serial:SN-0010", &labelled),
        (register.as_str(), &labelled),
    ] {
        let page = node.visit(path).await.text();
        assert!(page.contains(&format!("href=\"{link}\"")), "{path}: {link} is missing: {page}");
    }
    let answer = node.visit(&labelled).await;
    let (page, text) = (answer.text(), words(&answer.text()));
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{page}");
    for expected in [
        "Register of labels.certifix.example",
        "What has this label",
        "Confirmed ",
        "What Acme makes",
        "Acme P7 pump 10 device, Acme Pumps, P7, product id 09506000134352, lot 2026-11",
        "Genuine, in use",
        "Labelled by Certifix, until 1 Jan 2040",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing: {text}");
    }
    assert!(page.contains(&format!("<p class=\"strong\"><bdi>{LABEL}</bdi></p>")), "{page}");
    assert!(page.contains(&format!("value=\"{LABEL}\"")), "the form keeps what was asked for: {page}");
    assert!(!text.contains("Acme P7 pump 11"), "{text}");
    // A form without a label, and one that nothing has.
    let all = words(&node.visit(&format!("{register}?label=")).await.text());
    assert!(all.contains("What it speaks of") && all.contains("Acme P7 pump 10"), "{all}");
    assert!(all.contains(&format!("{LABEL}, a label by Certifix, until 1 Jan 2040")), "{all}");
    let none = words(&node.visit(&format!("{register}?label=Medical+device")).await.text());
    assert!(none.contains("Nothing that you may see."), "{none}");
    assert_eq!(node.visit("/domain/nowhere.example").await.status, 404);
    let mistyped = node.visit("/domain/Labels.Certifix.example").await;
    assert_eq!((mistyped.status, mistyped.header("content-type")), (400, "text/html; charset=utf-8"));
}

/// What was said of very many lots is looked up lot by lot.
#[tokio::test]
async fn a_register_is_looked_through_by_lot() {
    let node = town().await;
    let visit = async |query: &str| node.visit(&format!("/domain/{DOMAIN}?{query}")).await.text();
    let page = visit("label=&lot=2026-11").await;
    let text = words(&page);
    for expected in ["What is of this lot", "Lot 2026-11", "Acme P7 pump 10", "Do not use: stolen"] {
        assert!(text.contains(expected), "`{expected}` is missing: {text}");
    }
    assert!(page.contains("value=\"2026-11\"") && page.contains("/identities?lot=2026-11\""), "{page}");
    for none in ["lot=2026-12", "label=ce&lot=2026-11"] {
        let text = words(&visit(none).await);
        assert!(text.contains("Nothing that you may see."), "{none}: {text}");
    }
}

/// What blocks a thing stands first, whichever domain says it, and names written by others come out as text.
#[tokio::test]
async fn a_register_shows_what_other_domains_say() {
    let node = town().await;
    let answer = node.visit(&format!("/domain/{DOMAIN}")).await;
    let (page, text) = (answer.text(), words(&answer.text()));
    for expected in ["Do not use: stolen", "Do not use: suspended", "Genuine, no status"] {
        assert!(text.contains(expected), "`{expected}` is missing: {text}");
    }
    assert!(HOSTILE.contains("<script>") && text.contains("&lt;script&gt;alert(1)"), "{text}");
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    let searched = node.visit(&format!("/domain/{DOMAIN}?label=%22%3E%3Cscript%3Ealert(1)")).await.text();
    assert!(!searched.contains("<script"), "{searched}");
    let bad = node.visit(&format!("/domain/{DOMAIN}?after=x")).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
}

/// A page shows fifty things, and leads to the next.
#[tokio::test]
async fn a_long_register_goes_on() {
    let world = tokio::task::spawn_blocking(World::founded).await.expect("a world");
    let things = (100..=151).map(|seed| introduction(&maker(), seed));
    world.say(&domain(), core::iter::once(certificate(&maker(), "Acme")).chain(things).collect()).await;
    let mut settings = settings();
    settings.pages.per_minute = 1_000;
    let node = Node::with(world, &settings);
    let first = node.visit(&format!("/domain/{DOMAIN}")).await.text();
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let second = node.visit(next).await.text();
    let count = |page: &str| page.matches("href=\"/id/").count();
    assert_eq!((count(&first), count(&second)), (50, 2), "{next}");
    assert!(!second.contains("rel=\"next\""), "{second}");
    let back = format!("<a href=\"/domain/{DOMAIN}\">Back to the first page</a>");
    assert_eq!((first.contains(&back), second.contains(&back)), (false, true), "{second}");
}

/// Of a domain that shows nothing, strangers see neither things nor labels.
#[tokio::test]
async fn strangers_see_nothing_in_the_register_of_a_private_domain() {
    let world = tokio::task::spawn_blocking(|| World::private(Vec::new())).await.expect("a world");
    let empty = tokio::task::spawn_blocking(|| World::private(Vec::new())).await.expect("a world");
    world.say(&domain(), vec![certificate(&maker(), "Acme"), introduction(&maker(), 7)]).await;
    let (there, nowhere) = (Node::with(world, &settings()), Node::with(empty, &settings()));
    for path in [format!("/domain/{DOMAIN}"), format!("/domain/{DOMAIN}?label=ce")] {
        let (there, nowhere) = (there.visit(&path).await, nowhere.visit(&path).await);
        assert_eq!((there.status, nowhere.status), (200, 200), "{path}");
        let listed = |page: &str| page.split("<ul class=\"things who\">").nth(1).map(|rest| rest.starts_with("</ul>"));
        assert_eq!((listed(&there.text()), listed(&nowhere.text())), (Some(true), Some(true)), "{}", there.text());
        assert!(words(&there.text()).contains("Nothing that you may see."), "{}", there.text());
    }
}
