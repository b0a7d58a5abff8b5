//! One connection, apart from its socket: bytes in, bytes out, and work for those who may block.
//!
//! Requests are answered in the order in which they came. Only `abandon`, `cancel` and `unbind` do not wait for their
//! turn: they are read while a search goes on, between its parts.

use std::collections::VecDeque;
use std::sync::Arc;

use ics_core::limits;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapCompareRequest, LdapExtendedRequest, LdapOp, LdapResultCode, LdapSearchRequest,
};

use super::ber;
use super::control::{self, Controls};
use super::hot::{self, Answer, Hot};
use super::message::{self, Failure, Framed, Request};
use super::paging::Paging;
use super::search::{Place, Progress, Search};
use super::work::{Compare, Done, Job, Write};
use crate::app::Reader;
use crate::tls::KeyPin;

/// RFC 4532.
pub(super) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// RFC 3909.
pub(super) const CANCEL: &str = "1.3.6.1.1.8";
/// RFC 4511, 4.14.
pub(super) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// Binds that may fail before the session is ended: who guesses must connect anew each time.
const FAILED_BINDS: u32 = 3;

/// Bytes of answers from which on no more requests are read before they are sent.
const OUTPUT_BYTES: usize = 256 * 1024;

/// What the session needs next.
pub(super) enum Next {
    /// More input; before, the output must be sent.
    Wait,
    /// Work that may block.
    Job(Job),
    /// The output sent; there is more to be answered.
    Flush,
    /// The output sent, then TLS.
    StartTls,
    /// The output sent, then the connection closed.
    End,
}

/// A request that waits for its turn.
struct Waiting {
    id: i32,
    what: Result<(LdapOp, Controls), (u8, Failure)>,
    /// By what its answer may be remembered.
    key: Option<Box<[u8]>>,
}

/// A request that is worked upon.
struct Running {
    id: i32,
    /// The tag of its answer.
    answer: u8,
    search: Option<Remaining>,
    abandoned: Option<Abandoned>,
}

/// Why a request that is worked upon gets no more answers.
enum Abandoned {
    Silently,
    /// By the request with this id, which is told.
    Cancelled(i32),
}

/// What of a search is still to come.
struct Remaining {
    page: usize,
    paged: bool,
    hot: Option<Collected>,
}

/// An answer that may be remembered.
struct Collected {
    key: Box<[u8]>,
    stamp: u128,
    operations: Vec<Vec<u8>>,
    bytes: usize,
}

/// A connection.
pub(super) struct Session {
    place: Arc<Place>,
    hot: Arc<Hot>,
    secure: bool,
    /// The key that the client has proved in TLS.
    proven: Option<KeyPin>,
    reader: Reader,
    who: String,
    failed_binds: u32,
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    next_job: Option<Job>,
    paging: Paging,
    stamp: Option<Option<u128>>,
    ended: bool,
}

impl Session {
    pub(super) fn new(place: Arc<Place>, hot: Arc<Hot>, secure: bool, proven: Option<KeyPin>) -> Self {
        Self {
            place,
            hot,
            secure,
            proven,
            reader: Reader::Anonymous,
            who: String::new(),
            failed_binds: 0,
            input: Vec::new(),
            read: 0,
            output: Vec::new(),
            waiting: VecDeque::new(),
            running: None,
            next_job: None,
            paging: Paging::default(),
            stamp: None,
            ended: false,
        }
    }

    /// Takes what has arrived.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.stamp = None;
        if !self.ended {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Whether more input may be taken now.
    pub(super) fn takes_more(&self) -> bool {
        !self.ended && self.waiting.len() < limits::LDAP_REQUESTS_WAITING && self.output.len() < OUTPUT_BYTES
    }

    /// Bytes of a message that has not arrived as a whole.
    pub(super) fn unread(&self) -> usize {
        self.input.len() - self.read
    }

    /// What is to be sent.
    pub(super) const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether nobody waits for an answer.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// From now on over TLS, with a client that has proved this key.
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
        self.input = Vec::new();
        self.read = 0;
    }

