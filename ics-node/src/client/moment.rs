//! Chooses the time at which a statement is signed: by this machine's clock, and after everything that its signer has
//! signed about the thing before.
//!
//! OpenPGP goes by the times in signatures. For gpg, a revocation that is older than the same signer's certification of
//! the same User ID revokes nothing. So what was signed with a clock that is behind would block at the nodes and
//! nowhere else.

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
    /// The time of the signer's newest signature about the thing.
    pub newest: Timestamp,
    /// What the clock shows.
    pub now: Timestamp,
}

/// The newest statement by a signer about a thing, in any domain: gpg is given all of them as one key.
#[must_use]
pub fn newest_own<'f>(found: &'f Found, signer: &Fingerprint) -> Option<&'f Listed> {
    let is_own = |it: &&Listed| {
        it.by.signer == *signer && it.by.group.is_none() && !it.erased && it.standing != Standing::Refused
    };
    let listed = found.own.iter().chain(&found.others).flat_map(|answer| &answer.record.statements);
    listed.filter(is_own).max_by_key(|it| it.signed_at)
}

/// When to sign a statement that follows one signed at `newest`: now, or one second after it, as OpenPGP counts in
/// seconds. `known` is a time that has certainly passed, according to other clocks.
///
/// # Errors
/// When a home would refuse it because it is too far ahead of both.
pub fn after(newest: Option<Timestamp>, now: Timestamp, known: Timestamp) -> Result<Timestamp, BehindOwn> {
    let Some(newest) = newest.filter(|newest| now.as_seconds() <= newest.as_seconds()) else { return Ok(now) };
    let at = newest.whole_seconds().plus_millis(1000);
    // The extra second must not make this a fault of the clock.
    if newest.millis_since(now.max(known)) > limits::CLOCK_SKEW_MILLIS {
        return Err(BehindOwn { newest, now });
    }
    Ok(at)
}

/// When to sign a signer's next statement about a thing. The time at which a home admitted something has passed,
/// whatever this clock shows.
///
/// # Errors
/// See [`after`].
pub fn after_own(found: &Found, signer: &Fingerprint, now: Timestamp) -> Result<Timestamp, BehindOwn> {
    let newest = newest_own(found, signer);
    after(newest.map(|it| it.signed_at), now, newest.map_or(now, |it| it.admitted_at))
}

/// A warning for a signer whose clock is this far behind the time in the statement.
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

    /// Of two signatures over one User ID, gpg goes by the later.
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
