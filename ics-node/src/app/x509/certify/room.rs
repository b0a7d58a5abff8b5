//! Room for certificates in a record. What is said of each of them stays for ever, so certificates of a short time fill the
//! record of a thing that renews them: it gets no more once only the room that its statuses need is left.

use std::sync::atomic::Ordering;

use ics_core::identity::IdentityId;
use ics_core::limits;

use super::{CertifyError, Issuing};
use crate::app::App;
use crate::app::hosted::Hosted;

/// Whether a thing about which there are so many statements gets a certificate.
pub(in crate::app) fn check_room(statements: usize) -> Result<(), CertifyError> {
    if statements < limits::RECORD_STATEMENTS_ISSUED { Ok(()) } else { Err(CertifyError::RecordFull(statements)) }
}

impl App {
    /// The same, where the certificate is made. The operator hears of it while there is time to act. The alarm names no
    /// thing, because it is for all to read, and stands once for each domain; the node's log names the thing.
    pub(super) fn check_room_of(
        &self,
        issuing: &Issuing<'_>,
        id: &IdentityId,
        statements: usize,
    ) -> Result<(), CertifyError> {
        check_room(statements)?;
        if statements >= limits::RECORD_STATEMENTS_ISSUED_NEAR {
            let domain = &issuing.hosted.name;
            tracing::warn!(%domain, %id, statements, "a thing's record is nearly full, and it soon gets no certificates");
            self.alarm_of_room(issuing.hosted);
        }
        Ok(())
    }

    /// A certificate that may be issued is issued, whether somebody is told or not: nobody waits for that.
    fn alarm_of_room(&self, hosted: &Hosted) {
        if hosted.room_alarmed.swap(true, Ordering::Relaxed) {
            return;
        }
        let text = format!(
            "there are more than {} statements about a thing, most of them about certificates that are over; from {} on it \
             gets no more: give it certificates that last longer, or a new identity (`ics replace`); the node's log names \
             each such thing",
            limits::RECORD_STATEMENTS_ISSUED_NEAR,
            limits::RECORD_STATEMENTS_ISSUED
        );
        let (app, number, domain) = (self.clone(), hosted.number, hosted.name.clone());
        let alarm = move || app.store().alarm_once(number, app.clock().now(), "record-nearly-full", &text);
        drop(crate::background::spawn(move || {
            if let Err(error) = alarm() {
                tracing::error!(%error, %domain, "that a record is nearly full could not be alarmed");
            }
        }));
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
