//! What domains of this node automatically take over from others, and how far they have come.

use ics_core::vocabulary::DomainName;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use super::error::StoreError;
use super::sight::RightsMark;
use super::transaction::WriteTx;
use super::types::DomainNumber;
use super::write::in_transaction;

/// What a domain follows in another one: ids of identities, and choices by attributes, which begin with `{`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// The domain that is followed.
    pub source: DomainName,
    /// The entries of its log that were looked at under the rules in force.
    pub upto: u64,
    /// The entries for which refusals were already reported or passed over: more than `upto` once the domain looks
    /// again after a new descriptor of its own.
    pub told: u64,
    /// The entries that were looked at under any rules: what comes after them is news, and does not wait until those
    /// between `upto` and here have been looked at again.
    pub news: u64,
    /// What its home last told about the rights of this node there, if no copy of it is held here.
    pub rights: Option<RightsMark>,
    /// The number of identities that are followed individually.
    pub identities: u64,
    /// Choices by attributes.
    pub choices: Vec<String>,
}

impl Store {
    /// Makes a domain follow things in another one from `upto` on, or from its present place there if that is earlier.
    /// If it already follows things there, news continue to arrive as before.
    ///
    /// # Errors
    /// When the database fails.
    pub fn follow(
        &self,
        domain: DomainNumber,
        source: &DomainName,
        what: Vec<String>,
        upto: u64,
    ) -> Result<(), StoreError> {
        let source = source.to_string();
        self.desk(move |log| {
            let mut statement = log.prepare_cached("INSERT OR IGNORE INTO follow VALUES (?1, ?2, ?3)")?;
            for what in &what {
                statement.execute(params![domain.get(), source, what])?;
            }
            let sql = "INSERT INTO follow_cursor VALUES (?1, ?2, ?3, ?3, ?3, NULL) ON CONFLICT (domain, source) \
                       DO UPDATE SET size = min(size, excluded.size), told = min(told, excluded.told)";
            log.execute(sql, params![domain.get(), source, upto.cast_signed()])?;
            Ok(())
        })
    }

    /// Stops following these things; returns how many of them were followed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unfollow(&self, domain: DomainNumber, source: &DomainName, what: Vec<String>) -> Result<usize, StoreError> {
        let source = source.to_string();
        self.desk(move |log| {
            let sql = "DELETE FROM follow WHERE domain = ?1 AND source = ?2 AND what = ?3";
            let mut statement = log.prepare_cached(sql)?;
            let mut ended = 0;
            for what in &what {
                ended += statement.execute(params![domain.get(), source, what])?;
            }
            let sql = "DELETE FROM follow_cursor WHERE domain = ?1 AND source = ?2 \
                       AND NOT EXISTS (SELECT 1 FROM follow WHERE domain = ?1 AND source = ?2)";
            log.execute(sql, params![domain.get(), source])?;
            let sql = "DELETE FROM follow_grant WHERE domain = ?1 AND source = ?2 \
                       AND NOT EXISTS (SELECT 1 FROM follow WHERE domain = ?1 AND source = ?2)";
            log.execute(sql, params![domain.get(), source])?;
            Ok(ended)
        })
    }

    /// What a domain follows, by source.
    ///
    /// # Errors
    /// When the database fails.
    pub fn followed(&self, domain: DomainNumber) -> Result<Vec<Following>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT source, size, told, news, rights FROM follow_cursor WHERE domain = ?1 ORDER BY source";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found = statement.query_map([domain.get()], |row| {
                Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?], row.get(4)?))
            })?;
            let cursors: Vec<(String, [i64; 3], Option<RightsMark>)> = found.collect::<Result<_, _>>()?;
            let mut all = Vec::new();
            for (source, cursor, rights) in cursors {
                let [upto, told, news] = cursor.map(i64::cast_unsigned);
                let Ok(name) = source.parse() else { continue };
                let sql = "SELECT count(*) FROM follow WHERE domain = ?1 AND source = ?2 AND what NOT LIKE '{%'";
                let mut count = reader.log.prepare_cached(sql)?;
                let identities: i64 = count.query_row(params![domain.get(), source], |row| row.get(0))?;
                let sql = "SELECT what FROM follow WHERE domain = ?1 AND source = ?2 AND what LIKE '{%' ORDER BY what";
                let mut chosen = reader.log.prepare_cached(sql)?;
                let choices = chosen.query_map(params![domain.get(), source], |row| row.get(0))?;
                all.push(Following {
                    source: name,
                    upto,
                    told,
                    news,
                    rights,
                    identities: identities.cast_unsigned(),
                    choices: choices.collect::<Result<_, _>>()?,
                });
            }
            Ok(all)
        })
    }

    /// Whether a domain follows an identity in another one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_followed(&self, domain: DomainNumber, source: &DomainName, id: &str) -> Result<bool, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT 1 FROM follow WHERE domain = ?1 AND source = ?2 AND what = ?3";
            let mut statement = reader.log.prepare_cached(sql)?;
            let found: Option<i64> =
                statement.query_row(params![domain.get(), source.as_str(), id], |row| row.get(0)).optional()?;
            Ok(found.is_some())
        })
    }

    /// The ids of the identities that a domain follows individually in another one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn followed_ids(&self, domain: DomainNumber, source: &DomainName) -> Result<Vec<String>, StoreError> {
        self.shared.pool.read(|reader| {
            let sql = "SELECT what FROM follow WHERE domain = ?1 AND source = ?2 AND what NOT LIKE '{%' ORDER BY what";
            let mut statement = reader.log.prepare_cached(sql)?;
            let ids = statement.query_map(params![domain.get(), source.as_str()], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Records that the log of a domain that is not held here was looked at from `from` to `upto`, as news or again.
    /// `returns` and `rights` are those at the beginning of that look; false if they have changed, or nothing is
    /// followed there any more.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub fn follow_upto(
        &self,
        (domain, returns): (DomainNumber, u64),
        (source, rights): (&DomainName, Option<RightsMark>),
        from: u64,
        upto: u64,
    ) -> Result<bool, StoreError> {
        let source = source.clone();
        self.with_writer(move |writer| {
            if writer.shared.published.get(domain)?.returns != returns {
                return Ok(false);
            }
            let work = |log: &Connection| {
                let sql = "SELECT 1 FROM follow_cursor WHERE domain = ?1 AND source = ?2 AND rights IS ?3";
                let is_so: Option<i64> =
                    log.query_row(sql, params![domain.get(), source.as_str(), rights], |row| row.get(0)).optional()?;
                if is_so.is_none() { Ok(false) } else { advance(log, domain, &source, from, upto) }
            };
            in_transaction(&mut writer.log, work).map_err(|error| writer.assess(error))
        })
    }

    /// Records the rights that this node has in a domain that is not held here. If they have changed, everything
    /// followed there is looked at again, besides the news: what was passed over may be visible only now. False if they
    /// are already recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub fn follow_by_rights(
        &self,
        domain: DomainNumber,
        source: &DomainName,
        rights: RightsMark,
    ) -> Result<bool, StoreError> {
        let source = source.clone();
        self.desk(move |log| {
            let sql = "UPDATE follow_cursor SET size = iif(rights IS NULL, size, 0), \
                       told = iif(rights IS NULL, told, 0), rights = ?3 \
                       WHERE domain = ?1 AND source = ?2 AND rights IS NOT ?3";
            Ok(log.execute(sql, params![domain.get(), source.as_str(), rights])? > 0)
        })
    }

    /// As [`Store::follow_upto`], for a source held here; `returns` counts those of both domains. False also if there
    /// were more since: what the source shows now, or the domain accepts, may be before `from`.
    ///
    /// # Errors
    /// When there is no such domain, or the database fails.
    pub fn follow_held_upto(
        &self,
        domain: DomainNumber,
        (source, returns): (DomainNumber, u64),
        from: u64,
        upto: u64,
    ) -> Result<bool, StoreError> {
        self.with_writer(move |writer| {
            // By now everything committed is published.
            let state = writer.shared.published.get(source)?;
            if state.returns + writer.shared.published.get(domain)?.returns != returns {
                return Ok(false);
            }
            let work = |log: &Connection| advance(log, domain, &state.info.name, from, upto);
            in_transaction(&mut writer.log, work).map_err(|error| writer.assess(error))
        })
    }

    /// How often since the start a domain was sent back in what it follows, by the source (if that is held here) or by
    /// its own next descriptor.
    ///
    /// # Errors
    /// When one of them is not held here.
    pub fn follow_returns(&self, domain: DomainNumber, source: Option<DomainNumber>) -> Result<u64, StoreError> {
        let of_source = source.map(|source| self.shared.published.get(source)).transpose()?;
        Ok(self.shared.published.get(domain)?.returns + of_source.map_or(0, |source| source.returns))
    }
}

