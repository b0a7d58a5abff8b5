//! What is taken into the outbox: what a signer whom the domain knows has signed.

use std::collections::VecDeque;

use ics_core::descriptor::admit;
use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::limits;
use ics_core::record::Posting;
use ics_core::statement::{Statement, is_certificate};
use ics_core::time::Timestamp;
use ics_core::vocabulary::Effect;

use crate::api::Problem;
use crate::app::admit::check::{Checked, What, check_sent};
use crate::app::entries::{Snapshot, find_logged};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};
use crate::store::{DomainNumber, Posted};

/// Whether a statement blocks its subject, by the descriptor that is known here.
fn blocks(domain: &Domain, statement: &Statement) -> bool {
    let effect = |status| domain.descriptor().effect(status, statement.subject().kind());
    statement.claims().status.as_ref().and_then(effect).is_some_and(Effect::blocks)
}

impl App {
    /// Takes bodies into the outbox; returns them if one of them is a stranger's.
    pub(super) fn post(
        &self,
        hosted: &Hosted,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Result<Vec<Posted>, Vec<Vec<u8>>>, AppError> {
        let Some(domain) = hosted.domain() else { return Ok(Err(bodies)) };
        let now = self.clock().now();
        let mut checked = self.check_behind(hosted, &domain, Vec::new(), &bodies, now)?;
        // Certificates that are waiting serve the statements behind them. They may be anywhere among much, so they are
        // looked for only if something does not do without them.
        if checked.iter().any(Result::is_err) {
            let before = self.certificates_waiting(hosted.number)?;
            if !before.is_empty() {
                checked = self.check_behind(hosted, &domain, before, &bodies, now)?;
            }
        }
        for checked in &checked {
            match checked {
                Ok(checked) if self.is_by_a_known_signer(hosted, &domain, checked)? => {}
                _ => return Ok(Err(bodies)),
            }
        }
        let new = || checked.iter().flatten().map(|checked| &checked.what);
        let is_block = |what: &What| matches!(what, What::Statement(statement) if blocks(&domain, statement));
        let block = new().any(is_block) && new().all(|what| is_block(what) || matches!(what, What::Certificate(_)));
        Ok(Ok(self.store().post(hosted.number, bodies, now, block)?))
    }

    /// Checks bodies as they come behind these certificates.
    fn check_behind(
        &self,
        hosted: &Hosted,
        domain: &Domain,
        before: Vec<Vec<u8>>,
        bodies: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<Vec<Result<Checked, Problem>>, AppError> {
        let first = before.len();
        let timed = before.into_iter().chain(bodies.iter().cloned()).map(|body| (body, now)).collect();
        let log = Snapshot { store: self.store(), number: hosted.number, size: domain.size() };
        let checked = check_sent(Some(domain), &log, timed, random()?)?;
        Ok(checked.into_iter().skip(first).collect())
    }

    /// The certificates among what waits for the home of a domain, in order: the newest, as many as fit a batch. They
    /// are verified with whatever a stranger sends.
    fn certificates_waiting(&self, number: DomainNumber) -> Result<Vec<Vec<u8>>, AppError> {
        let (mut certificates, mut bytes, mut behind) = (VecDeque::new(), 0, 0);
        loop {
            let page = self.store().waiting(number, behind)?;
            let Some((last, _)) = page.last() else { return Ok(certificates.into()) };
            behind = *last;
            for (_, body) in page.into_iter().filter(|(_, body)| is_certificate(body)) {
                bytes += body.len();
                certificates.push_back(body);
                while certificates.len() > limits::BATCH_STATEMENTS || bytes > limits::BATCH_BYTES {
                    bytes -= certificates.pop_front().map_or(bytes, |oldest: Vec<u8>| oldest.len());
                }
            }
        }
    }

    fn is_by_a_known_signer(&self, hosted: &Hosted, domain: &Domain, checked: &Checked) -> Result<bool, AppError> {
        match &checked.what {
            What::Statement(..) | What::Certification(..) => Ok(true),
            What::Descriptor(signed) => Ok(admit(Some(domain.descriptor()), signed).is_ok()),
            What::Erasure(signed) => Ok(domain.descriptor().require_owners(signed).is_ok()),
            What::Certificate(certificate) => self.is_known(hosted, domain, &certificate.primary()),
        }
    }

    /// Whether the domain knows a signer: it holds their certificate, or something gives them a role.
    fn is_known(&self, hosted: &Hosted, domain: &Domain, signer: &Fingerprint) -> Result<bool, AppError> {
        if domain.certificate(signer).is_some() || !domain.descriptor().roles_of(signer).is_empty() {
            return Ok(true);
        }
        let sight = self.sight(hosted)?;
        Ok(!find_logged(&sight.entries, &sight.domain, &Posting::Grantee(*signer), 1)?.is_empty())
    }
}
