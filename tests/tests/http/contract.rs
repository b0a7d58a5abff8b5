//! Compares answers with `schemas/openapi.json`: nothing may be sent that the document does not describe.

use std::sync::LazyLock;

use ics_node::http::OPENAPI;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::support::Answer;

/// Refusals to which clients react differently: a route that gives one must list it, not leave it to `default`.
const ACTED_ON: [u16; 5] = [401, 403, 409, 413, 415];

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    close(&mut document["components"]["schemas"]);
    close(&mut document["paths"]);
    document
});

/// For clients, answers are open: members may be added. For this test they are closed, so that no member stays
/// undocumented.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.contains_key("properties") && members.get("type") == Some(&json!("object")) {
                members.entry("additionalProperties").or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Panics if an answer differs from the document.
#[track_caller]
pub(crate) fn hold(method: &str, path: &str, answer: &Answer) {
    if let Err(fault) = check(method, path, answer) {
        panic!("{method} {path}: {}: {fault}: {}", answer.status, answer.text());
    }
}

fn check(method: &str, path: &str, answer: &Answer) -> Result<(), String> {
    let Some(operation) = operation(method, path) else {
        let problem = &DOCUMENT["components"]["responses"]["Problem"];
        return if answer.status < 400 { Ok(()) } else { described(problem, answer) };
    };
    if method == "HEAD" {
        return if answer.body.is_empty() { Ok(()) } else { Err("HEAD with a body".to_owned()) };
    }
    let responses = &operation["responses"];
    let response = responses.get(answer.status.to_string()).filter(|response| !response.is_null());
    if response.is_none() && (answer.status < 400 || ACTED_ON.contains(&answer.status)) {
        return Err("the document has no such status".to_owned());
    }
    described(resolve(response.unwrap_or(&responses["default"])), answer)
}

/// The operation whose path matches. A parameter of a template matches one segment, a tile's path all the rest.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (mut segments, mut given) = (template.split('/').peekable(), path.split('/'));
        while let Some(segment) = segments.next() {
            match given.next() {
                None => return false,
                Some(_) if segment == "{path}" && segments.peek().is_none() => return true,
                Some(text) if segment == text || segment.starts_with('{') => {}
                Some(_) => return false,
            }
        }
        given.next().is_none()
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    fitting.sort_by_key(|(template, _)| template.matches('{').count());
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    fitting.first().and_then(|(_, item)| item.get(&method))
}

fn resolve(value: &'static Value) -> &'static Value {
    let reference = value["$ref"].as_str();
    reference.map_or(value, |reference| DOCUMENT.pointer(&reference[1..]).expect("resolves"))
}

fn described(response: &'static Value, answer: &Answer) -> Result<(), String> {
    let Some(content) = response.get("content") else {
        return if answer.body.is_empty() { Ok(()) } else { Err("a body where there should be none".to_owned()) };
    };
    let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
    let described = content.get(media_type).ok_or_else(|| format!("`{media_type}` is not described"))?;
    if !media_type.ends_with("json") {
        return Ok(());
    }
    let value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    valid(&described["schema"], &value)
}

/// Validates against a schema of the document.
fn valid(schema: &Value, value: &Value) -> Result<(), String> {
    let mut schema = schema.clone();
    schema["components"] = json!({"schemas": DOCUMENT["components"]["schemas"]});
    let validator = jsonschema::draft202012::options().build(&schema).map_err(|e| e.to_string())?;
    let faults: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{} at `{}`", e, e.instance_path())).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

#[test]
fn every_schema_is_one() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn the_check_can_fail() {
    let problem = json!({"type": "urn:ics:problem:busy", "title": "t", "status": 503, "detail": "d"});
    let answer = |status, media_type: &'static str, body: &Value| {
        let content_type = (reqwest::header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Answer { status, headers: HeaderMap::from_iter([content_type]), body: body.to_string().into_bytes() }
    };
    let check = |answer: Answer| check("GET", "/v1/node", &answer);
    assert_eq!(check(answer(503, "application/problem+json", &problem)), Ok(()));
    assert!(check(answer(503, "text/html", &problem)).is_err());
    assert!(check(answer(302, "application/json", &problem)).is_err());
    assert!(check(answer(200, "application/json", &problem)).is_err());
    assert!(check(answer(409, "application/problem+json", &problem)).is_err(), "not among what it gives");
    let mut more = problem.clone();
    more["undocumented"] = json!(1);
    assert!(check(answer(503, "application/problem+json", &more)).is_err());
    let mut wrong = problem;
    wrong["type"] = json!("about:blank");
    assert!(check(answer(503, "application/problem+json", &wrong)).is_err());
}
