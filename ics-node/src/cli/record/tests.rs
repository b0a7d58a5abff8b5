use ics_core::record::Heard;
use ics_core::vocabulary::DomainName;
use serde_json::Value;

use super::*;

/// The record of a thing in a domain of the shared vectors at the end, after a change of the JSON.
fn vector(domain: &str, title: &str, change: impl FnOnce(&mut Value)) -> Record {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../schemas/vectors/records.json")).expect("vectors");
    let records = vectors[domain]["records"].as_array().expect("records");
    let mut last = records.iter().rfind(|it| it["record"]["title"] == title).expect("a record")["record"].clone();
    change(&mut last);
    serde_json::from_value(last).expect("a record")
}

fn freshness(age: u64) -> Freshness {
    Freshness { size: 20, as_of: Timestamp::parse("2026-01-02T00:00:00Z").ok(), age: Some(age), bound: 60 }
}

fn shown(record: &Record, age: u64) -> String {
    let text = heading(record) + &record_card(record, &freshness(age), &[], false);
    console::strip_ansi_codes(&text).into_owned()
}

#[test]
fn what_a_domain_says() {
    assert_eq!(
        shown(&vector("plant.example", "Pump 1", |_| ()), 5),
        "\
Pump 1
device 38cd1a9dd104847af32f938a3f205349bffad80a
plant.example
  genuine      ✓ Acme Pumps as manufacturer vouches for it  entry 5
  status       withdrawn, which blocks its use
               since 2026-01-01 18:00:00 UTC
               by Acme Pumps as manufacturer  entry 18
                 of its group sha256:605bebcf1a435654…
               “the seal leaks”
  conflict     ! in-use stands beside it, by Buyer Ltd as owner  entry 14
  approved by  Integrator as integrator  entry 7
  names        serial:SN-1
               spki:9c8d75bfaed9ae1341258505c66b75f5724967f8e7b25d02eb1279c5e56b51ab
  model        P1
  lot          7
  in charge    Buyer Ltd as owner
                 by Acme Pumps as manufacturer  entry 11
  said         8 statements, 3 of them without effect now: `ics history` lists them
  as of        2026-01-02 00:00:00 UTC (5 s ago, good for 1 min), 20 entries in the log
"
    );
}

/// A buyer of a thing looks here for those who may speak about it, now and later.
#[test]
fn those_who_will_be_in_charge_are_shown_with_the_time() {
    let later = |forestalled: bool| {
        let record = vector("plant.example", "Pump 1", |record| {
            let statements = record["statements"].as_array_mut().expect("statements");
            let mut grant = statements.iter().find(|it| it["index"] == 11).expect("the grant").clone();
            (grant["standing"], grant["from"]) = ("not-yet".into(), "2026-12-25T00:00:00Z".into());
            (grant["statement"], grant["index"]) = ("ab".repeat(32).into(), 98.into());
            grant["grant"]["name"] = "Accomplice".into();
            grant["forestalled"] = forestalled.into();
            statements.push(grant);
        });
        shown(&record, 5)
    };
    let line = "               ! Accomplice as owner, from 2026-12-25 00:00:00 UTC\n";
    assert!(later(false).contains(line), "{}", later(false));
    assert!(!later(true).contains("Accomplice"), "{}", later(true));
}

/// The reason can no longer be read, and whoever erased it needs no role for that.
#[test]
fn an_erased_block_is_shown_as_erased_and_as_blocking() {
    let record = vector("plant.example", "Pump 1", |record| {
        let statements = record["statements"].as_array_mut().expect("statements");
        let block = statements.iter_mut().find(|it| it["index"] == 18).expect("the block");
        block["erased"] = true.into();
        block.as_object_mut().expect("an object").remove("reason");
        record["status"].as_object_mut().expect("a status").remove("reason");
    });
    let text = shown(&record, 5);
    assert!(text.contains("               by Acme Pumps, an owner of the domain  entry 18\n"), "{text}");
    let words = "               its words are erased; that it blocks stays until it is lifted\n";
    assert!(text.contains(words), "{text}");
}

