//! What a domain lists, for people: each thing with what all domains here make of it.

use ics_core::record::Record;
use ics_core::vocabulary::DomainName;

use super::list::Page;
use super::read::Records;
use super::thing::Assessed;
use crate::api::problem::Code;
use crate::api::{AsOf, ListQuery};
use crate::app::{App, AppError, Reader};

/// A page of what a domain lists. By label it is the public register of whoever gives that label there.
#[derive(Debug, Clone)]
pub struct Register {
    /// The domain.
    pub domain: DomainName,
    /// What it is for, in its owners' words.
    pub purpose: String,
    /// The label that was asked for; without one, everything is listed.
    pub label: Option<String>,
    /// The lot that was asked for.
    pub lot: Option<String>,
    /// How complete and fresh the domain is.
    pub as_of: AsOf,
    /// The things, with the labels that the domain gives them.
    pub things: Vec<Assessed>,
    /// The `after` of this page; absent for the first one.
    pub after: Option<u64>,
    /// `after` for the next page, if there may be more.
    pub next: Option<u64>,
    /// Whether things may be missing because something was erased and what is left of it is not shown yet.
    pub cut_short: bool,
}

impl App {
    /// A page of a listing as [`App::list`] gives it, for people: a domain that labels a thing may know nothing of what
    /// blocks it, so each is shown with what all domains here say.
    ///
    /// # Errors
    /// As [`App::list`].
    pub fn register(&self, reader: Reader, domain: &DomainName, query: &ListQuery) -> Result<Register, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let Page { records, next, cut_short } = self.page(reader, &sight, query)?;
        let mut things = Vec::with_capacity(records.len());
        for record in &records {
            things.extend(self.assessed(reader, record, query.label.as_deref())?);
        }
        Ok(Register {
            domain: hosted.name.clone(),
            purpose: sight.shown.descriptor().description.clone(),
            label: query.label.clone(),
            lot: query.lot.clone(),
            as_of: self.as_of(&sight),
            things,
            after: query.after,
            next,
            cut_short,
        })
    }

    /// The thing of a record, and what all domains here make of it; `None` if nothing is shown of it any more.
    fn assessed(&self, reader: Reader, record: &Record, label: Option<&str>) -> Result<Option<Assessed>, AppError> {
        let Records { answers, silenced, .. } = match self.records(reader, &record.identity.id.to_string()) {
            Err(error) if error.code() == Code::UnknownIdentity => return Ok(None),
            records => records?,
        };
        Ok(Some(Assessed::of(record, label, &answers, &self.unheard_with(silenced)?)))
    }
}
