//! Finds a group by its name.

use std::collections::BTreeSet;

use ics_core::name::Lookup;
use ics_core::vocabulary::DomainName;

use crate::api::ListQuery;
use crate::cli::exit::{Exit, Failure};
use crate::client::lookup;
use crate::client::node::{Node, NodeError};
use crate::client::signing::Signing;

/// The id of the one published group with that name: in the domain in which something is to be said about it, or else
/// in another one of the node, as for single things. An id, rather than a name, is returned as it is.
pub(super) async fn group_named(node: &Node, signing: &Signing, name: &str) -> Result<String, Failure> {
    if matches!(name.parse(), Ok(Lookup::Ids(_))) {
        return Ok(name.to_owned());
    }
    let mut named = groups_named(node, signing.domain(), name).await?;
    if named.is_empty() {
        for other in node.domains().await?.iter().map(|it| &it.info.domain).filter(|it| *it != signing.domain()) {
            match groups_named(node, other, name).await {
                Ok(groups) => named.extend(groups),
                // A domain that gives no answer now must not hinder the use of a group of another.
                Err(NodeError::Problem(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    match named.iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::new(Exit::NotFound, format!("no domain of the node has a group `{name}`"))
            .hint("`ics publish --group NAME --select lot=…` makes one; `ics list --kind group` shows them")),
        several => {
            let ids = several.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::new(Exit::Refused, format!("`{name}` is the name of {} groups", several.len()))
                .hint(format!("name one by its id: {ids}")))
        }
    }
}

/// The ids of a domain's groups with that name.
async fn groups_named(node: &Node, domain: &DomainName, name: &str) -> Result<BTreeSet<String>, NodeError> {
    let query = ListQuery { kind: Some("group".to_owned()), ..ListQuery::default() };
    // What is said of groups is never erased, so none of them is missing.
    let groups = lookup::list(node, domain, query).await?.items;
    Ok(groups.into_iter().filter(|item| item.title == name).map(|item| item.id).collect())
}
