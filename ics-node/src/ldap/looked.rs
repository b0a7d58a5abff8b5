//! Limits how much a search may look through without finding anything to return.

use ics_core::limits;
use ldap3_proto::proto::LdapResultCode;

use super::message::Failure;
use super::search::failed;
use crate::app::{Reader, random};

/// What one search, or one page of it, has looked through so far.
#[derive(Debug, Default)]
pub(super) struct Looked {
    entries: usize,
    /// How many it may look through; drawn once [`limits::LDAP_LOOK_THROUGH`] is passed.
    most: Option<usize>,
}

impl Looked {
    /// A search with a known bound.
    #[cfg(test)]
    pub(super) const fn bounded(entries: usize, most: usize) -> Self {
        Self { entries, most: Some(most) }
    }

    /// Counts entries that were looked at and are not sent.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn through(&mut self, reader: Reader, entries: usize) -> Result<(), Failure> {
        self.entries += entries;
        if self.entries <= limits::LDAP_LOOK_THROUGH || reader == Reader::Operator {
            return Ok(());
        }
        let most = match self.most {
            Some(most) => most,
            None => *self.most.insert(drawn()?),
        };
        if self.entries <= most {
            return Ok(());
        }
        let least = limits::LDAP_LOOK_THROUGH;
        let text = format!("the search was given up after some {least} entries: ask for an id, a name or a lot");
        Err(Failure::new(LdapResultCode::AdminLimitExceeded, text))
    }
}

/// Draws a bound that nobody can know in advance. Entries that a reader may not see are counted too: with a known
/// bound, the reader could ask for just as much as passes plus one hidden entry, and so learn whether it exists.
fn drawn() -> Result<usize, Failure> {
    let drawn = u32::from_be_bytes(random().map_err(|error| failed(&error))?);
    let more = usize::try_from(drawn).unwrap_or_default() % limits::LDAP_LOOK_THROUGH;
    Ok(limits::LDAP_LOOK_THROUGH + more)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::problem::Code;
    use crate::app::AppError;

    /// How many entries an anonymous search gets through, one by one.
    fn got_through() -> usize {
        let mut looked = Looked::default();
        (0..).find(|_| looked.through(Reader::Anonymous, 1).is_err()).expect("there is a bound")
    }

    #[test]
    fn nobody_knows_where_the_bound_is() {
        let bounds: BTreeSet<usize> = (0..32).map(|_| got_through()).collect();
        let drawn = limits::LDAP_LOOK_THROUGH..2 * limits::LDAP_LOOK_THROUGH;
        assert!(bounds.iter().all(|bound| drawn.contains(bound)), "{bounds:?}");
        assert!(bounds.len() > 16, "{bounds:?}");
    }

    #[test]
    fn one_search_has_one_bound_and_the_operator_has_none() {
        let mut looked = Looked::default();
        let end = 2 * limits::LDAP_LOOK_THROUGH;
        assert!(looked.through(Reader::Anonymous, limits::LDAP_LOOK_THROUGH).is_ok());
        let refused = looked.through(Reader::Anonymous, limits::LDAP_LOOK_THROUGH).expect_err("too many");
        assert_eq!(refused.code, LdapResultCode::AdminLimitExceeded);
        assert!(looked.through(Reader::Anonymous, 0).is_err(), "it is not drawn again");
        assert!(Looked::default().through(Reader::Operator, end).is_ok());
    }

    #[test]
    fn a_bound_of_a_use_case_is_one_of_the_directory() {
        let error = AppError::new(Code::OutOfRange, "more than 1000 statements");
        assert_eq!(failed(&error), Failure::new(LdapResultCode::AdminLimitExceeded, "more than 1000 statements"));
    }
}
