//! Values in the signed integers of SQLite.

use ics_core::time::Timestamp;

/// The milliseconds of a time; all times fit.
pub(super) const fn millis(time: Timestamp) -> i64 {
    time.as_millis().cast_signed()
}

/// The time with these milliseconds.
pub(super) const fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis.cast_unsigned())
}

/// A number of rows.
pub(super) fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
