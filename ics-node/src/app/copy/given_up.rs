//! Gives up what came without something that everybody may read, so that it is copied again.

use std::sync::Arc;

use ics_sync::mirror::Stop;

use crate::app::hosted::Hosted;
use crate::app::outbox::json;
use crate::app::{App, AppError};

impl App {
    /// As [`App::gives_up_for`], for a mirror that has stopped.
    pub(super) async fn gives_up(&self, hosted: &Arc<Hosted>, stop: &Stop) -> Result<bool, AppError> {
        let (hosted, stop) = (Arc::clone(hosted), stop.clone());
        self.blocking(move |app| app.gives_up_for(&hosted, &stop)).await
    }

    /// If a copy has stopped because something that everybody may read had been kept back from it, gives up all of it
    /// that nobody was shown yet; returns whether that was kept back among these entries. Otherwise what is shown was
    /// read without it, and only an operator can begin the copy anew.
    pub(super) fn gives_up_for(&self, hosted: &Arc<Hosted>, stop: &Stop) -> Result<bool, AppError> {
        let Stop::KeptBack { index, kind } = stop else { return Ok(false) };
        let shown = self.store().head(hosted.number)?.seal.map_or(0, |seal| seal.size);
        if *index < shown {
            return Ok(false);
        }
        // If somebody else changes the copy now, it is continued from that, and what was kept back is met again.
        let known = hosted.known();
        hosted.change(&known, || self.give_up_unshown(hosted, shown)).transpose()?;
        hosted.moved.send_modify(|moves| *moves += 1);
        let text = format!(
            "entry {index}, a {}, was withheld by whoever had shown the log until then: what was read without it is \
             copied again, from entry {shown} on",
            kind.as_str()
        );
        tracing::warn!(domain = %hosted.name, "{text}");
        self.store().alarm_once(hosted.number, self.clock().now(), "left-out", &text)?;
        Ok(true)
    }

    fn give_up_unshown(&self, hosted: &Hosted, shown: u64) -> Result<(), AppError> {
        let doubt = self.doubt(hosted)?.filter(|doubt| doubt.from < shown);
        let doubt = doubt.as_ref().map(json).transpose()?;
        let mut held = self.store().give_up_unshown(hosted.number, doubt.clone());
        while held.as_ref().is_ok_and(|held| *held > shown) {
            held = self.store().give_up_unshown(hosted.number, doubt.clone());
        }
        // Even if only some are gone, nothing may build upon what the domain was with them.
        hosted.begin_again(self.known_if_sound(hosted)?);
        held?;
        Ok(())
    }
}
