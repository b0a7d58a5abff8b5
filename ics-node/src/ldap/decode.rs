//! The decoders of clients' bytes, as functions of bytes alone, for fuzzing.

use super::dn::Dn;
use super::encode::{Encoded, Selection};
use super::message::{self, Framed, Request};
use super::sync::{Cookie, Cursor};
use super::tree::{Suffix, Tree};
use super::{filter, keyspace};
use crate::app::Reader;
use ldap3_proto::proto::LdapOp;

/// What the directory makes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The message is not complete yet.
    Part,
    /// The message ends the session.
    Broken,
    /// The message is answered with a failure.
    Refused,
    /// A request of this many bytes. If it is a search, its filter has been evaluated against entries.
    Request(usize),
}

/// Reads the message at the start of the bytes.
#[must_use]
pub fn message(bytes: &[u8]) -> Message {
    let length = match message::frame(bytes) {
        Framed::Part => return Message::Part,
        Framed::Broken(_) => return Message::Broken,
        Framed::Whole(length) => length,
    };
    match message::read(bytes.get(..length).unwrap_or_default()) {
        Request::Broken(_) => Message::Broken,
        Request::Refused { .. } => Message::Refused,
        Request::Asked { op, .. } => {
            if let LdapOp::SearchRequest(request) = *op {
                let tree = Tree::new(Suffix::default());
                drop(tree.node(&request.base));
                drop((filter::plan(&request.filter), keyspace::plan(&request.filter)));
                let selection = Selection::new(&request.attrs, request.typesonly);
                let asked = filter::prepared(request.filter);
                for made in [tree.suffix_entry(), tree.server_info_entry(), tree.subschema_entry()] {
                    filter::matches(&asked, &made);
                    drop(Encoded::new(&made, &selection));
                }
            }
            // The key under which an answer is remembered is made from the same bytes.
            super::session::is_remembered(Reader::Anonymous, bytes.get(..length).unwrap_or_default());
            Message::Request(length)
        }
    }
}

/// Reads a distinguished name and writes it back.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    Some(Dn::parse(text).ok()?.to_string())
}

/// Reads a cookie, of the tree or of a log kept in step, and writes it back.
#[must_use]
pub fn cookie(bytes: &[u8]) -> Option<Vec<u8>> {
    let of_tree = Cookie::read(bytes).map(|cookie| cookie.write());
    of_tree.or_else(|| Cursor::read(bytes).map(|cursor| cursor.write()))
}
