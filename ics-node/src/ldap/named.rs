//! The entry with a given name, and the nearest entry above a name that does not exist.

use ics_core::time::Timestamp;

use super::entry::{self, Entry};
use super::keyspace;
use super::message::Failure;
use super::search::{Place, failed};
use super::tree::Node;
use crate::api::problem::Code;
use crate::app::{Mark, Reader, Thing};

/// An entry, when time alone changes it, and marks of what it is made from; no marks if it is made from more than what
/// is known of one thing.
pub(super) type Dated = (Entry, Option<Timestamp>, Vec<Mark>);

/// The entry with a name, if it exists and the reader may see it.
pub(super) fn entry_of(place: &Place, reader: Reader, node: &Node) -> Result<Option<Dated>, Failure> {
    let (app, tree) = (&place.app, &place.tree);
    let (mut changes_at, mut marks) = (None, Vec::new());
    let entry = match node {
        Node::Root => tree.root_entry(place.has_tls),
        Node::Subschema => tree.subschema_entry(),
        Node::Suffix => tree.suffix_entry(),
        Node::Log => tree.logs_entry(),
        Node::LogOf(domain) => match (app.domain(domain), app.checkpoint(domain)) {
            (Ok(info), Ok(note)) => {
                let shown = info.shown.as_ref().map_or(0, |shown| shown.size);
                entry::log(tree, &info, shown, Some(&note), &[])
            }
            (Err(error), _) if error.code() == Code::UnknownDomain => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(failed(&error)),
        },
        Node::LogEntry(domain, index) => match app.entries(reader, domain, *index, 1, None) {
            Ok(page) => match page.entries.first() {
                Some(told) => entry::log_entry(tree, domain, *index, told),
                None => return Ok(None),
            },
            Err(error) if matches!(error.code(), Code::UnknownDomain | Code::OutOfRange) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        },
        Node::ServerInfo => tree.server_info_entry(),
        Node::KeySpace => tree.key_space_entry(),
        Node::Key(id) => match keyspace::by_id(place, reader, id)? {
            Some(entry) => entry,
            None => return Ok(None),
        },
        Node::Domain(domain) => match app.domain(domain) {
            Ok(info) => entry::domain(tree, &info, app.checkpoint(domain).ok().as_deref()),
            Err(error) if error.code() == Code::UnknownDomain => return Ok(None),
            Err(error) => return Err(failed(&error)),
        },
        Node::Identity(domain, id) => {
            let looked = app.thing(reader, domain, id).map_err(|error| failed(&error))?;
            let Some(thing) = looked.thing else { return Ok(None) };
            (changes_at, marks) = (thing.record.changes_at, looked.marks);
            entry::identity(tree, &thing.record, Some((&thing.as_of, thing.domain)))
        }
        Node::Statement(domain, id, statement) => {
            let looked = app.thing(reader, domain, id).map_err(|error| failed(&error))?;
            let said = |thing: &Thing| {
                entry::direct(&thing.record).find(|said| said.by.statement.to_string() == *statement).cloned()
            };
            let Some((thing, said)) = looked.thing.and_then(|thing| said(&thing).map(|said| (thing, said))) else {
                return Ok(None);
            };
            let bodies = app.bodies_of(domain, &[said.by.index]).map_err(|error| failed(&error))?;
            let body = bodies.into_iter().next().flatten();
            (changes_at, marks) = (thing.record.changes_at, looked.marks);
            entry::statement(tree, &thing.record, &said, body.as_deref())
        }
    };
    Ok(Some((entry, changes_at, marks)))
}

/// The name of the nearest entry above one that does not exist (RFC 4511, 4.1.9), of those that the reader may see.
pub(super) fn above(place: &Place, reader: Reader, node: &Node) -> String {
    let is_there = |node: &Node| matches!(entry_of(place, reader, node), Ok(Some(_)));
    let tree = &place.tree;
    match node {
        Node::Statement(domain, id, _) if is_there(&Node::Identity(domain.clone(), id.clone())) => {
            format!("{}={id},{}", super::schema::IDENTITY.name(), tree.domain_dn(domain))
        }
        Node::Statement(domain, ..) | Node::Identity(domain, _) if is_there(&Node::Domain(domain.clone())) => {
            tree.domain_dn(domain)
        }
        Node::Key(_) => tree.key_space_dn(),
        Node::Root | Node::Subschema | Node::Log => String::new(),
        Node::LogOf(_) | Node::LogEntry(..) => super::tree::LOG.to_owned(),
        _ => tree.suffix_text().to_owned(),
    }
}
