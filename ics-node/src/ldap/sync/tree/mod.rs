//! The tree kept in step: what is sent to consumers that are new, that return with a cookie, and that stay.
//!
//! A consumer is always brought to one moment of each domain, and what it is sent is a function of two moments: the one
//! that it has, and the one that it is brought to. While it stays, the former is known exactly, and only differences
//! are sent. A consumer that returns gets everything about whatever may have changed, and the names of what is gone; if
//! nobody can tell what may have changed, it gets everything. A cookie that does not fit as a whole is answered with
//! e-syncRefreshRequired, or with everything if the consumer asks for that by its reloadHint, as slapd does; never with
//! a part.
//!
//! A domain that cannot answer keeps nobody from the others. A consumer that has nothing of it gets what there is. One
//! that has something of it keeps that, since nobody can tell what has become of it: it hears of the others, and keeps
//! its cookie, so that it is told again once the domain answers, together with the keys, which follow from all domains;
//! until then only keys come that must not be used, or go if the filter leaves such keys out. If its cookie does not
//! fit, nobody can tell what it has: it gets everything that there is, and forgets nothing until then. Whoever comes
//! with something else than a cookie of this server's would have to forget what the domain said, and so has to wait.

mod planning;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::{LdapResultCode, LdapSearchRequest};

use super::super::control::Sync as Asked;
use super::super::entry::Entry;
use super::super::message::Failure;
use super::super::search::{Place, failed};
use super::content::{Content, Made, Name, nothing_of};
use super::control::{self, State};
use super::cookie::{Cookie, KEYS, Spot, entry_csn, sid};
use super::{Sent, Step, refresh_required};
use crate::app::{Mentions, Moment, Reader, Then};

/// Once a part has this many bytes of entries, it is sent before more are made.
const PART_BYTES: usize = 64 * 1024;
/// Things that one look at the index finds at most.
const LOOK_THINGS: usize = 50;

/// What is still to be done to bring the consumer to the moments aimed at.
#[derive(Debug)]
enum Work {
    /// Find out what to do; up to this many pauses, since nothing of a domain may have arrived yet.
    Begin(u32),
    /// The same if the cookie is of no use: first get past the places that it names, within this many pauses.
    Behind(Cookie, u32),
    Look,
    /// The entries above all domains.
    Top,
    /// A domain's entry, after its things: it says how complete and fresh they are.
    Domain(DomainName),
    /// Everything of a domain, starting at this place.
    All(DomainName, u64),
    /// The keys of all its certificates: all sent, or only those that differ from what the consumer has.
    AllKeys(DomainName),
    CompareKeys(DomainName),
    /// These keys, whatever the consumer has of them.
    Keys(DomainName, BTreeSet<String>),
    /// These things, whatever the consumer has of them.
    Renew(DomainName, BTreeSet<String>),
    /// Whatever of these things differs from what the consumer has.
    Compare(DomainName, BTreeSet<String>),
    /// The same for everything, starting at this place.
    CompareAll(DomainName, u64),
    /// The end of the refresh, and of a later change.
    Refreshed,
    Changed,
    /// The end of a search whose base no longer exists (RFC 4533, 3.5.1).
    Gone(DomainName),
}

impl Work {
    /// Whether it looks at as many things as are looked at in one go.
    const fn is_long(&self) -> bool {
        match self {
            Self::All(..) | Self::CompareAll(..) | Self::Keys(..) | Self::Renew(..) | Self::Compare(..) => true,
            Self::Begin(_) | Self::Behind(..) | Self::Look | Self::Top | Self::Domain(_) => false,
            Self::AllKeys(_) | Self::CompareKeys(_) | Self::Refreshed | Self::Changed | Self::Gone(_) => false,
        }
    }
}

/// What a consumer keeps while a domain cannot answer of which it has something, or may have.
#[derive(Debug)]
struct Kept {
    /// The cookie with which it came.
    cookie: Cookie,
    /// The server ids of such domains.
    silent: BTreeSet<u32>,
}

impl Kept {
    /// The places of such domains that the cookie names.
    fn spots(&self) -> Vec<Spot> {
        self.silent.iter().filter_map(|sid| self.cookie.spots.get(sid).copied()).collect()
    }
}