    /// Works as far as it can without blocking.
    pub(super) fn next(&mut self) -> Next {
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
            let Some(waiting) = self.waiting.pop_front() else { return Next::Wait };
            if let Some(next) = self.begin(waiting) {
                return next;
            }
        }
    }

    /// Reads all whole messages that have arrived, as many as may wait.
    fn read_input(&mut self) {
        while self.takes_more() {
            let unread = self.input.get(self.read..).unwrap_or_default();
            let whole = match message::frame(unread) {
                Framed::Part => break,
                Framed::Broken(why) => return self.end(LdapResultCode::ProtocolError, why),
                Framed::Whole(whole) => whole,
            };
            let range = self.read..self.read + whole;
            self.read = range.end;
            if self.answer_again(range.clone()) {
                continue;
            }
            let bytes = self.input.get(range).unwrap_or_default();
            match message::read(bytes) {
                Request::Broken(why) => return self.end(LdapResultCode::ProtocolError, why),
                Request::Refused { id, answer, failure } => {
                    self.waiting.push_back(Waiting { id, what: Err((answer, failure)), key: None });
                }
                Request::Asked { id, op, controls } => {
                    let key = remembered_key(self.reader, bytes).filter(|_| controls == Controls::default());
                    self.arrived(id, *op, controls, key);
                }
            }
        }
        self.forget_input();
    }

    /// Gives back the memory of what was read.
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

    /// Answers from memory, if nothing before it waits and the same was asked before.
    fn answer_again(&mut self, range: core::ops::Range<usize>) -> bool {
        if !self.is_idle() || self.next_job.is_some() {
            return false;
        }
        let stamp = *self.stamp.get_or_insert_with(|| self.place.app.stamp());
        let bytes = self.input.get(range).unwrap_or_default();
        let (Some(stamp), Some((id, key))) = (stamp, remembered(self.reader, bytes)) else { return false };
        let Some(answer) = self.hot.get(&key, stamp, self.place.app.clock().now()) else { return false };
        for operation in answer.operations() {
            message::write(&mut self.output, id, operation, &[]);
        }
        true
    }

    /// What has its turn at once, and what waits.
    fn arrived(&mut self, id: i32, op: LdapOp, controls: Controls, key: Option<Box<[u8]>>) {
        match op {
            LdapOp::UnbindRequest => self.drop_all(),
            LdapOp::AbandonRequest(target) => {
                self.waiting.retain(|waiting| waiting.id != target || !waiting.can_be_dropped());
                if let Some(running) = self.running.as_mut().filter(|running| running.id == target) {
                    running.abandoned.get_or_insert(Abandoned::Silently);
                }
            }
            LdapOp::ExtendedRequest(request) if request.name == CANCEL => {
                match controls.check(false).and_then(|()| cancel_target(request.value.as_deref())) {
                    Ok(target) => self.cancel(id, target),
                    Err(failure) => self.answer(id, message::EXTENDED + 1, &Err(failure)),
                }
            }
            op => self.waiting.push_back(Waiting { id, what: Ok((op, controls)), key }),
        }
    }

    /// RFC 3909.
    fn cancel(&mut self, id: i32, target: i32) {
        let result = if let Some(running) = self.running.as_mut().filter(|running| running.id == target) {
            if running.search.is_some() && running.abandoned.is_none() {
                running.abandoned = Some(Abandoned::Cancelled(id));
                return;
            }
            Err(Failure::new(LdapResultCode::CannotCancel, ""))
        } else if let Some(at) = self.waiting.iter().position(|waiting| waiting.id == target) {
            match self.waiting.get(at).and_then(Waiting::cancellable) {
                Some(answer) => {
                    self.waiting.remove(at);
                    self.answer(target, answer, &Err(Failure::new(LdapResultCode::Canceled, "")));
                    Ok(LdapResultCode::Success)
                }
                None => Err(Failure::new(LdapResultCode::CannotCancel, "")),
            }
        } else {
            Err(Failure::new(LdapResultCode::NoSuchOperation, ""))
        };
        self.answer(id, message::EXTENDED + 1, &result);
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

    /// Begins with a request; `None`: it is answered.
    fn begin(&mut self, waiting: Waiting) -> Option<Next> {
        let Waiting { id, what, key } = waiting;
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

    /// Begins with a search; none if it is given up, which is answered.
    fn search(
        &mut self,
        id: i32,
        request: LdapSearchRequest,
        controls: Controls,
        key: Option<Box<[u8]>>,
    ) -> Result<Option<Job>, Failure> {
        if controls.sync.is_some() {
            return Err(Failure::new(LdapResultCode::UnwillingToPerform, "nothing here is kept in step"));
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
            let operation = message::result(0x65, &Ok(LdapResultCode::Success), |_| ());
            message::write(&mut self.output, id, &operation, &paged_control(&[]));
            return Ok(None);
        };
        let stamp = *self.stamp.get_or_insert_with(|| self.place.app.stamp());
        let hot = key.zip(stamp).map(|(key, stamp)| Collected { key, stamp, operations: Vec::new(), bytes: 0 });
        let search_ = Some(Remaining { page, paged, hot });
        self.running = Some(Running { id, answer: 0x65, search: search_, abandoned: None });
        Ok(Some(Job::Search(Box::new(search), page)))
    }

    fn compare(&self, request: LdapCompareRequest) -> Result<Job, Failure> {
        let node = self.place.tree.node(&request.dn)?;
        Ok(Job::Compare(Compare { reader: self.reader, node, attribute: request.atype, value: request.val }))
    }

    /// RFC 4513, 5.
    fn bind(&mut self, id: i32, request: LdapBindRequest) {
        // Whatever comes of it, the session is anonymous until it is another's (RFC 4511, 4.2.1).
        self.reader = Reader::Anonymous;
        self.who.clear();
        let result = if request.version == 3 {
            self.authenticate(&request)
        } else {
            Err(Failure::new(LdapResultCode::ProtocolError, "this server speaks LDAP version 3"))
        };
        self.answer(id, message::BIND + 1, &result);
    }

    fn authenticate(&mut self, request: &LdapBindRequest) -> Result<LdapResultCode, Failure> {
        let wrong = || Failure::new(LdapResultCode::InvalidCredentials, "");
        match &request.cred {
            LdapBindCred::Simple(password) if request.dn.is_empty() && password.is_empty() => {}
            LdapBindCred::Simple(password) if password.is_empty() => {
                return Err(Failure::new(LdapResultCode::UnwillingToPerform, "a name without a password is nobody's"));
            }
            LdapBindCred::Simple(password) => {
                if !self.secure {
                    return Err(Failure::new(
                        LdapResultCode::ConfidentialityRequired,
                        "passwords are sent over TLS only",
                    ));
                }
                let operator = format!("cn=operator,{}", self.place.tree.suffix_text());
                let named = super::dn::Dn::parse(&request.dn)? == super::dn::Dn::parse(&operator)?;
                // Asked even of others, so that the time tells nobody which names there are.
                if !(self.place.app.is_operator(Some(password)) && named) {
                    return Err(wrong());
                }
                self.reader = Reader::Operator;
                self.who = format!("dn:{operator}");
            }
            LdapBindCred::SASL(sasl) if sasl.mechanism.eq_ignore_ascii_case("EXTERNAL") => {
                let none = "EXTERNAL goes by the client's certificate, and there is none";
                let none = || Failure::new(LdapResultCode::InappropriateAuthentication, none);
                let key = self.proven.ok_or_else(none)?;
                let party = self.place.app.party(key).ok_or_else(wrong)?;
                let who = format!("u:{}", party.node);
                // RFC 4422, appendix A: whoever acts as somebody must be he.
                if !sasl.credentials.is_empty() && sasl.credentials != who.as_bytes() {
                    return Err(wrong());
                }
                (self.reader, self.who) = (Reader::Key(key), who);
            }
            LdapBindCred::SASL(_) | LdapBindCred::Unsupported => {
                return Err(Failure::new(LdapResultCode::AuthMethodNotSupported, ""));
            }
        }
        Ok(LdapResultCode::Success)
    }

    fn extended(&mut self, id: i32, request: LdapExtendedRequest) -> Option<Next> {
        let refuse = |code, text: &str| Err(Failure::new(code, text));
        let result = match request.name.as_str() {
            WHO_AM_I if request.value.is_none() => {
                let who = self.who.clone();
                let operation = message::result(message::EXTENDED + 1, &Ok(LdapResultCode::Success), |out| {
                    ber::primitive(out, 0x8b, who.as_bytes());
                });
                message::write(&mut self.output, id, &operation, &[]);
                return None;
            }
            START_TLS if request.value.is_some() => refuse(LdapResultCode::ProtocolError, "StartTLS takes no value"),
            START_TLS if self.secure => refuse(LdapResultCode::OperationsError, "TLS is there already"),
            START_TLS if !self.place.has_tls => refuse(LdapResultCode::ProtocolError, "this server has no certificate"),
            START_TLS if !self.waiting.is_empty() || self.unread() > 0 => {
                // What was sent before TLS could be anybody's: it must not be taken for what comes over it.
                self.end(LdapResultCode::ProtocolError, "nothing is sent between StartTLS and its answer");
                return Some(Next::End);
            }
            START_TLS => {
                let operation = message::result(message::EXTENDED + 1, &Ok(LdapResultCode::Success), |out| {
                    ber::primitive(out, 0x8a, START_TLS.as_bytes());
                });
                message::write(&mut self.output, id, &operation, &[]);
                // What was bound without TLS, or paged, is not taken over.
                self.reader = Reader::Anonymous;
                self.who.clear();
                self.paging = Paging::default();
                return Some(Next::StartTls);
            }
            _ => refuse(LdapResultCode::ProtocolError, "this server does not know the extended operation"),
        };
        self.answer(id, message::EXTENDED + 1, &result);
        None
    }

    /// Takes what came of the work.
    pub(super) fn done(&mut self, done: Done) {
        let Some(mut running) = self.running.take() else { return };
        match (done, running.abandoned.take()) {
            (_, Some(Abandoned::Silently)) => {}
            (_, Some(Abandoned::Cancelled(by))) => {
                self.answer(running.id, running.answer, &Err(Failure::new(LdapResultCode::Canceled, "")));
                self.answer(by, message::EXTENDED + 1, &Ok(LdapResultCode::Success));
            }
            (Done::Result(result), None) => self.answer(running.id, running.answer, &result),
            (Done::Part { search, entries, page, result }, None) => self.found(running, search, entries, page, result),
        }
    }

    fn found(
        &mut self,
        mut running: Running,
        search: Box<Search>,
        entries: Vec<Vec<u8>>,
        page: usize,
        result: Result<Progress, Failure>,
    ) {
        let Some(mut remaining) = running.search.take() else { return };
        for entry in &entries {
            message::write(&mut self.output, running.id, entry, &[]);
        }
        remaining.page = page;
        if let Some(hot) = &mut remaining.hot {
            hot.bytes += entries.iter().map(Vec::len).sum::<usize>();
            hot.operations.extend(entries);
        }
        remaining.hot = remaining.hot.filter(|hot| hot.bytes <= hot::ANSWER_BYTES);
        let (result, cookie) = match result {
            Ok(Progress::More) => {
                let id = running.id;
                self.next_job = Some(Job::Search(search, page));
                self.running = Some(Running { id, search: Some(remaining), ..running });
                return;
            }
            Ok(Progress::Full) if remaining.paged => (Ok(LdapResultCode::Success), self.paging.keep(search)),
            Ok(Progress::Full) => (Err(Failure::new(LdapResultCode::SizeLimitExceeded, "")), Vec::new()),
            Ok(Progress::Done) => {
                let operation = message::result(running.answer, &Ok(LdapResultCode::Success), |_| ());
                if let Some(mut hot) = remaining.hot {
                    hot.operations.push(operation);
                    self.hot.put(hot.key, Answer::new(hot.stamp, search.changes_at, &hot.operations));
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

impl Waiting {
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
        LdapOp::SearchRequest(_) => 0x65,
        LdapOp::ModifyRequest(_) => message::MODIFY + 1,
        LdapOp::AddRequest(_) => message::ADD + 1,
        LdapOp::DelRequest(_) => 0x6b,
        LdapOp::ModifyDNRequest(_) => 0x6d,
        LdapOp::CompareRequest(_) => 0x6f,
        _ => message::EXTENDED + 1,
    }
}

fn cancel_target(value: Option<&[u8]>) -> Result<i32, Failure> {
    let target = value.and_then(|value| {
        let (head, inside, rest) = ber::split(value).ok()?;
        let (id, octets, end) = ber::split(inside).ok()?;
        let formed = head.tag == ber::SEQUENCE && id.tag == ber::INTEGER && rest.is_empty() && end.is_empty();
        let number = octets.iter().fold(0_i64, |number, octet| number << 8 | i64::from(*octet));
        i32::try_from(number).ok().filter(|_| formed && (1..=4).contains(&octets.len()))
    });
    target.ok_or_else(|| Failure::new(LdapResultCode::ProtocolError, "the value is no request to cancel"))
}

/// The id of a search and by what its answer may be remembered.
fn remembered(reader: Reader, bytes: &[u8]) -> Option<(i32, Box<[u8]>)> {
    let (_, content, _) = ber::split(bytes).ok()?;
    let (head, id, operation) = ber::split(content).ok()?;
    let is_search = operation.first() == Some(&message::SEARCH) && operation.len() <= hot::REQUEST_BYTES;
    if head.tag != ber::INTEGER || !is_search || !(1..=4).contains(&id.len()) {
        return None;
    }
    let id = id.iter().fold(0_u32, |id, octet| id << 8 | u32::from(*octet));
    Some((i32::try_from(id).ok().filter(|id| *id > 0)?, Hot::key(reader, operation)?))
}

fn remembered_key(reader: Reader, bytes: &[u8]) -> Option<Box<[u8]>> {
    remembered(reader, bytes).map(|(_, key)| key)
}

/// RFC 2696: no estimate, and the cookie.
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
