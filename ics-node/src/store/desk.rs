//! What is kept beside the log: alarms, evidence of forks, enrolment requests.

use ics_core::limits;
use ics_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::columns::{int, millis, time};
use super::error::{Full, StoreError};
use super::types::DomainNumber;

/// How many alarms are kept of each domain, and of those about no domain; older ones are deleted.
const ALARMS_KEPT: i64 = 10_000;

/// After this many new alarms, old ones are deleted, which means looking at all of them.
const ALARMS_BETWEEN: i64 = 1_000;

/// Something that an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// When it was raised.
    pub at: Timestamp,
    /// A fixed word for its kind.
    pub kind: String,
    /// What happened.
    pub text: String,
}

/// Two checkpoints of one domain that cannot both be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The domain; `None` for a log that this node does not hold, whose domain the notes name.
    pub domain: Option<DomainNumber>,
    /// When it was seen.
    pub at: Timestamp,
    /// The signed note that agrees with this node's log.
    pub ours: String,
    /// The signed note that contradicts it.
    pub theirs: String,
}

/// The state of an enrolment request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolmentState {
    /// Nobody has decided.
    Waiting,
    /// An operator has approved it.
    Approved,
    /// An operator has refused it.
    Refused,
}

impl EnrolmentState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Refused => "refused",
        }
    }
}

/// A device's request for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Increases with every request.
    pub id: u64,
    /// The request itself.
    pub request: Vec<u8>,
    /// Its state.
    pub state: EnrolmentState,
    /// When it came in.
    pub at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// The operator's answer, such as the reason for a refusal.
    pub answer: Option<String>,
}

