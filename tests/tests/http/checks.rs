//! The gateway's questions, as proxies and devices ask them.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use ics_core::checker::Case;
use ics_core::time::Timestamp;
use ics_core::trust::Outcome;
use ics_node::config::SocketConfig;
use ics_node::http::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::hidden::{ALL, amend, lots};
use crate::reading::{fingerprint, submit, tell};
use crate::support::{Answer, Node, settings};
use crate::world::{CREATED, TOKEN, World, introduction_as, maker, serial, signer, stolen};

/// Status, verdict and reason of an answer.
fn told(answer: &Answer) -> (u16, &str, &str) {
    assert!(answer.body.is_empty(), "{}", answer.text());
    (answer.status, answer.header("ics-verdict"), answer.header("ics-reason"))
}

#[tokio::test]
async fn a_proxy_is_told_by_the_status_and_why_by_the_headers() {
    let node = tell(Node::of(World::permitting).await).await;
    let check = async |query: &str| node.get(&format!("/v1/check?{query}")).await;
    let allowed = check("serial=SN-10&use=connect").await;
    assert_eq!(told(&allowed), (204, "allow", "permitted"));
    assert_eq!(allowed.header("ics-view"), "devices.acme.example=6 care.acme.example=1");
    assert_eq!(allowed.header("cache-control"), "no-store");
    let time = |name| Timestamp::parse(allowed.header(name)).expect("a time");
    let good = time("ics-as-of")..time("ics-fresh-until");
    assert!(good.contains(&time("ics-time")), "for how long it is good can be told: {:?}", allowed.headers);
    let device = fingerprint(10);
    for (query, expected) in [
        ("serial=SN-12&use=connect", (403, "deny", "blocked")),
        ("serial=SN-10&use=connect&peer=serial:SN-12", (403, "deny", "blocked")),
        ("serial=SN-10&use=connect&peer=serial:SN-11", (204, "allow", "permitted")),
        ("serial=SN-99&use=connect", (503, "unknown", "unknown-identity")),
        ("serial=SN-10&use=connect&peer=serial:SN-99", (503, "unknown", "unknown-identity")),
        (&format!("id={device}&use=operate"), (204, "allow", "permitted")),
        (&format!("id=openpgp4fpr:{device}&use=fly"), (204, "allow", "permitted")),
    ] {
        for _ in 0..2 {
            assert_eq!(told(&check(query).await), expected, "{query}");
        }
    }
    // A use that the policy does not name may be a typing error; it is permitted by what the policy says of every use.
    for (usage, is_told) in [("fly", true), ("connect", false)] {
        let verdict = node.get(&format!("/v1/verdict?id=serial:SN-10&use={usage}")).await.json();
        let told = verdict["reasons"].to_string().contains("the trust policy does not name the use `fly`");
        assert_eq!(told, is_told, "{verdict}");
    }
    let unknown = check("serial=SN-99&use=connect").await;
    assert_eq!(unknown.header("ics-fresh-until"), "", "nothing can be relied on");
    assert!(Timestamp::parse(unknown.header("ics-time")).is_ok(), "{:?}", unknown.headers);
}

/// An installer of unknown software must not be told that it is unknown if a hidden statement withdraws it.
#[tokio::test]
async fn from_what_is_hidden_nobody_concludes_that_there_is_nothing() {
    let node = tell(Node::of(World::permitting).await).await;
    let (bearer, query) = (format!("Bearer {TOKEN}"), |thing: &str| format!("/v1/check?serial={thing}&use=install"));
    let said = async |thing: &str, headers: &[(&str, &str)]| {
        let answer = node.get_with(&query(thing), headers).await;
        told(&answer).2.to_owned()
    };
    assert_eq!(said("SN-99", &[]).await, "unknown-identity");
    amend(&node, ALL, &lots(&["L2"])).await;
    for (thing, to_the_operator) in [("SN-99", "unknown-identity"), ("SN-12", "blocked"), ("SN-10", "permitted")] {
        assert_eq!(said(thing, &[]).await, "not-heard", "{thing}");
        assert_eq!(said(thing, &[("authorization", &bearer)]).await, to_the_operator, "{thing}");
    }
    let verdict = node.get("/v1/verdict?id=serial:SN-12&use=install").await.json();
    let hint = "devices.acme.example may keep things back from this reader";
    assert!(verdict["reasons"][1].as_str().is_some_and(|words| words.starts_with(hint)), "{verdict}");
}

