//! Reads all statements about the things about which a signer has spoken, within bounds.

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::Listed;
use ics_core::vocabulary::DomainName;

use crate::api::{IdentitySummary, ListQuery};
use crate::cli::context::Context;
use crate::client::node::{Node, NodeError};

/// Pages of things about which a signer has spoken: 100,000 things.
const PAGES: usize = 200;
/// Things whose statements are read, each by a request of its own.
const LOOKED_AT: usize = 1_000;

/// Calls `take` for what is said about each thing meant, for each of these signers who has spoken about it. Returns
/// whether all were covered.
pub(super) fn look_through(
    context: &Context,
    node: Option<&Node>,
    domain: &DomainName,
    signers: impl IntoIterator<Item = Fingerprint>,
    is_meant: impl Fn(&IdentitySummary) -> bool,
    mut take: impl FnMut(Fingerprint, &IdentitySummary, &[Listed]),
) -> bool {
    let Some(node) = node else { return false };
    let (mut spoken, mut is_complete) = (Spoken::default(), true);
    for signer in signers {
        let take = |thing: &IdentitySummary, said: &[Listed]| take(signer, thing, said);
        let looked = context.wait(async { Ok(spoken.look(node, domain, signer, &is_meant, take).await?) });
        is_complete &= looked.unwrap_or(false);
    }
    is_complete
}

/// The things that were looked at.
#[derive(Debug, Default)]
struct Spoken {
    looked_at: usize,
}

impl Spoken {
    async fn look(
        &mut self,
        node: &Node,
        domain: &DomainName,
        signer: Fingerprint,
        is_meant: impl Fn(&IdentitySummary) -> bool,
        mut take: impl FnMut(&IdentitySummary, &[Listed]),
    ) -> Result<bool, NodeError> {
        let (signed_by, limit) = (Some(signer.to_string()), Some(limits::PAGE_ITEMS));
        let (mut query, mut is_all) = (ListQuery { signer: signed_by, limit, ..ListQuery::default() }, true);
        for _ in 0..PAGES {
            let page = node.list(domain, &query).await?;
            is_all &= !page.cut_short;
            for thing in page.items.iter().filter(|thing| is_meant(thing)) {
                if self.looked_at >= LOOKED_AT {
                    return Ok(false);
                }
                self.looked_at += 1;
                take(thing, &node.history(domain, &thing.id).await?.items);
            }
            match page.next {
                Some(after) => query.after = Some(after),
                None => return Ok(is_all),
            }
        }
        Ok(false)
    }
}
