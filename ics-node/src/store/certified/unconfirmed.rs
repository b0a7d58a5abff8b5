//! Certificates that wait for their holders to confirm them (CMP): until when, and by what. Each is noted by the commit
//! of the statement that names it, so that no restart leaves one in force that nobody confirms, or has one revoked that
//! is confirmed in time.
//!
//! One that is confirmed, or need not be, is kept for as long, with the negative of its time: its holder says so once
//! more if the node stopped before it could answer, and the message that asked for it must not count again. A request
//! that was refused is kept like that, too, under a number that no certificate has.

use ics_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::store::columns::{int, millis, time};
use crate::store::{DomainNumber, Store, StoreError};

/// A certificate that waits for its holder to confirm it, and what the confirmation must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Its serial number.
    pub serial: [u8; 20],
    /// Until when it waits.
    pub until: Timestamp,
    /// Whether it is confirmed already: its holder need not do so, or has. It is kept all the same, so that the message
    /// that asked for it does not count once more.
    pub is_confirmed: bool,
    /// The id of the transaction in which it was requested.
    pub transaction: Vec<u8>,
    /// The key that signed the request (SubjectPublicKeyInfo, DER); `None` if the registrar's secret protected it.
    pub key: Option<Vec<u8>>,
    /// The nonce of the message that carried the certificate.
    pub nonce: [u8; 16],
    /// The certificate's digest, as its holder computes it.
    pub hash: Vec<u8>,
}

/// Notes that a certificate waits.
pub(super) fn wait(log: &Connection, domain: DomainNumber, unconfirmed: &Unconfirmed) -> Result<(), StoreError> {
    let Unconfirmed { serial, until, is_confirmed, transaction, key, nonce, hash } = unconfirmed;
    let sql = "INSERT OR REPLACE INTO unconfirmed (domain, serial, until, exchange, signed_by, nonce, digest) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let until = if *is_confirmed { -millis(*until) } else { millis(*until) };
    let row = params![domain.get(), serial.as_slice(), until, transaction, key, nonce.as_slice(), hash];
    log.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The certificates of a domain that can no longer be confirmed.
fn lapsed(log: &Connection, domain: DomainNumber) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = log.prepare_cached("SELECT serial FROM unconfirmed WHERE domain = ?1 AND until = 0")?;
    let serials = statement.query_map([domain.get()], |row| row.get(0))?;
    Ok(serials.collect::<Result<_, _>>()?)
}

/// Forgets which certificates of a domain wait, since this database was restored from a copy: whoever has confirmed one
/// since then must not lose it, and nobody can tell any more who has.
pub(in crate::store) fn forget_all(log: &Connection, domain: DomainNumber) -> Result<(), StoreError> {
    log.execute("DELETE FROM unconfirmed WHERE domain = ?1", [domain.get()])?;
    Ok(())
}

impl Store {
    /// The certificates of all domains that can still be confirmed, or be so again, in the way that was noted; at most
    /// `limit`, of which the newest come first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unconfirmed(&self, now: Timestamp, limit: usize) -> Result<Vec<Unconfirmed>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT serial, abs(until), until < 0, exchange, signed_by, nonce, digest FROM unconfirmed \
                       WHERE abs(until) > ?1 AND exchange IS NOT NULL ORDER BY abs(until) DESC LIMIT ?2";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found = statement.query_map([millis(now), int(limit)], |row| {
                Ok(Unconfirmed {
                    serial: row.get(0)?,
                    until: time(row.get(1)?),
                    is_confirmed: row.get(2)?,
                    transaction: row.get(3)?,
                    key: row.get(4)?,
                    nonce: row.get(5)?,
                    hash: row.get(6)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Notes a request that was refused, as if its certificate were confirmed, so that its message does not count once
    /// more.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_refused(&self, domain: DomainNumber, refused: Unconfirmed) -> Result<(), StoreError> {
        self.desk(move |log| wait(log, domain, &refused))
    }

    /// Notes that a certificate is confirmed, perhaps once more; false if that comes too late, since it is being
    /// revoked. `None` if nothing is noted of it: it has been revoked, or this database was restored from a copy.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_confirmed(&self, domain: DomainNumber, serial: [u8; 20]) -> Result<Option<bool>, StoreError> {
        self.desk(move |log| {
            let row = params![domain.get(), serial.as_slice()];
            let sql = "UPDATE unconfirmed SET until = -abs(until) WHERE domain = ?1 AND serial = ?2 AND until <> 0";
            if log.prepare_cached(sql)?.execute(row)? > 0 {
                return Ok(Some(true));
            }
            let sql = "SELECT 1 FROM unconfirmed WHERE domain = ?1 AND serial = ?2";
            Ok(log.prepare_cached(sql)?.exists(row)?.then_some(false))
        })
    }

