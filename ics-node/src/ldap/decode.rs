//! What reads bytes of clients, as functions of bytes alone: for whoever looks for input that breaks a promise.

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
    /// The beginning of one.
    Part,
    /// It ends the session.
    Broken,
    /// It is answered with a failure.
    Refused,
    /// A request of so many bytes. Of a search, the filter has been held against entries.
    Request(usize),
}

/// Reads the message that the bytes begin with.
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
                for made in [tree.suffix_entry(), tree.server_info_entry(), tree.subschema_entry()] {
                    filter::matches(&request.filter, &made);
                    drop(Encoded::new(&made, &selection));
                }
            }
            // What memory knows an answer by is made of the same bytes.
            super::session::is_remembered(Reader::Anonymous, bytes.get(..length).unwrap_or_default());
            Message::Request(length)
        }
    }
}

/// Reads a distinguished name and writes it again.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    Some(Dn::parse(text).ok()?.to_string())
}

/// Reads a cookie of a directory that is kept in step, or of a log, and writes it again.
#[must_use]
pub fn cookie(bytes: &[u8]) -> Option<Vec<u8>> {
    let of_tree = Cookie::read(bytes).map(|cookie| cookie.write());
    of_tree.or_else(|| Cursor::read(bytes).map(|cursor| cursor.write()))
}
