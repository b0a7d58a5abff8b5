//! Which descriptor follows which: the first rules by its own owners, each later one by those of the version before.

use std::collections::BTreeSet;

use super::fields::fail_if;
use super::{Descriptor, DescriptorError, Problem};
use crate::identity::Fingerprint;

/// Admits the descriptor of entry 0: version 1, signed by its own owners' threshold.
///
/// `signed_by` are the fingerprints of owner keys whose signature over `json` is good; others do not count.
///
/// # Errors
/// When it is no valid descriptor, not version 1, or signed by too few of its owners.
pub fn admit_first(json: &[u8], signed_by: &BTreeSet<Fingerprint>) -> Result<Descriptor, DescriptorError> {
    let first = Descriptor::parse(json)?;
    fail_if(first.version != 1, "version", || Problem::Version { version: first.version, previous: 0 })?;
    first.require_threshold(signed_by)?;
    Ok(first)
}

/// Admits the descriptor that follows `previous`: the next version, of the same domain, citing its hash, and signed by
/// the threshold of the owners of `previous`.
///
/// `signed_by` are the fingerprints of owner keys of `previous` whose signature over `json` is good; others do not
/// count.
///
/// # Errors
/// When it is no valid descriptor, does not follow `previous`, or is signed by too few of that one's owners.
pub fn admit_next(
    previous: &Descriptor,
    json: &[u8],
    signed_by: &BTreeSet<Fingerprint>,
) -> Result<Descriptor, DescriptorError> {
    let next = Descriptor::parse(json)?;
    fail_if(next.domain != previous.domain, "domain", || Problem::OtherDomain(next.domain.to_string()))?;
    let (version, ruling) = (next.version, previous.version);
    fail_if(ruling.checked_add(1) != Some(version), "version", || Problem::Version { version, previous: ruling })?;
    let hash = previous.hash();
    fail_if(next.previous != Some(hash), "previous", || Problem::PreviousHash(hash))?;
    let new_key = next.home.key != previous.home.key;
    fail_if(new_key && next.last_head.is_none(), "last_head", || Problem::HeadMissing)?;
    previous.require_threshold(signed_by)?;
    Ok(next)
}

impl Descriptor {
    fn require_threshold(&self, signed_by: &BTreeSet<Fingerprint>) -> Result<(), DescriptorError> {
        let signed = self.owners.keys.iter().filter(|owner| signed_by.contains(&owner.fingerprint)).count();
        if u32::try_from(signed).is_ok_and(|signed| signed < self.owners.threshold) {
            let (threshold, version) = (self.owners.threshold, self.version);
            return Err(DescriptorError::BelowThreshold { signed, threshold, version });
        }
        Ok(())
    }
}