    /// The certificates of a domain whose time is over and that nobody has confirmed. From then on they can no longer
    /// be confirmed; they are found again until they are forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lapsed(&self, domain: DomainNumber, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let now = millis(now);
        let (is_any_new, found) = self.shared.pool.read(|reader| {
            let sql = "SELECT 1 FROM unconfirmed WHERE domain = ?1 AND until <> 0 AND abs(until) <= ?2";
            let is_any_new = reader.log.prepare_cached(sql)?.exists(params![domain.get(), now])?;
            Ok((is_any_new, lapsed(&reader.log, domain)?))
        })?;
        // Only looking is free: an idle node writes nothing.
        if !is_any_new {
            return Ok(found);
        }
        self.desk(move |log| {
            let sql = "DELETE FROM unconfirmed WHERE domain = ?1 AND until < 0 AND abs(until) <= ?2";
            log.prepare_cached(sql)?.execute(params![domain.get(), now])?;
            let sql = "UPDATE unconfirmed SET until = 0 WHERE domain = ?1 AND until > 0 AND until <= ?2";
            log.prepare_cached(sql)?.execute(params![domain.get(), now])?;
            lapsed(log, domain)
        })
    }

    /// Forgets a certificate that has been revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_unconfirmed(&self, domain: DomainNumber, serial: [u8; 20]) -> Result<(), StoreError> {
        self.desk(move |log| {
            let sql = "DELETE FROM unconfirmed WHERE domain = ?1 AND serial = ?2";
            log.prepare_cached(sql)?.execute(params![domain.get(), serial.as_slice()])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::store::{Certified, Content, NewContent, NewEntry, Part, WriteTx};

    /// A home's store with a domain.
    fn open(dir: &Path) -> (Store, DomainNumber) {
        let store = Store::of_tests(dir);
        let name = "d.example".parse().expect("a name");
        let domain = store.create_domain(&name, Part::Home, None).expect("made").number;
        (store, domain)
    }

    fn waiting(serial: [u8; 20], until: Timestamp) -> Unconfirmed {
        let [first, ..] = serial;
        let key = (first > 1).then(|| vec![first; 91]);
        let (transaction, nonce, hash) = (vec![first; 16], [first; 16], vec![first; 32]);
        Unconfirmed { serial, until, is_confirmed: false, transaction, key, nonce, hash }
    }

    /// Logs certificates that wait until then.
    fn log(store: &Store, domain: DomainNumber, serials: [[u8; 20]; 2], until: Timestamp) {
        let job = move |tx: &mut WriteTx<'_>| {
            for serial in serials {
                let content = NewContent::Whole(Content { salt: [0; 16], body: vec![serial[0]] });
                let index = tx.append(NewEntry { header: vec![1], content, keys: Vec::new(), effective: true })?;
                let unconfirmed = Some(waiting(serial, until));
                let (names, uses) = (BTreeSet::new(), BTreeSet::new());
                let certified = Certified { names, uses, shows: true, word: None, unconfirmed };
                tx.certify(index, certified);
            }
            Ok::<_, StoreError>(())
        };
        store.write(domain, job).expect("queued").wait().expect("written");
    }

    /// Also if the clock has been ahead meanwhile.
    #[test]
    fn a_certificate_is_either_confirmed_or_found_when_its_time_is_over() {
        let dir = tempfile::tempdir().expect("dir");
        let (store, domain) = open(dir.path());
        let (early, until) = (Timestamp::from_seconds(599), Timestamp::from_seconds(600));
        let serials = [[1; 20], [2; 20]];
        log(&store, domain, serials, until);
        let lapsed = |now| store.lapsed(domain, now).expect("reads");
        let confirm = |serial| store.note_confirmed(domain, serial).expect("writes");
        assert!(lapsed(early).is_empty());
        assert_eq!([confirm(serials[0]), confirm(serials[0])], [Some(true); 2], "its holder may repeat that");
        for now in [until, early] {
            assert_eq!(lapsed(now), [serials[1].to_vec()], "{now}");
            assert_eq!(confirm(serials[1]), Some(false), "it is being revoked");
        }
        store.forget_unconfirmed(domain, serials[1]).expect("writes");
        assert!(lapsed(until).is_empty());
        assert_eq!(confirm(serials[1]), None, "nothing is known of it any more");
    }

    #[test]
    fn what_a_confirmation_must_fit_is_known_until_it_is_too_late() {
        let dir = tempfile::tempdir().expect("dir");
        let (store, domain) = open(dir.path());
        let (early, until) = (Timestamp::from_seconds(599), Timestamp::from_seconds(600));
        let serials = [[1; 20], [2; 20]];
        log(&store, domain, serials, until);
        let known = |now, limit| {
            let mut known = store.unconfirmed(now, limit).expect("reads");
            known.sort_by_key(|it| it.serial);
            known
        };
        assert_eq!(known(early, 9), serials.map(|serial| waiting(serial, until)));
        assert_eq!((known(early, 1).len(), known(until, 9)), (1, Vec::new()));
        for _ in 0..2 {
            assert_eq!(store.note_confirmed(domain, serials[0]).expect("writes"), Some(true));
            assert_eq!(known(early, 9).len(), 2, "it may be repeated for as long as it had time for that");
        }
        assert_eq!(store.lapsed(domain, until).expect("writes"), [serials[1].to_vec()]);
        assert!(known(early, 9).is_empty(), "one is done with, and one is being revoked");
        assert_eq!(store.note_confirmed(domain, serials[0]).expect("writes"), None);
    }

    /// What cannot be revoked at present is found each time.
    #[test]
    fn an_idle_node_writes_nothing_about_what_has_lapsed_before() {
        let dir = tempfile::tempdir().expect("dir");
        let (store, domain) = open(dir.path());
        let until = Timestamp::from_seconds(600);
        log(&store, domain, [[1; 20], [2; 20]], until);
        let beside = Connection::open(dir.path().join("ics.db")).expect("opens");
        let counts = "CREATE TABLE written (one INTEGER); CREATE TRIGGER writes AFTER UPDATE ON unconfirmed \
                      BEGIN INSERT INTO written VALUES (1); END";
        beside.execute_batch(counts).expect("is made");
        for _ in 0..3 {
            assert_eq!(store.lapsed(domain, until).expect("reads").len(), 2);
        }
        let written = beside.query_row("SELECT count(*) FROM written", [], |row| row.get::<_, i64>(0));
        assert_eq!(written.expect("reads"), 2);
    }
}
