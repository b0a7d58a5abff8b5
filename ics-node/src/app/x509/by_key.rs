//! Certificates for applicants who prove a key that a record names or that is a signer's, or who show the registrar's
//! token: for EST and CMP alike.

use std::collections::BTreeSet;

use ics_core::identity::{Fingerprint, IdentityId, excerpt};
use ics_core::name::{Lookup, Name};
use ics_core::openpgp::key::PublicKey;
use ics_core::vocabulary::{DomainName, ProfileName};

use super::certify::{Application, CertifyError, CertifyFault, Issued, Requester, Unlogged, roles_to_ask};
use crate::app::access::Reader;
use crate::app::challenge::key_among;
use crate::app::entries::subjects_of;
use crate::app::{App, AppError};
use crate::store::Word;
use crate::tls::KeyPin;
use crate::x509::{Csr, RequestError, Wanted, is_only_of_revoked, misnamed_of, sha256};

/// An applicant who has proved who they are, and what certificate they ask for.
pub(super) struct Applicant<'a> {
    pub(super) domain: &'a DomainName,
    pub(super) profile: &'a str,
    /// The issuer, if another one than the present one is wanted.
    pub(super) issuer: Option<&'a str>,
    /// The key by which the applicant has proved who they are.
    pub(super) proven: Option<KeyPin>,
    pub(super) requester: Requester,
    pub(super) identity: IdentityId,
}

impl App {
    /// Issues what an applicant asks for.
    ///
    /// # Errors
    /// When the applicant's key no longer proves anything, the request has another thing's name as subject, or as
    /// [`App::certify`].
    pub(super) async fn issue_to(&self, applicant: &Applicant<'_>, csr: &Csr) -> Result<Issued, CertifyError> {
        self.log_certificate(applicant.domain, self.sign_for(applicant, csr)?).await
    }

    /// Signs what an applicant asks for; it is not in the log yet.
    pub(super) fn sign_for(&self, applicant: &Applicant<'_>, csr: &Csr) -> Result<Unlogged, CertifyError> {
        let &Applicant { domain, profile, issuer, requester, identity, proven } = applicant;
        let unknown = || CertifyError::UnknownProfile { domain: domain.clone(), profile: excerpt(profile) };
        let profile: ProfileName = profile.parse().map_err(|_| unknown())?;
        // A key that others may have as well does not show who is asking.
        let word = match (requester, proven) {
            (Requester::Identity(_), Some(proven)) => self.check_shows(domain, &identity, *proven.as_bytes())?,
            _ => None,
        };
        self.check_subject(applicant, csr)?;
        let application = Application { domain, requester, identity, profile: &profile, issuer };
        Ok(self.sign_request(&application, csr)?.on_word(word))
    }