impl Store {
    /// Raises an alarm.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarm(&self, domain: Option<DomainNumber>, at: Timestamp, kind: &str, text: &str) -> Result<(), StoreError> {
        let (kind, text) = (kind.to_owned(), text.to_owned());
        self.desk(move |log| insert_alarm(log, domain, at, &kind, &text))
    }

    /// Raises an alarm unless the same one is already kept, for conditions that are checked repeatedly. Returns whether
    /// it was raised.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarm_once(&self, domain: DomainNumber, at: Timestamp, kind: &str, text: &str) -> Result<bool, StoreError> {
        let (kind, text) = (kind.to_owned(), text.to_owned());
        self.desk(move |log| {
            if is_alarmed(log, domain, &kind, &text)? {
                return Ok(false);
            }
            insert_alarm(log, Some(domain), at, &kind, &text)?;
            Ok(true)
        })
    }

    /// Raises an alarm about something that will be checked again, in place of what was said about it before; returns
    /// whether that was something else.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarm_about(
        &self,
        domain: DomainNumber,
        at: Timestamp,
        (kind, about): (&str, &str),
        text: &str,
    ) -> Result<bool, StoreError> {
        let (kind, about, text) = (kind.to_owned(), about.to_owned(), text.to_owned());
        self.desk(move |log| {
            let sql = "SELECT text FROM alarm WHERE domain = ?1 AND kind = ?2 AND about = ?3";
            let said: Option<String> =
                log.query_row(sql, params![domain.get(), kind, about], |row| row.get(0)).optional()?;
            if said.as_ref() == Some(&text) {
                return Ok(false);
            }
            end_alarms(log, domain, &kind, core::slice::from_ref(&about))?;
            // An earlier version did not record what an alarm is about.
            let sql = "UPDATE alarm SET about = ?4 WHERE domain = ?1 AND kind = ?2 AND text = ?3 AND about IS NULL";
            if log.execute(sql, params![domain.get(), kind, text, about])? > 0 {
                return Ok(false);
            }
            insert_alarm(log, Some(domain), at, &kind, &text)?;
            log.execute("UPDATE alarm SET about = ?2 WHERE id = ?1", params![log.last_insert_rowid(), about])?;
            Ok(true)
        })
    }

    /// What the kept alarms of a kind in a domain are about.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarmed(&self, domain: DomainNumber, kind: &str) -> Result<Vec<String>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT about FROM alarm WHERE domain = ?1 AND kind = ?2 AND about IS NOT NULL";
            let mut statement = reader.log.prepare_cached(sql)?;
            let about = statement.query_map(params![domain.get(), kind], |row| row.get(0))?;
            Ok(about.collect::<Result<_, _>>()?)
        })
    }

    /// Withdraws the alarms of a kind about these, because their cause has gone.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end_alarms(&self, domain: DomainNumber, kind: &str, about: Vec<String>) -> Result<(), StoreError> {
        let kind = kind.to_owned();
        self.desk(move |log| end_alarms(log, domain, &kind, &about))
    }

    /// Deletes the latest `limit` alarms about a domain, or about none, that were raised until a time, and returns how
    /// many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub fn acknowledge_alarms(
        &self,
        domain: Option<DomainNumber>,
        until: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let limit = int(limit);
        self.desk(move |log| {
            let sql = "DELETE FROM alarm WHERE id IN \
                       (SELECT id FROM alarm WHERE domain IS ?1 AND at <= ?2 ORDER BY id DESC LIMIT ?3)";
            Ok(log.execute(sql, params![domain.map(DomainNumber::get), millis(until), limit])?)
        })
    }

    /// The latest `limit` alarms about a domain, or about none, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn alarms(&self, domain: Option<DomainNumber>, limit: usize) -> Result<Vec<Alarm>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT at, kind, text FROM alarm WHERE domain IS ?1 ORDER BY id DESC LIMIT ?2";
            let mut statement = reader.log.prepare_cached(sql)?;
            let alarms = statement.query_map(params![domain.map(DomainNumber::get), int(limit)], |row| {
                Ok(Alarm { at: time(row.get(0)?), kind: row.get(1)?, text: row.get(2)? })
            })?;
            Ok(alarms.collect::<Result<_, _>>()?)
        })
    }

    /// Stores the evidence of a fork; the same evidence only once, and of one log the first [`limits::FORKS_KEPT`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn keep_fork(&self, fork: Fork) -> Result<(), StoreError> {
        self.desk(move |log| {
            // The first line of a checkpoint is the log's origin. Of logs not held here, none takes another's room.
            let origin = |note: &str| format!("substr({note}, 1, instr({note}, char(10)))");
            let (kept, new) = (origin("theirs"), origin("?4"));
            let sql = format!(
                "INSERT OR IGNORE INTO fork (domain, at, ours, theirs) SELECT ?1, ?2, ?3, ?4 \
                 WHERE (SELECT count(*) FROM fork WHERE domain = ?1 AND {kept} = {new}) < ?5"
            );
            let most = int(limits::FORKS_KEPT);
            log.execute(&sql, params![number(fork.domain), millis(fork.at), fork.ours, fork.theirs, most])?;
            Ok(())
        })
    }

    /// The evidence of forks of a domain, or of logs that this node does not hold, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forks(&self, domain: Option<DomainNumber>, limit: usize) -> Result<Vec<Fork>, StoreError> {
        self.shared.pool.read(|reader| forks_of(&reader.log, domain, limit))
    }

    /// Stores an enrolment request, replacing one that was refused, and returns its id.
    ///
    /// # Errors
    /// When the token is already in use, as many requests as allowed are waiting ([`limits::ENROLMENTS_WAITING`]), or
    /// the database fails.
    pub fn enrol(&self, domain: DomainNumber, token: &str, request: Vec<u8>, at: Timestamp) -> Result<u64, StoreError> {
        let token = token.to_owned();
        self.desk(move |log| {
            let sql = "SELECT count(*) FROM enrolment WHERE domain = ?1 AND state = 'waiting'";
            let waiting: i64 = log.query_row(sql, [domain.get()], |row| row.get(0))?;
            if waiting >= int(limits::ENROLMENTS_WAITING) {
                return Err(StoreError::Full(Full::Enrolments(limits::ENROLMENTS_WAITING)));
            }
            log.execute("DELETE FROM enrolment WHERE token = ?1 AND state = 'refused'", [&token])?;
            let sql = "INSERT OR IGNORE INTO enrolment (token, domain, request, state, at) \
                       VALUES (?1, ?2, ?3, 'waiting', ?4)";
            let added = log.execute(sql, params![token, domain.get(), request, millis(at)])?;
            if added == 0 {
                return Err(StoreError::Exists { what: "an enrolment with this token".to_owned() });
            }
            Ok(log.last_insert_rowid().cast_unsigned())
        })
    }

    /// A request by its token.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub fn enrolment(&self, token: &str) -> Result<Enrolment, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = format!("SELECT {ENROLMENT_COLUMNS} FROM enrolment WHERE token = ?1");
            let found = reader.log.prepare_cached(&sql)?.query_row([token], enrolment).optional()?;
            found.flatten().ok_or_else(|| StoreError::not_found("enrolment with this token"))
        })
    }

    /// The requests of a domain in one state with ids above `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn enrolments(
        &self,
        domain: DomainNumber,
        state: EnrolmentState,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Enrolment>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = format!(
                "SELECT {ENROLMENT_COLUMNS} FROM enrolment WHERE domain = ?1 AND state = ?2 AND id > ?3 \
                 ORDER BY id LIMIT ?4"
            );
            let mut statement = reader.log.prepare_cached(&sql)?;
            let parameters = params![domain.get(), state.as_str(), after.cast_signed(), int(limit)];
            let found: Vec<_> = statement.query_map(parameters, enrolment)?.collect::<Result<_, _>>()?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// Deletes a request, whatever its state, with all that the files still hold of it.
    ///
    /// # Errors
    /// When there is none with this id, or the database fails.
    pub fn forget_enrolment(&self, id: u64) -> Result<(), StoreError> {
        self.desk_erasing(move |log| match log.execute("DELETE FROM enrolment WHERE id = ?1", [id.cast_signed()])? {
            0 => Err(StoreError::not_found(format!("enrolment {id}"))),
            _ => Ok(((), true)),
        })
    }

    /// Decides a waiting request.
    ///
    /// # Errors
    /// When no request with this id is waiting, or the database fails.
    pub fn decide_enrolment(
        &self,
        id: u64,
        state: EnrolmentState,
        answer: Option<String>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.desk(move |log| {
            let sql = "UPDATE enrolment SET state = ?2, decided_at = ?3, answer = ?4 \
                       WHERE id = ?1 AND state = 'waiting'";
            let parameters = params![id.cast_signed(), state.as_str(), millis(at), answer];
            match log.execute(sql, parameters)? {
                0 => Err(StoreError::not_found(format!("waiting enrolment {id}"))),
                _ => Ok(()),
            }
        })
    }
}

