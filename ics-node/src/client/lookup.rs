//! Finds the thing that a user names, and what is said about it.

use ics_core::identity::{IdentityId, unnamed};
use ics_core::name::Lookup;
use ics_core::record::{Listed, Record, Standing};
use ics_core::vocabulary::{Act, DomainName};

use super::node::{Node, NodeError};
use super::thing::{GivenKey, KeyThing, Thing, ThingError};
use crate::api::problem::Code;
use crate::api::{IdentitySummary, ListQuery, RecordAnswer, ViewAnswer};

/// A thing that was found, and what domains say about it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The thing.
    pub thing: Thing,
    /// What the target domain of a new statement says about it; absent if that domain does not know it yet.
    pub own: Option<RecordAnswer>,
    /// What other domains of the node say about it.
    pub others: Vec<RecordAnswer>,
}

/// Why nothing was found, or nothing unambiguous.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The node gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Nobody knows it.
    #[error("no domain of the node knows `{0}`")]
    Unknown(String),
    /// The name fits several things.
    #[error("`{query}` fits {count} identities: {ids}", count = .ids.len(), ids = .ids.join(", "))]
    Ambiguous {
        /// The query.
        query: String,
        /// The ids that it fits.
        ids: Vec<String>,
    },
    /// All statements about the thing itself are erased, and with them its key, or whatever else is signed over.
    #[error("all that was said of `{0}` itself is erased, including what a signature must cover")]
    Erased(String),
    /// The given key belongs to another thing.
    #[error("the key that was given is not that of `{query}` but of {id}")]
    OtherKey {
        /// The query.
        query: String,
        /// The thing whose key it is.
        id: IdentityId,
    },
    /// The node gave an entry that does not fit.
    #[error("what the node says of `{query}` does not fit together: {reason}")]
    Inconsistent {
        /// The query.
        query: String,
        /// What is wrong.
        reason: String,
    },
}

/// Finds a thing by id or name, in order to make a statement about it in a domain.
///
/// # Errors
/// When the node does not answer, nobody knows the thing, or the name fits several.
pub async fn find(node: &Node, domain: &DomainName, query: &str) -> Result<Found, LookupError> {
    find_by_key(node, domain, query, None).await
}

/// As [`find`], with the key of the thing if it is at hand: no node has the key of a thing about which everything was
/// erased.
///
/// # Errors
/// As those of [`find`], and when the key belongs to another thing.
pub async fn find_by_key(
    node: &Node,
    domain: &DomainName,
    query: &str,
    key: Option<&GivenKey>,
) -> Result<Found, LookupError> {
    let view = node.view(query).await?;
    match view.identities.as_slice() {
        [] => return Err(LookupError::Unknown(query.to_owned())),
        [_] => {}
        ids => return Err(LookupError::Ambiguous { query: query.to_owned(), ids: ids.to_vec() }),
    }
    let (own, others): (Vec<_>, Vec<_>) = view.records.into_iter().partition(|it| it.record.domain == *domain);
    let own = own.into_iter().next();
    let records = || own.iter().chain(&others).map(|answer| &answer.record);
    let of_key = key.map(|key| IdentityId::Key(key.key.fingerprint()));
    if let Some(id) = of_key.filter(|id| records().any(|record| record.identity.id != *id)) {
        return Err(LookupError::OtherKey { query: query.to_owned(), id });
    }
    let source = |gives: fn(&Listed) -> bool| records().find_map(|it| Some((it, introduction(it, gives)?)));
    let source = source(gives_name).or_else(|| source(|_| true));
    let inconsistent = |reason: String| LookupError::Inconsistent { query: query.to_owned(), reason };
    let thing = match source {
        Some((record, index)) => {
            let entry = node.entry(&record.domain, index).await?;
            Thing::of_statement(&entry.body).map_err(|e: ThingError| inconsistent(e.to_string()))?
        }
        None => {
            let forgotten = records().find(|record| about_itself(record).next().is_some());
            let record = forgotten.ok_or_else(|| LookupError::Unknown(query.to_owned()))?;
            let key = key.filter(|_| record.identity.kind.has_key());
            given(key.ok_or_else(|| LookupError::Erased(query.to_owned()))?, record)
        }
    };
    let id = thing.id().map_err(|e| inconsistent(e.to_string()))?;
    if own.iter().chain(&others).any(|answer| answer.record.identity.id != id) {
        return Err(inconsistent("the entry is about something else".to_owned()));
    }
    if !may_mean(query, &id) {
        return Err(inconsistent(format!("it is about {id}")));
    }
    Ok(Found { thing, own, others })
}