#[tokio::test]
async fn an_answer_changes_with_the_next_statement() {
    let node = tell(Node::of(World::permitting).await).await;
    let check = async || node.get("/v1/check?serial=SN-10&use=connect").await.status;
    assert_eq!((check().await, check().await), (204, 204));
    submit(&node, &[stolen(&maker(), 10)]).await;
    assert_eq!(check().await, 403);
    let other = node.get("/v1/check?serial=SN-11&use=connect").await;
    assert_eq!((other.status, other.header("ics-view")), (204, "devices.acme.example=7 care.acme.example=1"));
}

#[tokio::test]
async fn a_name_that_comes_to_fit_several_things_is_ambiguous() {
    let node = tell(Node::of(World::permitting).await).await;
    let check = async || node.get("/v1/check?serial=SN-10&use=connect").await;
    assert_eq!(check().await.status, 204);
    let twin = introduction_as(&maker(), 13, 10);
    submit(&node, &[twin]).await;
    assert_eq!(told(&check().await), (503, "unknown", "ambiguous"));
}

#[tokio::test]
async fn without_a_policy_nothing_is_allowed() {
    let node = Node::founded().await;
    let answer = node.get("/v1/check?serial=SN-10&use=connect").await;
    assert_eq!(told(&answer), (503, "unknown", "no-policy"));
    let verdict = node.get("/v1/verdict?id=serial:SN-10&use=connect").await.json();
    assert_eq!((&verdict["outcome"], &verdict["reason"]), (&json!("unknown"), &json!("no-policy")));
}

/// The disk returns something other than what was written: the verdict is unknown, and the answer says so.
#[tokio::test]
async fn a_copy_that_cannot_be_read_allows_nothing() {
    let world = tokio::task::spawn_blocking(World::permitting).await.expect("a world");
    let data = world.data().to_owned();
    let node = tell(Node::with(world, &settings())).await;
    assert_eq!(node.get("/v1/check?serial=SN-11&use=connect").await.status, 204);
    // SQLite reads its cached pages anew once another connection has written.
    let other = rusqlite::Connection::open(data.join("ics.db")).expect("opens");
    other.execute_batch("CREATE TABLE other (id INTEGER); DROP TABLE other").expect("written");
    // Everything after the headers of the database and of its write-ahead log.
    for (file, start) in [("ics.db", 4096), ("ics.db-wal", 32)] {
        let file = std::fs::File::options().write(true).open(data.join(file)).expect("opens");
        let length = file.metadata().expect("a length").len();
        let zeros = vec![0; usize::try_from(length.saturating_sub(start)).expect("fits")];
        std::os::unix::fs::FileExt::write_all_at(&file, &zeros, start).expect("written");
    }
    for thing in ["serial=SN-10", "serial=SN-12"] {
        let answer = node.get(&format!("/v1/check?{thing}&use=connect")).await;
        assert_eq!(told(&answer), (503, "unknown", "unreadable"), "{thing}");
        let verdict = node.get(&format!("/v1/verdict?id={}&use=connect", thing.replace('=', ":"))).await;
        assert_eq!(verdict.status, 500, "{}", verdict.text());
    }
    let questions = json!({"questions": [{"id": "serial:SN-10", "use": "connect"}]}).to_string();
    let batch = node.post("/v1/check", "application/json", questions).await.json();
    assert_eq!(batch["answers"][0]["reason"], "unreadable", "{batch}");
}

#[tokio::test]
async fn a_verdict_comes_with_its_evidence() {
    let node = tell(Node::of(World::permitting).await).await;
    for (query, outcome) in [
        ("id=serial:SN-10&use=connect", Outcome::Allow),
        ("id=serial:SN-10&use=connect&peer=serial:SN-12", Outcome::Deny),
        ("id=serial:SN-99&use=connect", Outcome::Unknown),
    ] {
        let answer = node.get(&format!("/v1/verdict/case?{query}")).await;
        let case = Case::parse(&answer.body).expect("a case");
        assert_eq!((case.verdict.outcome, case.check()), (outcome, Ok(())), "{query}");
        let mut forged = case;
        forged.verdict.outcome = if outcome == Outcome::Allow { Outcome::Deny } else { Outcome::Allow };
        assert!(forged.check().is_err(), "{query}");
    }
    let without = Node::founded().await.get("/v1/verdict/case?id=serial:SN-10&use=connect").await;
    without.is_problem("no policy", (503, "no-policy"));
}

