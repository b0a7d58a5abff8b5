//! A home that has signed more than it holds, or was restored from a copy (ARCHITECTURE.md, "The store, and homes that
//! come back"): it stays silent, gets the lost tail from its mirrors, and continues.
//!
//! A mirror's copy is as good as the home's own: every page is proven against a checkpoint that this home signed. What
//! a mirror cannot prove is that no other mirror holds more, so all that are known are asked before the silence ends.
//!
//! What a mirror may not read or keeps back, it sends as bare leaves. They are proven as well, and would replace what
//! was lost for good: nobody asks a home whether it has everything. So the home accepts only whole entries, and for
//! statements said to be erased only leaves that an erasure in its own log names.

mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::descriptor::Descriptor;
use ics_core::log::Hash;
use ics_core::log::checkpoint::{Checkpoint, Origin};
use ics_core::statement::Remnant;
use ics_core::statement::body::{self, Body};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::mirror::{Action, Mirror, SignedCheckpoint, Stop, Trouble, VerifiedEntry, VerifiedPage};
use tokio::sync::watch;

use self::source::NoAnswer;
pub use self::source::Source;
use super::heartbeat::stopped;
use crate::api::problem::Code;
use crate::app::admit::submit::{Outcome, append_all};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Part, Standing, WriteTx};
use crate::words::counted_entries;

/// The pause between two rounds of questions.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the list of peers must be unchanged before everybody's answers end a silence: when an operator names
/// mirrors one by one, the first must not end it while the second has more.
pub const PEERS_SETTLE: Duration = Duration::from_secs(60);

/// The kinds of alarm that say that a domain is silent, and that it no longer is.
pub(super) const SILENT: &str = "silent";
const GOES_ON: &str = "goes-on";
/// What an operator can do before the silence ends without somebody who may know more.
const NO_ADDRESS: &str = "ics.toml has no address of these peers: if one may know more than those who are asked, stop \
                          the node, and bring a copy of its home directory by `ics restore --hold --from-copy`";
/// How many alarms are searched for the last of these.
const ALARMS_LOOKED: usize = 1_000;

/// The result of asking one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// How many lost entries it gave; `None` if it holds no copy of the domain; or why it is not known what it has.
    pub answer: Result<Option<u64>, String>,
    /// Until when it is known, by its copy and by what is held here, what the home signed. A copy that was carried
    /// here, or is brought bundles, cannot tell what was signed later.
    pub as_of: Option<Timestamp>,
}

fn in_words(answer: &Result<Option<u64>, String>) -> String {
    match answer {
        Ok(Some(entries)) => format!("it gave {} of what was lost", counted_entries(*entries)),
        Ok(None) => "it holds no copy, and so cannot say what was lost".to_owned(),
        Err(problem) => problem.clone(),
    }
}

/// The remnants of statements that, according to the home's own log, were erased, by index.
type Erased = BTreeMap<u64, Remnant>;

impl App {
    /// This node's domains that may not be written: more was signed than is held, or they were restored from a copy.
    #[must_use]
    pub fn silent(&self) -> Vec<DomainName> {
        let silent = |hosted: &Arc<Hosted>| self.is_silent(hosted).unwrap_or(true);
        self.all_hosted().iter().filter(|hosted| silent(hosted)).map(|hosted| hosted.name.clone()).collect()
    }

    pub(crate) fn is_silent(&self, hosted: &Hosted) -> Result<bool, AppError> {
        Ok(self.is_behind(hosted)? || self.check_home_key(hosted).is_err())
    }

    /// Whether more may have been signed for a domain of this node than it holds.
    pub(in crate::app) fn is_behind(&self, hosted: &Hosted) -> Result<bool, AppError> {
        Ok(hosted.part == Part::Home && self.store().standing(hosted.number)? != Standing::Current)
    }

    /// How many entries were signed for a domain of this node, if that is known to be more than it holds.
    #[must_use]
    pub fn signed_beyond(&self, domain: &DomainName) -> Option<u64> {
        match self.store().standing(self.hosted(domain).ok()?.number).ok()? {
            Standing::Behind { signed } => signed.map(|signed| signed.size),
            Standing::Current | Standing::Forked { .. } => None,
        }
    }

