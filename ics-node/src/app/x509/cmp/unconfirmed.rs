//! Certificates that nobody confirms. Each is announced with the time until which that is possible (`confirmWaitTime`,
//! RFC 9810, 5.1.1.2), after which it is revoked as if its holder had rejected it: its holder may never have got it.

use std::collections::BTreeMap;
use std::time::Duration;

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Outcome, digest, failed};
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::x509::certify::{CertifyError, Issued};
use crate::app::{App, AppError, random};
use crate::cmp::{Enrolment, Failure, FailureInfo, Message, Protection, Waiting};
use crate::locked::Locked as _;
use crate::store::Unconfirmed;
use crate::x509::{Reason, SerialNumber, State};

/// How often to look for certificates whose time is over.
const LOOK: Duration = Duration::from_secs(60);

/// For how many milliseconds a certificate that cannot be revoked is left alone.
const AGAIN_MILLIS: u64 = 60 * 60 * 1000;

/// Certificates that this node was to revoke by itself and could not, with the time at which that was tried: the key
/// that issued them is not at this node, or the log refuses what it says. Nothing tells when that changes, which may be
/// with a start, other rules, another state of the issuer's OpenPGP certificate, or a clock that is right again: each
/// is tried again after an hour.
#[derive(Debug, Default)]
pub(in crate::app) struct InVain(BTreeMap<[u8; 20], Timestamp>);

impl InVain {
    /// Forgets what was tried long ago, or by a clock that was ahead.
    pub(in crate::app::x509) fn begin(&mut self, now: Timestamp) {
        self.0.retain(|_, tried| *tried <= now && now.millis_since(*tried) < AGAIN_MILLIS);
    }

    /// Whether a certificate is left alone.
    pub(in crate::app::x509) fn has(&self, serial: &SerialNumber) -> bool {
        self.0.contains_key(serial.as_bytes())
    }

    /// Notes that a certificate could not be revoked.
    pub(in crate::app::x509) fn put(&mut self, serial: &SerialNumber, now: Timestamp) {
        self.0.insert(*serial.as_bytes(), now);
    }
}

/// By what the holder of a certificate may confirm it, and the same as it is kept for after a restart; the message that
/// brings it has this nonce. What need not be confirmed is kept as confirmed, or the message that asks for it would
/// count once more after a restart.
pub(super) fn awaited(
    message: &Message<'_>,
    (sender, nonce): (Protection, [u8; 16]),
    until: Timestamp,
    (asked, issued): (&Enrolment, &Issued),
) -> Result<(Waiting, Unconfirmed), Failure> {
    let key = match sender {
        Protection::Key(_) => message.key()?,
        Protection::Secret | Protection::None => None,
    };
    let (serial, hash) = (issued.serial, digest(&issued.certificate)?);
    let kept = Unconfirmed {
        serial: *serial.as_bytes(),
        until,
        is_confirmed: message.header.wants_no_confirmation(),
        transaction: message.header.transaction().to_vec(),
        key,
        nonce,
        hash: hash.clone(),
    };
    Ok((Waiting { number: asked.confirmed_as().map(<[u8]>::to_vec), nonce, hash, serial }, kept))
}

impl App {
    /// Goes on waiting for the confirmations that were under way when the node was stopped.
    pub(in crate::app) fn resume_confirmations(&self) -> Result<(), AppError> {
        for kept in self.store().unconfirmed(self.clock().now(), limits::CMP_TRANSACTIONS)? {
            let Unconfirmed { serial, until, is_confirmed: _, transaction, key, nonce, hash } = kept;
            if let Some(serial) = SerialNumber::read(&serial) {
                self.0.cmp.resume(&transaction, key, until, Waiting { number: None, nonce, hash, serial });
            }
        }
        Ok(())
    }