#[tokio::test]
async fn many_questions_at_once() {
    let node = tell(Node::of(World::permitting).await).await;
    let questions =
        ["serial:SN-10", "serial:SN-12", "serial:SN-99", "SN-10"].map(|id| json!({"id": id, "use": "connect"}));
    let answer = node.post("/v1/check", "application/json", json!({"questions": questions}).to_string()).await;
    let answer = answer.json();
    let answers = answer["answers"].clone();
    let words: Vec<_> = answers.as_array().expect("answers").iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(words, [json!("allow"), json!("deny"), json!("unknown"), Value::Null]);
    let time = |value: &Value| value.as_str().and_then(|text| Timestamp::parse(text).ok()).expect("a time");
    let (as_of, until) = (time(&answers[0]["as_of"]), time(&answers[0]["fresh_until"]));
    assert!((as_of..until).contains(&time(&answer["time"])), "for how long it is good can be told: {answer}");
    assert_eq!(answers[3]["type"], "urn:ics:problem:malformed-id");
    let bare = node.post("/v1/check", "application/json", json!(questions).to_string()).await;
    let told = bare.is_problem("the questions alone", (400, "malformed-json"));
    assert!(told.contains("the route takes an object"), "{told}");
    let many = json!({"questions": vec![&questions[0]; 1001]}).to_string();
    let refused = node.post("/v1/check", "application/json", many).await;
    let detail = refused.is_problem("1001", (413, "batch-too-large"));
    assert!(detail.contains("questions") && !refused.text().contains("statements"), "{}", refused.text());
}

#[tokio::test]
async fn the_key_in_a_certificate_that_a_client_has_shown() {
    let node = tell(Node::of(World::permitting).await).await;
    let pem = pem_of(10);
    let escaped: String = pem.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = node.get(&format!("/v1/check?cert={escaped}&use=connect")).await;
    assert_eq!(told(&answer), (204, "allow", "permitted"));
    let stranger: String = pem_of(77).bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = node.get(&format!("/v1/check?cert={stranger}&use=connect")).await;
    assert_eq!(told(&answer), (503, "unknown", "unknown-identity"));
}

/// A certificate that openssl makes with the key of the device with this seed.
fn pem_of(seed: u8) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key.pem");
    // RFC 8410, 7: the prefix of an Ed25519 private key in PKCS #8.
    let der = [
        &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..],
        &[seed; 32],
    ];
    let text = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.concat()));
    std::fs::write(&key, text).expect("written");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-new", "-subj", "/CN=device", "-days", "30", "-key"])
        .arg(&key)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("PEM")
}

