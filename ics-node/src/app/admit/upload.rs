//! Statements as ordinary OpenPGP programs write them: all in one piece, in any legal framing.

use ics_core::statement::body::BodyError;
use ics_core::statement::split;
use ics_core::vocabulary::DomainName;

use crate::api::problem::Code;
use crate::api::{Problem, SubmissionResult, SubmissionResults};
use crate::app::{App, AppError, Sender};

impl App {
    /// Submits OpenPGP data as it comes, binary or armored: several bodies in a row, or whole certificates with the
    /// certifications on them. It is split into bodies, each of which is submitted as by [`App::submit_from`].
    ///
    /// The results are in the order of the bodies, followed by those of the parts that did not become bodies.
    ///
    /// # Errors
    /// When nothing in it can be read, and as [`App::submit_from`].
    pub(crate) async fn submit_openpgp(
        &self,
        sender: &mut Sender,
        domain: &DomainName,
        bytes: Vec<u8>,
    ) -> Result<SubmissionResults, AppError> {
        self.hosted(domain)?;
        if bytes.is_empty() {
            return Err(AppError::new(Code::MalformedStatement, "the request has no body: there is nothing to submit"));
        }
        let malformed = |error: BodyError| AppError::new(Code::MalformedStatement, error.to_string());
        let split = self.blocking(move |_| split(&bytes).map_err(malformed)).await?;
        let mut results = match (split.bodies.is_empty(), split.refused.is_empty()) {
            (true, false) => SubmissionResults { results: Vec::new() },
            _ => self.submit_from(sender, domain, split.bodies).await?,
        };
        self.count_malformed(split.refused.len());
        results.results.extend(split.refused.iter().map(refused));
        Ok(results)
    }
}

fn refused(error: &BodyError) -> SubmissionResult {
    SubmissionResult::Problem(Problem::of(Code::MalformedStatement, error.to_string()))
}