    /// Silences all domains of this node, and its own witness, for an operator who knows that the machine was restored
    /// from a snapshot.
    ///
    /// # Errors
    /// When the store fails.
    pub fn hold(&self) -> Result<(), AppError> {
        self.homes().iter().try_for_each(|hosted| self.store().hold(hosted.number))?;
        Ok(self.store().doubt_what_was_cosigned(true)?)
    }

    /// All peers that can be asked, as configured now: only they know which of them holds a copy of what was lost.
    #[must_use]
    pub fn who_may_have_it(&self) -> Vec<Source> {
        let source = |(name, peer)| Source::Peer { name, peer };
        self.peers_table().answering().into_iter().map(source).collect()
    }

    /// The names of the peers that cannot be asked, since no address of theirs is known here: they are brought bundles,
    /// or come by themselves, and may hold more than those who can be.
    #[must_use]
    pub fn who_cannot_be_asked(&self) -> Vec<String> {
        self.peers_table().without_address()
    }

    /// Asks all peers again and again until a silent domain may speak, or `stop` becomes true; after a change of the
    /// peers at once. Lost entries are taken at once, too; but that all have answered counts only if the list of peers
    /// has been unchanged for `settle` ([`PEERS_SETTLE`]) and while they were asked.
    ///
    /// # Errors
    /// When the domain is not held here, or the store fails.
    pub async fn recover(
        self,
        domain: DomainName,
        settle: Duration,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), AppError> {
        let hosted = self.hosted(&domain)?;
        let (mut last, mut changes, mut changed_at) = (Vec::new(), self.peers_table().changes(), None::<Instant>);
        let text = "more was signed than is held, or a copy was restored: silent until all mirrors have been asked";
        self.store().alarm(Some(hosted.number), self.clock().now(), SILENT, text)?;
        tracing::warn!(%domain, mirrors = self.who_may_have_it().len(), "{text}; `ics restore` tells more");
        let not_asked = self.who_cannot_be_asked().join(", ");
        if !not_asked.is_empty() {
            tracing::warn!(%domain, not_asked, "{NO_ADDRESS}");
        }
        loop {
            let asked = self.ask_each(&hosted, &self.who_may_have_it()).await;
            // If the table of peers is gone, the node is ending.
            let is_settled = changed_at.is_none_or(|at| at.elapsed() >= settle);
            if is_settled && !changes.has_changed().unwrap_or(true) {
                self.go_on_if_complete(&hosted, &asked)?;
            }
            if !self.is_silent(&hosted)? {
                self.tell_of_end(&hosted)?;
                self.say_anew(&hosted).await;
                tracing::info!(%domain, size = self.store().head(hosted.number)?.size, "restored; the domain goes on");
                return Ok(());
            }
            if asked != last {
                for one in &asked {
                    tracing::warn!(%domain, source = one.name, answer = in_words(&one.answer), "still silent");
                }
                last = asked;
                if !is_settled {
                    tracing::info!(%domain, "waits until no peer has been added or removed for {} s", settle.as_secs());
                }
            }
            let left = changed_at.map(|at| settle.saturating_sub(at.elapsed())).filter(|left| !left.is_zero());
            tokio::select! {
                () = stopped(&mut stop) => return Ok(()),
                () = tokio::time::sleep(left.map_or(AGAIN, |left| left.min(AGAIN))) => {}
                _ = changes.changed() => changed_at = Some(Instant::now()),
            }
        }
    }

    /// [`App::recover`] for a running node; an error that ends it early is logged.
    pub async fn stay_silent(self, domain: DomainName, stop: watch::Receiver<bool>) {
        if let Err(error) = self.recover(domain.clone(), PEERS_SETTLE, stop).await {
            tracing::error!(%domain, %error, "the domain stays silent");
        }
    }

    /// Asks every source once for what a silent domain has lost, and ends the silence if all have answered, at least
    /// one of them from a copy of the domain, and nothing is missing.
    ///
    /// # Errors
    /// When the domain is not held here, or the store fails; what is wrong with a source is part of its answer.
    pub async fn ask_all(&self, domain: &DomainName, sources: &[Source]) -> Result<Vec<Asked>, AppError> {
        let hosted = self.hosted(domain)?;
        let mut asked = self.ask_each(&hosted, sources).await;
        self.go_on_if_complete(&hosted, &asked)?;
        self.tell_of_end(&hosted)?;
        if let Err(error) = self.check_home_key(&hosted) {
            asked.push(Asked { name: "this node".to_owned(), answer: Err(error.to_string()), as_of: None });
        }
        Ok(asked)
    }

