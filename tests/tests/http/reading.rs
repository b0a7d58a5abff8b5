//! The routes of the API in order of use: what is submitted can be read in every form, as the document describes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ics_core::identity::Kind;
use ics_core::openpgp::signer::Signer as _;
use ics_core::statement::{Claims, body, make};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Act;
use serde_json::{Value, json};

use crate::support::{Answer, Node};
use crate::world::{
    CARE, CREATED, DOMAIN, TOKEN, World, certificate, domain, introduction, introduction_as, maker, of_device, serial,
    signer, stolen,
};

const AT: &str = "/v1/domains/devices.acme.example";

pub(crate) fn submission(bodies: &[Vec<u8>]) -> String {
    json!({"statements": bodies.iter().map(|body| STANDARD.encode(body)).collect::<Vec<_>>()}).to_string()
}

pub(crate) async fn submit(node: &Node, bodies: &[Vec<u8>]) -> Vec<Value> {
    let answer = node.post(&format!("{AT}/statements"), "application/json", submission(bodies)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"].as_array().expect("results").clone()
}

/// A node that knows the manufacturer and devices 10, 11 and 12, of which 12 was stolen: entries 0 to 5.
async fn told() -> Node {
    tell(Node::founded().await).await
}

pub(crate) async fn tell(node: Node) -> Node {
    let maker = maker();
    let mut bodies = vec![certificate(&maker, "Acme")];
    bodies.extend([10, 11, 12].map(|seed| introduction(&maker, seed)));
    bodies.push(stolen(&maker, 12));
    let results = submit(&node, &bodies).await;
    let indices: Vec<_> = results.iter().map(|result| result["receipt"]["index"].as_u64()).collect();
    assert_eq!(indices, [Some(1), Some(2), Some(3), Some(4), Some(5)], "{results:?}");
    node
}

pub(crate) fn fingerprint(seed: u8) -> String {
    signer(seed).public_key().fingerprint().to_string()
}

#[tokio::test]
async fn each_statement_has_a_result_of_its_own() {
    let (node, maker) = (Node::founded().await, maker());
    let good = introduction(&maker, 10);
    let mut forged = introduction(&maker, 11);
    *forged.last_mut().expect("bytes") ^= 1;
    let batch = [certificate(&maker, "Acme"), good.clone(), forged, good.clone(), b"no OpenPGP".to_vec()];
    let results = submit(&node, &batch).await;
    let codes: Vec<_> = results.iter().map(|result| result["problem"]["type"].as_str()).collect();
    let malformed = Some("urn:ics:problem:malformed-statement");
    assert_eq!(codes, [None, None, Some("urn:ics:problem:bad-signature"), None, malformed]);
    assert_eq!(results[1]["receipt"], results[3]["receipt"], "a duplicate gets its first receipt again");
    let again = submit(&node, &[good]).await;
    assert_eq!(again[0]["receipt"]["index"], results[1]["receipt"]["index"]);
    assert_eq!(node.get(AT).await.json()["size"], 3, "nothing of what was refused is stored");
}

#[tokio::test]
async fn openpgp_is_taken_as_it_comes() {
    let (node, maker) = (Node::founded().await, maker());
    let path = format!("{AT}/statements");
    let both = [certificate(&maker, "Acme"), introduction(&maker, 10)].concat();
    let answer = node.post(&path, "application/octet-stream", both).await;
    assert_eq!(answer.json()["results"].as_array().map(Vec::len), Some(2), "{}", answer.text());
    let mut armor =
        sequoia_openpgp::armor::Writer::new(Vec::new(), sequoia_openpgp::armor::Kind::PublicKey).expect("armor");
    std::io::Write::write_all(&mut armor, &introduction(&maker, 11)).expect("written");
    let answer = node.post(&path, "application/pgp-keys", armor.finalize().expect("armor")).await;
    assert_eq!(answer.json()["results"][0]["receipt"]["index"], 3, "{}", answer.text());
}

#[tokio::test]
async fn the_node_and_its_domains() {
    let node = told().await;
    assert_eq!(node.get("/v1/node").await.json()["domains"], json!([DOMAIN]));
    let domains = node.get("/v1/domains").await.json();
    assert_eq!(domains[0], node.get(AT).await.json());
    assert_eq!((&domains[0]["position"], &domains[0]["size"]), (&json!("home"), &json!(6)));
    let json = node.get(&format!("{AT}/descriptor")).await;
    assert_eq!(json.json()["domain"], DOMAIN);
    let signed = node.get_with(&format!("{AT}/descriptor?version=1"), &[("accept", "application/octet-stream")]).await;
    assert_eq!(signed.header("content-type"), "application/octet-stream");
    assert!(signed.body.windows(json.body.len()).any(|part| part == json.body), "the message holds the document");
    assert_eq!(node.get(&format!("{AT}/descriptors")).await.json()["entries"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_log() {
    let node = told().await;
    let checkpoint = node.get(&format!("{AT}/checkpoint")).await.text();
    assert_eq!(checkpoint.lines().nth(1), Some("6"), "{checkpoint}");
    let page = node.get(&format!("{AT}/entries?from=1&limit=2")).await.json();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(2));
    let all = node.get(&format!("{AT}/entries")).await.json();
    assert_eq!(all["entries"].as_array().map(Vec::len), Some(6));
    let entry = node.get(&format!("{AT}/entries/2")).await.json();
    assert_eq!(entry["receipt"]["checkpoint"], checkpoint.as_str());
    for tile in ["0/000.p/6", "entries/000.p/6"] {
        let answer = node.get(&format!("{AT}/tile/{tile}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-cache"), "{tile}");
    }
    let root = node.get(AT).await.json()["root"].clone();
    for proof in ["inclusion?index=2", "inclusion?index=2&size=6", "consistency?from=2", "consistency?from=2&to=6"] {
        assert_eq!(node.get(&format!("{AT}/proof/{proof}")).await.json()["root"], root, "{proof}");
    }
}

#[tokio::test]
async fn a_full_tile_is_immutable() {
    let (node, maker) = (Node::founded().await, maker());
    let mut bodies = vec![certificate(&maker, "Acme")];
    bodies.extend((2..=255).map(|seed| introduction(&maker, seed)));
    submit(&node, &bodies).await;
    for tile in ["0/000", "entries/000"] {
        let answer = node.get(&format!("{AT}/tile/{tile}")).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    }
    assert_eq!(node.get(&format!("{AT}/tile/0/000")).await.body.len(), 256 * 32);
}

#[tokio::test]
async fn a_record_in_every_form() {
    let node = told().await;
    let key = fingerprint(12);
    let by_key = node.get(&format!("{AT}/identities/{key}")).await;
    let record = &by_key.json()["record"];
    assert_eq!((&record["id"], &record["status"]["name"]), (&json!(key), &json!("stolen")));
    for name in [serial(12), format!("openpgp4fpr:{key}"), key.to_uppercase(), "serial%3ASN-12".to_owned()] {
        let by_name = node.get(&format!("{AT}/identities/{name}")).await;
        assert_eq!(by_name.json()["record"]["id"], json!(key), "{name}");
    }
    let view = node.get(&format!("/v1/identities/{key}")).await.json();
    assert_eq!(view["records"][0]["record"]["status"], record["status"]);
    let history = node.get(&format!("{AT}/identities/{key}/history")).await.json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2));
    let evidence = node.get(&format!("{AT}/identities/{key}/evidence")).await.json();
    assert_eq!(evidence["id"], json!(key));
    for path in [format!("{AT}/identities/{key}"), format!("/v1/identities/{key}")] {
        let binary = node.get_with(&path, &[("accept", "application/octet-stream")]).await;
        assert_eq!(binary.body.first(), Some(&0xC6), "a Public-Key packet comes first");
        let armored = node.get_with(&path, &[("accept", "application/pgp-keys")]).await;
        assert!(armored.text().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "{}", armored.text());
        assert_ne!(binary.header("etag"), armored.header("etag"));
    }
}

/// In whole and in brief; that the document has the member, too, is checked with each answer.
#[tokio::test]
async fn a_record_says_when_it_changes_without_news() {
    let node = told().await;
    let mut claims = Claims::new(Act::Status, "manufacturer".parse().expect("a role"), domain());
    claims.status = Some("stolen".parse().expect("a status"));
    claims.until = Some(Timestamp::from_seconds(2_208_988_800));
    let results = submit(&node, &[of_device(&maker(), 10, &claims, true)]).await;
    assert_eq!(results[0]["receipt"]["index"], 6, "{results:?}");
    for (query, member) in [("", "record"), ("?view=summary", "summary")] {
        let answer = node.get(&format!("{AT}/identities/{}{query}", fingerprint(10))).await.json();
        assert_eq!(answer[member]["changes_at"], "2040-01-01T00:00:00Z", "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_has_the_answer_is_told_so() {
    let (node, maker) = (told().await, maker());
    let paths = ["identities/serial:SN-10", "identities?lot=L1", "descriptor"].map(|path| format!("{AT}/{path}"));
    for path in paths.into_iter().chain(["/v1/identities/serial:SN-10".to_owned(), "/openapi.json".to_owned()]) {
        let first = node.get(&path).await;
        assert_eq!((first.status, first.header("cache-control")), (200, "no-cache"), "{path}");
        let tag = first.header("etag").to_owned();
        let again = node.get_with(&path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.header("etag"), again.body.len()), (304, tag.as_str(), 0), "{path}");
        assert_eq!(node.get_with(&path, &[("if-none-match", "\"other\"")]).await.status, 200, "{path}");
        assert_eq!(node.get_with(&path, &[("if-none-match", "*")]).await.status, 304, "{path}");
    }
    let path = format!("{AT}/identities/serial:SN-10");
    let before = node.get(&path).await.header("etag").to_owned();
    submit(&node, &[stolen(&maker, 10)]).await;
    assert_eq!(node.get_with(&path, &[("if-none-match", &before)]).await.status, 200, "news makes another answer");
}

#[tokio::test]
async fn a_name_that_fits_others_than_before_is_another_answer() {
    let (node, maker) = (told().await, maker());
    let twin = introduction_as(&maker, 13, 10);
    let mut claims = Claims::new(Act::Withdrawal, "manufacturer".parse().expect("a role"), domain());
    claims.supersedes = vec![body::parse(&twin).expect("canonical").id()];
    let device = signer(13);
    let taken_back =
        make::certify(&maker, device.public_key(), "x", None, Kind::Device, &claims, true, CREATED, &[3; 32])
            .expect("a statement");
    let fits = |seeds: [u8; 2]| {
        let mut ids = seeds.map(fingerprint);
        ids.sort_unstable();
        json!(ids)
    };
    let path = "/v1/identities/serial:SN-10";
    submit(&node, &[twin]).await;
    let before = node.get(path).await;
    assert_eq!(before.json()["identities"], fits([10, 13]));
    let tag = before.header("etag").to_owned();
    assert_eq!(node.get_with(path, &[("if-none-match", &tag)]).await.status, 304);
    submit(&node, &[taken_back, introduction_as(&maker, 14, 10)]).await;
    let after = node.get_with(path, &[("if-none-match", &tag)]).await;
    assert_eq!((after.status, &after.json()["identities"]), (200, &fits([10, 14])));
}

#[tokio::test]
async fn listings_in_pages() {
    let node = told().await;
    let ids = |answer: &Answer| -> Vec<String> {
        let items = answer.json()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    let all = [10, 11, 12].map(fingerprint);
    for (filter, expected) in [
        ("", &all[..]),
        ("?kind=device", &all),
        ("?model=T-1000&lot=L1", &all),
        ("?status=stolen", &all[2..]),
        ("?lot=L2", &[]),
        ("?kind=gateway", &[]),
    ] {
        assert_eq!(ids(&node.get(&format!("{AT}/identities{filter}")).await), expected, "{filter}");
    }
    let by_signer = node.get(&format!("{AT}/identities?signer={}", fingerprint(1))).await;
    assert_eq!(ids(&by_signer), all);
    let (mut paged, mut path) = (Vec::new(), format!("{AT}/identities?limit=1"));
    for _ in 0..4 {
        let page = node.get(&path).await;
        paged.extend(ids(&page));
        match page.json()["next"].as_u64() {
            Some(next) => path = format!("{AT}/identities?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn enrolment_from_request_to_refusal() {
    let node = told().await;
    let device = signer(20);
    let request = json!({
        "certificate": STANDARD.encode(certificate(&device, "A sensor")),
        "kind": "device", "names": ["serial:SN-20"], "attributes": {"lot": "L9"},
    });
    let asked = node.post(&format!("{AT}/enrolments"), "application/json", request.to_string()).await;
    let location = format!("{AT}/enrolments/{}", fingerprint(20));
    assert_eq!((asked.status, asked.header("location")), (201, location.as_str()), "{}", asked.text());
    assert!(!asked.text().contains("SN-20"), "the certificate may be anybody's: {}", asked.text());
    let stands = node.get(&location).await;
    assert_eq!(stands.json()["state"], "waiting");
    assert!(!stands.text().contains("SN-20") && !stands.text().contains("certificate"), "{}", stands.text());
    let token = format!("Bearer {TOKEN}");
    let whole = node.get_with(&location, &[("authorization", &token)]).await;
    assert_eq!(whole.json()["request"]["names"], json!(["serial:SN-20"]));
    let waiting = node.get_with(&format!("{AT}/enrolments"), &[("authorization", &token)]).await;
    assert_eq!(waiting.json()["items"][0]["id"], json!(fingerprint(20)));
    let refused = node
        .call("POST", &format!("{location}/refuse"), |request| {
            request.header("authorization", &token).json(&json!({"reason": "unknown at the gate"}))
        })
        .await;
    assert_eq!(refused.json()["state"], "refused", "{}", refused.text());
}

#[tokio::test]
async fn adoption_and_verdicts() {
    let node = tell(Node::of(World::deciding).await).await;
    let verdict = async |query: &str| node.get(&format!("/v1/verdict?{query}")).await.json()["outcome"].clone();
    assert_eq!(verdict("id=serial:SN-12&use=operate").await, "deny");
    assert_eq!(verdict("id=serial:SN-99&use=operate").await, "unknown");
    assert_eq!(verdict("id=serial:SN-10&use=connect&peer=serial:SN-12").await, "deny");
    let token = format!("Bearer {TOKEN}");
    let request = json!({"source": DOMAIN, "ids": ["serial:SN-10", fingerprint(12)]});
    let path = format!("/v1/domains/{CARE}/adoptions");
    let adopt = || node.call("POST", &path, |call| call.header("authorization", &token).json(&request));
    let first = adopt().await.json();
    assert_eq!(
        (&first["adopted"], &first["present"], &first["refused"]),
        (&json!(4), &json!(0), &json!([])),
        "{first}"
    );
    let again = adopt().await.json();
    assert_eq!((&again["adopted"], &again["present"]), (&json!(0), &json!(4)), "{again}");
    let adopted = node.get(&format!("/v1/domains/{CARE}/identities/{}", fingerprint(12))).await.json();
    assert_eq!(adopted["record"]["statements"][0]["source"][0]["domain"], DOMAIN, "{adopted}");
}

/// The forms of answers, so that changes to them are seen. What differs from run to run is replaced.
#[tokio::test]
async fn forms_of_answers() {
    let node = told().await;
    let record = node.get(&format!("{AT}/identities/serial:SN-12")).await.json();
    insta::assert_json_snapshot!("record", record, {
        ".as_of.time" => "[time]", ".as_of.root" => "[root]", ".as_of.age_seconds" => "[seconds]",
        ".record.at" => "[time]", ".record.status.since" => "[time]", ".record.statements[].admitted_at" => "[time]",
    });
    let listing = node.get(&format!("{AT}/identities?limit=1")).await.json();
    insta::assert_json_snapshot!("listing", listing, {
        ".as_of.time" => "[time]", ".as_of.root" => "[root]", ".as_of.age_seconds" => "[seconds]",
    });
    let results = submit(&node, &[stolen(&maker(), 11), introduction(&signer(66), 11)]).await;
    insta::assert_json_snapshot!("results", results, {
        "[].receipt.origin" => "[origin]", "[].receipt.header" => "[header]", "[].receipt.salt" => "[salt]",
        "[].receipt.leaf" => "[leaf]", "[].receipt.proof[]" => "[hash]", "[].receipt.checkpoint" => "[note]",
    });
}

#[tokio::test]
async fn metrics_tell_of_submissions_and_domains() {
    let node = told().await;
    submit(&node, &[b"no OpenPGP".to_vec()]).await;
    let text = node.metrics().await;
    for line in [
        "ics_ready 1\n",
        "ics_submitted_statements_total{outcome=\"accepted\"} 5",
        "ics_submitted_statements_total{outcome=\"malformed-statement\"} 1",
        "ics_domain_entries{domain=\"devices.acme.example\"} 6",
        "ics_domain_alarms{domain=\"devices.acme.example\"} 0",
        "ics_alarms_about_no_domain 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
