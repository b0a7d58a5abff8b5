//! The inventory of what a domain has issued: who holds what, signed by whom, ending when, revoked why. It is read from
//! the log a page at a time, in log order or by the hours in which certificates end, so its cost does not depend on how
//! many there are.

use std::fmt;
use std::str::FromStr;

use ics_core::descriptor::CertificateProfile;
use ics_core::identity::{IdentityId, excerpt};
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::{IssuedCertificate, Listed, Logged, Posting, Record, postings};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, CertificateUse, DomainName, ProfileName};

use crate::acme::renewal::window;
use crate::api::problem::Code;
use crate::api::{
    CertificateInfo, CertificatePage, CertificateQuery, CertificateRevocation, CertificateState, RenewalWindow,
};
use crate::app::answer::list::page_items;
use crate::app::answer::read::Sight;
use crate::app::entries::{keys, restore};
use crate::app::{App, AppError, Reader};
use crate::store::Certified;
use crate::x509::{Reason, State, because};

/// How many entries and hours are looked at for one page; it may then be short or even empty, and still have a next
/// one.
const LOOKS_PER_PAGE: usize = 4 * limits::PAGE_ITEMS;
/// How many entries of the log, of whatever kind, one page covers for a reader who may not see all of them.
const STRETCH: u64 = LOOKS_PER_PAGE as u64;

/// The order in which certificates are looked through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Walk {
    /// In the order of issue.
    Issued {
        /// Only those issued to this thing.
        to: Option<IdentityId>,
    },
    /// By the hour in which they end, within these times.
    Ends {
        /// The beginning of the period.
        from: Timestamp,
        /// The end of the period, exclusive.
        before: Timestamp,
    },
}

/// Where a walk continues: in an hour (if it goes by hours), at an index of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) struct Cursor {
    hour: Option<u64>,
    index: u64,
}

/// The result of one step of a walk.
pub(in crate::app) struct Step {
    pub(in crate::app) issued: Vec<Logged>,
    /// How many entries and hours were looked at.
    pub(in crate::app) looks: usize,
    pub(in crate::app) next: Option<Cursor>,
}

