//! Room for certificates in a record. Statements about them stay for ever, so short-lived certificates fill the record
//! of a thing that renews them: it gets no more once only the room needed for its statuses is left.

use ics_core::limits;

use super::CertifyError;

/// Checks that a thing with this many statements may still get a certificate. The operator was alerted earlier, at
/// [`limits::RECORD_STATEMENTS_NEAR`].
pub(in crate::app) fn check_room(statements: usize) -> Result<(), CertifyError> {
    if statements < limits::RECORD_STATEMENTS_ISSUED { Ok(()) } else { Err(CertifyError::RecordFull(statements)) }
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
