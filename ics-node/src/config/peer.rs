//! `[[peer]]`: another node.

use core::fmt;
use core::str::FromStr;

use ics_core::identity::Fingerprint;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::tls::PeerKey;

/// `[[peer]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its name, best the one that it has itself: for `[[mirror]] peer`, in the log, and in access rules
    /// (`principal.node`).
    pub name: Spanned<String>,
    /// Where it answers. What it says counts only as far as signatures go; who reads along sees what this node pulls.
    pub url: Url,
    /// Its key, as `/v1/node` there shows it, or the SubjectPublicKeyInfo of another one. Whoever proves to hold it, as a
    /// TLS client, reads as this peer; and a server that proves it needs no other certificate. Absent: a stranger.
    pub key: Option<PeerKey>,
    /// The signer on whose behalf it reads, by primary fingerprint; it has the roles that domains give this signer.
    pub signer: Option<Fingerprint>,
}

/// The address of a node: `http://` or `https://`, a host, perhaps a port and a path, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The text, without a final slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text).map_err(|e| format!("`{text}` is not a URL: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{text}` is not the URL of a node: it begins with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{text}` is not the URL of a node: it has no user, query or fragment"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
