//! Reads the entries of evidence, each consistent in itself; nothing is proven yet.

use super::{EntryFault, Evidence, EvidenceRefusal, ProvenEntry};
use crate::identity::excerpt;
use crate::log::entry::{EntryKind, Header, LeafData, leaf_data};
use crate::statement::body::{self, Body};

/// An entry whose parts are consistent.
pub(crate) struct Opened<'a> {
    pub(crate) entry: &'a ProvenEntry,
    pub(crate) header: Header,
    pub(crate) body: Body,
}

impl Opened<'_> {
    pub(crate) const fn index(&self) -> u64 {
        self.entry.receipt.index
    }

    pub(super) fn leaf_data(&self) -> LeafData {
        let receipt = &self.entry.receipt;
        leaf_data(&receipt.salt, &receipt.header, &self.entry.body)
    }
}

/// Opens all entries: entry 0 first, then each after the one before it.
pub(super) fn open(evidence: &Evidence) -> Result<Vec<Opened<'_>>, EvidenceRefusal> {
    let indices = || evidence.entries.iter().map(|entry| entry.receipt.index);
    if indices().next() != Some(0) {
        return Err(EvidenceRefusal::NoEntry0);
    }
    if let Some((after, index)) = indices().zip(indices().skip(1)).find(|(after, index)| index <= after) {
        return Err(EvidenceRefusal::Order { index, after });
    }
    let open = |entry| open_one(entry, &evidence.checkpoint).map_err(|fault| fault.at(entry.receipt.index));
    let opened: Vec<Opened<'_>> = evidence.entries.iter().map(open).collect::<Result<_, _>>()?;
    // If a home's time could go back, keys could sign that have ended: a mirror stops there, whatever the entry is.
    for (before, next) in opened.iter().zip(opened.iter().skip(1)) {
        let (admitted_at, last) = (next.header.admitted_at, before.header.admitted_at);
        if admitted_at < last {
            return Err(EntryFault::TimeGoesBack { admitted_at, last }.at(next.index()));
        }
    }
    Ok(opened)
}

fn open_one<'a>(entry: &'a ProvenEntry, checkpoint: &str) -> Result<Opened<'a>, EntryFault> {
    let receipt = &entry.receipt;
    if receipt.checkpoint != checkpoint {
        return Err(EntryFault::OtherCheckpoint);
    }
    let header = Header::decode(&receipt.header)?;
    if header.admitted_at != entry.admitted_at {
        return Err(EntryFault::AdmittedAt { said: entry.admitted_at, found: header.admitted_at });
    }
    let body = body::parse(&entry.body)?;
    let found = body.kind().as_str();
    for said in [header.kind.as_str(), &entry.kind] {
        if said != found {
            return Err(EntryFault::Kind { said: excerpt(said), found });
        }
    }
    if body.kind() == EntryKind::Certification {
        return Err(EntryFault::NotEvidence(found));
    }
    if receipt.id != body.id() {
        return Err(EntryFault::Id { said: receipt.id, found: body.id() });
    }
    Ok(Opened { entry, header, body })
}
