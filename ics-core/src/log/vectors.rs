//! `schemas/vectors/log.json`: the formats of the log for implementations in any language.
//!
//! The vectors are computed anew and compared with the file; `ICS_UPDATE_VECTORS=1` writes it.

use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::log::Hash;
use crate::log::checkpoint::Checkpoint;
use crate::log::cosignature;
use crate::log::entry::{Entry, EntryKind, Header};
use crate::log::fixtures::{ExampleLog, cosigner, entry, signing_key};
use crate::log::merkle::Tree;
use crate::log::record_head::{Finding, RecordHead};
use crate::log::tile::{TileId, encode_bundle};
use crate::statement::{self, Body};
use crate::time::Timestamp;

const SIZE: u64 = 20;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors/log.json")
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}

fn entries(log: &ExampleLog) -> Vec<Value> {
    let values = log.entries.iter().enumerate().map(|(index, entry)| {
        let header = entry.header().unwrap();
        json!({
            "index": index,
            "kind": header.kind.code(),
            "admitted_at": header.admitted_at,
            "admitted_at_ms": header.admitted_at.as_millis(),
            "salt": HEXLOWER.encode(&entry.salt),
            "header": HEXLOWER.encode(&entry.header),
            "body": HEXLOWER.encode(&entry.body),
            "leaf_data": Hash(entry.leaf_data()),
            "leaf_hash": entry.leaf_hash(),
        })
    });
    values.collect()
}

fn adopted(log: &ExampleLog) -> Value {
    let source = Some(log.receipt(4).source());
    let header = Header { kind: EntryKind::Statement, admitted_at: Timestamp::from_millis(1_767_312_000_000), source };
    let entry = Entry { header: header.encode().unwrap(), salt: [0xad; 16], body: entry(4).body };
    json!({
        "receipt": log.receipt(4),
        "admitted_at_ms": header.admitted_at.as_millis(),
        "salt": HEXLOWER.encode(&entry.salt),
        "header": HEXLOWER.encode(&entry.header),
        "leaf_data": Hash(entry.leaf_data()),
    })
}

fn tree(log: &ExampleLog) -> Value {
    let mut prover = log.tree.prover(|_| None);
    let roots: Vec<Hash> = (0..=SIZE).map(|size| prover.root_at(size).unwrap()).collect();
    let mut inclusion = Vec::new();
    for (index, size) in [(0, 1), (0, 2), (1, 2), (2, 3), (4, 7), (6, 7), (7, 8), (3, SIZE), (16, SIZE), (19, SIZE)] {
        let proof = base64(&prover.inclusion(index, size).unwrap());
        inclusion.push(json!({ "index": index, "size": size, "proof": proof }));
    }
    let mut consistency = Vec::new();
    for (old, new) in [(0, 5), (1, 1), (1, 2), (3, 4), (3, 7), (4, 7), (6, 8), (8, SIZE), (13, SIZE), (19, SIZE)] {
        let proof = base64(&prover.consistency(old, new).unwrap());
        consistency.push(json!({ "old": old, "new": new, "proof": proof }));
    }
    json!({ "roots": roots, "inclusion": inclusion, "consistency": consistency })
}

/// Trees whose leaf `i` is the hash of `i` as u64 big-endian, large enough for several levels of tiles.
fn large_trees() -> Vec<Value> {
    let mut tree = Tree::new();
    let mut values = Vec::new();
    for number in 0..70_000_u64 {
        tree.push(crate::log::merkle::leaf_hash(&number.to_be_bytes()));
        if [256, 257, 65_536, 70_000].contains(&(number + 1)) {
            values.push(json!({ "size": tree.size(), "root": tree.root() }));
        }
    }
    values
}

fn checkpoints(log: &ExampleLog) -> Value {
    let (home, witness) = (cosigner("home.acme.example", 1), cosigner("witness.example", 2));
    let at = Timestamp::from_seconds(1_767_225_700);
    let cosigned = cosignature::cosign(&log.checkpoint(), home.name(), &signing_key(1), at).unwrap();
    let witnessed = cosignature::cosign(&cosigned, witness.name(), &signing_key(2), at.plus_millis(60_000)).unwrap();
    let times: Vec<Value> = cosignature::times(&witnessed, [&home, &witness])
        .unwrap()
        .into_iter()
        .map(|(key, time)| json!({ "key": key, "time": time }))
        .collect();
    json!({
        "home_secret": HEXLOWER.encode(&log.home.to_bytes()),
        "home_key": log.key(),
        "home_cosigner_key": home,
        "witness_secret": HEXLOWER.encode(&signing_key(2).to_bytes()),
        "witness_key": witness,
        "origin": log.origin,
        "size": SIZE,
        "root": log.tree.root(),
        "checkpoint": log.checkpoint(),
        "cosigned": cosigned,
        "witnessed": witnessed,
        "times": times,
    })
}

