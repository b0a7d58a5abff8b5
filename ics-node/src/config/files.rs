//! The files that a configuration names: a copy of a home directory needs them for a node to be opened with it.

use std::path::{Component, Path, PathBuf};

use super::Config;

/// A file that a configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFile<'a> {
    /// Its path.
    pub path: &'a Path,
    /// Whether it holds a secret.
    pub is_private: bool,
}

impl<'a> NamedFile<'a> {
    /// Its path relative to a directory, as written; `None` if it is elsewhere.
    #[must_use]
    pub fn below(&self, directory: &Path) -> Option<&'a Path> {
        let inner = self.path.strip_prefix(directory).ok()?;
        inner.components().all(|part| matches!(part, Component::Normal(_))).then_some(inner)
    }
}

impl Config {
    /// The files that the configuration names. A file that holds a certificate and its key is private.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile<'_>> {
        let (node, ldap) = (self.node.as_ref(), self.ldap.as_ref());
        let tls = [node.and_then(|node| node.tls.as_ref()), ldap.and_then(|ldap| ldap.tls.as_ref())];
        let token = node.and_then(|node| node.operator_token_file.as_ref());
        let keys = tls.iter().flatten().map(|tls| &tls.key);
        let private: Vec<&PathBuf> = token.into_iter().chain(&self.client.operator_token_file).chain(keys).collect();
        let responders = node.into_iter().flat_map(|node| &node.responders).map(|responder| &responder.certificate);
        let descriptors = self.homes.iter().map(|home| &home.descriptor);
        let certificates = tls.iter().flatten().map(|tls| &tls.certificate).chain(responders);
        let public = self.trust.policy.iter().chain(descriptors).chain(certificates);
        let public = public.filter(|path| !private.contains(path)).map(|path| NamedFile { path, is_private: false });
        public.chain(private.iter().map(|path| NamedFile { path, is_private: true })).collect()
    }
}
