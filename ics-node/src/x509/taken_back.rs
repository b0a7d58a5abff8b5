//! Certificates revoked at the request of someone other than their holder, and what that bars from being issued again.
//! All of it is read from the log, so it holds alike for every protocol.

use core::fmt;

use ics_core::identity::Fingerprint;
use ics_core::record::{Listed, Record, Standing};
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, Effect, Role};

use super::Reason;
use super::revocation::is_same_key;

/// Separates a reason from who asked for the revocation.
const ASKED: &str = "; asked by ";
/// The asker is someone who may have certificates for the names.
const NAMES: &str = "who may have its names";
/// The asker is whoever has the registrar's token.
const REGISTRAR: &str = "the registrar";
/// Follows an asker who may not set the thing's status.
const REQUESTS: &str = ", who may ask for its certificates";

/// Follows the reason of a certificate that the node itself has revoked since one of its names had become another
/// thing's. Nobody asked for that, so it bars nothing.
const MISNAMED: &str = "; a name in it has become another thing's";

/// Who asked for the revocation of a certificate that is not their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// An account that may have certificates for the certificate's names.
    Names,
    /// The node's registrar.
    Registrar,
    /// A signer who may ask for certificates of the thing but not set its status.
    Requester(Fingerprint),
    /// A signer who may set the status of the thing, and so bars it from further certificates.
    StatusSetter(Fingerprint),
}

/// The reason as written to the log, with who asked for the revocation.
#[must_use]
pub fn asked_for(reason: Reason, by: AskedBy) -> String {
    match by {
        AskedBy::Names => format!("{reason}{ASKED}{NAMES}"),
        AskedBy::Registrar => format!("{reason}{ASKED}{REGISTRAR}{REQUESTS}"),
        AskedBy::Requester(signer) => format!("{reason}{ASKED}{signer}{REQUESTS}"),
        AskedBy::StatusSetter(signer) => format!("{reason}{ASKED}{signer}"),
    }
}

/// The reason as written to the log if the node itself revokes a certificate, since one of its names has become another
/// thing's.
#[must_use]
pub fn misnamed() -> String {
    format!("{}{MISNAMED}", Reason::AffiliationChanged)
}

/// Whether a statement revoked a certificate for no other reason than that.
pub(super) fn is_of_misnamed(end: &Listed) -> bool {
    ends(end) && end.reason.as_deref().is_some_and(|reason| reason.ends_with(MISNAMED))
}

/// The revocation of a certificate at the request of someone other than its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenBack<'r> {
    /// The index of the statement by which it was issued.
    pub issued: u64,
    /// The index of the statement that revoked it.
    pub index: u64,
    reason: &'r str,
    asked_by: &'r str,
}

impl<'r> TakenBack<'r> {
    /// All of them for a thing. They are found through the statements that revoke: of an expired certificate the record
    /// says only that it has expired, and what is barred must not be permitted by the passing of time alone.
    pub fn all(record: &'r Record) -> impl Iterator<Item = Self> {
        let asked = record.statements.iter().filter(|it| ends(it));
        let asked = asked.filter_map(|end| Some((end, end.reason.as_deref()?.split_once(ASKED)?)));
        asked.flat_map(move |(end, (reason, asked_by))| {
            let issued = record.statements.iter().filter(move |issued| takes_back(end, issued));
            issued.map(move |issued| Self { issued: issued.by.index, index: end.by.index, reason, asked_by })
        })
    }

    /// Whether nobody has lifted it. While it stands, its key gets no certificate, nor does the account that got the
    /// revoked one, for its names. The order of the log decides what is newer, since its time may stand still.
    #[must_use]
    pub fn stands(&self, record: &Record) -> bool {
        !is_permitted_after(record, self.index)
    }

    /// Whether the thing gets no certificate now, whatever its key: a signer who may set its status has asked for it.
    #[must_use]
    pub fn bars_thing(&self, record: &Record) -> bool {
        let by_its_status = self.asked_by != NAMES && !self.asked_by.ends_with(REQUESTS);
        by_its_status && self.stands(record)
    }

    /// Whether the certificate of a later statement should not have been issued: the requests for it and for this
    /// revocation were processed at the same time, and the issuer had looked at the record before. That certificate
    /// counts for nothing until someone lifts this.
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

    /// The statement that revoked it.
    pub(super) fn by<'a>(&self, record: &'a Record) -> Option<&'a Listed> {
        record.statement_at(self.index)
    }

    /// Why it was revoked, and on whose word.
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

/// Whether a statement is a withdrawal that revokes a certificate. One that its issuer signed with a compromised key
/// counts too: whoever had the key may have made it, but it was published, and may be true. A key that was given up
/// must not come back because of a declaration about the issuer, or because the withdrawal is lifted.
pub(super) fn ends(it: &Listed) -> bool {
    it.act == Act::Withdrawal && did_its_work(it)
}

/// Whether a statement revoked what it replaces, because it issued a certificate, still in force or not.
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

/// Whether a statement that the owners lifted, or whose signer they declared compromised, had begun before that.
pub(super) fn had_begun(it: &Listed) -> bool {
    // An erased statement was admitted before its erasure, and begins no earlier.
    let in_time = |from| match it.erased {
        true => it.void_since.is_some_and(|void| from <= void.at),
        false => from <= it.admitted_at || it.void_since.is_some_and(|void| from < void.at),
    };
    it.from.is_none_or(in_time)
}

/// Whether a statement takes back that a certificate was issued: only its issuer can.
pub(super) fn takes_back(end: &Listed, issued: &Listed) -> bool {
    issued.act == Act::Issued
        && issued.standing != Standing::Refused
        && issued.by.signer == end.by.signer
        && end.supersedes.contains(&issued.by.statement)
}

/// Whether nothing blocks the thing, and someone who may set its status has said, after this entry of its log, that it
/// may be used.
#[must_use]
pub fn is_permitted_after(record: &Record, index: u64) -> bool {
    is_permitted(record, |it| index < it.by.index)
}

/// As [`is_permitted_after`], by a time, for use only if no entry is known: the log's time may stand still, and was
/// another before the clock was put right.
#[must_use]
pub fn is_permitted_since(record: &Record, since: Timestamp) -> bool {
    is_permitted(record, |it| since < it.admitted_at)
}

/// Whether nothing blocks the thing, and one of the statuses that `is_after` selects permits it.
fn is_permitted(record: &Record, is_after: impl Fn(&Listed) -> bool) -> bool {
    let lifts = |it: &Listed| {
        it.act == Act::Status && it.standing == Standing::Stands && is_after(it) && sets_status(&it.by.role)
    };
    record.effect() == Effect::Permits && record.statements.iter().any(lifts)
}

/// Whether holders of a role over a thing may set its status, and so may have its certificates revoked.
#[must_use]
pub fn sets_status(role: &Role) -> bool {
    ["owner", "security-controller"].contains(&role.as_str())
}
