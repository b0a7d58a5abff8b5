//! `[[mirror]]`: a domain of which this node holds a verified copy.

use core::fmt;
use core::str::FromStr;

use ics_core::vocabulary::DomainName;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// `[[mirror]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    /// The domain and the leaf data of its entry 0, `devices.acme.example/5f2c…`, as `ics mirror add` writes it. A peer
    /// that serves another log under the same name is refused.
    pub origin: Spanned<OriginPin>,
    /// The name of the `[[peer]]` to pull from.
    pub peer: Spanned<String>,
    /// Seconds between two looks for news while the domain is current, 5 unless told, 1 to 86,400. More than the
    /// domain's freshness bound makes every answer of this node `unknown`.
    #[serde(default = "default_interval", deserialize_with = "interval")]
    pub interval: u64,
}

/// A domain, pinned to one log: its name and the leaf data of entry 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPin {
    /// The domain's name.
    pub domain: DomainName,
    /// The leaf data of its entry 0.
    pub entry0: [u8; 32],
}

impl fmt::Display for OriginPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, data_encoding::HEXLOWER.encode(&self.entry0))
    }
}

impl FromStr for OriginPin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not an origin: it takes a domain, `/`, and 64 hex digits of its entry 0");
        let (domain, hex) = text.split_once('/').ok_or_else(form)?;
        let entry0 = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let domain = domain.parse().map_err(|e: ics_core::vocabulary::WordError| e.to_string())?;
        Ok(Self { domain, entry0: entry0.ok_or_else(form)? })
    }
}

impl<'de> Deserialize<'de> for OriginPin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

const fn default_interval() -> u64 {
    5
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (1..=86_400).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(serde::de::Error::custom(format!("an interval takes 1 to 86400 seconds, not {seconds}")))
    }
}
