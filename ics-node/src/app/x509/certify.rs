//! Issues X.509 certificates to what the record knows, and revokes them. Every interface (ACME, EST, CMP, the command
//! line) goes through here.
//!
//! What is fixed:
//!
//! - [`App::certify`] issues: the caller says who asks ([`Requester`], whom it has authenticated) and for which
//!   identity; the record, the descriptor's profile and the issuer's own certificate decide whether and what.
//! - A certificate leaves this function only once a statement of act `issued` stands in the domain's log, signed by the
//!   key that signed the certificate, in the role `issuer`. It adds three names to the record: the serial number
//!   (`serial:` and 40 hex digits), the digest of the key (`spki:`) and that of the certificate (`cert:`); `from` and
//!   `until` are its validity, its reason is the name of the profile. So any of the names finds the thing, and what was
//!   issued, to whom and as what is read from the log alone. If the domain demands witnesses, they have cosigned it.
//!   The log does not say for which hosts and uses it is, since nobody could remove that from its copies: this node
//!   keeps it beside its entry ([`Certified`]).
//! - The log refuses `issued` about anything that a status blocks, judged at the place where the entry would stand: no
//!   interface and no race gets around that.
//! - A certificate is revoked by what the log says: a status that blocks the thing, or a withdrawal of its `issued`
//!   statement ([`App::revoke_certificate`]) whose `reason` is a name of RFC 5280 (`keyCompromise`). Nothing else is
//!   stored. The withdrawal is signed by the key that issued the certificate, whether that of the present issuer or of
//!   a former one: the log accepts it from nobody else.
//! - An OCSP responder speaks for the issuer, so only the operator, or a signer in a role that the profile names, can
//!   ask for such a certificate, and no thing gets one for itself. It comes from the authority for which its holder is
//!   to answer (RFC 6960, 4.2.2.2), so a former authority still issues such certificates, and no others.
//! - A key that was withdrawn as compromised, or that belongs to another identity, gets no certificate again, and with
//!   the first certificate all others of the key are revoked.
//! - If a request looked at the record before somebody had another certificate revoked and is logged after, its
//!   certificate is on hold from the beginning: no lock is needed between the look and the entry.
//! - Somebody who has another's certificate revoked is named in the reason (`privilegeWithdrawn; asked by …`). Then its
//!   key gets no other certificate; and if a signer who sets the thing's status asked, neither does the thing, through
//!   any interface, until a newer status that permits lifts it.
//! - [`CertifyError::fault`] says whose fault an error is, so that each face can express it in its protocol.

mod error;
mod issuing;
mod kinds;
mod log;
mod revoke;
mod room;
mod speaks;

use std::collections::BTreeSet;
use std::sync::Arc;

use ics_core::descriptor::{CertificateProfile, Certificates, ISSUER_ROLE};
use ics_core::identity::{Fingerprint, IdentityId, excerpt};
use ics_core::name::{Lookup, Name};
use ics_core::openpgp::signer::Signer;
use ics_core::record::{Logged, Record};
use ics_core::statement::Claims;
use ics_core::time::Timestamp;
use ics_core::vocabulary::{Act, DomainName, ProfileName, Role};

pub use self::error::{CertifyError, CertifyFault};
pub(super) use self::issuing::{Issuing, roles_to_ask};
use self::log::ForLog;
pub use self::revoke::Revoker;
pub(in crate::app) use self::room::check_room;
pub(super) use self::speaks::bar;
use super::acme::Acme;
use super::responders::ResponderCertificate;
use crate::app::answer::read::Sight;
use crate::app::answer::resolved::check_whole;
use crate::app::challenge::key_among;
use crate::app::hosted::Hosted;
use crate::app::{App, AppError, random};
use crate::store::{Certified, Part, Unconfirmed, Word};
use crate::x509::{
    Authority, AuthorityError, Csr, LeafError, Reason, SerialNumber, State, TakenBack, Wanted, is_key_compromised,
    issuer_id, sha256,
};

/// Why a key that was certified by a stolen issuer key gets no certificate.
const BY_THIEF: &str = "an issuer that is declared compromised has issued a certificate for it, and it is not the \
                        thing's own key, so whoever had the issuer's key may have chosen it; make a new key, and ask \
                        with that";

/// Why a key that others have, or had, gets no certificate.
const GIVEN_UP: &str = "it was given up as compromised, and stays so even if the owners lift that: make a new key, and \
                        ask with that; if it is the thing's own, `ics replace` gives the thing another";