/// The evidence of forks of a domain, or of logs that this node does not hold, oldest first, at most `limit`.
pub(super) fn forks_of(log: &Connection, domain: Option<DomainNumber>, limit: usize) -> Result<Vec<Fork>, StoreError> {
    let sql = "SELECT at, ours, theirs FROM fork WHERE domain = ?1 ORDER BY id LIMIT ?2";
    let mut statement = log.prepare_cached(sql)?;
    let forks = statement.query_map(params![number(domain), int(limit)], |row| {
        Ok(Fork { domain, at: time(row.get(0)?), ours: row.get(1)?, theirs: row.get(2)? })
    })?;
    Ok(forks.collect::<Result<_, _>>()?)
}

/// The number that stands for no domain, under which forks of logs not held here are stored.
fn number(domain: Option<DomainNumber>) -> u32 {
    domain.map_or(0, DomainNumber::get)
}

fn end_alarms(log: &Connection, domain: DomainNumber, kind: &str, about: &[String]) -> Result<(), StoreError> {
    let sql = "DELETE FROM alarm WHERE domain = ?1 AND kind = ?2 AND about = ?3";
    let mut statement = log.prepare_cached(sql)?;
    about.iter().try_for_each(|about| statement.execute(params![domain.get(), kind, about]).map(|_| ()))?;
    Ok(())
}

/// Whether an alarm is among those kept.
pub(crate) fn is_alarmed(log: &Connection, domain: DomainNumber, kind: &str, text: &str) -> Result<bool, StoreError> {
    let mut known = log.prepare_cached("SELECT 1 FROM alarm WHERE domain = ?1 AND kind = ?2 AND text = ?3")?;
    Ok(known.exists(params![domain.get(), kind, text])?)
}

pub(crate) fn insert_alarm(
    log: &Connection,
    domain: Option<DomainNumber>,
    at: Timestamp,
    kind: &str,
    text: &str,
) -> Result<(), StoreError> {
    log.execute(
        "INSERT INTO alarm (domain, at, kind, text) VALUES (?1, ?2, ?3, ?4)",
        params![domain.map(DomainNumber::get), millis(at), kind, text],
    )?;
    if log.last_insert_rowid() % ALARMS_BETWEEN == 0 { forget_alarms(log) } else { Ok(()) }
}

/// Each domain has its own share, so that one with constant trouble does not displace the alarms of others.
fn forget_alarms(log: &Connection) -> Result<(), StoreError> {
    let numbered = "SELECT id, row_number() OVER (PARTITION BY domain ORDER BY id DESC) AS number FROM alarm";
    let sql = format!("DELETE FROM alarm WHERE id IN (SELECT id FROM ({numbered}) WHERE number > ?1)");
    log.execute(&sql, [ALARMS_KEPT])?;
    Ok(())
}

const ENROLMENT_COLUMNS: &str = "id, request, state, at, decided_at, answer";

/// An enrolment from a row; `None` if somebody else broke a constraint of the schema.
fn enrolment(row: &Row<'_>) -> rusqlite::Result<Option<Enrolment>> {
    let word: String = row.get(2)?;
    let states = [EnrolmentState::Waiting, EnrolmentState::Approved, EnrolmentState::Refused];
    let Some(state) = states.into_iter().find(|state| state.as_str() == word) else { return Ok(None) };
    Ok(Some(Enrolment {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        request: row.get(1)?,
        state,
        at: time(row.get(3)?),
        decided_at: row.get::<_, Option<i64>>(4)?.map(time),
        answer: row.get(5)?,
    }))
}
