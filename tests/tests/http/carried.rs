//! Domains carried by hand, question by question, over the API.

use serde_json::{Value, json};

use crate::support::{Answer, Node, settings};
use crate::world::{DOMAIN, TOKEN, World, domain};

const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

async fn operator(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
    let add = |request: reqwest::RequestBuilder| {
        let request =
            headers.iter().fold(request.bearer_auth(TOKEN), |request, (name, value)| request.header(*name, *value));
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
    };
    node.call(method, path, add).await
}

fn path(more: &str) -> String {
    format!("/v1/domains/{DOMAIN}/{more}")
}

/// A node whose peers can be written to its configuration file.
async fn node(world: fn() -> World) -> Node {
    let world = tokio::task::spawn_blocking(world).await.expect("a world");
    std::fs::write(world.data().join("ics.toml"), "").expect("written");
    Node::with(world, &settings())
}

/// A node whose copy of the home's domain is carried by hand.
async fn copy_of(home: &Node) -> Node {
    let copy = node(World::empty).await;
    let origin = home.app().domain(&domain()).expect("founded").info.origin.to_string();
    let peer = json!({ "name": "home.example", "mirror": [origin] });
    let added = operator(&copy, "POST", "/v1/peers", &[], Some(&peer)).await;
    assert_eq!(added.json()["pulls"][0]["state"], "by-hand", "{}", added.text());
    copy
}

/// The home's answer to a question.
async fn answer(home: &Node, wanted: &Value) -> Value {
    if wanted == "checkpoint" {
        return json!({ "checkpoint": home.get(&path("checkpoint")).await.text() });
    }
    if let Some(from) = wanted["descriptors"]["from"].as_u64() {
        return json!({ "descriptors": home.get(&path(&format!("descriptors?from={from}"))).await.json() });
    }
    let page = &wanted["page"];
    let query = format!("entries?from={}&limit={}&until={}", page["from"], page["limit"], page["until"]);
    json!({ "page": home.get(&path(&query)).await.json() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_whoever_brings_it_news() {
    let home = node(World::founded).await;
    let copy = copy_of(&home).await;
    copy.get(&path("checkpoint")).await.is_problem("nothing is here yet", (503, "behind"));
    let cursor = operator(&copy, "GET", &path("carried"), &[], None).await;
    assert_eq!(cursor.json()["size"], 0);
    let mut said = json!("begin");
    let mut asked = Vec::new();
    let reached = loop {
        let wanted = operator(&copy, "POST", &path("carried"), &[], Some(&said)).await.json();
        if wanted["nothing"].is_object() {
            break wanted["nothing"].clone();
        }
        said = answer(&home, &wanted).await;
        asked.push(said.as_object().and_then(|said| said.keys().next()).expect("one").clone());
    };
    assert_eq!(asked, ["descriptors", "checkpoint", "page"]);
    assert_eq!((&reached["size"], &reached["trouble"]), (&json!(1), &Value::Null), "{reached}");
    assert_eq!(copy.get(&path("checkpoint")).await.text(), home.get(&path("checkpoint")).await.text());

    // An answer that is missing brings no news, and one that nobody asked for is not taken.
    operator(&copy, "POST", &path("carried"), &[], Some(&json!("begin"))).await;
    let missing = operator(&copy, "POST", &path("carried"), &[], Some(&json!({ "missing": "no stick" }))).await.json();
    assert_eq!(missing["nothing"]["trouble"], "no stick", "{missing}");
    let page = home.get(&path("entries?from=0&limit=1&until=1")).await.json();
    operator(&copy, "POST", &path("carried"), &[], Some(&json!("begin"))).await;
    let unasked = operator(&copy, "POST", &path("carried"), &[], Some(&json!({ "page": page }))).await.json();
    let trouble = unasked["nothing"]["trouble"].as_str().expect("words").to_owned();
    assert!(trouble.contains("nobody asked for"), "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_bring_and_read_in_the_place_of_others() {
    let home = node(World::founded).await;
    let copy = copy_of(&home).await;
    for path in ["carried", "outbox"].map(path) {
        copy.get(&path).await.is_problem(&path, (401, "operator-only"));
        operator(&home, "GET", &path, &[], None).await.is_problem("its own", (409, "is-home"));
    }
    copy.post(&path("carried"), "application/json", "\"begin\"").await.is_problem("a stranger", (401, "operator-only"));
    for malformed in [json!("end"), json!({}), json!({ "page": {} }), json!({ "checkpoint": 7 })] {
        let answer = operator(&copy, "POST", &path("carried"), &[], Some(&malformed)).await;
        answer.is_problem(&malformed.to_string(), (400, "malformed-json"));
    }
    let long = json!({ "checkpoint": "x".repeat(20_000) });
    let answer = operator(&copy, "POST", &path("carried"), &[], Some(&long)).await;
    answer.is_problem("a checkpoint too long", (400, "malformed-request"));

    let known = json!({ "name": "site.example", "key": KEY });
    assert_eq!(operator(&home, "POST", "/v1/peers", &[], Some(&known)).await.status, 200);
    let stranger = json!({ "name": "keyless.example" });
    assert_eq!(operator(&home, "POST", "/v1/peers", &[], Some(&stranger)).await.status, 200);
    let entries = path("entries");
    for (name, expected) in [
        ("nobody.example", (404, "unknown-peer")),
        ("a/b", (400, "malformed-request")),
        ("keyless.example", (422, "peer-refused")),
    ] {
        operator(&home, "GET", &entries, &[("ics-reader", name)], None).await.is_problem(name, expected);
    }
    let shown = operator(&home, "GET", &entries, &[("ics-reader", "site.example")], None).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    home.get_with(&entries, &[("ics-reader", "site.example")]).await.is_problem("a stranger", (401, "operator-only"));
}
