//! What CMP tells anybody (`genm`): who issues, what a request is to be like, and what is revoked. All of it can be had
//! without CMP as well.

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
            Code::UnknownCertificate => Failure::new(FailureInfo::BadRequest, error.problem().detail),
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
                all.push(list.der.to_vec());
            }
        }
        Ok(all)
    }
}
