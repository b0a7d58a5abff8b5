//! Appends an issuer's statements about certificates to the log, and waits until they are shown.

use std::sync::Arc;

use ics_core::identity::unnamed;
use ics_core::record::Logged;
use ics_core::statement::{Claims, Draft, DraftSubject};
use ics_core::vocabulary::DomainName;

use super::{CertifyError, Issued, IssuerKey, Unlogged};
use crate::api::problem::Code;
use crate::app::admit::check::{check_bodies, check_signed};
use crate::app::admit::submit::{Incoming, Outcome};
use crate::app::answer::read::Sight;
use crate::app::challenge::key_among;
use crate::app::entries::Brought;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};
use crate::store::{Certified, Unconfirmed, Word};

/// An issuer's statement that nobody has seen yet, preceded by the certificates that the log needs.
pub(super) struct ForLog {
    home: Arc<Hosted>,
    statement: Vec<Incoming>,
    /// The contents of the certificate that it names, if it is the one that issues it.
    certified: Option<Certified>,
    /// What was read about the thing and its groups.
    brought: Brought,
}

impl ForLog {
    /// Says that it names a certificate with these contents.
    pub(super) fn naming(self, certified: Certified) -> Self {
        Self { certified: Some(certified), ..self }
    }

    /// Says how the holder of the certificate that it names confirms it, or that this is not needed.
    pub(super) fn waits(&mut self, unconfirmed: Unconfirmed) {
        if let Some(certified) = &mut self.certified {
            certified.unconfirmed = Some(unconfirmed);
        }
    }

    /// Says on whose word the key of the certificate that it names is the thing's.
    pub(super) fn on_word(&mut self, word: Word) {
        if let Some(certified) = &mut self.certified {
            certified.word = Some(word);
        }
    }

    /// Says that the key of the certificate that it names does not identify the thing.
    pub(super) fn shows_nobody(&mut self) {
        if let Some(certified) = &mut self.certified {
            certified.shows = false;
        }
    }
}

impl App {
    /// Appends an issuer's statement, waits until it is shown, and returns its index. No thread is blocked meanwhile.
    /// As with submissions, what the domain cannot show for lack of witnesses is acknowledged to nobody.
    pub(super) async fn log(
        &self,
        ForLog { home, statement, certified, brought }: ForLog,
    ) -> Result<u64, CertifyError> {
        let index = index_of(self.append_in_turns(&home, statement, certified, brought).await?)?;
        self.until_shown(&home, index + 1).await?;
        Ok(index)
    }

    /// Logs a certificate once nothing before it waits for witnesses: a client that asks again gets another
    /// certificate, so while the witnesses are unavailable each attempt would log one more that nobody gets.
    pub(in crate::app::x509) async fn log_certificate(
        &self,
        domain: &DomainName,
        Unlogged { for_log, issued }: Unlogged,
    ) -> Result<Issued, CertifyError> {
        if let Some(size) = self.unshown(&for_log.home)? {
            let late = |_| {
                let detail =
                    format!("what was logged before in `{domain}` waits for its witnesses, so nothing was issued");
                AppError::new(Code::Unwitnessed, detail)
            };
            self.until_shown(&for_log.home, size).await.map_err(late)?;
        }
        let index = self.log(for_log).await?;
        Ok(issued.at(domain, index))
    }

    /// An issuer's statement about a thing, for the log; before the first one comes the issuer's certificate.
    pub(super) fn statement(
        &self,
        sight: &Sight<'_>,
        issuer: &IssuerKey,
        about: &[Logged],
        claims: Claims,
    ) -> Result<ForLog, CertifyError> {
        let keyless = || CertifyError::Record("no statement about it that is left contains its key".to_owned());
        let (key, said) = key_among(about).ok_or_else(keyless)?;
        let kind = said.subject().kind();
        // It stays for ever, so it does not contain the name by which people call the thing.
        let user_id = unnamed(kind, &key.fingerprint());
        let key = Box::new(key.clone());
        let subject = DraftSubject::Key { key, kind, user_id, self_signature: None, revokes: false };
        let now = self.clock().now();
        let signed = Draft { subject, claims }.sign_here(&*issuer.signer, now, &random()?);
        let (body, signed) = signed.map_err(|error| AppError::Internal(format!("the issuer's statement: {error}")))?;
        let checked = if sight.domain.signer(&issuer.signer.public_key().fingerprint()).is_ok() {
            vec![check_signed(&sight.domain, (body, signed), now)]
        } else {
            let bodies = [issuer.certificate.to_vec(), body].map(|body| (body, now));
            check_bodies(Some(&sight.domain), bodies.into(), random()?)
        };
        let incoming = checked.into_iter().map(|checked| Ok(Incoming { checked, source: None, salt: random()? }));
        let statement = incoming.collect::<Result<_, AppError>>()?;
        let brought = self.brought(sight, about)?;
        Ok(ForLog { home: self.hosted(&sight.hosted.name)?, statement, certified: None, brought })
    }
}

/// The index in the log of the last of several statements.
fn index_of(mut outcomes: Vec<Outcome>) -> Result<u64, CertifyError> {
    match outcomes.pop() {
        Some(Outcome::Appended(unproven)) => Ok(unproven.index),
        Some(Outcome::Present(index)) => Ok(index),
        Some(Outcome::Refused(problem)) => Err(CertifyError::Refused(problem)),
        None => Err(AppError::Internal("the log gave no answer".to_owned()).into()),
    }
}
