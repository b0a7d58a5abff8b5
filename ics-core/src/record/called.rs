//! What a thing is called: its titles and its names.

use super::Record;
use crate::name::Name;

impl Record {
    /// All its titles, its main title first.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.title.as_str()).chain(self.also_called.iter().map(|given| given.value.as_str()))
    }

    /// All names under which it is found: its own, and those of its certificates.
    pub fn all_names(&self) -> impl Iterator<Item = &Name> {
        let of_certificates = self.certificates.iter().flat_map(|given| given.value.names());
        self.names.iter().map(|given| &given.value).chain(of_certificates)
    }
}