    /// Revokes the certificates that nobody confirms in time, until `stop` becomes true.
    pub async fn watch_confirmations(self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = async {
                ticks.tick().await;
                self.revoke_unconfirmed(self.clock().now()).await;
            };
            // What is cut off is found again after the next start.
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = look => {}
            }
        }
    }

    /// Revokes the certificates of this node's domains that nobody has confirmed until `now`. What fails is tried again
    /// the next time, or after an hour if it would fail again as things are.
    pub async fn revoke_unconfirmed(&self, now: Timestamp) {
        for hosted in self.homes_that_speak() {
            if let Err(error) = self.revoke_unconfirmed_of(&hosted, now).await {
                tracing::error!(domain = %hosted.name, %error, "certificates that nobody confirmed were not looked up");
            }
        }
    }

    async fn revoke_unconfirmed_of(&self, hosted: &Hosted, now: Timestamp) -> Result<(), AppError> {
        let number = hosted.number;
        let lapsed = self.blocking(move |app| Ok(app.store().lapsed(number, now)?)).await?;
        let in_vain = || hosted.unrevoked.locked();
        in_vain().begin(now);
        let (are_all_shown, mut failures) = (self.unshown(hosted)?.is_none(), Vec::new());
        for serial in lapsed.iter().filter_map(|bytes| SerialNumber::read(bytes)) {
            if in_vain().has(&serial) {
                continue;
            }
            let taken_back = self.cmp_take_back(&hosted.name, &serial).await;
            let is_over = match &taken_back {
                // What the log will never take back is not tried again.
                Ok(()) | Err(CertifyError::IssuerCompromised(_)) => true,
                // It may be in the log and wait for its witnesses.
                Err(CertifyError::UnknownCertificate(_)) => are_all_shown,
                Err(CertifyError::IssuerAway(_) | CertifyError::Refused(_) | CertifyError::Record(_)) => {
                    in_vain().put(&serial, now);
                    false
                }
                Err(_) => false,
            };
            failures.extend(taken_back.err().map(|error| (serial, error)));
            if is_over {
                self.blocking(move |app| Ok(app.store().forget_unconfirmed(number, *serial.as_bytes())?)).await?;
            }
        }
        // One line for all of them: what is tried again fails again as often as it is looked for.
        if let Some((serial, error)) = failures.first() {
            let (domain, count) = (&hosted.name, failures.len());
            tracing::warn!(%domain, count, %serial, %error, "certificates that nobody confirmed were not revoked");
        }
        Ok(())
    }

    /// Notes it if what a transaction asks for is refused: its message is still in time after a restart, and might be
    /// granted then.
    pub(super) async fn cmp_noting(
        &self,
        domain: &DomainName,
        message: &Message<'_>,
        (sender, until): (Protection, Timestamp),
        outcome: Result<Outcome, Failure>,
    ) -> Result<Outcome, Failure> {
        if outcome.is_err()
            && let Err(error) = self.cmp_note_refused(domain, message, (sender, until)).await
        {
            tracing::warn!(%domain, %error, "after a restart, a message of CMP that was refused would count once more");
        }
        outcome
    }

    /// Notes a transaction with a certificate that nobody has, and whose confirmation nobody can make.
    async fn cmp_note_refused(
        &self,
        domain: &DomainName,
        message: &Message<'_>,
        (sender, until): (Protection, Timestamp),
    ) -> Result<(), AppError> {
        let key = match sender {
            Protection::Key(_) => message.key().ok().flatten(),
            Protection::Secret | Protection::None => None,
        };
        let refused = Unconfirmed {
            serial: *SerialNumber::new(random()?).as_bytes(),
            until,
            is_confirmed: true,
            transaction: message.header.transaction().to_vec(),
            key,
            nonce: random()?,
            hash: random::<32>()?.to_vec(),
        };
        let number = self.hosted(domain)?.number;
        self.blocking(move |app| Ok(app.store().note_refused(number, refused)?)).await
    }

    /// Notes that a certificate that its holder rejected is revoked, so that nobody can confirm it after a restart.
    pub(super) async fn cmp_given_back(&self, domain: &DomainName, serial: SerialNumber) -> Result<(), Failure> {
        let number = self.hosted(domain).map_err(|error| failed(&error))?.number;
        let noted = self.blocking(move |app| Ok(app.store().forget_unconfirmed(number, *serial.as_bytes())?)).await;
        noted.map_err(|error| failed(&error))
    }

    /// Notes that a holder takes a certificate, unless it is being revoked because that took too long.
    pub(super) async fn cmp_taken(&self, domain: &DomainName, serial: SerialNumber) -> Result<(), Failure> {
        let number = self.hosted(domain).map_err(|error| failed(&error))?.number;
        let noted = self.blocking(move |app| Ok(app.store().note_confirmed(number, *serial.as_bytes())?)).await;
        let is_taken = match noted.map_err(|error| failed(&error))? {
            Some(is_taken) => is_taken,
            // A restored copy forgets what waited, and revokes none of it.
            None => self.is_in_force(domain, &serial).map_err(|error| failed(&error))?,
        };
        if is_taken {
            return Ok(());
        }
        let text = "the time to confirm the certificate is over, and it is revoked: request another";
        Err(Failure::new(FailureInfo::CertRevoked, text))
    }

    /// Whether a certificate is in force, or only on hold.
    fn is_in_force(&self, domain: &DomainName, serial: &SerialNumber) -> Result<bool, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let Some(issued) = self.issued(&sight, serial)? else { return Ok(false) };
        let Some((record, _)) = self.resolve(&sight, &issued.subject_id())? else { return Ok(false) };
        let state = State::of(&record, issued.index());
        Ok(matches!(state, State::Good | State::Revoked { reason: Reason::CertificateHold, .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_revoked_is_tried_again_after_an_hour() {
        let (mut in_vain, serial) = (InVain::default(), SerialNumber::new([7; 20]));
        let minute = |minute: u64| Timestamp::from_seconds(60 * minute);
        in_vain.put(&serial, minute(100));
        in_vain.begin(minute(159));
        assert!(in_vain.has(&serial) && !in_vain.has(&SerialNumber::new([8; 20])));
        in_vain.begin(minute(160));
        assert!(!in_vain.has(&serial));
        in_vain.put(&serial, minute(9_000));
        in_vain.begin(minute(161));
        assert!(!in_vain.has(&serial), "the clock was ahead, so everything may have failed");
    }
}