/// A search that is kept in step.
pub(in crate::ldap) struct Tree {
    content: Content,
    persist: bool,
    /// Whether an unusable cookie is answered with everything, as the consumer has asked.
    reload: bool,
    rid: Option<String>,
    cookie: Option<Cookie>,
    /// Whether the consumer came with something else than a cookie of this server's.
    is_unreadable: bool,
    kept: Option<Kept>,
    /// Whether entries not mentioned in the refresh still exist.
    deletes: bool,
    /// The moments that the consumer has, and those that it is brought to.
    has: BTreeMap<DomainName, Moment>,
    aim: BTreeMap<DomainName, Moment>,
    work: VecDeque<Work>,
    /// The CSNs of the states that the domains and the keys are brought to.
    csns: BTreeMap<DomainName, String>,
    keys_csn: Option<String>,
    /// When these were computed.
    counted_at: Timestamp,
    /// Whether anything was sent since the last cookie.
    has_sent: bool,
    /// The client's size limit for the refresh (RFC 4533, 3.5.3).
    wanted: Option<usize>,
    /// When the refresh must be over (RFC 4533, 3.5.4).
    until: Option<Timestamp>,
}

impl Tree {
    pub(super) fn new(
        place: &Place,
        reader: Reader,
        request: LdapSearchRequest,
        asked: Asked,
    ) -> Result<Self, Failure> {
        let sent = asked.cookie.filter(|cookie| !cookie.is_empty());
        let cookie = sent.as_deref().and_then(Cookie::read);
        let seconds = u64::try_from(request.timelimit).ok().filter(|seconds| *seconds > 0);
        Ok(Self {
            until: seconds.map(|seconds| place.app.clock().now().plus_millis(seconds * 1000)),
            wanted: usize::try_from(request.sizelimit).ok().filter(|limit| *limit > 0),
            content: Content::new(place, reader, request)?,
            persist: asked.persist,
            reload: asked.reload,
            rid: cookie.as_ref().and_then(|cookie| cookie.rid.clone()),
            is_unreadable: sent.is_some() && cookie.is_none(),
            cookie: cookie.filter(|cookie| !cookie.spots.is_empty()),
            kept: None,
            deletes: false,
            has: BTreeMap::new(),
            aim: BTreeMap::new(),
            work: [Work::Begin(planning::UNSETTLED_PAUSES)].into(),
            csns: BTreeMap::new(),
            keys_csn: None,
            counted_at: Timestamp::default(),
            has_sent: false,
        })
    }

    /// Tells an idle search that something may have changed.
    pub(super) fn wake(&mut self) {
        if self.work.is_empty() {
            self.work.push_back(Work::Look);
        }
    }

    /// Continues until a part is ready to be sent, others get their turn, or there is nothing more for now.
    ///
    /// # Errors
    /// When the search ends here: its base does not exist, a limit is reached, or the consumer has to begin anew.
    pub(super) fn go_on(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        let failure = match self.work_off(place, out) {
            Err(failure) if failure.code == LdapResultCode::EsyncRefreshRequired => failure,
            done => return done,
        };
        // So much has happened to one thing that nobody can tell what the consumer has of it. It gets everything, or it
        // would ask with the same cookie for ever.
        if self.work.iter().any(|work| matches!(work, Work::Refreshed)) {
            self.work.clear();
            self.plan(place, None);
            return Ok(Step::More);
        }
        let is_any_silent = matches!(self.content.moments(place), Ok(Some(now)) if !now.silent.is_empty());
        Err(if is_any_silent { not_now() } else { failure })
    }

    fn work_off(&mut self, place: &Place, out: &mut Vec<Sent>) -> Result<Step, Failure> {
        let mut sent = 0;
        while let Some(work) = self.work.pop_front() {
            if self.until.is_some_and(|until| place.app.clock().now() > until) {
                return Err(Failure::new(LdapResultCode::TimeLimitExceeded, ""));
            }
            let (before, is_long) = (out.len(), work.is_long());
            if let Some(done) = self.work_at(place, work, out)? {
                return Ok(done);
            }
            self.has_sent |= out.len() > before;
            sent += out.iter().skip(before).map(|it| it.operation.len() + it.controls.len()).sum::<usize>();
            // Even if nothing was found: the consumer may be gone, and others wait for their turn.
            if is_long || sent >= PART_BYTES {
                return Ok(Step::More);
            }
        }
        Ok(Step::Idle)
    }

