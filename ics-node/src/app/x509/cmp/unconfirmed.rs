//! Certificates that nobody confirms. Each is announced with the time until which that is possible (`confirmWaitTime`,
//! RFC 9810, 5.1.1.2), after which it is revoked as if its holder had rejected it: its holder may never have got it.

use std::time::Duration;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::failed;
use crate::app::home::heartbeat::stopped;
use crate::app::hosted::Hosted;
use crate::app::x509::certify::{CertifyError, Requester};
use crate::app::{App, AppError};
use crate::cmp::{Failure, FailureInfo};
use crate::store::Part;
use crate::x509::SerialNumber;

/// How often to look for certificates whose time is over.
const LOOK: Duration = Duration::from_secs(60);

impl App {
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
    /// the next time.
    pub async fn revoke_unconfirmed(&self, now: Timestamp) {
        for hosted in self.all_hosted() {
            // A silent domain can revoke nothing, and what it has noted may be that of a restored copy.
            let is_mute = || self.check_open(&hosted).is_err() || self.is_silent(&hosted).unwrap_or(true);
            if hosted.part != Part::Home || is_mute() {
                continue;
            }
            if let Err(error) = self.revoke_unconfirmed_of(&hosted, now).await {
                tracing::error!(domain = %hosted.name, %error, "certificates that nobody confirmed were not looked up");
            }
        }
    }

    async fn revoke_unconfirmed_of(&self, hosted: &Hosted, now: Timestamp) -> Result<(), AppError> {
        let number = hosted.number;
        let lapsed = self.blocking(move |app| Ok(app.store().lapsed(number, now)?)).await?;
        let (are_all_shown, mut failures) = (self.unshown(hosted)?.is_none(), Vec::new());
        for serial in lapsed.iter().filter_map(|bytes| SerialNumber::read(bytes)) {
            // It is the node itself that waited in vain; the log names nobody.
            let taken_back = self.cmp_take_back(&hosted.name, &serial, Requester::Operator).await;
            let is_over = match &taken_back {
                // What the log will never take back is not tried again.
                Ok(()) | Err(CertifyError::IssuerCompromised(_)) => true,
                // It may be in the log and wait for its witnesses.
                Err(CertifyError::UnknownCertificate(_)) => are_all_shown,
                Err(_) => false,
            };
            failures.extend(taken_back.err().map(|error| (serial, error)));
            if is_over {
                self.blocking(move |app| Ok(app.store().forget_lapsed(number, *serial.as_bytes())?)).await?;
            }
        }
        // One line for all of them: what is tried again fails again as often as it is looked for.
        if let Some((serial, error)) = failures.first() {
            let (domain, count) = (&hosted.name, failures.len());
            tracing::warn!(%domain, count, %serial, %error, "certificates that nobody confirmed were not revoked");
        }
        Ok(())
    }

    /// Notes that a holder takes a certificate, unless it is being revoked because that took too long.
    pub(super) async fn cmp_taken(&self, domain: &DomainName, serial: SerialNumber) -> Result<(), Failure> {
        let number = self.hosted(domain).map_err(|error| failed(&error))?.number;
        let noted = self.blocking(move |app| Ok(app.store().note_confirmed(number, *serial.as_bytes())?)).await;
        if noted.map_err(|error| failed(&error))? {
            return Ok(());
        }
        let text = "the time to confirm the certificate is over, and it is revoked: request another";
        Err(Failure::new(FailureInfo::CertRevoked, text))
    }
}
