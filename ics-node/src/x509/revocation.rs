//! Derives the state of a certificate from a record: revocation is read from the log, and recorded nowhere else.

use core::fmt;
use core::str::FromStr;

use ics_core::name::Name;
use ics_core::record::{Listed, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, StatusName};
use x509_cert::ext::pkix::CrlReason;

use super::TakenBack;
use super::taken_back::{ends, had_begun, has_replaced, is_of_misnamed, takes_back};

/// Why a certificate is revoked (RFC 5280, 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No reason is given.
    Unspecified,
    /// Someone else has the key.
    KeyCompromise,
    /// Someone else has the issuer's key.
    CaCompromise,
    /// The thing has changed hands.
    AffiliationChanged,
    /// Another certificate has taken its place.
    Superseded,
    /// The thing is no longer in use.
    CessationOfOperation,
    /// It is revoked for a while, until the block is lifted.
    CertificateHold,
    /// The thing has lost the right to it.
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

    /// Its number in RFC 5280.
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

    /// The reason with this number.
    #[must_use]
    pub fn of_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }

    /// Its name in RFC 5280, which the statement that revokes a certificate uses too.
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

    /// Whether somebody who does not hold the certificate's key may give this reason. That a key is compromised, its
    /// holder knows best; `certificateHold` comes and ends with a status.
    #[must_use]
    pub const fn is_for_others(self) -> bool {
        matches!(self, Self::CessationOfOperation | Self::PrivilegeWithdrawn)
    }

    /// Whether the holder of the thing may give this reason without proving possession of the certificate's key.
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
    /// It has expired, or no certificate of this issuer ever counted under that statement.
    Ended,
}

impl State {
    /// The state of the certificate issued by the statement at `index`, by the record of the thing that holds it.
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
            // Only a hold can end (RFC 5280, 5.3.1), whatever became of the statement that ended the certificate.
            _ if end_of(record, issued).is_some() => Self::ended(record, issued, Reason::Unspecified),
            // A descriptor has no time of its own: an issuer that it no longer entitles counts as never entitled.
            Standing::RoleLost => Self::Revoked { at: issued.admitted_at, reason: Reason::PrivilegeWithdrawn },
            Standing::Stands | Standing::NotYet | Standing::Lifted => Self::of_thing(record, issued),
        }
    }

    /// The state of a certificate that a later statement ended.
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

    /// The state that the thing's statuses give to a certificate that stands. A block that a status may end is a hold.
    /// A block for ever revokes for good: once the owners lift it, the thing can get new certificates, but none
    /// returns.
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

/// What ended the statement of a certificate. By the rules of the record, a withdrawal or replacement has no effect if
/// its issuer signed it with a compromised key, or if the owners lift it; but that the certificate is revoked has been
/// published, and stays so.
fn end_of<'r>(record: &'r Record, issued: &Listed) -> Option<&'r Listed> {
    match issued.ended_by {
        Some(id) => record.statement(id),
        None => record.statements.iter().find(|end| (ends(end) || has_replaced(end)) && takes_back(end, issued)),
    }
}

/// The reason that a withdrawal gives. It may be followed by who asked for it.
fn reason_of(end: &Listed) -> Option<Reason> {
    end.reason.as_deref()?.split(';').next()?.parse().ok()
}

/// Whether two certificates are for the same key.
pub(super) fn is_same_key(one: &Listed, other: &Listed) -> bool {
    let key = |listed: &'_ Listed| listed.certificate.as_ref().map(|it| it.spki.clone());
    key(one).is_some() && key(one) == key(other)
}

/// The withdrawal that says that someone else has the key of a certificate. It need not be the first: that one may only
/// say that the certificate was of no more use. And what is said of a key with one of its certificates is true of all.
fn giving_up_of_key<'r>(record: &'r Record, issued: &Listed) -> Option<&'r Listed> {
    let says = |end: &&Listed| ends(end) && reason_of(end) == Some(Reason::KeyCompromise);
    let of_key = |it: &&Listed| it.by.statement == issued.by.statement || is_same_key(it, issued);
    let by_its_issuer = |end: &&Listed| {
        let its = record.statements.iter().filter(|it| end.supersedes.contains(&it.by.statement));
        its.filter(of_key).any(|it| it.by.signer == end.by.signer && it.entitled_by.is_some())
    };
    record.statements.iter().filter(says).find(by_its_issuer)
}