    fn work_at(&mut self, place: &Place, work: Work, out: &mut Vec<Sent>) -> Result<Option<Step>, Failure> {
        match work {
            Work::Begin(pauses) => return self.begin(place, pauses),
            Work::Behind(cookie, pauses) => return self.go_behind(place, cookie, pauses),
            Work::Look => self.look(place)?,
            Work::Top => self.add(self.content.top(place), None, out)?,
            Work::Domain(domain) => {
                let made = self.content.domain(place, self.aimed(&domain)?)?;
                self.add(made.into_iter().collect(), Some(&domain), out)?;
            }
            Work::All(domain, from) => self.all(place, domain, from, out)?,
            Work::AllKeys(domain) => {
                let ids = self.content.certificates([self.aimed(&domain)?]);
                self.work.push_front(Work::Keys(domain, ids));
            }
            Work::CompareKeys(domain) => {
                let moments = self.has.get(&domain).into_iter().chain([self.aimed(&domain)?]);
                let ids = self.content.certificates(moments);
                self.work.push_front(Work::Compare(domain, ids));
            }
            Work::Keys(domain, ids) => self.some(place, domain, ids, out, Self::send_key, Work::Keys)?,
            Work::Renew(domain, ids) => self.some(place, domain, ids, out, Self::renew, Work::Renew)?,
            Work::Compare(domain, ids) => self.some(place, domain, ids, out, Self::compare, Work::Compare)?,
            Work::CompareAll(domain, from) => {
                let moment = self.aimed(&domain)?;
                let Mentions { found, next } = mentioned(place, moment, from)?;
                let mut ids = BTreeSet::new();
                for (index, id) in found {
                    let then = then(place, self.content.reader, moment, &id)?;
                    ids.extend(then.filter(|then| then.is_found_at(index)).map(|_| id));
                }
                let rest = next.map(|next| Work::CompareAll(domain.clone(), next));
                self.work.extend_first([Some(Work::Compare(domain, ids)), rest]);
            }
            Work::Refreshed => return Ok(self.refreshed(out)),
            Work::Changed => self.changed(out),
            Work::Gone(domain) => return Err(Failure::no_such_object(place.tree.domain_dn(&domain))),
        }
        Ok(None)
    }

    fn aimed(&self, domain: &DomainName) -> Result<&Moment, Failure> {
        self.aim.get(domain).ok_or_else(|| Failure::new(LdapResultCode::Other, ""))
    }

    fn all(&mut self, place: &Place, domain: DomainName, from: u64, out: &mut Vec<Sent>) -> Result<(), Failure> {
        let (found, next) = match self.content.only() {
            Some(id) => (vec![(None, id.clone())], None),
            None if self.content.looks_at_things() => {
                let Mentions { found, next } = mentioned(place, self.aimed(&domain)?, from)?;
                (found.into_iter().map(|(index, id)| (Some(index), id)).collect(), next)
            }
            None => (Vec::new(), None),
        };
        for (index, id) in found {
            let then = then(place, self.content.reader, self.aimed(&domain)?, &id)?;
            // A thing can be mentioned at several indices; it is sent at the one where it is found.
            let is_first = |then: &Then| index.is_none_or(|index| then.is_found_at(index));
            if then.as_ref().is_none_or(is_first) {
                let made = self.made_of(place, &self.aim, &domain, &id, then.as_ref())?;
                self.leave_out(&made, out);
                self.add(made, Some(&domain), out)?;
            }
        }
        self.work.extend_first([next.map(|next| Work::All(domain, next))]);
        Ok(())
    }

    /// Does something with a few of the things, and leaves the others for later.
    fn some(
        &mut self,
        place: &Place,
        domain: DomainName,
        mut ids: BTreeSet<String>,
        out: &mut Vec<Sent>,
        each: impl Fn(&mut Self, &Place, &DomainName, &str, &mut Vec<Sent>) -> Result<(), Failure>,
        rest: impl Fn(DomainName, BTreeSet<String>) -> Work,
    ) -> Result<(), Failure> {
        for _ in 0..LOOK_THINGS {
            let Some(id) = ids.pop_first() else { return Ok(()) };
            each(self, place, &domain, &id, out)?;
        }
        self.work.push_front(rest(domain, ids));
        Ok(())
    }

    /// The entries of a thing at some moments, if the reader could read it: those in a domain, and that of its key.
    fn made(
        &self,
        place: &Place,
        at: &BTreeMap<DomainName, Moment>,
        domain: &DomainName,
        id: &str,
    ) -> Result<Vec<Made>, Failure> {
        let then = at.get(domain).map(|moment| then(place, self.content.reader, moment, id)).transpose()?.flatten();
        self.made_of(place, at, domain, id, then.as_ref())
    }

