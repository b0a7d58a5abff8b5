//! Checks that evidence leaves nothing out, as far as the home has signed that.

use super::head::Head;
use super::{Evidence, EvidenceRefusal};
use crate::log::record_head::{Finding, RecordHead};

impl Head {
    /// Compares the evidence with the home's record head, if there is one: it must be over the same checkpoint, about
    /// the same thing, and with exactly these entries.
    pub(super) fn complete(&mut self, evidence: &Evidence) -> Result<(), EvidenceRefusal> {
        let Some(note) = &evidence.head else { return Ok(()) };
        let head = RecordHead::open(note, &self.key)?;
        let (expected, found) = (self.checkpoint.size, head.size);
        if expected != found || self.checkpoint.root != head.root {
            return Err(EvidenceRefusal::OtherHead { expected, found });
        }
        let of = match &head.finding {
            Finding::Identity(id) => id,
            Finding::Nothing(_) => &head.asked,
        };
        if *of != evidence.id {
            return Err(EvidenceRefusal::HeadOf { said: evidence.id.clone(), found: of.clone() });
        }
        same_entries(&head, evidence)?;
        // Either states that there are no more entries. What a reader may see can change without an entry.
        self.cosigned_at = match head.finding {
            Finding::Identity(_) => self.cosigned_at.max(Some(head.at)),
            Finding::Nothing(_) => Some(head.at),
        };
        self.record = Some(head);
        Ok(())
    }
}

/// Checks that both name the same entries; both are in the order of the log, each entry once.
fn same_entries(head: &RecordHead, evidence: &Evidence) -> Result<(), EvidenceRefusal> {
    let mut named = head.indices.iter().copied();
    for shown in evidence.entries.iter().map(|entry| entry.receipt.index) {
        match named.next() {
            Some(index) if index == shown => {}
            Some(index) if index < shown => return Err(EvidenceRefusal::LeftOut(index)),
            _ => return Err(EvidenceRefusal::NotInHead(shown)),
        }
    }
    named.next().map_or(Ok(()), |index| Err(EvidenceRefusal::LeftOut(index)))
}
