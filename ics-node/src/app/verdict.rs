//! What this node answers when it is asked whether a thing may be used.

use ics_core::descriptor::Freshness;
use ics_core::time::Timestamp;
use ics_core::trust::{Looked, Question, Testimony, Verdict, verdict};

use super::problem::Code;
use super::read::{Sight, parse};
use super::{App, AppError, Reader};

impl App {
    /// Whether a thing may be used so, by this node's trust policy, now. The thing and its peer are asked for by id or
    /// name; a name that fits several gives `unknown`.
    ///
    /// # Errors
    /// When this node has no trust policy, a text is neither id nor name, the reader may not read what the verdict would
    /// rest on, or the store fails.
    pub fn verdict(&self, reader: Reader, thing: &str, usage: &str, peer: Option<&str>) -> Result<Verdict, AppError> {
        let policy =
            self.0.trust.as_ref().ok_or_else(|| {
                AppError::new(Code::NoTrustPolicy, "this node decides nothing: it has no trust policy")
            })?;
        let question = Question {
            usage: usage.to_owned(),
            thing: self.look(reader, thing)?,
            peer: peer.map(|peer| self.look(reader, peer)).transpose()?,
        };
        Ok(verdict(&question, policy, self.clock().now()))
    }

    /// What every domain here has to say of a thing. A verdict names what it rests on, and one that left out what the
    /// reader may not read could allow what is blocked: whoever may not read all of it is told that nothing is known.
    fn look(&self, reader: Reader, query: &str) -> Result<Looked, AppError> {
        let lookup = parse(query)?;
        let hosted = self.all_hosted();
        let sights: Vec<Sight<'_>> = hosted.iter().filter_map(|hosted| self.sight(hosted).ok()).collect();
        let mut ids = std::collections::BTreeSet::new();
        for sight in &sights {
            ids.extend(self.identities(sight, &lookup)?);
        }
        let only = ids.first().filter(|_| ids.len() == 1);
        let mut testimonies = Vec::new();
        for sight in &sights {
            let record = only.map(|id| self.resolve(sight, id)).transpose()?.flatten().map(|(record, _)| record);
            if record.as_ref().is_some_and(|record| !self.may_read(reader, &sight.domain, record)) {
                return Err(AppError::unknown_identity(query));
            }
            testimonies.push(Testimony {
                origin: sight.domain.origin(),
                size: sight.seal.size,
                as_of: sight.seal.cosigned_at.unwrap_or(Timestamp::from_millis(0)),
                freshness: Freshness::clone(&sight.domain.descriptor().freshness),
                record,
            });
        }
        Ok(Looked { asked: query.to_owned(), candidates: ids.len(), testimonies })
    }
}
