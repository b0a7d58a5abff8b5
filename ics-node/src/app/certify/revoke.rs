//! Certificates that are taken back, and what that keeps from being issued again. All of it is read from the log, so it
//! holds at every door alike.

use std::fmt;

use ics_core::descriptor::CertificateProfile;
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::{Listed, Posting, Record, Standing};
use ics_core::statement::Claims;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName, Effect};

use super::{CertifyError, ForLog, Issuing, Requester, roles_to_ask, sets_status};
use crate::app::entries::find_logged;
use crate::app::{App, AppError};
use crate::x509::{Reason, SerialNumber, State, is_key_compromised, sha256};

/// What stands between a reason and who asked for it.
const ASKED: &str = "; asked by ";
/// Who asks because he may have certificates for the names.
const NAMES: &str = "who may have its names";

/// How somebody who wants a certificate revoked has shown that he may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoker {
    /// He has proved to hold the certificate's key.
    Key,
    /// He speaks for the thing, or about it.
    Requester(Requester),
    /// He may have certificates for all names that stand in it, though he did not get this one.
    Names,
}

impl Revoker {
    /// The reason as the log says it: whoever asks for what is not his is named, so that the log is the one audit trail.
    fn told(self, reason: Reason) -> String {
        match self {
            Self::Names => format!("{reason}{ASKED}{NAMES}"),
            Self::Requester(Requester::Signer(signer)) => format!("{reason}{ASKED}{signer}"),
            Self::Key | Self::Requester(Requester::Identity(_) | Requester::Operator) => reason.to_string(),
        }
    }
}

/// That a certificate was taken back because somebody asked for it whose it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) struct TakenBack<'r> {
    /// The index of the statement by which it was issued.
    pub(in crate::app) issued: u64,
    at: Timestamp,
    reason: &'r str,
    asked_by: &'r str,
}

impl<'r> TakenBack<'r> {
    /// Those of a thing.
    pub(in crate::app) fn all(record: &'r Record) -> impl Iterator<Item = Self> {
        let ended = record.statements.iter().filter(|it| it.act == Act::Issued && it.standing == Standing::Withdrawn);
        ended.filter_map(|issued| {
            let end = record.statements.iter().find(|it| Some(it.by.statement) == issued.ended_by)?;
            let (reason, asked_by) = end.reason.as_deref()?.split_once(ASKED)?;
            Some(Self { issued: issued.by.index, at: end.admitted_at, reason, asked_by })
        })
    }

    /// Whether nobody has lifted it: its key gets no certificate then, nor does the account that got it for its names.
    pub(in crate::app) fn stands(&self, record: &Record) -> bool {
        !is_permitted_since(record, self.at)
    }

    /// Whether the thing gets none now, whatever its key: a signer has said that it shall not.
    pub(super) fn bars_thing(&self, record: &Record) -> bool {
        self.asked_by != NAMES && self.stands(record)
    }

    /// Why, and on whose word.
    pub(in crate::app) fn why(&self) -> String {
        let Self { reason, asked_by, .. } = self;
        format!("({reason}) on behalf of the thing by {asked_by}")
    }
}

impl fmt::Display for TakenBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a certificate was revoked {}; a newer status that permits lifts it", self.why())
    }
}

/// Whether nothing blocks the thing, and after a time somebody who sets its status has said that it may be used.
pub(in crate::app) fn is_permitted_since(record: &Record, since: Timestamp) -> bool {
    let lifts = |it: &Listed| {
        it.act == Act::Status && it.standing == Standing::Stands && it.admitted_at > since && sets_status(&it.by.role)
    };
    record.effect() == Effect::Permits && record.statements.iter().any(lifts)
}

impl App {
    /// Revokes a certificate by taking back the statement about it: for good. For a while, a status does that.
    ///
    /// # Errors
    /// When there is no such certificate, it is revoked already, or he may not revoke it for this reason.
    pub async fn revoke_certificate(
        &self,
        domain: &DomainName,
        serial: &SerialNumber,
        revoker: Revoker,
        reason: Reason,
    ) -> Result<u64, CertifyError> {
        let index = self.log(self.revocation(domain, serial, revoker, reason)?).await?;
        tracing::info!(%domain, %serial, %reason, index, "a certificate was revoked");
        Ok(index)
    }

    /// Whether a key shows no longer who has it: a certificate of it was taken back because others have it.
    pub(in crate::app) fn is_given_up(&self, domain: &DomainName, spki: &[u8]) -> Result<bool, AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let posting = Posting::Name(Name::Spki(sha256(spki)));
        let naming = find_logged(&sight.entries, &sight.domain, &posting, limits::RECORD_STATEMENTS)?;
        for issued in naming.iter().filter(|it| it.claims().act == Act::Issued && !it.is_refused()) {
            let known = self.resolve(&sight, &issued.subject_id())?;
            if known.is_some_and(|(record, _)| is_key_compromised(&record, issued.index())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The statement that takes a certificate back.
    fn revocation(
        &self,
        domain: &DomainName,
        serial: &SerialNumber,
        revoker: Revoker,
        reason: Reason,
    ) -> Result<ForLog, CertifyError> {
        let hosted = self.hosted(domain)?;
        let issuing = self.issuing(&hosted)?;
        let issued = self.issued(&issuing.sight, serial)?;
        let unknown = || CertifyError::UnknownCertificate(serial.to_string());
        let issued = issued.ok_or_else(unknown)?;
        let (record, said) = self.resolve(&issuing.sight, &issued.subject_id())?.ok_or_else(unknown)?;
        let is_held = |state| matches!(state, State::Revoked { reason: Reason::CertificateHold, .. });
        let shows_key = revoker == Revoker::Key && reason == Reason::KeyCompromise;
        match State::of(&record, issued.index()) {
            State::Good => {}
            state if is_held(state) => {}
            // Who shows the key says something new, whatever was said before.
            State::Revoked { .. } if shows_key && !is_key_compromised(&record, issued.index()) => {}
            State::Revoked { .. } | State::Ended => return Err(CertifyError::AlreadyRevoked),
        }
        issuing.check_revoker(&record, revoker, reason)?;
        let claims = Claims {
            supersedes: vec![issued.id()],
            reason: Some(revoker.told(reason)),
            ..issuing.claims(Act::Withdrawal)?
        };
        self.statement(&issuing, &said.about, claims)
    }
}

impl Issuing<'_> {
    /// Who may revoke, and for which reasons: whoever holds the key may say that it is compromised, the thing and those
    /// who may ask for its certificates all others, an owner or a security controller only those that say nothing of the
    /// key.
    fn check_revoker(&self, record: &Record, revoker: Revoker, reason: Reason) -> Result<(), CertifyError> {
        let permitted = match revoker {
            Revoker::Names => reason.is_for_others(),
            Revoker::Key => reason.is_for_holder() || reason == Reason::KeyCompromise,
            Revoker::Requester(Requester::Identity(id)) if id == record.identity.id => reason.is_for_holder(),
            Revoker::Requester(Requester::Operator) => reason.is_for_holder(),
            Revoker::Requester(Requester::Identity(_)) => return Err(CertifyError::Requester),
            Revoker::Requester(Requester::Signer(signer)) => {
                let roles = roles_to_ask(&self.sight.domain, record, &signer);
                let asks = |profile: &CertificateProfile| !roles.is_disjoint(&profile.requesters);
                if self.rules.profiles.values().any(asks) {
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
