//! Revoking certificates: by whom, and for which reasons.

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::{CertificateProfile, Certificates};
use ics_core::domain::Domain;
use ics_core::identity::IdentityId;
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::{Logged, Posting, Record};
use ics_core::statement::Claims;
use ics_core::vocabulary::{Act, DomainName};

use super::log::ForLog;
use super::{CertifyError, IssuerKey, Requester, claims_of, roles_to_ask};
use crate::app::answer::read::Sight;
use crate::app::entries::{keys, restore};
use crate::app::hosted::Hosted;
use crate::app::{App, AppError};
use crate::x509::{
    AskedBy, Reason, SerialNumber, State, asked_for, is_key_compromised, is_misnamed, misnamed, sets_status,
};

/// What has to be done to revoke a certificate.
enum Step {
    /// Append a statement to the log.
    Append(Box<ForLog>),
    /// Wait until a statement already in the log is shown; `is_same` tells whether it says what this one would say.
    Wait { home: Arc<Hosted>, index: u64, is_same: bool },
}

/// How somebody who wants a certificate revoked has proved the right to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoker {
    /// By holding the certificate's key.
    Key,
    /// As a requester, who speaks for the thing or about it.
    Requester(Requester),
    /// By being entitled to certificates for all names in it, without having got this one.
    Names,
    /// As the node itself: one of its names has become another thing's.
    Misnamed,
}

impl Revoker {
    /// The reason as the log states it. Somebody who revokes another's certificate is named, so that the log is the
    /// only audit trail needed.
    fn told(self, domain: &Domain, record: &Record, reason: Reason) -> String {
        match self {
            Self::Names => asked_for(reason, AskedBy::Names),
            Self::Misnamed => misnamed(),
            Self::Requester(Requester::Signer(signer)) => {
                let sets_it = roles_to_ask(domain, record, &signer, record.at).iter().any(sets_status);
                let by = if sets_it { AskedBy::StatusSetter(signer) } else { AskedBy::Requester(signer) };
                asked_for(reason, by)
            }
            Self::Requester(Requester::Operator) => asked_for(reason, AskedBy::Registrar),
            Self::Key | Self::Requester(Requester::Identity(_)) => reason.to_string(),
        }
    }

    /// Checks who may revoke for which reason: the holder of the key may say that it is compromised; the thing and
    /// those who may ask for its certificates may give any reason of a holder; an owner or security controller only
    /// reasons that say nothing about the key. A domain that issues no more has no rules by which anybody may ask.
    fn check(
        self,
        domain: &Domain,
        rules: Option<&Certificates>,
        record: &Record,
        reason: Reason,
    ) -> Result<(), CertifyError> {
        let permitted = match self {
            Self::Names => reason.is_for_others(),
            Self::Misnamed => reason == Reason::AffiliationChanged,
            Self::Key => reason.is_for_holder() || reason == Reason::KeyCompromise,
            Self::Requester(Requester::Identity(id)) if id == record.identity.id => reason.is_for_holder(),
            Self::Requester(Requester::Operator) => reason.is_for_holder(),
            Self::Requester(Requester::Identity(_)) => return Err(CertifyError::Requester),
            Self::Requester(Requester::Signer(signer)) => {
                let roles = roles_to_ask(domain, record, &signer, record.at);
                let asks = |profile: &CertificateProfile| !roles.is_disjoint(&profile.requesters);
                if rules.is_some_and(|rules| rules.profiles.values().any(asks)) {
                    reason.is_for_holder()
                } else if roles.iter().any(sets_status) {
                    reason.is_for_others()
                } else {
                    return Err(CertifyError::Requester);
                }
            }
        };
        if permitted { Ok(()) } else { Err(CertifyError::Reason(reason)) }
    }
}

impl App {
    /// Revokes a certificate for good, by withdrawing the statement about it. To suspend it, a status is used.
    ///
    /// # Errors
    /// When there is no such certificate, it is already revoked, the revoker may not give this reason, or the key that
    /// issued it is not here. Or when the witnesses are unavailable: then the revocation is in the log, and is shown
    /// later.
    pub async fn revoke_certificate(
        &self,
        domain: &DomainName,
        serial: &SerialNumber,
        revoker: Revoker,
        reason: Reason,
    ) -> Result<u64, CertifyError> {
        let index = match self.revocation(domain, serial, revoker, reason)? {
            Step::Append(statement) => self.log(*statement).await?,
            Step::Wait { home, index, is_same } => {
                self.until_shown(&home, index + 1).await?;
                if !is_same {
                    return Err(CertifyError::AlreadyRevoked);
                }
                index
            }
        };
        tracing::info!(%domain, %serial, %reason, index, "a certificate was revoked");
        Ok(index)
    }

    /// Whether a key (SHA-256 of its SubjectPublicKeyInfo) no longer shows who holds it: a certificate of it was
    /// withdrawn because others have the key.
    pub(in crate::app) fn is_given_up(&self, domain: &DomainName, spki: [u8; 32]) -> Result<bool, AppError> {
        let hosted = self.hosted(domain)?;
        self.is_given_up_besides(&self.sight(&hosted)?, spki, &[])
    }