fn tiles(log: &ExampleLog) -> Value {
    let tile = TileId { level: 0, index: 0, width: 20 };
    let leaves: Vec<_> = log.entries.iter().map(Entry::leaf_data).collect();
    json!({
        "tile": { "path": tile.to_string(), "base64": BASE64.encode(&log.tree.tile(tile, |_| None).unwrap()) },
        "entries": { "path": "tile/entries/000.p/20", "base64": BASE64.encode(&encode_bundle(&leaves)) },
    })
}

fn record_heads(log: &ExampleLog) -> Value {
    let head = |finding| {
        let Checkpoint { origin, size, root } = log.head();
        let (asked, at) = ("serial:SN-1".to_owned(), Timestamp::from_seconds(1_767_225_700));
        RecordHead { origin, asked, finding, at, size, root, indices: vec![0, 1, 7, 19] }.sign(&log.home).unwrap()
    };
    json!({
        "identity": head(Finding::Identity("ab".repeat(20))),
        "nothing_for_anybody": head(Finding::Nothing(None)),
        "nothing_for_a_key": head(Finding::Nothing(Some([7; 32]))),
    })
}

fn vectors() -> Value {
    let log = ExampleLog::new(SIZE);
    json!({
        "about": "The log's formats. Hex is lower-case. Hashes are hex where they stand alone, base64 in proofs. \
                  leaf_data = SHA-256(salt, header, body); leaf_hash = SHA-256(0x00, leaf_data).",
        "entries": entries(&log),
        "adopted": adopted(&log),
        "tree": tree(&log),
        "large_trees": large_trees(),
        "tiles": tiles(&log),
        "checkpoints": checkpoints(&log),
        "record_heads": record_heads(&log),
        "receipt": log.receipt(13),
        "tlog_proof": log.receipt(13).to_tlog_proof(),
    })
}

#[test]
fn the_vectors_are_those_in_the_file() {
    let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("ICS_UPDATE_VECTORS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file().parent().unwrap()).unwrap();
        std::fs::write(file(), &text).unwrap();
    }
    let stored = std::fs::read_to_string(file()).unwrap();
    assert!(stored == text, "schemas/vectors/log.json differs; ICS_UPDATE_VECTORS=1 writes it anew");
}

/// The page that other implementations are written from has the same examples.
#[test]
fn the_examples_of_the_page_of_formats_are_those_of_the_vectors() {
    let page = include_str!("../../../docs/formats.md");
    let vectors = vectors();
    for pointer in [
        "/entries/1/salt",
        "/entries/1/header",
        "/entries/1/leaf_data",
        "/entries/1/leaf_hash",
        "/checkpoints/home_key",
        "/checkpoints/home_cosigner_key",
        "/record_heads/identity",
    ] {
        let text = vectors.pointer(pointer).and_then(Value::as_str).unwrap();
        assert!(page.contains(text), "{pointer}: {text}");
    }
    let statements: Value = serde_json::from_str(include_str!("../../../schemas/vectors/statements.json")).unwrap();
    let of_page = |it: &&Value| it["name"] == "02-label-service-v4";
    let example = statements["bodies"].as_array().unwrap().iter().find(of_page).unwrap();
    let body = BASE64.decode(example["body"].as_str().unwrap().as_bytes()).unwrap();
    let Body::Statement(label) = statement::parse(&body).unwrap() else { panic!("it is a statement") };
    let (signed, id) = (&label.signed, example["id"].as_str().unwrap());
    assert!(page.contains(&format!("digest  {}\nid      {id}\n", HEXLOWER.encode(&signed.digest))), "{signed:?}");
    let whole = [&[4, signed.hash.id()][..], signed.issuer.as_bytes(), &signed.digest].concat();
    assert_eq!(Hash(Sha256::digest(whole).into()).to_string(), id);
}
