//! Fills memory before anybody asks, so that a gateway's first question about a thing is answered as fast as the next
//! one.
//!
//! This happens in the background after a start and after news, newest identities first, as long as there is room. News
//! of a domain that grows fast wait until it grows slowly: whoever brings them keeps the node busy, and what one has
//! said may be outdated by the next.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ics_core::record::Logged;
use tokio::sync::watch;

use super::memory::Era;
use super::read::Sight;
use crate::app::entries::restore;
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::background::{self, breathe};
use crate::store::{DomainNumber, StoredEntry};

/// The pause once everything is ready, or as much as time and room allow.
const PAUSE: Duration = Duration::from_secs(1);

/// How many entries are read at once, and how many bytes at most.
const PAGE: u64 = 256;
const PAGE_BYTES: usize = 1 << 20;

/// The range of a domain's entries whose subjects have been made ready, within one era.
struct Done {
    era: Arc<Era>,
    from: u64,
    upto: u64,
    /// The size of the log at the last look, and whether it had grown slowly until then.
    size: u64,
    is_slow: bool,
}

impl Done {
    fn none(era: &Arc<Era>, size: u64) -> Self {
        Self { era: Arc::clone(era), from: size, upto: size, size, is_slow: true }
    }

    /// Looks at how far the log has grown since the last look, a pause ago or more.
    fn look(&mut self, size: u64) {
        (self.size, self.is_slow) = (size, size <= self.size + PAGE);
    }

    /// The next page: news first if there were few at the last look, then older entries. What has come since the last
    /// look waits for the next one, since it may be the beginning of much.
    fn next(&self) -> Option<Range<u64>> {
        let page = if self.upto < self.size && self.is_slow {
            self.upto..self.size.min(self.upto + PAGE)
        } else {
            self.from.saturating_sub(PAGE)..self.from
        };
        Some(page).filter(|page| !page.is_empty())
    }

    fn add(&mut self, page: &Range<u64>) {
        (self.from, self.upto) = (self.from.min(page.start), self.upto.max(page.end));
    }
}

/// How far each domain has been made ready.
type Progress = BTreeMap<DomainNumber, Done>;

