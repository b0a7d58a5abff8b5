//! What CMP tells anybody (`genm`): who issues, what a request should contain, and what is revoked. All of it is also
//! available without CMP.

use std::sync::Arc;

use ics_core::limits;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;

use super::{CmpRequest, failed};
use crate::api::problem::Code;
use crate::app::{App, AppError, Listing};
use crate::cmp::{Failure, FailureInfo, Header, ListSource, ListsAsked, Question, Told};
use crate::x509::{Authority, issuer_id};

impl App {
    /// The answer to a question.
    pub(super) async fn cmp_tell(
        &self,
        asked: &CmpRequest,
        header: &Header,
        question: Question,
    ) -> Result<Told, Failure> {
        let domain = asked.domain.clone();
        let told = match question {
            Question::Authorities => self.authority_certificates(&domain).map(Told::Authorities),
            // A newer root would come with certificates by which holders of the old one can trust it. None are kept
            // here.
            Question::Root => Ok(Told::NoNewerRoot),
            Question::Template => self.profile_keys(&domain, &asked.profile(header)?).map(Told::Template),
            Question::Lists(lists) => self.blocking(move |app| app.lists_asked(&domain, &lists)).await.map(Told::Lists),
        };
        told.map_err(|error| match error.code() {
            Code::UnknownCertificate | Code::TooMuchSaid => {
                Failure::new(FailureInfo::BadRequest, error.problem().detail)
            }
            _ => failed(&error),
        })
    }

    /// The requested revocation lists, as DER, without those that the client already has and those that are signed at
    /// other nodes.
    fn lists_asked(&self, domain: &DomainName, asked: &ListsAsked) -> Result<Vec<Vec<u8>>, AppError> {
        let are_meant = |authority: &Authority, urls: &[String]| match &asked.source {
            ListSource::Places(places) => urls.iter().any(|url| places.contains(url)),
            ListSource::Issuer(name) => authority.name == *name,
        };
        let meant = self.lists_that(domain, are_meant)?;
        let news = meant.iter().filter_map(|(authority, shard)| {
            self.newer_list(domain, &issuer_id(authority), *shard, asked.known).transpose()
        });
        in_one_answer(news, limits::REVOCATION_LIST_BYTES)
    }

    /// A list that is signed here, if it is newer than what the client has.
    fn newer_list(
        &self,
        domain: &DomainName,
        issuer: &str,
        shard: u8,
        known: Option<Timestamp>,
    ) -> Result<Option<Arc<[u8]>>, AppError> {
        let Listing::Signed(list) = self.list_here(domain, issuer, shard)? else { return Ok(None) };
        // Lists state their time in whole seconds.
        let is_newer = known.is_none_or(|known| known < list.this_update.whole_seconds());
        Ok(is_newer.then_some(list.der))
    }
}

/// The lists that one answer can hold: an issuer may have 256 of them, and anybody may ask.
fn in_one_answer(
    lists: impl Iterator<Item = Result<Arc<[u8]>, AppError>>,
    most: usize,
) -> Result<Vec<Vec<u8>>, AppError> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for list in lists {
        let list = list?;
        bytes += list.len();
        if bytes > most {
            let detail =
                format!("the lists that are asked for have more than {most} bytes: get each by HTTP from its address");
            return Err(AppError::new(Code::TooMuchSaid, detail));
        }
        all.push(list.to_vec());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_so_many_bytes_of_lists_and_no_further_one_is_made() {
        let lists = || [3, 2].into_iter().map(|length| Ok::<Arc<[u8]>, AppError>(vec![7; length].into()));
        let whole = in_one_answer(lists(), 5).map_err(|error| error.code());
        assert_eq!(whole, Ok(vec![vec![7; 3], vec![7; 2]]));
        let further = core::iter::once_with(|| -> Result<Arc<[u8]>, AppError> { panic!("nobody gets it") });
        let cut = in_one_answer(lists().chain(further), 4).map_err(|error| error.code());
        assert_eq!(cut, Err(Code::TooMuchSaid));
    }
}
