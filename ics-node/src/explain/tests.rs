use serde_json::{Value, json};

use super::*;
use crate::api::assessment;

/// What a domain of the shared vectors says last about a thing, heard this many seconds ago.
fn answer(domain: &str, title: &str, age: u64) -> RecordAnswer {
    let vectors: Value = serde_json::from_str(include_str!("../../../schemas/vectors/records.json")).expect("vectors");
    let records = vectors[domain]["records"].as_array().expect("records");
    let last = records.iter().rfind(|it| it["record"]["title"] == title).expect("a record");
    let as_of = json!({
        "size": 20, "root": "", "time": "2026-01-02T00:00:00Z", "age_seconds": age, "fresh_for_seconds": 60,
    });
    serde_json::from_value(json!({ "as_of": as_of, "record": last["record"] })).expect("an answer")
}

fn why(answers: &[RecordAnswer]) -> Explanation {
    records(answers, &assessment(answers, &[]))
}

fn text(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.answer);
    for section in &explanation.sections {
        text.push_str(&format!("# {}\n", section.title));
        for point in &section.points {
            let index = point.index.map(|index| format!(" [{index}]")).unwrap_or_default();
            text.push_str(&format!("- {}{index}\n", point.text));
        }
    }
    text
}

#[test]
fn a_record_says_who_said_what_by_what_right() {
    let text = text(&why(&[answer("plant.example", "Pump 1", 5)]));
    for expected in [
        "Do not use Pump 1: it is withdrawn\n",
        "# Who says so\n- Acme Pumps (key ",
        ") vouches for its identity, as manufacturer, named so by version ",
        " of the descriptor of plant.example; adopted from devices.acme.example entry 2 [5]\n",
        "as owner, granted by entry 11 of plant.example [14]\n",
        ") gives it the status `withdrawn`, which blocks its use (“the seal leaks”), as a member of the group sha256:",
        "# Conflicts\n- Buyer Ltd (key ",
        "; in plant.example `withdrawn` counts before that, since it blocks its use [14]\n",
        "# Without effect\n- Maintainer (key ",
        "no longer counts, a later statement replaces it, entry 14 [13]\n",
        "# How fresh\n- plant.example, all 20 entries as of 2026-01-02 00:00:00 UTC, 5 s ago; good for 1 min\n",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing:\n{text}");
    }
}

/// A gateway's own domain may say nothing but its rules.
#[test]
fn a_log_with_one_entry_is_called_so() {
    let mut answer = answer("plant.example", "Pump 1", 5);
    answer.as_of.size = 1;
    let text = text(&why(&[answer]));
    assert!(text.contains("plant.example, its only entry as of 2026-01-02 00:00:00 UTC, 5 s ago"), "{text}");
}

/// A buyer of a thing sees who else will get a role over it.
#[test]
fn what_is_to_come_is_told_with_its_beginning() {
    let mut answer = answer("plant.example", "Pump 1", 5);
    let grant = answer.record.statements.iter_mut().find(|it| it.by.index == 11).expect("the grant");
    grant.standing = Standing::NotYet;
    grant.from = Some(Timestamp::parse("2026-12-25T00:00:00Z").expect("a time"));
    let text = text(&why(&[answer]));
    let said = text.split("# To come\n").nth(1).and_then(|rest| rest.split('#').next()).expect(&text);
    assert!(said.contains("entitles a signer to speak about it: Buyer Ltd (key "), "{said}");
    assert!(said.contains(" as owner, from 2026-12-25 00:00:00 UTC on, as manufacturer, "), "{said}");
}

