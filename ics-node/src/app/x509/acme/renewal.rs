//! When certificates should be renewed: read from the log, like everything else about them.

use ics_core::name::Name;
use ics_core::record::{IssuedCertificate, Logged, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde_json::Value;

use crate::acme::problem::{Kind, Problem};
use crate::acme::renewal::{CertificateId, postponed, to_json, window};
use crate::app::App;
use crate::app::answer::read::Sight;
use crate::app::x509::certify::bar;
use crate::x509::{SerialNumber, State};

/// A certificate that was issued here.
pub(super) struct Known {
    /// Its SHA-256.
    pub(super) digest: [u8; 32],
    /// The index of the statement that names it.
    pub(super) index: u64,
    pub(super) from: Timestamp,
    /// `None` if it has no end.
    pub(super) until: Option<Timestamp>,
    pub(super) state: State,
    /// The record of the thing to which it was issued.
    pub(super) record: Record,
}

impl App {
    /// The window in which a certificate should be renewed (RFC 9773, 4.2): at once if it is revoked, but never while
    /// the record lets its thing have none. A client that is told to come then only fails, again and again.
    ///
    /// # Errors
    /// When no such certificate was issued here.
    pub fn acme_renewal_info(&self, domain: &DomainName, id: &str) -> Result<Value, Problem> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let serial = self.acme_serial(&sight, id)?;
        let known = self.acme_issued(&sight, &serial)?.ok_or_else(unknown)?;
        let now = self.acme_now();
        // What has no end need not be renewed: its window never comes.
        let until = known.until.unwrap_or_else(|| now.plus_millis(100 * 365 * 24 * 60 * 60 * 1000));
        let is_barred = bar(&known.record).is_some();
        let revoked = !is_barred && !matches!(known.state, State::Good);
        let window = window(known.from, until, &serial.as_bytes()[..], revoked, now);
        Ok(to_json(if is_barred { postponed(window, now) } else { window }))
    }

    /// The SHA-256 of the certificate that an order replaces. If there is none, the error is in the order, not in its
    /// URL. What the record says is looked at for the order itself.
    pub(super) fn acme_replaced(&self, domain: &DomainName, id: &str) -> Result<[u8; 32], Problem> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let found = self.acme_serial(&sight, id).and_then(|serial| {
            let logged = self.issued(&sight, &serial)?;
            logged.as_ref().and_then(named_by).map(|(_, digest)| digest).ok_or_else(unknown)
        });
        found.map_err(|problem| match problem.kind {
            Kind::NotFound => Problem::malformed(format!("replaces: {}", problem.detail)),
            _ => problem,
        })
    }

    /// The serial number of the certificate with this id, which must name one of the domain's issuers.
    fn acme_serial(&self, sight: &Sight<'_>, id: &str) -> Result<SerialNumber, Problem> {
        let id = CertificateId::parse(id)?;
        let rules = sight.domain.descriptor().certificates.as_ref().ok_or_else(unknown)?;
        let is_issuer = self.authorities_of(&rules.issuers).any(|authority| authority.key_id == id.issuer);
        SerialNumber::read(&id.serial).filter(|_| is_issuer).ok_or_else(unknown)
    }

    /// What the log says about a certificate.
    pub(super) fn acme_issued(&self, sight: &Sight<'_>, serial: &SerialNumber) -> Result<Option<Known>, Problem> {
        let Some(logged) = self.issued(sight, serial)? else { return Ok(None) };
        let Some((record, _)) = self.resolve(sight, &logged.subject_id())? else { return Ok(None) };
        let Some((issued, digest)) = named_by(&logged) else { return Ok(None) };
        let (index, from) = (logged.index(), issued.from.unwrap_or_default());
        let state = State::of(&record, index);
        Ok(Some(Known { digest, index, from, until: issued.until, state, record }))
    }
}

/// The certificate that a statement names, and its SHA-256.
fn named_by(logged: &Logged) -> Option<(IssuedCertificate, [u8; 32])> {
    let issued = IssuedCertificate::of(logged.claims())?;
    match issued.certificate {
        Name::Certificate(digest) => Some((issued, digest)),
        _ => None,
    }
}

fn unknown() -> Problem {
    Problem::new(Kind::NotFound, "no such certificate was issued here")
}
