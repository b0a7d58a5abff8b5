//! `[ldap]`: the directory that a node serves.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::TlsConfig;
use crate::ldap::Suffix;

/// `[ldap]`. Absent: the node serves no LDAP. One address at least stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapConfig {
    /// Address and port without TLS from the start, such as `127.0.0.1:3890`; with a certificate, clients may begin TLS
    /// there. Absent: none.
    pub listen: Option<SocketAddr>,
    /// Address and port with TLS from the first byte on (`ldaps`). Absent: none.
    pub listen_tls: Option<Spanned<SocketAddr>>,
    /// Certificate and key. Absent: those of `[node]`, one of which `listen_tls` takes.
    pub tls: Option<TlsConfig>,
    /// The name under which the tree hangs, `o=ics` unless told; it begins with `o=`, `ou=` or `dc=`.
    #[serde(default = "default_suffix", deserialize_with = "suffix")]
    pub suffix: Suffix,
    /// Mebibytes of answers that are remembered, 64 unless told.
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

/// A directory at no address would be none, and nothing would say so.
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
