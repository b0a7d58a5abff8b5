//! What mirrors and verifiers read from a domain: checkpoints, tiles, entries, proofs and receipts.

use std::collections::BTreeSet;

use ics_core::limits;
use ics_core::log::Hash;
use ics_core::log::entry::{Entry, Header, LeafData, Salt};
use ics_core::log::receipt::Receipt;
use ics_core::log::tile::{TILE_WIDTH, TileError, TilePath, encode_bundle};
use ics_core::statement::body::{self, Body};
use ics_core::statement::{Remnant, StatementId};
use ics_core::vocabulary::DomainName;
use ics_sync::wire;

use crate::api::problem::Code;
use crate::api::{ProofAnswer, ProvenEntry};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::store::{Content, Seal, Standing, StoreError, StoredEntry};

/// A tile, and whether it can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileAnswer {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is full, and so can never change again.
    pub full: bool,
}

/// A version of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescriptorAnswer {
    /// Its canonical JSON.
    pub json: Vec<u8>,
    /// The OpenPGP message with its owners' signatures.
    pub signed: Vec<u8>,
    /// The index of its entry.
    pub index: u64,
}

impl App {
    /// The newest checkpoint with its cosignatures.
    ///
    /// # Errors
    /// When the domain is not held here, or nothing of it has been signed yet.
    pub fn checkpoint(&self, domain: &DomainName) -> Result<String, AppError> {
        Ok(self.seal(&*self.hosted(domain)?)?.note)
    }

    /// The newest checkpoint that this node can prove: at a mirror that is catching up, it covers fewer entries than
    /// are held.
    ///
    /// A home that has signed more than it knows is silent until it has its lost tail back, and a domain with a damaged
    /// entry until that is repaired.
    pub(crate) fn seal(&self, hosted: &Hosted) -> Result<Seal, AppError> {
        if let Standing::Behind { .. } = self.store().standing(hosted.number)? {
            let detail = format!("`{}` was restored from a copy and waits for what was logged since", hosted.name);
            return Err(AppError::new(Code::Behind, detail));
        }
        self.store().check_sound(hosted.number)?;
        self.store()
            .head(hosted.number)?
            .seal
            .ok_or_else(|| AppError::new(Code::Behind, format!("nothing of `{}` has arrived yet", hosted.name)))
    }

