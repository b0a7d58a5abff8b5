//! What is known about a thing before something is said about it: in the signer's own domain, and in the others of the
//! node.

use core::cmp::Reverse;

use console::style;
use ics_core::record::{GivenStatus, Record};
use ics_core::vocabulary::DomainName;

use crate::api::RecordAnswer;
use crate::cli::words::in_colour;
use crate::client::lookup::Found;

/// Its status in a word or two: that in the own domain, and the most restrictive one of another domain that goes beyond
/// it. Whoever is about to approve a thing thus sees its manufacturer's recall.
pub(super) fn status_text(found: &Found) -> String {
    let own = found.own.as_ref().map(|answer| own_text(&answer.record, &found.others));
    let other = elsewhere(found).map(|(domain, given)| {
        let warning = if given.effect.blocks() { format!("{} ", style("!").yellow().bold()) } else { String::new() };
        format!("{warning}{} in {domain}", in_colour(given.name.as_str(), given.effect))
    });
    let said: Vec<String> = own.into_iter().chain(other).collect();
    match found.others.first() {
        _ if !said.is_empty() => said.join("; "),
        Some(answer) => format!("no status in {}", answer.record.domain),
        None => "not known here".to_owned(),
    }
}

/// Whether another domain blocks it, and more strongly than the own one.
pub(super) fn is_blocked_elsewhere(found: &Found) -> bool {
    elsewhere(found).is_some_and(|(_, given)| given.effect.blocks())
}

fn elsewhere(found: &Found) -> Option<(&DomainName, &GivenStatus)> {
    let own = found.own.as_ref().and_then(|answer| answer.record.status.as_ref()).map(|it| it.decides.effect);
    let others = found.others.iter().filter_map(|it| Some((&it.record.domain, &it.record.status.as_ref()?.decides)));
    let more = others.filter(|(_, given)| own.is_none_or(|own| given.effect > own));
    more.min_by_key(|(_, given)| Reverse(given.effect))
}

/// A domain of labels or approvals introduces nothing itself: what is said there is about what other domains vouch for.
fn own_text(record: &Record, others: &[RecordAnswer]) -> String {
    let status = record.status.as_ref().map_or_else(|| "no status".to_owned(), |it| it.decides.name.to_string());
    if !record.vouched.is_empty() {
        return status;
    }
    match others.iter().find(|it| !it.record.vouched.is_empty()) {
        Some(answer) => format!("{status}, vouched for in {}", answer.record.domain),
        None => format!("{status}, nobody vouches"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ics_core::identity::Kind;
    use ics_core::statement::{Group, Subject};
    use serde_json::{Value, json};

    use super::*;
    use crate::client::thing::Thing;

    type Said = Option<(&'static str, &'static str)>;

    /// The answer of a domain about a thing for which somebody vouches, with a status and its effect.
    fn answer(domain: &str, said: Said) -> RecordAnswer {
        let vectors: Value =
            serde_json::from_str(include_str!("../../../../schemas/vectors/records.json")).expect("vectors");
        let records = vectors["plant.example"]["records"].as_array().expect("records");
        let last = records.iter().rfind(|it| it["record"]["title"] == "Pump 1").expect("a record");
        let mut record = last["record"].clone();
        record["domain"] = domain.into();
        match said {
            Some((name, effect)) => {
                (record["status"]["name"], record["status"]["effect"]) = (name.into(), effect.into());
            }
            None => drop(record.as_object_mut().expect("an object").remove("status")),
        }
        let as_of = json!({
            "size": 20, "root": "", "time": "2026-01-02T00:00:00Z", "age_seconds": 5, "fresh_for_seconds": 60,
        });
        serde_json::from_value(json!({ "as_of": as_of, "record": record })).expect("an answer")
    }

    #[test]
    fn a_signer_sees_what_other_domains_say_before_signing() {
        let (code, label) = ("code.soft.example", "labels.tuv.example");
        let (released, withdrawn) = (Some(("released", "permits")), Some(("withdrawn", "blocks")));
        let group = Group { kind: Kind::Group, name: "Lot 11".to_owned(), attributes: BTreeMap::new() };
        let cases: [(_, &[(&str, Said)], _, _); 7] = [
            (None, &[], "not known here", false),
            (None, &[(code, None)], "no status in code.soft.example", false),
            (None, &[(code, withdrawn)], "! withdrawn in code.soft.example", true),
            (Some(None), &[(code, released)], "no status; released in code.soft.example", false),
            (Some(released), &[(code, released)], "released", false),
            (Some(withdrawn), &[(code, withdrawn)], "withdrawn", false),
            (
                Some(released),
                &[(code, withdrawn), (label, Some(("compromised", "blocks-for-ever")))],
                "released; ! compromised in labels.tuv.example",
                true,
            ),
        ];
        for (own, others, expected, is_blocked) in cases {
            let found = Found {
                thing: Thing::Document(Subject::Group(group.clone())),
                own: own.map(|said| answer("plant.example", said)),
                others: others.iter().map(|(domain, said)| answer(domain, *said)).collect(),
            };
            let text = status_text(&found);
            assert_eq!(console::strip_ansi_codes(&text), expected);
            assert_eq!(is_blocked_elsewhere(&found), is_blocked, "{expected}");
        }
    }

    #[test]
    fn a_signer_is_warned_of_what_no_domain_vouches_for() {
        let (maker, label) = ("devices.acme.example", "labels.tuv.example");
        let silent = |domain| {
            let mut answer = answer(domain, None);
            answer.record.vouched.clear();
            answer
        };
        let group = Group { kind: Kind::Group, name: "Lot 11".to_owned(), attributes: BTreeMap::new() };
        for (others, expected) in [
            (vec![], "no status, nobody vouches"),
            (vec![silent(maker)], "no status, nobody vouches"),
            (vec![answer(maker, None)], "no status, vouched for in devices.acme.example"),
        ] {
            let thing = Thing::Document(Subject::Group(group.clone()));
            let text = status_text(&Found { thing, own: Some(silent(label)), others });
            assert_eq!(console::strip_ansi_codes(&text), expected);
        }
    }
}
