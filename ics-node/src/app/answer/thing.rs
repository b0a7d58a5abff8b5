//! One thing, for a page or a look-up: the records of all domains here, their joint assessment, and the newest software
//! for it.

use std::collections::{BTreeMap, BTreeSet};

use ics_core::evidence;
use ics_core::identity::{IdentityId, Kind};
use ics_core::record::{Assessment, Identity, Outlook, Record};
use ics_core::vocabulary::{Attribute, DomainName};

use super::list::{Since, summary, summary_of};
use super::read::{Records, Sight};
use crate::api::problem::Code;
use crate::api::{Explanation, IdentitySummary, ListQuery, RecordAnswer, assessment};
use crate::app::{App, AppError, Reader};
use crate::{explain, openpgp};

/// How many pieces of software of each sort are shown for one thing.
const SOFTWARE: usize = 24;
/// How many pieces are looked at, newest first, to find those that may be used.
const SOFTWARE_LOOKED_AT: usize = 4 * SOFTWARE;

/// The result of a person's look-up.
#[derive(Debug, Clone)]
pub enum Found {
    /// The thing.
    Thing(Box<PublicThing>),
    /// The name fits several things.
    Several(Vec<Assessed>),
}

/// One of several things that a person is shown.
#[derive(Debug, Clone)]
pub struct Assessed {
    /// What one domain says of it, with the title that it has where it is introduced, and the attributes on which all
    /// domains agree.
    pub summary: IdentitySummary,
    /// The joint assessment of all domains.
    pub assessment: Assessment,
}

impl Assessed {
    /// The thing of a record, given what all domains say; if a label was looked for, it names no other. Whoever merely
    /// labels a thing says neither who makes it nor what model it is.
    pub(super) fn of(record: &Record, label: Option<&str>, answers: &[RecordAnswer], unheard: &[DomainName]) -> Self {
        let of_it = || answers.iter().filter(|it| it.record.identity.id == record.identity.id);
        let mut summary = summary_of(record, label);
        if let Some(introduced) = introduced(of_it()) {
            summary.title.clone_from(&introduced.title);
        }
        let agreed = agreed(of_it()).into_iter();
        summary.attributes = agreed.map(|(attribute, value)| (attribute.to_string(), value)).collect();
        Self { summary, assessment: assessment(of_it(), unheard) }
    }
}

/// A thing, and all that a person is told about it.
#[derive(Debug, Clone)]
pub struct PublicThing {
    /// Its id and kind.
    pub identity: Identity,
    /// What people call it.
    pub title: String,
    /// The joint assessment of the domains.
    pub assessment: Assessment,
    /// What each domain says.
    pub answers: Vec<RecordAnswer>,
    /// The attributes on which all domains agree.
    pub attributes: BTreeMap<Attribute, String>,
    /// What is installed on it.
    pub installed: Vec<Software>,
    /// The newest software for its model whose use is permitted.
    pub allowed: Vec<Software>,
    /// Whether there may be more such software.
    pub allows_more: bool,
    /// Why all this is so.
    pub explanation: Explanation,
}

/// What matters about a piece of software next to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// Name and version, or its id if nothing is known about it.
    pub title: String,
    /// Its id.
    pub id: String,
    /// Its status.
    pub status: Option<String>,
    /// What the status amounts to; absent if nothing is known about it here.
    pub outlook: Option<Outlook>,
}

impl App {
    /// What a person who looks something up is told.
    ///
    /// # Errors
    /// When the text is neither an id nor a name, or nothing that the reader may read is known about it: what is hidden
    /// and what is unknown look alike.
    pub fn public_thing(&self, reader: Reader, query: &str) -> Result<Found, AppError> {
        self.shown(reader, self.records(reader, query)?)
    }

