//! CMP (RFC 9810, in the profile of RFC 9483): certificates are requested and revoked by messages that are signed
//! themselves, whatever transports them. As with EST, what counts is the key that signs a message: the record says
//! whose it is, or it is a signer's. Alternatively the registrar's token protects the message.

mod tell;
mod tries;
mod unconfirmed;

use std::collections::BTreeSet;
use std::sync::Arc;

use der::Decode as _;
use ics_core::identity::{Fingerprint, IdentityId, excerpt};
use ics_core::limits;
use ics_core::name::Name;
use ics_core::record::Logged;
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use sha2::{Digest as _, Sha256, Sha384};
use x509_cert::Certificate;

pub(in crate::app) use self::tries::Tries;
pub(in crate::app) use self::unconfirmed::InVain;
use self::unconfirmed::awaited;
use super::by_key::Applicant;
use super::certify::{CertifyError, CertifyFault, Issued, IssuerKey, Requester, Revoker};
use crate::api::DEFAULT_PROFILE;
use crate::api::problem::Code;
use crate::app::answer::read::Sight;
use crate::app::{App, AppError, Asker, random};
use crate::cmp::{
    Answer, Confirmation, Enrolment, Failure, FailureInfo, Header, Message, Named, Party, Protection, Protector, Reply,
    Request, Revocation, Told, Waiting,
};
use crate::tls::KeyPin;
use crate::x509::{Authority, Reason, RequestError, SerialNumber, State, Wanted, oid, sha256};

/// The context of a message: where it was sent, and by whom.
#[derive(Debug)]
pub struct CmpRequest {
    /// The domain.
    pub domain: DomainName,
    /// The profile named in the path; see [`Header::profile`].
    pub profile: Option<String>,
    /// The issuer, if another one than the present one is wanted.
    pub issuer: Option<String>,
    /// The connected client; limits what is signed for strangers.
    pub asker: Asker,
}

impl CmpRequest {
    /// The profile of the requested certificates. The path is not covered by a signature, so the message's own profile
    /// decides if it names one; a path that names another is a mistake, or was changed on the way.
    fn profile(&self, header: &Header) -> Result<String, Failure> {
        match (header.profile()?, &self.profile) {
            (Some(named), Some(path)) if named != *path => {
                let (named, path) = (excerpt(&named), excerpt(path));
                let text = format!(
                    "the message asks for the profile `{named}` (certProfile), but its path asks for `{path}`: name it \
                     in one place"
                );
                Err(Failure::new(FailureInfo::BadRequest, text))
            }
            (Some(named), _) => Ok(named),
            (None, path) => Ok(path.clone().unwrap_or_else(|| DEFAULT_PROFILE.to_owned())),
        }
    }
}

/// The outcome of a request, with what is needed to answer it.
enum Outcome {
    Issued {
        asked: Box<Enrolment>,
        issued: Box<Issued>,
        is_confirmed: bool,
        waits_until: Option<Timestamp>,
    },
    Revoked,
    /// Whether this confirmation is the first.
    Confirmed {
        is_new: bool,
    },
    Told(Told),
}

impl App {
    /// Answers a CMP message with another one, as DER.
    ///
    /// # Errors
    /// When no answer is possible: the domain issues no certificates here, or this is not a message. All other errors
    /// are part of the answer.
    pub async fn cmp(&self, asked: &CmpRequest, der: &[u8]) -> Result<Vec<u8>, AppError> {
        let message = Message::parse(der).map_err(|failure| AppError::new(Code::BadCsr, failure.text))?;
        let message = message.of_known(|transaction| self.0.cmp.key_of(transaction, self.clock().now()));
        // An issuer signs the answer, so nothing is done before it is clear that one can.
        let answerer = self.cmp_answerer(&asked.domain)?;
        let nonce = random()?;
        let (sender, outcome) = match self.cmp_protection(asked.asker, &message) {
            Ok(sender) => (sender, self.cmp_outcome(asked, &message, sender, nonce).await),
            Err(failure) => (Protection::None, Err(failure)),
        };
        self.cmp_reply((asked, &answerer), &message, (sender, nonce), &outcome)
    }

    /// Who signs the answers: the present issuer, or a former one if that one's key is not here or its certificate has
    /// not begun, which no client would accept. The owners may name the next issuer before it can issue, and what was
    /// issued until then is confirmed and revoked all the same, unless the former key is declared compromised: anybody
    /// may sign with that.
    fn cmp_answerer(&self, domain: &DomainName) -> Result<(Arc<Authority>, IssuerKey), AppError> {
        let hosted = self.hosted(domain)?;
        let sight = self.issues_here(&hosted)?;
        let error = match self.issuing(&sight) {
            Ok(issuing) => return Ok((issuing.authority, issuing.key)),
            Err(error) => error,
        };
        let now = self.clock().now();
        let may = |authority: &Authority| authority.not_before <= now && !self.is_stolen(&sight.domain, authority);
        let mut here = self.authorities_here(&sight).into_iter();
        here.find(|(authority, _)| may(authority)).ok_or_else(|| error.into())
    }