/// A key that issues certificates for a domain, and its OpenPGP certificate, by which the log knows it.
#[derive(Clone)]
pub struct IssuerKey {
    /// The key.
    pub signer: Arc<dyn Signer + Send + Sync>,
    /// Its OpenPGP certificate, in canonical form.
    pub certificate: Arc<[u8]>,
    /// The X.509 certificate with which it answers OCSP on behalf of an issuer whose key is elsewhere.
    pub answers_by: Option<Arc<ResponderCertificate>>,
}

/// On whose behalf a request is made. The face has authenticated the requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// The thing itself: it has proved to hold a key that the record gives it.
    Identity(IdentityId),
    /// A signer, by primary fingerprint: the profile names the roles over the thing in which a signer may ask.
    Signer(Fingerprint),
    /// The node's operator, as a registrar who knows the thing by other means.
    Operator,
}

/// An application for a certificate.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// The domain whose record is asked, and whose issuer signs.
    pub domain: &'a DomainName,
    /// Who asks.
    pub requester: Requester,
    /// For which thing.
    pub identity: IdentityId,
    /// The profile of the certificate.
    pub profile: &'a ProfileName,
    /// Which of the domain's issuers signs, by its name in addresses ([`crate::x509::issuer_id`]); by default the
    /// present one. A former one certifies only OCSP responders for itself.
    pub issuer: Option<&'a str>,
}

/// A certificate that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, as DER.
    pub certificate: Vec<u8>,
    /// Its issuer, with those above it.
    pub authority: Arc<Authority>,
    /// Its serial number.
    pub serial: SerialNumber,
    /// The names in it.
    pub names: BTreeSet<Name>,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity; `None` if it has none.
    pub not_after: Option<Timestamp>,
    /// The index of its statement in the domain's log.
    pub index: u64,
}

impl Issued {
    /// The certificate, once its statement stands in the log.
    fn at(self, domain: &DomainName, index: u64) -> Self {
        tracing::info!(%domain, serial = %self.serial, index, "a certificate was issued");
        Self { index, ..self }
    }
}

/// A certificate that is signed but not yet in the log: nobody gets it before it is.
pub(super) struct Unlogged {
    for_log: ForLog,
    issued: Issued,
}

impl Unlogged {
    /// For a certificate that was requested by whoever controls a host, which may be somebody else tomorrow: it is good
    /// for that host, but its key does not show that the thing itself is asking.
    pub(super) fn of_place(mut self) -> Self {
        self.for_log.shows_nobody();
        self
    }

    /// For a certificate that was asked for with a key that is the thing's on the word of a signer: so is its own.
    pub(super) fn on_word(mut self, word: Option<Word>) -> Self {
        if let Some(word) = word {
            self.for_log.on_word(word);
        }
        self
    }

    /// For a certificate that is revoked unless its holder confirms it so, or need not.
    pub(super) fn unconfirmed(mut self, unconfirmed: Unconfirmed) -> Self {
        self.for_log.waits(unconfirmed);
        self
    }

    /// The certificate, whose place in the log is not known yet.
    pub(super) const fn issued(&self) -> &Issued {
        &self.issued
    }
}

impl App {
    /// Issues a certificate for a request (PKCS #10, DER), and names it in the record.
    ///
    /// # Errors
    /// When the request, the record, the descriptor or the issuer do not allow it, or the domain waits for its
    /// witnesses; nothing is stored then. Or when the witnesses become unavailable after that: then it is in the log,
    /// but nobody gets it.
    pub async fn certify(&self, application: &Application<'_>, csr: &[u8]) -> Result<Issued, CertifyError> {
        let unlogged = self.sign_request(application, &Csr::parse(csr)?)?;
        self.log_certificate(application.domain, unlogged).await
    }

    /// Signs what is applied for, and prepares what the log is to say about it.
    pub(super) fn sign_request(&self, application: &Application<'_>, csr: &Csr) -> Result<Unlogged, CertifyError> {
        let hosted = self.hosted(application.domain)?;
        let sight = self.issues_here(&hosted)?;
        let issuing = self.issuing_by(&sight, application.issuer)?;
        let known = self.known_of(&issuing, &application.identity)?;
        self.sign_known(&issuing, application, &known, |_| true, csr)
    }

