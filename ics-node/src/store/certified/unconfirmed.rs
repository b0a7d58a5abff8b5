//! Certificates that wait for their holders to confirm them (CMP), by serial number, and until when. Each is noted by
//! the commit of the statement that names it, so that no restart leaves one in force that nobody confirms.

use ics_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::store::{DomainNumber, Store, StoreError};

/// Notes that a certificate waits until then.
pub(super) fn wait(
    log: &Connection,
    domain: DomainNumber,
    serial: &[u8; 20],
    until: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO unconfirmed (domain, serial, until) VALUES (?1, ?2, ?3)";
    let until = until.as_millis().cast_signed();
    log.prepare_cached(sql)?.execute(params![domain.get(), serial.as_slice(), until])?;
    Ok(())
}

/// Forgets which certificates of a domain wait, since this database was restored from a copy: whoever has confirmed one
/// since then must not lose it, and nobody can tell any more who has.
pub(in crate::store) fn forget_all(log: &Connection, domain: DomainNumber) -> Result<(), StoreError> {
    log.execute("DELETE FROM unconfirmed WHERE domain = ?1", [domain.get()])?;
    Ok(())
}

impl Store {
    /// Notes that a certificate is confirmed; false if that comes too late, since it is being revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_confirmed(&self, domain: DomainNumber, serial: [u8; 20]) -> Result<bool, StoreError> {
        self.desk(move |log| {
            let sql = "DELETE FROM unconfirmed WHERE domain = ?1 AND serial = ?2 AND until > 0";
            Ok(log.prepare_cached(sql)?.execute(params![domain.get(), serial.as_slice()])? > 0)
        })
    }

    /// The certificates of a domain whose time is over. From then on they can no longer be confirmed; they are found
    /// again until they are forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lapsed(&self, domain: DomainNumber, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let now = now.as_millis().cast_signed();
        let is_any = self.shared.pool.read(|reader| {
            let sql = "SELECT 1 FROM unconfirmed WHERE domain = ?1 AND until <= ?2";
            Ok(reader.log.prepare_cached(sql)?.exists(params![domain.get(), now])?)
        })?;
        // Only looking is free: an idle node writes nothing.
        if !is_any {
            return Ok(Vec::new());
        }
        self.desk(move |log| {
            let sql = "UPDATE unconfirmed SET until = 0 WHERE domain = ?1 AND until <= ?2";
            log.prepare_cached(sql)?.execute(params![domain.get(), now])?;
            let sql = "SELECT serial FROM unconfirmed WHERE domain = ?1 AND until = 0";
            let mut statement = log.prepare_cached(sql)?;
            let serials = statement.query_map([domain.get()], |row| row.get(0))?;
            Ok(serials.collect::<Result<_, _>>()?)
        })
    }

    /// Forgets a certificate that has been revoked.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_lapsed(&self, domain: DomainNumber, serial: [u8; 20]) -> Result<(), StoreError> {
        self.desk(move |log| {
            let sql = "DELETE FROM unconfirmed WHERE domain = ?1 AND serial = ?2";
            log.prepare_cached(sql)?.execute(params![domain.get(), serial.as_slice()])?;
            Ok(())
        })
    }
}
