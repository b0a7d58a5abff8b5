//! The same formats, checked against other implementations: ct-merkle, tlog_tiles and signed_note.

use std::fmt::Write;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use data_encoding::{BASE64, HEXLOWER};
use sha2::Sha256;
use signed_note::{Note as OtherNote, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, Tile, TileHashReader, TileReader};

use crate::log::Hash;
use crate::log::fixtures::{ExampleLog, cosigner, signing_key};
use crate::log::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
use crate::log::note::{Algorithm, Note, VerifierKey};
use crate::log::tile::{TileId, TilePath};
use crate::log::{checkpoint::Checkpoint, cosignature};
use crate::time::Timestamp;

fn data(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks().0.iter().copied().map(Hash).collect()
}

fn grown(size: u64) -> Tree {
    let mut tree = Tree::new();
    (0..size).for_each(|number| tree.push(leaf_hash(&data(number))));
    tree
}

#[test]
fn roots_and_inclusion_proofs_agree_with_ct_merkle() {
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    let mut ours = Tree::new();
    for size in 1..=70 {
        theirs.push(data(size - 1));
        ours.push(leaf_hash(&data(size - 1)));
        let root = theirs.root();
        assert_eq!(ours.root().0, root.as_bytes().0);
        for index in 0..size {
            let our_proof = ours.inclusion_proof(index, size, |_| None).unwrap();
            let their_proof = theirs.prove_inclusion(index as usize);
            assert_eq!(bytes(&our_proof), their_proof.as_bytes(), "{index} of {size}");
            root.verify_inclusion(&data(index), index, &InclusionProof::from_bytes(bytes(&our_proof))).unwrap();
            let their_hashes = hashes(their_proof.as_bytes());
            let verified = verify_inclusion(&leaf_hash(&data(index)), index, size, &their_hashes, &ours.root());
            assert_eq!(verified, Ok(()));
        }
    }
}

#[test]
fn consistency_proofs_agree_with_ct_merkle() {
    let mut theirs = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    let (tree, mut roots) = (grown(70), Vec::new());
    let mut prover = tree.prover(|_| None);
    for new in 1..=70 {
        theirs.push(data(new - 1));
        roots.push(theirs.root());
        let new_root = theirs.root();
        for old in 1..new {
            let our_proof = prover.consistency(old, new).unwrap();
            let their_proof = theirs.prove_consistency((new - old) as usize);
            assert_eq!(bytes(&our_proof), their_proof.as_bytes(), "{old} to {new}");
            let old_root = &roots[old as usize - 1];
            let proof = ConsistencyProof::try_from_bytes(bytes(&our_proof)).unwrap();
            new_root.verify_consistency(old_root, &proof).unwrap();
            let (old_root, new_root) = (Hash(old_root.as_bytes().0), Hash(new_root.as_bytes().0));
            let verified = verify_consistency(old, &old_root, new, &new_root, &hashes(their_proof.as_bytes()));
            assert_eq!(verified, Ok(()));
        }
    }
}

/// This crate's tiles, as tlog_tiles asks for them.
struct OurTiles(Tree);

impl TileReader for OurTiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let id = |tile: &Tile| TileId {
            level: tile.level(),
            index: tile.level_index(),
            width: u16::try_from(tile.width()).unwrap(),
        };
        tiles.iter().map(|tile| self.0.tile(id(tile), |_| None).ok_or(tlog_tiles::Error::InvalidTile)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_reads_our_tiles_and_makes_the_same_proofs() {
    for size in [1, 2, 255, 256, 257, 600, 65_536, 70_000] {
        let tree = grown(size);
        let root = tlog_tiles::Hash(tree.root().0);
        let tiles = OurTiles(tree);
        let reader = TileHashReader::new(size, root, &tiles);
        assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap(), root);
        for index in [0, 1, 254, 255, 256, 511, 65_535, 65_536, 69_999].into_iter().filter(|index| *index < size) {
            let theirs = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let ours = tiles.0.inclusion_proof(index, size, |_| None).unwrap();
            assert_eq!(ours, theirs.iter().map(|hash| Hash(hash.0)).collect::<Vec<_>>(), "{index} of {size}");
            let leaf = tlog_tiles::record_hash(&data(index));
            tlog_tiles::check_record(&theirs, size, root, index, leaf).unwrap();
        }
        for old in [1, 2, 255, 256, 257, 600, 65_535, 65_536, 69_999].into_iter().filter(|old| *old <= size) {
            let theirs = tlog_tiles::prove_tree(size, old, &reader).unwrap();
            let ours = tiles.0.consistency_proof(old, size, |_| None).unwrap();
            assert_eq!(ours, theirs.iter().map(|hash| Hash(hash.0)).collect::<Vec<_>>(), "{old} to {size}");
            let old_root = tiles.0.prover(|_| None).root_at(old).unwrap();
            tlog_tiles::check_tree(&theirs, size, root, old, tlog_tiles::Hash(old_root.0)).unwrap();
        }
    }
}

