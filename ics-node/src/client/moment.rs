//! When a statement is signed: by this machine's clock, and after all that its signer has signed about the thing before.
//!
//! OpenPGP goes by the times in signatures. To gpg a revocation that is older than the same signer's certification of the
//! same User ID revokes nothing, so what a clock that is behind has signed would block at the nodes and nowhere else.

use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::{Listed, Standing};
use ics_core::time::Timestamp;

use super::lookup::Found;

/// Why there is no time at which a statement could be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signer has signed something about it at {newest}, which is later than the clock of this machine shows \
     ({now}), by more than a home accepts ({skew} s); with an earlier time, gpg would ignore this signature",
    skew = limits::CLOCK_SKEW_MILLIS / 1000
)]
pub struct BehindOwn {
    /// When the signer has signed the newest that he has said of the thing.
    pub newest: Timestamp,
    /// What the clock shows.
    pub now: Timestamp,
}

/// The newest that a signer has signed about a thing, in any domain: gpg is given all of it as one key.
#[must_use]
pub fn newest_own<'f>(found: &'f Found, signer: &Fingerprint) -> Option<&'f Listed> {
    let is_own = |it: &&Listed| {
        it.by.signer == *signer && it.by.group.is_none() && !it.erased && it.standing != Standing::Refused
    };
    let listed = found.own.iter().chain(&found.others).flat_map(|answer| &answer.record.statements);
    listed.filter(is_own).max_by_key(|it| it.signed_at)
}

/// When to sign what comes after something that was signed at `newest`: now, or a second later than that, as OpenPGP counts
/// in seconds. `known` is a time that is over for sure, by other clocks than this one.
///
/// # Errors
/// When a home would refuse it: it lies too far ahead of both.
pub fn after(newest: Option<Timestamp>, now: Timestamp, known: Timestamp) -> Result<Timestamp, BehindOwn> {
    let Some(newest) = newest.filter(|newest| now.as_seconds() <= newest.as_seconds()) else { return Ok(now) };
    let at = newest.whole_seconds().plus_millis(1000);
    // The one second is not what makes it a fault of the clock.
    if newest.millis_since(now.max(known)) > limits::CLOCK_SKEW_MILLIS {
        return Err(BehindOwn { newest, now });
    }
    Ok(at)
}

/// When a signer's next statement about a thing is signed. What a home has admitted is over, whatever this clock shows.
///
/// # Errors
/// See [`after`].
pub fn after_own(found: &Found, signer: &Fingerprint, now: Timestamp) -> Result<Timestamp, BehindOwn> {
    let newest = newest_own(found, signer);
    after(newest.map(|it| it.signed_at), now, newest.map_or(now, |it| it.admitted_at))
}

/// What to tell whoever signs with a clock that is this far behind the time that his statement bears.
#[must_use]
pub fn told_of_lead(at: Timestamp, now: Timestamp) -> Option<String> {
    (at.millis_since(now) > limits::CLOCK_SKEW_MILLIS).then(|| {
        format!(
            "the clock of this machine is behind: it shows {now}, but an earlier signature bears a later time; this is \
             signed as of {at}, so that gpg takes it as the newer one. Set the clock"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Of two signatures about one User ID gpg takes the later one.
    #[test]
    fn what_is_said_later_is_signed_later_whatever_the_clock_shows() {
        let now = at(10_000);
        assert_eq!(after(None, now, now), Ok(now));
        assert_eq!(after(Some(at(9_999)), now, now), Ok(now));
        assert_eq!(after(Some(now), now, now), Ok(at(10_001)), "not in the same second");
        assert_eq!(after(Some(at(10_240)), now, now), Ok(at(10_241)), "a clock ahead, as far as is taken");
        assert_eq!(after(Some(at(20_000)), now, at(19_999)), Ok(at(20_001)), "this clock is behind");
        assert!(told_of_lead(at(20_001), now).is_some() && told_of_lead(at(10_241), now).is_none());
    }

    #[test]
    fn nothing_is_signed_that_no_home_would_take() {
        let (now, newest) = (at(10_000), at(10_301));
        assert_eq!(after(Some(newest), now, at(9_000)), Err(BehindOwn { newest, now }));
        assert_eq!(after(Some(at(10_300)), now, at(9_000)), Ok(at(10_301)), "a home takes it in a second");
    }
}