    /// Signs a certificate when request and record are at hand, and prepares what the log is to say about it. `takes`
    /// says which of the names that the record gives the certificate may have.
    pub(super) fn sign_known(
        &self,
        issuing: &Issuing<'_>,
        application: &Application<'_>,
        known: &(Record, Vec<Logged>),
        takes: impl Fn(&Name) -> bool,
        csr: &Csr,
    ) -> Result<Unlogged, CertifyError> {
        let (record, about) = known;
        let profile = issuing.permits(record, application.requester, application.profile)?;
        check_room(about.len())?;
        self.check_key(issuing, csr, known)?;
        if let Requester::Identity(id) = application.requester {
            self.check_own_key(issuing.sight, &id, known)?;
        }
        let names = self.names_for(issuing.sight, known, takes)?;
        let given = issuing.given(profile, &application.identity, &names);
        let now = self.clock().now();
        let leaf = given.leaf(csr, SerialNumber::new(random()?), now).map_err(|error| match error {
            LeafError::Key(_) => issuing.refused_key(application, (record, &names), csr),
            error => error.into(),
        })?;
        self.check_serials(issuing.sight, (profile, csr), &leaf.names, known)?;
        let (serial, not_before, not_after) = (leaf.serial, leaf.not_before, leaf.not_after);
        let shows = issuing.shows(profile, application.requester);
        let word = match application.requester {
            Requester::Signer(signer) => Some(Word { signer, entry: None }),
            Requester::Identity(_) | Requester::Operator => None,
        };
        let (names, uses) = (leaf.names.clone(), leaf.uses.clone());
        let certified = Certified { names: names.clone(), uses, shows, word, unconfirmed: None };
        let certificate = leaf.sign(&*issuing.key.signer)?;
        let claims = Claims {
            names: vec![serial.name(), Name::Spki(sha256(&csr.spki)), Name::Certificate(sha256(&certificate))],
            from: Some(not_before),
            // The validity includes its last second.
            until: not_after.map(|at| at.plus_millis(1000)),
            reason: Some(application.profile.to_string()),
            ..claims_of(application.domain, Act::Issued)?
        };
        let for_log = self.statement(issuing.sight, &issuing.key, about, claims)?.naming(certified);
        let authority = Arc::clone(&issuing.authority);
        let issued = Issued { certificate, authority, serial, names, not_before, not_after, index: 0 };
        Ok(Unlogged { for_log, issued })
    }

    /// The names that a certificate may have, among those that it `takes`: those of the thing, but not those of its
    /// certificates. A host name or URN that another thing also has is left out; serial numbers are each maker's own,
    /// so two things may share one.
    pub(super) fn names_for(
        &self,
        sight: &Sight<'_>,
        (record, about): &(Record, Vec<Logged>),
        takes: impl Fn(&Name) -> bool,
    ) -> Result<BTreeSet<Name>, AppError> {
        let mut names = BTreeSet::new();
        for name in record.names.iter().map(|given| &given.value).filter(|name| takes(name)) {
            if !is_for_one(name) || self.means_only(sight, name, &record.identity.id, about)? {
                names.insert(name.clone());
            }
        }
        Ok(names)
    }

    /// Checks that no other thing has the serial number in a name that is to mean one thing only: a hardware module
    /// (RFC 4108, 5) or a permanent identifier (RFC 4043, 2). What else has it in its certificates has its id there,
    /// too.
    fn check_serials(
        &self,
        sight: &Sight<'_>,
        (profile, csr): (&CertificateProfile, &Csr),
        names: &BTreeSet<Name>,
        (record, about): &(Record, Vec<Logged>),
    ) -> Result<(), CertifyError> {
        let is_permanent = |wanted: &Wanted| matches!(wanted, Wanted::Permanent(Name::Serial(_)));
        if profile.hardware_type.is_none() && !csr.wanted.iter().any(is_permanent) {
            return Ok(());
        }
        for name in names.iter().filter(|name| matches!(name, Name::Serial(_))) {
            if !self.means_only(sight, name, &record.identity.id, about)? {
                return Err(LeafError::SharedSerial(name.clone()).into());
            }
        }
        Ok(())
    }