    /// A tile or entry bundle by its C2SP path.
    ///
    /// # Errors
    /// When the path is malformed or the log has no such tile.
    pub fn tile(&self, domain: &DomainName, path: &str) -> Result<TileAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let size = self.seal(&hosted)?.size;
        let malformed = |error: TileError| AppError::new(Code::MalformedTilePath, error.to_string());
        let missing = || AppError::new(Code::UnknownTile, format!("the log has only {size} entries"));
        match path.parse::<TilePath>().map_err(malformed)? {
            TilePath::Tile(tile) => match self.store().tile(hosted.number, tile) {
                Ok(bytes) => Ok(TileAnswer { bytes, full: tile.is_full() }),
                Err(StoreError::NotFound { .. }) => Err(missing()),
                Err(error) => Err(error.into()),
            },
            TilePath::Entries(bundle) => {
                let start = bundle.index.saturating_mul(256);
                let end = start.saturating_add(u64::from(bundle.width));
                if end > size {
                    return Err(missing());
                }
                let leaves = self.store().leaves(hosted.number, start..end)?;
                Ok(TileAnswer { bytes: encode_bundle(&leaves), full: bundle.width == TILE_WIDTH })
            }
        }
    }

    /// A page of the feed, proven to lead to `until` or to the newest checkpoint. Entries that the reader may not read
    /// are sent as bare leaves.
    ///
    /// # Errors
    /// When the domain is not held here, or `from` or `until` is beyond what can be proven.
    pub fn entries(
        &self,
        reader: Reader,
        domain: &DomainName,
        from: u64,
        limit: usize,
        until: Option<u64>,
    ) -> Result<wire::Page, AppError> {
        let hosted = self.hosted(domain)?;
        self.page_of(reader, &hosted, from, limit.min(limits::FEED_ENTRIES), limits::FEED_BYTES, until)
    }

    /// As [`App::entries`], with a limit on bytes, but at least one entry if there is one.
    ///
    /// # Errors
    /// As [`App::entries`].
    pub(crate) fn entries_within(
        &self,
        reader: Reader,
        domain: &DomainName,
        from: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<wire::Page, AppError> {
        let hosted = self.hosted(domain)?;
        self.page_of(reader, &hosted, from, limit.min(limits::FEED_ENTRIES), bytes.min(limits::FEED_BYTES), None)
    }

    /// A page of at most this many entries and bytes, but at least one entry if there is one.
    pub(crate) fn page_of(
        &self,
        reader: Reader,
        hosted: &Hosted,
        from: u64,
        limit: usize,
        bytes: usize,
        until: Option<u64>,
    ) -> Result<wire::Page, AppError> {
        let seal = self.seal(hosted)?;
        let size = until.unwrap_or(seal.size);
        if size > seal.size || from > size {
            let detail = format!("entries {from} to {size} were asked for, but {} are proven here", seal.size);
            return Err(AppError::new(Code::OutOfRange, detail));
        }
        let room = usize::try_from(size - from).unwrap_or(usize::MAX);
        let limit = limit.max(1).min(room);
        let stored = self.store().entries(hosted.number, from, limit, bytes)?;
        let rights = self.rights(reader, hosted)?;
        let mut eyes = self.eyes(reader, hosted, rights.as_ref().map(|_| size))?;
        let mut entries = Vec::with_capacity(stored.len());
        let (mut earlier, mut ended, mut names_all) = (BTreeSet::new(), BTreeSet::new(), true);
        for entry in &stored {
            // Who is told that there is more than can be named looks at everything again.
            if rights.is_some() && names_all {
                let told = eyes.told_with(from, entry)?;
                let named = earlier.union(&told.0).count() + ended.union(&told.1).count();
                names_all = named < limits::SIGHT_INDICES;
                if !names_all && !entries.is_empty() {
                    break;
                }
                earlier.extend(told.0);
                ended.extend(told.1);
            }
            match eyes.travelling(entry) {
                // What comes before it can be told.
                Err(error) if error.code() == Code::Behind && !entries.is_empty() => break,
                entry => entries.push(entry?),
            }
        }
        let listed = |indices: BTreeSet<u64>| indices.into_iter().collect();
        let sight = rights.map(|rights| wire::Sight { rights, earlier: listed(earlier), ended: listed(ended) });
        let sight = sight.map(wire::Sight::bounded);
        let end = from + entries.len() as u64;
        let proof = self.store().consistency_proof(hosted.number, end, size)?;
        Ok(wire::Page {
            from,
            entries,
            size,
            checkpoint: (size == seal.size).then_some(seal.note),
            proof: proof.iter().map(|hash| wire::Base64(hash.0)).collect(),
            sight,
        })
    }

    /// The descriptors from a version on, as entries of the log.
    ///
    /// # Errors
    /// When the domain is not held here.
    pub fn descriptors(&self, domain: &DomainName, from: u64) -> Result<wire::Descriptors, AppError> {
        self.descriptors_within(domain, from, (limits::FEED_ENTRIES, limits::FEED_BYTES))
    }

    /// As [`App::descriptors`], with limits on their number and on bytes, but at least one if there is one.
    ///
    /// # Errors
    /// As [`App::descriptors`].
    pub(crate) fn descriptors_within(
        &self,
        domain: &DomainName,
        from: u64,
        (most, most_bytes): (usize, usize),
    ) -> Result<wire::Descriptors, AppError> {
        let hosted = self.hosted(domain)?;
        let known = hosted.domain();
        let indices = known.iter().flat_map(|domain| domain.descriptor_indices());
        let before = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in indices.skip(before) {
            let entry = self.store().entry(hosted.number, index)?;
            let Some(content) = &entry.content else { continue };
            let entry = wire::Entry::Whole(whole(&entry, content));
            bytes += entry.bytes();
            if !entries.is_empty() && (bytes > most_bytes || entries.len() >= most) {
                break;
            }
            entries.push(entry);
        }
        Ok(wire::Descriptors { from, entries })
    }

    /// A version of the descriptor, by default the newest.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn descriptor(&self, domain: &DomainName, version: Option<u64>) -> Result<DescriptorAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let known = hosted.domain().ok_or_else(|| AppError::unknown_domain(domain))?;
        let current = known.descriptor().version;
        let version = version.unwrap_or(current);
        let missing = || {
            let detail = format!("there is no version {version}, the newest is {current}");
            AppError::new(Code::UnknownDescriptor, detail)
        };
        let nth = usize::try_from(version.checked_sub(1).ok_or_else(missing)?).map_err(|_| missing())?;
        let index = known.descriptor_indices().nth(nth).ok_or_else(missing)?;
        let entry = self.store().entry(hosted.number, index)?;
        let (index, signed) = (entry.index, entry.content.ok_or_else(missing)?.body);
        match body::parse(&signed) {
            Ok(Body::Descriptor(descriptor)) => Ok(DescriptorAnswer { json: descriptor.json, signed, index }),
            _ => Err(AppError::Internal(format!("entry {index} of `{domain}` is no descriptor"))),
        }
    }

    /// An inclusion proof.
    ///
    /// # Errors
    /// When index or size lie beyond the log.
    pub fn inclusion(&self, domain: &DomainName, index: u64, size: Option<u64>) -> Result<ProofAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let size = self.proven_size(&hosted, size)?;
        if index >= size {
            return Err(AppError::new(Code::OutOfRange, format!("there is no entry {index} among {size}")));
        }
        let proof = self.store().inclusion_proof(hosted.number, index, size)?;
        self.proof_answer(&hosted, size, &proof)
    }

    /// A consistency proof.
    ///
    /// # Errors
    /// When the sizes lie beyond the log or are not in order.
    pub fn consistency(&self, domain: &DomainName, from: u64, to: Option<u64>) -> Result<ProofAnswer, AppError> {
        let hosted = self.hosted(domain)?;
        let to = self.proven_size(&hosted, to)?;
        if from > to {
            let detail = format!("no log grows from {from} to {to}: `from` must be the smaller size");
            return Err(AppError::new(Code::OutOfRange, detail));
        }
        let proof = self.store().consistency_proof(hosted.number, from, to)?;
        self.proof_answer(&hosted, to, &proof)
    }

    fn proven_size(&self, hosted: &Hosted, size: Option<u64>) -> Result<u64, AppError> {
        let proven = self.seal(hosted)?.size;
        match size {
            Some(size) if size > proven => {
                Err(AppError::new(Code::OutOfRange, format!("size {size} was asked for, {proven} are proven here")))
            }
            size => Ok(size.unwrap_or(proven)),
        }
    }

    fn proof_answer(&self, hosted: &Hosted, size: u64, proof: &[Hash]) -> Result<ProofAnswer, AppError> {
        let root = self.store().root_at(hosted.number, size)?.to_string();
        Ok(ProofAnswer { size, root, proof: proof.iter().map(Hash::to_base64).collect() })
    }

    /// One entry with its receipt under the newest checkpoint.
    ///
    /// # Errors
    /// When there is no such entry, its body is gone, or the reader may not read it.
    pub fn entry(&self, reader: Reader, domain: &DomainName, index: u64) -> Result<ProvenEntry, AppError> {
        let hosted = self.hosted(domain)?;
        let size = self.seal(&hosted)?.size;
        let entry = self.readable_entry(reader, &hosted, size, index)?;
        let gone = bodiless(&entry);
        self.prove(&hosted, vec![entry])?.pop().ok_or(gone)
    }

    /// One of the first `size` entries. One that the reader may not have is refused in the same way as one that does
    /// not exist.
    pub(in crate::app) fn readable_entry(
        &self,
        reader: Reader,
        hosted: &Hosted,
        size: u64,
        index: u64,
    ) -> Result<StoredEntry, AppError> {
        let unknown = || AppError::new(Code::UnknownEntry, format!("the log has {size} entries, no entry {index}"));
        if index >= size {
            return Err(unknown());
        }
        let entry = self.store().entry(hosted.number, index)?;
        if self.eyes(reader, hosted, None)?.may_have(&entry)? { Ok(entry) } else { Err(unknown()) }
    }

    /// The proof that an entry stands in the log, with the checkpoint and its cosignatures, as text (C2SP tlog-proof).
    ///
    /// # Errors
    /// As [`App::entry`].
    pub fn tlog_proof(&self, reader: Reader, domain: &DomainName, index: u64) -> Result<String, AppError> {
        Ok(self.entry(reader, domain, index)?.receipt.to_tlog_proof())
    }

    /// Receipts of entries, all under the newest checkpoint.
    pub(crate) fn receipts(
        &self,
        hosted: &Hosted,
        entries: Vec<Unproven>,
    ) -> Result<impl Iterator<Item = Receipt> + use<>, AppError> {
        let seal = self.seal(hosted)?;
        let origin = hosted.origin().ok_or_else(|| AppError::unknown_domain(&hosted.name))?;
        let indices: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
        let proofs = self.store().inclusion_proofs(hosted.number, &indices, seal.size)?;
        let receipt = move |(entry, proof)| {
            let Unproven { index, id, header, salt, leaf } = entry;
            Receipt { origin: origin.clone(), index, id, header, salt, leaf, proof, checkpoint: seal.note.clone() }
        };
        Ok(entries.into_iter().zip(proofs).map(receipt))
    }

    /// Entries with their receipts, all under one checkpoint. Those without a body are left out.
    pub(crate) fn prove(&self, hosted: &Hosted, entries: Vec<StoredEntry>) -> Result<Vec<ProvenEntry>, AppError> {
        let size = self.seal(hosted)?.size;
        let mut unproven = Vec::with_capacity(entries.len());
        let mut contents = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().filter(|entry| entry.index < size) {
            if let Some(body) = entry.content.as_ref().map(|content| content.body.clone()) {
                contents.push((decode(&entry.header)?, body));
                unproven.push(Unproven::stored(entry)?);
            }
        }
        let receipts = self.receipts(hosted, unproven)?;
        let proven = |((header, body), receipt): ((Header, Vec<u8>), Receipt)| ProvenEntry {
            kind: header.kind.as_str().to_owned(),
            admitted_at: header.admitted_at,
            body,
            receipt,
        };
        Ok(contents.into_iter().zip(receipts).map(proven).collect())
    }
}

