//! Verdicts that differ from a good one in a single place.

use serde_json::{Value, json};

use super::{Case, Heard, Premises, Shown, Sought};
use crate::time::Timestamp;
use crate::trust::Verdict;

/// All mutations of a text, by the name of its member.
fn others(name: &str, text: &str) -> Vec<String> {
    let words = |all: &str| all.split(' ').filter(|word| *word != text).map(str::to_owned).collect();
    let flipped = || {
        let first = text.find(|c: char| c.is_ascii_digit() || ('a'..='f').contains(&c)).unwrap_or(0);
        let end = text.len() - 1;
        [first.max(7.min(end)), end]
            .map(|at| {
                let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
                format!("{}{other}{}", &text[..at], &text[at + 1..])
            })
            .to_vec()
    };
    match name {
        "outcome" => words("allow deny unknown"),
        "reason" => words(
            "permitted blocked forbidden not-permitted rules-failed ambiguous unknown-identity kinds-differ not-heard \
             withheld outdated clock-behind stale no-policy unreadable",
        ),
        "rule" => words(
            "entitled block grant withdrawal formerly refused compromised lifted erased not-yet lapsed withdrawn replaced \
             not-covering role-lost",
        ),
        "of" => words("thing peer"),
        "act" => words("identity approval status label grant installed issued withdrawal"),
        "role" => words("owner maintainer manufacturer security-controller stranger"),
        "status" => words("planned in-use suspended lost stolen retired destroyed"),
        "effect" => words("none permits blocks blocks-for-ever"),
        "kind" => words("device gateway service group"),
        "statement" | "ended_by" | "grant" | "signer" | "root" | "group" => flipped(),
        "at" | "fresh_until" | "as_of" | "from" | "until" | "admitted_at" => {
            let at = Timestamp::parse(text).expect("a time").as_millis();
            [at + 1000, at - 1000].map(|at| Timestamp::from_millis(at).to_string()).to_vec()
        }
        _ => vec![format!("{text}x")],
    }
}

/// All values that differ from this one in a single place.
fn changed(name: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(is_so) => vec![json!(!is_so)],
        Value::Number(number) => {
            let number = number.as_u64().expect("a whole number");
            [Some(number + 1), number.checked_sub(1)].into_iter().flatten().map(Value::from).collect()
        }
        Value::String(text) => others(name, text).into_iter().map(Value::from).collect(),
        Value::Array(items) => {
            let mut all = Vec::new();
            for (n, item) in items.iter().enumerate() {
                let with = |change: &dyn Fn(&mut Vec<Value>)| {
                    let mut items = items.clone();
                    change(&mut items);
                    Value::Array(items)
                };
                all.extend(changed(name, item).into_iter().map(|other| with(&|items| items[n] = other.clone())));
                all.push(with(&|items| drop(items.remove(n))));
                all.push(with(&|items| items.insert(n, item.clone())));
                // The order of contradicting values makes no difference.
                if n > 0 && !matches!(name, "conflicts" | "said") {
                    all.push(with(&|items| items.swap(n - 1, n)));
                }
                // Another signer's statement.
                if n > 0 && item.get("signer").is_some() {
                    all.push(with(&|items| {
                        let (one, two) = (items[n - 1]["signer"].clone(), items[n]["signer"].clone());
                        (items[n - 1]["signer"], items[n]["signer"]) = (two, one);
                    }));
                }
            }
            all
        }
        Value::Object(members) => {
            let mut all = Vec::new();
            for (key, member) in members.iter().filter(|(key, _)| *key != "reasons") {
                for other in changed(key, member) {
                    let mut members = members.clone();
                    members[key] = other;
                    all.push(Value::Object(members));
                }
                let mut without = members.clone();
                without.remove(key);
                all.push(Value::Object(without));
            }
            for (key, more) in added(members) {
                let mut members = members.clone();
                members.insert(key.to_owned(), more);
                all.push(Value::Object(members));
            }
            all
        }
        Value::Null => Vec::new(),
    }
}

/// Members that a step or a verdict may have, but this one lacks.
fn added(members: &serde_json::Map<String, Value>) -> Vec<(&'static str, Value)> {
    let time = "2026-01-12T13:46:40Z";
    let more = if members.contains_key("statement") {
        vec![
            ("ended_by", members["statement"].clone()),
            ("group", json!(format!("sha256:{}", "07".repeat(32)))),
            ("label", json!("x")),
            ("erased", json!(true)),
            ("status", json!("in-use")),
            ("effect", json!("permits")),
            ("from", json!(time)),
            ("until", json!(time)),
            ("name", json!("x")),
            ("entitled_by", json!({ "descriptor": 1 })),
        ]
    } else if members.contains_key("outcome") {
        vec![
            ("fresh_until", json!(time)),
            ("peer", members.get("thing").cloned().unwrap_or_default()),
            ("ignored", json!([format!("z.example/{}", "07".repeat(32))])),
            ("conflicts", json!([{ "of": "thing", "about": "lot", "said": [] }])),
        ]
    } else if members.contains_key("vouching_roles") {
        vec![("status", json!("in-use")), ("attributes", json!({ "lot": "x" }))]
    } else {
        Vec::new()
    };
    more.into_iter().filter(|(key, value)| !members.contains_key(*key) && !value.is_null()).collect()
}

/// All verdicts that differ in one place.
pub(crate) fn mutants(verdict: &Verdict) -> Vec<Verdict> {
    let json = serde_json::to_value(verdict).expect("JSON");
    let read = changed("", &json).into_iter().filter_map(|value| serde_json::from_value::<Verdict>(value).ok());
    read.filter(|other| other != verdict).collect()
}

/// The premises against which a case is checked, with proofs and signatures verified, to be used for many verdicts.
pub(crate) fn premises(case: &Case) -> Premises {
    let sought = |shown: &Shown| {
        let opened = shown.heard.iter().map(|it| Heard::open(it, case.at).expect("good evidence"));
        Sought { asked: shown.asked.clone(), candidates: shown.candidates, heard: opened.collect() }
    };
    Premises {
        usage: case.usage.clone(),
        at: case.at,
        policy: case.policy.clone(),
        thing: sought(&case.thing),
        peer: case.peer.as_ref().map(sought),
    }
}
