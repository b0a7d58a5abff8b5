//! Everything that the domains here hold about one key, put together: now, or as it was at given moments.

use std::collections::BTreeMap;

use ics_core::domain::Domain;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::openpgp::transferable::Transferable;
use ics_core::record::{Logged, Record};
use ics_core::time::Timestamp;

use super::moments::Moment;
use super::read::{Sight, certificate_at};
use super::then::Then;
use crate::app::entries::{Said, Snapshot};
use crate::app::keys::FoundKey;
use crate::app::{App, AppError, Reader};

/// What has been collected about a key so far.
#[derive(Default)]
struct Parts {
    bodies: Vec<Vec<u8>>,
    is_blocked: bool,
    modified: Timestamp,
}

impl Parts {
    fn whole(&self, fingerprint: Fingerprint, only: Option<u8>) -> Option<FoundKey> {
        let bodies: Vec<&[u8]> = self.bodies.iter().map(Vec::as_slice).collect();
        let whole = Transferable::of(&bodies, only)?;
        let (openpgp, about) = (whole.to_bytes(), whole.describe());
        Some(FoundKey { fingerprint, openpgp, about, is_blocked: self.is_blocked, modified: self.modified })
    }
}

impl App {
    /// Everything about a key that the reader may read now; with `only`, what is of that OpenPGP version.
    pub(crate) fn whole_key(
        &self,
        reader: Reader,
        sights: &[Sight<'_>],
        fingerprint: Fingerprint,
        only: Option<u8>,
    ) -> Result<Option<FoundKey>, AppError> {
        let mut parts = Parts::default();
        for sight in sights {
            let readable = self.readable(reader, sight, &IdentityId::Key(fingerprint))?;
            let readable = readable.as_ref().map(|(record, said)| (record, said));
            self.gather_key(&mut parts, &sight.entries, &sight.domain, fingerprint, readable, &BTreeMap::new())?;
        }
        Ok(parts.whole(fingerprint, only))
    }

    /// Everything about a key that the reader could read at these moments; with `only`, what is of that OpenPGP
    /// version. `known` is what one of the domains said about it, if that was already read.
    ///
    /// # Errors
    /// When the store fails.
    pub fn key_then<'m>(
        &self,
        reader: Reader,
        moments: impl IntoIterator<Item = &'m Moment>,
        known: Option<(&Moment, &Then)>,
        fingerprint: Fingerprint,
        only: Option<u8>,
    ) -> Result<Option<FoundKey>, AppError> {
        let mut parts = Parts::default();
        for moment in moments {
            let read;
            let then = match known {
                Some((of, then)) if of.number() == moment.number() => then,
                _ => {
                    read = self.then(reader, moment, IdentityId::Key(fingerprint))?;
                    &read
                }
            };
            let readable = then.readable.as_ref().map(|record| (record, &then.said));
            let snapshot = self.log_then(moment).snapshot;
            self.gather_key(&mut parts, &snapshot, moment.rules(), fingerprint, readable, &then.bodies)?;
        }
        Ok(parts.whole(fingerprint, only))
    }

    /// Adds what one domain holds about a key: a signer's certificate and the certifications on it, which everybody may
    /// read, and what was said about a thing, if that is readable. Bodies that are at hand are not read again.
    fn gather_key(
        &self,
        parts: &mut Parts,
        entries: &Snapshot<'_>,
        domain: &Domain,
        fingerprint: Fingerprint,
        readable: Option<(&Record, &Said)>,
        at_hand: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<(), AppError> {
        let mut indices = certificate_at(domain, &fingerprint, entries.size);
        if let Some((record, said)) = readable {
            parts.is_blocked |= record.effect().blocks() || record.cut_short;
            parts.modified = said.about.iter().map(Logged::admitted_at).fold(parts.modified, Timestamp::max);
            indices.extend(said.about.iter().filter(|it| !it.is_refused()).map(Logged::index));
        }
        let missing: Vec<u64> = indices.iter().filter(|index| !at_hand.contains_key(index)).copied().collect();
        let stored =
            if missing.is_empty() { Vec::new() } else { entries.store.entries_at(entries.number, &missing)? };
        let mut stored = stored.into_iter().map(|entry| entry.content.map(|content| content.body));
        for index in indices {
            let body = at_hand.get(&index).cloned();
            parts.bodies.extend(body.or_else(|| stored.next().flatten()));
        }
        Ok(())
    }
}