    /// As [`App::public_thing`], for records that were read.
    pub(crate) fn shown(&self, reader: Reader, records: Records) -> Result<Found, AppError> {
        let Records { ids, answers, unheard } = records;
        let thing = match answers.first() {
            Some(first) if ids.len() == 1 => first.record.clone(),
            _ => return Ok(Found::Several(namesakes(&answers, &unheard))),
        };
        let named = introduced(&answers).unwrap_or(&thing);
        let attributes = agreed(&answers);
        let assessment = assessment(&answers, &unheard);
        let installed = self.installed(reader, &answers);
        let (allowed, allows_more) = self.allowed(reader, thing.identity.kind, &attributes)?;
        Ok(Found::Thing(Box::new(PublicThing {
            identity: thing.identity,
            title: named.title.clone(),
            explanation: explain::records(&answers, &assessment),
            assessment,
            attributes,
            installed,
            allowed,
            allows_more,
            answers,
        })))
    }

    fn installed(&self, reader: Reader, answers: &[RecordAnswer]) -> Vec<Software> {
        let given = answers.iter().flat_map(|it| &it.record.installed);
        let ids: BTreeSet<String> = given.map(|given| given.value.to_string()).take(SOFTWARE).collect();
        ids.into_iter().map(|id| self.software(reader, id)).collect()
    }

    /// The newest software for the same model that somebody vouches for and a status permits, and whether there may be
    /// more. While a domain is not heard, none is known to be permitted.
    fn allowed(
        &self,
        reader: Reader,
        kind: Kind,
        attributes: &BTreeMap<Attribute, String>,
    ) -> Result<(Vec<Software>, bool), AppError> {
        let Some(model) = attributes.get(&Attribute::Model).filter(|_| kind.has_key()) else {
            return Ok((Vec::new(), false));
        };
        let query =
            ListQuery { kind: Some(Kind::Software.to_string()), model: Some(model.clone()), ..ListQuery::default() };
        let hosted = self.all_hosted();
        let mut found: BTreeMap<IdentityId, Since> = BTreeMap::new();
        let mut is_cut = false;
        for sight in hosted.iter().filter_map(|hosted| self.sight(hosted).ok()) {
            // Here, too, one more tells whether there is more.
            let (newest, more) = self.newest(reader, &sight, &query, SOFTWARE_LOOKED_AT + 1)?;
            // What is left may be hidden, so a reader who may not read everything is not told of it.
            is_cut |= more && self.is_shown_all(reader, &sight.domain);
            for (id, since) in newest {
                // It is as old as its first mention anywhere: others adopt it later.
                found.entry(id).and_modify(|first| *first = since.min(*first)).or_insert(since);
            }
        }
        is_cut |= found.len() > SOFTWARE_LOOKED_AT;
        let mut newest: Vec<(Since, IdentityId)> = found.into_iter().map(|(id, since)| (since, id)).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let newest = newest.into_iter().take(SOFTWARE_LOOKED_AT);
        let known = newest.map(|(_, id)| self.software(reader, id.to_string()));
        // One more tells whether there is more.
        let permitted = known.filter(|it| it.outlook == Some(Outlook::Permitted)).take(SOFTWARE + 1);
        let mut allowed: Vec<Software> = permitted.collect();
        is_cut |= allowed.len() > SOFTWARE;
        allowed.truncate(SOFTWARE);
        allowed.sort_by(|a, b| (&a.title, &a.id).cmp(&(&b.title, &b.id)));
        Ok((allowed, is_cut))
    }

    /// A piece of software by its digest. A group may have the same digest; then it is not known which is meant.
    fn software(&self, reader: Reader, id: String) -> Software {
        let (answers, unheard) = match self.records(reader, &id) {
            Ok(Records { ids, answers, unheard }) if ids.iter().all(|id| matches!(id, IdentityId::Software(_))) => {
                (answers, unheard)
            }
            _ => return Software { title: id.clone(), id, status: None, outlook: None },
        };
        let assessment = assessment(&answers, &unheard);
        Software {
            title: answers.first().map_or_else(|| id.clone(), |it| it.record.title.clone()),
            id,
            status: assessment.status.map(|(_, given)| given.name.to_string()),
            outlook: Some(assessment.outlook),
        }
    }

