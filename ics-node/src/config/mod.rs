//! The configuration of a node and of its command line: one TOML file, `ics.toml`, in the ICS home directory.
//!
//! Unknown members, invalid values and dangling references are refused with the file and the line, so that a node never
//! starts with a configuration that means something other than its operator thinks. Paths in the file are relative to
//! the home directory.

mod acme;
mod alerts;
mod client;
pub mod edit;
mod files;
mod home;
mod ldap;
mod log;
mod node;
mod peer;
mod pkcs11;
mod trust;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub use self::acme::{AcmeConfig, Network};
pub use self::alerts::AlertsConfig;
pub use self::client::ClientConfig;
pub use self::files::NamedFile;
pub use self::home::HomeConfig;
pub use self::ldap::LdapConfig;
pub use self::log::{LogConfig, LogFormat};
pub use self::node::{NodeConfig, PagesConfig, ResponderConfig, SocketConfig, TlsConfig};
pub(crate) use self::peer::quoted;
pub use self::peer::{Direction, PeerConfig, PeerName, PeerUrl, Url, checked_interval};
pub use self::pkcs11::Pkcs11Config;
pub use self::trust::TrustConfig;
pub use self::webhook::Webhook;

/// The name of the file in the home directory.
pub const FILE_NAME: &str = "ics.toml";
/// The size limit of a configuration file, in bytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// Where an example with every member is found: in the source, and in the Debian package.
pub const EXAMPLE_AT: &str =
    "ics-node/src/config/example.toml in the source, /usr/share/doc/ics/examples/ics.toml from the package";