    /// Checks that the present issuer can issue: a former one may sign the answers, but issues nothing.
    fn cmp_issues(&self, domain: &DomainName) -> Result<(), Failure> {
        let hosted = self.hosted(domain).map_err(|error| failed(&error))?;
        let sight = self.issues_here(&hosted).map_err(refused)?;
        self.issuing(&sight).map(drop).map_err(|error| Failure::new(FailureInfo::SystemUnavail, error))
    }

    /// The message that reports the outcome of a request. It is protected by the secret if the request was, otherwise
    /// by the key of an issuer.
    fn cmp_reply(
        &self,
        (asked, (authority, key)): (&CmpRequest, &(Arc<Authority>, IssuerKey)),
        message: &Message<'_>,
        (sender, nonce): (Protection, [u8; 16]),
        outcome: &Result<Outcome, Failure>,
    ) -> Result<Vec<u8>, AppError> {
        // Anybody can make a key and be refused, so each client gets only a limited number of signatures on answers
        // that change nothing; an unsigned refusal counts for less but is still a refusal.
        let changes =
            matches!(outcome, Ok(Outcome::Issued { .. } | Outcome::Revoked | Outcome::Confirmed { is_new: true }));
        let protector = match (sender, &self.0.operator_token) {
            (Protection::Secret, Some(token)) => Protector::Secret(token.as_bytes()),
            _ if changes || self.may_sign_for(asked.asker) => {
                Protector::Key { signer: &*key.signer, key_id: &authority.key_id }
            }
            _ => Protector::None,
        };
        let chain = beside(authority, outcome);
        let answer = match outcome {
            Ok(Outcome::Issued { asked, issued, is_confirmed, waits_until }) => Answer::Issued {
                asked,
                certificate: &issued.certificate,
                is_as_asked: is_as_asked(asked, issued),
                is_confirmed: *is_confirmed,
                waits_until: *waits_until,
            },
            Ok(Outcome::Revoked) => Answer::Revoked,
            Ok(Outcome::Confirmed { .. }) => Answer::Confirmed,
            Ok(Outcome::Told(told)) => Answer::Told(told),
            Err(failure) => Answer::Refused(failure.clone()),
        };
        let (to, from, now) = (message, &authority.name, self.clock().now());
        let reply = Reply { to, from, answer, chain: &chain, nonce, now };
        reply.to_der(&protector).map_err(|error| AppError::Internal(error.to_string()))
    }

    async fn cmp_outcome(
        &self,
        asked: &CmpRequest,
        message: &Message<'_>,
        sender: Protection,
        nonce: [u8; 16],
    ) -> Result<Outcome, Failure> {
        let (header, now) = (&message.header, self.clock().now());
        header.check(now)?;
        let (party, transaction) = (sender.party(), header.transaction());
        match Request::of(message)? {
            // What anybody may know needs no authentication.
            Request::Question(question) => self.cmp_tell(asked, header, question).await.map(Outcome::Told),
            _ if sender == Protection::None => {
                let text = "the message is not protected: sign it with a key that a record names or with a signer's \
                            key, and send the certificate along, or protect it with the registrar's token";
                Err(Failure::new(FailureInfo::BadMessageCheck, text))
            }
            Request::Confirmation(said) => self.cmp_confirm(&asked.domain, message, sender, said.as_ref()).await,
            // A client that could not read our answer does not accept the certificate in it. The error is acknowledged
            // even if no certificate is waiting, or no longer (RFC 9810, 5.3.21).
            Request::Error if self.0.cmp.is_waiting(party, transaction, now) => {
                self.cmp_confirm(&asked.domain, message, sender, None).await
            }
            Request::Error => Ok(Outcome::Confirmed { is_new: false }),
            Request::Enrolment(enrolment) => self.cmp_enrol(asked, message, (sender, nonce), enrolment).await,
            Request::Revocation(revocation) => self.cmp_revoke(&asked.domain, message, sender, &revocation).await,
        }
    }

