//! One connection without its socket: bytes in, bytes out, and jobs that may block.
//!
//! Requests are answered in the order in which they arrive. Only `abandon`, `cancel` and `unbind` do not wait for their
//! turn: they are read between the parts of a running search. A search that persists (RFC 4533) gives up its turn
//! whenever it has nothing to say.

mod cancelling;
mod identify;
#[cfg(test)]
mod paged;
#[cfg(test)]
mod pipelined;
mod remembering;
mod searching;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod time_limit;
#[cfg(test)]
pub(super) mod turns;

use std::collections::VecDeque;
use std::sync::Arc;

use ics_core::limits;
use ldap3_proto::proto::{LdapCompareRequest, LdapOp, LdapResultCode};

use self::cancelling::cancel_target;
pub(super) use self::remembering::is_remembered;
use self::remembering::remembered;
use self::searching::Remaining;
use super::control::Controls;
use super::hot::Hot;
use super::message::{self, Failure, Framed, Request};
use super::paging::Paging;
use super::rests::Now;
use super::search::{Place, failed};
use super::sync::Sync;
use super::work::{Compare, Done, Job};
use super::write::Write;
use crate::app::Reader;
use crate::room::Held;
use crate::tls::KeyPin;

/// RFC 4532.
pub(super) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// RFC 3909.
pub(super) const CANCEL: &str = "1.3.6.1.1.8";
/// RFC 4511, 4.14.
pub(super) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// Failed binds after which the session is ended, so that guessing takes a new connection each time.
const FAILED_BINDS: u32 = 3;

/// At this many bytes of unsent answers, no more requests are read.
const OUTPUT_BYTES: usize = 256 * 1024;

/// What a parsed element of a request takes beside its own bytes.
const ELEMENT_BYTES: usize = 64;

/// What the session needs next.
pub(super) enum Next {
    /// Send the output, then wait for more input.
    Wait,
    /// Run a job that may block.
    Job(Job),
    /// Send the output; more requests wait to be answered.
    Flush,
    /// Send the output, then begin TLS.
    StartTls,
    /// Send the output, then close the connection.
    End,
}

/// A request that waits for its turn.
struct Waiting {
    id: i32,
    what: Result<(LdapOp, Controls), (u8, Failure)>,
    /// How long its message was.
    bytes: usize,
    /// The key for remembering its answer, and who the client was when the request was read. It is of use only if the
    /// client is still the same when its turn comes: a request before it may be a bind.
    key: Option<(Reader, Box<[u8]>)>,
}

/// The request that is being worked on.
struct Running {
    id: i32,
    /// The tag of its answer.
    answer: u8,
    search: Option<Remaining>,
    abandoned: Option<Abandoned>,
}

/// Why the request being worked on gets no more answers.
enum Abandoned {
    Silently,
    /// By the cancel request with this id, which is answered.
    Cancelled(i32),
}

/// A connection.
pub(super) struct Session {
    place: Arc<Place>,
    hot: Arc<Hot>,
    secure: bool,
    /// The key that the client has proven in TLS.
    proven: Option<KeyPin>,
    /// The network that the client comes from; `None` if that is this machine.
    network: Option<u64>,
    reader: Reader,
    who: String,
    failed_binds: u32,
    input: Vec<u8>,
    read: usize,
    /// Whether a whole message was read since this was last asked.
    has_read: bool,
    output: Vec<u8>,
    /// The place of a search that was kept in step, while what it has found last is not sent.
    unsent: Option<Held>,
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    next_job: Option<Job>,
    paging: Paging,
    /// Searches that persist and have nothing to say; `woken` is how many of them, from the front, are to look again.
    persisting: VecDeque<(i32, Box<Sync>)>,
    woken: usize,
    /// What was looked up since the last input or the last finished job.
    now: Now,
    ended: bool,
}

impl Session {
    pub(super) fn new(place: Arc<Place>, hot: Arc<Hot>, secure: bool, proven: Option<KeyPin>) -> Self {
        Self {
            place,
            hot,
            secure,
            proven,
            network: None,
            reader: Reader::Anonymous,
            who: String::new(),
            failed_binds: 0,
            input: Vec::new(),
            read: 0,
            has_read: false,
            output: Vec::new(),
            unsent: None,
            waiting: VecDeque::new(),
            running: None,
            next_job: None,
            paging: Paging::default(),
            persisting: VecDeque::new(),
            woken: 0,
            now: Now::default(),
            ended: false,
        }
    }

