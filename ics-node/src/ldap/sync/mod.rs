//! What is kept in step with a node (RFC 4533): copies of its tree, for directories of any make, and of its logs, for
//! other nodes.

mod content;
mod control;
mod cookie;
mod log;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::proto::{LdapDerefAliases, LdapResultCode, LdapSearchRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::cookie::Cookie;
pub(super) use self::log::Cursor;
use self::log::Log;
use self::tree::Tree;
use super::control::Sync as Asked;
use super::message::Failure;
use super::search::{Place, failed};
use super::tree::Node;
use crate::app::Reader;

/// One message to the consumer: an operation and its controls.
pub(super) struct Sent {
    pub(super) operation: Vec<u8>,
    pub(super) controls: Vec<u8>,
}

/// How far the consumer has been brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is more to be looked for.
    More,
    /// There will be more after a pause ([`PAUSE`]).
    Pause,
    /// Nothing more for now.
    Idle,
    /// Nothing more, with these controls beside the result.
    Done(Vec<u8>),
}

/// In which something may have come about that a search waits for.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Room for searches that are kept in step. Strangers get half of it together: whoever this node knows finds the rest.
#[derive(Clone)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Room {
    /// For so many.
    pub(super) fn new(places: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(places)), strangers: Arc::new(Semaphore::new(places / 2)) }
    }

    /// A place for a reader, for as long as it is held.
    fn take(&self, reader: Reader) -> Option<Held> {
        let of_strangers = match reader {
            Reader::Anonymous => Some(Arc::clone(&self.strangers).try_acquire_owned().ok()?),
            Reader::Key(_) | Reader::Operator => None,
        };
        Some(Held { _of_all: Arc::clone(&self.all).try_acquire_owned().ok()?, _of_strangers: of_strangers })
    }
}

/// A place that is taken.
struct Held {
    _of_all: OwnedSemaphorePermit,
    _of_strangers: Option<OwnedSemaphorePermit>,
}

/// A search that is kept in step.
pub(super) struct Sync {
    what: What,
    _held: Held,
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
    ) -> Result<Self, Failure> {
        // RFC 4533, 3.5.2.
        if matches!(request.aliases, LdapDerefAliases::InSearching | LdapDerefAliases::Always) {
            let text = "what is kept in step is searched without following aliases";
            return Err(Failure::new(LdapResultCode::ProtocolError, text));
        }
        let full = || Failure::new(LdapResultCode::Busy, "too many others are kept in step here");
        let held = place.in_step.take(reader).ok_or_else(full)?;
        let what = match place.tree.node(&request.base)? {
            Node::LogOf(domain) => What::Log(Box::new(Log::new(place, reader, domain, &request, asked)?)),
            _ => {
                place.app.admit(reader).map_err(|error| failed(&error))?;
                What::Tree(Box::new(Tree::new(place, reader, request, asked)?))
            }
        };
        Ok(Self { what, _held: held })
    }

    /// Something may have changed: to be asked of a search that is idle.
    pub(super) fn wake(&mut self) {
        match &mut self.what {
            What::Tree(tree) => tree.wake(),
            What::Log(log) => log.wake(),
        }
    }

    /// Goes on, until there is a part to be sent, others may have their turn, or there is nothing more for now.
    ///
    /// # Errors
    /// When the search ends here: its base is not there, a limit is reached, the consumer has to begin anew.
    pub(super) fn go_on(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        match &mut self.what {
            What::Tree(tree) => tree.go_on(place, out),
            What::Log(log) => log.go_on(place, out),
        }
    }
}

/// Who a reader is, for as long as the configuration says the same of him.
fn party(place: &Place, reader: Reader) -> String {
    match reader {
        Reader::Anonymous => "anybody".to_owned(),
        Reader::Operator => "the operator".to_owned(),
        Reader::Key(key) => format!("{:?}", place.app.party(key)),
    }
}

/// RFC 4533, 2.6.
fn refresh_required() -> Failure {
    Failure::new(LdapResultCode::EsyncRefreshRequired, "begin anew, without a cookie")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_room_for_those_who_are_known() {
        let room = Room::new(4);
        let strangers: Vec<_> = (0..2).map(|_| room.take(Reader::Anonymous).expect("room")).collect();
        assert!(room.take(Reader::Anonymous).is_none(), "half of it is theirs");
        let known: Vec<_> = (0..2).map(|_| room.take(Reader::Operator).expect("room")).collect();
        assert!(room.take(Reader::Operator).is_none(), "and no more is there");
        drop((strangers, known));
        assert!(room.take(Reader::Anonymous).is_some(), "what is given back is there again");
    }
}