    /// Cosigns the newest checkpoint of a domain that continues: the one that came back has no time, and nothing that
    /// rests on it would be fresh until the next heartbeat.
    async fn say_anew(&self, hosted: &Arc<Hosted>) {
        let of_job = Arc::clone(hosted);
        if let Err(error) = self.blocking(move |app| app.cosign_again(&of_job)).await {
            tracing::error!(domain = %hosted.name, %error, "the checkpoint could not be cosigned");
        }
    }

    /// Reports once that a domain is no longer silent, if it was reported to be.
    fn tell_of_end(&self, hosted: &Hosted) -> Result<(), AppError> {
        let alarms = self.store().alarms(Some(hosted.number), ALARMS_LOOKED)?;
        let last = alarms.iter().find(|alarm| [SILENT, GOES_ON].contains(&alarm.kind.as_str()));
        if self.is_silent(hosted)? || last.is_none_or(|alarm| alarm.kind != SILENT) {
            return Ok(());
        }
        let size = self.store().head(hosted.number)?.size;
        let text = format!("the silence is over: the domain goes on with {size} entries");
        Ok(self.store().alarm(Some(hosted.number), self.clock().now(), GOES_ON, &text)?)
    }

    async fn ask_each(&self, hosted: &Arc<Hosted>, sources: &[Source]) -> Vec<Asked> {
        let mut asked = Vec::with_capacity(sources.len());
        for source in sources {
            asked.push(self.ask(hosted, source).await);
        }
        asked
    }

    fn go_on_if_complete(&self, hosted: &Hosted, asked: &[Asked]) -> Result<(), AppError> {
        // A source that holds no copy has nothing of what was lost, and does not know whether anything was.
        let is_known = asked.iter().any(|asked| matches!(asked.answer, Ok(Some(_))));
        let complete = is_known && asked.iter().all(|asked| asked.answer.is_ok());
        // A tail without the descriptor that names this node's key is not complete.
        let complete = complete && self.check_home_key(hosted).is_ok();
        if complete && matches!(self.store().standing(hosted.number)?, Standing::Behind { signed: None }) {
            self.go_on(&hosted.name)?;
        }
        Ok(())
    }

    /// Ends the silence of a domain if nobody is known to have more of it.
    ///
    /// # Errors
    /// When more was signed than is held, the history differs, or what is held names another home key.
    pub fn go_on(&self, domain: &DomainName) -> Result<(), AppError> {
        let hosted = self.hosted(domain)?;
        self.check_home_key(&hosted)?;
        self.store().release(hosted.number)?;
        self.tell_of_end(&hosted)
    }

    async fn ask(&self, hosted: &Arc<Hosted>, source: &Source) -> Asked {
        let (answer, as_of) = match self.mirror_of_own(hosted) {
            Ok(mut mirror) => (self.fetch(hosted, source, &mut mirror).await, mirror.status().as_of),
            Err(error) => (Err(error.to_string()), None),
        };
        let as_of = as_of.filter(|_| matches!(answer, Ok(Some(_))));
        Asked { name: source.name().to_owned(), answer, as_of }
    }