    /// What gpg (or sq, for version 6) needs to check a thing without this node: for a thing with a key, a keyring with
    /// that key and the certificates of those who speak about it; for others, those certificates alone.
    ///
    /// # Errors
    /// As [`App::record`], and when all that is said about it is of another OpenPGP version than its key.
    pub fn keyring(&self, reader: Reader, domain: &DomainName, query: &str) -> Result<Vec<u8>, AppError> {
        let pack = self.evidence(reader, domain, query)?;
        let verified = evidence::verify(&pack, None, self.clock().now())
            .map_err(|error| AppError::Internal(format!("the evidence of `{query}` does not hold: {error}")))?;
        let identity = verified.record.identity;
        let keyring = openpgp::version(&verified.record).map(|version| match identity.kind.has_key() {
            true => openpgp::keyring(&pack, &verified, version),
            false => openpgp::signers(&pack, version),
        });
        keyring.filter(|keyring| !keyring.is_empty()).ok_or_else(|| {
            let detail = format!("nothing about `{}` is of one OpenPGP version: take the evidence pack", identity.id);
            AppError::new(Code::UnknownIdentity, detail)
        })
    }

    /// The things that wait for an approval in a domain: somebody vouches for them, and nobody has approved or blocked
    /// them. Only recently introduced ones are looked at.
    pub(crate) fn to_approve(&self, sight: &Sight<'_>, limit: usize) -> Result<Vec<IdentitySummary>, AppError> {
        const WINDOW: u64 = 2_000;
        let after = sight.seal.size.saturating_sub(WINDOW).checked_sub(1);
        let records = self.first_introduced(Reader::Operator, sight, after, 200)?;
        let waits = |record: &&Record| {
            !record.vouched.is_empty()
                && record.approvals.is_empty()
                && !record.effect().blocks()
                && !record.cut_short
                && record.identity.kind != Kind::Group
        };
        Ok(records.iter().filter(waits).take(limit).map(summary).collect())
    }
}

/// Each of several things once.
fn namesakes(answers: &[RecordAnswer], unheard: &[DomainName]) -> Vec<Assessed> {
    let mut seen = BTreeSet::new();
    let once = answers.iter().map(|it| &it.record).filter(|record| seen.insert(record.identity));
    once.map(|record| Assessed::of(record, None, answers, unheard)).collect()
}

/// The record of the domain that introduces a thing, which knows best what it is called.
fn introduced<'a>(answers: impl IntoIterator<Item = &'a RecordAnswer>) -> Option<&'a Record> {
    answers.into_iter().map(|it| &it.record).find(|record| !record.vouched.is_empty())
}

/// The attributes for which all domains that give them give the same value.
fn agreed<'a>(answers: impl IntoIterator<Item = &'a RecordAnswer>) -> BTreeMap<Attribute, String> {
    let mut values: BTreeMap<Attribute, BTreeSet<&str>> = BTreeMap::new();
    for (attribute, given) in answers.into_iter().flat_map(|it| &it.record.attributes) {
        values.entry(*attribute).or_default().extend(given.iter().map(|given| given.value.as_str()));
    }
    let only = |(attribute, values): (Attribute, BTreeSet<&str>)| match (values.len(), values.first()) {
        (1, Some(value)) => Some((attribute, (*value).to_owned())),
        _ => None,
    };
    values.into_iter().filter_map(only).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Party, device};

    /// A domain that begins to answer in between has not been asked, and may block the thing.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_was_not_heard_when_records_were_read_counts_as_such_when_they_are_shown() {
        let [maker, other] = ["a.acme.example", "b.acme.example"].map(Party::found);
        let app = maker.open();
        other.found_at(&app);
        maker.publish(&app, &device(1), "Pump", "L1").await;
        let silent = app.hosted(&other.domain).expect("here").number;
        app.store().hold(silent).expect("silenced");
        let id = device(1).fingerprint().to_string();
        let records = app.records(Reader::Anonymous, &id).expect("the maker knows it");
        app.store().release(silent).expect("goes on");
        let Found::Thing(thing) = app.shown(Reader::Anonymous, records).expect("shown") else { panic!("one thing") };
        assert_eq!(thing.assessment.unheard, std::slice::from_ref(&other.domain));
    }
}
