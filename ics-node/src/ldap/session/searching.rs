//! Searches of a session: answered at once, in parts, in pages, or for as long as the client stays.

use ics_core::limits;
use ldap3_proto::proto::{LdapResultCode, LdapSearchRequest};

use super::super::ber;
use super::super::control::{self, Controls};
use super::super::encode::Encoded;
use super::super::hot::{self, Answer};
use super::super::message::{self, Failure};
use super::super::search::{Progress, Search, Sendable};
use super::super::sync::{Sent, Step, Sync};
use super::super::work::Job;
use super::{OUTPUT_BYTES, Running, Session};
use crate::app::Reader;

/// What is still to come of a search.
pub(super) struct Remaining {
    page: usize,
    paged: bool,
    hot: Option<Collected>,
}

impl Remaining {
    /// How many bytes of it are held to be remembered.
    pub(super) fn held(&self) -> usize {
        self.hot.as_ref().map_or(0, |hot| hot.bytes)
    }
}

/// An answer being collected, to be remembered.
struct Collected {
    key: Box<[u8]>,
    stamp: u128,
    operations: Vec<Encoded>,
    bytes: usize,
}

impl Session {
    /// Begins a search; `None` if the client has given it up, which is answered here.
    pub(super) fn search(
        &mut self,
        id: i32,
        request: LdapSearchRequest,
        controls: Controls,
        key: Option<Box<[u8]>>,
    ) -> Result<Option<Job>, Failure> {
        if let Some(asked) = controls.sync {
            if controls.paged.is_some() {
                return Err(Failure::new(LdapResultCode::UnwillingToPerform, "a search kept in step cannot be paged"));
            }
            if self.persisting.len() >= limits::LDAP_PERSISTING {
                let text = format!("at most {} searches of one connection can persist", limits::LDAP_PERSISTING);
                return Err(Failure::new(LdapResultCode::AdminLimitExceeded, text));
            }
            let sync = Sync::new(&self.place, self.reader, request, asked, self.network)?;
            self.running = Some(Running { id, answer: message::SEARCH_DONE, search: None, abandoned: None });
            return Ok(Some(Job::Sync(Box::new(sync))));
        }
        let paged = controls.paged.is_some();
        let mut page = limits::LDAP_SEARCH_ENTRIES;
        if self.reader == Reader::Operator {
            page = usize::MAX;
        }
        let search = match controls.paged {
            Some((size, cookie)) => {
                if size > 0 {
                    page = page.min(size);
                }
                self.paging.resume(&self.place, self.reader, request, &cookie, size)?
            }
            None => Some(Search::new(&self.place, self.reader, request)?),
        };
        let Some(search) = search else {
            let operation = message::result(message::SEARCH_DONE, &Ok(LdapResultCode::Success), |_| ());
            message::write(&mut self.output, id, &operation, &paged_control(&[]));
            return Ok(None);
        };
        let stamp = self.now.stamp(&self.place.app);
        let hot = key.zip(stamp).map(|(key, stamp)| Collected { key, stamp, operations: Vec::new(), bytes: 0 });
        let search_ = Some(Remaining { page, paged, hot });
        self.running = Some(Running { id, answer: message::SEARCH_DONE, search: search_, abandoned: None });
        Ok(Some(Job::Search(Box::new(search), page)))
    }

    pub(super) fn found(
        &mut self,
        mut running: Running,
        search: Box<Search>,
        entries: Vec<Sendable>,
        page: usize,
        result: Result<Progress, Failure>,
    ) {
        let Some(mut remaining) = running.search.take() else { return };
        for (entry, dated) in &entries {
            entry.write(&mut self.output, running.id, dated);
        }
        remaining.page = page;
        if let Some(hot) = &mut remaining.hot {
            hot.bytes += entries.iter().map(|(entry, _)| entry.len()).sum::<usize>();
            hot.operations.extend(entries.into_iter().map(|(entry, _)| entry));
        }
        remaining.hot = remaining.hot.filter(|hot| hot.bytes <= hot::ANSWER_BYTES);
        let (result, cookie) = match result {
            Ok(Progress::More) => {
                let id = running.id;
                self.next_job = Some(Job::Search(search, page));
                self.running = Some(Running { id, search: Some(remaining), ..running });
                return;
            }
            Ok(Progress::Full) if remaining.paged => (Ok(LdapResultCode::Success), self.paging.keep(*search)),
            Ok(Progress::Full) => (Err(Failure::new(LdapResultCode::SizeLimitExceeded, "")), Vec::new()),
            Ok(Progress::Done) => {
                let operation = message::result(running.answer, &Ok(LdapResultCode::Success), |_| ());
                if let Some(mut hot) = remaining.hot {
                    hot.operations.push(Encoded::whole(operation));
                    let rests = search.resting.rests(hot.stamp);
                    self.hot.put(hot.key, Answer::new(rests, search.changes_at, hot.operations));
                }
                (Ok(LdapResultCode::Success), Vec::new())
            }
            Err(failure) => (Err(failure), Vec::new()),
        };
        let controls = if remaining.paged { paged_control(&cookie) } else { Vec::new() };
        let operation = message::result(running.answer, &result, |_| ());
        message::write(&mut self.output, running.id, &operation, &controls);
    }
}

impl Session {
    /// Takes a part of a search that keeps a consumer in step.
    pub(super) fn synced(&mut self, running: Running, sync: Box<Sync>, sent: &[Sent], result: Result<Step, Failure>) {
        for Sent { operation, controls } in sent {
            message::write(&mut self.output, running.id, operation, controls);
        }
        let (result, controls) = match result {
            Ok(Step::More | Step::Pause) => {
                self.next_job = Some(Job::Sync(sync));
                self.running = Some(running);
                return;
            }
            Ok(Step::Idle) => return self.persisting.push_back((running.id, sync)),
            Ok(Step::Done(controls)) => (Ok(LdapResultCode::Success), controls),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let operation = message::result(running.answer, &result, |_| ());
        message::write(&mut self.output, running.id, &operation, &controls);
        // A page of a log has megabytes. Whoever takes it slowly could ask for others over other connections.
        if self.output.len() >= OUTPUT_BYTES {
            self.unsent = Some(sync.into_held());
        }
    }
}

/// The paged results control of an answer (RFC 2696): no size estimate, and the cookie.
fn paged_control(cookie: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    ber::element(&mut value, ber::SEQUENCE, |out| {
        ber::integer(out, ber::INTEGER, 0);
        ber::primitive(out, ber::OCTETS, cookie);
    });
    let mut out = Vec::new();
    ber::element(&mut out, ber::SEQUENCE, |out| {
        ber::primitive(out, ber::OCTETS, control::PAGED_RESULTS.as_bytes());
        ber::primitive(out, ber::OCTETS, &value);
    });
    out
}
