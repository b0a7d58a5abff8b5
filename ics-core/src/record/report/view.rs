//! What several domains say about one identity.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::identity::IdentityId;
use crate::vocabulary::{DomainName, Effect, StatusName};

/// The records of several domains about one identity, side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The text of the identity's id.
    pub id: String,
    /// The most restrictive status over all the domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ViewStatus>,
    /// The records, by domain.
    pub records: Vec<Record>,
}

/// The most restrictive status over several domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewStatus {
    /// Its effect.
    pub effect: Effect,
    /// Its name.
    pub name: StatusName,
    /// The first domain, by name, that gives it.
    pub domain: DomainName,
    /// Whether a status of another effect stands as well.
    pub conflict: bool,
}

impl View {
    /// Puts records of one identity side by side.
    #[must_use]
    pub fn new(id: &IdentityId, mut records: Vec<Record>) -> Self {
        records.sort_by(|a, b| a.domain.cmp(&b.domain));
        records.dedup_by(|a, b| a.domain == b.domain);
        let status = ViewStatus::of(&records);
        Self { id: id.to_string(), status, records }
    }
}

impl ViewStatus {
    fn of(records: &[Record]) -> Option<Self> {
        let statuses = || records.iter().filter_map(|record| Some((record, record.status.as_ref()?)));
        let all_effects = statuses().flat_map(|(_, status)| {
            core::iter::once(&status.decides).chain(&status.conflict).map(|status| status.effect)
        });
        // `max_by` returns the last of equals; on the reversed order, that is the first domain.
        let (record, status) = statuses().rev().max_by_key(|(_, status)| status.decides.effect)?;
        let effect = status.decides.effect;
        Some(Self {
            effect,
            name: status.decides.name.clone(),
            domain: record.domain.clone(),
            conflict: all_effects.into_iter().any(|other| other != effect),
        })
    }
}