/// The contents of `ics.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The node itself. If absent, this home directory is only used as a client.
    #[serde(deserialize_with = "node::with_places")]
    pub node: Option<NodeConfig>,
    /// The directory that the node serves.
    #[serde(deserialize_with = "ldap::served")]
    pub ldap: Option<LdapConfig>,
    /// The ACME server for the domains that issue certificates here.
    pub acme: Option<AcmeConfig>,
    /// Who is told about certificates that are about to end and were not renewed.
    pub alerts: AlertsConfig,
    /// Domains of which this node is the home.
    #[serde(rename = "home")]
    pub homes: Vec<HomeConfig>,
    /// Other nodes: what is copied from them, and who reads here with which key.
    #[serde(rename = "peer")]
    pub peers: Vec<Spanned<PeerConfig>>,
    /// The defaults of the command line.
    pub client: ClientConfig,
    /// How PKCS#11 tokens are reached.
    pub pkcs11: Pkcs11Config,
    /// The trust policy by which this node gives verdicts.
    pub trust: TrustConfig,
    /// What the node writes to its log, on standard error.
    pub log: LogConfig,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing.
    #[error("no configuration at `{path}`", path = .0.display())]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Its contents are not allowed.
    #[error("{path}:{line}: {message}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Reads `ics.toml` of a home directory and makes its paths absolute.
    ///
    /// # Errors
    /// When it is missing, unreadable or invalid.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(FILE_NAME);
        let text = read(&path)?;
        let mut config = Self::parse(&text, &path)?;
        config.resolve_paths(home);
        Ok(config)
    }

    /// As [`Config::load`], but everything takes its default if there is no file: a client needs none.
    ///
    /// # Errors
    /// When the file exists but is unreadable or invalid.
    pub fn load_or_default(home: &Path) -> Result<Self, ConfigError> {
        match Self::load(home) {
            Err(ConfigError::Missing(_)) => Ok(Self::default()),
            other => other,
        }
    }

    /// Parses the text of a configuration; `path` is only used in errors.
    ///
    /// # Errors
    /// When it is not TOML, has unknown or malformed members, or refers to something that it does not define.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let refused = |span: Option<Range<usize>>, message: String| ConfigError::Refused {
            path: path.to_owned(),
            line: span.map_or(1, |span| line_of(text, span.start)),
            message,
        };
        let config: Self = toml::from_str(text).map_err(|e| refused(e.span(), worded(e.message())))?;
        match config.contradiction() {
            None => Ok(config),
            Some((span, message)) => Err(refused(Some(span), message)),
        }
    }

    /// The peers.
    pub fn peers(&self) -> impl Iterator<Item = &PeerConfig> {
        self.peers.iter().map(Spanned::get_ref)
    }

    /// The peer of that name.
    #[must_use]
    pub fn peer(&self, name: &PeerName) -> Option<&PeerConfig> {
        self.peers().find(|peer| peer.name == *name)
    }

    /// Whether it contains something that may be a secret.
    #[must_use]
    pub fn may_hold_secret(&self) -> bool {
        self.alerts.webhook.as_ref().is_some_and(Webhook::may_be_secret)
    }

    /// The first place where two parts of the file contradict each other.
    fn contradiction(&self) -> Option<(Range<usize>, String)> {
        let of_peers = self.contradicting_peer().or_else(|| self.repeated_domain());
        of_peers.or_else(|| self.ldap_without_certificate()).or_else(|| {
            let home = self.homes.first()?;
            let message = "a [[home]] needs a [node] section: a node is what sequences a domain".to_owned();
            self.node.is_none().then(|| (home.domain.span(), message))
        })
    }

    /// No two peers may share a name or key: which of them a reader is would be left to chance.
    fn contradicting_peer(&self) -> Option<(Range<usize>, String)> {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        self.peers.iter().find_map(|spanned| {
            let peer = spanned.get_ref();
            let name = &peer.name;
            let problem = if !names.insert(name) {
                Some(format!("there are two peers `{name}`"))
            } else if peer.pin().is_some_and(|pin| !keys.insert(pin)) {
                Some(format!("the peer `{name}` has the key of another one"))
            } else {
                peer.contradiction()
            };
            Some((spanned.span(), problem?))
        })
    }

    /// A node is either a domain's home or a mirror of it; it may copy a domain from several peers if they have the
    /// same log.
    fn repeated_domain(&self) -> Option<(Range<usize>, String)> {
        let mut known = BTreeMap::new();
        let homes = self.homes.iter().map(|home| (home.domain.get_ref(), home.domain.span(), None));
        let peers = self.peers.iter().map(|peer| (peer.get_ref(), peer.span()));
        let copies = peers.flat_map(|(peer, span)| {
            peer.mirror.iter().map(move |origin| (&origin.domain, span.clone(), Some((&peer.name, origin))))
        });
        homes.chain(copies).find_map(|(domain, span, copied)| {
            let (name, origin) = copied.unzip();
            match known.insert(domain, (name, origin)) {
                None => None,
                Some((other, same)) if copied.is_some() && same == origin && other != name => None,
                Some(_) => Some((
                    span,
                    format!("the domain `{domain}` is configured twice: a node is either its home or one mirror of it"),
                )),
            }
        })
    }

    fn ldap_without_certificate(&self) -> Option<(Range<usize>, String)> {
        let ldap = self.ldap.as_ref().filter(|ldap| ldap.tls.is_none())?;
        let address = ldap.listen_tls.as_ref()?;
        let message = "LDAP over TLS needs a certificate: `tls` in the section [ldap] or in [node], \
                       tls = { certificate = \"tls/chain.pem\", key = \"tls/key.pem\" }";
        let is_nowhere = self.node.as_ref().is_none_or(|node| node.tls.is_none());
        is_nowhere.then(|| (address.span(), message.to_owned()))
    }

    fn resolve_paths(&mut self, home: &Path) {
        if let Some(node) = &mut self.node {
            node.resolve_paths(home);
        }
        if let Some(ldap) = &mut self.ldap {
            ldap.resolve_paths(home);
        }
        for domain in &mut self.homes {
            domain.descriptor = home.join(&domain.descriptor);
        }
        if let Some(path) = &mut self.client.operator_token_file {
            *path = home.join(&path);
        }
        if let Some(policy) = &mut self.trust.policy {
            *policy = home.join(&policy);
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(ConfigError::Missing(path.to_owned())),
        Err(e) => return Err(unreadable(e)),
    };
    if size > FILE_BYTES {
        let message = format!("a configuration takes {FILE_BYTES} bytes at most, this one has {size}");
        return Err(ConfigError::Refused { path: path.to_owned(), line: 1, message });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Rewords the standard library's message about an address, which does not say what form is expected.
fn worded(message: &str) -> String {
    match message {
        "invalid socket address syntax" => "this is not an address and a port, such as 127.0.0.1:8470".to_owned(),
        "invalid IP address syntax" => "this is not an address, such as 127.0.0.1".to_owned(),
        other => other.to_owned(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
