//! Copies of what was erased: a domain that has taken over a statement continues to hold it whole until its own owners
//! erase it. Nobody else can, so owners whose home is here are told: about what they hold themselves, and about what
//! copies here show that others hold. The alarm ends once the statement is erased there too. Erasures are seen in a
//! copy of the log or, for a thing followed without a copy, in what its home attests about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ics_core::limits;
use ics_core::log::entry::EntryKind;
use ics_core::record::{Logged, Posting};
use ics_core::statement::StatementId;
use ics_core::statement::body::{self, Body};
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;

use crate::api::ProvenEntry;
use crate::app::answer::read::Sight;
use crate::app::entries::{find_logged, kind_key};
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{DomainNumber, Part};

/// The kind of alarm that says that a copy of an erased statement still stands.
const KIND: &str = "copy-of-erased";
/// How often to look for new erasures.
const EVERY: Duration = Duration::from_secs(2);
/// After this many looks, everything ever erased is looked for again: a copy that was behind may have caught up.
const ANEW: u32 = 300;

/// How many entries of each log have been looked through.
type Looked = BTreeMap<DomainNumber, u64>;

/// A statement that was erased.
struct Erased {
    statement: StatementId,
    /// The index at which it stood.
    index: Option<u64>,
}

impl Erased {
    /// What an entry erases, if it is an erasure.
    fn by(body: &[u8]) -> Option<Self> {
        match body::parse(body) {
            Ok(Body::Erasure(signed)) => {
                Some(Self { statement: signed.erasure.statement, index: signed.erasure.index })
            }
            _ => None,
        }
    }
}

