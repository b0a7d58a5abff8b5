//! Plans the work for a consumer: what it has, what it is to be brought to, and what of that may differ.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::limits;
use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::LdapResultCode;

use super::super::super::message::Failure;
use super::super::super::search::{Place, failed};
use super::super::cookie::{Cookie, KEYS, Spot, sid};
use super::super::{Step, refresh_required};
use super::{Kept, Tree, Work, not_now, then};
use crate::app::{Moment, Moments, Then, Touched};

/// How often to look again at a domain of which nothing has arrived yet.
pub(super) const UNSETTLED_PAUSES: u32 = 100;
/// This many pauses last longer than a step of time.
const STEP_PAUSES: u32 = 150;

impl Tree {
    /// Finds out what the consumer has and what it needs.
    pub(super) fn begin(&mut self, place: &Place, pauses: u32) -> Result<Option<Step>, Failure> {
        let Some(Moments { answering, silent }) = self.content.moments(place)? else {
            let busy = || Failure::new(LdapResultCode::Busy, "this copy is catching up");
            return self.pause(Work::Begin(pauses.checked_sub(1).ok_or_else(busy)?));
        };
        self.aim = answering;
        check_number(&self.aim)?;
        if let Some(domain) = self.without_base(place)? {
            return Err(Failure::no_such_object(place.tree.domain_dn(domain)));
        }
        let cookie = self.cookie.take();
        let touched = match &cookie {
            Some(cookie) => self.touched_since(place, cookie, &silent),
            None if self.is_unreadable => Err(refresh_required()),
            None => Ok(None),
        };
        let is_refused = |failure: &Failure| failure.code == LdapResultCode::EsyncRefreshRequired;
        match touched {
            Err(failure) if is_refused(&failure) && (self.reload || !silent.is_empty()) => {
                // A part of the cookie may fit, and says nothing.
                self.has.clear();
                if !silent.is_empty() {
                    let cookie = cookie.clone().ok_or_else(not_now)?;
                    self.kept = Some(Kept { cookie, silent });
                }
                self.go_behind(place, cookie.unwrap_or_default(), STEP_PAUSES)
            }
            touched => {
                self.plan(place, touched?);
                Ok(None)
            }
        }
    }

    /// Plans the work from what may have changed; `None` means that everything is to be sent. What a consumer keeps
    /// cannot be mentioned, so of what else is gone it is told only what the filter leaves out, and the rest when it
    /// comes back with its cookie.
    pub(super) fn plan(&mut self, place: &Place, touched: Option<BTreeMap<DomainName, BTreeSet<String>>>) {
        self.deletes = touched.is_some() || self.kept.is_some();
        let is_any_left = touched.is_none() && self.leave_for_later();
        self.count(place);
        match touched {
            Some(touched) => {
                for (domain, ids) in touched {
                    if self.has.contains_key(&domain) {
                        self.work.extend([Work::Renew(domain.clone(), ids), Work::Domain(domain)]);
                    } else {
                        self.work.extend(everything(&domain));
                    }
                }
            }
            None => {
                self.work.push_back(Work::Top);
                self.work.extend(self.aim.keys().flat_map(everything));
            }
        }
        self.work.push_back(Work::Refreshed);
        // Who asks once is told of them when asking again.
        self.work.extend(is_any_left.then_some(Work::Look));
    }

    /// Leaves those domains for later that are new to a consumer which has others; returns whether there are any. slapd
    /// deletes what a refresh does not mention only if it gets as many CSNs as it has.
    fn leave_for_later(&mut self) -> bool {
        let all = self.aim.len();
        if self.kept.is_none() && !self.has.is_empty() {
            self.aim.retain(|domain, _| self.has.contains_key(domain));
        }
        self.aim.len() < all
    }

    /// Does this work after a pause, in which others have their turn.
    fn pause(&mut self, work: Work) -> Result<Option<Step>, Failure> {
        self.work.push_front(work);
        Ok(Some(Step::Pause))
    }

    /// Aims past the places that a cookie names, if waiting can get there: slapd accepts only what is newer than its
    /// cookie, even if that cookie is of no use.
    pub(super) fn go_behind(&mut self, place: &Place, cookie: Cookie, pauses: u32) -> Result<Option<Step>, Failure> {
        let mut is_behind = true;
        for (domain, aim) in &mut self.aim {
            let Some(spot) = sid(aim).and_then(|sid| cookie.spots.get(&sid)) else { continue };
            if let Some(now) = place.app.moment(domain).map_err(|error| failed(&error))? {
                *aim = now;
            }
            is_behind &= Spot::at(aim, &self.content.digest).is_behind(spot) || spot.size > aim.size();
        }
        match pauses.checked_sub(1) {
            Some(pauses) if !is_behind => self.pause(Work::Behind(cookie, pauses)),
            _ => {
                self.plan(place, None);
                Ok(None)
            }
        }
    }