/// An owner's key rarely has a certificate in the log; readers must not take it for an intruder's.
#[test]
fn what_is_left_of_an_erased_block_is_the_word_of_the_owners() {
    let told = |standing| {
        let mut answer = answer("plant.example", "Pump 1", 5);
        let block = answer.record.statements.iter_mut().find(|it| it.by.index == 18).expect("the block");
        (block.erased, block.entitled_by, block.by.name, block.standing) = (true, None, None, standing);
        block.reason = None;
        let text = text(&why(&[answer]));
        text.lines().find(|line| line.ends_with(" [18]")).expect("the block").to_owned()
    };
    let stands = told(Standing::Stands);
    assert!(stands.contains(", as an owner of plant.example; "), "{stands}");
    assert!(stands.contains("`withdrawn`, which blocks its use (its words are erased), as a member"), "{stands}");
    let lifted = told(Standing::Lifted);
    assert!(lifted.contains("…, an owner of the domain, gives it the status `withdrawn`"), "{lifted}");
    let refused = told(Standing::Refused);
    assert!(!refused.contains("an owner"), "nobody else speaks for them: {refused}");
    assert!(!refused.contains("erased"), "an erasure without effect erased nothing: {refused}");

    let given: Verdict = serde_json::from_value(json!({
        "outcome": "deny", "use": "connect", "at": "2026-01-02T00:00:05Z", "reason": "blocked", "reasons": [],
        "rules": [],
        "derivation": [
            {"of": "thing", "domain": "plant.example", "index": 14, "statement": "07".repeat(32),
             "signer": "ab".repeat(20), "role": "owner", "act": "status", "status": "lost", "effect": "blocks",
             "erased": true, "rule": "block", "admitted_at": "2026-01-02T00:00:00Z"},
        ],
        "as_of": [],
    }))
    .expect("a verdict");
    let text = text(&verdict("serial:1", None, &given));
    let block = "gives it the status `lost`, which blocks its use, as an owner of plant.example [14]\n";
    assert!(text.contains(block), "{text}");
}

/// Whoever erased an introduction does not vouch for anything.
#[test]
fn what_introduced_a_thing_is_told_as_erased() {
    let mut answer = answer("plant.example", "Pump 1", 5);
    let introduced = answer.record.statements.iter_mut().find(|it| it.act == Act::Identity).expect("an introduction");
    assert_eq!(says(introduced), "vouches for its identity");
    (introduced.erased, introduced.standing) = (true, Standing::Erased);
    assert_eq!(says(introduced), "erased who vouched for its identity");
    introduced.standing = Standing::Refused;
    assert_eq!(says(introduced), "vouches for its identity", "an erasure without effect erased nothing");
}

/// Readers of a label want to know when it ends.
#[test]
fn what_has_an_end_is_told_with_it() {
    let mut answer = answer("plant.example", "Pump 1", 5);
    let approval = answer.record.statements.iter_mut().find(|it| it.act == Act::Approval).expect("an approval");
    (approval.act, approval.label) = (Act::Label, Some("medical-2027".to_owned()));
    approval.until = Some(Timestamp::from_seconds(1_893_456_000));
    let told = text(&why(&[answer]));
    assert!(
        told.contains(") gives it the label `medical-2027`, until 2030-01-01 00:00:00 UTC, as integrator, "),
        "{told}"
    );

    let step: Step = serde_json::from_value(json!({
        "of": "thing", "domain": "plant.example", "index": 6, "statement": "08".repeat(32), "signer": "ab".repeat(20),
        "role": "certification-body", "act": "label", "label": "medical-2027", "until": "2030-01-01T00:00:00Z",
        "rule": "entitled", "admitted_at": "2026-01-02T00:00:00Z",
    }))
    .expect("a step");
    assert_eq!(step_says(&step), "gives it the label `medical-2027`, until 2030-01-01 00:00:00 UTC");
}

/// Two blocks, or a block and a permit: which domain says what, and why one of them is told first.
#[test]
fn what_domains_say_differently_is_told_with_their_names() {
    let (maker, plant) = (answer("devices.acme.example", "Pump 1", 5), answer("plant.example", "Pump 2", 5));
    let told = text(&why(&[maker.clone(), plant.clone()]));
    let blocked = "- plant.example gives it the status `stolen`, which blocks its use; so does `withdrawn` of \
                   devices.acme.example, which stands at the top only because that domain's name comes first in the \
                   alphabet [15]\n";
    assert!(told.contains(blocked), "{told}");
    let mut permitted = plant;
    let status = permitted.record.status.as_mut().expect("a status");
    (status.decides.name, status.decides.effect) =
        ("in-use".parse().expect("a word"), ics_core::vocabulary::Effect::Permits);
    let told = text(&why(&[maker, permitted]));
    let outweighed = "- plant.example gives it the status `in-use`, which permits its use; `withdrawn` of \
                      devices.acme.example counts before that, since it blocks its use [15]\n";
    assert!(told.contains(outweighed), "{told}");
}

