//! The holders for whom ACME accounts speak: their credentials and accounts, and how much each holder has recently made
//! through all their accounts.

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{AcmeTx, Credential, damaged, numbered, read, text};
use crate::acme::account::{Account, AccountStatus, Holder};
use crate::store::columns::{int, millis, time};
use crate::store::error::StoreError;

/// The period in milliseconds over which a holder's orders are counted.
const HOUR_MILLIS: u64 = 60 * 60 * 1000;

/// What is counted per holder and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// An order.
    Order,
    /// An authorization without an order.
    Authorization,
}

impl Made {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Authorization => "authorization",
        }
    }
}

impl AcmeTx<'_> {
    /// Stores a credential. Expired ones are deleted.
    ///
    /// # Errors
    /// When the database fails, here and below.
    pub fn add_credential(&self, credential: &Credential, now: Timestamp) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM credential WHERE expires <= ?1", [millis(now)])?;
        let sql = "INSERT INTO credential (kid, domain, holder, secret, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
        let Credential { kid, domain, holder, secret, expires } = credential;
        self.0.prepare_cached(sql)?.execute(params![
            kid,
            domain.as_str(),
            text(holder)?,
            secret.as_slice(),
            millis(*expires)
        ])?;
        Ok(())
    }

    /// A credential that has not expired. Nothing is written: anybody may name one that does not exist.
    ///
    /// # Errors
    /// As above.
    pub fn credential(&self, kid: &str, now: Timestamp) -> Result<Option<Credential>, StoreError> {
        let sql = "SELECT domain, holder, secret, expires FROM credential WHERE kid = ?1 AND expires > ?2";
        let row = self.0.prepare_cached(sql)?.query_row(params![kid, millis(now)], |row| {
            let secret: Vec<u8> = row.get(2)?;
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, Zeroizing::new(secret), row.get::<_, i64>(3)?))
        });
        let Some((domain, holder, secret, expires)) = row.optional()? else { return Ok(None) };
        let domain = domain.parse().map_err(|_| damaged("credential"))?;
        Ok(Some(Credential { kid: kid.to_owned(), domain, holder: read(&holder)?, secret, expires: time(expires) }))
    }

    /// Deletes a credential that has made its account.
    ///
    /// # Errors
    /// As above.
    pub fn use_credential(&self, kid: &str) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM credential WHERE kid = ?1", [kid])?;
        Ok(())
    }

    /// Deletes the credentials of a holder.
    ///
    /// # Errors
    /// As above.
    pub fn forget_credentials(&self, domain: &DomainName, holder: &Holder) -> Result<(), StoreError> {
        let sql = "DELETE FROM credential WHERE domain = ?1 AND holder = ?2";
        self.0.execute(sql, params![domain.as_str(), text(holder)?])?;
        Ok(())
    }

    /// The number of a holder's credentials that can still be used.
    ///
    /// # Errors
    /// As above.
    pub fn count_credentials(&self, domain: &DomainName, holder: &Holder, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM credential WHERE domain = ?1 AND holder = ?2 AND expires > ?3";
        self.count(sql, params![domain.as_str(), text(holder)?, millis(now)])
    }

    /// Adds an account and returns its number.
    ///
    /// # Errors
    /// As above.
    pub fn add_account(&self, domain: &DomainName, account: &Account) -> Result<u64, StoreError> {
        let sql = "INSERT INTO account (domain, thumbprint, document, holder) VALUES (?1, ?2, ?3, ?4)";
        self.insert(sql, params![domain.as_str(), account.key.thumbprint(), text(account)?, text(&account.holder)?])
    }

    /// An account of a domain, by its number.
    ///
    /// # Errors
    /// As above.
    pub fn account(&self, domain: &DomainName, id: u64) -> Result<Option<Account>, StoreError> {
        let sql = "SELECT document FROM account WHERE id = ?1 AND domain = ?2";
        self.document(sql, params![id.cast_signed(), domain.as_str()])
    }

    /// An account of a domain, by its key.
    ///
    /// # Errors
    /// As above.
    pub fn account_by_key(&self, domain: &DomainName, thumbprint: &str) -> Result<Option<(u64, Account)>, StoreError> {
        let sql = "SELECT id FROM account WHERE domain = ?1 AND thumbprint = ?2";
        let id: Option<i64> =
            self.0.prepare_cached(sql)?.query_row([domain.as_str(), thumbprint], |row| row.get(0)).optional()?;
        let Some(id) = id.map(i64::cast_unsigned) else { return Ok(None) };
        Ok(self.account(domain, id)?.map(|account| (id, account)))
    }

    /// All accounts that speak for a holder, with their numbers.
    ///
    /// # Errors
    /// As above.
    pub fn accounts_of(&self, domain: &DomainName, holder: &Holder) -> Result<Vec<(u64, Account)>, StoreError> {
        let sql = "SELECT id, document FROM account WHERE domain = ?1 AND holder = ?2 ORDER BY id";
        let mut statement = self.0.prepare_cached(sql)?;
        let row = params![domain.as_str(), text(holder)?];
        numbered(&mut statement, row)
    }

    /// The accounts of a domain after a number, in the order of their numbers.
    ///
    /// # Errors
    /// As above.
    pub fn accounts(&self, domain: &DomainName, after: u64, limit: usize) -> Result<Vec<(u64, Account)>, StoreError> {
        // The plus keeps SQLite from sorting all the domain's accounts for each page.
        let sql = "SELECT id, document FROM account WHERE +domain = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let mut statement = self.0.prepare_cached(sql)?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        numbered(&mut statement, params![domain.as_str(), after, int(limit)])
    }

    /// Changes an account. The holder for whom it speaks never changes. If it has ended, the file must be cleaned
    /// ([`super::AcmeStore::clean`]).
    ///
    /// # Errors
    /// As above.
    pub fn put_account(&self, id: u64, account: &Account) -> Result<(), StoreError> {
        self.1.accounts.remove(&id);
        if account.status != AccountStatus::Valid {
            self.note_due()?;
        }
        let sql = "UPDATE account SET thumbprint = ?2, document = ?3 WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute(params![id.cast_signed(), account.key.thumbprint(), text(account)?])?;
        Ok(())
    }

    /// Counts one more of what a holder makes, if fewer than `limit` were made since the present hour began, which is
    /// when its first one was made. Otherwise returns the milliseconds until the next hour begins.
    ///
    /// # Errors
    /// As above.
    pub fn count_one(
        &self,
        (domain, holder): (&DomainName, &Holder),
        made: Made,
        limit: u64,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        let (holder, what) = (text(holder)?, made.as_str());
        let begun = millis(now).saturating_sub(HOUR_MILLIS.cast_signed());
        // Usually the hour has begun and there is room. An hour that begins in the future comes from a clock that was
        // ahead.
        let sql = "UPDATE made SET number = number + 1
             WHERE domain = ?1 AND holder = ?2 AND what = ?3 AND since > ?4 AND since <= ?5 AND number < ?6";
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let row = params![domain.as_str(), holder, what, begun, millis(now), most];
        if self.0.prepare_cached(sql)?.execute(row)? > 0 {
            return Ok(None);
        }
        let sql =
            "SELECT since FROM made WHERE domain = ?1 AND holder = ?2 AND what = ?3 AND since > ?4 AND since <= ?5";
        let row = params![domain.as_str(), holder, what, begun, millis(now)];
        let full = self.0.prepare_cached(sql)?.query_row(row, |row| row.get::<_, i64>(0)).optional()?;
        let since = full.map(time);
        if since.is_some() || limit == 0 {
            return Ok(Some(HOUR_MILLIS - now.millis_since(since.unwrap_or(now))));
        }
        // Updated in place: replacing the row would change the table's index each time.
        let sql = "INSERT INTO made (domain, holder, what, since, number) VALUES (?1, ?2, ?3, ?4, 1)
             ON CONFLICT (domain, holder, what) DO UPDATE SET since = excluded.since, number = excluded.number";
        self.0.prepare_cached(sql)?.execute(params![domain.as_str(), holder, what, millis(now)])?;
        Ok(None)
    }
}
