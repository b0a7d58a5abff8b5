//! All that is said of the things of which a signer has spoken, as far as it may be asked for.

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::Listed;
use ics_core::vocabulary::DomainName;

use crate::api::{IdentitySummary, ListQuery};
use crate::client::node::{Node, NodeError};

/// Pages of what a signer has spoken of: 100000 things.
const PAGES: usize = 200;
/// Things of which all that is said is asked for, each by a request of its own.
const LOOKED_AT: usize = 1_000;

/// The things that were looked at.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    looked_at: usize,
}

impl Spoken {
    /// Takes what is said of each thing that is meant; whether these are all.
    pub(super) async fn look(
        &mut self,
        node: &Node,
        domain: &DomainName,
        signer: Fingerprint,
        is_meant: impl Fn(&IdentitySummary) -> bool,
        mut take: impl FnMut(&IdentitySummary, &[Listed]),
    ) -> Result<bool, NodeError> {
        let (signed_by, limit) = (Some(signer.to_string()), Some(limits::PAGE_ITEMS));
        let mut query = ListQuery { signer: signed_by, limit, ..ListQuery::default() };
        for _ in 0..PAGES {
            let page = node.list(domain, &query).await?;
            for thing in page.items.iter().filter(|thing| is_meant(thing)) {
                if self.looked_at >= LOOKED_AT {
                    return Ok(false);
                }
                self.looked_at += 1;
                take(thing, &node.history(domain, &thing.id).await?.items);
            }
            match page.next {
                Some(after) => query.after = Some(after),
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}