#[test]
fn old_news_are_called_old() {
    let mut stale = answer("plant.example", "Pump 1", 61);
    let status = stale.record.status.as_mut().expect("a status");
    (status.decides.name, status.decides.effect) =
        ("in-use".parse().expect("a word"), ics_core::vocabulary::Effect::Permits);
    status.conflict.clear();
    let text = text(&why(&[stale]));
    assert!(text.starts_with("Nobody can tell about Pump 1: the last news is too old\n"), "{text}");
    assert!(text.contains("61 s ago: too old, it was good for 1 min\n"), "{text}");
}

#[test]
fn a_verdict_names_what_it_did_not_hear() {
    let answers = [answer("plant.example", "Pump 1", 5)];
    let given: Verdict = serde_json::from_value(json!({
        "outcome": "deny", "use": "connect", "at": "2026-01-02T00:00:05Z", "fresh_until": "2026-01-02T00:01:00Z",
        "reason": "blocked", "reasons": ["`serial:1` is `withdrawn`"], "rules": [],
        "derivation": [
            {"of": "thing", "domain": "plant.example", "index": 14, "statement": "07".repeat(32),
             "signer": "ab".repeat(20), "name": "Buyer\u{202e} Ltd", "role": "owner",
             "entitled_by": {"grant": answers[0].record.statements.iter().find(|it| it.by.index == 11).expect("11").by.statement},
             "act": "status", "status": "in-use", "effect": "permits", "rule": "entitled",
             "admitted_at": "2026-01-02T00:00:00Z"},
            {"of": "thing", "domain": "plant.example", "index": 13, "statement": "06".repeat(32),
             "signer": "ab".repeat(20), "role": "maintainer", "act": "status", "status": "planned", "effect": "none",
             "rule": "replaced", "ended_by": "07".repeat(32), "admitted_at": "2026-01-02T00:00:00Z"},
            {"of": "thing", "domain": "plant.example", "index": 11, "signer": "ab".repeat(20), "role": "manufacturer",
             "statement": answers[0].record.statements.iter().find(|it| it.by.index == 11).expect("11").by.statement,
             "act": "grant", "rule": "grant", "admitted_at": "2026-01-02T00:00:00Z"},
            {"of": "peer", "domain": "plant.example", "index": 6, "statement": "08".repeat(32),
             "signer": "ab".repeat(20), "role": "owner", "act": "approval", "rule": "entitled",
             "admitted_at": "2026-01-02T00:00:00Z"},
        ],
        "ignored": [format!("other.example/{}", "07".repeat(32))],
        "as_of": [{"domain": "plant.example", "size": 20, "root": "0a".repeat(32), "descriptor": 1, "as_of": "2026-01-02T00:00:00Z",
                   "fresh_until": "2026-01-02T00:01:00Z"}],
    }))
    .expect("a verdict");
    let text = text(&verdict("serial:1", Some("host:gw"), &given));
    for expected in [
        "Denied: serial:1 with host:gw, to connect; good until 2026-01-02 00:01:00 UTC\n# Why\n- `serial:1` is `withdrawn`\n",
        "- Buyer\u{fffd} Ltd (key abababababababab…) gives it the status `in-use`, which permits its use, as owner, granted \
         by entry 11 of plant.example [14]\n",
        "- Of the peer: the holder of the key abababababababab… approves of it, as owner, by no right that is known here [6]\n",
        "# Without effect\n- the holder of the key abababababababab… gives it the status `planned`, which neither permits nor \
         blocks its use: a later statement replaces it, entry 14 [13]\n",
        "The domain other.example is held here and does not count: the trust policy does not name it\n",
        "# How fresh\n- plant.example, all 20 entries as of 2026-01-02 00:00:00 UTC; good until 2026-01-02 00:01:00 UTC\n",
    ] {
        assert!(text.contains(expected), "`{expected}` is missing:\n{text}");
    }
}
