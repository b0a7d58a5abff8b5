//! Alarms about what a source has lost through a new epoch. What a domain here had adopted of that still stands,
//! including what ended a block, but it is no longer said at the source; so the operator is told, once per source.

use ics_core::limits;
use ics_core::log::entry::{EntryKind, Header};
use ics_core::log::source::Source;
use ics_core::record::Posting;
use ics_core::statement::body;
use ics_core::time::Timestamp;

use crate::app::answer::read::Sight;
use crate::app::copy::feed::decode;
use crate::app::entries::Entries as _;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::StoredEntry;
use crate::words::counted;

/// The kind of alarm about something that stands here but no longer at the source.
const KIND: &str = "lost-at-source";
/// How many milliseconds later, by its own clock, a home may have admitted something that another one had already taken
/// over.
const SLACK_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// How many entries the node's log names.
const NAMED: usize = 100;

/// An entry here, and its former index in the log of the source.
struct Lost {
    index: u64,
    stood: u64,
}

impl App {
    /// Raises an alarm in a domain about what it has taken over from a source copied here that no longer has it. This
    /// is searched once for each version of the source's descriptor, since a new epoch begins with a new one.
    pub(super) fn look_for_lost(&self, target: &Hosted, source: &Hosted) -> Result<(), AppError> {
        let Some(version) = source.domain().map(|domain| domain.descriptor().version) else { return Ok(()) };
        if target.searched(&source.name) == Some(version) {
            return Ok(());
        }
        let Ok(there) = self.sight(source) else { return Ok(()) };
        if there.domain.descriptor().version != version {
            return Ok(());
        }
        let cited = there.domain.descriptors().filter_map(|it| it.last_head.as_ref());
        if let Some(left) = cited.map(|head| head.size).min() {
            let lost = self.lost(&self.sight(target)?, &there, left)?;
            self.tell_of_lost(target, source, &lost)?;
        }
        target.set_searched(&source.name, version);
        Ok(())
    }

    fn tell_of_lost(&self, target: &Hosted, source: &Hosted, lost: &[Lost]) -> Result<(), AppError> {
        let (domain, name) = (&target.name, &source.name);
        let Some(first) = lost.iter().map(|lost| lost.stood).min() else {
            return Ok(self.store().end_alarms(target.number, KIND, vec![name.to_string()])?);
        };
        let text = format!(
            "{name}: a new epoch of its log lacks what was said there from entry {first} on. {} of that had been \
             taken over by {domain} and goes on counting here, even what ended a block: the node's log names them. \
             Compare the things in both domains (`ics history`), and say here what is to hold (`ics status`)",
            counted(lost.len(), "statement")
        );
        let now = self.clock().now();
        if self.store().alarm_about(target.number, now, (KIND, &name.to_string()), &text)? {
            let entries: Vec<u64> = lost.iter().take(NAMED).map(|lost| lost.index).collect();
            tracing::warn!(%domain, source = %name, ?entries, "what was taken over stands no longer at the source");
        }
        Ok(())
    }

    /// The statements in a log that were taken over from another one after its first `left` entries, and no longer
    /// stand there. Searched from the end: what was taken over before the last of those entries was admitted does not
    /// come after it.
    fn lost(&self, here: &Sight<'_>, there: &Sight<'_>, left: u64) -> Result<Vec<Lost>, AppError> {
        let last = self.store().entry(there.hosted.number, left.saturating_sub(1))?;
        // Of an entry that is kept back only the leaf is here.
        let since = Header::decode(&last.header).map_or(Timestamp::default(), |header| header.admitted_at);
        let (mut lost, mut end) = (Vec::new(), here.seal.size);
        while end > 0 {
            let start = end.saturating_sub(limits::FEED_ENTRIES as u64);
            let indices: Vec<u64> = (start..end).collect();
            let page = self.store().entries_at(here.hosted.number, &indices)?;
            for entry in page.iter().filter(|entry| entry.effective) {
                if let Some(source) = said_in(entry, there)?.filter(|source| source.index >= left)
                    && !self.stands_there(there, entry, &source)?
                {
                    lost.push(Lost { index: entry.index, stood: source.index });
                }
            }
            let first = page.first().and_then(|entry| Header::decode(&entry.header).ok());
            if first.is_some_and(|first| first.admitted_at.plus_millis(SLACK_MILLIS) < since) {
                break;
            }
            end = start;
        }
        Ok(lost)
    }

    /// Whether an entry stands in the log of its source, at its former place or, if it was said again, elsewhere.
    fn stands_there(&self, there: &Sight<'_>, entry: &StoredEntry, source: &Source) -> Result<bool, AppError> {
        let Some(content) = &entry.content else { return Ok(true) };
        if source.index < there.seal.size {
            let stands = self.store().entry(there.hosted.number, source.index)?;
            if stands.leaf == source.leaf_data(&content.body) {
                return Ok(true);
            }
        }
        let Ok(said) = body::parse(&content.body) else { return Ok(true) };
        Ok(!there.entries.find(&[Posting::Statement(said.id())], 1)?.is_empty())
    }
}

/// The source of a statement, if that is this log.
fn said_in(entry: &StoredEntry, log: &Sight<'_>) -> Result<Option<Source>, AppError> {
    if entry.content.is_none() {
        return Ok(None);
    }
    let Header { kind, source, .. } = decode(&entry.header)?;
    let is_said = matches!(kind, EntryKind::Statement | EntryKind::Document);
    Ok(source.filter(|source| is_said && log.domain.is(&source.origin)))
}
