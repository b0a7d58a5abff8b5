//! Jobs that may block, which run apart from the connection's task.

use std::sync::Arc;
use std::time::Duration;

use ldap3_proto::proto::LdapResultCode;
use tokio::task::JoinError;

use super::filter::equal;
use super::message::Failure;
use super::named::{above, entry_of};
use super::places::Taken;
use super::schema;
use super::search::{Place, Progress, Search, Sendable};
use super::sync::{self, Sent, Step, Sync};
use super::tree::Node;
use super::write::{self, Write};
use crate::app::{App, Forwards, Reader, Sender};

/// A place among the jobs under way, for whom it is, and the places for submissions that wait for other nodes.
pub(super) struct Working {
    pub(super) place: Taken,
    /// The network that the client comes from; `None` if that is this machine.
    pub(super) network: Option<u64>,
    pub(super) forwards: Arc<Forwards>,
}

impl Working {
    /// The client that has sent a submission, which takes the place.
    pub(super) fn sender(self, app: &App, reader: Reader) -> Sender {
        Sender::client((app.is_stranger(reader), self.network), self.place, &self.forwards)
    }
}

/// A job.
pub(super) enum Job {
    /// The next part of a search, and how many entries may still be sent.
    Search(Box<Search>, usize),
    /// The next part of a search that keeps a consumer in step.
    Sync(Box<Sync>),
    Compare(Compare),
    Write(Reader, Write),
}

/// A comparison (RFC 4511, 4.10).
pub(super) struct Compare {
    pub(super) reader: Reader,
    pub(super) node: Node,
    pub(super) attribute: String,
    pub(super) value: Vec<u8>,
}

/// The outcome of a job.
pub(super) enum Done {
    Part { search: Box<Search>, entries: Vec<Sendable>, page: usize, result: Result<Progress, Failure> },
    Synced { sync: Box<Sync>, sent: Vec<Sent>, result: Result<Step, Failure> },
    Result(Result<LdapResultCode, Failure>),
}

impl Done {
    /// How long to wait before the next part is worth making.
    pub(super) fn pause(&self) -> Option<Duration> {
        matches!(self, Self::Synced { result: Ok(Step::Pause), .. }).then_some(sync::PAUSE)
    }
}

impl Job {
    /// Whether it takes several parts, or may have a page of a log, which has megabytes.
    pub(super) fn is_long(&self) -> bool {
        match self {
            Self::Sync(_) => true,
            Self::Search(search, _) => search.has_begun(),
            Self::Compare(_) | Self::Write(..) => false,
        }
    }

    /// How many bytes are held for it, roughly.
    pub(super) fn held(&self) -> usize {
        if let Self::Search(search, _) = self { search.held() } else { 0 }
    }

    /// Runs the job. It keeps its place until it ends, even if the client is gone: a blocking call cannot be stopped,
    /// and freeing its place would let more of them run than there are places.
    pub(super) async fn run(self, place: Arc<Place>, work: Working) -> Done {
        match self {
            Self::Write(reader, change) => {
                let written = tokio::spawn(async move { write::write(&place, reader, change, work).await });
                Done::Result(written.await.unwrap_or_else(|error| Err(given_up(&error))))
            }
            job => {
                let done = blocking(&place, move |place| {
                    let _work = work;
                    Ok(job.block(place))
                });
                done.await.unwrap_or_else(|failure| Done::Result(Err(failure)))
            }
        }
    }

    /// Runs a job that does not wait for anybody else.
    pub(super) fn block(self, place: &Place) -> Done {
        match self {
            Self::Search(mut search, mut page) => {
                let mut entries = Vec::new();
                let result = search.go_on(place, &mut page, &mut entries);
                Done::Part { search, entries, page, result }
            }
            Self::Sync(mut sync) => {
                let mut sent = Vec::new();
                let result = sync.go_on(place, &mut sent);
                Done::Synced { sync, sent, result }
            }
            Self::Compare(compare) => Done::Result(compare.run(place)),
            Self::Write(..) => Done::Result(Err(Failure::new(LdapResultCode::Other, ""))),
        }
    }
}

/// Runs work on a thread that may block: threads that serve sockets never wait for the store.
pub(super) async fn blocking<T: Send + 'static>(
    place: &Arc<Place>,
    work: impl FnOnce(&Place) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let place = Arc::clone(place);
    crate::background::spawn(move || work(&place)).await.unwrap_or_else(|error| Err(given_up(&error)))
}

fn given_up(error: &JoinError) -> Failure {
    tracing::error!(%error, "an LDAP operation was given up");
    Failure::new(LdapResultCode::Other, "the node failed; its log says why")
}

impl Compare {
    fn run(&self, place: &Place) -> Result<LdapResultCode, Failure> {
        let entry = entry_of(place, self.reader, &self.node)?;
        let (entry, ..) = entry.ok_or_else(|| Failure::no_such_object(above(place, self.reader, &self.node)))?;
        let attribute = schema::attribute(&self.attribute)
            .ok_or_else(|| Failure::new(LdapResultCode::UndefinedAttributeType, ""))?;
        let values = entry.values(attribute);
        if values.is_empty() {
            return Err(Failure::new(LdapResultCode::NoSuchAttribute, ""));
        }
        let is_there = if attribute.syntax == schema::Syntax::Bytes {
            values.contains(&self.value)
        } else {
            let wrong = || Failure::new(LdapResultCode::InvalidAttributeSyntax, "");
            let value = core::str::from_utf8(&self.value).map_err(|_| wrong())?;
            let equal = |held: &Vec<u8>| equal(attribute.syntax, held, value);
            if values.iter().any(|held| equal(held).is_none()) {
                let code = if attribute.syntax == schema::Syntax::Binary {
                    LdapResultCode::InappropriateMatching
                } else {
                    LdapResultCode::InvalidAttributeSyntax
                };
                return Err(Failure::new(code, ""));
            }
            values.iter().any(|held| equal(held) == Some(true))
        };
        Ok(if is_there { LdapResultCode::CompareTrue } else { LdapResultCode::CompareFalse })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::super::tree::{Suffix, Tree};
    use super::*;
    use crate::fixture::Party;
    use crate::room::Room;

    #[test]
    fn work_keeps_its_place_when_its_client_is_cut() {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let runtime = threads.worker_threads(1).max_blocking_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let party = Party::found("devices.acme.example");
            let tree = Tree::new(Suffix::default());
            let place = Arc::new(Place { app: party.open(), tree, has_tls: false, in_step: Room::new(2, 2) });
            let (attribute, value) = ("o".to_owned(), b"ics".to_vec());
            let compare = Compare { reader: Reader::Anonymous, node: Node::Suffix, attribute, value };
            let delete = Write::Delete("pgpCertID=0123456789ABCDEF,ou=PGP Keys,o=ics".to_owned());
            let (release, held) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || held.recv());
            let mut all = Vec::new();
            for job in [Job::Compare(compare), Job::Write(Reader::Anonymous, delete)] {
                let places = Arc::new(Semaphore::new(1));
                let work = Arc::clone(&places).try_acquire_owned().expect("a place");
                let (work, forwards) = ((work, None), Arc::new(Forwards::new(0)));
                let work = Working { place: work, network: None, forwards };
                assert!(job.run(Arc::clone(&place), work).now_or_never().is_none());
                assert_eq!(places.available_permits(), 0, "its work goes on");
                all.push(places);
            }
            drop(release);
            assert!(busy.await.expect("ends").is_err(), "nothing was sent");
            for places in all {
                places.acquire().await.expect("given back once it is done").forget();
            }
        });
    }
}