    /// Checks that a key still shows that this thing itself is asking; returns on whose word, if only a signer has said
    /// that the key is the thing's. The thing's own key needs nobody's word.
    pub(super) fn check_shows(
        &self,
        domain: &DomainName,
        id: &IdentityId,
        spki: [u8; 32],
    ) -> Result<Option<Word>, CertifyError> {
        let unproven = |text: &str| Err(CertifyError::Unproven(text.to_owned()));
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        // The certificate that is asked for rests on the same, and usually nothing else names the key.
        let known = self.resolve_again(&sight, id, &[])?;
        let about = known.as_ref().map(|known| known.1.as_slice()).unwrap_or_default();
        if self.is_given_up_besides(&sight, spki, about)? {
            return unproven("the key of the certificate shown was given up as compromised");
        }
        let Some(known) = &known else { return Ok(None) };
        let record = &known.0;
        let key = Name::Spki(spki);
        let misnamed = misnamed_of(record, &key, self.clock().now());
        if misnamed.is_empty() && is_only_of_revoked(record, &key) {
            return unproven(
                "the certificate shown was revoked for good, and no record names its key in another way: have a signer \
                 or the operator ask for a new one",
            );
        }
        // The first who named it: a thief may repeat what others have said.
        let naming = record.names.iter().filter(|given| given.value == key);
        let first = naming.min_by_key(|given| given.by.index);
        let own = key_among(about).and_then(|(own, _)| own.to_spki_der());
        if first.is_some() && own.is_some_and(|own| sha256(&own) == spki) {
            return Ok(None);
        }
        let mut word = first.map(|given| Word { signer: given.by.signer, entry: Some(given.by.index) });
        let mut thief = None;
        let in_force = record.certificates.iter().filter(|given| given.value.spki == key).map(|given| given.by.index);
        for index in in_force.chain(misnamed) {
            let certified = self.store().certified(hosted.number, index)?;
            let Some(certified) = certified.filter(|it| it.shows) else { continue };
            let Some(Word { signer, entry }) = certified.word else { return Ok(None) };
            let entry = entry.unwrap_or(index);
            let stolen_from = sight.domain.descriptor().compromised_from(&signer, domain);
            if stolen_from.is_none_or(|from| entry < from) {
                word = word.or(Some(Word { signer, entry: Some(entry) }));
            } else {
                thief = Some(signer);
            }
        }
        if word.is_some() {
            return Ok(word);
        }
        if let Some(signer) = thief {
            return unproven(&format!(
                "that the key of the certificate shown, or of one before it, is the thing's, only the signer {signer} \
                 has said, who is declared compromised, so whoever had the signer's key may have chosen it: here, show \
                 a key that the thing's record names, or have the registrar enrol the thing"
            ));
        }
        unproven(
            "the certificate shown was not obtained by the thing itself, the registrar or a signer of the domain, or \
             it is not known here that it was, so its key does not show that the thing comes. Renew it where it was \
             obtained (ACME); here, show a key that the thing's record names, or have the registrar enrol the thing",
        )
    }

    /// Checks the common names of a request that are not hosts. They may be anything, and none of them enters the
    /// certificate; but they must not name another thing than the one that shows itself (RFC 9483, 4.1), or the client
    /// takes the certificate for one of that thing. Things that the client may not read are ignored: a refusal would
    /// reveal them.
    fn check_subject(&self, applicant: &Applicant<'_>, csr: &Csr) -> Result<(), CertifyError> {
        let reader = match (applicant.requester, applicant.proven) {
            (Requester::Operator, _) => Reader::Operator,
            (_, Some(proven)) => Reader::Key(proven),
            (_, None) => Reader::Anonymous,
        };
        let hosted = self.hosted(applicant.domain)?;
        let sight = self.sight(&hosted)?;
        if !self.may_read_any(reader, &sight.domain) {
            return Ok(());
        }
        for text in &csr.called {
            let mut meant = BTreeSet::new();
            for lookup in meanings(text) {
                meant.extend(self.identities(&sight, &lookup)?);
            }
            if meant.contains(&applicant.identity) {
                continue;
            }
            for other in &meant {
                if self.readable(reader, &sight, other)?.is_some() {
                    return Err(CertifyError::Subject(excerpt(text)));
                }
            }
        }
        Ok(())
    }

    /// For which thing somebody asks who has proved a key: a thing for itself, a signer of the domain for the thing
    /// whose names are in the request.
    pub(super) fn asked_for(
        &self,
        domain: &DomainName,
        (requester, key): (Requester, KeyPin),
        csr: &Csr,
    ) -> Result<IdentityId, CertifyError> {
        match requester {
            Requester::Identity(id) => Ok(id),
            Requester::Signer(signer) => self.meant_by_signer(domain, (signer, key), csr),
            Requester::Operator => self.meant_by_registrar(domain, "", csr),
        }
    }