    /// What may have changed since the cookie; `None` if that may be anything.
    fn touched_since(
        &mut self,
        place: &Place,
        cookie: &Cookie,
        silent: &BTreeSet<u32>,
    ) -> Result<Option<BTreeMap<DomainName, BTreeSet<String>>>, Failure> {
        let mut spots = cookie.spots.clone();
        let keys = spots.remove(&KEYS);
        let silent: BTreeSet<u32> = spots.keys().filter(|sid| silent.contains(*sid)).copied().collect();
        spots.retain(|sid, _| !silent.contains(sid));
        self.kept = (!silent.is_empty()).then(|| Kept { cookie: cookie.clone(), silent });
        let mut touched = BTreeMap::new();
        let mut any = false;
        for (domain, now) in &self.aim {
            let spot = sid(now).and_then(|sid| spots.remove(&sid));
            let Some(spot) = spot else {
                touched.insert(domain.clone(), BTreeSet::new());
                continue;
            };
            if spot.size == 0 || spot.size > now.size() {
                return Err(refresh_required());
            }
            let was = place.app.earlier(now, spot.size, spot.admitted_at, spot.age).map_err(|error| failed(&error))?;
            if !Spot::at(&was, &self.content.digest).fits(&spot) {
                return Err(refresh_required());
            }
            match place.app.touched(&was, now).map_err(|error| failed(&error))? {
                Touched::Any => any = true,
                Touched::These(ids) => {
                    touched.insert(domain.clone(), self.of_content(ids));
                }
            }
            self.has.insert(domain.clone(), was);
        }
        let of_keys = self.content.has_keys().then(|| self.keys_at(&self.has));
        let is_of_keys = match (keys, of_keys) {
            // Their place follows from those of all domains, and that of a silent one cannot be compared.
            (Some(told), Some(known)) => self.kept.is_some() || known.fits(&told),
            (told, known) => told.is_none() && known.is_none(),
        };
        // The cookie names a domain that is not here, or does not fit the key space.
        if !spots.is_empty() || !is_of_keys {
            return Err(refresh_required());
        }
        Ok(Some(touched).filter(|_| !any))
    }

    fn of_content(&self, ids: BTreeSet<String>) -> BTreeSet<String> {
        let only = self.content.only();
        ids.into_iter().filter(|id| self.content.looks_at_things() && only.is_none_or(|only| only == id)).collect()
    }

    /// Looks for what has changed since the last time.
    pub(super) fn look(&mut self, place: &Place) -> Result<(), Failure> {
        // A changed party may have other rights; it had better begin anew than get a mixture.
        if !self.content.is_by_the_same(place) {
            return Err(refresh_required());
        }
        let Moments { answering, silent } = self.content.moments(place)?.unwrap_or_default();
        if self.kept.as_ref().is_some_and(|kept| !kept.silent.is_subset(&silent)) {
            let text = "a domain that could not answer does so again: ask anew, with the same cookie";
            return Err(Failure::new(LdapResultCode::Busy, text));
        }
        for (domain, now) in answering {
            let Some(has) = self.has.get(&domain) else {
                self.work.extend(everything(&domain));
                self.aim.insert(domain, now);
                continue;
            };
            if now.size() < has.size() || now.filled != has.filled {
                return Err(refresh_required());
            }
            // Erased statements can no longer be compared with what the consumer has of them. It is sent what is left
            // and told to forget the rest; if the rules have changed too, nobody can tell what it had.
            let erased = self.of_content(place.app.erased(has, &now).map_err(|error| failed(&error))?);
            match place.app.touched(has, &now).map_err(|error| failed(&error))? {
                Touched::Any if !erased.is_empty() => return Err(refresh_required()),
                Touched::Any => {
                    self.work.extend([Work::CompareAll(domain.clone(), 0), Work::CompareKeys(domain.clone())]);
                }
                Touched::These(ids) => {
                    let others = self.of_content(ids).difference(&erased).cloned().collect();
                    self.work.push_back(Work::Compare(domain.clone(), others));
                    if !erased.is_empty() {
                        self.work.push_back(Work::Renew(domain.clone(), erased));
                    }
                }
            }
            if now.size() != has.size() || now.cosigned_at() != has.cosigned_at() {
                self.has_sent = true;
                self.work.push_back(Work::Domain(domain.clone()));
            }
            self.aim.insert(domain, now);
        }
        check_number(&self.aim)?;
        self.work.push_back(Work::Changed);
        let gone = self.without_base(place)?.cloned();
        self.work.extend(gone.map(Work::Gone));
        self.count(place);
        Ok(())
    }

    /// The domain of the one thing asked for, if the reader no longer finds it there.
    fn without_base(&self, place: &Place) -> Result<Option<&DomainName>, Failure> {
        let Some(id) = self.content.only() else { return Ok(None) };
        for (domain, moment) in &self.aim {
            if then(place, self.content.reader, moment, id)?.as_ref().and_then(Then::record).is_none() {
                return Ok(Some(domain));
            }
        }
        Ok(None)
    }
}

/// Refuses more domains than a cookie can name. A consumer that stays is told so too once one more is added: left out,
/// that domain would be missed in silence.
fn check_number(domains: &BTreeMap<DomainName, Moment>) -> Result<(), Failure> {
    if domains.len() <= limits::LDAP_SYNC_DOMAINS && domains.values().all(|moment| sid(moment).is_some()) {
        return Ok(());
    }
    let text = "there are too many domains here for one cookie: keep one domain in step at a time";
    Err(Failure::new(LdapResultCode::UnwillingToPerform, text))
}

/// The work that sends everything of a domain.
fn everything(domain: &DomainName) -> [Work; 3] {
    [Work::All(domain.clone(), 0), Work::AllKeys(domain.clone()), Work::Domain(domain.clone())]
}