    /// As `is_given_up`, without reading again the statements at hand.
    pub(in crate::app::x509) fn is_given_up_besides(
        &self,
        sight: &Sight<'_>,
        spki: [u8; 32],
        at_hand: &[Logged],
    ) -> Result<bool, AppError> {
        let naming = sight.naming_besides(Name::Spki(spki), at_hand)?;
        let issued = naming.iter().filter(|it| it.claims().act == Act::Issued && !it.is_refused());
        let holders: BTreeSet<IdentityId> = issued.clone().map(Logged::subject_id).collect();
        // Each record is read once, however many certificates of the key its thing has had.
        for holder in holders {
            let Some(known) = self.resolve_again(sight, &holder, &naming)? else { continue };
            let mut its = issued.clone().filter(|it| it.subject_id() == holder);
            if its.any(|it| is_key_compromised(&known.0, it.index())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The statement that withdraws a certificate, unless one is already waiting in the log.
    fn revocation(
        &self,
        domain: &DomainName,
        serial: &SerialNumber,
        revoker: Revoker,
        reason: Reason,
    ) -> Result<Step, CertifyError> {
        let hosted = self.hosted(domain)?;
        // The present issuer does not matter here: its key may not have arrived yet, and what the domain has issued can
        // be taken back even if it issues nothing any more.
        let sight = self.issues_here(&hosted)?;
        let rules = sight.domain.descriptor().certificates.as_ref();
        let unknown = || CertifyError::UnknownCertificate(serial.to_string());
        let issued = self.issued(&sight, serial)?.ok_or_else(unknown)?;
        let (record, said) = self.resolve(&sight, &issued.subject_id())?.ok_or_else(unknown)?;
        let is_held = |state| matches!(state, State::Revoked { reason: Reason::CertificateHold, .. });
        let shows_key = revoker == Revoker::Key && reason == Reason::KeyCompromise;
        match State::of(&record, issued.index()) {
            State::Good => {}
            state if is_held(state) => {}
            // Somebody who proves possession of the key says something new, whatever was said before.
            State::Revoked { .. } if shows_key && !is_key_compromised(&record, issued.index()) => {}
            // So does whoever takes back one whose key still shows who comes.
            State::Revoked { .. }
                if revoker != Revoker::Misnamed && is_misnamed(&record, issued.index(), self.clock().now()) => {}
            State::Revoked { .. } | State::Ended => return Err(CertifyError::AlreadyRevoked),
        }
        revoker.check(&sight.domain, rules, &record, reason)?;
        let told = revoker.told(&sight.domain, &record, reason);
        let waiting = self.waiting_withdrawals(&sight, &issued)?;
        let is_same = |it: &Logged| it.claims().reason.as_deref() == Some(told.as_str());
        let same = waiting.iter().find(|it| is_same(it));
        if let Some(first) = same.or_else(|| waiting.first().filter(|_| !shows_key)) {
            return Ok(Step::Wait { index: first.index(), is_same: same.is_some(), home: Arc::clone(&hosted) });
        }
        let key = self.key_that_issued(&sight, &issued)?;
        let claims =
            Claims { supersedes: vec![issued.id()], reason: Some(told), ..claims_of(domain, Act::Withdrawal)? };
        self.statement(&sight, &key, &said.about, claims).map(|statement| Step::Append(Box::new(statement)))
    }

    /// Withdrawals of a certificate that are in the log but not shown yet. The record does not include them, so
    /// repeated attempts while the witnesses are unavailable would use up the issuer's quota for the thing.
    fn waiting_withdrawals(&self, sight: &Sight<'_>, issued: &Logged) -> Result<Vec<Logged>, AppError> {
        let number = sight.hosted.number;
        let unshown = sight.seal.size..self.store().head(number)?.size;
        if unshown.is_empty() {
            return Ok(Vec::new());
        }
        let about = keys(&[Posting::Subject(issued.subject_id()), Posting::Act(Act::Withdrawal)]);
        let positions = self.store().all_positions(number, &about, unshown, limits::RECORD_STATEMENTS)?;
        let mut waiting = Vec::new();
        for entry in self.store().entries_at(number, &positions)? {
            waiting.extend(restore(&sight.domain, &entry)?);
        }
        let takes_back = |it: &Logged| {
            it.claims().act == Act::Withdrawal && !it.is_refused() && it.claims().supersedes.contains(&issued.id())
        };
        waiting.retain(takes_back);
        Ok(waiting)
    }

    /// The key that issued a certificate, matched by its signer in the log.
    fn key_that_issued(&self, sight: &Sight<'_>, issued: &Logged) -> Result<IssuerKey, CertifyError> {
        let compromised = sight.domain.descriptor().compromised_from(&issued.signer(), sight.domain.name());
        if compromised.is_some_and(|from| from <= sight.domain.size()) {
            return Err(CertifyError::IssuerCompromised(issued.signer()));
        }
        let signs = |key: &IssuerKey| {
            let signer = sight.domain.signer(&key.signer.public_key().fingerprint());
            signer.is_ok_and(|certificate| certificate.primary() == issued.signer())
        };
        let key = self.0.keys.issuers.iter().find(|key| key.answers_by.is_none() && signs(key));
        key.cloned().ok_or_else(|| CertifyError::IssuerAway(issued.signer()))
    }
}
