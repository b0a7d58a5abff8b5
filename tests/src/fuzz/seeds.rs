//! Input to begin with, made of the test vectors: what is right, from which mutation leads to what is nearly right.

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use ics_core::statement::detached;
use serde_json::Value;

/// All seeds for a target: every text of the vectors, as it stands and decoded where it is base64 or hex, and every
/// object that stands where such a target takes JSON.
///
/// # Panics
/// When the vectors cannot be read.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for (file, wanted) in wanted(target) {
        collect(&vectors(file), None, wanted, &mut found);
    }
    if target == "document" {
        // What was signed, out of the messages around it.
        found = found.iter().filter_map(|body| detached(body)).map(|(document, _)| document.to_vec()).collect();
    }
    found.extend(spoken(target).iter().map(|text| text.as_bytes().to_vec()));
    found.into_iter().collect()
}

/// The members of which vectors are input for a target.
fn wanted(target: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match target {
        "body" | "certificate" | "upload" => &[("statements", &["body"]), ("records", &["body"])],
        "descriptor" => &[("policy", &["json"])],
        "document" => &[("statements", &["body"])],
        "entry" => &[("log", &["header", "base64"]), ("records", &["header"])],
        "evidence" => &[("evidence", &["evidence"])],
        "feed" | "http" => &[("log", &["receipt", "source"])],
        "note" => &[("log", &["checkpoint", "cosigned", "witnessed"])],
        "proof" => &[("log", &["tlog_proof"])],
        "spki" => &[("statements", &["spki"])],
        "trust" => &[("policy", &["vouched", "labelled", "software"])],
        "words" => &[("log", &["origin", "home_key", "path", "time"]), ("statements", &["fingerprint", "id"])],
        _ => &[],
    }
}

/// Input that no vector holds.
fn spoken(target: &str) -> &'static [&'static str] {
    match target {
        "acme" => &[
            r#"{"protected":"eyJhbGciOiJFZERTQSIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS94IiwiandrIjp7Imt0eSI6Ik9LUCIsImNydiI6IkVkMjU1MTkiLCJ4IjoiMTFxWUFZS3hDcmZWU183VHlXUUhPZzdoY3ZQYXBpTWxyd0lhYVBjSFVSbyJ9fQ","payload":"eyJjb250YWN0IjpbIm1haWx0bzphQGIuZXhhbXBsZSJdfQ","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"protected":"eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS94Iiwia2lkIjoiaHR0cHM6Ly9jYS5leGFtcGxlL2FjbWUvZGV2aWNlcy5hY21lLmV4YW1wbGUvYWNjb3VudC8xIn0","payload":"eyJpZGVudGlmaWVycyI6W3sidHlwZSI6ImRucyIsInZhbHVlIjoiYS5leGFtcGxlIn0seyJ0eXBlIjoicGVybWFuZW50LWlkZW50aWZpZXIiLCJ2YWx1ZSI6InVybjpkZXY6b3M6MS0yIn1dfQ","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
        ],
        "csv" => &["serial,model,lot,urn\nSN-1,\"Pump, 7\",L1,urn:dev:mac:0024befffe804ff1\nSN-2,P8,,\n"],
        "document" => &[
            r#"{"erasure":{"domain":"devices.acme.example","statement":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}}"#,
        ],
        "feed" => &[
            r#"{"from":0,"size":2,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},{"header":"AQEAAAGbdtq3oAA=","salt":"BAUGBwABAgMMDQ4PCAkKCw==","body":"Ym9keQ=="}],"proof":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],"checkpoint":"a\n"}"#,
            r#"{"from":1,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}"#,
        ],
        "http" => &[
            r#"{"statements":["Ym9keQ=="]}"#,
            r#"{"certificate":"Ym9keQ==","kind":"device","names":["serial:SN-1"],"attributes":{"model":"P-7"}}"#,
            r#"{"source":"devices.acme.example","ids":["38cd1a9dd104847af32f938a3f205349bffad80a"],"model":"P-7","lot":null}"#,
        ],
        "ndjson" => &["{\"serial\":\"SN-1\",\"urn\":[\"urn:a:1\",\"urn:a:2\"],\"qty\":3}\n\n{\"model\":null}\n"],
        "words" => &[
            "2026-01-01T00:00:00.123Z",
            "openpgp4fpr:38cd1a9dd104847af32f938a3f205349bffad80a",
            "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
            "urn:dev:mac:0024befffe804ff1",
            "serial:SN-1",
            "tile/7/x018/x446/744.p/3",
            "https://ics.acme.example:8443/",
        ],
        _ => &[],
    }
}

fn vectors(file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors").join(file).with_extension("json");
    let bytes = std::fs::read(&path).unwrap_or_default();
    let value = serde_json::from_slice(&bytes);
    assert!(value.is_ok(), "{} is not JSON", path.display());
    value.unwrap_or_default()
}

/// Walks a document and takes what stands under a wanted member.
fn collect(value: &Value, member: Option<&str>, wanted: &[&str], found: &mut BTreeSet<Vec<u8>>) {
    let is_wanted = member.is_some_and(|member| wanted.contains(&member));
    match value {
        Value::String(text) if is_wanted => take(text, found),
        Value::Object(object) if is_wanted => found.extend(serde_json::to_vec(object)),
        Value::Object(object) => object.iter().for_each(|(name, value)| collect(value, Some(name), wanted, found)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, member, wanted, found)),
        _ => {}
    }
}

fn take(text: &str, found: &mut BTreeSet<Vec<u8>>) {
    let bytes = text.as_bytes();
    found.insert(bytes.to_vec());
    found.extend(HEXLOWER.decode(bytes).ok());
    found.extend(BASE64.decode(bytes).ok());
}
