//! When certificates should be renewed: read from the log, like everything else about them.

use ics_core::record::{IssuedCertificate, Record};
use ics_core::time::Timestamp;
use ics_core::vocabulary::DomainName;
use serde_json::Value;

use crate::acme::problem::{Kind, Problem};
use crate::acme::renewal::{CertificateId, postponed, to_json, window};
use crate::app::App;
use crate::app::x509::certify::bar;
use crate::x509::{SerialNumber, State};

/// A certificate that was issued here.
pub(super) struct Known {
    /// Its SHA-256.
    pub(super) digest: [u8; 32],
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
        let (known, serial) = self.acme_known(domain, id)?;
        let now = self.acme_now();
        // What has no end need not be renewed: its window never comes.
        let until = known.until.unwrap_or_else(|| now.plus_millis(100 * 365 * 24 * 60 * 60 * 1000));
        let is_barred = bar(&known.record).is_some();
        let revoked = !is_barred && !matches!(known.state, State::Good);
        let window = window(known.from, until, &serial.as_bytes()[..], revoked, now);
        Ok(to_json(if is_barred { postponed(window, now) } else { window }))
    }

    /// The SHA-256 of the certificate that an order replaces. If there is none, the error is in the order, not in its
    /// URL.
    pub(super) fn acme_replaced(&self, domain: &DomainName, id: &str) -> Result<[u8; 32], Problem> {
        let known = self.acme_known(domain, id).map_err(|problem| match problem.kind {
            Kind::NotFound => Problem::malformed(format!("replaces: {}", problem.detail)),
            _ => problem,
        });
        known.map(|(known, _)| known.digest)
    }

    fn acme_known(&self, domain: &DomainName, id: &str) -> Result<(Known, SerialNumber), Problem> {
        let unknown = || Problem::new(Kind::NotFound, "no such certificate was issued here");
        let id = CertificateId::parse(id)?;
        let serial = SerialNumber::read(&id.serial).ok_or_else(unknown)?;
        let issuers = self.acme_rules(domain)?.issuers;
        let is_issuer = self.authorities_of(&issuers).any(|authority| authority.key_id == id.issuer);
        if !is_issuer {
            return Err(unknown());
        }
        Ok((self.acme_issued(domain, &serial)?.ok_or_else(unknown)?, serial))
    }

    /// What the log says about a certificate.
    pub(super) fn acme_issued(&self, domain: &DomainName, serial: &SerialNumber) -> Result<Option<Known>, Problem> {
        let hosted = self.hosted(domain)?;
        let sight = self.sight(&hosted)?;
        let Some(logged) = self.issued(&sight, serial)? else { return Ok(None) };
        let Some((record, _)) = self.resolve(&sight, &logged.subject_id())? else { return Ok(None) };
        let Some(issued) = IssuedCertificate::of(logged.claims()) else { return Ok(None) };
        let ics_core::name::Name::Certificate(digest) = issued.certificate else { return Ok(None) };
        let state = State::of(&record, logged.index());
        Ok(Some(Known { digest, from: issued.from.unwrap_or_default(), until: issued.until, state, record }))
    }
}
