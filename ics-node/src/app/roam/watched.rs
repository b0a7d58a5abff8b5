//! What this node, as a home, pushes to those who watch things without a copy: signed record heads, at the commit that
//! concerns the things.
//!
//! Nothing is stored about watchers except what each has said itself, for as long as its request lasts. A watcher that
//! comes again says how much of the log was reported to it. What it may not read looks like what nobody mentions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::log::record_head::{Finding, HeadReader};
use ics_core::vocabulary::DomainName;
use ics_sync::wire::{Choice, Heads, Rights, Watch};
use tokio::sync::watch;
use tokio::time::Instant;

use super::attest::pin;
use crate::api::problem::Code;
use crate::app::answer::read::Sight;
use crate::app::entries::{certificate_of, restore};
use crate::app::following::concern::Wanted;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, Reader};
use crate::locked::Locked as _;
use crate::store::{Part, StoredEntry};

/// A watcher of things in a domain.
pub struct Watcher {
    watching: Arc<Watching>,
    /// The number of entries up to which reports were sent.
    from: u64,
    /// The mark of its rights at that time.
    rights: Rights,
    sealed: watch::Receiver<u64>,
}

/// What it watches, and its share of the limit.
struct Watching {
    app: App,
    hosted: Arc<Hosted>,
    reader: Reader,
    ids: BTreeSet<IdentityId>,
    choices: Vec<Choice>,
    /// As how many things that counts.
    counts: usize,
}

/// How much each reader is watching now.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<BTreeMap<HeadReader, usize>>);

impl Watchers {
    fn add(&self, reader: HeadReader, more: usize) -> Result<(), AppError> {
        let mut all = self.0.locked();
        let count = all.entry(reader).or_default();
        if *count + more > limits::WATCHED_PER_READER {
            let most = limits::WATCHED_PER_READER;
            return Err(AppError::new(Code::Busy, format!("one reader may watch at most {most} things at a time")));
        }
        *count += more;
        Ok(())
    }

