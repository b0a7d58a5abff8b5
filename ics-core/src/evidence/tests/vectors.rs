//! `schemas/vectors/evidence.json`: evidence, what follows from it, and what is refused, for implementations in any
//! language.
//!
//! The vectors are computed anew and compared with the file; `ICS_UPDATE_VECTORS=1` writes it.

use std::path::PathBuf;

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use super::heads;
use super::story::{evidence, world};
use super::tampering::{Tampered, table};
use super::world::World;
use crate::evidence::{Evidence, attested, verify};
use crate::log::Hash;
use crate::samples::time;
use crate::time::Timestamp;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file(name)).unwrap()).unwrap()
}

/// The changes that lead from one value to another, as a JSON Patch (RFC 6902).
fn patch(from: &Value, to: &Value, path: &str, operations: &mut Vec<Value>) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) if from.keys().all(|name| to.contains_key(name)) => {
            from.iter().for_each(|(name, value)| patch(value, &to[name], &format!("{path}/{name}"), operations));
            let added = to.iter().filter(|(name, _)| !from.contains_key(*name));
            operations.extend(
                added.map(|(name, value)| json!({ "op": "add", "path": format!("{path}/{name}"), "value": value })),
            );
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            let pairs = from.iter().zip(to).enumerate();
            pairs.for_each(|(index, (from, to))| patch(from, to, &format!("{path}/{index}"), operations));
        }
        (Value::Array(from), Value::Array(to)) => {
            let start = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            let (from, to) = (&from[start..], &to[start..]);
            let end = from.iter().rev().zip(to.iter().rev()).take_while(|(a, b)| a == b).count();
            let path = format!("{path}/{start}");
            operations.extend(from[end..].iter().map(|_| json!({ "op": "remove", "path": path })));
            let added = to[..to.len() - end].iter().rev();
            operations.extend(added.map(|value| json!({ "op": "add", "path": path, "value": value })));
        }
        (from, to) if from != to => operations.push(json!({ "op": "replace", "path": path, "value": to })),
        _ => {}
    }
}

fn apply(mut value: Value, operations: &[Value]) -> Value {
    for operation in operations {
        let path = operation["path"].as_str().unwrap();
        let (parent, place) = path.rsplit_once('/').unwrap();
        let number = || place.parse::<usize>().unwrap();
        let array = |value: &mut Value| value.pointer_mut(parent).and_then(Value::as_array_mut).map(core::mem::take);
        match operation["op"].as_str().unwrap() {
            "replace" => *value.pointer_mut(path).unwrap() = operation["value"].clone(),
            "remove" => {
                let mut items = array(&mut value).unwrap();
                items.remove(number());
                *value.pointer_mut(parent).unwrap() = items.into();
            }
            "add" if value.pointer(parent).is_some_and(Value::is_object) => {
                let members = value.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
                members.insert(place.to_owned(), operation["value"].clone());
            }
            "add" => {
                let mut items = array(&mut value).unwrap();
                items.insert(number(), operation["value"].clone());
                *value.pointer_mut(parent).unwrap() = items.into();
            }
            other => panic!("{other}"),
        }
    }
    value
}

fn refused(whole: &Value, Tampered { what, evidence, why }: Tampered) -> Value {
    let changed = serde_json::to_value(&evidence).unwrap();
    let mut operations = Vec::new();
    patch(whole, &changed, "", &mut operations);
    assert_eq!(apply(whole.clone(), &operations), changed, "{what}");
    json!({ "what": what, "patch": operations, "why": why.to_string() })
}

/// The same evidence attested by the home, and evidence that must not pass for it.
fn attested_vectors(world: &World, whole: &Value) -> Value {
    let answer = heads::answer(world);
    let lie = |(what, why, evidence): heads::Lie| refused(whole, Tampered { what, evidence, why });
    json!({
        "about": "The evidence with the home's record head as its member `head`, as it is answered to whoever asks for \
                  `asked` and has shown the key `reader`. Without `head`, or with what `refused` makes of it by a patch \
                  of the evidence that has none, nothing says that this is all.",
        "asked": heads::NAME,
        "reader": heads::READER.map(Hash),
        "head": answer.head,
        "testimony": attested(&answer, &world.origin(), heads::NAME, heads::READER, time(1500)).unwrap().testimony,
        "refused": heads::lies(world).into_iter().map(lie).collect::<Vec<_>>(),
    })
}

fn vectors() -> Value {
    let world = world();
    let evidence = evidence(&world);
    let whole = serde_json::to_value(&evidence).unwrap();
    let now = time(1500);
    json!({
        "about": "Evidence for the record of one device, and what follows from it at the time `now` for a verifier who \
                  has pinned `origin`. Each of `refused` is the same evidence with a JSON Patch (RFC 6902) applied: it \
                  proves nothing, for the reason given, which others may word as they like.",
        "now": now,
        "origin": world.origin(),
        "verified": verify(&evidence, Some(&world.origin()), now).unwrap(),
        "attested": attested_vectors(&world, &whole),
        "refused": table().into_iter().map(|tampered| refused(&whole, tampered)).collect::<Vec<_>>(),
        "evidence": whole,
    })
}

