//! From a record to the state of a certificate: revocation is read from the log, and said nowhere else.

use core::fmt;
use core::str::FromStr;

use ics_core::name::Name;
use ics_core::record::{Listed, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, StatusName};
use x509_cert::ext::pkix::CrlReason;

use super::TakenBack;
use super::taken_back::{ends, had_begun, has_replaced, takes_back};

/// Why a certificate is revoked (RFC 5280, 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nobody says why.
    Unspecified,
    /// Somebody else has the key.
    KeyCompromise,
    /// Somebody else has the issuer's key.
    CaCompromise,
    /// The thing has changed hands.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// The thing is out of use.
    CessationOfOperation,
    /// For a while, until the block is lifted.
    CertificateHold,
    /// The thing has lost its right to it.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with that number.
    #[must_use]
    pub fn of_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }

    /// Its name in RFC 5280; so it stands in the statement that takes a certificate back.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    /// What somebody may give as a reason who does not hold the certificate's key: that the key is compromised, nobody
    /// knows better than its holder. `certificateHold` comes with a status and ends with it.
    #[must_use]
    pub const fn is_for_others(self) -> bool {
        matches!(self, Self::CessationOfOperation | Self::PrivilegeWithdrawn)
    }

    /// What the holder of the thing may give as a reason without proof that the certificate's key is his.
    #[must_use]
    pub const fn is_for_holder(self) -> bool {
        matches!(
            self,
            Self::Unspecified
                | Self::AffiliationChanged
                | Self::Superseded
                | Self::CessationOfOperation
                | Self::PrivilegeWithdrawn
        )
    }

    pub(super) const fn to_x509(self) -> CrlReason {
        match self {
            Self::Unspecified => CrlReason::Unspecified,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::CaCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::CertificateHold => CrlReason::CertificateHold,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| format!("`{}` is no reason: {}", ics_core::identity::excerpt(text), names()))
    }
}

/// The state of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is in force.
    Good,
    /// It is revoked.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: Reason,
    },
    /// Its time is over, or no certificate of this issuer ever counted under that statement.
    Ended,
}

impl State {
    /// The state of the certificate that the statement at `index` names, by the record of the thing that it was issued to.
    #[must_use]
    pub fn of(record: &Record, index: u64) -> Self {
        let Some(issued) = record.statement_at(index).filter(|listed| listed.act == Act::Issued) else {
            return Self::Ended;
        };
        match issued.standing {
            Standing::Lapsed | Standing::Refused | Standing::NotCovering | Standing::Erased => Self::Ended,
            Standing::Withdrawn => Self::ended(record, issued, Reason::Unspecified),
            Standing::Replaced => Self::ended(record, issued, Reason::Superseded),
            Standing::Compromised => Self::Revoked { at: issued.admitted_at, reason: Reason::CaCompromise },
            // Only a hold ends (RFC 5280, 5.3.1), whatever became of what ended it.
            _ if end_of(record, issued).is_some() => Self::ended(record, issued, Reason::Unspecified),
            // The descriptor has no time of its own: what it no longer entitles to, never counted.
            Standing::RoleLost => Self::Revoked { at: issued.admitted_at, reason: Reason::PrivilegeWithdrawn },
            Standing::Stands | Standing::NotYet | Standing::Lifted => Self::of_thing(record, issued),
        }
    }

    /// What a later statement ended.
    fn ended(record: &Record, issued: &Listed, otherwise: Reason) -> Self {
        let end = end_of(record, issued);
        let at = end.map_or(issued.admitted_at, |end| end.admitted_at);
        if giving_up_of_key(record, issued).is_some() {
            return Self::Revoked { at, reason: Reason::KeyCompromise };
        }
        let is_replaced = end.is_some_and(|end| end.act == Act::Issued);
        let otherwise = if is_replaced { Reason::Superseded } else { otherwise };
        Self::Revoked { at, reason: end.and_then(reason_of).unwrap_or(otherwise) }
    }

