//! Revokes certificates for names that have become another thing's: whoever holds one could still pass for that thing.
//!
//! A name that was only taken back, as when a thing is renamed, ends no certificate. None is issued for it any more,
//! and the thing renews in time with its new name. Once another thing has the name, the certificate stays in force for a
//! day: a thing that is being replaced goes on until its successor works, and a mistake, of which an alarm tells, can be
//! put right. The day begins when the other has the name and this one has lost it, in whatever way: the other may have
//! been given it long before. Only the home knows the names in certificates, so it says in the log that one is revoked,
//! and why: until the certificate would have ended, its key goes on showing EST and CMP who comes
//! ([`crate::x509::is_misnamed`]), or a thing that was renamed and has no other could get none for its new name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::name::{Lookup, Name};
use ics_core::record::{IssuedCertificate, Listed, Logged, Posting, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::certify::{CertifyError, Revoker, is_for_one};
use crate::app::answer::read::Sight;
use crate::app::entries::{find_logged, restore};
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::background::breathe;
use crate::locked::Locked as _;
use crate::x509::{Reason, SerialNumber, State};

/// How often to look at the next certificates.
const LOOK: Duration = Duration::from_secs(60);

/// How many certificates of a domain are looked at in one go: a million within nine hours.
const LOOKED_AT: usize = 2000;

/// For how many milliseconds a certificate stays in force after one of its names has become another thing's.
const STAYS_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What the operator is told meanwhile.
const ALARM: &str = "certificate-misnamed";
const ALARM_TEXT: &str = "a name in a certificate has become another thing's, so the certificate is revoked a day \
                          later (the node's log says which entry names it). If that is a mistake, give the name back \
                          to its thing, or take it from the other, before that";

impl App {
    /// Revokes certificates for names of other things, until `stop` becomes true.
    pub async fn watch_names(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.begin_anywhere(|hosted| &hosted.names_from);
        loop {
            let look = async {
                ticks.tick().await;
                self.revoke_misnamed(self.clock().now()).await;
            };
            // What is cut off is found again in the next round.
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = look => {}
            }
        }
    }

    /// Looks at the next certificates of each domain of this node, in a cycle, and revokes those with a name that has
    /// been another thing's for a day.
    pub async fn revoke_misnamed(&self, now: Timestamp) {
        for hosted in self.homes_that_speak() {
            if let Err(error) = self.revoke_misnamed_of(&hosted, now).await {
                tracing::error!(domain = %hosted.name, %error, "the names in certificates were not looked at");
            }
        }
    }

    async fn revoke_misnamed_of(&self, hosted: &Hosted, now: Timestamp) -> Result<(), AppError> {
        let domain = hosted.name.clone();
        let misnamed = self.blocking(move |app| app.misnamed(&domain, now)).await?;
        let in_vain = || hosted.unrevoked.locked();
        in_vain().begin(now);
        let mut failures = Vec::new();
        for serial in misnamed {
            if in_vain().has(&serial) {
                continue;
            }
            let reason = Reason::AffiliationChanged;
            match self.revoke_certificate(&hosted.name, &serial, Revoker::Misnamed, reason).await {
                Ok(_) | Err(CertifyError::AlreadyRevoked) => {}
                Err(error) => {
                    in_vain().put(&serial, now);
                    failures.push((serial, error));
                }
            }
        }
        if let Some((serial, error)) = failures.first() {
            let (domain, count) = (&hosted.name, failures.len());
            tracing::warn!(%domain, count, %serial, %error, "certificates for names of other things were not revoked");
        }
        Ok(())
    }

    /// The next certificates in the cycle, as far as one of their names has been another thing's for long.
    fn misnamed(&self, domain: &DomainName, now: Timestamp) -> Result<Vec<SerialNumber>, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let from = hosted.names_from.load(Ordering::Relaxed);
        let mut found = self.store().certified_from(hosted.number, from, LOOKED_AT)?;
        let next = found.last().filter(|_| found.len() == LOOKED_AT).map_or(0, |last| last + 1);
        hosted.names_from.store(next, Ordering::Relaxed);
        found.retain(|index| *index < sight.seal.size);
        let (mut misnamed, mut soon, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for index in found {
            breathe();
            // What cannot be read, as on a disk that is damaged there, keeps no other from being looked at.
            match self.misnamed_at(&sight, index, now) {
                Ok(Some((serial, since))) if now.millis_since(since) >= STAYS_MILLIS => misnamed.push(serial),
                Ok(Some(_)) => soon.push(index),
                Ok(None) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        if let Some((index, error)) = failures.first() {
            tracing::warn!(%domain, count = failures.len(), index, %error, "names in certificates could not be read");
        }
        if !soon.is_empty() {
            tracing::info!(%domain, entries = ?soon, "names in certificates have become other things'");
            // Everybody can read alarms, so this one names no thing, and there is one per domain.
            self.store().alarm_once(hosted.number, now, ALARM, ALARM_TEXT)?;
        }
        Ok(misnamed)
    }

    /// The serial number of the certificate that an entry names, if one of its names is another thing's, with the time
    /// since when it is.
    fn misnamed_at(
        &self,
        sight: &Sight<'_>,
        index: u64,
        now: Timestamp,
    ) -> Result<Option<(SerialNumber, Timestamp)>, AppError> {
        let entry = self.store().entry(sight.hosted.number, index)?;
        let Some(issued) = restore(&sight.domain, &entry)? else { return Ok(None) };
        let since = self.misnamed_since(sight, &issued, now)?;
        Ok(serial_of(&issued).zip(since))
    }

    fn misnamed_since(
        &self,
        sight: &Sight<'_>,
        issued: &Logged,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, AppError> {
        if issued.claims().until.is_some_and(|until| until <= now) {
            return Ok(None);
        }
        let certified = self.store().certified(sight.hosted.number, issued.index())?;
        let mut suspect = Vec::new();
        for name in certified.iter().flat_map(|certified| &certified.names) {
            // Serial numbers are each maker's own.
            if is_for_one(name) && self.was_ever_anothers(sight, &issued.subject_id(), name)? {
                suspect.push(name);
            }
        }
        if suspect.is_empty() {
            return Ok(None);
        }
        let Some((record, is_more)) = self.record_in_passing(sight, issued, self.clock().now())? else {
            return Ok(None);
        };
        // What is on hold is looked at again once it is not.
        if is_more || State::of(&record, issued.index()) != State::Good {
            return Ok(None);
        }
        suspect.retain(|name| !record.names.iter().any(|given| given.value == **name));
        let mut first: Option<Timestamp> = None;
        for name in suspect {
            let since = self.anothers_since(sight, &record.identity.id, name)?;
            first = first.into_iter().chain(since).min();
        }
        Ok(first)
    }

    /// Whether a name was ever given to another thing. Hardly any was, and to see that costs little: no record is made,
    /// and nothing that is asked for is displaced from memory.
    fn was_ever_anothers(&self, sight: &Sight<'_>, id: &IdentityId, name: &Name) -> Result<bool, AppError> {
        let posting = Posting::Name(name.clone());
        let giving = find_logged(&sight.entries, &sight.domain, &posting, limits::RECORD_STATEMENTS)?;
        Ok(giving.iter().any(|it| it.subject_id() != *id))
    }

    /// Since when a name in a certificate of this thing is that of another, and only of that one; `None` if it is not.
    fn anothers_since(&self, sight: &Sight<'_>, id: &IdentityId, name: &Name) -> Result<Option<Timestamp>, AppError> {
        let having = self.identities(sight, &Lookup::Name(name.clone()))?;
        let (Some(other), 1) = (having.first(), having.len()) else { return Ok(None) };
        let given = self.resolve(sight, other)?.and_then(|(record, _)| given_at(&record, name));
        let lost = self.resolve(sight, id)?;
        let lost = lost.and_then(|(record, said)| lost_at(&sight.shown, &record, &said.about, name));
        Ok(given.filter(|_| other != id).map(|given| lost.map_or(given, |lost| lost.max(given))))
    }
}

/// When a thing was first given a name that it has.
fn given_at(record: &Record, name: &Name) -> Option<Timestamp> {
    let giving = record.names.iter().filter(|given| given.value == *name);
    giving.filter_map(|given| record.statement_at(given.by.index)).map(Listed::begins_at).min()
}

/// When a thing lost a name that it no longer has. If the statement that gave it has not ended, its signer has lost the
/// right to give it. And what was erased may have given it.
fn lost_at(domain: &Domain, record: &Record, about: &[Logged], name: &Name) -> Option<Timestamp> {
    let giving = about.iter().filter(|it| it.names().contains(name));
    let giving = giving.filter_map(|it| record.statement_at(it.index()));
    let giving = giving.filter(|it| it.standing != Standing::Refused);
    let ends = giving.filter_map(|it| ended_at(record, it).or_else(|| rights_changed_at(domain, record)));
    let erased = record.statements.iter().filter(|it| it.erased && it.act == Act::Identity);
    ends.chain(erased.map(|it| it.admitted_at)).max()
}

/// When a statement that no longer stands was taken back or replaced, or else ceased to count.
fn ended_at(record: &Record, statement: &Listed) -> Option<Timestamp> {
    let ender = statement.ended_by.and_then(|id| record.statement(id));
    let lapsed = statement.until.filter(|until| *until <= record.at);
    [ender.map(Listed::begins_at), statement.void_since.map(|void| void.at), lapsed].into_iter().flatten().max()
}

/// The last time at which what a signer may say of a thing can have changed: by a descriptor, or by the end of a grant.
fn rights_changed_at(domain: &Domain, record: &Record) -> Option<Timestamp> {
    let grants = record.statements.iter().filter(|it| it.act == Act::Grant);
    let ended = grants.filter_map(|grant| ended_at(record, grant));
    ended.chain(domain.ruled_since().last().map(|since| since.at)).max()
}

/// The serial number of the certificate that a statement names.
fn serial_of(issued: &Logged) -> Option<SerialNumber> {
    let Name::Serial(text) = IssuedCertificate::of(issued.claims())?.serial else { return None };
    SerialNumber::read(&HEXLOWER.decode(text.as_bytes()).ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn time(minute: u64) -> String {
        format!("2026-01-01T00:{minute:02}:00Z")
    }

    /// A statement with this id in the entry at an index, which was admitted that many minutes after the hour.
    fn said(index: u64, id: u64, act: &str, standing: &str) -> Value {
        json!({
            "signer": "01".repeat(20),
            "role": "manufacturer",
            "statement": format!("{id:064x}"),
            "index": index,
            "act": act,
            "admitted_at": time(index),
            "signed_at": time(index),
            "standing": standing,
            "because": "",
        })
    }

    /// Otherwise the day for which a certificate stays in force would begin too early, and be over at once.
    #[test]
    fn a_name_that_was_taken_back_is_lost_since_that_has_effect() {
        let mut given = said(1, 1, "identity", "withdrawn");
        given["ended_by"] = format!("{:064x}", 2).into();
        let record = json!({
            "domain": "devices.acme.example",
            "id": "38cd1a9dd104847af32f938a3f205349bffad80a",
            "kind": "device",
            "title": "Pump 1",
            "at": "2026-01-01T01:00:00Z",
            "vouched": [],
            "names": [],
            "attributes": {},
            "approvals": [],
            "labels": [],
            "groups": [],
            "grants": [],
            "installed": [],
            "certificates": [],
            "replaces": [],
            "statements": [given, said(2, 2, "withdrawal", "refused"), said(5, 2, "withdrawal", "stands")],
        });
        let record: Record = serde_json::from_value(record).expect("a record");
        let ended = record.statements.first().and_then(|given| ended_at(&record, given));
        assert_eq!(ended.map(|at| at.to_string()), Some(time(5)));
    }
}
