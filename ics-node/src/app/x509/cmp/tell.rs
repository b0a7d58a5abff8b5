//! What CMP tells anybody (`genm`): who issues, what a request is to be like, and what is revoked. All of it can be had
//! without CMP as well.

use ics_core::limits;
use ics_core::vocabulary::DomainName;

use super::{CmpRequest, failed};
use crate::api::problem::Code;
use crate::app::{App, AppError, Listing};
use crate::cmp::{Failure, FailureInfo, Header, ListSource, ListsAsked, Question, Told};
use crate::x509::{Authority, issuer_id, list_made_at};

impl App {
    /// What is told to a question.
    pub(super) async fn cmp_tell(
        &self,
        asked: &CmpRequest,
        header: &Header,
        question: Question,
    ) -> Result<Told, Failure> {
        let domain = asked.domain.clone();
        let told = match question {
            Question::Authorities => self.authority_certificates(&domain).map(Told::Authorities),
            // A newer root comes with certificates by which holders of the old one can believe it. None are kept here.
            Question::Root => Ok(Told::NoNewerRoot),
            Question::Template => self.profile_keys(&domain, &asked.profile(header)?).map(Told::Template),
            Question::Lists(lists) => self.blocking(move |app| app.lists_asked(&domain, &lists)).await.map(Told::Lists),
        };
        told.map_err(|error| match error.code() {
            Code::UnknownCertificate | Code::OutOfRange => {
                Failure::new(FailureInfo::BadRequest, error.problem().detail)
            }
            _ => failed(&error),
        })
    }

    /// The revocation lists that somebody asks for, DER, but for those that he has.
    fn lists_asked(&self, domain: &DomainName, asked: &ListsAsked) -> Result<Vec<Vec<u8>>, AppError> {
        let are_meant = |authority: &Authority, urls: &[String]| match &asked.source {
            ListSource::Places(places) => places.iter().any(|place| urls.contains(place)),
            ListSource::Issuer(name) => authority.name == *name,
        };
        let mut all = Vec::new();
        for (authority, shard) in self.lists_that(domain, are_meant)? {
            let Listing::Signed(list) = self.list_here(domain, &issuer_id(&authority), shard)? else { continue };
            let made_at = list_made_at(&list.der).map_err(AppError::Internal)?;
            if asked.known.is_none_or(|known| known < made_at) {
                add(&mut all, &list.der)?;
            }
        }
        Ok(all)
    }
}

/// Adds a list to others: one is as long as it is, of several only so much is told, since anybody may ask.
fn add(all: &mut Vec<Vec<u8>>, list: &[u8]) -> Result<(), AppError> {
    let bytes = all.iter().map(Vec::len).sum::<usize>() + list.len();
    if !all.is_empty() && bytes > limits::REVOCATION_LIST_BYTES {
        let detail = format!(
            "the lists that are asked for have more than {} bytes together: ask for each by its place, as certificates \
             name it",
            limits::REVOCATION_LIST_BYTES
        );
        return Err(AppError::new(Code::OutOfRange, detail));
    }
    all.push(list.to_vec());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_lists_only_so_much_is_told() {
        let long = "l".repeat(limits::REVOCATION_LIST_BYTES);
        let (mut one, mut two) = (Vec::new(), vec![vec![0]]);
        add(&mut one, format!("{long}l").as_bytes()).expect("it is as long as it is");
        add(&mut two, &long.as_bytes()[1..]).expect("there is room for it");
        for mut all in [one, two] {
            assert_eq!(add(&mut all, &[0]).map_err(|error| error.code()), Err(Code::OutOfRange));
        }
    }
}
