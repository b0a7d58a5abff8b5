//! The log of a domain for another node: the same pages and news that HTTP carries, as entries.
//!
//! A cookie is `ics ORIGIN FROM`, followed by ` UNTIL` if the consumer wants a proof that leads to a certain size. It
//! names the log, and how many of its entries the consumer has; what is too much for news does not count among them
//! until the consumer comes back for it. The consumer gets the entries after those, and last the log's own entry with the
//! checkpoint and the proof that leads to it. What the consumer claims to have is believed by neither side: the consumer
//! computes the root itself. A consumer that may now read more asks for what was hidden with `again ORIGIN UNTIL` and the
//! same JSON as over HTTP, without ` UNTIL` if it takes as many entries as there are. Another origin, or more entries than
//! there are, is answered with e-syncRefreshRequired.

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ics_sync::news::{HEARTBEAT_SECONDS, News};
use ics_sync::wire;
use ldap3_proto::proto::{LdapResultCode, LdapSearchRequest, LdapSearchScope};

use super::super::control::Sync as Asked;
use super::super::encode::{Selection, encode};
use super::super::entry::{self, Entry, entry_uuid};
use super::super::message::Failure;
use super::super::schema;
use super::super::search::{Place, failed};
use super::control::{self, State};
use super::{Sent, Step, party, refresh_required};
use crate::api::problem::Code;
use crate::app::{AppError, Reader};

/// The longest cookie in bytes: a domain's name, a digest and two numbers.
const COOKIE_BYTES: usize = 512;

/// A consumer's place in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ldap) struct Cursor {
    origin: String,
    from: u64,
    until: Option<u64>,
}

impl Cursor {
    pub(in crate::ldap) fn read(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok().filter(|text| text.len() <= COOKIE_BYTES)?;
        let mut words = text.split(' ');
        let (mark, origin, from, until) = (words.next()?, words.next()?, words.next()?, words.next());
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let until = until.map(|text| number(text).ok_or(())).transpose().ok()?;
        let is_whole = mark == "ics" && words.next().is_none();
        is_whole.then_some(Self { origin: origin.to_owned(), from: number(from)?, until })
    }

    pub(in crate::ldap) fn write(&self) -> Vec<u8> {
        let until = self.until.map(|until| format!(" {until}")).unwrap_or_default();
        format!("ics {} {}{until}", self.origin, self.from).into_bytes()
    }
}

/// A log that is kept in step.
pub(super) struct Log {
    reader: Reader,
    party: String,
    domain: DomainName,
    selection: Selection,
    persist: bool,
    limit: usize,
    cursor: Cursor,
    /// How many entries the consumer has without a gap.
    had: u64,
    /// Entries that the consumer asks for again because they were hidden.
    again: Option<wire::Again>,
    /// When the consumer was last told anything, and what it was last told of its rights.
    told_at: Option<Timestamp>,
    rights: Option<Option<wire::Rights>>,
    note: String,
    due: bool,
}

