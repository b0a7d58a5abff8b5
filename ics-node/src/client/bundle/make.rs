//! Makes a bundle of what a node shows to one of its peers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;

use ics_core::limits;
use ics_core::log::checkpoint::Checkpoint;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::bundle::{Bundle, BundleWriter, Cursor, Earlier, Head, Party};
use ics_sync::wire::{Again, Base64, Page, Refusal, Refusals, Rights, Submission};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::CarryError;
use crate::api::problem::Code;
use crate::api::{DomainInfo, Position, SubmissionResult};
use crate::client::node::{Node, NodeError};
use crate::config::PeerConfig;
use crate::tls::PeerKey;

/// The contents that are wanted in a bundle.
#[derive(Debug)]
pub struct Order {
    /// The peer that it is for.
    pub to: PeerConfig,
    /// The peer's key.
    pub key: PeerKey,
    /// The domains; if none are named, all that the node holds, except those that it copies from that peer.
    pub domains: Vec<DomainName>,
    /// How far the peer's copies have got; those that are not listed begin at entry 0.
    pub since: BTreeMap<DomainName, Cursor>,
    /// Bundles that the peer has sent; the reasons for what this node refused of them go back.
    pub answers: Vec<Bundle<File>>,
    /// The current time.
    pub at: Timestamp,
}

/// What a bundle contains of one domain.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The domain.
    pub domain: DomainName,
    /// The index of the first entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The log size to which it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Statements for its home.
    pub submitted: usize,
}

/// Makes a bundle. `moved` is told how many entries are written.
///
/// # Errors
/// When the node does not give what is wanted, or the bundle cannot be written.
pub async fn make(
    node: &Node,
    out: impl Write,
    order: &mut Order,
    moved: impl Fn(u64),
) -> Result<Vec<Made>, CarryError> {
    let own = node.info().await?;
    let head = Head {
        from: Party { name: own.name, key: own.key },
        to: Party { name: order.to.name.to_string(), key: order.key.to_string() },
        made_at: order.at,
    };
    let mut making = Making {
        node,
        shown: node.clone().in_place_of(order.to.name.clone()),
        writer: BundleWriter::begin(out, &head)?,
        written: 0,
        moved,
    };
    let mut made = Vec::new();
    // Including those of which nothing has arrived yet: such a copy begins with the peer's next bundle.
    for origin in &order.to.mirror {
        made.push(making.return_of(&origin.domain).await?);
    }
    for info in node.domains().await? {
        let domain = &info.info.domain;
        let is_wanted = order.domains.is_empty() || order.domains.contains(domain);
        if is_wanted && order.to.mirror.iter().all(|origin| origin.domain != *domain) {
            let copy = making.copy_of(&info, order.since.get(domain)).await?;
            if copy.is_some() && info.position == Position::Home {
                for bundle in &mut order.answers {
                    making.refusals(&info, bundle).await?;
                }
            }
            made.extend(copy);
        }
    }
    making.writer.finish()?;
    Ok(made)
}

struct Making<'n, W, M> {
    /// The node as its operator sees it.
    node: &'n Node,
    /// The node as the reader sees it.
    shown: Node,
    writer: BundleWriter<W>,
    /// Entries written.
    written: u64,
    moved: M,
}