#[test]
fn tlog_tiles_would_refuse_a_wrong_tile() {
    let mut tiles = OurTiles(grown(600));
    let root = tlog_tiles::Hash(tiles.0.root().0);
    tiles.0 = Tree::new();
    (0..600).for_each(|number| tiles.0.push(leaf_hash(&data(number.max(1)))));
    let reader = TileHashReader::new(600, root, &tiles);
    assert!(reader.read_hashes(&[0]).is_err());
}

#[test]
fn paths_agree_with_tlog_tiles() {
    for index in [0, 7, 999, 1000, 1_234_067, 999_999_999, u64::MAX] {
        for (level, width) in [(0, 256), (5, 1), (63, 255)] {
            let theirs = Tile::new(8, level, index, width, false).path().replacen("tile/8/", "tile/", 1);
            let ours = TileId { level, index, width: u16::try_from(width).unwrap() };
            assert_eq!(ours.to_string(), theirs);
            assert_eq!(theirs.parse(), Ok(TilePath::Tile(ours)));
        }
    }
}

#[test]
fn signed_note_opens_our_checkpoints() {
    let log = ExampleLog::new(9);
    let witness = cosigner("w.example", 3);
    let cosigned =
        cosignature::cosign(&log.checkpoint(), witness.name(), &signing_key(3), Timestamp::from_seconds(1)).unwrap();
    for note in [log.checkpoint(), cosigned] {
        let theirs = OtherNote::from_bytes(note.as_bytes()).unwrap();
        let verifier = StandardVerifier::new(&log.key().to_string()).unwrap();
        let (verified, _) = theirs.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
        assert_eq!(verified.len(), 1);
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
        assert_eq!(checkpoint.origin(), log.origin.to_string());
        assert_eq!((checkpoint.size(), checkpoint.hash().0), (9, log.tree.root().0));
        let other =
            StandardVerifier::new(&log.origin.key(&signing_key(2).verifying_key().to_bytes()).unwrap().to_string());
        assert!(theirs.verify(&VerifierList::new(vec![Box::new(other.unwrap())])).is_err());
    }
}

#[test]
fn we_open_checkpoints_of_tlog_tiles_and_signed_note() {
    let log = ExampleLog::new(9);
    let name = log.origin.to_string();
    let id = HEXLOWER.encode(&log.key().id());
    let secret = BASE64.encode(&[&[1], log.home.to_bytes().as_slice()].concat());
    let signer = StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id}+{secret}")).unwrap();
    let text = tlog_tiles::Checkpoint::new(&name, 9, tlog_tiles::Hash(log.tree.root().0), "").unwrap().to_bytes();
    let mut theirs = OtherNote::new(&text, &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    let note = String::from_utf8(theirs.to_bytes()).unwrap();
    assert_eq!(Checkpoint::open(&note, &log.key()), Ok(log.head()));
    assert_eq!(note, log.checkpoint(), "Ed25519 is deterministic: the very same bytes");
}

#[test]
fn notes_agree_with_signed_note_on_what_is_malformed() {
    let mut note = Note::new("a\n\nb\n").unwrap();
    note.sign("key.example", &signing_key(1)).unwrap();
    let good = note.to_string();
    let key = VerifierKey::new("key.example", Algorithm::Ed25519, &signing_key(1).verifying_key().to_bytes()).unwrap();
    let verifier = StandardVerifier::new(&key.to_string()).unwrap();
    let list = VerifierList::new(vec![Box::new(verifier)]);
    let chars: Vec<char> = good.chars().collect();
    for place in 0..chars.len() {
        for new in ['\n', ' ', '=', 'A', 'B', '\u{2014}', '\t', '+'] {
            let mut changed = String::new();
            chars
                .iter()
                .enumerate()
                .for_each(|(at, c)| changed.write_char(if at == place { new } else { *c }).unwrap());
            let ours = Note::parse(&changed).is_ok_and(|note| note.verify(&key).is_ok());
            let theirs = OtherNote::from_bytes(changed.as_bytes()).is_ok_and(|note| note.verify(&list).is_ok());
            assert_eq!(ours, theirs, "{new:?} at {place}");
            assert_eq!(ours, chars[place] == new, "{new:?} at {place}");
        }
    }
}
