//! What an issuer says of a certificate, on its way into the log.

use std::sync::Arc;

use ics_core::openpgp::key::PublicKey;
use ics_core::openpgp::possession::subject_key;
use ics_core::record::Logged;
use ics_core::statement::{Claims, Draft, DraftSubject, Subject};
use ics_core::vocabulary::Act;

use super::{CertifyError, IssuerKey};
use crate::app::check::check_bodies;
use crate::app::hosted::Hosted;
use crate::app::read::Sight;
use crate::app::submit::{Incoming, Outcome};
use crate::app::{App, AppError, random};

/// A statement of an issuer that nobody has seen, and the certificates before it that the log needs.
pub(super) struct ForLog {
    pub(super) home: Arc<Hosted>,
    pub(super) statement: Vec<Incoming>,
}

impl App {
    /// Appends a statement of an issuer; where it stands. No thread waits meanwhile.
    pub(super) async fn log(&self, ForLog { home, statement }: ForLog) -> Result<u64, CertifyError> {
        index_of(self.append_in_turns(&home, statement).await?)
    }

    /// A statement of an issuer about a thing, for the log; before the first one, his certificate.
    pub(super) fn statement(
        &self,
        sight: &Sight<'_>,
        issuer: &IssuerKey,
        about: &[Logged],
        claims: Claims,
    ) -> Result<ForLog, CertifyError> {
        let (key, introduction) = self.key_and_introduction(sight, about)?;
        let Subject::Key { kind, user_id, .. } = introduction.subject().clone() else {
            return Err(CertifyError::Record("it has no key".to_owned()));
        };
        let key = Box::new(key);
        let subject = DraftSubject::Key { key, kind, user_id, self_signature: None, revokes: false };
        let now = self.clock().now();
        let failed = |error: String| CertifyError::App(AppError::Internal(error));
        let body = Draft { subject, claims }.sign(&*issuer.signer, now, &random()?);
        let body = body.map_err(|error| failed(format!("the issuer's statement: {error}")))?;
        let known = sight.domain.signer(&issuer.signer.public_key().fingerprint()).is_ok();
        let certificate = (!known).then(|| issuer.certificate.to_vec());
        let bodies = certificate.into_iter().chain([body]).map(|body| (body, now)).collect();
        let checked = check_bodies(sight.hosted.domain().as_deref(), bodies, random()?);
        let incoming = checked.into_iter().map(|checked| Ok(Incoming { checked, source: None, salt: random()? }));
        let statement = incoming.collect::<Result<_, AppError>>()?;
        Ok(ForLog { home: self.hosted(&sight.hosted.name)?, statement })
    }

    /// The thing's key and the statement that introduces it.
    fn key_and_introduction(&self, sight: &Sight<'_>, about: &[Logged]) -> Result<(PublicKey, Logged), CertifyError> {
        let none = || CertifyError::Record("nobody introduces it".to_owned());
        let introduces = |it: &&Logged| it.claims().act == Act::Identity && !it.is_refused();
        let introduction = about.iter().find(introduces).ok_or_else(none)?.clone();
        let entry = self.store().entry(sight.hosted.number, introduction.index()).map_err(AppError::from)?;
        let key = entry.content.and_then(|content| subject_key(&content.body)).ok_or_else(none)?;
        Ok((key, introduction))
    }
}

/// Where the last of several statements stands in the log.
pub(super) fn index_of(mut outcomes: Vec<Outcome>) -> Result<u64, CertifyError> {
    match outcomes.pop() {
        Some(Outcome::Appended(unproven)) => Ok(unproven.index),
        Some(Outcome::Present(index)) => Ok(index),
        Some(Outcome::Refused(problem)) => Err(CertifyError::Refused(problem)),
        None => Err(AppError::Internal("the log gave no answer".to_owned()).into()),
    }
}
