//! Where the X.509 certificates of a domain are issued and looked up, in one answer.

use ics_core::vocabulary::DomainName;
use ics_sync::wire::Base64;

use crate::api::problem::Code;
use crate::api::{X509Index, X509Issuer};
use crate::app::{App, AppError};
use crate::store::Part;
use crate::x509::{issuer_id, issuer_url, ocsp_url};

impl App {
    /// Who issues a domain's certificates, and where these are obtained and looked up; `node` is the URL at which
    /// others reach this node.
    ///
    /// # Errors
    /// When the domain is not held here, or issues no certificates.
    pub fn x509_index(&self, domain: &DomainName, node: &str) -> Result<X509Index, AppError> {
        let hosted = self.hosted(domain)?;
        let issues_here = self.can_issue(&hosted);
        let sight = self.sight(&hosted)?;
        let unknown = || AppError::new(Code::UnknownCertificate, "the domain issues no certificates");
        let rules = sight.domain.descriptor().certificates.as_ref().ok_or_else(unknown)?;
        let mut issuers = Vec::with_capacity(rules.issuers.len());
        for (place, issuer) in rules.issuers.iter().enumerate() {
            // An issuer that cannot be parsed issues nothing either.
            let Ok(authority) = self.authority(issuer) else { continue };
            let (id, compromised) = (issuer_id(&authority), self.is_stolen(&sight.domain, &authority));
            issuers.push(X509Issuer {
                name: authority.name.to_string(),
                until: authority.not_after,
                issues: place == 0 && !compromised,
                compromised,
                certificate: issuer_url(&rules.url, &id),
                chain: authority.chain.iter().cloned().map(Base64).collect(),
                lists: self.list_urls(&sight, &id),
                id,
            });
        }
        // EST needs TLS, for client keys and for passwords.
        let has_est = issues_here && node.starts_with("https://");
        Ok(X509Index {
            domain: domain.clone(),
            ocsp: ocsp_url(&rules.url),
            acme: issues_here.then(|| self.acme_directory_url(domain).ok()).flatten(),
            est: has_est.then(|| format!("{node}/.well-known/est/{domain}")),
            cmp: issues_here.then(|| format!("{node}/.well-known/cmp/p/{domain}")),
            issuers,
        })
    }

    /// Authorities of domains at home here whose keys this node does not have, by domain and name: what they have
    /// issued may still be valid, and nobody answers for its revocation.
    #[must_use]
    pub fn issuers_away(&self) -> Vec<(DomainName, String)> {
        let now = self.clock().now();
        let mut away = Vec::new();
        for hosted in self.all_hosted() {
            let Some(domain) = hosted.domain().filter(|_| hosted.part == Part::Home) else { continue };
            let Some(rules) = &domain.descriptor().certificates else { continue };
            // What it has issued ends with it.
            let holding = self.authorities_of(&rules.issuers).filter(|authority| authority.not_after > now);
            let without = holding.filter(|authority| self.issuer_key(authority).is_none());
            away.extend(without.map(|authority| (hosted.name.clone(), authority.name.to_string())));
        }
        away
    }
}
