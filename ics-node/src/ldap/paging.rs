//! Searches that wait to be asked for their next page (RFC 2696).
//!
//! They belong to their connection: another connection's cookie is refused. A cookie is good once.

use ics_core::limits;
use ldap3_proto::proto::{LdapResultCode, LdapSearchRequest};

use super::message::Failure;
use super::search::{Kept, Place, Search};
use crate::app::Reader;

#[derive(Debug, Default)]
pub(super) struct Paging {
    last: u64,
    /// Ordered from oldest to newest.
    searches: Vec<(u64, Kept)>,
}

impl Paging {
    /// Keeps a search until its next page is asked for, and returns its cookie. If there is no room, the oldest goes.
    pub(super) fn keep(&mut self, search: Search) -> Vec<u8> {
        self.last += 1;
        if self.searches.len() == limits::LDAP_PAGED_SEARCHES {
            self.searches.remove(0);
        }
        self.searches.push((self.last, search.keep()));
        self.last.to_be_bytes().to_vec()
    }

    /// The search to continue: a new one, or the cookie's. `None` if the client gives it up by asking for a page of no
    /// entries (RFC 2696, 3).
    pub(super) fn resume(
        &mut self,
        place: &Place,
        reader: Reader,
        request: LdapSearchRequest,
        cookie: &[u8],
        size: usize,
    ) -> Result<Option<Search>, Failure> {
        let search = Search::new(place, reader, request)?;
        if cookie.is_empty() {
            return Ok(Some(search));
        }
        let number = <[u8; 8]>::try_from(cookie).map(u64::from_be_bytes).ok();
        let at = self.searches.iter().position(|(held, _)| Some(*held) == number);
        let refused = |text: &str| Failure::new(LdapResultCode::UnwillingToPerform, text);
        let at = at.ok_or_else(|| refused("the cookie is not that of a search that waits"))?;
        let (_, kept) = self.searches.remove(at);
        let search = search.behind(kept).ok_or_else(|| refused("the cookie is that of another search"))?;
        Ok((size > 0).then_some(search))
    }
}
