//! What is to be done for a consumer: what he has, what he is to be brought to, and what of that may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ics_core::vocabulary::DomainName;
use ldap3_proto::proto::LdapResultCode;

use super::super::super::message::Failure;
use super::super::super::search::{Place, failed};
use super::super::cookie::{Cookie, KEYS, Spot, sid};
use super::super::refresh_required;
use super::{Tree, Work, then};
use crate::app::{App, Moment, Then, Touched};

/// How often, and with which pause, a domain is asked for again that is not settled: a commit is published a moment
/// after it is durable.
const UNSETTLED: (u32, Duration) = (100, Duration::from_millis(10));
/// As many of these pauses take longer than a step of time.
const STEP_WAITS: u32 = 150;

impl Tree {
    /// Finds out what the consumer has, and what he needs.
    pub(super) fn begin(&mut self, place: &Place) -> Result<(), Failure> {
        let domains = self.content.domains(place);
        for domain in domains {
            let moment = settled(&place.app, &domain)?;
            if sid(&moment).is_none() || self.aim.len() == ics_core::limits::LDAP_SYNC_DOMAINS {
                let text = "there are too many domains here for one cookie: keep one domain in step at a time";
                return Err(Failure::new(LdapResultCode::UnwillingToPerform, text));
            }
            self.aim.insert(domain, moment);
        }
        if let Some(domain) = self.without_base(place)? {
            return Err(Failure::no_such_object(place.tree.domain_dn(domain)));
        }
        let touched = match self.cookie.take() {
            Some(cookie) => match self.touched_since(place, &cookie) {
                Err(failure) if self.reload && failure.code == LdapResultCode::EsyncRefreshRequired => {
                    self.go_behind(place, &cookie)?;
                    None
                }
                touched => touched?,
            },
            None => None,
        };
        self.deletes = touched.is_some();
        self.count();
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
        Ok(())
    }

    /// Aims behind the places that a cookie names, if they can be reached by waiting: slapd takes nothing that is not
    /// newer than its cookie, even where that is of no use.
    fn go_behind(&mut self, place: &Place, cookie: &Cookie) -> Result<(), Failure> {
        for (domain, aim) in &mut self.aim {
            let Some(spot) = sid(aim).and_then(|sid| cookie.spots.get(&sid)) else { continue };
            let mut waits = STEP_WAITS;
            while !Spot::at(aim, &self.content.digest).is_behind(spot) && spot.size <= aim.size() && waits > 0 {
                std::thread::sleep(UNSETTLED.1);
                *aim = settled(&place.app, domain)?;
                waits -= 1;
            }
        }
        Ok(())
    }

    /// What may be another since the cookie; `None`: anything.
    fn touched_since(
        &mut self,
        place: &Place,
        cookie: &Cookie,
    ) -> Result<Option<BTreeMap<DomainName, BTreeSet<String>>>, Failure> {
        let mut spots = cookie.spots.clone();
        let keys = spots.remove(&KEYS);
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
        let of_keys = self.content.has_keys().then(|| Spot::of_keys(self.has.values(), &self.content.digest));
        let is_of_keys = match (keys, of_keys) {
            (Some(told), Some(known)) => known.fits(&told),
            (told, known) => told.is_none() && known.is_none(),
        };
        // It names a domain that is not here, or does not go with the key space.
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
        // Whoever is another now may read other things; he had better begin anew than get a mixture.
        if !self.content.is_by_the_same(place) {
            return Err(refresh_required());
        }
        for domain in self.content.domains(place) {
            let Some(now) = place.app.moment(&domain).map_err(|error| failed(&error))? else { continue };
            let Some(has) = self.has.get(&domain) else {
                self.work.extend(everything(&domain));
                self.aim.insert(domain, now);
                continue;
            };
            if now.size() < has.size() || now.filled != has.filled {
                return Err(refresh_required());
            }
            match place.app.touched(has, &now).map_err(|error| failed(&error))? {
                Touched::Any => {
                    self.work.extend([Work::CompareAll(domain.clone(), 0), Work::CompareKeys(domain.clone())]);
                }
                Touched::These(ids) => self.work.push_back(Work::Compare(domain.clone(), self.of_content(ids))),
            }
            if now.size() != has.size() || now.cosigned_at() != has.cosigned_at() {
                self.has_sent = true;
                self.work.push_back(Work::Domain(domain.clone()));
            }
            self.aim.insert(domain, now);
        }
        self.work.push_back(Work::Changed);
        let gone = self.without_base(place)?.cloned();
        self.work.extend(gone.map(Work::Gone));
        self.count();
        Ok(())
    }

    /// The domain of the one thing that is asked for, if the reader finds it there no more.
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

/// What sends everything of a domain.
fn everything(domain: &DomainName) -> [Work; 3] {
    [Work::All(domain.clone(), 0), Work::AllKeys(domain.clone()), Work::Domain(domain.clone())]
}

/// The domain as soon as it is settled.
fn settled(app: &App, domain: &DomainName) -> Result<Moment, Failure> {
    let (times, pause) = UNSETTLED;
    for _ in 0..times {
        match app.moment(domain) {
            Ok(Some(moment)) => return Ok(moment),
            Ok(None) => std::thread::sleep(pause),
            Err(error) => return Err(failed(&error)),
        }
    }
    Err(Failure::new(LdapResultCode::Busy, "this copy is catching up"))
}