    async fn cmp_enrol(
        &self,
        asked: &CmpRequest,
        message: &Message<'_>,
        (sender, nonce): (Protection, [u8; 16]),
        enrolment: Box<Enrolment>,
    ) -> Result<Outcome, Failure> {
        let domain = &asked.domain;
        self.cmp_issues(domain)?;
        let requester = match sender {
            Protection::Key(key) => self.requester_by(domain, key).map_err(refused)?,
            _ => Requester::Operator,
        };
        // What is refused counts as well.
        let until = self.cmp_begin(domain, message, sender, requester)?;
        let outcome = self.cmp_issue(asked, message, (sender, nonce), (requester, until), enrolment).await;
        self.cmp_noting(domain, message, (sender, until), outcome).await
    }

    /// Issues what is asked for in a transaction that has begun.
    async fn cmp_issue(
        &self,
        asked: &CmpRequest,
        message: &Message<'_>,
        (sender, nonce): (Protection, [u8; 16]),
        (requester, until): (Requester, Timestamp),
        enrolment: Box<Enrolment>,
    ) -> Result<Outcome, Failure> {
        let (domain, csr) = (&asked.domain, &enrolment.csr);
        let profile = asked.profile(&message.header)?;
        let (proven, meant) = match sender {
            Protection::Key(key) => (Some(key), self.asked_for(domain, (requester, key), csr)),
            _ => {
                let named = String::from_utf8_lossy(message.header.reference());
                (None, self.meant_by_registrar(domain, &named, csr))
            }
        };
        let identity = meant.map_err(refused)?;
        if let Some(old) = &enrolment.updates {
            // A signer who asks on behalf of a thing has another key than the thing.
            let own = proven.filter(|_| matches!(requester, Requester::Identity(_)));
            self.check_update(domain, &identity, own, old).map_err(refused)?;
        }
        let (profile, issuer) = (profile.as_str(), asked.issuer.as_deref());
        let applicant = Applicant { domain, profile, issuer, proven, requester, identity };
        let unlogged = self.sign_for(&applicant, csr).map_err(refused)?;
        let (waiting, unconfirmed) = awaited(message, (sender, nonce), until, (enrolment.as_ref(), unlogged.issued()))?;
        let is_confirmed = unconfirmed.is_confirmed;
        let issued = self.log_certificate(domain, unlogged.unconfirmed(unconfirmed)).await.map_err(refused)?;
        let (party, transaction) = (sender.party(), message.header.transaction());
        let waits_until = if is_confirmed { None } else { self.0.cmp.wait(party, transaction, waiting) };
        Ok(Outcome::Issued { asked: enrolment, issued: Box::new(issued), is_confirmed, waits_until })
    }

    /// Begins a transaction of a known requester; returns until when it is remembered. Nothing is remembered about
    /// strangers, who could use up the room.
    fn cmp_begin(
        &self,
        domain: &DomainName,
        message: &Message<'_>,
        sender: Protection,
        requester: Requester,
    ) -> Result<Timestamp, Failure> {
        let share = match requester {
            Requester::Identity(id) => (Party(sha256(id.to_string().as_bytes())), limits::CMP_TRANSACTIONS_OF_ONE),
            Requester::Signer(signer) => (Party(sha256(signer.as_bytes())), self.cmp_share(domain, &signer)?),
            Requester::Operator => (Party::REGISTRAR, limits::CMP_TRANSACTIONS),
        };
        let (party, transaction) = (sender.party(), message.header.transaction());
        let until = self.0.cmp.begin(party, transaction, share, self.clock().now())?;
        if matches!(sender, Protection::Key(_))
            && let Some(key) = message.key()?
        {
            self.0.cmp.know(party, transaction, key);
        }
        Ok(until)
    }

    /// How many transactions a signer may have begun lately.
    fn cmp_share(&self, domain: &DomainName, signer: &Fingerprint) -> Result<usize, Failure> {
        let is_named = self.is_named_signer(domain, signer).map_err(|error| failed(&error))?;
        Ok(if is_named { limits::CMP_TRANSACTIONS / 2 } else { limits::CMP_TRANSACTIONS_OF_ONE })
    }

    /// Checks that what is updated is a certificate of this thing that was issued here and is in force, and that the
    /// request comes with its key (RFC 9483, 4.1.3).
    fn check_update(
        &self,
        domain: &DomainName,
        id: &IdentityId,
        proven: Option<KeyPin>,
        old: &Named,
    ) -> Result<(), CertifyError> {
        let unknown = || CertifyError::UnknownCertificate(old.serial.to_string());
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let issued = self.issued_as(domain, &sight, old)?;
        let is_of_key = |key: KeyPin| issued.names().contains(&Name::Spki(*key.as_bytes()));
        if issued.subject_id() != *id || !proven.is_none_or(is_of_key) {
            return Err(unknown());
        }
        let known = self.resolve_again(&sight, id, &[])?.ok_or_else(unknown)?;
        let no = |text: &str| Err(CertifyError::Record(text.to_owned()));
        match State::of(&known.0, issued.index()) {
            State::Good => Ok(()),
            State::Revoked { reason: Reason::CertificateHold, .. } => no("the certificate to be updated is on hold"),
            State::Revoked { .. } => Err(CertifyError::AlreadyRevoked),
            State::Ended => no("the certificate to be updated has ended: ask for a new one (`ir`)"),
        }
    }