impl App {
    /// A page of the certificates that a domain has issued to things that the reader may read.
    ///
    /// # Errors
    /// When the domain is not held here, or the query is malformed.
    pub fn certificates(
        &self,
        reader: Reader,
        domain: &DomainName,
        query: &CertificateQuery,
    ) -> Result<CertificatePage, AppError> {
        let limit = page_items(query.limit)?;
        let hosted = self.hosted(domain)?;
        let (sight, now) = (self.sight(&hosted)?, self.clock().now());
        let walk = walk(query, now)?;
        let is_open = match walk {
            Walk::Issued { to: Some(id) } => self.readable(reader, &sight, &id)?.is_some(),
            _ => self.may_read_any(reader, &sight.domain),
        };
        if !is_open {
            return Ok(CertificatePage { as_of: self.as_of(&sight), items: Vec::new(), next: None });
        }
        // Where a page ends, and in which hour, would depend on hidden entries. So readers who may not see everything
        // go over fixed stretches of the log instead, whatever those contain.
        let by_stretches = !matches!(walk, Walk::Issued { to: Some(_) }) && !self.is_shown_all(reader, &sight.domain);
        let walk = if by_stretches { Walk::Issued { to: None } } else { walk };
        let mut at = match &query.after {
            Some(text) => text.parse().map_err(|error: String| AppError::new(Code::MalformedQuery, error))?,
            None => walk.start(),
        };
        let size = sight.seal.size;
        let behind = by_stretches.then(|| at.index.saturating_add(STRETCH)).filter(|behind| *behind < size);
        let (mut items, mut looks, mut next) = (Vec::new(), 0, None);
        'page: while by_stretches || looks < LOOKS_PER_PAGE {
            // A full page looks as far as the first item of the next one: it has a next page only if there is more that
            // its reader may read.
            let step = self.step(&sight, walk, (at, behind.unwrap_or(size)), (limit - items.len()).max(1))?;
            looks += step.looks;
            for issued in &step.issued {
                let item = self.certificate_info(reader, &sight, issued, now)?.filter(|item| fits(query, item, now));
                if items.len() == limit && item.is_some() {
                    next = Some(Cursor { index: issued.index(), ..at });
                    break 'page;
                }
                items.extend(item);
            }
            next = step.next.or_else(|| behind.map(|index| Cursor { hour: None, index }));
            match step.next {
                Some(cursor) => at = cursor,
                None => break,
            }
        }
        let next = next.map(|cursor| cursor.to_string());
        Ok(CertificatePage { as_of: self.as_of(&sight), items, next })
    }

    /// The next statements of a walk before the index `end`, at most `limit`.
    pub(super) fn step(
        &self,
        sight: &Sight<'_>,
        walk: Walk,
        (at, end): (Cursor, u64),
        limit: usize,
    ) -> Result<Step, AppError> {
        let mut wanted = vec![Posting::Act(Act::Issued)];
        let (hour, last) = match walk {
            Walk::Issued { to } => {
                wanted.extend(to.map(Posting::Subject));
                (None, None)
            }
            Walk::Ends { before, .. } => {
                let hour = at.hour.unwrap_or_default();
                wanted.push(Posting::Turns(hour));
                (Some(hour), Some(hour_of(Timestamp::from_millis(before.as_millis().saturating_sub(1)))))
            }
        };
        if hour.zip(last).is_some_and(|(hour, last)| hour > last) {
            return Ok(Step { issued: Vec::new(), looks: 0, next: None });
        }
        let range = at.index..end;
        let page = self.store().positions(sight.hosted.number, &keys(&wanted), range, limit)?;
        let mut issued = Vec::new();
        for entry in self.store().entries_at(sight.hosted.number, &page.indices)? {
            let found = restore(&sight.domain, &entry)?;
            issued.extend(found.filter(|it| !it.is_refused() && has(it, &wanted) && walk.takes(it, hour)));
        }
        let here = page.next.map(|index| Cursor { hour, index });
        let next = here.or_else(|| hour.map(|hour| Cursor { hour: Some(hour + 1), index: 0 }));
        Ok(Step { issued, looks: page.indices.len() + 1, next })
    }

    /// The record, at a time, of a thing to which this was issued, as one of many in a listing, and whether more was
    /// said that cannot be shown. A listing must not displace from memory what is asked for, so it adds nothing there.
    pub(super) fn record_in_passing(
        &self,
        sight: &Sight<'_>,
        issued: &Logged,
        at: Timestamp,
    ) -> Result<Option<(Record, bool)>, AppError> {
        let id = issued.subject_id();
        match self.memory().recall(sight.hosted.number, &id, at) {
            Some(kept) => Ok(kept.record()?.map(|record| (record, kept.withheld))),
            None => {
                let resolved = self.resolve_at(sight, &id, core::slice::from_ref(issued), at)?;
                Ok(resolved.map(|(record, said)| (record, said.unseen)))
            }
        }
    }

    /// The description of a certificate, if the reader may read its holder.
    pub(super) fn certificate_info(
        &self,
        reader: Reader,
        sight: &Sight<'_>,
        issued: &Logged,
        now: Timestamp,
    ) -> Result<Option<CertificateInfo>, AppError> {
        let id = issued.subject_id();
        let known = self.record_in_passing(sight, issued, now)?.map(|(record, _)| record);
        let Some(record) = known.filter(|record| self.may_read(reader, &sight.domain, record)) else {
            return Ok(None);
        };
        let Some(named) = IssuedCertificate::of(issued.claims()) else { return Ok(None) };
        let state = State::of(&record, issued.index());
        Ok(Some(CertificateInfo {
            serial: value(&named.serial),
            sha256: value(&named.certificate),
            spki: value(&named.spki),
            profile: issued.claims().reason.clone(),
            id: id.to_string(),
            kind: record.identity.kind,
            title: record.title.clone(),
            issuer: issued.signer().to_string(),
            issuer_name: sight.shown.name_of(&issued.signer()),
            index: issued.index(),
            from: named.from,
            until: named.until,
            state: state_word(state),
            revoked: revocation(&record, issued.index(), state),
            renew: renewal(&named, now).filter(|_| state == State::Good),
            // A revoked certificate needs no renewal; for one that has ended this says that no renewal was missed.
            renewed: state_word(state) != CertificateState::Revoked && self.is_renewed(sight, &record, issued)?,
        }))
    }
}