/// If a time is asked for, what was said until the evidence was made is shown; what came after that time was not known
/// then.
#[test]
fn what_was_stated_after_the_time_asked_for_is_told_as_such() {
    let record = vector("plant.example", "Pump 1", |_| ());
    let admitted = record.statement_at(5).expect("entry 5").admitted_at;
    let before = Timestamp::from_millis(admitted.as_millis() - 1);
    let shown = |asked_for| {
        let text = record_card_of(&record, &freshness(5), Some(asked_for));
        console::strip_ansi_codes(&text).into_owned()
    };
    let text = shown(before);
    let line = "  genuine      ! Acme Pumps as manufacturer vouches for it  entry 5, not yet stated at that time\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("  approved by  Integrator as integrator  entry 7, not yet stated at that time\n"), "{text}");
    for line in [
        "  names        serial:SN-1, not yet stated at that time\n",
        "  model        P1, not yet stated at that time\n",
        "                 by Acme Pumps as manufacturer  entry 11, not yet stated at that time\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let text = shown(admitted);
    assert!(text.contains("  genuine      ✓ Acme Pumps as manufacturer vouches for it  entry 5\n"), "{text}");
    assert!(text.contains("  names        serial:SN-1\n") && text.contains("  model        P1\n"), "{text}");
}

/// A thing that was introduced again had its names before; a later, conflicting value conflicts from then on.
#[test]
fn what_was_stated_before_and_again_was_stated() {
    let record = vector("plant.example", "Pump 1", |record| {
        let names = record["names"].as_array_mut().expect("names");
        let mut again = names[0].clone();
        again["by"]["index"] = 18.into();
        names.insert(0, again);
        let model = record["attributes"]["model"].as_array_mut().expect("values");
        let mut other = model[0].clone();
        other["value"] = "P2".into();
        other["by"]["index"] = 18.into();
        model.push(other);
    });
    let asked_for = record.statement_at(5).expect("entry 5").admitted_at;
    let text = record_card_of(&record, &freshness(5), Some(asked_for));
    let text = console::strip_ansi_codes(&text).into_owned();
    assert!(text.contains("  names        serial:SN-1\n"), "{text}");
    assert!(text.contains("! P1, says Acme Pumps as manufacturer  entry 5\n"), "{text}");
    let later = "! P2, says Acme Pumps as manufacturer  entry 18, not yet stated at that time\n";
    assert!(text.contains(later), "{text}");
}

/// As after a thing was introduced again; another signer who gives the same name is mentioned.
#[test]
fn what_is_given_twice_is_shown_once() {
    let record = vector("plant.example", "Pump 1", |record| {
        let names = record["names"].as_array_mut().expect("names");
        let same = names[0].clone();
        let mut other = same.clone();
        other["by"]["signer"] = "ab".repeat(20).into();
        names.extend([same, other]);
    });
    let text = shown(&record, 5);
    assert_eq!(text.matches("serial:SN-1\n").count(), 2, "{text}");
    assert!(text.contains("serial:SN-1\n                 by Acme Pumps as manufacturer"), "{text}");
}

#[test]
fn of_something_that_nobody_vouches_for() {
    let record = vector("plant.example", "lot 7", |_| ());
    let text = shown(&record, 5);
    assert!(text.contains("  genuine  ✗ nobody vouches for what it is\n"), "{text}");
    // A certification body's domain has labels only, and the maker's, which is shown beside it, says what it is.
    let beside = |record: &Record| {
        let text = record_card(record, &freshness(5), &[], true);
        console::strip_ansi_codes(&text).into_owned()
    };
    let text = beside(&record);
    assert!(text.contains("  genuine  not said here, but by another of these domains\n"), "{text}");
    // Whoever no longer vouches for it has something to say about that.
    let text = beside(&vector("plant.example", "lot 7", |record| record["statements"][0]["act"] = "identity".into()));
    assert!(text.contains("  genuine  ✗ nobody vouches for what it is\n"), "{text}");
}

#[test]
fn old_news_permit_nothing_and_still_block() {
    let permitted = |record: &mut Value| {
        record["status"]["name"] = "in-use".into();
        record["status"]["effect"] = "permits".into();
    };
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 3] = [
        (permitted, "UNKNOWN: the news is too old\nwhen last heard of, it was in-use, which permits its use"),
        (|_| (), "withdrawn, which blocks its use\n"),
        (
            |record| drop(record.as_object_mut().expect("an object").remove("status")),
            "UNKNOWN: the news is too old\nwhen last heard of, it had none",
        ),
    ];
    for (change, expected) in cases {
        let record = vector("plant.example", "Pump 1", change);
        let text = console::strip_ansi_codes(&status(&record, &freshness(61), None)).into_owned();
        assert!(text.starts_with(expected), "{text}");
    }
    let fresh = vector("plant.example", "Pump 1", permitted);
    let text = console::strip_ansi_codes(&status(&fresh, &freshness(60), None)).into_owned();
    assert!(text.starts_with("in-use, which permits its use\nsince"), "{text}");
    let later = Freshness { age: None, ..freshness(60) };
    for (asked_for, why) in [
        (Some(Timestamp::from_seconds(1)), "the evidence was made later than the time asked for"),
        (None, "the clock here is behind the time at which the evidence was made"),
    ] {
        let text = console::strip_ansi_codes(&status(&fresh, &later, asked_for)).into_owned();
        let expected = format!("UNKNOWN: {why}\nwhen it was made, it was in-use");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn contradictions_are_shown_with_those_who_make_them() {
    let record = vector("plant.example", "Pump 1", |record| {
        let mut other = record["attributes"]["model"][0].clone();
        other["value"] = "P2\u{1b}[31m".into();
        other["by"]["name"] = "Mallory\n  status  in-use".into();
        record["attributes"]["model"].as_array_mut().expect("values").push(other);
    });
    let text = shown(&record, 5);
    assert!(text.contains("  model        ! P1, says Acme Pumps as manufacturer  entry 5\n"), "{text}");
    let mallory = "               ! P2\u{fffd}[31m, says Mallory\u{fffd}  status  in-use as manufacturer  entry 5\n";
    assert!(text.contains(mallory), "{text}");
}

#[test]
fn what_has_taken_its_place_is_named() {
    let record = vector("plant.example", "Pump 1", |_| ());
    let successor = Given { value: "ab".repeat(20), by: record.vouched[0].clone() };
    let text = record_card(&record, &freshness(5), &[successor], true);
    let text = console::strip_ansi_codes(&text).into_owned();
    assert!(text.contains(&format!("  replaced by  {}\n", "ab".repeat(20))), "{text}");
}

#[test]
fn the_most_restrictive_domain_decides_over_all() {
    let (maker, plant) = (vector("devices.acme.example", "Pump 2", |_| ()), vector("plant.example", "Pump 2", |_| ()));
    let all = |is_fresh| {
        let heard = [Heard { record: &maker, is_fresh: true }, Heard { record: &plant, is_fresh }];
        let text = overall(&[&maker, &plant], &Assessment::of(&heard, &[])).expect("several");
        console::strip_ansi_codes(&text).into_owned()
    };
    assert_eq!(all(true), "stolen, which blocks its use: the most restrictive of what 2 domains say\n");
    assert_eq!(all(false), all(true), "a block stands however old");
    let alone = [Heard { record: &plant, is_fresh: true }];
    assert_eq!(overall(&[&plant], &Assessment::of(&alone, &[])), None);
}

/// What permits the use is on its card, and readers who stop there must not take it for the answer.
#[test]
fn a_domain_that_was_not_heard_makes_the_headline() {
    let unheard: [DomainName; 2] = ["gw.example", "hub.example"].map(|name| name.parse().expect("a name"));
    let record = vector("plant.example", "Pump 1", |record| {
        let status = record["status"].as_object_mut().expect("a status");
        (status["name"], status["effect"]) = ("in-use".into(), "permits".into());
        status.remove("conflict");
    });
    let told = |record: &Record, unheard: &[DomainName]| {
        let text = overall(&[record], &Assessment::of(&[Heard { record, is_fresh: true }], unheard));
        text.map(|text| console::strip_ansi_codes(&text).into_owned())
    };
    assert_eq!(told(&record, &[]), None);
    let one = "UNKNOWN: gw.example was not heard, and what it says may block its use\n";
    assert_eq!(told(&record, &unheard[..1]).as_deref(), Some(one));
    let two = "UNKNOWN: 2 domains were not heard, and what they say may block its use\n";
    assert_eq!(told(&record, &unheard).as_deref(), Some(two));
    let waits = format!("UNKNOWN: plant.example {}\n", explain::NOT_SHOWN);
    assert_eq!(told(&Record { cut_short: true, ..record.clone() }, &[]), Some(waits));
    assert_eq!(told(&vector("plant.example", "Pump 1", |_| ()), &unheard), None, "a block is one all the same");
}

#[test]
fn a_signer_who_blocks_for_another_reason_is_named() {
    let maker = vector("devices.acme.example", "Pump 1", |_| ());
    let told = |title| {
        let plant = vector("plant.example", title, |_| ());
        let heard = [&maker, &plant].map(|record| Heard { record, is_fresh: true });
        let text = overall(&[&maker, &plant], &Assessment::of(&heard, &[])).expect("several");
        console::strip_ansi_codes(&text).into_owned()
    };
    let two = "withdrawn, which blocks its use: so devices.acme.example says; plant.example says stolen\n";
    assert_eq!(told("Pump 2"), two);
    assert_eq!(told("Pump 1"), "withdrawn, which blocks its use: so 2 domains say\n");
}
