//! Points in time. The core has no clock: its callers pass the time.

use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// A point in time in milliseconds since 1970-01-01T00:00:00Z, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// The latest point that is in the year 9999 in every time zone, so that it can be written with a four-digit year
/// anywhere: 9999-12-30T22:00:00Z.
const LATEST_MILLIS: u64 = 253_402_207_200_000;

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of RFC 3339 in UTC, such as 2026-11-20T08:30:00Z")]
pub struct TimeError(String);

impl Timestamp {
    /// Makes a time from milliseconds since the epoch; a time after the latest point becomes that point.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        if millis > LATEST_MILLIS { Self(LATEST_MILLIS) } else { Self(millis) }
    }

    /// Makes a time from seconds since the epoch, as OpenPGP and cosignatures count.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time cut to whole seconds, which is all that a cosignature states.
    #[must_use]
    pub const fn whole_seconds(self) -> Self {
        Self::from_seconds(self.as_seconds())
    }

    /// This time plus a number of milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; 0 if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// What a time from another clock counts as at `now`. What has arrived was signed by now, so a time slightly ahead
    /// shows a differing clock and counts as now; one more than [`limits::CLOCK_SKEW_MILLIS`] ahead counts for nothing.
    #[must_use]
    pub fn believed_at(self, now: Self) -> Option<Self> {
        (self.millis_since(now) <= limits::CLOCK_SKEW_MILLIS).then_some(self.min(now))
    }

    /// Reads RFC 3339.
    ///
    /// # Errors
    /// When the text is not RFC 3339, or lies outside the years 1970 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError(text.chars().take(40).collect());
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        let millis = u64::try_from(time.as_millisecond()).map_err(|_| error())?;
        if millis > LATEST_MILLIS { Err(error()) } else { Ok(Self(millis)) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_162_200_000, "2026-11-20T08:10:00Z"),
            (1_795_162_200_123, "2026-11-20T08:10:00.123Z"),
            (LATEST_MILLIS, "9999-12-30T22:00:00Z"),
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string(), text);
            assert_eq!(Timestamp::parse(text), Ok(time));
        }
    }

    #[test]
    fn a_time_to_come_is_now_or_nothing() {
        let now = Timestamp::from_seconds(1_000_000);
        let most = now.plus_millis(limits::CLOCK_SKEW_MILLIS);
        assert_eq!(Timestamp::from_seconds(999).believed_at(now), Some(Timestamp::from_seconds(999)));
        for time in [now, now.plus_millis(3), most] {
            assert_eq!(time.believed_at(now), Some(now), "{time}");
        }
        assert_eq!(most.plus_millis(1).believed_at(now), None);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in
            ["", "yesterday", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "2026-11-20"]
        {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