impl App {
    /// Looks for copies of what was erased, until `stop` becomes true.
    pub async fn watch_copies_of_erased(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        let (mut looked, mut looks) = (Looked::default(), 0);
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            if looks == ANEW {
                (looked, looks) = (Looked::default(), 0);
            }
            looks += 1;
            let from = looked.clone();
            match self.blocking(move |app| app.look_for_copies_of_erased(from)).await {
                Ok(upto) => looked = upto,
                Err(error) => tracing::debug!(%error, "copies of what was erased were not looked for"),
            }
        }
    }

    /// Looks in every domain for what was erased in another one since the last look.
    fn look_for_copies_of_erased(&self, mut looked: Looked) -> Result<Looked, AppError> {
        let hosted = self.all_hosted();
        // One that cannot be read is looked at next time.
        let sights = self.sights(&hosted).0;
        for origin in &sights {
            let number = origin.hosted.number;
            let from = looked.get(&number).copied().unwrap_or_default();
            let erased = self.erased_since(origin, from)?;
            for erased in &erased {
                for copy in sights.iter().filter(|copy| copy.hosted.number != number) {
                    self.tell_of_copy(origin, copy, erased)?;
                }
            }
            self.end_alarms_of_copies(&hosted, &origin.hosted.name, &erased)?;
            looked.insert(number, origin.seal.size);
        }
        Ok(looked)
    }

    fn erased_since(&self, sight: &Sight<'_>, from: u64) -> Result<Vec<Erased>, AppError> {
        let (number, range) = (sight.hosted.number, from..sight.seal.size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let indices = self.store().all_positions(number, &[kind_key(EntryKind::Erasure)], range, usize::MAX)?;
        let mut all = Vec::new();
        for some in indices.chunks(limits::FEED_ENTRIES) {
            let entries = self.store().entries_at(number, some)?;
            let bodies = entries.iter().filter(|entry| entry.effective).filter_map(|entry| entry.content.as_ref());
            all.extend(bodies.filter_map(|content| Erased::by(&content.body)));
        }
        Ok(all)
    }

    /// Raises an alarm, once, about a copy that still stands although the statement was erased elsewhere, if either
    /// domain has its home here.
    fn tell_of_copy(&self, origin: &Sight<'_>, copy: &Sight<'_>, erased: &Erased) -> Result<(), AppError> {
        let told = [origin.hosted, copy.hosted].into_iter().find(|it| it.part == Part::Home);
        told.map_or(Ok(()), |told| self.alarm_of_copy(told, &origin.hosted.name, copy, erased))
    }

    /// As `tell_of_copy`, for what a domain here has taken over from one that is not copied here, according to what
    /// that one's home attests about a thing.
    pub(in crate::app) fn tell_of_copies_of(
        &self,
        target: &Hosted,
        source: &DomainName,
        attested: &[ProvenEntry],
    ) -> Result<(), AppError> {
        let erasures = attested.iter().filter(|entry| entry.kind == EntryKind::Erasure.as_str());
        let erased: Vec<Erased> = erasures.filter_map(|entry| Erased::by(&entry.body)).collect();
        if erased.is_empty() {
            return Ok(());
        }
        let copy = self.sight(target)?;
        erased.iter().try_for_each(|erased| self.alarm_of_copy(target, source, &copy, erased))
    }

    /// Raises the alarm in a domain. Everybody can read alarms, so it names no thing.
    fn alarm_of_copy(
        &self,
        told: &Hosted,
        origin: &DomainName,
        copy: &Sight<'_>,
        erased: &Erased,
    ) -> Result<(), AppError> {
        let Some(whole) = whole_copy(copy, erased)? else { return Ok(()) };
        // A domain that took it over may erase it for itself alone: that does not concern those who made the statement.
        if told.name != *origin && whole.claims().domain != *origin {
            return Ok(());
        }
        let text = self.of_copy(origin, copy.hosted, erased, whole.index());
        let about = format!("{origin} {}", at(&copy.hosted.name, erased));
        if self.store().alarm_about(told.number, self.clock().now(), (KIND, &about), &text)? {
            tracing::warn!(domain = %told.name, copy = %copy.hosted.name, index = whole.index(), "{text}");
        }
        Ok(())
    }

    /// Ends the alarms about statements that were erased in a copy too, in whatever domain here they were raised.
    fn end_alarms_of_copies(
        &self,
        hosted: &[Arc<Hosted>],
        copy: &DomainName,
        erased: &[Erased],
    ) -> Result<(), AppError> {
        if erased.is_empty() {
            return Ok(());
        }
        let gone: BTreeSet<String> = erased.iter().map(|erased| at(copy, erased)).collect();
        let is_over = |about: &String| about.split_once(' ').is_some_and(|(_, copied)| gone.contains(copied));
        for told in hosted.iter().filter(|hosted| hosted.part == Part::Home) {
            let over: Vec<String> = self.store().alarmed(told.number, KIND)?.into_iter().filter(is_over).collect();
            if !over.is_empty() {
                self.store().end_alarms(told.number, KIND, over)?;
            }
        }
        Ok(())
    }

    fn of_copy(&self, origin: &DomainName, copy: &Hosted, erased: &Erased, index: u64) -> String {
        let stood = erased.index.map_or_else(|| "an entry".to_owned(), |index| format!("entry {index}"));
        let peers = self.peers_table().copied_from(&copy.name);
        let from = if peers.is_empty() { String::new() } else { format!(", copied from {}", peers.join(", ")) };
        let copy = &copy.name;
        format!(
            "{stood} of {origin} was erased, but is still there in full as entry {index} of {copy}{from}: whoever may \
             read {copy} can read it until the owners of {copy} erase it too, with `ics erase --domain {copy} --entry \
             {index}`"
        )
    }
}

/// A copy and an erased statement, as the text by which the store identifies the alarm.
fn at(copy: &DomainName, erased: &Erased) -> String {
    format!("{copy} {}", erased.statement)
}

/// The statement, if it still stands in the copy with its content.
fn whole_copy(copy: &Sight<'_>, erased: &Erased) -> Result<Option<Logged>, AppError> {
    let posting = Posting::Statement(erased.statement);
    let found = find_logged(&copy.entries, &copy.domain, &posting, limits::PAGE_ITEMS)?;
    Ok(found.into_iter().find(|it| !it.is_erased()))
}
