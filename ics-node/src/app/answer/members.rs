//! Members of a group, for listings: the things that it selects and the things that name it.

use std::collections::BTreeMap;

use ics_core::identity::IdentityId;
use ics_core::record::{Digest, Posting, Record};
use ics_core::statement::{Group, Subject};
use ics_core::vocabulary::Attribute;

use super::list::malformed;
use crate::api::ListQuery;
use crate::app::entries::about;
use crate::app::{App, AppError, Reader};

/// What makes a thing a member.
pub(super) struct Members {
    group: [u8; 32],
    /// What the group selects by; if empty, only things that name the group are members.
    attributes: BTreeMap<Attribute, String>,
}

impl Members {
    pub(super) fn of(id: [u8; 32], group: &Group) -> Self {
        Self { group: id, attributes: group.attributes.clone() }
    }

    /// The postings under which the index finds them.
    pub(super) fn alternatives(&self) -> Vec<Vec<Posting>> {
        let selected = self.attributes.iter().map(|(attribute, value)| Posting::Attribute(*attribute, value.clone()));
        let mut alternatives = vec![vec![Posting::Member(self.group)], selected.collect()];
        alternatives.retain(|postings| !postings.is_empty());
        alternatives
    }

    /// Whether the record's thing may be a member; it need not be, since signers may contradict each other.
    pub(super) fn include(&self, record: &Record) -> bool {
        let has = |(attribute, value): (&Attribute, &String)| {
            record.attributes.get(attribute).is_some_and(|given| given.iter().any(|it| it.value == *value))
        };
        let is_selected = !self.attributes.is_empty() && self.attributes.iter().all(has);
        is_selected || record.groups.iter().any(|it| it.value.0 == self.group)
    }
}

impl App {
    /// The members that a query asks for. Any domain here in which the reader may read anything can say what the group
    /// selects, because the group's id is the hash of that.
    pub(super) fn members(&self, reader: Reader, query: &ListQuery) -> Result<Option<Members>, AppError> {
        let Some(text) = query.group.as_deref() else { return Ok(None) };
        let group = text.parse::<Digest>().map_err(malformed)?.0;
        for hosted in self.all_hosted() {
            let Ok(sight) = self.sight(&hosted) else { continue };
            if !self.may_read_any(reader, &sight.domain) {
                continue;
            }
            for statement in about(&sight.entries, &sight.domain, &IdentityId::Group(group))? {
                if let Subject::Group(it) = statement.subject() {
                    return Ok(Some(Members::of(group, it)));
                }
            }
        }
        Ok(Some(Members { group, attributes: BTreeMap::new() }))
    }
}
