//! `[ldap]`: the directory that a node serves.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::TlsConfig;
use crate::ldap::Suffix;

/// `[ldap]`. If absent, the node serves no LDAP. It needs at least one address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapConfig {
    /// Address and port that begin without TLS, such as `127.0.0.1:3890`; if there is a certificate, clients may start
    /// TLS there. If absent, none.
    pub listen: Option<SocketAddr>,
    /// Address and port with TLS from the first byte (`ldaps`). If absent, none.
    pub listen_tls: Option<Spanned<SocketAddr>>,
    /// Certificate and key. If absent, those of `[node]`; `listen_tls` needs one or the other.
    pub tls: Option<TlsConfig>,
    /// The suffix of the tree, `o=ics` by default; it begins with `o=`, `ou=` or `dc=`.
    #[serde(default = "default_suffix", deserialize_with = "suffix")]
    pub suffix: Suffix,
    /// The size of the answer cache in MiB, 64 by default.
    #[serde(default = "default_cache")]
    pub cache_mib: u32,
}

fn default_suffix() -> Suffix {
    Suffix::default()
}

const fn default_cache() -> u32 {
    64
}

fn suffix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Suffix, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Refuses a directory without an address: it would not be served, and nothing would say so.
pub(super) fn served<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LdapConfig>, D::Error> {
    let ldap = LdapConfig::deserialize(deserializer)?;
    if ldap.listen.is_none() && ldap.listen_tls.is_none() {
        let message = "[ldap] has no address: give it `listen` or `listen_tls`, or leave the section out";
        return Err(serde::de::Error::custom(message));
    }
    Ok(Some(ldap))
}

impl LdapConfig {
    pub(super) fn resolve_paths(&mut self, home: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.certificate = home.join(&tls.certificate);
            tls.key = home.join(&tls.key);
        }
    }
}
