//! What a domain lists, for people: each thing with what all domains here make of it.

use ics_core::record::Record;
use ics_core::vocabulary::DomainName;

use super::list::Page;
use super::read::Sight;
use super::resolved::cut_short;
use super::thing::Assessed;
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

/// The domains here in which each thing is looked up.
struct Everywhere<'a> {
    /// Those in which the reader may read anything.
    sights: Vec<Sight<'a>>,
    /// Why one of them cannot be read.
    silent: Option<AppError>,
    /// Those that are not heard.
    unheard: Vec<DomainName>,
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
        let all = self.all_hosted();
        let (mut sights, silent) = self.sights(&all);
        let unheard = self.missed(&all, &sights.iter().map(|sight| sight.hosted.number).collect());
        sights.retain(|sight| self.may_read_any(reader, &sight.domain));
        let everywhere = Everywhere { sights, silent, unheard };
        let mut things = Vec::with_capacity(records.len());
        for record in &records {
            things.extend(self.assessed(reader, record, query.label.as_deref(), &everywhere)?);
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
    fn assessed(
        &self,
        reader: Reader,
        record: &Record,
        label: Option<&str>,
        everywhere: &Everywhere<'_>,
    ) -> Result<Option<Assessed>, AppError> {
        let (id, mut silent) = (record.identity.id, everywhere.silent.clone());
        let (mut answers, mut unheard) = (Vec::new(), everywhere.unheard.clone());
        for sight in &everywhere.sights {
            let kept = self.kept_in_passing(sight, &id)?;
            if self.is_silenced(reader, &sight.domain, &kept) {
                unheard.push(sight.hosted.name.clone());
                silent.get_or_insert_with(|| cut_short(&id));
            } else {
                answers.extend(self.answer_of(reader, sight, &kept)?);
            }
        }
        match silent {
            Some(silent) if answers.is_empty() => Err(silent),
            None if answers.is_empty() => Ok(None),
            _ => Ok(Some(Assessed::of(record, label, &answers, &unheard))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Party, devices};

    /// Whoever leafs through a register must not displace from memory what devices ask for again and again.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_register_adds_no_things_to_memory() {
        let (maker, app) = Party::opened();
        for (number, pump) in devices(3).iter().enumerate() {
            maker.publish(&app, pump, "Pump", &number.to_string()).await;
        }
        let before = app.memory().identities();
        let page = app.register(Reader::Anonymous, &maker.domain, &ListQuery::default()).expect("a page");
        assert_eq!((page.things.len(), app.memory().identities()), (3, before));
    }
}
