//! Times in X.509's formats.

use core::time::Duration;

use der::asn1::{GeneralizedTime, UtcTime};
use ics_core::time::Timestamp;
use x509_cert::time::Time;

/// `UTCTime` until 2049, `GeneralizedTime` from then on (RFC 5280, 4.1.2.5).
pub(super) fn time(at: Timestamp) -> der::Result<Time> {
    let general = generalized(at)?;
    match UtcTime::from_unix_duration(Duration::from_secs(at.as_seconds())) {
        Ok(utc) => Ok(Time::UtcTime(utc)),
        Err(_) => Ok(Time::GeneralTime(general)),
    }
}

/// Whole seconds as `GeneralizedTime`, which OCSP and CMP always use.
pub(crate) fn generalized(at: Timestamp) -> der::Result<GeneralizedTime> {
    GeneralizedTime::from_unix_duration(Duration::from_secs(at.as_seconds()))
}

/// The time that an X.509 time denotes.
pub(super) fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_seconds(time.to_unix_duration().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_time_until_2049() {
        let at = |text| time(Timestamp::parse(text).unwrap()).unwrap();
        assert!(matches!(at("2049-12-31T23:59:59Z"), Time::UtcTime(_)));
        assert!(matches!(at("2050-01-01T00:00:00Z"), Time::GeneralTime(_)));
        assert_eq!(timestamp(at("2030-01-02T03:04:05Z")).to_string(), "2030-01-02T03:04:05Z");
    }
}
