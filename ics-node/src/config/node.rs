//! `[node]`: the node's name, its addresses, and the place of its data.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::Url;

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name, in the form of a DNS name; its cosignatures carry it. Descriptors name it, so a node that
    /// changes its name becomes a stranger to its own domains.
    pub name: String,
    /// The name of the node's secret key in the home directory, `node` by default. The node does not start without the
    /// passphrase that encrypts it.
    #[serde(default = "default_key")]
    pub key: String,
    /// Address and port, `127.0.0.1:8470` by default. Without `tls`, any address but loopback belongs behind a proxy.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How others reach the node. If absent, `http(s)://` and the listening address.
    pub public_url: Option<Url>,
    /// Certificate and key for TLS. If absent, plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Rate limits for web pages.
    #[serde(default)]
    pub pages: PagesConfig,
    /// The directory of the databases, `data` by default. It must not be shared with another node.
    #[serde(default = "default_data")]
    pub data: PathBuf,
    /// The file with the token that operators of this node send. If absent, nobody can do what only operators may do.
    pub operator_token_file: Option<PathBuf>,
    /// A Unix socket for gateways on this machine. If absent, none.
    pub socket: Option<SocketConfig>,
    /// The memory for answers, in MiB, 256 by default. An identity with three names takes about 800 bytes. Long answers
    /// may take as much besides, and 128 MiB in any case, until their clients have taken them.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// The names of secret keys in the home directory with which the node issues X.509 certificates and answers for
    /// them; each domain's descriptor says which ones it uses. A certificate can only be revoked with the key that
    /// issued it.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// Keys with which the node answers OCSP in place of issuers whose keys are elsewhere, as mirrors do.
    #[serde(default)]
    pub responders: Vec<ResponderConfig>,
    /// Where `/metrics` is served for Prometheus, to anybody who can reach it. If absent, it is served at the public
    /// address, to those who send the operator's token.
    pub metrics: Option<SocketAddr>,
}

/// `[node] pages`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PagesConfig {
    /// Pages that one client (an IPv4 address, an IPv6 /48) may request in a minute, 1 to 60,000, 120 by default; up to
    /// 40 of them at once. Further requests get 429.
    #[serde(deserialize_with = "per_minute")]
    pub per_minute: u32,
    /// Addresses of proxies in front of the node whose `X-Forwarded-For` names the client, for pages and for everything
    /// else that is limited by address (challenges, questions to other nodes, bodies and streams at once). The header is
    /// ignored from anybody else.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for PagesConfig {
    fn default() -> Self {
        Self { per_minute: 120, trusted_proxies: Vec::new() }
    }
}

/// Refuses two listeners at one address.
pub(super) fn with_places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeConfig>, D::Error> {
    let node = NodeConfig::deserialize(deserializer)?;
    if node.metrics == Some(node.listen) && node.listen.port() != 0 {
        let listen = node.listen;
        return Err(serde::de::Error::custom(format_args!("`metrics` and `listen` are one address, `{listen}`")));
    }
    Ok(Some(node))
}

/// At most one is earned each millisecond.
fn per_minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let pages = u32::deserialize(deserializer)?;
    if (1..=60_000).contains(&pages) {
        Ok(pages)
    } else {
        Err(serde::de::Error::custom(format_args!("per_minute takes 1 to 60000 pages, not {pages}")))
    }
}

/// `[node] tls`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain in PEM, the node's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM. Only the file's owner and group may have access to it.
    pub key: PathBuf,
}

/// `[node] responders`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponderConfig {
    /// The name of the secret key in the home directory.
    pub key: String,
    /// The certificate in PEM that an issuer has given this key for answering OCSP. The issuer's operator requests it
    /// by EST, as the registrar. On SIGHUP the file is read again.
    pub certificate: PathBuf,
}

/// `[node] socket`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketConfig {
    /// The file.
    pub path: PathBuf,
    /// Its permissions, octal as for chmod, `660` by default: whoever may write to it may ask for the node's decisions.
    #[serde(default = "default_mode", deserialize_with = "octal")]
    pub mode: u32,
}

const fn default_mode() -> u32 {
    0o660
}

fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| serde::de::Error::custom(format_args!("`{text}` is not a mode such as \"660\"")))
}

const fn default_memory() -> u32 {
    256
}

fn default_key() -> String {
    "node".to_owned()
}

/// The default address at which a node listens.
pub(super) fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8470))
}

fn default_data() -> PathBuf {
    PathBuf::from("data")
}

impl NodeConfig {
    /// The address under which others reach the node.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.as_ref().map_or_else(|| format!("{scheme}://{}", self.listen), Url::to_string)
    }

    /// Whether other machines reach the node itself without TLS, as they do if it listens at all addresses of its
    /// machine.
    #[must_use]
    pub fn is_open_without_tls(&self) -> bool {
        self.tls.is_none() && !self.listen.ip().to_canonical().is_loopback()
    }

    pub(super) fn resolve_paths(&mut self, home: &Path) {
        self.data = home.join(&self.data);
        if let Some(socket) = &mut self.socket {
            socket.path = home.join(&socket.path);
        }
        if let Some(path) = &mut self.operator_token_file {
            *path = home.join(&path);
        }
        for responder in &mut self.responders {
            responder.certificate = home.join(&responder.certificate);
        }
        if let Some(tls) = &mut self.tls {
            tls.certificate = home.join(&tls.certificate);
            tls.key = home.join(&tls.key);
        }
    }
}