    /// The statement about a certificate that a message names by issuer and serial number.
    fn issued_as(&self, domain: &DomainName, sight: &Sight<'_>, named: &Named) -> Result<Logged, CertifyError> {
        let unknown = || CertifyError::UnknownCertificate(named.serial.to_string());
        if !self.authorities(domain)?.iter().any(|it| it.name == named.issuer) {
            return Err(unknown());
        }
        self.issued(sight, &named.serial)?.ok_or_else(unknown)
    }

    /// Revokes a certificate: for the holder of its key, for the thing that has it, for the registrar, or for a signer
    /// who may ask for such certificates or sets the thing's status. Such a status ends all certificates of the thing,
    /// whoever issued them.
    async fn cmp_revoke(
        &self,
        domain: &DomainName,
        message: &Message<'_>,
        sender: Protection,
        revocation: &Revocation,
    ) -> Result<Outcome, Failure> {
        let (revoker, requester) = self.cmp_revoker(domain, sender, &revocation.certificate).map_err(refused)?;
        let until = self.cmp_begin(domain, message, sender, requester)?;
        let serial = &revocation.certificate.serial;
        let revoked = self.revoke_certificate(domain, serial, revoker, revocation.reason).await;
        let outcome = revoked.map(|_| Outcome::Revoked).map_err(refused);
        self.cmp_noting(domain, message, (sender, until), outcome).await
    }

    /// How the requester of a revocation has proved the right to it, and who they are.
    fn cmp_revoker(
        &self,
        domain: &DomainName,
        sender: Protection,
        named: &Named,
    ) -> Result<(Revoker, Requester), CertifyError> {
        let hosted = self.hosted(domain)?;
        let issued = self.issued_as(domain, &self.sight(&hosted)?, named)?;
        let by = |requester| (Revoker::Requester(requester), requester);
        let Protection::Key(key) = sender else { return Ok(by(Requester::Operator)) };
        if issued.names().contains(&Name::Spki(*key.as_bytes())) {
            return Ok((Revoker::Key, Requester::Identity(issued.subject_id())));
        }
        let requester = self.requester_by(domain, key)?;
        if let Requester::Identity(id) = requester {
            self.check_shows(domain, &id, *key.as_bytes())?;
        }
        Ok(by(requester))
    }

    /// Handles what the holder of a certificate says about it.
    async fn cmp_confirm(
        &self,
        domain: &DomainName,
        message: &Message<'_>,
        sender: Protection,
        said: Option<&Confirmation>,
    ) -> Result<Outcome, Failure> {
        let (party, transaction) = (sender.party(), message.header.transaction());
        let (nonce, now) = (message.header.recipient_nonce(), self.clock().now());
        if self.0.cmp.is_heard(party, transaction, nonce, said, now) {
            return Ok(Outcome::Confirmed { is_new: false });
        }
        let waiting = self.0.cmp.confirm(party, transaction, nonce, now)?;
        let taken = waiting.is_taken(said);
        let ended = match &taken {
            Ok(true) => self.cmp_taken(domain, waiting.serial).await,
            // A client that names another algorithm or request has neither accepted nor rejected it yet.
            Err(failure) if matches!(failure.info, FailureInfo::BadAlg | FailureInfo::BadRequest) => {
                Err(failure.clone())
            }
            _ => self.cmp_not_taken(domain, &waiting).await,
        };
        if ended.is_err() {
            // The client may try again.
            self.0.cmp.wait(party, transaction, waiting);
        }
        ended.and(taken)?;
        self.0.cmp.hear(party, transaction, nonce, said.cloned());
        Ok(Outcome::Confirmed { is_new: true })
    }

    /// Revokes a certificate that its holder rejects.
    async fn cmp_not_taken(&self, domain: &DomainName, waiting: &Waiting) -> Result<(), Failure> {
        self.cmp_take_back(domain, &waiting.serial).await.map_err(refused)?;
        self.cmp_given_back(domain, waiting.serial).await
    }

