//! The log of a domain, read as any C2SP client would, and recomputed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use signed_note::{Note, StandardVerifier, VerifierList};

use crate::node::Node;

type Hash = [u8; 32];

/// Hashes in a full tile.
const TILE: u64 = 256;

/// Size and root of a domain's checkpoint as a node serves it; its signature is checked by another implementation.
pub(crate) fn checkpoint(node: &Node, domain: &str) -> (u64, Hash) {
    let info = node.holds(domain).expect("holds the domain");
    let note = node.get_bytes(&format!("/v1/domains/{domain}/checkpoint"), &[]);
    let note = Note::from_bytes(&note).expect("a signed note");
    let key = StandardVerifier::new(info["verifier_key"].as_str().expect("a key")).expect("a verifier key");
    note.verify(&VerifierList::new(vec![Box::new(key)])).expect("the home's signature");
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    assert_eq!(checkpoint.origin(), info["origin"].as_str().expect("an origin"));
    (checkpoint.size(), checkpoint.hash().0)
}

/// The leaf hashes of a log up to a size, from its tiles of level 0; they must match its entry bundles.
pub(crate) fn leaves(node: &Node, domain: &str, size: u64) -> Vec<Hash> {
    let read = |kind: &str| -> Vec<u8> {
        let tiles = (0..size.div_ceil(TILE)).map(|tile| path(kind, tile, size));
        tiles.flat_map(|path| node.get_bytes(&format!("/v1/domains/{domain}/{path}"), &[])).collect()
    };
    let hashes: Vec<Hash> = read("0").as_chunks().0.to_vec();
    let bundles = read("entries");
    let entries: Vec<Hash> = bundles.chunks(34).map(|entry| leaf_hash(&entry[2..])).collect();
    assert!(bundles.chunks(34).all(|entry| entry[..2] == [0, 32]), "every entry is leaf data of 32 bytes");
    assert_eq!(hashes, entries, "tiles and bundles of {domain}");
    assert_eq!(hashes.len() as u64, size);
    hashes
}

/// The C2SP path of a tile in a tree of that size.
fn path(kind: &str, tile: u64, size: u64) -> String {
    let width = TILE.min(size - tile * TILE);
    let partial = if width < TILE { format!(".p/{width}") } else { String::new() };
    assert!(tile < 1_000, "larger than these tests");
    format!("tile/{kind}/{tile:03}{partial}")
}

fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// RFC 6962, section 2.1: the Merkle tree hash.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::new().chain_update([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
        }
    }
}

/// The root that a node proves for a size, while its log may be longer.
pub(crate) fn root_at(node: &Node, domain: &str, size: u64) -> Hash {
    let answer = node.get(&format!("/v1/domains/{domain}/proof/inclusion?index=0&size={size}"));
    hex(&answer["root"])
}

/// Checks that the body at the receipt's index is the acknowledged one, that the receipt proves it, and that it is a
/// leaf of the present log.
pub(crate) fn holds(node: &Node, domain: &str, leaves: &[Hash], receipt: &Value) {
    let index = receipt["index"].as_u64().expect("an index");
    let entry = node.get(&format!("/v1/domains/{domain}/entries/{index}"));
    assert_eq!(entry["receipt"]["leaf"], receipt["leaf"], "entry {index}");
    let body = STANDARD.decode(entry["body"].as_str().expect("a body")).expect("base64");
    let key = node.holds(domain).expect("held")["verifier_key"].as_str().expect("a key").parse().expect("a key");
    let receipt: ics_core::log::receipt::Receipt = serde_json::from_value(receipt.clone()).expect("a receipt");
    receipt.verify(&body, &key).unwrap_or_else(|e| panic!("receipt of entry {index}: {e}"));
    assert_eq!(leaves[usize::try_from(index).expect("small")], leaf_hash(&receipt.leaf), "entry {index}");
}

fn hex(value: &Value) -> Hash {
    let bytes = data_encoding::HEXLOWER.decode(value.as_str().expect("text").as_bytes()).expect("hex");
    bytes.try_into().expect("32 bytes")
}