    /// Whether the descriptor names a signer, who then asks on behalf of many things. The log also has certificates of
    /// signers who were merely granted a role over one thing: they may ask no more often than a thing may.
    pub(super) fn is_named_signer(&self, domain: &DomainName, signer: &Fingerprint) -> Result<bool, AppError> {
        let hosted = self.hosted(domain)?;
        let said = self.sight(&hosted)?.domain;
        Ok(!said.descriptor().roles_of(signer).is_empty())
    }

    /// Who proves themselves with a key: the thing that has it or, if no record names it, a signer of the domain.
    pub(super) fn requester_by(&self, domain: &DomainName, key: KeyPin) -> Result<Requester, CertifyError> {
        let spki = *key.as_bytes();
        let error = match self.holder_of(domain, spki) {
            Ok(id) => return Ok(Requester::Identity(id)),
            Err(error) => error,
        };
        if matches!(error, CertifyError::UnknownIdentity(_)) {
            if let Some(why) = self.barred_by_key(domain, spki)? {
                return Err(CertifyError::Record(why));
            }
            if let Some(id) = self.misnamed_with(domain, spki)? {
                return Ok(Requester::Identity(id));
            }
            if let Some(signer) = self.signer_with(domain, spki)? {
                return Ok(Requester::Signer(signer));
            }
        }
        Err(shows_nobody(error))
    }

    /// The only thing that was ever said to have this key, given by its digest, if a certificate for it was revoked for
    /// no other reason than that a name in it has become another thing's.
    fn misnamed_with(&self, domain: &DomainName, spki: [u8; 32]) -> Result<Option<IdentityId>, CertifyError> {
        let hosted = self.hosted(domain)?;
        let (sight, key) = (self.sight(&hosted)?, Name::Spki(spki));
        let naming = sight.naming(key.clone())?;
        let mut subjects = subjects_of(&naming).into_iter();
        let (Some(id), None) = (subjects.next(), subjects.next()) else { return Ok(None) };
        let known = self.resolve_again(&sight, &id, &naming)?;
        let has_one = known.is_some_and(|known| !misnamed_of(&known.0, &key, self.clock().now()).is_empty());
        Ok(has_one.then_some(id))
    }

    /// The signer of the domain who has this key, given by its digest, if it may sign now and was not given up.
    fn signer_with(&self, domain: &DomainName, spki: [u8; 32]) -> Result<Option<Fingerprint>, CertifyError> {
        if self.is_given_up(domain, spki)? {
            return Ok(None);
        }
        let hosted = self.hosted(domain)?;
        let (said, now) = (self.sight(&hosted)?.domain, self.clock().now());
        let is_it = |key: &PublicKey| key.to_spki_der().is_some_and(|der| sha256(&der) == spki);
        // Anybody may show any key, so only the certificates that have this one are looked at.
        let has_it = |primary: &Fingerprint| {
            let may_sign = said.certificate(primary).is_some_and(|(_, it)| it.signing_keys(now).any(is_it));
            may_sign && !said.is_key_compromised(primary)
        };
        Ok(hosted.keyring.with(&said, &spki).into_iter().find(has_it))
    }

    /// The thing that a signer means: the only one that has all the names in the request. A thing that the signer may
    /// not read, and over which the signer has no role, looks as if it did not exist.
    fn meant_by_signer(
        &self,
        domain: &DomainName,
        (signer, key): (Fingerprint, KeyPin),
        csr: &Csr,
    ) -> Result<IdentityId, CertifyError> {
        if sha256(&csr.spki) == *key.as_bytes() {
            // From then on it would identify the thing and no longer the signer.
            return Err(CertifyError::Key("it is the signer's own, and the thing has another".to_owned()));
        }
        if csr.wanted.is_empty() {
            let text = "none. A signer says which thing the request is for by giving the thing's names in it";
            return Err(RequestError::Name(text.to_owned()).into());
        }
        let names = || csr.wanted.iter().map(|wanted| wanted.name().to_string()).collect::<Vec<_>>().join("`, `");
        let unknown = || CertifyError::UnknownIdentity(excerpt(&names()));
        let id = self.meant_by_registrar(domain, "", csr).map_err(|error| match error.fault() {
            CertifyFault::Unknown => unknown(),
            _ => error,
        })?;
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let known = self.resolve_again(&sight, &id, &[])?.ok_or_else(unknown)?;
        let has_role = !roles_to_ask(&sight.domain, &known.0, &signer, self.clock().now()).is_empty();
        if has_role || self.readable(Reader::Key(key), &sight, &id)?.is_some() { Ok(id) } else { Err(unknown()) }
    }

