//! Revocation (RFC 8555, 7.6): `crate::acme::revoke` decides who may; the revocation is a statement in the log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ics_core::identity::{Fingerprint, IdentityId};
use ics_core::limits;
use ics_core::record::Record;
use ics_core::vocabulary::DomainName;
use serde::Deserialize;

use super::{Answer, Client};
use crate::acme::account::Holder;
use crate::acme::authorization::Authorization;
use crate::acme::identifier::Identifier;
use crate::acme::jws::{By, Signed};
use crate::acme::problem::{Kind, Problem};
use crate::acme::revoke::{Asker, Right, decide};
use crate::api::problem::Code;
use crate::app::App;
use crate::app::x509::certify::{CertifyError, Requester, Revoker, roles_to_ask};
use crate::store::{AcmeBlock, AcmeIssued, Certified};
use crate::x509::{Reason, SerialNumber, Shown, TakenBack, sets_status, sha256};

#[derive(Deserialize)]
struct Asked {
    certificate: String,
    #[serde(default)]
    reason: Option<u64>,
}

/// A certificate to be revoked.
struct Target {
    shown: Shown,
    serial: SerialNumber,
    record: Record,
    /// What is stored about it for the account that got it, if it was issued over ACME.
    issued: Option<AcmeIssued>,
    /// What is stored beside the log otherwise.
    certified: Option<Certified>,
}

impl Target {
    /// Whether an account got it. Of what was got over other protocols, and perhaps of the last ones before a crash, no
    /// account is stored. Then the thing's own counts, as the thing does over CMP, unless it was on a signer's word. The
    /// signer's does not: the role in which the signer asked may have ended, and over other protocols the log names who
    /// asks to revoke.
    fn is_got_by(&self, client: &Client) -> bool {
        if let Some(issued) = &self.issued {
            return issued.account == client.id;
        }
        let is_its = client.account.holder.requester() == Requester::Identity(self.record.identity.id);
        is_its && self.certified.as_ref().is_some_and(|it| it.shows && it.word.is_none())
    }

    /// The entry by which somebody other than its holder had it revoked, if that has not been lifted.
    fn taken_back(&self) -> Option<u64> {
        let serial = self.serial.name();
        let is_it = |end: &TakenBack<'_>| {
            let issued = self.record.statement_at(end.issued).and_then(|issued| issued.certificate.as_ref());
            issued.is_some_and(|issued| issued.serial == serial)
        };
        let standing = TakenBack::all(&self.record).filter(|end| is_it(end) && end.stands(&self.record));
        standing.map(|end| end.index).max()
    }
}

impl App {
    /// Revokes a certificate.
    pub(super) async fn acme_revoke(&self, domain: &DomainName, request: &Signed) -> Result<Answer, Problem> {
        let client = match &request.header.by {
            By::Key(key) => request.verify(key).map(|()| None)?,
            By::Kid(_) => Some(self.acme_client(domain, request)?),
        };
        let asked: Asked = request.json()?;
        let target = self.acme_target(domain, &asked.certificate)?;
        let (asker, asks) = match (&client, &request.header.by) {
            (Some(client), _) => self.acme_asker(domain, client, &target)?,
            (None, By::Key(key)) => (Asker { has_key: key.to_spki() == target.shown.spki, ..Asker::default() }, None),
            (None, By::Kid(_)) => (Asker::default(), None),
        };
        let (right, reason) = decide(&asker, asked.reason)?;
        let revoker = match right {
            Right::Key => Revoker::Key,
            Right::Authority(signer) => Revoker::Requester(Requester::Signer(signer)),
            // The log names a signer, as over other protocols.
            Right::Control => asks.map_or(Revoker::Names, |signer| Revoker::Requester(Requester::Signer(signer))),
            // For this certificate, the subscriber speaks for the thing.
            Right::Subscriber => Revoker::Requester(Requester::Identity(target.record.identity.id)),
        };
        let revoked = self.revoke_certificate(domain, &target.serial, revoker, reason).await;
        let follows = match &revoked {
            Ok(index) => Some(*index),
            // The revocation is in the log at an unknown index; whoever asks again after it is shown learns only that
            // the certificate is already revoked.
            Err(CertifyError::App(error)) if error.code() == Code::Unwitnessed => Some(self.acme_last_entry(domain)?),
            // An earlier requester may have gone before this was noted.
            Err(CertifyError::AlreadyRevoked) => target.taken_back(),
            Err(_) => None,
        };
        if let Some(follows) = follows {
            self.acme_block(&target, (right, reason), follows, client.as_ref())?;
        }
        let index = revoked?;
        tracing::info!(%domain, serial = %target.serial, index, right = right.to_text(), "revoked over ACME");
        Ok(Answer::nothing())
    }