    /// Revokes a certificate that was not taken, unless that has happened. Whoever got it on behalf of a thing gives it
    /// back as the thing would: the log must not name them as one who revoked another's certificate, nor its key be
    /// barred.
    async fn cmp_take_back(&self, domain: &DomainName, serial: &SerialNumber) -> Result<(), CertifyError> {
        let revoker = Revoker::Requester(self.holder_of_serial(domain, serial)?);
        match self.revoke_certificate(domain, serial, revoker, Reason::Unspecified).await {
            Ok(_) | Err(CertifyError::AlreadyRevoked) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The thing to which a certificate was issued.
    fn holder_of_serial(&self, domain: &DomainName, serial: &SerialNumber) -> Result<Requester, CertifyError> {
        let hosted = self.hosted(domain)?;
        let issued = self.issued(&self.sight(&hosted)?, serial)?;
        let issued = issued.ok_or_else(|| CertifyError::UnknownCertificate(serial.to_string()))?;
        Ok(Requester::Identity(issued.subject_id()))
    }
}

/// The certificates that accompany an answer: those of its signer, the signer's own first, and those above the issued
/// certificate, which may come from another issuer.
fn beside(authority: &Authority, outcome: &Result<Outcome, Failure>) -> Vec<Vec<u8>> {
    let mut all = below_root(&authority.chain).to_vec();
    if let Ok(Outcome::Issued { issued, .. }) = outcome {
        let above = below_root(&issued.authority.chain).iter().filter(|der| !authority.chain.contains(der));
        all.extend(above.cloned());
    }
    all
}

/// The certificates that go with a signature: a root is useless to a client that does not already have it (RFC 9483,
/// 3.3).
fn below_root(chain: &[Vec<u8>]) -> &[Vec<u8>] {
    match chain.split_last() {
        Some((_, below)) if !below.is_empty() => below,
        _ => chain,
    }
}

/// Whether a certificate is in all respects as it was requested.
fn is_as_asked(asked: &Enrolment, issued: &Issued) -> bool {
    let Ok(certificate) = Certificate::from_der(&issued.certificate) else { return false };
    let made = certificate.tbs_certificate;
    let is_called_so = asked.csr.subject.is_empty() || made.subject == asked.csr.subject;
    let is_by_whom = asked.issuer.as_ref().is_none_or(|issuer| made.issuer == *issuer);
    let wanted: BTreeSet<&Name> = asked.csr.wanted.iter().map(Wanted::name).collect();
    // The serial number is in it as well, whatever was requested.
    let has_these = wanted.is_empty() || issued.names.iter().eq(wanted);
    is_called_so && is_by_whom && has_these && !asked.csr.has_other_usage && !asked.asks_for_validity
}

/// The digest by which the holder names a certificate: with the algorithm of its signature (RFC 9810, 5.3.18).
fn digest(certificate: &[u8]) -> Result<Vec<u8>, Failure> {
    let read = Certificate::from_der(certificate);
    let read = read.map_err(|error| refused(AppError::Internal(error.to_string()).into()))?;
    Ok(match read.signature_algorithm.oid {
        oid::ECDSA_SHA384 => Sha384::digest(certificate).to_vec(),
        _ => Sha256::digest(certificate).to_vec(),
    })
}

/// Why nothing was issued or revoked, in CMP's terms.
fn refused(error: CertifyError) -> Failure {
    let info = match error.fault() {
        CertifyFault::Request => match error {
            CertifyError::Request(RequestError::Signature) => FailureInfo::BadPop,
            _ => FailureInfo::BadCertTemplate,
        },
        CertifyFault::Key | CertifyFault::Name => FailureInfo::BadCertTemplate,
        // Nobody would be entitled to it: there is no such profile (RFC 9810, 5.2.3).
        CertifyFault::Denied if matches!(error, CertifyError::UnknownProfile { .. }) => FailureInfo::BadRequest,
        CertifyFault::Denied => FailureInfo::NotAuthorized,
        CertifyFault::Reason => FailureInfo::BadRequest,
        CertifyFault::Already => FailureInfo::CertRevoked,
        CertifyFault::Unknown => FailureInfo::BadCertId,
        CertifyFault::Unproven => FailureInfo::SignerNotTrusted,
        CertifyFault::Node => return failed(&error.into()),
    };
    Failure::new(info, error)
}

/// The node's own failures are not the requester's business: the node's log has them.
fn failed(error: &AppError) -> Failure {
    if error.is_internal() {
        tracing::error!(%error, "a message of CMP was not answered");
        return Failure::new(FailureInfo::SystemFailure, "the node failed; its log says why");
    }
    Failure::new(FailureInfo::SystemUnavail, error.problem().detail)
}