/// What a receipt says about an entry, except for the proof.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) index: u64,
    pub(crate) id: StatementId,
    pub(crate) header: Vec<u8>,
    pub(crate) salt: Salt,
    pub(crate) leaf: LeafData,
}

impl Unproven {
    /// From an entry that has its body.
    pub(crate) fn stored(entry: StoredEntry) -> Result<Self, AppError> {
        let StoredEntry { index, header, leaf, content, .. } = entry;
        let gone = || AppError::new(Code::Erased, format!("the body of entry {index} is not here"));
        let content = content.ok_or_else(gone)?;
        Ok(Self { index, id: id_of(&content.body)?, header, salt: content.salt, leaf })
    }
}

pub(crate) fn whole(entry: &StoredEntry, content: &Content) -> Entry {
    Entry { header: entry.header.clone(), salt: content.salt, body: content.body.clone() }
}

/// Why an entry has no body here, for readers who may know: it was erased, or its home keeps it back from this node.
pub(crate) fn bodiless(entry: &StoredEntry) -> AppError {
    let index = entry.index;
    match Remnant::from_bytes(&entry.header) {
        Some(_) => AppError::new(Code::Erased, format!("the body of entry {index} is not here")),
        None => AppError::new(Code::UnknownEntry, format!("entry {index} is not shown to this node: ask its home")),
    }
}

