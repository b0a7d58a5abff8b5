//! What is known of every domain without reading the database: as of the last commit that is durable everywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use ics_core::log::merkle::{Tree, TreeError, leaf_hash};
use ics_core::log::tile::TileId;
use ics_core::vocabulary::DomainName;
use rusqlite::Connection;

use super::error::StoreError;
use super::heads::HeadFiles;
use super::sight::Sight;
use super::table;
use super::types::{DomainInfo, DomainNumber, Head, Part, Seal, Standing};
use crate::locked::Shared as _;

/// One domain.
#[derive(Debug, Clone)]
pub(crate) struct DomainState {
    pub(crate) info: DomainInfo,
    pub(crate) head: Head,
    /// The tree of the head; its full tiles are in the database.
    pub(crate) tree: Tree,
    pub(crate) standing: Standing,
    /// Whether it was restored from a backup and has not been released.
    pub(crate) held: bool,
    /// An entry that is not what was logged; see [`super::damage`].
    damaged: Option<u64>,
    /// What this node may read of it.
    pub(crate) sight: Sight,
    /// How often since the start it has made its followers look again.
    pub(crate) returns: u64,
    /// Up to which index erasures were given up, see [`super::given_up`].
    pub(crate) given_up: u64,
}

impl DomainState {
    /// A domain without entries.
    pub(crate) fn empty(info: DomainInfo) -> Self {
        let tree = Tree::new();
        let head = Head { size: 0, root: tree.root(), seal: None };
        let (standing, sight) = (Standing::Current, Sight::default());
        Self { info, head, tree, standing, held: false, damaged: None, sight, returns: 0, given_up: 0 }
    }

    /// At the home: compares the domain with the highest checkpoint that was signed for it.
    pub(crate) fn take_standing(&mut self, connection: &Connection, files: &HeadFiles) -> Result<(), StoreError> {
        if self.info.part == Part::Home {
            self.standing = standing(connection, files, self)?;
        }
        Ok(())
    }

    /// The same domain, marked as damaged.
    pub(crate) fn with_damage(&self, entry: u64) -> Self {
        Self { damaged: Some(entry), ..self.clone() }
    }

    /// Refuses if an entry is damaged: it may have blocked anything.
    pub(crate) fn check_sound(&self) -> Result<(), StoreError> {
        let damaged = |entry| StoreError::Damaged { domain: self.info.name.clone(), entry };
        self.damaged.map_or(Ok(()), |entry| Err(damaged(entry)))
    }

    /// Refuses if signing could fork the log, or nobody can tell what has been said.
    pub(crate) fn check_current(&self) -> Result<(), StoreError> {
        let domain = self.info.name.clone();
        match &self.standing {
            Standing::Current => self.check_sound(),
            Standing::Behind { signed } => {
                let signed = signed.as_ref().map(|seal| seal.size);
                Err(StoreError::Behind { domain, size: self.head.size, signed })
            }
            Standing::Forked { signed } => Err(StoreError::Forked { domain, size: signed.size }),
        }
    }
}

/// The domains as readers see them. A state is replaced only when the commit is durable in the database and in the
/// head's file, so nobody ever publishes what a crash could take back.
#[derive(Debug, Default)]
pub(crate) struct Published(RwLock<BTreeMap<DomainNumber, Arc<DomainState>>>);

impl Published {
    pub(crate) fn get(&self, domain: DomainNumber) -> Result<Arc<DomainState>, StoreError> {
        let domains = self.0.read_locked();
        let found = domains.get(&domain).cloned();
        found.ok_or_else(|| StoreError::not_found(format!("domain number {}", domain.get())))
    }

    pub(crate) fn by_name(&self, name: &DomainName) -> Option<Arc<DomainState>> {
        self.all().into_iter().find(|state| state.info.name == *name)
    }

    /// All, by number.
    pub(crate) fn all(&self) -> Vec<Arc<DomainState>> {
        self.0.read_locked().values().cloned().collect()
    }

    pub(crate) fn put(&self, state: DomainState) {
        self.put_with(state, || ());
    }