    /// Takes what has arrived.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.now = Now::default();
        if !self.ended {
            self.input.extend_from_slice(bytes);
        }
    }

    /// How many bytes are held for the client, roughly, beside those for its next job.
    pub(super) fn held(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(Waiting::held).sum();
        let running = self.running.as_ref().and_then(|running| running.search.as_ref()).map_or(0, Remaining::held);
        self.input.len() + waiting + running + self.output.len()
    }

    /// Whether more input may be taken now.
    pub(super) fn takes_more(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        let has_room = self.waiting.len() < limits::LDAP_REQUESTS_WAITING && bytes < limits::LDAP_WAITING_BYTES;
        !self.ended && has_room && self.output.len() < OUTPUT_BYTES
    }

    /// The number of bytes of a message that has not arrived in full.
    pub(super) fn unread(&self) -> usize {
        self.input.len() - self.read
    }

    /// Whether a whole message was read since this was last asked: if so, what is unread now began later.
    pub(super) const fn has_read(&mut self) -> bool {
        core::mem::replace(&mut self.has_read, false)
    }

    /// The output that is to be sent.
    pub(super) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether a search persists, and must hear of news.
    pub(super) fn persists(&self) -> bool {
        !self.persisting.is_empty()
    }

    /// Makes searches that persist look again, since something may have changed.
    pub(super) fn wake(&mut self) {
        self.woken = self.persisting.len();
    }

    /// Ends all searches that persist, since the client's identity has changed.
    fn drop_persisting(&mut self) {
        self.persisting.clear();
        self.woken = 0;
    }

    /// Whether no request awaits an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Notes that the session is over TLS from now on, with a client that has proven this key.
    pub(super) const fn secured(&mut self, proven: Option<KeyPin>) {
        self.secure = true;
        self.proven = proven;
    }

    /// Ends the session with a notice (RFC 4511, 4.4.1).
    pub(super) fn end(&mut self, code: LdapResultCode, text: &str) {
        if !self.ended {
            self.output.extend(message::notice(code, text));
            self.drop_all();
        }
    }

    fn drop_all(&mut self) {
        self.ended = true;
        self.waiting.clear();
        self.next_job = None;
        self.running = None;
        self.drop_persisting();
        self.input = Vec::new();
        self.read = 0;
    }

    /// Goes on as far as it can without blocking.
    pub(super) fn next(&mut self) -> Next {
        if self.output.is_empty() {
            drop(self.unsent.take());
        }
        loop {
            self.read_input();
            if self.ended {
                return Next::End;
            }
            if self.output.len() >= OUTPUT_BYTES {
                return Next::Flush;
            }
            match (self.next_job.take(), &self.running) {
                (Some(_), Some(Running { abandoned: Some(_), .. })) => {
                    self.done(Done::Result(Ok(LdapResultCode::Success)))
                }
                (Some(job), _) => return Next::Job(job),
                (None, _) => {}
            }
            match self.waiting.pop_front() {
                Some(waiting) => {
                    if let Some(next) = self.begin(waiting) {
                        return next;
                    }
                }
                None => return self.look_again().map_or(Next::Wait, Next::Job),
            }
        }
    }

    /// The next look of a search that persists, if one has been woken.
    fn look_again(&mut self) -> Option<Job> {
        self.woken = self.woken.checked_sub(1)?;
        let (id, mut sync) = self.persisting.pop_front()?;
        sync.wake();
        self.running = Some(Running { id, answer: message::SEARCH_DONE, search: None, abandoned: None });
        Some(Job::Sync(sync))
    }

    /// Reads the whole messages that have arrived, as many as may wait.
    fn read_input(&mut self) {
        while self.takes_more() {
            let unread = self.input.get(self.read..).unwrap_or_default();
            let whole = match message::frame(unread) {
                Framed::Part => break,
                Framed::Broken(why) => return self.end(LdapResultCode::ProtocolError, why),
                Framed::Whole(whole) => whole,
            };
            let range = self.read..self.read + whole;
            (self.read, self.has_read) = (range.end, true);
            if self.answer_again(range.clone()) {
                continue;
            }
            let bytes = self.input.get(range).unwrap_or_default();
            match message::read(bytes) {
                Request::Broken(why) => return self.end(LdapResultCode::ProtocolError, why),
                Request::Refused { id, answer, failure } => {
                    self.waiting.push_back(Waiting { id, what: Err((answer, failure)), bytes: whole, key: None });
                }
                Request::Asked { id, op, controls } => {
                    let key = remembered(self.reader, bytes).filter(|_| controls == Controls::default());
                    let key = key.map(|(_, key)| (self.reader, key));
                    self.arrived(id, (*op, controls), whole, key);
                }
            }
        }
        self.forget_input();
    }

    /// Frees the memory of what was read.
    fn forget_input(&mut self) {
        if self.read == self.input.len() {
            self.input.clear();
            if self.input.capacity() > 16 * 1024 {
                self.input = Vec::new();
            }
        } else {
            self.input.drain(..self.read);
        }
        self.read = 0;
    }

    /// Handles what does not wait for its turn, and queues the rest.
    fn arrived(&mut self, id: i32, (op, controls): (LdapOp, Controls), bytes: usize, key: Option<(Reader, Box<[u8]>)>) {
        match op {
            LdapOp::UnbindRequest => self.drop_all(),
            LdapOp::AbandonRequest(target) => {
                self.waiting.retain(|waiting| waiting.id != target || !waiting.can_be_dropped());
                if let Some(running) = self.running.as_mut().filter(|running| running.id == target) {
                    running.abandoned.get_or_insert(Abandoned::Silently);
                }
                self.forget_persisting(target);
            }
            LdapOp::ExtendedRequest(request) if request.name == CANCEL => {
                match controls.check(false).and_then(|()| cancel_target(request.value.as_deref())) {
                    Ok(target) => self.cancel(id, target),
                    Err(failure) => self.answer(id, message::EXTENDED + 1, &Err(failure)),
                }
            }
            op => self.waiting.push_back(Waiting { id, what: Ok((op, controls)), bytes, key }),
        }
    }

    /// Ends the persisting search with this id; `false` if there is none.
    fn forget_persisting(&mut self, id: i32) -> bool {
        let Some(at) = self.persisting.iter().position(|(held, _)| *held == id) else { return false };
        self.persisting.remove(at);
        self.woken -= usize::from(at < self.woken);
        true
    }

    fn answer(&mut self, id: i32, tag: u8, result: &Result<LdapResultCode, Failure>) {
        let operation = message::result(tag, result, |_| ());
        message::write(&mut self.output, id, &operation, &[]);
        if matches!(result, Err(failure) if failure.code == LdapResultCode::InvalidCredentials) {
            self.failed_binds += 1;
            if self.failed_binds >= FAILED_BINDS {
                self.end(LdapResultCode::UnwillingToPerform, "too many binds have failed");
            }
        }
    }

    /// Begins a request; `None` if it is already answered.
    fn begin(&mut self, waiting: Waiting) -> Option<Next> {
        let Waiting { id, what, key, .. } = waiting;
        let (op, controls) = match what {
            Ok(asked) => asked,
            Err((answer, failure)) => {
                self.answer(id, answer, &Err(failure));
                return None;
            }
        };
        let is_search = matches!(op, LdapOp::SearchRequest(_));
        let answer = answer_tag(&op);
        if let Err(failure) = controls.check(is_search) {
            self.answer(id, answer, &Err(failure));
            return None;
        }
        let key = key.filter(|(reader, _)| *reader == self.reader).map(|(_, key)| key);
        if key.as_deref().is_some_and(|key| self.answer_known(id, key)) {
            return None;
        }
        if let Err(failure) = self.admit(&op, &controls) {
            self.answer(id, answer, &Err(failure));
            return None;
        }
        let job = match op {
            LdapOp::BindRequest(request) => {
                self.bind(id, request);
                return None;
            }
            LdapOp::ExtendedRequest(request) => return self.extended(id, request),
            LdapOp::SearchRequest(request) => match self.search(id, request, controls, key) {
                Ok(None) => return None,
                Ok(Some(job)) => Ok(job),
                Err(failure) => Err(failure),
            },
            LdapOp::CompareRequest(request) => self.compare(request),
            LdapOp::AddRequest(request) => Ok(Job::Write(self.reader, Write::Add(request))),
            LdapOp::ModifyRequest(request) => Ok(Job::Write(self.reader, Write::Modify(request))),
            LdapOp::DelRequest(dn) => Ok(Job::Write(self.reader, Write::Delete(dn))),
            LdapOp::ModifyDNRequest(_) => {
                Err(Failure::new(LdapResultCode::UnwillingToPerform, "names follow from what is signed"))
            }
            _ => Err(Failure::new(LdapResultCode::ProtocolError, "clients do not send this")),
        };
        match job {
            Ok(job) => {
                if !is_search {
                    self.running = Some(Running { id, answer, search: None, abandoned: None });
                }
                Some(Next::Job(job))
            }
            Err(failure) => {
                self.answer(id, answer, &Err(failure));
                None
            }
        }
    }

    /// Checks the reader's budget. Pages of a log are not counted here but as they are served, and keys as they are
    /// taken in.
    fn admit(&self, op: &LdapOp, controls: &Controls) -> Result<(), Failure> {
        let is_counted = match op {
            LdapOp::SearchRequest(_) => controls.sync.is_none(),
            LdapOp::CompareRequest(_) => true,
            _ => false,
        };
        if !is_counted {
            return Ok(());
        }
        self.place.app.admit(self.reader).map_err(|error| failed(&error))
    }

    fn compare(&self, request: LdapCompareRequest) -> Result<Job, Failure> {
        let node = self.place.tree.node(&request.dn)?;
        Ok(Job::Compare(Compare { reader: self.reader, node, attribute: request.atype, value: request.val }))
    }

    /// Takes the outcome of a job.
    pub(super) fn done(&mut self, done: Done) {
        self.now = Now::default();
        let Some(mut running) = self.running.take() else { return };
        match (done, running.abandoned.take()) {
            (_, Some(Abandoned::Silently)) => {}
            (_, Some(Abandoned::Cancelled(by))) => {
                self.answer(running.id, running.answer, &Err(Failure::new(LdapResultCode::Canceled, "")));
                self.answer(by, message::EXTENDED + 1, &Ok(LdapResultCode::Success));
            }
            (Done::Result(result), None) => self.answer(running.id, running.answer, &result),
            (Done::Part { search, entries, page, result }, None) => self.found(running, search, entries, page, result),
            (Done::Synced { sync, sent, result }, None) => self.synced(running, sync, &sent, result),
        }
    }
}

