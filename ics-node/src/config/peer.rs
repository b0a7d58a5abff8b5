//! `[[peer]]`: another node, what is copied from it, and what it may request.

use core::fmt;
use core::str::FromStr;

use ics_core::identity::Fingerprint;
use ics_core::log::checkpoint::Origin;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tls::{KeyPin, PeerKey};

/// The maximum length of a peer's name, in characters.
const NAME_CHARS: usize = 253;

/// `[[peer]]`. The form is the same in `ics.toml` and in the operators' API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its name, preferably the one that it has itself: used in the log, for commands, and in access rules
    /// (`principal.node`).
    pub name: PeerName,
    /// Its address, `https://` or `http://`, or for LDAP `ldaps://` or `ldap://`. What it says counts only as far as
    /// signatures go; an eavesdropper without TLS sees what this node pulls. If absent, the peer connects to this node
    /// and never the other way round; what is copied from it is brought by hand (`ics import --bundle`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<PeerUrl>,
    /// Its key, as shown at `/v1/node` there, or the SubjectPublicKeyInfo of another one. A TLS client that proves it
    /// reads as this peer, and a server that proves it needs no other certificate. If absent, the peer reads as a
    /// stranger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PeerKey>,
    /// The signer on whose behalf it reads, by primary fingerprint; it has the roles that domains give this signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Fingerprint>,
    /// Which side connects, `both` by default.
    #[serde(default, skip_serializing_if = "Direction::is_both")]
    pub direction: Direction,
    /// The domains that this node copies from it, each with the leaf data of its entry 0: `devices.acme.example/5f2c…`.
    /// Another log under the same name is refused. If several peers have a domain, the next is asked when one fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirror: Vec<Origin>,
    /// The domains of which this node keeps no copy and about which it asks this peer, thing by thing, each with the
    /// leaf data of its entry 0. The peer need not be the home: an answer counts by the home's signature. If several
    /// peers are given, the next is asked when one has none, or an old one. If absent, none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roam: Vec<Origin>,
    /// Whether this node asks it, as a witness, to cosign the checkpoints of its own domains (C2SP tlog-witness; `url`
    /// is the submission prefix). Its cosignatures are recognised by its `name` and `key`.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub witness: bool,
    /// The domains whose checkpoints this node, as a witness, cosigns when they are signed by this peer's `key`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosign: Vec<Origin>,
    /// Milliseconds between polls for news if the peer cannot push them; 2,000 by default, 50 to 86,400,000.
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub interval_ms: u64,
    /// Bytes per second that may be pulled from it, and as many that it may pull. If absent, unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "positive")]
    pub bytes_per_second: Option<u64>,
    /// Requests per minute that it may make. If absent, unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "positive")]
    pub requests_per_minute: Option<u64>,
}

impl PeerConfig {
    /// A peer with a name and otherwise defaults.
    #[must_use]
    pub const fn new(name: PeerName) -> Self {
        Self {
            name,
            url: None,
            key: None,
            signer: None,
            direction: Direction::Both,
            mirror: Vec::new(),
            roam: Vec::new(),
            witness: false,
            cosign: Vec::new(),
            interval_ms: default_interval(),
            bytes_per_second: None,
            requests_per_minute: None,
        }
    }

    /// The key by which it is recognised as a reader, if any.
    #[must_use]
    pub fn pin(&self) -> Option<KeyPin> {
        self.key.as_ref().map(PeerKey::pin)
    }

    /// Which settings contradict each other, in words.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let name = &self.name;
        let signs = self.key.as_ref().is_some_and(|key| key.of_notes().is_some());
        if self.witness && !signs {
            return Some(format!("the peer `{name}` needs a `key`: the Ed25519 key with which it cosigns"));
        }
        if !self.cosign.is_empty() && !signs {
            return Some(format!("the peer `{name}` needs a `key`: the Ed25519 key that signs what is to be cosigned"));
        }
        if self.witness && self.url.is_none() {
            return Some(format!("the peer `{name}` has no url: it cannot be asked to cosign"));
        }
        if self.witness && self.url.as_ref().is_some_and(PeerUrl::is_ldap) {
            return Some(format!("the peer `{name}` is asked over LDAP, but witnesses are asked over HTTP"));
        }
        if !self.roam.is_empty() && self.url.as_ref().is_none_or(PeerUrl::is_ldap) {
            return Some(format!("the peer `{name}` has no http url: it cannot be asked about single things"));
        }
        if self.mirror.is_empty() && self.roam.is_empty() {
            return None;
        }
        match self.direction {
            Direction::Serve => {
                Some(format!("the peer `{name}` is only served: nothing is copied from it, and it is not asked"))
            }
            Direction::Pull | Direction::Both => None,
        }
    }
}

