//! Reports certificates that end: checks regularly, and sends news to the address that the configuration names, and to
//! no other. What could not be sent is sent after the next check; what was sent is not sent again, even after a
//! restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ics_core::limits;
use ics_core::time::Timestamp;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::expiry::ExpiryAlert;
use crate::app::App;
use crate::app::home::heartbeat::stopped;
use crate::config::{AlertsConfig, Webhook};
use crate::tls::{root_cause, stranger_client};

/// How many seconds the receiver has to answer.
const ANSWER_SECONDS: u64 = 10;
/// How many seconds to wait before sending an alert again, after each failure.
const WAITS: [u64; limits::ALERT_ATTEMPTS - 1] = [1, 4, 16];

/// Counts alerts that were sent, and failed attempts.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl App {
    /// How many alerts were sent, and how many attempts failed.
    #[must_use]
    pub fn alerts(&self) -> (u64, u64) {
        let Alerts { sent, failed } = &self.0.alerts;
        (sent.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }

    /// Checks the certificates of this node's domains and reports those that end, until `stop` becomes true.
    pub async fn watch_certificates(self, config: AlertsConfig, mut stop: watch::Receiver<bool>) {
        let receiver = config.webhook.as_ref().map(Webhook::secret);
        let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(config.every_seconds)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let way = way(&config);
        // Reports by a clock that was ahead may have left out what came since.
        let mut told_until = self.store().told_until(&way).filter(|until| *until <= self.clock().now());
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => {}
            }
            let (app, before_days) = (self.clone(), config.before_days);
            let look = crate::background::spawn(move || app.look_at_expiries(told_until, before_days)).await;
            let (at, alerts) = match look {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    tracing::error!(%error, "the certificates that are about to end could not be checked");
                    continue;
                }
                Err(_) => return,
            };
            let told = tokio::select! {
                () = stopped(&mut stop) => return,
                told = self.tell_receiver(&alerts, receiver) => told,
            };
            if told {
                told_until = Some(at);
                // A node that issues nothing has nothing to record.
                if !alerts.is_empty() || !self.expiries().is_empty() {
                    self.note_told(&way, at).await;
                }
            }
        }
    }

    /// If this cannot be recorded, the next start reports once more; that is no reason not to report.
    async fn note_told(&self, way: &str, until: Timestamp) {
        let (app, way) = (self.clone(), way.to_owned());
        if let Ok(Err(error)) = crate::background::spawn(move || app.store().note_told(&way, until)).await {
            tracing::warn!(%error, "it could not be recorded that alerts were sent");
        }
    }

    /// Sends alerts; returns whether all were sent.
    async fn tell_receiver(&self, alerts: &[ExpiryAlert], receiver: Option<&Url>) -> bool {
        let mut told = true;
        for alert in alerts {
            let ExpiryAlert { domain, at, ending, lapsed, issuer_ends, responder_ends, .. } = alert;
            if ending + lapsed > 0 {
                tracing::warn!(%domain, ending, lapsed, "certificates were not renewed");
            }
            if let Some(ends) = issuer_ends {
                let what = if ends <= at { "has ended, and nothing is issued" } else { "ends" };
                tracing::warn!(%domain, %ends, "the issuing authority {what}; `ics ca import` lets another one issue");
            }
            if let Some(ends) = responder_ends {
                tracing::warn!(%domain, %ends, "the certificate with which `[node] responders` answers OCSP ends");
            }
            if let Some(url) = receiver {
                told &= self.send_alert(alert, url).await;
            }
        }
        told
    }

    async fn send_alert(&self, alert: &ExpiryAlert, url: &Url) -> bool {
        for wait in WAITS.into_iter().map(Some).chain([None]) {
            let Err(why) = post(alert, url).await else {
                self.0.alerts.sent.fetch_add(1, Ordering::Relaxed);
                return true;
            };
            self.0.alerts.failed.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(domain = %alert.domain, why, "an alert could not be sent");
            if let Some(seconds) = wait {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
        false
    }
}

/// Sends an alert; the error says why the receiver has not accepted it. A new client is made each time, since something
/// wrong with this machine's certificate authorities may have been put right.
async fn post(alert: &ExpiryAlert, url: &Url) -> Result<(), String> {
    // The error may contain the address, part of which may be secret.
    let failed = |error: reqwest::Error| root_cause(&error.without_url());
    let client = stranger_client(url.as_str(), None).map_err(|error| error.to_string())?;
    let client = client.timeout(Duration::from_secs(ANSWER_SECONDS)).build().map_err(failed)?;
    let answer = client.post(url.clone()).json(alert).send().await.map_err(failed)?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("the receiver answered {status}")) }
}

/// Identifies to whom and under which setting something was reported: another receiver has heard of nothing, nor has
/// one that is now to hear earlier. It is a hash, because the receiver's address may be secret.
fn way(AlertsConfig { webhook, before_days, .. }: &AlertsConfig) -> String {
    let receiver = webhook.as_ref().map_or("", |webhook| webhook.secret().as_str());
    HEXLOWER.encode(&Sha256::digest(format!("{before_days}\n{receiver}")))
}
