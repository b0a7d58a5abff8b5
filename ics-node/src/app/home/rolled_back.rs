//! A home whose witness knows more of its log than the home holds, or another log: the home was restored from a copy
//! together with the heads' files, and would sign a second history.
//!
//! The size that a witness names is just its word, with which any witness could silence a home. But the checkpoint that
//! it has seen bears a signature of the home's own key, which nobody can forge. A former key no longer counts: what it
//! has signed beyond the head that a new epoch cites was given up by the owners.

use std::sync::Arc;

use ics_core::log::checkpoint::Checkpoint;

use super::recover::SILENT;
use super::witnesses::Witness;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::store::{Fork, Seal, Standing};

impl App {
    /// Asks a witness that claims to have seen more, or another log, for the checkpoint, and silences the domain if the
    /// claim is true. Returns whether the domain is silent.
    pub(in crate::app) async fn heed(&self, hosted: &Arc<Hosted>, witness: &Witness) -> Result<bool, AppError> {
        let Some(held) = held_by(hosted, witness).await else { return Ok(false) };
        let (hosted, name) = (Arc::clone(hosted), witness.name.clone());
        self.blocking(move |app| {
            app.store().heed(hosted.number, held.clone())?;
            let is_silent = app.is_silent(&hosted)?;
            if is_silent {
                app.tell_of_witness(&hosted, &held, name.as_str())?;
            }
            Ok(is_silent)
        })
        .await
    }

    /// Reports what was found, and stores both heads if they contradict each other.
    fn tell_of_witness(&self, hosted: &Hosted, held: &Seal, witness: &str) -> Result<(), AppError> {
        let (head, now) = (self.store().head(hosted.number)?, self.clock().now());
        let proof = format!("the witness `{witness}` shows a checkpoint with this home's signature");
        let text = match self.store().standing(hosted.number)? {
            Standing::Forked { .. } => {
                let ours = head.seal.map(|seal| seal.note).unwrap_or_default();
                let theirs = held.note.clone();
                self.store().keep_fork(Fork { domain: Some(hosted.number), at: now, ours, theirs })?;
                format!(
                    "{proof} of another log of {} entries, a fork: nothing is accepted or signed any more; `ics domain \
                     forks` shows both, and `ics restore --begin-anew` begins a new epoch",
                    held.size
                )
            }
            _ => format!(
                "{proof} of {} entries, but {} are held here: nothing is accepted or signed until all are back; `ics \
                 restore` gets them from mirrors, or tells what else can be done",
                held.size, head.size
            ),
        };
        tracing::error!(domain = %hosted.name, "{text}");
        Ok(self.store().alarm(Some(hosted.number), now, SILENT, &text)?)
    }
}

/// The checkpoint of this domain that the witness shows, if the home's key has signed it. Witnesses that run other
/// programs show none: then the alarm is the only consequence of what they say.
async fn held_by(hosted: &Hosted, witness: &Witness) -> Option<Seal> {
    let (origin, domain) = (hosted.origin()?, hosted.domain()?);
    let key = domain.descriptor().home.home_of(&origin).ok()?;
    let shown = witness.http.witnessed(&origin).await.map_err(|error| error.to_string());
    let opened = shown.and_then(|note| match Checkpoint::open(&note, &key) {
        Ok(Checkpoint { size, root, .. }) => Ok(Seal { size, root, note, cosigned_at: None }),
        Err(error) => Err(error.to_string()),
    });
    opened
        .inspect_err(|error| {
            tracing::debug!(domain = %hosted.name, witness = %witness.name, %error, "it proves nothing");
        })
        .ok()
}
