//! Which certificates in a domain's log have a key, by its digest: anybody may show any key, and a log may hold a large
//! keyring.

use std::sync::{Arc, Mutex};

use ics_core::domain::Domain;
use ics_core::identity::Fingerprint;
use ics_core::openpgp::certificate::Certificate;

use crate::locked::Locked as _;
use crate::x509::sha256;

/// The beginnings of the digests of all keys, in order, each with the primary key of its certificate.
type Keys = Arc<[(u64, Fingerprint)]>;

/// The keys of a domain's certificates. They are gone over once for each change of these.
#[derive(Debug, Default)]
pub(in crate::app) struct Keyring(Mutex<Option<(Arc<Domain>, Keys)>>);

impl Keyring {
    /// The primary keys of the certificates that may have the key with this digest (SHA-256 of its
    /// SubjectPublicKeyInfo): few others have one that begins so.
    pub(super) fn with(&self, domain: &Arc<Domain>, spki: &[u8; 32]) -> Vec<Fingerprint> {
        let (keys, begins) = (self.keys(domain), beginning(spki));
        let from = keys.partition_point(|(other, _)| *other < begins);
        let its = keys.iter().skip(from).take_while(|(other, _)| *other == begins);
        its.map(|(_, primary)| *primary).collect()
    }

    fn keys(&self, domain: &Arc<Domain>) -> Keys {
        let mut kept = self.0.locked();
        if let Some((of, keys)) = &*kept
            && of.has_certificates_of(domain)
        {
            return Arc::clone(keys);
        }
        let keys_of = |it: &Certificate| {
            let primary = it.primary();
            let digests = it.public_keys().filter_map(|key| Some(beginning(&sha256(&key.to_spki_der()?))));
            digests.map(|begins| (begins, primary)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = domain.certificates().flat_map(keys_of).collect();
        all.sort_unstable();
        let keys: Keys = all.into();
        *kept = Some((Arc::clone(domain), Arc::clone(&keys)));
        keys
    }
}

fn beginning(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use ics_core::openpgp::key::PublicKey;
    use ics_core::openpgp::signer::Signer as _;

    use super::*;
    use crate::fixture::{Party, device};

    #[tokio::test(flavor = "multi_thread")]
    async fn all_keys_are_gone_over_once_and_found_by_their_digests() {
        let maker = Party::found("devices.acme.example");
        let app = maker.open();
        let (domain, ring) = (app.hosted(&maker.domain).expect("here").domain().expect("founded"), Keyring::default());
        let digest = |key: &PublicKey| sha256(&key.to_spki_der().expect("an SPKI"));
        let own = maker.signer.public_key();
        assert!(ring.with(&domain, &digest(own)).is_empty(), "its certificate is not in the log yet");
        maker.publish(&app, &device(1), "urn:dev:os:32473-1", "L1").await;
        let (before, domain) = (domain, app.hosted(&maker.domain).expect("here").domain().expect("founded"));
        assert!(!before.has_certificates_of(&domain), "now it is");
        assert_eq!(ring.with(&domain, &digest(own)), [own.fingerprint()]);
        assert!(ring.with(&domain, &[7; 32]).is_empty());
        let kept = ring.keys(&domain);
        maker.publish(&app, &device(2), "urn:dev:os:32473-2", "L1").await;
        let later = app.hosted(&maker.domain).expect("here").domain().expect("founded");
        assert!(Arc::ptr_eq(&ring.keys(&later), &kept), "there are no other certificates");
    }
}