impl App {
    /// Keeps memory filled until `stop` becomes true.
    pub async fn stay_ready(self, mut stop: watch::Receiver<bool>) {
        let mut progress = Progress::new();
        loop {
            let (app, told) = (self.clone(), stop.clone());
            let going_on = background::spawn(move || {
                app.ready_all(&mut progress, &|| *told.borrow());
                progress
            });
            // After a panic, progress starts again.
            progress = going_on.await.unwrap_or_default();
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Fills memory once, as far as there is room, and returns how many entries' subjects were made ready. Blocks: a
    /// million identities take a minute or two.
    pub fn make_ready(&self) -> u64 {
        let mut progress = Progress::new();
        self.ready_all(&mut progress, &|| false);
        progress.values().map(|done| done.upto - done.from).sum()
    }

    fn ready_all(&self, progress: &mut Progress, stop: &dyn Fn() -> bool) {
        for hosted in self.all_hosted() {
            if let Err(error) = self.ready_domain(&hosted, progress, stop) {
                tracing::warn!(domain = %hosted.name, %error, "memory is not made ready");
            }
        }
    }

    /// Fills memory with what a domain says about all things, as far as there is room.
    fn ready_domain(&self, hosted: &Hosted, progress: &mut Progress, stop: &dyn Fn() -> bool) -> Result<(), AppError> {
        if let (Some(done), Some(size)) = (progress.get_mut(&hosted.number), self.reaches(hosted)?) {
            done.look(size);
        }
        while !stop() && self.memory().has_room() {
            let Some(size) = self.reaches(hosted)? else { return Ok(()) };
            let era = self.memory().era(hosted.number);
            let done = progress.entry(hosted.number).or_insert_with(|| Done::none(&era, size));
            if done.era.is_over() {
                *done = Done::none(&era, size);
            }
            let Some(page) = done.next() else { return Ok(()) };
            if !self.ready_page(hosted, page.clone(), &era)? {
                return Ok(());
            }
            done.add(&page);
            if self.reaches(hosted)?.is_none_or(|now| now > size + PAGE) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn reaches(&self, hosted: &Hosted) -> Result<Option<u64>, AppError> {
        Ok(self.store().reach(hosted.number)?.map(|reach| reach.size))
    }

    /// Makes ready the subjects of a page of entries, as far as they fit; false if the log does not reach that far.
    fn ready_page(&self, hosted: &Hosted, page: Range<u64>, era: &Era) -> Result<bool, AppError> {
        let mut sight = self.sight(hosted)?;
        let mut from = page.start;
        while from < page.end {
            let limit = usize::try_from(page.end - from).unwrap_or(usize::MAX);
            let entries = self.store().entries(hosted.number, from, limit, PAGE_BYTES)?;
            let Some(last) = entries.last() else { return Ok(false) };
            from = last.index + 1;
            self.ready_entries(&mut sight, &entries, era)?;
        }
        Ok(true)
    }

    /// Makes ready the subjects of entries that were read by this sight, which is a later one after this if there were
    /// news.
    fn ready_entries<'a>(&'a self, sight: &mut Sight<'a>, entries: &[StoredEntry], era: &Era) -> Result<(), AppError> {
        let mut is_current = true;
        for entry in entries {
            breathe();
            if !era.reaches(sight.seal.size) {
                // What is read by a sight from before the last news is not kept.
                *sight = self.sight(sight.hosted)?;
                is_current = false;
            }
            if let Some(statement) = restore(&sight.domain, entry)? {
                // By a later sight all is read again: an entry from before may have been erased since.
                let at_hand = if is_current { core::slice::from_ref(&statement) } else { &[] };
                self.ready_subject(sight, &statement, at_hand)?;
            }
        }
        Ok(())
    }

    /// Makes ready what a statement is about, and the names that it gives.
    fn ready_subject(&self, sight: &Sight<'_>, statement: &Logged, at_hand: &[Logged]) -> Result<(), AppError> {
        self.kept_besides(sight, &statement.subject_id(), at_hand)?;
        statement.names().iter().try_for_each(|name| self.know_name(sight, name, at_hand))
    }
}

#[cfg(test)]
mod tests {
    use ics_core::identity::IdentityId;

    use super::*;
    use crate::fixture::{Party, device};

    #[test]
    fn news_of_a_domain_that_grows_fast_wait_until_it_grows_slowly() {
        let mut done = Done::none(&Arc::new(Era::default()), 1_000);
        done.add(&(744..1_000));
        done.look(1_010);
        assert_eq!(done.next(), Some(1_000..1_010));
        done.add(&(1_000..1_010));
        assert_eq!(done.next(), Some(488..744), "what has come since waits for the next look");
        done.look(2_000);
        assert_eq!(done.next(), Some(488..744), "older entries do not wait");
        done.look(2_001);
        assert_eq!(done.next(), Some(1_010..1_266));
    }

    /// Memory must not bring back what is gone from the log.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_erased_while_memory_is_made_ready_is_not_kept() {
        let (maker, app) = Party::opened();
        let introduced = maker.publish(&app, &device(1), "Pump", "L1").await;
        let hosted = app.hosted(&maker.domain).expect("here");
        let era = app.memory().era(hosted.number);
        let mut sight = app.sight(&hosted).expect("readable");
        let entries = app.store().entries(hosted.number, 0, 100, PAGE_BYTES).expect("read");
        assert!(entries.iter().any(|entry| entry.index == introduced.index && entry.content.is_some()));

        maker.erase(&app, introduced.index).await;
        app.ready_entries(&mut sight, &entries, &era).expect("is made ready");
        let (id, now) = (IdentityId::Key(device(1).fingerprint()), app.clock().now());
        let kept = app.memory().recall(hosted.number, &id, now).expect("is kept");
        let record = kept.record().expect("readable").expect("something was said");
        assert_eq!((record.names, record.title.contains("Pump")), (Vec::new(), false));
    }
}
