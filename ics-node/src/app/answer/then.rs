//! A thing as of an earlier moment: what its domain had said about it by then is read once, for all answers made from
//! it.

use std::collections::BTreeMap;

use ics_core::identity::IdentityId;
use ics_core::record::{Record, resolve};

use super::everything::is_introduction;
use super::moments::Moment;
use crate::app::entries::{Said, entries_about};
use crate::app::{App, AppError, Reader};

/// What a domain said about an identity at a moment.
pub struct Then {
    pub(in crate::app) id: IdentityId,
    pub(in crate::app) said: Said,
    /// The bodies of the statements about it, by their indices in the log.
    pub(in crate::app) bodies: BTreeMap<u64, Vec<u8>>,
    /// The record that results, if the reader could read it.
    pub(in crate::app) readable: Option<Record>,
}

impl Then {
    /// Whether a listing of everything finds the thing by the entry at this index: the first that introduces it, or, if
    /// nothing introduces it, the first about it at all.
    #[must_use]
    pub fn is_found_at(&self, index: u64) -> bool {
        let about = &self.said.about;
        let first = about.iter().find(|it| is_introduction(it)).or_else(|| about.first());
        first.is_some_and(|first| first.index() == index)
    }

    /// The record, if the reader could read it.
    #[must_use]
    pub const fn record(&self) -> Option<&Record> {
        self.readable.as_ref()
    }

    /// The body of a statement that the record lists as one about the thing itself, if it is held here.
    #[must_use]
    pub fn body(&self, index: u64) -> Option<&[u8]> {
        self.bodies.get(&index).map(Vec::as_slice)
    }
}

impl App {
    /// What a domain said about the identity with this id; as always, nothing if two identities share the id.
    ///
    /// # Errors
    /// When the store fails, or what is left of something erased cannot be read yet.
    pub fn thing_then(&self, reader: Reader, moment: &Moment, id: &str) -> Result<Option<Then>, AppError> {
        let mut found = None;
        for id in IdentityId::candidates(id).unwrap_or_default() {
            let then = self.then(reader, moment, id)?;
            if then.said.about.is_empty() {
                continue;
            }
            if found.is_some() {
                return Ok(None);
            }
            found = Some(then);
        }
        Ok(found)
    }

    pub(in crate::app) fn then(&self, reader: Reader, moment: &Moment, id: IdentityId) -> Result<Then, AppError> {
        let (log, rules) = (self.log_then(moment), moment.rules());
        let entries = entries_about(&log, &id)?;
        let mut said = Said::of(&log, rules, &id, &entries)?;
        if said.unseen {
            said = said.with_left(&log, rules, self.left_unshown(moment, &id)?)?;
        }
        let resolved = || resolve(moment.shown_rules(), &id, &said.about, &said.groups, moment.at());
        let record = if self.may_read_any(reader, rules) { resolved() } else { None };
        let readable = record.filter(|record| self.may_read(reader, rules, record));
        let body = |entry: crate::store::StoredEntry| Some((entry.index, entry.content?.body));
        Ok(Then { id, said, bodies: entries.into_iter().filter_map(body).collect(), readable })
    }
}
