//! Peers over the operators' API: configured while the node runs, written to its file, shown with what they do.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Answer, Node, settings};
use crate::world::{DOMAIN, TOKEN, World, domain};

/// What the operator has written.
const FILE: &str = "# ours\n[log]\nlevel = \"info\"   # enough\n";

async fn operator(node: &Node, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let add = |request: reqwest::RequestBuilder| {
        let request = request.bearer_auth(TOKEN);
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
    };
    node.call(method, path, add).await
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waited).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_added_watched_and_removed_while_the_node_runs() {
    let home = Node::founded().await;
    let world = tokio::task::spawn_blocking(World::empty).await.expect("a world");
    let file = world.data().join("ics.toml");
    std::fs::write(&file, FILE).expect("written");
    let (stop, stopped) = watch::channel(false);
    let replicating = tokio::spawn(world.app.clone().replicate(stopped));
    let copy = Node::with(world, &settings());
    copy.get("/v1/peers").await.is_problem("for operators only", (401, "operator-only"));

    let origin = home.app().domain(&domain()).expect("founded").info.origin.to_string();
    let url = format!("http://{}", home.addresses[0]);
    let peer = json!({"name": "home.example", "url": url, "mirror": [origin], "interval_ms": 60_000});
    let added = operator(&copy, "POST", "/v1/peers", Some(&peer)).await;
    assert_eq!((added.status, &added.json()["peer"]["mirror"][0]), (200, &json!(origin)), "{}", added.text());
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.starts_with(FILE) && text.contains(&format!("mirror = [\"{origin}\"]")), "{text}");

    let pulled = async || operator(&copy, "GET", "/v1/peers", None).await.json()[0]["pulls"][0].clone();
    eventually("it is copied", async || pulled().await["state"] == "current").await;
    let shown = pulled().await;
    assert_eq!((&shown["size"], &shown["lag_entries"]), (&json!(1), &json!(0)));
    assert!(shown["bytes"].as_u64() > Some(1_000) && shown["lag_seconds"].as_u64() < Some(600), "{shown}");
    let metrics = copy.metrics().await;
    let labels = format!("{{peer=\"home.example\",domain=\"{DOMAIN}\",direction=\"pull\"}}");
    for line in [format!("ics_peer_entries{labels} 1\n"), format!("ics_peer_failing{labels} 0\n")] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }

    let gone = json!({"name": "home.example", "url": "http://127.0.0.1:1", "mirror": [origin]});
    assert_eq!(operator(&copy, "POST", "/v1/peers", Some(&gone)).await.status, 200, "changed");
    eventually("it says what is wrong", async || {
        pulled().await["last_error"].as_str().is_some_and(|error| error.contains("cannot be reached"))
    })
    .await;

    let another = format!("{DOMAIN}/{}", "5".repeat(64));
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    for (refused, expected) in [
        (json!({"name": "x/y"}), (400, "malformed-json")),
        (json!({"name": "x", "key": "AAAA"}), (400, "malformed-json")),
        (json!({"name": "x", "colour": "red"}), (400, "malformed-json")),
        (json!({"name": "x", "direction": "serve", "mirror": [origin]}), (422, "peer-refused")),
        (json!({"name": "x", "url": "http://x", "mirror": [another]}), (422, "peer-refused")),
    ] {
        let answer = operator(&copy, "POST", "/v1/peers", Some(&refused)).await;
        answer.is_problem(&refused.to_string(), expected);
    }
    assert_eq!(operator(&copy, "POST", "/v1/peers", Some(&json!({"name": "r", "key": key}))).await.status, 200);
    for name in ["home.example", "r"] {
        assert_eq!(operator(&copy, "POST", &format!("/v1/peers/{name}/remove"), None).await.status, 200);
    }
    operator(&copy, "POST", "/v1/peers/r/remove", None).await.is_problem("gone", (404, "unknown-peer"));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), FILE);
    assert_eq!(copy.get(&format!("/v1/domains/{DOMAIN}")).await.status, 200, "what was copied stays");
    stop.send_replace(true);
    replicating.await.expect("ends");
}
