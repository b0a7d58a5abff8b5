//! A node's store, in memory: what was applied survives a restart of the mirror.

use ics_core::descriptor::Descriptor;
use ics_core::log::LeafData;
use ics_core::log::checkpoint::Origin;
use ics_core::log::entry::EntryKind;
use ics_core::log::merkle::{Tree, leaf_hash};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::Applier;
use ics_sync::mirror::{Mirror, Resume, Settings, VerifiedEntry, VerifiedPage};

use crate::owners;

#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) leaves: Vec<LeafData>,
    tree: Tree,
    /// The bodies that were visible.
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) descriptor: Option<Descriptor>,
    pub(crate) admitted_at: Timestamp,
    pub(crate) note: Option<String>,
    /// Pages that will not be stored.
    pub(crate) failures: usize,
}

impl Memory {
    /// A mirror that goes on where this store is.
    pub(crate) fn mirror(&self, domain: &DomainName, settings: Settings, now: Timestamp) -> Mirror {
        let (Some(descriptor), Some(entry0)) = (&self.descriptor, self.leaves.first()) else {
            return Mirror::on_first_contact(domain.clone(), settings);
        };
        let resume = Resume {
            origin: Origin { domain: domain.clone(), entry0: *entry0 },
            descriptor: descriptor.clone(),
            tree: self.tree.clone(),
            admitted_at: self.admitted_at,
            checkpoint: self.note.clone(),
        };
        Mirror::resume(resume, settings, now)
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Applies a page, or fails as a store does.
    pub(crate) fn store(&mut self, page: &VerifiedPage) -> Result<(), String> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err("the disk is full".to_owned());
        }
        assert_eq!(page.from, self.size(), "a page begins where the last one ended");
        for entry in &page.entries {
            self.leaves.push(entry.leaf_data());
            self.tree.push(leaf_hash(&entry.leaf_data()));
            if let VerifiedEntry::Whole { header, entry } = entry {
                assert_eq!(entry.header(), Ok(header.clone()));
                assert!(header.admitted_at >= self.admitted_at, "admission times never go back");
                self.admitted_at = header.admitted_at;
                self.bodies.push(entry.body.clone());
                if header.kind == EntryKind::Descriptor {
                    let next = owners::read(&entry.body, self.descriptor.as_ref());
                    self.descriptor = next.or(self.descriptor.take());
                }
            }
        }
        assert_eq!(
            (page.size, page.root),
            (self.tree.size(), self.tree.root()),
            "the page tells size and root with it"
        );
        if let Some(signed) = &page.checkpoint {
            assert_eq!((signed.checkpoint.size, signed.checkpoint.root), (page.size, page.root));
            self.note = Some(signed.note.clone());
        }
        Ok(())
    }
}

impl Applier for Memory {
    async fn apply(&mut self, page: &VerifiedPage) -> Result<(), String> {
        self.store(page)
    }
}