/// Who asks whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This node pulls from the peer, and treats the peer's own requests as a stranger's.
    Pull,
    /// The peer reads here; nothing is pulled from it.
    Serve,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    const fn is_both(&self) -> bool {
        matches!(self, Self::Both)
    }
}

/// `Display` and serde for a checked text.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(PeerName, PeerUrl, Url);

/// The name of a peer: letters, digits, `.`, `-` and `_`, so that it can be used in paths and labels unchanged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(String);

impl PeerName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if text.is_empty() || text.len() > NAME_CHARS || !text.chars().all(fits) {
            let shown = ics_core::identity::excerpt(text);
            return Err(format!("`{shown}` is not a name for a peer: use only letters, digits, `.`, `-` and `_`"));
        }
        Ok(Self(text.to_owned()))
    }
}

const fn default_interval() -> u64 {
    2_000
}

/// Checks the milliseconds between two polls.
///
/// # Errors
/// When they are too few or too many.
pub fn checked_interval(millis: u64) -> Result<u64, String> {
    if (50..=86_400_000).contains(&millis) {
        Ok(millis)
    } else {
        Err(format!("interval_ms takes 50 to 86400000 milliseconds, not {millis}"))
    }
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    checked_interval(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(deserializer)? {
        Some(0) => Err(serde::de::Error::custom("a budget of 0 would let nothing pass: leave the peer out instead")),
        given => Ok(given),
    }
}

/// The address of a peer: that of a node, or `ldap://` or `ldaps://` with a host and optionally a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUrl(String);

impl PeerUrl {
    /// The text, without a final slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether TLS authenticates the peer.
    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.0.starts_with("https://") || self.0.starts_with("ldaps://")
    }

    /// Whether it is asked over LDAP.
    #[must_use]
    pub fn is_ldap(&self) -> bool {
        self.0.starts_with("ldap")
    }
}

impl FromStr for PeerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("ldap") {
            return text.parse().map(|Url(text)| Self(text)).map_err(|problem: String| {
                problem.replace("http:// or https://", "http://, https://, ldap:// or ldaps://")
            });
        }
        let url = reqwest::Url::parse(text).map_err(|e| format!("`{}` is not a URL: {e}", quoted(text)))?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let is_anybodys = url.username().is_empty() && url.password().is_none();
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if !(matches!(url.scheme(), "ldap" | "ldaps") && is_bare && is_anybodys && has_host) {
            return Err(format!(
                "`{}` is not the LDAP address of a node: it is ldaps://host or ldaps://host:port",
                quoted(text)
            ));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The part of a refused address that a message may quote: without user, password and query, since it goes to the log.
pub(crate) fn quoted(text: &str) -> String {
    let is_word = |(word, _): &(&str, &str)| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = text.split_once("://").filter(is_word).unwrap_or(("", text));
    let open = if text.contains('@') { "" } else { rest.split(['?', '#']).next().unwrap_or_default() };
    let mark = if open.len() < rest.len() { "…" } else { "" };
    if scheme.is_empty() { format!("{open}{mark}") } else { format!("{scheme}://{open}{mark}") }
}

/// The address of a node: `http://` or `https://`, a host, optionally a port and a path, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The text, without a final slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text).map_err(|e| format!("`{}` is not a URL: {e}", quoted(text)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is not the URL of a node, which begins with http:// or https://", quoted(text)));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("`{}` is not the URL of a node, which has no user, query or fragment", quoted(text)));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}