    /// What the statuses of the thing say of a certificate that stands. What a status may end is a hold. What blocked for
    /// ever revokes for good: owners who lift that let the thing get new certificates, and bring none back.
    fn of_thing(record: &Record, issued: &Listed) -> Self {
        if let Some(end) = giving_up_of_key(record, issued) {
            return Self::Revoked { at: end.admitted_at, reason: Reason::KeyCompromise };
        }
        let blocks = blocks_for_ever(record, issued);
        if let Some(first) = blocks.first() {
            return Self::Revoked { at: first.begins_at(), reason: reason_for_good(first, &blocks) };
        }
        if let Some(status) = record.status.as_ref().filter(|status| status.decides.effect.blocks()) {
            return Self::Revoked { at: status.decides.since, reason: Reason::CertificateHold };
        }
        if record.vouched.is_empty() {
            let at = last_vouching_end(record).map_or(issued.admitted_at, |listed| listed.admitted_at);
            return Self::Revoked { at, reason: Reason::CertificateHold };
        }
        if TakenBack::all(record).any(|end| end.forbade(record, issued)) {
            return Self::Revoked { at: issued.admitted_at, reason: Reason::CertificateHold };
        }
        Self::Good
    }
}

/// What ended the statement of a certificate. By the rules of the record neither a withdrawal nor a replacement does
/// anything that its issuer signed when his key was compromised, or that the owners lift; that a certificate is revoked
/// was told all the same, and stays so.
fn end_of<'r>(record: &'r Record, issued: &Listed) -> Option<&'r Listed> {
    let mut statements = record.statements.iter();
    match issued.ended_by {
        Some(id) => statements.find(|listed| listed.by.statement == id),
        None => statements.find(|end| (ends(end) || has_replaced(end)) && takes_back(end, issued)),
    }
}

/// The reason that a withdrawal gives. Behind it it may stand who asked for it.
fn reason_of(end: &Listed) -> Option<Reason> {
    end.reason.as_deref()?.split(';').next()?.parse().ok()
}

/// Whether two certificates are for the same key.
pub(super) fn is_same_key(one: &Listed, other: &Listed) -> bool {
    let key = |listed: &'_ Listed| listed.certificate.as_ref().map(|it| it.spki.clone());
    key(one).is_some() && key(one) == key(other)
}

/// The withdrawal that says that somebody else has the key of a certificate. The first one may say only that the
/// certificate was of no use any more; and what is said of a key with one of its certificates is true of all.
fn giving_up_of_key<'r>(record: &'r Record, issued: &Listed) -> Option<&'r Listed> {
    let says = |end: &&Listed| ends(end) && reason_of(end) == Some(Reason::KeyCompromise);
    let of_key = |it: &&Listed| it.by.statement == issued.by.statement || is_same_key(it, issued);
    let by_its_issuer = |end: &&Listed| {
        let its = record.statements.iter().filter(|it| end.supersedes.contains(&it.by.statement));
        its.filter(of_key).any(|it| it.by.signer == end.by.signer && it.entitled_by.is_some())
    };
    record.statements.iter().filter(says).find(by_its_issuer)
}

/// Whether others have the key of the certificate that the statement at `index` names. That does not end with the time of
/// the certificate.
#[must_use]
pub fn is_key_compromised(record: &Record, index: u64) -> bool {
    matches!(State::of(record, index), State::Revoked { reason: Reason::KeyCompromise, .. })
        || record.statement_at(index).is_some_and(|issued| giving_up_of_key(record, issued).is_some())
}

/// The statement that took the last voucher for the thing away.
fn last_vouching_end(record: &Record) -> Option<&Listed> {
    let ends = record.statements.iter().filter(|listed| listed.act == Act::Identity);
    let ends = ends.filter_map(|listed| listed.ended_by);
    let ends = ends.filter_map(|id| record.statements.iter().find(|it| it.by.statement == id));
    ends.max_by_key(|listed| listed.admitted_at)
}

/// The statement from which it follows that the certificate of the statement at `index` is revoked, if one says so.
#[must_use]
pub fn because(record: &Record, index: u64) -> Option<&Listed> {
    let issued = record.statement_at(index)?;
    let listed = |id| record.statements.iter().find(|listed| listed.by.statement == id);
    let end = end_of(record, issued);
    if end.is_some() || issued.ended_by.is_some() {
        return end;
    }
    if let Some(end) = giving_up_of_key(record, issued) {
        return Some(end);
    }
    let for_good = blocks_for_ever(record, issued);
    if let Some(first) = for_good.first().copied() {
        let of_key = for_good.iter().copied().find(|it| says_compromised(it) && is_agreed(&for_good));
        return Some(of_key.unwrap_or(first));
    }
    let blocks = record.status.as_ref().filter(|status| status.decides.effect.blocks());
    let blocks = blocks.and_then(|status| listed(status.decides.by.statement));
    let forbids = || TakenBack::all(record).find(|end| end.forbade(record, issued))?.by(record);
    blocks.or_else(forbids).or_else(|| last_vouching_end(record))
}

