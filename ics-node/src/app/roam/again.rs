//! Looking again without a copy: after a new descriptor of its own, or with other rights at its source, a domain looks
//! through everything that the source's home has to say about what it follows.
//!
//! This runs beside the listening, which continues with the news, and ends where those began. Progress is recorded page
//! by page, so that a restart continues from there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ics_core::limits;
use ics_sync::budget::Budget;
use ics_sync::http::PeerError;
use ics_sync::watch::pushed;
use ics_sync::wire::Watch;

use super::follow::{NotTaken, Work, not_heard};
use crate::app::following::follow::choices;
use crate::app::{App, AppError};

/// The pause after the first failure.
const SHORT: Duration = Duration::from_secs(1);
/// The longest pause after repeated failures, and if nothing has failed except that answers about some things are
/// useless: these may be as long as the line takes, each time.
const LONG: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// One domain that looks again at what another one, not copied here, says.
struct Again {
    app: App,
    work: Work,
    /// How often the domain had been sent back when this began.
    returns: u64,
    /// What is followed individually.
    ids: Vec<String>,
    /// The number of entries that have been looked at again.
    reached: u64,
    /// The same, as recorded: everything up to here has been taken over.
    noted: u64,
    /// Things about which answers were useless: they are asked about again, and nothing is recorded until then.
    aside: BTreeSet<String>,
    /// Things followed individually, and some that are followed by model or lot, about which the home has reported
    /// nothing since the beginning of its log: they are asked about at the end, because something may be kept back
    /// about them.
    silent: BTreeSet<String>,
    /// The pace of questions, which must also suit intermediate nodes that limit each asker.
    pace: Budget,
}

/// What is to be fetched for a part of the log.
struct Page {
    upto: u64,
    ids: Vec<String>,
    /// Whether these are all things that are followed individually, rather than those that the home reports; then
    /// intermediate nodes may answer.
    is_by_name: bool,
}

impl App {
    /// Looks again at what is left of one domain's log.
    pub(super) async fn look_again_from_afar(self, work: Work) {
        if work.following.upto >= work.following.news {
            return;
        }
        let (returns, ids) = self.followed_from(&work).await;
        let (noted, pace) = (work.following.upto, Budget::new(limits::ROAMING_PER_ASKER, Duration::from_secs(60)));
        let silent = if noted == 0 { self.may_be_silent(&work, &ids).await } else { BTreeSet::new() };
        let aside = BTreeSet::new();
        let mut again = Again { app: self, work, returns, ids, reached: noted, noted, aside, silent, pace };
        let mut pause = SHORT;
        loop {
            let (error, longest) = match again.round().await {
                Ok(None) => return,
                Ok(Some(refused)) => (refused, LONGEST),
                Err(error) => (error, LONG),
            };
            let Work { target, following, .. } = &again.work;
            tracing::warn!(domain = %target.name, source = %following.source, %error, "it is not looked at again yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// The followed things that must be asked about if the home reports nothing about them.
    async fn may_be_silent(&self, work: &Work, ids: &[String]) -> BTreeSet<String> {
        let of_choices = work.clone();
        let samples = self.blocking(move |app| app.samples_of_choices(&of_choices)).await;
        let mut silent = samples.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is hidden of a model or a lot may not be told");
            BTreeSet::new()
        });
        silent.extend(ids.iter().cloned());
        silent
    }
}

impl Again {
    /// Looks at everything that is left, and again at what was useless before. A useless answer does not hold up the
    /// others; returns why there was one.
    async fn round(&mut self) -> Result<Option<AppError>, AppError> {
        let (last, ids) = (self.work.following.news, self.aside.iter().cloned().collect());
        let mut refused = self.take(&Page { upto: self.reached, ids, is_by_name: false }).await?.1;
        // If progress cannot be recorded, another task has taken over, which was started for what is followed now.
        while self.note().await? && self.reached < last {
            let page = self.page(last).await?;
            let (reached, error) = self.take(&page).await?;
            if reached <= self.reached {
                let why = format!("{reached} entries are shown, {} were told of before", self.reached);
                return Err(not_heard(&self.work.origin, &why));
            }
            // This comes before everything is recorded, so that it is not forgotten after a restart.
            let unheard = if reached == last { self.ask_of_silent(last).await? } else { None };
            (self.reached, refused) = (reached, error.or(unheard).or(refused));
        }
        Ok(refused)
    }

    /// Asks about the things of which the home has reported nothing; returns why not all succeeded.
    async fn ask_of_silent(&mut self, last: u64) -> Result<Option<AppError>, AppError> {
        let ids = self.silent.iter().cloned().collect();
        Ok(self.take(&Page { upto: last, ids, is_by_name: true }).await?.1)
    }

    /// Takes over what is said about the things of a page; returns up to which size of the log that is done, and why
    /// not all succeeded.
    async fn take(&mut self, page: &Page) -> Result<(u64, Option<AppError>), AppError> {
        let (size, mut reached) = (if page.is_by_name { 0 } else { page.upto }, page.upto);
        let mut refused = None;
        for id in &page.ids {
            if page.is_by_name {
                tokio::time::sleep(self.pace.spend(1, Instant::now())).await;
            }
            self.app.until_paced(&self.work.origin).await;
            match self.app.take_from_afar(&self.work, id, (size, page.upto), self.noted).await {
                Ok(attested) => {
                    reached = reached.min(attested);
                    self.aside.remove(id);
                    self.silent.remove(id);
                }
                Err(NotTaken::Refused(error)) => {
                    self.silent.remove(id);
                    refused = Some(error);
                    self.aside.insert(id.clone());
                }
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
        Ok((reached, refused))
    }

    /// What the home reports next; if it has no such feed, everything that is followed individually.
    async fn page(&self, last: u64) -> Result<Page, AppError> {
        let Work { following, origin, .. } = &self.work;
        let (from, choices) = (self.reached, choices(following));
        let is_by_name = choices.is_empty();
        let watch = Watch { ids: self.ids.clone(), choices, from, wait: None };
        let mut problem = PeerError::Transport("there is no peer that is asked about single things".to_owned());
        for peer in self.app.asked_by_http(origin) {
            match peer.heads(&origin.domain, &watch).await {
                Ok(heads) if from < heads.upto && heads.upto <= heads.size => {
                    let ids = heads.heads.iter().filter_map(|note| pushed(note).map(|(id, _)| id)).collect();
                    return Ok(Page { upto: heads.upto.min(last), ids, is_by_name: false });
                }
                Ok(_) => problem = PeerError::Malformed("it tells of nothing further, or of more than it has"),
                Err(other) => problem = other,
            }
        }
        match is_by_name {
            true => Ok(Page { upto: last, ids: self.ids.clone(), is_by_name }),
            false => Err(not_heard(origin, &problem.to_string())),
        }
    }

    /// Records how far everything has been looked at again and taken over; false if something else is followed by now.
    async fn note(&mut self) -> Result<bool, AppError> {
        let (from, upto) = (self.noted, self.reached);
        if from == upto || !self.aside.is_empty() {
            return Ok(true);
        }
        let is_noted = self.work.note(&self.app, self.returns, from, upto).await?;
        self.noted = upto;
        Ok(is_noted)
    }
}