/// What memory has is answered in front of the router, without any difference that a client could see.
#[tokio::test]
async fn an_answer_out_of_memory_is_the_answer() {
    let node = tell(Node::of(World::permitting).await).await;
    let id = fingerprint(10);
    for path in [
        "/v1/check?serial=SN-10&use=connect".to_owned(),
        "/v1/check?serial=SN-12&use=connect".to_owned(),
        "/v1/check?serial=SN-99&use=connect".to_owned(),
        format!("/v1/identities/{id}"),
        "/v1/identities/serial:SN-10?view=summary".to_owned(),
        "/v1/domains/devices.acme.example/identities/serial:SN-10".to_owned(),
        format!("/v1/domains/devices.acme.example/identities/{id}?view=summary"),
    ] {
        let first = node.get(&path).await;
        let hot = node.get(&path).await;
        // A preference for a media type sends the question to the router.
        let routed = node.get_with(&path, &[("accept", "application/json, */*;q=0.1")]).await;
        for other in [&hot, &routed] {
            assert_eq!(other.status, first.status, "{path}");
            let mut headers = other.headers.clone();
            for changing in ["date", "ics-as-of", "ics-fresh-until", "ics-time"] {
                if let Some(value) = first.headers.get(changing) {
                    headers.insert(changing, value.clone());
                }
            }
            assert_eq!(headers, first.headers, "{path}");
            let timeless = |answer: &Answer| answer.text().split("\"age_seconds\":").next().map(str::to_owned);
            assert_eq!(timeless(other), timeless(&first), "{path}");
        }
    }
    for path in ["/v1/check?serial=SN-10&use=connect".to_owned(), format!("/v1/identities/{id}")] {
        let other = node.get_with(&path, &[("ics-reader", "site.example")]).await;
        other.is_problem("only the operator reads on behalf of others", (401, "operator-only"));
    }
    let counted = node.metrics().await;
    let line = "ics_http_requests_total{method=\"GET\",route=\"/v1/check\",status=\"204\"} 3";
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test]
async fn a_device_shows_that_it_holds_its_key() {
    let node = tell(Node::founded().await).await;
    let challenge = async || {
        let answer = node.post("/v1/challenge", "application/json", json!({"id": serial(10)}).to_string()).await;
        answer.json()
    };
    let answer = async |challenge: &Value, signature: &[u8]| {
        let body = json!({"nonce": challenge["nonce"], "signature": STANDARD.encode(signature)});
        node.post("/v1/challenge/answer", "application/json", body.to_string()).await
    };
    let asked = challenge().await;
    let message = asked["message"].as_str().expect("a message");
    assert!(message.starts_with("ICS challenge\nics.acme.example\n"), "{message}");
    let signature = SigningKey::from_bytes(&[10; 32]).sign(message.as_bytes()).to_bytes();
    let proven = answer(&asked, &signature).await;
    assert_eq!((proven.status, &proven.json()["id"]), (200, &json!(fingerprint(10))));
    answer(&asked, &signature).await.is_problem("it serves once", (404, "unknown-challenge"));

    let asked = challenge().await;
    let other = SigningKey::from_bytes(&[11; 32]).sign(asked["message"].as_str().expect("text").as_bytes());
    answer(&asked, &other.to_bytes()).await.is_problem("another's key", (403, "not-proven"));
    answer(&asked, &signature).await.is_problem("a wrong answer ends it", (404, "unknown-challenge"));
    answer(&challenge().await, &signature).await.is_problem("an old signature", (403, "not-proven"));
    let nobody = node.post("/v1/challenge", "application/json", json!({"id": serial(99)}).to_string()).await;
    nobody.is_problem("nobody", (404, "unknown-identity"));
}

#[tokio::test]
async fn a_device_answers_with_openpgp() {
    let node = tell(Node::founded().await).await;
    let asked = node.post("/v1/challenge", "application/json", json!({"id": serial(10)}).to_string()).await.json();
    let message = asked["message"].as_str().expect("text");
    let device = signer(10);
    let document = ics_core::openpgp::possession::sign(&device, message.as_bytes(), CREATED, &[5; 32]).expect("signed");
    let body = json!({"nonce": asked["nonce"], "signature": STANDARD.encode(document)});
    let proven = node.post("/v1/challenge/answer", "application/json", body.to_string()).await;
    assert_eq!(proven.status, 200, "{}", proven.text());
}

#[tokio::test]
async fn a_gateway_on_the_same_machine_asks_through_a_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ics.sock");
    std::os::unix::net::UnixListener::bind(&path).expect("one that a node has left there");
    let socket = Some(SocketConfig { path: path.clone(), mode: 0o600 });
    let node = tell(Node::of_with(World::permitting, &Settings { socket, ..settings() }).await).await;
    assert_eq!(std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    let ask = async |target: &str| {
        let mut stream = UnixStream::connect(&path).await.expect("connects");
        let request = format!("GET {target} HTTP/1.1\r\nhost: ics\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    };
    let allowed = ask("/v1/check?serial=SN-10&use=connect").await;
    assert!(allowed.starts_with("HTTP/1.1 204 ") && allowed.contains("ics-verdict: allow"), "{allowed}");
    assert!(ask("/v1/verdict?id=serial:SN-12&use=connect").await.contains("\"outcome\":\"deny\""));
    let elsewhere = ask("/v1/domains").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "it decides and does nothing else: {elsewhere}");
    drop(node);
}