/// What blocked the thing for ever after a certificate was issued to it, whether it still does or that is over since: the
/// owners have lifted it, or declared its signer compromised, or it holds for the thing no more. What began first comes
/// first: it may have been planned before others, and of what was erased the index is that of its erasure.
fn blocks_for_ever<'r>(record: &'r Record, issued: &Listed) -> Vec<&'r Listed> {
    // Who had no role over a group blocked nothing by what he said of it.
    let is_entitled = |it: &Listed| it.by.group.is_none() || it.entitled_by.is_some();
    let counts = |it: &&Listed| match it.standing {
        Standing::Stands => true,
        // An erased one has the index of its erasure, which may come later, and may not say where it had been said.
        Standing::Lifted | Standing::Compromised => {
            let was_before = |void: u64| it.hangs_on().is_none_or(|(_, index, _)| index < void);
            let after = |void: u64| issued.by.index < void && was_before(void);
            it.void_since.is_some_and(|void| after(void.index)) && had_begun(it) && is_entitled(it)
        }
        _ => false,
    };
    let blocks = |it: &&Listed| it.act == Act::Status && it.effect == Some(Effect::BlocksForEver);
    let was_issued_before = |it: &&Listed| it.void_since.is_some_and(|void| issued.by.index < void.index);
    let former = record.formerly_blocked.iter().filter(was_issued_before);
    let mut all: Vec<&Listed> = record.statements.iter().filter(blocks).filter(counts).chain(former).collect();
    all.sort_by_key(|it| (it.begins_at(), it.by.index));
    all.dedup_by_key(|it| it.by.index);
    all
}

/// Why a certificate is revoked for good, by the first of what blocks for ever. That its key is compromised only two in
/// different roles may say, also of what was destroyed before: its key may turn up later. That one of them no longer says so
/// is nothing to a certificate of which both did.
fn reason_for_good(first: &Listed, blocks: &[&Listed]) -> Reason {
    match first.status.as_ref().map(StatusName::as_str) {
        _ if is_agreed(blocks) => Reason::KeyCompromise,
        Some("destroyed") => Reason::CessationOfOperation,
        _ => Reason::PrivilegeWithdrawn,
    }
}

fn says_compromised(it: &Listed) -> bool {
    it.status.as_ref().is_some_and(|status| status.as_str() == "compromised")
}

/// Whether two signers in two roles say that the thing is compromised. An erasure may name who had said what it erased, but
/// not in which role: that somebody else says so as well is enough then.
fn is_agreed(blocks: &[&Listed]) -> bool {
    let says = || blocks.iter().filter(|it| says_compromised(it));
    let signer = |it: &Listed| it.said_by.as_ref().map_or(it.by.signer, |by| by.signer);
    let in_one_role = |a: &Listed, b: &Listed| a.said_by.is_none() && b.said_by.is_none() && a.by.role == b.by.role;
    says().any(|a| says().any(|b| signer(a) != signer(b) && !in_one_role(a, b)))
}

/// Whether nothing says any more whose a key is but certificates that are revoked for good: it shows no longer who comes.
/// Of a thing that is blocked that is said first.
#[must_use]
pub fn is_only_of_revoked(record: &Record, key: &Name) -> bool {
    let is_named = || record.names.iter().any(|given| given.value == *key);
    let is_in_force = |index| {
        let state = State::of(record, index);
        matches!(state, State::Good | State::Revoked { reason: Reason::CertificateHold, .. })
    };
    let mut its = record.certificates.iter().filter(|given| given.value.spki == *key);
    !record.effect().blocks() && !is_named() && !its.any(|given| is_in_force(given.by.index))
}

#[cfg(test)]
mod tests;
