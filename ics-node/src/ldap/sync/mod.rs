//! What is kept in step with a node (RFC 4533): copies of its tree for directories of any make, and copies of its logs
//! for other nodes.

mod content;
mod control;
mod cookie;
mod log;
mod tree;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ics_core::limits;
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

/// Limits searches that are kept in step. Strangers share half of the places, so that clients known to this node find
/// the rest free. One network gets only a part of that half, so that no host takes the places of all.
#[derive(Clone)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    networks: Networks,
}

/// How many places strangers of each network hold.
#[derive(Debug, Clone, Default)]
struct Networks(Arc<Mutex<HashMap<u64, usize>>>);

impl Room {
    /// Makes room for this many searches.
    pub(super) fn new(places: usize) -> Self {
        let [all, strangers] = [places, places / 2].map(|places| Arc::new(Semaphore::new(places)));
        Self { all, strangers, networks: Networks::default() }
    }

    /// Takes a place, until it is dropped; a stranger also takes one of the share of its network, if that is given.
    fn take(&self, is_stranger: bool, network: Option<u64>) -> Result<Held, Failure> {
        let full = |_| Failure::new(LdapResultCode::Busy, "too many others are kept in step here");
        let place = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().map_err(full);
        let of_network = network.filter(|_| is_stranger).map(|network| self.networks.take(network)).transpose()?;
        let of_strangers = is_stranger.then(|| place(&self.strangers)).transpose()?;
        Ok(Held { _of_all: place(&self.all)?, _of_strangers: of_strangers, _of_network: of_network })
    }
}

impl Networks {
    fn held(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, network: u64) -> Result<OfNetwork, Failure> {
        let mut held = self.held();
        let places = held.entry(network).or_default();
        if *places == limits::LDAP_IN_STEP_OF_NETWORK {
            let text =
                format!("{places} searches of your network are kept in step: bind by a key that this node knows");
            return Err(Failure::new(LdapResultCode::Busy, text));
        }
        *places += 1;
        Ok(OfNetwork { network, networks: self.clone() })
    }
}

/// A place that is taken.
struct Held {
    _of_all: OwnedSemaphorePermit,
    _of_strangers: Option<OwnedSemaphorePermit>,
    _of_network: Option<OfNetwork>,
}

/// One of the places that a network holds.
struct OfNetwork {
    network: u64,
    networks: Networks,
}

impl Drop for OfNetwork {
    fn drop(&mut self) {
        let mut held = self.networks.held();
        let left = held.get(&self.network).map_or(0, |places| places.saturating_sub(1));
        if left == 0 {
            held.remove(&self.network);
        } else {
            held.insert(self.network, left);
        }
    }
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
        network: Option<u64>,
    ) -> Result<Self, Failure> {
        // RFC 4533, 3.5.2.
        if matches!(request.aliases, LdapDerefAliases::InSearching | LdapDerefAliases::Always) {
            let text = "a search that is kept in step must not dereference aliases";
            return Err(Failure::new(LdapResultCode::ProtocolError, text));
        }
        let held = place.in_step.take(place.app.is_stranger(reader), network)?;
        let what = match place.tree.node(&request.base)? {
            Node::LogOf(domain) => What::Log(Box::new(Log::new(place, reader, domain, &request, asked)?)),
            _ => {
                place.app.admit(reader).map_err(|error| failed(&error))?;
                What::Tree(Box::new(Tree::new(place, reader, request, asked)?))
            }
        };
        Ok(Self { what, _held: held })
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

/// RFC 4533, 2.6.
fn refresh_required() -> Failure {
    Failure::new(LdapResultCode::EsyncRefreshRequired, "begin again, without a cookie")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_room_for_those_who_are_known() {
        let room = Room::new(4);
        let strangers: Vec<_> = (0..2).map(|number| room.take(true, Some(number)).expect("room")).collect();
        assert!(room.take(true, Some(7)).is_err(), "half of it is theirs");
        let known: Vec<_> = (0..2).map(|_| room.take(false, Some(7)).expect("room")).collect();
        assert!(room.take(false, Some(7)).is_err(), "and no more is there");
        drop((strangers, known));
        assert!(room.take(true, Some(7)).is_ok(), "what is given back is there again");
    }

    #[test]
    fn no_network_has_the_places_of_all_strangers() {
        let room = Room::new(limits::LDAP_IN_STEP);
        let take = |network| room.take(true, network);
        let mut of_one: Vec<_> =
            (0..limits::LDAP_IN_STEP_OF_NETWORK).map(|_| take(Some(1)).expect("its share")).collect();
        let refused = take(Some(1)).map(|_| ()).expect_err("one more than its share");
        assert_eq!(refused.code, LdapResultCode::Busy);
        assert!(take(Some(2)).is_ok(), "others have theirs");
        assert!(room.take(false, Some(1)).is_ok(), "whoever is known comes from anywhere");
        of_one.pop();
        of_one.push(take(Some(1)).expect("what is given back is there again"));
        drop(of_one);
        assert!(room.networks.held().is_empty(), "and nothing is remembered of who has gone");
        let local: Vec<_> = (0..limits::LDAP_IN_STEP / 2).map(|_| take(None).expect("room")).collect();
        assert!(local.len() > limits::LDAP_IN_STEP_OF_NETWORK, "on this machine anybody's proxy may stand");
    }
}