impl Log {
    pub(super) fn new(
        place: &Place,
        reader: Reader,
        domain: DomainName,
        request: &LdapSearchRequest,
        asked: Asked,
    ) -> Result<Self, Failure> {
        if request.scope != LdapSearchScope::Subtree {
            return Err(Failure::new(LdapResultCode::UnwillingToPerform, "a log is kept in step as a whole"));
        }
        let info = place.app.domain(&domain).map_err(|error| failed(&error))?.info;
        let origin = info.origin.to_string();
        let cookie = asked.cookie.filter(|cookie| !cookie.is_empty());
        let again = cookie.as_deref().and_then(|cookie| again(cookie, &origin)).filter(|_| !asked.persist);
        let cursor = match cookie.filter(|_| again.is_none()) {
            Some(cookie) => Cursor::read(&cookie).filter(|cursor| cursor.origin == origin),
            None => Some(Cursor { origin, from: 0, until: None }),
        };
        let limit = usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0);
        let cursor = cursor.ok_or_else(refresh_required)?;
        Ok(Self {
            reader,
            party: party(place, reader),
            domain,
            selection: Selection::new(&request.attrs, request.typesonly),
            persist: asked.persist,
            limit: limit.unwrap_or(limits::FEED_ENTRIES),
            had: cursor.from,
            cursor,
            again,
            told_at: None,
            rights: None,
            note: String::new(),
            due: true,
        })
    }

    pub(super) const fn wake(&mut self) {
        self.due = true;
    }

    pub(super) fn go_on(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        if !core::mem::take(&mut self.due) {
            return Ok(Step::Idle);
        }
        // If the configuration has changed what it says of the reader, its rights may differ.
        if self.party != party(place, self.reader) {
            return Err(refresh_required());
        }
        let before = out.len();
        let step = if self.persist { self.news(place, out)? } else { self.page(place, out)? };
        let bytes = out.iter().skip(before).map(|sent| sent.operation.len()).sum();
        if bytes > 0 {
            place.app.served(self.reader, &self.domain, self.cursor.from, bytes);
        }
        Ok(step)
    }

    fn page(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        place.app.admit(self.reader).map_err(|error| failed(&error))?;
        if let Some(again) = self.again.take() {
            return self.shown(place, &again, out);
        }
        let Cursor { from, until, .. } = self.cursor;
        let page = place.app.entries(self.reader, &self.domain, from, self.limit, until);
        let page = page.map_err(|error| ended(&error))?;
        self.send(place, &page, out)?;
        self.cursor = Cursor { from: from + page.entries.len() as u64, until: None, ..self.cursor.clone() };
        Ok(Step::Done(control::done(&self.cursor.write(), true)))
    }

    fn news(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        let is_first = self.told_at.is_none();
        if is_first {
            // As over HTTP, whoever listens makes one request, or a spent budget would be no bound.
            place.app.admit(self.reader).map_err(|error| failed(&error))?;
        }
        let news = place.app.news_since(self.reader, &self.domain, self.cursor.from, self.rights.as_ref());
        let (news, size, rights) = news.map_err(|error| ended(&error))?;
        self.rights = Some(rights);
        let (now, had) = (place.app.clock().now(), self.had);
        match news {
            News::Page(page) => {
                self.send(place, &page, out)?;
                if page.from == had {
                    self.had += page.entries.len() as u64;
                }
            }
            News::Checkpoint(note) => {
                let is_due = self.told_at.is_none_or(|at| now.millis_since(at) >= HEARTBEAT_SECONDS * 1000);
                if !is_due && note == self.note {
                    return Ok(Step::Idle);
                }
                self.note.clone_from(&note);
                let own = self.own(place, size, Some(&note), &[])?;
                out.push(self.sent(place, &own, State::Modify));
            }
        }
        self.told_at = Some(now);
        self.cursor.from = size;
        // Whoever comes back with it must not miss what was only announced.
        let cookie = Cursor { from: self.had, until: None, ..self.cursor.clone() }.write();
        let operation = match (is_first, self.had > had) {
            (true, _) => control::refreshed(&cookie, true),
            (false, true) => control::new_cookie(&cookie),
            (false, false) => return Ok(Step::Idle),
        };
        out.push(Sent { operation, controls: Vec::new() });
        Ok(Step::Idle)
    }

    /// Entries that were hidden, as far as they may now be read; the rest of the answer is in the log's own entry.
    fn shown(&self, place: &Place, again: &wire::Again, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        let shown = place.app.entries_again(self.reader, &self.domain, again).map_err(|error| ended(&error))?;
        for (index, entry) in again.hidden.iter().zip(&shown.entries) {
            let entry = entry::log_entry(&place.tree, &self.domain, *index, entry);
            out.push(self.sent(place, &entry, State::Modify));
        }
        let mut own = self.own(place, self.cursor.from, None, &[])?;
        own.put(&schema::SHOWN, [json(&wire::Shown { entries: Vec::new(), ..shown })?]);
        out.push(self.sent(place, &own, State::Modify));
        Ok(Step::Done(control::done(&self.cursor.write(), true)))
    }

    /// Sends the entries of a page, followed by the log's own entry.
    fn send(&self, place: &Place, page: &wire::Page, out: &mut Vec<Sent>) -> Result<(), Failure> {
        for (index, entry) in (page.from..).zip(&page.entries) {
            let entry = entry::log_entry(&place.tree, &self.domain, index, entry);
            out.push(self.sent(place, &entry, State::Add));
        }
        let proof: Vec<u8> = page.proof.iter().flat_map(|hash| hash.0).collect();
        let mut own = self.own(place, page.size, page.checkpoint.as_deref(), &proof)?;
        // Present on every page, `null` for a reader that may read all: it distinguishes a page without entries from a
        // checkpoint.
        own.put(&schema::SIGHT, [json(&page.sight)?]);
        out.push(self.sent(place, &own, State::Modify));
        Ok(())
    }

    /// The log's own entry.
    fn own(&self, place: &Place, size: u64, note: Option<&str>, proof: &[u8]) -> Result<Entry, Failure> {
        let info = place.app.domain(&self.domain).map_err(|error| failed(&error))?;
        Ok(entry::log(&place.tree, &info, size, note, proof))
    }

    fn sent(&self, place: &Place, entry: &Entry, state: State) -> Sent {
        let uuid = entry_uuid(&place.tree, &entry.dn);
        Sent { operation: encode(entry, &self.selection), controls: control::state(state, &uuid) }
    }
}

