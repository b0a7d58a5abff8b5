//! What holds for every route: errors are problem documents, limits hold, headers are present, shutdown is orderly.

use std::time::Duration;

use ics_node::http::Settings;
use ics_node::http::routes::{Access, TABLE};
use ics_node::openpgp::{Armor, armored};
use ics_tests::port::Port;
use reqwest::{RequestBuilder, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, Node, settings};
use crate::world::{CARE, DOMAIN, TOKEN, World, certificate, hanging_home, introduction_to_care, maker};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path that matches a route's pattern.
fn example(pattern: &str) -> String {
    let path = pattern.replace("{domain}", "nowhere.example").replace("{path:.*}", "0/000");
    path.replace("{index}", "0").replace("{id}", "serial:1").replace("{entry0}", &"0".repeat(64))
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let node = Node::start(&settings());
    for path in ["/v2", "/v1/", "/v1/domains/", "/v1/node/x", "//v1/node", "/v1/../v1/nothing"] {
        node.get(path).await.is_problem(path, (404, "unknown-route"));
    }
    // Protocols with a specification of their own are not in the API's description.
    let hint = node.get("/x509/nowhere.example/nothing").await.json()["hint"].to_string();
    assert!(hint.contains("/openapi.json") && hint.contains("X.509"), "{hint}");
    // A client at a wrong address of EST is told the right one, and no other client is.
    for (path, told) in [
        ("/.well-known/est", true),
        ("/.well-known/est/a.example/enroll", true),
        ("/.well-known/est/a.example/cacerts/", true),
        ("/x509/a.example/simpleenroll", true),
        ("/x509/a.example/.well-known/est/a.example/cacerts", true),
        ("/.well-known/established", false),
        ("/v1/nothing", false),
    ] {
        let detail = node.get(path).await.json()["detail"].to_string();
        assert_eq!(detail.contains("`/.well-known/est/DOMAIN/OPERATION`"), told, "{path}: {detail}");
    }
    // Below the prefixes that many routes share.
    for path in [
        "/v1/domains/nowhere.example/",
        "/v1/domains/nowhere.example/nothing",
        "/.well-known/est",
        "/x509/a/.well-known/est/b",
    ] {
        node.get(path).await.is_problem(path, (404, "unknown-route"));
    }
    for endpoint in TABLE {
        let path = example(endpoint.path);
        for method in ["PUT", "DELETE", "PATCH", "BREW"] {
            let answer = node.call(method, &path, |request| request).await;
            answer.is_problem(&path, (405, "method-not-allowed"));
            assert!(answer.header("allow").contains(endpoint.method), "{method} {path}");
        }
    }
}

/// Each answer is compared with the API's description.
#[tokio::test]
async fn a_wrong_token_and_a_wrong_body_are_described() {
    let node = Node::start(&settings());
    for endpoint in TABLE {
        let path = example(endpoint.path);
        node.call(endpoint.method, &path, |request| request.bearer_auth("guessed")).await;
        if endpoint.method == "POST" {
            node.post(&path, "text/html", "<p>").await;
        }
    }
}