    async fn fetch(&self, hosted: &Arc<Hosted>, source: &Source, mirror: &mut Mirror) -> Result<Option<u64>, String> {
        let text = |error: AppError| error.to_string();
        let (mut fetched, mut erased) = (0, Erased::new());
        loop {
            let now = self.clock().now();
            let answer = match mirror.poll_action(now) {
                Action::Stopped(stop) => {
                    let why = self.why_stopped(hosted, &stop);
                    self.put_on_file(hosted, mirror.target().cloned()).await.map_err(text)?;
                    return Err(why);
                }
                Action::RootAt { size } => {
                    let root = self.store().root_at(hosted.number, size).map_err(|error| error.to_string())?;
                    mirror.handle_root(&root, now);
                    Ok(())
                }
                Action::Wait { .. } | Action::Listen { .. } => {
                    self.put_on_file(hosted, mirror.target().cloned()).await.map_err(text)?;
                    return match mirror.status().trouble {
                        // It holds less than this node, and so nothing of what was lost.
                        None | Some(Trouble::Stale { .. }) => Ok(Some(fetched)),
                        Some(trouble) => Err(trouble.to_string()),
                    };
                }
                Action::Apply(page) => {
                    let known = page.checkpoint.as_ref().or(mirror.target()).cloned();
                    self.put_on_file(hosted, known).await.map_err(text)?;
                    if remnants(&page).any(|(index, remnant)| erased.get(&index) != Some(&remnant)) {
                        erased = self.look_ahead(hosted, source, mirror.clone()).await?;
                    }
                    refuse_parts(&page, &erased)?;
                    self.take_back(hosted, &page).await.map_err(text)?;
                    fetched += page.entries.len() as u64;
                    mirror.handle_applied(self.clock().now());
                    Ok(())
                }
                action => source.answer(mirror, action, self).await,
            };
            let Err(none) = answer else { continue };
            self.put_on_file(hosted, mirror.target().cloned()).await.map_err(text)?;
            return match none {
                NoAnswer::NotHeld => Ok((fetched > 0).then_some(fetched)),
                NoAnswer::Failed(problem) => Err(problem),
            };
        }
    }

    /// Why a source is asked no further. A fork's proof is stored; a page that leads nowhere may be anybody's work.
    fn why_stopped(&self, hosted: &Hosted, stop: &Stop) -> String {
        let kept = if matches!(stop, Stop::Fork { .. }) { self.keep_fork(hosted, stop) } else { Ok(()) };
        kept.map_or_else(|error| error.to_string(), |()| stop.to_string())
    }

    /// A mirror of the domain that continues from what is held.
    fn mirror_of_own(&self, hosted: &Hosted) -> Result<Mirror, AppError> {
        let origin = match (hosted.origin(), self.store().standing(hosted.number)?) {
            (Some(origin), _) => origin,
            (None, Standing::Behind { signed: Some(signed) }) => origin_of(&signed.note)?,
            _ => return Err(AppError::new(Code::Behind, format!("nothing of `{}` is here", hosted.name))),
        };
        self.resume_at(hosted, &origin, 60_000, false)
    }

    /// Looks through all that a source would give from here on, keeping only what the log says was erased. The erasure
    /// may come many pages after the statement, and a bare leaf that was taken back in the statement's place would stay
    /// for good: so the page with the statement is taken back only once the erasure has been seen.
    async fn look_ahead(&self, hosted: &Hosted, source: &Source, mut mirror: Mirror) -> Result<Erased, String> {
        let mut erased = Erased::new();
        loop {
            let answer = match mirror.poll_action(self.clock().now()) {
                Action::Stopped(stop) => return Err(self.why_stopped(hosted, &stop)),
                Action::Wait { .. } | Action::Listen { .. } | Action::RootAt { .. } => {
                    let trouble = mirror.status().trouble.map(|trouble| trouble.to_string());
                    return Err(trouble.unwrap_or_else(|| "it does not show all that it says was signed".to_owned()));
                }
                Action::Apply(page) => {
                    erased.extend(remnants(&page));
                    refuse_parts(&page, &erased)?;
                    mirror.handle_applied(self.clock().now());
                    // A page reaches its checkpoint only if all remnants up to there were confirmed by erasures.
                    if page.checkpoint.is_some() {
                        return Ok(erased);
                    }
                    Ok(())
                }
                action => source.answer(&mut mirror, action, self).await,
            };
            match answer {
                Ok(()) => {}
                Err(NoAnswer::NotHeld) => return Err("it no longer holds the domain".to_owned()),
                Err(NoAnswer::Failed(problem)) => return Err(problem),
            }
        }
    }

    /// Puts on file that this much was signed: before anything is accepted or refused, and also if a source shows the
    /// checkpoint and nothing more. The next source asked may not know of it, and the silence would end.
    async fn put_on_file(&self, hosted: &Arc<Hosted>, known: Option<SignedCheckpoint>) -> Result<(), AppError> {
        let Some(known) = known else { return Ok(()) };
        let hosted = Arc::clone(hosted);
        self.blocking(move |app| Ok(app.store().raise_head(hosted.number, app.seal_of(&hosted, known))?)).await
    }

