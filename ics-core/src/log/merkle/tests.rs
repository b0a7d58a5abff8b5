use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::log::tile::{TILE_WIDTH, TileId};

/// The leaves of the test vectors that the implementations of RFC 6962 share.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
/// Their roots, by number of leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// The definition of RFC 6962, section 2.1, implemented literally: the reference for everything else.
fn reference_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            node_hash(&reference_root(left), &reference_root(right))
        }
    }
}

fn leaf(number: u64) -> Hash {
    leaf_hash(&number.to_be_bytes())
}

fn grown(size: u64) -> Tree {
    let mut tree = Tree::new();
    (0..size).for_each(|number| tree.push(leaf(number)));
    tree
}

/// What a store keeps: full tiles, and the leaf hashes.
struct Stored {
    tiles: BTreeMap<TileId, Vec<u8>>,
    leaves: Vec<Hash>,
}

impl Stored {
    fn new(size: u64) -> (Tree, Self) {
        let mut tree = grown(size);
        let tiles = tree.take_full_tiles().into_iter().collect();
        (tree, Self { tiles, leaves: (0..size).map(leaf).collect() })
    }

    fn read(&self, id: TileId) -> Option<Vec<u8>> {
        if id.is_full() {
            return self.tiles.get(&id).cloned();
        }
        assert_eq!(id.level, 0, "partial tiles above level 0 need not be stored");
        let from = id.index as usize * 256;
        Some(self.leaves[from..from + usize::from(id.width)].iter().flat_map(|hash| hash.0).collect())
    }
}

#[test]
fn roots_of_the_shared_vectors() {
    let mut tree = Tree::new();
    assert_eq!(tree.root().to_string(), ROOTS[0]);
    for (hex, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        tree.push(leaf_hash(&HEXLOWER.decode(hex.as_bytes()).unwrap()));
        assert_eq!(tree.root().to_string(), *root);
    }
}

#[test]
fn roots_are_those_of_the_definition() {
    let leaves: Vec<Hash> = (0..600).map(leaf).collect();
    let mut tree = Tree::new();
    for size in 0..=600 {
        assert_eq!(tree.size(), size as u64);
        assert_eq!(tree.root(), reference_root(&leaves[..size]), "{size} leaves");
        if size < 600 {
            tree.push(leaves[size]);
        }
    }
}

#[test]
fn every_inclusion_is_proved_and_no_other() {
    let tree = grown(70);
    let mut prover = tree.prover(|_| None);
    for size in 1..=70 {
        let root = prover.root_at(size).unwrap();
        for index in 0..size {
            let proof = prover.inclusion(index, size).unwrap();
            assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root), Ok(()), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaf(index + 1), index, size, &proof, &root), Err(ProofError::Root));
            let other = verify_inclusion(&leaf(index), (index + 1) % size, size, &proof, &root);
            assert!(size == 1 || other.is_err(), "{index} of {size} at the next index");
        }
    }
}

#[test]
fn every_pair_of_sizes_is_proved_consistent_and_no_other() {
    let tree = grown(70);
    let mut prover = tree.prover(|_| None);
    let roots: Vec<Hash> = (0..=70).map(|size| prover.root_at(size).unwrap()).collect();
    let wrong = leaf(1000);
    for new in 0..=70 {
        for old in 0..=new {
            let proof = prover.consistency(old, new).unwrap();
            let check = |old_root, new_root| verify_consistency(old, old_root, new, new_root, &proof);
            let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
            assert_eq!(check(old_root, new_root), Ok(()), "{old} to {new}");
            assert!(check(&wrong, new_root).is_err(), "{old} to {new} from another root");
            // Nothing is claimed about what follows an empty tree.
            assert_eq!(check(old_root, &wrong).is_err(), old > 0 || new == 0, "{old} to {new} to another root");
        }
    }
}

