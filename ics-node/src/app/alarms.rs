//! Alarms about damage, alarms and forks about no domain here, and acknowledging alarms.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::{App, AppError};
use crate::api::{Acknowledged, Alarm, ForkNotes};

impl App {
    /// The last alarms about no domain that is here: of peers that lied when they were asked about a thing, of a witness
    /// that keeps silent, of forks of what this node only cosigns.
    ///
    /// # Errors
    /// When the store fails.
    pub fn alarms_about_none(&self) -> Result<Vec<Alarm>, AppError> {
        self.alarms_about(None)
    }

    /// The first forks of logs of which nothing is here: they were shown when a thing was asked about, or a cosignature was.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forks_about_none(&self) -> Result<Vec<ForkNotes>, AppError> {
        self.forks_about(None)
    }

    /// Deletes the alarms about a domain, or about none, that were raised until a time: the operator has seen them. What is
    /// looked at again and is as it was is alarmed again.
    ///
    /// # Errors
    /// When the domain is not here or the store fails.
    pub fn acknowledge(&self, domain: Option<&DomainName>, until: Timestamp) -> Result<Acknowledged, AppError> {
        let number = domain.map(|domain| Ok::<_, AppError>(self.hosted(domain)?.number)).transpose()?;
        let alarms = self.store().acknowledge_alarms(number, until)?;
        let domain = domain.map(DomainName::as_str);
        tracing::info!(domain, alarms, %until, "alarms were acknowledged");
        Ok(Acknowledged { alarms })
    }

    /// Alarms of the damage that was met since the start.
    pub(super) fn alarm_of_damage(&self) {
        for hosted in self.all_hosted() {
            for text in self.store().damage_met(hosted.number) {
                if let Err(error) = self.store().alarm_once(hosted.number, self.clock().now(), "damaged", &text) {
                    tracing::error!(domain = %hosted.name, %error, "the alarm of damage could not be kept");
                }
            }
        }
    }
}
