//! Appends what an issuer says of a certificate to the log, and waits until it is shown.

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
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};
use crate::store::Certified;

/// A statement of an issuer that nobody has seen, and the certificates before it that the log needs.
pub(super) struct ForLog {
    home: Arc<Hosted>,
    statement: Vec<Incoming>,
    /// What stands in the certificate that it names, if that is issued by it.
    certified: Option<Certified>,
}

impl ForLog {
    /// It names a certificate in which this stands.
    pub(super) fn naming(self, certified: Certified) -> Self {
        Self { certified: Some(certified), ..self }
    }

    /// Whoever has the key of the certificate that it names is not the thing for that.
    pub(super) fn shows_nobody(&mut self) {
        if let Some(certified) = &mut self.certified {
            certified.shows = false;
        }
    }
}

impl App {
    /// Appends a statement of an issuer, and waits until it is shown; where it stands. No thread waits meanwhile. What its
    /// domain cannot show for want of witnesses is acknowledged to nobody, as in submissions.
    pub(super) async fn log(&self, ForLog { home, statement, certified }: ForLog) -> Result<u64, CertifyError> {
        let index = index_of(self.append_in_turns(&home, statement, certified).await?)?;
        self.until_shown(&home, index + 1).await?;
        Ok(index)
    }

    /// Has a certificate logged, where nothing waits before it: who asks again gets another one, so while the witnesses are
    /// away one more that nobody has would be logged each time.
    pub(in crate::app::x509) async fn log_certificate(
        &self,
        domain: &DomainName,
        Unlogged { for_log, issued }: Unlogged,
    ) -> Result<Issued, CertifyError> {
        if let Some(size) = self.unshown(&for_log.home)? {
            let late = |_| {
                let detail =
                    format!("what was logged before in `{domain}` waits for its witnesses: nothing was issued");
                AppError::new(Code::Unwitnessed, detail)
            };
            self.until_shown(&for_log.home, size).await.map_err(late)?;
        }
        let index = self.log(for_log).await?;
        Ok(issued.at(domain, index))
    }

    /// A statement of an issuer about a thing, for the log; before the first one, his certificate.
    pub(super) fn statement(
        &self,
        sight: &Sight<'_>,
        issuer: &IssuerKey,
        about: &[Logged],
        claims: Claims,
    ) -> Result<ForLog, CertifyError> {
        let keyless = || CertifyError::Record("no statement about it that is left has its key".to_owned());
        let (key, said) = key_among(about).ok_or_else(keyless)?;
        let kind = said.subject().kind();
        // It stays for ever, so it does not say what people call the thing.
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
        Ok(ForLog { home: self.hosted(&sight.hosted.name)?, statement, certified: None })
    }
}

/// Where the last of several statements stands in the log.
fn index_of(mut outcomes: Vec<Outcome>) -> Result<u64, CertifyError> {
    match outcomes.pop() {
        Some(Outcome::Appended(unproven)) => Ok(unproven.index),
        Some(Outcome::Present(index)) => Ok(index),
        Some(Outcome::Refused(problem)) => Err(CertifyError::Refused(problem)),
        None => Err(AppError::Internal("the log gave no answer".to_owned()).into()),
    }
}
