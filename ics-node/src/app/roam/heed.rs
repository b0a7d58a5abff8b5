//! Heeding grants without a copy: a thing over which a domain of this node has granted a role is asked about again in
//! the domains that it follows. [`crate::app::following::heed`] says why.
//!
//! This runs beside the listening and does not affect its progress: what is reported meanwhile arrives as usual.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ics_core::identity::IdentityId;
use ics_core::record::ever_given;
use tokio::task::JoinSet;

use super::follow::{NotTaken, Work};
use crate::app::following::follow::choices;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Following, Unheeded};

/// The pause between two checks for new grants.
const IDLE: Duration = Duration::from_secs(1);
/// The pause after a useless answer, or while a whole domain is being looked at again: somebody who grants again and
/// again must not restart that each time.
const LONG: Duration = Duration::from_secs(60);

/// Runs rounds of heeding grants, one at a time.
#[derive(Default)]
pub(super) struct Heeding {
    round: JoinSet<Duration>,
    rests_until: Option<Instant>,
}

impl Heeding {
    /// Begins the next round about what is followed, if it is time.
    pub(super) fn keep(&mut self, app: &App, work: &[Work]) {
        if let Some(rest) = self.round.try_join_next() {
            self.rests_until = Instant::now().checked_add(rest.unwrap_or(LONG));
        }
        let is_time = self.rests_until.is_none_or(|until| until <= Instant::now());
        if is_time && self.round.is_empty() && !work.is_empty() {
            self.round.spawn(app.clone().heed_from_afar(work.to_vec()));
        }
    }
}

impl App {
    /// Heeds the grants of all domains that follow others without a copy; returns how long to rest after that.
    async fn heed_from_afar(self, all: Vec<Work>) -> Duration {
        let mut rest = IDLE;
        for work in &all {
            let Work { target, following, .. } = work;
            match self.heed_in(work).await {
                Ok(false) => {}
                Ok(true) => rest = LONG,
                Err(error) => {
                    let (domain, source) = (&target.name, &following.source);
                    tracing::warn!(%domain, %source, %error, "what was granted is not heeded yet");
                    rest = LONG;
                }
            }
        }
        rest
    }

    /// Heeds the grants that concern one followed domain; returns whether all of it is looked at again.
    async fn heed_in(&self, work: &Work) -> Result<bool, AppError> {
        let Work { target, following, origin, .. } = work;
        let (into, of) = (Arc::clone(target), following.clone());
        let Unheeded { things, groups } = self.blocking(move |app| app.unheeded_elsewhere(&into, &of)).await?;
        let mut refused = None;
        for (entry, id) in things {
            self.until_paced(origin).await;
            match self.take_from_afar(work, &id, (0, 0), following.upto).await {
                Ok(_) => self.heeded(work, vec![entry]).await?,
                // This says nothing about other things; it is asked about again.
                Err(NotTaken::Refused(error)) => refused = Some(error),
                Err(NotTaken::Failed(error)) => return Err(error),
            }
        }
        let is_sent_back = self.heed_groups(work, groups).await?;
        refused.map_or(Ok(is_sent_back), Err)
    }

    async fn heeded(&self, Work { target, following, .. }: &Work, entries: Vec<u64>) -> Result<(), AppError> {
        let (number, source) = (target.number, following.source.clone());
        self.blocking(move |app| Ok(app.store().have_heeded(number, &source, entries)?)).await
    }

    async fn heed_groups(&self, Work { target, following, .. }: &Work, entries: Vec<u64>) -> Result<bool, AppError> {
        if entries.is_empty() {
            return Ok(false);
        }
        let (number, source) = (target.number, following.source.clone());
        let heeds = move |app: &Self| {
            let is_sent_back = app.store().heed_anew(number, &source, entries)?;
            if is_sent_back {
                app.follows_changed();
            }
            Ok(is_sent_back)
        };
        self.blocking(heeds).await
    }

    /// The grants for which a domain has to be asked; those over things that are not followed there are done with.
    fn unheeded_elsewhere(&self, target: &Hosted, following: &Following) -> Result<Unheeded, AppError> {
        let Unheeded { things, groups } =
            self.store().unheeded(target.number, &following.source, self.clock().now())?;
        let (mut wanted, mut others) = (Vec::new(), Vec::new());
        for (entry, id) in things {
            match self.may_be_followed(target, following, &id)? {
                true => wanted.push((entry, id)),
                false => others.push(entry),
            }
        }
        if !others.is_empty() {
            self.store().have_heeded(target.number, &following.source, others)?;
        }
        Ok(Unheeded { things: wanted, groups })
    }

    /// Whether a thing is followed individually, or may belong to a followed model or lot: only its home may know its
    /// model yet.
    fn may_be_followed(&self, target: &Hosted, following: &Following, id: &str) -> Result<bool, AppError> {
        let choices = choices(following);
        if self.store().is_followed(target.number, &following.source, id)? {
            return Ok(true);
        }
        if choices.is_empty() {
            return Ok(false);
        }
        let sight = self.sight(target)?;
        for id in IdentityId::candidates(id).unwrap_or_default() {
            let Some((record, said)) = self.resolve(&sight, &id)? else { continue };
            let given = ever_given(&said.about);
            if record.cut_short || given.is_empty() || choices.iter().any(|choice| choice.fits(&given)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
