//! Certificates that somebody had revoked whose they were not, and what that keeps from being issued again. All of it is
//! read from the log, so it holds at every door alike.

use core::fmt;

use ics_core::identity::Fingerprint;
use ics_core::record::{Listed, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, Role};

use super::Reason;
use super::revocation::is_same_key;

/// What stands between a reason and who asked for it.
const ASKED: &str = "; asked by ";
/// Who asks because he may have certificates for the names.
const NAMES: &str = "who may have its names";
/// What stands behind a signer who sets no status of the thing.
const REQUESTS: &str = ", who may ask for its certificates";

/// Who has a certificate revoked that is not his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// An account that may have certificates for its names.
    Names,
    /// A signer who may ask for certificates of the thing, and sets no status of it.
    Requester(Fingerprint),
    /// A signer who sets the status of the thing: by that he keeps it from getting others.
    StatusSetter(Fingerprint),
}

/// The reason as the log says it, with who asks for what is not his.
#[must_use]
pub fn asked_for(reason: Reason, by: AskedBy) -> String {
    match by {
        AskedBy::Names => format!("{reason}{ASKED}{NAMES}"),
        AskedBy::Requester(signer) => format!("{reason}{ASKED}{signer}{REQUESTS}"),
        AskedBy::StatusSetter(signer) => format!("{reason}{ASKED}{signer}"),
    }
}

/// That a certificate was taken back because somebody asked for it whose it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBack<'r> {
    /// The index of the statement by which it was issued.
    pub issued: u64,
    /// That of the statement that took it back.
    pub index: u64,
    reason: &'r str,
    asked_by: &'r str,
}

impl<'r> TakenBack<'r> {
    /// Those of a thing. They are found by what takes back: of a certificate whose time is over the record says only that,
    /// and what is barred shall not be permitted by time alone.
    pub fn all(record: &'r Record) -> impl Iterator<Item = Self> {
        let asked = record.statements.iter().filter(|it| ends(it));
        let asked = asked.filter_map(|end| Some((end, end.reason.as_deref()?.split_once(ASKED)?)));
        asked.flat_map(move |(end, (reason, asked_by))| {
            let issued = record.statements.iter().filter(move |issued| takes_back(end, issued));
            issued.map(move |issued| Self { issued: issued.by.index, index: end.by.index, reason, asked_by })
        })
    }

    /// Whether nobody has lifted it: its key gets no certificate then, nor does the account that got it for its names. What
    /// is newer the order of the log says: its time may stand still.
    #[must_use]
    pub fn stands(&self, record: &Record) -> bool {
        !is_permitted_after(record, self.index)
    }

    /// Whether the thing gets none now, whatever its key: a signer who sets its status has said that it shall not.
    #[must_use]
    pub fn bars_thing(&self, record: &Record) -> bool {
        let by_its_status = self.asked_by != NAMES && !self.asked_by.ends_with(REQUESTS);
        by_its_status && self.stands(record)
    }

    /// Whether the certificate of a later statement should not have been issued: its request and this were under way at
    /// once, and whoever issued it had looked at the record before. It is worth nothing until somebody lifts this.
    pub(super) fn forbade(&self, record: &Record, later: &Listed) -> bool {
        let lifts = |it: &Listed| {
            let between = self.index < it.by.index && it.by.index < later.by.index;
            between && it.effect == Some(Effect::Permits) && sets_status(&it.by.role)
        };
        let same_key = || record.statement_at(self.issued).is_some_and(|issued| is_same_key(issued, later));
        self.index < later.by.index
            && (self.bars_thing(record) || (self.stands(record) && same_key()))
            && !record.statements.iter().any(lifts)
    }

    /// The statement that took it back.
    pub(super) fn by<'a>(&self, record: &'a Record) -> Option<&'a Listed> {
        record.statement_at(self.index)
    }

    /// Why, and on whose word.
    #[must_use]
    pub fn why(&self) -> String {
        let Self { reason, asked_by, .. } = self;
        format!("({reason}) on behalf of the thing by {asked_by}")
    }
}

impl fmt::Display for TakenBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a certificate was revoked {}; a newer status that permits lifts it", self.why())
    }
}

/// Whether a statement is a withdrawal by which a certificate is revoked. So is one that its issuer signed when his key
/// was compromised: whoever had it may have made that, but it was told to all, and may be true. A declaration about the
/// issuer must not bring back a key that was given up, nor must it that the withdrawal is lifted.
pub(super) fn ends(it: &Listed) -> bool {
    it.act == Act::Withdrawal && did_its_work(it)
}

/// Whether what it replaces was revoked by that: it issued a certificate, in force or not by now.
pub(super) fn has_replaced(it: &Listed) -> bool {
    it.act == Act::Issued && did_its_work(it)
}

fn did_its_work(it: &Listed) -> bool {
    match it.standing {
        Standing::Stands | Standing::Lapsed | Standing::Withdrawn => true,
        Standing::Compromised | Standing::Lifted => had_begun(it),
        _ => false,
    }
}

/// Whether what the owners have lifted, or whose signer they have declared compromised, had begun before that.
pub(super) fn had_begun(it: &Listed) -> bool {
    // An erased one was admitted before its erasure, and begins no earlier.
    let in_time = |from| match it.erased {
        true => it.void_since.is_some_and(|void| from <= void.at),
        false => from <= it.admitted_at || it.void_since.is_some_and(|void| from < void.at),
    };
    it.from.is_none_or(in_time)
}

/// Whether a statement ends that a certificate was issued: only its issuer can.
pub(super) fn takes_back(end: &Listed, issued: &Listed) -> bool {
    issued.act == Act::Issued
        && issued.standing != Standing::Refused
        && issued.by.signer == end.by.signer
        && end.supersedes.contains(&issued.by.statement)
}

/// Whether nothing blocks the thing, and after an entry of its log somebody who sets its status has said that it may be
/// used.
#[must_use]
pub fn is_permitted_after(record: &Record, index: u64) -> bool {
    is_permitted(record, |it| index < it.by.index)
}

/// The same of a time, which may stand still and was another one before the clock was put right: only where no entry is
/// known.
#[must_use]
pub fn is_permitted_since(record: &Record, since: Timestamp) -> bool {
    is_permitted(record, |it| since < it.admitted_at)
}

/// The same of what is said after something else.
fn is_permitted(record: &Record, is_after: impl Fn(&Listed) -> bool) -> bool {
    let lifts = |it: &Listed| {
        it.act == Act::Status && it.standing == Standing::Stands && is_after(it) && sets_status(&it.by.role)
    };
    record.effect() == Effect::Permits && record.statements.iter().any(lifts)
}

/// Whether the holder of a role over a thing says what its status is, and so may have its certificates revoked.
#[must_use]
pub fn sets_status(role: &Role) -> bool {
    ["owner", "security-controller"].contains(&role.as_str())
}