    async fn take_back(&self, hosted: &Arc<Hosted>, page: &Arc<VerifiedPage>) -> Result<(), AppError> {
        if page.entries.is_empty() {
            return Ok(());
        }
        let (hosted, page) = (Arc::clone(hosted), Arc::clone(page));
        self.blocking(move |app| app.take_page(&hosted, &page, None)).await
    }

    /// What is left of a domain: the number of entries, and their root.
    ///
    /// # Errors
    /// When the domain is not held here.
    pub fn left(&self, domain: &DomainName) -> Result<(u64, Hash), AppError> {
        let head = self.store().head(self.hosted(domain)?.number)?;
        Ok((head.size, head.root))
    }

    /// Begins a new epoch of a domain with the owners' descriptor, which cites the head that is left and names this
    /// node's new key. After that nobody can get back what was lost. The caller checks whether the domain is silent.
    ///
    /// # Errors
    /// When the descriptor is refused, or cites another head.
    pub fn begin_anew(&self, domain: &DomainName, descriptor: &[u8]) -> Result<u64, AppError> {
        let refused = |detail: String| AppError::new(Code::Refused, detail);
        let hosted = self.hosted(domain)?;
        let head = self.store().head(hosted.number)?;
        let Ok(Body::Descriptor(signed)) = body::parse(descriptor) else {
            return Err(refused("this is not a signed descriptor".to_owned()));
        };
        let next = Descriptor::parse(&signed.json).map_err(|error| refused(error.to_string()))?;
        if next.last_head.as_ref().is_none_or(|cited| (cited.size, cited.root) != (head.size, head.root)) {
            return Err(refused(format!("a new epoch cites the head that is left: size {}, {}", head.size, head.root)));
        }
        let former = hosted.domain().ok_or_else(|| AppError::unknown_domain(domain))?;
        if former.descriptor().home.key == next.home.key {
            return Err(refused("a new epoch needs a new key: the former one has signed what is lost".to_owned()));
        }
        let incoming = self.one_incoming(Some(&former), descriptor)?;
        let (clock, writer) = (self.clock().clone(), Arc::clone(&hosted));
        let job = move |tx: &mut WriteTx<'_>| match append_all(tx, &writer, incoming, &clock) {
            Ok(outcomes) => match outcomes.into_iter().next() {
                Some(Outcome::Appended(new)) => Ok(new.index),
                Some(Outcome::Refused(problem)) => Err(AppError::new(Code::Refused, problem.detail)),
                other => Err(AppError::Internal(format!("the descriptor of a new epoch: {other:?}"))),
            },
            Err(error) => Err(error.into()),
        };
        let index = self.store().begin_anew(hosted.number, job)?;
        self.tell_of_end(&hosted)?;
        Ok(index)
    }
}

/// The remnants of erased statements that a page contains.
fn remnants(page: &VerifiedPage) -> impl Iterator<Item = (u64, Remnant)> {
    (page.from..).zip(&page.entries).filter_map(|(index, entry)| match entry {
        VerifiedEntry::Erased { remnant, .. } => Some((index, *remnant)),
        VerifiedEntry::Whole { .. } | VerifiedEntry::Hidden(_) => None,
    })
}

/// Refuses a page with anything that would replace for good what was lost.
fn refuse_parts(page: &VerifiedPage, erased: &Erased) -> Result<(), String> {
    let is_bare = |entry: &VerifiedEntry| matches!(entry, VerifiedEntry::Hidden(_));
    let hidden = (page.from..).zip(&page.entries).find(|(_, entry)| is_bare(entry));
    if let Some((index, _)) = hidden {
        return Err(format!("it shows no more than the leaf of entry {index}: it has a part of the log only"));
    }
    // Nobody could tell which erasures it leaves out.
    if page.rights.is_some() {
        return Err("it shows this node a part of the log only, and does not say that all of this is there".to_owned());
    }
    match remnants(page).find(|(index, remnant)| erased.get(index) != Some(remnant)) {
        Some((index, _)) => Err(format!("it says that entry {index} was erased, and nothing in the log says so")),
        None => Ok(()),
    }
}

/// The origin named by a checkpoint on file.
fn origin_of(note: &str) -> Result<Origin, AppError> {
    let claimed = Checkpoint::claimed(note).map_err(|error| AppError::Internal(format!("the head's file: {error}")))?;
    Ok(claimed.origin)
}
