//! The certificates that ACME accounts have got. What stands above a certificate is the same for all of its issuer, and
//! is stored once.

use std::sync::Arc;

use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::{AcmeTx, read, text};
use crate::acme::identifier::Identifier;
use crate::store::columns::millis;
use crate::store::error::StoreError;

/// A certificate that was issued to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The account's number.
    pub account: u64,
    /// The certificate, as PEM.
    pub pem: String,
    /// Its issuers up to the root, as PEM.
    #[serde(skip)]
    pub above: Arc<str>,
    /// The identifiers for which it was ordered.
    pub identifiers: Vec<Identifier>,
}

impl Issued {
    /// The chains in which the client may have it: without the root, as servers send them, and with it. If the root
    /// itself issued the certificate, there is only the chain with the root.
    #[must_use]
    pub fn chains(&self) -> Vec<String> {
        let begins: Vec<usize> = self.above.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
        let below_root = match begins.as_slice() {
            [_, .., root] => self.above.get(..*root),
            _ => None,
        };
        below_root.into_iter().chain([&*self.above]).map(|above| [&self.pem, above].concat()).collect()
    }
}

impl AcmeTx<'_> {
    /// Adds a certificate under its SHA-256 and returns its number.
    ///
    /// # Errors
    /// When the database fails, here and below.
    pub fn add_certificate(
        &self,
        domain: &DomainName,
        digest: &[u8; 32],
        expires: Timestamp,
        issued: &Issued,
    ) -> Result<u64, StoreError> {
        let sql = "INSERT INTO certificate (domain, digest, account, expires, document, above)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (account, above) = (issued.account.cast_signed(), self.above(&issued.above)?);
        let row = params![domain.as_str(), digest, account, millis(expires), text(issued)?, above];
        let id = self.insert(sql, row)?;
        self.1.certificates.put(id, (domain.clone(), issued.clone()));
        Ok(id)
    }

    /// The number under which these issuers are stored.
    fn above(&self, pem: &Arc<str>) -> Result<i64, StoreError> {
        if let Some(number) = self.1.above(pem) {
            return Ok(number);
        }
        let sql = "SELECT id FROM issuers WHERE pem = ?1";
        let found: Option<i64> = self.0.prepare_cached(sql)?.query_row([pem], |row| row.get(0)).optional()?;
        let number = match found {
            Some(number) => number,
            None => self.insert("INSERT INTO issuers (pem) VALUES (?1)", [pem])?.cast_signed(),
        };
        self.1.note_above(pem, number);
        Ok(number)
    }

    /// A certificate in the file, by its number.
    pub(super) fn stored_certificate(&self, domain: &DomainName, id: u64) -> Result<Option<Issued>, StoreError> {
        let sql = "SELECT document, above, pem FROM certificate LEFT JOIN issuers ON issuers.id = above
             WHERE certificate.id = ?1 AND domain = ?2";
        let row = params![id.cast_signed(), domain.as_str()];
        let found = self.0.prepare_cached(sql)?.query_row(row, columns).optional()?;
        found.map(issued).transpose()
    }

    /// A certificate by its SHA-256, and the number of the last order that names it as the one to be replaced.
    ///
    /// # Errors
    /// As above.
    pub fn certificate_by_digest(
        &self,
        domain: &DomainName,
        digest: &[u8; 32],
    ) -> Result<Option<(Issued, Option<u64>)>, StoreError> {
        let sql = "SELECT document, above, pem, replaced FROM certificate LEFT JOIN issuers ON issuers.id = above
             WHERE domain = ?1 AND digest = ?2";
        let row = |row: &Row<'_>| Ok((columns(row)?, row.get::<_, i64>(3)?));
        let found = self.0.prepare_cached(sql)?.query_row(params![domain.as_str(), digest], row).optional()?;
        let by = |order: i64| (order != 0).then(|| order.cast_unsigned());
        found.map(|(found, order)| Ok((issued(found)?, by(order)))).transpose()
    }

    /// Records that an order replaces a certificate.
    ///
    /// # Errors
    /// As above.
    pub fn set_replaced(&self, domain: &DomainName, digest: &[u8; 32], order: u64) -> Result<(), StoreError> {
        let sql = "UPDATE certificate SET replaced = ?3 WHERE domain = ?1 AND digest = ?2";
        self.0.prepare_cached(sql)?.execute(params![domain.as_str(), digest, order.cast_signed()])?;
        Ok(())
    }
}

/// A document, and the issuers above its certificate: their number, and the issuers themselves.
type Columns = (String, Option<i64>, Option<Arc<str>>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn issued((document, number, pem): Columns) -> Result<Issued, StoreError> {
    // A server sends its certificate as it gets it, and nobody trusts one that comes without its issuers.
    if number.is_some() && pem.is_none() {
        return Err(StoreError::corrupt("acme.db: the issuers of a certificate are missing"));
    }
    Ok(Issued { above: pem.unwrap_or_default(), ..read(&document)? })
}
