//! Look-ups: the entries that have all of several keys, in log order.

use core::ops::Range;
use std::collections::BTreeSet;

use rusqlite::Connection;

use super::file::{self, Chunk};
use super::tail::Tail;
use crate::store::error::StoreError;
use crate::store::types::{DomainNumber, Key, Position};

/// How many postings are read from the file at once, plus up to a block.
const CHUNK: usize = 128;

/// After this many steps a search for the intersection of large sets returns what it has.
const STEPS: usize = 20_000;

/// Indices of entries that have all the keys (or collide with them), in log order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The indices.
    pub indices: Vec<u64>,
    /// Where to continue, if the range may hold more.
    pub next: Option<u64>,
}

/// A search in one domain: what memory has for each key, and a connection to the file.
pub(crate) struct Search<'c> {
    streams: Vec<Stream<'c>>,
    start: Position,
    /// Where the snapshot of the tail was cut off.
    cut: Option<Position>,
}

impl<'c> Search<'c> {
    /// A search for entries in `range` that have all `keys`.
    ///
    /// Memory is read now, before the file: what is merged in between is then seen twice, which does no harm, and never
    /// missed.
    pub(crate) fn new(
        connection: &'c Connection,
        domain: DomainNumber,
        keys: &[Key],
        range: Range<u64>,
        tail: &Tail,
    ) -> Self {
        let (start, end) = (Position::new(domain, range.start), Position::new(domain, range.end));
        let snapshots: Vec<_> = keys.iter().map(|key| (*key, tail.of(*key, start, end))).collect();
        let cut = snapshots.iter().filter_map(|(_, (_, cut))| *cut).min();
        let end = cut.unwrap_or(end);
        let stream = |(key, (in_tail, _))| {
            let forgotten = tail.forgotten(key, start, end);
            Stream { connection, key, end, tail: in_tail, forgotten, chunk: Chunk::default() }
        };
        Self { streams: snapshots.into_iter().map(stream).collect(), start, cut }
    }

    /// The first `limit` of them. Each stream in turn leaps to its first posting at or after the latest of the others;
    /// where all of them meet is a hit.
    pub(crate) fn page(mut self, limit: usize) -> Result<Page, StoreError> {
        let mut indices = Vec::new();
        let mut target = self.start;
        for _ in 0..STEPS {
            if indices.len() >= limit {
                break;
            }
            let Some(latest) = self.leap(target)? else {
                return Ok(Page { indices, next: self.cut.map(Position::index) });
            };
            if latest == target {
                indices.push(target.index());
                target = Position(target.0 + 1);
            } else {
                target = latest;
            }
        }
        Ok(Page { indices, next: Some(target.index()) })
    }

    /// The latest of the streams' next postings from `target` on: `target` itself if all have it, `None` if one has no
    /// more.
    fn leap(&mut self, target: Position) -> Result<Option<Position>, StoreError> {
        let mut latest = None;
        for stream in &mut self.streams {
            let from = latest.unwrap_or(target);
            let Some(next) = stream.seek(from)? else { return Ok(None) };
            latest = Some(next);
        }
        Ok(latest)
    }
}

/// The postings of one key, from memory and from the file.
struct Stream<'c> {
    connection: &'c Connection,
    key: Key,
    end: Position,
    tail: Vec<Position>,
    /// What is to be removed from the file, and does not count any more.
    forgotten: BTreeSet<Position>,
    /// What was last read from the file.
    chunk: Chunk,
}

impl Stream<'_> {
    /// The first posting at or after `target`; targets never decrease.
    fn seek(&mut self, mut target: Position) -> Result<Option<Position>, StoreError> {
        loop {
            let in_tail = first_from(&self.tail, target).filter(|position| *position < self.end);
            let in_file = self.seek_in_file(target)?;
            match in_tail.into_iter().chain(in_file).min() {
                Some(first) if self.forgotten.contains(&first) => target = Position(first.0 + 1),
                found => return Ok(found),
            }
        }
    }

    fn seek_in_file(&mut self, target: Position) -> Result<Option<Position>, StoreError> {
        let found = first_from(&self.chunk.positions, target);
        if found.is_some() || self.chunk.is_last {
            return Ok(found);
        }
        self.chunk = file::read(self.connection, self.key, target, self.end, CHUNK)?;
        Ok(self.chunk.positions.first().copied())
    }
}

fn first_from(sorted: &[Position], target: Position) -> Option<Position> {
    sorted.get(sorted.partition_point(|position| *position < target)).copied()
}
