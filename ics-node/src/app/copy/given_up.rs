//! Gives up what came without something that everybody may read, so that it is copied again.

use std::sync::Arc;

use ics_core::log::entry::EntryKind;
use ics_sync::mirror::Stop;

use crate::app::entries::kind_key;
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
        let known = hosted.known();
        let shown = self.store().head(hosted.number)?.seal.map_or(0, |seal| seal.size);
        if *index < shown {
            return Ok(false);
        }
        let Some(given_up) = hosted.change(&known, || self.give_up_unshown(hosted, shown)) else {
            // Somebody else has changed the copy: it is continued from that, and what was kept back is met again.
            return Ok(true);
        };
        given_up?;
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
        let (store, number) = (self.store(), hosted.number);
        let doubt = self.doubt(hosted)?.filter(|doubt| doubt.from < shown);
        let doubt = doubt.as_ref().map(json).transpose()?;
        let (size, erasures) = (store.head(number)?.size, [kind_key(EntryKind::Erasure)]);
        let erasures = store.all_positions(number, &erasures, shown..size, usize::MAX)?;
        let erased_upto = erasures.last().map_or(0, |last| last + 1);
        let mut left = store.give_up_unshown(number, doubt.clone(), erased_upto);
        while left.as_ref().is_ok_and(|left| *left > 0) {
            left = store.give_up_unshown(number, doubt.clone(), erased_upto);
        }
        // Even if only some are gone, nothing may build upon what the domain was with them. If it cannot be read now what
        // it is without them, nothing is shown of it until a copier begins and reads that again.
        let (known, unread) = match self.known_if_sound(hosted) {
            Ok(known) => (known, None),
            Err(error) => (None, Some(error)),
        };
        hosted.begin_again(known);
        left?;
        unread.map_or(Ok(()), Err)
    }
}