impl<W: Write, M: Fn(u64)> Making<'_, W, M> {
    /// Writes how far the copy of a domain from the peer has got, and the statements submitted for it.
    async fn return_of(&mut self, domain: &DomainName) -> Result<Made, CarryError> {
        let cursor = self.node.cursor(domain).await?;
        self.writer.domain(&cursor.origin)?;
        self.writer.cursor(&cursor)?;
        let (mut after, mut submitted) = (0, 0);
        loop {
            let batch = self.node.outbox_batch(domain, after).await?;
            if batch.statements.is_empty() {
                break;
            }
            submitted += batch.statements.len();
            after = batch.last;
            self.writer.submission(&Submission { statements: batch.statements })?;
        }
        Ok(Made { domain: domain.clone(), from: None, size: None, submitted })
    }

    /// Writes a domain as the reader may see it, from the reader's cursor on.
    async fn copy_of(&mut self, info: &DomainInfo, since: Option<&Cursor>) -> Result<Option<Made>, CarryError> {
        let domain = &info.info.domain;
        let note = match self.node.checkpoint(domain).await {
            Ok(note) => note,
            // Nothing of it has arrived here yet.
            Err(NodeError::Problem(problem)) if Code::named(problem.code()) == Some(Code::Behind) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = Checkpoint::claimed(&note).map_err(|_| CarryError::Checkpoint(domain.to_string()))?.size;
        let since = since.filter(|cursor| cursor.origin == info.info.origin && cursor.size <= size);
        let mut from = since.map_or(0, |cursor| cursor.size);
        let mut first = self.shown.page(domain, from, size).await?;
        // A reader whose rights have changed needs the whole log, to look at everything again. So does one whose news
        // rest on more entries than can be listed at once.
        let looks_again = since.is_some_and(|cursor| cursor.rights != rights(&first));
        if from > 0 && (looks_again || self.rest_on_too_many(domain, &first).await?) {
            from = 0;
            first = self.shown.page(domain, from, size).await?;
        }
        self.writer.domain(&info.info.origin)?;
        self.descriptors(domain).await?;
        self.writer.checkpoint(&note)?;
        let earlier = self.pages(domain, first).await?;
        if from > 0 {
            self.earlier(domain, size, earlier.into_iter().filter(|index| *index < from).collect()).await?;
        }
        Ok(Some(Made { domain: domain.clone(), from: Some(from), size: Some(size), submitted: 0 }))
    }

    /// Writes which statements from the reader's bundle were refused by a domain of this node. They are submitted again
    /// to find that out: what is in the log gets its receipt once more, which need not travel.
    async fn refusals(&mut self, info: &DomainInfo, bundle: &mut Bundle<File>) -> Result<(), CarryError> {
        let section = bundle.sections().iter().position(|section| section.origin == info.info.origin);
        let Some(section) = section else { return Ok(()) };
        let mut number = 0;
        while let Some(submission) = bundle.submission(section, number)? {
            number += 1;
            let bodies: Vec<Vec<u8>> = submission.statements.into_iter().map(|body| body.0).collect();
            let hashes: Vec<[u8; 32]> = bodies.iter().map(|body| Sha256::digest(body).into()).collect();
            let results = self.node.submit(&info.info.domain, bodies).await?.results;
            let mut refused = Vec::new();
            for (hash, result) in hashes.into_iter().zip(results) {
                if let SubmissionResult::Problem(problem) = result
                    && problem.is_final()
                {
                    let problem = serde_json::to_value(problem).map_err(std::io::Error::from)?;
                    refused.push(Refusal { body: Base64(hash), problem });
                }
            }
            if !refused.is_empty() {
                self.writer.refusals(&Refusals { from: String::new(), refused })?;
            }
        }
        Ok(())
    }

    async fn descriptors(&mut self, domain: &DomainName) -> Result<(), CarryError> {
        let mut version = 1;
        loop {
            let descriptors = self.node.descriptors(domain, version).await?;
            if descriptors.entries.is_empty() {
                return Ok(());
            }
            version += descriptors.entries.len() as u64;
            self.writer.descriptors(&descriptors)?;
        }
    }

    /// Whether the pages from the first on refer to more earlier entries than a bundle of news may hold.
    async fn rest_on_too_many(&self, domain: &DomainName, first: &Page) -> Result<bool, CarryError> {
        let (from, size) = (first.from, first.size);
        let (mut earlier, mut page) = (BTreeSet::new(), Cow::Borrowed(first));
        while page.sight.is_some() {
            earlier.extend(named(&page).filter(|index| *index < from));
            let end = page.from + page.entries.len() as u64;
            if are_too_many(&earlier) || page.entries.is_empty() || end == size {
                break;
            }
            page = Cow::Owned(self.shown.page(domain, end, size).await?);
        }
        Ok(are_too_many(&earlier))
    }

    /// Writes all pages from the first on; returns the earlier entries to which they refer.
    async fn pages(&mut self, domain: &DomainName, mut page: Page) -> Result<BTreeSet<u64>, CarryError> {
        let (size, rights_at_first) = (page.size, rights(&page));
        let mut earlier = BTreeSet::new();
        loop {
            if rights(&page) != rights_at_first {
                return Err(CarryError::Changed(domain.to_string()));
            }
            page.checkpoint = None;
            let end = page.from + page.entries.len() as u64;
            let is_last = page.entries.is_empty();
            earlier.extend(named(&page));
            // A page without entries states what the reader may read; a reader who may read all needs none.
            if !is_last || page.sight.is_some() {
                self.writer.page(&page)?;
            }
            self.written += page.entries.len() as u64;
            (self.moved)(self.written);
            if is_last || (end == size && page.sight.is_none()) {
                return Ok(earlier);
            }
            page = self.shown.page(domain, end, size).await?;
        }
    }

    /// Writes the earlier entries on which the pages up to a size rest, as the reader may see them, and those on which
    /// these rest.
    async fn earlier(&mut self, domain: &DomainName, size: u64, wanted: BTreeSet<u64>) -> Result<(), CarryError> {
        let mut rest: Vec<u64> = wanted.into_iter().collect();
        while !rest.is_empty() {
            let hidden: Vec<u64> = rest.iter().take(limits::FEED_ENTRIES).copied().collect();
            let again = Again { question: 0, hidden, held: Vec::new(), until: Some(size) };
            let shown = self.shown.again(domain, &again).await?;
            let count = shown.entries.len().min(again.hidden.len());
            if count == 0 {
                break;
            }
            rest.drain(..count);
            let indices = again.hidden.into_iter().take(count).collect();
            self.writer.earlier(&Earlier { indices, entries: shown.entries })?;
        }
        Ok(())
    }
}

/// The earlier entries on which a page rests.
fn named(page: &Page) -> impl Iterator<Item = u64> {
    page.sight.iter().flat_map(|sight| sight.earlier.iter().copied())
}

/// Whether these are more than the reader of a bundle of news can be told, since they are all listed at once.
fn are_too_many(earlier: &BTreeSet<u64>) -> bool {
    earlier.len() >= limits::SIGHT_INDICES
}

fn rights(page: &Page) -> Option<Rights> {
    page.sight.as_ref().map(|sight| sight.rights.clone())
}

#[cfg(test)]
mod tests {
    use ics_sync::wire::Sight;

    use super::*;

    #[test]
    fn pages_that_are_each_small_enough_may_rest_on_too_much_together() {
        let page = |earlier: core::ops::Range<u64>| Page {
            from: 1 << 20,
            entries: Vec::new(),
            size: 1 << 20,
            checkpoint: None,
            proof: Vec::new(),
            sight: Some(Sight { rights: Base64([1; 16]), earlier: earlier.collect(), ended: Vec::new() }),
        };
        let most = limits::SIGHT_INDICES as u64 - 1;
        let mut earlier: BTreeSet<u64> = named(&page(0..most)).collect();
        earlier.extend(named(&page(0..most)));
        assert!(!are_too_many(&earlier), "each counts once");
        earlier.extend(named(&page(most..most + 1)));
        assert!(are_too_many(&earlier));
    }
}