    /// As [`Tree::made`], with what the domain said of the thing then at hand.
    fn made_of(
        &self,
        place: &Place,
        at: &BTreeMap<DomainName, Moment>,
        domain: &DomainName,
        id: &str,
        then: Option<&Then>,
    ) -> Result<Vec<Made>, Failure> {
        let mut made = Vec::new();
        if self.content.has_things_or_statements()
            && let Some(then) = then
        {
            made.extend(self.content.thing(place, then));
        }
        made.extend(self.content.key(place, at.values(), at.get(domain).zip(then), id)?);
        Ok(made)
    }

    /// Whether an entry is that of a key of which a domain that cannot answer may say something.
    fn waits(&self, name: &Name) -> bool {
        self.kept.is_some() && self.content.is_key(name)
    }

    /// Whether a consumer may be told of an entry now. It is told of a key that waits only if that must not be used:
    /// nothing that is said elsewhere can change that.
    fn is_due(&self, made: &Made) -> bool {
        !self.waits(&made.name) || made.is_unusable
    }

    /// Tells a consumer that keeps what a refresh does not mention what of it the filter leaves out.
    fn leave_out(&self, made: &[Made], out: &mut Vec<Sent>) {
        let left_out = made.iter().filter(|made| self.kept.is_some() && made.entry.is_none() && self.is_due(made));
        out.extend(left_out.map(|made| deleted(&made.name)));
    }

    /// Sends the entry of a key, whatever the consumer has of it.
    fn send_key(&mut self, place: &Place, domain: &DomainName, id: &str, out: &mut Vec<Sent>) -> Result<(), Failure> {
        let made: Vec<Made> = self.content.key(place, self.aim.values(), None, id)?.into_iter().collect();
        self.leave_out(&made, out);
        self.add(made, Some(domain), out)
    }

    /// Sends everything of a thing, whatever the consumer has of it.
    fn renew(&mut self, place: &Place, domain: &DomainName, id: &str, out: &mut Vec<Sent>) -> Result<(), Failure> {
        let (Some(was), now) = (self.has.get(domain), self.aimed(domain)?) else { return Ok(()) };
        let made = self.made(place, &self.aim, domain, id)?;
        // The consumer is told to forget what it could read before and cannot read now, what the filter now leaves out,
        // and statements that a full record no longer lists.
        let gone = place.app.gone(self.content.reader, was, now, id).map_err(|error| failed(&error))?;
        let gone = gone.ok_or_else(refresh_required)?;
        let names = gone.iter().flat_map(|gone| self.content.names(place, domain, gone));
        let goes = |name: &Name| match made.iter().find(|made| made.name == *name) {
            Some(made) => made.entry.is_none() && self.is_due(made),
            None => !self.waits(name),
        };
        names.filter(goes).for_each(|name| out.push(deleted(&name)));
        self.add(made, Some(domain), out)
    }

    /// Sends whatever of a thing differs from what the consumer has.
    fn compare(&mut self, place: &Place, domain: &DomainName, id: &str, out: &mut Vec<Sent>) -> Result<(), Failure> {
        let was = self.made(place, &self.has, domain, id)?.into_iter();
        let mut was: BTreeMap<Name, Entry> = was.filter_map(|made| Some((made.name, made.entry?))).collect();
        for made in self.made(place, &self.aim, domain, id)? {
            let (is_due, before) = (self.is_due(&made), was.remove(&made.name));
            if !is_due || before == made.entry {
                continue;
            }
            let Some(entry) = made.entry else {
                out.push(deleted(&made.name));
                continue;
            };
            let state = if before.is_some() { State::Modify } else { State::Add };
            let operation = self.content.encode(entry, self.csn(&made.name, Some(domain)));
            out.push(Sent { operation, controls: control::state(state, &made.name.uuid) });
        }
        was.keys().filter(|name| !self.waits(name)).for_each(|name| out.push(deleted(name)));
        Ok(())
    }

    /// The CSN of the state that an entry belongs to.
    fn csn(&self, name: &Name, of: Option<&DomainName>) -> Option<&String> {
        if self.content.is_key(name) { self.keys_csn.as_ref() } else { self.csns.get(of?) }
    }

