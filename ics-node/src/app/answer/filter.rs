//! What a listing looks for: the index proposes entries, and the record decides.

use std::collections::BTreeSet;

use ics_core::identity::{Fingerprint, IdentityId, Kind};
use ics_core::record::{GivenLabel, Logged, Posting, Record};
use ics_core::statement::Subject;
use ics_core::vocabulary::{Attribute, StatusName};

use super::everything::{introducing, not_introducing};
use super::list::malformed;
use super::members::Members;
use super::read::Sight;
use crate::api::ListQuery;
use crate::api::problem::Code;
use crate::app::AppError;
use crate::app::entries::find_logged;

/// For how many statements that give a status or label to a group the members are searched: for every page, each
/// statement is read and its members are looked up.
pub(super) const SAID_OF_GROUPS: usize = 1_000;

/// Pieces of software, by SHA-256.
pub(super) type Software = BTreeSet<[u8; 32]>;

/// A parsed query: what to look up in the index, and what the record must satisfy.
pub(super) struct Filter {
    /// An entry is found if it has all the postings of one of these; sorted by their last.
    pub(super) alternatives: Vec<Vec<Posting>>,
    kind: Option<Kind>,
    model: Option<String>,
    lot: Option<String>,
    status: Option<StatusName>,
    label: Option<String>,
    signer: Option<Fingerprint>,
    /// Software, one piece of which must be installed on the thing.
    runs: Option<Software>,
    /// The group to which the thing must belong.
    members: Option<Members>,
    /// A part of its title, in lower case. The index does not have titles, so what the other criteria find is searched
    /// through.
    title: Option<String>,
    /// Whether only things that nobody introduces are wanted.
    pub(super) is_rest: bool,
}

impl Filter {
    /// Everything that somebody introduces.
    pub(super) fn introduced() -> Self {
        Self::of(introducing())
    }

    /// Everything that is mentioned but introduced by nobody.
    pub(super) fn rest() -> Self {
        Self { is_rest: true, ..Self::of(not_introducing()) }
    }

    fn of(mut alternatives: Vec<Vec<Posting>>) -> Self {
        alternatives.sort_unstable_by(|a, b| a.last().cmp(&b.last()));
        Self {
            alternatives,
            kind: None,
            model: None,
            lot: None,
            status: None,
            label: None,
            signer: None,
            runs: None,
            members: None,
            title: None,
            is_rest: false,
        }
    }

    /// Everything that has one of the postings; nothing if the reader may read nothing in the domain.
    pub(super) fn any_of(sight: &Sight<'_>, is_open: bool, postings: &[Posting]) -> Result<Self, AppError> {
        let mut alternatives = Vec::new();
        for posting in postings.iter().filter(|_| is_open) {
            alternatives.extend(match posting {
                Posting::Signer(signer) => by_signer(sight, *signer),
                Posting::Status(_) | Posting::Label(_) => with_members(sight, posting)?,
                other => vec![vec![other.clone()]],
            });
        }
        Ok(Self::of(alternatives))
    }

    /// Software that has a status; nothing if the reader may read nothing in the domain.
    pub(super) fn software_with(sight: &Sight<'_>, is_open: bool, status: &StatusName) -> Result<Self, AppError> {
        let any_of = Self::any_of(sight, is_open, &[Posting::Status(status.clone())])?;
        Ok(Self { kind: Some(Kind::Software), status: Some(status.clone()), ..any_of })
    }

    /// The filter of a query, when it is known which software it asks for, and which group's members.
    pub(super) fn read(
        query: &ListQuery,
        sight: &Sight<'_>,
        is_open: bool,
        runs: Option<Software>,
        members: Option<Members>,
    ) -> Result<Self, AppError> {
        let kind = query.kind.as_deref().map(str::parse::<Kind>).transpose().map_err(malformed)?;
        let status = query.status.as_deref().map(str::parse::<StatusName>).transpose().map_err(malformed)?;
        let signer = query.signer.as_deref().map(str::parse::<Fingerprint>).transpose().map_err(malformed)?;
        let mut postings = Vec::new();
        // Nearly all things of a domain may be of one kind, so a label finds fewer; the record tells their kind.
        postings.extend(kind.filter(|_| query.label.is_none()).map(Posting::Kind));
        postings.extend(query.model.clone().map(|model| Posting::Attribute(Attribute::Model, model)));
        postings.extend(query.lot.clone().map(|lot| Posting::Attribute(Attribute::Lot, lot)));
        // Labels and statuses are mostly given in statements of their own, apart from the attributes and by other
        // signers. Fewer things have a certain label than a certain status.
        let given = query.label.clone().map(Posting::Label).or_else(|| status.clone().map(Posting::Status));
        let alternatives = match (given, signer) {
            _ if !is_open => Vec::new(),
            _ if runs.is_some() => runs.iter().flatten().map(|it| vec![Posting::Installed(*it)]).collect(),
            _ if members.is_some() => members.iter().flat_map(Members::alternatives).collect(),
            _ if !postings.is_empty() => vec![postings],
            (Some(given), _) => with_members(sight, &given)?,
            (None, Some(signer)) => by_signer(sight, signer),
            (None, None) => introducing(),
        };
        let (model, lot, label) = (query.model.clone(), query.lot.clone(), query.label.clone());
        let title = query.title.as_deref().map(str::to_lowercase);
        Ok(Self { kind, model, lot, status, label, signer, runs, members, title, ..Self::of(alternatives) })
    }

