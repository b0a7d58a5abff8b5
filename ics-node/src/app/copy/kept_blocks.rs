//! Lists the blocks that a copy knows, for an operator who is about to empty it (`ics domain recopy`).

use std::path::Path;

use ics_core::descriptor::Descriptor;
use ics_core::identity::Kind;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{DomainName, Effect, StatusName};
use serde::Serialize;

use crate::app::AppError;
use crate::store::{self, StoredEntry};

/// How many of them are listed.
const NAMED: usize = 100;

/// The blocks in a copy.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeptBlocks {
    /// The number of blocking statements, including those that were taken back or lifted since.
    pub number: u64,
    /// The last of them, the newest at the end.
    pub last: Vec<KeptBlock>,
}

/// A statement that blocks, or what an erasure restates of one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct KeptBlock {
    /// The index of its entry in the log.
    pub index: u64,
    /// When the home admitted it.
    pub at: Timestamp,
    /// The thing or the group.
    pub id: String,
    /// The status that it gives.
    pub status: StatusName,
}

/// The blocks in the copy of a domain, from a store whose node need not run. Whether each still stands is not
/// determined: that would take the rules of every entry, and somebody who is about to lose the copy should rather see
/// too much.
///
/// # Errors
/// When the store cannot be read.
pub fn kept_blocks(data: &Path, domain: &DomainName) -> Result<KeptBlocks, AppError> {
    let mut now = None;
    store::scan_copy(data, domain, |entry| now = descriptor_in(&entry).or(now.take()))?;
    let (mut then, mut blocks) = (None, KeptBlocks::default());
    store::scan_copy(data, domain, |entry| {
        then = descriptor_in(&entry).or(then.take());
        // A status that has been dropped since blocks as it did; one that was changed has its present effect.
        let effect = |status: &StatusName, kind: Kind| {
            [&now, &then].into_iter().flatten().find_map(|it: &Descriptor| it.effect(status, kind))
        };
        let Some(block) = block_in(&entry, effect) else { return };
        blocks.number += 1;
        if blocks.last.len() == NAMED {
            blocks.last.remove(0);
        }
        blocks.last.push(block);
    })?;
    Ok(blocks)
}

/// The body of an entry, if the entry has effect.
fn body_in(entry: &StoredEntry) -> Option<Body> {
    let content = entry.content.as_ref().filter(|_| entry.effective)?;
    body::parse(&content.body).ok()
}

fn descriptor_in(entry: &StoredEntry) -> Option<Descriptor> {
    let header = Header::decode(&entry.header).ok()?;
    if header.kind != EntryKind::Descriptor {
        return None;
    }
    match body_in(entry)? {
        Body::Descriptor(signed) => Descriptor::parse(&signed.json).ok(),
        _ => None,
    }
}

fn block_in(entry: &StoredEntry, effect: impl Fn(&StatusName, Kind) -> Option<Effect>) -> Option<KeptBlock> {
    let (id, status) = match body_in(entry)? {
        Body::Statement(statement) => {
            let status = statement.claims().status.clone()?;
            effect(&status, statement.subject().kind()).filter(|effect| effect.blocks())?;
            (statement.identity().to_string(), status)
        }
        Body::Erasure(signed) => {
            let erasure = signed.erasure;
            erasure.effect.filter(|effect| effect.blocks())?;
            (erasure.identity?.id.to_string(), erasure.status?)
        }
        _ => return None,
    };
    let at = Header::decode(&entry.header).ok()?.admitted_at;
    Some(KeptBlock { index: entry.index, at, id, status })
}
