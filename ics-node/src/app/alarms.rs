//! Alarms of damage, and those that an operator has seen to.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::{App, AppError};
use crate::api::Acknowledged;

impl App {
    /// Deletes the alarms about a domain that were raised until a time: its operator has seen them. What is looked at again
    /// and is as it was is alarmed again.
    ///
    /// # Errors
    /// When the domain is not here or the store fails.
    pub fn acknowledge(&self, domain: &DomainName, until: Timestamp) -> Result<Acknowledged, AppError> {
        let alarms = self.store().acknowledge_alarms(self.hosted(domain)?.number, until)?;
        tracing::info!(%domain, alarms, %until, "alarms were acknowledged");
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
