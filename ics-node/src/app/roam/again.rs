//! Looking again without a copy: after a descriptor of its own, a domain looks through all that its source's home has to tell
//! of what it follows.
//!
//! This goes beside the listening, which goes on with the news, and ends when it has come to where those began. What is
//! taken over is noted page by page, so that a restart goes on from there.

use std::time::{Duration, Instant};

use ics_core::limits;
use ics_sync::budget::Budget;
use ics_sync::http::PeerError;
use ics_sync::watch::pushed;
use ics_sync::wire::Watch;

use super::follow::{NotTaken, Work, not_heard};
use crate::app::following::follow::choices;
use crate::app::{App, AppError};

/// After something went wrong for the first time.
const SHORT: Duration = Duration::from_secs(1);
/// After it did again and again.
const LONG: Duration = Duration::from_secs(60);

/// One domain that looks again at what another one says, of which no copy is here.
struct Again {
    app: App,
    work: Work,
    /// How often the domain had been sent back when this began.
    returns: u64,
    /// What is followed by name.
    ids: Vec<String>,
    /// Entries of which all was looked at again, as it was noted.
    noted: u64,
    /// Of looks: they are for nodes between as well, which let one asker have no more.
    pace: Budget,
}

/// What is to be fetched for a stretch of the log.
struct Page {
    upto: u64,
    ids: Vec<String>,
    /// Whether these are all that are followed, and not what the home tells of: nodes between may answer then.
    is_by_name: bool,
}

impl App {
    /// Looks again at what is left of one domain's log.
    pub(super) async fn look_again_from_afar(self, work: Work) {
        if work.1.upto >= work.1.news {
            return;
        }
        let Ok((returns, ids)) = self.followed_from(&work).await else { return };
        let (noted, pace) = (work.1.upto, Budget::new(limits::ROAMING_PER_ASKER, Duration::from_secs(60)));
        let mut again = Again { app: self, work, returns, ids, noted, pace };
        let mut pause = SHORT;
        while let Err(error) = again.round().await {
            let (target, following, _) = &again.work;
            tracing::warn!(domain = %target.name, source = %following.source, %error, "it is not looked at again yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONG);
        }
    }
}

impl Again {
    /// Looks at all that is left. An answer that is of no use keeps nobody from the others: it is asked for again with all
    /// behind it, since that is not noted.
    async fn round(&mut self) -> Result<(), AppError> {
        let (mut from, last, mut refused) = (self.noted, self.work.1.news, None);
        while from < last {
            let page = self.page(from).await?;
            let reached = self.take(&page, from, &mut refused).await?.min(last);
            if refused.is_none() && !self.note(from, reached).await? {
                // Something else is followed now, by whoever was begun for that.
                return Ok(());
            }
            from = reached;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Takes over what is said of the things of a page; up to which size of the log that is done.
    async fn take(&self, page: &Page, from: u64, refused: &mut Option<AppError>) -> Result<u64, AppError> {
        let (size, mut reached) = (if page.is_by_name { 0 } else { page.upto }, page.upto);
        for id in &page.ids {
            if page.is_by_name {
                tokio::time::sleep(self.pace.spend(1, Instant::now())).await;
            }
            self.app.until_paced(&self.work.2).await;
            match self.app.take_from_afar(&self.work, id, size, from).await {
                Ok(attested) => reached = reached.min(attested),
                Err(NotTaken::Refused(error)) => *refused = Some(error),
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
        if reached > from {
            return Ok(reached);
        }
        Err(not_heard(&self.work.2, &format!("{reached} entries are shown, {from} were told of before")))
    }

    /// What the home tells of next; where it has no such feed, all that is followed by name.
    async fn page(&self, from: u64) -> Result<Page, AppError> {
        let (_, following, origin) = &self.work;
        let (upto, choices) = (following.news, choices(following));
        let is_by_name = choices.is_empty();
        let watch = Watch { ids: self.ids.clone(), choices, from, wait: None };
        let mut problem = PeerError::Transport("there is no peer that is asked about single things".to_owned());
        for peer in self.app.asked_by_http(origin) {
            match peer.heads(&origin.domain, &watch).await {
                Ok(heads) if from < heads.upto && heads.upto <= heads.size => {
                    let ids = heads.heads.iter().filter_map(|note| pushed(note).map(|(id, _)| id)).collect();
                    return Ok(Page { upto: heads.upto.min(upto), ids, is_by_name: false });
                }
                Ok(_) => problem = PeerError::Malformed("it tells of nothing further, or of more than it has"),
                Err(other) => problem = other,
            }
        }
        match is_by_name {
            true => Ok(Page { upto, ids: self.ids.clone(), is_by_name }),
            false => Err(not_heard(origin, &problem.to_string())),
        }
    }

    /// Notes how far all was looked at again; false where that is somebody else's by now.
    async fn note(&mut self, from: u64, upto: u64) -> Result<bool, AppError> {
        let (target, following, _) = &self.work;
        let (domain, source) = ((target.number, self.returns), following.source.clone());
        let is_noted = self.app.blocking(move |app| Ok(app.store().follow_upto(domain, &source, from, upto)?)).await?;
        self.noted = upto;
        Ok(is_noted)
    }
}
