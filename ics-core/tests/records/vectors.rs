//! Test vectors that any language can read: two logs, entry by entry, and the records that they give.
//!
//! They are computed anew and compared with the file; `ICS_UPDATE_VECTORS=1` writes it.

use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use ics_core::identity::IdentityId;
use ics_core::log::entry::Entry;
use ics_core::record::{Record, Standing};
use serde_json::{Value, json};

use crate::replay::Replayed;
use crate::story::{Log, lot, manufacturer, plant, pump, time};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors/records.json")
}

/// The log up to a size, and what was refused on the way.
fn replay(entries: &[Entry]) -> (Replayed, Vec<Option<&'static str>>) {
    let mut replayed = Replayed::found(&entries[0]);
    let mut codes = vec![None];
    codes.extend(entries[1..].iter().map(|entry| replayed.take(entry).err().map(|refusal| refusal.code())));
    (replayed, codes)
}

fn record(log: &Log, size: usize, id: &IdentityId) -> Record {
    replay(&log.entries[..size]).0.record(id, time(1_000_000)).expect("a record")
}

fn entries(log: &Log) -> Value {
    let (_, codes) = replay(&log.entries);
    let values = log.entries.iter().zip(codes).map(|(entry, refused)| {
        json!({
            "header": HEXLOWER.encode(&entry.header),
            "salt": HEXLOWER.encode(&entry.salt),
            "body": BASE64.encode(&entry.body),
            "leaf_data": HEXLOWER.encode(&entry.leaf_data()),
            "refused": refused,
        })
    });
    values.collect()
}

fn records(log: &Log) -> Value {
    let group = IdentityId::Group(group_id());
    let of_group = replay(&log.entries).0.record(&group, time(1_000_000));
    let sizes = [11, 14, 15, 16, 19].into_iter().filter(|size| *size < log.entries.len());
    let pumps = sizes.chain([log.entries.len()]).flat_map(|size| [(size, 0), (size, 1)]);
    pumps
        .map(|(size, number)| json!({ "size": size, "record": record(log, size, &pump(number)) }))
        .chain(of_group.map(|record| json!({ "size": log.entries.len(), "record": record })))
        .collect()
}

fn group_id() -> [u8; 32] {
    let IdentityId::Group(id) = lot().id().expect("a group") else { panic!("not a group") };
    id
}

fn vectors() -> Value {
    let maker = manufacturer();
    let plant = plant(&maker);
    let domain = |log: &Log| json!({ "entries": entries(log), "records": records(log) });
    json!({
        "about": "Two domains; the second adopts from the first. Each entry: header, salt and leaf_data in hex, body in \
                  base64, and the code with which the rules refuse it, or null. Each record: what the log's first \
                  `size` entries say at the time in it.",
        "devices.acme.example": domain(&maker),
        "plant.example": domain(&plant),
    })
}

#[test]
fn the_vectors_are_those_in_the_file() {
    let text = serde_json::to_string_pretty(&vectors()).expect("JSON") + "\n";
    if std::env::var_os("ICS_UPDATE_VECTORS").is_some_and(|value| value == "1") {
        std::fs::write(file(), &text).expect("written");
    }
    let stored = std::fs::read_to_string(file()).expect("schemas/vectors/records.json");
    assert!(stored == text, "schemas/vectors/records.json differs; ICS_UPDATE_VECTORS=1 writes it anew");
}

#[test]
fn the_story_is_told_by_the_record() {
    let maker = manufacturer();
    let plant = plant(&maker);
    let status = |size, number| {
        let record = record(&plant, size, &pump(number));
        record.status.map(|status| status.decides.name.to_string())
    };
    let told = [
        (7, None, None),
        (11, Some("in-use"), Some("in-use")),
        (14, Some("suspended"), Some("in-use")),
        (15, Some("in-use"), Some("in-use")),
        (16, Some("in-use"), Some("stolen")),
        // The owner of pump 1 is not that of pump 2.
        (17, Some("in-use"), Some("stolen")),
        // The recall of lot 7.
        (19, Some("withdrawn"), Some("stolen")),
        (20, Some("withdrawn"), Some("stolen")),
    ];
    for (size, first, second) in told {
        assert_eq!((status(size, 0).as_deref(), status(size, 1).as_deref()), (first, second), "{size}");
    }
    let (_, codes) = replay(&plant.entries);
    let refused: Vec<_> = codes.iter().enumerate().filter_map(|(index, code)| Some((index, (*code)?))).collect();
    assert_eq!(refused, [(16, "role-not-held")]);
    assert_eq!(replay(&maker.entries).1.iter().flatten().count(), 0);
}

#[test]
fn a_record_shows_adoption_signers_and_lost_roles() {
    let maker = manufacturer();
    let plant = plant(&maker);
    let record = record(&plant, plant.entries.len(), &pump(0));
    assert_eq!(record.vouched[0].name.as_deref(), Some("Acme Pumps"));
    assert!(record.names.iter().any(|given| given.value.to_string() == "serial:SN-1"));
    assert!(record.names.iter().any(|given| given.value.scheme() == "spki"), "follows from the key");
    let recall = record.statements.iter().find(|listed| listed.by.group.is_some()).expect("the recall");
    assert_eq!((recall.source[0].index, recall.reason.as_deref()), (6, Some("the seal leaks")));
    let in_use = record.statements.iter().find(|listed| listed.by.index == 9).expect("the maintainer's");
    assert_eq!(in_use.standing, Standing::RoleLost);
    assert_eq!(record.installed.len(), 0, "the signer's word on software no longer counts, either");
}