/// The entries of this log that the consumer asks for again, if any.
fn again(cookie: &[u8], origin: &str) -> Option<wire::Again> {
    let text = core::str::from_utf8(cookie).ok()?.strip_prefix("again ")?;
    let question = text.strip_prefix(origin)?.strip_prefix(' ')?;
    let (until, json) = match question.split_once(' ').filter(|(until, _)| !until.starts_with('{')) {
        Some((until, json)) => (Some(until.parse().ok()?), json),
        None => (None, question),
    };
    Some(wire::Again { until, ..serde_json::from_str(json).ok()? })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::new(LdapResultCode::Other, error.to_string()))
}

/// The failure for a use case that gave no page; a consumer beyond the end of the log has its entries from elsewhere.
fn ended(error: &AppError) -> Failure {
    if error.code() == Code::OutOfRange { refresh_required() } else { failed(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_again_is_read_with_and_without_how_much_is_taken() {
        let origin = "devices.acme.example/5f2c";
        let asked = |until: &str| {
            let cookie = format!("again {origin} {until}{{\"question\": 1, \"hidden\": [4], \"held\": [2]}}");
            again(cookie.as_bytes(), origin)
        };
        let question = |until| wire::Again { question: 1, hidden: vec![4], held: vec![2], until };
        assert_eq!([asked(""), asked("17 ")], [Some(question(None)), Some(question(Some(17)))]);
        assert_eq!([asked("x "), asked("-1 "), asked("17 18 ")], [None, None, None]);
    }

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for text in ["ics devices.acme.example/5f2c 0", "ics devices.acme.example/5f2c 7 18446744073709551615"] {
            let cursor = Cursor::read(text.as_bytes()).expect(text);
            assert_eq!(cursor.write(), text.as_bytes());
        }
        for text in
            ["", "ics", "ics a/b", "ics a/b x", "ics a/b +1", "ics a/b 1 2 3", "rid a/b 1", "ics a/b 1 ", "ics a/b 1 x"]
        {
            assert_eq!(Cursor::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Cursor::read(&[b"ics ".as_slice(), &[b'x'; COOKIE_BYTES], b" 1"].concat()), None);
        assert_eq!(Cursor::read(b"ics \xff 1"), None);
    }
}