    /// The thing that a registrar means: the one named by the registrar, which must also be the only one with all the
    /// names in the request. The registrar passes on what a device has written; if the two differ, nothing is issued to
    /// either.
    pub(super) fn meant_by_registrar(
        &self,
        domain: &DomainName,
        named: &str,
        csr: &Csr,
    ) -> Result<IdentityId, CertifyError> {
        let names: BTreeSet<Name> = csr.wanted.iter().map(Wanted::name).cloned().collect();
        if named.is_empty() && names.is_empty() {
            let text = "none. A registrar says which thing the request is for: by its id, a name or its serial number \
                        as the user's name (EST) or the reference (CMP), or by the thing's names in the request";
            return Err(RequestError::Name(text.to_owned()).into());
        }
        if named.is_empty() {
            return self.named(domain, &names);
        }
        let id = self.called(domain, named)?;
        if !names.is_empty() && self.named(domain, &names)? != id {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(CertifyError::Another { named: excerpt(named), requested: excerpt(&names) });
        }
        Ok(id)
    }

    /// The only thing that a text means, as an id, a name or a serial number.
    fn called(&self, domain: &DomainName, text: &str) -> Result<IdentityId, CertifyError> {
        let unknown = || CertifyError::UnknownIdentity(excerpt(text));
        let lookup: Lookup = text.parse().or_else(|_| format!("serial:{text}").parse()).map_err(|_| unknown())?;
        let hosted = self.hosted(domain)?;
        let mut fitting = self.identities(&self.sight(&hosted)?, &lookup)?.into_iter();
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => Ok(id),
            (None, _) => Err(unknown()),
            (Some(_), Some(_)) => Err(CertifyError::Ambiguous(format!("`{}`", excerpt(text)))),
        }
    }

    /// The certificates from the issuers of a domain up to their roots, as DER. Clients trust all of them (RFC 7030,
    /// 4.1.3), so issuers whose keys are declared compromised are left out.
    pub(super) fn authority_certificates(&self, domain: &DomainName) -> Result<Vec<Vec<u8>>, AppError> {
        let authorities = self.authorities(domain)?;
        let hosted = self.hosted(domain)?;
        let said = self.sight(&hosted)?.domain;
        let mut all = BTreeSet::new();
        for authority in authorities.iter().filter(|authority| !self.is_stolen(&said, authority)) {
            all.extend(authority.chain.iter().cloned());
        }
        Ok(all.into_iter().collect())
    }
}

/// What a common name can mean: an id or name as it stands, or a serial number or host without its scheme.
fn meanings(text: &str) -> impl Iterator<Item = Lookup> {
    [text.to_owned(), format!("serial:{text}"), format!("host:{text}")].into_iter().filter_map(|text| text.parse().ok())
}

/// Why a key that was proved identifies no thing. The records that name it may be hidden from the applicant, who is
/// told only that there are several.
fn shows_nobody(error: CertifyError) -> CertifyError {
    let text = match error {
        CertifyError::UnknownIdentity(_) => "no record here names the key of the certificate shown",
        CertifyError::Ambiguous(_) => {
            "more than one record here names the key of the certificate shown, so it does not show which thing asks: \
             its issuer or a signer takes back what names the key for all but one (`ics withdraw`), or the registrar \
             enrols the thing with another key"
        }
        other => return other,
    };
    CertifyError::Unproven(text.to_owned())
}