/// Decodes a stored header, which was decoded before it was stored.
pub(crate) fn decode(header: &[u8]) -> Result<Header, AppError> {
    Header::decode(header).map_err(|error| AppError::Internal(format!("a stored header is damaged: {error}")))
}

/// The id of a stored body, which was parsed before it was stored.
fn id_of(bytes: &[u8]) -> Result<StatementId, AppError> {
    let parsed = body::parse(bytes);
    parsed.map(|body| body.id()).map_err(|error| AppError::Internal(format!("a stored body is damaged: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::amended;
    use crate::fixture::Party;

    /// More than belong to one answer would be refused by everybody who begins a copy, for ever.
    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_descriptors_as_many_come_at_once_as_belong_to_an_answer() {
        let (maker, app) = Party::opened();
        for version in 2..5 {
            let next = amended(&app, &maker.domain, |next| next.description = format!("version {version}"));
            maker.submit_one(&app, next).await.expect("admitted");
        }
        let versions = |from| {
            let shown = app.descriptors_within(&maker.domain, from, (3, limits::FEED_BYTES)).expect("shown");
            (shown.from, shown.entries.len())
        };
        let shown = [1, 2, 4, 5].map(|from| tokio::task::block_in_place(|| versions(from)));
        assert_eq!(shown, [(1, 3), (2, 3), (4, 1), (5, 0)]);
    }
}
