//! What is kept in step with a node (RFC 4533): copies of its tree for directories of any make, and copies of its logs
//! for other nodes.

mod content;
mod control;
mod cookie;
mod log;
mod tree;

use std::time::Duration;

use ldap3_proto::proto::{LdapDerefAliases, LdapResultCode, LdapSearchRequest};

pub(super) use self::cookie::Cookie;
pub(super) use self::log::Cursor;
use self::log::Log;
use self::tree::Tree;
use super::control::Sync as Asked;
use super::message::Failure;
use super::search::{Place, failed};
use super::tree::Node;
use crate::app::Reader;
use crate::room::{Full, Held};

/// One message to the consumer: an operation and its controls.
pub(super) struct Sent {
    pub(super) operation: Vec<u8>,
    pub(super) controls: Vec<u8>,
}

/// How far the consumer has been brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more to look for.
    More,
    /// Something is pending; look again after a pause ([`PAUSE`]).
    Pause,
    /// There is nothing more for now.
    Idle,
    /// The search is over; these controls accompany the result.
    Done(Vec<u8>),
}

/// How long to wait for something that a search needs before looking again.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// A search that is kept in step.
pub(super) struct Sync {
    what: What,
    held: Held,
}

enum What {
    Tree(Box<Tree>),
    Log(Box<Log>),
}

impl Sync {
    pub(super) fn new(
        place: &Place,
        reader: Reader,
        request: LdapSearchRequest,
        asked: Asked,
        network: Option<u64>,
    ) -> Result<Self, Failure> {
        // RFC 4533, 3.5.2.
        if matches!(request.aliases, LdapDerefAliases::InSearching | LdapDerefAliases::Always) {
            let text = "a search that is kept in step must not dereference aliases";
            return Err(Failure::new(LdapResultCode::ProtocolError, text));
        }
        let held = place.in_step.take(place.app.is_stranger(reader), network).map_err(busy)?;
        let what = match place.tree.node(&request.base)? {
            Node::LogOf(domain) => What::Log(Box::new(Log::new(place, reader, domain, &request, asked)?)),
            _ => {
                place.app.admit(reader).map_err(|error| failed(&error))?;
                What::Tree(Box::new(Tree::new(place, reader, request, asked)?))
            }
        };
        Ok(Self { what, held })
    }

    /// Its place, which is kept while the last that it has found is held.
    pub(super) fn into_held(self) -> Held {
        self.held
    }

    /// Tells an idle search that something may have changed.
    pub(super) fn wake(&mut self) {
        match &mut self.what {
            What::Tree(tree) => tree.wake(),
            What::Log(log) => log.wake(),
        }
    }

    /// Continues until a part is ready to be sent, others get their turn, or there is nothing more for now.
    ///
    /// # Errors
    /// When the search ends here: its base does not exist, a limit is reached, or the consumer has to begin anew.
    pub(super) fn go_on(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        match &mut self.what {
            What::Tree(tree) => tree.go_on(place, out),
            What::Log(log) => log.go_on(place, out),
        }
    }
}

/// Identifies a reader for as long as the configuration says the same of it.
fn party(place: &Place, reader: Reader) -> String {
    match reader {
        Reader::Anonymous => "anybody".to_owned(),
        Reader::Operator => "the operator".to_owned(),
        Reader::Key(key) => format!("{:?}", place.app.party(key)),
    }
}

fn busy(full: Full) -> Failure {
    let text = match full {
        Full::All => "too many others are kept in step here".to_owned(),
        Full::Network(places) => {
            format!("{places} searches of your network are kept in step: bind by a key that this node knows")
        }
    };
    Failure::new(LdapResultCode::Busy, text)
}

/// RFC 4533, 2.6.
fn refresh_required() -> Failure {
    Failure::new(LdapResultCode::EsyncRefreshRequired, "begin again, without a cookie")
}