/// Whether others have the key of the certificate issued by the statement at `index`. That stays true when the
/// certificate has expired.
#[must_use]
pub fn is_key_compromised(record: &Record, index: u64) -> bool {
    matches!(State::of(record, index), State::Revoked { reason: Reason::KeyCompromise, .. })
        || record.statement_at(index).is_some_and(|issued| giving_up_of_key(record, issued).is_some())
}

/// The statement that ended the last vouching for the thing.
fn last_vouching_end(record: &Record) -> Option<&Listed> {
    let ends = record.statements.iter().filter(|listed| listed.act == Act::Identity);
    let ends = ends.filter_map(|listed| listed.ended_by);
    let ends = ends.filter_map(|id| record.statement(id));
    ends.max_by_key(|listed| listed.admitted_at)
}

/// The statement from which it follows that the certificate issued at `index` is revoked, if there is one.
#[must_use]
pub fn because(record: &Record, index: u64) -> Option<&Listed> {
    let issued = record.statement_at(index)?;
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
    let blocks = blocks.and_then(|status| record.statement(status.decides.by.statement));
    let forbids = || TakenBack::all(record).find(|end| end.forbade(record, issued))?.by(record);
    blocks.or_else(forbids).or_else(|| last_vouching_end(record))
}

/// What blocked the thing for ever after a certificate was issued to it, whether or not it still does: the owners may
/// have lifted it or declared its signer compromised, or it may no longer be about the thing. Sorted by when the blocks
/// begin, not by index: a block may be announced ahead of others, and an erased one has the index of its erasure.
fn blocks_for_ever<'r>(record: &'r Record, issued: &Listed) -> Vec<&'r Listed> {
    // A signer without a role over a group blocked nothing by what they said of it.
    let is_entitled = |it: &Listed| it.by.group.is_none() || it.entitled_by.is_some();
    let counts = |it: &&Listed| match it.standing {
        Standing::Stands => true,
        // An erased one has the index of its erasure, which may be later, and may not say where it originally was.
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

/// Why a certificate is revoked for good, by the first block for ever. Only two signers in different roles may say that
/// its key is compromised, even of a destroyed thing, whose key may turn up later. If one of them no longer says so,
/// that changes nothing for a certificate about which both have said it.
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

/// Whether two signers in two roles say that the thing is compromised. An erasure may name who said what it erased, but
/// not in which role; then it is enough that someone else says so too.
fn is_agreed(blocks: &[&Listed]) -> bool {
    let says = || blocks.iter().filter(|it| says_compromised(it));
    let signer = |it: &Listed| it.said_by.as_ref().map_or(it.by.signer, |by| by.signer);
    let in_one_role = |a: &Listed, b: &Listed| a.said_by.is_none() && b.said_by.is_none() && a.by.role == b.by.role;
    says().any(|a| says().any(|b| signer(a) != signer(b) && !in_one_role(a, b)))
}

/// Whether a key is named by nothing but certificates that are revoked for good, so that it no longer shows who comes.
/// `false` for a blocked thing: the block is reported first.
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

/// Whether the certificate issued by the statement at `index` would be in force, had one of its names not become
/// another thing's. That says nothing against its key, unless somebody else has revoked it as well.
#[must_use]
pub fn is_misnamed(record: &Record, index: u64, now: Timestamp) -> bool {
    let Some(issued) = record.statement_at(index).filter(|listed| listed.act == Act::Issued) else { return false };
    let by_it = |end: &&Listed| (ends(end) || has_replaced(end)) && takes_back(end, issued);
    let mut its = record.statements.iter().filter(by_it).peekable();
    issued.standing == Standing::Withdrawn
        && issued.until.is_none_or(|until| now < until)
        && its.peek().is_some()
        && its.all(is_of_misnamed)
        && giving_up_of_key(record, issued).is_none()
        && blocks_for_ever(record, issued).is_empty()
}

/// The statements by which such certificates of a key were issued, by index.
#[must_use]
pub fn misnamed_of(record: &Record, key: &Name, now: Timestamp) -> Vec<u64> {
    let is_of_key = |it: &&Listed| it.certificate.as_ref().is_some_and(|certificate| certificate.spki == *key);
    let its = record.statements.iter().filter(is_of_key).map(|it| it.by.index);
    its.filter(|index| is_misnamed(record, *index, now)).collect()
}

#[cfg(test)]
mod tests;