impl Waiting {
    /// How many bytes it takes at most: once parsed, an element of a few bytes takes many times as much.
    fn held(&self) -> usize {
        self.bytes + ELEMENT_BYTES * limits::LDAP_ELEMENTS.min(self.bytes / 2)
    }

    /// The tag of the answer, if the request can be cancelled.
    fn cancellable(&self) -> Option<u8> {
        match &self.what {
            Ok((LdapOp::BindRequest(_) | LdapOp::ExtendedRequest(_), _)) => None,
            Ok((op, _)) => Some(answer_tag(op)),
            Err((answer, _)) => Some(*answer),
        }
    }

    fn can_be_dropped(&self) -> bool {
        self.cancellable().is_some()
    }
}

const fn answer_tag(op: &LdapOp) -> u8 {
    match op {
        LdapOp::BindRequest(_) => message::BIND + 1,
        LdapOp::SearchRequest(_) => message::SEARCH_DONE,
        LdapOp::ModifyRequest(_) => message::MODIFY + 1,
        LdapOp::AddRequest(_) => message::ADD + 1,
        LdapOp::DelRequest(_) => 0x6b,
        LdapOp::ModifyDNRequest(_) => 0x6d,
        LdapOp::CompareRequest(_) => 0x6f,
        _ => message::EXTENDED + 1,
    }
}