#[test]
fn proofs_of_a_wrong_length_are_refused() {
    let tree = grown(70);
    let mut prover = tree.prover(|_| None);
    for (index, size) in [(0, 1), (0, 2), (3, 7), (69, 70), (64, 65), (12, 64)] {
        let root = prover.root_at(size).unwrap();
        let proof = prover.inclusion(index, size).unwrap();
        let longer = [proof.as_slice(), &[root]].concat();
        let check = |proof: &[Hash]| verify_inclusion(&leaf(index), index, size, proof, &root);
        assert_eq!(check(&longer), Err(ProofError::Length(longer.len())));
        if let [shorter @ .., _] = proof.as_slice() {
            assert_eq!(check(shorter), Err(ProofError::Length(shorter.len())));
        }
    }
    for (old, new) in [(0, 3), (5, 5), (1, 2), (3, 7), (4, 7), (64, 70), (69, 70)] {
        let (old_root, new_root) = (prover.root_at(old).unwrap(), prover.root_at(new).unwrap());
        let proof = prover.consistency(old, new).unwrap();
        let longer = [proof.as_slice(), &[new_root]].concat();
        let check = |proof: &[Hash]| verify_consistency(old, &old_root, new, &new_root, proof);
        assert_eq!(check(&longer), Err(ProofError::Length(longer.len())), "{old} to {new}");
        if let [shorter @ .., _] = proof.as_slice() {
            assert_eq!(check(shorter), Err(ProofError::Length(shorter.len())), "{old} to {new}");
        }
    }
}

/// The holder of the older tree then has proof that whoever signed both has signed two logs.
#[test]
fn a_proof_shows_by_itself_that_the_newer_tree_begins_otherwise() {
    let mut other = grown(3);
    (3..70).for_each(|number| other.push(leaf(1000 + number)));
    let tree = grown(70);
    let (mut ours, mut theirs) = (tree.prover(|_| None), other.prover(|_| None));
    for old in 4_u64..69 {
        let (old_root, new_root) = (ours.root_at(old).unwrap(), theirs.root_at(70).unwrap());
        let proof = theirs.consistency(old, 70).unwrap();
        // The root of a complete tree does not show how the newer one begins.
        let expected = if old.is_power_of_two() { ProofError::Root } else { ProofError::OldRoot };
        assert_eq!(verify_consistency(old, &old_root, 70, &new_root, &proof), Err(expected), "from {old}");
        for place in 0..proof.len() {
            let mut false_proof = proof.clone();
            false_proof[place].0[0] ^= 1;
            let refused = verify_consistency(old, &old_root, 70, &new_root, &false_proof);
            assert_eq!(refused, Err(ProofError::Root), "from {old}: hash {place}");
        }
    }
}

#[test]
fn what_lies_outside_the_tree_is_refused() {
    let (tree, root) = (grown(5), grown(5).root());
    let outside = |asked, size| Err(TreeError::OutsideTree { asked, size });
    assert_eq!(tree.inclusion_proof(5, 5, |_| None), outside(5, 5));
    assert_eq!(tree.inclusion_proof(0, 0, |_| None), outside(0, 0));
    assert_eq!(tree.inclusion_proof(0, 6, |_| None), outside(6, 5));
    assert_eq!(tree.consistency_proof(1, 6, |_| None), outside(6, 5));
    assert_eq!(tree.consistency_proof(4, 3, |_| None), outside(4, 3));
    assert_eq!(tree.prover(|_| None).root_at(6), Err(TreeError::OutsideTree { asked: 6, size: 5 }));
    assert_eq!(verify_inclusion(&leaf(0), 5, 5, &[], &root), Err(ProofError::OutsideTree { index: 5, size: 5 }));
    assert_eq!(verify_consistency(6, &root, 5, &root, &[]), Err(ProofError::Shrunk { old: 6, new: 5 }));
    assert_eq!(verify_consistency(0, &root, 5, &root, &[]), Err(ProofError::OldRoot));
}

#[test]
fn proofs_reach_across_tiles() {
    let size = 70_000;
    let (tree, stored) = Stored::new(size);
    let mut prover = tree.prover(|id| stored.read(id));
    let (root, leaves) = (tree.root(), &stored.leaves);
    assert_eq!(root, reference_root(leaves));
    for index in [0, 1, 255, 256, 257, 511, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let proof = prover.inclusion(index, size).unwrap();
        assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root), Ok(()), "{index}");
        assert_eq!(tree.inclusion_proof(index, size, |id| stored.read(id)).as_ref(), Ok(&proof));
    }
    for old in [1, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 69_888, 69_999, 70_000] {
        let old_root = prover.root_at(old).unwrap();
        assert_eq!(old_root, reference_root(&leaves[..old as usize]));
        let proof = prover.consistency(old, size).unwrap();
        assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()), "from {old}");
    }
}