/// Whether a query can mean an identity. An id is unambiguous: if the node returns another thing for it, nothing is
/// signed. Only the node knows what a name fits.
fn may_mean(query: &str, id: &IdentityId) -> bool {
    match query.parse() {
        Ok(Lookup::Ids(ids)) => ids.contains(id),
        Ok(Lookup::Name(_)) | Err(_) => true,
    }
}

/// What the node says about an id or a name; `None` if it knows nothing about it. Data that may be missing because
/// copies have not arrived must not hinder anybody from making a statement.
///
/// # Errors
/// When the node does not answer, or cannot say.
pub async fn known(node: &Node, query: &str) -> Result<Option<ViewAnswer>, NodeError> {
    let is_not_here = |code: &str| [Code::UnknownIdentity, Code::Behind].iter().any(|it| it.as_str() == code);
    match node.view(query).await {
        Err(NodeError::Problem(problem)) if is_not_here(problem.code()) => Ok(None),
        view => view.map(Some),
    }
}

/// Asks a domain about an id or a name. One that has not introduced the thing knows no name of it: it is asked once
/// more, by the id to which the node's other domains give the name.
///
/// # Errors
/// When the node does not answer or cannot say, or the domain knows nothing about it.
pub async fn in_domain<T>(
    node: &Node,
    query: &str,
    ask: impl AsyncFn(&str) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let unknown = match ask(query).await {
        Err(NodeError::Problem(problem)) if problem.code() == Code::UnknownIdentity.as_str() => problem,
        answer => return answer,
    };
    let ids = known(node, query).await.ok().flatten().map(|view| view.identities).unwrap_or_default();
    match ids.as_slice() {
        [id] if id != query => ask(id.as_str()).await,
        _ => Err(NodeError::Problem(unknown)),
    }
}

/// Statements about the thing itself rather than its groups.
fn about_itself(record: &Record) -> impl Iterator<Item = &Listed> {
    record.statements.iter().filter(|it| it.by.group.is_none())
}

/// Whether a statement may give the thing its title. Statements that are never erased name nothing.
fn gives_name(it: &Listed) -> bool {
    !it.act.stays() && !matches!(it.standing, Standing::Refused | Standing::Compromised)
}

/// The index of the statement about the thing itself that gives its title in the record, so that what is reviewed and
/// signed is what was looked up. The remnant of an erased statement has no key.
fn introduction(record: &Record, gives: fn(&Listed) -> bool) -> Option<u64> {
    let whole = || about_itself(record).filter(move |it| !it.erased && gives(it));
    let stands = |it: &&Listed| it.standing == Standing::Stands;
    let introduces = |it: &&Listed| stands(it) && it.act == Act::Identity;
    whole().find(introduces).or_else(|| whole().find(stands)).or_else(|| whole().next()).map(|it| it.by.index)
}

/// A thing whose record consists only of remnants of erased statements. Its title is meant to be forgotten.
fn given(key: &GivenKey, record: &Record) -> Thing {
    let (key, kind) = (key.key.clone(), record.identity.kind);
    let user_id = unnamed(kind, &key.fingerprint());
    Thing::Key(Box::new(KeyThing { key, kind, user_id, self_signature: None }))
}

/// What a domain lists.
#[derive(Debug, Default)]
pub struct Listing {
    /// All identities that fit.
    pub items: Vec<IdentitySummary>,
    /// Whether some may be missing: see [`IdentityPage::cut_short`](crate::api::IdentityPage::cut_short).
    pub cut_short: bool,
}

/// All identities of a domain that fit a filter.
///
/// # Errors
/// When the node does not answer.
pub async fn list(node: &Node, domain: &DomainName, query: ListQuery) -> Result<Listing, NodeError> {
    let mut query = ListQuery { limit: Some(ics_core::limits::PAGE_ITEMS), ..query };
    let mut listing = Listing::default();
    loop {
        let page = node.list(domain, &query).await?;
        listing.items.extend(page.items);
        listing.cut_short |= page.cut_short;
        match page.next {
            Some(after) => query.after = Some(after),
            None => return Ok(listing),
        }
    }
}

/// The standing statements of one act about the thing itself.
pub fn standing(record: &Record, act: Act) -> impl Iterator<Item = &Listed> {
    record.statements.iter().filter(move |it| it.act == act && it.standing == Standing::Stands && it.by.group.is_none())
}
