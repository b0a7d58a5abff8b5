//! What this node, as a home, pushes to those who watch things and keep no copy: signed record heads, at the commit
//! that speaks of the things.
//!
//! Of who watches nothing is kept but what he has said himself, for as long as his request lasts. Who comes again says of
//! how much of the log he was told. What he may not read looks to him like what nobody speaks of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
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
use crate::store::{Part, StoredEntry};

/// Somebody who watches things in a domain.
pub struct Watcher {
    watching: Arc<Watching>,
    /// Entries of which he was told.
    from: u64,
    /// What stood for his rights then.
    rights: Rights,
    sealed: watch::Receiver<u64>,
}

/// What he watches, and his place.
struct Watching {
    app: App,
    hosted: Arc<Hosted>,
    reader: Reader,
    ids: BTreeSet<IdentityId>,
    choices: Vec<Choice>,
    /// As how many things that counts.
    counts: usize,
}

/// How much each reader watches now.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<BTreeMap<HeadReader, usize>>);

impl Watchers {
    fn add(&self, reader: HeadReader, more: usize) -> Result<(), AppError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(reader).or_default();
        if *count + more > limits::WATCHED_PER_READER {
            let most = limits::WATCHED_PER_READER;
            return Err(AppError::new(Code::Busy, format!("one reader watches {most} things at most at a time")));
        }
        *count += more;
        Ok(())
    }

    fn remove(&self, reader: HeadReader, fewer: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// Watches things in a domain of which this node is the home.
    ///
    /// # Errors
    /// When it is not, or not to be read now, more is watched than may be, or something is no id.
    pub fn watch(&self, reader: Reader, domain: &DomainName, what: Watch) -> Result<Watcher, AppError> {
        let hosted = self.hosted(domain)?;
        if hosted.part != Part::Home {
            let detail = format!("the home of `{domain}` is another node: who has a copy listens to its feed");
            return Err(AppError::new(Code::NotHome, detail));
        }
        self.seal(&hosted)?;
        let Watch { ids, choices, from, .. } = what;
        let counts = (ids.len() + choices.len()).max(limits::WATCHED_AT_LEAST);
        let ids = read(&ids, &choices)?;
        self.roaming().watchers.add(pin(reader), counts)?;
        let sealed = hosted.sealed.subscribe();
        let watching = Arc::new(Watching { app: self.clone(), hosted, reader, ids, choices, counts });
        let rights = self.standing(reader, &watching.hosted)?;
        Ok(Watcher { watching, from, rights, sealed })
    }
}

/// What is watched, within its bounds.
fn read(ids: &[String], choices: &[Choice]) -> Result<BTreeSet<IdentityId>, AppError> {
    let (things, kinds) = (limits::WATCHED_THINGS, limits::WATCHED_CHOICES);
    let refused = |detail: String| Err(AppError::new(Code::OutOfRange, detail));
    match (ids.len(), choices.len()) {
        (0, 0) => return refused("nothing is named that is to be watched".to_owned()),
        (named, _) if named > things => {
            let detail = format!("{named} things are named, {things} at most are watched: watch a model or a lot");
            return refused(detail);
        }
        (_, chosen) if chosen > kinds => return refused(format!("{chosen} choices are made, {kinds} at most")),
        _ => {}
    }
    if !choices.iter().all(Choice::is_sound) {
        let most = limits::WATCHED_VALUE_BYTES;
        return refused(format!("a choice has a model or a lot, each of {most} bytes at most"));
    }
    let mut read = BTreeSet::new();
    for id in ids {
        let meant = IdentityId::candidates(id);
        read.extend(meant.map_err(|error| AppError::new(Code::MalformedId, error.to_string()))?);
    }
    Ok(read)
}

impl Watcher {
    /// What there is to tell: as soon as there is something, or the newest checkpoint when there was nothing for a while.
    ///
    /// # Errors
    /// When the store fails, or the log is not to be read now.
    pub async fn next(&mut self, patience: Duration) -> Result<Heads, AppError> {
        let deadline = Instant::now() + patience;
        loop {
            let from = self.from;
            // Too late is an answer as well: nothing new.
            let _ = tokio::time::timeout_at(deadline, self.sealed.wait_for(|size| *size > from)).await;
            let watching = Arc::clone(&self.watching);
            let told = self.watching.app.blocking(move |app| {
                // Before what is told, which may be by later ones.
                let rights = app.standing(watching.reader, &watching.hosted)?;
                let told = watching.told(from)?;
                Ok((Heads { rights: Some(rights.clone()), ..told }, rights))
            });
            let (told, rights) = told.await?;
            self.from = told.upto;
            let before = core::mem::replace(&mut self.rights, rights);
            // Who was told of more than there is hears it at once, and so does whose rights are others.
            let is_news = !told.heads.is_empty() || told.upto < told.size.max(from) || before != self.rights;
            if is_news || Instant::now() >= deadline {
                return Ok(told);
            }
        }
    }

    /// Notes what he was given.
    pub fn served(&self, bytes: usize) {
        let Watching { app, hosted, reader, .. } = &*self.watching;
        app.served(*reader, &hosted.name, self.from, bytes);
    }
}

impl Watching {
    /// What a page of the log says of what is watched.
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

    /// The things of which an entry is to be told: those that a statement concerns, and of a certificate's further state one
    /// that its holder has spoken of.
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

    /// The record head of a thing, if the reader may read it.
    fn head(&self, sight: &Sight<'_>, id: &IdentityId) -> Result<Option<String>, AppError> {
        let Some((_, said)) = self.app.readable(self.reader, sight, id)? else { return Ok(None) };
        let indices = self.app.rests_on(sight, said)?;
        let asked = id.to_string();
        let head = self.app.record_head(sight, asked.clone(), Finding::Identity(asked), indices);
        // Of what has more entries than evidence takes nothing can be attested; the others are told of all the same.
        Ok(head.inspect_err(|error| tracing::warn!(%id, %error, "a thing that is watched has no record head")).ok())
    }
}
