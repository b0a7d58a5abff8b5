//! Keeps fetched lists in files across a restart: the next connection may come long after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ics_core::limits;

use super::{Elsewhere, Kept, Key, Place};
use crate::app::{App, AppError};
use crate::x509::read_list;

impl App {
    /// Loads the list kept before the last start. It is verified again, since nobody has guarded the file. From now on
    /// no older one is accepted.
    pub(super) async fn recall(&self, of: &Elsewhere, place: &Place) {
        if place.is_recalled.swap(true, Ordering::Relaxed) {
            return;
        }
        let wanted = of.clone();
        match self.blocking(move |app| app.read_kept_list(&wanted)).await {
            Ok(Some(kept)) => {
                let now = self.clock().now();
                let forgotten = self.0.home_lists.keep(place, kept, now, limits::REVOCATION_LISTS_BYTES);
                self.forget_lists(forgotten).await;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(domain = %of.domain, %error, "a stored revocation list cannot be read"),
        }
    }

    fn read_kept_list(&self, of: &Elsewhere) -> Result<Option<Kept>, AppError> {
        let Some((size, der)) = self.store().kept_list(&of.domain, &name(&of.issuer, of.shard))? else {
            return Ok(None);
        };
        match read_list(&der, &of.authority, &of.url) {
            Ok(read) => Ok(Some(Kept::new(&read, der, size, None))),
            Err(error) => {
                tracing::warn!(domain = %of.domain, error, "a stored revocation list is not valid");
                Ok(None)
            }
        }
    }

    /// Stores a list before anybody gets it, and deletes others. If the disk does not accept it, it is served all the
    /// same.
    pub(super) async fn store_list(&self, of: &Elsewhere, der: Arc<[u8]>, forgotten: Vec<Key>) {
        let (domain, name, size) = (of.domain.clone(), name(&of.issuer, of.shard), of.size);
        let stored = self.blocking(move |app| Ok(app.store().keep_list(&domain, &name, size, &der)?));
        if let Err(error) = stored.await {
            tracing::error!(domain = %of.domain, %error, "a revocation list could not be stored for a restart");
        }
        self.forget_lists(forgotten).await;
    }

    async fn forget_lists(&self, forgotten: Vec<Key>) {
        if forgotten.is_empty() {
            return;
        }
        let removed = self.blocking(move |app| {
            let forget = |(domain, issuer, shard): Key| app.store().forget_list(&domain, &name(&issuer, shard));
            Ok(forgotten.into_iter().try_for_each(forget)?)
        });
        if let Err(error) = removed.await {
            tracing::error!(%error, "a revocation list that was dropped is still on the disk");
        }
    }
}

/// The name of a list's file.
pub(super) fn name(issuer: &str, shard: u8) -> String {
    format!("{issuer}-{shard}")
}
