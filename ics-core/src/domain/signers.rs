//! The signers of a domain, by their certificates.

use std::collections::BTreeMap;

use crate::identity::Fingerprint;

/// The certificates that the log holds.
#[derive(Debug, Default)]
pub(super) struct Signers {
    names: BTreeMap<Fingerprint, String>,
}

impl Signers {
    pub(super) fn name_of(&self, primary: &Fingerprint) -> Option<String> {
        self.names.get(primary).cloned()
    }
}