    /// The certificate, if it is byte for byte one that was issued here.
    fn acme_target(&self, domain: &DomainName, text: &str) -> Result<Target, Problem> {
        let der = URL_SAFE_NO_PAD.decode(text).map_err(|error| Problem::malformed(format!("certificate: {error}")))?;
        if der.len() > limits::X509_CERTIFICATE_BYTES {
            return Err(Problem::malformed("certificate: it is too long"));
        }
        let shown = Shown::read(&der).map_err(|error| Problem::malformed(format!("certificate: {error}")))?;
        let unknown = || Problem::new(Kind::NotFound, "no such certificate was issued here");
        let (serial, digest) = (SerialNumber::read(&shown.serial).ok_or_else(unknown)?, sha256(&der));
        let hosted = self.hosted(domain)?;
        let known = self.acme_issued(&self.sight(&hosted)?, &serial)?;
        let known = known.filter(|known| known.digest == digest).ok_or_else(unknown)?;
        let issued = self.acme_server()?.look(|tx| Ok(tx.certificate_by_digest(domain, &digest)?))?;
        let issued = issued.map(|(issued, _)| issued);
        let certified = if issued.is_some() { None } else { self.store().certified(hosted.number, known.index)? };
        Ok(Target { shown, serial, record: known.record, issued, certified })
    }

    /// What is known about an account that wants the certificate revoked, and the signer it speaks for, if that one may
    /// ask for the thing's certificates.
    fn acme_asker(
        &self,
        domain: &DomainName,
        client: &Client,
        target: &Target,
    ) -> Result<(Asker, Option<Fingerprint>), Problem> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let descriptor = sight.domain.descriptor();
        let (authority, is_requester) = match client.account.holder {
            Holder::Signer(signer) => {
                let roles = roles_to_ask(&sight.domain, &target.record, &signer, target.record.at);
                let watches = roles.iter().any(sets_status);
                let profiles = descriptor.certificates.iter().flat_map(|rules| rules.profiles.values());
                let asks = profiles.into_iter().any(|profile| !roles.is_disjoint(&profile.requesters));
                (watches.then_some(signer), asks)
            }
            Holder::Thing(thing) => (None, target.record.identity.id == IdentityId::Key(thing)),
        };
        let names = target.shown.names.len();
        let got_it = target.is_got_by(client);
        if !is_requester && !got_it {
            self.acme_check_thing(domain, &client.account.holder)?;
        }
        let controlled = if is_requester { names } else { self.acme_controlled(client, target)? };
        let asks = match client.account.holder {
            Holder::Signer(signer) if is_requester => Some(signer),
            Holder::Signer(_) | Holder::Thing(_) => None,
        };
        Ok((Asker { has_key: false, got_it, authority, names, controlled }, asks))
    }

    /// How many names of the certificate, of whatever kind, the account has proved to control. Only host names can be
    /// proved, and only by challenges: rights that the record gave are determined from its roles instead.
    fn acme_controlled(&self, client: &Client, target: &Target) -> Result<usize, Problem> {
        let now = self.acme_now();
        let mut controlled = 0;
        for name in &target.shown.names {
            let Some(identifier) = name.as_ref().and_then(|host| Identifier::dns(host).ok()) else { continue };
            let found = self.acme_server()?.look(|tx| Ok(tx.authorizations(client.id, &identifier, now)?))?;
            let is_proven = |it: &Authorization| !it.challenges.is_empty() && it.is_valid(now);
            controlled += usize::from(found.iter().any(is_proven));
        }
        Ok(controlled)
    }

    /// If somebody else has the certificate revoked, the account that got it must not get another one at once. What
    /// becomes of its key and of the thing is in the log.
    fn acme_block(
        &self,
        target: &Target,
        (right, reason): (Right, Reason),
        follows: u64,
        client: Option<&Client>,
    ) -> Result<(), Problem> {
        if !right.blocks() {
            return Ok(());
        }
        let other = target.issued.as_ref().filter(|it| client.is_none_or(|client| client.id != it.account));
        let Some(issued) = other else { return Ok(()) };
        let why = format!("{} ({reason})", right.to_text());
        let block = AcmeBlock { since: self.acme_now(), follows: Some(follows), why };
        self.acme_server()?.keep(|tx| {
            issued.identifiers.iter().try_for_each(|identifier| tx.block(issued.account, identifier, &block))?;
            Ok(())
        })
    }

    /// The index of the newest entry, whether shown or not.
    fn acme_last_entry(&self, domain: &DomainName) -> Result<u64, Problem> {
        let head = self.store().head(self.hosted(domain)?.number)?;
        Ok(head.size.saturating_sub(1))
    }
}
