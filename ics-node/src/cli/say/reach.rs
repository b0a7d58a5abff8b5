//! Groups without a known member in the domain in which something is said: the statement would apply to nothing.

use ics_core::identity::Kind;
use ics_core::limits;
use ics_core::record::Standing;
use ics_core::vocabulary::{Act, DomainName};

use super::Saying;
use crate::api::ListQuery;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::words::{clean, counted};
use crate::client::lookup::Found;
use crate::client::node::{Node, NodeError};
use crate::client::signing::Signing;

/// Warns of statements that will apply to no member of their group: in each domain, membership is judged by what is
/// said there. Blocks are then refused unless that is meant, since whoever believes that a recall is done looks no
/// further.
pub(crate) async fn check_members(
    context: &Context,
    node: &Node,
    signing: &Signing,
    sayings: &[Saying],
    is_meant: bool,
) -> Result<(), Failure> {
    for saying in sayings.iter().filter(|it| it.found.thing.kind() == Kind::Group && !it.is_withdrawal()) {
        let Some(text) = without_members(node, signing.domain(), &saying.found).await? else { continue };
        if saying.blocks(signing) && !is_meant {
            return Err(Failure::new(Exit::Refused, text).hint(
                "`ics adopt --from DOMAIN --follow` takes things over, by --model, --lot or their ids; \
                 --without-members says it all the same",
            ));
        }
        context.output.note(&text);
    }
    Ok(())
}

/// A warning if the domain knows no member of a group that it has not published itself, or of which others know
/// members. The domain's own group may be older than everything that it selects.
async fn without_members(node: &Node, domain: &DomainName, found: &Found) -> Result<Option<String>, Failure> {
    let id = found.thing.id().map(|id| id.to_string()).unwrap_or_default();
    // If the domain cannot be asked, the statement is simply let through.
    if members(node, domain, &id).await?.is_none_or(|known| known.count > 0) {
        return Ok(None);
    }
    let mut elsewhere = Vec::new();
    for other in found.others.iter().map(|answer| &answer.record.domain) {
        let known = members(node, other, &id).await?.filter(|known| known.count > 0);
        elsewhere.extend(known.map(|known| known.text(other)));
    }
    if elsewhere.is_empty() && is_published(found) {
        return Ok(None);
    }
    let called = clean(&found.thing.called());
    let known = match elsewhere.is_empty() {
        true => format!("no thing of {called} is known in `{domain}`"),
        false => format!("of {called}, {}, and none in `{domain}`", elsewhere.join(", ")),
    };
    Ok(Some(format!("{known}: it will hold for none of them until they are adopted or published there")))
}

/// Whether the domain itself introduces the group.
fn is_published(found: &Found) -> bool {
    let mut said = found.own.iter().flat_map(|answer| &answer.record.statements);
    said.any(|it| it.act == Act::Identity && it.standing == Standing::Stands)
}

/// The members of a group that a domain shows.
struct Known {
    count: usize,
    /// Whether there may be more.
    more: bool,
}

impl Known {
    fn text(&self, domain: &DomainName) -> String {
        let least = if self.more { "at least " } else { "" };
        let are = if self.count == 1 { "is" } else { "are" };
        format!("{least}{} {are} known in `{domain}`", counted(self.count, "thing"))
    }
}

/// The members that a domain shows, at most a page of them; `None` if it does not answer that.
async fn members(node: &Node, domain: &DomainName, group: &str) -> Result<Option<Known>, NodeError> {
    let (group, limit) = (Some(group.to_owned()), Some(limits::PAGE_ITEMS));
    let mut query = ListQuery { group, limit, ..ListQuery::default() };
    loop {
        let page = match node.list(domain, &query).await {
            Ok(page) => page,
            Err(NodeError::Problem(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let count = page.items.iter().filter(|item| item.kind != Kind::Group).count();
        match page.next {
            Some(after) if count == 0 => query.after = Some(after),
            next => return Ok(Some(Known { count, more: next.is_some() || page.cut_short })),
        }
    }
}