impl App {
    /// Whether the holder of a certificate has a later one in its place: of the same profile, in force, and for its
    /// names. The later one may end with the former or before it, because its authority ends or the profile has become
    /// shorter; its own end is watched, too. A holder that answers OCSP needs one from each authority for which it
    /// does. If the contents of both are not known, as at a mirror, the profile alone decides.
    fn is_renewed(&self, sight: &Sight<'_>, record: &Record, issued: &Logged) -> Result<bool, AppError> {
        let reason = &issued.claims().reason;
        let rules = sight.domain.descriptor().certificates.as_ref();
        let name = reason.as_ref().and_then(|name| name.parse().ok());
        let profile = rules.zip(name).and_then(|(rules, name): (_, ProfileName)| rules.profiles.get(&name));
        let answers = profile.is_some_and(|it| it.uses.contains(&CertificateUse::Ocsp));
        let is_later = |listed: &&Listed| {
            let lasts = listed.until.is_none_or(|until| until > record.at);
            let is_such = listed.reason == *reason && (!answers || listed.by.signer == issued.signer());
            let is_later = listed.act == Act::Issued && listed.by.index > issued.index();
            is_later && is_such && lasts && State::of(record, listed.by.index) == State::Good
        };
        let certified = |index| self.store().certified(sight.hosted.number, index);
        let mut later = record.statements.iter().filter(is_later).peekable();
        if later.peek().is_none() {
            return Ok(false);
        }
        let Some(former) = certified(issued.index())? else { return Ok(true) };
        for listed in later {
            if certified(listed.by.index)?.is_none_or(|later| serves(&later, &former, record, profile)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn walk(query: &CertificateQuery, now: Timestamp) -> Result<Walk, AppError> {
    let malformed = |error: String| AppError::new(Code::MalformedQuery, error);
    let id = query.id.as_deref().map(str::parse).transpose();
    let to = id.map_err(|error: ics_core::identity::IdentityError| malformed(error.to_string()))?.map(IdentityId::Key);
    match (to, query.ends_before) {
        (Some(_), Some(_)) => Err(malformed("`id` and `ends_before` do not go together".to_owned())),
        (_, Some(before)) => Ok(Walk::Ends { from: now, before }),
        (to, None) => Ok(Walk::Issued { to }),
    }
}

impl Walk {
    pub(in crate::app) fn start(self) -> Cursor {
        match self {
            Self::Issued { .. } => Cursor { hour: None, index: 0 },
            Self::Ends { from, .. } => Cursor { hour: Some(hour_of(from)), index: 0 },
        }
    }

    fn takes(self, issued: &Logged, hour: Option<u64>) -> bool {
        match self {
            Self::Issued { .. } => true,
            Self::Ends { from, before } => {
                let until = issued.claims().until;
                until.is_some_and(|until| from < until && until < before && Some(hour_of(until)) == hour)
            }
        }
    }
}

const fn hour_of(at: Timestamp) -> u64 {
    at.as_seconds() / 3600
}

/// Whether a statement really has the postings that were looked up, since hashes collide.
fn has(issued: &Logged, wanted: &[Posting]) -> bool {
    let postings = postings(issued);
    wanted.iter().all(|posting| postings.contains(posting))
}

fn fits(query: &CertificateQuery, item: &CertificateInfo, now: Timestamp) -> bool {
    let ends = |before: Timestamp| item.until.is_some_and(|until| now < until && until < before);
    query.state.is_none_or(|state| state == item.state) && query.ends_before.is_none_or(ends)
}

const fn state_word(state: State) -> CertificateState {
    match state {
        State::Good => CertificateState::Good,
        State::Revoked { reason: Reason::CertificateHold, .. } => CertificateState::Held,
        State::Revoked { .. } => CertificateState::Revoked,
        State::Ended => CertificateState::Ended,
    }
}

fn revocation(record: &Record, index: u64, state: State) -> Option<CertificateRevocation> {
    let State::Revoked { at, reason } = state else { return None };
    let because = because(record, index);
    Some(CertificateRevocation {
        at,
        reason: reason.to_string(),
        by: because.map(|listed| listed.by.clone()),
        status: because.and_then(|listed| listed.status.as_ref()).map(ToString::to_string),
        why: because.and_then(why).or_else(|| unvouched(record, reason)),
    })
}

/// The explanation if no status holds a certificate back and nobody has given a reason.
fn unvouched(record: &Record, reason: Reason) -> Option<String> {
    let is_held = reason == Reason::CertificateHold && !record.effect().blocks();
    (is_held && record.vouched.is_empty()).then(|| "nobody vouches for its holder any more".to_owned())
}

/// The reason given by whoever said so. The reason of a withdrawal consists of one of RFC 5280 and of who asked for it.
fn why(listed: &Listed) -> Option<String> {
    let reason = listed.reason.as_deref()?;
    match listed.act {
        Act::Withdrawal => reason.split_once("; ").map(|(_, asked)| asked.to_owned()),
        _ => Some(reason.to_owned()),
    }
}

fn renewal(named: &IssuedCertificate, now: Timestamp) -> Option<RenewalWindow> {
    let (from, until) = named.from.zip(named.until)?;
    let serial = data_encoding::HEXLOWER.decode(value(&named.serial).as_bytes()).unwrap_or_default();
    let (from, until) = window(from, until, &serial, false, now);
    Some(RenewalWindow { from, until })
}

/// Whether a later certificate can do everything that a former one did: it has all of the former's names that the
/// record still gives and the profile still takes, and all of its uses that the profile still has.
fn serves(later: &Certified, former: &Certified, record: &Record, profile: Option<&CertificateProfile>) -> bool {
    let is_given = |name: &&Name| record.names.iter().any(|given| given.value == **name);
    let is_taken = |name: &&Name| profile.is_none_or(|it| it.takes(name));
    let mut names = former.names.iter().filter(is_given).filter(is_taken);
    let mut uses = former.uses.iter().filter(|usage| profile.is_none_or(|it| it.uses.contains(*usage)));
    names.all(|name| later.names.contains(name)) && uses.all(|usage| later.uses.contains(usage))
}

/// A name without its scheme.
fn value(name: &Name) -> String {
    let text = name.to_string();
    text.split_once(':').map_or_else(String::new, |(_, value)| value.to_owned())
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hour {
            Some(hour) => write!(f, "{hour}-{}", self.index),
            None => write!(f, "{}", self.index),
        }
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{}` is no place in a list of certificates: take the `next` of a page", excerpt(text));
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number < 1 << 48).ok_or_else(form);
        match text.split_once('-') {
            Some((hour, index)) => Ok(Self { hour: Some(number(hour)?), index: number(index)? }),
            None => Ok(Self { hour: None, index: number(text)? }),
        }
    }
}