#[test]
fn the_vectors_are_those_in_the_file() {
    let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    let file = file("vectors/evidence.json");
    if std::env::var_os("ICS_UPDATE_VECTORS").is_some_and(|value| value == "1") {
        std::fs::write(&file, &text).unwrap();
    }
    let stored = std::fs::read_to_string(file).unwrap();
    assert!(stored == text, "schemas/vectors/evidence.json differs; ICS_UPDATE_VECTORS=1 writes it anew");
    let vectors = serde_json::from_str(&stored).unwrap();
    the_file_alone_gives_the_same_answers(&vectors);
    the_file_alone_attests_the_same(&vectors);
}

fn the_file_alone_attests_the_same(vectors: &Value) {
    let origin = vectors["origin"].as_str().unwrap().parse().unwrap();
    let now = Timestamp::parse(vectors["now"].as_str().unwrap()).unwrap();
    let attested_vectors = &vectors["attested"];
    let reader: Hash = serde_json::from_value(attested_vectors["reader"].clone()).unwrap();
    let asked = attested_vectors["asked"].as_str().unwrap();
    let answer = |json: &Value| {
        let evidence = Evidence::parse(json.to_string().as_bytes())?;
        attested(&evidence, &origin, asked, Some(reader.0), now).map(|found| found.testimony)
    };
    let mut whole = vectors["evidence"].clone();
    whole["head"] = attested_vectors["head"].clone();
    assert_eq!(serde_json::to_value(answer(&whole).unwrap()).unwrap(), attested_vectors["testimony"]);
    for case in attested_vectors["refused"].as_array().unwrap() {
        let changed = apply(vectors["evidence"].clone(), case["patch"].as_array().unwrap());
        assert_eq!(answer(&changed).unwrap_err().to_string(), case["why"].as_str().unwrap(), "{}", case["what"]);
    }
}

fn the_file_alone_gives_the_same_answers(vectors: &Value) {
    let origin = vectors["origin"].as_str().unwrap().parse().unwrap();
    let now = Timestamp::parse(vectors["now"].as_str().unwrap()).unwrap();
    let answer = |json: &Value| {
        let evidence = Evidence::parse(json.to_string().as_bytes())?;
        verify(&evidence, Some(&origin), now)
    };
    let verified = answer(&vectors["evidence"]).unwrap();
    assert_eq!(serde_json::to_value(verified).unwrap(), vectors["verified"]);
    for case in vectors["refused"].as_array().unwrap() {
        let changed = apply(vectors["evidence"].clone(), case["patch"].as_array().unwrap());
        assert_eq!(answer(&changed).unwrap_err().to_string(), case["why"].as_str().unwrap(), "{}", case["what"]);
    }
}

fn schema() -> Validator {
    let descriptor = read("descriptor.schema.json");
    let id = descriptor["$id"].as_str().unwrap().to_owned();
    let registry = Registry::new().add(id, descriptor).unwrap().prepare().unwrap();
    let schema = read("evidence.schema.json");
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::options().with_registry(&registry).build(&schema).unwrap()
}

#[test]
fn the_schema_takes_what_is_written_and_no_other_form() {
    let (schema, whole) = (schema(), serde_json::to_value(heads::answer(&world())).unwrap());
    let errors: Vec<String> =
        schema.iter_errors(&whole).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:?}");
    for (path, value) in [
        ("/version", json!(2)),
        ("/id", json!("pump")),
        ("/domain", json!("Plant")),
        ("/checkpoint", json!("x".repeat(16_385))),
        ("/head", json!("x".repeat(131_073))),
        ("/entries", json!([])),
        ("/entries/0/kind", json!("rumour")),
        ("/entries/0/admitted_at", json!("yesterday")),
        ("/entries/0/body", json!("*")),
        ("/entries/0/receipt/origin", json!("plant.example")),
        ("/entries/0/receipt/index", json!(-1)),
        ("/entries/0/receipt/id", json!("00")),
        ("/entries/0/receipt/header", json!("AQ==")),
        ("/entries/0/receipt/salt", json!("AAAA")),
        ("/entries/0/receipt/leaf", json!("00")),
        ("/entries/0/receipt/proof/0", json!("AAAA")),
        ("/entries/0/receipt/proof", json!(vec![whole["entries"][0]["receipt"]["proof"][0].clone(); 65])),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(path).unwrap() = value;
        assert!(!schema.is_valid(&changed), "{path}");
        let read = Evidence::parse(changed.to_string().as_bytes());
        assert!(read.and_then(|evidence| verify(&evidence, None, time(1500))).is_err(), "{path}");
    }
    for path in ["", "/entries/0", "/entries/0/receipt"] {
        let names: Vec<String> = whole.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names.into_iter().filter(|name| name != "head") {
            let mut without = whole.clone();
            without.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(&name);
            assert!(!schema.is_valid(&without), "{path}/{name}");
        }
        let mut more = whole.clone();
        more.pointer_mut(path).unwrap().as_object_mut().unwrap().insert("more".to_owned(), json!(1));
        assert!(!schema.is_valid(&more), "{path}");
    }
}