    fn remove(&self, reader: HeadReader, fewer: usize) {
        let mut all = self.0.locked();
        if let Some(count) = all.get_mut(&reader) {
            *count = count.saturating_sub(fewer);
            if *count == 0 {
                all.remove(&reader);
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.app.roaming().watchers.remove(pin(self.reader), self.counts);
    }
}

impl App {
    /// Watches things in a domain that is at home at this node.
    ///
    /// # Errors
    /// When its home is elsewhere, it cannot be read now, too much is watched, or something is not an id.
    pub fn watch(&self, reader: Reader, domain: &DomainName, what: Watch) -> Result<Watcher, AppError> {
        let hosted = self.hosted(domain)?;
        if hosted.part != Part::Home {
            let detail = format!("the home of `{domain}` is another node: with a copy, listen to its feed instead");
            return Err(AppError::new(Code::NotHome, detail));
        }
        self.seal(&hosted)?;
        let counts = Watcher::things(&what);
        let Watch { ids, choices, from, .. } = what;
        let ids = read(&ids, &choices)?;
        self.roaming().watchers.add(pin(reader), counts)?;
        let sealed = hosted.sealed.subscribe();
        let watching = Arc::new(Watching { app: self.clone(), hosted, reader, ids, choices, counts });
        let rights = self.standing(reader, &watching.hosted)?;
        Ok(Watcher { watching, from, rights, sealed })
    }
}

/// Parses what is to be watched and checks the limits.
fn read(ids: &[String], choices: &[Choice]) -> Result<BTreeSet<IdentityId>, AppError> {
    let (things, kinds) = (limits::WATCHED_THINGS, limits::WATCHED_CHOICES);
    let refused = |detail: String| Err(AppError::new(Code::OutOfRange, detail));
    match (ids.len(), choices.len()) {
        (0, 0) => return refused("the request names nothing to watch".to_owned()),
        (named, _) if named > things => {
            let detail = format!("{named} things are named, but at most {things} are watched: watch a model or a lot");
            return refused(detail);
        }
        (_, chosen) if chosen > kinds => return refused(format!("{chosen} choices are made, {kinds} at most")),
        _ => {}
    }
    if !choices.iter().all(Choice::is_sound) {
        let most = limits::WATCHED_VALUE_BYTES;
        return refused(format!("a choice has a model or a lot, each of at most {most} bytes"));
    }
    let mut read = BTreeSet::new();
    for id in ids {
        let meant = IdentityId::candidates(id);
        read.extend(meant.map_err(|error| AppError::new(Code::MalformedId, error.to_string()))?);
    }
    Ok(read)
}

impl Watcher {
    /// As how many things a request counts. One that asks for more than it may counts no more than it could.
    pub(crate) fn things(what: &Watch) -> usize {
        let named = what.ids.len().min(limits::WATCHED_THINGS) + what.choices.len().min(limits::WATCHED_CHOICES);
        named.max(limits::WATCHED_AT_LEAST)
    }

    /// The next report: as soon as there is one, or the newest checkpoint after a while without any.
    ///
    /// # Errors
    /// When the store fails, or the log is not to be read now.
    pub async fn next(&mut self, patience: Duration) -> Result<Heads, AppError> {
        let deadline = Instant::now() + patience;
        loop {
            let from = self.from;
            // A timeout is an answer as well: there is nothing new.
            let _ = tokio::time::timeout_at(deadline, self.sealed.wait_for(|size| *size > from)).await;
            let watching = Arc::clone(&self.watching);
            let told = self.watching.app.blocking(move |app| {
                // Read before the report, which may already be made under later rights.
                let rights = app.standing(watching.reader, &watching.hosted)?;
                let told = watching.told(from)?;
                Ok((Heads { rights: Some(rights.clone()), ..told }, rights))
            });
            let (told, rights) = told.await?;
            self.from = told.upto;
            let before = core::mem::replace(&mut self.rights, rights);
            // A watcher that was told of more than there is hears that at once, and so does one whose rights have
            // changed.
            let is_news = !told.heads.is_empty() || told.upto < told.size.max(from) || before != self.rights;
            if is_news || Instant::now() >= deadline {
                return Ok(told);
            }
        }
    }

    /// Records what the watcher was sent.
    pub fn served(&self, bytes: usize) {
        let Watching { app, hosted, reader, .. } = &*self.watching;
        app.served(*reader, &hosted.name, self.from, bytes);
    }
}

impl Watching {
    /// What a page of the log says about what is watched.
    fn told(&self, from: u64) -> Result<Heads, AppError> {
        let Self { app, hosted, .. } = self;
        let sight = app.sight(hosted)?;
        let size = sight.seal.size;
        let (mut heads, mut upto, mut bytes) = (BTreeMap::new(), from.min(size), 0);
        let wanted = Wanted {
            choices: &self.choices,
            is_named: &|id| Ok(self.ids.contains(id)),
            named: &|| Ok(self.ids.iter().copied().collect()),
            may: &|record| app.may_read(self.reader, &sight.domain, record),
            serves: &|record| app.may_take_over(self.reader, &sight.domain, record),
        };
        let page = app.store().entries(hosted.number, upto, limits::FEED_ENTRIES, limits::FEED_BYTES)?;
        for entry in page.iter().filter(|entry| entry.index < size) {
            if heads.len() >= limits::NEWS_ENTRIES || bytes >= limits::NEWS_BYTES {
                break;
            }
            upto = entry.index + 1;
            for id in self.concerned(&sight, &wanted, entry)? {
                if !heads.contains_key(&id)
                    && let Some(head) = self.head(&sight, &id)?
                {
                    bytes += head.len();
                    heads.insert(id, head);
                }
            }
        }
        let checkpoint = heads.is_empty().then(|| sight.seal.note.clone());
        Ok(Heads { upto, size, heads: heads.into_values().collect(), checkpoint, rights: None })
    }

    /// The things that an entry gives reason to report: those that a statement concerns and, for a further state of a
    /// certificate, one that its holder has spoken about.
    fn concerned(
        &self,
        sight: &Sight<'_>,
        wanted: &Wanted<'_>,
        entry: &StoredEntry,
    ) -> Result<BTreeSet<IdentityId>, AppError> {
        if !self.app.may_read_any(self.reader, &sight.domain) {
            return Ok(BTreeSet::new());
        }
        if let Some(statement) = restore(&sight.domain, entry)?.filter(|statement| !statement.is_refused()) {
            return self.app.concerned(sight, wanted, &statement);
        }
        let is_further = |holder: &Fingerprint| sight.domain.certificate_states(holder).next() != Some(entry.index);
        let Some(holder) = certificate_of(entry).filter(is_further) else { return Ok(BTreeSet::new()) };
        Ok(self.app.wanted_of_signer(sight, wanted, &holder)?.into_iter().collect())
    }

    /// The record head of a thing, if the reader may read it and nothing about it waits to be shown.
    fn head(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Option<String>, AppError> {
        let Some((_, said)) = self.app.readable(self.reader, sight, id)? else { return Ok(None) };
        // The erasure gives reason to report the thing once it is shown.
        if self.app.is_cut_short(sight, id)? {
            return Ok(None);
        }
        let indices = self.app.rests_on(sight, said)?;
        let asked = id.to_string();
        let head = self.app.record_head(sight, asked.clone(), Finding::Identity(asked), indices);
        // If a thing has more entries than evidence may hold, nothing can be attested about it; the others are reported
        // all the same.
        Ok(head.inspect_err(|error| tracing::warn!(%id, %error, "a thing that is watched has no record head")).ok())
    }
}
