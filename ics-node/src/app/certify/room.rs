//! Room for certificates in a record. What is said of each of them stays for ever, so certificates of a short time fill the
//! record of a thing that renews them: it gets no more once only the room that its statuses need is left.

use ics_core::identity::IdentityId;
use ics_core::limits;

use super::{CertifyError, Issuing};
use crate::app::App;

/// Whether a thing of which so many statements stand gets a certificate.
pub(in crate::app) fn check_room(statements: usize) -> Result<(), CertifyError> {
    if statements < limits::RECORD_STATEMENTS_ISSUED { Ok(()) } else { Err(CertifyError::RecordFull(statements)) }
}

impl App {
    /// The same, where the certificate is made. The operator hears of it while there is time to act.
    pub(super) fn check_room_of(
        &self,
        issuing: &Issuing<'_>,
        id: &IdentityId,
        statements: usize,
    ) -> Result<(), CertifyError> {
        check_room(statements)?;
        if statements >= limits::RECORD_STATEMENTS_ISSUED_NEAR {
            let text = format!(
                "more than {} statements are about {id}, most of them about certificates that are over; from {} on it gets \
                 no more: give it certificates that last longer, or a new identity (`ics replace`)",
                limits::RECORD_STATEMENTS_ISSUED_NEAR,
                limits::RECORD_STATEMENTS_ISSUED
            );
            let alarmed =
                self.store().alarm_once(issuing.hosted.number, self.clock().now(), "record-nearly-full", &text);
            // A certificate that may be issued is issued, whether somebody is told or not.
            if let Err(error) = alarmed {
                tracing::error!(%error, %id, "that a record is nearly full could not be alarmed");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::CertifyFault;
    use super::*;

    #[test]
    fn a_record_keeps_room_for_statuses() {
        const { assert!(limits::RECORD_STATEMENTS_ISSUED + 1_000 <= limits::RECORD_STATEMENTS_OPEN) };
        assert!(check_room(limits::RECORD_STATEMENTS_ISSUED - 1).is_ok());
        let error = check_room(limits::RECORD_STATEMENTS_ISSUED).expect_err("it is full");
        assert_eq!(error.fault(), CertifyFault::Denied);
        assert!(
            error.to_string().contains("2048 statements") && error.to_string().contains("`ics replace`"),
            "{error}"
        );
    }
}
