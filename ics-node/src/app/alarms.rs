//! Alarms about damage, alarms and forks that concern no domain held here, and their acknowledgement.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::{App, AppError};
use crate::api::{Acknowledged, Alarm, ForkNotes};
use crate::store::Fork;

impl From<Fork> for ForkNotes {
    fn from(Fork { at, ours, theirs, .. }: Fork) -> Self {
        Self { at, ours, theirs }
    }
}

/// How many alarms of one domain, or of none, are shown, and so can have been seen.
pub(in crate::app) const ALARMS_SHOWN: usize = 100;

impl App {
    /// The latest alarms that concern no domain held here: peers that lied when asked about a thing, witnesses that do
    /// not answer, forks of logs that this node only cosigns.
    ///
    /// # Errors
    /// When the store fails.
    pub fn alarms_about_none(&self) -> Result<Vec<Alarm>, AppError> {
        self.alarms_about(None)
    }

    /// The first forks found in logs that this node does not hold: they were shown in answers about a thing or in
    /// requests for cosignatures.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forks_about_none(&self) -> Result<Vec<ForkNotes>, AppError> {
        self.forks_about(None)
    }

    /// Deletes the alarms raised until `until` about a domain, or about none, as many as are shown: the operator has
    /// seen them, and none of those before. Whatever is checked again and is unchanged raises its alarm again.
    ///
    /// # Errors
    /// When the domain is not held here, or the store fails.
    pub fn acknowledge(&self, domain: Option<&DomainName>, until: Timestamp) -> Result<Acknowledged, AppError> {
        let number = domain.map(|domain| Ok::<_, AppError>(self.hosted(domain)?.number)).transpose()?;
        let alarms = self.store().acknowledge_alarms(number, until, ALARMS_SHOWN)?;
        let domain = domain.map(DomainName::as_str);
        tracing::info!(domain, alarms, %until, "alarms were acknowledged");
        Ok(Acknowledged { alarms })
    }

    /// Raises alarms about the damage found since the start.
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
