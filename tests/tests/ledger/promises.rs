//! What a node promises to the holder of a receipt, compared with its store.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::log::Hash;
use ics_core::log::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
use ics_core::log::note::VerifierKey;
use ics_core::statement::StatementId;
use ics_core::statement::body;
use ics_node::store::{DomainNumber, Standing, Store, StoredEntry};

use crate::client::Acknowledged;

/// The receipts of all ledgers, each verified, and the checkpoints that they name.
pub(crate) struct Promises {
    acknowledged: Vec<Acknowledged>,
    /// The promised root for each size, and the earliest mark at which it was promised.
    checkpoints: BTreeMap<u64, (Hash, u64)>,
}

impl Promises {
    /// Verifies every receipt on its own: signature, proof, body.
    pub(crate) fn new(ledgers: impl IntoIterator<Item = Vec<Acknowledged>>, key: &VerifierKey) -> Self {
        let mut acknowledged: Vec<_> = ledgers.into_iter().flatten().collect();
        acknowledged.sort_by_key(|it| it.mark);
        let mut checkpoints = BTreeMap::new();
        for it in &acknowledged {
            let checkpoint = it.receipt.verify(&it.body, key).expect("the receipt proves it");
            let (root, _) = checkpoints.entry(checkpoint.size).or_insert((checkpoint.root, it.mark));
            assert_eq!(*root, checkpoint.root, "two roots were signed for {} entries", checkpoint.size);
        }
        Self { acknowledged, checkpoints }
    }

    /// How many statements were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.iter().map(|it| it.receipt.id).collect::<BTreeSet<_>>().len()
    }

    /// How many checkpoints were handed out.
    pub(crate) fn checkpoints(&self) -> usize {
        self.checkpoints.len()
    }

    /// The size of the largest checkpoint handed out up to a mark.
    pub(crate) fn signed_at(&self, mark: u64) -> u64 {
        self.checkpoints.iter().filter(|(_, (_, at))| *at <= mark).map(|(size, _)| *size).max().unwrap_or(0)
    }

    /// Asserts that everything acknowledged up to a mark is there, at the index in the receipt, and once; that its
    /// proof verifies; that all checkpoints handed out are consistent with each other and with the log; and that the
    /// store finds no fault with itself and may continue.
    pub(crate) fn hold(&self, store: &Store, domain: DomainNumber, mark: u64) {
        assert_eq!(store.standing(domain).expect("a domain"), Standing::Current);
        let entries = store.entries(domain, 0, usize::MAX, usize::MAX).expect("entries");
        each_stands_once(&entries);
        let head = store.head(domain).expect("a head");
        let size = head.size;
        let until: Vec<_> = self.acknowledged.iter().take_while(|it| it.mark <= mark).collect();
        let indices: BTreeSet<u64> = until.iter().map(|it| it.receipt.index).collect();
        for it in &until {
            let index = it.receipt.index;
            let entry = entries.get(usize::try_from(index).expect("small"));
            let entry = entry.unwrap_or_else(|| panic!("entry {index} was acknowledged; the log has {size}"));
            let body = entry.content.as_ref().map(|content| content.body.as_slice());
            assert_eq!((entry.leaf, body), (it.receipt.leaf, Some(it.body.as_slice())), "entry {index}");
        }
        let indices: Vec<u64> = indices.into_iter().collect();
        let proofs = store.inclusion_proofs(domain, &indices, size).expect("proofs");
        for (index, proof) in indices.iter().zip(proofs) {
            let leaf = leaf_hash(&entries[usize::try_from(*index).expect("small")].leaf);
            verify_inclusion(&leaf, *index, size, &proof, &head.root).expect("proven");
        }
        self.consistent(store, domain, &entries, mark);
        assert_eq!(store.check().expect("readable").findings, Vec::<String>::new());
    }

    fn consistent(&self, store: &Store, domain: DomainNumber, entries: &[StoredEntry], mark: u64) {
        let head = store.head(domain).expect("a head");
        let known: Vec<(u64, Hash)> = self
            .checkpoints
            .iter()
            .filter(|(_, (_, at))| *at <= mark)
            .map(|(size, (root, _))| (*size, *root))
            .collect();
        let roots: BTreeMap<u64, Hash> = known.iter().copied().chain([(head.size, head.root)]).collect();
        let mut tree = Tree::new();
        for entry in entries {
            tree.push(leaf_hash(&entry.leaf));
            if let Some(root) = roots.get(&tree.size()) {
                assert_eq!(tree.root(), *root, "the root at size {}", tree.size());
            }
        }
        let all: Vec<(u64, Hash)> = roots.into_iter().collect();
        for pair in all.windows(2) {
            let [(old, old_root), (new, new_root)] = pair else { unreachable!("pairs") };
            let proof = store.consistency_proof(domain, *old, *new).expect("a proof");
            verify_consistency(*old, old_root, *new, new_root, &proof).expect("consistent");
        }
    }
}

/// Asserts that no statement, certificate or descriptor is there twice.
fn each_stands_once(entries: &[StoredEntry]) {
    let mut seen: BTreeMap<StatementId, u64> = BTreeMap::new();
    for entry in entries {
        let content = entry.content.as_ref().expect("nothing was erased");
        let id = body::parse(&content.body).expect("a body").id();
        let before = seen.insert(id, entry.index);
        assert_eq!(before, None, "the statement of entry {} stands twice", entry.index);
    }
}