    /// Whether a statement really has the postings that were looked up, since hashes collide. A label may be given to a
    /// thousand lots, and each statement about each thing is compared: only with the alternatives that end with one of
    /// its postings, which for a lot is its number.
    pub(super) fn fits_statement(&self, statement: &Logged) -> bool {
        let postings = ics_core::record::postings(statement);
        postings.iter().any(|last| {
            let start = self.alternatives.partition_point(|wanted| wanted.last() < Some(last));
            let ends_so = |wanted: &&Vec<Posting>| wanted.last() == Some(last);
            let mut wanted = self.alternatives.iter().skip(start).take_while(ends_so);
            wanted.any(|wanted| wanted.iter().all(|posting| postings.contains(posting)))
        })
    }

    /// Whether a record is what is looked for: by what stands in it now, whatever led to it.
    pub(super) fn fits(&self, record: &Record) -> bool {
        let has = |attribute, wanted: &Option<String>| {
            let given = record.attributes.get(&attribute);
            wanted.as_ref().is_none_or(|wanted| given.is_some_and(|given| given.iter().any(|it| it.value == *wanted)))
        };
        let status = record.status.as_ref().map(|status| &status.decides.name);
        // If a signer is asked for as well, somebody else's label is not what is looked for.
        let is_by_signer = |label: &GivenLabel| self.signer.is_none_or(|signer| label.by.signer == signer);
        let gives = |label: &GivenLabel, wanted: &String| label.value == *wanted && is_by_signer(label);
        self.kind.is_none_or(|kind| record.identity.kind == kind)
            && has(Attribute::Model, &self.model)
            && has(Attribute::Lot, &self.lot)
            && self.status.as_ref().is_none_or(|wanted| status == Some(wanted))
            && self.label.as_ref().is_none_or(|wanted| record.labels.iter().any(|label| gives(label, wanted)))
            && self.runs.as_ref().is_none_or(|runs| record.installed.iter().any(|it| runs.contains(&it.value.0)))
            && self.members.as_ref().is_none_or(|members| members.include(record))
            && self.title.as_ref().is_none_or(|part| record.titles().any(|title| title.to_lowercase().contains(part)))
            && self.signer.is_none_or(|by| record.statements.iter().any(|it| it.by.signer == by || it.is_of(&by)))
    }
}

/// What is said about a group holds for its members, so things that it selects and things that name it are found as
/// well. If there are too many groups to look up, the query is refused rather than answered for only some of the
/// members.
fn with_members(sight: &Sight<'_>, posting: &Posting) -> Result<Vec<Vec<Posting>>, AppError> {
    let mut alternatives = vec![vec![posting.clone()]];
    let (of_groups, what) = match posting {
        Posting::Status(status) => (Posting::GroupStatus(status.clone()), format!("the status `{status}`")),
        Posting::Label(label) => (Posting::GroupLabel(label.clone()), format!("the label `{label}`")),
        _ => return Ok(alternatives),
    };
    let said = find_logged(&sight.entries, &sight.domain, &of_groups, SAID_OF_GROUPS + 1)?;
    if said.len() > SAID_OF_GROUPS {
        let detail = format!("more than {SAID_OF_GROUPS} statements give {what} to groups: ask for a lot as well");
        return Err(AppError::new(Code::OutOfRange, detail));
    }
    let mut seen = BTreeSet::new();
    for statement in said {
        let (Subject::Group(group), IdentityId::Group(id)) = (statement.subject(), statement.subject_id()) else {
            continue;
        };
        if seen.insert(id) {
            alternatives.extend(Members::of(id, group).alternatives());
        }
    }
    Ok(alternatives)
}

/// Entries are filed under the key that signed them, so a signer has as many keys as their certificate.
fn by_signer(sight: &Sight<'_>, signer: Fingerprint) -> Vec<Vec<Posting>> {
    match sight.domain.signer(&signer) {
        Ok(certificate) => certificate.keys().map(|key| vec![Posting::Signer(key)]).collect(),
        Err(_) => vec![vec![Posting::Signer(signer)]],
    }
}