#[test]
fn proofs_need_no_storage_while_full_tiles_wait() {
    let mut tree = grown(600);
    let root = tree.root();
    let proof = tree.inclusion_proof(17, 600, |_| None).unwrap();
    assert_eq!(verify_inclusion(&leaf(17), 17, 600, &proof, &root), Ok(()));
    let taken: Vec<TileId> = tree.take_full_tiles().into_iter().map(|(id, _)| id).collect();
    assert_eq!(taken, [TileId::full(0, 0), TileId::full(0, 1)]);
    assert_eq!(tree.take_full_tiles(), []);
    let missing = Err(TreeError::MissingTile(TileId::full(0, 0)));
    assert_eq!(tree.inclusion_proof(17, 600, |_| None), missing);
    let short = Err(TreeError::TileLength(TileId::full(0, 0)));
    assert_eq!(tree.inclusion_proof(17, 600, |_| Some(vec![0; 8191])), short);
}

#[test]
fn a_tree_is_restored_from_what_is_stored() {
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 70_000] {
        let (tree, stored) = Stored::new(size);
        let mut restored = Tree::restore(size, |id| stored.read(id)).unwrap();
        assert_eq!(restored, tree, "{size} leaves");
        restored.push(leaf(size));
        assert_eq!(restored.root(), grown(size + 1).root(), "{size} leaves and one");
    }
}

#[test]
fn a_tree_is_not_restored_from_less() {
    let (_, stored) = Stored::new(600);
    let without = |missing: TileId| Tree::restore(600, |id| stored.read(id).filter(|_| id != missing));
    let partial = TileId { level: 0, index: 2, width: 88 };
    for id in [TileId::full(0, 0), TileId::full(0, 1), partial] {
        assert_eq!(without(id), Err(TreeError::MissingTile(id)));
    }
    let cut = Tree::restore(600, |id| stored.read(id).map(|bytes| bytes[32..].to_vec()));
    assert_eq!(cut, Err(TreeError::TileLength(partial)));
}

#[test]
fn tiles_are_those_of_the_example_in_tlog_tiles() {
    let (tree, stored) = Stored::new(70_000);
    let count = |level| stored.tiles.keys().filter(|id| id.level == level).count();
    assert_eq!((count(0), count(1), count(2)), (273, 1, 0));
    let tile = |level, index, width| tree.tile(TileId { level, index, width }, |id| stored.read(id));
    for (level, index, width) in [(0, 273, 112), (1, 1, 17), (2, 0, 1)] {
        assert_eq!(tile(level, index, width).map(|bytes| bytes.len()), Some(usize::from(width) * 32));
        assert_eq!(tile(level, index, width + 1), None);
        assert_eq!(tile(level, index + 1, 1), None);
    }
    assert_eq!(tile(3, 0, 1), None);
    assert_eq!(tile(63, 0, 1), None);
    let full = tile(0, 272, TILE_WIDTH).unwrap();
    assert_eq!(tile(0, 272, 5).as_deref(), Some(&full[..160]), "partial tiles of earlier sizes are still had");
    assert_eq!(full[..32], leaf(272 * 256).0);
}

proptest! {
    #[test]
    fn a_changed_inclusion_proof_is_refused(size in 2_u64..400, at: prop::sample::Index, place: prop::sample::Index, bit in 0_usize..256) {
        let tree = grown(size);
        let index = at.index(size as usize) as u64;
        let mut proof = tree.inclusion_proof(index, size, |_| None).unwrap();
        let place = place.index(proof.len());
        proof[place].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &tree.root()), Err(ProofError::Root));
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(new in 3_u64..400, at: prop::sample::Index, place: prop::sample::Index, bit in 0_usize..256) {
        let tree = grown(new);
        let old = 1 + at.index(new as usize - 1) as u64;
        let old_root = tree.prover(|_| None).root_at(old).unwrap();
        let mut proof = tree.consistency_proof(old, new, |_| None).unwrap();
        let place = place.index(proof.len());
        proof[place].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency(old, &old_root, new, &tree.root(), &proof).is_err());
    }

    #[test]
    fn no_proof_of_any_size_makes_trouble(index: u64, size: u64, length in 0_usize..70, seed: [u8; 32]) {
        let proof = vec![Hash(seed); length];
        prop_assert!(verify_inclusion(&Hash(seed), index, size, &proof, &empty_root()).is_err());
        let other = Hash(seed.map(|byte| !byte));
        prop_assert!(index == 0 || verify_consistency(index, &Hash(seed), size, &other, &proof).is_err());
    }
}