    /// Computes the CSNs of the moments aimed at.
    fn count(&mut self, place: &Place) {
        self.counted_at = place.app.clock().now();
        let numbered = self.aim.iter().filter_map(|(domain, moment)| Some((domain.clone(), entry_csn(moment)?)));
        self.csns = numbered.collect();
        self.keys_csn = Some(self.keys_at(&self.aim).state(KEYS));
    }

    /// The place of the key space when the domains are at these moments, and those that cannot answer are where the
    /// consumer has them. Time passes for these as well: slapd takes only what is newer than what it has, also when
    /// another domain's block begins.
    fn keys_at(&self, at: &BTreeMap<DomainName, Moment>) -> Spot {
        let silent = self.kept.as_ref().map(Kept::spots).unwrap_or_default();
        let spots = at.values().map(|moment| Spot::at(moment, &self.content.digest)).chain(silent);
        Spot::of_keys(spots.map(|spot| spot.aged(self.counted_at)))
    }

    fn add(&mut self, made: Vec<Made>, of: Option<&DomainName>, out: &mut Vec<Sent>) -> Result<(), Failure> {
        for made in made {
            let is_due = self.is_due(&made);
            let Made { name, entry, .. } = made;
            let Some(entry) = entry.filter(|_| is_due) else { continue };
            if let Some(wanted) = &mut self.wanted {
                *wanted = wanted.checked_sub(1).ok_or(Failure::new(LdapResultCode::SizeLimitExceeded, ""))?;
            }
            let operation = self.content.encode(entry, self.csn(&name, of));
            out.push(Sent { operation, controls: control::state(State::Add, &name.uuid) });
        }
        Ok(())
    }

    fn cookie(&self) -> Vec<u8> {
        if let Some(kept) = &self.kept {
            return kept.cookie.write();
        }
        let digest = &self.content.digest;
        let spots = self.has.values().filter_map(|moment| Some((sid(moment)?, Spot::at(moment, digest))));
        let keys = self.content.has_keys().then(|| (KEYS, self.keys_at(&self.has)));
        Cookie { rid: self.rid.clone(), spots: spots.chain(keys).collect() }.write()
    }

    fn refreshed(&mut self, out: &mut Vec<Sent>) -> Option<Step> {
        self.has.clone_from(&self.aim);
        (self.wanted, self.until, self.has_sent) = (None, None, false);
        let cookie = self.cookie();
        if !self.persist {
            return Some(Step::Done(control::done(&cookie, self.deletes)));
        }
        out.push(Sent { operation: control::refreshed(&cookie, self.deletes), controls: Vec::new() });
        None
    }

    fn changed(&mut self, out: &mut Vec<Sent>) {
        self.has.clone_from(&self.aim);
        // The mere passing of time is no news; a consumer that returns with an older cookie gets no less.
        if core::mem::take(&mut self.has_sent) && self.kept.is_none() {
            out.push(Sent { operation: control::new_cookie(&self.cookie()), controls: Vec::new() });
        }
    }
}

trait ExtendFirst {
    /// Puts work before all other work, in this order.
    fn extend_first(&mut self, work: impl IntoIterator<Item = Option<Work>, IntoIter: DoubleEndedIterator>);
}

impl ExtendFirst for VecDeque<Work> {
    fn extend_first(&mut self, work: impl IntoIterator<Item = Option<Work>, IntoIter: DoubleEndedIterator>) {
        work.into_iter().rev().flatten().for_each(|work| self.push_front(work));
    }
}

fn deleted(name: &Name) -> Sent {
    Sent { operation: nothing_of(name), controls: control::state(State::Delete, &name.uuid) }
}

/// The failure for a consumer that may have something of a domain that cannot answer now, and would have to forget it.
fn not_now() -> Failure {
    let text = "a domain here cannot answer now, and nobody can tell which of its entries are gone: ask again later, \
                with the same cookie";
    Failure::new(LdapResultCode::Unavailable, text)
}

/// What a domain said of a thing at a moment.
fn then(place: &Place, reader: Reader, moment: &Moment, id: &str) -> Result<Option<Then>, Failure> {
    place.app.thing_then(reader, moment, id).map_err(|error| failed(&error))
}

/// A few mentions of things, starting at this place.
fn mentioned(place: &Place, moment: &Moment, from: u64) -> Result<Mentions, Failure> {
    place.app.mentions(moment, from, LOOK_THINGS).map_err(|error| failed(&error))
}
