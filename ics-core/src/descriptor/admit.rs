//! Which descriptor may follow which: the first is signed by its own owners, each later one by those of the previous
//! version.

use std::collections::BTreeSet;

use super::fields::fail_if;
use super::{Descriptor, DescriptorError, FieldError, Owners, Problem};
use crate::identity::Fingerprint;
use crate::statement::{SignedDescriptor, SignedErasure};

/// Admits a signed descriptor after `previous`, or as the first: reads the owners' keys, determines whose signatures
/// are good, and continues as [`admit_first`] and [`admit_next`].
///
/// # Errors
/// When it is not a valid descriptor, does not follow, or is signed by too few of the owners that count.
pub fn admit(previous: Option<&Descriptor>, signed: &SignedDescriptor) -> Result<Descriptor, DescriptorError> {
    match previous {
        Some(previous) => admit_next(previous, &signed.json, &signed_by(signed, &previous.owners)),
        None => {
            let first = Descriptor::parse(&signed.json)?;
            let signed_by = signed_by(signed, &first.owners);
            as_first(first, &signed_by)
        }
    }
}

fn signed_by(signed: &SignedDescriptor, owners: &Owners) -> BTreeSet<Fingerprint> {
    let keys: Vec<_> = owners.keys.iter().filter_map(|owner| owner.public_key().ok()).collect();
    signed.verified_by(&keys)
}

/// Admits the descriptor of entry 0: version 1, signed by its own owners' threshold.
///
/// `signed_by` are the fingerprints of owner keys whose signature over `json` is good; others do not count.
///
/// # Errors
/// When it is not a valid descriptor, is not version 1, or is signed by too few of its owners.
pub fn admit_first(json: &[u8], signed_by: &BTreeSet<Fingerprint>) -> Result<Descriptor, DescriptorError> {
    as_first(Descriptor::parse(json)?, signed_by)
}

fn as_first(first: Descriptor, signed_by: &BTreeSet<Fingerprint>) -> Result<Descriptor, DescriptorError> {
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
/// When it is not a valid descriptor, does not follow `previous`, or is signed by too few of the owners of `previous`.
pub fn admit_next(
    previous: &Descriptor,
    json: &[u8],
    signed_by: &BTreeSet<Fingerprint>,
) -> Result<Descriptor, DescriptorError> {
    let next = Descriptor::parse(json).map_err(|error| match previous.require_threshold(signed_by) {
        // Anybody can name rules that nobody knows. They are those of the domain only if its owners say so.
        Err(below) if is_of_rules(&error) => below,
        _ => error,
    })?;
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

/// Whether a descriptor names rules that are not known here.
const fn is_of_rules(error: &DescriptorError) -> bool {
    matches!(error, DescriptorError::Field(FieldError { problem: Problem::Rules(_), .. }))
}

impl Descriptor {
    /// Whether an erasure is signed by as many owners as the next version of this descriptor needs, and by nobody else:
    /// the remnant is the word of those who are named there, so nobody may be named who did not sign.
    ///
    /// # Errors
    /// When they are too few, or a signature is not an owner's.
    pub fn require_owners(&self, erasure: &SignedErasure) -> Result<(), DescriptorError> {
        let keys: Vec<_> = self.owners.keys.iter().filter_map(|owner| owner.public_key().ok()).collect();
        let verified = erasure.verified_by(&keys);
        match erasure.issuers().find(|issuer| !verified.contains(issuer)) {
            Some(stranger) => Err(DescriptorError::Stranger(stranger)),
            None => self.require_threshold(&verified),
        }
    }

    fn require_threshold(&self, signed_by: &BTreeSet<Fingerprint>) -> Result<(), DescriptorError> {
        let signed = self.owners.keys.iter().filter(|owner| signed_by.contains(&owner.fingerprint)).count();
        if u32::try_from(signed).is_ok_and(|signed| signed < self.owners.threshold) {
            let (threshold, version) = (self.owners.threshold, self.version);
            return Err(DescriptorError::BelowThreshold { signed, threshold, version });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;
    use crate::descriptor::OwnerKey;
    use crate::openpgp::signer::Signer;
    use crate::samples::{descriptor, home, id};
    use crate::statement::body::{self, Body};
    use crate::statement::{Erasure, fixtures, make};

    fn signed(by: &[&dyn Signer]) -> SignedErasure {
        let json = Erasure::new(home(), id(1)).to_json().expect("canonical");
        let body = make::sign_descriptor(by, &json, fixtures::at(), &fixtures::SALT).expect("made");
        let Ok(Body::Erasure(signed)) = body::parse(&body) else { panic!("an erasure") };
        signed
    }

    /// A remnant is in the name of the first who signed the erasure: nobody else can be put there.
    #[test]
    fn nobody_but_owners_signs_an_erasure() {
        let (owner, stranger) = (fixtures::maker(), fixtures::device());
        let public = owner.public_key();
        let key = BASE64.encode(&public.to_packet());
        let mut rules = descriptor();
        rules.owners.keys = vec![OwnerKey { name: "Acme".to_owned(), fingerprint: public.fingerprint(), key }];
        assert_eq!(rules.require_owners(&signed(&[&owner])), Ok(()));
        let refusal = Err(DescriptorError::Stranger(stranger.public_key().fingerprint()));
        assert_eq!(rules.require_owners(&signed(&[&stranger, &owner])), refusal);
        assert_eq!(rules.require_owners(&signed(&[&owner, &stranger])), refusal);
    }
}
