//! What is already known about a thing that is to be introduced.

use ics_core::name::Name;
use ics_core::statement::{self, Body, Claims};
use ics_core::vocabulary::Act;

use super::exit::{Exit, Failure};
use super::words::clean;
use crate::api::RecordAnswer;
use crate::client::lookup;
use crate::client::node::Node;
use crate::client::signing::Signing;
use crate::client::thing::{Thing, called};

/// The names that a thing would have, including that of its key: a blocked thing could otherwise come back with the
/// same key under another fingerprint.
pub(super) fn names_of(thing: &Thing, claims: &Claims) -> Vec<Name> {
    let spki = match thing {
        Thing::Key(thing) => thing.key.spki_sha256().map(Name::Spki),
        Thing::Document(_) => None,
    };
    claims.names.iter().cloned().chain(spki).collect()
}

/// The statement by which the signer introduced a thing before, in the same words: after an interruption the signer
/// runs the whole command again.
pub(super) async fn said_before(
    node: &Node,
    signing: &Signing,
    thing: &Thing,
    claims: &Claims,
) -> Result<Option<Vec<u8>>, Failure> {
    let id = thing.id().map_err(|e| Failure::new(Exit::Internal, e))?.to_string();
    let view = lookup::known(node, &id).await?;
    let mut answers = view.iter().flat_map(|view| &view.records);
    let Some(answer) = answers.find(|it| it.record.domain == *signing.domain()) else { return Ok(None) };
    let signer = signing.fingerprint();
    for said in lookup::standing(&answer.record, Act::Identity).filter(|it| it.by.signer == signer) {
        let body = node.entry(signing.domain(), said.by.index).await?.body;
        if says(&body, thing, claims) {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// Whether a statement says this about that thing. The order of names and groups does not matter.
fn says(body: &[u8], thing: &Thing, claims: &Claims) -> bool {
    let Ok(Body::Statement(said)) = statement::parse(body) else { return false };
    let in_order = |claims: &Claims| {
        let mut claims = claims.clone();
        claims.names.sort();
        claims.groups.sort_unstable();
        claims
    };
    Thing::of_statement(body).is_ok_and(|other| other == *thing) && in_order(said.claims()) == in_order(claims)
}

/// Refuses what was most likely not meant: introducing a thing twice, or under a name of another thing, since a look-up
/// by that name would then find neither. `advice` says how to do it all the same.
pub(super) async fn refuse_known(
    node: &Node,
    signing: &Signing,
    thing: &Thing,
    claims: &Claims,
    advice: &str,
) -> Result<(), Failure> {
    let id = thing.id().map_err(|e| Failure::new(Exit::Internal, e))?.to_string();
    let own = |it: &&RecordAnswer| it.record.domain == *signing.domain();
    let refused = |what: String| Failure::new(Exit::Refused, what).hint(advice);
    if let Some(view) = lookup::known(node, &id).await?
        && let Some(answer) = view.records.iter().find(own)
        && let Some(said) =
            lookup::standing(&answer.record, Act::Identity).find(|it| it.by.signer == signing.fingerprint())
    {
        let called = clean(&called(answer.record.identity.kind, &answer.record.title));
        return Err(refused(format!("it is published already: {called}, entry {}", said.by.index)));
    }
    for name in names_of(thing, claims) {
        let view = lookup::known(node, &name.to_string()).await?;
        let records = view.iter().flat_map(|view| &view.records).filter(own).map(|answer| &answer.record);
        if let Some(other) = records.into_iter().find(|record| record.identity.id.to_string() != id) {
            let (called, id) = (clean(&called(other.identity.kind, &other.title)), other.identity.id);
            let status = other.status.as_ref().map(|it| format!(", whose status is `{}`", it.decides.name));
            let status = status.unwrap_or_default();
            return Err(refused(format!("`{name}` is the name of another thing: {called}, {id}{status}")));
        }
    }
    Ok(())
}