    /// As [`Published::put`], with a call that belongs to it: what that changes nobody sees without finding this state
    /// when they read next, and nobody finds this state before. What the call returns, and the former state, are
    /// dropped once others can read again.
    pub(crate) fn put_with<T>(&self, state: DomainState, call: impl FnOnce() -> T) {
        let mut domains = self.0.write_locked();
        let former = (call(), domains.insert(state.info.number, Arc::new(state)));
        drop(domains);
        drop(former);
    }
}

/// The commits that erase something of a domain. From the commit on it is gone, while what takes its place is shown
/// only when the commit is durable.
#[derive(Debug, Default)]
pub(crate) struct Erasing(RwLock<BTreeMap<DomainNumber, Erasures>>);

/// How many such commits there have been since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Erasures {
    begun: u64,
    /// Those that are shown.
    ended: u64,
}

impl Erasing {
    /// To be called before the commit.
    pub(crate) fn begin(&self, domain: DomainNumber) {
        self.count(domain, |erasures| erasures.begun += 1);
    }

    /// To be called once the commit is shown.
    pub(crate) fn end(&self, domain: DomainNumber) {
        self.count(domain, |erasures| erasures.ended += 1);
    }

    /// To be called when the commit has left everything as it was. It does not count as one that has ended: those that
    /// were made before it may still be about to be shown.
    pub(crate) fn give_up(&self, domain: DomainNumber) {
        self.count(domain, |erasures| erasures.begun = erasures.begun.saturating_sub(1));
    }

    pub(crate) fn of(&self, domain: DomainNumber) -> Erasures {
        self.0.read_locked().get(&domain).copied().unwrap_or_default()
    }

    fn count(&self, domain: DomainNumber, add: impl FnOnce(&mut Erasures)) {
        add(self.0.write_locked().entry(domain).or_default());
    }
}

impl Erasures {
    /// Whether all that had begun `before` have ended or were given up.
    pub(crate) fn are_over_since(self, before: Self) -> bool {
        self.ended >= before.begun.min(self.begun)
    }

    /// Whether whoever began to read when there were `before`, and is done now, may have missed what one of them
    /// erased and restated: it was not shown yet at the beginning.
    pub(crate) const fn may_hide_since(self, before: Self) -> bool {
        self.begun != before.ended
    }
}

/// Loads all domains at the start. Reads some hundred tiles of each, not its entries.
pub(crate) fn load(connection: &Connection, files: &HeadFiles) -> Result<Published, StoreError> {
    let published = Published::default();
    for (info, held) in table::domains(connection)? {
        let mut state = DomainState::empty(info);
        state.held = held;
        state.sight = table::sight(connection, state.info.number)?;
        if let Some(head) = table::head(connection, state.info.number)? {
            state.tree = restore(connection, state.info.number, &head)?;
            state.head = head;
        }
        state.take_standing(connection, files)?;
        published.put(state);
    }
    Ok(published)
}

fn restore(connection: &Connection, domain: DomainNumber, head: &Head) -> Result<Tree, StoreError> {
    let tree = with_tiles(connection, domain, |read| Tree::restore(head.size, read))?;
    if tree.root() == head.root {
        Ok(tree)
    } else {
        Err(StoreError::corrupt(format!("the tiles of domain number {} do not lead to its root", domain.get())))
    }
}

fn standing(connection: &Connection, files: &HeadFiles, state: &DomainState) -> Result<Standing, StoreError> {
    let signed = files.read(&state.info.name)?;
    let on_file = signed.as_ref().map_or(0, |signed| signed.size);
    if let Some(signed) = signed {
        if signed.size > state.head.size {
            return Ok(Standing::Behind { signed: Some(signed) });
        }
        if !leads_to(connection, state, &signed)? {
            return Ok(Standing::Forked { signed });
        }
    }
    // A crash between commit and file, or the loss of the file, is made good here.
    if let Some(seal) = state.head.seal.as_ref().filter(|seal| seal.size > on_file) {
        files.write(&state.info.name, seal)?;
    }
    Ok(if state.held { Standing::Behind { signed: None } } else { Standing::Current })
}

