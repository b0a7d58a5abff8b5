//! `[node]`: what this node is called, where it listens, and where its data is.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::Url;

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name, formed as a DNS name; its cosignatures carry it. Descriptors name it, so changing it later makes
    /// the node a stranger to its own domains.
    pub name: String,
    /// The node's secret key among those of the home directory, `node` unless told. Without the passphrase that
    /// encrypts it, the node does not start.
    #[serde(default = "default_key")]
    pub key: String,
    /// Address and port, `127.0.0.1:8470` unless told. Without `tls` anything but loopback belongs behind a proxy.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How others reach the node. Absent: `http(s)://` and the listening address.
    pub public_url: Option<Url>,
    /// Certificate and key for TLS. Absent: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// How often anybody may ask for a page.
    #[serde(default)]
    pub pages: PagesConfig,
    /// The directory of the databases, `data` unless told. It must not be shared with another node.
    #[serde(default = "default_data")]
    pub data: PathBuf,
    /// The file with the token that operators of this node send. Absent: what only operators may do, nobody can.
    pub operator_token_file: Option<PathBuf>,
    /// A Unix socket for gateways on this machine. Absent: none.
    pub socket: Option<SocketConfig>,
    /// MiB of memory that answers may take, 256 unless told. About 800 bytes are kept of an identity with three names.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// The secret keys among those of the home directory with which the node issues X.509 certificates and answers for
    /// them; the descriptor of each domain says which it takes. What a key has issued is taken back with that key only.
    #[serde(default)]
    pub issuers: Vec<String>,
    /// Keys with which the node answers OCSP in the place of issuers whose keys are elsewhere: mirrors do.
    #[serde(default)]
    pub responders: Vec<ResponderConfig>,
    /// Where `/metrics` is served for Prometheus, to whoever reaches it. Absent: at the public address, to whoever sends
    /// the operator's token.
    pub metrics: Option<SocketAddr>,
}

/// `[node] pages`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PagesConfig {
    /// Pages that one client (an IPv4 address, an IPv6 /64) may ask for in a minute, 1 to 60000, 120 unless told; up to 40
    /// of them at once. Others get 429.
    #[serde(deserialize_with = "per_minute")]
    pub per_minute: u32,
    /// Addresses of proxies in front of the node whose `X-Forwarded-For` says who the client is, for pages and for whatever
    /// else an address has a share of (challenges, questions to other nodes). Nobody else's is read.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for PagesConfig {
    fn default() -> Self {
        Self { per_minute: 120, trusted_proxies: Vec::new() }
    }
}

/// Two that listen need two places.
pub(super) fn with_places<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeConfig>, D::Error> {
    let node = NodeConfig::deserialize(deserializer)?;
    if node.metrics == Some(node.listen) && node.listen.port() != 0 {
        let listen = node.listen;
        return Err(serde::de::Error::custom(format_args!("`metrics` and `listen` are one address, `{listen}`")));
    }
    Ok(Some(node))
}

/// One is earned each millisecond at most.
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
    /// The certificate chain, PEM, the node's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM. Nobody but the file's owner and group may read or write it.
    pub key: PathBuf,
}

/// `[node] responders`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponderConfig {
    /// The secret key among those of the home directory.
    pub key: String,
    /// The certificate that an issuer has given it for answering OCSP, PEM. The issuer's operator asks for it, by EST as
    /// the registrar. SIGHUP has a newer one read.
    pub certificate: PathBuf,
}

/// `[node] socket`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketConfig {
    /// The file.
    pub path: PathBuf,
    /// Its permissions, octal as for chmod, `660` unless told: whoever may write to it may ask what the node decides.
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

/// Where a node listens unless told.
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

    /// Whether other machines reach the node itself without TLS: so they do where it listens at whatever address its
    /// machine has.
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