impl WriteTx<'_> {
    /// Makes all that follow the domain look at its log again from an index on. This is part of the commit that shows
    /// what they have passed over: after a crash between the two, nobody would look there.
    pub fn follow_back(&mut self, index: u64) {
        let before = &mut self.draft.amendments.follow_back;
        *before = Some(before.map_or(index, |before| before.min(index)));
    }

    /// Makes the domain look again at everything that it follows, as part of the commit that lets it accept what it has
    /// refused.
    pub fn follow_anew(&mut self) {
        self.draft.amendments.follows_anew = true;
    }
}

/// Makes a domain look again at everything that it follows, besides its news. It still knows what it has reported or
/// passed over.
pub(crate) fn follow_anew(log: &Connection, domain: DomainNumber) -> Result<(), StoreError> {
    log.prepare_cached("UPDATE follow_cursor SET size = 0 WHERE domain = ?1")?.execute([domain.get()])?;
    Ok(())
}

/// Advances the position of the news, or of what is looked at again, or both once they have met. If a home has fewer
/// entries than it said, all positions go back.
fn advance(
    log: &Connection,
    domain: DomainNumber,
    source: &DomainName,
    from: u64,
    upto: u64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE follow_cursor SET news = iif(news = ?3, ?4, news), \
               size = min(iif(news = ?3, ?4, news), iif(size = ?3, ?4, size)), \
               told = min(iif(news = ?3, ?4, news), iif(told >= ?3, max(told, ?4), told)) \
               WHERE domain = ?1 AND source = ?2 AND (size = ?3 OR news = ?3)";
    Ok(log.execute(sql, params![domain.get(), source.as_str(), from.cast_signed(), upto.cast_signed()])? > 0)
}

/// Makes all that follow a domain look again from an index on. The source is identified by its name, not its number: it
/// may be followed before there is a copy of it.
pub(crate) fn follow_back(log: &Connection, source: DomainNumber, index: u64) -> Result<(), StoreError> {
    let sql = "UPDATE follow_cursor SET size = min(size, ?2), told = min(told, ?2) \
               WHERE source = (SELECT name FROM domain WHERE number = ?1) AND told > ?2";
    log.prepare_cached(sql)?.execute(params![source.get(), index.cast_signed()])?;
    Ok(())
}

/// Makes all that follow a domain begin again: everything that its copy will show, or its home will say, is news.
pub(crate) fn follow_from_the_start(log: &Connection, source: &DomainName) -> Result<(), StoreError> {
    let sql = "UPDATE follow_cursor SET size = 0, told = 0, news = 0 WHERE source = ?1";
    log.prepare_cached(sql)?.execute([source.as_str()])?;
    Ok(())
}