/// Whether the tree had this root at this size, which must not be larger than the tree.
pub(crate) fn leads_to(connection: &Connection, state: &DomainState, seal: &Seal) -> Result<bool, StoreError> {
    let root = with_tiles(connection, state.info.number, |read| state.tree.prover(read).root_at(seal.size))?;
    Ok(root == seal.root)
}

/// Runs work on a tree whose full tiles, and the leaves of the partial tile of level 0, come from the database.
pub(crate) fn with_tiles<T>(
    connection: &Connection,
    domain: DomainNumber,
    work: impl FnOnce(&mut dyn FnMut(TileId) -> Option<Vec<u8>>) -> Result<T, TreeError>,
) -> Result<T, StoreError> {
    let mut failure = None;
    let mut read = |id: TileId| match read_tile(connection, domain, id) {
        Ok(tile) => tile,
        Err(error) => {
            failure = Some(error);
            None
        }
    };
    let result = work(&mut read);
    match (result, failure) {
        (_, Some(failure)) => Err(failure),
        (Ok(value), None) => Ok(value),
        (Err(TreeError::OutsideTree { asked, size }), None) => {
            Err(StoreError::not_found(format!("{asked} in a log of {size} entries")))
        }
        (Err(error), None) => Err(StoreError::corrupt(error.to_string())),
    }
}

fn read_tile(connection: &Connection, domain: DomainNumber, id: TileId) -> Result<Option<Vec<u8>>, StoreError> {
    if id.is_full() {
        return table::tile(connection, domain, id);
    }
    if id.level > 0 {
        return Ok(None);
    }
    let from = id.index * u64::from(ics_core::log::tile::TILE_WIDTH);
    let leaves = table::leaves(connection, domain, from, from + u64::from(id.width))?;
    Ok(Some(leaves.iter().flat_map(|leaf| leaf_hash(leaf).0).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_before_an_erasure_is_shown_may_lack_what_it_restates() {
        let (erasing, [one, other]) = (Erasing::default(), [1, 2].map(|it| DomainNumber::new(it).expect("in range")));
        let before = erasing.of(one);
        assert!(!erasing.of(one).may_hide_since(before));
        erasing.begin(one);
        let during = erasing.of(one);
        assert!([before, during].iter().all(|began| erasing.of(one).may_hide_since(*began)), "it is committed");
        assert!(erasing.of(one).are_over_since(before) && !erasing.of(one).are_over_since(during));
        assert!(!erasing.of(other).may_hide_since(erasing.of(other)), "each domain has its own");
        erasing.begin(one);
        erasing.end(one);
        assert!(erasing.of(one).may_hide_since(erasing.of(one)), "the next one is not shown yet");
        assert!(erasing.of(one).are_over_since(during), "whoever waited for the first need not wait for it");
        erasing.end(one);
        assert!([before, during].iter().all(|began| erasing.of(one).may_hide_since(*began)), "it was read before that");
        assert!(!erasing.of(one).may_hide_since(erasing.of(one)), "all is shown");
    }

    /// The writer makes the next commit while one is being synced, and there may be no room for it.
    #[test]
    fn an_erasure_that_is_given_up_does_not_end_the_one_before_it() {
        let (erasing, domain) = (Erasing::default(), DomainNumber::new(1).expect("in range"));
        erasing.begin(domain);
        let first = erasing.of(domain);
        erasing.begin(domain);
        let both = erasing.of(domain);
        erasing.give_up(domain);
        let is_over = || [first, both].map(|before| erasing.of(domain).are_over_since(before));
        assert_eq!(is_over(), [false; 2], "the first is not shown yet");
        assert!(erasing.of(domain).may_hide_since(erasing.of(domain)));
        erasing.end(domain);
        assert_eq!(is_over(), [true; 2]);
        assert!(!erasing.of(domain).may_hide_since(erasing.of(domain)), "nothing is left to be shown");
    }
}
