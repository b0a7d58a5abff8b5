//! The address to which alerts are sent, which is often a secret.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer};

/// `http://` or `https://`, a host, and whatever the receiver requires. Chat services put their secret into the path or
/// the query, others need a user and a password, so only scheme and host may ever be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook(reqwest::Url);

impl Webhook {
    /// The whole address, for the request only; it must not be shown.
    #[must_use]
    pub const fn secret(&self) -> &reqwest::Url {
        &self.0
    }

    /// Whether it contains more than a host.
    #[must_use]
    pub fn may_be_secret(&self) -> bool {
        let (url, path) = (&self.0, self.0.path());
        !url.username().is_empty() || url.password().is_some() || url.query().is_some() || !matches!(path, "" | "/")
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Webhook {
    type Err = String;

    /// A refused address is not quoted: it may contain the secret all the same.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text).map_err(|error| format!("the webhook is not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the webhook is not the URL of a receiver, which begins with http:// or https://".to_owned());
        }
        if url.fragment().is_some() {
            return Err("the webhook has a fragment, which is never sent: a `#` in its query is written %23".to_owned());
        }
        Ok(Self(url))
    }
}

impl<'de> Deserialize<'de> for Webhook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
