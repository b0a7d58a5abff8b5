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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::store::{Certified, Content, NewContent, NewEntry, Options, Part, Sealer, SignedNote, WriteTx};

    /// A home's store with a domain.
    fn open(dir: &Path) -> (Store, DomainNumber) {
        let note = SignedNote { note: "a note".to_owned(), cosigned_at: None };
        let sealer: Sealer = Arc::new(move |_, _, _| Ok(note.clone()));
        let store = Store::open(dir, Options::new(Arc::new(|_| Vec::new()), sealer)).expect("opens");
        let name = "d.example".parse().expect("a name");
        let domain = store.create_domain(&name, Part::Home, None).expect("made").number;
        (store, domain)
    }

    /// Logs certificates that wait until then.
    fn log(store: &Store, domain: DomainNumber, serials: [[u8; 20]; 2], until: Timestamp) {
        let job = move |tx: &mut WriteTx<'_>| {
            for serial in serials {
                let content = NewContent::Whole(Content { salt: [0; 16], body: vec![serial[0]] });
                let index = tx.append(NewEntry { header: vec![1], content, keys: Vec::new(), effective: true })?;
                let unconfirmed = Some((serial, until));
                let certified = Certified { names: BTreeSet::new(), uses: BTreeSet::new(), shows: true, unconfirmed };
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
        assert!(confirm(serials[0]) && !confirm(serials[0]));
        for now in [until, early] {
            assert_eq!(lapsed(now), [serials[1].to_vec()], "{now}");
            assert!(!confirm(serials[1]), "it is being revoked");
        }
        store.forget_lapsed(domain, serials[1]).expect("writes");
        assert!(lapsed(until).is_empty());
    }
}