#[tokio::test]
async fn every_get_takes_head() {
    let node = Node::start(&settings());
    for endpoint in TABLE.iter().filter(|endpoint| endpoint.method == "GET") {
        let path = example(endpoint.path);
        let (get, head) = (node.get(&path).await, node.call("HEAD", &path, |request| request).await);
        assert_eq!(get.status, head.status, "{path}");
        assert_eq!(get.header("content-type"), head.header("content-type"), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn headers_of_every_answer() {
    let node = Node::start(&settings());
    for endpoint in TABLE.iter().filter(|endpoint| endpoint.method == "GET") {
        let path = example(endpoint.path);
        let answer = node.get(&path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
        assert_eq!(answer.header("server"), "", "{path}");
        let open = endpoint.access == Access::Everybody;
        assert_eq!(answer.header("access-control-allow-origin") == "*", open, "{path}");
    }
}

#[tokio::test]
async fn other_origins_may_ask_first() {
    let node = Node::start(&settings());
    let asked = |request: RequestBuilder| {
        request.header("origin", "https://shop.example").header("access-control-request-method", "GET")
    };
    let answer = node.call("OPTIONS", "/v1/identities/serial:1", asked).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, "GET, HEAD"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let answer = node.call("OPTIONS", "/v1/domains/nowhere.example/statements", asked).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, ""));
}

#[tokio::test]
async fn headers_are_bounded() {
    let node = Node::start(&settings());
    let fits = "x".repeat(15 * 1024);
    assert_eq!(node.get_with("/v1/node", &[("x-long", &fits)]).await.status, 200);
    let long = "x".repeat(16 * 1024);
    let answer = node.get_with("/v1/node", &[("x-long", &long)]).await;
    answer.is_problem("one long header", (431, "headers-too-large"));
    assert_eq!(answer.header("access-control-allow-origin"), "*", "a page of another origin learns why");
    let answer = node.get(&format!("/v1/node?{long}")).await;
    answer.is_problem("a long request line", (431, "headers-too-large"));
    let mut endless = b"GET /v1/node HTTP/1.1\r\nhost: x\r\nx-long: ".to_vec();
    endless.resize(128 * 1024, b'x');
    let answer = node.raw(&endless).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn who_finds_no_place_is_sent_away() {
    let node = Node::start(&Settings { max_work: 0, max_uploads: 0, ..settings() });
    let answer = node.get("/v1/node").await;
    answer.is_problem("no place", (503, "busy"));
    assert!(!answer.header("retry-after").is_empty());
    let body = r#"{"statements": []}"#;
    let answer = node.post("/v1/domains/nowhere.example/statements", "application/json", body).await;
    answer.is_problem("no place", (503, "busy"));
    assert_eq!(node.get("/livez").await.status, 200);
}

/// A node that copies [`CARE`] from another one, which accepts connections but answers nothing while it is held. There
/// is room for two requests with a body.
async fn beside_one_that_hangs() -> (Node, std::net::TcpListener) {
    let (peer, hangs) = hanging_home();
    let world = tokio::task::spawn_blocking(|| World::private(vec![peer])).await.expect("a world");
    (Node::with(world, &Settings { max_uploads: 2, ..settings() }), hangs)
}

/// Asks repeatedly, for a moment each time, until the answer satisfies `is`.
async fn until<F: Future<Output = reqwest::Result<Response>>>(ask: impl Fn() -> F, is: impl Fn(u16, &str) -> bool) {
    let asking = async {
        loop {
            let answer = async {
                let answer = ask().await?;
                Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
            };
            if let Ok(Ok((status, text))) = tokio::time::timeout(Duration::from_secs(2), answer).await
                && is(status, &text)
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("in time");
}

/// The answer if no more requests may wait for the other node.
fn is_full(status: u16, text: &str) -> bool {
    status == 503 && text.contains("wait for another node")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_another_home_keeps_no_submission_out() {
    let (node, _hangs) = beside_one_that_hangs().await;
    let submit = |domain: &str| {
        let url = format!("http://{}/v1/domains/{domain}/statements", node.addresses[0]);
        let body = certificate(&maker(), "Acme");
        node.client.post(url).header("content-type", "application/octet-stream").body(body).send()
    };
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(submit(CARE))).collect();
    until(|| submit(CARE), is_full).await;
    let answer = tokio::time::timeout(PATIENCE, submit(DOMAIN)).await.expect("in time");
    assert_eq!(answer.expect("an answer").status(), 200, "an own domain takes what is submitted");
    waiting.into_iter().for_each(|waiting| waiting.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_wait_for_another_home_keep_no_request_out() {
    let (node, _hangs) = beside_one_that_hangs().await;
    let said = introduction_to_care(3);
    let armored = String::from_utf8(armored(&said, Armor::PublicKey).expect("armored")).expect("text");
    let escaped = armored.replace('+', "%2B").replace('=', "%3D").replace('\n', "%0A").replace(' ', "+");
    let send = |path: &str| {
        let (media_type, body) = match path {
            "/pks/add" => ("application/x-www-form-urlencoded", format!("keytext={escaped}").into_bytes()),
            _ => ("application/pgp-keys", said.clone()),
        };
        let url = format!("http://{}{path}", node.addresses[0]);
        node.client.post(url).header("content-type", media_type).body(body).send()
    };
    let own = |path: &str| {
        let url = format!("http://{}{path}", node.addresses[0]);
        let body = certificate(&maker(), "Acme");
        node.client.post(url).header("content-type", "application/octet-stream").body(body).send()
    };
    for path in ["/pks/add", "/pks/v2/certs"] {
        let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(send(path))).collect();
        until(|| send(path), is_full).await;
        let statements = format!("/v1/domains/{DOMAIN}/statements");
        for path in [statements.as_str(), "/pks/v2/certs"] {
            until(|| own(path), |status, _| status == 200).await;
        }
        waiting.into_iter().for_each(|waiting| waiting.abort());
    }
}

/// The usual settings, except that slow clients are cut off earlier: not so early that somebody on a busy machine is
/// taken for one.
fn hurried() -> Settings {
    Settings { request_timeout: Duration::from_secs(5), ..settings() }
}

#[tokio::test]
async fn who_sends_slowly_keeps_nobody_from_reading() {
    let node = Node::start(&Settings { max_work: 1, max_uploads: 1, ..hurried() });
    let mut slow = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let head = "POST /v1/domains/nowhere.example/statements HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\
                content-type: application/octet-stream\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("sends");
    let upload = || node.post("/v1/domains/nowhere.example/statements", "application/json", "{}");
    let taken = async { while upload().await.status != 503 {} };
    tokio::time::timeout(PATIENCE, taken).await.expect("the place is taken");
    assert_eq!(node.get("/v1/node").await.status, 200);
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.expect("reads");
    assert_eq!(&answer, b"HTTP/1.1 408");
    upload().await.is_problem("the place is free again", (400, "malformed-json"));
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let node = Node::start(&hurried());
    let head = node.raw(b"GET /v1/node HTTP/1.1\r\nhost: x\r\n").await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    let body = "POST /v1/domains/nowhere.example/statements HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\
                content-type: application/octet-stream\r\nconnection: close\r\n\r\nonly this";
    let body = node.raw(body.as_bytes()).await;
    assert!(body.starts_with("HTTP/1.1 408 ") && body.contains("urn:ics:problem:request-timeout"), "{body}");
}

/// An answer that is not taken is held in memory, so nobody may leave it there for long.
#[tokio::test]
async fn whoever_reads_nothing_is_cut() {
    let node = Node::start(&Settings { answer_timeout: Duration::from_secs(1), ..settings() });
    let mut greedy = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let many = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
    let cut = async { while greedy.write_all(&many).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, cut).await.expect("the server closes in time");
    assert_eq!(node.get("/livez").await.status, 200);
}

/// A node that looks every few seconds to whom nothing was sent since it last looked.
fn watchful() -> Node {
    let request_timeout = Duration::from_secs(2);
    Node::start(&Settings { keep_alive: Duration::from_millis(500), request_timeout, ..settings() })
}

/// Sends this, and then a byte now and then, until the connection is closed.
async fn dribble(node: &Node, begun: &str) {
    let mut slow = TcpStream::connect(node.addresses[0]).await.expect("connects");
    slow.write_all(begun.as_bytes()).await.expect("sends");
    let cut = async {
        while slow.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.expect("the server closes in time");
}

/// actix sets no time limit for the head of a second request, nor for a body that goes on after the answer.
#[tokio::test]
async fn whoever_does_not_finish_a_later_request_is_cut() {
    let node = watchful();
    let head = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nx: ";
    let body = "POST /nothing HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n";
    tokio::join!(dribble(&node, head), dribble(&node, body));
    assert!(tells_of_closed(&node, "overdue").await);
}

/// Nothing but the look at all connections ends it.
#[tokio::test]
async fn an_idle_connection_ends() {
    let node = watchful();
    let mut idle = TcpStream::connect(node.addresses[0]).await.expect("connects");
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
    let mut answer = String::new();
    let ended = tokio::time::timeout(PATIENCE, idle.read_to_string(&mut answer)).await.expect("in time");
    ended.expect("is answered");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!tells_of_closed(&node, "overdue").await, "it had not begun anything");
}

/// What a client is sent may be long in coming through, and what it asks in the meantime is answered after that.
#[tokio::test]
async fn whoever_takes_an_answer_slowly_is_not_cut() {
    let node = watchful();
    let mut slow = TcpStream::connect(node.addresses[0]).await.expect("connects");
    // More than the sockets hold.
    let asked = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(63);
    let last = "GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    slow.write_all(asked.as_bytes()).await.expect("sends");
    // Longer than it takes to be looked at twice.
    tokio::time::sleep(Duration::from_secs(9)).await;
    slow.write_all(last.as_bytes()).await.expect("sends");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answers = Vec::new();
    slow.read_to_end(&mut answers).await.expect("reads");
    assert_eq!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200 ").count(), 64);
}

/// The first of many requests waits for the store, and the others are more than is read while it does.
#[tokio::test]
async fn whatever_is_sent_ahead_is_answered_in_turn() {
    let node = Node::start(&settings());
    let mut ahead = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let first = "GET /v1/domains/nowhere.example/entries?from=0 HTTP/1.1\r\nhost: x\r\n\r\n";
    let others = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(8_000);
    let last = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let asked = [first, others.as_str(), last].concat();
    let mut answers = String::new();
    let (mut from, mut to) = ahead.split();
    let exchanged = async { tokio::try_join!(to.write_all(asked.as_bytes()), from.read_to_string(&mut answers)) };
    let exchanged = tokio::time::timeout(PATIENCE, exchanged).await.expect("in time");
    exchanged.expect("all is sent and answered");
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers:.300}");
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 8_001);
}

/// Opens a dozen connections that send this and nothing more.
async fn dozen(node: &Node, said: &[u8]) -> Vec<TcpStream> {
    let mut dozen = Vec::new();
    for _ in 0..12 {
        let mut one = TcpStream::connect(node.addresses[0]).await.expect("connects");
        one.write_all(said).await.expect("sends");
        dozen.push(one);
    }
    dozen
}

/// Somebody else is answered beside them, on a new connection: one that idles is cut like theirs.
async fn answers(node: &Node) {
    let asked = node.raw(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = asked.await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Whether the metrics say that connections were closed for this reason.
async fn tells_of_closed(node: &Node, reason: &str) -> bool {
    let series = format!("ics_connections_closed_total{{server=\"http\",reason=\"{reason}\"}} ");
    let text = node.metrics().await;
    let count = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_else(|| panic!("{series}: {text}"));
    count != "0"
}

/// Nobody holds a place that someone else needs: the usual time limit for requests is half a minute.
#[tokio::test]
async fn whoever_comes_finds_a_place() {
    let node = Node::start(&Settings { max_connections: 4, ..settings() });
    let mut silent = dozen(&node, b"").await;
    answers(&node).await;
    let cut = tokio::time::timeout(Duration::from_secs(20), silent[0].read(&mut [0])).await.expect("in time");
    assert_eq!(cut.expect("ends"), 0, "the oldest has left");
    // actix sets no time limit for the head of a second request.
    let _begun = dozen(&node, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nG").await;
    answers(&node).await;
    assert!(tells_of_closed(&node, "newcomer").await && !tells_of_closed(&node, "kept").await);
}

/// The body of a request, which [`begun`] does not send.
const BODY: &[u8] = br#"{"statements": []}"#;

/// Sends the head of an operator's request whose answer waits for its body. Of strangers' requests so few places would
/// not be kept.
async fn begun(node: &Node) -> TcpStream {
    let mut slow = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let head = format!(
        "POST /v1/domains/nowhere.example/statements HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {TOKEN}\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    slow.write_all(head.as_bytes()).await.expect("sends");
    is_awaited(&mut slow).await;
    slow
}

/// Sends the body and reads the answer.
async fn completed(mut slow: TcpStream) {
    slow.write_all(BODY).await.expect("sends");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

/// Waits until the node has read the head of a request, and asks for its body (RFC 9110, section 10.1.1).
async fn is_awaited(client: &mut TcpStream) {
    let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    client.read_exact(&mut told).await.expect("reads");
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// A client that is being answered keeps its place, however many come.
#[tokio::test]
async fn whoever_waits_for_an_answer_keeps_his_place() {
    let node = Node::start(&Settings { max_connections: 4, ..settings() });
    let slow = begun(&node).await;
    let _silent = dozen(&node, b"").await;
    answers(&node).await;
    completed(slow).await;
}

/// Served beside the places, silent connections would take up what actix accepts, and nothing would cut them.
#[tokio::test]
async fn a_newcomer_is_refused_while_all_places_are_kept() {
    let node = Node::start(&Settings { max_connections: 4, ..settings() });
    let [first, second, third] = [begun(&node).await, begun(&node).await, begun(&node).await];
    for mut silent in dozen(&node, b"").await {
        let ended = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut [0])).await.expect("in time");
        assert_eq!(ended.expect("ends"), 0, "there is no place for it");
    }
    completed(first).await;
    answers(&node).await;
    assert!(tells_of_closed(&node, "kept").await && !tells_of_closed(&node, "newcomer").await);
    completed(second).await;
    completed(third).await;
}

#[tokio::test]
async fn what_is_not_http_gets_400() {
    let node = Node::start(&settings());
    assert!(node.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn stopping_lets_requests_end_and_closes_the_port() {
    // Nobody else listens there afterwards.
    let held = Port::take().expect("a port");
    let node = Node::start(&Settings { listen: vec![held.address()], ..settings() });
    let mut stream = TcpStream::connect(node.addresses[0]).await.expect("connects");
    let body = b"{\"statements\": []}";
    let head = format!(
        "POST /v1/domains/nowhere.example/statements HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    is_awaited(&mut stream).await;
    node.stop.send(()).expect("stops");
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(body).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    tokio::time::timeout(PATIENCE, node.running).await.expect("in time").expect("ends").expect("well");
    assert!(TcpStream::connect(node.addresses[0]).await.is_err());
}

#[tokio::test]
async fn metrics_on_their_own_address() {
    let both = Node::start(&settings());
    both.get("/metrics").await.is_problem("they name peers", (401, "operator-only"));
    assert!(both.metrics().await.contains("ics_http_connections 1"));
    let apart = Node::start(&Settings { metrics: Some(([127, 0, 0, 1], 0).into()), ..settings() });
    apart.get("/metrics").await.is_problem("not for everybody", (404, "unknown-route"));
    let [_, operations] = apart.addresses[..] else { panic!("two addresses") };
    for (path, status) in [("/metrics", 200), ("/livez", 200), ("/readyz", 200), ("/v1/node", 404)] {
        let answer = Answer::read(apart.client.get(format!("http://{operations}{path}"))).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn metrics_count_requests() {
    let node = Node::start(&settings());
    node.get("/v1/domains/nowhere.example").await;
    node.get("/v1/domains/elsewhere.example").await;
    node.get("/nothing").await;
    let text = node.metrics().await;
    for line in [
        "ics_http_requests_total{method=\"GET\",route=\"/v1/domains/{domain}\",status=\"404\"} 2",
        "ics_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "ics_http_request_duration_seconds_count{route=\"/v1/domains/{domain}\"} 2",
        "ics_http_connections 1",
        "ics_connection_places{server=\"http\"} 3839",
        "ics_connection_places_taken{server=\"http\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("ics_process_resident_memory_bytes ") && text.ends_with("# EOF\n"), "{text}");
}