    /// The only identity of a domain that has all these names.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn named(&self, domain: &DomainName, names: &BTreeSet<Name>) -> Result<IdentityId, CertifyError> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let (mut common, mut unknown): (Option<BTreeSet<IdentityId>>, _) = (None, Vec::new());
        for name in names {
            let fitting = self.identities(&sight, &Lookup::Name(name.clone()))?;
            if fitting.is_empty() {
                unknown.push(name.to_string());
            }
            common = Some(match common {
                Some(common) => common.intersection(&fitting).copied().collect(),
                None => fitting,
            });
        }
        let mut ids = common.unwrap_or_default().into_iter();
        let told = || names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id),
            (None, _) if unknown.is_empty() => Err(CertifyError::Several(told())),
            (None, _) => Err(CertifyError::UnknownIdentity(unknown.join("`, `"))),
            (Some(_), Some(_)) => Err(CertifyError::Ambiguous(format!("`{}`", told()))),
        }
    }

    /// The identity of a domain whose record names this key (SHA-256 of a SubjectPublicKeyInfo), either its own key or
    /// that of a certificate that was issued to it and is in force.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn holder_of(&self, domain: &DomainName, spki: [u8; 32]) -> Result<IdentityId, CertifyError> {
        let (hosted, name) = (self.hosted(domain)?, Name::Spki(spki));
        let (sight, mut giving) = (self.sight(&hosted)?, Vec::new());
        let ever = self.ever_named(&sight, &name, &mut giving)?;
        // Usually only one was ever given it, and what it asks for rests on the same record.
        if let (Some(id), 1) = (ever.first(), ever.len())
            && let Some(known) = self.resolve_again(&sight, id, &giving)?
            && known.0.all_names().any(|it| *it == name)
        {
            return Ok(*id);
        }
        self.named(domain, &BTreeSet::from([name]))
    }

    /// The sight of a domain that is at home here: other nodes do not issue.
    pub(super) fn issues_here<'a>(&'a self, hosted: &'a Hosted) -> Result<Sight<'a>, CertifyError> {
        if hosted.part != Part::Home {
            return Err(no_issuer(hosted, "its home is another node".to_owned()));
        }
        Ok(self.sight(hosted)?)
    }

    /// Whether a domain is at home here and this node can issue for it now.
    pub(super) fn can_issue(&self, hosted: &Hosted) -> bool {
        let issues = || self.issues_here(hosted).is_ok_and(|sight| self.issuing(&sight).is_ok());
        self.check_open(hosted).is_ok() && issues()
    }

    /// The domain's present issuer, if it issues here.
    pub(super) fn issuing<'a>(&'a self, sight: &'a Sight<'a>) -> Result<Issuing<'a>, CertifyError> {
        self.issuing_by(sight, None)
    }

    /// As `issuing`, for one of its issuers, by its name in addresses.
    fn issuing_by<'a>(&'a self, sight: &'a Sight<'a>, named: Option<&str>) -> Result<Issuing<'a>, CertifyError> {
        let (hosted, rules) = (sight.hosted, rules_of(sight)?);
        let missing = |reason: String| CertifyError::IssuerNotReady { domain: hosted.name.clone(), reason };
        let first = rules.issuers.first();
        let first = first.ok_or_else(|| no_issuer(hosted, "its descriptor names no issuer".to_owned()))?;
        let first = self.authority(first).map_err(|error: AuthorityError| missing(error.to_string()))?;
        let authority = match named {
            None => Arc::clone(&first),
            Some(id) => self.authorities_of(&rules.issuers).find(|it| issuer_id(it) == id).ok_or_else(|| {
                let (id, domain) = (excerpt(id), &hosted.name);
                let why = format!("its descriptor names no issuer `{id}`; `/x509/{domain}` lists those that it names");
                no_issuer(hosted, why)
            })?,
        };
        // Nothing outlives its issuer, so there is nothing left that it could issue, however long a client waits.
        let now = self.clock().now();
        if authority.not_after <= now {
            let ends = authority.not_after;
            let why = format!(
                "the certificate of its authority, or one above it, ended at {ends}; `ics ca import` lets another issue"
            );
            return Err(no_issuer(hosted, why));
        }
        if authority.not_before > now {
            return Err(missing(LeafError::IssuerNotYet(authority.not_before).to_string()));
        }
        let key = self.issuer_key(&authority).ok_or_else(|| {
            missing("the key of its issuer is not at this node; `[node] issuers` in ics.toml names it".to_owned())
        })?;
        // The log takes nothing from it, and anybody may sign with it.
        if self.is_stolen(&sight.domain, &authority) {
            let text = "the key of its issuer is declared compromised; `ics ca import` lets another issue";
            return Err(missing(text.to_owned()));
        }
        let is_former = authority.spki != first.spki;
        Ok(Issuing { hosted, sight, rules, authority, is_former, key, now })
    }

    /// The key of an authority, if this node has it.
    pub(super) fn issuer_key(&self, authority: &Authority) -> Option<IssuerKey> {
        let is_its = |key: &&IssuerKey| {
            key.answers_by.is_none() && key.signer.public_key().to_spki_der().as_ref() == Some(&authority.spki)
        };
        self.0.keys.issuers.iter().find(is_its).cloned()
    }

    /// Whether certificates may now be made where others wait meanwhile: all issuers of this node sign quickly, and
    /// nobody who uses the file of what ACME remembers waits for the disk.
    pub(crate) fn certifies_at_once(&self) -> bool {
        self.0.keys.issuers.iter().all(|key| key.signer.is_quick()) && self.0.acme.as_ref().is_none_or(Acme::is_quick)
    }

    /// The record of a thing, and the statements about it. Nothing is issued by a record that is cut short.
    pub(super) fn known_of(
        &self,
        issuing: &Issuing<'_>,
        id: &IdentityId,
    ) -> Result<Arc<(Record, Vec<Logged>)>, CertifyError> {
        let unknown = || CertifyError::UnknownIdentity(id.to_string());
        let known = self.resolve_again(issuing.sight, id, &[])?.ok_or_else(unknown)?;
        check_whole(&known.0)?;
        Ok(known)
    }

    /// Refuses a key that somebody else has or had, whoever brings it.
    fn check_key(
        &self,
        issuing: &Issuing<'_>,
        csr: &Csr,
        (record, about): &(Record, Vec<Logged>),
    ) -> Result<(), CertifyError> {
        let (sight, id) = (issuing.sight, record.identity.id);
        if self.authorities_of(&issuing.rules.issuers).any(|authority| csr.spki == authority.spki) {
            return Err(CertifyError::Key("it is the issuer's own".to_owned()));
        }
        let naming = sight.naming_besides(Name::Spki(sha256(&csr.spki)), about)?;
        if naming.iter().any(|it| it.subject_id() != id && !it.is_refused()) {
            return Err(CertifyError::Key("it belongs to another identity".to_owned()));
        }
        for issued in naming.iter().filter(|it| it.subject_id() == id && it.claims().act == Act::Issued) {
            if is_key_compromised(record, issued.index()) {
                return Err(CertifyError::Key(GIVEN_UP.to_owned()));
            }
            let is_by_thief = |state| matches!(state, State::Revoked { reason: Reason::CaCompromise, .. });
            if is_by_thief(State::of(record, issued.index())) && !is_own_key(csr, about) {
                return Err(CertifyError::Key(BY_THIEF.to_owned()));
            }
            let mut ends = TakenBack::all(record).filter(|end| end.issued == issued.index());
            if let Some(end) = ends.find(|end| end.stands(record)) {
                return Err(CertifyError::Key(end.to_string()));
            }
        }
        Ok(())
    }

    /// The statement that names the certificate with this serial number.
    pub(in crate::app) fn issued(&self, sight: &Sight<'_>, serial: &SerialNumber) -> Result<Option<Logged>, AppError> {
        let naming = sight.naming(serial.name())?;
        Ok(naming.into_iter().find(|it| it.claims().act == Act::Issued && !it.is_refused()))
    }
}

