//! Room for certificates in a record. What is said of each of them stays for ever, so certificates of a short time fill the
//! record of a thing that renews them: it gets no more once only the room that its statuses need is left.

use ics_core::limits;

use super::CertifyError;

/// Whether a thing about which there are so many statements gets a certificate. The operator has heard of it before, as soon
/// as there were [`limits::RECORD_STATEMENTS_NEAR`].
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
