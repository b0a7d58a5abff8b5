//! Bad input: each gets its status and its problem, and nothing is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::limits;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::Node;
use crate::world::{TOKEN, certificate, introduction, maker, signer};

const AT: &str = "/v1/domains/devices.acme.example";

fn get(request: RequestBuilder) -> RequestBuilder {
    request
}

#[tokio::test]
async fn what_is_asked_for_wrongly() {
    let node = Node::founded().await;
    let nobody = "ab".repeat(20);
    for (path, expected) in [
        ("/v1/domains/nowhere.example", (404, "unknown-domain")),
        ("/v1/domains/Devices.Acme.Example", (400, "malformed-domain")),
        ("/v1/domains/..%2f..%2fetc%2fpasswd", (400, "malformed-domain")),
        ("/v1/domains/devices.acme.example/descriptor?version=2", (404, "unknown-descriptor")),
        ("/v1/domains/devices.acme.example/descriptor?version=0", (404, "unknown-descriptor")),
        ("/v1/domains/devices.acme.example/descriptor?version=one", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/descriptor?colour=red", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/entries/1", (404, "unknown-entry")),
        ("/v1/domains/devices.acme.example/entries/18446744073709551615", (404, "unknown-entry")),
        ("/v1/domains/devices.acme.example/entries/18446744073709551616", (400, "malformed-path")),
        ("/v1/domains/devices.acme.example/entries/-1", (400, "malformed-path")),
        ("/v1/domains/devices.acme.example/entries/first", (400, "malformed-path")),
        ("/v1/domains/devices.acme.example/entries?from=2", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/entries?until=2", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/entries?from=-1", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/entries?from=1&from=1", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/proof/inclusion", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/proof/inclusion?index=1", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/proof/inclusion?index=0&size=2", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/proof/consistency?from=2", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/tile/0/001", (404, "unknown-tile")),
        ("/v1/domains/devices.acme.example/tile/0/000", (404, "unknown-tile")),
        ("/v1/domains/devices.acme.example/tile/entries/000.p/9", (404, "unknown-tile")),
        ("/v1/domains/devices.acme.example/tile/0/1", (400, "malformed-tile-path")),
        ("/v1/domains/devices.acme.example/tile/", (400, "malformed-tile-path")),
        ("/v1/domains/devices.acme.example/tile/..%2f..%2fetc%2fpasswd", (400, "malformed-tile-path")),
        ("/v1/domains/devices.acme.example/tile/0/000.p/0", (400, "malformed-tile-path")),
        ("/v1/domains/devices.acme.example/identities/what", (400, "malformed-id")),
        ("/v1/domains/devices.acme.example/identities/%FF", (400, "malformed-path")),
        ("/v1/domains/devices.acme.example/identities/serial:SN-%FF", (400, "malformed-path")),
        ("/v1/domains/devices.acme.example/identities?model=P%E9", (400, "malformed-query")),
        ("/v1/identities/serial:SN-10%C3", (400, "malformed-path")),
        ("/v1/explain?id=serial:SN-%FF", (400, "malformed-query")),
        ("/v1/check?serial=SN-%FF&use=connect", (400, "malformed-query")),
        ("/pks/lookup?op=get&search=%FF", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/identities/serial:SN-10", (404, "unknown-identity")),
        ("/v1/domains/devices.acme.example/identities?limit=0", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/identities?limit=501", (400, "out-of-range")),
        ("/v1/domains/devices.acme.example/identities?after=x", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/identities?after=-1", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/identities?kind=toaster", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/identities?signer=1234", (400, "malformed-query")),
        ("/v1/domains/devices.acme.example/identities?colour=red", (400, "malformed-query")),
        ("/v1/identities/what", (400, "malformed-id")),
        ("/v1/identities/ni:%2F%2F%2Fsha-1;abc", (400, "malformed-id")),
        ("/v1/identities/serial:SN-10", (404, "unknown-identity")),
        ("/v1/verdict", (400, "malformed-query")),
        ("/v1/verdict?id=serial:SN-10", (400, "malformed-query")),
        ("/v1/verdict?id=SN-10&use=connect", (400, "malformed-id")),
        ("/v1/check?use=connect", (400, "malformed-query")),
        ("/v1/check?serial=SN-10", (400, "malformed-query")),
        ("/v1/check?serial=SN-10&use=", (400, "malformed-query")),
        ("/v1/check?serial=SN-10&use=CONNECT", (400, "malformed-query")),
        ("/v1/verdict?id=serial:SN-10&use=Install", (400, "malformed-query")),
        ("/v1/check?serial=SN-10&serial=SN-11&use=connect", (400, "malformed-query")),
        ("/v1/check?serial=SN-10&use=connect&and=more", (400, "malformed-query")),
        ("/v1/check?spki=12&use=connect", (400, "malformed-id")),
        ("/v1/check?sha256=xyz&use=install", (400, "malformed-id")),
        ("/v1/check?serial=a%20b&use=connect", (400, "malformed-id")),
        ("/v1/check?serial=SN-10&use=connect&peer=nothing", (400, "malformed-id")),
        ("/v1/check?cert=-----BEGIN%20CERTIFICATE-----&use=connect", (400, "malformed-id")),
        ("/v1/domains/devices.acme.example/enrolments", (401, "operator-only")),
        ("/v1/domains/devices.acme.example/enrolments/1234", (404, "unknown-enrolment")),
    ] {
        let detail = node.call("GET", path, get).await.is_problem(path, expected);
        assert!(!detail.contains("deserialize error") && !detail.contains("``"), "{path}: {detail}");
    }
    let path = format!("{AT}/identities/{nobody}");
    node.get(&path).await.is_problem("an unknown key", (404, "unknown-identity"));
    let long = format!("/v1/identities/serial:{}", "x".repeat(limits::NAME_BYTES + 1));
    node.get(&long).await.is_problem("a name that is too long", (400, "malformed-id"));
}

#[tokio::test]
async fn media_types_that_do_not_exist() {
    let node = Node::founded().await;
    let html = [("accept", "text/html")];
    for path in ["/v1/identities/serial:SN-10", "/v1/domains/devices.acme.example/descriptor"] {
        node.get_with(path, &html).await.is_problem(path, (406, "not-acceptable"));
    }
    let binary = [("accept", "application/octet-stream")];
    let path = "/v1/identities/serial:SN-10?version=5";
    node.get_with(path, &binary).await.is_problem("OpenPGP version 5", (400, "out-of-range"));
}

#[tokio::test]
async fn submissions_as_a_whole() {
    let node = Node::founded().await;
    let path = format!("{AT}/statements");
    let (json, binary) = ("application/json", "application/octet-stream");
    let many = |count: usize| json!({"statements": vec!["AA=="; count]}).to_string().into_bytes();
    let large = STANDARD.encode(vec![0; limits::BATCH_BYTES + 1]);
    for (what, media_type, body, expected) in [
        ("another media type", "text/plain", b"{}".to_vec(), (415, "unsupported-media-type")),
        ("a form", "multipart/form-data; boundary=x", b"--x--".to_vec(), (415, "unsupported-media-type")),
        ("no media type", "", b"{}".to_vec(), (415, "unsupported-media-type")),
        ("broken JSON", json, b"{\"statements\": [".to_vec(), (400, "malformed-json")),
        ("an empty body", json, Vec::new(), (400, "malformed-json")),
        ("other JSON", json, b"[]".to_vec(), (400, "malformed-json")),
        ("an unknown member", json, b"{\"statements\": [], \"colour\": 1}".to_vec(), (400, "malformed-json")),
        ("no base64", json, b"{\"statements\": [\"?\"]}".to_vec(), (400, "malformed-json")),
        ("no statement", json, many(0), (400, "batch-empty")),
        ("too many statements", json, many(limits::BATCH_STATEMENTS + 1), (413, "batch-too-large")),
        ("too large a batch", json, json!({"statements": [large]}).to_string().into(), (413, "batch-too-large")),
        ("too large a body", json, vec![b' '; limits::BATCH_BYTES * 2], (413, "body-too-large")),
        ("too much OpenPGP", binary, vec![0xC6; limits::BATCH_BYTES + 1], (413, "body-too-large")),
        ("no OpenPGP", binary, b"hello".to_vec(), (422, "malformed-statement")),
        ("nothing", binary, Vec::new(), (422, "malformed-statement")),
        ("broken armor", "application/pgp-keys", b"-----BEGIN PGP".to_vec(), (422, "malformed-statement")),
    ] {
        node.post(&path, media_type, body).await.is_problem(what, expected);
    }
    let elsewhere = node.post("/v1/domains/nowhere.example/statements", json, many(1)).await;
    elsewhere.is_problem("an unknown domain", (404, "unknown-domain"));
    let elsewhere = node.post("/v1/domains/nowhere.example/statements", binary, b"hello".to_vec()).await;
    elsewhere.is_problem("an unknown domain", (404, "unknown-domain"));
    let packed =
        |request: RequestBuilder| request.header("content-type", json).header("content-encoding", "gzip").body("{}");
    node.call("POST", &path, packed).await.is_problem("a packed body", (415, "unsupported-media-type"));
    assert_eq!(node.get(AT).await.json()["size"], 1, "nothing was stored");
}

#[tokio::test]
async fn single_statements() {
    let (node, maker, stranger) = (Node::founded().await, maker(), signer(66));
    let path = format!("{AT}/statements");
    let good = introduction(&maker, 10);
    let certificate = certificate(&maker, "Acme");
    let truncated = good[..good.len() - 1].to_vec();
    let trailing = [&good[..], &[0xC6]].concat();
    let mut forged = good.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    for (what, body, expected) in [
        ("a truncated packet", truncated, (422, "malformed-statement")),
        ("trailing bytes", trailing, (422, "malformed-statement")),
        ("two statements in one", [good.clone(), introduction(&maker, 11)].concat(), (422, "malformed-statement")),
        ("an oversize body", vec![0xC6; limits::PERSON_CERTIFICATE_BYTES + 1], (422, "malformed-statement")),
        ("a forged signature", forged, (422, "bad-signature")),
        ("an unknown signer", introduction(&stranger, 10), (403, "unknown-signer")),
    ] {
        let batch = json!({"statements": [STANDARD.encode(&certificate), STANDARD.encode(&body)]});
        let answer = node.post(&path, "application/json", batch.to_string()).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let problem = answer.json()["results"][1]["problem"].clone();
        let uri = format!("urn:ics:problem:{}", expected.1);
        assert_eq!((&problem["status"], &problem["type"]), (&json!(expected.0), &json!(uri)), "{what}: {problem}");
    }
    assert_eq!(node.get(AT).await.json()["size"], 2, "the certificate, and nothing else, was stored");
}

#[tokio::test]
async fn only_the_operator() {
    let node = Node::founded().await;
    let body = json!({"source": "other.example", "ids": ["serial:1"]}).to_string();
    let adopt = format!("{AT}/adoptions");
    let refuse = format!("{AT}/enrolments/{}/refuse", "ab".repeat(20));
    let forget = format!("{AT}/enrolments/{}/forget", "ab".repeat(20));
    let send = |token: &'static str, body: String| {
        move |request: RequestBuilder| {
            let request = request.header("content-type", "application/json").body(body);
            if token.is_empty() { request } else { request.header("authorization", token) }
        }
    };
    for token in ["", "Bearer wrong", "Bearer ", "Basic b25seSBmb3Igb3BlcmF0b3Jz", "only for operators"] {
        for path in [&adopt, &refuse, &forget] {
            let answer = node.call("POST", path, send(token, body.clone())).await;
            answer.is_problem(token, (401, "operator-only"));
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let wrong = [("authorization", "Bearer wrong")];
    let reading = node.get_with("/v1/identities/serial:SN-10", &wrong).await;
    reading.is_problem("a wrong token is told, not ignored", (401, "operator-only"));
    let right = format!("Bearer {TOKEN}");
    let right: &'static str = right.leak();
    let answer = node.call("POST", &refuse, send(right, json!({"reason": "x"}).to_string())).await;
    answer.is_problem("the right token", (404, "unknown-enrolment"));
    let answer = node.call("POST", &adopt, send(right, body)).await;
    answer.is_problem("the right token", (404, "unknown-domain"));
}

#[tokio::test]
async fn enrolment_requests() {
    let node = Node::founded().await;
    let path = format!("{AT}/enrolments");
    let good = json!({"certificate": STANDARD.encode(certificate(&signer(20), "A sensor")), "kind": "device"});
    let with = |member: &str, value: serde_json::Value| {
        let mut request = good.clone();
        request[member] = value;
        request.to_string()
    };
    for (what, body, expected) in [
        ("no JSON", "certificate=x".to_owned(), (400, "malformed-json")),
        ("no certificate", json!({"kind": "device"}).to_string(), (400, "malformed-json")),
        ("another kind", with("kind", json!("toaster")), (400, "malformed-json")),
        ("an unknown member", with("colour", json!("red")), (400, "malformed-json")),
        ("a kind without a key", with("kind", json!("software")), (400, "malformed-request")),
        ("no base64", with("certificate", json!("?")), (400, "malformed-request")),
        ("no OpenPGP", with("certificate", json!("AAAA")), (400, "malformed-request")),
        ("a malformed name", with("names", json!(["what"])), (400, "malformed-request")),
        (
            "too many names",
            with("names", json!(vec!["serial:1"; limits::ENROLMENT_NAMES + 1])),
            (400, "malformed-request"),
        ),
        ("too long names", with("names", json!(vec!["x".repeat(limits::NAME_BYTES); 32])), (413, "body-too-large")),
        ("an unknown attribute", with("attributes", json!({"colour": "red"})), (400, "malformed-request")),
        ("too much", with("names", json!(["x".repeat(512 * 1024)])), (413, "body-too-large")),
    ] {
        node.post(&path, "application/json", body).await.is_problem(what, expected);
    }
    let answer = node.post(&path, "text/plain", good.to_string()).await;
    answer.is_problem("another media type", (415, "unsupported-media-type"));
    let operator = format!("Bearer {TOKEN}");
    for query in ["limit=0", "limit=501"] {
        let answer = node.get_with(&format!("{path}?{query}"), &[("authorization", &operator)]).await;
        answer.is_problem(query, (400, "out-of-range"));
    }
}

#[tokio::test]
async fn nobody_alone_fills_the_desk() {
    let node = Node::founded().await;
    let path = format!("{AT}/enrolments");
    let request = json!({"certificate": "?", "kind": "device"}).to_string();
    let mut taken = 0;
    let refused = loop {
        let answer = node.post(&path, "application/json", request.clone()).await;
        if answer.status != 400 || taken > 2 * limits::ENROLMENTS_PER_ADDRESS_AT_ONCE {
            break answer;
        }
        taken += 1;
    };
    refused.is_problem("one too many", (429, "too-many-requests"));
    assert!(taken >= limits::ENROLMENTS_PER_ADDRESS_AT_ONCE, "{taken} were taken");
}