/// Whether a name means one thing only: no certificate has one that two things have. Serial numbers are each maker's own.
pub(super) const fn is_for_one(name: &Name) -> bool {
    matches!(name, Name::Host(_) | Name::Urn(_))
}

fn no_issuer(hosted: &Hosted, reason: String) -> CertifyError {
    CertifyError::NoIssuer { domain: hosted.name.clone(), reason }
}

/// The rules by which a domain issues.
fn rules_of<'s>(sight: &'s Sight<'_>) -> Result<&'s Certificates, CertifyError> {
    let rules = sight.domain.descriptor().certificates.as_ref();
    rules.ok_or_else(|| no_issuer(sight.hosted, "its descriptor says nothing about certificates".to_owned()))
}

/// Whether it is the key that gives the thing its identity, according to the statements about the thing: no thief chose
/// that key, whoever has certified it.
fn is_own_key(csr: &Csr, about: &[Logged]) -> bool {
    key_among(about).and_then(|(key, _)| key.to_spki_der()).is_some_and(|own| own == csr.spki)
}

/// Claims in the role of an issuer.
fn claims_of(domain: &DomainName, act: Act) -> Result<Claims, CertifyError> {
    let role: Role = ISSUER_ROLE.parse().map_err(|_| AppError::Internal("the role of issuers".to_owned()))?;
    Ok(Claims::new(act, role, domain.clone()))
}
